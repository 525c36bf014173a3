/* SPDX-License-Identifier: Apache-2.0 */
/* The limiter at its edges: the dearest call, a refund that comes too late, a
 * worker that is stopped with the lock. */
#include "limiter_rig.h"
#include "table.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* The dearest call can be paid; one that is dearer is refused at once instead
 * of leasing more and more. */
static void
test_cost_has_a_range(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct call c;
    unsigned i;

    begin(f, false);
    one_limit(h, &ref, GH_HOUR, GH_HARD, UINT64_C(1000000000000));
    for (i = 0; i < 20; i++)
        assert_int_equal(call_cost(f, h, "app", &ref, 1, GH_COST_MAX, &c),
                         GH_SPEND_ADMIT);
    assert_int_equal(call_cost(f, h, "app", &ref, 1, GH_COST_MAX + 1, &c),
                     GH_SPEND_COST_EXCEEDS);
    assert_int_equal(call_cost(f, h, "app", &ref, 1, 3000000000u, &c),
                     GH_SPEND_COST_EXCEEDS);
    assert_int_equal(c.leases, 0);
    one_limit(h, &ref, GH_DAY, GH_SOFT, UINT64_C(1000000000000));
    assert_int_equal(call_cost(f, h, "app", &ref, 1, 3000000000u, &c),
                     GH_SPEND_ADMIT);
}

/* What a new window has begun to count is not taken below 0 by a refund that
 * began in the one before. */
static void
test_late_refund_of_extra(void **state)
{
    struct fixture *f = *state;
    struct host *h = &f->host[0];
    struct gh_limit_ref ref;
    struct gh_cell *cell;
    struct call c;

    begin(f, false);
    one_limit(h, &ref, GH_MINUTE, GH_HARD, 10);
    gh_limiter_store_down(&h->l, h->mono);
    spend_once(h, "app", &ref, 1, 3, true, GH_ALLOW, &c);
    assert_int_equal(c.r, GH_SPEND_ADMIT);
    cell = gh_table_cell(&h->l, c.c[0].cell);
    assert_int_equal(cell->extra, 3);
    cell->extra = 1;
    gh_spend_refund(&h->l, &c.s);
    assert_int_equal(cell->extra, 1);
    spend_once(h, "app", &ref, 1, 3, true, GH_ALLOW, &c);
    gh_spend_refund(&h->l, &c.s);
    assert_int_equal(cell->extra, 1);
}

static uint64_t
now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Whoever has the lock is stopped: others spin once, not for each scope. When
 * it is killed the lock is had again. */
static void
test_stopped_owner(void **state)
{
    void *mem = mmap(NULL, ZONE, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct gh_limiter l;
    struct gh_error e;
    uint64_t start, first, rest;
    uint32_t gen;
    pid_t pid;
    int status, i;

    (void)state;
    assert_true(mem != MAP_FAILED);
    assert_int_equal(gh_limiter_format(mem, ZONE, &e), 0);
    assert_int_equal(gh_limiter_attach(&l, mem, ZONE, &e), 0);
    pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        gh_table_lock(&l);
        raise(SIGSTOP);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    start = now_us();
    assert_int_equal(gh_table_scope_get(&l, 'a', S("app"), 1000, &gen), 0);
    first = now_us() - start;
    for (i = 0; i < 20; i++)
        assert_int_equal(gh_table_scope_get(&l, 'a', S("app"), 1000, &gen), 0);
    rest = now_us() - start - first;
    assert_true(rest < first);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_not_equal(gh_table_scope_get(&l, 'a', S("app"), 1000, &gen), 0);
    munmap(mem, ZONE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_cost_has_a_range),
        T(test_late_refund_of_extra),
        T(test_stopped_owner),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
