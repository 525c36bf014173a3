/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the house:
 *
 *     house.c           set, remove, restart: what control asks
 *     house_life.c      the table of a replica's life
 *     house_launcher.c  the connection, requests and answers
 *     house_health.c    one probe: connect, perhaps GET, an answer in time
 *     house_view.c      what is shown as JSON
 *     house_logs.c      log files, by line and by offset
 */
#ifndef GH_HOUSE_PARTS_H
#define GH_HOUSE_PARTS_H

#include "compose.h"
#include "house.h"
#include "launch.h"
#include "seccomp_filter.h"

#define GH_HOUSE_PAUSE_MIN_MS 100
#define GH_HOUSE_PAUSE_MAX_MS 30000
#define GH_HOUSE_CRASHES 5 /* short lives in a row: a crash loop */
#define GH_HOUSE_SHORT_LIFE_MS 10000
#define GH_HOUSE_EVENTS 32 /* kept per service */

enum gh_house_phase {
    GH_HOUSE_NEW,      /* the launcher has not been asked yet */
    GH_HOUSE_ASKED,    /* does it run already? */
    GH_HOUSE_STARTING, /* the launcher makes it */
    GH_HOUSE_WAITING,  /* it runs, and is not ready */
    GH_HOUSE_UP,
    GH_HOUSE_UNHEALTHY,  /* it was up, and does not answer */
    GH_HOUSE_STOPPING,   /* asked to end; later killed */
    GH_HOUSE_RESTARTING, /* a pause before the next start */
    GH_HOUSE_CRASH_LOOP, /* the longest pause, again and again */
    GH_HOUSE_STOPPED,    /* it ended, and that is all right */
    GH_HOUSE_FAILED,     /* cannot be started; tried again now and then */
    GH_HOUSE_PHASES
};

enum gh_house_event {
    GH_HOUSE_FOUND,  /* it runs, from our plan */
    GH_HOUSE_STALE,  /* it runs, from another plan */
    GH_HOUSE_ABSENT, /* it does not run */
    GH_HOUSE_STARTED,
    GH_HOUSE_REFUSED, /* the launcher could not start it */
    GH_HOUSE_READY,   /* a probe was answered */
    GH_HOUSE_SILENT,  /* a probe was not */
    GH_HOUSE_EXITED,
    GH_HOUSE_TIMER,
    GH_HOUSE_END, /* it shall end (remove, replace, restart) */
    GH_HOUSE_EVENTS_N
};

struct gh_house_service;

struct gh_house_replica {
    struct gh_house_service *service;
    unsigned index;
    enum gh_house_phase phase;
    uint64_t since_ms; /* UTC, of the phase */
    int pidfd;         /* or -1 */
    sd_event_source *timer, *gone;
    const struct gh_launch_reports *reports; /* mapped, or NULL */
    /* of the present or last process */
    int pid;
    uint32_t id_base, address;
    uint64_t started_ms, exited_ms;
    int status; /* of waitpid(2); -1 unknown */
    unsigned oom;
    char cgroup[128];
    char fault[200]; /* why it did not start, why a probe failed; or "" */
    bool untried;    /* found running: its first probe has no answer yet */
    unsigned starts, short_lives, pause_ms, failures;
    uint64_t up_ms;   /* monotonic: first ready of this process; 0 = never */
    uint64_t born_ms; /* monotonic: start of this process */
    struct gh_house_probe *probe; /* under way, or NULL */
};

struct gh_house_service {
    struct gh_house_service *next;
    struct gh_house *house;
    char name[GH_NAME_SIZE];
    json_t *json, *wanted; /* wanted: to be put in place once all has ended */
    struct gh_compose_life life;
    uint64_t stamp;
    struct gh_house_replica *replicas;
    unsigned n;
    bool removing, remove_volumes;
    bool restarting; /* after END start again at once */
    char *published; /* what the last publish said */
    struct {
        uint64_t ms;
        char text[160];
    } events[GH_HOUSE_EVENTS];
    unsigned nevents; /* ever */
};

struct gh_house {
    struct gh_house_config config;
    char *dir;
    struct gh_house_service *services;
    struct gh_seccomp filter; /* of the default profile */
    int sock;                 /* to the launcher, or -1 */
    sd_event_source *io, *retry;
    uint32_t seq;
    bool known; /* HELLO was answered */
    unsigned lacks, landlock;
    bool settled;
};

uint64_t gh_house_now_ms(void); /* UTC */
uint64_t gh_house_mono_ms(void);

/* ---- house_life.c */

void gh_house_event(struct gh_house_replica *r, enum gh_house_event event);
const char *gh_house_phase_name(enum gh_house_phase p);
/* After anything changed: tells the callback when the whole looks different. */
void gh_house_publish(struct gh_house_service *s);
void gh_house_note(struct gh_house_service *s, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* One replica's endpoint as the catalog writes it; false when it has none. */
bool gh_house_endpoint(const struct gh_house_replica *r, char *out,
                       size_t room);

/* ---- house.c */

struct gh_house_service *gh_house_find(struct gh_house *h, const char *name);
/* All replicas have ended: replace, restart, or go. May free the service. */
void gh_house_all_ended(struct gh_house_service *s);
/* Somebody else's replica, found by LIST: it is stopped and removed. */
void gh_house_stranger(struct gh_house *h, const struct gh_launch_answer *a);
/* The launcher has removed its files. */
void gh_house_removed(struct gh_house *h, const char *name);
void gh_house_forget_process(struct gh_house_replica *r);

/* ---- house_launcher.c */

int gh_house_connect(struct gh_house *h);
void gh_house_disconnect(struct gh_house *h);
/* false: not connected; the question is asked again when it is. */
bool gh_house_ask(struct gh_house *h, uint32_t op, const char *name,
                  unsigned replica, int value);
bool gh_house_ask_start(struct gh_house_replica *r, struct gh_error *e);
/* Of a replica's plan: canonical JSON and filter; not 0. */
uint64_t gh_house_stamp(const struct gh_house *h, const json_t *service);

/* ---- house_health.c */

/* Begins a probe; it ends in READY or SILENT. */
void gh_house_probe(struct gh_house_replica *r);
void gh_house_probe_cancel(struct gh_house_replica *r);

/* ---- timers, io */

void gh_house_set_timer(struct gh_house_replica *r, unsigned ms);
void gh_house_clear_timer(struct gh_house_replica *r);

#endif
