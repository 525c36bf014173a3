/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Logout that another site cannot bring about: a GET asks first, unless the
 * browser itself says that the link was ours; a POST comes with the session
 * cookie only from our own pages (SameSite), and its Origin is checked too.
 */
#include "idpd.h"

#include "log.h"

#include <stdio.h>

#define DONE "/gatehouse/logout/done"

static void
ask(struct gh_idpd_request *r)
{
    gh_idpd_page(r, 200, "Log out?",
                 "<form method=post action=\"/gatehouse/logout\">"
                 "<button>Log out</button></form>");
}

void
gh_idpd_logged_out(struct gh_idpd_request *r)
{
    gh_idpd_page(r, 200, "You are logged out",
                 "<p><a href=\"/\">Continue</a></p>");
}

static void
clear_cookie(struct gh_idpd_request *r)
{
    gh_idpd_set(r, "Set-Cookie",
                GH_SESSION_COOKIE "=; Max-Age=0; " GH_IDPD_SESSION_ATTRIBUTES);
}

static void
leave(struct gh_idpd_request *r, unsigned status, const char *to)
{
    clear_cookie(r);
    gh_idpd_redirect(r, status, to);
}

/* The session of the cookie. 1 there is one, 0 none, -1. */
static int
load(struct gh_idpd_request *r, char d[GH_SESSION_KEY_LEN + 1],
     struct gh_session *s, struct gh_error *e)
{
    struct gh_slice value = gh_idpd_cookie(r, GH_SESSION_COOKIE);
    struct gh_buffer sealed = GH_BUFFER_INIT;
    int found;

    if (gh_session_key(&r->d->sessions, value, d) != 0)
        return 0;
    found = gh_idpd_redis_load(r->d->redis, d, &sealed, e);
    if (found == 1 &&
        gh_session_open(&r->d->sessions, d, gh_buffer_slice(&sealed), &r->a, s,
                        e) != 0)
        found = e->code == GH_ENOMEM ? -1 : 0;
    gh_buffer_finish(&sealed);
    return found;
}

static bool
from_elsewhere(struct gh_idpd_request *r, const struct gh_idp *idp)
{
    struct gh_slice origin = gh_idpd_header(r, "Origin");
    struct gh_slice site = gh_idpd_header(r, "Sec-Fetch-Site");

    if (site.len > 0)
        return !gh_slice_eq_str(site, "same-origin");
    return origin.len > 0 && !gh_slice_eq(origin, idp->origin);
}

static void
go_to_provider(struct gh_idpd_request *r, const struct gh_idp *idp,
               const struct gh_session *s)
{
    struct gh_buffer url = GH_BUFFER_INIT, back = GH_BUFFER_INIT;
    struct gh_error e;

    gh_buffer_append(&back, idp->origin);
    gh_buffer_text(&back, DONE);
    if (back.failed ||
        gh_oidc_logout_url(idp, s->id_token, gh_buffer_slice(&back), &url,
                           &e) != 0)
        leave(r, 303, DONE);
    else
        leave(r, 303, gh_buffer_string(&url));
    gh_buffer_finish(&url);
    gh_buffer_finish(&back);
}

void
gh_idpd_logout(struct gh_idpd_request *r)
{
    bool post = strcmp(r->method, "POST") == 0;
    char d[GH_SESSION_KEY_LEN + 1];
    struct gh_session s;
    struct gh_idp idp = {0};
    struct gh_error e;
    int found;

    if (!post &&
        !gh_slice_eq_str(gh_idpd_header(r, "Sec-Fetch-Site"), "same-origin")) {
        ask(r);
        return;
    }
    found = load(r, d, &s, &e);
    if (found == 1)
        found = gh_idpd_provider(r->d, s.identity.provider, &r->a, &idp, &e) < 0
                    ? -1
                    : 1;
    if (found < 0) {
        gh_idpd_failed(r, "sessions_unavailable", &e);
        return;
    }
    if (found == 0) {
        leave(r, 303, DONE);
        return;
    }
    if (post && from_elsewhere(r, &idp)) {
        gh_idpd_problem(r, 403, "cross_site", "/gatehouse/logout",
                        "Another site tried to log you out.");
        return;
    }
    if (gh_idpd_redis_revoke(r->d->redis, d, &e) != 0) {
        gh_idpd_failed(r, "sessions_unavailable", &e);
        return;
    }
    gh_log(GH_LOG_INFO, "logout: session %.8s", d);
    go_to_provider(r, &idp, &s);
}
