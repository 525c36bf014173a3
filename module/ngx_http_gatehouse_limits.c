
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_limits.h"
#include "ngx_http_gatehouse_answer.h"
#include "ngx_http_gatehouse_kept.h"
#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_zone.h"


#define NGX_HTTP_GATEHOUSE_LONGEST_WAIT  150    /* ms, all waits together */


static void
ngx_http_gatehouse_limits_scope(ngx_http_gatehouse_ctx_t *ctx,
    enum gh_scope_kind kind, struct gh_slice name,
    ngx_http_gatehouse_plan_t *plan)
{
    ngx_http_gatehouse_limits_t  *limits;

    limits = ngx_http_gatehouse_scope_limits(ctx, kind);

    if (limits->n == 0) {
        return;
    }

    gh_spend_scope(&ngx_http_gatehouse_worker.limiter, &ctx->spend, kind, name,
                   limits->refs, limits->n, limits->metric_of, ctx->costs,
                   plan->plan.store_down, plan->plan.bounded_ms);
}


static enum gh_spend_result
ngx_http_gatehouse_limits_try(ngx_http_gatehouse_ctx_t *ctx, size_t max)
{
    ngx_uint_t  may_wait;

    /* an API's own limits follow the caller's plan when the store is away */

    gh_spend_init(&ctx->spend, ctx->charges, max, ngx_http_gatehouse_mono(),
                  ngx_http_gatehouse_now());

    ngx_http_gatehouse_limits_scope(ctx, GH_SCOPE_APP,
                                    ngx_http_gatehouse_str(&ctx->app),
                                    ctx->plan);

    if (ctx->account_binding) {
        ngx_http_gatehouse_limits_scope(ctx, GH_SCOPE_ACCOUNT,
                                        ngx_http_gatehouse_str(&ctx->account),
                                        ctx->account_binding->plan);
    }

    ngx_http_gatehouse_limits_scope(ctx, GH_SCOPE_API, ctx->api->api.name,
                                    ctx->plan);

    may_wait = !ctx->waited
               || (ngx_msec_int_t) (ctx->wait_until - ngx_current_msec) > 0;

    return gh_spend_try(&ngx_http_gatehouse_worker.limiter, &ctx->spend,
                        may_wait);
}


/* of the scopes whose slices are empty; not 0 */

static uint32_t
ngx_http_gatehouse_limits_lacking(ngx_http_gatehouse_ctx_t *ctx)
{
    uint32_t                hash;
    ngx_uint_t              i;
    struct gh_spend_scope  *scope;

    hash = NGX_HTTP_GATEHOUSE_FNV;

    for (i = 0; i < ctx->spend.nscopes; i++) {
        scope = &ctx->spend.scopes[i];

        if (scope->lease != GH_LEASE_NONE) {
            hash = ngx_http_gatehouse_fnv(hash + scope->kind,
                                          scope->name.data, scope->name.len);
        }
    }

    return hash | 1;
}


static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_limits_wait(ngx_http_gatehouse_ctx_t *ctx)
{
    if (!ctx->waited) {
        ctx->waited = 1;
        ctx->wait_until = ngx_current_msec + NGX_HTTP_GATEHOUSE_LONGEST_WAIT;
        ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_WAITED_COUNT);
    }

    ctx->wait_hash = ngx_http_gatehouse_limits_lacking(ctx);

    if (ngx_http_gatehouse_suspend(ctx, NGX_HTTP_GATEHOUSE_WAIT_LEASE)
        != NGX_OK)
    {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    ngx_http_gatehouse_limits_lease(ctx);

    return NGX_HTTP_GATEHOUSE_WAIT;
}


static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_limits_admit(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_str_t  value;

    ctx->spent = 1;

    if (ctx->spend.due) {
        ngx_http_gatehouse_limits_lease(ctx);
    }

    if (ngx_http_gatehouse_limits_headers(r, ctx) != NGX_OK) {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    if (ctx->spend.over && ngx_http_gatehouse_limits_over(r, ctx) != NGX_OK) {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    if (ctx->spend.degraded) {
        ctx->degraded = 1;
        ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_DEGRADED_COUNT);
        ngx_str_set(&value, "limits");

        if (ngx_http_gatehouse_answer_header(r, "Gatehouse-Degraded", &value)
            != NGX_OK)
        {
            return NGX_HTTP_GATEHOUSE_ERROR;
        }
    }

    return NGX_HTTP_GATEHOUSE_PASS;
}


ngx_http_gatehouse_fault_t
ngx_http_gatehouse_limits_step(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    size_t  max;

    max = ctx->binding->limits.n + ctx->api->limits.n
          + (ctx->account_binding ? ctx->account_binding->limits.n : 0);

    if (max == 0) {
        return NGX_HTTP_GATEHOUSE_PASS;
    }

    if (ctx->charges == NULL) {
        ctx->charges = ngx_palloc(r->pool, max * sizeof(struct gh_charge));
        if (ctx->charges == NULL) {
            return NGX_HTTP_GATEHOUSE_ERROR;
        }
    }

    switch (ngx_http_gatehouse_limits_try(ctx, max)) {

    case GH_SPEND_ADMIT:
        return ngx_http_gatehouse_limits_admit(r, ctx);

    case GH_SPEND_WAIT:
        return ngx_http_gatehouse_limits_wait(ctx);

    case GH_SPEND_REFUSED:
        if (ctx->spend.due) {
            ngx_http_gatehouse_limits_lease(ctx);
        }

        ctx->retry_ms = ctx->spend.retry_ms;
        return NGX_HTTP_GATEHOUSE_QUOTA_EXCEEDED;

    case GH_SPEND_FORBIDDEN:
        ngx_str_set(&ctx->reason, "a limit of 0");
        return NGX_HTTP_GATEHOUSE_NOT_IN_PLAN;

    case GH_SPEND_COST_EXCEEDS:
        return NGX_HTTP_GATEHOUSE_COST_EXCEEDS_LIMIT;

    case GH_SPEND_FULL:
        ngx_str_set(&ctx->reason, "gatehouse_zone is full");
        ctx->retry_ms = ctx->spend.retry_ms;
        return NGX_HTTP_GATEHOUSE_LIMITER_UNAVAILABLE;

    default: /* GH_SPEND_UNAVAILABLE */
        ngx_str_set(&ctx->reason, "the limits' store is away");
        ctx->retry_ms = ctx->spend.retry_ms;
        return NGX_HTTP_GATEHOUSE_LIMITER_UNAVAILABLE;
    }
}


void
ngx_http_gatehouse_limits_refund(ngx_http_gatehouse_ctx_t *ctx)
{
    if (ctx->spent) {
        ctx->spent = 0;
        gh_spend_refund(&ngx_http_gatehouse_worker.limiter, &ctx->spend);
    }
}
