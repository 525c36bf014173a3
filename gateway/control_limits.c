/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far the limits that hold an application are used up in their present
 * windows, as the gate's hosts told Redis (the leases' hashes:
 * plans/README.md).
 */
#include "control_redis.h"

#include "encode.h"
#include "period.h"

#include <stdio.h>
#include <stdlib.h>

struct totals {
    uint64_t window_s;
    long long adjust;
    uint64_t used, leased;
};

static const char *
text(const json_t *o, const char *key, const char *standard)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : standard;
}

static enum gh_period
period_of(const json_t *limit)
{
    enum gh_period p = GH_MINUTE;

    (void)gh_period_parse(gh_slice_str(text(limit, "period", "minute")), &p);
    return p;
}

/* "granted given extra spent refused" of one life of a cell. */
static void
add_life(const char *s, struct totals *t)
{
    unsigned long long granted, given, extra, spent;

    if (sscanf(s, "%llu %llu %llu %llu", &granted, &given, &extra, &spent) != 4)
        return;
    t->used += spent + extra;
    t->leased += extra + (granted > given ? granted - given : 0);
}

static void
sum(const redisReply *r, struct totals *t)
{
    memset(t, 0, sizeof(*t));
    if (r->type != REDIS_REPLY_ARRAY)
        return;
    for (size_t i = 0; i + 1 < r->elements; i += 2) {
        const char *field = r->element[i]->str, *v = r->element[i + 1]->str;

        if (field == NULL || v == NULL)
            continue;
        if (strcmp(field, "w") == 0)
            (void)gh_parse_u64(gh_slice_str(v), 0, UINT64_MAX, &t->window_s);
        else if (strcmp(field, "adj") == 0)
            t->adjust = atoll(v);
        else
            add_life(v, t);
    }
}

static json_t *
row(char scope, const char *owner, const json_t *limit, const redisReply *r)
{
    uint64_t now = gh_control_now_ms();
    struct gh_window w = gh_period_window(period_of(limit), now);
    long long value = json_integer_value(json_object_get(limit, "value"));
    struct totals t;
    json_t *o;

    sum(r, &t);
    if (t.window_s * 1000 != w.start_ms)
        memset(&t, 0, sizeof(t)); /* of a window that is over */
    value += t.adjust;
    o = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I}", "scope",
        scope == 'a' ? "application" : "account", "of", owner, "metric",
        text(limit, "metric", "hits"), "period",
        text(limit, "period", "minute"), "mode", text(limit, "mode", "hard"),
        "value", (json_int_t)value, "used", (json_int_t)t.used, "leased",
        (json_int_t)t.leased, "left",
        (json_int_t)((long long)t.leased < value ? value - (long long)t.leased
                                                 : 0));
    if (json_object_get(limit, "api") != NULL)
        json_object_set(o, "api", json_object_get(limit, "api"));
    if (w.end_ms != GH_PERIOD_NO_END)
        json_object_set_new(o, "reset_ms",
                            json_integer((json_int_t)(w.end_ms - now)));
    return o;
}

static int
scope_limits(struct gh_control *c, redisContext *redis, char scope,
             const char *owner, const char *plan, json_t *out,
             struct gh_error *e)
{
    const json_t *list =
        json_object_get(gh_items_get(&c->items, GH_KIND_PLAN, plan), "limits");
    const json_t *limit;
    redisReply *reply;
    char key[320];
    size_t i;

    json_array_foreach(list, i, limit)
    {
        snprintf(key, sizeof(key), "gh:{%c:%s}:l:%s:%s:%s", scope, owner,
                 text(limit, "api", "-"), text(limit, "metric", "hits"),
                 text(limit, "period", "minute"));
        redisAppendCommand(redis, "HGETALL %s", key);
    }
    json_array_foreach(list, i, limit)
    {
        if (redisGetReply(redis, (void **)&reply) != REDIS_OK)
            return gh_error_set(e, GH_EUNAVAILABLE, "Redis: %s", redis->errstr);
        json_array_append_new(out, row(scope, owner, limit, reply));
        freeReplyObject(reply);
    }
    return 0;
}

json_t *
gh_control_limits(struct gh_control *c, redisContext *redis, const char *app,
                  struct gh_error *e)
{
    const json_t *item = gh_items_get(&c->items, GH_KIND_APP, app);
    const char *account = text(item, "account", "");
    const char *total =
        text(gh_items_get(&c->items, GH_KIND_ACCOUNT, account), "plan", NULL);
    json_t *out = json_array();

    if (scope_limits(c, redis, 'a', app, text(item, "plan", ""), out, e) != 0 ||
        (total != NULL &&
         scope_limits(c, redis, 'c', account, total, out, e) != 0)) {
        json_decref(out);
        return NULL;
    }
    return out;
}
