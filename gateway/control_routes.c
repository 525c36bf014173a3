/* SPDX-License-Identifier: Apache-2.0 */
/* The API as a table; its description in OpenAPI is made of it. */
#include "control.h"

#include "document_schema.h"

#include <stdio.h>

const struct gh_route gh_routes[] = {
    {"GET", "/v1/status", GH_MAY_READ, gh_control_status, "status",
     "How the parts are", NULL, NULL, "the state of each part"},
    {"GET", "/v1/doctor", GH_MAY_READ, gh_control_doctor, "doctor",
     "What is wrong, and what to do about it", NULL, NULL, "checks"},
    {"GET", "/v1/openapi.json", GH_MAY_READ, gh_control_serve_openapi,
     "openapi", "This description", NULL, NULL, "OpenAPI 3.1"},
    {"GET", "/v1/document", GH_MAY_READ, gh_control_export, "export",
     "Everything as one document that applies as a no-op", "format", NULL,
     "YAML, or JSON with format=json"},
    {"PUT", "/v1/document", GH_MAY_WRITE, gh_control_apply, "apply",
     "Makes the kinds that the document names what it says; all or nothing",
     NULL, "yaml", "the changes made"},
    {"POST", "/v1/document/check", GH_MAY_WRITE, gh_control_check_document,
     "check", "Every fault of a document", NULL, "yaml",
     "how many changes it would make"},
    {"POST", "/v1/document/diff", GH_MAY_WRITE, gh_control_diff, "diff",
     "What applying a document would change", NULL, "yaml", "the changes"},
    {"GET", "/v1/apps/{app}/keys", GH_MAY_READ, gh_control_list_keys,
     "list_keys", "The keys of an application, without their texts", NULL, NULL,
     "keys"},
    {"POST", "/v1/apps/{app}/keys", GH_MAY_WRITE, gh_control_create_key,
     "create_key",
     "A new key {label, kind, expires, not_before}; the answer is the only "
     "place that shows it",
     NULL, "json", "the key"},
    {"DELETE", "/v1/apps/{app}/keys/{id}", GH_MAY_WRITE, gh_control_revoke_key,
     "revoke_key", "Ends a key at once", NULL, NULL, "the key as it is now"},
    {"POST", "/v1/apps/{app}/keys/{id}/rotate", GH_MAY_WRITE,
     gh_control_rotate_key, "rotate_key",
     "A new key {overlap, expires, label}; the old one ends after the overlap "
     "(24h)",
     NULL, "json", "the new key"},
    {"POST", "/v1/services", GH_MAY_WRITE, gh_control_register_services,
     "register_services", "Adds or replaces the services of a Compose file",
     NULL, "yaml", "the changes made"},
    {"POST", "/v1/services/{name}/restart", GH_MAY_WRITE,
     gh_control_restart_service, "restart_service",
     "Stops with grace and starts anew", NULL, NULL, "accepted"},
    {"GET", "/v1/services/{name}/logs", GH_MAY_READ, gh_control_service_logs,
     "service_logs", "The last lines, or what came after an offset",
     "tail, after", NULL, "text and the next offset"},
    {"GET", "/v1/services/{name}/plan", GH_MAY_READ, gh_control_service_plan,
     "service_plan", "The plan of operations that makes its sandbox", NULL,
     NULL, "operations"},
    {"GET", "/v1/services/{name}/violations", GH_MAY_READ,
     gh_control_service_violations, "service_violations",
     "Refused system calls and file accesses", NULL, NULL, "violations"},
    {"GET", "/v1/usage/{app}", GH_MAY_READ, gh_control_usage, "usage",
     "Usage of an application by metric and period", "metric, period, from, to",
     NULL, "series"},
    {"GET", "/v1/decisions/{id}", GH_MAY_READ, gh_control_decision, "decision",
     "Why the gate answered a call as it did", NULL, NULL, "the decision"},
    {"PUT", "/v1/idps/{name}/discovered", GH_MAY_FETCH, gh_control_discovered,
     "discovered", "What gatehouse-idp fetched from a provider", NULL, "json",
     "whether it changed anything"},
    {"GET", "/v1/{kind}", GH_MAY_READ, gh_control_list_items, "list",
     "All items of a kind", NULL, NULL, "items"},
    {"GET", "/v1/{kind}/{name}", GH_MAY_READ, gh_control_get_item, "get",
     "One item", NULL, NULL, "the item"},
    {"PUT", "/v1/{kind}/{name}", GH_MAY_WRITE, gh_control_put_item, "put",
     "Adds or replaces one item", NULL, "json", "the item"},
    {"DELETE", "/v1/{kind}/{name}", GH_MAY_WRITE, gh_control_delete_item,
     "remove",
     "Removes an item that nothing refers to; a service's volumes too with "
     "volumes=true",
     "volumes", NULL, "what was removed"},
};
const size_t gh_routes_count = sizeof(gh_routes) / sizeof(*gh_routes);

/* "{x}" takes one segment of 1 to 63 bytes. */
static bool
matches(const char *pattern, const char *path,
        char param[GH_REQUEST_PARAMS][GH_NAME_SIZE])
{
    size_t n = 0, len;

    while (*pattern != '\0') {
        if (*pattern != '{') {
            if (*pattern++ != *path++)
                return false;
            continue;
        }
        len = strcspn(path, "/");
        if (len == 0 || len > GH_NAME_MAX || n == GH_REQUEST_PARAMS)
            return false;
        memcpy(param[n], path, len);
        param[n++][len] = '\0';
        path += len;
        pattern = strchr(pattern, '}') + 1;
    }
    return *path == '\0';
}

int
gh_control_route(struct gh_request *r, const char *method, const char *path)
{
    bool known = false;

    for (size_t i = 0; i < gh_routes_count; i++) {
        if (!matches(gh_routes[i].path, path, r->param))
            continue;
        known = true;
        if (strcmp(gh_routes[i].method, method) == 0) {
            r->route = &gh_routes[i];
            return 0;
        }
    }
    return known ? 405 : 404;
}

/* ---- OpenAPI */

static json_t *
parameters(const struct gh_route *route)
{
    json_t *list = json_array();
    char name[64];

    for (const char *p = strchr(route->path, '{'); p != NULL;
         p = strchr(p + 1, '{')) {
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(p + 1, "}"), p + 1);
        if (strcmp(name, "kind") == 0)
            continue; /* each kind has its own path */
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", name, "in",
                            "path", "required", 1, "schema", "type", "string"));
    }
    for (const char *p = route->query; p != NULL && *p != '\0';
         p += strspn(p, ", ")) {
        size_t n = strcspn(p, ",");

        snprintf(name, sizeof(name), "%.*s", (int)n, p);
        json_array_append_new(list, json_pack("{s:s, s:s, s:{s:s}}", "name",
                                              name, "in", "query", "schema",
                                              "type", "string"));
        p += n;
    }
    return list;
}

static json_t *
operation(const struct gh_route *route, const char *id, json_t *schema)
{
    const char *type = route->body != NULL && !strcmp(route->body, "yaml")
                           ? "application/yaml"
                           : "application/json";
    json_t *op =
        json_pack("{s:s, s:s, s:o, s:{s:{s:s}, s:{s:s, s:{s:{s:{s:s}}}}}}",
                  "operationId", id, "summary", route->summary, "parameters",
                  parameters(route), "responses", "200", "description",
                  route->answer, "default", "description",
                  "a problem (RFC 9457)", "content", "application/problem+json",
                  "schema", "$ref", "#/components/schemas/problem");

    if (route->body != NULL)
        json_object_set_new(op, "requestBody",
                            json_pack("{s:{s:{s:o}}}", "content", type,
                                      "schema",
                                      schema != NULL ? schema : json_object()));
    else
        json_decref(schema);
    return op;
}

static void
add_path(json_t *paths, const char *path, const char *method, json_t *op)
{
    json_t *of = json_object_get(paths, path);
    char lower[8];
    size_t i;

    for (i = 0; method[i] != '\0' && i < sizeof(lower) - 1; i++)
        lower[i] = (char)(method[i] | 0x20);
    lower[i] = '\0';
    if (of == NULL) {
        of = json_object();
        json_object_set_new(paths, path, of);
    }
    json_object_set_new(of, lower, op);
}

/* One path per kind, so that each has its schema. */
static void
add_kinds(json_t *paths, const struct gh_route *route)
{
    char path[128], id[64], ref[64];

    for (int k = 0; k < GH_KINDS; k++) {
        snprintf(path, sizeof(path), "/v1/%s%s", gh_kind_plural(k),
                 route->path + strlen("/v1/{kind}"));
        snprintf(id, sizeof(id), "%s_%s", route->id, gh_kind_name(k));
        snprintf(ref, sizeof(ref), "#/components/schemas/%s", gh_kind_name(k));
        add_path(paths, path, route->method,
                 operation(route, id, json_pack("{s:s}", "$ref", ref)));
    }
}

int
gh_control_serve_openapi(struct gh_request *r)
{
    json_t *paths = json_object(), *schemas = json_object(), *op;

    for (size_t i = 0; i < gh_routes_count; i++) {
        const struct gh_route *route = &gh_routes[i];

        if (strncmp(route->path, "/v1/{kind}", 10) == 0) {
            add_kinds(paths, route);
            continue;
        }
        op = operation(route, route->id, NULL);
        add_path(paths, route->path, route->method, op);
    }
    for (int k = 0; k < GH_KINDS; k++)
        json_object_set_new(schemas, gh_kind_name(k),
                            gh_document_json_schema(k));
    json_object_set_new(
        schemas, "problem",
        json_pack("{s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}, "
                  "s:{s:s, s:{s:s}}}}",
                  "type", "object", "properties", "type", "type", "string",
                  "title", "type", "string", "status", "type", "integer",
                  "code", "type", "string", "detail", "type", "string",
                  "faults", "type", "array", "items", "type", "object"));
    return gh_request_answer(
        r, 200,
        json_pack("{s:s, s:{s:s, s:s}, s:o, s:{s:o}}", "openapi", "3.1.0",
                  "info", "title", "Gatehouse control API", "version", "1",
                  "paths", paths, "components", "schemas", schemas));
}
