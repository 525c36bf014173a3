
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_balancer.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_limits.h"


typedef struct {
    ngx_http_gatehouse_service_t   *service;    /* held by the request */
    ngx_uint_t                      first;
    ngx_uint_t                      tried;
} ngx_http_gatehouse_peer_t;


static ngx_int_t ngx_http_gatehouse_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us);
static ngx_int_t ngx_http_gatehouse_get_peer(ngx_peer_connection_t *pc,
    void *data);
static void ngx_http_gatehouse_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state);


ngx_http_gatehouse_fault_t
ngx_http_gatehouse_endpoint_step(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_http_gatehouse_service_t  *service;

    /* a location of its own may proxy to servers of the file */

    if (ctx->api->api.service.len == 0) {
        return NGX_HTTP_GATEHOUSE_PASS;
    }

    service = ngx_http_gatehouse_catalog_begin() == NGX_OK
              ? ngx_http_gatehouse_catalog_service(ctx->api->api.service)
              : NULL;

    if (service && service->n) {
        ngx_http_gatehouse_hold(service);
        ctx->service = service;
        return NGX_HTTP_GATEHOUSE_PASS;
    }

    ngx_str_set(&ctx->reason, "no healthy endpoint");
    ngx_http_gatehouse_limits_refund(ctx);

    return NGX_HTTP_GATEHOUSE_SERVICE_UNAVAILABLE;
}


ngx_int_t
ngx_http_gatehouse_balancer_init_upstream(ngx_conf_t *cf,
    ngx_http_upstream_srv_conf_t *us)
{
    /* one is there, to please nginx: the directive put it there */

    if (us->servers->nelts > 1) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "upstream \"%V\" has \"gatehouse_endpoints\", which "
                      "takes its servers from the catalog: take out the "
                      "\"server\" lines in %s:%ui",
                      &us->host, us->file_name, us->line);
        return NGX_ERROR;
    }

    us->peer.init = ngx_http_gatehouse_init_peer;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gatehouse_init_peer(ngx_http_request_t *r,
    ngx_http_upstream_srv_conf_t *us)
{
    ngx_http_gatehouse_ctx_t   *ctx;
    ngx_http_gatehouse_peer_t  *peer;

    /* a subrequest goes where the gate let its main request go */

    ctx = ngx_http_gatehouse_get_ctx(r->main);

    if (ctx == NULL || !ctx->allowed || ctx->service == NULL) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "gatehouse_endpoints: the request has no service: it "
                      "needs \"gatehouse on\", and an API with a service");
        return NGX_ERROR;
    }

    peer = ngx_palloc(r->pool, sizeof(ngx_http_gatehouse_peer_t));
    if (peer == NULL) {
        return NGX_ERROR;
    }

    peer->service = ctx->service;
    peer->first = ctx->service->next++;
    peer->tried = 0;

    r->upstream->peer.data = peer;
    r->upstream->peer.get = ngx_http_gatehouse_get_peer;
    r->upstream->peer.free = ngx_http_gatehouse_free_peer;
    r->upstream->peer.tries = ctx->service->n;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gatehouse_get_peer(ngx_peer_connection_t *pc, void *data)
{
    ngx_http_gatehouse_peer_t  *peer = data;

    ngx_addr_t  *addr;

    /* nginx counts the tries: a kept connection that was closed has one more */

    if (peer->service->n == 0) {
        return NGX_BUSY;
    }

    addr = &peer->service->addrs[(peer->first + peer->tried++)
                                 % peer->service->n];

    pc->sockaddr = addr->sockaddr;
    pc->socklen = addr->socklen;
    pc->name = &addr->name;
    pc->cached = 0;
    pc->connection = NULL;

    return NGX_OK;
}


static void
ngx_http_gatehouse_free_peer(ngx_peer_connection_t *pc, void *data,
    ngx_uint_t state)
{
    if (pc->tries) {
        pc->tries--;
    }
}
