/* SPDX-License-Identifier: Apache-2.0 */
/* Between document_refs.c (what to look at) and document_refs_items.c (what to
 * look for). Nobody else includes this. */
#ifndef GH_DOCUMENT_REFS_H
#define GH_DOCUMENT_REFS_H

#include "document_schema.h"

struct gh_refs {
    const struct gh_items *now, *want;
    const struct gh_node *root;
    struct gh_faults *f;
    const char *base; /* path of the item under check */
    bool located;     /* the item is in the text */
    json_t *routes;   /* "host path" -> API name */
    json_t *clients;  /* "idp client_id" -> application's name */
};

static inline const char *
gh_refs_text(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* path: below the item under check. */
void gh_refs_fault(struct gh_refs *c, const char *hint, const char *path,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* The item that `name` means, or NULL and a fault that says what to do. NULL
 * name: nothing. */
json_t *gh_refs_follow(struct gh_refs *c, enum gh_kind k, const char *name,
                       const char *path);
void gh_refs_check(struct gh_refs *c, enum gh_kind k, const json_t *item);

#endif
