/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Partners' verification keys in the store, and what is good for one use.
 */
#include "store_suite.h"

#include "store_key.h"

void test_spend(void **state)
{
    struct stores *t = *state;

    assert_int_equal(ccf_store_spend(t->s, OTHER "/1", LATER), CCF_STORE_OK);
    assert_int_equal(ccf_store_spend(t->second, OTHER "/1", LATER),
                     CCF_STORE_CONFLICT);
    assert_int_equal(ccf_store_spend(t->second, OTHER "/2", LATER),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_spend(t->s, "ccf.c.example/1", LATER),
                     CCF_STORE_OK);
    /* What has expired is refused before, and forgotten. */
    assert_int_equal(ccf_store_spend(t->s, OTHER "/3", time(NULL) - 10),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_spend(t->s, OTHER "/3", LATER), CCF_STORE_OK);
}

static void jwks_is(struct ccf_store *s, const char *ccf_id, const char *want)
{
    json_t *jwks = NULL, *doc = soft_json(want);

    assert_int_equal(ccf_store_jwks_get(s, ccf_id, &jwks), CCF_STORE_OK);
    assert_true(json_equal(jwks, doc));
    json_decref(jwks);
    json_decref(doc);
}

void test_partner_keys(void **state)
{
    struct stores *t = *state;
    json_t *jwks = NULL, *one = soft_json("{'keys':[1]}");
    json_t *two = soft_json("{'keys':[2]}");

    assert_int_equal(ccf_store_jwks_get(t->s, OTHER, &jwks),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_jwks_claim(t->s, OTHER, 1000, 300),
                     CCF_STORE_OK);
    /* A claim is no key yet. */
    assert_int_equal(ccf_store_jwks_get(t->s, OTHER, &jwks),
                     CCF_STORE_NOT_FOUND);
    assert_null(jwks);
    assert_int_equal(ccf_store_jwks_put(t->s, OTHER, one), CCF_STORE_OK);
    jwks_is(t->second, OTHER, "{'keys':[1]}");
    assert_int_equal(ccf_store_jwks_claim(t->second, OTHER, 1300, 300),
                     CCF_STORE_OK);
    jwks_is(t->s, OTHER, "{'keys':[1]}"); /* until there are others */
    assert_int_equal(ccf_store_jwks_put(t->second, OTHER, two), CCF_STORE_OK);
    jwks_is(t->s, OTHER, "{'keys':[2]}");
    assert_int_equal(ccf_store_jwks_put(t->s, "ccf.z.example", one),
                     CCF_STORE_NOT_FOUND);
    json_decref(one);
    json_decref(two);
}

void test_partner_keys_have_one_asker(void **state)
{
    struct stores *t = *state;
    static const char ccf[] = "ccf.asked.example";

    assert_int_equal(ccf_store_jwks_claim(t->s, ccf, 1000, 300), CCF_STORE_OK);
    assert_int_equal(ccf_store_jwks_claim(t->second, ccf, 1000, 300),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_jwks_claim(t->second, ccf, 1299, 300),
                     CCF_STORE_NOT_FOUND);
    /* Because of a kid that is not known, sooner. */
    assert_int_equal(ccf_store_jwks_claim(t->second, ccf, 1005, 5),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_jwks_claim(t->s, ccf, 1009, 5),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_jwks_claim(t->s, "ccf.other.example", 1009, 5),
                     CCF_STORE_OK);
}
