/* SPDX-License-Identifier: Apache-2.0 */
#include "record.h"

/* ---- writing ---- */

static void
head(struct gh_buffer *b, uint64_t version)
{
    gh_write_u8(b, GH_RECORD_LAYOUT);
    gh_write_u64(b, version);
}

static void
write_slices(struct gh_buffer *b, const struct gh_slice *s, size_t n)
{
    size_t i;

    gh_write_u32(b, (uint32_t)n);
    for (i = 0; i < n; i++)
        gh_write_bytes(b, s[i]);
}

static void
write_match(struct gh_buffer *b, const struct gh_match *m)
{
    gh_write_u32(b, m->methods);
    gh_write_bytes(b, m->path);
}

static void
write_limits(struct gh_buffer *b, const struct gh_limits *l)
{
    size_t i;

    gh_write_u32(b, (uint32_t)l->n);
    for (i = 0; i < l->n; i++) {
        gh_write_bytes(b, l->at[i].api);
        gh_write_bytes(b, l->at[i].metric);
        gh_write_u8(b, (uint8_t)l->at[i].period);
        gh_write_u8(b, (uint8_t)l->at[i].mode);
        gh_write_u64(b, l->at[i].value);
    }
}

static void
write_metrics(struct gh_buffer *b, const struct gh_api *v)
{
    size_t i;

    gh_write_u32(b, (uint32_t)v->nmetrics);
    for (i = 0; i < v->nmetrics; i++) {
        gh_write_bytes(b, v->metrics[i].name);
        gh_write_u32(b, (uint32_t)v->metrics[i].parent);
    }
    gh_write_u32(b, (uint32_t)v->nrules);
    for (i = 0; i < v->nrules; i++) {
        write_match(b, &v->rules[i].match);
        gh_write_u32(b, v->rules[i].metric);
        gh_write_u32(b, v->rules[i].cost);
        gh_write_u8(b, v->rules[i].last);
    }
}

void
gh_record_write_api(struct gh_buffer *b, const struct gh_api *v,
                    uint64_t version)
{
    size_t i;

    head(b, version);
    gh_write_bytes(b, v->name);
    write_slices(b, v->hosts, v->nhosts);
    gh_write_bytes(b, v->prefix);
    gh_write_u8(b, v->strip_prefix);
    gh_write_bytes(b, v->service);
    gh_write_u32(b, v->accept);
    gh_write_bytes(b, v->key_header);
    gh_write_bytes(b, v->key_query);
    gh_write_bytes(b, v->key_cookie);
    gh_write_bytes(b, v->id_header);
    gh_write_bytes(b, v->id_key_header);
    gh_write_u32(b, (uint32_t)v->njwt);
    for (i = 0; i < v->njwt; i++) {
        gh_write_bytes(b, v->jwt[i].idp);
        gh_write_bytes(b, v->jwt[i].audience);
    }
    gh_write_bytes(b, v->login);
    gh_write_bytes(b, v->anonymous_app);
    write_slices(b, v->roles, v->nroles);
    gh_write_u32(b, (uint32_t)v->nclaims);
    for (i = 0; i < v->nclaims; i++) {
        gh_write_bytes(b, v->claims[i].claim);
        gh_write_bytes(b, v->claims[i].header);
    }
    gh_write_u8(b, v->keep_credentials);
    gh_write_u8(b, v->classic_headers);
    gh_write_u8(b, v->rules_only);
    write_metrics(b, v);
    write_limits(b, &v->limits);
}

void
gh_record_write_plan(struct gh_buffer *b, const struct gh_plan *v,
                     uint64_t version)
{
    size_t i, j;

    head(b, version);
    gh_write_bytes(b, v->name);
    gh_write_u32(b, (uint32_t)v->napis);
    for (i = 0; i < v->napis; i++) {
        gh_write_bytes(b, v->apis[i].api);
        gh_write_u32(b, (uint32_t)v->apis[i].nallow);
        for (j = 0; j < v->apis[i].nallow; j++)
            write_match(b, &v->apis[i].allow[j]);
    }
    write_limits(b, &v->limits);
    gh_write_u8(b, (uint8_t)v->store_down);
    gh_write_u64(b, v->bounded_ms);
}

void
gh_record_write_account(struct gh_buffer *b, const struct gh_account *v,
                        uint64_t version)
{
    head(b, version);
    gh_write_bytes(b, v->name);
    gh_write_u8(b, (uint8_t)v->state);
    gh_write_bytes(b, v->plan);
}

void
gh_record_write_app(struct gh_buffer *b, const struct gh_app *v,
                    uint64_t version)
{
    head(b, version);
    gh_write_bytes(b, v->name);
    gh_write_bytes(b, v->account);
    gh_write_bytes(b, v->plan);
    gh_write_u8(b, (uint8_t)v->state);
}

void
gh_record_write_service(struct gh_buffer *b, const struct gh_service *v,
                        uint64_t version)
{
    size_t i;

    head(b, version);
    gh_write_bytes(b, v->name);
    gh_write_bytes(b, v->state);
    gh_write_u32(b, (uint32_t)v->n);
    for (i = 0; i < v->n; i++) {
        gh_write_bytes(b, v->endpoints[i].address);
        gh_write_u8(b, v->endpoints[i].healthy);
    }
}

void
gh_record_write_idp(struct gh_buffer *b, const struct gh_idp *v,
                    uint64_t version)
{
    size_t i;

    head(b, version);
    gh_write_bytes(b, v->name);
    gh_write_bytes(b, v->issuer);
    gh_write_u32(b, v->algs);
    gh_write_u64(b, v->skew_ms);
    gh_write_bytes(b, v->user_claim);
    gh_write_bytes(b, v->client_claim);
    gh_write_bytes(b, v->roles_claim);
    gh_write_u32(b, (uint32_t)v->nkeys);
    for (i = 0; i < v->nkeys; i++) {
        gh_write_bytes(b, v->keys[i].kid);
        gh_write_u32(b, v->keys[i].algs);
        gh_write_bytes(b, v->keys[i].jwk);
    }
    gh_write_bytes(b, v->client_id);
    gh_write_bytes(b, v->scopes);
    gh_write_bytes(b, v->origin);
    gh_write_bytes(b, v->authorization_endpoint);
    gh_write_bytes(b, v->token_endpoint);
    gh_write_bytes(b, v->userinfo_endpoint);
    gh_write_bytes(b, v->end_session_endpoint);
    gh_write_bytes(b, v->jwks_uri);
    gh_write_u8(b, v->require_iss);
    gh_write_u64(b, v->session_idle_ms);
    gh_write_u64(b, v->session_max_ms);
}

void
gh_record_write_credential(struct gh_buffer *b, const struct gh_credential *v)
{
    head(b, 0);
    gh_write_u8(b, (uint8_t)v->kind);
    gh_write_bytes(b, v->id);
    gh_write_bytes(b, v->app);
    gh_write_u64(b, v->not_before_ms);
    gh_write_u64(b, v->expires_ms);
    gh_write_u8(b, v->revoked);
}

/* ---- reading ---- */

struct in {
    struct gh_reader r;
    const struct gh_alloc *a; /* NULL: slices stay in the record */
};

static struct in
open_record(struct gh_slice s, const struct gh_alloc *a, uint64_t *version)
{
    struct in in = {gh_reader(s), a};

    if (gh_read_u8(&in.r) != GH_RECORD_LAYOUT)
        in.r.bad = true;
    *version = gh_read_u64(&in.r);
    return in;
}

static int
done(const struct in *in)
{
    return gh_reader_done(&in->r) ? 0 : -1;
}

static struct gh_slice
bytes(struct in *in)
{
    struct gh_slice s = gh_read_bytes(&in->r);

    if (in->r.bad || in->a == NULL || s.len == 0)
        return s;
    s = gh_get_copy(in->a, s);
    if (s.data == NULL)
        in->r.bad = true;
    return s;
}

static bool
flag(struct in *in)
{
    uint8_t v = gh_read_u8(&in->r);

    if (v > 1)
        in->r.bad = true;
    return v == 1;
}

/* A value below `end`. */
static unsigned
choice(struct in *in, unsigned end)
{
    unsigned v = gh_read_u8(&in->r);

    if (v >= end) {
        in->r.bad = true;
        return 0;
    }
    return v;
}

/* An array for `*n` things that take `least` bytes each in the record. */
static void *
array(struct in *in, size_t least, size_t size, size_t max, size_t *n)
{
    void *p;

    *n = gh_read_count(&in->r, least);
    if (*n == 0)
        return NULL;
    p = *n <= max ? gh_get(in->a, *n * size) : NULL;
    if (p == NULL) {
        in->r.bad = true;
        *n = 0;
    }
    return p;
}

#define MANY 65536

static const struct gh_slice *
slices(struct in *in, size_t *n)
{
    struct gh_slice *p = array(in, 4, sizeof(*p), MANY, n);
    size_t i;

    for (i = 0; i < *n; i++)
        p[i] = bytes(in);
    return p;
}

static struct gh_match
match(struct in *in)
{
    struct gh_match m;

    m.methods = gh_read_u32(&in->r);
    m.path = bytes(in);
    return m;
}

static struct gh_limits
limits(struct in *in)
{
    size_t n, i;
    struct gh_limit *p = array(in, 18, sizeof(*p), GH_LIMITS_MAX, &n);

    for (i = 0; i < n; i++) {
        p[i].api = bytes(in);
        p[i].metric = bytes(in);
        p[i].period = (enum gh_period)choice(in, GH_PERIODS);
        p[i].mode = (enum gh_mode)choice(in, GH_SHADOW + 1);
        p[i].value = gh_read_u64(&in->r);
        if (p[i].value > GH_LIMIT_MAX)
            in->r.bad = true;
    }
    return (struct gh_limits){p, n};
}

/* Parents come before their children, so walks up end. */
static void
metrics(struct in *in, struct gh_api *out)
{
    struct gh_metric *p =
        array(in, 8, sizeof(*p), GH_METRICS_MAX, &out->nmetrics);
    size_t i;

    for (i = 0; i < out->nmetrics; i++) {
        p[i].name = bytes(in);
        p[i].parent = (int)gh_read_u32(&in->r);
        if (p[i].parent < -1 || p[i].parent >= (int)i)
            in->r.bad = true;
    }
    out->metrics = p;
}

static void
rules(struct in *in, struct gh_api *out)
{
    struct gh_rule *p = array(in, 17, sizeof(*p), GH_RULES_MAX, &out->nrules);
    size_t i;

    for (i = 0; i < out->nrules; i++) {
        p[i].match = match(in);
        p[i].metric = gh_read_u32(&in->r);
        p[i].cost = gh_read_u32(&in->r);
        p[i].last = flag(in);
        if (p[i].metric >= out->nmetrics)
            in->r.bad = true;
    }
    out->rules = p;
}

static void
jwt_sources(struct in *in, struct gh_api *out)
{
    struct gh_jwt_source *p = array(in, 8, sizeof(*p), MANY, &out->njwt);
    size_t i;

    for (i = 0; i < out->njwt; i++) {
        p[i].idp = bytes(in);
        p[i].audience = bytes(in);
    }
    out->jwt = p;
}

static void
claims(struct in *in, struct gh_api *out)
{
    struct gh_claim_header *p = array(in, 8, sizeof(*p), MANY, &out->nclaims);
    size_t i;

    for (i = 0; i < out->nclaims; i++) {
        p[i].claim = bytes(in);
        p[i].header = bytes(in);
    }
    out->claims = p;
}

int
gh_record_read_api(struct gh_slice s, const struct gh_alloc *a,
                   struct gh_api *out)
{
    struct gh_api v = {0};
    struct in in = open_record(s, a, &v.version);

    v.name = bytes(&in);
    v.hosts = slices(&in, &v.nhosts);
    v.prefix = bytes(&in);
    v.strip_prefix = flag(&in);
    v.service = bytes(&in);
    v.accept = gh_read_u32(&in.r);
    v.key_header = bytes(&in);
    v.key_query = bytes(&in);
    v.key_cookie = bytes(&in);
    v.id_header = bytes(&in);
    v.id_key_header = bytes(&in);
    jwt_sources(&in, &v);
    v.login = bytes(&in);
    v.anonymous_app = bytes(&in);
    v.roles = slices(&in, &v.nroles);
    claims(&in, &v);
    v.keep_credentials = flag(&in);
    v.classic_headers = flag(&in);
    v.rules_only = flag(&in);
    metrics(&in, &v);
    rules(&in, &v);
    v.limits = limits(&in);
    if (done(&in) != 0)
        return -1;
    *out = v;
    return 0;
}

static void
entitlements(struct in *in, struct gh_plan *out)
{
    struct gh_entitlement *p = array(in, 8, sizeof(*p), MANY, &out->napis);
    size_t i, j;

    for (i = 0; i < out->napis; i++) {
        struct gh_match *m;

        p[i].api = bytes(in);
        m = array(in, 8, sizeof(*m), MANY, &p[i].nallow);
        for (j = 0; j < p[i].nallow; j++)
            m[j] = match(in);
        p[i].allow = m;
    }
    out->apis = p;
}

int
gh_record_read_plan(struct gh_slice s, const struct gh_alloc *a,
                    struct gh_plan *out)
{
    struct gh_plan v = {0};
    struct in in = open_record(s, a, &v.version);

    v.name = bytes(&in);
    entitlements(&in, &v);
    v.limits = limits(&in);
    v.store_down = (enum gh_store_down)choice(&in, GH_ALLOW + 1);
    v.bounded_ms = gh_read_u64(&in.r);
    if (done(&in) != 0)
        return -1;
    *out = v;
    return 0;
}

int
gh_record_read_service(struct gh_slice s, const struct gh_alloc *a,
                       struct gh_service *out)
{
    struct gh_service v = {0};
    struct in in = open_record(s, a, &v.version);
    struct gh_endpoint *p;
    size_t i;

    v.name = bytes(&in);
    v.state = bytes(&in);
    p = array(&in, 5, sizeof(*p), MANY, &v.n);
    for (i = 0; i < v.n; i++) {
        p[i].address = bytes(&in);
        p[i].healthy = flag(&in);
    }
    v.endpoints = p;
    if (done(&in) != 0)
        return -1;
    *out = v;
    return 0;
}

static void
public_keys(struct in *in, struct gh_idp *out)
{
    struct gh_public_key *p = array(in, 12, sizeof(*p), MANY, &out->nkeys);
    size_t i;

    for (i = 0; i < out->nkeys; i++) {
        p[i].kid = bytes(in);
        p[i].algs = gh_read_u32(&in->r);
        p[i].jwk = bytes(in);
    }
    out->keys = p;
}

int
gh_record_read_idp(struct gh_slice s, const struct gh_alloc *a,
                   struct gh_idp *out)
{
    struct gh_idp v = {0};
    struct in in = open_record(s, a, &v.version);

    v.name = bytes(&in);
    v.issuer = bytes(&in);
    v.algs = gh_read_u32(&in.r);
    v.skew_ms = gh_read_u64(&in.r);
    v.user_claim = bytes(&in);
    v.client_claim = bytes(&in);
    v.roles_claim = bytes(&in);
    public_keys(&in, &v);
    v.client_id = bytes(&in);
    v.scopes = bytes(&in);
    v.origin = bytes(&in);
    v.authorization_endpoint = bytes(&in);
    v.token_endpoint = bytes(&in);
    v.userinfo_endpoint = bytes(&in);
    v.end_session_endpoint = bytes(&in);
    v.jwks_uri = bytes(&in);
    v.require_iss = flag(&in);
    v.session_idle_ms = gh_read_u64(&in.r);
    v.session_max_ms = gh_read_u64(&in.r);
    if (done(&in) != 0)
        return -1;
    *out = v;
    return 0;
}

int
gh_record_read_account(struct gh_slice s, struct gh_account *out)
{
    struct gh_account v = {0};
    struct in in = open_record(s, NULL, &v.version);

    v.name = bytes(&in);
    v.state = (enum gh_state)choice(&in, GH_SUSPENDED + 1);
    v.plan = bytes(&in);
    if (done(&in) != 0)
        return -1;
    *out = v;
    return 0;
}

int
gh_record_read_app(struct gh_slice s, struct gh_app *out)
{
    struct gh_app v = {0};
    struct in in = open_record(s, NULL, &v.version);

    v.name = bytes(&in);
    v.account = bytes(&in);
    v.plan = bytes(&in);
    v.state = (enum gh_state)choice(&in, GH_SUSPENDED + 1);
    if (done(&in) != 0)
        return -1;
    *out = v;
    return 0;
}

int
gh_record_read_credential(struct gh_slice s, struct gh_credential *out)
{
    struct gh_credential v = {0};
    uint64_t version;
    struct in in = open_record(s, NULL, &version);
    uint8_t kind = gh_read_u8(&in.r);

    if (kind != GH_CRED_KEY && kind != GH_CRED_ID_KEY && kind != GH_CRED_CLIENT)
        return -1;
    v.kind = (enum gh_credential_kind)kind;
    v.id = bytes(&in);
    v.app = bytes(&in);
    v.not_before_ms = gh_read_u64(&in.r);
    v.expires_ms = gh_read_u64(&in.r);
    v.revoked = flag(&in);
    if (done(&in) != 0)
        return -1;
    *out = v;
    return 0;
}

int
gh_record_version(struct gh_slice s, uint64_t *version)
{
    uint64_t v;
    struct in in = open_record(s, NULL, &v);

    if (in.r.bad)
        return -1;
    *version = v;
    return 0;
}
