/* SPDX-License-Identifier: Apache-2.0 */
#include "network.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- the table of an installation */

static int
append_gates(const struct gh_network *n, char *text, size_t room)
{
    size_t used = strlen(text);

    for (unsigned i = 0; i < n->ngates; i++) {
        struct in_addr a = {htonl(n->gates[i].address)};
        char address[INET_ADDRSTRLEN];

        if (inet_ntop(AF_INET, &a, address, sizeof(address)) == NULL)
            return -1;
        used += (size_t)snprintf(
            text + used, room - used,
            "  iifname \"gh%02xe*\" ip daddr 198.18.0.0/15 tcp dport %u dnat "
            "ip to %s:%u\n",
            n->block, n->gates[i].port, address, n->gates[i].port);
        if (used >= room)
            return -1;
    }
    return 0;
}

static int
write_rules(const struct gh_network *n, char *text, size_t room)
{
    const unsigned b = n->block;

    snprintf(text, room,
             "table inet gatehouse_%02x\n"
             "delete table inet gatehouse_%02x\n"
             "table inet gatehouse_%02x {\n"
             " chain into_host {\n"
             "  type filter hook input priority -5\n"
             "  iifname \"gh%02x*\" ct state established,related accept\n"
             "  iifname \"gh%02xe*\" ct status dnat accept\n"
             "  iifname \"gh%02x*\" drop\n"
             " }\n"
             " chain out_of_host {\n"
             "  type filter hook output priority -5\n"
             "  oifname \"gh%02x*\" ct state established,related accept\n"
             "  oifname \"gh%02x*\" meta skuid { %u, %u } accept\n"
             "  oifname \"gh%02x*\" reject\n"
             " }\n"
             " chain through_host {\n"
             "  type filter hook forward priority -5\n"
             "  iifname \"gh%02x*\" drop\n"
             "  oifname \"gh%02x*\" drop\n"
             " }\n"
             " chain to_gate {\n"
             "  type nat hook prerouting priority -100\n",
             b, b, b, b, b, b, b, b, (unsigned)n->gate, (unsigned)n->control, b,
             b, b);
    if (append_gates(n, text, room - 8) != 0)
        return -1;
    strcat(text, " }\n}\n");
    return 0;
}

/* nft reads its rules from a memfd: nothing of them passes a shell. */
static int
run_nft(const char *program, const char *rules, struct gh_error *e)
{
    char *argv[] = {"nft", "-f", "-", NULL};
    char *envp[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int rc, status, fd = memfd_create("rules", MFD_CLOEXEC);

    if (fd < 0 || write(fd, rules, strlen(rules)) != (ssize_t)strlen(rules) ||
        lseek(fd, 0, SEEK_SET) != 0)
        return gh_error_sys(e, errno, "rules for nft");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
    rc = posix_spawn(&pid, program, &actions, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    close(fd);
    if (rc != 0)
        return gh_error_sys(e, rc, "%s", program);
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return gh_error_sys(e, errno, "waiting for nft");
    if (status != 0)
        return gh_error_set(e, GH_EUNAVAILABLE,
                            "nft refused the rules (status %d)", status);
    return 0;
}

int
gh_network_open(const struct gh_network *n, struct gh_error *e)
{
    char rules[4096];

    if (write_rules(n, rules, sizeof(rules)) != 0)
        return gh_error_set(e, GH_ETOOBIG, "too many gate addresses");
    return run_nft(n->nft, rules, e);
}

void
gh_network_close(const struct gh_network *n)
{
    char rules[128];

    snprintf(rules, sizeof(rules),
             "table inet gatehouse_%02x\ndelete table inet gatehouse_%02x\n",
             n->block, n->block);
    run_nft(n->nft, rules, NULL);
}

/* ---- rtnetlink: messages as in rtnetlink(7), built by hand */

struct message {
    struct nlmsghdr head;
    char room[512];
};

static void *
begin(struct message *m, int type, int flags, size_t body)
{
    memset(m, 0, sizeof(*m));
    m->head.nlmsg_len = NLMSG_LENGTH(body);
    m->head.nlmsg_type = (unsigned short)type;
    m->head.nlmsg_flags = (unsigned short)(NLM_F_REQUEST | NLM_F_ACK | flags);
    return NLMSG_DATA(&m->head);
}

static struct rtattr *
attribute(struct message *m, int type, const void *data, size_t n)
{
    struct rtattr *a =
        (struct rtattr *)((char *)m + NLMSG_ALIGN(m->head.nlmsg_len));

    a->rta_type = (unsigned short)type;
    a->rta_len = (unsigned short)RTA_LENGTH(n);
    if (n > 0)
        memcpy(RTA_DATA(a), data, n);
    m->head.nlmsg_len = NLMSG_ALIGN(m->head.nlmsg_len) + RTA_ALIGN(a->rta_len);
    return a;
}

static void
end(struct message *m, struct rtattr *nest)
{
    nest->rta_len =
        (unsigned short)((char *)m + m->head.nlmsg_len - (char *)nest);
}

/* Sends one request and waits for its answer; -1 with the kernel's errno. */
static int
talk(int sock, struct message *m)
{
    struct {
        struct nlmsghdr head;
        struct nlmsgerr error;
        char more[1024];
    } answer;
    ssize_t n;

    if (send(sock, m, m->head.nlmsg_len, 0) < 0)
        return -1;
    do
        n = recv(sock, &answer, sizeof(answer), 0);
    while (n < 0 && errno == EINTR);
    if (n < (ssize_t)NLMSG_LENGTH(sizeof(struct nlmsgerr)) ||
        answer.head.nlmsg_type != NLMSG_ERROR) {
        errno = EPROTO;
        return -1;
    }
    errno = -answer.error.error;
    return answer.error.error == 0 ? 0 : -1;
}

static int
set_up(int sock, int index)
{
    struct message m;
    struct ifinfomsg *i = begin(&m, RTM_NEWLINK, 0, sizeof(*i));

    i->ifi_index = index;
    i->ifi_flags = i->ifi_change = IFF_UP;
    return talk(sock, &m);
}

/* A veth whose other end, eth0, is born in namespace `peer`, and down: the
 * kernel cannot open one end before it has the other. */
static int
make_veth(int sock, const char *name, int peer, bool ipv6)
{
    struct message m;
    struct ifinfomsg *i, other = {0};
    struct rtattr *info, *data, *inner;
    uint32_t fd = (uint32_t)peer;
    uint8_t no_link_local = IN6_ADDR_GEN_MODE_NONE;
    struct rtattr *spec, *inet6;

    i = begin(&m, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, sizeof(*i));
    i->ifi_flags = i->ifi_change = IFF_UP;
    attribute(&m, IFLA_IFNAME, name, strlen(name) + 1);
    if (ipv6) {
        spec = attribute(&m, IFLA_AF_SPEC, NULL, 0);
        inet6 = attribute(&m, AF_INET6, NULL, 0);
        attribute(&m, IFLA_INET6_ADDR_GEN_MODE, &no_link_local, 1);
        end(&m, inet6);
        end(&m, spec);
    }
    info = attribute(&m, IFLA_LINKINFO, NULL, 0);
    attribute(&m, IFLA_INFO_KIND, "veth", 4);
    data = attribute(&m, IFLA_INFO_DATA, NULL, 0);
    inner = attribute(&m, VETH_INFO_PEER, &other, sizeof(other));
    attribute(&m, IFLA_IFNAME, "eth0", 5);
    attribute(&m, IFLA_NET_NS_FD, &fd, sizeof(fd));
    end(&m, inner);
    end(&m, data);
    end(&m, info);
    return talk(sock, &m);
}

static int
add_address(int sock, unsigned index, uint32_t address)
{
    struct message m;
    struct ifaddrmsg *a = begin(&m, RTM_NEWADDR, NLM_F_CREATE, sizeof(*a));
    uint32_t v = htonl(address);

    a->ifa_family = AF_INET;
    a->ifa_prefixlen = 31;
    a->ifa_index = index;
    attribute(&m, IFA_LOCAL, &v, sizeof(v));
    attribute(&m, IFA_ADDRESS, &v, sizeof(v));
    return talk(sock, &m);
}

/* ---- one service */

static int
open_rtnetlink(void)
{
    return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

/* Calls that come by this link may be turned to loopback: so egress works
 * while the gate listens on 127.0.0.1 alone. The table drops all else. */
static int
allow_route_to_loopback(const char *name)
{
    char path[80];
    int fd, rc;

    snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/route_localnet",
             name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    rc = write(fd, "1", 1) == 1 ? 0 : -1;
    close(fd);
    return rc;
}

/* Takes the first free link from the hint on: names are the claim. */
static int
link_host_side(const struct gh_network *n, bool egress, unsigned hint,
               int inside, uint32_t *address)
{
    char name[IFNAMSIZ];
    unsigned link, tried;
    int rc = -1, sock = open_rtnetlink();

    if (sock < 0)
        return -1;
    for (tried = 0; tried < GH_NETWORK_LINKS; tried++) {
        link = (hint + tried) % GH_NETWORK_LINKS;
        /* The other class may hold the same link number. */
        snprintf(name, sizeof(name), "gh%02x%c%02x", n->block,
                 egress ? 'n' : 'e', link);
        if (if_nametoindex(name) != 0)
            continue;
        name[4] = egress ? 'e' : 'n';
        rc = make_veth(sock, name, inside, true);
        if (rc != 0 && errno == EAFNOSUPPORT) /* a kernel without IPv6 */
            rc = make_veth(sock, name, inside, false);
        if (rc == 0 || errno != EEXIST)
            break;
    }
    if (tried == GH_NETWORK_LINKS)
        errno = EADDRNOTAVAIL;
    if (rc == 0) {
        *address = GH_NETWORK_BASE + n->block * 512 + link * 2 + 1;
        rc = add_address(sock, if_nametoindex(name), *address - 1);
    }
    if (rc == 0 && egress)
        rc = allow_route_to_loopback(name);
    close(sock);
    return rc;
}

/* In the new namespace, where the first device is loopback. */
static int
link_inside(uint32_t address)
{
    int rc, sock = open_rtnetlink();

    if (sock < 0)
        return -1;
    rc = set_up(sock, 1);
    if (rc == 0 && address != 0) {
        unsigned index = if_nametoindex("eth0");

        rc = add_address(sock, index, address);
        if (rc == 0)
            rc = set_up(sock, (int)index);
    }
    close(sock);
    return rc;
}

int
gh_network_enter(const struct gh_network *n, bool link, bool egress,
                 unsigned hint, int *host, uint32_t *address,
                 struct gh_error *e)
{
    int outside, inside;

    *address = 0;
    outside = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (outside < 0 || unshare(CLONE_NEWNET) != 0)
        return gh_error_sys(e, errno, "network namespace");
    inside = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (inside < 0)
        return gh_error_sys(e, errno, "network namespace");
    if (link) {
        if (setns(outside, CLONE_NEWNET) != 0 ||
            link_host_side(n, egress, hint, inside, address) != 0 ||
            setns(inside, CLONE_NEWNET) != 0)
            return gh_error_sys(e, errno, "link to the gate");
    }
    if (link_inside(*address) != 0)
        return gh_error_sys(e, errno, "network inside");
    close(inside);
    *host = outside;
    return 0;
}
