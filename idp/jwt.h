/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON Web Tokens in compact form (RFC 7519, RFC 7515 section 7.1), verified
 * strictly (RFC 8725). Pure: no clock, no I/O, nothing outside the caller's
 * memory but the parsed keys.
 *
 * A request goes:
 *     gh_jwt_decode()    text -> bytes and digest; look the digest up in a
 * cache gh_jwt_parse()     bytes -> issuer, algorithm, key id; choose the IdP
 *     gh_jwt_verify()    -> identity: signature and all but the audience
 *     gh_jwt_finish()
 *     gh_jwt_accept()    on every request, also when a cache had the identity
 */
#ifndef GH_JWT_H
#define GH_JWT_H

#include "arena.h"
#include "error.h"
#include "identity.h"
#include "model.h"
#include "secret.h"

#define GH_JWT_MAX (64 * 1024)         /* bytes of the whole token */
#define GH_JWT_HEADER_MAX 4096         /* bytes of the decoded header */
#define GH_JWT_SIGNATURE_MAX 1024      /* RSA 8192 */
#define GH_JWT_DEPTH_MAX 8             /* nested JSON */
#define GH_JWT_KID_MAX 256             /* bytes of a key id */
#define GH_JWT_TIME_MAX 253402300799ll /* seconds: the end of year 9999 */

/* Why a token is refused. Names are stable: see gh_jwt_fault_name(). */
enum gh_jwt_fault {
    GH_JWT_OK = 0,
    GH_JWT_TOO_BIG,        /* a cap on size, depth or count */
    GH_JWT_MALFORMED,      /* not three parts of strict base64url */
    GH_JWT_BAD_JSON,       /* header or claims: no object, doubled, NUL */
    GH_JWT_ALG_REFUSED,    /* none, HS*, unknown, or not pinned for the IdP */
    GH_JWT_HEADER_REFUSED, /* crit, b64, jwk, jku, x5u, x5c, zip, enc */
    GH_JWT_TYPE_REFUSED,   /* `typ` is neither JWT nor at+jwt */
    GH_JWT_UNKNOWN_KEY,    /* no key of the IdP has this kid: refresh it */
    GH_JWT_KEY_MISMATCH,   /* the key is not for this algorithm */
    GH_JWT_BAD_SIGNATURE,
    GH_JWT_WRONG_ISSUER,
    GH_JWT_WRONG_AUDIENCE,
    GH_JWT_NO_EXPIRY,
    GH_JWT_BAD_TIME, /* a time that is no number or out of range */
    GH_JWT_EXPIRED,
    GH_JWT_NOT_YET,   /* nbf or iat in the future */
    GH_JWT_BAD_CLAIM, /* sub, aud, azp ... of a wrong type */
    GH_JWT_STALE,     /* a cached identity of an older IdP record */
    GH_JWT_NO_MEMORY,
    GH_JWT_FAULTS
};

/* "token_expired" and so on; static. */
const char *gh_jwt_fault_name(enum gh_jwt_fault f);

/* ---- keys ---- */

/*
 * An IdP's keys, algorithms, issuer and claim names, parsed once. Built from a
 * catalog record and kept by the caller as long as the record's version holds;
 * it copies what it needs. Read-only after that: any thread may use it.
 */
struct gh_jwt_keys;

int gh_jwt_keys_create(const struct gh_idp *idp, struct gh_jwt_keys **out,
                       struct gh_error *e);
void gh_jwt_keys_destroy(struct gh_jwt_keys *k); /* NULL is fine */

/* ---- one token ---- */

struct gh_jwt {
    struct gh_slice signing_input; /* header '.' payload, as sent */
    struct gh_slice header, payload, signature; /* decoded */
    /* SHA-256 over the three decoded parts with their lengths: the cache key.
     * The same for every spelling of a token, and it covers the signature. */
    unsigned char digest[GH_DIGEST_SIZE];
    /* after gh_jwt_parse() */
    struct gh_slice issuer, kid; /* NOT verified: only to choose the IdP */
    uint32_t alg;                /* one of enum gh_alg */
    void *json, *head;           /* claims and header: gh_jwt_finish() */
};

/* Splits and decodes into memory of `a`. Needs no gh_jwt_finish(). */
enum gh_jwt_fault gh_jwt_decode(struct gh_slice token, const struct gh_alloc *a,
                                struct gh_jwt *out);

/* Parses header and claims, refuses what no IdP may send. On a fault there is
 * nothing to finish. */
enum gh_jwt_fault gh_jwt_parse(struct gh_jwt *t);

/* Checks algorithm, key, signature, issuer and times, and makes the identity
 * (in memory of `a`). Not the audience: that is gh_jwt_accept(). */
enum gh_jwt_fault gh_jwt_verify(const struct gh_jwt_keys *k,
                                const struct gh_jwt *t, uint64_t now_ms,
                                const struct gh_alloc *a,
                                struct gh_identity *out);

void gh_jwt_finish(struct gh_jwt *t); /* may be called twice */

/*
 * May this identity call an API that takes tokens of `provider` for
 * `audience`? `version` is the provider's current record version: an identity
 * verified under an older one is GH_JWT_STALE (verify again: its key may have
 * been withdrawn).
 */
enum gh_jwt_fault gh_jwt_accept(const struct gh_identity *id,
                                struct gh_slice provider, uint64_t version,
                                struct gh_slice audience, uint64_t now_ms);

#endif
