/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gatehouse-control: one thread, one event loop. It owns the catalog's only
 * write side, the control API, the keys and the audit log.
 *
 *     control.c           start, options, the loop
 *     control_http.c      libmicrohttpd in the loop; requests and answers
 *     control_routes.c    the table of the API; OpenAPI comes from it
 *     control_store.c     state <-> catalog, all or nothing
 *     control_edit.c      an edit: check, secrets, store, house, audit
 *     control_items.c     /v1/{kind}/{name}
 *     control_document.c  /v1/document…
 *     control_keys.c      /v1/apps/{app}/keys…
 *     control_services.c  the house: running services, their endpoints
 *     control_idp.c       gatehouse-idp: secrets out, discoveries in
 *     control_usage.c     usage from Redis, decisions from the gate
 *     control_doctor.c    status and doctor
 *     control_confine.c   what it can never do again
 *     control_audit.c     who changed what, when
 */
#ifndef GH_CONTROL_H
#define GH_CONTROL_H

#include "catalog.h"
#include "document.h"
#include "error.h"
#include "pack.h"
#include "secret.h"

#include <sys/types.h>
#include <systemd/sd-event.h>

#define GH_CONTROL_BODY (GH_DOCUMENT_SIZE + 4096) /* bytes of a request */

struct gh_house;

/* ---- options [control.c] */

struct gh_control_options {
    const char *dir;    /* DIR of the installation */
    const char *redis;  /* unix:/PATH, HOST:PORT, or "" for none */
    const char *socket; /* default DIR/sock/control.sock */
    const char *idp_socket, *gate_socket, *launcher_socket; /* the same */
    const char *group;    /* who reads the catalog: name or number */
    const char *idp_user; /* name or number */
    uint64_t map_mb;
    bool allow_root;
    bool verbose;
};

/* ---- state */

struct gh_control {
    struct gh_control_options o;
    sd_event *loop;
    struct gh_catalog *catalog;
    struct gh_hmac credential_key; /* of the secret's use "credential" */
    struct gh_hmac print_key;      /* of "secret-print": see control_idp.c */
    struct gh_items items;         /* what the catalog holds */
    json_t *discovered;            /* idp -> what gatehouse-idp fetched */
    json_t *prints;                /* idp -> fingerprint of its secret */
    json_t *keys;                  /* app -> {id -> record} */
    json_t *runtime;               /* service -> {state, endpoints, …} */
    struct gh_house *house;        /* NULL: no launcher */
    struct gh_control_http *http;
    sd_event_source *retry; /* of publications that failed */
    bool remove_volumes;    /* a removal under way takes them along */
    int group, audit_fd;
    uid_t idp_uid; /* (uid_t)-1: none */
    uint64_t started_ms;
    uint64_t generation;
};

uint64_t gh_control_now_ms(void); /* UTC */
/* "2026-01-02T03:04:05Z"; returns out. */
const char *gh_control_time_text(uint64_t ms, char out[32]);

/* ---- requests and answers [control_http.c] */

enum gh_rights {
    GH_MAY_READ,  /* admin and gatehouse-idp */
    GH_MAY_WRITE, /* admin */
    GH_MAY_FETCH  /* gatehouse-idp alone (and root) */
};

struct gh_request;

struct gh_route {
    const char *method, *path; /* "{x}" takes one segment */
    enum gh_rights rights;
    int (*serve)(struct gh_request *r); /* 0; an answer has been set */
    const char *id, *summary;           /* of OpenAPI */
    const char *query;                  /* "metric, from", or NULL */
    const char *body;                   /* "yaml", "json", "text" or NULL */
    const char *answer;                 /* what a good answer is */
};

#define GH_REQUEST_PARAMS 2

struct gh_request {
    struct gh_control *c;
    void *connection; /* struct MHD_Connection */
    const struct gh_route *route;
    char param[GH_REQUEST_PARAMS][GH_NAME_SIZE];
    struct gh_buffer body;
    bool body_too_big;
    uid_t uid;
    pid_t pid;
    /* the answer */
    unsigned status;
    json_t *json;
    struct gh_buffer text; /* when json is NULL */
    const char *type;      /* of the text */
    char etag[40];         /* or "" */
    char retry_after[12];  /* or "" */
    char location[160];    /* or "" */
};

/* Of the request; NULL when absent. */
const char *gh_request_query(const struct gh_request *r, const char *name);
const char *gh_request_header(const struct gh_request *r, const char *name);
/* Each sets the answer and returns 0. json: taken over; NULL: out of memory. */
int gh_request_answer(struct gh_request *r, unsigned status, json_t *json);
int gh_request_fail(struct gh_request *r, unsigned status, const char *code,
                    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
int gh_request_error(struct gh_request *r, const struct gh_error *e);
int gh_request_faults(struct gh_request *r, const struct gh_faults *f);
int gh_request_not_found(struct gh_request *r, const char *kind,
                         const char *name);
/* The body as a JSON object, or NULL and an answer that says why not. An empty
 * body is {} when `optional`. */
json_t *gh_request_json(struct gh_request *r, bool optional);

/* The body's tree: YAML, or JSON when its Content-Type says so. NULL: the
 * faults say why. */
struct gh_node *gh_request_tree(struct gh_request *r, const struct gh_alloc *a,
                                struct gh_faults *f);

struct gh_control_http;
int gh_control_http_start(struct gh_control *c, struct gh_error *e);
void gh_control_http_stop(struct gh_control *c);

/* ---- the table [control_routes.c] */

extern const struct gh_route gh_routes[];
extern const size_t gh_routes_count;
/* By method and path, filling r->param and r->route. 0, 404 or 405. */
int gh_control_route(struct gh_request *r, const char *method,
                     const char *path);
int gh_control_serve_openapi(struct gh_request *r);

/* ---- state and catalog [control_store.c] */

int gh_control_load(struct gh_control *c, struct gh_error *e);
/*
 * Makes `want` the state, in one durable write; on success c->items is want's
 * (which is emptied). On failure nothing has changed. prints: of secrets that
 * came along.
 */
int gh_control_store(struct gh_control *c, struct gh_items *want,
                     const json_t *prints, struct gh_error *e);
/*
 * The whole of an edit, for documents and single items: references, services'
 * own checks, secrets to gatehouse-idp, the store, the house, the audit line.
 * Answers the request in every case; takes want over. `doc`, `root`: of a
 * document, or NULL and the item's tree. *changes: of gh_document_diff(), on
 * success only and the caller's; no answer is set then. 0 done, 1 answered.
 */
int gh_control_edit(struct gh_request *r, struct gh_items *want,
                    const json_t *doc, const struct gh_node *root,
                    struct gh_faults *f, json_t **changes);
/* The checks of an edit alone. */
void gh_control_check(struct gh_control *c, const struct gh_items *want,
                      const json_t *doc, const struct gh_node *root,
                      struct gh_faults *f);
/* Writes one record again from c->items and what else is known of it. */
int gh_control_refresh(struct gh_control *c, enum gh_kind k, const char *name,
                       struct gh_error *e);
/* gh_catalog_commit(), counted; a full disk is told as such. */
int gh_control_commit(struct gh_control *c, struct gh_catalog_write *w,
                      struct gh_error *e);
/* One doc of `kind`, NULL json removes it; within a write. */
int gh_control_put_doc(struct gh_catalog_write *w, const char *kind,
                       const char *name, const json_t *json,
                       struct gh_error *e);

/* ---- handlers */

int gh_control_list_items(struct gh_request *r);
int gh_control_get_item(struct gh_request *r);
int gh_control_put_item(struct gh_request *r);
int gh_control_delete_item(struct gh_request *r);

int gh_control_export(struct gh_request *r);
int gh_control_apply(struct gh_request *r);
int gh_control_check_document(struct gh_request *r);
int gh_control_diff(struct gh_request *r);

int gh_control_list_keys(struct gh_request *r);
int gh_control_create_key(struct gh_request *r);
int gh_control_revoke_key(struct gh_request *r);
int gh_control_rotate_key(struct gh_request *r);
/* As listed, new reference; NULL when there is none. */
json_t *gh_control_show_key(struct gh_control *c, const char *app,
                            const char *id);
/* Takes an application's keys out of a write. */
int gh_control_remove_keys(struct gh_control *c, struct gh_catalog_write *w,
                           const char *app, struct gh_error *e);

int gh_control_register_services(struct gh_request *r);
int gh_control_restart_service(struct gh_request *r);
int gh_control_service_logs(struct gh_request *r);
int gh_control_service_plan(struct gh_request *r);
int gh_control_service_violations(struct gh_request *r);
/* Connects to the launcher and adopts what runs. */
int gh_control_services_start(struct gh_control *c, struct gh_error *e);
void gh_control_services_stop(struct gh_control *c);
/* Faults of a service's `compose`. */
void gh_control_services_check(struct gh_control *c, const char *name,
                               json_t *item, const struct gh_node *node,
                               const char *path, struct gh_faults *f);
/* After a store: starts, changes and removes services by the difference. */
void gh_control_services_follow(struct gh_control *c, const json_t *changes);
/* The item with what is known of its run; new reference. */
json_t *gh_control_services_show(struct gh_control *c, const json_t *item);

int gh_control_discovered(struct gh_request *r);
/*
 * Takes the secrets out of want's idps: new objects, idp -> secret and idp ->
 * {"print": keyed hash}, by which a changed secret is seen though it is not
 * kept.
 */
int gh_control_take_secrets(struct gh_control *c, struct gh_items *want,
                            json_t **secrets, json_t **prints,
                            struct gh_error *e);
int gh_control_send_secrets(struct gh_control *c, const json_t *secrets,
                            struct gh_error *e);
/* Puts what a changed secret means into a difference. */
void gh_control_add_secret_changes(struct gh_control *c, const json_t *prints,
                                   json_t *changes);
void gh_control_forget_secret(struct gh_control *c, const char *idp);

int gh_control_usage(struct gh_request *r);
int gh_control_decision(struct gh_request *r);

int gh_control_status(struct gh_request *r);
int gh_control_doctor(struct gh_request *r);

/* ---- HTTP to our own sockets [control_peer.c] */

/* body NULL: none. *status 0 when the peer is away. Blocks 1 s at most, 2 s
 * with a body. */
int gh_control_peer(const char *socket, const char *method, const char *path,
                    struct gh_slice body, struct gh_buffer *answer,
                    long *status, struct gh_error *e);

/* ---- rights [control_confine.c] */

/* For good: no_new_privs, no core dumps, a filter of system calls. */
int gh_control_confine(struct gh_error *e);

/* ---- audit [control_audit.c] */

int gh_control_audit_open(struct gh_control *c, struct gh_error *e);
/* detail: borrowed, may be NULL; must hold no secret. */
void gh_control_audit(struct gh_control *c, const struct gh_request *r,
                      const char *action, const char *kind, const char *name,
                      const json_t *detail);

#endif
