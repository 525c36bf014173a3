/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
gh_error_set(struct gh_error *e, enum gh_code code, const char *fmt, ...)
{
    va_list ap;

    if (e == NULL)
        return -1;
    memset(e, 0, sizeof(*e));
    e->code = code;
    va_start(ap, fmt);
    vsnprintf(e->message, sizeof(e->message), fmt, ap);
    va_end(ap);
    return -1;
}

int
gh_error_sys(struct gh_error *e, int sys, const char *fmt, ...)
{
    va_list ap;
    size_t used;
    char buf[128];

    if (e == NULL)
        return -1;
    memset(e, 0, sizeof(*e));
    e->code = GH_EIO;
    e->sys = sys;
    va_start(ap, fmt);
    vsnprintf(e->message, sizeof(e->message), fmt, ap);
    va_end(ap);
    used = strlen(e->message);
    snprintf(e->message + used, sizeof(e->message) - used, ": %s",
             strerror_r(sys, buf, sizeof(buf)));
    return -1;
}

int
gh_error_wrap(struct gh_error *e, const char *fmt, ...)
{
    va_list ap;
    size_t used;
    char inner[GH_ERROR_MESSAGE];

    if (e == NULL)
        return -1;
    memcpy(inner, e->message, sizeof(inner));
    va_start(ap, fmt);
    vsnprintf(e->message, sizeof(e->message), fmt, ap);
    va_end(ap);
    used = strlen(e->message);
    snprintf(e->message + used, sizeof(e->message) - used, ": %.*s",
             (int)sizeof(inner), inner);
    return -1;
}

int
gh_error_at(struct gh_error *e, unsigned line, unsigned column)
{
    if (e != NULL) {
        e->line = line;
        e->column = column;
    }
    return -1;
}

const char *
gh_code_name(enum gh_code code)
{
    static const char *const names[] = {
        [GH_OK] = "ok",
        [GH_EINVAL] = "invalid",
        [GH_ETOOBIG] = "too_big",
        [GH_ENOTFOUND] = "not_found",
        [GH_EEXIST] = "exists",
        [GH_EDENIED] = "denied",
        [GH_EUNAVAILABLE] = "unavailable",
        [GH_EIO] = "io",
        [GH_ENOMEM] = "no_memory",
        [GH_ECORRUPT] = "corrupt",
    };

    return (unsigned)code < sizeof(names) / sizeof(names[0]) ? names[code]
                                                             : "unknown";
}
