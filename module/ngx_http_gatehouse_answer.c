
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_answer.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_decision.h"
#include "ngx_http_gatehouse_limits.h"


#define NGX_HTTP_GATEHOUSE_RETURN_MAX  2048     /* of a page to come back to */


const ngx_http_gatehouse_fault_text_t  ngx_http_gatehouse_faults[] = {
    { 200, ngx_string("allowed"), ngx_string("Allowed") },
#define X(name, status, code, title)                                          \
    { status, ngx_string(code), ngx_string(title) },
    NGX_HTTP_GATEHOUSE_FAULTS(X)
#undef X
};


static ngx_str_t  ngx_http_gatehouse_page[] = {
    ngx_string("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\""
               "utf-8\"><meta name=\"viewport\" content=\"width=device-width\">"
               "<title>"),
    ngx_string("</title><style>body{font:16px/1.5 system-ui,sans-serif;margin:"
               "15vh auto;max-width:34em;padding:0 1em}code{background:#eee;"
               "padding:.1em .3em}</style></head><body><h1>"),
    ngx_string("</h1><p>"),
    ngx_string("</p><p>Code <code>"),
    ngx_string("</code>, decision <code>"),
    ngx_string("</code></p></body></html>\n")
};


ngx_int_t
ngx_http_gatehouse_answer_header(ngx_http_request_t *r, const char *name,
    ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    h->key.data = (u_char *) name;
    h->key.len = ngx_strlen(name);
    h->lowcase_key = NULL;
    h->value = *value;

    if (h->key.len == sizeof("WWW-Authenticate") - 1
        && ngx_strcmp(name, "WWW-Authenticate") == 0)
    {
        r->headers_out.www_authenticate = h;
    }

    return NGX_OK;
}


/* a client's header by its name in lower case; only when refusing */

static ngx_str_t *
ngx_http_gatehouse_request_header(ngx_http_request_t *r, const char *name)
{
    size_t            len;
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    len = ngx_strlen(name);

    for (part = &r->headers_in.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == len
                && ngx_strncmp(h[i].lowcase_key, name, len) == 0)
            {
                return &h[i].value;
            }
        }
    }

    return NULL;
}


static ngx_uint_t
ngx_http_gatehouse_wants_page(ngx_http_request_t *r)
{
    ngx_str_t  *accept;

    accept = ngx_http_gatehouse_request_header(r, "accept");

    return accept
           && ngx_strlcasestrn(accept->data, accept->data + accept->len,
                               (u_char *) "text/html", 9 - 1)
              != NULL;
}


ngx_uint_t
ngx_http_gatehouse_is_browser(ngx_http_request_t *r)
{
    ngx_str_t  *mode;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))
        || !ngx_http_gatehouse_wants_page(r)
        || r->headers_in.upgrade
        || ngx_http_gatehouse_request_header(r, "x-requested-with"))
    {
        return 0;
    }

    mode = ngx_http_gatehouse_request_header(r, "sec-fetch-mode");

    return mode == NULL
           || (mode->len == 8 && ngx_strncmp(mode->data, "navigate", 8) == 0);
}


static ngx_int_t
ngx_http_gatehouse_send(ngx_http_request_t *r, ngx_str_t *body)
{
    ngx_int_t     rc;
    ngx_buf_t    *b;
    ngx_chain_t   out;

    r->headers_out.content_length_n = body->len;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    b = ngx_calloc_buf(r->pool);
    if (b == NULL) {
        return NGX_ERROR;
    }

    b->pos = body->data;
    b->last = body->data + body->len;
    b->memory = body->len ? 1 : 0;
    b->last_buf = 1;
    b->last_in_chain = 1;

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


ngx_int_t
ngx_http_gatehouse_answer_text(ngx_http_request_t *r, ngx_uint_t status,
    const char *type, ngx_str_t *body)
{
    ngx_int_t  rc;

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    r->headers_out.status = status;
    r->headers_out.content_type.data = (u_char *) type;
    r->headers_out.content_type.len = ngx_strlen(type);
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = NULL;

    return ngx_http_gatehouse_send(r, body);
}


/* the login page of the API's identity provider, which leads back here */

static ngx_int_t
ngx_http_gatehouse_location(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    u_char                    *p;
    size_t                     len;
    ngx_str_t                  origin, name, target;
    ngx_table_elt_t           *h;
    ngx_http_gatehouse_idp_t  *idp;

    idp = ngx_http_gatehouse_catalog_begin() == NGX_OK
          ? ngx_http_gatehouse_catalog_idp(ctx->api->api.login) : NULL;

    ngx_str_null(&origin);

    if (idp) {
        ngx_http_gatehouse_slice(&origin, idp->idp.origin);
    }

    ngx_http_gatehouse_slice(&name, ctx->api->api.login);

    target = ctx->target;

    if (target.len > NGX_HTTP_GATEHOUSE_RETURN_MAX) {
        ngx_str_set(&target, "/");
    }

    len = origin.len + sizeof("/gatehouse/login/?return=") + name.len
          + target.len
          + 2 * ngx_escape_uri(NULL, target.data, target.len,
                               NGX_ESCAPE_URI_COMPONENT);

    p = ngx_pnalloc(r->pool, len);
    h = ngx_list_push(&r->headers_out.headers);

    if (p == NULL || h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 1;
    ngx_str_set(&h->key, "Location");
    h->lowcase_key = NULL;
    h->value.data = p;

    p = ngx_cpymem(p, origin.data, origin.len);
    p = ngx_cpymem(p, "/gatehouse/login/", sizeof("/gatehouse/login/") - 1);
    p = ngx_cpymem(p, name.data, name.len);
    p = ngx_cpymem(p, "?return=", sizeof("?return=") - 1);
    p = (u_char *) ngx_escape_uri(p, target.data, target.len,
                                  NGX_ESCAPE_URI_COMPONENT);

    h->value.len = p - h->value.data;

    ngx_http_clear_location(r);
    r->headers_out.location = h;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gatehouse_refuse_headers(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx, ngx_uint_t status)
{
    u_char     *p;
    ngx_str_t   value;

    value.data = ctx->decision;
    value.len = NGX_HTTP_GATEHOUSE_DECISION_LEN;

    if (ngx_http_gatehouse_answer_header(r, "Gatehouse-Decision", &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "no-store");

    if (ngx_http_gatehouse_answer_header(r, "Cache-Control", &value)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (status == NGX_HTTP_UNAUTHORIZED
        && ngx_http_gatehouse_answer_header(r, "WWW-Authenticate",
                                            &ctx->api->challenge)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (status == NGX_HTTP_TOO_MANY_REQUESTS
        || status == NGX_HTTP_SERVICE_UNAVAILABLE)
    {
        p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        value.data = p;
        value.len = ngx_sprintf(p, "%uL",
                                ctx->retry_ms
                                ? ngx_http_gatehouse_seconds(ctx->retry_ms)
                                : 1)
                    - p;

        if (ngx_http_gatehouse_answer_header(r, "Retry-After", &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ctx->fault == NGX_HTTP_GATEHOUSE_QUOTA_EXCEEDED) {
        return ngx_http_gatehouse_limits_headers(r, ctx);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_gatehouse_problem(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx, ngx_str_t *body)
{
    u_char                                 *p;
    size_t                                  len;
    ngx_str_t                               decision, *policy;
    const ngx_http_gatehouse_fault_text_t  *f;

    static ngx_str_t  type = ngx_string("urn:gatehouse:problem:");
    static ngx_str_t  quota = ngx_string(
                "https://iana.org/assignments/http-problem-types#");

    f = &ngx_http_gatehouse_faults[ctx->fault];
    policy = NULL;

    decision.data = ctx->decision;
    decision.len = NGX_HTTP_GATEHOUSE_DECISION_LEN;

    if (ctx->fault == NGX_HTTP_GATEHOUSE_QUOTA_EXCEEDED
        && ctx->spend.which < ctx->spend.n)
    {
        policy = ngx_http_gatehouse_charge_name(ctx,
                                    &ctx->spend.charges[ctx->spend.which]);
    }

    len = 256 + f->code.len * 2 + f->title.len + (policy ? policy->len : 0);

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;

    if (policy) {
        p = ngx_sprintf(p, "{\"type\":\"%Vquota-exceeded\"", &quota);

    } else {
        p = ngx_sprintf(p, "{\"type\":\"%V%V\"", &type, &f->code);
    }

    p = ngx_sprintf(p, ",\"title\":\"%V\",\"status\":%ui,\"code\":\"%V\","
                    "\"decision\":\"%V\"",
                    &f->title, f->status, &f->code, &decision);

    if (policy) {
        p = ngx_sprintf(p, ",\"violated-policies\":[%V]", policy);
    }

    *p++ = '}';
    *p++ = '\n';

    body->len = p - body->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gatehouse_html(ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx,
    ngx_str_t *body)
{
    u_char                                 *p;
    size_t                                  len;
    ngx_str_t                               texts[5], when;
    ngx_uint_t                              i;
    const ngx_http_gatehouse_fault_text_t  *f;
    u_char                                  buf[64];

    f = &ngx_http_gatehouse_faults[ctx->fault];

    when.data = buf;
    when.len = 0;

    if (ctx->retry_ms) {
        when.len = ngx_snprintf(buf, sizeof(buf), "Try again in %uL seconds.",
                                ngx_http_gatehouse_seconds(ctx->retry_ms))
                   - buf;
    }

    texts[0] = f->title;
    texts[1] = f->title;
    texts[2] = when;
    texts[3] = f->code;
    texts[4].data = ctx->decision;
    texts[4].len = NGX_HTTP_GATEHOUSE_DECISION_LEN;

    len = ngx_http_gatehouse_page[5].len;

    for (i = 0; i < 5; i++) {
        len += ngx_http_gatehouse_page[i].len + texts[i].len;
    }

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    body->data = p;
    body->len = len;

    for (i = 0; i < 5; i++) {
        p = ngx_cpymem(p, ngx_http_gatehouse_page[i].data,
                       ngx_http_gatehouse_page[i].len);
        p = ngx_cpymem(p, texts[i].data, texts[i].len);
    }

    ngx_memcpy(p, ngx_http_gatehouse_page[5].data,
               ngx_http_gatehouse_page[5].len);

    return NGX_OK;
}


/* whether the administrator has a page of his own for this status */

static ngx_uint_t
ngx_http_gatehouse_error_page(ngx_http_request_t *r, ngx_int_t status)
{
    ngx_uint_t                  i;
    ngx_http_err_page_t        *page;
    ngx_http_core_loc_conf_t   *clcf;

    clcf = ngx_http_get_module_loc_conf(r, ngx_http_core_module);

    if (clcf->error_pages == NULL || r->error_page || r->internal) {
        return 0;
    }

    page = clcf->error_pages->elts;

    for (i = 0; i < clcf->error_pages->nelts; i++) {
        if (page[i].status == status) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_gatehouse_refuse(ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_int_t    rc;
    ngx_str_t    body;
    ngx_uint_t   status, page;
    const char  *type;

    if (ctx->fault >= NGX_HTTP_GATEHOUSE_NFAULTS) {
        ctx->fault = NGX_HTTP_GATEHOUSE_GATE_UNAVAILABLE;
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    status = ngx_http_gatehouse_faults[ctx->fault].status;

    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0,
                  "gatehouse: refused, %V%s%V, decision %*s",
                  &ngx_http_gatehouse_faults[ctx->fault].code,
                  ctx->reason.len ? ": " : "", &ctx->reason,
                  (size_t) NGX_HTTP_GATEHOUSE_DECISION_LEN, ctx->decision);

    if (ctx->fault != NGX_HTTP_GATEHOUSE_LOGIN) {
        ngx_http_gatehouse_decision_keep(ctx);
    }

    if (ngx_http_gatehouse_refuse_headers(r, ctx, status) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ctx->fault == NGX_HTTP_GATEHOUSE_LOGIN) {
        return ngx_http_gatehouse_location(r, ctx) == NGX_OK
               ? (ngx_int_t) status : NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (ngx_http_gatehouse_error_page(r, status)) {
        return status;
    }

    page = ngx_http_gatehouse_is_browser(r);

    rc = page ? ngx_http_gatehouse_html(r, ctx, &body)
              : ngx_http_gatehouse_problem(r, ctx, &body);

    if (rc != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    type = page ? "text/html; charset=utf-8" : "application/problem+json";

    ngx_http_finalize_request(r, ngx_http_gatehouse_answer_text(r, status,
                                                                type, &body));

    return NGX_DONE;
}
