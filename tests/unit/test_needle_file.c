/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of needles: what it may say, and that a wrong line is named; and
 * the names of what is found.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "needle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_good_files(void **state)
{
    static const char text[] = "# comment\n\n  a\t0102030405060708 \r\n"
                               "b  FFfe030405060708";
    char why[128];
    struct needles *n = needles_parse(text, strlen(text), why, sizeof(why));

    (void)state;
    assert_non_null(n);
    assert_int_equal(needles_count(n), 2);
    assert_string_equal(needles_name(n, 0), "a");
    assert_string_equal(needles_name(n, 1), "b");
    needles_free(n);
}

static void test_bad_files(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        { "", "no secret" },
        { "# nothing\n", "no secret" },
        { "a\n", "line 1: not NAME HEX" },
        { "a 0102030405060708\nb\n", "line 2: not NAME HEX" },
        { "a 010203040506070x\n", "line 1: not NAME HEX" },
        { "a 0102030405060708 09\n", "line 1: not NAME HEX" },
        { "\n\na 010203040506070\n", "line 3: the secret has half an octet" },
        { "a 01020304050607\n", "line 1: a secret of less than 8" },
        { "a 4141414141414141\n", "line 1: one octet repeated" },
        { "a 0102030405060708\na 1102030405060708\n", "line 2: the name was" },
        { "\xc3\xa9 0102030405060708\n", "line 1: the name is not" },
        { "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
          "0102030405060708\n",
          "line 1: the name is too long" },
    };
    char why[128], *more = malloc(10000);

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        why[0] = '\0';
        assert_null(
            needles_parse(bad[i].text, strlen(bad[i].text), why, sizeof(why)));
        assert_int_equal(strncmp(why, bad[i].why, strlen(bad[i].why)), 0);
    }
    memset(more, '7', 10000);
    memcpy(more, "a ", 2);
    assert_null(needles_parse(more, 10000, why, sizeof(why)));
    assert_non_null(strstr(why, "more than 4096"));
    free(more);
}

static void test_forms_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < NEEDLE_FORMS; i++)
        for (unsigned k = 0; k < i; k++)
            assert_string_not_equal(needle_form_name(i), needle_form_name(k));
    assert_string_equal(needle_form_name(NEEDLE_BASE64 + NEEDLE_ENCODINGS),
                        "base64-half");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_files),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_forms_have_names),
    };

    return cmocka_run_group_tests_name("tools: needles' file", tests, NULL,
                                       NULL);
}
