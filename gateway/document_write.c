/* SPDX-License-Identifier: Apache-2.0 */
/* JSON as YAML for people: block style, quotes only where needed. */
#include "document_schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <yaml.h>

struct writing {
    yaml_emitter_t emitter;
    struct gh_buffer *out;
    bool failed;
};

static int
to_buffer(void *ctx, unsigned char *data, size_t n)
{
    struct gh_buffer *out = ctx;

    gh_buffer_append(out, gh_slice(data, n));
    return !out->failed;
}

static void
emit(struct writing *w, yaml_event_t *ev, int made)
{
    if (!made || w->failed || !yaml_emitter_emit(&w->emitter, ev))
        w->failed = true;
}

/* Would a reader take the bare text for something else than a text? */
static bool
needs_quotes(const char *s)
{
    static const char *const words[] = {"true", "false", "null", "yes", "no",
                                        "on",   "off",   "~",    "y",   "n"};

    if (*s == '\0' || (*s >= '0' && *s <= '9') || strchr("+-.", *s) != NULL)
        return s[strspn(s, "+-.0123456789eExXabcdefABCDEF_:")] == '\0';
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
        if (gh_slice_eq_nocase(gh_slice_str(s), gh_slice_str(words[i])))
            return true;
    return false;
}

static void
scalar(struct writing *w, const char *s, bool is_text)
{
    yaml_scalar_style_t style = YAML_ANY_SCALAR_STYLE;
    yaml_event_t ev;

    if (is_text && strchr(s, '\n') != NULL)
        style = YAML_LITERAL_SCALAR_STYLE;
    else if (is_text && needs_quotes(s))
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    emit(w, &ev,
         yaml_scalar_event_initialize(&ev, NULL, NULL, (const yaml_char_t *)s,
                                      (int)strlen(s), 1, 1, style));
}

static bool
is_flat(const json_t *v)
{
    const json_t *e;
    size_t i, width = 0;

    json_array_foreach(v, i, e)
    {
        if (json_is_object(e) || json_is_array(e))
            return false;
        width += json_is_string(e) ? json_string_length(e) + 2 : 8;
    }
    return width < 60;
}

static void value(struct writing *w, const json_t *v);

static void
list(struct writing *w, const json_t *v)
{
    yaml_sequence_style_t style =
        is_flat(v) ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE;
    yaml_event_t ev;
    json_t *e;
    size_t i;

    emit(w, &ev,
         yaml_sequence_start_event_initialize(&ev, NULL, NULL, 1, style));
    json_array_foreach(v, i, e)
    {
        value(w, e);
    }
    emit(w, &ev, yaml_sequence_end_event_initialize(&ev));
}

static void
open_map(struct writing *w)
{
    yaml_event_t ev;

    emit(w, &ev,
         yaml_mapping_start_event_initialize(&ev, NULL, NULL, 1,
                                             YAML_ANY_MAPPING_STYLE));
}

static void
close_map(struct writing *w)
{
    yaml_event_t ev;

    emit(w, &ev, yaml_mapping_end_event_initialize(&ev));
}

static void
map(struct writing *w, const json_t *v)
{
    const char *key;
    json_t *child;

    open_map(w);
    json_object_foreach((json_t *)v, key, child)
    {
        scalar(w, key, true);
        value(w, child);
    }
    close_map(w);
}

static void
value(struct writing *w, const json_t *v)
{
    char number[64];

    switch (json_typeof(v)) {
    case JSON_OBJECT:
        map(w, v);
        break;
    case JSON_ARRAY:
        list(w, v);
        break;
    case JSON_STRING:
        scalar(w, json_string_value(v), true);
        break;
    case JSON_INTEGER:
        snprintf(number, sizeof(number), "%lld",
                 (long long)json_integer_value(v));
        scalar(w, number, false);
        break;
    case JSON_REAL:
        snprintf(number, sizeof(number), "%.17g", json_real_value(v));
        scalar(w, number, false);
        break;
    case JSON_TRUE:
        scalar(w, "true", false);
        break;
    case JSON_FALSE:
        scalar(w, "false", false);
        break;
    case JSON_NULL:
        scalar(w, "null", false);
        break;
    }
}

static void
begin(struct writing *w, struct gh_buffer *out)
{
    yaml_event_t ev;

    w->out = out;
    w->failed = !yaml_emitter_initialize(&w->emitter);
    if (w->failed)
        return;
    yaml_emitter_set_output(&w->emitter, to_buffer, out);
    yaml_emitter_set_unicode(&w->emitter, 1);
    yaml_emitter_set_width(&w->emitter, 100);
    emit(w, &ev, yaml_stream_start_event_initialize(&ev, YAML_UTF8_ENCODING));
    emit(w, &ev,
         yaml_document_start_event_initialize(&ev, NULL, NULL, NULL, 1));
}

static int
finish(struct writing *w)
{
    yaml_event_t ev;

    emit(w, &ev, yaml_document_end_event_initialize(&ev, 1));
    emit(w, &ev, yaml_stream_end_event_initialize(&ev));
    yaml_emitter_delete(&w->emitter);
    return w->failed || w->out->failed ? -1 : 0;
}

int
gh_document_write_json(const json_t *v, struct gh_buffer *out)
{
    struct writing w;

    begin(&w, out);
    value(&w, v);
    return finish(&w);
}

/* Fields in the order of the schema, whatever order they came in; secrets
 * stay out. New reference. */
static json_t *
ordered(const struct gh_field *f, json_t *v)
{
    json_t *o, *e;
    size_t i;

    if (f->type == GH_T_LIST && f->of->type == GH_T_OBJECT) {
        o = json_array();
        json_array_foreach(v, i, e)
        {
            json_array_append_new(o, ordered(f->of, e));
        }
        return o;
    }
    if (f->type != GH_T_OBJECT)
        return json_incref(v);
    o = json_object();
    for (const struct gh_field *in = f->of; in->name != NULL; in++) {
        e = json_object_get(v, in->name);
        if (e != NULL && !(in->flags & GH_SECRET))
            json_object_set_new(o, in->name, ordered(in, e));
    }
    return o;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* By name: so that an export says the same before and after a restart. */
static void
kind_items(struct writing *w, const struct gh_schema *s, json_t *items)
{
    const struct gh_field whole = {.type = GH_T_OBJECT, .of = s->fields};
    const char **names = calloc(json_object_size(items) + 1, sizeof(*names));
    yaml_event_t ev;
    const char *name;
    json_t *item, *o;
    size_t n = 0;

    if (names == NULL) {
        w->failed = true;
        return;
    }
    json_object_foreach(items, name, item)
    {
        names[n++] = name;
    }
    qsort(names, n, sizeof(*names), by_name);
    scalar(w, s->plural, true);
    emit(w, &ev,
         yaml_sequence_start_event_initialize(
             &ev, NULL, NULL, 1,
             n == 0 ? YAML_FLOW_SEQUENCE_STYLE : YAML_BLOCK_SEQUENCE_STYLE));
    for (size_t i = 0; i < n; i++) {
        o = ordered(&whole, json_object_get(items, names[i]));
        map(w, o);
        json_decref(o);
    }
    emit(w, &ev, yaml_sequence_end_event_initialize(&ev));
    free(names);
}

int
gh_document_write(const struct gh_items *s, struct gh_buffer *out)
{
    struct writing w;

    begin(&w, out);
    open_map(&w);
    scalar(&w, "gatehouse", true);
    scalar(&w, "1", false);
    for (int k = 0; k < GH_KINDS; k++)
        kind_items(&w, &gh_schemas[k], s->of[k]);
    close_map(&w);
    return finish(&w);
}
