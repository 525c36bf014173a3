
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Exactly one credential: found where the API takes it, taken away before the
 * backend sees the request.
 */


#ifndef _NGX_HTTP_GATEHOUSE_CREDENTIAL_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_CREDENTIAL_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


#define NGX_HTTP_GATEHOUSE_KEY_MAX  512     /* bytes of a key */


void ngx_http_gatehouse_credential_init(void);

/* step "credentials": DUPLICATE_CREDENTIAL or PASS */
ngx_http_gatehouse_fault_t ngx_http_gatehouse_credential_step(
    ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx);

/*
 * Marks header lines of the credential as free (ctx->header, ctx->id_header),
 * cuts it out of cookies.  The query is the path's.
 */
ngx_int_t ngx_http_gatehouse_credential_remove(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx);


#endif /* _NGX_HTTP_GATEHOUSE_CREDENTIAL_H_INCLUDED_ */
