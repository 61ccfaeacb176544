/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AEF's memory of what its CCF said of tokens: bounded, and never about
 * another token.
 */
#include "soft.h"

#include "aef.h"

#include <stdio.h>

#define NOW  1700000000
#define MANY 20000

static void hash_of(unsigned n, char out[44])
{
    assert_true(capif_sha256_b64url(&n, sizeof(n), out));
}

static void test_until(void **state)
{
    struct aef_verdicts *v = aef_verdicts_new();
    char one[44], two[44];
    bool active = false;
    unsigned long long asked;

    (void)state;
    hash_of(1, one);
    hash_of(2, two);
    assert_false(aef_verdict_find(v, one, NOW, &active, &asked));
    aef_verdict_keep(v, one, true, 7, NOW + 10);
    assert_true(aef_verdict_find(v, one, NOW + 9, &active, &asked));
    assert_true(active);
    assert_int_equal(asked, 7);
    assert_false(aef_verdict_find(v, one, NOW + 10, &active, &asked));
    assert_false(aef_verdict_find(v, two, NOW, &active, &asked));
    aef_verdict_keep(v, one, false, 8, NOW + 5);
    assert_true(aef_verdict_find(v, one, NOW, &active, &asked));
    assert_false(active);
    assert_int_equal(asked, 8);
    aef_verdicts_free(v);
    aef_verdicts_free(NULL);
}

static void test_many(void **state)
{
    struct aef_verdicts *v = aef_verdicts_new();
    size_t found = 0;
    char hash[44];
    bool active;
    unsigned long long asked;

    (void)state;
    for (unsigned n = 0; n < MANY; n++) {
        hash_of(n, hash);
        aef_verdict_keep(v, hash, n % 2 == 0, n, NOW + 10);
    }
    for (unsigned n = 0; n < MANY; n++) {
        hash_of(n, hash);
        if (!aef_verdict_find(v, hash, NOW, &active, &asked))
            continue;
        found++;
        assert_int_equal(active, n % 2 == 0);
        assert_int_equal(asked, n);
    }
    assert_in_range(found, 2000, 4096);
    aef_verdicts_free(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_until),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests_name("aef: verdicts", tests, NULL, NULL);
}
