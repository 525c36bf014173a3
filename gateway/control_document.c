/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/document: apply, check, diff and export of the whole. */
#include "control.h"

#include "document_schema.h"

#include <stdio.h>
#include <stdlib.h>

/* A document on its way in; everything of it lives until finish(). */
struct incoming {
    struct gh_faults f;
    struct gh_node *root;
    json_t *doc;
    struct gh_items want;
};

/* Reads, checks by the schema, and says what is wanted. Faults gather in f;
 * false when there is nothing to go on with. */
static bool
take_in(struct gh_request *r, struct incoming *in)
{
    struct gh_alloc a;

    memset(in, 0, sizeof(*in));
    gh_faults_init(&in->f);
    a = gh_arena_alloc(&in->f.arena);
    in->root = gh_request_tree(r, &a, &in->f);
    if (in->root == NULL)
        return false;
    in->doc = gh_document_check(in->root, &in->f);
    return in->doc != NULL &&
           gh_document_desired(in->doc, in->root, &r->c->items, &in->want,
                               &in->f) == 0;
}

static void
finish(struct incoming *in)
{
    gh_items_finish(&in->want);
    json_decref(in->doc);
    gh_faults_finish(&in->f);
    free(in);
}

static struct incoming *
incoming(struct gh_request *r, bool *good)
{
    struct incoming *in = malloc(sizeof(*in));

    if (in == NULL) {
        gh_request_answer(r, 500, NULL);
        return NULL;
    }
    *good = take_in(r, in);
    if (!*good && in->f.n == 0)
        gh_fault_add(&in->f, 0, 0, "", NULL, "out of memory");
    return in;
}

static void
set_generation(struct gh_request *r)
{
    snprintf(r->etag, sizeof(r->etag), "\"%llu\"",
             (unsigned long long)r->c->generation);
}

/* The difference, with secrets taken out; NULL after an answer. */
static json_t *
difference(struct gh_request *r, struct incoming *in)
{
    json_t *secrets = NULL, *prints = NULL, *diff = NULL;
    struct gh_error e;

    gh_control_check(r->c, &in->want, in->doc, in->root, &in->f);
    if (in->f.n > 0) {
        gh_request_faults(r, &in->f);
        return NULL;
    }
    if (gh_control_take_secrets(r->c, &in->want, &secrets, &prints, &e) != 0)
        gh_request_error(r, &e);
    else {
        diff = gh_document_diff(&r->c->items, &in->want);
        gh_control_add_secret_changes(r->c, prints, diff);
    }
    json_decref(secrets);
    json_decref(prints);
    return diff;
}

static int
compare(struct gh_request *r, bool tell)
{
    bool good;
    struct incoming *in = incoming(r, &good);
    json_t *diff;

    if (in == NULL)
        return 0;
    if (!good)
        gh_request_faults(r, &in->f);
    else if ((diff = difference(r, in)) != NULL) {
        json_int_t n = (json_int_t)json_array_size(diff);

        set_generation(r);
        gh_request_answer(r, 200,
                          tell
                              ? json_pack("{s:o}", "changes", diff)
                              : json_pack("{s:b, s:I}", "ok", 1, "changes", n));
        if (!tell)
            json_decref(diff);
    }
    finish(in);
    return 0;
}

int
gh_control_check_document(struct gh_request *r)
{
    return compare(r, false);
}

int
gh_control_diff(struct gh_request *r)
{
    return compare(r, true);
}

/* For the audit: what was touched, not what with. */
static json_t *
summary(const json_t *changes)
{
    json_t *list = json_array(), *one;
    size_t i;

    json_array_foreach(changes, i, one)
    {
        json_array_append_new(list,
                              json_pack("{s:O, s:O, s:O}", "kind",
                                        json_object_get(one, "kind"), "name",
                                        json_object_get(one, "name"), "change",
                                        json_object_get(one, "change")));
    }
    return list;
}

int
gh_control_apply(struct gh_request *r)
{
    const char *match = gh_request_header(r, "If-Match");
    bool good;
    struct incoming *in;
    json_t *changes, *brief;

    set_generation(r);
    if (match != NULL && strcmp(match, "*") != 0 &&
        strstr(match, r->etag) == NULL)
        return gh_request_fail(r, 412, "changed",
                               "the catalog has changed since you read it");
    in = incoming(r, &good);
    if (in == NULL)
        return 0;
    if (!good)
        gh_request_faults(r, &in->f);
    else if (gh_control_edit(r, &in->want, in->doc, in->root, &in->f,
                             &changes) == 0) {
        brief = summary(changes);
        if (json_array_size(changes) > 0)
            gh_control_audit(r->c, r, "apply", NULL, NULL, brief);
        json_decref(brief);
        set_generation(r);
        gh_request_answer(r, 200,
                          json_pack("{s:I, s:o}", "generation",
                                    (json_int_t)r->c->generation, "changes",
                                    changes));
    }
    finish(in);
    return 0;
}

static json_t *
as_json(struct gh_control *c)
{
    json_t *doc = json_pack("{s:i}", "gatehouse", 1), *list, *item;
    const char *name;

    for (int k = 0; k < GH_KINDS; k++) {
        list = json_array();
        json_object_foreach(c->items.of[k], name, item)
        {
            json_array_append(list, item);
        }
        json_object_set_new(doc, gh_kind_plural(k), list);
    }
    return doc;
}

int
gh_control_export(struct gh_request *r)
{
    const char *format = gh_request_query(r, "format");

    set_generation(r);
    if (format != NULL && strcmp(format, "json") == 0)
        return gh_request_answer(r, 200, as_json(r->c));
    if (gh_document_write(&r->c->items, &r->text) != 0)
        return gh_request_answer(r, 500, NULL);
    r->status = 200;
    r->type = "application/yaml";
    return 0;
}
