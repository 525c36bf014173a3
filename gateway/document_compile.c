/* SPDX-License-Identifier: Apache-2.0 */
#include "document_compile.h"

#include "encode.h"
#include "jwk.h"

#include <ctype.h>

struct compiling {
    const struct gh_alloc *a;
    bool failed;
};

static void *
get(struct compiling *c, size_t n, size_t size)
{
    void *p = gh_get(c->a, n == 0 ? 1 : n * size);

    if (p == NULL)
        c->failed = true;
    return p;
}

static int
finish(const struct compiling *c, struct gh_error *e)
{
    return c->failed ? gh_error_set(e, GH_ENOMEM, "out of memory") : 0;
}

static struct gh_slice
text(const json_t *o, const char *key, const char *standard)
{
    const json_t *v = json_object_get(o, key);

    return json_is_string(v)
               ? gh_slice(json_string_value(v), json_string_length(v))
               : gh_slice_str(standard);
}

static bool
flag(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

static uint64_t
number(const json_t *o, const char *key, uint64_t standard)
{
    const json_t *v = json_object_get(o, key);

    return json_is_integer(v) ? (uint64_t)json_integer_value(v) : standard;
}

static uint64_t
duration(const json_t *o, const char *key, const char *standard)
{
    uint64_t ms = 0;

    (void)gh_parse_duration(text(o, key, standard), &ms);
    return ms;
}

/* Index of the text in a list that ends with NULL; 0 when absent. */
static unsigned
choice(const json_t *o, const char *key, const char *const *values)
{
    struct gh_slice s = text(o, key, values[0]);

    for (unsigned i = 0; values[i] != NULL; i++)
        if (gh_slice_eq_str(s, values[i]))
            return i;
    return 0;
}

static const struct gh_slice *
texts(struct compiling *c, const json_t *list, size_t *n)
{
    struct gh_slice *at;

    *n = json_array_size(list);
    at = get(c, *n, sizeof(*at));
    for (size_t i = 0; at != NULL && i < *n; i++) {
        const json_t *v = json_array_get(list, i);

        at[i] = gh_slice(json_string_value(v), json_string_length(v));
    }
    return at;
}

static uint32_t
methods(const json_t *list)
{
    static const char *const names[] = {"GET",    "HEAD",  "POST",    "PUT",
                                        "DELETE", "PATCH", "OPTIONS", "OTHER"};
    uint32_t bits = 0;

    for (size_t i = 0; i < json_array_size(list); i++)
        for (unsigned m = 0; m < 8; m++)
            if (strcmp(json_string_value(json_array_get(list, i)), names[m]) ==
                0)
                bits |= 1u << m;
    return bits;
}

static struct gh_limits
limits(struct compiling *c, const json_t *list)
{
    static const char *const periods[] = {"second", "minute", "hour",
                                          "day",    "week",   "month",
                                          "year",   "ever",   NULL};
    static const char *const modes[] = {"hard", "soft", "shadow", NULL};
    size_t n = json_array_size(list);
    struct gh_limit *at = get(c, n, sizeof(*at));

    for (size_t i = 0; at != NULL && i < n; i++) {
        const json_t *v = json_array_get(list, i);

        at[i].api = text(v, "api", NULL);
        at[i].metric = text(v, "metric", "hits");
        at[i].period = (enum gh_period)choice(v, "period", periods);
        at[i].mode = (enum gh_mode)choice(v, "mode", modes);
        at[i].value = number(v, "value", 0);
    }
    return (struct gh_limits){at, n};
}

/* ---- APIs */

static int
metric_index(const struct gh_api *api, struct gh_slice name)
{
    for (size_t i = 0; i < api->nmetrics; i++)
        if (gh_slice_eq(api->metrics[i].name, name))
            return (int)i;
    return -1;
}

static void
metrics(struct compiling *c, const json_t *list, struct gh_api *out)
{
    size_t n = json_array_size(list) + 1;
    struct gh_metric *at = get(c, n, sizeof(*at));

    if (at == NULL)
        return;
    at[0] = (struct gh_metric){gh_slice_str("hits"), -1};
    for (size_t i = 1; i < n; i++)
        at[i].name = text(json_array_get(list, i - 1), "name", NULL);
    out->metrics = at;
    out->nmetrics = n;
    for (size_t i = 1; i < n; i++) {
        struct gh_slice up = text(json_array_get(list, i - 1), "parent", NULL);

        at[i].parent = up.len == 0 ? -1 : metric_index(out, up);
    }
}

static void
rules(struct compiling *c, const json_t *list, struct gh_api *out)
{
    size_t n = json_array_size(list);
    struct gh_rule *at = get(c, n, sizeof(*at));

    for (size_t i = 0; at != NULL && i < n; i++) {
        const json_t *v = json_array_get(list, i);
        int m = metric_index(out, text(v, "metric", "hits"));

        at[i].match.methods = methods(json_object_get(v, "methods"));
        at[i].match.path = text(v, "path", NULL);
        at[i].metric = m < 0 ? 0 : (unsigned)m;
        at[i].cost = (uint32_t)number(v, "cost", 1);
        at[i].last = flag(v, "last");
    }
    out->rules = at;
    out->nrules = n;
}

static void
key_credentials(const json_t *key, struct gh_api *out)
{
    out->key_header = text(key, "header", NULL);
    out->key_query = text(key, "query", NULL);
    out->key_cookie = text(key, "cookie", NULL);
    if (out->key_header.len + out->key_query.len + out->key_cookie.len == 0)
        out->key_header = gh_slice_str("X-API-Key");
    if (out->key_header.len > 0)
        out->accept |= GH_ACCEPT_KEY_HEADER;
    if (out->key_query.len > 0)
        out->accept |= GH_ACCEPT_KEY_QUERY;
    if (out->key_cookie.len > 0)
        out->accept |= GH_ACCEPT_KEY_COOKIE;
}

static void
jwt_credentials(struct compiling *c, const json_t *list, struct gh_api *out)
{
    size_t n = json_array_size(list);
    struct gh_jwt_source *at = get(c, n, sizeof(*at));

    for (size_t i = 0; at != NULL && i < n; i++) {
        at[i].idp = text(json_array_get(list, i), "idp", NULL);
        at[i].audience = text(json_array_get(list, i), "audience", NULL);
    }
    out->jwt = at;
    out->njwt = n;
    if (n > 0)
        out->accept |= GH_ACCEPT_JWT;
}

static void
credentials(struct compiling *c, const json_t *cred, struct gh_api *out)
{
    const json_t *pair = json_object_get(cred, "app_id_key");

    if (cred == NULL || json_object_get(cred, "api_key") != NULL)
        key_credentials(json_object_get(cred, "api_key"), out);
    if (pair != NULL) {
        out->accept |= GH_ACCEPT_ID_KEY;
        out->id_header = text(pair, "id_header", "X-App-Id");
        out->id_key_header = text(pair, "key_header", "X-App-Key");
    }
    jwt_credentials(c, json_object_get(cred, "jwt"), out);
    out->login = text(cred, "login", NULL);
    if (out->login.len > 0)
        out->accept |= GH_ACCEPT_SESSION;
    out->anonymous_app = text(cred, "anonymous", NULL);
    if (out->anonymous_app.len > 0)
        out->accept |= GH_ACCEPT_ANONYMOUS;
}

static void
claims(struct compiling *c, const json_t *map, struct gh_api *out)
{
    size_t n = json_object_size(map), i = 0;
    struct gh_claim_header *at = get(c, n, sizeof(*at));
    const char *claim;
    json_t *header;

    if (at == NULL)
        return;
    json_object_foreach((json_t *)map, claim, header)
    {
        at[i].claim = gh_slice_str(claim);
        at[i++].header = gh_slice_str(json_string_value(header));
    }
    out->claims = at;
    out->nclaims = n;
}

int
gh_document_compile_api(const json_t *item, const struct gh_alloc *a,
                        struct gh_api *out, struct gh_error *e)
{
    static const struct gh_slice any = {(const unsigned char *)"*", 1};
    struct compiling c = {a, false};

    memset(out, 0, sizeof(*out));
    out->name = text(item, "name", NULL);
    out->hosts = texts(&c, json_object_get(item, "hosts"), &out->nhosts);
    if (out->nhosts == 0) {
        out->hosts = &any;
        out->nhosts = 1;
    }
    out->prefix = text(item, "path", "/");
    out->strip_prefix = flag(item, "strip_prefix");
    out->service = text(item, "service", NULL);
    credentials(&c, json_object_get(item, "credentials"), out);
    out->roles = texts(&c, json_object_get(item, "roles"), &out->nroles);
    claims(&c, json_object_get(item, "claim_headers"), out);
    out->keep_credentials = flag(item, "keep_credentials");
    out->classic_headers = flag(item, "classic_headers");
    out->rules_only = flag(item, "rules_only");
    metrics(&c, json_object_get(item, "metrics"), out);
    rules(&c, json_object_get(item, "rules"), out);
    out->limits = limits(&c, json_object_get(item, "limits"));
    return finish(&c, e);
}

/* ---- plans, accounts, applications */

static void
allowed(struct compiling *c, const json_t *list, struct gh_entitlement *out)
{
    size_t n = json_array_size(list);
    struct gh_match *at = get(c, n, sizeof(*at));

    for (size_t i = 0; at != NULL && i < n; i++) {
        at[i].methods =
            methods(json_object_get(json_array_get(list, i), "methods"));
        at[i].path = text(json_array_get(list, i), "path", NULL);
    }
    out->allow = at;
    out->nallow = n;
}

int
gh_document_compile_plan(const json_t *item, const struct gh_alloc *a,
                         struct gh_plan *out, struct gh_error *e)
{
    static const char *const store_down[] = {"bounded", "deny", "allow", NULL};
    const json_t *apis = json_object_get(item, "apis");
    struct compiling c = {a, false};
    struct gh_entitlement *at;

    memset(out, 0, sizeof(*out));
    out->name = text(item, "name", NULL);
    out->napis = json_array_size(apis);
    at = get(&c, out->napis, sizeof(*at));
    for (size_t i = 0; at != NULL && i < out->napis; i++) {
        const json_t *v = json_array_get(apis, i);

        at[i].api = text(v, "api", NULL);
        allowed(&c, json_object_get(v, "allow"), &at[i]);
    }
    out->apis = at;
    out->limits = limits(&c, json_object_get(item, "limits"));
    out->store_down =
        (enum gh_store_down)choice(item, "on_store_down", store_down);
    out->bounded_ms = duration(item, "bounded_for", "5m");
    return finish(&c, e);
}

static enum gh_state
state(const json_t *item)
{
    static const char *const states[] = {"live", "pending", "suspended", NULL};

    return (enum gh_state)choice(item, "state", states);
}

int
gh_document_compile_account(const json_t *item, const struct gh_alloc *a,
                            struct gh_account *out, struct gh_error *e)
{
    memset(out, 0, sizeof(*out));
    out->name = text(item, "name", NULL);
    out->plan = text(item, "plan", NULL);
    out->state = state(item);
    return 0;
}

int
gh_document_compile_app(const json_t *item, const struct gh_alloc *a,
                        struct gh_app *out, struct gh_error *e)
{
    memset(out, 0, sizeof(*out));
    out->name = text(item, "name", NULL);
    out->account = text(item, "account", NULL);
    out->plan = text(item, "plan", NULL);
    out->state = state(item);
    return 0;
}

/* ---- identity providers */

uint32_t
gh_document_alg(const char *name)
{
    static const char *const names[] = {"RS256", "PS256", "ES256", "EdDSA"};

    for (unsigned i = 0; i < 4; i++)
        if (strcmp(name, names[i]) == 0)
            return 1u << i;
    return 0;
}

static uint32_t
algs(const json_t *list, uint32_t standard)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));

        if (name != NULL)
            bits |= gh_document_alg(name);
    }
    return bits != 0 ? bits : standard;
}

/* Checked by document_refs.c or control_idp.c: made minimal here. */
static bool
public_key(struct compiling *c, const json_t *v, uint32_t standard,
           struct gh_public_key *out)
{
    char *s = json_dumps(json_object_get(v, "jwk"), JSON_COMPACT);
    uint32_t narrowed;
    bool good;

    if (s == NULL) {
        c->failed = true;
        return false;
    }
    good = gh_jwk_import(gh_slice_str(s), c->a, out, NULL) == 0;
    free(s);
    if (!good)
        return false;
    narrowed = algs(json_object_get(v, "algs"), standard) & out->algs;
    out->algs = narrowed;
    out->kid = text(v, "kid", NULL).len > 0 ? text(v, "kid", NULL) : out->kid;
    return narrowed != 0;
}

static void
keys(struct compiling *c, const json_t *own, const json_t *fetched,
     struct gh_idp *out)
{
    size_t n = json_array_size(own), m = json_array_size(fetched), used = 0;
    struct gh_public_key *at = get(c, n + m, sizeof(*at));

    for (size_t i = 0; at != NULL && i < n + m; i++)
        if (public_key(c,
                       i < n ? json_array_get(own, i)
                             : json_array_get(fetched, i - n),
                       out->algs, &at[used]))
            used++;
    out->keys = at;
    out->nkeys = used;
}

int
gh_document_compile_idp(const json_t *item, const json_t *discovered,
                        const struct gh_alloc *a, struct gh_idp *out,
                        struct gh_error *e)
{
    const json_t *session = json_object_get(item, "session");
    struct compiling c = {a, false};

    memset(out, 0, sizeof(*out));
    out->name = text(item, "name", NULL);
    out->issuer = text(item, "issuer", NULL);
    out->algs = algs(json_object_get(item, "algs"), GH_ALG_RS256);
    out->skew_ms = duration(item, "skew", "60s");
    out->user_claim = text(item, "user_claim", "sub");
    out->client_claim = text(item, "client_claim", "azp");
    out->roles_claim = text(item, "roles_claim", "roles");
    out->client_id = text(item, "client_id", NULL);
    out->scopes = text(item, "scopes", "openid");
    out->origin = text(item, "origin", NULL);
    out->session_idle_ms = duration(session, "idle", "30m");
    out->session_max_ms = duration(session, "max", "12h");
    out->authorization_endpoint =
        text(discovered, "authorization_endpoint", NULL);
    out->token_endpoint = text(discovered, "token_endpoint", NULL);
    out->userinfo_endpoint = text(discovered, "userinfo_endpoint", NULL);
    out->end_session_endpoint = text(discovered, "end_session_endpoint", NULL);
    out->jwks_uri = text(discovered, "jwks_uri", NULL);
    out->require_iss = flag(discovered, "require_iss");
    keys(&c, json_object_get(item, "keys"), json_object_get(discovered, "keys"),
         out);
    return finish(&c, e);
}

/* ---- services */

/* "http://localhost:80/" -> "127.0.0.1:80"; port 80 when absent. */
static struct gh_slice
address(struct compiling *c, struct gh_slice url)
{
    char buf[300];
    size_t n;

    if (gh_slice_starts(url, gh_slice_str("unix:")))
        return url;
    url = gh_slice(url.data + 7, url.len - 7);
    if (url.len > 0 && url.data[url.len - 1] == '/')
        url.len--;
    if (gh_slice_starts(url, gh_slice_str("localhost")))
        n = (size_t)snprintf(buf, sizeof(buf), "127.0.0.1%.*s",
                             (int)(url.len - 9), (const char *)url.data + 9);
    else
        n = (size_t)snprintf(buf, sizeof(buf), "%.*s", (int)url.len,
                             (const char *)url.data);
    while (n > 0 && isdigit((unsigned char)buf[n - 1]))
        n--;
    if (n == 0 || buf[n - 1] != ':' || strchr(buf + n, ']') != NULL)
        snprintf(buf + strlen(buf), sizeof(buf) - strlen(buf), ":80");
    {
        struct gh_slice s = gh_get_copy(c->a, gh_slice_str(buf));

        if (s.data == NULL)
            c->failed = true;
        return s;
    }
}

int
gh_document_compile_service(const json_t *item, const struct gh_alloc *a,
                            struct gh_service *out, struct gh_error *e)
{
    const json_t *urls = json_object_get(item, "urls");
    struct compiling c = {a, false};
    bool on = !flag(item, "disabled");
    struct gh_endpoint *at;

    memset(out, 0, sizeof(*out));
    out->name = text(item, "name", NULL);
    out->state = gh_slice_str(on ? "up" : "disabled");
    out->n = urls != NULL ? json_array_size(urls)
                          : json_object_get(item, "url") != NULL;
    at = get(&c, out->n, sizeof(*at));
    for (size_t i = 0; at != NULL && i < out->n; i++) {
        struct gh_slice url =
            urls == NULL
                ? text(item, "url", NULL)
                : gh_slice_str(json_string_value(json_array_get(urls, i)));

        at[i].address = address(&c, url);
        at[i].healthy = on;
    }
    out->endpoints = at;
    return finish(&c, e);
}
