/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens, from text to identity. The first byte says how: a whole token as it
 * is, or header and claims (split at the first NUL) signed by a key that the
 * IdP has, so that what comes after the signature is reached too.
 */
#include "../unit/jwt_maker.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct maker m;
static struct gh_jwt_keys *keys;

static void
init(void)
{
    static struct gh_arena arena;
    struct gh_alloc a = gh_arena_alloc(&arena);
    struct gh_public_key list[2];
    struct gh_idp idp = {0};

    maker_init(&m);
    if (gh_jwk_import(gh_slice_str(maker_jwk(m.ed, ",\"kid\":\"d\"")), &a,
                      &list[0], NULL) != 0 ||
        gh_jwk_import(gh_slice_str(maker_jwk(m.rsa, ",\"kid\":\"r\"")), &a,
                      &list[1], NULL) != 0)
        abort();
    idp.name = gh_slice_str("lemon");
    idp.issuer = gh_slice_str("i");
    idp.algs = GH_ALG_RS256 | GH_ALG_EDDSA;
    idp.user_claim = gh_slice_str("sub");
    idp.client_claim = gh_slice_str("azp");
    idp.roles_claim = gh_slice_str("a.b");
    idp.keys = list;
    idp.nkeys = 2;
    if (gh_jwt_keys_create(&idp, &keys, NULL) != 0)
        abort();
}

/* What was accepted holds its promises, and survives packing. */
static void
look(const struct gh_identity *id, const struct gh_alloc *a)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_identity again;
    char out[512];
    ssize_t n, j;
    size_t i;

    if (id->expires_ms == 0 || id->nclaims > GH_CLAIMS_MAX)
        abort();
    for (i = 0; i < id->nclaims; i++) {
        n = gh_identity_header(id, id->claims[i].name, out, sizeof(out));
        for (j = 0; j < n; j++)
            if (out[j] < 0x20 || out[j] > 0x7e)
                abort();
    }
    gh_identity_pack(id, &b);
    if (b.failed || gh_identity_unpack(gh_buffer_slice(&b), a, &again, NULL) ||
        again.nclaims != id->nclaims || again.expires_ms != id->expires_ms)
        abort();
    gh_buffer_finish(&b);
}

static void
check(struct gh_slice token, const struct gh_alloc *a)
{
    struct gh_identity id;
    struct gh_jwt t;

    if (gh_jwt_decode(token, a, &t) != GH_JWT_OK ||
        gh_jwt_parse(&t) != GH_JWT_OK)
        return;
    if (gh_jwt_verify(keys, &t, MAKER_NOW, a, &id) == GH_JWT_OK)
        look(&id, a);
    gh_jwt_finish(&t);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gh_arena arena;
    struct gh_alloc a;
    const uint8_t *nul;
    char *t;

    if (keys == NULL)
        init();
    if (size == 0)
        return 0;
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    if (data[0] == 'T') {
        check(gh_slice(data + 1, size - 1), &a);
    } else {
        nul = memchr(data + 1, '\0', size - 1);
        if (nul == NULL)
            nul = data + size;
        t = maker_token_with(
            m.ed, false, NULL, gh_slice(data + 1, (size_t)(nul - data - 1)),
            nul == data + size
                ? gh_slice("{}", 2)
                : gh_slice(nul + 1, size - (size_t)(nul + 1 - data)));
        check(gh_slice_str(t), &a);
        free(t);
    }
    gh_arena_finish(&arena);
    return 0;
}
