/* SPDX-License-Identifier: Apache-2.0 */
/* A short-lived connection to Redis with short timeouts; admins' calls only. */
#ifndef GH_CONTROL_REDIS_H
#define GH_CONTROL_REDIS_H

#include "control.h"

#include <hiredis/hiredis.h>

/* 300 ms to connect, 1 s per command. NULL: GH_EUNAVAILABLE; redisFree() it. */
redisContext *gh_control_redis(struct gh_control *c, struct gh_error *e);

#endif
