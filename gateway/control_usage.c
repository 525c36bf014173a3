/* SPDX-License-Identifier: Apache-2.0 */
/* Usage from Redis, decisions from the gate. */
#include "control.h"

#include "control_redis.h"
#include "encode.h"
#include "log.h"
#include "meter.h"
#include "period.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define HOUR_MS UINT64_C(3600000)
#define HOURS_MAX (UINT64_C(24) * 366 * 2)
#define KEYS_MAX 100000 /* asked for in one answer */

struct asking {
    struct gh_request *r;
    const char *app;
    enum gh_period period;
    uint64_t from, to; /* ms, on whole hours */
};

/* "2026-01-02T03:00:00Z", "2026-01-02" or a duration back from now. */
static int
parse_when(const char *text, uint64_t now, uint64_t *out)
{
    struct tm tm = {0};
    const char *end;
    uint64_t ms;

    if (gh_parse_duration(gh_slice_str(text), &ms) == 0 && ms < now) {
        *out = now - ms;
        return 0;
    }
    end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end == NULL) {
        memset(&tm, 0, sizeof(tm));
        end = strptime(text, "%Y-%m-%d", &tm);
    }
    if (end == NULL || *end != '\0' || timegm(&tm) < 0)
        return -1;
    *out = (uint64_t)timegm(&tm) * 1000;
    return 0;
}

static uint64_t
usual_span(enum gh_period p)
{
    switch (p) {
    case GH_HOUR:
        return 24 * HOUR_MS;
    case GH_DAY:
        return 7 * 24 * HOUR_MS;
    case GH_WEEK:
        return 8 * 7 * 24 * HOUR_MS;
    case GH_MONTH:
        return 365 * 24 * HOUR_MS;
    default:
        return HOUR_MS; /* this year */
    }
}

/* 0, or 1 after an answer. */
static int
parse_query(struct asking *q)
{
    const char *period = gh_request_query(q->r, "period");
    const char *from = gh_request_query(q->r, "from");
    const char *to = gh_request_query(q->r, "to");
    uint64_t now = gh_control_now_ms();

    q->period = GH_HOUR;
    if (period != NULL &&
        (gh_period_parse(gh_slice_str(period), &q->period) != 0 ||
         q->period < GH_HOUR || q->period > GH_YEAR))
        return gh_request_fail(q->r, 422, "invalid",
                               "period is hour, day, week, month or year"),
               1;
    q->to = now;
    if (to != NULL && parse_when(to, now, &q->to) != 0)
        return gh_request_fail(q->r, 422, "invalid", "\"to\" is no time"), 1;
    q->from = q->to - usual_span(q->period);
    if (from != NULL && parse_when(from, now, &q->from) != 0)
        return gh_request_fail(q->r, 422, "invalid",
                               "\"from\" is no time: 2026-01-02, "
                               "2026-01-02T03:00:00Z, or 7d"),
               1;
    q->from = gh_period_window(q->period, q->from).start_ms;
    q->to = (q->to / HOUR_MS + 1) * HOUR_MS;
    if (q->from >= q->to || (q->to - q->from) / HOUR_MS > HOURS_MAX)
        return gh_request_fail(q->r, 422, "invalid",
                               "from must be before to, by two years at most"),
               1;
    return 0;
}

/* The metrics that the application's plan can count, "hits" first. */
static json_t *
metrics_of(struct gh_control *c, const char *app)
{
    const json_t *item = gh_items_get(&c->items, GH_KIND_APP, app), *one, *m;
    const char *plan = json_string_value(json_object_get(item, "plan"));
    json_t *set = json_object(), *list = json_array();
    const char *name;
    json_t *v;
    size_t i, j;

    json_object_set_new(set, "hits", json_true());
    json_array_foreach(
        json_object_get(gh_items_get(&c->items, GH_KIND_PLAN, plan), "apis"), i,
        one)
    {
        const json_t *api =
            gh_items_get(&c->items, GH_KIND_API,
                         json_string_value(json_object_get(one, "api")));

        json_array_foreach(json_object_get(api, "metrics"), j, m)
        {
            json_object_set_new(set,
                                json_string_value(json_object_get(m, "name")),
                                json_true());
        }
    }
    json_object_foreach(set, name, v)
    {
        json_array_append_new(list, json_string(name));
    }
    json_decref(set);
    return list;
}

static json_t *
figures(const uint64_t sums[GH_FIGURES])
{
    json_t *o = json_object();

    for (int f = 0; f < GH_FIGURES; f++)
        json_object_set_new(o, gh_figure_name(f),
                            json_integer((json_int_t)sums[f]));
    return o;
}

/* One metric's series, its hours asked for in one pipeline. */
static int
series(struct asking *q, redisContext *redis, const char *metric, json_t *out,
       struct gh_error *e)
{
    uint64_t first = q->from / HOUR_MS, last = q->to / HOUR_MS;
    uint64_t sums[GH_FIGURES], total[GH_FIGURES] = {0}, ends = 0;
    json_t *points = json_array(), *point = NULL, *o;
    char key[GH_METER_KEY_SIZE], at[32];
    redisReply *reply;

    for (uint64_t h = first; h < last; h++) {
        if (gh_meter_key(gh_slice_str(q->app), gh_slice_str(metric), h, key) !=
            0)
            return gh_error_set(e, GH_EINVAL, "the metric's name is too long");
        redisAppendCommand(redis, "HGETALL %s", key);
    }
    memset(sums, 0, sizeof(sums));
    for (uint64_t h = first; h < last; h++) {
        uint64_t ms = h * HOUR_MS;

        if (ms >= ends) {
            struct gh_window w = gh_period_window(q->period, ms);

            if (point != NULL)
                json_object_update_new(point, figures(sums));
            memset(sums, 0, sizeof(sums));
            ends = w.end_ms;
            point =
                json_pack("{s:s}", "at",
                          gh_control_time_text(
                              w.start_ms < q->from ? q->from : w.start_ms, at));
            json_array_append_new(points, point);
        }
        if (redisGetReply(redis, (void **)&reply) != REDIS_OK) {
            json_decref(points);
            return gh_error_set(e, GH_EUNAVAILABLE, "Redis: %s", redis->errstr);
        }
        if (reply->type == REDIS_REPLY_ERROR) {
            gh_error_set(e, GH_EUNAVAILABLE, "Redis: %.200s", reply->str);
            freeReplyObject(reply);
            json_decref(points);
            return -1;
        }
        {
            uint64_t before[GH_FIGURES];

            memcpy(before, sums, sizeof(sums));
            if (gh_meter_sum(reply, sums) != 0)
                gh_log(GH_LOG_WARN, "usage: an hour of %s does not decode",
                       q->app);
            for (int f = 0; f < GH_FIGURES; f++)
                total[f] += sums[f] - before[f];
        }
        freeReplyObject(reply);
    }
    if (point != NULL)
        json_object_update_new(point, figures(sums));
    o = json_pack("{s:s, s:o, s:o}", "metric", metric, "total", figures(total),
                  "points", points);
    return json_array_append_new(out, o);
}

static int
all_series(struct asking *q, redisContext *redis, const json_t *metrics,
           json_t *out, struct gh_error *e)
{
    const json_t *m;
    size_t i;

    json_array_foreach(metrics, i, m)
    {
        if (series(q, redis, json_string_value(m), out, e) != 0)
            return -1;
    }
    return 0;
}

static void
answer_usage(struct asking *q, const json_t *metrics)
{
    json_t *out = json_array(), *limits = NULL;
    char from[32], to[32];
    redisContext *redis;
    struct gh_error e;

    redis = gh_control_redis(q->r->c, &e);
    if (redis != NULL && all_series(q, redis, metrics, out, &e) == 0)
        limits = gh_control_limits(q->r->c, redis, q->app, &e);
    if (redis != NULL)
        redisFree(redis);
    if (limits == NULL) {
        json_decref(out);
        gh_request_error(q->r, &e);
        return;
    }
    gh_request_answer(q->r, 200,
                      json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "app", q->app,
                                "period", gh_period_name(q->period), "from",
                                gh_control_time_text(q->from, from), "to",
                                gh_control_time_text(q->to, to), "limits",
                                limits, "series", out));
}

int
gh_control_usage(struct gh_request *r)
{
    struct asking q = {.r = r, .app = r->param[0]};
    const char *metric = gh_request_query(r, "metric");
    json_t *metrics;

    if (gh_items_get(&r->c->items, GH_KIND_APP, q.app) == NULL)
        return gh_request_not_found(r, "app", q.app);
    if (parse_query(&q) != 0)
        return 0;
    if (metric != NULL && !gh_name_valid(gh_slice_str(metric)))
        return gh_request_fail(r, 422, "invalid", "metric is no name");
    metrics =
        metric != NULL ? json_pack("[s]", metric) : metrics_of(r->c, q.app);
    if (json_array_size(metrics) * ((q.to - q.from) / HOUR_MS) > KEYS_MAX)
        gh_request_fail(r, 422, "too_big",
                        "too many hours and metrics at once: name a metric, "
                        "or a shorter time");
    else
        answer_usage(&q, metrics);
    json_decref(metrics);
    return 0;
}

/* ---- decisions */

/* The gate knows the key's id; its label and state are ours. */
static void
add_key(struct gh_control *c, json_t *decision)
{
    const char *app =
        json_string_value(json_object_get(decision, "application"));
    const char *id = json_string_value(json_object_get(decision, "credential"));
    json_t *key = NULL;

    if (app != NULL && id != NULL)
        key = gh_control_show_key(c, app, id);
    if (key != NULL)
        json_object_set_new(decision, "key", key);
}

int
gh_control_decision(struct gh_request *r)
{
    const char *id = r->param[0];
    struct gh_buffer answer = GH_BUFFER_INIT;
    struct gh_error e;
    char path[80];
    long status;
    json_t *v;

    if (strlen(id) != 26 ||
        strspn(id, "0123456789ABCDEFGHJKMNPQRSTVWXYZabcdefghjkmnpqrstvwxyz") !=
            26)
        return gh_request_fail(r, 422, "invalid",
                               "\"%s\" is no decision id: 26 letters and "
                               "digits, from an answer's `decision`",
                               id);
    snprintf(path, sizeof(path), "/decisions/%s", id);
    if (gh_control_peer(r->c->o.gate_socket, "GET", path, gh_slice(NULL, 0),
                        &answer, &status, &e) != 0) {
        gh_buffer_finish(&answer);
        gh_error_wrap(&e, "the gate does not answer");
        return gh_request_error(r, &e);
    }
    v = json_loadb((const char *)answer.data, answer.len, 0, NULL);
    gh_buffer_finish(&answer);
    if (status == 404) {
        json_decref(v);
        return gh_request_fail(r, 404, "not_found",
                               "the gate does not remember decision %s: it "
                               "keeps the last few minutes",
                               id);
    }
    if (status != 200 || !json_is_object(v)) {
        json_decref(v);
        return gh_request_fail(r, 503, "unavailable", "the gate answered %ld",
                               status);
    }
    add_key(r->c, v);
    return gh_request_answer(r, 200, v);
}
