
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_access.h"
#include "ngx_http_gatehouse_caller.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_credential.h"
#include "ngx_http_gatehouse_decision.h"
#include "ngx_http_gatehouse_headers.h"
#include "ngx_http_gatehouse_idp.h"
#include "ngx_http_gatehouse_limits.h"
#include "ngx_http_gatehouse_redis.h"
#include "ngx_http_gatehouse_zone.h"

#include "log.h"


#define NGX_HTTP_GATEHOUSE_TICK       100       /* ms */
#define NGX_HTTP_GATEHOUSE_FLUSH_END  10000     /* meters at a worker's exit */


ngx_http_gatehouse_worker_t  ngx_http_gatehouse_worker;

static ngx_event_t           ngx_http_gatehouse_tick;


/* log lines of the domain libraries */

static void
ngx_http_gatehouse_log(void *ctx, enum gh_log_level level, const char *line)
{
    static const ngx_uint_t  levels[] = {
        NGX_LOG_ERR, NGX_LOG_WARN, NGX_LOG_INFO, NGX_LOG_DEBUG
    };

    ngx_log_error(levels[level], (ngx_log_t *) ctx, 0, "gatehouse: %s", line);
}


static void
ngx_http_gatehouse_tick_handler(ngx_event_t *ev)
{
    ngx_http_gatehouse_redis_tick();
    ngx_http_gatehouse_limits_sweep_tick();
    ngx_http_gatehouse_limits_usage_tick();

    if (!ngx_exiting) {
        ngx_add_timer(ev, NGX_HTTP_GATEHOUSE_TICK);
    }
}


ngx_int_t
ngx_http_gatehouse_worker_start(ngx_cycle_t *cycle,
    ngx_http_gatehouse_main_conf_t *gmcf)
{
    struct gh_error             e;
    ngx_http_gatehouse_zone_t  *zone;

    ngx_time_update();      /* it was some while ago in the master */

    gh_log_to(ngx_http_gatehouse_log, cycle->log, GH_LOG_INFO);

    zone = ngx_http_gatehouse_zone(gmcf->shm_zone);

    if (gh_limiter_attach(&ngx_http_gatehouse_worker.limiter,
                          (u_char *) zone + zone->limiter, zone->limiter_size,
                          &e)
        != 0)
    {
        ngx_log_error(NGX_LOG_EMERG, cycle->log, 0, "gatehouse_zone: %s",
                      e.message);
        return NGX_ERROR;
    }

    ngx_http_gatehouse_worker.zone = zone;
    ngx_http_gatehouse_worker.log = cycle->log;

    gh_scripts_init(&ngx_http_gatehouse_worker.scripts);

    ngx_http_gatehouse_headers_init();
    ngx_http_gatehouse_credential_init();
    ngx_http_gatehouse_decision_init();
    ngx_http_gatehouse_access_init(cycle);

    if (ngx_http_gatehouse_caller_init(cycle) != NGX_OK
        || ngx_http_gatehouse_catalog_init(cycle) != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_gatehouse_worker.conf = gmcf;

    ngx_http_gatehouse_redis_start(cycle);

    ngx_http_gatehouse_tick.handler = ngx_http_gatehouse_tick_handler;
    ngx_http_gatehouse_tick.log = cycle->log;
    ngx_http_gatehouse_tick.data = &ngx_http_gatehouse_tick;
    ngx_http_gatehouse_tick.cancelable = 1;

    ngx_add_timer(&ngx_http_gatehouse_tick,
                  ngx_random() % NGX_HTTP_GATEHOUSE_TICK + 1);

    return NGX_OK;
}


void
ngx_http_gatehouse_worker_stop(ngx_cycle_t *cycle)
{
    if (ngx_http_gatehouse_worker.conf == NULL) {
        return;
    }

    /* totals are absolute: whoever flushes next would say the same */

    ngx_http_gatehouse_limits_flush(NGX_HTTP_GATEHOUSE_FLUSH_END, 1);
    ngx_http_gatehouse_redis_stop();
    ngx_http_gatehouse_idp_stop();
    ngx_http_gatehouse_catalog_close();
    ngx_http_gatehouse_caller_close();

    ngx_http_gatehouse_worker.conf = NULL;
}
