/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who calls: one value out of every way in (bearer JWT, login session; later
 * SAML and introspection). It is made by gh_jwt_verify() or
 * gh_session_open(), packed into one flat record for caches and sessions, and
 * read in place from it. Slices live in the memory or record they came from.
 */
#ifndef GH_IDENTITY_H
#define GH_IDENTITY_H

#include "arena.h"
#include "error.h"
#include "pack.h"
#include "slice.h"

#include <sys/types.h>

/*
 * One claim with one value as text: strings as they are, integers in decimal,
 * "true" and "false". A list gives one claim per element, all of one name; an
 * object's members are named "object.member" (a member of the top level that
 * is literally named so wins). null, and objects within lists, are left out.
 */
struct gh_claim {
    struct gh_slice name, value;
};

#define GH_CLAIMS_MAX 256 /* values of all claims together */

struct gh_identity {
    struct gh_slice provider; /* our name of the identity provider */
    uint64_t version;         /* of the provider's record that vouched for it */
    struct gh_slice subject;  /* `sub` */
    struct gh_slice user;     /* by the provider's user_claim; may be empty */
    struct gh_slice client;   /* by its client_claim; may be empty */
    struct gh_slice acr;      /* level of authentication, or empty */
    struct gh_slice sid;      /* the provider's session id, or empty */
    const struct gh_slice *audiences;
    size_t naudiences;
    const struct gh_slice *roles; /* by its roles_claim */
    size_t nroles;
    const struct gh_claim *claims; /* all but the protocol's own */
    size_t nclaims;
    uint64_t issued_ms;     /* `iat`, 0 = unknown */
    uint64_t auth_ms;       /* `auth_time`, 0 = unknown */
    uint64_t not_before_ms; /* clock difference already taken off; 0 = none */
    uint64_t expires_ms;    /* clock difference already added; never 0 */
};

/* Appends the flat form. Look at out->failed. */
void gh_identity_pack(const struct gh_identity *id, struct gh_buffer *out);

/* Arrays from `a`, texts in place. 0, or -1 (GH_ECORRUPT, GH_ENOMEM). */
int gh_identity_unpack(struct gh_slice record, const struct gh_alloc *a,
                       struct gh_identity *out, struct gh_error *e);

bool gh_identity_has_role(const struct gh_identity *id, struct gh_slice role);
bool gh_identity_has_audience(const struct gh_identity *id,
                              struct gh_slice audience);

/* True when `wanted` is empty, or one of it is a role of the caller. */
bool gh_identity_authorized(const struct gh_identity *id,
                            const struct gh_slice *wanted, size_t n);

/*
 * A claim as the value of one header field: values joined by ",", each with
 * every byte outside printable ASCII, and "%" and ",", as %XX. So nothing an
 * IdP says can end the line or fake an element, and a backend gets the exact
 * text back by splitting at "," and percent-decoding. "user", "client",
 * "provider" and "roles" mean the fields above where no claim is named so.
 * Returns the length (0 when there is no such claim), or -1 when it is longer
 * than cap; nothing is cut.
 */
ssize_t gh_identity_header(const struct gh_identity *id, struct gh_slice claim,
                           char *out, size_t cap);

/* One text in that same form: length or -1. */
ssize_t gh_identity_encode(struct gh_slice text, char *out, size_t cap);

#endif
