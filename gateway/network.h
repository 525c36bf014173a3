/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A service's network: a namespace of its own with loopback alone, or with one
 * link to the host. Links are /31s (RFC 3021) of 198.18.0.0/15, the range set
 * aside for tests of devices (RFC 2544), which no network routes: the even
 * address is the host's, the odd one the service's. There is no route but the
 * link, and one nftables table per installation says who may use it: towards
 * services the gate and control; from services nobody, but for those with
 * egress to the gate, whose calls to their own host address on the gate's
 * ports are turned to the gate.
 *
 * An installation has a block (0 to 255): 256 links and 112 ranges of ids.
 * Interfaces are named "ghBBnLL", or "ghBBeLL" with egress (block, link).
 */
#ifndef GH_NETWORK_H
#define GH_NETWORK_H

#include "error.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define GH_NETWORK_LINKS 256u
#define GH_NETWORK_BASE 0xc6120000u /* 198.18.0.0 */

struct gh_network {
    unsigned block;
    uid_t gate, control; /* who may call services */
    unsigned ngates;
    struct {
        uint32_t address; /* IPv4, host order */
        uint16_t port;
    } gates[8];      /* what egress "gate" leads to */
    const char *nft; /* the program */
};

/* Puts the table in place of what there was, at once. Runs nft. */
int gh_network_open(const struct gh_network *n, struct gh_error *e);
void gh_network_close(const struct gh_network *n); /* removes the table */

/*
 * Moves the caller into a new network namespace with loopback up and, when
 * `link`, a veth; *address is then the service's (host order). The hint is the
 * link number to try first. *host: a descriptor of the old namespace.
 */
int gh_network_enter(const struct gh_network *n, bool link, bool egress,
                     unsigned hint, int *host, uint32_t *address,
                     struct gh_error *e);

#endif
