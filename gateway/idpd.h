/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gatehouse-idp: logins and everything else that speaks to an identity
 * provider. It may block, nobody waits for it but the browser that logs in:
 * one thread per connection (bounded), one keeper thread per provider.
 *
 *     idpd.c           options, start and end
 *     idpd_rights.c    what it gives up
 *     idpd_http.c      libmicrohttpd on the socket, the table of paths
 *     idpd_answer.c    answers: redirects, JSON, problems a person can read
 *     idpd_login.c     /gatehouse/login: off to the provider
 *     idpd_callback.c  /gatehouse/callback: the steps from a code to a session
 *     idpd_logout.c    /gatehouse/logout
 *     idpd_internal.c  /internal: secrets, status, refresh
 *     idpd_keeper.c    discovery and keys, fetched and told to control
 *     idpd_fetch.c     HTTP out, with every cap
 *     idpd_redis.c     sessions and used states
 *     idpd_secret.c    client secrets in DIR/idp
 */
#ifndef GH_IDPD_H
#define GH_IDPD_H

#include "arena.h"
#include "catalog.h"
#include "error.h"
#include "oidc.h"
#include "pack.h"
#include "session.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

struct MHD_Connection;
struct MHD_Daemon;

/* ---- options [idpd.c] */

struct gh_idpd_options {
    const char *dir, *catalog, *sock, *control, *redis, *ca_file;
    const char *gate_uid, *control_uid, *group, *refresh_after;
    bool verbose, allow_root;
};

struct gh_idpd {
    struct gh_idpd_options o;
    uid_t gate, control;       /* (uid_t)-1: nobody */
    gid_t group;               /* of the socket; (gid_t)-1: leave it */
    uint64_t refresh_after_ms; /* least time between fetches for strangers */
    struct gh_catalog *catalog;
    pthread_mutex_t catalog_lock; /* one reader, one snapshot */
    struct gh_session_keys sessions;
    struct gh_seal login_seal;
    struct gh_hmac state_key;
    struct gh_idpd_redis *redis;
    struct gh_idpd_keepers *keepers;
    struct MHD_Daemon *http;
    uint64_t started_ms;
    _Atomic uint64_t ending_ms; /* since when it is told to end; 0 = not */
};

/* No new privileges, no dump, a system call filter; once, before threads. */
int gh_idpd_give_up_rights(struct gh_error *e);

uint64_t gh_idpd_now_ms(void);  /* UTC */
uint64_t gh_idpd_mono_ms(void); /* for intervals */

/* A provider's record in memory of `a`. 1 found, 0 none, -1. */
int gh_idpd_provider(struct gh_idpd *d, struct gh_slice name,
                     const struct gh_alloc *a, struct gh_idp *out,
                     struct gh_error *e);

/* ---- requests and answers [idpd_http.c, idpd_answer.c] */

#define GH_IDPD_BODY 8192 /* bytes of a request's body */

struct gh_idpd_request {
    struct MHD_Connection *c;
    struct gh_idpd *d;
    const char *method;
    struct gh_slice path, query; /* as sent; query without '?' */
    struct gh_slice name;        /* the provider in the path, or empty */
    uid_t peer;
    struct gh_buffer body;
    struct gh_arena arena;
    struct gh_alloc a;
    struct gh_idpd_answer *answer;
};

#define GH_IDPD_HEADERS 8

struct gh_idpd_answer {
    unsigned status;
    const char *type; /* of the body */
    struct gh_buffer body;
    struct {
        const char *name;
        char *value; /* the answer's */
    } headers[GH_IDPD_HEADERS];
    size_t n;
};

int gh_idpd_http_start(struct gh_idpd *d, struct gh_error *e);
void gh_idpd_http_stop(struct gh_idpd *d); /* finishes what runs */

/* A request header's value, or empty. */
struct gh_slice gh_idpd_header(struct gh_idpd_request *r, const char *name);
/* A cookie by its exact name; empty when absent or sent twice. */
struct gh_slice gh_idpd_cookie(struct gh_idpd_request *r, const char *name);
/* The first such parameter of the query, decoded; empty when absent. */
struct gh_slice gh_idpd_query(struct gh_idpd_request *r, const char *name);

void gh_idpd_set(struct gh_idpd_request *r, const char *name, const char *fmt,
                 ...) __attribute__((format(printf, 3, 4)));
void gh_idpd_redirect(struct gh_idpd_request *r, unsigned status,
                      const char *to);
void gh_idpd_json(struct gh_idpd_request *r, unsigned status, const char *text);
/* A page with a heading and ready HTML below it. */
void gh_idpd_page(struct gh_idpd_request *r, unsigned status, const char *title,
                  const char *html);
/* problem+json, or a page for a browser: `detail` is for people and holds
 * nothing secret. `again`: a path that may be tried, or NULL. */
void gh_idpd_problem(struct gh_idpd_request *r, unsigned status,
                     const char *code, const char *again, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* The problem of an error value. */
void gh_idpd_failed(struct gh_idpd_request *r, const char *code,
                    const struct gh_error *e);

/* Codes of our own beside those of gh_oidc_fault_name(); the reference page is
 * made from it. 503 may be 500 where trying again does not help. */
#define GH_IDPD_CODE_TABLE(X)                                                  \
    X(no_login, 404, "the provider is not known, or not set up for login")     \
    X(not_found, 404, "no such path")                                          \
    X(method_not_allowed, 405, "the path does not take this method")           \
    X(too_big, 413, "the body is too big")                                     \
    X(forbidden, 403, "the path is for other parts of Gatehouse")              \
    X(cross_site, 403, "another site tried to log somebody out")               \
    X(provider_busy, 503, "16 logins wait for this provider already")          \
    X(provider_unavailable, 503, "the provider does not answer")               \
    X(login_unavailable, 503,                                                  \
      "the provider was not discovered yet, or is not set up for login")       \
    X(sessions_unavailable, 503, "Redis does not answer")                      \
    X(catalog_unavailable, 503, "the catalog cannot be read")                  \
    X(secret_refused, 400, "a client secret cannot be stored")

/* ---- the paths */

void gh_idpd_login(struct gh_idpd_request *r);
void gh_idpd_callback(struct gh_idpd_request *r);
void gh_idpd_logout(struct gh_idpd_request *r);
void gh_idpd_logged_out(struct gh_idpd_request *r);
void gh_idpd_put_secret(struct gh_idpd_request *r);
void gh_idpd_delete_secret(struct gh_idpd_request *r);
void gh_idpd_status(struct gh_idpd_request *r);
void gh_idpd_refresh(struct gh_idpd_request *r);

/* Name and attributes of the login-state cookie of `flow`. */
#define GH_IDPD_STATE_ATTRIBUTES                                               \
    "Path=/gatehouse/callback/%s; Secure; HttpOnly; SameSite=Lax"
#define GH_IDPD_SESSION_ATTRIBUTES "Path=/; Secure; HttpOnly; SameSite=Lax"

/* ---- HTTP out [idpd_fetch.c] */

struct gh_idpd_call {
    const char *method; /* NULL: GET, or POST where there is a body */
    const char *url;
    const char *unix_socket; /* a local peer instead of the network */
    const char *body, *type;
    const char *username, *password; /* HTTP Basic */
    const char *bearer;
};

/* Bounded in time and size, no redirect followed, TLS verified; given up 2 s
 * after the process was told to end. The answer's body goes to `out`, its
 * status to *status. GH_EUNAVAILABLE, GH_ETOOBIG. */
int gh_idpd_fetch(struct gh_idpd *d, const struct gh_idpd_call *call,
                  struct gh_buffer *out, long *status, struct gh_error *e);

/* ---- keepers [idpd_keeper.c] */

int gh_idpd_keepers_start(struct gh_idpd *d, struct gh_error *e);
void gh_idpd_keepers_stop(struct gh_idpd *d);

enum gh_idpd_refreshed {
    GH_IDPD_FETCHED,  /* just now */
    GH_IDPD_RECENT,   /* a fetch was begun not long ago: not again */
    GH_IDPD_ASKED,    /* it will be */
    GH_IDPD_FAILED,   /* the provider or control did not answer well */
    GH_IDPD_NO_KEEPER /* no such provider */
};

enum gh_idpd_wait {
    GH_IDPD_GO_ON,  /* only ask */
    GH_IDPD_WAIT,   /* until the keys are in the catalog */
    GH_IDPD_PATIENT /* and where a fetch was begun not long ago, until the next
                     * may begin: for a short least_ms */
};

/* Asks for fresh keys, unless a fetch was begun within `least_ms`; single
 * flight. */
enum gh_idpd_refreshed gh_idpd_keeper_refresh(struct gh_idpd *d,
                                              struct gh_slice name,
                                              uint64_t least_ms,
                                              enum gh_idpd_wait wait);
/* How the provider takes client authentication (enum gh_oidc_auth). */
uint32_t gh_idpd_keeper_methods(struct gh_idpd *d, struct gh_slice name);
/* Room for one more login at this provider, or NULL. Leave after it. */
struct gh_idpd_keeper *gh_idpd_keeper_enter(struct gh_idpd *d,
                                            struct gh_slice name);
void gh_idpd_keeper_leave(struct gh_idpd *d, struct gh_idpd_keeper *k);
/* The state of all as a JSON array. */
void gh_idpd_keepers_json(struct gh_idpd *d, struct gh_buffer *out);

/* ---- Redis [idpd_redis.c] */

int gh_idpd_redis_create(const char *address, struct gh_idpd_redis **out,
                         struct gh_error *e);
void gh_idpd_redis_destroy(struct gh_idpd_redis *r);

/* Remembers a state for `ms`. 1 it is new, 0 it was used, -1. */
int gh_idpd_redis_once(struct gh_idpd_redis *r, const char *digest, uint64_t ms,
                       struct gh_error *e);
int gh_idpd_redis_store(struct gh_idpd_redis *r, const char *d,
                        struct gh_slice sealed, uint64_t ms,
                        struct gh_error *e);
/* 1 found (copied into `out`), 0 none, -1. */
int gh_idpd_redis_load(struct gh_idpd_redis *r, const char *d,
                       struct gh_buffer *out, struct gh_error *e);
/* Deletes it and tells every gate. */
int gh_idpd_redis_revoke(struct gh_idpd_redis *r, const char *d,
                         struct gh_error *e);
bool gh_idpd_redis_answers(struct gh_idpd_redis *r);

/* ---- client secrets [idpd_secret.c] */

#define GH_IDPD_SECRET 4096 /* bytes of one, NUL included */

int gh_idpd_secret_write(struct gh_idpd *d, struct gh_slice name,
                         struct gh_slice secret, struct gh_error *e);
/* 1 and the text, 0 none, -1. The caller wipes it. */
int gh_idpd_secret_read(struct gh_idpd *d, struct gh_slice name,
                        char out[GH_IDPD_SECRET], struct gh_error *e);
int gh_idpd_secret_remove(struct gh_idpd *d, struct gh_slice name,
                          struct gh_error *e); /* 1 removed, 0 none, -1 */

#endif
