/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the launcher's child, which may all, to a shim, which may nothing: what
 * it needs is opened here by the host's rights and handed over.
 */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* In place: one short write is not cut by a signal, and a rename over an old
 * file would make some file systems flush the new one. */
static int
write_state(int home, const struct gh_shim_state *state)
{
    char name[24];
    int fd, rc;

    snprintf(name, sizeof(name), "%u.state", state->replica);
    fd = openat(home, name, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -1;
    rc = write(fd, state, sizeof(*state)) == (ssize_t)sizeof(*state) ? 0 : -1;
    close(fd);
    return rc;
}

static int
open_own(int home, const struct gh_shim_state *state, const char *what,
         int flags)
{
    char name[24];

    snprintf(name, sizeof(name), "%u.%s", state->replica, what);
    return openat(home, name, flags | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/*
 * DIR/log/services/NAME is the shim's own: it makes, turns over and removes
 * files in it. control reads them by its group.
 */
static int
open_logs(const struct gh_sandbox_house *h, int dir,
          const struct gh_shim_state *state)
{
    char path[96];
    int fd;

    snprintf(path, sizeof(path), "log/services/%s", state->name);
    if (mkdirat(dir, path, 0700) != 0 && errno != EEXIST)
        return -1;
    fd = openat(dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 &&
        (fchown(fd, state->id_base + GH_SHIM_ID, h->control_group) != 0 ||
         fchmod(fd, 02750) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

int
gh_sandbox_shim_files(const struct gh_sandbox_house *h, int home,
                      const struct gh_shim_state *state, int fds[GH_SHIM_END])
{
    int dir = open(h->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0 || write_state(home, state) != 0)
        return -1;
    fds[GH_SHIM_STATE] = open_own(home, state, "state", O_RDONLY);
    fds[GH_SHIM_EXIT] =
        open_own(home, state, "exit", O_WRONLY | O_CREAT | O_TRUNC);
    fds[GH_SHIM_REPORTS] = open_own(home, state, "reports", O_RDWR | O_CREAT);
    fds[GH_SHIM_LOGS] = open_logs(h, dir, state);
    /* Opened anew: what the service has blocks when the pipe is full. */
    fds[GH_SHIM_FIFO] = open_own(home, state, "log", O_RDWR | O_NONBLOCK);
    close(dir);
    return fds[GH_SHIM_STATE] < 0 || fds[GH_SHIM_EXIT] < 0 ||
                   fds[GH_SHIM_REPORTS] < 0 || fds[GH_SHIM_LOGS] < 0 ||
                   fds[GH_SHIM_FIFO] < 0
               ? -1
               : ftruncate(fds[GH_SHIM_REPORTS],
                           sizeof(struct gh_launch_reports));
}

/* Every capability goes, and uid 0: a shim owns its log files alone. */
static int
renounce(uint32_t id)
{
    struct {
        uint32_t version;
        int pid;
    } head = {0x20080522, 0};
    uint32_t data[6] = {0};

    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            break;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
        setgroups(0, NULL) != 0 || setresgid(id, id, id) != 0 ||
        setresuid(id, id, id) != 0 || syscall(SYS_capset, &head, data) != 0)
        return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

void
gh_sandbox_become_shim(const struct gh_sandbox_house *h,
                       const struct gh_shim_state *state,
                       const int fds[GH_SHIM_END])
{
    int high[GH_SHIM_END], null, program;
    char text[16];
    char *argv[] = {(char *)"gatehouse-shim", text, NULL};
    char *envp[] = {NULL};
    sigset_t none;

    snprintf(text, sizeof(text), "%u", state->replica);
    for (int i = GH_SHIM_STATE; i < GH_SHIM_END; i++)
        high[i] = fcntl(fds[i] < 0 ? h->null : fds[i], F_DUPFD_CLOEXEC, 64);
    null = fcntl(h->null, F_DUPFD_CLOEXEC, 64);
    program = fcntl(h->shim, F_DUPFD_CLOEXEC, 64);
    for (int i = GH_SHIM_STATE; i < GH_SHIM_END; i++)
        if (high[i] < 0 || dup2(high[i], i) < 0)
            return;
    dup2(null, 0);
    dup2(null, 1);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (setsid() < 0 && errno != EPERM)
        return;
    if (chdir("/") != 0 || renounce(state->id_base + GH_SHIM_ID) != 0)
        return;
    syscall(SYS_execveat, program, "", argv, envp, AT_EMPTY_PATH);
}

void
gh_sandbox_reshim(const struct gh_sandbox_house *h,
                  const struct gh_shim_state *old)
{
    struct gh_shim_state state = *old;
    char path[96];
    int fds[GH_SHIM_END], home;

    for (int i = 0; i < GH_SHIM_END; i++)
        fds[i] = -1;
    snprintf(path, sizeof(path), "services/%s", state.name);
    home = open(h->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    home = openat(home, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fds[GH_SHIM_PIDFD] = (int)syscall(SYS_pidfd_open, state.pid, 0);
    state.shim = getpid();
    state.shim_start = gh_sandbox_start_time(state.shim);
    if (fds[GH_SHIM_PIDFD] >= 0 &&
        gh_sandbox_lives(state.pid, state.pid_start) &&
        gh_sandbox_shim_files(h, home, &state, fds) == 0)
        gh_sandbox_become_shim(h, &state, fds);
    _exit(1);
}
