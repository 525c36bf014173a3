/* SPDX-License-Identifier: Apache-2.0 */
/*
 * FUSE, as far as traps need it (include/uapi/linux/fuse.h): a root that can be
 * looked at and neither opened nor searched. A request's
 * names come from the service: they are bounded by the kernel, and only copied.
 */
#include "shim_parts.h"

#include <errno.h>
#include <linux/fuse.h>
#include <linux/major.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#define FOREVER 1000000000u

static const char *const traps[] = {GH_SHIM_TRAP_PATHS};
_Static_assert(sizeof(traps) / sizeof(traps[0]) == GH_SHIM_TRAPS_N,
               "a descriptor per trap");

int
gh_shim_trap_open(int fd)
{
    struct stat st;

    /* The misc device 229 of devices.txt. */
    return fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) &&
                   st.st_rdev == makedev(MISC_MAJOR, 229)
               ? 0
               : -1;
}

static int
answer(int fd, uint64_t unique, int error, const void *body, size_t n)
{
    struct fuse_out_header head = {.unique = unique, .error = -error};
    struct iovec iov[2] = {{&head, sizeof(head)},
                           {(void *)body, error ? 0 : n}};

    head.len = (uint32_t)(sizeof(head) + iov[1].iov_len);
    /* The caller may have been killed meanwhile: ENOENT, nobody's fault. */
    return writev(fd, iov, 2) < 0 && errno == ENODEV ? -1 : 0;
}

static bool
is_directory(int trap)
{
    return traps[trap][strlen(traps[trap]) - 1] == '/';
}

static void
fill_attr(int trap, struct fuse_attr *a)
{
    memset(a, 0, sizeof(*a));
    a->ino = FUSE_ROOT_ID;
    a->nlink = 1;
    a->blksize = 4096;
    a->mode = is_directory(trap) ? S_IFDIR | 0755 : S_IFREG | 0644;
}

static int
start(int fd, uint64_t unique)
{
    struct fuse_init_out out = {.major = FUSE_KERNEL_VERSION,
                                .minor = 31,
                                .max_readahead = 0,
                                .max_write = 4096,
                                .max_background = 8,
                                .congestion_threshold = 6,
                                .time_gran = 1};

    return answer(fd, unique, 0, &out, sizeof(out));
}

static int
look_up(int fd, int trap, const struct fuse_in_header *h, const char *name)
{
    char path[128];

    snprintf(path, sizeof(path), "%s%.100s", traps[trap], name);
    gh_shim_report_file(path, (int)h->pid);
    return answer(fd, h->unique, EACCES, NULL, 0);
}

static int
get_attr(int fd, int trap, const struct fuse_in_header *h)
{
    struct fuse_attr_out out;

    memset(&out, 0, sizeof(out));
    out.attr_valid = FOREVER;
    fill_attr(trap, &out.attr);
    return answer(fd, h->unique, 0, &out, sizeof(out));
}

int
gh_shim_trap_answer(int fd, int trap)
{
    static union {
        struct fuse_in_header head;
        char room[FUSE_MIN_READ_BUFFER + 4096];
    } in;
    const struct fuse_in_header *h = &in.head;
    ssize_t n = read(fd, &in, sizeof(in) - 1);

    if (n < (ssize_t)sizeof(*h))
        return n < 0 && (errno == EINTR || errno == EAGAIN || errno == ENOENT)
                   ? 0
                   : -1;
    in.room[n] = '\0';
    if (h->opcode == FUSE_INIT)
        return start(fd, h->unique);
    if (h->opcode == FUSE_FORGET || h->opcode == FUSE_BATCH_FORGET ||
        h->opcode == FUSE_INTERRUPT)
        return 0; /* these have no answer */
    switch (h->opcode) {
    case FUSE_LOOKUP:
        return look_up(fd, trap, h, in.room + sizeof(*h));
    case FUSE_GETATTR:
        return get_attr(fd, trap, h);
    case FUSE_OPEN:
    case FUSE_OPENDIR:
        gh_shim_report_file(traps[trap], (int)h->pid);
        return answer(fd, h->unique, EACCES, NULL, 0);
    default:
        return answer(fd, h->unique, ENOSYS, NULL, 0);
    }
}
