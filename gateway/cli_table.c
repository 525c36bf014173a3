/* SPDX-License-Identifier: Apache-2.0 */
/* Every command, once. */
#include "cli.h"

#define END                                                                    \
    {                                                                          \
        .name = NULL                                                           \
    }

const struct gh_cli_option gh_cli_globals[] = {
    {"dir", NULL, "DIR",
     "the installation's directory (GATEHOUSE_DIR, else /var/lib/gatehouse)"},
    {"output", "o", "FORMAT", "table (the default) or json"},
    {"help", "h", NULL, "what the command does"},
    END};

static const struct gh_cli_option down_options[] = {
    {"keep", NULL, NULL, "leave nginx and the services running"}, END};
static const struct gh_cli_option logs_options[] = {
    {"follow", "f", NULL, "go on with what comes"},
    {"tail", "n", "LINES", "how many of the last lines: 100 by default"},
    END};
static const struct gh_cli_option service_remove_options[] = {
    {"volumes", NULL, NULL, "remove its volumes, too"}, END};
static const struct gh_cli_option create_options[] = {
    {"label", NULL, "TEXT", "for people: where the key is used"},
    {"expires", NULL, "TIME", "90d from now, or 2026-12-31T00:00:00Z"},
    {"not-before", NULL, "TIME", "valid only from then on"},
    {"with-id", NULL, NULL,
     "a key that is sent beside the application's id (`app_id_key`)"},
    {"quiet", "q", NULL, "print the key alone"},
    END};
static const struct gh_cli_option rotate_options[] = {
    {"overlap", NULL, "DURATION",
     "how long the old key stays good: 24h by default"},
    {"expires", NULL, "TIME", "when the new key ends"},
    {"label", NULL, "TEXT", "of the new key; the old one's by default"},
    {"quiet", "q", NULL, "print the key alone"},
    END};
static const struct gh_cli_option usage_options[] = {
    {"metric", "m", "METRIC", "this one alone; all of the plan by default"},
    {"period", "p", "PERIOD", "hour (the default), day, week, month, year"},
    {"from", NULL, "TIME", "7d back from now, or 2026-01-31"},
    {"to", NULL, "TIME", "the same; now by default"},
    END};
static const struct gh_cli_option help_options[] = {
    {"markdown", NULL, NULL, "all commands as one page"}, END};

#define KIND(kind, a_kind, example)                                            \
    {kind,        "list",                                                      \
     "",          0,                                                           \
     0,           NULL,                                                        \
     gh_cli_list, "List all " kind "s.",                                       \
     NULL,        "gatehouse " kind " list\ngatehouse " kind " list -o json",  \
     false},                                                                   \
        {kind,        "show",                                                  \
         "NAME",      1,                                                       \
         1,           NULL,                                                    \
         gh_cli_show, "Show " a_kind ".",                                      \
         NULL,        "gatehouse " kind " show NAME",                          \
         false},                                                               \
        {kind,                                                                 \
         "set",                                                                \
         "NAME [FILE] [FIELD=VALUE]...",                                       \
         2,                                                                    \
         GH_CLI_ARGS,                                                          \
         NULL,                                                                 \
         gh_cli_set,                                                           \
         "Add or change " a_kind ".",                                          \
         "With FILE (or - for standard input), the YAML or JSON in it "        \
         "becomes "                                                            \
         "the " kind ". Each\nFIELD=VALUE changes one field of it, or of the " \
         "one that is there: FIELD may descend\n(`session.idle=1h`), VALUE "   \
         "is "                                                                 \
         "JSON where it parses as such, else text, and an empty\nVALUE takes " \
         "the field away. A change made by somebody else meanwhile is not "    \
         "overwritten.",                                                       \
         example,                                                              \
         false},                                                               \
    {                                                                          \
        kind, "remove", "NAME...", 1, GH_CLI_ARGS, NULL, gh_cli_remove,        \
            "Remove " a_kind ".",                                              \
            "What others still refer to is not removed: the message names "    \
            "them.",                                                           \
            "gatehouse " kind " remove NAME", false                            \
    }

const struct gh_command gh_commands[] = {
    {NULL, "up", "[OPTION]...", 0, GH_CLI_ARGS, NULL, gh_cli_up,
     "Start Gatehouse on this host.",
     "Starts gatehoused in the background and waits until the control API "
     "answers. Options are\ngatehoused's: `gatehoused --help` lists them. "
     "What runs already is left as it is.",
     "gatehouse up --nginx /etc/nginx/nginx.conf --redis "
     "unix:/run/redis/redis.sock",
     true},
    {NULL, "down", "", 0, 0, down_options, gh_cli_down,
     "Stop Gatehouse on this host.",
     "Stops the services, nginx and the daemons, and waits until they are "
     "gone.",
     "gatehouse down\ngatehouse down --keep", false},
    {NULL, "status", "", 0, 0, NULL, gh_cli_status, "Show how the parts are.",
     NULL, "gatehouse status", false},
    {NULL, "doctor", "", 0, 0, NULL, gh_cli_doctor,
     "Look for what is wrong, and say what to do about it.",
     "Exits with 1 when a check fails; warnings do not.", "gatehouse doctor",
     false},
    {NULL, "check", "[FILE]", 0, 1, NULL, gh_cli_check,
     "Check a document without applying it.",
     "Tells every fault with line, column and what to try. FILE is - or "
     "absent for standard\ninput.",
     "gatehouse check gatehouse.yaml", false},
    {NULL, "apply", "FILE", 1, 1, NULL, gh_cli_apply,
     "Make the catalog what a document says, all or nothing.",
     "The kinds that the document names become what it says: items that it "
     "leaves out are\nremoved. Kinds that it does not name stay. A document "
     "with any fault changes nothing.",
     "gatehouse apply gatehouse.yaml\ngatehouse export | gatehouse apply -",
     false},
    {NULL, "diff", "FILE", 1, 1, NULL, gh_cli_diff,
     "Show what applying a document would change.",
     "Exits with 2 when it would change anything.",
     "gatehouse diff gatehouse.yaml", false},
    {NULL, "export", "", 0, 0, NULL, gh_cli_export,
     "Print everything as one document.",
     "Applying it changes nothing. Secrets and keys are not in it.",
     "gatehouse export > gatehouse.yaml", false},

    {"service", "register", "FILE", 1, 1, NULL, gh_cli_service_register,
     "Register the services of a Compose file.",
     "Each service of the file is added, or replaced when it differs; others "
     "stay. What the\nsubset of Compose leaves out is refused with the line "
     "and what to do instead.",
     "gatehouse service register compose.yaml", false},
    {"service", "list", "", 0, 0, NULL, gh_cli_list, "List all services.", NULL,
     "gatehouse service list", false},
    {"service", "show", "NAME", 1, 1, NULL, gh_cli_show,
     "Show a service, its health and its limits.", NULL,
     "gatehouse service show billing", false},
    {"service", "set", "NAME [FILE] [FIELD=VALUE]...", 2, GH_CLI_ARGS, NULL,
     gh_cli_set, "Add or change a service.", "As `gatehouse api set`.",
     "gatehouse service set billing url=http://10.0.0.9:8080\n"
     "gatehouse service set billing disabled=true",
     false},
    {"service", "logs", "NAME", 1, 1, logs_options, gh_cli_service_logs,
     "Print what a service wrote.", NULL, "gatehouse service logs billing -f",
     false},
    {"service", "restart", "NAME", 1, 1, NULL, gh_cli_service_restart,
     "Stop a service with grace and start it anew.", NULL,
     "gatehouse service restart billing", false},
    {"service", "remove", "NAME...", 1, GH_CLI_ARGS, service_remove_options,
     gh_cli_remove, "Stop and remove a service.",
     "Its volumes stay, unless --volumes says otherwise.",
     "gatehouse service remove billing", false},
    {"service", "explain", "NAME", 1, 1, NULL, gh_cli_service_explain,
     "Print the plan of operations that makes its sandbox.", NULL,
     "gatehouse service explain billing", false},
    {"service", "violations", "NAME", 1, 1, NULL, gh_cli_service_violations,
     "List refused system calls and file accesses.", NULL,
     "gatehouse service violations billing", false},

    KIND("api", "an API",
         "gatehouse api set orders service=billing path=/orders\n"
         "gatehouse api set orders orders.yaml"),
    KIND("plan", "a plan",
         "gatehouse plan set basic basic.yaml\n"
         "gatehouse plan set basic bounded_for=1m"),
    KIND("account", "an account", "gatehouse account set acme state=suspended"),
    KIND("app", "an application",
         "gatehouse app set mobile account=acme plan=basic\n"
         "gatehouse app set mobile state=suspended"),
    KIND("idp", "an identity provider",
         "gatehouse idp set lemon issuer=https://auth.example.org/"),

    {"key", "create", "APP", 1, 1, create_options, gh_cli_key_create,
     "Make a key for an application and show it, this once.",
     "Only a keyed hash is kept: the key cannot be shown again.",
     "gatehouse key create mobile --label phone --expires 90d\n"
     "KEY=$(gatehouse key create mobile -q)",
     false},
    {"key", "list", "APP", 1, 1, NULL, gh_cli_key_list,
     "List an application's keys.", NULL, "gatehouse key list mobile", false},
    {"key", "rotate", "APP ID", 2, 2, rotate_options, gh_cli_key_rotate,
     "Make a new key; the old one ends after an overlap.", NULL,
     "gatehouse key rotate mobile 5f1d09ab23c4 --overlap 1h", false},
    {"key", "revoke", "APP ID", 2, 2, NULL, gh_cli_key_revoke,
     "End a key at once.", NULL, "gatehouse key revoke mobile 5f1d09ab23c4",
     false},

    {NULL, "usage", "APP", 1, 1, usage_options, gh_cli_usage,
     "Show what an application used.", NULL,
     "gatehouse usage mobile\ngatehouse usage mobile -p day --from 30d", false},
    {NULL, "explain", "DECISION", 1, 1, NULL, gh_cli_explain,
     "Tell why the gate answered a call as it did.",
     "DECISION is in every refusal (`decision`) and in the header "
     "X-Gatehouse-Decision that the\nbackend gets. The gate remembers the "
     "last minutes.",
     "gatehouse explain 01J9Z0K7W3Q8V5N2M4R6T1X0YB", false},
    {NULL, "help", "[COMMAND]...", 0, 2, help_options, gh_cli_help,
     "Explain a command.", NULL, "gatehouse help service logs", false},
    {NULL, "completion", "", 0, 0, NULL, gh_cli_completion,
     "Print a completion script for bash.", NULL,
     "eval \"$(gatehouse completion)\"", false},
};
const size_t gh_commands_count = sizeof(gh_commands) / sizeof(*gh_commands);
