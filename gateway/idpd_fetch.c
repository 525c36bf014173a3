/* SPDX-License-Identifier: Apache-2.0 */
#include "idpd.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECT_MS 2000L
#define TOTAL_MS 5000L
#define GRACE_MS 2000u /* for what runs when the process is to end */

static size_t
on_data(char *data, size_t size, size_t n, void *ctx)
{
    struct gh_buffer *b = ctx;

    if (size * n > GH_OIDC_DOCUMENT_MAX - b->len)
        return 0;
    gh_buffer_append(b, gh_slice(data, size * n));
    return b->failed ? 0 : size * n;
}

static int
on_progress(void *ctx, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
            curl_off_t up)
{
    struct gh_idpd *d = ctx;
    uint64_t since = atomic_load(&d->ending_ms);

    return since != 0 && gh_idpd_mono_ms() - since > GRACE_MS;
}

/* What every call has. Nothing from the environment: no proxy, no .netrc. */
static void
bound(CURL *c, struct gh_idpd *d)
{
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS, CONNECT_MS);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, TOTAL_MS);
    curl_easy_setopt(c, CURLOPT_MAXFILESIZE, (long)GH_OIDC_DOCUMENT_MAX);
    curl_easy_setopt(c, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(c, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(c, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "gatehouse");
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(c, CURLOPT_XFERINFODATA, d);
    if (d->o.ca_file != NULL)
        curl_easy_setopt(c, CURLOPT_CAINFO, d->o.ca_file);
}

static struct curl_slist *
headers(const struct gh_idpd_call *call)
{
    struct curl_slist *list =
        curl_slist_append(NULL, "Accept: application/json");
    char text[256];

    list = curl_slist_append(list, "Expect:");
    if (call->type != NULL) {
        snprintf(text, sizeof(text), "Content-Type: %s", call->type);
        list = curl_slist_append(list, text);
    }
    return list;
}

static void
describe(CURL *c, const struct gh_idpd_call *call)
{
    curl_easy_setopt(c, CURLOPT_URL, call->url);
    if (call->unix_socket != NULL)
        curl_easy_setopt(c, CURLOPT_UNIX_SOCKET_PATH, call->unix_socket);
    if (call->body != NULL) {
        curl_easy_setopt(c, CURLOPT_POSTFIELDS, call->body);
        curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE, (long)strlen(call->body));
    }
    if (call->method != NULL)
        curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, call->method);
    if (call->username != NULL) {
        curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
        curl_easy_setopt(c, CURLOPT_USERNAME, call->username);
        curl_easy_setopt(c, CURLOPT_PASSWORD, call->password);
    }
    if (call->bearer != NULL) {
        curl_easy_setopt(c, CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
        curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, call->bearer);
    }
}

int
gh_idpd_fetch(struct gh_idpd *d, const struct gh_idpd_call *call,
              struct gh_buffer *out, long *status, struct gh_error *e)
{
    struct curl_slist *list = headers(call);
    CURL *c = curl_easy_init();
    CURLcode rc = CURLE_OUT_OF_MEMORY;
    long code = 0;

    gh_buffer_clear(out);
    if (c != NULL && list != NULL) {
        bound(c, d);
        describe(c, call);
        curl_easy_setopt(c, CURLOPT_WRITEDATA, out);
        curl_easy_setopt(c, CURLOPT_HTTPHEADER, list);
        rc = curl_easy_perform(c);
        curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
    }
    curl_easy_cleanup(c);
    curl_slist_free_all(list);
    if (rc == CURLE_WRITE_ERROR || rc == CURLE_FILESIZE_EXCEEDED)
        return gh_error_set(e, GH_ETOOBIG, "%s: more than %d bytes", call->url,
                            GH_OIDC_DOCUMENT_MAX);
    if (rc != CURLE_OK)
        return gh_error_set(e, GH_EUNAVAILABLE, "%s: %s", call->url,
                            curl_easy_strerror(rc));
    *status = code;
    return 0;
}
