
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Limits: what plans/limiter.h decides, turned into steps, waits, commands to
 * Redis and response headers.
 */


#ifndef _NGX_HTTP_GATEHOUSE_LIMITS_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_LIMITS_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


/* step "limits": QUOTA_EXCEEDED and its like, PASS, or WAIT for a lease */
ngx_http_gatehouse_fault_t ngx_http_gatehouse_limits_step(
    ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx);

/* the call is not made after all */
void ngx_http_gatehouse_limits_refund(ngx_http_gatehouse_ctx_t *ctx);

/* log phase: meters of the application */
void ngx_http_gatehouse_limits_usage(ngx_http_gatehouse_ctx_t *ctx);

/* RateLimit-Policy and RateLimit, or X-RateLimit-*: NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_gatehouse_limits_headers(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx);

/* the quoted name of a charge's limit, or NULL */
ngx_str_t *ngx_http_gatehouse_charge_name(ngx_http_gatehouse_ctx_t *ctx,
    struct gh_charge *charge);

/* by the worker's timer: unspent slices, usage */
void ngx_http_gatehouse_limits_tick(void);

/* the store changed: tells it all of this host's cells that it must know */
void ngx_http_gatehouse_limits_sweep(void);

/* another host needs what this one holds unspent of "a:NAME" */
void ngx_http_gatehouse_limits_recall(struct gh_slice payload);

/*
 * Writes usage to the store, "max" meters at most: a part of the round under
 * way, or a whole one.
 */
void ngx_http_gatehouse_limits_flush(ngx_uint_t max, ngx_uint_t whole);


#endif /* _NGX_HTTP_GATEHOUSE_LIMITS_H_INCLUDED_ */
