/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The gatehouse command. It speaks only the control API over its unix socket.
 * One table (cli_table.c) feeds the parser, the help, the reference page and
 * the shell's completion.
 *
 * Results go to standard output as tables, or as JSON with -o json; messages
 * go to standard error. Every command's function returns the exit code.
 */
#ifndef GH_CLI_H
#define GH_CLI_H

#include "pack.h"

#include <jansson.h>

enum gh_cli_exit {
    GH_CLI_OK = 0,
    GH_CLI_FAILED = 1,
    GH_CLI_DIFFERS = 2,
    GH_CLI_INVALID = 3,
    GH_CLI_UNREACHABLE = 4
};

struct gh_cli_option {
    const char *name;   /* without dashes; NULL ends a list */
    const char *letter; /* "f" for -f, or NULL */
    const char *value;  /* name of its value, or NULL for a flag */
    const char *help;
};

struct gh_cli;

struct gh_command {
    const char *group; /* "service", or NULL */
    const char *verb;
    const char *args;                    /* as in the synopsis, or "" */
    unsigned min, max;                   /* how many */
    const struct gh_cli_option *options; /* or NULL */
    int (*run)(struct gh_cli *cli);
    const char *summary;  /* one line */
    const char *text;     /* paragraphs, or NULL */
    const char *examples; /* lines */
    bool passes;          /* unknown options go to the command */
};

extern const struct gh_command gh_commands[];
extern const size_t gh_commands_count;
extern const struct gh_cli_option gh_cli_globals[];

#define GH_CLI_ARGS 256

struct gh_cli {
    const struct gh_command *command;
    const char *dir, *socket;
    bool json;
    const char *args[GH_CLI_ARGS];
    unsigned nargs;
    const char *values[16]; /* of command->options, by index; "" for a flag */
};

/* The value of an option of the command; NULL when it was not given. */
const char *gh_cli_option(const struct gh_cli *cli, const char *name);

/* "gatehouse: text" on standard error; hint may be NULL. Returns code. */
int gh_cli_fail(enum gh_cli_exit code, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Reads a file, or standard input for "-", up to 4 MiB. 0, or an exit code
 * and a message. */
int gh_cli_read(const char *path, struct gh_buffer *out);

/* ---- talking to control [cli_http.c] */

struct gh_cli_answer {
    long status;
    json_t *json; /* NULL: no JSON */
    struct gh_buffer text;
    char etag[64];
};

/* type: of the body, or NULL without one. if_match may be NULL. 0, or an exit
 * code and a message. A problem answer is 0 with its status. */
int gh_cli_call(struct gh_cli *cli, const char *method, const char *path,
                const char *type, struct gh_slice body, const char *if_match,
                struct gh_cli_answer *out);
void gh_cli_answer_finish(struct gh_cli_answer *a);
/* Calls, and tells a problem: 0 with a good answer, else the exit code.
 * file, source: of the body, for messages about lines; may be NULL. */
int gh_cli_ask(struct gh_cli *cli, const char *method, const char *path,
               const char *type, struct gh_slice body, const char *file,
               struct gh_cli_answer *out);
int gh_cli_get(struct gh_cli *cli, const char *path, struct gh_cli_answer *out);
/* Appends "name=value", encoded, after "?" or "&". */
void gh_cli_query(struct gh_buffer *path, const char *name, const char *value);
/* Whether control answers; silent. */
bool gh_cli_reachable(struct gh_cli *cli);

/* ---- showing [cli_print.c] */

struct gh_cli_column {
    const char *title, *path; /* "run.state" */
};

void gh_cli_print_json(const json_t *v);
/* Rows of an array of objects; says so when it is empty. */
void gh_cli_print_table(const json_t *rows, const struct gh_cli_column *cols,
                        size_t n, const char *none);
/* An object as indented "key: value" lines. */
void gh_cli_print_object(const json_t *v, int indent);
/* A value by its path as text ("-" when absent); returns out. */
const char *gh_cli_text(const json_t *v, const char *path, char *out,
                        size_t size);
/* A problem (RFC 9457) with its faults, on standard error. */
void gh_cli_print_problem(const json_t *problem, long status, const char *file,
                          struct gh_slice source);

/* ---- help [cli_help.c] */

void gh_cli_print_help(const struct gh_command *c);
void gh_cli_print_commands(const char *group);

/* ---- commands */

int gh_cli_up(struct gh_cli *cli);
int gh_cli_down(struct gh_cli *cli);
int gh_cli_status(struct gh_cli *cli);
int gh_cli_doctor(struct gh_cli *cli);
int gh_cli_check(struct gh_cli *cli);
int gh_cli_apply(struct gh_cli *cli);
int gh_cli_diff(struct gh_cli *cli);
int gh_cli_export(struct gh_cli *cli);
int gh_cli_list(struct gh_cli *cli);
int gh_cli_show(struct gh_cli *cli);
int gh_cli_set(struct gh_cli *cli);
int gh_cli_remove(struct gh_cli *cli);
int gh_cli_service_register(struct gh_cli *cli);
int gh_cli_service_logs(struct gh_cli *cli);
int gh_cli_service_restart(struct gh_cli *cli);
int gh_cli_service_explain(struct gh_cli *cli);
int gh_cli_service_violations(struct gh_cli *cli);
int gh_cli_key_create(struct gh_cli *cli);
int gh_cli_key_list(struct gh_cli *cli);
int gh_cli_key_rotate(struct gh_cli *cli);
int gh_cli_key_revoke(struct gh_cli *cli);
int gh_cli_usage(struct gh_cli *cli);
int gh_cli_explain(struct gh_cli *cli);
int gh_cli_help(struct gh_cli *cli);
int gh_cli_completion(struct gh_cli *cli);

#endif
