
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_identity.h"
#include "ngx_http_gatehouse_answer.h"
#include "ngx_http_gatehouse_caller.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_credential.h"
#include "ngx_http_gatehouse_session.h"
#include "ngx_http_gatehouse_worker.h"


ngx_http_gatehouse_fault_t
ngx_http_gatehouse_missing(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    if ((ctx->api->api.accept & GH_ACCEPT_SESSION)
        && ngx_http_gatehouse_is_browser(r))
    {
        return NGX_HTTP_GATEHOUSE_LOGIN;
    }

    return NGX_HTTP_GATEHOUSE_CREDENTIAL_MISSING;
}


static ngx_int_t
ngx_http_gatehouse_copy(ngx_http_request_t *r, ngx_str_t *dst,
    struct gh_slice src)
{
    dst->len = src.len;
    dst->data = ngx_pnalloc(r->pool, src.len ? src.len : 1);

    if (dst->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(dst->data, src.data, src.len);

    return NGX_OK;
}


static void
ngx_http_gatehouse_read_failed(ngx_http_request_t *r, struct gh_error *e)
{
    ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                  "gatehouse_catalog: %s", e->message);
}


/*
 * The record under a digest.  Unknown, wrong, expired and revoked are one and
 * the same to the client; the log and "explain" tell them apart.
 */

static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_credential_find(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx, enum gh_credential_kind kind)
{
    int                   rc;
    uint64_t              now;
    struct gh_error       e;
    struct gh_credential  c;

    switch (ngx_http_gatehouse_caller_get(r, ctx)) {

    case NGX_OK:
        return NGX_HTTP_GATEHOUSE_PASS;

    case NGX_ERROR:
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    rc = gh_catalog_credential(ngx_http_gatehouse_catalog(), ctx->digest, &c,
                               &e);

    if (rc < 0) {
        ngx_http_gatehouse_read_failed(r, &e);
        return NGX_HTTP_GATEHOUSE_GATE_UNAVAILABLE;
    }

    if (rc == 0 || c.kind != kind) {
        ngx_str_set(&ctx->reason, "unknown");
        return NGX_HTTP_GATEHOUSE_CREDENTIAL_INVALID;
    }

    if (ngx_http_gatehouse_copy(r, &ctx->credential_id, c.id) != NGX_OK
        || ngx_http_gatehouse_copy(r, &ctx->app, c.app) != NGX_OK)
    {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    if (c.revoked) {
        ngx_str_set(&ctx->reason, "revoked");
        return NGX_HTTP_GATEHOUSE_CREDENTIAL_INVALID;
    }

    if (c.not_before_ms || c.expires_ms) {
        now = ngx_http_gatehouse_now();

        if (now < c.not_before_ms) {
            ngx_str_set(&ctx->reason, "not yet valid");
            return NGX_HTTP_GATEHOUSE_CREDENTIAL_INVALID;
        }

        if (c.expires_ms && now >= c.expires_ms) {
            ngx_str_set(&ctx->reason, "expired");
            return NGX_HTTP_GATEHOUSE_CREDENTIAL_INVALID;
        }
    }

    ctx->expires_ms = c.expires_ms;

    return NGX_HTTP_GATEHOUSE_PASS;
}


static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_key_identity(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    struct gh_slice          owner;
    enum gh_credential_kind  kind;

    if (ctx->credential.len == 0
        || ctx->credential.len > NGX_HTTP_GATEHOUSE_KEY_MAX)
    {
        ngx_str_set(&ctx->reason, "empty or too long");
        return NGX_HTTP_GATEHOUSE_CREDENTIAL_INVALID;
    }

    kind = GH_CRED_KEY;
    owner = gh_slice(NULL, 0);

    if (ctx->source == NGX_HTTP_GATEHOUSE_ID_KEY) {
        kind = GH_CRED_ID_KEY;
        owner = ngx_http_gatehouse_str(&ctx->id);

        if (!gh_name_valid(owner)) {
            ngx_str_set(&ctx->reason, "no application id");
            return NGX_HTTP_GATEHOUSE_CREDENTIAL_INVALID;
        }
    }

    gh_credential_digest(&ngx_http_gatehouse_worker.conf->credential, kind,
                         owner, ngx_http_gatehouse_str(&ctx->credential),
                         ctx->digest);

    return ngx_http_gatehouse_credential_find(r, ctx, kind);
}


/* the application that an identity provider's client stands for */

static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_client(ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx)
{
    char                         *user;
    ssize_t                       n;
    size_t                        size;
    const struct gh_identity     *id;
    ngx_http_gatehouse_fault_t    fault;

    id = ctx->identity;

    if (id->user.len) {
        size = id->user.len * 3 + 1;

        user = ngx_pnalloc(r->pool, size);
        if (user == NULL) {
            return NGX_HTTP_GATEHOUSE_ERROR;
        }

        n = gh_identity_encode(id->user, user, size);

        if (n > 0) {
            ctx->user.data = (u_char *) user;
            ctx->user.len = n;
        }
    }

    if (ctx->token) {
        ngx_memcpy(ctx->digest, ngx_http_gatehouse_token_client(ctx->token),
                   GH_DIGEST_SIZE);

    } else {
        gh_credential_digest(&ngx_http_gatehouse_worker.conf->credential,
                             GH_CRED_CLIENT, id->provider, id->client,
                             ctx->digest);
    }

    fault = ngx_http_gatehouse_credential_find(r, ctx, GH_CRED_CLIENT);

    if (fault == NGX_HTTP_GATEHOUSE_CREDENTIAL_INVALID) {

        /* the caller is who he says, but his client is no application here */

        ngx_str_set(&ctx->reason, "client without an application");
        return NGX_HTTP_GATEHOUSE_NOT_IN_PLAN;
    }

    return fault;
}


ngx_http_gatehouse_fault_t
ngx_http_gatehouse_identity_step(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_http_gatehouse_fault_t  fault;

    if (ngx_http_gatehouse_catalog_begin() != NGX_OK) {
        return NGX_HTTP_GATEHOUSE_GATE_UNAVAILABLE;
    }

    switch (ctx->source) {

    case NGX_HTTP_GATEHOUSE_NONE:
        return ngx_http_gatehouse_missing(r, ctx);

    case NGX_HTTP_GATEHOUSE_ANONYMOUS:
        return ngx_http_gatehouse_copy(r, &ctx->app,
                                       ctx->api->api.anonymous_app)
               == NGX_OK ? NGX_HTTP_GATEHOUSE_PASS : NGX_HTTP_GATEHOUSE_ERROR;

    case NGX_HTTP_GATEHOUSE_BEARER:
        fault = ngx_http_gatehouse_token_identity(r, ctx);
        break;

    case NGX_HTTP_GATEHOUSE_SESSION:
        fault = ngx_http_gatehouse_session_identity(r, ctx);
        break;

    default:
        return ngx_http_gatehouse_key_identity(r, ctx);
    }

    if (fault != NGX_HTTP_GATEHOUSE_PASS) {
        return fault;
    }

    return ngx_http_gatehouse_client(r, ctx);
}


static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_account(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx, struct gh_slice name)
{
    int                rc;
    struct gh_error    e;
    struct gh_account  account;

    if (name.len == 0) {
        return NGX_HTTP_GATEHOUSE_PASS;
    }

    if (ngx_http_gatehouse_copy(r, &ctx->account, name) != NGX_OK) {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    rc = gh_catalog_account(ngx_http_gatehouse_catalog(), name, &account, &e);

    if (rc < 0) {
        ngx_http_gatehouse_read_failed(r, &e);
        return NGX_HTTP_GATEHOUSE_GATE_UNAVAILABLE;
    }

    if (rc == 0 || account.state != GH_LIVE) {
        ngx_str_set(&ctx->reason, "account is not live");
        return NGX_HTTP_GATEHOUSE_ACCOUNT_SUSPENDED;
    }

    if (account.plan.len == 0) {
        return NGX_HTTP_GATEHOUSE_PASS;
    }

    ctx->account_plan = ngx_http_gatehouse_catalog_plan(account.plan);

    if (ctx->account_plan == NULL) {
        ngx_str_set(&ctx->reason, "the account's plan is gone");
        return NGX_HTTP_GATEHOUSE_NOT_IN_PLAN;
    }

    return NGX_HTTP_GATEHOUSE_PASS;
}


/* application, account and their plans, as the catalog has them */

static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_application(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    int                          rc;
    struct gh_app                app;
    struct gh_error              e;
    ngx_http_gatehouse_fault_t   fault;

    rc = gh_catalog_app(ngx_http_gatehouse_catalog(),
                        ngx_http_gatehouse_str(&ctx->app), &app, &e);

    if (rc < 0) {
        ngx_http_gatehouse_read_failed(r, &e);
        return NGX_HTTP_GATEHOUSE_GATE_UNAVAILABLE;
    }

    if (rc == 0) {
        ngx_str_set(&ctx->reason, "its application is gone");
        return NGX_HTTP_GATEHOUSE_CREDENTIAL_INVALID;
    }

    if (app.state != GH_LIVE) {
        ngx_str_set(&ctx->reason, "application is not live");
        return NGX_HTTP_GATEHOUSE_APPLICATION_SUSPENDED;
    }

    fault = ngx_http_gatehouse_account(r, ctx, app.account);

    if (fault != NGX_HTTP_GATEHOUSE_PASS) {
        return fault;
    }

    ctx->plan = ngx_http_gatehouse_catalog_plan(app.plan);

    if (ctx->plan == NULL) {
        ngx_str_set(&ctx->reason, "the plan is gone");
        return NGX_HTTP_GATEHOUSE_NOT_IN_PLAN;
    }

    if (ctx->source != NGX_HTTP_GATEHOUSE_ANONYMOUS) {
        ngx_http_gatehouse_caller_put(ctx);
    }

    return NGX_HTTP_GATEHOUSE_PASS;
}


/* what the plans mean for this API: held as long as the request */

static ngx_int_t
ngx_http_gatehouse_bind(ngx_http_gatehouse_ctx_t *ctx)
{
    ctx->binding = ngx_http_gatehouse_catalog_bind(ctx->api, ctx->plan, 0);

    if (ctx->binding == NULL) {
        return NGX_ERROR;
    }

    ctx->binding->refs++;

    if (ctx->account_plan == NULL) {
        return NGX_OK;
    }

    ctx->account_binding = ngx_http_gatehouse_catalog_bind(ctx->api,
                                                        ctx->account_plan, 1);
    if (ctx->account_binding == NULL) {
        return NGX_ERROR;
    }

    ctx->account_binding->refs++;

    return NGX_OK;
}


ngx_http_gatehouse_fault_t
ngx_http_gatehouse_plan_step(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_http_gatehouse_fault_t  fault;

    if (!ctx->known) {
        fault = ngx_http_gatehouse_application(r, ctx);

        if (fault != NGX_HTTP_GATEHOUSE_PASS) {
            return fault;
        }
    }

    if (ngx_http_gatehouse_bind(ctx) != NGX_OK) {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    if (ctx->binding->entitlement == NULL) {
        ngx_str_set(&ctx->reason, "the plan is not for this API");
        return NGX_HTTP_GATEHOUSE_NOT_IN_PLAN;
    }

    if (!gh_match_allowed(ctx->binding->entitlement, ctx->method,
                          ngx_http_gatehouse_str(&ctx->path)))
    {
        ngx_str_set(&ctx->reason, "the plan is not for this operation");
        return NGX_HTTP_GATEHOUSE_NOT_IN_PLAN;
    }

    if (ctx->identity
        && !gh_identity_authorized(ctx->identity, ctx->api->api.roles,
                                   ctx->api->api.nroles))
    {
        ngx_str_set(&ctx->reason, "no role that the API asks for");
        return NGX_HTTP_GATEHOUSE_NOT_AUTHORIZED;
    }

    return NGX_HTTP_GATEHOUSE_PASS;
}
