/* SPDX-License-Identifier: Apache-2.0 */
#include "idpd.h"

#include "encode.h"
#include "log.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNECTIONS 256 /* threads: each waits for a provider, at most */
#define STACK_SIZE ((size_t)256 * 1024)
#define REQUEST_MEMORY ((size_t)64 * 1024)
#define IDLE_SECONDS 15u

/* Who may ask, by the uid at the other end of the socket. */
enum rights {
    ANYONE = 1 << 0, /* who may open the socket at all */
    GATE = 1 << 1,
    CONTROL = 1 << 2
};

struct route {
    const char *methods; /* space-separated */
    const char *path;    /* a "*" is a provider's name */
    unsigned rights;
    void (*handle)(struct gh_idpd_request *r);
};

static const struct route routes[] = {
    {"GET HEAD", "/gatehouse/login/*", ANYONE, gh_idpd_login},
    {"GET", "/gatehouse/callback/*", ANYONE, gh_idpd_callback},
    {"GET HEAD", "/gatehouse/logout/done", ANYONE, gh_idpd_logged_out},
    {"GET HEAD POST", "/gatehouse/logout", ANYONE, gh_idpd_logout},
    {"PUT", "/internal/secret/*", CONTROL, gh_idpd_put_secret},
    {"DELETE", "/internal/secret/*", CONTROL, gh_idpd_delete_secret},
    {"GET", "/internal/status", GATE | CONTROL, gh_idpd_status},
    {"POST", "/internal/refresh/*", GATE | CONTROL, gh_idpd_refresh},
};

#define NROUTES (sizeof(routes) / sizeof(routes[0]))

static bool
path_matches(const char *pattern, struct gh_slice path, struct gh_slice *name)
{
    size_t n = strlen(pattern);

    if (pattern[n - 1] != '*')
        return gh_slice_eq_str(path, pattern);
    if (!gh_slice_starts(path, gh_slice(pattern, n - 1)))
        return false;
    *name = gh_slice(path.data + n - 1, path.len - n + 1);
    return gh_name_valid(*name);
}

static bool
has_word(const char *words, const char *word)
{
    size_t n = strlen(word);
    const char *at = words;

    for (; (at = strstr(at, word)) != NULL; at += n)
        if ((at == words || at[-1] == ' ') && (at[n] == '\0' || at[n] == ' '))
            return true;
    return false;
}

static bool
allowed(const struct gh_idpd_request *r, unsigned rights)
{
    return (rights & ANYONE) || r->peer == 0 || r->peer == geteuid() ||
           ((rights & GATE) && r->peer == r->d->gate) ||
           ((rights & CONTROL) && r->peer == r->d->control);
}

static void
dispatch(struct gh_idpd_request *r)
{
    bool path_known = false;
    size_t i;

    for (i = 0; i < NROUTES; i++) {
        if (!path_matches(routes[i].path, r->path, &r->name))
            continue;
        path_known = true;
        if (!has_word(routes[i].methods, r->method))
            continue;
        if (!allowed(r, routes[i].rights)) {
            gh_idpd_problem(r, 403, "forbidden", NULL,
                            "This path is for other parts of Gatehouse.");
            return;
        }
        routes[i].handle(r);
        return;
    }
    if (path_known)
        gh_idpd_problem(r, 405, "method_not_allowed", NULL,
                        "This path does not take %s.", r->method);
    else
        gh_idpd_problem(r, 404, "not_found", NULL, "There is no such page.");
}

/* ---- reading a request */

struct gh_slice
gh_idpd_header(struct gh_idpd_request *r, const char *name)
{
    return gh_slice_str(
        MHD_lookup_connection_value(r->c, MHD_HEADER_KIND, name));
}

struct cookies {
    struct gh_slice name, value;
    unsigned n;
};

static enum MHD_Result
on_header(void *ctx, enum MHD_ValueKind kind, const char *name,
          const char *value)
{
    struct cookies *c = ctx;
    struct gh_slice s = gh_slice_str(value);
    size_t i = 0, start, end;

    if (!gh_slice_eq_nocase(gh_slice_str(name), gh_slice_str("Cookie")))
        return MHD_YES;
    while (i < s.len) {
        while (i < s.len && (s.data[i] == ' ' || s.data[i] == ';'))
            i++;
        for (start = i; i < s.len && s.data[i] != ';'; i++)
            ;
        for (end = i; end > start && s.data[end - 1] == ' '; end--)
            ;
        if (end - start > c->name.len && s.data[start + c->name.len] == '=' &&
            memcmp(s.data + start, c->name.data, c->name.len) == 0) {
            start += c->name.len + 1;
            c->value = gh_slice(s.data + start, end - start);
            c->n++;
        }
    }
    return MHD_YES;
}

struct gh_slice
gh_idpd_cookie(struct gh_idpd_request *r, const char *name)
{
    struct cookies c = {.name = gh_slice_str(name)};

    MHD_get_connection_values(r->c, MHD_HEADER_KIND, on_header, &c);
    return c.n == 1 ? c.value : gh_slice(NULL, 0);
}

struct gh_slice
gh_idpd_query(struct gh_idpd_request *r, const char *name)
{
    size_t n = strlen(name), i, start = 0, len = 0;
    unsigned char *out = NULL;

    for (i = 0; i <= r->query.len; i++) {
        if (i < r->query.len && r->query.data[i] != '&')
            continue;
        if (i - start > n && r->query.data[start + n] == '=' &&
            memcmp(r->query.data + start, name, n) == 0) {
            out = gh_get(&r->a, i - start);
            break;
        }
        start = i + 1;
    }
    if (out == NULL)
        return gh_slice(NULL, 0);
    for (start += n + 1; start < i; start++) {
        const unsigned char *p = r->query.data + start;

        if (*p == '%' && i - start > 2 && gh_hex_digit(p[1]) >= 0 &&
            gh_hex_digit(p[2]) >= 0) {
            out[len++] = (unsigned char)(gh_hex_digit(p[1]) << 4 |
                                         gh_hex_digit(p[2]));
            start += 2;
        } else {
            out[len++] = *p == '+' ? ' ' : *p;
        }
    }
    return gh_slice(out, len);
}

/* ---- libmicrohttpd */

static enum MHD_Result
send_answer(struct gh_idpd_request *r)
{
    struct gh_idpd_answer *a = r->answer;
    struct MHD_Response *m;
    enum MHD_Result rc;
    size_t i;

    if (a->body.failed) {
        gh_buffer_finish(&a->body);
        a->status = 500;
    }
    m = MHD_create_response_from_buffer(a->body.len, a->body.data,
                                        MHD_RESPMEM_MUST_COPY);
    if (m == NULL)
        return MHD_NO;
    if (a->type != NULL)
        MHD_add_response_header(m, "Content-Type", a->type);
    MHD_add_response_header(m, "Cache-Control", "no-store");
    /* not "no-referrer": then a form of ours is sent with "Origin: null" */
    MHD_add_response_header(m, "Referrer-Policy", "same-origin");
    MHD_add_response_header(m, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(m, "Content-Security-Policy",
                            "default-src 'none'; style-src 'unsafe-inline'; "
                            "base-uri 'none'; frame-ancestors 'none'");
    for (i = 0; i < a->n; i++)
        MHD_add_response_header(m, a->headers[i].name, a->headers[i].value);
    rc = MHD_queue_response(r->c, a->status, m);
    MHD_destroy_response(m);
    return rc;
}

static void
finish_answer(struct gh_idpd_answer *a)
{
    size_t i;

    gh_buffer_finish(&a->body);
    for (i = 0; i < a->n; i++)
        free(a->headers[i].value);
}

static uid_t
peer_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (info == NULL ||
        getsockopt(info->connect_fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return (uid_t)-1;
    return cred.uid;
}

/* One request between libmicrohttpd's calls: its raw target and its body. */
struct pending {
    char *target;
    struct gh_buffer body;
    bool begun, too_big;
};

static void *
on_target(void *ctx, const char *target, struct MHD_Connection *c)
{
    struct pending *p = calloc(1, sizeof(*p));

    if (p != NULL)
        p->target = strdup(target);
    return p;
}

/* Paths are compared as sent: what is escaped is not ours. */
static size_t
no_unescape(void *ctx, struct MHD_Connection *c, char *s)
{
    return strlen(s);
}

static enum MHD_Result
answer(struct gh_idpd *d, struct MHD_Connection *c, const char *method,
       struct pending *p)
{
    struct gh_idpd_answer out = {.status = 500, .body = GH_BUFFER_INIT};
    struct gh_idpd_request r = {
        .c = c, .d = d, .method = method, .body = p->body, .answer = &out};
    char *query = strchr(p->target, '?');
    enum MHD_Result rc;

    r.path = gh_slice_str(p->target);
    if (query != NULL) {
        r.path.len = (size_t)(query - p->target);
        r.query = gh_slice_str(query + 1);
    }
    r.peer = peer_of(c);
    gh_arena_init(&r.arena);
    r.a = gh_arena_alloc(&r.arena);
    if (p->too_big || p->body.failed)
        gh_idpd_problem(&r, 413, "too_big", NULL, "The body is too big.");
    else
        dispatch(&r);
    rc = send_answer(&r);
    finish_answer(&out);
    gh_arena_finish(&r.arena);
    return rc;
}

static enum MHD_Result
on_request(void *ctx, struct MHD_Connection *c, const char *url,
           const char *method, const char *version, const char *data,
           size_t *size, void **state)
{
    struct pending *p = *state;

    if (p == NULL || p->target == NULL)
        return MHD_NO;
    if (!p->begun) {
        p->begun = true;
        return MHD_YES;
    }
    if (*size > 0) {
        if (*size > GH_IDPD_BODY - p->body.len)
            p->too_big = true;
        else
            gh_buffer_append(&p->body, gh_slice(data, *size));
        *size = 0;
        return MHD_YES;
    }
    return answer(ctx, c, method, p);
}

static void
on_done(void *ctx, struct MHD_Connection *c, void **state,
        enum MHD_RequestTerminationCode code)
{
    struct pending *p = *state;

    if (p == NULL)
        return;
    if (p->body.data != NULL)
        explicit_bzero(p->body.data, p->body.cap); /* may be a secret */
    gh_buffer_finish(&p->body);
    free(p->target);
    free(p);
    *state = NULL;
}

static void
on_message(void *ctx, const char *fmt, va_list ap)
{
    char text[256];
    size_t n;

    vsnprintf(text, sizeof(text), fmt, ap);
    n = strcspn(text, "\n");
    gh_log(GH_LOG_DEBUG, "http: %.*s", (int)n, text);
}

/* ---- the socket */

/* Made beside its place and renamed: who sees it can connect, and an old one
 * of an earlier life gives way without a gap. */
static int
listen_on(struct gh_idpd *d, struct gh_error *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd, n = snprintf(a.sun_path, sizeof(a.sun_path), "%s.new", d->o.sock);

    if (n < 0 || (size_t)n >= sizeof(a.sun_path))
        return gh_error_set(e, GH_EINVAL, "%s: too long for a socket",
                            d->o.sock);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return gh_error_sys(e, errno, "socket");
    unlink(a.sun_path);
    if (bind(fd, (struct sockaddr *)&a, sizeof(a)) != 0 ||
        chmod(a.sun_path, 0660) != 0 ||
        (d->group != (gid_t)-1 &&
         chown(a.sun_path, (uid_t)-1, d->group) != 0) ||
        listen(fd, 512) != 0 || rename(a.sun_path, d->o.sock) != 0) {
        gh_error_sys(e, errno, "%s", d->o.sock);
        close(fd);
        return -1;
    }
    return fd;
}

int
gh_idpd_http_start(struct gh_idpd *d, struct gh_error *e)
{
    int fd = listen_on(d, e);

    if (fd < 0)
        return -1;
    d->http = MHD_start_daemon(
        MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD |
            MHD_USE_POLL | MHD_USE_ITC | MHD_USE_ERROR_LOG,
        0, NULL, NULL, on_request, d, MHD_OPTION_EXTERNAL_LOGGER, on_message,
        NULL, MHD_OPTION_LISTEN_SOCKET, fd, MHD_OPTION_URI_LOG_CALLBACK,
        on_target, NULL, MHD_OPTION_UNESCAPE_CALLBACK, no_unescape, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)CONNECTIONS, MHD_OPTION_CONNECTION_TIMEOUT, IDLE_SECONDS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_MEMORY,
        MHD_OPTION_THREAD_STACK_SIZE, STACK_SIZE, MHD_OPTION_STRICT_FOR_CLIENT,
        1, MHD_OPTION_END);
    if (d->http == NULL) {
        close(fd);
        return gh_error_set(e, GH_EIO, "%s: libmicrohttpd won't start",
                            d->o.sock);
    }
    return 0;
}

void
gh_idpd_http_stop(struct gh_idpd *d)
{
    if (d->http != NULL)
        MHD_stop_daemon(d->http);
    d->http = NULL;
}
