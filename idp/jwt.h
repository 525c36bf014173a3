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

/* Why a token is refused: name in the code, stable name for machines, meaning.
 * The reference page is made from it. */
#define GH_JWT_FAULT_TABLE(X)                                                  \
    X(OK, "ok", "it holds")                                                    \
    X(TOO_BIG, "token_too_big",                                                \
      "over 64 kB, 4 kB of header, 8 levels, 1,024 values or 256 claims")      \
    X(MALFORMED, "token_malformed", "not three parts of strict base64url")     \
    X(BAD_JSON, "token_bad_json",                                              \
      "header or claims are no object, or name a member twice, or hold NUL")   \
    X(ALG_REFUSED, "token_algorithm_refused",                                  \
      "none, HMAC, unknown, or not one of the provider's `algs`")              \
    X(HEADER_REFUSED, "token_header_refused",                                  \
      "it brings crit, b64, jwk, jku, x5u, x5c, zip or enc")                   \
    X(TYPE_REFUSED, "token_type_refused", "`typ` is neither JWT nor at+jwt")   \
    X(UNKNOWN_KEY, "token_unknown_key",                                        \
      "the provider has no key of this kid, also after asking anew")           \
    X(KEY_MISMATCH, "token_key_mismatch", "the key is not for this algorithm") \
    X(BAD_SIGNATURE, "token_bad_signature", "the signature is not the key's")  \
    X(WRONG_ISSUER, "token_wrong_issuer", "`iss` is no provider of this API")  \
    X(WRONG_AUDIENCE, "token_wrong_audience", "`aud` does not name this API")  \
    X(NO_EXPIRY, "token_no_expiry", "`exp` is missing")                        \
    X(BAD_TIME, "token_bad_time",                                              \
      "a time is no whole number, or out of range")                            \
    X(EXPIRED, "token_expired", "`exp` is past")                               \
    X(NOT_YET, "token_not_yet_valid", "`nbf` or `iat` is in the future")       \
    X(BAD_CLAIM, "token_bad_claim", "sub, aud, iss ... is of a wrong type")    \
    X(STALE, "token_stale",                                                    \
      "known under an older record of its provider: verified anew")            \
    X(NO_MEMORY, "no_memory", "the gate is out of memory")

#define GH_JWT_FAULT_ENUM(fault, name, text) GH_JWT_##fault,
enum gh_jwt_fault { GH_JWT_FAULT_TABLE(GH_JWT_FAULT_ENUM) GH_JWT_FAULTS };
#undef GH_JWT_FAULT_ENUM

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
