
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * One connection to Redis: its life and bytes (_redis.c), what is said on it
 * (_redis_talk.c).
 */


#ifndef _NGX_HTTP_GATEHOUSE_REDIS_CONN_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_REDIS_CONN_H_INCLUDED_


#include "ngx_http_gatehouse_redis.h"

#include "pack.h"


#define NGX_HTTP_GATEHOUSE_BREAKER  3       /* failures in a row */


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


extern ngx_http_gatehouse_redis_t  ngx_http_gatehouse_redis_commands;
extern ngx_http_gatehouse_redis_t  ngx_http_gatehouse_redis_messages;


/* closes, tells who waits, and tries again later */
void ngx_http_gatehouse_redis_fail(ngx_http_gatehouse_redis_t *rd,
    const char *why);

void ngx_http_gatehouse_redis_flush(ngx_http_gatehouse_redis_t *rd);

/* says what is to be said first */
void ngx_http_gatehouse_redis_hello(ngx_http_gatehouse_redis_t *rd);

/* one reply or message; it may close the connection */
void ngx_http_gatehouse_redis_reply(ngx_http_gatehouse_redis_t *rd,
    redisReply *reply);


#endif /* _NGX_HTTP_GATEHOUSE_REDIS_CONN_H_INCLUDED_ */
