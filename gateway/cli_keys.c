/* SPDX-License-Identifier: Apache-2.0 */
/* key create, list, rotate, revoke. */
#include "cli.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static int
keys_path(struct gh_cli *cli, const char *tail, char *out, size_t size)
{
    for (unsigned i = 0; i < cli->nargs; i++)
        for (const char *p = cli->args[i]; *p != '\0' || p == cli->args[i]; p++)
            if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
                return gh_cli_fail(GH_CLI_INVALID, "gatehouse app list",
                                   "\"%s\" is no name", cli->args[i]);
    snprintf(out, size, "/v1/apps/%s/keys%s%s%s", cli->args[0],
             cli->nargs > 1 ? "/" : "", cli->nargs > 1 ? cli->args[1] : "",
             tail);
    return 0;
}

static void
take(struct gh_cli *cli, json_t *body, const char *option, const char *field)
{
    const char *value = gh_cli_option(cli, option);

    if (value != NULL)
        json_object_set_new(body, field, json_string(value));
}

static void
print_key(struct gh_cli *cli, const json_t *v)
{
    const char *key = json_string_value(json_object_get(v, "key"));
    char text[200];

    if (cli->json)
        gh_cli_print_json(v);
    else if (gh_cli_option(cli, "quiet") != NULL)
        printf("%s\n", key);
    else {
        printf("%s\n", key);
        fprintf(stderr, "This is shown once. It is key %s of application %s",
                json_string_value(json_object_get(v, "id")), cli->args[0]);
        fprintf(stderr, ", expires: %s\n",
                gh_cli_text(v, "expires", text, sizeof(text)));
        if (json_object_get(v, "old") != NULL)
            fprintf(stderr, "The old key ends at %s\n",
                    gh_cli_text(v, "old.expires", text, sizeof(text)));
    }
}

static int
post(struct gh_cli *cli, const char *path, const json_t *body)
{
    char *text = json_dumps(body, 0);
    struct gh_cli_answer a;
    int rc = gh_cli_ask(cli, "POST", path, "application/json",
                        gh_slice_str(text), NULL, &a);

    free(text);
    if (rc != 0)
        return rc;
    print_key(cli, a.json);
    if (a.text.data != NULL)
        explicit_bzero(a.text.data, a.text.len);
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

int
gh_cli_key_create(struct gh_cli *cli)
{
    json_t *body = json_object();
    char path[300];
    int rc = keys_path(cli, "", path, sizeof(path));

    take(cli, body, "label", "label");
    take(cli, body, "expires", "expires");
    take(cli, body, "not-before", "not_before");
    if (gh_cli_option(cli, "with-id") != NULL)
        json_object_set_new(body, "kind", json_string("id_key"));
    if (rc == 0)
        rc = post(cli, path, body);
    json_decref(body);
    return rc;
}

int
gh_cli_key_rotate(struct gh_cli *cli)
{
    json_t *body = json_object();
    char path[300];
    int rc = keys_path(cli, "/rotate", path, sizeof(path));

    take(cli, body, "label", "label");
    take(cli, body, "expires", "expires");
    take(cli, body, "overlap", "overlap");
    if (rc == 0)
        rc = post(cli, path, body);
    json_decref(body);
    return rc;
}

int
gh_cli_key_list(struct gh_cli *cli)
{
    static const struct gh_cli_column columns[] = {
        {"ID", "id"},          {"KEY", "prefix"},  {"STATE", "state"},
        {"KIND", "kind"},      {"LABEL", "label"}, {"CREATED", "created"},
        {"EXPIRES", "expires"}};
    struct gh_cli_answer a;
    char path[300];
    int rc = keys_path(cli, "", path, sizeof(path));

    if (rc == 0)
        rc = gh_cli_get(cli, path, &a);
    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(json_object_get(a.json, "items"));
    else
        gh_cli_print_table(json_object_get(a.json, "items"), columns, 7,
                           "no keys");
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

int
gh_cli_key_revoke(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    char path[300];
    int rc = keys_path(cli, "", path, sizeof(path));

    if (rc == 0)
        rc = gh_cli_ask(cli, "DELETE", path, NULL, gh_slice(NULL, 0), NULL, &a);
    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else
        printf("revoked key %s of %s\n", cli->args[1], cli->args[0]);
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}
