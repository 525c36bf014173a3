/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calendar windows in UTC: [start, end) in milliseconds since 1970. Weeks start
 * on Monday; months and years have their true length; leap seconds do not
 * exist (POSIX time). "ever" is one window from 0 to GH_PERIOD_NO_END. The
 * lease script computes the same in Lua; a test holds the two together.
 */
#ifndef GH_PERIOD_H
#define GH_PERIOD_H

#include "model.h"

#define GH_PERIOD_NO_END UINT64_MAX

struct gh_window {
    uint64_t start_ms, end_ms;
};

struct gh_window gh_period_window(enum gh_period p, uint64_t wall_ms);

/* Seconds of a usual window, for RateLimit-Policy's `w`: a month counts as 30
 * days, a year as 365, ever as 0. */
uint64_t gh_period_seconds(enum gh_period p);

const char *gh_period_name(enum gh_period p);
/* By the whole name, "minute". 0 or -1. */
int gh_period_parse(struct gh_slice name, enum gh_period *out);

#endif
