/* SPDX-License-Identifier: Apache-2.0 */
#include "jwt_keys.h"

#include <openssl/err.h>

/* An INTEGER of DER: no leading zero octets but one before a set top bit. */
static size_t
der_integer(const unsigned char *v, size_t n, unsigned char *out)
{
    size_t pad;

    while (n > 1 && v[0] == 0) {
        v++;
        n--;
    }
    pad = v[0] >> 7;
    out[0] = 0x02;
    out[1] = (unsigned char)(n + pad);
    out[2] = 0;
    memcpy(out + 2 + pad, v, n);
    return 2 + pad + n;
}

/* r || s (RFC 7518 section 3.4) -> ECDSA-Sig-Value; at most 72 bytes. */
static size_t
der_signature(struct gh_slice s, unsigned char out[72])
{
    size_t n = 2;

    n += der_integer(s.data, 32, out + n);
    n += der_integer(s.data + 32, 32, out + n);
    out[0] = 0x30;
    out[1] = (unsigned char)(n - 2);
    return n;
}

static bool
verify_digest(const EVP_PKEY_CTX *ready, struct gh_slice signature,
              struct gh_slice input)
{
    unsigned char sum[GH_DIGEST_SIZE];
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_dup(ready);
    bool ok;

    gh_sha256(&input, 1, sum);
    ok = c != NULL && EVP_PKEY_verify(c, signature.data, signature.len, sum,
                                      sizeof(sum)) == 1;
    EVP_PKEY_CTX_free(c);
    return ok;
}

static bool
verify_eddsa(EVP_PKEY *pkey, const struct gh_jwt *t)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok =
        c != NULL &&
        EVP_DigestVerifyInit_ex(c, NULL, NULL, NULL, NULL, pkey, NULL) == 1 &&
        EVP_DigestVerify(c, t->signature.data, t->signature.len,
                         t->signing_input.data, t->signing_input.len) == 1;

    EVP_MD_CTX_free(c);
    return ok;
}

static bool
verify(const struct gh_jwt_key *k, const struct gh_jwt *t)
{
    unsigned char der[72];
    bool ok = false;

    if (t->signature.len != k->size)
        return false;
    switch (t->alg) {
    case GH_ALG_RS256:
        ok = verify_digest(k->rs256, t->signature, t->signing_input);
        break;
    case GH_ALG_PS256:
        ok = verify_digest(k->ps256, t->signature, t->signing_input);
        break;
    case GH_ALG_ES256:
        ok = verify_digest(k->es256,
                           gh_slice(der, der_signature(t->signature, der)),
                           t->signing_input);
        break;
    case GH_ALG_EDDSA:
        ok = verify_eddsa(k->pkey, t);
        break;
    }
    if (!ok)
        ERR_clear_error(); /* the host's TLS reads the same queue */
    return ok;
}

/* A kid may name a key of each type; and one written by hand beside one that
 * was fetched. */
static enum gh_jwt_fault
check_signature(const struct gh_jwt_keys *k, const struct gh_jwt *t)
{
    enum gh_jwt_fault fault = GH_JWT_UNKNOWN_KEY;
    size_t i;

    if ((t->alg & k->algs) == 0)
        return GH_JWT_ALG_REFUSED;
    for (i = 0; i < k->n; i++) {
        if (!gh_slice_eq(k->keys[i].kid, t->kid))
            continue;
        if ((k->keys[i].algs & t->alg) == 0) {
            if (fault == GH_JWT_UNKNOWN_KEY)
                fault = GH_JWT_KEY_MISMATCH;
            continue;
        }
        if (verify(&k->keys[i], t))
            return GH_JWT_OK;
        fault = GH_JWT_BAD_SIGNATURE;
    }
    return fault;
}

static enum gh_jwt_fault
check_times(const struct gh_jwt_keys *k, const json_t *claims, uint64_t now_ms,
            struct gh_identity *id)
{
    uint64_t exp, nbf;

    if (json_object_get(claims, "exp") == NULL)
        return GH_JWT_NO_EXPIRY;
    if (gh_claims_time(claims, "exp", &exp) != GH_CLAIMS_OK ||
        gh_claims_time(claims, "nbf", &nbf) != GH_CLAIMS_OK)
        return GH_JWT_BAD_TIME;
    id->expires_ms = exp + k->skew_ms;
    id->not_before_ms = nbf > k->skew_ms ? nbf - k->skew_ms : 0;
    if (now_ms >= id->expires_ms)
        return GH_JWT_EXPIRED;
    if (now_ms < id->not_before_ms || id->issued_ms > now_ms + k->skew_ms)
        return GH_JWT_NOT_YET;
    return GH_JWT_OK;
}

static enum gh_jwt_fault
claims_fault(enum gh_claims_fault f)
{
    switch (f) {
    case GH_CLAIMS_OK:
        return GH_JWT_OK;
    case GH_CLAIMS_TOO_MANY:
        return GH_JWT_TOO_BIG;
    case GH_CLAIMS_BAD_TIME:
        return GH_JWT_BAD_TIME;
    case GH_CLAIMS_NO_MEMORY:
        return GH_JWT_NO_MEMORY;
    default:
        return GH_JWT_BAD_CLAIM;
    }
}

enum gh_jwt_fault
gh_jwt_verify(const struct gh_jwt_keys *k, const struct gh_jwt *t,
              uint64_t now_ms, const struct gh_alloc *a,
              struct gh_identity *out)
{
    struct gh_identity id;
    enum gh_jwt_fault f;

    /* cheap refusals first: a wrong issuer costs no public-key operation */
    if (k->issuer.len == 0 || !gh_slice_eq(t->issuer, k->issuer))
        return GH_JWT_WRONG_ISSUER;
    if ((f = check_signature(k, t)) != GH_JWT_OK ||
        (f = claims_fault(gh_claims_read(t->json, &k->names, a, &id))) !=
            GH_JWT_OK ||
        (f = check_times(k, t->json, now_ms, &id)) != GH_JWT_OK)
        return f;
    id.provider = gh_get_copy(a, k->provider);
    if (id.provider.data == NULL)
        return GH_JWT_NO_MEMORY;
    id.version = k->version;
    *out = id;
    return GH_JWT_OK;
}
