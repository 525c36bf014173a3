/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory from the caller: libraries that build values ask through `struct
 * gh_alloc` (nginx hands its pool, daemons an arena) and never free singly.
 */
#ifndef GH_ARENA_H
#define GH_ARENA_H

#include "slice.h"

struct gh_alloc {
    void *(*get)(void *ctx, size_t size); /* zeroed, aligned to 16; or NULL */
    void *ctx;
};

static inline void *
gh_get(const struct gh_alloc *a, size_t size)
{
    return a->get(a->ctx, size);
}

/* A copy with a NUL after it; data is NULL when memory is out. */
struct gh_slice gh_get_copy(const struct gh_alloc *a, struct gh_slice s);

/* An arena on the heap: grows in blocks, freed as a whole. */
struct gh_arena {
    struct gh_arena_block *blocks;
};

void gh_arena_init(struct gh_arena *a);
void gh_arena_finish(struct gh_arena *a); /* frees all; may be used again */
struct gh_alloc gh_arena_alloc(struct gh_arena *a);

#endif
