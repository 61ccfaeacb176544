/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64url, JWK and the published vectors.  What a JWS is refused for is in
 * test_jws.c.
 */
#include "soft.h"

#include <stdlib.h>
#include <string.h>

/* RFC 4648 10, without padding, and one text with the URL's characters. */
static const struct {
    const char *octets, *text;
} b64[] = {
    { "", "" },
    { "f", "Zg" },
    { "fo", "Zm8" },
    { "foo", "Zm9v" },
    { "foob", "Zm9vYg" },
    { "fooba", "Zm9vYmE" },
    { "foobar", "Zm9vYmFy" },
    { "\xfb\xff", "-_8" },
};

static void test_b64url(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(b64); i++) {
        size_t len = strlen(b64[i].octets), n = 99;
        char *text = capif_b64url((const uint8_t *)b64[i].octets, len);
        uint8_t *out = NULL;

        assert_non_null(text);
        assert_string_equal(text, b64[i].text);
        assert_true(capif_b64url_decode(text, strlen(text), &out, &n));
        assert_int_equal(n, len);
        assert_memory_equal(out, b64[i].octets, len + 1); /* and the NUL */
        free(text);
        free(out);
    }
}

static void test_b64url_lengths(void **state)
{
    uint8_t in[257], *out = NULL;
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(in); i++)
        in[i] = (uint8_t)(255 - i);
    for (size_t len = 0; len <= sizeof(in); len++) {
        char *text = capif_b64url(in, len);

        assert_int_equal(strlen(text), (len * 4 + 2) / 3);
        assert_true(capif_b64url_decode(text, strlen(text), &out, &n));
        assert_int_equal(n, len);
        assert_memory_equal(out, in, len);
        free(text);
        free(out);
    }
}

static void test_b64url_refused(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } bad[] = {
        { "Z", 1 },        { "Zm9vY", 5 }, /* no octets are 4n + 1 long */
        { "Zg==", 4 },     { "Zm8=", 4 },
        { "=", 1 },        { "====", 4 },
        { "Zm9 ", 4 },     { " Zm9", 4 },
        { "Zm\n9v", 5 },   { "Zm9v\n", 5 },
        { "Zm9v\r\n", 6 }, { "Zm\t9", 4 },
        { "Zh", 2 },       { "Zm9", 3 }, /* stray bits: Zg, Zm8 */
        { "Zm9vYf", 6 },   { "Zm9vYmF", 7 },
        { "+_8", 3 },      { "-/8", 3 },
        { "Zm.v", 4 },     { "Zm9\0", 4 },
        { "\0m9v", 4 },    { "Zm\xc3\xa9", 4 },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++) {
        uint8_t *out = NULL;
        size_t n = 99;

        if (capif_b64url_decode(bad[i].text, bad[i].len, &out, &n))
            fail_msg("%zu: '%s' was taken", i, bad[i].text);
        assert_null(out);
        assert_int_equal(n, 99);
    }
}

/* All octets: 64 are characters, the other 192 are not. */
static void test_b64url_alphabet(void **state)
{
    size_t taken = 0;

    (void)state;
    for (int c = 0; c < 256; c++) {
        const char text[] = { 'A', 'A', 'A', (char)c };
        uint8_t *out = NULL;
        size_t n;

        if (!capif_b64url_decode(text, sizeof(text), &out, &n))
            continue;
        assert_int_equal(n, 3);
        free(out);
        taken++;
    }
    assert_int_equal(taken, 64);
}

static void test_sha256(void **state)
{
    char out[44];

    (void)state; /* FIPS 180-2 B.1 */
    assert_true(capif_sha256_b64url("abc", 3, out));
    assert_string_equal(out, "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
}

/* RFC 7515 A.3: ES256. */
#define A3_HEAD "eyJhbGciOiJFUzI1NiJ9"
#define A3_BODY                                         \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogI" \
    "mh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
#define A3_SIG                                             \
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw" \
    "5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
static const char a3_jwk[] =
    "{'kty':'EC','crv':'P-256',"
    "'x':'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',"
    "'y':'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0'}";

/* RFC 8037 A.2 and A.4: Ed25519. */
#define A4_SIGNED "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
#define A4_SIG                                             \
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR" \
    "4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
static const char a4_jwk[] =
    "{'kty':'OKP','crv':'Ed25519',"
    "'x':'11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo'}";

/* RFC 7638 3.1: the RSA key that is hashed there. */
static const char t31_jwk[] =
    "{'kty':'RSA','n':'0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4"
    "cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W"
    "-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaS"
    "qzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQF"
    "h6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDK"
    "gw','e':'AQAB','alg':'RS256','kid':'2011-04-29'}";

static EVP_PKEY *jwk_key(const char *text)
{
    json_t *jwk = soft_json(text);
    EVP_PKEY *key = capif_jwk_parse(jwk);

    json_decref(jwk);
    return key;
}

static void test_rfc7515_a3(void **state)
{
    EVP_PKEY *key = jwk_key(a3_jwk);
    struct capif_jws jws;

    (void)state;
    assert_non_null(key);
    assert_null(capif_jws_parse(A3_HEAD "." A3_BODY "." A3_SIG, &jws));
    assert_string_equal(jws.alg, "ES256");
    assert_null(jws.kid);
    assert_null(jws.typ);
    assert_string_equal(json_string_value(json_object_get(jws.claims, "iss")),
                        "joe");
    assert_true(capif_jws_verify(&jws, key));
    jws.sig[63] ^= 1;
    assert_false(capif_jws_verify(&jws, key));
    capif_jws_clear(&jws);
    EVP_PKEY_free(key);
}

/* Its payload is no JSON, so the parser's part is done by hand. */
static void test_rfc8037_a4(void **state)
{
    EVP_PKEY *key = jwk_key(a4_jwk);
    char text[] = A4_SIGNED "." A4_SIG;
    struct capif_jws jws = { .alg = "EdDSA", .text = text }, none;

    (void)state;
    assert_non_null(key);
    jws.signed_len = strlen(A4_SIGNED);
    assert_true(
        capif_b64url_decode(A4_SIG, strlen(A4_SIG), &jws.sig, &jws.sig_len));
    assert_true(capif_jws_verify(&jws, key));
    jws.signed_len--;
    assert_false(capif_jws_verify(&jws, key));
    assert_non_null(capif_jws_parse(text, &none));
    free(jws.sig);
    EVP_PKEY_free(key);
}

static void test_thumbprints(void **state)
{
    static const struct {
        const char *jwk, *thumbprint;
    } v[] = {
        { t31_jwk, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs" },
        { a4_jwk, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k" }, /* A.3 */
    };
    char out[44];

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        EVP_PKEY *key = jwk_key(v[i].jwk);

        assert_non_null(key);
        assert_true(capif_jwk_thumbprint(key, out));
        assert_string_equal(out, v[i].thumbprint);
        EVP_PKEY_free(key);
    }
}

static const struct {
    const char *group;
    unsigned bits;
    const char *alg, *kty, *crv;
    size_t x_len; /* characters of x, or of n */
} types[] = {
    { "P-256", 0, "ES256", "EC", "P-256", 43 },
    { "P-384", 0, "ES384", "EC", "P-384", 64 },
    { "P-521", 0, "ES512", "EC", "P-521", 88 },
    { NULL, 2048, "PS256", "RSA", NULL, 342 },
    { NULL, 0, "EdDSA", "OKP", "Ed25519", 43 },
};

static const char *str(const json_t *obj, const char *name)
{
    return json_string_value(json_object_get(obj, name));
}

static void test_jwk_round_trip(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OF(types); i++) {
        EVP_PKEY *key = soft_key(types[i].group, types[i].bits), *again;
        json_t *jwk = capif_jwk(key, "kid-1");
        const char *x = str(jwk, types[i].bits != 0 ? "n" : "x");

        assert_non_null(jwk);
        assert_string_equal(capif_jws_alg(key), types[i].alg);
        assert_string_equal(str(jwk, "kty"), types[i].kty);
        assert_string_equal(str(jwk, "alg"), types[i].alg);
        assert_string_equal(str(jwk, "kid"), "kid-1");
        assert_string_equal(str(jwk, "use"), "sig");
        if (types[i].crv != NULL)
            assert_string_equal(str(jwk, "crv"), types[i].crv);
        assert_int_equal(strlen(x), types[i].x_len);
        assert_null(json_object_get(jwk, "d"));
        again = capif_jwk_parse(jwk);
        assert_non_null(again);
        assert_int_equal(EVP_PKEY_eq(key, again), 1);
        EVP_PKEY_free(key);
        EVP_PKEY_free(again);
        json_decref(jwk);
    }
}

/* RFC 7518 6.2.1.2: leading zeros stay.  One key in 128 has one. */
static void test_jwk_leading_zero(void **state)
{
    EVP_PKEY *key = NULL;
    json_t *jwk = NULL;

    (void)state;
    do {
        json_decref(jwk);
        EVP_PKEY_free(key);
        key = soft_key("P-256", 0);
        jwk = capif_jwk(key, "k");
        assert_int_equal(strlen(str(jwk, "x")), 43);
        assert_int_equal(strlen(str(jwk, "y")), 43);
    } while (strncmp(str(jwk, "x"), "AA", 2) != 0
             && strncmp(str(jwk, "x"), "AB", 2) != 0
             && strncmp(str(jwk, "x"), "AC", 2) != 0
             && strncmp(str(jwk, "x"), "AD", 2) != 0);
    json_decref(jwk);
    EVP_PKEY_free(key);
}

#define X32 "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define Y32 "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"

static void test_jwk_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "[]",
        "1",
        "{'kty':1}",
        "{'kty':'oct','k':'AAAA'}",
        "{'kty':'ec','crv':'P-256','x':'" X32 "','y':'" Y32 "'}",
        "{'kty':'EC','x':'" X32 "','y':'" Y32 "'}",
        "{'kty':'EC','crv':'P-192','x':'" X32 "','y':'" Y32 "'}",
        "{'kty':'EC','crv':'secp256k1','x':'" X32 "','y':'" Y32 "'}",
        "{'kty':'EC','crv':'P-384','x':'" X32 "','y':'" Y32 "'}",
        "{'kty':'EC','crv':'P-256','x':'" X32 "'}",
        "{'kty':'EC','crv':'P-256','x':'" X32 "','y':1}",
        /* not on the curve: the coordinates changed over */
        "{'kty':'EC','crv':'P-256','x':'" Y32 "','y':'" X32 "'}",
        "{'kty':'EC','crv':'P-256','x':'AA" X32 "','y':'" Y32 "'}",
        "{'kty':'EC','crv':'P-256','x':'','y':''}",
        "{'kty':'EC','crv':'P-256','x':'" X32 "=','y':'" Y32 "'}",
        "{'kty':'RSA','n':'AQAB'}",
        "{'kty':'RSA','e':'AQAB'}",
        "{'kty':'RSA','n':'AQAB','e':'AQABAQABAQAB'}", /* 9 octets */
        "{'kty':'OKP','crv':'Ed25519'}",
        "{'kty':'OKP','crv':'Ed448','x':'" X32 "'}",
        "{'kty':'OKP','crv':'X25519','x':'" X32 "'}",
        "{'kty':'OKP','crv':'Ed25519','x':'AAAA'}",
        "{'kty':'OKP','x':'" X32 "'}",
    };

    (void)state;
    assert_null(capif_jwk_parse(NULL));
    for (size_t i = 0; i < N_OF(bad); i++) {
        EVP_PKEY *key = jwk_key(bad[i]);

        if (key != NULL)
            fail_msg("%s was taken", bad[i]);
    }
}

static void test_jwks_find(void **state)
{
    EVP_PKEY *a = soft_key(NULL, 0), *b = soft_key(NULL, 0), *found;
    json_t *set = json_pack("{s:[i, {}, {s:i}, o, o]}", "keys", 1, "kid", 2,
                            capif_jwk(a, "a"), capif_jwk(b, "b"));
    json_t *bad = json_pack("{s:{s:s}}", "keys", "kid", "a");

    (void)state;
    assert_non_null(set);
    found = capif_jwks_find(set, "b");
    assert_non_null(found);
    assert_int_equal(EVP_PKEY_eq(found, b), 1);
    EVP_PKEY_free(found);
    assert_null(capif_jwks_find(set, "c"));
    assert_null(capif_jwks_find(set, ""));
    assert_null(capif_jwks_find(bad, "a"));
    assert_null(capif_jwks_find(NULL, "a"));
    json_decref(set);
    json_decref(bad);
    EVP_PKEY_free(a);
    EVP_PKEY_free(b);
}

static void test_key_refused(void **state)
{
    static const struct {
        const char *group;
        unsigned bits;
    } bad[] = {
        { "secp256k1", 0 }, { "P-224", 0 }, { "brainpoolP256r1", 0 },
        { NULL, 1024 },     { NULL, 2047 },
    };
    char out[44];

    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++) {
        EVP_PKEY *key = soft_key(bad[i].group, bad[i].bits);

        assert_null(capif_jws_alg(key));
        assert_null(capif_jwk(key, "k"));
        assert_false(capif_jwk_thumbprint(key, out));
        EVP_PKEY_free(key);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_b64url),
        cmocka_unit_test(test_b64url_lengths),
        cmocka_unit_test(test_b64url_refused),
        cmocka_unit_test(test_b64url_alphabet),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_rfc7515_a3),
        cmocka_unit_test(test_rfc8037_a4),
        cmocka_unit_test(test_thumbprints),
        cmocka_unit_test(test_jwk_round_trip),
        cmocka_unit_test(test_jwk_leading_zero),
        cmocka_unit_test(test_jwk_refused),
        cmocka_unit_test(test_jwks_find),
        cmocka_unit_test(test_key_refused),
    };

    return cmocka_run_group_tests_name("capif: jose", tests, NULL, NULL);
}
