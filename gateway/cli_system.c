/* SPDX-License-Identifier: Apache-2.0 */
/* up, down, status, doctor: the host's installation as a whole. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define UP_TIMEOUT_MS 20000
#define DOWN_TIMEOUT_MS 60000

/* gatehoused beside us, or where `make install` puts it. */
static int
find_daemon(char out[1024])
{
    static const char *const places[] = {"", "../libexec/gatehouse/",
                                         "../sbin/"};
    char self[512];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    char *slash;

    if (n <= 0)
        return -1;
    self[n] = '\0';
    slash = strrchr(self, '/');
    if (slash == NULL)
        return -1;
    slash[1] = '\0';
    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        snprintf(out, 1024, "%s%sgatehoused", self, places[i]);
        if (access(out, X_OK) == 0)
            return 0;
    }
    return -1;
}

static int
run_daemon(struct gh_cli *cli, const char *program)
{
    const char *argv[GH_CLI_ARGS + 8];
    size_t n = 0;
    pid_t pid;
    int status;

    argv[n++] = program;
    argv[n++] = "--daemon";
    argv[n++] = "--dir";
    argv[n++] = cli->dir;
    for (unsigned i = 0; i < cli->nargs; i++)
        argv[n++] = cli->args[i];
    argv[n] = NULL;
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        execv(program, (char *const *)argv);
        _exit(127);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            pid = -1;
    if (pid < 0)
        return gh_cli_fail(GH_CLI_FAILED, NULL, "%s: %s", program,
                           strerror(errno));
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return gh_cli_fail(WIFEXITED(status) && WEXITSTATUS(status) == 3
                           ? GH_CLI_INVALID
                           : GH_CLI_FAILED,
                       "look at log/gatehoused.log",
                       "gatehoused did not "
                       "start");
}

static void
pause_ms(long ms)
{
    struct timespec t = {ms / 1000, ms % 1000 * 1000000};

    nanosleep(&t, NULL);
}

int
gh_cli_up(struct gh_cli *cli)
{
    char program[1024];
    int rc;

    if (gh_cli_reachable(cli)) {
        if (!cli->json)
            printf("Gatehouse is up already at %s\n", cli->dir);
        return GH_CLI_OK;
    }
    if (find_daemon(program) != 0)
        return gh_cli_fail(GH_CLI_FAILED, "make all, or make install",
                           "gatehoused is not beside this program");
    if (geteuid() != 0)
        return gh_cli_fail(GH_CLI_FAILED, "sudo gatehouse up",
                           "only root can make sandboxes");
    rc = run_daemon(cli, program);
    if (rc != 0)
        return rc;
    for (int ms = 0; !gh_cli_reachable(cli); ms += 20) {
        if (ms >= UP_TIMEOUT_MS)
            return gh_cli_fail(GH_CLI_UNREACHABLE,
                               "look at log/control.log below --dir",
                               "gatehoused runs, but gatehouse-control does "
                               "not answer");
        pause_ms(20);
    }
    if (!cli->json)
        printf("Gatehouse is up at %s\n", cli->dir);
    return GH_CLI_OK;
}

/* ---- down */

static pid_t
daemon_pid(struct gh_cli *cli)
{
    char path[1024], text[32] = "", comm[32] = "";
    FILE *f;
    long pid;

    snprintf(path, sizeof(path), "%s/gatehoused.pid", cli->dir);
    f = fopen(path, "re");
    if (f == NULL)
        return 0;
    if (fgets(text, sizeof(text), f) == NULL)
        text[0] = '\0';
    fclose(f);
    pid = strtol(text, NULL, 10);
    if (pid <= 1)
        return 0;
    snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
    f = fopen(path, "re");
    if (f == NULL)
        return 0;
    if (fgets(comm, sizeof(comm), f) == NULL)
        comm[0] = '\0';
    fclose(f);
    /* A stale file may name somebody else's process. */
    return strncmp(comm, "gatehoused", 10) == 0 ? (pid_t)pid : 0;
}

int
gh_cli_down(struct gh_cli *cli)
{
    bool keep = gh_cli_option(cli, "keep") != NULL;
    pid_t pid = daemon_pid(cli);
    struct pollfd p = {.events = POLLIN};
    int rc;

    if (pid == 0) {
        if (!cli->json)
            printf("Gatehouse is not up at %s\n", cli->dir);
        return GH_CLI_OK;
    }
    p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    if (p.fd < 0 || syscall(SYS_pidfd_send_signal, p.fd,
                            keep ? SIGUSR1 : SIGTERM, NULL, 0) != 0)
        return gh_cli_fail(GH_CLI_FAILED, "as root (sudo)", "gatehoused: %s",
                           strerror(errno));
    do
        rc = poll(&p, 1, DOWN_TIMEOUT_MS);
    while (rc < 0 && errno == EINTR);
    close(p.fd);
    if (rc == 0)
        return gh_cli_fail(GH_CLI_FAILED, "look at log/gatehoused.log",
                           "gatehoused (pid %ld) still runs after %d s",
                           (long)pid, DOWN_TIMEOUT_MS / 1000);
    if (!cli->json)
        printf("Gatehouse is down%s\n",
               keep ? "; nginx and the services go on" : "");
    return GH_CLI_OK;
}

/* ---- status */

static void
print_part(const json_t *s, const char *part, const char *state,
           const char *detail)
{
    char a[200], b[300];

    printf("%-9s %-10s %s\n", part, gh_cli_text(s, state, a, sizeof(a)),
           strcmp(gh_cli_text(s, detail, b, sizeof(b)), "-") == 0 ? "" : b);
}

int
gh_cli_status(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    int rc = gh_cli_get(cli, "/v1/status", &a);
    const char *kind;
    json_t *n;

    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else {
        print_part(a.json, "control", "control.state", "control.started");
        print_part(a.json, "gate", "gate.state", "gate.error");
        print_part(a.json, "idp", "idp.state", "idp.error");
        print_part(a.json, "redis", "redis.state", "redis.error");
        print_part(a.json, "launcher", "house.launcher", "house.lacks");
        printf("%-9s %-10s generation %lld\n", "catalog", "up",
               (long long)json_integer_value(json_object_get(
                   json_object_get(a.json, "catalog"), "generation")));
        printf("          ");
        json_object_foreach(json_object_get(a.json, "items"), kind, n)
        {
            printf(" %lld %s", (long long)json_integer_value(n), kind);
        }
        putchar('\n');
    }
    gh_cli_answer_finish(&a);
    return GH_CLI_OK;
}

int
gh_cli_doctor(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    int rc = gh_cli_get(cli, "/v1/doctor", &a);
    const json_t *one;
    char text[600];
    size_t i;

    if (rc != 0)
        return rc;
    if (cli->json)
        gh_cli_print_json(a.json);
    else
        json_array_foreach(json_object_get(a.json, "checks"), i, one)
        {
            char state[16], name[64];

            printf("%-5s %-9s %s\n",
                   gh_cli_text(one, "state", state, sizeof(state)),
                   gh_cli_text(one, "check", name, sizeof(name)),
                   gh_cli_text(one, "detail", text, sizeof(text)));
            if (json_object_get(one, "advice") != NULL)
                printf("                try: %s\n",
                       gh_cli_text(one, "advice", text, sizeof(text)));
        }
    rc =
        json_is_true(json_object_get(a.json, "ok")) ? GH_CLI_OK : GH_CLI_FAILED;
    gh_cli_answer_finish(&a);
    return rc;
}
