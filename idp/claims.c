/* SPDX-License-Identifier: Apache-2.0 */
#include "claims.h"

#include "jwt.h"

#include <inttypes.h>
#include <stdio.h>

#define NUMBER_SIZE 32

/* Two passes over the claims: the first counts (at == NULL), the second
 * fills memory that was got at once. */
struct flat {
    const json_t *root;
    struct gh_claim *at;
    size_t n;
    char *text;
    size_t len; /* of text */
    size_t names;
    enum gh_claims_fault fault;
};

static const char *const protocol[] = {
    "exp", "nbf", "iat", "aud", "nonce", "at_hash", "c_hash", "s_hash", NULL};

static bool
is_protocol(const char *name)
{
    size_t i;

    for (i = 0; protocol[i] != NULL; i++)
        if (strcmp(protocol[i], name) == 0)
            return true;
    return false;
}

static struct gh_slice
flat_text(struct flat *f, const char *s, size_t n)
{
    struct gh_slice out = {NULL, n};

    if (f->text != NULL) {
        if (n > 0)
            memcpy(f->text + f->len, s, n);
        out.data = (unsigned char *)f->text + f->len;
    }
    f->len += n;
    return out;
}

static void
flat_scalar(struct flat *f, struct gh_slice name, const json_t *v)
{
    char number[NUMBER_SIZE];
    const char *s = number;
    size_t n = 0;

    switch (json_typeof(v)) {
    case JSON_STRING:
        s = json_string_value(v);
        n = json_string_length(v);
        break;
    case JSON_INTEGER:
        n = (size_t)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
                             json_integer_value(v));
        break;
    case JSON_REAL:
        n = (size_t)snprintf(number, sizeof(number), "%.17g",
                             json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        s = json_is_true(v) ? "true" : "false";
        n = strlen(s);
        break;
    default:
        return;
    }
    if (f->n >= GH_CLAIMS_MAX) {
        f->fault = GH_CLAIMS_TOO_MANY;
        return;
    }
    if (f->at != NULL)
        f->at[f->n] = (struct gh_claim){name, flat_text(f, s, n)};
    else
        f->len += n;
    f->n++;
}

/* Names are capped as values are: text is made for each. */
static bool
full(struct flat *f)
{
    if (++f->names > GH_CLAIMS_MAX)
        f->fault = GH_CLAIMS_TOO_MANY;
    return f->fault != GH_CLAIMS_OK;
}

/* Depth is bounded by the parser that made the JSON. */
static void
flat_value(struct flat *f, struct gh_slice name, const json_t *v)
{
    const char *key;
    json_t *item;
    size_t i;

    if (json_is_array(v)) {
        json_array_foreach((json_t *)v, i, item) flat_scalar(f, name, item);
        return;
    }
    if (!json_is_object(v)) {
        flat_scalar(f, name, v);
        return;
    }
    json_object_foreach((json_t *)v, key, item)
    {
        char path[512];
        int n = snprintf(path, sizeof(path), "%.*s.%s", (int)name.len,
                         (const char *)name.data, key);

        if (full(f))
            return;
        if (n < 0 || (size_t)n >= sizeof(path) ||
            json_object_get(f->root, path) != NULL)
            continue;
        /* the name is needed by the first pass too: it descends by it */
        if (f->text == NULL) {
            f->len += (size_t)n;
            flat_value(f, gh_slice(path, (size_t)n), item);
        } else {
            flat_value(f, flat_text(f, path, (size_t)n), item);
        }
    }
}

static void
flat_all(struct flat *f)
{
    const char *key;
    json_t *v;

    json_object_foreach((json_t *)f->root, key, v)
    {
        size_t n = strlen(key);

        if (full(f))
            return;
        if (is_protocol(key))
            continue;
        if (f->text == NULL) {
            f->len += n;
            flat_value(f, gh_slice(key, n), v);
        } else {
            flat_value(f, flat_text(f, key, n), v);
        }
    }
}

static enum gh_claims_fault
flatten(const json_t *claims, const struct gh_alloc *a,
        const struct gh_claim **at, size_t *n)
{
    struct flat f = {.root = claims};
    size_t count, room;

    flat_all(&f);
    if (f.fault != GH_CLAIMS_OK)
        return f.fault;
    count = f.n;
    room = f.len;
    f.at = gh_get(a, (count + 1) * sizeof(*f.at));
    f.text = gh_get(a, room + 1);
    if (f.at == NULL || f.text == NULL)
        return GH_CLAIMS_NO_MEMORY;
    f.n = f.len = f.names = 0;
    flat_all(&f);
    *at = f.at;
    *n = f.n;
    return f.fault;
}

/* The value of a claim that has exactly one. */
static struct gh_slice
single(const struct gh_identity *id, struct gh_slice name)
{
    struct gh_slice found = {NULL, 0};
    size_t i, n = 0;

    for (i = 0; i < id->nclaims; i++) {
        if (gh_slice_eq(id->claims[i].name, name)) {
            found = id->claims[i].value;
            n++;
        }
    }
    return n == 1 ? found : gh_slice(NULL, 0);
}

static enum gh_claims_fault
choose(const struct gh_claims_names *names, const struct gh_alloc *a,
       struct gh_identity *id)
{
    struct gh_slice *roles;
    size_t i, n = 0;

    if (id->user.len == 0 && names->user.len > 0)
        id->user = single(id, names->user);
    if (id->client.len == 0 && names->client.len > 0)
        id->client = single(id, names->client);
    if (id->nroles > 0 || names->roles.len == 0)
        return GH_CLAIMS_OK;
    for (i = 0; i < id->nclaims; i++)
        n += gh_slice_eq(id->claims[i].name, names->roles);
    if (n == 0)
        return GH_CLAIMS_OK;
    roles = gh_get(a, n * sizeof(*roles));
    if (roles == NULL)
        return GH_CLAIMS_NO_MEMORY;
    for (i = n = 0; i < id->nclaims; i++)
        if (gh_slice_eq(id->claims[i].name, names->roles))
            roles[n++] = id->claims[i].value;
    id->roles = roles;
    id->nroles = n;
    return GH_CLAIMS_OK;
}

static enum gh_claims_fault
audiences(const json_t *claims, const struct gh_alloc *a,
          struct gh_identity *out)
{
    const json_t *aud = json_object_get(claims, "aud");
    size_t i, n = json_is_array(aud) ? json_array_size(aud) : aud != NULL;
    struct gh_slice *list;

    if (n == 0)
        return aud == NULL ? GH_CLAIMS_OK : GH_CLAIMS_BAD;
    if (n > GH_CLAIMS_MAX)
        return GH_CLAIMS_TOO_MANY;
    list = gh_get(a, n * sizeof(*list));
    if (list == NULL)
        return GH_CLAIMS_NO_MEMORY;
    for (i = 0; i < n; i++) {
        const json_t *v = json_is_array(aud) ? json_array_get(aud, i) : aud;

        if (!json_is_string(v))
            return GH_CLAIMS_BAD;
        list[i] = gh_get_copy(
            a, gh_slice(json_string_value(v), json_string_length(v)));
        if (list[i].data == NULL)
            return GH_CLAIMS_NO_MEMORY;
    }
    out->audiences = list;
    out->naudiences = n;
    return GH_CLAIMS_OK;
}

/* A registered claim that must be a string when it is there. */
static enum gh_claims_fault
text(const json_t *claims, const char *name, const struct gh_alloc *a,
     struct gh_slice *out)
{
    const json_t *v = json_object_get(claims, name);

    if (v == NULL)
        return GH_CLAIMS_OK;
    if (!json_is_string(v))
        return GH_CLAIMS_BAD;
    *out =
        gh_get_copy(a, gh_slice(json_string_value(v), json_string_length(v)));
    return out->data == NULL ? GH_CLAIMS_NO_MEMORY : GH_CLAIMS_OK;
}

enum gh_claims_fault
gh_claims_time(const json_t *claims, const char *name, uint64_t *ms)
{
    const json_t *v = json_object_get(claims, name);
    json_int_t s;

    if (v == NULL) {
        *ms = 0;
        return GH_CLAIMS_OK;
    }
    if (!json_is_integer(v))
        return GH_CLAIMS_BAD_TIME;
    s = json_integer_value(v);
    if (s < 0 || s > GH_JWT_TIME_MAX)
        return GH_CLAIMS_BAD_TIME;
    *ms = (uint64_t)s * 1000;
    return GH_CLAIMS_OK;
}

enum gh_claims_fault
gh_claims_read(const json_t *claims, const struct gh_claims_names *names,
               const struct gh_alloc *a, struct gh_identity *out)
{
    struct gh_identity id = {0};
    enum gh_claims_fault f;

    if ((f = text(claims, "sub", a, &id.subject)) != GH_CLAIMS_OK ||
        (f = text(claims, "acr", a, &id.acr)) != GH_CLAIMS_OK ||
        (f = text(claims, "sid", a, &id.sid)) != GH_CLAIMS_OK ||
        (f = audiences(claims, a, &id)) != GH_CLAIMS_OK ||
        (f = gh_claims_time(claims, "iat", &id.issued_ms)) != GH_CLAIMS_OK ||
        (f = gh_claims_time(claims, "auth_time", &id.auth_ms)) !=
            GH_CLAIMS_OK ||
        (f = flatten(claims, a, &id.claims, &id.nclaims)) != GH_CLAIMS_OK ||
        (f = choose(names, a, &id)) != GH_CLAIMS_OK)
        return f;
    *out = id;
    return GH_CLAIMS_OK;
}

enum gh_claims_fault
gh_claims_merge(const json_t *claims, const struct gh_claims_names *names,
                const struct gh_alloc *a, struct gh_identity *id)
{
    struct gh_identity merged = *id;
    const struct gh_claim *more;
    struct gh_claim *all;
    enum gh_claims_fault f;
    size_t i, j, n, had = id->nclaims;

    f = flatten(claims, a, &more, &n);
    if (f != GH_CLAIMS_OK)
        return f;
    all = gh_get(a, (had + n + 1) * sizeof(*all));
    if (all == NULL)
        return GH_CLAIMS_NO_MEMORY;
    if (had > 0)
        memcpy(all, id->claims, had * sizeof(*all));
    merged.claims = all;
    for (i = 0; i < n; i++) {
        for (j = 0; j < had; j++)
            if (gh_slice_eq(all[j].name, more[i].name))
                break;
        if (j < had)
            continue;
        if (merged.nclaims >= GH_CLAIMS_MAX)
            return GH_CLAIMS_TOO_MANY;
        all[merged.nclaims++] = more[i];
    }
    f = choose(names, a, &merged);
    if (f == GH_CLAIMS_OK)
        *id = merged;
    return f;
}
