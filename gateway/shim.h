/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the launcher and a shim share: the state of one replica, a file of one
 * fixed record in DIR/services/NAME (`R.state`). The launcher's child writes it
 * as the replica is born; whoever finds it later can tell by boot id, pid and
 * start time whether those processes are still the same.
 *
 * Beside it: `R.exit`, how it ended, which the shim writes; `R.reports` (struct
 * gh_launch_reports, mapped by the shim) and `R.log`, the FIFO that is the
 * replica's standard output and error.
 *
 * A shim answers a service, so it is trusted as little as one: it has a uid of
 * its own, which owns the log files of its service and nothing else. Whatever
 * else it needs it is born with as descriptors, and what it writes is a number
 * to show, never one to act on.
 */
#ifndef GH_SHIM_H
#define GH_SHIM_H

#include <stdint.h>

#define GH_SHIM_MAGIC 0x47485348u /* "GHSH" */
#define GH_SHIM_VERSION 2u

struct gh_shim_state {
    uint32_t magic, version;
    char boot[40]; /* /proc/sys/kernel/random/boot_id */
    char name[64];
    uint32_t replica, flags; /* enum gh_launch_flag */
    uint32_t id_base, address;
    int32_t pid, shim;              /* pid 1 of the sandbox; its shim */
    uint64_t pid_start, shim_start; /* field 22 of /proc/PID/stat */
    uint64_t started_ms, exited_ms;
    uint32_t exited; /* in memory only, with what R.exit says */
    int32_t status;  /* of waitpid(2), -1 when nobody saw it */
    uint32_t oom;   /* processes of it killed for memory */
    uint32_t stop_signal, grace_ms;
    uint32_t log_files;
    uint64_t log_size;
    uint64_t stamp;   /* of the plan */
    char cgroup[128]; /* path within each hierarchy */
};

/* Of one replica: which process ended, and how. Shorter than this: it has not,
 * or nobody saw it. */
struct gh_shim_exit {
    uint32_t magic, version;
    int32_t pid, status;
    uint64_t pid_start, exited_ms;
};

/* The shim's uid and gid, from the first of its service's ids on: the last of
 * the range, which is nobody in the sandbox (GH_LAUNCH_IDS). */
#define GH_SHIM_ID 65535u

/* Descriptors that a shim is born with. */
enum gh_shim_fd {
    GH_SHIM_STATE = 3,   /* R.state, to be read */
    GH_SHIM_EXIT = 4,    /* R.exit, to be written */
    GH_SHIM_REPORTS = 5, /* R.reports, both */
    GH_SHIM_LOGS = 6,    /* DIR/log/services/NAME */
    GH_SHIM_PIDFD = 7,   /* of the sandbox's pid 1 */
    GH_SHIM_FIFO = 8,    /* R.log, both ways, not blocking */
    GH_SHIM_NOTIFY = 9,  /* socket on which the seccomp listener arrives; shut
                            for a shim that takes over */
    GH_SHIM_TRAPS = 10   /* and on: /dev/fuse of each trap, or /dev/null */
};
/* argv: gatehouse-shim REPLICA. As `gatehouse-shim --init PROGRAM ARGS...` it
 * is a service's pid 1 that starts the program and reaps. */

/*
 * Traps: places where a host keeps what a stranger looks for. A sandbox has
 * none of them; a FUSE file system that the shim answers stands there, refuses
 * every opening and look-up, and reports it. Each is a file system of its own
 * with nothing but its root, so nobody has to ask the shim while the sandbox is
 * made; one whose name ends in "/" is a directory.
 */
#define GH_SHIM_TRAP_PATHS "/etc/shadow", "/root/", "/home/"
#define GH_SHIM_TRAPS_N 3

#define GH_SHIM_END (GH_SHIM_TRAPS + GH_SHIM_TRAPS_N) /* past the last */

#endif
