/* SPDX-License-Identifier: Apache-2.0 */
/* Records that were damaged; test_catalog.c has the whole ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "record.h"

#define S(text) gh_slice_str(text)

/* A record cut or changed anywhere is refused or decodes to something sane. */
static void
test_damaged_records(void **state)
{
    struct gh_arena arena;
    struct gh_alloc a;
    const struct gh_metric metrics[] = {{S("hits"), -1}, {S("search"), 0}};
    const struct gh_rule rules[] = {{{GH_GET, S("/s/{q}")}, 1, 3, true}};
    const struct gh_limit limits[] = {
        {S(""), S("hits"), GH_SECOND, GH_HARD, 1000}};
    const struct gh_slice hosts[] = {S("*")};
    struct gh_api v = {.name = S("httpbin"),
                       .prefix = S("/httpbin"),
                       .hosts = hosts,
                       .nhosts = 1,
                       .service = S("svc")},
                  got;
    struct gh_buffer b = GH_BUFFER_INIT;
    size_t i;

    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    v.metrics = metrics;
    v.nmetrics = 2;
    v.rules = rules;
    v.nrules = 1;
    v.limits = (struct gh_limits){limits, 1};
    gh_record_write_api(&b, &v, 7);
    for (i = 0; i < b.len; i++)
        assert_int_equal(gh_record_read_api(gh_slice(b.data, i), &a, &got), -1);
    for (i = 0; i < b.len; i++) {
        b.data[i] ^= 0xff;
        if (gh_record_read_api(gh_buffer_slice(&b), &a, &got) == 0) {
            assert_true(got.nrules == 0 || got.rules[0].metric < got.nmetrics);
            assert_true(got.limits.at[0].period < GH_PERIODS);
        }
        b.data[i] ^= 0xff;
    }
    assert_int_equal(gh_record_read_api(gh_buffer_slice(&b), &a, &got), 0);
    gh_buffer_finish(&b);
    gh_arena_finish(&arena);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_damaged_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
