/* SPDX-License-Identifier: Apache-2.0 */
/* What each kind of item may refer to, and what in it must fit together. */
#include "document_refs.h"

#include "jwk.h"
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

/* Whether the text has the field, be its value right or wrong: what a fault
 * took away is not missing. */
static bool
written(const struct gh_refs *c, const json_t *item, const char *key)
{
    const struct gh_node *at =
        c->located && c->root != NULL ? gh_node_at(c->root, c->base) : NULL;

    return json_object_get(item, key) != NULL || gh_node_get(at, key) != NULL;
}

/* ---- metrics */

/* Index in the API's own list, -1 for hits, -2 unknown. */
static int
metric_index(const json_t *metrics, const char *name)
{
    json_t *m;
    size_t i;

    if (strcmp(name, "hits") == 0)
        return -1;
    json_array_foreach(metrics, i, m)
    {
        const char *other = gh_refs_text(m, "name");

        if (other != NULL && strcmp(other, name) == 0)
            return (int)i;
    }
    return -2;
}

static void
check_metric_known(struct gh_refs *c, const json_t *metrics, const char *name,
                   const char *path)
{
    const char *names[GH_METRICS_MAX + 1] = {"hits"}, *near;
    char hint[128];
    size_t n = 1, i;
    json_t *m;

    if (name == NULL || metric_index(metrics, name) != -2)
        return;
    json_array_foreach(metrics, i, m)
    {
        if (gh_refs_text(m, "name") != NULL && n < GH_METRICS_MAX)
            names[n++] = gh_refs_text(m, "name");
    }
    near = gh_fault_nearest(gh_slice_str(name), names, n);
    if (near != NULL)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    gh_refs_fault(c, near != NULL ? hint : "add it to the API's metrics", path,
                  "there is no metric \"%s\" in the API", name);
}

static void
check_metrics(struct gh_refs *c, const json_t *metrics)
{
    char path[100];
    json_t *m;
    size_t i;

    json_array_foreach(metrics, i, m)
    {
        const char *name = gh_refs_text(m, "name"),
                   *up = gh_refs_text(m, "parent");
        int depth = 0, at;

        if (name == NULL)
            continue;
        snprintf(path, sizeof(path), "metrics[%zu].name", i);
        if (strcmp(name, "hits") == 0)
            gh_refs_fault(c, "leave it out", path,
                          "\"hits\" is there by itself and counts every call");
        else if (metric_index(metrics, name) != (int)i)
            gh_refs_fault(c, "names are unique", path, "a second metric \"%s\"",
                          name);
        snprintf(path, sizeof(path), "metrics[%zu].parent", i);
        check_metric_known(c, metrics, up, path);
        while (up != NULL && (at = metric_index(metrics, up)) >= 0 &&
               depth <= GH_METRIC_DEPTH) {
            depth++;
            if (at == (int)i) {
                gh_refs_fault(c, NULL, path, "the metric is its own ancestor");
                break;
            }
            up = gh_refs_text(json_array_get(metrics, (size_t)at), "parent");
        }
        if (depth >= GH_METRIC_DEPTH)
            gh_refs_fault(c, NULL, path, "metrics are nested deeper than %d",
                          GH_METRIC_DEPTH);
    }
}

static bool
same_text(const char *a, const char *b)
{
    return strcmp(a != NULL ? a : "", b != NULL ? b : "") == 0;
}

/* One counter per (api, metric, period): two limits on it make no sense. */
static void
check_doubled_limits(struct gh_refs *c, const json_t *limits)
{
    char path[100];
    json_t *a, *b;
    size_t i;

    json_array_foreach(limits, i, a)
    {
        for (size_t j = 0; j < i; j++) {
            b = json_array_get(limits, j);
            if (!same_text(gh_refs_text(a, "api"), gh_refs_text(b, "api")) ||
                !same_text(gh_refs_text(a, "metric"),
                           gh_refs_text(b, "metric")) ||
                !same_text(gh_refs_text(a, "period"),
                           gh_refs_text(b, "period")))
                continue;
            snprintf(path, sizeof(path), "limits[%zu]", i);
            gh_refs_fault(c, "keep one of the two", path,
                          "limits[%zu] already limits this metric per %s", j,
                          gh_refs_text(a, "period") != NULL
                              ? gh_refs_text(a, "period")
                              : "?");
            break;
        }
    }
}

/* ---- APIs */

static void
check_login_idp(struct gh_refs *c, const json_t *api, const char *name)
{
    json_t *idp;
    const char *need = NULL;

    idp = gh_refs_follow(c, GH_KIND_IDP, name, "credentials.login");
    if (idp == NULL)
        return;
    if (gh_refs_text(idp, "client_id") == NULL)
        need = "client_id";
    else if (gh_refs_text(idp, "origin") == NULL)
        need = "origin";
    if (need != NULL)
        gh_refs_fault(c, "set it in the idp", "credentials.login",
                      "login needs \"%s\" of idp \"%s\"", need, name);
}

static bool
no_way_written(const struct gh_refs *c)
{
    char path[300];

    if (!c->located || c->root == NULL)
        return true;
    snprintf(path, sizeof(path), "%s%scredentials", c->base,
             *c->base != '\0' ? "." : "");
    return gh_node_at(c->root, path)->count == 0;
}

static void
check_credentials(struct gh_refs *c, const json_t *api)
{
    const json_t *cred = json_object_get(api, "credentials"), *one;
    char path[100];
    size_t i;

    if (cred == NULL)
        return;
    if (json_object_size(cred) == 0 && no_way_written(c))
        gh_refs_fault(c, "name at least one way, or leave \"credentials\" out",
                      "credentials", "no call could ever authenticate");
    json_array_foreach(json_object_get(cred, "jwt"), i, one)
    {
        snprintf(path, sizeof(path), "credentials.jwt[%zu].idp", i);
        gh_refs_follow(c, GH_KIND_IDP, gh_refs_text(one, "idp"), path);
    }
    if (gh_refs_text(cred, "login") != NULL)
        check_login_idp(c, api, gh_refs_text(cred, "login"));
    gh_refs_follow(c, GH_KIND_APP, gh_refs_text(cred, "anonymous"),
                   "credentials.anonymous");
    /* Roles are asked of tokens and sessions: who brings none had it easier. */
    if (gh_refs_text(cred, "anonymous") != NULL &&
        json_array_size(json_object_get(api, "roles")) > 0)
        gh_refs_fault(c,
                      "leave \"anonymous\" out, or publish what is for all "
                      "as an API of its own",
                      "credentials.anonymous",
                      "\"roles\" would keep out nobody: anonymous callers "
                      "have none and are let in");
}

struct header_use {
    const char *name;
    char path[200];
};

static size_t
add_header(struct header_use *uses, size_t n, const char *name,
           const char *path)
{
    if (name == NULL || n == 40)
        return n;
    uses[n].name = name;
    snprintf(uses[n].path, sizeof(uses[n].path), "%s", path);
    return n + 1;
}

static void
check_headers(struct gh_refs *c, const json_t *api)
{
    const json_t *cred = json_object_get(api, "credentials");
    const json_t *pair = json_object_get(cred, "app_id_key");
    const json_t *key = json_object_get(cred, "api_key");
    struct header_use uses[40];
    char path[200];
    const char *claim;
    json_t *header;
    size_t n = 0;

    n = add_header(uses, n, gh_refs_text(key, "header"),
                   "credentials.api_key.header");
    if (key != NULL && json_object_size(key) == 0)
        n = add_header(uses, n, "X-API-Key", "credentials.api_key");
    if (pair != NULL) {
        const char *id = gh_refs_text(pair, "id_header");
        const char *secret = gh_refs_text(pair, "key_header");

        n = add_header(uses, n, id != NULL ? id : "X-App-Id",
                       "credentials.app_id_key.id_header");
        n = add_header(uses, n, secret != NULL ? secret : "X-App-Key",
                       "credentials.app_id_key.key_header");
    }
    json_object_foreach(json_object_get(api, "claim_headers"), claim, header)
    {
        snprintf(path, sizeof(path), "claim_headers.%.100s", claim);
        n = add_header(uses, n, json_string_value(header), path);
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++)
            if (gh_slice_eq_nocase(gh_slice_str(uses[i].name),
                                   gh_slice_str(uses[j].name))) {
                gh_refs_fault(c, "each header has one use", uses[i].path,
                              "header %s is already used by %s", uses[i].name,
                              uses[j].path);
                break;
            }
}

static void
check_api(struct gh_refs *c, const json_t *api)
{
    const json_t *metrics = json_object_get(api, "metrics"), *one;
    char path[100];
    size_t i;

    gh_refs_follow(c, GH_KIND_SERVICE, gh_refs_text(api, "service"), "service");
    check_credentials(c, api);
    check_headers(c, api);
    check_metrics(c, metrics);
    json_array_foreach(json_object_get(api, "rules"), i, one)
    {
        snprintf(path, sizeof(path), "rules[%zu].metric", i);
        check_metric_known(c, metrics, gh_refs_text(one, "metric"), path);
    }
    json_array_foreach(json_object_get(api, "limits"), i, one)
    {
        snprintf(path, sizeof(path), "limits[%zu].metric", i);
        check_metric_known(c, metrics, gh_refs_text(one, "metric"), path);
    }
    check_doubled_limits(c, json_object_get(api, "limits"));
    if (json_is_true(json_object_get(api, "rules_only")) &&
        !written(c, api, "rules"))
        gh_refs_fault(c, "add rules, or take it away", "rules_only",
                      "without rules every call is refused");
}

/* ---- plans */

static bool
plan_has(const json_t *plan, const char *api)
{
    json_t *e;
    size_t i;

    json_array_foreach(json_object_get(plan, "apis"), i, e)
    {
        if (same_text(gh_refs_text(e, "api"), api))
            return true;
    }
    return false;
}

/* Over all APIs of the plan: some API must know the metric. */
static bool
some_api_has(struct gh_refs *c, const json_t *plan, const char *metric)
{
    const json_t *list = json_object_get(plan, "apis");
    const char *name;
    json_t *api;

    json_object_foreach(c->want->of[GH_KIND_API], name, api)
    {
        if (list != NULL && !plan_has(plan, name))
            continue;
        if (metric_index(json_object_get(api, "metrics"), metric) != -2)
            return true;
    }
    return metric_index(NULL, metric) == -1;
}

static void
check_plan_limit(struct gh_refs *c, const json_t *plan, const json_t *limit,
                 size_t i)
{
    const char *name = gh_refs_text(limit, "api"),
               *metric = gh_refs_text(limit, "metric");
    json_t *api;
    char path[100];

    snprintf(path, sizeof(path), "limits[%zu].api", i);
    api = gh_refs_follow(c, GH_KIND_API, name, path);
    if (api != NULL && json_object_get(plan, "apis") != NULL &&
        !plan_has(plan, name))
        gh_refs_fault(c, "add it to the plan's apis", path,
                      "API \"%s\" is not in the plan", name);
    snprintf(path, sizeof(path), "limits[%zu].metric", i);
    if (api != NULL)
        check_metric_known(c, json_object_get(api, "metrics"), metric, path);
    else if (name == NULL && metric != NULL && !some_api_has(c, plan, metric))
        gh_refs_fault(c, "add it to an API's metrics", path,
                      "no API of the plan has a metric \"%s\"", metric);
}

static void
check_plan(struct gh_refs *c, const json_t *plan)
{
    const json_t *apis = json_object_get(plan, "apis"), *one;
    char path[100];
    size_t i;

    json_array_foreach(apis, i, one)
    {
        const char *name = gh_refs_text(one, "api");

        snprintf(path, sizeof(path), "apis[%zu]", i);
        gh_refs_follow(c, GH_KIND_API, name, path);
        for (size_t j = 0; name != NULL && j < i; j++)
            if (same_text(name, gh_refs_text(json_array_get(apis, j), "api"))) {
                gh_refs_fault(c, "put both together", path,
                              "API \"%s\" is named twice", name);
                break;
            }
    }
    json_array_foreach(json_object_get(plan, "limits"), i, one)
    {
        check_plan_limit(c, plan, one, i);
    }
    check_doubled_limits(c, json_object_get(plan, "limits"));
}

/* ---- the others */

static void
check_service(struct gh_refs *c, const json_t *s)
{
    int ways =
        written(c, s, "url") + written(c, s, "urls") + written(c, s, "compose");

    if (ways != 1)
        gh_refs_fault(c, NULL, "",
                      ways == 0 ? "one of url, urls and compose is needed"
                                : "only one of url, urls and compose can be");
    if (json_object_get(s, "compose") != NULL &&
        !json_is_object(json_object_get(s, "compose")))
        gh_refs_fault(c, NULL, "compose", "a map is wanted");
}

static void
check_public_key(struct gh_refs *c, const json_t *jwk, const char *path)
{
    char *s = json_dumps(jwk, JSON_COMPACT);
    struct gh_public_key key;
    struct gh_arena arena;
    struct gh_alloc a;
    struct gh_error e;

    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    if (s != NULL && gh_jwk_import(gh_slice_str(s), &a, &key, &e) != 0)
        gh_refs_fault(c, NULL, path, "%s", e.message);
    gh_arena_finish(&arena);
    free(s);
}

static void
check_jwk(struct gh_refs *c, const json_t *jwk, size_t i)
{
    static const char *const private[] = {"d", "p", "q", "dp", "dq", "qi", "k"};
    char path[64];

    snprintf(path, sizeof(path), "keys[%zu].jwk", i);
    if (gh_refs_text(jwk, "kty") == NULL) {
        gh_refs_fault(c, "RFC 7517", path, "a JWK is a map with \"kty\"");
        return;
    }
    for (size_t p = 0; p < sizeof(private) / sizeof(*private); p++)
        if (json_object_get(jwk, private[p]) != NULL) {
            gh_refs_fault(c, "give the public half only, and replace this key",
                          path, "this is a private or a shared key");
            return;
        }
    check_public_key(c, jwk, path);
}

static void
check_idp(struct gh_refs *c, const json_t *idp)
{
    json_t *one;
    size_t i;

    if (gh_refs_text(idp, "client_id") == NULL &&
        (gh_refs_text(idp, "client_secret") != NULL ||
         gh_refs_text(idp, "client_secret_file") != NULL))
        gh_refs_fault(c, NULL, "client_secret",
                      "a secret without \"client_id\"");
    if (gh_refs_text(idp, "client_secret") != NULL &&
        gh_refs_text(idp, "client_secret_file") != NULL)
        gh_refs_fault(c, "keep one of the two", "client_secret_file",
                      "the secret is given twice");
    json_array_foreach(json_object_get(idp, "keys"), i, one)
    {
        check_jwk(c, json_object_get(one, "jwk"), i);
    }
}

static void
check_app(struct gh_refs *c, const json_t *app)
{
    char path[64];
    json_t *one;
    size_t i;

    gh_refs_follow(c, GH_KIND_ACCOUNT, gh_refs_text(app, "account"), "account");
    gh_refs_follow(c, GH_KIND_PLAN, gh_refs_text(app, "plan"), "plan");
    json_array_foreach(json_object_get(app, "clients"), i, one)
    {
        snprintf(path, sizeof(path), "clients[%zu].idp", i);
        gh_refs_follow(c, GH_KIND_IDP, gh_refs_text(one, "idp"), path);
    }
}

void
gh_refs_check(struct gh_refs *c, enum gh_kind k, const json_t *item)
{
    switch (k) {
    case GH_KIND_SERVICE:
        check_service(c, item);
        break;
    case GH_KIND_IDP:
        check_idp(c, item);
        break;
    case GH_KIND_API:
        check_api(c, item);
        break;
    case GH_KIND_PLAN:
        check_plan(c, item);
        break;
    case GH_KIND_ACCOUNT:
        gh_refs_follow(c, GH_KIND_PLAN, gh_refs_text(item, "plan"), "plan");
        break;
    case GH_KIND_APP:
        check_app(c, item);
        break;
    case GH_KINDS:
        break;
    }
}
