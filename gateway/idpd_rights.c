/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What gatehouse-idp gives up before its first thread. It was given a uid of
 * its own and no capability by who started it; here it sees to it that a fault
 * in a library it links (HTTP, TLS, JSON, XML later) gains nothing: no program
 * can be started, no process looked into, no mount, namespace or kernel
 * facility touched. What is refused answers EPERM, so that a library that asks
 * in vain goes on.
 */
#include "idpd.h"

#include <errno.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const int refused[] = {SCMP_SYS(execve),
                              SCMP_SYS(execveat),
                              SCMP_SYS(fork),
                              SCMP_SYS(vfork),
#ifndef __SANITIZE_ADDRESS__ /* its leak check looks into us */
                              SCMP_SYS(ptrace),
#endif
                              SCMP_SYS(process_vm_readv),
                              SCMP_SYS(process_vm_writev),
                              SCMP_SYS(pidfd_getfd),
                              SCMP_SYS(kcmp),
                              SCMP_SYS(setns),
                              SCMP_SYS(unshare),
                              SCMP_SYS(mount),
                              SCMP_SYS(umount2),
                              SCMP_SYS(pivot_root),
                              SCMP_SYS(chroot),
                              SCMP_SYS(move_mount),
                              SCMP_SYS(open_tree),
                              SCMP_SYS(fsopen),
                              SCMP_SYS(fsmount),
                              SCMP_SYS(bpf),
                              SCMP_SYS(perf_event_open),
                              SCMP_SYS(userfaultfd),
                              SCMP_SYS(io_uring_setup),
                              SCMP_SYS(add_key),
                              SCMP_SYS(request_key),
                              SCMP_SYS(keyctl),
                              SCMP_SYS(init_module),
                              SCMP_SYS(finit_module),
                              SCMP_SYS(delete_module),
                              SCMP_SYS(kexec_load),
                              SCMP_SYS(reboot),
                              SCMP_SYS(swapon),
                              SCMP_SYS(swapoff),
                              SCMP_SYS(acct),
                              SCMP_SYS(quotactl),
                              SCMP_SYS(name_to_handle_at),
                              SCMP_SYS(open_by_handle_at),
                              SCMP_SYS(settimeofday),
                              SCMP_SYS(clock_settime),
                              SCMP_SYS(adjtimex),
                              SCMP_SYS(sethostname),
                              SCMP_SYS(setdomainname),
                              SCMP_SYS(personality),
                              SCMP_SYS(mknod),
                              SCMP_SYS(mknodat),
                              SCMP_SYS(setuid),
                              SCMP_SYS(setgid),
                              SCMP_SYS(setreuid),
                              SCMP_SYS(setregid),
                              SCMP_SYS(setresuid),
                              SCMP_SYS(setresgid),
                              SCMP_SYS(setgroups),
                              SCMP_SYS(capset)};

static int
filter(struct gh_error *e)
{
    scmp_filter_ctx c = seccomp_init(SCMP_ACT_ALLOW);
    size_t i;
    int rc = c == NULL ? -ENOMEM : 0;

    for (i = 0; rc == 0 && i < sizeof(refused) / sizeof(refused[0]); i++)
        rc = seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    /* a process beside ours is made by clone; a thread has CLONE_VM */
    if (rc == 0)
        rc = seccomp_rule_add(c, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1,
                              SCMP_A0(SCMP_CMP_MASKED_EQ, 0x00000100, 0));
    /* its flags lie in memory, unseen; libc falls back to clone */
    if (rc == 0)
        rc = seccomp_rule_add(c, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (rc == 0)
        rc = seccomp_load(c);
    if (c != NULL)
        seccomp_release(c);
    return rc == 0 ? 0 : gh_error_sys(e, -rc, "seccomp filter");
}

int
gh_idpd_give_up_rights(struct gh_error *e)
{
    struct rlimit none = {0, 0};

    umask(0077);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0)
        return gh_error_sys(e, errno, "give up rights");
    return filter(e);
}
