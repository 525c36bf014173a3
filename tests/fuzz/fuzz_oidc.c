/* SPDX-License-Identifier: Apache-2.0 */
/* Everything a browser or a provider says in a login. The first byte chooses
 * the reader. */
#include "oidc.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct gh_idp idp = {
    .name = {(const unsigned char *)"lemon", 5},
    .issuer = {(const unsigned char *)"https://i/", 10},
    .client_id = {(const unsigned char *)"c", 1}};

/* What may be sent in Location never leaves our origin. */
static void
return_path(struct gh_slice s)
{
    size_t i;

    if (!gh_oidc_return_valid(s))
        return;
    if (s.data[0] != '/' || (s.len > 1 && s.data[1] == '/'))
        abort();
    for (i = 0; i < s.len; i++)
        if (s.data[i] <= 0x20 || s.data[i] >= 0x7f || s.data[i] == '\\')
            abort();
}

static void
discovered(struct gh_slice s, const struct gh_alloc *a)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    const struct gh_public_key *keys;
    struct gh_oidc_discovery d;
    size_t n;

    if (gh_oidc_discovered_read(s, a, &d, &keys, &n, NULL) != 0)
        return;
    if (gh_oidc_discovered_write(&d, keys, n, &b, NULL) != 0)
        abort();
    /* a list of keys may pass the cap once it is written out in full */
    if (b.len < 8192 && gh_oidc_discovered_read(gh_buffer_slice(&b), a, &d,
                                                &keys, &n, NULL) != 0)
        abort();
    gh_buffer_finish(&b);
}

static void
answer(struct gh_slice s, const struct gh_alloc *a)
{
    struct gh_oidc_flow flow = {.state = "s", .provider = idp.name};
    struct gh_oidc_answer out;

    if (gh_oidc_answer(s, a, &out) == GH_OIDC_OK &&
        gh_oidc_callback(&idp, &flow, &out, 0) == GH_OIDC_OK &&
        !gh_slice_eq_str(out.state, "s"))
        abort();
}

static void
documents(uint8_t which, struct gh_slice s, const struct gh_alloc *a)
{
    struct gh_identity id = {.subject = {(const unsigned char *)"a", 1}};
    struct gh_oidc_discovery d;
    struct gh_oidc_tokens t;

    if (which == 'D' && gh_oidc_discovery(s, idp.issuer, a, &d, NULL) == 0 &&
        (!gh_oidc_url_valid(d.token_endpoint) ||
         !gh_slice_starts(d.token_endpoint, gh_slice_str("https://"))))
        abort();
    if (which == 'T')
        gh_oidc_tokens(s, a, &t);
    if (which == 'U')
        gh_oidc_userinfo(&idp, s, a, &id);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gh_arena arena;
    struct gh_alloc a;
    struct gh_slice s;

    if (size == 0)
        return 0;
    s = gh_slice(data + 1, size - 1);
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    if (data[0] == 'R')
        return_path(s);
    else if (data[0] == 'L')
        gh_oidc_url_valid(s);
    else if (data[0] == 'A')
        answer(s, &a);
    else if (data[0] == 'C')
        discovered(s, &a);
    else
        documents(data[0], s, &a);
    gh_arena_finish(&arena);
    return 0;
}
