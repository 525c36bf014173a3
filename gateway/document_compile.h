/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Items of a state to the flat vocabulary of the catalog (model.h). The items
 * have passed gh_document_check() and gh_document_refs(): what is missing has
 * its default here. Results live in `a`; slices may point into the items.
 * Each returns 0, or -1 with GH_ENOMEM.
 */
#ifndef GH_DOCUMENT_COMPILE_H
#define GH_DOCUMENT_COMPILE_H

#include "document.h"
#include "model.h"

int gh_document_compile_api(const json_t *item, const struct gh_alloc *a,
                            struct gh_api *out, struct gh_error *e);
int gh_document_compile_plan(const json_t *item, const struct gh_alloc *a,
                             struct gh_plan *out, struct gh_error *e);
int gh_document_compile_account(const json_t *item, const struct gh_alloc *a,
                                struct gh_account *out, struct gh_error *e);
int gh_document_compile_app(const json_t *item, const struct gh_alloc *a,
                            struct gh_app *out, struct gh_error *e);
/* discovered: what gatehouse-idp fetched, or NULL. */
int gh_document_compile_idp(const json_t *item, const json_t *discovered,
                            const struct gh_alloc *a, struct gh_idp *out,
                            struct gh_error *e);
/* Of a plain upstream (url, urls); compose services are the house's. */
int gh_document_compile_service(const json_t *item, const struct gh_alloc *a,
                                struct gh_service *out, struct gh_error *e);
/* Bits of enum gh_alg; 0 when the name is unknown. */
uint32_t gh_document_alg(const char *name);

#endif
