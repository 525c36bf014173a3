
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_limits.h"
#include "ngx_http_gatehouse_access.h"
#include "ngx_http_gatehouse_answer.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_redis.h"
#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_zone.h"


#define NGX_HTTP_GATEHOUSE_LONGEST_WAIT   150   /* ms, all waits together */
#define NGX_HTTP_GATEHOUSE_SWEEP_BUDGET   2048  /* slots of one look */
#define NGX_HTTP_GATEHOUSE_SWEEP_COMMANDS 64    /* of one turn */
#define NGX_HTTP_GATEHOUSE_USAGE_INTERVAL 1000
#define NGX_HTTP_GATEHOUSE_USAGE_BUDGET   4096
#define NGX_HTTP_GATEHOUSE_USAGE_COMMANDS 64    /* of one tick: 640 a second */
#define NGX_HTTP_GATEHOUSE_SWEEP_PAUSE    2     /* ms, when all must be told */
#define NGX_HTTP_GATEHOUSE_NUMBER_LEN     20


/* a lease under way */

typedef struct {
    struct gh_lease                 lease;
    enum gh_scope_kind              kind;
    size_t                          len;
    u_char                          name[GH_NAME_SIZE];
} ngx_http_gatehouse_flight_t;


/* of the rounds under way, carried from tick to tick */

static uint64_t  ngx_http_gatehouse_sweep_cursor = GH_CURSOR_END;
static uint64_t  ngx_http_gatehouse_usage_cursor = GH_CURSOR_END;

static ngx_event_t  ngx_http_gatehouse_sweep_event;


/* ---- leases ---- */


static void
ngx_http_gatehouse_lease_reply(void *data, redisReply *reply)
{
    ngx_http_gatehouse_flight_t  *flight = data;

    if (reply) {
        (void) gh_lease_apply(&ngx_http_gatehouse_worker.limiter,
                              &flight->lease, ngx_http_gatehouse_mono(),
                              reply);
    } else {
        gh_lease_fail(&ngx_http_gatehouse_worker.limiter, &flight->lease);
    }

    if (flight->len) {
        ngx_http_gatehouse_wake(flight->kind,
                                gh_slice(flight->name, flight->len));
    }

    ngx_free(flight);
}


/* the command that begin or sweep made goes out, or the flight ends at once */

static void
ngx_http_gatehouse_lease_send(ngx_http_gatehouse_flight_t *flight,
    struct gh_buffer *command)
{
    if (!command->failed
        && ngx_http_gatehouse_redis_send(gh_buffer_slice(command),
                                         ngx_http_gatehouse_lease_reply,
                                         flight))
    {
        return;
    }

    gh_lease_fail(&ngx_http_gatehouse_worker.limiter, &flight->lease);
    ngx_free(flight);
}


static void
ngx_http_gatehouse_lease(ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_uint_t                    i;
    struct gh_buffer              command;
    struct gh_spend_scope        *scope;
    ngx_http_gatehouse_flight_t  *flight;

    if (!ngx_http_gatehouse_redis_up()) {
        return;
    }

    command = GH_BUFFER_INIT;

    for (i = 0; i < ctx->spend.nscopes; i++) {
        scope = &ctx->spend.scopes[i];

        if (scope->lease == GH_LEASE_NONE || scope->name.len > GH_NAME_MAX) {
            continue;
        }

        flight = ngx_alloc(sizeof(ngx_http_gatehouse_flight_t),
                           ngx_http_gatehouse_worker.log);
        if (flight == NULL) {
            break;
        }

        gh_buffer_clear(&command);

        if (gh_lease_begin(&ngx_http_gatehouse_worker.limiter,
                           &ngx_http_gatehouse_worker.scripts, &ctx->spend, i,
                           ngx_http_gatehouse_mono(), &flight->lease, &command)
            != 1)
        {
            ngx_free(flight);
            continue;
        }

        flight->kind = scope->kind;
        flight->len = scope->name.len;
        ngx_memcpy(flight->name, scope->name.data, scope->name.len);

        ngx_http_gatehouse_lease_send(flight, &command);
    }

    gh_buffer_finish(&command);
}


/* a part of the round under way: some slots of the table, some commands */

static void
ngx_http_gatehouse_sweep(void)
{
    ngx_uint_t                    n;
    struct gh_buffer              command;
    ngx_http_gatehouse_flight_t  *flight;

    command = GH_BUFFER_INIT;

    for (n = 0; n < NGX_HTTP_GATEHOUSE_SWEEP_COMMANDS; n++) {

        flight = ngx_alloc(sizeof(ngx_http_gatehouse_flight_t),
                           ngx_http_gatehouse_worker.log);
        if (flight == NULL) {
            break;
        }

        flight->len = 0;        /* nobody waits for it */
        gh_buffer_clear(&command);

        if (gh_lease_sweep(&ngx_http_gatehouse_worker.limiter,
                           &ngx_http_gatehouse_worker.scripts,
                           ngx_http_gatehouse_mono(),
                           &ngx_http_gatehouse_sweep_cursor,
                           NGX_HTTP_GATEHOUSE_SWEEP_BUDGET, &flight->lease,
                           &command)
            != 1)
        {
            ngx_free(flight);
            break;
        }

        ngx_http_gatehouse_lease_send(flight, &command);
    }

    gh_buffer_finish(&command);
}


/* the same, from the start to the end as fast as other work allows */

static void
ngx_http_gatehouse_sweep_handler(ngx_event_t *ev)
{
    if (!ngx_http_gatehouse_redis_up()) {
        return;
    }

    ngx_http_gatehouse_sweep();

    if (ngx_http_gatehouse_sweep_cursor != GH_CURSOR_END && !ngx_exiting) {
        ngx_add_timer(ev, NGX_HTTP_GATEHOUSE_SWEEP_PAUSE);
    }
}


void
ngx_http_gatehouse_limits_sweep(void)
{
    ngx_event_t  *ev;

    ev = &ngx_http_gatehouse_sweep_event;

    ev->handler = ngx_http_gatehouse_sweep_handler;
    ev->log = ngx_http_gatehouse_worker.log;
    ev->data = ev;
    ev->cancelable = 1;

    ngx_http_gatehouse_sweep_cursor = 0;

    if (!ev->timer_set) {
        ngx_http_gatehouse_sweep_handler(ev);
    }
}


void
ngx_http_gatehouse_limits_recall(struct gh_slice payload)
{
    struct gh_buffer              command;
    ngx_http_gatehouse_flight_t  *flight;

    flight = ngx_alloc(sizeof(ngx_http_gatehouse_flight_t),
                       ngx_http_gatehouse_worker.log);
    if (flight == NULL) {
        return;
    }

    flight->len = 0;
    command = GH_BUFFER_INIT;

    if (gh_lease_give_back(&ngx_http_gatehouse_worker.limiter,
                           &ngx_http_gatehouse_worker.scripts, payload,
                           ngx_http_gatehouse_mono(), &flight->lease,
                           &command)
        == 1)
    {
        ngx_http_gatehouse_lease_send(flight, &command);

    } else {
        ngx_free(flight);
    }

    gh_buffer_finish(&command);
}


/* ---- usage ---- */


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
ngx_http_gatehouse_limits_tick(void)
{
    uint64_t  now;

    if (!ngx_http_gatehouse_redis_up()) {
        return;
    }

    now = ngx_http_gatehouse_mono();

    if (gh_sweep_claim(&ngx_http_gatehouse_worker.limiter, now)) {

        if (ngx_http_gatehouse_sweep_cursor == GH_CURSOR_END) {
            ngx_http_gatehouse_sweep_cursor = 0;
        }

        ngx_http_gatehouse_sweep();
    }

    if (gh_meter_claim(&ngx_http_gatehouse_worker.limiter, now,
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


/* ---- response headers ---- */


static ngx_http_gatehouse_limits_t *
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


/* whole seconds, never 0 while something is left */
#define ngx_http_gatehouse_seconds(ms)  (((ms) + 999) / 1000)


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

static ngx_int_t
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


/* ---- the step ---- */


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


static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_limits_wait(ngx_http_gatehouse_ctx_t *ctx)
{
    if (!ctx->waited) {
        ctx->waited = 1;
        ctx->wait_until = ngx_current_msec + NGX_HTTP_GATEHOUSE_LONGEST_WAIT;
        ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_WAITED_COUNT);
    }

    if (ngx_http_gatehouse_suspend(ctx, NGX_HTTP_GATEHOUSE_WAIT_LEASE)
        != NGX_OK)
    {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    ngx_http_gatehouse_lease(ctx);

    return NGX_HTTP_GATEHOUSE_WAIT;
}


static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_limits_admit(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_str_t  value;

    ctx->spent = 1;

    if (ctx->spend.due) {
        ngx_http_gatehouse_lease(ctx);
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
            ngx_http_gatehouse_lease(ctx);
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
