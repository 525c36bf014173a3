/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher.h"

#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the block */

static unsigned
hash(const char *text)
{
    uint32_t h = 2166136261u; /* FNV-1a */

    for (; *text != '\0'; text++)
        h = (h ^ (unsigned char)*text) * 16777619u;
    return h;
}

/*
 * /run/gatehouse/BB is a link to the directory that has block BB: making it is
 * the claim. A link whose directory is gone is nobody's.
 */
static int
claim(struct gh_launcher *l, unsigned block)
{
    char owner[PATH_MAX];
    struct stat st;
    ssize_t n;

    snprintf(l->claim, sizeof(l->claim), "/run/gatehouse/%02x", block);
    for (int again = 0; again < 2; again++) {
        if (symlink(l->options->dir, l->claim) == 0)
            return 1;
        if (errno != EEXIST)
            return -1;
        n = readlink(l->claim, owner, sizeof(owner) - 1);
        if (n < 0)
            continue;
        owner[n] = '\0';
        if (strcmp(owner, l->options->dir) == 0)
            return 1;
        if (stat(owner, &st) == 0 || errno != ENOENT)
            return 0;
        unlink(l->claim);
    }
    return 0;
}

/* Its own block of before, wherever that is: it may have been moved by a
 * neighbour in the way. */
static int
claimed_before(struct gh_launcher *l)
{
    char owner[PATH_MAX];
    ssize_t n;

    for (unsigned i = 0; i < 256; i++) {
        snprintf(l->claim, sizeof(l->claim), "/run/gatehouse/%02x", i);
        n = readlink(l->claim, owner, sizeof(owner) - 1);
        if (n > 0 && (size_t)n == strlen(l->options->dir) &&
            memcmp(owner, l->options->dir, (size_t)n) == 0)
            return (int)i;
    }
    return -1;
}

int
gh_launcher_claim(struct gh_launcher *l, struct gh_error *e)
{
    unsigned first = hash(l->options->dir) % 256;
    int rc;

    if (mkdir("/run/gatehouse", 0755) != 0 && errno != EEXIST)
        return gh_error_sys(e, errno, "/run/gatehouse");
    rc = claimed_before(l);
    if (rc >= 0) {
        l->block = (unsigned)rc;
        return 0;
    }
    for (unsigned i = 0; i < 256; i++) {
        l->block = (first + i) % 256;
        rc = claim(l, l->block);
        if (rc < 0)
            return gh_error_sys(e, errno, "%s", l->claim);
        if (rc > 0)
            return 0;
    }
    return gh_error_set(e, GH_ENOMEM,
                        "256 installations on this host: /run/gatehouse");
}

void
gh_launcher_unclaim(struct gh_launcher *l)
{
    unlink(l->claim);
    rmdir("/run/gatehouse"); /* fails while there are others: as it should */
}

/* ---- ids: services/NAME/ids holds the number of the range */

static int
read_range(int services, const char *name)
{
    char path[96];
    uint32_t range;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "%s/ids", name);
    fd = openat(services, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    n = read(fd, &range, sizeof(range));
    close(fd);
    return n == (ssize_t)sizeof(range) && range < GH_LAUNCHER_SERVICES
               ? (int)range
               : -1;
}

static int
write_range(int services, const char *name, uint32_t range)
{
    char path[96];
    int fd, rc;

    if (mkdirat(services, name, 0700) != 0 && errno != EEXIST)
        return -1;
    snprintf(path, sizeof(path), "%s/ids", name);
    fd = openat(services, path,
                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    rc = write(fd, &range, sizeof(range)) == (ssize_t)sizeof(range) ? 0 : -1;
    close(fd);
    return rc;
}

static int
free_range(int services, const char *name)
{
    bool taken[GH_LAUNCHER_SERVICES] = {false};
    unsigned first = hash(name) % GH_LAUNCHER_SERVICES;
    struct dirent *d;
    DIR *dir = fdopendir(dup(services));
    char home[GH_NAME_SIZE + 8];
    int range;

    if (dir == NULL)
        return -1;
    rewinddir(dir);
    while ((d = readdir(dir)) != NULL) {
        if (strlen(d->d_name) > GH_NAME_MAX)
            continue;
        /* Also of those that are being deleted: launcher_remove.c. */
        snprintf(home, sizeof(home), "%s/home", d->d_name);
        if ((range = read_range(services, d->d_name)) >= 0 ||
            (range = read_range(services, home)) >= 0)
            taken[range] = true;
    }
    closedir(dir);
    for (unsigned i = 0; i < GH_LAUNCHER_SERVICES; i++)
        if (!taken[(first + i) % GH_LAUNCHER_SERVICES])
            return (int)((first + i) % GH_LAUNCHER_SERVICES);
    return -1;
}

uint32_t
gh_launcher_ids(struct gh_launcher *l, const char *name)
{
    int range, services = openat(l->dir, "services",
                                 O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (services < 0)
        return 0;
    range = read_range(services, name);
    if (range < 0) {
        range = free_range(services, name);
        if (range >= 0 && write_range(services, name, (uint32_t)range) != 0)
            range = -1;
    }
    close(services);
    /* From 0x10000000 on; 256 blocks of 112 ranges end below 2^31. */
    return range < 0
               ? 0
               : (4096 + l->block * GH_LAUNCHER_SERVICES + (uint32_t)range)
                     << 16;
}

/* ---- what there is */

static const char *const shown[] = {"/usr",
                                             "/etc/alternatives",
                                             "/etc/ssl",
                                             "/etc/ld.so.cache",
                                             "/etc/ld.so.conf",
                                             "/etc/ld.so.conf.d",
                                             "/etc/mime.types",
                                             "/etc/fonts",
                                             "/etc/perl",
                                             "/etc/python3",
                                             "/etc/python3.11",
                                             "/etc/zoneinfo",
                                             "/etc/lemonldap-ng",
                                             "/etc/nsswitch.conf",
                                             "/etc/services",
                                             "/etc/protocols",
                                             "/etc/magic",
                                             NULL};

static void
read_boot_id(char boot[40])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, boot, 36);

    if (fd >= 0)
        close(fd);
    if (n != 36)
        snprintf(boot, 40, "unknown");
    else
        boot[36] = '\0';
}

static void
look_at_cgroups(struct gh_launcher *l)
{
    static const unsigned lacks[GH_CGROUP_N] = {
        GH_LAUNCH_LACK_MEMORY, GH_LAUNCH_LACK_PIDS, GH_LAUNCH_LACK_CPU,
        GH_LAUNCH_LACK_CPUSET, GH_LAUNCH_LACK_CGROUP2};
    char tag[32];

    snprintf(tag, sizeof(tag), "gatehouse-%02x", l->block);
    gh_cgroup_find(&l->house.cgroups, tag);
    for (int i = 0; i < GH_CGROUP_N; i++)
        if (l->house.cgroups.at[i].fd < 0)
            l->lacks |= lacks[i];
}

static void
look_at_kernel(struct gh_launcher *l)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, 0,
                       1 /* LANDLOCK_CREATE_RULESET_VERSION */);

    l->house.landlock = abi > 0 ? (unsigned)abi : 0;
    if (l->house.landlock == 0)
        l->lacks |= GH_LAUNCH_LACK_LANDLOCK;
    l->house.fuse = access("/dev/fuse", R_OK | W_OK) == 0;
    if (!l->house.fuse)
        l->lacks |= GH_LAUNCH_LACK_TRAPS;
}

static void
look_at_network(struct gh_launcher *l)
{
    struct gh_network *n = &l->house.network;
    struct gh_error e;

    n->block = l->block;
    n->gate = l->options->gate.uid;
    n->control = l->options->control.uid;
    n->nft = l->options->nft_program;
    n->ngates = l->options->ngates;
    for (unsigned i = 0; i < n->ngates; i++) {
        n->gates[i].address = ntohl(l->options->gates[i].sin_addr.s_addr);
        n->gates[i].port = ntohs(l->options->gates[i].sin_port);
    }
    if (gh_network_open(n, &e) != 0) {
        gh_log(GH_LOG_WARN,
               "services cannot have a link to the gate, sockets only: %s",
               e.message);
        l->lacks |= GH_LAUNCH_LACK_VETH;
    }
}

int
gh_launcher_look(struct gh_launcher *l, struct gh_error *e)
{
    const struct gh_gatehoused_options *o = l->options;
    char path[PATH_MAX];

    l->house.dir = o->dir;
    l->house.group = o->group;
    l->house.control_group = o->control.gid;
    l->house.shown = shown;
    l->house.allowed = o->allow;
    l->house.memory =
        (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    read_boot_id(l->house.boot);
    l->house.null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (l->house.null < 0)
        return gh_error_sys(e, errno, "/dev/null");
    snprintf(path, sizeof(path), "%s/gatehouse-shim", o->programs);
    l->house.shim_path = open(path, O_PATH | O_CLOEXEC);
    l->house.shim = gh_gatehoused_sealed_copy(path, "gatehouse-shim");
    if (l->house.shim < 0 || l->house.shim_path < 0)
        return gh_error_sys(e, errno, "%s", path);
    look_at_cgroups(l);
    look_at_kernel(l);
    look_at_network(l);
    return 0;
}

/* Those that a sandbox is made with; see capabilities(7). */
static const int kept[] = {0 /* CHOWN */,
                           1 /* DAC_OVERRIDE */,
                           2 /* DAC_READ_SEARCH */,
                           3 /* FOWNER */,
                           4 /* FSETID */,
                           5 /* KILL */,
                           6 /* SETGID */,
                           7 /* SETUID */,
                           8 /* SETPCAP */,
                           12 /* NET_ADMIN */,
                           19 /* SYS_PTRACE */,
                           21 /* SYS_ADMIN */,
                           24 /* SYS_RESOURCE */,
                           27 /* MKNOD */};

int
gh_launcher_renounce(struct gh_error *e)
{
    struct {
        uint32_t version;
        int pid;
    } head = {0x20080522, 0};
    uint32_t now[6], keep[2] = {0, 0};

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        keep[kept[i] / 32] |= 1u << (kept[i] % 32);
    for (int cap = 0; cap < 64; cap++)
        if ((keep[cap / 32] >> (cap % 32) & 1) == 0 &&
            prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0 && errno != EINVAL)
            return gh_error_sys(e, errno, "capability bounding set");
    if (syscall(SYS_capget, &head, now) != 0)
        return gh_error_sys(e, errno, "capabilities");
    for (int i = 0; i < 2; i++) {
        now[3 * i] &= keep[i];
        now[3 * i + 1] &= keep[i];
        now[3 * i + 2] = 0;
    }
    if (syscall(SYS_capset, &head, now) != 0 ||
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return gh_error_sys(e, errno, "capabilities");
    return 0;
}
