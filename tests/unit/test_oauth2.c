/* SPDX-License-Identifier: Apache-2.0 */
/* How a client proves itself at the token endpoint (RFC 6749 section 2.3). */
#include "log.h"
#include "oauth2_client.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SECRET "s:e c&r=e+t%\xc3\xa9"

static const struct gh_oauth2_field fields[] = {
    {"grant_type", "authorization_code"}, {"code", "a+b/c=&d"}, {NULL, NULL}};

static struct gh_oauth2_call call;

static int
setup(void **state)
{
    return gh_oauth2_client_start(NULL);
}

static int
teardown(void **state)
{
    gh_oauth2_client_stop();
    return 0;
}

static void
basic_is_preferred_and_keeps_the_secret_out_of_the_body(void **state)
{
    assert_int_equal(
        gh_oauth2_client_call(GH_OIDC_AUTH_BASIC | GH_OIDC_AUTH_POST, "id:1",
                              SECRET, fields, &call, NULL),
        0);
    assert_string_equal(gh_buffer_string(&call.username), "id%3A1");
    assert_string_equal(gh_buffer_string(&call.password),
                        "s%3Ae%20c%26r%3De%2Bt%25%C3%A9");
    assert_string_equal(gh_buffer_string(&call.form),
                        "grant_type=authorization_code&"
                        "code=a%2Bb%2Fc%3D%26d");
    gh_oauth2_client_finish(&call);
}

static void
a_provider_that_says_nothing_takes_basic(void **state)
{
    assert_int_equal(
        gh_oauth2_client_call(0, "id", SECRET, fields, &call, NULL), 0);
    assert_true(call.username.len > 0);
    gh_oauth2_client_finish(&call);
}

static void
by_post_the_secret_is_a_field(void **state)
{
    assert_int_equal(gh_oauth2_client_call(GH_OIDC_AUTH_POST, "id", SECRET,
                                           fields, &call, NULL),
                     0);
    assert_int_equal(call.username.len, 0);
    assert_non_null(strstr(gh_buffer_string(&call.form), "&client_id=id&"));
    assert_non_null(strstr(gh_buffer_string(&call.form),
                           "client_secret=s%3Ae%20c%26r%3De%2Bt%25%C3%A9"));
    gh_oauth2_client_finish(&call);
}

static void
without_a_secret_the_client_is_public(void **state)
{
    assert_int_equal(gh_oauth2_client_call(GH_OIDC_AUTH_BASIC, "id", NULL,
                                           fields, &call, NULL),
                     0);
    assert_int_equal(call.username.len, 0);
    assert_non_null(strstr(gh_buffer_string(&call.form), "&client_id=id"));
    assert_null(strstr(gh_buffer_string(&call.form), "client_secret"));
    gh_oauth2_client_finish(&call);
}

static void
a_provider_that_takes_neither_is_an_error_without_the_secret(void **state)
{
    struct gh_error e;

    assert_int_equal(gh_oauth2_client_call(GH_OIDC_AUTH_NONE, "id", SECRET,
                                           fields, &call, &e),
                     -1);
    assert_int_equal(e.code, GH_EINVAL);
    assert_null(strstr(e.message, "s:e"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            basic_is_preferred_and_keeps_the_secret_out_of_the_body),
        cmocka_unit_test(a_provider_that_says_nothing_takes_basic),
        cmocka_unit_test(by_post_the_secret_is_a_field),
        cmocka_unit_test(without_a_secret_the_client_is_public),
        cmocka_unit_test(
            a_provider_that_takes_neither_is_an_error_without_the_secret),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
