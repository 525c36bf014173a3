/* SPDX-License-Identifier: Apache-2.0 */
#include "arena.h"
#include "encode.h"
#include "error.h"
#include "pack.h"
#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define S(text) gh_slice_str(text)

static void
errors_read_from_the_outermost_step_in(void **state)
{
    struct gh_error e;

    assert_int_equal(gh_error_sys(&e, ENOSPC, "cgroup"), -1);
    assert_int_equal(gh_error_wrap(&e, "start %s", "billing"), -1);
    assert_string_equal(e.message,
                        "start billing: cgroup: No space left on device");
    assert_int_equal(e.code, GH_EIO);
    assert_int_equal(e.sys, ENOSPC);
    gh_error_at(&e, 3, 7);
    assert_int_equal(e.line, 3);
    assert_int_equal(e.column, 7);
    assert_int_equal(gh_error_set(NULL, GH_EINVAL, "nobody listens"), -1);
    assert_string_equal(gh_code_name(GH_EINVAL), "invalid");
    assert_string_equal(gh_code_name((enum gh_code)99), "unknown");
}

static void
a_long_error_is_cut_not_overrun(void **state)
{
    struct gh_error e;
    char text[2 * GH_ERROR_MESSAGE];

    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    gh_error_set(&e, GH_EINVAL, "%s", text);
    gh_error_wrap(&e, "%s", text);
    assert_int_equal(strlen(e.message), GH_ERROR_MESSAGE - 1);
}

static void
names_are_safe_in_keys_paths_and_headers(void **state)
{
    static const char *const good[] = {"a", "0", "per-minute", "a_b", "x9"};
    static const char *const bad[] = {"",    "-a",  "_a",   "A",
                                      "a b", "a/b", "a.b",  "a{b}",
                                      "é",   "a:b", "a\nb", "a\"b"};
    char longest[GH_NAME_MAX + 2];
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(gh_name_valid(S(good[i])));
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(gh_name_valid(S(bad[i])));
    memset(longest, 'a', sizeof(longest));
    assert_true(gh_name_valid(gh_slice(longest, GH_NAME_MAX)));
    assert_false(gh_name_valid(gh_slice(longest, GH_NAME_MAX + 1)));
    assert_false(gh_name_valid(gh_slice("a\0b", 3)));
}

static void
slices_compare_and_copy(void **state)
{
    char buf[4];

    assert_true(gh_slice_eq_nocase(S("X-Api"), S("x-aPI")));
    assert_false(gh_slice_eq_nocase(S("x_api"), S("x-api")));
    assert_true(gh_slice_eq_secret(S("abc"), S("abc")));
    assert_false(gh_slice_eq_secret(S("abc"), S("abd")));
    assert_false(gh_slice_eq_secret(S("abc"), S("ab")));
    assert_true(gh_slice_eq(gh_slice(NULL, 0), S("")));
    assert_int_equal(gh_slice_copy(S("abc"), buf, sizeof(buf)), 0);
    assert_string_equal(buf, "abc");
    assert_int_equal(gh_slice_copy(S("abcd"), buf, sizeof(buf)), -1);
    assert_int_equal(gh_slice_copy(gh_slice("a\0b", 3), buf, 4), -1);
}

static void
hex_has_two_digits_a_byte(void **state)
{
    unsigned char raw[3];
    char text[7];

    gh_hex_encode(gh_slice("\x00\x7f\xff", 3), text);
    assert_string_equal(text, "007fff");
    assert_int_equal(gh_hex_decode(S("007FfF"), raw, 3), 3);
    assert_memory_equal(raw, "\x00\x7f\xff", 3);
    assert_int_equal(gh_hex_decode(S("007"), raw, 3), -1);
    assert_int_equal(gh_hex_decode(S("0g"), raw, 3), -1);
    assert_int_equal(gh_hex_decode(S("00000000"), raw, 3), -1);
}

static void
base64url_has_one_spelling_a_value(void **state)
{
    static const struct {
        const char *raw, *text;
    } vectors[] = {{"", ""},         {"f", "Zg"},         {"fo", "Zm8"},
                   {"foo", "Zm9v"},  {"foob", "Zm9vYg"},  {"fooba", "Zm9vYmE"},
                   {"foobar", "Zm9vYmFy"}}; /* RFC 4648 section 10 */
    static const char *const bad[] = {"Zg==", "Zh", "Zm9", "Z", "Zm+v",
                                      "Zm/v", "Z g", "Zm8\n"};
    unsigned char raw[8];
    char text[GH_BASE64URL_SIZE(8)];
    size_t i;

    for (i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        assert_int_equal(gh_base64url_encode(S(vectors[i].raw), text),
                         strlen(vectors[i].text));
        assert_string_equal(text, vectors[i].text);
        assert_int_equal(gh_base64url_decode(S(text), raw, sizeof(raw)),
                         strlen(vectors[i].raw));
        assert_memory_equal(raw, vectors[i].raw, strlen(vectors[i].raw));
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(gh_base64url_decode(S(bad[i]), raw, sizeof(raw)), -1);
    assert_int_equal(gh_base64url_decode(S("Zm9vYmFy"), raw, 5), -1);
    assert_int_equal(gh_base64url_decode(S("Zm9vYmFy"), raw, 6), 6);
}

static void
integers_have_a_range(void **state)
{
    uint64_t v = 7;

    assert_int_equal(gh_parse_u64(S("18446744073709551615"), 0, UINT64_MAX, &v),
                     0);
    assert_true(v == UINT64_MAX);
    assert_int_equal(gh_parse_u64(S("0"), 0, 0, &v), 0);
    v = 7;
    assert_int_equal(gh_parse_u64(S("18446744073709551616"), 0, UINT64_MAX, &v),
                     -1);
    assert_int_equal(gh_parse_u64(S("99999999999999999999"), 0, UINT64_MAX, &v),
                     -1);
    assert_int_equal(gh_parse_u64(S(""), 0, 9, &v), -1);
    assert_int_equal(gh_parse_u64(S("-1"), 0, 9, &v), -1);
    assert_int_equal(gh_parse_u64(S("+1"), 0, 9, &v), -1);
    assert_int_equal(gh_parse_u64(S(" 1"), 0, 9, &v), -1);
    assert_int_equal(gh_parse_u64(S("01"), 0, 9, &v), -1);
    assert_int_equal(gh_parse_u64(S("10"), 0, 9, &v), -1);
    assert_int_equal(v, 7);
}

static void
durations_and_sizes_have_units(void **state)
{
    uint64_t v;

    assert_int_equal(gh_parse_duration(S("250ms"), &v), 0);
    assert_int_equal(v, 250);
    assert_int_equal(gh_parse_duration(S("7d"), &v), 0);
    assert_int_equal(v, 7 * 86400000);
    assert_int_equal(gh_parse_duration(S("30"), &v), -1);
    assert_int_equal(gh_parse_duration(S("s"), &v), -1);
    assert_int_equal(gh_parse_duration(S("99999999999999999d"), &v), -1);
    assert_int_equal(gh_parse_size(S("64m"), &v), 0);
    assert_int_equal(v, 64 << 20);
    assert_int_equal(gh_parse_size(S("512"), &v), 0);
    assert_int_equal(v, 512);
    assert_int_equal(gh_parse_size(S("1t"), &v), -1);
}

static void
records_come_back_as_they_went(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_reader r;

    gh_write_u8(&b, 0xab);
    gh_write_u16(&b, 0xabcd);
    gh_write_u32(&b, 0xabcdef01);
    gh_write_u64(&b, UINT64_C(0xabcdef0123456789));
    gh_write_bytes(&b, S("text"));
    gh_write_u32(&b, 2);
    gh_write_u16(&b, 1);
    gh_write_u16(&b, 2);
    assert_false(b.failed);
    r = gh_reader(gh_buffer_slice(&b));
    assert_int_equal(gh_read_u8(&r), 0xab);
    assert_int_equal(gh_read_u16(&r), 0xabcd);
    assert_int_equal(gh_read_u32(&r), 0xabcdef01);
    assert_true(gh_read_u64(&r) == UINT64_C(0xabcdef0123456789));
    assert_true(gh_slice_eq_str(gh_read_bytes(&r), "text"));
    assert_int_equal(gh_read_count(&r, 2), 2);
    assert_false(gh_reader_done(&r));
    gh_read_u16(&r);
    gh_read_u16(&r);
    assert_true(gh_reader_done(&r));
    gh_read_u8(&r);
    assert_true(r.bad);
    gh_buffer_finish(&b);
}

static void
a_lying_length_makes_the_reader_bad(void **state)
{
    struct gh_reader r = gh_reader(gh_slice("\xff\xff\xff\xff" "abc", 7));

    assert_int_equal(gh_read_bytes(&r).len, 0);
    assert_true(r.bad);
    r = gh_reader(gh_slice("\x02\x00\x00\x00" "abc", 7));
    assert_int_equal(gh_read_count(&r, 2), 0);
    assert_true(r.bad);
    assert_int_equal(gh_read_u8(&r), 0);
}

static void
buffers_grow_and_end_with_nul(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    int i;

    assert_string_equal(gh_buffer_string(&b), "");
    for (i = 0; i < 1000; i++)
        gh_buffer_printf(&b, "%d,", i % 10);
    assert_int_equal(b.len, 2000);
    assert_int_equal(strlen(gh_buffer_string(&b)), 2000);
    gh_buffer_clear(&b);
    gh_buffer_text(&b, "x");
    assert_string_equal(gh_buffer_string(&b), "x");
    gh_buffer_finish(&b);
}

static void
arenas_give_zeroed_aligned_memory(void **state)
{
    struct gh_arena arena;
    struct gh_alloc a;
    unsigned char *p;
    size_t i;

    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    for (i = 1; i < 10000; i += 777) {
        p = gh_get(&a, i);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        assert_int_equal(p[0] | p[i - 1], 0);
        memset(p, 0xff, i);
    }
    assert_null(gh_get(&a, SIZE_MAX));
    assert_string_equal((const char *)gh_get_copy(&a, S("copy")).data, "copy");
    gh_arena_finish(&arena);
}

static void
hmac_matches_rfc_4231(void **state)
{
    struct gh_hmac h;
    unsigned char out[GH_DIGEST_SIZE], key[131];
    struct gh_slice parts[2] = {S("what do ya want "), S("for nothing?")};
    char hex[2 * GH_DIGEST_SIZE + 1];

    gh_hmac_init(&h, S("Jefe")); /* case 2 */
    gh_hmac(&h, parts, 2, out);
    gh_hex_encode(gh_slice(out, sizeof(out)), hex);
    assert_string_equal(hex, "5bdcc146bf60754e6a042426089575c7"
                             "5a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, sizeof(key)); /* case 6: a key longer than a block */
    gh_hmac_init(&h, gh_slice(key, sizeof(key)));
    parts[0] = S("Test Using Larger Than Block-Size Key - Hash Key First");
    gh_hmac(&h, parts, 1, out);
    gh_hex_encode(gh_slice(out, sizeof(out)), hex);
    assert_string_equal(hex, "60e431591ee0b67f0d8a26aacbf5b77f"
                             "8e0bc6213728c5140546040f0ee37f54");
}

static void
the_secret_file_is_made_once_and_read_back(void **state)
{
    char dir[] = "/tmp/gh-secret-XXXXXX", path[64];
    unsigned char one[GH_KEY_SIZE], two[GH_KEY_SIZE];
    struct gh_secret s, again;
    struct gh_error e;

    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/secret", dir);
    assert_int_equal(gh_secret_read(path, &s, &e), -1);
    assert_int_equal(e.sys, ENOENT);
    assert_int_equal(gh_secret_create(path, &e), 0);
    assert_int_equal(gh_secret_create(path, &e), -1);
    assert_int_equal(e.sys, EEXIST);
    assert_int_equal(gh_secret_read(path, &s, &e), 0);
    assert_int_equal(gh_secret_read(path, &again, &e), 0);
    assert_memory_equal(&s, &again, sizeof(s));
    assert_int_equal(gh_secret_derive(&s, "session-id", one, &e), 0);
    assert_int_equal(gh_secret_derive(&s, "session-seal", two, &e), 0);
    assert_memory_not_equal(one, two, sizeof(one));
    chmod(path, 0644);
    assert_int_equal(gh_secret_read(path, &s, &e), -1);
    assert_int_equal(e.code, GH_EDENIED);
    chmod(path, 0640);
    assert_int_equal(truncate(path, 10), 0);
    assert_int_equal(gh_secret_read(path, &s, &e), -1);
    assert_int_equal(e.code, GH_EINVAL);
    gh_secret_wipe(&again);
    unlink(path);
    rmdir(dir);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_read_from_the_outermost_step_in),
        cmocka_unit_test(a_long_error_is_cut_not_overrun),
        cmocka_unit_test(names_are_safe_in_keys_paths_and_headers),
        cmocka_unit_test(slices_compare_and_copy),
        cmocka_unit_test(hex_has_two_digits_a_byte),
        cmocka_unit_test(base64url_has_one_spelling_a_value),
        cmocka_unit_test(integers_have_a_range),
        cmocka_unit_test(durations_and_sizes_have_units),
        cmocka_unit_test(records_come_back_as_they_went),
        cmocka_unit_test(a_lying_length_makes_the_reader_bad),
        cmocka_unit_test(buffers_grow_and_end_with_nul),
        cmocka_unit_test(arenas_give_zeroed_aligned_memory),
        cmocka_unit_test(hmac_matches_rfc_4231),
        cmocka_unit_test(the_secret_file_is_made_once_and_read_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
