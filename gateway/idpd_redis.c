/* SPDX-License-Identifier: Apache-2.0 */
/* A few connections, each used by one thread at a time. */
#include "idpd.h"

#include "encode.h"

#include <errno.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define IDLE_MAX 8
#define TIMEOUT_MS 1000

struct gh_idpd_redis {
    char *path; /* a unix socket, or NULL */
    char host[256];
    int port;
    pthread_mutex_t lock;
    redisContext *idle[IDLE_MAX];
    size_t n;
};

static int
parse(const char *address, struct gh_idpd_redis *r)
{
    const char *colon;
    uint64_t port;

    if (strncmp(address, "redis://", 8) == 0)
        address += 8;
    if (strncmp(address, "unix:", 5) == 0) {
        r->path = strdup(address + 5);
        return r->path == NULL || r->path[0] != '/' ? -1 : 0;
    }
    colon = strrchr(address, ':');
    if (colon == NULL || colon == address ||
        gh_parse_u64(gh_slice_str(colon + 1), 1, 65535, &port) != 0)
        return -1;
    r->port = (int)port;
    return gh_slice_copy(gh_slice(address, (size_t)(colon - address)), r->host,
                         sizeof(r->host));
}

int
gh_idpd_redis_create(const char *address, struct gh_idpd_redis **out,
                     struct gh_error *e)
{
    struct gh_idpd_redis *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return gh_error_set(e, GH_ENOMEM, "redis: no memory");
    pthread_mutex_init(&r->lock, NULL);
    if (parse(address, r) != 0) {
        gh_idpd_redis_destroy(r);
        return gh_error_set(e, GH_EINVAL,
                            "redis: \"%s\" is neither unix:/PATH nor "
                            "HOST:PORT",
                            address);
    }
    *out = r;
    return 0;
}

void
gh_idpd_redis_destroy(struct gh_idpd_redis *r)
{
    if (r == NULL)
        return;
    while (r->n > 0)
        redisFree(r->idle[--r->n]);
    pthread_mutex_destroy(&r->lock);
    free(r->path);
    free(r);
}

static redisContext *
connect_new(struct gh_idpd_redis *r, struct gh_error *e)
{
    struct timeval timeout = {TIMEOUT_MS / 1000, TIMEOUT_MS % 1000 * 1000};
    redisContext *c = r->path != NULL
                          ? redisConnectUnixWithTimeout(r->path, timeout)
                          : redisConnectWithTimeout(r->host, r->port, timeout);

    if (c != NULL && c->err == 0 && redisSetTimeout(c, timeout) == REDIS_OK)
        return c;
    gh_error_set(e, GH_EUNAVAILABLE, "redis: %s",
                 c == NULL ? "no memory" : c->errstr);
    redisFree(c);
    return NULL;
}

/* An idle connection with something to read was closed by the other side. */
static bool
fresh(redisContext *c)
{
    struct pollfd p = {c->fd, POLLIN, 0};

    return poll(&p, 1, 0) == 0;
}

static redisContext *
take(struct gh_idpd_redis *r, struct gh_error *e)
{
    redisContext *c = NULL;

    pthread_mutex_lock(&r->lock);
    while (c == NULL && r->n > 0) {
        c = r->idle[--r->n];
        if (!fresh(c)) {
            redisFree(c);
            c = NULL;
        }
    }
    pthread_mutex_unlock(&r->lock);
    return c != NULL ? c : connect_new(r, e);
}

static void
give_back(struct gh_idpd_redis *r, redisContext *c)
{
    pthread_mutex_lock(&r->lock);
    if (c->err == 0 && r->n < IDLE_MAX) {
        r->idle[r->n++] = c;
        c = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    redisFree(c);
}

/* One command, one answer; NULL when there is none or it is an error. */
static redisReply *
command(struct gh_idpd_redis *r, struct gh_error *e, const char *fmt, ...)
{
    redisContext *c = take(r, e);
    redisReply *reply;
    va_list ap;

    if (c == NULL)
        return NULL;
    va_start(ap, fmt);
    reply = redisvCommand(c, fmt, ap);
    va_end(ap);
    if (reply == NULL) {
        gh_error_set(e, GH_EUNAVAILABLE, "redis: %s", c->errstr);
    } else if (reply->type == REDIS_REPLY_ERROR) {
        gh_error_set(e, GH_EUNAVAILABLE, "redis: %.100s", reply->str);
        freeReplyObject(reply);
        reply = NULL;
    }
    give_back(r, c);
    return reply;
}

int
gh_idpd_redis_once(struct gh_idpd_redis *r, const char *digest, uint64_t ms,
                   struct gh_error *e)
{
    redisReply *reply = command(r, e, "SET gh:{l:%s} 1 NX PX %llu", digest,
                                (unsigned long long)ms);
    int rc;

    if (reply == NULL)
        return -1;
    rc = reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    return rc;
}

int
gh_idpd_redis_store(struct gh_idpd_redis *r, const char *d,
                    struct gh_slice sealed, uint64_t ms, struct gh_error *e)
{
    redisReply *reply =
        command(r, e, "SET gh:{s:%s} %b PX %llu", d, sealed.data, sealed.len,
                (unsigned long long)ms);

    if (reply == NULL)
        return -1;
    freeReplyObject(reply);
    return 0;
}

int
gh_idpd_redis_load(struct gh_idpd_redis *r, const char *d,
                   struct gh_buffer *out, struct gh_error *e)
{
    redisReply *reply = command(r, e, "GET gh:{s:%s}", d);
    int rc;

    if (reply == NULL)
        return -1;
    rc = reply->type == REDIS_REPLY_STRING &&
         reply->len <= GH_SESSION_RECORD_MAX;
    if (rc == 1)
        gh_buffer_append(out, gh_slice(reply->str, reply->len));
    freeReplyObject(reply);
    return out->failed ? gh_error_set(e, GH_ENOMEM, "redis: no memory") : rc;
}

int
gh_idpd_redis_revoke(struct gh_idpd_redis *r, const char *d, struct gh_error *e)
{
    redisReply *reply = command(r, e, "DEL gh:{s:%s}", d);

    if (reply == NULL)
        return -1;
    freeReplyObject(reply);
    reply = command(r, e, "PUBLISH %s %s", GH_SESSION_CHANNEL, d);
    if (reply == NULL)
        return -1;
    freeReplyObject(reply);
    return 0;
}

bool
gh_idpd_redis_answers(struct gh_idpd_redis *r)
{
    redisReply *reply = command(r, NULL, "PING");

    if (reply == NULL)
        return false;
    freeReplyObject(reply);
    return true;
}
