/* SPDX-License-Identifier: Apache-2.0 */
#include "shim_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    char name[96];
    int fd;
    uint64_t size, most;
    unsigned files;
} to = {.fd = -1};

static void
open_file(void)
{
    struct stat st;

    to.fd =
        openat(GH_SHIM_LOGS, to.name,
               O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
    to.size = to.fd >= 0 && fstat(to.fd, &st) == 0 ? (uint64_t)st.st_size : 0;
}

void
gh_shim_log_open(const struct gh_shim_state *s)
{
    if (s->replica == 0)
        snprintf(to.name, sizeof(to.name), "%s.log", s->name);
    else
        snprintf(to.name, sizeof(to.name), "%s.%u.log", s->name, s->replica);
    to.most = s->log_size;
    to.files = s->log_files;
    open_file();
}

/* NAME.log -> NAME.log.1 -> ... up to `files` in all. */
static void
turn_over(void)
{
    char from[112], into[112];
    unsigned i;

    for (i = to.files - 1; i > 0; i--) {
        snprintf(into, sizeof(into), "%s.%u", to.name, i);
        if (i == 1)
            snprintf(from, sizeof(from), "%s", to.name);
        else
            snprintf(from, sizeof(from), "%s.%u", to.name, i - 1);
        renameat(GH_SHIM_LOGS, from, GH_SHIM_LOGS, into);
    }
    if (to.files == 1)
        unlinkat(GH_SHIM_LOGS, to.name, 0);
    gh_shim_report_log_base(gh_shim_report_get_log_base() + to.size);
    close(to.fd);
    open_file();
}

static void
put(const char *data, size_t n)
{
    ssize_t done;

    if (to.fd < 0)
        open_file();
    while (to.fd >= 0 && n > 0) {
        done = write(to.fd, data, n);
        if (done <= 0)
            return;
        data += done;
        n -= (size_t)done;
        to.size += (uint64_t)done;
    }
}

void
gh_shim_log_copy(int fifo)
{
    static char buffer[16384];
    ssize_t n;

    while ((n = read(fifo, buffer, sizeof(buffer))) > 0) {
        put(buffer, (size_t)n);
        if (to.size >= to.most && to.fd >= 0)
            turn_over();
        if (n < (ssize_t)sizeof(buffer))
            return; /* others want to be served too */
    }
}
