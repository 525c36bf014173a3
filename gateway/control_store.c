/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The state in memory and the catalog on disk: loaded once, then changed
 * together. A write compiles and puts only what differs, so that records keep
 * their versions and the gate keeps what it has decoded of them.
 */
#include "control.h"

#include "document_compile.h"
#include "encode.h"
#include "log.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/statvfs.h>

static struct gh_slice
name_of(const char *name)
{
    return gh_slice_str(name);
}

int
gh_control_put_doc(struct gh_catalog_write *w, const char *kind,
                   const char *name, const json_t *json, struct gh_error *e)
{
    char *text;
    int rc;

    if (json == NULL)
        return gh_catalog_remove_doc(w, kind, name_of(name), e) < 0 ? -1 : 0;
    text = json_dumps(json, JSON_COMPACT);
    if (text == NULL)
        return gh_error_set(e, GH_ENOMEM, "out of memory");
    rc = gh_catalog_put_doc(w, kind, name_of(name), gh_slice_str(text), e);
    free(text);
    return rc;
}

/* A write that the disk cut short comes back as EIO: what it means is told. */
int
gh_control_commit(struct gh_control *c, struct gh_catalog_write *w,
                  struct gh_error *e)
{
    struct statvfs fs;
    char path[600];

    if (gh_catalog_commit(w, e) == 0) {
        c->generation++;
        return 0;
    }
    snprintf(path, sizeof(path), "%s/catalog", c->o.dir);
    if (e->code == GH_EIO && e->sys == EIO && statvfs(path, &fs) == 0 &&
        (uint64_t)fs.f_bavail * fs.f_frsize < (1 << 20))
        gh_error_sys(e, ENOSPC, "commit the catalog");
    return -1;
}

/* ---- loading */

struct loading {
    json_t *into;
    struct gh_error *e;
};

static int
load_one(void *ctx, struct gh_slice name, struct gh_slice value)
{
    struct loading *l = ctx;
    json_error_t je;
    char key[600];
    json_t *v;

    if (gh_slice_copy(name, key, sizeof(key)) != 0)
        return 0;
    v = json_loadb((const char *)value.data, value.len, JSON_DECODE_ANY, &je);
    if (v == NULL) {
        gh_error_set(l->e, GH_ECORRUPT, "catalog: %s: %s", key, je.text);
        return -1;
    }
    return json_object_set_new(l->into, key, v);
}

static int
load_kind(struct gh_control *c, const char *kind, json_t *into,
          struct gh_error *e)
{
    struct loading l = {into, e};
    char db[64];

    snprintf(db, sizeof(db), "doc:%s", kind);
    return gh_catalog_each(c->catalog, db, load_one, &l, e);
}

/* Docs of keys are named "APP.ID". */
static int
load_keys(struct gh_control *c, struct gh_error *e)
{
    json_t *flat = json_object(), *record, *of;
    const char *name, *dot;
    char app[GH_NAME_SIZE];
    int rc = load_kind(c, "key", flat, e);

    json_object_foreach(flat, name, record)
    {
        dot = strchr(name, '.');
        if (dot == NULL || gh_slice_copy(gh_slice(name, (size_t)(dot - name)),
                                         app, sizeof(app)) != 0)
            continue;
        of = json_object_get(c->keys, app);
        if (of == NULL) {
            of = json_object();
            json_object_set_new(c->keys, app, of);
        }
        json_object_set(of, dot + 1, record);
    }
    json_decref(flat);
    return rc;
}

/* Where a service of the house was reached last: it goes on there while the
 * house looks for it. */
static int
load_runtime(struct gh_control *c, const char *name, struct gh_error *e)
{
    struct gh_service v;
    struct gh_arena arena;
    struct gh_alloc a;
    json_t *list = json_array();
    int rc;

    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    rc = gh_catalog_service(c->catalog, gh_slice_str(name), &a, &v, e);
    for (size_t i = 0; rc == 1 && i < v.n; i++)
        json_array_append_new(list,
                              json_pack("{s:s%, s:b}", "address",
                                        v.endpoints[i].address.data,
                                        v.endpoints[i].address.len, "healthy",
                                        (int)v.endpoints[i].healthy));
    if (rc == 1)
        json_object_set_new(c->runtime, name,
                            json_pack("{s:s%, s:O, s:b}", "state", v.state.data,
                                      v.state.len, "endpoints", list, "before",
                                      1));
    json_decref(list);
    gh_arena_finish(&arena);
    return rc < 0 ? -1 : 0;
}

static int
load_runtimes(struct gh_control *c, struct gh_error *e)
{
    const char *name;
    json_t *item;

    json_object_foreach(c->items.of[GH_KIND_SERVICE], name, item)
    {
        if (json_object_get(item, "compose") != NULL &&
            load_runtime(c, name, e) != 0)
            return -1;
    }
    return 0;
}

int
gh_control_load(struct gh_control *c, struct gh_error *e)
{
    int rc = 0;

    if (gh_items_init(&c->items) != 0)
        return gh_error_set(e, GH_ENOMEM, "out of memory");
    c->discovered = json_object();
    c->prints = json_object();
    c->keys = json_object();
    c->runtime = json_object();
    if (gh_catalog_begin(c->catalog, e) != 0)
        return -1;
    c->generation = gh_catalog_generation(c->catalog);
    for (int k = 0; rc == 0 && k < GH_KINDS; k++)
        rc = load_kind(c, gh_kind_name(k), c->items.of[k], e);
    if (rc == 0)
        rc = load_kind(c, "discovered", c->discovered, e);
    if (rc == 0)
        rc = load_kind(c, "secret-print", c->prints, e);
    if (rc == 0)
        rc = load_keys(c, e);
    if (rc == 0)
        rc = load_runtimes(c, e);
    gh_catalog_end(c->catalog);
    return rc;
}

/* ---- records */

/* What the house last told of a service; "starting" until it tells. */
static int
runtime_service(struct gh_control *c, const json_t *item,
                const struct gh_alloc *a, struct gh_service *out,
                struct gh_error *e)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    const json_t *run = json_object_get(c->runtime, name);
    const json_t *list = json_object_get(run, "endpoints");
    const char *state = json_string_value(json_object_get(run, "state"));
    struct gh_endpoint *at;

    memset(out, 0, sizeof(*out));
    out->name = gh_slice_str(name);
    out->state = gh_slice_str(state != NULL ? state : "starting");
    out->n = json_array_size(list);
    if (json_is_true(json_object_get(item, "disabled"))) {
        out->state = gh_slice_str("disabled");
        out->n = 0;
    }
    at = gh_get(a, (out->n + 1) * sizeof(*at));
    if (at == NULL)
        return gh_error_set(e, GH_ENOMEM, "out of memory");
    for (size_t i = 0; i < out->n; i++) {
        at[i].address = gh_slice_str(json_string_value(
            json_object_get(json_array_get(list, i), "address")));
        at[i].healthy =
            json_is_true(json_object_get(json_array_get(list, i), "healthy"));
    }
    out->endpoints = at;
    return 0;
}

static int
put_service(struct gh_control *c, struct gh_catalog_write *w,
            const json_t *item, const struct gh_alloc *a, struct gh_error *e)
{
    struct gh_service v;
    int rc = json_object_get(item, "compose") != NULL
                 ? runtime_service(c, item, a, &v, e)
                 : gh_document_compile_service(item, a, &v, e);

    return rc == 0 ? gh_catalog_put_service(w, &v, e) : -1;
}

/* What was fetched from one issuer says nothing about another. */
static const json_t *
discovered_of(const struct gh_control *c, const json_t *item)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    const json_t *found = json_object_get(c->discovered, name);

    return found != NULL && json_equal(json_object_get(found, "issuer"),
                                       json_object_get(item, "issuer"))
               ? found
               : NULL;
}

static int
put_idp(struct gh_control *c, struct gh_catalog_write *w, const json_t *item,
        const struct gh_alloc *a, struct gh_error *e)
{
    const json_t *found = discovered_of(c, item);
    struct gh_idp v;

    if (gh_document_compile_idp(item, found, a, &v, e) != 0 ||
        gh_catalog_put_idp(w, &v, e) != 0)
        return -1;
    return gh_control_put_doc(w, "discovered",
                              json_string_value(json_object_get(item, "name")),
                              found, e);
}

#define COMPILE_AND_PUT(kind)                                                  \
    static int put_##kind(struct gh_control *c, struct gh_catalog_write *w,    \
                          const json_t *item, const struct gh_alloc *a,        \
                          struct gh_error *e)                                  \
    {                                                                          \
        struct gh_##kind v;                                                    \
                                                                               \
        if (gh_document_compile_##kind(item, a, &v, e) != 0)                   \
            return -1;                                                         \
        return gh_catalog_put_##kind(w, &v, e);                                \
    }

COMPILE_AND_PUT(api)
COMPILE_AND_PUT(plan)
COMPILE_AND_PUT(account)
COMPILE_AND_PUT(app)

static int (*const put_record[GH_KINDS])(struct gh_control *,
                                         struct gh_catalog_write *,
                                         const json_t *,
                                         const struct gh_alloc *,
                                         struct gh_error *) = {
    [GH_KIND_SERVICE] = put_service, [GH_KIND_IDP] = put_idp,
    [GH_KIND_API] = put_api,         [GH_KIND_PLAN] = put_plan,
    [GH_KIND_ACCOUNT] = put_account, [GH_KIND_APP] = put_app,
};

/* An application's OIDC clients are credentials of their own. */
static int
put_clients(struct gh_control *c, struct gh_catalog_write *w,
            const json_t *item, bool add, struct gh_error *e)
{
    const json_t *client;
    size_t i;
    int rc = 0;

    json_array_foreach(json_object_get(item, "clients"), i, client)
    {
        struct gh_slice idp =
            gh_slice_str(json_string_value(json_object_get(client, "idp")));
        struct gh_slice id = gh_slice_str(
            json_string_value(json_object_get(client, "client_id")));
        struct gh_credential v = {
            .kind = GH_CRED_CLIENT,
            .id = idp,
            .app =
                gh_slice_str(json_string_value(json_object_get(item, "name"))),
        };
        unsigned char digest[GH_DIGEST_SIZE];

        gh_credential_digest(&c->credential_key, GH_CRED_CLIENT, idp, id,
                             digest);
        rc = add ? gh_catalog_put_credential(w, digest, &v, e)
                 : gh_catalog_remove_credential(w, digest, e);
        if (rc < 0)
            return -1;
    }
    return 0;
}

static int
put_item(struct gh_control *c, struct gh_catalog_write *w, enum gh_kind k,
         const json_t *item, struct gh_error *e)
{
    const char *name = json_string_value(json_object_get(item, "name"));
    struct gh_arena arena;
    struct gh_alloc a;
    int rc;

    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    rc = put_record[k](c, w, item, &a, e);
    gh_arena_finish(&arena);
    if (rc == 0)
        rc = gh_control_put_doc(w, gh_kind_name(k), name, item, e);
    return rc == 0 ? 0 : gh_error_wrap(e, "%s \"%s\"", gh_kind_name(k), name);
}

static int
remove_item(struct gh_control *c, struct gh_catalog_write *w, enum gh_kind k,
            const char *name, struct gh_error *e)
{
    if (gh_catalog_remove(w, gh_kind_name(k), name_of(name), e) < 0 ||
        gh_catalog_remove_doc(w, gh_kind_name(k), name_of(name), e) < 0)
        return -1;
    if (k == GH_KIND_APP && gh_control_remove_keys(c, w, name, e) != 0)
        return -1;
    if (k == GH_KIND_IDP &&
        (gh_catalog_remove_doc(w, "discovered", name_of(name), e) < 0 ||
         gh_catalog_remove_doc(w, "secret-print", name_of(name), e) < 0))
        return -1;
    return 0;
}

static bool
differs(const json_t *a, const json_t *b)
{
    return a != b && (a == NULL || b == NULL || !json_equal(a, b));
}

/* Routes and clients may move from one item to another in one write: what is
 * given up goes first. */
static int
write_removals(struct gh_control *c, struct gh_catalog_write *w,
               const struct gh_items *want, struct gh_error *e)
{
    const char *name;
    json_t *item, *to;

    for (int k = 0; k < GH_KINDS; k++)
        json_object_foreach(c->items.of[k], name, item)
        {
            to = json_object_get(want->of[k], name);
            if (!differs(item, to))
                continue;
            if (k == GH_KIND_APP && put_clients(c, w, item, false, e) != 0)
                return -1;
            if (to == NULL && remove_item(c, w, k, name, e) != 0)
                return -1;
            if (to != NULL && k == GH_KIND_API &&
                gh_catalog_remove(w, "api", name_of(name), e) < 0)
                return -1;
        }
    return 0;
}

static int
write_puts(struct gh_control *c, struct gh_catalog_write *w,
           const struct gh_items *want, struct gh_error *e)
{
    const char *name;
    json_t *item;

    for (int k = 0; k < GH_KINDS; k++)
        json_object_foreach(want->of[k], name, item)
        {
            if (!differs(item, json_object_get(c->items.of[k], name)))
                continue;
            if (put_item(c, w, k, item, e) != 0)
                return -1;
            if (k == GH_KIND_APP && put_clients(c, w, item, true, e) != 0)
                return -1;
        }
    return 0;
}

static int
write_prints(struct gh_catalog_write *w, const json_t *prints,
             struct gh_error *e)
{
    const char *name;
    json_t *print;

    json_object_foreach((json_t *)prints, name, print)
    {
        if (gh_control_put_doc(w, "secret-print", name, print, e) != 0)
            return -1;
    }
    return 0;
}

/* What goes with a removed application or provider, in memory. */
static void
forget_removed(struct gh_control *c, const struct gh_items *want)
{
    const char *name;
    json_t *v;
    void *next;

    json_object_foreach_safe(c->keys, next, name, v)
    {
        if (json_object_get(want->of[GH_KIND_APP], name) == NULL)
            json_object_del(c->keys, name);
    }
    json_object_foreach_safe(c->discovered, next, name, v)
    {
        const json_t *idp = json_object_get(want->of[GH_KIND_IDP], name);

        if (idp == NULL || discovered_of(c, idp) == NULL)
            json_object_del(c->discovered, name);
    }
    json_object_foreach_safe(c->prints, next, name, v)
    {
        if (json_object_get(want->of[GH_KIND_IDP], name) == NULL) {
            gh_control_forget_secret(c, name);
            json_object_del(c->prints, name);
        }
    }
}

int
gh_control_store(struct gh_control *c, struct gh_items *want,
                 const json_t *prints, struct gh_error *e)
{
    struct gh_catalog_write *w;

    if (gh_catalog_write_begin(c->catalog, &w, e) != 0)
        return -1;
    if (write_removals(c, w, want, e) != 0 || write_puts(c, w, want, e) != 0 ||
        write_prints(w, prints, e) != 0) {
        gh_catalog_abort(w);
        return -1;
    }
    if (gh_control_commit(c, w, e) != 0)
        return -1;
    json_object_update(c->prints, (json_t *)prints);
    forget_removed(c, want);
    gh_items_finish(&c->items);
    c->items = *want;
    memset(want, 0, sizeof(*want));
    return 0;
}

int
gh_control_refresh(struct gh_control *c, enum gh_kind k, const char *name,
                   struct gh_error *e)
{
    const json_t *item = gh_items_get(&c->items, k, name);
    struct gh_catalog_write *w;

    if (item == NULL)
        return gh_error_set(e, GH_ENOTFOUND, "there is no %s \"%s\"",
                            gh_kind_name(k), name);
    if (gh_catalog_write_begin(c->catalog, &w, e) != 0)
        return -1;
    if (put_item(c, w, k, item, e) != 0) {
        gh_catalog_abort(w);
        return -1;
    }
    if (gh_control_commit(c, w, e) != 0)
        return -1;
    return 0;
}
