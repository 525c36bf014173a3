/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A record read back as operations: what `service explain` prints. The order is
 * that of sandbox.c and sandbox_inside.c.
 */
#include "compose.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static void
add(json_t *list, json_t *operation)
{
    json_array_append_new(list, operation);
}

static void
explain_groups(const struct gh_launch_plan *p, json_t *out)
{
    json_t *limits = json_object();

    if (p->memory != 0)
        json_object_set_new(limits, "memory_bytes",
                            json_integer((json_int_t)p->memory));
    json_object_set_new(limits, "swap_bytes",
                        json_integer((json_int_t)p->swap));
    if (p->pids != 0)
        json_object_set_new(limits, "pids", json_integer((json_int_t)p->pids));
    if (p->cpu_quota_us != 0)
        json_object_set_new(
            limits, "cpus",
            json_real((double)p->cpu_quota_us / (double)p->cpu_period_us));
    if (p->cpu_shares != 0)
        json_object_set_new(limits, "cpu_shares",
                            json_integer((json_int_t)p->cpu_shares));
    if (p->cpuset != 0)
        json_object_set_new(limits, "cpuset",
                            json_string(gh_launch_text(p, p->cpuset)));
    add(out, json_pack("{s:s, s:o}", "op", "cgroup", "limits", limits));
}

static void
explain_network(const struct gh_launch_plan *p, json_t *out)
{
    json_t *egress = json_array();

    if (p->flags & GH_LAUNCH_EGRESS_GATE)
        json_array_append_new(egress, json_string("gate"));
    add(out, json_pack("{s:s, s:s, s:o}", "op", "network", "link",
                       p->flags & GH_LAUNCH_VETH ? "gate" : "none", "egress",
                       egress));
    if (p->port != 0)
        add(out, json_pack("{s:s, s:s, s:i}", "op", "listen", "on", "link",
                           "port", (int)p->port));
    if (p->flags & GH_LAUNCH_LISTEN)
        add(out, json_pack("{s:s, s:s, s:i}", "op", "listen", "on",
                           "descriptor", "fd", 3));
    if (p->flags & GH_LAUNCH_SOCKET_DIR)
        add(out, json_pack("{s:s, s:s, s:s}", "op", "listen", "on",
                           "own socket", "in", "/svc"));
}

static const char *
kind_name(uint32_t kind)
{
    static const char *const names[] = {"?", "bind", "volume", "tmpfs", "file"};

    return names[kind < 5 ? kind : 0];
}

static void
explain_mount(const struct gh_launch_plan *p, const struct gh_launch_mount *m,
              json_t *out)
{
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:b}", "op", "mount", "kind",
                  kind_name(m->kind), "target", gh_launch_text(p, m->target),
                  "read_only", (m->flags & GH_LAUNCH_RO) != 0);

    if (m->kind == GH_LAUNCH_BIND || m->kind == GH_LAUNCH_VOLUME)
        json_object_set_new(o, "source",
                            json_string(gh_launch_text(p, m->source)));
    else
        json_object_set_new(
            o, "bytes",
            json_integer((json_int_t)(m->size != 0 || m->kind == GH_LAUNCH_FILE
                                          ? m->size
                                          : p->tmp_size)));
    if (m->flags & GH_LAUNCH_OPTIONAL)
        json_object_set_new(o, "optional", json_true());
    add(out, o);
}

static void
explain_root(const struct gh_launch_plan *p, json_t *out)
{
    json_t *o = json_pack("{s:s, s:s, s:b}", "op", "root", "kind",
                          p->flags & GH_LAUNCH_ROOTFS ? "rootfs" : "host",
                          "read_only", (p->flags & GH_LAUNCH_READ_ONLY) != 0);

    if (p->rootfs != 0)
        json_object_set_new(o, "path",
                            json_string(gh_launch_text(p, p->rootfs)));
    add(out, o);
    add(out, json_pack("{s:s, s:[s,s,s,s,s]}", "op", "devices", "names", "null",
                       "zero", "full", "random", "urandom"));
    add(out, json_pack("{s:s, s:I, s:[s,s,s]}", "op", "private", "bytes",
                       (json_int_t)p->tmp_size, "paths", "/tmp", "/run",
                       "/dev/shm"));
    for (uint32_t i = 0; i < p->nmounts; i++)
        explain_mount(p, &p->mounts[i], out);
    if (!(p->flags & GH_LAUNCH_ROOTFS))
        add(out, json_pack("{s:s, s:[s,s,s]}", "op", "traps", "paths",
                           "/etc/shadow", "/root", "/home"));
    add(out, json_pack("{s:s}", "op", "proc"));
}

static void
explain_identity(const struct gh_launch_plan *p, json_t *out)
{
    json_t *caps = json_array(), *groups = json_array(),
           *limits = json_object();

    for (int i = 0; i < 64; i++)
        if (p->caps >> i & 1)
            json_array_append_new(caps,
                                  json_string(gh_compose_capability_name(i)));
    for (uint32_t i = 0; i < p->ngroups; i++)
        json_array_append_new(groups, json_integer(p->groups[i]));
    for (int i = 0; i < RLIM_NLIMITS; i++)
        if (p->rlimits[i].set)
            json_object_set_new(
                limits, gh_compose_rlimit_name(i),
                json_pack("{s:I, s:I}", "soft", (json_int_t)p->rlimits[i].soft,
                          "hard", (json_int_t)p->rlimits[i].hard));
    add(out, json_pack("{s:s, s:s}", "op", "hostname", "name", p->hostname));
    add(out, json_pack("{s:s, s:o, s:i}", "op", "rlimits", "limits", limits,
                       "umask", (int)p->umask));
    add(out, json_pack("{s:s, s:i, s:i, s:o}", "op", "user", "uid", (int)p->uid,
                       "gid", (int)p->gid, "groups", groups));
    add(out, json_pack("{s:s, s:o}", "op", "capabilities", "kept", caps));
    add(out, json_pack("{s:s}", "op", "no_new_privs"));
    if (!(p->flags & GH_LAUNCH_NO_LANDLOCK))
        add(out, json_pack("{s:s}", "op", "landlock"));
    add(out, json_pack("{s:s}", "op", "close_descriptors"));
    add(out, json_pack("{s:s}", "op", "seccomp"));
}

static void
explain_program(const struct gh_launch_plan *p, json_t *out)
{
    json_t *words = json_array(), *env = json_array();
    const char *cwd = gh_launch_text(p, p->cwd);

    for (uint32_t i = 0; i < p->nargs; i++)
        json_array_append_new(words,
                              json_string(gh_launch_text(p, p->args[i])));
    /* Names alone: values may be secrets. */
    for (uint32_t i = 0; i < p->nenv; i++) {
        const char *t = gh_launch_text(p, p->env[i]);

        json_array_append_new(env, json_stringn(t, strcspn(t, "=")));
    }
    add(out, json_pack("{s:s, s:o, s:s, s:o, s:b}", "op", "execute", "command",
                       words, "cwd", cwd != NULL ? cwd : "/", "environment",
                       env, "init", (p->flags & GH_LAUNCH_INIT) != 0));
}

json_t *
gh_compose_operations(const struct gh_launch_plan *p)
{
    json_t *out = json_array();

    explain_groups(p, out);
    explain_network(p, out);
    add(out, json_pack("{s:s, s:[s,s,s,s,s,s,s], s:i}", "op", "namespaces",
                       "new", "user", "mount", "pid", "network", "ipc", "uts",
                       "cgroup", "ids", (int)GH_LAUNCH_IDS));
    explain_root(p, out);
    explain_identity(p, out);
    explain_program(p, out);
    return out;
}

/* ---- as sentences: what each operation is for, then its values */

static const struct {
    const char *op, *sentence;
} sentences[] = {
    {"cgroup", "limits what it can use"},
    {"network", "has a network of its own"},
    {"listen", "listens"},
    {"namespaces", "lives in namespaces of its own; its uid 0 is nobody "
                   "outside"},
    {"root", "sees this as /"},
    {"devices", "sees these devices and no other"},
    {"private", "has these to itself, in memory"},
    {"mount", "sees"},
    {"traps", "finds these refused and every try reported"},
    {"proc", "sees its own processes; what /proc tells of the host is hidden, "
             "/proc/sys is read-only"},
    {"hostname", "calls itself"},
    {"rlimits", "is bound by"},
    {"user", "runs as"},
    {"capabilities", "keeps of root's powers"},
    {"no_new_privs", "can gain none by executing anything"},
    {"landlock", "may write only where something writable is mounted, make no "
                 "device, signal nobody outside"},
    {"close_descriptors", "inherits no descriptor"},
    {"seccomp", "may make only the system calls of its filter; refused ones "
                "are reported"},
    {"execute", "runs"},
};

json_t *
gh_compose_sentence(const json_t *operation)
{
    const char *op = json_string_value(json_object_get(operation, "op")), *key;
    struct gh_buffer b = GH_BUFFER_INIT;
    const json_t *value;
    json_t *out;
    char *text;

    for (size_t i = 0; i < sizeof(sentences) / sizeof(sentences[0]); i++)
        if (op != NULL && strcmp(op, sentences[i].op) == 0)
            gh_buffer_printf(&b, "%-17s %s", op, sentences[i].sentence);
    json_object_foreach((json_t *)operation, key, value)
    {
        if (strcmp(key, "op") == 0)
            continue;
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT |
                                     JSON_REAL_PRECISION(6));
        gh_buffer_printf(&b, " %s=%s", key, text != NULL ? text : "?");
        free(text);
    }
    out = json_string(gh_buffer_string(&b));
    gh_buffer_finish(&b);
    return out;
}
