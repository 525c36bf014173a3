/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What gatehouse-control says to the launcher and what it answers, over
 * `sock/launcher.sock` (SOCK_SEQPACKET): one record per message, of one size,
 * host byte order (both ends are one build on one host; `version` guards it).
 *
 * A plan is a struct of one fixed shape and a heap of NUL-terminated texts
 * behind it, in a sealed memfd that travels with GH_LAUNCH_START. The launcher
 * copies it, then checks the copy by gh_launch_check(): nothing of it is
 * parsed, every offset lies in the heap, every value in its range. What needs
 * judgement (is this path allowed?) is judged again by the launcher.
 */
#ifndef GH_LAUNCH_H
#define GH_LAUNCH_H

#include "error.h"
#include "slice.h"

#include <sys/types.h>

#define GH_LAUNCH_MAGIC 0x4748504cu /* "GHPL" */
#define GH_LAUNCH_VERSION 1u
#define GH_LAUNCH_HEAP ((size_t)1 << 20) /* most bytes of texts and files */
#define GH_LAUNCH_MOUNTS 64
#define GH_LAUNCH_ARGS 256
#define GH_LAUNCH_ENV 256
#define GH_LAUNCH_GROUPS 16
#define GH_LAUNCH_RLIMITS 16 /* RLIM_NLIMITS of Linux */
#define GH_LAUNCH_IDS 65535u /* ids of a service; the next is its shim's */
#define GH_LAUNCH_REPLICAS 64
#define GH_LAUNCH_PIDS 4096 /* most processes of a replica */
#define GH_LAUNCH_FILTER                                                       \
    4096 /* BPF_MAXINSNS: most instructions of a filter                        \
          */

/* Capabilities that a plan may ask for; they count in its user namespace. */
#define GH_LAUNCH_CAPS                                                         \
    ((1ull << 0 /* CHOWN */) | (1ull << 1 /* DAC_OVERRIDE */) |                \
     (1ull << 3 /* FOWNER */) | (1ull << 4 /* FSETID */) |                     \
     (1ull << 5 /* KILL */) | (1ull << 6 /* SETGID */) |                       \
     (1ull << 7 /* SETUID */) | (1ull << 8 /* SETPCAP */) |                    \
     (1ull << 10 /* NET_BIND_SERVICE */))

enum gh_launch_flag {
    GH_LAUNCH_READ_ONLY = 1 << 0, /* the root; a plan without it is refused */
    GH_LAUNCH_ROOTFS = 1 << 1,    /* root is the directory `rootfs` */
    GH_LAUNCH_VETH = 1 << 2,      /* a link to the gate; else loopback alone */
    GH_LAUNCH_EGRESS_GATE = 1 << 3, /* it may call the gate's ports */
    GH_LAUNCH_LISTEN = 1 << 4,      /* descriptor 3 listens (LISTEN_FDS=1) */
    GH_LAUNCH_SOCKET_DIR = 1 << 5,  /* DIR/svc/NAME is its /svc */
    GH_LAUNCH_NO_LANDLOCK = 1 << 6,
    GH_LAUNCH_INIT = 1 << 7 /* a small init is pid 1 and reaps */
};

enum gh_launch_mount_kind {
    GH_LAUNCH_BIND = 1, /* `source`: a path of the host; always GH_LAUNCH_RO */
    GH_LAUNCH_VOLUME,   /* `source`: a volume's name; kept across restarts */
    GH_LAUNCH_TMPFS,    /* of `size` bytes */
    GH_LAUNCH_FILE      /* `size` bytes at heap offset `source`, read-only */
};

enum gh_launch_mount_flag {
    GH_LAUNCH_RO = 1 << 0,
    GH_LAUNCH_NOEXEC = 1 << 1,
    GH_LAUNCH_OPTIONAL = 1 << 2 /* left out when the host has no such path */
};

struct gh_launch_mount {
    uint32_t kind, flags;
    uint32_t source, target; /* heap offsets */
    uint64_t size;
    uint32_t mode, pad; /* of files and tmpfs */
};

struct gh_launch_rlimit {
    uint64_t soft, hard;
    uint32_t set, pad;
};

struct gh_launch_plan {
    uint32_t magic, version;
    uint32_t size; /* of this struct */
    uint32_t heap; /* bytes behind it */
    char name[GH_NAME_SIZE];
    char hostname[GH_NAME_SIZE];
    uint32_t replica, flags;
    uint32_t uid, gid, umask;
    uint32_t ngroups, groups[GH_LAUNCH_GROUPS];
    uint64_t
        caps; /* in all five sets but ambient, which follows for uid != 0 */
    uint64_t stamp; /* of what it was made from: tells a changed service */
    uint64_t memory, swap; /* bytes; memory is bounded by the host's too */
    uint64_t pids;
    uint64_t cpu_quota_us, cpu_period_us, cpu_shares; /* 0 = none */
    uint64_t tmp_size;              /* bytes of /tmp, /run, /dev/shm each */
    uint64_t log_size;              /* bytes per log file */
    uint32_t log_files;             /* how many are kept */
    uint32_t port;                  /* where it listens on its veth, or 0 */
    uint32_t stop_signal, grace_ms; /* how it is asked to end */
    struct gh_launch_rlimit rlimits[GH_LAUNCH_RLIMITS];
    uint32_t cpuset, rootfs, cwd; /* heap offsets; 0 = none */
    uint32_t nmounts, nargs, nenv, pad;
    uint32_t args[GH_LAUNCH_ARGS], env[GH_LAUNCH_ENV]; /* heap offsets */
    struct gh_launch_mount mounts[GH_LAUNCH_MOUNTS];
};

enum gh_launch_op {
    GH_LAUNCH_HELLO = 1, /* -> what this host can do */
    GH_LAUNCH_START,     /* with 2 descriptors: plan, filter (sock_filters) */
    GH_LAUNCH_ADOPT,     /* is that replica there? */
    GH_LAUNCH_SIGNAL,    /* `value`: a signal for its pid 1 */
    GH_LAUNCH_KILL,      /* every process of it, at once */
    GH_LAUNCH_REMOVE,    /* the service's files; `value` 1: volumes too */
    GH_LAUNCH_LIST,      /* -> one record per known replica, then `last` */
    GH_LAUNCH_EXITED     /* launcher to control, unasked (seq 0) */
};

struct gh_launch_request {
    uint32_t magic, version;
    uint32_t op, seq; /* seq: not 0, comes back in the answer */
    char name[GH_NAME_SIZE];
    uint32_t replica;
    int32_t value;
};

/* What the host lacks; told by HELLO, shown by `status` and `service show`. */
enum gh_launch_lack {
    GH_LAUNCH_LACK_MEMORY = 1 << 0, /* no memory controller, and so on */
    GH_LAUNCH_LACK_PIDS = 1 << 1,
    GH_LAUNCH_LACK_CPU = 1 << 2,
    GH_LAUNCH_LACK_CPUSET = 1 << 3,
    GH_LAUNCH_LACK_LANDLOCK = 1 << 4,
    GH_LAUNCH_LACK_VETH = 1 << 5, /* no veth or no nft: sockets only */
    GH_LAUNCH_LACK_CGROUP2 = 1 << 6,
    GH_LAUNCH_LACK_TRAPS = 1 << 7 /* no FUSE: famous host files are not told */
};

struct gh_launch_answer {
    uint32_t magic, version;
    uint32_t op, seq;
    char name[GH_NAME_SIZE];
    uint32_t replica;
    uint32_t code;     /* enum gh_code; 0 = done */
    int32_t sys;       /* errno */
    uint32_t alive;    /* ADOPT, LIST: it runs. EXITED: 0 */
    uint32_t last;     /* LIST: the end */
    uint32_t lacks;    /* HELLO: enum gh_launch_lack */
    uint32_t landlock; /* HELLO: ABI, 0 = none */
    uint32_t id_base;  /* host's id of its id 0 */
    uint32_t address;  /* IPv4 of its end of the link, host order; 0 = none */
    int32_t pid;       /* of its pid 1, as the host sees it */
    int32_t status;    /* EXITED, ADOPT: of waitpid(2); -1 unknown */
    uint32_t oom;      /* processes killed for memory */
    uint64_t started_ms, exited_ms; /* UTC */
    uint64_t stamp;                 /* of the plan it runs by */
    char cgroup[128];               /* group's path within each hierarchy */
    char message[GH_ERROR_MESSAGE]; /* code != 0: outermost step first */
};
/* START, ADOPT and alive: 2 descriptors come along: the pidfd of its pid 1
 * (poll it), and the reports of refused calls (struct gh_launch_reports). */

/* Refused system calls and opened traps, counted by the shim, mapped or read
 * by control. A row is in use when count != 0; rows are never reused. */
#define GH_LAUNCH_REPORT_ROWS 128
struct gh_launch_report {
    uint64_t count;
    uint64_t last_ms; /* UTC */
    uint32_t kind;    /* 1 system call, 2 file */
    uint32_t arch;    /* AUDIT_ARCH_* */
    int32_t number;   /* system call */
    int32_t pid;      /* the last one, as the host sees it */
    uint64_t args[6];
    char comm[16];
    char path[128]; /* file; or what a call named, where it is known */
};
struct gh_launch_reports {
    uint32_t magic, version;
    uint64_t total, lost; /* lost: no row was left */
    uint64_t log_base;    /* bytes written to log files rotated away */
    struct gh_launch_report rows[GH_LAUNCH_REPORT_ROWS];
};

/*
 * Checks a plan that lies in `size` bytes at `p` (aligned to 8): shape, ranges,
 * offsets, texts that end, paths that are absolute and plain, names, caps.
 * GH_EINVAL or GH_EDENIED with the field's name.
 */
int gh_launch_check(const void *p, size_t size, struct gh_error *e);

/* A text of a checked plan; NULL for offset 0. */
const char *gh_launch_text(const struct gh_launch_plan *p, uint32_t offset);

/* An absolute path without empty, "." and ".." segments, < 1024 bytes. */
bool gh_launch_path_valid(const char *path);

/* Messages with descriptors (SCM_RIGHTS, all close-on-exec). Both return 0 or
 * -1 with errno; receiving returns the bytes, 0 at the end. Descriptors beyond
 * `nfds` are closed; what is missing is -1. */
int gh_launch_send(int sock, const void *data, size_t size, const int *fds,
                   unsigned nfds);
ssize_t gh_launch_receive(int sock, void *data, size_t size, int *fds,
                          unsigned nfds);

#endif
