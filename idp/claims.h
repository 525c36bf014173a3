/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON claims (RFC 7519 section 4) -> the lists of an identity. Everything is
 * copied into memory of `a`; the JSON may go.
 */
#ifndef GH_CLAIMS_H
#define GH_CLAIMS_H

#include "identity.h"

#include <jansson.h>

enum gh_claims_fault {
    GH_CLAIMS_OK,
    GH_CLAIMS_TOO_MANY, /* more than GH_CLAIMS_MAX values */
    GH_CLAIMS_BAD,      /* sub, aud, acr or sid of a wrong type */
    GH_CLAIMS_BAD_TIME, /* not an integer of 0 .. the end of year 9999 */
    GH_CLAIMS_NO_MEMORY
};

/* The claims that mean something to us, by name; empty = none. */
struct gh_claims_names {
    struct gh_slice user, client, roles;
};

/* Fills subject, user, client, acr, sid, audiences, roles, claims, issued_ms
 * and auth_ms; the rest is the caller's. */
enum gh_claims_fault gh_claims_read(const json_t *claims,
                                    const struct gh_claims_names *names,
                                    const struct gh_alloc *a,
                                    struct gh_identity *out);

/* Adds to *id the claims that it has no value of, and chooses user, client and
 * roles anew where they were empty. */
enum gh_claims_fault gh_claims_merge(const json_t *claims,
                                     const struct gh_claims_names *names,
                                     const struct gh_alloc *a,
                                     struct gh_identity *id);

/* A NumericDate as milliseconds; 0 when absent. */
enum gh_claims_fault gh_claims_time(const json_t *claims, const char *name,
                                    uint64_t *ms);

#endif
