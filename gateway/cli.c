/* SPDX-License-Identifier: Apache-2.0 */
/* From words to a command: the parser over the table. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_MAX ((size_t)4 << 20)

const char *
gh_cli_option(const struct gh_cli *cli, const char *name)
{
    const struct gh_cli_option *o = cli->command->options;

    for (size_t i = 0; o != NULL && o[i].name != NULL; i++)
        if (strcmp(o[i].name, name) == 0)
            return cli->values[i];
    return NULL;
}

int
gh_cli_fail(enum gh_cli_exit code, const char *hint, const char *fmt, ...)
{
    va_list ap;

    fputs("gatehouse: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    if (hint != NULL)
        fprintf(stderr, "  try: %s\n", hint);
    return code;
}

int
gh_cli_read(const char *path, struct gh_buffer *out)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO
                                    : open(path, O_RDONLY | O_CLOEXEC);
    char chunk[65536];
    ssize_t n;

    if (fd < 0)
        return gh_cli_fail(GH_CLI_INVALID, NULL, "%s: %s", path,
                           strerror(errno));
    while ((n = read(fd, chunk, sizeof(chunk))) > 0 && out->len <= FILE_MAX)
        gh_buffer_append(out, gh_slice(chunk, (size_t)n));
    if (n < 0)
        n = -errno;
    if (fd != STDIN_FILENO)
        close(fd);
    if (n < 0)
        return gh_cli_fail(GH_CLI_INVALID, NULL, "%s: %s", path,
                           strerror((int)-n));
    if (out->len > FILE_MAX)
        return gh_cli_fail(GH_CLI_INVALID, "split it by kinds",
                           "%s: larger than 4 MiB", path);
    if (out->failed)
        return gh_cli_fail(GH_CLI_FAILED, NULL, "out of memory");
    return 0;
}

/* ---- finding the command */

static bool
is_group(const char *word)
{
    for (size_t i = 0; i < gh_commands_count; i++)
        if (gh_commands[i].group != NULL &&
            strcmp(gh_commands[i].group, word) == 0)
            return true;
    return false;
}

static const struct gh_command *
find(const char *group, const char *verb)
{
    for (size_t i = 0; i < gh_commands_count; i++) {
        const struct gh_command *c = &gh_commands[i];

        if ((group == NULL) == (c->group == NULL) &&
            (group == NULL || strcmp(group, c->group) == 0) &&
            strcmp(verb, c->verb) == 0)
            return c;
    }
    return NULL;
}

/* ---- options */

static const struct gh_cli_option *
match(const struct gh_cli_option *list, const char *arg, size_t *index)
{
    for (size_t i = 0; list != NULL && list[i].name != NULL; i++) {
        bool hit;

        if (arg[1] == '-')
            hit = strlen(list[i].name) == strcspn(arg + 2, "=") &&
                  strncmp(arg + 2, list[i].name, strlen(list[i].name)) == 0;
        else
            hit = list[i].letter != NULL && arg[1] == list[i].letter[0] &&
                  (list[i].value != NULL || arg[2] == '\0');
        if (hit) {
            *index = i;
            return &list[i];
        }
    }
    return NULL;
}

/* The value beside the option, or in the next word; NULL when none. */
static const char *
value_of(const char *arg, int *i, int argc, char **argv)
{
    const char *eq = arg[1] == '-' ? strchr(arg, '=') : NULL;

    if (eq != NULL)
        return eq + 1;
    if (arg[1] != '-' && arg[2] != '\0')
        return arg + 2;
    return *i + 1 < argc ? argv[++*i] : NULL;
}

static int
take_global(struct gh_cli *cli, const struct gh_cli_option *o,
            const char *value)
{
    if (strcmp(o->name, "dir") == 0)
        cli->dir = value;
    else if (strcmp(value, "json") == 0 || strcmp(value, "table") == 0)
        cli->json = *value == 'j';
    else
        return gh_cli_fail(GH_CLI_INVALID, "-o json",
                           "\"%s\" is no output format", value);
    return 0;
}

static bool
wants_help(const char *arg)
{
    return strcmp(arg, "--help") == 0 || strcmp(arg, "-h") == 0;
}

/* 0; -1 when help was printed; else an exit code. */
static int
take_option(struct gh_cli *cli, const char *arg, int *i, int argc, char **argv)
{
    const struct gh_cli_option *o;
    const char *value = "";
    size_t index;

    if (wants_help(arg)) {
        if (cli->command != NULL)
            gh_cli_print_help(cli->command);
        else
            gh_cli_print_commands(NULL);
        return -1;
    }
    o = cli->command != NULL ? match(cli->command->options, arg, &index) : NULL;
    if (o != NULL) {
        if (o->value != NULL)
            value = value_of(arg, i, argc, argv);
        if (value != NULL)
            cli->values[index] = value;
    } else {
        o = match(gh_cli_globals, arg, &index);
        if (o != NULL) {
            value = value_of(arg, i, argc, argv);
            if (value != NULL)
                return take_global(cli, o, value);
        }
    }
    if (o == NULL)
        return gh_cli_fail(GH_CLI_INVALID, "--help lists the options",
                           "unknown option %s", arg);
    if (value == NULL)
        return gh_cli_fail(GH_CLI_INVALID, NULL, "option %s needs a %s", arg,
                           o->value);
    return 0;
}

static int
unknown_command(const char *group, const char *word)
{
    const char *near = NULL;

    for (size_t i = 0; i < gh_commands_count && near == NULL; i++) {
        const struct gh_command *c = &gh_commands[i];
        const char *w = group != NULL      ? c->verb
                        : c->group != NULL ? c->group
                                           : c->verb;

        if (group != NULL && (c->group == NULL || strcmp(c->group, group)))
            continue;
        if (strncmp(w, word, strlen(word) < 3 ? strlen(word) : 3) == 0)
            near = w;
    }
    return gh_cli_fail(GH_CLI_INVALID, near != NULL ? near : "gatehouse help",
                       "unknown command \"%s%s%s\"", group ? group : "",
                       group ? " " : "", word);
}

/* The word that names a command, or its group. 0 or an exit code. */
static int
take_word(struct gh_cli *cli, const char **group, const char *word)
{
    if (cli->command != NULL) {
        if (cli->nargs == GH_CLI_ARGS)
            return gh_cli_fail(GH_CLI_INVALID, NULL, "too many arguments");
        cli->args[cli->nargs++] = word;
        return 0;
    }
    if (*group == NULL && is_group(word)) {
        *group = word;
        return 0;
    }
    cli->command = find(*group, word);
    return cli->command != NULL ? 0 : unknown_command(*group, word);
}

static int
check_args(const struct gh_cli *cli)
{
    const struct gh_command *c = cli->command;

    if (cli->nargs >= c->min && cli->nargs <= c->max)
        return 0;
    gh_cli_fail(GH_CLI_INVALID, NULL, "%s",
                cli->nargs < c->min ? "an argument is missing"
                                    : "too many arguments");
    fprintf(stderr, "  usage: gatehouse %s%s%s %s\n",
            c->group != NULL ? c->group : "", c->group != NULL ? " " : "",
            c->verb, c->args);
    return GH_CLI_INVALID;
}

/* 0 with a command; -1 when all is said; else an exit code. */
static int
parse(struct gh_cli *cli, int argc, char **argv)
{
    const char *group = NULL;
    bool only_args = false;
    int rc = 0;

    for (int i = 1; rc == 0 && i < argc; i++) {
        const char *arg = argv[i];
        size_t index;

        if (!only_args && strcmp(arg, "--") == 0)
            only_args = true;
        else if (only_args || arg[0] != '-' || arg[1] == '\0')
            rc = take_word(cli, &group, arg);
        else if (cli->command == NULL && group != NULL && wants_help(arg)) {
            gh_cli_print_commands(group);
            rc = -1;
        } else if (cli->command != NULL && cli->command->passes &&
                   match(gh_cli_globals, arg, &index) == NULL)
            rc = take_word(cli, &group, arg);
        else
            rc = take_option(cli, arg, &i, argc, argv);
    }
    if (rc != 0)
        return rc;
    if (cli->command == NULL) {
        gh_cli_print_commands(group);
        return argc == 1 ? -1 : GH_CLI_INVALID;
    }
    return check_args(cli);
}

int
main(int argc, char **argv)
{
    static struct gh_cli cli;
    char *socket = NULL;
    int rc = parse(&cli, argc, argv);

    if (rc != 0)
        return rc < 0 ? 0 : rc;
    if (cli.dir == NULL)
        cli.dir = getenv("GATEHOUSE_DIR");
    if (cli.dir == NULL || *cli.dir == '\0')
        cli.dir = "/var/lib/gatehouse";
    if (asprintf(&socket, "%s/sock/control.sock", cli.dir) < 0)
        return GH_CLI_FAILED;
    cli.socket = socket;
    rc = cli.command->run(&cli);
    if (fflush(stdout) != 0 && rc == 0)
        rc = gh_cli_fail(GH_CLI_FAILED, NULL, "standard output: %s",
                         strerror(errno));
    free(socket);
    return rc;
}
