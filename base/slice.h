/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes that somebody else owns: a pointer and a length, no NUL promised. */
#ifndef GH_SLICE_H
#define GH_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct gh_slice {
    const unsigned char *data;
    size_t len;
};

static inline struct gh_slice
gh_slice(const void *data, size_t len)
{
    return (struct gh_slice){(const unsigned char *)data, len};
}

/* Of a NUL-terminated string; NULL gives the empty slice. */
static inline struct gh_slice
gh_slice_str(const char *s)
{
    return gh_slice(s, s == NULL ? 0 : strlen(s));
}

static inline bool
gh_slice_eq(struct gh_slice a, struct gh_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool
gh_slice_eq_str(struct gh_slice a, const char *s)
{
    return gh_slice_eq(a, gh_slice_str(s));
}

/* ASCII letters alike whatever their case. */
bool gh_slice_eq_nocase(struct gh_slice a, struct gh_slice b);

static inline bool
gh_slice_starts(struct gh_slice a, struct gh_slice prefix)
{
    return a.len >= prefix.len &&
           (prefix.len == 0 || memcmp(a.data, prefix.data, prefix.len) == 0);
}

/* For secrets: time depends on the lengths only. */
bool gh_slice_eq_secret(struct gh_slice a, struct gh_slice b);

/*
 * Copies into buf (cap bytes) and ends it with NUL. -1 when it does not fit or
 * holds a NUL byte, so that no text is silently cut.
 */
int gh_slice_copy(struct gh_slice s, char *buf, size_t cap);

/*
 * A name of ours (API, plan, application, service ...): 1 to 63 of a-z 0-9 - _
 * and starting with a letter or digit. So names are safe in keys, paths,
 * headers and shells, and no two collide.
 */
#define GH_NAME_MAX 63
#define GH_NAME_SIZE (GH_NAME_MAX + 1)
bool gh_name_valid(struct gh_slice s);

#endif
