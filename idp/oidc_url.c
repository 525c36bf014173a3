/* SPDX-License-Identifier: Apache-2.0 */
/* Where a browser may be sent, and whom we may talk to. */
#include "encode.h"
#include "oidc.h"

/* Visible ASCII without what browsers read as a slash or cut off. */
static bool
plain(struct gh_slice s)
{
    size_t i;

    for (i = 0; i < s.len; i++)
        if (s.data[i] < 0x21 || s.data[i] > 0x7e || s.data[i] == '\\' ||
            s.data[i] == '#')
            return false;
    return true;
}

/* Percent-decodes a path; -1 when a reader could take it for another one. */
static ssize_t
decode_path(struct gh_slice path, unsigned char *out)
{
    size_t i, n = 0;

    for (i = 0; i < path.len; i++) {
        unsigned char c = path.data[i];

        if (c == '%') {
            if (path.len - i < 3 || gh_hex_digit(path.data[i + 1]) < 0 ||
                gh_hex_digit(path.data[i + 2]) < 0)
                return -1;
            c = (unsigned char)(gh_hex_digit(path.data[i + 1]) << 4 |
                                gh_hex_digit(path.data[i + 2]));
            i += 2;
            if (c < 0x20 || c == 0x7f || c == '/' || c == '\\' || c == '%')
                return -1;
        }
        out[n++] = c;
    }
    return (ssize_t)n;
}

/* No empty segment but the last, no dot segment (";x" taken off). */
static bool
segments_valid(struct gh_slice path)
{
    size_t i = 1, start, len;

    for (;;) {
        for (start = i; i < path.len && path.data[i] != '/'; i++)
            ;
        for (len = 0; start + len < i && path.data[start + len] != ';'; len++)
            ;
        if ((len == 1 || len == 2) && memcmp(path.data + start, "..", len) == 0)
            return false;
        if (i == path.len)
            return true;
        if (i == start)
            return false;
        i++;
    }
}

bool
gh_oidc_return_valid(struct gh_slice path)
{
    static const char own[] = "/gatehouse";
    unsigned char decoded[GH_OIDC_RETURN_MAX];
    const unsigned char *query;
    struct gh_slice raw = path, p;
    ssize_t n;

    if (path.len == 0 || path.len > GH_OIDC_RETURN_MAX || path.data[0] != '/' ||
        !plain(path))
        return false;
    query = memchr(path.data, '?', path.len);
    if (query != NULL)
        raw.len = (size_t)(query - path.data);
    n = decode_path(raw, decoded);
    if (n < 0)
        return false;
    p = gh_slice(decoded, (size_t)n);
    if (!segments_valid(p))
        return false;
    return !gh_slice_starts(p, gh_slice_str(own)) ||
           (p.len > sizeof(own) - 1 && p.data[sizeof(own) - 1] != '/' &&
            p.data[sizeof(own) - 1] != ';');
}

static bool
loopback(struct gh_slice host)
{
    static const char name[] = "localhost";
    size_t n = sizeof(name) - 1, i, dots = 0;

    if (gh_slice_eq_str(host, "[::1]"))
        return true;
    if (host.len >= n &&
        gh_slice_eq_nocase(gh_slice(host.data + host.len - n, n),
                           gh_slice_str(name)))
        return host.len == n || host.data[host.len - n - 1] == '.';
    for (i = 0; i < host.len; i++) {
        dots += host.data[i] == '.';
        if (host.data[i] != '.' && (host.data[i] < '0' || host.data[i] > '9'))
            return false;
    }
    return dots == 3 && gh_slice_starts(host, gh_slice_str("127."));
}

/* "host", "host:port", "[v6]:port" -> host, its brackets with it. */
static bool
split_host(struct gh_slice authority, struct gh_slice *host)
{
    size_t i = 0;
    uint64_t port;

    if (authority.len > 0 && authority.data[0] == '[') {
        for (i = 1; i < authority.len && authority.data[i] != ']'; i++)
            if (gh_hex_digit(authority.data[i]) < 0 && authority.data[i] != ':' &&
                authority.data[i] != '.')
                return false;
        if (i == authority.len || i == 1)
            return false;
        i++;
    } else {
        for (; i < authority.len && authority.data[i] != ':'; i++) {
            unsigned char c = authority.data[i];

            if (!((c | 0x20) >= 'a' && (c | 0x20) <= 'z') &&
                !(c >= '0' && c <= '9') && c != '-' && c != '.')
                return false;
        }
    }
    if (i == 0)
        return false;
    *host = gh_slice(authority.data, i);
    if (i == authority.len)
        return true;
    return authority.data[i] == ':' &&
           gh_parse_u64(gh_slice(authority.data + i + 1, authority.len - i - 1),
                        1, 65535, &port) == 0;
}

bool
gh_oidc_url_valid(struct gh_slice url)
{
    static const char https[] = "https://", http[] = "http://";
    struct gh_slice rest, host;
    bool secure = gh_slice_starts(url, gh_slice_str(https));
    size_t skip = secure ? sizeof(https) - 1 : sizeof(http) - 1, n;

    if (url.len > GH_OIDC_URL_MAX || !plain(url) ||
        (!secure && !gh_slice_starts(url, gh_slice_str(http))))
        return false;
    rest = gh_slice(url.data + skip, url.len - skip);
    for (n = 0; n < rest.len && rest.data[n] != '/' && rest.data[n] != '?'; n++)
        ;
    if (!split_host(gh_slice(rest.data, n), &host))
        return false;
    return secure || loopback(host);
}
