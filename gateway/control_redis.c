/* SPDX-License-Identifier: Apache-2.0 */
#include "control_redis.h"

#include "encode.h"

#include <stdlib.h>

redisContext *
gh_control_redis(struct gh_control *c, struct gh_error *e)
{
    static const struct timeval connect = {0, 300000}, command = {1, 0};
    const char *at = c->o.redis, *colon;
    redisContext *redis;
    char host[256];
    uint64_t port;

    if (at == NULL || *at == '\0') {
        gh_error_set(e, GH_EUNAVAILABLE,
                     "no Redis is configured: start gatehouse-control with "
                     "--redis");
        return NULL;
    }
    if (strncmp(at, "redis://", 8) == 0)
        at += 8;
    if (strncmp(at, "unix:", 5) == 0)
        redis = redisConnectUnixWithTimeout(at + 5, connect);
    else {
        colon = strrchr(at, ':');
        if (colon == NULL || colon == at ||
            gh_parse_u64(gh_slice_str(colon + 1), 1, 65535, &port) != 0 ||
            gh_slice_copy(gh_slice(at, (size_t)(colon - at)), host,
                          sizeof(host)) != 0) {
            gh_error_set(e, GH_EINVAL,
                         "Redis' address \"%s\" is not "
                         "unix:/PATH or HOST:PORT",
                         at);
            return NULL;
        }
        redis = redisConnectWithTimeout(host, (int)port, connect);
    }
    if (redis == NULL || redis->err != 0) {
        gh_error_set(e, GH_EUNAVAILABLE, "Redis at %s: %s", at,
                     redis != NULL ? redis->errstr : "out of memory");
        if (redis != NULL)
            redisFree(redis);
        return NULL;
    }
    redisSetTimeout(redis, command);
    return redis;
}
