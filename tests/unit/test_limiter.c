/* SPDX-License-Identifier: Apache-2.0 */
/* Limits with an invented clock and the model store: one host, one sentence per
 * promise. */
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

static void
host_init(struct host *h, uint64_t mono)
{
    struct gh_error e;

    h->mem = aligned_alloc(64, ZONE);
    assert_int_equal(gh_limiter_format(h->mem, ZONE, &e), 0);
    assert_int_equal(gh_limiter_attach(&h->l, h->mem, ZONE, &e), 0);
    h->mono = mono;
}

static int
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

static int
teardown(void **state)
{
    struct fixture *f = *state;

    free(f->host[0].mem);
    free(f->host[1].mem);
    model_finish(&f->store);
    free(f);
    return 0;
}

static void
pass(struct fixture *f, uint64_t ms)
{
    f->store.now_ms += ms;
    f->host[0].mono += ms;
    f->host[1].mono += ms;
}

static void
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
static void
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

static void
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

static bool
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
static enum gh_spend_result
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

static enum gh_spend_result
call(struct fixture *f, struct host *h, const char *app,
     const struct gh_limit_ref *refs, size_t n)
{
    struct call c;

    return call_cost(f, h, app, refs, n, 1, &c);
}

static size_t
prepare(struct host *h, struct gh_limit_ref *refs, const struct gh_limit *v,
        size_t n)
{
    const struct gh_limits limits = {v, n};

    gh_limiter_prepare(&h->l, &limits, refs);
    return n;
}

static void
one_limit(struct host *h, struct gh_limit_ref *ref, enum gh_period p,
          enum gh_mode mode, uint64_t value)
{
    const struct gh_limit v = {S(""), S("hits"), p, mode, value};

    prepare(h, ref, &v, 1);
}

/* ---- exactness ---- */

static void
test_exactly_the_limit(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    unsigned admitted = 0, i;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 100);
    for (i = 0; i < 300; i++)
        admitted += call(f, h, "app", &ref, 1) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 100);
    pass(f, 60000);
    for (i = 0, admitted = 0; i < 300; i++)
        admitted += call(f, h, "app", &ref, 1) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 100);
}

static void
test_two_hosts_share_exactly(void **state)
{
    struct fixture *f = *state;
    struct gh_limit_ref ref[2];
    unsigned admitted = 0, i;

    begin(f, true);
    one_limit(&f->host[0], &ref[0], GH_HOUR, GH_HARD, 1000);
    one_limit(&f->host[1], &ref[1], GH_HOUR, GH_HARD, 1000);
    for (i = 0; i < 4000; i++) {
        admitted +=
            call(f, &f->host[i % 2], "app", &ref[i % 2], 1) == GH_SPEND_ADMIT;
        if (i % 10 == 0)
            pass(f, 1);
    }
    assert_int_equal(admitted, 1000);
}

static void
test_refused_calls_cost_no_command(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;
    uint64_t before;
    unsigned i;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 10);
    for (i = 0; i < 10; i++)
        assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_REFUSED);
    before = f->store.commands;
    for (i = 0; i < 1000; i++)
        assert_int_equal(call_cost(f, h, "app", &ref, 1, 1, &c),
                         GH_SPEND_REFUSED);
    assert_int_equal(f->store.commands, before);
    /* 6.1 s of the minute were over when the limit was reached */
    assert_int_equal(c.s.retry_ms, 60000 - 6100);
    assert_int_equal(c.c[c.s.which].remaining, 0);
}

static void
test_commands_do_not_grow_with_requests(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    uint64_t before, i;

    begin(f, false);
    one_limit(h, &ref, GH_HOUR, GH_HARD, 100000000);
    for (i = 0; i < 20000; i++) { /* 20 calls per ms, warming up */
        assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
        if (i % 20 == 0)
            pass(f, 1);
    }
    before = f->store.commands;
    for (i = 0; i < 20000; i++) {
        assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
        if (i % 20 == 0)
            pass(f, 1);
    }
    /* one second: a slice lasts 100 ms, refilled at a third */
    assert_in_range(f->store.commands - before, 1, 40);
}

static void
test_all_or_nothing(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    const struct gh_limit v[] = {{S(""), S("hits"), GH_DAY, GH_HARD, 1000},
                                 {S(""), S("hits"), GH_MINUTE, GH_HARD, 5},
                                 {S(""), S("hits"), GH_HOUR, GH_HARD, 100}};
    struct gh_limit_ref refs[3];
    struct call c;
    unsigned i;

    begin(f, false);
    prepare(h, refs, v, 3);
    for (i = 0; i < 50; i++)
        call(f, h, "app", refs, 3);
    pass(f, 60000);
    assert_int_equal(call_cost(f, h, "app", refs, 3, 1, &c), GH_SPEND_ADMIT);
    assert_int_equal(c.c[0].remaining, 1000 - 6);
    assert_int_equal(c.c[1].remaining, 5 - 1);
    assert_int_equal(c.c[2].remaining, 100 - 6);
    assert_int_equal(c.c[1].reset_ms, 60000 - 6100);
}

static void
test_which_limit_refused(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    const struct gh_limit v[] = {{S(""), S("hits"), GH_DAY, GH_HARD, 1000},
                                 {S(""), S("hits"), GH_MINUTE, GH_HARD, 1}};
    struct gh_limit_ref refs[2];
    struct call c;

    begin(f, false);
    prepare(h, refs, v, 2);
    assert_int_equal(call(f, h, "app", refs, 2), GH_SPEND_ADMIT);
    assert_int_equal(call_cost(f, h, "app", refs, 2, 1, &c), GH_SPEND_REFUSED);
    assert_int_equal(c.s.which, 1);
}

static void
test_costs(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 10);
    assert_int_equal(call_cost(f, h, "app", &ref, 1, 11, &c),
                     GH_SPEND_COST_EXCEEDS);
    assert_int_equal(call_cost(f, h, "app", &ref, 1, 7, &c), GH_SPEND_ADMIT);
    assert_int_equal(call_cost(f, h, "app", &ref, 1, 4, &c), GH_SPEND_REFUSED);
    assert_int_equal(call_cost(f, h, "app", &ref, 1, 3, &c), GH_SPEND_ADMIT);
    assert_int_equal(call_cost(f, h, "app", &ref, 1, 1, &c), GH_SPEND_REFUSED);
    assert_int_equal(call_cost(f, h, "app", &ref, 1, 0, &c), GH_SPEND_ADMIT);
}

static void
test_zero_forbids_and_asks_nobody(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 0);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_FORBIDDEN);
    gh_limiter_store_down(&h->l, h->mono);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_FORBIDDEN);
}

static void
test_soft_admits_and_marks(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;
    unsigned i, over = 0;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_SOFT, 10);
    for (i = 0; i < 30; i++) {
        assert_int_equal(call_cost(f, h, "app", &ref, 1, 1, &c),
                         GH_SPEND_ADMIT);
        assert_int_equal(c.s.over, c.c[0].over);
        over += c.s.over;
    }
    assert_in_range(over, 18, 20);
}

static void
test_shadow_counts_only(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;
    unsigned i;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_SHADOW, 10);
    for (i = 0; i < 30; i++)
        assert_int_equal(call_cost(f, h, "app", &ref, 1, 1, &c),
                         GH_SPEND_ADMIT);
    assert_true(c.c[0].over);
    assert_false(c.s.over);
}

static void
test_refund(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;
    unsigned i;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 10);
    for (i = 0; i < 10; i++)
        assert_int_equal(call_cost(f, h, "app", &ref, 1, 1, &c),
                         GH_SPEND_ADMIT);
    gh_spend_refund(&h->l, &c.s);
    gh_spend_refund(&h->l, &c.s);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_REFUSED);
}

static void
test_refund_after_the_window_adds_nothing(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call old, c;
    unsigned admitted = 0, i;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 10);
    assert_int_equal(call_cost(f, h, "app", &ref, 1, 5, &old), GH_SPEND_ADMIT);
    pass(f, 60000);
    call_cost(f, h, "app", &ref, 1, 1, &c);
    gh_spend_refund(&h->l, &old.s);
    for (i = 0; i < 30; i++)
        admitted += call(f, h, "app", &ref, 1) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 9);
}

/* ---- edits ---- */

static void
test_edits_keep_usage(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    unsigned i, admitted = 0;

    begin(f, false);
    one_limit(h, &ref, GH_HOUR, GH_HARD, 100);
    for (i = 0; i < 90; i++)
        assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    ref.value = 200;
    for (i = 0; i < 300; i++)
        admitted += call(f, h, "app", &ref, 1) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 110);
    ref.value = 150;
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_REFUSED);
    ref.value = 201;
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_REFUSED);
}

static void
test_lowering_takes_back_the_slice(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    unsigned i, admitted = 0;

    begin(f, false);
    one_limit(h, &ref, GH_HOUR, GH_HARD, 1000);
    for (i = 0; i < 40; i++)
        assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    ref.value = 45;
    for (i = 0; i < 300; i++)
        admitted += call(f, h, "app", &ref, 1) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 5);
}

/* ---- replies that go astray ---- */

static void
test_lost_reply_is_made_good(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_lease lost;
    struct call c;
    unsigned i, admitted = 0;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 100);
    spend_once(h, "app", &ref, 1, 1, true, GH_BOUNDED, &c);
    assert_int_equal(
        gh_lease_begin(&h->l, &f->scripts, &c.s, 0, h->mono, &lost, &b), 1);
    freeReplyObject(model_send(&f->store, &f->scripts, &b));
    gh_lease_fail(&h->l, &lost);
    gh_buffer_finish(&b);
    for (i = 0; i < 300; i++)
        admitted += call(f, h, "app", &ref, 1) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 100);
}

static void
test_late_and_repeated_replies_add_nothing(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_lease lease, copy;
    struct call c;
    redisReply *r, *again;
    unsigned i, admitted = 0;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 100);
    spend_once(h, "app", &ref, 1, 1, true, GH_BOUNDED, &c);
    assert_int_equal(
        gh_lease_begin(&h->l, &f->scripts, &c.s, 0, h->mono, &lease, &b), 1);
    copy = lease;
    r = model_send(&f->store, &f->scripts, &b);
    again = model_send(&f->store, &f->scripts, &b); /* sent twice */
    gh_buffer_finish(&b);
    pass(f, GH_FLIGHT_MS + 1); /* taken for dead; others lease meanwhile */
    for (i = 0; i < 150; i++) {
        admitted += call(f, h, "app", &ref, 1) == GH_SPEND_ADMIT;
        if (i == 20)
            gh_lease_apply(&h->l, &lease, h->mono, r);
        if (i == 40)
            gh_lease_apply(&h->l, &copy, h->mono, again);
        if (i == 60)
            gh_lease_apply(&h->l, &lease, h->mono, r);
    }
    pass(f, 60000);
    gh_lease_apply(&h->l, &copy, h->mono, again);
    assert_int_equal(admitted, 100);
    for (i = 0, admitted = 0; i < 150; i++) {
        admitted += call(f, h, "app", &ref, 1) == GH_SPEND_ADMIT;
        if (i == 20)
            gh_lease_apply(&h->l, &lease, h->mono, r);
    }
    assert_int_equal(admitted, 100);
    freeReplyObject(r);
    freeReplyObject(again);
}

static void
test_wrong_replies(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    static const char *const bad[] = {
        "*0\r\n",
        ":1\r\n",
        "$-1\r\n",
        "-OOM command not allowed\r\n",
        "*4\r\n:1\r\n:1\r\n:0\r\n:0\r\n",
        "*9\r\n:1\r\n:1\r\n:0\r\n:0\r\n:1\r\n:1\r\n:1\r\n:1\r\n$1\r\n1\r\n",
        "*10\r\n:1\r\n:1\r\n:0\r\n:0\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n:1\r\n",
        "*9\r\n:1\r\n:1\r\n:0\r\n:0\r\n:1\r\n:1\r\n:1\r\n:1\r\n*0\r\n"};
    struct gh_limit_ref ref;
    struct gh_lease lease_;
    struct call c;
    size_t i;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 100);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct gh_buffer b = GH_BUFFER_INIT;
        redisReply *r = model_parse(bad[i], strlen(bad[i]));

        spend_once(h, "app", &ref, 1, 1, true, GH_BOUNDED, &c);
        assert_int_equal(c.r, GH_SPEND_WAIT);
        assert_int_equal(
            gh_lease_begin(&h->l, &f->scripts, &c.s, 0, h->mono, &lease_, &b),
            1);
        assert_int_equal(gh_lease_apply(&h->l, &lease_, h->mono, r), -1);
        assert_int_equal(gh_pulse_apply(&h->l, h->mono, r), i == 4 ? 1 : -1);
        freeReplyObject(r);
        gh_buffer_finish(&b);
    }
    assert_int_equal(gh_lease_apply(&h->l, &lease_, h->mono, NULL), -1);
}

/* ---- one lease at a time ---- */

static void
test_single_flight(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_lease one, two;
    struct call c, d;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 100);
    spend_once(h, "app", &ref, 1, 1, true, GH_BOUNDED, &c);
    spend_once(h, "app", &ref, 1, 1, true, GH_BOUNDED, &d);
    assert_int_equal(d.r, GH_SPEND_WAIT);
    assert_int_equal(
        gh_lease_begin(&h->l, &f->scripts, &c.s, 0, h->mono, &one, &b), 1);
    assert_int_equal(
        gh_lease_begin(&h->l, &f->scripts, &d.s, 0, h->mono, &two, &b), 0);
    /* its worker was killed: another may, after a while */
    pass(f, GH_FLIGHT_MS);
    assert_int_equal(
        gh_lease_begin(&h->l, &f->scripts, &d.s, 0, h->mono, &two, &b), 1);
    /* and the dead one's end does not end the new flight */
    gh_lease_fail(&h->l, &one);
    assert_int_equal(
        gh_lease_begin(&h->l, &f->scripts, &c.s, 0, h->mono, &one, &b), 0);
    gh_buffer_finish(&b);
}

/* ---- the store is away or changed ---- */

static void
test_store_away_spends_what_is_leased(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 100);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    gh_limiter_store_down(&h->l, h->mono);
    spend_once(h, "app", &ref, 1, 1, true, GH_DENY, &c);
    assert_int_equal(c.r, GH_SPEND_ADMIT);
    assert_false(c.s.degraded);
}

static void
test_store_away_deny_and_allow(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;
    unsigned i;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 10);
    gh_limiter_store_down(&h->l, h->mono);
    spend_once(h, "app", &ref, 1, 1, true, GH_DENY, &c);
    assert_int_equal(c.r, GH_SPEND_UNAVAILABLE);
    assert_true(c.s.retry_ms > 0);
    for (i = 0; i < 50; i++) {
        spend_once(h, "app", &ref, 1, 1, true, GH_ALLOW, &c);
        assert_int_equal(c.r, GH_SPEND_ADMIT);
        assert_true(c.s.degraded);
    }
}

/* 100 per minute, 30.1 s of it over: 50 for one host; then a call per 0.6 s;
 * none after bounded_ms. What was admitted is told to the store later. */
static void
test_store_away_bounded(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;
    unsigned i, admitted = 0;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 100);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    pass(f, 24000); /* 30.1 s of the minute */
    gh_limiter_store_down(&h->l, h->mono);
    for (i = 0; i < 200; i++) {
        spend_once(h, "app", &ref, 1, 1, true, GH_BOUNDED, &c);
        admitted += c.r == GH_SPEND_ADMIT;
    }
    assert_int_equal(admitted, 3 + 50);
    assert_int_equal(c.r, GH_SPEND_UNAVAILABLE);
    pass(f, 6000);
    for (i = 0; i < 200; i++) {
        spend_once(h, "app", &ref, 1, 1, true, GH_BOUNDED, &c);
        admitted += c.r == GH_SPEND_ADMIT;
    }
    assert_int_equal(admitted, 3 + 60);
    pulse(f, h); /* it is back */
    for (i = 0; i < 300; i++)
        admitted += call(f, h, "app", &ref, 1) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 99);
    gh_limiter_store_down(&h->l, h->mono);
    pass(f, 300000 + 1);
    spend_once(h, "app", &ref, 1, 1, true, GH_BOUNDED, &c);
    assert_int_equal(c.r, GH_SPEND_UNAVAILABLE);
}

static unsigned
sweep(struct fixture *f, struct host *h)
{
    uint64_t cursor = 0;
    unsigned n = 0;

    while (cursor != GH_CURSOR_END) {
        struct gh_buffer b = GH_BUFFER_INIT;
        struct gh_lease lease_;

        if (gh_lease_sweep(&h->l, &f->scripts, h->mono, &cursor, 16, &lease_,
                           &b) == 1) {
            redisReply *r = model_send(&f->store, &f->scripts, &b);

            assert_int_equal(gh_lease_apply(&h->l, &lease_, h->mono, r), 0);
            freeReplyObject(r);
            n++;
        }
        gh_buffer_finish(&b);
    }
    return n;
}

static void
test_flushed_store_is_told_again(void **state)
{
    struct fixture *f = *state;
    struct gh_limit_ref ref[2];
    unsigned i, admitted = 0;

    begin(f, true);
    one_limit(&f->host[0], &ref[0], GH_HOUR, GH_HARD, 100);
    one_limit(&f->host[1], &ref[1], GH_HOUR, GH_HARD, 100);
    for (i = 0; i < 60; i++)
        admitted +=
            call(f, &f->host[i % 2], "app", &ref[i % 2], 1) == GH_SPEND_ADMIT;
    model_flush(&f->store);
    for (i = 0; i < 400; i++) {
        struct host *h = &f->host[i % 2];

        admitted += call(f, h, "app", &ref[i % 2], 1) == GH_SPEND_ADMIT;
        pass(f, 10);
        if (i % 25 < 2) {
            pulse(f, h);
            sweep(f, h);
        }
    }
    assert_int_equal(admitted, 100);
}

static int
recall(struct fixture *f, struct host *h, const char *payload)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_lease lease_;
    redisReply *r;

    if (gh_lease_give_back(&h->l, &f->scripts, S(payload), h->mono, &lease_,
                           &b) != 1)
        return 0;
    r = model_send(&f->store, &f->scripts, &b);
    assert_int_equal(gh_lease_apply(&h->l, &lease_, h->mono, r), 0);
    freeReplyObject(r);
    gh_buffer_finish(&b);
    return 1;
}

/* Store and host both new: nobody to wait for. A store that comes back empty to
 * a host that knew it: a hold. */
static void
test_hold(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;

    one_limit(h, &ref, GH_HOUR, GH_HARD, 100);
    pulse(f, h);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    model_flush(&f->store);
    pass(f, 10);
    pulse(f, h);
    assert_int_equal(call(f, h, "other", &ref, 1), GH_SPEND_WAIT);
    pass(f, GH_HOLD_MS - 1);
    assert_int_equal(call(f, h, "other", &ref, 1), GH_SPEND_WAIT);
    pass(f, 1);
    assert_int_equal(call(f, h, "other", &ref, 1), GH_SPEND_ADMIT);
}

static void
test_unspent_slices_come_back(void **state)
{
    struct fixture *f = *state;
    struct host *a = &f->host[0], *b = &f->host[1];
    struct gh_limit_ref ra, rb;
    unsigned i, admitted = 0;

    begin(f, true);
    one_limit(a, &ra, GH_HOUR, GH_HARD, 100);
    one_limit(b, &rb, GH_HOUR, GH_HARD, 100);
    admitted += call(f, a, "app", &ra, 1) == GH_SPEND_ADMIT; /* holds some */
    for (i = 0; i < 300; i++)
        admitted += call(f, b, "app", &rb, 1) == GH_SPEND_ADMIT;
    assert_in_range(admitted, 90, 99);
    assert_true(f->store.recalls > 0);
    assert_int_equal(recall(f, a, "x"), 0);
    assert_int_equal(recall(f, a, "a:nobody"), 0);
    assert_int_equal(recall(f, a, f->store.recall), 1);
    assert_int_equal(recall(f, a, f->store.recall), 0);
    assert_int_equal(sweep(f, a), 0);
    pass(f, 150);
    for (i = 0; i < 300; i++)
        admitted += call(f, b, "app", &rb, 1) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 100);
}

static void
test_idle_slices_come_back_without_recall(void **state)
{
    struct fixture *f = *state;
    struct host *a = &f->host[0], *b = &f->host[1];
    struct gh_limit_ref ra, rb;
    unsigned i, admitted = 0;

    begin(f, true);
    one_limit(a, &ra, GH_HOUR, GH_HARD, 10);
    one_limit(b, &rb, GH_HOUR, GH_HARD, 10);
    admitted += call(f, a, "app", &ra, 1) == GH_SPEND_ADMIT;
    pass(f, 2100);
    sweep(f, a);
    for (i = 0; i < 30; i++)
        admitted += call(f, b, "app", &rb, 1) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 10);
}

static void
test_top_up_wakes(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    unsigned i;

    begin(f, false);
    one_limit(h, &ref, GH_EVER, GH_HARD, 3);
    for (i = 0; i < 3; i++)
        assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_REFUSED);
    f->store.limit[0].adj = 2;
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_REFUSED);
    gh_limiter_wake(&h->l, GH_SCOPE_APP, S("app"));
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_ADMIT);
    assert_int_equal(call(f, h, "app", &ref, 1), GH_SPEND_REFUSED);
}

/* ---- room ---- */

static void
test_full_zone_refuses_and_recovers(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limiter_stats st;
    struct gh_limit_ref ref;
    enum gh_spend_result r = GH_SPEND_ADMIT;
    char app[32];
    unsigned i;

    begin(f, false);
    one_limit(h, &ref, GH_SECOND, GH_HARD, 5);
    for (i = 0; i < 4000 && r == GH_SPEND_ADMIT; i++) {
        snprintf(app, sizeof(app), "app-%u", i);
        r = call(f, h, app, &ref, 1);
        if (f->store.nlimits > MODEL_LIMITS / 2)
            f->store.nlimits = 0;
    }
    assert_int_equal(r, GH_SPEND_FULL);
    gh_limiter_stats(&h->l, &st);
    assert_int_equal(st.evicted, 0);
    assert_true(st.full > 0);
    assert_true(i > ZONE / 400);
    /* who has a place keeps it */
    assert_int_equal(call(f, h, "app-0", &ref, 1), GH_SPEND_ADMIT);
    pass(f, 20000);
    f->store.nlimits = 0;
    for (i = 0; i < 200; i++) {
        snprintf(app, sizeof(app), "new-%u", i);
        assert_int_equal(call(f, h, app, &ref, 1), GH_SPEND_ADMIT);
    }
    gh_limiter_stats(&h->l, &st);
    assert_true(st.evicted > 0);
}

static void
test_long_names(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    char a[GH_NAME_SIZE], b[GH_NAME_SIZE];

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 1);
    memset(a, 'x', GH_NAME_MAX);
    a[GH_NAME_MAX] = '\0';
    strcpy(b, a);
    b[GH_NAME_MAX - 1] = 'y';
    assert_int_equal(call(f, h, a, &ref, 1), GH_SPEND_ADMIT);
    assert_int_equal(call(f, h, b, &ref, 1), GH_SPEND_ADMIT);
    assert_int_equal(call(f, h, a, &ref, 1), GH_SPEND_REFUSED);
    assert_int_equal(call(f, h, b, &ref, 1), GH_SPEND_REFUSED);
}

static void
test_too_many_charges_are_not_unlimited(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit v[2] = {{S(""), S("hits"), GH_DAY, GH_HARD, 1000},
                            {S(""), S("hits"), GH_HOUR, GH_HARD, 1000}};
    struct gh_limit_ref refs[2];
    struct gh_charge one[1];
    struct gh_spend s;
    uint32_t cost = 1;

    prepare(h, refs, v, 2);
    gh_spend_init(&s, one, 1, h->mono, START);
    gh_spend_scope(&h->l, &s, GH_SCOPE_APP, S("app"), refs, 2, all_hits, &cost,
                   GH_ALLOW, 0);
    assert_int_equal(gh_spend_try(&h->l, &s, true), GH_SPEND_FULL);
}

static void
test_attach_needs_this_layout(void **state)
{
    struct fixture *f = *state;
    struct gh_limiter l;
    struct gh_error e;
    void *other = aligned_alloc(64, ZONE);

    memset(other, 0, ZONE);
    assert_int_equal(gh_limiter_attach(&l, other, ZONE, &e), -1);
    assert_int_equal(e.code, GH_ECORRUPT);
    assert_int_equal(gh_limiter_attach(&l, f->host[0].mem, ZONE / 2, &e), -1);
    assert_int_equal(gh_limiter_attach(&l, f->host[0].mem, ZONE, &e), 0);
    assert_int_equal(gh_limiter_format(other, 100, &e), -1);
    assert_int_not_equal(gh_limiter_node(&f->host[0].l),
                         gh_limiter_node(&f->host[1].l));
    free(other);
}

static void
test_memory_of_an_active_application(void **state)
{
    size_t size = 8 << 20;
    void *mem = aligned_alloc(64, size);
    const struct gh_limit v[] = {{S(""), S("hits"), GH_SECOND, GH_HARD, 10},
                                 {S(""), S("hits"), GH_MINUTE, GH_HARD, 100},
                                 {S(""), S("hits"), GH_DAY, GH_HARD, 1000}};
    struct host h = {.mono = 1000000};
    struct gh_limiter_stats st;
    struct gh_limit_ref refs[3];
    struct gh_error e;
    struct call c;
    char app[32];
    uint32_t hits;
    unsigned i;

    assert_int_equal(gh_limiter_format(mem, size, &e), 0);
    assert_int_equal(gh_limiter_attach(&h.l, mem, size, &e), 0);
    prepare(&h, refs, v, 3);
    hits = gh_limiter_symbol(&h.l, S("hits"));
    (void)hits;
    gh_limiter_store_down(&h.l, h.mono);
    for (i = 0;; i++) {
        snprintf(app, sizeof(app), "application-%u", i);
        spend_once(&h, app, refs, 3, 1, false, GH_ALLOW, &c);
        if (c.r != GH_SPEND_ADMIT)
            break;
    }
    gh_limiter_stats(&h.l, &st);
    /* without its meter: 64 bytes more */
    print_message("%u applications with 3 limits in %zu bytes: %zu each\n", i,
                  size, size / i + 64);
    assert_true(size / i + 64 <= 400);
    free(mem);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_exactly_the_limit),
        T(test_two_hosts_share_exactly),
        T(test_refused_calls_cost_no_command),
        T(test_commands_do_not_grow_with_requests),
        T(test_all_or_nothing),
        T(test_which_limit_refused),
        T(test_costs),
        T(test_zero_forbids_and_asks_nobody),
        T(test_soft_admits_and_marks),
        T(test_shadow_counts_only),
        T(test_refund),
        T(test_refund_after_the_window_adds_nothing),
        T(test_edits_keep_usage),
        T(test_lowering_takes_back_the_slice),
        T(test_lost_reply_is_made_good),
        T(test_late_and_repeated_replies_add_nothing),
        T(test_wrong_replies),
        T(test_single_flight),
        T(test_store_away_spends_what_is_leased),
        T(test_store_away_deny_and_allow),
        T(test_store_away_bounded),
        T(test_flushed_store_is_told_again),
        T(test_hold),
        T(test_unspent_slices_come_back),
        T(test_idle_slices_come_back_without_recall),
        T(test_top_up_wakes),
        T(test_full_zone_refuses_and_recovers),
        T(test_long_names),
        T(test_too_many_charges_are_not_unlimited),
        T(test_attach_needs_this_layout),
        T(test_memory_of_an_active_application),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
