
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_kept.h"
#include "ngx_http_gatehouse_worker.h"

#define NGX_HTTP_GATEHOUSE_OPEN_RETRY   200     /* ms */


static void ngx_http_gatehouse_catalog_turn(ngx_event_t *ev);


static struct {
    struct gh_catalog              *catalog;
    ngx_event_t                     turn;       /* ends the transaction */
    ngx_uint_t                      inside;
    ngx_uint_t                      ready;      /* routes of "generation" */
    ngx_msec_t                      retry;      /* opening it failed */
    uint64_t                        generation;
    ngx_log_t                      *log;
} ngx_http_gatehouse_cat;


ngx_http_gatehouse_kind_t  ngx_http_gatehouse_apis = {
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
        return ngx_http_gatehouse_cat.ready ? NGX_OK : NGX_DECLINED;
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

    if (ngx_http_gatehouse_cat.ready
        && generation == ngx_http_gatehouse_cat.generation)
    {
        return NGX_OK;
    }

    ngx_http_gatehouse_cat.generation = generation;
    ngx_http_gatehouse_cat.ready = 1;

    if (ngx_http_gatehouse_routes_walk() != NGX_OK) {
        ngx_http_gatehouse_routes_drop();
        ngx_http_gatehouse_cat.ready = 0;           /* next turn again */
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


ngx_http_gatehouse_kept_t **
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


void
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
ngx_http_gatehouse_kept_api(struct gh_slice name)
{
    return ngx_http_gatehouse_kept_get(&ngx_http_gatehouse_apis, name);
}


/* none that the walk did not see: clients could send its claim headers */

ngx_http_gatehouse_api_t *
ngx_http_gatehouse_catalog_api(struct gh_slice name)
{
    ngx_http_gatehouse_kept_t  *kept;

    kept = *ngx_http_gatehouse_kept_place(&ngx_http_gatehouse_apis, name);

    return (kept && kept->checked == ngx_http_gatehouse_cat.generation)
           ? (ngx_http_gatehouse_api_t *) kept : NULL;
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
