/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gatehouse-idp keeps the client secrets; control only hands them on, before
 * the catalog names the provider that needs them. What stays here is a keyed
 * hash, so that `diff` sees a changed secret. The other way come discoveries:
 * endpoints and public keys, each checked before the gate may trust it.
 */
#include "control.h"

#include "document_compile.h"
#include "encode.h"
#include "jwk.h"
#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_MAX 4096

static int
read_secret_file(const char *path, char out[SECRET_MAX + 1], struct gh_error *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    ssize_t n;

    if (fd < 0)
        return gh_error_set(e, GH_EINVAL,
                            "client_secret_file %s: %s (gatehouse-control "
                            "reads it as uid %ld)",
                            path, strerror(errno), (long)geteuid());
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (st.st_mode & 04)) {
        close(fd);
        return gh_error_set(e, GH_EINVAL,
                            "client_secret_file %s: it must be a file that "
                            "not everybody may read",
                            path);
    }
    n = read(fd, out, SECRET_MAX + 1);
    close(fd);
    while (n > 0 && (out[n - 1] == '\n' || out[n - 1] == '\r'))
        n--;
    if (n <= 0 || n > SECRET_MAX || memchr(out, 0, (size_t)n) != NULL)
        return gh_error_set(e, GH_EINVAL,
                            "client_secret_file %s: 1 to %d bytes of text are "
                            "wanted",
                            path, SECRET_MAX);
    out[n] = '\0';
    return 0;
}

static json_t *
print_of(struct gh_control *c, const char *idp, const char *secret)
{
    struct gh_slice parts[] = {gh_slice_str(idp), gh_slice("", 1),
                               gh_slice_str(secret)};
    unsigned char digest[GH_DIGEST_SIZE];
    char hex[2 * GH_DIGEST_SIZE + 1];

    gh_hmac(&c->print_key, parts, 3, digest);
    gh_hex_encode(gh_slice(digest, sizeof(digest)), hex);
    return json_pack("{s:s}", "print", hex);
}

int
gh_control_take_secrets(struct gh_control *c, struct gh_items *want,
                        json_t **secrets, json_t **prints, struct gh_error *e)
{
    char buf[SECRET_MAX + 1];
    const char *name;
    json_t *item;
    int rc = 0;

    *secrets = json_object();
    *prints = json_object();
    json_object_foreach(want->of[GH_KIND_IDP], name, item)
    {
        const char *secret =
            json_string_value(json_object_get(item, "client_secret"));
        const char *file =
            json_string_value(json_object_get(item, "client_secret_file"));

        if (file != NULL) {
            rc = read_secret_file(file, buf, e);
            if (rc != 0)
                break;
            secret = buf;
        }
        if (secret != NULL) {
            json_object_set_new(*secrets, name, json_string(secret));
            json_object_set_new(*prints, name, print_of(c, name, secret));
            json_object_del(item, "client_secret");
            json_object_del(item, "client_secret_file");
        }
    }
    explicit_bzero(buf, sizeof(buf));
    return rc;
}

int
gh_control_send_secrets(struct gh_control *c, const json_t *secrets,
                        struct gh_error *e)
{
    struct gh_buffer answer = GH_BUFFER_INIT;
    const char *name;
    json_t *secret;
    char path[128];
    long status = 0;

    json_object_foreach((json_t *)secrets, name, secret)
    {
        struct gh_slice body =
            gh_slice(json_string_value(secret), json_string_length(secret));

        snprintf(path, sizeof(path), "/internal/secret/%s", name);
        gh_buffer_clear(&answer);
        if (gh_control_peer(c->o.idp_socket, "PUT", path, body, &answer,
                            &status, e) != 0) {
            gh_buffer_finish(&answer);
            return gh_error_wrap(e,
                                 "client_secret of idp \"%s\": gatehouse-idp "
                                 "must be running to take it",
                                 name);
        }
        if (status < 200 || status > 299) {
            gh_buffer_finish(&answer);
            return gh_error_set(e, GH_EUNAVAILABLE,
                                "client_secret of idp \"%s\": gatehouse-idp "
                                "answered %ld",
                                name, status);
        }
    }
    gh_buffer_finish(&answer);
    return 0;
}

void
gh_control_forget_secret(struct gh_control *c, const char *idp)
{
    struct gh_buffer answer = GH_BUFFER_INIT;
    struct gh_error e;
    char path[128];
    long status;

    snprintf(path, sizeof(path), "/internal/secret/%s", idp);
    if (gh_control_peer(c->o.idp_socket, "DELETE", path, gh_slice(NULL, 0),
                        &answer, &status, &e) != 0 ||
        (status != 404 && (status < 200 || status > 299)))
        gh_log(GH_LOG_WARN,
               "idp %s is removed, but gatehouse-idp still has its secret",
               idp);
    gh_buffer_finish(&answer);
}

/* ---- discoveries */

static int
check_endpoint(const json_t *body, const char *key, json_t *out,
               struct gh_error *e)
{
    const json_t *v = json_object_get(body, key);
    const char *s = json_string_value(v);

    if (v == NULL || json_is_null(v))
        return 0;
    if (s == NULL || strlen(s) > 2000 || strpbrk(s, " \r\n\t\"<>\\") != NULL ||
        (strncmp(s, "https://", 8) != 0 && strncmp(s, "http://", 7) != 0))
        return gh_error_set(e, GH_EINVAL, "%s is no URL", key);
    return json_object_set_new(out, key, json_string(s));
}

static json_t *
alg_names(uint32_t algs)
{
    json_t *list = json_array();

    for (uint32_t bit = 1; bit != 0 && bit <= algs; bit <<= 1)
        if ((algs & bit) && gh_jwk_alg_name(bit) != NULL)
            json_array_append_new(list, json_string(gh_jwk_alg_name(bit)));
    return list;
}

static int
check_key(const json_t *key, json_t *list, struct gh_error *e)
{
    struct gh_public_key v;
    struct gh_arena arena;
    struct gh_alloc a;
    char *text = json_dumps(json_object_get(key, "jwk"), JSON_COMPACT);
    json_t *jwk = NULL, *kid = json_object_get(key, "kid");
    int rc = -1;

    if (text == NULL)
        return gh_error_set(e, GH_EINVAL, "a key has no jwk");
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    if (gh_jwk_import(gh_slice_str(text), &a, &v, e) == 0) {
        jwk = json_loadb((const char *)v.jwk.data, v.jwk.len, 0, NULL);
        rc = jwk != NULL
                 ? json_array_append_new(
                       list,
                       json_pack("{s:o, s:o, s:o}", "kid",
                                 json_is_string(kid)
                                     ? json_incref(kid)
                                     : json_stringn((const char *)v.kid.data,
                                                    v.kid.len),
                                 "algs", alg_names(v.algs), "jwk", jwk))
                 : gh_error_set(e, GH_EINVAL, "a key does not decode");
    }
    gh_arena_finish(&arena);
    free(text);
    return rc;
}

static json_t *
checked(const json_t *body, json_t *issuer, struct gh_error *e)
{
    static const char *const endpoints[] = {
        "authorization_endpoint", "token_endpoint", "userinfo_endpoint",
        "end_session_endpoint", "jwks_uri"};
    json_t *out = json_object(), *keys = json_array(), *key;
    const json_t *theirs = json_object_get(body, "issuer");
    size_t i;

    json_object_set_new(out, "keys", keys);
    json_object_set(out, "issuer", issuer);
    json_object_set_new(
        out, "require_iss",
        json_boolean(json_is_true(json_object_get(body, "require_iss"))));
    if (theirs != NULL && !json_equal(theirs, issuer)) {
        gh_error_set(e, GH_EEXIST, "the issuer is another one now");
        goto bad;
    }
    for (i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++)
        if (check_endpoint(body, endpoints[i], out, e) != 0)
            goto bad;
    if (json_array_size(json_object_get(body, "keys")) > GH_JWKS_KEYS_MAX) {
        gh_error_set(e, GH_ETOOBIG, "more than %d keys", GH_JWKS_KEYS_MAX);
        goto bad;
    }
    json_array_foreach(json_object_get(body, "keys"), i, key)
    {
        if (check_key(key, keys, e) != 0)
            goto bad;
    }
    return out;

bad:
    json_decref(out);
    return NULL;
}

int
gh_control_discovered(struct gh_request *r)
{
    const char *name = r->param[0];
    json_t *body, *found, *before, *idp;
    struct gh_error e;

    idp = gh_items_get(&r->c->items, GH_KIND_IDP, name);
    if (idp == NULL)
        return gh_request_not_found(r, "idp", name);
    body = gh_request_json(r, false);
    if (body == NULL)
        return 0;
    found = checked(body, json_object_get(idp, "issuer"), &e);
    json_decref(body);
    if (found == NULL)
        return gh_request_error(r, &e);
    before = json_incref(json_object_get(r->c->discovered, name));
    if (before != NULL && json_equal(before, found)) {
        json_decref(found);
        json_decref(before);
        return gh_request_answer(r, 200, json_pack("{s:b}", "changed", 0));
    }
    json_object_set_new(r->c->discovered, name, found);
    if (gh_control_refresh(r->c, GH_KIND_IDP, name, &e) != 0) {
        if (before != NULL)
            json_object_set(r->c->discovered, name, before);
        else
            json_object_del(r->c->discovered, name);
        json_decref(before);
        return gh_request_error(r, &e);
    }
    json_decref(before);
    gh_control_audit(r->c, r, "discovered", "idp", name, NULL);
    return gh_request_answer(r, 200, json_pack("{s:b}", "changed", 1));
}
