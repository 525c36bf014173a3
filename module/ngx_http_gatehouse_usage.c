
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Usage: calls are counted in the zone, and told to the store as totals.
 */


#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_limits.h"
#include "ngx_http_gatehouse_redis.h"
#include "ngx_http_gatehouse_worker.h"


#define NGX_HTTP_GATEHOUSE_USAGE_INTERVAL 1000  /* ms between two rounds */
#define NGX_HTTP_GATEHOUSE_USAGE_BUDGET   4096  /* slots of one look */
#define NGX_HTTP_GATEHOUSE_USAGE_COMMANDS 64    /* of one tick: 640 a second */


/* of the round under way, carried from tick to tick */

static uint64_t  ngx_http_gatehouse_usage_cursor = GH_CURSOR_END;


static void
ngx_http_gatehouse_usage_reply(void *data, redisReply *reply)
{
    struct gh_meter_flush  *flush = data;

    if (reply && reply->type != REDIS_REPLY_ERROR) {
        gh_meter_flushed(&ngx_http_gatehouse_worker.limiter, flush);
    }

    ngx_free(flush);
}


void
ngx_http_gatehouse_limits_flush(ngx_uint_t max, ngx_uint_t whole)
{
    struct gh_buffer        command;
    struct gh_meter_flush  *flush;

    if (!ngx_http_gatehouse_redis_up()) {
        return;
    }

    command = GH_BUFFER_INIT;

    if (whole) {
        ngx_http_gatehouse_usage_cursor = 0;
    }

    while (max--) {

        flush = ngx_alloc(sizeof(struct gh_meter_flush),
                          ngx_http_gatehouse_worker.log);
        if (flush == NULL) {
            break;
        }

        gh_buffer_clear(&command);

        if (gh_meter_next(&ngx_http_gatehouse_worker.limiter,
                          &ngx_http_gatehouse_worker.scripts,
                          ngx_http_gatehouse_now(),
                          &ngx_http_gatehouse_usage_cursor,
                          NGX_HTTP_GATEHOUSE_USAGE_BUDGET, flush, &command)
            != 1)
        {
            ngx_free(flush);

            if (whole && ngx_http_gatehouse_usage_cursor != GH_CURSOR_END) {
                continue;
            }

            break;
        }

        if (command.failed
            || ngx_http_gatehouse_redis_send(gh_buffer_slice(&command),
                                             ngx_http_gatehouse_usage_reply,
                                             flush)
               == NULL)
        {
            ngx_free(flush);
            break;
        }
    }

    gh_buffer_finish(&command);
}


void
ngx_http_gatehouse_limits_usage_tick(void)
{
    if (!ngx_http_gatehouse_redis_up()) {
        return;
    }

    if (gh_meter_claim(&ngx_http_gatehouse_worker.limiter,
                       ngx_http_gatehouse_mono(),
                       NGX_HTTP_GATEHOUSE_USAGE_INTERVAL))
    {
        ngx_http_gatehouse_usage_cursor = 0;
    }

    if (ngx_http_gatehouse_usage_cursor != GH_CURSOR_END) {
        ngx_http_gatehouse_limits_flush(NGX_HTTP_GATEHOUSE_USAGE_COMMANDS, 0);
    }
}


static enum gh_figure
ngx_http_gatehouse_figure(ngx_http_gatehouse_fault_t fault)
{
    switch (fault) {

    case NGX_HTTP_GATEHOUSE_PASS:
        return GH_FIG_ADMITTED;

    case NGX_HTTP_GATEHOUSE_QUOTA_EXCEEDED:
        return GH_FIG_QUOTA;

    case NGX_HTTP_GATEHOUSE_LIMITER_UNAVAILABLE:
    case NGX_HTTP_GATEHOUSE_SERVICE_UNAVAILABLE:
    case NGX_HTTP_GATEHOUSE_GATE_UNAVAILABLE:
        return GH_FIG_UNAVAILABLE;

    case NGX_HTTP_GATEHOUSE_COST_EXCEEDS_LIMIT:
        return GH_FIG_CLIENT;

    default:
        return GH_FIG_DENIED;
    }
}


void
ngx_http_gatehouse_limits_usage(ngx_http_gatehouse_ctx_t *ctx)
{
    size_t              i;
    uint32_t            n;
    uint64_t            now;
    struct gh_slice     app;
    uint64_t            mono;
    struct gh_limiter  *limiter;

    if (ctx->app.len == 0 || ctx->costs == NULL) {
        return;
    }

    limiter = &ngx_http_gatehouse_worker.limiter;
    app = ngx_http_gatehouse_str(&ctx->app);
    now = ngx_http_gatehouse_now();
    mono = ngx_http_gatehouse_mono();

    for (i = 0; i < ctx->api->api.nmetrics; i++) {

        n = ctx->costs[i];

        if (n == 0 || ctx->api->symbols[i] == 0) {
            continue;
        }

        (void) gh_meter_add(limiter, app, ctx->api->symbols[i], now, mono,
                            ngx_http_gatehouse_figure(ctx->fault), n);

        if (ctx->fault == NGX_HTTP_GATEHOUSE_PASS && ctx->over.len) {
            (void) gh_meter_add(limiter, app, ctx->api->symbols[i], now, mono,
                                GH_FIG_OVER, n);
        }

        if (ctx->fault == NGX_HTTP_GATEHOUSE_PASS && ctx->degraded) {
            (void) gh_meter_add(limiter, app, ctx->api->symbols[i], now, mono,
                                GH_FIG_DEGRADED, n);
        }
    }
}
