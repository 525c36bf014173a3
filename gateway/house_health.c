/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One probe of a replica: connect, and where the service says so GET a path
 * and see a status from 200 to 399. It reads no more than the status line.
 */
#include "house_parts.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct gh_house_probe {
    struct gh_house_replica *replica;
    int fd;
    sd_event_source *io, *late;
    bool sent;
    char head[16]; /* "HTTP/1.1 200 " */
    size_t n;
    size_t drained; /* bytes after the head: read, so that nothing is reset */
    bool good;
};

#define DRAIN ((size_t)256 << 10)

void
gh_house_probe_cancel(struct gh_house_replica *r)
{
    struct gh_house_probe *p = r->probe;

    if (p == NULL)
        return;
    r->probe = NULL;
    sd_event_source_disable_unref(p->io);
    sd_event_source_disable_unref(p->late);
    if (p->fd >= 0)
        close(p->fd);
    free(p);
}

static void
finish(struct gh_house_probe *p, const char *fault)
{
    struct gh_house_replica *r = p->replica;

    if (fault != NULL)
        snprintf(r->fault, sizeof(r->fault), "%s", fault);
    gh_house_probe_cancel(r);
    gh_house_event(r, fault == NULL ? GH_HOUSE_READY : GH_HOUSE_SILENT);
}

static int
on_late(sd_event_source *s, uint64_t when, void *ctx)
{
    const struct gh_house_probe *p = ctx;
    char fault[sizeof(p->replica->fault)];

    if (p->good) {
        finish(ctx, NULL);
        return 0;
    }
    /* Without a connection the reason is there already. */
    snprintf(fault, sizeof(fault), "%s",
             p->fd >= 0 ? "no answer in time" : p->replica->fault);
    finish(ctx, fault);
    return 0;
}

static void
send_request(struct gh_house_probe *p)
{
    const struct gh_compose_life *life = &p->replica->service->life;
    char text[512];
    int n = snprintf(text, sizeof(text),
                     "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: "
                     "gatehouse-health\r\nConnection: close\r\n\r\n",
                     life->http, life->host);

    if (send(p->fd, text, (size_t)n, MSG_NOSIGNAL) != n) {
        finish(p, strerror(errno));
        return;
    }
    p->sent = true;
    sd_event_source_set_io_events(p->io, EPOLLIN);
}

/* A server that is cut off while it answers complains in its log. */
static void
drain(struct gh_house_probe *p)
{
    char rest[4096];
    ssize_t n;

    while ((n = recv(p->fd, rest, sizeof(rest), 0)) > 0 && p->drained < DRAIN)
        p->drained += (size_t)n;
    if (n >= 0 || errno != EAGAIN)
        finish(p, NULL);
}

static void
read_status(struct gh_house_probe *p)
{
    char fault[64];
    ssize_t n = recv(p->fd, p->head + p->n, sizeof(p->head) - 1 - p->n, 0);
    int status;

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        finish(p, n == 0 ? "it closed without an answer" : strerror(errno));
        return;
    }
    p->n += (size_t)n;
    if (p->n < 12)
        return;
    p->head[p->n] = '\0';
    if (strncmp(p->head, "HTTP/1.", 7) != 0) {
        finish(p, "the answer is not HTTP");
        return;
    }
    status = atoi(p->head + 9);
    snprintf(fault, sizeof(fault), "it answers with %d", status);
    if (status < 200 || status >= 400) {
        finish(p, fault);
        return;
    }
    p->good = true;
    drain(p);
}

static int
on_io(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
    struct gh_house_probe *p = ctx;
    socklen_t size = sizeof(int);
    int error = 0;

    if (p->sent) {
        if (p->good)
            drain(p);
        else
            read_status(p);
        return 0;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0)
        finish(p, strerror(error != 0 ? error : errno));
    else if (p->replica->service->life.http[0] == '\0')
        finish(p, NULL);
    else
        send_request(p);
    return 0;
}

static int
connect_to(const char *endpoint, uint32_t address, unsigned port)
{
    struct sockaddr_un u = {.sun_family = AF_UNIX};
    struct sockaddr_in i = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)port),
                            .sin_addr = {htonl(address)}};
    bool local = strncmp(endpoint, "unix:", 5) == 0;
    int fd = socket(local ? AF_UNIX : AF_INET,
                    SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int rc;

    if (fd < 0)
        return -1;
    snprintf(u.sun_path, sizeof(u.sun_path), "%.107s",
             local ? endpoint + 5 : "");
    rc = local ? connect(fd, (struct sockaddr *)&u, sizeof(u))
               : connect(fd, (struct sockaddr *)&i, sizeof(i));
    if (rc != 0 && errno != EINPROGRESS) {
        int saved = errno;

        close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Never ends within the call: steps of the table may begin a probe. */
void
gh_house_probe(struct gh_house_replica *r)
{
    const struct gh_compose_life *life = &r->service->life;
    sd_event *loop = r->service->house->config.loop;
    struct gh_house_probe *p;
    char endpoint[160];

    if (r->probe != NULL || !gh_house_endpoint(r, endpoint, sizeof(endpoint)))
        return;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return;
    p->replica = r;
    p->fd = connect_to(endpoint, r->address, life->port);
    r->probe = p;
    if (p->fd < 0) {
        snprintf(r->fault, sizeof(r->fault), "%s", strerror(errno));
        sd_event_add_time_relative(loop, &p->late, CLOCK_MONOTONIC, 20000, 1000,
                                   on_late, p);
        return;
    }
    if (sd_event_add_io(loop, &p->io, p->fd, EPOLLOUT, on_io, p) < 0 ||
        sd_event_add_time_relative(loop, &p->late, CLOCK_MONOTONIC,
                                   (uint64_t)life->within_ms * 1000, 1000,
                                   on_late, p) < 0)
        gh_house_probe_cancel(r);
}
