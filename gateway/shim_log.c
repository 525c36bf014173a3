/* SPDX-License-Identifier: Apache-2.0 */
#include "shim_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct {
    char name[32];
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

/* R.log -> R.log.1 -> ... up to `files` in all. */
static void
move_on(void)
{
    char from[48], into[48];
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
}

void
gh_shim_log_open(const struct gh_shim_state *s)
{
    snprintf(to.name, sizeof(to.name), "%u.log", s->replica);
    to.most = s->log_size;
    to.files = s->log_files;
    open_file();
    /* Of a service of this name that had other ids. */
    if (to.fd < 0 && errno == EACCES) {
        move_on();
        open_file();
    }
}

static void
turn_over(void)
{
    move_on();
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

size_t
gh_shim_log_copy(int fifo)
{
    static char buffer[16384];
    ssize_t n = read(fifo, buffer, sizeof(buffer));

    if (n <= 0)
        return 0;
    put(buffer, (size_t)n);
    if (to.size >= to.most && to.fd >= 0)
        turn_over();
    return (size_t)n;
}
