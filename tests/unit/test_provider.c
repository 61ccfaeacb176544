/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys and certificates of the token as EVP_PKEY and X509: made, found,
 * compared, and not exported.
 */
#include "token.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <stdio.h>
#include <string.h>

static void uri_of(const struct kind *k, char uri[64])
{
    snprintf(uri, 64, "pkcs11:token=unit;object=%s", k->name);
}

/* Each kind was made by token_setup_keys(); a second of that name may not. */
static void test_generate(void **state)
{
    const struct token *t = *state;
    char uri[64];

    for (size_t i = 0; i < N_KINDS; i++) {
        assert_true(EVP_PKEY_is_a(t->keys[i], kinds[i].type));
        assert_string_equal(
            OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(t->keys[i])),
            "sealed");
        uri_of(&kinds[i], uri);
        ERR_clear_error();
        assert_null(key_generate(t->sealed, &kinds[i], uri));
        assert_true(queue_had("forbidden for this key"));
    }
}

static void test_generate_refused(void **state)
{
    static const struct {
        struct kind k;
        const char *uri, *text;
    } bad[] = {
        { { "", "EC", "P-192", NULL, 0 }, "pkcs11:object=x", "group" },
        { { "", "EC", "P-256", NULL, 0 }, "pkcs11:id=%99", "names no object" },
        { { "", "EC", "P-256", NULL, 0 }, "pkcs11:object=%zz", "malformed" },
        { { "", "EC", "P-256", NULL, 0 },
          "pkcs11:token=other;object=x",
          "not found in the token" },
        { { "", "EC", "P-256", NULL, 0 }, NULL, "refused parameter" },
    };
    const struct token *t = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        ERR_clear_error();
        assert_null(key_generate(t->sealed, &bad[i].k, bad[i].uri));
        assert_true(queue_had(bad[i].text));
    }
}

/* Without a URI nothing is asked of the token: such a key is ephemeral. */
static void test_generate_in_software(void **state)
{
    const struct token *t = *state;
    EVP_PKEY *key =
        EVP_PKEY_Q_keygen(t->sealed, "provider=sealed", "EC", "P-256");
    EVP_PKEY *pub = key_public(key, t->plain);
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);
    BIGNUM *d = NULL;

    assert_non_null(key);
    assert_true(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &d));
    assert_true(
        sign_message(t->sealed, key, "SHA256", "provider=sealed", sig, &len));
    assert_true(verify_message(t->plain, pub, "SHA256", sig, len));
    len = sizeof(sig);
    assert_true(
        sign_message(t->sealed, key, "SHA256", "sealed.sig=jose", sig, &len));
    assert_int_equal(len, 64);
    BN_clear_free(d);
    EVP_PKEY_free(pub);
    EVP_PKEY_free(key);
}

static void test_find(void **state)
{
    const struct token *t = *state;
    char uri[64];

    for (size_t i = 0; i < N_KINDS; i++) {
        EVP_PKEY *priv, *pub;
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig);

        uri_of(&kinds[i], uri);
        priv = key_find(t->sealed, uri, OSSL_STORE_INFO_PKEY);
        pub = key_find(t->sealed, uri, OSSL_STORE_INFO_PUBKEY);
        assert_non_null(priv);
        assert_non_null(pub);
        assert_int_equal(EVP_PKEY_eq(priv, t->keys[i]), 1);
        assert_int_equal(EVP_PKEY_eq(priv, pub), 1);
        assert_true(
            sign_message(t->sealed, priv, kinds[i].md, NULL, sig, &len));
        assert_true(verify_message(t->sealed, pub, kinds[i].md, sig, len));
        len = sizeof(sig); /* a public key is not good for that */
        assert_false(
            sign_message(t->sealed, pub, kinds[i].md, NULL, sig, &len));
        EVP_PKEY_free(priv);
        EVP_PKEY_free(pub);
    }
}

static void test_find_all(void **state)
{
    const struct token *t = *state;
    OSSL_STORE_CTX *store = OSSL_STORE_open_ex(
        "pkcs11:object=p256", t->sealed, NULL, NULL, NULL, NULL, NULL, NULL);
    int seen[2] = { 0, 0 };

    assert_non_null(store);
    while (!OSSL_STORE_eof(store)) {
        OSSL_STORE_INFO *info = OSSL_STORE_load(store);

        assert_non_null(info);
        if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            seen[0]++;
        else if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PUBKEY)
            seen[1]++;
        OSSL_STORE_INFO_free(info);
    }
    assert_false(OSSL_STORE_error(store));
    OSSL_STORE_close(store);
    assert_int_equal(seen[0], 1);
    assert_int_equal(seen[1], 1);
}

/* The provider imports no certificates, so pkcs11-tool does. */
static int import_cert(const struct token *t, const char *der)
{
    const char *const argv[] = {
        "pkcs11-tool", "--module", t->softhsm, "--token-label",  "unit",
        "--login",     "--pin",    TOKEN_PIN,  "--write-object", der,
        "--type",      "cert",     "--label",  "cert",           "--id",
        "01",          NULL
    };

    return token_run(argv);
}

static void test_find_cert(void **state)
{
    const struct token *t = *state;
    X509 *x = cert_make(t->sealed, t->keys[P256], "SHA256"), *found;
    char path[64];
    FILE *f;

    assert_non_null(x);
    token_file(t, "cert.der", "", path);
    f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(i2d_X509_fp(f, x), 1);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(import_cert(t, path), 0);
    found = cert_find(t->sealed, "pkcs11:object=cert;type=cert");
    assert_non_null(found);
    assert_int_equal(X509_cmp(found, x), 0);
    X509_free(found);
    X509_free(x);
}

static void test_not_found(void **state)
{
    static const char *const uris[] = {
        "pkcs11:object=none", "pkcs11:object=none;type=cert",
        "pkcs11:token=other;object=p256",
        "pkcs11:object=p256;type=cert", /* the expectation is a key */
    };
    const struct token *t = *state;

    for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
        ERR_clear_error();
        assert_null(key_find(t->sealed, uris[i], OSSL_STORE_INFO_PKEY));
        assert_true(queue_had("not found in the token"));
    }
    ERR_clear_error();
    assert_null(key_find(t->sealed, "pkcs11:id=%zz", OSSL_STORE_INFO_PKEY));
    assert_true(queue_had("refused parameter"));
    assert_null(key_find(t->sealed, "pkcs11:", OSSL_STORE_INFO_CRL));
    ERR_clear_error();
}

static void test_private_stays(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_KINDS; i++) {
        EVP_PKEY *key = t->keys[i];
        unsigned char raw[64], *der = NULL;
        size_t len = sizeof(raw);
        OSSL_PARAM *params = NULL;
        BIGNUM *n = NULL;

        assert_false(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &n));
        assert_false(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_D, &n));
        assert_null(n);
        assert_false(EVP_PKEY_get_octet_string_param(
            key, OSSL_PKEY_PARAM_PRIV_KEY, raw, sizeof(raw), &len));
        assert_false(EVP_PKEY_get_raw_private_key(key, raw, &len));
        assert_false(EVP_PKEY_todata(key, EVP_PKEY_KEYPAIR, &params));
        assert_null(params);
        assert_true(i2d_PrivateKey(key, &der) <= 0);
        assert_null(der);
    }
    ERR_clear_error();
}

/* A software key of the same kind, but not the same. */
static EVP_PKEY *another(OSSL_LIB_CTX *ctx, const char *propq, size_t kind)
{
    EVP_PKEY *key;

    if (kind == RSA2048)
        key = EVP_PKEY_Q_keygen(ctx, propq, "RSA", (size_t)2048);
    else if (kind == ED25519)
        key = EVP_PKEY_Q_keygen(ctx, propq, "ED25519");
    else
        key = EVP_PKEY_Q_keygen(ctx, propq, "EC", kinds[kind].group);
    assert_non_null(key);
    return key;
}

static void test_public_is_equal(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_KINDS; i++) {
        EVP_PKEY *key = t->keys[i];
        EVP_PKEY *pub = key_public(key, t->plain);
        EVP_PKEY *other = another(t->plain, NULL, i);
        EVP_PKEY *ours = another(t->sealed, "provider=sealed", i);

        assert_non_null(pub);
        assert_string_equal(
            OSSL_PROVIDER_get0_name(EVP_PKEY_get0_provider(pub)), "default");
        assert_int_equal(EVP_PKEY_eq(pub, key), 1);
        assert_int_equal(EVP_PKEY_eq(key, pub), 1);
        assert_int_equal(EVP_PKEY_eq(key, other), 0);
        assert_int_equal(EVP_PKEY_eq(key, ours), 0);
        assert_int_equal(EVP_PKEY_get_bits(key), EVP_PKEY_get_bits(pub));
        assert_int_equal(EVP_PKEY_get_size(key), EVP_PKEY_get_size(pub));
        assert_int_equal(EVP_PKEY_get_security_bits(key),
                         EVP_PKEY_get_security_bits(pub));
        EVP_PKEY_free(ours);
        EVP_PKEY_free(other);
        EVP_PKEY_free(pub);
    }
}

static void test_check_and_dup(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_KINDS; i++) {
        EVP_PKEY_CTX *c =
            EVP_PKEY_CTX_new_from_pkey(t->sealed, t->keys[i], NULL);
        EVP_PKEY *dup = EVP_PKEY_dup(t->keys[i]);
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig);

        assert_non_null(c);
        assert_int_equal(EVP_PKEY_public_check(c), 1);
        assert_non_null(dup);
        assert_true(sign_message(t->sealed, dup, kinds[i].md, NULL, sig, &len));
        assert_true(
            verify_message(t->sealed, t->keys[i], kinds[i].md, sig, len));
        EVP_PKEY_free(dup);
        EVP_PKEY_CTX_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_generate_refused),
        cmocka_unit_test(test_generate_in_software),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_find_all),
        cmocka_unit_test(test_find_cert),
        cmocka_unit_test(test_not_found),
        cmocka_unit_test(test_private_stays),
        cmocka_unit_test(test_public_is_equal),
        cmocka_unit_test(test_check_and_dup),
    };

    return cmocka_run_group_tests_name("provider: keys", tests,
                                       token_setup_keys, token_teardown);
}
