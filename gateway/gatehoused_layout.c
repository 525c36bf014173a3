/* SPDX-License-Identifier: Apache-2.0 */
/* The directories of an installation: docs/architecture.md has the table. */
#include "gatehoused.h"

#include "secret.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

enum owner { ROOT, CONTROL, IDP };

static const struct row {
    const char *path;
    enum owner owner;
    bool shared; /* group: the shared one, else the owner's */
    mode_t mode;
} rows[] = {
    {"catalog", CONTROL, true, 02750},
    {"idp", IDP, false, 0700},
    /* Who may make a name here could pose as another: only root may. control
     * and idp make their sockets in directories of their own. */
    {"sock", ROOT, true, 0750},
    {"sock/control", CONTROL, true, 0750},
    {"sock/idp", IDP, true, 0750},
    {"svc", ROOT, true, 0750},
    {"services", ROOT, false, 0700},
    {"log", ROOT, false, 0755},
    {"log/services", ROOT, false, 0755}, /* group: control, see below */
};

static uid_t
uid_of(const struct gh_gatehoused_options *o, enum owner owner)
{
    return owner == CONTROL ? o->control.uid : owner == IDP ? o->idp.uid : 0;
}

static gid_t
gid_of(const struct gh_gatehoused_options *o, const struct row *r)
{
    if (r->shared)
        return o->group;
    return r->owner == CONTROL ? o->control.gid
           : r->owner == IDP   ? o->idp.gid
                               : 0;
}

/* By descriptor and without following links: an owner of `catalog` could have
 * put one there. */
static int
make(const struct gh_gatehoused_options *o, int dir, const struct row *r,
     struct gh_error *e)
{
    int fd, rc = 0;

    if (mkdirat(dir, r->path, 0700) != 0 && errno != EEXIST)
        return gh_error_sys(e, errno, "%s/%s", o->dir, r->path);
    fd = openat(dir, r->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchown(fd, uid_of(o, r->owner), gid_of(o, r)) != 0 ||
        fchmod(fd, r->mode) != 0)
        rc = gh_error_sys(e, errno, "%s/%s", o->dir, r->path);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* What services say is for control alone. */
static int
give_logs_to_control(const struct gh_gatehoused_options *o, int dir,
                     struct gh_error *e)
{
    if (fchownat(dir, "log/services", 0, o->control.gid, 0) != 0 ||
        fchmodat(dir, "log/services", 02750, 0) != 0)
        return gh_error_sys(e, errno, "%s/log/services", o->dir);
    return 0;
}

/* control appends to it; the directory stays root's. */
static int
give_audit_log(const struct gh_gatehoused_options *o, int dir,
               struct gh_error *e)
{
    int fd = openat(dir, "log/audit.log",
                    O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
    int rc = 0;

    if (fd < 0 || fchown(fd, o->control.uid, o->control.gid) != 0)
        rc = gh_error_sys(e, errno, "%s/log/audit.log", o->dir);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* The names by which all others know the sockets. */
static int
link_sockets(const struct gh_gatehoused_options *o, int dir,
             struct gh_error *e)
{
    static const struct {
        const char *name, *to;
    } links[] = {{"sock/control.sock", "control/control.sock"},
                 {"sock/idp.sock", "idp/idp.sock"}};

    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
        if ((unlinkat(dir, links[i].name, 0) != 0 && errno != ENOENT) ||
            symlinkat(links[i].to, dir, links[i].name) != 0)
            return gh_error_sys(e, errno, "%s/%s", o->dir, links[i].name);
    return 0;
}

static int
make_secret(const struct gh_gatehoused_options *o, int dir, struct gh_error *e)
{
    char path[PATH_MAX];
    struct stat st;

    if (fstatat(dir, "secret", &st, AT_SYMLINK_NOFOLLOW) != 0) {
        snprintf(path, sizeof(path), "%s/secret", o->dir);
        if (gh_secret_create(path, e) != 0)
            return -1;
    }
    if (fchownat(dir, "secret", 0, o->group, AT_SYMLINK_NOFOLLOW) != 0 ||
        fchmodat(dir, "secret", 0640, 0) != 0)
        return gh_error_sys(e, errno, "%s/secret", o->dir);
    return 0;
}

int
gh_gatehoused_layout(const struct gh_gatehoused_options *o, struct gh_error *e)
{
    int rc = 0, dir = open(o->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return gh_error_sys(e, errno, "%s", o->dir);
    for (size_t i = 0; rc == 0 && i < sizeof(rows) / sizeof(rows[0]); i++)
        rc = make(o, dir, &rows[i], e);
    if (rc == 0)
        rc = give_logs_to_control(o, dir, e);
    if (rc == 0)
        rc = give_audit_log(o, dir, e);
    if (rc == 0)
        rc = link_sockets(o, dir, e);
    if (rc == 0)
        rc = make_secret(o, dir, e);
    close(dir);
    return rc;
}
