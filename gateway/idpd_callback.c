/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way back from a provider. Each step answers and ends, or says go on; the
 * code is spent only after the state proved to be this browser's, fresh and
 * never used.
 */
#include "idpd.h"

#include "encode.h"
#include "log.h"
#include "oauth2_client.h"

#include <stdio.h>
#include <stdlib.h>

struct login {
    struct gh_idpd_request *r;
    struct gh_idpd_keeper *keeper; /* room at the provider */
    struct gh_idp idp;
    struct gh_oidc_answer answer;
    struct gh_oidc_flow flow;
    char cookie[sizeof(GH_OIDC_COOKIE) + GH_OIDC_COOKIE_TAG];
    struct gh_oidc_tokens tokens;
    struct gh_session session;
    char value[GH_SESSION_VALUE_LEN + 1]; /* of the new cookie */
};

enum { GO_ON = 0, ENDED = 1 };

/* ---- answers of a step that ends it */

static int
refuse(struct login *l, enum gh_oidc_fault fault, enum gh_jwt_fault jwt)
{
    const char *code = gh_oidc_fault_name(fault);
    unsigned status = gh_oidc_fault_status(fault);
    char again[GH_NAME_SIZE + 32];

    snprintf(again, sizeof(again), "/gatehouse/login/%.*s", (int)l->r->name.len,
             (const char *)l->r->name.data);
    if (fault == GH_OIDC_ID_TOKEN)
        gh_log(GH_LOG_WARN, "login %.*s: id token: %s", (int)l->r->name.len,
               (const char *)l->r->name.data, gh_jwt_fault_name(jwt));
    gh_idpd_problem(l->r, status, code, again, "%s",
                    status == 400 ? "This login was not begun here, is too "
                                    "old, or was used before. Begin it again."
                    : status == 403
                        ? "The identity provider did not let you in."
                    : status == 502 ? "What the identity provider said about "
                                      "you cannot be trusted."
                                    : "Out of memory.");
    return ENDED;
}

static int
failed(struct login *l, const char *code, const struct gh_error *e)
{
    gh_idpd_failed(l->r, code, e);
    return ENDED;
}

static int
unavailable(struct login *l, const struct gh_error *e)
{
    gh_log(GH_LOG_WARN, "login %.*s: %s", (int)l->r->name.len,
           (const char *)l->r->name.data, e->message);
    gh_idpd_problem(l->r, 503, "provider_unavailable", NULL,
                    "The identity provider does not answer.");
    return ENDED;
}

/* ---- the steps */

static int
find_provider(struct login *l)
{
    struct gh_error e;
    int found = gh_idpd_provider(l->r->d, l->r->name, &l->r->a, &l->idp, &e);

    if (found < 0)
        return failed(l, "catalog_unavailable", &e);
    if (found == 0 || l->idp.client_id.len == 0) {
        gh_idpd_problem(l->r, 404, "no_login", NULL,
                        "There is no login by this name.");
        return ENDED;
    }
    return GO_ON;
}

static int
read_answer(struct login *l)
{
    enum gh_oidc_fault f = gh_oidc_answer(l->r->query, &l->r->a, &l->answer);

    return f == GH_OIDC_OK ? GO_ON : refuse(l, f, GH_JWT_OK);
}

/* The cookie is named by the first characters of its state, so that logins in
 * several tabs do not meet. */
static int
find_flow(struct login *l)
{
    struct gh_slice state = l->answer.state, value;
    unsigned char raw[GH_OIDC_COOKIE_TAG];
    enum gh_oidc_fault f;

    if (state.len != GH_OIDC_TOKEN_LEN ||
        gh_base64url_decode(gh_slice(state.data, GH_OIDC_COOKIE_TAG), raw,
                            sizeof(raw)) < 0)
        return refuse(l, GH_OIDC_WRONG_STATE, GH_JWT_OK);
    snprintf(l->cookie, sizeof(l->cookie), "%s%.*s", GH_OIDC_COOKIE,
             GH_OIDC_COOKIE_TAG, (const char *)state.data);
    value = gh_idpd_cookie(l->r, l->cookie);
    f = gh_oidc_flow_open(&l->r->d->login_seal, l->idp.name, value, &l->r->a,
                          &l->flow);
    return f == GH_OIDC_OK ? GO_ON : refuse(l, f, GH_JWT_OK);
}

static void
forget_cookie(struct login *l)
{
    gh_idpd_set(l->r, "Set-Cookie", "%s=; Max-Age=0; " GH_IDPD_STATE_ATTRIBUTES,
                l->cookie, gh_get_copy(&l->r->a, l->r->name).data);
}

static int
check_answer(struct login *l)
{
    enum gh_oidc_fault f =
        gh_oidc_callback(&l->idp, &l->flow, &l->answer, gh_idpd_now_ms());

    if (f == GH_OIDC_OK)
        return GO_ON;
    if (f != GH_OIDC_WRONG_STATE && f != GH_OIDC_BAD_REQUEST)
        forget_cookie(l);
    return refuse(l, f, GH_JWT_OK);
}

/* A provider that hangs holds its own logins only. */
static int
find_room(struct login *l)
{
    l->keeper = gh_idpd_keeper_enter(l->r->d, l->r->name);
    if (l->keeper != NULL)
        return GO_ON;
    gh_idpd_problem(l->r, 503, "provider_busy", NULL,
                    "Too many logins wait for this identity provider.");
    return ENDED;
}

static int
use_once(struct login *l)
{
    struct gh_slice part = gh_slice_str(l->flow.state);
    unsigned char digest[GH_DIGEST_SIZE];
    char hex[2 * GH_DIGEST_SIZE + 1];
    struct gh_error e;
    int fresh;

    gh_hmac(&l->r->d->state_key, &part, 1, digest);
    gh_hex_encode(gh_slice(digest, sizeof(digest)), hex);
    fresh = gh_idpd_redis_once(l->r->d->redis, hex, 2 * GH_OIDC_FLOW_MS, &e);
    if (fresh < 0)
        return failed(l, "sessions_unavailable", &e);
    forget_cookie(l);
    return fresh == 1 ? GO_ON : refuse(l, GH_OIDC_FLOW_USED, GH_JWT_OK);
}

static int
token_call(struct login *l, struct gh_oauth2_call *call, struct gh_error *e)
{
    struct gh_alloc *a = &l->r->a;
    struct gh_buffer redirect = GH_BUFFER_INIT;
    char secret[GH_IDPD_SECRET];
    int rc, has = gh_idpd_secret_read(l->r->d, l->r->name, secret, e);

    if (has < 0)
        return -1;
    gh_oidc_redirect_uri(&l->idp, &redirect);
    struct gh_oauth2_field fields[] = {
        {"grant_type", "authorization_code"},
        {"code", (const char *)gh_get_copy(a, l->answer.code).data},
        {"redirect_uri", gh_buffer_string(&redirect)},
        {"code_verifier", l->flow.verifier},
        {NULL, NULL}};
    rc = gh_oauth2_client_call(
        gh_idpd_keeper_methods(l->r->d, l->r->name),
        (const char *)gh_get_copy(a, l->idp.client_id).data,
        has ? secret : NULL, fields, call, e);
    explicit_bzero(secret, sizeof(secret));
    gh_buffer_finish(&redirect);
    return rc;
}

static int
spend_code(struct login *l)
{
    struct gh_buffer body = GH_BUFFER_INIT;
    struct gh_oauth2_call call;
    enum gh_oidc_fault f;
    struct gh_error e;
    long status = 0;
    int rc;

    if (token_call(l, &call, &e) != 0)
        return failed(l, "login_unavailable", &e);
    struct gh_idpd_call http = {
        .url = (const char *)gh_get_copy(&l->r->a, l->idp.token_endpoint).data,
        .body = gh_buffer_string(&call.form),
        .type = "application/x-www-form-urlencoded"};
    if (call.username.len > 0) {
        http.username = gh_buffer_string(&call.username);
        http.password = gh_buffer_string(&call.password);
    }
    rc = gh_idpd_fetch(l->r->d, &http, &body, &status, &e);
    gh_oauth2_client_finish(&call);
    f = rc == 0 && status == 200
            ? gh_oidc_tokens(gh_buffer_slice(&body), &l->r->a, &l->tokens)
            : GH_OIDC_BAD_TOKENS;
    if (body.data != NULL)
        explicit_bzero(body.data, body.cap);
    gh_buffer_finish(&body);
    if (rc != 0 && e.code == GH_EUNAVAILABLE)
        return unavailable(l, &e);
    if (f != GH_OIDC_OK)
        gh_log(GH_LOG_WARN, "login %.*s: token endpoint: status %ld",
               (int)l->r->name.len, (const char *)l->r->name.data, status);
    return f == GH_OIDC_OK ? GO_ON : refuse(l, f, GH_JWT_OK);
}

static enum gh_oidc_fault
verify(struct login *l, enum gh_jwt_fault *jwt)
{
    struct gh_jwt_keys *keys;
    enum gh_oidc_fault f;

    *jwt = GH_JWT_OK;
    if (gh_jwt_keys_create(&l->idp, &keys, NULL) != 0)
        return GH_OIDC_NO_MEMORY;
    f = gh_oidc_id_token(keys, &l->idp, &l->flow, &l->tokens, gh_idpd_now_ms(),
                         &l->r->a, &l->session.identity, jwt);
    gh_jwt_keys_destroy(keys);
    return f;
}

#define LOGIN_REFRESH_MS 1000

/* A key we do not know yet: the provider may have changed keys. No stranger
 * gets here without a code that the provider took, so we may ask soon again. */
static int
check_id_token(struct login *l)
{
    enum gh_jwt_fault jwt;
    enum gh_oidc_fault f = verify(l, &jwt);
    int again;

    /* twice: the first fetch may have been on its way before the key was */
    for (again = 0;
         again < 2 && f == GH_OIDC_ID_TOKEN && jwt == GH_JWT_UNKNOWN_KEY;
         again++) {
        if (gh_idpd_keeper_refresh(l->r->d, l->r->name, LOGIN_REFRESH_MS,
                                   GH_IDPD_PATIENT) != GH_IDPD_FETCHED)
            break;
        if (find_provider(l) == ENDED)
            return ENDED;
        f = verify(l, &jwt);
    }
    return f == GH_OIDC_OK ? GO_ON : refuse(l, f, jwt);
}

static int
ask_userinfo(struct login *l)
{
    struct gh_buffer body = GH_BUFFER_INIT;
    enum gh_oidc_fault f = GH_OIDC_BAD_TOKENS;
    struct gh_error e;
    long status = 0;
    int rc;

    if (l->idp.userinfo_endpoint.len == 0)
        return GO_ON;
    struct gh_idpd_call http = {
        .url =
            (const char *)gh_get_copy(&l->r->a, l->idp.userinfo_endpoint).data,
        .bearer = (const char *)l->tokens.access_token.data};
    rc = gh_idpd_fetch(l->r->d, &http, &body, &status, &e);
    if (rc == 0 && status == 200)
        f = gh_oidc_userinfo(&l->idp, gh_buffer_slice(&body), &l->r->a,
                             &l->session.identity);
    gh_buffer_finish(&body);
    if (rc != 0 && e.code == GH_EUNAVAILABLE)
        return unavailable(l, &e);
    return f == GH_OIDC_OK ? GO_ON : refuse(l, f, GH_JWT_OK);
}

/* A login that ends well ends the session before it: an id is never reused. */
static int
end_old_session(struct login *l)
{
    struct gh_slice old = gh_idpd_cookie(l->r, GH_SESSION_COOKIE);
    char d[GH_SESSION_KEY_LEN + 1];
    struct gh_error e;

    if (gh_session_key(&l->r->d->sessions, old, d) != 0)
        return GO_ON;
    if (gh_idpd_redis_revoke(l->r->d->redis, d, &e) != 0)
        return failed(l, "sessions_unavailable", &e);
    return GO_ON;
}

static int
store_session(struct login *l)
{
    unsigned char id[GH_SESSION_ID_SIZE];
    char d[GH_SESSION_KEY_LEN + 1];
    struct gh_session *s = &l->session;
    struct gh_buffer sealed = GH_BUFFER_INIT;
    struct gh_error e;
    int rc;

    s->start_ms = gh_idpd_now_ms();
    s->idle_ms = l->idp.session_idle_ms;
    s->end_ms = s->start_ms + l->idp.session_max_ms;
    s->identity.expires_ms = s->end_ms;
    s->id_token = l->tokens.id_token;
    if (s->identity.client.len == 0)
        s->identity.client = l->idp.client_id;
    gh_random(id, sizeof(id));
    gh_session_value(id, l->value);
    rc = gh_session_key(&l->r->d->sessions, gh_slice_str(l->value), d);
    if (rc == 0)
        rc = gh_session_seal(&l->r->d->sessions, d, s, &sealed, &e);
    if (rc == 0)
        rc = gh_idpd_redis_store(l->r->d->redis, d, gh_buffer_slice(&sealed),
                                 gh_session_ttl(s, s->start_ms), &e);
    gh_buffer_finish(&sealed);
    if (rc != 0)
        return failed(l, "sessions_unavailable", &e);
    gh_log(GH_LOG_INFO, "login %.*s: session %.8s", (int)l->r->name.len,
           (const char *)l->r->name.data, d);
    return GO_ON;
}

static int
send_back(struct login *l)
{
    gh_idpd_set(l->r, "Set-Cookie",
                GH_SESSION_COOKIE "=%s; " GH_IDPD_SESSION_ATTRIBUTES, l->value);
    gh_idpd_redirect(
        l->r, 302,
        (const char *)gh_get_copy(&l->r->a, l->flow.return_path).data);
    return ENDED;
}

static int (*const steps[])(struct login *l) = {
    find_provider, read_answer,     find_flow,     check_answer,
    find_room,     use_once,        spend_code,    check_id_token,
    ask_userinfo,  end_old_session, store_session, send_back};

void
gh_idpd_callback(struct gh_idpd_request *r)
{
    struct login l = {.r = r};
    size_t i;

    for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        if (steps[i](&l) == ENDED)
            break;
    gh_idpd_keeper_leave(r->d, l.keeper);
}
