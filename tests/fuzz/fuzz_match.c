/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Templates and paths, two lines each: METHOD PATH, then templates. A compiled
 * rule says the same as the template alone, and what is checked to be good
 * compiles.
 */
#include "match.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gh_slice
line(struct gh_slice *rest)
{
    const unsigned char *end =
        rest->len ? memchr(rest->data, '\n', rest->len) : NULL;
    size_t n = end ? (size_t)(end - rest->data) : rest->len;
    struct gh_slice s = gh_slice(rest->data, n);

    n += end != NULL;
    *rest = gh_slice(rest->data + n, rest->len - n);
    return s;
}

static void
one(struct gh_slice path_template, struct gh_slice path)
{
    static const struct gh_metric metrics[] = {{{(const void *)"hits", 4}, -1},
                                               {{(const void *)"m", 1}, 0}};
    const struct gh_rule rule = {{0, path_template}, 1, 3, false};
    const struct gh_api api = {
        .metrics = metrics, .nmetrics = 2, .rules = &rule, .nrules = 1};
    uint32_t costs[GH_METRICS_MAX];
    bool good = gh_match_check(path_template, NULL) == 0;
    bool hit = gh_match_path(path_template, path);
    struct gh_matcher *m;
    struct gh_arena arena;
    struct gh_alloc a;

    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    m = gh_match_compile(&api, &a, NULL);
    if ((m != NULL) != good)
        abort();
    if (m != NULL && ((gh_match_costs(m, GH_GET, path, costs) == 1) != hit ||
                      costs[0] != (hit ? 3 : 1)))
        abort();
    gh_arena_finish(&arena);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gh_slice rest = gh_slice(data, size), path = line(&rest);

    gh_match_method(path);
    while (rest.len > 0)
        one(line(&rest), path);
    return 0;
}
