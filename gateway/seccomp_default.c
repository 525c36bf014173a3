/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our default profile: what servers need, and nothing that reaches into other
 * namespaces, the kernel's own machinery, or other processes. What is absent is
 * refused with EPERM; clone3 with ENOSYS, so that C libraries use clone, whose
 * flags a filter can read.
 */
#include "seccomp_filter.h"

#include <errno.h>
#include <linux/netlink.h>
#include <sys/socket.h>

static const char *const allowed[] = {"_llseek",
                                      "_newselect",
                                      "accept",
                                      "accept4",
                                      "access",
                                      "alarm",
                                      "arch_prctl",
                                      "bind",
                                      "brk",
                                      "cachestat",
                                      "capget",
                                      "capset",
                                      "chdir",
                                      "chmod",
                                      "chown",
                                      "clock_getres",
                                      "clock_gettime",
                                      "clock_nanosleep",
                                      "close",
                                      "close_range",
                                      "connect",
                                      "copy_file_range",
                                      "creat",
                                      "dup",
                                      "dup2",
                                      "dup3",
                                      "epoll_create",
                                      "epoll_create1",
                                      "epoll_ctl",
                                      "epoll_ctl_old",
                                      "epoll_pwait",
                                      "epoll_pwait2",
                                      "epoll_wait",
                                      "epoll_wait_old",
                                      "eventfd",
                                      "eventfd2",
                                      "execve",
                                      "execveat",
                                      "exit",
                                      "exit_group",
                                      "faccessat",
                                      "faccessat2",
                                      "fadvise64",
                                      "fallocate",
                                      "fchdir",
                                      "fchmod",
                                      "fchmodat",
                                      "fchmodat2",
                                      "fchown",
                                      "fchownat",
                                      "fcntl",
                                      "fdatasync",
                                      "fgetxattr",
                                      "flistxattr",
                                      "flock",
                                      "fork",
                                      "fremovexattr",
                                      "fsetxattr",
                                      "fstat",
                                      "fstatfs",
                                      "fsync",
                                      "ftruncate",
                                      "futex",
                                      "futex_requeue",
                                      "futex_wait",
                                      "futex_waitv",
                                      "futex_wake",
                                      "futimesat",
                                      "get_robust_list",
                                      "get_thread_area",
                                      "getcpu",
                                      "getcwd",
                                      "getdents",
                                      "getdents64",
                                      "getegid",
                                      "geteuid",
                                      "getgid",
                                      "getgroups",
                                      "getitimer",
                                      "getpeername",
                                      "getpgid",
                                      "getpgrp",
                                      "getpid",
                                      "getppid",
                                      "getpriority",
                                      "getrandom",
                                      "getresgid",
                                      "getresuid",
                                      "getrlimit",
                                      "getrusage",
                                      "getsid",
                                      "getsockname",
                                      "getsockopt",
                                      "gettid",
                                      "gettimeofday",
                                      "getuid",
                                      "getxattr",
                                      "inotify_add_watch",
                                      "inotify_init",
                                      "inotify_init1",
                                      "inotify_rm_watch",
                                      "io_cancel",
                                      "io_destroy",
                                      "io_getevents",
                                      "io_pgetevents",
                                      "io_setup",
                                      "io_submit",
                                      "ioctl",
                                      "ioprio_get",
                                      "ioprio_set",
                                      "kill",
                                      "landlock_add_rule",
                                      "landlock_create_ruleset",
                                      "landlock_restrict_self",
                                      "lchown",
                                      "lgetxattr",
                                      "link",
                                      "linkat",
                                      "listen",
                                      "listxattr",
                                      "llistxattr",
                                      "lremovexattr",
                                      "lseek",
                                      "lsetxattr",
                                      "lstat",
                                      "madvise",
                                      "map_shadow_stack",
                                      "membarrier",
                                      "memfd_create",
                                      "memfd_secret",
                                      "mincore",
                                      "mkdir",
                                      "mkdirat",
                                      "mlock",
                                      "mlock2",
                                      "mlockall",
                                      "mmap",
                                      "mprotect",
                                      "mq_getsetattr",
                                      "mq_notify",
                                      "mq_open",
                                      "mq_timedreceive",
                                      "mq_timedsend",
                                      "mq_unlink",
                                      "mremap",
                                      "mseal",
                                      "msgctl",
                                      "msgget",
                                      "msgrcv",
                                      "msgsnd",
                                      "msync",
                                      "munlock",
                                      "munlockall",
                                      "munmap",
                                      "nanosleep",
                                      "newfstatat",
                                      "open",
                                      "openat",
                                      "openat2",
                                      "pause",
                                      "pidfd_open",
                                      "pidfd_send_signal",
                                      "pipe",
                                      "pipe2",
                                      "pkey_alloc",
                                      "pkey_free",
                                      "pkey_mprotect",
                                      "poll",
                                      "ppoll",
                                      "prctl",
                                      "pread64",
                                      "preadv",
                                      "preadv2",
                                      "prlimit64",
                                      "process_mrelease",
                                      "pselect6",
                                      "pwrite64",
                                      "pwritev",
                                      "pwritev2",
                                      "read",
                                      "readahead",
                                      "readlink",
                                      "readlinkat",
                                      "readv",
                                      "recvfrom",
                                      "recvmmsg",
                                      "recvmsg",
                                      "remap_file_pages",
                                      "removexattr",
                                      "rename",
                                      "renameat",
                                      "renameat2",
                                      "restart_syscall",
                                      "rmdir",
                                      "rseq",
                                      "rt_sigaction",
                                      "rt_sigpending",
                                      "rt_sigprocmask",
                                      "rt_sigqueueinfo",
                                      "rt_sigreturn",
                                      "rt_sigsuspend",
                                      "rt_sigtimedwait",
                                      "rt_tgsigqueueinfo",
                                      "sched_get_priority_max",
                                      "sched_get_priority_min",
                                      "sched_getaffinity",
                                      "sched_getattr",
                                      "sched_getparam",
                                      "sched_getscheduler",
                                      "sched_rr_get_interval",
                                      "sched_setaffinity",
                                      "sched_setattr",
                                      "sched_setparam",
                                      "sched_setscheduler",
                                      "sched_yield",
                                      "seccomp",
                                      "select",
                                      "semctl",
                                      "semget",
                                      "semop",
                                      "semtimedop",
                                      "sendfile",
                                      "sendmmsg",
                                      "sendmsg",
                                      "sendto",
                                      "set_robust_list",
                                      "set_thread_area",
                                      "set_tid_address",
                                      "setfsgid",
                                      "setfsuid",
                                      "setgid",
                                      "setgroups",
                                      "setitimer",
                                      "setpgid",
                                      "setpriority",
                                      "setregid",
                                      "setresgid",
                                      "setresuid",
                                      "setreuid",
                                      "setrlimit",
                                      "setsid",
                                      "setsockopt",
                                      "setuid",
                                      "setxattr",
                                      "shmat",
                                      "shmctl",
                                      "shmdt",
                                      "shmget",
                                      "shutdown",
                                      "sigaltstack",
                                      "signalfd",
                                      "signalfd4",
                                      "socketpair",
                                      "splice",
                                      "stat",
                                      "statfs",
                                      "statx",
                                      "symlink",
                                      "symlinkat",
                                      "sync",
                                      "sync_file_range",
                                      "syncfs",
                                      "sysinfo",
                                      "tee",
                                      "tgkill",
                                      "time",
                                      "timer_create",
                                      "timer_delete",
                                      "timer_getoverrun",
                                      "timer_gettime",
                                      "timer_settime",
                                      "timerfd_create",
                                      "timerfd_gettime",
                                      "timerfd_settime",
                                      "times",
                                      "tkill",
                                      "truncate",
                                      "umask",
                                      "uname",
                                      "unlink",
                                      "unlinkat",
                                      "utime",
                                      "utimensat",
                                      "utimes",
                                      "vfork",
                                      "vmsplice",
                                      "wait4",
                                      "waitid",
                                      "waitpid",
                                      "write",
                                      "writev",
                                      NULL};

/* Every CLONE_NEW* that clone can say. */
#define NEW_NAMESPACES 0x7e020000

static json_t *
names(const char *const *list)
{
    json_t *a = json_array();

    for (; *list != NULL; list++)
        json_array_append_new(a, json_string(*list));
    return a;
}

static void
allow_if(json_t *rules, const char *call, json_t *args)
{
    json_array_append_new(rules,
                          json_pack("{s:[s], s:s, s:o}", "names", call,
                                    "action", "SCMP_ACT_ALLOW", "args", args));
}

static json_t *
is(int index, json_int_t value)
{
    return json_pack("{s:i, s:I, s:s}", "index", index, "value", value, "op",
                     "SCMP_CMP_EQ");
}

static json_t *
masked(int index, json_int_t mask, json_int_t value)
{
    return json_pack("{s:i, s:I, s:I, s:s}", "index", index, "value", mask,
                     "valueTwo", value, "op", "SCMP_CMP_MASKED_EQ");
}

/* Local and Internet sockets, streams and datagrams; of netlink only what
 * getifaddrs(3) asks. No packet, raw, vsock, alg or other family. */
static void
add_sockets(json_t *rules)
{
    static const int internet[] = {AF_INET, AF_INET6};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM};

    allow_if(rules, "socket", json_pack("[o]", is(0, AF_UNIX)));
    allow_if(rules, "socket",
             json_pack("[o, o]", is(0, AF_NETLINK), is(2, NETLINK_ROUTE)));
    for (int f = 0; f < 2; f++)
        for (int t = 0; t < 2; t++)
            allow_if(rules, "socket",
                     json_pack("[o, o]", is(0, internet[f]),
                               masked(1, 0xf, types[t])));
}

json_t *
gh_seccomp_default(void)
{
    static const json_int_t personalities[] = {0, 8, 0x20000, 0x20008,
                                               0xffffffff};
    json_t *rules = json_array();

    json_array_append_new(rules,
                          json_pack("{s:o, s:s}", "names", names(allowed),
                                    "action", "SCMP_ACT_ALLOW"));
    json_array_append_new(rules, json_pack("{s:[s], s:s, s:i}", "names",
                                           "clone3", "action", "SCMP_ACT_ERRNO",
                                           "errnoRet", ENOSYS));
    allow_if(rules, "clone", json_pack("[o]", masked(0, NEW_NAMESPACES, 0)));
    for (size_t i = 0; i < sizeof(personalities) / sizeof(personalities[0]);
         i++)
        allow_if(rules, "personality",
                 json_pack("[o]", is(0, personalities[i])));
    add_sockets(rules);
    return json_pack("{s:s, s:i, s:[s], s:o}", "defaultAction",
                     "SCMP_ACT_ERRNO", "defaultErrnoRet", EPERM,
                     "architectures", "SCMP_ARCH_X86_64", "syscalls", rules);
}
