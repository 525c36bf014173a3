
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * What this worker and Redis say to each other: scripts and pulse first, then
 * replies in the order of the commands, and what each kind of error asks for.
 */


#include "ngx_http_gatehouse_redis_conn.h"
#include "ngx_http_gatehouse_limits.h"
#include "ngx_http_gatehouse_session.h"
#include "ngx_http_gatehouse_worker.h"


/* ---- what is said first ---- */


static void
ngx_http_gatehouse_redis_opened(void *data, redisReply *reply)
{
    int                          rc;
    uint64_t                     asked;
    ngx_http_gatehouse_redis_t  *rd;

    rd = &ngx_http_gatehouse_redis_commands;
    asked = (uint64_t) (uintptr_t) data;

    if (reply == NULL) {
        return;
    }

    rc = gh_pulse_apply(&ngx_http_gatehouse_worker.limiter, asked, reply);

    if (rc < 0) {
        return;             /* the error itself closes the connection */
    }

    if (rd->state != NGX_HTTP_GATEHOUSE_READY) {
        ngx_log_error(NGX_LOG_NOTICE, ngx_http_gatehouse_worker.log, 0,
                      "redis \"%V\": ready",
                      &ngx_http_gatehouse_worker.conf->redis);
    }

    rd->state = NGX_HTTP_GATEHOUSE_READY;
    rd->since = ngx_http_gatehouse_now();

    if (rc == 1) {
        ngx_http_gatehouse_limits_sweep();
    }
}


/* the store's pulse: first on each connection, then by one worker's timer */

static void
ngx_http_gatehouse_redis_pulse(void)
{
    uint64_t          now;
    struct gh_buffer  command;

    now = ngx_http_gatehouse_mono();
    command = GH_BUFFER_INIT;

    gh_pulse_command(&ngx_http_gatehouse_worker.limiter,
                     &ngx_http_gatehouse_worker.scripts, &command);

    if (!command.failed) {
        (void) ngx_http_gatehouse_redis_send(gh_buffer_slice(&command),
                                             ngx_http_gatehouse_redis_opened,
                                             (void *) (uintptr_t) now);
    }

    gh_buffer_finish(&command);
}


void
ngx_http_gatehouse_redis_tick(void)
{
    if (ngx_http_gatehouse_redis_commands.state == NGX_HTTP_GATEHOUSE_READY
        && gh_pulse_claim(&ngx_http_gatehouse_worker.limiter,
                          ngx_http_gatehouse_mono()))
    {
        ngx_http_gatehouse_redis_pulse();
    }
}


static void
ngx_http_gatehouse_redis_load(ngx_http_gatehouse_redis_t *rd)
{
    ngx_uint_t        i;
    struct gh_buffer  command;

    command = GH_BUFFER_INIT;
    gh_scripts_load(&ngx_http_gatehouse_worker.scripts, &command);

    /* one send carries all commands: the others only await their replies */

    for (i = 0; i < GH_SCRIPTS_N && !command.failed; i++) {
        (void) ngx_http_gatehouse_redis_send(i == 0 ? gh_buffer_slice(&command)
                                                    : gh_slice(NULL, 0),
                                             NULL, NULL);
    }

    gh_buffer_finish(&command);
}


void
ngx_http_gatehouse_redis_hello(ngx_http_gatehouse_redis_t *rd)
{
    struct gh_slice   argv[3];
    struct gh_buffer  command;

    rd->state = NGX_HTTP_GATEHOUSE_OPENING;

    if (!rd->messages) {
        ngx_http_gatehouse_redis_load(rd);
        ngx_http_gatehouse_redis_pulse();
        return;
    }

    argv[0] = gh_slice_str("SUBSCRIBE");
    argv[1] = gh_slice_str(GH_SESSION_CHANNEL);
    argv[2] = gh_slice_str(GH_RECALL_CHANNEL);

    command = GH_BUFFER_INIT;
    gh_resp_command(&command, argv, 3);

    if (command.failed) {
        ngx_http_gatehouse_redis_fail(rd, "out of memory");

    } else {
        gh_buffer_append(&rd->out, gh_buffer_slice(&command));
        ngx_http_gatehouse_redis_flush(rd);
    }

    gh_buffer_finish(&command);
}


/* ---- reading ---- */


static void
ngx_http_gatehouse_redis_message(ngx_http_gatehouse_redis_t *rd,
    redisReply *reply)
{
    struct gh_slice  channel, payload;

    if (rd->state != NGX_HTTP_GATEHOUSE_READY) {

        if (reply->type == REDIS_REPLY_ERROR) {
            ngx_http_gatehouse_redis_fail(rd, reply->str);
            return;
        }

        rd->state = NGX_HTTP_GATEHOUSE_READY;
        rd->failures = 0;
        rd->since = ngx_http_gatehouse_now();
    }

    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != 3
        || reply->element[0]->type != REDIS_REPLY_STRING
        || ngx_strcmp(reply->element[0]->str, "message") != 0
        || reply->element[1]->type != REDIS_REPLY_STRING
        || reply->element[2]->type != REDIS_REPLY_STRING)
    {
        return;
    }

    channel = gh_slice(reply->element[1]->str, reply->element[1]->len);
    payload = gh_slice(reply->element[2]->str, reply->element[2]->len);

    if (gh_slice_eq_str(channel, GH_SESSION_CHANNEL)) {
        ngx_http_gatehouse_session_revoked(payload);

    } else if (gh_slice_eq_str(channel, GH_RECALL_CHANNEL)) {
        ngx_http_gatehouse_limits_recall(payload);
    }
}


void
ngx_http_gatehouse_redis_reply(ngx_http_gatehouse_redis_t *rd,
    redisReply *reply)
{
    ngx_queue_t                   *q;
    enum gh_reaction               reaction;
    ngx_http_gatehouse_command_t  *command;

    if (rd->messages) {
        ngx_http_gatehouse_redis_message(rd, reply);
        return;
    }

    if (ngx_queue_empty(&rd->pending)) {
        ngx_http_gatehouse_redis_fail(rd, "a reply that nobody asked for");
        return;
    }

    q = ngx_queue_head(&rd->pending);
    ngx_queue_remove(q);
    command = ngx_queue_data(q, ngx_http_gatehouse_command_t, queue);

    if (ngx_queue_empty(&rd->pending) && rd->timer.timer_set) {
        ngx_del_timer(&rd->timer);
    }

    reaction = gh_reaction_of(reply);

    switch (reaction) {

    case GH_REACT_NONE:
        rd->failures = 0;
        break;

    case GH_REACT_LOAD:
        ngx_http_gatehouse_redis_load(rd);
        break;

    default:
        ngx_log_error(NGX_LOG_WARN, ngx_http_gatehouse_worker.log, 0,
                      "redis \"%V\": %s", &ngx_http_gatehouse_worker.conf->redis,
                      reply->type == REDIS_REPLY_ERROR ? reply->str
                                                       : "a strange reply");
    }

    if (command->handler) {
        command->handler(command->data, reply);
    }

    ngx_free(command);

    switch (reaction) {

    case GH_REACT_DOWN:
    case GH_REACT_CONFIG:

        /* no use to ask again at once */

        rd->failures = ngx_max(rd->failures, NGX_HTTP_GATEHOUSE_BREAKER - 1);

        /* fall through */

    case GH_REACT_RETRY:
    case GH_REACT_RECONNECT:
        ngx_http_gatehouse_redis_fail(rd, gh_reaction_name(reaction));
        break;

    default:
        break;
    }
}
