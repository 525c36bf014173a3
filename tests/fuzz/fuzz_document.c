/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin's document. Whatever comes: faults with their places, or a state
 * that compiles, and whose export is read again without a fault and without a
 * difference.
 */
#include "document.h"
#include "document_compile.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
compile(const struct gh_items *s, const struct gh_alloc *a)
{
    const char *name;
    json_t *item;

    json_object_foreach(s->of[GH_KIND_API], name, item)
    {
        struct gh_api v;

        if (gh_document_compile_api(item, a, &v, NULL) != 0 || v.nhosts == 0 ||
            v.accept == 0)
            abort();
    }
    json_object_foreach(s->of[GH_KIND_PLAN], name, item)
    {
        struct gh_plan v;

        if (gh_document_compile_plan(item, a, &v, NULL) != 0 ||
            v.limits.n > GH_LIMITS_MAX)
            abort();
    }
    json_object_foreach(s->of[GH_KIND_IDP], name, item)
    {
        struct gh_idp v;

        if (gh_document_compile_idp(item, NULL, a, &v, NULL) != 0 ||
            v.algs == 0)
            abort();
    }
    json_object_foreach(s->of[GH_KIND_SERVICE], name, item)
    {
        struct gh_service v;

        if (gh_document_compile_service(item, a, &v, NULL) != 0)
            abort();
    }
}

static void
drop_secrets(const struct gh_items *s)
{
    const char *name;
    json_t *item;

    json_object_foreach(s->of[GH_KIND_IDP], name, item)
    {
        json_object_del(item, "client_secret");
        json_object_del(item, "client_secret_file");
    }
}

static void
round_trip(const struct gh_items *s, const struct gh_alloc *a)
{
    struct gh_buffer text = GH_BUFFER_INIT;
    struct gh_items again = {{NULL}};
    struct gh_faults *f = malloc(sizeof(*f));
    struct gh_node *root;
    json_t *doc, *diff;

    gh_faults_init(f);
    if (gh_document_write(s, &text) != 0)
        abort();
    root = gh_document_read(gh_buffer_slice(&text), a, f);
    if (root == NULL)
        abort();
    doc = gh_document_check(root, f);
    gh_document_desired(doc, root, s, &again, f);
    gh_document_refs(s, &again, doc, root, f);
    diff = gh_document_diff(s, &again);
    if (f->n > 0 || json_array_size(diff) > 0)
        abort();
    json_decref(diff);
    json_decref(doc);
    gh_items_finish(&again);
    gh_faults_finish(f);
    free(f);
    gh_buffer_finish(&text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gh_faults *f = malloc(sizeof(*f));
    struct gh_items now, want = {{NULL}};
    struct gh_alloc a;
    struct gh_node *root;
    json_t *doc = NULL;

    if (f == NULL || gh_items_init(&now) != 0)
        abort();
    gh_faults_init(f);
    a = gh_arena_alloc(&f->arena);
    root = gh_document_read(gh_slice(data, size), &a, f);
    if (root != NULL) {
        doc = gh_document_check(root, f);
        if (gh_document_desired(doc, root, &now, &want, f) != 0)
            abort();
        gh_document_refs(&now, &want, doc, root, f);
        if (f->n == 0) {
            drop_secrets(&want);
            compile(&want, &a);
            round_trip(&want, &a);
        }
    } else if (f->n == 0)
        abort();
    json_decref(gh_faults_json(f));
    json_decref(doc);
    gh_items_finish(&now);
    gh_items_finish(&want);
    gh_faults_finish(f);
    free(f);
    return 0;
}
