
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * What a client is told of its limits: RateLimit-Policy and RateLimit as in
 * the IETF's draft, X-RateLimit-* on request, Gatehouse-Over.
 */


#include "ngx_http_gatehouse_answer.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_limits.h"


#define NGX_HTTP_GATEHOUSE_NUMBER_LEN  20


ngx_http_gatehouse_limits_t *
ngx_http_gatehouse_scope_limits(ngx_http_gatehouse_ctx_t *ctx,
    enum gh_scope_kind kind)
{
    switch (kind) {

    case GH_SCOPE_APP:
        return &ctx->binding->limits;

    case GH_SCOPE_ACCOUNT:
        return &ctx->account_binding->limits;

    default:
        return &ctx->api->limits;
    }
}


ngx_str_t *
ngx_http_gatehouse_charge_name(ngx_http_gatehouse_ctx_t *ctx,
    struct gh_charge *charge)
{
    ngx_http_gatehouse_limits_t  *limits;

    limits = ngx_http_gatehouse_scope_limits(ctx,
                                   ctx->spend.scopes[charge->scope].kind);

    return &limits->names[charge->limit - limits->refs];
}


static u_char *
ngx_http_gatehouse_number(u_char *p, uint64_t n)
{
    u_char  digits[NGX_HTTP_GATEHOUSE_NUMBER_LEN], *d;

    d = digits + NGX_HTTP_GATEHOUSE_NUMBER_LEN;

    do {
        *--d = '0' + n % 10;
        n /= 10;
    } while (n);

    return ngx_cpymem(p, d, digits + NGX_HTTP_GATEHOUSE_NUMBER_LEN - d);
}


static ngx_int_t
ngx_http_gatehouse_limits_policy(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    u_char      *p;
    size_t       len;
    ngx_str_t   *texts[3], value;
    ngx_uint_t   i, n;

    n = 0;
    len = 0;

    if (ctx->binding->limits.policy.len) {
        texts[n++] = &ctx->binding->limits.policy;
    }

    if (ctx->account_binding && ctx->account_binding->limits.policy.len) {
        texts[n++] = &ctx->account_binding->limits.policy;
    }

    if (ctx->api->limits.policy.len) {
        texts[n++] = &ctx->api->limits.policy;
    }

    if (n == 0) {
        return NGX_OK;
    }

    value = *texts[0];      /* kept as long as the request */

    if (n > 1) {
        for (i = 0; i < n; i++) {
            len += texts[i]->len + 2;
        }

        p = ngx_pnalloc(r->pool, len);
        if (p == NULL) {
            return NGX_ERROR;
        }

        value.data = p;

        for (i = 0; i < n; i++) {
            if (i) {
                *p++ = ',';
                *p++ = ' ';
            }

            p = ngx_cpymem(p, texts[i]->data, texts[i]->len);
        }

        value.len = p - value.data;
    }

    return ngx_http_gatehouse_answer_header(r, "RateLimit-Policy", &value);
}


static ngx_int_t
ngx_http_gatehouse_limits_classic(ngx_http_request_t *r,
    struct gh_charge *tightest)
{
    u_char     *p;
    ngx_str_t   value;
    ngx_uint_t  i;
    uint64_t    numbers[3];

    static const char  *names[] = {
        "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"
    };

    numbers[0] = tightest->limit->value;
    numbers[1] = tightest->remaining;
    numbers[2] = ngx_http_gatehouse_seconds(tightest->reset_ms);

    p = ngx_pnalloc(r->pool, 3 * NGX_HTTP_GATEHOUSE_NUMBER_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < 3; i++) {
        value.data = p;
        p = ngx_http_gatehouse_number(p, numbers[i]);
        value.len = p - value.data;

        if (ngx_http_gatehouse_answer_header(r, names[i], &value) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_gatehouse_limits_headers(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    u_char            *p;
    size_t             len;
    uint16_t           i;
    ngx_str_t         *name, value;
    struct gh_charge  *charge, *tightest;

    if (ngx_http_gatehouse_limits_policy(r, ctx) != NGX_OK) {
        return NGX_ERROR;
    }

    len = 0;
    tightest = NULL;

    for (i = 0; i < ctx->spend.n; i++) {
        len += ngx_http_gatehouse_charge_name(ctx, &ctx->spend.charges[i])->len
               + 2 * NGX_HTTP_GATEHOUSE_NUMBER_LEN + sizeof(", ;r=;t=");
    }

    if (len == 0) {
        return NGX_OK;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    value.data = p;

    for (i = 0; i < ctx->spend.n; i++) {
        charge = &ctx->spend.charges[i];

        if (charge->limit->mode == GH_SHADOW) {
            continue;
        }

        /* a refusal was decided by one limit: the others were not asked */

        if (ctx->fault && i != ctx->spend.which) {
            continue;
        }

        if (tightest == NULL || charge->remaining < tightest->remaining) {
            tightest = charge;
        }

        if (p != value.data) {
            *p++ = ',';
            *p++ = ' ';
        }

        name = ngx_http_gatehouse_charge_name(ctx, charge);

        p = ngx_cpymem(p, name->data, name->len);
        p = ngx_cpymem(p, ";r=", 3);
        p = ngx_http_gatehouse_number(p, charge->remaining);

        if (charge->limit->period != GH_EVER) {
            p = ngx_cpymem(p, ";t=", 3);
            p = ngx_http_gatehouse_number(p,
                                ngx_http_gatehouse_seconds(charge->reset_ms));
        }
    }

    value.len = p - value.data;

    if (value.len == 0) {
        return NGX_OK;
    }

    if (ngx_http_gatehouse_answer_header(r, "RateLimit", &value) != NGX_OK) {
        return NGX_ERROR;
    }

    if (ctx->api->api.classic_headers) {
        return ngx_http_gatehouse_limits_classic(r, tightest);
    }

    return NGX_OK;
}


/* names of the soft limits that are passed, to client and backend */

ngx_int_t
ngx_http_gatehouse_limits_over(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    u_char            *p;
    size_t             len;
    uint16_t           i;
    ngx_str_t         *name;
    struct gh_charge  *charge;

    len = 0;

    for (i = 0; i < ctx->spend.n; i++) {
        len += ngx_http_gatehouse_charge_name(ctx, &ctx->spend.charges[i])->len
               + 2;
    }

    p = ngx_pnalloc(r->pool, len ? len : 1);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ctx->over.data = p;

    for (i = 0; i < ctx->spend.n; i++) {
        charge = &ctx->spend.charges[i];

        if (!charge->over || charge->limit->mode != GH_SOFT) {
            continue;
        }

        if (p != ctx->over.data) {
            *p++ = ',';
            *p++ = ' ';
        }

        name = ngx_http_gatehouse_charge_name(ctx, charge);
        p = ngx_cpymem(p, name->data, name->len);
    }

    ctx->over.len = p - ctx->over.data;

    return ctx->over.len
           ? ngx_http_gatehouse_answer_header(r, "Gatehouse-Over", &ctx->over)
           : NGX_OK;
}
