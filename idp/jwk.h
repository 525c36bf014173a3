/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys as JSON (RFC 7517, RFC 7518, RFC 8037), checked when they are
 * stored, so that the hot path never meets a bad one: kty, curve, size, use and
 * alg fit together; private members are dropped; the text is minimal.
 */
#ifndef GH_JWK_H
#define GH_JWK_H

#include "arena.h"
#include "error.h"
#include "model.h"

#include <openssl/evp.h>

#define GH_JWK_MAX 8192          /* bytes of one JWK */
#define GH_JWKS_MAX (256 * 1024) /* bytes of a set */
#define GH_JWKS_KEYS_MAX 64      /* usable keys of a set */

/* "RS256" ... <-> enum gh_alg; 0 and NULL for what we do not take. */
uint32_t gh_jwk_alg(struct gh_slice name);
const char *gh_jwk_alg_name(uint32_t alg);

/*
 * Checks one JWK and makes it minimal: `kid`, `algs` and `jwk` of *out, in
 * memory of `a`. A key for encryption, a symmetric key, RSA outside
 * 2048..8192 bits or with an even or tiny exponent, a curve other than P-256
 * or Ed25519, a point off the curve: GH_EINVAL, and the message says what.
 */
int gh_jwk_import(struct gh_slice json, const struct gh_alloc *a,
                  struct gh_public_key *out, struct gh_error *e);

/*
 * The usable keys of a JWK set (RFC 7517 section 5); others are skipped, as
 * the RFC asks, and counted in *skipped. Two usable keys with one kid and one
 * algorithm, or none usable: GH_EINVAL.
 */
int gh_jwk_import_set(struct gh_slice json, const struct gh_alloc *a,
                      const struct gh_public_key **keys, size_t *n,
                      size_t *skipped, struct gh_error *e);

/* The key ready to verify with; EVP_PKEY_free() it. */
int gh_jwk_to_pkey(struct gh_slice jwk, EVP_PKEY **out, struct gh_error *e);

#endif
