/* SPDX-License-Identifier: Apache-2.0 */
/* Faults, and looking around in a tree. */
#include "document.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
gh_faults_init(struct gh_faults *f)
{
    gh_arena_init(&f->arena);
    f->n = 0;
    f->more = 0;
}

void
gh_faults_finish(struct gh_faults *f)
{
    gh_arena_finish(&f->arena);
    f->n = 0;
    f->more = 0;
}

static const char *
keep(struct gh_faults *f, const char *s)
{
    struct gh_alloc a = gh_arena_alloc(&f->arena);
    const char *copy = (const char *)gh_get_copy(&a, gh_slice_str(s)).data;

    return copy != NULL ? copy : "";
}

/* Messages quote strangers' texts: no control character gets through. */
static void
make_printable(char *s)
{
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            *s = '?';
}

int
gh_fault_add(struct gh_faults *f, unsigned line, unsigned column,
             const char *path, const char *hint, const char *fmt, ...)
{
    char text[400];
    va_list ap;
    struct gh_fault *at;

    if (f->n == GH_FAULTS_MAX) {
        f->more++;
        return -1;
    }
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    make_printable(text);

    at = &f->at[f->n++];
    at->line = line;
    at->column = column;
    at->path = keep(f, path);
    at->message = keep(f, text);
    at->hint = hint == NULL ? NULL : keep(f, hint);
    return -1;
}

json_t *
gh_faults_json(const struct gh_faults *f)
{
    json_t *list = json_array(), *one;

    for (size_t i = 0; list != NULL && i < f->n; i++) {
        const struct gh_fault *at = &f->at[i];

        one = json_pack("{s:s, s:s}", "path", at->path, "message", at->message);
        if (one == NULL) /* cut in the middle of a character */
            one = json_pack("{s:s, s:s}", "path", "", "message",
                            "a fault whose text is not UTF-8");
        if (at->line > 0) {
            json_object_set_new(one, "line", json_integer(at->line));
            json_object_set_new(one, "column", json_integer(at->column));
        }
        if (at->hint != NULL)
            json_object_set_new(one, "hint", json_string(at->hint));
        json_array_append_new(list, one);
    }
    return list;
}

static size_t
distance(struct gh_slice a, const char *b)
{
    size_t n = strlen(b), row[64], diagonal, up;

    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 1; i <= a.len; i++) {
        diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t best = diagonal + (a.data[i - 1] != (unsigned char)b[j - 1]);

            up = row[j];
            if (up + 1 < best)
                best = up + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = up;
            row[j] = best;
        }
    }
    return row[n];
}

const char *
gh_fault_nearest(struct gh_slice word, const char *const *words, size_t n)
{
    const char *nearest = NULL;
    size_t best = 3, d;

    if (word.len == 0 || word.len > 63)
        return NULL;
    if (word.len / 2 + 1 < best)
        best = word.len / 2 + 1;
    for (size_t i = 0; i < n; i++) {
        if (strlen(words[i]) > 63)
            continue;
        d = distance(word, words[i]);
        if (d < best) {
            best = d;
            nearest = words[i];
        }
    }
    return nearest;
}

const struct gh_node *
gh_node_get(const struct gh_node *map, const char *key)
{
    if (map == NULL || map->kind != GH_NODE_MAP)
        return NULL;
    for (const struct gh_node *n = map->first; n != NULL; n = n->next)
        if (gh_slice_eq_str(n->key, key))
            return n;
    return NULL;
}

static const struct gh_node *
nth(const struct gh_node *list, size_t i)
{
    const struct gh_node *n = list->kind == GH_NODE_LIST ? list->first : NULL;

    while (n != NULL && i-- > 0)
        n = n->next;
    return n;
}

const struct gh_node *
gh_node_at(const struct gh_node *root, const char *path)
{
    const struct gh_node *at = root, *next;
    char key[128];
    size_t n;

    while (at != NULL && *path != '\0') {
        if (*path == '[') {
            char *end;

            next = nth(at, strtoul(path + 1, &end, 10));
            path = *end == ']' ? end + 1 : end;
        } else {
            if (*path == '.')
                path++;
            n = strcspn(path, ".[");
            if (n == 0 || n >= sizeof(key))
                break;
            memcpy(key, path, n);
            key[n] = '\0';
            path += n;
            next = gh_node_get(at, key);
        }
        if (next == NULL)
            break;
        at = next;
    }
    return at;
}

/* YAML 1.2's core schema, for what is not ours to type. */
static json_t *
plain_json(struct gh_slice text)
{
    const char *s = (const char *)text.data;
    char *end;
    long long i;
    double d;

    if (text.len == 0 || !strcmp(s, "~") || !strcmp(s, "null"))
        return json_null();
    if (!strcmp(s, "true") || !strcmp(s, "false"))
        return json_boolean(*s == 't');
    if (strspn(s, "+-.0123456789eE") == text.len &&
        strpbrk(s, "0123456789") != NULL && text.len < 64) {
        i = strtoll(s, &end, 10);
        if (*end == '\0' && text.len < 19)
            return json_integer(i);
        d = strtod(s, &end);
        if (*end == '\0' && d - d == 0)
            return json_real(d);
    }
    return json_stringn(s, text.len);
}

json_t *
gh_node_json(const struct gh_node *n)
{
    json_t *v;

    if (n->kind == GH_NODE_SCALAR)
        return n->plain ? plain_json(n->text)
                        : json_stringn((const char *)n->text.data, n->text.len);
    v = n->kind == GH_NODE_LIST ? json_array() : json_object();
    for (const struct gh_node *c = n->first; v != NULL && c != NULL;
         c = c->next) {
        json_t *child = gh_node_json(c);
        int rc = n->kind == GH_NODE_LIST
                     ? json_array_append_new(v, child)
                     : json_object_set_new(v, (const char *)c->key.data, child);

        if (rc != 0) {
            json_decref(v);
            return NULL;
        }
    }
    return v;
}

static struct gh_node *
json_scalar(const struct gh_alloc *a, struct gh_node *n, const char *text,
            size_t len, bool plain)
{
    n->plain = plain;
    n->text = gh_get_copy(a, gh_slice(text, len));
    return n->text.data == NULL ? NULL : n;
}

static int
adopt(struct gh_node *parent, struct gh_node *child, const char *key,
      const struct gh_alloc *a)
{
    if (child == NULL)
        return -1;
    if (key != NULL) {
        child->key = gh_get_copy(a, gh_slice_str(key));
        if (child->key.data == NULL)
            return -1;
    }
    if (parent->last == NULL)
        parent->first = child;
    else
        parent->last->next = child;
    parent->last = child;
    parent->count++;
    return 0;
}

static struct gh_node *
from_json(const json_t *v, const struct gh_alloc *a, unsigned depth)
{
    struct gh_node *n =
        depth > GH_DOCUMENT_DEPTH ? NULL : gh_get(a, sizeof(*n));
    char number[64];
    const char *key;
    json_t *child;
    size_t i;

    if (n == NULL)
        return NULL;
    switch (json_typeof(v)) {
    case JSON_STRING:
        return json_scalar(a, n, json_string_value(v), json_string_length(v),
                           false);
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%lld",
                 (long long)json_integer_value(v));
        return json_scalar(a, n, number, strlen(number), true);
    case JSON_REAL:
        snprintf(number, sizeof(number), "%.17g", json_real_value(v));
        return json_scalar(a, n, number, strlen(number), true);
    case JSON_TRUE:
        return json_scalar(a, n, "true", 4, true);
    case JSON_FALSE:
        return json_scalar(a, n, "false", 5, true);
    case JSON_NULL:
        return json_scalar(a, n, "null", 4, true);
    case JSON_ARRAY:
        n->kind = GH_NODE_LIST;
        json_array_foreach(v, i, child)
        {
            if (adopt(n, from_json(child, a, depth + 1), NULL, a) != 0)
                return NULL;
        }
        return n;
    case JSON_OBJECT:
        n->kind = GH_NODE_MAP;
        json_object_foreach((json_t *)v, key, child)
        {
            if (adopt(n, from_json(child, a, depth + 1), key, a) != 0)
                return NULL;
        }
        return n;
    }
    return NULL;
}

struct gh_node *
gh_document_from_json(const json_t *v, const struct gh_alloc *a)
{
    return from_json(v, a, 0);
}
