/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#define HOT_MS 1000 /* a slice used up in this time is refilled ahead */
#define POLL_MS 1   /* another worker leases; its end is seen by looking */

void
gh_spend_init(struct gh_spend *s, struct gh_charge *charges, uint16_t max,
              uint64_t mono_ms, uint64_t wall_ms)
{
    s->charges = charges;
    s->n = 0;
    s->max = max;
    s->nscopes = 0;
    s->mono_ms = mono_ms;
    s->wall_ms = wall_ms;
    s->due = s->degraded = s->over = false;
    s->which = 0;
    s->retry_ms = 0;
}

static void
add_charge(struct gh_limiter *l, struct gh_spend *s, uint8_t scope,
           const struct gh_limit_ref *ref, uint32_t cost)
{
    struct gh_spend_scope *sc = &s->scopes[scope];
    struct gh_charge *c;

    if (s->n == s->max) { /* never "unlimited": the caller gave no room */
        sc->full = true;
        return;
    }
    c = &s->charges[s->n++];
    *c = (struct gh_charge){.limit = ref, .cost = cost, .scope = scope};
    sc->n++;
    if (ref->mode != GH_HARD && cost > GH_COST_MAX)
        c->cost = GH_COST_MAX;
    if (ref->value == 0 && ref->mode == GH_HARD)
        return; /* refused without a cell */
    if (sc->at != 0)
        c->cell = gh_table_cell_find(l, gh_table_scope(l, sc->at), ref->symbol);
    if (sc->at != 0 && c->cell == 0)
        c->cell = gh_table_cell_get(l, sc->at, sc->gen, ref, s->mono_ms);
    if (c->cell == 0)
        sc->full = true;
}

void
gh_spend_scope(struct gh_limiter *l, struct gh_spend *s,
               enum gh_scope_kind kind, struct gh_slice name,
               const struct gh_limit_ref *refs, size_t n,
               const int8_t *metric_of, const uint32_t *costs,
               enum gh_store_down store_down, uint64_t bounded_ms)
{
    uint8_t index = s->nscopes;
    struct gh_spend_scope *sc;
    struct gh_scope *scope;
    uint32_t now_s = (uint32_t)(s->mono_ms / 1000);
    size_t i;

    if (n == 0 || index == sizeof(s->scopes) / sizeof(s->scopes[0]))
        return;
    sc = &s->scopes[s->nscopes++];
    *sc = (struct gh_spend_scope){.kind = kind,
                                  .name = name,
                                  .store_down = store_down,
                                  .bounded_ms = bounded_ms,
                                  .first = s->n};
    sc->at = gh_table_scope_get(l, (uint8_t)kind, name, s->mono_ms, &sc->gen);
    if (sc->at != 0) {
        scope = gh_table_scope(l, sc->at);
        if (atomic_load_explicit(&scope->used_s, memory_order_relaxed) != now_s)
            atomic_store_explicit(&scope->used_s, now_s, memory_order_relaxed);
    }
    for (i = 0; i < n; i++)
        if (metric_of[i] >= 0 && costs[metric_of[i]] > 0)
            add_charge(l, s, index, &refs[i], costs[metric_of[i]]);
}

/* ---- one charge ---- */

static bool
alive(const struct gh_limiter *l, const struct gh_spend_scope *sc)
{
    return atomic_load_explicit(&gh_table_scope(l, sc->at)->gen,
                                memory_order_acquire) == sc->gen;
}

/*
 * The limit was edited, or the application moved to another plan. What was
 * leased under a higher value may be too much now: it goes back. Usage stays.
 */
static void
adopt_rule(struct gh_limiter *l, struct gh_cell *c,
           const struct gh_limit_ref *ref)
{
    uint64_t rule = gh_rule(ref), old, w;

    if (!gh_table_lock(l))
        return;
    old = c->rule;
    if (old != rule && c->symbol == ref->symbol) {
        w = c->word;
        while (rule >> 8 < old >> 8 && GH_WORD_LEFT(w) != 0 &&
               !atomic_compare_exchange_weak(&c->word, &w,
                                             GH_WORD(GH_WORD_SEQ(w), 0)))
            ;
        /* between here and the next line a crash loses a slice, no more */
        if (rule >> 8 < old >> 8 && c->given <= UINT32_MAX - GH_WORD_LEFT(w))
            c->given += GH_WORD_LEFT(w);
        if (rule >> 8 > old >> 8)
            c->free += (rule >> 8) - (old >> 8);
        else if (c->free > rule >> 8)
            c->free = rule >> 8;
        c->quiet = 0;
        c->rule = rule;
    }
    gh_table_unlock(l);
}

enum taken { TAKEN, LACKS, GONE };

/* Takes cost from what is left of the open window. */
static enum taken
take(const struct gh_limiter *l, const struct gh_spend *s, struct gh_charge *c)
{
    struct gh_cell *cell = gh_table_cell(l, c->cell);
    uint64_t w = atomic_load_explicit(&cell->word, memory_order_acquire);

    /* the word first, then whose it is: a place that went to another scope or
     * limit has another sequence number, so the exchange below fails */
    if (!alive(l, &s->scopes[c->scope]) || cell->symbol != c->limit->symbol)
        return GONE;
    do {
        c->seq = GH_WORD_SEQ(w);
        if (GH_WORD_LEFT(w) < c->cost || s->mono_ms >= cell->end)
            return LACKS;
    } while (!atomic_compare_exchange_weak_explicit(
        &cell->word, &w, w - c->cost, memory_order_acq_rel,
        memory_order_acquire));
    c->took = c->cost;
    return TAKEN;
}

static void
put_back(const struct gh_limiter *l, struct gh_charge *c)
{
    struct gh_cell *cell = gh_table_cell(l, c->cell);
    uint64_t w = atomic_load_explicit(&cell->word, memory_order_acquire);
    uint32_t x;

    while (c->took > 0 && GH_WORD_SEQ(w) == c->seq &&
           !atomic_compare_exchange_weak(&cell->word, &w, w + c->took))
        ;
    x = atomic_load_explicit(&cell->extra, memory_order_acquire);
    while (x >= c->extra && GH_WORD_SEQ(cell->word) == c->seq &&
           !atomic_compare_exchange_weak(&cell->extra, &x, x - c->extra))
        ; /* a new window meanwhile begins with none */
    c->took = c->extra = 0;
}

/* Adds to what was admitted beyond leases, up to `most`. */
static bool
take_extra(struct gh_cell *cell, struct gh_charge *c, uint64_t most)
{
    uint32_t seq = GH_WORD_SEQ(cell->word), x = cell->extra;

    do {
        if ((uint64_t)x + c->cost > most || (uint64_t)x + c->cost > UINT32_MAX)
            return false;
    } while (!atomic_compare_exchange_weak(&cell->extra, &x, x + c->cost));
    c->seq = seq;
    c->extra = c->cost;
    return true;
}

static bool
open_now(const struct gh_cell *cell, uint64_t mono_ms)
{
    return mono_ms < cell->end;
}

/* The store has nothing for it, as far as is known. */
static bool
exhausted(const struct gh_cell *cell, const struct gh_limit_ref *ref,
          uint64_t mono_ms)
{
    return open_now(cell, mono_ms) && gh_table_quiet(cell, mono_ms) &&
           cell->rule == gh_rule(ref);
}

/* ---- without the store ---- */

/* The store's clock where it is known, else the host's. */
static uint64_t
wall(const struct gh_limiter *l, const struct gh_spend *s)
{
    uint64_t clock = l->table->clock;

    return clock != 0 ? clock + s->mono_ms : s->wall_ms;
}

/* Opens the window that the calendar says, for charges without a lease. */
static bool
open_alone(struct gh_limiter *l, const struct gh_spend *s, struct gh_charge *c)
{
    struct gh_cell *cell = gh_table_cell(l, c->cell);
    uint64_t now = wall(l, s), end;
    struct gh_window w =
        gh_period_window((enum gh_period)c->limit->period, now);
    uint32_t start = (uint32_t)(w.start_ms / 1000);

    if (!gh_table_lock(l))
        return false;
    end = w.end_ms == GH_PERIOD_NO_END ? UINT64_MAX
                                       : s->mono_ms + (w.end_ms - now);
    if (alive(l, &s->scopes[c->scope]) && !open_now(cell, s->mono_ms)) {
        if (cell->end == 0 || start > cell->window)
            gh_table_cell_roll(cell, start, end);
        else if (start == cell->window)
            cell->end = end;
    }
    gh_table_unlock(l);
    return alive(l, &s->scopes[c->scope]) && open_now(cell, s->mono_ms);
}

/*
 * What `bounded` may admit in this window: the share of the limit that belongs
 * to the part of the window that is over, and no more than the store had free
 * when it last answered, less what it may have granted since in answers that
 * were lost (those come with the next one); each divided among the hosts. One
 * host alone is never over.
 */
static uint64_t
bounded_budget(const struct gh_limiter *l, const struct gh_spend *s,
               const struct gh_charge *c)
{
    const struct gh_cell *cell = gh_table_cell(l, c->cell);
    uint64_t now = wall(l, s), hosts = l->table->hosts, share;
    uint64_t free = cell->free, pending = cell->pending;
    struct gh_window w =
        gh_period_window((enum gh_period)c->limit->period, now);

    if (hosts == 0)
        hosts = 1;
    if (w.end_ms == GH_PERIOD_NO_END)
        return 0;
    share = (uint64_t)((double)c->limit->value * (double)(now - w.start_ms) /
                       (double)(w.end_ms - w.start_ms));
    free = free > pending ? free - pending : 0;
    return (share < free ? share : free) / hosts;
}

/*
 * This host is its own store: the window opens by its clock and all of the
 * limit is granted at once. True: look again.
 */
static bool
lease_alone(struct gh_limiter *l, const struct gh_spend *s, struct gh_charge *c)
{
    struct gh_cell *cell = gh_table_cell(l, c->cell);
    uint64_t most;
    bool more = false;

    if ((!open_now(cell, s->mono_ms) && !open_alone(l, s, c)) ||
        !gh_table_lock(l))
        return false;
    if (alive(l, &s->scopes[c->scope]) && cell->symbol == c->limit->symbol) {
        most = c->limit->value + cell->given;
        most = most > cell->extra ? most - cell->extra : 0;
        more = gh_table_cell_credit(cell, most);
        cell->slice = 0; /* nothing to refill it from */
        cell->free = most > cell->granted ? most - cell->granted : 0;
        cell->quiet = cell->free == 0 ? GH_QUIET : 0;
    }
    gh_table_unlock(l);
    return more;
}

/* Decides a charge that the store can not: true admits. */
static bool
admit_alone(struct gh_limiter *l, struct gh_spend *s, struct gh_charge *c)
{
    const struct gh_spend_scope *sc = &s->scopes[c->scope];
    struct gh_cell *cell = gh_table_cell(l, c->cell);
    uint64_t down = l->table->down_since, most = UINT64_MAX;

    if (!open_now(cell, s->mono_ms) && !open_alone(l, s, c))
        return false;
    if (c->limit->mode == GH_HARD && sc->store_down == GH_BOUNDED) {
        if (down != 0 && s->mono_ms > down &&
            s->mono_ms - down > sc->bounded_ms)
            return false;
        most = bounded_budget(l, s, c);
    } else if (c->limit->mode == GH_HARD && sc->store_down == GH_DENY) {
        return false;
    }
    if (!take_extra(cell, c, most))
        return c->limit->mode != GH_HARD;
    c->degraded = s->degraded = true;
    return true;
}

/* ---- the request ---- */

static void
numbers(const struct gh_limiter *l, struct gh_spend *s, struct gh_charge *c)
{
    const struct gh_cell *cell = gh_table_cell(l, c->cell);
    uint64_t end = cell->end, left, extra = cell->extra;
    bool known = exhausted(cell, c->limit, s->mono_ms);

    left = GH_WORD_LEFT(cell->word) + (known ? 0 : cell->free);
    /* extra is in `free` once the store was told; until then it is not */
    c->remaining =
        c->degraded || known ? (left > extra ? left - extra : 0) : left;
    if (c->remaining > c->limit->value)
        c->remaining = c->limit->value;
    c->reset_ms = end == UINT64_MAX  ? UINT64_MAX
                  : end > s->mono_ms ? end - s->mono_ms
                                     : 0;
}

/* Charges that no state can change. */
static enum gh_spend_result
refused_by_rule(struct gh_spend *s)
{
    uint16_t i;

    for (i = 0; i < s->n; i++) {
        const struct gh_charge *c = &s->charges[i];

        s->which = i;
        if (c->limit->mode != GH_HARD)
            continue;
        if (c->limit->value == 0)
            return GH_SPEND_FORBIDDEN;
        if (c->cost > c->limit->value || c->cost > GH_COST_MAX)
            return GH_SPEND_COST_EXCEEDS;
    }
    for (i = 0; i < s->nscopes; i++) {
        if (s->scopes[i].full) {
            s->retry_ms = 1000;
            return GH_SPEND_FULL;
        }
    }
    return GH_SPEND_ADMIT;
}

static void
undo(struct gh_limiter *l, struct gh_spend *s, uint16_t n)
{
    uint16_t i;

    for (i = 0; i < n; i++) {
        put_back(l, &s->charges[i]);
        s->charges[i].degraded = s->charges[i].over = false;
    }
    s->degraded = s->over = false;
}

/* Of several hard limits that are used up, the one that lasts longest tells
 * when to come back. */
static uint16_t
longest(const struct gh_limiter *l, const struct gh_spend *s, uint16_t which)
{
    uint64_t end = gh_table_cell(l, s->charges[which].cell)->end;
    uint16_t i;

    for (i = 0; i < s->n; i++) {
        const struct gh_charge *c = &s->charges[i];
        const struct gh_cell *cell = gh_table_cell(l, c->cell);

        if (c->limit->mode == GH_HARD && cell->end > end &&
            GH_WORD_LEFT(cell->word) < c->cost &&
            exhausted(cell, c->limit, s->mono_ms)) {
            end = cell->end;
            which = i;
        }
    }
    return which;
}

static enum gh_spend_result
refuse(struct gh_limiter *l, struct gh_spend *s, uint16_t which)
{
    struct gh_charge *c;

    which = longest(l, s, which);
    c = &s->charges[which];
    s->which = which;
    atomic_fetch_add_explicit(&gh_table_cell(l, c->cell)->refused, 1,
                              memory_order_relaxed);
    numbers(l, s, c);
    s->retry_ms = c->reset_ms;
    return GH_SPEND_REFUSED;
}

/* A lease in the background, unless one is under way or none may be. */
static void
due(const struct gh_limiter *l, struct gh_spend *s, const struct gh_charge *c)
{
    struct gh_spend_scope *sc = &s->scopes[c->scope];

    if (sc->lease != GH_LEASE_NONE || l->table->local ||
        gh_table_scope(l, sc->at)->flight > s->mono_ms ||
        s->mono_ms < l->table->hold_until)
        return;
    sc->lease = GH_LEASE_DUE;
    s->due = true;
}

/* After a charge: is the slice running low, and worth refilling ahead? */
static void
look_ahead(const struct gh_limiter *l, struct gh_spend *s,
           const struct gh_charge *c)
{
    const struct gh_cell *cell = gh_table_cell(l, c->cell);
    uint64_t left = GH_WORD_LEFT(cell->word);

    if (left * 3 < cell->slice && !gh_table_quiet(cell, s->mono_ms) &&
        l->table->down_since == 0 &&
        (uint32_t)s->mono_ms - cell->asked <= HOT_MS)
        due(l, s, c);
}

/*
 * A charge found its slice empty. GH_SPEND_ADMIT: it is settled all the same
 * (soft, or without the store).
 */
static enum gh_spend_result
settle(struct gh_limiter *l, struct gh_spend *s, struct gh_charge *c,
       bool may_wait)
{
    struct gh_cell *cell = gh_table_cell(l, c->cell);
    bool hard = c->limit->mode == GH_HARD;
    bool known = exhausted(cell, c->limit, s->mono_ms);

    if (hard && known)
        return GH_SPEND_REFUSED;
    if (!hard && open_now(cell, s->mono_ms)) {
        c->over = known;
        if (known && c->limit->mode == GH_SHADOW)
            atomic_fetch_add_explicit(&cell->refused, 1, memory_order_relaxed);
        if (known && c->limit->mode == GH_SOFT)
            s->over = true;
        take_extra(cell, c, UINT64_MAX);
        if (!known && l->table->down_since == 0)
            due(l, s, c);
        return GH_SPEND_ADMIT;
    }
    if (l->table->local) /* what could be had was had: it costs too much now */
        return hard ? GH_SPEND_REFUSED : GH_SPEND_ADMIT;
    if (may_wait && l->table->down_since == 0)
        return GH_SPEND_WAIT;
    return admit_alone(l, s, c) ? GH_SPEND_ADMIT : GH_SPEND_UNAVAILABLE;
}

/* Says for every scope whether its limits need a lease before they can decide.
 * A limit that is known to be exhausted decides at once. */
static enum gh_spend_result
wait_for(struct gh_limiter *l, struct gh_spend *s)
{
    uint64_t hold = l->table->hold_until;
    uint16_t i;

    for (i = 0; i < s->n; i++) {
        struct gh_charge *c = &s->charges[i];
        struct gh_cell *cell = gh_table_cell(l, c->cell);

        if (open_now(cell, s->mono_ms) && GH_WORD_LEFT(cell->word) >= c->cost)
            continue;
        if (exhausted(cell, c->limit, s->mono_ms)) {
            if (c->limit->mode == GH_HARD)
                return refuse(l, s, i);
            continue;
        }
        if (c->limit->mode == GH_HARD || !open_now(cell, s->mono_ms))
            s->scopes[c->scope].lease = GH_LEASE_EMPTY;
    }
    s->due = true;
    s->retry_ms = hold > s->mono_ms ? hold - s->mono_ms : POLL_MS;
    return GH_SPEND_WAIT;
}

static void
admitted(struct gh_limiter *l, struct gh_spend *s)
{
    uint16_t i;

    for (i = 0; i < s->n; i++) {
        numbers(l, s, &s->charges[i]);
        look_ahead(l, s, &s->charges[i]);
    }
    if (s->degraded)
        atomic_fetch_add(&l->table->degraded, 1);
}

enum gh_spend_result
gh_spend_try(struct gh_limiter *l, struct gh_spend *s, bool may_wait)
{
    enum gh_spend_result r = refused_by_rule(s);
    uint16_t i;

    if (r != GH_SPEND_ADMIT)
        return r;
    for (i = 0; i < s->n; i++) {
        struct gh_charge *c = &s->charges[i];
        struct gh_cell *cell = gh_table_cell(l, c->cell);

        if (cell->rule != gh_rule(c->limit))
            adopt_rule(l, cell, c->limit);
        switch (take(l, s, c)) {
        case TAKEN:
            continue;
        case GONE:
            undo(l, s, i);
            s->retry_ms = POLL_MS;
            return may_wait ? GH_SPEND_WAIT : GH_SPEND_UNAVAILABLE;
        case LACKS:
            if (l->table->local && lease_alone(l, s, c) &&
                take(l, s, c) == TAKEN)
                continue;
            break;
        }
        r = settle(l, s, c, may_wait);
        if (r == GH_SPEND_ADMIT)
            continue;
        undo(l, s, (uint16_t)(i + 1));
        if (r == GH_SPEND_WAIT)
            return wait_for(l, s);
        if (r == GH_SPEND_REFUSED)
            return refuse(l, s, i);
        s->which = i;
        s->retry_ms = 1000;
        return r;
    }
    admitted(l, s);
    return GH_SPEND_ADMIT;
}

void
gh_spend_refund(struct gh_limiter *l, struct gh_spend *s)
{
    uint16_t i;

    for (i = 0; i < s->n; i++)
        put_back(l, &s->charges[i]);
}
