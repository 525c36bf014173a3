/* SPDX-License-Identifier: Apache-2.0 */
#include "catalog_inner.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define READERS 1024 /* slots: workers of all generations, idp, control */

static const char *const db_name[] = {"meta",    "route", "api",     "plan",
                                      "account", "app",   "service", "idp",
                                      "cred",    "doc"};

int
gh_catalog_lmdb_error(struct gh_error *e, int rc, const char *what)
{
    switch (rc) {
    case MDB_MAP_FULL:
        return gh_error_set(e, GH_ENOMEM,
                            "%s: the catalog is full: raise its size", what);
    case MDB_READERS_FULL:
        return gh_error_set(e, GH_EUNAVAILABLE,
                            "%s: too many readers of the catalog", what);
    case MDB_BAD_VALSIZE:
        return gh_error_set(e, GH_ETOOBIG, "%s: name too long or empty", what);
    case MDB_INVALID:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_PANIC:
    case MDB_VERSION_MISMATCH:
        return gh_error_set(e, GH_ECORRUPT, "%s: %s", what, mdb_strerror(rc));
    default:
        return rc > 0
                   ? gh_error_sys(e, rc, "%s", what)
                   : gh_error_set(e, GH_EIO, "%s: %s", what, mdb_strerror(rc));
    }
}

/* 1 found, 0 none, -1. An empty or overlong name is none. */
int
gh_catalog_get(MDB_txn *txn, MDB_dbi dbi, struct gh_slice key,
               struct gh_slice *out, struct gh_error *e)
{
    MDB_val k = val(key), v;
    int rc;

    if (key.len == 0 || key.len > 511)
        return 0;
    rc = mdb_get(txn, dbi, &k, &v);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return gh_catalog_lmdb_error(e, rc, "read the catalog");
    *out = slice(v);
    return 1;
}

int
gh_catalog_read_generation(struct gh_catalog *c, MDB_txn *txn, uint64_t *out,
                           struct gh_error *e)
{
    struct gh_slice s;
    struct gh_reader r;
    int rc =
        gh_catalog_get(txn, c->dbi[META], gh_slice_str("generation"), &s, e);

    if (rc < 0)
        return -1;
    *out = 0;
    if (rc == 0)
        return 0;
    r = gh_reader(s);
    *out = gh_read_u64(&r);
    return gh_reader_done(&r)
               ? 0
               : gh_error_set(e, GH_ECORRUPT, "catalog: bad generation");
}

/* ---- opening ---- */

static int
open_dbs(struct gh_catalog *c, unsigned txn_flags, unsigned dbi_flags,
         struct gh_error *e)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(c->env, NULL, txn_flags, &txn), i;

    if (rc != 0)
        return gh_catalog_lmdb_error(e, rc, "catalog");
    for (i = 0; i < DBS && rc == 0; i++)
        rc = mdb_dbi_open(txn, db_name[i], dbi_flags, &c->dbi[i]);
    if (rc != 0) {
        mdb_txn_abort(txn);
        if (rc == MDB_NOTFOUND)
            return gh_error_set(e, GH_ENOTFOUND,
                                "the catalog was not made yet");
        return gh_catalog_lmdb_error(e, rc, "catalog");
    }
    rc = mdb_txn_commit(txn); /* keeps the handles open */
    return rc == 0 ? 0 : gh_catalog_lmdb_error(e, rc, "catalog");
}

/* size_mb 0: as the file says. */
static int
open_env(const char *dir, unsigned flags, size_t size_mb, mode_t mode,
         struct gh_catalog **out, struct gh_error *e)
{
    struct gh_catalog *c = calloc(1, sizeof(*c));
    int rc;

    if (c == NULL)
        return gh_error_set(e, GH_ENOMEM, "catalog: out of memory");
    rc = mdb_env_create(&c->env);
    if (rc == 0)
        rc = mdb_env_set_maxdbs(c->env, DBS);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(c->env, READERS);
    if (rc == 0 && size_mb > 0)
        rc = mdb_env_set_mapsize(c->env, size_mb << 20);
    if (rc == 0)
        rc = mdb_env_open(c->env, dir, flags | MDB_NOTLS, mode);
    if (rc != 0) {
        gh_catalog_lmdb_error(e, rc, dir);
        gh_catalog_close(c);
        return -1;
    }
    *out = c;
    return 0;
}

int
gh_catalog_open_reader(const char *dir, struct gh_catalog **out,
                       struct gh_error *e)
{
    struct gh_catalog *c;

    if (open_env(dir, MDB_RDONLY, 0, 0640, &c, e) != 0)
        return -1;
    if (open_dbs(c, MDB_RDONLY, 0, e) != 0) {
        gh_catalog_close(c);
        return -1;
    }
    *out = c;
    return 0;
}

static int
set_rights(const char *dir, int group, struct gh_error *e)
{
    static const struct {
        const char *name;
        mode_t mode;
    } files[] = {{"data.mdb", 0640}, {"lock.mdb", 0660}};
    char path[4096];
    size_t i;

    for (i = 0; i < 2; i++) {
        if (snprintf(path, sizeof(path), "%s/%s", dir, files[i].name) >=
            (int)sizeof(path))
            return gh_error_set(e, GH_ETOOBIG, "%s: path too long", dir);
        if (group >= 0 && chown(path, (uid_t)-1, (gid_t)group) != 0)
            return gh_error_sys(e, errno, "chown %s", path);
        if (chmod(path, files[i].mode) != 0)
            return gh_error_sys(e, errno, "chmod %s", path);
    }
    return 0;
}

int
gh_catalog_open_writer(const char *dir, size_t size_mb, int group,
                       struct gh_catalog **out, struct gh_error *e)
{
    struct gh_catalog *c;

    if (mkdir(dir, 0750) == 0) {
        if (group >= 0 && chown(dir, (uid_t)-1, (gid_t)group) != 0)
            return gh_error_sys(e, errno, "chown %s", dir);
    } else if (errno != EEXIST) {
        return gh_error_sys(e, errno, "mkdir %s", dir);
    }
    if (open_env(dir, 0, size_mb, 0640, &c, e) != 0)
        return -1;
    if (set_rights(dir, group, e) != 0 || open_dbs(c, 0, MDB_CREATE, e) != 0) {
        gh_catalog_close(c);
        return -1;
    }
    *out = c;
    return 0;
}

void
gh_catalog_close(struct gh_catalog *c)
{
    int i;

    if (c == NULL)
        return;
    if (c->txn != NULL)
        mdb_txn_abort(c->txn);
    if (c->env != NULL)
        mdb_env_close(c->env);
    for (i = 0; i < DBS; i++)
        gh_catalog_cache_finish(&c->cache[i]);
    free(c);
}

/* ---- reading ---- */

static int
begin_new(struct gh_catalog *c)
{
    int rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &c->txn), dead;

    if (rc == MDB_READERS_FULL) {
        mdb_reader_check(c->env, &dead); /* workers that were killed */
        rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &c->txn);
    } else if (rc == MDB_MAP_RESIZED) { /* the writer has a larger map */
        mdb_env_set_mapsize(c->env, 0);
        rc = mdb_txn_begin(c->env, NULL, MDB_RDONLY, &c->txn);
    }
    return rc;
}

static const int cached[] = {CRED, APP, ACCOUNT};

static void
size_caches(struct gh_catalog *c)
{
    MDB_stat st;
    size_t i;

    for (i = 0; i < sizeof(cached) / sizeof(cached[0]); i++)
        if (mdb_stat(c->txn, c->dbi[cached[i]], &st) == 0)
            gh_catalog_cache_size(&c->cache[cached[i]], st.ms_entries);
}

int
gh_catalog_begin(struct gh_catalog *c, struct gh_error *e)
{
    int rc;

    if (c->inside)
        return 0;
    rc = c->txn != NULL ? mdb_txn_renew(c->txn) : begin_new(c);
    if (rc != 0 && c->txn != NULL) {
        mdb_txn_abort(c->txn);
        c->txn = NULL;
        rc = begin_new(c);
    }
    if (rc != 0) {
        c->txn = NULL;
        return gh_catalog_lmdb_error(e, rc, "read the catalog");
    }
    c->inside = true;
    c->turn++;
    if (c->snapshot != 0 && mdb_txn_id(c->txn) == c->snapshot)
        return 0;
    if (gh_catalog_read_generation(c, c->txn, &c->generation, e) != 0) {
        gh_catalog_end(c);
        return -1;
    }
    c->snapshot = mdb_txn_id(c->txn);
    size_caches(c);
    return 0;
}

void
gh_catalog_end(struct gh_catalog *c)
{
    if (c->inside)
        mdb_txn_reset(c->txn);
    c->inside = false;
}

uint64_t
gh_catalog_generation(const struct gh_catalog *c)
{
    return c->generation;
}

static int
need_snapshot(const struct gh_catalog *c, struct gh_error *e)
{
    return c->inside ? 0
                     : gh_error_set(e, GH_EINVAL,
                                    "catalog read outside of a transaction");
}

int
gh_catalog_damaged(struct gh_error *e, const char *kind, struct gh_slice name)
{
    return gh_error_set(e, GH_ECORRUPT, "catalog: %s \"%.*s\" does not decode",
                        kind, (int)name.len, (const char *)name.data);
}

/* The record of a name: 1, 0 or -1. */
static int
find(struct gh_catalog *c, int db, struct gh_slice name, struct gh_slice *out,
     struct gh_error *e)
{
    struct gh_cache *cache = &c->cache[db];
    int rc;

    if (need_snapshot(c, e) != 0)
        return -1;
    if (gh_catalog_cache_get(cache, c->snapshot, c->turn, name, out))
        return 1;
    rc = gh_catalog_get(c->txn, c->dbi[db], name, out, e);
    if (rc == 1)
        gh_catalog_cache_put(cache, c->snapshot, c->turn, name, *out);
    return rc;
}

#define LOOKUP_COPY(what, DB)                                                  \
    int gh_catalog_##what(struct gh_catalog *c, struct gh_slice name,          \
                          const struct gh_alloc *a, struct gh_##what *out,     \
                          struct gh_error *e)                                  \
    {                                                                          \
        struct gh_slice s;                                                     \
        int rc = find(c, DB, name, &s, e);                                     \
                                                                               \
        if (rc == 1 && gh_record_read_##what(s, a, out) != 0)                  \
            return gh_catalog_damaged(e, #what, name);                         \
        return rc;                                                             \
    }

#define LOOKUP(what, DB)                                                       \
    int gh_catalog_##what(struct gh_catalog *c, struct gh_slice name,          \
                          struct gh_##what *out, struct gh_error *e)           \
    {                                                                          \
        struct gh_slice s;                                                     \
        int rc = find(c, DB, name, &s, e);                                     \
                                                                               \
        if (rc == 1 && gh_record_read_##what(s, out) != 0)                     \
            return gh_catalog_damaged(e, #what, name);                         \
        return rc;                                                             \
    }

LOOKUP_COPY(api, API)
LOOKUP_COPY(plan, PLAN)
LOOKUP_COPY(service, SERVICE)
LOOKUP_COPY(idp, IDP)
LOOKUP(account, ACCOUNT)
LOOKUP(app, APP)

int
gh_catalog_credential(struct gh_catalog *c,
                      const unsigned char digest[GH_DIGEST_SIZE],
                      struct gh_credential *out, struct gh_error *e)
{
    struct gh_slice s;
    int rc = find(c, CRED, gh_slice(digest, GH_DIGEST_SIZE), &s, e);

    if (rc == 1 && gh_record_read_credential(s, out) != 0)
        return gh_catalog_damaged(e, "credential", gh_slice_str("(digest)"));
    return rc;
}

int
gh_catalog_kind(const char *kind)
{
    static const int kinds[] = {API, PLAN, ACCOUNT, APP, SERVICE, IDP};
    size_t i;

    for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kind, db_name[kinds[i]]) == 0)
            return kinds[i];
    return -1;
}

int
gh_catalog_version(struct gh_catalog *c, const char *kind, struct gh_slice name,
                   uint64_t *version, struct gh_error *e)
{
    int db = gh_catalog_kind(kind), rc;
    struct gh_slice s;

    if (db < 0)
        return gh_error_set(e, GH_EINVAL, "catalog: no kind \"%s\"", kind);
    rc = find(c, db, name, &s, e);
    if (rc == 1 && gh_record_version(s, version) != 0)
        return gh_catalog_damaged(e, kind, name);
    return rc;
}

/* ---- routes ---- */

static size_t
common(struct gh_slice a, struct gh_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len, i = 0;

    while (i < n && a.data[i] == b.data[i])
        i++;
    return i;
}

/* The longest length <= max that ends `path` at a whole segment and is a
 * possible prefix; 1 stands for "/". 0: none is left. */
static size_t
whole_segments(struct gh_slice path, size_t max)
{
    size_t n = max < path.len ? max : path.len;

    while (n > 1) {
        if ((n == path.len || path.data[n] == '/') && path.data[n - 1] != '/')
            return n;
        n--;
    }
    return n;
}

/*
 * Keys that are prefixes of the wanted one sort before it, and the last key not
 * after it shares with it at least as much as any of them: so each step of the
 * cursor either finds the answer or shortens what can still be one.
 */
static int
route_of_host(MDB_cursor *cur, struct gh_slice host, struct gh_slice path,
              struct gh_slice *api)
{
    unsigned char key[GH_ROUTE_MAX];
    size_t base = host.len + 1, room = sizeof(key) - base;
    size_t n = whole_segments(path, room);
    int rc;

    memcpy(key, host.data, host.len);
    key[host.len] = '\0';
    memcpy(key + base, path.data, path.len < room ? path.len : room);
    while (n > 0) {
        struct gh_slice want = gh_slice(key, base + n);
        MDB_val k = val(want), v;
        size_t same;

        rc = mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);
        if (rc == 0 && gh_slice_eq(slice(k), want)) {
            *api = slice(v);
            return 1;
        }
        if (rc != 0 && rc != MDB_NOTFOUND)
            return rc < 0 ? rc : -rc;
        rc = mdb_cursor_get(cur, &k, &v, rc == 0 ? MDB_PREV : MDB_LAST);
        if (rc == MDB_NOTFOUND)
            return 0;
        if (rc != 0)
            return rc < 0 ? rc : -rc;
        same = common(slice(k), want);
        if (same <= base)
            return 0;
        same -= base;
        n = whole_segments(path, same < n ? same : n - 1);
    }
    return 0;
}

int
gh_catalog_route(struct gh_catalog *c, struct gh_slice host,
                 struct gh_slice path, struct gh_slice *api, struct gh_error *e)
{
    MDB_cursor *cur;
    int rc;

    if (need_snapshot(c, e) != 0)
        return -1;
    if (path.len == 0 || path.data[0] != '/')
        return 0;
    rc = mdb_cursor_open(c->txn, c->dbi[ROUTE], &cur);
    if (rc != 0)
        return gh_catalog_lmdb_error(e, rc, "catalog route");
    rc = 0;
    if (host.len > 0 && host.len <= 255 && !gh_slice_eq_str(host, "*") &&
        memchr(host.data, '\0', host.len) == NULL)
        rc = route_of_host(cur, host, path, api);
    if (rc == 0)
        rc = route_of_host(cur, gh_slice_str("*"), path, api);
    mdb_cursor_close(cur);
    return rc < 0 ? gh_catalog_lmdb_error(e, rc, "catalog route") : rc;
}

/* ---- walking ---- */

int
gh_catalog_each(struct gh_catalog *c, const char *kind,
                int (*each)(void *ctx, struct gh_slice name,
                            struct gh_slice value),
                void *ctx, struct gh_error *e)
{
    bool doc = strncmp(kind, "doc:", 4) == 0;
    int db = doc                         ? DOC
             : strcmp(kind, "cred") == 0 ? CRED
                                         : gh_catalog_kind(kind);
    char prefix[GH_NAME_SIZE + 2] = "";
    MDB_cursor *cur;
    MDB_val k, v;
    size_t skip;
    int rc, stop = 0;

    if (need_snapshot(c, e) != 0)
        return -1;
    if (db < 0)
        return gh_error_set(e, GH_EINVAL, "catalog: no kind \"%s\"", kind);
    if (doc && snprintf(prefix, sizeof(prefix), "%s/", kind + 4) >=
                   (int)sizeof(prefix))
        return gh_error_set(e, GH_EINVAL, "catalog: no kind \"%s\"", kind);
    skip = strlen(prefix);
    rc = mdb_cursor_open(c->txn, c->dbi[db], &cur);
    if (rc != 0)
        return gh_catalog_lmdb_error(e, rc, "catalog");
    k = val(gh_slice_str(prefix));
    rc = mdb_cursor_get(cur, &k, &v, skip ? MDB_SET_RANGE : MDB_FIRST);
    while (rc == 0 && gh_slice_starts(slice(k), gh_slice_str(prefix))) {
        struct gh_slice name = slice(k);

        name.data += skip;
        name.len -= skip;
        stop = each(ctx, name, slice(v));
        if (stop != 0)
            break;
        rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
    }
    mdb_cursor_close(cur);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return gh_catalog_lmdb_error(e, rc, "catalog");
    return stop;
}

void
gh_credential_digest(const struct gh_hmac *key, enum gh_credential_kind kind,
                     struct gh_slice owner, struct gh_slice text,
                     unsigned char out[GH_DIGEST_SIZE])
{
    const unsigned char k = (unsigned char)kind;
    const struct gh_slice parts[] = {gh_slice(&k, 1), owner, gh_slice("", 1),
                                     text};

    gh_hmac(key, parts, 4, out);
}

/* ---- documents ---- */

int
gh_catalog_doc_key(const char *kind, struct gh_slice name,
                   unsigned char key[GH_DOC_KEY], struct gh_slice *out,
                   struct gh_error *e)
{
    size_t n = strlen(kind);

    if (n == 0 || strchr(kind, '/') != NULL || name.len == 0 ||
        n + 1 + name.len > GH_DOC_KEY)
        return gh_error_set(e, GH_EINVAL, "document: bad kind or name");
    memcpy(key, kind, n);
    key[n] = '/';
    memcpy(key + n + 1, name.data, name.len);
    *out = gh_slice(key, n + 1 + name.len);
    return 0;
}

int
gh_catalog_read_doc(struct gh_catalog *c, MDB_txn *txn, const char *kind,
                    struct gh_slice name, struct gh_slice *json,
                    struct gh_error *e)
{
    unsigned char raw[GH_DOC_KEY];
    struct gh_slice key;

    if (gh_catalog_doc_key(kind, name, raw, &key, e) != 0)
        return -1;
    return gh_catalog_get(txn, c->dbi[DOC], key, json, e);
}

int
gh_catalog_doc(struct gh_catalog *c, const char *kind, struct gh_slice name,
               struct gh_slice *json, struct gh_error *e)
{
    if (need_snapshot(c, e) != 0)
        return -1;
    return gh_catalog_read_doc(c, c->txn, kind, name, json, e);
}
