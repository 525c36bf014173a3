/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The admin's document: APIs, plans, accounts, applications, identity
 * providers and services as one text. A ladder of steps, each of which tells
 * every fault it finds:
 *
 *   text --read--> tree of nodes --check--> typed JSON --refs--> state --diff
 *
 * Nothing here opens a file, a socket or the catalog. Trees and faults live in
 * the arena of their `struct gh_faults` or the one that the caller gives.
 */
#ifndef GH_DOCUMENT_H
#define GH_DOCUMENT_H

#include "arena.h"
#include "error.h"
#include "pack.h"

#include <jansson.h>

#define GH_DOCUMENT_SIZE ((size_t)4 << 20) /* bytes of a document */
#define GH_DOCUMENT_DEPTH 16
#define GH_DOCUMENT_NODES 1000000
#define GH_FAULTS_MAX 100

/* ---- faults: what is wrong, where, and what to try */

struct gh_fault {
    unsigned line, column; /* 1-based; 0 = not in the text */
    const char *path;      /* "apis[0].rules[2].cost"; "" = the whole */
    const char *message;
    const char *hint; /* or NULL */
};

struct gh_faults {
    struct gh_arena arena;
    struct gh_fault at[GH_FAULTS_MAX];
    size_t n;
    size_t more; /* found beyond the room */
};

void gh_faults_init(struct gh_faults *f);
void gh_faults_finish(struct gh_faults *f);
/* path, hint: copied; hint may be NULL. Returns -1. */
int gh_fault_add(struct gh_faults *f, unsigned line, unsigned column,
                 const char *path, const char *hint, const char *fmt, ...)
    __attribute__((format(printf, 6, 7)));
/* [{line, column, path, message, hint}], new reference; NULL without memory */
json_t *gh_faults_json(const struct gh_faults *f);
/* The nearest of n words within two edits (a third of its length), or NULL. */
const char *gh_fault_nearest(struct gh_slice word, const char *const *words,
                             size_t n);

/* ---- the tree of a text */

enum gh_node_kind { GH_NODE_SCALAR, GH_NODE_LIST, GH_NODE_MAP };

struct gh_node {
    enum gh_node_kind kind;
    bool plain;            /* scalar without quotes: may be a number, a bool */
    unsigned line, column; /* of the value */
    struct gh_slice text;  /* scalar; NUL after it */
    struct gh_slice key;   /* in a map; NUL after it */
    unsigned key_line, key_column;
    struct gh_node *first, *last, *next; /* children, siblings */
    size_t count;                        /* children */
};

/*
 * Reads YAML: aliases, anchors, tags, merge keys, doubled keys, NULs and a
 * second document are faults. Returns the root, or NULL when there is no tree
 * (syntax, a cap, memory); faults may be there either way. An empty text is a
 * fault.
 */
struct gh_node *gh_document_read(struct gh_slice text, const struct gh_alloc *a,
                                 struct gh_faults *f);
/* A JSON value as the same tree; lines are 0. NULL without memory, or nested
 * deeper than a document may be. */
struct gh_node *gh_document_from_json(const json_t *v,
                                      const struct gh_alloc *a);
/* The child of a map, or NULL. */
const struct gh_node *gh_node_get(const struct gh_node *map, const char *key);
/* The node at "apis[0].path", or the last one on the way that exists. */
const struct gh_node *gh_node_at(const struct gh_node *root, const char *path);
/* As untyped JSON by YAML's core schema (null, true, 12, 1.5 when plain). */
json_t *gh_node_json(const struct gh_node *n);

/* ---- kinds and the schema: document_schema.h has the tables */

enum gh_kind {
    GH_KIND_SERVICE,
    GH_KIND_IDP,
    GH_KIND_API,
    GH_KIND_PLAN,
    GH_KIND_ACCOUNT,
    GH_KIND_APP,
    GH_KINDS
};

/* "service" and "services"; as in the catalog and in paths and documents. */
const char *gh_kind_name(enum gh_kind k);
const char *gh_kind_plural(enum gh_kind k);
/* By either spelling; -1 when unknown. */
int gh_kind_find(struct gh_slice word);

/*
 * Checks a whole document by the schema. Returns {"apis": [items], ...} in
 * canonical form (durations in their shortest spelling, fields that only
 * repeat a default left out) with whatever is right of it, so that references
 * can be checked too; NULL only without memory. Secrets stay in the items:
 * take them out with gh_document_take_secret() before anything is kept.
 */
json_t *gh_document_check(const struct gh_node *root, struct gh_faults *f);
/* The same for one item; `path` is put before each fault's path. */
json_t *gh_document_check_item(enum gh_kind k, const struct gh_node *node,
                               const char *path, struct gh_faults *f);

/* ---- states: what is, and what shall be */

/* By kind: an object, name -> item (canonical). */
struct gh_items {
    json_t *of[GH_KINDS];
};

int gh_items_init(struct gh_items *s); /* empty; -1 without memory */
void gh_items_finish(struct gh_items *s);
/* A shallow copy: items are shared and must not be edited. */
int gh_items_copy(struct gh_items *to, const struct gh_items *from);
json_t *gh_items_get(const struct gh_items *s, enum gh_kind k,
                     const char *name);

/*
 * What a document asks for: `now` with each kind that the document names put
 * in place as a whole. Doubled names are faults.
 */
int gh_document_desired(const json_t *doc, const struct gh_node *root,
                        const struct gh_items *now, struct gh_items *out,
                        struct gh_faults *f);

/*
 * Checks that everything that changes between the two states refers to what
 * exists, and that nothing that goes is still referred to. Paths are those of
 * the document where `doc` has the item, else "kind.name"; with an item of
 * its own (`doc` NULL) paths are relative to it.
 */
void gh_document_refs(const struct gh_items *now, const struct gh_items *want,
                      const json_t *doc, const struct gh_node *root,
                      struct gh_faults *f);

/*
 * [{"kind", "name", "change": "add" | "change" | "remove", "fields":
 * [{"path", "from", "to"}]}], in the order of kinds; empty when equal.
 */
json_t *gh_document_diff(const struct gh_items *now,
                         const struct gh_items *want);

/* The state as a document that applies as a no-op. -1 without memory. */
int gh_document_write(const struct gh_items *s, struct gh_buffer *out);
/* Any JSON as YAML (objects in their order). */
int gh_document_write_json(const json_t *v, struct gh_buffer *out);

#endif
