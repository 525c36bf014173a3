/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"
#include "table.h"

#include <stdio.h>

/* Bytes of one active application with three limits: for the hash's size. */
#define TYPICAL 384

/* ---- the table ---- */

static uint32_t
power_of_two(uint64_t least)
{
    uint32_t n = 64;

    while (n < least && n < (1u << 23))
        n *= 2;
    return n;
}

static int
init_lock(pthread_mutex_t *m)
{
    pthread_mutexattr_t a;
    int rc = pthread_mutexattr_init(&a);

    if (rc != 0)
        return rc;
    rc = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    if (rc == 0)
        rc = pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    if (rc == 0)
        rc = pthread_mutex_init(m, &a);
    pthread_mutexattr_destroy(&a);
    return rc;
}

int
gh_limiter_format(void *mem, size_t size, struct gh_error *e)
{
    struct gh_limiter_table *t = mem;
    uint32_t at = (sizeof(*t) + GH_TABLE_UNIT - 1) / GH_TABLE_UNIT;
    int rc;

    if (size < GH_LIMITER_MIN || size / GH_TABLE_UNIT >= UINT32_MAX ||
        (uintptr_t)mem % 64 != 0)
        return gh_error_set(e, GH_EINVAL, "limiter: zone too small or large");
    memset(mem, 0, size);
    rc = init_lock(&t->lock);
    if (rc != 0)
        return gh_error_sys(e, rc, "limiter: lock");
    gh_random(&t->node, sizeof(t->node));
    gh_random(&t->seed, sizeof(t->seed));
    t->size = size;
    t->mask = power_of_two(size / TYPICAL / 2) - 1;
    t->symbol_mask = power_of_two(size / 65536) - 1;
    t->buckets = at;
    at += (t->mask + 1) / 4;
    t->symbol_buckets = at;
    at += (t->symbol_mask + 1) / 4;
    t->bump = at;
    t->end = (uint32_t)(size / GH_TABLE_UNIT);
    t->hosts = 1;
    t->round = 1;
    t->unswept = t->mask + 1;
    t->layout = GH_LIMITER_LAYOUT;
    atomic_thread_fence(memory_order_release);
    t->magic = GH_TABLE_MAGIC; /* last: a table that is not whole is none */
    return 0;
}

int
gh_limiter_attach(struct gh_limiter *l, void *mem, size_t size,
                  struct gh_error *e)
{
    struct gh_limiter_table *t = mem;

    if (size < GH_LIMITER_MIN || t->magic != GH_TABLE_MAGIC ||
        t->layout != GH_LIMITER_LAYOUT || t->size != size)
        return gh_error_set(e, GH_ECORRUPT,
                            "limiter: the zone holds no table of this layout");
    l->table = t;
    l->base = mem;
    l->size = size;
    l->stuck = false;
    return 0;
}

uint64_t
gh_limiter_node(const struct gh_limiter *l)
{
    return l->table->node;
}

void
gh_limiter_stats(const struct gh_limiter *l, struct gh_limiter_stats *out)
{
    const struct gh_limiter_table *t = l->table;

    *out = (struct gh_limiter_stats){
        .scopes = t->made[SCOPE],
        .cells = t->made[CELL],
        .meters = t->made[METER],
        .symbols = t->symbols,
        .used = (uint64_t)t->bump * GH_TABLE_UNIT,
        .size = t->size,
        .evicted = t->evicted,
        .full = t->full,
        .hosts = t->hosts,
        .store_up = t->down_since == 0,
        .degraded = t->degraded,
    };
}

/* ---- names ---- */

uint32_t
gh_limiter_symbol(struct gh_limiter *l, struct gh_slice text)
{
    struct gh_limiter_table *t = l->table;
    uint64_t hash = gh_table_hash(t->seed, 0, text);
    _Atomic uint32_t *b = gh_table_at(l, t->symbol_buckets);
    uint32_t at, units, i;

    if (text.len == 0 || text.len > 255 || !gh_table_lock(l))
        return 0;
    b += hash & t->symbol_mask;
    for (at = *b, i = 0; gh_table_valid(l, at) && i < GH_TABLE_STEPS; i++) {
        struct gh_symbol *s = gh_table_at(l, at);

        if (s->hash == hash && s->len == text.len &&
            memcmp(s->text, text.data, text.len) == 0)
            break;
        at = s->next;
    }
    units =
        (uint32_t)((sizeof(struct gh_symbol) + text.len + GH_TABLE_UNIT - 1) /
                   GH_TABLE_UNIT);
    if (at == 0 && t->end - t->bump >= units) {
        struct gh_symbol *s = gh_table_at(l, t->bump);

        s->hash = hash;
        s->len = (uint32_t)text.len;
        memcpy(s->text, text.data, text.len);
        s->next = *b;
        at = t->bump;
        t->bump += units;
        t->symbols++;
        *b = at;
    }
    gh_table_unlock(l);
    return at;
}

/* How many before limit i count the same. */
static size_t
twins(const struct gh_limits *limits, size_t i)
{
    const struct gh_limit *v = limits->at;
    size_t j, n = 0;

    for (j = 0; j < i; j++)
        n += v[j].period == v[i].period && gh_slice_eq(v[j].api, v[i].api) &&
             gh_slice_eq(v[j].metric, v[i].metric);
    return n;
}

static uint32_t
limit_symbol(struct gh_limiter *l, const struct gh_limits *limits, size_t i)
{
    const struct gh_limit *v = &limits->at[i];
    char text[2 * GH_NAME_SIZE + 32], twin[16] = "";
    size_t before = twins(limits, i);
    int n;

    if (before > 0)
        snprintf(twin, sizeof(twin), ":%zu", before + 1);
    n = snprintf(
        text, sizeof(text), "%.*s:%.*s:%s%s", v->api.len ? (int)v->api.len : 1,
        v->api.len ? (const char *)v->api.data : "-", (int)v->metric.len,
        (const char *)v->metric.data, gh_period_name(v->period), twin);
    return n > 0 && n < (int)sizeof(text)
               ? gh_limiter_symbol(l, gh_slice(text, (size_t)n))
               : 0;
}

void
gh_limiter_prepare(struct gh_limiter *l, const struct gh_limits *limits,
                   struct gh_limit_ref *out)
{
    size_t i;

    for (i = 0; i < limits->n; i++)
        out[i] = (struct gh_limit_ref){
            .symbol = limit_symbol(l, limits, i),
            .period = (uint8_t)limits->at[i].period,
            .mode = (uint8_t)limits->at[i].mode,
            .value = limits->at[i].value,
        };
}

/* ---- the store ---- */

void
gh_limiter_store_down(struct gh_limiter *l, uint64_t mono_ms)
{
    uint64_t up = 0;

    atomic_compare_exchange_strong(&l->table->down_since, &up,
                                   mono_ms ? mono_ms : 1);
}

void
gh_limiter_store_up(struct gh_limiter *l)
{
    /* what was admitted meanwhile is told with the next sweep */
    if (atomic_exchange(&l->table->down_since, 0) != 0)
        gh_table_new_round(l);
}

void
gh_limiter_store_local(struct gh_limiter *l, bool local)
{
    l->table->local = local;
    if (local)
        l->table->down_since = 0;
    else
        gh_table_new_round(l);
}

void
gh_limiter_wake(struct gh_limiter *l, enum gh_scope_kind kind,
                struct gh_slice name)
{
    uint32_t gen, at, i;
    struct gh_scope *s;

    if (!gh_table_lock(l))
        return;
    at = gh_table_find(l, (uint8_t)kind, name, &gen);
    if (at != 0) {
        s = gh_table_scope(l, at);
        for (at = s->cells, i = 0; gh_table_valid(l, at) && i < GH_TABLE_STEPS;
             i++) {
            struct gh_cell *c = gh_table_cell(l, at);

            c->quiet = 0;
            at = c->next;
        }
    }
    gh_table_unlock(l);
}
