
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * The upstream whose servers are the healthy endpoints of the request's
 * service, as the catalog has them.
 */


#ifndef _NGX_HTTP_GATEHOUSE_BALANCER_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_BALANCER_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


/* step "endpoint": SERVICE_UNAVAILABLE or PASS */
ngx_http_gatehouse_fault_t ngx_http_gatehouse_endpoint_step(
    ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx);

ngx_int_t ngx_http_gatehouse_balancer_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us);


#endif /* _NGX_HTTP_GATEHOUSE_BALANCER_H_INCLUDED_ */
