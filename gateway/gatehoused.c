/* SPDX-License-Identifier: Apache-2.0 */
/* The command line of gatehoused: one table for parsing and for --help. */
#include "gatehoused.h"

#include "encode.h"
#include "log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#define STANDARD_DIR "/var/lib/gatehouse"

static int
find_user(struct gh_user *u, const char *text)
{
    struct passwd *pw;
    uint64_t n;

    if (gh_parse_u64(gh_slice_str(text), 1, INT32_MAX, &n) == 0) {
        pw = getpwuid((uid_t)n);
        u->uid = (uid_t)n;
        u->gid = pw != NULL ? pw->pw_gid : (gid_t)n;
        return 0;
    }
    pw = getpwnam(text);
    if (pw == NULL || pw->pw_uid == 0)
        return -1;
    u->uid = pw->pw_uid;
    u->gid = pw->pw_gid;
    return 0;
}

static int
take_control(struct gh_gatehoused_options *o, const char *v)
{
    return find_user(&o->control, v);
}

static int
take_idp(struct gh_gatehoused_options *o, const char *v)
{
    return find_user(&o->idp, v);
}

static int
take_gate(struct gh_gatehoused_options *o, const char *v)
{
    return find_user(&o->gate, v);
}

static int
take_group(struct gh_gatehoused_options *o, const char *v)
{
    struct group *gr;
    uint64_t n;

    if (gh_parse_u64(gh_slice_str(v), 1, INT32_MAX, &n) == 0)
        o->group = (gid_t)n;
    else if ((gr = getgrnam(v)) != NULL && gr->gr_gid != 0)
        o->group = gr->gr_gid;
    else
        return -1;
    return 0;
}

static int
take_dir(struct gh_gatehoused_options *o, const char *v)
{
    o->dir = v;
    return *v == '\0' ? -1 : 0;
}

static int
take_nginx(struct gh_gatehoused_options *o, const char *v)
{
    o->nginx = realpath(v, NULL);
    return o->nginx == NULL ? -1 : 0;
}

static int
take_allow(struct gh_gatehoused_options *o, const char *v)
{
    size_t n = strlen(v);

    if (o->nallow == GH_GATEHOUSED_PATHS || v[0] != '/' || n < 2 ||
        v[n - 1] == '/' || strstr(v, "/..") != NULL)
        return -1;
    o->allow[o->nallow++] = v;
    return 0;
}

/* "127.0.0.1:8080"; 0.0.0.0 stands for loopback. */
static int
take_gate_address(struct gh_gatehoused_options *o, const char *v)
{
    struct sockaddr_in *a = &o->gates[o->ngates];
    const char *colon = strrchr(v, ':');
    char host[INET_ADDRSTRLEN];
    uint64_t port;

    if (o->ngates == GH_GATEHOUSED_GATES || colon == NULL ||
        gh_slice_copy(gh_slice(v, (size_t)(colon - v)), host, sizeof(host)) !=
            0 ||
        inet_pton(AF_INET, host, &a->sin_addr) != 1 ||
        gh_parse_u64(gh_slice_str(colon + 1), 1, 65535, &port) != 0)
        return -1;
    if (a->sin_addr.s_addr == 0)
        a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a->sin_family = AF_INET;
    a->sin_port = htons((uint16_t)port);
    o->ngates++;
    return 0;
}

static int
take_redis(struct gh_gatehoused_options *o, const char *v)
{
    o->redis = v;
    return *v == '\0' ? -1 : 0;
}

static int
take_ca_file(struct gh_gatehoused_options *o, const char *v)
{
    o->ca_file = v;
    return *v == '\0' ? -1 : 0;
}

static int
take_programs(struct gh_gatehoused_options *o, const char *v)
{
    o->programs = v;
    return v[0] != '/' ? -1 : 0;
}

static int
take_nginx_program(struct gh_gatehoused_options *o, const char *v)
{
    o->nginx_program = v;
    return v[0] != '/' ? -1 : 0;
}

static int
take_nft_program(struct gh_gatehoused_options *o, const char *v)
{
    o->nft_program = v;
    return v[0] != '/' ? -1 : 0;
}

static int
take_daemon(struct gh_gatehoused_options *o, const char *v)
{
    o->daemon = true;
    return 0;
}

static int
take_launcher(struct gh_gatehoused_options *o, const char *v)
{
    o->launcher = true;
    return 0;
}

static int
take_help(struct gh_gatehoused_options *o, const char *v)
{
    o->help = true;
    return 0;
}

static const struct option {
    const char *name, *value;
    int (*take)(struct gh_gatehoused_options *o, const char *v);
    const char *help;
} options[] = {
    {"dir", "DIR", take_dir,
     "where the installation lives (GATEHOUSE_DIR, else " STANDARD_DIR ")"},
    {"nginx", "CONF", take_nginx, "run nginx too, with this configuration"},
    {"control-user", "USER", take_control,
     "who gatehouse-control is; name or number (61110)"},
    {"idp-user", "USER", take_idp,
     "who gatehouse-idp is; name or number (61111)"},
    {"gate-user", "USER", take_gate,
     "who nginx' workers are; name or number (www-data)"},
    {"group", "GROUP", take_group,
     "the group they share; name or number (61112)"},
    {"allow-path", "PATH", take_allow,
     "services may be shown this path of the host; again for more"},
    {"gate-address", "IP:PORT", take_gate_address,
     "where `egress: [gate]` of a service leads; again for more"},
    {"redis", "ADDRESS", take_redis,
     "unix:/PATH or HOST:PORT, handed to the other processes"},
    {"ca-file", "FILE", take_ca_file,
     "whom gatehouse-idp trusts, beside the system's authorities"},
    {"programs", "DIR", take_programs,
     "where the other programs are (beside this one)"},
    {"nginx-program", "FILE", take_nginx_program, "default /usr/sbin/nginx"},
    {"nft-program", "FILE", take_nft_program, "default /usr/sbin/nft"},
    {"daemon", NULL, take_daemon,
     "go to the background; return when all of it serves"},
    {"launcher", NULL, take_launcher,
     "be the launcher (for the monitor alone)"},
    {"help", NULL, take_help, "print this"},
};
#define OPTIONS (sizeof(options) / sizeof(options[0]))

static void
print_help(void)
{
    printf("Usage: gatehoused [OPTION]...\n\n"
           "Runs Gatehouse on this host: the launcher of sandboxes, the "
           "control API, the\nidentity process, and nginx where it is asked "
           "to. Must be root.\n\n");
    for (size_t i = 0; i < OPTIONS; i++) {
        char left[40];

        snprintf(left, sizeof(left), "--%s %s", options[i].name,
                 options[i].value != NULL ? options[i].value : "");
        printf("  %-24s %s\n", left, options[i].help);
    }
    printf("\nSignals: TERM stops everything, services too; USR1 stops the "
           "daemons and leaves\nnginx and the services, which the next start "
           "adopts; HUP reloads nginx.\n");
}

static int
refuse(const char *arg, const char *why)
{
    fprintf(stderr, "gatehoused: %s: %s; --help lists the options\n", arg, why);
    return -1;
}

static int
take(struct gh_gatehoused_options *o, char **argv, int *i)
{
    const char *arg = argv[*i], *equals = strchr(arg, '='), *value = NULL;
    size_t n = equals != NULL ? (size_t)(equals - arg) : strlen(arg);

    for (size_t k = 0; strncmp(arg, "--", 2) == 0 && k < OPTIONS; k++) {
        if (strlen(options[k].name) != n - 2 ||
            strncmp(options[k].name, arg + 2, n - 2) != 0)
            continue;
        if (options[k].value != NULL)
            value = equals != NULL ? equals + 1 : argv[++*i];
        else if (equals != NULL)
            return refuse(arg, "it takes no value");
        if (options[k].value != NULL && value == NULL)
            return refuse(arg, "a value is missing");
        if (options[k].take(o, value) != 0)
            return refuse(arg, value);
        return 0;
    }
    return refuse(arg, "unknown");
}

/* The directory's one name: other processes and the claim compare it. */
static int
resolve_dir(struct gh_gatehoused_options *o)
{
    const char *dir = o->dir;

    if (dir == NULL)
        dir = getenv("GATEHOUSE_DIR");
    if (dir == NULL || *dir == '\0')
        dir = STANDARD_DIR;
    if (mkdir(dir, 0755) != 0 && errno != EEXIST)
        return refuse(dir, strerror(errno));
    o->dir = realpath(dir, NULL);
    if (o->dir == NULL)
        return refuse(dir, strerror(errno));
    if (strlen(o->dir) > 80)
        return refuse(o->dir, "too long: sockets beneath could not be named");
    return 0;
}

static int
resolve_programs(struct gh_gatehoused_options *o)
{
    static char exe[PATH_MAX];
    ssize_t n;

    if (o->programs != NULL)
        return 0;
    n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n <= 0)
        return refuse("/proc/self/exe", strerror(errno));
    exe[n] = '\0';
    *strrchr(exe, '/') = '\0';
    o->programs = exe;
    return 0;
}

static int
parse(struct gh_gatehoused_options *o, int argc, char **argv)
{
    o->argv = argv;
    o->control = (struct gh_user){61110, 61110};
    o->idp = (struct gh_user){61111, 61111};
    o->group = 61112;
    o->nginx_program = "/usr/sbin/nginx";
    o->nft_program = "/usr/sbin/nft";
    if (find_user(&o->gate, "www-data") != 0)
        o->gate = (struct gh_user){33, 33};
    for (int i = 1; i < argc; i++)
        if (take(o, argv, &i) != 0)
            return -1;
    return 0;
}

int
gh_gatehoused_sealed_copy(const char *path, const char *name)
{
    struct stat st;
    off_t done = 0;
    int in = open(path, O_RDONLY | O_CLOEXEC), out;

    if (in < 0)
        return -1;
    out = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (out >= 0 && fstat(in, &st) == 0)
        while (done < st.st_size &&
               sendfile(out, in, &done, (size_t)(st.st_size - done)) > 0)
            ;
    else
        st.st_size = -1;
    close(in);
    if (out < 0)
        return -1;
    if (done != st.st_size || fchmod(out, 0555) != 0 ||
        fcntl(out, F_ADD_SEALS,
              F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0) {
        close(out);
        return -1;
    }
    return out;
}

/* In the background: the child is the monitor, the parent waits for its word
 * and hands it on. */
static int
run_in_background(const struct gh_gatehoused_options *o)
{
    char text[512];
    size_t used = 0;
    int ready[2];
    ssize_t n;

    if (pipe2(ready, O_CLOEXEC) != 0)
        return 1;
    switch (fork()) {
    case -1:
        return 1;
    case 0:
        close(ready[0]);
        setsid();
        return gh_gatehoused_monitor(o, ready[1]);
    default:
        close(ready[1]);
    }
    while (used < sizeof(text) - 1 &&
           (n = read(ready[0], text + used, sizeof(text) - 1 - used)) > 0)
        used += (size_t)n;
    text[used] = '\0';
    if (strcmp(text, "ok") == 0)
        return 0;
    fprintf(stderr, "gatehoused: %s\n",
            used > 0 ? text : "it ended; log/gatehoused.log may tell why");
    return 1;
}

int
main(int argc, char **argv)
{
    static struct gh_gatehoused_options o;

    if (parse(&o, argc, argv) != 0)
        return 3;
    if (o.help) {
        print_help();
        return 0;
    }
    if (geteuid() != 0)
        return refuse("must be root", "it makes namespaces and mounts"), 1;
    if (resolve_dir(&o) != 0 || resolve_programs(&o) != 0)
        return 1;
    if (o.launcher)
        return gh_launcher_main(&o);
    return o.daemon ? run_in_background(&o) : gh_gatehoused_monitor(&o, -1);
}
