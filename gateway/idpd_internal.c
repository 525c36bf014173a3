/* SPDX-License-Identifier: Apache-2.0 */
#include "idpd.h"

#include <stdio.h>

void
gh_idpd_put_secret(struct gh_idpd_request *r)
{
    struct gh_error e;

    if (gh_idpd_secret_write(r->d, r->name, gh_buffer_slice(&r->body), &e) != 0)
        gh_idpd_failed(r, "secret_refused", &e);
    else
        r->answer->status = 204;
}

void
gh_idpd_delete_secret(struct gh_idpd_request *r)
{
    struct gh_error e;
    int removed = gh_idpd_secret_remove(r->d, r->name, &e);

    if (removed < 0)
        gh_idpd_failed(r, "secret_refused", &e);
    else if (removed == 0)
        gh_idpd_problem(r, 404, "not_found", NULL, "It has no secret.");
    else
        r->answer->status = 204;
}

void
gh_idpd_status(struct gh_idpd_request *r)
{
    struct gh_buffer b = GH_BUFFER_INIT;

    gh_buffer_printf(&b, "{\"started_ms\":%llu,\"redis\":%s,\"providers\":",
                     (unsigned long long)r->d->started_ms,
                     gh_idpd_redis_answers(r->d->redis) ? "true" : "false");
    gh_idpd_keepers_json(r->d, &b);
    gh_buffer_text(&b, "}");
    if (gh_buffer_string(&b) == NULL)
        r->answer->status = 500;
    else
        gh_idpd_json(r, 200, gh_buffer_string(&b));
    gh_buffer_finish(&b);
}

/* The gate waits for its answer; control must not: what is fetched is told to
 * control, which would then wait for us and we for it. */
void
gh_idpd_refresh(struct gh_idpd_request *r)
{
    enum gh_idpd_wait wait =
        r->peer == r->d->control ? GH_IDPD_GO_ON : GH_IDPD_WAIT;

    switch (
        gh_idpd_keeper_refresh(r->d, r->name, r->d->refresh_after_ms, wait)) {
    case GH_IDPD_FETCHED:
        gh_idpd_json(r, 200, "{\"fetched\":true}");
        break;
    case GH_IDPD_RECENT:
        gh_idpd_json(r, 200, "{\"fetched\":false}");
        break;
    case GH_IDPD_ASKED:
        gh_idpd_json(r, 202, "{\"fetched\":false}");
        break;
    case GH_IDPD_NO_KEEPER:
        gh_idpd_problem(r, 404, "not_found", NULL,
                        "There is no such provider.");
        break;
    default:
        gh_idpd_problem(r, 503, "provider_unavailable", NULL,
                        "The provider's keys could not be fetched.");
    }
}
