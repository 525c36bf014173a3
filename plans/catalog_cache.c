/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog_cache.h"

#include <stdlib.h>
#include <sys/mman.h>

#define ROOM 112
#define HUGE_PAGE ((size_t)2 << 20)

struct gh_cache_entry {
    _Alignas(64) uint64_t snapshot; /* 0: empty */
    uint32_t turn;                  /* in which it was last used */
    uint16_t len;                   /* of the record, behind the key */
    uint16_t key_len;
    unsigned char data[ROOM];
};

_Static_assert(sizeof(struct gh_cache_entry) == 128, "two cache lines");

void
gh_catalog_cache_size(struct gh_cache *c, uint64_t records)
{
    uint32_t n = GH_CACHE_MIN;
    size_t size;

    while (n < records && n < GH_CACHE_MAX)
        n *= 2;
    if (c->at != NULL && n <= c->mask + 1)
        return;
    gh_catalog_cache_finish(c);
    size = (size_t)n * sizeof(*c->at);
    c->at = aligned_alloc(size < HUGE_PAGE ? 128 : HUGE_PAGE, size);
    if (c->at == NULL)
        return; /* then without */
    /* half of what a cold entry costs is finding its page */
    if (size >= HUGE_PAGE)
        madvise(c->at, size, MADV_HUGEPAGE);
    memset(c->at, 0, size);
    c->mask = n - 1;
}

void
gh_catalog_cache_finish(struct gh_cache *c)
{
    free(c->at);
    *c = (struct gh_cache){NULL, 0};
}

/* Keys are digests or short names. */
static uint32_t
place(const struct gh_cache *c, struct gh_slice key)
{
    uint64_t h = key.len, k;
    size_t i;

    for (i = 0; i < key.len; i += 8) {
        k = 0;
        memcpy(&k, key.data + i, key.len - i < 8 ? key.len - i : 8);
        h = (h ^ k) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    return (uint32_t)h & c->mask;
}

static bool
holds(const struct gh_cache_entry *e, uint64_t snapshot, struct gh_slice key)
{
    return e->snapshot == snapshot && e->key_len == key.len &&
           memcmp(e->data, key.data, key.len) == 0;
}

bool
gh_catalog_cache_get(struct gh_cache *c, uint64_t snapshot, uint32_t turn,
                     struct gh_slice key, struct gh_slice *out)
{
    uint32_t at, way;

    if (c->at == NULL || key.len == 0)
        return false;
    at = place(c, key);
    for (way = 0; way < 2; way++) { /* neighbours */
        struct gh_cache_entry *e = &c->at[at ^ way];

        if (holds(e, snapshot, key)) {
            e->turn = turn;
            *out = gh_slice(e->data + e->key_len, e->len);
            return true;
        }
    }
    return false;
}

void
gh_catalog_cache_put(struct gh_cache *c, uint64_t snapshot, uint32_t turn,
                     struct gh_slice key, struct gh_slice record)
{
    struct gh_cache_entry *e;
    uint32_t at;

    if (c->at == NULL || key.len == 0 || record.len == 0 || record.len > ROOM ||
        key.len > ROOM - record.len)
        return;
    at = place(c, key);
    e = &c->at[at];
    if (e->snapshot == snapshot &&
        c->at[at ^ 1].snapshot != snapshot) /* that one is of no use now */
        e = &c->at[at ^ 1];
    if (e->snapshot == snapshot && e->turn == turn)
        return; /* somebody holds what is in it */
    e->snapshot = snapshot;
    e->turn = turn;
    e->key_len = (uint16_t)key.len;
    e->len = (uint16_t)record.len;
    memcpy(e->data, key.data, key.len);
    memcpy(e->data + key.len, record.data, record.len);
}
