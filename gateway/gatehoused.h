/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the command line of gatehoused says, for the monitor and the launcher
 * (which is started with the monitor's own words). And their few helpers.
 */
#ifndef GH_GATEHOUSED_H
#define GH_GATEHOUSED_H

#include "error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GH_GATEHOUSED_PATHS 32
#define GH_GATEHOUSED_GATES 8

struct gh_user {
    uid_t uid;
    gid_t gid; /* its own: of the name, or the number again */
};

struct gh_gatehoused_options {
    const char *dir;   /* absolute, without links */
    const char *nginx; /* configuration, or NULL */
    struct gh_user control, idp, gate;
    gid_t group;
    bool launcher, daemon, help, version;
    const char *allow[GH_GATEHOUSED_PATHS + 1]; /* host paths; NULL ends */
    unsigned nallow;
    struct sockaddr_in gates[GH_GATEHOUSED_GATES];
    unsigned ngates;
    const char *programs; /* directory of gatehouse-shim and the others */
    const char *nginx_program, *nft_program;
    const char *redis, *ca_file; /* or NULL */
    char **argv;                 /* as given */
};

/* Directories, their owners and modes, and the secret. */
int gh_gatehoused_layout(const struct gh_gatehoused_options *o,
                         struct gh_error *e);

/* Returns the exit status. ready: a pipe to write a byte to once everything
 * serves, or a message when it does not; -1 in the foreground. */
int gh_gatehoused_monitor(const struct gh_gatehoused_options *o, int ready);

/* ---- gatehoused_nginx.c: a master that may be older than the monitor */

struct gh_nginx {
    pid_t pid; /* of the master and its group, 0 = none */
    int fd;    /* its pidfd, or -1 */
};

/* Takes over the master that an earlier monitor started, when it still is the
 * same process. True when there is one. */
bool gh_nginx_adopt(const struct gh_gatehoused_options *o, struct gh_nginx *n);
/* Starts a master in a session of its own; log: where it speaks to. */
int gh_nginx_start(const struct gh_gatehoused_options *o, int log,
                   struct gh_nginx *n, struct gh_error *e);
/* The master is gone: its workers may finish what they have. */
void gh_nginx_bury(const struct gh_gatehoused_options *o, struct gh_nginx *n);
/* To the master, or to the whole group. */
void gh_nginx_signal(const struct gh_nginx *n, int sig, bool group);

/* ---- gatehoused_child.c: the other processes */

enum gh_child_kind {
    GH_CHILD_LAUNCHER,
    GH_CHILD_CONTROL,
    GH_CHILD_IDP,
    GH_CHILDREN
};

/* "launcher", "gatehouse-control", "gatehouse-idp" */
const char *gh_child_name(enum gh_child_kind k);
/* The socket by which it serves, below DIR. */
const char *gh_child_socket(enum gh_child_kind k);
/* Its pid, or -1. The child has its own uid, groups and no capability (but for
 * the launcher), and ends with the monitor. */
pid_t gh_child_start(const struct gh_gatehoused_options *o,
                     enum gh_child_kind k, int log, struct gh_error *e);

/* The launcher (launcher.c). Returns the exit status. */
int gh_launcher_main(const struct gh_gatehoused_options *o);

/* Opens a file of the host into a sealed memfd; -1 with errno. */
int gh_gatehoused_sealed_copy(const char *path, const char *name);

#endif
