/* SPDX-License-Identifier: Apache-2.0 */
/* Two hosts with clocks of their own and the model store between them: what the
 * tests of the limiter stand on. */
#ifndef LIMITER_RIG_H
#define LIMITER_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "match.h"
#include "model_store.h"

#define S(text) gh_slice_str(text)
#define ZONE (256 * 1024)
#define START UINT64_C(1767225600000) /* 2026-01-01T00:00:00Z, a Thursday */

struct host {
    void *mem;
    struct gh_limiter l;
    uint64_t mono;
    int64_t skew; /* mono + skew = the store's clock */
};

struct fixture {
    struct model_store store;
    struct gh_scripts scripts;
    struct host host[2];
    size_t charges_of;
};

static inline void
host_init(struct host *h, uint64_t mono)
{
    struct gh_error e;

    h->mem = aligned_alloc(64, ZONE);
    assert_int_equal(gh_limiter_format(h->mem, ZONE, &e), 0);
    assert_int_equal(gh_limiter_attach(&h->l, h->mem, ZONE, &e), 0);
    h->mono = mono;
}

static inline int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    model_init(&f->store, START + 5000);
    gh_scripts_init(&f->scripts);
    host_init(&f->host[0], 1000000);
    host_init(&f->host[1], 77000000);
    *state = f;
    return 0;
}

static inline int
teardown(void **state)
{
    struct fixture *f = *state;

    free(f->host[0].mem);
    free(f->host[1].mem);
    model_finish(&f->store);
    free(f);
    return 0;
}

static inline void
pass(struct fixture *f, uint64_t ms)
{
    f->store.now_ms += ms;
    f->host[0].mono += ms;
    f->host[1].mono += ms;
}

static inline void
pulse(struct fixture *f, struct host *h)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    redisReply *r;

    gh_pulse_command(&h->l, &f->scripts, &b);
    r = model_send(&f->store, &f->scripts, &b);
    assert_true(gh_pulse_apply(&h->l, h->mono, r) >= 0);
    freeReplyObject(r);
    gh_buffer_finish(&b);
}

/* Both hosts are known to a store that is past its hold. */
static inline void
begin(struct fixture *f, bool two)
{
    pulse(f, &f->host[0]);
    if (two)
        pulse(f, &f->host[1]);
    pass(f, GH_HOLD_MS + 100);
    pulse(f, &f->host[0]);
    if (two) {
        pulse(f, &f->host[1]);
        pulse(f, &f->host[0]);
    }
}

static const int8_t all_hits[GH_LIMITS_MAX];

struct call {
    struct gh_spend s;
    struct gh_charge c[16];
    enum gh_spend_result r;
    unsigned leases;
};

static inline void
spend_once(struct host *h, const char *app, const struct gh_limit_ref *refs,
           size_t n, uint32_t cost, bool may_wait, enum gh_store_down down,
           struct call *out)
{
    uint32_t costs[1] = {cost};

    gh_spend_init(&out->s, out->c, 16, h->mono, START);
    gh_spend_scope(&h->l, &out->s, GH_SCOPE_APP, S(app), refs, n, all_hits,
                   costs, down, 300000);
    out->r = gh_spend_try(&h->l, &out->s, may_wait);
}

static inline bool
lease(struct fixture *f, struct host *h, struct call *c, size_t scope)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_lease lease;
    redisReply *r;

    if (gh_lease_begin(&h->l, &f->scripts, &c->s, scope, h->mono, &lease, &b) !=
        1)
        return false;
    r = model_send(&f->store, &f->scripts, &b);
    assert_int_equal(gh_lease_apply(&h->l, &lease, h->mono, r), 0);
    freeReplyObject(r);
    gh_buffer_finish(&b);
    c->leases++;
    return true;
}

/* As a host does it: wait for a lease, lease in the background. */
static inline enum gh_spend_result
call_cost(struct fixture *f, struct host *h, const char *app,
          const struct gh_limit_ref *refs, size_t n, uint32_t cost,
          struct call *out)
{
    int tries;

    out->leases = 0;
    for (tries = 0; tries < 8; tries++) {
        spend_once(h, app, refs, n, cost, true, GH_BOUNDED, out);
        if (out->r != GH_SPEND_WAIT)
            break;
        if (!lease(f, h, out, 0))
            return GH_SPEND_WAIT;
    }
    if (out->r == GH_SPEND_ADMIT && out->s.due)
        lease(f, h, out, 0);
    return out->r;
}

static inline enum gh_spend_result
call(struct fixture *f, struct host *h, const char *app,
     const struct gh_limit_ref *refs, size_t n)
{
    struct call c;

    return call_cost(f, h, app, refs, n, 1, &c);
}

static inline size_t
prepare(struct host *h, struct gh_limit_ref *refs, const struct gh_limit *v,
        size_t n)
{
    const struct gh_limits limits = {v, n};

    gh_limiter_prepare(&h->l, &limits, refs);
    return n;
}

static inline void
one_limit(struct host *h, struct gh_limit_ref *ref, enum gh_period p,
          enum gh_mode mode, uint64_t value)
{
    const struct gh_limit v = {S(""), S("hits"), p, mode, value};

    prepare(h, ref, &v, 1);
}

#endif
