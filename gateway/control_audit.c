/* SPDX-License-Identifier: Apache-2.0 */
/* One JSON line for each write: who, what, when. */
#include "control.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

const char *
gh_control_time_text(uint64_t ms, char out[32])
{
    time_t s = (time_t)(ms / 1000);
    struct tm tm;

    gmtime_r(&s, &tm);
    strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return out;
}

uint64_t
gh_control_now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

int
gh_control_audit_open(struct gh_control *c, struct gh_error *e)
{
    char path[600];

    snprintf(path, sizeof(path), "%s/log", c->o.dir);
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return gh_error_sys(e, errno, "%s", path);
    snprintf(path, sizeof(path), "%s/log/audit.log", c->o.dir);
    c->audit_fd = open(
        path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    return c->audit_fd >= 0 ? 0 : gh_error_sys(e, errno, "%s", path);
}

void
gh_control_audit(struct gh_control *c, const struct gh_request *r,
                 const char *action, const char *kind, const char *name,
                 const json_t *detail)
{
    char at[32], *text;
    json_t *line = json_pack("{s:s, s:I, s:I, s:s}", "at",
                             gh_control_time_text(gh_control_now_ms(), at),
                             "uid", (json_int_t)r->uid, "pid",
                             (json_int_t)r->pid, "action", action);
    size_t n;

    if (kind != NULL)
        json_object_set_new(line, "kind", json_string(kind));
    if (name != NULL)
        json_object_set_new(line, "name", json_string(name));
    json_object_set_new(line, "generation",
                        json_integer((json_int_t)c->generation));
    if (detail != NULL)
        json_object_set(line, "detail", (json_t *)detail);
    text = json_dumps(line, JSON_COMPACT);
    json_decref(line);
    n = text != NULL ? strlen(text) : 0;
    if (n > 0)
        text[n++] = '\n'; /* in place of the NUL: one write, one line */
    if (n == 0 || write(c->audit_fd, text, n) != (ssize_t)n)
        gh_log(GH_LOG_ERROR, "audit: a line of \"%s\" was not written: %s",
               action, n == 0 ? "out of memory" : strerror(errno));
    free(text);
}
