
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_path.h"
#include "ngx_http_gatehouse_catalog.h"


static ngx_int_t ngx_http_gatehouse_path_hex(u_char *p, u_char *last);
static u_char *ngx_http_gatehouse_path_raw(u_char *p, u_char *last);
static u_char *ngx_http_gatehouse_path_args(u_char *dst, ngx_str_t *args,
    ngx_str_t *secret, ngx_uint_t mask);
static ngx_uint_t ngx_http_gatehouse_path_decoded(u_char *p, u_char *last);
static ngx_uint_t ngx_http_gatehouse_path_named(u_char *p, u_char *last,
    ngx_str_t *name);


/* two hex digits at p, or -1 */

static ngx_int_t
ngx_http_gatehouse_path_hex(u_char *p, u_char *last)
{
    if (last - p < 2) {
        return -1;
    }

    return ngx_hextoi(p, 2);
}


/*
 * What an escape stands for must not be a control character or part of the
 * path's own grammar.
 */

static ngx_uint_t
ngx_http_gatehouse_path_escape(u_char *p, u_char *last)
{
    ngx_int_t  ch;

    ch = ngx_http_gatehouse_path_hex(p, last);

    return !(ch < 0x20 || ch == 0x7f || ch == '/' || ch == '\\');
}


/*
 * The same for a backend that decodes twice: a "%" that is left when all is
 * decoded, however it and its digits were written, begins no such escape.
 */

static ngx_uint_t
ngx_http_gatehouse_path_twice(ngx_str_t *path)
{
    u_char     *p, *last;
    ngx_int_t   ch;

    last = path->data + path->len;

    for (p = path->data;
         (p = ngx_strlchr(p, last, '%')) != NULL;
         p++)
    {
        ch = ngx_http_gatehouse_path_hex(p + 1, last);

        if (ch != -1 && (ch < 0x20 || ch == 0x7f || ch == '/' || ch == '\\'
                         || ch == '.' || ch == '%'))
        {
            return 0;
        }
    }

    return 1;
}


/*
 * The request target as the client sent it.  A segment is a run between
 * slashes; "dots" counts its bytes as long as all of them are dots.  Returns
 * where the query begins, or NULL.
 */

static u_char *
ngx_http_gatehouse_path_raw(u_char *p, u_char *last)
{
    u_char      ch;
    ngx_uint_t  dots, len;

    if (p == last || *p++ != '/') {
        return NULL;
    }

    dots = 0;
    len = 0;

    while (p < last) {
        ch = *p++;

        switch (ch) {

        case '/':
            if (len == 0 || (len == dots && dots <= 2)) {
                return NULL;
            }

            dots = 0;
            len = 0;
            continue;

        case '.':
            dots++;
            break;

        case '%':
            if (!ngx_http_gatehouse_path_escape(p, last)) {
                return NULL;
            }

            if (p[0] == '2' && (p[1] | 0x20) == 'e') {
                dots++;
            }

            p += 2;
            break;

        case '?':
            goto done;

        case ';':
        case '\\':
        case '#':
            return NULL;

        default:
            if (ch <= 0x20 || ch == 0x7f) {
                return NULL;
            }
        }

        len++;
    }

done:

    return (len == 0 || len != dots || dots > 2) ? p : NULL;
}


/* the query: nothing that could end a line or begin a fragment */

static ngx_uint_t
ngx_http_gatehouse_path_query(u_char *p, u_char *last)
{
    for ( /* void */ ; p < last; p++) {
        if (*p <= 0x20 || *p == 0x7f || *p == '#') {
            return 0;
        }
    }

    return 1;
}


/* a path that nginx itself made, by "rewrite" or an internal redirect */

static ngx_uint_t
ngx_http_gatehouse_path_decoded(u_char *p, u_char *last)
{
    u_char  *start;

    if (p == last || *p++ != '/') {
        return 0;
    }

    for (start = p; p < last; p++) {

        if (*p < 0x20 || *p == 0x7f || *p == '\\') {
            return 0;
        }

        if (*p != '/') {
            continue;
        }

        if (p == start || (p - start == 1 && start[0] == '.')
            || (p - start == 2 && start[0] == '.' && start[1] == '.'))
        {
            return 0;
        }

        start = p + 1;
    }

    return !((p - start == 1 && start[0] == '.')
             || (p - start == 2 && start[0] == '.' && start[1] == '.'));
}


ngx_http_gatehouse_fault_t
ngx_http_gatehouse_path_step(ngx_http_request_t *r,
    ngx_http_gatehouse_ctx_t *ctx)
{
    u_char  *last, *query;

    if (r->http_version < NGX_HTTP_VERSION_10) {
        return NGX_HTTP_GATEHOUSE_BAD_PROTOCOL;
    }

    if (!ngx_http_gatehouse_path_twice(&r->uri)) {
        return NGX_HTTP_GATEHOUSE_BAD_PATH;
    }

    /* a named location keeps the raw form, and nginx forwards it */

    if (!r->valid_unparsed_uri) {
        return ngx_http_gatehouse_path_decoded(r->uri.data,
                                               r->uri.data + r->uri.len)
               ? NGX_HTTP_GATEHOUSE_PASS : NGX_HTTP_GATEHOUSE_BAD_PATH;
    }

    last = r->unparsed_uri.data + r->unparsed_uri.len;

    query = ngx_http_gatehouse_path_raw(r->unparsed_uri.data, last);

    if (query == NULL || !ngx_http_gatehouse_path_query(query, last)) {
        return NGX_HTTP_GATEHOUSE_BAD_PATH;
    }

    return NGX_HTTP_GATEHOUSE_PASS;
}


/* the raw form of the first "n" decoded bytes ends here */

static u_char *
ngx_http_gatehouse_path_skip(u_char *p, u_char *last, size_t n)
{
    while (n-- && p < last) {
        p += (*p == '%') ? 3 : 1;
    }

    return p < last ? p : last;
}


ngx_int_t
ngx_http_gatehouse_path_forward(ngx_http_request_t *r, size_t prefix,
    ngx_str_t *secret)
{
    u_char  *p, *path, *raw, *raw_end, *args;

    if (prefix == 0 && secret->len == 0) {
        return NGX_OK;
    }

    /* once for the decoded path, once for the raw target, each with a "/" */

    p = ngx_pnalloc(r->pool, 1 + r->uri.len + 1 + r->unparsed_uri.len + 1
                             + r->args.len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    path = p;

    if (prefix == r->uri.len || r->uri.data[prefix] != '/') {
        *p++ = '/';
    }

    p = ngx_cpymem(p, r->uri.data + prefix, r->uri.len - prefix);

    raw = r->unparsed_uri.data;
    raw_end = ngx_strlchr(raw, raw + r->unparsed_uri.len, '?');
    if (raw_end == NULL) {
        raw_end = raw + r->unparsed_uri.len;
    }

    if (r->valid_unparsed_uri) {
        raw = ngx_http_gatehouse_path_skip(raw, raw_end, prefix);

    } else {
        raw = raw_end;      /* not what is forwarded; keep no secret in it */
    }

    r->uri.data = path;
    r->uri.len = p - path;

    path = p;

    if (raw == raw_end || *raw != '/') {
        *p++ = '/';
    }

    p = ngx_cpymem(p, raw, raw_end - raw);

    if (r->args.len) {
        *p++ = '?';
        args = p;
        p = ngx_http_gatehouse_path_args(p, &r->args, secret, 0);

        r->args.data = args;
        r->args.len = p - args;

        if (p == args) {
            p--;            /* the "?" goes with the last parameter */
        }
    }

    r->unparsed_uri.data = path;
    r->unparsed_uri.len = p - path;

    /* the location's prefix may be gone: proxy_pass must not cut it off */

    r->valid_location = 0;

    return NGX_OK;
}


/* whether the parameter [p, last) "a=b" has this name once decoded */

static ngx_uint_t
ngx_http_gatehouse_path_named(u_char *p, u_char *last, ngx_str_t *name)
{
    size_t     i;
    ngx_int_t  ch;

    for (i = 0; i < name->len; i++, p++) {

        if (p == last) {
            return 0;
        }

        ch = *p;

        if (ch == '%') {
            ch = ngx_http_gatehouse_path_hex(p + 1, last);
            p += 2;
        }

        if (ch != name->data[i]) {
            return 0;
        }
    }

    return p == last || *p == '=';
}


ngx_uint_t
ngx_http_gatehouse_path_arg(ngx_http_request_t *r, ngx_str_t *name,
    ngx_str_t *value)
{
    u_char      *p, *next, *last, *src, *dst;
    ngx_uint_t   n;

    n = 0;
    last = r->args.data + r->args.len;

    for (p = r->args.data; p < last; p = next + 1) {

        next = ngx_strlchr(p, last, '&');
        if (next == NULL) {
            next = last;
        }

        if (!ngx_http_gatehouse_path_named(p, next, name)) {
            continue;
        }

        if (n++) {
            continue;
        }

        src = ngx_strlchr(p, next, '=');
        src = src ? src + 1 : next;

        value->data = src;
        value->len = next - src;

        if (ngx_strlchr(src, next, '%') == NULL) {
            continue;
        }

        dst = ngx_pnalloc(r->pool, next - src);
        if (dst == NULL) {
            value->len = 0;
            continue;
        }

        value->data = dst;
        ngx_unescape_uri(&dst, &src, next - src, 0);
        value->len = dst - value->data;
    }

    return n;
}


/*
 * Writes "args" to "dst" without the parameter "secret", or, if "mask" is set,
 * with its value as "***": 4 bytes more per parameter at most.
 */

static u_char *
ngx_http_gatehouse_path_args(u_char *dst, ngx_str_t *args, ngx_str_t *secret,
    ngx_uint_t mask)
{
    u_char  *p, *next, *last, *start, *eq;

    if (secret->len == 0) {
        return ngx_cpymem(dst, args->data, args->len);
    }

    start = dst;
    last = args->data + args->len;

    for (p = args->data; p < last; p = next + 1) {

        next = ngx_strlchr(p, last, '&');
        if (next == NULL) {
            next = last;
        }

        if (ngx_http_gatehouse_path_named(p, next, secret)) {

            if (!mask) {
                continue;
            }

            eq = ngx_strlchr(p, next, '=');

            if (dst != start) {
                *dst++ = '&';
            }

            dst = ngx_cpymem(dst, p, (eq ? eq : next) - p);
            dst = ngx_cpymem(dst, "=***", 4);
            continue;
        }

        if (dst != start) {
            *dst++ = '&';
        }

        dst = ngx_cpymem(dst, p, next - p);
    }

    return dst;
}


static ngx_uint_t
ngx_http_gatehouse_path_has(ngx_str_t *args, ngx_str_t *name)
{
    u_char  *p, *next, *last;

    last = args->data + args->len;

    for (p = args->data; p < last; p = next + 1) {

        next = ngx_strlchr(p, last, '&');
        if (next == NULL) {
            next = last;
        }

        if (ngx_http_gatehouse_path_named(p, next, name)) {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_http_gatehouse_path_mask(ngx_http_request_t *r, ngx_str_t *target)
{
    u_char       *p, *q, *last, *dst;
    size_t        n;
    ngx_str_t     args, *names;
    ngx_int_t     rc;
    ngx_uint_t    i;
    ngx_array_t  *secrets;

    secrets = ngx_http_gatehouse_catalog_secret_args();
    last = target->data + target->len;
    names = secrets->elts;
    rc = NGX_DECLINED;

    if (secrets->nelts == 0 || target->len == 0) {
        return rc;
    }

    p = ngx_strlchr(target->data, last, '?');
    if (p == NULL) {
        return rc;
    }

    p++;
    args.data = p;
    args.len = last - p;

    for (i = 0; i < secrets->nelts; i++) {

        if (!ngx_http_gatehouse_path_has(&args, &names[i])) {
            continue;
        }

        for (n = 1, q = args.data; q < args.data + args.len; q++) {
            n += (*q == '&');
        }

        dst = ngx_pnalloc(r->pool, args.len + 4 * n);
        if (dst == NULL) {
            return NGX_ERROR;
        }

        args.len = ngx_http_gatehouse_path_args(dst, &args, &names[i], 1)
                   - dst;
        args.data = dst;
        rc = NGX_OK;
    }

    if (rc != NGX_OK) {
        return rc;
    }

    n = p - target->data;

    dst = ngx_pnalloc(r->pool, n + args.len);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(ngx_cpymem(dst, target->data, n), args.data, args.len);

    target->data = dst;
    target->len = n + args.len;

    return NGX_OK;
}


ngx_int_t
ngx_http_gatehouse_path_mask_line(ngx_http_request_t *r)
{
    u_char     *p;
    size_t      len;
    ngx_int_t   rc;
    ngx_str_t   target;

    target = r->unparsed_uri;

    rc = ngx_http_gatehouse_path_mask(r, &target);

    if (rc != NGX_OK) {
        return rc;
    }

    len = r->method_name.len + 1 + target.len + 1 + r->http_protocol.len;

    p = ngx_pnalloc(r->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    r->request_line.data = p;
    r->request_line.len = ngx_sprintf(p, "%V %V %V", &r->method_name, &target,
                                      &r->http_protocol)
                          - p;

    return NGX_OK;
}
