/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of system calls: from our default profile or an OCI profile (JSON,
 * runtime-spec config-linux.md "Seccomp") to the bytes that the launcher loads.
 *
 * What a filter refuses with EPERM goes by user notification to the shim, which
 * answers EPERM and counts it; other errors answer by themselves. A floor is
 * put before every filter, ours and others: calls that no service may make
 * whatever its profile says, and TIOCSTI and TIOCLINUX by the 32 bits that the
 * kernel looks at.
 */
#ifndef GH_SECCOMP_FILTER_H
#define GH_SECCOMP_FILTER_H

#include "error.h"
#include "secret.h"

#include <jansson.h>
#include <linux/filter.h>

struct gh_seccomp {
    struct sock_filter *code; /* malloc'ed */
    unsigned n;
    char digest[2 * GH_DIGEST_SIZE + 1]; /* hex SHA-256 of the code */
};

/* profile: an OCI profile, or NULL for the default. About 5 ms: keep it. */
int gh_seccomp_compile(const json_t *profile, struct gh_seccomp *out,
                       struct gh_error *e);
void gh_seccomp_finish(struct gh_seccomp *s);

/* "mount" for a number of the arch (AUDIT_ARCH_*); into room of 48. */
void gh_seccomp_name(uint32_t arch, int number, char out[48]);

/* The default profile as an OCI profile: what conf/seccomp/default.json is. */
json_t *gh_seccomp_default(void);

#endif
