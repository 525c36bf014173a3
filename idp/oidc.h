/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OpenID Connect login by the authorization code flow (OpenID Connect Core 1.0
 * section 3.1, RFC 6749, PKCE S256 RFC 7636, iss parameter RFC 9207), as
 * values: what to send, and what to check of what came back. Pure.
 *
 *   begin ─► authorization URL + sealed flow in a cookie
 *   callback: flow from the cookie, gh_oidc_callback() ─► spend the code
 *   tokens: gh_oidc_tokens(), gh_oidc_id_token() ─► identity
 *   userinfo: gh_oidc_userinfo() ─► identity with more claims
 */
#ifndef GH_OIDC_H
#define GH_OIDC_H

#include "arena.h"
#include "error.h"
#include "identity.h"
#include "jwt.h"
#include "model.h"
#include "pack.h"
#include "seal.h"

#define GH_OIDC_RETURN_MAX 2048
#define GH_OIDC_FLOW_MS (10 * 60 * 1000)  /* from login to callback */
#define GH_OIDC_DOCUMENT_MAX (256 * 1024) /* discovery, tokens, userinfo */
#define GH_OIDC_URL_MAX 2048              /* of an endpoint */

/* Why a login fails: name in the code, stable name for machines, HTTP status,
 * meaning. The reference page is made from it. */
#define GH_OIDC_FAULT_TABLE(X)                                                 \
    X(OK, "ok", 200, "it holds")                                               \
    X(NO_FLOW, "login_not_begun_here", 400,                                    \
      "no state cookie of this browser and provider, or it was changed")       \
    X(WRONG_STATE, "login_wrong_state", 400,                                   \
      "`state` is not the one that this browser was sent with")                \
    X(FLOW_EXPIRED, "login_expired", 400,                                      \
      "it was begun more than 10 minutes ago")                                 \
    X(FLOW_USED, "login_used", 400, "this state was used before")              \
    X(WRONG_PROVIDER, "login_wrong_provider", 400,                             \
      "`iss` is another provider's, or missing where it must be there")        \
    X(BAD_REQUEST, "login_bad_request", 400,                                   \
      "parameters are missing, doubled or too long")                           \
    X(REFUSED, "login_refused", 403,                                           \
      "the provider said access_denied or the like")                           \
    X(PROVIDER_ERROR, "provider_error", 502,                                   \
      "the provider said any other error")                                     \
    X(BAD_TOKENS, "provider_bad_tokens", 502,                                  \
      "what its token or userinfo endpoint answered is not what the RFCs "     \
      "say")                                                                   \
    X(ID_TOKEN, "id_token_refused", 502,                                       \
      "refused as a token: the log names why")                                 \
    X(WRONG_NONCE, "id_token_wrong_nonce", 502, "`nonce` is not the login's")  \
    X(WRONG_PARTY, "id_token_wrong_party", 502,                                \
      "`azp` is not our client, or missing with several `aud`")                \
    X(WRONG_HASH, "id_token_wrong_hash", 502,                                  \
      "`at_hash` is not the access token's")                                   \
    X(NO_SUBJECT, "id_token_no_subject", 502, "`sub` is missing or too long")  \
    X(WRONG_SUBJECT, "userinfo_wrong_subject", 502,                            \
      "userinfo speaks of somebody else")                                      \
    X(NO_MEMORY, "no_memory", 500, "out of memory")

#define GH_OIDC_FAULT_ENUM(fault, name, status, text) GH_OIDC_##fault,
enum gh_oidc_fault { GH_OIDC_FAULT_TABLE(GH_OIDC_FAULT_ENUM) GH_OIDC_FAULTS };
#undef GH_OIDC_FAULT_ENUM

const char *gh_oidc_fault_name(enum gh_oidc_fault f); /* static */
unsigned gh_oidc_fault_status(enum gh_oidc_fault f);

/* ---- where a browser may be sent back to ---- */

/*
 * A path of our own origin: begins with one '/', then neither '/' nor '\'
 * nor a control character nor a byte over 0x7e anywhere, no fragment, no
 * backslash, at most GH_OIDC_RETURN_MAX bytes, no dot segment (encoded or
 * not), and not below /gatehouse/ (no loops).
 */
bool gh_oidc_return_valid(struct gh_slice path);

/* An absolute URL we may talk to: https with a host, or http on loopback; no
 * userinfo, no fragment, no control characters. */
bool gh_oidc_url_valid(struct gh_slice url);

/* ---- the flow ---- */

#define GH_OIDC_TOKEN_LEN 43   /* base64url of 32 bytes */
#define GH_OIDC_RANDOM_SIZE 96 /* bytes that gh_oidc_begin() wants */
#define GH_OIDC_COOKIE "__Secure-gatehouse-login-"
#define GH_OIDC_COOKIE_TAG 8 /* first characters of state follow the name */

struct gh_oidc_flow {
    char state[GH_OIDC_TOKEN_LEN + 1];
    char nonce[GH_OIDC_TOKEN_LEN + 1];
    char verifier[GH_OIDC_TOKEN_LEN + 1]; /* PKCE */
    uint64_t begin_ms;
    struct gh_slice provider;
    struct gh_slice return_path; /* valid, or "/" */
};

/* A flow from fresh random bytes. An unfit return path becomes "/". Slices
 * stay the caller's. */
void gh_oidc_begin(const struct gh_idp *idp, struct gh_slice return_path,
                   const unsigned char random[GH_OIDC_RANDOM_SIZE],
                   uint64_t now_ms, struct gh_oidc_flow *out);

/* The provider's authorization endpoint with our request in its query. */
int gh_oidc_authorization_url(const struct gh_idp *idp,
                              const struct gh_oidc_flow *f,
                              struct gh_buffer *out, struct gh_error *e);

/* origin + "/gatehouse/callback/" + name */
void gh_oidc_redirect_uri(const struct gh_idp *idp, struct gh_buffer *out);

/* The flow as a cookie value (base64url of sealed bytes; AAD = provider). */
int gh_oidc_flow_seal(const struct gh_seal *s, const struct gh_oidc_flow *f,
                      struct gh_buffer *out, struct gh_error *e);
enum gh_oidc_fault gh_oidc_flow_open(const struct gh_seal *s,
                                     struct gh_slice provider,
                                     struct gh_slice cookie,
                                     const struct gh_alloc *a,
                                     struct gh_oidc_flow *out);

/* What came to the callback, decoded; `doubled` when a name came twice. */
struct gh_oidc_answer {
    struct gh_slice state, code, iss, error;
    bool doubled;
};

/* Reads a query string (no '?'), percent-decoded into memory of `a`. */
enum gh_oidc_fault gh_oidc_answer(struct gh_slice query,
                                  const struct gh_alloc *a,
                                  struct gh_oidc_answer *out);

/* May the code be spent? State (constant time), age, iss, errors. */
enum gh_oidc_fault gh_oidc_callback(const struct gh_idp *idp,
                                    const struct gh_oidc_flow *f,
                                    const struct gh_oidc_answer *answer,
                                    uint64_t now_ms);

/* ---- what the provider says ---- */

struct gh_oidc_tokens {
    struct gh_slice id_token, access_token; /* access_token may be empty */
};

enum gh_oidc_fault gh_oidc_tokens(struct gh_slice json,
                                  const struct gh_alloc *a,
                                  struct gh_oidc_tokens *out);

/*
 * Checks the ID token (Core section 3.1.3.7) and makes the identity. *jwt says
 * more when the answer is GH_OIDC_ID_TOKEN; GH_JWT_UNKNOWN_KEY there: refresh
 * the provider's keys and try once more.
 */
enum gh_oidc_fault gh_oidc_id_token(const struct gh_jwt_keys *keys,
                                    const struct gh_idp *idp,
                                    const struct gh_oidc_flow *f,
                                    const struct gh_oidc_tokens *tokens,
                                    uint64_t now_ms, const struct gh_alloc *a,
                                    struct gh_identity *out,
                                    enum gh_jwt_fault *jwt);

/* Adds the claims of a userinfo answer (Core section 5.3) to *id; its `sub`
 * must be the same. Claims of the ID token win. */
enum gh_oidc_fault gh_oidc_userinfo(const struct gh_idp *idp,
                                    struct gh_slice json,
                                    const struct gh_alloc *a,
                                    struct gh_identity *id);

struct gh_oidc_discovery {
    struct gh_slice issuer; /* whose it is */
    struct gh_slice authorization_endpoint, token_endpoint, userinfo_endpoint,
        end_session_endpoint, jwks_uri;
    bool require_iss;      /* authorization_response_iss_parameter_supported */
    uint32_t auth_methods; /* enum gh_oidc_auth */
};

enum gh_oidc_auth { /* how a client proves itself at the token endpoint */
                    GH_OIDC_AUTH_BASIC = 1 << 0,
                    GH_OIDC_AUTH_POST = 1 << 1,
                    GH_OIDC_AUTH_NONE = 1 << 2
};

/* ".well-known/openid-configuration" below the issuer. */
void gh_oidc_discovery_url(struct gh_slice issuer, struct gh_buffer *out);

/* Checks a discovery document: the issuer is exactly ours, endpoints are URLs
 * we may talk to, plain http only if the issuer is so. */
int gh_oidc_discovery(struct gh_slice json, struct gh_slice issuer,
                      const struct gh_alloc *a, struct gh_oidc_discovery *out,
                      struct gh_error *e);

/* The JSON of PUT /v1/idps/{name}/discovered. Read it by the other function
 * (control): keys are checked again, all in memory of `a`. */
int gh_oidc_discovered_write(const struct gh_oidc_discovery *d,
                             const struct gh_public_key *keys, size_t n,
                             struct gh_buffer *out, struct gh_error *e);
int gh_oidc_discovered_read(struct gh_slice json, const struct gh_alloc *a,
                            struct gh_oidc_discovery *d,
                            const struct gh_public_key **keys, size_t *n,
                            struct gh_error *e);

/* The provider's logout URL (RP-Initiated Logout 1.0), or -1 (GH_ENOTFOUND)
 * when it has none. */
int gh_oidc_logout_url(const struct gh_idp *idp, struct gh_slice id_token,
                       struct gh_slice return_url, struct gh_buffer *out,
                       struct gh_error *e);

#endif
