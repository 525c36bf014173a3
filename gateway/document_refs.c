/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the schema cannot see: that names lead somewhere, that no two things
 * claim the same place, that nothing in use goes away.
 */
#include "document_refs.h"

#include <stdarg.h>
#include <stdio.h>

void
gh_refs_fault(struct gh_refs *c, const char *hint, const char *path,
              const char *fmt, ...)
{
    char full[300], text[400];
    const struct gh_node *at = NULL;
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    snprintf(full, sizeof(full), "%s%s%s", c->base,
             *c->base != '\0' && *path != '\0' && *path != '[' ? "." : "",
             path);
    if (c->located && c->root != NULL)
        at = gh_node_at(c->root, full);
    gh_fault_add(c->f, at != NULL ? at->line : 0, at != NULL ? at->column : 0,
                 full, hint, "%s", text);
}

/* The item that `name` means, or NULL and a fault that says what to do. */
json_t *
gh_refs_follow(struct gh_refs *c, enum gh_kind k, const char *name,
               const char *path)
{
    json_t *found, *item;
    const char *names[256], *near, *key;
    char hint[128];
    size_t n = 0;

    if (name == NULL)
        return NULL;
    found = gh_items_get(c->want, k, name);
    if (found != NULL)
        return found;
    if (gh_items_get(c->now, k, name) != NULL) {
        snprintf(hint, sizeof(hint),
                 "change or remove this first, or keep "
                 "the %s",
                 gh_kind_name(k));
        gh_refs_fault(c, hint, path,
                      "%s \"%s\" is removed but still in use here",
                      gh_kind_name(k), name);
        return NULL;
    }
    json_object_foreach(c->want->of[k], key, item)
    {
        if (n < 256)
            names[n++] = key;
    }
    near = gh_fault_nearest(gh_slice_str(name), names, n);
    if (near != NULL)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    else
        snprintf(hint, sizeof(hint), "add it under \"%s:\"", gh_kind_plural(k));
    gh_refs_fault(c, hint, path, "there is no %s \"%s\"", gh_kind_name(k),
                  name);
    return NULL;
}

/* ---- places that only one may have */

static void
claim_place(struct gh_refs *c, json_t *places, const char *key,
            const char *owner, const char *path, const char *what)
{
    const char *other = json_string_value(json_object_get(places, key));

    if (other == NULL)
        json_object_set_new(places, key, json_string(owner));
    else if (strcmp(other, owner) == 0)
        gh_refs_fault(c, "keep one of the two", path, "%s is named twice",
                      what);
    else
        gh_refs_fault(c, NULL, path, "%s belongs to \"%s\" already", what,
                      other);
}

static void
check_routes(struct gh_refs *c, const json_t *api, const char *name)
{
    const json_t *hosts = json_object_get(api, "hosts");
    const char *prefix = gh_refs_text(api, "path");
    size_t n = hosts != NULL ? json_array_size(hosts) : 1;
    char key[700], what[720], path[64];

    for (size_t i = 0; i < n; i++) {
        const char *host =
            hosts != NULL ? json_string_value(json_array_get(hosts, i)) : "*";

        if (host == NULL)
            continue;
        snprintf(key, sizeof(key), "%s %s", host, prefix ? prefix : "/");
        snprintf(what, sizeof(what), "path %s of host %s",
                 prefix ? prefix : "/", host);
        snprintf(path, sizeof(path), "hosts[%zu]", i);
        claim_place(c, c->routes, key, name, hosts != NULL ? path : "path",
                    what);
    }
}

static void
check_clients(struct gh_refs *c, const json_t *app, const char *name)
{
    char path[64], key[400], what[420];
    json_t *one;
    size_t i;

    json_array_foreach(json_object_get(app, "clients"), i, one)
    {
        const char *idp = gh_refs_text(one, "idp"),
                   *id = gh_refs_text(one, "client_id");

        if (idp == NULL || id == NULL)
            continue;
        snprintf(key, sizeof(key), "%s %s", idp, id);
        snprintf(what, sizeof(what), "client \"%.100s\" of idp \"%s\"", id,
                 idp);
        snprintf(path, sizeof(path), "clients[%zu].client_id", i);
        claim_place(c, c->clients, key, name, path, what);
    }
}

/* ---- which items need a look */

static bool
item_changed(const struct gh_refs *c, enum gh_kind k, const char *name,
             const json_t *item)
{
    const json_t *old = json_object_get(c->now->of[k], name);

    return old != item && (old == NULL || !json_equal(old, item));
}

enum { CHANGED = 1, REMOVED = 2 };

static unsigned
kind_changes(const struct gh_refs *c, enum gh_kind k)
{
    unsigned what = 0;
    const char *name;
    json_t *item;

    json_object_foreach(c->want->of[k], name, item)
    {
        if (item_changed(c, k, name, item)) {
            what |= CHANGED;
            break;
        }
    }
    json_object_foreach(c->now->of[k], name, item)
    {
        if (json_object_get(c->want->of[k], name) == NULL) {
            what |= REMOVED;
            break;
        }
    }
    return what;
}

/* Whether all of kind k must be looked at for what other kinds did. */
static bool
affected(enum gh_kind k, const unsigned changes[GH_KINDS])
{
    switch (k) {
    case GH_KIND_API:
        return changes[GH_KIND_API] || changes[GH_KIND_IDP] ||
               (changes[GH_KIND_SERVICE] | changes[GH_KIND_APP]) & REMOVED;
    case GH_KIND_PLAN:
        return changes[GH_KIND_API];
    case GH_KIND_ACCOUNT:
        return changes[GH_KIND_PLAN] & REMOVED;
    case GH_KIND_APP:
        return (changes[GH_KIND_PLAN] | changes[GH_KIND_ACCOUNT] |
                changes[GH_KIND_IDP]) &
               REMOVED;
    default:
        return false;
    }
}

static void
look(struct gh_refs *c, enum gh_kind k, const json_t *item, const char *base,
     bool located, bool all)
{
    const char *name = gh_refs_text(item, "name");

    if (item == NULL || json_is_null(item))
        return;
    /* Without a name (a fault told already) the rest is still looked at. */
    if (!all && name != NULL && !item_changed(c, k, name, item))
        return;
    c->base = base;
    c->located = located;
    gh_refs_check(c, k, item);
}

static void
claim(struct gh_refs *c, enum gh_kind k, const json_t *item, const char *name)
{
    if (k == GH_KIND_API)
        check_routes(c, item, name);
    if (k == GH_KIND_APP)
        check_clients(c, item, name);
}

/*
 * Places are claimed in two rounds, the unchanged items first, so that the
 * fault lands on what is new.
 */
static void
claim_unchanged(struct gh_refs *c, enum gh_kind k)
{
    struct gh_faults ignored;
    struct gh_refs quiet = *c;
    const char *name;
    json_t *item;

    gh_faults_init(&ignored);
    quiet.f = &ignored;
    quiet.located = false;
    quiet.base = "";
    json_object_foreach(c->want->of[k], name, item)
    {
        if (!item_changed(c, k, name, item))
            claim(&quiet, k, item, name);
    }
    gh_faults_finish(&ignored);
}

static void
check_kind(struct gh_refs *c, enum gh_kind k, const json_t *doc, bool all)
{
    json_t *list = json_object_get(doc, gh_kind_plural(k)), *item;
    char base[128];
    const char *name;
    size_t i;

    json_array_foreach(list, i, item)
    {
        snprintf(base, sizeof(base), "%s[%zu]", gh_kind_plural(k), i);
        look(c, k, item, base, true, all);
        name = gh_refs_text(item, "name");
        if (name != NULL && item_changed(c, k, name, item))
            claim(c, k, item, name);
    }
    if (list != NULL)
        return;
    json_object_foreach(c->want->of[k], name, item)
    {
        bool own = doc == NULL && item_changed(c, k, name, item);

        snprintf(base, sizeof(base), "%s.%s", gh_kind_name(k), name);
        look(c, k, item, own ? "" : base, own, all);
        if (own)
            claim(c, k, item, name);
    }
}

void
gh_document_refs(const struct gh_items *now, const struct gh_items *want,
                 const json_t *doc, const struct gh_node *root,
                 struct gh_faults *f)
{
    struct gh_refs c = {.now = now,
                        .want = want,
                        .root = root,
                        .f = f,
                        .base = "",
                        .routes = json_object(),
                        .clients = json_object()};
    unsigned changes[GH_KINDS];

    for (int k = 0; k < GH_KINDS; k++)
        changes[k] = kind_changes(&c, k);
    if (changes[GH_KIND_API] & CHANGED)
        claim_unchanged(&c, GH_KIND_API);
    if (changes[GH_KIND_APP] & CHANGED)
        claim_unchanged(&c, GH_KIND_APP);
    for (int k = 0; k < GH_KINDS; k++)
        check_kind(&c, k, doc, affected(k, changes));
    json_decref(c.routes);
    json_decref(c.clients);
}
