/* SPDX-License-Identifier: Apache-2.0 */
/* What services have beyond list, show, set and remove. */
#include "cli.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static int
service_path(struct gh_cli *cli, const char *tail, struct gh_buffer *out)
{
    for (const char *p = cli->args[0]; *p != '\0' || p == cli->args[0]; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
            return gh_cli_fail(GH_CLI_INVALID, "gatehouse service list",
                               "\"%s\" is no name", cli->args[0]);
    gh_buffer_printf(out, "/v1/services/%s%s", cli->args[0], tail);
    return 0;
}

static int
ask(struct gh_cli *cli, const char *method, const char *tail,
    struct gh_cli_answer *a)
{
    struct gh_buffer path = GH_BUFFER_INIT;
    int rc = service_path(cli, tail, &path);

    if (rc == 0)
        rc = gh_cli_ask(cli, method, gh_buffer_string(&path), NULL,
                        gh_slice(NULL, 0), NULL, a);
    gh_buffer_finish(&path);
    return rc;
}

int
gh_cli_service_register(struct gh_cli *cli)
{
    const char *file = cli->args[0];
    struct gh_buffer body = GH_BUFFER_INIT;
    struct gh_cli_answer a;
    const json_t *one;
    size_t i;
    int rc = gh_cli_read(file, &body);

    if (rc == 0)
        rc = gh_cli_ask(cli, "POST", "/v1/services", "application/yaml",
                        gh_buffer_slice(&body),
                        strcmp(file, "-") ? file : "(standard input)", &a);
    gh_buffer_finish(&body);
    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else {
        const json_t *changes = json_object_get(a.json, "changes");

        json_array_foreach(changes, i, one)
        {
            printf("%s service %s\n",
                   strcmp(json_string_value(json_object_get(one, "change")),
                          "add") == 0
                       ? "added"
                       : "changed",
                   json_string_value(json_object_get(one, "name")));
        }
        if (json_array_size(changes) == 0)
            printf("no change\n");
    }
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

int
gh_cli_service_restart(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    int rc = ask(cli, "POST", "/restart", &a);

    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else
        printf("restarting service %s\n", cli->args[0]);
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

int
gh_cli_service_explain(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    int rc = ask(cli, "GET", "/plan", &a);
    const json_t *line;
    size_t i;

    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else if (json_array_size(json_object_get(a.json, "text")) > 0)
        json_array_foreach(json_object_get(a.json, "text"), i, line)
        {
            printf("%s\n", json_string_value(line));
        }
    else
        gh_cli_print_object(a.json, 0);
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

static void
utc_text(json_t *row)
{
    time_t s =
        (time_t)(json_integer_value(json_object_get(row, "last_ms")) / 1000);
    char text[32];
    struct tm tm;

    if (s == 0)
        return;
    gmtime_r(&s, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    json_object_set_new(row, "last", json_string(text));
}

int
gh_cli_service_violations(struct gh_cli *cli)
{
    static const struct gh_cli_column columns[] = {
        {"KIND", "kind"}, {"WHAT", "what"}, {"COUNT", "count"},
        {"LAST", "last"}, {"BY", "comm"},   {"PID", "pid"}};
    struct gh_cli_answer a;
    int rc = ask(cli, "GET", "/violations", &a);
    json_t *row;
    size_t i;

    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else {
        json_array_foreach(json_object_get(a.json, "violations"), i, row)
        {
            utc_text(row);
        }
        gh_cli_print_table(json_object_get(a.json, "violations"), columns, 6,
                           "nothing was refused");
    }
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

/* ---- logs */

static void
print_logs(struct gh_cli *cli, const json_t *v)
{
    const json_t *text = json_object_get(v, "text");

    if (cli->json)
        gh_cli_print_json(v);
    else if (json_is_string(text))
        fwrite(json_string_value(text), 1, json_string_length(text), stdout);
    fflush(stdout);
}

static int
logs(struct gh_cli *cli, const char *name, const char *value, json_int_t *next)
{
    struct gh_buffer path = GH_BUFFER_INIT;
    struct gh_cli_answer a;
    int rc = service_path(cli, "/logs", &path);

    if (rc == 0 && value != NULL)
        gh_cli_query(&path, name, value);
    if (rc == 0)
        rc = gh_cli_get(cli, gh_buffer_string(&path), &a);
    gh_buffer_finish(&path);
    if (rc != 0)
        return rc;
    *next = json_integer_value(json_object_get(a.json, "after"));
    print_logs(cli, a.json);
    gh_cli_answer_finish(&a);
    return 0;
}

int
gh_cli_service_logs(struct gh_cli *cli)
{
    static const struct timespec beat = {0, 300000000};
    json_int_t next = 0;
    char offset[32];
    int rc = logs(cli, "tail", gh_cli_option(cli, "tail"), &next);

    while (rc == 0 && gh_cli_option(cli, "follow") != NULL) {
        nanosleep(&beat, NULL);
        snprintf(offset, sizeof(offset), "%lld", (long long)next);
        rc = logs(cli, "after", offset, &next);
        if (ferror(stdout))
            break;
    }
    return rc;
}
