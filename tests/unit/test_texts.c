/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts with a grammar of their own: https URIs and times.
 */
#include "soft.h"

#include "json.h"
#include "times.h"

#include <string.h>

static bool uri_ok(const char *uri, char path[128])
{
    struct capif_reader reader = { 0 };
    json_t *doc = json_pack("{s:{s:s}}", "a", "uri", uri);
    struct capif_at root = capif_at_root(doc, &reader);
    struct capif_at at = capif_get_object(&root, "a", true);
    const char *got = capif_get_https(&at, "uri", true);

    assert_true(got == NULL ? reader.n == 1 : reader.n == 0);
    if (got != NULL)
        assert_string_equal(got, uri);
    else
        strcpy(path, reader.list[0].param);
    json_decref(doc);
    return got != NULL;
}

static void test_uris(void **state)
{
    static const char *const good[] = {
        "https://a",
        "https://a.example/",
        "https://a.example:1/x?y=%20z&q",
        "https://192.0.2.1:65535?x",
        "https://[2001:db8::1]:443/~x/(y);z='1'",
    };
    static const char *const bad[] = {
        "",
        "x",
        "http://a.example/",
        "HTTPS://a.example/",
        "https:/a.example/",
        "https://",
        "https:///x",
        "https://:443/",
        "https://u@a.example/",
        "https://u:p@a.example/",
        "https://a.example:/",
        "https://a.example:0/",
        "https://a.example:65536/",
        "https://a.example:123456/",
        "https://a.example:x/",
        "https://a.example/#x",
        "https://a.example/ x",
        "https://a.example/\r\nX: y",
        "https://a.example/%",
        "https://a.example/%2",
        "https://a.example/%zz",
        "https://a.example\\x",
        "https://[::1",
        "https://[]/",
        "https://[x]/",
        "https://b\xc3\xbc.example/",
    };
    char path[128];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        if (!uri_ok(good[i], path))
            fail_msg("%s", good[i]);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (uri_ok(bad[i], path))
            fail_msg("%s", bad[i]);
        assert_string_equal(path, "/a/uri");
    }
}

static void test_long_uris(void **state)
{
    char uri[1100], path[128];

    (void)state;
    memset(uri, 'x', sizeof(uri));
    memcpy(uri, "https://a/", 10);
    uri[1024] = '\0';
    assert_true(uri_ok(uri, path));
    uri[1024] = 'x';
    uri[1025] = '\0';
    assert_false(uri_ok(uri, path));
    memset(uri, 'x', sizeof(uri));
    memcpy(uri, "https://", 8);
    uri[8 + 256] = '\0';
    assert_false(uri_ok(uri, path));
}

static void test_times(void **state)
{
    static const struct {
        const char *text;
        long long is; /* as date -u -d TEXT +%s says; -1: no time */
    } all[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "2000-02-29T12:34:56z", 951827696 },
        { "2024-12-31t23:59:59Z", 1735689599 },
        { "2026-11-26T07:00:00.123456+01:00", 1795672800 },
        { "2026-11-26T00:30:00-05:30", 1795672800 },
        { "2100-03-01T00:00:00Z", 4107542400 },
        { "2016-12-31T23:59:60Z", 1483228800 },
        { "", -1 },
        { "2026", -1 },
        { "2026-11-26", -1 },
        { "2026-11-26T07:00:00", -1 },
        { "2026-11-26 07:00:00Z", -1 },
        { "2026-11-26T07:00Z", -1 },
        { "2026-11-26T07:00:00.Z", -1 },
        { "2026-11-26T07:00:00Z ", -1 },
        { "2026-11-26T07:00:00+0100", -1 },
        { "2026-11-26T07:00:00+24:00", -1 },
        { "2026-11-26T07:00:00+01:60", -1 },
        { "2026-11-26T24:00:00Z", -1 },
        { "2026-11-26T07:60:00Z", -1 },
        { "2026-11-26T07:00:61Z", -1 },
        { "2026-00-26T07:00:00Z", -1 },
        { "2026-13-26T07:00:00Z", -1 },
        { "2026-11-00T07:00:00Z", -1 },
        { "2026-11-31T07:00:00Z", -1 },
        { "2025-02-29T07:00:00Z", -1 },
        { "2100-02-29T07:00:00Z", -1 },
        { "1969-12-31T23:59:59Z", -1 },
        { "+026-11-26T07:00:00Z", -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        time_t t = 42;
        bool ok = capif_time_parse(all[i].text, &t);

        if (ok != (all[i].is >= 0) || t != (ok ? (time_t)all[i].is : 42))
            fail_msg("%s: %lld", all[i].text, (long long)t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uris),
        cmocka_unit_test(test_long_uris),
        cmocka_unit_test(test_times),
    };

    return cmocka_run_group_tests_name("capif: URIs and times", tests, NULL,
                                       NULL);
}
