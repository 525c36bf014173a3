/* SPDX-License-Identifier: Apache-2.0 */
#include "session.h"

#include "encode.h"

#include <openssl/crypto.h>

#define FORMAT 1

_Static_assert(GH_BASE64URL_SIZE(GH_SESSION_ID_SIZE) ==
                   GH_SESSION_VALUE_LEN + 1,
               "cookie value");

int
gh_session_keys_init(struct gh_session_keys *k, const struct gh_secret *secret,
                     struct gh_error *e)
{
    unsigned char id[GH_KEY_SIZE];

    if (gh_secret_derive(secret, "session-id", id, e) != 0 ||
        gh_seal_init(&k->seal, secret, "session-seal", e) != 0)
        return -1;
    gh_hmac_init(&k->id, gh_slice(id, sizeof(id)));
    OPENSSL_cleanse(id, sizeof(id));
    return 0;
}

void
gh_session_keys_wipe(struct gh_session_keys *k)
{
    OPENSSL_cleanse(k, sizeof(*k));
}

void
gh_session_value(const unsigned char id[GH_SESSION_ID_SIZE],
                 char value[GH_SESSION_VALUE_LEN + 1])
{
    gh_base64url_encode(gh_slice(id, GH_SESSION_ID_SIZE), value);
}

int
gh_session_key(const struct gh_session_keys *k, struct gh_slice value,
               char d[GH_SESSION_KEY_LEN + 1])
{
    unsigned char id[GH_SESSION_ID_SIZE], digest[GH_DIGEST_SIZE];
    struct gh_slice part = gh_slice(id, sizeof(id));

    if (value.len != GH_SESSION_VALUE_LEN ||
        gh_base64url_decode(value, id, sizeof(id)) != (ssize_t)sizeof(id))
        return -1;
    gh_hmac(&k->id, &part, 1, digest);
    gh_hex_encode(gh_slice(digest, GH_SESSION_KEY_LEN / 2), d);
    return 0;
}

int
gh_session_seal(const struct gh_session_keys *k,
                const char d[GH_SESSION_KEY_LEN + 1],
                const struct gh_session *s, struct gh_buffer *out,
                struct gh_error *e)
{
    struct gh_buffer plain = GH_BUFFER_INIT, identity = GH_BUFFER_INIT;
    int rc;

    gh_identity_pack(&s->identity, &identity);
    plain.failed = identity.failed;
    gh_write_u8(&plain, FORMAT);
    gh_write_u64(&plain, s->start_ms);
    gh_write_u64(&plain, s->idle_ms);
    gh_write_u64(&plain, s->end_ms);
    gh_write_bytes(&plain, s->id_token);
    gh_write_bytes(&plain, gh_buffer_slice(&identity));
    if (plain.failed)
        rc = gh_error_set(e, GH_ENOMEM, "session: no memory");
    else if (plain.len > GH_SESSION_RECORD_MAX - GH_SEAL_OVERHEAD)
        rc = gh_error_set(e, GH_ETOOBIG, "session: too big");
    else
        rc = gh_seal_close(&k->seal, gh_slice(d, GH_SESSION_KEY_LEN),
                           gh_buffer_slice(&plain), out, e);
    if (plain.data != NULL)
        OPENSSL_cleanse(plain.data, plain.cap);
    gh_buffer_finish(&plain);
    gh_buffer_finish(&identity);
    return rc;
}

int
gh_session_open(const struct gh_session_keys *k,
                const char d[GH_SESSION_KEY_LEN + 1], struct gh_slice sealed,
                const struct gh_alloc *a, struct gh_session *out,
                struct gh_error *e)
{
    struct gh_session s;
    struct gh_slice plain, identity;
    struct gh_reader r;

    if (sealed.len > GH_SESSION_RECORD_MAX)
        return gh_error_set(e, GH_ECORRUPT, "session: too big");
    if (gh_seal_open(&k->seal, gh_slice(d, GH_SESSION_KEY_LEN), sealed, a,
                     &plain, e) != 0)
        return gh_error_wrap(e, "session");
    r = gh_reader(plain);
    if (gh_read_u8(&r) != FORMAT)
        return gh_error_set(e, GH_ECORRUPT, "session: format");
    s.start_ms = gh_read_u64(&r);
    s.idle_ms = gh_read_u64(&r);
    s.end_ms = gh_read_u64(&r);
    s.id_token = gh_read_bytes(&r);
    identity = gh_read_bytes(&r);
    if (!gh_reader_done(&r))
        return gh_error_set(e, GH_ECORRUPT, "session: length");
    if (gh_identity_unpack(identity, a, &s.identity, e) != 0)
        return gh_error_wrap(e, "session");
    *out = s;
    return 0;
}

uint64_t
gh_session_ttl(const struct gh_session *s, uint64_t now_ms)
{
    uint64_t left;

    if (now_ms >= s->end_ms)
        return 0;
    left = s->end_ms - now_ms;
    return s->idle_ms < left ? s->idle_ms : left;
}
