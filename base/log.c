/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static struct {
    gh_log_sink sink;
    void *ctx;
    enum gh_log_level most;
} to;

void
gh_log_to(gh_log_sink sink, void *ctx, enum gh_log_level most)
{
    to.sink = sink;
    to.ctx = ctx;
    to.most = most;
}

static void
to_stderr(void *ctx, enum gh_log_level level, const char *line)
{
    static const char *const names[] = {"error", "warn", "info", "debug"};
    struct timespec now;
    struct tm tm;
    char day[32];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    dprintf(STDERR_FILENO, "%s.%03ldZ %s[%ld] %s: %s\n", day,
            now.tv_nsec / 1000000, (const char *)ctx, (long)getpid(),
            names[level], line);
}

void
gh_log_to_stderr(const char *name, enum gh_log_level most)
{
    gh_log_to(to_stderr, (void *)name, most);
}

void
gh_log(enum gh_log_level level, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    char *p;

    if (to.sink == NULL || level > to.most)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    for (p = line; *p != '\0'; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f)
            *p = '?';
    to.sink(to.ctx, level, line);
}
