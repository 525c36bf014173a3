
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * What the three files of the catalog share: keeping (_catalog.c), decoding
 * (_load.c), publishing (_routes.c).
 */


#ifndef _NGX_HTTP_GATEHOUSE_KEPT_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_KEPT_H_INCLUDED_


#include "ngx_http_gatehouse_catalog.h"


#define NGX_HTTP_GATEHOUSE_BUCKETS      1024
#define NGX_HTTP_GATEHOUSE_FNV          2166136261u


typedef struct {
    const char                     *kind;
    size_t                          size;
    ngx_int_t                     (*load)(struct gh_slice name, void *object);
    ngx_http_gatehouse_kept_t      *buckets[NGX_HTTP_GATEHOUSE_BUCKETS];
} ngx_http_gatehouse_kind_t;


static ngx_inline uint32_t
ngx_http_gatehouse_fnv(uint32_t hash, const u_char *p, size_t len)
{
    while (len--) {
        hash = (hash ^ *p++) * 16777619u;
    }

    return hash;
}


extern ngx_http_gatehouse_kind_t  ngx_http_gatehouse_apis;


/* where an object of this name is, or would be linked */
ngx_http_gatehouse_kept_t **ngx_http_gatehouse_kept_place(
    ngx_http_gatehouse_kind_t *kind, struct gh_slice name);

/* in the walk of a generation: decoded anew if need be, or NULL */
ngx_http_gatehouse_api_t *ngx_http_gatehouse_kept_api(struct gh_slice name);

/* takes it out; it lives on for those who hold it */
void ngx_http_gatehouse_kept_drop(ngx_http_gatehouse_kept_t **place);


/* each fills an object of its kind from the snapshot: NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_gatehouse_load_api(struct gh_slice name, void *object);
ngx_int_t ngx_http_gatehouse_load_plan(struct gh_slice name, void *object);
ngx_int_t ngx_http_gatehouse_load_service(struct gh_slice name, void *object);
ngx_int_t ngx_http_gatehouse_load_idp(struct gh_slice name, void *object);


/* a new generation: load what changed among the APIs, drop what is gone */
ngx_int_t ngx_http_gatehouse_routes_walk(void);

/* nothing is published any more */
void ngx_http_gatehouse_routes_drop(void);


#endif /* _NGX_HTTP_GATEHOUSE_KEPT_H_INCLUDED_ */
