/* SPDX-License-Identifier: Apache-2.0 */
/* Formats of texts: what each takes, and why it refuses. */
#include "document_schema.h"

#include "encode.h"

#include <arpa/inet.h>
#include <stdio.h>

#define ALNUM "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
#define PATH_CHARS ALNUM "-._~!$&'()*+,=:@"

static const struct gh_format_text formats[GH_FORMATS] = {
    [GH_F_FREE] = {"text", NULL, "text"},
    [GH_F_PROSE] = {"prose", NULL, "text"},
    [GH_F_HOST] = {"host", "^(\\*|[a-z0-9.:\\[\\]-]+)$", "host name or *"},
    [GH_F_PREFIX] = {"prefix", "^/([^/?#%;\\\\]+(/[^/?#%;\\\\]+)*)?$",
                     "path prefix"},
    [GH_F_TEMPLATE] = {"template", "^/", "path template"},
    [GH_F_HEADER] = {"header", "^[A-Za-z0-9-]+$", "header name"},
    [GH_F_TOKEN] = {"token", "^[A-Za-z0-9._-]+$", "name"},
    [GH_F_URL] = {"url", "^https?://", "URL"},
    [GH_F_ORIGIN] = {"origin", "^https?://[^/]+$", "origin"},
    [GH_F_UPSTREAM] = {"upstream", "^(http://[^/]+|unix:/.+)$",
                       "upstream address"},
    [GH_F_CLAIM] = {"claim", "^[!-~]+$", "claim"},
    [GH_F_FILE] = {"file", "^/", "absolute path"},
};

const struct gh_format_text *
gh_document_format(enum gh_format f)
{
    return &formats[f];
}

static bool
refuse(char *why, size_t size, const char *text)
{
    snprintf(why, size, "%s", text);
    return false;
}

static bool
only(struct gh_slice s, const char *allowed)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] == 0 || strchr(allowed, s.data[i]) == NULL)
            return false;
    return true;
}

static bool
printable(struct gh_slice s, bool lines)
{
    for (size_t i = 0; i < s.len; i++)
        if ((s.data[i] < 0x20 &&
             !(lines && (s.data[i] == '\n' || s.data[i] == '\t'))) ||
            s.data[i] == 0x7f)
            return false;
    return true;
}

static bool
is_address(const char *host)
{
    unsigned char buf[16];
    char v6[64];
    size_t n = strlen(host);

    if (inet_pton(AF_INET, host, buf) == 1)
        return true;
    if (n < 4 || n > 60 || host[0] != '[' || host[n - 1] != ']')
        return false;
    memcpy(v6, host + 1, n - 2);
    v6[n - 2] = '\0';
    return inet_pton(AF_INET6, v6, buf) == 1;
}

/* Names below "localhost" too (RFC 6761): a portal wants a domain. */
/* With the names that RFC 6761 section 6.3 keeps for it. */
static bool
is_loopback(const char *host)
{
    size_t n = strlen(host);

    return !strcmp(host, "localhost") || !strcmp(host, "[::1]") ||
           (n > 10 && !strcmp(host + n - 10, ".localhost")) ||
           (!strncmp(host, "127.", 4) && is_address(host));
}

/* RFC 1123 names; all-numeric ones must be addresses. */
static bool
is_host(const char *s)
{
    size_t n = strlen(s), label = 0;

    if (is_address(s))
        return true;
    if (n == 0 || n > 253 || strspn(s, "0123456789.") == n)
        return false;
    for (size_t i = 0; i <= n; i++) {
        if (i == n || s[i] == '.') {
            if (label == 0 || label > 63 || s[i - 1] == '-')
                return false;
            label = 0;
        } else if ((s[i] >= 'a' && s[i] <= 'z') ||
                   (s[i] >= '0' && s[i] <= '9') || (s[i] == '-' && label > 0))
            label++;
        else
            return false;
    }
    return true;
}

/* Cuts "host[:port]" out of s; port 0 when absent. */
static bool
split_authority(struct gh_slice s, char host[260], uint64_t *port)
{
    size_t n = s.len;

    *port = 0;
    while (n > 0 && s.data[n - 1] >= '0' && s.data[n - 1] <= '9')
        n--;
    if (n > 1 && n < s.len && s.data[n - 1] == ':' &&
        (s.data[0] == '[') == (s.data[n - 2] == ']')) {
        if (gh_parse_u64(gh_slice(s.data + n, s.len - n), 1, 65535, port) != 0)
            return false;
        s.len = n - 1;
    }
    return gh_slice_copy(s, host, 260) == 0 && is_host(host);
}

static bool
valid_url(struct gh_slice s, bool origin, char *why, size_t size)
{
    struct gh_slice rest;
    char host[260];
    uint64_t port;
    size_t end = 0;
    bool tls = gh_slice_starts(s, gh_slice_str("https://"));

    if (!tls && !gh_slice_starts(s, gh_slice_str("http://")))
        return refuse(why, size, "it must begin with https://");
    rest = gh_slice(s.data + (tls ? 8 : 7), s.len - (tls ? 8 : 7));
    while (end < rest.len && strchr("/?#", rest.data[end]) == NULL)
        end++;
    if (!split_authority(gh_slice(rest.data, end), host, &port))
        return refuse(why, size,
                      "the host must be a lower-case name or an address, "
                      "with a port if need be, and nothing else");
    if (!tls && !is_loopback(host))
        return refuse(why, size, "http is allowed on loopback only: use https");
    rest = gh_slice(rest.data + end, rest.len - end);
    if (origin && rest.len > 0)
        return refuse(why, size,
                      "an origin ends with host and port: no "
                      "slash, no path");
    if (!only(rest, PATH_CHARS "/%"))
        return refuse(why, size, "no query, fragment or space is allowed");
    return true;
}

static bool
valid_upstream(struct gh_slice s, char *why, size_t size)
{
    char host[260];
    uint64_t port;

    if (gh_slice_starts(s, gh_slice_str("unix:"))) {
        s = gh_slice(s.data + 5, s.len - 5);
        if (s.len < 2 || s.data[0] != '/' || s.len > 100 || !printable(s, 0) ||
            memchr(s.data, ' ', s.len) != NULL)
            return refuse(why, size,
                          "unix: takes an absolute path of at most 100 bytes "
                          "without spaces");
        return true;
    }
    if (gh_slice_starts(s, gh_slice_str("https://")))
        return refuse(why, size,
                      "TLS to upstreams is not spoken: use http:// or unix:");
    if (!gh_slice_starts(s, gh_slice_str("http://")))
        return refuse(why, size, "it must be http://IP:PORT or unix:/PATH");
    s = gh_slice(s.data + 7, s.len - 7);
    if (s.len > 0 && s.data[s.len - 1] == '/')
        s.len--;
    if (!split_authority(s, host, &port))
        return refuse(why, size, "it must be http://IP:PORT, without a path");
    if (strcmp(host, "localhost") != 0 && !is_address(host))
        return refuse(why, size,
                      "host names are not looked up: write the address");
    return true;
}

static bool
valid_prefix(struct gh_slice s, char *why, size_t size)
{
    size_t start = 1;

    if (s.data[0] != '/')
        return refuse(why, size, "it must begin with a slash");
    if (s.len == 1)
        return true;
    if (gh_slice_eq_str(s, "/gatehouse") ||
        gh_slice_starts(s, gh_slice_str("/gatehouse/")))
        return refuse(why, size, "logins are served below /gatehouse/");
    if (!only(s, PATH_CHARS "/"))
        return refuse(why, size,
                      "it holds a character that has a meaning of "
                      "its own in paths (% ; ? # \\ { } or space)");
    for (size_t i = 1; i <= s.len; i++)
        if (i == s.len || s.data[i] == '/') {
            size_t n = i - start;

            if (n == 0)
                return refuse(why, size, "no slash at the end, and no //");
            if (s.data[start] == '.' &&
                (n == 1 || (n == 2 && s.data[start + 1] == '.')))
                return refuse(why, size, ". and .. are not allowed");
            start = i + 1;
        }
    return true;
}

static bool
valid_template(struct gh_slice s, char *why, size_t size)
{
    size_t start = 1;

    if (s.data[0] != '/')
        return refuse(why, size, "it must begin with a slash");
    for (size_t i = 1; i <= s.len; i++) {
        struct gh_slice seg;

        if (i < s.len && s.data[i] != '/')
            continue;
        seg = gh_slice(s.data + start, i - start);
        start = i + 1;
        if (gh_slice_eq_str(seg, "**")) {
            if (i != s.len)
                return refuse(why, size, "** stands at the end only");
        } else if (seg.len > 2 && seg.data[0] == '{' &&
                   seg.data[seg.len - 1] == '}') {
            if (!only(gh_slice(seg.data + 1, seg.len - 2), ALNUM "_-"))
                return refuse(why, size, "{name} takes letters, digits, _ -");
        } else if (gh_slice_eq_str(seg, ".") || gh_slice_eq_str(seg, "..")) {
            return refuse(why, size, ". and .. are not allowed");
        } else if (seg.len == 0 && i < s.len) {
            return refuse(why, size, "// is not allowed");
        } else if (memchr(seg.data, '*', seg.len) != NULL) {
            return refuse(why, size, "a segment is text, {name}, or a last **");
        } else if (!only(seg, PATH_CHARS)) {
            return refuse(why, size,
                          "{name} must be a whole segment, and % ; ? # \\ and "
                          "spaces are not allowed");
        }
    }
    return true;
}

static bool
valid_header(struct gh_slice s, char *why, size_t size)
{
    static const char *const reserved[] = {"host",
                                           "connection",
                                           "content-length",
                                           "content-type",
                                           "transfer-encoding",
                                           "te",
                                           "trailer",
                                           "upgrade",
                                           "keep-alive",
                                           "proxy-connection",
                                           "authorization",
                                           "cookie",
                                           "set-cookie",
                                           "expect",
                                           "forwarded",
                                           "via",
                                           "date",
                                           "retry-after",
                                           "www-authenticate",
                                           "proxy-authorization",
                                           "ratelimit",
                                           "ratelimit-policy",
                                           "range"};
    static const char *const prefixes[] = {"x-gatehouse-", "x-forwarded-",
                                           "x-ratelimit-", "x-accel-"};

    if (!only(s, ALNUM "-"))
        return refuse(why, size,
                      "a header name takes letters, digits and - (no _)");
    for (size_t i = 0; i < sizeof(reserved) / sizeof(*reserved); i++)
        if (gh_slice_eq_nocase(s, gh_slice_str(reserved[i])))
            return refuse(why, size, "this header has a use of its own");
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(*prefixes); i++) {
        struct gh_slice p = gh_slice_str(prefixes[i]);

        if (s.len >= p.len && gh_slice_eq_nocase(gh_slice(s.data, p.len), p))
            return refuse(why, size, "headers of this prefix are reserved");
    }
    return true;
}

bool
gh_document_format_valid(enum gh_format f, struct gh_slice s, char *why,
                         size_t size)
{
    char host[260];

    if (!printable(s, f == GH_F_PROSE))
        return refuse(why, size, "control characters are not allowed");
    switch (f) {
    case GH_F_HOST:
        if (gh_slice_eq_str(s, "*"))
            return true;
        if (gh_slice_copy(s, host, sizeof(host)) != 0 || !is_host(host))
            return refuse(why, size,
                          "it must be a lower-case host name "
                          "without port, or * for any");
        return true;
    case GH_F_PREFIX:
        return valid_prefix(s, why, size);
    case GH_F_TEMPLATE:
        return valid_template(s, why, size);
    case GH_F_HEADER:
        return valid_header(s, why, size);
    case GH_F_TOKEN:
        if (!only(s, ALNUM "._-"))
            return refuse(why, size, "it takes letters, digits, . _ -");
        if (gh_slice_eq_nocase(s, gh_slice_str("__Host-gatehouse")))
            return refuse(why, size, "this name is the login session's");
        return true;
    case GH_F_URL:
        return valid_url(s, false, why, size);
    case GH_F_ORIGIN:
        return valid_url(s, true, why, size);
    case GH_F_UPSTREAM:
        return valid_upstream(s, why, size);
    case GH_F_CLAIM:
        if (memchr(s.data, ' ', s.len) != NULL)
            return refuse(why, size, "spaces are not allowed");
        return true;
    case GH_F_FILE:
        if (s.data[0] != '/')
            return refuse(why, size, "it must be an absolute path");
        return true;
    case GH_F_FREE:
    case GH_F_PROSE:
    case GH_FORMATS:
        break;
    }
    return true;
}
