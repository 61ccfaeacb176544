/* SPDX-License-Identifier: Apache-2.0 */
/* The scope of TS 29.222 8.5.4.2.6 (facts 6.3). */
#include "soft.h"

#include "scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N63 "012345678901234567890123456789012345678901234567890123456789abc"

static const struct {
    const char *text;
    size_t pairs; /* 0: refused */
} table[] = {
    { "3gpp#a:b", 1 },
    { "3gpp#a:b,c", 2 },
    { "3gpp#a:b;c:d", 2 },
    { "3gpp#aef-1:3gpp-monitoring-event,3gpp-as-session-with-qos;"
      "aef-2:3gpp-pfd-management",
      3 },
    { "3gpp#a:b;a:c", 2 },
    { "3gpp#a:b,b", 2 },
    { "3gpp#!$%&'()*+-./<=>?@[]^_`{|}~:b", 1 },
    { "3gpp#" N63 ":" N63, 1 },
    { "3gpp#" N63 "d:b", 0 },
    { "3gpp#a:" N63 "d", 0 },
    { "3gpp#a:b,c;d:" N63 "d", 0 },
    { "", 0 },
    { "3gpp", 0 },
    { "3gpp#", 0 },
    { "#a:b", 0 },
    { "a:b", 0 },
    { "3GPP#a:b", 0 },
    { "4gpp#a:b", 0 },
    { "3gpp:a:b", 0 },
    { " 3gpp#a:b", 0 },
    { "3gpp# a:b", 0 },
    { "3gpp#a:b ", 0 },
    { "3gpp#a:b\n", 0 },
    { "3gpp#a: b", 0 },
    { "3gpp#a:b, c", 0 },
    { "3gpp#a:b; c:d", 0 }, /* as TS 33.122 Annex C writes it */
    { "3gpp#a", 0 },
    { "3gpp#a:", 0 },
    { "3gpp#:b", 0 },
    { "3gpp#a:b;", 0 },
    { "3gpp#;a:b", 0 },
    { "3gpp#a:b;;c:d", 0 },
    { "3gpp#a:b,", 0 },
    { "3gpp#a:,b", 0 },
    { "3gpp#a:b,,c", 0 },
    { "3gpp#a,b:c", 0 },
    { "3gpp#a:b:c", 0 },
    { "3gpp#a:b;c", 0 },
    { "3gpp#a:b#c", 0 },
    { "3gpp#a:b\"", 0 },
    { "3gpp#a\\:b", 0 },
    { "3gpp#a:b\x7f", 0 },
    { "3gpp#a:\xc3\xa9", 0 },
    { "3gpp#\t:b", 0 },
    { "3gpp%23a:b", 0 },
};

static void test_grammar(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(table); i++) {
        struct capif_scope s, was;
        bool ok;

        memset(&s, 0x5a, sizeof(s));
        was = s;
        ok = capif_scope_parse(table[i].text, &s);
        if (ok != (table[i].pairs > 0))
            fail_msg("%s: %s", table[i].text, ok ? "taken" : "refused");
        if (ok)
            assert_int_equal(s.n, table[i].pairs);
        else
            assert_memory_equal(&s, &was, sizeof(s));
    }
}

static void test_pairs(void **state)
{
    struct capif_scope s;

    (void)state;
    assert_true(capif_scope_parse("3gpp#a:b,c;d:e", &s));
    assert_int_equal(s.n, 3);
    assert_string_equal(s.pairs[0].aef_id, "a");
    assert_string_equal(s.pairs[0].api_name, "b");
    assert_string_equal(s.pairs[1].aef_id, "a");
    assert_string_equal(s.pairs[1].api_name, "c");
    assert_string_equal(s.pairs[2].aef_id, "d");
    assert_string_equal(s.pairs[2].api_name, "e");
    assert_true(capif_scope_has(&s, "a", "c"));
    assert_false(capif_scope_has(&s, "a", "e"));
    assert_false(capif_scope_has(&s, "d", "b"));
    assert_false(capif_scope_has(&s, "a", ""));
    assert_false(capif_scope_has(&s, "A", "b"));
    s.n = 0;
    assert_false(capif_scope_has(&s, "a", "b"));
}

/* As many as there is room for, in one entry and in as many. */
static void test_most_pairs(void **state)
{
    struct capif_scope s;
    char one[512], many[1024];

    (void)state;
    strcpy(one, "3gpp#a:b");
    strcpy(many, "3gpp#a:b");
    for (int n = 2; n <= CAPIF_SCOPE_PAIRS + 1; n++) {
        strcat(one, ",b");
        strcat(many, ";a:b");
        s.n = 99;
        assert_int_equal(capif_scope_parse(one, &s), n <= CAPIF_SCOPE_PAIRS);
        assert_int_equal(s.n, n <= CAPIF_SCOPE_PAIRS ? n : 99);
        s.n = 99;
        assert_int_equal(capif_scope_parse(many, &s), n <= CAPIF_SCOPE_PAIRS);
        assert_int_equal(s.n, n <= CAPIF_SCOPE_PAIRS ? n : 99);
    }
}

static void test_format(void **state)
{
    static const struct {
        const char *in, *out; /* entries of one AEF come together */
    } v[] = {
        { "3gpp#a:b", "3gpp#a:b" },
        { "3gpp#a:b,c;d:e", "3gpp#a:b,c;d:e" },
        { "3gpp#a:b;d:e;a:c", "3gpp#a:b,c;d:e" },
        { "3gpp#a:b;a:c", "3gpp#a:b,c" },
        { "3gpp#a:1;b:2;c:3;b:4;a:5", "3gpp#a:1,5;b:2,4;c:3" },
        { "3gpp#" N63 ":" N63, "3gpp#" N63 ":" N63 },
    };
    struct capif_scope s, again;
    char text[512];

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        assert_true(capif_scope_parse(v[i].in, &s));
        assert_true(capif_scope_format(&s, text, sizeof(text)));
        assert_string_equal(text, v[i].out);
        assert_true(capif_scope_parse(text, &again));
        assert_int_equal(again.n, s.n);
        for (size_t j = 0; j < s.n; j++)
            assert_true(capif_scope_has(&again, s.pairs[j].aef_id,
                                        s.pairs[j].api_name));
    }
}

/* The largest of all: every room but the last is too short. */
static void test_room(void **state)
{
    static const char want[] = "3gpp#a:b,c;d:e";
    struct capif_scope s;
    char text[sizeof(want) + 8];

    (void)state;
    assert_true(capif_scope_parse(want, &s));
    for (size_t room = 0; room <= sizeof(want); room++) {
        memset(text, '#', sizeof(text));
        assert_int_equal(capif_scope_format(&s, text, room),
                         room >= sizeof(want));
        for (size_t i = room; i < sizeof(text); i++)
            assert_int_equal(text[i], '#');
    }
    assert_string_equal(text, want);
    s.n = 0;
    assert_false(capif_scope_format(&s, text, sizeof(text)));
}

static void test_names(void **state)
{
    (void)state;
    assert_true(capif_scope_name_ok("a"));
    assert_true(capif_scope_name_ok(N63));
    assert_false(capif_scope_name_ok(N63 "d"));
    assert_false(capif_scope_name_ok(""));
    for (int c = 1; c < 256; c++) {
        const char name[] = { 'a', (char)c, '\0' };
        bool ok = c > 32 && c < 127 && strchr("\"\\#:,;", c) == NULL;

        assert_int_equal(capif_scope_name_ok(name), ok);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grammar),    cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_most_pairs), cmocka_unit_test(test_format),
        cmocka_unit_test(test_room),       cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("capif: scope", tests, NULL, NULL);
}
