
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Request headers: what a client may not say is taken out before anything
 * else runs; what the backend is told goes in when the gate lets a call pass.
 */


#ifndef _NGX_HTTP_GATEHOUSE_HEADERS_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_HEADERS_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


void ngx_http_gatehouse_headers_init(void);

/* server rewrite phase, on every request of a server with a catalog */
ngx_int_t ngx_http_gatehouse_strip_handler(ngx_http_request_t *r);

/* takes identity headers out, whoever put them in: NGX_OK or NGX_ERROR */
ngx_int_t ngx_http_gatehouse_strip(ngx_http_request_t *r);

/* last step: what goes to the backend.  PASS or ERROR. */
ngx_http_gatehouse_fault_t ngx_http_gatehouse_forward_step(
    ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx);


#endif /* _NGX_HTTP_GATEHOUSE_HEADERS_H_INCLUDED_ */
