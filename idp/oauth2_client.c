/* SPDX-License-Identifier: Apache-2.0 */
#include "oauth2_client.h"

#include "log.h"

#include <oauth2/mem.h>
#include <oauth2/oauth2.h>
#include <openssl/crypto.h>

static oauth2_log_t *quiet;

/* Its messages hold whole tokens and secrets: we keep where, not what. */
static void
on_message(oauth2_log_sink_t *sink, const char *file, unsigned long line,
           const char *function, oauth2_log_level_t level, const char *text)
{
    gh_log(level == OAUTH2_LOG_ERROR ? GH_LOG_WARN : GH_LOG_DEBUG,
           "liboauth2: a message from %s (line %lu)", function, line);
}

int
gh_oauth2_client_start(struct gh_error *e)
{
    oauth2_log_sink_t *sink =
        oauth2_log_sink_create(OAUTH2_LOG_ERROR, on_message, NULL);

    quiet = sink == NULL ? NULL : oauth2_init(OAUTH2_LOG_ERROR, sink);
    return quiet == NULL ? gh_error_set(e, GH_ENOMEM, "liboauth2 won't start")
                         : 0;
}

void
gh_oauth2_client_stop(void)
{
    oauth2_shutdown(quiet);
    quiet = NULL;
}

/* Its Basic lands in a struct that only its own HTTP client reads (see
 * docs/decisions.md), so we take its encoding of the two parts. */
static int
basic(const char *client_id, const char *secret, struct gh_oauth2_call *out)
{
    char *user = oauth2_url_encode(quiet, client_id);
    char *password = oauth2_url_encode(quiet, secret);

    if (user != NULL)
        gh_buffer_text(&out->username, user);
    if (password != NULL) {
        gh_buffer_text(&out->password, password);
        OPENSSL_cleanse(password, strlen(password));
    }
    out->form.failed |= user == NULL || password == NULL;
    oauth2_mem_free(user);
    oauth2_mem_free(password);
    return 0;
}

/* The methods that work by fields of the form. */
static int
by_form(const char *type, const char *client_id, const char *secret,
        oauth2_nv_list_t *form, struct gh_error *e)
{
    oauth2_http_call_ctx_t *ctx = oauth2_http_call_ctx_init(quiet);
    oauth2_cfg_endpoint_auth_t *auth = oauth2_cfg_endpoint_auth_init(quiet);
    oauth2_nv_list_t *params = oauth2_nv_list_init(quiet);
    char *refused = NULL;
    int rc = -1;

    if (ctx != NULL && auth != NULL && params != NULL &&
        oauth2_nv_list_add(quiet, params, "client_id", client_id) &&
        oauth2_nv_list_add(quiet, params, "client_secret", secret)) {
        refused = oauth2_cfg_set_endpoint_auth(quiet, auth, type, params, "");
        if (refused == NULL && oauth2_http_ctx_auth_add(quiet, ctx, auth, form))
            rc = 0;
    }
    oauth2_mem_free(refused);
    oauth2_nv_list_free(quiet, params);
    oauth2_cfg_endpoint_auth_free(quiet, auth);
    oauth2_http_call_ctx_free(quiet, ctx);
    return rc == 0
               ? 0
               : gh_error_set(e, GH_EINVAL, "client authentication (%s)", type);
}

static int
prove(uint32_t methods, const char *client_id, const char *secret,
      oauth2_nv_list_t *form, struct gh_oauth2_call *out, struct gh_error *e)
{
    if (secret == NULL || secret[0] == '\0') {
        if (oauth2_nv_list_add(quiet, form, "client_id", client_id))
            return 0;
        return gh_error_set(e, GH_ENOMEM, "client authentication: no memory");
    }
    if (methods == 0 || (methods & GH_OIDC_AUTH_BASIC))
        return basic(client_id, secret, out);
    if (methods & GH_OIDC_AUTH_POST)
        return by_form("client_secret_post", client_id, secret, form, e);
    return gh_error_set(e, GH_EINVAL,
                        "the provider takes neither client_secret_basic nor "
                        "client_secret_post");
}

int
gh_oauth2_client_call(uint32_t methods, const char *client_id,
                      const char *secret, const struct gh_oauth2_field *fields,
                      struct gh_oauth2_call *out, struct gh_error *e)
{
    struct gh_oauth2_call call = {GH_BUFFER_INIT, GH_BUFFER_INIT,
                                  GH_BUFFER_INIT};
    oauth2_nv_list_t *form = oauth2_nv_list_init(quiet);
    char *text = NULL;
    bool ok = form != NULL;

    for (; ok && fields->name != NULL; fields++)
        ok = oauth2_nv_list_add(quiet, form, fields->name, fields->value);
    if (!ok)
        gh_error_set(e, GH_ENOMEM, "token request: no memory");
    else
        ok = prove(methods, client_id, secret, form, &call, e) == 0;
    if (ok) {
        text = oauth2_http_url_form_encode(quiet, form);
        if (text != NULL)
            gh_buffer_text(&call.form, text);
        ok = text != NULL && gh_buffer_string(&call.form) != NULL;
        if (!ok)
            gh_error_set(e, GH_ENOMEM, "token request: no memory");
    }
    if (text != NULL)
        OPENSSL_cleanse(text, strlen(text));
    oauth2_mem_free(text);
    oauth2_nv_list_free(quiet, form);
    if (!ok) {
        gh_oauth2_client_finish(&call);
        return -1;
    }
    *out = call;
    return 0;
}

static void
wipe(struct gh_buffer *b)
{
    if (b->data != NULL)
        OPENSSL_cleanse(b->data, b->cap);
    gh_buffer_finish(b);
}

void
gh_oauth2_client_finish(struct gh_oauth2_call *c)
{
    wipe(&c->form);
    wipe(&c->username);
    wipe(&c->password);
}
