/* SPDX-License-Identifier: Apache-2.0 */
#include "encode.h"

void
gh_hex_encode(struct gh_slice s, char *out)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    for (i = 0; i < s.len; i++) {
        out[2 * i] = digits[s.data[i] >> 4];
        out[2 * i + 1] = digits[s.data[i] & 15];
    }
    out[2 * s.len] = '\0';
}

int
gh_hex_digit(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

ssize_t
gh_hex_decode(struct gh_slice s, unsigned char *out, size_t cap)
{
    size_t i;
    int high, low;

    if (s.len % 2 != 0 || s.len / 2 > cap)
        return -1;
    for (i = 0; i < s.len / 2; i++) {
        high = gh_hex_digit(s.data[2 * i]);
        low = gh_hex_digit(s.data[2 * i + 1]);
        if (high < 0 || low < 0)
            return -1;
        out[i] = (unsigned char)(high << 4 | low);
    }
    return (ssize_t)(s.len / 2);
}

size_t
gh_base64url_encode(struct gh_slice s, char *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                   "abcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t bits = 0;
    unsigned have = 0;
    size_t i, n = 0;

    for (i = 0; i < s.len; i++) {
        bits = bits << 8 | s.data[i];
        for (have += 8; have >= 6; have -= 6)
            out[n++] = alphabet[bits >> (have - 6) & 63];
    }
    if (have > 0)
        out[n++] = alphabet[bits << (6 - have) & 63];
    out[n] = '\0';
    return n;
}

static int
base64url_digit(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '-' ? 62 : c == '_' ? 63 : -1;
}

ssize_t
gh_base64url_decode(struct gh_slice s, unsigned char *out, size_t cap)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t i, n = 0;
    int d;

    if (s.len % 4 == 1 || s.len / 4 > cap ||
        s.len / 4 * 3 + (s.len % 4 ? s.len % 4 - 1 : 0) > cap)
        return -1;
    for (i = 0; i < s.len; i++) {
        d = base64url_digit(s.data[i]);
        if (d < 0)
            return -1;
        bits = (bits << 6 | (uint32_t)d) & 0xffff;
        have += 6;
        if (have >= 8) {
            have -= 8;
            out[n++] = (unsigned char)(bits >> have);
        }
    }
    if ((bits & ((1u << have) - 1)) != 0)
        return -1;
    return (ssize_t)n;
}

int
gh_parse_u64(struct gh_slice s, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;
    size_t i;

    if (s.len < 1 || s.len > 20 || (s.data[0] == '0' && s.len > 1))
        return -1;
    for (i = 0; i < s.len; i++) {
        if (s.data[i] < '0' || s.data[i] > '9' ||
            __builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.data[i] - '0'), &v))
            return -1;
    }
    if (v < min || v > max)
        return -1;
    *out = v;
    return 0;
}

struct unit {
    const char *name;
    uint64_t factor;
};

/* A number and one of the units (the last row ends the table). */
static int
parse_unit(struct gh_slice s, const struct unit *units, uint64_t *out)
{
    size_t digits = 0;
    uint64_t v;

    while (digits < s.len && s.data[digits] >= '0' && s.data[digits] <= '9')
        digits++;
    if (gh_parse_u64(gh_slice(s.data, digits), 0, UINT64_MAX, &v) != 0)
        return -1;
    for (; units->name != NULL; units++) {
        if (!gh_slice_eq_nocase(gh_slice(s.data + digits, s.len - digits),
                                gh_slice_str(units->name)))
            continue;
        return __builtin_mul_overflow(v, units->factor, out) ? -1 : 0;
    }
    return -1;
}

int
gh_parse_duration(struct gh_slice s, uint64_t *out_ms)
{
    static const struct unit units[] = {{"ms", 1},       {"s", 1000},
                                        {"m", 60000},    {"h", 3600000},
                                        {"d", 86400000}, {NULL, 0}};
    uint64_t v;

    if (parse_unit(s, units, &v) != 0)
        return -1;
    *out_ms = v;
    return 0;
}

int
gh_parse_size(struct gh_slice s, uint64_t *out_bytes)
{
    static const struct unit units[] = {
        {"", 1},          {"b", 1},          {"k", 1ull << 10},
        {"kb", 1ull << 10}, {"m", 1ull << 20}, {"mb", 1ull << 20},
        {"g", 1ull << 30},  {"gb", 1ull << 30}, {NULL, 0}};
    uint64_t v;

    if (parse_unit(s, units, &v) != 0)
        return -1;
    *out_bytes = v;
    return 0;
}
