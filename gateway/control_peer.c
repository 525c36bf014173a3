/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Our own sockets as a client. It blocks, shortly: gatehouse-idp and the gate
 * are on this host and answer from memory, and admins' calls are rare.
 */
#include "control.h"

#include <curl/curl.h>
#include <stdio.h>

#define PEER_BODY ((size_t)1 << 20)

static size_t
on_data(char *data, size_t size, size_t n, void *ctx)
{
    struct gh_buffer *b = ctx;

    if (b->len + size * n > PEER_BODY)
        return 0;
    gh_buffer_append(b, gh_slice(data, size * n));
    return b->failed ? 0 : size * n;
}

int
gh_control_peer(const char *socket, const char *method, const char *path,
                struct gh_slice body, struct gh_buffer *answer, long *status,
                struct gh_error *e)
{
    CURL *curl = curl_easy_init();
    char url[600];
    CURLcode rc;

    *status = 0;
    if (curl == NULL)
        return gh_error_set(e, GH_ENOMEM, "out of memory");
    snprintf(url, sizeof(url), "http://localhost%s", path);
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 300L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS,
                     body.data != NULL ? 2000L : 1000L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
    if (body.data != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body.data);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body.len);
    }
    rc = curl_easy_perform(curl);
    if (rc == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
    curl_easy_cleanup(curl);
    if (rc != CURLE_OK)
        return gh_error_set(e, GH_EUNAVAILABLE, "%s: %s", socket,
                            curl_easy_strerror(rc));
    return 0;
}
