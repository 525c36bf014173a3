/* SPDX-License-Identifier: Apache-2.0 */
/* Path templates, mapping rules, bindings of limits and entitlements. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "match.h"

#include <stdlib.h>

#define S(text) gh_slice_str(text)

static void
test_paths(void **state)
{
    static const struct {
        const char *path_template, *path;
        bool want;
    } v[] = {
        {"", "/any/thing", true},
        {"/", "/", true},
        {"/", "/a", false},
        {"/a", "/a", true},
        {"/a", "/a/", false},
        {"/a/", "/a/", true},
        {"/a/", "/a", false},
        {"/a", "/ab", false},
        {"/a", "/A", false},
        {"/users/{id}", "/users/7", true},
        {"/users/{id}", "/users/", false},
        {"/users/{id}", "/users", false},
        {"/users/{id}", "/users/7/posts", false},
        {"/users/{id}/posts", "/users/7/posts", true},
        {"/users/{id}/posts", "/users//posts", false},
        {"/users/{id}/posts", "/users/7/8/posts", false},
        {"/{a}/{b}", "/x/y", true},
        {"/**", "/", true},
        {"/**", "/a/b/c", true},
        {"/a/**", "/a", true},
        {"/a/**", "/a/", true},
        {"/a/**", "/a/b/c", true},
        {"/a/**", "/ab", false},
        {"/a/{x}/**", "/a", false},
        {"/a/{x}/**", "/a/1", true},
        {"/a/{x}/**", "/a/1/2", true},
        {"/a", "", false},
        {"/**", "", true},
        {"/**", "x", false},
        {"/", "x", false},
    };
    struct gh_error e;
    size_t i;

    for (i = 0; i < sizeof(v) / sizeof(v[0]); i++) {
        assert_int_equal(gh_match_check(S(v[i].path_template), &e), 0);
        if (gh_match_path(S(v[i].path_template), S(v[i].path)) != v[i].want)
            fail_msg("%s on %s", v[i].path_template, v[i].path);
    }
}

static void
test_bad_templates(void **state)
{
    static const char *const bad[] = {
        "a",      "/a//b",   "/**/b", "/a*",    "/{",    "/{}",
        "/a{b}c", "/{a}{b}", "/a b",  "/a?b=c", "/a\\b", "/\x01",
    };
    char deep[128] = "";
    struct gh_error e;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (gh_match_check(S(bad[i]), &e) == 0)
            fail_msg("%s was taken", bad[i]);
    assert_int_equal(gh_match_check(gh_slice("/a\0b", 4), &e), -1);
    for (i = 0; i < GH_MATCH_SEGMENTS + 1; i++)
        strcat(deep, "/a");
    assert_int_equal(gh_match_check(S(deep), &e), -1);
    assert_int_equal(e.code, GH_ETOOBIG);
}

static void
test_methods(void **state)
{
    assert_int_equal(gh_match_method(S("GET")), GH_GET);
    assert_int_equal(gh_match_method(S("PATCH")), GH_PATCH);
    assert_int_equal(gh_match_method(S("get")), GH_OTHER);
    assert_int_equal(gh_match_method(S("PROPFIND")), GH_OTHER);
    assert_int_equal(gh_match_method(S("")), GH_OTHER);
}

struct fixture {
    struct gh_arena arena;
    struct gh_alloc a;
    struct gh_error e;
    uint32_t costs[GH_METRICS_MAX];
};

static int
setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    gh_arena_init(&f->arena);
    f->a = gh_arena_alloc(&f->arena);
    *state = f;
    return 0;
}

static int
teardown(void **state)
{
    struct fixture *f = *state;

    gh_arena_finish(&f->arena);
    free(f);
    return 0;
}

/* hits <- read <- search, and bytes beside them */
static const struct gh_metric metrics[] = {{{(const void *)"hits", 4}, -1},
                                           {{(const void *)"read", 4}, 0},
                                           {{(const void *)"search", 6}, 1},
                                           {{(const void *)"bytes", 5}, -1}};

static struct gh_matcher *
compile(struct fixture *f, const struct gh_rule *rules, size_t n)
{
    struct gh_api api = {
        .metrics = metrics, .nmetrics = 4, .rules = rules, .nrules = n};
    struct gh_matcher *m = gh_match_compile(&api, &f->a, &f->e);

    assert_non_null(m);
    return m;
}

static void
test_a_call_is_a_hit(void **state)
{
    struct fixture *f = *state;
    struct gh_matcher *m = compile(f, NULL, 0);

    assert_int_equal(gh_match_costs(m, GH_GET, S("/x"), f->costs), 0);
    assert_int_equal(f->costs[0], 1);
    assert_int_equal(f->costs[1], 0);
}

static void
test_children_count_for_ancestors(void **state)
{
    struct fixture *f = *state;
    const struct gh_rule rules[] = {{{GH_GET, S("/s/{q}")}, 2, 5, false},
                                    {{0, S("/s/**")}, 3, 7, false},
                                    {{GH_POST, S("")}, 0, 0, false}};
    struct gh_matcher *m = compile(f, rules, 3);

    assert_int_equal(gh_match_costs(m, GH_GET, S("/s/x"), f->costs), 2);
    assert_int_equal(f->costs[2], 5);
    assert_int_equal(f->costs[1], 5);
    assert_int_equal(f->costs[0], 5);
    assert_int_equal(f->costs[3], 7);
    /* bytes is not beneath hits: the call is still one hit */
    assert_int_equal(gh_match_costs(m, GH_PUT, S("/s"), f->costs), 1);
    assert_int_equal(f->costs[0], 1);
    assert_int_equal(f->costs[3], 7);
    /* a rule may make it free */
    assert_int_equal(gh_match_costs(m, GH_POST, S("/other"), f->costs), 1);
    assert_int_equal(f->costs[0], 0);
}

static void
test_rules_add_up_until_last(void **state)
{
    struct fixture *f = *state;
    const struct gh_rule rules[] = {{{0, S("/a/**")}, 3, 1, false},
                                    {{0, S("/a/b")}, 3, 2, true},
                                    {{0, S("/a/{x}")}, 3, 4, false}};
    struct gh_matcher *m = compile(f, rules, 3);

    assert_int_equal(gh_match_costs(m, GH_GET, S("/a/b"), f->costs), 2);
    assert_int_equal(f->costs[3], 3);
    assert_int_equal(gh_match_costs(m, GH_GET, S("/a/c"), f->costs), 2);
    assert_int_equal(f->costs[3], 5);
}

static void
test_costs_saturate(void **state)
{
    struct fixture *f = *state;
    const struct gh_rule rules[] = {{{0, S("")}, 3, UINT32_MAX, false},
                                    {{0, S("")}, 3, 2, false}};
    struct gh_matcher *m = compile(f, rules, 2);

    gh_match_costs(m, GH_GET, S("/"), f->costs);
    assert_int_equal(f->costs[3], GH_COST_MAX + 1);
}

static void
test_malformed_apis(void **state)
{
    struct fixture *f = *state;
    const struct gh_metric loop[] = {{S("hits"), -1}, {S("a"), 2}, {S("b"), 1}};
    const struct gh_rule none[] = {{{0, S("")}, 9, 1, false}};
    const struct gh_rule bad[] = {{{0, S("x")}, 0, 1, false}};
    struct gh_metric deep[GH_METRIC_DEPTH + 1];
    struct gh_api api = {.metrics = loop, .nmetrics = 3};
    int i;

    assert_null(gh_match_compile(&api, &f->a, &f->e));
    api.nmetrics = 1;
    api.rules = none;
    api.nrules = 1;
    assert_null(gh_match_compile(&api, &f->a, &f->e));
    api.rules = bad;
    assert_null(gh_match_compile(&api, &f->a, &f->e));
    api.nrules = GH_RULES_MAX + 1;
    assert_null(gh_match_compile(&api, &f->a, &f->e));
    for (i = 0; i <= GH_METRIC_DEPTH; i++)
        deep[i] = (struct gh_metric){S("m"), i - 1};
    api = (struct gh_api){.metrics = deep, .nmetrics = GH_METRIC_DEPTH};
    assert_non_null(gh_match_compile(&api, &f->a, &f->e));
    api.nmetrics++;
    assert_null(gh_match_compile(&api, &f->a, &f->e));
}

static void
test_binding(void **state)
{
    const struct gh_limit v[] = {{S(""), S("hits"), GH_DAY, GH_HARD, 1},
                                 {S("api"), S("search"), GH_DAY, GH_HARD, 1},
                                 {S("other"), S("hits"), GH_DAY, GH_HARD, 1},
                                 {S(""), S("nothing"), GH_DAY, GH_HARD, 1}};
    const struct gh_limits limits = {v, 4};
    struct gh_api api = {.name = S("api"), .metrics = metrics, .nmetrics = 4};
    int8_t of[4];

    gh_match_bind(&api, &limits, of);
    assert_int_equal(of[0], 0);
    assert_int_equal(of[1], 2);
    assert_int_equal(of[2], -1);
    assert_int_equal(of[3], -1);
    api.nmetrics = 0;
    gh_match_bind(&api, &limits, of);
    assert_int_equal(of[0], 0);
    assert_int_equal(of[1], -1);
}

static void
test_entitlement(void **state)
{
    const struct gh_match allow[] = {{GH_GET | GH_HEAD, S("/get")},
                                     {0, S("/open/**")}};
    const struct gh_entitlement apis[] = {{S("one"), allow, 2},
                                          {S("two"), NULL, 0}};
    const struct gh_plan plan = {.apis = apis, .napis = 2};
    const struct gh_entitlement *e = gh_match_entitlement(&plan, S("one"));

    assert_ptr_equal(e, &apis[0]);
    assert_true(gh_match_allowed(e, GH_GET, S("/get")));
    assert_false(gh_match_allowed(e, GH_POST, S("/get")));
    assert_false(gh_match_allowed(e, GH_GET, S("/get/")));
    assert_true(gh_match_allowed(e, GH_OTHER, S("/open")));
    assert_false(gh_match_allowed(e, GH_GET, S("/opening")));
    e = gh_match_entitlement(&plan, S("two"));
    assert_true(gh_match_allowed(e, GH_DELETE, S("/anything")));
    assert_null(gh_match_entitlement(&plan, S("three")));
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_bad_templates),
        cmocka_unit_test(test_methods),
        T(test_a_call_is_a_hit),
        T(test_children_count_for_ancestors),
        T(test_rules_add_up_until_last),
        T(test_costs_saturate),
        T(test_malformed_apis),
        cmocka_unit_test(test_binding),
        cmocka_unit_test(test_entitlement),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
