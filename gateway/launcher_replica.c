/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher.h"

#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RESHIMS_MAX 100

static void
close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static int
pidfd_of(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

static void
leaf_of(const struct gh_replica *r, char leaf[80])
{
    snprintf(leaf, 80, "%s.%u", r->state.name, r->state.replica);
}

/* ---- the table */

struct gh_replica *
gh_launcher_find(struct gh_launcher *l, const char *name, uint32_t replica)
{
    for (size_t i = 0; i < GH_LAUNCHER_REPLICAS; i++) {
        struct gh_replica *r = &l->replicas[i];

        if (r->phase != GH_REPLICA_FREE && r->state.replica == replica &&
            strcmp(r->state.name, name) == 0)
            return r;
    }
    return NULL;
}

static void
forget(struct gh_replica *r)
{
    close_fd(&r->pidfd);
    close_fd(&r->shim);
    close_fd(&r->report);
    memset(r, 0, sizeof(*r));
    r->pidfd = r->shim = r->report = r->peer = -1;
}

static struct gh_replica *
new_row(struct gh_launcher *l, const char *name, uint32_t replica)
{
    struct gh_replica *r = gh_launcher_find(l, name, replica);

    for (size_t i = 0; r == NULL && i < GH_LAUNCHER_REPLICAS; i++)
        if (l->replicas[i].phase == GH_REPLICA_FREE)
            r = &l->replicas[i];
    if (r == NULL)
        return NULL;
    if (r->phase == GH_REPLICA_FREE)
        r->pidfd = r->shim = r->report = -1;
    forget(r);
    snprintf(r->state.name, sizeof(r->state.name), "%s", name);
    r->state.replica = replica;
    return r;
}

static int
read_state(int services, const char *name, uint32_t replica,
           struct gh_shim_state *out)
{
    char path[112];
    struct gh_shim_state st;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "%s/%u.state", name, replica);
    fd = openat(services, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    n = read(fd, &st, sizeof(st));
    close(fd);
    if (n != (ssize_t)sizeof(st) || st.magic != GH_SHIM_MAGIC ||
        st.version != GH_SHIM_VERSION || st.replica != replica ||
        strncmp(st.name, name, sizeof(st.name)) != 0)
        return -1;
    st.boot[sizeof(st.boot) - 1] = '\0';
    st.cgroup[sizeof(st.cgroup) - 1] = '\0';
    *out = st;
    return 0;
}

/* What its shim wrote down of the end; believed for showing only. */
static void
read_exit(int services, struct gh_shim_state *st)
{
    char path[112];
    struct gh_shim_exit x;
    ssize_t n;
    int fd;

    st->exited = 1;
    st->status = -1;
    snprintf(path, sizeof(path), "%s/%u.exit", st->name, st->replica);
    fd = openat(services, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    n = read(fd, &x, sizeof(x));
    close(fd);
    if (n != (ssize_t)sizeof(x) || x.magic != GH_SHIM_MAGIC ||
        x.version != GH_SHIM_VERSION || x.pid != st->pid ||
        x.pid_start != st->pid_start)
        return;
    st->status = x.status;
    st->exited_ms = x.exited_ms;
}

static int
open_services(const struct gh_launcher *l)
{
    return openat(l->dir, "services", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* ---- ends */

/* The groups say how it ended; then they are not needed any more. */
static void
clear_groups(struct gh_launcher *l, struct gh_replica *r)
{
    char leaf[80];

    leaf_of(r, leaf);
    r->state.oom = gh_cgroup_oom(&l->house.cgroups, leaf);
    for (int i = 0; gh_cgroup_remove(&l->house.cgroups, leaf) != 0 && i < 20;
         i++) {
        gh_cgroup_kill(&l->house.cgroups, leaf);
        usleep(500);
    }
}

static void
set_ended(struct gh_launcher *l, struct gh_replica *r)
{
    clear_groups(l, r);
    close_fd(&r->pidfd);
    close_fd(&r->shim);
    r->phase = GH_REPLICA_ENDED;
    r->deadline_ms = 0;
    gh_log(GH_LOG_INFO, "%s.%u ended, status %d%s", r->state.name,
           r->state.replica, r->state.status,
           r->state.oom > 0 ? ", out of memory" : "");
    gh_launcher_tell_exit(l, r);
}

/* Its shim was killed: another one takes its place. Until it is there the log
 * pipe holds what the service says. */
static int
start_shim(struct gh_launcher *l, struct gh_replica *r)
{
    pid_t pid;

    if (++r->reshims > RESHIMS_MAX)
        return -1;
    pid = fork();
    if (pid == 0) {
        signal(SIGCHLD, SIG_DFL);
        gh_sandbox_reshim(&l->house, &r->state);
    }
    close_fd(&r->shim);
    r->shim = pid < 0 ? -1 : pidfd_of(pid);
    if (r->shim < 0)
        return -1;
    r->state.shim = pid;
    return 0;
}

void
gh_launcher_on_shim(struct gh_launcher *l, struct gh_replica *r)
{
    int services;

    if (gh_sandbox_lives(r->state.pid, r->state.pid_start)) {
        gh_log(GH_LOG_WARN, "the shim of %s.%u is gone: another one",
               r->state.name, r->state.replica);
        if (start_shim(l, r) == 0)
            return;
        gh_log(GH_LOG_ERROR, "no shim for %s.%u: it is ended", r->state.name,
               r->state.replica);
        syscall(SYS_pidfd_send_signal, r->pidfd, SIGKILL, NULL, 0);
    }
    services = open_services(l);
    if (services >= 0) {
        read_exit(services, &r->state);
        close(services);
    }
    r->state.exited = 1;
    set_ended(l, r);
}

/* ---- beginnings */

int
gh_launcher_start(struct gh_launcher *l, const struct gh_launch_plan *plan,
                  const struct sock_filter *filter, unsigned nfilter, int peer,
                  uint32_t seq, struct gh_error *e)
{
    struct gh_replica *r = gh_launcher_find(l, plan->name, plan->replica);
    struct gh_sandbox s = {
        .house = &l->house, .plan = plan, .filter = filter, .nfilter = nfilter};
    int pair[2];
    pid_t pid;

    if (l->stopping)
        return gh_error_set(e, GH_EUNAVAILABLE, "the house is closing");
    if (r != NULL &&
        (r->phase == GH_REPLICA_STARTING || r->phase == GH_REPLICA_ALIVE))
        return gh_error_set(e, GH_EEXIST, "it runs already");
    if ((plan->flags & GH_LAUNCH_VETH) && (l->lacks & GH_LAUNCH_LACK_VETH))
        return gh_error_set(e, GH_EUNAVAILABLE,
                            "this host has no nftables or no veth: let the "
                            "service listen on a socket");
    if ((plan->flags & GH_LAUNCH_SOCKET_DIR) && l->house.landlock == 0)
        return gh_error_set(e, GH_EUNAVAILABLE,
                            "shared sockets need Landlock, which this kernel "
                            "does not have");
    s.id_base = gh_launcher_ids(l, plan->name);
    if (s.id_base == 0)
        return gh_error_set(e, GH_ENOMEM, "no range of ids is left");
    r = new_row(l, plan->name, plan->replica);
    if (r == NULL)
        return gh_error_set(e, GH_ENOMEM, "too many replicas");
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        forget(r);
        return gh_error_sys(e, errno, "channel");
    }
    s.report = pair[1];
    pid = fork();
    if (pid == 0) {
        signal(SIGCHLD, SIG_DFL);
        gh_sandbox_run(&s);
    }
    close(pair[1]);
    if (pid < 0) {
        close(pair[0]);
        forget(r);
        return gh_error_sys(e, errno, "fork");
    }
    r->phase = GH_REPLICA_STARTING;
    r->report = pair[0];
    r->shim = pidfd_of(pid);
    r->peer = peer;
    r->seq = seq;
    r->deadline_ms = gh_launcher_now_ms() + GH_LAUNCHER_BIRTH_MS;
    return 0;
}

/* It never came to life: whatever is there of it goes. */
static void
fail_start(struct gh_launcher *l, struct gh_replica *r)
{
    if (r->pidfd >= 0)
        syscall(SYS_pidfd_send_signal, r->pidfd, SIGKILL, NULL, 0);
    clear_groups(l, r);
    gh_log(GH_LOG_WARN, "%s.%u did not start: %s", r->state.name,
           r->state.replica, r->fault.message);
    gh_launcher_tell_start(l, r);
    r->state.exited = 1;
    r->phase = GH_REPLICA_ENDED;
    r->deadline_ms = 0;
    close_fd(&r->pidfd);
    close_fd(&r->shim);
    close_fd(&r->report);
}

static void
finish_start(struct gh_launcher *l, struct gh_replica *r)
{
    close_fd(&r->report);
    if (!r->born || r->fault.kind != 0) {
        if (r->fault.kind == 0) {
            r->fault.kind = GH_SANDBOX_FAILED;
            r->fault.code = GH_EIO;
            snprintf(r->fault.message, sizeof(r->fault.message),
                     "it ended before it began");
        }
        fail_start(l, r);
        return;
    }
    r->phase = GH_REPLICA_ALIVE;
    r->deadline_ms = 0;
    gh_log(GH_LOG_INFO, "%s.%u runs, pid %d", r->state.name, r->state.replica,
           r->state.pid);
    gh_launcher_tell_start(l, r);
}

void
gh_launcher_on_report(struct gh_launcher *l, struct gh_replica *r)
{
    struct gh_sandbox_report report;
    int pidfd;
    ssize_t n =
        gh_launch_receive(r->report, &report, sizeof(report), &pidfd, 1);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n != (ssize_t)sizeof(report)) {
        if (n > 0)
            close_fd(&pidfd);
        finish_start(l, r);
        return;
    }
    if (report.kind == GH_SANDBOX_BORN) {
        r->state = report.state;
        r->pidfd = pidfd;
        r->born = true;
        return;
    }
    close_fd(&pidfd);
    report.message[sizeof(report.message) - 1] = '\0';
    if (r->fault.kind == 0)
        r->fault = report;
}

void
gh_launcher_on_deadline(struct gh_launcher *l, struct gh_replica *r)
{
    r->deadline_ms = 0;
    if (r->phase == GH_REPLICA_STARTING) {
        if (r->pidfd < 0 && r->shim >= 0)
            syscall(SYS_pidfd_send_signal, r->shim, SIGKILL, NULL, 0);
        r->fault.kind = GH_SANDBOX_FAILED;
        r->fault.code = GH_EUNAVAILABLE;
        snprintf(r->fault.message, sizeof(r->fault.message),
                 "no start within %d s", GH_LAUNCHER_BIRTH_MS / 1000);
        fail_start(l, r);
    } else if (r->phase == GH_REPLICA_ALIVE) {
        syscall(SYS_pidfd_send_signal, r->pidfd, SIGKILL, NULL, 0);
    }
}

/* A line "Name:\t%016x" of /proc/PID/status: a mask of signals. */
static uint64_t
signal_mask(const char *status, const char *name)
{
    const char *p = strstr(status, name);

    return p == NULL ? 0 : strtoull(p + strlen(name), NULL, 16);
}

/*
 * The kernel gives pid 1 of a namespace only the signals that it asked for
 * (pid_namespaces(7)). One that asked for none would sit out its grace.
 */
static bool
is_deaf(pid_t pid, int sig)
{
    char path[40], text[4096];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    return ((signal_mask(text, "\nSigCgt:") | signal_mask(text, "\nSigIgn:") |
             signal_mask(text, "\nSigBlk:")) >>
                (sig - 1) &
            1) == 0;
}

int
gh_launcher_signal(struct gh_replica *r, int sig, struct gh_error *e)
{
    if (r->phase != GH_REPLICA_ALIVE)
        return gh_error_set(e, GH_ENOTFOUND, "it does not run");
    if (sig != SIGKILL && is_deaf(r->state.pid, sig))
        sig = SIGKILL;
    if (syscall(SYS_pidfd_send_signal, r->pidfd, sig, NULL, 0) != 0 &&
        errno != ESRCH)
        return gh_error_sys(e, errno, "signal %d", sig);
    return 0;
}

/* ---- removal */

int
gh_launcher_remove(struct gh_launcher *l, const char *name, bool volumes,
                   struct gh_error *e)
{
    for (size_t i = 0; i < GH_LAUNCHER_REPLICAS; i++) {
        struct gh_replica *r = &l->replicas[i];

        if (r->phase == GH_REPLICA_FREE || strcmp(r->state.name, name) != 0)
            continue;
        if (r->phase != GH_REPLICA_ENDED)
            return gh_error_set(e, GH_EEXIST, "it still runs");
        forget(r);
    }
    return gh_launcher_remove_files(l, name, volumes, e);
}

/* ---- adoption */

static void
adopt_one(struct gh_launcher *l, int services, const char *name,
          uint32_t replica)
{
    struct gh_replica *r;
    struct gh_shim_state st;

    if (read_state(services, name, replica, &st) != 0 ||
        (r = new_row(l, name, replica)) == NULL)
        return;
    r->state = st;
    r->phase = GH_REPLICA_ENDED;
    /* One that ended just now, whose shim is about to write so, lives too. */
    if (strcmp(st.boot, l->house.boot) == 0 &&
        (gh_sandbox_lives(st.pid, st.pid_start) ||
         gh_sandbox_lives(st.shim, st.shim_start)))
        r->pidfd = pidfd_of(st.pid);
    if (r->pidfd < 0 || (!gh_sandbox_lives(st.pid, st.pid_start) &&
                         !gh_sandbox_lives(st.shim, st.shim_start))) {
        close_fd(&r->pidfd);
        read_exit(services, &r->state);
        return;
    }
    r->phase = GH_REPLICA_ALIVE;
    r->born = true;
    if (gh_sandbox_lives(st.shim, st.shim_start)) {
        r->shim = pidfd_of(st.shim);
    } else if (start_shim(l, r) != 0) {
        syscall(SYS_pidfd_send_signal, r->pidfd, SIGKILL, NULL, 0);
    }
    gh_log(GH_LOG_INFO, "%s.%u adopted, pid %d", name, replica, st.pid);
}

static void
adopt_service(struct gh_launcher *l, int services, const char *name)
{
    struct dirent *d;
    DIR *dir;
    char *end;
    int fd =
        openat(services, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((d = readdir(dir)) != NULL) {
        unsigned long replica = strtoul(d->d_name, &end, 10);

        if (end != d->d_name && strcmp(end, ".state") == 0 &&
            replica < GH_LAUNCH_REPLICAS)
            adopt_one(l, services, name, (uint32_t)replica);
    }
    closedir(dir);
}

static int
keep_group(void *ctx, const char *leaf)
{
    struct gh_launcher *l = ctx;
    char mine[80];

    for (size_t i = 0; i < GH_LAUNCHER_REPLICAS; i++) {
        if (l->replicas[i].phase != GH_REPLICA_ALIVE)
            continue;
        leaf_of(&l->replicas[i], mine);
        if (strcmp(mine, leaf) == 0)
            return 1;
    }
    return 0;
}

void
gh_launcher_adopt(struct gh_launcher *l)
{
    int services = open_services(l);
    DIR *dir = services < 0 ? NULL : fdopendir(dup(services));
    struct dirent *d;

    while (dir != NULL && (d = readdir(dir)) != NULL)
        if (gh_name_valid(gh_slice_str(d->d_name)))
            adopt_service(l, services, d->d_name);
    if (dir != NULL)
        closedir(dir);
    if (services >= 0) {
        gh_launcher_sweep(services);
        close(services);
    }
    gh_cgroup_sweep(&l->house.cgroups, keep_group, l);
}
