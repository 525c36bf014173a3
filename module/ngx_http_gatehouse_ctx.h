
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * What the gate knows of one request.  Made at the access phase, found again
 * after internal redirects, gone with the request's pool.
 */


#ifndef _NGX_HTTP_GATEHOUSE_CTX_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_CTX_H_INCLUDED_


#include "ngx_http_gatehouse.h"

#include "identity.h"
#include "limiter.h"
#include "match.h"


#define NGX_HTTP_GATEHOUSE_DECISION_LEN  26


typedef struct ngx_http_gatehouse_token_s    ngx_http_gatehouse_token_t;
typedef struct ngx_http_gatehouse_binding_s  ngx_http_gatehouse_binding_t;


/* where a credential came from: what to take away towards the backend */

typedef enum {
    NGX_HTTP_GATEHOUSE_NONE = 0,
    NGX_HTTP_GATEHOUSE_KEY_HEADER,
    NGX_HTTP_GATEHOUSE_KEY_QUERY,
    NGX_HTTP_GATEHOUSE_KEY_COOKIE,
    NGX_HTTP_GATEHOUSE_ID_KEY,
    NGX_HTTP_GATEHOUSE_BEARER,
    NGX_HTTP_GATEHOUSE_SESSION,
    NGX_HTTP_GATEHOUSE_ANONYMOUS
} ngx_http_gatehouse_source_t;


/* what a suspended request waits for */

typedef enum {
    NGX_HTTP_GATEHOUSE_WAIT_LEASE = 1,
    NGX_HTTP_GATEHOUSE_WAIT_SESSION,
    NGX_HTTP_GATEHOUSE_WAIT_KEYS
} ngx_http_gatehouse_wait_t;


struct ngx_http_gatehouse_ctx_s {
    ngx_http_request_t             *request;
    ngx_http_gatehouse_loc_conf_t  *conf;       /* where it was decided */

    ngx_uint_t                      step;
    ngx_http_gatehouse_fault_t      fault;

    ngx_http_gatehouse_api_t       *api;        /* a reference each, or NULL */
    ngx_http_gatehouse_binding_t   *binding;    /* of api and plan */
    ngx_http_gatehouse_plan_t      *plan;       /* held by the binding */
    ngx_http_gatehouse_plan_t      *account_plan;
    ngx_http_gatehouse_binding_t   *account_binding;
    ngx_http_gatehouse_service_t   *service;

    size_t                          prefix;     /* of the API, in r->uri */
    ngx_str_t                       path;       /* below the API's prefix */
    uint32_t                        method;

    /* the credential as sent: points into the request */
    ngx_http_gatehouse_source_t     source;
    ngx_str_t                       credential; /* key or token */
    ngx_str_t                       id;         /* application id */
    ngx_table_elt_t                *header;     /* to take away */
    ngx_table_elt_t                *id_header;

    /* who calls: in memory of the request */
    ngx_str_t                       app;
    ngx_str_t                       account;
    ngx_str_t                       user;
    ngx_str_t                       credential_id;
    u_char                          digest[GH_DIGEST_SIZE];
    uint64_t                        expires_ms; /* of the credential; 0: none */
    const struct gh_identity       *identity;
    ngx_http_gatehouse_token_t     *token;      /* a reference, or NULL */

    uint32_t                       *costs;      /* per metric of the API */
    struct gh_charge               *charges;
    struct gh_spend                 spend;
    uint64_t                        retry_ms;   /* for Retry-After */

    ngx_queue_t                     queue;      /* while it waits */
    ngx_http_gatehouse_wait_t       waiting;    /* 0: it does not */
    ngx_msec_t                      wait_until;
    uint32_t                        wait_hash;  /* of scopes without a lease */
    struct gh_slice                 keys_of;    /* provider that is asked */
    void                           *asked;      /* a command under way */
    uint64_t                        asked_ms;   /* UTC */
    ngx_atomic_uint_t               revoked;    /* sessions, by then */
    struct gh_slice                 stored;     /* what Redis has of it */

    ngx_str_t                       target;     /* as the client sent it */
    ngx_str_t                       reason;     /* for logs, static text */
    u_char                          decision[NGX_HTTP_GATEHOUSE_DECISION_LEN];

    ngx_str_t                       over;       /* soft limits passed */

    unsigned                        has_session:1;  /* the cookie is there */
    unsigned                        known:1;    /* a caller seen before */
    unsigned                        decided:1;
    unsigned                        allowed:1;
    unsigned                        spent:1;
    unsigned                        degraded:1;
    unsigned                        waited:1;   /* for a lease, already */
    unsigned                        answered:1; /* Redis did, see stored */
    unsigned                        lost:1;     /* Redis did not */
    unsigned                        refreshed:1;    /* keys, already */
};


/* NULL when the gate was not asked (yet) */
ngx_http_gatehouse_ctx_t *ngx_http_gatehouse_get_ctx(ngx_http_request_t *r);

ngx_http_gatehouse_ctx_t *ngx_http_gatehouse_create_ctx(ngx_http_request_t *r);

/*
 * A request that waits: no phase runs until ngx_http_gatehouse_resume().  The
 * client may go away meanwhile: then ctx->waiting ends by itself.
 */
ngx_int_t ngx_http_gatehouse_suspend(ngx_http_gatehouse_ctx_t *ctx,
    ngx_http_gatehouse_wait_t what);
void ngx_http_gatehouse_resume(ngx_http_gatehouse_ctx_t *ctx);


#endif /* _NGX_HTTP_GATEHOUSE_CTX_H_INCLUDED_ */
