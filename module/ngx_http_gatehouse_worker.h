
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * What one worker process keeps: made at its start, gone at its exit.
 */


#ifndef _NGX_HTTP_GATEHOUSE_WORKER_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_WORKER_H_INCLUDED_


#include "ngx_http_gatehouse.h"

#include "lease.h"


typedef struct {
    ngx_http_gatehouse_main_conf_t  *conf;      /* NULL: no gate in here */
    ngx_http_gatehouse_zone_t       *zone;
    struct gh_limiter                limiter;
    struct gh_scripts                scripts;
    ngx_log_t                       *log;
} ngx_http_gatehouse_worker_t;


extern ngx_http_gatehouse_worker_t  ngx_http_gatehouse_worker;


ngx_int_t ngx_http_gatehouse_worker_start(ngx_cycle_t *cycle,
    ngx_http_gatehouse_main_conf_t *gmcf);
void ngx_http_gatehouse_worker_stop(ngx_cycle_t *cycle);

/* CLOCK_MONOTONIC in ms, as nginx cached it for this turn of the loop */
#define ngx_http_gatehouse_mono()  ((uint64_t) ngx_current_msec)


#endif /* _NGX_HTTP_GATEHOUSE_WORKER_H_INCLUDED_ */
