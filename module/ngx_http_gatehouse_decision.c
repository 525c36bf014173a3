
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_decision.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_limits.h"
#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_zone.h"


static u_char  ngx_http_gatehouse_base32[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

static struct {
    u_char                          prefix[NGX_HTTP_GATEHOUSE_DECISION_LEN];
    uint64_t                        now;        /* of the prefix */
    uint32_t                        counter;
} ngx_http_gatehouse_ids;


static void
ngx_http_gatehouse_digits(u_char *p, ngx_uint_t n, uint64_t value)
{
    while (n--) {
        p[n] = ngx_http_gatehouse_base32[value & 31];
        value >>= 5;
    }
}


/* 10 digits of time, 6 of the node, 4 of the process, 6 of the counter */

void
ngx_http_gatehouse_decision_init(void)
{
    uint64_t  node;

    node = gh_limiter_node(&ngx_http_gatehouse_worker.limiter);

    ngx_http_gatehouse_digits(ngx_http_gatehouse_ids.prefix + 10, 6, node);
    ngx_http_gatehouse_digits(ngx_http_gatehouse_ids.prefix + 16, 4, ngx_pid);

    ngx_http_gatehouse_ids.now = 0;
}


void
ngx_http_gatehouse_decision_id(u_char *id)
{
    uint64_t  now;

    now = ngx_http_gatehouse_now();

    if (now != ngx_http_gatehouse_ids.now) {
        ngx_http_gatehouse_ids.now = now;
        ngx_http_gatehouse_digits(ngx_http_gatehouse_ids.prefix, 10, now);
    }

    ngx_memcpy(id, ngx_http_gatehouse_ids.prefix, 20);
    ngx_http_gatehouse_digits(id + 20, 6, ngx_http_gatehouse_ids.counter++);
}


static ngx_http_gatehouse_decision_t *
ngx_http_gatehouse_decision_at(ngx_uint_t n)
{
    ngx_http_gatehouse_zone_t  *zone;

    zone = ngx_http_gatehouse_worker.zone;

    return (ngx_http_gatehouse_decision_t *) ((u_char *) zone
                                              + zone->decisions)
           + n % zone->ndecisions;
}


static void
ngx_http_gatehouse_text(char *dst, size_t size, ngx_str_t *src)
{
    size_t  len;

    len = ngx_min(src->len, size - 1);

    if (len) {
        ngx_memcpy(dst, src->data, len);
    }

    dst[len] = '\0';
}


static void
ngx_http_gatehouse_decision_limits(ngx_http_gatehouse_ctx_t *ctx,
    ngx_http_gatehouse_decision_t *d)
{
    uint32_t                              i, n;
    ngx_str_t                            *name;
    struct gh_charge                     *charge;
    ngx_http_gatehouse_decision_limit_t  *limit;

    /* not counted in place: another writer may count there, too */

    n = 0;

    for (i = 0;
         i < ctx->spend.n && n < NGX_HTTP_GATEHOUSE_DECISION_LIMITS;
         i++)
    {
        charge = &ctx->spend.charges[i];
        name = ngx_http_gatehouse_charge_name(ctx, charge);

        if (i != ctx->spend.which && charge->reset_ms == 0) {
            continue;       /* not asked any more */
        }

        limit = &d->limits[n++];

        ngx_http_gatehouse_text(limit->name, sizeof(limit->name), name);
        limit->value = charge->limit->value;
        limit->remaining = charge->remaining;
        limit->reset = charge->reset_ms;
        limit->cost = charge->cost;
        limit->refused = (i == ctx->spend.which);
    }

    d->nlimits = n;
}


void
ngx_http_gatehouse_decision_keep(ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_str_t                       path;
    ngx_atomic_uint_t               seq;
    ngx_http_request_t             *r;
    ngx_http_gatehouse_decision_t  *d;

    r = ctx->request;

    d = ngx_http_gatehouse_decision_at(
            ngx_atomic_fetch_add(&ngx_http_gatehouse_worker.zone->refused, 1));

    /* the ring's number makes it ours; a reader sees by seq what is half done */

    seq = d->seq | 1;
    d->seq = seq;
    ngx_memory_barrier();

    d->when = ngx_http_gatehouse_now();
    d->fault = ctx->fault;
    d->source = ctx->source;
    d->nlimits = 0;
    ngx_memcpy(d->id, ctx->decision, NGX_HTTP_GATEHOUSE_DECISION_LEN);

    path = r->uri;

    ngx_http_gatehouse_text(d->method, sizeof(d->method), &r->method_name);
    ngx_http_gatehouse_text(d->path, sizeof(d->path), &path);
    ngx_http_gatehouse_text(d->reason, sizeof(d->reason), &ctx->reason);
    ngx_http_gatehouse_text(d->client, sizeof(d->client),
                            &r->connection->addr_text);
    ngx_http_gatehouse_text(d->app, sizeof(d->app), &ctx->app);
    ngx_http_gatehouse_text(d->account, sizeof(d->account), &ctx->account);
    ngx_http_gatehouse_text(d->user, sizeof(d->user), &ctx->user);
    ngx_http_gatehouse_text(d->credential, sizeof(d->credential),
                            &ctx->credential_id);

    d->api[0] = '\0';
    d->plan[0] = '\0';

    if (ctx->api) {
        ngx_http_gatehouse_text(d->api, sizeof(d->api), &ctx->api->kept.name);
    }

    if (ctx->plan) {
        ngx_http_gatehouse_text(d->plan, sizeof(d->plan),
                                &ctx->plan->kept.name);
    }

    if (ctx->fault == NGX_HTTP_GATEHOUSE_QUOTA_EXCEEDED) {
        ngx_http_gatehouse_decision_limits(ctx, d);
    }

    ngx_memory_barrier();
    d->seq = seq + 1;
}


ngx_int_t
ngx_http_gatehouse_decision_find(ngx_str_t *id,
    ngx_http_gatehouse_decision_t *out)
{
    uint32_t                        i;
    ngx_atomic_uint_t               seq;
    ngx_http_gatehouse_decision_t  *d;

    if (id->len != NGX_HTTP_GATEHOUSE_DECISION_LEN) {
        return NGX_DECLINED;
    }

    for (i = 0; i < ngx_http_gatehouse_worker.zone->ndecisions; i++) {
        d = ngx_http_gatehouse_decision_at(i);
        seq = d->seq;

        if ((seq & 1) || ngx_memcmp(d->id, id->data, id->len) != 0) {
            continue;
        }

        ngx_memory_barrier();
        *out = *d;
        ngx_memory_barrier();

        return d->seq == seq ? NGX_OK : NGX_DECLINED;
    }

    return NGX_DECLINED;
}
