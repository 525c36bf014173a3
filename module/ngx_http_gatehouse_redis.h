
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * This worker's own connections to Redis, over nginx' events: hiredis only
 * writes and reads the protocol.  One connection carries commands, one the
 * messages of two channels.  Commands of one turn of the event loop are
 * gathered and written once at its end.
 *
 *     closed --connect 50 ms--> opening --pulse answered--> ready
 *        ^                         |                          |
 *        +--- 50 ms, after three failures 450 to 650 ms ------+
 *
 * After three failures in a row the breaker opens: the limiter decides without
 * the store, commands are refused at once, and the connection is tried again
 * about each second.
 */


#ifndef _NGX_HTTP_GATEHOUSE_REDIS_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_REDIS_H_INCLUDED_


#include "ngx_http_gatehouse.h"

#include <hiredis/hiredis.h>


/* reply is NULL when none came; it is gone when the handler returns */
typedef void (*ngx_http_gatehouse_reply_pt)(void *data, redisReply *reply);

typedef struct ngx_http_gatehouse_command_s  ngx_http_gatehouse_command_t;


void ngx_http_gatehouse_redis_start(ngx_cycle_t *cycle);
void ngx_http_gatehouse_redis_stop(void);

/* a connection is there, and the store answered lately */
ngx_uint_t ngx_http_gatehouse_redis_up(void);

/*
 * Sends a command in RESP form.  NULL when there is no Redis to ask: then the
 * handler is not called.
 */
ngx_http_gatehouse_command_t *ngx_http_gatehouse_redis_send(
    struct gh_slice command, ngx_http_gatehouse_reply_pt handler, void *data);

/* nobody waits for this reply any more: its handler is not called */
void ngx_http_gatehouse_redis_forget(ngx_http_gatehouse_command_t *command);

/* when messages began to come without a gap, UTC ms; 0: they do not come */
uint64_t ngx_http_gatehouse_redis_listening(void);

/* by the worker's timer */
void ngx_http_gatehouse_redis_tick(void);


#endif /* _NGX_HTTP_GATEHOUSE_REDIS_H_INCLUDED_ */
