/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed bytes: AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce.
 * Layout: version (1 byte, 1), key id (4 bytes), nonce (12), ciphertext, tag
 * (16). Version and key id are authenticated too. The key id tells a later
 * rotation which key to try; it says nothing about the key.
 */
#ifndef GH_SEAL_H
#define GH_SEAL_H

#include "arena.h"
#include "error.h"
#include "pack.h"
#include "secret.h"

#define GH_SEAL_OVERHEAD 33

struct gh_seal {
    unsigned char key[GH_KEY_SIZE];
    unsigned char id[4];
};

/* A key of its own for each `use` ("session-seal", "login-state"). */
int gh_seal_init(struct gh_seal *s, const struct gh_secret *secret,
                 const char *use, struct gh_error *e);
void gh_seal_wipe(struct gh_seal *s);

/* Appends the sealed form of `plain`, bound to `aad`. */
int gh_seal_close(const struct gh_seal *s, struct gh_slice aad,
                  struct gh_slice plain, struct gh_buffer *out,
                  struct gh_error *e);

/* Opens into memory of `a`. Anything wrong (length, version, key, a flipped
 * bit, another aad): GH_ECORRUPT, and nothing of the content is seen. */
int gh_seal_open(const struct gh_seal *s, struct gh_slice aad,
                 struct gh_slice sealed, const struct gh_alloc *a,
                 struct gh_slice *plain, struct gh_error *e);

#endif
