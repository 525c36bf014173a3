/* SPDX-License-Identifier: Apache-2.0 */
#include "shim_parts.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile sig_atomic_t child;

static void
forward(int sig)
{
    if (child > 0)
        kill((pid_t)child, sig);
}

/* Starts the program, hands signals on, reaps whatever is left to it, and ends
 * as the program ended. */
int
gh_shim_init(char **argv)
{
    static const int handed[] = {SIGTERM, SIGINT,  SIGHUP,  SIGQUIT,
                                 SIGUSR1, SIGUSR2, SIGWINCH};
    struct sigaction act = {.sa_handler = forward, .sa_flags = SA_RESTART};
    sigset_t all, old;
    int status;
    pid_t pid;

    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, &old);
    pid = fork();
    if (pid < 0)
        return 127;
    if (pid == 0) {
        sigprocmask(SIG_SETMASK, &old, NULL);
        execvp(argv[0], argv);
        _exit(127);
    }
    child = pid;
    for (unsigned i = 0; i < sizeof(handed) / sizeof(handed[0]); i++)
        sigaction(handed[i], &act, NULL);
    sigprocmask(SIG_SETMASK, &old, NULL);
    while ((pid = waitpid(-1, &status, 0)) != child)
        if (pid < 0 && errno != EINTR)
            return 127;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
