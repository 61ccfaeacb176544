/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf/claims.c: a good assertion, then each of its claims made wrong; whose an
 * access token is; and JWK sets.
 */
#include "soft.h"

#include "oauth.h"

#include <string.h>

#define NOW   1700000000
#define A     "https://ccf.a.example:8443"
#define B     "https://ccf.b.example"
#define OTHER "https://ccf.c.example"
#define PRINT "x0uTvIYxpDxcGxGLZ4fTFAFUgzuu1qa5Pv4vZ7jwjSY"

static const struct ccf_assertion_want want = {
    .iss = A, .aud = B, .client_id = "inv-1", .thumbprint = PRINT, .now = NOW
};

static json_t *good(void)
{
    json_t *c =
        json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:{s:s}}", "iss", A,
                  "aud", B, "sub", "inv-1", "client_id", "inv-1", "jti", "1",
                  "scope", "3gpp#aef-1:api", "iat", (json_int_t)NOW, "exp",
                  (json_int_t)NOW + 60, "cnf", "x5t#S256", PRINT);

    assert_non_null(c);
    return c;
}

/* Frees claims. */
static const char *check(json_t *claims, const char *typ)
{
    struct capif_jws jws = { .claims = claims, .typ = typ };
    const char *why = ccf_assertion_check(&jws, &want);

    json_decref(claims);
    return why;
}

static void test_good_assertion(void **state)
{
    (void)state;
    assert_null(check(good(), CCF_ASSERTION_TYP));
}

static void test_typ(void **state)
{
    static const char *const bad[] = { "at+jwt",    "JWT",
                                       "jwt",       "",
                                       "enrol+jwt", "Authorization-Grant+jwt" };

    (void)state;
    assert_non_null(check(good(), NULL));
    for (size_t i = 0; i < N_OF(bad); i++)
        assert_string_equal(check(good(), bad[i]),
                            "not an authorization grant");
}

static void test_bad_claims(void **state)
{
    static const struct {
        const char *claim, *value; /* JSON with ' for "; NULL: missing */
        const char *why;
    } v[] = {
        { "aud", "['" B "']", "for another authorization server" },
        { "aud", "'" OTHER "'", "for another authorization server" },
        { "aud", "'" B "/'", "for another authorization server" },
        { "aud", "'" B "/oauth/token'", "for another authorization server" },
        { "aud", "'ccf.b.example'", "for another authorization server" },
        { "aud", NULL, "for another authorization server" },
        { "iss", "'" OTHER "'", "not by the client's own CCF" },
        { "iss", "'ccf.a.example'", "not by the client's own CCF" },
        { "iss", NULL, "not by the client's own CCF" },
        { "sub", "'inv-2'", "for another client" },
        { "sub", NULL, "for another client" },
        { "client_id", "'inv-2'", "for another client" },
        { "client_id", NULL, "for another client" },
        { "cnf", NULL, "bound to another certificate" },
        { "cnf", "{}", "bound to another certificate" },
        { "cnf", "{'x5t#S256': 1}", "bound to another certificate" },
        { "cnf", "{'x5t#S256': ''}", "bound to another certificate" },
        { "exp", "1700000000", "the token has expired" },
        { "exp", NULL, "the token has expired" },
        { "exp", "'1700000060'", "the token has expired" },
        { "exp", "1700000300", NULL },
        { "exp", "1700000301", "good for too long" },
        { "exp", "9223372036854775807", "good for too long" },
        { "nbf", "1700000031", "the token is not yet valid" },
        { "nbf", "1700000000", NULL },
        { "iat", NULL, "issued at no time" },
        { "iat", "'1700000000'", "issued at no time" },
        { "iat", "1700000031", "issued at no time" },
        { "iat", "1700000030", NULL },
        { "jti", NULL, "without an id" },
        { "jti", "''", "without an id" },
        { "jti", "1", "without an id" },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        json_t *c = good();
        const char *why;

        if (v[i].value == NULL)
            json_object_del(c, v[i].claim);
        else
            json_object_set_new(c, v[i].claim, soft_json(v[i].value));
        why = check(c, CCF_ASSERTION_TYP);
        if ((why == NULL) != (v[i].why == NULL)
            || (why != NULL && strcmp(why, v[i].why) != 0))
            fail_msg("%s = %s: %s", v[i].claim,
                     v[i].value != NULL ? v[i].value : "(missing)",
                     why != NULL ? why : "passed");
    }
}

static void test_jti_of_any_length(void **state)
{
    char jti[CCF_JTI_MAX + 2];

    (void)state;
    for (size_t len = CCF_JTI_MAX; len <= CCF_JTI_MAX + 1; len++) {
        json_t *c = good();

        memset(jti, 'j', len);
        jti[len] = '\0';
        json_object_set_new(c, "jti", json_string(jti));
        assert_int_equal(check(c, CCF_ASSERTION_TYP) == NULL,
                         len == CCF_JTI_MAX);
    }
}

static void test_whose(void **state)
{
    static const struct {
        const char *claims, *home; /* NULL: nobody's */
    } v[] = {
        { "{'ccfId':'a.example','client_id':'i','sub':'i'}", "a.example" },
        { "{'ccfId':'b.example','invokerCcfId':'a.example','client_id':'i',"
          "'sub':'i'}",
          "a.example" },
        { "{'ccfId':'a.example','client_id':'i','sub':'j'}", NULL },
        { "{'ccfId':'a.example','client_id':'i'}", NULL },
        { "{'client_id':'i','sub':'i'}", NULL },
        { "{'invokerCcfId':'a.example','client_id':'i','sub':'i'}", NULL },
        { "{'ccfId':'a.example','invokerCcfId':null,'client_id':'i',"
          "'sub':'i'}",
          NULL },
        { "{'ccfId':'a.example','client_id':'i/j','sub':'i/j'}", NULL },
        { "{'ccfId':'A','client_id':'i','sub':'i'}", NULL },
    };
    const char *signer, *home, *id;

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        struct capif_jws jws = { .claims = soft_json(v[i].claims),
                                 .typ = "at+jwt" };

        assert_int_equal(ccf_token_whose(&jws, &signer, &home, &id),
                         v[i].home != NULL);
        if (v[i].home != NULL) {
            assert_string_equal(home, v[i].home);
            assert_string_equal(id, "i");
        }
        jws.typ = CCF_ASSERTION_TYP;
        assert_false(ccf_token_whose(&jws, &signer, &home, &id));
        jws.typ = NULL;
        assert_false(ccf_token_whose(&jws, &signer, &home, &id));
        json_decref(jws.claims);
    }
}

/* ---- JWK sets ---- */

static json_t *jwk_of(const char *kid)
{
    EVP_PKEY *key = soft_key(NULL, 0);
    json_t *jwk = capif_jwk(key, kid);

    assert_non_null(jwk);
    EVP_PKEY_free(key);
    return jwk;
}

static size_t n_keys(const json_t *jwks)
{
    return json_array_size(json_object_get(jwks, "keys"));
}

static void test_usable_keys(void **state)
{
    json_t *jwks = json_pack("{s:[o, o, {s:s, s:s}, {s:s, s:s, s:s}, s, o]}",
                             "keys", jwk_of("1"), jwk_of("1"), "kty", "EC",
                             "kid", "2", "kty", "oct", "kid", "3", "k", "AAAA",
                             "4", jwk_of("")),
           *out = ccf_jwks_usable(jwks);

    (void)state;
    assert_int_equal(n_keys(out), 1);
    json_decref(out);
    json_decref(jwks);
    out = ccf_jwks_usable(NULL);
    assert_int_equal(n_keys(out), 0);
    json_decref(out);
    jwks = soft_json("{'keys':{'kid':'1'}}");
    out = ccf_jwks_usable(jwks);
    assert_int_equal(n_keys(out), 0);
    json_decref(out);
    json_decref(jwks);
}

static void test_too_many_keys(void **state)
{
    json_t *keys = json_array(), *jwks, *out;
    char kid[8];

    (void)state;
    for (int i = 0; i < CCF_JWKS_MAX + 1; i++) {
        snprintf(kid, sizeof(kid), "%d", i);
        json_array_append_new(keys, jwk_of(kid));
    }
    jwks = json_pack("{s:o}", "keys", keys);
    out = ccf_jwks_usable(jwks);
    assert_int_equal(n_keys(out), CCF_JWKS_MAX);
    json_decref(out);
    json_decref(jwks);
}

/* What was fetched adds keys, and replaces none that is pinned. */
static void test_union(void **state)
{
    json_t *pinned = json_pack("{s:[o]}", "keys", jwk_of("1"));
    json_t *fetched = json_pack("{s:[o, o]}", "keys", jwk_of("1"), jwk_of("2"));
    json_t *both = ccf_jwks_union(pinned, fetched), *one;

    (void)state;
    assert_int_equal(n_keys(both), 2);
    assert_true(json_equal(json_array_get(json_object_get(both, "keys"), 0),
                           json_array_get(json_object_get(pinned, "keys"), 0)));
    json_decref(both);
    one = ccf_jwks_union(NULL, fetched);
    assert_int_equal(n_keys(one), 2);
    json_decref(one);
    one = ccf_jwks_union(pinned, NULL);
    assert_true(json_equal(one, pinned));
    json_decref(one);
    one = ccf_jwks_union(NULL, NULL);
    assert_int_equal(n_keys(one), 0);
    json_decref(one);
    json_decref(pinned);
    json_decref(fetched);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_assertion),
        cmocka_unit_test(test_typ),
        cmocka_unit_test(test_bad_claims),
        cmocka_unit_test(test_jti_of_any_length),
        cmocka_unit_test(test_whose),
        cmocka_unit_test(test_usable_keys),
        cmocka_unit_test(test_too_many_keys),
        cmocka_unit_test(test_union),
    };

    return cmocka_run_group_tests_name("ccf: claims", tests, NULL, NULL);
}
