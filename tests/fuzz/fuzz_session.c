/* SPDX-License-Identifier: Apache-2.0 */
/* Cookies and records: as bytes from a stranger, and as sealed content, so
 * that the decoder behind the seal is reached. */
#include "oidc.h"
#include "session.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char D[] = "0123456789abcdef0123456789abcdef";
static struct gh_session_keys keys;
static bool ready;

static void
sealed(struct gh_slice s, const struct gh_alloc *a)
{
    struct gh_buffer b = GH_BUFFER_INIT, c = GH_BUFFER_INIT;
    struct gh_slice plain;
    struct gh_session out;

    if (gh_seal_close(&keys.seal, gh_slice(D, 32), s, &b, NULL) != 0 ||
        gh_seal_open(&keys.seal, gh_slice(D, 32), gh_buffer_slice(&b), a,
                     &plain, NULL) != 0 ||
        !gh_slice_eq(plain, s))
        abort();
    if (gh_session_open(&keys, D, gh_buffer_slice(&b), a, &out, NULL) == 0 &&
        gh_session_seal(&keys, D, &out, &c, NULL) != 0)
        abort();
    gh_buffer_finish(&b);
    gh_buffer_finish(&c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gh_slice s = gh_slice(data, size);
    struct gh_secret secret = {{1}};
    struct gh_oidc_flow flow;
    struct gh_session out;
    struct gh_arena arena;
    struct gh_alloc a;
    char d[GH_SESSION_KEY_LEN + 1];

    if (!ready && gh_session_keys_init(&keys, &secret, NULL) != 0)
        abort();
    ready = true;
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    gh_session_key(&keys, s, d);
    if (gh_session_open(&keys, D, s, &a, &out, NULL) == 0)
        abort(); /* without the key nobody makes a record */
    if (gh_oidc_flow_open(&keys.seal, gh_slice_str("p"), s, &a, &flow) ==
        GH_OIDC_OK)
        abort();
    sealed(s, &a);
    gh_arena_finish(&arena);
    return 0;
}
