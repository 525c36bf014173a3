/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's records. The first byte says which; whatever follows is
 * refused, or decodes to a value that keeps its promises and is written again
 * to the same bytes.
 */
#include "match.h"
#include "record.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
same(struct gh_slice s, struct gh_buffer *b)
{
    if (!gh_slice_eq(s, gh_buffer_slice(b)))
        abort();
}

static void
check_api(struct gh_slice s, const struct gh_alloc *a, struct gh_buffer *b)
{
    uint32_t costs[GH_METRICS_MAX];
    struct gh_matcher *m;
    struct gh_api v;
    size_t i;

    if (gh_record_read_api(s, a, &v) != 0)
        return;
    for (i = 0; i < v.nrules; i++)
        if (v.rules[i].metric >= v.nmetrics)
            abort();
    gh_record_write_api(b, &v, v.version);
    same(s, b);
    m = gh_match_compile(&v, a, NULL);
    if (m != NULL)
        gh_match_costs(m, GH_GET, v.prefix, costs);
}

static void
check_plan(struct gh_slice s, const struct gh_alloc *a, struct gh_buffer *b)
{
    struct gh_plan v;
    size_t i;

    if (gh_record_read_plan(s, a, &v) != 0)
        return;
    for (i = 0; i < v.limits.n; i++)
        if (v.limits.at[i].period >= GH_PERIODS ||
            v.limits.at[i].value > GH_LIMIT_MAX)
            abort();
    gh_record_write_plan(b, &v, v.version);
    same(s, b);
    for (i = 0; i < v.napis; i++)
        gh_match_allowed(&v.apis[i], GH_GET, v.name);
}

#define CHECK(what, ...)                                                       \
    static void check_##what(struct gh_slice s, const struct gh_alloc *a,      \
                             struct gh_buffer *b)                              \
    {                                                                          \
        struct gh_##what v;                                                    \
                                                                               \
        if (gh_record_read_##what(__VA_ARGS__) != 0)                           \
            return;                                                            \
        gh_record_write_##what(b, &v, v.version);                              \
        same(s, b);                                                            \
    }

CHECK(service, s, a, &v)
CHECK(idp, s, a, &v)
CHECK(account, s, &v)
CHECK(app, s, &v)

static void
check_credential(struct gh_slice s, const struct gh_alloc *a,
                 struct gh_buffer *b)
{
    struct gh_credential v;
    uint64_t version;

    if (gh_record_read_credential(s, &v) != 0 ||
        gh_record_version(s, &version) != 0 || version != 0)
        return;
    gh_record_write_credential(b, &v);
    same(s, b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const checks[])(struct gh_slice, const struct gh_alloc *,
                                  struct gh_buffer *) = {
        check_api,     check_plan, check_account,   check_app,
        check_service, check_idp,  check_credential};
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_arena arena;
    struct gh_alloc a;

    if (size == 0)
        return 0;
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    checks[data[0] % 7](gh_slice(data + 1, size - 1), &a, &b);
    gh_buffer_finish(&b);
    gh_arena_finish(&arena);
    return 0;
}
