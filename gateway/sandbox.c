/* SPDX-License-Identifier: Apache-2.0 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct birth {
    const struct gh_sandbox *s;
    struct gh_sandbox_parts parts;
    struct gh_shim_state state;
    int home;        /* services/NAME */
    int shim_notify; /* the shim's end */
    int host_net;
    int wake; /* the other end of parts.sync */
};

#define NEED(call, ...)                                                        \
    do {                                                                       \
        if ((call) < 0)                                                        \
            gh_sandbox_fail(b->s, errno, __VA_ARGS__);                         \
    } while (0)

void
gh_sandbox_fail(const struct gh_sandbox *s, int sys, const char *fmt, ...)
{
    struct gh_sandbox_report r = {
        .kind = GH_SANDBOX_FAILED, .sys = sys, .code = GH_EIO};
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(r.message, sizeof(r.message), fmt, ap);
    va_end(ap);
    gh_launch_send(s->report, &r, sizeof(r), NULL, 0);
    _exit(127);
}

static _Noreturn void
fail_with(const struct gh_sandbox *s, const struct gh_error *e)
{
    struct gh_sandbox_report r = {.kind = GH_SANDBOX_FAILED, .code = e->code};

    snprintf(r.message, sizeof(r.message), "%.255s", e->message);
    gh_launch_send(s->report, &r, sizeof(r), NULL, 0);
    _exit(127);
}

/* Fields 3 and 22 of /proc/PID/stat; 0 when there is no such process. */
static uint64_t
read_stat(pid_t pid, char *mode)
{
    char path[40], text[1024];
    const char *p;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    /* The name in parentheses may hold anything, parentheses too. */
    p = strrchr(text, ')');
    *mode = p != NULL && p[1] == ' ' ? p[2] : '?';
    for (int field = 2; p != NULL && field < 22; field++)
        p = strchr(p + 1, ' ');
    return p == NULL ? 0 : strtoull(p + 1, NULL, 10);
}

uint64_t
gh_sandbox_start_time(pid_t pid)
{
    char mode;

    return read_stat(pid, &mode);
}

bool
gh_sandbox_lives(pid_t pid, uint64_t start)
{
    char mode;

    return pid > 0 && start != 0 && read_stat(pid, &mode) == start &&
           mode != 'Z' && mode != 'X';
}

static uint64_t
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- directories of the service */

static int
open_directory(int at, const char *path, mode_t mode)
{
    if (mkdirat(at, path, mode) != 0 && errno != EEXIST)
        return -1;
    return openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void
open_home(struct birth *b)
{
    const struct gh_sandbox_house *h = b->s->house;
    char path[96];
    int dir = open(h->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    NEED(dir, "%s", h->dir);
    snprintf(path, sizeof(path), "services/%s", b->s->plan->name);
    b->home = open_directory(dir, path, 0700);
    NEED(b->home, "%s", path);
    if (b->s->plan->flags & (GH_LAUNCH_SOCKET_DIR | GH_LAUNCH_LISTEN)) {
        snprintf(path, sizeof(path), "svc/%s", b->s->plan->name);
        b->parts.sockets = open_directory(dir, path, 0700);
        NEED(b->parts.sockets, "%s", path);
    }
    close(dir);
}

/* The FIFO belongs to the service, so that it can open /dev/stdout anew. */
static void
open_fifo(struct birth *b)
{
    const struct gh_launch_plan *p = b->s->plan;
    char name[24];

    snprintf(name, sizeof(name), "%u.log", p->replica);
    unlinkat(b->home, name, 0);
    NEED(mknodat(b->home, name, S_IFIFO | 0600, 0), "log pipe");
    b->parts.fifo = openat(b->home, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    NEED(b->parts.fifo, "log pipe");
    NEED(fchown(b->parts.fifo, b->s->id_base + p->uid, b->s->id_base + p->gid),
         "log pipe");
    fcntl(b->parts.fifo, F_SETPIPE_SZ, 256 << 10);
}

/*
 * svc/NAME belongs to the service, its group to the gate; setgid hands that
 * group to the sockets which the service makes in it.
 */
static void
prepare_sockets(struct birth *b)
{
    const struct gh_launch_plan *p = b->s->plan;
    int fd = b->parts.sockets;

    if (fd < 0)
        return;
    if (p->flags & GH_LAUNCH_SOCKET_DIR) {
        NEED(fchown(fd, b->s->id_base + p->uid, b->s->house->group), "svc");
        NEED(fchmod(fd, 02750), "svc");
    } else {
        NEED(fchown(fd, 0, b->s->house->group), "svc");
        NEED(fchmod(fd, 0750), "svc");
    }
}

/* A socket that the service is handed ready to accept; group: the gate's. */
static void
open_listener(struct birth *b)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char name[24];
    int fd;

    if (!(b->s->plan->flags & GH_LAUNCH_LISTEN))
        return;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    NEED(fd, "listening socket");
    snprintf(name, sizeof(name), "%u.sock", b->s->plan->replica);
    unlinkat(b->parts.sockets, name, 0);
    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s",
             b->parts.sockets, name);
    umask(0117); /* 0660, with no other look at the name */
    NEED(bind(fd, (struct sockaddr *)&a, sizeof(a)), "listening socket");
    umask(0);
    NEED(fchownat(b->parts.sockets, name, 0, b->s->house->group,
                  AT_SYMLINK_NOFOLLOW),
         "listening socket");
    NEED(listen(fd, 1024), "listening socket");
    b->parts.listen = fd;
    close(b->parts.sockets);
    b->parts.sockets = -1;
}

/* ---- mounts, by descriptor */

/* Is `path` one of these or beneath one? */
static bool
beneath(const char *const *roots, const char *path)
{
    for (size_t i = 0; roots[i] != NULL; i++) {
        size_t n = strlen(roots[i]);

        if (strncmp(path, roots[i], n) == 0 &&
            (path[n] == '\0' || path[n] == '/'))
            return true;
    }
    return false;
}

/* A path of the host without any link on the way. */
static int
open_host(const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve =
                               RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how));
}

static uint64_t
attributes(const struct gh_launch_mount *m)
{
    return MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
           (m->flags & GH_LAUNCH_RO ? MOUNT_ATTR_RDONLY : 0) |
           (m->flags & GH_LAUNCH_NOEXEC ? MOUNT_ATTR_NOEXEC : 0);
}

static int
clone_bind(struct birth *b, const struct gh_launch_mount *m)
{
    const char *path = gh_launch_text(b->s->plan, m->source);
    int place, tree;

    if (!beneath(b->s->house->shown, path) &&
        !beneath(b->s->house->allowed, path))
        gh_sandbox_fail(b->s, EPERM, "policy: host path %s", path);
    place = open_host(path);
    if (place < 0 && (m->flags & GH_LAUNCH_OPTIONAL))
        return -1;
    NEED(place, "host path %s", path);
    tree = gh_sandbox_clone_tree(place, "", attributes(m) | MOUNT_ATTR_RDONLY,
                                 true);
    NEED(tree, "host path %s", path);
    close(place);
    return tree;
}

/* A volume's top belongs to whom the service runs as. */
static int
clone_volume(struct birth *b, const struct gh_launch_mount *m)
{
    const struct gh_launch_plan *p = b->s->plan;
    const char *name = gh_launch_text(p, m->source);
    int tree, dir, volumes = open_directory(b->home, "volumes", 0700);

    NEED(volumes, "volumes");
    dir = open_directory(volumes, name, 0700);
    NEED(dir, "volume %s", name);
    NEED(fchown(dir, b->s->id_base + p->uid, b->s->id_base + p->gid),
         "volume %s", name);
    tree = gh_sandbox_clone_tree(dir, "", attributes(m), false);
    NEED(tree, "volume %s", name);
    close(dir);
    close(volumes);
    return tree;
}

static void
clone_mounts(struct birth *b)
{
    const struct gh_launch_plan *p = b->s->plan;

    for (uint32_t i = 0; i < GH_LAUNCH_MOUNTS; i++)
        b->parts.mounts[i] = -1;
    for (uint32_t i = 0; i < p->nmounts; i++) {
        if (p->mounts[i].kind == GH_LAUNCH_BIND)
            b->parts.mounts[i] = clone_bind(b, &p->mounts[i]);
        else if (p->mounts[i].kind == GH_LAUNCH_VOLUME)
            b->parts.mounts[i] = clone_volume(b, &p->mounts[i]);
    }
    if (p->flags & GH_LAUNCH_INIT) {
        b->parts.init = gh_sandbox_clone_tree(
            b->s->house->shim_path, "",
            MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, false);
        NEED(b->parts.init, "init");
    }
    if (b->parts.sockets >= 0) {
        int tree = gh_sandbox_clone_tree(
            b->parts.sockets, "",
            MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, false);

        NEED(tree, "svc");
        close(b->parts.sockets);
        b->parts.sockets = tree;
    }
}

static void
make_traps(struct birth *b)
{
    for (int i = 0; b->s->house->fuse && i < GH_SHIM_TRAPS_N; i++) {
        const char *path = gh_sandbox_trap[i];

        b->parts.fuse[i] = open("/dev/fuse", O_RDWR | O_CLOEXEC);
        NEED(b->parts.fuse[i], "/dev/fuse");
        b->parts.traps[i] =
            gh_sandbox_fuse(b->parts.fuse[i], path[strlen(path) - 1] == '/');
        NEED(b->parts.traps[i], "trap %s", path);
    }
}

static void
clone_host_root(struct birth *b)
{
    struct stat st;
    char path[32];

    for (int i = 0; gh_sandbox_usr[i] != NULL; i++) {
        snprintf(path, sizeof(path), "/%s", gh_sandbox_usr[i]);
        b->parts.usr[i] = -1;
        if (lstat(path, &st) != 0 || !S_ISDIR(st.st_mode))
            continue;
        b->parts.usr[i] = gh_sandbox_clone_tree(
            AT_FDCWD, path,
            MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV, true);
        NEED(b->parts.usr[i], "%s", path);
    }
    make_traps(b);
}

/*
 * The files of a rootfs are shown by id-mapping: uid 0 inside is uid 0 on the
 * host's disk. Written there, a setuid program would be root's for all others
 * of the host. So it is read-only from the beginning, and never the host's own
 * programs.
 */
static void
clone_rootfs(struct birth *b)
{
    const char *path = gh_launch_text(b->s->plan, b->s->plan->rootfs);
    int place;

    if (!beneath(b->s->house->allowed, path))
        gh_sandbox_fail(b->s, EPERM, "policy: rootfs %s", path);
    place = open_host(path);
    NEED(place, "rootfs %s", path);
    b->parts.root = gh_sandbox_clone_tree(
        place, "", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV,
        false);
    NEED(b->parts.root, "rootfs %s", path);
    close(place);
}

static void
clone_devices(struct birth *b)
{
    char path[32];

    for (int i = 0; gh_sandbox_device[i] != NULL; i++) {
        snprintf(path, sizeof(path), "/dev/%s", gh_sandbox_device[i]);
        b->parts.devices[i] = gh_sandbox_clone_tree(
            AT_FDCWD, path, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, false);
        NEED(b->parts.devices[i], "%s", path);
    }
}

/* ---- birth */

static void
make_groups(struct birth *b)
{
    const struct gh_launch_plan *p = b->s->plan;
    uint64_t all = b->s->house->memory;
    struct gh_cgroup_limits l = {.memory = p->memory < all ? p->memory : all,
                                 .swap = p->swap,
                                 .pids = p->pids,
                                 .cpu_quota_us = p->cpu_quota_us,
                                 .cpu_period_us = p->cpu_period_us,
                                 .cpu_shares = p->cpu_shares,
                                 .cpuset = gh_launch_text(p, p->cpuset)};
    char leaf[80];
    struct gh_error e;

    snprintf(leaf, sizeof(leaf), "%s.%u", p->name, p->replica);
    snprintf(b->state.cgroup, sizeof(b->state.cgroup), "/%s/%s",
             b->s->house->cgroups.tag, leaf);
    if (gh_cgroup_make(&b->s->house->cgroups, leaf, &l, b->parts.groups, &e) !=
        0)
        fail_with(b->s, &e);
}

static void
make_network(struct birth *b)
{
    const struct gh_launch_plan *p = b->s->plan;
    unsigned hint = b->s->id_base >> 16;
    struct gh_error e;

    for (const char *c = p->name; *c != '\0'; c++)
        hint = hint * 31 + (unsigned char)*c;
    if (gh_network_enter(
            &b->s->house->network, (p->flags & GH_LAUNCH_VETH) != 0,
            (p->flags & GH_LAUNCH_EGRESS_GATE) != 0, hint + p->replica,
            &b->host_net, &b->parts.address, &e) != 0)
        fail_with(b->s, &e);
    b->state.address = b->parts.address;
}

static void
make_channels(struct birth *b)
{
    int pair[2];

    NEED(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair),
         "channel to the shim");
    b->shim_notify = pair[0];
    b->parts.notify = pair[1];
    NEED(pipe2(pair, O_CLOEXEC), "pipe");
    b->parts.sync = pair[0];
    b->wake = pair[1];
}

static void
write_maps(struct birth *b, pid_t pid)
{
    static const char *const files[] = {"uid_map", "gid_map"};
    char path[48], map[48];

    snprintf(map, sizeof(map), "0 %u %u\n", b->s->id_base, GH_LAUNCH_IDS);
    for (int i = 0; i < 2; i++) {
        int fd;

        snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, files[i]);
        fd = open(path, O_WRONLY | O_CLOEXEC);
        NEED(fd, "%s", files[i]);
        NEED(write(fd, map, strlen(map)), "%s", files[i]);
        close(fd);
    }
}

/* The files of an image belong to ids of the host; inside they shall be those
 * of the namespace. Where the file system cannot, they stay nobody's. */
static void
map_rootfs(struct birth *b, pid_t pid)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP};
    char path[48];
    int ns;

    if (b->parts.root < 0)
        return;
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
    ns = open(path, O_RDONLY | O_CLOEXEC);
    NEED(ns, "user namespace");
    attr.userns_fd = (uint64_t)ns;
    mount_setattr(b->parts.root, "", AT_EMPTY_PATH, &attr, sizeof(attr));
    close(ns);
}

static void
fill_state(struct birth *b, pid_t pid)
{
    const struct gh_launch_plan *p = b->s->plan;
    struct gh_shim_state *st = &b->state;

    st->magic = GH_SHIM_MAGIC;
    st->version = GH_SHIM_VERSION;
    memcpy(st->boot, b->s->house->boot, sizeof(st->boot));
    memcpy(st->name, p->name, sizeof(st->name));
    st->replica = p->replica;
    st->flags = p->flags;
    st->id_base = b->s->id_base;
    st->pid = pid;
    st->pid_start = gh_sandbox_start_time(pid);
    st->shim = getpid();
    st->shim_start = gh_sandbox_start_time(st->shim);
    st->started_ms = now_ms();
    st->status = -1;
    st->stop_signal = p->stop_signal;
    st->grace_ms = p->grace_ms;
    st->log_size = p->log_size;
    st->stamp = p->stamp;
    st->log_files = p->log_files;
}

static pid_t
give_birth(struct birth *b, int *pidfd)
{
    int group = b->parts.groups[GH_CGROUP_UNIFIED];
    struct clone_args args = {
        .flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC |
                 CLONE_NEWUTS | CLONE_PIDFD | CLONE_CLEAR_SIGHAND |
                 (group >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .exit_signal = SIGCHLD,
        .cgroup = (uint64_t)(group >= 0 ? group : 0)};
    pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

    if (pid == 0) {
        close(b->wake);
        close(b->shim_notify);
        gh_sandbox_inside(b->s, &b->parts);
    }
    NEED(pid, "clone3");
    return pid;
}

static void
report_birth(struct birth *b, int pidfd)
{
    struct gh_sandbox_report r = {.kind = GH_SANDBOX_BORN, .state = b->state};

    NEED(gh_launch_send(b->s->report, &r, sizeof(r), &pidfd, 1), "report");
}

void
gh_sandbox_run(const struct gh_sandbox *s)
{
    struct birth birth = {.s = s, .host_net = -1};
    struct birth *b = &birth;
    int fds[GH_SHIM_END], pidfd = -1;
    pid_t pid;

    b->parts.root = b->parts.sockets = b->parts.listen = b->parts.init = -1;
    for (int i = 0; i < GH_SHIM_TRAPS_N; i++)
        b->parts.traps[i] = b->parts.fuse[i] = -1;
    umask(0);
    open_home(b);
    open_fifo(b);
    prepare_sockets(b);
    open_listener(b);
    if (s->plan->flags & GH_LAUNCH_ROOTFS)
        clone_rootfs(b);
    else
        clone_host_root(b);
    clone_devices(b);
    clone_mounts(b);
    make_groups(b);
    make_channels(b);
    make_network(b);
    pid = give_birth(b, &pidfd);
    NEED(setns(b->host_net, CLONE_NEWNET), "back to the host's network");
    write_maps(b, pid);
    map_rootfs(b, pid);
    NEED(write(b->wake, "", 1), "wake");
    fill_state(b, pid);
    NEED(gh_sandbox_shim_files(s->house, b->home, &b->state, fds),
         "files of the shim");
    report_birth(b, pidfd);
    close(b->parts.notify);
    fds[GH_SHIM_PIDFD] = pidfd;
    fds[GH_SHIM_NOTIFY] = b->shim_notify;
    for (int i = 0; i < GH_SHIM_TRAPS_N; i++)
        fds[GH_SHIM_TRAPS + i] = b->parts.fuse[i];
    gh_sandbox_become_shim(s->house, &b->state, fds);
    gh_sandbox_fail(s, errno, "gatehouse-shim");
}
