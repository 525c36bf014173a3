
/*
 * SPDX-License-Identifier: Apache-2.0
 *
 * Every directive, once: nginx' table and the reference page are made from it.
 *
 *     X(name, arguments, contexts, nginx type, handler, level, default, help)
 */


#define NGX_HTTP_GATEHOUSE_DIRECTIVES(X)                                      \
    X("gatehouse", "on | off", "http, server, location",                      \
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF                  \
      |NGX_CONF_TAKE1,                                                        \
      ngx_http_gatehouse_conf_enable, NGX_HTTP_LOC_CONF_OFFSET, "off",        \
      "Guards the location: who calls, whether the plan allows it and "       \
      "whether its limits hold is decided before the request goes on. With "  \
      "proxy_cache, put $gatehouse_api into proxy_cache_key, and "            \
      "$gatehouse_application unless all callers get the same answer: "       \
      "nginx' own key knows neither.")                                        \
    X("gatehouse_api", "NAME", "http, server, location",                      \
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,  \
      ngx_http_gatehouse_conf_api, NGX_HTTP_LOC_CONF_OFFSET, "",              \
      "The API of this location, in place of the one that the catalog's "     \
      "routes give for host and path.")                                       \
    X("gatehouse_catalog", "DIRECTORY", "http",                               \
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,                                      \
      ngx_http_gatehouse_conf_catalog, NGX_HTTP_MAIN_CONF_OFFSET, "",         \
      "Where gatehouse-control keeps the catalog. Read in place by every "    \
      "worker; an edit is seen within 100 ms, without a reload.")             \
    X("gatehouse_secret", "FILE", "http",                                     \
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,                                      \
      ngx_http_gatehouse_conf_secret, NGX_HTTP_MAIN_CONF_OFFSET, "",          \
      "The installation's secret, read once by the master as root: keys of "  \
      "credential digests and of login sessions are derived from it.")        \
    X("gatehouse_zone", "NAME SIZE", "http",                                  \
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,                                      \
      ngx_http_gatehouse_conf_zone, NGX_HTTP_MAIN_CONF_OFFSET, "",            \
      "Shared memory for limits, usage, seen tokens and sessions and the "    \
      "last decisions. Kept across reloads. At least 1m.")                    \
    X("gatehouse_redis", "unix:PATH | redis://HOST[:PORT]", "http",           \
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,                                      \
      ngx_http_gatehouse_conf_redis, NGX_HTTP_MAIN_CONF_OFFSET, "",           \
      "The Redis that all hosts share. Without it limits are this host's "    \
      "own, and logins do not work.")                    \
    X("gatehouse_idp", "unix:PATH", "http",                                   \
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,                                      \
      ngx_http_gatehouse_conf_idp, NGX_HTTP_MAIN_CONF_OFFSET, "",             \
      "The socket of gatehouse-idp: asked to fetch an identity provider's "   \
      "keys anew when a token names one that the catalog does not have.")     \
    X("gatehouse_endpoints", "", "upstream",                                  \
      NGX_HTTP_UPS_CONF|NGX_CONF_NOARGS,                                      \
      ngx_http_gatehouse_conf_endpoints, NGX_HTTP_SRV_CONF_OFFSET, "",        \
      "The servers of this upstream are the healthy endpoints of the "        \
      "request's service. Goes before keepalive.")                            \
    X("gatehouse_metrics", "", "location",                                    \
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,                                      \
      ngx_http_gatehouse_conf_metrics, NGX_HTTP_LOC_CONF_OFFSET, "",          \
      "Answers with the gate's figures in Prometheus' text form.")            \
    X("gatehouse_internal", "", "location",                                   \
      NGX_HTTP_LOC_CONF|NGX_CONF_NOARGS,                                      \
      ngx_http_gatehouse_conf_internal, NGX_HTTP_LOC_CONF_OFFSET, "",         \
      "Answers GET /decisions/ID, GET /status and POST /flush for "           \
      "gatehouse-control. Only on a unix socket that nobody else may open.")
