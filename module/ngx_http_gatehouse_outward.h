
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * What leaves a gated request sideways: lines of nginx' error log, and headers
 * of a service's answer that only the gate may send.
 */


#ifndef _NGX_HTTP_GATEHOUSE_OUTWARD_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_OUTWARD_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


/* postconfiguration: puts the header filter in */
void ngx_http_gatehouse_outward_init(void);

/* r->log_handler: as nginx' own, but no query of another URL is shown */
u_char *ngx_http_gatehouse_log_error(ngx_http_request_t *r,
    ngx_http_request_t *sr, u_char *buf, size_t len);


#endif /* _NGX_HTTP_GATEHOUSE_OUTWARD_H_INCLUDED_ */
