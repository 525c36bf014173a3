/* SPDX-License-Identifier: Apache-2.0 */
/* What lease.c (leases on request) and sweep.c (without one) share. */
#ifndef GH_LEASE_INNER_H
#define GH_LEASE_INNER_H

#include "lease.h"
#include "table.h"

/* The scope's flight, if nobody has it. */
bool gh_lease_claim(struct gh_scope *s, uint64_t mono_ms, uint64_t *token);
/* Ends it, if it is still this lease's. */
void gh_lease_land(struct gh_limiter *l, const struct gh_lease *lease);
/* The command that tells the scope's totals and asks for nothing. 1: built. The
 * flight is the caller's. */
int gh_lease_tell(struct gh_limiter *l, const struct gh_scripts *scripts,
                  uint64_t mono_ms, struct gh_lease *out,
                  struct gh_buffer *command);

#endif
