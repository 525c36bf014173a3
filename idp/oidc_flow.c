/* SPDX-License-Identifier: Apache-2.0 */
/* From "log in" to "spend this code". */
#include "encode.h"
#include "oidc.h"

#include <stdlib.h>

#define FORMAT 1
#define QUERY_MAX 16384
#define CODE_MAX 4096
#define CLOCK_MS 60000 /* a flow begun by a host whose clock is ahead */

static const struct {
    const char *name;
    unsigned status;
} faults[GH_OIDC_FAULTS] = {
#define ROW(fault, name, status, text) {name, status},
    GH_OIDC_FAULT_TABLE(ROW)
#undef ROW
};

const char *
gh_oidc_fault_name(enum gh_oidc_fault f)
{
    return (unsigned)f < GH_OIDC_FAULTS ? faults[f].name : "unknown";
}

unsigned
gh_oidc_fault_status(enum gh_oidc_fault f)
{
    return (unsigned)f < GH_OIDC_FAULTS ? faults[f].status : 500;
}

void
gh_oidc_begin(const struct gh_idp *idp, struct gh_slice return_path,
              const unsigned char random[GH_OIDC_RANDOM_SIZE], uint64_t now_ms,
              struct gh_oidc_flow *out)
{
    gh_base64url_encode(gh_slice(random, 32), out->state);
    gh_base64url_encode(gh_slice(random + 32, 32), out->nonce);
    gh_base64url_encode(gh_slice(random + 64, 32), out->verifier);
    out->begin_ms = now_ms;
    out->provider = idp->name;
    out->return_path =
        gh_oidc_return_valid(return_path) ? return_path : gh_slice_str("/");
}

/* "?name=value" or "&name=value", percent-encoded (RFC 3986 unreserved). */
static void
parameter(struct gh_buffer *b, char *before, const char *name,
          struct gh_slice value)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t i;

    gh_buffer_append(b, gh_slice(before, 1));
    *before = '&';
    gh_buffer_text(b, name);
    gh_buffer_text(b, "=");
    for (i = 0; i < value.len; i++) {
        unsigned char c = value.data[i], l = c | 0x20;
        char quoted[3] = {'%', digits[c >> 4], digits[c & 15]};

        if ((l >= 'a' && l <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
            c == '.' || c == '_' || c == '~')
            gh_buffer_append(b, gh_slice(&c, 1));
        else
            gh_buffer_append(b, gh_slice(quoted, 3));
    }
}

static char
first_separator(struct gh_slice url)
{
    return url.len > 0 && memchr(url.data, '?', url.len) != NULL ? '&' : '?';
}

void
gh_oidc_redirect_uri(const struct gh_idp *idp, struct gh_buffer *out)
{
    gh_buffer_append(out, idp->origin);
    gh_buffer_text(out, "/gatehouse/callback/");
    gh_buffer_append(out, idp->name);
}

static bool
has_openid(struct gh_slice scopes)
{
    size_t i, start = 0;

    for (i = 0; i <= scopes.len; i++) {
        if (i < scopes.len && scopes.data[i] != ' ')
            continue;
        if (gh_slice_eq_str(gh_slice(scopes.data + start, i - start), "openid"))
            return true;
        start = i + 1;
    }
    return false;
}

static void
scope(const struct gh_idp *idp, struct gh_buffer *out, char *sep)
{
    struct gh_buffer b = GH_BUFFER_INIT;

    if (idp->scopes.len == 0 || !has_openid(idp->scopes))
        gh_buffer_text(&b, idp->scopes.len == 0 ? "openid" : "openid ");
    gh_buffer_append(&b, idp->scopes);
    parameter(out, sep, "scope", gh_buffer_slice(&b));
    out->failed |= b.failed;
    gh_buffer_finish(&b);
}

int
gh_oidc_authorization_url(const struct gh_idp *idp,
                          const struct gh_oidc_flow *f, struct gh_buffer *out,
                          struct gh_error *e)
{
    struct gh_slice verifier = gh_slice_str(f->verifier);
    struct gh_buffer redirect = GH_BUFFER_INIT;
    unsigned char sum[GH_DIGEST_SIZE];
    char challenge[GH_BASE64URL_SIZE(sizeof(sum))];
    char sep = first_separator(idp->authorization_endpoint);

    if (idp->client_id.len == 0 || idp->origin.len == 0)
        return gh_error_set(e, GH_EDENIED, "%.*s is not set up for login",
                            (int)idp->name.len, (const char *)idp->name.data);
    if (!gh_oidc_url_valid(idp->authorization_endpoint))
        return gh_error_set(e, GH_EUNAVAILABLE,
                            "%.*s has not been discovered yet",
                            (int)idp->name.len, (const char *)idp->name.data);
    gh_sha256(&verifier, 1, sum);
    gh_base64url_encode(gh_slice(sum, sizeof(sum)), challenge);
    gh_oidc_redirect_uri(idp, &redirect);
    gh_buffer_append(out, idp->authorization_endpoint);
    parameter(out, &sep, "response_type", gh_slice_str("code"));
    parameter(out, &sep, "client_id", idp->client_id);
    parameter(out, &sep, "redirect_uri", gh_buffer_slice(&redirect));
    scope(idp, out, &sep);
    parameter(out, &sep, "state", gh_slice_str(f->state));
    parameter(out, &sep, "nonce", gh_slice_str(f->nonce));
    parameter(out, &sep, "code_challenge", gh_slice_str(challenge));
    parameter(out, &sep, "code_challenge_method", gh_slice_str("S256"));
    out->failed |= redirect.failed;
    gh_buffer_finish(&redirect);
    if (out->failed)
        return gh_error_set(e, GH_ENOMEM, "authorization URL: no memory");
    return 0;
}

int
gh_oidc_logout_url(const struct gh_idp *idp, struct gh_slice id_token,
                   struct gh_slice return_url, struct gh_buffer *out,
                   struct gh_error *e)
{
    char sep = first_separator(idp->end_session_endpoint);

    if (!gh_oidc_url_valid(idp->end_session_endpoint))
        return gh_error_set(e, GH_ENOTFOUND, "%.*s has no logout",
                            (int)idp->name.len, (const char *)idp->name.data);
    gh_buffer_append(out, idp->end_session_endpoint);
    if (id_token.len > 0)
        parameter(out, &sep, "id_token_hint", id_token);
    parameter(out, &sep, "client_id", idp->client_id);
    parameter(out, &sep, "post_logout_redirect_uri", return_url);
    if (out->failed)
        return gh_error_set(e, GH_ENOMEM, "logout URL: no memory");
    return 0;
}

int
gh_oidc_flow_seal(const struct gh_seal *s, const struct gh_oidc_flow *f,
                  struct gh_buffer *out, struct gh_error *e)
{
    struct gh_buffer plain = GH_BUFFER_INIT, sealed = GH_BUFFER_INIT;
    char *text = NULL;
    int rc;

    gh_write_u8(&plain, FORMAT);
    gh_write_u64(&plain, f->begin_ms);
    gh_write_bytes(&plain, gh_slice_str(f->state));
    gh_write_bytes(&plain, gh_slice_str(f->nonce));
    gh_write_bytes(&plain, gh_slice_str(f->verifier));
    gh_write_bytes(&plain, f->return_path);
    rc = plain.failed ? gh_error_set(e, GH_ENOMEM, "login state: no memory")
                      : gh_seal_close(s, f->provider, gh_buffer_slice(&plain),
                                      &sealed, e);
    if (rc == 0) {
        text = malloc(GH_BASE64URL_SIZE(sealed.len));
        if (text != NULL)
            gh_buffer_append(
                out, gh_slice(text, gh_base64url_encode(
                                        gh_buffer_slice(&sealed), text)));
        if (text == NULL || out->failed)
            rc = gh_error_set(e, GH_ENOMEM, "login state: no memory");
    }
    free(text);
    gh_buffer_finish(&plain);
    gh_buffer_finish(&sealed);
    return rc;
}

/* A token of ours into its field. */
static bool
token(struct gh_reader *r, char out[GH_OIDC_TOKEN_LEN + 1])
{
    struct gh_slice s = gh_read_bytes(r);

    return s.len == GH_OIDC_TOKEN_LEN &&
           gh_slice_copy(s, out, GH_OIDC_TOKEN_LEN + 1) == 0;
}

enum gh_oidc_fault
gh_oidc_flow_open(const struct gh_seal *s, struct gh_slice provider,
                  struct gh_slice cookie, const struct gh_alloc *a,
                  struct gh_oidc_flow *out)
{
    unsigned char *sealed;
    struct gh_oidc_flow f;
    struct gh_slice plain;
    struct gh_reader r;
    struct gh_error e;
    ssize_t n;

    if (cookie.len == 0 || cookie.len > 4096)
        return GH_OIDC_NO_FLOW;
    sealed = gh_get(a, cookie.len);
    if (sealed == NULL)
        return GH_OIDC_NO_MEMORY;
    n = gh_base64url_decode(cookie, sealed, cookie.len);
    if (n < 0)
        return GH_OIDC_NO_FLOW;
    if (gh_seal_open(s, provider, gh_slice(sealed, (size_t)n), a, &plain, &e) !=
        0)
        return e.code == GH_ENOMEM ? GH_OIDC_NO_MEMORY : GH_OIDC_NO_FLOW;
    r = gh_reader(plain);
    if (gh_read_u8(&r) != FORMAT)
        return GH_OIDC_NO_FLOW;
    f.begin_ms = gh_read_u64(&r);
    if (!token(&r, f.state) || !token(&r, f.nonce) || !token(&r, f.verifier))
        return GH_OIDC_NO_FLOW;
    f.return_path = gh_read_bytes(&r);
    if (!gh_reader_done(&r) || !gh_oidc_return_valid(f.return_path))
        return GH_OIDC_NO_FLOW;
    f.provider = provider;
    *out = f;
    return GH_OIDC_OK;
}

/* application/x-www-form-urlencoded -> bytes; no NUL comes out of it. */
static bool
decode(struct gh_slice s, const struct gh_alloc *a, struct gh_slice *out)
{
    unsigned char *p = gh_get(a, s.len + 1);
    size_t i, n = 0;

    if (p == NULL)
        return false;
    for (i = 0; i < s.len; i++) {
        p[n] = s.data[i] == '+' ? ' ' : s.data[i];
        if (s.data[i] == '%') {
            if (s.len - i < 3 || gh_hex_digit(s.data[i + 1]) < 0 ||
                gh_hex_digit(s.data[i + 2]) < 0)
                return false;
            p[n] =
                (unsigned char)(gh_hex_digit(s.data[i + 1]) << 4 | gh_hex_digit(s.data[i + 2]));
            i += 2;
        }
        if (p[n++] == '\0')
            return false;
    }
    *out = gh_slice(p, n);
    return true;
}

static enum gh_oidc_fault
take(struct gh_slice pair, const struct gh_alloc *a, struct gh_oidc_answer *out)
{
    const unsigned char *eq =
        pair.len == 0 ? NULL : memchr(pair.data, '=', pair.len);
    size_t n = eq == NULL ? pair.len : (size_t)(eq - pair.data);
    struct {
        const char *name;
        struct gh_slice *to;
    } known[] = {{"state", &out->state},
                 {"code", &out->code},
                 {"iss", &out->iss},
                 {"error", &out->error}};
    size_t i;

    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (!gh_slice_eq_str(gh_slice(pair.data, n), known[i].name))
            continue;
        if (known[i].to->data != NULL)
            out->doubled = true;
        if (!decode(gh_slice(pair.data + n + (eq != NULL),
                             pair.len - n - (eq != NULL)),
                    a, known[i].to))
            return GH_OIDC_BAD_REQUEST;
    }
    return GH_OIDC_OK;
}

enum gh_oidc_fault
gh_oidc_answer(struct gh_slice query, const struct gh_alloc *a,
               struct gh_oidc_answer *out)
{
    struct gh_oidc_answer answer = {0};
    size_t i, start = 0;

    if (query.len > QUERY_MAX)
        return GH_OIDC_BAD_REQUEST;
    for (i = 0; i <= query.len; i++) {
        if (i < query.len && query.data[i] != '&')
            continue;
        if (i > start && take(gh_slice(query.data + start, i - start), a,
                              &answer) != GH_OIDC_OK)
            return GH_OIDC_BAD_REQUEST;
        start = i + 1;
    }
    *out = answer;
    return GH_OIDC_OK;
}

/* The person or the provider's policy said no; the rest are faults. */
static bool
is_refusal(struct gh_slice error)
{
    static const char *const said_no[] = {"access_denied",
                                          "login_required",
                                          "consent_required",
                                          "interaction_required",
                                          "account_selection_required",
                                          NULL};
    size_t i;

    for (i = 0; said_no[i] != NULL; i++)
        if (gh_slice_eq_str(error, said_no[i]))
            return true;
    return false;
}

enum gh_oidc_fault
gh_oidc_callback(const struct gh_idp *idp, const struct gh_oidc_flow *f,
                 const struct gh_oidc_answer *answer, uint64_t now_ms)
{
    if (answer->doubled || answer->state.len == 0)
        return GH_OIDC_BAD_REQUEST;
    if (!gh_slice_eq_secret(answer->state, gh_slice_str(f->state)))
        return GH_OIDC_WRONG_STATE;
    if (!gh_slice_eq(f->provider, idp->name))
        return GH_OIDC_WRONG_PROVIDER;
    if (f->begin_ms > now_ms + CLOCK_MS ||
        now_ms > f->begin_ms + GH_OIDC_FLOW_MS)
        return GH_OIDC_FLOW_EXPIRED;
    if (answer->iss.data != NULL ? !gh_slice_eq(answer->iss, idp->issuer)
                                 : idp->require_iss)
        return GH_OIDC_WRONG_PROVIDER;
    if (answer->error.len > 0)
        return is_refusal(answer->error) ? GH_OIDC_REFUSED
                                         : GH_OIDC_PROVIDER_ERROR;
    if (answer->code.len == 0 || answer->code.len > CODE_MAX)
        return GH_OIDC_BAD_REQUEST;
    return GH_OIDC_OK;
}
