/* SPDX-License-Identifier: Apache-2.0 */
#include "gatehoused.h"

#include "sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* DIR/nginx.state: which process it is. nginx' own pid file has the number
 * alone, and numbers come back. */
struct record {
    uint64_t pid, start;
};

static int
open_dir(const struct gh_gatehoused_options *o)
{
    return open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool
is_nginx(const struct gh_gatehoused_options *o, pid_t pid)
{
    char path[48], exe[PATH_MAX];
    ssize_t n;
    size_t want = strlen(o->nginx_program);

    snprintf(path, sizeof(path), "/proc/%d/exe", (int)pid);
    n = readlink(path, exe, sizeof(exe) - 1);
    if (n < 0)
        return false;
    exe[n] = '\0';
    /* " (deleted)" follows once a package was upgraded. */
    return strncmp(exe, o->nginx_program, want) == 0 &&
           (exe[want] == '\0' || exe[want] == ' ');
}

bool
gh_nginx_adopt(const struct gh_gatehoused_options *o, struct gh_nginx *n)
{
    struct record r;
    int dir = open_dir(o),
        fd = openat(dir, "nginx.state", O_RDONLY | O_CLOEXEC);
    bool ok = fd >= 0 && read(fd, &r, sizeof(r)) == (ssize_t)sizeof(r);

    if (fd >= 0)
        close(fd);
    close(dir);
    n->pid = 0;
    n->fd = -1;
    if (!ok || r.pid < 2 || r.pid > INT32_MAX)
        return false;
    n->fd = (int)syscall(SYS_pidfd_open, (pid_t)r.pid, 0);
    if (n->fd >= 0 && gh_sandbox_start_time((pid_t)r.pid) == r.start &&
        is_nginx(o, (pid_t)r.pid)) {
        n->pid = (pid_t)r.pid;
        return true;
    }
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
    /* The master is gone; is it us who shall bury it? Its group is named after
     * it, and a group's number is not given anew while it has members. */
    n->pid = (pid_t)r.pid;
    gh_nginx_bury(o, n);
    return false;
}

static void
remember(const struct gh_gatehoused_options *o, pid_t pid)
{
    struct record r = {(uint64_t)pid, gh_sandbox_start_time(pid)};
    int dir = open_dir(o);
    int fd = openat(dir, "nginx.state",
                    O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    if (fd >= 0 && write(fd, &r, sizeof(r)) != (ssize_t)sizeof(r))
        unlinkat(dir, "nginx.state", 0);
    if (fd >= 0)
        close(fd);
    close(dir);
}

static _Noreturn void
run(const struct gh_gatehoused_options *o, int log)
{
    char errors[PATH_MAX];
    sigset_t none;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    char *argv[] = {(char *)"nginx",       (char *)"-c", (char *)o->nginx,
                    (char *)"-e",          errors,       (char *)"-g",
                    (char *)"daemon off;", NULL};

    snprintf(errors, sizeof(errors), "%s/log/nginx-error.log", o->dir);
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (setsid() < 0 || null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 ||
        dup2(log, 2) < 0 || chdir("/") != 0)
        _exit(126);
    execv(o->nginx_program, argv);
    dprintf(log, "%s: %s\n", o->nginx_program, strerror(errno));
    _exit(127);
}

int
gh_nginx_start(const struct gh_gatehoused_options *o, int log,
               struct gh_nginx *n, struct gh_error *e)
{
    pid_t pid;
    int dir = open_dir(o);

    /* Of a master that was killed: nginx does not bind over it. */
    if (dir >= 0) {
        unlinkat(dir, "sock/gate.sock", 0);
        close(dir);
    }
    pid = fork();
    if (pid == 0)
        run(o, log);
    if (pid < 0)
        return gh_error_sys(e, errno, "fork");
    n->pid = pid;
    n->fd = (int)syscall(SYS_pidfd_open, pid, 0);
    remember(o, pid);
    return 0;
}

static bool
is_worker(pid_t pid, pid_t group)
{
    char path[48], name[16] = "";
    bool ok;
    int fd;

    if (getpgid(pid) != group)
        return false;
    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    ok = fd >= 0 && read(fd, name, sizeof(name) - 1) > 0 &&
         strncmp(name, "nginx", 5) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* The workers' group is the old master's. After a reboot the number may be
 * another's: so it is looked at. */
static bool
has_workers(pid_t group)
{
    DIR *dir = opendir("/proc");
    struct dirent *d;
    bool found = false;

    while (dir != NULL && !found && (d = readdir(dir)) != NULL)
        if (d->d_name[0] >= '1' && d->d_name[0] <= '9')
            found = is_worker((pid_t)strtol(d->d_name, NULL, 10), group);
    if (dir != NULL)
        closedir(dir);
    return found;
}

void
gh_nginx_bury(const struct gh_gatehoused_options *o, struct gh_nginx *n)
{
    if (n->pid > 1 && has_workers(n->pid))
        kill(-n->pid, SIGQUIT);
    if (n->fd >= 0)
        close(n->fd);
    n->pid = 0;
    n->fd = -1;
}

void
gh_nginx_signal(const struct gh_nginx *n, int sig, bool group)
{
    if (n->pid <= 1)
        return;
    if (group)
        kill(-n->pid, sig);
    else if (n->fd >= 0)
        syscall(SYS_pidfd_send_signal, n->fd, sig, NULL, 0);
}
