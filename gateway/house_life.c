/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a replica as a table: in this phase, at this event, do that and
 * be in that phase. What is not in the table cannot happen or does not matter.
 */
#include "house_parts.h"

#include "log.h"

#include <arpa/inet.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

typedef enum gh_house_phase (*step)(struct gh_house_replica *r);

#define FAILED_PAUSE_MS 30000
#define FIRST_PROBES_MS 25
#define WAIT_FOR_OTHERS_MS 50

static const char *const names[GH_HOUSE_PHASES] = {
    [GH_HOUSE_NEW] = "starting",
    [GH_HOUSE_ASKED] = "starting",
    [GH_HOUSE_STARTING] = "starting",
    [GH_HOUSE_WAITING] = "starting",
    [GH_HOUSE_UP] = "up",
    [GH_HOUSE_UNHEALTHY] = "unhealthy",
    [GH_HOUSE_STOPPING] = "stopping",
    [GH_HOUSE_RESTARTING] = "restarting",
    [GH_HOUSE_CRASH_LOOP] = "crash-loop",
    [GH_HOUSE_STOPPED] = "stopped",
    [GH_HOUSE_FAILED] = "failed"};

const char *
gh_house_phase_name(enum gh_house_phase p)
{
    return names[p];
}

void
gh_house_note(struct gh_house_service *s, const char *fmt, ...)
{
    unsigned i = s->nevents++ % GH_HOUSE_EVENTS;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(s->events[i].text, sizeof(s->events[i].text), fmt, ap);
    va_end(ap);
    s->events[i].ms = gh_house_now_ms();
    gh_log(GH_LOG_INFO, "service %s: %s", s->name, s->events[i].text);
}

/* ---- what is published */

/* A socket's path that no sockaddr_un can hold reaches nothing. */
static bool
fits(const char *endpoint)
{
    return strlen(endpoint) - strlen("unix:") < 108;
}

bool
gh_house_endpoint(const struct gh_house_replica *r, char *out, size_t room)
{
    const struct gh_house_service *s = r->service;
    struct in_addr a = {htonl(r->address)};
    char text[INET_ADDRSTRLEN];

    switch (s->life.listen) {
    case GH_COMPOSE_PORT_OF_LINK:
        if (r->address == 0 ||
            inet_ntop(AF_INET, &a, text, sizeof(text)) == NULL)
            return false;
        snprintf(out, room, "%s:%u", text, s->life.port);
        return true;
    case GH_COMPOSE_HANDED:
        snprintf(out, room, "unix:%s/svc/%s/%u.sock", s->house->dir, s->name,
                 r->index);
        return fits(out);
    case GH_COMPOSE_OWN_SOCKET:
        snprintf(out, room, "unix:%s/svc/%s/%s", s->house->dir, s->name,
                 s->life.socket);
        return fits(out);
    case GH_COMPOSE_NOWHERE:
        return false;
    }
    return false;
}

static const char *
whole_state(const struct gh_house_service *s)
{
    bool starting = false, looping = false, ended = s->n > 0;

    for (unsigned i = 0; i < s->n; i++) {
        enum gh_house_phase p = s->replicas[i].phase;

        if (p == GH_HOUSE_UP)
            return "up";
        starting |= p <= GH_HOUSE_WAITING;
        looping |= p == GH_HOUSE_CRASH_LOOP;
        ended &= p == GH_HOUSE_STOPPED;
    }
    return starting  ? "starting"
           : looping ? "crash-loop"
           : ended   ? "disabled"
                     : "down";
}

/* As long as nothing is known, what the catalog has from before stands: so a
 * new control takes no endpoint away that serves. */
static bool
too_early(const struct gh_house_service *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->replicas[i].phase <= GH_HOUSE_ASKED || s->replicas[i].untried)
            return true;
    return false;
}

void
gh_house_publish(struct gh_house_service *s)
{
    struct gh_endpoint endpoints[GH_LAUNCH_REPLICAS];
    char texts[GH_LAUNCH_REPLICAS][160];
    struct gh_service out = {.name = gh_slice_str(s->name),
                             .state = gh_slice_str(whole_state(s)),
                             .endpoints = endpoints};
    struct gh_buffer now = GH_BUFFER_INIT;

    if (s->removing || (s->published == NULL && too_early(s)))
        return;
    gh_buffer_text(&now, whole_state(s));
    for (unsigned i = 0; i < s->n; i++) {
        if (s->replicas[i].phase != GH_HOUSE_UP ||
            !gh_house_endpoint(&s->replicas[i], texts[out.n], sizeof(texts[0])))
            continue;
        endpoints[out.n] =
            (struct gh_endpoint){gh_slice_str(texts[out.n]), true};
        gh_buffer_printf(&now, " %s", texts[out.n]);
        out.n++;
    }
    if (s->published != NULL && gh_buffer_string(&now) != NULL &&
        strcmp(s->published, gh_buffer_string(&now)) == 0) {
        gh_buffer_finish(&now);
        return;
    }
    free(s->published);
    s->published =
        gh_buffer_string(&now) != NULL ? strdup(gh_buffer_string(&now)) : NULL;
    gh_buffer_finish(&now);
    s->house->config.publish(s->house->config.ctx, &out, false);
}

/* ---- steps */

static bool
shall_end(const struct gh_house_service *s)
{
    return s->removing || s->wanted != NULL || s->restarting;
}

static enum gh_house_phase
end_now(struct gh_house_replica *r)
{
    gh_house_clear_timer(r);
    gh_house_forget_process(r);
    return GH_HOUSE_STOPPED;
}

/* The first of depends_on that is registered and not up; NULL: none. */
static const char *
missing(const struct gh_house_service *s)
{
    for (unsigned i = 0; i < s->life.nafter; i++) {
        const struct gh_house_service *other =
            gh_house_find(s->house, s->life.after[i]);

        if (other != NULL && other != s &&
            strcmp(whole_state(other), "up") != 0)
            return s->life.after[i];
    }
    return NULL;
}

static enum gh_house_phase
begin(struct gh_house_replica *r)
{
    const char *other = missing(r->service);
    struct gh_error e;

    if (shall_end(r->service))
        return end_now(r);
    gh_house_clear_timer(r);
    if (other != NULL) {
        snprintf(r->fault, sizeof(r->fault), "waits for %s to be up", other);
        gh_house_set_timer(r, WAIT_FOR_OTHERS_MS);
        return GH_HOUSE_NEW;
    }
    if (gh_house_ask_start(r, &e)) {
        r->starts++;
        return GH_HOUSE_STARTING;
    }
    if (r->service->house->sock < 0)
        return GH_HOUSE_NEW; /* asked again when the launcher is back */
    snprintf(r->fault, sizeof(r->fault), "%.190s", e.message);
    gh_house_note(r->service, "replica %u cannot be started: %.100s", r->index,
                  r->fault);
    gh_house_set_timer(r, FAILED_PAUSE_MS);
    return GH_HOUSE_FAILED;
}

static enum gh_house_phase
await_ready(struct gh_house_replica *r)
{
    r->born_ms = gh_house_mono_ms();
    r->up_ms = 0;
    r->failures = 0;
    r->fault[0] = '\0';
    if (r->service->life.listen == GH_COMPOSE_NOWHERE) {
        r->up_ms = r->born_ms;
        gh_house_note(r->service, "replica %u runs, pid %d", r->index, r->pid);
        return GH_HOUSE_UP;
    }
    gh_house_probe(r);
    return GH_HOUSE_WAITING;
}

static enum gh_house_phase
be_up(struct gh_house_replica *r)
{
    if (r->phase != GH_HOUSE_UP) {
        gh_house_note(r->service, "replica %u is up, pid %d", r->index, r->pid);
        r->fault[0] = '\0';
    }
    if (r->up_ms == 0)
        r->up_ms = gh_house_mono_ms();
    r->failures = 0;
    gh_house_set_timer(r, r->service->life.every_ms);
    return GH_HOUSE_UP;
}

static enum gh_house_phase
stop(struct gh_house_replica *r)
{
    struct gh_house_service *s = r->service;

    gh_house_probe_cancel(r);
    gh_house_ask(s->house, GH_LAUNCH_SIGNAL, s->name, r->index,
                 s->life.stop_signal);
    gh_house_set_timer(r, s->life.grace_ms + 1);
    return GH_HOUSE_STOPPING;
}

static enum gh_house_phase
kill_it(struct gh_house_replica *r)
{
    struct gh_house_service *s = r->service;

    gh_house_note(s, "replica %u did not end in time: killed", r->index);
    gh_house_ask(s->house, GH_LAUNCH_KILL, s->name, r->index, 0);
    gh_house_set_timer(r, 5000);
    return GH_HOUSE_STOPPING;
}

/* Not ready yet: asked soon again at first, later as often as when it is up;
 * after its patience it is ended, which brings it to a new start. */
static enum gh_house_phase
wait_more(struct gh_house_replica *r)
{
    uint64_t age = gh_house_mono_ms() - r->born_ms;
    unsigned pause = FIRST_PROBES_MS;

    if (age > r->service->life.patience_ms) {
        gh_house_note(r->service, "replica %u was not ready in %u ms: %.60s",
                      r->index, r->service->life.patience_ms, r->fault);
        return stop(r);
    }
    if (age > 2000)
        pause =
            r->service->life.every_ms < 250 ? r->service->life.every_ms : 250;
    gh_house_set_timer(r, pause);
    return GH_HOUSE_WAITING;
}

static enum gh_house_phase
probe_again(struct gh_house_replica *r)
{
    gh_house_probe(r);
    return r->phase;
}

static enum gh_house_phase
miss_one(struct gh_house_replica *r)
{
    struct gh_house_service *s = r->service;

    gh_house_set_timer(r, s->life.every_ms);
    if (++r->failures < s->life.failures)
        return GH_HOUSE_UP;
    gh_house_note(s, "replica %u is unhealthy: %.100s", r->index, r->fault);
    r->born_ms = gh_house_mono_ms(); /* patience begins anew */
    return GH_HOUSE_UNHEALTHY;
}

static enum gh_house_phase
miss_more(struct gh_house_replica *r)
{
    if (gh_house_mono_ms() - r->born_ms > r->service->life.patience_ms) {
        gh_house_note(r->service, "replica %u stays unhealthy: a new start",
                      r->index);
        return stop(r);
    }
    gh_house_set_timer(r, r->service->life.every_ms);
    return GH_HOUSE_UNHEALTHY;
}

static void
describe_exit(const struct gh_house_replica *r, char *text, size_t room)
{
    if (r->status < 0)
        snprintf(text, room, "ended, nobody saw how");
    else if (WIFSIGNALED(r->status))
        snprintf(text, room, "ended by signal %d%s", WTERMSIG(r->status),
                 r->oom > 0 ? ", out of memory" : "");
    else
        snprintf(text, room, "ended with status %d", WEXITSTATUS(r->status));
}

/* The pause doubles with every short life; a long one forgets them. */
static enum gh_house_phase
pause_after(struct gh_house_replica *r)
{
    uint64_t age = r->born_ms != 0 ? gh_house_mono_ms() - r->born_ms : 0;

    if (r->up_ms != 0 &&
        gh_house_mono_ms() - r->up_ms >= GH_HOUSE_SHORT_LIFE_MS) {
        r->short_lives = 0;
        r->pause_ms = 0;
    }
    r->short_lives += age < GH_HOUSE_SHORT_LIFE_MS || r->up_ms == 0;
    r->pause_ms = r->pause_ms == 0 ? GH_HOUSE_PAUSE_MIN_MS : r->pause_ms * 2;
    if (r->pause_ms > GH_HOUSE_PAUSE_MAX_MS)
        r->pause_ms = GH_HOUSE_PAUSE_MAX_MS;
    gh_house_set_timer(r, r->pause_ms);
    return r->short_lives >= GH_HOUSE_CRASHES ? GH_HOUSE_CRASH_LOOP
                                              : GH_HOUSE_RESTARTING;
}

static enum gh_house_phase
after_exit(struct gh_house_replica *r)
{
    const struct gh_compose_life *life = &r->service->life;
    char how[64];

    gh_house_probe_cancel(r);
    gh_house_clear_timer(r);
    describe_exit(r, how, sizeof(how));
    gh_house_note(r->service, "replica %u %s", r->index, how);
    gh_house_forget_process(r);
    if (life->restart == GH_COMPOSE_NEVER ||
        (life->restart == GH_COMPOSE_ON_FAILURE && r->status == 0))
        return GH_HOUSE_STOPPED;
    return pause_after(r);
}

/* Its end was wanted by us: by a change, or because it was not ready. */
static enum gh_house_phase
after_stop(struct gh_house_replica *r)
{
    return shall_end(r->service) ? end_now(r) : after_exit(r);
}

static enum gh_house_phase
refused(struct gh_house_replica *r)
{
    if (shall_end(r->service))
        return end_now(r);
    gh_house_note(r->service, "replica %u was not started: %.120s", r->index,
                  r->fault);
    r->born_ms = r->up_ms = 0;
    return pause_after(r) == GH_HOUSE_CRASH_LOOP ? GH_HOUSE_FAILED
                                                 : GH_HOUSE_RESTARTING;
}

/* The launcher is about to start it: its answer brings the end. */
static enum gh_house_phase
end_later(struct gh_house_replica *r)
{
    return GH_HOUSE_STARTING;
}

/* A start of somebody before us is under way: who asked for it is gone, so
 * its end is asked for. */
static enum gh_house_phase
ask_again(struct gh_house_replica *r)
{
    gh_house_clear_timer(r);
    gh_house_ask(r->service->house, GH_LAUNCH_ADOPT, r->service->name, r->index,
                 0);
    return r->phase;
}

static enum gh_house_phase
found(struct gh_house_replica *r)
{
    if (shall_end(r->service))
        return stop(r);
    r->untried = r->service->life.listen != GH_COMPOSE_NOWHERE;
    return await_ready(r);
}

static enum gh_house_phase
started(struct gh_house_replica *r)
{
    return shall_end(r->service) ? stop(r) : await_ready(r);
}

/* ---- the table */

static const struct {
    enum gh_house_phase phase;
    enum gh_house_event event;
    step step;
} table[] = {
    {GH_HOUSE_ASKED, GH_HOUSE_FOUND, found},
    {GH_HOUSE_ASKED, GH_HOUSE_STALE, stop},
    {GH_HOUSE_ASKED, GH_HOUSE_ABSENT, begin},
    {GH_HOUSE_ASKED, GH_HOUSE_END, end_later},
    {GH_HOUSE_ASKED, GH_HOUSE_TIMER, ask_again},
    {GH_HOUSE_NEW, GH_HOUSE_END, end_now},
    {GH_HOUSE_NEW, GH_HOUSE_TIMER, begin},

    {GH_HOUSE_STARTING, GH_HOUSE_STARTED, started},
    {GH_HOUSE_STARTING, GH_HOUSE_FOUND, started},
    {GH_HOUSE_STARTING, GH_HOUSE_STALE, stop},
    {GH_HOUSE_STARTING, GH_HOUSE_ABSENT, begin},
    {GH_HOUSE_STARTING, GH_HOUSE_REFUSED, refused},
    {GH_HOUSE_STARTING, GH_HOUSE_EXITED, after_stop},
    {GH_HOUSE_STARTING, GH_HOUSE_END, end_later},
    {GH_HOUSE_STARTING, GH_HOUSE_TIMER, ask_again},

    {GH_HOUSE_WAITING, GH_HOUSE_READY, be_up},
    {GH_HOUSE_WAITING, GH_HOUSE_SILENT, wait_more},
    {GH_HOUSE_WAITING, GH_HOUSE_TIMER, probe_again},
    {GH_HOUSE_WAITING, GH_HOUSE_EXITED, after_exit},
    {GH_HOUSE_WAITING, GH_HOUSE_ABSENT, after_exit},
    {GH_HOUSE_WAITING, GH_HOUSE_END, stop},

    {GH_HOUSE_UP, GH_HOUSE_READY, be_up},
    {GH_HOUSE_UP, GH_HOUSE_SILENT, miss_one},
    {GH_HOUSE_UP, GH_HOUSE_TIMER, probe_again},
    {GH_HOUSE_UP, GH_HOUSE_EXITED, after_exit},
    {GH_HOUSE_UP, GH_HOUSE_ABSENT, after_exit},
    {GH_HOUSE_UP, GH_HOUSE_END, stop},

    {GH_HOUSE_UNHEALTHY, GH_HOUSE_READY, be_up},
    {GH_HOUSE_UNHEALTHY, GH_HOUSE_SILENT, miss_more},
    {GH_HOUSE_UNHEALTHY, GH_HOUSE_TIMER, probe_again},
    {GH_HOUSE_UNHEALTHY, GH_HOUSE_EXITED, after_exit},
    {GH_HOUSE_UNHEALTHY, GH_HOUSE_ABSENT, after_exit},
    {GH_HOUSE_UNHEALTHY, GH_HOUSE_END, stop},

    {GH_HOUSE_STOPPING, GH_HOUSE_TIMER, kill_it},
    {GH_HOUSE_STOPPING, GH_HOUSE_EXITED, after_stop},
    {GH_HOUSE_STOPPING, GH_HOUSE_ABSENT, after_stop},
    {GH_HOUSE_STOPPING, GH_HOUSE_FOUND, stop},
    {GH_HOUSE_STOPPING, GH_HOUSE_STALE, stop},

    {GH_HOUSE_RESTARTING, GH_HOUSE_TIMER, begin},
    {GH_HOUSE_RESTARTING, GH_HOUSE_END, end_now},
    {GH_HOUSE_CRASH_LOOP, GH_HOUSE_TIMER, begin},
    {GH_HOUSE_CRASH_LOOP, GH_HOUSE_END, end_now},
    {GH_HOUSE_FAILED, GH_HOUSE_TIMER, begin},
    {GH_HOUSE_FAILED, GH_HOUSE_END, end_now},
};

static bool
all_stopped(const struct gh_house_service *s)
{
    for (unsigned i = 0; i < s->n; i++)
        if (s->replicas[i].phase != GH_HOUSE_STOPPED)
            return false;
    return true;
}

void
gh_house_event(struct gh_house_replica *r, enum gh_house_event event)
{
    struct gh_house_service *s = r->service;

    if (event != GH_HOUSE_FOUND)
        r->untried = false;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        enum gh_house_phase next;

        if (table[i].phase != r->phase || table[i].event != event)
            continue;
        next = table[i].step(r);
        if (next != r->phase) {
            r->phase = next;
            r->since_ms = gh_house_now_ms();
        }
        break;
    }
    if (s->n > 0 && all_stopped(s) && shall_end(s))
        gh_house_all_ended(s); /* s may be gone */
    else
        gh_house_publish(s);
}
