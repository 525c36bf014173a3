/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is left of a removed service: millions of files perhaps, nested as deep
 * as it liked. At once it only gets another name, services/.gone.N (`home` was
 * services/NAME, `svc` svc/NAME); a child of the launcher takes it apart. Its
 * ids stay taken until nothing of it is left.
 */
#include "launcher.h"

#include "log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define GONE ".gone."

static DIR *
open_list(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir == NULL && fd >= 0)
        close(fd);
    return dir;
}

static bool
is_self(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* ---- the child */

/*
 * Empties a directory of `top` and removes it. What is nested in it moves up
 * to `top`: so depth costs neither descriptors nor stack. Nothing is followed.
 */
static bool
take_apart(int top, const char *name, unsigned long *moved)
{
    DIR *dir = open_list(top, name);
    struct dirent *d;
    char into[24];

    while (dir != NULL && (d = readdir(dir)) != NULL) {
        if (is_self(d->d_name) || unlinkat(dirfd(dir), d->d_name, 0) == 0 ||
            unlinkat(dirfd(dir), d->d_name, AT_REMOVEDIR) == 0)
            continue;
        snprintf(into, sizeof(into), "%lu", ++*moved);
        renameat(dirfd(dir), d->d_name, top, into);
    }
    if (dir != NULL)
        closedir(dir);
    return unlinkat(top, name, AT_REMOVEDIR) == 0 ||
           unlinkat(top, name, 0) == 0;
}

static void
empty(int services, const char *gone)
{
    DIR *top = open_list(services, gone);
    unsigned long moved = 0;
    struct dirent *d;
    bool more = top != NULL;

    /* Until the end its ids lie beside it. */
    if (top != NULL)
        renameat(dirfd(top), "home/ids", dirfd(top), "ids");
    while (more) {
        more = false;
        rewinddir(top);
        while ((d = readdir(top)) != NULL)
            if (!is_self(d->d_name) && strcmp(d->d_name, "ids") != 0 &&
                take_apart(dirfd(top), d->d_name, &moved))
                more = true;
    }
    if (top != NULL)
        closedir(top);
    top = open_list(services, gone);
    while (top != NULL && (d = readdir(top)) != NULL)
        more |= !is_self(d->d_name) && strcmp(d->d_name, "ids") != 0;
    if (top == NULL || more)
        return; /* a disk that fails: the ids stay taken */
    unlinkat(dirfd(top), "ids", 0);
    closedir(top);
    unlinkat(services, gone, AT_REMOVEDIR);
}

/* It ends with the launcher; the next one goes on. */
static void
start_child(int services, const char *gone)
{
    pid_t launcher = getpid(), pid = fork();

    if (pid < 0)
        gh_log(GH_LOG_ERROR, "services/%s stays: %s", gone, strerror(errno));
    if (pid != 0)
        return;
    prctl(PR_SET_NAME, "launcher-remove");
    /* Connections of the launcher must end with it, not with us. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0 ||
        getppid() != launcher || dup2(services, 3) < 0 ||
        close_range(4, ~0u, 0) != 0)
        _exit(1);
    setpriority(PRIO_PROCESS, 0, 10);
    empty(3, gone);
    _exit(0);
}

/* ---- the launcher */

void
gh_launcher_sweep(int services)
{
    DIR *dir = open_list(services, ".");
    struct dirent *d;

    while (dir != NULL && (d = readdir(dir)) != NULL)
        if (strncmp(d->d_name, GONE, strlen(GONE)) == 0)
            start_child(services, d->d_name);
    if (dir != NULL)
        closedir(dir);
}

/* A fresh directory for what goes. */
static int
make_gone(int services, char gone[32])
{
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(gone, 32, GONE "%u", i);
        if (mkdirat(services, gone, 0700) == 0)
            return 0;
        if (errno != EEXIST)
            return -1;
    }
    return -1;
}

/* State, reports and pipes: ours, few, and no directories. */
static void
remove_own_files(int services, const char *name)
{
    DIR *dir = open_list(services, name);
    struct dirent *d;

    while (dir != NULL && (d = readdir(dir)) != NULL)
        if (strcmp(d->d_name, "ids") != 0)
            unlinkat(dirfd(dir), d->d_name, 0);
    if (dir != NULL)
        closedir(dir);
}

/* Whoever has its ids next shall not have its log. */
static void
keep_log(struct gh_launcher *l, const char *name)
{
    char path[96];

    snprintf(path, sizeof(path), "log/services/%s", name);
    if (fchownat(l->dir, path, 0, l->house.control_group,
                 AT_SYMLINK_NOFOLLOW) != 0 &&
        errno != ENOENT)
        gh_log(GH_LOG_ERROR, "%s: %s", path, strerror(errno));
}

static int
move_away(struct gh_launcher *l, int services, const char *name, bool volumes,
          struct gh_error *e)
{
    char gone[32], from[96], into[48];

    if (make_gone(services, gone) != 0)
        return gh_error_sys(e, errno, "services/" GONE "N");
    snprintf(into, sizeof(into), "%s/home", gone);
    if (!volumes)
        remove_own_files(services, name);
    else if (renameat(services, name, services, into) != 0 && errno != ENOENT)
        return gh_error_sys(e, errno, "services/%s", name);
    snprintf(from, sizeof(from), "svc/%s", name);
    snprintf(into, sizeof(into), "services/%s/svc", gone);
    if (renameat(l->dir, from, l->dir, into) != 0 && errno != ENOENT)
        return gh_error_sys(e, errno, "%s", from);
    if (volumes)
        keep_log(l, name);
    start_child(services, gone);
    return 0;
}

int
gh_launcher_remove_files(struct gh_launcher *l, const char *name, bool volumes,
                         struct gh_error *e)
{
    int rc, services =
                openat(l->dir, "services", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    char path[96];
    struct stat st;

    if (services < 0)
        return gh_error_sys(e, errno, "services");
    snprintf(path, sizeof(path), "%s/volumes", name);
    if (fstatat(services, path, &st, AT_SYMLINK_NOFOLLOW) != 0)
        volumes = true; /* there are none to keep */
    rc = move_away(l, services, name, volumes, e);
    close(services);
    return rc;
}
