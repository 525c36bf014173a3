
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Callers that this worker has seen in this generation of the catalog: what
 * credential, application and account came to, in three cache lines in place
 * of three look-ups.  Only good ones are kept, and an edit of the catalog makes
 * all of them strangers again.
 */


#ifndef _NGX_HTTP_GATEHOUSE_CALLER_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_CALLER_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


ngx_int_t ngx_http_gatehouse_caller_init(ngx_cycle_t *cycle);
void ngx_http_gatehouse_caller_close(void);

/* NGX_OK: names and plans are in ctx; NGX_DECLINED; NGX_ERROR */
ngx_int_t ngx_http_gatehouse_caller_get(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx);

/* what ctx has is good until ctx->expires_ms, or the next generation */
void ngx_http_gatehouse_caller_put(ngx_http_gatehouse_ctx_t *ctx);


#endif /* _NGX_HTTP_GATEHOUSE_CALLER_H_INCLUDED_ */
