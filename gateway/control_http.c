/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libmicrohttpd has an epoll of its own; its descriptor is one source of our
 * loop. What it wants to do without new input (sending on, timing out) it says
 * by MHD_get_timeout(): a timer of the loop.
 */
#include "control.h"

#include "log.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* All connections; those of uids that may nothing, so that they keep nobody
 * else out. */
#define CONNECTIONS 256u
#define STRANGERS 16u

struct gh_control_http {
    struct MHD_Daemon *daemon;
    sd_event_source *io, *timer;
    unsigned strangers;
};

/* ---- answers */

const char *
gh_request_query(const struct gh_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_GET_ARGUMENT_KIND,
                                       name);
}

const char *
gh_request_header(const struct gh_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

int
gh_request_answer(struct gh_request *r, unsigned status, json_t *json)
{
    json_decref(r->json);
    r->json = json;
    r->status = json != NULL ? status : 500;
    return 0;
}

static const char *
title(unsigned status)
{
    static const struct {
        unsigned status;
        const char *title;
    } titles[] = {
        {400, "Bad request"},    {403, "Not allowed"},
        {404, "Not found"},      {405, "Method not allowed"},
        {409, "Conflict"},       {412, "It has changed meanwhile"},
        {413, "Too large"},      {422, "Invalid"},
        {500, "Internal error"}, {503, "Unavailable"},
        {507, "No room"},
    };

    for (size_t i = 0; i < sizeof(titles) / sizeof(*titles); i++)
        if (titles[i].status == status)
            return titles[i].title;
    return "Error";
}

static json_t *
problem(unsigned status, const char *code, const char *detail)
{
    return json_pack("{s:s, s:s, s:i, s:s, s:s}", "type", "about:blank",
                     "title", title(status), "status", (int)status, "code",
                     code, "detail", detail);
}

int
gh_request_fail(struct gh_request *r, unsigned status, const char *code,
                const char *fmt, ...)
{
    char text[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return gh_request_answer(r, status, problem(status, code, text));
}

static unsigned
status_of(const struct gh_error *e)
{
    switch (e->code) {
    case GH_EINVAL:
        return 422;
    case GH_ETOOBIG:
        return 413;
    case GH_ENOTFOUND:
        return 404;
    case GH_EEXIST:
        return 409;
    case GH_EDENIED:
        return 403;
    case GH_EUNAVAILABLE:
        return 503;
    case GH_ENOMEM:
        return 507;
    case GH_EIO:
        return e->sys == ENOSPC || e->sys == EDQUOT || e->sys == EFBIG ? 507
                                                                       : 500;
    default:
        return 500;
    }
}

int
gh_request_error(struct gh_request *r, const struct gh_error *e)
{
    unsigned status = status_of(e);
    const char *code = status == 507 ? "no_room" : gh_code_name(e->code);

    if (status >= 500)
        gh_log(GH_LOG_ERROR, "%s %s: %s", r->route ? r->route->method : "?",
               r->route ? r->route->path : "?", e->message);
    if (status == 503)
        snprintf(r->retry_after, sizeof(r->retry_after), "2");
    return gh_request_fail(r, status, code, "%s", e->message);
}

int
gh_request_faults(struct gh_request *r, const struct gh_faults *f)
{
    json_t *p;

    if (f->n == 1 && f->at[0].line == 0 && f->at[0].path[0] == '\0')
        p = problem(422, "invalid", f->at[0].message);
    else {
        char text[100];

        snprintf(text, sizeof(text), "%zu fault%s; nothing was changed",
                 f->n + f->more, f->n + f->more == 1 ? "" : "s");
        p = problem(422, "invalid", text);
    }
    json_object_set_new(p, "faults", gh_faults_json(f));
    if (f->more > 0)
        json_object_set_new(p, "more", json_integer((json_int_t)f->more));
    return gh_request_answer(r, 422, p);
}

int
gh_request_not_found(struct gh_request *r, const char *kind, const char *name)
{
    return gh_request_fail(r, 404, "not_found", "there is no %s \"%s\"", kind,
                           name);
}

json_t *
gh_request_json(struct gh_request *r, bool optional)
{
    json_error_t je;
    json_t *v;

    if (r->body.len == 0 && optional)
        return json_object();
    v = json_loadb((const char *)r->body.data, r->body.len,
                   JSON_REJECT_DUPLICATES, &je);
    if (v == NULL)
        gh_request_fail(r, 400, "invalid",
                        "the body is no JSON: line %d column %d: %s", je.line,
                        je.column, je.text);
    else if (!json_is_object(v)) {
        json_decref(v);
        v = NULL;
        gh_request_fail(r, 400, "invalid", "the body must be a JSON object");
    }
    return v;
}

struct gh_node *
gh_request_tree(struct gh_request *r, const struct gh_alloc *a,
                struct gh_faults *f)
{
    const char *type = gh_request_header(r, "Content-Type");
    struct gh_node *root = NULL;
    json_error_t je;
    json_t *v;

    if (type == NULL || strncmp(type, "application/json", 16) != 0)
        return gh_document_read(gh_buffer_slice(&r->body), a, f);
    v = json_loadb((const char *)r->body.data, r->body.len,
                   JSON_REJECT_DUPLICATES, &je);
    if (v == NULL)
        gh_fault_add(f, (unsigned)je.line, (unsigned)je.column, "", NULL,
                     "no JSON: %s", je.text);
    else
        root = gh_document_from_json(v, a);
    if (v != NULL && root == NULL)
        gh_fault_add(f, 0, 0, "", NULL, "nested too deeply");
    json_decref(v);
    return root;
}

/* ---- one request */

static enum MHD_Result
send_answer(struct gh_request *r)
{
    struct MHD_Response *response;
    const char *type =
        r->status >= 400 ? "application/problem+json" : "application/json";
    char *body = NULL;
    size_t n = 0;
    enum MHD_Result rc;

    if (r->json != NULL) {
        body = json_dumps(r->json, JSON_INDENT(2) | JSON_PRESERVE_ORDER);
        n = body != NULL ? strlen(body) : 0;
    } else if (r->status < 400 && r->type != NULL) {
        type = r->type;
        body = (char *)r->text.data;
        n = r->text.len;
        r->text = GH_BUFFER_INIT;
    }
    response = MHD_create_response_from_buffer(
        n, body != NULL ? body : "",
        body != NULL ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
    if (response == NULL) {
        free(body);
        return MHD_NO;
    }
    MHD_add_response_header(response, "Content-Type", type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    if (r->etag[0] != '\0')
        MHD_add_response_header(response, "ETag", r->etag);
    if (r->retry_after[0] != '\0')
        MHD_add_response_header(response, "Retry-After", r->retry_after);
    if (r->location[0] != '\0')
        MHD_add_response_header(response, "Location", r->location);
    rc = MHD_queue_response(r->connection, r->status, response);
    MHD_destroy_response(response);
    return rc;
}

/* Root and our own uid may all; gatehouse-idp reads and reports. */
static bool
may(const struct gh_request *r)
{
    bool admin = r->uid == 0 || r->uid == geteuid();

    switch (r->route->rights) {
    case GH_MAY_READ:
        return admin || r->uid == r->c->idp_uid;
    case GH_MAY_WRITE:
        return admin;
    case GH_MAY_FETCH:
        return r->uid == 0 || r->uid == r->c->idp_uid;
    }
    return false;
}

/* Before anything of the body is kept: who may not speak fills no memory. */
static void
judge(struct gh_request *r, const char *method, const char *path)
{
    int rc = gh_control_route(r, method, path);

    if (rc == 404)
        gh_request_fail(r, 404, "not_found", "there is nothing at %.200s",
                        path);
    else if (rc == 405)
        gh_request_fail(r, 405, "invalid", "%.20s is not possible here",
                        method);
    else if (!may(r)) {
        gh_log(GH_LOG_WARN, "uid %ld (pid %ld) may not %s %s", (long)r->uid,
               (long)r->pid, r->route->method, r->route->path);
        gh_request_fail(r, 403, "denied", "uid %ld may not do this",
                        (long)r->uid);
    }
}

static void
serve(struct gh_request *r)
{
    if (r->body_too_big)
        gh_request_fail(r, 413, "too_big", "the body passes %zu bytes",
                        (size_t)GH_CONTROL_BODY);
    else if (r->body.failed)
        gh_request_fail(r, 507, "no_room", "out of memory");
    else if (r->route->serve(r) != 0 && r->status == 0)
        gh_request_fail(r, 500, "internal", "no answer");
}

static struct gh_request *
new_request(struct gh_control *c, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred peer;
    socklen_t n = sizeof(peer);
    struct gh_request *r;

    if (info == NULL ||
        getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0)
        return NULL;
    r = calloc(1, sizeof(*r));
    if (r == NULL)
        return NULL;
    r->c = c;
    r->connection = connection;
    r->uid = peer.uid;
    r->pid = peer.pid;
    return r;
}

static enum MHD_Result
on_request(void *cls, struct MHD_Connection *connection, const char *url,
           const char *method, const char *version, const char *data,
           size_t *size, void **state)
{
    struct gh_request *r = *state;

    if (r == NULL) {
        *state = r = new_request(cls, connection);
        if (r == NULL)
            return MHD_NO;
        judge(r, method, url);
        /* Answered now, the connection ends without its body. */
        return r->status != 0 ? send_answer(r) : MHD_YES;
    }
    if (*size > 0) {
        if (r->body.len + *size > GH_CONTROL_BODY)
            r->body_too_big = true;
        else if (!r->body_too_big)
            gh_buffer_append(&r->body, gh_slice(data, *size));
        *size = 0;
        return MHD_YES;
    }
    serve(r);
    return send_answer(r);
}

static void
on_completed(void *cls, struct MHD_Connection *connection, void **state,
             enum MHD_RequestTerminationCode why)
{
    struct gh_request *r = *state;

    if (r == NULL)
        return;
    if (r->body.data != NULL) /* it may have held a secret */
        explicit_bzero(r->body.data, r->body.len);
    gh_buffer_finish(&r->body);
    gh_buffer_finish(&r->text);
    json_decref(r->json);
    free(r);
    *state = NULL;
}

/* The socket is open to all, so that a refusal has its words. */
static void
on_connection(void *cls, struct MHD_Connection *connection, void **stranger,
              enum MHD_ConnectionNotificationCode what)
{
    struct gh_control *c = cls;
    const union MHD_ConnectionInfo *info;
    struct ucred peer;
    socklen_t n = sizeof(peer);

    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        c->http->strangers -= *stranger != NULL;
        return;
    }
    info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (info == NULL ||
        (getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) ==
             0 &&
         (peer.uid == 0 || peer.uid == geteuid() || peer.uid == c->idp_uid)))
        return;
    *stranger = c;
    if (++c->http->strangers > STRANGERS)
        shutdown(info->connect_fd, SHUT_RDWR);
}

/* ---- in the loop */

static void
run(struct gh_control_http *h)
{
    MHD_UNSIGNED_LONG_LONG ms;
    uint64_t now;

    MHD_run(h->daemon);
    if (MHD_get_timeout(h->daemon, &ms) != MHD_YES) {
        sd_event_source_set_enabled(h->timer, SD_EVENT_OFF);
        return;
    }
    sd_event_now(sd_event_source_get_event(h->timer), CLOCK_MONOTONIC, &now);
    sd_event_source_set_time(h->timer, now + (uint64_t)ms * 1000);
    sd_event_source_set_enabled(h->timer, SD_EVENT_ONESHOT);
}

static int
on_io(sd_event_source *s, int fd, uint32_t events, void *ctx)
{
    run(ctx);
    return 0;
}

static int
on_timer(sd_event_source *s, uint64_t usec, void *ctx)
{
    run(ctx);
    return 0;
}

/* A socket that was handed over (LISTEN_FDS), or one of our own. */
static int
listening_socket(const char *path, struct gh_error *e)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd;

    if (sd_listen_fds(1) == 1)
        return SD_LISTEN_FDS_START;
    if (strlen(path) >= sizeof(at.sun_path))
        return gh_error_set(e, GH_ETOOBIG,
                            "%s is longer than a socket's path may be (%zu): "
                            "use a shorter --dir",
                            path, sizeof(at.sun_path) - 1);
    strcpy(at.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return gh_error_sys(e, errno, "socket");
    /* Two at once cannot happen: the catalog's writer lock came before. */
    if (unlink(path) != 0 && errno != ENOENT) {
        gh_error_sys(e, errno, "%s", path);
        close(fd);
        return -1;
    }
    if (bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        chmod(path, 0666) != 0 || listen(fd, 128) != 0) {
        gh_error_sys(e, errno, "%s", path);
        close(fd);
        return -1;
    }
    return fd;
}

static void
mhd_log(void *ctx, const char *fmt, va_list ap)
{
    char line[300];

    vsnprintf(line, sizeof(line), fmt, ap);
    line[strcspn(line, "\n")] = '\0';
    gh_log(GH_LOG_DEBUG, "http: %s", line);
}

int
gh_control_http_start(struct gh_control *c, struct gh_error *e)
{
    struct gh_control_http *h;
    const union MHD_DaemonInfo *info;
    int fd = listening_socket(c->o.socket, e), rc;

    if (fd < 0)
        return -1;
    h = calloc(1, sizeof(*h));
    if (h == NULL) {
        close(fd);
        return gh_error_set(e, GH_ENOMEM, "out of memory");
    }
    c->http = h; /* connections count there from the first */
    h->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_ERROR_LOG, 0, NULL, NULL, on_request, c,
        MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL, MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT,
        30u, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)64 * 1024,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, NULL,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, c, MHD_OPTION_END);
    if (h->daemon == NULL) {
        close(fd);
        free(h);
        c->http = NULL;
        return gh_error_set(e, GH_EIO, "the HTTP server does not start");
    }
    info = MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    rc = sd_event_add_io(c->loop, &h->io, info->epoll_fd, EPOLLIN, on_io, h);
    if (rc >= 0)
        rc = sd_event_add_time(c->loop, &h->timer, CLOCK_MONOTONIC, 0, 1000,
                               on_timer, h);
    if (rc < 0) {
        gh_control_http_stop(c);
        return gh_error_sys(e, -rc, "event loop");
    }
    return 0;
}

void
gh_control_http_stop(struct gh_control *c)
{
    struct gh_control_http *h = c->http;

    if (h == NULL)
        return;
    sd_event_source_unref(h->io);
    sd_event_source_unref(h->timer);
    MHD_stop_daemon(h->daemon);
    free(h);
    c->http = NULL;
}
