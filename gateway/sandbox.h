/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a checked plan to a running replica. The caller has forked: this process
 * becomes the replica's shim. It prepares by the host's rights what must be
 * (groups, network, mounts as descriptors), gives birth to pid 1 with all
 * namespaces new, writes its id maps, and executes gatehouse-shim, while pid 1
 * shuts itself in (sandbox_inside.c) and executes the program.
 */
#ifndef GH_SANDBOX_H
#define GH_SANDBOX_H

#include "cgroup.h"
#include "launch.h"
#include "network.h"
#include "shim.h"

#include <linux/filter.h>

/* Of the launcher; the same for all replicas. */
struct gh_sandbox_house {
    const char *dir; /* of the installation */
    struct gh_cgroups cgroups;
    struct gh_network network;
    gid_t group;                /* of the gate and control */
    gid_t control_group;        /* who reads logs */
    const char *const *shown;   /* of the host for every service; NULL ends */
    const char *const *allowed; /* what the admin allows, also as a rootfs */
    int shim;                   /* gatehouse-shim, a sealed copy */
    int shim_path;     /* the file itself, O_PATH, for services with an init */
    int null, fuse;    /* /dev/null, and 1 when /dev/fuse is usable */
    unsigned landlock; /* ABI, 0 = none */
    uint64_t memory;   /* bytes of the host */
    char boot[40];
};

struct gh_sandbox {
    const struct gh_sandbox_house *house;
    const struct gh_launch_plan *plan;
    const struct sock_filter *filter;
    unsigned nfilter;
    uint32_t id_base;
    int report; /* SEQPACKET to the launcher: struct gh_sandbox_report */
};

/*
 * BORN comes once, with the pidfd; FAILED at most once. The end of the stream
 * after BORN means that the program was executed (or pid 1 is gone already).
 */
enum gh_sandbox_report_kind { GH_SANDBOX_BORN = 1, GH_SANDBOX_FAILED };

struct gh_sandbox_report {
    uint32_t kind;
    int32_t sys;   /* errno */
    uint32_t code; /* enum gh_code */
    uint32_t pad;
    char message[256];          /* "mount /var/lib/x" */
    struct gh_shim_state state; /* BORN */
};

/* Never returns. */
_Noreturn void gh_sandbox_run(const struct gh_sandbox *s);

/* Sends FAILED and ends the process. */
_Noreturn void gh_sandbox_fail(const struct gh_sandbox *s, int sys,
                               const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Starts a shim again for a replica whose shim was killed. In a forked child;
 * never returns. */
_Noreturn void gh_sandbox_reshim(const struct gh_sandbox_house *house,
                                 const struct gh_shim_state *state);

/* Field 22 of /proc/PID/stat; 0 when there is no such process. */
uint64_t gh_sandbox_start_time(pid_t pid);
/* Is it still that process, and not a zombie? */
bool gh_sandbox_lives(pid_t pid, uint64_t start);

/* ---- between sandbox*.c */

/* sandbox_shim.c: writes the state, opens what the shim is handed by it: the
 * files and the FIFO. 0, or -1 with errno. */
int gh_sandbox_shim_files(const struct gh_sandbox_house *h, int home,
                          const struct gh_shim_state *state,
                          int fds[GH_SHIM_END]);
/* Gives up everything and executes it; returns when that failed. -1 among the
 * descriptors is what this replica does not have. */
void gh_sandbox_become_shim(const struct gh_sandbox_house *h,
                            const struct gh_shim_state *state,
                            const int fds[GH_SHIM_END]);

/* What pid 1 is handed: mounts as descriptors, in the plan's order. */
struct gh_sandbox_parts {
    int sync; /* a byte arrives when the id maps are there */
    int groups[GH_CGROUP_N];
    int root;                     /* rootfs, or -1 for the host's */
    int usr[8];                   /* host root: see gh_sandbox_usr */
    int devices[8];               /* see gh_sandbox_device */
    int mounts[GH_LAUNCH_MOUNTS]; /* -1: made inside, or left out */
    int traps[GH_SHIM_TRAPS_N];   /* their mounts, or -1 */
    int fuse[GH_SHIM_TRAPS_N];    /* the devices, to be closed inside */
    int sockets;                  /* svc/NAME, or -1 */
    int listen;                   /* or -1 */
    int fifo;                     /* standard output and error */
    int notify;                   /* where the seccomp listener goes */
    int init;                     /* the shim program, shown as /.init, or -1 */
    uint32_t address;             /* of its link, 0 = none */
};

/* Directories of a host's root: shown, or symbolic links when the host has
 * them so. And device nodes. NULL ends both. */
extern const char *const gh_sandbox_usr[];
extern const char *const gh_sandbox_device[];
extern const char *const gh_sandbox_trap[];

_Noreturn void gh_sandbox_inside(const struct gh_sandbox *s,
                                 const struct gh_sandbox_parts *parts);

/* Detached copies of what is at a path, as mount descriptors. */
int gh_sandbox_clone_tree(int dirfd, const char *path, uint64_t attributes,
                          bool recursive);
/* A new tmpfs, detached; errors as -1 with errno. */
int gh_sandbox_tmpfs(uint64_t size, unsigned mode, uint64_t attributes);
/* A FUSE root, directory or file, with `device`; -1 with errno. */
int gh_sandbox_fuse(int device, bool directory);

/* Landlock over what the finished root shows (after pivot_root). */
int gh_sandbox_landlock(const struct gh_sandbox *s, char *where, size_t room);
/* All five sets, securebits, no_new_privs; then the ids have been changed. */
int gh_sandbox_identity(const struct gh_launch_plan *p, char *where,
                        size_t room);

#endif
