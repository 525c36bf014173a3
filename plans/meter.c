/* SPDX-License-Identifier: Apache-2.0 */
#include "meter.h"
#include "encode.h"
#include "table.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

#define HOUR_MS 3600000
#define KEEP_S (90 * 86400)
#define METERS_MAX 4096 /* of one application */
#define FLUSHES_S 256   /* about so many per second, however many meters */
#define PAUSE_MAX_S 300
#define PACED 0x8000 /* in a cursor's last 16 bits */

static const char *const names[GH_FIGURES] = {
    [GH_FIG_ADMITTED] = "admitted", [GH_FIG_OVER] = "over",
    [GH_FIG_DEGRADED] = "degraded", [GH_FIG_QUOTA] = "quota",
    [GH_FIG_DENIED] = "denied",     [GH_FIG_UNAVAILABLE] = "unavailable",
    [GH_FIG_CLIENT] = "client",
};

const char *
gh_figure_name(enum gh_figure f)
{
    return f < GH_FIGURES ? names[f] : "";
}

static struct gh_meter *
find(const struct gh_limiter *l, const struct gh_scope *s, uint32_t metric,
     uint32_t hour)
{
    uint32_t at = atomic_load_explicit(&s->meters, memory_order_acquire);
    unsigned i;

    for (i = 0; gh_table_valid(l, at) && i < METERS_MAX; i++) {
        struct gh_meter *m = gh_table_at(l, at);

        if (m->metric == metric && m->hour == hour)
            return m;
        at = m->next;
    }
    return NULL;
}

static struct gh_meter *
make(struct gh_limiter *l, uint32_t scope, uint32_t gen, uint32_t metric,
     uint32_t hour)
{
    struct gh_scope *s = gh_table_scope(l, scope);
    struct gh_meter *m = NULL;
    uint32_t at;
    size_t i;

    if (!gh_table_lock(l))
        return NULL;
    if (s->gen == gen && (m = find(l, s, metric, hour)) == NULL &&
        (at = gh_table_take(l, METER)) != 0) {
        m = gh_table_at(l, at);
        m->metric = metric;
        m->hour = hour;
        m->sent = 0;
        m->flushed_s = 0;
        m->life = (uint32_t)l->table->evicted;
        m->admitted = 0;
        for (i = 0; i < GH_FIGURES - 1; i++)
            m->other[i] = 0;
        m->next = s->meters;
        atomic_store_explicit(&s->meters, at, memory_order_release);
    }
    if (m == NULL)
        l->table->full++;
    gh_table_unlock(l);
    return m;
}

int
gh_meter_add(struct gh_limiter *l, struct gh_slice app, uint32_t metric,
             uint64_t wall_ms, uint64_t mono_ms, enum gh_figure figure,
             uint32_t n)
{
    uint32_t hour = (uint32_t)(wall_ms / HOUR_MS), gen, at;
    uint32_t now_s = (uint32_t)(mono_ms / 1000);
    struct gh_scope *s;
    struct gh_meter *m;

    if (metric == 0 || figure >= GH_FIGURES)
        return -1;
    at = gh_table_scope_get(l, GH_SCOPE_APP, app, mono_ms, &gen);
    if (at == 0)
        return -1;
    s = gh_table_scope(l, at);
    m = find(l, s, metric, hour);
    if (m == NULL)
        m = make(l, at, gen, metric, hour);
    if (m == NULL)
        return -1;
    if (atomic_load_explicit(&s->used_s, memory_order_relaxed) != now_s)
        atomic_store_explicit(&s->used_s, now_s, memory_order_relaxed);
    if (figure == GH_FIG_ADMITTED)
        atomic_fetch_add_explicit(&m->admitted, n, memory_order_relaxed);
    else
        atomic_fetch_add_explicit(&m->other[figure - 1], n,
                                  memory_order_relaxed);
    return 0;
}

/* ---- flushing ---- */

bool
gh_meter_claim(struct gh_limiter *l, uint64_t mono_ms, uint64_t interval_ms)
{
    if (!gh_table_claim(&l->table->meter_at, mono_ms, interval_ms))
        return false;
    l->table->meter_paced = 1;
    return true;
}

static void
arg(struct gh_buffer *b, const char *s)
{
    gh_buffer_printf(b, "$%zu\r\n%s\r\n", strlen(s), s);
}

static uint64_t
figure(const struct gh_meter *m, int f)
{
    return f == GH_FIG_ADMITTED ? m->admitted : m->other[f - 1];
}

/* "NODE:FIGURE"; of a meter whose scope may have been put out in this hour and
 * made anew, "NODE-LIFE:FIGURE", since it began at 0 again. */
static void
field(const struct gh_limiter *l, const struct gh_meter *m, const char *figure,
      char *out, size_t size)
{
    unsigned long long node = l->table->node;

    if (m->life == 0)
        snprintf(out, size, "%016llx:%s", node, figure);
    else
        snprintf(out, size, "%016llx-%x:%s", node, m->life, figure);
}

static int
write_flush(const struct gh_limiter *l, const struct gh_scripts *scripts,
            const struct gh_meter *m, const char *app,
            struct gh_meter_flush *out, struct gh_buffer *b)
{
    uint64_t total[GH_FIGURES];
    char key[GH_METER_KEY_SIZE], text[64];
    int f, n = 0;

    out->sum = 0;
    for (f = 0; f < GH_FIGURES; f++) {
        total[f] = figure(m, f);
        out->sum += (uint32_t)total[f];
        n += total[f] > 0;
    }
    if (gh_meter_key(gh_slice_str(app), gh_table_symbol_text(l, m->metric),
                     m->hour, key) != 0)
        return 0;
    gh_buffer_printf(b, "*%d\r\n", 5 + 2 * n);
    arg(b, "EVALSHA");
    arg(b, scripts->meter.sha);
    arg(b, "1");
    arg(b, key);
    snprintf(text, sizeof(text), "%d", KEEP_S);
    arg(b, text);
    for (f = 0; f < GH_FIGURES; f++) {
        if (total[f] == 0)
            continue;
        field(l, m, names[f], text, sizeof(text));
        arg(b, text);
        snprintf(text, sizeof(text), "%llu", (unsigned long long)total[f]);
        arg(b, text);
    }
    return !b->failed;
}

/* Under the lock: lets go of told meters of past hours. One hour of grace for
 * workers whose clock is a moment behind. */
static void
let_go(struct gh_limiter *l, struct gh_scope *s, uint32_t hour)
{
    _Atomic uint32_t *link = &s->meters;

    while (gh_table_valid(l, *link)) {
        uint32_t at = *link;
        struct gh_meter *m = gh_table_at(l, at);

        if (m->hour + 1 < hour && gh_table_meter_sum(m) == m->sent) {
            *link = m->next;
            gh_table_give(l, METER, at);
        } else {
            link = &m->next;
        }
    }
}

struct walk {
    uint32_t hour, now_s;
    uint32_t pause_s;    /* leave alone what was flushed since */
    uint32_t seen, from; /* meters of the bucket: passed, and where to go on */
};

static bool
wants_flush(const struct walk *w, const struct gh_meter *m)
{
    return gh_table_meter_sum(m) != m->sent &&
           (w->now_s - m->flushed_s >= w->pause_s || m->hour != w->hour);
}

/* Without the lock: is there anything to flush or to let go? If not, w->seen
 * counts what is passed over. */
static bool
changed(const struct gh_limiter *l, const struct gh_scope *s, struct walk *w)
{
    uint32_t at = s->meters, n = 0;

    while (gh_table_valid(l, at) && n < METERS_MAX) {
        const struct gh_meter *m = gh_table_at(l, at);

        if (wants_flush(w, m) || m->hour + 1 < w->hour)
            return true;
        n++;
        at = m->next;
    }
    w->seen += n;
    return false;
}

/* The scope's first meter that changed, of those from number w->from on. */
static int
flush_scope(struct gh_limiter *l, const struct gh_scripts *scripts,
            uint32_t scope, struct walk *w, struct gh_meter_flush *out,
            struct gh_buffer *command)
{
    struct gh_scope *s = gh_table_scope(l, scope);
    char name[GH_NAME_SIZE];
    uint8_t kind;
    uint32_t at;
    int built = 0;

    if (!changed(l, s, w) || !gh_table_lock(l))
        return 0;
    out->scope = scope;
    out->gen = s->gen;
    if ((out->gen & 1) == 0 &&
        gh_table_name(l, scope, out->gen, &kind, name) == 0) {
        if (w->seen >= w->from)
            let_go(l, s, w->hour);
        for (at = s->meters; gh_table_valid(l, at) && !built;) {
            struct gh_meter *m = gh_table_at(l, at);

            out->at = at;
            if (w->seen++ >= w->from && wants_flush(w, m))
                built = write_flush(l, scripts, m, name, out, command);
            if (built)
                m->flushed_s = w->now_s;
            at = m->next;
        }
    }
    gh_table_unlock(l);
    return built;
}

/*
 * A walk that was claimed leaves a while between two flushes of a meter, the
 * longer the more meters there are. Any other flushes all that changed.
 */
static uint32_t
pause_of(struct gh_limiter *l, uint64_t *cursor)
{
    uint32_t s = l->table->made[METER] / FLUSHES_S;

    if (*cursor == 0) {
        gh_table_walk(cursor, &l->table->meter_hand);
        if (atomic_exchange(&l->table->meter_paced, 0) != 0)
            *cursor |= PACED;
    }
    if ((*cursor & PACED) == 0)
        return 0;
    return s < PAUSE_MAX_S ? s : PAUSE_MAX_S;
}

int
gh_meter_next(struct gh_limiter *l, const struct gh_scripts *scripts,
              uint64_t wall_ms, uint64_t *cursor, size_t budget,
              struct gh_meter_flush *out, struct gh_buffer *command)
{
    _Atomic uint32_t *b = gh_table_at(l, l->table->buckets);
    struct walk w = {.hour = (uint32_t)(wall_ms / HOUR_MS),
                     .now_s = (uint32_t)(wall_ms / 1000)};
    size_t left = budget * 16;
    uint64_t paced;
    uint32_t at, steps;

    if (*cursor == GH_CURSOR_END)
        return 0;
    w.pause_s = pause_of(l, cursor);
    paced = *cursor & PACED;
    while (*cursor != GH_CURSOR_END && left > 0) {
        w.seen = 0;
        w.from = GH_WALK_SEEN(*cursor) & ~(uint32_t)PACED;
        at = b[gh_table_walk_bucket(l, *cursor)];
        left -= at == 0 ? 1 : left < 16 ? left : 16;
        for (steps = 0; gh_table_valid(l, at) && steps < METERS_MAX; steps++) {
            if (flush_scope(l, scripts, at, &w, out, command) == 1) {
                *cursor = (*cursor & ~UINT64_C(0x7fff)) | (w.seen & 0x7fff);
                return 1;
            }
            at = gh_table_scope(l, at)->next;
        }
        gh_table_walk_on(l, cursor, &l->table->meter_hand);
        if (*cursor != GH_CURSOR_END)
            *cursor |= paced;
    }
    return 0;
}

void
gh_meter_flushed(struct gh_limiter *l, const struct gh_meter_flush *f)
{
    struct gh_scope *s = gh_table_scope(l, f->scope);
    uint32_t at;

    if (!gh_table_lock(l))
        return;
    for (at = s->gen == f->gen ? s->meters : 0; gh_table_valid(l, at);) {
        struct gh_meter *m = gh_table_at(l, at);

        if (at == f->at)
            m->sent = f->sum;
        at = m->next;
    }
    gh_table_unlock(l);
}

/* ---- reading ---- */

int
gh_meter_key(struct gh_slice app, struct gh_slice metric, uint64_t hour,
             char out[GH_METER_KEY_SIZE])
{
    int n = snprintf(out, GH_METER_KEY_SIZE, "gh:{a:%.*s}:u:%.*s:%llu",
                     (int)app.len, (const char *)app.data, (int)metric.len,
                     (const char *)metric.data, (unsigned long long)hour);

    return n > 0 && n < GH_METER_KEY_SIZE ? 0 : -1;
}

static void
add_field(struct gh_slice field, struct gh_slice value,
          uint64_t out[GH_FIGURES])
{
    const unsigned char *colon =
        field.len ? memchr(field.data, ':', field.len) : NULL;
    struct gh_slice name;
    uint64_t v;
    int f;

    if (colon == NULL || gh_parse_u64(value, 0, UINT64_C(1) << 62, &v) != 0)
        return;
    name = gh_slice(colon + 1, field.len - (size_t)(colon + 1 - field.data));
    for (f = 0; f < GH_FIGURES; f++)
        if (gh_slice_eq_str(name, names[f]))
            out[f] += v;
}

int
gh_meter_sum(const struct redisReply *r, uint64_t out[GH_FIGURES])
{
    size_t i;

    if (r == NULL || r->type != REDIS_REPLY_ARRAY || r->elements % 2 != 0)
        return -1;
    for (i = 0; i < (size_t)r->elements; i++)
        if (r->element[i] == NULL || r->element[i]->type != REDIS_REPLY_STRING)
            return -1;
    for (i = 0; i < (size_t)r->elements; i += 2)
        add_field(
            gh_slice(r->element[i]->str, (size_t)r->element[i]->len),
            gh_slice(r->element[i + 1]->str, (size_t)r->element[i + 1]->len),
            out);
    return 0;
}
