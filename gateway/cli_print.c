/* SPDX-License-Identifier: Apache-2.0 */
/* JSON for programs; tables, trees and faults for people. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void
gh_cli_print_json(const json_t *v)
{
    if (v == NULL)
        return;
    json_dumpf(v, stdout, JSON_INDENT(2) | JSON_ENCODE_ANY);
    putchar('\n');
}

/* What comes from outside cannot move the cursor or colour the screen. */
static void
put_clean(FILE *f, const char *s, size_t n)
{
    for (size_t i = 0; i < n && s[i] != '\0'; i++)
        fputc((unsigned char)s[i] < 0x20 && s[i] != '\t' ? ' '
              : s[i] == 0x7f                             ? '?'
                                                         : s[i],
              f);
}

static size_t
width_of(const char *s)
{
    size_t n = 0;

    for (; *s != '\0'; s++)
        n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

static void
scalar_text(const json_t *v, char *out, size_t size)
{
    switch (v == NULL ? JSON_NULL : json_typeof(v)) {
    case JSON_STRING:
        snprintf(out, size, "%s", json_string_value(v));
        break;
    case JSON_INTEGER:
        snprintf(out, size, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_REAL:
        snprintf(out, size, "%g", json_real_value(v));
        break;
    case JSON_TRUE:
        snprintf(out, size, "yes");
        break;
    case JSON_FALSE:
        snprintf(out, size, "no");
        break;
    default:
        snprintf(out, size, "-");
    }
}

/* A list in one cell: names of objects, or the values, with commas. */
static void
list_text(const json_t *list, char *out, size_t size)
{
    char one[200];
    const json_t *e, *name;
    const char *key;
    size_t i, n = 0;

    *out = '\0';
    json_array_foreach(list, i, e)
    {
        name = json_object_get(e, "name");
        if (name == NULL)
            name = json_object_get(e, "api");
        if (name == NULL)
            name = json_object_get(e, "address");
        if (name == NULL && json_is_object(e))
            json_object_foreach((json_t *)e, key, name)
            {
                break;
            }
        scalar_text(name != NULL ? name : e, one, sizeof(one));
        n += (size_t)snprintf(out + n, size - n, "%s%s", i ? ", " : "", one);
        if (n >= size)
            return;
    }
    if (n == 0)
        snprintf(out, size, "-");
}

const char *
gh_cli_text(const json_t *v, const char *path, char *out, size_t size)
{
    char key[64];

    while (v != NULL && *path != '\0') {
        size_t n = strcspn(path, ".");

        snprintf(key, sizeof(key), "%.*s", (int)n, path);
        v = json_object_get(v, key);
        path += n + (path[n] == '.');
    }
    if (json_is_array(v))
        list_text(v, out, size);
    else if (json_is_object(v)) {
        const char *k;
        json_t *child;
        size_t n = 0;

        *out = '\0';
        json_object_foreach((json_t *)v, k, child)
        {
            if (n < size)
                n += (size_t)snprintf(out + n, size - n, "%s%s",
                                      n > 0 ? ", " : "", k);
        }
    } else
        scalar_text(v, out, size);
    return out;
}

static void
print_row(const char *const *cells, const size_t *widths, size_t n)
{
    for (size_t c = 0; c < n; c++) {
        put_clean(stdout, cells[c], strlen(cells[c]));
        if (c + 1 < n)
            for (size_t i = width_of(cells[c]); i < widths[c] + 2; i++)
                putchar(' ');
    }
    putchar('\n');
}

#define COLUMNS_MAX 12
#define CELL 300

void
gh_cli_print_table(const json_t *rows, const struct gh_cli_column *cols,
                   size_t n, const char *none)
{
    char cell[COLUMNS_MAX][CELL];
    const char *cells[COLUMNS_MAX];
    size_t widths[COLUMNS_MAX], i;
    const json_t *row;

    if (json_array_size(rows) == 0) {
        fprintf(stderr, "%s\n", none);
        return;
    }
    for (size_t c = 0; c < n; c++)
        widths[c] = strlen(cols[c].title);
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < n; c++) {
            size_t w = width_of(gh_cli_text(row, cols[c].path, cell[c], CELL));

            if (w > widths[c])
                widths[c] = w < 48 ? w : 48;
        }
    }
    for (size_t c = 0; c < n; c++)
        cells[c] = cols[c].title;
    print_row(cells, widths, n);
    json_array_foreach(rows, i, row)
    {
        for (size_t c = 0; c < n; c++)
            cells[c] = gh_cli_text(row, cols[c].path, cell[c], CELL);
        print_row(cells, widths, n);
    }
}

static bool
is_plain(const json_t *v)
{
    const json_t *e;
    size_t i;

    json_array_foreach(v, i, e)
    {
        if (json_is_object(e) || json_is_array(e))
            return false;
    }
    return !json_is_object(v) || json_object_size(v) == 0;
}

static void
print_list(const json_t *list, int indent)
{
    const json_t *e;
    size_t i;
    char text[CELL];

    json_array_foreach(list, i, e)
    {
        if (json_is_object(e)) {
            const char *key;
            json_t *v;
            bool flat = true;

            json_object_foreach((json_t *)e, key, v)
            {
                flat = flat && is_plain(v);
            }
            if (!flat) {
                printf("%*s-\n", indent, "");
                gh_cli_print_object(e, indent + 2);
                continue;
            }
            printf("%*s-", indent, "");
            json_object_foreach((json_t *)e, key, v)
            {
                printf(" %s: ", key);
                gh_cli_text(v, "", text, sizeof(text));
                put_clean(stdout, text, sizeof(text));
                putchar(' ');
            }
            putchar('\n');
        } else {
            printf("%*s- ", indent, "");
            gh_cli_text(e, "", text, sizeof(text));
            put_clean(stdout, text, sizeof(text));
            putchar('\n');
        }
    }
}

void
gh_cli_print_object(const json_t *v, int indent)
{
    const char *key;
    json_t *child;
    char text[2000];

    json_object_foreach((json_t *)v, key, child)
    {
        if (is_plain(child)) {
            printf("%*s%s: ", indent, "", key);
            gh_cli_text(child, "", text, sizeof(text));
            put_clean(stdout, text, sizeof(text));
            putchar('\n');
        } else if (json_is_array(child)) {
            printf("%*s%s:\n", indent, "", key);
            print_list(child, indent + 2);
        } else {
            printf("%*s%s:\n", indent, "", key);
            gh_cli_print_object(child, indent + 2);
        }
    }
}

/* ---- problems */

static struct gh_slice
line_of(struct gh_slice source, json_int_t line)
{
    const unsigned char *at = source.data, *end = at + source.len, *nl;

    while (line > 1 && at < end &&
           (nl = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        at = nl + 1;
        line--;
    }
    if (line > 1 || at == NULL || at >= end)
        return gh_slice(NULL, 0);
    nl = memchr(at, '\n', (size_t)(end - at));
    return gh_slice(at, (size_t)((nl != NULL ? nl : end) - at));
}

static void
print_caret(struct gh_slice source, json_int_t line, json_int_t column)
{
    struct gh_slice s = line_of(source, line);
    size_t skip = 0;

    if (s.len == 0 || column < 1)
        return;
    if (column > 60) /* long lines: what surrounds the fault */
        skip = (size_t)column - 40;
    if (skip > s.len)
        return;
    fprintf(stderr, "  %5lld | ", (long long)line);
    put_clean(stderr, (const char *)s.data + skip,
              s.len - skip < 100 ? s.len - skip : 100);
    fprintf(stderr, "\n        | %*s^\n", (int)((size_t)column - 1 - skip), "");
}

static void
print_fault(const json_t *fault, const char *file, struct gh_slice source)
{
    json_int_t line = json_integer_value(json_object_get(fault, "line"));
    json_int_t column = json_integer_value(json_object_get(fault, "column"));
    const char *path = json_string_value(json_object_get(fault, "path"));
    const char *message = json_string_value(json_object_get(fault, "message"));
    const char *hint = json_string_value(json_object_get(fault, "hint"));

    if (file != NULL && line > 0)
        fprintf(stderr, "%s:%lld:%lld: ", file, (long long)line,
                (long long)column);
    else if (file != NULL)
        fprintf(stderr, "%s: ", file);
    if (path != NULL && *path != '\0') {
        put_clean(stderr, path, 400);
        fputs(": ", stderr);
    }
    put_clean(stderr, message != NULL ? message : "?", 600);
    fputc('\n', stderr);
    if (file != NULL && line > 0)
        print_caret(source, line, column);
    if (hint != NULL) {
        fputs("  try: ", stderr);
        put_clean(stderr, hint, 600);
        fputc('\n', stderr);
    }
}

void
gh_cli_print_problem(const json_t *problem, long status, const char *file,
                     struct gh_slice source)
{
    const json_t *faults = json_object_get(problem, "faults"), *one;
    const char *detail = json_string_value(json_object_get(problem, "detail"));
    size_t i;

    json_array_foreach(faults, i, one)
    {
        print_fault(one, file, source);
    }
    fputs("gatehouse: ", stderr);
    if (detail != NULL)
        put_clean(stderr, detail, 1000);
    else
        fprintf(stderr, "gatehouse-control answered %ld", status);
    fputc('\n', stderr);
    if (status == 403)
        fputs("  try: as root (sudo)\n", stderr);
}
