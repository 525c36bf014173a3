/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a client proves itself at a provider's endpoint, by liboauth2. Linked by
 * gatehouse-idp alone: liboauth2 1.4 is AGPL-3. Only its client authentication
 * and form encoding are used; it sees no token, opens no connection, caches
 * nothing. Any thread.
 */
#ifndef GH_OAUTH2_CLIENT_H
#define GH_OAUTH2_CLIENT_H

#include "error.h"
#include "oidc.h"
#include "pack.h"

/* Once, before the first thread. Its messages go to gh_log() without their
 * text, which may hold secrets. */
int gh_oauth2_client_start(struct gh_error *e);
void gh_oauth2_client_stop(void);

struct gh_oauth2_field {
    const char *name, *value;
};

struct gh_oauth2_call {
    struct gh_buffer form;               /* the body of the POST */
    struct gh_buffer username, password; /* of HTTP Basic, or empty */
};

/*
 * The body and the credentials of a call with `fields` (NULL-named one ends
 * them). `methods` is what the provider takes (enum gh_oidc_auth); the best of
 * them is used: Basic, then the body; no secret: client_id alone, public.
 */
int gh_oauth2_client_call(uint32_t methods, const char *client_id,
                          const char *secret,
                          const struct gh_oauth2_field *fields,
                          struct gh_oauth2_call *out, struct gh_error *e);
/* Wipes and frees. */
void gh_oauth2_client_finish(struct gh_oauth2_call *c);

#endif
