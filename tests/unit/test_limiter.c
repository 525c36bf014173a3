/* SPDX-License-Identifier: Apache-2.0 */
/* Limits with an invented clock and the model store, one sentence per promise:
 * exactness, edits, replies that go astray. */
#include "limiter_rig.h"

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

/* A soft limit below a hard one on the same metric and period. */
static void
test_twin_limits(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    const struct gh_limit v[] = {{S(""), S("hits"), GH_HOUR, GH_HARD, 20},
                                 {S(""), S("hits"), GH_HOUR, GH_SOFT, 10}};
    struct gh_limit_ref refs[2];
    struct call c;
    unsigned i, admitted = 0, over = 0;

    begin(f, false);
    prepare(h, refs, v, 2);
    assert_int_not_equal(refs[0].symbol, refs[1].symbol);
    for (i = 0; i < 40; i++) {
        if (call_cost(f, h, "app", refs, 2, 1, &c) == GH_SPEND_ADMIT) {
            admitted++;
            over += c.s.over;
        }
    }
    assert_int_equal(admitted, 20);
    assert_in_range(over, 8, 10);
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
        T(test_twin_limits),
        T(test_refund),
        T(test_refund_after_the_window_adds_nothing),
        T(test_edits_keep_usage),
        T(test_lowering_takes_back_the_slice),
        T(test_lost_reply_is_made_good),
        T(test_late_and_repeated_replies_add_nothing),
        T(test_wrong_replies),
        T(test_single_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
