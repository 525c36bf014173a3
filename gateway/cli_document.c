/* SPDX-License-Identifier: Apache-2.0 */
/* apply, check, diff, export. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>

static int
send_document(struct gh_cli *cli, const char *method, const char *path,
              const char *file, struct gh_cli_answer *out)
{
    struct gh_buffer body = GH_BUFFER_INIT;
    int rc = gh_cli_read(file, &body);

    if (rc == 0)
        rc = gh_cli_ask(
            cli, method, path, "application/yaml", gh_buffer_slice(&body),
            strcmp(file, "-") == 0 ? "(standard input)" : file, out);
    gh_buffer_finish(&body);
    return rc;
}

static void
print_value(const char *sign, const json_t *v)
{
    char *text;

    if (v == NULL)
        return;
    text = json_dumps(v, JSON_ENCODE_ANY | JSON_COMPACT);
    printf("      %s %s\n", sign, text != NULL ? text : "?");
    free(text);
}

static void
print_changes(const json_t *changes, bool fields)
{
    const json_t *one, *f;
    size_t i, j;

    json_array_foreach(changes, i, one)
    {
        const char *change = json_string_value(json_object_get(one, "change"));

        printf("%c %s %s\n",
               *change == 'a'   ? '+'
               : *change == 'r' ? '-'
                                : '~',
               json_string_value(json_object_get(one, "kind")),
               json_string_value(json_object_get(one, "name")));
        if (!fields)
            continue;
        json_array_foreach(json_object_get(one, "fields"), j, f)
        {
            printf("    %s\n", json_string_value(json_object_get(f, "path")));
            print_value("-", json_object_get(f, "from"));
            print_value("+", json_object_get(f, "to"));
        }
    }
}

static size_t
count(const json_t *changes, const char *what)
{
    const json_t *one;
    size_t i, n = 0;

    json_array_foreach(changes, i, one)
    {
        n += strcmp(json_string_value(json_object_get(one, "change")), what) ==
             0;
    }
    return n;
}

static void
print_summary(const json_t *changes)
{
    if (json_array_size(changes) == 0)
        printf("no change\n");
    else
        printf("%zu added, %zu changed, %zu removed\n", count(changes, "add"),
               count(changes, "change"), count(changes, "remove"));
}

int
gh_cli_apply(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    int rc = send_document(cli, "PUT", "/v1/document", cli->args[0], &a);
    const json_t *changes;

    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else {
        changes = json_object_get(a.json, "changes");
        print_changes(changes, false);
        print_summary(changes);
    }
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

int
gh_cli_diff(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    int rc = send_document(cli, "POST", "/v1/document/diff", cli->args[0], &a);
    const json_t *changes;

    if (rc != 0)
        return rc;
    changes = json_object_get(a.json, "changes");
    rc = json_array_size(changes) > 0 ? GH_CLI_DIFFERS : GH_CLI_OK;
    if (cli->json)
        gh_cli_print_json(a.json);
    else {
        print_changes(changes, true);
        print_summary(changes);
    }
    gh_cli_answer_finish(&a);
    return rc;
}

int
gh_cli_check(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    int rc = send_document(cli, "POST", "/v1/document/check",
                           cli->nargs > 0 ? cli->args[0] : "-", &a);

    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else
        printf(
            "valid; applying it would make %lld changes\n",
            (long long)json_integer_value(json_object_get(a.json, "changes")));
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

int
gh_cli_export(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    int rc = gh_cli_get(
        cli, cli->json ? "/v1/document?format=json" : "/v1/document", &a);

    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else
        fwrite(a.text.data, 1, a.text.len, stdout);
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}
