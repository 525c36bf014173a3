/* SPDX-License-Identifier: Apache-2.0 */
#include "launch.h"

#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

_Static_assert(RLIM_NLIMITS <= GH_LAUNCH_RLIMITS, "room for all rlimits");
_Static_assert(sizeof(struct gh_launch_plan) % 8 == 0, "no hidden padding");

const char *
gh_launch_text(const struct gh_launch_plan *p, uint32_t offset)
{
    return offset == 0 ? NULL : (const char *)(p + 1) + offset;
}

bool
gh_launch_path_valid(const char *path)
{
    size_t n;

    if (path == NULL || path[0] != '/' || strlen(path) >= 1024)
        return false;
    while (*path == '/') {
        n = strcspn(path + 1, "/");
        if (n == 0 || n > 255 || (n == 1 && path[1] == '.') ||
            (n == 2 && path[1] == '.' && path[2] == '.'))
            return false;
        path += 1 + n;
    }
    return true;
}

static int
bad(struct gh_error *e, const char *what)
{
    return gh_error_set(e, GH_EINVAL, "plan: %s", what);
}

/* The heap begins and ends with a NUL: so every offset is a text that ends. */
static bool
text_ok(const struct gh_launch_plan *p, uint32_t offset, bool may_be_none)
{
    return offset < p->heap && (may_be_none || offset != 0);
}

static bool
path_ok(const struct gh_launch_plan *p, uint32_t offset)
{
    return text_ok(p, offset, false) &&
           gh_launch_path_valid(gh_launch_text(p, offset));
}

static bool
name_ok(const char name[GH_NAME_SIZE])
{
    size_t n = strnlen(name, GH_NAME_SIZE);

    return n < GH_NAME_SIZE && gh_name_valid(gh_slice(name, n));
}

static bool
mount_ok(const struct gh_launch_plan *p, const struct gh_launch_mount *m)
{
    if (!path_ok(p, m->target) || m->mode > 07777 || m->pad != 0 ||
        (m->flags & ~(GH_LAUNCH_RO | GH_LAUNCH_NOEXEC | GH_LAUNCH_OPTIONAL)) !=
            0)
        return false;
    switch (m->kind) {
    case GH_LAUNCH_BIND:
        return (m->flags & GH_LAUNCH_RO) != 0 && path_ok(p, m->source);
    case GH_LAUNCH_VOLUME:
        return text_ok(p, m->source, false) &&
               gh_name_valid(gh_slice_str(gh_launch_text(p, m->source)));
    case GH_LAUNCH_FILE:
        return m->source < p->heap && m->size < p->heap - m->source;
    case GH_LAUNCH_TMPFS:
        return m->source == 0 && m->size <= UINT64_C(1) << 40;
    default:
        return false;
    }
}

static const char *
shape_fault(const struct gh_launch_plan *p, size_t size)
{
    const unsigned char *heap = (const unsigned char *)(p + 1);

    if (size < sizeof(*p))
        return "too short";
    if (p->magic != GH_LAUNCH_MAGIC || p->version != GH_LAUNCH_VERSION ||
        p->size != sizeof(*p))
        return "of another version";
    if (p->heap < 2 || p->heap > GH_LAUNCH_HEAP || size - sizeof(*p) != p->heap)
        return "size of the heap";
    if (heap[0] != '\0' || heap[p->heap - 1] != '\0')
        return "texts without an end";
    return NULL;
}

static const char *
value_fault(const struct gh_launch_plan *p)
{
    if (!name_ok(p->name) || !name_ok(p->hostname))
        return "name";
    if (p->replica >= GH_LAUNCH_REPLICAS)
        return "replica";
    if (p->uid >= GH_LAUNCH_IDS || p->gid >= GH_LAUNCH_IDS || p->umask > 0777)
        return "uid, gid or umask";
    if (p->ngroups > GH_LAUNCH_GROUPS)
        return "groups";
    for (uint32_t i = 0; i < p->ngroups; i++)
        if (p->groups[i] >= GH_LAUNCH_IDS)
            return "groups";
    if ((p->flags & ~0xffu) != 0 || p->port > 65535 || p->pad != 0)
        return "flags or port";
    if ((p->flags & GH_LAUNCH_EGRESS_GATE) && !(p->flags & GH_LAUNCH_VETH))
        return "egress without a link";
    if (!(p->flags & GH_LAUNCH_READ_ONLY))
        return "a writable root";
    if ((p->flags & GH_LAUNCH_SOCKET_DIR) && (p->flags & GH_LAUNCH_NO_LANDLOCK))
        return "shared sockets without Landlock";
    if ((p->flags & GH_LAUNCH_SOCKET_DIR) && (p->flags & GH_LAUNCH_LISTEN))
        return "a socket handed over in a directory of the service";
    if (((p->flags & GH_LAUNCH_ROOTFS) != 0) != (p->rootfs != 0) ||
        (p->rootfs != 0 && !path_ok(p, p->rootfs)))
        return "rootfs";
    return NULL;
}

static const char *
limit_fault(const struct gh_launch_plan *p)
{
    if (p->memory == 0 || p->memory > UINT64_C(1) << 50 ||
        p->swap > UINT64_C(1) << 50 || p->pids == 0 ||
        p->pids > GH_LAUNCH_PIDS || p->tmp_size > UINT64_C(1) << 40)
        return "memory, pids or size of /tmp";
    if (p->cpu_quota_us > UINT64_C(1) << 40 || p->cpu_period_us > 1000000 ||
        (p->cpu_quota_us != 0 && p->cpu_period_us < 1000) ||
        p->cpu_shares > 262144)
        return "cpu";
    if (p->stop_signal < 1 || p->stop_signal > 64 || p->grace_ms > 3600000)
        return "stop signal or grace";
    if (p->log_size < 4096 || p->log_size > UINT64_C(1) << 32 ||
        p->log_files == 0 || p->log_files > 100)
        return "log";
    for (size_t i = 0; i < GH_LAUNCH_RLIMITS; i++)
        if (p->rlimits[i].set > (i < RLIM_NLIMITS) ||
            p->rlimits[i].soft > p->rlimits[i].hard || p->rlimits[i].pad != 0)
            return "rlimits";
    return NULL;
}

static const char *
table_fault(const struct gh_launch_plan *p)
{
    if (p->nargs == 0 || p->nargs > GH_LAUNCH_ARGS)
        return "command";
    for (uint32_t i = 0; i < p->nargs; i++)
        if (!text_ok(p, p->args[i], false))
            return "command";
    if (p->nenv > GH_LAUNCH_ENV)
        return "environment";
    for (uint32_t i = 0; i < p->nenv; i++)
        if (!text_ok(p, p->env[i], false) ||
            strchr(gh_launch_text(p, p->env[i]), '=') == NULL)
            return "environment";
    if (p->nmounts > GH_LAUNCH_MOUNTS)
        return "mounts";
    for (uint32_t i = 0; i < p->nmounts; i++)
        if (!mount_ok(p, &p->mounts[i]))
            return "mounts";
    if (!text_ok(p, p->cpuset, true) || !text_ok(p, p->cwd, true))
        return "cpuset or working directory";
    if (p->cwd != 0 && strcmp(gh_launch_text(p, p->cwd), "/") != 0 &&
        !path_ok(p, p->cwd))
        return "working directory";
    if (p->cpuset != 0 &&
        strspn(gh_launch_text(p, p->cpuset), "0123456789,-") !=
            strlen(gh_launch_text(p, p->cpuset)))
        return "cpuset";
    return NULL;
}

int
gh_launch_check(const void *data, size_t size, struct gh_error *e)
{
    const struct gh_launch_plan *p = data;
    const char *fault = shape_fault(p, size);

    if (fault == NULL)
        fault = value_fault(p);
    if (fault == NULL)
        fault = limit_fault(p);
    if (fault == NULL)
        fault = table_fault(p);
    if (fault != NULL)
        return bad(e, fault);
    if ((p->caps & ~GH_LAUNCH_CAPS) != 0)
        return gh_error_set(e, GH_EDENIED,
                            "plan: a capability that no service may have");
    return 0;
}

int
gh_launch_send(int sock, const void *data, size_t size, const int *fds,
               unsigned nfds)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)data, size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (nfds > 8) {
        errno = EINVAL;
        return -1;
    }
    if (nfds > 0) {
        msg.msg_control = &control;
        msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(&control.head), fds, nfds * sizeof(int));
    }
    do
        n = sendmsg(sock, &msg, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0 && (size_t)n != size)
        errno = EMSGSIZE;
    return n == (ssize_t)size ? 0 : -1;
}

/* Keeps the first `nfds` descriptors of a message, closes the others. */
static void
take_descriptors(struct msghdr *msg, int *fds, unsigned nfds)
{
    struct cmsghdr *c;
    unsigned have = 0;
    size_t n;
    int fd;

    for (c = CMSG_FIRSTHDR(msg); c != NULL; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
            if (have < nfds)
                fds[have++] = fd;
            else
                close(fd);
        }
    }
}

ssize_t
gh_launch_receive(int sock, void *data, size_t size, int *fds, unsigned nfds)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(8 * sizeof(int))];
    } control;
    struct iovec iov = {data, size};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof(control)};
    ssize_t n;

    for (unsigned i = 0; i < nfds; i++)
        fds[i] = -1;
    do
        n = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return -1;
    take_descriptors(&msg, fds, nfds);
    if ((msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        for (unsigned i = 0; i < nfds; i++)
            if (fds[i] >= 0)
                close(fds[i]);
        errno = EMSGSIZE;
        return -1;
    }
    return n;
}
