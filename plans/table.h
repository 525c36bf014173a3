/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The layout of the limiter's shared memory, for the .c files of this folder
 * alone. Places are offsets in units of 16 bytes ("index"; 0 = none).
 *
 * Who may change what: a cell's `word` and `extra` and a meter's figures are
 * changed by anybody at any time; a scope's `flight` by compare-and-swap; all
 * the rest only under the table's lock. A reader without the lock believes a
 * scope only if `gen` is even and the same before and after, and a cell only
 * through the sequence number in `word`, which every reuse and every new window
 * raises and nothing ever sets back.
 */
#ifndef GH_TABLE_H
#define GH_TABLE_H

#include "limiter.h"

#include <pthread.h>
#include <stdatomic.h>

#define GH_TABLE_UNIT 16
#define GH_TABLE_MAGIC UINT64_C(0x656c626154204847)
/* gh_scope.recall */
#define GH_RECALLED 1 /* others need what lies here */
#define GH_RESTING 2  /* nobody called since the sweep found nothing to do */

#define GH_CELLS_MAX 64        /* per scope */
#define GH_TABLE_STEPS 4096    /* a walk through a chain that changes */
#define GH_SCOPE_IDLE_MS 10000 /* then its place may be taken */

enum gh_table_class { SCOPE, CELL, METER, TAIL, CLASSES };

struct gh_scope {
    uint64_t hash;
    _Atomic uint64_t flight; /* deadline of the lease under way, or 0 */
    _Atomic uint32_t gen;    /* odd: not in use */
    _Atomic uint32_t next;
    _Atomic uint32_t cells, meters;
    _Atomic uint32_t used_s;   /* monotonic seconds of the last request */
    _Atomic uint32_t asserted; /* the round in which the store was told all */
    uint8_t kind, len;
    _Atomic uint8_t ncells;
    _Atomic uint8_t recall; /* GH_RECALLED, GH_RESTING */
    uint32_t tail;          /* the name's rest */
    char name[32];
};

struct gh_cell {
    _Atomic uint64_t word; /* sequence << 32 | left */
    _Atomic uint64_t end;  /* of the window, monotonic ms; 0: none known */
    _Atomic uint64_t rule; /* value << 8 | period << 4 | mode */
    _Atomic uint64_t granted;
    _Atomic uint64_t free; /* in the store after the last lease */
    _Atomic uint32_t next, symbol;
    _Atomic uint32_t window; /* its start in seconds */
    _Atomic uint32_t given;  /* back, of granted */
    _Atomic uint32_t extra;  /* admitted beyond leases */
    _Atomic uint32_t slice;  /* what was left after the last lease */
    _Atomic uint32_t asked;  /* when that was, low bits of monotonic ms */
    _Atomic uint32_t refused;
    _Atomic uint32_t quiet;   /* do not ask the store: gh_table_quiet() */
    _Atomic uint32_t pending; /* what leases without an answer may have got */
};

struct gh_meter {
    _Atomic uint32_t next, metric, hour;
    _Atomic uint32_t sent; /* the sum of figures that the store has */
    _Atomic uint64_t admitted;
    _Atomic uint32_t other[6];
    _Atomic uint32_t flushed_s; /* UTC seconds of the last flush */
    uint32_t life;              /* scopes put out before it was made */
    uint32_t spare[2];
};

struct gh_symbol {
    uint64_t hash;
    _Atomic uint32_t next;
    uint32_t len;
    char text[];
};

struct gh_limiter_table {
    uint64_t magic, size, node, seed;
    uint32_t layout, mask, symbol_mask;
    uint32_t buckets, symbol_buckets; /* where they are */
    uint32_t end;                     /* of the table, as an index */
    pthread_mutex_t lock;             /* robust, shared */
    uint32_t bump;                    /* first place never used */
    uint32_t free[CLASSES];
    uint32_t hand;                           /* bucket where eviction goes on */
    _Atomic uint32_t sweep_hand, meter_hand; /* where rounds go on */
    _Atomic uint32_t unswept; /* buckets till all is known to be told */
    _Atomic uint32_t recalls; /* scopes marked and not yet looked at */
    uint32_t made[CLASSES], symbols;
    _Atomic uint64_t evicted, full, degraded;
    /* the store */
    _Atomic uint64_t down_since; /* monotonic ms, 0 = up */
    _Atomic uint64_t hold_until; /* ask nothing new before */
    _Atomic uint64_t epoch;      /* of the store's data */
    _Atomic uint64_t clock;      /* the store's UTC ms less our monotonic ms */
    _Atomic uint32_t hosts, round;
    _Atomic uint32_t local; /* there is no store but this host */
    _Atomic uint64_t pulse_at, sweep_at, meter_at;
    _Atomic uint32_t meter_paced; /* the next walk was claimed, so is paced */
};

_Static_assert(sizeof(struct gh_scope) == 80, "scope");
_Static_assert(sizeof(struct gh_cell) == 80, "cell");
_Static_assert(sizeof(struct gh_meter) == 64, "meter");

static inline void *
gh_table_at(const struct gh_limiter *l, uint32_t index)
{
    return l->base + (size_t)index * GH_TABLE_UNIT;
}

static inline struct gh_scope *
gh_table_scope(const struct gh_limiter *l, uint32_t index)
{
    return gh_table_at(l, index);
}

static inline struct gh_cell *
gh_table_cell(const struct gh_limiter *l, uint32_t index)
{
    return gh_table_at(l, index);
}

static inline bool
gh_table_valid(const struct gh_limiter *l, uint32_t index)
{
    return index != 0 && index < l->table->end;
}

#define GH_WORD(seq, left) ((uint64_t)(seq) << 32 | (uint32_t)(left))
#define GH_WORD_SEQ(w) ((uint32_t)((w) >> 32))
#define GH_WORD_LEFT(w) ((uint32_t)(w))

/* cell.quiet: 0, GH_QUIET till the window ends, or the low bits of the
 * monotonic ms at which it ends, GH_RECALL_MS ahead at most. */
#define GH_QUIET UINT32_MAX
#define GH_RECALL_MS 100 /* nothing free, but unspent elsewhere: ask again */

static inline uint32_t
gh_table_quiet_till(uint64_t mono_ms)
{
    uint32_t low = (uint32_t)mono_ms;

    return low == 0 || low == GH_QUIET ? 1 : low;
}

/* Of an open cell. */
static inline bool
gh_table_quiet(const struct gh_cell *c, uint64_t mono_ms)
{
    uint32_t q = atomic_load_explicit(&c->quiet, memory_order_relaxed);

    return q != 0 &&
           (q == GH_QUIET || q - (uint32_t)mono_ms - 1 < GH_RECALL_MS);
}

static inline uint64_t
gh_rule(const struct gh_limit_ref *r)
{
    return r->value << 8 | (uint64_t)r->period << 4 | r->mode;
}

/* False: another process keeps it for too long (it is stopped); do without. */
bool gh_table_lock(struct gh_limiter *l);
void gh_table_unlock(struct gh_limiter *l);

/* Under the lock: a place of the class, 0 when nothing is free. */
uint32_t gh_table_take(struct gh_limiter *l, enum gh_table_class c);
void gh_table_give(struct gh_limiter *l, enum gh_table_class c, uint32_t at);

uint64_t gh_table_hash(uint64_t seed, uint8_t kind, struct gh_slice s);

/* Without the lock; 0 when it is not there. *gen is what it was found under. */
uint32_t gh_table_find(const struct gh_limiter *l, uint8_t kind,
                       struct gh_slice name, uint32_t *gen);
/* Finds or makes it (locks); may put out an idle one. 0: no room. */
uint32_t gh_table_scope_get(struct gh_limiter *l, uint8_t kind,
                            struct gh_slice name, uint64_t mono_ms,
                            uint32_t *gen);
uint32_t gh_table_cell_find(const struct gh_limiter *l,
                            const struct gh_scope *scope, uint32_t symbol);
/* Finds or makes it (locks). 0: no room. */
uint32_t gh_table_cell_get(struct gh_limiter *l, uint32_t scope, uint32_t gen,
                           const struct gh_limit_ref *ref, uint64_t mono_ms);

/* Copies the name; -1 when the scope changed meanwhile. */
int gh_table_name(const struct gh_limiter *l, uint32_t scope, uint32_t gen,
                  uint8_t *kind, char out[GH_NAME_SIZE]);
struct gh_slice gh_table_symbol_text(const struct gh_limiter *l,
                                     uint32_t symbol);

/* Under the lock: the cell's new window, with nothing left in it. */
void gh_table_cell_roll(struct gh_cell *c, uint32_t window, uint64_t end);

/* Under the lock: raises the total granted, and what is left with it, as far as
 * a word holds. Whether it did. */
bool gh_table_cell_credit(struct gh_cell *c, uint64_t granted);

/* The sum of all figures, modulo 2^32. */
uint32_t gh_table_meter_sum(const struct gh_meter *m);

/*
 * A walk over all buckets as one word: buckets visited (24 bits), where it
 * started (24), what was seen of the present one (16). A new walk (0) starts
 * where the last stopped, so one that is always begun anew reaches all of them
 * too.
 */
void gh_table_walk(uint64_t *cursor, _Atomic uint32_t *hand);
uint32_t gh_table_walk_bucket(const struct gh_limiter *l, uint64_t cursor);
/* To the next bucket, or the end. What it costs of a budget in sixteenths: an
 * empty bucket is a sixteenth of one with scopes. */
void gh_table_walk_on(const struct gh_limiter *l, uint64_t *cursor,
                      _Atomic uint32_t *hand);
#define GH_WALK_SEEN(cursor) ((uint32_t)(cursor)&0xffff)

/* The store must be told everything again. */
void gh_table_new_round(struct gh_limiter *l);

/* One caller per interval wins. */
bool gh_table_claim(_Atomic uint64_t *at, uint64_t mono_ms, uint64_t every);

#endif
