/* SPDX-License-Identifier: Apache-2.0 */
#include "shim_parts.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED 1 /* it looks at its own process when it ends */
#else
#define SANITIZED 0
#endif

/* poll, read and answer; open names of processes, turn log files over; end. */
static const uint16_t calls[] = {
    SYS_read,    SYS_write,         SYS_writev,       SYS_poll,
    SYS_recvmsg, SYS_close,         SYS_openat,       SYS_newfstatat,
    SYS_fstat,   SYS_renameat,      SYS_renameat2,    SYS_unlinkat,
    SYS_fcntl,   SYS_clock_gettime, SYS_wait4,        SYS_fsync,
    SYS_exit,    SYS_exit_group,    SYS_rt_sigreturn, SYS_restart_syscall};

static const uint32_t controls[] = {
    SECCOMP_IOCTL_NOTIF_RECV, SECCOMP_IOCTL_NOTIF_SEND,
    _IOWR(0xff, 11, char[64]) /* PIDFD_GET_INFO */};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define MOST (2 * (COUNT(calls) + COUNT(controls)) + 8)

static unsigned
put(struct sock_filter *f, unsigned n, uint16_t code, uint32_t k, uint8_t yes,
    uint8_t no)
{
    f[n] = (struct sock_filter){code, yes, no, k};
    return n + 1;
}

static unsigned
write_filter(struct sock_filter *f)
{
    const uint16_t load = BPF_LD | BPF_W | BPF_ABS,
                   eq = BPF_JMP | BPF_JEQ | BPF_K, ret = BPF_RET | BPF_K;
    unsigned n = 0;

    n = put(f, n, load, offsetof(struct seccomp_data, arch), 0, 0);
    n = put(f, n, eq, AUDIT_ARCH_X86_64, 1, 0);
    n = put(f, n, ret, SECCOMP_RET_KILL_PROCESS, 0, 0);
    n = put(f, n, load, offsetof(struct seccomp_data, nr), 0, 0);
    for (size_t i = 0; i < COUNT(calls); i++) {
        n = put(f, n, eq, calls[i], 0, 1);
        n = put(f, n, ret, SECCOMP_RET_ALLOW, 0, 0);
    }
    n = put(f, n, eq, SYS_ioctl, 0, 2 * COUNT(controls) + 1);
    n = put(f, n, load, offsetof(struct seccomp_data, args[1]), 0, 0);
    for (size_t i = 0; i < COUNT(controls); i++) {
        n = put(f, n, eq, controls[i], 0, 1);
        n = put(f, n, ret, SECCOMP_RET_ALLOW, 0, 0);
    }
    return put(f, n, ret, SECCOMP_RET_ERRNO | 1 /* EPERM */, 0, 0);
}

int
gh_shim_confine(void)
{
    struct sock_filter filter[MOST];
    struct sock_fprog program = {.filter = filter};

    if (SANITIZED)
        return 0;
    program.len = (unsigned short)write_filter(filter);
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
}
