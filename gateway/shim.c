/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gatehouse-shim: one per replica, the parent of the sandbox's pid 1. It keeps
 * the log, answers refused system calls and opened traps (and counts them),
 * sees the exit and writes it down, then ends. It holds no capability and no
 * uid that owns anything but its log. It is linked statically and allocates
 * nothing: a page or two of memory each.
 *
 * It needs nobody: launcher and control may die and come back.
 */
#include "shim.h"
#include "shim_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAUSE_MS 20
#define FIFO_BYTES ((size_t)512 << 10) /* twice what the pipe holds */

static struct gh_shim_state state;

uint64_t
gh_shim_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int
read_state(void)
{
    ssize_t n = pread(GH_SHIM_STATE, &state, sizeof(state), 0);

    close(GH_SHIM_STATE);
    return n == (ssize_t)sizeof(state) && state.magic == GH_SHIM_MAGIC &&
                   state.version == GH_SHIM_VERSION
               ? 0
               : -1;
}

/* Whole or not at all, and on the disk before anybody can ask for it. */
static void
write_exit(int status)
{
    struct gh_shim_exit x = {.magic = GH_SHIM_MAGIC,
                             .version = GH_SHIM_VERSION,
                             .pid = state.pid,
                             .status = status,
                             .pid_start = state.pid_start,
                             .exited_ms = gh_shim_now_ms()};

    if (write(GH_SHIM_EXIT, &x, sizeof(x)) == (ssize_t)sizeof(x))
        fsync(GH_SHIM_EXIT);
}

/* What a shim that took over can learn of a process that is not its child:
 * struct pidfd_info of Linux 6.15; -1 where the kernel does not tell. */
static int
exit_of_stranger(void)
{
    struct {
        uint64_t mask, cgroup;
        uint32_t pid, tgid, ppid, ids[8];
        int32_t exit_code;
        uint32_t pad[4];
    } info;

    for (int i = 0; i < 10; i++) {
        memset(&info, 0, sizeof(info));
        info.mask = 1 << 3; /* PIDFD_INFO_EXIT */
        if (ioctl(GH_SHIM_PIDFD, _IOWR(0xff, 11, char[64]), &info) == 0 &&
            (info.mask & 1 << 3) != 0)
            return info.exit_code;
        poll(NULL, 0, 10); /* not reaped yet by whom it belongs to */
    }
    return -1;
}

static int
exit_status(void)
{
    int status;
    pid_t pid;

    do
        pid = waitpid(state.pid, &status, 0);
    while (pid < 0 && errno == EINTR);
    return pid == state.pid ? status : exit_of_stranger();
}

/* The listener comes once, by SCM_RIGHTS, from pid 1 just before it runs the
 * program. Returns it or -1. */
static int
receive_listener(void)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(int))];
    } control;
    char byte;
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    int fd = -1;

    if (recvmsg(GH_SHIM_NOTIFY, &msg, MSG_CMSG_CLOEXEC) == 1 &&
        CMSG_FIRSTHDR(&msg) != NULL &&
        CMSG_FIRSTHDR(&msg)->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
    return fd;
}

/* Refuses one call with EPERM and counts it. -1 when nobody is left to call. */
static int
answer_call(int listener)
{
    union {
        struct seccomp_notif call;
        char room[512]; /* kernels may know longer ones */
    } in;
    union {
        struct seccomp_notif_resp answer;
        char room[512];
    } out;

    memset(&in, 0, sizeof(in));
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &in.call) != 0)
        return errno == EINTR || errno == ENOENT ? 0 : -1;
    gh_shim_report_call(&in.call);
    memset(&out, 0, sizeof(out));
    out.answer.id = in.call.id;
    out.answer.error = -EPERM;
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &out.answer);
    return 0;
}

/*
 * What a service makes its shim do is outside of the service's groups: so it is
 * bounded here. `left` grows by `rate` a second up to a second's worth; when it
 * is spent the service waits, in its own write or call.
 */
struct pace {
    uint64_t rate, left, at_ms;
};

static struct pace log_bytes = {GH_SHIM_LOG_RATE, GH_SHIM_LOG_RATE, 0};
static struct pace answers = {GH_SHIM_ANSWER_RATE, GH_SHIM_ANSWER_RATE, 0};

static uint64_t
clock_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool
may_go_on(struct pace *p, uint64_t now)
{
    uint64_t passed = now - p->at_ms;

    if (passed >= PAUSE_MS) {
        p->left += passed >= 1000 ? p->rate : p->rate * passed / 1000;
        if (p->left > p->rate)
            p->left = p->rate;
        p->at_ms = now;
    }
    return p->left > 0;
}

static void
spend(struct pace *p, uint64_t n)
{
    p->left -= n < p->left ? n : p->left;
}

enum { PIDFD, FIFO, NOTIFY, TRAPS, NPOLL = TRAPS + GH_SHIM_TRAPS_N };

/* Waits for what may be served now; fds: -1 is not there. */
static int
wait_for(struct pollfd p[NPOLL], const int fds[NPOLL])
{
    uint64_t now = clock_ms();
    bool log = may_go_on(&log_bytes, now), call = may_go_on(&answers, now);

    for (int i = 0; i < NPOLL; i++) {
        bool may = i == PIDFD || (i == FIFO ? log : call);

        p[i] = (struct pollfd){may ? fds[i] : -1, POLLIN, 0};
    }
    return poll(p, NPOLL, log && call ? -1 : PAUSE_MS);
}

static void
take_notice(const struct pollfd *p, int *fd, bool *listening)
{
    if (!*listening) {
        *fd = receive_listener();
        *listening = true;
        close(GH_SHIM_NOTIFY);
    } else if ((p->revents & POLLIN) == 0 || answer_call(*fd) != 0) {
        *fd = -1;
    } else {
        spend(&answers, 1);
    }
}

static void
serve(void)
{
    int fds[NPOLL] = {[PIDFD] = GH_SHIM_PIDFD,
                      [FIFO] = GH_SHIM_FIFO,
                      [NOTIFY] = GH_SHIM_NOTIFY};
    struct pollfd p[NPOLL];
    bool listening = false;
    struct stat st;

    /* /dev/null stands for what this replica does not have. */
    if (fstat(GH_SHIM_NOTIFY, &st) != 0 || !S_ISSOCK(st.st_mode))
        fds[NOTIFY] = -1;
    for (int i = 0; i < GH_SHIM_TRAPS_N; i++)
        fds[TRAPS + i] =
            gh_shim_trap_open(GH_SHIM_TRAPS + i) == 0 ? GH_SHIM_TRAPS + i : -1;
    for (;;) {
        if (wait_for(p, fds) < 0) {
            if (errno != EINTR)
                return;
            continue;
        }
        if (p[FIFO].revents != 0)
            spend(&log_bytes, gh_shim_log_copy(GH_SHIM_FIFO));
        if (p[NOTIFY].revents != 0)
            take_notice(&p[NOTIFY], &fds[NOTIFY], &listening);
        for (int i = 0; i < GH_SHIM_TRAPS_N; i++) {
            if (p[TRAPS + i].revents == 0)
                continue;
            spend(&answers, 1);
            if (gh_shim_trap_answer(GH_SHIM_TRAPS + i, i) != 0)
                fds[TRAPS + i] = -1;
        }
        if (p[PIDFD].revents != 0)
            return;
    }
}

/* What is in the FIFO still: no more than it holds, nobody writes any more. */
static void
drain_log(void)
{
    size_t done = 0, n;

    while (done < FIFO_BYTES && (n = gh_shim_log_copy(GH_SHIM_FIFO)) > 0)
        done += n;
}

static int
run_shim(void)
{
    int status;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    if (read_state() != 0)
        return 1;
    prctl(PR_SET_NAME, "gatehouse-shim");
    gh_shim_report_open();
    if (gh_shim_confine() != 0)
        return 1;
    gh_shim_log_open(&state);
    serve();
    status = exit_status();
    drain_log();
    write_exit(status);
    /* Nothing is to be flushed. */
    _exit(0);
}

int
main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "--init") == 0)
        return gh_shim_init(argv + 2);
    if (argc == 2 && argv[1][0] >= '0' && argv[1][0] <= '9')
        return run_shim();
    fprintf(stderr, "gatehouse-shim is started by gatehoused\n");
    return 2;
}
