/* SPDX-License-Identifier: Apache-2.0 */
/* Who runs as whom: each process gives up here what it does not need. */
#include "gatehoused.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define ARGS 96

static const struct {
    const char *name, *socket;
} kinds[GH_CHILDREN] = {
    [GH_CHILD_LAUNCHER] = {"launcher", "sock/launcher.sock"},
    [GH_CHILD_CONTROL] = {"gatehouse-control", "sock/control.sock"},
    [GH_CHILD_IDP] = {"gatehouse-idp", "sock/idp.sock"},
};

const char *
gh_child_name(enum gh_child_kind k)
{
    return kinds[k].name;
}

const char *
gh_child_socket(enum gh_child_kind k)
{
    return kinds[k].socket;
}

struct words {
    char *at[ARGS];
    unsigned n;
    char room[2 * PATH_MAX];
    size_t used;
};

static void
add(struct words *w, const char *word)
{
    if (w->n < ARGS - 1)
        w->at[w->n++] = (char *)word;
}

static void
add_number(struct words *w, const char *option, unsigned value)
{
    char *text = w->room + w->used;

    w->used +=
        (size_t)snprintf(text, sizeof(w->room) - w->used, "%u", value) + 1;
    add(w, option);
    add(w, text);
}

static void
add_text(struct words *w, const char *option, const char *value)
{
    if (value == NULL)
        return;
    add(w, option);
    add(w, value);
}

/* The socket itself, in the directory of who makes it (gatehoused_layout.c). */
static void
add_socket(struct words *w, const char *option,
           const struct gh_gatehoused_options *o, const char *path)
{
    char *text = w->room + w->used;

    w->used += (size_t)snprintf(text, sizeof(w->room) - w->used, "%s/%s",
                                o->dir, path) +
               1;
    add_text(w, option, text);
}

static void
command(const struct gh_gatehoused_options *o, enum gh_child_kind k,
        struct words *w)
{
    w->n = 0;
    w->used = 0;
    if (k == GH_CHILD_LAUNCHER) {
        add(w, o->argv[0]);
        for (char **a = o->argv + 1; *a != NULL; a++)
            if (strcmp(*a, "--daemon") != 0)
                add(w, *a);
        add(w, "--launcher");
        add_text(w, "--programs", o->programs);
        add_text(w, "--dir", o->dir);
    } else {
        add(w, kinds[k].name);
        add_text(w, "--dir", o->dir);
        add_text(w, "--redis", o->redis);
        add_number(w, "--group", o->group);
        if (k == GH_CHILD_CONTROL) {
            add_number(w, "--idp-user", o->idp.uid);
            add_socket(w, "--socket", o, "sock/control/control.sock");
        } else {
            add_number(w, "--gate-uid", o->gate.uid);
            add_number(w, "--control-uid", o->control.uid);
            add_text(w, "--ca-file", o->ca_file);
            add_socket(w, "--sock", o, "sock/idp/idp.sock");
        }
    }
    w->at[w->n] = NULL;
}

/* uid, groups and capabilities, for good. */
static int
become(const struct gh_user *u, gid_t shared)
{
    for (int cap = 0; cap < 64; cap++)
        if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) != 0)
            break; /* past the kernel's last one */
    if (setgroups(1, &shared) != 0 || setresgid(u->gid, u->gid, u->gid) != 0 ||
        setresuid(u->uid, u->uid, u->uid) != 0)
        return -1;
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

static void
clean_environment(const struct gh_gatehoused_options *o)
{
    /* Sanitizers read theirs when built in. */
    static const char *const kept[] = {"ASAN_OPTIONS", "UBSAN_OPTIONS", "TZ"};
    const char *values[sizeof(kept) / sizeof(kept[0])];

    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        values[i] = getenv(kept[i]);
    clearenv();
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        if (values[i] != NULL)
            setenv(kept[i], values[i], 1);
    setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin", 1);
    setenv("GATEHOUSE_DIR", o->dir, 1);
}

static _Noreturn void
run(const struct gh_gatehoused_options *o, enum gh_child_kind k, int log,
    pid_t monitor)
{
    const struct gh_user *user = k == GH_CHILD_CONTROL ? &o->control : &o->idp;
    static struct words w;
    char path[PATH_MAX];
    sigset_t mask;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    command(o, k, &w);
    snprintf(path, sizeof(path), "%s/%s", o->programs,
             k == GH_CHILD_LAUNCHER ? "gatehoused" : kinds[k].name);
    for (int sig = 1; sig < 32; sig++)
        signal(sig, SIG_DFL);
    sigemptyset(&mask);
    /* Told to stop before it listens for that, it must still clear away what it
     * has made: the signal waits. */
    if (k == GH_CHILD_LAUNCHER) {
        sigaddset(&mask, SIGTERM);
        sigaddset(&mask, SIGINT);
        sigaddset(&mask, SIGUSR2);
    }
    sigprocmask(SIG_SETMASK, &mask, NULL);
    clean_environment(o);
    if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 ||
        chdir("/") != 0 ||
        (k != GH_CHILD_LAUNCHER && become(user, o->group) != 0) ||
        /* After the change of uid, which would clear it. */
        prctl(PR_SET_PDEATHSIG, SIGTERM, 0, 0, 0) != 0) {
        dprintf(log, "%s: %s\n", kinds[k].name, strerror(errno));
        _exit(126);
    }
    if (getppid() != monitor)
        _exit(0); /* it died just now */
    execv(path, w.at);
    dprintf(log, "%s: %s\n", path, strerror(errno));
    _exit(127);
}

pid_t
gh_child_start(const struct gh_gatehoused_options *o, enum gh_child_kind k,
               int log, struct gh_error *e)
{
    pid_t monitor = getpid(), pid = fork();

    if (pid == 0)
        run(o, k, log, monitor);
    if (pid < 0)
        return gh_error_sys(e, errno, "fork");
    return pid;
}
