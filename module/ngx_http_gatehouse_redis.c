
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_redis_conn.h"
#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_zone.h"


#define NGX_HTTP_GATEHOUSE_CONNECT_TIMEOUT  50
#define NGX_HTTP_GATEHOUSE_REPLY_TIMEOUT    20
#define NGX_HTTP_GATEHOUSE_RETRY            50
#define NGX_HTTP_GATEHOUSE_PROBE            450     /* and as much as ... */
#define NGX_HTTP_GATEHOUSE_PROBE_JITTER     200     /* ... more */
#define NGX_HTTP_GATEHOUSE_REPLY_MAX        (4 * 1024 * 1024)


static void ngx_http_gatehouse_redis_connect(ngx_http_gatehouse_redis_t *rd);
static void ngx_http_gatehouse_redis_close(ngx_http_gatehouse_redis_t *rd);
static void ngx_http_gatehouse_redis_read(ngx_event_t *rev);
static void ngx_http_gatehouse_redis_write(ngx_event_t *wev);


/* for the probes of a Redis that is known to be down */
static ngx_log_t                   ngx_http_gatehouse_quiet;

ngx_http_gatehouse_redis_t  ngx_http_gatehouse_redis_commands;
ngx_http_gatehouse_redis_t  ngx_http_gatehouse_redis_messages;


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

    ngx_http_gatehouse_redis_hello(rd);
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


void
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


/* ---- writing ---- */


void
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

        ngx_http_gatehouse_redis_hello(rd);
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
