/* SPDX-License-Identifier: Apache-2.0 */
/* list, show, set, remove of every kind. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <ctype.h>

static const struct gh_cli_column service_columns[] = {
    {"NAME", "name"},
    {"STATE", "run.state"},
    {"URL", "url"},
    {"ENDPOINTS", "run.endpoints"},
    {"RESTARTS", "run.restarts"}};
static const struct gh_cli_column api_columns[] = {
    {"NAME", "name"},
    {"HOSTS", "hosts"},
    {"PATH", "path"},
    {"SERVICE", "service"},
    {"CREDENTIALS", "credentials"}};
static const struct gh_cli_column plan_columns[] = {
    {"NAME", "name"}, {"APIS", "apis"}, {"LIMITS", "limits_text"}};
static const struct gh_cli_column account_columns[] = {
    {"NAME", "name"}, {"PLAN", "plan"}, {"STATE", "state"}};
static const struct gh_cli_column app_columns[] = {{"NAME", "name"},
                                                   {"ACCOUNT", "account"},
                                                   {"PLAN", "plan"},
                                                   {"STATE", "state"}};
static const struct gh_cli_column idp_columns[] = {{"NAME", "name"},
                                                   {"ISSUER", "issuer"},
                                                   {"ALGS", "algs"},
                                                   {"CLIENT", "client_id"}};

static const struct {
    const char *kind;
    const struct gh_cli_column *columns;
    size_t n;
} tables[] = {
    {"service", service_columns, 5}, {"api", api_columns, 5},
    {"plan", plan_columns, 3},       {"account", account_columns, 3},
    {"app", app_columns, 4},         {"idp", idp_columns, 4},
};

/* "100 hits/minute, 5 search/day (soft)" */
static void
add_limits_text(json_t *plan)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    const json_t *l;
    size_t i;

    json_array_foreach(json_object_get(plan, "limits"), i, l)
    {
        const char *metric = json_string_value(json_object_get(l, "metric"));
        const char *mode = json_string_value(json_object_get(l, "mode"));

        gh_buffer_printf(
            &b, "%s%lld %s/%s%s%s%s", i > 0 ? ", " : "",
            (long long)json_integer_value(json_object_get(l, "value")),
            metric != NULL ? metric : "hits",
            json_string_value(json_object_get(l, "period")),
            mode != NULL ? " (" : "", mode != NULL ? mode : "",
            mode != NULL ? ")" : "");
    }
    if (b.len > 0)
        json_object_set_new(plan, "limits_text",
                            json_string(gh_buffer_string(&b)));
    gh_buffer_finish(&b);
}

/* Fields that an item leaves out have their default; tables show it. */
static void
add_defaults(const char *kind, json_t *items)
{
    json_t *item;
    size_t i;

    json_array_foreach(items, i, item)
    {
        if (!strcmp(kind, "plan"))
            add_limits_text(item);
        if (!strcmp(kind, "api") && !json_object_get(item, "path"))
            json_object_set_new(item, "path", json_string("/"));
        if (!strcmp(kind, "api") && !json_object_get(item, "hosts"))
            json_object_set_new(item, "hosts", json_string("*"));
        if (!strcmp(kind, "api") && !json_object_get(item, "credentials"))
            json_object_set_new(item, "credentials", json_string("api_key"));
        if (!strcmp(kind, "idp") && !json_object_get(item, "algs"))
            json_object_set_new(item, "algs", json_string("RS256"));
        if ((!strcmp(kind, "app") || !strcmp(kind, "account")) &&
            !json_object_get(item, "state"))
            json_object_set_new(item, "state", json_string("live"));
    }
}

int
gh_cli_list(struct gh_cli *cli)
{
    const char *kind = cli->command->group;
    struct gh_cli_answer a;
    char path[64], none[64];
    json_t *items;
    int rc;

    snprintf(path, sizeof(path), "/v1/%ss", kind);
    rc = gh_cli_get(cli, path, &a);
    if (rc != 0)
        return rc;
    items = json_object_get(a.json, "items");
    if (cli->json)
        gh_cli_print_json(items);
    else
        for (size_t i = 0; i < sizeof(tables) / sizeof(*tables); i++)
            if (strcmp(tables[i].kind, kind) == 0) {
                add_defaults(kind, items);
                snprintf(none, sizeof(none), "no %ss", kind);
                gh_cli_print_table(items, tables[i].columns, tables[i].n, none);
            }
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

static int
item_path(const struct gh_cli *cli, const char *name, char *out, size_t size)
{
    const char *kind = cli->command->group;

    for (const char *p = name; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
            return gh_cli_fail(GH_CLI_INVALID,
                               "1 to 63 of a-z 0-9 - _, beginning with a "
                               "letter or digit",
                               "\"%s\" is no name", name);
    snprintf(out, size, "/v1/%ss/%s", kind, name);
    return *name != '\0'
               ? 0
               : gh_cli_fail(GH_CLI_INVALID, NULL, "the name is empty");
}

int
gh_cli_show(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    char path[200];
    int rc = item_path(cli, cli->args[0], path, sizeof(path));

    if (rc == 0)
        rc = gh_cli_get(cli, path, &a);
    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else
        gh_cli_print_object(a.json, 0);
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

/* ---- set */

/* "a.b=value" into the object; -1 when there is no such place. */
static int
set_field(json_t *item, const char *word)
{
    const char *eq = strchr(word, '='), *at = word;
    json_t *o = item, *next, *v;
    char key[128];

    for (;;) {
        size_t n = strcspn(at, ".=");

        if (n == 0 || n >= sizeof(key))
            return -1;
        memcpy(key, at, n);
        key[n] = '\0';
        at += n;
        if (at == eq)
            break;
        at++;
        next = json_object_get(o, key);
        if (next == NULL) {
            next = json_object();
            json_object_set_new(o, key, next);
        }
        if (!json_is_object(next))
            return -1;
        o = next;
    }
    if (eq[1] == '\0')
        return json_object_del(o, key), 0;
    v = json_loads(eq + 1, JSON_DECODE_ANY, NULL);
    return json_object_set_new(o, key, v != NULL ? v : json_string(eq + 1));
}

static int
finish_set(struct gh_cli *cli, struct gh_cli_answer *a, const char *file,
           struct gh_slice source)
{
    int rc = GH_CLI_OK;

    if (a->status >= 300) {
        if (cli->json)
            gh_cli_print_json(a->json);
        gh_cli_print_problem(a->json, a->status, file, source);
        rc = a->status == 422 || a->status == 400 ? GH_CLI_INVALID
                                                  : GH_CLI_FAILED;
    } else if (cli->json)
        gh_cli_print_json(a->json);
    else
        printf("%s %s %s\n", a->status == 201 ? "added" : "set",
               cli->command->group, cli->args[0]);
    gh_cli_answer_finish(a);
    return rc;
}

static int
set_from_file(struct gh_cli *cli, const char *path, const char *file)
{
    struct gh_buffer body = GH_BUFFER_INIT;
    struct gh_cli_answer a;
    int rc = gh_cli_read(file, &body);

    if (rc == 0)
        rc = gh_cli_call(cli, "PUT", path, "application/yaml",
                         gh_buffer_slice(&body), NULL, &a);
    if (rc == 0)
        rc = finish_set(cli, &a, strcmp(file, "-") ? file : "(standard input)",
                        gh_buffer_slice(&body));
    gh_buffer_finish(&body);
    return rc;
}

/* The item as it is (an empty one when there is none), and its ETag. */
static int
fetch(struct gh_cli *cli, const char *path, json_t **item, char etag[64])
{
    struct gh_cli_answer a;
    int rc = gh_cli_call(cli, "GET", path, NULL, gh_slice(NULL, 0), NULL, &a);

    if (rc != 0)
        return rc;
    if (a.status == 404) {
        *item = json_object();
        *etag = '\0';
    } else if (a.status == 200) {
        *item = json_incref(a.json);
        json_object_del(*item, "run");
        snprintf(etag, 64, "%s", a.etag);
    } else {
        gh_cli_print_problem(a.json, a.status, NULL, gh_slice(NULL, 0));
        rc = GH_CLI_FAILED;
    }
    gh_cli_answer_finish(&a);
    return rc;
}

static int
set_fields(struct gh_cli *cli, const char *path, unsigned first)
{
    struct gh_cli_answer a;
    json_t *item = NULL;
    char etag[64], *text;
    int rc = fetch(cli, path, &item, etag);

    for (unsigned i = first; rc == 0 && i < cli->nargs; i++)
        if (strchr(cli->args[i], '=') == NULL ||
            set_field(item, cli->args[i]) != 0)
            rc = gh_cli_fail(GH_CLI_INVALID, "state=suspended",
                             "\"%s\" is no FIELD=VALUE", cli->args[i]);
    if (rc == 0) {
        text = json_dumps(item, 0);
        rc = gh_cli_call(cli, "PUT", path, "application/json",
                         gh_slice_str(text), etag, &a);
        free(text);
        if (rc == 0)
            rc = finish_set(cli, &a, NULL, gh_slice(NULL, 0));
    }
    json_decref(item);
    return rc;
}

int
gh_cli_set(struct gh_cli *cli)
{
    bool has_file = strchr(cli->args[1], '=') == NULL;
    char path[200];
    int rc = item_path(cli, cli->args[0], path, sizeof(path));

    if (rc == 0 && has_file)
        rc = set_from_file(cli, path, cli->args[1]);
    if (rc == 0 && (!has_file || cli->nargs > 2))
        rc = set_fields(cli, path, has_file ? 2 : 1);
    return rc;
}

int
gh_cli_remove(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    char path[200];
    int rc = 0, one;

    for (unsigned i = 0; i < cli->nargs; i++) {
        one = item_path(cli, cli->args[i], path, sizeof(path));
        if (one == 0 && gh_cli_option(cli, "volumes") != NULL)
            strcat(path, "?volumes=true"); /* 64 + 63 bytes at most */
        if (one == 0)
            one = gh_cli_ask(cli, "DELETE", path, NULL, gh_slice(NULL, 0), NULL,
                             &a);
        if (one == 0) {
            if (cli->json)
                gh_cli_print_json(a.json);
            else
                printf("removed %s %s\n", cli->command->group, cli->args[i]);
            gh_cli_answer_finish(&a);
        }
        if (rc == 0)
            rc = one;
    }
    return rc;
}
