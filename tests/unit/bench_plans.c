/* SPDX-License-Identifier: Apache-2.0 */
/* Nanoseconds per step of a request in plans/, on this machine, one thread:
 * prints a line of JSON per measurement. build/unit/bench_plans [applications].
 */
#include "catalog.h"
#include "lease.h"
#include "match.h"
#include "meter.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define S(text) gh_slice_str(text)

static double
now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void
report(const char *what, unsigned apps, double ns, unsigned long n)
{
    printf("{\"case\": \"%s\", \"applications\": %u, \"ns\": %.1f}\n", what,
           apps, ns / (double)n);
    fflush(stdout);
}

static void
need(int rc, const struct gh_error *e)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s\n", e->message);
    exit(1);
}

static unsigned
next(unsigned *x)
{
    return *x = *x * 1664525u + 1013904223u;
}

static void
app_name(unsigned i, char out[32])
{
    snprintf(out, 32, "application-%u", i);
}

/* A store that grants plenty for an hour. */
static void
grant(struct gh_limiter *l, struct gh_lease *lease)
{
    redisReader *reader = redisReaderCreate();
    struct gh_buffer b = GH_BUFFER_INIT;
    void *r = NULL;
    unsigned i;

    gh_buffer_printf(&b, "*%u\r\n:1000\r\n:1\r\n:0\r\n:0\r\n",
                     4 + 5u * lease->n);
    for (i = 0; i < lease->n; i++)
        gh_buffer_text(&b, ":3600\r\n:3600000\r\n:2000000000\r\n:1\r\n:0\r\n");
    redisReaderFeed(reader, (const char *)b.data, b.len);
    redisReaderGetReply(reader, &r);
    gh_lease_apply(l, lease, 1000, r);
    freeReplyObject(r);
    redisReaderFree(reader);
    gh_buffer_finish(&b);
}

static void
bench_spend(unsigned apps)
{
    static const int8_t metric[3];
    static const uint32_t costs[GH_METRICS_MAX] = {1};
    const struct gh_limit v[] = {
        {S(""), S("hits"), GH_SECOND, GH_HARD, 1u << 30},
        {S(""), S("hits"), GH_MINUTE, GH_HARD, 1u << 30},
        {S(""), S("hits"), GH_DAY, GH_HARD, 1u << 30}};
    const struct gh_limits limits = {v, 3};
    size_t size = ((size_t)apps * 448 + (1 << 20)) & ~(size_t)63;
    void *mem = aligned_alloc(64, size);
    struct gh_limit_ref refs[3];
    struct gh_limiter_stats st;
    struct gh_limiter l;
    struct gh_charge c[3];
    struct gh_spend s;
    struct gh_error e;
    unsigned long i, n = 3000000;
    uint32_t hits;
    unsigned x = 1;
    double t;
    char name[32];
    unsigned pass;

    need(gh_limiter_format(mem, size, &e), &e);
    need(gh_limiter_attach(&l, mem, size, &e), &e);
    gh_limiter_prepare(&l, &limits, refs);
    hits = gh_limiter_symbol(&l, S("hits"));
    for (i = 0; i < apps; i++) {
        struct gh_scripts scripts;
        struct gh_lease lease;
        struct gh_buffer b = GH_BUFFER_INIT;

        memset(&scripts, 0, sizeof(scripts));
        app_name((unsigned)i, name);
        gh_spend_init(&s, c, 3, 1000, 0);
        gh_spend_scope(&l, &s, GH_SCOPE_APP, S(name), refs, 3, metric, costs,
                       GH_ALLOW, 0);
        gh_spend_try(&l, &s, true);
        if (gh_lease_begin(&l, &scripts, &s, 0, 1000, &lease, &b) == 1)
            grant(&l, &lease);
        gh_buffer_finish(&b);
        gh_meter_add(&l, S(name), hits, 0, 1000, GH_FIG_ADMITTED, 1);
    }
    for (pass = 0; pass < 2; pass++) {
        unsigned long admitted = 0;

        t = now_ns();
        for (i = 0; i < n; i++) {
            app_name(apps == 1 ? 0 : next(&x) % apps, name);
            if (pass == 0) /* what making the name costs */
                continue;
            gh_spend_init(&s, c, 3, 1000, 0);
            gh_spend_scope(&l, &s, GH_SCOPE_APP, S(name), refs, 3, metric,
                           costs, GH_DENY, 0);
            admitted += gh_spend_try(&l, &s, true) == GH_SPEND_ADMIT;
        }
        t = now_ns() - t;
        if (pass == 0)
            report("name", apps, t, n);
        else
            report("name + spend of 3 limits", apps, t, n);
        if (pass == 1 && admitted != n)
            fprintf(stderr, "only %lu of %lu admitted\n", admitted, n);
    }
    t = now_ns();
    for (i = 0; i < n; i++) {
        app_name(apps == 1 ? 0 : next(&x) % apps, name);
        gh_meter_add(&l, S(name), hits, 0, 1000, GH_FIG_ADMITTED, 1);
    }
    report("name + meter", apps, now_ns() - t, n);
    gh_limiter_stats(&l, &st);
    printf("{\"case\": \"zone bytes per application, 3 limits and a meter\", "
           "\"applications\": %u, \"bytes\": %.1f}\n",
           apps, (double)st.used / apps);
    free(mem);
}

static void
fill(struct gh_catalog *c, const struct gh_hmac *key, unsigned apps)
{
    struct gh_catalog_write *w;
    struct gh_error e;
    unsigned i;

    need(gh_catalog_write_begin(c, &w, &e), &e);
    for (i = 0; i < apps; i++) {
        unsigned char digest[GH_DIGEST_SIZE];
        char name[32];
        struct gh_app app = {.account = S("acme"), .plan = S("basic")};
        struct gh_credential cred = {.kind = GH_CRED_KEY, .id = S("k-1")};

        app_name(i, name);
        app.name = cred.app = S(name);
        gh_credential_digest(key, GH_CRED_KEY, S(""), S(name), digest);
        need(gh_catalog_put_app(w, &app, &e), &e);
        need(gh_catalog_put_credential(w, digest, &cred, &e), &e);
    }
    need(gh_catalog_commit(w, &e), &e);
}

static void
bench_catalog(unsigned apps, unsigned turn)
{
    char dir[] = "/tmp/gh-bench-XXXXXX", path[64], what[64];
    struct gh_catalog *w, *r;
    struct gh_hmac key;
    struct gh_error e;
    unsigned long i, n = 500000, found = 0;
    unsigned x = 1;
    double t;

    if (mkdtemp(dir) == NULL)
        exit(1);
    gh_hmac_init(&key, S("key"));
    need(gh_catalog_open_writer(dir, 1024, -1, &w, &e), &e);
    need(gh_catalog_open_reader(dir, &r, &e), &e);
    fill(w, &key, apps);
    t = now_ns();
    for (i = 0; i < n; i++) {
        unsigned char digest[GH_DIGEST_SIZE];
        struct gh_credential cred;
        struct gh_app app;
        char name[32];

        app_name(next(&x) % apps, name);
        gh_credential_digest(&key, GH_CRED_KEY, S(""), S(name), digest);
        need(gh_catalog_begin(r, &e), &e);
        if (gh_catalog_credential(r, digest, &cred, &e) == 1)
            found += gh_catalog_app(r, cred.app, &app, &e) == 1;
        if (i % turn == turn - 1)
            gh_catalog_end(r);
    }
    snprintf(what, sizeof(what),
             "name + digest + credential + app, %u per transaction", turn);
    report(what, apps, now_ns() - t, n);
    if (found != n)
        fprintf(stderr, "found %lu of %lu\n", found, n);
    gh_catalog_close(r);
    gh_catalog_close(w);
    snprintf(path, sizeof(path), "%s/data.mdb", dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/lock.mdb", dir);
    unlink(path);
    rmdir(dir);
}

static void
bench_match(void)
{
    struct gh_arena arena;
    struct gh_alloc a;
    static const struct gh_metric metrics[] = {{{(const void *)"hits", 4}, -1},
                                               {{(const void *)"m", 1}, 0}};
    struct gh_rule rules[20];
    struct gh_api api = {
        .metrics = metrics, .nmetrics = 2, .rules = rules, .nrules = 20};
    static char text[20][32];
    uint32_t costs[GH_METRICS_MAX];
    struct gh_matcher *m;
    struct gh_error e;
    unsigned long i, n = 2000000, matched = 0;
    double t;

    for (i = 0; i < 20; i++) {
        snprintf(text[i], sizeof(text[i]), "/r%lu/{id}/things", i);
        rules[i] = (struct gh_rule){{GH_GET, S(text[i])}, 1, 1, false};
    }
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    m = gh_match_compile(&api, &a, &e);
    t = now_ns();
    for (i = 0; i < n; i++)
        matched += gh_match_costs(m, GH_GET, S("/r13/4711/things"), costs);
    report("20 rules on a path", 1, now_ns() - t, n);
    if (matched != n)
        fprintf(stderr, "matched %lu of %lu\n", matched, n);
    gh_arena_finish(&arena);
}

int
main(int argc, char **argv)
{
    unsigned apps = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;

    bench_spend(1);
    bench_spend(apps);
    bench_catalog(1, 1);
    bench_catalog(apps, 1);
    bench_catalog(1, 16);
    bench_catalog(apps, 16);
    bench_match();
    return 0;
}
