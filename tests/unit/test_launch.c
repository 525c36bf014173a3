/* SPDX-License-Identifier: Apache-2.0 */
/* The launch record: what the launcher refuses, and messages with descriptors.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    struct gh_launch_plan p;
    char heap[256];
} r;

static uint32_t
text(const char *s)
{
    uint32_t at = r.p.heap - 1;

    memcpy(r.heap + at, s, strlen(s) + 1);
    r.p.heap += (uint32_t)strlen(s) + 1;
    r.heap[r.p.heap - 1] = '\0';
    return at;
}

static int
setup(void **state)
{
    memset(&r, 0, sizeof(r));
    r.p.magic = GH_LAUNCH_MAGIC;
    r.p.version = GH_LAUNCH_VERSION;
    r.p.size = sizeof(r.p);
    r.p.heap = 2;
    strcpy(r.p.name, "web");
    strcpy(r.p.hostname, "web");
    r.p.flags = GH_LAUNCH_READ_ONLY;
    r.p.memory = 1 << 20;
    r.p.pids = 1;
    r.p.log_size = 4096;
    r.p.log_files = 1;
    r.p.stop_signal = 15;
    r.p.args[r.p.nargs++] = text("/bin/true");
    r.p.env[r.p.nenv++] = text("A=b");
    return 0;
}

static int
check(struct gh_error *e)
{
    return gh_launch_check(&r, sizeof(r.p) + r.p.heap, e);
}

static void
a_plain_plan_passes(void **state)
{
    struct gh_error e;

    assert_int_equal(check(&e), 0);
    assert_string_equal(gh_launch_text(&r.p, r.p.args[0]), "/bin/true");
    assert_null(gh_launch_text(&r.p, 0));
}

#define REFUSED(change, code_wanted)                                           \
    do {                                                                       \
        struct gh_error told;                                                  \
                                                                               \
        setup(NULL);                                                           \
        change;                                                                \
        assert_int_equal(check(&told), -1);                                    \
        assert_int_equal(told.code, code_wanted);                              \
    } while (0)

static void
every_field_has_its_range(void **state)
{
    REFUSED(r.p.magic++, GH_EINVAL);
    REFUSED(r.p.version++, GH_EINVAL);
    REFUSED(r.p.size--, GH_EINVAL);
    REFUSED(strcpy(r.p.name, "../x"), GH_EINVAL);
    REFUSED(strcpy(r.p.name, ""), GH_EINVAL);
    REFUSED(memset(r.p.name, 'a', sizeof(r.p.name)), GH_EINVAL);
    REFUSED(strcpy(r.p.hostname, "UPPER"), GH_EINVAL);
    REFUSED(r.p.replica = GH_LAUNCH_REPLICAS, GH_EINVAL);
    REFUSED(r.p.uid = 65535, GH_EINVAL);
    REFUSED(r.p.gid = UINT32_MAX, GH_EINVAL);
    REFUSED(r.p.umask = 01000, GH_EINVAL);
    REFUSED(r.p.ngroups = GH_LAUNCH_GROUPS + 1, GH_EINVAL);
    REFUSED((r.p.ngroups = 1, r.p.groups[0] = 65535), GH_EINVAL);
    REFUSED(r.p.flags |= 1u << 20, GH_EINVAL);
    REFUSED(r.p.port = 65536, GH_EINVAL);
    REFUSED(r.p.memory = UINT64_MAX, GH_EINVAL);
    REFUSED(r.p.memory = 0, GH_EINVAL); /* no limit */
    REFUSED(r.p.pids = GH_LAUNCH_PIDS + 1, GH_EINVAL);
    REFUSED(r.p.pids = 0, GH_EINVAL);
    REFUSED((r.p.cpu_quota_us = 1, r.p.cpu_period_us = 0), GH_EINVAL);
    REFUSED(r.p.log_size = 0, GH_EINVAL);
    REFUSED(r.p.log_files = 0, GH_EINVAL);
    REFUSED(r.p.stop_signal = 65, GH_EINVAL);
    REFUSED((r.p.rlimits[7].set = 1, r.p.rlimits[7].soft = 2), GH_EINVAL);
    REFUSED(r.p.rlimits[0].set = 2, GH_EINVAL);
}

static void
a_capability_of_no_service_is_denied(void **state)
{
    REFUSED(r.p.caps = 1ull << 21 /* SYS_ADMIN */, GH_EDENIED);
    REFUSED(r.p.caps = 1ull << 63, GH_EDENIED);
}

static void
roots_and_rights_fit_together(void **state)
{
    REFUSED(r.p.flags = 0, GH_EINVAL); /* a writable root of the host */
    REFUSED((r.p.flags = GH_LAUNCH_ROOTFS, r.p.rootfs = text("/x")), GH_EINVAL);
    REFUSED(r.p.flags |= GH_LAUNCH_ROOTFS, GH_EINVAL);
    REFUSED(r.p.rootfs = text("/x"), GH_EINVAL);
    REFUSED((r.p.flags |= GH_LAUNCH_ROOTFS, r.p.rootfs = text("/x/../y")),
            GH_EINVAL);
    REFUSED(r.p.flags |= GH_LAUNCH_EGRESS_GATE, GH_EINVAL);
    REFUSED(r.p.flags |= GH_LAUNCH_SOCKET_DIR | GH_LAUNCH_NO_LANDLOCK,
            GH_EINVAL);
    REFUSED(r.p.flags |= GH_LAUNCH_SOCKET_DIR | GH_LAUNCH_LISTEN, GH_EINVAL);
}

static void
offsets_lie_in_the_heap(void **state)
{
    REFUSED(r.p.args[0] = r.p.heap, GH_EINVAL);
    REFUSED(r.p.args[0] = UINT32_MAX, GH_EINVAL);
    REFUSED(r.p.args[0] = 0, GH_EINVAL);
    REFUSED(r.p.nargs = 0, GH_EINVAL);
    REFUSED(r.p.nargs = GH_LAUNCH_ARGS + 1, GH_EINVAL);
    REFUSED(r.p.nenv = GH_LAUNCH_ENV + 1, GH_EINVAL);
    REFUSED(r.p.env[0] = r.p.args[0], GH_EINVAL); /* no "=" */
    REFUSED(r.heap[r.p.heap - 1] = 'x', GH_EINVAL);
    REFUSED(r.heap[0] = 'x', GH_EINVAL);
    REFUSED(r.p.heap = 0, GH_EINVAL);
    REFUSED(r.p.cwd = r.p.heap + 1, GH_EINVAL);
    REFUSED(r.p.cpuset = text("0;1"), GH_EINVAL);
}

static void
one_mount(uint32_t kind, const char *source, const char *target)
{
    setup(NULL);
    r.p.nmounts = 1;
    r.p.mounts[0].kind = kind;
    r.p.mounts[0].target = text(target);
    if (source != NULL)
        r.p.mounts[0].source = text(source);
}

static void
one_bind(const char *source, const char *target)
{
    one_mount(GH_LAUNCH_BIND, source, target);
    r.p.mounts[0].flags = GH_LAUNCH_RO;
}

static void
mounts_name_plain_things(void **state)
{
    struct gh_error e;

    one_mount(GH_LAUNCH_BIND, "/usr/share", "/x");
    assert_int_equal(check(&e), -1); /* written, it would be the host's */
    r.p.mounts[0].flags = GH_LAUNCH_RO;
    assert_int_equal(check(&e), 0);
    one_mount(GH_LAUNCH_VOLUME, "data", "/x");
    assert_int_equal(check(&e), 0);
    one_mount(GH_LAUNCH_TMPFS, NULL, "/x");
    assert_int_equal(check(&e), 0);
    REFUSED(one_bind("usr", "/x"), GH_EINVAL);
    REFUSED(one_bind("/a/../b", "/x"), GH_EINVAL);
    REFUSED(one_bind("/a", "x"), GH_EINVAL);
    REFUSED(one_bind("/a", "/"), GH_EINVAL);
    REFUSED(one_mount(GH_LAUNCH_VOLUME, "../b", "/x"), GH_EINVAL);
    REFUSED(one_mount(9, NULL, "/x"), GH_EINVAL);
    REFUSED((one_mount(GH_LAUNCH_FILE, "text", "/x"),
             r.p.mounts[0].size = r.p.heap),
            GH_EINVAL);
    REFUSED(
        (one_mount(GH_LAUNCH_TMPFS, NULL, "/x"), r.p.mounts[0].flags = 1u << 9),
        GH_EINVAL);
    REFUSED(r.p.nmounts = GH_LAUNCH_MOUNTS + 1, GH_EINVAL);
}

static void
sizes_must_agree(void **state)
{
    struct gh_error e;

    assert_int_equal(gh_launch_check(&r, 0, &e), -1);
    assert_int_equal(gh_launch_check(&r, sizeof(r.p), &e), -1);
    assert_int_equal(gh_launch_check(&r, sizeof(r.p) + r.p.heap - 1, &e), -1);
    assert_int_equal(gh_launch_check(&r, sizeof(r.p) + r.p.heap + 1, &e), -1);
}

static void
paths_are_absolute_and_plain(void **state)
{
    static const char *const bad[] = {"",     "a",   "/",   "//a", "/a//b",
                                      "/a/.", "/..", "/a/", "/./a"};
    char longest[1100];

    assert_true(gh_launch_path_valid("/a"));
    assert_true(gh_launch_path_valid("/a/b.c/..d"));
    assert_false(gh_launch_path_valid(NULL));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(gh_launch_path_valid(bad[i]));
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    longest[0] = '/';
    assert_false(gh_launch_path_valid(longest));
}

static void
descriptors_travel_and_strangers_are_closed(void **state)
{
    char data[4];
    int pair[2], fds[2], sent[3], before, after;

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
    for (int i = 0; i < 3; i++)
        sent[i] = open("/dev/null", O_RDONLY);
    assert_int_equal(gh_launch_send(pair[0], "abc", 4, sent, 3), 0);
    before = dup(0);
    close(before);
    assert_int_equal(gh_launch_receive(pair[1], data, 4, fds, 2), 4);
    assert_true(fds[0] >= 0 && fds[1] >= 0);
    assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
    close(fds[0]);
    close(fds[1]);
    after = dup(0); /* the third was closed: no number is lost */
    close(after);
    assert_int_equal(before, after);
    assert_int_equal(gh_launch_send(pair[0], "abcdefgh", 8, NULL, 0), 0);
    assert_int_equal(gh_launch_receive(pair[1], data, 4, fds, 2), -1);
    assert_int_equal(errno, EMSGSIZE); /* cut short is not a record */
    close(pair[0]);
    assert_int_equal(gh_launch_receive(pair[1], data, 4, fds, 2), 0);
    close(pair[1]);
    for (int i = 0; i < 3; i++)
        close(sent[i]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_plain_plan_passes, setup),
        cmocka_unit_test(every_field_has_its_range),
        cmocka_unit_test(a_capability_of_no_service_is_denied),
        cmocka_unit_test(roots_and_rights_fit_together),
        cmocka_unit_test(offsets_lie_in_the_heap),
        cmocka_unit_test(mounts_name_plain_things),
        cmocka_unit_test_setup(sizes_must_agree, setup),
        cmocka_unit_test(paths_are_absolute_and_plain),
        cmocka_unit_test(descriptors_travel_and_strangers_are_closed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
