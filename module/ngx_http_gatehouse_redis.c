
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_redis.h"
#include "ngx_http_gatehouse_limits.h"
#include "ngx_http_gatehouse_session.h"
#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_zone.h"

#include "pack.h"


#define NGX_HTTP_GATEHOUSE_CONNECT_TIMEOUT  50
#define NGX_HTTP_GATEHOUSE_REPLY_TIMEOUT    20
#define NGX_HTTP_GATEHOUSE_BREAKER          3
#define NGX_HTTP_GATEHOUSE_RETRY            50
#define NGX_HTTP_GATEHOUSE_PROBE            600     /* and as much as ... */
#define NGX_HTTP_GATEHOUSE_PROBE_JITTER     300     /* ... more */
#define NGX_HTTP_GATEHOUSE_REPLY_MAX        (4 * 1024 * 1024)


struct ngx_http_gatehouse_command_s {
    ngx_queue_t                     queue;
    ngx_http_gatehouse_reply_pt     handler;
    void                           *data;
    ngx_msec_t                      deadline;
};


typedef enum {
    NGX_HTTP_GATEHOUSE_CLOSED = 0,
    NGX_HTTP_GATEHOUSE_CONNECTING,
    NGX_HTTP_GATEHOUSE_OPENING,     /* connected, the first reply is awaited */
    NGX_HTTP_GATEHOUSE_READY
} ngx_http_gatehouse_redis_state_t;


typedef struct {
    ngx_peer_connection_t           peer;
    ngx_http_gatehouse_redis_state_t
                                    state;
    ngx_queue_t                     pending;    /* in the order of replies */
    struct gh_buffer                out;
    size_t                          sent;       /* of out */
    redisReader                    *reader;
    ngx_event_t                     flush;      /* posted: end of the turn */
    ngx_event_t                     timer;      /* deadlines; next try */
    ngx_uint_t                      failures;   /* in a row */
    uint64_t                        since;      /* ready, UTC ms */
    ngx_uint_t                      closing;    /* unsigned  closing:1; */
    ngx_uint_t                      messages;   /* unsigned  messages:1; */
} ngx_http_gatehouse_redis_t;


static void ngx_http_gatehouse_redis_connect(ngx_http_gatehouse_redis_t *rd);
static void ngx_http_gatehouse_redis_connected(
    ngx_http_gatehouse_redis_t *rd);
static void ngx_http_gatehouse_redis_fail(ngx_http_gatehouse_redis_t *rd,
    const char *why);
static void ngx_http_gatehouse_redis_close(ngx_http_gatehouse_redis_t *rd);
static void ngx_http_gatehouse_redis_flush(ngx_http_gatehouse_redis_t *rd);
static void ngx_http_gatehouse_redis_read(ngx_event_t *rev);
static void ngx_http_gatehouse_redis_write(ngx_event_t *wev);


/* for the probes of a Redis that is known to be down */
static ngx_log_t                   ngx_http_gatehouse_quiet;

static ngx_http_gatehouse_redis_t  ngx_http_gatehouse_redis_commands;
static ngx_http_gatehouse_redis_t  ngx_http_gatehouse_redis_messages;


/* ---- life of a connection ---- */


static void
ngx_http_gatehouse_redis_timer(ngx_event_t *ev)
{
    ngx_queue_t                   *q;
    ngx_uint_t                     late;
    ngx_http_gatehouse_reply_pt    handler;
    ngx_http_gatehouse_redis_t    *rd;
    ngx_http_gatehouse_command_t  *command;

    rd = ev->data;

    switch (rd->state) {

    case NGX_HTTP_GATEHOUSE_CLOSED:
        ngx_http_gatehouse_redis_connect(rd);
        return;

    case NGX_HTTP_GATEHOUSE_CONNECTING:
        ngx_http_gatehouse_redis_fail(rd, "connect timed out");
        return;

    default:
        break;
    }

    /*
     * A late reply is not the end of the connection, which may just have to
     * wait for a busy machine; but who waits is told, and three in a row are.
     */

    late = 0;

    for (q = ngx_queue_head(&rd->pending);
         q != ngx_queue_sentinel(&rd->pending);
         q = ngx_queue_next(q))
    {
        command = ngx_queue_data(q, ngx_http_gatehouse_command_t, queue);

        if ((ngx_msec_int_t) (command->deadline - ngx_current_msec) > 0) {
            ngx_add_timer(ev, command->deadline - ngx_current_msec);
            break;
        }

        if (command->handler == NULL) {
            continue;
        }

        late = 1;
        handler = command->handler;
        command->handler = NULL;
        handler(command->data, NULL);

        if (rd->state == NGX_HTTP_GATEHOUSE_CLOSED) {
            return;
        }
    }

    if (late) {
        ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_REDIS_FAILURES_COUNT);
        rd->failures++;
    }

    if (rd->failures >= NGX_HTTP_GATEHOUSE_BREAKER
        || (late && rd->state == NGX_HTTP_GATEHOUSE_OPENING))
    {
        ngx_http_gatehouse_redis_fail(rd, "no reply in time");
        return;
    }

    if (!ev->timer_set && !ngx_queue_empty(&rd->pending)) {
        ngx_add_timer(ev, NGX_HTTP_GATEHOUSE_REPLY_TIMEOUT);
    }
}


static void
ngx_http_gatehouse_redis_connect(ngx_http_gatehouse_redis_t *rd)
{
    ngx_int_t          rc;
    ngx_addr_t        *addr;
    ngx_connection_t  *c;

    if (rd->state != NGX_HTTP_GATEHOUSE_CLOSED) {
        return;
    }

    if (rd->timer.timer_set) {
        ngx_del_timer(&rd->timer);
    }

    addr = ngx_http_gatehouse_worker.conf->redis_addr;

    ngx_memzero(&rd->peer, sizeof(ngx_peer_connection_t));

    rd->peer.sockaddr = addr->sockaddr;
    rd->peer.socklen = addr->socklen;
    rd->peer.name = &addr->name;
    rd->peer.get = ngx_event_get_peer;
    rd->peer.log = rd->failures < NGX_HTTP_GATEHOUSE_BREAKER
                   ? ngx_http_gatehouse_worker.log
                   : &ngx_http_gatehouse_quiet;
    rd->peer.log_error = NGX_ERROR_INFO;

    rd->state = NGX_HTTP_GATEHOUSE_CONNECTING;

    rc = ngx_event_connect_peer(&rd->peer);

    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        ngx_http_gatehouse_redis_fail(rd, "cannot connect");
        return;
    }

    c = rd->peer.connection;
    c->data = rd;
    c->read->handler = ngx_http_gatehouse_redis_read;
    c->write->handler = ngx_http_gatehouse_redis_write;

    rd->reader = redisReaderCreate();
    if (rd->reader == NULL) {
        ngx_http_gatehouse_redis_fail(rd, "out of memory");
        return;
    }

    if (rc == NGX_AGAIN) {
        ngx_add_timer(&rd->timer, NGX_HTTP_GATEHOUSE_CONNECT_TIMEOUT);
        return;
    }

    ngx_http_gatehouse_redis_connected(rd);
}


static void
ngx_http_gatehouse_redis_close(ngx_http_gatehouse_redis_t *rd)
{
    ngx_queue_t                   *q;
    ngx_queue_t                    failed;
    ngx_http_gatehouse_command_t  *command;

    if (rd->timer.timer_set) {
        ngx_del_timer(&rd->timer);
    }

    if (rd->flush.posted) {
        ngx_delete_posted_event(&rd->flush);
    }

    if (rd->peer.connection) {
        ngx_close_connection(rd->peer.connection);
        rd->peer.connection = NULL;
    }

    if (rd->reader) {
        redisReaderFree(rd->reader);
        rd->reader = NULL;
    }

    gh_buffer_clear(&rd->out);
    rd->sent = 0;
    rd->since = 0;
    rd->state = NGX_HTTP_GATEHOUSE_CLOSED;

    /* handlers may send anew: they find an empty queue */

    ngx_queue_init(&failed);
    ngx_queue_add(&failed, &rd->pending);
    ngx_queue_init(&rd->pending);

    while (!ngx_queue_empty(&failed)) {
        q = ngx_queue_head(&failed);
        ngx_queue_remove(q);

        command = ngx_queue_data(q, ngx_http_gatehouse_command_t, queue);

        if (command->handler) {
            command->handler(command->data, NULL);
        }

        ngx_free(command);
    }
}


static void
ngx_http_gatehouse_redis_fail(ngx_http_gatehouse_redis_t *rd, const char *why)
{
    ngx_msec_t  pause;
    ngx_uint_t  level;

    rd->failures++;

    ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_REDIS_FAILURES_COUNT);

    /* the first three are told, then each probe only to those who debug */

    level = rd->failures <= NGX_HTTP_GATEHOUSE_BREAKER ? NGX_LOG_WARN
                                                       : NGX_LOG_INFO;
    ngx_log_error(level, ngx_http_gatehouse_worker.log, 0,
                  "redis \"%V\": %s", &ngx_http_gatehouse_worker.conf->redis,
                  why);

    pause = NGX_HTTP_GATEHOUSE_RETRY;

    if (rd->failures >= NGX_HTTP_GATEHOUSE_BREAKER) {
        pause = NGX_HTTP_GATEHOUSE_PROBE
                + ngx_random() % NGX_HTTP_GATEHOUSE_PROBE_JITTER;

        if (!rd->messages) {
            gh_limiter_store_down(&ngx_http_gatehouse_worker.limiter,
                                  ngx_http_gatehouse_mono());

            /* a Redis that hangs sends no messages either */

            if (ngx_http_gatehouse_redis_messages.state
                == NGX_HTTP_GATEHOUSE_READY)
            {
                ngx_http_gatehouse_redis_fail(
                                           &ngx_http_gatehouse_redis_messages,
                                           "closed with the other");
            }
        }
    }

    ngx_http_gatehouse_redis_close(rd);

    if (rd->timer.timer_set) {
        ngx_del_timer(&rd->timer);
    }

    if (!rd->closing && rd->state == NGX_HTTP_GATEHOUSE_CLOSED) {
        ngx_add_timer(&rd->timer, pause);
    }
}


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


static void
ngx_http_gatehouse_redis_connected(ngx_http_gatehouse_redis_t *rd)
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


/* ---- writing ---- */


static void
ngx_http_gatehouse_redis_flush(ngx_http_gatehouse_redis_t *rd)
{
    ssize_t            n;
    ngx_connection_t  *c;

    c = rd->peer.connection;

    if (c == NULL || rd->state == NGX_HTTP_GATEHOUSE_CONNECTING) {
        return;
    }

    if (rd->out.failed) {
        gh_buffer_finish(&rd->out);
        ngx_http_gatehouse_redis_fail(rd, "out of memory");
        return;
    }

    while (rd->sent < rd->out.len) {

        n = c->send(c, rd->out.data + rd->sent, rd->out.len - rd->sent);

        if (n == NGX_AGAIN) {
            if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
                ngx_http_gatehouse_redis_fail(rd, "write failed");
            }

            return;
        }

        if (n <= 0) {
            ngx_http_gatehouse_redis_fail(rd, "write failed");
            return;
        }

        rd->sent += n;
    }

    gh_buffer_clear(&rd->out);
    rd->sent = 0;
}


static void
ngx_http_gatehouse_redis_posted(ngx_event_t *ev)
{
    ngx_http_gatehouse_redis_flush(ev->data);
}


static void
ngx_http_gatehouse_redis_write(ngx_event_t *wev)
{
    int                          err;
    socklen_t                    len;
    ngx_connection_t            *c;
    ngx_http_gatehouse_redis_t  *rd;

    c = wev->data;
    rd = c->data;

    if (rd->state == NGX_HTTP_GATEHOUSE_CONNECTING) {
        err = 0;
        len = sizeof(int);

        if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, (void *) &err, &len) == -1
            || err)
        {
            ngx_http_gatehouse_redis_fail(rd, "cannot connect");
            return;
        }

        if (rd->timer.timer_set) {
            ngx_del_timer(&rd->timer);
        }

        ngx_http_gatehouse_redis_connected(rd);
        return;
    }

    ngx_http_gatehouse_redis_flush(rd);
}


ngx_http_gatehouse_command_t *
ngx_http_gatehouse_redis_send(struct gh_slice text,
    ngx_http_gatehouse_reply_pt handler, void *data)
{
    ngx_http_gatehouse_redis_t    *rd;
    ngx_http_gatehouse_command_t  *command;

    rd = &ngx_http_gatehouse_redis_commands;

    if (rd->state == NGX_HTTP_GATEHOUSE_CLOSED
        || rd->state == NGX_HTTP_GATEHOUSE_CONNECTING)
    {
        return NULL;
    }

    command = ngx_alloc(sizeof(ngx_http_gatehouse_command_t),
                        ngx_http_gatehouse_worker.log);
    if (command == NULL) {
        return NULL;
    }

    command->handler = handler;
    command->data = data;
    command->deadline = ngx_current_msec + NGX_HTTP_GATEHOUSE_REPLY_TIMEOUT;

    gh_buffer_append(&rd->out, text);

    ngx_queue_insert_tail(&rd->pending, &command->queue);
    ngx_http_gatehouse_count(NGX_HTTP_GATEHOUSE_REDIS_COMMANDS_COUNT);

    if (!rd->timer.timer_set) {
        ngx_add_timer(&rd->timer, NGX_HTTP_GATEHOUSE_REPLY_TIMEOUT);
    }

    ngx_post_event(&rd->flush, &ngx_posted_events);

    return command;
}


void
ngx_http_gatehouse_redis_forget(ngx_http_gatehouse_command_t *command)
{
    command->handler = NULL;
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


static void
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


static void
ngx_http_gatehouse_redis_read(ngx_event_t *rev)
{
    ssize_t                      n;
    void                        *reply;
    ngx_connection_t            *c;
    ngx_http_gatehouse_redis_t  *rd;
    static u_char                buf[16384];

    c = rev->data;
    rd = c->data;

    if (rd->state == NGX_HTTP_GATEHOUSE_CONNECTING) {
        return;
    }

    for ( ;; ) {
        n = c->recv(c, buf, sizeof(buf));

        if (n == NGX_AGAIN) {
            if (ngx_handle_read_event(rev, 0) != NGX_OK) {
                ngx_http_gatehouse_redis_fail(rd, "read failed");
            }

            return;
        }

        if (n <= 0) {
            ngx_http_gatehouse_redis_fail(rd, n == 0 ? "closed" :
                                                       "read failed");
            return;
        }

        if (redisReaderFeed(rd->reader, (char *) buf, n) != REDIS_OK
            || rd->reader->len > NGX_HTTP_GATEHOUSE_REPLY_MAX)
        {
            ngx_http_gatehouse_redis_fail(rd, "a reply is too long");
            return;
        }

        for ( ;; ) {
            reply = NULL;

            if (redisReaderGetReply(rd->reader, &reply) != REDIS_OK) {
                ngx_http_gatehouse_redis_fail(rd, "no protocol of Redis");
                return;
            }

            if (reply == NULL) {
                break;
            }

            ngx_http_gatehouse_redis_reply(rd, reply);
            freeReplyObject(reply);

            if (rd->peer.connection != c) {
                return;         /* it was closed meanwhile */
            }
        }
    }
}


/* ---- the worker ---- */


static void
ngx_http_gatehouse_redis_init(ngx_http_gatehouse_redis_t *rd)
{
    ngx_queue_init(&rd->pending);

    rd->out = GH_BUFFER_INIT;

    rd->flush.handler = ngx_http_gatehouse_redis_posted;
    rd->flush.data = rd;
    rd->flush.log = ngx_http_gatehouse_worker.log;

    rd->timer.handler = ngx_http_gatehouse_redis_timer;
    rd->timer.data = rd;
    rd->timer.log = ngx_http_gatehouse_worker.log;
    rd->timer.cancelable = 1;

    ngx_http_gatehouse_redis_connect(rd);
}


void
ngx_http_gatehouse_redis_start(ngx_cycle_t *cycle)
{
    gh_limiter_store_local(&ngx_http_gatehouse_worker.limiter,
                           ngx_http_gatehouse_worker.conf->redis_addr == NULL);

    if (ngx_http_gatehouse_worker.conf->redis_addr == NULL) {
        return;
    }

    ngx_http_gatehouse_quiet = *cycle->log;
    ngx_http_gatehouse_quiet.log_level = NGX_LOG_ALERT;

    ngx_http_gatehouse_redis_messages.messages = 1;

    ngx_http_gatehouse_redis_init(&ngx_http_gatehouse_redis_commands);
    ngx_http_gatehouse_redis_init(&ngx_http_gatehouse_redis_messages);
}


void
ngx_http_gatehouse_redis_stop(void)
{
    ngx_http_gatehouse_redis_t  *rd;

    if (ngx_http_gatehouse_worker.conf->redis_addr == NULL) {
        return;
    }

    for (rd = &ngx_http_gatehouse_redis_commands;
         rd;
         rd = rd->messages ? NULL : &ngx_http_gatehouse_redis_messages)
    {
        rd->closing = 1;

        if (rd->peer.connection) {
            ngx_http_gatehouse_redis_flush(rd);
        }

        ngx_http_gatehouse_redis_close(rd);
        gh_buffer_finish(&rd->out);
    }
}


ngx_uint_t
ngx_http_gatehouse_redis_up(void)
{
    return ngx_http_gatehouse_redis_commands.state == NGX_HTTP_GATEHOUSE_READY;
}


uint64_t
ngx_http_gatehouse_redis_listening(void)
{
    return ngx_http_gatehouse_redis_messages.since;
}
