/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const figures[] = {
    "admitted", "over", "degraded", "quota", "denied", "unavailable", "client"};
static const char *const titles[] = {
    "ADMITTED", "OVER", "DEGRADED", "QUOTA", "DENIED", "UNAVAILABLE", "CLIENT"};
#define FIGURES 7

/* Eight levels in one character. */
static void
print_bar(json_int_t v, json_int_t most)
{
    static const char *const eighths[] = {"",  "▏", "▎", "▍",
                                          "▌", "▋", "▊", "▉"};
    json_int_t n = most > 0 ? v * 160 / most : 0;

    for (json_int_t i = 0; i < n / 8; i++)
        fputs("█", stdout);
    fputs(eighths[n % 8], stdout);
}

static json_int_t
number(const json_t *v, const char *key)
{
    return json_integer_value(json_object_get(v, key));
}

static void
print_series(const json_t *s)
{
    const json_t *points = json_object_get(s, "points"), *p;
    json_int_t most = 0;
    char at[64];
    size_t i;

    printf("%s\n  total:", json_string_value(json_object_get(s, "metric")));
    for (size_t f = 0; f < FIGURES; f++)
        printf(" %lld %s%s",
               (long long)number(json_object_get(s, "total"), figures[f]),
               figures[f], f + 1 < FIGURES ? "," : "\n");
    json_array_foreach(points, i, p)
    {
        if (number(p, "admitted") > most)
            most = number(p, "admitted");
    }
    json_array_foreach(points, i, p)
    {
        bool any = false;

        for (size_t f = 0; f < FIGURES; f++)
            any = any || number(p, figures[f]) > 0;
        if (!any)
            continue; /* quiet times say nothing */
        printf("  %s  %10lld %9lld  ", gh_cli_text(p, "at", at, sizeof(at)),
               (long long)number(p, "admitted"), (long long)number(p, "quota"));
        print_bar(number(p, "admitted"), most);
        putchar('\n');
    }
}

/* How far each limit is used up in its present window. */
static void
print_limits(const json_t *limits)
{
    const json_t *l;
    char scope[16], api[80], metric[80], period[16], mode[16], what[200];
    size_t i;

    json_array_foreach(limits, i, l)
    {
        json_int_t reset = number(l, "reset_ms") / 1000;

        gh_cli_text(l, "scope", scope, sizeof(scope));
        gh_cli_text(l, "api", api, sizeof(api));
        gh_cli_text(l, "metric", metric, sizeof(metric));
        gh_cli_text(l, "period", period, sizeof(period));
        gh_cli_text(l, "mode", mode, sizeof(mode));
        snprintf(what, sizeof(what), "%s%s%s/%s", strcmp(api, "-") ? api : "",
                 strcmp(api, "-") ? " " : "", metric, period);
        printf("  %-24s %lld of %lld left%s%s", what,
               (long long)number(l, "left"), (long long)number(l, "value"),
               strcmp(mode, "hard") ? ", " : "",
               strcmp(mode, "hard") ? mode : "");
        if (strcmp(scope, "account") == 0)
            printf(", account %s", gh_cli_text(l, "of", what, sizeof(what)));
        if (reset > 0)
            printf(", anew in %lld:%02lld:%02lld", (long long)(reset / 3600),
                   (long long)(reset / 60 % 60), (long long)(reset % 60));
        putchar('\n');
    }
    if (i > 0)
        putchar('\n');
}

static int
usage_path(struct gh_cli *cli, struct gh_buffer *path)
{
    static const char *const names[] = {"metric", "period", "from", "to"};

    for (const char *p = cli->args[0]; *p != '\0' || p == cli->args[0]; p++)
        if (!isalnum((unsigned char)*p) && *p != '-' && *p != '_')
            return gh_cli_fail(GH_CLI_INVALID, "gatehouse app list",
                               "\"%s\" is no name", cli->args[0]);
    gh_buffer_printf(path, "/v1/usage/%s", cli->args[0]);
    for (size_t i = 0; i < 4; i++)
        if (gh_cli_option(cli, names[i]) != NULL)
            gh_cli_query(path, names[i], gh_cli_option(cli, names[i]));
    return 0;
}

int
gh_cli_usage(struct gh_cli *cli)
{
    struct gh_buffer path = GH_BUFFER_INIT;
    struct gh_cli_answer a;
    const json_t *s;
    char from[64], to[64], period[16];
    size_t i;
    int rc = usage_path(cli, &path);

    if (rc == 0)
        rc = gh_cli_get(cli, gh_buffer_string(&path), &a);
    gh_buffer_finish(&path);
    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else {
        print_limits(json_object_get(a.json, "limits"));
        printf("%s per %s, %s to %s\n", cli->args[0],
               gh_cli_text(a.json, "period", period, sizeof(period)),
               gh_cli_text(a.json, "from", from, sizeof(from)),
               gh_cli_text(a.json, "to", to, sizeof(to)));
        printf("  %-20s  %10s %9s\n", "FROM", titles[0], titles[3]);
        json_array_foreach(json_object_get(a.json, "series"), i, s)
        {
            print_series(s);
        }
    }
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}
