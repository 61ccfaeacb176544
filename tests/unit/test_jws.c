/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JWS: signing and verifying with software keys, and all that is refused.
 */
#include "soft.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { P256, P384, P521, R2048, ED, N_KEYS };
static EVP_PKEY *keys[N_KEYS];

static int setup(void **state)
{
    (void)state;
    keys[P256] = soft_key("P-256", 0);
    keys[P384] = soft_key("P-384", 0);
    keys[P521] = soft_key("P-521", 0);
    keys[R2048] = soft_key(NULL, 2048);
    keys[ED] = soft_key(NULL, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_KEYS; i++)
        EVP_PKEY_free(keys[i]);
    return 0;
}

/* Every alg that is taken, and the key and digest it goes with. */
static const struct alg {
    const char *name;
    int key;
    const char *md;
    bool pss;
} algs[] = {
    { "ES256", P256, "SHA256", false },  { "ES384", P384, "SHA384", false },
    { "ES512", P521, "SHA512", false },  { "EdDSA", ED, NULL, false },
    { "PS256", R2048, "SHA256", true },  { "PS384", R2048, "SHA384", true },
    { "PS512", R2048, "SHA512", true },  { "RS256", R2048, "SHA256", false },
    { "RS384", R2048, "SHA384", false }, { "RS512", R2048, "SHA512", false },
};

/* Signed as `as` says, whatever the header claims. */
static char *jws_of(const char *alg, const struct alg *as)
{
    char header[64];

    snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":\"k\"}", alg);
    return soft_jws(header, "{\"sub\":\"me\"}", keys[as->key], as->md, as->pss);
}

/* Is it a JWS whose signature by key holds? */
static bool holds(const char *text, EVP_PKEY *key)
{
    struct capif_jws jws;
    bool ok;

    if (capif_jws_parse(text, &jws) != NULL)
        return false;
    ok = capif_jws_verify(&jws, key);
    capif_jws_clear(&jws);
    return ok;
}

static void test_verify(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(algs); i++) {
        char *text = jws_of(algs[i].name, &algs[i]);

        for (int k = 0; k < N_KEYS; k++)
            assert_int_equal(holds(text, keys[k]), k == algs[i].key);
        free(text);
    }
}

/* RFC 8725 3.1: alg must be the key's, even if the rest would fit. */
static void test_alg_mismatch(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(algs); i++)
        for (size_t j = 0; j < N_OF(algs); j++) {
            char *text = jws_of(algs[i].name, &algs[j]);

            for (int k = 0; k < N_KEYS; k++)
                if (holds(text, keys[k]) != (i == j && k == algs[j].key))
                    fail_msg("%s signed as %s, key %d", algs[i].name,
                             algs[j].name, k);
            free(text);
        }
}

/* ES384's digest with P-256: the arithmetic holds, RFC 7518 3.4 does not. */
static void test_curve_mismatch(void **state)
{
    static const struct alg wrong[] = {
        { "ES384", P256, "SHA384", false },
        { "ES512", P256, "SHA512", false },
        { "ES256", P384, "SHA256", false },
        { "ES256", P521, "SHA256", false },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(wrong); i++) {
        char *text = jws_of(wrong[i].name, &wrong[i]);

        assert_false(holds(text, keys[wrong[i].key]));
        free(text);
    }
}

/* secp256k1 has signatures of ES256's length, but is not its curve. */
static void test_other_curve(void **state)
{
    EVP_PKEY *key = soft_key("secp256k1", 0);
    char *text = soft_jws("{\"alg\":\"ES256\"}", "{}", key, "SHA256", false);

    (void)state;
    assert_false(holds(text, key));
    free(text);
    EVP_PKEY_free(key);
}

static void test_sign(void **state)
{
    static const struct {
        int key;
        const char *alg;
    } v[] = { { ED, "EdDSA" }, { R2048, "PS256" } };
    json_t *claims = soft_json("{'sub':'me','n':[1,{'x':true}]}");

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        char *text = capif_jws_sign(claims, "at+jwt", "k-1", keys[v[i].key]);
        struct capif_jws jws;

        assert_non_null(text);
        assert_null(capif_jws_parse(text, &jws));
        assert_string_equal(jws.alg, v[i].alg);
        assert_string_equal(jws.kid, "k-1");
        assert_string_equal(jws.typ, "at+jwt");
        assert_int_equal(json_object_size(jws.header), 3);
        assert_true(json_equal(jws.claims, claims));
        for (int k = 0; k < N_KEYS; k++)
            assert_int_equal(capif_jws_verify(&jws, keys[k]), k == v[i].key);
        capif_jws_clear(&jws);
        assert_null(jws.header);
        free(text);
    }
    json_decref(claims);
}

/*
 * The default provider knows nothing of ?sealed.sig=jose and answers in DER,
 * which must not go out.  The token's is in test_jws_token.c.
 */
static void test_sign_no_der(void **state)
{
    json_t *claims = soft_json("{'sub':'me'}");

    (void)state;
    for (int k = P256; k <= P521; k++)
        assert_null(capif_jws_sign(claims, "JWT", "k", keys[k]));
    json_decref(claims);
}

static void test_sign_refused(void **state)
{
    json_t *claims = soft_json("{'sub':'me'}");
    EVP_PKEY *bad[] = { soft_key("secp256k1", 0), soft_key("P-224", 0),
                        soft_key(NULL, 1024) };
    json_t *jwk = capif_jwk(keys[ED], "k");
    EVP_PKEY *public = capif_jwk_parse(jwk);

    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++) {
        assert_null(capif_jws_sign(claims, "JWT", "k", bad[i]));
        EVP_PKEY_free(bad[i]);
    }
    assert_non_null(public);
    assert_null(capif_jws_sign(claims, "JWT", "k", public));
    EVP_PKEY_free(public);
    json_decref(jwk);
    json_decref(claims);
}

static void test_small_rsa(void **state)
{
    EVP_PKEY *key = soft_key(NULL, 1024);
    char *pss = soft_jws("{\"alg\":\"PS256\"}", "{}", key, "SHA256", true);
    char *v15 = soft_jws("{\"alg\":\"RS256\"}", "{}", key, "SHA256", false);

    (void)state;
    assert_false(holds(pss, key));
    assert_false(holds(v15, key));
    free(pss);
    free(v15);
    EVP_PKEY_free(key);
}

/* Every character of it, one after the other, made another one. */
static void test_any_change(void **state)
{
    static const size_t which[] = { 0, 3, 4, 7 };

    (void)state;
    for (size_t i = 0; i < N_OF(which); i++) {
        const struct alg *a = &algs[which[i]];
        char *text = jws_of(a->name, a);

        for (char *p = text; *p != '\0'; p++) {
            const char was = *p;

            *p = was == 'A' ? 'B' : 'A';
            if (holds(text, keys[a->key]))
                fail_msg("%s: octet %td does not count", a->name, p - text);
            *p = was ^ 1; /* the least change */
            if (holds(text, keys[a->key]))
                fail_msg("%s: octet %td does not count", a->name, p - text);
            *p = was;
        }
        assert_true(holds(text, keys[a->key]));
        free(text);
    }
}

static void test_truncated(void **state)
{
    char *text = jws_of("EdDSA", &algs[3]);
    char longer[512];

    (void)state;
    for (size_t n = strlen(text); n-- > 0;) {
        snprintf(longer, sizeof(longer), "%.*s", (int)n, text);
        assert_false(holds(longer, keys[ED]));
    }
    assert_true(holds(text, keys[ED]));
    snprintf(longer, sizeof(longer), "%sAAAA", text);
    assert_false(holds(longer, keys[ED]));
    snprintf(longer, sizeof(longer), "%s\n", text);
    assert_false(holds(longer, keys[ED]));
    free(text);
}

/* R || S shorter, longer, and all zero (CVE-2022-21449). */
static void test_ecdsa_lengths(void **state)
{
    char *text = jws_of("ES256", &algs[0]);
    struct capif_jws jws;

    (void)state;
    assert_null(capif_jws_parse(text, &jws));
    assert_int_equal(jws.sig_len, 64);
    jws.sig_len = 63;
    assert_false(capif_jws_verify(&jws, keys[P256]));
    jws.sig_len = 0;
    assert_false(capif_jws_verify(&jws, keys[P256]));
    jws.sig_len = 64;
    assert_true(capif_jws_verify(&jws, keys[P256]));
    memset(jws.sig, 0, 64);
    assert_false(capif_jws_verify(&jws, keys[P256]));
    capif_jws_clear(&jws);
    free(text);
}

/* At most CAPIF_JWS_MAX octets, whatever is in them. */
static void test_too_long(void **state)
{
    bool just = false, over = false;
    char header[64], *claims = malloc(CAPIF_JWS_MAX);

    (void)state;
    for (int k = 1; k <= 4; k++)
        for (int n = 6000; n < 6100; n++) {
            struct capif_jws jws;
            char *text;
            bool ok;

            snprintf(header, sizeof(header),
                     "{\"alg\":\"EdDSA\",\"kid\":\""
                     "%.*s\"}",
                     k, "kkkk");
            snprintf(claims, CAPIF_JWS_MAX, "{\"x\":\"%0*d\"}", n, 0);
            text = soft_jws(header, claims, keys[ED], NULL, false);
            ok = capif_jws_parse(text, &jws) == NULL;
            assert_int_equal(ok, strlen(text) <= CAPIF_JWS_MAX);
            just = just || strlen(text) == CAPIF_JWS_MAX;
            over = over || strlen(text) == CAPIF_JWS_MAX + 1;
            if (ok)
                capif_jws_clear(&jws);
            free(text);
        }
    assert_true(just);
    assert_true(over);
    free(claims);
}

#define ED_ "{\"alg\":\"EdDSA\","

static void test_headers_refused(void **state)
{
    static const struct {
        const char *header, *why;
    } bad[] = {
        { "{\"alg\":\"none\"}", "alg refused" },
        { "{\"alg\":\"None\"}", "alg refused" },
        { "{\"alg\":\"\"}", "alg refused" },
        { "{\"alg\":\"HS256\"}", "alg refused" },
        { "{\"alg\":\"HS512\"}", "alg refused" },
        { "{\"alg\":\"ES256K\"}", "alg refused" },
        { "{\"alg\":\"eddsa\"}", "alg refused" },
        { "{\"alg\":\"EdDSA \"}", "alg refused" },
        { "{\"alg\":1}", "alg refused" },
        { "{\"alg\":[\"EdDSA\"]}", "alg refused" },
        { "{}", "alg refused" },
        { ED_ "\"jku\":\"https://x/\"}", "header parameter refused" },
        { ED_ "\"jwk\":{}}", "header parameter refused" },
        { ED_ "\"x5u\":\"https://x/\"}", "header parameter refused" },
        { ED_ "\"x5c\":[]}", "header parameter refused" },
        { ED_ "\"crit\":[]}", "header parameter refused" },
        { ED_ "\"crit\":[\"exp\"],\"exp\":1}", "header parameter refused" },
        { ED_ "\"b64\":true}", "header parameter refused" },
        { ED_ "\"zip\":\"DEF\"}", "header parameter refused" },
        { ED_ "\"jwk\":null}", "header parameter refused" },
        { ED_ "\"kid\":1}", "malformed header" },
        { ED_ "\"kid\":null}", "malformed header" },
        { ED_ "\"kid\":[\"k\"]}", "malformed header" },
        { ED_ "\"typ\":1}", "malformed header" },
        { ED_ "\"kid\":\"a\\u0000b\"}", "not a JWS" },
        { ED_ "\"alg\":\"EdDSA\"}", "not a JWS" },
        { ED_ "\"kid\":\"a\",\"kid\":\"a\"}", "not a JWS" },
        { "[]", "not a JWS" },
        { "\"EdDSA\"", "not a JWS" },
        { "null", "not a JWS" },
        { "", "not a JWS" },
        { "{\"alg\":\"EdDSA\"} x", "not a JWS" },
        { "{\"alg\":\"EdDSA\"", "not a JWS" },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++) {
        char *text = soft_jws(bad[i].header, "{}", keys[ED], NULL, false);
        struct capif_jws jws, was;
        const char *why;

        memset(&jws, 0x5a, sizeof(jws));
        was = jws;
        why = capif_jws_parse(text, &jws);
        if (why == NULL || strcmp(why, bad[i].why) != 0)
            fail_msg("%s: %s", bad[i].header, why != NULL ? why : "taken");
        assert_memory_equal(&jws, &was, sizeof(jws));
        free(text);
    }
}

static void test_kid_length(void **state)
{
    char header[256];

    (void)state;
    for (int n = CAPIF_KID_MAX; n <= CAPIF_KID_MAX + 1; n++) {
        char *text;

        snprintf(header, sizeof(header), ED_ "\"kid\":\"%0*d\"}", n, 0);
        text = soft_jws(header, "{}", keys[ED], NULL, false);
        assert_int_equal(holds(text, keys[ED]), n == CAPIF_KID_MAX);
        free(text);
    }
}

static void test_claims_refused(void **state)
{
    static const char *const bad[] = {
        "[]",
        "1",
        "\"x\"",
        "null",
        "",
        "{",
        "{}{}",
        "{\"a\":1,\"a\":1}",
        "{\"a\":{\"b\":1,\"b\":2}}",
        "{\"a\":\"\\u0000\"}",
        "{\"a\":\"\xff\"}",
    };
    struct capif_jws jws;

    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++) {
        char *text =
            soft_jws("{\"alg\":\"EdDSA\"}", bad[i], keys[ED], NULL, false);

        if (capif_jws_parse(text, &jws) == NULL)
            fail_msg("%s was taken", bad[i]);
        free(text);
    }
}

#define H "eyJhbGciOiJFZERTQSJ9" /* {"alg":"EdDSA"} */

static void test_parts(void **state)
{
    static const char *const bad[] = {
        "",
        ".",
        "..",
        "...",
        H,
        H ".e30",
        H ".e30.A.",
        H ".e30.AA.AA",
        ".e30.AA",
        H "..AA",
        H ".e30.AA ",
        " " H ".e30.AA",
        H "=.e30.AA",
        H ".e30=.AA",
        H ".e30.AA==",
        H ".e30.AB",
        H ".e30.A",
        H ".e30.AA\n",
        H ".e 30.AA",
    };
    struct capif_jws jws;

    (void)state;
    assert_null(capif_jws_parse(H ".e30.AA", &jws));
    assert_false(capif_jws_verify(&jws, keys[ED]));
    capif_jws_clear(&jws);
    assert_null(capif_jws_parse(H ".e30.", &jws)); /* unsigned */
    for (size_t k = 0; k < N_KEYS; k++)
        assert_false(capif_jws_verify(&jws, keys[k]));
    capif_jws_clear(&jws);
    for (size_t i = 0; i < N_OF(bad); i++)
        if (capif_jws_parse(bad[i], &jws) == NULL)
            fail_msg("'%s' was taken", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_alg_mismatch),
        cmocka_unit_test(test_curve_mismatch),
        cmocka_unit_test(test_other_curve),
        cmocka_unit_test(test_sign),
        cmocka_unit_test(test_sign_no_der),
        cmocka_unit_test(test_sign_refused),
        cmocka_unit_test(test_small_rsa),
        cmocka_unit_test(test_any_change),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_ecdsa_lengths),
        cmocka_unit_test(test_too_long),
        cmocka_unit_test(test_headers_refused),
        cmocka_unit_test(test_kid_length),
        cmocka_unit_test(test_claims_refused),
        cmocka_unit_test(test_parts),
    };

    return cmocka_run_group_tests_name("capif: jws", tests, setup, teardown);
}
