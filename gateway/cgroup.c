/* SPDX-License-Identifier: Apache-2.0 */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define ROOT "/sys/fs/cgroup"

static const char *const controllers[GH_CGROUP_N] = {
    [GH_CGROUP_MEMORY] = "memory", [GH_CGROUP_PIDS] = "pids",
    [GH_CGROUP_CPU] = "cpu",       [GH_CGROUP_CPUSET] = "cpuset",
    [GH_CGROUP_UNIFIED] = NULL,
};

static int
open_hierarchy(const char *path, long magic)
{
    struct statfs fs;
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0 && (fstatfs(fd, &fs) != 0 || fs.f_type != magic)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* Writes text to a file below a group; -1 with errno. */
static int
put(int dir, const char *file, const char *text)
{
    int saved, fd = openat(dir, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = write(fd, text, strlen(text));
    saved = errno;
    close(fd);
    errno = saved;
    return n == (ssize_t)strlen(text) ? 0 : -1;
}

static int
put_number(int dir, const char *file, uint64_t value)
{
    char text[24];

    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return put(dir, file, text);
}

static int
get(int dir, const char *file, char *text, size_t room)
{
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = read(fd, text, room - 1);
    close(fd);
    if (n < 0)
        return -1;
    text[n] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return 0;
}

static bool
has_word(const char *list, const char *word)
{
    size_t n = strlen(word);

    for (const char *p = list; (p = strstr(p, word)) != NULL; p += n)
        if ((p == list || p[-1] == ' ') && (p[n] == ' ' || p[n] == '\0'))
            return true;
    return false;
}

static void
find_controller(struct gh_cgroups *c, int i, const char *on_v2)
{
    char text[64];

    c->at[i].fd = -1;
    c->at[i].v2 = 0;
    if (has_word(on_v2, controllers[i])) {
        snprintf(text, sizeof(text), "+%s", controllers[i]);
        if (put(c->at[GH_CGROUP_UNIFIED].fd, "cgroup.subtree_control", text) ==
            0) {
            c->at[i].fd = c->at[GH_CGROUP_UNIFIED].fd;
            c->at[i].v2 = 1;
        }
        return;
    }
    snprintf(text, sizeof(text), ROOT "/%s", controllers[i]);
    c->at[i].fd = open_hierarchy(text, CGROUP_SUPER_MAGIC);
}

void
gh_cgroup_find(struct gh_cgroups *c, const char *tag)
{
    char on_v2[256] = "";
    int v2 = open_hierarchy(ROOT, CGROUP2_SUPER_MAGIC);

    memset(c, 0, sizeof(*c));
    snprintf(c->tag, sizeof(c->tag), "%s", tag);
    if (v2 < 0)
        v2 = open_hierarchy(ROOT "/unified", CGROUP2_SUPER_MAGIC);
    c->at[GH_CGROUP_UNIFIED].fd = v2;
    c->at[GH_CGROUP_UNIFIED].v2 = 1;
    if (v2 >= 0 && get(v2, "cgroup.controllers", on_v2, sizeof(on_v2)) != 0)
        on_v2[0] = '\0';
    for (int i = 0; i < GH_CGROUP_UNIFIED; i++)
        find_controller(c, i, on_v2);
    if (c->at[GH_CGROUP_CPUSET].fd >= 0 && !c->at[GH_CGROUP_CPUSET].v2 &&
        (get(c->at[GH_CGROUP_CPUSET].fd, "cpuset.cpus", c->boot_cpus,
             sizeof(c->boot_cpus)) != 0 ||
         get(c->at[GH_CGROUP_CPUSET].fd, "cpuset.mems", c->boot_mems,
             sizeof(c->boot_mems)) != 0))
        c->at[GH_CGROUP_CPUSET].fd = -1;
}

/* The group above ours in hierarchy i, made when absent. */
static int
open_tag(const struct gh_cgroups *c, int i, bool make)
{
    int fd;

    if (make && mkdirat(c->at[i].fd, c->tag, 0755) != 0 && errno != EEXIST)
        return -1;
    fd = openat(c->at[i].fd, c->tag, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || !make)
        return fd;
    if (i == GH_CGROUP_CPUSET && !c->at[i].v2) {
        put(fd, "cpuset.cpus", c->boot_cpus);
        put(fd, "cpuset.mems", c->boot_mems);
    }
    if (i == GH_CGROUP_UNIFIED)
        for (int k = 0; k < GH_CGROUP_UNIFIED; k++)
            if (c->at[k].v2) {
                char text[32];

                snprintf(text, sizeof(text), "+%s", controllers[k]);
                put(fd, "cgroup.subtree_control", text);
            }
    return fd;
}

/* Hierarchies that have a directory of their own. */
static bool
own_tree(const struct gh_cgroups *c, int i)
{
    return c->at[i].fd >= 0 && (i == GH_CGROUP_UNIFIED || !c->at[i].v2);
}

static int
limit_memory(int dir, int v2, const struct gh_cgroup_limits *l)
{
    if (l->memory == 0)
        return 0;
    if (v2) {
        if (put_number(dir, "memory.max", l->memory) != 0)
            return -1;
        put_number(dir, "memory.swap.max", l->swap);
        put(dir, "memory.oom.group", "0");
        return 0;
    }
    if (put_number(dir, "memory.limit_in_bytes", l->memory) != 0)
        return -1;
    /* Kernels without swap accounting have no such file. */
    put_number(dir, "memory.memsw.limit_in_bytes", l->memory + l->swap);
    return 0;
}

static int
limit_cpu(int dir, int v2, const struct gh_cgroup_limits *l)
{
    char text[64];

    if (l->cpu_quota_us != 0 && v2) {
        snprintf(text, sizeof(text), "%llu %llu",
                 (unsigned long long)l->cpu_quota_us,
                 (unsigned long long)l->cpu_period_us);
        if (put(dir, "cpu.max", text) != 0)
            return -1;
    } else if (l->cpu_quota_us != 0) {
        if (put_number(dir, "cpu.cfs_period_us", l->cpu_period_us) != 0 ||
            put_number(dir, "cpu.cfs_quota_us", l->cpu_quota_us) != 0)
            return -1;
    }
    if (l->cpu_shares == 0)
        return 0;
    /* The same map from shares to weights that the OCI runtimes use. */
    return v2 ? put_number(dir, "cpu.weight",
                           1 + (l->cpu_shares - 2) * 9999 / 262142)
              : put_number(dir, "cpu.shares", l->cpu_shares);
}

static int
limit_cpuset(const struct gh_cgroups *c, int dir, int v2,
             const struct gh_cgroup_limits *l)
{
    if (!v2 && (put(dir, "cpuset.mems", c->boot_mems) != 0 ||
                put(dir, "cpuset.cpus", c->boot_cpus) != 0))
        return -1;
    return l->cpuset == NULL ? 0 : put(dir, "cpuset.cpus", l->cpuset);
}

static int
limit(const struct gh_cgroups *c, int i, int dir,
      const struct gh_cgroup_limits *l)
{
    switch (i) {
    case GH_CGROUP_MEMORY:
        return limit_memory(dir, c->at[i].v2, l);
    case GH_CGROUP_PIDS:
        return l->pids == 0 ? 0 : put_number(dir, "pids.max", l->pids);
    case GH_CGROUP_CPU:
        return limit_cpu(dir, c->at[i].v2, l);
    case GH_CGROUP_CPUSET:
        return limit_cpuset(c, dir, c->at[i].v2, l);
    default:
        return 0;
    }
}

static int
make_one(const struct gh_cgroups *c, int i, const char *leaf)
{
    int fd, tag = open_tag(c, i, true);

    if (tag < 0)
        return -1;
    if (mkdirat(tag, leaf, 0755) != 0 && errno != EEXIST) {
        int saved = errno;

        close(tag);
        errno = saved;
        return -1;
    }
    fd = openat(tag, leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(tag);
    return fd;
}

/* A hierarchy for a controller that no limit of this replica needs is left
 * alone: one directory less to make and to remove. */
static bool
needed(int i, const struct gh_cgroup_limits *l)
{
    return i != GH_CGROUP_CPUSET || l->cpuset != NULL;
}

int
gh_cgroup_make(const struct gh_cgroups *c, const char *leaf,
               const struct gh_cgroup_limits *l, int fds[GH_CGROUP_N],
               struct gh_error *e)
{
    int i;

    for (i = 0; i < GH_CGROUP_N; i++)
        fds[i] = -1;
    for (i = GH_CGROUP_N - 1; i >= 0; i--) {
        if (c->at[i].fd < 0 || !needed(i, l))
            continue;
        fds[i] = own_tree(c, i) ? make_one(c, i, leaf) : fds[GH_CGROUP_UNIFIED];
        if (fds[i] < 0 || limit(c, i, fds[i], l) != 0)
            return gh_error_sys(e, errno, "cgroup %s/%s/%s",
                                i == GH_CGROUP_UNIFIED ? "v2" : controllers[i],
                                c->tag, leaf);
    }
    return 0;
}

static int
open_leaf(const struct gh_cgroups *c, int i, const char *leaf)
{
    int fd, tag = open_tag(c, i, false);

    if (tag < 0)
        return -1;
    fd = openat(tag, leaf, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    close(tag);
    return fd;
}

/* v1 has no cgroup.kill: each process of the list, as long as there is one. */
static void
kill_listed(int dir)
{
    char text[4096];
    char *p, *end;
    int fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return;
    while ((n = read(fd, text, sizeof(text) - 1)) > 0) {
        text[n] = '\0';
        for (p = text; *p != '\0'; p = *end == '\n' ? end + 1 : end) {
            long pid = strtol(p, &end, 10);

            if (end == p)
                break;
            if (pid > 1)
                kill((pid_t)pid, SIGKILL);
        }
    }
    close(fd);
}

void
gh_cgroup_kill(const struct gh_cgroups *c, const char *leaf)
{
    int fd;

    for (int i = GH_CGROUP_N - 1; i >= 0; i--) {
        if (!own_tree(c, i) || (fd = open_leaf(c, i, leaf)) < 0)
            continue;
        if (!c->at[i].v2 || put(fd, "cgroup.kill", "1") != 0)
            kill_listed(fd);
        close(fd);
    }
}

int
gh_cgroup_remove(const struct gh_cgroups *c, const char *leaf)
{
    int tag, left = 0;

    for (int i = 0; i < GH_CGROUP_N; i++) {
        if (!own_tree(c, i) || (tag = open_tag(c, i, false)) < 0)
            continue;
        if (unlinkat(tag, leaf, AT_REMOVEDIR) != 0 && errno != ENOENT)
            left++;
        close(tag);
    }
    return left;
}

void
gh_cgroup_sweep(const struct gh_cgroups *c,
                int (*keep)(void *ctx, const char *leaf), void *ctx)
{
    struct dirent *d;
    DIR *dir;
    int tag;

    for (int i = 0; i < GH_CGROUP_N; i++) {
        if (!own_tree(c, i) || (tag = open_tag(c, i, false)) < 0)
            continue;
        dir = fdopendir(tag);
        if (dir == NULL) {
            close(tag);
            continue;
        }
        while ((d = readdir(dir)) != NULL)
            if (d->d_type == DT_DIR && d->d_name[0] != '.' &&
                !keep(ctx, d->d_name)) {
                gh_cgroup_kill(c, d->d_name);
                unlinkat(tag, d->d_name, AT_REMOVEDIR);
            }
        closedir(dir);
    }
}

/* The number behind "key " at the start of a line. */
static unsigned
count_after(int dir, const char *file, const char *key)
{
    char text[1024];
    const char *p;
    int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    if (fd >= 0)
        close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    p = strstr(text, key);
    return p == NULL ? 0 : (unsigned)strtoul(p + strlen(key), NULL, 10);
}

unsigned
gh_cgroup_oom(const struct gh_cgroups *c, const char *leaf)
{
    unsigned n;
    int fd, i = GH_CGROUP_MEMORY;

    if (c->at[i].fd < 0 ||
        (fd = open_leaf(c, c->at[i].v2 ? GH_CGROUP_UNIFIED : i, leaf)) < 0)
        return 0;
    n = c->at[i].v2 ? count_after(fd, "memory.events", "oom_kill ")
                    : count_after(fd, "memory.oom_control", "oom_kill ");
    close(fd);
    return n;
}

void
gh_cgroup_finish(const struct gh_cgroups *c)
{
    for (int i = 0; i < GH_CGROUP_N; i++)
        if (own_tree(c, i))
            unlinkat(c->at[i].fd, c->tag, AT_REMOVEDIR);
}
