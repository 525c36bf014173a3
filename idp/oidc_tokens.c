/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider answers: tokens, ID token, userinfo. */
#include "claims.h"
#include "encode.h"
#include "oidc.h"
#include "strict.h"

#include <openssl/evp.h>
#include <openssl/crypto.h>

#define SUBJECT_MAX 255 /* Core section 2 */

static bool
copy_member(const json_t *o, const char *member, const struct gh_alloc *a,
            struct gh_slice *out)
{
    struct gh_slice s;

    if (gh_strict_string(o, member, &s) != 0 || s.len == 0 ||
        s.len > GH_JWT_MAX)
        return false;
    *out = gh_get_copy(a, s);
    return out->data != NULL;
}

enum gh_oidc_fault
gh_oidc_tokens(struct gh_slice json, const struct gh_alloc *a,
               struct gh_oidc_tokens *out)
{
    struct gh_oidc_tokens t = {0};
    struct gh_slice type;
    bool good;
    json_t *o;

    if (json.len > GH_OIDC_DOCUMENT_MAX ||
        gh_strict_json(json, GH_JWT_DEPTH_MAX, &o) != GH_STRICT_OK)
        return GH_OIDC_BAD_TOKENS;
    good = gh_strict_string(o, "token_type", &type) == 0 &&
           gh_slice_eq_nocase(type, gh_slice_str("Bearer")) &&
           copy_member(o, "id_token", a, &t.id_token) &&
           copy_member(o, "access_token", a, &t.access_token);
    json_decref(o);
    if (!good)
        return GH_OIDC_BAD_TOKENS;
    *out = t;
    return GH_OIDC_OK;
}

static enum gh_oidc_fault
check_party(const json_t *claims, const struct gh_idp *idp,
            const struct gh_identity *id)
{
    const json_t *azp = json_object_get(claims, "azp");
    struct gh_slice s;

    if (azp == NULL)
        return id->naudiences > 1 ? GH_OIDC_WRONG_PARTY : GH_OIDC_OK;
    if (gh_strict_string(claims, "azp", &s) != 0 ||
        !gh_slice_eq(s, idp->client_id))
        return GH_OIDC_WRONG_PARTY;
    return GH_OIDC_OK;
}

/* Core section 3.1.3.6: the left half of the access token's hash, by the hash
 * of the ID token's algorithm (Ed25519 has SHA-512). */
static enum gh_oidc_fault
check_hash(const struct gh_jwt *t, struct gh_slice access_token)
{
    const char *md = t->alg == GH_ALG_EDDSA ? "SHA512" : "SHA256";
    unsigned char sum[EVP_MAX_MD_SIZE];
    char text[GH_BASE64URL_SIZE(EVP_MAX_MD_SIZE / 2)];
    struct gh_slice said;
    size_t n;

    if (json_object_get(t->json, "at_hash") == NULL)
        return GH_OIDC_OK;
    if (gh_strict_string(t->json, "at_hash", &said) != 0 ||
        EVP_Q_digest(NULL, md, NULL, access_token.data, access_token.len, sum,
                     &n) != 1)
        return GH_OIDC_WRONG_HASH;
    n = gh_base64url_encode(gh_slice(sum, n / 2), text);
    return gh_slice_eq_secret(said, gh_slice(text, n)) ? GH_OIDC_OK
                                                       : GH_OIDC_WRONG_HASH;
}

static enum gh_oidc_fault
check_claims(const struct gh_jwt *t, const struct gh_idp *idp,
             const struct gh_oidc_flow *f, const struct gh_oidc_tokens *tokens,
             const struct gh_identity *id)
{
    struct gh_slice nonce;
    enum gh_oidc_fault fault;

    if (gh_strict_string(t->json, "nonce", &nonce) != 0 ||
        !gh_slice_eq_secret(nonce, gh_slice_str(f->nonce)))
        return GH_OIDC_WRONG_NONCE;
    if (id->subject.len == 0 || id->subject.len > SUBJECT_MAX)
        return GH_OIDC_NO_SUBJECT;
    fault = check_party(t->json, idp, id);
    return fault != GH_OIDC_OK ? fault : check_hash(t, tokens->access_token);
}

enum gh_oidc_fault
gh_oidc_id_token(const struct gh_jwt_keys *keys, const struct gh_idp *idp,
                 const struct gh_oidc_flow *f,
                 const struct gh_oidc_tokens *tokens, uint64_t now_ms,
                 const struct gh_alloc *a, struct gh_identity *out,
                 enum gh_jwt_fault *jwt)
{
    struct gh_identity id;
    enum gh_oidc_fault fault = GH_OIDC_ID_TOKEN;
    struct gh_jwt t;

    *jwt = gh_jwt_decode(tokens->id_token, a, &t);
    if (*jwt == GH_JWT_OK)
        *jwt = gh_jwt_parse(&t);
    if (*jwt != GH_JWT_OK)
        return GH_OIDC_ID_TOKEN;
    *jwt = gh_jwt_verify(keys, &t, now_ms, a, &id);
    if (*jwt == GH_JWT_OK)
        *jwt =
            gh_jwt_accept(&id, idp->name, id.version, idp->client_id, now_ms);
    if (*jwt == GH_JWT_OK && id.issued_ms == 0) /* Core section 2: required */
        *jwt = GH_JWT_BAD_TIME;
    if (*jwt == GH_JWT_OK)
        fault = check_claims(&t, idp, f, tokens, &id);
    gh_jwt_finish(&t);
    if (fault == GH_OIDC_OK)
        *out = id;
    return fault;
}

enum gh_oidc_fault
gh_oidc_userinfo(const struct gh_idp *idp, struct gh_slice json,
                 const struct gh_alloc *a, struct gh_identity *id)
{
    struct gh_claims_names names = {idp->user_claim, idp->client_claim,
                                    idp->roles_claim};
    enum gh_claims_fault f;
    struct gh_slice sub;
    json_t *o;

    if (json.len > GH_OIDC_DOCUMENT_MAX ||
        gh_strict_json(json, GH_JWT_DEPTH_MAX, &o) != GH_STRICT_OK)
        return GH_OIDC_BAD_TOKENS;
    if (gh_strict_string(o, "sub", &sub) != 0 ||
        !gh_slice_eq(sub, id->subject)) {
        json_decref(o);
        return GH_OIDC_WRONG_SUBJECT;
    }
    f = gh_claims_merge(o, &names, a, id);
    json_decref(o);
    if (f == GH_CLAIMS_NO_MEMORY)
        return GH_OIDC_NO_MEMORY;
    return f == GH_CLAIMS_OK ? GH_OIDC_OK : GH_OIDC_BAD_TOKENS;
}
