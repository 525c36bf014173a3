
/*
 * SPDX-License-Identifier: Apache-2.0
 */


#include "ngx_http_gatehouse_kept.h"
#include "ngx_http_gatehouse_worker.h"

#include "record.h"


typedef struct {
    uint32_t                        hash;
    ngx_str_t                       host;
    ngx_http_gatehouse_api_t       *api;
} ngx_http_gatehouse_route_t;


/* of all APIs, made anew when one of them changed */

static struct {
    ngx_http_gatehouse_route_t     *routes;
    ngx_uint_t                      mask;
    size_t                          longest;    /* prefix */
    ngx_array_t                     reserved;   /* of ngx_str_t, lower case */
    ngx_array_t                     secrets;    /* of ngx_str_t */
    ngx_pool_t                     *pool;
} ngx_http_gatehouse_all;


static int
ngx_http_gatehouse_routes_seen(void *ctx, struct gh_slice name,
    struct gh_slice value)
{
    ngx_uint_t  *changed = ctx;

    uint64_t                    version;
    ngx_http_gatehouse_kept_t  *kept;

    kept = *ngx_http_gatehouse_kept_place(&ngx_http_gatehouse_apis, name);

    if (kept && gh_record_version(value, &version) == 0
        && kept->version == version)
    {
        kept->checked = ngx_http_gatehouse_catalog_generation();
        return 0;
    }

    *changed = 1;

    /* one that does not load is not published; the others are */

    (void) ngx_http_gatehouse_kept_api(name);

    return 0;
}


static ngx_int_t
ngx_http_gatehouse_routes_add(ngx_array_t *array, ngx_str_t *text)
{
    ngx_str_t   *s;
    ngx_uint_t   i;

    s = array->elts;

    for (i = 0; i < array->nelts; i++) {
        if (s[i].len == text->len
            && ngx_memcmp(s[i].data, text->data, text->len) == 0)
        {
            return NGX_OK;
        }
    }

    s = ngx_array_push(array);
    if (s == NULL) {
        return NGX_ERROR;
    }

    *s = *text;

    return NGX_OK;
}


static void
ngx_http_gatehouse_routes_publish(ngx_http_gatehouse_route_t *routes,
    ngx_uint_t mask, ngx_http_gatehouse_api_t *api)
{
    size_t           i, len;
    uint32_t         hash;
    ngx_uint_t       n;
    struct gh_slice  host, prefix;

    prefix = api->api.prefix;
    len = prefix.len == 1 ? 0 : prefix.len;     /* "/" */

    for (i = 0; i < api->api.nhosts; i++) {
        host = api->api.hosts[i];

        hash = ngx_http_gatehouse_fnv(NGX_HTTP_GATEHOUSE_FNV, host.data,
                                      host.len);
        hash = ngx_http_gatehouse_fnv(hash, (u_char *) "", 1);
        hash = ngx_http_gatehouse_fnv(hash, prefix.data, len);

        for (n = hash & mask; routes[n].api; n = (n + 1) & mask) { /* void */ }

        routes[n].hash = hash;
        routes[n].api = api;
        ngx_http_gatehouse_slice(&routes[n].host, host);
    }

    if (ngx_http_gatehouse_all.longest < len) {
        ngx_http_gatehouse_all.longest = len;
    }
}


void
ngx_http_gatehouse_routes_drop(void)
{
    if (ngx_http_gatehouse_all.pool) {
        ngx_destroy_pool(ngx_http_gatehouse_all.pool);
    }

    ngx_http_gatehouse_all.pool = NULL;
    ngx_http_gatehouse_all.routes = NULL;
    ngx_http_gatehouse_all.reserved.nelts = 0;
    ngx_http_gatehouse_all.secrets.nelts = 0;
}


static ngx_int_t
ngx_http_gatehouse_routes_rebuild(void)
{
    size_t                       i;
    ngx_str_t                    arg;
    ngx_uint_t                   n, size;
    ngx_pool_t                  *pool;
    ngx_array_t                  reserved, secrets;
    ngx_http_gatehouse_api_t    *api;
    ngx_http_gatehouse_kept_t   *kept;
    ngx_http_gatehouse_route_t  *routes;

    pool = ngx_create_pool(4096, ngx_http_gatehouse_worker.log);
    if (pool == NULL) {
        return NGX_ERROR;
    }

    if (ngx_array_init(&reserved, pool, 8, sizeof(ngx_str_t)) != NGX_OK
        || ngx_array_init(&secrets, pool, 4, sizeof(ngx_str_t)) != NGX_OK)
    {
        goto failed;
    }

    size = 0;

    for (n = 0; n < NGX_HTTP_GATEHOUSE_BUCKETS; n++) {
        for (kept = ngx_http_gatehouse_apis.buckets[n];
             kept;
             kept = kept->next)
        {
            api = (ngx_http_gatehouse_api_t *) kept;
            size += api->api.nhosts;

            for (i = 0; i < api->api.nclaims; i++) {
                if (ngx_http_gatehouse_routes_add(&reserved,
                                                   &api->claims[i].lowcase)
                    != NGX_OK)
                {
                    goto failed;
                }
            }

            if (api->api.accept & GH_ACCEPT_KEY_QUERY) {
                ngx_http_gatehouse_slice(&arg, api->api.key_query);

                if (ngx_http_gatehouse_routes_add(&secrets, &arg) != NGX_OK) {
                    goto failed;
                }
            }
        }
    }

    for (n = 16; n < size * 2; n *= 2) { /* void */ }

    routes = ngx_pcalloc(pool, n * sizeof(ngx_http_gatehouse_route_t));
    if (routes == NULL) {
        goto failed;
    }

    ngx_http_gatehouse_all.longest = 0;

    for (size = 0; size < NGX_HTTP_GATEHOUSE_BUCKETS; size++) {
        for (kept = ngx_http_gatehouse_apis.buckets[size];
             kept;
             kept = kept->next)
        {
            ngx_http_gatehouse_routes_publish(routes, n - 1,
                                          (ngx_http_gatehouse_api_t *) kept);
        }
    }

    ngx_http_gatehouse_routes_drop();

    ngx_http_gatehouse_all.pool = pool;
    ngx_http_gatehouse_all.routes = routes;
    ngx_http_gatehouse_all.mask = n - 1;
    ngx_http_gatehouse_all.reserved = reserved;
    ngx_http_gatehouse_all.secrets = secrets;

    return NGX_OK;

failed:

    ngx_destroy_pool(pool);

    return NGX_ERROR;
}


ngx_int_t
ngx_http_gatehouse_routes_walk(void)
{
    ngx_uint_t                   n, changed;
    struct gh_error              e;
    ngx_http_gatehouse_kept_t  **place;

    changed = (ngx_http_gatehouse_all.pool == NULL);

    if (gh_catalog_each(ngx_http_gatehouse_catalog(), "api",
                        ngx_http_gatehouse_routes_seen, &changed, &e)
        != 0)
    {
        ngx_log_error(NGX_LOG_ERR, ngx_http_gatehouse_worker.log, 0,
                      "gatehouse_catalog: %s", e.message);
        return NGX_ERROR;
    }

    for (n = 0; n < NGX_HTTP_GATEHOUSE_BUCKETS; n++) {

        for (place = &ngx_http_gatehouse_apis.buckets[n]; *place; /* void */ ) {

            if ((*place)->checked == ngx_http_gatehouse_catalog_generation()) {
                place = &(*place)->next;
                continue;
            }

            ngx_http_gatehouse_kept_drop(place);
            changed = 1;
        }
    }

    return changed ? ngx_http_gatehouse_routes_rebuild() : NGX_OK;
}


/*
 * Longest prefix on whole segments: the hashes of host and each prefix are
 * made in one run over the path, then looked up from the longest on.
 */

#define NGX_HTTP_GATEHOUSE_DEPTH  32

static ngx_http_gatehouse_api_t *
ngx_http_gatehouse_routes_find(struct gh_slice host, ngx_str_t *path)
{
    size_t                       i, len, max;
    uint32_t                     hash, hashes[NGX_HTTP_GATEHOUSE_DEPTH];
    uint32_t                     lens[NGX_HTTP_GATEHOUSE_DEPTH];
    ngx_uint_t                   n, slot;
    struct gh_slice              prefix;
    ngx_http_gatehouse_route_t  *route;

    hash = ngx_http_gatehouse_fnv(NGX_HTTP_GATEHOUSE_FNV, host.data, host.len);
    hash = ngx_http_gatehouse_fnv(hash, (u_char *) "", 1);

    hashes[0] = hash;
    lens[0] = 0;
    n = 1;

    max = ngx_min(path->len, ngx_http_gatehouse_all.longest);

    for (i = 0; i < max; /* void */ ) {
        hash = (hash ^ path->data[i++]) * 16777619u;

        if ((i == path->len || path->data[i] == '/')
            && n < NGX_HTTP_GATEHOUSE_DEPTH)
        {
            hashes[n] = hash;
            lens[n++] = i;
        }
    }

    while (n--) {

        for (slot = hashes[n] & ngx_http_gatehouse_all.mask;
             ngx_http_gatehouse_all.routes[slot].api;
             slot = (slot + 1) & ngx_http_gatehouse_all.mask)
        {
            route = &ngx_http_gatehouse_all.routes[slot];

            if (route->hash != hashes[n]
                || !gh_slice_eq(host, ngx_http_gatehouse_str(&route->host)))
            {
                continue;
            }

            prefix = route->api->api.prefix;
            len = prefix.len == 1 ? 0 : prefix.len;

            if (len == lens[n]
                && ngx_memcmp(prefix.data, path->data, len) == 0)
            {
                return route->api;
            }
        }
    }

    return NULL;
}


ngx_http_gatehouse_api_t *
ngx_http_gatehouse_catalog_route(ngx_str_t *host, ngx_str_t *path)
{
    ngx_http_gatehouse_api_t  *api;

    api = NULL;

    if (host->len) {
        api = ngx_http_gatehouse_routes_find(ngx_http_gatehouse_str(host),
                                              path);
    }

    if (api == NULL) {
        api = ngx_http_gatehouse_routes_find(gh_slice("*", 1), path);
    }

    return api;
}


ngx_uint_t
ngx_http_gatehouse_catalog_has_reserved(void)
{
    return ngx_http_gatehouse_all.reserved.nelts;
}


ngx_uint_t
ngx_http_gatehouse_catalog_reserved(u_char *lowcase, size_t len)
{
    size_t       i;
    u_char       ch;
    ngx_str_t   *s;
    ngx_uint_t   n;

    s = ngx_http_gatehouse_all.reserved.elts;

    for (n = 0; n < ngx_http_gatehouse_all.reserved.nelts; n++) {

        if (s[n].len != len) {
            continue;
        }

        for (i = 0; i < len; i++) {
            ch = lowcase[i];

            if (ch != s[n].data[i]
                && !((ch == '_' || ch == '.') && s[n].data[i] == '-'))
            {
                break;
            }
        }

        if (i == len) {
            return 1;
        }
    }

    return 0;
}


ngx_array_t *
ngx_http_gatehouse_catalog_secret_args(void)
{
    return &ngx_http_gatehouse_all.secrets;
}
