
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * The gate inside nginx: what its files share.  Everything here runs in a
 * worker, on its event loop; nothing here may block.
 */


#ifndef _NGX_HTTP_GATEHOUSE_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>

#include "catalog.h"
#include "session.h"

#include "ngx_http_gatehouse_fault.h"


typedef struct ngx_http_gatehouse_ctx_s      ngx_http_gatehouse_ctx_t;
typedef struct ngx_http_gatehouse_api_s      ngx_http_gatehouse_api_t;
typedef struct ngx_http_gatehouse_plan_s     ngx_http_gatehouse_plan_t;
typedef struct ngx_http_gatehouse_service_s  ngx_http_gatehouse_service_t;
typedef struct ngx_http_gatehouse_zone_s     ngx_http_gatehouse_zone_t;


typedef struct {
    ngx_str_t                      catalog;      /* directory */
    ngx_str_t                      secret;       /* file */
    ngx_shm_zone_t                *shm_zone;
    ngx_str_t                      redis;        /* as written */
    ngx_addr_t                    *redis_addr;   /* NULL: no Redis */
    ngx_str_t                      idp;          /* gatehouse-idp's socket */
    ngx_addr_t                    *idp_addr;

    struct gh_hmac                 credential;   /* key of API keys' digests */
    struct gh_session_keys         session;

    ngx_uint_t                     secret_read;  /* unsigned  secret_read:1; */
    ngx_uint_t                     gated;        /* locations with the gate on */
} ngx_http_gatehouse_main_conf_t;


typedef struct {
    ngx_flag_t                     enable;
    ngx_str_t                      api;          /* or from the catalog's routes */
} ngx_http_gatehouse_loc_conf_t;


extern ngx_module_t  ngx_http_gatehouse_module;


#define ngx_http_gatehouse_str(s)                                             \
    gh_slice((s)->data, (s)->len)

#define ngx_http_gatehouse_slice(s, sl)                                       \
    (s)->len = (sl).len;                                                      \
    (s)->data = (u_char *) (sl).data


/* UTC milliseconds, from nginx' cached time */
static ngx_inline uint64_t
ngx_http_gatehouse_now(void)
{
    ngx_time_t  *tp;

    tp = ngx_timeofday();

    return (uint64_t) tp->sec * 1000 + tp->msec;
}


/*
 * Whole seconds of a time to wait, never 0 while something is left; "ever" is
 * ten years, so that every client's integer holds it.
 */

static ngx_inline uint64_t
ngx_http_gatehouse_seconds(uint64_t ms)
{
    return ms > 315360000000ull ? 315360000ull : (ms + 999) / 1000;
}


/* memory of a request (or of a configuration) for the domain libraries */
struct gh_alloc ngx_http_gatehouse_alloc(ngx_pool_t *pool);


#endif /* _NGX_HTTP_GATEHOUSE_H_INCLUDED_ */
