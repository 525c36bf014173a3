/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and sets from a provider: what is imported imports again, the same. */
#include "jwk.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
again(const struct gh_public_key *k, const struct gh_alloc *a)
{
    struct gh_public_key second;
    EVP_PKEY *pkey;

    if (gh_jwk_import(k->jwk, a, &second, NULL) != 0 ||
        second.algs != k->algs || !gh_slice_eq(second.jwk, k->jwk) ||
        gh_jwk_to_pkey(k->jwk, &pkey, NULL) != 0)
        abort();
    EVP_PKEY_free(pkey);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct gh_public_key *keys;
    struct gh_public_key key;
    struct gh_arena arena;
    struct gh_alloc a;
    size_t n, skipped, i;

    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    if (gh_jwk_import(gh_slice(data, size), &a, &key, NULL) == 0)
        again(&key, &a);
    if (gh_jwk_import_set(gh_slice(data, size), &a, &keys, &n, &skipped,
                          NULL) == 0)
        for (i = 0; i < n; i++)
            again(&keys[i], &a);
    gh_arena_finish(&arena);
    return 0;
}
