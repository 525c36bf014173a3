/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place in shared memory for one record under a digest: any process reads or
 * writes it, nobody locks. A word says who writes and since when:
 *
 *     | ms since boot, 44 bits | count, 20 bits: odd while it is written |
 *
 * A writer takes the place by changing the word, and is done by changing it
 * back; one that was stopped or killed in between loses the place after
 * GH_SLOT_TORN_MS. It may still wake up and write its bytes over another's
 * record. So the record's sum covers every byte, the digest and the word
 * itself, and a reader checks it on a copy of its own: what two writers mixed,
 * or a late one left, is no record.
 *
 * A slot lies in zeroed memory, aligned to 8 bytes. `key` is one secret random
 * number for all slots.
 */
#ifndef GH_SLOT_H
#define GH_SLOT_H

#include "secret.h"
#include "slice.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GH_SLOT_TORN_MS 1000

struct gh_slot {
    _Atomic uint64_t word;
    _Atomic uint64_t expires; /* UTC ms; 0: free */
    uint64_t stamp;
    uint64_t sum;
    _Atomic uint32_t len;
    unsigned char digest[GH_DIGEST_SIZE];
    unsigned char data[]; /* to the end of the slot */
};

/* ---- reading ---- */

/*
 * Bytes of the record under this digest, if it is there and not expired, or
 * -1. It may be gone when it is copied.
 */
ssize_t gh_slot_look(const struct gh_slot *s, size_t room,
                     const unsigned char *digest, uint64_t now_ms);

/* Copies `len` bytes to `buf`: 0, or -1 when this is not (any more) the whole
 * record under this digest. `stamp` is what was given to put. */
int gh_slot_copy(const struct gh_slot *s, uint64_t key,
                 const unsigned char *digest, uint64_t now_ms,
                 unsigned char *buf, size_t len, uint64_t *stamp);

/* ---- writing ---- */

static inline uint64_t
gh_slot_written(const struct gh_slot *s)
{
    return atomic_load_explicit(&s->word, memory_order_relaxed) >> 20;
}

/* For the choice of a slot; a reader does not trust it. */
bool gh_slot_is(const struct gh_slot *s, const unsigned char *digest);

/* The word to finish with, or 0: another writes it. `mono_ms` may lag behind
 * other processes' clocks. */
uint64_t gh_slot_claim(struct gh_slot *s, uint64_t mono_ms);

/* Between claim and done. len <= the room, else undefined. */
void gh_slot_fill(struct gh_slot *s, uint64_t key, uint64_t claim,
                  const unsigned char *digest, struct gh_slice record,
                  uint64_t stamp, uint64_t expires_ms);
void gh_slot_clear(struct gh_slot *s);

/* False: the place was lost to another meanwhile; nothing is there of ours. */
bool gh_slot_done(struct gh_slot *s, uint64_t claim);

#endif
