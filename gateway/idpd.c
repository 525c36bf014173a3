/* SPDX-License-Identifier: Apache-2.0 */
#include "idpd.h"

#include "encode.h"
#include "log.h"
#include "oauth2_client.h"

#include <curl/curl.h>
#include <errno.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 3 };

#define REFRESH_AFTER_MS 10000u

/* ---- options: this table feeds the parser and --help */

struct option_row {
    const char *name, *argument, *help;
    size_t offset;
};

#define ROW(name, argument, member, help)                                      \
    {                                                                          \
        name, argument, help, offsetof(struct gh_idpd_options, member)         \
    }

static const struct option_row rows[] = {
    ROW("--dir", "DIR", dir, "the installation (or GATEHOUSE_DIR)"),
    ROW("--catalog", "DIR", catalog, "the catalog; default DIR/catalog"),
    ROW("--sock", "PATH", sock, "where to listen; default DIR/sock/idp.sock"),
    ROW("--control", "PATH", control,
        "control's socket; default DIR/sock/control.sock"),
    ROW("--redis", "ADDRESS", redis,
        "unix:/PATH or HOST:PORT; default unix:DIR/sock/redis.sock"),
    ROW("--gate-uid", "USER", gate_uid, "nginx' workers, name or number"),
    ROW("--control-uid", "USER", control_uid,
        "gatehouse-control, name or number"),
    ROW("--group", "GROUP", group, "who may open the socket, name or number"),
    ROW("--ca-file", "FILE", ca_file,
        "trust these authorities for providers, beside the system's"),
    ROW("--refresh-after", "TIME", refresh_after,
        "for tokens with unknown keys: fetch no sooner; default 10s"),
    ROW("--allow-root", NULL, allow_root, "do run as root (for tests)"),
    ROW("-v", NULL, verbose, "say more"),
};

#define NROWS (sizeof(rows) / sizeof(rows[0]))

static void
help(void)
{
    size_t i;

    puts("usage: gatehouse-idp --dir DIR [OPTION...]\n\n"
         "Logs people in at identity providers and keeps the providers' keys\n"
         "in the catalog. Serves nginx on a unix socket.\n");
    for (i = 0; i < NROWS; i++)
        printf("  %-16s %-8s %s\n", rows[i].name,
               rows[i].argument == NULL ? "" : rows[i].argument, rows[i].help);
    puts("  --help                    this text\n\n"
         "Exit status: 0 ended by SIGTERM, 1 failed, 3 wrong options.");
}

static int
usage(const char *what, const char *which)
{
    fprintf(stderr, "gatehouse-idp: %s: %s (see --help)\n", which, what);
    return EXIT_USAGE;
}

static const struct option_row *
find_row(const char *name)
{
    size_t i;

    for (i = 0; i < NROWS; i++)
        if (strcmp(name, rows[i].name) == 0)
            return &rows[i];
    return NULL;
}

/* -1 go on, else the exit status. */
static int
parse_options(int argc, char **argv, struct gh_idpd_options *o)
{
    const struct option_row *row;
    int i;

    o->dir = getenv("GATEHOUSE_DIR");
    for (i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            help();
            return EXIT_OK;
        }
        row = find_row(argv[i]);
        if (row == NULL)
            return usage("no such option", argv[i]);
        if (row->argument == NULL) {
            *(bool *)((char *)o + row->offset) = true;
            continue;
        }
        if (++i == argc)
            return usage("needs an argument", row->name);
        *(const char **)((char *)o + row->offset) = argv[i];
    }
    if (o->dir == NULL || o->dir[0] == '\0')
        return usage("is needed", "--dir");
    return -1;
}

/* Below DIR unless it was said otherwise. Lives as long as the process. */
static const char *
below(const char *given, const char *fmt, const char *dir)
{
    char *text;

    if (given != NULL)
        return given;
    if (asprintf(&text, fmt, dir) < 0)
        abort();
    return text;
}

static int
user_of(const char *text, uid_t *out)
{
    struct passwd *p;
    uint64_t n;

    *out = (uid_t)-1;
    if (text == NULL)
        return 0;
    if (gh_parse_u64(gh_slice_str(text), 0, UINT32_MAX - 1, &n) == 0) {
        *out = (uid_t)n;
        return 0;
    }
    p = getpwnam(text);
    if (p == NULL)
        return -1;
    *out = p->pw_uid;
    return 0;
}

static int
group_of(const char *text, gid_t *out)
{
    struct group *g;
    uint64_t n;

    *out = (gid_t)-1;
    if (text == NULL)
        return 0;
    if (gh_parse_u64(gh_slice_str(text), 0, UINT32_MAX - 1, &n) == 0) {
        *out = (gid_t)n;
        return 0;
    }
    g = getgrnam(text);
    if (g == NULL)
        return -1;
    *out = g->gr_gid;
    return 0;
}

static int
settle_options(struct gh_idpd *d)
{
    struct gh_idpd_options *o = &d->o;

    o->catalog = below(o->catalog, "%s/catalog", o->dir);
    o->sock = below(o->sock, "%s/sock/idp.sock", o->dir);
    o->control = below(o->control, "%s/sock/control.sock", o->dir);
    o->redis = below(o->redis, "unix:%s/sock/redis.sock", o->dir);
    if (user_of(o->gate_uid, &d->gate) != 0)
        return usage("no such user", o->gate_uid);
    if (user_of(o->control_uid, &d->control) != 0)
        return usage("no such user", o->control_uid);
    if (group_of(o->group, &d->group) != 0)
        return usage("no such group", o->group);
    d->refresh_after_ms = REFRESH_AFTER_MS;
    if (o->refresh_after != NULL &&
        gh_parse_duration(gh_slice_str(o->refresh_after),
                          &d->refresh_after_ms) != 0)
        return usage("no time such as 10s", o->refresh_after);
    if (geteuid() == 0 && !o->allow_root)
        return usage("give it a user of its own, or --allow-root",
                     "running as root");
    return -1;
}

/* ---- shared small things */

uint64_t
gh_idpd_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t
gh_idpd_mono_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

int
gh_idpd_provider(struct gh_idpd *d, struct gh_slice name,
                 const struct gh_alloc *a, struct gh_idp *out,
                 struct gh_error *e)
{
    int found;

    pthread_mutex_lock(&d->catalog_lock);
    found = gh_catalog_begin(d->catalog, e);
    if (found == 0) {
        found = gh_catalog_idp(d->catalog, name, a, out, e);
        gh_catalog_end(d->catalog);
    }
    pthread_mutex_unlock(&d->catalog_lock);
    return found;
}

/* ---- start and end */

static int
read_secret(struct gh_idpd *d, struct gh_error *e)
{
    unsigned char key[GH_KEY_SIZE];
    struct gh_secret secret;
    char path[4096];
    int rc;

    snprintf(path, sizeof(path), "%s/secret", d->o.dir);
    if (gh_secret_read(path, &secret, e) != 0)
        return -1;
    rc = gh_session_keys_init(&d->sessions, &secret, e) != 0 ||
                 gh_seal_init(&d->login_seal, &secret, "login-state", e) != 0 ||
                 gh_secret_derive(&secret, "login-used", key, e) != 0
             ? -1
             : 0;
    if (rc == 0)
        gh_hmac_init(&d->state_key, gh_slice(key, sizeof(key)));
    gh_secret_wipe(&secret);
    OPENSSL_cleanse(key, sizeof(key));
    return rc;
}

static int
make_own_directory(struct gh_idpd *d, struct gh_error *e)
{
    char path[4096];

    snprintf(path, sizeof(path), "%s/idp", d->o.dir);
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return gh_error_sys(e, errno, "%s", path);
    if (access(path, W_OK | X_OK) != 0)
        return gh_error_sys(e, errno, "%s", path);
    return 0;
}

/* The catalog appears when control has started; until then there is nobody to
 * log in. 0, -1, or 1: told to end meanwhile. */
static int
open_catalog(struct gh_idpd *d, const sigset_t *ending, struct gh_error *e)
{
    struct timespec pause = {0, 100 * 1000000};
    bool said = false;

    while (gh_catalog_open_reader(d->o.catalog, &d->catalog, e) != 0) {
        if (!said)
            gh_log(GH_LOG_INFO, "waiting for the catalog: %s", e->message);
        said = true;
        if (sigtimedwait(ending, NULL, &pause) > 0)
            return 1;
    }
    return 0;
}

static int
start(struct gh_idpd *d, struct gh_error *e)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return gh_error_set(e, GH_EIO, "libcurl won't start");
    if (gh_oauth2_client_start(e) != 0 ||
        gh_idpd_redis_create(d->o.redis, &d->redis, e) != 0 ||
        gh_idpd_keepers_start(d, e) != 0 || gh_idpd_http_start(d, e) != 0)
        return -1;
    gh_log(GH_LOG_INFO, "ready on %s", d->o.sock);
    return 0;
}

static void
stop(struct gh_idpd *d)
{
    gh_idpd_http_stop(d);
    gh_idpd_keepers_stop(d);
    gh_idpd_redis_destroy(d->redis);
    gh_catalog_close(d->catalog);
    gh_oauth2_client_stop();
    curl_global_cleanup();
    gh_session_keys_wipe(&d->sessions);
    gh_seal_wipe(&d->login_seal);
    OPENSSL_cleanse(&d->state_key, sizeof(d->state_key));
}

int
main(int argc, char **argv)
{
    static struct gh_idpd d;
    sigset_t ending;
    struct gh_error e;
    int rc = parse_options(argc, argv, &d.o), sig;

    if (rc < 0)
        rc = settle_options(&d);
    if (rc >= 0)
        return rc;
    gh_log_to_stderr("gatehouse-idp", d.o.verbose ? GH_LOG_DEBUG : GH_LOG_INFO);
    /* before the first thread, so that all inherit the mask */
    sigemptyset(&ending);
    sigaddset(&ending, SIGTERM);
    sigaddset(&ending, SIGINT);
    pthread_sigmask(SIG_BLOCK, &ending, NULL);
    signal(SIGPIPE, SIG_IGN);
    d.started_ms = gh_idpd_now_ms();
    pthread_mutex_init(&d.catalog_lock, NULL);
    if (gh_idpd_give_up_rights(&e) != 0 || read_secret(&d, &e) != 0 ||
        make_own_directory(&d, &e) != 0)
        goto failed;
    rc = open_catalog(&d, &ending, &e);
    if (rc == 1)
        return EXIT_OK;
    if (rc != 0 || start(&d, &e) != 0)
        goto failed;
    while (sigwait(&ending, &sig) != 0)
        ;
    gh_log(GH_LOG_INFO, "ending");
    atomic_store(&d.ending_ms, gh_idpd_mono_ms());
    stop(&d);
    return EXIT_OK;

failed:
    gh_log(GH_LOG_ERROR, "%s", e.message);
    return EXIT_FAILED;
}
