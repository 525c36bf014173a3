/* SPDX-License-Identifier: Apache-2.0 */
/* Canonical JSON to the launch record, and to what the house must know. */
#include "compose.h"

#include "encode.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define STANDARD_MEMORY (UINT64_C(512) << 20)
#define STANDARD_PIDS 512
#define STANDARD_TMP (UINT64_C(64) << 20)
#define STANDARD_FILES 65536 /* nofile */
#define STANDARD_LOG (UINT64_C(10) << 20)

struct build {
    struct gh_launch_plan *p;
    struct gh_buffer *heap;
    struct gh_error *e;
    const json_t *service, *x;
    const char *fault; /* the first one */
};

/* ---- reading canonical JSON, which was checked when it was made */

static const char *
text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

static uint64_t
size_of(const json_t *o, const char *key, uint64_t standard)
{
    const char *t = text_of(o, key);
    uint64_t v;

    return t != NULL && gh_parse_size(gh_slice_str(t), &v) == 0 ? v : standard;
}

static uint64_t
number_of(const json_t *o, const char *key, uint64_t standard)
{
    const json_t *v = json_object_get(o, key);

    return json_is_integer(v) ? (uint64_t)json_integer_value(v) : standard;
}

static unsigned
duration_of(const json_t *o, const char *key, unsigned standard)
{
    const char *t = text_of(o, key);
    uint64_t ms;

    return t != NULL && gh_parse_duration(gh_slice_str(t), &ms) == 0
               ? (unsigned)ms
               : standard;
}

static const json_t *
limits_of(const json_t *service)
{
    return json_object_get(
        json_object_get(json_object_get(service, "deploy"), "resources"),
        "limits");
}

/* ---- the heap */

static uint32_t
put(struct build *b, const char *text)
{
    uint32_t at = (uint32_t)b->heap->len;

    gh_buffer_append(b->heap, gh_slice(text, strlen(text) + 1));
    return at;
}

static void
add_env(struct build *b, const char *name, const char *value)
{
    uint32_t at = (uint32_t)b->heap->len;

    if (b->p->nenv == GH_LAUNCH_ENV)
        return;
    gh_buffer_printf(b->heap, "%s=%s", name, value);
    gh_buffer_append(b->heap, gh_slice("", 1));
    b->p->env[b->p->nenv++] = at;
}

static struct gh_launch_mount *
add_mount(struct build *b, enum gh_launch_mount_kind kind, const char *target,
          unsigned flags)
{
    struct gh_launch_mount *m;

    if (b->p->nmounts == GH_LAUNCH_MOUNTS) {
        b->fault = "too many mounts and files";
        return NULL;
    }
    m = &b->p->mounts[b->p->nmounts++];
    m->kind = kind;
    m->flags = flags;
    m->target = put(b, target);
    m->mode = 01777;
    return m;
}

static void
add_bind(struct build *b, const char *source, const char *target,
         unsigned flags)
{
    struct gh_launch_mount *m = add_mount(b, GH_LAUNCH_BIND, target, flags);

    if (m != NULL)
        m->source = put(b, source);
}

static void
add_file(struct build *b, const char *target, const char *content,
         unsigned mode)
{
    struct gh_launch_mount *m =
        add_mount(b, GH_LAUNCH_FILE, target, GH_LAUNCH_RO);

    if (m == NULL)
        return;
    m->mode = mode;
    m->size = strlen(content);
    m->source = put(b, content);
}

/* ---- what a packaged program finds of the host, beside /usr */

static const char *const shown[] = {
    "/etc/alternatives",   "/etc/fonts",        "/etc/ld.so.cache",
    "/etc/ld.so.conf",     "/etc/ld.so.conf.d", "/etc/magic",
    "/etc/mime.types",     "/etc/perl",         "/etc/protocols",
    "/etc/python3",        "/etc/services",     "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf"};

static void
add_host_files(struct build *b)
{
    char text[512];

    for (size_t i = 0; i < sizeof(shown) / sizeof(shown[0]); i++)
        add_bind(b, shown[i], shown[i], GH_LAUNCH_RO | GH_LAUNCH_OPTIONAL);
    snprintf(text, sizeof(text),
             "root:x:0:0:root:/:/usr/sbin/nologin\n"
             "service:x:%u:%u:service:/tmp:/usr/sbin/nologin\n"
             "nobody:x:65534:65534:nobody:/:/usr/sbin/nologin\n",
             b->p->uid != 0 ? b->p->uid : 1000,
             b->p->uid != 0 ? b->p->gid : 1000);
    add_file(b, "/etc/passwd", text, 0444);
    snprintf(text, sizeof(text), "root:x:0:\nservice:x:%u:\nnogroup:x:65534:\n",
             b->p->gid != 0 ? b->p->gid : 1000);
    add_file(b, "/etc/group", text, 0444);
    add_file(b, "/etc/nsswitch.conf",
             "passwd: files\ngroup: files\nhosts: files\nservices: files\n",
             0444);
    add_file(b, "/etc/resolv.conf", "", 0444);
    snprintf(text, sizeof(text), "%s\n", b->p->hostname);
    add_file(b, "/etc/hostname", text, 0444);
}

static void
add_tmpfs(struct build *b, const char *text)
{
    const char *colon = strchr(text, ':'), *size, *mode;
    struct gh_launch_mount *m;
    char path[1024], number[24] = "";
    uint64_t v;

    if (gh_slice_copy(gh_slice(text, colon != NULL ? (size_t)(colon - text)
                                                   : strlen(text)),
                      path, sizeof(path)) != 0)
        return;
    m = add_mount(b, GH_LAUNCH_TMPFS, path, GH_LAUNCH_NOEXEC);
    if (m == NULL || colon == NULL)
        return;
    size = strstr(colon, "size=");
    mode = strstr(colon, "mode=");
    if (size != NULL &&
        gh_slice_copy(gh_slice(size + 5, strcspn(size + 5, ",")), number,
                      sizeof(number)) == 0 &&
        gh_parse_size(gh_slice_str(number), &v) == 0)
        m->size = v;
    if (mode != NULL)
        m->mode = (uint32_t)strtoul(mode + 5, NULL, 8) & 07777;
}

static void
add_volumes(struct build *b)
{
    const json_t *one;
    size_t i;

    json_array_foreach(json_object_get(b->service, "tmpfs"), i, one)
        add_tmpfs(b, json_string_value(one));
    json_array_foreach(json_object_get(b->service, "volumes"), i, one)
    {
        bool host = strcmp(text_of(one, "type"), "bind") == 0;
        struct gh_launch_mount *m = add_mount(
            b, host ? GH_LAUNCH_BIND : GH_LAUNCH_VOLUME, text_of(one, "target"),
            (json_is_true(json_object_get(one, "read_only")) ? GH_LAUNCH_RO
                                                             : 0) |
                (host ? 0 : GH_LAUNCH_NOEXEC));

        if (m != NULL)
            m->source = put(b, text_of(one, "source"));
    }
}

static void
add_files(struct build *b)
{
    const json_t *one;
    const char *path;

    json_object_foreach((json_t *)json_object_get(b->x, "files"), path, one)
        add_file(b, path, text_of(one, "content"),
                 (unsigned)strtoul(text_of(one, "mode"), NULL, 8) & 07777);
}

/* Parents before what lies in them. What a service names itself comes after
 * what every service gets, and so lies above it. */
static int
by_depth(const void *x, const void *y, void *ctx)
{
    const struct gh_launch_mount *a = x, *b = y;
    const char *heap = ctx;
    size_t n = strlen(heap + a->target), m = strlen(heap + b->target);

    if (n != m)
        return n < m ? -1 : 1;
    return a->target < b->target ? -1 : a->target > b->target;
}

/* ---- the parts of a plan */

static void
fill_identity(struct build *b)
{
    struct gh_launch_plan *p = b->p;
    const char *user = text_of(b->service, "user");
    const json_t *one;
    char *colon;
    size_t i;

    p->uid = p->gid = 1000;
    if (user != NULL) {
        p->uid = (uint32_t)strtoul(user, &colon, 10);
        p->gid =
            *colon == ':' ? (uint32_t)strtoul(colon + 1, NULL, 10) : p->uid;
    }
    json_array_foreach(json_object_get(b->service, "group_add"), i, one)
        p->groups[p->ngroups++] = (uint32_t)json_integer_value(one);
    json_array_foreach(json_object_get(b->service, "cap_add"), i, one)
        p->caps |= UINT64_C(1) << gh_compose_capability(json_string_value(one));
}

static void
fill_rlimits(struct build *b)
{
    const json_t *one;
    const char *name;

    b->p->rlimits[RLIMIT_NOFILE] =
        (struct gh_launch_rlimit){STANDARD_FILES, STANDARD_FILES, 1, 0};
    b->p->rlimits[RLIMIT_CORE] = (struct gh_launch_rlimit){0, 0, 1, 0};
    json_object_foreach((json_t *)json_object_get(b->service, "ulimits"), name,
                        one)
    {
        struct gh_launch_rlimit *r = &b->p->rlimits[gh_compose_rlimit(name)];

        r->soft = (uint64_t)json_integer_value(json_object_get(one, "soft"));
        r->hard = (uint64_t)json_integer_value(json_object_get(one, "hard"));
        r->set = 1;
    }
}

static void
fill_limits(struct build *b)
{
    const json_t *l = limits_of(b->service);
    const json_t *options =
        json_object_get(json_object_get(b->service, "logging"), "options");
    struct gh_launch_plan *p = b->p;
    const char *cpus = text_of(l, "cpus");
    uint64_t both;

    p->memory =
        size_of(l, "memory", size_of(b->service, "mem_limit", STANDARD_MEMORY));
    both = size_of(b->service, "memswap_limit", p->memory);
    p->swap = both > p->memory ? both - p->memory : 0;
    p->pids = number_of(l, "pids",
                        number_of(b->service, "pids_limit", STANDARD_PIDS));
    if (cpus == NULL)
        cpus = text_of(b->service, "cpus");
    if (cpus != NULL) {
        p->cpu_period_us = 100000;
        p->cpu_quota_us = (uint64_t)(strtod(cpus, NULL) * 100000.0 + 0.5);
    }
    p->cpu_shares = number_of(b->service, "cpu_shares", 0);
    if (text_of(b->service, "cpuset") != NULL)
        p->cpuset = put(b, text_of(b->service, "cpuset"));
    p->tmp_size = size_of(b->service, "shm_size", STANDARD_TMP);
    p->log_size = size_of(options, "max-size", STANDARD_LOG);
    p->log_files = (uint32_t)number_of(options, "max-file", 3);
    fill_rlimits(b);
}

static void
fill_flags(struct build *b, const struct gh_compose_life *life)
{
    struct gh_launch_plan *p = b->p;
    const char *rootfs = text_of(b->x, "rootfs");

    p->umask = life->listen == GH_COMPOSE_OWN_SOCKET ? 0007 : 0022;
    p->flags |= GH_LAUNCH_READ_ONLY;
    if (rootfs != NULL) {
        p->flags |= GH_LAUNCH_ROOTFS;
        p->rootfs = put(b, rootfs);
    }
    if (life->listen == GH_COMPOSE_PORT_OF_LINK) {
        p->flags |= GH_LAUNCH_VETH;
        p->port = life->port;
    } else if (life->listen == GH_COMPOSE_HANDED) {
        p->flags |= GH_LAUNCH_LISTEN;
    } else if (life->listen == GH_COMPOSE_OWN_SOCKET) {
        p->flags |= GH_LAUNCH_SOCKET_DIR;
    }
    if (json_array_size(json_object_get(b->x, "egress")) > 0)
        p->flags |= GH_LAUNCH_VETH | GH_LAUNCH_EGRESS_GATE;
    if (json_is_false(json_object_get(b->x, "landlock")))
        p->flags |= GH_LAUNCH_NO_LANDLOCK;
    if (json_is_true(json_object_get(b->service, "init")))
        p->flags |= GH_LAUNCH_INIT;
    p->stop_signal = (uint32_t)life->stop_signal;
    p->grace_ms = life->grace_ms;
}

static void
fill_environment(struct build *b, const struct gh_compose_life *life)
{
    const json_t *env = json_object_get(b->service, "environment"), *value;
    static const char *const standard[][2] = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"},
        {"HOME", "/tmp"},
        {"LANG", "C.UTF-8"}};
    const char *name;
    char port[16];

    for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++)
        if (json_object_get(env, standard[i][0]) == NULL)
            add_env(b, standard[i][0], standard[i][1]);
    if (life->listen == GH_COMPOSE_PORT_OF_LINK &&
        json_object_get(env, "PORT") == NULL) {
        snprintf(port, sizeof(port), "%u", life->port);
        add_env(b, "PORT", port);
    }
    if (life->listen == GH_COMPOSE_HANDED) {
        add_env(b, "LISTEN_FDS", "1");
        add_env(b, "LISTEN_PID", b->p->flags & GH_LAUNCH_INIT ? "2" : "1");
    }
    json_object_foreach((json_t *)env, name, value)
        add_env(b, name, json_string_value(value));
}

static void
fill_command(struct build *b)
{
    static const char *const keys[] = {"entrypoint", "command"};
    const json_t *word;
    const char *cwd = text_of(b->service, "working_dir");
    size_t i;

    for (int k = 0; k < 2; k++)
        json_array_foreach(json_object_get(b->service, keys[k]), i, word)
        {
            if (b->p->nargs == GH_LAUNCH_ARGS)
                b->fault = "too many words in the command";
            else
                b->p->args[b->p->nargs++] = put(b, json_string_value(word));
        }
    if (b->p->nargs == 0 ||
        *json_string_value(json_array_get(
            json_object_get(b->service, json_array_size(json_object_get(
                                            b->service, "entrypoint")) > 0
                                            ? "entrypoint"
                                            : "command"),
            0)) == '\0')
        b->fault = "a command is missing: command: [/usr/bin/PROGRAM, ...]";
    if (cwd != NULL)
        b->p->cwd = put(b, cwd);
}

static void
fill(struct build *b, const struct gh_compose_life *life)
{
    const char *host = text_of(b->service, "hostname");

    snprintf(b->p->hostname, sizeof(b->p->hostname), "%s",
             host != NULL ? host : b->p->name);
    fill_identity(b);
    fill_limits(b);
    fill_flags(b, life);
    if (!(b->p->flags & GH_LAUNCH_ROOTFS))
        add_host_files(b);
    add_volumes(b);
    add_files(b);
    fill_command(b);
    fill_environment(b, life);
}

int
gh_compose_plan(const char *name, unsigned replica, const json_t *service,
                struct gh_buffer *out, struct gh_error *e)
{
    struct gh_launch_plan *p = calloc(1, sizeof(*p));
    struct gh_buffer heap = GH_BUFFER_INIT;
    struct build b = {
        p, &heap, e, service, json_object_get(service, "x-gatehouse"), NULL};
    struct gh_compose_life life;
    int rc = -1;

    if (p == NULL)
        return gh_error_set(e, GH_ENOMEM, "no memory");
    if (gh_compose_life(service, &life, e) != 0) {
        free(p);
        return -1;
    }
    p->magic = GH_LAUNCH_MAGIC;
    p->version = GH_LAUNCH_VERSION;
    p->size = sizeof(*p);
    p->replica = replica;
    snprintf(p->name, sizeof(p->name), "%s", name);
    gh_buffer_append(&heap, gh_slice("", 1));
    fill(&b, &life);
    gh_buffer_append(&heap, gh_slice("", 1));
    p->heap = (uint32_t)heap.len;
    if (!heap.failed)
        qsort_r(p->mounts, p->nmounts, sizeof(p->mounts[0]), by_depth,
                heap.data);
    gh_buffer_clear(out);
    gh_buffer_append(out, gh_slice(p, sizeof(*p)));
    gh_buffer_append(out, gh_buffer_slice(&heap));
    if (b.fault != NULL)
        gh_error_set(e, GH_EINVAL, "%s", b.fault);
    else if (heap.failed || out->failed)
        gh_error_set(e, GH_ENOMEM, "no memory");
    else
        rc = gh_launch_check(out->data, out->len, e);
    gh_buffer_finish(&heap);
    free(p);
    return rc;
}

/* ---- life */

static int
read_listen(const json_t *service, struct gh_compose_life *out)
{
    const json_t *listen =
        json_object_get(json_object_get(service, "x-gatehouse"), "listen");
    const char *t = json_string_value(listen);

    out->listen = GH_COMPOSE_PORT_OF_LINK;
    out->port = GH_COMPOSE_PORT;
    if (json_is_integer(listen))
        out->port = (unsigned)json_integer_value(listen);
    else if (t != NULL && strcmp(t, "fd") == 0)
        out->listen = GH_COMPOSE_HANDED;
    else if (t != NULL && strcmp(t, "none") == 0)
        out->listen = GH_COMPOSE_NOWHERE;
    else if (t != NULL && strncmp(t, "unix:", 5) == 0) {
        out->listen = GH_COMPOSE_OWN_SOCKET;
        snprintf(out->socket, sizeof(out->socket), "%s", t + 5);
    } else if (json_array_size(json_object_get(service, "expose")) > 0)
        out->port = (unsigned)json_integer_value(
            json_array_get(json_object_get(service, "expose"), 0));
    return 0;
}

static int
signal_number(const char *name)
{
    static const struct {
        const char *name;
        int number;
    } signals[] = {{"SIGTERM", SIGTERM},   {"SIGINT", SIGINT},
                   {"SIGQUIT", SIGQUIT},   {"SIGHUP", SIGHUP},
                   {"SIGUSR1", SIGUSR1},   {"SIGUSR2", SIGUSR2},
                   {"SIGWINCH", SIGWINCH}, {"SIGKILL", SIGKILL}};

    for (size_t i = 0; name != NULL && i < sizeof(signals) / sizeof(signals[0]);
         i++)
        if (strcmp(name, signals[i].name) == 0)
            return signals[i].number;
    return SIGTERM;
}

int
gh_compose_life(const json_t *service, struct gh_compose_life *out,
                struct gh_error *e)
{
    const json_t *x = json_object_get(service, "x-gatehouse"),
                 *ready = json_object_get(x, "ready"),
                 *health = json_object_get(service, "healthcheck"), *one;
    const char *restart = text_of(service, "restart");
    size_t i;

    memset(out, 0, sizeof(*out));
    read_listen(service, out);
    out->replicas =
        (unsigned)number_of(json_object_get(service, "deploy"), "replicas", 1);
    if (text_of(ready, "http") != NULL) {
        snprintf(out->http, sizeof(out->http), "%s", text_of(ready, "http"));
        snprintf(out->host, sizeof(out->host), "%s", text_of(ready, "host"));
    }
    out->every_ms = duration_of(health, "interval", 2000);
    out->within_ms = duration_of(health, "timeout", 2000);
    out->failures = (unsigned)number_of(health, "retries", 3);
    out->patience_ms = duration_of(health, "start_period", 60000);
    if (out->every_ms < 100 || out->within_ms < 10)
        return gh_error_set(e, GH_EINVAL,
                            "healthcheck: interval from 100ms, timeout from "
                            "10ms on");
    out->restart = restart != NULL && strcmp(restart, "no") == 0
                       ? GH_COMPOSE_NEVER
                   : restart != NULL && strcmp(restart, "on-failure") == 0
                       ? GH_COMPOSE_ON_FAILURE
                       : GH_COMPOSE_ALWAYS;
    out->stop_signal = signal_number(text_of(service, "stop_signal"));
    out->grace_ms = duration_of(service, "stop_grace_period", 10000);
    json_array_foreach(json_object_get(service, "depends_on"), i, one) snprintf(
        out->after[out->nafter++], GH_NAME_SIZE, "%s", json_string_value(one));
    if (out->replicas > 1 &&
        (out->listen == GH_COMPOSE_OWN_SOCKET ||
         json_array_size(json_object_get(service, "volumes")) > 0))
        return gh_error_set(e, GH_EINVAL,
                            "replicas cannot share a socket or a volume: one "
                            "replica, or neither");
    return 0;
}
