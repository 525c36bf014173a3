/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The house within gatehouse-control: keeps each registered service running in
 * its sandbox, knows its health, tells where it can be reached. It owns no
 * durable state: control registers the services of its catalog at start, and
 * the house adopts what already runs.
 *
 * Single-threaded, on control's sd-event loop; nothing here blocks. It talks to
 * the launcher by `sock/launcher.sock` and connects again when that comes back;
 * until then services keep serving and requests wait.
 *
 * A service is the JSON of the admin's document (`services[].compose`): a
 * mapping of the Compose subset plus `x-gatehouse`; gateway/README.md lists the
 * keys. How a service lives:
 *
 *   starting -> up <-> unhealthy -> restarting -> ... -> crash-loop
 *   stopping -> stopped                     failed (cannot be started at all)
 */
#ifndef GH_HOUSE_H
#define GH_HOUSE_H

#include "document.h"
#include "error.h"
#include "model.h"

#include <jansson.h>
#include <systemd/sd-event.h>

struct gh_house;

struct gh_house_config {
    const char *dir; /* of the installation */
    sd_event *loop;
    /*
     * A service's state or endpoints changed: write it to the catalog (or
     * remove it when `gone`). `s` lives during the call; `s->version` is 0.
     * State is "starting" "up" "down" "crash-loop" or "disabled"; endpoints are
     * those that may be called now. Called from the loop, and from within
     * gh_house_set() and gh_house_remove().
     */
    void (*publish)(void *ctx, const struct gh_service *s, bool gone);
    void *ctx;
};

int gh_house_create(const struct gh_house_config *config, struct gh_house **out,
                    struct gh_error *e);
/* Services go on running: the next house adopts them. */
void gh_house_destroy(struct gh_house *h);

/* ---- checking: pure, no house needed */

/*
 * Checks one service (the value of `compose`, or of a Compose file's
 * `services.NAME`). Faults say line, column, path (below `path`), and what to
 * do instead. Returns its canonical JSON, or NULL when there were faults.
 */
json_t *gh_house_check(const char *name, const struct gh_node *service,
                       const char *path, struct gh_faults *f);

/*
 * A stand-alone Compose file: {"NAME": service, ...} with configs, secrets and
 * volumes of its top level put into each service, so each can be stored by
 * itself. NULL when there were faults.
 */
json_t *gh_house_check_file(const struct gh_node *root, struct gh_faults *f);

/*
 * The plan of operations: {"name", "text": ["line", ...], "operations":
 * [{"op", ...}], "filter": {"digest", "instructions", ...}, "record": {...}}.
 * `service` is canonical JSON. NULL with the error.
 */
json_t *gh_house_explain(const char *name, const json_t *service,
                         struct gh_error *e);

/* ---- doing */

/*
 * Registers or replaces. The same JSON again changes nothing; another one
 * stops the old and starts the new. `service` is canonical JSON (a reference
 * is taken). Fails only where no later event could mend it.
 */
int gh_house_set(struct gh_house *h, const char *name, json_t *service,
                 struct gh_error *e);

/*
 * To be called once after control has registered what its catalog holds:
 * what else runs is stopped and removed.
 */
void gh_house_settled(struct gh_house *h);

/* Withdraws, stops with grace, removes its files; volumes stay unless
 * `volumes`. GH_ENOTFOUND. Returns at once; the rest follows. */
int gh_house_remove(struct gh_house *h, const char *name, bool volumes,
                    struct gh_error *e);
/* Stops with grace and starts anew; forgets back-off and crash-loop. */
int gh_house_restart(struct gh_house *h, const char *name, struct gh_error *e);

/* ---- looking; new references, NULL without memory or when there is none */

/* [{"name", "state", "healthy", "endpoints", "restarts", "since_ms", ...}] */
json_t *gh_house_list(struct gh_house *h);
/* One of them with all that is known: pid, ids, cgroup, limits and use, last
 * exit, last health answer, what this host lacks, recent events. */
json_t *gh_house_show(struct gh_house *h, const char *name);
/* {"violations": [{"kind": "syscall" | "file", "what", "count", "last_ms",
 * "pid", "comm", ...}], "total", "lost"} */
json_t *gh_house_violations(struct gh_house *h, const char *name);
/*
 * {"text", "after": offset for the next call, "skipped": bytes lost to
 * rotation}: the last `tail` lines, or with after >= 0 what came since.
 */
json_t *gh_house_logs(struct gh_house *h, const char *name, unsigned tail,
                      int64_t after, struct gh_error *e);
/* {"launcher": "connected" | "away", "landlock", "lacks": [text, ...],
 * "services": {"up": n, ...}} for status and doctor. */
json_t *gh_house_status(struct gh_house *h);

#endif
