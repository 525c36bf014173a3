/* SPDX-License-Identifier: Apache-2.0 */
/* What the store is told without a request: re-assertions, and slices that
 * others need. */
#include "lease_inner.h"

#define IDLE_S 1 /* an unspent slice that others may need */

bool
gh_sweep_claim(struct gh_limiter *l, uint64_t mono_ms)
{
    return gh_table_claim(&l->table->sweep_at, mono_ms, GH_SWEEP_MS);
}

/*
 * Somebody else may lack what lies here unused: it was asked for; or nobody
 * called for a while and it is a good part of what is free or of the limit.
 */
static bool
scarce(const struct gh_limiter *l, const struct gh_scope *s,
       const struct gh_cell *c, uint64_t mono_ms)
{
    uint64_t left = GH_WORD_LEFT(c->word), hosts = l->table->hosts;

    if (left == 0 || mono_ms >= c->end)
        return false;
    if ((s->recall & GH_RECALLED) != 0)
        return true;
    return hosts > 1 && mono_ms / 1000 > s->used_s + IDLE_S &&
           c->end - mono_ms > IDLE_S * 1000 &&
           (c->free < 2 * hosts * left || left * 100 >= c->rule >> 8);
}

/* Under the lock: takes what is left and counts it as given back. */
static bool
give_back(struct gh_limiter *l, struct gh_scope *s, uint64_t mono_ms)
{
    bool some = false;
    uint32_t at;

    for (at = s->cells; gh_table_valid(l, at);) {
        struct gh_cell *c = gh_table_cell(l, at);
        uint64_t w = c->word;

        if (scarce(l, s, c, mono_ms)) {
            while (GH_WORD_LEFT(w) > 0 &&
                   c->given <= UINT32_MAX - GH_WORD_LEFT(w)) {
                if (atomic_compare_exchange_weak(&c->word, &w,
                                                 GH_WORD(GH_WORD_SEQ(w), 0))) {
                    c->given += GH_WORD_LEFT(w);
                    c->slice = 0;
                    some = true;
                    break;
                }
            }
        }
        at = c->next;
    }
    if ((atomic_fetch_and(&s->recall, (uint8_t)~GH_RECALLED) & GH_RECALLED) !=
        0)
        atomic_fetch_sub(&l->table->recalls, 1);
    return some;
}

static bool
has_open(const struct gh_limiter *l, const struct gh_scope *s, uint64_t mono_ms)
{
    uint32_t at;

    for (at = s->cells; gh_table_valid(l, at);) {
        const struct gh_cell *c = gh_table_cell(l, at);

        if (mono_ms < c->end && (c->granted > 0 || c->extra > 0))
            return true;
        at = c->next;
    }
    return false;
}

/* Under the lock. */
static bool
must_tell(struct gh_limiter *l, struct gh_scope *s, uint64_t mono_ms)
{
    bool back = give_back(l, s, mono_ms);

    if (back)
        return true;
    if (s->asserted == l->table->round)
        return false;
    if (has_open(l, s, mono_ms))
        return true;
    s->asserted = l->table->round;
    return false;
}

/* Without the lock. A scope in use is left alone, and one that rests was looked
 * at since its last call; so mostly this reads no cell. */
static bool
worth_a_look(const struct gh_limiter *l, struct gh_scope *s, uint64_t mono_ms)
{
    uint32_t at, i;

    if (s->asserted != l->table->round || (s->recall & GH_RECALLED) != 0)
        return true;
    if (l->table->hosts <= 1 || (s->recall & GH_RESTING) != 0 ||
        mono_ms / 1000 <= s->used_s + IDLE_S)
        return false;
    for (at = s->cells, i = 0; gh_table_valid(l, at) && i < GH_CELLS_MAX; i++) {
        const struct gh_cell *c = gh_table_cell(l, at);

        if (scarce(l, s, c, mono_ms))
            return true;
        at = c->next;
    }
    atomic_fetch_or(&s->recall, GH_RESTING);
    return false;
}

/* Tries one scope; 1 when it is to be told. */
static int
sweep_scope(struct gh_limiter *l, const struct gh_scripts *scripts, uint32_t at,
            uint64_t mono_ms, struct gh_lease *out, struct gh_buffer *command)
{
    struct gh_scope *s = gh_table_scope(l, at);
    bool tell = false;

    out->scope = at;
    out->gen = s->gen;
    if ((out->gen & 1) != 0 || !worth_a_look(l, s, mono_ms))
        return 0;
    l->table->unswept = l->table->mask + 1; /* see whether it comes through */
    if (!gh_lease_claim(s, mono_ms, &out->token))
        return 0;
    if (gh_table_lock(l)) {
        tell = s->gen == out->gen && must_tell(l, s, mono_ms);
        gh_table_unlock(l);
    }
    if (tell && gh_lease_tell(l, scripts, mono_ms, out, command) == 1)
        return 1;
    gh_lease_land(l, out);
    return 0;
}

int
gh_lease_sweep(struct gh_limiter *l, const struct gh_scripts *scripts,
               uint64_t mono_ms, uint64_t *cursor, size_t budget,
               struct gh_lease *out, struct gh_buffer *command)
{
    _Atomic uint32_t *b = gh_table_at(l, l->table->buckets);
    _Atomic uint32_t *hand = &l->table->sweep_hand;
    size_t left = budget * 16;
    uint32_t at, unswept;
    unsigned steps;

    /* after a whole walk that found nothing there is nothing till something
     * happens: a new round, a recall, another host */
    if (l->table->down_since != 0 || l->table->local ||
        (l->table->unswept == 0 && l->table->hosts <= 1 &&
         l->table->recalls == 0))
        *cursor = GH_CURSOR_END;
    gh_table_walk(cursor, hand);
    while (*cursor != GH_CURSOR_END && left > 0) {
        at = b[gh_table_walk_bucket(l, *cursor)];
        left -= at == 0 ? 1 : left < 16 ? left : 16;
        for (steps = 0; gh_table_valid(l, at) && steps < GH_CELLS_MAX;
             steps++) {
            if (sweep_scope(l, scripts, at, mono_ms, out, command) == 1)
                return 1; /* the rest of this bucket next time */
            at = gh_table_scope(l, at)->next;
        }
        unswept = l->table->unswept;
        if (unswept > 0)
            l->table->unswept = unswept - 1;
        gh_table_walk_on(l, cursor, hand);
    }
    return 0;
}

/* The scope that a message names, marked; 0 when it is not here. */
static uint32_t
recalled(struct gh_limiter *l, struct gh_slice payload)
{
    uint32_t at, gen;

    if (payload.len < 3 || payload.data[1] != ':')
        return 0;
    at = gh_table_find(l, payload.data[0],
                       gh_slice(payload.data + 2, payload.len - 2), &gen);
    if (at != 0 &&
        (atomic_fetch_or(&gh_table_scope(l, at)->recall, GH_RECALLED) &
         GH_RECALLED) == 0)
        atomic_fetch_add(&l->table->recalls, 1);
    return at;
}

void
gh_lease_recall(struct gh_limiter *l, struct gh_slice payload)
{
    recalled(l, payload);
}

int
gh_lease_give_back(struct gh_limiter *l, const struct gh_scripts *scripts,
                   struct gh_slice payload, uint64_t mono_ms,
                   struct gh_lease *out, struct gh_buffer *command)
{
    uint32_t at = recalled(l, payload);

    return at == 0 || l->table->down_since != 0
               ? 0
               : sweep_scope(l, scripts, at, mono_ms, out, command);
}
