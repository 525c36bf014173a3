/* SPDX-License-Identifier: Apache-2.0 */
#include "house_parts.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define RETRY_US 200000
#define ABOUT_TO_START_MS 100

/* ---- questions */

static bool
send_request(struct gh_house *h, uint32_t op, const char *name,
             unsigned replica, int value, const int *fds, unsigned nfds)
{
    struct gh_launch_request q = {.magic = GH_LAUNCH_MAGIC,
                                  .version = GH_LAUNCH_VERSION,
                                  .op = op,
                                  .replica = replica,
                                  .value = value};

    if (h->sock < 0)
        return false;
    if (++h->seq == 0)
        h->seq = 1;
    q.seq = h->seq;
    snprintf(q.name, sizeof(q.name), "%s", name);
    return gh_launch_send(h->sock, &q, sizeof(q), fds, nfds) == 0;
}

bool
gh_house_ask(struct gh_house *h, uint32_t op, const char *name,
             unsigned replica, int value)
{
    return send_request(h, op, name, replica, value, NULL, 0);
}

static int
sealed(const void *data, size_t n)
{
    int fd = memfd_create("plan", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd >= 0 && (write(fd, data, n) != (ssize_t)n ||
                    fcntl(fd, F_ADD_SEALS,
                          F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW |
                              F_SEAL_SEAL) != 0)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The default's bytes are kept; a profile of its own is compiled each time. */
static int
filter_of(const struct gh_house_service *s, struct gh_seccomp *own,
          const struct gh_seccomp **out, struct gh_error *e)
{
    const json_t *profile =
        json_object_get(json_object_get(s->json, "x-gatehouse"), "seccomp");

    *out = &s->house->filter;
    if (profile == NULL)
        return 0;
    *out = own;
    return gh_seccomp_compile(profile, own, e);
}

static int
make_plan(struct gh_house_replica *r, struct gh_error *e)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    int fd = -1;

    if (gh_compose_plan(r->service->name, r->index, r->service->json, &b, e) ==
        0) {
        ((struct gh_launch_plan *)b.data)->stamp = r->service->stamp;
        fd = sealed(b.data, b.len);
        if (fd < 0)
            gh_error_sys(e, errno, "plan");
    }
    gh_buffer_finish(&b);
    return fd;
}

bool
gh_house_ask_start(struct gh_house_replica *r, struct gh_error *e)
{
    struct gh_house *h = r->service->house;
    const struct gh_seccomp *filter;
    struct gh_seccomp own = {0};
    int fds[2] = {-1, -1};
    bool ok = false;

    if (h->sock < 0)
        return gh_error_set(e, GH_EUNAVAILABLE, "the launcher is away"), false;
    if (filter_of(r->service, &own, &filter, e) == 0 &&
        (fds[0] = make_plan(r, e)) >= 0) {
        fds[1] = sealed(filter->code, filter->n * sizeof(*filter->code));
        ok = fds[1] >= 0 && send_request(h, GH_LAUNCH_START, r->service->name,
                                         r->index, 0, fds, 2);
        if (!ok)
            gh_error_sys(e, errno, "launcher");
    }
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    gh_seccomp_finish(&own);
    return ok;
}

uint64_t
gh_house_stamp(const struct gh_house *h, const json_t *service)
{
    char *text = json_dumps(service, JSON_SORT_KEYS | JSON_COMPACT);
    struct gh_slice parts[2] = {gh_slice_str(text),
                                gh_slice_str(h->filter.digest)};
    unsigned char digest[GH_DIGEST_SIZE];
    uint64_t stamp;

    gh_sha256(parts, 2, digest);
    free(text);
    memcpy(&stamp, digest, sizeof(stamp));
    return stamp | 1;
}

/* ---- answers */

static struct gh_house_replica *
replica_of(struct gh_house *h, const struct gh_launch_answer *a)
{
    struct gh_house_service *s = gh_house_find(h, a->name);

    return s != NULL && a->replica < s->n ? &s->replicas[a->replica] : NULL;
}

static int
on_gone(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    struct gh_house_replica *r = ctx;

    sd_event_source_set_enabled(source, SD_EVENT_OFF);
    /* The launcher says how it ended. While that is away, the gate must know
     * at least that it did. */
    if (r->service->house->sock < 0 && r->phase != GH_HOUSE_STOPPING) {
        gh_house_probe_cancel(r);
        gh_house_clear_timer(r);
        r->phase = GH_HOUSE_NEW;
        r->since_ms = gh_house_now_ms();
        gh_house_publish(r->service);
    }
    return 0;
}

static void
take_descriptors(struct gh_house_replica *r, int fds[2])
{
    struct stat st;
    void *map;

    gh_house_forget_process(r);
    r->pidfd = fds[0];
    fds[0] = -1;
    if (r->pidfd >= 0)
        sd_event_add_io(r->service->house->config.loop, &r->gone, r->pidfd,
                        EPOLLIN, on_gone, r);
    if (fds[1] < 0 || fstat(fds[1], &st) != 0 ||
        st.st_size < (off_t)sizeof(struct gh_launch_reports))
        return;
    if (r->reports != NULL)
        munmap((void *)r->reports, sizeof(*r->reports));
    map = mmap(NULL, sizeof(*r->reports), PROT_READ, MAP_SHARED, fds[1], 0);
    r->reports = map == MAP_FAILED ? NULL : map;
}

static void
take_process(struct gh_house_replica *r, const struct gh_launch_answer *a)
{
    r->pid = a->pid;
    r->id_base = a->id_base;
    r->address = a->address;
    r->started_ms = a->started_ms;
    r->exited_ms = a->exited_ms;
    r->status = a->status;
    r->oom = a->oom;
    memcpy(r->cgroup, a->cgroup, sizeof(r->cgroup));
    r->cgroup[sizeof(r->cgroup) - 1] = '\0';
}

static void
on_start(struct gh_house *h, const struct gh_launch_answer *a, int fds[2])
{
    struct gh_house_replica *r = replica_of(h, a);

    if (r == NULL)
        return;
    if (a->code == GH_EEXIST) {
        gh_house_ask(h, GH_LAUNCH_ADOPT, a->name, a->replica, 0);
        return;
    }
    if (a->code != GH_OK) {
        snprintf(r->fault, sizeof(r->fault), "%.190s", a->message);
        gh_house_event(r, GH_HOUSE_REFUSED);
        return;
    }
    take_process(r, a);
    take_descriptors(r, fds);
    gh_house_event(r, GH_HOUSE_STARTED);
}

static void
on_adopt(struct gh_house *h, const struct gh_launch_answer *a, int fds[2])
{
    struct gh_house_replica *r = replica_of(h, a);

    if (r == NULL)
        return;
    if (a->code == GH_EUNAVAILABLE) {
        if (r->phase == GH_HOUSE_ASKED || r->phase == GH_HOUSE_STARTING)
            gh_house_set_timer(r, ABOUT_TO_START_MS);
        return;
    }
    if (a->code == GH_OK)
        take_process(r, a);
    if (a->code != GH_OK || !a->alive) {
        gh_house_event(r, GH_HOUSE_ABSENT);
        return;
    }
    take_descriptors(r, fds);
    gh_house_event(r, a->stamp == r->service->stamp ? GH_HOUSE_FOUND
                                                    : GH_HOUSE_STALE);
}

static void
on_exited(struct gh_house *h, const struct gh_launch_answer *a)
{
    struct gh_house_replica *r = replica_of(h, a);

    if (r == NULL)
        return;
    take_process(r, a);
    gh_house_event(r, GH_HOUSE_EXITED);
}

static void
on_list(struct gh_house *h, const struct gh_launch_answer *a)
{
    struct gh_house_service *s = gh_house_find(h, a->name);

    if (!a->last && h->settled && (s == NULL || a->replica >= s->n))
        gh_house_stranger(h, a);
}

static void
on_answer(struct gh_house *h, struct gh_launch_answer *a, int fds[2])
{
    a->name[sizeof(a->name) - 1] = '\0';
    a->message[sizeof(a->message) - 1] = '\0';
    switch (a->op) {
    case GH_LAUNCH_HELLO:
        h->known = a->code == GH_OK;
        h->lacks = a->lacks;
        h->landlock = a->landlock;
        break;
    case GH_LAUNCH_START:
        on_start(h, a, fds);
        break;
    case GH_LAUNCH_ADOPT:
        on_adopt(h, a, fds);
        break;
    case GH_LAUNCH_EXITED:
        on_exited(h, a);
        break;
    case GH_LAUNCH_LIST:
        on_list(h, a);
        break;
    case GH_LAUNCH_REMOVE:
        gh_house_removed(h, a->name);
        break;
    case GH_LAUNCH_SIGNAL:
    case GH_LAUNCH_KILL:
        /* It does not run any more: as good as an exit that we missed. */
        if (a->code == GH_ENOTFOUND && replica_of(h, a) != NULL)
            gh_house_event(replica_of(h, a), GH_HOUSE_ABSENT);
        break;
    default:
        break;
    }
}

/* ---- the connection */

static int
on_readable(sd_event_source *source, int fd, uint32_t events, void *ctx)
{
    struct gh_house *h = ctx;
    struct gh_launch_answer a;
    int fds[2];
    ssize_t n;

    for (int i = 0; i < 64 && h->sock >= 0; i++) {
        n = gh_launch_receive(h->sock, &a, sizeof(a), fds, 2);
        if (n < 0 && errno == EAGAIN)
            return 0;
        if (n != (ssize_t)sizeof(a) || a.magic != GH_LAUNCH_MAGIC ||
            a.version != GH_LAUNCH_VERSION) {
            gh_log(GH_LOG_WARN, "the launcher is gone; services go on");
            gh_house_disconnect(h);
            gh_house_connect(h);
            return 0;
        }
        on_answer(h, &a, fds);
        for (int k = 0; k < 2; k++)
            if (fds[k] >= 0)
                close(fds[k]);
    }
    return 0;
}

static int
on_retry(sd_event_source *source, uint64_t when, void *ctx)
{
    struct gh_house *h = ctx;

    h->retry = sd_event_source_disable_unref(h->retry);
    gh_house_connect(h);
    return 0;
}

/* Everything is asked anew: what happened meanwhile, the launcher knows. */
static void
ask_everything(struct gh_house *h)
{
    gh_house_ask(h, GH_LAUNCH_HELLO, "", 0, 0);
    for (struct gh_house_service *s = h->services; s != NULL; s = s->next)
        for (unsigned i = 0; i < s->n; i++) {
            struct gh_house_replica *r = &s->replicas[i];

            if (r->phase == GH_HOUSE_NEW)
                r->phase = GH_HOUSE_ASKED;
            gh_house_ask(h, GH_LAUNCH_ADOPT, s->name, i, 0);
        }
    if (h->settled)
        gh_house_ask(h, GH_LAUNCH_LIST, "", 0, 0);
}

int
gh_house_connect(struct gh_house *h)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int room = 1 << 20;

    snprintf(a.sun_path, sizeof(a.sun_path), "%.80s/sock/launcher.sock",
             h->dir);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0 &&
        sd_event_add_io(h->config.loop, &h->io, fd, EPOLLIN, on_readable, h) >=
            0) {
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
        h->sock = fd;
        ask_everything(h);
        return 0;
    }
    if (fd >= 0)
        close(fd);
    if (h->retry == NULL)
        sd_event_add_time_relative(h->config.loop, &h->retry, CLOCK_MONOTONIC,
                                   RETRY_US, 10000, on_retry, h);
    return -1;
}

void
gh_house_disconnect(struct gh_house *h)
{
    h->io = sd_event_source_disable_unref(h->io);
    if (h->sock >= 0)
        close(h->sock);
    h->sock = -1;
}
