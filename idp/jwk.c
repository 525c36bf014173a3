/* SPDX-License-Identifier: Apache-2.0 */
#include "jwk.h"

#include "encode.h"
#include "jwt.h"
#include "strict.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <stdio.h>

#define RSA_MIN_BITS 2048
#define RSA_MAX_BITS 8192
#define EXPONENT_MAX 4 /* bytes: larger ones only cost time */
#define POINT 32       /* bytes of a P-256 coordinate or an Ed25519 key */

static const struct {
    const char *name;
    uint32_t alg;
} algs[] = {{"RS256", GH_ALG_RS256},
            {"PS256", GH_ALG_PS256},
            {"ES256", GH_ALG_ES256},
            {"EdDSA", GH_ALG_EDDSA}};

#define NALGS (sizeof(algs) / sizeof(algs[0]))

uint32_t
gh_jwk_alg(struct gh_slice name)
{
    size_t i;

    for (i = 0; i < NALGS; i++)
        if (gh_slice_eq_str(name, algs[i].name))
            return algs[i].alg;
    return 0;
}

const char *
gh_jwk_alg_name(uint32_t alg)
{
    size_t i;

    for (i = 0; i < NALGS; i++)
        if (algs[i].alg == alg)
            return algs[i].name;
    return NULL;
}

/* What a JWK says, decoded. */
struct fields {
    struct gh_slice kid;
    uint32_t algs; /* its key type can do, and it allows */
    bool one_alg;  /* it says so itself */
    unsigned char a[RSA_MAX_BITS / 8], b[POINT]; /* n e, x y or x */
    size_t na, nb;
};

static int
refuse(struct gh_error *e, const char *why)
{
    return gh_error_set(e, GH_EINVAL, "key: %s", why);
}

/* A base64url member; its length, or -1. */
static ssize_t
bytes(const json_t *o, const char *member, unsigned char *out, size_t cap)
{
    struct gh_slice s;

    if (gh_strict_string(o, member, &s) != 0 || s.len == 0)
        return -1;
    return gh_base64url_decode(s, out, cap);
}

static int
read_rsa(const json_t *o, struct fields *f, struct gh_error *e)
{
    ssize_t n = bytes(o, "n", f->a, sizeof(f->a));
    ssize_t m = bytes(o, "e", f->b, EXPONENT_MAX);
    size_t zero = 0, bits;

    if (n <= 0 || m <= 0)
        return refuse(e, "RSA without a modulus and exponent we can use");
    while (zero < (size_t)n && f->a[zero] == 0)
        zero++;
    f->na = (size_t)n - zero;
    memmove(f->a, f->a + zero, f->na);
    bits = f->na == 0 ? 0 : f->na * 8 - (size_t)__builtin_clz(f->a[0]) + 24;
    if (bits < RSA_MIN_BITS || bits > RSA_MAX_BITS)
        return refuse(e, "RSA must have 2048 to 8192 bits");
    f->nb = (size_t)m;
    if (f->b[0] == 0 || (f->b[m - 1] & 1) == 0 || (m == 1 && f->b[0] < 3) ||
        (f->a[f->na - 1] & 1) == 0)
        return refuse(e, "RSA modulus or exponent is even or too small");
    f->algs = GH_ALG_RS256 | GH_ALG_PS256;
    return 0;
}

static int
read_ec(const json_t *o, struct fields *f, struct gh_error *e)
{
    struct gh_slice crv;

    if (gh_strict_string(o, "crv", &crv) != 0 || !gh_slice_eq_str(crv, "P-256"))
        return refuse(e, "EC curve is not P-256");
    if (bytes(o, "x", f->a, POINT) != POINT ||
        bytes(o, "y", f->b, POINT) != POINT)
        return refuse(e, "EC coordinates must be 32 bytes each");
    f->na = f->nb = POINT;
    f->algs = GH_ALG_ES256;
    return 0;
}

static int
read_okp(const json_t *o, struct fields *f, struct gh_error *e)
{
    struct gh_slice crv;

    if (gh_strict_string(o, "crv", &crv) != 0 ||
        !gh_slice_eq_str(crv, "Ed25519"))
        return refuse(e, "OKP curve is not Ed25519");
    if (bytes(o, "x", f->a, POINT) != POINT)
        return refuse(e, "Ed25519 key must be 32 bytes");
    f->na = POINT;
    f->algs = GH_ALG_EDDSA;
    return 0;
}

static int
read_type(const json_t *o, struct fields *f, struct gh_error *e)
{
    struct gh_slice kty;

    if (gh_strict_string(o, "kty", &kty) != 0)
        return refuse(e, "kty is not a string");
    if (gh_slice_eq_str(kty, "RSA"))
        return read_rsa(o, f, e);
    if (gh_slice_eq_str(kty, "EC"))
        return read_ec(o, f, e);
    if (gh_slice_eq_str(kty, "OKP"))
        return read_okp(o, f, e);
    return refuse(e, "kty is not RSA, EC or OKP");
}

static bool
verifies(const json_t *ops)
{
    const json_t *v;
    size_t i;

    if (ops == NULL)
        return true;
    json_array_foreach((json_t *)ops, i,
                       v) if (json_is_string(v) &&
                              strcmp(json_string_value(v), "verify") ==
                                  0) return true;
    return false;
}

static int
read_fields(const json_t *o, struct fields *f, struct gh_error *e)
{
    struct gh_slice use, alg;

    if (gh_strict_string(o, "kid", &f->kid) != 0 || f->kid.len > GH_JWT_KID_MAX)
        return refuse(e, "kid is not a string of at most 256 bytes");
    if (gh_strict_string(o, "use", &use) != 0 ||
        (use.len > 0 && !gh_slice_eq_str(use, "sig")))
        return refuse(e, "use is not sig");
    if (!verifies(json_object_get(o, "key_ops")))
        return refuse(e, "key_ops does not allow verify");
    if (read_type(o, f, e) != 0)
        return -1;
    if (gh_strict_string(o, "alg", &alg) != 0)
        return refuse(e, "alg is not a string");
    f->one_alg = alg.len > 0;
    if (f->one_alg)
        f->algs &= gh_jwk_alg(alg);
    return f->algs == 0 ? refuse(e, "alg does not fit the key") : 0;
}

/* Importing the text again gives the same key: `alg` stays where it was. */
static struct gh_slice
write_minimal(const struct fields *f, const struct gh_alloc *alloc)
{
    char a[GH_BASE64URL_SIZE(sizeof(f->a))], b[GH_BASE64URL_SIZE(POINT)];
    char text[sizeof(a) + sizeof(b) + 96], alg[24] = "";
    int n;

    if (f->one_alg)
        snprintf(alg, sizeof(alg), "\"alg\":\"%s\",", gh_jwk_alg_name(f->algs));
    gh_base64url_encode(gh_slice(f->a, f->na), a);
    gh_base64url_encode(gh_slice(f->b, f->nb), b);
    if (f->algs & GH_ALG_ES256)
        n = snprintf(text, sizeof(text),
                     "{%s\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%s\","
                     "\"y\":\"%s\"}",
                     alg, a, b);
    else if (f->algs & GH_ALG_EDDSA)
        n = snprintf(text, sizeof(text),
                     "{%s\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}",
                     alg, a);
    else
        n = snprintf(text, sizeof(text),
                     "{%s\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}", alg, b,
                     a);
    return gh_get_copy(alloc, gh_slice(text, (size_t)n));
}

static EVP_PKEY *
from_params(const char *type, OSSL_PARAM *params)
{
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (c == NULL || params == NULL || EVP_PKEY_fromdata_init(c) != 1 ||
        EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(c);
    return key;
}

static EVP_PKEY *
rsa_key(const struct fields *f)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(f->a, (int)f->na, NULL);
    BIGNUM *e = BN_bin2bn(f->b, (int)f->nb, NULL);
    OSSL_PARAM *params = NULL;
    EVP_PKEY *key = NULL;

    if (bld != NULL && n != NULL && e != NULL &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e) == 1 &&
        (params = OSSL_PARAM_BLD_to_param(bld)) != NULL)
        key = from_params("RSA", params);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    return key;
}

static EVP_PKEY *
ec_key(const struct fields *f)
{
    unsigned char point[1 + 2 * POINT] = {POINT_CONVERSION_UNCOMPRESSED};
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                         (char *)"prime256v1", 0),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point,
                                          sizeof(point)),
        OSSL_PARAM_construct_end()};
    EVP_PKEY_CTX *c;
    EVP_PKEY *key;

    memcpy(point + 1, f->a, POINT);
    memcpy(point + 1 + POINT, f->b, POINT);
    key = from_params("EC", params);
    c = key == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (c == NULL || EVP_PKEY_public_check(c) != 1) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    EVP_PKEY_CTX_free(c);
    return key;
}

static int
make_key(const struct fields *f, EVP_PKEY **out, struct gh_error *e)
{
    EVP_PKEY *key;

    if (f->algs & GH_ALG_ES256)
        key = ec_key(f);
    else if (f->algs & GH_ALG_EDDSA)
        key =
            EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, f->a, f->na);
    else
        key = rsa_key(f);
    if (key == NULL)
        return refuse(e, "OpenSSL refuses it (a point off the curve?)");
    *out = key;
    return 0;
}

static int
import(const json_t *o, const struct gh_alloc *a, struct gh_public_key *out,
       struct gh_error *e)
{
    struct fields f = {0};
    struct gh_public_key key;
    EVP_PKEY *pkey;

    if (read_fields(o, &f, e) != 0 || make_key(&f, &pkey, e) != 0)
        return -1;
    EVP_PKEY_free(pkey);
    key.kid = gh_get_copy(a, f.kid);
    key.algs = f.algs;
    key.jwk = write_minimal(&f, a);
    if (key.kid.data == NULL || key.jwk.data == NULL)
        return gh_error_set(e, GH_ENOMEM, "key: no memory");
    *out = key;
    return 0;
}

static int
load(struct gh_slice json, size_t cap, json_t **out, struct gh_error *e)
{
    if (json.len > cap)
        return gh_error_set(e, GH_ETOOBIG, "key: longer than %zu bytes", cap);
    if (gh_strict_json(json, GH_JWT_DEPTH_MAX, out) != GH_STRICT_OK)
        return refuse(e, "not a JSON object, or a member twice");
    return 0;
}

int
gh_jwk_import(struct gh_slice json, const struct gh_alloc *a,
              struct gh_public_key *out, struct gh_error *e)
{
    json_t *o;
    int rc;

    if (load(json, GH_JWK_MAX, &o, e) != 0)
        return -1;
    rc = import(o, a, out, e);
    json_decref(o);
    return rc;
}

/* Adds one key to the list; 1 added, 0 skipped, -1. */
static int
import_into(const json_t *o, const struct gh_alloc *a,
            struct gh_public_key *list, size_t n, struct gh_error *e)
{
    struct gh_error why;
    size_t i;

    if (!json_is_object(o) || import(o, a, &list[n], &why) != 0)
        return 0;
    for (i = 0; i < n; i++)
        if (gh_slice_eq(list[i].kid, list[n].kid) &&
            (list[i].algs & list[n].algs) != 0)
            return refuse(e, "two keys of one kid and algorithm");
    return 1;
}

int
gh_jwk_import_set(struct gh_slice json, const struct gh_alloc *a,
                  const struct gh_public_key **keys, size_t *n, size_t *skipped,
                  struct gh_error *e)
{
    struct gh_public_key *list = gh_get(a, GH_JWKS_KEYS_MAX * sizeof(*list));
    size_t i, count = 0, skip = 0;
    json_t *o, *array, *v;
    int rc = 0;

    if (list == NULL)
        return gh_error_set(e, GH_ENOMEM, "keys: no memory");
    if (load(json, GH_JWKS_MAX, &o, e) != 0)
        return -1;
    array = json_object_get(o, "keys");
    if (!json_is_array(array))
        rc = refuse(e, "the set has no array \"keys\"");
    json_array_foreach(array, i, v)
    {
        if (count == GH_JWKS_KEYS_MAX) {
            rc = refuse(e, "too many keys in the set");
            break;
        }
        rc = import_into(v, a, list, count, e);
        if (rc < 0)
            break;
        count += (size_t)rc;
        skip += rc == 0;
        rc = 0;
    }
    json_decref(o);
    if (rc == 0 && count == 0)
        rc = refuse(e, "the set has no key we can use");
    if (rc != 0)
        return -1;
    *keys = list;
    *n = count;
    *skipped = skip;
    return 0;
}

int
gh_jwk_to_pkey(struct gh_slice jwk, EVP_PKEY **out, struct gh_error *e)
{
    struct fields f = {0};
    json_t *o;
    int rc;

    if (load(jwk, GH_JWK_MAX, &o, e) != 0)
        return -1;
    rc = read_fields(o, &f, e) != 0 ? -1 : make_key(&f, out, e);
    json_decref(o);
    return rc;
}
