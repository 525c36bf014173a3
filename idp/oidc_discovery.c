/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider says about itself, and how control is told. */
#include "jwk.h"
#include "oidc.h"
#include "strict.h"

#include <stdlib.h>

#define KEYS_DEPTH 8

void
gh_oidc_discovery_url(struct gh_slice issuer, struct gh_buffer *out)
{
    gh_buffer_append(out, issuer);
    if (issuer.len == 0 || issuer.data[issuer.len - 1] != '/')
        gh_buffer_text(out, "/");
    gh_buffer_text(out, ".well-known/openid-configuration");
}

static bool
secure(struct gh_slice url)
{
    return gh_slice_starts(url, gh_slice_str("https://"));
}

/* An endpoint; `plain_ok`: may be plain http (on loopback). */
static int
endpoint(const json_t *o, const char *member, bool needed, bool plain_ok,
         const struct gh_alloc *a, struct gh_slice *out, struct gh_error *e)
{
    struct gh_slice s;

    if (gh_strict_string(o, member, &s) != 0)
        return gh_error_set(e, GH_EINVAL, "%s is not a string", member);
    if (s.len == 0)
        return needed ? gh_error_set(e, GH_EINVAL, "%s is missing", member) : 0;
    if (!gh_oidc_url_valid(s) || (!plain_ok && !secure(s)))
        return gh_error_set(e, GH_EINVAL,
                            "%s is not an https URL (http only on loopback)",
                            member);
    *out = gh_get_copy(a, s);
    if (out->data == NULL)
        return gh_error_set(e, GH_ENOMEM, "%s: no memory", member);
    return 0;
}

static int
endpoints(const json_t *o, bool plain_ok, const struct gh_alloc *a,
          struct gh_oidc_discovery *d, struct gh_error *e)
{
    const json_t *iss =
        json_object_get(o, "authorization_response_iss_parameter_supported");

    if (endpoint(o, "authorization_endpoint", true, plain_ok, a,
                 &d->authorization_endpoint, e) != 0 ||
        endpoint(o, "token_endpoint", true, plain_ok, a, &d->token_endpoint,
                 e) != 0 ||
        endpoint(o, "jwks_uri", true, plain_ok, a, &d->jwks_uri, e) != 0 ||
        endpoint(o, "userinfo_endpoint", false, plain_ok, a,
                 &d->userinfo_endpoint, e) != 0 ||
        endpoint(o, "end_session_endpoint", false, plain_ok, a,
                 &d->end_session_endpoint, e) != 0)
        return -1;
    if (iss == NULL)
        iss = json_object_get(o, "require_iss");
    d->require_iss = json_is_true(iss);
    return 0;
}

static bool
lists(const json_t *o, const char *member, const char *value)
{
    const json_t *v;
    size_t i;

    json_array_foreach(json_object_get(o, member), i,
                       v) if (json_is_string(v) &&
                              strcmp(json_string_value(v), value) ==
                                  0) return true;
    return false;
}

static uint32_t
auth_methods(const json_t *o)
{
    static const char member[] = "token_endpoint_auth_methods_supported";
    uint32_t m = 0;

    if (json_object_get(o, member) == NULL)
        return GH_OIDC_AUTH_BASIC; /* the default, Discovery section 3 */
    if (lists(o, member, "client_secret_basic"))
        m |= GH_OIDC_AUTH_BASIC;
    if (lists(o, member, "client_secret_post"))
        m |= GH_OIDC_AUTH_POST;
    if (lists(o, member, "none"))
        m |= GH_OIDC_AUTH_NONE;
    return m;
}

int
gh_oidc_discovery(struct gh_slice json, struct gh_slice issuer,
                  const struct gh_alloc *a, struct gh_oidc_discovery *out,
                  struct gh_error *e)
{
    struct gh_oidc_discovery d = {0};
    struct gh_slice said;
    json_t *o;
    int rc;

    if (!gh_oidc_url_valid(issuer))
        return gh_error_set(e, GH_EINVAL,
                            "the issuer is not an https URL "
                            "(http only on loopback)");
    if (json.len > GH_OIDC_DOCUMENT_MAX ||
        gh_strict_json(json, KEYS_DEPTH, &o) != GH_STRICT_OK)
        return gh_error_set(e, GH_EINVAL, "discovery: not a JSON object");
    if (gh_strict_string(o, "issuer", &said) != 0 || !gh_slice_eq(said, issuer))
        rc = gh_error_set(e, GH_EINVAL,
                          "discovery: the document is of another issuer");
    else if (json_object_get(o, "response_types_supported") != NULL &&
             !lists(o, "response_types_supported", "code"))
        rc = gh_error_set(e, GH_EINVAL, "discovery: no code flow");
    else if (endpoints(o, !secure(issuer), a, &d, e) != 0)
        rc = gh_error_wrap(e, "discovery");
    else
        rc = 0;
    d.issuer = gh_get_copy(a, issuer);
    d.auth_methods = auth_methods(o);
    json_decref(o);
    if (rc == 0)
        *out = d;
    return rc;
}

static json_t *
text(struct gh_slice s)
{
    return json_stringn(s.len == 0 ? "" : (const char *)s.data, s.len);
}

static json_t *
key_json(const struct gh_public_key *k)
{
    json_t *algs = json_array();
    uint32_t alg;

    for (alg = GH_ALG_RS256; alg <= GH_ALG_EDDSA; alg <<= 1)
        if (k->algs & alg)
            json_array_append_new(algs, json_string(gh_jwk_alg_name(alg)));
    return json_pack(
        "{s:o, s:o, s:o}", "kid", text(k->kid), "algs", algs, "jwk",
        json_loadb((const char *)k->jwk.data, k->jwk.len, 0, NULL));
}

/* Endpoints that it has not are left out. */
static void
set_endpoints(json_t *o, const struct gh_oidc_discovery *d)
{
    const struct {
        const char *name;
        struct gh_slice url;
    } all[] = {{"issuer", d->issuer},
               {"authorization_endpoint", d->authorization_endpoint},
               {"token_endpoint", d->token_endpoint},
               {"userinfo_endpoint", d->userinfo_endpoint},
               {"end_session_endpoint", d->end_session_endpoint},
               {"jwks_uri", d->jwks_uri}};
    size_t i;

    for (i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        if (all[i].url.len > 0)
            json_object_set_new(o, all[i].name, text(all[i].url));
}

int
gh_oidc_discovered_write(const struct gh_oidc_discovery *d,
                         const struct gh_public_key *keys, size_t n,
                         struct gh_buffer *out, struct gh_error *e)
{
    json_t *list = json_array(), *o = json_object();
    char *dumped = NULL;
    size_t i;

    for (i = 0; i < n; i++)
        json_array_append_new(list, key_json(&keys[i]));
    set_endpoints(o, d);
    json_object_set_new(o, "require_iss", json_boolean(d->require_iss));
    if (json_array_size(list) == n && json_object_set_new(o, "keys", list) == 0)
        dumped = json_dumps(o, JSON_COMPACT);
    json_decref(o);
    if (dumped != NULL)
        gh_buffer_text(out, dumped);
    free(dumped);
    if (dumped == NULL || out->failed)
        return gh_error_set(e, GH_ENOMEM, "discovered: no memory");
    return 0;
}

/* One of "keys": checked by the same rules as a provider's own. */
static int
read_key(const json_t *o, const struct gh_alloc *a, struct gh_public_key *out,
         struct gh_error *e)
{
    const json_t *jwk = json_object_get(o, "jwk"), *alg;
    char *dumped = json_is_object(jwk) ? json_dumps(jwk, JSON_COMPACT) : NULL;
    struct gh_slice kid;
    uint32_t algs = 0;
    size_t i;
    int rc;

    if (dumped == NULL || gh_strict_string(o, "kid", &kid) != 0 ||
        kid.len > GH_JWT_KID_MAX) {
        free(dumped);
        return gh_error_set(e, GH_EINVAL, "key: kid or jwk is missing");
    }
    rc = gh_jwk_import(gh_slice_str(dumped), a, out, e);
    free(dumped);
    if (rc != 0)
        return -1;
    json_array_foreach(json_object_get(o, "algs"), i, alg) algs |=
        gh_jwk_alg(gh_slice_str(json_string_value(alg)));
    out->algs &= algs;
    out->kid = gh_get_copy(a, kid);
    if (out->algs == 0)
        return gh_error_set(e, GH_EINVAL, "key: algs do not fit it");
    return out->kid.data == NULL ? gh_error_set(e, GH_ENOMEM, "key: no memory")
                                 : 0;
}

static int
read_keys(const json_t *list, const struct gh_alloc *a,
          const struct gh_public_key **keys, size_t *n, struct gh_error *e)
{
    size_t i, count = json_array_size(list);
    struct gh_public_key *k;

    if (!json_is_array(list) || count > GH_JWKS_KEYS_MAX)
        return gh_error_set(e, GH_EINVAL, "keys: not a list of at most %d",
                            GH_JWKS_KEYS_MAX);
    k = gh_get(a, (count + 1) * sizeof(*k));
    if (k == NULL)
        return gh_error_set(e, GH_ENOMEM, "keys: no memory");
    for (i = 0; i < count; i++)
        if (read_key(json_array_get(list, i), a, &k[i], e) != 0)
            return gh_error_wrap(e, "keys[%zu]", i);
    *keys = k;
    *n = count;
    return 0;
}

int
gh_oidc_discovered_read(struct gh_slice json, const struct gh_alloc *a,
                        struct gh_oidc_discovery *d,
                        const struct gh_public_key **keys, size_t *n,
                        struct gh_error *e)
{
    struct gh_oidc_discovery out = {0};
    json_t *o;
    int rc;

    if (json.len > GH_JWKS_MAX ||
        gh_strict_json(json, KEYS_DEPTH, &o) != GH_STRICT_OK)
        return gh_error_set(e, GH_EINVAL, "discovered: not a JSON object");
    rc = endpoints(o, true, a, &out, e) != 0 ||
         read_keys(json_object_get(o, "keys"), a, keys, n, e) != 0;
    json_decref(o);
    if (rc != 0)
        return gh_error_wrap(e, "discovered");
    *d = out;
    return 0;
}
