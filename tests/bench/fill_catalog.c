/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Puts many applications and their keys straight into a catalog, in a few
 * transactions: what measurements and the full-zone test need and no admin
 * does.
 *
 *   fill_catalog CATALOG_DIR SECRET_FILE PLAN ACCOUNT PREFIX FIRST COUNT
 *
 * Application i is PREFIX-i, its API key is "PREFIX-i-" and 16 times "k".
 * Control does not know of these applications and leaves them alone.
 */
#include "catalog.h"
#include "encode.h"
#include "secret.h"

#include <stdio.h>
#include <stdlib.h>

#define PER_WRITE 20000
#define MAP_MB 1024

struct fill {
    struct gh_catalog *catalog;
    struct gh_hmac key;
    const char *plan, *account, *prefix;
};

static int
put_one(const struct fill *f, struct gh_catalog_write *w, uint64_t i,
        struct gh_error *e)
{
    char name[GH_NAME_SIZE], id[GH_NAME_SIZE], text[GH_NAME_SIZE + 24];
    unsigned char digest[GH_DIGEST_SIZE];
    struct gh_app app = {.account = gh_slice_str(f->account),
                         .plan = gh_slice_str(f->plan),
                         .state = GH_LIVE};
    struct gh_credential cred = {.kind = GH_CRED_KEY};

    if (snprintf(name, sizeof name, "%s-%llu", f->prefix,
                 (unsigned long long)i) >= (int)sizeof name)
        return gh_error_set(e, GH_ETOOBIG, "prefix is too long");
    snprintf(text, sizeof text, "%s-kkkkkkkkkkkkkkkk", name);
    snprintf(id, sizeof id, "k%llu", (unsigned long long)i);
    app.name = gh_slice_str(name);
    cred.app = app.name;
    cred.id = gh_slice_str(id);
    gh_credential_digest(&f->key, GH_CRED_KEY, gh_slice_str(""),
                         gh_slice_str(text), digest);
    if (gh_catalog_put_app(w, &app, e) != 0)
        return -1;
    return gh_catalog_put_credential(w, digest, &cred, e);
}

static int
fill(const struct fill *f, uint64_t first, uint64_t count, struct gh_error *e)
{
    uint64_t end = first + count;

    while (first < end) {
        struct gh_catalog_write *w;
        uint64_t stop = end - first > PER_WRITE ? first + PER_WRITE : end;

        if (gh_catalog_write_begin(f->catalog, &w, e) != 0)
            return -1;
        for (; first < stop; first++) {
            if (put_one(f, w, first, e) != 0) {
                gh_catalog_abort(w);
                return -1;
            }
        }
        if (gh_catalog_commit(w, e) != 0)
            return -1;
    }
    return 0;
}

static int
open_parts(struct fill *f, char **argv, struct gh_error *e)
{
    struct gh_secret secret;
    unsigned char key[GH_KEY_SIZE];
    int rc;

    if (gh_secret_read(argv[2], &secret, e) != 0)
        return -1;
    rc = gh_secret_derive(&secret, "credential", key, e);
    gh_secret_wipe(&secret);
    if (rc != 0)
        return -1;
    gh_hmac_init(&f->key, gh_slice(key, sizeof key));
    return gh_catalog_open_writer(argv[1], MAP_MB, -1, &f->catalog, e);
}

int
main(int argc, char **argv)
{
    struct gh_error e = {0};
    struct fill f = {0};
    uint64_t first, count;

    if (argc != 8 ||
        gh_parse_u64(gh_slice_str(argv[6]), 0, 1000000000, &first) != 0 ||
        gh_parse_u64(gh_slice_str(argv[7]), 1, 10000000, &count) != 0) {
        fprintf(stderr, "usage: fill_catalog CATALOG_DIR SECRET_FILE PLAN "
                        "ACCOUNT PREFIX FIRST COUNT\n");
        return 3;
    }
    f.plan = argv[3];
    f.account = argv[4];
    f.prefix = argv[5];
    if (open_parts(&f, argv, &e) != 0 || fill(&f, first, count, &e) != 0) {
        fprintf(stderr, "fill_catalog: %s\n", e.message);
        return 1;
    }
    gh_catalog_close(f.catalog);
    return 0;
}
