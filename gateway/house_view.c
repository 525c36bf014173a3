/* SPDX-License-Identifier: Apache-2.0 */
#include "house_parts.h"

#include "encode.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- small facts */

static json_t *
exit_json(const struct gh_house_replica *r)
{
    json_t *o;

    if (r->exited_ms == 0)
        return json_null();
    o = json_pack("{s:I}", "at_ms", (json_int_t)r->exited_ms);
    if (r->status < 0)
        json_object_set_new(o, "how", json_string("unknown"));
    else if (WIFSIGNALED(r->status))
        json_object_set_new(o, "signal", json_integer(WTERMSIG(r->status)));
    else
        json_object_set_new(o, "status", json_integer(WEXITSTATUS(r->status)));
    if (r->oom > 0)
        json_object_set_new(o, "out_of_memory", json_integer(r->oom));
    return o;
}

static void
read_number(json_t *into, const char *key, const char *hierarchy,
            const char *cgroup, const char *file)
{
    char path[512], text[64];
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), "/sys/fs/cgroup%s%s/%s", hierarchy, cgroup,
             file);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return;
    text[n] = '\0';
    json_object_set_new(into, key, json_integer(atoll(text)));
}

/* Of v2 where that has it, else of v1. */
static json_t *
usage_json(const struct gh_house_replica *r)
{
    json_t *o = json_object();

    if (r->cgroup[0] == '\0' || r->pidfd < 0)
        return o;
    read_number(o, "memory_bytes", "/memory", r->cgroup,
                "memory.usage_in_bytes");
    read_number(o, "memory_bytes", "", r->cgroup, "memory.current");
    read_number(o, "pids", "/pids", r->cgroup, "pids.current");
    read_number(o, "pids", "", r->cgroup, "pids.current");
    return o;
}

static json_t *
replica_json(const struct gh_house_replica *r)
{
    bool runs = r->pidfd >= 0;
    char endpoint[160];
    json_t *o = json_pack("{s:i, s:s, s:I, s:i}", "replica", (int)r->index,
                          "state", gh_house_phase_name(r->phase), "since_ms",
                          (json_int_t)r->since_ms, "starts", (int)r->starts);

    if (runs) {
        json_object_set_new(o, "pid", json_integer(r->pid));
        json_object_set_new(o, "started_ms",
                            json_integer((json_int_t)r->started_ms));
        json_object_set_new(o, "id_base", json_integer((json_int_t)r->id_base));
        json_object_set_new(o, "cgroup", json_string(r->cgroup));
        json_object_set_new(o, "use", usage_json(r));
        if (gh_house_endpoint(r, endpoint, sizeof(endpoint)))
            json_object_set_new(o, "endpoint", json_string(endpoint));
    }
    json_object_set_new(o, "last_exit", exit_json(r));
    if (r->fault[0] != '\0')
        json_object_set_new(o, "fault", json_string(r->fault));
    return o;
}

/* ---- the whole of a service */

static const char *
state_of(const struct gh_house_service *s)
{
    const struct gh_house_replica *best = NULL;

    if (s->removing)
        return "removing";
    for (unsigned i = 0; i < s->n; i++) {
        const struct gh_house_replica *r = &s->replicas[i];

        if (r->phase == GH_HOUSE_UP)
            return "up";
        if (best == NULL || r->phase < best->phase)
            best = r;
    }
    return best != NULL ? gh_house_phase_name(best->phase) : "stopped";
}

static json_t *
brief_json(const struct gh_house_service *s)
{
    json_t *endpoints = json_array();
    unsigned up = 0, starts = 0;
    uint64_t since = 0;
    char text[160];

    for (unsigned i = 0; i < s->n; i++) {
        const struct gh_house_replica *r = &s->replicas[i];

        starts += r->starts;
        since = r->since_ms > since ? r->since_ms : since;
        if (r->phase != GH_HOUSE_UP)
            continue;
        up++;
        if (gh_house_endpoint(r, text, sizeof(text)))
            json_array_append_new(endpoints, json_string(text));
    }
    return json_pack("{s:s, s:s, s:b, s:i, s:i, s:o, s:i, s:I}", "name",
                     s->name, "state", state_of(s), "healthy",
                     up == s->n && s->n > 0, "replicas", (int)s->n, "up",
                     (int)up, "endpoints", endpoints, "restarts",
                     (int)(starts > s->n ? starts - s->n : 0), "since_ms",
                     (json_int_t)since);
}

json_t *
gh_house_list(struct gh_house *h)
{
    json_t *out = json_array();

    for (struct gh_house_service *s = h->services; s != NULL; s = s->next)
        json_array_append_new(out, brief_json(s));
    return out;
}

static json_t *
lacks_json(const struct gh_house *h)
{
    static const char *const texts[] = {
        "memory is not limited: no memory controller",
        "processes are not limited: no pids controller",
        "CPU time is not limited: no cpu controller",
        "CPUs cannot be assigned: no cpuset controller",
        "no Landlock in this kernel",
        "no link to the gate (nftables or veth): services listen on sockets",
        "no cgroup v2 tree: groups are emptied process by process",
        "no FUSE: looking for famous host files is refused, not reported"};
    json_t *out = json_array();

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (h->lacks >> i & 1)
            json_array_append_new(out, json_string(texts[i]));
    return out;
}

json_t *
gh_house_show(struct gh_house *h, const char *name)
{
    struct gh_house_service *s = gh_house_find(h, name);
    json_t *o, *replicas, *events;
    unsigned first;

    if (s == NULL)
        return NULL;
    o = brief_json(s);
    replicas = json_array();
    for (unsigned i = 0; i < s->n; i++)
        json_array_append_new(replicas, replica_json(&s->replicas[i]));
    json_object_set_new(o, "instances", replicas);
    events = json_array();
    first = s->nevents > GH_HOUSE_EVENTS ? s->nevents - GH_HOUSE_EVENTS : 0;
    for (unsigned i = first; i < s->nevents; i++)
        json_array_append_new(
            events, json_pack("{s:I, s:s}", "at_ms",
                              (json_int_t)s->events[i % GH_HOUSE_EVENTS].ms,
                              "text", s->events[i % GH_HOUSE_EVENTS].text));
    json_object_set_new(o, "events", events);
    json_object_set_new(o, "lacks", lacks_json(h));
    return o;
}

json_t *
gh_house_status(struct gh_house *h)
{
    json_t *counts = json_object();

    for (struct gh_house_service *s = h->services; s != NULL; s = s->next) {
        const char *state = state_of(s);

        json_object_set_new(counts, state,
                            json_integer(1 + json_integer_value(json_object_get(
                                                 counts, state))));
    }
    return json_pack("{s:s, s:i, s:o, s:o, s:s}", "launcher",
                     h->sock >= 0 ? "connected" : "away", "landlock",
                     (int)h->landlock, "lacks", lacks_json(h), "services",
                     counts, "filter", h->filter.digest);
}

/* ---- refused calls and files */

/* Text of a stranger: what is no UTF-8 or not printable becomes "?". */
static json_t *
stranger_text(const char *text, size_t room)
{
    char copy[160];
    size_t n = strnlen(text, room < sizeof(copy) ? room : sizeof(copy) - 1);

    for (size_t i = 0; i < n; i++)
        copy[i] = text[i] >= 0x20 && text[i] < 0x7f ? text[i] : '?';
    return json_stringn(copy, n);
}

static json_t *
report_json(const struct gh_launch_report *r, unsigned replica)
{
    char name[48], args[160];
    json_t *o;

    o = json_pack(
        "{s:s, s:I, s:I, s:i, s:o, s:i}", "kind",
        r->kind == 2 ? "file" : "syscall", "count", (json_int_t)r->count,
        "last_ms", (json_int_t)r->last_ms, "pid", (int)r->pid, "comm",
        stranger_text(r->comm, sizeof(r->comm)), "replica", (int)replica);
    if (r->kind == 2) {
        json_object_set_new(o, "what", stranger_text(r->path, sizeof(r->path)));
        json_object_set_new(o, "answer", json_string("EACCES"));
        return o;
    }
    gh_seccomp_name(r->arch, r->number, name);
    json_object_set_new(o, "what", json_string(name));
    json_object_set_new(o, "answer", json_string("EPERM"));
    snprintf(args, sizeof(args), "0x%llx, 0x%llx, 0x%llx, 0x%llx",
             (unsigned long long)r->args[0], (unsigned long long)r->args[1],
             (unsigned long long)r->args[2], (unsigned long long)r->args[3]);
    json_object_set_new(o, "args", json_string(args));
    return o;
}

json_t *
gh_house_violations(struct gh_house *h, const char *name)
{
    struct gh_house_service *s = gh_house_find(h, name);
    json_t *list;
    json_int_t total = 0, lost = 0;

    if (s == NULL)
        return NULL;
    list = json_array();
    for (unsigned i = 0; i < s->n; i++) {
        const struct gh_launch_reports *all = s->replicas[i].reports;

        if (all == NULL || all->magic != GH_LAUNCH_MAGIC ||
            all->version != GH_LAUNCH_VERSION)
            continue;
        total += (json_int_t)all->total;
        lost += (json_int_t)all->lost;
        for (int k = 0; k < GH_LAUNCH_REPORT_ROWS; k++) {
            struct gh_launch_report row;

            if (__atomic_load_n(&all->rows[k].count, __ATOMIC_ACQUIRE) == 0)
                continue;
            row = all->rows[k];
            row.comm[sizeof(row.comm) - 1] = '\0';
            row.path[sizeof(row.path) - 1] = '\0';
            json_array_append_new(list, report_json(&row, i));
        }
    }
    return json_pack("{s:o, s:I, s:I}", "violations", list, "total", total,
                     "lost", lost);
}

/* ---- the plan */

json_t *
gh_house_explain(const char *name, const json_t *service, struct gh_error *e)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_seccomp filter;
    json_t *operations, *text, *one, *out;
    const json_t *profile =
        json_object_get(json_object_get(service, "x-gatehouse"), "seccomp");
    size_t i;

    if (gh_compose_plan(name, 0, service, &b, e) != 0 ||
        gh_seccomp_compile(profile, &filter, e) != 0) {
        gh_buffer_finish(&b);
        return NULL;
    }
    operations = gh_compose_operations((const struct gh_launch_plan *)b.data);
    text = json_array();
    json_array_foreach(operations, i, one)
        json_array_append_new(text, gh_compose_sentence(one));
    out = json_pack("{s:s, s:o, s:o, s:{s:s, s:s, s:i}, s:{s:i, s:i}}", "name",
                    name, "text", text, "operations", operations, "filter",
                    "profile", profile != NULL ? "own" : "default", "digest",
                    filter.digest, "instructions", (int)filter.n, "record",
                    "bytes", (int)b.len, "version", (int)GH_LAUNCH_VERSION);
    gh_seccomp_finish(&filter);
    gh_buffer_finish(&b);
    return out;
}
