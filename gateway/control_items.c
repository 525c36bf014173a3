/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/{kind} and /v1/{kind}/{name}: single items, with ETags. */
#include "control.h"

#include "document_schema.h"
#include "encode.h"

#include <stdio.h>
#include <stdlib.h>

/* The kind of the path: plural, as the document spells it. */
static int
path_kind(struct gh_request *r)
{
    int k = gh_kind_find(gh_slice_str(r->param[0]));

    if (k < 0 || strcmp(gh_kind_plural(k), r->param[0]) != 0) {
        gh_request_fail(r, 404, "not_found",
                        "there is no kind \"%s\": services, idps, apis, "
                        "plans, accounts, apps",
                        r->param[0]);
        return -1;
    }
    return k;
}

static void
set_etag(struct gh_request *r, const json_t *item)
{
    char *text = json_dumps(item, JSON_COMPACT | JSON_SORT_KEYS);
    unsigned char digest[GH_DIGEST_SIZE];
    struct gh_slice s = gh_slice_str(text);
    char hex[33];

    if (text == NULL)
        return;
    gh_sha256(&s, 1, digest);
    gh_hex_encode(gh_slice(digest, 16), hex);
    snprintf(r->etag, sizeof(r->etag), "\"%s\"", hex);
    free(text);
}

/* RFC 9110 section 13.1: 0 go on, 1 answered. */
static int
preconditions(struct gh_request *r, const json_t *item)
{
    const char *match = gh_request_header(r, "If-Match");
    const char *none = gh_request_header(r, "If-None-Match");
    bool fails = false;

    if (item != NULL)
        set_etag(r, item);
    if (match != NULL)
        fails = item == NULL ||
                (strcmp(match, "*") != 0 && strstr(match, r->etag) == NULL);
    else if (none != NULL)
        fails = item != NULL &&
                (strcmp(none, "*") == 0 || strstr(none, r->etag) != NULL);
    if (!fails)
        return 0;
    gh_request_fail(r, 412, "changed",
                    item == NULL ? "it is not there any more"
                    : match != NULL
                        ? "it has changed since you read it: read it again"
                        : "it exists already");
    return 1;
}

/* Fields in the schema's order, and what is known of its run. */
static json_t *
shown(struct gh_control *c, enum gh_kind k, const json_t *item)
{
    json_t *o = json_object(), *v;

    if (k == GH_KIND_SERVICE) {
        json_decref(o);
        return gh_control_services_show(c, item);
    }
    for (const struct gh_field *f = gh_schemas[k].fields; f->name != NULL;
         f++) {
        v = json_object_get(item, f->name);
        if (v != NULL)
            json_object_set(o, f->name, v);
    }
    return o;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int
gh_control_list_items(struct gh_request *r)
{
    int k = path_kind(r);
    json_t *list, *item;
    const char **names, *name;
    size_t n = 0;

    if (k < 0)
        return 0;
    names = calloc(json_object_size(r->c->items.of[k]) + 1, sizeof(*names));
    list = json_array();
    if (names == NULL || list == NULL) {
        free(names);
        return gh_request_answer(r, 500, NULL);
    }
    json_object_foreach(r->c->items.of[k], name, item)
    {
        names[n++] = name;
    }
    qsort(names, n, sizeof(*names), by_name);
    for (size_t i = 0; i < n; i++)
        json_array_append_new(
            list, shown(r->c, k, gh_items_get(&r->c->items, k, names[i])));
    free(names);
    return gh_request_answer(r, 200, json_pack("{s:o}", "items", list));
}

int
gh_control_get_item(struct gh_request *r)
{
    int k = path_kind(r);
    json_t *item;

    if (k < 0)
        return 0;
    item = gh_items_get(&r->c->items, k, r->param[1]);
    if (item == NULL)
        return gh_request_not_found(r, gh_kind_name(k), r->param[1]);
    set_etag(r, item);
    return gh_request_answer(r, 200, shown(r->c, k, item));
}

static void
drop(struct gh_node *map, const char *key)
{
    struct gh_node **at = &map->first;

    while (*at != NULL && !gh_slice_eq_str((*at)->key, key))
        at = &(*at)->next;
    if (*at != NULL)
        *at = (*at)->next;
}

/* The name of the path is the item's; in the body it may stand, too. */
static json_t *
checked_item(struct gh_request *r, enum gh_kind k, struct gh_node *root,
             const struct gh_alloc *a, struct gh_faults *f)
{
    const struct gh_node *own;
    struct gh_node *name;
    json_t *item;

    if (k == GH_KIND_SERVICE)
        drop(root, "run"); /* what GET adds may come back */
    own = gh_node_get(root, "name");

    if (own == NULL && root->kind == GH_NODE_MAP) {
        name = gh_get(a, sizeof(*name));
        if (name == NULL)
            return NULL;
        name->kind = GH_NODE_SCALAR;
        name->text = gh_slice_str(r->param[1]);
        name->key = gh_slice_str("name");
        name->next = root->first;
        root->first = name;
    }
    item = gh_document_check_item(k, root, "", f);
    if (own != NULL && !gh_slice_eq_str(own->text, r->param[1]))
        gh_fault_add(f, own->line, own->column, "name", "leave it out",
                     "the name differs from that of the address, \"%s\"",
                     r->param[1]);
    return item;
}

static int
put_checked(struct gh_request *r, enum gh_kind k, json_t *item,
            const struct gh_node *root, struct gh_faults *f)
{
    bool had = gh_items_get(&r->c->items, k, r->param[1]) != NULL;
    struct gh_items want;
    json_t *changes;

    if (gh_items_copy(&want, &r->c->items) != 0 ||
        json_object_set(want.of[k], r->param[1], item) != 0) {
        gh_items_finish(&want);
        return gh_request_answer(r, 500, NULL);
    }
    if (f->n > 0) { /* tell what references add to it */
        gh_control_check(r->c, &want, NULL, root, f);
        gh_items_finish(&want);
        return gh_request_faults(r, f);
    }
    if (gh_control_edit(r, &want, NULL, root, f, &changes) != 0)
        return 0;
    if (json_array_size(changes) > 0)
        gh_control_audit(r->c, r, had ? "change" : "add", gh_kind_name(k),
                         r->param[1], changes);
    json_decref(changes);
    item = gh_items_get(&r->c->items, k, r->param[1]);
    set_etag(r, item);
    return gh_request_answer(r, had ? 200 : 201, shown(r->c, k, item));
}

int
gh_control_put_item(struct gh_request *r)
{
    int k = path_kind(r);
    struct gh_faults *f;
    struct gh_alloc a;
    struct gh_node *root;
    json_t *item = NULL;

    if (k < 0)
        return 0;
    if (!gh_name_valid(gh_slice_str(r->param[1])))
        return gh_request_fail(r, 422, "invalid",
                               "\"%s\" is no name: 1 to 63 of a-z 0-9 - _, "
                               "beginning with a letter or digit",
                               r->param[1]);
    if (preconditions(r, gh_items_get(&r->c->items, k, r->param[1])) != 0)
        return 0;
    f = malloc(sizeof(*f));
    if (f == NULL)
        return gh_request_answer(r, 500, NULL);
    gh_faults_init(f);
    a = gh_arena_alloc(&f->arena);
    root = gh_request_tree(r, &a, f);
    if (root != NULL)
        item = checked_item(r, k, root, &a, f);
    if (item != NULL)
        put_checked(r, k, item, root, f);
    else if (f->n > 0)
        gh_request_faults(r, f);
    else
        gh_request_answer(r, 500, NULL);
    json_decref(item);
    gh_faults_finish(f);
    free(f);
    return 0;
}

int
gh_control_delete_item(struct gh_request *r)
{
    int k = path_kind(r);
    struct gh_items want;
    struct gh_faults *f;
    const char *volumes = gh_request_query(r, "volumes");
    json_t *item, *changes;

    if (k < 0)
        return 0;
    item = gh_items_get(&r->c->items, k, r->param[1]);
    if (item == NULL)
        return gh_request_not_found(r, gh_kind_name(k), r->param[1]);
    if (preconditions(r, item) != 0)
        return 0;
    f = malloc(sizeof(*f));
    if (f == NULL || gh_items_copy(&want, &r->c->items) != 0) {
        free(f);
        return gh_request_answer(r, 500, NULL);
    }
    gh_faults_init(f);
    r->c->remove_volumes = volumes != NULL && strcmp(volumes, "true") == 0;
    json_object_del(want.of[k], r->param[1]);
    gh_document_refs(&r->c->items, &want, NULL, NULL, f);
    if (f->n > 0) {
        gh_items_finish(&want);
        gh_request_faults(r, f);
        r->status = 409;
        json_object_set_new(r->json, "status", json_integer(409));
        json_object_set_new(r->json, "code", json_string("in_use"));
    } else if (gh_control_edit(r, &want, NULL, NULL, f, &changes) == 0) {
        gh_control_audit(r->c, r, "remove", gh_kind_name(k), r->param[1], NULL);
        json_decref(changes);
        r->etag[0] = '\0';
        gh_request_answer(r, 200,
                          json_pack("{s:s, s:s}", "removed", gh_kind_name(k),
                                    "name", r->param[1]));
    }
    r->c->remove_volumes = false;
    gh_faults_finish(f);
    free(f);
    return 0;
}
