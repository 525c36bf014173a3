
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Leases: what plans/lease.h wants to say to the store goes out here, and who
 * waits for it goes on.
 */


#include "ngx_http_gatehouse_access.h"
#include "ngx_http_gatehouse_limits.h"
#include "ngx_http_gatehouse_redis.h"
#include "ngx_http_gatehouse_worker.h"


#define NGX_HTTP_GATEHOUSE_SWEEP_BUDGET   2048  /* slots of one look */
#define NGX_HTTP_GATEHOUSE_SWEEP_COMMANDS 64    /* of one turn */
#define NGX_HTTP_GATEHOUSE_SWEEP_PAUSE    2     /* ms, when all must be told */


/* a lease under way */

typedef struct {
    struct gh_lease                 lease;
    enum gh_scope_kind              kind;
    size_t                          len;
    u_char                          name[GH_NAME_SIZE];
} ngx_http_gatehouse_flight_t;


/* of the round under way, carried from tick to tick */

static uint64_t     ngx_http_gatehouse_sweep_cursor = GH_CURSOR_END;
static ngx_event_t  ngx_http_gatehouse_sweep_event;


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


void
ngx_http_gatehouse_limits_lease(ngx_http_gatehouse_ctx_t *ctx)
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


/*
 * A part of the round under way: some slots of the table, some commands.  1 if
 * there was as much to tell as one turn may.
 */

static ngx_uint_t
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

    return n == NGX_HTTP_GATEHOUSE_SWEEP_COMMANDS;
}


/* the same, from the start to the end as fast as other work allows */

static void
ngx_http_gatehouse_sweep_handler(ngx_event_t *ev)
{
    if (!ngx_http_gatehouse_redis_up()) {
        return;
    }

    (void) ngx_http_gatehouse_sweep();

    if (ngx_http_gatehouse_sweep_cursor != GH_CURSOR_END && !ngx_exiting) {
        ngx_add_timer(ev, NGX_HTTP_GATEHOUSE_SWEEP_PAUSE);
    }
}


static void
ngx_http_gatehouse_sweep_on(void)
{
    ngx_event_t  *ev;

    ev = &ngx_http_gatehouse_sweep_event;

    ev->handler = ngx_http_gatehouse_sweep_handler;
    ev->log = ngx_http_gatehouse_worker.log;
    ev->data = ev;
    ev->cancelable = 1;

    if (!ev->timer_set) {
        ngx_http_gatehouse_sweep_handler(ev);
    }
}


void
ngx_http_gatehouse_limits_sweep(void)
{
    ngx_http_gatehouse_sweep_cursor = 0;
    ngx_http_gatehouse_sweep_on();
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


void
ngx_http_gatehouse_limits_sweep_tick(void)
{
    if (!ngx_http_gatehouse_redis_up()
        || !gh_sweep_claim(&ngx_http_gatehouse_worker.limiter,
                           ngx_http_gatehouse_mono()))
    {
        return;
    }

    if (ngx_http_gatehouse_sweep_cursor == GH_CURSOR_END) {
        ngx_http_gatehouse_sweep_cursor = 0;
    }

    /* a round that another worker, or a lost connection, left half done */

    if (ngx_http_gatehouse_sweep()) {
        ngx_http_gatehouse_sweep_on();
    }
}
