/* SPDX-License-Identifier: Apache-2.0 */
/* Between the control API and the house: what runs, and where it is reached. */
#include "control.h"

#include "encode.h"
#include "house.h"
#include "log.h"
#include "model.h"

#include <stdlib.h>

#define RETRY_MS 1000u
#define FIRST_WORD_MS 5000u /* how long an adopted service may seem new */

static json_t *
runtime_of(const struct gh_service *s)
{
    json_t *endpoints = json_array();

    for (size_t i = 0; i < s->n; i++)
        json_array_append_new(endpoints,
                              json_pack("{s:s%, s:b}", "address",
                                        s->endpoints[i].address.data,
                                        s->endpoints[i].address.len, "healthy",
                                        (int)s->endpoints[i].healthy));
    return json_pack("{s:s%, s:o}", "state", s->state.data, s->state.len,
                     "endpoints", endpoints);
}

static int on_retry(sd_event_source *source, uint64_t usec, void *ctx);

/* A disk that is full now may have room later: tried until it is written. */
static void
retry_later(struct gh_control *c)
{
    if (c->retry == NULL)
        sd_event_add_time_relative(c->loop, &c->retry, CLOCK_MONOTONIC,
                                   RETRY_MS * 1000, 0, on_retry, c);
    else {
        sd_event_source_set_time_relative(c->retry, RETRY_MS * 1000);
        sd_event_source_set_enabled(c->retry, SD_EVENT_ONESHOT);
    }
}

static void
write_runtime(struct gh_control *c, const char *name, json_t *run)
{
    struct gh_error e;

    json_object_set_new(c->runtime, name, run);
    if (gh_items_get(&c->items, GH_KIND_SERVICE, name) == NULL)
        return; /* on its way out, or not stored yet: its store follows */
    if (gh_control_refresh(c, GH_KIND_SERVICE, name, &e) == 0)
        return;
    gh_log(GH_LOG_ERROR, "service %s: not published: %s", name, e.message);
    json_object_set_new(run, "unwritten", json_true());
    retry_later(c);
}

static int
on_retry(sd_event_source *source, uint64_t usec, void *ctx)
{
    struct gh_control *c = ctx;
    struct gh_error e;
    const char *name;
    json_t *run;

    json_object_foreach(c->runtime, name, run)
    {
        if (json_object_get(run, "unwritten") == NULL)
            continue;
        if (gh_control_refresh(c, GH_KIND_SERVICE, name, &e) == 0 ||
            e.code == GH_ENOTFOUND)
            json_object_del(run, "unwritten");
        else
            retry_later(c);
    }
    return 0;
}

/*
 * What the gate needs goes to the catalog at once, with one exception. After a
 * start of ours each service is "starting" until the house has found it
 * running; what the catalog says of it from before then goes on to hold, or
 * calls would be refused that it can answer.
 */
static void
on_publish(void *ctx, const struct gh_service *s, bool gone)
{
    struct gh_control *c = ctx;
    char name[GH_NAME_SIZE];
    json_t *old, *run;

    if (gh_slice_copy(s->name, name, sizeof(name)) != 0)
        return;
    if (gone) {
        json_object_del(c->runtime, name);
        return; /* the item's removal took its record away */
    }
    run = runtime_of(s);
    old = json_object_get(c->runtime, name);
    if (json_is_true(json_object_get(old, "before")) && s->n == 0 &&
        gh_slice_eq_str(s->state, "starting")) {
        json_object_set_new(old, "next", run);
        return;
    }
    json_object_del(old, "before");
    json_object_del(old, "next");
    if (old != NULL && json_equal(old, run))
        json_decref(run);
    else
        write_runtime(c, name, run);
}

/* What still seems new is new. */
static int
on_first_word_over(sd_event_source *source, uint64_t usec, void *ctx)
{
    struct gh_control *c = ctx;
    json_t *run, *next;
    const char *name;
    void *tmp;

    json_object_foreach_safe(c->runtime, tmp, name, run)
    {
        json_object_del(run, "before");
        next = json_object_get(run, "next");
        if (next != NULL)
            write_runtime(c, name, json_incref(next));
    }
    return 0;
}

static void
set(struct gh_control *c, const char *name, const json_t *item)
{
    json_t *compose = json_object_get(item, "compose");
    struct gh_error e;

    if (c->house == NULL)
        return;
    if (compose == NULL || json_is_true(json_object_get(item, "disabled"))) {
        if (gh_house_remove(c->house, name, false, &e) != 0 &&
            e.code != GH_ENOTFOUND)
            gh_log(GH_LOG_ERROR, "service %s: %s", name, e.message);
        json_object_del(c->runtime, name);
        return;
    }
    if (gh_house_set(c->house, name, compose, &e) != 0)
        gh_log(GH_LOG_ERROR, "service %s: %s", name, e.message);
}

int
gh_control_services_start(struct gh_control *c, struct gh_error *e)
{
    struct gh_house_config config = {
        .dir = c->o.dir, .loop = c->loop, .publish = on_publish, .ctx = c};
    const char *name;
    json_t *item;
    int rc;

    if (gh_house_create(&config, &c->house, e) != 0)
        return -1;
    json_object_foreach(c->items.of[GH_KIND_SERVICE], name, item)
    {
        if (json_object_get(item, "compose") != NULL)
            set(c, name, item);
    }
    gh_house_settled(c->house);
    rc = sd_event_add_time_relative(c->loop, NULL, CLOCK_MONOTONIC,
                                    FIRST_WORD_MS * 1000, 0, on_first_word_over,
                                    c);
    return rc >= 0 ? 0 : gh_error_sys(e, -rc, "event loop");
}

void
gh_control_services_stop(struct gh_control *c)
{
    if (c->house != NULL)
        gh_house_destroy(c->house);
    c->house = NULL;
    sd_event_source_unref(c->retry);
    c->retry = NULL;
}

void
gh_control_services_check(struct gh_control *c, const char *name, json_t *item,
                          const struct gh_node *node, const char *path,
                          struct gh_faults *f)
{
    json_t *canonical = gh_house_check(name, node, path, f);

    if (canonical != NULL)
        json_object_set_new(item, "compose", canonical);
}

void
gh_control_services_follow(struct gh_control *c, const json_t *changes)
{
    const json_t *one;
    struct gh_error e;
    size_t i;

    json_array_foreach(changes, i, one)
    {
        const char *name = json_string_value(json_object_get(one, "name"));
        const json_t *item;

        if (strcmp(json_string_value(json_object_get(one, "kind")),
                   "service") != 0)
            continue;
        item = gh_items_get(&c->items, GH_KIND_SERVICE, name);
        if (item != NULL)
            set(c, name, item);
        else if (c->house != NULL &&
                 gh_house_remove(c->house, name, c->remove_volumes, &e) != 0 &&
                 e.code != GH_ENOTFOUND)
            gh_log(GH_LOG_ERROR, "service %s: %s", name, e.message);
    }
}

json_t *
gh_control_services_show(struct gh_control *c, const json_t *item)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    json_t *o = json_copy((json_t *)item), *run = NULL;

    if (json_object_get(item, "compose") == NULL) {
        json_object_set_new(
            o, "run",
            json_pack("{s:s}", "state",
                      json_is_true(json_object_get(item, "disabled"))
                          ? "disabled"
                          : "up"));
        return o;
    }
    if (c->house != NULL)
        run = gh_house_show(c->house, name);
    if (run == NULL)
        run = json_pack("{s:s}", "state",
                        c->house == NULL ? "no launcher" : "disabled");
    json_object_set_new(o, "run", run);
    return o;
}

/* The service of the path, when the house runs it; else an answer. */
static const json_t *
housed(struct gh_request *r)
{
    const json_t *item =
        gh_items_get(&r->c->items, GH_KIND_SERVICE, r->param[0]);

    if (item == NULL)
        gh_request_not_found(r, "service", r->param[0]);
    else if (json_object_get(item, "compose") == NULL) {
        gh_request_fail(r, 409, "not_housed",
                        "service \"%s\" is a plain upstream: the house does "
                        "not run it",
                        r->param[0]);
        item = NULL;
    }
    return item;
}

/* The same, and the house is there. */
static bool
running_house(struct gh_request *r)
{
    if (housed(r) == NULL)
        return false;
    if (r->c->house != NULL)
        return true;
    gh_request_fail(r, 503, "unavailable", "the house is not running");
    return false;
}

int
gh_control_restart_service(struct gh_request *r)
{
    struct gh_error e;

    if (!running_house(r))
        return 0;
    if (gh_house_restart(r->c->house, r->param[0], &e) != 0)
        return gh_request_error(r, &e);
    gh_control_audit(r->c, r, "restart", "service", r->param[0], NULL);
    return gh_request_answer(
        r, 202,
        json_pack("{s:s, s:s}", "service", r->param[0], "restart", "begun"));
}

int
gh_control_service_logs(struct gh_request *r)
{
    const char *tail = gh_request_query(r, "tail");
    const char *after = gh_request_query(r, "after");
    uint64_t lines = 100, offset = 0;
    struct gh_error e;
    json_t *logs;

    if (!running_house(r))
        return 0;
    if (tail != NULL && gh_parse_u64(gh_slice_str(tail), 0, 10000, &lines) != 0)
        return gh_request_fail(r, 422, "invalid", "tail is 0 to 10000 lines");
    if (after != NULL &&
        gh_parse_u64(gh_slice_str(after), 0, INT64_MAX, &offset) != 0)
        return gh_request_fail(r, 422, "invalid",
                               "after is the offset of an earlier answer");
    logs = gh_house_logs(r->c->house, r->param[0], (unsigned)lines,
                         after != NULL ? (int64_t)offset : -1, &e);
    if (logs == NULL)
        return gh_request_error(r, &e);
    return gh_request_answer(r, 200, logs);
}

int
gh_control_service_plan(struct gh_request *r)
{
    const json_t *item = housed(r);
    struct gh_error e;
    json_t *plan;

    if (item == NULL)
        return 0;
    plan = gh_house_explain(r->param[0], json_object_get(item, "compose"), &e);
    if (plan == NULL)
        return gh_request_error(r, &e);
    return gh_request_answer(r, 200, plan);
}

int
gh_control_service_violations(struct gh_request *r)
{
    json_t *v;

    if (!running_house(r))
        return 0;
    v = gh_house_violations(r->c->house, r->param[0]);
    return gh_request_answer(
        r, 200,
        v != NULL ? v : json_pack("{s:[], s:i}", "violations", "total", 0));
}

/* ---- a Compose file: each of its services added or replaced */

static int
want_services(struct gh_control *c, const json_t *found, struct gh_items *want)
{
    const char *name;
    json_t *compose, *item, *old;

    if (gh_items_copy(want, &c->items) != 0)
        return -1;
    json_object_foreach((json_t *)found, name, compose)
    {
        old = gh_items_get(want, GH_KIND_SERVICE, name);
        item = old != NULL ? json_copy(old) : json_pack("{s:s}", "name", name);
        json_object_del(item, "url");
        json_object_del(item, "urls");
        json_object_set(item, "compose", compose);
        if (json_object_set_new(want->of[GH_KIND_SERVICE], name, item) != 0)
            return -1;
    }
    return 0;
}

static void
register_file(struct gh_request *r, struct gh_faults *f)
{
    struct gh_alloc a = gh_arena_alloc(&f->arena);
    struct gh_node *root = gh_document_read(gh_buffer_slice(&r->body), &a, f);
    json_t *found = NULL, *changes;
    struct gh_items want = {{NULL}};

    if (root != NULL && gh_node_get(root, "gatehouse") != NULL)
        gh_fault_add(f, root->line, root->column, "gatehouse",
                     "gatehouse apply FILE",
                     "this is a document, not a Compose file");
    else if (root != NULL)
        found = gh_house_check_file(root, f);
    if (found == NULL || f->n > 0)
        gh_request_faults(r, f);
    else if (want_services(r->c, found, &want) != 0) {
        gh_items_finish(&want);
        gh_request_answer(r, 500, NULL);
    } else if (gh_control_edit(r, &want, NULL, NULL, f, &changes) == 0) {
        if (json_array_size(changes) > 0)
            gh_control_audit(r->c, r, "register", "service", NULL, NULL);
        gh_request_answer(r, 200, json_pack("{s:o}", "changes", changes));
    }
    json_decref(found);
}

int
gh_control_register_services(struct gh_request *r)
{
    struct gh_faults *f = malloc(sizeof(*f));

    if (f == NULL)
        return gh_request_answer(r, 500, NULL);
    gh_faults_init(f);
    register_file(r, f);
    gh_faults_finish(f);
    free(f);
    return 0;
}
