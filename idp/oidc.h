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

enum gh_oidc_fault {
    GH_OIDC_OK = 0,
    GH_OIDC_NO_FLOW,     /* no, foreign or unreadable state cookie */
    GH_OIDC_WRONG_STATE, /* state is not the one of this browser */
    GH_OIDC_FLOW_EXPIRED,
    GH_OIDC_FLOW_USED,      /* this state was used before */
    GH_OIDC_WRONG_PROVIDER, /* the flow belongs to another provider, or `iss` */
    GH_OIDC_BAD_REQUEST,    /* doubled, missing or oversized parameters */
    GH_OIDC_REFUSED,        /* the provider said access_denied and the like */
    GH_OIDC_PROVIDER_ERROR, /* any other error code from the provider */
    GH_OIDC_BAD_TOKENS,     /* the token answer is not what RFC 6749 says */
    GH_OIDC_ID_TOKEN,       /* refused as a JWT: see the jwt fault */
    GH_OIDC_WRONG_NONCE,
    GH_OIDC_WRONG_PARTY, /* azp is not ours, or missing with several aud */
    GH_OIDC_WRONG_HASH,  /* at_hash */
    GH_OIDC_NO_SUBJECT,
    GH_OIDC_WRONG_SUBJECT, /* userinfo speaks of somebody else */
    GH_OIDC_NO_MEMORY,
    GH_OIDC_FAULTS
};

const char *gh_oidc_fault_name(enum gh_oidc_fault f);

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
