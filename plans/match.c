/* SPDX-License-Identifier: Apache-2.0 */
#include "match.h"

#include <limits.h>

/* ---- templates ---- */

uint32_t
gh_match_method(struct gh_slice name)
{
    static const struct {
        const char *name;
        uint32_t bit;
    } methods[] = {
        {"GET", GH_GET},         {"HEAD", GH_HEAD},     {"POST", GH_POST},
        {"PUT", GH_PUT},         {"DELETE", GH_DELETE}, {"PATCH", GH_PATCH},
        {"OPTIONS", GH_OPTIONS},
    };
    size_t i;

    for (i = 0; i < sizeof(methods) / sizeof(methods[0]); i++)
        if (gh_slice_eq_str(name, methods[i].name))
            return methods[i].bit;
    return GH_OTHER;
}

/* Takes the next segment, the slash before it included, off *rest. */
static bool
next_segment(struct gh_slice *rest, struct gh_slice *segment)
{
    const unsigned char *end;
    size_t n;

    if (rest->len == 0)
        return false;
    end = rest->len > 1 ? memchr(rest->data + 1, '/', rest->len - 1) : NULL;
    n = end ? (size_t)(end - rest->data) : rest->len;
    *segment = gh_slice(rest->data + 1, n - 1);
    *rest = gh_slice(rest->data + n, rest->len - n);
    return true;
}

static bool
is_parameter(struct gh_slice s)
{
    return s.len >= 3 && s.data[0] == '{' && s.data[s.len - 1] == '}';
}

int
gh_match_check(struct gh_slice t, struct gh_error *e)
{
    struct gh_slice rest = t, s;
    size_t n = 0, i;

    if (t.len == 0)
        return 0;
    if (t.data[0] != '/')
        return gh_error_set(e, GH_EINVAL, "a path starts with /");
    while (next_segment(&rest, &s)) {
        if (++n > GH_MATCH_SEGMENTS)
            return gh_error_set(e, GH_ETOOBIG, "more than %d segments",
                                GH_MATCH_SEGMENTS);
        if (gh_slice_eq_str(s, "**")) {
            if (rest.len != 0)
                return gh_error_set(e, GH_EINVAL, "** stands at the end only");
            return 0;
        }
        if (s.len == 0 && rest.len != 0)
            return gh_error_set(e, GH_EINVAL, "an empty segment");
        if (is_parameter(s))
            s = gh_slice(s.data + 1, s.len - 2);
        for (i = 0; i < s.len; i++)
            if (memchr("{}*?#\\ \0", s.data[i], 8) != NULL ||
                s.data[i] < 0x20 || s.data[i] == 0x7f)
                return gh_error_set(e, GH_EINVAL,
                                    "\"%.*s\" is no text and no {parameter}",
                                    (int)s.len, (const char *)s.data);
    }
    return 0;
}

bool
gh_match_path(struct gh_slice t, struct gh_slice path)
{
    struct gh_slice want, have;

    if (t.len == 0)
        return true;
    if (t.data[0] != '/' || (path.len > 0 && path.data[0] != '/'))
        return false;
    while (next_segment(&t, &want)) {
        if (t.len == 0 && gh_slice_eq_str(want, "**"))
            return true;
        if (!next_segment(&path, &have))
            return false;
        if (is_parameter(want) ? have.len == 0 : !gh_slice_eq(want, have))
            return false;
    }
    return path.len == 0;
}

/* ---- compiled rules ---- */

/*
 * Rules keep their order, since `last` cuts it. To skip most of them cheaply
 * each knows the text before its first parameter, and whether anything is
 * after.
 */
struct rule {
    uint32_t methods; /* never 0 here */
    uint32_t cost;
    struct gh_slice literal; /* the path starts with this */
    struct gh_slice path;    /* the whole template */
    uint8_t metric;
    bool last, whole; /* whole: the literal is all of it */
};

struct gh_matcher {
    size_t nrules, nmetrics;
    struct rule *rules;
    int8_t parent[GH_METRICS_MAX];
};

static struct gh_slice
literal_of(struct gh_slice t, bool *whole)
{
    struct gh_slice rest = t, s;
    size_t n = 0;

    *whole = t.len > 0;
    while (next_segment(&rest, &s)) {
        if (is_parameter(s) || (rest.len == 0 && gh_slice_eq_str(s, "**"))) {
            *whole = false;
            break;
        }
        n = t.len - rest.len;
    }
    return gh_slice(t.data, n);
}

static int
compile_metrics(const struct gh_api *v, struct gh_matcher *m,
                struct gh_error *e)
{
    size_t i;
    int depth, p;

    if (v->nmetrics > GH_METRICS_MAX || v->nrules > GH_RULES_MAX)
        return gh_error_set(e, GH_ETOOBIG, "too many metrics or rules");
    m->nmetrics = v->nmetrics;
    for (i = 0; i < v->nmetrics; i++) {
        if (v->metrics[i].parent < -1 || v->metrics[i].parent >= (int)i)
            return gh_error_set(e, GH_EINVAL,
                                "a metric's parent stands before it");
        m->parent[i] = (int8_t)v->metrics[i].parent;
        for (p = m->parent[i], depth = 1; p >= 0; p = m->parent[p])
            if (++depth > GH_METRIC_DEPTH)
                return gh_error_set(e, GH_ETOOBIG,
                                    "metrics nest deeper than %d",
                                    GH_METRIC_DEPTH);
    }
    return 0;
}

struct gh_matcher *
gh_match_compile(const struct gh_api *v, const struct gh_alloc *a,
                 struct gh_error *e)
{
    struct gh_matcher *m = gh_get(a, sizeof(*m));
    size_t i;

    if (m == NULL ||
        (v->nrules > 0 && v->nrules <= GH_RULES_MAX &&
         (m->rules = gh_get(a, v->nrules * sizeof(*m->rules))) == NULL)) {
        gh_error_set(e, GH_ENOMEM, "rules: out of memory");
        return NULL;
    }
    if (compile_metrics(v, m, e) != 0)
        return NULL;
    m->nrules = v->nrules;
    for (i = 0; i < v->nrules; i++) {
        const struct gh_rule *r = &v->rules[i];
        struct rule *out = &m->rules[i];

        if (gh_match_check(r->match.path, e) != 0)
            return NULL;
        if (r->metric >= v->nmetrics) {
            gh_error_set(e, GH_EINVAL, "a rule names no metric");
            return NULL;
        }
        out->methods = r->match.methods ? r->match.methods : UINT32_MAX;
        out->cost = r->cost;
        out->metric = (uint8_t)r->metric;
        out->last = r->last;
        out->path = r->match.path;
        out->literal = literal_of(r->match.path, &out->whole);
    }
    return m;
}

static void
add(uint32_t *cost, uint32_t more)
{
    uint64_t sum = (uint64_t)*cost + more;

    *cost = sum > GH_COST_MAX ? GH_COST_MAX + 1 : (uint32_t)sum;
}

static bool
rule_matches(const struct rule *r, uint32_t method, struct gh_slice path)
{
    if ((r->methods & method) == 0 || !gh_slice_starts(path, r->literal))
        return false;
    return r->whole ? path.len == r->literal.len : gh_match_path(r->path, path);
}

size_t
gh_match_costs(const struct gh_matcher *m, uint32_t method,
               struct gh_slice path, uint32_t costs[GH_METRICS_MAX])
{
    size_t matched = 0, i;
    bool hits_ruled = false;
    int p;

    memset(costs, 0, (m->nmetrics ? m->nmetrics : 1) * sizeof(*costs));
    for (i = 0; i < m->nrules; i++) {
        const struct rule *r = &m->rules[i];

        if (!rule_matches(r, method, path))
            continue;
        matched++;
        for (p = r->metric; p >= 0; p = m->parent[p]) {
            add(&costs[p], r->cost);
            hits_ruled |= p == 0;
        }
        if (r->last)
            break;
    }
    if (!hits_ruled)
        costs[0] = 1;
    return matched;
}

void
gh_match_bind(const struct gh_api *api, const struct gh_limits *limits,
              int8_t *metric_of)
{
    size_t i, j;

    for (i = 0; i < limits->n; i++) {
        const struct gh_limit *l = &limits->at[i];

        metric_of[i] = -1;
        if (l->api.len > 0 && !gh_slice_eq(l->api, api->name))
            continue;
        for (j = 0; j < api->nmetrics && j < GH_METRICS_MAX; j++)
            if (gh_slice_eq(api->metrics[j].name, l->metric))
                metric_of[i] = (int8_t)j;
        if (metric_of[i] < 0 && gh_slice_eq_str(l->metric, "hits"))
            metric_of[i] = 0; /* counted even where it is not listed */
    }
}

/* ---- entitlement ---- */

const struct gh_entitlement *
gh_match_entitlement(const struct gh_plan *plan, struct gh_slice api)
{
    size_t i;

    for (i = 0; i < plan->napis; i++)
        if (gh_slice_eq(plan->apis[i].api, api))
            return &plan->apis[i];
    return NULL;
}

bool
gh_match_allowed(const struct gh_entitlement *e, uint32_t method,
                 struct gh_slice path)
{
    size_t i;

    if (e->nallow == 0)
        return true;
    for (i = 0; i < e->nallow; i++)
        if ((e->allow[i].methods == 0 || (e->allow[i].methods & method)) &&
            gh_match_path(e->allow[i].path, path))
            return true;
    return false;
}
