/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog on a real LMDB environment in a fresh directory. */
#include "arena.h"
#include "catalog.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define S(text) gh_slice_str(text)

struct fixture {
    char dir[64];
    struct gh_catalog *w, *r;
    struct gh_arena arena;
    struct gh_alloc a;
    struct gh_error e;
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    strcpy(f->dir, "/tmp/gh-catalog-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    gh_arena_init(&f->arena);
    f->a = gh_arena_alloc(&f->arena);
    assert_int_equal(gh_catalog_open_writer(f->dir, 16, -1, &f->w, &f->e), 0);
    assert_int_equal(gh_catalog_open_reader(f->dir, &f->r, &f->e), 0);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;
    char path[128];

    gh_catalog_close(f->r);
    gh_catalog_close(f->w);
    gh_arena_finish(&f->arena);
    snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
    unlink(path);
    snprintf(path, sizeof(path), "%s/lock.mdb", f->dir);
    unlink(path);
    rmdir(f->dir);
    free(f);
    return 0;
}

static const struct gh_slice any_host[] = {{(const unsigned char *)"*", 1}};

static struct gh_api
api(const char *name, const char *prefix, const struct gh_slice *hosts,
    size_t n)
{
    return (struct gh_api){.name = S(name),
                           .prefix = S(prefix),
                           .hosts = hosts,
                           .nhosts = n,
                           .service = S("svc")};
}

static struct gh_catalog_write *
write_begin(struct fixture *f)
{
    struct gh_catalog_write *w;

    assert_int_equal(gh_catalog_write_begin(f->w, &w, &f->e), 0);
    return w;
}

static void
put_api(struct fixture *f, const struct gh_api *v)
{
    struct gh_catalog_write *w = write_begin(f);

    assert_int_equal(gh_catalog_put_api(w, v, &f->e), 0);
    assert_int_equal(gh_catalog_commit(w, &f->e), 0);
}

static void
expect_route(struct fixture *f, const char *host, const char *path,
             const char *want)
{
    struct gh_slice got;
    int rc;

    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    rc = gh_catalog_route(f->r, S(host), S(path), &got, &f->e);
    if (want == NULL) {
        assert_int_equal(rc, 0);
    } else {
        assert_int_equal(rc, 1);
        assert_true(gh_slice_eq_str(got, want));
    }
    gh_catalog_end(f->r);
}

static void
test_empty(void **state)
{
    struct fixture *f = *state;
    struct gh_app app;

    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    assert_int_equal(gh_catalog_generation(f->r), 0);
    assert_int_equal(gh_catalog_app(f->r, S("none"), &app, &f->e), 0);
    assert_int_equal(gh_catalog_app(f->r, S(""), &app, &f->e), 0);
    gh_catalog_end(f->r);
    assert_int_equal(gh_catalog_app(f->r, S("none"), &app, &f->e), -1);
    assert_int_equal(f->e.code, GH_EINVAL);
    expect_route(f, "a.example", "/x", NULL);
}

static void
test_reader_before_writer(void **state)
{
    struct gh_error e;
    struct gh_catalog *c;

    assert_int_equal(gh_catalog_open_reader("/tmp/gh-catalog-none", &c, &e),
                     -1);
    assert_int_equal(e.code, GH_EIO);
    assert_int_equal(e.sys, 2);
}

static void
test_rights(void **state)
{
    struct fixture *f = *state;
    struct stat st;
    char path[128];

    snprintf(path, sizeof(path), "%s/data.mdb", f->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    snprintf(path, sizeof(path), "%s/lock.mdb", f->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
}

static void
test_routes_longest_prefix(void **state)
{
    struct fixture *f = *state;
    const struct gh_slice host[] = {S("a.example")};
    const struct gh_slice two[] = {S("a.example"), S("b.example")};
    struct gh_api v;

    v = api("root", "/", any_host, 1);
    put_api(f, &v);
    v = api("ab", "/a/b", two, 2);
    put_api(f, &v);
    v = api("a", "/a", host, 1);
    put_api(f, &v);
    v = api("abcd", "/a/b/c/d", host, 1);
    put_api(f, &v);
    v = api("a-dash", "/a-", host, 1); /* '-' sorts before '/' */
    put_api(f, &v);
    v = api("a-zed", "/az", host, 1);
    put_api(f, &v);

    expect_route(f, "a.example", "/a", "a");
    expect_route(f, "a.example", "/a/", "a");
    expect_route(f, "a.example", "/a/x", "a");
    expect_route(f, "a.example", "/a/b", "ab");
    expect_route(f, "a.example", "/a/b/c", "ab");
    expect_route(f, "a.example", "/a/b/c/d/e", "abcd");
    expect_route(f, "a.example", "/a/b/c/dd", "ab");
    expect_route(f, "a.example", "/a/bb", "a");
    expect_route(f, "a.example", "/ab", "root");
    expect_route(f, "a.example", "/a-", "a-dash");
    expect_route(f, "a.example", "/a-b", "root");
    expect_route(f, "a.example", "/az/b", "a-zed");
    expect_route(f, "b.example", "/a/b", "ab");
    expect_route(f, "b.example", "/a", "root");
    expect_route(f, "c.example", "/", "root");
    expect_route(f, "", "/q", "root");
    expect_route(f, "*", "/q", "root");
    expect_route(f, "a.example", "", NULL);
    expect_route(f, "a.example", "nope", NULL);
}

/* Every answer against a search of all routes. */
static void
test_routes_against_scan(void **state)
{
    struct fixture *f = *state;
    static const char *const seg[] = {"a", "b", "ab", "a-", "z", "a0"};
    char prefix[64][64];
    size_t n = 0, i, j;
    unsigned seed = 7;

    for (i = 0; i < 64; i++) {
        size_t depth = 1 + (unsigned)rand_r(&seed) % 4, d;
        struct gh_api v;
        char name[24];

        prefix[n][0] = '\0';
        for (d = 0; d < depth; d++) {
            strcat(prefix[n], "/");
            strcat(prefix[n], seg[(unsigned)rand_r(&seed) % 6]);
        }
        for (j = 0; j < n && strcmp(prefix[j], prefix[n]) != 0; j++)
            ;
        if (j < n)
            continue;
        snprintf(name, sizeof(name), "n%zu", n);
        v = api(name, prefix[n], any_host, 1);
        put_api(f, &v);
        n++;
    }
    for (i = 0; i < 2000; i++) {
        char path[64] = "", want[24] = "";
        size_t depth = 1 + (unsigned)rand_r(&seed) % 5, d, best = 0;

        for (d = 0; d < depth; d++) {
            strcat(path, "/");
            strcat(path, seg[(unsigned)rand_r(&seed) % 6]);
        }
        for (j = 0; j < n; j++) {
            size_t len = strlen(prefix[j]);

            if (len > best && strncmp(path, prefix[j], len) == 0 &&
                (path[len] == '/' || path[len] == '\0')) {
                best = len;
                snprintf(want, sizeof(want), "n%zu", j);
            }
        }
        expect_route(f, "h.example", path, best ? want : NULL);
    }
}

static void
test_route_conflict_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct gh_catalog_write *w;
    struct gh_api one = api("one", "/x", any_host, 1),
                  two = api("two", "/x", any_host, 1);

    put_api(f, &one);
    w = write_begin(f);
    assert_int_equal(gh_catalog_put_api(w, &two, &f->e), -1);
    assert_int_equal(f->e.code, GH_EEXIST);
    gh_catalog_abort(w);
    expect_route(f, "h", "/x", "one");
}

static void
test_routes_follow_edit_and_removal(void **state)
{
    struct fixture *f = *state;
    struct gh_catalog_write *w;
    struct gh_api v = api("one", "/old", any_host, 1);

    put_api(f, &v);
    v.prefix = S("/new");
    put_api(f, &v);
    expect_route(f, "h", "/old", NULL);
    expect_route(f, "h", "/new/x", "one");
    w = write_begin(f);
    assert_int_equal(gh_catalog_remove(w, "api", S("one"), &f->e), 1);
    assert_int_equal(gh_catalog_remove(w, "api", S("one"), &f->e), 0);
    assert_int_equal(gh_catalog_commit(w, &f->e), 0);
    expect_route(f, "h", "/new/x", NULL);
}

static void
test_bad_routes_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const bad[] = {"", "x", "/x/"};
    char longer[600];
    struct gh_catalog_write *w = write_begin(f);
    struct gh_api v = api("one", "/", any_host, 1);
    size_t i;

    for (i = 0; i < 3; i++) {
        v.prefix = S(bad[i]);
        assert_int_equal(gh_catalog_put_api(w, &v, &f->e), -1);
        assert_int_equal(f->e.code, GH_EINVAL);
    }
    memset(longer, 'x', sizeof(longer));
    longer[0] = '/';
    v.prefix = gh_slice(longer, sizeof(longer));
    assert_int_equal(gh_catalog_put_api(w, &v, &f->e), -1);
    v = api("Bad Name", "/", any_host, 1);
    assert_int_equal(gh_catalog_put_api(w, &v, &f->e), -1);
    gh_catalog_abort(w);
    /* a path longer than any route still finds its prefix */
    v = api("one", "/x", any_host, 1);
    put_api(f, &v);
    memcpy(longer, "/x/", 3);
    longer[599] = '\0';
    expect_route(f, "h", longer, "one");
}

static void
test_plan_round_trip(void **state)
{
    struct fixture *f = *state;
    const struct gh_match allow[] = {{GH_GET | GH_HEAD, S("/get")}, {0, S("")}};
    const struct gh_entitlement apis[] = {{S("httpbin"), allow, 2},
                                          {S("other"), NULL, 0}};
    const struct gh_limit limits[] = {
        {S(""), S("hits"), GH_MINUTE, GH_HARD, 100},
        {S("httpbin"), S("search"), GH_EVER, GH_SHADOW, GH_LIMIT_MAX}};
    struct gh_plan v = {.name = S("basic"),
                        .apis = apis,
                        .napis = 2,
                        .limits = {limits, 2},
                        .store_down = GH_DENY,
                        .bounded_ms = 300000},
                   got;
    struct gh_catalog_write *w = write_begin(f);
    uint64_t version = 0;

    assert_int_equal(gh_catalog_put_plan(w, &v, &f->e), 0);
    assert_int_equal(gh_catalog_commit(w, &f->e), 0);
    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    assert_int_equal(gh_catalog_plan(f->r, S("basic"), &f->a, &got, &f->e), 1);
    assert_int_equal(
        gh_catalog_version(f->r, "plan", S("basic"), &version, &f->e), 1);
    assert_int_equal(
        gh_catalog_version(f->r, "nonsense", S("basic"), &version, &f->e), -1);
    gh_catalog_end(f->r);
    assert_int_equal(got.version, 1);
    assert_int_equal(version, 1);
    assert_int_equal(got.napis, 2);
    assert_int_equal(got.apis[0].nallow, 2);
    assert_int_equal(got.apis[0].allow[0].methods, GH_GET | GH_HEAD);
    assert_true(gh_slice_eq_str(got.apis[0].allow[0].path, "/get"));
    assert_int_equal(got.apis[1].nallow, 0);
    assert_int_equal(got.limits.n, 2);
    assert_true(gh_slice_eq_str(got.limits.at[1].metric, "search"));
    assert_int_equal(got.limits.at[1].value, GH_LIMIT_MAX);
    assert_int_equal(got.limits.at[1].mode, GH_SHADOW);
    assert_int_equal(got.store_down, GH_DENY);
}

static void
test_api_round_trip(void **state)
{
    struct fixture *f = *state;
    const struct gh_jwt_source jwt[] = {{S("lemon"), S("aud")}};
    const struct gh_claim_header claims[] = {{S("email"), S("X-User-Email")}};
    const struct gh_slice roles[] = {S("staff"), S("admin")};
    const struct gh_metric metrics[] = {{S("hits"), -1}, {S("search"), 0}};
    const struct gh_rule rules[] = {{{GH_GET, S("/s/{q}")}, 1, 3, true}};
    const struct gh_limit limits[] = {
        {S(""), S("hits"), GH_SECOND, GH_HARD, 1000}};
    struct gh_api v = api("httpbin", "/httpbin", any_host, 1), got;

    v.strip_prefix = v.classic_headers = true;
    v.accept = GH_ACCEPT_JWT | GH_ACCEPT_KEY_HEADER;
    v.key_header = S("X-API-Key");
    v.jwt = jwt;
    v.njwt = 1;
    v.login = S("lemon");
    v.roles = roles;
    v.nroles = 2;
    v.claims = claims;
    v.nclaims = 1;
    v.metrics = metrics;
    v.nmetrics = 2;
    v.rules = rules;
    v.nrules = 1;
    v.limits = (struct gh_limits){limits, 1};
    put_api(f, &v);
    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    assert_int_equal(gh_catalog_api(f->r, S("httpbin"), &f->a, &got, &f->e), 1);
    gh_catalog_end(f->r);
    assert_true(got.strip_prefix && got.classic_headers);
    assert_false(got.keep_credentials || got.rules_only);
    assert_int_equal(got.accept, v.accept);
    assert_true(gh_slice_eq_str(got.key_header, "X-API-Key"));
    assert_true(gh_slice_eq_str(got.jwt[0].audience, "aud"));
    assert_true(gh_slice_eq_str(got.roles[1], "admin"));
    assert_true(gh_slice_eq_str(got.claims[0].header, "X-User-Email"));
    assert_int_equal(got.metrics[0].parent, -1);
    assert_int_equal(got.metrics[1].parent, 0);
    assert_int_equal(got.rules[0].cost, 3);
    assert_true(got.rules[0].last);
    assert_int_equal(got.limits.at[0].value, 1000);
}

static void
test_small_records_and_credentials(void **state)
{
    struct fixture *f = *state;
    struct gh_catalog_write *w = write_begin(f);
    const struct gh_endpoint ends[] = {{S("10.0.0.1:80"), true},
                                       {S("unix:/x"), false}};
    const struct gh_public_key keys[] = {{S("k1"), GH_ALG_RS256, S("{}")}};
    struct gh_account account = {.name = S("acme"),
                                 .state = GH_SUSPENDED,
                                 .plan = S("big")},
                      account2;
    struct gh_app app = {.name = S("mobile"),
                         .account = S("acme"),
                         .plan = S("basic"),
                         .state = GH_PENDING},
                  app2;
    struct gh_service svc = {.name = S("svc"),
                             .state = S("up"),
                             .endpoints = ends,
                             .n = 2},
                      svc2;
    struct gh_idp idp = {.name = S("lemon"),
                         .issuer = S("https://i/"),
                         .algs = GH_ALG_RS256,
                         .keys = keys,
                         .nkeys = 1,
                         .client_id = S("gate"),
                         .require_iss = true,
                         .session_max_ms = 5},
                  idp2;
    struct gh_credential cred = {.kind = GH_CRED_KEY,
                                 .id = S("k-1"),
                                 .app = S("mobile"),
                                 .expires_ms = 9,
                                 .revoked = true},
                         cred2;
    unsigned char digest[GH_DIGEST_SIZE], other[GH_DIGEST_SIZE];
    struct gh_hmac key;

    gh_hmac_init(&key, S("key"));
    gh_credential_digest(&key, GH_CRED_KEY, S(""), S("secret"), digest);
    gh_credential_digest(&key, GH_CRED_ID_KEY, S(""), S("secret"), other);
    assert_memory_not_equal(digest, other, GH_DIGEST_SIZE);
    /* owner and text do not run into each other */
    gh_credential_digest(&key, GH_CRED_KEY, S("s"), S("ecret"), other);
    assert_memory_not_equal(digest, other, GH_DIGEST_SIZE);

    assert_int_equal(gh_catalog_put_account(w, &account, &f->e), 0);
    assert_int_equal(gh_catalog_put_app(w, &app, &f->e), 0);
    assert_int_equal(gh_catalog_put_service(w, &svc, &f->e), 0);
    assert_int_equal(gh_catalog_put_idp(w, &idp, &f->e), 0);
    assert_int_equal(gh_catalog_put_credential(w, digest, &cred, &f->e), 0);
    assert_int_equal(gh_catalog_commit(w, &f->e), 0);

    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    assert_int_equal(gh_catalog_generation(f->r), 1);
    assert_int_equal(gh_catalog_account(f->r, S("acme"), &account2, &f->e), 1);
    assert_int_equal(account2.state, GH_SUSPENDED);
    assert_true(gh_slice_eq_str(account2.plan, "big"));
    assert_int_equal(gh_catalog_app(f->r, S("mobile"), &app2, &f->e), 1);
    assert_int_equal(app2.state, GH_PENDING);
    assert_int_equal(gh_catalog_service(f->r, S("svc"), &f->a, &svc2, &f->e),
                     1);
    assert_int_equal(svc2.n, 2);
    assert_false(svc2.endpoints[1].healthy);
    assert_int_equal(gh_catalog_idp(f->r, S("lemon"), &f->a, &idp2, &f->e), 1);
    assert_true(idp2.require_iss);
    assert_true(gh_slice_eq_str(idp2.keys[0].kid, "k1"));
    assert_int_equal(idp2.session_max_ms, 5);
    assert_int_equal(gh_catalog_credential(f->r, digest, &cred2, &f->e), 1);
    assert_true(cred2.revoked);
    assert_true(gh_slice_eq_str(cred2.app, "mobile"));
    assert_int_equal(gh_catalog_credential(f->r, other, &cred2, &f->e), 0);
    gh_catalog_end(f->r);

    w = write_begin(f);
    assert_int_equal(gh_catalog_remove_credential(w, digest, &f->e), 1);
    assert_int_equal(gh_catalog_remove_credential(w, digest, &f->e), 0);
    assert_int_equal(gh_catalog_commit(w, &f->e), 0);
    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    assert_int_equal(gh_catalog_credential(f->r, digest, &cred2, &f->e), 0);
    gh_catalog_end(f->r);
}

static void
test_snapshot_and_generation(void **state)
{
    struct fixture *f = *state;
    struct gh_api v = api("one", "/one", any_host, 1);
    struct gh_slice got;

    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    put_api(f, &v);
    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0); /* no-op inside */
    assert_int_equal(gh_catalog_generation(f->r), 0);
    assert_int_equal(gh_catalog_route(f->r, S("h"), S("/one"), &got, &f->e), 0);
    gh_catalog_end(f->r);
    gh_catalog_end(f->r);
    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    assert_int_equal(gh_catalog_generation(f->r), 1);
    assert_int_equal(gh_catalog_route(f->r, S("h"), S("/one"), &got, &f->e), 1);
    gh_catalog_end(f->r);
}

static int
collect(void *ctx, struct gh_slice name, struct gh_slice value)
{
    strncat(ctx, (const char *)name.data, name.len);
    strcat(ctx, "=");
    strncat(ctx, (const char *)value.data, value.len);
    strcat(ctx, " ");
    return 0;
}

static int
stop_at_once(void *ctx, struct gh_slice name, struct gh_slice value)
{
    return 42;
}

static void
test_documents(void **state)
{
    struct fixture *f = *state;
    struct gh_catalog_write *w = write_begin(f);
    struct gh_slice json;
    char text[256] = "";

    assert_int_equal(gh_catalog_put_doc(w, "plan", S("b"), S("2"), &f->e), 0);
    assert_int_equal(gh_catalog_put_doc(w, "plan", S("a"), S("1"), &f->e), 0);
    assert_int_equal(gh_catalog_put_doc(w, "planx", S("c"), S("3"), &f->e), 0);
    assert_int_equal(gh_catalog_write_doc(w, "plan", S("a"), &json, &f->e), 1);
    assert_true(gh_slice_eq_str(json, "1"));
    assert_int_equal(gh_catalog_put_doc(w, "a/b", S("c"), S("3"), &f->e), -1);
    assert_int_equal(gh_catalog_commit(w, &f->e), 0);
    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    assert_int_equal(gh_catalog_each(f->r, "doc:plan", collect, text, &f->e),
                     0);
    assert_string_equal(text, "a=1 b=2 ");
    assert_int_equal(
        gh_catalog_each(f->r, "doc:plan", stop_at_once, NULL, &f->e), 42);
    text[0] = '\0';
    assert_int_equal(gh_catalog_each(f->r, "plan", collect, text, &f->e), 0);
    assert_string_equal(text, "");
    assert_int_equal(gh_catalog_each(f->r, "nope", collect, text, &f->e), -1);
    assert_int_equal(gh_catalog_doc(f->r, "plan", S("b"), &json, &f->e), 1);
    assert_true(gh_slice_eq_str(json, "2"));
    gh_catalog_end(f->r);
    w = write_begin(f);
    assert_int_equal(gh_catalog_remove_doc(w, "plan", S("b"), &f->e), 1);
    assert_int_equal(gh_catalog_remove_doc(w, "plan", S("b"), &f->e), 0);
    assert_int_equal(gh_catalog_commit(w, &f->e), 0);
}

static void
test_full_catalog_keeps_what_it_had(void **state)
{
    struct fixture *f = *state;
    struct gh_catalog_write *w = write_begin(f);
    static char big[1 << 20];
    struct gh_slice json;
    char name[16];
    int i, rc = 0;

    assert_int_equal(gh_catalog_put_doc(w, "plan", S("a"), S("1"), &f->e), 0);
    assert_int_equal(gh_catalog_commit(w, &f->e), 0);
    w = write_begin(f);
    for (i = 0; i < 32 && rc == 0; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        rc = gh_catalog_put_doc(w, "big", S(name), gh_slice(big, sizeof(big)),
                                &f->e);
    }
    assert_int_equal(rc, -1);
    assert_int_equal(f->e.code, GH_ENOMEM);
    gh_catalog_abort(w);
    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    assert_int_equal(gh_catalog_generation(f->r), 1);
    assert_int_equal(gh_catalog_doc(f->r, "plan", S("a"), &json, &f->e), 1);
    gh_catalog_end(f->r);
}

/* The writer was started again with a larger map: readers follow. */
static void
test_growth(void **state)
{
    struct fixture *f = *state;
    static char big[1 << 20];
    struct gh_catalog_write *w;
    struct gh_slice json;
    char name[16];
    int i;

    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    gh_catalog_end(f->r);
    gh_catalog_close(f->w);
    assert_int_equal(gh_catalog_open_writer(f->dir, 64, -1, &f->w, &f->e), 0);
    w = write_begin(f);
    for (i = 0; i < 30; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_int_equal(gh_catalog_put_doc(w, "big", S(name),
                                            gh_slice(big, sizeof(big)), &f->e),
                         0);
    }
    assert_int_equal(gh_catalog_commit(w, &f->e), 0);
    assert_int_equal(gh_catalog_begin(f->r, &f->e), 0);
    assert_int_equal(gh_catalog_generation(f->r), 1);
    assert_int_equal(gh_catalog_doc(f->r, "big", S("n29"), &json, &f->e), 1);
    assert_int_equal(json.len, sizeof(big));
    gh_catalog_end(f->r);
}

static void
die_writing(const char *dir, const struct gh_api *v)
{
    struct gh_catalog *c;
    struct gh_catalog_write *w;

    if (gh_catalog_open_writer(dir, 16, -1, &c, NULL) == 0 &&
        gh_catalog_write_begin(c, &w, NULL) == 0 &&
        gh_catalog_put_api(w, v, NULL) == 0)
        kill(getpid(), SIGKILL);
    _exit(1);
}

static void
die_reading(const char *dir)
{
    struct gh_catalog *c;

    if (gh_catalog_open_reader(dir, &c, NULL) == 0 &&
        gh_catalog_begin(c, NULL) == 0)
        kill(getpid(), SIGKILL);
    _exit(1);
}

/* Who is killed in the middle of a write changed nothing, and neither that one
 * nor a killed reader keeps the next writer waiting. */
static void
test_killed_writer_and_reader(void **state)
{
    struct fixture *f = *state;
    struct gh_api v = api("one", "/one", any_host, 1);
    int i, status;

    gh_catalog_close(f->w); /* a process may have it open once */
    gh_catalog_close(f->r);
    for (i = 0; i < 2; i++) {
        pid_t pid = fork();

        if (pid == 0 && i == 0)
            die_writing(f->dir, &v);
        if (pid == 0)
            die_reading(f->dir);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
    }
    assert_int_equal(gh_catalog_open_writer(f->dir, 16, -1, &f->w, &f->e), 0);
    assert_int_equal(gh_catalog_open_reader(f->dir, &f->r, &f->e), 0);
    expect_route(f, "h", "/one", NULL);
    v.prefix = S("/two");
    put_api(f, &v);
    expect_route(f, "h", "/two", "one");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        T(test_empty),
        cmocka_unit_test(test_reader_before_writer),
        T(test_rights),
        T(test_routes_longest_prefix),
        T(test_routes_against_scan),
        T(test_route_conflict_changes_nothing),
        T(test_routes_follow_edit_and_removal),
        T(test_bad_routes_are_refused),
        T(test_plan_round_trip),
        T(test_api_round_trip),
        T(test_small_records_and_credentials),
        T(test_snapshot_and_generation),
        T(test_documents),
        T(test_full_catalog_keeps_what_it_had),
        T(test_growth),
        T(test_killed_writer_and_reader),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
