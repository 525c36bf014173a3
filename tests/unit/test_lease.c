/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Lua scripts on a real Redis, held against the model and against
 * gh_period_window(): the same commands go to both, with the model's clock set
 * to what Redis said, and every number of the replies must be the same. And the
 * errors that a Redis gives, as far as one can be made to give them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "meter.h"
#include "model_store.h"
#include "table.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define S(text) gh_slice_str(text)
#define ZONE (256 * 1024)

struct redis {
    char dir[64], path[96];
    pid_t pid;
    redisContext *c;
};

static void
wait_ready(int fd)
{
    char line[4096];
    FILE *f = fdopen(fd, "r");
    bool ready = false;

    while (!ready && fgets(line, sizeof(line), f) != NULL)
        ready = strstr(line, "accept connections") != NULL ||
                strstr(line, "ready to accept") != NULL;
    assert_true(ready);
    fclose(f);
}

static int
redis_start(void **state)
{
    struct redis *r = calloc(1, sizeof(*r));
    int out[2];

    strcpy(r->dir, "/tmp/gh-lease-XXXXXX");
    assert_non_null(mkdtemp(r->dir));
    snprintf(r->path, sizeof(r->path), "%s/redis.sock", r->dir);
    assert_int_equal(pipe(out), 0);
    r->pid = fork();
    if (r->pid == 0) {
        int null = open("/dev/null", O_RDWR);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(out[1], 1);
        dup2(null, 2);
        signal(SIGPIPE, SIG_IGN);
        execlp("redis-server", "redis-server", "--port", "0", "--unixsocket",
               r->path, "--save", "", "--appendonly", "no", "--dir", r->dir,
               (char *)NULL);
        _exit(127);
    }
    close(out[1]);
    wait_ready(out[0]);
    r->c = redisConnectUnix(r->path);
    assert_non_null(r->c);
    assert_int_equal(r->c->err, 0);
    *state = r;
    return 0;
}

static int
redis_stop(void **state)
{
    struct redis *r = *state;

    redisFree(r->c);
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    unlink(r->path);
    rmdir(r->dir);
    free(r);
    return 0;
}

static redisReply *
redis_raw(struct redis *r, const struct gh_buffer *b)
{
    void *reply = NULL;

    assert_int_equal(
        redisAppendFormattedCommand(r->c, (const char *)b->data, b->len),
        REDIS_OK);
    assert_int_equal(redisGetReply(r->c, &reply), REDIS_OK);
    return reply;
}

static void
redis_do(struct redis *r, const char *command)
{
    redisReply *reply = redisCommand(r->c, command);

    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s: %s", command, reply->str);
    freeReplyObject(reply);
}

static void
load(struct redis *r, const struct gh_scripts *s)
{
    const struct gh_script *all[GH_SCRIPTS_N] = {&s->lease, &s->pulse,
                                                 &s->meter};
    size_t i;

    for (i = 0; i < GH_SCRIPTS_N; i++) {
        redisReply *reply = redisCommand(r->c, "SCRIPT LOAD %s", all[i]->text);

        assert_non_null(reply);
        assert_int_equal(reply->type, REDIS_REPLY_STRING);
        assert_string_equal(reply->str, all[i]->sha);
        freeReplyObject(reply);
    }
}

/* ---- the calendar ---- */

static void
check_window(struct redis *r, const char *script, enum gh_period p, uint64_t t)
{
    struct gh_window w = gh_period_window(p, t);
    redisReply *reply = redisCommand(r->c, "EVAL %s 0 %d %llu", script, (int)p,
                                     (unsigned long long)t);

    assert_non_null(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        fail_msg("%s", reply->str);
    assert_int_equal(reply->element[0]->integer, w.start_ms);
    assert_int_equal(reply->element[1]->integer,
                     w.end_ms == GH_PERIOD_NO_END ? -1 : (long long)w.end_ms);
    freeReplyObject(reply);
}

static void
test_calendar(void **state)
{
    struct redis *r = *state;
    struct gh_scripts s;
    char script[8192];
    unsigned seed = 3, i;
    int p;

    gh_scripts_init(&s);
    snprintf(script, sizeof(script),
             "%s local s, e = window(tonumber(ARGV[1]), tonumber(ARGV[2])) "
             "return {s, e or -1}",
             s.calendar);
    for (p = 0; p < GH_PERIODS; p++) {
        for (i = 0; i < 300; i++) {
            uint64_t t = (uint64_t)rand_r(&seed) * 2000 + i;
            struct gh_window w = gh_period_window((enum gh_period)p, t);

            check_window(r, script, (enum gh_period)p, t);
            check_window(r, script, (enum gh_period)p, w.start_ms);
            if (w.end_ms != GH_PERIOD_NO_END) {
                check_window(r, script, (enum gh_period)p, w.end_ms - 1);
                check_window(r, script, (enum gh_period)p, w.end_ms);
            }
        }
    }
}

/* ---- the same answers as the model ---- */

struct twin {
    struct redis *redis;
    struct model_store model;
    struct gh_scripts scripts;
    unsigned seed, admitted, compared;
};

static redisReply *
twin_send(struct twin *t, const struct gh_buffer *b)
{
    redisReply *real = redis_raw(t->redis, b), *model;
    size_t i;

    if (real->type == REDIS_REPLY_ERROR)
        fail_msg("%s", real->str);
    assert_int_equal(real->type, REDIS_REPLY_ARRAY);
    t->model.now_ms = (uint64_t)real->element[0]->integer;
    model = model_send(&t->model, &t->scripts, b);
    assert_int_equal(real->elements, model->elements);
    for (i = 0; i < real->elements; i++)
        if (real->element[i]->integer != model->element[i]->integer)
            fail_msg("number %zu: redis says %lld, the model %lld; %.*s", i,
                     real->element[i]->integer, model->element[i]->integer,
                     (int)b->len, (const char *)b->data);
    t->compared++;
    freeReplyObject(model);
    return real;
}

static void
end_hold(struct twin *t)
{
    char text[128];

    t->model.epoch_ms = t->model.now_ms - GH_HOLD_MS - 500;
    snprintf(text, sizeof(text), "HSET gh:{gate}:epoch at %llu",
             (unsigned long long)t->model.epoch_ms);
    redis_do(t->redis, text);
}

static void
twin_pulse(struct twin *t, struct gh_limiter *l, uint64_t mono)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    redisReply *r;

    gh_pulse_command(l, &t->scripts, &b);
    r = twin_send(t, &b);
    assert_true(gh_pulse_apply(l, mono, r) >= 0);
    freeReplyObject(r);
    gh_buffer_finish(&b);
}

/* One call; its lease goes astray now and then. */
static void
twin_call(struct twin *t, struct gh_limiter *l, const char *app,
          const struct gh_limit_ref *refs, size_t n, uint64_t mono)
{
    static const int8_t metric[GH_LIMITS_MAX];
    uint32_t cost = 1 + (unsigned)rand_r(&t->seed) % 3;
    struct gh_charge c[GH_LIMITS_MAX];
    struct gh_spend s;
    struct gh_lease lease;
    struct gh_buffer b = GH_BUFFER_INIT;
    redisReply *r;

    gh_spend_init(&s, c, GH_LIMITS_MAX, mono, t->model.now_ms);
    gh_spend_scope(l, &s, GH_SCOPE_APP, S(app), refs, n, metric, &cost, GH_DENY,
                   0);
    t->admitted += gh_spend_try(l, &s, true) == GH_SPEND_ADMIT;
    if (!s.due || gh_lease_begin(l, &t->scripts, &s, 0, mono, &lease, &b) != 1)
        return;
    r = twin_send(t, &b);
    switch (rand_r(&t->seed) % 8) {
    case 0: /* the reply is lost */
        gh_lease_fail(l, &lease);
        break;
    case 1: /* the command is sent again */
        freeReplyObject(r);
        r = twin_send(t, &b);
        /* fall through */
    default:
        assert_int_equal(gh_lease_apply(l, &lease, mono, r), 0);
    }
    freeReplyObject(r);
    gh_buffer_finish(&b);
}

static void
twin_sweep(struct twin *t, struct gh_limiter *l, uint64_t mono)
{
    uint64_t cursor = 0;

    while (cursor != GH_CURSOR_END) {
        struct gh_buffer b = GH_BUFFER_INIT;
        struct gh_lease lease;

        if (gh_lease_sweep(l, &t->scripts, mono, &cursor, 1000, &lease, &b) ==
            1) {
            redisReply *r = twin_send(t, &b);

            assert_int_equal(gh_lease_apply(l, &lease, mono, r), 0);
            freeReplyObject(r);
        }
        gh_buffer_finish(&b);
    }
}

static void
test_same_as_model(void **state)
{
    static const char *const apps[] = {"one", "two", "three"};
    const struct gh_limit v[] = {
        {S(""), S("hits"), GH_SECOND, GH_HARD, 4000},
        {S(""), S("hits"), GH_MINUTE, GH_HARD, 2000},
        {S("api"), S("hits"), GH_WEEK, GH_SOFT, 1000},
        {S(""), S("hits"), GH_MONTH, GH_HARD, 3000},
        {S(""), S("hits"), GH_YEAR, GH_SHADOW, GH_LIMIT_MAX},
        {S(""), S("hits"), GH_EVER, GH_HARD, 4000}};
    const struct gh_limits limits = {v, 6};
    struct twin t = {.redis = *state, .seed = 11};
    struct gh_limit_ref refs[2][6];
    struct gh_limiter l[2];
    struct gh_error e;
    void *mem[2];
    uint64_t mono = 5000000;
    unsigned i;

    model_init(&t.model, 0);
    gh_scripts_init(&t.scripts);
    load(t.redis, &t.scripts);
    for (i = 0; i < 2; i++) {
        mem[i] = aligned_alloc(64, ZONE);
        assert_int_equal(gh_limiter_format(mem[i], ZONE, &e), 0);
        assert_int_equal(gh_limiter_attach(&l[i], mem[i], ZONE, &e), 0);
        gh_limiter_prepare(&l[i], &limits, refs[i]);
        twin_pulse(&t, &l[i], mono);
    }
    for (i = 0; i < 12000; i++) {
        unsigned h = (unsigned)rand_r(&t.seed) % 2;

        twin_call(&t, &l[h], apps[rand_r(&t.seed) % 3], refs[h], 6, mono);
        if (i % 16 == 0)
            mono++;
        if (i % 500 == 0) {
            end_hold(&t);
            mono += GH_HOLD_MS;
            twin_pulse(&t, &l[h], mono);
            gh_lease_recall(&l[h], S("a:two"));
            twin_sweep(&t, &l[0], mono);
            twin_sweep(&t, &l[1], mono);
        }
        if (i % 3500 == 3499) {
            redis_do(t.redis, "FLUSHALL");
            model_flush(&t.model);
        }
    }
    assert_true(t.compared > 300);
    assert_true(t.admitted > 2000);
    print_message("%u replies compared, %u calls admitted\n", t.compared,
                  t.admitted);
    free(mem[0]);
    free(mem[1]);
    model_finish(&t.model);
}

/* ---- a recall is published ---- */

static void
test_recall_is_published(void **state)
{
    struct redis *r = *state;
    redisContext *sub = redisConnectUnix(r->path);
    redisReply *reply = redisCommand(sub, "SUBSCRIBE %s", GH_RECALL_CHANNEL);
    struct gh_scripts s;
    void *message = NULL;

    freeReplyObject(reply);
    gh_scripts_init(&s);
    load(r, &s);
    redis_do(r, "FLUSHALL");
    redis_do(r, "HSET gh:{gate}:epoch at 1");
    /* node A takes all 10 and spends none, then B wants some */
    reply = redisCommand(r->c,
                         "EVALSHA %s 2 gh:{a:x}:l:k gh:{gate}:epoch A 1 1000 "
                         "1 a:x 7 10 10 10 -1 5 1 0 0 0 0 0",
                         s.lease.sha);
    assert_int_equal(reply->type, REDIS_REPLY_ARRAY);
    assert_int_equal(reply->element[6]->integer, 10);
    freeReplyObject(reply);
    reply = redisCommand(r->c,
                         "EVALSHA %s 2 gh:{a:x}:l:k gh:{gate}:epoch B 2 1000 "
                         "1 a:x 7 10 4 1 -1 5 1 0 0 0 0 0",
                         s.lease.sha);
    assert_int_equal(reply->element[6]->integer, 0);
    assert_int_equal(reply->element[7]->integer, 0);
    assert_int_equal(reply->element[8]->integer, 10);
    freeReplyObject(reply);
    assert_int_equal(redisGetReply(sub, &message), REDIS_OK);
    reply = message;
    assert_string_equal(reply->element[2]->str, "a:x");
    freeReplyObject(reply);
    redisFree(sub);
}

static void
test_keys_expire(void **state)
{
    struct redis *r = *state;
    redisReply *reply = redisCommand(r->c, "PTTL gh:{a:x}:l:k");
    struct gh_scripts s;

    gh_scripts_init(&s);
    assert_int_equal(reply->integer, -1); /* "ever" stays */
    freeReplyObject(reply);
    reply = redisCommand(r->c,
                         "EVALSHA %s 2 gh:{a:x}:l:m gh:{gate}:epoch A 1 1000 "
                         "1 a:x 1 10 10 10 -1 5 1 0 0 0 0 0",
                         s.lease.sha);
    assert_in_range(reply->element[5]->integer, 1, 60000);
    freeReplyObject(reply);
    reply = redisCommand(r->c, "PTTL gh:{a:x}:l:m");
    assert_in_range(reply->integer, 60000, 120000);
    freeReplyObject(reply);
}

/* ---- meters ---- */

static void
flush(struct redis *r, struct gh_limiter *l, const struct gh_scripts *s,
      uint64_t wall, unsigned want, bool ack)
{
    uint64_t cursor = 0;
    unsigned n = 0;

    while (cursor != GH_CURSOR_END) {
        struct gh_buffer b = GH_BUFFER_INIT;
        struct gh_meter_flush f;

        if (gh_meter_next(l, s, wall, &cursor, 100, &f, &b) == 1) {
            redisReply *reply = redis_raw(r, &b);

            assert_int_equal(gh_reaction_of(reply), GH_REACT_NONE);
            freeReplyObject(reply);
            if (ack)
                gh_meter_flushed(l, &f);
            n++;
        }
        gh_buffer_finish(&b);
    }
    assert_int_equal(n, want);
}

static void
sum(struct redis *r, const char *app, uint64_t hour, uint64_t out[GH_FIGURES])
{
    char key[GH_METER_KEY_SIZE];
    redisReply *reply;

    memset(out, 0, GH_FIGURES * sizeof(*out));
    assert_int_equal(gh_meter_key(S(app), S("hits"), hour, key), 0);
    reply = redisCommand(r->c, "HGETALL %s", key);
    assert_int_equal(gh_meter_sum(reply, out), 0);
    freeReplyObject(reply);
}

static void
test_meters(void **state)
{
    struct redis *r = *state;
    uint64_t wall = UINT64_C(1767225600000), out[GH_FIGURES];
    uint64_t hour = wall / 3600000;
    struct gh_limiter l[2];
    struct gh_limiter_stats st;
    struct gh_scripts s;
    struct gh_error e;
    void *mem[2];
    uint32_t hits[2];
    unsigned i;

    gh_scripts_init(&s);
    load(r, &s);
    for (i = 0; i < 2; i++) {
        mem[i] = aligned_alloc(64, ZONE);
        assert_int_equal(gh_limiter_format(mem[i], ZONE, &e), 0);
        assert_int_equal(gh_limiter_attach(&l[i], mem[i], ZONE, &e), 0);
        hits[i] = gh_limiter_symbol(&l[i], S("hits"));
    }
    gh_meter_add(&l[0], S("app"), hits[0], wall, 1000, GH_FIG_ADMITTED, 5);
    gh_meter_add(&l[0], S("app"), hits[0], wall, 1000, GH_FIG_QUOTA, 2);
    gh_meter_add(&l[0], S("other"), hits[0], wall, 1000, GH_FIG_DENIED, 1);
    gh_meter_add(&l[1], S("app"), hits[1], wall, 1000, GH_FIG_ADMITTED, 7);
    assert_int_equal(
        gh_meter_add(&l[1], S("app"), 0, wall, 1, GH_FIG_ADMITTED, 1), -1);
    flush(r, &l[0], &s, wall, 2, false); /* the replies are lost */
    flush(r, &l[0], &s, wall, 2, true);
    flush(r, &l[0], &s, wall, 0, true);
    flush(r, &l[1], &s, wall, 1, true);
    sum(r, "app", hour, out);
    assert_int_equal(out[GH_FIG_ADMITTED], 12);
    assert_int_equal(out[GH_FIG_QUOTA], 2);
    assert_int_equal(out[GH_FIG_DENIED], 0);
    /* the next hour, and the old one is let go when it is told */
    gh_meter_add(&l[0], S("app"), hits[0], wall + 3600000, 1000,
                 GH_FIG_ADMITTED, 1);
    gh_limiter_stats(&l[0], &st);
    assert_int_equal(st.meters, 3);
    flush(r, &l[0], &s, wall + 3 * 3600000, 1, true);
    flush(r, &l[0], &s, wall + 3 * 3600000, 0, true);
    gh_limiter_stats(&l[0], &st);
    assert_int_equal(st.meters, 0);
    sum(r, "app", hour + 1, out);
    assert_int_equal(out[GH_FIG_ADMITTED], 1);
    free(mem[0]);
    free(mem[1]);
}

/* The zone is full and an application pauses: it is put out, though its hour
 * goes on. Made anew its usage is added to what it had; who is in use stays,
 * limits or not. */
static void
test_meters_of_who_was_put_out(void **state)
{
    struct redis *r = *state;
    uint64_t wall = UINT64_C(1767229200000), out[GH_FIGURES];
    uint32_t hits, gen;
    struct gh_limiter l;
    struct gh_scripts s;
    struct gh_error e;
    void *mem = aligned_alloc(64, ZONE);
    char app[32];
    unsigned i, n;

    gh_scripts_init(&s);
    load(r, &s);
    assert_int_equal(gh_limiter_format(mem, ZONE, &e), 0);
    assert_int_equal(gh_limiter_attach(&l, mem, ZONE, &e), 0);
    hits = gh_limiter_symbol(&l, S("hits"));
    gh_meter_add(&l, S("pauses"), hits, wall, 1000, GH_FIG_ADMITTED, 5);
    gh_meter_add(&l, S("busy"), hits, wall, 1000, GH_FIG_ADMITTED, 1);
    for (n = 0;; n++) {
        snprintf(app, sizeof(app), "other-%u", n);
        if (gh_meter_add(&l, S(app), hits, wall, 1000, GH_FIG_DENIED, 1) != 0)
            break;
    }
    gh_meter_add(&l, S("busy"), hits, wall, 19000, GH_FIG_ADMITTED, 1);
    /* the last one has a place, but none for its meter */
    flush(r, &l, &s, wall, n + 2, true);
    for (i = 0; gh_table_find(&l, 'a', S("pauses"), &gen) != 0; i++) {
        assert_true(i < 4000);
        snprintf(app, sizeof(app), "new-%u", i);
        gh_meter_add(&l, S(app), hits, wall, 20000, GH_FIG_DENIED, 1);
    }
    assert_int_not_equal(gh_table_find(&l, 'a', S("busy"), &gen), 0);
    assert_int_equal(
        gh_meter_add(&l, S("pauses"), hits, wall, 20000, GH_FIG_ADMITTED, 3),
        0);
    for (uint64_t cursor = 0; cursor != GH_CURSOR_END;) {
        struct gh_buffer b = GH_BUFFER_INIT;
        struct gh_meter_flush f;

        if (gh_meter_next(&l, &s, wall, &cursor, 100, &f, &b) == 1)
            freeReplyObject(redis_raw(r, &b));
        gh_buffer_finish(&b);
    }
    sum(r, "pauses", wall / 3600000, out);
    assert_int_equal(out[GH_FIG_ADMITTED], 8);
    free(mem);
}

/* ---- errors ---- */

static enum gh_reaction
lease_reaction(struct redis *r)
{
    struct gh_scripts s;
    redisReply *reply;
    enum gh_reaction what;

    gh_scripts_init(&s);
    reply = redisCommand(r->c,
                         "EVALSHA %s 2 gh:{a:e}:l:k gh:{gate}:epoch A 1 1000 "
                         "1 a:e 7 10 10 10 -1 5 1 0 0 0 0 0",
                         s.lease.sha);
    assert_non_null(reply);
    what = gh_reaction_of(reply);
    if (reply->type == REDIS_REPLY_ERROR)
        print_message("  %s -> %s\n", reply->str, gh_reaction_name(what));
    freeReplyObject(reply);
    return what;
}

static void
test_real_errors(void **state)
{
    struct redis *r = *state;
    struct gh_scripts s;

    gh_scripts_init(&s);
    redis_do(r, "SCRIPT FLUSH");
    assert_int_equal(lease_reaction(r), GH_REACT_LOAD);
    load(r, &s);
    assert_int_equal(lease_reaction(r), GH_REACT_NONE);
    redis_do(r, "SET gh:{a:e}:l:k text");
    assert_int_equal(lease_reaction(r), GH_REACT_BAD);
    redis_do(r, "DEL gh:{a:e}:l:k");
    redis_do(r, "CONFIG SET maxmemory 1");
    assert_int_equal(lease_reaction(r), GH_REACT_DOWN);
    redis_do(r, "CONFIG SET maxmemory 0");
    redis_do(r, "CONFIG SET min-replicas-to-write 1");
    assert_int_equal(lease_reaction(r), GH_REACT_DOWN);
    redis_do(r, "CONFIG SET min-replicas-to-write 0");
    redis_do(r, "REPLICAOF 127.0.0.1 1");
    assert_int_equal(lease_reaction(r), GH_REACT_RECONNECT);
    redis_do(r, "REPLICAOF NO ONE");
    redis_do(r, "ACL SETUSER limited on >pw ~nothing +@all");
    redis_do(r, "AUTH limited pw");
    assert_int_equal(lease_reaction(r), GH_REACT_CONFIG);
    redisFree(r->c);
    r->c = redisConnectUnix(r->path);
    redis_do(r, "CONFIG SET requirepass secret");
    redisFree(r->c);
    r->c = redisConnectUnix(r->path);
    assert_int_equal(lease_reaction(r), GH_REACT_CONFIG);
    redisFree(r->c); /* it was closed for that */
    r->c = redisConnectUnix(r->path);
    redis_do(r, "AUTH secret");
}

static void
test_error_texts(void **state)
{
    static const struct {
        const char *text;
        enum gh_reaction want;
    } v[] = {
        {"NOSCRIPT No matching script. Please use EVAL.", GH_REACT_LOAD},
        {"LOADING Redis is loading the dataset in memory", GH_REACT_RETRY},
        {"BUSY Redis is busy running a script.", GH_REACT_RETRY},
        {"TRYAGAIN Multiple keys request during rehashing", GH_REACT_RETRY},
        {"READONLY You can't write against a read only replica.",
         GH_REACT_RECONNECT},
        {"MASTERDOWN Link with MASTER is down", GH_REACT_RECONNECT},
        {"MOVED 3999 127.0.0.1:6381", GH_REACT_REDIRECT},
        {"ASK 3999 127.0.0.1:6381", GH_REACT_REDIRECT},
        {"OOM command not allowed when used memory > 'maxmemory'.",
         GH_REACT_DOWN},
        {"MISCONF Redis is configured to save RDB snapshots", GH_REACT_DOWN},
        {"NOREPLICAS Not enough good replicas to write.", GH_REACT_DOWN},
        {"CLUSTERDOWN The cluster is down", GH_REACT_DOWN},
        {"NOAUTH Authentication required.", GH_REACT_CONFIG},
        {"NOPERM this user has no permissions", GH_REACT_CONFIG},
        {"WRONGPASS invalid username-password pair", GH_REACT_CONFIG},
        {"WRONGTYPE Operation against a key", GH_REACT_BAD},
        {"ERR unknown command", GH_REACT_BAD},
        {"ERR Error running script (call to f_1): @user_script:3: "
         "@user_script: 3: -OOM command not allowed",
         GH_REACT_DOWN},
        {"ERR Error running script (call to f_1): @user_script:3: "
         "-READONLY You can't write",
         GH_REACT_RECONNECT},
        {"", GH_REACT_BAD},
        {"-", GH_REACT_BAD},
        {"OOMX", GH_REACT_BAD},
    };
    redisReply *r;
    size_t i;

    for (i = 0; i < sizeof(v) / sizeof(v[0]); i++)
        assert_int_equal(gh_reaction_of_error(S(v[i].text)), v[i].want);
    assert_int_equal(gh_reaction_of(NULL), GH_REACT_BAD);
    r = model_parse("*1\r\n*1\r\n:1\r\n", 13);
    assert_int_equal(gh_reaction_of(r), GH_REACT_BAD);
    freeReplyObject(r);
    r = model_parse("*1\r\n-LOADING x\r\n", 16);
    assert_int_equal(gh_reaction_of(r), GH_REACT_RETRY);
    freeReplyObject(r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_same_as_model),
        cmocka_unit_test(test_recall_is_published),
        cmocka_unit_test(test_keys_expire),
        cmocka_unit_test(test_meters),
        cmocka_unit_test(test_meters_of_who_was_put_out),
        cmocka_unit_test(test_error_texts),
        cmocka_unit_test(test_real_errors),
    };

    return cmocka_run_group_tests(tests, redis_start, redis_stop);
}
