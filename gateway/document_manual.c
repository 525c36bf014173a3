/* SPDX-License-Identifier: Apache-2.0 */
/* The schema told: as JSON Schema, and as a page for people. */
#include "document_schema.h"

#include <stdio.h>
#include <stdlib.h>

const char *
gh_document_type_text(const struct gh_field *f, char *out, size_t size)
{
    char inner[200];
    size_t n = 0;

    switch (f->type) {
    case GH_T_TEXT:
        snprintf(out, size, "%s", gh_document_format(f->format)->say);
        break;
    case GH_T_NAME:
        snprintf(out, size, "name");
        break;
    case GH_T_REF:
        snprintf(out, size, "name of a %s", gh_kind_name(f->ref));
        break;
    case GH_T_ENUM:
        for (size_t i = 0; f->values[i] != NULL && n < size; i++)
            n += (size_t)snprintf(out + n, size - n, "%s%s", i ? ", " : "",
                                  f->values[i]);
        break;
    case GH_T_BOOL:
        snprintf(out, size, "true, false");
        break;
    case GH_T_INT:
        snprintf(out, size, "%llu to %llu", (unsigned long long)f->min,
                 (unsigned long long)f->max);
        break;
    case GH_T_DURATION:
        snprintf(out, size, "duration");
        break;
    case GH_T_LIST:
        snprintf(out, size, "list: %s",
                 gh_document_type_text(f->of, inner, sizeof(inner)));
        break;
    case GH_T_MAP:
        snprintf(out, size, "map to %s",
                 gh_document_type_text(f->of, inner, sizeof(inner)));
        break;
    case GH_T_OBJECT:
        if (f->shorthand != NULL)
            snprintf(out, size, "map, or its %s alone", f->shorthand);
        else
            snprintf(out, size, "map");
        break;
    case GH_T_RAW:
        snprintf(out, size, "map");
        break;
    }
    return out;
}

/* ---- JSON Schema */

static json_t *schema_of(const struct gh_field *f);

static json_t *
object_schema(const struct gh_field *fields)
{
    json_t *properties = json_object(), *required = json_array(), *o;

    for (const struct gh_field *f = fields; f->name != NULL; f++) {
        json_object_set_new(properties, f->name, schema_of(f));
        if (f->flags & GH_REQUIRED)
            json_array_append_new(required, json_string(f->name));
    }
    o = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", properties,
                  "additionalProperties", 0);
    if (json_array_size(required) > 0)
        json_object_set(o, "required", required);
    json_decref(required);
    return o;
}

static json_t *
text_schema(const struct gh_field *f)
{
    const char *pattern = gh_document_format(f->format)->pattern;
    json_t *o = json_pack("{s:s, s:I, s:I}", "type", "string", "minLength",
                          (json_int_t)f->min, "maxLength", (json_int_t)f->max);

    if (pattern != NULL)
        json_object_set_new(o, "pattern", json_string(pattern));
    if (f->flags & GH_SECRET)
        json_object_set_new(o, "writeOnly", json_true());
    return o;
}

static json_t *
enum_schema(const struct gh_field *f)
{
    json_t *values = json_array();

    for (size_t i = 0; f->values[i] != NULL; i++)
        json_array_append_new(values, json_string(f->values[i]));
    return json_pack("{s:s, s:o}", "type", "string", "enum", values);
}

static json_t *
bare_schema(const struct gh_field *f)
{
    json_t *o;

    switch (f->type) {
    case GH_T_TEXT:
        return text_schema(f);
    case GH_T_NAME:
    case GH_T_REF:
        return json_pack("{s:s, s:s}", "type", "string", "pattern",
                         "^[a-z0-9][a-z0-9_-]{0,62}$");
    case GH_T_ENUM:
        return enum_schema(f);
    case GH_T_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case GH_T_INT:
        return json_pack("{s:s, s:I, s:I}", "type", "integer", "minimum",
                         (json_int_t)f->min, "maximum", (json_int_t)f->max);
    case GH_T_DURATION:
        return json_pack("{s:s, s:s}", "type", "string", "pattern",
                         "^[0-9]+(ms|s|m|h|d)$");
    case GH_T_LIST:
        return json_pack("{s:s, s:o, s:I, s:I}", "type", "array", "items",
                         schema_of(f->of), "minItems", (json_int_t)f->min,
                         "maxItems", (json_int_t)f->max);
    case GH_T_MAP:
        return json_pack("{s:s, s:o}", "type", "object", "additionalProperties",
                         schema_of(f->of));
    case GH_T_OBJECT:
        o = object_schema(f->of);
        return f->shorthand == NULL
                   ? o
                   : json_pack("{s:[o, {s:s}]}", "anyOf", o, "type", "string");
    case GH_T_RAW:
        return json_pack("{s:s}", "type", "object");
    }
    return json_object();
}

static json_t *
schema_of(const struct gh_field *f)
{
    json_t *o = bare_schema(f);

    if (f->help != NULL)
        json_object_set_new(o, "description", json_string(f->help));
    if (f->standard != NULL)
        json_object_set_new(
            o, "default",
            f->type == GH_T_BOOL  ? json_false()
            : f->type == GH_T_INT ? json_integer(atoll(f->standard))
            : f->type == GH_T_LIST
                ? json_loads(f->standard[1] == '"' ? f->standard
                                                   : "[\"RS256\"]",
                             0, NULL)
                : json_string(f->standard));
    return o;
}

json_t *
gh_document_json_schema(enum gh_kind k)
{
    json_t *o = object_schema(gh_schemas[k].fields);

    json_object_set_new(o, "description", json_string(gh_schemas[k].help));
    return o;
}

/* ---- the reference page */

static void
rows(struct gh_buffer *out, const struct gh_field *fields, const char *prefix)
{
    char path[200], type[300];

    for (const struct gh_field *f = fields; f->name != NULL; f++) {
        const struct gh_field *inner =
            f->type == GH_T_LIST && f->of->type == GH_T_OBJECT ? f->of : f;

        snprintf(path, sizeof(path), "%s%s%s", prefix, f->name,
                 inner != f ? "[]" : "");
        gh_buffer_printf(out, "| `%s` | %s | %s | %s |\n", path,
                         gh_document_type_text(f, type, sizeof(type)),
                         f->flags & GH_REQUIRED ? "required"
                         : f->standard != NULL  ? f->standard
                                                : "",
                         f->help != NULL ? f->help : "");
        if (inner->type == GH_T_OBJECT) {
            snprintf(path, sizeof(path), "%s%s%s.", prefix, f->name,
                     inner != f ? "[]" : "");
            rows(out, inner->of, path);
        }
    }
}

void
gh_document_reference(struct gh_buffer *out)
{
    gh_buffer_text(out,
                   "# The document\n\n"
                   "`gatehouse apply` takes one YAML document: `gatehouse: 1` "
                   "and lists of the kinds\nbelow. A kind that the document "
                   "names becomes what it says, items that it leaves\nout are "
                   "removed; a kind that it does not name stays as it is. "
                   "Names are 1 to 63 of\n`a-z 0-9 - _`. Durations are "
                   "`250ms 30s 5m 12h 7d`. Aliases, anchors and tags are "
                   "refused.\n");
    for (int k = 0; k < GH_KINDS; k++) {
        gh_buffer_printf(out,
                         "\n## %s\n\n%s\n\n| field | value | default | meaning "
                         "|\n|---|---|---|---|\n",
                         gh_schemas[k].plural, gh_schemas[k].help);
        rows(out, gh_schemas[k].fields, "");
    }
}
