/* SPDX-License-Identifier: Apache-2.0 */
/* The table told: a page per command, the whole as markdown, completion. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>

static const char exits[] = "    0  done\n"
                            "    1  failed\n"
                            "    2  differs (diff)\n"
                            "    3  invalid input\n"
                            "    4  gatehouse-control is not reached\n";

static void
print_indented(FILE *f, const char *text, const char *indent)
{
    while (*text != '\0') {
        size_t n = strcspn(text, "\n");

        fprintf(f, "%s%.*s\n", indent, (int)n, text);
        text += n + (text[n] == '\n');
    }
}

static void
name_of(const struct gh_command *c, char out[64])
{
    snprintf(out, 64, "gatehouse %s%s%s", c->group != NULL ? c->group : "",
             c->group != NULL ? " " : "", c->verb);
}

static void
print_option(const struct gh_cli_option *o)
{
    char left[64];

    snprintf(left, sizeof(left), "%s%s%s--%s%s%s", o->letter ? "-" : "",
             o->letter ? o->letter : "", o->letter ? ", " : "", o->name,
             o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
    printf("    %-24s %s\n", left, o->help);
}

static void
print_options(const struct gh_command *c)
{
    printf("\nOPTIONS\n");
    for (const struct gh_cli_option *o = c->options;
         o != NULL && o->name != NULL; o++)
        print_option(o);
    for (const struct gh_cli_option *o = gh_cli_globals; o->name != NULL; o++)
        print_option(o);
}

void
gh_cli_print_help(const struct gh_command *c)
{
    char name[64];

    name_of(c, name);
    printf("NAME\n    %s - %s\n\nSYNOPSIS\n    %s%s%s%s\n", name, c->summary,
           name, c->options != NULL ? " [OPTION]..." : "",
           *c->args != '\0' ? " " : "", c->args);
    if (c->text != NULL) {
        printf("\nDESCRIPTION\n");
        print_indented(stdout, c->text, "    ");
    }
    print_options(c);
    printf("\nEXIT STATUS\n%s\nEXAMPLES\n", exits);
    print_indented(stdout, c->examples, "    ");
}

void
gh_cli_print_commands(const char *group)
{
    const char *last = "";
    char left[100];

    printf("Usage: gatehouse [--dir DIR] [-o json] COMMAND...\n\n");
    for (size_t i = 0; i < gh_commands_count; i++) {
        const struct gh_command *c = &gh_commands[i];
        const char *of = c->group != NULL ? c->group : "";

        if (group != NULL && strcmp(of, group) != 0)
            continue;
        if (strcmp(of, last) != 0 && group == NULL)
            putchar('\n');
        last = of;
        snprintf(left, sizeof(left), "%s%s%s %s", of, *of ? " " : "", c->verb,
                 c->args);
        printf("  %-42s %s\n", left, c->summary);
    }
    printf("\n`gatehouse COMMAND --help` explains one.\n");
}

static void
print_markdown(void)
{
    char name[64];

    printf("# Commands\n\nMade by `gatehouse help --markdown`. Exit status of "
           "all: 0 done, 1 failed, 2 differs,\n3 invalid input, 4 "
           "gatehouse-control is not reached. `-o json` and `--dir DIR` work "
           "with all.\n");
    for (size_t i = 0; i < gh_commands_count; i++) {
        const struct gh_command *c = &gh_commands[i];

        name_of(c, name);
        printf("\n## %s\n\n%s", name, c->summary);
        if (c->text != NULL)
            printf(" %s", c->text);
        printf("\n\n```\n%s%s%s%s\n```\n", name,
               c->options != NULL ? " [OPTION]..." : "",
               *c->args != '\0' ? " " : "", c->args);
        if (c->options != NULL)
            printf("\n| option | |\n|---|---|\n");
        for (const struct gh_cli_option *o = c->options;
             o != NULL && o->name != NULL; o++)
            printf("| `%s%s%s--%s%s%s` | %s |\n", o->letter ? "-" : "",
                   o->letter ? o->letter : "", o->letter ? ", " : "", o->name,
                   o->value ? " " : "", o->value ? o->value : "", o->help);
        printf("\n```sh\n%s\n```\n", c->examples);
    }
}

int
gh_cli_help(struct gh_cli *cli)
{
    bool found = false;

    if (gh_cli_option(cli, "markdown") != NULL) {
        print_markdown();
        return GH_CLI_OK;
    }
    if (cli->nargs == 0) {
        gh_cli_print_commands(NULL);
        return GH_CLI_OK;
    }
    for (size_t i = 0; i < gh_commands_count; i++) {
        const struct gh_command *c = &gh_commands[i];
        bool hit =
            c->group == NULL
                ? cli->nargs == 1 && strcmp(c->verb, cli->args[0]) == 0
                : strcmp(c->group, cli->args[0]) == 0 &&
                      (cli->nargs == 1 || strcmp(c->verb, cli->args[1]) == 0);

        if (!hit)
            continue;
        if (c->group != NULL && cli->nargs == 1) {
            gh_cli_print_commands(c->group);
            return GH_CLI_OK;
        }
        gh_cli_print_help(c);
        found = true;
    }
    if (!found)
        return gh_cli_fail(GH_CLI_INVALID, "gatehouse help",
                           "there is no such command");
    return GH_CLI_OK;
}

/* ---- bash */

static void
print_words(const char *group)
{
    const char *last = "";

    for (size_t i = 0; i < gh_commands_count; i++) {
        const struct gh_command *c = &gh_commands[i];
        const char *word;

        if (group != NULL && (c->group == NULL || strcmp(c->group, group)))
            continue;
        word = group != NULL ? c->verb : c->group != NULL ? c->group : c->verb;
        if (strcmp(word, last) != 0)
            printf("%s%s", *last ? " " : "", word);
        last = word;
    }
}

static void
print_option_words(const struct gh_command *c)
{
    for (const struct gh_cli_option *o = c->options;
         o != NULL && o->name != NULL; o++)
        printf("--%s ", o->name);
    printf("--dir --output --help");
}

int
gh_cli_completion(struct gh_cli *cli)
{
    const char *last = "";

    printf("_gatehouse() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} words=\n"
           "    case \"$COMP_CWORD:${COMP_WORDS[1]}:${COMP_WORDS[2]}\" in\n"
           "    1:*) words=\"");
    print_words(NULL);
    printf("\" ;;\n");
    for (size_t i = 0; i < gh_commands_count; i++) {
        const struct gh_command *c = &gh_commands[i];

        if (c->group == NULL || strcmp(c->group, last) == 0)
            continue;
        last = c->group;
        printf("    2:%s:*) words=\"", last);
        print_words(last);
        printf("\" ;;\n");
    }
    for (size_t i = 0; i < gh_commands_count; i++) {
        const struct gh_command *c = &gh_commands[i];

        printf("    *:%s:%s) words=\"", c->group != NULL ? c->group : c->verb,
               c->group != NULL ? c->verb : "*");
        print_option_words(c);
        printf("\" ;;\n");
    }
    printf("    esac\n"
           "    COMPREPLY=($(compgen -W \"$words\" -- \"$cur\"))\n"
           "    [[ ${#COMPREPLY[@]} = 0 ]] && COMPREPLY=($(compgen -f -- "
           "\"$cur\"))\n"
           "}\ncomplete -F _gatehouse gatehouse\n");
    return GH_CLI_OK;
}
