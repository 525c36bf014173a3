/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vocabulary as values: what an API, plan, account, application,
 * credential, service and identity provider are once decoded from the catalog.
 * Arrays and slices live in the memory the decoder was given. Names follow
 * gh_name_valid(); times are UTC milliseconds since 1970, 0 = none.
 */
#ifndef GH_MODEL_H
#define GH_MODEL_H

#include "arena.h"
#include "slice.h"

/* Calendar periods in UTC; weeks start on Monday (period.h computes them). */
enum gh_period {
    GH_SECOND,
    GH_MINUTE,
    GH_HOUR,
    GH_DAY,
    GH_WEEK,
    GH_MONTH,
    GH_YEAR,
    GH_EVER,
    GH_PERIODS
};

enum gh_mode {
    GH_HARD,  /* refuses */
    GH_SOFT,  /* admits and marks */
    GH_SHADOW /* counts what it would have refused */
};

/*
 * At most `value` of `metric` per `period`; 0 refuses all. `api` empty: over
 * all APIs of the plan. The counter's identity is (scope, api, metric, period):
 * so an edit of the value, or a move to another plan, keeps what was used.
 */
struct gh_limit {
    struct gh_slice api;    /* or empty */
    struct gh_slice metric; /* "hits" counts every call */
    enum gh_period period;
    enum gh_mode mode;
    uint64_t value;         /* <= GH_LIMIT_MAX */
};

#define GH_LIMIT_MAX ((UINT64_C(1) << 53) - 1) /* Lua's exact integers */
#define GH_LIMITS_MAX 32                       /* per plan, account or API */
/* What one call may cost at most: a cell's slice has room for two of them. A
 * sum beyond it stays at one more, and is refused by hard limits. */
#define GH_COST_MAX (UINT32_C(1) << 30)
#define GH_METRICS_MAX 64                      /* per API, "hits" is index 0 */
#define GH_RULES_MAX 512
#define GH_METRIC_DEPTH 8

struct gh_limits {
    const struct gh_limit *at;
    size_t n;
};

/* HTTP methods as bits, so that a set is one word; 0 means any. */
enum gh_method {
    GH_GET = 1 << 0,
    GH_HEAD = 1 << 1,
    GH_POST = 1 << 2,
    GH_PUT = 1 << 3,
    GH_DELETE = 1 << 4,
    GH_PATCH = 1 << 5,
    GH_OPTIONS = 1 << 6,
    GH_OTHER = 1 << 7
};

/*
 * Path template: "/users/{id}/posts" matches segment by segment, "{x}" one
 * segment, a last "**" any rest (none too). Relative to the API's prefix.
 */
struct gh_match {
    uint32_t methods;     /* of enum gh_method; 0 = any */
    struct gh_slice path; /* empty = any */
};

struct gh_metric {
    struct gh_slice name;
    int parent; /* index in the API's metrics, -1 = none */
};

struct gh_rule {
    struct gh_match match;
    unsigned metric; /* index */
    uint32_t cost;
    bool last;
};

enum gh_accept { /* ways to authenticate that an API takes */
    GH_ACCEPT_KEY_HEADER = 1 << 0,
    GH_ACCEPT_KEY_QUERY = 1 << 1,
    GH_ACCEPT_KEY_COOKIE = 1 << 2,
    GH_ACCEPT_ID_KEY = 1 << 3,   /* application id + key, two headers */
    GH_ACCEPT_JWT = 1 << 4,      /* Authorization: Bearer */
    GH_ACCEPT_SESSION = 1 << 5,  /* login by browser */
    GH_ACCEPT_ANONYMOUS = 1 << 6 /* no credential: counted for `anonymous_app` */
};

struct gh_jwt_source {
    struct gh_slice idp;
    struct gh_slice audience; /* must be in `aud`; never empty */
};

struct gh_claim_header {
    struct gh_slice claim;
    struct gh_slice header; /* sent to the backend, stripped from clients */
};

struct gh_api {
    uint64_t version; /* catalog generation in which it was written */
    struct gh_slice name;
    const struct gh_slice *hosts; /* lower case, no port; "*" = any */
    size_t nhosts;
    struct gh_slice prefix; /* "/" or "/a/b", no slash at the end */
    bool strip_prefix;      /* the backend sees the path below the prefix */
    struct gh_slice service;
    uint32_t accept;        /* enum gh_accept */
    struct gh_slice key_header, key_query, key_cookie;
    struct gh_slice id_header, id_key_header;
    const struct gh_jwt_source *jwt;
    size_t njwt;
    struct gh_slice login;         /* IdP of GH_ACCEPT_SESSION */
    struct gh_slice anonymous_app; /* of GH_ACCEPT_ANONYMOUS */
    const struct gh_slice *roles;  /* caller (JWT, session) needs one of them */
    size_t nroles;
    const struct gh_claim_header *claims;
    size_t nclaims;
    bool keep_credentials; /* the backend sees the client's credential */
    bool classic_headers;  /* X-RateLimit-* too */
    bool rules_only;       /* a path that no rule matches: 404 no_rule */
    const struct gh_metric *metrics;
    size_t nmetrics;
    const struct gh_rule *rules;
    size_t nrules;
    struct gh_limits limits; /* of the API over all its callers */
};

enum gh_store_down { GH_BOUNDED, GH_DENY, GH_ALLOW };

struct gh_entitlement {
    struct gh_slice api;
    const struct gh_match *allow; /* none = the whole API */
    size_t nallow;
};

struct gh_plan {
    uint64_t version;
    struct gh_slice name;
    const struct gh_entitlement *apis;
    size_t napis;
    struct gh_limits limits;
    enum gh_store_down store_down;
    uint64_t bounded_ms; /* how long `bounded` may last */
};

enum gh_state { GH_LIVE, GH_PENDING, GH_SUSPENDED };

struct gh_account {
    uint64_t version;
    struct gh_slice name;
    enum gh_state state;
    struct gh_slice plan; /* account plan, or empty */
};

struct gh_app {
    uint64_t version;
    struct gh_slice name, account, plan;
    enum gh_state state;
};

enum gh_credential_kind { GH_CRED_KEY = 'k', GH_CRED_ID_KEY = 'a',
                          GH_CRED_CLIENT = 'c' };

/* Found by its digest; see gh_credential_digest(). */
struct gh_credential {
    enum gh_credential_kind kind;
    struct gh_slice id;  /* public name of this credential */
    struct gh_slice app;
    uint64_t not_before_ms, expires_ms;
    bool revoked;
};

struct gh_endpoint {
    struct gh_slice address; /* "10.1.2.3:80", "[::1]:80", "unix:/path" */
    bool healthy;
};

struct gh_service {
    uint64_t version;
    struct gh_slice name;
    struct gh_slice state; /* "up" "starting" "down" "crash-loop" "disabled" */
    const struct gh_endpoint *endpoints;
    size_t n;
};

enum gh_alg {
    GH_ALG_RS256 = 1 << 0,
    GH_ALG_PS256 = 1 << 1,
    GH_ALG_ES256 = 1 << 2,
    GH_ALG_EDDSA = 1 << 3
};

struct gh_public_key {
    struct gh_slice kid;
    uint32_t algs;       /* what it may verify, enum gh_alg */
    struct gh_slice jwk; /* its public JWK (RFC 7517), checked when stored */
};

struct gh_idp {
    uint64_t version;
    struct gh_slice name;
    struct gh_slice issuer;
    uint32_t algs;      /* pinned: others are refused */
    uint64_t skew_ms;   /* clock difference allowed */
    struct gh_slice user_claim, client_claim, roles_claim; /* "a.b" descends */
    const struct gh_public_key *keys; /* kept fresh by gatehouse-idp */
    size_t nkeys;
    /* login (empty client_id: bearer tokens only); the secret is not here */
    struct gh_slice client_id, scopes, origin; /* https://host[:port] of ours */
    struct gh_slice authorization_endpoint, token_endpoint, userinfo_endpoint,
        end_session_endpoint, jwks_uri;
    bool require_iss; /* RFC 9207 */
    uint64_t session_idle_ms, session_max_ms;
};

#endif
