
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * A session in the zone is: end (u64), idle time (u64), the identity's flat
 * form.  Its stamp says since when Redis is known to have had it: the time of
 * the question.  It is asked for again after 30 s (which also tells Redis that
 * it is in use), or when messages about revoked sessions may have been missed.
 * With Redis away a session in the zone goes on until its end; one that is not
 * there cannot be decided.
 *
 * A reply may be older than a message that was read before it, by this worker
 * or by another.  So messages are counted in the zone, and what was asked for
 * before one came is not kept.
 */


#include "ngx_http_gatehouse_session.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_identity.h"
#include "ngx_http_gatehouse_redis.h"
#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_zone.h"

#include "encode.h"
#include "lease.h"


#define NGX_HTTP_GATEHOUSE_SESSION_FRESH  30000     /* ms */
#define NGX_HTTP_GATEHOUSE_SESSION_WAIT   100       /* ms, at the longest */


/* sessions live among tokens: their digests are made not to meet */

static void
ngx_http_gatehouse_session_digest(const char *d, u_char *digest)
{
    ngx_memzero(digest, GH_DIGEST_SIZE);
    ngx_memcpy(digest + 16, "gatehouse-login.", 16);

    (void) gh_hex_decode(gh_slice(d, GH_SESSION_KEY_LEN), digest, 16);
}


static void
ngx_http_gatehouse_session_reply(void *data, redisReply *reply)
{
    u_char                    *p;
    ngx_http_gatehouse_ctx_t  *ctx = data;

    ctx->asked = NULL;
    ctx->stored = gh_slice(NULL, 0);

    if (reply && reply->type == REDIS_REPLY_NIL) {
        ctx->answered = 1;

    } else if (reply && reply->type == REDIS_REPLY_STRING
               && reply->len <= GH_SESSION_RECORD_MAX)
    {
        p = ngx_pnalloc(ctx->request->pool, reply->len ? reply->len : 1);

        if (p) {
            ngx_memcpy(p, reply->str, reply->len);
            ctx->stored = gh_slice(p, reply->len);
            ctx->answered = 1;

        } else {
            ctx->lost = 1;
        }

    } else {
        ctx->lost = 1;
    }

    if (ctx->waiting) {
        ngx_http_gatehouse_resume(ctx);
    }
}


static ngx_int_t
ngx_http_gatehouse_session_ask(ngx_http_gatehouse_ctx_t *ctx, const char *d)
{
    char              key[64];
    struct gh_slice   argv[2];
    struct gh_buffer  command;

    (void) snprintf(key, sizeof(key), GH_SESSION_REDIS_KEY, d);

    argv[0] = gh_slice_str("GET");
    argv[1] = gh_slice_str(key);

    command = GH_BUFFER_INIT;
    gh_resp_command(&command, argv, 2);

    if (!command.failed) {
        ctx->asked = ngx_http_gatehouse_redis_send(gh_buffer_slice(&command),
                                            ngx_http_gatehouse_session_reply,
                                            ctx);
    }

    gh_buffer_finish(&command);

    ctx->asked_ms = ngx_http_gatehouse_now();
    ctx->revoked = ngx_http_gatehouse_worker.zone->revoked;

    return ctx->asked ? NGX_OK : NGX_DECLINED;
}


/* its idle time begins anew; the reply matters to nobody */

static void
ngx_http_gatehouse_session_touch(const char *d, uint64_t ttl)
{
    char              key[64], ms[24];
    struct gh_slice   argv[3];
    struct gh_buffer  command;

    (void) snprintf(key, sizeof(key), GH_SESSION_REDIS_KEY, d);
    (void) snprintf(ms, sizeof(ms), "%llu", (unsigned long long) ttl);

    argv[0] = gh_slice_str("PEXPIRE");
    argv[1] = gh_slice_str(key);
    argv[2] = gh_slice_str(ms);

    command = GH_BUFFER_INIT;
    gh_resp_command(&command, argv, 3);

    if (!command.failed) {
        (void) ngx_http_gatehouse_redis_send(gh_buffer_slice(&command), NULL,
                                             NULL);
    }

    gh_buffer_finish(&command);
}


static void
ngx_http_gatehouse_session_put(ngx_http_gatehouse_ctx_t *ctx,
    const u_char *digest, struct gh_session *s)
{
    struct gh_buffer  record;

    if (ctx->revoked != ngx_http_gatehouse_worker.zone->revoked) {
        return;
    }

    record = GH_BUFFER_INIT;

    gh_write_u64(&record, s->end_ms);
    gh_write_u64(&record, s->idle_ms);
    gh_identity_pack(&s->identity, &record);

    if (!record.failed) {
        ngx_http_gatehouse_cache_put(digest, gh_buffer_slice(&record),
                                     ctx->asked_ms, s->end_ms,
                                     ngx_http_gatehouse_now());

        /* a worker counts, then drops: either it found ours, or we see it */

        if (ctx->revoked
            != ngx_atomic_fetch_add(&ngx_http_gatehouse_worker.zone->revoked,
                                    0))
        {
            ngx_http_gatehouse_cache_drop(digest);
        }
    }

    gh_buffer_finish(&record);
}


/* what the zone has: NGX_OK fresh, NGX_AGAIN to be asked again, or NGX_DECLINED */

static ngx_int_t
ngx_http_gatehouse_session_cached(ngx_http_request_t *r, const u_char *digest,
    struct gh_identity **out)
{
    uint64_t             now, stamp;
    struct gh_error      e;
    struct gh_alloc      alloc;
    struct gh_slice      record;
    struct gh_identity  *id;

    now = ngx_http_gatehouse_now();

    if (ngx_http_gatehouse_cache_get(digest, now, r->pool, &record, &stamp)
        != NGX_OK
        || record.len < 16)
    {
        return NGX_DECLINED;
    }

    alloc = ngx_http_gatehouse_alloc(r->pool);
    id = ngx_palloc(r->pool, sizeof(struct gh_identity));

    if (id == NULL
        || gh_identity_unpack(gh_slice(record.data + 16, record.len - 16),
                              &alloc, id, &e)
           != 0)
    {
        return NGX_DECLINED;
    }

    *out = id;

    return (now - stamp < NGX_HTTP_GATEHOUSE_SESSION_FRESH
            && ngx_http_gatehouse_redis_listening()
            && stamp >= ngx_http_gatehouse_redis_listening())
           ? NGX_OK : NGX_AGAIN;
}


/* what Redis has: opens it, keeps it */

static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_session_stored(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx, const char *d, const u_char *digest)
{
    uint64_t            ttl;
    struct gh_error     e;
    struct gh_alloc     alloc;
    struct gh_session  *s;

    alloc = ngx_http_gatehouse_alloc(r->pool);

    s = ngx_palloc(r->pool, sizeof(struct gh_session));
    if (s == NULL) {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    if (ctx->stored.len == 0) {
        ngx_str_set(&ctx->reason, "no such session");
        goto none;
    }

    if (gh_session_open(&ngx_http_gatehouse_worker.conf->session, d,
                        ctx->stored, &alloc, s, &e)
        != 0)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "gatehouse: session: %s", e.message);
        ngx_str_set(&ctx->reason, "the session does not open");
        goto none;
    }

    ttl = gh_session_ttl(s, ngx_http_gatehouse_now());

    if (ttl == 0) {
        ngx_str_set(&ctx->reason, "the session is over");
        goto none;
    }

    ngx_http_gatehouse_session_touch(d, ttl);
    ngx_http_gatehouse_session_put(ctx, digest, s);

    ctx->identity = &s->identity;

    return NGX_HTTP_GATEHOUSE_PASS;

none:

    ngx_http_gatehouse_cache_drop(digest);

    return ngx_http_gatehouse_missing(r, ctx);
}


/* only the provider that the API logs in by vouches for a session */

static ngx_http_gatehouse_fault_t
ngx_http_gatehouse_session_accept(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    if (gh_slice_eq(ctx->identity->provider, ctx->api->api.login)) {
        return NGX_HTTP_GATEHOUSE_PASS;
    }

    ngx_str_set(&ctx->reason, "a session of another provider");
    ctx->identity = NULL;

    return ngx_http_gatehouse_missing(r, ctx);
}


ngx_http_gatehouse_fault_t
ngx_http_gatehouse_session_identity(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    char                         d[GH_SESSION_KEY_LEN + 1];
    u_char                       digest[GH_DIGEST_SIZE];
    ngx_int_t                    rc;
    struct gh_identity          *id;
    ngx_http_gatehouse_fault_t   fault;

    if (gh_session_key(&ngx_http_gatehouse_worker.conf->session,
                       ngx_http_gatehouse_str(&ctx->credential), d)
        != 0)
    {
        ngx_str_set(&ctx->reason, "no session cookie of ours");
        return ngx_http_gatehouse_missing(r, ctx);
    }

    ngx_http_gatehouse_session_digest(d, digest);

    if (ctx->answered) {
        fault = ngx_http_gatehouse_session_stored(r, ctx, d, digest);

        return fault == NGX_HTTP_GATEHOUSE_PASS
               ? ngx_http_gatehouse_session_accept(r, ctx) : fault;
    }

    rc = ngx_http_gatehouse_session_cached(r, digest, &id);

    if (rc == NGX_OK || (rc == NGX_AGAIN && ctx->lost)) {
        ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_SESSION_SEEN_COUNT);
        ctx->identity = id;

        return ngx_http_gatehouse_session_accept(r, ctx);
    }

    if (ctx->asked) {

        /* resumed by the poll's deadline: no reply came */

        ngx_http_gatehouse_redis_forget(ctx->asked);
        ctx->asked = NULL;
        ctx->lost = 1;

    } else if (!ctx->lost) {
        ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_SESSION_NEW_COUNT);

        if (ngx_http_gatehouse_session_ask(ctx, d) == NGX_OK) {
            ctx->wait_until = ngx_current_msec
                              + NGX_HTTP_GATEHOUSE_SESSION_WAIT;

            return ngx_http_gatehouse_suspend(ctx,
                                              NGX_HTTP_GATEHOUSE_WAIT_SESSION)
                   == NGX_OK
                   ? NGX_HTTP_GATEHOUSE_WAIT : NGX_HTTP_GATEHOUSE_ERROR;
        }
    }

    if (rc == NGX_AGAIN) {
        ctx->identity = id;
        return ngx_http_gatehouse_session_accept(r, ctx);
    }

    ngx_str_set(&ctx->reason, "Redis is away");
    ctx->retry_ms = 1000;

    return NGX_HTTP_GATEHOUSE_SESSION_UNAVAILABLE;
}


void
ngx_http_gatehouse_session_revoked(struct gh_slice d)
{
    u_char  digest[GH_DIGEST_SIZE];

    if (d.len != GH_SESSION_KEY_LEN) {
        return;
    }

    (void) ngx_atomic_fetch_add(&ngx_http_gatehouse_worker.zone->revoked, 1);

    ngx_http_gatehouse_session_digest((const char *) d.data, digest);
    ngx_http_gatehouse_cache_drop(digest);
}
