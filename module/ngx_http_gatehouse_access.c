
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * One request, step by step.  Each step is small and has its own place; one
 * that may wait is called again when what it waits for has come.
 */


#include "ngx_http_gatehouse_access.h"
#include "ngx_http_gatehouse_answer.h"
#include "ngx_http_gatehouse_balancer.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_credential.h"
#include "ngx_http_gatehouse_decision.h"
#include "ngx_http_gatehouse_headers.h"
#include "ngx_http_gatehouse_identity.h"
#include "ngx_http_gatehouse_limits.h"
#include "ngx_http_gatehouse_path.h"
#include "ngx_http_gatehouse_redis.h"
#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_zone.h"


#define NGX_HTTP_GATEHOUSE_POLL         1   /* ms */
#define NGX_HTTP_GATEHOUSE_POLL_SCOPES  256


typedef struct {
    const char                     *name;
    ngx_http_gatehouse_fault_t    (*run)(ngx_http_request_t *r,
                                         ngx_http_gatehouse_ctx_t *ctx);
} ngx_http_gatehouse_step_t;


static ngx_http_gatehouse_fault_t ngx_http_gatehouse_api_step(
    ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx);


static ngx_http_gatehouse_step_t  ngx_http_gatehouse_steps[] = {

    { "path", ngx_http_gatehouse_path_step },

    { "api", ngx_http_gatehouse_api_step },

    { "credentials", ngx_http_gatehouse_credential_step },

    /* may wait: for a session in Redis, for a key at gatehouse-idp */
    { "identity", ngx_http_gatehouse_identity_step },

    { "plan", ngx_http_gatehouse_plan_step },

    /* may wait: for a lease, when a slice is empty */
    { "limits", ngx_http_gatehouse_limits_step },

    { "endpoint", ngx_http_gatehouse_endpoint_step },

    { "forward", ngx_http_gatehouse_forward_step },

    { NULL, NULL }
};


static ngx_queue_t  ngx_http_gatehouse_waiting;
static ngx_event_t  ngx_http_gatehouse_poll;
static ngx_uint_t   ngx_http_gatehouse_suspended;   /* how often */


ngx_int_t
ngx_http_gatehouse_access_handler(ngx_http_request_t *r)
{
    ngx_http_gatehouse_ctx_t       *ctx;
    ngx_http_gatehouse_fault_t      fault;
    ngx_http_gatehouse_step_t      *step;
    ngx_http_gatehouse_loc_conf_t  *glcf;

    glcf = ngx_http_get_module_loc_conf(r, ngx_http_gatehouse_module);

    if (!glcf->enable) {
        return NGX_DECLINED;
    }

    ctx = ngx_http_gatehouse_get_ctx(r);

    if (ctx == NULL || ctx->decided) {

        /* decided, and sent here by nginx itself: an error page, an index */

        if (ctx && r->internal && ctx->allowed
            && (glcf->api.len == 0 || glcf->api.data == ctx->conf->api.data))
        {
            return NGX_OK;
        }

        /* what an API's backend is told of the caller is not another's */

        if (ctx && ctx->allowed && ngx_http_gatehouse_strip(r) != NGX_OK) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ctx = ngx_http_gatehouse_create_ctx(r);
        if (ctx == NULL) {
            return NGX_HTTP_INTERNAL_SERVER_ERROR;
        }

        ctx->conf = glcf;
    }

    if (ctx->waiting) {
        return NGX_AGAIN;
    }

    for ( ;; ) {
        step = &ngx_http_gatehouse_steps[ctx->step];

        if (step->run == NULL) {
            ctx->decided = 1;
            ctx->allowed = 1;
            return NGX_OK;
        }

        fault = step->run(r, ctx);

        if (fault != NGX_HTTP_GATEHOUSE_PASS) {
            break;
        }

        ctx->step++;
    }

    ngx_log_debug2(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "gatehouse: step \"%s\" says %d", step->name, fault);

    if (fault == NGX_HTTP_GATEHOUSE_WAIT) {
        return NGX_AGAIN;
    }

    ctx->decided = 1;
    ctx->fault = fault;

    return ngx_http_gatehouse_refuse(r, ctx);
}


/*
 * The API of host and path, the path below its prefix, what the call costs.
 */

static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_api_step(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    size_t                     n;
    struct gh_slice            prefix;
    ngx_http_gatehouse_api_t  *api;

    if (ngx_http_gatehouse_catalog_begin() != NGX_OK) {
        return NGX_HTTP_GATEHOUSE_GATE_UNAVAILABLE;
    }

    api = ctx->conf->api.len
          ? ngx_http_gatehouse_catalog_api(
                                     ngx_http_gatehouse_str(&ctx->conf->api))
          : ngx_http_gatehouse_catalog_route(&r->headers_in.server, &r->uri);

    if (api == NULL) {
        return NGX_HTTP_GATEHOUSE_NO_API;
    }

    ngx_http_gatehouse_hold(api);
    ctx->api = api;
    ctx->path = r->uri;

    prefix = api->api.prefix;

    if (prefix.len > 1
        && gh_slice_starts(ngx_http_gatehouse_str(&r->uri), prefix)
        && (r->uri.len == prefix.len || r->uri.data[prefix.len] == '/'))
    {
        ctx->prefix = prefix.len;
        ctx->path.data += prefix.len;
        ctx->path.len -= prefix.len;

        if (ctx->path.len == 0) {
            ngx_str_set(&ctx->path, "/");
        }
    }

    switch (r->method) {
    case NGX_HTTP_GET:
        ctx->method = GH_GET;
        break;
    case NGX_HTTP_HEAD:
        ctx->method = GH_HEAD;
        break;
    case NGX_HTTP_POST:
        ctx->method = GH_POST;
        break;
    default:
        ctx->method = gh_match_method(ngx_http_gatehouse_str(&r->method_name));
    }

    ctx->costs = ngx_palloc(r->pool, GH_METRICS_MAX * sizeof(uint32_t));
    if (ctx->costs == NULL) {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    n = gh_match_costs(api->matcher, ctx->method,
                       ngx_http_gatehouse_str(&ctx->path), ctx->costs);

    if (n == 0 && api->api.rules_only) {
        return NGX_HTTP_GATEHOUSE_NO_RULE;
    }

    return NGX_HTTP_GATEHOUSE_PASS;
}


/* ---- a request's context ---- */


static void
ngx_http_gatehouse_cleanup(void *data)
{
    ngx_http_gatehouse_ctx_t *ctx = data;

    if (ctx->waiting) {
        ngx_queue_remove(&ctx->queue);
        ctx->waiting = 0;
    }

    if (ctx->asked) {
        ngx_http_gatehouse_redis_forget(ctx->asked);
    }

    if (ctx->token) {
        ngx_http_gatehouse_release_token(ctx->token);
    }

    if (ctx->binding) {
        ngx_http_gatehouse_release_binding(ctx->binding);
    }

    if (ctx->account_binding) {
        ngx_http_gatehouse_release_binding(ctx->account_binding);
    }

    if (ctx->service) {
        ngx_http_gatehouse_release(ctx->service);
    }

    if (ctx->api) {
        ngx_http_gatehouse_release(ctx->api);
    }
}


ngx_http_gatehouse_ctx_t *
ngx_http_gatehouse_create_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_gatehouse_ctx_t  *ctx;

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_gatehouse_ctx_t));
    if (cln == NULL) {
        return NULL;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_gatehouse_ctx_t));

    cln->handler = ngx_http_gatehouse_cleanup;

    ctx->request = r;
    ctx->target = r->unparsed_uri;
    ngx_http_gatehouse_decision_id(ctx->decision);

    ngx_http_set_ctx(r, ctx, ngx_http_gatehouse_module);

    return ctx;
}


ngx_http_gatehouse_ctx_t *
ngx_http_gatehouse_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t        *cln;
    ngx_http_gatehouse_ctx_t  *ctx;

    ctx = ngx_http_get_module_ctx(r, ngx_http_gatehouse_module);

    if (ctx == NULL && (r->internal || r->filter_finalize)) {

        /* nginx cleared the contexts: the pool still has it */

        for (cln = r->pool->cleanup; cln; cln = cln->next) {
            if (cln->handler == ngx_http_gatehouse_cleanup) {
                ctx = cln->data;
                break;
            }
        }
    }

    return ctx;
}


/* ---- waiting ---- */


ngx_int_t
ngx_http_gatehouse_suspend(ngx_http_gatehouse_ctx_t *ctx,
    ngx_http_gatehouse_wait_t what)
{
    ngx_http_request_t  *r;

    r = ctx->request;

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_request_empty_handler;

    ngx_queue_insert_tail(&ngx_http_gatehouse_waiting, &ctx->queue);
    ctx->waiting = what;
    ngx_http_gatehouse_suspended++;

    if (!ngx_http_gatehouse_poll.timer_set) {
        ngx_add_timer(&ngx_http_gatehouse_poll, NGX_HTTP_GATEHOUSE_POLL);
    }

    return NGX_OK;
}


void
ngx_http_gatehouse_resume(ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_connection_t    *c;
    ngx_http_request_t  *r;

    ngx_queue_remove(&ctx->queue);
    ctx->waiting = 0;

    r = ctx->request;
    c = r->connection;

    ngx_http_set_log_request(c->log, r);

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
    ngx_http_run_posted_requests(c);
}


/*
 * Requests go on one by one from a list of their own: each may end others, or
 * wait again.
 */

static void
ngx_http_gatehouse_resume_if(ngx_uint_t (*want)(ngx_http_gatehouse_ctx_t *ctx,
    void *data), void *data)
{
    ngx_queue_t               *q, ready;
    ngx_http_gatehouse_ctx_t  *ctx;

    ngx_queue_init(&ready);

    for (q = ngx_queue_head(&ngx_http_gatehouse_waiting);
         q != ngx_queue_sentinel(&ngx_http_gatehouse_waiting);
         /* void */ )
    {
        ctx = ngx_queue_data(q, ngx_http_gatehouse_ctx_t, queue);
        q = ngx_queue_next(q);

        if (want(ctx, data)) {
            ngx_queue_remove(&ctx->queue);
            ngx_queue_insert_tail(&ready, &ctx->queue);
        }
    }

    while (!ngx_queue_empty(&ready)) {
        q = ngx_queue_head(&ready);
        ngx_http_gatehouse_resume(ngx_queue_data(q, ngx_http_gatehouse_ctx_t,
                                                 queue));
    }
}


/*
 * A lease that another worker asked for comes without a word: who waits tries
 * again each millisecond.  Of all who wait for the same one tries; when it has
 * to wait again, the others would, too.
 */

static void
ngx_http_gatehouse_poll_handler(ngx_event_t *ev)
{
    uint32_t                   hash, lacking[NGX_HTTP_GATEHOUSE_POLL_SCOPES];
    ngx_uint_t                 n, late, before;
    ngx_queue_t               *q;
    ngx_http_gatehouse_ctx_t  *ctx;

    ngx_memzero(lacking, sizeof(lacking));
    n = 0;

    for (q = ngx_queue_head(&ngx_http_gatehouse_waiting);
         q != ngx_queue_sentinel(&ngx_http_gatehouse_waiting);
         q = ngx_queue_next(q))
    {
        n++;
    }

    /* each goes to the end of the list; any of them may vanish meanwhile */

    while (n-- && !ngx_queue_empty(&ngx_http_gatehouse_waiting)) {
        q = ngx_queue_head(&ngx_http_gatehouse_waiting);
        ctx = ngx_queue_data(q, ngx_http_gatehouse_ctx_t, queue);

        ngx_queue_remove(q);
        ngx_queue_insert_tail(&ngx_http_gatehouse_waiting, q);

        late = (ngx_msec_int_t) (ctx->wait_until - ngx_current_msec) <= 0;
        hash = ctx->wait_hash;

        if (!late
            && (ctx->waiting != NGX_HTTP_GATEHOUSE_WAIT_LEASE
                || lacking[hash % NGX_HTTP_GATEHOUSE_POLL_SCOPES] == hash))
        {
            continue;
        }

        before = ngx_http_gatehouse_suspended;

        ngx_http_gatehouse_resume(ctx);

        if (ngx_http_gatehouse_suspended != before) {
            lacking[hash % NGX_HTTP_GATEHOUSE_POLL_SCOPES] = hash;
        }
    }

    if (!ngx_queue_empty(&ngx_http_gatehouse_waiting) && !ev->timer_set) {
        ngx_add_timer(ev, NGX_HTTP_GATEHOUSE_POLL);
    }
}


typedef struct {
    enum gh_scope_kind              kind;
    struct gh_slice                 name;
} ngx_http_gatehouse_scope_t;


static ngx_uint_t
ngx_http_gatehouse_want_scope(ngx_http_gatehouse_ctx_t *ctx, void *data)
{
    ngx_http_gatehouse_scope_t  *scope = data;

    ngx_uint_t  i;

    if (ctx->waiting != NGX_HTTP_GATEHOUSE_WAIT_LEASE) {
        return 0;
    }

    for (i = 0; i < ctx->spend.nscopes; i++) {
        if (ctx->spend.scopes[i].kind == scope->kind
            && gh_slice_eq(ctx->spend.scopes[i].name, scope->name))
        {
            return 1;
        }
    }

    return 0;
}


void
ngx_http_gatehouse_wake(enum gh_scope_kind kind, struct gh_slice name)
{
    ngx_http_gatehouse_scope_t  scope;

    if (ngx_queue_empty(&ngx_http_gatehouse_waiting)) {
        return;
    }

    scope.kind = kind;
    scope.name = name;

    ngx_http_gatehouse_resume_if(ngx_http_gatehouse_want_scope, &scope);
}


static ngx_uint_t
ngx_http_gatehouse_want_keys(ngx_http_gatehouse_ctx_t *ctx, void *data)
{
    struct gh_slice  *idp = data;

    return ctx->waiting == NGX_HTTP_GATEHOUSE_WAIT_KEYS
           && gh_slice_eq(ctx->keys_of, *idp);
}


void
ngx_http_gatehouse_wake_keys(struct gh_slice idp)
{
    ngx_http_gatehouse_resume_if(ngx_http_gatehouse_want_keys, &idp);
}


void
ngx_http_gatehouse_access_init(ngx_cycle_t *cycle)
{
    ngx_queue_init(&ngx_http_gatehouse_waiting);

    /* not cancelable: a worker that shuts down lets its requests finish */

    ngx_http_gatehouse_poll.handler = ngx_http_gatehouse_poll_handler;
    ngx_http_gatehouse_poll.log = cycle->log;
    ngx_http_gatehouse_poll.data = &ngx_http_gatehouse_poll;
}


/* ---- the other phases ---- */


ngx_int_t
ngx_http_gatehouse_subrequest_handler(ngx_http_request_t *r)
{
    ngx_http_gatehouse_ctx_t       *ctx;
    ngx_http_gatehouse_loc_conf_t  *glcf;

    if (r == r->main) {
        return NGX_DECLINED;
    }

    glcf = ngx_http_get_module_loc_conf(r, ngx_http_gatehouse_module);

    if (!glcf->enable) {
        return NGX_DECLINED;
    }

    /* a part of what was decided, as "slice" makes them, is no way around */

    ctx = ngx_http_gatehouse_get_ctx(r->main);

    if (ctx && ctx->allowed && ctx->conf == glcf
        && r->uri.len == r->main->uri.len
        && ngx_memcmp(r->uri.data, r->main->uri.data, r->uri.len) == 0)
    {
        return NGX_DECLINED;
    }

    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "gatehouse: a subrequest into a gated location is refused");

    ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_SUBREQUESTS_COUNT);

    return NGX_HTTP_FORBIDDEN;
}


ngx_int_t
ngx_http_gatehouse_log_handler(ngx_http_request_t *r)
{
    ngx_http_gatehouse_ctx_t  *ctx;

    if (r != r->main) {
        return NGX_OK;          /* "log_subrequest": one call all the same */
    }

    ctx = ngx_http_gatehouse_get_ctx(r);

    if (ctx == NULL || !ctx->decided) {
        return NGX_OK;          /* the client went away before */
    }

    ngx_http_gatehouse_count_fault(ctx->fault);
    ngx_http_gatehouse_limits_usage(ctx);

    return NGX_OK;
}
