/* SPDX-License-Identifier: Apache-2.0 */
/* What catalog.c (opening, reading) and catalog_write.c share. Nobody else
 * includes this. */
#ifndef GH_CATALOG_INNER_H
#define GH_CATALOG_INNER_H

#include "catalog.h"
#include "catalog_cache.h"
#include "record.h"

#include <lmdb.h>

#define GH_ROUTE_MAX                                                           \
    480 /* host, NUL and prefix: below LMDB's 511 for a key                    \
         */
#define GH_DOC_KEY 511

enum gh_catalog_db {
    META,
    ROUTE,
    API,
    PLAN,
    ACCOUNT,
    APP,
    SERVICE,
    IDP,
    CRED,
    DOC,
    DBS
};

struct gh_catalog {
    MDB_env *env;
    MDB_dbi dbi[DBS];
    MDB_txn *txn; /* the read transaction, begun or reset */
    bool inside;
    uint64_t generation;
    size_t snapshot; /* LMDB's id of the transaction it was read in, or 0 */
    uint32_t turn;   /* begins so far */
    struct gh_cache cache[DBS]; /* of credentials, applications, accounts */
};

static inline MDB_val
val(struct gh_slice s)
{
    return (MDB_val){s.len, (void *)s.data};
}

static inline struct gh_slice
slice(MDB_val v)
{
    return gh_slice(v.mv_data, v.mv_size);
}

/* Fills e from a code of LMDB or an errno. Returns -1. */
int gh_catalog_lmdb_error(struct gh_error *e, int rc, const char *what);
int gh_catalog_damaged(struct gh_error *e, const char *kind,
                       struct gh_slice name);
/* 1 found, 0 none, -1. An empty or overlong name is none. */
int gh_catalog_get(MDB_txn *txn, MDB_dbi dbi, struct gh_slice key,
                   struct gh_slice *out, struct gh_error *e);
int gh_catalog_read_generation(struct gh_catalog *c, MDB_txn *txn,
                               uint64_t *out, struct gh_error *e);
/* The database of "api", "plan", ... or -1. */
int gh_catalog_kind(const char *kind);
int gh_catalog_doc_key(const char *kind, struct gh_slice name,
                       unsigned char key[GH_DOC_KEY], struct gh_slice *out,
                       struct gh_error *e);
int gh_catalog_read_doc(struct gh_catalog *c, MDB_txn *txn, const char *kind,
                        struct gh_slice name, struct gh_slice *json,
                        struct gh_error *e);

#endif
