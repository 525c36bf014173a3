/* SPDX-License-Identifier: Apache-2.0 */
/* The new mount interface: fsopen(2), fsmount(2), open_tree(2). */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

static int
keep_errno_close(int fd)
{
    int saved = errno;

    close(fd);
    errno = saved;
    return -1;
}

int
gh_sandbox_clone_tree(int dirfd, const char *path, uint64_t attributes,
                      bool recursive)
{
    struct mount_attr attr = {.attr_set = attributes};
    unsigned flags = recursive ? AT_RECURSIVE : 0;
    int fd;

    if (*path == '\0')
        flags |= AT_EMPTY_PATH;
    fd = open_tree(dirfd, path,
                   OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW |
                       flags);
    if (fd >= 0 && attributes != 0 &&
        mount_setattr(fd, "", AT_EMPTY_PATH | flags, &attr, sizeof(attr)) != 0)
        return keep_errno_close(fd);
    return fd;
}

static int
set_number(int fs, const char *key, uint64_t value, const char *format)
{
    char text[32];

    snprintf(text, sizeof(text), format, (unsigned long long)value);
    return fsconfig(fs, FSCONFIG_SET_STRING, key, text, 0);
}

static int
finish(int fs, uint64_t attributes)
{
    int fd;

    if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) != 0)
        return keep_errno_close(fs);
    fd = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned)attributes);
    keep_errno_close(fs);
    return fd;
}

int
gh_sandbox_tmpfs(uint64_t size, unsigned mode, uint64_t attributes)
{
    int fs = fsopen("tmpfs", FSOPEN_CLOEXEC);

    if (fs < 0)
        return -1;
    if (set_number(fs, "size", size, "%llu") != 0 ||
        set_number(fs, "mode", mode, "%llo") != 0 ||
        set_number(fs, "nr_inodes", 65536, "%llu") != 0)
        return keep_errno_close(fs);
    return finish(fs, attributes);
}

int
gh_sandbox_fuse(int device, bool directory)
{
    int fs = fsopen("fuse", FSOPEN_CLOEXEC);

    if (fs < 0)
        return -1;
    if (fsconfig(fs, FSCONFIG_SET_STRING, "source", "traps", 0) != 0 ||
        set_number(fs, "fd", (uint64_t)device, "%llu") != 0 ||
        set_number(fs, "rootmode", directory ? S_IFDIR | 0755 : S_IFREG | 0644,
                   "%llo") != 0 ||
        set_number(fs, "user_id", 0, "%llu") != 0 ||
        set_number(fs, "group_id", 0, "%llu") != 0 ||
        fsconfig(fs, FSCONFIG_SET_FLAG, "allow_other", NULL, 0) != 0)
        return keep_errno_close(fs);
    return finish(fs, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
                          MOUNT_ATTR_NOEXEC);
}
