/* SPDX-License-Identifier: Apache-2.0 */
/* A decision of the gate as a story: what was asked, by whom, why it was
 * answered so, when to come back, and what an admin can do. */
#include "cli.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static const struct {
    const char *code, *why, *advice;
} stories[] = {
    {"no_api", "no API is published at this host and path",
     "gatehouse api list shows hosts and paths"},
    {"no_rule", "no mapping rule of the API matches this method and path",
     "add a rule to the API, or take rules_only away"},
    {"bad_path", "the path could be read in two ways",
     "the client must send it in its normal form"},
    {"duplicate_credential", "two different credentials came with the call",
     "the client must send one"},
    {"credential_missing", "no credential came with the call",
     "gatehouse key create APP makes a key; the API says where it belongs"},
    {"credential_invalid",
     "the credential is unknown, wrong, expired or revoked",
     "gatehouse key list APP shows the state of each key"},
    {"application_suspended", "the application is not live",
     "gatehouse app set APP state=live"},
    {"account_suspended", "the account is not live",
     "gatehouse account set ACCOUNT state=live"},
    {"ip_denied", "the caller's address is not allowed", NULL},
    {"referrer_denied", "the referrer is not allowed", NULL},
    {"certificate_denied", "the client certificate is not allowed", NULL},
    {"not_in_plan",
     "the plan does not have this API, method or path, or a "
     "limit of 0 refuses it",
     "add it to the plan's apis, or move the application to another plan"},
    {"not_authorized", "the caller has none of the roles that the API asks for",
     "give the user a role at the identity provider, or change the API's "
     "roles"},
    {"quota_exceeded", "a limit is used up for this window",
     "raise the limit in the plan: what was used is kept"},
    {"cost_exceeds_limit", "this one call costs more than a whole limit",
     "lower the rule's cost, or raise the limit"},
    {"limiter_unavailable",
     "Redis is away and what the plan allows meanwhile is spent",
     "gatehouse doctor; the plan's on_store_down and bounded_for rule this"},
    {"service_unavailable", "no endpoint of the service is healthy",
     "gatehouse service show NAME and gatehouse service logs NAME"},
    {"bad_protocol",
     "the request is no HTTP/1.1 or HTTP/2 that can be passed "
     "on",
     NULL},
    {"login", "a browser without a session was sent to log in", NULL},
    {"gate_unavailable", "the gate cannot read its catalog or its memory",
     "gatehouse doctor, and nginx' error log"},
    {"session_unavailable",
     "the login session could not be looked up: Redis is away",
     "gatehouse doctor"},
};

static const char *
text(const json_t *v, const char *key)
{
    const char *s = json_string_value(json_object_get(v, key));

    return s != NULL && *s != '\0' ? s : NULL;
}

static void
print_time(const json_t *d)
{
    json_int_t ms = json_integer_value(json_object_get(d, "time_ms"));
    time_t s = (time_t)(ms / 1000);
    char at[32];
    struct tm tm;

    if (ms == 0)
        return;
    gmtime_r(&s, &tm);
    strftime(at, sizeof(at), "%Y-%m-%dT%H:%M:%S", &tm);
    printf("At %s.%03lldZ", at, (long long)(ms % 1000));
    if (text(d, "client") != NULL)
        printf(" from %s", text(d, "client"));
    putchar('\n');
}

static void
print_who(const json_t *d)
{
    static const struct {
        const char *key, *say;
    } parts[] = {{"api", "API"},
                 {"application", "application"},
                 {"account", "account"},
                 {"plan", "plan"},
                 {"user", "user"},
                 {"credential", "credential"},
                 {"credential_kind", "known by"},
                 {"service", "service"}};
    char line[100];

    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
        if (text(d, parts[i].key) != NULL) {
            snprintf(line, sizeof(line), "%s", text(d, parts[i].key));
            printf("  %-12s %s\n", parts[i].say, line);
        }
}

/* What control knows of the key beside its id. */
static void
print_key(const json_t *key)
{
    if (key == NULL)
        return;
    printf("  %-12s %s", "key", text(key, "state") ? text(key, "state") : "?");
    if (text(key, "label") != NULL)
        printf(", \"%s\"", text(key, "label"));
    if (text(key, "expires") != NULL)
        printf(", expires %s", text(key, "expires"));
    putchar('\n');
}

static void
print_span(json_int_t ms)
{
    json_int_t s = (ms + 999) / 1000;

    if (s < 120)
        printf("%lld s", (long long)s);
    else if (s < 7200)
        printf("%lld min", (long long)(s / 60));
    else if (s < 172800)
        printf("%lld h", (long long)(s / 3600));
    else
        printf("%lld days", (long long)(s / 86400));
}

/* When what refused begins anew, in ms; 0 when nothing says. */
static json_int_t
back_in(const json_t *d)
{
    const json_t *l;
    size_t i;

    json_array_foreach(json_object_get(d, "limits"), i, l)
    {
        if (json_is_true(json_object_get(l, "refused")))
            return json_integer_value(json_object_get(l, "reset_ms"));
    }
    return 0;
}

static void
print_limits(const json_t *d)
{
    const json_t *list = json_object_get(d, "limits"), *l;
    size_t i;

    if (json_array_size(list) == 0)
        return;
    printf("\nLimits that were looked at:\n");
    json_array_foreach(list, i, l)
    {
        json_int_t reset = json_integer_value(json_object_get(l, "reset_ms"));

        printf("  %s %s: %lld of %lld left, the call costs %lld",
               json_is_true(json_object_get(l, "refused")) ? "x" : " ",
               text(l, "name") != NULL ? text(l, "name") : "limit",
               (long long)json_integer_value(json_object_get(l, "remaining")),
               (long long)json_integer_value(json_object_get(l, "value")),
               (long long)json_integer_value(json_object_get(l, "cost")));
        if (reset > 0) {
            printf(", anew in ");
            print_span(reset);
        }
        putchar('\n');
    }
}

static void
print_story(const json_t *d)
{
    const char *code = text(d, "code"), *reason = text(d, "reason");
    size_t i, n = sizeof(stories) / sizeof(*stories);

    printf("Decision %s: %s %s%s%s\n",
           text(d, "decision") ? text(d, "decision") : "?",
           text(d, "method") ? text(d, "method") : "?",
           text(d, "host") ? text(d, "host") : "",
           text(d, "path") ? text(d, "path") : "?", "");
    print_time(d);
    print_who(d);
    print_key(json_object_get(d, "key"));
    for (i = 0; i < n && (code == NULL || strcmp(stories[i].code, code)); i++)
        ;
    printf("\nAnswered %lld%s%s",
           (long long)json_integer_value(json_object_get(d, "status")),
           code != NULL ? " " : "", code != NULL ? code : "");
    if (i < n)
        printf(": %s", stories[i].why);
    printf(".\n");
    if (reason != NULL)
        printf("More exactly: %s.\n", reason);
    print_limits(d);
    if (back_in(d) > 0) {
        printf("\nThe caller may come back in ");
        print_span(back_in(d));
        printf(".\n");
    }
    if (i < n && stories[i].advice != NULL)
        printf("\nWhat to do: %s.\n", stories[i].advice);
}

int
gh_cli_explain(struct gh_cli *cli)
{
    const char *id = cli->args[0];
    struct gh_cli_answer a;
    char path[100];
    int rc;

    for (const char *p = id; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p))
            id = "";
    if (strlen(id) != 26)
        return gh_cli_fail(GH_CLI_INVALID,
                           "copy the 26 characters of `decision`",
                           "\"%s\" is no decision id", cli->args[0]);
    snprintf(path, sizeof(path), "/v1/decisions/%.26s", id);
    rc = gh_cli_get(cli, path, &a);
    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else
        print_story(a.json);
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}
