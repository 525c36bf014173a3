/* SPDX-License-Identifier: Apache-2.0 */
/* A login as values: where it may lead, and every answer that ends it. */
#include "jwt_maker.h"
#include "oidc.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define S(text) gh_slice_str(text)
#define KID "{\"alg\":\"RS256\",\"kid\":\"r\"}"

static struct maker m;
static struct gh_arena arena;
static struct gh_alloc a;
static struct gh_public_key keys[1];
static struct gh_jwt_keys *parsed;
static struct gh_idp idp;
static struct gh_oidc_flow flow;
static struct gh_seal seal;

static int
setup(void **state)
{
    unsigned char random[GH_OIDC_RANDOM_SIZE];
    struct gh_secret secret;
    size_t i;

    maker_init(&m);
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    memset(secret.root, 3, sizeof(secret.root));
    for (i = 0; i < sizeof(random); i++)
        random[i] = (unsigned char)i;
    idp.name = S("lemon");
    idp.version = 4;
    idp.issuer = S("https://idp.example/");
    idp.algs = GH_ALG_RS256;
    idp.client_id = S("gatehouse");
    idp.scopes = S("openid profile");
    idp.origin = S("https://api.example:8443");
    idp.user_claim = S("sub");
    idp.client_claim = S("azp");
    idp.roles_claim = S("roles");
    idp.authorization_endpoint = S("https://idp.example/oauth2/authorize");
    idp.end_session_endpoint = S("https://idp.example/oauth2/logout?x=1");
    idp.keys = keys;
    idp.nkeys = 1;
    gh_oidc_begin(&idp, S("/httpbin/get?a=b"), random, MAKER_NOW, &flow);
    return gh_seal_init(&seal, &secret, "login-state", NULL) ||
           gh_jwk_import(S(maker_jwk(m.rsa, ",\"kid\":\"r\"")), &a, &keys[0],
                         NULL) ||
           gh_jwt_keys_create(&idp, &parsed, NULL);
}

static int
teardown(void **state)
{
    gh_jwt_keys_destroy(parsed);
    gh_arena_finish(&arena);
    maker_finish(&m);
    return 0;
}

static void
a_browser_returns_only_to_a_path_of_ours(void **state)
{
    static const char *const good[] = {
        "/",      "/a",       "/a/",         "/a/b?x=//e&y=..",
        "/a%20b", "/a;v=1/b", "/gatehouses", "/a?next=https://e/"};
    static const char *const bad[] = {"",
                                      "a",
                                      "//e",
                                      "/\\e",
                                      "\\/e",
                                      "https:e",
                                      "https://e",
                                      "e@",
                                      "/a\r\nX",
                                      "/a\tb",
                                      "/a b",
                                      "/a#b",
                                      "/\x7f",
                                      "/\xc3\xa9",
                                      "/..",
                                      "/../e",
                                      "/a/..",
                                      "/a/./b",
                                      "/%2e%2e/e",
                                      "/a/%2E/b",
                                      "/a%2fb",
                                      "/a%5cb",
                                      "/a%00b",
                                      "/a%0ab",
                                      "/a%zz",
                                      "/a%2",
                                      "/a%252fb",
                                      "/a//b",
                                      "/..;x/e",
                                      "/gatehouse",
                                      "/gatehouse/logout",
                                      "/gatehouse;x/logout",
                                      "/%67atehouse/logout",
                                      "javascript:alert(1)",
                                      "data:x"};
    char big[GH_OIDC_RETURN_MAX + 2];
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!gh_oidc_return_valid(S(good[i])))
            fail_msg("refused: %s", good[i]);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (gh_oidc_return_valid(S(bad[i])))
            fail_msg("let through: %s", bad[i]);
    assert_false(gh_oidc_return_valid(gh_slice("/a\0b", 4)));
    memset(big, 'a', sizeof(big));
    big[0] = '/';
    assert_true(gh_oidc_return_valid(gh_slice(big, GH_OIDC_RETURN_MAX)));
    assert_false(gh_oidc_return_valid(gh_slice(big, GH_OIDC_RETURN_MAX + 1)));
}

static void
we_talk_to_https_or_to_loopback(void **state)
{
    static const char *const good[] = {"https://e",
                                       "https://e.example:8443/a?b=c",
                                       "http://127.0.0.1:80/",
                                       "http://localhost/",
                                       "http://auth.localhost:1/",
                                       "http://[::1]:8080/",
                                       "https://[2001:db8::1]/"};
    static const char *const bad[] = {"",
                                      "https://",
                                      "https:///a",
                                      "http://e/",
                                      "http://10.0.0.1/",
                                      "http://127.0.0.1.e/",
                                      "http://127.1/",
                                      "http://localhost.e/",
                                      "http://evillocalhost/",
                                      "https://u@e/",
                                      "https://u:p@e/",
                                      "https://e\\@f/",
                                      "https://e/#f",
                                      "https://e/ ",
                                      "https://e:0/",
                                      "https://e:99999/",
                                      "https://e:/",
                                      "ftp://e/",
                                      "HTTPS://e/",
                                      "file:///etc/passwd",
                                      "https://[::1",
                                      "https://e\r\n",
                                      "gopher://e"};
    size_t i;

    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!gh_oidc_url_valid(S(good[i])))
            fail_msg("refused: %s", good[i]);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (gh_oidc_url_valid(S(bad[i])))
            fail_msg("let through: %s", bad[i]);
}

static void
the_request_carries_state_nonce_and_challenge(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_slice verifier = S(flow.verifier);
    unsigned char sum[32];
    char challenge[64], want[128];

    assert_int_equal(gh_oidc_authorization_url(&idp, &flow, &b, NULL), 0);
    gh_sha256(&verifier, 1, sum);
    gh_base64url_encode(gh_slice(sum, 32), challenge);
    snprintf(want, sizeof(want),
             "&code_challenge=%s&code_challenge_method=S256", challenge);
    assert_non_null(strstr(gh_buffer_string(&b), want));
    assert_non_null(strstr(gh_buffer_string(&b),
                           "https://idp.example/oauth2/authorize?response_type="
                           "code&client_id=gatehouse&redirect_uri=https%3A%2F%"
                           "2Fapi.example%3A8443%2Fgatehouse%2Fcallback%2Flemon"
                           "&scope=openid%20profile&state="));
    assert_null(strstr(gh_buffer_string(&b), flow.verifier));
    assert_string_not_equal(flow.state, flow.nonce);
    assert_string_not_equal(flow.nonce, flow.verifier);
    gh_buffer_finish(&b);
}

static void
a_provider_without_client_or_endpoint_has_no_login(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_idp x = idp;
    struct gh_error e;

    x.client_id = S("");
    assert_int_equal(gh_oidc_authorization_url(&x, &flow, &b, &e), -1);
    assert_int_equal(e.code, GH_EDENIED);
    x = idp;
    x.authorization_endpoint = S("");
    assert_int_equal(gh_oidc_authorization_url(&x, &flow, &b, &e), -1);
    assert_int_equal(e.code, GH_EUNAVAILABLE);
    assert_int_equal(b.len, 0);
}

static void
logout_asks_the_provider_too(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_idp none = idp;
    struct gh_error e;

    assert_int_equal(
        gh_oidc_logout_url(&idp, S("e.y.J"), S("https://a/"), &b, NULL), 0);
    assert_string_equal(gh_buffer_string(&b),
                        "https://idp.example/oauth2/logout?x=1&id_token_hint="
                        "e.y.J&client_id=gatehouse&post_logout_redirect_uri="
                        "https%3A%2F%2Fa%2F");
    none.end_session_endpoint = S("");
    assert_int_equal(gh_oidc_logout_url(&none, S(""), S("/"), &b, &e), -1);
    assert_int_equal(e.code, GH_ENOTFOUND);
    gh_buffer_finish(&b);
}

static void
the_flow_comes_back_only_whole_and_to_its_provider(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_oidc_flow back;
    size_t i;

    assert_int_equal(gh_oidc_flow_seal(&seal, &flow, &b, NULL), 0);
    assert_true(b.len < 4000);
    assert_int_equal(
        gh_oidc_flow_open(&seal, S("lemon"), gh_buffer_slice(&b), &a, &back),
        GH_OIDC_OK);
    assert_string_equal(back.state, flow.state);
    assert_string_equal(back.nonce, flow.nonce);
    assert_string_equal(back.verifier, flow.verifier);
    assert_true(gh_slice_eq_str(back.return_path, "/httpbin/get?a=b"));
    assert_int_equal(
        gh_oidc_flow_open(&seal, S("other"), gh_buffer_slice(&b), &a, &back),
        GH_OIDC_NO_FLOW);
    for (i = 0; i < b.len; i++) {
        assert_int_equal(gh_oidc_flow_open(&seal, S("lemon"),
                                           gh_slice(b.data, i), &a, &back),
                         GH_OIDC_NO_FLOW);
        b.data[i] ^= 1;
        assert_int_equal(gh_oidc_flow_open(&seal, S("lemon"),
                                           gh_buffer_slice(&b), &a, &back),
                         GH_OIDC_NO_FLOW);
        b.data[i] ^= 1;
    }
    gh_buffer_finish(&b);
}

static enum gh_oidc_fault
callback(const char *query_format, const char *state_text, uint64_t now)
{
    struct gh_oidc_answer answer;
    enum gh_oidc_fault f;
    char query[600];

    snprintf(query, sizeof(query), query_format, state_text);
    f = gh_oidc_answer(S(query), &a, &answer);
    return f != GH_OIDC_OK ? f : gh_oidc_callback(&idp, &flow, &answer, now);
}

static void
a_code_is_spent_only_for_our_own_fresh_state(void **state)
{
    char other[GH_OIDC_TOKEN_LEN + 1];

    strcpy(other, flow.state);
    other[0] ^= 1;
    assert_int_equal(callback("code=c&state=%s", flow.state, MAKER_NOW + 1),
                     GH_OIDC_OK);
    assert_int_equal(callback("code=c&state=%s", other, MAKER_NOW),
                     GH_OIDC_WRONG_STATE);
    assert_int_equal(callback("code=c%s", "", MAKER_NOW), GH_OIDC_BAD_REQUEST);
    assert_int_equal(callback("code=c&state=%s", "", MAKER_NOW),
                     GH_OIDC_BAD_REQUEST);
    assert_int_equal(callback("state=%s", flow.state, MAKER_NOW),
                     GH_OIDC_BAD_REQUEST);
    assert_int_equal(callback("code=&state=%s", flow.state, MAKER_NOW),
                     GH_OIDC_BAD_REQUEST);
    assert_int_equal(callback("code=c&code=d&state=%s", flow.state, MAKER_NOW),
                     GH_OIDC_BAD_REQUEST);
    assert_int_equal(callback("code=%%00&state=%s", flow.state, MAKER_NOW),
                     GH_OIDC_BAD_REQUEST);
    assert_int_equal(callback("code=%%zz&state=%s", flow.state, MAKER_NOW),
                     GH_OIDC_BAD_REQUEST);
    assert_int_equal(
        callback("code=c&state=%s", flow.state, MAKER_NOW + GH_OIDC_FLOW_MS),
        GH_OIDC_OK);
    assert_int_equal(callback("code=c&state=%s", flow.state,
                              MAKER_NOW + GH_OIDC_FLOW_MS + 1),
                     GH_OIDC_FLOW_EXPIRED);
    assert_int_equal(callback("code=c&state=%s", flow.state, 0),
                     GH_OIDC_FLOW_EXPIRED);
}

static void
the_issuer_parameter_prevents_mix_up(void **state)
{
    assert_int_equal(callback("code=c&iss=https%%3A%%2F%%2Fidp.example%%2F"
                              "&state=%s",
                              flow.state, MAKER_NOW),
                     GH_OIDC_OK);
    assert_int_equal(
        callback("code=c&iss=https://evil/&state=%s", flow.state, MAKER_NOW),
        GH_OIDC_WRONG_PROVIDER);
    assert_int_equal(callback("code=c&iss=&state=%s", flow.state, MAKER_NOW),
                     GH_OIDC_WRONG_PROVIDER);
    idp.require_iss = true;
    assert_int_equal(callback("code=c&state=%s", flow.state, MAKER_NOW),
                     GH_OIDC_WRONG_PROVIDER);
    idp.require_iss = false;
}

static void
a_provider_may_say_no(void **state)
{
    assert_int_equal(
        callback("error=access_denied&state=%s", flow.state, MAKER_NOW),
        GH_OIDC_REFUSED);
    assert_int_equal(
        callback("error=server_error&state=%s", flow.state, MAKER_NOW),
        GH_OIDC_PROVIDER_ERROR);
    assert_int_equal(callback("error=access_denied&state=%s", "x", MAKER_NOW),
                     GH_OIDC_WRONG_STATE);
}

static enum gh_oidc_fault
id_token(const char *rest, enum gh_jwt_fault *jwt)
{
    struct gh_oidc_tokens tokens;
    struct gh_identity id;
    char claims[1024];
    enum gh_oidc_fault f;
    char *t;

    snprintf(claims, sizeof(claims), rest, flow.nonce);
    t = maker_token(m.rsa, KID, claims);
    tokens.id_token = S(t);
    tokens.access_token = S("access");
    f = gh_oidc_id_token(parsed, &idp, &flow, &tokens, MAKER_NOW, &a, &id, jwt);
    free(t);
    return f;
}

#define ISS "\"iss\":\"https://idp.example/\""
#define TIMES "\"iat\":1699999990,\"exp\":1700000300"
#define OURS "\"aud\":\"gatehouse\""
#define NONCE "\"nonce\":\"%s\""
#define SUB "\"sub\":\"alice\""

static void
an_id_token_is_ours_or_refused(void **state)
{
    enum gh_jwt_fault j;

    assert_int_equal(
        id_token("{" ISS "," TIMES "," OURS "," NONCE "," SUB "}", &j),
        GH_OIDC_OK);
    assert_int_equal(
        id_token("{" ISS "," TIMES "," OURS ",\"nonce\":\"x%s\"," SUB "}", &j),
        GH_OIDC_WRONG_NONCE);
    assert_int_equal(id_token("{" ISS "," TIMES "," OURS "," SUB "}", &j),
                     GH_OIDC_WRONG_NONCE);
    assert_int_equal(id_token("{" TIMES "," OURS "," NONCE "," SUB "}", &j),
                     GH_OIDC_ID_TOKEN);
    assert_int_equal(j, GH_JWT_WRONG_ISSUER);
    assert_int_equal(id_token("{" ISS "," TIMES "," NONCE "," SUB "}", &j),
                     GH_OIDC_ID_TOKEN);
    assert_int_equal(j, GH_JWT_WRONG_AUDIENCE);
    assert_int_equal(
        id_token("{" ISS "," TIMES ",\"aud\":\"x\"," NONCE "," SUB "}", &j),
        GH_OIDC_ID_TOKEN);
    assert_int_equal(j, GH_JWT_WRONG_AUDIENCE);
    assert_int_equal(
        id_token("{" ISS ",\"iat\":1," OURS "," NONCE "," SUB "}", &j),
        GH_OIDC_ID_TOKEN);
    assert_int_equal(j, GH_JWT_NO_EXPIRY);
    assert_int_equal(id_token("{" ISS ",\"iat\":1,\"exp\":1e300," OURS "," NONCE
                              "," SUB "}",
                              &j),
                     GH_OIDC_ID_TOKEN);
    assert_int_equal(j, GH_JWT_BAD_TIME);
    assert_int_equal(
        id_token("{" ISS ",\"exp\":1700000300," OURS "," NONCE "," SUB "}", &j),
        GH_OIDC_ID_TOKEN);
    assert_int_equal(j, GH_JWT_BAD_TIME);
    assert_int_equal(id_token("{" ISS "," TIMES "," OURS "," NONCE "}", &j),
                     GH_OIDC_NO_SUBJECT);
}

static void
azp_names_us(void **state)
{
    enum gh_jwt_fault j;

#define WITH(x) "{" ISS "," TIMES "," NONCE "," SUB "," x "}"
    assert_int_equal(id_token(WITH(OURS ",\"azp\":\"gatehouse\""), &j),
                     GH_OIDC_OK);
    assert_int_equal(id_token(WITH(OURS ",\"azp\":\"other\""), &j),
                     GH_OIDC_WRONG_PARTY);
    assert_int_equal(id_token(WITH(OURS ",\"azp\":7"), &j),
                     GH_OIDC_WRONG_PARTY);
    assert_int_equal(id_token(WITH("\"aud\":[\"gatehouse\",\"x\"]"), &j),
                     GH_OIDC_WRONG_PARTY);
    assert_int_equal(id_token(WITH("\"aud\":[\"gatehouse\",\"x\"],\"azp\":"
                                   "\"gatehouse\""),
                              &j),
                     GH_OIDC_OK);
}

static void
at_hash_ties_the_access_token(void **state)
{
    struct gh_slice access = S("access");
    unsigned char sum[32];
    char hash[64], rest[512];
    enum gh_jwt_fault j;

    gh_sha256(&access, 1, sum);
    gh_base64url_encode(gh_slice(sum, 16), hash);
    snprintf(rest, sizeof(rest),
             "{" ISS "," TIMES "," OURS "," SUB ",\"nonce\":\"%%s\","
             "\"at_hash\":\"%s\"}",
             hash);
    assert_int_equal(id_token(rest, &j), GH_OIDC_OK);
    assert_int_equal(id_token(WITH(OURS ",\"at_hash\":\"AAAA\""), &j),
                     GH_OIDC_WRONG_HASH);
    assert_int_equal(id_token(WITH(OURS ",\"at_hash\":7"), &j),
                     GH_OIDC_WRONG_HASH);
}

static void
the_token_answer_is_what_the_rfc_says(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"error\":\"invalid_grant\"}",
        "{\"access_token\":\"a\",\"token_type\":\"Bearer\"}",
        "{\"id_token\":\"a\",\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"id_token\":\"b\",\"token_type\":\"mac\"}",
        "{\"access_token\":\"a\",\"id_token\":\"b\"}",
        "{\"access_token\":1,\"id_token\":\"b\",\"token_type\":\"Bearer\"}",
        "{\"access_token\":\"a\",\"id_token\":\"b\",\"id_token\":\"c\","
        "\"token_type\":\"Bearer\"}"};
    struct gh_oidc_tokens t;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(gh_oidc_tokens(S(bad[i]), &a, &t), GH_OIDC_BAD_TOKENS);
    assert_int_equal(gh_oidc_tokens(S("{\"access_token\":\"a\",\"id_token\":"
                                      "\"b\",\"token_type\":\"bearer\"}"),
                                    &a, &t),
                     GH_OIDC_OK);
    assert_true(gh_slice_eq_str(t.id_token, "b"));
}

static void
userinfo_adds_claims_of_the_same_person(void **state)
{
    struct gh_identity id = {0};
    char out[64];

    id.subject = S("alice");
    assert_int_equal(gh_oidc_userinfo(&idp, S("{\"sub\":\"bob\"}"), &a, &id),
                     GH_OIDC_WRONG_SUBJECT);
    assert_int_equal(gh_oidc_userinfo(&idp, S("{\"email\":\"x\"}"), &a, &id),
                     GH_OIDC_WRONG_SUBJECT);
    assert_int_equal(id.nclaims, 0);
    assert_int_equal(
        gh_oidc_userinfo(&idp,
                         S("{\"sub\":\"alice\",\"email\":\"x\",\"roles\":["
                           "\"staff\"]}"),
                         &a, &id),
        GH_OIDC_OK);
    assert_true(gh_identity_has_role(&id, S("staff")));
    assert_int_equal(gh_identity_header(&id, S("email"), out, 64), 1);
    /* what is known already stays */
    assert_int_equal(
        gh_oidc_userinfo(&idp,
                         S("{\"sub\":\"alice\",\"email\":\"y\",\"roles\":["
                           "\"admin\"],\"city\":\"z\"}"),
                         &a, &id),
        GH_OIDC_OK);
    assert_false(gh_identity_has_role(&id, S("admin")));
    assert_int_equal(gh_identity_header(&id, S("email"), out, 64), 1);
    assert_int_equal(out[0], 'x');
    assert_int_equal(gh_identity_header(&id, S("city"), out, 64), 1);
}

#define DISCOVERY                                                              \
    "{\"issuer\":\"https://idp.example/\",\"authorization_endpoint\":"         \
    "\"https://idp.example/a\",\"token_endpoint\":\"https://idp.example/t\","  \
    "\"jwks_uri\":\"https://idp.example/j\"%s}"

static int
discover(const char *rest, struct gh_oidc_discovery *d)
{
    char text[1000];

    snprintf(text, sizeof(text), DISCOVERY, rest);
    return gh_oidc_discovery(S(text), idp.issuer, &a, d, NULL);
}

static void
discovery_is_of_our_issuer_and_https(void **state)
{
    struct gh_oidc_discovery d;
    struct gh_buffer b = GH_BUFFER_INIT;

    assert_int_equal(discover("", &d), 0);
    assert_false(d.require_iss);
    assert_int_equal(d.auth_methods, GH_OIDC_AUTH_BASIC);
    assert_int_equal(
        discover(",\"authorization_response_iss_parameter_supported\":true,"
                 "\"token_endpoint_auth_methods_supported\":["
                 "\"client_secret_post\",\"none\"]",
                 &d),
        0);
    assert_true(d.require_iss);
    assert_int_equal(d.auth_methods, GH_OIDC_AUTH_POST | GH_OIDC_AUTH_NONE);
    assert_int_equal(discover(",\"userinfo_endpoint\":\"http://e/\"", &d), -1);
    assert_int_equal(
        discover(",\"userinfo_endpoint\":\"http://127.0.0.1/\"", &d), -1);
    assert_int_equal(discover(",\"userinfo_endpoint\":7", &d), -1);
    assert_int_equal(discover(",\"issuer\":\"https://idp.example/\"", &d), -1);
    assert_int_equal(
        discover(",\"response_types_supported\":[\"id_token\"]", &d), -1);
    assert_int_equal(gh_oidc_discovery(S("{\"issuer\":\"https://evil/\"}"),
                                       idp.issuer, &a, &d, NULL),
                     -1);
    assert_int_equal(gh_oidc_discovery(S("{}"), S("http://e/"), &a, &d, NULL),
                     -1);
    gh_oidc_discovery_url(S("https://e/x"), &b);
    assert_string_equal(gh_buffer_string(&b),
                        "https://e/x/.well-known/openid-configuration");
    gh_buffer_finish(&b);
}

static void
what_was_discovered_travels_to_control(void **state)
{
    const struct gh_public_key *k;
    struct gh_buffer b = GH_BUFFER_INIT;
    struct gh_oidc_discovery d, back;
    char *text;
    size_t n;

    assert_int_equal(discover("", &d), 0);
    d.require_iss = true;
    assert_int_equal(gh_oidc_discovered_write(&d, keys, 1, &b, NULL), 0);
    /* whose it is, so that control refuses it when that has changed */
    assert_non_null(strstr(gh_buffer_string(&b), "{\"issuer\":\"https:"));
    assert_int_equal(
        gh_oidc_discovered_read(gh_buffer_slice(&b), &a, &back, &k, &n, NULL),
        0);
    assert_int_equal(n, 1);
    assert_true(gh_slice_eq(k[0].kid, keys[0].kid));
    assert_true(gh_slice_eq(k[0].jwk, keys[0].jwk));
    assert_int_equal(k[0].algs, keys[0].algs);
    assert_true(back.require_iss);
    assert_true(gh_slice_eq(back.jwks_uri, d.jwks_uri));
    /* and a key that control must not store is refused there too */
    text = strdup(gh_buffer_string(&b));
    memcpy(strstr(text, "\"RSA\""), "\"oct\"", 5);
    assert_int_equal(gh_oidc_discovered_read(S(text), &a, &back, &k, &n, NULL),
                     -1);
    free(text);
    gh_buffer_finish(&b);
}

static int
import(const char *jwk, struct gh_public_key *out)
{
    return gh_jwk_import(S(jwk), &a, out, NULL);
}

static void
keys_are_checked_when_they_are_stored(void **state)
{
    struct gh_public_key k;
    EVP_PKEY *small = EVP_RSA_gen(1024);
    char *t;

    assert_int_equal(import(maker_jwk(m.rsa, ",\"kid\":\"a\",\"use\":\"sig\","
                                             "\"d\":\"AQAB\",\"p\":\"AQAB\""),
                            &k),
                     0);
    assert_null(memmem(k.jwk.data, k.jwk.len, "\"d\"", 3));
    assert_null(memmem(k.jwk.data, k.jwk.len, "\"p\"", 3));
    assert_int_equal(k.algs, GH_ALG_RS256 | GH_ALG_PS256);
    assert_int_equal(import(maker_jwk(m.rsa, ",\"alg\":\"PS256\""), &k), 0);
    assert_int_equal(k.algs, GH_ALG_PS256);
    assert_int_equal(gh_jwk_import(k.jwk, &a, &k, NULL), 0);
    assert_int_equal(k.algs, GH_ALG_PS256);
    assert_int_equal(import(maker_jwk(m.ec, ""), &k), 0);
    assert_int_equal(k.algs, GH_ALG_ES256);
    assert_int_equal(import(maker_jwk(m.ed, ""), &k), 0);
    assert_int_equal(k.algs, GH_ALG_EDDSA);
    assert_int_equal(import(maker_jwk(m.rsa, ",\"use\":\"enc\""), &k), -1);
    assert_int_equal(import(maker_jwk(m.rsa, ",\"key_ops\":[\"sign\"]"), &k),
                     -1);
    assert_int_equal(import(maker_jwk(m.rsa, ",\"key_ops\":[\"verify\"]"), &k),
                     0);
    assert_int_equal(import(maker_jwk(m.rsa, ",\"alg\":\"RS512\""), &k), -1);
    assert_int_equal(import(maker_jwk(m.rsa, ",\"alg\":\"ES256\""), &k), -1);
    assert_int_equal(import(maker_jwk(m.rsa, ",\"kid\":7"), &k), -1);
    assert_int_equal(import(maker_jwk(m.rsa, ",\"n\":\"AQ\""), &k), -1);
    assert_int_equal(import(maker_jwk(m.ec384, ""), &k), -1);
    assert_int_equal(import(maker_jwk(small, ""), &k), -1);
    assert_int_equal(import("{\"kty\":\"oct\",\"k\":\"AAAA\"}", &k), -1);
    assert_int_equal(
        import("{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"\"}", &k), -1);
    assert_int_equal(import("{}", &k), -1);
    t = strdup(maker_jwk(m.ec, ""));
    strstr(t, "\"y\":\"")[9] ^= 1; /* a point off the curve */
    assert_int_equal(import(t, &k), -1);
    free(t);
    t = strdup(maker_jwk(m.rsa, ""));
    memcpy(strstr(t, "AQAB"), "AQAA", 4); /* an even exponent */
    assert_int_equal(import(t, &k), -1);
    free(t);
    EVP_PKEY_free(small);
}

static void
a_set_gives_its_usable_keys(void **state)
{
    const struct gh_public_key *k;
    size_t n, skipped;
    char *rsa = strdup(maker_jwk(m.rsa, ",\"kid\":\"a\""));
    char *ec = strdup(maker_jwk(m.ec, ",\"kid\":\"a\"")), set[6000];

    snprintf(set, sizeof(set), "{\"keys\":[%s,{\"kty\":\"oct\"},7,%s]}", rsa,
             ec);
    assert_int_equal(gh_jwk_import_set(S(set), &a, &k, &n, &skipped, NULL), 0);
    assert_int_equal(n, 2);
    assert_int_equal(skipped, 2);
    snprintf(set, sizeof(set), "{\"keys\":[%s,%s]}", rsa, rsa);
    assert_int_equal(gh_jwk_import_set(S(set), &a, &k, &n, &skipped, NULL), -1);
    assert_int_equal(
        gh_jwk_import_set(S("{\"keys\":[]}"), &a, &k, &n, &skipped, NULL), -1);
    assert_int_equal(
        gh_jwk_import_set(S("{\"keys\":{}}"), &a, &k, &n, &skipped, NULL), -1);
    assert_int_equal(gh_jwk_import_set(S("{}"), &a, &k, &n, &skipped, NULL),
                     -1);
    free(rsa);
    free(ec);
}

static void
every_fault_has_its_name(void **state)
{
    int i;

    for (i = 0; i < GH_OIDC_FAULTS; i++)
        assert_non_null(gh_oidc_fault_name((enum gh_oidc_fault)i));
    assert_string_equal(gh_oidc_fault_name((enum gh_oidc_fault)99), "unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_browser_returns_only_to_a_path_of_ours),
        cmocka_unit_test(we_talk_to_https_or_to_loopback),
        cmocka_unit_test(the_request_carries_state_nonce_and_challenge),
        cmocka_unit_test(a_provider_without_client_or_endpoint_has_no_login),
        cmocka_unit_test(logout_asks_the_provider_too),
        cmocka_unit_test(the_flow_comes_back_only_whole_and_to_its_provider),
        cmocka_unit_test(a_code_is_spent_only_for_our_own_fresh_state),
        cmocka_unit_test(the_issuer_parameter_prevents_mix_up),
        cmocka_unit_test(a_provider_may_say_no),
        cmocka_unit_test(an_id_token_is_ours_or_refused),
        cmocka_unit_test(azp_names_us),
        cmocka_unit_test(at_hash_ties_the_access_token),
        cmocka_unit_test(the_token_answer_is_what_the_rfc_says),
        cmocka_unit_test(userinfo_adds_claims_of_the_same_person),
        cmocka_unit_test(discovery_is_of_our_issuer_and_https),
        cmocka_unit_test(what_was_discovered_travels_to_control),
        cmocka_unit_test(keys_are_checked_when_they_are_stored),
        cmocka_unit_test(a_set_gives_its_usable_keys),
        cmocka_unit_test(every_fault_has_its_name),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
