/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON from strangers: one object (RFC 8259), no member twice, no NUL in it
 * raw or escaped, UTF-8, nested at most `depth` deep, at most GH_STRICT_VALUES
 * members and elements, nothing after it.
 */
#ifndef GH_STRICT_H
#define GH_STRICT_H

#include "slice.h"

#include <jansson.h>

#define GH_STRICT_VALUES 1024

enum gh_strict { GH_STRICT_OK, GH_STRICT_TOO_BIG, GH_STRICT_BAD };

/* json_decref() what it gives. The caller caps the length. */
enum gh_strict gh_strict_json(struct gh_slice text, unsigned depth,
                              json_t **out);

/* A member that is a string: its bytes (the object's), empty when absent. -1
 * when it is something else. */
int gh_strict_string(const json_t *object, const char *member,
                     struct gh_slice *out);

#endif
