/* SPDX-License-Identifier: Apache-2.0 */
#include "strict.h"

/* Depth and values are counted before parsing: the parser recurses to 2048, and
 * spends 2 ms on 64 kB of small members. */
static enum gh_strict
scan(struct gh_slice text, unsigned depth)
{
    unsigned now = 0, values = 0;
    bool string = false;
    size_t i;

    for (i = 0; i < text.len; i++) {
        unsigned char c = text.data[i];

        if (c == '\0')
            return GH_STRICT_BAD;
        if (string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                string = false;
        } else if (c == '"') {
            string = true;
        } else if (c == '{' || c == '[') {
            if (++now > depth)
                return GH_STRICT_TOO_BIG;
        } else if (c == ',') {
            if (++values >= GH_STRICT_VALUES)
                return GH_STRICT_TOO_BIG;
        } else if ((c == '}' || c == ']') && now > 0) {
            now--;
        }
    }
    return GH_STRICT_OK;
}

enum gh_strict
gh_strict_json(struct gh_slice text, unsigned depth, json_t **out)
{
    enum gh_strict fault = scan(text, depth);
    json_t *json;

    if (fault != GH_STRICT_OK)
        return fault;
    if (text.len == 0)
        return GH_STRICT_BAD;
    json = json_loadb((const char *)text.data, text.len, JSON_REJECT_DUPLICATES,
                      NULL);
    if (!json_is_object(json)) {
        json_decref(json);
        return GH_STRICT_BAD;
    }
    *out = json;
    return GH_STRICT_OK;
}

int
gh_strict_string(const json_t *object, const char *member, struct gh_slice *out)
{
    const json_t *v = json_object_get(object, member);

    if (v != NULL && !json_is_string(v))
        return -1;
    *out = v == NULL ? gh_slice(NULL, 0)
                     : gh_slice(json_string_value(v), json_string_length(v));
    return 0;
}
