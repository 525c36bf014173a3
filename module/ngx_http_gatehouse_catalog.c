
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_worker.h"

#include "period.h"
#include "record.h"


#define NGX_HTTP_GATEHOUSE_BUCKETS      1024
#define NGX_HTTP_GATEHOUSE_OPEN_RETRY   200     /* ms */
#define NGX_HTTP_GATEHOUSE_FNV          2166136261u


typedef struct {
    const char                     *kind;
    size_t                          size;
    ngx_int_t                     (*load)(struct gh_slice name, void *object);
    ngx_http_gatehouse_kept_t      *buckets[NGX_HTTP_GATEHOUSE_BUCKETS];
} ngx_http_gatehouse_kind_t;


typedef struct {
    uint32_t                        hash;
    ngx_str_t                       host;
    ngx_http_gatehouse_api_t       *api;
} ngx_http_gatehouse_route_t;


static void ngx_http_gatehouse_catalog_turn(ngx_event_t *ev);
static ngx_int_t ngx_http_gatehouse_catalog_walk(void);
static void ngx_http_gatehouse_catalog_unpublish(void);
static ngx_int_t ngx_http_gatehouse_load_api(struct gh_slice name,
    void *object);
static ngx_int_t ngx_http_gatehouse_load_plan(struct gh_slice name,
    void *object);
static ngx_int_t ngx_http_gatehouse_load_service(struct gh_slice name,
    void *object);
static ngx_int_t ngx_http_gatehouse_load_idp(struct gh_slice name,
    void *object);


static struct {
    struct gh_catalog              *catalog;
    ngx_event_t                     turn;       /* ends the transaction */
    ngx_uint_t                      inside;
    ngx_msec_t                      retry;      /* opening it failed */
    uint64_t                        generation;
    ngx_log_t                      *log;

    /* of all APIs, made anew when one of them changed */
    ngx_http_gatehouse_route_t     *routes;
    ngx_uint_t                      mask;
    size_t                          longest;    /* prefix */
    ngx_array_t                     reserved;   /* of ngx_str_t, lower case */
    ngx_array_t                     secrets;    /* of ngx_str_t */
    ngx_pool_t                     *pool;
} ngx_http_gatehouse_cat;


static ngx_http_gatehouse_kind_t  ngx_http_gatehouse_apis = {
    "api", sizeof(ngx_http_gatehouse_api_t), ngx_http_gatehouse_load_api, {0}
};

static ngx_http_gatehouse_kind_t  ngx_http_gatehouse_plans = {
    "plan", sizeof(ngx_http_gatehouse_plan_t), ngx_http_gatehouse_load_plan,
    {0}
};

static ngx_http_gatehouse_kind_t  ngx_http_gatehouse_services = {
    "service", sizeof(ngx_http_gatehouse_service_t),
    ngx_http_gatehouse_load_service, {0}
};

static ngx_http_gatehouse_kind_t  ngx_http_gatehouse_idps = {
    "idp", sizeof(ngx_http_gatehouse_idp_t), ngx_http_gatehouse_load_idp, {0}
};


static ngx_inline uint32_t
ngx_http_gatehouse_fnv(uint32_t hash, const u_char *p, size_t len)
{
    while (len--) {
        hash = (hash ^ *p++) * 16777619u;
    }

    return hash;
}


/* ---- the snapshot ---- */


ngx_int_t
ngx_http_gatehouse_catalog_init(ngx_cycle_t *cycle)
{
    ngx_memzero(&ngx_http_gatehouse_cat, sizeof(ngx_http_gatehouse_cat));

    ngx_http_gatehouse_cat.log = cycle->log;
    ngx_http_gatehouse_cat.turn.handler = ngx_http_gatehouse_catalog_turn;
    ngx_http_gatehouse_cat.turn.log = cycle->log;
    ngx_http_gatehouse_cat.turn.cancelable = 1;

    return NGX_OK;
}


void
ngx_http_gatehouse_catalog_close(void)
{
    gh_catalog_close(ngx_http_gatehouse_cat.catalog);
    ngx_http_gatehouse_cat.catalog = NULL;
}


struct gh_catalog *
ngx_http_gatehouse_catalog(void)
{
    return ngx_http_gatehouse_cat.catalog;
}


uint64_t
ngx_http_gatehouse_catalog_generation(void)
{
    return ngx_http_gatehouse_cat.generation;
}


static void
ngx_http_gatehouse_catalog_turn(ngx_event_t *ev)
{
    ngx_http_gatehouse_cat.inside = 0;
    gh_catalog_end(ngx_http_gatehouse_cat.catalog);
}


static ngx_int_t
ngx_http_gatehouse_catalog_open(void)
{
    struct gh_error  e;

    if (ngx_http_gatehouse_cat.retry
        && (ngx_msec_int_t) (ngx_http_gatehouse_cat.retry - ngx_current_msec)
           > 0)
    {
        return NGX_DECLINED;
    }

    if (gh_catalog_open_reader(
            (char *) ngx_http_gatehouse_worker.conf->catalog.data,
            &ngx_http_gatehouse_cat.catalog, &e)
        == 0)
    {
        return NGX_OK;
    }

    ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_cat.log, 0,
                  "gatehouse_catalog \"%V\": %s",
                  &ngx_http_gatehouse_worker.conf->catalog, e.message);

    ngx_http_gatehouse_cat.catalog = NULL;
    ngx_http_gatehouse_cat.retry = ngx_current_msec
                                   + NGX_HTTP_GATEHOUSE_OPEN_RETRY;

    return NGX_DECLINED;
}


ngx_int_t
ngx_http_gatehouse_catalog_begin(void)
{
    uint64_t         generation;
    struct gh_error  e;

    if (ngx_http_gatehouse_cat.inside) {
        return NGX_OK;
    }

    if (ngx_http_gatehouse_cat.catalog == NULL
        && ngx_http_gatehouse_catalog_open() != NGX_OK)
    {
        return NGX_DECLINED;
    }

    if (gh_catalog_begin(ngx_http_gatehouse_cat.catalog, &e) != 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_cat.log, 0,
                      "gatehouse_catalog: %s", e.message);
        return NGX_DECLINED;
    }

    ngx_http_gatehouse_cat.inside = 1;
    ngx_post_event(&ngx_http_gatehouse_cat.turn, &ngx_posted_events);

    generation = gh_catalog_generation(ngx_http_gatehouse_cat.catalog);

    if (generation == ngx_http_gatehouse_cat.generation) {
        return NGX_OK;
    }

    ngx_http_gatehouse_cat.generation = generation;

    if (ngx_http_gatehouse_catalog_walk() != NGX_OK) {
        ngx_http_gatehouse_catalog_unpublish();
        ngx_http_gatehouse_cat.generation = 0;      /* next turn again */
        return NGX_DECLINED;
    }

    return NGX_OK;
}


/* ---- kept objects ---- */


void
ngx_http_gatehouse_release(void *object)
{
    ngx_http_gatehouse_kept_t  *kept = object;

    if (--kept->refs) {
        return;
    }

    if (kept->finish) {
        kept->finish(object);
    }

    gh_arena_finish(&kept->arena);
    ngx_free(kept);
}


static ngx_http_gatehouse_kept_t **
ngx_http_gatehouse_kept_place(ngx_http_gatehouse_kind_t *kind,
    struct gh_slice name)
{
    uint32_t                     hash;
    ngx_http_gatehouse_kept_t  **p;

    hash = ngx_http_gatehouse_fnv(NGX_HTTP_GATEHOUSE_FNV, name.data, name.len);

    for (p = &kind->buckets[hash % NGX_HTTP_GATEHOUSE_BUCKETS];
         *p;
         p = &(*p)->next)
    {
        if ((*p)->name.len == name.len
            && ngx_memcmp((*p)->name.data, name.data, name.len) == 0)
        {
            break;
        }
    }

    return p;
}


static void
ngx_http_gatehouse_kept_drop(ngx_http_gatehouse_kept_t **place)
{
    ngx_http_gatehouse_kept_t  *kept;

    kept = *place;
    *place = kept->next;

    ngx_http_gatehouse_release(kept);
}


static void *
ngx_http_gatehouse_kept_get(ngx_http_gatehouse_kind_t *kind,
    struct gh_slice name)
{
    int                          rc;
    uint64_t                     version;
    struct gh_error              e;
    struct gh_slice              copy;
    struct gh_alloc              alloc;
    ngx_http_gatehouse_kept_t   *kept, **place;

    place = ngx_http_gatehouse_kept_place(kind, name);
    kept = *place;

    if (kept && kept->checked == ngx_http_gatehouse_cat.generation) {
        return kept;
    }

    rc = gh_catalog_version(ngx_http_gatehouse_cat.catalog, kind->kind, name,
                            &version, &e);

    if (rc < 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_cat.log, 0,
                      "gatehouse_catalog: %s", e.message);
    }

    if (kept) {
        if (rc == 1 && version == kept->version) {
            kept->checked = ngx_http_gatehouse_cat.generation;
            return kept;
        }

        ngx_http_gatehouse_kept_drop(place);
    }

    if (rc != 1) {
        return NULL;
    }

    kept = ngx_calloc(kind->size, ngx_http_gatehouse_cat.log);
    if (kept == NULL) {
        return NULL;
    }

    kept->refs = 1;
    kept->version = version;
    kept->checked = ngx_http_gatehouse_cat.generation;
    gh_arena_init(&kept->arena);

    alloc = gh_arena_alloc(&kept->arena);
    copy = gh_get_copy(&alloc, name);

    if (copy.data == NULL || kind->load(copy, kept) != NGX_OK) {
        ngx_http_gatehouse_release(kept);
        return NULL;
    }

    ngx_http_gatehouse_slice(&kept->name, copy);

    /* the place may have moved when load() looked for others */

    place = ngx_http_gatehouse_kept_place(kind, name);
    kept->next = *place;
    *place = kept;

    return kept;
}


ngx_http_gatehouse_api_t *
ngx_http_gatehouse_catalog_api(struct gh_slice name)
{
    return ngx_http_gatehouse_kept_get(&ngx_http_gatehouse_apis, name);
}


ngx_http_gatehouse_plan_t *
ngx_http_gatehouse_catalog_plan(struct gh_slice name)
{
    return ngx_http_gatehouse_kept_get(&ngx_http_gatehouse_plans, name);
}


ngx_http_gatehouse_service_t *
ngx_http_gatehouse_catalog_service(struct gh_slice name)
{
    return ngx_http_gatehouse_kept_get(&ngx_http_gatehouse_services, name);
}


ngx_http_gatehouse_idp_t *
ngx_http_gatehouse_catalog_idp(struct gh_slice name)
{
    return ngx_http_gatehouse_kept_get(&ngx_http_gatehouse_idps, name);
}


static ngx_int_t
ngx_http_gatehouse_loaded(int rc, struct gh_error *e)
{
    if (rc == 1) {
        return NGX_OK;
    }

    if (rc < 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_cat.log, 0,
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


static ngx_int_t
ngx_http_gatehouse_load_service(struct gh_slice name, void *object)
{
    ngx_http_gatehouse_service_t  *s = object;

    size_t           i;
    struct gh_error  e;
    struct gh_alloc  alloc;

    alloc = gh_arena_alloc(&s->kept.arena);
    s->kept.finish = ngx_http_gatehouse_finish_service;

    s->pool = ngx_create_pool(512, ngx_http_gatehouse_cat.log);
    if (s->pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_http_gatehouse_loaded(
            gh_catalog_service(ngx_http_gatehouse_cat.catalog, name, &alloc,
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
            ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_cat.log, 0,
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


static ngx_int_t
ngx_http_gatehouse_load_idp(struct gh_slice name, void *object)
{
    ngx_http_gatehouse_idp_t  *idp = object;

    struct gh_error  e;
    struct gh_alloc  alloc;

    alloc = gh_arena_alloc(&idp->kept.arena);
    idp->kept.finish = ngx_http_gatehouse_finish_idp;

    if (ngx_http_gatehouse_loaded(
            gh_catalog_idp(ngx_http_gatehouse_cat.catalog, name, &alloc,
                           &idp->idp, &e), &e)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (gh_jwt_keys_create(&idp->idp, &idp->keys, &e) != 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_cat.log, 0,
                      "idp \"%*s\": %s", name.len, name.data, e.message);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* ---- plans, and what they mean for an API ---- */


static ngx_int_t
ngx_http_gatehouse_load_plan(struct gh_slice name, void *object)
{
    ngx_http_gatehouse_plan_t  *plan = object;

    struct gh_error  e;
    struct gh_alloc  alloc;

    alloc = gh_arena_alloc(&plan->kept.arena);

    if (ngx_http_gatehouse_loaded(
            gh_catalog_plan(ngx_http_gatehouse_cat.catalog, name, &alloc,
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
                   ngx_http_gatehouse_cat.log);
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


static ngx_int_t
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
            gh_catalog_api(ngx_http_gatehouse_cat.catalog, name, &alloc,
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


/* ---- all APIs: routes, reserved headers ---- */


static int
ngx_http_gatehouse_catalog_seen(void *ctx, struct gh_slice name,
    struct gh_slice value)
{
    ngx_uint_t  *changed = ctx;

    uint64_t                    version;
    ngx_http_gatehouse_kept_t  *kept;

    kept = *ngx_http_gatehouse_kept_place(&ngx_http_gatehouse_apis, name);

    if (kept && gh_record_version(value, &version) == 0
        && kept->version == version)
    {
        kept->checked = ngx_http_gatehouse_cat.generation;
        return 0;
    }

    *changed = 1;

    /* one that does not load is not published; the others are */

    (void) ngx_http_gatehouse_catalog_api(name);

    return 0;
}


static ngx_int_t
ngx_http_gatehouse_catalog_add(ngx_array_t *array, ngx_str_t *text)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    s = array->elts;

    for (i = 0; i < array->nelts; i++) {
        if (s[i].len == text->len
            && ngx_memcmp(s[i].data, text->data, text->len) == 0)
        {
            return NGX_OK;
        }
    }

    s = ngx_array_push(array);
    if (s == NULL) {
        return NGX_ERROR;
    }

    *s = *text;

    return NGX_OK;
}


static void
ngx_http_gatehouse_catalog_publish(ngx_http_gatehouse_route_t *routes,
    ngx_uint_t mask, ngx_http_gatehouse_api_t *api)
{
    size_t           i, len;
    uint32_t         hash;
    ngx_uint_t       n;
    struct gh_slice  host, prefix;

    prefix = api->api.prefix;
    len = prefix.len == 1 ? 0 : prefix.len;     /* "/" */

    for (i = 0; i < api->api.nhosts; i++) {
        host = api->api.hosts[i];

        hash = ngx_http_gatehouse_fnv(NGX_HTTP_GATEHOUSE_FNV, host.data,
                                      host.len);
        hash = ngx_http_gatehouse_fnv(hash, (u_char *) "", 1);
        hash = ngx_http_gatehouse_fnv(hash, prefix.data, len);

        for (n = hash & mask; routes[n].api; n = (n + 1) & mask) { /* void */ }

        routes[n].hash = hash;
        routes[n].api = api;
        ngx_http_gatehouse_slice(&routes[n].host, host);
    }

    if (ngx_http_gatehouse_cat.longest < len) {
        ngx_http_gatehouse_cat.longest = len;
    }
}


static void
ngx_http_gatehouse_catalog_unpublish(void)
{
    if (ngx_http_gatehouse_cat.pool) {
        ngx_destroy_pool(ngx_http_gatehouse_cat.pool);
    }

    ngx_http_gatehouse_cat.pool = NULL;
    ngx_http_gatehouse_cat.routes = NULL;
    ngx_http_gatehouse_cat.reserved.nelts = 0;
    ngx_http_gatehouse_cat.secrets.nelts = 0;
}


static ngx_int_t
ngx_http_gatehouse_catalog_rebuild(void)
{
    size_t                       i;
    ngx_str_t                    arg;
    ngx_uint_t                   n, size;
    ngx_pool_t                  *pool;
    ngx_array_t                  reserved, secrets;
    ngx_http_gatehouse_api_t    *api;
    ngx_http_gatehouse_kept_t   *kept;
    ngx_http_gatehouse_route_t  *routes;

    pool = ngx_create_pool(4096, ngx_http_gatehouse_cat.log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&reserved, pool, 8, sizeof(ngx_str_t)) != NGX_OK
        || ngx_array_init(&secrets, pool, 4, sizeof(ngx_str_t)) != NGX_OK)
    {
        goto failed;
    }

    size = 0;

    for (n = 0; n < NGX_HTTP_GATEHOUSE_BUCKETS; n++) {
        for (kept = ngx_http_gatehouse_apis.buckets[n];
             kept;
             kept = kept->next)
        {
            api = (ngx_http_gatehouse_api_t *) kept;
            size += api->api.nhosts;

            for (i = 0; i < api->api.nclaims; i++) {
                if (ngx_http_gatehouse_catalog_add(&reserved,
                                                   &api->claims[i].lowcase)
                    != NGX_OK)
                {
                    goto failed;
                }
            }

            if (api->api.accept & GH_ACCEPT_KEY_QUERY) {
                ngx_http_gatehouse_slice(&arg, api->api.key_query);

                if (ngx_http_gatehouse_catalog_add(&secrets, &arg) != NGX_OK) {
                    goto failed;
                }
            }
        }
    }

    for (n = 16; n < size * 2; n *= 2) { /* void */ }

    routes = ngx_pcalloc(pool, n * sizeof(ngx_http_gatehouse_route_t));
    if (routes == NULL) {
        goto failed;
    }

    ngx_http_gatehouse_cat.longest = 0;

    for (size = 0; size < NGX_HTTP_GATEHOUSE_BUCKETS; size++) {
        for (kept = ngx_http_gatehouse_apis.buckets[size];
             kept;
             kept = kept->next)
        {
            ngx_http_gatehouse_catalog_publish(routes, n - 1,
                                          (ngx_http_gatehouse_api_t *) kept);
        }
    }

    ngx_http_gatehouse_catalog_unpublish();

    ngx_http_gatehouse_cat.pool = pool;
    ngx_http_gatehouse_cat.routes = routes;
    ngx_http_gatehouse_cat.mask = n - 1;
    ngx_http_gatehouse_cat.reserved = reserved;
    ngx_http_gatehouse_cat.secrets = secrets;

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


/* a new generation: load what changed among the APIs, drop what is gone */

static ngx_int_t
ngx_http_gatehouse_catalog_walk(void)
{
    ngx_uint_t                   n, changed;
    struct gh_error              e;
    ngx_http_gatehouse_kept_t  **place;

    changed = (ngx_http_gatehouse_cat.pool == NULL);

    if (gh_catalog_each(ngx_http_gatehouse_cat.catalog, "api",
                        ngx_http_gatehouse_catalog_seen, &changed, &e)
        != 0)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_cat.log, 0,
                      "gatehouse_catalog: %s", e.message);
        return NGX_ERROR;
    }

    for (n = 0; n < NGX_HTTP_GATEHOUSE_BUCKETS; n++) {

        for (place = &ngx_http_gatehouse_apis.buckets[n]; *place; /* void */ ) {

            if ((*place)->checked == ngx_http_gatehouse_cat.generation) {
                place = &(*place)->next;
                continue;
            }

            ngx_http_gatehouse_kept_drop(place);
            changed = 1;
        }
    }

    return changed ? ngx_http_gatehouse_catalog_rebuild() : NGX_OK;
}


/*
 * Longest prefix on whole segments: the hashes of host and each prefix are
 * made in one run over the path, then looked up from the longest on.
 */

#define NGX_HTTP_GATEHOUSE_DEPTH  32

static ngx_http_gatehouse_api_t *
ngx_http_gatehouse_catalog_find(struct gh_slice host, ngx_str_t *path)
{
    size_t                       i, len, max;
    uint32_t                     hash, hashes[NGX_HTTP_GATEHOUSE_DEPTH];
    uint32_t                     lens[NGX_HTTP_GATEHOUSE_DEPTH];
    ngx_uint_t                   n, slot;
    struct gh_slice              prefix;
    ngx_http_gatehouse_route_t  *route;

    hash = ngx_http_gatehouse_fnv(NGX_HTTP_GATEHOUSE_FNV, host.data, host.len);
    hash = ngx_http_gatehouse_fnv(hash, (u_char *) "", 1);

    hashes[0] = hash;
    lens[0] = 0;
    n = 1;

    max = ngx_min(path->len, ngx_http_gatehouse_cat.longest);

    for (i = 0; i < max; /* void */ ) {
        hash = (hash ^ path->data[i++]) * 16777619u;

        if ((i == path->len || path->data[i] == '/')
            && n < NGX_HTTP_GATEHOUSE_DEPTH)
        {
            hashes[n] = hash;
            lens[n++] = i;
        }
    }

    while (n--) {

        for (slot = hashes[n] & ngx_http_gatehouse_cat.mask;
             ngx_http_gatehouse_cat.routes[slot].api;
             slot = (slot + 1) & ngx_http_gatehouse_cat.mask)
        {
            route = &ngx_http_gatehouse_cat.routes[slot];

            if (route->hash != hashes[n]
                || !gh_slice_eq(host, ngx_http_gatehouse_str(&route->host)))
            {
                continue;
            }

            prefix = route->api->api.prefix;
            len = prefix.len == 1 ? 0 : prefix.len;

            if (len == lens[n]
                && ngx_memcmp(prefix.data, path->data, len) == 0)
            {
                return route->api;
            }
        }
    }

    return NULL;
}


ngx_http_gatehouse_api_t *
ngx_http_gatehouse_catalog_route(ngx_str_t *host, ngx_str_t *path)
{
    ngx_http_gatehouse_api_t  *api;

    api = NULL;

    if (host->len) {
        api = ngx_http_gatehouse_catalog_find(ngx_http_gatehouse_str(host),
                                              path);
    }

    if (api == NULL) {
        api = ngx_http_gatehouse_catalog_find(gh_slice("*", 1), path);
    }

    return api;
}


ngx_uint_t
ngx_http_gatehouse_catalog_has_reserved(void)
{
    return ngx_http_gatehouse_cat.reserved.nelts;
}


ngx_uint_t
ngx_http_gatehouse_catalog_reserved(u_char *lowcase, size_t len)
{
    size_t       i;
    u_char       ch;
    ngx_str_t   *s;
    ngx_uint_t   n;

    s = ngx_http_gatehouse_cat.reserved.elts;

    for (n = 0; n < ngx_http_gatehouse_cat.reserved.nelts; n++) {

        if (s[n].len != len) {
            continue;
        }

        for (i = 0; i < len; i++) {
            ch = lowcase[i];

            if (ch != s[n].data[i]
                && !((ch == '_' || ch == '.') && s[n].data[i] == '-'))
            {
                break;
            }
        }

        if (i == len) {
            return 1;
        }
    }

    return 0;
}


ngx_array_t *
ngx_http_gatehouse_catalog_secret_args(void)
{
    return &ngx_http_gatehouse_cat.secrets;
}
