/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed bytes, session records and identities as flat records. */
#include "encode.h"
#include "session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define S(text) gh_slice_str(text)

static struct gh_session_keys keys, other;
static struct gh_arena arena;
static struct gh_alloc a;

static int
setup(void **state)
{
    struct gh_secret one, two;

    memset(one.root, 1, sizeof(one.root));
    memset(two.root, 2, sizeof(two.root));
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    return gh_session_keys_init(&keys, &one, NULL) ||
           gh_session_keys_init(&other, &two, NULL);
}

static int
teardown(void **state)
{
    gh_arena_finish(&arena);
    return 0;
}

static const struct gh_slice roles[] = {{(const unsigned char *)"staff", 5},
                                        {(const unsigned char *)"a,b", 3}};
static const struct gh_claim claims[] = {
    {{(const unsigned char *)"email", 5}, {(const unsigned char *)"a@b", 3}},
    {{(const unsigned char *)"groups", 6}, {(const unsigned char *)"x", 1}},
    {{(const unsigned char *)"groups", 6},
     {(const unsigned char *)"y\r\nz", 4}}};

static struct gh_session
example(void)
{
    struct gh_session s = {0};

    s.identity.provider = S("lemon");
    s.identity.version = 3;
    s.identity.subject = S("sub-1");
    s.identity.user = S("alice");
    s.identity.client = S("gatehouse");
    s.identity.acr = S("2");
    s.identity.audiences = roles;
    s.identity.naudiences = 1;
    s.identity.roles = roles;
    s.identity.nroles = 2;
    s.identity.claims = claims;
    s.identity.nclaims = 3;
    s.identity.issued_ms = 5;
    s.identity.expires_ms = 99;
    s.start_ms = 1000;
    s.idle_ms = 500;
    s.end_ms = 3000;
    s.id_token = S("eyJ");
    return s;
}

static void
a_cookie_value_leads_to_one_store_key(void **state)
{
    unsigned char id[GH_SESSION_ID_SIZE];
    char value[GH_SESSION_VALUE_LEN + 1], d[33], e[33];

    gh_random(id, sizeof(id));
    gh_session_value(id, value);
    assert_int_equal(strlen(value), GH_SESSION_VALUE_LEN);
    assert_int_equal(gh_session_key(&keys, S(value), d), 0);
    assert_int_equal(strlen(d), GH_SESSION_KEY_LEN);
    assert_int_equal(gh_session_key(&keys, S(value), e), 0);
    assert_string_equal(d, e);
    assert_int_equal(gh_session_key(&other, S(value), e), 0);
    assert_string_not_equal(d, e);
    assert_null(strstr(value, d));
}

static void
other_cookie_values_are_no_session(void **state)
{
    char value[100], d[33] = "untouched", *huge;
    size_t i;

    memset(value, 'A', sizeof(value));
    for (i = 0; i < 100; i++)
        if (i != GH_SESSION_VALUE_LEN)
            assert_int_equal(gh_session_key(&keys, gh_slice(value, i), d), -1);
    value[42] = 'B'; /* set bits after the last byte */
    assert_int_equal(
        gh_session_key(&keys, gh_slice(value, GH_SESSION_VALUE_LEN), d), -1);
    value[42] = 'A';
    value[7] = '\0';
    assert_int_equal(
        gh_session_key(&keys, gh_slice(value, GH_SESSION_VALUE_LEN), d), -1);
    value[7] = '+';
    assert_int_equal(
        gh_session_key(&keys, gh_slice(value, GH_SESSION_VALUE_LEN), d), -1);
    huge = malloc(99999999);
    memset(huge, 'A', 99999999);
    assert_int_equal(gh_session_key(&keys, gh_slice(huge, 99999999), d), -1);
    free(huge);
    assert_string_equal(d, "untouched");
}

static const char D[] = "0123456789abcdef0123456789abcdef";
static const char D2[] = "1123456789abcdef0123456789abcdef";

static void
what_was_sealed_opens_again(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT, c = GH_BUFFER_INIT;
    struct gh_session in = example(), out;
    char text[64];

    assert_int_equal(gh_session_seal(&keys, D, &in, &b, NULL), 0);
    assert_int_equal(
        gh_session_open(&keys, D, gh_buffer_slice(&b), &a, &out, NULL), 0);
    assert_true(gh_slice_eq(out.identity.user, in.identity.user));
    assert_true(gh_slice_eq(out.identity.provider, in.identity.provider));
    assert_true(gh_slice_eq(out.id_token, in.id_token));
    assert_int_equal(out.idle_ms, 500);
    assert_int_equal(out.end_ms, 3000);
    assert_int_equal(out.start_ms, 1000);
    assert_int_equal(out.identity.version, 3);
    assert_int_equal(out.identity.nroles, 2);
    assert_int_equal(out.identity.nclaims, 3);
    assert_true(gh_identity_authorized(&out.identity, roles + 1, 1));
    assert_int_equal(
        gh_identity_header(&out.identity, S("groups"), text, sizeof(text)), 10);
    assert_memory_equal(text, "x,y%0D%0Az", 10);
    /* no two seals are alike, and no clear text shows */
    assert_int_equal(gh_session_seal(&keys, D, &in, &c, NULL), 0);
    assert_int_equal(b.len, c.len);
    assert_memory_not_equal(b.data, c.data, b.len);
    assert_null(memmem(b.data, b.len, "alice", 5));
    gh_buffer_finish(&b);
    gh_buffer_finish(&c);
}

static void
a_changed_or_moved_record_does_not_open(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_session in = example(), out;
    struct gh_error e;
    size_t i;

    assert_int_equal(gh_session_seal(&keys, D, &in, &b, NULL), 0);
    assert_int_equal(
        gh_session_open(&keys, D2, gh_buffer_slice(&b), &a, &out, &e), -1);
    assert_int_equal(e.code, GH_ECORRUPT);
    assert_int_equal(
        gh_session_open(&other, D, gh_buffer_slice(&b), &a, &out, &e), -1);
    for (i = 0; i < b.len; i++) {
        b.data[i] ^= 1;
        assert_int_equal(
            gh_session_open(&keys, D, gh_buffer_slice(&b), &a, &out, &e), -1);
        assert_int_equal(e.code, GH_ECORRUPT);
        b.data[i] ^= 1;
    }
    for (i = 0; i < b.len; i++)
        assert_int_equal(
            gh_session_open(&keys, D, gh_slice(b.data, i), &a, &out, &e), -1);
    gh_buffer_append(&b, S("x"));
    assert_int_equal(
        gh_session_open(&keys, D, gh_buffer_slice(&b), &a, &out, &e), -1);
    gh_buffer_finish(&b);
}

static void
a_session_too_big_for_the_store_is_refused(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_session in = example();
    struct gh_error e;
    char *big = calloc(1, GH_SESSION_RECORD_MAX);

    in.id_token = gh_slice(big, GH_SESSION_RECORD_MAX);
    assert_int_equal(gh_session_seal(&keys, D, &in, &b, &e), -1);
    assert_int_equal(e.code, GH_ETOOBIG);
    assert_int_equal(b.len, 0);
    gh_buffer_finish(&b);
    free(big);
}

static void
a_session_lives_its_idle_time_never_past_its_end(void **state)
{
    struct gh_session s = example();

    assert_int_equal(gh_session_ttl(&s, 1000), 500);
    assert_int_equal(gh_session_ttl(&s, 2500), 500);
    assert_int_equal(gh_session_ttl(&s, 2501), 499);
    assert_int_equal(gh_session_ttl(&s, 2999), 1);
    assert_int_equal(gh_session_ttl(&s, 3000), 0);
    assert_int_equal(gh_session_ttl(&s, UINT64_MAX), 0);
}

static void
an_identity_unpacks_only_whole(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_session s = example();
    struct gh_identity out;
    struct gh_error e;
    size_t i;

    gh_identity_pack(&s.identity, &b);
    assert_false(b.failed);
    assert_int_equal(gh_identity_unpack(gh_buffer_slice(&b), &a, &out, &e), 0);
    for (i = 0; i < b.len; i++)
        assert_int_equal(gh_identity_unpack(gh_slice(b.data, i), &a, &out, &e),
                         -1);
    for (i = 0; i < b.len; i++) { /* lengths and counts that lie */
        b.data[i] ^= 0x80;
        gh_identity_unpack(gh_buffer_slice(&b), &a, &out, &e);
        b.data[i] ^= 0x80;
    }
    gh_buffer_finish(&b);
}

static void
nothing_in_a_claim_leaves_its_header(void **state)
{
    struct gh_identity id = example().identity;
    char out[64], big[3 * 256 + 1];
    unsigned char all[256];
    ssize_t n, j;
    int i;

    for (i = 0; i < 256; i++)
        all[i] = (unsigned char)i;
    n = gh_identity_encode(gh_slice(all, 256), big, sizeof(big));
    assert_true(n > 256);
    for (j = 0; j < n; j++) {
        assert_in_range(big[j], 0x20, 0x7e);
        assert_int_not_equal(big[j], ',');
    }
    assert_int_equal(gh_identity_encode(S(" a b "), out, 64), 9);
    assert_memory_equal(out, "%20a b%20", 9);
    assert_int_equal(gh_identity_encode(S("abc"), out, 2), -1);
    assert_int_equal(gh_identity_encode(S("a,"), out, 3), -1);
    assert_int_equal(gh_identity_header(&id, S("groups"), out, 9), -1);
    assert_int_equal(gh_identity_header(&id, S("groups"), out, 10), 10);
    assert_int_equal(gh_identity_header(&id, S("roles"), out, 64), 11);
    assert_memory_equal(out, "staff,a%2Cb", 11);
    assert_int_equal(gh_identity_header(&id, S("user"), out, 64), 5);
    assert_int_equal(gh_identity_header(&id, S("nothing"), out, 64), 0);
}

static void
roles_are_asked_for_by_name(void **state)
{
    struct gh_identity id = example().identity, nobody = {0};
    struct gh_slice wanted[] = {S("x"), S("staff")};

    assert_true(gh_identity_authorized(&id, NULL, 0));
    assert_true(gh_identity_authorized(&id, wanted, 2));
    assert_false(gh_identity_authorized(&id, wanted, 1));
    assert_true(gh_identity_authorized(&nobody, NULL, 0));
    assert_false(gh_identity_authorized(&nobody, wanted, 2));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cookie_value_leads_to_one_store_key),
        cmocka_unit_test(other_cookie_values_are_no_session),
        cmocka_unit_test(what_was_sealed_opens_again),
        cmocka_unit_test(a_changed_or_moved_record_does_not_open),
        cmocka_unit_test(a_session_too_big_for_the_store_is_refused),
        cmocka_unit_test(a_session_lives_its_idle_time_never_past_its_end),
        cmocka_unit_test(an_identity_unpacks_only_whole),
        cmocka_unit_test(nothing_in_a_claim_leaves_its_header),
        cmocka_unit_test(roles_are_asked_for_by_name),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
