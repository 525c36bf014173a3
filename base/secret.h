/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The installation's one secret and what is derived from it. The file holds 64
 * hex digits (32 random bytes); it belongs to root and the group `gatehouse`,
 * mode 0640. nginx' master reads it as root, control and idp by their group.
 * Each use has a key of its own (HKDF-SHA256, RFC 5869, info = the use).
 */
#ifndef GH_SECRET_H
#define GH_SECRET_H

#include "error.h"
#include "slice.h"

#define GH_KEY_SIZE 32
#define GH_DIGEST_SIZE 32

struct gh_secret {
    unsigned char root[GH_KEY_SIZE];
};

/* Reads the file; wrong length, other characters or a world-readable mode are
 * errors that say what to do. */
int gh_secret_read(const char *path, struct gh_secret *out,
                   struct gh_error *e);

/* Makes 32 new bytes and writes them, mode 0640, never over an old file. */
int gh_secret_create(const char *path, struct gh_error *e);

/* The key of one use: "credential", "session", "login-state", ... */
int gh_secret_derive(const struct gh_secret *s, const char *use,
                     unsigned char out[GH_KEY_SIZE], struct gh_error *e);

void gh_secret_wipe(struct gh_secret *s);

/* n bytes from getrandom(2). Never fails short of a broken kernel: aborts. */
void gh_random(void *out, size_t n);

/*
 * HMAC-SHA256 (RFC 2104) with the key's two block states computed once: two
 * compressions and no allocation per short message. Kept per process.
 */
struct gh_hmac {
    _Alignas(8) unsigned char inner[128], outer[128];
};

void gh_hmac_init(struct gh_hmac *h, struct gh_slice key);
void gh_hmac(const struct gh_hmac *h, const struct gh_slice *parts, size_t n,
             unsigned char out[GH_DIGEST_SIZE]);

/* SHA-256 over the parts, without OpenSSL 3's cost of a fetch per call. */
void gh_sha256(const struct gh_slice *parts, size_t n,
               unsigned char out[GH_DIGEST_SIZE]);

#endif
