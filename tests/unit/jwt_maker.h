/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes keys and tokens for the unit tests of idp/, good and bad: header and
 * claims are texts as given, nothing is checked. Signing is OpenSSL's, not
 * that of the code under test.
 */
#ifndef GH_JWT_MAKER_H
#define GH_JWT_MAKER_H

#include "encode.h"
#include "jwk.h"
#include "jwt.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/hmac.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>

#define MAKER_NOW 1700000000000ull

struct maker {
    EVP_PKEY *rsa, *ec, *ed, *ec384, *rsa2; /* rsa2: another one, 2048 bits */
};

static inline void
maker_init(struct maker *m)
{
    m->rsa = EVP_RSA_gen(2048);
    m->rsa2 = EVP_RSA_gen(2048);
    m->ec = EVP_EC_gen("P-256");
    m->ec384 = EVP_EC_gen("P-384");
    m->ed = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
}

static inline void
maker_finish(struct maker *m)
{
    EVP_PKEY_free(m->rsa);
    EVP_PKEY_free(m->rsa2);
    EVP_PKEY_free(m->ec);
    EVP_PKEY_free(m->ec384);
    EVP_PKEY_free(m->ed);
}

static inline void
maker_number(EVP_PKEY *k, const char *param, size_t size, char *out)
{
    unsigned char raw[1024];
    BIGNUM *n = NULL;
    int len;

    EVP_PKEY_get_bn_param(k, param, &n);
    len = size ? (int)size : BN_num_bytes(n);
    BN_bn2binpad(n, raw, len);
    BN_free(n);
    gh_base64url_encode(gh_slice(raw, (size_t)len), out);
}

/* The public key as a JWK; `extra` is pasted in: ",\"kid\":\"a\"". */
static inline char *
maker_jwk(EVP_PKEY *k, const char *extra)
{
    static char text[4096];
    char a[1400], b[1400];
    unsigned char raw[32];
    size_t len = sizeof(raw);

    if (EVP_PKEY_is_a(k, "RSA")) {
        maker_number(k, OSSL_PKEY_PARAM_RSA_N, 0, a);
        maker_number(k, OSSL_PKEY_PARAM_RSA_E, 0, b);
        snprintf(text, sizeof(text),
                 "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"%s}", a, b, extra);
    } else if (EVP_PKEY_is_a(k, "EC")) {
        size_t size = (size_t)(EVP_PKEY_get_bits(k) / 8);

        maker_number(k, OSSL_PKEY_PARAM_EC_PUB_X, size, a);
        maker_number(k, OSSL_PKEY_PARAM_EC_PUB_Y, size, b);
        snprintf(text, sizeof(text),
                 "{\"kty\":\"EC\",\"crv\":\"P-%zu\",\"x\":\"%s\",\"y\":\"%s\""
                 "%s}",
                 size * 8, a, b, extra);
    } else {
        EVP_PKEY_get_raw_public_key(k, raw, &len);
        gh_base64url_encode(gh_slice(raw, len), a);
        snprintf(text, sizeof(text),
                 "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"%s}", a,
                 extra);
    }
    return text;
}

static inline size_t
maker_raw_ecdsa(unsigned char *sig, size_t len, size_t half)
{
    const unsigned char *p = sig;
    ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)len);
    unsigned char raw[132];

    BN_bn2binpad(ECDSA_SIG_get0_r(s), raw, (int)half);
    BN_bn2binpad(ECDSA_SIG_get0_s(s), raw + half, (int)half);
    ECDSA_SIG_free(s);
    memcpy(sig, raw, 2 * half);
    return 2 * half;
}

static inline size_t
maker_sign(EVP_PKEY *k, bool pss, const char *md, const char *text,
           unsigned char *sig, size_t cap)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_PKEY_CTX *p = NULL;

    if (EVP_PKEY_is_a(k, "ED25519"))
        md = NULL;
    if (EVP_DigestSignInit_ex(c, &p, md, NULL, NULL, k, NULL) != 1)
        abort();
    if (pss) {
        EVP_PKEY_CTX_set_rsa_padding(p, RSA_PKCS1_PSS_PADDING);
        EVP_PKEY_CTX_set_rsa_pss_saltlen(p, RSA_PSS_SALTLEN_DIGEST);
    }
    if (EVP_DigestSign(c, sig, &cap, (const unsigned char *)text,
                       strlen(text)) != 1)
        abort();
    EVP_MD_CTX_free(c);
    if (EVP_PKEY_is_a(k, "EC"))
        cap = maker_raw_ecdsa(sig, cap, (size_t)EVP_PKEY_get_bits(k) / 8);
    return cap;
}

/* header.claims signed with k (NULL: an empty signature). free() it. */
static inline char *
maker_token_with(EVP_PKEY *k, bool pss, const char *md, struct gh_slice header,
                 struct gh_slice claims)
{
    size_t room =
        GH_BASE64URL_SIZE(header.len) + GH_BASE64URL_SIZE(claims.len) + 2000;
    char *t = malloc(room);
    unsigned char sig[1024];
    size_t n = gh_base64url_encode(header, t);

    t[n++] = '.';
    n += gh_base64url_encode(claims, t + n);
    if (k == NULL) {
        strcpy(t + n, ".");
        return t;
    }
    room = maker_sign(k, pss, md, t, sig, sizeof(sig));
    t[n++] = '.';
    gh_base64url_encode(gh_slice(sig, room), t + n);
    return t;
}

static inline char *
maker_token(EVP_PKEY *k, const char *header, const char *claims)
{
    return maker_token_with(k, strstr(header, "PS256") != NULL, "SHA256",
                            gh_slice_str(header), gh_slice_str(claims));
}

#endif
