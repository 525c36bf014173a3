/* SPDX-License-Identifier: Apache-2.0 */
#include "jwt.h"

#include "claims.h"
#include "encode.h"
#include "jwk.h"
#include "strict.h"

#define NAME(fault, name, text) name,
static const char *const names[GH_JWT_FAULTS] = {GH_JWT_FAULT_TABLE(NAME)};
#undef NAME

const char *
gh_jwt_fault_name(enum gh_jwt_fault f)
{
    return (unsigned)f < GH_JWT_FAULTS ? names[f] : "unknown";
}

/* The next part up to a dot or the end; false when there is no dot and one is
 * wanted, or one and none is. */
static bool
part(struct gh_slice *rest, bool last, struct gh_slice *out)
{
    const unsigned char *dot =
        rest->len == 0 ? NULL : memchr(rest->data, '.', rest->len);

    if (last) {
        *out = *rest;
        return dot == NULL;
    }
    if (dot == NULL)
        return false;
    *out = gh_slice(rest->data, (size_t)(dot - rest->data));
    *rest = gh_slice(dot + 1, rest->len - out->len - 1);
    return true;
}

static void
digest(struct gh_jwt *t)
{
    uint32_t lengths[3] = {(uint32_t)t->header.len, (uint32_t)t->payload.len,
                           (uint32_t)t->signature.len};
    struct gh_slice parts[4] = {gh_slice(lengths, sizeof(lengths)), t->header,
                                t->payload, t->signature};

    gh_sha256(parts, 4, t->digest);
}

enum gh_jwt_fault
gh_jwt_decode(struct gh_slice token, const struct gh_alloc *a,
              struct gh_jwt *out)
{
    struct gh_slice rest = token, raw[3], *parts[3];
    struct gh_jwt t = {0};
    unsigned char *at;
    size_t i;

    if (token.len > GH_JWT_MAX)
        return GH_JWT_TOO_BIG;
    if (!part(&rest, false, &raw[0]) || !part(&rest, false, &raw[1]) ||
        !part(&rest, true, &raw[2]))
        return GH_JWT_MALFORMED;
    if (raw[0].len > GH_BASE64URL_SIZE(GH_JWT_HEADER_MAX) - 1 ||
        raw[2].len > GH_BASE64URL_SIZE(GH_JWT_SIGNATURE_MAX) - 1)
        return GH_JWT_TOO_BIG;
    at = gh_get(a, token.len);
    if (at == NULL)
        return GH_JWT_NO_MEMORY;
    parts[0] = &t.header;
    parts[1] = &t.payload;
    parts[2] = &t.signature;
    for (i = 0; i < 3; i++) {
        ssize_t n = gh_base64url_decode(raw[i], at, raw[i].len);

        if (n <= 0)
            return GH_JWT_MALFORMED;
        *parts[i] = gh_slice(at, (size_t)n);
        at += n;
    }
    t.signing_input = gh_slice(token.data, raw[0].len + 1 + raw[1].len);
    digest(&t);
    *out = t;
    return GH_JWT_OK;
}

/* Members that would change what the signature means, or bring a key along:
 * refused, whatever they say (RFC 8725 sections 3.1, 3.10). */
static const char *const refused[] = {"crit", "b64", "jwk", "jku", "x5u",
                                      "x5c",  "zip", "enc", NULL};

static enum gh_jwt_fault
read_type(const json_t *header)
{
    static const char *const types[] = {"JWT", "at+jwt", "application/at+jwt",
                                        NULL};
    struct gh_slice typ;
    size_t i;

    if (gh_strict_string(header, "typ", &typ) != 0)
        return GH_JWT_TYPE_REFUSED;
    if (json_object_get(header, "typ") == NULL)
        return GH_JWT_OK;
    for (i = 0; types[i] != NULL; i++)
        if (gh_slice_eq_nocase(typ, gh_slice_str(types[i])))
            return GH_JWT_OK;
    return GH_JWT_TYPE_REFUSED;
}

static enum gh_jwt_fault
read_header(struct gh_jwt *t, const json_t *header)
{
    struct gh_slice alg;
    size_t i;

    for (i = 0; refused[i] != NULL; i++)
        if (json_object_get(header, refused[i]) != NULL)
            return GH_JWT_HEADER_REFUSED;
    if (gh_strict_string(header, "alg", &alg) != 0)
        return GH_JWT_ALG_REFUSED;
    t->alg = gh_jwk_alg(alg);
    if (t->alg == 0)
        return GH_JWT_ALG_REFUSED;
    if (gh_strict_string(header, "kid", &t->kid) != 0)
        return GH_JWT_HEADER_REFUSED;
    if (t->kid.len > GH_JWT_KID_MAX)
        return GH_JWT_TOO_BIG;
    return read_type(header);
}

static enum gh_jwt_fault
load(struct gh_slice text, json_t **out)
{
    switch (gh_strict_json(text, GH_JWT_DEPTH_MAX, out)) {
    case GH_STRICT_OK:
        return GH_JWT_OK;
    case GH_STRICT_TOO_BIG:
        return GH_JWT_TOO_BIG;
    default:
        return GH_JWT_BAD_JSON;
    }
}

enum gh_jwt_fault
gh_jwt_parse(struct gh_jwt *t)
{
    json_t *header, *claims = NULL;
    enum gh_jwt_fault f = load(t->header, &header);

    if (f != GH_JWT_OK)
        return f;
    f = read_header(t, header);
    if (f == GH_JWT_OK)
        f = load(t->payload, &claims);
    if (f == GH_JWT_OK && gh_strict_string(claims, "iss", &t->issuer) != 0)
        f = GH_JWT_BAD_CLAIM;
    if (f != GH_JWT_OK) {
        json_decref(claims);
        json_decref(header);
        return f;
    }
    t->json = claims;
    t->head = header;
    return GH_JWT_OK;
}

void
gh_jwt_finish(struct gh_jwt *t)
{
    json_decref(t->json);
    json_decref(t->head);
    t->json = t->head = NULL;
}

enum gh_jwt_fault
gh_jwt_accept(const struct gh_identity *id, struct gh_slice provider,
              uint64_t version, struct gh_slice audience, uint64_t now_ms)
{
    if (!gh_slice_eq(id->provider, provider))
        return GH_JWT_WRONG_ISSUER;
    if (id->version != version)
        return GH_JWT_STALE;
    if (now_ms >= id->expires_ms)
        return GH_JWT_EXPIRED;
    if (now_ms < id->not_before_ms)
        return GH_JWT_NOT_YET;
    if (audience.len == 0 || !gh_identity_has_audience(id, audience))
        return GH_JWT_WRONG_AUDIENCE;
    return GH_JWT_OK;
}
