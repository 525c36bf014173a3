/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of a service. One row each: how it is read, or why it is refused
 * and what to do instead.
 */
#include "compose_read.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef json_t *(*reader)(const struct gh_compose_at *at);

struct row {
    const char *key;
    reader read; /* NULL: refused */
    const char *why, *instead;
};

json_t *
gh_compose_fault(const struct gh_compose_at *at, const char *hint,
                 const char *fmt, ...)
{
    char text[GH_ERROR_MESSAGE];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    gh_fault_add(at->f, at->node->line, at->node->column, at->path, hint, "%s",
                 text);
    return NULL;
}

/* ---- x-gatehouse */

static const struct row x_rows[] = {
    {"listen", gh_compose_read_listen, NULL, NULL},
    {"ready", gh_compose_read_ready, NULL, NULL},
    {"egress", gh_compose_read_egress, NULL, NULL},
    {"rootfs", gh_compose_read_path, NULL, NULL},
    {"files", gh_compose_read_files, NULL, NULL},
    {"seccomp", gh_compose_read_seccomp, NULL, NULL},
    {"landlock", gh_compose_read_bool, NULL, NULL},
    {"api", NULL, "APIs name their service, not the other way round",
     "put `service: NAME` into the API of the document"},
    {"route", NULL, "APIs name their service, not the other way round",
     "put `path` and `service: NAME` into an API of the document"},
    {"ingress-from", NULL, "only the gate reaches a service",
     "let the other service call it through the gate (egress: [gate])"},
    {"idle", NULL, "services are not put to sleep yet", "leave it out"},
    {"drain", NULL, "requests drain within stop_grace_period",
     "use stop_grace_period"},
    {"volume-access", NULL, "a volume belongs to one service",
     "use one service, or move the data through an API"},
    {"image-policy", NULL, "there is no image store yet", "use rootfs"},
    {NULL, NULL, NULL, NULL}};

static json_t *read_rows(const struct gh_compose_at *at,
                         const struct row *rows);

static json_t *
read_x(const struct gh_compose_at *at)
{
    return read_rows(at, x_rows);
}

/* ---- deploy */

static const struct row limit_rows[] = {
    {"cpus", gh_compose_read_cpus, NULL, NULL},
    {"memory", gh_compose_read_size, NULL, NULL},
    {"pids", gh_compose_read_pids, NULL, NULL},
    {NULL, NULL, NULL, NULL}};

static json_t *
read_limits(const struct gh_compose_at *at)
{
    return read_rows(at, limit_rows);
}

static const struct row resource_rows[] = {{"limits", read_limits, NULL, NULL},
                                           {"reservations", NULL,
                                            "one host: nothing is reserved",
                                            "use deploy.resources.limits"},
                                           {NULL, NULL, NULL, NULL}};

static json_t *
read_resources(const struct gh_compose_at *at)
{
    return read_rows(at, resource_rows);
}

static const struct row deploy_rows[] = {
    {"replicas", gh_compose_read_replicas, NULL, NULL},
    {"resources", read_resources, NULL, NULL},
    {NULL, NULL, NULL, NULL}};

static json_t *
read_deploy(const struct gh_compose_at *at)
{
    return read_rows(at, deploy_rows);
}

/* ---- healthcheck, logging */

static const struct row health_rows[] = {
    {"interval", gh_compose_read_duration, NULL, NULL},
    {"timeout", gh_compose_read_duration, NULL, NULL},
    {"retries", gh_compose_read_retries, NULL, NULL},
    {"start_period", gh_compose_read_duration, NULL, NULL},
    {"test", NULL, "no program of the host runs inside a sandbox",
     "say `x-gatehouse: {ready: /PATH}` for HTTP, or nothing for connecting"},
    {NULL, NULL, NULL, NULL}};

static json_t *
read_health(const struct gh_compose_at *at)
{
    return read_rows(at, health_rows);
}

static const struct row log_option_rows[] = {
    {"max-size", gh_compose_read_size, NULL, NULL},
    {"max-file", gh_compose_read_log_files, NULL, NULL},
    {NULL, NULL, NULL, NULL}};

static json_t *
read_log_options(const struct gh_compose_at *at)
{
    return read_rows(at, log_option_rows);
}

static const struct row logging_rows[] = {
    {"driver", gh_compose_read_log_driver, NULL, NULL},
    {"options", read_log_options, NULL, NULL},
    {NULL, NULL, NULL, NULL}};

static json_t *
read_logging(const struct gh_compose_at *at)
{
    return read_rows(at, logging_rows);
}

/* ---- the service */

#define NOT_THE_HOSTS "it would share a namespace with the host"

static const struct row service_rows[] = {
    {"command", gh_compose_read_words, NULL, NULL},
    {"entrypoint", gh_compose_read_words, NULL, NULL},
    {"user", gh_compose_read_user, NULL, NULL},
    {"group_add", gh_compose_read_groups, NULL, NULL},
    {"working_dir", gh_compose_read_path, NULL, NULL},
    {"environment", gh_compose_read_environment, NULL, NULL},
    {"read_only", gh_compose_read_read_only, NULL, NULL},
    {"tmpfs", gh_compose_read_tmpfs, NULL, NULL},
    {"volumes", gh_compose_read_volumes, NULL, NULL},
    {"cap_add", gh_compose_read_caps, NULL, NULL},
    {"cap_drop", gh_compose_read_cap_drop, NULL, NULL},
    {"security_opt", gh_compose_read_security, NULL, NULL},
    {"ulimits", gh_compose_read_ulimits, NULL, NULL},
    {"pids_limit", gh_compose_read_pids, NULL, NULL},
    {"mem_limit", gh_compose_read_size, NULL, NULL},
    {"memswap_limit", gh_compose_read_size, NULL, NULL},
    {"shm_size", gh_compose_read_size, NULL, NULL},
    {"cpus", gh_compose_read_cpus, NULL, NULL},
    {"cpu_shares", gh_compose_read_shares, NULL, NULL},
    {"cpuset", gh_compose_read_cpuset, NULL, NULL},
    {"hostname", gh_compose_read_name, NULL, NULL},
    {"expose", gh_compose_read_expose, NULL, NULL},
    {"healthcheck", read_health, NULL, NULL},
    {"depends_on", gh_compose_read_names, NULL, NULL},
    {"restart", gh_compose_read_restart, NULL, NULL},
    {"stop_signal", gh_compose_read_signal, NULL, NULL},
    {"stop_grace_period", gh_compose_read_duration, NULL, NULL},
    {"init", gh_compose_read_bool, NULL, NULL},
    {"labels", gh_compose_read_labels, NULL, NULL},
    {"logging", read_logging, NULL, NULL},
    {"deploy", read_deploy, NULL, NULL},
    {"configs", gh_compose_read_configs, NULL, NULL},
    {"x-gatehouse", read_x, NULL, NULL},
    /* refused */
    {"image", NULL, "there is no image store yet",
     "unpack it and say `x-gatehouse: {rootfs: /DIRECTORY}`; without it the "
     "service sees the host's /usr"},
    {"build", NULL, "nothing is built here",
     "build it elsewhere, then name the directory in x-gatehouse.rootfs"},
    {"privileged", NULL, "a sandbox has no such door",
     "add the one capability that is needed with cap_add"},
    {"network_mode", NULL, NOT_THE_HOSTS,
     "say where it listens in x-gatehouse.listen, what it calls in egress"},
    {"networks", NULL, "services do not reach each other",
     "let them talk through the gate: x-gatehouse: {egress: [gate]}"},
    {"ports", NULL, "only the gate is reached from outside",
     "publish it as an API of the document; expose: [PORT] says its port"},
    {"links", NULL, "services do not reach each other",
     "let them talk through the gate: x-gatehouse: {egress: [gate]}"},
    {"pid", NULL, NOT_THE_HOSTS, "leave it out"},
    {"ipc", NULL, NOT_THE_HOSTS, "leave it out"},
    {"uts", NULL, NOT_THE_HOSTS, "use hostname"},
    {"cgroup", NULL, NOT_THE_HOSTS, "leave it out"},
    {"cgroup_parent", NULL, "groups are the launcher's", "leave it out"},
    {"userns_mode", NULL, "every service has its own range of ids",
     "leave it out"},
    {"devices", NULL, "a service has null, zero, full, random and urandom",
     "leave it out"},
    {"device_cgroup_rules", NULL, "a service has no devices", "leave it out"},
    {"sysctls", NULL, "/proc/sys is read-only", "leave it out"},
    {"blkio_config", NULL, "disks are not limited yet", "leave it out"},
    {"dns", NULL, "a service reaches no name server",
     "the gate has the name `gate` when x-gatehouse.egress has it"},
    {"dns_search", NULL, "a service reaches no name server", "leave it out"},
    {"extra_hosts", NULL, "a service reaches no other host",
     "let it call the gate: x-gatehouse: {egress: [gate]}"},
    {"env_file", NULL, "the control API cannot read files of yours",
     "write the values into environment"},
    {"secrets", NULL, "secrets are not kept apart from files yet",
     "use configs with content, mode 0400"},
    {"extends", NULL, "one file says all of a service", "write it out"},
    {"container_name", NULL, "the service's own name is used", "leave it out"},
    {"external_links", NULL, "services do not reach each other",
     "leave it out"},
    {"mac_address", NULL, "links are the launcher's", "leave it out"},
    {"oom_score_adj", NULL, "services are equal", "use mem_limit"},
    {"oom_kill_disable", NULL, "it would let a service hang", "use mem_limit"},
    {"runtime", NULL, "there is one", "leave it out"},
    {"platform", NULL, "there is one", "leave it out"},
    {"profiles", NULL, "every service of a file is registered",
     "put it into another file"},
    {"pull_policy", NULL, "there is no image store yet", "leave it out"},
    {"scale", NULL, "it has another name", "use deploy: {replicas: N}"},
    {"stdin_open", NULL, "a service's input is empty", "leave it out"},
    {"tty", NULL, "a service has no terminal", "leave it out"},
    {"volumes_from", NULL, "a volume belongs to one service", "leave it out"},
    {NULL, NULL, NULL, NULL}};

static void
unknown_key(const struct gh_compose_at *at, const struct gh_node *n,
            const struct row *rows)
{
    const char *known[80], *near;
    char hint[96];
    size_t count = 0;

    for (; rows[count].key != NULL && count < 80; count++)
        known[count] = rows[count].key;
    near = gh_fault_nearest(n->key, known, count);
    snprintf(hint, sizeof(hint), "did you mean `%s`?",
             near != NULL ? near : "");
    gh_fault_add(at->f, n->key_line, n->key_column, at->path,
                 near != NULL ? hint : "gateway/README.md lists the keys",
                 "unknown key");
}

/* A map by its table. Every child is looked at, so all faults are told. */
static json_t *
read_rows(const struct gh_compose_at *at, const struct row *rows)
{
    json_t *out, *value;
    size_t before = at->f->n + at->f->more;

    if (at->node->kind != GH_NODE_MAP)
        return gh_compose_fault(at, NULL, "a map is wanted");
    out = json_object();
    for (const struct gh_node *n = at->node->first; n != NULL; n = n->next) {
        char path[512];
        struct gh_compose_at child = {at->f, n, path};
        const struct row *r = rows;

        snprintf(path, sizeof(path), "%s%s%.*s", at->path,
                 *at->path != '\0' ? "." : "", (int)n->key.len,
                 (const char *)n->key.data);
        while (r->key != NULL && !gh_slice_eq_str(n->key, r->key))
            r++;
        if (r->key == NULL) {
            unknown_key(&child, n, rows);
        } else if (r->read == NULL) {
            gh_fault_add(at->f, n->key_line, n->key_column, path, r->instead,
                         "not possible here: %s", r->why);
        } else if ((value = r->read(&child)) != NULL) {
            json_object_set_new(out, r->key, value);
        }
    }
    if (at->f->n + at->f->more == before)
        return out;
    json_decref(out);
    return NULL;
}

json_t *
gh_compose_check(const char *name, const struct gh_node *service,
                 const char *path, struct gh_faults *f)
{
    struct gh_compose_at at = {f, service, path};
    struct gh_buffer plan = GH_BUFFER_INIT;
    json_t *out;
    struct gh_error e;

    if (!gh_name_valid(gh_slice_str(name)))
        return gh_compose_fault(&at, "1 to 63 of a-z 0-9 - _",
                                "\"%.63s\" is no name for a service", name);
    out = read_rows(&at, service_rows);
    if (out == NULL)
        return NULL;
    /* What only the whole shows: it must compile. */
    if (gh_compose_plan(name, 0, out, &plan, &e) != 0) {
        gh_compose_fault(&at, NULL, "%s", e.message);
        json_decref(out);
        out = NULL;
    }
    gh_buffer_finish(&plan);
    return out;
}

/* ---- a file */

static bool
top_key_ok(const struct gh_node *n, struct gh_faults *f)
{
    static const char *const known[] = {"services", "configs", "volumes",
                                        "name", "version"};
    const char *near;
    char path[128];

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (gh_slice_eq_str(n->key, known[i]))
            return true;
    near = gh_fault_nearest(n->key, known, 5);
    snprintf(path, sizeof(path), "%.*s", (int)n->key.len,
             (const char *)n->key.data);
    gh_fault_add(f, n->key_line, n->key_column, path,
                 near != NULL ? near
                              : "services, configs, volumes and name are known",
                 "unknown key");
    return false;
}

json_t *
gh_compose_check_file(const struct gh_node *root, struct gh_faults *f)
{
    const struct gh_node *services, *n;
    struct gh_compose_at at = {f, root, ""};
    size_t before = f->n + f->more;
    json_t *out, *one;

    if (root->kind != GH_NODE_MAP)
        return gh_compose_fault(&at, NULL, "a map is wanted");
    for (n = root->first; n != NULL; n = n->next)
        top_key_ok(n, f);
    services = gh_node_get(root, "services");
    if (services == NULL || services->kind != GH_NODE_MAP ||
        services->count == 0)
        return gh_compose_fault(&at, "services: {NAME: {command: ...}}",
                                "no service in it");
    out = json_object();
    for (n = services->first; n != NULL; n = n->next) {
        char name[GH_NAME_SIZE], path[96];

        if (gh_slice_copy(n->key, name, sizeof(name)) != 0)
            snprintf(name, sizeof(name), "%.20s...", (const char *)n->key.data);
        snprintf(path, sizeof(path), "services.%s", name);
        one = gh_compose_check(name, n, path, f);
        if (one != NULL)
            one = gh_compose_put_configs(one, root, n, path, f);
        if (one != NULL)
            json_object_set_new(out, name, one);
    }
    if (f->n + f->more == before)
        return out;
    json_decref(out);
    return NULL;
}
