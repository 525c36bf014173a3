/* SPDX-License-Identifier: Apache-2.0 */
/* States of items: copies, what a document asks for, and the difference. */
#include "document_schema.h"

#include <stdio.h>

int
gh_items_init(struct gh_items *s)
{
    int rc = 0;

    for (int k = 0; k < GH_KINDS; k++) {
        s->of[k] = json_object();
        if (s->of[k] == NULL)
            rc = -1;
    }
    return rc;
}

void
gh_items_finish(struct gh_items *s)
{
    for (int k = 0; k < GH_KINDS; k++) {
        json_decref(s->of[k]);
        s->of[k] = NULL;
    }
}

int
gh_items_copy(struct gh_items *to, const struct gh_items *from)
{
    int rc = 0;

    for (int k = 0; k < GH_KINDS; k++) {
        to->of[k] = json_copy(from->of[k]);
        if (to->of[k] == NULL)
            rc = -1;
    }
    return rc;
}

json_t *
gh_items_get(const struct gh_items *s, enum gh_kind k, const char *name)
{
    return json_object_get(s->of[k], name);
}

static int
take_kind(enum gh_kind k, json_t *list, const struct gh_node *root, json_t *out,
          struct gh_faults *f)
{
    char path[64];
    json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        const struct gh_node *at;

        if (name == NULL)
            continue; /* told by the check */
        if (json_object_get(out, name) != NULL) {
            snprintf(path, sizeof(path), "%s[%zu].name", gh_kind_plural(k), i);
            at = gh_node_at(root, path);
            gh_fault_add(f, at->line, at->column, path, "names are unique",
                         "a second %s \"%s\"", gh_kind_name(k), name);
            continue;
        }
        if (json_object_set(out, name, item) != 0)
            return -1;
    }
    return 0;
}

int
gh_document_desired(const json_t *doc, const struct gh_node *root,
                    const struct gh_items *now, struct gh_items *out,
                    struct gh_faults *f)
{
    for (int k = 0; k < GH_KINDS; k++) {
        json_t *list = json_object_get(doc, gh_kind_plural(k));

        out->of[k] = list == NULL ? json_copy(now->of[k]) : json_object();
        if (out->of[k] == NULL)
            goto no_memory;
        if (list != NULL && take_kind(k, list, root, out->of[k], f) != 0)
            goto no_memory;
    }
    return 0;

no_memory:
    gh_fault_add(f, 0, 0, "", NULL, "out of memory");
    return -1;
}

/* ---- the difference */

static void
add_field(json_t *fields, const char *path, json_t *from, json_t *to)
{
    json_t *one = json_pack("{s:s}", "path", path);

    if (from != NULL)
        json_object_set(one, "from", from);
    if (to != NULL)
        json_object_set(one, "to", to);
    json_array_append_new(fields, one);
}

static void compare(json_t *fields, const char *path, json_t *from, json_t *to);

static void
compare_objects(json_t *fields, const char *path, json_t *from, json_t *to)
{
    char below[512];
    const char *key;
    json_t *v;

    json_object_foreach(from, key, v)
    {
        snprintf(below, sizeof(below), "%s%s%.80s", path, *path ? "." : "",
                 key);
        compare(fields, below, v, json_object_get(to, key));
    }
    json_object_foreach(to, key, v)
    {
        if (json_object_get(from, key) != NULL)
            continue;
        snprintf(below, sizeof(below), "%s%s%.80s", path, *path ? "." : "",
                 key);
        add_field(fields, below, NULL, v);
    }
}

static void
compare_lists(json_t *fields, const char *path, json_t *from, json_t *to)
{
    size_t n = json_array_size(from), m = json_array_size(to);
    char below[512];

    for (size_t i = 0; i < n || i < m; i++) {
        snprintf(below, sizeof(below), "%s[%zu]", path, i);
        compare(fields, below, json_array_get(from, i), json_array_get(to, i));
    }
}

static void
compare(json_t *fields, const char *path, json_t *from, json_t *to)
{
    if (from != NULL && to != NULL && json_equal(from, to))
        return;
    if (json_is_object(from) && json_is_object(to))
        compare_objects(fields, path, from, to);
    else if (json_is_array(from) && json_is_array(to))
        compare_lists(fields, path, from, to);
    else
        add_field(fields, path, from, to);
}

static void
add_change(json_t *out, enum gh_kind k, const char *name, const char *change,
           json_t *from, json_t *to)
{
    json_t *fields = json_array();
    json_t *one = json_pack("{s:s, s:s, s:s}", "kind", gh_kind_name(k), "name",
                            name, "change", change);

    if (from != NULL && to != NULL)
        compare(fields, "", from, to);
    json_object_set_new(one, "fields", fields);
    json_array_append_new(out, one);
}

json_t *
gh_document_diff(const struct gh_items *now, const struct gh_items *want)
{
    json_t *out = json_array(), *item, *other;
    const char *name;

    for (int k = 0; out != NULL && k < GH_KINDS; k++) {
        json_object_foreach(want->of[k], name, item)
        {
            other = json_object_get(now->of[k], name);
            if (other == NULL)
                add_change(out, k, name, "add", NULL, item);
            else if (other != item && !json_equal(other, item))
                add_change(out, k, name, "change", other, item);
        }
        json_object_foreach(now->of[k], name, item)
        {
            if (json_object_get(want->of[k], name) == NULL)
                add_change(out, k, name, "remove", item, NULL);
        }
    }
    return out;
}
