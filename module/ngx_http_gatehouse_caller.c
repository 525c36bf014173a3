
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_caller.h"
#include "ngx_http_gatehouse_catalog.h"

#include <sys/mman.h>


#define NGX_HTTP_GATEHOUSE_CALLERS      262144  /* a power of two */
#define NGX_HTTP_GATEHOUSE_CALLER_TEXT  117


typedef struct {
    u_char                          digest[GH_DIGEST_SIZE];
    uint64_t                        generation; /* 0: free */
    uint64_t                        expires;
    ngx_http_gatehouse_plan_t      *plan;       /* live in that generation */
    ngx_http_gatehouse_plan_t      *account_plan;
    u_char                          app;        /* lengths */
    u_char                          account;
    u_char                          id;
    u_char                          text[NGX_HTTP_GATEHOUSE_CALLER_TEXT];
} ngx_http_gatehouse_caller_t;


/* 48 MB of address space; memory only for those that called */

static ngx_http_gatehouse_caller_t  *ngx_http_gatehouse_callers;


ngx_int_t
ngx_http_gatehouse_caller_init(ngx_cycle_t *cycle)
{
    void  *p;

    p = mmap(NULL,
             NGX_HTTP_GATEHOUSE_CALLERS * sizeof(ngx_http_gatehouse_caller_t),
             PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS|MAP_NORESERVE,
             -1, 0);

    if (p == MAP_FAILED) {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, ngx_errno,
                      "gatehouse: mmap() failed");
        return NGX_ERROR;
    }

    ngx_http_gatehouse_callers = p;

    return NGX_OK;
}


void
ngx_http_gatehouse_caller_close(void)
{
    (void) munmap(ngx_http_gatehouse_callers,
                  NGX_HTTP_GATEHOUSE_CALLERS
                  * sizeof(ngx_http_gatehouse_caller_t));

    ngx_http_gatehouse_callers = NULL;
}


/* one of two neighbours: a caller's own place and the one beside it */

static ngx_http_gatehouse_caller_t *
ngx_http_gatehouse_caller_at(const u_char *digest, ngx_uint_t way)
{
    uint32_t  n;

    ngx_memcpy(&n, digest, sizeof(n));

    return &ngx_http_gatehouse_callers[(n & (NGX_HTTP_GATEHOUSE_CALLERS - 1))
                                       ^ way];
}


static ngx_uint_t
ngx_http_gatehouse_caller_is(ngx_http_gatehouse_caller_t *c,
    const u_char *digest)
{
    return c->generation != 0
           && c->generation == ngx_http_gatehouse_catalog_generation()
           && ngx_memcmp(c->digest, digest, GH_DIGEST_SIZE) == 0;
}


ngx_int_t
ngx_http_gatehouse_caller_get(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    u_char                       *p;
    ngx_http_gatehouse_caller_t  *c;

    c = ngx_http_gatehouse_caller_at(ctx->digest, 0);

    if (!ngx_http_gatehouse_caller_is(c, ctx->digest)) {
        c = ngx_http_gatehouse_caller_at(ctx->digest, 1);

        if (!ngx_http_gatehouse_caller_is(c, ctx->digest)) {
            return NGX_DECLINED;
        }
    }

    if (c->expires && c->expires <= ngx_http_gatehouse_now()) {
        return NGX_DECLINED;
    }

    p = ngx_pnalloc(r->pool, NGX_HTTP_GATEHOUSE_CALLER_TEXT);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, c->text, NGX_HTTP_GATEHOUSE_CALLER_TEXT);

    ctx->app.data = p;
    ctx->app.len = c->app;
    p += c->app;

    ctx->account.data = p;
    ctx->account.len = c->account;
    p += c->account;

    ctx->credential_id.data = p;
    ctx->credential_id.len = c->id;

    ctx->plan = c->plan;
    ctx->account_plan = c->account_plan;
    ctx->known = 1;

    return NGX_OK;
}


void
ngx_http_gatehouse_caller_put(ngx_http_gatehouse_ctx_t *ctx)
{
    u_char                       *p;
    ngx_http_gatehouse_caller_t  *c;

    if (ctx->app.len + ctx->account.len + ctx->credential_id.len
        > NGX_HTTP_GATEHOUSE_CALLER_TEXT)
    {
        return;
    }

    /* in its own place, unless only the one beside it is free */

    c = ngx_http_gatehouse_caller_at(ctx->digest, 1);

    if (c->generation == ngx_http_gatehouse_catalog_generation()
        || ngx_http_gatehouse_caller_at(ctx->digest, 0)->generation
           != ngx_http_gatehouse_catalog_generation())
    {
        c = ngx_http_gatehouse_caller_at(ctx->digest, 0);
    }

    ngx_memcpy(c->digest, ctx->digest, GH_DIGEST_SIZE);
    c->generation = ngx_http_gatehouse_catalog_generation();
    c->expires = ctx->expires_ms;
    c->plan = ctx->plan;
    c->account_plan = ctx->account_plan;
    c->app = ctx->app.len;
    c->account = ctx->account.len;
    c->id = ctx->credential_id.len;

    p = ngx_cpymem(c->text, ctx->app.data, ctx->app.len);
    p = ngx_cpymem(p, ctx->account.data, ctx->account.len);
    ngx_memcpy(p, ctx->credential_id.data, ctx->credential_id.len);
}
