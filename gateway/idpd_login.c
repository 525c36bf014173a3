/* SPDX-License-Identifier: Apache-2.0 */
#include "idpd.h"

#include "log.h"

void
gh_idpd_login(struct gh_idpd_request *r)
{
    struct gh_buffer url = GH_BUFFER_INIT, cookie = GH_BUFFER_INIT;
    unsigned char random[GH_OIDC_RANDOM_SIZE];
    struct gh_oidc_flow flow;
    struct gh_error e;
    struct gh_idp idp;
    int found = gh_idpd_provider(r->d, r->name, &r->a, &idp, &e);

    if (found < 0) {
        gh_idpd_failed(r, "catalog_unavailable", &e);
        return;
    }
    if (found == 0 || idp.client_id.len == 0) {
        gh_idpd_problem(r, 404, "no_login", NULL,
                        "There is no login by this name.");
        return;
    }
    gh_random(random, sizeof(random));
    gh_oidc_begin(&idp, gh_idpd_query(r, "return"), random, gh_idpd_now_ms(),
                  &flow);
    if (gh_oidc_authorization_url(&idp, &flow, &url, &e) != 0 ||
        gh_oidc_flow_seal(&r->d->login_seal, &flow, &cookie, &e) != 0) {
        gh_idpd_failed(r, "login_unavailable", &e);
    } else {
        gh_idpd_set(r, "Set-Cookie",
                    GH_OIDC_COOKIE
                    "%.*s=%s; Max-Age=%d; " GH_IDPD_STATE_ATTRIBUTES,
                    GH_OIDC_COOKIE_TAG, flow.state, gh_buffer_string(&cookie),
                    GH_OIDC_FLOW_MS / 1000, gh_get_copy(&r->a, r->name).data);
        gh_idpd_redirect(r, 302, gh_buffer_string(&url));
    }
    gh_buffer_finish(&url);
    gh_buffer_finish(&cookie);
}
