/* SPDX-License-Identifier: Apache-2.0 */
/* Decoders of base/: what decodes must encode back to the same text. */
#include "encode.h"
#include "pack.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
base64url(struct gh_slice s)
{
    unsigned char raw[4096];
    char text[GH_BASE64URL_SIZE(sizeof(raw))];
    ssize_t n = gh_base64url_decode(s, raw, sizeof(raw));

    if (n < 0)
        return;
    if (gh_base64url_encode(gh_slice(raw, (size_t)n), text) != s.len ||
        memcmp(text, s.data, s.len) != 0)
        abort();
}

static void
records(struct gh_slice s)
{
    struct gh_reader r = gh_reader(s);
    uint32_t n = gh_read_count(&r, 4);
    struct gh_slice part;

    while (n-- > 0 && !r.bad) {
        part = gh_read_bytes(&r);
        if (part.len > s.len)
            abort();
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gh_slice s = gh_slice(data, size);
    unsigned char raw[256];
    uint64_t v;

    if (size == 0 || size > 4096)
        return 0;
    base64url(s);
    records(s);
    (void)gh_hex_decode(s, raw, sizeof(raw));
    if (gh_parse_u64(s, 5, 500, &v) == 0 && (v < 5 || v > 500))
        abort();
    (void)gh_parse_duration(s, &v);
    (void)gh_parse_size(s, &v);
    return 0;
}
