/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"

#include <stdlib.h>

#define BLOCK_SIZE 4096

struct gh_arena_block {
    struct gh_arena_block *next;
    size_t used, size;
    _Alignas(16) unsigned char data[];
};

void
gh_arena_init(struct gh_arena *a)
{
    a->blocks = NULL;
}

void
gh_arena_finish(struct gh_arena *a)
{
    struct gh_arena_block *b;

    while ((b = a->blocks) != NULL) {
        a->blocks = b->next;
        free(b);
    }
}

static void *
arena_get(void *ctx, size_t size)
{
    struct gh_arena *a = ctx;
    struct gh_arena_block *b = a->blocks;
    size_t room;
    void *p;

    if (size > SIZE_MAX / 2)
        return NULL;
    size = (size + 15) & ~(size_t)15;
    if (b == NULL || b->size - b->used < size) {
        room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        b = calloc(1, sizeof(*b) + room);
        if (b == NULL)
            return NULL;
        b->size = room;
        b->next = a->blocks;
        a->blocks = b;
    }
    p = b->data + b->used;
    b->used += size;
    return p;
}

struct gh_alloc
gh_arena_alloc(struct gh_arena *a)
{
    return (struct gh_alloc){arena_get, a};
}

struct gh_slice
gh_get_copy(const struct gh_alloc *a, struct gh_slice s)
{
    unsigned char *p = s.len < SIZE_MAX ? gh_get(a, s.len + 1) : NULL;

    if (p == NULL)
        return gh_slice(NULL, 0);
    if (s.len > 0)
        memcpy(p, s.data, s.len);
    p[s.len] = '\0';
    return gh_slice(p, s.len);
}
