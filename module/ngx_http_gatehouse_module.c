
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * The module as nginx sees it: directives, what nginx -t refuses, phases.
 */


#include "ngx_http_gatehouse.h"
#include "ngx_http_gatehouse_access.h"
#include "ngx_http_gatehouse_answer.h"
#include "ngx_http_gatehouse_balancer.h"
#include "ngx_http_gatehouse_directives.h"
#include "ngx_http_gatehouse_headers.h"
#include "ngx_http_gatehouse_metrics.h"
#include "ngx_http_gatehouse_outward.h"
#include "ngx_http_gatehouse_variables.h"
#include "ngx_http_gatehouse_worker.h"
#include "ngx_http_gatehouse_zone.h"


#define NGX_HTTP_GATEHOUSE_ZONE_MIN  (1024 * 1024)


static void *ngx_http_gatehouse_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_gatehouse_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_gatehouse_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_gatehouse_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_gatehouse_init_process(ngx_cycle_t *cycle);
static void ngx_http_gatehouse_exit_process(ngx_cycle_t *cycle);

static char *ngx_http_gatehouse_conf_enable(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_gatehouse_conf_api(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_gatehouse_conf_catalog(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_gatehouse_conf_secret(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_gatehouse_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_gatehouse_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_gatehouse_conf_idp(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
static char *ngx_http_gatehouse_conf_endpoints(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_gatehouse_conf_metrics(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);
static char *ngx_http_gatehouse_conf_internal(ngx_conf_t *cf,
    ngx_command_t *cmd, void *conf);


static ngx_command_t  ngx_http_gatehouse_commands[] = {

#define X(name, args, contexts, type, set, level, def, help)                  \
    { ngx_string(name), type, set, level, 0, NULL },

    NGX_HTTP_GATEHOUSE_DIRECTIVES(X)

#undef X

      ngx_null_command
};


static ngx_http_module_t  ngx_http_gatehouse_module_ctx = {
    ngx_http_gatehouse_add_variables,      /* preconfiguration */
    ngx_http_gatehouse_init,               /* postconfiguration */

    ngx_http_gatehouse_create_main_conf,   /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_gatehouse_create_loc_conf,    /* create location configuration */
    ngx_http_gatehouse_merge_loc_conf      /* merge location configuration */
};


ngx_module_t  ngx_http_gatehouse_module = {
    NGX_MODULE_V1,
    &ngx_http_gatehouse_module_ctx,        /* module context */
    ngx_http_gatehouse_commands,           /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    NULL,                                  /* init module */
    ngx_http_gatehouse_init_process,       /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_gatehouse_exit_process,       /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


static void *
ngx_http_gatehouse_pool_get(void *ctx, size_t size)
{
    return ngx_pcalloc(ctx, size ? size : 1);
}


struct gh_alloc
ngx_http_gatehouse_alloc(ngx_pool_t *pool)
{
    struct gh_alloc  a;

    a.get = ngx_http_gatehouse_pool_get;
    a.ctx = pool;

    return a;
}


static ngx_int_t
ngx_http_gatehouse_init_process(ngx_cycle_t *cycle)
{
    ngx_http_gatehouse_main_conf_t  *gmcf;

    if (ngx_process != NGX_PROCESS_WORKER && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    gmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_gatehouse_module);

    if (gmcf == NULL || gmcf->shm_zone == NULL || gmcf->catalog.len == 0) {
        return NGX_OK;
    }

    return ngx_http_gatehouse_worker_start(cycle, gmcf);
}


static void
ngx_http_gatehouse_exit_process(ngx_cycle_t *cycle)
{
    ngx_http_gatehouse_worker_stop(cycle);
}


static void
ngx_http_gatehouse_wipe(void *data)
{
    ngx_http_gatehouse_main_conf_t  *gmcf = data;

    gh_session_keys_wipe(&gmcf->session);
    ngx_explicit_memzero(&gmcf->credential, sizeof(struct gh_hmac));
}


static void *
ngx_http_gatehouse_create_main_conf(ngx_conf_t *cf)
{
    ngx_pool_cleanup_t              *cln;
    ngx_http_gatehouse_main_conf_t  *gmcf;

    gmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_gatehouse_main_conf_t));
    if (gmcf == NULL) {
        return NULL;
    }

    cln = ngx_pool_cleanup_add(cf->pool, 0);
    if (cln == NULL) {
        return NULL;
    }

    cln->handler = ngx_http_gatehouse_wipe;
    cln->data = gmcf;

    return gmcf;
}


static void *
ngx_http_gatehouse_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_gatehouse_loc_conf_t  *glcf;

    glcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_gatehouse_loc_conf_t));
    if (glcf == NULL) {
        return NULL;
    }

    glcf->enable = NGX_CONF_UNSET;

    return glcf;
}


/*
 * A location that begins with an unconditional "return" answers before the
 * access phase: a gate there would guard nothing.  The first member of the
 * rewrite module's private location configuration is its array of codes.
 */

static ngx_uint_t
ngx_http_gatehouse_returns_first(ngx_conf_t *cf)
{
    void                      **conf;
    ngx_uint_t                  i;
    ngx_array_t                *codes;
    ngx_http_script_code_pt    *code;

    for (i = 0; cf->cycle->modules[i]; i++) {
        if (ngx_strcmp(cf->cycle->modules[i]->name, "ngx_http_rewrite_module")
            != 0)
        {
            continue;
        }

        conf = ((ngx_http_conf_ctx_t *) cf->ctx)
                   ->loc_conf[cf->cycle->modules[i]->ctx_index];

        codes = conf ? conf[0] : NULL;

        if (codes == NULL || codes->nelts == 0) {
            return 0;
        }

        code = codes->elts;

        return *code == ngx_http_script_return_code;
    }

    return 0;
}


static char *
ngx_http_gatehouse_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_gatehouse_loc_conf_t  *prev = parent;
    ngx_http_gatehouse_loc_conf_t  *conf = child;

    ngx_http_core_loc_conf_t        *clcf;
    ngx_http_gatehouse_main_conf_t  *gmcf;

    ngx_conf_merge_value(conf->enable, prev->enable, 0);
    ngx_conf_merge_str_value(conf->api, prev->api, "");

    if (!conf->enable) {
        return NGX_CONF_OK;
    }

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gatehouse_module);
    gmcf->gated++;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->satisfy == NGX_HTTP_SATISFY_ANY) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"satisfy any\" in location \"%V\" would let a request "
                      "past \"gatehouse on\": take it out, or switch the gate "
                      "off there", &clcf->name);
        return NGX_CONF_ERROR;
    }

    if (clcf->name.len && !clcf->named
        && ngx_http_gatehouse_returns_first(cf))
    {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"return\" in location \"%V\" answers before "
                      "\"gatehouse on\" is asked: take one of them out",
                      &clcf->name);
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_gatehouse_conf_enable(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gatehouse_loc_conf_t  *glcf = conf;

    ngx_str_t  *value;

    if (glcf->enable != NGX_CONF_UNSET) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (ngx_strcmp(value[1].data, "on") == 0) {
        glcf->enable = 1;

    } else if (ngx_strcmp(value[1].data, "off") == 0) {
        glcf->enable = 0;

    } else {
        return "takes on or off";
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_gatehouse_conf_api(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gatehouse_loc_conf_t  *glcf = conf;

    ngx_str_t  *value;

    if (glcf->api.data) {
        return "is duplicate";
    }

    value = cf->args->elts;

    if (!gh_name_valid(ngx_http_gatehouse_str(&value[1]))) {
        return "needs the name of an API: 1 to 63 of a-z 0-9 - _";
    }

    glcf->api = value[1];

    return NGX_CONF_OK;
}


static char *
ngx_http_gatehouse_conf_catalog(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gatehouse_main_conf_t  *gmcf = conf;

    ngx_str_t  *value;

    if (gmcf->catalog.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    gmcf->catalog = value[1];

    if (ngx_conf_full_name(cf->cycle, &gmcf->catalog, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


static char *
ngx_http_gatehouse_conf_secret(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gatehouse_main_conf_t  *gmcf = conf;

    u_char            key[GH_KEY_SIZE];
    ngx_str_t        *value;
    struct gh_error   e;
    struct gh_secret  secret;

    if (gmcf->secret.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    gmcf->secret = value[1];

    if (ngx_conf_full_name(cf->cycle, &gmcf->secret, 0) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (gh_secret_read((char *) gmcf->secret.data, &secret, &e) != 0) {
        goto failed;
    }

    if (gh_secret_derive(&secret, "credential", key, &e) != 0
        || gh_session_keys_init(&gmcf->session, &secret, &e) != 0)
    {
        gh_secret_wipe(&secret);
        goto failed;
    }

    gh_hmac_init(&gmcf->credential, gh_slice(key, GH_KEY_SIZE));
    gmcf->secret_read = 1;

    ngx_explicit_memzero(key, GH_KEY_SIZE);
    gh_secret_wipe(&secret);

    return NGX_CONF_OK;

failed:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "gatehouse_secret: %s", e.message);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_gatehouse_conf_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gatehouse_main_conf_t  *gmcf = conf;

    ssize_t     size;
    ngx_str_t  *value;

    if (gmcf->shm_zone) {
        return "is duplicate";
    }

    value = cf->args->elts;
    size = ngx_parse_size(&value[2]);

    if (size == NGX_ERROR || size < NGX_HTTP_GATEHOUSE_ZONE_MIN) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "gatehouse_zone \"%V\" needs a size of at least 1m, "
                           "like 64m", &value[1]);
        return NGX_CONF_ERROR;
    }

    gmcf->shm_zone = ngx_shared_memory_add(cf, &value[1], size,
                                           &ngx_http_gatehouse_module);
    if (gmcf->shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    gmcf->shm_zone->init = ngx_http_gatehouse_zone_init;
    gmcf->shm_zone->data = gmcf;

    return NGX_CONF_OK;
}


static ngx_addr_t *
ngx_http_gatehouse_conf_addr(ngx_conf_t *cf, ngx_str_t *url, in_port_t port,
    const char *name)
{
    ngx_url_t  u;

    ngx_memzero(&u, sizeof(ngx_url_t));

    u.url = *url;
    u.default_port = port;

    if (ngx_parse_url(cf->pool, &u) != NGX_OK) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "%s \"%V\": %s", name, url,
                           u.err ? u.err : "not an address");
        return NULL;
    }

    return &u.addrs[0];
}


static char *
ngx_http_gatehouse_conf_redis(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gatehouse_main_conf_t  *gmcf = conf;

    ngx_str_t  *value, url;

    if (gmcf->redis.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    gmcf->redis = value[1];
    url = value[1];

    if (url.len > 8 && ngx_strncmp(url.data, "redis://", 8) == 0) {
        url.data += 8;
        url.len -= 8;

        if (ngx_strlchr(url.data, url.data + url.len, '@')
            || ngx_strlchr(url.data, url.data + url.len, '/'))
        {
            return "takes redis://HOST[:PORT]: no user, password or number of "
                   "a database yet";
        }

    } else if (ngx_strncmp(url.data, "unix:", 5) != 0) {

        /* rediss://, sentinel:// and cluster:// get their place here */

        return "takes unix:PATH or redis://HOST[:PORT]";
    }

    gmcf->redis_addr = ngx_http_gatehouse_conf_addr(cf, &url, 6379,
                                                    "gatehouse_redis");

    return gmcf->redis_addr ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_gatehouse_conf_idp(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_gatehouse_main_conf_t  *gmcf = conf;

    ngx_str_t  *value;

    if (gmcf->idp.data) {
        return "is duplicate";
    }

    value = cf->args->elts;
    gmcf->idp = value[1];

    if (ngx_strncmp(value[1].data, "unix:", 5) != 0) {
        return "takes unix:PATH";
    }

    gmcf->idp_addr = ngx_http_gatehouse_conf_addr(cf, &value[1], 0,
                                                  "gatehouse_idp");

    return gmcf->idp_addr ? NGX_CONF_OK : NGX_CONF_ERROR;
}


static char *
ngx_http_gatehouse_conf_endpoints(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_upstream_server_t    *us;
    ngx_http_upstream_srv_conf_t  *uscf;

    uscf = ngx_http_conf_get_module_srv_conf(cf, ngx_http_upstream_module);

    if (uscf->peer.init_upstream) {
        return "must be the only balancer of its upstream, and stand before "
               "\"keepalive\"";
    }

    if (uscf->servers->nelts) {
        return "takes its servers from the catalog: take out the \"server\" "
               "lines";
    }

    /* nginx refuses an upstream without servers: this one is never asked */

    us = ngx_array_push(uscf->servers);
    if (us == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(us, sizeof(ngx_http_upstream_server_t));
    ngx_str_set(&us->name, "gatehouse_endpoints");
    us->down = 1;

    uscf->flags = 0;    /* so "server" lines with parameters are refused */
    uscf->peer.init_upstream = ngx_http_gatehouse_balancer_init_upstream;

    return NGX_CONF_OK;
}


static char *
ngx_http_gatehouse_conf_handler(ngx_conf_t *cf, ngx_http_handler_pt handler)
{
    ngx_http_core_loc_conf_t  *clcf;

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);

    if (clcf->handler) {
        return "is not the only one that answers in this location";
    }

    clcf->handler = handler;

    return NGX_CONF_OK;
}


static char *
ngx_http_gatehouse_conf_metrics(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_gatehouse_conf_handler(cf,
                                           ngx_http_gatehouse_metrics_handler);
}


static char *
ngx_http_gatehouse_conf_internal(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    return ngx_http_gatehouse_conf_handler(cf,
                                           ngx_http_gatehouse_internal_handler);
}


/* what must be there, and what must not be, once some location is gated */

static ngx_int_t
ngx_http_gatehouse_check(ngx_conf_t *cf, ngx_http_gatehouse_main_conf_t *gmcf)
{
    ngx_uint_t                   i;
    const char                  *missing;
    ngx_http_core_srv_conf_t   **cscfp;
    ngx_http_core_main_conf_t   *cmcf;

    missing = gmcf->catalog.len == 0 ? "gatehouse_catalog DIRECTORY"
              : gmcf->shm_zone == NULL ? "gatehouse_zone NAME SIZE"
              : !gmcf->secret_read ? "gatehouse_secret FILE" : NULL;

    if (missing) {
        ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                      "\"gatehouse on\" needs \"%s;\" at the http level",
                      missing);
        return NGX_ERROR;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);
    cscfp = cmcf->servers.elts;

    for (i = 0; i < cmcf->servers.nelts; i++) {

        if (cscfp[i]->underscores_in_headers) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"underscores_in_headers on\" in %s:%ui lets a "
                          "client send identity headers in a second spelling: "
                          "take it out", cscfp[i]->file_name, cscfp[i]->line);
            return NGX_ERROR;
        }

        if (!cscfp[i]->ignore_invalid_headers) {
            ngx_log_error(NGX_LOG_EMERG, cf->log, 0,
                          "\"ignore_invalid_headers off\" in %s:%ui lets a "
                          "client send identity headers in a second spelling: "
                          "take it out", cscfp[i]->file_name, cscfp[i]->line);
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_gatehouse_add_handler(ngx_http_core_main_conf_t *cmcf,
    ngx_uint_t phase, ngx_http_handler_pt handler)
{
    ngx_http_handler_pt  *h;

    h = ngx_array_push(&cmcf->phases[phase].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = handler;

    return NGX_OK;
}


static ngx_int_t
ngx_http_gatehouse_init(ngx_conf_t *cf)
{
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_gatehouse_main_conf_t  *gmcf;

    gmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_gatehouse_module);

    if (gmcf->gated && ngx_http_gatehouse_check(cf, gmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    if (gmcf->catalog.len == 0 || gmcf->shm_zone == NULL) {
        return NGX_OK;
    }

    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    /*
     * Server rewrite is the first phase that internal redirects run too: so a
     * proxied error page never sees a client's identity headers either.
     */

    if (ngx_http_gatehouse_add_handler(cmcf, NGX_HTTP_SERVER_REWRITE_PHASE,
                                       ngx_http_gatehouse_strip_handler)
        != NGX_OK
        || ngx_http_gatehouse_add_handler(cmcf, NGX_HTTP_PREACCESS_PHASE,
                                          ngx_http_gatehouse_subrequest_handler)
           != NGX_OK
        || ngx_http_gatehouse_add_handler(cmcf, NGX_HTTP_ACCESS_PHASE,
                                          ngx_http_gatehouse_access_handler)
           != NGX_OK
        || ngx_http_gatehouse_add_handler(cmcf, NGX_HTTP_LOG_PHASE,
                                          ngx_http_gatehouse_log_handler)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_http_gatehouse_outward_init();

    return NGX_OK;
}
