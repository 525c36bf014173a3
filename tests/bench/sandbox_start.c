/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a sandbox takes to start: from the request to the launcher until
 * the program was executed. Starts and ends one service N times.
 *
 *   sandbox_start DIR [N [veth|none]]     as control's uid, or with --as UID
 *
 * Prints the median and p99 in milliseconds, and says what was on.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct {
    struct gh_launch_plan plan;
    char heap[4096];
} p;

static uint32_t
text(const char *s)
{
    uint32_t at = p.plan.heap;

    strcpy(p.heap + at, s);
    p.plan.heap += (uint32_t)strlen(s) + 1;
    return at;
}

static void
bind_host(const char *path)
{
    struct gh_launch_mount *m = &p.plan.mounts[p.plan.nmounts++];

    m->kind = GH_LAUNCH_BIND;
    m->flags = GH_LAUNCH_RO | GH_LAUNCH_OPTIONAL;
    m->source = text(path);
    m->target = m->source;
}

static void
make_plan(bool veth, char **argv)
{
    p.plan.magic = GH_LAUNCH_MAGIC;
    p.plan.version = GH_LAUNCH_VERSION;
    p.plan.size = sizeof(p.plan);
    p.plan.heap = 1;
    strcpy(p.plan.name, "bench");
    strcpy(p.plan.hostname, "bench");
    p.plan.flags = GH_LAUNCH_READ_ONLY | (veth ? GH_LAUNCH_VETH : 0);
    p.plan.uid = p.plan.gid = 1000;
    p.plan.umask = 022;
    p.plan.memory = 64 << 20;
    p.plan.pids = 64;
    p.plan.cpu_quota_us = 50000;
    p.plan.cpu_period_us = 100000;
    p.plan.tmp_size = 16 << 20;
    p.plan.log_size = 1 << 20;
    p.plan.log_files = 2;
    p.plan.stop_signal = 15;
    p.plan.grace_ms = 1000;
    p.plan.rlimits[7] = (struct gh_launch_rlimit){1024, 1024, 1, 0};
    bind_host("/etc/ld.so.cache");
    bind_host("/etc/alternatives");
    bind_host("/etc/ssl");
    for (; *argv != NULL; argv++)
        p.plan.args[p.plan.nargs++] = text(*argv);
    p.plan.env[p.plan.nenv++] = text("PATH=/usr/bin:/bin");
    p.plan.heap++; /* the last NUL */
}

static int
sealed(const void *data, size_t n)
{
    int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || write(fd, data, n) != (ssize_t)n ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW) !=
            0) {
        perror("memfd");
        exit(1);
    }
    return fd;
}

/* As long as a real one: tests of 300 numbers that never match. */
static int
filter(void)
{
    static struct sock_filter f[700];
    unsigned n = 0;

    f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                          offsetof(struct seccomp_data, nr));
    for (unsigned i = 0; i < 300; i++) {
        f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                              100000 + i, 0, 1);
        f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                              SECCOMP_RET_USER_NOTIF);
    }
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mount,
                                          0, 1);
    f[n++] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
    f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    return sealed(f, n * sizeof(f[0]));
}

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct gh_launch_answer
ask(int sock, uint32_t op, const int *fds, unsigned nfds, int value)
{
    static uint32_t seq;
    struct gh_launch_request q = {.magic = GH_LAUNCH_MAGIC,
                                  .version = GH_LAUNCH_VERSION,
                                  .op = op,
                                  .seq = ++seq,
                                  .value = value};
    struct gh_launch_answer a;
    int got[2];

    strcpy(q.name, "bench");
    if (gh_launch_send(sock, &q, sizeof(q), fds, nfds) != 0) {
        perror("send");
        exit(1);
    }
    do {
        if (gh_launch_receive(sock, &a, sizeof(a), got, 2) !=
            (ssize_t)sizeof(a)) {
            perror("receive");
            exit(1);
        }
        for (int i = 0; i < 2; i++)
            if (got[i] >= 0)
                close(got[i]);
    } while (a.seq != seq);
    return a;
}

static int
connect_launcher(const char *dir)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

    snprintf(a.sun_path, sizeof(a.sun_path), "%s/sock/launcher.sock", dir);
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        perror(a.sun_path);
        exit(1);
    }
    return fd;
}

static int
compare(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : 1;
}

static void
wait_end(int sock)
{
    struct gh_launch_answer a;
    int got[2];

    while (gh_launch_receive(sock, &a, sizeof(a), got, 2) ==
               (ssize_t)sizeof(a) &&
           a.op != GH_LAUNCH_EXITED)
        ;
}

int
main(int argc, char **argv)
{
    static char *sleep_program[] = {(char *)"/usr/bin/sleep", (char *)"60",
                                    NULL};
    static double times[1000];
    int n = argc > 2 ? atoi(argv[2]) : 50, sock, fds[2];
    bool veth = argc <= 3 || strcmp(argv[3], "none") != 0;
    struct gh_launch_answer a;

    if (argc < 2 || n < 1 || n > 1000)
        return fprintf(stderr, "usage: sandbox_start DIR [N [veth|none] "
                               "[PROGRAM ...]]\n"),
               2;
    make_plan(veth, argc > 4 ? argv + 4 : sleep_program);
    sock = connect_launcher(argv[1]);
    fds[0] = sealed(&p, sizeof(p.plan) + p.plan.heap);
    fds[1] = filter();
    for (int i = 0; i < n; i++) {
        double start = now();

        a = ask(sock, GH_LAUNCH_START, fds, 2, 0);
        times[i] = now() - start;
        if (a.code != 0) {
            fprintf(stderr, "%s\n", a.message);
            return 1;
        }
        if (argc > 4) {
            wait_end(sock);
            continue;
        }
        ask(sock, GH_LAUNCH_KILL, NULL, 0, 0);
        wait_end(sock);
        /* The kernel takes the old network apart in the background, holding
         * the lock that a new one needs: that is an end, not a start. */
        usleep(30000);
    }
    ask(sock, GH_LAUNCH_REMOVE, NULL, 0, 1);
    qsort(times, (size_t)n, sizeof(times[0]), compare);
    printf(
        "{\"case\": \"sandbox_start_%s\", \"runs\": %d, \"median_ms\": %.2f, "
        "\"p99_ms\": %.2f, \"min_ms\": %.2f}\n",
        veth ? "veth" : "socket", n, times[n / 2], times[n * 99 / 100],
        times[0]);
    return 0;
}
