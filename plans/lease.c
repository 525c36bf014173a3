/* SPDX-License-Identifier: Apache-2.0 */
#include "lease_inner.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

#define AHEAD_MS 100 /* a slice is what this long needs */
/* However slow the calls: else each of many applications would lease for every
 * few of its own. A small part of what is free, so that little can strand. */
#define LEAST_PART 64
#define LEAST_MAX 1024
#define LEASE_HEAD 4   /* integers before the limits in a reply */
#define LEASE_FIELDS 5 /* per limit */

/* ---- commands ---- */

static void
arg(struct gh_buffer *b, struct gh_slice s)
{
    gh_buffer_append(b, gh_slice("$", 1));
    gh_buffer_decimal(b, s.len);
    gh_buffer_append(b, gh_slice("\r\n", 2));
    gh_buffer_append(b, s);
    gh_buffer_text(b, "\r\n");
}

static void
arg_str(struct gh_buffer *b, const char *s)
{
    arg(b, gh_slice_str(s));
}

static void
arg_u64(struct gh_buffer *b, uint64_t v)
{
    char digits[20], *p = digits + sizeof(digits);

    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    arg(b, gh_slice(p, (size_t)(digits + sizeof(digits) - p)));
}

static void
arg_node(struct gh_buffer *b, const struct gh_limiter *l)
{
    char text[24];

    snprintf(text, sizeof(text), "%016llx", (unsigned long long)l->table->node);
    arg_str(b, text);
}

#define EPOCH_KEY "gh:{gate}:epoch"
#define NODES_KEY "gh:{gate}:nodes"

/* ---- replies ---- */

/* An array of at least n integers. */
static bool
integers(const struct redisReply *r, size_t n)
{
    size_t i;

    if (r == NULL || r->type != REDIS_REPLY_ARRAY || (size_t)r->elements < n)
        return false;
    for (i = 0; i < (size_t)r->elements; i++)
        if (r->element[i] == NULL || r->element[i]->type != REDIS_REPLY_INTEGER)
            return false;
    return true;
}

static uint64_t
number(const struct redisReply *r, size_t i)
{
    long long v = r->element[i]->integer;

    return v < 0 ? 0 : (uint64_t)v;
}

/* What the store says of itself: its clock, its epoch, how long it holds. */
static bool
store_says(struct gh_limiter *l, uint64_t asked_ms, uint64_t now,
           uint64_t epoch, uint64_t hold)
{
    struct gh_limiter_table *t = l->table;
    bool changed = epoch != 0 && atomic_exchange(&t->epoch, epoch) != epoch;

    if (now > asked_ms)
        t->clock = now - asked_ms;
    if (hold > 0)
        t->hold_until = asked_ms + (hold < GH_HOLD_MS ? hold : GH_HOLD_MS);
    if (changed)
        gh_table_new_round(l);
    return changed;
}

/* ---- pulse ---- */

bool
gh_pulse_claim(struct gh_limiter *l, uint64_t mono_ms)
{
    return gh_table_claim(&l->table->pulse_at, mono_ms, GH_PULSE_MS);
}

void
gh_pulse_command(const struct gh_limiter *l, const struct gh_scripts *s,
                 struct gh_buffer *out)
{
    gh_buffer_text(out, "*10\r\n");
    arg_str(out, "EVALSHA");
    arg_str(out, s->pulse.sha);
    arg_str(out, "2");
    arg_str(out, NODES_KEY);
    arg_str(out, EPOCH_KEY);
    arg_node(out, l);
    arg_u64(out, GH_HOST_LIVE_MS);
    arg_u64(out, GH_HOLD_MS);
    arg_u64(out, l->table->epoch);
    arg_u64(out, l->table->unswept > 0);
}

int
gh_pulse_apply(struct gh_limiter *l, uint64_t asked_ms,
               const struct redisReply *r)
{
    uint64_t hosts;
    bool changed;

    if (!integers(r, 4) || r->elements != 4)
        return -1;
    changed = store_says(l, asked_ms, number(r, 0), number(r, 1), number(r, 3));
    hosts = number(r, 2);
    hosts = hosts == 0 ? 1 : hosts < 65536 ? hosts : 65536;
    /* in a hold those that are late are not there yet, but they live */
    if (number(r, 3) == 0 || hosts > l->table->hosts)
        l->table->hosts = (uint32_t)hosts;
    gh_limiter_store_up(l);
    return changed;
}

/* ---- a scope's flight ---- */

bool
gh_lease_claim(struct gh_scope *s, uint64_t mono_ms, uint64_t *token)
{
    uint64_t had = s->flight;

    *token = mono_ms + GH_FLIGHT_MS;
    return had <= mono_ms &&
           atomic_compare_exchange_strong(&s->flight, &had, *token);
}

void
gh_lease_land(struct gh_limiter *l, const struct gh_lease *lease)
{
    uint64_t token = lease->token;

    atomic_compare_exchange_strong(&gh_table_scope(l, lease->scope)->flight,
                                   &token, 0);
}

void
gh_lease_fail(struct gh_limiter *l, struct gh_lease *lease)
{
    const struct gh_scope *s = gh_table_scope(l, lease->scope);

    if (s->gen == lease->gen && s->asserted != l->table->round)
        l->table->unswept = l->table->mask + 1; /* it may be untold */
    gh_lease_land(l, lease);
}

/* ---- how much ---- */

/* What the request at hand needs of this cell: 0 when it has no charge on it.
 */
static uint32_t
needed(const struct gh_spend *s, size_t scope, uint32_t cell)
{
    const struct gh_spend_scope *sc;
    uint16_t i;

    if (s == NULL)
        return 0;
    sc = &s->scopes[scope];
    for (i = sc->first; i < sc->first + sc->n; i++)
        if (s->charges[i].cell == cell)
            return s->charges[i].cost;
    return 0;
}

/*
 * The least that a lease is for, lest who calls seldom leases for every call: a
 * thousandth of the limit, 4 to 256. What lies unused comes back when it is
 * missed.
 */
static uint64_t
least(const struct gh_cell *c)
{
    uint64_t n = c->rule >> 8 >> 10;

    return n < 4 ? 4 : n < 256 ? n : 256;
}

/* Of a new window: what AHEAD_MS needed in the one before, if that was just
 * now. */
static uint64_t
first_want(const struct gh_cell *c, uint64_t mono_ms)
{
    uint64_t ms = gh_period_seconds((enum gh_period)(c->rule >> 4 & 15)) * 1000;
    uint64_t gone = c->granted - c->given, left = GH_WORD_LEFT(c->word);

    if (ms == 0 || c->end == 0 || mono_ms < c->end || mono_ms > c->end + ms ||
        gone <= left)
        return 0;
    return (gone - left) * AHEAD_MS / ms;
}

/* What AHEAD_MS need at the rate since the last lease; twice the slice where
 * that did not last so long. */
static uint64_t
next_want(const struct gh_cell *c, uint64_t mono_ms)
{
    uint64_t left = GH_WORD_LEFT(c->word), slice = c->slice, want;
    uint64_t spent = slice > left ? slice - left : 0;
    uint64_t elapsed = (uint32_t)mono_ms - c->asked;

    want = spent * AHEAD_MS / (elapsed ? elapsed : 1);
    return elapsed < AHEAD_MS && want < 2 * slice ? 2 * slice : want;
}

/* How much to ask for, on top of what is left. 0: enough is left. */
static uint64_t
wanted(const struct gh_cell *c, uint64_t mono_ms, uint32_t need)
{
    uint64_t left = GH_WORD_LEFT(c->word), want, some = least(c);
    bool open = mono_ms < c->end;

    if (open && c->slice > 0 && left * 3 >= c->slice && left >= need)
        return 0;
    if (!open)
        left = 0;
    want =
        open && c->slice > 0 ? next_want(c, mono_ms) : first_want(c, mono_ms);
    want = want < some ? some : want;
    want = want < need ? need : want;
    if (want > UINT32_MAX / 4)
        want = UINT32_MAX / 4;
    return want > left ? want - left : 1;
}

/* ---- building the call ---- */

struct call {
    const struct gh_spend *s; /* or NULL */
    size_t scope;
    bool ask; /* for grants; else only tell */
};

static bool
may_ask(const struct gh_cell *c, const struct call *call, uint64_t mono_ms,
        uint32_t need)
{
    return call->ask && need > 0 &&
           !(mono_ms < c->end && gh_table_quiet(c, mono_ms));
}

/* Which cells the call is about: those of the request and all open ones. */
static void
choose_cells(const struct gh_limiter *l, const struct call *call,
             uint64_t mono_ms, struct gh_lease *out)
{
    const struct gh_scope *s = gh_table_scope(l, out->scope);
    uint32_t at;

    out->n = 0;
    for (at = s->cells; gh_table_valid(l, at) && out->n < GH_LEASE_LIMITS;) {
        const struct gh_cell *c = gh_table_cell(l, at);
        bool open = mono_ms < c->end;
        uint32_t need = needed(call->s, call->scope, at);

        if (open || need > 0) {
            out->at[out->n].cell = at;
            out->at[out->n].seq = GH_WORD_SEQ(c->word);
            out->at[out->n].window = c->window;
            out->at[out->n].open = c->end != 0;
            out->at[out->n].rule = c->rule;
            out->n++;
        }
        at = c->next;
    }
}

static void
write_totals(struct gh_buffer *b, const struct gh_cell *c)
{
    uint64_t granted = c->granted, given = c->given, extra = c->extra;
    uint64_t left = GH_WORD_LEFT(c->word), gone = granted - given;

    arg_u64(b, granted);
    arg_u64(b, given);
    arg_u64(b, extra);
    arg_u64(b, gone > left ? gone - left : 0);
    arg_u64(b, c->refused);
}

/* No more than the script would grant by what is known here, so that little is
 * put down as pending; a lease that gets less learns what is free. */
static uint64_t
within(const struct gh_limiter *l, const struct gh_cell *c, uint64_t mono_ms,
       uint64_t want)
{
    uint64_t free = mono_ms < c->end ? c->free : c->rule >> 8;
    uint64_t pending = c->pending, hosts = l->table->hosts, share;

    free = free > pending ? free - pending : 0;
    share = free / (2 * (hosts ? hosts : 1));
    share = share < 1 ? 1 : share;
    return want < share ? want : share;
}

/* What this call may be granted, noted before it is sent: whoever sends it may
 * be killed, and its answer lost. */
static void
pend(struct gh_cell *c, uint32_t want)
{
    uint32_t had = c->pending;

    c->pending = had > UINT32_MAX - want ? UINT32_MAX : had + want;
}

static void
write_limit(const struct gh_limiter *l, const struct call *call,
            uint64_t mono_ms, struct gh_lease *lease, uint16_t i,
            struct gh_buffer *b)
{
    struct gh_cell *c = gh_table_cell(l, lease->at[i].cell);
    uint64_t rule = lease->at[i].rule, want = 0;
    uint32_t need = needed(call->s, call->scope, lease->at[i].cell);

    if (may_ask(c, call, mono_ms, need))
        want = within(l, c, mono_ms, wanted(c, mono_ms, need));
    lease->at[i].want = want == 0 ? 0 : (uint32_t)(want < need ? need : want);
    pend(c, lease->at[i].want);
    arg_u64(b, rule >> 4 & 15);
    arg_u64(b, rule >> 8);
    arg_u64(b, want);
    arg_u64(b, want > 0 ? need : 0);
    if (lease->at[i].open)
        arg_u64(b, c->window);
    else
        arg_str(b, "-1"); /* "ever" starts at 0: none is not 0 */
    arg_u64(b, lease->at[i].cell);
    arg_u64(b, lease->at[i].seq);
    write_totals(b, c);
}

/* Under the lock. The name is the scope's own. */
static void
write_call(const struct gh_limiter *l, const struct gh_scripts *scripts,
           const struct call *call, uint64_t mono_ms, uint8_t kind,
           const char *name, struct gh_lease *lease, struct gh_buffer *b)
{
    unsigned keys = lease->n + (scripts->cluster ? 0u : 1u);
    char text[512];
    uint16_t i;

    gh_buffer_printf(b, "*%u\r\n", 3 + keys + 5 + 12u * lease->n);
    arg_str(b, "EVALSHA");
    arg_str(b, scripts->lease.sha);
    arg_u64(b, keys);
    for (i = 0; i < lease->n; i++) {
        struct gh_slice s = gh_table_symbol_text(
            l, gh_table_cell(l, lease->at[i].cell)->symbol);

        snprintf(text, sizeof(text), "gh:{%c:%s}:l:%.*s", kind, name,
                 (int)s.len, (const char *)s.data);
        arg_str(b, text);
    }
    if (!scripts->cluster)
        arg_str(b, EPOCH_KEY);
    arg_node(b, l);
    arg_u64(b, l->table->hosts);
    arg_u64(b, GH_HOLD_MS);
    arg_u64(b, lease->n);
    snprintf(text, sizeof(text), "%c:%s", kind, name);
    arg_str(b, text);
    for (i = 0; i < lease->n; i++)
        write_limit(l, call, mono_ms, lease, i, b);
}

/* 1: built. 0: nothing to say, or not now. The flight is the caller's. */
static int
build(struct gh_limiter *l, const struct gh_scripts *scripts,
      const struct call *call, uint64_t mono_ms, struct gh_lease *out,
      struct gh_buffer *command)
{
    char name[GH_NAME_SIZE];
    uint8_t kind;
    int built = 0;

    out->asked_ms = mono_ms;
    out->n = 0;
    if (!gh_table_lock(l))
        return 0;
    out->round = l->table->round;
    out->epoch = l->table->epoch;
    if (gh_table_name(l, out->scope, out->gen, &kind, name) == 0) {
        choose_cells(l, call, mono_ms, out);
        if (out->n > 0) {
            write_call(l, scripts, call, mono_ms, kind, name, out, command);
            built = !command->failed;
        }
    }
    gh_table_unlock(l);
    return built;
}

int
gh_lease_tell(struct gh_limiter *l, const struct gh_scripts *scripts,
              uint64_t mono_ms, struct gh_lease *out, struct gh_buffer *command)
{
    const struct call call = {NULL, 0, false};

    return build(l, scripts, &call, mono_ms, out, command);
}

int
gh_lease_begin(struct gh_limiter *l, const struct gh_scripts *scripts,
               const struct gh_spend *s, size_t scope, uint64_t mono_ms,
               struct gh_lease *out, struct gh_buffer *command)
{
    const struct gh_spend_scope *sc = &s->scopes[scope];
    const struct call call = {s, scope, true};

    if (sc->lease == GH_LEASE_NONE || sc->at == 0 ||
        mono_ms < l->table->hold_until)
        return 0;
    out->scope = sc->at;
    out->gen = sc->gen;
    if (!gh_lease_claim(gh_table_scope(l, sc->at), mono_ms, &out->token))
        return 0;
    if (build(l, scripts, &call, mono_ms, out, command) == 1)
        return 1;
    gh_lease_land(l, out);
    return 0;
}

/* ---- taking in the reply ---- */

struct grant {
    uint32_t window;
    bool endless;
    uint64_t rest_ms, granted, free, unspent;
};

static void
be_quiet(struct gh_cell *c, const struct gh_lease *lease, uint16_t i,
         const struct grant *g)
{
    if (lease->at[i].rule != c->rule)
        return; /* edited meanwhile: this answer is about the old limit */
    if (g->free > 0)
        c->quiet = 0;
    else if (g->unspent > 0 && lease->at[i].want > 0)
        c->quiet = gh_table_quiet_till(lease->asked_ms + GH_RECALL_MS);
    else if (lease->at[i].want > 0)
        c->quiet = GH_QUIET;
}

static void
take_in(struct gh_limiter *l, const struct gh_lease *lease, uint16_t i,
        const struct grant *g, bool held, bool newest)
{
    struct gh_cell *c = gh_table_cell(l, lease->at[i].cell);
    bool same = lease->at[i].open && lease->at[i].window == g->window;
    uint32_t life = lease->at[i].seq + (same ? 0 : 1);
    uint32_t seq = GH_WORD_SEQ(c->word);
    uint64_t end = g->endless ? UINT64_MAX : lease->asked_ms + g->rest_ms;

    if (c->end == 0 || g->window > c->window) {
        if (seq + 1 != life)
            return; /* about an earlier life of the cell */
        gh_table_cell_roll(c, g->window, end);
    } else if (g->window < c->window || seq != life) {
        return;
    } else if (end > c->end) {
        c->end = end; /* each answer is a lower bound of the true end */
    }
    if (newest || g->free < c->free)
        c->free = g->free;
    gh_table_cell_credit(c, g->granted);
    if (newest)
        c->pending = 0; /* after the credit: dying in between says too much */
    if (lease->at[i].want > 0 && !held) {
        c->slice = GH_WORD_LEFT(c->word);
        c->asked = (uint32_t)lease->asked_ms;
    }
    if (!held)
        be_quiet(c, lease, i, g);
}

static void
take_in_all(struct gh_limiter *l, struct gh_lease *lease,
            const struct redisReply *r)
{
    struct gh_scope *s = gh_table_scope(l, lease->scope);
    bool held = number(r, 2) > 0, newest = s->flight == lease->token;
    uint16_t i;

    if (s->gen != lease->gen)
        return;
    for (i = 0; i < lease->n; i++) {
        size_t k = LEASE_HEAD + (size_t)i * LEASE_FIELDS;
        struct grant g = {
            .window = (uint32_t)number(r, k),
            .endless = r->element[k + 1]->integer < 0,
            .rest_ms = number(r, k + 1),
            .granted = number(r, k + 2),
            .free = number(r, k + 3),
            .unspent = number(r, k + 4),
        };

        take_in(l, lease, i, &g, held, newest);
    }
    if ((int32_t)(lease->round - s->asserted) > 0)
        s->asserted = lease->round; /* a late one is no news */
}

/* A late answer of the store's former life: what it granted the store has lost,
 * and this host may have told its totals without it. */
static bool
outdated(const struct gh_limiter *l, const struct gh_lease *lease,
         uint64_t epoch)
{
    return epoch == lease->epoch && epoch != l->table->epoch;
}

/* The script was not run, so nothing was granted. */
static void
not_run(struct gh_limiter *l, const struct gh_lease *lease)
{
    uint16_t i;

    if (!gh_table_lock(l))
        return;
    for (i = 0;
         gh_table_scope(l, lease->scope)->gen == lease->gen && i < lease->n;
         i++) {
        struct gh_cell *c = gh_table_cell(l, lease->at[i].cell);
        uint32_t had = c->pending, want = lease->at[i].want;

        c->pending = had > want ? had - want : 0;
    }
    gh_table_unlock(l);
}

int
gh_lease_apply(struct gh_limiter *l, struct gh_lease *lease, uint64_t mono_ms,
               const struct redisReply *r)
{
    size_t want = LEASE_HEAD + (size_t)lease->n * LEASE_FIELDS;
    int rc = -1;

    if (integers(r, want) && (size_t)r->elements == want &&
        !outdated(l, lease, number(r, 1))) {
        store_says(l, lease->asked_ms, number(r, 0), number(r, 1),
                   number(r, 2));
        if (number(r, 3) != 0) /* it lost what we had: tell it all */
            gh_table_new_round(l);
        if (gh_table_lock(l)) {
            take_in_all(l, lease, r);
            gh_table_unlock(l);
            rc = 0;
        }
    } else if (r != NULL && r->type == REDIS_REPLY_ERROR &&
               gh_reaction_of(r) != GH_REACT_BAD) {
        not_run(l, lease);
    }
    gh_lease_land(l, lease);
    return rc;
}
