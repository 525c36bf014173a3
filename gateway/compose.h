/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A developer's file: a strict subset of the Compose specification
 * (compose-spec 05-services.md) and `x-gatehouse`. Three pure steps:
 *
 *   nodes --check--> canonical JSON --plan--> launch record --operations-->
 * text
 *
 * The canonical form is a service of the subset again (checking it changes
 * nothing): that is what the catalog stores and `export` prints. What
 * `service explain` prints is read back from the record that the launcher gets.
 */
#ifndef GH_COMPOSE_H
#define GH_COMPOSE_H

#include "document.h"
#include "launch.h"
#include "pack.h"

#include <jansson.h>

#define GH_COMPOSE_PORT 8080 /* where a service listens by default */

/* One service; NULL when there were faults. */
json_t *gh_compose_check(const char *name, const struct gh_node *service,
                         const char *path, struct gh_faults *f);
/* A whole file: {name: service}; its top-level configs put into them. */
json_t *gh_compose_check_file(const struct gh_node *root, struct gh_faults *f);

enum gh_compose_listen {
    GH_COMPOSE_PORT_OF_LINK, /* a port on its link to the gate */
    GH_COMPOSE_HANDED,       /* a socket that it is handed */
    GH_COMPOSE_OWN_SOCKET,   /* a socket that it makes in /svc */
    GH_COMPOSE_NOWHERE       /* it is not called */
};

/* What the house must know beside the record. Of canonical JSON. */
struct gh_compose_life {
    enum gh_compose_listen listen;
    unsigned port;
    char socket[64]; /* its name in svc/NAME */
    unsigned replicas;
    char http[256]; /* health by GET of this path; "" = connecting */
    char host[128]; /* the Host field of it */
    unsigned every_ms, within_ms, failures;
    unsigned patience_ms; /* how long a start may take */
    enum { GH_COMPOSE_ALWAYS, GH_COMPOSE_ON_FAILURE, GH_COMPOSE_NEVER } restart;
    int stop_signal;
    unsigned grace_ms;
    char after[8][GH_NAME_SIZE]; /* depends_on */
    unsigned nafter;
};
int gh_compose_life(const json_t *service, struct gh_compose_life *out,
                    struct gh_error *e);

/* The bytes of the launch record of one replica. */
int gh_compose_plan(const char *name, unsigned replica, const json_t *service,
                    struct gh_buffer *out, struct gh_error *e);

/* [{"op", ...}] of a checked record, in the order of doing. */
json_t *gh_compose_operations(const struct gh_launch_plan *p);
/* A sentence for one of them; new reference. */
json_t *gh_compose_sentence(const json_t *operation);

/* The capability's number by "NET_BIND_SERVICE" or "CAP_NET_BIND_SERVICE"; -1
 * unknown. And its name. */
int gh_compose_capability(const char *name);
const char *gh_compose_capability_name(int number);
/* The limit's number by "nofile"; -1 unknown. */
int gh_compose_rlimit(const char *name);
const char *gh_compose_rlimit_name(int number);

/* ---- between compose*.c */

/* Where a value is read: its faults, and the path so far. */
struct gh_compose_at {
    struct gh_faults *f;
    const struct gh_node *node;
    const char *path;
};
json_t *gh_compose_fault(const struct gh_compose_at *at, const char *hint,
                         const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
