/* SPDX-License-Identifier: Apache-2.0 */
#include "launch.h"
#include "shim_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static struct gh_launch_reports none, *reports = &none;

void
gh_shim_report_open(void)
{
    void *map = mmap(NULL, sizeof(*reports), PROT_READ | PROT_WRITE, MAP_SHARED,
                     GH_SHIM_REPORTS, 0);

    close(GH_SHIM_REPORTS);
    if (map == MAP_FAILED)
        return;
    reports = map;
    if (reports->magic != GH_LAUNCH_MAGIC ||
        reports->version != GH_LAUNCH_VERSION) {
        memset(reports, 0, sizeof(*reports));
        reports->magic = GH_LAUNCH_MAGIC;
        reports->version = GH_LAUNCH_VERSION;
    }
}

/* The name a process gave itself: text of a stranger, only copied. */
static void
read_comm(int pid, char comm[16])
{
    char path[32];
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/comm", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, comm, 15);
        close(fd);
    }
    if (n < 0)
        n = 0;
    comm[n] = '\0';
    comm[strcspn(comm, "\n")] = '\0';
}

static bool
same(const struct gh_launch_report *a, const struct gh_launch_report *b)
{
    return a->kind == b->kind && a->arch == b->arch && a->number == b->number &&
           strcmp(a->path, b->path) == 0;
}

static void
count(const struct gh_launch_report *r)
{
    struct gh_launch_report *row;

    reports->total++;
    for (int i = 0; i < GH_LAUNCH_REPORT_ROWS; i++) {
        row = &reports->rows[i];
        if (row->count != 0 && !same(row, r))
            continue;
        uint64_t before = row->count;

        *row = *r;
        /* Last, so that a reader never takes a half row for a whole. */
        __atomic_store_n(&row->count, before + 1, __ATOMIC_RELEASE);
        return;
    }
    reports->lost++;
}

void
gh_shim_report_call(const struct seccomp_notif *call)
{
    struct gh_launch_report r = {.kind = 1,
                                 .arch = call->data.arch,
                                 .number = call->data.nr,
                                 .pid = (int32_t)call->pid,
                                 .last_ms = gh_shim_now_ms()};

    for (int i = 0; i < 6; i++)
        r.args[i] = call->data.args[i];
    read_comm((int)call->pid, r.comm);
    count(&r);
}

void
gh_shim_report_file(const char *path, int pid)
{
    struct gh_launch_report r = {
        .kind = 2, .pid = pid, .last_ms = gh_shim_now_ms()};

    snprintf(r.path, sizeof(r.path), "%s", path);
    read_comm(pid, r.comm);
    count(&r);
}

void
gh_shim_report_log_base(uint64_t bytes)
{
    __atomic_store_n(&reports->log_base, bytes, __ATOMIC_RELEASE);
}

uint64_t
gh_shim_report_get_log_base(void)
{
    return reports->log_base;
}
