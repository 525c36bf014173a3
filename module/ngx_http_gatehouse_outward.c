
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_outward.h"


static ngx_http_output_header_filter_pt  ngx_http_gatehouse_next_header_filter;


/* without its query: that may hold a key */

static ngx_str_t
ngx_http_gatehouse_plain_url(ngx_str_t *url)
{
    size_t     i;
    ngx_str_t  plain;

    plain = *url;

    for (i = 0; i < plain.len; i++) {
        if (plain.data[i] == '?' || plain.data[i] == '#') {
            plain.len = i;
            break;
        }
    }

    return plain;
}


static u_char *
ngx_http_gatehouse_log_upstream(ngx_http_upstream_t *u, u_char *buf,
    u_char *last)
{
    char       *separator;
    ngx_str_t   plain;

    separator = "";

#if (NGX_HAVE_UNIX_DOMAIN)
    if (u->peer.sockaddr && u->peer.sockaddr->sa_family == AF_UNIX) {
        separator = ":";
    }
#endif

    plain = ngx_http_gatehouse_plain_url(&u->uri);

    return ngx_slprintf(buf, last, ", upstream: \"%V%V%s%V\"", &u->schema,
                        u->peer.name, separator, &plain);
}


u_char *
ngx_http_gatehouse_log_error(ngx_http_request_t *r, ngx_http_request_t *sr,
    u_char *buf, size_t len)
{
    u_char                    *last;
    ngx_str_t                  plain;
    ngx_http_core_srv_conf_t  *cscf;

    last = buf + len;

    cscf = ngx_http_get_module_srv_conf(r, ngx_http_core_module);

    buf = ngx_slprintf(buf, last, ", server: %V, request: \"%V\"",
                       &cscf->server_name, &r->request_line);

    if (r != sr) {
        buf = ngx_slprintf(buf, last, ", subrequest: \"%V\"", &sr->uri);
    }

    if (sr->upstream && sr->upstream->peer.name) {
        buf = ngx_http_gatehouse_log_upstream(sr->upstream, buf, last);
    }

    if (r->headers_in.host) {
        buf = ngx_slprintf(buf, last, ", host: \"%V\"",
                           &r->headers_in.host->value);
    }

    if (r->headers_in.referer) {
        plain = ngx_http_gatehouse_plain_url(&r->headers_in.referer->value);
        buf = ngx_slprintf(buf, last, ", referrer: \"%V\"", &plain);
    }

    return buf;
}


/* a cookie of ours: a service that set it would log its callers in */

static ngx_uint_t
ngx_http_gatehouse_own_cookie(ngx_str_t *value)
{
    u_char  *p, *last;

    p = value->data;
    last = p + value->len;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    return ((size_t) (last - p) >= sizeof("__Host-gatehouse") - 1
            && ngx_strncasecmp(p, (u_char *) "__Host-gatehouse",
                               sizeof("__Host-gatehouse") - 1) == 0)
           || ((size_t) (last - p) >= sizeof("__Secure-gatehouse") - 1
               && ngx_strncasecmp(p, (u_char *) "__Secure-gatehouse",
                                  sizeof("__Secure-gatehouse") - 1) == 0);
}


static ngx_int_t
ngx_http_gatehouse_header_filter(ngx_http_request_t *r)
{
    ngx_uint_t        i;
    ngx_list_part_t  *part;
    ngx_table_elt_t  *h;

    if (r->upstream == NULL || ngx_http_gatehouse_get_ctx(r) == NULL) {
        return ngx_http_gatehouse_next_header_filter(r);
    }

    for (part = &r->headers_out.headers.part; part; part = part->next) {
        h = part->elts;

        for (i = 0; i < part->nelts; i++) {
            if (h[i].key.len == sizeof("Set-Cookie") - 1
                && ngx_strncasecmp(h[i].key.data, (u_char *) "Set-Cookie",
                                   sizeof("Set-Cookie") - 1) == 0
                && ngx_http_gatehouse_own_cookie(&h[i].value))
            {
                h[i].hash = 0;      /* is not sent */
            }
        }
    }

    return ngx_http_gatehouse_next_header_filter(r);
}


void
ngx_http_gatehouse_outward_init(void)
{
    ngx_http_gatehouse_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_gatehouse_header_filter;
}
