
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * What the gate tells of itself: figures for Prometheus, and to
 * gatehouse-control its state and the last refused decisions.
 */


#ifndef _NGX_HTTP_GATEHOUSE_METRICS_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_METRICS_H_INCLUDED_


#include "ngx_http_gatehouse.h"


/* content handlers */
ngx_int_t ngx_http_gatehouse_metrics_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_gatehouse_internal_handler(ngx_http_request_t *r);


#endif /* _NGX_HTTP_GATEHOUSE_METRICS_H_INCLUDED_ */
