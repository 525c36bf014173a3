/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store of leases as a model in memory: what the Lua scripts promise,
 * written again in C, with a clock that the test turns. Commands come as the
 * bytes that the limiter builds, answers go as hiredis gives them. `broken`
 * grants one too many, so that a test can show that it would be caught.
 */
#ifndef MODEL_STORE_H
#define MODEL_STORE_H

#include "lease.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

#define MODEL_LIMITS 512
#define MODEL_LIVES 256
#define MODEL_NODES 64

struct model_life {
    char name[64];
    double total[5];
};

struct model_limit {
    char key[256];
    double window, adj;
    struct model_life life[MODEL_LIVES];
    size_t nlives;
};

struct model_store {
    struct model_limit *limit;
    size_t nlimits;
    uint64_t now_ms, epoch_ms, till_ms;
    unsigned run, epoch_run; /* 0: the epoch names none */
    char node[MODEL_NODES][24];
    uint64_t node_ms[MODEL_NODES];
    size_t nnodes;
    bool broken;
    uint64_t commands, recalls;
    char recall[80];
};

static inline void
model_init(struct model_store *m, uint64_t now_ms)
{
    memset(m, 0, sizeof(*m));
    m->limit = calloc(MODEL_LIMITS, sizeof(*m->limit));
    m->now_ms = now_ms;
    m->run = 1;
}

static inline void
model_finish(struct model_store *m)
{
    free(m->limit);
}

/* FLUSHALL. */
static inline void
model_flush(struct model_store *m)
{
    m->nlimits = 0;
    m->nnodes = 0;
    m->epoch_ms = m->till_ms = 0;
    m->epoch_run = 0;
}

static inline struct model_limit *
model_limit(struct model_store *m, const char *key)
{
    size_t i;

    for (i = 0; i < m->nlimits; i++)
        if (strcmp(m->limit[i].key, key) == 0)
            return &m->limit[i];
    if (m->nlimits == MODEL_LIMITS)
        abort();
    memset(&m->limit[i], 0, sizeof(m->limit[i]));
    snprintf(m->limit[i].key, sizeof(m->limit[i].key), "%s", key);
    m->limit[i].window = -1;
    m->nlimits++;
    return &m->limit[i];
}

static inline struct model_life *
model_life(struct model_limit *l, const char *name)
{
    size_t i;

    for (i = 0; i < l->nlives; i++)
        if (strcmp(l->life[i].name, name) == 0)
            return &l->life[i];
    if (l->nlives == MODEL_LIVES)
        abort();
    memset(&l->life[i], 0, sizeof(l->life[i]));
    snprintf(l->life[i].name, sizeof(l->life[i].name), "%s", name);
    l->nlives++;
    return &l->life[i];
}

static inline double
max_of(double a, double b)
{
    return a > b ? a : b;
}

struct model_step {
    struct model_limit *limit;
    struct model_life *mine;
    double want, need, free, unspent;
    struct gh_window window;
};

/* Raises what the store has to what the node says. Returns whether it lost. */
static inline bool
model_tell(struct model_store *m, struct model_step *st, const char *key,
           const char *node, char **a)
{
    struct gh_window w =
        gh_period_window((enum gh_period)atoi(a[0]), m->now_ms);
    double start = (double)(w.start_ms / 1000), own = atof(a[4]), told[5];
    double far = (double)m->now_ms / 1000 + 3600, sum = 0;
    unsigned long seq = strtoul(a[6], NULL, 10);
    char name[64];
    bool lost;
    size_t i;

    st->limit = model_limit(m, key);
    for (i = 0; i < 5; i++)
        told[i] = atof(a[7 + i]);
    if (st->limit->window > start && st->limit->window <= far)
        start = st->limit->window;
    if (own > start && own <= far && told[0] > 0)
        start = own;
    st->window = gh_period_window((enum gh_period)atoi(a[0]),
                                  (uint64_t)start * 1000 ?: m->now_ms);
    if (atoi(a[0]) == GH_EVER)
        st->window.end_ms = GH_PERIOD_NO_END;
    if (st->limit->window != start) {
        st->limit->nlives = 0;
        st->limit->adj = 0;
        st->limit->window = start;
    }
    if (own != start) {
        seq = (seq + 1) & 0xffffffff;
        memset(told, 0, sizeof(told));
    }
    snprintf(name, sizeof(name), "%s:%s:%lu", node, a[5], seq);
    st->mine = model_life(st->limit, name);
    lost = told[0] > st->mine->total[0];
    for (i = 0; i < 5; i++)
        st->mine->total[i] = max_of(st->mine->total[i], told[i]);
    st->unspent = 0;
    for (i = 0; i < st->limit->nlives; i++) {
        const struct model_life *o = &st->limit->life[i];

        sum += o->total[0] - o->total[1] + o->total[2];
        if (strncmp(o->name, node, strlen(node)) != 0)
            st->unspent += max_of(0, o->total[0] - o->total[1] - o->total[3]);
    }
    st->want = atof(a[2]);
    st->need = atof(a[3]);
    st->free = atof(a[1]) + st->limit->adj - sum;
    return lost;
}

static inline void
model_grant(struct model_step *st, double hosts, bool broken)
{
    double share, grant;

    if (st->want <= 0 || st->free <= 0)
        return;
    share = max_of(1, (double)(uint64_t)(st->free / (2 * hosts)));
    grant = max_of(st->need, st->want < share ? st->want : share);
    grant = grant < st->free ? grant : st->free;
    st->mine->total[0] += grant + (broken ? 1 : 0);
    st->free -= grant;
}

static inline void
model_begin(struct model_store *m, uint64_t at)
{
    m->epoch_ms = at;
    m->till_ms = 0;
}

static inline uint64_t
model_held(const struct model_store *m, uint64_t hold)
{
    uint64_t till = m->epoch_ms + hold;

    if (till < m->till_ms)
        till = m->till_ms;
    if (till <= m->now_ms)
        return 0;
    return till - m->now_ms < hold ? till - m->now_ms : hold;
}

static inline uint64_t
model_prolong(struct model_store *m, uint64_t hold)
{
    uint64_t most = m->epoch_ms + hold * GH_HOLD_MOST;

    m->till_ms = m->now_ms + hold < most ? m->now_ms + hold : most;
    return m->till_ms > m->now_ms ? m->till_ms - m->now_ms : 0;
}

/* Arguments after EVALSHA and the SHA: count of keys, keys, the rest. */
static inline void
model_lease(struct model_store *m, char **v, struct gh_buffer *out)
{
    size_t keys = strtoul(v[0], NULL, 10), n, i;
    char **key = v + 1, **a = v + 1 + keys;
    double hosts = atof(a[1]);
    uint64_t hold = strtoull(a[2], NULL, 10), held;
    struct model_step st[GH_LEASE_LIMITS];
    bool lost = false, recall = false;

    n = strtoul(a[3], NULL, 10);
    if (m->epoch_ms == 0 || m->epoch_ms > m->now_ms)
        model_begin(m, m->now_ms);
    held = model_held(m, hold);
    for (i = 0; i < n; i++)
        lost |= model_tell(m, &st[i], key[i], a[0], a + 5 + 12 * i);
    if (lost && held > 0) {
        held = model_prolong(m, hold);
    } else if (lost) {
        model_begin(m, m->now_ms);
        held = hold;
    }
    gh_buffer_printf(out, "*%zu\r\n:%llu\r\n:%llu\r\n:%llu\r\n:%d\r\n",
                     4 + 5 * n, (unsigned long long)m->now_ms,
                     (unsigned long long)m->epoch_ms, (unsigned long long)held,
                     lost);
    for (i = 0; i < n; i++) {
        if (held == 0) {
            model_grant(&st[i], hosts, m->broken);
            recall |= st[i].want > 0 && st[i].free <= 0 && st[i].unspent > 0;
        }
        gh_buffer_printf(out, ":%.0f\r\n:%lld\r\n:%.0f\r\n:%.0f\r\n:%.0f\r\n",
                         st[i].limit->window,
                         st[i].window.end_ms == GH_PERIOD_NO_END
                             ? -1LL
                             : (long long)(st[i].window.end_ms - m->now_ms),
                         st[i].mine->total[0], max_of(0, st[i].free),
                         st[i].unspent);
    }
    if (recall) {
        m->recalls++;
        snprintf(m->recall, sizeof(m->recall), "%s", a[4]);
    }
}

static inline void
model_pulse(struct model_store *m, char **v, struct gh_buffer *out)
{
    char **a = v + 3;
    uint64_t live = strtoull(a[1], NULL, 10), hold = strtoull(a[2], NULL, 10);
    uint64_t known = strtoull(a[3], NULL, 10), held;
    size_t i, n = 0;

    held = model_held(m, hold);
    if (m->epoch_ms == 0 || m->epoch_ms > m->now_ms || m->epoch_run != m->run) {
        held = m->epoch_ms == 0 && m->nnodes == 0 && known == 0 ? 0 : hold;
        model_begin(m, m->now_ms - hold + held);
        m->epoch_run = m->run;
    } else if (held > 0 && known != 0 &&
               (known != m->epoch_ms || strcmp(a[4], "1") == 0)) {
        held = model_prolong(m, hold);
    }
    for (i = 0; i < m->nnodes;) { /* forget the dead and the one that asks */
        if (m->node_ms[i] + live <= m->now_ms ||
            strcmp(m->node[i], a[0]) == 0) {
            m->nnodes--;
            memmove(m->node[i], m->node[m->nnodes], sizeof(m->node[0]));
            m->node_ms[i] = m->node_ms[m->nnodes];
        } else {
            i++;
        }
    }
    if (m->nnodes == MODEL_NODES)
        abort();
    snprintf(m->node[m->nnodes], sizeof(m->node[0]), "%s", a[0]);
    m->node_ms[m->nnodes++] = m->now_ms;
    n = m->nnodes;
    gh_buffer_printf(out, "*4\r\n:%llu\r\n:%llu\r\n:%zu\r\n:%llu\r\n",
                     (unsigned long long)m->now_ms,
                     (unsigned long long)m->epoch_ms, n,
                     (unsigned long long)held);
}

static inline redisReply *
model_parse(const void *data, size_t len)
{
    redisReader *r = redisReaderCreate();
    void *reply = NULL;

    redisReaderFeed(r, data, len);
    if (redisReaderGetReply(r, &reply) != REDIS_OK || reply == NULL)
        abort();
    redisReaderFree(r);
    return reply;
}

/* One command in, its reply out (freeReplyObject). */
static inline redisReply *
model_send(struct model_store *m, const struct gh_scripts *s,
           const struct gh_buffer *command)
{
    redisReply *c = model_parse(command->data, command->len), *r;
    struct gh_buffer out = GH_BUFFER_INIT;
    char **v = calloc(c->elements, sizeof(*v));
    size_t i;

    for (i = 2; i < c->elements; i++)
        v[i - 2] = c->element[i]->str;
    m->commands++;
    if (strcmp(c->element[1]->str, s->lease.sha) == 0)
        model_lease(m, v, &out);
    else if (strcmp(c->element[1]->str, s->pulse.sha) == 0)
        model_pulse(m, v, &out);
    else
        gh_buffer_text(&out, "-NOSCRIPT No matching script.\r\n");
    r = model_parse(out.data, out.len);
    gh_buffer_finish(&out);
    freeReplyObject(c);
    free(v);
    return r;
}

#endif
