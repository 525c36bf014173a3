/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gatehouse-shim: one per replica, the parent of the sandbox's pid 1. It keeps
 * the log, answers refused system calls and opened traps (and counts them),
 * sees the exit and writes it down, then ends. It holds no capability. It is
 * linked statically and allocates nothing: a page or two of memory each.
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
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct gh_shim_state state;

uint64_t
gh_shim_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int
read_state(const char *replica)
{
    char name[32];
    int fd;
    ssize_t n;

    snprintf(name, sizeof(name), "%.10s.state", replica);
    fd = openat(GH_SHIM_DIR, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -1;
    n = read(fd, &state, sizeof(state));
    close(fd);
    return n == (ssize_t)sizeof(state) && state.magic == GH_SHIM_MAGIC &&
                   state.version == GH_SHIM_VERSION
               ? 0
               : -1;
}

/* Whole or not at all, and on the disk before anybody can ask for it. */
static void
write_exit(int status)
{
    char name[32], fresh[32];
    int fd;

    state.exited = 1;
    state.status = status;
    state.exited_ms = gh_shim_now_ms();
    snprintf(name, sizeof(name), "%u.state", state.replica);
    snprintf(fresh, sizeof(fresh), "%u.exit", state.replica);
    fd = openat(GH_SHIM_DIR, fresh,
                O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return;
    if (write(fd, &state, sizeof(state)) == (ssize_t)sizeof(state) &&
        fsync(fd) == 0)
        renameat(GH_SHIM_DIR, fresh, GH_SHIM_DIR, name);
    close(fd);
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

    for (int i = 0; i < 50; i++) {
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

enum { PIDFD, FIFO, NOTIFY, TRAPS, NPOLL = TRAPS + GH_SHIM_TRAPS_N };

static void
serve(void)
{
    struct pollfd p[NPOLL] = {[PIDFD] = {GH_SHIM_PIDFD, POLLIN, 0},
                              [FIFO] = {GH_SHIM_FIFO, POLLIN, 0},
                              [NOTIFY] = {GH_SHIM_NOTIFY, POLLIN, 0}};
    int listener = -1;
    struct stat st;

    /* /dev/null stands for what this replica does not have. */
    if (fstat(GH_SHIM_NOTIFY, &st) != 0 || !S_ISSOCK(st.st_mode))
        p[NOTIFY].fd = -1;
    for (int i = 0; i < GH_SHIM_TRAPS_N; i++) {
        bool there = gh_shim_trap_open(GH_SHIM_TRAPS + i) == 0;

        p[TRAPS + i] =
            (struct pollfd){there ? GH_SHIM_TRAPS + i : -1, POLLIN, 0};
    }
    for (;;) {
        if (poll(p, NPOLL, -1) < 0 && errno != EINTR)
            return;
        if (p[FIFO].revents != 0)
            gh_shim_log_copy(GH_SHIM_FIFO);
        if (p[NOTIFY].revents != 0 && listener < 0) {
            listener = receive_listener();
            close(GH_SHIM_NOTIFY);
            p[NOTIFY].fd = listener;
        } else if (p[NOTIFY].revents != 0 &&
                   ((p[NOTIFY].revents & POLLIN) == 0 ||
                    answer_call(listener) != 0)) {
            p[NOTIFY].fd = -1;
        }
        for (int i = 0; i < GH_SHIM_TRAPS_N; i++)
            if (p[TRAPS + i].revents != 0 &&
                gh_shim_trap_answer(GH_SHIM_TRAPS + i, i) != 0)
                p[TRAPS + i].fd = -1;
        if (p[PIDFD].revents != 0)
            return;
    }
}

static int
run_shim(const char *replica)
{
    int status;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    if (read_state(replica) != 0)
        return 1;
    prctl(PR_SET_NAME, "gatehouse-shim");
    gh_shim_report_open(&state);
    gh_shim_log_open(&state);
    fcntl(GH_SHIM_FIFO, F_SETFL, O_NONBLOCK);
    serve();
    status = exit_status();
    gh_shim_log_copy(GH_SHIM_FIFO);
    write_exit(status);
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "--init") == 0)
        return gh_shim_init(argv + 2);
    if (argc == 2 && argv[1][0] >= '0' && argv[1][0] <= '9')
        return run_shim(argv[1]);
    fprintf(stderr, "gatehouse-shim is started by gatehoused\n");
    return 2;
}
