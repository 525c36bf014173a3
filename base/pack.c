/* SPDX-License-Identifier: Apache-2.0 */
#include "pack.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct gh_reader
gh_reader(struct gh_slice s)
{
    return (struct gh_reader){s.data, s.data + s.len, false};
}

static uint64_t
read_le(struct gh_reader *r, unsigned bytes)
{
    uint64_t v = 0;
    unsigned i;

    if (r->bad || (size_t)(r->end - r->at) < bytes) {
        r->bad = true;
        return 0;
    }
    for (i = 0; i < bytes; i++)
        v |= (uint64_t)r->at[i] << (8 * i);
    r->at += bytes;
    return v;
}

uint8_t
gh_read_u8(struct gh_reader *r)
{
    return (uint8_t)read_le(r, 1);
}

uint16_t
gh_read_u16(struct gh_reader *r)
{
    return (uint16_t)read_le(r, 2);
}

uint32_t
gh_read_u32(struct gh_reader *r)
{
    return (uint32_t)read_le(r, 4);
}

uint64_t
gh_read_u64(struct gh_reader *r)
{
    return read_le(r, 8);
}

struct gh_slice
gh_read_bytes(struct gh_reader *r)
{
    uint32_t len = gh_read_u32(r);
    struct gh_slice s;

    if (r->bad || (size_t)(r->end - r->at) < len) {
        r->bad = true;
        return gh_slice(NULL, 0);
    }
    s = gh_slice(r->at, len);
    r->at += len;
    return s;
}

uint32_t
gh_read_count(struct gh_reader *r, size_t least)
{
    uint32_t n = gh_read_u32(r);

    if (r->bad || (uint64_t)n * least > (uint64_t)(r->end - r->at)) {
        r->bad = true;
        return 0;
    }
    return n;
}

bool
gh_reader_done(const struct gh_reader *r)
{
    return !r->bad && r->at == r->end;
}

void
gh_buffer_finish(struct gh_buffer *b)
{
    free(b->data);
    *b = GH_BUFFER_INIT;
}

void
gh_buffer_clear(struct gh_buffer *b)
{
    b->len = 0;
}

/* Room for n more bytes and a NUL. */
static bool
reserve(struct gh_buffer *b, size_t n)
{
    size_t cap = b->cap ? b->cap : 128;
    unsigned char *p;

    if (b->failed)
        return false;
    if (n >= SIZE_MAX / 2 - b->len) {
        b->failed = true;
        return false;
    }
    if (b->len + n + 1 <= b->cap)
        return true;
    while (cap < b->len + n + 1)
        cap *= 2;
    p = realloc(b->data, cap);
    if (p == NULL) {
        b->failed = true;
        return false;
    }
    b->data = p;
    b->cap = cap;
    return true;
}

void
gh_buffer_append(struct gh_buffer *b, struct gh_slice s)
{
    if (s.len == 0 || !reserve(b, s.len))
        return;
    memcpy(b->data + b->len, s.data, s.len);
    b->len += s.len;
}

void
gh_buffer_decimal(struct gh_buffer *b, uint64_t v)
{
    char digits[20], *p = digits + sizeof(digits);

    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v > 0);
    gh_buffer_append(b, gh_slice(p, (size_t)(digits + sizeof(digits) - p)));
}

void
gh_buffer_text(struct gh_buffer *b, const char *s)
{
    gh_buffer_append(b, gh_slice_str(s));
}

void
gh_buffer_printf(struct gh_buffer *b, const char *fmt, ...)
{
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n < 0 || !reserve(b, (size_t)n)) {
        b->failed = true;
        return;
    }
    va_start(ap, fmt);
    vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
    b->len += (size_t)n;
}

const char *
gh_buffer_string(struct gh_buffer *b)
{
    if (!reserve(b, 0))
        return NULL;
    b->data[b->len] = '\0';
    return (const char *)b->data;
}

struct gh_slice
gh_buffer_slice(const struct gh_buffer *b)
{
    return gh_slice(b->data, b->len);
}

static void
write_le(struct gh_buffer *b, uint64_t v, unsigned bytes)
{
    unsigned char raw[8];
    unsigned i;

    for (i = 0; i < bytes; i++)
        raw[i] = (unsigned char)(v >> (8 * i));
    gh_buffer_append(b, gh_slice(raw, bytes));
}

void
gh_write_u8(struct gh_buffer *b, uint8_t v)
{
    write_le(b, v, 1);
}

void
gh_write_u16(struct gh_buffer *b, uint16_t v)
{
    write_le(b, v, 2);
}

void
gh_write_u32(struct gh_buffer *b, uint32_t v)
{
    write_le(b, v, 4);
}

void
gh_write_u64(struct gh_buffer *b, uint64_t v)
{
    write_le(b, v, 8);
}

void
gh_write_bytes(struct gh_buffer *b, struct gh_slice s)
{
    if (s.len > UINT32_MAX) {
        b->failed = true;
        return;
    }
    gh_write_u32(b, (uint32_t)s.len);
    gh_buffer_append(b, s);
}
