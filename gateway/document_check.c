/* SPDX-License-Identifier: Apache-2.0 */
/* A tree against the schema: every fault, and the canonical JSON. */
#include "document_schema.h"

#include "encode.h"

#include <stdio.h>
#include <stdlib.h>

/* Where we are: linked on the stack, spelled only when a fault needs it. */
struct where {
    const struct where *up;
    const char *key; /* NULL: an index */
    size_t index;
};

struct checking {
    struct gh_faults *f;
    const char *base;
    bool no_memory;
};

static void
spell(const struct where *w, const char *base, char *out, size_t size)
{
    size_t n;

    if (w == NULL) {
        snprintf(out, size, "%s", base);
        return;
    }
    spell(w->up, base, out, size);
    n = strlen(out);
    if (w->key == NULL)
        snprintf(out + n, size - n, "[%zu]", w->index);
    else
        snprintf(out + n, size - n, "%s%.64s", n > 0 ? "." : "", w->key);
}

static void fault(struct checking *c, const struct where *w,
                  const struct gh_node *n, const char *hint, const char *fmt,
                  ...) __attribute__((format(printf, 5, 6)));

static void
fault(struct checking *c, const struct where *w, const struct gh_node *n,
      const char *hint, const char *fmt, ...)
{
    char path[500], text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    spell(w, c->base, path, sizeof(path));
    gh_fault_add(c->f, n->line, n->column, path, hint, "%s", text);
}

/* jansson's texts must be UTF-8; YAML's are, JSON's too, but cut none. */
static json_t *
text_json(struct checking *c, struct gh_slice s)
{
    json_t *v = json_stringn((const char *)s.data, s.len);

    if (v == NULL)
        c->no_memory = true;
    return v;
}

static json_t *check_value(struct checking *c, const struct gh_field *f,
                           const struct gh_node *n, const struct where *w);
static json_t *check_fields(struct checking *c, const struct gh_field *fields,
                            const struct gh_node *n, const struct where *w,
                            const char *what);

static json_t *
check_text(struct checking *c, const struct gh_field *f,
           const struct gh_node *n, const struct where *w)
{
    char why[200];

    if (n->text.len < f->min || (n->text.len == 0 && n->plain)) {
        fault(c, w, n, NULL, "a value is missing");
        return NULL;
    }
    if (n->text.len > f->max) {
        fault(c, w, n, NULL, "%zu bytes are too long, at most %llu",
              n->text.len, (unsigned long long)f->max);
        return NULL;
    }
    if (!gh_document_format_valid(f->format, n->text, why, sizeof(why))) {
        if (f->flags & GH_SECRET)
            fault(c, w, n, NULL, "%s", why);
        else
            fault(c, w, n, NULL, "\"%.100s\" is no %s: %s",
                  (const char *)n->text.data,
                  gh_document_format(f->format)->say, why);
        return NULL;
    }
    return text_json(c, n->text);
}

static json_t *
check_name(struct checking *c, const struct gh_node *n, const struct where *w)
{
    if (!gh_name_valid(n->text)) {
        fault(c, w, n,
              "1 to 63 of a-z 0-9 - _, beginning with a letter or digit",
              "\"%.70s\" is no name", (const char *)n->text.data);
        return NULL;
    }
    return text_json(c, n->text);
}

static json_t *
check_enum(struct checking *c, const struct gh_field *f,
           const struct gh_node *n, const struct where *w)
{
    char all[200] = "", hint[240];
    const char *near;
    size_t count = 0;

    for (; f->values[count] != NULL; count++) {
        size_t len = strlen(all);

        if (gh_slice_eq_str(n->text, f->values[count]))
            return text_json(c, n->text);
        snprintf(all + len, sizeof(all) - len, "%s%s", len > 0 ? ", " : "",
                 f->values[count]);
    }
    near = gh_fault_nearest(n->text, f->values, count);
    if (near != NULL)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    fault(c, w, n, near != NULL ? hint : NULL, "\"%.60s\" is not one of: %s",
          (const char *)n->text.data, all);
    return NULL;
}

static json_t *
check_bool(struct checking *c, const struct gh_node *n, const struct where *w)
{
    if (n->plain && gh_slice_eq_str(n->text, "true"))
        return json_true();
    if (n->plain && gh_slice_eq_str(n->text, "false"))
        return json_false();
    fault(c, w, n, "write true or false, without quotes",
          "\"%.40s\" is neither true nor false", (const char *)n->text.data);
    return NULL;
}

static json_t *
check_int(struct checking *c, const struct gh_field *f, const struct gh_node *n,
          const struct where *w)
{
    uint64_t v;

    if (!n->plain) {
        fault(c, w, n, "remove the quotes", "a number is wanted, not a text");
        return NULL;
    }
    if (gh_parse_u64(n->text, f->min, f->max, &v) != 0) {
        fault(c, w, n, NULL,
              "\"%.40s\" is not a whole number from %llu to %llu",
              (const char *)n->text.data, (unsigned long long)f->min,
              (unsigned long long)f->max);
        return NULL;
    }
    return json_integer((json_int_t)v);
}

static void
duration_text(uint64_t ms, char out[32])
{
    static const struct {
        uint64_t ms;
        const char *unit;
    } units[] = {{86400000, "d"}, {3600000, "h"}, {60000, "m"}, {1000, "s"}};

    for (size_t i = 0; i < 4; i++)
        if (ms > 0 && ms % units[i].ms == 0) {
            snprintf(out, 32, "%llu%s", (unsigned long long)(ms / units[i].ms),
                     units[i].unit);
            return;
        }
    snprintf(out, 32, ms == 0 ? "0s" : "%llums", (unsigned long long)ms);
}

static json_t *
check_duration(struct checking *c, const struct gh_field *f,
               const struct gh_node *n, const struct where *w)
{
    char text[32], low[32], high[32];
    uint64_t ms;

    if (gh_parse_duration(n->text, &ms) != 0) {
        fault(c, w, n, "a number and a unit: 250ms 30s 5m 12h 7d",
              "\"%.40s\" is no duration", (const char *)n->text.data);
        return NULL;
    }
    if (ms < f->min || ms > f->max) {
        duration_text(f->min, low);
        duration_text(f->max, high);
        fault(c, w, n, NULL, "%.40s is out of range: %s to %s",
              (const char *)n->text.data, low, high);
        return NULL;
    }
    duration_text(ms, text);
    return json_string(text);
}

static json_t *
check_list(struct checking *c, const struct gh_field *f,
           const struct gh_node *n, const struct where *w)
{
    json_t *list = json_array(), *v;
    struct where here = {w, NULL, 0};

    if (n->count < f->min)
        fault(c, w, n, NULL,
              f->min == 1 ? "the list is empty: leave it out"
                          : "the list is too short");
    if (n->count > f->max)
        fault(c, w, n, NULL, "%zu are too many, at most %llu", n->count,
              (unsigned long long)f->max);
    for (const struct gh_node *e = n->first; e != NULL; e = e->next) {
        v = check_value(c, f->of, e, &here);
        /* The place is kept: indexes are those of the text. */
        json_array_append_new(list, v != NULL ? v : json_null());
        here.index++;
    }
    return list;
}

static json_t *
check_map(struct checking *c, const struct gh_field *f, const struct gh_node *n,
          const struct where *w)
{
    json_t *map = json_object(), *v;
    char why[200];

    if (n->count < f->min)
        fault(c, w, n, NULL, "the map is empty: leave it out");
    if (n->count > f->max)
        fault(c, w, n, NULL, "%zu are too many, at most %llu", n->count,
              (unsigned long long)f->max);
    for (const struct gh_node *e = n->first; e != NULL; e = e->next) {
        struct where here = {w, (const char *)e->key.data, 0};

        if (e->key.len == 0 || e->key.len > 200 ||
            !gh_document_format_valid(GH_F_FREE, e->key, why, sizeof(why))) {
            fault(c, w, e, NULL,
                  "a key of 1 to 200 bytes without control "
                  "characters is wanted");
            continue;
        }
        v = check_value(c, f->of, e, &here);
        if (v != NULL)
            json_object_set_new(map, here.key, v);
    }
    return map;
}

static const char *
kind_text(enum gh_node_kind k)
{
    return k == GH_NODE_SCALAR ? "a single value"
           : k == GH_NODE_LIST ? "a list"
                               : "a map";
}

static json_t *
check_object(struct checking *c, const struct gh_field *f,
             const struct gh_node *n, const struct where *w)
{
    const struct gh_field *one;
    json_t *o, *v;

    if (n->kind == GH_NODE_MAP)
        return check_fields(c, f->of, n, w, f->name);
    if (n->kind != GH_NODE_SCALAR || f->shorthand == NULL ||
        (n->plain && n->text.len == 0)) {
        fault(c, w, n, NULL, "a map is wanted, not %s", kind_text(n->kind));
        return NULL;
    }
    one = gh_document_field(f->of, gh_slice_str(f->shorthand));
    v = check_value(c, one, n, w);
    if (v == NULL)
        return NULL;
    o = json_object();
    json_object_set_new(o, one->name, v);
    return o;
}

static json_t *
check_value(struct checking *c, const struct gh_field *f,
            const struct gh_node *n, const struct where *w)
{
    enum gh_node_kind want = f->type == GH_T_LIST  ? GH_NODE_LIST
                             : f->type == GH_T_MAP ? GH_NODE_MAP
                                                   : GH_NODE_SCALAR;

    if (f->type == GH_T_OBJECT)
        return check_object(c, f, n, w);
    if (f->type == GH_T_RAW) {
        json_t *raw = gh_node_json(n);

        if (raw == NULL)
            c->no_memory = true;
        return raw;
    }
    if (n->kind != want) {
        fault(c, w, n,
              want == GH_NODE_LIST ? "begin each element with \"- \"" : NULL,
              "%s is wanted, not %s", kind_text(want), kind_text(n->kind));
        return NULL;
    }
    switch (f->type) {
    case GH_T_TEXT:
        return check_text(c, f, n, w);
    case GH_T_NAME:
    case GH_T_REF:
        return check_name(c, n, w);
    case GH_T_ENUM:
        return check_enum(c, f, n, w);
    case GH_T_BOOL:
        return check_bool(c, n, w);
    case GH_T_INT:
        return check_int(c, f, n, w);
    case GH_T_DURATION:
        return check_duration(c, f, n, w);
    case GH_T_LIST:
        return check_list(c, f, n, w);
    case GH_T_MAP:
        return check_map(c, f, n, w);
    case GH_T_OBJECT:
    case GH_T_RAW:
        break;
    }
    return NULL;
}

/* Whether the value only says what its absence would say. */
static bool
is_standard(const struct gh_field *f, const json_t *v)
{
    char text[64];

    if ((f->type == GH_T_LIST && json_array_size(v) == 0) ||
        (f->type == GH_T_MAP && json_object_size(v) == 0))
        return true;
    if (f->standard == NULL)
        return false;
    if (json_is_string(v))
        return strcmp(json_string_value(v), f->standard) == 0;
    if (json_is_boolean(v))
        return strcmp(json_is_true(v) ? "true" : "false", f->standard) == 0;
    if (json_is_integer(v)) {
        snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
        return strcmp(text, f->standard) == 0;
    }
    if (json_is_array(v) && json_array_size(v) == 1 &&
        json_is_string(json_array_get(v, 0))) {
        const char *only = json_string_value(json_array_get(v, 0));
        size_t n = strlen(only);
        const char *s = f->standard + 1;

        if (*s == '"')
            s++;
        return strncmp(s, only, n) == 0 && (s[n] == ']' || s[n] == '"');
    }
    return false;
}

static void
unknown_field(struct checking *c, const struct gh_field *fields,
              const struct gh_node *n, const struct where *w, const char *what)
{
    const char *names[64] = {NULL}, *near;
    char hint[300] = "";
    size_t count = 0;
    struct gh_node at = *n;

    for (const struct gh_field *f = fields; f->name != NULL; f++)
        names[count++] = f->name;
    near = gh_fault_nearest(n->key, names, count);
    if (near != NULL)
        snprintf(hint, sizeof(hint), "did you mean \"%s\"?", near);
    else
        for (size_t i = 0; i < count; i++) {
            size_t len = strlen(hint);

            snprintf(hint + len, sizeof(hint) - len, "%s%s",
                     i == 0 ? "known here: " : ", ", names[i]);
        }
    at.line = n->key_line;
    at.column = n->key_column;
    fault(c, w, &at, hint, "unknown key \"%.64s\"%s%s",
          (const char *)n->key.data, what != NULL ? " in " : "",
          what != NULL ? what : "");
}

static json_t *
check_fields(struct checking *c, const struct gh_field *fields,
             const struct gh_node *n, const struct where *w, const char *what)
{
    json_t *o = json_object(), *v;

    for (const struct gh_node *e = n->first; e != NULL; e = e->next) {
        const struct gh_field *f = gh_document_field(fields, e->key);
        struct where here = {w, (const char *)e->key.data, 0};

        if (f == NULL) {
            unknown_field(c, fields, e, &here, what);
            continue;
        }
        v = check_value(c, f, e, &here);
        if (v == NULL || is_standard(f, v))
            json_decref(v);
        else
            json_object_set_new(o, f->name, v);
    }
    for (const struct gh_field *f = fields; f->name != NULL; f++)
        if ((f->flags & GH_REQUIRED) && gh_node_get(n, f->name) == NULL)
            fault(c, w, n, f->help, "\"%s\" is missing", f->name);
    return o;
}

json_t *
gh_document_check_item(enum gh_kind k, const struct gh_node *node,
                       const char *path, struct gh_faults *f)
{
    struct checking c = {f, path, false};
    json_t *item;

    if (node->kind != GH_NODE_MAP) {
        fault(&c, NULL, node, NULL, "a map is wanted, not %s",
              kind_text(node->kind));
        return json_object();
    }
    item =
        check_fields(&c, gh_schemas[k].fields, node, NULL, gh_schemas[k].name);
    if (c.no_memory) {
        json_decref(item);
        return NULL;
    }
    return item;
}

static void
check_version(const struct gh_node *root, struct gh_faults *f)
{
    const struct gh_node *v = gh_node_get(root, "gatehouse");

    if (v == NULL)
        gh_fault_add(f, root->line, root->column, "gatehouse",
                     "begin with \"gatehouse: 1\"",
                     "the document does not say its version");
    else if (v->kind != GH_NODE_SCALAR || !gh_slice_eq_str(v->text, "1"))
        gh_fault_add(f, v->line, v->column, "gatehouse", NULL,
                     "only version 1 is known");
}

static json_t *
check_kind(enum gh_kind k, const struct gh_node *list, struct gh_faults *f)
{
    json_t *items = json_array(), *item;
    char path[64];
    size_t i = 0;

    if (list->kind == GH_NODE_SCALAR && list->plain && list->text.len == 0)
        return items; /* "apps:" with nothing after it: none */
    if (list->kind != GH_NODE_LIST) {
        gh_fault_add(f, list->line, list->column, gh_schemas[k].plural,
                     "begin each with \"- name: ...\"",
                     "a list is wanted, not %s", kind_text(list->kind));
        return items;
    }
    for (const struct gh_node *n = list->first; n != NULL; n = n->next) {
        snprintf(path, sizeof(path), "%s[%zu]", gh_schemas[k].plural, i++);
        item = gh_document_check_item(k, n, path, f);
        if (item == NULL || json_array_append_new(items, item) != 0) {
            json_decref(items);
            return NULL;
        }
    }
    return items;
}

json_t *
gh_document_check(const struct gh_node *root, struct gh_faults *f)
{
    json_t *doc = json_object(), *items;
    const char *names[GH_KINDS + 1], *near;
    char hint[128];

    if (root->kind != GH_NODE_MAP) {
        gh_fault_add(f, root->line, root->column, "",
                     "begin with \"gatehouse: 1\"",
                     "a document is a map, not %s", kind_text(root->kind));
        return doc;
    }
    for (int k = 0; k < GH_KINDS; k++)
        names[k] = gh_schemas[k].plural;
    names[GH_KINDS] = "gatehouse";
    check_version(root, f);
    for (const struct gh_node *n = root->first; n != NULL; n = n->next) {
        int k = gh_kind_find(n->key);

        if (gh_slice_eq_str(n->key, "gatehouse"))
            continue;
        if (k < 0 || !gh_slice_eq_str(n->key, gh_schemas[k].plural)) {
            near = gh_fault_nearest(n->key, names, GH_KINDS + 1);
            snprintf(hint, sizeof(hint),
                     near != NULL ? "did you mean \"%s\"?"
                                  : "known here: gatehouse services idps apis "
                                    "plans accounts apps%s",
                     near != NULL ? near : "");
            gh_fault_add(f, n->key_line, n->key_column,
                         (const char *)n->key.data, hint,
                         "unknown key \"%.64s\"", (const char *)n->key.data);
            continue;
        }
        items = check_kind(k, n, f);
        if (items == NULL ||
            json_object_set_new(doc, gh_schemas[k].plural, items) != 0) {
            json_decref(doc);
            return NULL;
        }
    }
    return doc;
}
