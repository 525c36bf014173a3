
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * The catalog as one worker sees it.  APIs, plans, services and identity
 * providers are decoded and compiled once per version and kept; accounts,
 * applications and credentials are read in place.  The read transaction is
 * renewed once per turn of the event loop and let go at its end: slices of the
 * lookups do not outlive the turn.
 *
 * Kept objects are counted: a request holds what it uses, so that an edit
 * never takes anything away under it.
 */


#ifndef _NGX_HTTP_GATEHOUSE_CATALOG_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_CATALOG_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"

#include "jwt.h"
#include "meter.h"


/* a header name made ready to compare with nginx' own */

typedef struct {
    ngx_str_t                       name;       /* as written */
    ngx_str_t                       lowcase;
    ngx_uint_t                      hash;
} ngx_http_gatehouse_name_t;


/* limits of one scope as they apply to one API */

typedef struct {
    size_t                          n;
    const struct gh_limit          *at;
    const struct gh_limit_ref      *refs;
    int8_t                         *metric_of;
    ngx_str_t                      *names;      /* "\"per-minute\"" */
    ngx_str_t                       policy;     /* RateLimit-Policy */
} ngx_http_gatehouse_limits_t;


typedef struct ngx_http_gatehouse_kept_s  ngx_http_gatehouse_kept_t;

struct ngx_http_gatehouse_kept_s {
    ngx_http_gatehouse_kept_t      *next;       /* in its bucket */
    ngx_str_t                       name;
    uint32_t                        hash;
    uint64_t                        version;
    uint64_t                        checked;    /* generation */
    ngx_uint_t                      refs;
    void                          (*finish)(void *object);
    struct gh_arena                 arena;
};


struct ngx_http_gatehouse_service_s {
    ngx_http_gatehouse_kept_t       kept;
    struct gh_service               service;
    ngx_pool_t                     *pool;       /* of the addresses */
    ngx_uint_t                      n;          /* healthy endpoints */
    ngx_addr_t                     *addrs;
    ngx_uint_t                      next;       /* round robin */
};


struct ngx_http_gatehouse_plan_s {
    ngx_http_gatehouse_kept_t       kept;
    struct gh_plan                  plan;
    struct gh_limit_ref            *refs;
};


typedef struct {
    ngx_http_gatehouse_kept_t       kept;
    struct gh_idp                   idp;
    struct gh_jwt_keys             *keys;
} ngx_http_gatehouse_idp_t;


struct ngx_http_gatehouse_binding_s {
    ngx_http_gatehouse_binding_t   *next;
    ngx_uint_t                      refs;
    ngx_http_gatehouse_plan_t      *plan;
    ngx_uint_t                      account;    /* unsigned  account:1; */
    const struct gh_entitlement    *entitlement;
    ngx_http_gatehouse_limits_t     limits;
    struct gh_arena                 arena;
};


struct ngx_http_gatehouse_api_s {
    ngx_http_gatehouse_kept_t       kept;
    struct gh_api                   api;
    ngx_http_gatehouse_limits_t     limits;
    struct gh_matcher              *matcher;
    uint32_t                       *symbols;    /* of metrics, for meters */
    ngx_http_gatehouse_name_t       key, id, id_key;
    ngx_http_gatehouse_name_t      *claims;     /* headers to the backend */
    ngx_str_t                       challenge;  /* WWW-Authenticate */
    ngx_http_gatehouse_binding_t   *bindings;
};


ngx_int_t ngx_http_gatehouse_catalog_init(ngx_cycle_t *cycle);
void ngx_http_gatehouse_catalog_close(void);

/*
 * Inside a turn of the loop: renews the snapshot if need be.  NGX_DECLINED
 * when there is no catalog to read (yet).
 */
ngx_int_t ngx_http_gatehouse_catalog_begin(void);
uint64_t ngx_http_gatehouse_catalog_generation(void);
struct gh_catalog *ngx_http_gatehouse_catalog(void);

/* the API of host and path, or NULL; no reference is taken */
ngx_http_gatehouse_api_t *ngx_http_gatehouse_catalog_route(ngx_str_t *host,
    ngx_str_t *path);

/* by name, or NULL; no reference is taken.  APIs: those that are published */
ngx_http_gatehouse_api_t *ngx_http_gatehouse_catalog_api(struct gh_slice name);
ngx_http_gatehouse_plan_t *ngx_http_gatehouse_catalog_plan(
    struct gh_slice name);
ngx_http_gatehouse_service_t *ngx_http_gatehouse_catalog_service(
    struct gh_slice name);
ngx_http_gatehouse_idp_t *ngx_http_gatehouse_catalog_idp(struct gh_slice name);

/* what a plan means for an API; NULL when memory is out */
ngx_http_gatehouse_binding_t *ngx_http_gatehouse_catalog_bind(
    ngx_http_gatehouse_api_t *api, ngx_http_gatehouse_plan_t *plan,
    ngx_uint_t account);

#define ngx_http_gatehouse_hold(object)  (object)->kept.refs++
void ngx_http_gatehouse_release(void *object);
void ngx_http_gatehouse_release_binding(ngx_http_gatehouse_binding_t *b);

/* whether a client may not send this header: ours, or an API's claim header */
ngx_uint_t ngx_http_gatehouse_catalog_has_reserved(void);
ngx_uint_t ngx_http_gatehouse_catalog_reserved(u_char *lowcase, size_t len);

/* names of the query parameters in which APIs take keys, for logs */
ngx_array_t *ngx_http_gatehouse_catalog_secret_args(void);


#endif /* _NGX_HTTP_GATEHOUSE_CATALOG_H_INCLUDED_ */
