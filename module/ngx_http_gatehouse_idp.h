
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * A word with gatehouse-idp: a token names a key that the catalog does not
 * have, so the provider's keys are to be fetched anew.  One question per
 * provider and second at the most; all requests that need it wait for the same
 * answer.
 */


#ifndef _NGX_HTTP_GATEHOUSE_IDP_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_IDP_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


/*
 * NGX_OK: the request is suspended, and goes on when there is an answer or
 * after 3 s.  NGX_DECLINED: nobody to ask, or asked a moment ago.
 */
ngx_int_t ngx_http_gatehouse_idp_refresh(ngx_http_gatehouse_ctx_t *ctx,
    struct gh_slice idp);

void ngx_http_gatehouse_idp_stop(void);


#endif /* _NGX_HTTP_GATEHOUSE_IDP_H_INCLUDED_ */
