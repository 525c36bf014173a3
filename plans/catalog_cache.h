/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records found lately, copied side by side with their keys: a look-up among
 * 100,000 then costs one cold place in memory instead of a descent of the tree.
 * For catalog.c alone.
 *
 * An entry holds for the snapshot it was read in, so an edit of anything
 * empties the cache at once. What was handed out stays till the snapshot's turn
 * ends: entries that were used in this turn are not replaced. Small: a power of
 * two of 128 bytes each, as many as there are records, at most GH_CACHE_MAX.
 */
#ifndef GH_CATALOG_CACHE_H
#define GH_CATALOG_CACHE_H

#include "slice.h"

#define GH_CACHE_MAX (1u << 18)
#define GH_CACHE_MIN 256

struct gh_cache_entry;

struct gh_cache {
    struct gh_cache_entry *at; /* NULL: none yet, or out of memory */
    uint32_t mask;
};

/* Room for so many records: anew when it must grow. */
void gh_catalog_cache_size(struct gh_cache *c, uint64_t records);
void gh_catalog_cache_finish(struct gh_cache *c);

/* The record of key in this snapshot, as it is in the cache. */
bool gh_catalog_cache_get(struct gh_cache *c, uint64_t snapshot, uint32_t turn,
                          struct gh_slice key, struct gh_slice *out);
/* Keeps a copy where there is a place for it. */
void gh_catalog_cache_put(struct gh_cache *c, uint64_t snapshot, uint32_t turn,
                          struct gh_slice key, struct gh_slice record);

#endif
