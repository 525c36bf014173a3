/* SPDX-License-Identifier: Apache-2.0 */
#include "house_parts.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static uint64_t
clock_ms(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t
gh_house_now_ms(void)
{
    return clock_ms(CLOCK_REALTIME);
}

uint64_t
gh_house_mono_ms(void)
{
    return clock_ms(CLOCK_MONOTONIC);
}

/* ---- timers of a replica */

static int
on_timer(sd_event_source *s, uint64_t when, void *ctx)
{
    gh_house_event(ctx, GH_HOUSE_TIMER);
    return 0;
}

void
gh_house_clear_timer(struct gh_house_replica *r)
{
    r->timer = sd_event_source_disable_unref(r->timer);
}

void
gh_house_set_timer(struct gh_house_replica *r, unsigned ms)
{
    gh_house_clear_timer(r);
    sd_event_add_time_relative(r->service->house->config.loop, &r->timer,
                               CLOCK_MONOTONIC, (uint64_t)ms * 1000, 1000,
                               on_timer, r);
}

void
gh_house_forget_process(struct gh_house_replica *r)
{
    r->gone = sd_event_source_disable_unref(r->gone);
    if (r->pidfd >= 0)
        close(r->pidfd);
    r->pidfd = -1;
}

/* ---- services */

struct gh_house_service *
gh_house_find(struct gh_house *h, const char *name)
{
    struct gh_house_service *s = h->services;

    while (s != NULL && strcmp(s->name, name) != 0)
        s = s->next;
    return s;
}

static void
drop_replicas(struct gh_house_service *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        struct gh_house_replica *r = &s->replicas[i];

        gh_house_probe_cancel(r);
        gh_house_clear_timer(r);
        gh_house_forget_process(r);
        if (r->reports != NULL)
            munmap((void *)r->reports, sizeof(*r->reports));
    }
    free(s->replicas);
    s->replicas = NULL;
    s->n = 0;
}

static void
free_service(struct gh_house_service *s)
{
    struct gh_house_service **p = &s->house->services;

    while (*p != s)
        p = &(*p)->next;
    *p = s->next;
    drop_replicas(s);
    json_decref(s->json);
    json_decref(s->wanted);
    free(s->published);
    free(s);
}

static struct gh_house_service *
new_service(struct gh_house *h, const char *name)
{
    struct gh_house_service *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->house = h;
    snprintf(s->name, sizeof(s->name), "%s", name);
    s->next = h->services;
    h->services = s;
    return s;
}

/* The replicas of s->json, in place of those before; reports are kept. */
static int
make_replicas(struct gh_house_service *s, struct gh_error *e)
{
    const struct gh_launch_reports *reports = NULL;

    if (gh_compose_life(s->json, &s->life, e) != 0)
        return -1;
    if (s->n > 0) {
        reports = s->replicas[0].reports;
        s->replicas[0].reports = NULL;
    }
    drop_replicas(s);
    s->replicas = calloc(s->life.replicas, sizeof(*s->replicas));
    if (s->replicas == NULL)
        return gh_error_set(e, GH_ENOMEM, "no memory");
    s->n = s->life.replicas;
    s->stamp = gh_house_stamp(s->house, s->json);
    for (unsigned i = 0; i < s->n; i++) {
        s->replicas[i].service = s;
        s->replicas[i].index = i;
        s->replicas[i].pidfd = -1;
        s->replicas[i].status = -1;
        s->replicas[i].since_ms = gh_house_now_ms();
    }
    s->replicas[0].reports = reports;
    return 0;
}

static void
ask_replicas(struct gh_house_service *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (gh_house_ask(s->house, GH_LAUNCH_ADOPT, s->name, i, 0))
            s->replicas[i].phase = GH_HOUSE_ASKED;
}

/* END to all; a replica that ends at once may free the service: so by name. */
static void
end_all(struct gh_house *h, const char *name)
{
    char copy[GH_NAME_SIZE];
    struct gh_house_service *s;
    unsigned n;

    snprintf(copy, sizeof(copy), "%s", name);
    s = gh_house_find(h, copy);
    n = s != NULL ? s->n : 0;
    for (unsigned i = 0; i < n; i++) {
        s = gh_house_find(h, copy);
        if (s == NULL || i >= s->n)
            return;
        if (s->replicas[i].phase == GH_HOUSE_STOPPED && i + 1 == n)
            gh_house_event(&s->replicas[i], GH_HOUSE_END);
        else if (s->replicas[i].phase != GH_HOUSE_STOPPED)
            gh_house_event(&s->replicas[i], GH_HOUSE_END);
    }
}

static void
put_in_place(struct gh_house_service *s)
{
    struct gh_error e;

    if (make_replicas(s, &e) != 0) {
        gh_log(GH_LOG_ERROR, "service %s: %s", s->name, e.message);
        return;
    }
    ask_replicas(s);
    gh_house_publish(s);
}

void
gh_house_all_ended(struct gh_house_service *s)
{
    struct gh_house *h = s->house;

    if (s->removing && s->wanted == NULL) {
        /* gh_house_removed() ends it; until then it is asked again. */
        gh_house_ask(h, GH_LAUNCH_REMOVE, s->name, 0, s->remove_volumes);
        gh_house_set_timer(&s->replicas[0], 1000);
        return;
    }
    s->removing = s->restarting = false;
    if (s->wanted != NULL) {
        json_decref(s->json);
        s->json = s->wanted;
        s->wanted = NULL;
    }
    put_in_place(s);
}

void
gh_house_removed(struct gh_house *h, const char *name)
{
    struct gh_house_service *s = gh_house_find(h, name);

    if (s != NULL && s->removing && s->wanted == NULL)
        free_service(s);
}

int
gh_house_set(struct gh_house *h, const char *name, json_t *service,
             struct gh_error *e)
{
    struct gh_house_service *s = gh_house_find(h, name);

    if (s != NULL && !s->removing && s->wanted == NULL &&
        json_equal(s->json, service))
        return 0;
    if (s != NULL) {
        json_decref(s->wanted);
        s->wanted = json_incref(service);
        s->removing = false;
        free(s->published);
        s->published = NULL;
        gh_house_note(s, "changed: the old is ended, then the new begins");
        end_all(h, name);
        return 0;
    }
    s = new_service(h, name);
    if (s == NULL)
        return gh_error_set(e, GH_ENOMEM, "no memory");
    s->json = json_incref(service);
    if (make_replicas(s, e) != 0) {
        free_service(s);
        return -1;
    }
    ask_replicas(s);
    return 0;
}

void
gh_house_settled(struct gh_house *h)
{
    h->settled = true;
    gh_house_ask(h, GH_LAUNCH_LIST, "", 0, 0);
}

/* Its file is gone from the catalog while we were away: it goes the same way
 * as a removed service. */
void
gh_house_stranger(struct gh_house *h, const struct gh_launch_answer *a)
{
    struct gh_house_service *s = gh_house_find(h, a->name);
    struct gh_error e;

    if (s != NULL) {
        gh_house_ask(h, GH_LAUNCH_KILL, a->name, a->replica, 0);
        return;
    }
    s = new_service(h, a->name);
    if (s == NULL)
        return;
    gh_log(GH_LOG_INFO, "service %s is not registered: it goes", s->name);
    s->json = json_pack("{s:{s:i}}", "deploy", "replicas", (int)a->replica + 1);
    if (s->json == NULL || make_replicas(s, &e) != 0) {
        free_service(s);
        return;
    }
    s->removing = true;
    for (unsigned i = 0; i < s->n; i++)
        s->replicas[i].phase = GH_HOUSE_STARTING;
    ask_replicas(s);
    for (unsigned i = 0; i < s->n; i++)
        s->replicas[i].phase = GH_HOUSE_STARTING;
}

int
gh_house_remove(struct gh_house *h, const char *name, bool volumes,
                struct gh_error *e)
{
    struct gh_house_service *s = gh_house_find(h, name);
    struct gh_service out = {.name = gh_slice_str(name),
                             .state = gh_slice_str("disabled")};

    if (s == NULL || (s->removing && s->wanted == NULL))
        return gh_error_set(e, GH_ENOTFOUND, "the house runs no \"%s\"", name);
    json_decref(s->wanted);
    s->wanted = NULL;
    s->removing = true;
    s->remove_volumes = volumes;
    gh_house_note(s, "removed");
    h->config.publish(h->config.ctx, &out, true);
    end_all(h, name);
    return 0;
}

int
gh_house_restart(struct gh_house *h, const char *name, struct gh_error *e)
{
    struct gh_house_service *s = gh_house_find(h, name);

    if (s == NULL || s->removing)
        return gh_error_set(e, GH_ENOTFOUND, "the house runs no \"%s\"", name);
    s->restarting = true;
    gh_house_note(s, "restart asked for");
    end_all(h, name);
    return 0;
}

/* ---- checks */

json_t *
gh_house_check(const char *name, const struct gh_node *service,
               const char *path, struct gh_faults *f)
{
    const struct gh_node *configs = gh_node_get(service, "configs");
    json_t *out = gh_compose_check(name, service, path, f);

    if (out == NULL || configs == NULL)
        return out;
    gh_fault_add(f, configs->key_line, configs->key_column, path,
                 "x-gatehouse: {files: {/etc/thing.conf: text}}",
                 "configs belong to a Compose file of its own");
    json_decref(out);
    return NULL;
}

json_t *
gh_house_check_file(const struct gh_node *root, struct gh_faults *f)
{
    return gh_compose_check_file(root, f);
}

/* ---- life */

int
gh_house_create(const struct gh_house_config *config, struct gh_house **out,
                struct gh_error *e)
{
    struct gh_house *h = calloc(1, sizeof(*h));

    if (h == NULL || (h->dir = strdup(config->dir)) == NULL) {
        free(h);
        return gh_error_set(e, GH_ENOMEM, "no memory");
    }
    h->config = *config;
    h->sock = -1;
    if (gh_seccomp_compile(NULL, &h->filter, e) != 0) {
        free(h->dir);
        free(h);
        return -1;
    }
    gh_house_connect(h); /* or later */
    *out = h;
    return 0;
}

void
gh_house_destroy(struct gh_house *h)
{
    gh_house_disconnect(h);
    sd_event_source_disable_unref(h->retry);
    while (h->services != NULL)
        free_service(h->services);
    gh_seccomp_finish(&h->filter);
    free(h->dir);
    free(h);
}
