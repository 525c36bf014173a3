/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

uint64_t
gh_launcher_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* From here on /proc/self/exe is no way to the program on the disk. */
static int
move_into_memory(const struct gh_gatehoused_options *o, struct gh_error *e)
{
    char exe[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    int fd;

    if (n < 0)
        return gh_error_sys(e, errno, "/proc/self/exe");
    exe[n] = '\0';
    if (strncmp(exe, "/memfd:", 7) == 0)
        return 0;
    fd = gh_gatehoused_sealed_copy("/proc/self/exe", "gatehoused");
    if (fd < 0)
        return gh_error_sys(e, errno, "copy of %s", exe);
    syscall(SYS_execveat, fd, "", o->argv, environ, AT_EMPTY_PATH);
    return gh_error_sys(e, errno, "execute the copy of %s", exe);
}

static int
listen_for_control(struct gh_launcher *l, struct gh_error *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return gh_error_sys(e, errno, "socket");
    /* By descriptor: the directory's path may be longer than sun_path. */
    snprintf(a.sun_path, sizeof(a.sun_path),
             "/proc/self/fd/%d/sock/launcher.sock", l->dir);
    unlinkat(l->dir, "sock/launcher.sock", 0);
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        fchownat(l->dir, "sock/launcher.sock", 0, l->options->control.gid, 0) !=
            0 ||
        fchmodat(l->dir, "sock/launcher.sock", 0660, 0) != 0 ||
        listen(fd, GH_LAUNCHER_PEERS) != 0) {
        gh_error_sys(e, errno, "sock/launcher.sock");
        close(fd);
        return -1;
    }
    l->listener = fd;
    return 0;
}

static int
take_signals(struct gh_launcher *l, struct gh_error *e)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR2);
    if (sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
        (l->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0)
        return gh_error_sys(e, errno, "signals");
    /* Shims are nobody's zombies. */
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static int
open_house(struct gh_launcher *l, struct gh_error *e)
{
    const char *dir = l->options->dir;

    l->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (l->dir < 0)
        return gh_error_sys(e, errno, "%s", dir);
    for (size_t i = 0; i < GH_LAUNCHER_REPLICAS; i++)
        l->replicas[i].pidfd = l->replicas[i].shim = l->replicas[i].report =
            l->replicas[i].peer = -1;
    for (int i = 0; i < GH_LAUNCHER_PEERS; i++)
        l->peers[i] = -1;
    if (gh_launcher_claim(l, e) != 0 || gh_launcher_look(l, e) != 0 ||
        gh_launcher_renounce(e) != 0 || take_signals(l, e) != 0)
        return -1;
    gh_launcher_adopt(l);
    return listen_for_control(l, e);
}

/* ---- closing */

static void
stop_all(struct gh_launcher *l)
{
    uint64_t now = gh_launcher_now_ms();

    l->stopping = true;
    for (size_t i = 0; i < GH_LAUNCHER_REPLICAS; i++) {
        struct gh_replica *r = &l->replicas[i];

        if (r->phase == GH_REPLICA_ALIVE) {
            gh_launcher_signal(r, (int)r->state.stop_signal, NULL);
            r->deadline_ms = now + r->state.grace_ms + 1;
        } else if (r->phase == GH_REPLICA_STARTING) {
            r->deadline_ms = now;
        }
    }
}

static bool
any_left(const struct gh_launcher *l)
{
    for (size_t i = 0; i < GH_LAUNCHER_REPLICAS; i++)
        if (l->replicas[i].phase == GH_REPLICA_ALIVE ||
            l->replicas[i].phase == GH_REPLICA_STARTING)
            return true;
    return false;
}

static void
clear_away(struct gh_launcher *l)
{
    signal(SIGCHLD, SIG_DFL);
    gh_cgroup_finish(&l->house.cgroups);
    if (!(l->lacks & GH_LAUNCH_LACK_VETH))
        gh_network_close(&l->house.network);
    gh_launcher_unclaim(l);
}

static void
on_signal(struct gh_launcher *l)
{
    struct signalfd_siginfo s;

    while (read(l->signals, &s, sizeof(s)) == (ssize_t)sizeof(s)) {
        if (s.ssi_signo == SIGUSR2)
            stop_all(l);
        else if (!l->stopping)
            l->done = true;
    }
}

/* ---- the loop */

enum { LISTENER, SIGNALS, PEERS, REPLICAS = PEERS + GH_LAUNCHER_PEERS };

static int
watch(struct gh_launcher *l, struct pollfd *p)
{
    uint64_t next = UINT64_MAX, now;

    p[LISTENER] = (struct pollfd){l->listener, POLLIN, 0};
    p[SIGNALS] = (struct pollfd){l->signals, POLLIN, 0};
    for (int i = 0; i < GH_LAUNCHER_PEERS; i++)
        p[PEERS + i] = (struct pollfd){l->peers[i], POLLIN, 0};
    for (size_t i = 0; i < GH_LAUNCHER_REPLICAS; i++) {
        const struct gh_replica *r = &l->replicas[i];
        int fd = -1;

        if (r->phase == GH_REPLICA_STARTING)
            fd = r->report;
        else if (r->phase == GH_REPLICA_ALIVE)
            fd = r->shim >= 0 ? r->shim : r->pidfd;
        p[REPLICAS + i] = (struct pollfd){fd, POLLIN, 0};
        if (r->phase != GH_REPLICA_FREE && r->deadline_ms != 0 &&
            r->deadline_ms < next)
            next = r->deadline_ms;
    }
    if (next == UINT64_MAX)
        return -1;
    now = gh_launcher_now_ms();
    return next <= now ? 0 : (int)(next - now);
}

static void
dispatch(struct gh_launcher *l, const struct pollfd *p)
{
    uint64_t now = gh_launcher_now_ms();

    if (p[SIGNALS].revents != 0)
        on_signal(l);
    for (size_t i = 0; i < GH_LAUNCHER_REPLICAS; i++) {
        struct gh_replica *r = &l->replicas[i];

        if (p[REPLICAS + i].revents != 0 && r->phase == GH_REPLICA_STARTING)
            gh_launcher_on_report(l, r);
        else if (p[REPLICAS + i].revents != 0 && r->phase == GH_REPLICA_ALIVE)
            gh_launcher_on_shim(l, r);
        if (r->phase != GH_REPLICA_FREE && r->deadline_ms != 0 &&
            r->deadline_ms <= now)
            gh_launcher_on_deadline(l, r);
    }
    for (int i = 0; i < GH_LAUNCHER_PEERS; i++)
        if (p[PEERS + i].revents != 0 && l->peers[i] >= 0)
            gh_launcher_request(l, i);
    if (p[LISTENER].revents != 0)
        gh_launcher_accept(l);
}

int
gh_launcher_main(const struct gh_gatehoused_options *o)
{
    static struct gh_launcher l;
    static struct pollfd p[REPLICAS + GH_LAUNCHER_REPLICAS];
    struct gh_error e;

    gh_log_to_stderr("launcher", GH_LOG_INFO);
    prctl(PR_SET_NAME, "launcher");
    umask(022);
    l.options = o;
    if (move_into_memory(o, &e) != 0 || open_house(&l, &e) != 0) {
        gh_log(GH_LOG_ERROR, "%s", e.message);
        return 1;
    }
    gh_log(GH_LOG_INFO, "serves; block %02x, Landlock %u, lacks 0x%x", l.block,
           l.house.landlock, l.lacks);
    while (!l.done) {
        int timeout = watch(&l, p);

        if (poll(p, REPLICAS + GH_LAUNCHER_REPLICAS, timeout) < 0) {
            if (errno != EINTR)
                return 1;
            continue;
        }
        dispatch(&l, p);
        if (l.stopping && !any_left(&l)) {
            clear_away(&l);
            break;
        }
    }
    unlinkat(l.dir, "sock/launcher.sock", 0);
    return 0;
}
