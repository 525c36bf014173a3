/* SPDX-License-Identifier: Apache-2.0 */
/* x-gatehouse, and configs, which become files of it. */
#include "compose_read.h"

#include "encode.h"
#include "seccomp_filter.h"

#include <stdio.h>
#include <string.h>

/* 8080 | fd | unix:NAME.sock | none */
json_t *
gh_compose_read_listen(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 64, false);
    uint64_t port;

    if (t == NULL)
        return NULL;
    if (gh_parse_u64(gh_slice_str(t), 1, 65535, &port) == 0)
        return json_integer((json_int_t)port);
    if (strcmp(t, "fd") == 0 || strcmp(t, "none") == 0)
        return json_string(t);
    if (strncmp(t, "unix:", 5) == 0 && t[5] != '.' && strlen(t) > 5 &&
        strspn(t + 5, "abcdefghijklmnopqrstuvwxyz0123456789._-") ==
            strlen(t + 5))
        return json_string(t);
    return gh_compose_fault(
        at,
        "8080 (a port), fd (a socket handed over), unix:NAME.sock (made in "
        "/svc), none",
        "\"%s\" is no place to listen", t);
}

/* /path, or {http: /path, host: name} */
json_t *
gh_compose_read_ready(const struct gh_compose_at *at)
{
    const struct gh_node *http, *host;
    struct gh_compose_at child = *at;
    const char *path, *name = "localhost";

    if (at->node->kind == GH_NODE_MAP) {
        http = gh_node_get(at->node, "http");
        host = gh_node_get(at->node, "host");
        if (http == NULL || at->node->count != (host != NULL ? 2u : 1u))
            return gh_compose_fault(at, "ready: {http: /path, host: name}",
                                    "http, and perhaps host, is wanted");
        if (host != NULL) {
            child.node = host;
            name = gh_compose_text(&child, 127, false);
            if (name == NULL)
                return NULL;
        }
        child.node = http;
    }
    path = gh_compose_text(&child, 255, false);
    if (path == NULL)
        return NULL;
    if (path[0] != '/' || strpbrk(path, " \t\n\r") != NULL ||
        strpbrk(name, " \t\n\r/") != NULL)
        return gh_compose_fault(at, "/health",
                                "a path for GET that starts with / is wanted");
    return json_pack("{s:s, s:s}", "http", path, "host", name);
}

json_t *
gh_compose_read_egress(const struct gh_compose_at *at)
{
    struct gh_compose_at child = *at;
    const char *t;

    if (at->node->kind == GH_NODE_LIST && at->node->count == 0)
        return json_array();
    if (at->node->kind == GH_NODE_LIST && at->node->count == 1)
        child.node = at->node->first;
    t = gh_compose_text(&child, 64, false);
    if (t == NULL)
        return NULL;
    if (strcmp(t, "gate") != 0)
        return gh_compose_fault(at, "egress: [gate]",
                                "a service can reach the gate, nothing else");
    return json_pack("[s]", "gate");
}

static json_t *
read_mode(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 5, false);

    if (t == NULL)
        return NULL;
    if (strspn(t, "01234567") != strlen(t))
        return gh_compose_fault(at, "0444", "an octal mode is wanted");
    return json_string(t);
}

/* /path: text, or {content: text, mode: "0444"} */
static json_t *
read_file(const struct gh_compose_at *at)
{
    const struct gh_node *content = at->node, *mode = NULL;
    struct gh_compose_at child = *at;
    json_t *m = NULL;
    const char *t;

    if (at->node->kind == GH_NODE_MAP) {
        content = gh_node_get(at->node, "content");
        mode = gh_node_get(at->node, "mode");
        if (content == NULL || at->node->count != (mode != NULL ? 2u : 1u))
            return gh_compose_fault(at, "{content: |-, mode: \"0444\"}",
                                    "content, and perhaps mode, is wanted");
    }
    child.node = content;
    t = gh_compose_text(&child, 512 << 10, true);
    if (t == NULL)
        return NULL;
    child.node = mode;
    if (mode != NULL && (m = read_mode(&child)) == NULL)
        return NULL;
    return json_pack("{s:s, s:o}", "content", t, "mode",
                     m != NULL ? m : json_string("0444"));
}

json_t *
gh_compose_read_files(const struct gh_compose_at *at)
{
    json_t *out, *one;
    size_t before = at->f->n + at->f->more;

    if (at->node->kind != GH_NODE_MAP)
        return gh_compose_fault(at, "{/etc/thing.conf: text}",
                                "a map of paths is wanted");
    if (at->node->count > 24)
        return gh_compose_fault(at, NULL, "at most 24 files");
    out = json_object();
    for (const struct gh_node *n = at->node->first; n != NULL; n = n->next) {
        char path[512];
        struct gh_compose_at child = {at->f, n, path};
        const char *key = (const char *)n->key.data;

        snprintf(path, sizeof(path), "%s.%.200s", at->path, key);
        if (!gh_launch_path_valid(key))
            gh_compose_fault(&child, NULL, "an absolute path is wanted");
        else if ((one = read_file(&child)) != NULL)
            json_object_set_new(out, key, one);
    }
    if (at->f->n + at->f->more == before)
        return out;
    json_decref(out);
    return NULL;
}

/* Compiled here once, so that a fault shows when it is registered. */
json_t *
gh_compose_read_seccomp(const struct gh_compose_at *at)
{
    struct gh_seccomp s;
    struct gh_error e;
    json_t *profile = gh_node_json(at->node);

    if (gh_seccomp_compile(profile, &s, &e) != 0) {
        json_decref(profile);
        return gh_compose_fault(at, "an OCI profile: defaultAction, syscalls",
                                "%s", e.message);
    }
    gh_seccomp_finish(&s);
    return profile;
}

/* ---- configs: [{source, target, mode}]; contents are in the file's top */

static json_t *
read_config(const struct gh_compose_at *at, const struct gh_node *n)
{
    const struct gh_node *source = gh_node_get(n, "source"),
                         *target = gh_node_get(n, "target"),
                         *mode = gh_node_get(n, "mode");
    struct gh_compose_at child = {at->f, n, at->path};
    json_t *out, *value;

    if (n->kind != GH_NODE_MAP || source == NULL || target == NULL ||
        n->count != (mode != NULL ? 3u : 2u))
        return gh_compose_fault(&child,
                                "{source: NAME, target: /etc/x, mode: 0444}",
                                "source and target are wanted");
    out = json_object();
    child.node = source;
    if ((value = gh_compose_read_name(&child)) != NULL)
        json_object_set_new(out, "source", value);
    child.node = target;
    if ((value = gh_compose_read_path(&child)) != NULL)
        json_object_set_new(out, "target", value);
    child.node = mode;
    if (mode != NULL && (value = read_mode(&child)) != NULL)
        json_object_set_new(out, "mode", value);
    return out;
}

json_t *
gh_compose_read_configs(const struct gh_compose_at *at)
{
    size_t before = at->f->n + at->f->more;
    json_t *out;

    if (at->node->kind != GH_NODE_LIST || at->node->count > 24)
        return gh_compose_fault(at, NULL, "a list of at most 24 is wanted");
    out = json_array();
    for (const struct gh_node *n = at->node->first; n != NULL; n = n->next) {
        json_t *one = read_config(at, n);

        if (one != NULL)
            json_array_append_new(out, one);
    }
    if (at->f->n + at->f->more == before)
        return out;
    json_decref(out);
    return NULL;
}

static json_t *
config_content(const struct gh_compose_at *at, const struct gh_node *configs,
               const char *source)
{
    const struct gh_node *c =
        configs != NULL ? gh_node_get(configs, source) : NULL;
    const struct gh_node *content =
        c != NULL ? gh_node_get(c, "content") : NULL;
    struct gh_compose_at child = {at->f, content, at->path};
    const char *t;

    if (c == NULL)
        return gh_compose_fault(at, "configs: {NAME: {content: text}}",
                                "the file has no config \"%s\"", source);
    if (content == NULL)
        return gh_compose_fault(at, "put the text itself into content",
                                "config \"%s\" has no content: the control API "
                                "cannot read files of yours",
                                source);
    t = gh_compose_text(&child, 512 << 10, true);
    return t == NULL ? NULL : json_string(t);
}

json_t *
gh_compose_put_configs(json_t *service, const struct gh_node *root,
                       const struct gh_node *node, const char *path,
                       struct gh_faults *f)
{
    const struct gh_node *configs = gh_node_get(root, "configs"),
                         *mine = gh_node_get(node, "configs");
    struct gh_compose_at at = {f, mine != NULL ? mine : node, path};
    json_t *list = json_object_get(service, "configs"), *one, *x, *files;
    size_t i, before = f->n + f->more;

    if (list == NULL)
        return service;
    x = json_object_get(service, "x-gatehouse");
    if (x == NULL) {
        x = json_object();
        json_object_set_new(service, "x-gatehouse", x);
    }
    files = json_object_get(x, "files");
    if (files == NULL) {
        files = json_object();
        json_object_set_new(x, "files", files);
    }
    json_array_foreach(list, i, one)
    {
        const char *source = json_string_value(json_object_get(one, "source"));
        const char *target = json_string_value(json_object_get(one, "target"));
        const char *mode = json_string_value(json_object_get(one, "mode"));
        json_t *content = config_content(&at, configs, source);

        if (content != NULL)
            json_object_set_new(files, target,
                                json_pack("{s:o, s:s}", "content", content,
                                          "mode",
                                          mode != NULL ? mode : "0444"));
    }
    json_object_del(service, "configs");
    if (f->n + f->more == before)
        return service;
    json_decref(service);
    return NULL;
}
