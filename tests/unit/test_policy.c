/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy says of one invoker, and when it lets it call. */
#include "soft.h"

#include "aef.h"

#include <string.h>

static const struct aef own = { .ccf_id = "ccf.one.example" };

static void test_name(void **state)
{
    char name[AEF_NAME_MAX + 1];

    (void)state;
    aef_policy_name(&own, "ccf.one.example", "inv-1", name);
    assert_string_equal(name, "inv-1");
    aef_policy_name(&own, "ccf.two.example", "inv-1", name);
    assert_string_equal(name, "ccf.two.example/inv-1");
}

/* How many complaints reading it gave. */
static size_t read_policy(const char *text, struct aef_policy *out)
{
    struct capif_reader reader = { 0 };
    json_t *doc = soft_json(text);
    struct capif_at root = capif_at_root(doc, &reader);

    memset(out, 0, sizeof(*out));
    aef_policy_read(&root, "inv-1", out);
    json_decref(doc);
    return reader.n;
}

#define OF_INV_1(text) \
    "{'apiInvokerPolicies':[{'apiInvokerId':'inv-1'" text "}]}"
#define RANGES(text) OF_INV_1(",'allowedInvocationTimeRangeList':[" text "]")

static void test_limits(void **state)
{
    static const struct {
        const char *text;
        long total, per_second;
        bool denied;
    } table[] = {
        { "{}", AEF_UNLIMITED, AEF_UNLIMITED, false },
        { OF_INV_1(""), AEF_UNLIMITED, AEF_UNLIMITED, false },
        { OF_INV_1(",'allowedTotalInvocations':0"), 0, AEF_UNLIMITED, true },
        { OF_INV_1(",'allowedInvocationsPerSecond':0"), AEF_UNLIMITED, 0,
          true },
        { OF_INV_1(",'allowedTotalInvocations':2147483647,"
                   "'allowedInvocationsPerSecond':1"),
          2147483647, 1, false },
        { "{'apiInvokerPolicies':[{'apiInvokerId':'inv-2',"
          "'allowedTotalInvocations':1}]}",
          AEF_UNLIMITED, AEF_UNLIMITED, false },
        { "{'" AEF_VS "':{'othersDenied':true}}", AEF_UNLIMITED, AEF_UNLIMITED,
          true },
        { "{'apiInvokerPolicies':[{'apiInvokerId':'inv-1'}],'" AEF_VS
          "':{'othersDenied':true}}",
          AEF_UNLIMITED, AEF_UNLIMITED, false },
    };
    struct aef_policy p;
    time_t until;

    (void)state;
    for (size_t i = 0; i < N_OF(table); i++) {
        assert_int_equal(read_policy(table[i].text, &p), 0);
        assert_int_equal(p.total, table[i].total);
        assert_int_equal(p.per_second, table[i].per_second);
        assert_int_equal(aef_policy_counts(&p),
                         table[i].total >= 0 || table[i].per_second >= 0);
        assert_int_equal(aef_policy_allows(&p, 1, &until), !table[i].denied);
        aef_policy_clear(&p);
    }
}

static void test_ranges(void **state)
{
    /* 2026-01-01T00:00:00Z is 1767225600 */
    static const struct {
        const char *text;
        time_t now;
        bool allowed;
        time_t until;
    } table[] = {
        { RANGES(""), 1, false, 0 },
        { RANGES("{}"), 1, true, 0 },
        { RANGES("{'startTime':'2026-01-01T00:00:00Z'}"), 1767225599, false,
          1767225600 },
        { RANGES("{'startTime':'2026-01-01T00:00:00Z'}"), 1767225600, true, 0 },
        { RANGES("{'stopTime':'2026-01-01T00:00:00Z'}"), 1767225599, true, 0 },
        { RANGES("{'stopTime':'2026-01-01T00:00:00Z'}"), 1767225600, false, 0 },
        { RANGES("{'startTime':'2026-01-01T01:00:00Z','stopTime':"
                 "'2026-01-01T02:00:00Z'},{'startTime':'2026-01-01T00:30:00Z',"
                 "'stopTime':'2026-01-01T00:31:00Z'}"),
          1767225600, false, 1767225600 + 1800 },
        { RANGES("{'startTime':'2026-01-01T01:00:00Z','stopTime':"
                 "'2026-01-01T02:00:00Z'},{'startTime':'2026-01-01T00:30:00Z',"
                 "'stopTime':'2026-01-01T00:31:00Z'}"),
          1767225600 + 1860, false, 1767225600 + 3600 },
        { RANGES("{'startTime':'2026-01-01T01:00:00+01:00','stopTime':"
                 "'2026-01-01T01:00:01+01:00'}"),
          1767225600, true, 0 },
        /* of no length */
        { RANGES("{'startTime':'2026-01-01T00:00:00Z','stopTime':"
                 "'2026-01-01T00:00:00Z'}"),
          1767225599, false, 0 },
    };
    struct aef_policy p;
    time_t until;

    (void)state;
    for (size_t i = 0; i < N_OF(table); i++) {
        assert_int_equal(read_policy(table[i].text, &p), 0);
        assert_int_equal(aef_policy_allows(&p, table[i].now, &until),
                         table[i].allowed);
        assert_int_equal(until, table[i].until);
        aef_policy_clear(&p);
    }
}

static void test_refused(void **state)
{
    static const char *const table[] = {
        OF_INV_1(",'allowedTotalInvocations':-1"),
        OF_INV_1(",'allowedTotalInvocations':2147483648"),
        OF_INV_1(",'allowedInvocationsPerSecond':'1'"),
        RANGES("1"),
        RANGES("{'startTime':'yesterday'}"),
        "{'apiInvokerPolicies':{}}",
        "{'apiInvokerPolicies':[{}]}",
    };
    struct aef_policy p;

    (void)state;
    for (size_t i = 0; i < N_OF(table); i++) {
        assert_int_not_equal(read_policy(table[i], &p), 0);
        aef_policy_clear(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests_name("aef: policies", tests, NULL, NULL);
}
