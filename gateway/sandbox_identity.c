/* SPDX-License-Identifier: Apache-2.0 */
/* Who pid 1 is and what it may: ids, capabilities, Landlock. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <linux/securebits.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STEP(call, what)                                                       \
    do {                                                                       \
        if ((call) != 0) {                                                     \
            snprintf(where, room, "%s", what);                                 \
            return -1;                                                         \
        }                                                                      \
    } while (0)

static int
drop_bounding(uint64_t keep)
{
    for (int cap = 0; cap < 64; cap++) {
        if ((keep >> cap & 1) != 0)
            continue;
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0) {
            /* EINVAL: the kernel's last capability has been passed. */
            return errno == EINVAL && cap > 0 ? 0 : -1;
        }
    }
    return 0;
}

static int
set_caps(uint64_t caps)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];

    for (int i = 0; i < 2; i++)
        data[i].effective = data[i].permitted = data[i].inheritable =
            (uint32_t)(caps >> (32 * i));
    return (int)syscall(SYS_capset, &head, data);
}

static int
set_ambient(uint64_t caps)
{
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return -1;
    for (int cap = 0; cap < 64; cap++)
        if ((caps >> cap & 1) != 0 &&
            prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) != 0)
            return -1;
    return 0;
}

/*
 * With SECBIT_NOROOT uid 0 is a number like others: what a program may follows
 * from the sets alone, and ambient hands them over execve.
 */
int
gh_sandbox_identity(const struct gh_launch_plan *p, char *where, size_t room)
{
    gid_t groups[GH_LAUNCH_GROUPS];

    for (uint32_t i = 0; i < p->ngroups; i++)
        groups[i] = p->groups[i];
    STEP(prctl(PR_SET_SECUREBITS,
               SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_KEEP_CAPS, 0, 0,
               0),
         "securebits");
    STEP(drop_bounding(p->caps), "capability bounding set");
    STEP(setgroups(p->ngroups, groups), "groups");
    STEP(setresgid(p->gid, p->gid, p->gid), "gid");
    STEP(setresuid(p->uid, p->uid, p->uid), "uid");
    STEP(set_caps(p->caps), "capabilities");
    STEP(set_ambient(p->caps), "ambient capabilities");
    STEP(prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0), "securebits");
    STEP(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0), "not dumpable");
    STEP(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
    return 0;
}

/* ---- Landlock: what headers of Debian 12 do not name yet */

#define FS_TRUNCATE (1ull << 14)  /* ABI 3 */
#define FS_IOCTL_DEV (1ull << 15) /* ABI 5 */
#define SCOPE_ALL 3ull            /* ABI 6: abstract sockets, signals */

struct ruleset_attr {
    uint64_t fs, net, scoped;
};

#define READ                                                                   \
    (LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE |               \
     LANDLOCK_ACCESS_FS_READ_DIR)
#define NODES (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)

static uint64_t
known(unsigned abi)
{
    uint64_t all = (1ull << 13) - 1;

    if (abi >= 2)
        all |= LANDLOCK_ACCESS_FS_REFER;
    if (abi >= 3)
        all |= FS_TRUNCATE;
    if (abi >= 5)
        all |= FS_IOCTL_DEV;
    return all;
}

/* A path that is not there needs no rule. */
static int
allow(int set, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    struct stat st;
    int rc, saved;

    rule.parent_fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
    if (rule.parent_fd < 0)
        return errno == ENOENT ? 0 : -1;
    if (fstat(rule.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &=
            LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE |
            LANDLOCK_ACCESS_FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
    rc = rule.allowed_access == 0
             ? 0
             : (int)syscall(SYS_landlock_add_rule, set,
                            LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
    saved = errno;
    close(rule.parent_fd);
    errno = saved;
    return rc;
}

static int
allow_mounts(int set, const struct gh_launch_plan *p, uint64_t write)
{
    for (uint32_t i = 0; i < p->nmounts; i++) {
        const struct gh_launch_mount *m = &p->mounts[i];

        if (m->kind != GH_LAUNCH_FILE && !(m->flags & GH_LAUNCH_RO) &&
            allow(set, gh_launch_text(p, m->target), write) != 0)
            return -1;
    }
    return 0;
}

/*
 * Reading and executing is open below the root, which holds nothing else than
 * the plan put there; writing only where the plan has something writable. In
 * the directory of shared sockets a service may make sockets and files, but
 * neither links nor directories: whoever of the host follows a name in it must
 * not be led elsewhere.
 */
static int
allow_all(int set, const struct gh_launch_plan *p, uint64_t all)
{
    uint64_t write = all & ~NODES;
    uint64_t sockets =
        all & (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR |
               LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_SOCK |
               LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_REMOVE_FILE |
               FS_TRUNCATE);
    uint64_t files = all & (READ | LANDLOCK_ACCESS_FS_WRITE_FILE | FS_TRUNCATE |
                            FS_IOCTL_DEV);

    if (allow(set, "/", READ) != 0 || allow(set, "/tmp", write) != 0 ||
        allow(set, "/dev/shm", write) != 0 || allow(set, "/dev", files) != 0 ||
        allow(set, "/proc", files) != 0 || allow(set, "/run", write) != 0 ||
        allow(set, "/svc", sockets) != 0)
        return -1;
    return allow_mounts(set, p, write);
}

int
gh_sandbox_landlock(const struct gh_sandbox *s, char *where, size_t room)
{
    unsigned abi = s->house->landlock;
    struct ruleset_attr attr = {.fs = known(abi),
                                .scoped = abi >= 6 ? SCOPE_ALL : 0};
    size_t size = abi >= 6 ? sizeof(attr) : sizeof(attr.fs);
    int set;

    if (abi == 0 || (s->plan->flags & GH_LAUNCH_NO_LANDLOCK))
        return 0;
    set = (int)syscall(SYS_landlock_create_ruleset, &attr, size, 0);
    STEP(set < 0, "Landlock rules");
    STEP(allow_all(set, s->plan, attr.fs), "Landlock rule");
    STEP((int)syscall(SYS_landlock_restrict_self, set, 0), "Landlock");
    close(set);
    return 0;
}
