
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_headers.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_credential.h"
#include "ngx_http_gatehouse_outward.h"
#include "ngx_http_gatehouse_path.h"
#include "ngx_http_gatehouse_worker.h"


#define NGX_HTTP_GATEHOUSE_CLAIM_MAX  4096  /* bytes of one claim header */


/*
 * Headers to the backend:  X(NAME, header, what)
 */

#define NGX_HTTP_GATEHOUSE_FORWARDED(X)                                       \
    X(ACCOUNT, "X-Gatehouse-Account", "the account of the application")       \
    X(APPLICATION, "X-Gatehouse-Application", "the application that calls")   \
    X(PLAN, "X-Gatehouse-Plan", "its plan")                                   \
    X(USER, "X-Gatehouse-User", "the user, after a login or by a token")      \
    X(OVER, "X-Gatehouse-Over", "the soft limit that is passed")              \
    X(DECISION, "X-Gatehouse-Decision", "the decision's id")

enum {
#define X(name, header, what)  NGX_HTTP_GATEHOUSE_##name##_HEADER,
    NGX_HTTP_GATEHOUSE_FORWARDED(X)
#undef X
    NGX_HTTP_GATEHOUSE_NHEADERS
};


static ngx_http_gatehouse_name_t
    ngx_http_gatehouse_names[NGX_HTTP_GATEHOUSE_NHEADERS] = {
#define X(name, header, what)  { ngx_string(header), ngx_null_string, 0 },
    NGX_HTTP_GATEHOUSE_FORWARDED(X)
#undef X
};

static u_char  ngx_http_gatehouse_lowcase[NGX_HTTP_GATEHOUSE_NHEADERS][32];
static ngx_uint_t  ngx_http_gatehouse_connection_hash;


static void ngx_http_gatehouse_clean_connection(ngx_table_elt_t *h);


void
ngx_http_gatehouse_headers_init(void)
{
    ngx_uint_t                  i;
    ngx_http_gatehouse_name_t  *name;

    for (i = 0; i < NGX_HTTP_GATEHOUSE_NHEADERS; i++) {
        name = &ngx_http_gatehouse_names[i];

        name->lowcase.len = name->name.len;
        name->lowcase.data = ngx_http_gatehouse_lowcase[i];
        name->hash = ngx_hash_strlow(name->lowcase.data, name->name.data,
                                     name->name.len);
    }

    ngx_http_gatehouse_connection_hash = ngx_hash_key((u_char *) "connection",
                                                      10);
}


/* "X-Gatehouse-..." and "Gatehouse-...", also with "_" or "." for "-" */

static ngx_uint_t
ngx_http_gatehouse_ours(u_char *p, size_t len)
{
    if (len > 2 && p[0] == 'x' && (p[1] == '-' || p[1] == '_' || p[1] == '.'))
    {
        p += 2;
        len -= 2;
    }

    if (len < 9 || p[0] != 'g' || ngx_memcmp(p, "gatehouse", 9) != 0) {
        return 0;
    }

    return len == 9 || p[9] == '-' || p[9] == '_' || p[9] == '.';
}


/*
 * Takes element i out of its part without moving any element: others point to
 * them.  Sets part and i to what comes next.
 */

static ngx_int_t
ngx_http_gatehouse_remove(ngx_http_request_t *r, ngx_list_part_t **at,
    ngx_uint_t *i)
{
    ngx_list_t       *list;
    ngx_list_part_t  *part, *rest;
    ngx_table_elt_t  *h;

    list = &r->headers_in.headers;
    part = *at;
    h = part->elts;

    if (*i + 1 == part->nelts) {
        part->nelts--;
        return NGX_OK;
    }

    if (*i == 0) {
        part->elts = h + 1;
        part->nelts--;

        if (list->last == part) {
            list->nalloc--;     /* the room that is left in the last part */
        }

        return NGX_OK;
    }

    rest = ngx_palloc(r->pool, sizeof(ngx_list_part_t));
    if (rest == NULL) {
        return NGX_ERROR;
    }

    rest->elts = h + *i + 1;
    rest->nelts = part->nelts - *i - 1;
    rest->next = part->next;

    part->nelts = *i;
    part->next = rest;

    if (list->last == part) {
        list->last = rest;
        list->nalloc -= *i + 1;
    }

    *at = rest;
    *i = 0;

    return NGX_OK;
}


/*
 * The host of an absolute target is the one that counts, and the Host header
 * is to be replaced by it (RFC 9112, section 3.2.2).
 */

static ngx_int_t
ngx_http_gatehouse_target_host(ngx_http_request_t *r)
{
    u_char  *p, *end;
    size_t   len;

    if (r->headers_in.host == NULL || r->internal) {
        return NGX_OK;
    }

    for (end = r->host_end;
         end < r->request_line.data + r->request_line.len
         && (*end == ':' || (*end >= '0' && *end <= '9'));
         end++)
    {
        /* the port */
    }

    len = end - r->host_start;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, r->host_start, len);

    r->headers_in.host->value.data = p;
    r->headers_in.host->value.len = len;

    return NGX_OK;
}


ngx_int_t
ngx_http_gatehouse_strip_handler(ngx_http_request_t *r)
{
    ngx_http_gatehouse_ctx_t  *ctx;

    if (ngx_http_gatehouse_worker.conf == NULL) {
        return NGX_DECLINED;
    }

    r->log_handler = ngx_http_gatehouse_log_error;

    if (r->internal) {
        ctx = ngx_http_gatehouse_get_ctx(r);

        if (ctx && ctx->allowed) {
            return NGX_DECLINED;    /* the headers are what the gate put in */
        }
    }

    /* first of all: what is masked and taken out is in the catalog */

    (void) ngx_http_gatehouse_catalog_begin();

    if (r->host_start && ngx_http_gatehouse_target_host(r) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (r->args.len && ngx_http_gatehouse_path_mask_line(r) == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    return ngx_http_gatehouse_strip(r) == NGX_OK
           ? NGX_DECLINED : NGX_HTTP_INTERNAL_SERVER_ERROR;
}


ngx_int_t
ngx_http_gatehouse_strip(ngx_http_request_t *r)
{
    u_char           *p;
    ngx_uint_t        i, claims;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    /* without a catalog there is no API, and so no claim header either */

    claims = ngx_http_gatehouse_catalog_begin() == NGX_OK
             && ngx_http_gatehouse_catalog_has_reserved();

    part = &r->headers_in.headers.part;

    for (i = 0; /* void */ ; /* void */ ) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            i = 0;
            continue;
        }

        h = (ngx_table_elt_t *) part->elts + i;
        p = h->lowcase_key;

        if (((p[0] == 'x' || p[0] == 'g')
             && ngx_http_gatehouse_ours(p, h->key.len))
            || (claims && ngx_http_gatehouse_catalog_reserved(p, h->key.len)))
        {
            if (ngx_http_gatehouse_remove(r, &part, &i) != NGX_OK) {
                return NGX_ERROR;
            }

            continue;
        }

        if (h->hash == ngx_http_gatehouse_connection_hash
            && h->key.len == 10 && ngx_memcmp(p, "connection", 10) == 0)
        {
            ngx_http_gatehouse_clean_connection(h);
        }

        i++;
    }

    return NGX_OK;
}


/*
 * A header named in Connection is one that the next hop would drop: a client
 * may not name ours there.  What HTTP itself uses stays, in place.
 */

static void
ngx_http_gatehouse_clean_connection(ngx_table_elt_t *h)
{
    u_char            *p, *dst, *last, *start;
    size_t             len;
    ngx_uint_t         i;
    static ngx_str_t   known[] = {
        ngx_string("close"), ngx_string("keep-alive"), ngx_string("upgrade"),
        ngx_string("te"), ngx_string("http2-settings")
    };

    dst = h->value.data;
    last = h->value.data + h->value.len;

    for (p = h->value.data; p < last; p++) {

        while (p < last && (*p == ' ' || *p == '\t' || *p == ',')) {
            p++;
        }

        start = p;

        while (p < last && *p != ',') {
            p++;
        }

        len = p - start;

        while (len && (start[len - 1] == ' ' || start[len - 1] == '\t')) {
            len--;
        }

        for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {

            if (known[i].len != len
                || ngx_strncasecmp(known[i].data, start, len) != 0)
            {
                continue;
            }

            if (dst != h->value.data) {
                *dst++ = ',';
            }

            dst = ngx_movemem(dst, start, len);
            break;
        }
    }

    h->value.len = dst - h->value.data;
}


/* in the place of a header that was taken away, or at the end of the list */

static ngx_int_t
ngx_http_gatehouse_add(ngx_http_request_t *r, ngx_http_gatehouse_ctx_t *ctx,
    ngx_http_gatehouse_name_t *name, ngx_str_t *value)
{
    ngx_table_elt_t  *h;

    if (ctx->header) {
        h = ctx->header;
        ctx->header = NULL;

    } else if (ctx->id_header) {
        h = ctx->id_header;
        ctx->id_header = NULL;

    } else {
        h = ngx_list_push(&r->headers_in.headers);
        if (h == NULL) {
            return NGX_ERROR;
        }
    }

    h->hash = name->hash;
    h->key = name->name;
    h->lowcase_key = name->lowcase.data;
    h->value = *value;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gatehouse_add_claims(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    size_t     i;
    char      *buf;
    ssize_t    n;
    ngx_str_t  value;

    for (i = 0; i < ctx->api->api.nclaims; i++) {

        buf = ngx_pnalloc(r->pool, NGX_HTTP_GATEHOUSE_CLAIM_MAX);
        if (buf == NULL) {
            return NGX_ERROR;
        }

        n = gh_identity_header(ctx->identity, ctx->api->api.claims[i].claim,
                               buf, NGX_HTTP_GATEHOUSE_CLAIM_MAX);

        if (n < 0) {

            /* nothing is cut: a half list of groups would be a lie */

            ngx_log_error(NGX_LOG_WARN, r->connection->log, 0,
                          "claim \"%*s\" is longer than %d bytes: header "
                          "left out", ctx->api->api.claims[i].claim.len,
                          ctx->api->api.claims[i].claim.data,
                          NGX_HTTP_GATEHOUSE_CLAIM_MAX);
        }

        if (n <= 0) {
            continue;
        }

        value.data = (u_char *) buf;
        value.len = n;

        if (ngx_http_gatehouse_add(r, ctx, &ctx->api->claims[i], &value)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


ngx_http_gatehouse_fault_t
ngx_http_gatehouse_forward_step(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_str_t   value, secret;
    ngx_uint_t  i;
    ngx_str_t  *values[NGX_HTTP_GATEHOUSE_NHEADERS];

    if (ngx_http_gatehouse_credential_remove(r, ctx) != NGX_OK) {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    value.data = ctx->decision;
    value.len = NGX_HTTP_GATEHOUSE_DECISION_LEN;

    values[NGX_HTTP_GATEHOUSE_ACCOUNT_HEADER] = &ctx->account;
    values[NGX_HTTP_GATEHOUSE_APPLICATION_HEADER] = &ctx->app;
    values[NGX_HTTP_GATEHOUSE_PLAN_HEADER] = &ctx->plan->kept.name;
    values[NGX_HTTP_GATEHOUSE_USER_HEADER] = &ctx->user;
    values[NGX_HTTP_GATEHOUSE_OVER_HEADER] = &ctx->over;
    values[NGX_HTTP_GATEHOUSE_DECISION_HEADER] = &value;

    for (i = 0; i < NGX_HTTP_GATEHOUSE_NHEADERS; i++) {

        if (values[i]->len == 0) {
            continue;
        }

        if (ngx_http_gatehouse_add(r, ctx, &ngx_http_gatehouse_names[i],
                                   values[i])
            != NGX_OK)
        {
            return NGX_HTTP_GATEHOUSE_ERROR;
        }
    }

    if (ctx->identity && ctx->api->api.nclaims
        && ngx_http_gatehouse_add_claims(r, ctx) != NGX_OK)
    {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    ngx_str_null(&secret);

    if (ctx->source == NGX_HTTP_GATEHOUSE_KEY_QUERY
        && !ctx->api->api.keep_credentials)
    {
        ngx_http_gatehouse_slice(&secret, ctx->api->api.key_query);
    }

    if (ngx_http_gatehouse_path_forward(r,
                                        ctx->api->api.strip_prefix
                                        ? ctx->prefix : 0, &secret)
        != NGX_OK)
    {
        return NGX_HTTP_GATEHOUSE_ERROR;
    }

    return NGX_HTTP_GATEHOUSE_PASS;
}
