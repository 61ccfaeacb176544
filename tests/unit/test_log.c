/* SPDX-License-Identifier: Apache-2.0 */
/* The log: one event is one line, whatever a foreign text is made of. */
#include "soft.h"

#include "log.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *value, *escaped;
} table[] = {
    { "plain-1.2/3:4", "plain-1.2/3:4" },
    { "", "\"\"" },
    { " ", "\" \"" },
    { "a b", "\"a b\"" },
    { "a=b", "\"a=b\"" },
    { "a\"b", "\"a\\\"b\"" },
    { "a\\b", "\"a\\\\b\"" },
    { "a\nb", "\"a\\x0ab\"" },
    { "a\r\n2026-01-01T00:00:00Z event=ready",
      "\"a\\x0d\\x0a2026-01-01T00:00:00Z event=ready\"" },
    { "\x1b[2J", "\"\\x1b[2J\"" },
    { "\t", "\"\\x09\"" },
    { "\x7f", "\"\\x7f\"" },
    { "\xc3\xa9", "\"\\xc3\\xa9\"" },
    { "\xff", "\"\\xff\"" },
    { "\xc2\x9b"
      "2J",
      "\"\\xc2\\x9b2J\"" }, /* C1 CSI in UTF-8 */
};

static void test_escape(void **state)
{
    char out[400];

    (void)state;
    for (size_t i = 0; i < N_OF(table); i++) {
        capif_log_escape(table[i].value, out, sizeof(out));
        assert_string_equal(out, table[i].escaped);
    }
}

static void test_all_octets(void **state)
{
    char out[16];

    (void)state;
    for (int c = 1; c < 256; c++) {
        const char value[] = { (char)c, '\0' };

        capif_log_escape(value, out, sizeof(out));
        for (const char *p = out; *p != '\0'; p++)
            assert_in_range((unsigned char)*p, ' ', '~');
        assert_int_equal(out[0] == '"', c <= ' ' || c >= 0x7f || c == '"'
                                            || c == '\\' || c == '=');
    }
}

/* Cut, not run over, and the quote closed; escapes come whole. */
static void test_escape_room(void **state)
{
    char value[600], out[80];

    (void)state;
    for (size_t room = 16; room <= 64; room++)
        for (size_t kind = 0; kind < 3; kind++) {
            size_t len;

            memset(value, "x \n"[kind], sizeof(value) - 1);
            value[sizeof(value) - 1] = '\0';
            memset(out, '#', sizeof(out));
            capif_log_escape(value, out, room);
            len = strlen(out);
            assert_true(len < room);
            assert_true(len + 8 >= room);
            assert_int_equal(out[0], '"');
            assert_int_equal(out[len - 1], '"');
            if (kind == 2)
                assert_int_equal((len - 2) % 4, 0);
            for (size_t i = room; i < sizeof(out); i++)
                assert_int_equal(out[i], '#');
        }
}

/* The line after its time, which must be one. */
static const char *body_of(const char *line)
{
    static const char like[] = "dddd-dd-ddTdd:dd:ddZ ";

    for (size_t i = 0; like[i] != '\0'; i++) {
        if (like[i] == 'd')
            assert_in_range(line[i], '0', '9');
        else
            assert_int_equal(line[i], like[i]);
    }
    assert_non_null(strchr(line, '\n'));
    assert_string_equal(strchr(line, '\n'), "\n"); /* the only one */
    return line + strlen(like);
}

static void test_line(void **state)
{
    (void)state;
    soft_listen();
    capif_log("ready", NULL);
    assert_string_equal(body_of(soft_heard()), "event=ready\n");
    soft_listen();
    capif_log("x", "peer", "192.0.2.7", "why", NULL, "path", "/a b\nc", "e", "",
              NULL);
    assert_string_equal(
        body_of(soft_heard()),
        "event=x peer=192.0.2.7 why=- path=\"/a b\\x0ac\" e=\"\"\n");
}

static void test_long_values(void **state)
{
    char value[5000];
    const char *text;

    (void)state;
    memset(value, 'v', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    soft_listen();
    capif_log("x", "a", value, "b", "short", NULL);
    text = body_of(soft_heard());
    assert_in_range(strlen(text), 380, 440);
    assert_non_null(strstr(text, "vvv\" b=short\n"));
    /* Eight of them are more than a line takes: it ends between two. */
    soft_listen();
    capif_log("x", "a", value, "b", value, "c", value, "d", value, "e", value,
              "f", value, "g", "last", NULL);
    text = body_of(soft_heard());
    assert_in_range(strlen(text), 1500, 2048);
    assert_non_null(strstr(text, "vv\" d=\"vv"));
    assert_non_null(strstr(text, "vv\" g=last\n"));
    assert_null(strstr(text, " f="));
}

static void test_ssl(void **state)
{
    (void)state;
    ERR_clear_error();
    soft_listen();
    capif_log_ssl("x", "a", "b", NULL);
    assert_string_equal(body_of(soft_heard()), "event=x a=b\n");
    for (int i = 0; i < 5; i++)
        ERR_raise_data(ERR_LIB_USER, ERR_R_MALLOC_FAILURE, "no %d\nevent=y", i);
    soft_listen();
    capif_log_ssl("x", NULL);
    assert_string_equal(body_of(soft_heard()),
                        "event=x ssl=\"malloc failure: no 0\\x0aevent=y\""
                        " ssl=\"malloc failure: no 1\\x0aevent=y\""
                        " ssl=\"malloc failure: no 2\\x0aevent=y\"\n");
    assert_int_equal(ERR_peek_error(), 0); /* all five of them */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_escape),      cmocka_unit_test(test_all_octets),
        cmocka_unit_test(test_escape_room), cmocka_unit_test(test_line),
        cmocka_unit_test(test_long_values), cmocka_unit_test(test_ssl),
    };

    return cmocka_run_group_tests_name("capif: log", tests, NULL, NULL);
}
