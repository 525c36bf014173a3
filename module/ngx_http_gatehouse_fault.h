
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every reason for which the gate refuses, and what the client is told.  The
 * one place that maps faults to statuses; the reference page is made from it.
 *
 *     X(NAME, status, code, title)
 *
 * "code" is the contract with clients: it never changes its meaning.
 */


#ifndef _NGX_HTTP_GATEHOUSE_FAULT_H_INCLUDED_
#define _NGX_HTTP_GATEHOUSE_FAULT_H_INCLUDED_


#define NGX_HTTP_GATEHOUSE_FAULTS(X)                                          \
    X(BAD_PATH, 400, "bad_path",                                              \
      "This path can be read in more than one way")                           \
    X(BAD_PROTOCOL, 400, "bad_protocol",                                      \
      "This version of HTTP is not spoken here")                              \
    X(NO_API, 404, "no_api", "No API is published here")                      \
    X(NO_RULE, 404, "no_rule", "This API has no such operation")              \
    X(DUPLICATE_CREDENTIAL, 400, "duplicate_credential",                      \
      "The request carries more than one credential")                         \
    X(CREDENTIAL_MISSING, 401, "credential_missing",                          \
      "This API needs a credential")                                          \
    X(CREDENTIAL_INVALID, 401, "credential_invalid",                          \
      "The credential is not valid")                                          \
    X(LOGIN, 302, "login", "Log in first")                                    \
    X(APPLICATION_SUSPENDED, 403, "application_suspended",                    \
      "This application may not call at present")                             \
    X(ACCOUNT_SUSPENDED, 403, "account_suspended",                            \
      "This account may not call at present")                                 \
    X(IP_DENIED, 403, "ip_denied", "Not from this address")                   \
    X(REFERRER_DENIED, 403, "referrer_denied", "Not from this page")          \
    X(CERTIFICATE_DENIED, 403, "certificate_denied",                          \
      "Not with this certificate")                                            \
    X(NOT_IN_PLAN, 403, "not_in_plan",                                        \
      "The application's plan does not include this call")                    \
    X(NOT_AUTHORIZED, 403, "not_authorized",                                  \
      "The caller has none of the roles that this API asks for")              \
    X(QUOTA_EXCEEDED, 429, "quota_exceeded", "A limit is used up")            \
    X(COST_EXCEEDS_LIMIT, 422, "cost_exceeds_limit",                          \
      "This one call costs more than the whole limit")                        \
    X(LIMITER_UNAVAILABLE, 503, "limiter_unavailable",                        \
      "The limits cannot be counted at present")                              \
    X(SESSION_UNAVAILABLE, 503, "session_unavailable",                        \
      "The login cannot be looked up at present")                             \
    X(SERVICE_UNAVAILABLE, 503, "service_unavailable",                        \
      "The service behind this API is not available at present")              \
    X(GATE_UNAVAILABLE, 503, "gate_unavailable",                              \
      "The gate cannot decide at present")


/*
 * What a step of the access phase says.  PASS goes on with the next step, WAIT
 * has arranged to be called again, ERROR is out of memory or worse (500).
 */

typedef enum {
    NGX_HTTP_GATEHOUSE_PASS = 0,
#define X(name, status, code, title)  NGX_HTTP_GATEHOUSE_##name,
    NGX_HTTP_GATEHOUSE_FAULTS(X)
#undef X
    NGX_HTTP_GATEHOUSE_NFAULTS,
    NGX_HTTP_GATEHOUSE_WAIT,
    NGX_HTTP_GATEHOUSE_ERROR
} ngx_http_gatehouse_fault_t;


typedef struct {
    ngx_uint_t                     status;
    ngx_str_t                      code;
    ngx_str_t                      title;
} ngx_http_gatehouse_fault_text_t;

/* by fault; PASS has status 200 and code "allowed" */
extern const ngx_http_gatehouse_fault_text_t  ngx_http_gatehouse_faults[];


#endif /* _NGX_HTTP_GATEHOUSE_FAULT_H_INCLUDED_ */
