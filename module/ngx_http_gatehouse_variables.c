
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


/* names of objects and texts of the request; no memory is needed for them */

static ngx_str_t
ngx_http_gatehouse_variable_text(ngx_http_gatehouse_ctx_t *ctx,
    ngx_http_gatehouse_variable_t what)
{
    ngx_str_t  s;

    ngx_str_null(&s);

    switch (what) {

    case NGX_HTTP_GATEHOUSE_DECISION_VARIABLE:
        s.data = ctx->decision;
        s.len = NGX_HTTP_GATEHOUSE_DECISION_LEN;
        return s;

    case NGX_HTTP_GATEHOUSE_CODE_VARIABLE:
        return ctx->decided ? ngx_http_gatehouse_faults[ctx->fault].code : s;

    case NGX_HTTP_GATEHOUSE_DETAIL_VARIABLE:
        return ctx->reason;

    case NGX_HTTP_GATEHOUSE_API_VARIABLE:
        return ctx->api ? ctx->api->kept.name : s;

    case NGX_HTTP_GATEHOUSE_SERVICE_VARIABLE:
        if (ctx->api) {
            ngx_http_gatehouse_slice(&s, ctx->api->api.service);
        }

        return s;

    case NGX_HTTP_GATEHOUSE_ACCOUNT_VARIABLE:
        return ctx->account;

    case NGX_HTTP_GATEHOUSE_APPLICATION_VARIABLE:
        return ctx->app;

    case NGX_HTTP_GATEHOUSE_PLAN_VARIABLE:
        return ctx->plan ? ctx->plan->kept.name : s;

    case NGX_HTTP_GATEHOUSE_USER_VARIABLE:
        return ctx->user;

    case NGX_HTTP_GATEHOUSE_CREDENTIAL_VARIABLE:
        return ctx->credential_id;

    case NGX_HTTP_GATEHOUSE_KIND_VARIABLE:
        return *ngx_http_gatehouse_source_name(ctx->source);

    case NGX_HTTP_GATEHOUSE_DEGRADED_VARIABLE:
        if (ctx->degraded) {
            ngx_str_set(&s, "limits");
        }

        return s;

    case NGX_HTTP_GATEHOUSE_OVER_VARIABLE:
        return ctx->over;

    default:
        return s;
    }
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

    } else if (ctx && ctx->costs && data == NGX_HTTP_GATEHOUSE_COST_VARIABLE) {
        p = ngx_pnalloc(r->pool, NGX_INT32_LEN);
        if (p == NULL) {
            return NGX_ERROR;
        }

        s.data = p;
        s.len = ngx_sprintf(p, "%uD", ctx->costs[0]) - p;

    } else if (ctx) {
        s = ngx_http_gatehouse_variable_text(ctx, data);
    }

    v->data = s.data;
    v->len = s.len;
    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = s.len == 0;

    return NGX_OK;
}
