
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_credential.h"
#include "ngx_http_gatehouse_catalog.h"
#include "ngx_http_gatehouse_path.h"


static ngx_http_gatehouse_name_t  ngx_http_gatehouse_authorization = {
    ngx_string("Authorization"), ngx_string("authorization"), 0
};

static ngx_str_t  ngx_http_gatehouse_session_cookie =
    ngx_string(GH_SESSION_COOKIE);


void
ngx_http_gatehouse_credential_init(void)
{
    ngx_http_gatehouse_authorization.hash =
        ngx_hash_key(ngx_http_gatehouse_authorization.lowcase.data,
                     ngx_http_gatehouse_authorization.lowcase.len);
}


#define ngx_http_gatehouse_is(h, n)                                           \
    ((h)->hash == (n)->hash && (h)->key.len == (n)->lowcase.len               \
     && ngx_memcmp((h)->lowcase_key, (n)->lowcase.data, (h)->key.len) == 0)


/* one more credential: its source and text */

static void
ngx_http_gatehouse_found(ngx_http_gatehouse_ctx_t *ctx, ngx_uint_t *n,
    ngx_http_gatehouse_source_t source, ngx_str_t *text)
{
    (*n)++;
    ctx->source = source;
    ctx->credential = *text;
}


/*
 * Walks over one Cookie line.  Each call gives the next "name=value", where it
 * begins and ends in the line, without the blanks around it.
 */

static ngx_uint_t
ngx_http_gatehouse_cookie_next(u_char **at, u_char *last, ngx_str_t *pair)
{
    u_char  *p;

    p = *at;

    while (p < last && (*p == ' ' || *p == '\t' || *p == ';')) {
        p++;
    }

    if (p == last) {
        return 0;
    }

    pair->data = p;

    while (p < last && *p != ';') {
        p++;
    }

    *at = p;

    while (p[-1] == ' ' || p[-1] == '\t') {
        p--;
    }

    pair->len = p - pair->data;

    return 1;
}


static ngx_uint_t
ngx_http_gatehouse_cookie_is(ngx_str_t *pair, ngx_str_t *name)
{
    return pair->len > name->len && pair->data[name->len] == '='
           && ngx_memcmp(pair->data, name->data, name->len) == 0;
}


/* keys and login sessions in cookies */

static void
ngx_http_gatehouse_credential_cookies(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx, ngx_uint_t *n)
{
    u_char            *p, *last;
    ngx_str_t          pair, value, key;
    ngx_uint_t         i;
    ngx_table_elt_t  **h;

    h = r->headers_in.cookies.elts;
    ngx_http_gatehouse_slice(&key, ctx->api->api.key_cookie);

    for (i = 0; i < r->headers_in.cookies.nelts; i++) {
        p = h[i]->value.data;
        last = p + h[i]->value.len;

        while (ngx_http_gatehouse_cookie_next(&p, last, &pair)) {

            if (ngx_http_gatehouse_cookie_is(&pair,
                                          &ngx_http_gatehouse_session_cookie))
            {
                ctx->has_session = 1;

                if (ctx->api->api.accept & GH_ACCEPT_SESSION) {
                    value.data = pair.data
                                 + ngx_http_gatehouse_session_cookie.len + 1;
                    value.len = pair.data + pair.len - value.data;
                    ngx_http_gatehouse_found(ctx, n,
                                             NGX_HTTP_GATEHOUSE_SESSION,
                                             &value);
                }

            } else if ((ctx->api->api.accept & GH_ACCEPT_KEY_COOKIE)
                       && ngx_http_gatehouse_cookie_is(&pair, &key))
            {
                value.data = pair.data + key.len + 1;
                value.len = pair.data + pair.len - value.data;
                ngx_http_gatehouse_found(ctx, n, NGX_HTTP_GATEHOUSE_KEY_COOKIE,
                                         &value);
            }
        }
    }
}


static ngx_uint_t
ngx_http_gatehouse_bearer(ngx_str_t *value, ngx_str_t *token)
{
    u_char  *p, *last;

    if (value->len < 7
        || ngx_strncasecmp(value->data, (u_char *) "bearer", 6) != 0
        || value->data[6] != ' ')
    {
        return 0;
    }

    p = value->data + 7;
    last = value->data + value->len;

    while (p < last && *p == ' ') {
        p++;
    }

    token->data = p;
    token->len = last - p;

    return 1;
}


static void
ngx_http_gatehouse_credential_headers(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx, ngx_uint_t *n)
{
    uint32_t                   accept;
    ngx_str_t                  token;
    ngx_uint_t                 i, ids;
    ngx_list_part_t           *part;
    ngx_table_elt_t           *h;
    ngx_http_gatehouse_api_t  *api;

    api = ctx->api;
    accept = api->api.accept;
    ids = 0;

    part = &r->headers_in.headers.part;
    h = part->elts;

    for (i = 0; /* void */ ; i++) {

        if (i >= part->nelts) {
            if (part->next == NULL) {
                break;
            }

            part = part->next;
            h = part->elts;
            i = 0;

            if (part->nelts == 0) {
                continue;
            }
        }

        if ((accept & GH_ACCEPT_KEY_HEADER)
            && ngx_http_gatehouse_is(&h[i], &api->key))
        {
            ctx->header = &h[i];
            ngx_http_gatehouse_found(ctx, n, NGX_HTTP_GATEHOUSE_KEY_HEADER,
                                     &h[i].value);

        } else if ((accept & GH_ACCEPT_JWT)
                   && ngx_http_gatehouse_is(&h[i],
                                            &ngx_http_gatehouse_authorization)
                   && ngx_http_gatehouse_bearer(&h[i].value, &token))
        {
            ctx->header = &h[i];
            ngx_http_gatehouse_found(ctx, n, NGX_HTTP_GATEHOUSE_BEARER,
                                     &token);

        } else if (accept & GH_ACCEPT_ID_KEY) {

            if (ngx_http_gatehouse_is(&h[i], &api->id_key)) {
                ctx->header = &h[i];
                ngx_http_gatehouse_found(ctx, n, NGX_HTTP_GATEHOUSE_ID_KEY,
                                         &h[i].value);

            } else if (ngx_http_gatehouse_is(&h[i], &api->id)) {
                ctx->id_header = &h[i];
                ctx->id = h[i].value;
                ids++;
            }
        }
    }

    /* an id says nothing alone; two of them are two credentials */

    if (ids > 1) {
        *n += ids;
    }
}


ngx_http_gatehouse_fault_t
ngx_http_gatehouse_credential_step(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    uint32_t    accept;
    ngx_str_t   name, value;
    ngx_uint_t  n, i;

    n = 0;
    accept = ctx->api->api.accept;

    if (accept & (GH_ACCEPT_KEY_HEADER|GH_ACCEPT_JWT|GH_ACCEPT_ID_KEY)) {
        ngx_http_gatehouse_credential_headers(r, ctx, &n);
    }

    if (r->headers_in.cookies.nelts) {
        ngx_http_gatehouse_credential_cookies(r, ctx, &n);
    }

    if ((accept & GH_ACCEPT_KEY_QUERY) && r->args.len) {
        ngx_http_gatehouse_slice(&name, ctx->api->api.key_query);

        i = ngx_http_gatehouse_path_arg(r, &name, &value);

        if (i) {
            ngx_http_gatehouse_found(ctx, &n, NGX_HTTP_GATEHOUSE_KEY_QUERY,
                                     &value);
            n += i - 1;
        }
    }

    if (n > 1) {
        return NGX_HTTP_GATEHOUSE_DUPLICATE_CREDENTIAL;
    }

    if (n == 0 && (accept & GH_ACCEPT_ANONYMOUS)) {
        ctx->source = NGX_HTTP_GATEHOUSE_ANONYMOUS;
    }

    return NGX_HTTP_GATEHOUSE_PASS;
}


/* the line without the cookies that are ours */

static ngx_int_t
ngx_http_gatehouse_cookie_cut(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx, ngx_str_t *line)
{
    u_char      *p, *last, *dst, *start;
    ngx_str_t    pair, key;
    ngx_uint_t   ours, cut;

    ngx_str_null(&key);

    if ((ctx->api->api.accept & GH_ACCEPT_KEY_COOKIE)
        && !ctx->api->api.keep_credentials)
    {
        ngx_http_gatehouse_slice(&key, ctx->api->api.key_cookie);
    }

    /* separators become "; ": one byte more than the shortest form each */

    start = ngx_pnalloc(r->pool, 2 * line->len + 1);
    if (start == NULL) {
        return NGX_ERROR;
    }

    dst = start;
    cut = 0;
    p = line->data;
    last = p + line->len;

    while (ngx_http_gatehouse_cookie_next(&p, last, &pair)) {

        ours = ngx_http_gatehouse_cookie_is(&pair,
                                            &ngx_http_gatehouse_session_cookie)
               || (key.len && ngx_http_gatehouse_cookie_is(&pair, &key));

        if (ours) {
            cut = 1;
            continue;
        }

        if (dst != start) {
            *dst++ = ';';
            *dst++ = ' ';
        }

        dst = ngx_cpymem(dst, pair.data, pair.len);
    }

    if (cut) {
        line->data = start;
        line->len = dst - start;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_gatehouse_credential_remove(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    ngx_uint_t         i;
    ngx_table_elt_t  **h;

    if (ctx->api->api.keep_credentials) {
        ctx->header = NULL;
        ctx->id_header = NULL;

    } else if (ctx->header
               && ctx->header == r->headers_in.authorization)
    {
        r->headers_in.authorization = NULL;
    }

    if (!ctx->has_session && ctx->source != NGX_HTTP_GATEHOUSE_KEY_COOKIE) {
        return NGX_OK;
    }

    h = r->headers_in.cookies.elts;

    for (i = 0; i < r->headers_in.cookies.nelts; i++) {

        if (ngx_http_gatehouse_cookie_cut(r, ctx, &h[i]->value) != NGX_OK) {
            return NGX_ERROR;
        }

        /* nothing is left of the line: its place is free */

        if (h[i]->value.len == 0 && ctx->header == NULL) {
            ctx->header = h[i];
        }
    }

    return NGX_OK;
}
