/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread per provider keeps its endpoints and keys in the catalog fresh:
 * by a timer, and when somebody met a key it does not know. Only that thread
 * fetches, so a fetch is never done twice at once; and for strangers it begins
 * none soon after the last (--refresh-after).
 */
#include "idpd.h"

#include "jwk.h"
#include "log.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INTERVAL_MS (15u * 60 * 1000)
#define RETRY_MS 500u /* after a failure, doubled up to */
#define RETRY_MAX_MS 10000u
#define WATCH_MS 300u  /* how soon a new provider is seen */
#define WAIT_MS 12000u /* the longest a caller waits for a fetch */
#define PROVIDERS_MAX 64
#define CALLS_MAX 16   /* logins at one provider at a time */
#define WAITERS_MAX 64 /* who wait for one fetch */

struct gh_idpd_keeper {
    struct gh_idpd_keeper *next;
    struct gh_idpd *d;
    char name[GH_NAME_SIZE];
    pthread_t thread;
    pthread_cond_t wake;  /* the keeper: asked or stop */
    pthread_cond_t ended; /* its callers: a round is over */
    bool stop, asked, busy, seen;
    uint64_t version;                   /* of the record that was fetched for */
    unsigned char told[GH_DIGEST_SIZE]; /* what control was told last */
    uint64_t begun_ms, due_ms, fetched_ms, rounds;
    unsigned failures, calls, waiters, nkeys;
    bool good; /* the last round was */
    uint32_t methods;
    char problem[GH_ERROR_MESSAGE];
};

struct gh_idpd_keepers {
    pthread_mutex_t lock; /* of all below */
    struct gh_idpd_keeper *list;
    size_t n;
    pthread_t watcher;
    pthread_cond_t wake;
    bool stop;
};

static struct gh_idpd_keeper *
find(struct gh_idpd_keepers *ks, struct gh_slice name)
{
    struct gh_idpd_keeper *k = ks->list;

    while (k != NULL && !gh_slice_eq_str(name, k->name))
        k = k->next;
    return k;
}

static void
wait_until(pthread_cond_t *c, pthread_mutex_t *lock, uint64_t mono_ms)
{
    struct timespec ts = {(time_t)(mono_ms / 1000),
                          (long)(mono_ms % 1000) * 1000000};

    pthread_cond_timedwait(c, lock, &ts);
}

static void
init_cond(pthread_cond_t *c)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

/* ---- one round */

struct round {
    struct gh_alloc a;
    struct gh_idp idp;
    struct gh_oidc_discovery found;
    const struct gh_public_key *keys;
    size_t nkeys;
};

static int
get(struct gh_idpd *d, const char *url, struct gh_buffer *body,
    struct gh_error *e)
{
    struct gh_idpd_call call = {.url = url};
    long status;

    if (gh_idpd_fetch(d, &call, body, &status, e) != 0)
        return -1;
    return status == 200 ? 0
                         : gh_error_set(e, GH_EUNAVAILABLE, "%s: status %ld",
                                        url, status);
}

static int
discover(struct gh_idpd *d, struct round *r, struct gh_error *e)
{
    struct gh_buffer url = GH_BUFFER_INIT, body = GH_BUFFER_INIT;
    size_t skipped;
    int rc;

    gh_oidc_discovery_url(r->idp.issuer, &url);
    rc = gh_oidc_url_valid(r->idp.issuer) && !url.failed
             ? get(d, gh_buffer_string(&url), &body, e)
             : gh_error_set(e, GH_EINVAL,
                            "the issuer is not an https URL (http only on "
                            "loopback)");
    if (rc == 0)
        rc = gh_oidc_discovery(gh_buffer_slice(&body), r->idp.issuer, &r->a,
                               &r->found, e);
    if (rc == 0)
        rc = get(d, (const char *)gh_get_copy(&r->a, r->found.jwks_uri).data,
                 &body, e);
    if (rc == 0)
        rc = gh_jwk_import_set(gh_buffer_slice(&body), &r->a, &r->keys,
                               &r->nkeys, &skipped, e);
    gh_buffer_finish(&url);
    gh_buffer_finish(&body);
    return rc;
}

/* Does the record say what we found? It may have other keys, by hand. */
static bool
in_record(const struct round *r)
{
    size_t i, j;

    if (!gh_slice_eq(r->idp.token_endpoint, r->found.token_endpoint))
        return false;
    for (i = 0; i < r->nkeys; i++) {
        for (j = 0; j < r->idp.nkeys; j++)
            if (gh_slice_eq(r->idp.keys[j].kid, r->keys[i].kid))
                break;
        if (j == r->idp.nkeys)
            return false;
    }
    return true;
}

static int
put(struct gh_idpd_keeper *k, const char *body, struct gh_error *e)
{
    struct gh_buffer answer = GH_BUFFER_INIT;
    char url[200];
    long status;
    int rc;

    snprintf(url, sizeof(url), "http://localhost/v1/idps/%s/discovered",
             k->name);
    struct gh_idpd_call call = {.method = "PUT",
                                .url = url,
                                .unix_socket = k->d->o.control,
                                .body = body,
                                .type = "application/json"};
    rc = gh_idpd_fetch(k->d, &call, &answer, &status, e);
    if (rc == 0 && (status < 200 || status > 299))
        rc = gh_error_set(e, GH_EUNAVAILABLE, "status %ld", status);
    gh_buffer_finish(&answer);
    return rc == 0 ? 0 : gh_error_wrap(e, "tell control");
}

/* The record after our own news: its version is not a reason to fetch again,
 * unless somebody changed the issuer meanwhile. */
static void
read_again(struct gh_idpd_keeper *k, struct round *r)
{
    struct gh_idp now;

    if (gh_idpd_provider(k->d, gh_slice_str(k->name), &r->a, &now, NULL) == 1 &&
        gh_slice_eq(now.issuer, r->idp.issuer))
        r->idp = now;
}

static int
tell_control(struct gh_idpd_keeper *k, struct round *r, struct gh_error *e)
{
    struct gh_buffer body = GH_BUFFER_INIT;
    unsigned char digest[GH_DIGEST_SIZE];
    struct gh_slice text;
    int rc = gh_oidc_discovered_write(&r->found, r->keys, r->nkeys, &body, e);

    if (rc == 0) {
        text = gh_buffer_slice(&body);
        gh_sha256(&text, 1, digest);
    }
    if (rc == 0 &&
        (memcmp(digest, k->told, sizeof(digest)) != 0 || !in_record(r))) {
        rc = put(k, gh_buffer_string(&body), e);
        if (rc == 0) {
            memcpy(k->told, digest, sizeof(digest));
            read_again(k, r);
            gh_log(GH_LOG_INFO, "provider %s: %zu keys", k->name, r->nkeys);
        }
    }
    gh_buffer_finish(&body);
    return rc;
}

/* 1 done, 0 the provider is gone, -1. */
static int
do_round(struct gh_idpd_keeper *k, struct round *r, struct gh_error *e)
{
    int found =
        gh_idpd_provider(k->d, gh_slice_str(k->name), &r->a, &r->idp, e);

    if (found <= 0)
        return found;
    if (discover(k->d, r, e) != 0 || tell_control(k, r, e) != 0)
        return -1;
    return 1;
}

static void
note(struct gh_idpd_keeper *k, const struct round *r, int rc,
     const struct gh_error *e)
{
    uint64_t now = gh_idpd_mono_ms(), pause;

    k->good = rc >= 0;
    if (rc == 1) {
        k->methods = r->found.auth_methods;
        k->nkeys = (unsigned)r->nkeys;
        k->fetched_ms = gh_idpd_now_ms();
        k->version = r->idp.version;
    }
    if (rc >= 0) {
        k->failures = 0;
        k->problem[0] = '\0';
        k->due_ms = now + INTERVAL_MS;
        return;
    }
    if (strcmp(k->problem, e->message) != 0)
        gh_log(GH_LOG_WARN, "provider %s: %s", k->name, e->message);
    snprintf(k->problem, sizeof(k->problem), "%s", e->message);
    pause = RETRY_MS << (k->failures < 6 ? k->failures : 6);
    k->due_ms = now + (pause < RETRY_MAX_MS ? pause : RETRY_MAX_MS);
    k->failures++;
}

static void *
keep(void *arg)
{
    struct gh_idpd_keeper *k = arg;
    pthread_mutex_t *lock = &k->d->keepers->lock;
    struct gh_arena arena;
    struct gh_error e;

    gh_arena_init(&arena);
    pthread_mutex_lock(lock);
    while (!k->stop) {
        struct round r = {.a = gh_arena_alloc(&arena)};
        int rc;

        if (!k->asked && gh_idpd_mono_ms() < k->due_ms) {
            wait_until(&k->wake, lock, k->due_ms);
            continue;
        }
        k->asked = false;
        k->busy = true;
        k->begun_ms = gh_idpd_mono_ms();
        pthread_mutex_unlock(lock);
        rc = do_round(k, &r, &e);
        pthread_mutex_lock(lock);
        note(k, &r, rc, &e);
        gh_arena_finish(&arena);
        k->busy = false;
        k->rounds++;
        pthread_cond_broadcast(&k->ended);
    }
    pthread_mutex_unlock(lock);
    return NULL;
}

/* ---- callers */

/* Lock held; until the round that is asked for is over. */
static enum gh_idpd_refreshed
await(struct gh_idpd_keepers *ks, struct gh_idpd_keeper *k)
{
    uint64_t until = gh_idpd_mono_ms() + WAIT_MS, round = k->rounds;

    if (k->waiters >= WAITERS_MAX)
        return GH_IDPD_FAILED;
    k->waiters++; /* it must not be freed below us */
    while (!k->stop && k->rounds == round && gh_idpd_mono_ms() < until)
        wait_until(&k->ended, &ks->lock, until);
    k->waiters--;
    return k->rounds != round && k->good ? GH_IDPD_FETCHED : GH_IDPD_FAILED;
}

enum gh_idpd_refreshed
gh_idpd_keeper_refresh(struct gh_idpd *d, struct gh_slice name,
                       uint64_t least_ms, enum gh_idpd_wait wait)
{
    struct gh_idpd_keepers *ks = d->keepers;
    enum gh_idpd_refreshed answer;
    struct gh_idpd_keeper *k;
    bool recent;

    pthread_mutex_lock(&ks->lock);
    k = find(ks, name);
    recent = k != NULL && !k->busy && k->begun_ms != 0 &&
             gh_idpd_mono_ms() - k->begun_ms < least_ms;
    if (k == NULL || k->stop) {
        answer = GH_IDPD_NO_KEEPER;
    } else if (recent && wait != GH_IDPD_PATIENT) {
        answer = k->good ? GH_IDPD_RECENT : GH_IDPD_FAILED;
    } else {
        if (recent)
            k->due_ms = k->begun_ms + least_ms;
        else if (!k->busy)
            k->asked = true;
        pthread_cond_signal(&k->wake);
        answer = wait != GH_IDPD_GO_ON ? await(ks, k) : GH_IDPD_ASKED;
    }
    pthread_mutex_unlock(&ks->lock);
    return answer;
}

uint32_t
gh_idpd_keeper_methods(struct gh_idpd *d, struct gh_slice name)
{
    struct gh_idpd_keeper *k;
    uint32_t methods = 0;

    pthread_mutex_lock(&d->keepers->lock);
    k = find(d->keepers, name);
    if (k != NULL)
        methods = k->methods;
    pthread_mutex_unlock(&d->keepers->lock);
    return methods;
}

struct gh_idpd_keeper *
gh_idpd_keeper_enter(struct gh_idpd *d, struct gh_slice name)
{
    struct gh_idpd_keeper *k;

    pthread_mutex_lock(&d->keepers->lock);
    k = find(d->keepers, name);
    if (k != NULL && (k->stop || k->calls >= CALLS_MAX))
        k = NULL;
    if (k != NULL)
        k->calls++;
    pthread_mutex_unlock(&d->keepers->lock);
    return k;
}

void
gh_idpd_keeper_leave(struct gh_idpd *d, struct gh_idpd_keeper *k)
{
    if (k == NULL)
        return;
    pthread_mutex_lock(&d->keepers->lock);
    k->calls--;
    pthread_mutex_unlock(&d->keepers->lock);
}

void
gh_idpd_keepers_json(struct gh_idpd *d, struct gh_buffer *out)
{
    struct gh_idpd_keeper *k;
    const char *comma = "";
    json_t *o;
    char *text;

    gh_buffer_text(out, "[");
    pthread_mutex_lock(&d->keepers->lock);
    for (k = d->keepers->list; k != NULL; k = k->next) {
        o = json_pack("{s:s, s:b, s:i, s:I, s:I, s:i, s:s}", "name", k->name,
                      "good", (int)k->good, "keys", (int)k->nkeys, "fetched_ms",
                      (json_int_t)k->fetched_ms, "rounds",
                      (json_int_t)k->rounds, "calls", (int)k->calls, "problem",
                      k->problem);
        text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
        gh_buffer_printf(out, "%s%s", comma, text == NULL ? "null" : text);
        free(text);
        json_decref(o);
        comma = ",";
    }
    pthread_mutex_unlock(&d->keepers->lock);
    gh_buffer_text(out, "]");
}

/* ---- the watcher: a keeper for each provider in the catalog */

static void
add(struct gh_idpd *d, struct gh_slice name)
{
    struct gh_idpd_keepers *ks = d->keepers;
    struct gh_idpd_keeper *k = calloc(1, sizeof(*k));

    if (k == NULL || gh_slice_copy(name, k->name, sizeof(k->name)) != 0) {
        free(k);
        return;
    }
    k->d = d;
    k->seen = true;
    init_cond(&k->wake);
    init_cond(&k->ended);
    k->next = ks->list;
    ks->list = k;
    ks->n++;
    if (pthread_create(&k->thread, NULL, keep, k) != 0) {
        gh_log(GH_LOG_ERROR, "provider %s: no thread", k->name);
        ks->list = k->next;
        ks->n--;
        free(k);
    }
}

static int
on_provider(void *ctx, struct gh_slice name, struct gh_slice value)
{
    struct gh_idpd *d = ctx;
    struct gh_idpd_keeper *k = find(d->keepers, name);

    if (k != NULL)
        k->seen = true;
    else if (d->keepers->n < PROVIDERS_MAX)
        add(d, name);
    return 0;
}

/* Lock held; let go while a keeper ends. */
static void
end_keeper(struct gh_idpd_keepers *ks, struct gh_idpd_keeper *k)
{
    struct gh_idpd_keeper **at = &ks->list;

    k->stop = true;
    pthread_cond_signal(&k->wake);
    pthread_cond_broadcast(&k->ended);
    pthread_mutex_unlock(&ks->lock);
    pthread_join(k->thread, NULL);
    pthread_mutex_lock(&ks->lock);
    /* who is still inside has seen `stop` or is in a call bounded in time */
    while (k->calls > 0 || k->waiters > 0)
        wait_until(&ks->wake, &ks->lock, gh_idpd_mono_ms() + 50);
    while (*at != k)
        at = &(*at)->next;
    *at = k->next;
    ks->n--;
    pthread_cond_destroy(&k->wake);
    pthread_cond_destroy(&k->ended);
    free(k);
}

/* A record that was edited is fetched for anew: its version tells. */
static void
compare(struct gh_idpd *d, struct gh_idpd_keeper *k)
{
    uint64_t version;

    if (k->rounds == 0 ||
        gh_catalog_version(d->catalog, "idp", gh_slice_str(k->name), &version,
                           NULL) != 1 ||
        k->version == version)
        return;
    k->version = version;
    k->due_ms = 0;
    pthread_cond_signal(&k->wake);
}

/* False: look again soon, somebody was busy or the list changed. */
static bool
look(struct gh_idpd *d)
{
    struct gh_idpd_keepers *ks = d->keepers;
    bool whole = true;
    struct gh_error e;
    struct gh_idpd_keeper *k;

    for (k = ks->list; k != NULL; k = k->next)
        k->seen = false;
    pthread_mutex_lock(&d->catalog_lock);
    if (gh_catalog_begin(d->catalog, &e) == 0) {
        gh_catalog_each(d->catalog, "idp", on_provider, d, &e);
        for (k = ks->list; k != NULL; k = k->next) {
            whole = whole && !k->busy;
            if (!k->busy)
                compare(d, k);
        }
        gh_catalog_end(d->catalog);
    } else {
        for (k = ks->list; k != NULL; k = k->next)
            k->seen = true;
        whole = false;
    }
    pthread_mutex_unlock(&d->catalog_lock);
    for (k = ks->list; k != NULL; k = k->next) {
        if (!k->seen) {
            end_keeper(ks, k);
            return false;
        }
    }
    return whole;
}

static void *
watch(void *arg)
{
    struct gh_idpd *d = arg;
    struct gh_idpd_keepers *ks = d->keepers;
    uint64_t seen = UINT64_MAX, now;
    struct gh_error e;

    pthread_mutex_lock(&ks->lock);
    while (!ks->stop) {
        now = seen;
        pthread_mutex_lock(&d->catalog_lock);
        if (gh_catalog_begin(d->catalog, &e) == 0) {
            now = gh_catalog_generation(d->catalog);
            gh_catalog_end(d->catalog);
        }
        pthread_mutex_unlock(&d->catalog_lock);
        if (now != seen && look(d))
            seen = now;
        wait_until(&ks->wake, &ks->lock, gh_idpd_mono_ms() + WATCH_MS);
    }
    while (ks->list != NULL)
        end_keeper(ks, ks->list);
    pthread_mutex_unlock(&ks->lock);
    return NULL;
}

int
gh_idpd_keepers_start(struct gh_idpd *d, struct gh_error *e)
{
    struct gh_idpd_keepers *ks = calloc(1, sizeof(*ks));

    if (ks == NULL)
        return gh_error_set(e, GH_ENOMEM, "keepers: no memory");
    pthread_mutex_init(&ks->lock, NULL);
    init_cond(&ks->wake);
    d->keepers = ks;
    if (pthread_create(&ks->watcher, NULL, watch, d) != 0) {
        d->keepers = NULL;
        free(ks);
        return gh_error_set(e, GH_EIO, "keepers: no thread");
    }
    return 0;
}

void
gh_idpd_keepers_stop(struct gh_idpd *d)
{
    struct gh_idpd_keepers *ks = d->keepers;

    if (ks == NULL)
        return;
    pthread_mutex_lock(&ks->lock);
    ks->stop = true;
    pthread_cond_signal(&ks->wake);
    pthread_mutex_unlock(&ks->lock);
    pthread_join(ks->watcher, NULL);
    pthread_cond_destroy(&ks->wake);
    pthread_mutex_destroy(&ks->lock);
    free(ks);
    d->keepers = NULL;
}
