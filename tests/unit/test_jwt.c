/* SPDX-License-Identifier: Apache-2.0 */
/* One promise per test: what a token must be, and every way it may fail. */
#include "jwt_maker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>

#include <cmocka.h>

#define S(text) gh_slice_str(text)
#define GOOD                                                                   \
    "{\"iss\":\"https://idp.example/\",\"sub\":\"alice\",\"aud\":\"api\","     \
    "\"azp\":\"mobile\",\"iat\":1699999990,\"exp\":1700000300}"
#define RS "{\"alg\":\"RS256\",\"kid\":\"r\"}"

static struct maker m;
static struct gh_jwt_keys *keys;
static struct gh_arena arena;
static struct gh_alloc a;

static struct gh_public_key
key(EVP_PKEY *k, const char *extra)
{
    struct gh_public_key out;
    struct gh_error e;

    if (gh_jwk_import(S(maker_jwk(k, extra)), &a, &out, &e) != 0)
        fail_msg("%s", e.message);
    return out;
}

static struct gh_idp
provider(struct gh_public_key *list, uint32_t algs)
{
    struct gh_idp idp = {0};

    list[0] = key(m.rsa, ",\"kid\":\"r\"");
    list[1] = key(m.ec, ",\"kid\":\"e\"");
    list[2] = key(m.ed, ",\"kid\":\"d\"");
    list[3] = key(m.rsa2, ",\"kid\":\"p\",\"alg\":\"PS256\"");
    idp.version = 7;
    idp.name = S("lemon");
    idp.issuer = S("https://idp.example/");
    idp.algs = algs;
    idp.skew_ms = 10000;
    idp.user_claim = S("sub");
    idp.client_claim = S("azp");
    idp.roles_claim = S("realm.roles");
    idp.keys = list;
    idp.nkeys = 4;
    return idp;
}

static int
setup(void **state)
{
    struct gh_public_key list[4];
    struct gh_idp idp;

    maker_init(&m);
    gh_arena_init(&arena);
    a = gh_arena_alloc(&arena);
    idp = provider(list,
                   GH_ALG_RS256 | GH_ALG_PS256 | GH_ALG_ES256 | GH_ALG_EDDSA);
    return gh_jwt_keys_create(&idp, &keys, NULL);
}

static int
teardown(void **state)
{
    gh_jwt_keys_destroy(keys);
    gh_arena_finish(&arena);
    maker_finish(&m);
    return 0;
}

static enum gh_jwt_fault
check_text(struct gh_slice token, struct gh_identity *id)
{
    struct gh_identity none;
    struct gh_jwt t;
    enum gh_jwt_fault f = gh_jwt_decode(token, &a, &t);

    if (f == GH_JWT_OK)
        f = gh_jwt_parse(&t);
    if (f != GH_JWT_OK)
        return f;
    f = gh_jwt_verify(keys, &t, MAKER_NOW, &a, id ? id : &none);
    gh_jwt_finish(&t);
    gh_jwt_finish(&t);
    return f;
}

static enum gh_jwt_fault
check(EVP_PKEY *k, const char *header, const char *claims)
{
    char *t = maker_token(k, header, claims);
    enum gh_jwt_fault f = check_text(S(t), NULL);

    free(t);
    return f;
}

#define refused(k, header, claims, why)                                        \
    assert_string_equal(gh_jwt_fault_name(check(k, header, claims)),           \
                        gh_jwt_fault_name(why))

static void
each_algorithm_verifies_with_its_key(void **state)
{
    refused(m.rsa, RS, GOOD, GH_JWT_OK);
    refused(m.rsa, "{\"alg\":\"PS256\",\"kid\":\"r\"}", GOOD, GH_JWT_OK);
    refused(m.rsa2, "{\"alg\":\"PS256\",\"kid\":\"p\"}", GOOD, GH_JWT_OK);
    refused(m.ec, "{\"alg\":\"ES256\",\"kid\":\"e\"}", GOOD, GH_JWT_OK);
    refused(m.ed, "{\"alg\":\"EdDSA\",\"kid\":\"d\"}", GOOD, GH_JWT_OK);
    refused(m.rsa, "{\"typ\":\"JWT\",\"alg\":\"RS256\",\"kid\":\"r\"}", GOOD,
            GH_JWT_OK);
    refused(m.rsa, "{\"typ\":\"at+JWT\",\"alg\":\"RS256\",\"kid\":\"r\"}", GOOD,
            GH_JWT_OK);
}

static void
ecdsa_holds_for_every_length_of_r_and_s(void **state)
{
    int i;

    for (i = 0; i < 600; i++)
        refused(m.ec, "{\"alg\":\"ES256\",\"kid\":\"e\"}", GOOD, GH_JWT_OK);
}

static void
the_identity_says_who_calls(void **state)
{
    char *t = maker_token(
        m.rsa, RS,
        "{\"iss\":\"https://idp.example/\",\"sub\":\"alice\",\"aud\":[\"api\","
        "\"b\"],\"azp\":\"mobile\",\"iat\":1699999990,\"exp\":1700000300,"
        "\"nbf\":1699999000,\"acr\":\"2\",\"sid\":\"s1\",\"age\":7,\"ok\":true,"
        "\"none\":null,\"realm\":{\"roles\":[\"x\",\"a,b\"],\"q\":{\"z\":1}}}");
    struct gh_identity id;
    char out[64];

    assert_int_equal(check_text(S(t), &id), GH_JWT_OK);
    free(t);
    assert_true(gh_slice_eq_str(id.provider, "lemon"));
    assert_true(gh_slice_eq_str(id.subject, "alice"));
    assert_true(gh_slice_eq_str(id.user, "alice"));
    assert_true(gh_slice_eq_str(id.client, "mobile"));
    assert_true(gh_slice_eq_str(id.acr, "2"));
    assert_true(gh_slice_eq_str(id.sid, "s1"));
    assert_int_equal(id.version, 7);
    assert_int_equal(id.naudiences, 2);
    assert_int_equal(id.nroles, 2);
    assert_true(gh_identity_has_role(&id, S("a,b")));
    assert_false(gh_identity_has_role(&id, S("a")));
    assert_int_equal(id.expires_ms, 1700000310000);
    assert_int_equal(id.not_before_ms, 1699998990000);
    assert_int_equal(gh_identity_header(&id, S("realm.roles"), out, 64), 7);
    assert_memory_equal(out, "x,a%2Cb", 7);
    assert_int_equal(gh_identity_header(&id, S("realm.q.z"), out, 64), 1);
    assert_int_equal(gh_identity_header(&id, S("age"), out, 64), 1);
    assert_int_equal(gh_identity_header(&id, S("ok"), out, 64), 4);
    assert_int_equal(gh_identity_header(&id, S("none"), out, 64), 0);
    assert_int_equal(gh_identity_header(&id, S("exp"), out, 64), 0);
}

static void
an_algorithm_must_be_pinned_and_asymmetric(void **state)
{
    unsigned char mac[32];
    unsigned len = sizeof(mac);
    char *jwk = strdup(maker_jwk(m.rsa, ""));
    char *t = maker_token(NULL, "{\"alg\":\"HS256\",\"kid\":\"r\"}", GOOD);

    /* the public key's text as the HMAC key: the oldest trick */
    HMAC(EVP_sha256(), jwk, (int)strlen(jwk), (unsigned char *)t, strlen(t) - 1,
         mac, &len);
    t = realloc(t, strlen(t) + 64);
    gh_base64url_encode(gh_slice(mac, len), t + strlen(t));
    assert_int_equal(check_text(S(t), NULL), GH_JWT_ALG_REFUSED);
    free(t);
    free(jwk);
    refused(m.rsa, "{\"alg\":\"none\",\"kid\":\"r\"}", GOOD,
            GH_JWT_ALG_REFUSED);
    refused(m.rsa, "{\"alg\":\"RS512\",\"kid\":\"r\"}", GOOD,
            GH_JWT_ALG_REFUSED);
    refused(m.rsa, "{\"alg\":\"rs256\",\"kid\":\"r\"}", GOOD,
            GH_JWT_ALG_REFUSED);
    refused(m.rsa, "{\"alg\":[\"RS256\"],\"kid\":\"r\"}", GOOD,
            GH_JWT_ALG_REFUSED);
    refused(m.rsa, "{\"kid\":\"r\"}", GOOD, GH_JWT_ALG_REFUSED);
    /* no signature at all is no token */
    refused(NULL, "{\"alg\":\"none\",\"kid\":\"r\"}", GOOD, GH_JWT_MALFORMED);
    refused(NULL, RS, GOOD, GH_JWT_MALFORMED);
}

static void
an_idp_takes_only_the_algorithms_of_its_record(void **state)
{
    struct gh_jwt_keys *all = keys;
    struct gh_public_key list[4];
    struct gh_idp idp = provider(list, GH_ALG_PS256);

    assert_int_equal(gh_jwt_keys_create(&idp, &keys, NULL), 0);
    refused(m.rsa, RS, GOOD, GH_JWT_ALG_REFUSED);
    refused(m.ec, "{\"alg\":\"ES256\",\"kid\":\"e\"}", GOOD,
            GH_JWT_ALG_REFUSED);
    refused(m.rsa, "{\"alg\":\"PS256\",\"kid\":\"r\"}", GOOD, GH_JWT_OK);
    gh_jwt_keys_destroy(keys);
    keys = all;
}

static void
a_key_serves_only_its_own_algorithms(void **state)
{
    refused(m.rsa2, "{\"alg\":\"RS256\",\"kid\":\"p\"}", GOOD,
            GH_JWT_KEY_MISMATCH);
    refused(m.ec, "{\"alg\":\"ES256\",\"kid\":\"r\"}", GOOD,
            GH_JWT_KEY_MISMATCH);
    refused(m.ec384, "{\"alg\":\"ES256\",\"kid\":\"e\"}", GOOD,
            GH_JWT_BAD_SIGNATURE);
    refused(m.rsa2, RS, GOOD, GH_JWT_BAD_SIGNATURE);
    refused(m.ed, RS, GOOD, GH_JWT_BAD_SIGNATURE);
}

static void
headers_that_bring_keys_or_change_meaning_are_refused(void **state)
{
    static const char *const bad[] = {"\"crit\":[\"exp\"]",
                                      "\"crit\":[]",
                                      "\"b64\":false",
                                      "\"b64\":true",
                                      "\"jwk\":{}",
                                      "\"jku\":\"http://e/\"",
                                      "\"x5u\":\"http:\"",
                                      "\"x5c\":[\"MII\"]",
                                      "\"zip\":\"DEF\"",
                                      "\"enc\":\"A128GCM\"",
                                      "\"kid2\":1,\"crit\":null"};
    char header[200];
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"r\",%s}",
                 bad[i]);
        refused(m.rsa, header, GOOD, GH_JWT_HEADER_REFUSED);
    }
}

static void
types_of_other_tokens_are_refused(void **state)
{
    static const char *const bad[] = {
        "\"logout+jwt\"", "\"dpop+jwt\"", "\"\"", "\"JOSE\"", "1", "null"};
    char header[200];
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(header, sizeof(header),
                 "{\"alg\":\"RS256\",\"kid\":\"r\",\"typ\":%s}", bad[i]);
        refused(m.rsa, header, GOOD, GH_JWT_TYPE_REFUSED);
    }
}

static void
a_key_id_is_a_short_string_that_the_idp_has(void **state)
{
    static const char *const unknown[] = {
        "\"\"",   "\"R\"",        "\"../../etc/passwd\"", "\"http://e/\"",
        "\"r \"", "\"' or 1=1\"", "\"gh:{s:x}\\r\\n\""};
    char *long_kid = malloc(100 * 1024 + 100);
    char header[600];
    size_t i;

    for (i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++) {
        snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":%s}",
                 unknown[i]);
        refused(m.rsa, header, GOOD, GH_JWT_UNKNOWN_KEY);
    }
    refused(m.rsa, "{\"alg\":\"RS256\"}", GOOD, GH_JWT_UNKNOWN_KEY);
    refused(m.rsa, "{\"alg\":\"RS256\",\"kid\":7}", GOOD,
            GH_JWT_HEADER_REFUSED);
    refused(m.rsa, "{\"alg\":\"RS256\",\"kid\":[\"r\"]}", GOOD,
            GH_JWT_HEADER_REFUSED);
    snprintf(header, sizeof(header), "{\"alg\":\"RS256\",\"kid\":\"%0300d\"}",
             1);
    refused(m.rsa, header, GOOD, GH_JWT_TOO_BIG);
    sprintf(long_kid, "{\"alg\":\"RS256\",\"kid\":\"%0102400d\"}", 1);
    refused(m.rsa, long_kid, GOOD, GH_JWT_TOO_BIG);
    free(long_kid);
}

static void
a_provider_without_key_ids_sends_none(void **state)
{
    struct gh_jwt_keys *all = keys;
    struct gh_public_key list[4];
    struct gh_idp idp = provider(list, GH_ALG_RS256);

    list[0].kid = S("");
    assert_int_equal(gh_jwt_keys_create(&idp, &keys, NULL), 0);
    refused(m.rsa, "{\"alg\":\"RS256\"}", GOOD, GH_JWT_OK);
    refused(m.rsa, RS, GOOD, GH_JWT_UNKNOWN_KEY);
    gh_jwt_keys_destroy(keys);
    keys = all;
}

/* One by hand beside one that was fetched. */
static void
of_two_keys_with_one_name_either_verifies(void **state)
{
    struct gh_jwt_keys *all = keys;
    struct gh_public_key list[4];
    struct gh_idp idp = provider(list, GH_ALG_RS256);

    list[1] = key(m.rsa2, ",\"kid\":\"r\"");
    assert_int_equal(gh_jwt_keys_create(&idp, &keys, NULL), 0);
    refused(m.rsa, RS, GOOD, GH_JWT_OK);
    refused(m.rsa2, RS, GOOD, GH_JWT_OK);
    refused(m.ec, RS, GOOD, GH_JWT_BAD_SIGNATURE);
    gh_jwt_keys_destroy(keys);
    keys = all;
}

static void
times_are_required_whole_and_in_range(void **state)
{
#define CLAIMS(rest) "{\"iss\":\"https://idp.example/\"" rest "}"
    refused(m.rsa, RS, CLAIMS(), GH_JWT_NO_EXPIRY);
    refused(m.rsa, RS, CLAIMS(",\"exp\":null"), GH_JWT_BAD_TIME);
    refused(m.rsa, RS, CLAIMS(",\"exp\":\"1700000300\""), GH_JWT_BAD_TIME);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1e300"), GH_JWT_BAD_TIME);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1e999"), GH_JWT_BAD_JSON);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300.5"), GH_JWT_BAD_TIME);
    refused(m.rsa, RS, CLAIMS(",\"exp\":-1"), GH_JWT_BAD_TIME);
    refused(m.rsa, RS, CLAIMS(",\"exp\":253402300800"), GH_JWT_BAD_TIME);
    refused(m.rsa, RS, CLAIMS(",\"exp\":99999999999999999999"),
            GH_JWT_BAD_JSON);
    refused(m.rsa, RS, CLAIMS(",\"exp\":0"), GH_JWT_EXPIRED);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1699999990"), GH_JWT_EXPIRED);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1699999991"), GH_JWT_OK);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"nbf\":1700000011"),
            GH_JWT_NOT_YET);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"nbf\":1700000010"),
            GH_JWT_OK);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"nbf\":\"0\""),
            GH_JWT_BAD_TIME);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"iat\":1700000011"),
            GH_JWT_NOT_YET);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"iat\":1.5"),
            GH_JWT_BAD_TIME);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"iat\":-5"),
            GH_JWT_BAD_TIME);
}

static void
the_issuer_is_exact(void **state)
{
    static const char *const bad[] = {
        "\"https://idp.example\"", "\"https://idp.example//\"",
        "\"HTTPS://idp.example/\"", "\"\"", "\"https://evil/\""};
    char claims[200];
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(claims, sizeof(claims), "{\"iss\":%s,\"exp\":1700000300}",
                 bad[i]);
        refused(m.rsa, RS, claims, GH_JWT_WRONG_ISSUER);
    }
    refused(m.rsa, RS, "{\"exp\":1700000300}", GH_JWT_WRONG_ISSUER);
    refused(m.rsa, RS, "{\"exp\":1700000300,\"iss\":[\"x\"]}",
            GH_JWT_BAD_CLAIM);
}

static void
claims_have_their_types(void **state)
{
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"aud\":7"),
            GH_JWT_BAD_CLAIM);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"aud\":[]"),
            GH_JWT_BAD_CLAIM);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"aud\":[\"a\",1]"),
            GH_JWT_BAD_CLAIM);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"sub\":{}"),
            GH_JWT_BAD_CLAIM);
}

static void
an_identity_is_accepted_for_its_audience_only(void **state)
{
    char *t = maker_token(m.rsa, RS, GOOD);
    struct gh_identity id;

    assert_int_equal(check_text(S(t), &id), GH_JWT_OK);
    free(t);
    assert_int_equal(gh_jwt_accept(&id, S("lemon"), 7, S("api"), MAKER_NOW),
                     GH_JWT_OK);
    assert_int_equal(gh_jwt_accept(&id, S("lemon"), 7, S("other"), MAKER_NOW),
                     GH_JWT_WRONG_AUDIENCE);
    assert_int_equal(gh_jwt_accept(&id, S("lemon"), 7, S(""), MAKER_NOW),
                     GH_JWT_WRONG_AUDIENCE);
    assert_int_equal(gh_jwt_accept(&id, S("lime"), 7, S("api"), MAKER_NOW),
                     GH_JWT_WRONG_ISSUER);
    assert_int_equal(gh_jwt_accept(&id, S("lemon"), 8, S("api"), MAKER_NOW),
                     GH_JWT_STALE);
    assert_int_equal(
        gh_jwt_accept(&id, S("lemon"), 7, S("api"), 1700000310000 - 1),
        GH_JWT_OK);
    assert_int_equal(gh_jwt_accept(&id, S("lemon"), 7, S("api"), 1700000310000),
                     GH_JWT_EXPIRED);
    id.naudiences = 0;
    assert_int_equal(gh_jwt_accept(&id, S("lemon"), 7, S("api"), MAKER_NOW),
                     GH_JWT_WRONG_AUDIENCE);
}

static void
json_is_strict(void **state)
{
    static const char nul[] = "{\"iss\":\"https://idp.example/\0\",\"exp\":1}";
    char *t, deep[300];
    size_t i;

    refused(m.rsa, RS, "[]", GH_JWT_BAD_JSON);
    refused(m.rsa, RS, "\"x\"", GH_JWT_BAD_JSON);
    refused(m.rsa, RS, GOOD "x", GH_JWT_BAD_JSON);
    refused(m.rsa, RS, GOOD GOOD, GH_JWT_BAD_JSON);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1,\"exp\":1700000300"),
            GH_JWT_BAD_JSON);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"x\":{\"a\":1,\"a\":2}"),
            GH_JWT_BAD_JSON);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"x\":\"\\u0000\""),
            GH_JWT_BAD_JSON);
    refused(m.rsa, RS, CLAIMS(",\"exp\":1700000300,\"x\":\"\xff\""),
            GH_JWT_BAD_JSON);
    refused(m.rsa, "{\"alg\":\"RS256\",\"alg\":\"none\",\"kid\":\"r\"}", GOOD,
            GH_JWT_BAD_JSON);
    t = maker_token_with(m.rsa, false, "SHA256", S(RS),
                         gh_slice(nul, sizeof(nul) - 1));
    assert_int_equal(check_text(S(t), NULL), GH_JWT_BAD_JSON);
    free(t);
    for (i = 0; i < 6; i++)
        memcpy(deep + i * 5, "{\"a\":", 5);
    strcpy(deep + 30, "[[1]]}}}}}}");
    refused(m.rsa, RS, deep, GH_JWT_WRONG_ISSUER);
    strcpy(deep + 30, "[[[1]]]}}}}}}");
    refused(m.rsa, RS, deep, GH_JWT_TOO_BIG);
}

static void
claims_are_counted(void **state)
{
    struct gh_buffer b = GH_BUFFER_INIT;
    int i;

    gh_buffer_text(&b, "{\"iss\":\"https://idp.example/\",\"exp\":1700000300,"
                       "\"groups\":[\"a\"");
    for (i = 0; i < 254; i++)
        gh_buffer_text(&b, ",\"b\"");
    gh_buffer_text(&b, "]}");
    refused(m.rsa, RS, gh_buffer_string(&b), GH_JWT_OK);
    b.len -= 2;
    gh_buffer_text(&b, ",\"b\"]}");
    refused(m.rsa, RS, gh_buffer_string(&b), GH_JWT_TOO_BIG);
    gh_buffer_clear(&b);
    gh_buffer_text(&b, CLAIMS(",\"exp\":1700000300"));
    b.len--;
    for (i = 0; i < 256; i++)
        gh_buffer_printf(&b, ",\"n%d\":null", i);
    gh_buffer_text(&b, "}");
    refused(m.rsa, RS, gh_buffer_string(&b), GH_JWT_TOO_BIG);
    gh_buffer_finish(&b);
}

static void
one_token_has_one_spelling(void **state)
{
    char *t = maker_token(m.rsa, RS, GOOD), *bad;
    size_t n = strlen(t), i;
    struct gh_jwt x, y;

    bad = malloc(n + 10);
    assert_int_equal(gh_jwt_decode(S(t), &a, &x), GH_JWT_OK);
    assert_int_equal(gh_jwt_decode(S(t), &a, &y), GH_JWT_OK);
    assert_memory_equal(x.digest, y.digest, sizeof(x.digest));
    sprintf(bad, "%s=", t);
    assert_int_equal(check_text(S(bad), NULL), GH_JWT_MALFORMED);
    sprintf(bad, "%s==", t);
    assert_int_equal(check_text(S(bad), NULL), GH_JWT_MALFORMED);
    sprintf(bad, " %s", t);
    assert_int_equal(check_text(S(bad), NULL), GH_JWT_MALFORMED);
    sprintf(bad, "%s\n", t);
    assert_int_equal(check_text(S(bad), NULL), GH_JWT_MALFORMED);
    sprintf(bad, "%s.", t);
    assert_int_equal(check_text(S(bad), NULL), GH_JWT_MALFORMED);
    sprintf(bad, ".%s", t);
    assert_int_equal(check_text(S(bad), NULL), GH_JWT_MALFORMED);
    /* 4 bits of the last character of a 256-byte signature are unused: the
     * alphabet's next letter decodes to the same bytes, if one is lax */
    strcpy(bad, t);
    bad[n - 1]++;
    assert_int_equal(check_text(S(bad), NULL), GH_JWT_MALFORMED);
    /* and no flipped character anywhere is accepted */
    for (i = 0; i < n; i += 3) {
        strcpy(bad, t);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        if (strcmp(bad, t) != 0)
            assert_int_not_equal(check_text(S(bad), NULL), GH_JWT_OK);
    }
    for (i = 0; i < n; i++)
        assert_int_not_equal(check_text(gh_slice(t, i), NULL), GH_JWT_OK);
    free(bad);
    free(t);
}

static void
garbage_is_malformed(void **state)
{
    static const char *const bad[] = {
        "",           ".",        "..",          "...",
        "a.b",        "a.b.c.d",  "e30.e30",     "e30.e30.",
        "e30..e30",   ".e30.e30", "e30.e 0.e30", "e30.e+0.e30",
        "e30.e/0.e30"};
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(check_text(S(bad[i]), NULL), GH_JWT_MALFORMED);
    assert_int_equal(check_text(gh_slice("a\0.b.c", 6), NULL),
                     GH_JWT_MALFORMED);
}

static uint64_t
micros(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Over the cap, at the cap, brackets only, one name repeated: each is refused
 * at the price of reading it. */
static void
big_tokens_are_cheap_to_refuse(void **state)
{
    char *big = malloc(70000), *t;
    uint64_t start, best = UINT64_MAX, took;
    int i, round;

    memset(big, 'A', 70000);
    assert_int_equal(check_text(gh_slice(big, GH_JWT_MAX + 1), NULL),
                     GH_JWT_TOO_BIG);
    assert_int_equal(check_text(gh_slice(big, GH_JWT_MAX), NULL),
                     GH_JWT_MALFORMED);
    for (i = 0; i < 48000; i++)
        big[i] = '[';
    big[48000] = '\0';
    t = maker_token(m.rsa, RS, big);
    assert_int_equal(check_text(S(t), NULL), GH_JWT_TOO_BIG);
    free(t);
    strcpy(big, "{");
    for (i = 1; i < 47000; i += 12)
        sprintf(big + i, "\"k%06d\":0,", i);
    strcpy(big + i - 1, "}");
    t = maker_token(m.rsa2, RS, big);
    for (round = 0; round < 10; round++) {
        start = micros();
        assert_int_not_equal(check_text(S(t), NULL), GH_JWT_OK);
        took = micros() - start;
        best = took < best ? took : best;
    }
    print_message("64 kB of members refused in %d us\n", (int)best);
    assert_true(best < 1000);
    free(t);
    free(big);
}

static void
every_fault_has_its_name(void **state)
{
    int i, j;

    for (i = 0; i < GH_JWT_FAULTS; i++) {
        assert_non_null(gh_jwt_fault_name((enum gh_jwt_fault)i));
        for (j = 0; j < i; j++)
            assert_string_not_equal(gh_jwt_fault_name((enum gh_jwt_fault)i),
                                    gh_jwt_fault_name((enum gh_jwt_fault)j));
    }
    assert_string_equal(gh_jwt_fault_name((enum gh_jwt_fault)99), "unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_algorithm_verifies_with_its_key),
        cmocka_unit_test(ecdsa_holds_for_every_length_of_r_and_s),
        cmocka_unit_test(the_identity_says_who_calls),
        cmocka_unit_test(an_algorithm_must_be_pinned_and_asymmetric),
        cmocka_unit_test(an_idp_takes_only_the_algorithms_of_its_record),
        cmocka_unit_test(a_key_serves_only_its_own_algorithms),
        cmocka_unit_test(headers_that_bring_keys_or_change_meaning_are_refused),
        cmocka_unit_test(types_of_other_tokens_are_refused),
        cmocka_unit_test(a_key_id_is_a_short_string_that_the_idp_has),
        cmocka_unit_test(a_provider_without_key_ids_sends_none),
        cmocka_unit_test(of_two_keys_with_one_name_either_verifies),
        cmocka_unit_test(times_are_required_whole_and_in_range),
        cmocka_unit_test(the_issuer_is_exact),
        cmocka_unit_test(claims_have_their_types),
        cmocka_unit_test(an_identity_is_accepted_for_its_audience_only),
        cmocka_unit_test(json_is_strict),
        cmocka_unit_test(claims_are_counted),
        cmocka_unit_test(one_token_has_one_spelling),
        cmocka_unit_test(garbage_is_malformed),
        cmocka_unit_test(big_tokens_are_cheap_to_refuse),
        cmocka_unit_test(every_fault_has_its_name),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
