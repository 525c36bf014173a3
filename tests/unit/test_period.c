/* SPDX-License-Identifier: Apache-2.0 */
/* Calendar windows, against dates written by hand and against timegm(3). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "period.h"

#include <stdlib.h>
#include <time.h>

static uint64_t
at(int year, int month, int day, int hour, int minute, int second)
{
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second};

    return (uint64_t)timegm(&tm) * 1000;
}

static void
expect(enum gh_period p, uint64_t t, uint64_t start, uint64_t end)
{
    struct gh_window w = gh_period_window(p, t);

    assert_int_equal(w.start_ms, start);
    assert_int_equal(w.end_ms, end);
}

static void
test_short_periods(void **state)
{
    uint64_t t = at(2026, 3, 5, 17, 42, 9) + 345;

    expect(GH_SECOND, t, at(2026, 3, 5, 17, 42, 9), at(2026, 3, 5, 17, 42, 10));
    expect(GH_MINUTE, t, at(2026, 3, 5, 17, 42, 0), at(2026, 3, 5, 17, 43, 0));
    expect(GH_HOUR, t, at(2026, 3, 5, 17, 0, 0), at(2026, 3, 5, 18, 0, 0));
    expect(GH_DAY, t, at(2026, 3, 5, 0, 0, 0), at(2026, 3, 6, 0, 0, 0));
    expect(GH_EVER, t, 0, GH_PERIOD_NO_END);
}

static void
test_weeks_start_on_monday(void **state)
{
    uint64_t monday = at(2026, 3, 2, 0, 0, 0), next = at(2026, 3, 9, 0, 0, 0);

    expect(GH_WEEK, monday, monday, next);
    expect(GH_WEEK, next - 1, monday, next);
    expect(GH_WEEK, next, next, at(2026, 3, 16, 0, 0, 0));
    expect(GH_WEEK, at(2025, 12, 31, 12, 0, 0), at(2025, 12, 29, 0, 0, 0),
           at(2026, 1, 5, 0, 0, 0));
    expect(GH_WEEK, 0, 0, at(1970, 1, 5, 0, 0, 0));
}

static void
test_months(void **state)
{
    expect(GH_MONTH, at(2024, 2, 29, 23, 59, 59), at(2024, 2, 1, 0, 0, 0),
           at(2024, 3, 1, 0, 0, 0));
    expect(GH_MONTH, at(2023, 2, 28, 0, 0, 0), at(2023, 2, 1, 0, 0, 0),
           at(2023, 3, 1, 0, 0, 0));
    expect(GH_MONTH, at(2000, 2, 29, 0, 0, 0), at(2000, 2, 1, 0, 0, 0),
           at(2000, 3, 1, 0, 0, 0));
    expect(GH_MONTH, at(2100, 2, 28, 0, 0, 0), at(2100, 2, 1, 0, 0, 0),
           at(2100, 3, 1, 0, 0, 0));
    expect(GH_MONTH, at(2026, 12, 31, 23, 59, 59), at(2026, 12, 1, 0, 0, 0),
           at(2027, 1, 1, 0, 0, 0));
    expect(GH_MONTH, at(2026, 4, 30, 0, 0, 0), at(2026, 4, 1, 0, 0, 0),
           at(2026, 5, 1, 0, 0, 0));
}

static void
test_years(void **state)
{
    expect(GH_YEAR, at(2024, 12, 31, 23, 59, 59), at(2024, 1, 1, 0, 0, 0),
           at(2025, 1, 1, 0, 0, 0));
    expect(GH_YEAR, at(2024, 1, 1, 0, 0, 0), at(2024, 1, 1, 0, 0, 0),
           at(2025, 1, 1, 0, 0, 0));
    expect(GH_YEAR, 0, 0, at(1971, 1, 1, 0, 0, 0));
}

/* Every day of 150 years: windows hold their time, join without a gap, and
 * start on the first of the month as gmtime(3) has it. */
static void
test_every_day(void **state)
{
    uint64_t day;
    int p;

    for (day = 0; day < 150 * 366; day++) {
        uint64_t t = day * 86400000 + 43200000;

        for (p = GH_DAY; p <= GH_YEAR; p++) {
            struct gh_window w = gh_period_window((enum gh_period)p, t), n;
            time_t start = (time_t)(w.start_ms / 1000);
            struct tm tm;

            assert_true(w.start_ms <= t && t < w.end_ms);
            n = gh_period_window((enum gh_period)p, w.end_ms);
            assert_int_equal(n.start_ms, w.end_ms);
            gmtime_r(&start, &tm);
            if (p == GH_MONTH || p == GH_YEAR)
                assert_int_equal(tm.tm_mday, 1);
            if (p == GH_YEAR)
                assert_int_equal(tm.tm_mon, 0);
            if (p == GH_WEEK && w.start_ms > 0)
                assert_int_equal(tm.tm_wday, 1);
        }
    }
}

static void
test_names(void **state)
{
    enum gh_period p;
    int i;

    for (i = 0; i < GH_PERIODS; i++) {
        assert_int_equal(
            gh_period_parse(gh_slice_str(gh_period_name((enum gh_period)i)),
                            &p),
            0);
        assert_int_equal(p, i);
    }
    assert_int_equal(gh_period_parse(gh_slice_str("minutes"), &p), -1);
    assert_int_equal(gh_period_parse(gh_slice_str(""), &p), -1);
    assert_int_equal(gh_period_seconds(GH_MINUTE), 60);
    assert_int_equal(gh_period_seconds(GH_EVER), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_periods),
        cmocka_unit_test(test_weeks_start_on_monday),
        cmocka_unit_test(test_months),
        cmocka_unit_test(test_years),
        cmocka_unit_test(test_every_day),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
