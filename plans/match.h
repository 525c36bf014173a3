/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which metrics a call counts for and whether a plan allows it: path templates
 * and mapping rules, compiled once per version of an API or plan. Pure.
 *
 * "/users/{id}/posts" matches segment by segment, "{x}" any one segment that is
 * not empty, a last "**" any rest (none too), an empty template any path. Paths
 * are normalised, start with "/" and are relative to the API's prefix; one
 * slash at the end is a segment of its own ("/a/" is not "/a"). All matching
 * rules add up, in order, until one that says `last`. A hit on a metric counts
 * for each of its ancestors too. "hits" (index 0) counts 1 for every call,
 * unless rules for it or for a metric beneath it match: then their costs stand
 * in place of that 1.
 */
#ifndef GH_MATCH_H
#define GH_MATCH_H

#include "error.h"
#include "model.h"

#define GH_MATCH_SEGMENTS 32

/* One of enum gh_method; unknown ones are GH_OTHER. */
uint32_t gh_match_method(struct gh_slice name);

/* Says what is wrong with a template: for whoever takes them in. */
int gh_match_check(struct gh_slice path_template, struct gh_error *e);

/* One template against one path, without compiling. */
bool gh_match_path(struct gh_slice path_template, struct gh_slice path);

struct gh_matcher; /* rules of an API or the entitlement of a plan, compiled */

/* Memory of `a`, which the result points into; slices of v must live as long.
 * NULL when memory is out or v is malformed (e says which). */
struct gh_matcher *gh_match_compile(const struct gh_api *v,
                                    const struct gh_alloc *a,
                                    struct gh_error *e);

/*
 * Fills costs[0 .. nmetrics) (room for GH_METRICS_MAX). Returns the number of
 * rules that matched; costs saturate at UINT32_MAX.
 */
size_t gh_match_costs(const struct gh_matcher *m, uint32_t method,
                      struct gh_slice path, uint32_t costs[GH_METRICS_MAX]);

/*
 * Which of the API's metrics limit i is about: its index, or -1 when the limit
 * names another API or no metric of this one. Once per version of either.
 */
void gh_match_bind(const struct gh_api *api, const struct gh_limits *limits,
                   int8_t *metric_of);

/* The plan's entitlement for an API, NULL when the plan does not have it. */
const struct gh_entitlement *gh_match_entitlement(const struct gh_plan *plan,
                                                  struct gh_slice api);
/* Method and path are in it. */
bool gh_match_allowed(const struct gh_entitlement *e, uint32_t method,
                      struct gh_slice path);

#endif
