/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one table of what an admin can write. Checking, OpenAPI, the reference
 * page, export and diff all read it; a new field is one row here and its use in
 * document_compile.c.
 */
#ifndef GH_DOCUMENT_SCHEMA_H
#define GH_DOCUMENT_SCHEMA_H

#include "document.h"

enum gh_type {
    GH_T_TEXT, /* by its format */
    GH_T_NAME, /* of ours */
    GH_T_REF,  /* name of an item of `ref` */
    GH_T_ENUM, /* one of `values` */
    GH_T_BOOL,
    GH_T_INT,      /* min to max */
    GH_T_DURATION, /* "30s" "5m" "12h" "7d"; min to max in ms */
    GH_T_LIST,     /* of `of`, min to max elements */
    GH_T_MAP,      /* text -> `of` */
    GH_T_OBJECT,   /* of the fields `of` */
    GH_T_RAW       /* anything: somebody else checks it */
};

/* Formats of GH_T_TEXT: a name, an ECMA 262 pattern or NULL, how to say it. */
enum gh_format {
    GH_F_FREE,  /* one line of anything */
    GH_F_PROSE, /* lines of it */
    GH_F_HOST,
    GH_F_PREFIX,
    GH_F_TEMPLATE,
    GH_F_HEADER,
    GH_F_TOKEN,
    GH_F_URL,
    GH_F_ORIGIN,
    GH_F_UPSTREAM,
    GH_F_CLAIM,
    GH_F_FILE,
    GH_FORMATS
};

struct gh_format_text {
    const char *name, *pattern, *say;
};

#define GH_REQUIRED (1u << 0)
#define GH_SECRET (1u << 1) /* never stored in an item, never exported */

struct gh_field {
    const char *name; /* NULL ends a table */
    enum gh_type type;
    enum gh_format format;
    unsigned flags;
    uint64_t min, max;    /* see the type; text: bytes */
    const char *standard; /* the default as it would be written, or NULL */
    const char *const *values;
    enum gh_kind ref;
    const struct gh_field *of;
    const char *shorthand; /* object: a lone text stands for this field */
    const char *help;
};

struct gh_schema {
    enum gh_kind kind;
    const char *name, *plural;
    const char *help;
    const struct gh_field *fields;
};

extern const struct gh_schema gh_schemas[GH_KINDS];

const struct gh_format_text *gh_document_format(enum gh_format f);
/* Whether the text has the format; `why` gets the reason when not. */
bool gh_document_format_valid(enum gh_format f, struct gh_slice text, char *why,
                              size_t size);
const struct gh_field *gh_document_field(const struct gh_field *fields,
                                         struct gh_slice name);
/* "list of objects", "text", "one of a, b"...; returns out. */
const char *gh_document_type_text(const struct gh_field *f, char *out,
                                  size_t size);
/* JSON Schema (OpenAPI 3.1) of a kind's item; new reference. */
json_t *gh_document_json_schema(enum gh_kind k);
/* The reference page of all kinds, as markdown. */
void gh_document_reference(struct gh_buffer *out);

#endif
