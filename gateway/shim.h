/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the launcher and a shim share: the state of one replica, a file of one
 * fixed record in DIR/services/NAME (`R.state`). The launcher's child writes it
 * as the replica is born, its shim as it ends; whoever finds it later can tell
 * by boot id, pid and start time whether those processes are still the same.
 *
 * Beside it: `R.reports` (struct gh_launch_reports, mapped by the shim) and
 * `R.log`, the FIFO that is the replica's standard output and error.
 */
#ifndef GH_SHIM_H
#define GH_SHIM_H

#include <stdint.h>

#define GH_SHIM_MAGIC 0x47485348u /* "GHSH" */
#define GH_SHIM_VERSION 1u

struct gh_shim_state {
    uint32_t magic, version;
    char boot[40]; /* /proc/sys/kernel/random/boot_id */
    char name[64];
    uint32_t replica, flags; /* enum gh_launch_flag */
    uint32_t id_base, address;
    int32_t pid, shim;              /* pid 1 of the sandbox; its shim */
    uint64_t pid_start, shim_start; /* field 22 of /proc/PID/stat */
    uint64_t started_ms, exited_ms;
    uint32_t exited;
    int32_t status; /* of waitpid(2), -1 when nobody saw it */
    uint32_t oom;   /* processes of it killed for memory */
    uint32_t stop_signal, grace_ms;
    uint32_t log_files;
    uint64_t log_size;
    uint64_t stamp;   /* of the plan */
    char cgroup[128]; /* path within each hierarchy */
};

/* Descriptors that a shim is born with. */
enum gh_shim_fd {
    GH_SHIM_DIR = 3,    /* DIR/services/NAME */
    GH_SHIM_LOGS = 4,   /* DIR/log/services */
    GH_SHIM_PIDFD = 5,  /* of the sandbox's pid 1 */
    GH_SHIM_FIFO = 6,   /* R.log, both ways */
    GH_SHIM_NOTIFY = 7, /* socket on which the seccomp listener arrives; shut
                           for a shim that takes over */
    GH_SHIM_TRAPS = 8   /* and on: /dev/fuse of each trap, or /dev/null */
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

#endif
