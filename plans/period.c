/* SPDX-License-Identifier: Apache-2.0 */
#include "period.h"

#define SECOND_MS UINT64_C(1000)
#define DAY_MS (86400 * SECOND_MS)

static const struct {
    const char *name;
    uint64_t seconds; /* of a usual window */
} periods[GH_PERIODS] = {
    [GH_SECOND] = {"second", 1},    [GH_MINUTE] = {"minute", 60},
    [GH_HOUR] = {"hour", 3600},     [GH_DAY] = {"day", 86400},
    [GH_WEEK] = {"week", 604800},   [GH_MONTH] = {"month", 2592000},
    [GH_YEAR] = {"year", 31536000}, [GH_EVER] = {"ever", 0},
};

/*
 * Proleptic Gregorian calendar in eras of 400 years (146,097 days) that begin
 * in March, so that the leap day is a year's last; 719,468 days lie between
 * 0000-03-01 and 1970-01-01.
 */
static uint64_t
days_from_civil(uint64_t year, unsigned month, unsigned day)
{
    uint64_t y = month <= 2 ? year - 1 : year;
    uint64_t era = y / 400, yoe = y % 400;
    uint64_t doy =
        (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

static void
civil_from_days(uint64_t days, uint64_t *year, unsigned *month)
{
    uint64_t z = days + 719468, era = z / 146097, doe = z % 146097;
    uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (unsigned)((5 * doy + 2) / 153);

    *month = mp < 10 ? mp + 3 : mp - 9;
    *year = yoe + era * 400 + (*month <= 2);
}

static struct gh_window
of_days(uint64_t first, uint64_t end)
{
    return (struct gh_window){first * DAY_MS, end * DAY_MS};
}

static struct gh_window
week(uint64_t wall_ms)
{
    /* 1970-01-01 was a Thursday; the week it lies in is cut at 1970 */
    uint64_t days = wall_ms / DAY_MS, since_monday = (days + 3) % 7;
    uint64_t first = days < since_monday ? 0 : days - since_monday;

    return of_days(first, days - since_monday + 7);
}

static struct gh_window
month_or_year(bool yearly, uint64_t wall_ms)
{
    uint64_t year;
    unsigned month;

    civil_from_days(wall_ms / DAY_MS, &year, &month);
    if (yearly)
        return of_days(days_from_civil(year, 1, 1),
                       days_from_civil(year + 1, 1, 1));
    return of_days(days_from_civil(year, month, 1),
                   month == 12 ? days_from_civil(year + 1, 1, 1)
                               : days_from_civil(year, month + 1, 1));
}

struct gh_window
gh_period_window(enum gh_period p, uint64_t wall_ms)
{
    uint64_t len;

    switch (p) {
    case GH_WEEK:
        return week(wall_ms);
    case GH_MONTH:
    case GH_YEAR:
        return month_or_year(p == GH_YEAR, wall_ms);
    case GH_SECOND:
    case GH_MINUTE:
    case GH_HOUR:
    case GH_DAY:
        len = periods[p].seconds * SECOND_MS;
        return (struct gh_window){wall_ms - wall_ms % len,
                                  wall_ms - wall_ms % len + len};
    default:
        return (struct gh_window){0, GH_PERIOD_NO_END};
    }
}

uint64_t
gh_period_seconds(enum gh_period p)
{
    return p < GH_PERIODS ? periods[p].seconds : 0;
}

const char *
gh_period_name(enum gh_period p)
{
    return p < GH_PERIODS ? periods[p].name : "ever";
}

int
gh_period_parse(struct gh_slice name, enum gh_period *out)
{
    int p;

    for (p = 0; p < GH_PERIODS; p++) {
        if (gh_slice_eq_str(name, periods[p].name)) {
            *out = (enum gh_period)p;
            return 0;
        }
    }
    return -1;
}
