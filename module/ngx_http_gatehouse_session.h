
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Login sessions: in the zone when seen lately, else in Redis.
 */


#ifndef _NGX_HTTP_GATEHOUSE_SESSION_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_SESSION_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


/* sets ctx->identity, or says why not; may WAIT for Redis */
ngx_http_gatehouse_fault_t ngx_http_gatehouse_session_identity(
    ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx);

/* a message on the channel: this session is over */
void ngx_http_gatehouse_session_revoked(struct gh_slice d);


#endif /* _NGX_HTTP_GATEHOUSE_SESSION_H_INCLUDED_ */
