/* SPDX-License-Identifier: Apache-2.0 */
#include "compose_read.h"

#include "encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef json_t *(*reader)(const struct gh_compose_at *at);

/* Each child by `read`, with its place in the path; all faults are told. */
static json_t *
read_list(const struct gh_compose_at *at, size_t most, reader read)
{
    json_t *out, *value;
    size_t i = 0, before = at->f->n + at->f->more;

    if (at->node->kind != GH_NODE_LIST)
        return gh_compose_fault(at, NULL, "a list is wanted");
    if (at->node->count > most)
        return gh_compose_fault(at, NULL, "at most %zu of them", most);
    out = json_array();
    for (const struct gh_node *n = at->node->first; n != NULL;
         n = n->next, i++) {
        char path[512];
        struct gh_compose_at child = {at->f, n, path};

        snprintf(path, sizeof(path), "%s[%zu]", at->path, i);
        value = read(&child);
        if (value != NULL)
            json_array_append_new(out, value);
    }
    if (at->f->n + at->f->more == before)
        return out;
    json_decref(out);
    return NULL;
}

/* ---- command lines */

static json_t *
read_word(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 32768, true);

    return t == NULL ? NULL : json_string(t);
}

/* One word of a line as shells split it: quotes and backslashes, nothing else.
 * Returns what follows, NULL when a quote is open. */
static const char *
take_word(const char *p, struct gh_buffer *word)
{
    char quote = '\0';

    for (; *p != '\0'; p++) {
        if (quote == '\0' && (*p == ' ' || *p == '\t' || *p == '\n'))
            break;
        if (quote == '\0' && (*p == '"' || *p == '\'')) {
            quote = *p;
        } else if (quote != '\0' && *p == quote) {
            quote = '\0';
        } else {
            if (*p == '\\' && quote != '\'' && p[1] != '\0')
                p++;
            gh_buffer_append(word, gh_slice(p, 1));
        }
    }
    return quote == '\0' ? p : NULL;
}

json_t *
gh_compose_read_words(const struct gh_compose_at *at)
{
    struct gh_buffer word = GH_BUFFER_INIT;
    const char *p;
    json_t *out;

    if (at->node->kind == GH_NODE_LIST)
        return read_list(at, GH_LAUNCH_ARGS - 1, read_word);
    p = gh_compose_text(at, 32768, false);
    if (p == NULL)
        return NULL;
    out = json_array();
    while (p != NULL && *p != '\0') {
        p += strspn(p, " \t\n");
        if (*p == '\0')
            break;
        gh_buffer_clear(&word);
        p = take_word(p, &word);
        if (p != NULL)
            json_array_append_new(out, json_string(gh_buffer_string(&word)));
    }
    gh_buffer_finish(&word);
    if (p != NULL && json_array_size(out) <= GH_LAUNCH_ARGS - 1)
        return out;
    json_decref(out);
    return gh_compose_fault(at, "a list of words needs no quotes",
                            p == NULL ? "a quote is left open"
                                      : "too many words");
}

/* ---- names and numbers */

json_t *
gh_compose_read_names(const struct gh_compose_at *at)
{
    return read_list(at, 8, gh_compose_read_name);
}

static json_t *
read_id(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 8, false);
    uint64_t id;

    if (t == NULL)
        return NULL;
    if (gh_parse_u64(gh_slice_str(t), 0, GH_LAUNCH_IDS - 1, &id) != 0)
        return gh_compose_fault(at, NULL, "a number below 65535 is wanted");
    return json_integer((json_int_t)id);
}

json_t *
gh_compose_read_groups(const struct gh_compose_at *at)
{
    return read_list(at, GH_LAUNCH_GROUPS, read_id);
}

static json_t *
read_port(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 8, false);
    uint64_t port;

    if (t == NULL)
        return NULL;
    if (gh_parse_u64(gh_slice_str(t), 1, 65535, &port) != 0)
        return gh_compose_fault(at, NULL, "a port is wanted");
    return json_integer((json_int_t)port);
}

json_t *
gh_compose_read_expose(const struct gh_compose_at *at)
{
    json_t *list = read_list(at, 1, read_port);

    return list;
}

/* ---- rights */

static json_t *
read_cap(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 32, false);

    if (t == NULL)
        return NULL;
    if (gh_compose_capability(t) < 0)
        return gh_compose_fault(
            at,
            "CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP "
            "NET_BIND_SERVICE",
            "no service may have \"%s\"", t);
    return json_string(strncmp(t, "CAP_", 4) == 0 ? t + 4 : t);
}

json_t *
gh_compose_read_caps(const struct gh_compose_at *at)
{
    return read_list(at, 16, read_cap);
}

static json_t *
read_dropped(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 32, false);

    return t == NULL ? NULL : json_string(t);
}

/* All are dropped anyway. */
json_t *
gh_compose_read_cap_drop(const struct gh_compose_at *at)
{
    return read_list(at, 64, read_dropped);
}

static json_t *
read_security(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 64, false);

    if (t == NULL)
        return NULL;
    if (strcmp(t, "no-new-privileges") == 0 ||
        strcmp(t, "no-new-privileges:true") == 0)
        return json_string(t);
    if (strncmp(t, "seccomp", 7) == 0)
        return gh_compose_fault(at, "x-gatehouse: {seccomp: {an OCI profile}}",
                                "a profile is written in the file itself");
    return gh_compose_fault(at, "no-new-privileges:true is always on",
                            "\"%s\" is not known", t);
}

json_t *
gh_compose_read_security(const struct gh_compose_at *at)
{
    return read_list(at, 8, read_security);
}

/* ---- maps, or lists of KEY=VALUE */

static bool
key_ok(struct gh_slice key)
{
    if (key.len == 0 || key.len > 128)
        return false;
    for (size_t i = 0; i < key.len; i++)
        if (key.data[i] <= ' ' || key.data[i] == '=' || key.data[i] >= 0x7f)
            return false;
    return true;
}

static void
add_pair(const struct gh_compose_at *at, json_t *out, struct gh_slice key,
         const char *value)
{
    char name[132];

    if (!key_ok(key) || gh_slice_copy(key, name, sizeof(name)) != 0)
        gh_compose_fault(at, NULL, "that is no name for a variable");
    else if (json_object_get(out, name) != NULL)
        gh_compose_fault(at, NULL, "\"%s\" is there twice", name);
    else
        json_object_set_new(out, name, json_string(value));
}

static void
read_pair(const struct gh_compose_at *child, bool in_list, json_t *out)
{
    const struct gh_node *n = child->node;
    const char *t = gh_compose_text(child, 32768, true), *equals;

    if (t == NULL)
        return;
    if (!in_list) {
        add_pair(child, out, n->key, t);
        return;
    }
    equals = strchr(t, '=');
    if (equals == NULL)
        gh_compose_fault(child, "NAME=VALUE: nothing is taken from a shell",
                         "a value is missing");
    else
        add_pair(child, out, gh_slice(t, (size_t)(equals - t)), equals + 1);
}

static json_t *
read_pairs(const struct gh_compose_at *at, size_t most)
{
    json_t *out;
    size_t i = 0, before = at->f->n + at->f->more;

    if (at->node->kind == GH_NODE_SCALAR)
        return gh_compose_fault(at, NULL, "a map is wanted");
    if (at->node->count > most)
        return gh_compose_fault(at, NULL, "at most %zu of them", most);
    out = json_object();
    for (const struct gh_node *n = at->node->first; n != NULL;
         n = n->next, i++) {
        char path[512];
        struct gh_compose_at child = {at->f, n, path};
        bool in_list = at->node->kind == GH_NODE_LIST;

        if (in_list)
            snprintf(path, sizeof(path), "%s[%zu]", at->path, i);
        else
            snprintf(path, sizeof(path), "%s.%.*s", at->path, (int)n->key.len,
                     (const char *)n->key.data);
        read_pair(&child, in_list, out);
    }
    if (at->f->n + at->f->more == before)
        return out;
    json_decref(out);
    return NULL;
}

json_t *
gh_compose_read_environment(const struct gh_compose_at *at)
{
    return read_pairs(at, GH_LAUNCH_ENV - 16);
}

json_t *
gh_compose_read_labels(const struct gh_compose_at *at)
{
    return read_pairs(at, 64);
}

/* ---- ulimits */

static int
read_limit(const struct gh_compose_at *at, uint64_t *out)
{
    const char *t = gh_compose_text(at, 24, false);

    if (t == NULL)
        return -1;
    if (strcmp(t, "-1") == 0) {
        *out = UINT64_MAX;
        return 0;
    }
    if (gh_parse_u64(gh_slice_str(t), 0, INT64_MAX, out) == 0)
        return 0;
    gh_compose_fault(at, NULL, "a number, or -1 for no limit, is wanted");
    return -1;
}

static json_t *
read_ulimit(const struct gh_compose_at *at)
{
    const struct gh_node *soft = gh_node_get(at->node, "soft"),
                         *hard = gh_node_get(at->node, "hard");
    struct gh_compose_at s = {at->f, soft, at->path},
                         h = {at->f, hard, at->path};
    uint64_t a, b;

    if (at->node->kind == GH_NODE_SCALAR) {
        if (read_limit(at, &a) != 0)
            return NULL;
        b = a;
    } else if (at->node->kind != GH_NODE_MAP || soft == NULL || hard == NULL ||
               at->node->count != 2) {
        return gh_compose_fault(at, "nofile: 1024 or {soft: 512, hard: 1024}",
                                "a number, or soft and hard, is wanted");
    } else if (read_limit(&s, &a) != 0 || read_limit(&h, &b) != 0) {
        return NULL;
    }
    if (a > b)
        return gh_compose_fault(at, NULL, "soft is more than hard");
    return json_pack("{s:I, s:I}", "soft", (json_int_t)a, "hard",
                     (json_int_t)b);
}

json_t *
gh_compose_read_ulimits(const struct gh_compose_at *at)
{
    json_t *out, *one;
    size_t before = at->f->n + at->f->more;

    if (at->node->kind != GH_NODE_MAP)
        return gh_compose_fault(at, NULL, "a map is wanted");
    out = json_object();
    for (const struct gh_node *n = at->node->first; n != NULL; n = n->next) {
        char path[512];
        struct gh_compose_at child = {at->f, n, path};

        snprintf(path, sizeof(path), "%s.%.*s", at->path, (int)n->key.len,
                 (const char *)n->key.data);
        if (gh_compose_rlimit((const char *)n->key.data) < 0)
            gh_compose_fault(&child, "nofile, nproc, core, stack, memlock ...",
                             "there is no such limit");
        else if ((one = read_ulimit(&child)) != NULL)
            json_object_set_new(out, (const char *)n->key.data, one);
    }
    if (at->f->n + at->f->more == before)
        return out;
    json_decref(out);
    return NULL;
}

/* ---- mounts */

/* "/run/x:size=64m,mode=1777" */
static json_t *
read_tmpfs_one(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 1100, false);
    const char *colon;
    char path[1024], options[64], *o, *save = NULL;
    uint64_t v;

    if (t == NULL)
        return NULL;
    colon = strchr(t, ':');
    if (gh_slice_copy(
            gh_slice(t, colon != NULL ? (size_t)(colon - t) : strlen(t)), path,
            sizeof(path)) != 0 ||
        !gh_launch_path_valid(path))
        return gh_compose_fault(at, "/run/x:size=64m,mode=1777",
                                "an absolute path is wanted");
    if (colon == NULL)
        return json_string(t);
    if (gh_slice_copy(gh_slice_str(colon + 1), options, sizeof(options)) != 0)
        return gh_compose_fault(at, NULL, "too many options");
    for (o = strtok_r(options, ",", &save); o != NULL;
         o = strtok_r(NULL, ",", &save)) {
        if (strncmp(o, "size=", 5) == 0 &&
            gh_parse_size(gh_slice_str(o + 5), &v) == 0 && v >= 4096)
            continue;
        if (strncmp(o, "mode=", 5) == 0 && strlen(o) <= 9 &&
            strspn(o + 5, "01234567") == strlen(o + 5))
            continue;
        return gh_compose_fault(at, "size=64m and mode=1777 are known",
                                "unknown option \"%s\"", o);
    }
    return json_string(t);
}

json_t *
gh_compose_read_tmpfs(const struct gh_compose_at *at)
{
    if (at->node->kind == GH_NODE_SCALAR) {
        json_t *one = read_tmpfs_one(at);

        return one == NULL ? NULL : json_pack("[o]", one);
    }
    return read_list(at, 16, read_tmpfs_one);
}

static json_t *
make_mount(const struct gh_compose_at *at, const char *source,
           const char *target, bool read_only)
{
    bool host = source[0] == '/';

    if (!gh_launch_path_valid(target))
        return gh_compose_fault(at, "NAME:/path or NAME:/path:ro",
                                "its place must be an absolute path");
    if (host && !gh_launch_path_valid(source))
        return gh_compose_fault(at, NULL, "a plain absolute path is wanted");
    if (host && !read_only)
        return gh_compose_fault(at,
                                "append :ro, or use a named volume for what "
                                "is written",
                                "a path of the host is read-only");
    if (!host && !gh_name_valid(gh_slice_str(source)))
        return gh_compose_fault(at, "1 to 63 of a-z 0-9 - _",
                                "\"%.80s\" is no name for a volume", source);
    return json_pack("{s:s, s:s, s:s, s:b}", "type", host ? "bind" : "volume",
                     "source", source, "target", target, "read_only",
                     (int)read_only);
}

/* "data:/var/lib/x", "/usr/share/x:/srv/x:ro" */
static json_t *
read_short_mount(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 2100, false);
    char text[2112], *source, *target, *mode;

    if (t == NULL)
        return NULL;
    snprintf(text, sizeof(text), "%s", t);
    source = text;
    target = strchr(source, ':');
    if (target == NULL)
        return gh_compose_fault(at, "NAME:/path", "a volume without a name");
    *target++ = '\0';
    mode = strchr(target, ':');
    if (mode != NULL)
        *mode++ = '\0';
    if (mode != NULL && strcmp(mode, "ro") != 0 && strcmp(mode, "rw") != 0)
        return gh_compose_fault(at, "ro or rw", "unknown option \"%.20s\"",
                                mode);
    return make_mount(at, source, target,
                      mode != NULL && strcmp(mode, "ro") == 0);
}

static json_t *
read_long_mount(const struct gh_compose_at *at)
{
    static const char *const keys[] = {"type", "source", "target", "read_only"};
    const char *values[4] = {NULL, NULL, NULL, NULL};
    bool ro;

    for (const struct gh_node *n = at->node->first; n != NULL; n = n->next) {
        struct gh_compose_at child = {at->f, n, at->path};
        int k = 0;

        while (k < 4 && !gh_slice_eq_str(n->key, keys[k]))
            k++;
        if (k == 4)
            return gh_compose_fault(
                &child, "type, source, target and read_only", "unknown key");
        values[k] = gh_compose_text(&child, 1023, false);
        if (values[k] == NULL)
            return NULL;
    }
    if (values[1] == NULL || values[2] == NULL)
        return gh_compose_fault(at, NULL, "source and target are wanted");
    ro = values[3] != NULL && strcmp(values[3], "true") == 0;
    if (values[0] != NULL && strcmp(values[0], "bind") != 0 &&
        strcmp(values[0], "volume") != 0)
        return gh_compose_fault(at, "volume or bind; tmpfs has a key",
                                "unknown type \"%.20s\"", values[0]);
    return make_mount(at, values[1], values[2], ro);
}

static json_t *
read_mount(const struct gh_compose_at *at)
{
    return at->node->kind == GH_NODE_MAP ? read_long_mount(at)
                                         : read_short_mount(at);
}

json_t *
gh_compose_read_volumes(const struct gh_compose_at *at)
{
    return read_list(at, 24, read_mount);
}
