/* SPDX-License-Identifier: Apache-2.0 */
/* How the parts are, and what to do where one is not well. */
#include "control.h"

#include "control_redis.h"
#include "house.h"

#include <lmdb.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

/* ---- parts: {"state": "up" | "down" | ..., "detail"} */

static json_t *
peer_part(const char *socket, const char *path)
{
    struct gh_buffer answer = GH_BUFFER_INIT;
    struct gh_error e;
    json_t *o, *detail;
    long status;

    if (gh_control_peer(socket, "GET", path, gh_slice(NULL, 0), &answer,
                        &status, &e) != 0)
        o = json_pack("{s:s, s:s}", "state", "down", "error", e.message);
    else if (status != 200)
        o = json_pack("{s:s, s:I}", "state", "down", "status",
                      (json_int_t)status);
    else {
        o = json_pack("{s:s}", "state", "up");
        detail = json_loadb((const char *)answer.data, answer.len, 0, NULL);
        if (detail != NULL)
            json_object_set_new(o, "detail", detail);
    }
    gh_buffer_finish(&answer);
    return o;
}

static const char *
info_value(const char *info, const char *key, char *out, size_t size)
{
    const char *p = strstr(info, key);

    *out = '\0';
    if (p == NULL)
        return out;
    p += strlen(key);
    snprintf(out, size, "%.*s", (int)strcspn(p, "\r\n"), p);
    return out;
}

static json_t *
redis_part(struct gh_control *c)
{
    struct gh_error e;
    redisContext *redis;
    redisReply *reply;
    char version[32], used[32], policy[32];
    json_t *o;

    if (c->o.redis == NULL || c->o.redis[0] == '\0')
        return json_pack("{s:s}", "state", "none");
    redis = gh_control_redis(c, &e);
    if (redis == NULL)
        return json_pack("{s:s, s:s}", "state", "down", "error", e.message);
    reply = redisCommand(redis, "INFO");
    if (reply == NULL || reply->type != REDIS_REPLY_STRING)
        o = json_pack("{s:s, s:s}", "state", "down", "error",
                      reply != NULL && reply->type == REDIS_REPLY_ERROR
                          ? reply->str
                          : redis->errstr);
    else
        o = json_pack(
            "{s:s, s:s, s:s, s:s, s:s}", "state", "up", "address", c->o.redis,
            "version",
            info_value(reply->str, "redis_version:", version, sizeof(version)),
            "memory",
            info_value(reply->str, "used_memory_human:", used, sizeof(used)),
            "policy",
            info_value(reply->str, "maxmemory_policy:", policy,
                       sizeof(policy)));
    freeReplyObject(reply);
    redisFree(redis);
    return o;
}

static json_t *
catalog_part(struct gh_control *c)
{
    char path[600];
    struct stat st;
    json_t *o =
        json_pack("{s:s, s:I, s:I}", "state", "up", "generation",
                  (json_int_t)c->generation, "map_mb", (json_int_t)c->o.map_mb);

    snprintf(path, sizeof(path), "%s/catalog/data.mdb", c->o.dir);
    if (stat(path, &st) == 0)
        json_object_set_new(o, "bytes", json_integer(st.st_size));
    return o;
}

static json_t *
counts(struct gh_control *c)
{
    json_t *o = json_object(), *of;
    const char *app;
    size_t keys = 0;

    for (int k = 0; k < GH_KINDS; k++)
        json_object_set_new(
            o, gh_kind_plural(k),
            json_integer((json_int_t)json_object_size(c->items.of[k])));
    json_object_foreach(c->keys, app, of)
    {
        keys += json_object_size(of);
    }
    json_object_set_new(o, "keys", json_integer((json_int_t)keys));
    return o;
}

static json_t *
house_part(struct gh_control *c)
{
    json_t *o = c->house != NULL ? gh_house_status(c->house) : NULL;

    return o != NULL ? o : json_pack("{s:s}", "launcher", "none");
}

static json_t *
status(struct gh_control *c)
{
    char started[32];

    return json_pack("{s:{s:s, s:s, s:I, s:I}, s:o, s:o, s:o, s:o, s:o, s:o}",
                     "control", "state", "up", "started",
                     gh_control_time_text(c->started_ms, started), "pid",
                     (json_int_t)getpid(), "uid", (json_int_t)geteuid(),
                     "catalog", catalog_part(c), "items", counts(c), "gate",
                     peer_part(c->o.gate_socket, "/status"), "idp",
                     peer_part(c->o.idp_socket, "/internal/status"), "redis",
                     redis_part(c), "house", house_part(c));
}

int
gh_control_status(struct gh_request *r)
{
    return gh_request_answer(r, 200, status(r->c));
}

/* ---- doctor */

enum health { OK, WARN, FAIL };

static void check(json_t *list, const char *name, enum health h,
                  const char *advice, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

static void
check(json_t *list, const char *name, enum health h, const char *advice,
      const char *fmt, ...)
{
    static const char *const words[] = {"ok", "warn", "fail"};
    char text[400];
    va_list ap;
    json_t *one;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    one = json_pack("{s:s, s:s, s:s}", "check", name, "state", words[h],
                    "detail", text);
    if (h != OK && advice != NULL)
        json_object_set_new(one, "advice", json_string(advice));
    json_array_append_new(list, one);
}

static const char *
text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));

    return s != NULL ? s : "";
}

static void
check_peer(json_t *list, const json_t *s, const char *part, const char *advice)
{
    const json_t *o = json_object_get(s, part);
    bool up = strcmp(text(o, "state"), "up") == 0;

    check(list, part, up ? OK : FAIL, advice, "%s%s%s", text(o, "state"),
          up || *text(o, "error") == '\0' ? "" : ": ", text(o, "error"));
}

/* What the gate itself sees: its catalog, its Redis. */
static void
check_gate(json_t *list, const json_t *s, const struct gh_control *c)
{
    const json_t *d = json_object_get(json_object_get(s, "gate"), "detail");
    const json_t *generation = json_object_get(d, "generation");

    if (json_is_integer(generation) &&
        (uint64_t)json_integer_value(generation) != c->generation)
        check(list, "gate", FAIL,
              "see that gatehouse_catalog in nginx' configuration is this "
              "installation's, and reload nginx",
              "it reads generation %lld of the catalog, the last one is %llu",
              (long long)json_integer_value(generation),
              (unsigned long long)c->generation);
    if (json_is_true(json_object_get(d, "degraded")))
        check(list, "gate", WARN,
              "see that Redis runs and that gatehouse_redis names it",
              "its Redis is away: limits are bounded, not exact");
}

/* Providers whose keys could not be fetched, in gatehouse-idp's own words. */
static void
check_providers(json_t *list, const json_t *s)
{
    const json_t *d = json_object_get(json_object_get(s, "idp"), "detail");
    const json_t *p;
    size_t i;

    if (json_is_false(json_object_get(d, "redis")))
        check(list, "idp", WARN, "start Redis: logins need it",
              "gatehouse-idp's Redis is away");
    json_array_foreach(json_object_get(d, "providers"), i, p)
    {
        if (json_is_false(json_object_get(p, "good")) &&
            *text(p, "problem") != '\0')
            check(list, "idp", WARN,
                  "see that the issuer is right and reachable from here",
                  "idp \"%s\": %s", text(p, "name"), text(p, "problem"));
    }
}

static void
check_redis(json_t *list, const json_t *s)
{
    const json_t *o = json_object_get(s, "redis");
    const char *policy = text(o, "policy");

    if (strcmp(text(o, "state"), "none") == 0)
        check(list, "redis", WARN,
              "start with --redis unix:/PATH or HOST:PORT: limits are only "
              "bounded without it",
              "none is configured");
    else if (strcmp(text(o, "state"), "up") != 0)
        check(list, "redis", FAIL,
              "start Redis, or correct --redis; until then what is leased is "
              "spent, then plans' on_store_down holds",
              "%s", text(o, "error"));
    else if (*policy != '\0' && strcmp(policy, "noeviction") != 0)
        check(list, "redis", WARN,
              "set maxmemory-policy noeviction: evicted counters are lost "
              "limits",
              "version %s, maxmemory-policy %s", text(o, "version"), policy);
    else
        check(list, "redis", OK, NULL, "version %s, %s in use",
              text(o, "version"), text(o, "memory"));
}

static void
check_catalog(json_t *list, struct gh_control *c)
{
    json_t *o = catalog_part(c);
    uint64_t bytes = (uint64_t)json_integer_value(json_object_get(o, "bytes"));
    uint64_t map = c->o.map_mb << 20;
    struct statvfs fs;

    json_decref(o);
    check(list, "catalog", bytes > map / 10 * 8 ? WARN : OK,
          "start gatehouse-control with a larger --map-size",
          "generation %llu, %llu of %llu MiB used",
          (unsigned long long)c->generation, (unsigned long long)(bytes >> 20),
          (unsigned long long)c->o.map_mb);
    if (statvfs(c->o.dir, &fs) == 0) {
        uint64_t free_mb = (uint64_t)fs.f_bavail * fs.f_frsize >> 20;

        check(list, "disk",
              free_mb < 16    ? FAIL
              : free_mb < 256 ? WARN
                              : OK,
              "make room: edits are refused when the disk is full",
              "%llu MiB free at %s", (unsigned long long)free_mb, c->o.dir);
    }
}

static void
check_house(json_t *list, const json_t *s)
{
    const json_t *o = json_object_get(s, "house"), *lack;
    const char *launcher = text(o, "launcher");
    size_t i;

    check(list, "launcher", strcmp(launcher, "connected") == 0 ? OK : FAIL,
          "start everything with `gatehouse up`; services that run go on", "%s",
          launcher);
    json_array_foreach(json_object_get(o, "lacks"), i, lack)
    {
        check(list, "kernel", WARN,
              "services run without it; see docs for what that means", "%s",
              json_string_value(lack) != NULL ? json_string_value(lack) : "?");
    }
}

static void
check_versions(json_t *list)
{
    struct utsname u;

    uname(&u);
    check(list, "versions", OK, NULL,
          "%s %s, libmicrohttpd %s, %s, jansson %s, hiredis %d.%d.%d",
          u.sysname, u.release, MHD_get_version(),
          mdb_version(NULL, NULL, NULL), JANSSON_VERSION, HIREDIS_MAJOR,
          HIREDIS_MINOR, HIREDIS_PATCH);
}

/* What is right by the schema and yet can serve nobody. */
static void
check_items(json_t *list, struct gh_control *c)
{
    const char *name;
    json_t *item;

    json_object_foreach(c->items.of[GH_KIND_IDP], name, item)
    {
        const json_t *found = json_object_get(c->discovered, name);
        size_t keys = json_array_size(json_object_get(item, "keys")) +
                      json_array_size(json_object_get(found, "keys"));

        if (keys == 0)
            check(list, "idp", WARN,
                  "see that gatehouse-idp reaches the issuer: its log says "
                  "why not",
                  "idp \"%s\" has no keys yet: all its tokens are refused",
                  name);
        if (json_object_get(item, "client_id") != NULL &&
            json_object_get(c->prints, name) == NULL)
            check(list, "idp", WARN,
                  "apply it with client_secret, unless it is a public client",
                  "idp \"%s\" has a client_id but no secret", name);
    }
    json_object_foreach(c->items.of[GH_KIND_SERVICE], name, item)
    {
        const char *state = text(json_object_get(c->runtime, name), "state");

        if (json_object_get(item, "compose") != NULL &&
            strcmp(state, "up") != 0 &&
            !json_is_true(json_object_get(item, "disabled")))
            check(list, "service", WARN,
                  "gatehouse service show NAME and gatehouse service logs "
                  "NAME say more",
                  "service \"%s\" is %s", name,
                  *state != '\0' ? state : "not running");
    }
}

int
gh_control_doctor(struct gh_request *r)
{
    json_t *list = json_array(), *s = status(r->c), *one;
    bool good = true;
    size_t i;

    check(list, "control", OK, NULL, "up since %s",
          text(json_object_get(s, "control"), "started"));
    check_catalog(list, r->c);
    check_redis(list, s);
    check_peer(list, s, "gate",
               "start nginx with the gate's internal location on gate.sock; "
               "`nginx -t` says what is wrong with its configuration");
    check_peer(list, s, "idp",
               "gatehoused starts gatehouse-idp; its log says why it ends. "
               "Keys and known tokens go on working, logins do not");
    check_gate(list, s, r->c);
    check_providers(list, s);
    check_house(list, s);
    check_versions(list);
    check_items(list, r->c);
    json_decref(s);
    json_array_foreach(list, i, one)
    {
        if (strcmp(text(one, "state"), "fail") == 0)
            good = false;
    }
    return gh_request_answer(
        r, 200, json_pack("{s:b, s:o}", "ok", (int)good, "checks", list));
}
