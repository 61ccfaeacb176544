/* SPDX-License-Identifier: Apache-2.0 */
#include "soft.h"

#include "times.h"

#include <string.h>

/* Numbers by `date -u -d TEXT +%s`. */
static void test_good(void **state)
{
    static const struct {
        const char *text;
        int64_t us;
    } good[] = {
        { "1970-01-01T00:00:00Z", 0 },
        { "1970-01-01t00:00:00.5z", 500000 },
        { "1970-01-01T00:00:00.000001+00:01", -59999999 },
        { "2000-02-29T12:00:00Z", 951825600000000 },
        { "2026-11-26T06:00:00+01:30", 1795667400000000 },
        { "2026-11-26T06:00:00-01:30", 1795678200000000 },
        { "2026-11-26T06:00:00-00:00", 1795672800000000 },
        { "2026-11-26T06:00:00.1234567890Z", 1795672800123456 },
        { "2016-12-31T23:59:60Z", 1483228800000000 },
        { "9999-12-31T23:59:59Z", 253402300799000000 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        int64_t us = 7;
        time_t seconds;

        if (!capif_time_parse_us(good[i].text, &us) || us != good[i].us)
            fail_msg("%s: %lld", good[i].text, (long long)us);
        assert_true(capif_time_parse(good[i].text, &seconds));
        assert_true(seconds * 1000000 <= us && (seconds + 1) * 1000000 > us);
    }
}

static void test_bad(void **state)
{
    static const char *const bad[] = {
        "",
        "2026",
        "2026-11-26",
        "2026-11-26T06:00:00",
        "2026-11-26 06:00:00Z",
        "2026-11-26T06:00Z",
        "2026-11-26T06:00:00.Z",
        "2026-11-26T06:00:00,5Z",
        "2026-11-26T06:00:00Z ",
        " 2026-11-26T06:00:00Z",
        "2026-11-26T06:00:00+0130",
        "2026-11-26T06:00:00+24:00",
        "2026-11-26T06:00:00+01:60",
        "2026-11-26T24:00:00Z",
        "2026-11-26T06:60:00Z",
        "2026-11-26T06:00:61Z",
        "2026-11-31T06:00:00Z",
        "2025-02-29T06:00:00Z",
        "1900-02-29T06:00:00Z",
        "2026-00-26T06:00:00Z",
        "2026-13-26T06:00:00Z",
        "2026-11-00T06:00:00Z",
        "0000-11-26T06:00:00Z",
        "1969-12-31T23:59:59Z",
        "-026-11-26T06:00:00Z",
        "02026-11-26T06:00:00Z",
        "2026-1-26T06:00:00Z",
        "2026-11-26T 6:00:00Z",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t us = 7;

        if (capif_time_parse_us(bad[i], &us) || us != 7)
            fail_msg("'%s': %lld", bad[i], (long long)us);
    }
}

/* Whatever a text is cut to, it is none. */
static void test_cut(void **state)
{
    static const char text[] = "2026-11-26T06:00:00+01:30";
    char cut[sizeof(text)];
    int64_t us = 7;

    (void)state;
    for (size_t n = 0; n < sizeof(text) - 1; n++) {
        memcpy(cut, text, n);
        cut[n] = '\0';
        assert_false(capif_time_parse_us(cut, &us));
    }
    assert_int_equal(us, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_bad),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests_name("capif: times", tests, NULL, NULL);
}
