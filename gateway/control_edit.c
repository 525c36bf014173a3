/* SPDX-License-Identifier: Apache-2.0 */
/* An edit as a ladder: check, secrets, store, house, audit. */
#include "control.h"

#include "document_schema.h"

#include <stdio.h>

/* Each service that the house runs is checked, and made canonical, by it. */
static void
check_services(struct gh_control *c, const struct gh_items *want,
               const json_t *doc, const struct gh_node *root,
               struct gh_faults *f)
{
    json_t *list = json_object_get(doc, "services"), *item;
    char path[128];
    const char *name;
    size_t i;

    json_array_foreach(list, i, item)
    {
        name = json_string_value(json_object_get(item, "name"));
        snprintf(path, sizeof(path), "services[%zu].compose", i);
        if (name != NULL && json_is_object(json_object_get(item, "compose")))
            gh_control_services_check(c, name, item, gh_node_at(root, path),
                                      path, f);
    }
    if (doc != NULL || root == NULL)
        return;
    json_object_foreach(want->of[GH_KIND_SERVICE], name, item)
    {
        if (item != gh_items_get(&c->items, GH_KIND_SERVICE, name) &&
            json_is_object(json_object_get(item, "compose")) &&
            gh_node_get(root, "compose") != NULL)
            gh_control_services_check(
                c, name, item, gh_node_get(root, "compose"), "compose", f);
    }
}

void
gh_control_check(struct gh_control *c, const struct gh_items *want,
                 const json_t *doc, const struct gh_node *root,
                 struct gh_faults *f)
{
    check_services(c, want, doc, root, f);
    gh_document_refs(&c->items, want, doc, root, f);
}

/* A changed secret shows in a diff, without being shown. */
void
gh_control_add_secret_changes(struct gh_control *c, const json_t *prints,
                              json_t *changes)
{
    const char *name;
    json_t *print, *one;
    size_t i;

    json_object_foreach((json_t *)prints, name, print)
    {
        const json_t *old = json_object_get(c->prints, name);
        json_t *found = NULL;

        if (old != NULL && json_equal(old, print))
            continue;
        json_array_foreach(changes, i, one)
        {
            if (!strcmp(json_string_value(json_object_get(one, "kind")),
                        "idp") &&
                !strcmp(json_string_value(json_object_get(one, "name")), name))
                found = one;
        }
        if (found == NULL) {
            found = json_pack("{s:s, s:s, s:s, s:[]}", "kind", "idp", "name",
                              name, "change", "change", "fields");
            json_array_append_new(changes, found);
        }
        json_array_append_new(json_object_get(found, "fields"),
                              json_pack("{s:s, s:s}", "path", "client_secret",
                                        "to", "(another secret)"));
    }
}

static int
carry_out(struct gh_request *r, struct gh_items *want, json_t **changes)
{
    struct gh_control *c = r->c;
    json_t *secrets = NULL, *prints = NULL, *diff = NULL;
    struct gh_error e;
    int rc;

    rc = gh_control_take_secrets(c, want, &secrets, &prints, &e);
    if (rc == 0)
        rc = gh_control_send_secrets(c, secrets, &e);
    json_decref(secrets);
    if (rc == 0) {
        diff = gh_document_diff(&c->items, want);
        gh_control_add_secret_changes(c, prints, diff);
        if (json_array_size(diff) > 0)
            rc = gh_control_store(c, want, prints, &e);
    }
    if (rc == 0)
        gh_control_services_follow(c, diff);
    json_decref(prints);
    if (rc != 0) {
        json_decref(diff);
        gh_request_error(r, &e);
        return 1;
    }
    *changes = diff;
    return 0;
}

int
gh_control_edit(struct gh_request *r, struct gh_items *want, const json_t *doc,
                const struct gh_node *root, struct gh_faults *f,
                json_t **changes)
{
    int rc;

    gh_control_check(r->c, want, doc, root, f);
    if (f->n > 0) {
        gh_request_faults(r, f);
        rc = 1;
    } else
        rc = carry_out(r, want, changes);
    gh_items_finish(want);
    return rc;
}
