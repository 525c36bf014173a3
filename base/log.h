/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a library's log lines go: the host sets the sink once, before its first
 * thread. One line per call, no newline, never a secret: no key, token, cookie,
 * code, password or request body.
 */
#ifndef GH_LOG_H
#define GH_LOG_H

enum gh_log_level { GH_LOG_ERROR, GH_LOG_WARN, GH_LOG_INFO, GH_LOG_DEBUG };

typedef void (*gh_log_sink)(void *ctx, enum gh_log_level level,
                            const char *line);

void gh_log_to(gh_log_sink sink, void *ctx, enum gh_log_level most);

/* The sink of our daemons: "2026-01-02T03:04:05.678Z name[pid] level: line" on
 * standard error. `name` must live on. */
void gh_log_to_stderr(const char *name, enum gh_log_level most);

void gh_log(enum gh_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

#endif
