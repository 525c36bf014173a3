/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits in shared memory: every call is paid from a slice of its windows'
 * allowance that was leased from the store before (lease.h). Pure: time is a
 * parameter, memory the caller's, no system call, nothing of nginx.
 *
 * One table lies in one chunk of memory that all workers of a host map (at
 * whatever address: it holds offsets only). It survives kill -9 of any worker
 * at any instruction: counters are single words, and what needs a lock (making
 * and removing scopes, taking in a lease) uses a robust mutex that the kernel
 * hands on, and writes in an order in which every prefix is safe: an allowance
 * may be lost till its window ends, never doubled.
 *
 *     scope (application, account, API)  -- its limits' cells
 *         cell = one limit in its present window: left, granted, given back,
 *                spent beyond leases, refused, end, quiet until
 *         meters (meter.h)
 *
 * How a worker uses it (all in one event handler, no wait in between):
 *
 *     once per zone        gh_limiter_format(mem, size, &err);
 *     once per worker      gh_limiter_attach(&l, mem, size, &err);
 *     once per plan/API    gh_limiter_prepare(&l, limits, plan->refs);
 *     version (kept)       gh_match_bind(api, limits, plan->metric_of); match.h
 *
 *     per request          gh_match_costs(api, ..., costs);
 *         struct gh_spend s;
 *         gh_spend_init(&s, charges, max, mono_ms, wall_ms);
 *         gh_spend_scope(&l, &s, GH_SCOPE_APP, app, plan->refs, n,
 *                        plan->metric_of, costs, plan->store_down, bounded_ms);
 *         gh_spend_scope(... GH_SCOPE_ACCOUNT ...); (... GH_SCOPE_API ...)
 *         switch (gh_spend_try(&l, &s, true)) {
 *         case GH_SPEND_ADMIT:    headers from s.charges[i]; go on
 *         case GH_SPEND_WAIT:     lease what s.scopes[i].lease says (below), or
 *                                 poll in 1 ms where another worker leases,
 * then all of this again from gh_spend_init(); after a failure or the longest
 * wait: again with gh_spend_try(&l, &s, false), which never waits case
 * GH_SPEND_REFUSED:  429, s.charges[s.which], s.retry_ms
 *         ...
 *         }
 *         if (s.due)              for each s.scopes[i].lease: lease in the
 * background gh_spend_refund(&l, &s) if the call is not made after all (once)
 *
 *     a lease (lease.h)    if (gh_lease_begin(&l, &s.scopes[i], &lease, ...) ==
 * 1) send its command; gh_lease_apply() or _fail().
 *
 * Worked example, limit 100 per minute, two hosts: the first call finds an
 * empty cell and waits; the lease asks for 4, the store grants 4 (at most a
 * quarter of what is free) and says 96 are free; the call spends 1. At 1,000
 * calls/s the next lease wants what 100 ms need, gets a quarter of what is
 * free, and so on down to single calls: 24, 18, 13, ... 1. Then the store has
 * nothing free: the cell is quiet till the window ends, and refusing costs no
 * I/O.
 */
#ifndef GH_LIMITER_H
#define GH_LIMITER_H

#include "error.h"
#include "model.h"
#include "period.h"

/* ---- the table ---- */

struct gh_limiter_table; /* in shared memory */

struct gh_limiter { /* one process' view of it */
    struct gh_limiter_table *table;
    unsigned char *base;
    size_t size;
    bool stuck; /* the lock could not be had last time */
};

#define GH_LIMITER_MIN (64 * 1024)
#define GH_LIMITER_LAYOUT 7 /* raised with every change of the layout */

/* Makes an empty table and a new node identity (random 64 bits): what an older
 * table of this host held stays charged to the old node till its windows end.
 * Alone: no other process may use mem yet. mem is aligned to 64. */
int gh_limiter_format(void *mem, size_t size, struct gh_error *e);

/* GH_ECORRUPT when mem holds no table of this layout and size: format anew. */
int gh_limiter_attach(struct gh_limiter *l, void *mem, size_t size,
                      struct gh_error *e);

uint64_t gh_limiter_node(const struct gh_limiter *l);

struct gh_limiter_stats {
    uint64_t scopes, cells, meters, symbols;
    uint64_t used, size;    /* bytes */
    uint64_t evicted, full; /* scopes put out; times there was no room */
    uint64_t hosts;         /* live hosts by the last pulse, >= 1 */
    bool store_up;
    uint64_t degraded; /* calls admitted without a lease by on_store_down */
};
void gh_limiter_stats(const struct gh_limiter *l, struct gh_limiter_stats *out);

/* ---- limits made ready, once per version of a plan, account plan or API ----
 */

struct gh_limit_ref {
    uint32_t symbol; /* of "api:metric:period" in the table; 0: no room */
    uint8_t period;  /* enum gh_period */
    uint8_t mode;    /* enum gh_mode */
    uint64_t value;
};

/* out has room for limits->n. Two limits on one metric and period (a soft one
 * below a hard one) have cells of their own, told apart by their order. Takes
 * the lock; never on the request path. A limit that got no room answers
 * GH_SPEND_FULL, never "unlimited". Names of symbols live as long as the table:
 * prepare again after attaching to a new one. */
void gh_limiter_prepare(struct gh_limiter *l, const struct gh_limits *limits,
                        struct gh_limit_ref *out);

/* A name as a symbol (metrics of meters). 0 when there is no room. */
uint32_t gh_limiter_symbol(struct gh_limiter *l, struct gh_slice text);

/* ---- one request ---- */

enum gh_scope_kind {
    GH_SCOPE_APP = 'a',
    GH_SCOPE_ACCOUNT = 'c',
    GH_SCOPE_API = 'v'
};

enum gh_spend_result {
    GH_SPEND_ADMIT,
    GH_SPEND_REFUSED,      /* over a hard limit: 429 */
    GH_SPEND_FORBIDDEN,    /* a hard limit of 0: 403 not_in_plan */
    GH_SPEND_COST_EXCEEDS, /* costs more than the whole limit: 422 */
    GH_SPEND_WAIT,         /* a lease decides */
    GH_SPEND_UNAVAILABLE,  /* store lost, bounded budget spent: 503 */
    GH_SPEND_FULL          /* no room in the zone: 503 */
};

struct gh_charge {
    const struct gh_limit_ref *limit;
    uint32_t cost;
    uint8_t scope; /* index in gh_spend.scopes */
    bool over;     /* a soft or shadow limit that would have refused */
    bool degraded; /* admitted without a lease */
    /* for RateLimit: what is left of the limit as far as this host knows, and
     * the window's rest. Set for ADMIT and REFUSED. */
    uint64_t remaining, reset_ms;
    /* inner */
    uint32_t cell, seq, took, extra;
};

enum gh_lease_need {
    GH_LEASE_NONE,
    GH_LEASE_DUE,  /* in the background: a slice runs low */
    GH_LEASE_EMPTY /* a request waits for it */
};

struct gh_spend_scope {
    enum gh_scope_kind kind;
    struct gh_slice name;
    enum gh_store_down store_down;
    uint64_t bounded_ms;
    enum gh_lease_need lease;
    bool full; /* no room for it */
    /* inner */
    uint32_t at, gen;
    uint16_t first, n; /* its charges */
};

struct gh_spend {
    struct gh_charge *charges;
    uint16_t n, max;
    struct gh_spend_scope scopes[3];
    uint8_t nscopes;
    uint64_t mono_ms, wall_ms;
    /* out */
    bool due;          /* some scopes[i].lease != GH_LEASE_NONE */
    bool degraded;     /* some limit was decided without the store */
    bool over;         /* some soft limit is passed */
    uint16_t which;    /* the charge that refused (not for FULL of a scope) */
    uint64_t retry_ms; /* REFUSED: the window's rest; UNAVAILABLE, FULL: 1000;
                          WAIT: when to look again at the latest */
};

/* charges: room for all limits of the request's scopes; mono_ms:
 * CLOCK_MONOTONIC; wall_ms: UTC, used only while the store is away. */
void gh_spend_init(struct gh_spend *s, struct gh_charge *charges, uint16_t max,
                   uint64_t mono_ms, uint64_t wall_ms);

/*
 * Adds the charges of one scope: limit i costs costs[metric_of[i]], nothing
 * where metric_of[i] < 0 or that cost is 0. Finds the cells; makes what is
 * missing (the only place that locks, once per new scope or limit). name, refs
 * and costs must outlive s.
 */
void gh_spend_scope(struct gh_limiter *l, struct gh_spend *s,
                    enum gh_scope_kind kind, struct gh_slice name,
                    const struct gh_limit_ref *refs, size_t n,
                    const int8_t *metric_of, const uint32_t *costs,
                    enum gh_store_down store_down, uint64_t bounded_ms);

/*
 * All or nothing: on ADMIT every limit is charged, else none; who refuses
 * counts one refused call. may_wait false: what would wait is decided by
 * on_store_down.
 */
enum gh_spend_result gh_spend_try(struct gh_limiter *l, struct gh_spend *s,
                                  bool may_wait);

/* Takes back what ADMIT charged, as long as its window lasts. Once. */
void gh_spend_refund(struct gh_limiter *l, struct gh_spend *s);

/* ---- the store, as the workers find it ---- */

/* The breaker opened: decide without it. Any worker; repeated calls are fine.
 */
void gh_limiter_store_down(struct gh_limiter *l, uint64_t mono_ms);
/* A pulse was answered (lease.h calls it). */
void gh_limiter_store_up(struct gh_limiter *l);

/* There is no other host and no store: limits are this table's alone, exact, by
 * the host's own clock; nothing waits, nothing is degraded, nothing is leased.
 * false: a store again (what was used in the open windows is told to it). */
void gh_limiter_store_local(struct gh_limiter *l, bool local);

/* The scope's limits were reset, topped up or given back to by somebody: ask
 * again even if it was exhausted. */
void gh_limiter_wake(struct gh_limiter *l, enum gh_scope_kind kind,
                     struct gh_slice name);

#endif
