/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of applications. The text is "gh_", 32 random bytes as base64url, and
 * six hex digits over both that catch typing errors and let scanners of
 * leaked secrets tell it from noise. It is shown once; what stays is a keyed
 * hash (catalog.h) and a record for people: id, label, first letters, times.
 */
#include "control.h"

#include "encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KEY_SIZE 64
#define KEYS_MAX 256 /* per application, revoked ones included */
#define TEN_YEARS_MS (UINT64_C(3650) * 86400000)

static void
make_key(char out[KEY_SIZE])
{
    unsigned char raw[32], digest[GH_DIGEST_SIZE];
    struct gh_slice s;
    size_t n;

    gh_random(raw, sizeof(raw));
    memcpy(out, "gh_", 3);
    n = 3 + gh_base64url_encode(gh_slice(raw, sizeof(raw)), out + 3);
    s = gh_slice(out, n);
    gh_sha256(&s, 1, digest);
    gh_hex_encode(gh_slice(digest, 3), out + n);
    explicit_bzero(raw, sizeof(raw));
}

static json_t *
text_time(uint64_t ms)
{
    char text[32];

    return ms == 0 ? json_null() : json_string(gh_control_time_text(ms, text));
}

static uint64_t
number(const json_t *record, const char *key)
{
    return (uint64_t)json_integer_value(json_object_get(record, key));
}

/* A record as people see it: without the digest. */
static json_t *
shown(const json_t *record)
{
    uint64_t now = gh_control_now_ms(), expires = number(record, "expires_ms"),
             begins = number(record, "not_before_ms");
    const char *state = "live";

    if (json_is_true(json_object_get(record, "revoked")))
        state = "revoked";
    else if (expires != 0 && expires <= now)
        state = "expired";
    else if (begins > now)
        state = "not-yet";
    return json_pack("{s:O, s:O, s:O, s:O, s:s, s:o, s:o, s:o}", "id",
                     json_object_get(record, "id"), "label",
                     json_object_get(record, "label"), "kind",
                     json_object_get(record, "kind"), "prefix",
                     json_object_get(record, "prefix"), "state", state,
                     "created", text_time(number(record, "created_ms")),
                     "not_before", text_time(begins), "expires",
                     text_time(expires));
}

json_t *
gh_control_show_key(struct gh_control *c, const char *app, const char *id)
{
    const json_t *record = json_object_get(json_object_get(c->keys, app), id);

    return record != NULL ? shown(record) : NULL;
}

static bool
app_known(struct gh_request *r)
{
    if (gh_items_get(&r->c->items, GH_KIND_APP, r->param[0]) != NULL)
        return true;
    gh_request_not_found(r, "app", r->param[0]);
    return false;
}

int
gh_control_list_keys(struct gh_request *r)
{
    json_t *list, *record;
    const char *id;

    if (!app_known(r))
        return 0;
    list = json_array();
    json_object_foreach(json_object_get(r->c->keys, r->param[0]), id, record)
    {
        json_array_append_new(list, shown(record));
    }
    return gh_request_answer(r, 200, json_pack("{s:o}", "items", list));
}

/* ---- writing */

static enum gh_credential_kind
kind_of(const json_t *record)
{
    const char *kind = json_string_value(json_object_get(record, "kind"));

    return kind != NULL && strcmp(kind, "id_key") == 0 ? GH_CRED_ID_KEY
                                                       : GH_CRED_KEY;
}

static int
digest_of(const json_t *record, unsigned char out[GH_DIGEST_SIZE])
{
    const char *hex = json_string_value(json_object_get(record, "digest"));

    return gh_hex_decode(gh_slice_str(hex), out, GH_DIGEST_SIZE) ==
                   GH_DIGEST_SIZE
               ? 0
               : -1;
}

static int
put_record(struct gh_catalog_write *w, const char *app, const json_t *record,
           struct gh_error *e)
{
    const char *id = json_string_value(json_object_get(record, "id"));
    struct gh_credential v = {
        .kind = kind_of(record),
        .id = gh_slice_str(id),
        .app = gh_slice_str(app),
        .not_before_ms = number(record, "not_before_ms"),
        .expires_ms = number(record, "expires_ms"),
        .revoked = json_is_true(json_object_get(record, "revoked")),
    };
    unsigned char digest[GH_DIGEST_SIZE];
    char name[GH_NAME_SIZE * 2];

    if (digest_of(record, digest) != 0)
        return gh_error_set(e, GH_ECORRUPT, "key %s has no digest", id);
    snprintf(name, sizeof(name), "%s.%s", app, id);
    if (gh_catalog_put_credential(w, digest, &v, e) != 0)
        return -1;
    return gh_control_put_doc(w, "key", name, record, e);
}

/* Up to two records (a rotation's) in one write, then in memory. */
static int
store_records(struct gh_control *c, const char *app, json_t *a, json_t *b,
              struct gh_error *e)
{
    struct gh_catalog_write *w;
    json_t *of;

    if (gh_catalog_write_begin(c->catalog, &w, e) != 0)
        return -1;
    if (put_record(w, app, a, e) != 0 ||
        (b != NULL && put_record(w, app, b, e) != 0)) {
        gh_catalog_abort(w);
        return -1;
    }
    if (gh_control_commit(c, w, e) != 0)
        return -1;
    of = json_object_get(c->keys, app);
    if (of == NULL) {
        of = json_object();
        json_object_set_new(c->keys, app, of);
    }
    json_object_set(of, json_string_value(json_object_get(a, "id")), a);
    if (b != NULL)
        json_object_set(of, json_string_value(json_object_get(b, "id")), b);
    return 0;
}

int
gh_control_remove_keys(struct gh_control *c, struct gh_catalog_write *w,
                       const char *app, struct gh_error *e)
{
    unsigned char digest[GH_DIGEST_SIZE];
    char name[GH_NAME_SIZE * 2];
    const char *id;
    json_t *record;

    json_object_foreach(json_object_get(c->keys, app), id, record)
    {
        snprintf(name, sizeof(name), "%s.%s", app, id);
        if (digest_of(record, digest) == 0 &&
            gh_catalog_remove_credential(w, digest, e) < 0)
            return -1;
        if (gh_catalog_remove_doc(w, "key", gh_slice_str(name), e) < 0)
            return -1;
    }
    return 0;
}

/* ---- what a body may say */

/* "90d" from now, or "2026-12-31T00:00:00Z". */
static int
parse_time(const char *text, uint64_t now, uint64_t *out)
{
    struct tm tm = {0};
    const char *end;
    uint64_t ms;
    time_t t;

    if (gh_parse_duration(gh_slice_str(text), &ms) == 0 && ms <= TEN_YEARS_MS) {
        *out = now + ms;
        return 0;
    }
    end = strptime(text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    if (end == NULL)
        end = strptime(text, "%Y-%m-%d", &tm);
    if (end == NULL || *end != '\0')
        return -1;
    t = timegm(&tm);
    if (t < 0)
        return -1;
    *out = (uint64_t)t * 1000;
    return 0;
}

static int
unknown_field(struct gh_request *r, const json_t *body,
              const char *const *known, size_t n)
{
    const char *key, *near;
    json_t *v;

    json_object_foreach((json_t *)body, key, v)
    {
        size_t i = 0;

        while (i < n && strcmp(key, known[i]) != 0)
            i++;
        if (i < n && json_is_string(v))
            continue;
        near = gh_fault_nearest(gh_slice_str(key), known, n);
        gh_request_fail(r, 422, "invalid",
                        i < n ? "\"%.60s\" must be a text%s%s%s"
                              : "unknown key \"%.60s\"%s%s%s",
                        key, i == n && near ? ": did you mean \"" : "",
                        i == n && near ? near : "",
                        i == n && near ? "\"?" : "");
        return 1;
    }
    return 0;
}

static const char *
text_of(const json_t *body, const char *key, const char *standard)
{
    const char *s = json_string_value(json_object_get(body, key));

    return s != NULL ? s : standard;
}

static bool
label_valid(const char *s)
{
    if (strlen(s) > 100)
        return false;
    for (; *s != '\0'; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f)
            return false;
    return true;
}

static int
times_of(struct gh_request *r, const json_t *body, uint64_t now,
         uint64_t *begins, uint64_t *ends)
{
    const char *expires = text_of(body, "expires", NULL);
    const char *not_before = text_of(body, "not_before", NULL);

    *begins = *ends = 0;
    if ((expires != NULL && parse_time(expires, now, ends) != 0) ||
        (not_before != NULL && parse_time(not_before, now, begins) != 0))
        return gh_request_fail(r, 422, "invalid",
                               "a time is a duration from now (90d) or "
                               "2026-12-31T00:00:00Z"),
               1;
    if (*ends != 0 && (*ends <= now || *ends <= *begins))
        return gh_request_fail(r, 422, "invalid",
                               "the key would expire before it is valid"),
               1;
    return 0;
}

static json_t *
new_record(struct gh_control *c, const char *app, const char *kind,
           const char *label, char key[KEY_SIZE])
{
    bool pair = strcmp(kind, "id_key") == 0;
    unsigned char digest[GH_DIGEST_SIZE], raw[6];
    char hex[2 * GH_DIGEST_SIZE + 1], id[13];

    make_key(key);
    gh_credential_digest(
        &c->credential_key, pair ? GH_CRED_ID_KEY : GH_CRED_KEY,
        gh_slice_str(pair ? app : ""), gh_slice_str(key), digest);
    gh_hex_encode(gh_slice(digest, sizeof(digest)), hex);
    gh_random(raw, sizeof(raw));
    gh_hex_encode(gh_slice(raw, sizeof(raw)), id);
    return json_pack("{s:s, s:s, s:s, s:s%, s:s, s:I}", "id", id, "label",
                     label, "kind", kind, "prefix", key, (size_t)7, "digest",
                     hex, "created_ms", (json_int_t)gh_control_now_ms());
}

/* The only answer that ever holds the key. */
static void
answer_key(struct gh_request *r, const json_t *record, const char *key)
{
    json_t *o = shown(record);

    json_object_set_new(o, "app", json_string(r->param[0]));
    json_object_set_new(o, "key", json_string(key));
    gh_request_answer(r, 201, o);
}

static void
set_times(json_t *record, uint64_t begins, uint64_t ends)
{
    json_object_set_new(record, "not_before_ms",
                        json_integer((json_int_t)begins));
    json_object_set_new(record, "expires_ms", json_integer((json_int_t)ends));
}

static int
too_many(struct gh_request *r)
{
    if (json_object_size(json_object_get(r->c->keys, r->param[0])) < KEYS_MAX)
        return 0;
    gh_request_fail(r, 409, "too_many",
                    "the application has %d keys: revoke some, which are then "
                    "forgotten",
                    KEYS_MAX);
    return 1;
}

static void
create(struct gh_request *r, const json_t *body)
{
    static const char *const known[] = {"label", "kind", "expires",
                                        "not_before"};
    const char *kind = text_of(body, "kind", "key");
    const char *label = text_of(body, "label", "");
    uint64_t begins, ends;
    char key[KEY_SIZE];
    struct gh_error e;
    json_t *record;

    if (unknown_field(r, body, known, 4) != 0 || too_many(r) != 0)
        return;
    if (strcmp(kind, "key") != 0 && strcmp(kind, "id_key") != 0) {
        gh_request_fail(r, 422, "invalid", "kind is \"key\" or \"id_key\"");
        return;
    }
    if (!label_valid(label)) {
        gh_request_fail(r, 422, "invalid",
                        "a label has at most 100 bytes, on one line");
        return;
    }
    if (times_of(r, body, gh_control_now_ms(), &begins, &ends) != 0)
        return;
    record = new_record(r->c, r->param[0], kind, label, key);
    if (record == NULL) {
        gh_request_answer(r, 500, NULL);
        return;
    }
    set_times(record, begins, ends);
    if (store_records(r->c, r->param[0], record, NULL, &e) != 0)
        gh_request_error(r, &e);
    else {
        json_t *detail = shown(record);

        gh_control_audit(r->c, r, "create-key", "app", r->param[0], detail);
        json_decref(detail);
        answer_key(r, record, key);
    }
    explicit_bzero(key, sizeof(key));
    json_decref(record);
}

int
gh_control_create_key(struct gh_request *r)
{
    json_t *body;

    if (!app_known(r))
        return 0;
    body = gh_request_json(r, true);
    if (body != NULL)
        create(r, body);
    json_decref(body);
    return 0;
}

static json_t *
find(struct gh_request *r)
{
    json_t *record =
        json_object_get(json_object_get(r->c->keys, r->param[0]), r->param[1]);

    if (record == NULL)
        gh_request_not_found(r, "key", r->param[1]);
    return record;
}

/* Revoked records are kept for the list; beyond half the room the key is
 * forgotten at once, so that there is always room for new ones. */
int
gh_control_revoke_key(struct gh_request *r)
{
    json_t *record, *revoked, *of;
    struct gh_error e;

    if (!app_known(r) || (record = find(r)) == NULL)
        return 0;
    revoked = json_copy(record);
    json_object_set_new(revoked, "revoked", json_true());
    of = json_object_get(r->c->keys, r->param[0]);
    if (store_records(r->c, r->param[0], revoked, NULL, &e) != 0)
        gh_request_error(r, &e);
    else {
        json_t *detail = shown(revoked);

        gh_control_audit(r->c, r, "revoke-key", "app", r->param[0], detail);
        if (json_object_size(of) > KEYS_MAX / 2) {
            struct gh_catalog_write *w;
            char name[GH_NAME_SIZE * 2];
            unsigned char digest[GH_DIGEST_SIZE];

            snprintf(name, sizeof(name), "%s.%s", r->param[0], r->param[1]);
            if (gh_catalog_write_begin(r->c->catalog, &w, &e) == 0) {
                if (digest_of(revoked, digest) == 0 &&
                    gh_catalog_remove_credential(w, digest, &e) >= 0 &&
                    gh_catalog_remove_doc(w, "key", gh_slice_str(name), &e) >=
                        0) {
                    if (gh_control_commit(r->c, w, &e) == 0)
                        json_object_del(of, r->param[1]);
                } else
                    gh_catalog_abort(w);
            }
        }
        gh_request_answer(r, 200, detail);
    }
    json_decref(revoked);
    return 0;
}

static void
rotate(struct gh_request *r, json_t *record, const json_t *body)
{
    static const char *const known[] = {"overlap", "expires", "label"};
    uint64_t now = gh_control_now_ms(), overlap, begins, ends, old_ends;
    char key[KEY_SIZE];
    json_t *next, *old;
    struct gh_error e;

    if (unknown_field(r, body, known, 3) != 0 || too_many(r) != 0 ||
        times_of(r, body, now, &begins, &ends) != 0)
        return;
    if (gh_parse_duration(gh_slice_str(text_of(body, "overlap", "24h")),
                          &overlap) != 0 ||
        overlap > TEN_YEARS_MS) {
        gh_request_fail(r, 422, "invalid",
                        "overlap is a duration such as 0s, 30m, 24h");
        return;
    }
    if (json_is_true(json_object_get(record, "revoked"))) {
        gh_request_fail(r, 409, "revoked",
                        "the key is revoked: create a new one");
        return;
    }
    next = new_record(
        r->c, r->param[0], json_string_value(json_object_get(record, "kind")),
        text_of(body, "label",
                json_string_value(json_object_get(record, "label"))),
        key);
    set_times(next, 0, ends);
    old = json_copy(record);
    old_ends = number(record, "expires_ms");
    if (old_ends == 0 || old_ends > now + overlap)
        json_object_set_new(old, "expires_ms",
                            json_integer((json_int_t)(now + overlap)));
    if (store_records(r->c, r->param[0], next, old, &e) != 0)
        gh_request_error(r, &e);
    else {
        json_t *detail =
            json_pack("{s:o, s:o}", "old", shown(old), "new", shown(next));

        gh_control_audit(r->c, r, "rotate-key", "app", r->param[0], detail);
        answer_key(r, next, key);
        json_object_set(r->json, "old", json_object_get(detail, "old"));
        json_decref(detail);
    }
    explicit_bzero(key, sizeof(key));
    json_decref(next);
    json_decref(old);
}

int
gh_control_rotate_key(struct gh_request *r)
{
    json_t *record, *body;

    if (!app_known(r) || (record = find(r)) == NULL)
        return 0;
    body = gh_request_json(r, true);
    if (body != NULL)
        rotate(r, record, body);
    json_decref(body);
    return 0;
}
