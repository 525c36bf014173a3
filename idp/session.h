/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Login sessions as values. The browser holds 32 random bytes as base64url;
 * Redis holds, under a keyed digest of them, the sealed record. So a copy of
 * Redis lets nobody in, and a stolen cookie is the only way to be its owner.
 *
 *   cookie  __Host-gatehouse=VALUE; Path=/; Secure; HttpOnly; SameSite=Lax
 *   D       first 16 bytes of HMAC-SHA256("session-id" key, the 32 bytes), hex
 *   Redis   gh:{s:D} -> sealed record (seal.h; key "session-seal"; AAD = D)
 *
 * Reading a session: GET; gh_session_open(); then PEXPIRE with gh_session_ttl()
 * so that the idle time starts anew. Pure: no clock, no I/O.
 */
#ifndef GH_SESSION_H
#define GH_SESSION_H

#include "identity.h"
#include "seal.h"
#include "secret.h"

#define GH_SESSION_COOKIE "__Host-gatehouse"
#define GH_SESSION_ID_SIZE 32
#define GH_SESSION_VALUE_LEN 43 /* of the cookie's value, always */
#define GH_SESSION_KEY_LEN 32   /* of D */
#define GH_SESSION_RECORD_MAX (256 * 1024)
#define GH_SESSION_CHANNEL "gh:session-revoked" /* payload: D */
#define GH_SESSION_REDIS_KEY "gh:{s:%.32s}"

struct gh_session_keys {
    struct gh_hmac id;
    struct gh_seal seal;
};

int gh_session_keys_init(struct gh_session_keys *k,
                         const struct gh_secret *secret, struct gh_error *e);
void gh_session_keys_wipe(struct gh_session_keys *k);

/* The cookie's value for 32 bytes from gh_random(). Writes a NUL. */
void gh_session_value(const unsigned char id[GH_SESSION_ID_SIZE],
                      char value[GH_SESSION_VALUE_LEN + 1]);

/* Cookie value -> D and a NUL. -1 when it is not exactly one of ours in form
 * (then there is no session, and nothing to ask Redis). */
int gh_session_key(const struct gh_session_keys *k, struct gh_slice value,
                   char d[GH_SESSION_KEY_LEN + 1]);

struct gh_session {
    struct gh_identity identity; /* its expires_ms is the session's end */
    uint64_t start_ms;           /* when the login ended */
    uint64_t idle_ms;            /* longest pause between two calls */
    uint64_t end_ms;             /* absolute end */
    struct gh_slice id_token;    /* hint for logout at the provider, or empty */
};

/* Appends the sealed record. */
int gh_session_seal(const struct gh_session_keys *k,
                    const char d[GH_SESSION_KEY_LEN + 1],
                    const struct gh_session *s, struct gh_buffer *out,
                    struct gh_error *e);

/* Opens a record that was stored under D, in memory of `a`. GH_ECORRUPT:
 * treat it as no session. Its times are the caller's to check. */
int gh_session_open(const struct gh_session_keys *k,
                    const char d[GH_SESSION_KEY_LEN + 1],
                    struct gh_slice sealed, const struct gh_alloc *a,
                    struct gh_session *out, struct gh_error *e);

/* How long its key may live on from now, in ms: the idle time, never past the
 * absolute end. 0: the session is over. */
uint64_t gh_session_ttl(const struct gh_session *s, uint64_t now_ms);

#endif
