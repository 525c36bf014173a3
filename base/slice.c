/* SPDX-License-Identifier: Apache-2.0 */
#include "slice.h"

static unsigned char
lower(unsigned char c)
{
    return c >= 'A' && c <= 'Z' ? (unsigned char)(c | 0x20) : c;
}

bool
gh_slice_eq_nocase(struct gh_slice a, struct gh_slice b)
{
    size_t i;

    if (a.len != b.len)
        return false;
    for (i = 0; i < a.len; i++)
        if (lower(a.data[i]) != lower(b.data[i]))
            return false;
    return true;
}

bool
gh_slice_eq_secret(struct gh_slice a, struct gh_slice b)
{
    volatile unsigned char diff = 0;
    size_t i;

    if (a.len != b.len)
        return false;
    for (i = 0; i < a.len; i++)
        diff |= a.data[i] ^ b.data[i];
    return diff == 0;
}

int
gh_slice_copy(struct gh_slice s, char *buf, size_t cap)
{
    if (s.len >= cap || (s.len > 0 && memchr(s.data, 0, s.len) != NULL))
        return -1;
    if (s.len > 0)
        memcpy(buf, s.data, s.len);
    buf[s.len] = '\0';
    return 0;
}

static bool
alnum(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

bool
gh_name_valid(struct gh_slice s)
{
    size_t i;

    if (s.len < 1 || s.len > GH_NAME_MAX || !alnum(s.data[0]))
        return false;
    for (i = 1; i < s.len; i++)
        if (!alnum(s.data[i]) && s.data[i] != '-' && s.data[i] != '_')
            return false;
    return true;
}
