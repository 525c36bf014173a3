/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups, on whatever the host has: a v2 tree, v1 hierarchies, or both
 * (each controller is used where it is; life and death are v2's where there is
 * a v2 tree). Groups are `/gatehouse-TAG/NAME.R` in every hierarchy; no group
 * that we did not make is touched.
 */
#ifndef GH_CGROUP_H
#define GH_CGROUP_H

#include "error.h"

#include <stdbool.h>
#include <stdint.h>

enum gh_cgroup_controller {
    GH_CGROUP_MEMORY,
    GH_CGROUP_PIDS,
    GH_CGROUP_CPU,
    GH_CGROUP_CPUSET,
    GH_CGROUP_UNIFIED, /* the v2 tree itself */
    GH_CGROUP_N
};

struct gh_cgroups {
    struct {
        int fd; /* of the hierarchy's root, -1 = not on this host */
        int v2;
    } at[GH_CGROUP_N];
    char tag[32];                      /* "gatehouse-3f" */
    char boot_cpus[64], boot_mems[64]; /* what a v1 cpuset starts from */
};

struct gh_cgroup_limits {
    uint64_t memory, swap, pids; /* 0 = none */
    uint64_t cpu_quota_us, cpu_period_us, cpu_shares;
    const char *cpuset; /* or NULL */
};

/* Looks where each controller is. Missing ones stay -1. */
void gh_cgroup_find(struct gh_cgroups *c, const char *tag);

/*
 * Makes the groups of one replica and sets its limits. fds: of each group's
 * directory (the same one more than once on v2), -1 where there is none.
 * A group that is left over is emptied and made anew.
 */
int gh_cgroup_make(const struct gh_cgroups *c, const char *leaf,
                   const struct gh_cgroup_limits *l, int fds[GH_CGROUP_N],
                   struct gh_error *e);

/* Kills all that is in the groups (v2), then removes them. EBUSY is silent:
 * call again later. Returns how many are left. */
int gh_cgroup_remove(const struct gh_cgroups *c, const char *leaf);

/* Removes every group of ours that has nothing in it but the keep()ed. */
void gh_cgroup_sweep(const struct gh_cgroups *c,
                     int (*keep)(void *ctx, const char *leaf), void *ctx);

/* Sends SIGKILL to all of a group, also where only v1 knows it. */
void gh_cgroup_kill(const struct gh_cgroups *c, const char *leaf);

/* How many processes of it the kernel killed for want of memory. */
unsigned gh_cgroup_oom(const struct gh_cgroups *c, const char *leaf);

/* Removes the group above all of ours. */
void gh_cgroup_finish(const struct gh_cgroups *c);

#endif
