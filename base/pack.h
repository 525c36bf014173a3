/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flat records: little-endian integers, and byte strings with a 32-bit length
 * before them. The reader checks every bound and goes "bad" for good at the
 * first fault, so a decoder reads all its fields and looks once at the end.
 */
#ifndef GH_PACK_H
#define GH_PACK_H

#include "slice.h"

struct gh_reader {
    const unsigned char *at, *end;
    bool bad;
};

struct gh_reader gh_reader(struct gh_slice s);
uint8_t gh_read_u8(struct gh_reader *r);
uint16_t gh_read_u16(struct gh_reader *r);
uint32_t gh_read_u32(struct gh_reader *r);
uint64_t gh_read_u64(struct gh_reader *r);
struct gh_slice gh_read_bytes(struct gh_reader *r); /* into the record */
/* A count of things that take at least `least` bytes each: bad when it lies. */
uint32_t gh_read_count(struct gh_reader *r, size_t least);
/* Read whole and without a fault. */
bool gh_reader_done(const struct gh_reader *r);

/* A growing buffer; `failed` after an allocation failed, and stays so. */
struct gh_buffer {
    unsigned char *data;
    size_t len, cap;
    bool failed;
};

#define GH_BUFFER_INIT ((struct gh_buffer){NULL, 0, 0, false})

void gh_buffer_finish(struct gh_buffer *b); /* frees; b may be used again */
void gh_buffer_clear(struct gh_buffer *b);  /* keeps the room */
void gh_buffer_append(struct gh_buffer *b, struct gh_slice s);
void gh_buffer_text(struct gh_buffer *b, const char *s);
void gh_buffer_decimal(struct gh_buffer *b, uint64_t v);
void gh_buffer_printf(struct gh_buffer *b, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The text so far, NUL-terminated (the NUL is not counted); NULL if failed. */
const char *gh_buffer_string(struct gh_buffer *b);
struct gh_slice gh_buffer_slice(const struct gh_buffer *b);

void gh_write_u8(struct gh_buffer *b, uint8_t v);
void gh_write_u16(struct gh_buffer *b, uint16_t v);
void gh_write_u32(struct gh_buffer *b, uint32_t v);
void gh_write_u64(struct gh_buffer *b, uint64_t v);
void gh_write_bytes(struct gh_buffer *b, struct gh_slice s);

#endif
