/* SPDX-License-Identifier: Apache-2.0 */
/* From a developer's text to the launch record, and back to what is explained.
 */
#include "compose.h"
#include "seccomp_filter.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include <cmocka.h>

static struct gh_faults faults;

static json_t *
check(const char *text)
{
    struct gh_alloc a;
    struct gh_node *root;

    gh_faults_finish(&faults);
    gh_faults_init(&faults);
    a = gh_arena_alloc(&faults.arena);
    root = gh_document_read(gh_slice_str(text), &a, &faults);
    assert_non_null(root);
    return gh_compose_check("web", root, "", &faults);
}

static struct gh_launch_plan *
plan_of(const json_t *service)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_error e;

    if (gh_compose_plan("web", 0, service, &b, &e) != 0)
        fail_msg("%s", e.message);
    return (struct gh_launch_plan *)b.data; /* freed by the test */
}

static int
setup(void **state)
{
    gh_faults_init(&faults);
    return 0;
}

static int
teardown(void **state)
{
    gh_faults_finish(&faults);
    return 0;
}

static void
safe_by_default(void **state)
{
    json_t *s = check("command: [/bin/true]");
    struct gh_launch_plan *p = plan_of(s);

    assert_int_equal(p->caps, 0);
    assert_int_equal(p->uid, 1000);
    assert_true(p->flags & GH_LAUNCH_READ_ONLY);
    assert_false(p->flags & (GH_LAUNCH_EGRESS_GATE | GH_LAUNCH_NO_LANDLOCK));
    assert_int_equal(p->memory, 512ull << 20);
    assert_int_equal(p->pids, 512);
    assert_int_equal(p->stop_signal, SIGTERM);
    assert_int_equal(p->grace_ms, 10000);
    for (uint32_t i = 0; i < p->nmounts; i++)
        assert_true(p->mounts[i].kind == GH_LAUNCH_FILE ||
                    p->mounts[i].flags & GH_LAUNCH_RO);
    free(p);
    json_decref(s);
}

static void
every_value_arrives(void **state)
{
    json_t *s = check("entrypoint: [/bin/a, b]\n"
                      "command: c 'd e'\n"
                      "user: '7:8'\n"
                      "group_add: [9]\n"
                      "working_dir: /w\n"
                      "environment: {A: b}\n"
                      "cap_add: [NET_BIND_SERVICE, CAP_CHOWN]\n"
                      "mem_limit: 64m\n"
                      "memswap_limit: 96m\n"
                      "pids_limit: 5\n"
                      "cpus: 1.5\n"
                      "cpuset: 0-1\n"
                      "stop_signal: SIGQUIT\n"
                      "stop_grace_period: 3s\n"
                      "init: true\n"
                      "ulimits: {nofile: {soft: 10, hard: 20}}\n"
                      "volumes: ['data:/d', '/usr/share:/s:ro']\n"
                      "tmpfs: '/t:size=1m,mode=700'\n"
                      "logging: {options: {max-size: 8k, max-file: 2}}\n"
                      "x-gatehouse: {listen: 99, egress: [gate], "
                      "files: {/f: text}}\n");
    struct gh_launch_plan *p;

    assert_non_null(s);
    p = plan_of(s);
    assert_int_equal(p->nargs, 4);
    assert_string_equal(gh_launch_text(p, p->args[3]), "d e");
    assert_int_equal(p->uid, 7);
    assert_int_equal(p->gid, 8);
    assert_int_equal(p->groups[0], 9);
    assert_string_equal(gh_launch_text(p, p->cwd), "/w");
    assert_int_equal(p->caps, 1u << 10 | 1u << 0);
    assert_int_equal(p->memory, 64 << 20);
    assert_int_equal(p->swap, 32 << 20);
    assert_int_equal(p->pids, 5);
    assert_int_equal(p->cpu_quota_us, 150000);
    assert_int_equal(p->stop_signal, SIGQUIT);
    assert_int_equal(p->grace_ms, 3000);
    assert_int_equal(p->port, 99);
    assert_int_equal(p->rlimits[7].soft, 10);
    assert_int_equal(p->rlimits[7].hard, 20);
    assert_int_equal(p->log_size, 8192);
    assert_true(p->flags & GH_LAUNCH_INIT);
    assert_true(p->flags & GH_LAUNCH_VETH && p->flags & GH_LAUNCH_EGRESS_GATE);
    free(p);
    json_decref(s);
}

static void
parents_are_mounted_before_what_is_in_them(void **state)
{
    json_t *s = check("command: x\nvolumes: ['b:/a/b/c', 'a:/a']\n"
                      "x-gatehouse: {files: {/a/b: x}}");
    struct gh_launch_plan *p = plan_of(s);
    size_t before = 0;

    for (uint32_t i = 0; i < p->nmounts; i++) {
        size_t n = strlen(gh_launch_text(p, p->mounts[i].target));

        assert_true(n >= before);
        before = n;
    }
    free(p);
    json_decref(s);
}

/* What the catalog stores is checked again when it comes back. */
static void
canonical_form_is_a_fixed_point(void **state)
{
    json_t *s = check("command: sh -c 'x y'\nuser: 5\n"
                      "environment: [A=1, B=]\nvolumes: ['d:/d']\n"
                      "tmpfs: /t\nlabels: {a: b}\nexpose: [80]\n"
                      "ulimits: {core: 0, nofile: -1}\n"
                      "deploy: {replicas: 1, resources: {limits: {memory: 9m, "
                      "cpus: 0.5}}}\n"
                      "x-gatehouse: {ready: {http: /h, host: a.b}, files: {/f: "
                      "{content: x, mode: '0400'}}, egress: gate}\n");
    struct gh_arena arena;
    struct gh_alloc a;
    json_t *again;

    assert_non_null(s);
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    again = gh_compose_check("web", gh_document_from_json(s, &a), "", &faults);
    assert_non_null(again);
    assert_true(json_equal(s, again));
    json_decref(again);
    json_decref(s);
    gh_arena_finish(&arena);
}

static void
faults_say_where(void **state)
{
    assert_null(check("command: x\nprivileged: true\nuser: root\n"));
    assert_int_equal(faults.n, 2);
    assert_int_equal(faults.at[0].line, 2);
    assert_int_equal(faults.at[0].column, 1);
    assert_string_equal(faults.at[0].path, "privileged");
    assert_non_null(faults.at[0].hint);
    assert_int_equal(faults.at[1].line, 3);
    assert_int_equal(faults.at[1].column, 7);
}

/* Id-mapped, uid 0 of a service would write files of the host's uid 0. */
static void
a_root_is_read_only(void **state)
{
    json_t *s = check("command: x\nread_only: true\n");

    assert_non_null(s);
    json_decref(s);
    assert_null(check("command: x\nread_only: false\n"
                      "x-gatehouse: {rootfs: /srv/image}\n"));
    assert_int_equal(faults.n, 1);
    assert_int_equal(faults.at[0].line, 2);
    assert_non_null(strstr(faults.at[0].message, "writable root"));
    assert_non_null(strstr(faults.at[0].hint, "tmpfs"));
}

static void
a_near_miss_is_named(void **state)
{
    assert_null(check("command: x\nenvironmet: {}\n"));
    assert_string_equal(faults.at[0].hint, "did you mean `environment`?");
}

static void
life_has_its_defaults(void **state)
{
    json_t *s = check("command: x");
    struct gh_compose_life life;
    struct gh_error e;

    assert_int_equal(gh_compose_life(s, &life, &e), 0);
    assert_int_equal(life.listen, GH_COMPOSE_PORT_OF_LINK);
    assert_int_equal(life.port, GH_COMPOSE_PORT);
    assert_int_equal(life.replicas, 1);
    assert_int_equal(life.restart, GH_COMPOSE_ALWAYS);
    assert_string_equal(life.http, "");
    json_decref(s);
}

static void
environment_values_are_not_explained(void **state)
{
    json_t *s = check("command: x\nenvironment: {PASSWORD: hunter2}");
    struct gh_launch_plan *p = plan_of(s);
    json_t *o = gh_compose_operations(p);
    char *text = json_dumps(o, 0);

    assert_non_null(strstr(text, "PASSWORD"));
    assert_null(strstr(text, "hunter2"));
    free(text);
    json_decref(o);
    free(p);
    json_decref(s);
}

/* ---- filters, run by an interpreter of the few instructions they use */

static uint32_t
run(const struct gh_seccomp *f, const struct seccomp_data *d)
{
    uint32_t a = 0;

    for (unsigned i = 0; i < f->n; i++) {
        const struct sock_filter *c = &f->code[i];

        switch (c->code) {
        case BPF_LD | BPF_W | BPF_ABS:
            assert_true(c->k + 4 <= sizeof(*d));
            memcpy(&a, (const char *)d + c->k, 4);
            break;
        case BPF_JMP | BPF_JA:
            i += c->k;
            break;
        case BPF_JMP | BPF_JEQ | BPF_K:
            i += a == c->k ? c->jt : c->jf;
            break;
        case BPF_JMP | BPF_JGT | BPF_K:
            i += a > c->k ? c->jt : c->jf;
            break;
        case BPF_JMP | BPF_JGE | BPF_K:
            i += a >= c->k ? c->jt : c->jf;
            break;
        case BPF_ALU | BPF_AND | BPF_K:
            a &= c->k;
            break;
        case BPF_RET | BPF_K:
            return c->k;
        default:
            fail_msg("instruction %x", c->code);
        }
    }
    fail_msg("no verdict");
    return 0;
}

static uint32_t
verdict(const struct gh_seccomp *f, int nr, uint64_t a0, uint64_t a1)
{
    struct seccomp_data d = {
        .nr = nr, .arch = AUDIT_ARCH_X86_64, .args = {a0, a1}};

    return run(f, &d);
}

#define ALLOW SECCOMP_RET_ALLOW
#define NOTIFY SECCOMP_RET_USER_NOTIF

static void
the_default_filter(void **state)
{
    struct gh_seccomp f;
    struct gh_error e;
    struct seccomp_data d = {.nr = 11, .arch = AUDIT_ARCH_I386};

    assert_int_equal(gh_seccomp_compile(NULL, &f, &e), 0);
    assert_int_equal(verdict(&f, SYS_read, 0, 0), ALLOW);
    assert_int_equal(verdict(&f, SYS_execve, 0, 0), ALLOW);
    assert_int_equal(verdict(&f, SYS_mount, 0, 0), NOTIFY);
    assert_int_equal(verdict(&f, SYS_ptrace, 0, 0), NOTIFY);
    assert_int_equal(verdict(&f, SYS_bpf, 0, 0), NOTIFY);
    assert_int_equal(verdict(&f, 100000, 0, 0), NOTIFY);
    assert_int_equal(verdict(&f, 435 /* clone3 */, 0, 0),
                     SECCOMP_RET_ERRNO | 38 /* ENOSYS */);
    assert_int_equal(verdict(&f, SYS_clone, 17, 0), ALLOW);
    assert_int_equal(verdict(&f, SYS_clone, 17 | 0x10000000, 0), NOTIFY);
    assert_int_equal(verdict(&f, SYS_socket, 1, 1), ALLOW);
    assert_int_equal(verdict(&f, SYS_socket, 2, 1 | 02000000), ALLOW);
    assert_int_equal(verdict(&f, SYS_socket, 2, 3), NOTIFY);
    assert_int_equal(verdict(&f, SYS_socket, 17, 3), NOTIFY);
    assert_int_equal(verdict(&f, SYS_ioctl, 0, 0x5401), ALLOW);
    assert_int_equal(verdict(&f, SYS_ioctl, 0, 0x5412), NOTIFY);
    assert_int_equal(verdict(&f, SYS_ioctl, 0, 0x100005412), NOTIFY);
    assert_int_equal(verdict(&f, SYS_ioctl, 0, 0x541c), NOTIFY);
    assert_int_equal(verdict(&f, 0x40000000 | SYS_getpid, 0, 0), NOTIFY);
    assert_int_equal(run(&f, &d), NOTIFY); /* i386 */
    assert_true(f.n < 1000);
    gh_seccomp_finish(&f);
}

static void
the_floor_stands_under_every_profile(void **state)
{
    json_t *profile =
        json_pack("{s:s, s:[]}", "defaultAction", "SCMP_ACT_ALLOW", "syscalls");
    struct gh_seccomp f, own;
    struct gh_error e;

    assert_int_equal(gh_seccomp_compile(profile, &f, &e), 0);
    assert_int_equal(verdict(&f, SYS_ptrace, 0, 0), ALLOW);
    assert_int_equal(verdict(&f, SYS_mount, 0, 0), NOTIFY);
    assert_int_equal(verdict(&f, SYS_unshare, 0, 0), NOTIFY);
    assert_int_equal(verdict(&f, SYS_ioctl, 0, 0x5412), NOTIFY);
    assert_int_equal(gh_seccomp_compile(NULL, &own, &e), 0);
    assert_string_not_equal(f.digest, own.digest);
    gh_seccomp_finish(&f);
    gh_seccomp_finish(&own);
    json_decref(profile);
}

static void
the_shipped_profile_is_the_default(void **state)
{
    json_error_t where;
    json_t *shipped = json_load_file("conf/seccomp/default.json", 0, &where);
    json_t *own = gh_seccomp_default();

    assert_non_null(shipped);
    assert_true(json_equal(shipped, own));
    json_decref(shipped);
    json_decref(own);
}

static void
calls_have_names(void **state)
{
    char name[48];

    gh_seccomp_name(AUDIT_ARCH_X86_64, SYS_mount, name);
    assert_string_equal(name, "mount");
    gh_seccomp_name(AUDIT_ARCH_X86_64, 9999, name);
    assert_string_equal(name, "system call 9999");
    gh_seccomp_name(AUDIT_ARCH_I386, 11, name);
    assert_string_equal(name, "execve (32 bit)");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(safe_by_default),
        cmocka_unit_test(every_value_arrives),
        cmocka_unit_test(parents_are_mounted_before_what_is_in_them),
        cmocka_unit_test(canonical_form_is_a_fixed_point),
        cmocka_unit_test(a_root_is_read_only),
        cmocka_unit_test(faults_say_where),
        cmocka_unit_test(a_near_miss_is_named),
        cmocka_unit_test(life_has_its_defaults),
        cmocka_unit_test(environment_values_are_not_explained),
        cmocka_unit_test(the_default_filter),
        cmocka_unit_test(the_floor_stands_under_every_profile),
        cmocka_unit_test(the_shipped_profile_is_the_default),
        cmocka_unit_test(calls_have_names),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
