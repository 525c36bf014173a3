/* SPDX-License-Identifier: Apache-2.0 */
/*
 * YAML events to a tree. The parser is fed one event at a time, so that the
 * caps of depth and count end the work before libyaml has done it.
 */
#include "document.h"

#include <yaml.h>

struct reading {
    const struct gh_alloc *a;
    struct gh_faults *f;
    struct gh_node *open[GH_DOCUMENT_DEPTH]; /* from the root in */
    size_t depth;
    size_t nodes;
    struct gh_node *root;
    bool have_key; /* a map waits for the value of this key */
    struct gh_slice key;
    unsigned key_line, key_column;
};

static int
fault(struct reading *r, const yaml_mark_t *at, const char *hint,
      const char *text)
{
    return gh_fault_add(r->f, (unsigned)at->line + 1, (unsigned)at->column + 1,
                        "", hint, "%s", text);
}

static int
out_of_memory(struct reading *r, const yaml_mark_t *at)
{
    return fault(r, at, NULL, "out of memory");
}

/* What a stranger could use to make one text mean two things. */
static void
refuse_extras(struct reading *r, const yaml_mark_t *at, const void *anchor,
              const void *tag)
{
    if (anchor != NULL)
        fault(r, at, "write the value out where it is used",
              "anchors are not allowed");
    if (tag != NULL)
        fault(r, at, "remove the tag: the schema knows the types",
              "tags are not allowed");
}

static struct gh_node *
top(struct reading *r)
{
    return r->depth == 0 ? NULL : r->open[r->depth - 1];
}

static int
append(struct reading *r, struct gh_node *n, const yaml_mark_t *at)
{
    struct gh_node *parent = top(r);

    if (++r->nodes > GH_DOCUMENT_NODES)
        return fault(r, at, "split the document", "too many values");
    if (parent == NULL) {
        r->root = n;
        return 0;
    }
    if (parent->kind == GH_NODE_MAP) {
        n->key = r->key;
        n->key_line = r->key_line;
        n->key_column = r->key_column;
        r->have_key = false;
    }
    if (parent->last == NULL)
        parent->first = n;
    else
        parent->last->next = n;
    parent->last = n;
    parent->count++;
    return 0;
}

static struct gh_node *
new_node(struct reading *r, enum gh_node_kind kind, const yaml_mark_t *at)
{
    struct gh_node *n = gh_get(r->a, sizeof(*n));

    if (n == NULL) {
        out_of_memory(r, at);
        return NULL;
    }
    n->kind = kind;
    n->line = (unsigned)at->line + 1;
    n->column = (unsigned)at->column + 1;
    return n;
}

static bool
wants_key(struct reading *r)
{
    struct gh_node *n = top(r);

    return n != NULL && n->kind == GH_NODE_MAP && !r->have_key;
}

static int
take_key(struct reading *r, struct gh_slice text, const yaml_mark_t *at)
{
    const struct gh_node *map = top(r);

    r->have_key = true;
    r->key_line = (unsigned)at->line + 1;
    r->key_column = (unsigned)at->column + 1;
    r->key = gh_get_copy(r->a, text);
    if (r->key.data == NULL)
        return out_of_memory(r, at);
    /* Maps of ours are small; a huge one is a stranger's: bounded work. */
    if (map->count >= 4096)
        return fault(r, at, NULL, "too many keys in one map");
    for (const struct gh_node *n = map->first; n != NULL; n = n->next)
        if (gh_slice_eq(n->key, text)) {
            gh_fault_add(r->f, r->key_line, r->key_column, "",
                         "keep one of the two",
                         "the key \"%.60s\" was already given in line %u",
                         (const char *)r->key.data, n->key_line);
            break;
        }
    return 0;
}

static int
on_scalar(struct reading *r, const yaml_event_t *ev)
{
    const yaml_mark_t *at = &ev->start_mark;
    struct gh_slice text =
        gh_slice(ev->data.scalar.value, ev->data.scalar.length);
    struct gh_node *n;

    refuse_extras(r, at, ev->data.scalar.anchor, ev->data.scalar.tag);
    if (memchr(text.data, 0, text.len) != NULL) {
        fault(r, at, NULL, "a NUL byte is not allowed");
        text.len = 0;
    }
    if (wants_key(r))
        return take_key(r, text, at);
    n = new_node(r, GH_NODE_SCALAR, at);
    if (n == NULL)
        return -1;
    n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    n->text = gh_get_copy(r->a, text);
    if (n->text.data == NULL)
        return out_of_memory(r, at);
    return append(r, n, at);
}

static int
on_open(struct reading *r, const yaml_event_t *ev, enum gh_node_kind kind)
{
    const yaml_mark_t *at = &ev->start_mark;
    struct gh_node *n;

    if (kind == GH_NODE_LIST)
        refuse_extras(r, at, ev->data.sequence_start.anchor,
                      ev->data.sequence_start.tag);
    else
        refuse_extras(r, at, ev->data.mapping_start.anchor,
                      ev->data.mapping_start.tag);
    if (wants_key(r))
        return fault(r, at, NULL, "a key must be a plain text");
    if (r->depth == GH_DOCUMENT_DEPTH)
        return fault(r, at, NULL, "nested too deeply");
    n = new_node(r, kind, at);
    if (n == NULL || append(r, n, at) != 0)
        return -1;
    r->open[r->depth++] = n;
    return 0;
}

static int
on_close(struct reading *r)
{
    r->depth--;
    r->have_key = false;
    return 0;
}

/* 1: the text is read; 0: go on; -1: stop, no tree. */
static int
on_event(struct reading *r, const yaml_event_t *ev)
{
    switch (ev->type) {
    case YAML_STREAM_END_EVENT:
        return 1;
    case YAML_DOCUMENT_START_EVENT:
        if (r->root != NULL)
            return fault(r, &ev->start_mark, "apply one document at a time",
                         "a second document begins here");
        if (ev->data.document_start.version_directive != NULL ||
            ev->data.document_start.tag_directives.start !=
                ev->data.document_start.tag_directives.end)
            fault(r, &ev->start_mark, "remove the line that starts with %",
                  "directives are not allowed");
        return 0;
    case YAML_ALIAS_EVENT:
        fault(r, &ev->start_mark, "write the value out",
              "aliases are not allowed");
        if (wants_key(r))
            return -1;
        {
            struct gh_node *n = new_node(r, GH_NODE_SCALAR, &ev->start_mark);

            if (n == NULL)
                return -1;
            n->text = gh_get_copy(r->a, gh_slice_str("alias"));
            return append(r, n, &ev->start_mark);
        }
    case YAML_SCALAR_EVENT:
        return on_scalar(r, ev);
    case YAML_SEQUENCE_START_EVENT:
        return on_open(r, ev, GH_NODE_LIST);
    case YAML_MAPPING_START_EVENT:
        return on_open(r, ev, GH_NODE_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return on_close(r);
    default:
        return 0;
    }
}

static void
syntax_fault(struct reading *r, const yaml_parser_t *p)
{
    const char *what = p->problem != NULL ? p->problem : "not YAML";
    const yaml_mark_t *at = &p->problem_mark;
    const char *hint = NULL;

    if (strstr(what, "cannot start any token") != NULL)
        hint = "a tab cannot indent, and @ ` % need quotes";
    else if (strstr(what, "did not find expected key") != NULL)
        hint = "look at the indentation, and at quotes that are not closed";
    else if (strstr(what, "mapping values are not allowed") != NULL)
        hint = "quote a text that holds \": \"";
    if (p->error == YAML_READER_ERROR)
        fault(r, &p->mark, "save the file as UTF-8", what);
    else
        fault(r, at, hint, what);
}

struct gh_node *
gh_document_read(struct gh_slice text, const struct gh_alloc *a,
                 struct gh_faults *f)
{
    struct reading r = {.a = a, .f = f};
    yaml_parser_t p;
    yaml_event_t ev;
    int rc = 0;

    if (text.len > GH_DOCUMENT_SIZE) {
        gh_fault_add(f, 0, 0, "", "split it by kinds",
                     "the document has %zu bytes, %zu are allowed", text.len,
                     GH_DOCUMENT_SIZE);
        return NULL;
    }
    if (!yaml_parser_initialize(&p)) {
        gh_fault_add(f, 0, 0, "", NULL, "out of memory");
        return NULL;
    }
    yaml_parser_set_encoding(&p, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(
        &p, text.data != NULL ? text.data : (const unsigned char *)"",
        text.len);
    while (rc == 0) {
        if (!yaml_parser_parse(&p, &ev)) {
            syntax_fault(&r, &p);
            rc = -1;
            break;
        }
        rc = on_event(&r, &ev);
        yaml_event_delete(&ev);
    }
    yaml_parser_delete(&p);
    if (rc < 0)
        return NULL;
    if (r.root == NULL)
        gh_fault_add(f, 0, 0, "", "start with \"gatehouse: 1\"",
                     "the document is empty");
    return r.root;
}
