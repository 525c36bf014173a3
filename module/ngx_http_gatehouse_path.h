
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * One normal form of the path is matched and forwarded.  nginx matches the
 * decoded path but forwards the raw one: so whatever a backend could read
 * differently from nginx is refused, and prefix and query are taken off the
 * raw form itself.
 */


#ifndef _NGX_HTTP_GATEHOUSE_PATH_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_PATH_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


/* step "path": BAD_PATH, BAD_PROTOCOL or PASS */
ngx_http_gatehouse_fault_t ngx_http_gatehouse_path_step(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx);

/*
 * What is forwarded: the path without its first "prefix" decoded bytes, the
 * query without the parameter "secret" (empty: all of it).  Works on r->uri,
 * r->args and r->unparsed_uri.  NGX_OK or NGX_ERROR.
 */
ngx_int_t ngx_http_gatehouse_path_forward(ngx_http_request_t *r, size_t prefix,
    ngx_str_t *secret);

/*
 * Finds a query parameter by its decoded name.  Returns how often it is there;
 * the first one's decoded value in *value, in memory of the request.
 */
ngx_uint_t ngx_http_gatehouse_path_arg(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value);

/*
 * Masks the values of all parameters by which some API takes keys: "target" is
 * a raw one and becomes the masked copy.  NGX_OK, NGX_DECLINED when there is
 * nothing to mask, or NGX_ERROR.
 */
ngx_int_t ngx_http_gatehouse_path_mask(ngx_http_request_t *r,
    ngx_str_t *target);

/* the same for the request line, which nginx' own log lines show */
ngx_int_t ngx_http_gatehouse_path_mask_line(ngx_http_request_t *r);


#endif /* _NGX_HTTP_GATEHOUSE_PATH_H_INCLUDED_ */
