/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Workers on one table in shared memory, killed with SIGKILL wherever they are,
 * new ones in their place, over and over: never a call too many, nobody stuck,
 * and the limit is still reached. The store is the model, in shared memory
 * behind a robust lock of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "model_store.h"
#include "table.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define S(text) gh_slice_str(text)
#define ZONE (256 * 1024)
#define WORKERS 3
#define KILLS 150
#define LIMIT 3000000

struct shared {
    pthread_mutex_t lock; /* of the store */
    struct model_store store;
    struct model_limit limit[MODEL_LIMITS];
    _Atomic uint64_t admitted, calls;
};

static uint64_t
now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void *
share(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(p != MAP_FAILED);
    return p;
}

static void
lock_store(struct shared *sh)
{
    if (pthread_mutex_lock(&sh->lock) == EOWNERDEAD)
        pthread_mutex_consistent(&sh->lock);
}

static redisReply *
ask(struct shared *sh, const struct gh_scripts *s, const struct gh_buffer *b)
{
    redisReply *r;

    lock_store(sh);
    r = model_send(&sh->store, s, b);
    pthread_mutex_unlock(&sh->lock);
    return r;
}

static void
init_store(struct shared *sh)
{
    pthread_mutexattr_t a;

    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&sh->lock, &a);
    sh->store.limit = sh->limit;
    sh->store.now_ms = UINT64_C(1767225600000);
    sh->store.epoch_ms = 1;
    sh->store.epoch_run = sh->store.run = 1;
}

/* One call; true when there is nothing left to be had. */
static bool
one_call(struct shared *sh, struct gh_limiter *l,
         const struct gh_scripts *scripts, const struct gh_limit_ref *refs)
{
    static const int8_t metric[2];
    const uint32_t cost = 1;
    struct gh_charge c[2];
    struct gh_spend s;
    struct gh_lease lease;
    struct gh_buffer b = GH_BUFFER_INIT;
    enum gh_spend_result r;
    char app[16];

    /* other scopes come and go, so that the lock is used */
    snprintf(app, sizeof(app), "app-%u",
             (unsigned)(atomic_fetch_add(&sh->calls, 1) % 400));
    gh_spend_init(&s, c, 2, now_ms(), 0);
    gh_spend_scope(l, &s, GH_SCOPE_ACCOUNT, S(app), refs + 1, 1, metric, &cost,
                   GH_ALLOW, 0);
    gh_spend_try(l, &s, false);

    gh_spend_init(&s, c, 2, now_ms(), 0);
    gh_spend_scope(l, &s, GH_SCOPE_APP, S("hot"), refs, 1, metric, &cost,
                   GH_DENY, 0);
    r = gh_spend_try(l, &s, true);
    if (r == GH_SPEND_ADMIT)
        atomic_fetch_add(&sh->admitted, 1);
    if (s.due &&
        gh_lease_begin(l, scripts, &s, 0, s.mono_ms, &lease, &b) == 1) {
        redisReply *reply = ask(sh, scripts, &b);

        gh_lease_apply(l, &lease, now_ms(), reply);
        freeReplyObject(reply);
    }
    gh_buffer_finish(&b);
    return r == GH_SPEND_REFUSED;
}

static pid_t
start_worker(struct shared *sh, struct gh_limiter *l,
             const struct gh_limit_ref *refs)
{
    struct gh_scripts scripts;
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    gh_scripts_init(&scripts);
    while (!one_call(sh, l, &scripts, refs))
        ;
    _exit(0);
}

static void
pause_us(long us)
{
    const struct timespec ts = {0, us * 1000};

    nanosleep(&ts, NULL);
}

static void
test_killed_workers(void **state)
{
    const struct gh_limit v[] = {{S(""), S("hits"), GH_YEAR, GH_HARD, LIMIT},
                                 {S(""), S("hits"), GH_SECOND, GH_HARD, 1000}};
    const struct gh_limits limits = {v, 2};
    struct shared *sh = share(sizeof(*sh));
    void *mem = share(ZONE);
    struct gh_limit_ref refs[2];
    struct gh_limiter l;
    struct gh_limiter_stats st;
    struct gh_error e;
    pid_t pid[WORKERS];
    unsigned i, seed = 5, kills = 0;
    int status;

    init_store(sh);
    assert_int_equal(gh_limiter_format(mem, ZONE, &e), 0);
    assert_int_equal(gh_limiter_attach(&l, mem, ZONE, &e), 0);
    gh_limiter_prepare(&l, &limits, refs);
    for (i = 0; i < WORKERS; i++)
        pid[i] = start_worker(sh, &l, refs);
    for (kills = 0; kills < KILLS && sh->admitted < LIMIT * 9 / 10; kills++) {
        i = (unsigned)rand_r(&seed) % WORKERS;
        pause_us(500 + rand_r(&seed) % 4000); /* anywhere in its work */
        kill(pid[i], SIGKILL);
        waitpid(pid[i], &status, 0);
        pid[i] = start_worker(sh, &l, refs);
    }
    for (i = 0; i < WORKERS; i++) {
        assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    gh_limiter_stats(&l, &st);
    print_message("%u workers killed, %llu of %u calls admitted, %llu scopes\n",
                  kills, (unsigned long long)sh->admitted, LIMIT,
                  (unsigned long long)st.scopes);
    assert_true(kills > 20);
    assert_true(sh->admitted <= LIMIT);
    /* a kill loses a slice at most, and a slice is a part of what was free */
    assert_true(sh->admitted > LIMIT * 9 / 10);
    munmap(mem, ZONE);
    munmap(sh, sizeof(*sh));
}

/* Who dies with the lock in hand does not keep it. */
static void
test_dead_owner_of_the_lock(void **state)
{
    void *mem = share(ZONE);
    struct gh_limiter l;
    struct gh_error e;
    pid_t pid;

    assert_int_equal(gh_limiter_format(mem, ZONE, &e), 0);
    assert_int_equal(gh_limiter_attach(&l, mem, ZONE, &e), 0);
    pid = fork();
    if (pid == 0) {
        if (!gh_table_lock(&l))
            _exit(1);
        kill(getpid(), SIGKILL);
    }
    waitpid(pid, NULL, 0);
    assert_true(gh_limiter_symbol(&l, S("hits")) != 0);
    assert_true(gh_table_lock(&l));
    gh_table_unlock(&l);
    munmap(mem, ZONE);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dead_owner_of_the_lock),
        cmocka_unit_test(test_killed_workers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
