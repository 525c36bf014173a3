/* SPDX-License-Identifier: Apache-2.0 */
#include "seccomp_filter.h"

#include "encode.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- the floor: refused before any profile is asked */

static const char *const never[] = {
    "acct",           "add_key",         "bpf",
    "delete_module",  "finit_module",    "fsconfig",
    "fsmount",        "fsopen",          "fspick",
    "init_module",    "io_uring_enter",  "io_uring_register",
    "io_uring_setup", "kexec_file_load", "kexec_load",
    "keyctl",         "lookup_dcookie",  "mount",
    "mount_setattr",  "move_mount",      "open_by_handle_at",
    "open_tree",      "perf_event_open", "pivot_root",
    "quotactl",       "quotactl_fd",     "reboot",
    "request_key",    "setns",           "settimeofday",
    "swapoff",        "swapon",          "umount2",
    "unshare",        "userfaultfd",     NULL};

#define TIOCSTI_NUMBER 0x5412
#define TIOCLINUX_NUMBER 0x541c
#define FLOOR_MAX 96

static unsigned
put(struct sock_filter *f, unsigned n, uint16_t code, uint32_t k, uint8_t yes,
    uint8_t no)
{
    f[n] = (struct sock_filter){code, yes, no, k};
    return n + 1;
}

/* Little-endian: an argument's low half comes first. */
static unsigned
write_floor(struct sock_filter *f)
{
    const uint16_t load = BPF_LD | BPF_W | BPF_ABS,
                   eq = BPF_JMP | BPF_JEQ | BPF_K;
    const uint32_t refuse = SECCOMP_RET_USER_NOTIF;
    unsigned n = 0;

    /* Another arch has other numbers: left to the profile's own check. */
    n = put(f, n, load, offsetof(struct seccomp_data, arch), 0, 0);
    unsigned skip = n;
    n = put(f, n, eq, AUDIT_ARCH_X86_64, 0, 0);
    n = put(f, n, load, offsetof(struct seccomp_data, nr), 0, 0);
    for (unsigned i = 0; never[i] != NULL; i++) {
        int number = seccomp_syscall_resolve_name(never[i]);

        if (number < 0)
            continue;
        n = put(f, n, eq, (uint32_t)number, 0, 1);
        n = put(f, n, BPF_RET | BPF_K, refuse, 0, 0);
    }
    n = put(f, n, eq, SYS_ioctl, 0, 4);
    n = put(f, n, load, offsetof(struct seccomp_data, args[1]), 0, 0);
    n = put(f, n, eq, TIOCSTI_NUMBER, 1, 0);
    n = put(f, n, eq, TIOCLINUX_NUMBER, 0, 1);
    n = put(f, n, BPF_RET | BPF_K, refuse, 0, 0);
    f[skip].jf = (uint8_t)(n - skip - 1);
    return n;
}

/* ---- an OCI profile to rules */

static const struct {
    const char *name;
    uint32_t action; /* SCMP_ACT_ERRNO(0): with a number */
} actions[] = {
    {"SCMP_ACT_ALLOW", SCMP_ACT_ALLOW},
    {"SCMP_ACT_LOG", SCMP_ACT_LOG},
    {"SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0)},
    {"SCMP_ACT_KILL", SCMP_ACT_KILL_PROCESS},
    {"SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS},
    {"SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL},
    {"SCMP_ACT_TRAP", SCMP_ACT_TRAP},
};

static const struct {
    const char *name;
    enum scmp_compare op;
} operators[] = {
    {"SCMP_CMP_NE", SCMP_CMP_NE},
    {"SCMP_CMP_LT", SCMP_CMP_LT},
    {"SCMP_CMP_LE", SCMP_CMP_LE},
    {"SCMP_CMP_EQ", SCMP_CMP_EQ},
    {"SCMP_CMP_GE", SCMP_CMP_GE},
    {"SCMP_CMP_GT", SCMP_CMP_GT},
    {"SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ},
};

/* The action of `key`; EPERM becomes a notification. 0 and a fault: unknown. */
static int
read_action(const json_t *o, const char *key, const char *number_key,
            uint32_t *out, struct gh_error *e)
{
    const char *name = json_string_value(json_object_get(o, key));
    const json_t *number = json_object_get(o, number_key);
    json_int_t code = number == NULL ? EPERM : json_integer_value(number);

    for (size_t i = 0; name != NULL && i < sizeof(actions) / sizeof(actions[0]);
         i++) {
        if (strcmp(name, actions[i].name) != 0)
            continue;
        *out = actions[i].action;
        if (*out == SCMP_ACT_ERRNO(0)) {
            if (code < 0 || code > 4095)
                return gh_error_set(e, GH_EINVAL, "seccomp: %s: 0 to 4095",
                                    number_key);
            *out = code == EPERM ? SCMP_ACT_NOTIFY
                                 : SCMP_ACT_ERRNO((uint32_t)code);
        }
        return 0;
    }
    return gh_error_set(e, GH_EINVAL, "seccomp: %s: unknown action \"%s\"", key,
                        name != NULL ? name : "");
}

static int
read_args(const json_t *rule, struct scmp_arg_cmp *args, unsigned *n,
          struct gh_error *e)
{
    const json_t *list = json_object_get(rule, "args"), *one;
    size_t i, k;

    *n = 0;
    json_array_foreach(list, i, one)
    {
        const char *op = json_string_value(json_object_get(one, "op"));
        json_int_t index = json_integer_value(json_object_get(one, "index"));

        for (k = 0; k < sizeof(operators) / sizeof(operators[0]); k++)
            if (op != NULL && strcmp(op, operators[k].name) == 0)
                break;
        if (k == sizeof(operators) / sizeof(operators[0]) || index < 0 ||
            index > 5 || *n == 6)
            return gh_error_set(e, GH_EINVAL, "seccomp: args[%zu]", i);
        args[(*n)++] = (struct scmp_arg_cmp){
            (unsigned)index, operators[k].op,
            (scmp_datum_t)json_integer_value(json_object_get(one, "value")),
            (scmp_datum_t)json_integer_value(json_object_get(one, "valueTwo"))};
    }
    return 0;
}

/* Docker's includes and excludes depend on capabilities and kernels: such a
 * rule says different things on different hosts. */
static int
check_rule(const json_t *rule, struct gh_error *e)
{
    static const char *const refused[] = {"includes", "excludes"};

    for (int i = 0; i < 2; i++) {
        const json_t *v = json_object_get(rule, refused[i]);

        if (v != NULL && json_object_size(v) > 0)
            return gh_error_set(e, GH_EINVAL,
                                "seccomp: \"%s\" is no part of the OCI format: "
                                "resolve it first",
                                refused[i]);
    }
    if (!json_is_array(json_object_get(rule, "names")))
        return gh_error_set(e, GH_EINVAL, "seccomp: a rule without names");
    return 0;
}

static int
add_rule(scmp_filter_ctx ctx, const json_t *rule, uint32_t standard,
         struct gh_error *e)
{
    struct scmp_arg_cmp args[6];
    const json_t *name;
    uint32_t action;
    unsigned nargs;
    size_t i;

    if (check_rule(rule, e) != 0 ||
        read_action(rule, "action", "errnoRet", &action, e) != 0 ||
        read_args(rule, args, &nargs, e) != 0)
        return -1;
    if (action == standard)
        return 0; /* libseccomp refuses what says nothing */
    json_array_foreach(json_object_get(rule, "names"), i, name)
    {
        const char *text = json_string_value(name);
        int rc, number = text == NULL ? __NR_SCMP_ERROR
                                      : seccomp_syscall_resolve_name(text);

        if (number == __NR_SCMP_ERROR || number < 0)
            continue; /* not on this architecture */
        rc = seccomp_rule_add_array(ctx, action, number, nargs, args);
        if (rc != 0 && rc != -EEXIST)
            return gh_error_sys(e, -rc, "seccomp: rule for %s", text);
    }
    return 0;
}

/* Between the filter and the program pid 1 itself needs these. */
static int
check_own_needs(const json_t *profile, struct gh_error *e)
{
    static const char *const needs[] = {"sendmsg", "close", "execve",
                                        "exit_group", NULL};
    const json_t *rule, *name;
    size_t i, k;

    for (int n = 0; needs[n] != NULL; n++) {
        const char *action =
            json_string_value(json_object_get(profile, "defaultAction"));
        bool ok = action != NULL && strcmp(action, "SCMP_ACT_ALLOW") == 0;

        json_array_foreach(json_object_get(profile, "syscalls"), i, rule)
        {
            action = json_string_value(json_object_get(rule, "action"));
            json_array_foreach(json_object_get(rule, "names"), k, name)
            {
                const char *text = json_string_value(name);

                if (text != NULL && strcmp(text, needs[n]) == 0)
                    ok = action != NULL &&
                         strcmp(action, "SCMP_ACT_ALLOW") == 0 &&
                         json_array_size(json_object_get(rule, "args")) == 0;
            }
        }
        if (!ok)
            return gh_error_set(e, GH_EINVAL,
                                "seccomp: \"%s\" must be allowed: the sandbox "
                                "itself starts the program with it",
                                needs[n]);
    }
    return 0;
}

static int
fill(scmp_filter_ctx ctx, const json_t *profile, uint32_t standard,
     struct gh_error *e)
{
    const json_t *rule;
    size_t i;

    seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_NOTIFY);
    seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    json_array_foreach(json_object_get(profile, "syscalls"), i, rule)
    {
        if (add_rule(ctx, rule, standard, e) != 0)
            return -1;
    }
    return 0;
}

/* ---- to bytes */

static int export(scmp_filter_ctx ctx, struct gh_seccomp *out,
                  struct gh_error *e)
{
    struct sock_filter floor[FLOOR_MAX];
    unsigned nfloor = write_floor(floor);
    int rc, fd = memfd_create("filter", MFD_CLOEXEC);
    off_t size;

    if (fd < 0)
        return gh_error_sys(e, errno, "memfd");
    rc = seccomp_export_bpf(ctx, fd);
    size = lseek(fd, 0, SEEK_END);
    if (rc != 0 || size <= 0) {
        close(fd);
        return gh_error_sys(e, -rc, "seccomp: no filter");
    }
    out->n = nfloor + (unsigned)((size_t)size / sizeof(*out->code));
    out->code = malloc(out->n * sizeof(*out->code));
    if (out->code == NULL || out->n > 4096) {
        close(fd);
        gh_seccomp_finish(out);
        return gh_error_set(e, GH_ETOOBIG,
                            "seccomp: the filter is too long (4096)");
    }
    memcpy(out->code, floor, nfloor * sizeof(*floor));
    rc = pread(fd, out->code + nfloor, (size_t)size, 0) == size ? 0 : -1;
    close(fd);
    return rc == 0 ? 0 : gh_error_sys(e, errno, "seccomp: filter");
}

static int
compile(const json_t *profile, struct gh_seccomp *out, struct gh_error *e)
{
    scmp_filter_ctx ctx;
    uint32_t standard;
    int rc;

    if (!json_is_object(profile))
        return gh_error_set(e, GH_EINVAL, "seccomp: a map is wanted");
    if (read_action(profile, "defaultAction", "defaultErrnoRet", &standard,
                    e) != 0 ||
        check_own_needs(profile, e) != 0)
        return -1;
    ctx = seccomp_init(standard);
    if (ctx == NULL)
        return gh_error_set(e, GH_ENOMEM, "seccomp: no memory");
    rc = fill(ctx, profile, standard, e);
    if (rc == 0)
        rc = export(ctx, out, e);
    seccomp_release(ctx);
    return rc;
}

int
gh_seccomp_compile(const json_t *profile, struct gh_seccomp *out,
                   struct gh_error *e)
{
    json_t *own = profile == NULL ? gh_seccomp_default() : NULL;
    unsigned char digest[GH_DIGEST_SIZE];
    struct gh_slice code;
    int rc;

    memset(out, 0, sizeof(*out));
    /* Notifications came with level 5; libseccomp asks the running kernel,
     * which in a sandboxed control may not answer. */
    if (seccomp_api_get() < 5)
        seccomp_api_set(5);
    rc = compile(own != NULL ? own : profile, out, e);
    json_decref(own);
    if (rc != 0)
        return -1;
    code = gh_slice(out->code, out->n * sizeof(*out->code));
    gh_sha256(&code, 1, digest);
    gh_hex_encode(gh_slice(digest, sizeof(digest)), out->digest);
    return 0;
}

void
gh_seccomp_finish(struct gh_seccomp *s)
{
    free(s->code);
    memset(s, 0, sizeof(*s));
}

void
gh_seccomp_name(uint32_t arch, int number, char out[48])
{
    uint32_t known = arch == AUDIT_ARCH_I386 ? SCMP_ARCH_X86
                     : number >= 0x40000000  ? SCMP_ARCH_X32
                                             : SCMP_ARCH_X86_64;
    char *name = seccomp_syscall_resolve_num_arch(known, number);

    if (name != NULL)
        snprintf(out, 48, "%s%s", name,
                 known == SCMP_ARCH_X86_64 ? "" : " (32 bit)");
    else
        snprintf(out, 48, "system call %d", number);
    free(name);
}
