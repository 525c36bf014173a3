/* SPDX-License-Identifier: Apache-2.0 */
/* A short-lived connection to Redis with short timeouts; admins' calls only. */
#ifndef GH_CONTROL_REDIS_H
#define GH_CONTROL_REDIS_H

#include "control.h"

#include <hiredis/hiredis.h>

/* 300 ms to connect, 1 s per command. NULL: GH_EUNAVAILABLE; redisFree() it. */
redisContext *gh_control_redis(struct gh_control *c, struct gh_error *e);

/* [{scope, of, api, metric, period, mode, value, used, leased, left,
 * reset_ms}] of an application and its account; NULL with the error. */
json_t *gh_control_limits(struct gh_control *c, redisContext *redis,
                          const char *app, struct gh_error *e);

#endif
