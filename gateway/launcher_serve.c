/* SPDX-License-Identifier: Apache-2.0 */
#include "launcher.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- answers */

static struct gh_launch_answer
answer_to(const struct gh_launch_request *q)
{
    struct gh_launch_answer a = {.magic = GH_LAUNCH_MAGIC,
                                 .version = GH_LAUNCH_VERSION,
                                 .op = q->op,
                                 .seq = q->seq,
                                 .replica = q->replica,
                                 .status = -1};

    memcpy(a.name, q->name, sizeof(a.name));
    return a;
}

static void
set_fault(struct gh_launch_answer *a, const struct gh_error *e)
{
    a->code = (uint32_t)e->code;
    a->sys = e->sys;
    memcpy(a->message, e->message, sizeof(a->message));
}

static void
close_peer(struct gh_launcher *l, int peer)
{
    close(l->peers[peer]);
    l->peers[peer] = -1;
    for (size_t i = 0; i < GH_LAUNCHER_REPLICAS; i++)
        if (l->replicas[i].peer == peer)
            l->replicas[i].peer = -1;
}

/* A peer that does not read is let go: it connects again and asks. */
static void
send_answer(struct gh_launcher *l, int peer, const struct gh_launch_answer *a,
            const int *fds, unsigned nfds)
{
    if (peer < 0 || l->peers[peer] < 0)
        return;
    if (gh_launch_send(l->peers[peer], a, sizeof(*a), fds, nfds) != 0)
        close_peer(l, peer);
}

static void
fill_replica(struct gh_launch_answer *a, const struct gh_replica *r)
{
    const struct gh_shim_state *st = &r->state;

    memcpy(a->name, st->name, sizeof(a->name));
    a->name[sizeof(a->name) - 1] = '\0';
    a->replica = st->replica;
    a->alive = r->phase == GH_REPLICA_ALIVE;
    a->id_base = st->id_base;
    a->address = st->address;
    a->pid = st->pid;
    a->status = st->status;
    a->oom = st->oom;
    a->stamp = st->stamp;
    a->started_ms = st->started_ms;
    a->exited_ms = st->exited_ms;
    memcpy(a->cgroup, st->cgroup, sizeof(a->cgroup));
}

/* The record of a living replica goes with its pidfd and its reports. */
static void
send_living(struct gh_launcher *l, int peer, const struct gh_launch_answer *a,
            const struct gh_replica *r)
{
    char path[128];
    int fds[2];

    snprintf(path, sizeof(path), "services/%s/%u.reports", r->state.name,
             r->state.replica);
    fds[0] = r->pidfd;
    fds[1] = openat(l->dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    send_answer(l, peer, a, fds, fds[1] < 0 ? 1 : 2);
    if (fds[1] >= 0)
        close(fds[1]);
}

void
gh_launcher_tell_exit(struct gh_launcher *l, const struct gh_replica *r)
{
    struct gh_launch_request q = {.op = GH_LAUNCH_EXITED};
    struct gh_launch_answer a = answer_to(&q);

    fill_replica(&a, r);
    for (int i = 0; i < GH_LAUNCHER_PEERS; i++)
        send_answer(l, i, &a, NULL, 0);
}

void
gh_launcher_tell_start(struct gh_launcher *l, struct gh_replica *r)
{
    struct gh_launch_request q = {.op = GH_LAUNCH_START, .seq = r->seq};
    struct gh_launch_answer a = answer_to(&q);
    int peer = r->peer;

    fill_replica(&a, r);
    r->peer = -1;
    if (r->phase == GH_REPLICA_ALIVE) {
        send_living(l, peer, &a, r);
        return;
    }
    a.code = r->fault.code;
    a.sys = r->fault.sys;
    snprintf(a.message, sizeof(a.message), "%s%s%s", r->fault.message,
             r->fault.sys != 0 ? ": " : "",
             r->fault.sys != 0 ? strerror(r->fault.sys) : "");
    send_answer(l, peer, &a, NULL, 0);
}

/* ---- requests */

/* A sealed memfd's bytes: who wrote it cannot change them under our eyes. */
static void *
read_sealed(int fd, size_t most, size_t *size, struct gh_error *e)
{
    const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW;
    struct stat st;
    char *data;
    size_t done = 0;
    ssize_t n;
    int have = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);

    /* What knows no seals could be a file that hangs. */
    if (have < 0 || (have & seals) != seals ||
        fstat(fd, &st) != 0 || st.st_size <= 0 || (size_t)st.st_size > most) {
        gh_error_set(e, GH_EINVAL, "not a sealed memfd of a fit size");
        return NULL;
    }
    data = malloc((size_t)st.st_size);
    if (data == NULL) {
        gh_error_set(e, GH_ENOMEM, "no memory");
        return NULL;
    }
    while (done < (size_t)st.st_size) {
        n = pread(fd, data + done, (size_t)st.st_size - done, (off_t)done);
        if (n <= 0) {
            free(data);
            gh_error_sys(e, errno, "plan");
            return NULL;
        }
        done += (size_t)n;
    }
    *size = done;
    return data;
}

static int
start(struct gh_launcher *l, int peer, const struct gh_launch_request *q,
      const int fds[2], struct gh_error *e)
{
    size_t size, filter_size = 0;
    struct gh_launch_plan *plan = read_sealed(
        fds[0], sizeof(struct gh_launch_plan) + GH_LAUNCH_HEAP, &size, e);
    struct sock_filter *filter = NULL;
    int rc = -1;

    if (plan != NULL)
        filter = read_sealed(fds[1], GH_LAUNCH_FILTER * sizeof(*filter),
                             &filter_size, e);
    if (filter != NULL)
        rc = gh_launch_check(plan, size, e);
    if (rc == 0 && filter_size % sizeof(*filter) != 0)
        rc = gh_error_set(e, GH_EINVAL, "filter: a piece of an instruction");
    if (rc == 0 &&
        (strcmp(plan->name, q->name) != 0 || plan->replica != q->replica))
        rc = gh_error_set(e, GH_EINVAL, "the plan is another service's");
    if (rc == 0)
        rc = gh_launcher_start(l, plan, filter,
                               (unsigned)(filter_size / sizeof(*filter)), peer,
                               q->seq, e);
    free(plan);
    free(filter);
    return rc;
}

static void
list(struct gh_launcher *l, int peer, const struct gh_launch_request *q)
{
    struct gh_launch_answer a;

    for (size_t i = 0; i < GH_LAUNCHER_REPLICAS; i++) {
        if (l->replicas[i].phase == GH_REPLICA_FREE ||
            l->replicas[i].phase == GH_REPLICA_STARTING)
            continue;
        a = answer_to(q);
        fill_replica(&a, &l->replicas[i]);
        send_answer(l, peer, &a, NULL, 0);
    }
    a = answer_to(q);
    a.last = 1;
    send_answer(l, peer, &a, NULL, 0);
}

static int
adopt(struct gh_launcher *l, int peer, const struct gh_launch_request *q,
      struct gh_error *e)
{
    struct gh_replica *r = gh_launcher_find(l, q->name, q->replica);
    struct gh_launch_answer a = answer_to(q);

    if (r == NULL)
        return gh_error_set(e, GH_ENOTFOUND, "no such replica");
    if (r->phase == GH_REPLICA_STARTING)
        return gh_error_set(e, GH_EUNAVAILABLE, "it is about to start");
    fill_replica(&a, r);
    if (r->phase == GH_REPLICA_ALIVE)
        send_living(l, peer, &a, r);
    else
        send_answer(l, peer, &a, NULL, 0);
    return 1;
}

static int
signal_replica(struct gh_launcher *l, const struct gh_launch_request *q,
               int sig, struct gh_error *e)
{
    struct gh_replica *r = gh_launcher_find(l, q->name, q->replica);

    if (sig < 1 || sig > 64)
        return gh_error_set(e, GH_EINVAL, "no signal");
    if (r == NULL)
        return gh_error_set(e, GH_ENOTFOUND, "no such replica");
    return gh_launcher_signal(r, sig, e);
}

/* 0 answered with success, 1 answers by itself or later, -1 fault. */
static int
serve(struct gh_launcher *l, int peer, const struct gh_launch_request *q,
      const int fds[2], struct gh_launch_answer *a, struct gh_error *e)
{
    switch (q->op) {
    case GH_LAUNCH_HELLO:
        a->lacks = l->lacks;
        a->landlock = l->house.landlock;
        return 0;
    case GH_LAUNCH_START:
        return start(l, peer, q, fds, e) == 0 ? 1 : -1;
    case GH_LAUNCH_ADOPT:
        return adopt(l, peer, q, e);
    case GH_LAUNCH_SIGNAL:
        return signal_replica(l, q, q->value, e);
    case GH_LAUNCH_KILL:
        return signal_replica(l, q, SIGKILL, e);
    case GH_LAUNCH_REMOVE:
        return gh_launcher_remove(l, q->name, q->value == 1, e);
    case GH_LAUNCH_LIST:
        list(l, peer, q);
        return 1;
    default:
        return gh_error_set(e, GH_EINVAL, "unknown request %u", q->op);
    }
}

static bool
request_ok(const struct gh_launch_request *q, ssize_t n)
{
    size_t len = strnlen(q->name, sizeof(q->name));

    if (n != (ssize_t)sizeof(*q) || q->magic != GH_LAUNCH_MAGIC ||
        q->version != GH_LAUNCH_VERSION || q->seq == 0 ||
        q->replica >= GH_LAUNCH_REPLICAS || len == sizeof(q->name))
        return false;
    return q->op == GH_LAUNCH_HELLO || q->op == GH_LAUNCH_LIST ||
           gh_name_valid(gh_slice(q->name, len));
}

void
gh_launcher_request(struct gh_launcher *l, int peer)
{
    struct gh_launch_request q;
    struct gh_launch_answer a;
    struct gh_error e;
    int fds[2], rc;
    ssize_t n = gh_launch_receive(l->peers[peer], &q, sizeof(q), fds, 2);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0 || !request_ok(&q, n)) {
        if (n > 0)
            gh_log(GH_LOG_WARN, "a record that is none: connection closed");
        close_peer(l, peer);
    } else {
        a = answer_to(&q);
        rc = serve(l, peer, &q, fds, &a, &e);
        if (rc < 0)
            set_fault(&a, &e);
        if (rc <= 0)
            send_answer(l, peer, &a, NULL, 0);
    }
    for (int i = 0; i < 2; i++)
        if (n > 0 && fds[i] >= 0)
            close(fds[i]);
}

void
gh_launcher_accept(struct gh_launcher *l)
{
    struct ucred who;
    socklen_t size = sizeof(who);
    int fd = accept4(l->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    int room = 1 << 20;

    if (fd < 0)
        return;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) != 0 ||
        who.uid != l->options->control.uid) {
        if (who.uid != 0) /* the monitor only looks whether we listen */
            gh_log(GH_LOG_WARN, "uid %u is not served", (unsigned)who.uid);
        close(fd);
        return;
    }
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    for (int i = 0; i < GH_LAUNCHER_PEERS; i++)
        if (l->peers[i] < 0) {
            l->peers[i] = fd;
            return;
        }
    close(fd);
}
