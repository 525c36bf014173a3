/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The catalog's values as flat records: a byte that names the layout, the
 * version (u64), then the fields in the order of model.h by base/pack.h.
 * Reading checks everything a reader relies on (bounds, enumerations, indexes,
 * counts), so a damaged record is an error, never a wild value.
 */
#ifndef GH_RECORD_H
#define GH_RECORD_H

#include "model.h"
#include "pack.h"

#define GH_RECORD_LAYOUT 1

void gh_record_write_api(struct gh_buffer *b, const struct gh_api *v,
                         uint64_t version);
void gh_record_write_plan(struct gh_buffer *b, const struct gh_plan *v,
                          uint64_t version);
void gh_record_write_account(struct gh_buffer *b, const struct gh_account *v,
                             uint64_t version);
void gh_record_write_app(struct gh_buffer *b, const struct gh_app *v,
                         uint64_t version);
void gh_record_write_service(struct gh_buffer *b, const struct gh_service *v,
                             uint64_t version);
void gh_record_write_idp(struct gh_buffer *b, const struct gh_idp *v,
                         uint64_t version);
void gh_record_write_credential(struct gh_buffer *b,
                                const struct gh_credential *v);

/*
 * 0, or -1: malformed, or `a` is out of memory. With `a` all slices are copies;
 * the three without it leave them in the record.
 */
int gh_record_read_api(struct gh_slice s, const struct gh_alloc *a,
                       struct gh_api *out);
int gh_record_read_plan(struct gh_slice s, const struct gh_alloc *a,
                        struct gh_plan *out);
int gh_record_read_service(struct gh_slice s, const struct gh_alloc *a,
                           struct gh_service *out);
int gh_record_read_idp(struct gh_slice s, const struct gh_alloc *a,
                       struct gh_idp *out);
int gh_record_read_account(struct gh_slice s, struct gh_account *out);
int gh_record_read_app(struct gh_slice s, struct gh_app *out);
int gh_record_read_credential(struct gh_slice s, struct gh_credential *out);

/* The version alone. 0 or -1. */
int gh_record_version(struct gh_slice s, uint64_t *version);

#endif
