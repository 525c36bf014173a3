/* SPDX-License-Identifier: Apache-2.0 */
#include "compose_read.h"

#include "encode.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *
gh_compose_text(const struct gh_compose_at *at, size_t most, bool may_be_empty)
{
    const struct gh_node *n = at->node;

    if (n->kind != GH_NODE_SCALAR) {
        gh_compose_fault(at, NULL, "a text is wanted");
        return NULL;
    }
    if (n->text.len > most || (n->text.len == 0 && !may_be_empty)) {
        gh_compose_fault(at, NULL,
                         n->text.len == 0 ? "it is empty" : "it is too long");
        return NULL;
    }
    for (size_t i = 0; i < n->text.len; i++)
        if (n->text.data[i] < 0x20 && n->text.data[i] != '\n' &&
            n->text.data[i] != '\t') {
            gh_compose_fault(at, NULL, "it has a control character");
            return NULL;
        }
    return (const char *)n->text.data;
}

json_t *
gh_compose_read_bool(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 16, false);

    if (t == NULL)
        return NULL;
    if (at->node->plain && strcmp(t, "true") == 0)
        return json_true();
    if (at->node->plain && strcmp(t, "false") == 0)
        return json_false();
    return gh_compose_fault(at, NULL, "true or false is wanted");
}

/* Of a service's root: it cannot be otherwise. */
json_t *
gh_compose_read_read_only(const struct gh_compose_at *at)
{
    json_t *value = gh_compose_read_bool(at);

    if (value == NULL || json_is_true(value))
        return value;
    json_decref(value);
    return gh_compose_fault(at,
                            "mount a tmpfs or a named volume where it writes",
                            "not possible here: what uid 0 writes into a "
                            "writable root is uid 0's on the host");
}

json_t *
gh_compose_read_size(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 32, false);
    uint64_t bytes;

    if (t == NULL)
        return NULL;
    if (gh_parse_size(gh_slice_str(t), &bytes) != 0 || bytes < 4096 ||
        bytes > UINT64_C(1) << 40)
        return gh_compose_fault(at, "64m, 512k, 2g",
                                "a size from 4k to 1024g is wanted");
    return json_string(t);
}

/* Compose writes 1m30s too; one unit says enough here. */
json_t *
gh_compose_read_duration(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 32, false);
    uint64_t ms;

    if (t == NULL)
        return NULL;
    if (gh_parse_duration(gh_slice_str(t), &ms) != 0 || ms > 3600000)
        return gh_compose_fault(at, "500ms, 10s, 2m",
                                "a duration up to 1h is wanted");
    return json_string(t);
}

static json_t *
read_integer(const struct gh_compose_at *at, uint64_t min, uint64_t max)
{
    const char *t = gh_compose_text(at, 24, false);
    uint64_t v;

    if (t == NULL)
        return NULL;
    if (gh_parse_u64(gh_slice_str(t), min, max, &v) != 0)
        return gh_compose_fault(
            at, NULL, "a number from %llu to %llu is wanted",
            (unsigned long long)min, (unsigned long long)max);
    return json_integer((json_int_t)v);
}

json_t *
gh_compose_read_pids(const struct gh_compose_at *at)
{
    return read_integer(at, 1, GH_LAUNCH_PIDS);
}

json_t *
gh_compose_read_retries(const struct gh_compose_at *at)
{
    return read_integer(at, 1, 100);
}

json_t *
gh_compose_read_replicas(const struct gh_compose_at *at)
{
    return read_integer(at, 1, GH_LAUNCH_REPLICAS);
}

json_t *
gh_compose_read_shares(const struct gh_compose_at *at)
{
    return read_integer(at, 2, 262144);
}

json_t *
gh_compose_read_log_files(const struct gh_compose_at *at)
{
    return read_integer(at, 1, 100);
}

/* "0.5", "2": kept as text, so that no rounding shows. */
json_t *
gh_compose_read_cpus(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 8, false);
    char *end;
    double v;

    if (t == NULL)
        return NULL;
    v = strtod(t, &end);
    if (!isdigit((unsigned char)t[0]) || *end != '\0' ||
        strspn(t, "0123456789.") != strlen(t) || v < 0.01 || v > 1024)
        return gh_compose_fault(at, "0.5", "a number from 0.01 on is wanted");
    return json_string(t);
}

json_t *
gh_compose_read_cpuset(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 128, false);

    if (t == NULL)
        return NULL;
    if (strspn(t, "0123456789,-") != strlen(t) || !isdigit((unsigned char)t[0]))
        return gh_compose_fault(at, "0-1 or 0,2", "a list of CPUs is wanted");
    return json_string(t);
}

json_t *
gh_compose_read_name(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, GH_NAME_MAX, false);

    if (t == NULL)
        return NULL;
    if (!gh_name_valid(gh_slice_str(t)))
        return gh_compose_fault(at, "1 to 63 of a-z 0-9 - _",
                                "\"%s\" is no name", t);
    return json_string(t);
}

json_t *
gh_compose_read_path(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 1023, false);

    if (t == NULL)
        return NULL;
    if (strcmp(t, "/") != 0 && !gh_launch_path_valid(t))
        return gh_compose_fault(at, "/var/lib/thing",
                                "an absolute path without . and .. and double "
                                "slashes is wanted");
    return json_string(t);
}

/* "1000" or "1000:1000": names would need the image's own files. */
json_t *
gh_compose_read_user(const struct gh_compose_at *at)
{
    const char *t = gh_compose_text(at, 16, false);
    const char *colon;
    uint64_t uid, gid;
    char text[32];

    if (t == NULL)
        return NULL;
    colon = strchr(t, ':');
    if (gh_parse_u64(
            gh_slice(t, colon != NULL ? (size_t)(colon - t) : strlen(t)), 0,
            GH_LAUNCH_IDS - 1, &uid) != 0 ||
        (colon != NULL && gh_parse_u64(gh_slice_str(colon + 1), 0,
                                       GH_LAUNCH_IDS - 1, &gid) != 0))
        return gh_compose_fault(at, "1000:1000; 0 is nobody outside too",
                                "numbers below 65535 are wanted");
    snprintf(text, sizeof(text), "%u:%u", (unsigned)uid,
             (unsigned)(colon != NULL ? gid : uid));
    return json_string(text);
}

static json_t *
read_word(const struct gh_compose_at *at, const char *const *words,
          const char *hint)
{
    const char *t = gh_compose_text(at, 32, false);

    for (size_t i = 0; t != NULL && words[i] != NULL; i++)
        if (strcmp(t, words[i]) == 0)
            return json_string(t);
    return t == NULL ? NULL
                     : gh_compose_fault(at, hint, "\"%s\" is unknown", t);
}

json_t *
gh_compose_read_restart(const struct gh_compose_at *at)
{
    static const char *const words[] = {"no", "always", "on-failure",
                                        "unless-stopped", NULL};

    return read_word(at, words, "always, unless-stopped, on-failure or \"no\"");
}

json_t *
gh_compose_read_log_driver(const struct gh_compose_at *at)
{
    static const char *const words[] = {"local", "json-file", NULL};

    return read_word(at, words,
                     "local: logs are kept by the shim, see `service logs`");
}

json_t *
gh_compose_read_signal(const struct gh_compose_at *at)
{
    static const char *const words[] = {"SIGTERM", "SIGINT",   "SIGQUIT",
                                        "SIGHUP",  "SIGUSR1",  "SIGUSR2",
                                        "SIGKILL", "SIGWINCH", NULL};

    return read_word(at, words,
                     "SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1, "
                     "SIGUSR2, SIGWINCH or SIGKILL");
}
