
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Who calls, and on which application's plan.
 */


#ifndef _NGX_HTTP_GATEHOUSE_IDENTITY_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_IDENTITY_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


/* step "identity": CREDENTIAL_*, LOGIN, SESSION_UNAVAILABLE, WAIT or PASS */
ngx_http_gatehouse_fault_t ngx_http_gatehouse_identity_step(
    ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx);

/* step "plan": state, entitlement, roles */
ngx_http_gatehouse_fault_t ngx_http_gatehouse_plan_step(
    ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx);

/* no credential: a browser may log in where the API says so */
ngx_http_gatehouse_fault_t ngx_http_gatehouse_missing(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx);


/* ---- tokens that this worker has seen (ngx_http_gatehouse_token.c) ---- */

ngx_http_gatehouse_fault_t ngx_http_gatehouse_token_identity(
    ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx);

void ngx_http_gatehouse_release_token(ngx_http_gatehouse_token_t *token);

/* digest of the token's client as a credential, made once per token */
u_char *ngx_http_gatehouse_token_client(ngx_http_gatehouse_token_t *token);


#endif /* _NGX_HTTP_GATEHOUSE_IDENTITY_H_INCLUDED_ */
