/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pid 1 before the program: all that it does to itself, in order. It was born
 * with every namespace new and with the mounts it needs as descriptors; it
 * looks nothing up on the host.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RO                                                                     \
    (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |                \
     MOUNT_ATTR_NOEXEC)
#define PRIVATE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

const char *const gh_sandbox_usr[] = {"usr",   "bin",   "sbin",   "lib",
                                      "lib64", "lib32", "libx32", NULL};
const char *const gh_sandbox_device[] = {"null",   "zero",    "full",
                                         "random", "urandom", NULL};
const char *const gh_sandbox_trap[] = {GH_SHIM_TRAP_PATHS, NULL};

/* Of /proc: what tells about the host, and what would change it. */
static const char *const hidden_files[] = {
    "kcore",      "keys",    "key-users", "kallsyms",
    "timer_list", "cmdline", "modules",   NULL};
static const char *const frozen[] = {"sys",  "irq",           "bus", "fs",
                                     "acpi", "sysrq-trigger", NULL};

struct inside {
    const struct gh_sandbox *s;
    const struct gh_sandbox_parts *parts;
    int root; /* of the new world */
    int proc;
    int files; /* tmpfs with the plan's files, for a rootfs */
};

#define NEED(call, ...)                                                        \
    do {                                                                       \
        if ((call) < 0)                                                        \
            gh_sandbox_fail(in->s, errno, __VA_ARGS__);                        \
    } while (0)

/* ---- places */

/*
 * Opens a path of the new root. Nothing on the way may be a link: in an image
 * it could lead a mount elsewhere.
 */
static int
open_place(const struct inside *in, const char *path)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_SYMLINKS |
                                      RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, in->root, path, &how, sizeof(how));
}

/* Makes the directories of a path (all of it, or all but the last part). In a
 * rootfs they must be there already. */
static int
make_place(const struct inside *in, const char *path, bool whole)
{
    char part[1024];
    size_t n;

    for (n = 1; path[n] != '\0'; n++) {
        n += strcspn(path + n, "/");
        if (path[n] == '\0' && !whole)
            break;
        memcpy(part, path + 1, n - 1);
        part[n - 1] = '\0';
        if (mkdirat(in->root, part, 0755) != 0 && errno != EEXIST &&
            errno != EROFS && errno != EACCES)
            return -1;
        if (path[n] == '\0')
            break;
    }
    return 0;
}

static void
attach(const struct inside *in, int tree, const char *path)
{
    int place = open_place(in, path);

    NEED(place, "the root has no place for %s", path);
    NEED(move_mount(tree, "", place, "",
                    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH),
         "mount at %s", path);
    close(place);
}

static void
attach_directory(const struct inside *in, int tree, const char *path)
{
    NEED(make_place(in, path, true), "directory %s", path);
    attach(in, tree, path);
}

static void
write_file(const struct inside *in, int dir, const char *path, const void *data,
           size_t size, unsigned mode)
{
    int fd = openat(
        dir, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

    NEED(fd, "file %s", path);
    NEED(size > 0 && write(fd, data, size) != (ssize_t)size ? -1 : 0, "file %s",
         path);
    NEED(fchmod(fd, mode), "file %s", path);
    close(fd);
}

/* A private tmpfs, and what its top looks like. */
static void
attach_tmpfs(const struct inside *in, const char *path, uint64_t size,
             unsigned mode, uint64_t attributes)
{
    int tree = gh_sandbox_tmpfs(size, mode, attributes);

    NEED(tree, "tmpfs for %s", path);
    attach_directory(in, tree, path);
    close(tree);
}

/* ---- the root */

static void
show_host_programs(const struct inside *in)
{
    char target[256], path[32];

    for (int i = 0; gh_sandbox_usr[i] != NULL; i++) {
        snprintf(path, sizeof(path), "/%s", gh_sandbox_usr[i]);
        if (in->parts->usr[i] >= 0) {
            attach_directory(in, in->parts->usr[i], path);
        } else {
            ssize_t n = readlink(path, target, sizeof(target) - 1);

            if (n <= 0)
                continue;
            target[n] = '\0';
            NEED(symlinkat(target, in->root, path + 1), "link %s", path);
        }
    }
}

static const char *const plain[] = {"/etc", "/proc", "/dev/shm", "/tmp",
                                    "/run", "/var",  "/sys",     NULL};

static void
make_host_root(struct inside *in)
{
    in->root = gh_sandbox_tmpfs(4 << 20, 0755, MOUNT_ATTR_NOSUID);
    NEED(in->root, "tmpfs for the root");
    show_host_programs(in);
    for (int i = 0; plain[i] != NULL; i++)
        NEED(make_place(in, plain[i], true), "directory %s", plain[i]);
    NEED(symlinkat("../run", in->root, "var/run"), "link /var/run");
    NEED(symlinkat("../tmp", in->root, "var/tmp"), "link /var/tmp");
}

/* Names of the service, its host and the gate. */
static void
make_hosts(const struct inside *in)
{
    const struct gh_launch_plan *p = in->s->plan;
    uint32_t a = in->parts->address, g = a == 0 ? 0x7f000001 : a - 1;
    char text[512];
    int n;

    if (a == 0)
        a = 0x7f000001;
    n = snprintf(text, sizeof(text), "127.0.0.1 localhost\n%u.%u.%u.%u %s\n",
                 a >> 24, a >> 16 & 255, a >> 8 & 255, a & 255, p->hostname);
    if (p->flags & GH_LAUNCH_EGRESS_GATE)
        n += snprintf(text + n, sizeof(text) - (size_t)n, "%u.%u.%u.%u gate\n",
                      g >> 24, g >> 16 & 255, g >> 8 & 255, g & 255);
    write_file(in, in->root, "etc/hosts", text, (size_t)n, 0644);
}

static void
make_devices(const struct inside *in)
{
    static const char *const links[][2] = {{"/proc/self/fd", "dev/fd"},
                                           {"/proc/self/fd/0", "dev/stdin"},
                                           {"/proc/self/fd/1", "dev/stdout"},
                                           {"/proc/self/fd/2", "dev/stderr"}};
    int dev =
        gh_sandbox_tmpfs(1 << 20, 0755, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);
    char path[32];

    NEED(dev, "tmpfs for /dev");
    attach_directory(in, dev, "/dev");
    NEED(mkdirat(dev, "shm", 01777), "directory /dev/shm");
    for (int i = 0; gh_sandbox_device[i] != NULL; i++) {
        snprintf(path, sizeof(path), "/dev/%s", gh_sandbox_device[i]);
        write_file(in, dev, gh_sandbox_device[i], "", 0, 0666);
        attach(in, in->parts->devices[i], path);
    }
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        NEED(symlinkat(links[i][0], dev, links[i][1] + 4), "link /%s",
             links[i][1]);
    attach_tmpfs(in, "/dev/shm", in->s->plan->tmp_size, 01777, PRIVATE);
    struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY};
    NEED(mount_setattr(dev, "", AT_EMPTY_PATH, &ro, sizeof(ro)),
         "read-only /dev");
    close(dev);
}

static void
make_proc(struct inside *in)
{
    int fs = fsopen("proc", FSOPEN_CLOEXEC);

    NEED(fs, "proc");
    NEED(fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0), "proc");
    in->proc = fsmount(fs, FSMOUNT_CLOEXEC, PRIVATE);
    NEED(in->proc, "proc");
    close(fs);
    attach_directory(in, in->proc, "/proc");
}

/* A kernel may lack any of them. */
static void
mask_proc(const struct inside *in)
{
    char path[64];
    int tree;

    for (int i = 0; hidden_files[i] != NULL; i++) {
        snprintf(path, sizeof(path), "/proc/%s", hidden_files[i]);
        tree = gh_sandbox_clone_tree(in->root, "dev/null", 0, false);
        NEED(tree, "mask %s", path);
        if (faccessat(in->proc, hidden_files[i], F_OK, 0) == 0)
            attach(in, tree, path);
        close(tree);
    }
    for (int i = 0; frozen[i] != NULL; i++) {
        tree = gh_sandbox_clone_tree(in->proc, frozen[i], RO, false);
        if (tree < 0 && errno == ENOENT)
            continue;
        snprintf(path, sizeof(path), "/proc/%s", frozen[i]);
        NEED(tree, "freeze %s", path);
        attach(in, tree, path);
        close(tree);
    }
}

/* ---- what the plan adds */

static void
place_file(struct inside *in, uint32_t i)
{
    const struct gh_launch_mount *m = &in->s->plan->mounts[i];
    const char *path = gh_launch_text(in->s->plan, m->target);
    const char *data = (const char *)(in->s->plan + 1) + m->source;
    char name[16];
    int tree;

    if (in->parts->root < 0) {
        NEED(make_place(in, path, false), "directory of %s", path);
        write_file(in, in->root, path + 1, data, m->size, m->mode);
        return;
    }
    snprintf(name, sizeof(name), "%u", i);
    write_file(in, in->files, name, data, m->size, m->mode);
    tree = gh_sandbox_clone_tree(in->files, name, RO, false);
    NEED(tree, "file %s", path);
    attach(in, tree, path);
    close(tree);
}

/* A mount of a single file wants a file to stand on. */
static void
place_tree(const struct inside *in, const char *path, int tree)
{
    struct stat st;

    NEED(fstat(tree, &st), "mount at %s", path);
    NEED(make_place(in, path, S_ISDIR(st.st_mode)), "directory %s", path);
    if (!S_ISDIR(st.st_mode) && in->parts->root < 0 &&
        faccessat(in->root, path + 1, F_OK, AT_SYMLINK_NOFOLLOW) != 0)
        write_file(in, in->root, path + 1, "", 0, 0644);
    attach(in, tree, path);
}

static void
place_mounts(struct inside *in)
{
    const struct gh_launch_plan *p = in->s->plan;

    for (uint32_t i = 0; i < p->nmounts; i++) {
        const struct gh_launch_mount *m = &p->mounts[i];
        const char *path = gh_launch_text(p, m->target);

        if (m->kind == GH_LAUNCH_FILE)
            place_file(in, i);
        else if (m->kind == GH_LAUNCH_TMPFS)
            attach_tmpfs(in, path, m->size == 0 ? p->tmp_size : m->size,
                         m->mode, PRIVATE | (m->flags & GH_LAUNCH_RO ? RO : 0));
        else if (in->parts->mounts[i] >= 0)
            place_tree(in, path, in->parts->mounts[i]);
    }
    if (in->parts->sockets >= 0)
        attach_directory(in, in->parts->sockets, "/svc");
    if (in->parts->init >= 0)
        place_tree(in, "/.init", in->parts->init);
}

static void
place_traps(const struct inside *in)
{
    char path[64];
    size_t n;

    for (int i = 0; i < GH_SHIM_TRAPS_N; i++) {
        if (in->parts->traps[i] < 0)
            continue;
        n = strlen(gh_sandbox_trap[i]);
        memcpy(path, gh_sandbox_trap[i], n + 1);
        if (path[n - 1] == '/')
            path[n - 1] = '\0';
        /* What the plan shows there stays. */
        if (faccessat(in->root, path + 1, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            continue;
        NEED(make_place(in, path, gh_sandbox_trap[i][n - 1] == '/'), "trap %s",
             path);
        if (gh_sandbox_trap[i][n - 1] != '/')
            write_file(in, in->root, path + 1, "", 0, 0644);
        attach(in, in->parts->traps[i], path);
    }
}

/* ---- the order */

static void
enter_root(struct inside *in)
{
    struct mount_attr private = {.propagation = MS_PRIVATE};

    NEED(mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &private, sizeof(private)),
         "private mounts");
    if (in->parts->root >= 0)
        in->root = in->parts->root;
    else
        make_host_root(in);
    /* The old /tmp is as good a place as any: this namespace is our own. */
    NEED(move_mount(in->root, "", AT_FDCWD, "/tmp", MOVE_MOUNT_F_EMPTY_PATH),
         "the new root");
    NEED(fchdir(in->root), "the new root");
    make_proc(in);
    NEED(syscall(SYS_pivot_root, ".", "."), "pivot_root");
    NEED(umount2(".", MNT_DETACH), "detach the old root");
    NEED(chdir("/"), "the new root");
}

static void
fill_root(struct inside *in)
{
    const struct gh_launch_plan *p = in->s->plan;
    struct mount_attr ro = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID};

    make_devices(in);
    if (in->parts->root < 0) {
        make_hosts(in);
    } else {
        /* Files of the plan lie here, out of sight below the next /tmp. */
        in->files = gh_sandbox_tmpfs(4 << 20, 0755, PRIVATE);
        NEED(in->files, "tmpfs for files");
        attach(in, in->files, "/tmp");
    }
    attach_tmpfs(in, "/tmp", p->tmp_size, 01777, PRIVATE);
    attach_tmpfs(in, "/run", p->tmp_size, 01777, PRIVATE);
    place_mounts(in);
    place_traps(in);
    NEED(mount_setattr(in->root, "", AT_EMPTY_PATH, &ro, sizeof(ro)),
         "read-only root");
}

/*
 * Limits of v1. By "0" in `tasks` a thread moves itself, which needs no lock
 * over all forks of the host (kernel/cgroup/cgroup.c,
 * cgroup_procs_write_start); any other way waits for a grace period of RCU,
 * some 10 ms.
 */
static void
join_groups(const struct inside *in)
{
    for (int i = 0; i < GH_CGROUP_N; i++) {
        int fd;

        if (in->parts->groups[i] < 0 || in->s->house->cgroups.at[i].v2)
            continue;
        fd = openat(in->parts->groups[i], "tasks", O_WRONLY | O_CLOEXEC);
        NEED(fd, "cgroup");
        NEED(write(fd, "0", 1), "cgroup");
        close(fd);
    }
    NEED(unshare(CLONE_NEWCGROUP), "cgroup namespace");
}

static void
await_parent(const struct inside *in)
{
    char byte;

    NEED(read(in->parts->sync, &byte, 1) == 1 ? 0 : -1, "the parent went away");
}

/* No user namespaces inside, whatever a filter lets through. */
static void
forbid_namespaces(const struct inside *in)
{
    int fd =
        openat(in->proc, "sys/user/max_user_namespaces", O_WRONLY | O_CLOEXEC);

    NEED(fd, "user.max_user_namespaces");
    NEED(write(fd, "0", 1), "user.max_user_namespaces");
    close(fd);
}

static void
set_limits(const struct inside *in)
{
    const struct gh_launch_plan *p = in->s->plan;

    for (int i = 0; i < RLIM_NLIMITS; i++) {
        struct rlimit r = {p->rlimits[i].soft, p->rlimits[i].hard}, now;

        if (!p->rlimits[i].set)
            continue;
        /* More than the launcher has cannot be given. */
        NEED(getrlimit((__rlimit_resource_t)i, &now), "limit %d", i);
        if (r.rlim_max > now.rlim_max)
            r.rlim_max = now.rlim_max;
        if (r.rlim_cur > r.rlim_max)
            r.rlim_cur = r.rlim_max;
        NEED(setrlimit((__rlimit_resource_t)i, &r), "limit %d", i);
    }
    umask(p->umask);
}

static void
set_descriptors(const struct inside *in)
{
    int least = in->parts->listen >= 0 ? 4 : 3;

    NEED(dup2(in->s->house->null, 0), "standard input");
    NEED(dup2(in->parts->fifo, 1), "standard output");
    NEED(dup2(in->parts->fifo, 2), "standard error");
    if (in->parts->listen >= 0)
        NEED(dup2(in->parts->listen, 3), "listening socket");
    NEED(close_range((unsigned)least, ~0u, CLOSE_RANGE_CLOEXEC), "close_range");
}

/* The last step: from here only what the filter lets through. The listener
 * goes to the shim, which answers each refused call. */
static void
enter_filter(const struct inside *in)
{
    struct sock_fprog program = {(unsigned short)in->s->nfilter,
                                 (struct sock_filter *)in->s->filter};
    int fd = (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                          SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);

    NEED(fd, "seccomp filter");
    NEED(gh_launch_send(in->parts->notify, "", 1, &fd, 1), "seccomp listener");
    close(fd);
}

static _Noreturn void
execute(const struct inside *in)
{
    const struct gh_launch_plan *p = in->s->plan;
    static char *args[GH_LAUNCH_ARGS + 3], *env[GH_LAUNCH_ENV + 1];
    uint32_t n = 0;

    if (p->flags & GH_LAUNCH_INIT) {
        args[n++] = (char *)"/.init";
        args[n++] = (char *)"--init";
    }
    for (uint32_t i = 0; i < p->nargs; i++)
        args[n++] = (char *)gh_launch_text(p, p->args[i]);
    for (uint32_t i = 0; i < p->nenv; i++)
        env[i] = (char *)gh_launch_text(p, p->env[i]);
    /* execvp looks along the service's own PATH. */
    environ = env;
    execvp(args[0], args);
    gh_sandbox_fail(in->s, errno, "execute %s", args[0]);
}

void
gh_sandbox_inside(const struct gh_sandbox *s,
                  const struct gh_sandbox_parts *parts)
{
    struct inside inside = {
        .s = s, .parts = parts, .root = -1, .proc = -1, .files = -1};
    struct inside *in = &inside;
    const struct gh_launch_plan *p = s->plan;
    const char *cwd = gh_launch_text(p, p->cwd);
    static const int ignored[] = {SIGPIPE, SIGCHLD, SIGHUP,
                                  SIGINT,  SIGQUIT, SIGTERM};
    char where[128] = "";
    sigset_t none;

    /* Held here too, the traps would outlive a dead shim and hang. */
    for (int i = 0; i < GH_SHIM_TRAPS_N; i++)
        if (parts->fuse[i] >= 0)
            close(parts->fuse[i]);
    await_parent(in); /* the id maps are written */
    join_groups(in);
    NEED(setresgid(0, 0, 0), "gid 0 of the namespace");
    NEED(setresuid(0, 0, 0), "uid 0 of the namespace");
    umask(0);
    enter_root(in);
    fill_root(in);
    forbid_namespaces(in);
    mask_proc(in);
    NEED(sethostname(p->hostname, strlen(p->hostname)), "host name");
    NEED(syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, NULL), "keyring");
    if (setsid() < 0 && errno != EPERM)
        gh_sandbox_fail(s, errno, "session");
    set_limits(in);
    NEED(gh_sandbox_identity(p, where, sizeof(where)), "%s", where);
    NEED(gh_sandbox_landlock(s, where, sizeof(where)), "%s", where);
    NEED(chdir(cwd == NULL ? "/" : cwd), "working directory %s",
         cwd == NULL ? "/" : cwd);
    set_descriptors(in);
    /* Ignored signals stay ignored over clone3 and execve: the launcher's, and
     * those of who started gatehoused from a shell. */
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_DFL);
    sigemptyset(&none);
    NEED(sigprocmask(SIG_SETMASK, &none, NULL), "signals");
    enter_filter(in);
    execute(in);
}
