
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_variables.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_path.h"


static ngx_int_t ngx_http_gatehouse_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);


static ngx_str_t  ngx_http_gatehouse_variable_names[] = {
#define X(name, what, help)  ngx_string(name),
    NGX_HTTP_GATEHOUSE_VARIABLES(X)
#undef X
};


ngx_str_t *
ngx_http_gatehouse_source_name(ngx_uint_t source)
{
    static ngx_str_t  names[] = {
        ngx_null_string, ngx_string("key"), ngx_string("key"),
        ngx_string("key"), ngx_string("id_key"), ngx_string("jwt"),
        ngx_string("session"), ngx_string("anonymous")
    };

    return &names[source < sizeof(names) / sizeof(names[0]) ? source : 0];
}


ngx_int_t
ngx_http_gatehouse_add_variables(ngx_conf_t *cf)
{
    ngx_uint_t            i;
    ngx_http_variable_t  *var;

    for (i = 0; i < NGX_HTTP_GATEHOUSE_NVARIABLES; i++) {
        var = ngx_http_add_variable(cf, &ngx_http_gatehouse_variable_names[i],
                                    NGX_HTTP_VAR_NOCACHEABLE);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = ngx_http_gatehouse_variable;
        var->data = i;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_gatehouse_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data)
{
    u_char                    *p;
    ngx_str_t                  s;
    ngx_http_gatehouse_ctx_t  *ctx;

    ctx = ngx_http_gatehouse_get_ctx(r->main);
    ngx_str_null(&s);

    if (data == NGX_HTTP_GATEHOUSE_TARGET_VARIABLE) {
        s = ctx ? ctx->target : r->main->unparsed_uri;

        if (ngx_http_gatehouse_path_mask(r->main, &s) == NGX_ERROR) {
            return NGX_ERROR;
        }

        goto done;
    }

    if (ctx == NULL) {
        v->not_found = 1;
        return NGX_OK;
    }

    switch (data) {

    case NGX_HTTP_GATEHOUSE_DECISION_VARIABLE:
        s.data = ctx->decision;
        s.len = NGX_HTTP_GATEHOUSE_DECISION_LEN;
        break;

    case NGX_HTTP_GATEHOUSE_CODE_VARIABLE:
        if (ctx->decided) {
            s = ngx_http_gatehouse_faults[ctx->fault].code;
        }

        break;

    case NGX_HTTP_GATEHOUSE_DETAIL_VARIABLE:
        s = ctx->reason;
        break;

    case NGX_HTTP_GATEHOUSE_API_VARIABLE:
        if (ctx->api) {
            s = ctx->api->kept.name;
        }

        break;

    case NGX_HTTP_GATEHOUSE_SERVICE_VARIABLE:
        if (ctx->api) {
            ngx_http_gatehouse_slice(&s, ctx->api->api.service);
        }

        break;

    case NGX_HTTP_GATEHOUSE_ACCOUNT_VARIABLE:
        s = ctx->account;
        break;

    case NGX_HTTP_GATEHOUSE_APPLICATION_VARIABLE:
        s = ctx->app;
        break;

    case NGX_HTTP_GATEHOUSE_PLAN_VARIABLE:
        if (ctx->plan) {
            s = ctx->plan->kept.name;
        }

        break;

    case NGX_HTTP_GATEHOUSE_USER_VARIABLE:
        s = ctx->user;
        break;

    case NGX_HTTP_GATEHOUSE_CREDENTIAL_VARIABLE:
        s = ctx->credential_id;
        break;

    case NGX_HTTP_GATEHOUSE_KIND_VARIABLE:
        s = *ngx_http_gatehouse_source_name(ctx->source);
        break;

    case NGX_HTTP_GATEHOUSE_COST_VARIABLE:
        if (ctx->costs == NULL) {
            break;
        }

        p = ngx_pnalloc(r->pool, NGX_INT32_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        s.data = p;
        s.len = ngx_sprintf(p, "%uD", ctx->costs[0]) - p;
        break;

    case NGX_HTTP_GATEHOUSE_DEGRADED_VARIABLE:
        if (ctx->degraded) {
            ngx_str_set(&s, "limits");
        }

        break;

    case NGX_HTTP_GATEHOUSE_OVER_VARIABLE:
        s = ctx->over;
        break;
    }

done:

    v->data = s.data;
    v->len = s.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = s.len == 0;

    return NGX_OK;
}
