
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * What a refused client gets: status, headers and a body that explains.  The
 * body is application/problem+json (RFC 9457), or a page for a browser.
 */


#ifndef _NGX_HTTP_GATEHOUSE_ANSWER_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_ANSWER_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


/* ctx->fault says why.  The result is the access phase's. */
ngx_int_t ngx_http_gatehouse_refuse(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx);

/* a response header; name is a literal, value lives as long as the request */
ngx_int_t ngx_http_gatehouse_answer_header(ngx_http_request_t *r,
    const char *name, ngx_str_t *value);

/* a whole answer of a content handler */
ngx_int_t ngx_http_gatehouse_answer_text(ngx_http_request_t *r,
    ngx_uint_t status, const char *type, ngx_str_t *body);

/* somebody looks at a page: answers are pages, a login can be offered */
ngx_uint_t ngx_http_gatehouse_is_browser(ngx_http_request_t *r);


#endif /* _NGX_HTTP_GATEHOUSE_ANSWER_H_INCLUDED_ */
