/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Usage: figures per (application, metric, UTC hour) in the limiter's table,
 * flushed to the store as absolute totals of this node: a repeated flush
 * changes nothing, and a lost one is healed by the next. Key
 * gh:{a:APP}:u:METRIC:HOUR (HOUR = hours since 1970), a hash with one field per
 * node and figure, "NODE:FIGURE", or "NODE-LIFE:FIGURE" where a scope was put
 * out of a full table and came back.
 *
 *     log phase      gh_meter_add(&l, app, metric_symbol, wall_ms, mono_ms,
                                figure, n)
 *     one worker's   while (gh_meter_next(&l, ..., &cursor, &flush, buffer) ==
 * 1) timer              send; on a good reply gh_meter_flushed(&l, &flush)
 *     control        gh_meter_key(), HGETALL, gh_meter_sum()
 */
#ifndef GH_METER_H
#define GH_METER_H

#include "lease.h"

enum gh_figure {
    GH_FIG_ADMITTED,    /* calls' cost that went through */
    GH_FIG_OVER,        /* of these: beyond a soft limit */
    GH_FIG_DEGRADED,    /* of these: admitted without a lease */
    GH_FIG_QUOTA,       /* refused: over a hard limit */
    GH_FIG_DENIED,      /* refused: plan, role, address, state */
    GH_FIG_UNAVAILABLE, /* refused: limiter or service away */
    GH_FIG_CLIENT,      /* refused: costs too much, malformed */
    GH_FIGURES
};

const char *gh_figure_name(enum gh_figure f);

/* Adds n. Locks only when the hour's meter is new. 0, or -1: no room (counted
 * in gh_limiter_stats.full; the call itself is not refused for it). */
int gh_meter_add(struct gh_limiter *l, struct gh_slice app, uint32_t metric,
                 uint64_t wall_ms, uint64_t mono_ms, enum gh_figure figure,
                 uint32_t n);

struct gh_meter_flush {
    uint32_t at, scope, gen;
    uint32_t sum; /* of what was sent */
};

/* True for one worker of the host per interval. */
bool gh_meter_claim(struct gh_limiter *l, uint64_t mono_ms,
                    uint64_t interval_ms);

/*
 * The next meter that changed since it was flushed: 1 (command appended; call
 * again), or 0: `budget` slots were looked at, or the round is over and *cursor
 * is GH_CURSOR_END; it starts at 0. A round that begins after a claim leaves
 * alone what was flushed lately (a second for each 256 meters, at most 5
 * minutes); any other flushes all. Meters of past hours that are flushed are
 * let go.
 */
int gh_meter_next(struct gh_limiter *l, const struct gh_scripts *scripts,
                  uint64_t wall_ms, uint64_t *cursor, size_t budget,
                  struct gh_meter_flush *out, struct gh_buffer *command);
void gh_meter_flushed(struct gh_limiter *l, const struct gh_meter_flush *f);

/* ---- reading (control) ---- */

#define GH_METER_KEY_SIZE 192

/* "gh:{a:APP}:u:METRIC:HOUR" and a NUL. -1 when it does not fit. */
int gh_meter_key(struct gh_slice app, struct gh_slice metric, uint64_t hour,
                 char out[GH_METER_KEY_SIZE]);

/* Adds the fields of one HGETALL reply, over all nodes, to out[]. Unknown
 * figures are skipped. 0, or -1 when it is no such reply. */
int gh_meter_sum(const struct redisReply *r, uint64_t out[GH_FIGURES]);

#endif
