/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog_inner.h"

#include <stdlib.h>

struct gh_catalog_write {
    struct gh_catalog *c;
    MDB_txn *txn;
    uint64_t generation; /* that this write makes */
    struct gh_buffer scratch;
};

int
gh_catalog_write_begin(struct gh_catalog *c, struct gh_catalog_write **out,
                       struct gh_error *e)
{
    struct gh_catalog_write *w = calloc(1, sizeof(*w));
    int rc, dead;

    if (w == NULL)
        return gh_error_set(e, GH_ENOMEM, "catalog: out of memory");
    mdb_reader_check(c->env, &dead); /* frees what killed workers pinned */
    w->c = c;
    rc = mdb_txn_begin(c->env, NULL, 0, &w->txn);
    if (rc != 0) {
        free(w);
        return gh_catalog_lmdb_error(e, rc, "write the catalog");
    }
    if (gh_catalog_read_generation(c, w->txn, &w->generation, e) != 0) {
        gh_catalog_abort(w);
        return -1;
    }
    w->generation++;
    *out = w;
    return 0;
}

static int
put(struct gh_catalog_write *w, int db, struct gh_slice key,
    struct gh_slice value, struct gh_error *e)
{
    MDB_val k = val(key), v = val(value);
    int rc = mdb_put(w->txn, w->c->dbi[db], &k, &v, 0);

    return rc == 0 ? 0 : gh_catalog_lmdb_error(e, rc, "write the catalog");
}

static int
del(struct gh_catalog_write *w, int db, struct gh_slice key, struct gh_error *e)
{
    MDB_val k = val(key);
    int rc;

    if (key.len == 0 || key.len > 511)
        return 0;
    rc = mdb_del(w->txn, w->c->dbi[db], &k, NULL);
    if (rc == MDB_NOTFOUND)
        return 0;
    return rc == 0 ? 1 : gh_catalog_lmdb_error(e, rc, "write the catalog");
}

int
gh_catalog_commit(struct gh_catalog_write *w, struct gh_error *e)
{
    int rc;

    gh_buffer_clear(&w->scratch);
    gh_write_u64(&w->scratch, w->generation);
    if (w->scratch.failed) {
        gh_catalog_abort(w);
        return gh_error_set(e, GH_ENOMEM, "catalog: out of memory");
    }
    if (put(w, META, gh_slice_str("generation"), gh_buffer_slice(&w->scratch),
            e) != 0) {
        gh_catalog_abort(w);
        return -1;
    }
    rc = mdb_txn_commit(w->txn);
    w->txn = NULL;
    gh_catalog_abort(w);
    return rc == 0 ? 0 : gh_catalog_lmdb_error(e, rc, "commit the catalog");
}

void
gh_catalog_abort(struct gh_catalog_write *w)
{
    if (w == NULL)
        return;
    if (w->txn != NULL)
        mdb_txn_abort(w->txn);
    gh_buffer_finish(&w->scratch);
    free(w);
}

static int
named(struct gh_slice name, const char *kind, struct gh_error *e)
{
    return gh_name_valid(name)
               ? 0
               : gh_error_set(e, GH_EINVAL, "%s: not a valid name", kind);
}

static int
put_scratch(struct gh_catalog_write *w, int db, struct gh_slice key,
            struct gh_error *e)
{
    if (w->scratch.failed)
        return gh_error_set(e, GH_ENOMEM, "catalog: out of memory");
    return put(w, db, key, gh_buffer_slice(&w->scratch), e);
}

#define PUT(what, DB)                                                          \
    int gh_catalog_put_##what(struct gh_catalog_write *w,                      \
                              const struct gh_##what *v, struct gh_error *e)   \
    {                                                                          \
        if (named(v->name, #what, e) != 0)                                     \
            return -1;                                                         \
        gh_buffer_clear(&w->scratch);                                          \
        gh_record_write_##what(&w->scratch, v, w->generation);                 \
        return put_scratch(w, DB, v->name, e);                                 \
    }

PUT(plan, PLAN)
PUT(account, ACCOUNT)
PUT(app, APP)
PUT(service, SERVICE)
PUT(idp, IDP)

/* Writes host, NUL, prefix. -1 when it cannot be a route's key. */
static int
route_key(struct gh_slice host, struct gh_slice prefix,
          unsigned char key[GH_ROUTE_MAX], struct gh_slice *out)
{
    if (host.len == 0 || host.len > 255 || prefix.len == 0 ||
        prefix.data[0] != '/' ||
        (prefix.len > 1 && prefix.data[prefix.len - 1] == '/') ||
        host.len + 1 + prefix.len > GH_ROUTE_MAX ||
        memchr(host.data, '\0', host.len) != NULL)
        return -1;
    memcpy(key, host.data, host.len);
    key[host.len] = '\0';
    memcpy(key + host.len + 1, prefix.data, prefix.len);
    *out = gh_slice(key, host.len + 1 + prefix.len);
    return 0;
}

static int
remove_routes(struct gh_catalog_write *w, struct gh_slice name,
              struct gh_error *e)
{
    struct gh_arena arena;
    struct gh_alloc a;
    struct gh_slice s, key;
    unsigned char raw[GH_ROUTE_MAX];
    struct gh_api old;
    int rc = gh_catalog_get(w->txn, w->c->dbi[API], name, &s, e);
    size_t i;

    if (rc != 1)
        return rc;
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    if (gh_record_read_api(s, &a, &old) != 0)
        rc = gh_catalog_damaged(e, "api", name);
    for (i = 0; rc >= 0 && i < old.nhosts; i++)
        if (route_key(old.hosts[i], old.prefix, raw, &key) == 0)
            rc = del(w, ROUTE, key, e);
    gh_arena_finish(&arena);
    return rc < 0 ? -1 : 0;
}

static int
add_route(struct gh_catalog_write *w, struct gh_slice host,
          const struct gh_api *api, struct gh_error *e)
{
    unsigned char raw[GH_ROUTE_MAX];
    struct gh_slice key;
    MDB_val k, v = val(api->name);
    int rc;

    if (route_key(host, api->prefix, raw, &key) != 0)
        return gh_error_set(e, GH_EINVAL,
                            "api \"%.*s\": host and path make no route",
                            (int)api->name.len, (const char *)api->name.data);
    k = val(key);
    rc = mdb_put(w->txn, w->c->dbi[ROUTE], &k, &v, MDB_NOOVERWRITE);
    if (rc == MDB_KEYEXIST && !gh_slice_eq(slice(v), api->name))
        return gh_error_set(
            e, GH_EEXIST,
            "api \"%.*s\": %.*s%.*s is already the route of api \"%.*s\"",
            (int)api->name.len, (const char *)api->name.data, (int)host.len,
            (const char *)host.data, (int)api->prefix.len,
            (const char *)api->prefix.data, (int)v.mv_size,
            (const char *)v.mv_data);
    return rc == 0 || rc == MDB_KEYEXIST
               ? 0
               : gh_catalog_lmdb_error(e, rc, "write the catalog");
}

int
gh_catalog_put_api(struct gh_catalog_write *w, const struct gh_api *v,
                   struct gh_error *e)
{
    size_t i;

    if (named(v->name, "api", e) != 0 || remove_routes(w, v->name, e) != 0)
        return -1;
    for (i = 0; i < v->nhosts; i++)
        if (add_route(w, v->hosts[i], v, e) != 0)
            return -1;
    gh_buffer_clear(&w->scratch);
    gh_record_write_api(&w->scratch, v, w->generation);
    return put_scratch(w, API, v->name, e);
}

int
gh_catalog_put_credential(struct gh_catalog_write *w,
                          const unsigned char digest[GH_DIGEST_SIZE],
                          const struct gh_credential *v, struct gh_error *e)
{
    gh_buffer_clear(&w->scratch);
    gh_record_write_credential(&w->scratch, v);
    return put_scratch(w, CRED, gh_slice(digest, GH_DIGEST_SIZE), e);
}

int
gh_catalog_remove(struct gh_catalog_write *w, const char *kind,
                  struct gh_slice name, struct gh_error *e)
{
    int db = gh_catalog_kind(kind);

    if (db < 0)
        return gh_error_set(e, GH_EINVAL, "catalog: no kind \"%s\"", kind);
    if (db == API && remove_routes(w, name, e) != 0)
        return -1;
    return del(w, db, name, e);
}

int
gh_catalog_remove_credential(struct gh_catalog_write *w,
                             const unsigned char digest[GH_DIGEST_SIZE],
                             struct gh_error *e)
{
    return del(w, CRED, gh_slice(digest, GH_DIGEST_SIZE), e);
}

/* ---- documents ---- */

int
gh_catalog_put_doc(struct gh_catalog_write *w, const char *kind,
                   struct gh_slice name, struct gh_slice json,
                   struct gh_error *e)
{
    unsigned char raw[GH_DOC_KEY];
    struct gh_slice key;

    if (gh_catalog_doc_key(kind, name, raw, &key, e) != 0)
        return -1;
    return put(w, DOC, key, json, e);
}

int
gh_catalog_write_doc(struct gh_catalog_write *w, const char *kind,
                     struct gh_slice name, struct gh_slice *json,
                     struct gh_error *e)
{
    return gh_catalog_read_doc(w->c, w->txn, kind, name, json, e);
}

int
gh_catalog_remove_doc(struct gh_catalog_write *w, const char *kind,
                      struct gh_slice name, struct gh_error *e)
{
    unsigned char raw[GH_DOC_KEY];
    struct gh_slice key;

    if (gh_catalog_doc_key(kind, name, raw, &key, e) != 0)
        return -1;
    return del(w, DOC, key, e);
}
