
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_metrics.h"
#include "ngx_http_gatehouse_answer.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_decision.h"
#include "ngx_http_gatehouse_limits.h"
#include "ngx_http_gatehouse_redis.h"
#include "ngx_http_gatehouse_variables.h"
#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_zone.h"

#include "pack.h"

#include <jansson.h>


#define NGX_HTTP_GATEHOUSE_FLUSH_MAX  100000    /* meters of one POST /flush */


static const char  *ngx_http_gatehouse_counter_names[][2] = {
#define X(name, text, help)  { "gatehouse_" text, help },
    NGX_HTTP_GATEHOUSE_COUNTERS(X)
#undef X
};


/* the buffer's text as the body, in memory of the request */

static ngx_int_t
ngx_http_gatehouse_send_buffer(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, struct gh_buffer *b)
{
    ngx_str_t  body;

    if (b->failed) {
        gh_buffer_finish(b);
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    body.len = b->len;
    body.data = ngx_pnalloc(r->pool, b->len ? b->len : 1);

    if (body.data) {
        ngx_memcpy(body.data, b->data, b->len);
    }

    gh_buffer_finish(b);

    if (body.data == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_gatehouse_answer_text(r, status, type, &body);
}


/* ---- Prometheus, text exposition format 0.0.4 ---- */


static void
ngx_http_gatehouse_metric(struct gh_buffer *b, const char *name,
    const char *type, const char *help, uint64_t value)
{
    gh_buffer_printf(b, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", name, help,
                     name, type, name, (unsigned long long) value);
}


static void
ngx_http_gatehouse_metrics_limiter(struct gh_buffer *b)
{
    ngx_uint_t               i;
    struct gh_limiter_stats  stats;

    gh_limiter_stats(&ngx_http_gatehouse_worker.limiter, &stats);

    const struct {
        const char  *name, *type, *help;
        uint64_t     value;
    } rows[] = {
        { "gatehouse_limit_scopes", "gauge",
          "Applications, accounts and APIs in the limiter", stats.scopes },
        { "gatehouse_limit_cells", "gauge", "Limits in the limiter",
          stats.cells },
        { "gatehouse_limit_meters", "gauge", "Usage meters", stats.meters },
        { "gatehouse_limit_used_bytes", "gauge",
          "Memory of the limiter that is used", stats.used },
        { "gatehouse_limit_size_bytes", "gauge", "Memory of the limiter",
          stats.size },
        { "gatehouse_limit_evicted_total", "counter",
          "Scopes that were put out to make room", stats.evicted },
        { "gatehouse_limit_full_total", "counter",
          "Times there was no room in the zone", stats.full },
        { "gatehouse_limit_hosts", "gauge", "Live hosts by the last pulse",
          stats.hosts },
        { "gatehouse_limit_store_up", "gauge",
          "Whether the limits' store answers", stats.store_up },
    };

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        ngx_http_gatehouse_metric(b, rows[i].name, rows[i].type, rows[i].help,
                                  rows[i].value);
    }
}


ngx_int_t
ngx_http_gatehouse_metrics_handler(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    struct gh_buffer  b;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    if (ngx_http_gatehouse_worker.conf == NULL) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    b = GH_BUFFER_INIT;

    gh_buffer_text(&b, "# HELP gatehouse_requests_total Decided requests\n"
                       "# TYPE gatehouse_requests_total counter\n");

    for (i = 0; i < NGX_HTTP_GATEHOUSE_NFAULTS; i++) {
        gh_buffer_printf(&b, "gatehouse_requests_total{code=\"%s\","
                         "status=\"%u\"} %llu\n",
                         ngx_http_gatehouse_faults[i].code.data,
                         (unsigned) ngx_http_gatehouse_faults[i].status,
                         (unsigned long long) ngx_http_gatehouse_faults_sum(i));
    }

    for (i = 0; i < NGX_HTTP_GATEHOUSE_NCOUNTERS; i++) {
        ngx_http_gatehouse_metric(&b, ngx_http_gatehouse_counter_names[i][0],
                                  "counter",
                                  ngx_http_gatehouse_counter_names[i][1],
                                  ngx_http_gatehouse_counters_sum(i));
    }

    ngx_http_gatehouse_metrics_limiter(&b);

    (void) ngx_http_gatehouse_catalog_begin();

    ngx_http_gatehouse_metric(&b, "gatehouse_catalog_generation", "gauge",
                              "Generation of the catalog",
                              ngx_http_gatehouse_catalog_generation());

    return ngx_http_gatehouse_send_buffer(r, NGX_HTTP_OK,
                                    "text/plain; version=0.0.4; charset=utf-8",
                                    &b);
}


/* ---- for gatehouse-control ---- */


static ngx_int_t
ngx_http_gatehouse_send_json(ngx_http_request_t *r, ngx_uint_t status,
    json_t *json)
{
    char              *text;
    struct gh_buffer   b;

    b = GH_BUFFER_INIT;

    text = json ? json_dumps(json, JSON_COMPACT) : NULL;
    json_decref(json);

    if (text == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    gh_buffer_text(&b, text);
    gh_buffer_text(&b, "\n");
    free(text);

    return ngx_http_gatehouse_send_buffer(r, status, "application/json", &b);
}


static ngx_int_t
ngx_http_gatehouse_status(ngx_http_request_t *r)
{
    char                     node[17];
    json_t                  *json;
    struct gh_limiter_stats  stats;

    (void) ngx_http_gatehouse_catalog_begin();

    gh_limiter_stats(&ngx_http_gatehouse_worker.limiter, &stats);

    (void) snprintf(node, sizeof(node), "%016llx",
                    (unsigned long long)
                        gh_limiter_node(&ngx_http_gatehouse_worker.limiter));

    json = json_pack("{s:s, s:I, s:b, s:b, s:b, s:I, s:I, s:{s:I, s:I, s:I, "
                     "s:I, s:I, s:I}}",
                     "node", node,
                     "generation",
                     (json_int_t) ngx_http_gatehouse_catalog_generation(),
                     "redis_configured",
                     ngx_http_gatehouse_worker.conf->redis_addr != NULL,
                     "redis_up", (int) ngx_http_gatehouse_redis_up(),
                     "degraded", !stats.store_up,
                     "degraded_calls", (json_int_t) stats.degraded,
                     "hosts", (json_int_t) stats.hosts,
                     "zone",
                     "size", (json_int_t) stats.size,
                     "used", (json_int_t) stats.used,
                     "scopes", (json_int_t) stats.scopes,
                     "cells", (json_int_t) stats.cells,
                     "evicted", (json_int_t) stats.evicted,
                     "full", (json_int_t) stats.full);

    return ngx_http_gatehouse_send_json(r, NGX_HTTP_OK, json);
}


/* texts of strangers may be no UTF-8: what is not printable becomes "?" */

static json_t *
ngx_http_gatehouse_json_text(char *text)
{
    char  *p;

    for (p = text; *p; p++) {
        if ((u_char) *p < 0x20 || (u_char) *p >= 0x7f) {
            *p = '?';
        }
    }

    return json_string(text);
}


static json_t *
ngx_http_gatehouse_decision_json(ngx_http_gatehouse_decision_t *d)
{
    char        id[NGX_HTTP_GATEHOUSE_DECISION_LEN + 1];
    json_t     *limits;
    uint32_t    i;
    ngx_uint_t  fault;

    limits = json_array();

    for (i = 0;
         i < d->nlimits && i < NGX_HTTP_GATEHOUSE_DECISION_LIMITS;
         i++)
    {
        json_array_append_new(limits,
            json_pack("{s:o, s:I, s:I, s:I, s:I, s:b}",
                      "name", ngx_http_gatehouse_json_text(d->limits[i].name),
                      "value", (json_int_t) d->limits[i].value,
                      "remaining", (json_int_t) d->limits[i].remaining,
                      "reset_ms", (json_int_t) d->limits[i].reset,
                      "cost", (json_int_t) d->limits[i].cost,
                      "refused", (int) d->limits[i].refused));
    }

    fault = d->fault < NGX_HTTP_GATEHOUSE_NFAULTS ? d->fault : 0;

    ngx_memcpy(id, d->id, NGX_HTTP_GATEHOUSE_DECISION_LEN);
    id[NGX_HTTP_GATEHOUSE_DECISION_LEN] = '\0';

    return json_pack("{s:s, s:I, s:s, s:i, s:s, s:o, s:o, s:o, s:o, s:o, s:o, "
                     "s:o, s:o, s:o, s:o, s:s, s:o}",
                     "decision", id,
                     "time_ms", (json_int_t) d->when,
                     "code", ngx_http_gatehouse_faults[fault].code.data,
                     "status", (int) ngx_http_gatehouse_faults[fault].status,
                     "title", ngx_http_gatehouse_faults[fault].title.data,
                     "reason", ngx_http_gatehouse_json_text(d->reason),
                     "method", ngx_http_gatehouse_json_text(d->method),
                     "path", ngx_http_gatehouse_json_text(d->path),
                     "client", ngx_http_gatehouse_json_text(d->client),
                     "api", ngx_http_gatehouse_json_text(d->api),
                     "application", ngx_http_gatehouse_json_text(d->app),
                     "account", ngx_http_gatehouse_json_text(d->account),
                     "plan", ngx_http_gatehouse_json_text(d->plan),
                     "user", ngx_http_gatehouse_json_text(d->user),
                     "credential",
                     ngx_http_gatehouse_json_text(d->credential),
                     "credential_kind",
                     d->source
                     ? (char *) ngx_http_gatehouse_source_name(d->source)->data
                     : "",
                     "limits", limits);
}


static ngx_int_t
ngx_http_gatehouse_decision_answer(ngx_http_request_t *r, ngx_str_t *id)
{
    ngx_http_gatehouse_decision_t  *d;

    d = ngx_palloc(r->pool, sizeof(ngx_http_gatehouse_decision_t));
    if (d == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_gatehouse_decision_find(id, d) != NGX_OK) {
        return ngx_http_gatehouse_send_json(r, NGX_HTTP_NOT_FOUND,
                   json_pack("{s:s, s:s, s:i, s:s}",
                             "type", "about:blank",
                             "title", "No such decision is remembered",
                             "status", 404,
                             "code", "not_found"));
    }

    return ngx_http_gatehouse_send_json(r, NGX_HTTP_OK,
                                        ngx_http_gatehouse_decision_json(d));
}


static ngx_uint_t
ngx_http_gatehouse_ends_with(ngx_str_t *uri, const char *end)
{
    size_t  len;

    len = ngx_strlen(end);

    return uri->len >= len
           && ngx_memcmp(uri->data + uri->len - len, end, len) == 0;
}


ngx_int_t
ngx_http_gatehouse_internal_handler(ngx_http_request_t *r)
{
    u_char            *p;
    ngx_str_t          id;
    struct sockaddr   *sa;

    static ngx_str_t   prefix = ngx_string("/decisions/");

    sa = r->connection->local_sockaddr;

    if (sa == NULL || sa->sa_family != AF_UNIX) {

        /* whoever may open the socket's directory may ask: nobody else */

        return NGX_HTTP_FORBIDDEN;
    }

    if (ngx_http_gatehouse_worker.conf == NULL) {
        return NGX_HTTP_SERVICE_UNAVAILABLE;
    }

    if (r->method == NGX_HTTP_POST
        && ngx_http_gatehouse_ends_with(&r->uri, "/flush"))
    {
        ngx_http_gatehouse_limits_flush(NGX_HTTP_GATEHOUSE_FLUSH_MAX, 1);

        return ngx_http_gatehouse_send_json(r, NGX_HTTP_OK,
                   json_pack("{s:b}", "flushed",
                             (int) ngx_http_gatehouse_redis_up()));
    }

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    if (ngx_http_gatehouse_ends_with(&r->uri, "/status")) {
        return ngx_http_gatehouse_status(r);
    }

    p = ngx_strnstr(r->uri.data, (char *) prefix.data, r->uri.len);

    if (p) {
        id.data = p + prefix.len;
        id.len = r->uri.data + r->uri.len - id.data;

        return ngx_http_gatehouse_decision_answer(r, &id);
    }

    return NGX_HTTP_NOT_FOUND;
}
