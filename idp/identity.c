/* SPDX-License-Identifier: Apache-2.0 */
#include "identity.h"

#define FORMAT 1
#define SHORTEST_TEXT 4 /* the length word of an empty one */

static void
write_list(struct gh_buffer *b, const struct gh_slice *at, size_t n)
{
    size_t i;

    gh_write_u32(b, (uint32_t)n);
    for (i = 0; i < n; i++)
        gh_write_bytes(b, at[i]);
}

void
gh_identity_pack(const struct gh_identity *id, struct gh_buffer *out)
{
    size_t i;

    gh_write_u8(out, FORMAT);
    gh_write_u64(out, id->version);
    gh_write_u64(out, id->issued_ms);
    gh_write_u64(out, id->auth_ms);
    gh_write_u64(out, id->not_before_ms);
    gh_write_u64(out, id->expires_ms);
    gh_write_bytes(out, id->provider);
    gh_write_bytes(out, id->subject);
    gh_write_bytes(out, id->user);
    gh_write_bytes(out, id->client);
    gh_write_bytes(out, id->acr);
    gh_write_bytes(out, id->sid);
    write_list(out, id->audiences, id->naudiences);
    write_list(out, id->roles, id->nroles);
    gh_write_u32(out, (uint32_t)id->nclaims);
    for (i = 0; i < id->nclaims; i++) {
        gh_write_bytes(out, id->claims[i].name);
        gh_write_bytes(out, id->claims[i].value);
    }
}

static const struct gh_slice *
read_list(struct gh_reader *r, const struct gh_alloc *a, size_t *n, bool *full)
{
    uint32_t i, count = gh_read_count(r, SHORTEST_TEXT);
    struct gh_slice *list;

    if (r->bad || count == 0)
        return NULL;
    list = gh_get(a, count * sizeof(*list));
    if (list == NULL) {
        *full = true;
        return NULL;
    }
    for (i = 0; i < count; i++)
        list[i] = gh_read_bytes(r);
    *n = count;
    return list;
}

static const struct gh_claim *
read_claims(struct gh_reader *r, const struct gh_alloc *a, size_t *n,
            bool *full)
{
    uint32_t i, count = gh_read_count(r, 2 * SHORTEST_TEXT);
    struct gh_claim *list;

    if (r->bad || count == 0)
        return NULL;
    list = gh_get(a, count * sizeof(*list));
    if (list == NULL) {
        *full = true;
        return NULL;
    }
    for (i = 0; i < count; i++) {
        list[i].name = gh_read_bytes(r);
        list[i].value = gh_read_bytes(r);
    }
    *n = count;
    return list;
}

int
gh_identity_unpack(struct gh_slice record, const struct gh_alloc *a,
                   struct gh_identity *out, struct gh_error *e)
{
    struct gh_reader r = gh_reader(record);
    struct gh_identity id = {0};
    bool full = false;

    if (gh_read_u8(&r) != FORMAT)
        return gh_error_set(e, GH_ECORRUPT, "identity record: format");
    id.version = gh_read_u64(&r);
    id.issued_ms = gh_read_u64(&r);
    id.auth_ms = gh_read_u64(&r);
    id.not_before_ms = gh_read_u64(&r);
    id.expires_ms = gh_read_u64(&r);
    id.provider = gh_read_bytes(&r);
    id.subject = gh_read_bytes(&r);
    id.user = gh_read_bytes(&r);
    id.client = gh_read_bytes(&r);
    id.acr = gh_read_bytes(&r);
    id.sid = gh_read_bytes(&r);
    id.audiences = read_list(&r, a, &id.naudiences, &full);
    if (!full)
        id.roles = read_list(&r, a, &id.nroles, &full);
    if (!full)
        id.claims = read_claims(&r, a, &id.nclaims, &full);
    if (full)
        return gh_error_set(e, GH_ENOMEM, "identity record: no memory");
    if (!gh_reader_done(&r))
        return gh_error_set(e, GH_ECORRUPT, "identity record: length");
    *out = id;
    return 0;
}

static bool
among(const struct gh_slice *at, size_t n, struct gh_slice s)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (gh_slice_eq(at[i], s))
            return true;
    return false;
}

bool
gh_identity_has_role(const struct gh_identity *id, struct gh_slice role)
{
    return among(id->roles, id->nroles, role);
}

bool
gh_identity_has_audience(const struct gh_identity *id, struct gh_slice audience)
{
    return among(id->audiences, id->naudiences, audience);
}

bool
gh_identity_authorized(const struct gh_identity *id,
                       const struct gh_slice *wanted, size_t n)
{
    size_t i;

    for (i = 0; i < n; i++)
        if (gh_identity_has_role(id, wanted[i]))
            return true;
    return n == 0;
}

ssize_t
gh_identity_encode(struct gh_slice text, char *out, size_t cap)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t i, n = 0;

    for (i = 0; i < text.len; i++) {
        unsigned char c = text.data[i];
        bool plain = c >= 0x20 && c <= 0x7e && c != '%' && c != ',';

        /* a field's value neither begins nor ends with a space */
        if (c == ' ' && (i == 0 || i + 1 == text.len))
            plain = false;
        if (cap - n < (plain ? 1u : 3u))
            return -1;
        if (plain) {
            out[n++] = (char)c;
        } else {
            out[n++] = '%';
            out[n++] = digits[c >> 4];
            out[n++] = digits[c & 15];
        }
    }
    return (ssize_t)n;
}

static ssize_t
field(const struct gh_identity *id, struct gh_slice name, char *out, size_t cap)
{
    size_t i, n = 0;
    ssize_t got;

    if (gh_slice_eq_str(name, "user"))
        return gh_identity_encode(id->user, out, cap);
    if (gh_slice_eq_str(name, "client"))
        return gh_identity_encode(id->client, out, cap);
    if (gh_slice_eq_str(name, "provider"))
        return gh_identity_encode(id->provider, out, cap);
    if (!gh_slice_eq_str(name, "roles"))
        return 0;
    for (i = 0; i < id->nroles; i++) {
        if (i > 0 && n == cap)
            return -1;
        if (i > 0)
            out[n++] = ',';
        got = gh_identity_encode(id->roles[i], out + n, cap - n);
        if (got < 0)
            return -1;
        n += (size_t)got;
    }
    return (ssize_t)n;
}

ssize_t
gh_identity_header(const struct gh_identity *id, struct gh_slice claim,
                   char *out, size_t cap)
{
    bool found = false;
    size_t i, n = 0;
    ssize_t got;

    for (i = 0; i < id->nclaims; i++) {
        if (!gh_slice_eq(id->claims[i].name, claim))
            continue;
        if (found && n == cap)
            return -1;
        if (found)
            out[n++] = ',';
        found = true;
        got = gh_identity_encode(id->claims[i].value, out + n, cap - n);
        if (got < 0)
            return -1;
        n += (size_t)got;
    }
    return found ? (ssize_t)n : field(id, claim, out, cap);
}
