/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the schema cannot see: that names lead somewhere, that no two things
 * claim the same place, that nothing in use goes away.
 */
#include "document_schema.h"

#include "model.h"

#include <stdio.h>

struct checking {
    const struct gh_items *now, *want;
    const struct gh_node *root;
    struct gh_faults *f;
    const char *base; /* path of the item under check */
    bool located;     /* the item is in the text */
    json_t *routes;   /* "host path" -> API name */
    json_t *clients;  /* "idp client_id" -> application's name */
};

static void fault(struct checking *c, const char *hint, const char *path,
                  const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static void
fault(struct checking *c, const char *hint, const char *path, const char *fmt,
      ...)
{
    char full[300], text[400];
    const struct gh_node *at = NULL;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(full, sizeof(full), "%s%s%s", c->base,
             *c->base != '\0' && *path != '\0' && *path != '[' ? "." : "",
             path);
    if (c->located && c->root != NULL)
        at = gh_node_at(c->root, full);
    gh_fault_add(c->f, at != NULL ? at->line : 0, at != NULL ? at->column : 0,
                 full, hint, "%s", text);
}

static const char *
text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* The item that `name` means, or NULL and a fault that says what to do. */
static json_t *
follow(struct checking *c, enum gh_kind k, const char *name, const char *path)
{
    json_t *found, *item;
    const char *names[256], *near, *key;
    char hint[128];
    size_t n = 0;

    if (name == NULL)
        return NULL;
    found = gh_items_get(c->want, k, name);
    if (found != NULL)
        return found;
    if (gh_items_get(c->now, k, name) != NULL) {
        snprintf(hint, sizeof(hint), "change or remove this first, or keep "
                                     "the %s",
                 gh_kind_name(k));
        fault(c, hint, path, "%s \"%s\" is removed but still in use here",
              gh_kind_name(k), name);
        return NULL;
    }
    json_object_foreach(c->want->of[k], key, item)
    {
        if (n < 256)
            names[n++] = key;
    }
    near = gh_fault_nearest(gh_slice_str(name), names, n);
    if (near != NULL)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    else
        snprintf(hint, sizeof(hint), "add it under \"%s:\"",
                 gh_kind_plural(k));
    fault(c, hint, path, "there is no %s \"%s\"", gh_kind_name(k), name);
    return NULL;
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
        const char *other = text(m, "name");

        if (other != NULL && strcmp(other, name) == 0)
            return (int)i;
    }
    return -2;
}

static void
check_metric_known(struct checking *c, const json_t *metrics,
                   const char *name, const char *path)
{
    const char *names[GH_METRICS_MAX + 1] = {"hits"}, *near;
    char hint[128];
    size_t n = 1, i;
    json_t *m;

    if (name == NULL || metric_index(metrics, name) != -2)
        return;
    json_array_foreach(metrics, i, m)
    {
        if (text(m, "name") != NULL && n < GH_METRICS_MAX)
            names[n++] = text(m, "name");
    }
    near = gh_fault_nearest(gh_slice_str(name), names, n);
    if (near != NULL)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    fault(c, near != NULL ? hint : "add it to the API's metrics", path,
          "there is no metric \"%s\" in the API", name);
}

static void
check_metrics(struct checking *c, const json_t *metrics)
{
    char path[100];
    json_t *m;
    size_t i;

    json_array_foreach(metrics, i, m)
    {
        const char *name = text(m, "name"), *up = text(m, "parent");
        int depth = 0, at;

        if (name == NULL)
            continue;
        snprintf(path, sizeof(path), "metrics[%zu].name", i);
        if (strcmp(name, "hits") == 0)
            fault(c, "leave it out", path,
                  "\"hits\" is there by itself and counts every call");
        else if (metric_index(metrics, name) != (int)i)
            fault(c, "names are unique", path, "a second metric \"%s\"", name);
        snprintf(path, sizeof(path), "metrics[%zu].parent", i);
        check_metric_known(c, metrics, up, path);
        while (up != NULL && (at = metric_index(metrics, up)) >= 0 &&
               depth <= GH_METRIC_DEPTH) {
            depth++;
            if (at == (int)i) {
                fault(c, NULL, path, "the metric is its own ancestor");
                break;
            }
            up = text(json_array_get(metrics, (size_t)at), "parent");
        }
        if (depth >= GH_METRIC_DEPTH)
            fault(c, NULL, path, "metrics are nested deeper than %d",
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
check_doubled_limits(struct checking *c, const json_t *limits)
{
    char path[100];
    json_t *a, *b;
    size_t i;

    json_array_foreach(limits, i, a)
    {
        for (size_t j = 0; j < i; j++) {
            b = json_array_get(limits, j);
            if (!same_text(text(a, "api"), text(b, "api")) ||
                !same_text(text(a, "metric"), text(b, "metric")) ||
                !same_text(text(a, "period"), text(b, "period")))
                continue;
            snprintf(path, sizeof(path), "limits[%zu]", i);
            fault(c, "keep one of the two", path,
                  "limits[%zu] already limits this metric per %s", j,
                  text(a, "period") != NULL ? text(a, "period") : "?");
            break;
        }
    }
}

/* ---- APIs */

static void
check_login_idp(struct checking *c, const json_t *api, const char *name)
{
    json_t *idp;
    const char *need = NULL;

    idp = follow(c, GH_KIND_IDP, name, "credentials.login");
    if (idp == NULL)
        return;
    if (text(idp, "client_id") == NULL)
        need = "client_id";
    else if (text(idp, "origin") == NULL)
        need = "origin";
    if (need != NULL)
        fault(c, "set it in the idp", "credentials.login",
              "login needs \"%s\" of idp \"%s\"", need, name);
}

static void
check_credentials(struct checking *c, const json_t *api)
{
    const json_t *cred = json_object_get(api, "credentials"), *one;
    char path[100];
    size_t i;

    if (cred == NULL)
        return;
    if (json_object_size(cred) == 0)
        fault(c, "name at least one way, or leave \"credentials\" out",
              "credentials", "no call could ever authenticate");
    json_array_foreach(json_object_get(cred, "jwt"), i, one)
    {
        snprintf(path, sizeof(path), "credentials.jwt[%zu].idp", i);
        follow(c, GH_KIND_IDP, text(one, "idp"), path);
    }
    if (text(cred, "login") != NULL)
        check_login_idp(c, api, text(cred, "login"));
    follow(c, GH_KIND_APP, text(cred, "anonymous"), "credentials.anonymous");
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
check_headers(struct checking *c, const json_t *api)
{
    const json_t *cred = json_object_get(api, "credentials");
    const json_t *pair = json_object_get(cred, "app_id_key");
    const json_t *key = json_object_get(cred, "api_key");
    struct header_use uses[40];
    char path[200];
    const char *claim;
    json_t *header;
    size_t n = 0;

    n = add_header(uses, n, text(key, "header"), "credentials.api_key.header");
    if (key != NULL && json_object_size(key) == 0)
        n = add_header(uses, n, "X-API-Key", "credentials.api_key");
    if (pair != NULL) {
        const char *id = text(pair, "id_header");
        const char *secret = text(pair, "key_header");

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
                fault(c, "each header has one use", uses[i].path,
                      "header %s is already used by %s", uses[i].name,
                      uses[j].path);
                break;
            }
}

static void
claim_place(struct checking *c, json_t *places, const char *key,
            const char *owner, const char *path, const char *what)
{
    const char *other = json_string_value(json_object_get(places, key));

    if (other == NULL)
        json_object_set_new(places, key, json_string(owner));
    else if (strcmp(other, owner) == 0)
        fault(c, "keep one of the two", path, "%s is named twice", what);
    else
        fault(c, NULL, path, "%s belongs to \"%s\" already", what, other);
}

static void
check_routes(struct checking *c, const json_t *api, const char *name)
{
    const json_t *hosts = json_object_get(api, "hosts");
    const char *prefix = text(api, "path");
    size_t n = hosts != NULL ? json_array_size(hosts) : 1;
    char key[700], what[720], path[64];

    for (size_t i = 0; i < n; i++) {
        const char *host =
            hosts != NULL ? json_string_value(json_array_get(hosts, i)) : "*";

        if (host == NULL)
            continue;
        snprintf(key, sizeof(key), "%s %s", host, prefix ? prefix : "/");
        snprintf(what, sizeof(what), "path %s of host %s",
                 prefix ? prefix : "/", host);
        snprintf(path, sizeof(path), "hosts[%zu]", i);
        claim_place(c, c->routes, key, name, hosts != NULL ? path : "path",
                    what);
    }
}

static void
check_api(struct checking *c, const json_t *api)
{
    const json_t *metrics = json_object_get(api, "metrics"), *one;
    char path[100];
    size_t i;

    follow(c, GH_KIND_SERVICE, text(api, "service"), "service");
    check_credentials(c, api);
    check_headers(c, api);
    check_metrics(c, metrics);
    json_array_foreach(json_object_get(api, "rules"), i, one)
    {
        snprintf(path, sizeof(path), "rules[%zu].metric", i);
        check_metric_known(c, metrics, text(one, "metric"), path);
    }
    json_array_foreach(json_object_get(api, "limits"), i, one)
    {
        snprintf(path, sizeof(path), "limits[%zu].metric", i);
        check_metric_known(c, metrics, text(one, "metric"), path);
    }
    check_doubled_limits(c, json_object_get(api, "limits"));
}

/* ---- plans */

static bool
plan_has(const json_t *plan, const char *api)
{
    json_t *e;
    size_t i;

    json_array_foreach(json_object_get(plan, "apis"), i, e)
    {
        if (same_text(text(e, "api"), api))
            return true;
    }
    return false;
}

/* Over all APIs of the plan: some API must know the metric. */
static bool
some_api_has(struct checking *c, const json_t *plan, const char *metric)
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
check_plan_limit(struct checking *c, const json_t *plan, const json_t *limit,
                 size_t i)
{
    const char *name = text(limit, "api"), *metric = text(limit, "metric");
    json_t *api;
    char path[100];

    snprintf(path, sizeof(path), "limits[%zu].api", i);
    api = follow(c, GH_KIND_API, name, path);
    if (api != NULL && json_object_get(plan, "apis") != NULL &&
        !plan_has(plan, name))
        fault(c, "add it to the plan's apis", path,
              "API \"%s\" is not in the plan", name);
    snprintf(path, sizeof(path), "limits[%zu].metric", i);
    if (api != NULL)
        check_metric_known(c, json_object_get(api, "metrics"), metric, path);
    else if (name == NULL && metric != NULL && !some_api_has(c, plan, metric))
        fault(c, "add it to an API's metrics", path,
              "no API of the plan has a metric \"%s\"", metric);
}

static void
check_plan(struct checking *c, const json_t *plan)
{
    const json_t *apis = json_object_get(plan, "apis"), *one;
    char path[100];
    size_t i;

    json_array_foreach(apis, i, one)
    {
        const char *name = text(one, "api");

        snprintf(path, sizeof(path), "apis[%zu]", i);
        follow(c, GH_KIND_API, name, path);
        for (size_t j = 0; name != NULL && j < i; j++)
            if (same_text(name, text(json_array_get(apis, j), "api"))) {
                fault(c, "put both together", path, "API \"%s\" is named twice",
                      name);
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
check_service(struct checking *c, const json_t *s)
{
    int ways = (json_object_get(s, "url") != NULL) +
               (json_object_get(s, "urls") != NULL) +
               (json_object_get(s, "compose") != NULL);

    if (ways != 1)
        fault(c, NULL, "", ways == 0
                               ? "one of url, urls and compose is needed"
                               : "only one of url, urls and compose can be");
    if (json_object_get(s, "compose") != NULL &&
        !json_is_object(json_object_get(s, "compose")))
        fault(c, NULL, "compose", "a map is wanted");
}

static void
check_jwk(struct checking *c, const json_t *jwk, size_t i)
{
    static const char *const private[] = {"d", "p", "q", "dp", "dq", "qi",
                                          "k"};
    char path[64];

    snprintf(path, sizeof(path), "keys[%zu].jwk", i);
    if (text(jwk, "kty") == NULL) {
        fault(c, "RFC 7517", path, "a JWK is a map with \"kty\"");
        return;
    }
    for (size_t p = 0; p < sizeof(private) / sizeof(*private); p++)
        if (json_object_get(jwk, private[p]) != NULL) {
            fault(c, "give the public half only, and replace this key", path,
                  "this is a private or a shared key");
            return;
        }
}

static void
check_idp(struct checking *c, const json_t *idp)
{
    json_t *one;
    size_t i;

    if (text(idp, "client_id") == NULL &&
        (text(idp, "client_secret") != NULL ||
         text(idp, "client_secret_file") != NULL))
        fault(c, NULL, "client_secret", "a secret without \"client_id\"");
    if (text(idp, "client_secret") != NULL &&
        text(idp, "client_secret_file") != NULL)
        fault(c, "keep one of the two", "client_secret_file",
              "the secret is given twice");
    json_array_foreach(json_object_get(idp, "keys"), i, one)
    {
        check_jwk(c, json_object_get(one, "jwk"), i);
    }
}

static void
check_app(struct checking *c, const json_t *app)
{
    char path[64];
    json_t *one;
    size_t i;

    follow(c, GH_KIND_ACCOUNT, text(app, "account"), "account");
    follow(c, GH_KIND_PLAN, text(app, "plan"), "plan");
    json_array_foreach(json_object_get(app, "clients"), i, one)
    {
        snprintf(path, sizeof(path), "clients[%zu].idp", i);
        follow(c, GH_KIND_IDP, text(one, "idp"), path);
    }
}

static void
check_clients(struct checking *c, const json_t *app, const char *name)
{
    char path[64], key[400], what[420];
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(app, "clients"), i, one)
    {
        const char *idp = text(one, "idp"), *id = text(one, "client_id");

        if (idp == NULL || id == NULL)
            continue;
        snprintf(key, sizeof(key), "%s %s", idp, id);
        snprintf(what, sizeof(what), "client \"%.100s\" of idp \"%s\"", id,
                 idp);
        snprintf(path, sizeof(path), "clients[%zu].client_id", i);
        claim_place(c, c->clients, key, name, path, what);
    }
}

static void
check_item(struct checking *c, enum gh_kind k, const json_t *item)
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
        follow(c, GH_KIND_PLAN, text(item, "plan"), "plan");
        break;
    case GH_KIND_APP:
        check_app(c, item);
        break;
    case GH_KINDS:
        break;
    }
}

/* ---- which items need a look */

static bool
item_changed(const struct checking *c, enum gh_kind k, const char *name,
             const json_t *item)
{
    const json_t *old = json_object_get(c->now->of[k], name);

    return old != item && (old == NULL || !json_equal(old, item));
}

enum { CHANGED = 1, REMOVED = 2 };

static unsigned
kind_changes(const struct checking *c, enum gh_kind k)
{
    unsigned what = 0;
    const char *name;
    json_t *item;

    json_object_foreach(c->want->of[k], name, item)
    {
        if (item_changed(c, k, name, item)) {
            what |= CHANGED;
            break;
        }
    }
    json_object_foreach(c->now->of[k], name, item)
    {
        if (json_object_get(c->want->of[k], name) == NULL) {
            what |= REMOVED;
            break;
        }
    }
    return what;
}

/* Whether all of kind k must be looked at for what other kinds did. */
static bool
affected(enum gh_kind k, const unsigned changes[GH_KINDS])
{
    switch (k) {
    case GH_KIND_API:
        return changes[GH_KIND_API] || changes[GH_KIND_IDP] ||
               (changes[GH_KIND_SERVICE] | changes[GH_KIND_APP]) & REMOVED;
    case GH_KIND_PLAN:
        return changes[GH_KIND_API];
    case GH_KIND_ACCOUNT:
        return changes[GH_KIND_PLAN] & REMOVED;
    case GH_KIND_APP:
        return (changes[GH_KIND_PLAN] | changes[GH_KIND_ACCOUNT] |
                changes[GH_KIND_IDP]) & REMOVED;
    default:
        return false;
    }
}

static void
look(struct checking *c, enum gh_kind k, const json_t *item, const char *base,
     bool located, bool all)
{
    const char *name = text(item, "name");

    if (item == NULL || json_is_null(item))
        return;
    /* Without a name (a fault told already) the rest is still looked at. */
    if (!all && name != NULL && !item_changed(c, k, name, item))
        return;
    c->base = base;
    c->located = located;
    check_item(c, k, item);
}

static void
claim(struct checking *c, enum gh_kind k, const json_t *item, const char *name)
{
    if (k == GH_KIND_API)
        check_routes(c, item, name);
    if (k == GH_KIND_APP)
        check_clients(c, item, name);
}

/*
 * Places are claimed in two rounds, the unchanged items first, so that the
 * fault lands on what is new.
 */
static void
claim_unchanged(struct checking *c, enum gh_kind k)
{
    struct gh_faults ignored;
    struct checking quiet = *c;
    const char *name;
    json_t *item;

    gh_faults_init(&ignored);
    quiet.f = &ignored;
    quiet.located = false;
    quiet.base = "";
    json_object_foreach(c->want->of[k], name, item)
    {
        if (!item_changed(c, k, name, item))
            claim(&quiet, k, item, name);
    }
    gh_faults_finish(&ignored);
}

static void
check_kind(struct checking *c, enum gh_kind k, const json_t *doc, bool all)
{
    json_t *list = json_object_get(doc, gh_kind_plural(k)), *item;
    char base[128];
    const char *name;
    size_t i;

    json_array_foreach(list, i, item)
    {
        snprintf(base, sizeof(base), "%s[%zu]", gh_kind_plural(k), i);
        look(c, k, item, base, true, all);
        name = text(item, "name");
        if (name != NULL && item_changed(c, k, name, item))
            claim(c, k, item, name);
    }
    if (list != NULL)
        return;
    json_object_foreach(c->want->of[k], name, item)
    {
        bool own = doc == NULL && item_changed(c, k, name, item);

        snprintf(base, sizeof(base), "%s.%s", gh_kind_name(k), name);
        look(c, k, item, own ? "" : base, own, all);
        if (own)
            claim(c, k, item, name);
    }
}

void
gh_document_refs(const struct gh_items *now, const struct gh_items *want,
                 const json_t *doc, const struct gh_node *root,
                 struct gh_faults *f)
{
    struct checking c = {.now = now, .want = want, .root = root, .f = f,
                         .base = "", .routes = json_object(),
                         .clients = json_object()};
    unsigned changes[GH_KINDS];

    for (int k = 0; k < GH_KINDS; k++)
        changes[k] = kind_changes(&c, k);
    if (changes[GH_KIND_API] & CHANGED)
        claim_unchanged(&c, GH_KIND_API);
    if (changes[GH_KIND_APP] & CHANGED)
        claim_unchanged(&c, GH_KIND_APP);
    for (int k = 0; k < GH_KINDS; k++)
        check_kind(&c, k, doc, affected(k, changes));
    json_decref(c.routes);
    json_decref(c.clients);
}
