
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Bearer tokens.  A token that was verified before costs no cryptography: this
 * worker knows it by its very text, any worker by the digest of its decoded
 * parts (in the zone).  What can change is asked on every request: audience,
 * times, and the version of its provider's record.
 */


#include "ngx_http_gatehouse_identity.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_idp.h"
#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_zone.h"


#define NGX_HTTP_GATEHOUSE_TOKENS     1024      /* of one worker */
#define NGX_HTTP_GATEHOUSE_TOKEN_MAX  4096      /* bytes of one that is kept */


struct ngx_http_gatehouse_token_s {
    ngx_uint_t                      refs;
    ngx_str_t                       text;
    struct gh_identity              identity;
    struct gh_arena                 arena;
    u_char                          client[GH_DIGEST_SIZE];
    ngx_uint_t                      has_client; /* unsigned  :1; */
};


static ngx_http_gatehouse_token_t
    *ngx_http_gatehouse_tokens[NGX_HTTP_GATEHOUSE_TOKENS];


void
ngx_http_gatehouse_release_token(ngx_http_gatehouse_token_t *token)
{
    if (--token->refs == 0) {
        gh_arena_finish(&token->arena);
        ngx_free(token);
    }
}


u_char *
ngx_http_gatehouse_token_client(ngx_http_gatehouse_token_t *token)
{
    if (!token->has_client) {
        gh_credential_digest(&ngx_http_gatehouse_worker.conf->credential,
                             GH_CRED_CLIENT, token->identity.provider,
                             token->identity.client, token->client);
        token->has_client = 1;
    }

    return token->client;
}


/*
 * Where a token of this text is or would be.  Its last bytes are its
 * signature: as good as random, so no hash need run over all of it.
 */

static ngx_http_gatehouse_token_t **
ngx_http_gatehouse_token_place(ngx_str_t *text)
{
    uint64_t  a, b;

    a = 0;
    b = 0;

    if (text->len >= 2 * sizeof(uint64_t)) {
        ngx_memcpy(&a, text->data + text->len - sizeof(a), sizeof(a));
        ngx_memcpy(&b, text->data + text->len - 2 * sizeof(b), sizeof(b));
    }

    a = (a ^ (b << 7) ^ text->len) * 0x9e3779b97f4a7c15ull;

    return &ngx_http_gatehouse_tokens[(a >> 40) % NGX_HTTP_GATEHOUSE_TOKENS];
}


/* this worker's copy; the request holds it */

static void
ngx_http_gatehouse_token_keep(ngx_http_gatehouse_ctx_t *ctx,
    struct gh_slice record)
{
    struct gh_error               e;
    struct gh_alloc               alloc;
    struct gh_slice               text, copy;
    ngx_http_gatehouse_token_t   *token, **place;

    if (ctx->credential.len > NGX_HTTP_GATEHOUSE_TOKEN_MAX) {
        return;
    }

    token = ngx_calloc(sizeof(ngx_http_gatehouse_token_t),
                       ngx_http_gatehouse_worker.log);
    if (token == NULL) {
        return;
    }

    gh_arena_init(&token->arena);
    alloc = gh_arena_alloc(&token->arena);
    token->refs = 1;

    text = gh_get_copy(&alloc, ngx_http_gatehouse_str(&ctx->credential));
    copy = gh_get_copy(&alloc, record);

    if (text.data == NULL || copy.data == NULL
        || gh_identity_unpack(copy, &alloc, &token->identity, &e) != 0)
    {
        ngx_http_gatehouse_release_token(token);
        return;
    }

    ngx_http_gatehouse_slice(&token->text, text);

    place = ngx_http_gatehouse_token_place(&ctx->credential);

    if (*place) {
        ngx_http_gatehouse_release_token(*place);
    }

    *place = token;

    token->refs++;
    ctx->token = token;
    ctx->identity = &token->identity;
}


/* whether the API takes this identity: its provider, audience and times */

static enum gh_jwt_fault
ngx_http_gatehouse_token_accept(ngx_http_gatehouse_ctx_t *ctx,
    const struct gh_identity *id)
{
    size_t                      i;
    enum gh_jwt_fault           fault;
    const struct gh_api        *api;
    ngx_http_gatehouse_idp_t   *idp;

    api = &ctx->api->api;
    fault = GH_JWT_WRONG_ISSUER;

    for (i = 0; i < api->njwt; i++) {

        if (!gh_slice_eq(api->jwt[i].idp, id->provider)) {
            continue;
        }

        idp = ngx_http_gatehouse_catalog_idp(api->jwt[i].idp);

        if (idp == NULL) {
            continue;
        }

        fault = gh_jwt_accept(id, idp->idp.name, idp->idp.version,
                              api->jwt[i].audience, ngx_http_gatehouse_now());

        if (fault != GH_JWT_WRONG_AUDIENCE) {
            break;
        }
    }

    return fault;
}


static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_token_refuse(ngx_http_gatehouse_ctx_t *ctx,
    enum gh_jwt_fault fault)
{
    if (fault == GH_JWT_NO_MEMORY) {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    ctx->reason.data = (u_char *) gh_jwt_fault_name(fault);
    ctx->reason.len = ngx_strlen(ctx->reason.data);

    return NGX_HTTP_GATEHOUSE_CREDENTIAL_INVALID;
}


/* what any worker verified before */

static ngx_int_t
ngx_http_gatehouse_token_cached(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx, struct gh_jwt *jwt)
{
    uint64_t             stamp;
    struct gh_error      e;
    struct gh_alloc      alloc;
    struct gh_slice      record;
    struct gh_identity  *id;

    if (ngx_http_gatehouse_cache_get(jwt->digest, ngx_http_gatehouse_now(),
                                     r->pool, &record, &stamp)
        != NGX_OK)
    {
        return NGX_DECLINED;
    }

    alloc = ngx_http_gatehouse_alloc(r->pool);

    id = ngx_palloc(r->pool, sizeof(struct gh_identity));

    if (id == NULL || gh_identity_unpack(record, &alloc, id, &e) != 0) {
        return NGX_DECLINED;
    }

    if (ngx_http_gatehouse_token_accept(ctx, id) == GH_JWT_STALE) {
        return NGX_DECLINED;        /* its key may be gone: verify anew */
    }

    ctx->identity = id;
    ngx_http_gatehouse_token_keep(ctx, record);

    return NGX_OK;
}


static enum gh_jwt_fault
ngx_http_gatehouse_token_verify(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx, struct gh_jwt *jwt)
{
    size_t                      i;
    struct gh_alloc             alloc;
    struct gh_buffer            record;
    struct gh_identity         *id;
    const struct gh_api        *api;
    enum gh_jwt_fault           fault;
    ngx_http_gatehouse_idp_t   *idp;

    api = &ctx->api->api;
    alloc = ngx_http_gatehouse_alloc(r->pool);

    fault = gh_jwt_parse(jwt);

    if (fault != GH_JWT_OK) {
        return fault;
    }

    id = ngx_palloc(r->pool, sizeof(struct gh_identity));
    if (id == NULL) {
        gh_jwt_finish(jwt);
        return GH_JWT_NO_MEMORY;
    }

    fault = GH_JWT_WRONG_ISSUER;

    for (i = 0; i < api->njwt; i++) {

        idp = ngx_http_gatehouse_catalog_idp(api->jwt[i].idp);

        if (idp && gh_slice_eq(idp->idp.issuer, jwt->issuer)) {
            ctx->keys_of = api->jwt[i].idp;
            fault = gh_jwt_verify(idp->keys, jwt, ngx_http_gatehouse_now(),
                                  &alloc, id);
            break;
        }
    }

    gh_jwt_finish(jwt);

    if (fault != GH_JWT_OK) {
        return fault;
    }

    ctx->identity = id;

    record = GH_BUFFER_INIT;
    gh_identity_pack(id, &record);

    if (!record.failed) {
        ngx_http_gatehouse_cache_put(jwt->digest, gh_buffer_slice(&record), 0,
                                     id->expires_ms, ngx_http_gatehouse_now());
        ngx_http_gatehouse_token_keep(ctx, gh_buffer_slice(&record));
    }

    gh_buffer_finish(&record);

    return GH_JWT_OK;
}


ngx_http_gatehouse_fault_t
ngx_http_gatehouse_token_identity(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    struct gh_jwt                 jwt;
    struct gh_alloc               alloc;
    enum gh_jwt_fault             fault;
    ngx_http_gatehouse_token_t   *token;

    token = *ngx_http_gatehouse_token_place(&ctx->credential);

    if (token && token->text.len == ctx->credential.len
        && ngx_memcmp(token->text.data, ctx->credential.data, token->text.len)
           == 0)
    {
        fault = ngx_http_gatehouse_token_accept(ctx, &token->identity);

        if (fault == GH_JWT_OK) {
            ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_TOKEN_SEEN_COUNT);

            token->refs++;
            ctx->token = token;
            ctx->identity = &token->identity;

            return NGX_HTTP_GATEHOUSE_PASS;
        }

        if (fault != GH_JWT_STALE) {
            return ngx_http_gatehouse_token_refuse(ctx, fault);
        }
    }

    if (ctx->credential.len > GH_JWT_MAX) {
        return ngx_http_gatehouse_token_refuse(ctx, GH_JWT_TOO_BIG);
    }

    alloc = ngx_http_gatehouse_alloc(r->pool);

    fault = gh_jwt_decode(ngx_http_gatehouse_str(&ctx->credential), &alloc,
                          &jwt);

    if (fault != GH_JWT_OK) {
        return ngx_http_gatehouse_token_refuse(ctx, fault);
    }

    if (ngx_http_gatehouse_token_cached(r, ctx, &jwt) == NGX_OK) {
        ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_TOKEN_SEEN_COUNT);

    } else {
        ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_TOKEN_NEW_COUNT);

        fault = ngx_http_gatehouse_token_verify(r, ctx, &jwt);

        if (fault == GH_JWT_UNKNOWN_KEY && !ctx->refreshed) {
            ctx->refreshed = 1;

            if (ngx_http_gatehouse_idp_refresh(ctx, ctx->keys_of) == NGX_OK) {
                return NGX_HTTP_GATEHOUSE_WAIT;
            }
        }

        if (fault != GH_JWT_OK) {
            return ngx_http_gatehouse_token_refuse(ctx, fault);
        }
    }

    fault = ngx_http_gatehouse_token_accept(ctx, ctx->identity);

    return fault == GH_JWT_OK ? NGX_HTTP_GATEHOUSE_PASS
                              : ngx_http_gatehouse_token_refuse(ctx, fault);
}
