/* SPDX-License-Identifier: Apache-2.0 */
#include "jwt_keys.h"

#include "jwk.h"

#include <openssl/rsa.h>
#include <stdlib.h>

#define ES256_SIZE 64 /* RFC 7518 section 3.4 */
#define EDDSA_SIZE 64

/* A context that verifies SHA-256 digests; `pss`: RFC 7518 section 3.5. */
static EVP_PKEY_CTX *
verifier(EVP_PKEY *pkey, bool rsa, bool pss)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    int padding = pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING;

    if (c != NULL && EVP_PKEY_verify_init(c) == 1 &&
        (!rsa || EVP_PKEY_CTX_set_rsa_padding(c, padding) == 1) &&
        EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) == 1 &&
        (!pss ||
         EVP_PKEY_CTX_set_rsa_pss_saltlen(c, RSA_PSS_SALTLEN_DIGEST) == 1))
        return c;
    EVP_PKEY_CTX_free(c);
    return NULL;
}

static int
prepare(struct gh_jwt_key *k)
{
    if (k->algs & GH_ALG_EDDSA) {
        k->size = EDDSA_SIZE;
        return 0;
    }
    if (k->algs & GH_ALG_ES256) {
        k->size = ES256_SIZE;
        k->es256 = verifier(k->pkey, false, false);
        return k->es256 == NULL ? -1 : 0;
    }
    k->size = (size_t)EVP_PKEY_get_size(k->pkey);
    k->rs256 = verifier(k->pkey, true, false);
    k->ps256 = verifier(k->pkey, true, true);
    return k->rs256 == NULL || k->ps256 == NULL ? -1 : 0;
}

static bool
copy(const struct gh_alloc *a, struct gh_slice from, struct gh_slice *to)
{
    *to = gh_get_copy(a, from);
    return to->data != NULL;
}

/* Keys were checked when they were stored. One that does not parse after all
 * verifies nothing, and must not take the others with it. */
static void
add(struct gh_jwt_keys *k, const struct gh_alloc *a,
    const struct gh_public_key *from)
{
    struct gh_jwt_key *key = &k->keys[k->n];

    if (gh_jwk_to_pkey(from->jwk, &key->pkey, NULL) != 0)
        return;
    k->n++; /* from here on gh_jwt_keys_destroy() cleans up */
    key->algs = from->algs & k->algs;
    if (!copy(a, from->kid, &key->kid) || prepare(key) != 0)
        key->algs = 0;
}

int
gh_jwt_keys_create(const struct gh_idp *idp, struct gh_jwt_keys **out,
                   struct gh_error *e)
{
    struct gh_jwt_keys *k = calloc(1, sizeof(*k));
    struct gh_alloc a;
    size_t i;

    if (k == NULL)
        return gh_error_set(e, GH_ENOMEM, "keys of %.*s: no memory",
                            (int)idp->name.len, (const char *)idp->name.data);
    gh_arena_init(&k->arena);
    a = gh_arena_alloc(&k->arena);
    k->version = idp->version;
    k->skew_ms = idp->skew_ms;
    k->algs = idp->algs;
    k->keys = gh_get(&a, (idp->nkeys + 1) * sizeof(*k->keys));
    if (k->keys == NULL || !copy(&a, idp->name, &k->provider) ||
        !copy(&a, idp->issuer, &k->issuer) ||
        !copy(&a, idp->user_claim, &k->names.user) ||
        !copy(&a, idp->client_claim, &k->names.client) ||
        !copy(&a, idp->roles_claim, &k->names.roles)) {
        gh_jwt_keys_destroy(k);
        return gh_error_set(e, GH_ENOMEM, "keys: no memory");
    }
    for (i = 0; i < idp->nkeys; i++)
        add(k, &a, &idp->keys[i]);
    *out = k;
    return 0;
}

void
gh_jwt_keys_destroy(struct gh_jwt_keys *k)
{
    size_t i;

    if (k == NULL)
        return;
    for (i = 0; i < k->n; i++) {
        EVP_PKEY_CTX_free(k->keys[i].rs256);
        EVP_PKEY_CTX_free(k->keys[i].ps256);
        EVP_PKEY_CTX_free(k->keys[i].es256);
        EVP_PKEY_free(k->keys[i].pkey);
    }
    gh_arena_finish(&k->arena);
    free(k);
}
