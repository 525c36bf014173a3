/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor: starts, watches, starts again with a growing pause, stops in
 * order. It reads no file of text and speaks to nobody; what it knows of its
 * children is whether they live and whether their socket answers.
 */
#include "gatehoused.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MIN_MS 100
#define PAUSE_MAX_MS 5000
#define SETTLED_MS 10000 /* who lives that long starts from the least pause */
#define READY_MS 30000
#define NGINX_GRACE_MS 12000
#define DAEMON_GRACE_MS 5000

struct child {
    pid_t pid; /* 0: does not run */
    uint64_t started_ms, again_ms;
    unsigned pause_ms;
};

struct monitor {
    const struct gh_gatehoused_options *o;
    struct child children[GH_CHILDREN];
    struct gh_nginx nginx;
    struct child nginx_life; /* its pid is in `nginx` */
    int signals, lock, ready;
    int log; /* gatehoused.log, or standard error */
    uint64_t born_ms;
    int stop; /* SIGTERM or SIGUSR1 was seen */
};

static uint64_t
now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* ---- one monitor per directory */

static int
lock_directory(struct monitor *m, struct gh_error *e)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/gatehoused.pid", m->o->dir);
    m->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (m->lock < 0)
        return gh_error_sys(e, errno, "%s", path);
    if (flock(m->lock, LOCK_EX | LOCK_NB) != 0)
        return gh_error_set(e, GH_EEXIST,
                            "another gatehoused runs in %s: `gatehouse down` "
                            "stops it",
                            m->o->dir);
    if (ftruncate(m->lock, 0) != 0 || dprintf(m->lock, "%d\n", getpid()) < 0)
        return gh_error_sys(e, errno, "%s", path);
    return 0;
}

static int
open_log(const struct gh_gatehoused_options *o, const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/log/%s", o->dir, name);
    return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
                0640);
}

/* ---- starting */

static int
log_of(struct monitor *m, enum gh_child_kind k)
{
    if (k == GH_CHILD_LAUNCHER)
        return dup(m->log);
    return open_log(m->o, k == GH_CHILD_CONTROL ? "control.log" : "idp.log");
}

static void
start_child(struct monitor *m, enum gh_child_kind k)
{
    struct child *c = &m->children[k];
    struct gh_error e;
    int log = log_of(m, k);
    pid_t pid = log < 0 ? -1 : gh_child_start(m->o, k, log, &e);

    if (log >= 0)
        close(log);
    c->started_ms = now_ms();
    if (pid < 0) {
        gh_log(GH_LOG_ERROR, "%s does not start: %s", gh_child_name(k),
               log < 0 ? strerror(errno) : e.message);
        c->again_ms = c->started_ms + PAUSE_MAX_MS;
        return;
    }
    c->pid = pid;
    gh_log(GH_LOG_INFO, "%s started, pid %d", gh_child_name(k), (int)pid);
}

static void
start_nginx(struct monitor *m)
{
    struct gh_error e;
    int log = open_log(m->o, "nginx-start.log");

    m->nginx_life.started_ms = now_ms();
    if (log < 0 || gh_nginx_start(m->o, log, &m->nginx, &e) != 0) {
        gh_log(GH_LOG_ERROR, "nginx does not start");
        m->nginx_life.again_ms = m->nginx_life.started_ms + PAUSE_MAX_MS;
    } else {
        gh_log(GH_LOG_INFO, "nginx started, pid %d", (int)m->nginx.pid);
    }
    if (log >= 0)
        close(log);
}

/* When to try again: soon after a long life, later after each short one. */
static void
plan_again(struct child *c, const char *name, const char *how)
{
    uint64_t now = now_ms();

    if (now - c->started_ms >= SETTLED_MS || c->pause_ms == 0)
        c->pause_ms = PAUSE_MIN_MS;
    else if (c->pause_ms < PAUSE_MAX_MS)
        c->pause_ms *= 2;
    c->again_ms = now + c->pause_ms;
    c->pid = 0;
    gh_log(GH_LOG_WARN, "%s ended (%s); again in %u ms", name, how,
           c->pause_ms);
}

static void
describe(int status, char *text, size_t room)
{
    if (WIFSIGNALED(status))
        snprintf(text, room, "signal %d", WTERMSIG(status));
    else
        snprintf(text, room, "status %d", WEXITSTATUS(status));
}

static void
nginx_ended(struct monitor *m, const char *how)
{
    gh_nginx_bury(m->o, &m->nginx);
    plan_again(&m->nginx_life, "nginx", how);
}

/* Also the orphans that fell to us are reaped here. */
static void
reap(struct monitor *m)
{
    char how[32];
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        describe(status, how, sizeof(how));
        for (int k = 0; k < GH_CHILDREN; k++)
            if (m->children[k].pid == pid)
                plan_again(&m->children[k], gh_child_name(k), how);
        if (m->nginx.pid == pid)
            nginx_ended(m, how);
    }
}

/* ---- readiness */

static bool
answers(const struct monitor *m, enum gh_child_kind k)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int type = k == GH_CHILD_LAUNCHER ? SOCK_SEQPACKET : SOCK_STREAM;
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool ok;

    snprintf(a.sun_path, sizeof(a.sun_path), "%s/%s", m->o->dir,
             gh_child_socket(k));
    ok = fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* nginx writes its pid file once it listens. */
static bool
nginx_answers(const struct monitor *m)
{
    char path[PATH_MAX], text[16];
    ssize_t n;
    int fd;

    if (m->o->nginx == NULL)
        return true;
    snprintf(path, sizeof(path), "%s/nginx.pid", m->o->dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return m->nginx.pid > 0 && strtol(text, NULL, 10) == m->nginx.pid;
}

static void
tell_starter(struct monitor *m, const char *text)
{
    ssize_t n = write(m->ready, text, strlen(text));

    if (n < 0)
        gh_log(GH_LOG_WARN, "who started me is gone");
    close(m->ready);
    m->ready = -1;
}

/* Says what still does not serve, once it has taken too long. */
static void
check_ready(struct monitor *m)
{
    char text[400] = "";
    size_t n = 0;

    for (int k = 0; k < GH_CHILDREN; k++)
        if (m->children[k].pid == 0 || !answers(m, k))
            n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s",
                                  n > 0 ? ", " : "", gh_child_name(k));
    if (!nginx_answers(m))
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%snginx",
                              n > 0 ? ", " : "");
    if (n == 0) {
        gh_log(GH_LOG_INFO, "all of it serves");
        tell_starter(m, "ok");
    } else if (now_ms() - m->born_ms > READY_MS) {
        snprintf(text + n, sizeof(text) - n,
                 ": no answer after %d s (still trying); see %s/log",
                 READY_MS / 1000, m->o->dir);
        tell_starter(m, text);
    }
}

/* ---- stopping */

static bool
wait_for_child(struct monitor *m, enum gh_child_kind k, unsigned grace_ms)
{
    uint64_t end = now_ms() + grace_ms;
    pid_t pid = m->children[k].pid;

    while (pid > 0 && now_ms() < end) {
        int status;

        if (waitpid(pid, &status, WNOHANG) == pid) {
            m->children[k].pid = 0;
            return true;
        }
        usleep(5000);
    }
    return pid <= 0;
}

static void
stop_child(struct monitor *m, enum gh_child_kind k, int sig, unsigned grace_ms)
{
    if (m->children[k].pid <= 0)
        return;
    kill(m->children[k].pid, sig);
    if (wait_for_child(m, k, grace_ms))
        return;
    gh_log(GH_LOG_WARN, "%s does not end: killed", gh_child_name(k));
    kill(m->children[k].pid, SIGKILL);
    wait_for_child(m, k, DAEMON_GRACE_MS);
}

static bool
wait_for_nginx(struct monitor *m, unsigned grace_ms)
{
    struct pollfd p = {m->nginx.fd, POLLIN, 0};
    uint64_t end = now_ms() + grace_ms, now;

    while ((now = now_ms()) < end)
        if (poll(&p, 1, (int)(end - now)) > 0) {
            waitpid(m->nginx.pid, NULL, WNOHANG);
            return true;
        }
    return false;
}

static void
stop_nginx(struct monitor *m)
{
    if (m->nginx.pid <= 0)
        return;
    gh_nginx_signal(&m->nginx, SIGQUIT, false);
    if (wait_for_nginx(m, NGINX_GRACE_MS))
        return;
    gh_nginx_signal(&m->nginx, SIGTERM, false);
    if (!wait_for_nginx(m, DAEMON_GRACE_MS))
        gh_nginx_signal(&m->nginx, SIGKILL, true);
}

static void
unlink_state(const struct monitor *m)
{
    static const char *const names[] = {"nginx.state",
                                        "sock/control.sock",
                                        "sock/control/control.sock",
                                        "sock/idp.sock",
                                        "sock/idp/idp.sock",
                                        "gatehoused.pid"};
    char path[PATH_MAX];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", m->o->dir, names[i]);
        unlink(path);
    }
}

/* The gate first, so that no request meets a service that is going. The
 * launcher must be there to stop services, even if it was away just now. */
static void
stop_everything(struct monitor *m)
{
    stop_nginx(m);
    if (m->children[GH_CHILD_LAUNCHER].pid <= 0) {
        start_child(m, GH_CHILD_LAUNCHER);
        for (int i = 0; i < 200 && !answers(m, GH_CHILD_LAUNCHER); i++)
            usleep(10000);
    }
    if (m->children[GH_CHILD_LAUNCHER].pid > 0) {
        kill(m->children[GH_CHILD_LAUNCHER].pid, SIGUSR2);
        /* Services have their own grace; it bounds itself. */
        wait_for_child(m, GH_CHILD_LAUNCHER, 3600 * 1000);
    }
    stop_child(m, GH_CHILD_CONTROL, SIGTERM, DAEMON_GRACE_MS);
    stop_child(m, GH_CHILD_IDP, SIGTERM, DAEMON_GRACE_MS);
    unlink_state(m);
    gh_log(GH_LOG_INFO, "all of it has ended");
}

static void
stop_daemons(struct monitor *m)
{
    stop_child(m, GH_CHILD_CONTROL, SIGTERM, DAEMON_GRACE_MS);
    stop_child(m, GH_CHILD_IDP, SIGTERM, DAEMON_GRACE_MS);
    stop_child(m, GH_CHILD_LAUNCHER, SIGTERM, DAEMON_GRACE_MS);
    gh_log(GH_LOG_INFO, "the daemons have ended; nginx and services go on");
}

/* ---- the loop */

static void
on_signals(struct monitor *m)
{
    struct signalfd_siginfo s;

    while (read(m->signals, &s, sizeof(s)) == (ssize_t)sizeof(s))
        switch (s.ssi_signo) {
        case SIGCHLD:
            reap(m);
            break;
        case SIGHUP:
            gh_log(GH_LOG_INFO, "nginx is asked to reload");
            gh_nginx_signal(&m->nginx, SIGHUP, false);
            break;
        case SIGUSR1:
            m->stop = SIGUSR1;
            break;
        default:
            m->stop = SIGTERM;
        }
}

/* Starts what is due; returns how long nothing is. */
static int
start_due(struct monitor *m)
{
    uint64_t now = now_ms(), next = now + 1000;

    for (int k = 0; k < GH_CHILDREN; k++) {
        struct child *c = &m->children[k];

        if (c->pid == 0 && c->again_ms <= now)
            start_child(m, k);
        else if (c->pid == 0 && c->again_ms < next)
            next = c->again_ms;
    }
    if (m->o->nginx != NULL && m->nginx.pid == 0) {
        /* A first catalog is there once control answers. */
        bool early = m->nginx_life.started_ms == 0 && now - m->born_ms < 3000 &&
                     !answers(m, GH_CHILD_CONTROL);

        if (early)
            next = now + 10;
        else if (m->nginx_life.again_ms <= now)
            start_nginx(m);
        else if (m->nginx_life.again_ms < next)
            next = m->nginx_life.again_ms;
    }
    if (m->ready >= 0)
        next = now + 10;
    return (int)(next - now);
}

static int
open_signals(struct monitor *m, struct gh_error *e)
{
    static const int watched[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof(watched) / sizeof(watched[0]); i++)
        sigaddset(&set, watched[i]);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    m->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return m->signals < 0 ? gh_error_sys(e, errno, "signals") : 0;
}

static int
open_monitor(struct monitor *m, struct gh_error *e)
{
    umask(022);
    m->nginx.fd = -1;
    if (lock_directory(m, e) != 0 || gh_gatehoused_layout(m->o, e) != 0 ||
        open_signals(m, e) != 0)
        return -1;
    m->log = STDERR_FILENO;
    if (m->o->daemon) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        m->log = open_log(m->o, "gatehoused.log");
        if (m->log < 0 || null < 0)
            return gh_error_sys(e, errno, "%s/log/gatehoused.log", m->o->dir);
        dup2(null, 0);
        dup2(m->log, 1);
        dup2(m->log, 2);
    }
    if (m->o->nginx != NULL && gh_nginx_adopt(m->o, &m->nginx)) {
        m->nginx_life.started_ms = now_ms();
        gh_log(GH_LOG_INFO, "nginx adopted, pid %d", (int)m->nginx.pid);
    }
    m->born_ms = now_ms();
    return 0;
}

int
gh_gatehoused_monitor(const struct gh_gatehoused_options *o, int ready)
{
    static struct monitor m;
    struct gh_error e;

    m.o = o;
    m.ready = ready;
    gh_log_to_stderr("gatehoused", GH_LOG_INFO);
    if (open_monitor(&m, &e) != 0) {
        if (ready >= 0)
            tell_starter(&m, e.message);
        else
            gh_log(GH_LOG_ERROR, "%s", e.message);
        return 1;
    }
    while (m.stop == 0) {
        struct pollfd p[2] = {{m.signals, POLLIN, 0}, {m.nginx.fd, POLLIN, 0}};
        int timeout = start_due(&m);

        p[1].fd = m.nginx.fd;
        if (poll(p, 2, timeout) < 0 && errno != EINTR)
            return 1;
        if (p[0].revents != 0)
            on_signals(&m);
        /* Not our child when it was adopted: only its descriptor tells. */
        if (p[1].revents != 0 && m.nginx.fd == p[1].fd) {
            reap(&m);
            if (m.nginx.pid > 0 && m.nginx.fd == p[1].fd)
                nginx_ended(&m, "it is gone");
        }
        if (m.ready >= 0)
            check_ready(&m);
    }
    if (m.stop == SIGUSR1)
        stop_daemons(&m);
    else
        stop_everything(&m);
    return 0;
}
