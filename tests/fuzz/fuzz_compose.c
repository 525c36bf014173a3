/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A developer's file. Whatever comes: faults, or services whose canonical form
 * is a fixed point and whose record the launcher's own check accepts.
 */
#include "compose.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must_hold(const char *name, const json_t *service)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_faults *f = malloc(sizeof(*f));
    struct gh_alloc a;
    json_t *again, *operations;

    if (f == NULL)
        abort();
    gh_faults_init(f);
    a = gh_arena_alloc(&f->arena);
    if (gh_compose_plan(name, 0, service, &b, NULL) == 0) {
        if (gh_launch_check(b.data, b.len, NULL) != 0)
            abort();
        operations =
            gh_compose_operations((const struct gh_launch_plan *)b.data);
        json_decref(operations);
    }
    again = gh_compose_check(name, gh_document_from_json(service, &a), "", f);
    if (again == NULL || !json_equal(again, service))
        abort();
    json_decref(again);
    gh_faults_finish(f);
    free(f);
    gh_buffer_finish(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct gh_faults *f;
    struct gh_alloc a;
    struct gh_node *root;
    json_t *services = NULL, *one;
    const char *name;

    if (size > 65536 || (f = malloc(sizeof(*f))) == NULL)
        return 0;
    gh_faults_init(f);
    a = gh_arena_alloc(&f->arena);
    root = gh_document_read(gh_slice(data, size), &a, f);
    if (root != NULL)
        services = gh_compose_check_file(root, f);
    if (root != NULL && services == NULL && f->n + f->more == 0)
        abort(); /* refused without a reason */
    json_object_foreach(services, name, one) must_hold(name, one);
    json_decref(services);
    gh_faults_finish(f);
    free(f);
    return 0;
}
