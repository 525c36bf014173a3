/* SPDX-License-Identifier: Apache-2.0 */
/* The limiter when the store is away, changed or lacks what others hold, and
 * when the zone is full. */
#include "limiter_rig.h"

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

/* A lease that the store grants and whose answer never comes. */
static void
lose_answer(struct fixture *f, struct host *h, struct call *c)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_lease lease_;

    assert_int_equal(c->r, GH_SPEND_WAIT);
    assert_int_equal(
        gh_lease_begin(&h->l, &f->scripts, &c->s, 0, h->mono, &lease_, &b), 1);
    freeReplyObject(model_send(&f->store, &f->scripts, &b));
    gh_lease_fail(&h->l, &lease_);
    gh_buffer_finish(&b);
}

/*
 * The answer of a lease is lost, then the store is away and `bounded` decides,
 * then it is back with its data in the same minute: what it had granted is
 * handed out now, so it was not free meanwhile. first: the lost answer is that
 * of the window's first lease.
 */
static unsigned
lost_then_away(struct fixture *f, struct host *h, const char *app, bool first)
{
    struct gh_limit_ref ref;
    struct call c;
    unsigned i, admitted = 0;

    one_limit(h, &ref, GH_MINUTE, GH_HARD, 100);
    if (!first) {
        assert_int_equal(call(f, h, app, &ref, 1), GH_SPEND_ADMIT);
        do {
            admitted++;
            spend_once(h, app, &ref, 1, 1, true, GH_BOUNDED, &c);
        } while (c.r == GH_SPEND_ADMIT);
    }
    for (i = 0; i < 2; i++) {
        spend_once(h, app, &ref, 1, 1, true, GH_BOUNDED, &c);
        lose_answer(f, h, &c);
    }
    gh_limiter_store_down(&h->l, h->mono);
    for (i = 0; i < 300; i++) {
        spend_once(h, app, &ref, 1, 1, true, GH_BOUNDED, &c);
        admitted += c.r == GH_SPEND_ADMIT;
    }
    assert_true(admitted > 20);
    pulse(f, h);
    for (i = 0; i < 300; i++)
        admitted += call(f, h, app, &ref, 1) == GH_SPEND_ADMIT;
    return admitted;
}

static void
test_lost_answer_then_away(void **state)
{
    struct fixture *f = *state;

    begin(f, false);
    pass(f, 52000); /* late in the minute */
    assert_int_equal(lost_then_away(f, &f->host[0], "app", false), 100);
    assert_int_equal(lost_then_away(f, &f->host[0], "new", true), 100);
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

/* Takes all that is left of the day. */
static unsigned
take_all(struct fixture *f, struct host *h, const char *app)
{
    struct gh_limit_ref ref;
    unsigned i, admitted = 0;

    one_limit(h, &ref, GH_DAY, GH_HARD, 100);
    for (i = 0; i < 200; i++)
        admitted += call(f, h, app, &ref, 1) == GH_SPEND_ADMIT;
    return admitted;
}

/* One scope of those that are to be told. */
static int
tell_one(struct fixture *f, struct host *h, uint64_t *cursor)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_lease lease_;
    redisReply *r;

    if (gh_lease_sweep(&h->l, &f->scripts, h->mono, cursor, 1000000, &lease_,
                       &b) != 1)
        return 0;
    r = model_send(&f->store, &f->scripts, &b);
    assert_int_equal(gh_lease_apply(&h->l, &lease_, h->mono, r), 0);
    freeReplyObject(r);
    gh_buffer_finish(&b);
    return 1;
}

/*
 * The store is emptied. A host comes back late in the hold and has more to tell
 * than fits in what is left of it: nothing is granted before it is through.
 */
static void
test_late_host_in_hold(void **state)
{
    struct fixture *f = *state;
    struct host *a = &f->host[0], *b = &f->host[1];
    uint64_t cursor = 0;
    unsigned i;

    begin(f, true);
    assert_int_equal(take_all(f, b, "x"), 100);
    assert_int_equal(take_all(f, b, "y"), 100);
    model_flush(&f->store);
    pulse(f, a);
    pass(f, 940);
    pulse(f, b);
    assert_int_equal(tell_one(f, b, &cursor), 1);
    for (i = 0; i < 4; i++) {
        pass(f, GH_PULSE_MS);
        pulse(f, a);
        pulse(f, b); /* still has one to tell */
        assert_int_equal(take_all(f, a, "x") + take_all(f, a, "y"), 0);
    }
    while (tell_one(f, b, &cursor) == 1)
        ;
    pass(f, GH_HOLD_MS);
    assert_int_equal(take_all(f, a, "x") + take_all(f, a, "y"), 0);
    assert_int_equal(take_all(f, a, "z"), 100);
}

/* Who never ends telling does not keep others from grants for ever. */
static void
test_hold_has_an_end(void **state)
{
    struct fixture *f = *state;
    struct host *a = &f->host[0], *b = &f->host[1];
    struct gh_limit_ref ref;
    unsigned ms = 0;

    begin(f, true);
    assert_int_equal(take_all(f, b, "x"), 100);
    one_limit(a, &ref, GH_DAY, GH_HARD, 100);
    model_flush(&f->store);
    pulse(f, b);
    while (call(f, a, "z", &ref, 1) != GH_SPEND_ADMIT && ms < 60000) {
        pass(f, GH_PULSE_MS);
        ms += GH_PULSE_MS;
        pulse(f, b);
        pulse(f, a);
    }
    assert_int_equal(ms, GH_HOLD_MOST * GH_HOLD_MS);
}

/* In a hold the hosts that are late are not forgotten: what `bounded` admits is
 * still divided among all. */
static void
test_hosts_stay_in_hold(void **state)
{
    struct fixture *f = *state;
    struct host *a = &f->host[0];
    struct gh_limiter_stats st;

    begin(f, true);
    model_flush(&f->store);
    pulse(f, a);
    gh_limiter_stats(&a->l, &st);
    assert_int_equal(st.hosts, 2);
    pass(f, GH_HOLD_MS);
    pulse(f, a);
    gh_limiter_stats(&a->l, &st);
    assert_int_equal(st.hosts, 1);
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

/* ---- no store at all ---- */

static enum gh_spend_result
call_alone(struct host *h, const struct gh_limit_ref *ref, uint64_t wall,
           uint32_t cost, struct call *c)
{
    gh_spend_init(&c->s, c->c, 16, h->mono, wall);
    gh_spend_scope(&h->l, &c->s, GH_SCOPE_APP, S("app"), ref, 1, all_hits,
                   &cost, GH_DENY, 0);
    c->r = gh_spend_try(&h->l, &c->s, true);
    assert_false(c->s.degraded);
    assert_false(c->s.due);
    return c->r;
}

static void
test_alone_it_is_exact(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;
    unsigned i, admitted = 0;

    gh_limiter_store_local(&h->l, true);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 100);
    for (i = 0; i < 300; i++)
        admitted += call_alone(h, &ref, START + 5000, 1, &c) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 100);
    assert_int_equal(c.r, GH_SPEND_REFUSED);
    assert_int_equal(c.s.retry_ms, 55000);
    gh_spend_refund(&h->l, &c.s); /* of a refused call: nothing */
    ref.value = 150;
    for (i = 0; i < 300; i++)
        admitted += call_alone(h, &ref, START + 5000, 1, &c) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 150);
    ref.value = 120;
    assert_int_equal(call_alone(h, &ref, START + 5000, 1, &c),
                     GH_SPEND_REFUSED);
    h->mono += 55000;
    assert_int_equal(call_alone(h, &ref, START + 60000, 118, &c),
                     GH_SPEND_ADMIT);
    assert_int_equal(c.c[0].remaining, 2);
    assert_int_equal(call_alone(h, &ref, START + 60000, 3, &c),
                     GH_SPEND_REFUSED);
    assert_int_equal(call_alone(h, &ref, START + 60000, 2, &c), GH_SPEND_ADMIT);
    assert_int_equal(f->store.commands, 0);
}

static void
test_alone_soft(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;
    unsigned i, over = 0;

    gh_limiter_store_local(&h->l, true);
    one_limit(h, &ref, GH_DAY, GH_SOFT, 10);
    for (i = 0; i < 30; i++) {
        assert_int_equal(call_alone(h, &ref, START + 5000, 1, &c),
                         GH_SPEND_ADMIT);
        over += c.s.over;
    }
    assert_int_equal(over, 20);
}

static void
test_alone_edit_below_use(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;
    unsigned i, admitted = 0;

    gh_limiter_store_local(&h->l, true);
    one_limit(h, &ref, GH_EVER, GH_HARD, 1000);
    for (i = 0; i < 40; i++)
        admitted += call_alone(h, &ref, START, 1, &c) == GH_SPEND_ADMIT;
    ref.value = 45;
    for (i = 0; i < 40; i++)
        admitted += call_alone(h, &ref, START, 1, &c) == GH_SPEND_ADMIT;
    assert_int_equal(admitted, 45);
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
        T(test_store_away_spends_what_is_leased),
        T(test_store_away_deny_and_allow),
        T(test_store_away_bounded),
        T(test_lost_answer_then_away),
        T(test_flushed_store_is_told_again),
        T(test_hold),
        T(test_late_host_in_hold),
        T(test_hold_has_an_end),
        T(test_hosts_stay_in_hold),
        T(test_unspent_slices_come_back),
        T(test_idle_slices_come_back_without_recall),
        T(test_top_up_wakes),
        T(test_alone_it_is_exact),
        T(test_alone_soft),
        T(test_alone_edit_below_use),
        T(test_full_zone_refuses_and_recovers),
        T(test_long_names),
        T(test_too_many_charges_are_not_unlimited),
        T(test_attach_needs_this_layout),
        T(test_memory_of_an_active_application),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
