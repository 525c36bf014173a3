/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog: one LMDB environment per host (a directory), written only by
 * gatehouse-control, read in place by every nginx worker and by gatehouse-idp.
 *
 * Databases: "meta", "route" (host NUL prefix -> API name), "api", "plan",
 * "account", "app", "service", "idp" (name -> flat record), "cred" (digest ->
 * record) and "doc" (kind '/' name -> the JSON that control edits and exports;
 * readers of the gate never look there). Every commit raises the generation by
 * one; every record says the generation that wrote it (`version`).
 *
 * Readers hold at most one read transaction, renewed once per turn of their
 * loop and reset before they wait, so that the writer can reuse pages.
 * lock.mdb is writable by the readers' group, data.mdb is not.
 */
#ifndef GH_CATALOG_H
#define GH_CATALOG_H

#include "error.h"
#include "model.h"
#include "secret.h"

struct gh_catalog; /* an open environment; one per process */

/* size_mb: the map, and so the most the file can grow to. */
int gh_catalog_open_reader(const char *dir, struct gh_catalog **out,
                           struct gh_error *e);
/* Creates it when absent; `group` (or -1) gets data.mdb 0640, lock.mdb 0660. */
int gh_catalog_open_writer(const char *dir, size_t size_mb, int group,
                           struct gh_catalog **out, struct gh_error *e);
void gh_catalog_close(struct gh_catalog *c);

/* ---- reading (nginx workers, idp, control) ---- */

/* Begins or renews the read transaction; a no-op inside one. */
int gh_catalog_begin(struct gh_catalog *c, struct gh_error *e);
/* Lets go of the snapshot. Slices from lookups die here. */
void gh_catalog_end(struct gh_catalog *c);
/* Of the snapshot; 0 for an empty catalog. Grows by 1 with each commit. */
uint64_t gh_catalog_generation(const struct gh_catalog *c);

/*
 * Longest path prefix on whole segments among the routes of `host` (lower case,
 * no port), then of "*". 1 found (*api is the name, in the map), 0 none, -1.
 */
int gh_catalog_route(struct gh_catalog *c, struct gh_slice host,
                     struct gh_slice path, struct gh_slice *api,
                     struct gh_error *e);

/* Each decodes into memory of `a`. 1 found, 0 none, -1 error. All slices of the
 * result are copies: they outlive the transaction. */
int gh_catalog_api(struct gh_catalog *c, struct gh_slice name,
                   const struct gh_alloc *a, struct gh_api *out,
                   struct gh_error *e);
int gh_catalog_plan(struct gh_catalog *c, struct gh_slice name,
                    const struct gh_alloc *a, struct gh_plan *out,
                    struct gh_error *e);
int gh_catalog_service(struct gh_catalog *c, struct gh_slice name,
                       const struct gh_alloc *a, struct gh_service *out,
                       struct gh_error *e);
int gh_catalog_idp(struct gh_catalog *c, struct gh_slice name,
                   const struct gh_alloc *a, struct gh_idp *out,
                   struct gh_error *e);

/* These need no memory: slices point into the map and die with the snapshot. */
int gh_catalog_account(struct gh_catalog *c, struct gh_slice name,
                       struct gh_account *out, struct gh_error *e);
int gh_catalog_app(struct gh_catalog *c, struct gh_slice name,
                   struct gh_app *out, struct gh_error *e);
int gh_catalog_credential(struct gh_catalog *c,
                          const unsigned char digest[GH_DIGEST_SIZE],
                          struct gh_credential *out, struct gh_error *e);

/* The version of one record alone: to see whether a decoded copy still holds.
 * `kind` is "api", "plan", "service", "idp", "account" or "app". */
int gh_catalog_version(struct gh_catalog *c, const char *kind,
                       struct gh_slice name, uint64_t *version,
                       struct gh_error *e);

/* Calls `each` for all names of a kind ("doc" kinds too, as "doc:plan"; "cred":
 * digests and records), in order; stops when it returns non-zero and returns
 * that. */
int gh_catalog_each(struct gh_catalog *c, const char *kind,
                    int (*each)(void *ctx, struct gh_slice name,
                                struct gh_slice value),
                    void *ctx, struct gh_error *e);

/*
 * How a credential is found: HMAC-SHA256 under the secret's "credential" key of
 * kind byte, owner, NUL, text. Owner is "" for API keys, the application's name
 * for id + key, the IdP's name for an OIDC client id.
 */
void gh_credential_digest(const struct gh_hmac *key,
                          enum gh_credential_kind kind, struct gh_slice owner,
                          struct gh_slice text,
                          unsigned char out[GH_DIGEST_SIZE]);

/* ---- writing (gatehouse-control only) ---- */

struct gh_catalog_write; /* one transaction: all or nothing, durable */

int gh_catalog_write_begin(struct gh_catalog *c, struct gh_catalog_write **out,
                           struct gh_error *e);
/* fsync'ed when it returns 0. The write is gone either way. */
int gh_catalog_commit(struct gh_catalog_write *w, struct gh_error *e);
void gh_catalog_abort(struct gh_catalog_write *w);

/* Insert or replace; `version` of the value is ignored and set. Routes follow
 * the APIs; two APIs on one host and prefix: GH_EEXIST. */
int gh_catalog_put_api(struct gh_catalog_write *w, const struct gh_api *v,
                       struct gh_error *e);
int gh_catalog_put_plan(struct gh_catalog_write *w, const struct gh_plan *v,
                        struct gh_error *e);
int gh_catalog_put_account(struct gh_catalog_write *w,
                           const struct gh_account *v, struct gh_error *e);
int gh_catalog_put_app(struct gh_catalog_write *w, const struct gh_app *v,
                       struct gh_error *e);
int gh_catalog_put_service(struct gh_catalog_write *w,
                           const struct gh_service *v, struct gh_error *e);
int gh_catalog_put_idp(struct gh_catalog_write *w, const struct gh_idp *v,
                       struct gh_error *e);
int gh_catalog_put_credential(struct gh_catalog_write *w,
                              const unsigned char digest[GH_DIGEST_SIZE],
                              const struct gh_credential *v,
                              struct gh_error *e);
/* 1 removed, 0 was not there. */
int gh_catalog_remove(struct gh_catalog_write *w, const char *kind,
                      struct gh_slice name, struct gh_error *e);
int gh_catalog_remove_credential(struct gh_catalog_write *w,
                                 const unsigned char digest[GH_DIGEST_SIZE],
                                 struct gh_error *e);

/* Control's own documents: JSON text by kind and name. */
int gh_catalog_put_doc(struct gh_catalog_write *w, const char *kind,
                       struct gh_slice name, struct gh_slice json,
                       struct gh_error *e);
int gh_catalog_doc(struct gh_catalog *c, const char *kind,
                   struct gh_slice name, struct gh_slice *json,
                   struct gh_error *e);
/* The same inside a write, seeing what it wrote. 1, 0 or -1. */
int gh_catalog_write_doc(struct gh_catalog_write *w, const char *kind,
                         struct gh_slice name, struct gh_slice *json,
                         struct gh_error *e);
int gh_catalog_remove_doc(struct gh_catalog_write *w, const char *kind,
                          struct gh_slice name, struct gh_error *e);

#endif
