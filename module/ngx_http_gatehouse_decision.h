
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Decision ids, and the last refused decisions with what led to them: so that
 * "gatehouse explain ID" can tell the whole story.  No secret is in them.
 */


#ifndef _NGX_HTTP_GATEHOUSE_DECISION_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_DECISION_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


#define NGX_HTTP_GATEHOUSE_DECISION_PATH    160
#define NGX_HTTP_GATEHOUSE_DECISION_LIMITS  4


typedef struct {
    char                            name[64];   /* as in RateLimit-Policy */
    uint64_t                        value;
    uint64_t                        remaining;
    uint64_t                        reset;      /* ms */
    uint32_t                        cost;
    uint32_t                        refused;
} ngx_http_gatehouse_decision_limit_t;


typedef struct {
    ngx_atomic_t                    seq;        /* odd while written */
    uint64_t                        when;       /* UTC ms */
    uint32_t                        fault;
    uint32_t                        source;
    uint32_t                        nlimits;
    u_char                          id[NGX_HTTP_GATEHOUSE_DECISION_LEN];
    char                            method[16];
    char                            path[NGX_HTTP_GATEHOUSE_DECISION_PATH];
    char                            reason[64];
    char                            client[48]; /* address */
    char                            api[GH_NAME_SIZE];
    char                            app[GH_NAME_SIZE];
    char                            account[GH_NAME_SIZE];
    char                            plan[GH_NAME_SIZE];
    char                            user[GH_NAME_SIZE];
    char                            credential[GH_NAME_SIZE];
    ngx_http_gatehouse_decision_limit_t
                                    limits[NGX_HTTP_GATEHOUSE_DECISION_LIMITS];
} ngx_http_gatehouse_decision_t;


void ngx_http_gatehouse_decision_init(void);

/* 26 characters of Crockford's base32: time, node, worker, counter */
void ngx_http_gatehouse_decision_id(u_char *id);

void ngx_http_gatehouse_decision_keep(ngx_http_gatehouse_ctx_t *ctx);

/* a copy of the one with this id: NGX_OK or NGX_DECLINED */
ngx_int_t ngx_http_gatehouse_decision_find(ngx_str_t *id,
    ngx_http_gatehouse_decision_t *out);


#endif /* _NGX_HTTP_GATEHOUSE_DECISION_H_INCLUDED_ */
