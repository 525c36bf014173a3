/* SPDX-License-Identifier: Apache-2.0 */
#include "table.h"

#include <errno.h>
#include <sched.h>

static const uint32_t class_size[CLASSES] = {
    [SCOPE] = sizeof(struct gh_scope) / GH_TABLE_UNIT,
    [CELL] = sizeof(struct gh_cell) / GH_TABLE_UNIT,
    [METER] = sizeof(struct gh_meter) / GH_TABLE_UNIT,
    [TAIL] = 32 / GH_TABLE_UNIT,
};

#define LOCK_TRIES 20000
/* a scope, three cells and a meter, made one after the other */
#define FETCHED 384

/* ---- lock and places ---- */

/*
 * A lock whose owner was killed comes with EOWNERDEAD: lists are changed by one
 * store at the end of each step, so all the dead one can have done is lose a
 * place. One that is stopped costs the spinning once: till the lock was had
 * again each try is a single one.
 */
bool
gh_table_lock(struct gh_limiter *l)
{
    int i, rc, tries = l->stuck ? 1 : LOCK_TRIES;

    for (i = 0; i < tries; i++) {
        rc = pthread_mutex_trylock(&l->table->lock);
        if (rc == 0 || rc == EOWNERDEAD)
            l->stuck = false;
        if (rc == 0)
            return true;
        if (rc == EOWNERDEAD)
            return pthread_mutex_consistent(&l->table->lock) == 0;
        if (rc != EBUSY)
            return false;
        if (i > 100)
            sched_yield();
    }
    l->stuck = true;
    return false;
}

void
gh_table_unlock(struct gh_limiter *l)
{
    pthread_mutex_unlock(&l->table->lock);
}

uint32_t
gh_table_take(struct gh_limiter *l, enum gh_table_class c)
{
    struct gh_limiter_table *t = l->table;
    uint32_t at = t->free[c];

    if (at != 0) {
        t->free[c] = *(uint32_t *)((char *)gh_table_at(l, at) + 12);
    } else {
        if (t->end - t->bump < class_size[c])
            return 0;
        at = t->bump;
        t->bump += class_size[c];
    }
    t->made[c]++;
    return at;
}

/* The list's link lies at byte 12, which in no class is what a reader without
 * the lock believes in (a cell's word, a scope's gen). */
void
gh_table_give(struct gh_limiter *l, enum gh_table_class c, uint32_t at)
{
    struct gh_limiter_table *t = l->table;

    *(uint32_t *)((char *)gh_table_at(l, at) + 12) = t->free[c];
    t->free[c] = at;
    t->made[c]--;
}

bool
gh_table_claim(_Atomic uint64_t *at, uint64_t mono_ms, uint64_t every)
{
    uint64_t last = atomic_load_explicit(at, memory_order_relaxed);

    if (last != 0 && mono_ms < last + every && mono_ms >= last)
        return false;
    return atomic_compare_exchange_strong(at, &last, mono_ms);
}

void
gh_table_new_round(struct gh_limiter *l)
{
    atomic_fetch_add(&l->table->round, 1);
    l->table->unswept = l->table->mask + 1;
}

/* ---- walks ---- */

#define WALK_MAX 0xffffffu

void
gh_table_walk(uint64_t *cursor, _Atomic uint32_t *hand)
{
    if (*cursor == 0)
        *cursor = (uint64_t)(*hand & WALK_MAX) << 16;
}

uint32_t
gh_table_walk_bucket(const struct gh_limiter *l, uint64_t cursor)
{
    uint32_t visited = (uint32_t)(cursor >> 40);
    uint32_t start = (uint32_t)(cursor >> 16) & WALK_MAX;

    return (start + visited) & l->table->mask;
}

void
gh_table_walk_on(const struct gh_limiter *l, uint64_t *cursor,
                 _Atomic uint32_t *hand)
{
    uint64_t visited = (*cursor >> 40) + 1;

    *hand = gh_table_walk_bucket(l, *cursor) + 1;
    *cursor = visited > l->table->mask
                  ? UINT64_MAX
                  : visited << 40 | (*cursor & (uint64_t)WALK_MAX << 16);
}

/* ---- names ---- */

uint64_t
gh_table_hash(uint64_t seed, uint8_t kind, struct gh_slice s)
{
    uint64_t h = seed ^ (kind * UINT64_C(0x9e3779b97f4a7c15)), k;
    size_t i;

    for (i = 0; i < s.len; i += 8) {
        k = 0;
        memcpy(&k, s.data + i, s.len - i < 8 ? s.len - i : 8);
        h = (h ^ k) * UINT64_C(0xff51afd7ed558ccd);
        h ^= h >> 32;
    }
    h = (h ^ s.len) * UINT64_C(0xc4ceb9fe1a85ec53);
    return h ^ h >> 29;
}

static _Atomic uint32_t *
bucket(const struct gh_limiter *l, uint64_t hash)
{
    _Atomic uint32_t *b = gh_table_at(l, l->table->buckets);

    return &b[hash & l->table->mask];
}

struct gh_slice
gh_table_symbol_text(const struct gh_limiter *l, uint32_t symbol)
{
    const struct gh_symbol *s;

    if (!gh_table_valid(l, symbol))
        return gh_slice(NULL, 0);
    s = gh_table_at(l, symbol);
    return gh_slice(s->text, s->len <= 255 ? s->len : 0);
}

/* ---- scopes ---- */

static bool
same_name(const struct gh_limiter *l, const struct gh_scope *s,
          struct gh_slice name)
{
    size_t first = name.len < sizeof(s->name) ? name.len : sizeof(s->name);

    if (s->len != name.len || memcmp(s->name, name.data, first) != 0)
        return false;
    if (name.len == first)
        return true;
    return gh_table_valid(l, s->tail) &&
           memcmp(gh_table_at(l, s->tail), name.data + first,
                  name.len - first) == 0;
}

/* A scope and what was made with it mostly lie side by side: all of it is
 * fetched at once, rather than line after line along the chains. */
static void
fetch_ahead(const struct gh_scope *s)
{
    const char *p = (const char *)s;
    size_t i;

    for (i = 64; i < FETCHED; i += 64)
        __builtin_prefetch(p + i, 1);
}

static uint32_t
find_hashed(const struct gh_limiter *l, uint64_t hash, uint8_t kind,
            struct gh_slice name, uint32_t *gen)
{
    uint32_t at = atomic_load_explicit(bucket(l, hash), memory_order_acquire);
    unsigned i;

    for (i = 0; gh_table_valid(l, at) && i < GH_TABLE_STEPS; i++) {
        struct gh_scope *s = gh_table_scope(l, at);
        uint32_t g;

        fetch_ahead(s);
        g = atomic_load_explicit(&s->gen, memory_order_acquire);
        if (s->hash == hash && (g & 1) == 0 && s->kind == kind &&
            same_name(l, s, name)) {
            /* without the fence the name may be read after gen was */
            atomic_thread_fence(memory_order_acquire);
            if (atomic_load_explicit(&s->gen, memory_order_relaxed) == g) {
                *gen = g;
                return at;
            }
        }
        at = atomic_load_explicit(&s->next, memory_order_acquire);
    }
    return 0;
}

uint32_t
gh_table_find(const struct gh_limiter *l, uint8_t kind, struct gh_slice name,
              uint32_t *gen)
{
    return find_hashed(l, gh_table_hash(l->table->seed, kind, name), kind, name,
                       gen);
}

uint32_t
gh_table_meter_sum(const struct gh_meter *m)
{
    uint32_t sum = (uint32_t)m->admitted;
    size_t i;

    for (i = 0; i < 6; i++)
        sum += m->other[i];
    return sum;
}

/* Nothing in it matters any more: no window is open, all usage was told. */
static bool
expired(const struct gh_limiter *l, const struct gh_scope *s, uint64_t mono_ms)
{
    uint32_t at, i;

    if (mono_ms / 1000 < s->used_s + GH_SCOPE_IDLE_MS / 1000 ||
        s->flight > mono_ms)
        return false;
    for (at = s->cells, i = 0; gh_table_valid(l, at) && i < GH_TABLE_STEPS;
         i++) {
        const struct gh_cell *c = gh_table_cell(l, at);

        if (c->end > mono_ms)
            return false;
        at = c->next;
    }
    for (at = s->meters, i = 0; gh_table_valid(l, at) && i < GH_TABLE_STEPS;
         i++) {
        const struct gh_meter *m = gh_table_at(l, at);

        if (gh_table_meter_sum(m) != m->sent)
            return false;
        at = m->next;
    }
    return true;
}

/*
 * The order matters to readers without the lock: first the scope is marked,
 * then every cell gets a new sequence number, so that who found a cell before
 * cannot spend from it; only then do the places go to others.
 */
static void
put_out(struct gh_limiter *l, _Atomic uint32_t *link, uint32_t at)
{
    struct gh_scope *s = gh_table_scope(l, at);
    uint32_t i, next;

    atomic_fetch_add(&s->gen, 1);
    if ((s->recall & GH_RECALLED) != 0)
        atomic_fetch_sub(&l->table->recalls, 1);
    *link = s->next;
    for (i = s->cells; gh_table_valid(l, i); i = next) {
        struct gh_cell *c = gh_table_cell(l, i);

        next = c->next;
        c->end = 0;
        c->word = GH_WORD(GH_WORD_SEQ(c->word) + 1, 0);
        gh_table_give(l, CELL, i);
    }
    for (i = s->meters; gh_table_valid(l, i); i = next) {
        next = ((struct gh_meter *)gh_table_at(l, i))->next;
        gh_table_give(l, METER, i);
    }
    if (s->tail != 0)
        gh_table_give(l, TAIL, s->tail);
    s->cells = s->meters = s->tail = 0;
    gh_table_give(l, SCOPE, at);
    l->table->evicted++;
}

/* Looks at some buckets, going round; true when something was put out. */
static bool
evict(struct gh_limiter *l, uint64_t mono_ms)
{
    struct gh_limiter_table *t = l->table;
    _Atomic uint32_t *b = gh_table_at(l, t->buckets), *link;
    unsigned n, out = 0, steps;

    for (n = 0; n < 256 && out < 4; n++) {
        link = &b[t->hand++ & t->mask];
        for (steps = 0; gh_table_valid(l, *link) && steps < GH_TABLE_STEPS;
             steps++) {
            struct gh_scope *s = gh_table_scope(l, *link);

            if (expired(l, s, mono_ms)) {
                put_out(l, link, *link);
                out++;
            } else {
                link = &s->next;
            }
        }
    }
    return out > 0;
}

/* A place, putting out others if need be. */
static uint32_t
take_or_evict(struct gh_limiter *l, enum gh_table_class c, uint64_t mono_ms)
{
    uint32_t at = gh_table_take(l, c);

    if (at == 0 && evict(l, mono_ms))
        at = gh_table_take(l, c);
    if (at == 0)
        l->table->full++;
    return at;
}

static uint32_t
make_scope(struct gh_limiter *l, uint64_t hash, uint8_t kind,
           struct gh_slice name, uint64_t mono_ms, uint32_t *gen)
{
    uint32_t tail = 0, at = take_or_evict(l, SCOPE, mono_ms);
    struct gh_scope *s;
    size_t first = sizeof(s->name);

    if (at == 0)
        return 0;
    if (name.len > first) {
        tail = take_or_evict(l, TAIL, mono_ms);
        if (tail == 0) {
            gh_table_give(l, SCOPE, at);
            return 0;
        }
        memcpy(gh_table_at(l, tail), name.data + first, name.len - first);
    }
    s = gh_table_scope(l, at);
    if ((s->gen & 1) == 0) /* never used */
        s->gen++;
    s->hash = hash;
    s->kind = kind;
    s->len = (uint8_t)name.len;
    memcpy(s->name, name.data, name.len < first ? name.len : first);
    s->tail = tail;
    s->flight = 0;
    s->cells = s->meters = 0;
    s->ncells = s->recall = 0;
    s->used_s = (uint32_t)(mono_ms / 1000);
    s->asserted = l->table->round;
    s->next = *bucket(l, hash);
    *gen = atomic_fetch_add(&s->gen, 1) + 1;
    atomic_store_explicit(bucket(l, hash), at, memory_order_release);
    return at;
}

uint32_t
gh_table_scope_get(struct gh_limiter *l, uint8_t kind, struct gh_slice name,
                   uint64_t mono_ms, uint32_t *gen)
{
    uint64_t hash = gh_table_hash(l->table->seed, kind, name);
    uint32_t at = find_hashed(l, hash, kind, name, gen);

    if (at != 0 || name.len == 0 || name.len > GH_NAME_MAX)
        return at;
    if (!gh_table_lock(l))
        return 0;
    at = find_hashed(l, hash, kind, name, gen);
    if (at == 0)
        at = make_scope(l, hash, kind, name, mono_ms, gen);
    gh_table_unlock(l);
    return at;
}

int
gh_table_name(const struct gh_limiter *l, uint32_t scope, uint32_t gen,
              uint8_t *kind, char out[GH_NAME_SIZE])
{
    struct gh_scope *s = gh_table_scope(l, scope);
    size_t n = s->len <= GH_NAME_MAX ? s->len : GH_NAME_MAX;
    size_t first = n < sizeof(s->name) ? n : sizeof(s->name);

    *kind = s->kind;
    memcpy(out, s->name, first);
    if (n > first && gh_table_valid(l, s->tail))
        memcpy(out + first, gh_table_at(l, s->tail), n - first);
    out[n] = '\0';
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&s->gen, memory_order_relaxed) == gen ? 0 : -1;
}

/* ---- cells ---- */

uint32_t
gh_table_cell_find(const struct gh_limiter *l, const struct gh_scope *scope,
                   uint32_t symbol)
{
    uint32_t at = atomic_load_explicit(&scope->cells, memory_order_acquire);
    unsigned i;

    for (i = 0; gh_table_valid(l, at) && i <= GH_CELLS_MAX; i++) {
        struct gh_cell *c = gh_table_cell(l, at);

        if (atomic_load_explicit(&c->symbol, memory_order_acquire) == symbol)
            return at;
        at = atomic_load_explicit(&c->next, memory_order_acquire);
    }
    return 0;
}

void
gh_table_cell_roll(struct gh_cell *c, uint32_t window, uint64_t end)
{
    uint64_t w = c->word;

    /* first nothing is left, so that no figure below is used while it changes;
     * and what was taken before cannot be added back to the new window */
    while (!atomic_compare_exchange_weak(&c->word, &w,
                                         GH_WORD(GH_WORD_SEQ(w) + 1, 0)))
        ;
    c->granted = 0;
    c->given = c->extra = c->slice = c->refused = 0;
    c->free = c->rule >> 8;
    c->quiet = 0;
    c->window = window;
    c->end = end;
}

bool
gh_table_cell_credit(struct gh_cell *c, uint64_t granted)
{
    uint64_t more = granted > c->granted ? granted - c->granted : 0;
    uint64_t w = c->word, room = UINT32_MAX / 2;

    if (GH_WORD_LEFT(w) >= room || more == 0)
        return false;
    if (more > room)
        more = room; /* the rest another time */
    /* first what was granted, then what is left: dying in between loses the
     * slice; the other way round it would count twice */
    c->granted += more;
    while (!atomic_compare_exchange_weak(&c->word, &w, w + more))
        ;
    return true;
}

/* The scope's limits were edited so often that its places are all taken: one
 * whose window is over serves anew. */
static uint32_t
recycle(struct gh_limiter *l, struct gh_scope *s, uint64_t mono_ms)
{
    uint32_t at = s->cells;

    while (gh_table_valid(l, at)) {
        struct gh_cell *c = gh_table_cell(l, at);

        if (c->end <= mono_ms) {
            gh_table_cell_roll(c, 0, 0);
            return at;
        }
        at = c->next;
    }
    return 0;
}

static uint32_t
make_cell(struct gh_limiter *l, struct gh_scope *s,
          const struct gh_limit_ref *ref, uint64_t mono_ms)
{
    bool linked = s->ncells >= GH_CELLS_MAX;
    uint32_t at =
        linked ? recycle(l, s, mono_ms) : take_or_evict(l, CELL, mono_ms);
    struct gh_cell *c;

    if (at == 0)
        return 0;
    c = gh_table_cell(l, at);
    c->rule = gh_rule(ref);
    gh_table_cell_roll(c, 0, 0);
    c->asked = 0;
    c->pending = 0;
    atomic_store_explicit(&c->symbol, ref->symbol, memory_order_release);
    if (!linked) {
        c->next = s->cells;
        s->ncells++;
        atomic_store_explicit(&s->cells, at, memory_order_release);
    }
    return at;
}

uint32_t
gh_table_cell_get(struct gh_limiter *l, uint32_t scope, uint32_t gen,
                  const struct gh_limit_ref *ref, uint64_t mono_ms)
{
    struct gh_scope *s = gh_table_scope(l, scope);
    uint32_t at = gh_table_cell_find(l, s, ref->symbol);

    if (at != 0 || ref->symbol == 0)
        return ref->symbol == 0 ? 0 : at;
    if (!gh_table_lock(l))
        return 0;
    if (s->gen == gen) {
        /* so that making room does not put out the scope itself */
        s->used_s = (uint32_t)(mono_ms / 1000);
        at = gh_table_cell_find(l, s, ref->symbol);
        if (at == 0)
            at = make_cell(l, s, ref, mono_ms);
    }
    gh_table_unlock(l);
    return at;
}
