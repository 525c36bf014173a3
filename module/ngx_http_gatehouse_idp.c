
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_idp.h"
#include "ngx_http_gatehouse_access.h"
#include "ngx_http_gatehouse_worker.h"


#define NGX_HTTP_GATEHOUSE_IDP_TIMEOUT   3000   /* ms, for the whole exchange */
#define NGX_HTTP_GATEHOUSE_IDP_INTERVAL  1000   /* ms between two questions */
#define NGX_HTTP_GATEHOUSE_IDP_MAX       32     /* providers in flight */


/* a provider, and the question that is under way for it */

typedef struct {
    ngx_peer_connection_t           peer;
    ngx_event_t                     timer;
    ngx_msec_t                      asked;
    size_t                          sent;
    size_t                          len;        /* of request */
    size_t                          name_len;
    u_char                          name[GH_NAME_SIZE];
    u_char                          request[256];
} ngx_http_gatehouse_question_t;


static void ngx_http_gatehouse_idp_write(ngx_event_t *wev);
static void ngx_http_gatehouse_idp_read(ngx_event_t *rev);


static ngx_http_gatehouse_question_t
    ngx_http_gatehouse_questions[NGX_HTTP_GATEHOUSE_IDP_MAX];


static ngx_http_gatehouse_question_t *
ngx_http_gatehouse_question(struct gh_slice idp)
{
    ngx_uint_t                      i;
    ngx_http_gatehouse_question_t  *q, *free;

    free = NULL;

    for (i = 0; i < NGX_HTTP_GATEHOUSE_IDP_MAX; i++) {
        q = &ngx_http_gatehouse_questions[i];

        if (q->name_len == idp.len
            && ngx_memcmp(q->name, idp.data, idp.len) == 0)
        {
            return q;
        }

        if (q->peer.connection == NULL
            && (free == NULL
                || (ngx_msec_int_t) (q->asked - free->asked) < 0))
        {
            free = q;
        }
    }

    if (free && idp.len <= GH_NAME_MAX) {
        ngx_memcpy(free->name, idp.data, idp.len);
        free->name_len = idp.len;
        free->asked = ngx_current_msec - NGX_HTTP_GATEHOUSE_IDP_INTERVAL;
        return free;
    }

    return NULL;
}


static void
ngx_http_gatehouse_idp_close(ngx_http_gatehouse_question_t *q)
{
    if (q->timer.timer_set) {
        ngx_del_timer(&q->timer);
    }

    if (q->peer.connection) {
        ngx_close_connection(q->peer.connection);
        q->peer.connection = NULL;
    }
}


/* answered or not: who waits looks at the catalog again */

static void
ngx_http_gatehouse_idp_done(ngx_http_gatehouse_question_t *q)
{
    ngx_http_gatehouse_idp_close(q);
    ngx_http_gatehouse_wake_keys(gh_slice(q->name, q->name_len));
}


static void
ngx_http_gatehouse_idp_timeout(ngx_event_t *ev)
{
    ngx_log_error(NGX_LOG_WARN, ngx_http_gatehouse_worker.log, 0,
                  "gatehouse-idp did not answer in time");

    ngx_http_gatehouse_idp_done(ev->data);
}


static void
ngx_http_gatehouse_idp_write(ngx_event_t *wev)
{
    ssize_t                         n;
    ngx_connection_t               *c;
    ngx_http_gatehouse_question_t  *q;

    c = wev->data;
    q = c->data;

    while (q->sent < q->len) {

        n = c->send(c, q->request + q->sent, q->len - q->sent);

        if (n == NGX_AGAIN) {
            if (ngx_handle_write_event(wev, 0) == NGX_OK) {
                return;
            }

            n = NGX_ERROR;
        }

        if (n <= 0) {
            ngx_http_gatehouse_idp_done(q);
            return;
        }

        q->sent += n;
    }
}


static void
ngx_http_gatehouse_idp_read(ngx_event_t *rev)
{
    u_char             buf[512];
    ssize_t            n;
    ngx_connection_t  *c;

    c = rev->data;

    n = c->recv(c, buf, sizeof(buf));

    if (n == NGX_AGAIN && ngx_handle_read_event(rev, 0) == NGX_OK) {
        return;
    }

    /* what it says matters less than what the catalog has now */

    ngx_http_gatehouse_idp_done(c->data);
}


static ngx_int_t
ngx_http_gatehouse_idp_ask(ngx_http_gatehouse_question_t *q)
{
    ngx_int_t          rc;
    ngx_addr_t        *addr;
    ngx_connection_t  *c;

    addr = ngx_http_gatehouse_worker.conf->idp_addr;

    q->asked = ngx_current_msec;
    q->sent = 0;
    q->len = ngx_snprintf(q->request, sizeof(q->request),
                          "POST /internal/refresh/%*s HTTP/1.1" CRLF
                          "Host: gatehouse-idp" CRLF
                          "Content-Length: 0" CRLF
                          "Connection: close" CRLF CRLF,
                          q->name_len, q->name)
             - q->request;

    ngx_memzero(&q->peer, sizeof(ngx_peer_connection_t));

    q->peer.sockaddr = addr->sockaddr;
    q->peer.socklen = addr->socklen;
    q->peer.name = &addr->name;
    q->peer.get = ngx_event_get_peer;
    q->peer.log = ngx_http_gatehouse_worker.log;
    q->peer.log_error = NGX_ERROR_ERR;

    rc = ngx_event_connect_peer(&q->peer);

    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        ngx_http_gatehouse_idp_close(q);
        return NGX_DECLINED;
    }

    c = q->peer.connection;
    c->data = q;
    c->read->handler = ngx_http_gatehouse_idp_read;
    c->write->handler = ngx_http_gatehouse_idp_write;

    q->timer.handler = ngx_http_gatehouse_idp_timeout;
    q->timer.data = q;
    q->timer.log = ngx_http_gatehouse_worker.log;
    q->timer.cancelable = 1;

    ngx_add_timer(&q->timer, NGX_HTTP_GATEHOUSE_IDP_TIMEOUT);

    if (rc == NGX_OK) {
        ngx_post_event(c->write, &ngx_posted_events);
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_gatehouse_idp_refresh(ngx_http_gatehouse_ctx_t *ctx,
    struct gh_slice idp)
{
    ngx_http_gatehouse_question_t  *q;

    if (ngx_http_gatehouse_worker.conf->idp_addr == NULL) {
        return NGX_DECLINED;
    }

    q = ngx_http_gatehouse_question(idp);
    if (q == NULL) {
        return NGX_DECLINED;
    }

    if (q->peer.connection == NULL) {

        if (ngx_current_msec - q->asked < NGX_HTTP_GATEHOUSE_IDP_INTERVAL
            || ngx_http_gatehouse_idp_ask(q) != NGX_OK)
        {
            return NGX_DECLINED;
        }
    }

    ctx->keys_of = gh_slice(q->name, q->name_len);
    ctx->wait_until = ngx_current_msec + NGX_HTTP_GATEHOUSE_IDP_TIMEOUT;

    return ngx_http_gatehouse_suspend(ctx, NGX_HTTP_GATEHOUSE_WAIT_KEYS);
}


void
ngx_http_gatehouse_idp_stop(void)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_HTTP_GATEHOUSE_IDP_MAX; i++) {
        ngx_http_gatehouse_idp_close(&ngx_http_gatehouse_questions[i]);
    }
}
