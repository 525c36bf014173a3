/* SPDX-License-Identifier: Apache-2.0 */
/* Hex, base64url and integers as text: strict, one spelling per value. */
#ifndef GH_ENCODE_H
#define GH_ENCODE_H

#include "slice.h"

#include <sys/types.h>

/* 0 to 15, or -1 for what is no hex digit. Either case. */
int gh_hex_digit(unsigned char c);

/* Writes 2 * s.len lower-case digits and a NUL into out. */
void gh_hex_encode(struct gh_slice s, char *out);

/* Bytes written, or -1: odd length, other characters, or more than cap. */
ssize_t gh_hex_decode(struct gh_slice s, unsigned char *out, size_t cap);

/* Room for n bytes as base64url without padding, NUL included. */
#define GH_BASE64URL_SIZE(n) (((n) * 4 + 2) / 3 + 1)

/* RFC 4648 section 5, no padding. Writes a NUL. Returns the text's length. */
size_t gh_base64url_encode(struct gh_slice s, char *out);

/*
 * Bytes written, or -1: padding, characters outside the alphabet, an
 * impossible length, or set bits after the last byte (a second spelling of the
 * same value), or more than cap.
 */
ssize_t gh_base64url_decode(struct gh_slice s, unsigned char *out, size_t cap);

/*
 * A decimal integer, whole, within [min, max]: no sign, space or leading
 * zero. 0, or -1 with *out untouched.
 */
int gh_parse_u64(struct gh_slice s, uint64_t min, uint64_t max, uint64_t *out);

/* "250ms" "30s" "5m" "12h" "7d" -> milliseconds. 0 or -1. */
int gh_parse_duration(struct gh_slice s, uint64_t *out_ms);

/* "4096" "64k" "16m" "2g" (powers of 1024; b, kb, mb, gb too) -> bytes. */
int gh_parse_size(struct gh_slice s, uint64_t *out_bytes);

#endif
