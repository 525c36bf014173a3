/* SPDX-License-Identifier: Apache-2.0 */
/* Start of gatehouse-control: options, rights, then the loop. */
#include "control.h"

#include "document_schema.h"
#include "encode.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

/* ---- options */

enum option_type { TEXT, SIZE_MB, FLAG, ACTION };

struct option_row {
    const char *name, *value;
    enum option_type type;
    size_t at; /* in struct gh_control_options */
    const char *help;
};

#define AT(field) offsetof(struct gh_control_options, field)

static const struct option_row options[] = {
    {"dir", "DIR", TEXT, AT(dir),
     "the installation's directory (GATEHOUSE_DIR, else /var/lib/gatehouse)"},
    {"redis", "ADDRESS", TEXT, AT(redis),
     "unix:/PATH or HOST:PORT, for usage and doctor"},
    {"map-size", "SIZE", SIZE_MB, AT(map_mb),
     "most that the catalog can grow to: 1g by default"},
    {"group", "GROUP", TEXT, AT(group),
     "who may read the catalog: name or number"},
    {"idp-user", "USER", TEXT, AT(idp_user),
     "uid of gatehouse-idp: name or number"},
    {"socket", "PATH", TEXT, AT(socket), "default DIR/sock/control.sock"},
    {"idp-socket", "PATH", TEXT, AT(idp_socket), "default DIR/sock/idp.sock"},
    {"gate-socket", "PATH", TEXT, AT(gate_socket),
     "default DIR/sock/gate.sock"},
    {"allow-root", NULL, FLAG, AT(allow_root),
     "run as root all the same (for tests)"},
    {"verbose", NULL, FLAG, AT(verbose), "log each step"},
    {"reference", NULL, ACTION, 0, "print the document's reference page"},
    {"help", NULL, ACTION, 0, "print this"},
};
#define OPTIONS (sizeof(options) / sizeof(*options))

static void
print_help(void)
{
    char left[64];

    printf("Usage: gatehouse-control [OPTION]...\n\n"
           "Owns the catalog and serves the control API. gatehoused starts "
           "it.\n\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        snprintf(left, sizeof(left), "--%s%s%s", options[i].name,
                 options[i].value != NULL ? " " : "",
                 options[i].value != NULL ? options[i].value : "");
        printf("  %-22s %s\n", left, options[i].help);
    }
}

static void
print_reference(void)
{
    struct gh_buffer b = GH_BUFFER_INIT;

    gh_document_reference(&b);
    fwrite(b.data, 1, b.len, stdout);
    gh_buffer_finish(&b);
}

static int
act(const char *name)
{
    if (strcmp(name, "help") == 0)
        print_help();
    else
        print_reference();
    return fflush(stdout) == 0 ? 1 : -1;
}

/* 0 go on, 1 done, -1 wrong. */
static int
take_option(struct gh_control_options *o, const struct option_row *row,
            const char *value)
{
    char *base = (char *)o;
    uint64_t bytes;

    switch (row->type) {
    case TEXT:
        memcpy(base + row->at, &value, sizeof(value));
        return 0;
    case SIZE_MB:
        if (gh_parse_size(gh_slice_str(value), &bytes) != 0 ||
            bytes < (1 << 20) || bytes >> 20 > (1 << 20)) {
            fprintf(stderr, "gatehouse-control: --%s: 1m to 1024g\n",
                    row->name);
            return -1;
        }
        bytes >>= 20;
        memcpy(base + row->at, &bytes, sizeof(bytes));
        return 0;
    case FLAG:
        base[row->at] = true;
        return 0;
    case ACTION:
        return act(row->name);
    }
    return -1;
}

static int
parse_options(int argc, char **argv, struct gh_control_options *o)
{
    for (int i = 1; i < argc; i++) {
        const char *arg = argv[i], *value;
        size_t n, row = 0;
        int rc;

        if (strncmp(arg, "--", 2) != 0)
            goto unknown;
        arg += 2;
        n = strcspn(arg, "=");
        while (row < OPTIONS && (strlen(options[row].name) != n ||
                                 strncmp(options[row].name, arg, n) != 0))
            row++;
        if (row == OPTIONS)
            goto unknown;
        value = arg[n] == '=' ? arg + n + 1 : NULL;
        if (options[row].value != NULL && value == NULL) {
            if (++i == argc)
                goto unknown;
            value = argv[i];
        }
        if ((options[row].value == NULL) != (value == NULL))
            goto unknown;
        rc = take_option(o, &options[row], value);
        if (rc != 0)
            return rc;
        continue;

    unknown:
        fprintf(stderr,
                "gatehouse-control: \"%s\" is not understood; --help lists "
                "the options\n",
                argv[i < argc ? i : argc - 1]);
        return -1;
    }
    return 0;
}

static const char *
below(const char *dir, const char *path)
{
    char *s;

    return asprintf(&s, "%s/%s", dir, path) > 0 ? s : NULL;
}

static void
fill_defaults(struct gh_control_options *o)
{
    if (o->dir == NULL)
        o->dir = getenv("GATEHOUSE_DIR");
    if (o->dir == NULL || *o->dir == '\0')
        o->dir = "/var/lib/gatehouse";
    if (o->map_mb == 0)
        o->map_mb = 1024;
    if (o->socket == NULL)
        o->socket = below(o->dir, "sock/control.sock");
    if (o->idp_socket == NULL)
        o->idp_socket = below(o->dir, "sock/idp.sock");
    if (o->gate_socket == NULL)
        o->gate_socket = below(o->dir, "sock/gate.sock");
}

/* ---- names to numbers */

static int
find_uid(const char *name, uid_t *out, struct gh_error *e)
{
    struct passwd *pw;
    uint64_t n;

    *out = (uid_t)-1;
    if (name == NULL || *name == '\0')
        return 0;
    if (gh_parse_u64(gh_slice_str(name), 0, UINT32_MAX - 1, &n) == 0)
        *out = (uid_t)n;
    else if ((pw = getpwnam(name)) != NULL)
        *out = pw->pw_uid;
    else
        return gh_error_set(e, GH_EINVAL, "there is no user \"%s\"", name);
    return 0;
}

static int
find_gid(const char *name, int *out, struct gh_error *e)
{
    struct group *gr;
    uint64_t n;

    *out = -1;
    if (name == NULL || *name == '\0')
        return 0;
    if (gh_parse_u64(gh_slice_str(name), 0, INT32_MAX, &n) == 0)
        *out = (int)n;
    else if ((gr = getgrnam(name)) != NULL)
        *out = (int)gr->gr_gid;
    else
        return gh_error_set(e, GH_EINVAL, "there is no group \"%s\"", name);
    return 0;
}

/* ---- the ladder */

static int
read_secret(struct gh_control *c, struct gh_error *e)
{
    unsigned char key[GH_KEY_SIZE];
    struct gh_secret secret;
    const char *path = below(c->o.dir, "secret");
    int rc = gh_secret_read(path, &secret, e);

    free((void *)path);
    if (rc != 0)
        return -1;
    rc = gh_secret_derive(&secret, "credential", key, e);
    if (rc == 0) {
        gh_hmac_init(&c->credential_key, gh_slice(key, sizeof(key)));
        rc = gh_secret_derive(&secret, "secret-print", key, e);
    }
    if (rc == 0)
        gh_hmac_init(&c->print_key, gh_slice(key, sizeof(key)));
    gh_secret_wipe(&secret);
    explicit_bzero(key, sizeof(key));
    return rc;
}

/* One writer: a second one would also take the socket's name away. Held until
 * the process ends. */
static int
lock_catalog(const char *dir, struct gh_error *e)
{
    const char *path = below(dir, "control.lock");
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int rc = 0;

    if (fd < 0)
        rc = gh_error_sys(e, errno, "%s", path);
    else if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        rc = gh_error_set(e, GH_EEXIST,
                          "%s: another gatehouse-control is running here", dir);
    free((void *)path);
    return rc;
}

static int
open_catalog(struct gh_control *c, struct gh_error *e)
{
    const char *path = below(c->o.dir, "catalog");
    int rc;

    if (mkdir(path, 02750) != 0 && errno != EEXIST)
        rc = gh_error_sys(e, errno, "%s", path);
    else
        rc = lock_catalog(path, e);
    if (rc == 0)
        rc =
            gh_catalog_open_writer(path, c->o.map_mb, c->group, &c->catalog, e);
    free((void *)path);
    return rc;
}

static int
stop_on_signal(sd_event_source *s, const struct signalfd_siginfo *si, void *ctx)
{
    return sd_event_exit(sd_event_source_get_event(s), 0);
}

static int
make_loop(struct gh_control *c, struct gh_error *e)
{
    sigset_t set;
    int rc;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    rc = sd_event_default(&c->loop);
    if (rc >= 0)
        rc = sd_event_add_signal(c->loop, NULL, SIGTERM, stop_on_signal, NULL);
    if (rc >= 0)
        rc = sd_event_add_signal(c->loop, NULL, SIGINT, stop_on_signal, NULL);
    if (rc >= 0)
        rc = sd_event_set_watchdog(c->loop, true);
    return rc >= 0 ? 0 : gh_error_sys(e, -rc, "event loop");
}

static int
start(struct gh_control *c, struct gh_error *e)
{
    if (geteuid() == 0 && !c->o.allow_root)
        return gh_error_set(e, GH_EDENIED,
                            "it does not run as root: gatehoused starts it "
                            "with a uid of its own (or say --allow-root)");
    umask(027);
    c->started_ms = gh_control_now_ms();
    if (find_uid(c->o.idp_user, &c->idp_uid, e) != 0 ||
        find_gid(c->o.group, &c->group, e) != 0 || read_secret(c, e) != 0 ||
        open_catalog(c, e) != 0 || gh_control_load(c, e) != 0 ||
        gh_control_audit_open(c, e) != 0 || make_loop(c, e) != 0 ||
        gh_control_http_start(c, e) != 0 ||
        gh_control_services_start(c, e) != 0 || gh_control_confine(e) != 0)
        return -1;
    return 0;
}

static void
stop(struct gh_control *c)
{
    gh_control_http_stop(c);
    gh_control_services_stop(c);
    if (c->catalog != NULL)
        gh_catalog_close(c->catalog);
    gh_items_finish(&c->items);
    json_decref(c->discovered);
    json_decref(c->prints);
    json_decref(c->keys);
    json_decref(c->runtime);
    if (c->audit_fd >= 0)
        close(c->audit_fd);
    sd_event_unref(c->loop);
}

int
main(int argc, char **argv)
{
    static struct gh_control c;
    struct gh_error e = {0};
    int rc = parse_options(argc, argv, &c.o);

    if (rc != 0)
        return rc > 0 ? 0 : 3;
    fill_defaults(&c.o);
    c.audit_fd = -1;
    gh_log_to_stderr("gatehouse-control",
                     c.o.verbose ? GH_LOG_DEBUG : GH_LOG_INFO);
    if (start(&c, &e) != 0) {
        gh_log(GH_LOG_ERROR, "%s", e.message);
        stop(&c);
        return 1;
    }
    gh_log(GH_LOG_INFO, "serving %s, generation %llu", c.o.socket,
           (unsigned long long)c.generation);
    sd_notify(0, "READY=1");
    rc = sd_event_loop(c.loop);
    stop(&c);
    return rc < 0 ? 1 : 0;
}
