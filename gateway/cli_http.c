/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>

#define ANSWER_MAX ((size_t)256 << 20)

static size_t
on_data(char *data, size_t size, size_t n, void *ctx)
{
    struct gh_cli_answer *a = ctx;

    if (a->text.len + size * n > ANSWER_MAX)
        return 0;
    gh_buffer_append(&a->text, gh_slice(data, size * n));
    return a->text.failed ? 0 : size * n;
}

static size_t
on_header(char *line, size_t size, size_t n, void *ctx)
{
    struct gh_cli_answer *a = ctx;

    if (n > 6 && strncasecmp(line, "ETag: ", 6) == 0)
        snprintf(a->etag, sizeof(a->etag), "%.*s",
                 (int)strcspn(line + 6, "\r\n"), line + 6);
    return size * n;
}

static int
unreachable(const struct gh_cli *cli, CURLcode rc)
{
    char hint[700];

    if (rc == CURLE_OPERATION_TIMEDOUT)
        return gh_cli_fail(GH_CLI_UNREACHABLE, "gatehouse doctor",
                           "gatehouse-control at %s does not answer",
                           cli->socket);
    snprintf(hint, sizeof(hint),
             "gatehouse --dir %s up, or another --dir (GATEHOUSE_DIR)",
             cli->dir);
    return gh_cli_fail(GH_CLI_UNREACHABLE, hint,
                       "gatehouse-control is not reached at %s: %s",
                       cli->socket, curl_easy_strerror(rc));
}

static struct curl_slist *
headers_of(const char *type, const char *if_match)
{
    struct curl_slist *list = curl_slist_append(NULL, "Expect:");
    char line[200];

    if (type != NULL) {
        snprintf(line, sizeof(line), "Content-Type: %s", type);
        list = curl_slist_append(list, line);
    }
    if (if_match != NULL) {
        snprintf(line, sizeof(line), "%s",
                 *if_match != '\0' ? "" : "If-None-Match: *");
        if (*if_match != '\0')
            snprintf(line, sizeof(line), "If-Match: %s", if_match);
        list = curl_slist_append(list, line);
    }
    return list;
}

static CURLcode
perform(struct gh_cli *cli, const char *method, const char *path,
        const char *type, struct gh_slice body, const char *if_match,
        struct gh_cli_answer *out)
{
    CURL *curl = curl_easy_init();
    struct curl_slist *headers = headers_of(type, if_match);
    char *url;
    CURLcode rc;

    if (curl == NULL || asprintf(&url, "http://localhost%s", path) < 0)
        return CURLE_OUT_OF_MEMORY;
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, cli->socket);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, 3000L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 60000L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, out);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, out);
    if (type != NULL) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS,
                         body.data != NULL ? (const char *)body.data : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)body.len);
    }
    rc = curl_easy_perform(curl);
    if (rc == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &out->status);
    curl_easy_cleanup(curl);
    curl_slist_free_all(headers);
    free(url);
    return rc;
}

int
gh_cli_call(struct gh_cli *cli, const char *method, const char *path,
            const char *type, struct gh_slice body, const char *if_match,
            struct gh_cli_answer *out)
{
    CURLcode rc;

    memset(out, 0, sizeof(*out));
    rc = perform(cli, method, path, type, body, if_match, out);
    if (rc != CURLE_OK) {
        gh_cli_answer_finish(out);
        return unreachable(cli, rc);
    }
    out->json = json_loadb((const char *)out->text.data, out->text.len,
                           JSON_DECODE_ANY, NULL);
    return 0;
}

void
gh_cli_answer_finish(struct gh_cli_answer *a)
{
    gh_buffer_finish(&a->text);
    json_decref(a->json);
    a->json = NULL;
}

static int
exit_of(long status)
{
    return status == 422 || status == 400 || status == 413 ? GH_CLI_INVALID
                                                           : GH_CLI_FAILED;
}

int
gh_cli_ask(struct gh_cli *cli, const char *method, const char *path,
           const char *type, struct gh_slice body, const char *file,
           struct gh_cli_answer *out)
{
    int rc = gh_cli_call(cli, method, path, type, body, NULL, out);

    if (rc != 0)
        return rc;
    if (out->status < 300)
        return 0;
    if (cli->json)
        gh_cli_print_json(out->json);
    gh_cli_print_problem(out->json, out->status, file, body);
    rc = exit_of(out->status);
    gh_cli_answer_finish(out);
    return rc;
}

int
gh_cli_get(struct gh_cli *cli, const char *path, struct gh_cli_answer *out)
{
    return gh_cli_ask(cli, "GET", path, NULL, gh_slice(NULL, 0), NULL, out);
}

void
gh_cli_query(struct gh_buffer *path, const char *name, const char *value)
{
    bool first = path->len == 0 || memchr(path->data, '?', path->len) == NULL;

    gh_buffer_printf(path, "%s%s=", first ? "?" : "&", name);
    for (; *value != '\0'; value++)
        if (strchr("-_.:", *value) != NULL ||
            (*value >= '0' && *value <= '9') ||
            ((*value | 0x20) >= 'a' && (*value | 0x20) <= 'z'))
            gh_buffer_append(path, gh_slice(value, 1));
        else
            gh_buffer_printf(path, "%%%02X", (unsigned char)*value);
}

bool
gh_cli_reachable(struct gh_cli *cli)
{
    struct gh_cli_answer a;
    CURLcode rc;

    memset(&a, 0, sizeof(a));
    rc = perform(cli, "GET", "/v1/apis", NULL, gh_slice(NULL, 0), NULL, &a);
    gh_cli_answer_finish(&a);
    return rc == CURLE_OK;
}
