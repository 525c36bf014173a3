/* SPDX-License-Identifier: Apache-2.0 */
#include "idpd.h"

#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void
gh_idpd_set(struct gh_idpd_request *r, const char *name, const char *fmt, ...)
{
    struct gh_idpd_answer *a = r->answer;
    va_list ap;
    int n;

    if (a->n == GH_IDPD_HEADERS)
        abort(); /* a handler's bug: the count is fixed when it is written */
    va_start(ap, fmt);
    n = vasprintf(&a->headers[a->n].value, fmt, ap);
    va_end(ap);
    if (n < 0)
        return;
    a->headers[a->n++].name = name;
}

void
gh_idpd_redirect(struct gh_idpd_request *r, unsigned status, const char *to)
{
    r->answer->status = status;
    gh_idpd_set(r, "Location", "%s", to);
}

void
gh_idpd_json(struct gh_idpd_request *r, unsigned status, const char *text)
{
    r->answer->status = status;
    r->answer->type = "application/json";
    gh_buffer_clear(&r->answer->body);
    gh_buffer_text(&r->answer->body, text);
}

/* Text as HTML, or (quote) inside a JSON string. */
static void
escaped(struct gh_buffer *b, const char *s, bool json)
{
    for (; *s != '\0'; s++) {
        unsigned char c = (unsigned char)*s;

        if (json && (c == '"' || c == '\\'))
            gh_buffer_printf(b, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            gh_buffer_text(b, " ");
        else if (!json && strchr("<>&\"'", c) != NULL)
            gh_buffer_printf(b, "&#%u;", c);
        else
            gh_buffer_append(b, gh_slice(s, 1));
    }
}

void
gh_idpd_page(struct gh_idpd_request *r, unsigned status, const char *title,
             const char *html)
{
    struct gh_buffer *b = &r->answer->body;

    r->answer->status = status;
    r->answer->type = "text/html; charset=utf-8";
    gh_buffer_clear(b);
    gh_buffer_text(b, "<!DOCTYPE html><html lang=en><meta charset=utf-8>"
                      "<meta name=viewport content=\"width=device-width\">"
                      "<title>");
    escaped(b, title, false);
    gh_buffer_text(b, "</title><style>body{font:1rem/1.5 system-ui,sans-serif;"
                      "max-width:36rem;margin:15vh auto;padding:0 1rem;"
                      "color:#222}h1{font-size:1.4rem}button{font:inherit;"
                      "padding:.4rem 1rem}small{color:#595959}</style><h1>");
    escaped(b, title, false);
    gh_buffer_text(b, "</h1>");
    gh_buffer_text(b, html);
}

static const char *
title_of(unsigned status)
{
    switch (status) {
    case 400:
        return "This request cannot be used";
    case 401:
        return "Log in first";
    case 403:
        return "Not allowed";
    case 404:
        return "There is nothing here";
    case 405:
        return "Method not allowed";
    case 413:
        return "Too big";
    case 502:
        return "The identity provider answered badly";
    case 503:
        return "Try again shortly";
    default:
        return "Something went wrong here";
    }
}

static bool
wants_page(struct gh_idpd_request *r)
{
    struct gh_slice accept = gh_idpd_header(r, "Accept");

    return accept.len > 0 &&
           memmem(accept.data, accept.len, "text/html", 9) != NULL;
}

static void
problem_page(struct gh_idpd_request *r, unsigned status, const char *code,
             const char *again, const char *detail)
{
    struct gh_buffer html = GH_BUFFER_INIT;

    gh_buffer_text(&html, "<p>");
    escaped(&html, detail, false);
    gh_buffer_text(&html, "</p>");
    if (again != NULL) {
        gh_buffer_text(&html, "<p><a href=\"");
        escaped(&html, again, false);
        gh_buffer_text(&html, "\">Try again</a></p>");
    }
    gh_buffer_printf(&html, "<p><small>%u %s</small></p>", status, code);
    gh_idpd_page(r, status, title_of(status),
                 html.failed ? "" : gh_buffer_string(&html));
    gh_buffer_finish(&html);
}

static void
problem_json(struct gh_idpd_request *r, unsigned status, const char *code,
             const char *detail)
{
    struct gh_buffer *b = &r->answer->body;

    r->answer->status = status;
    r->answer->type = "application/problem+json";
    gh_buffer_clear(b);
    gh_buffer_printf(b,
                     "{\"type\":\"about:blank\",\"title\":\"%s\","
                     "\"status\":%u,\"code\":\"%s\",\"detail\":\"",
                     title_of(status), status, code);
    escaped(b, detail, true);
    gh_buffer_text(b, "\"}");
}

void
gh_idpd_problem(struct gh_idpd_request *r, unsigned status, const char *code,
                const char *again, const char *fmt, ...)
{
    char detail[GH_ERROR_MESSAGE];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(detail, sizeof(detail), fmt, ap);
    va_end(ap);
    gh_log(status >= 500 ? GH_LOG_WARN : GH_LOG_INFO, "%s %.*s: %u %s",
           r->method, (int)(r->path.len < 200 ? r->path.len : 200),
           (const char *)r->path.data, status, code);
    if (status == 503)
        gh_idpd_set(r, "Retry-After", "2");
    if (wants_page(r))
        problem_page(r, status, code, again, detail);
    else
        problem_json(r, status, code, detail);
}

void
gh_idpd_failed(struct gh_idpd_request *r, const char *code,
               const struct gh_error *e)
{
    /* what failed inside is for the log, not for strangers */
    gh_log(GH_LOG_ERROR, "%s: %s", code, e->message);
    switch (e->code) {
    case GH_EUNAVAILABLE:
        gh_idpd_problem(r, 503, code, NULL,
                        "A part that is needed for this does not answer.");
        break;
    case GH_EINVAL:
        gh_idpd_problem(r, 400, code, NULL, "%s", e->message);
        break;
    default:
        gh_idpd_problem(r, 500, code, NULL,
                        "The log of gatehouse-idp says "
                        "what went wrong.");
    }
}
