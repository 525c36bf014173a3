/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The launcher: root, one thread, no parser. It serves control's uid on
 * `sock/launcher.sock` and keeps one table of the replicas that it started or
 * found; a replica's truth is its state file (shim.h), so a new launcher knows
 * what the old one did.
 *
 * SIGTERM ends it and leaves the services; SIGUSR2 stops them with their grace
 * first, and removes groups, table and claim.
 */
#ifndef GH_LAUNCHER_H
#define GH_LAUNCHER_H

#include "gatehoused.h"
#include "launch.h"
#include "sandbox.h"

#define GH_LAUNCHER_REPLICAS 512
#define GH_LAUNCHER_PEERS 8
#define GH_LAUNCHER_BIRTH_MS 15000 /* a start that takes longer is ended */
#define GH_LAUNCHER_SERVICES 112   /* ranges of ids per installation */

enum gh_replica_phase {
    GH_REPLICA_FREE,
    GH_REPLICA_STARTING,
    GH_REPLICA_ALIVE,
    GH_REPLICA_ENDED /* kept until it is started again or removed */
};

struct gh_replica {
    enum gh_replica_phase phase;
    struct gh_shim_state state; /* name and replica are always right */
    int pidfd, shim;            /* of its pid 1 and its shim, or -1 */
    int report;                 /* while starting, or -1 */
    int peer;                   /* index of who waits for the start, or -1 */
    uint32_t seq;
    uint64_t deadline_ms; /* starting: the end; stopping: then SIGKILL */
    unsigned reshims;
    bool born;
    struct gh_sandbox_report fault; /* kind != 0: why it failed */
};

struct gh_launcher {
    const struct gh_gatehoused_options *options;
    struct gh_sandbox_house house;
    int dir; /* of the installation */
    int listener, signals;
    int peers[GH_LAUNCHER_PEERS]; /* connections, or -1 */
    struct gh_replica replicas[GH_LAUNCHER_REPLICAS];
    unsigned lacks; /* enum gh_launch_lack */
    unsigned block;
    bool stopping, done;
    char claim[48]; /* /run/gatehouse/BB */
};

uint64_t gh_launcher_now_ms(void); /* monotonic */

/* ---- launcher_serve.c: requests and answers */

void gh_launcher_accept(struct gh_launcher *l);
/* Closes the peer at the first record that is not one. */
void gh_launcher_request(struct gh_launcher *l, int peer);
void gh_launcher_tell_exit(struct gh_launcher *l, const struct gh_replica *r);
void gh_launcher_tell_start(struct gh_launcher *l, struct gh_replica *r);

/* ---- launcher_replica.c: the table */

struct gh_replica *gh_launcher_find(struct gh_launcher *l, const char *name,
                                    uint32_t replica);
int gh_launcher_start(struct gh_launcher *l, const struct gh_launch_plan *plan,
                      const struct sock_filter *filter, unsigned nfilter,
                      int peer, uint32_t seq, struct gh_error *e);
void gh_launcher_on_report(struct gh_launcher *l, struct gh_replica *r);
void gh_launcher_on_shim(struct gh_launcher *l, struct gh_replica *r);
void gh_launcher_on_deadline(struct gh_launcher *l, struct gh_replica *r);
int gh_launcher_signal(struct gh_replica *r, int sig, struct gh_error *e);
int gh_launcher_remove(struct gh_launcher *l, const char *name, bool volumes,
                       struct gh_error *e);
/* Finds what an earlier launcher left: adopts or clears away. */
void gh_launcher_adopt(struct gh_launcher *l);

/* ---- launcher_remove.c: files of services that are gone */

/* Away from their names at once; a child of ours deletes them. */
int gh_launcher_remove_files(struct gh_launcher *l, const char *name,
                             bool volumes, struct gh_error *e);
/* Goes on with what an earlier launcher left. services: the directory. */
void gh_launcher_sweep(int services);

/* ---- launcher_host.c: what the host can do, and our part of it */

/* Takes a block of ids and links for this installation. */
int gh_launcher_claim(struct gh_launcher *l, struct gh_error *e);
void gh_launcher_unclaim(struct gh_launcher *l);
/* Cgroups, Landlock, FUSE, network: fills house and lacks. */
int gh_launcher_look(struct gh_launcher *l, struct gh_error *e);
/* Gives up what no sandbox needs. */
int gh_launcher_renounce(struct gh_error *e);
/* The first id of the service, the same for its whole life; 0 = none left. */
uint32_t gh_launcher_ids(struct gh_launcher *l, const char *name);

#endif
