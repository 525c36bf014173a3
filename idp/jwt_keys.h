/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of `struct gh_jwt_keys`, for jwt_keys.c and jwt_verify.c. */
#ifndef GH_JWT_KEYS_H
#define GH_JWT_KEYS_H

#include "claims.h"
#include "jwt.h"

#include <openssl/evp.h>

struct gh_jwt_key {
    struct gh_slice kid;
    uint32_t algs;
    size_t size; /* bytes of a signature as JOSE writes it */
    EVP_PKEY *pkey;
    /* ready to verify and copied for each use: cheaper than a new one, and no
     * thread meets another. NULL for what the key cannot do. */
    EVP_PKEY_CTX *rs256, *ps256, *es256;
};

struct gh_jwt_keys {
    struct gh_arena arena; /* of all texts below */
    struct gh_slice provider, issuer;
    uint64_t version, skew_ms;
    uint32_t algs;
    struct gh_claims_names names;
    struct gh_jwt_key *keys;
    size_t n;
};

#endif
