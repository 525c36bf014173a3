/* SPDX-License-Identifier: Apache-2.0 */
#include "idpd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Names of providers follow gh_name_valid(): no slash, no dot. */
static int
path_of(struct gh_idpd *d, struct gh_slice name, const char *suffix, char *out,
        size_t cap, struct gh_error *e)
{
    int n = gh_name_valid(name)
                ? snprintf(out, cap, "%s/idp/%.*s.%s", d->o.dir, (int)name.len,
                           (const char *)name.data, suffix)
                : -1;

    if (n < 0 || (size_t)n >= cap)
        return gh_error_set(e, GH_EINVAL, "not the name of a provider");
    return 0;
}

static int
write_all(int fd, struct gh_slice s)
{
    while (s.len > 0) {
        ssize_t n = write(fd, s.data, s.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        s = gh_slice(s.data + n, s.len - (size_t)n);
    }
    return fsync(fd);
}

static int
sync_directory(struct gh_idpd *d)
{
    char path[PATH_MAX];
    int fd, rc;

    snprintf(path, sizeof(path), "%s/idp", d->o.dir);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    rc = fsync(fd);
    close(fd);
    return rc;
}

/* A new file beside the old one, then renamed: never half a secret. */
int
gh_idpd_secret_write(struct gh_idpd *d, struct gh_slice name,
                     struct gh_slice secret, struct gh_error *e)
{
    char path[PATH_MAX], fresh[PATH_MAX];
    int fd, sys;

    if (secret.len == 0 || secret.len >= GH_IDPD_SECRET ||
        memchr(secret.data, '\0', secret.len) != NULL)
        return gh_error_set(e, GH_EINVAL, "a secret has 1 to %d bytes, no NUL",
                            GH_IDPD_SECRET - 1);
    if (path_of(d, name, "secret", path, sizeof(path), e) != 0 ||
        path_of(d, name, "new", fresh, sizeof(fresh), e) != 0)
        return -1;
    unlink(fresh);
    fd =
        open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return gh_error_sys(e, errno, "%s", fresh);
    if (write_all(fd, secret) != 0 || rename(fresh, path) != 0 ||
        sync_directory(d) != 0) {
        sys = errno;
        close(fd);
        unlink(fresh);
        return gh_error_sys(e, sys, "%s", path);
    }
    close(fd);
    return 0;
}

int
gh_idpd_secret_read(struct gh_idpd *d, struct gh_slice name,
                    char out[GH_IDPD_SECRET], struct gh_error *e)
{
    char path[PATH_MAX];
    ssize_t n;
    int fd;

    if (path_of(d, name, "secret", path, sizeof(path), e) != 0)
        return -1;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return errno == ENOENT ? 0 : gh_error_sys(e, errno, "%s", path);
    n = read(fd, out, GH_IDPD_SECRET);
    close(fd);
    if (n <= 0 || n >= GH_IDPD_SECRET)
        return gh_error_set(e, GH_ECORRUPT, "%s: length", path);
    out[n] = '\0';
    return 1;
}

int
gh_idpd_secret_remove(struct gh_idpd *d, struct gh_slice name,
                      struct gh_error *e)
{
    char path[PATH_MAX];

    if (path_of(d, name, "secret", path, sizeof(path), e) != 0)
        return -1;
    if (unlink(path) == 0)
        return 1;
    return errno == ENOENT ? 0 : gh_error_sys(e, errno, "%s", path);
}
