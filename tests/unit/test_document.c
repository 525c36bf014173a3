/* SPDX-License-Identifier: Apache-2.0 */
/* The admin's document: what is read, refused, compared and compiled. */
#include "document.h"
#include "document_compile.h"
#include "document_schema.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

/* A text through the whole ladder against a state. */
struct run {
    struct gh_faults f;
    struct gh_node *root;
    json_t *doc;
    struct gh_items now, want;
};

static struct run *
run_on(const char *text, const struct gh_items *now)
{
    struct run *r = calloc(1, sizeof(*r));
    struct gh_alloc a;

    assert_non_null(r);
    gh_faults_init(&r->f);
    a = gh_arena_alloc(&r->f.arena);
    if (now != NULL)
        assert_int_equal(gh_items_copy(&r->now, now), 0);
    else
        assert_int_equal(gh_items_init(&r->now), 0);
    r->root = gh_document_read(gh_slice_str(text), &a, &r->f);
    if (r->root == NULL)
        return r;
    r->doc = gh_document_check(r->root, &r->f);
    assert_non_null(r->doc);
    assert_int_equal(
        gh_document_desired(r->doc, r->root, &r->now, &r->want, &r->f), 0);
    gh_document_refs(&r->now, &r->want, r->doc, r->root, &r->f);
    return r;
}

static void
end(struct run *r)
{
    json_decref(r->doc);
    gh_items_finish(&r->now);
    gh_items_finish(&r->want);
    gh_faults_finish(&r->f);
    free(r);
}

/* The fault at this place; fails with all that there are. */
static const struct gh_fault *
fault_at(const struct run *r, unsigned line, unsigned column, const char *path)
{
    for (size_t i = 0; i < r->f.n; i++)
        if (r->f.at[i].line == line && r->f.at[i].column == column &&
            strcmp(r->f.at[i].path, path) == 0)
            return &r->f.at[i];
    for (size_t i = 0; i < r->f.n; i++)
        print_error("%u:%u %s: %s\n", r->f.at[i].line, r->f.at[i].column,
                    r->f.at[i].path, r->f.at[i].message);
    fail_msg("no fault at %u:%u %s", line, column, path);
    return NULL;
}

static void
assert_clean(const struct run *r)
{
    for (size_t i = 0; i < r->f.n; i++)
        print_error("%u:%u %s: %s\n", r->f.at[i].line, r->f.at[i].column,
                    r->f.at[i].path, r->f.at[i].message);
    assert_int_equal(r->f.n, 0);
}

static const char good[] =
    "gatehouse: 1\n"
    "services:\n"
    "  - {name: back, url: http://localhost:8080}\n"
    "idps:\n"
    "  - name: lemon\n"
    "    issuer: https://auth.example.org/\n"
    "    client_id: gatehouse\n"
    "    origin: https://api.example.org\n"
    "    session: {idle: 1800s, max: 24h}\n"
    "apis:\n"
    "  - name: web\n"
    "    path: /web\n"
    "    service: back\n"
    "    credentials: {api_key: X-Key, login: lemon}\n"
    "    metrics: [search, {name: deep, parent: search}]\n"
    "    rules:\n"
    "      - {methods: [GET, POST], path: \"/s/{q}/**\", metric: deep, cost: "
    "3}\n"
    "plans:\n"
    "  - name: basic\n"
    "    apis: [web]\n"
    "    limits:\n"
    "      - {period: minute, value: 10}\n"
    "      - {api: web, metric: deep, period: day, value: 0, mode: soft}\n"
    "accounts: [{name: acme}]\n"
    "apps:\n"
    "  - {name: mobile, account: acme, plan: basic, clients: [{idp: lemon, "
    "client_id: m}]}\n";

static void
a_good_document_has_no_fault(void **state)
{
    struct run *r = run_on(good, NULL);
    json_t *diff = gh_document_diff(&r->now, &r->want);

    assert_clean(r);
    assert_int_equal(json_array_size(diff), 6);
    json_decref(diff);
    end(r);
}

static void
defaults_and_spellings_are_canonical(void **state)
{
    struct run *r = run_on(good, NULL);
    json_t *idp = gh_items_get(&r->want, GH_KIND_IDP, "lemon");
    json_t *session = json_object_get(idp, "session");

    /* 1800s is the default 30m and goes; 24h is 1d. */
    assert_null(json_object_get(session, "idle"));
    assert_string_equal(json_string_value(json_object_get(session, "max")),
                        "1d");
    end(r);
}

static void
what_is_exported_applies_as_a_no_op(void **state)
{
    struct run *r = run_on(good, NULL), *again;
    struct gh_buffer b = GH_BUFFER_INIT;
    json_t *diff;

    assert_int_equal(gh_document_write(&r->want, &b), 0);
    again = run_on(gh_buffer_string(&b), &r->want);
    assert_clean(again);
    diff = gh_document_diff(&again->now, &again->want);
    assert_int_equal(json_array_size(diff), 0);
    json_decref(diff);
    end(again);
    end(r);
    gh_buffer_finish(&b);
}

static void
odd_texts_survive_an_export(void **state)
{
    static const char *const texts[] = {
        "true",   "12",        "1e3",    "null", "~",       "",
        "a: b",   "#x",        "- y",    "'q'",  "\"d\"",   "two\nlines",
        "tab\tx", "0x1f",      "yes",    "é ✓",  " space ", "@at",
        "%dir",   "[not a, ]", "{ no }", "&a",   "*b",      "!t"};

    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        struct gh_buffer b = GH_BUFFER_INIT;
        struct gh_items s;
        struct run *r;
        json_t *item =
            json_pack("{s:s, s:s}", "name", "a", "description", texts[i]);

        gh_items_init(&s);
        json_object_set_new(s.of[GH_KIND_ACCOUNT], "a", item);
        assert_int_equal(gh_document_write(&s, &b), 0);
        r = run_on(gh_buffer_string(&b), NULL);
        assert_clean(r);
        assert_string_equal(
            json_string_value(json_object_get(
                gh_items_get(&r->want, GH_KIND_ACCOUNT, "a"), "description")),
            texts[i]);
        end(r);
        gh_items_finish(&s);
        gh_buffer_finish(&b);
    }
}

static void
every_fault_is_told_with_its_place(void **state)
{
    struct run *r = run_on("gatehouse: 1\n"
                           "apis:\n"
                           "  - name: Web\n"
                           "    path: web/\n"
                           "    servcie: back\n"
                           "    service: bakc\n"
                           "    strip_prefix: \"true\"\n"
                           "    limits: [{period: minut, value: -1}]\n"
                           "    credentials: {api_key: {header: Host}}\n"
                           "services: [{name: back, url: http://x.org}]\n",
                           NULL);
    const struct gh_fault *f;

    fault_at(r, 3, 11, "apis[0].name");
    fault_at(r, 4, 11, "apis[0].path");
    f = fault_at(r, 5, 5, "apis[0].servcie");
    assert_string_equal(f->hint, "did you mean \"service\"?");
    f = fault_at(r, 6, 14, "apis[0].service");
    assert_string_equal(f->hint, "did you mean \"back\"?");
    fault_at(r, 7, 19, "apis[0].strip_prefix");
    f = fault_at(r, 8, 23, "apis[0].limits[0].period");
    assert_string_equal(f->hint, "did you mean \"minute\"?");
    fault_at(r, 8, 37, "apis[0].limits[0].value");
    fault_at(r, 9, 37, "apis[0].credentials.api_key.header");
    fault_at(r, 10, 30, "services[0].url");
    assert_int_equal(r->f.n, 9);
    end(r);
}

static void
yaml_that_means_two_things_is_refused(void **state)
{
    static const struct {
        const char *text;
        unsigned line, column;
    } cases[] = {
        {"gatehouse: &a 1\n", 1, 12},
        {"gatehouse: !!int 1\n", 1, 12},
        {"gatehouse: 1\napps: *x\n", 2, 7},
        {"gatehouse: 1\ngatehouse: 1\n", 2, 1},
        {"gatehouse: 1\n---\ngatehouse: 1\n", 2, 1},
        {"%YAML 1.1\n---\ngatehouse: 1\n", 1, 1},
        {"gatehouse: 1\n\tapps: []\n", 2, 1},
        {"gatehouse: \"a\\0b\"\n", 1, 12},
        {"? [a]\n: b\n", 1, 3},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct run *r = run_on(cases[i].text, NULL);

        assert_true(r->f.n > 0);
        fault_at(r, cases[i].line, cases[i].column, r->f.at[0].path);
        end(r);
    }
}

static void
caps_hold(void **state)
{
    size_t n = GH_DOCUMENT_SIZE + 1;
    char deep[64], *big = malloc(n + 1);
    struct run *r;

    memset(deep, '[', 40);
    strcpy(deep + 40, "\n");
    r = run_on(deep, NULL);
    assert_null(r->root);
    assert_int_equal(r->f.n, 1);
    end(r);

    memset(big, '#', n);
    big[n] = '\0';
    r = run_on(big, NULL);
    assert_null(r->root);
    assert_int_equal(r->f.n, 1);
    end(r);
    free(big);

    r = run_on("", NULL);
    assert_int_equal(r->f.n, 1);
    end(r);
}

static void
faults_beyond_the_room_are_counted(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct run *r;

    gh_buffer_text(&b, "gatehouse: 1\naccounts:\n");
    for (int i = 0; i < GH_FAULTS_MAX + 20; i++)
        gh_buffer_printf(&b, "  - {name: a%d, state: dead}\n", i);
    r = run_on(gh_buffer_string(&b), NULL);
    assert_int_equal(r->f.n, GH_FAULTS_MAX);
    assert_int_equal(r->f.more, 20);
    end(r);
    gh_buffer_finish(&b);
}

/* Each against the good state, in which back, lemon, web, basic, acme and
 * mobile exist. */
static void
references_are_checked(void **state)
{
    static const struct {
        const char *text, *path, *says;
    } cases[] = {
        {"plans: [{name: p, apis: [wbe]}]", "plans[0].apis[0]", "no api"},
        {"plans: [{name: basic, apis: [web, web]}]", "plans[0].apis[1]",
         "twice"},
        {"plans: [{name: basic, apis: [web], limits: [{metric: x, period: "
         "day, value: 1}]}]",
         "plans[0].limits[0].metric", "no API of the plan"},
        {"plans: [{name: basic, apis: [web], limits: [{api: web, metric: x, "
         "period: day, value: 1}]}]",
         "plans[0].limits[0].metric", "no metric"},
        {"plans: [{name: basic, limits: [{period: day, value: 1}, {metric: "
         "hits, period: day, value: 2}]}]",
         "plans[0].limits[1]", "already limits"},
        {"apps: [{name: x, account: acme, plan: gold}]", "apps[0].plan",
         "no plan"},
        {"apps: [{name: x, account: acme, plan: basic, clients: [{idp: nix, "
         "client_id: a}]}]",
         "apps[0].clients[0].idp", "no idp"},
        {"apps: [{name: x, account: acme, plan: basic, clients: [{idp: lemon, "
         "client_id: a}]}, {name: y, account: acme, plan: basic, clients: "
         "[{idp: lemon, client_id: a}]}]",
         "apps[1].clients[0].client_id", "belongs to \"x\""},
        {"apps: [{name: x, account: acme, plan: basic}, {name: x, account: "
         "acme, plan: basic}]",
         "apps[1].name", "a second app"},
        {"accounts: []", "app.mobile.account", "still in use"},
        {"plans: []", "app.mobile.plan", "still in use"},
        {"idps: []", "api.web.credentials.login", "still in use"},
        {"services: []", "api.web.service", "still in use"},
        {"services: [{name: back}]", "services[0]", "is needed"},
        {"services: [{name: back, url: \"unix:/x\", urls: [\"unix:/y\"]}]",
         "services[0]", "only one"},
        {"idps: [{name: lemon, issuer: \"https://a.org\", client_id: x}]",
         "api.web.credentials.login", "origin"},
        {"idps: [{name: lemon, issuer: \"http://a.org\", client_id: x, "
         "origin: \"https://b.org\"}]",
         "idps[0].issuer", "loopback"},
        {"apis: [{name: web, service: back, path: /a, metrics: [{name: a, "
         "parent: b}, {name: b, parent: a}]}]",
         "apis[0].metrics[0].parent", "own ancestor"},
        {"apis: [{name: web, service: back, metrics: [hits]}]",
         "apis[0].metrics[0].name", "by itself"},
        {"apis: [{name: web, service: back, rules: [{metric: nix}]}]",
         "apis[0].rules[0].metric", "no metric"},
        {"apis: [{name: web, service: back, path: /a}, {name: b, service: "
         "back, path: /a}]",
         "apis[1].path", "belongs to \"web\""},
        {"apis: [{name: web, service: back, hosts: [a.org, a.org]}]",
         "apis[0].hosts[1]", "twice"},
        {"apis: [{name: web, service: back, credentials: {}}]",
         "apis[0].credentials", "ever authenticate"},
        {"apis: [{name: web, service: back, credentials: {api_key: x-app-id, "
         "app_id_key: {}}}]",
         "apis[0].credentials.app_id_key.id_header", "already used"},
        {"apis: [{name: web, service: back, claim_headers: {email: "
         "X-Gatehouse-User}}]",
         "apis[0].claim_headers.email", "reserved"},
        {"apis: [{name: web, service: back, rules: [{metric: hits, path: "
         "/a/**/b}]}]",
         "apis[0].rules[0].path", "end only"},
        {"apis: [{name: web, service: back, path: /gatehouse/x}]",
         "apis[0].path", "logins"},
        {"apis: [{name: web, service: back, rules_only: true}]",
         "apis[0].rules_only", "every call"},
        {"apis: [{name: web, service: back, path: /a/../b}]", "apis[0].path",
         ".."},
        {"idps: [{name: lemon, issuer: \"https://a.org\", client_id: x, "
         "origin: \"https://b.org\", keys: [{jwk: {kty: oct, k: AAAA}}]}]",
         "idps[0].keys[0].jwk", "shared key"},
    };
    struct run *base = run_on(good, NULL);

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        char text[1000];
        struct run *r;
        bool found = false;

        snprintf(text, sizeof(text), "gatehouse: 1\n%s\n", cases[i].text);
        r = run_on(text, &base->want);
        for (size_t j = 0; j < r->f.n; j++)
            found = found || (!strcmp(r->f.at[j].path, cases[i].path) &&
                              strstr(r->f.at[j].message, cases[i].says));
        for (size_t j = 0; !found && j < r->f.n; j++)
            print_error("%s: %s\n", r->f.at[j].path, r->f.at[j].message);
        if (!found)
            fail_msg("%s: no such fault", cases[i].text);
        end(r);
    }
    end(base);
}

static void
a_route_and_a_client_may_move(void **state)
{
    struct run *base = run_on(good, NULL);
    struct run *r =
        run_on("gatehouse: 1\n"
               "apis: [{name: web, path: /old, service: back, metrics: "
               "[search, deep]}, {name: new, path: /web, service: back}]\n"
               "apps: [{name: mobile, account: acme, plan: basic}, {name: "
               "two, account: acme, plan: basic, clients: [{idp: lemon, "
               "client_id: m}]}]\n",
               &base->want);

    assert_clean(r);
    end(r);
    end(base);
}

static void
kinds_that_are_not_named_stay(void **state)
{
    struct run *base = run_on(good, NULL);
    struct run *r = run_on("gatehouse: 1\naccounts: [{name: acme}, {name: "
                           "zeta, state: suspended}]\n",
                           &base->want);
    json_t *diff = gh_document_diff(&r->now, &r->want);

    assert_clean(r);
    assert_int_equal(json_array_size(diff), 1);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(diff, 0), "change")),
        "add");
    json_decref(diff);
    end(r);
    end(base);
}

static void
a_difference_names_the_field(void **state)
{
    struct run *base = run_on(good, NULL);
    struct run *r =
        run_on("gatehouse: 1\nplans: [{name: basic, apis: [web], limits: "
               "[{period: minute, value: 20}, {api: web, metric: deep, "
               "period: day, value: 0, mode: soft}]}]\n",
               &base->want);
    json_t *diff = gh_document_diff(&r->now, &r->want), *field;

    assert_clean(r);
    field =
        json_array_get(json_object_get(json_array_get(diff, 0), "fields"), 0);
    assert_string_equal(json_string_value(json_object_get(field, "path")),
                        "limits[0].value");
    assert_int_equal(json_integer_value(json_object_get(field, "from")), 10);
    assert_int_equal(json_integer_value(json_object_get(field, "to")), 20);
    json_decref(diff);
    end(r);
    end(base);
}

static void
items_compile_to_the_vocabulary(void **state)
{
    struct run *r = run_on(good, NULL);
    struct gh_alloc a = gh_arena_alloc(&r->f.arena);
    struct gh_service service;
    struct gh_error e;
    struct gh_plan plan;
    struct gh_idp idp;
    struct gh_api api;

    assert_int_equal(
        gh_document_compile_api(gh_items_get(&r->want, GH_KIND_API, "web"), &a,
                                &api, &e),
        0);
    assert_int_equal(api.accept, GH_ACCEPT_KEY_HEADER | GH_ACCEPT_SESSION);
    assert_true(gh_slice_eq_str(api.key_header, "X-Key"));
    assert_int_equal(api.nhosts, 1);
    assert_true(gh_slice_eq_str(api.hosts[0], "*"));
    assert_int_equal(api.nmetrics, 3);
    assert_true(gh_slice_eq_str(api.metrics[0].name, "hits"));
    assert_int_equal(api.metrics[1].parent, -1);
    assert_int_equal(api.metrics[2].parent, 1);
    assert_int_equal(api.rules[0].metric, 2);
    assert_int_equal(api.rules[0].cost, 3);
    assert_int_equal(api.rules[0].match.methods, GH_GET | GH_POST);

    assert_int_equal(
        gh_document_compile_plan(gh_items_get(&r->want, GH_KIND_PLAN, "basic"),
                                 &a, &plan, &e),
        0);
    assert_int_equal(plan.limits.n, 2);
    assert_true(gh_slice_eq_str(plan.limits.at[0].metric, "hits"));
    assert_int_equal(plan.limits.at[0].period, GH_MINUTE);
    assert_int_equal(plan.limits.at[1].mode, GH_SOFT);
    assert_int_equal(plan.bounded_ms, 300000);

    assert_int_equal(
        gh_document_compile_idp(gh_items_get(&r->want, GH_KIND_IDP, "lemon"),
                                NULL, &a, &idp, &e),
        0);
    assert_int_equal(idp.algs, GH_ALG_RS256);
    assert_int_equal(idp.session_idle_ms, 1800000);
    assert_int_equal(idp.session_max_ms, 86400000);

    assert_int_equal(
        gh_document_compile_service(
            gh_items_get(&r->want, GH_KIND_SERVICE, "back"), &a, &service, &e),
        0);
    assert_int_equal(service.n, 1);
    assert_true(
        gh_slice_eq_str(service.endpoints[0].address, "127.0.0.1:8080"));
    end(r);
}

static void
upstreams_become_addresses(void **state)
{
    static const struct {
        const char *url, *address;
    } cases[] = {
        {"http://10.0.0.9", "10.0.0.9:80"},
        {"http://10.0.0.9:81/", "10.0.0.9:81"},
        {"http://[::1]", "[::1]:80"},
        {"http://[fe80::1]:8080", "[fe80::1]:8080"},
        {"http://localhost", "127.0.0.1:80"},
        {"unix:/run/a.sock", "unix:/run/a.sock"},
    };
    char why[200];

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        json_t *item =
            json_pack("{s:s, s:s}", "name", "s", "url", cases[i].url);
        struct gh_arena arena;
        struct gh_alloc a;
        struct gh_service v;
        struct gh_error e;

        gh_arena_init(&arena);
        a = gh_arena_alloc(&arena);
        assert_true(gh_document_format_valid(
            GH_F_UPSTREAM, gh_slice_str(cases[i].url), why, sizeof(why)));
        assert_int_equal(gh_document_compile_service(item, &a, &v, &e), 0);
        assert_true(gh_slice_eq_str(v.endpoints[0].address, cases[i].address));
        gh_arena_finish(&arena);
        json_decref(item);
    }
    assert_false(gh_document_format_valid(
        GH_F_UPSTREAM, gh_slice_str("http://a.org"), why, sizeof(why)));
    assert_false(gh_document_format_valid(
        GH_F_UPSTREAM, gh_slice_str("https://10.0.0.1"), why, sizeof(why)));
    assert_false(gh_document_format_valid(GH_F_UPSTREAM,
                                          gh_slice_str("http://10.0.0.1:99999"),
                                          why, sizeof(why)));
    assert_false(gh_document_format_valid(
        GH_F_UPSTREAM, gh_slice_str("http://u@10.0.0.1"), why, sizeof(why)));
}

static void
http_is_for_loopback_alone(void **state)
{
    static const char *const yes[] = {
        "https://a.org",      "https://a.org:8443/x/",
        "http://localhost:1", "http://auth.localhost:8080/",
        "http://127.0.0.2",   "http://[::1]:80"};
    static const char *const no[] = {
        "http://a.org",     "http://localhost.a.org",
        "http://127.a.org", "https://u@a.org",
        "https://a.org/?q", "https://a.org/#f",
        "https://A.org",    "https://",
        "ftp://a.org",      "http://localhost:99999",
        "http://1.2.3",     "https://a..b"};
    char why[200];

    for (size_t i = 0; i < sizeof(yes) / sizeof(*yes); i++)
        assert_true(gh_document_format_valid(GH_F_URL, gh_slice_str(yes[i]),
                                             why, sizeof(why)));
    for (size_t i = 0; i < sizeof(no) / sizeof(*no); i++)
        if (gh_document_format_valid(GH_F_URL, gh_slice_str(no[i]), why,
                                     sizeof(why)))
            fail_msg("%s is taken", no[i]);
}

static void
every_kind_has_a_schema_and_a_manual(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;

    gh_document_reference(&b);
    for (int k = 0; k < GH_KINDS; k++) {
        json_t *schema = gh_document_json_schema(k);
        json_t *properties = json_object_get(schema, "properties");

        for (const struct gh_field *f = gh_schemas[k].fields; f->name != NULL;
             f++) {
            char row[100];

            assert_non_null(json_object_get(properties, f->name));
            snprintf(row, sizeof(row), "| `%s", f->name);
            assert_non_null(strstr(gh_buffer_string(&b), row));
            assert_non_null(f->help);
        }
        json_decref(schema);
    }
    gh_buffer_finish(&b);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_document_has_no_fault),
        cmocka_unit_test(defaults_and_spellings_are_canonical),
        cmocka_unit_test(what_is_exported_applies_as_a_no_op),
        cmocka_unit_test(odd_texts_survive_an_export),
        cmocka_unit_test(every_fault_is_told_with_its_place),
        cmocka_unit_test(yaml_that_means_two_things_is_refused),
        cmocka_unit_test(caps_hold),
        cmocka_unit_test(faults_beyond_the_room_are_counted),
        cmocka_unit_test(references_are_checked),
        cmocka_unit_test(a_route_and_a_client_may_move),
        cmocka_unit_test(kinds_that_are_not_named_stay),
        cmocka_unit_test(a_difference_names_the_field),
        cmocka_unit_test(items_compile_to_the_vocabulary),
        cmocka_unit_test(upstreams_become_addresses),
        cmocka_unit_test(http_is_for_loopback_alone),
        cmocka_unit_test(every_kind_has_a_schema_and_a_manual),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
