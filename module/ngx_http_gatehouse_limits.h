
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Limits: what plans/limiter.h decides, turned into a step and its waits
 * (_limits.c), commands to Redis (_lease.c, _usage.c) and response headers
 * (_ratelimit.c).
 */


#ifndef _NGX_HTTP_GATEHOUSE_LIMITS_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_LIMITS_H_INCLUDED_


#include "ngx_http_gatehouse_catalog.h"


/* step "limits": QUOTA_EXCEEDED and its like, PASS, or WAIT for a lease */
ngx_http_gatehouse_fault_t ngx_http_gatehouse_limits_step(
    ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx);

/* the call is not made after all */
void ngx_http_gatehouse_limits_refund(ngx_http_gatehouse_ctx_t *ctx);

/* log phase: meters of the application */
void ngx_http_gatehouse_limits_usage(ngx_http_gatehouse_ctx_t *ctx);


/* ---- what the client is told ---- */

/* RateLimit-Policy and RateLimit, or X-RateLimit-*: NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_gatehouse_limits_headers(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx);

/* Gatehouse-Over: sets ctx->over to the soft limits that are passed */
ngx_int_t ngx_http_gatehouse_limits_over(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx);

/* the limits of one of the request's scopes */
ngx_http_gatehouse_limits_t *ngx_http_gatehouse_scope_limits(
    ngx_http_gatehouse_ctx_t *ctx, enum gh_scope_kind kind);

/* the quoted name of a charge's limit */
ngx_str_t *ngx_http_gatehouse_charge_name(ngx_http_gatehouse_ctx_t *ctx,
    struct gh_charge *charge);


/* ---- what the store is told ---- */

/* asks for what the request's scopes need */
void ngx_http_gatehouse_limits_lease(ngx_http_gatehouse_ctx_t *ctx);

/* the store changed: tells it all of this host's cells that it must know */
void ngx_http_gatehouse_limits_sweep(void);

/* another host needs what this one holds unspent of "a:NAME" */
void ngx_http_gatehouse_limits_recall(struct gh_slice payload);

/*
 * Writes usage to the store, "max" meters at most: a part of the round under
 * way, or a whole one.
 */
void ngx_http_gatehouse_limits_flush(ngx_uint_t max, ngx_uint_t whole);

/* by the worker's timer: unspent slices; usage */
void ngx_http_gatehouse_limits_sweep_tick(void);
void ngx_http_gatehouse_limits_usage_tick(void);


#endif /* _NGX_HTTP_GATEHOUSE_LIMITS_H_INCLUDED_ */
