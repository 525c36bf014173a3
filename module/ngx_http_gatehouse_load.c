
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_kept.h"
#include "ngx_http_gatehouse_worker.h"

#include "period.h"


static ngx_int_t
ngx_http_gatehouse_loaded(int rc, struct gh_error *e)
{
    if (rc == 1) {
        return NGX_OK;
    }

    if (rc < 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_worker.log, 0,
                      "gatehouse_catalog: %s", e->message);
    }

    return NGX_ERROR;
}


/* ---- services ---- */


static ngx_int_t
ngx_http_gatehouse_addr(ngx_http_gatehouse_service_t *s, struct gh_slice text,
    ngx_addr_t *addr)
{
    struct sockaddr_un  *saun;

    ngx_http_gatehouse_slice(&addr->name, text);

    if (text.len > 5 && ngx_strncmp(text.data, "unix:", 5) == 0) {
        text.data += 5;
        text.len -= 5;

        saun = ngx_pcalloc(s->pool, sizeof(struct sockaddr_un));
        if (saun == NULL || text.len >= sizeof(saun->sun_path)) {
            return NGX_ERROR;
        }

        saun->sun_family = AF_UNIX;
        ngx_memcpy(saun->sun_path, text.data, text.len);

        addr->sockaddr = (struct sockaddr *) saun;
        addr->socklen = sizeof(struct sockaddr_un);

        return NGX_OK;
    }

    /* addresses only: a name would have to be asked for, which blocks */

    return ngx_parse_addr_port(s->pool, addr, (u_char *) text.data, text.len);
}


static void
ngx_http_gatehouse_finish_service(void *object)
{
    ngx_http_gatehouse_service_t  *s = object;

    if (s->pool) {
        ngx_destroy_pool(s->pool);
    }
}


ngx_int_t
ngx_http_gatehouse_load_service(struct gh_slice name, void *object)
{
    ngx_http_gatehouse_service_t  *s = object;

    size_t           i;
    struct gh_error  e;
    struct gh_alloc  alloc;

    alloc = gh_arena_alloc(&s->kept.arena);
    s->kept.finish = ngx_http_gatehouse_finish_service;

    s->pool = ngx_create_pool(512, ngx_http_gatehouse_worker.log);
    if (s->pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_gatehouse_loaded(
            gh_catalog_service(ngx_http_gatehouse_catalog(), name, &alloc,
                               &s->service, &e), &e)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    s->addrs = ngx_pcalloc(s->pool, sizeof(ngx_addr_t) * (s->service.n + 1));
    if (s->addrs == NULL) {
        return NGX_ERROR;
    }

    /* workers start at different endpoints */
    s->next = ngx_worker;

    for (i = 0; i < s->service.n; i++) {

        if (!s->service.endpoints[i].healthy) {
            continue;
        }

        if (ngx_http_gatehouse_addr(s, s->service.endpoints[i].address,
                                    &s->addrs[s->n])
            != NGX_OK)
        {
            ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_worker.log, 0,
                          "service \"%*s\": endpoint \"%*s\" is no address",
                          name.len, name.data,
                          s->service.endpoints[i].address.len,
                          s->service.endpoints[i].address.data);
            continue;
        }

        s->n++;
    }

    return NGX_OK;
}


/* ---- identity providers ---- */


static void
ngx_http_gatehouse_finish_idp(void *object)
{
    ngx_http_gatehouse_idp_t  *idp = object;

    gh_jwt_keys_destroy(idp->keys);
}


ngx_int_t
ngx_http_gatehouse_load_idp(struct gh_slice name, void *object)
{
    ngx_http_gatehouse_idp_t  *idp = object;

    struct gh_error  e;
    struct gh_alloc  alloc;

    alloc = gh_arena_alloc(&idp->kept.arena);
    idp->kept.finish = ngx_http_gatehouse_finish_idp;

    if (ngx_http_gatehouse_loaded(
            gh_catalog_idp(ngx_http_gatehouse_catalog(), name, &alloc,
                           &idp->idp, &e), &e)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (gh_jwt_keys_create(&idp->idp, &idp->keys, &e) != 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_worker.log, 0,
                      "idp \"%*s\": %s", name.len, name.data, e.message);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* ---- plans, and what they mean for an API ---- */


ngx_int_t
ngx_http_gatehouse_load_plan(struct gh_slice name, void *object)
{
    ngx_http_gatehouse_plan_t  *plan = object;

    struct gh_error  e;
    struct gh_alloc  alloc;

    alloc = gh_arena_alloc(&plan->kept.arena);

    if (ngx_http_gatehouse_loaded(
            gh_catalog_plan(ngx_http_gatehouse_catalog(), name, &alloc,
                            &plan->plan, &e), &e)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    plan->refs = gh_get(&alloc, sizeof(struct gh_limit_ref)
                                * (plan->plan.limits.n + 1));
    if (plan->refs == NULL) {
        return NGX_ERROR;
    }

    gh_limiter_prepare(&ngx_http_gatehouse_worker.limiter, &plan->plan.limits,
                       plan->refs);

    return NGX_OK;
}


/*
 * The quoted name of a limit in RateLimit fields: "per-minute" for calls,
 * "search-per-day" for another metric; the scope or API stands in front where
 * it is not the application's plan as a whole.
 */

static ngx_int_t
ngx_http_gatehouse_limits(const struct gh_api *api,
    const struct gh_limits *limits, const struct gh_limit_ref *refs,
    const char *scope, const struct gh_alloc *alloc,
    ngx_http_gatehouse_limits_t *out)
{
    size_t                  i;
    uint64_t                seconds;
    struct gh_buffer        text;
    struct gh_slice         copy;
    const struct gh_limit  *limit;

    out->n = limits->n;
    out->at = limits->at;
    out->refs = refs;
    out->metric_of = gh_get(alloc, limits->n + 1);
    out->names = gh_get(alloc, sizeof(ngx_str_t) * (limits->n + 1));

    if (out->metric_of == NULL || out->names == NULL) {
        return NGX_ERROR;
    }

    gh_match_bind(api, limits, out->metric_of);

    text = GH_BUFFER_INIT;

    for (i = 0; i < limits->n; i++) {
        limit = &limits->at[i];

        gh_buffer_clear(&text);
        gh_buffer_printf(&text, "\"%s", scope);

        if (limit->api.len && *scope == '\0') {
            gh_buffer_append(&text, limit->api);
            gh_buffer_text(&text, "-");
        }

        if (!gh_slice_eq_str(limit->metric, "hits")) {
            gh_buffer_append(&text, limit->metric);
            gh_buffer_text(&text, "-");
        }

        gh_buffer_printf(&text, "per-%s\"", gh_period_name(limit->period));

        copy = text.failed ? gh_slice(NULL, 0)
                           : gh_get_copy(alloc, gh_buffer_slice(&text));
        if (copy.data == NULL) {
            goto failed;
        }

        ngx_http_gatehouse_slice(&out->names[i], copy);
    }

    gh_buffer_clear(&text);

    for (i = 0; i < limits->n; i++) {
        limit = &limits->at[i];

        if (out->metric_of[i] < 0 || limit->mode == GH_SHADOW) {
            continue;
        }

        gh_buffer_printf(&text, "%s%.*s;q=%llu", text.len ? ", " : "",
                         (int) out->names[i].len, out->names[i].data,
                         (unsigned long long) limit->value);

        seconds = gh_period_seconds(limit->period);

        if (seconds) {
            gh_buffer_printf(&text, ";w=%llu", (unsigned long long) seconds);
        }
    }

    if (text.len) {
        copy = text.failed ? gh_slice(NULL, 0)
                           : gh_get_copy(alloc, gh_buffer_slice(&text));
        if (copy.data == NULL) {
            goto failed;
        }

        ngx_http_gatehouse_slice(&out->policy, copy);
    }

    gh_buffer_finish(&text);

    return NGX_OK;

failed:

    gh_buffer_finish(&text);

    return NGX_ERROR;
}


void
ngx_http_gatehouse_release_binding(ngx_http_gatehouse_binding_t *b)
{
    if (--b->refs) {
        return;
    }

    ngx_http_gatehouse_release(b->plan);
    gh_arena_finish(&b->arena);
    ngx_free(b);
}


ngx_http_gatehouse_binding_t *
ngx_http_gatehouse_catalog_bind(ngx_http_gatehouse_api_t *api,
    ngx_http_gatehouse_plan_t *plan, ngx_uint_t account)
{
    struct gh_alloc                 alloc;
    ngx_http_gatehouse_binding_t   *b, **place;

    for (place = &api->bindings; (b = *place) != NULL; /* void */ ) {

        if (b->plan == plan && b->account == account) {

            if (place != &api->bindings) {      /* the busy ones in front */
                *place = b->next;
                b->next = api->bindings;
                api->bindings = b;
            }

            return b;
        }

        /* of an older version of the same plan */

        if (b->plan->kept.name.len == plan->kept.name.len
            && b->account == account
            && ngx_memcmp(b->plan->kept.name.data, plan->kept.name.data,
                          plan->kept.name.len)
               == 0)
        {
            *place = b->next;
            ngx_http_gatehouse_release_binding(b);
            continue;
        }

        place = &b->next;
    }

    b = ngx_calloc(sizeof(ngx_http_gatehouse_binding_t),
                   ngx_http_gatehouse_worker.log);
    if (b == NULL) {
        return NULL;
    }

    b->refs = 1;
    b->plan = plan;
    b->account = account;
    ngx_http_gatehouse_hold(plan);
    gh_arena_init(&b->arena);
    alloc = gh_arena_alloc(&b->arena);

    b->entitlement = gh_match_entitlement(&plan->plan, api->api.name);

    if (ngx_http_gatehouse_limits(&api->api, &plan->plan.limits, plan->refs,
                                  account ? "account-" : "", &alloc,
                                  &b->limits)
        != NGX_OK)
    {
        ngx_http_gatehouse_release_binding(b);
        return NULL;
    }

    b->next = api->bindings;
    api->bindings = b;

    return b;
}


/* ---- APIs ---- */


static void
ngx_http_gatehouse_finish_api(void *object)
{
    ngx_http_gatehouse_api_t  *api = object;

    ngx_http_gatehouse_binding_t  *b;

    while (api->bindings) {
        b = api->bindings;
        api->bindings = b->next;
        ngx_http_gatehouse_release_binding(b);
    }
}


static ngx_int_t
ngx_http_gatehouse_name(ngx_http_gatehouse_name_t *name, struct gh_slice text,
    const struct gh_alloc *alloc)
{
    ngx_http_gatehouse_slice(&name->name, text);

    name->lowcase.len = text.len;
    name->lowcase.data = gh_get(alloc, text.len + 1);

    if (name->lowcase.data == NULL) {
        return NGX_ERROR;
    }

    name->hash = ngx_hash_strlow(name->lowcase.data, (u_char *) text.data,
                                 text.len);

    return NGX_OK;
}


/* what a 401 says about ways in (RFC 9110, section 11.6.1) */

static ngx_int_t
ngx_http_gatehouse_challenge(ngx_http_gatehouse_api_t *api,
    const struct gh_alloc *alloc)
{
    struct gh_buffer  text;
    struct gh_slice   copy;
    struct gh_slice   name;

    text = GH_BUFFER_INIT;
    name = api->api.name;

    if (api->api.accept & GH_ACCEPT_JWT) {
        gh_buffer_printf(&text, "Bearer realm=\"%.*s\"", (int) name.len,
                         name.data);
    }

    if (api->api.accept & (GH_ACCEPT_KEY_HEADER|GH_ACCEPT_KEY_QUERY
                           |GH_ACCEPT_KEY_COOKIE|GH_ACCEPT_ID_KEY))
    {
        gh_buffer_printf(&text, "%sApiKey realm=\"%.*s\"",
                         text.len ? ", " : "", (int) name.len, name.data);

        if (api->api.accept & GH_ACCEPT_KEY_HEADER) {
            gh_buffer_printf(&text, ", header=\"%.*s\"",
                             (int) api->api.key_header.len,
                             api->api.key_header.data);
        }
    }

    if (text.len == 0) {
        gh_buffer_printf(&text, "Login realm=\"%.*s\"", (int) name.len,
                         name.data);
    }

    copy = text.failed ? gh_slice(NULL, 0)
                       : gh_get_copy(alloc, gh_buffer_slice(&text));
    gh_buffer_finish(&text);

    if (copy.data == NULL) {
        return NGX_ERROR;
    }

    ngx_http_gatehouse_slice(&api->challenge, copy);

    return NGX_OK;
}


ngx_int_t
ngx_http_gatehouse_load_api(struct gh_slice name, void *object)
{
    ngx_http_gatehouse_api_t  *api = object;

    size_t                i;
    struct gh_error       e;
    struct gh_alloc       alloc;
    struct gh_limit_ref  *refs;

    alloc = gh_arena_alloc(&api->kept.arena);
    api->kept.finish = ngx_http_gatehouse_finish_api;

    if (ngx_http_gatehouse_loaded(
            gh_catalog_api(ngx_http_gatehouse_catalog(), name, &alloc,
                           &api->api, &e), &e)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    api->matcher = gh_match_compile(&api->api, &alloc, &e);
    if (api->matcher == NULL) {
        return ngx_http_gatehouse_loaded(-1, &e);
    }

    refs = gh_get(&alloc, sizeof(struct gh_limit_ref)
                          * (api->api.limits.n + 1));
    api->symbols = gh_get(&alloc, sizeof(uint32_t) * (api->api.nmetrics + 1));
    api->claims = gh_get(&alloc, sizeof(ngx_http_gatehouse_name_t)
                                 * (api->api.nclaims + 1));

    if (refs == NULL || api->symbols == NULL || api->claims == NULL) {
        return NGX_ERROR;
    }

    gh_limiter_prepare(&ngx_http_gatehouse_worker.limiter, &api->api.limits,
                       refs);

    for (i = 0; i < api->api.nmetrics; i++) {
        api->symbols[i] = gh_limiter_symbol(&ngx_http_gatehouse_worker.limiter,
                                            api->api.metrics[i].name);
    }

    for (i = 0; i < api->api.nclaims; i++) {
        if (ngx_http_gatehouse_name(&api->claims[i], api->api.claims[i].header,
                                    &alloc)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_gatehouse_limits(&api->api, &api->api.limits, refs, "api-",
                                  &alloc, &api->limits)
        != NGX_OK
        || ngx_http_gatehouse_name(&api->key, api->api.key_header, &alloc)
           != NGX_OK
        || ngx_http_gatehouse_name(&api->id, api->api.id_header, &alloc)
           != NGX_OK
        || ngx_http_gatehouse_name(&api->id_key, api->api.id_key_header,
                                   &alloc)
           != NGX_OK
        || ngx_http_gatehouse_challenge(api, &alloc) != NGX_OK)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}
