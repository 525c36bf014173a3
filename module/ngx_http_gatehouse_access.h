
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * The access phase: a table of steps, and how a request waits in one.
 */


#ifndef _NGX_HTTP_GATEHOUSE_ACCESS_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_ACCESS_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


ngx_int_t ngx_http_gatehouse_access_handler(ngx_http_request_t *r);

/* preaccess: nginx runs no access phase for subrequests */
ngx_int_t ngx_http_gatehouse_subrequest_handler(ngx_http_request_t *r);

/* log phase: figures and usage */
ngx_int_t ngx_http_gatehouse_log_handler(ngx_http_request_t *r);

void ngx_http_gatehouse_access_init(ngx_cycle_t *cycle);

/* a lease of this scope came back, or failed: who waits for it looks again */
void ngx_http_gatehouse_wake(enum gh_scope_kind kind, struct gh_slice name);

/* gatehouse-idp answered, or did not: this provider's keys may be new */
void ngx_http_gatehouse_wake_keys(struct gh_slice idp);


#endif /* _NGX_HTTP_GATEHOUSE_ACCESS_H_INCLUDED_ */
