
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every variable, once:  X(name, what, help)
 *
 * None of them ever holds a credential.  They are empty where the gate was not
 * asked.
 */


#ifndef _NGX_HTTP_GATEHOUSE_VARIABLES_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_VARIABLES_H_INCLUDED_


#include "ngx_http_gatehouse_ctx.h"


#define NGX_HTTP_GATEHOUSE_VARIABLES(X)                                       \
    X("gatehouse_decision", DECISION,                                         \
      "The decision's id: gatehouse explain tells its story.")                \
    X("gatehouse_reason", CODE,                                               \
      "\"allowed\", or the code of the refusal.")                             \
    X("gatehouse_detail", DETAIL,                                             \
      "Why in more words than the client is told.")                           \
    X("gatehouse_api", API, "The API.")                                       \
    X("gatehouse_service", SERVICE, "The service behind the API.")            \
    X("gatehouse_account", ACCOUNT, "The account of the application.")        \
    X("gatehouse_application", APPLICATION, "The application that calls.")    \
    X("gatehouse_plan", PLAN, "The application's plan.")                      \
    X("gatehouse_user", USER,                                                 \
      "The user, after a login or by a token; percent-encoded.")              \
    X("gatehouse_credential", CREDENTIAL,                                     \
      "The public name of the credential; never the key.")                    \
    X("gatehouse_credential_kind", KIND,                                      \
      "\"key\", \"id_key\", \"jwt\", \"session\" or \"anonymous\".")          \
    X("gatehouse_cost", COST, "What the call counts for \"hits\".")           \
    X("gatehouse_degraded", DEGRADED,                                         \
      "\"limits\" when the call was admitted without the limits' store.")     \
    X("gatehouse_over", OVER, "The soft limits that are passed.")             \
    X("gatehouse_request_uri", TARGET,                                        \
      "The request target as the client sent it, with keys in the query as "  \
      "\"***\". For logs, in place of $request_uri.")


typedef enum {
#define X(name, what, help)  NGX_HTTP_GATEHOUSE_##what##_VARIABLE,
    NGX_HTTP_GATEHOUSE_VARIABLES(X)
#undef X
    NGX_HTTP_GATEHOUSE_NVARIABLES
} ngx_http_gatehouse_variable_t;


ngx_int_t ngx_http_gatehouse_add_variables(ngx_conf_t *cf);

/* "key", "jwt" and so on; empty for none */
ngx_str_t *ngx_http_gatehouse_source_name(ngx_uint_t source);


#endif /* _NGX_HTTP_GATEHOUSE_VARIABLES_H_INCLUDED_ */
