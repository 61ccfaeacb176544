/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA-PSS (RFC 8017 8.1): digests, salts, and parameters that are refused
 * without a trace.
 */
#include "token.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <string.h>

static const struct {
    const char *name;
    int octets;
} mds[] = {
    { "SHA224", 28 },
    { "SHA256", 32 },
    { "SHA384", 48 },
    { "SHA512", 64 },
};
#define N_MDS (sizeof(mds) / sizeof(mds[0]))

static int salt_max(size_t md)
{
    return 256 - mds[md].octets - 2; /* emLen - hLen - 2 */
}

/* A signing context for PSS, with whatever salt is the default. */
static EVP_MD_CTX *pss_init(const struct token *t, const char *md,
                            EVP_PKEY_CTX **pctx)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();

    assert_true(EVP_DigestSignInit_ex(c, pctx, md, t->sealed, NULL,
                                      t->keys[RSA2048], NULL));
    assert_true(EVP_PKEY_CTX_set_rsa_padding(*pctx, RSA_PKCS1_PSS_PADDING) > 0);
    return c;
}

/* Verified with exactly this salt and MGF1 digest, not with any. */
static bool pss_verifies(const struct token *t, const char *md,
                         const char *mgf1, int salt, const unsigned char *sig,
                         size_t len)
{
    EVP_PKEY *pub = key_public(t->keys[RSA2048], t->plain);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool ok =
        EVP_DigestVerifyInit_ex(c, &pctx, md, t->plain, NULL, pub, NULL) > 0
        && EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) > 0
        && EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt) > 0
        && EVP_PKEY_CTX_set_rsa_mgf1_md_name(pctx, mgf1, NULL) > 0
        && EVP_DigestVerify(c, sig, len, message, MESSAGE_LEN) == 1;

    EVP_MD_CTX_free(c);
    EVP_PKEY_free(pub);
    return ok;
}

static void sign_and_verify(const struct token *t, EVP_MD_CTX *c, size_t md,
                            int salt)
{
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);

    assert_true(EVP_DigestSign(c, sig, &len, message, MESSAGE_LEN) > 0);
    assert_int_equal(len, 256);
    assert_true(pss_verifies(t, mds[md].name, mds[md].name, salt, sig, len));
    assert_false(
        pss_verifies(t, mds[md].name, mds[md].name, salt + 1, sig, len));
}

static void test_salts(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_MDS; i++) {
        const struct {
            int given, want;
        } salts[] = {
            { RSA_PSS_SALTLEN_DIGEST, mds[i].octets },
            { RSA_PSS_SALTLEN_MAX, salt_max(i) },
            { RSA_PSS_SALTLEN_AUTO, salt_max(i) },
            { 0, 0 },
            { 20, 20 },
            { salt_max(i), salt_max(i) },
        };

        for (size_t j = 0; j < sizeof(salts) / sizeof(salts[0]); j++) {
            EVP_PKEY_CTX *pctx = NULL;
            EVP_MD_CTX *c = pss_init(t, mds[i].name, &pctx);

            assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salts[j].given)
                        > 0);
            sign_and_verify(t, c, i, salts[j].want);
            EVP_MD_CTX_free(c);
        }
    }
    ERR_clear_error();
}

static int set_string(EVP_PKEY_CTX *pctx, const char *key, const char *value)
{
    OSSL_PARAM params[] = { OSSL_PARAM_END, OSSL_PARAM_END };

    params[0] =
        OSSL_PARAM_construct_utf8_string(key, (char *)(uintptr_t)value, 0);
    return EVP_PKEY_CTX_set_params(pctx, params);
}

/* The same by name, as configuration files and `openssl` have it. */
static void test_salt_names(void **state)
{
    const struct token *t = *state;
    const struct {
        const char *given;
        int want;
    } salts[] = {
        { "digest", 32 }, { "max", salt_max(1) }, { "auto", salt_max(1) },
        { "0", 0 },       { "20", 20 },
    };

    for (size_t i = 0; i < sizeof(salts) / sizeof(salts[0]); i++) {
        EVP_PKEY_CTX *pctx = NULL;
        EVP_MD_CTX *c = pss_init(t, "SHA256", &pctx);

        assert_true(set_string(pctx, OSSL_SIGNATURE_PARAM_PAD_MODE, "pss") > 0);
        assert_true(
            set_string(pctx, OSSL_SIGNATURE_PARAM_PSS_SALTLEN, salts[i].given)
            > 0);
        sign_and_verify(t, c, 1, salts[i].want);
        EVP_MD_CTX_free(c);
    }
    ERR_clear_error();
}

static void test_salt_too_long(void **state)
{
    const struct token *t = *state;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *c = pss_init(t, "SHA256", &pctx);
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);

    assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt_max(1) + 1) > 0);
    ERR_clear_error();
    assert_false(EVP_DigestSign(c, sig, &len, message, MESSAGE_LEN) > 0);
    assert_true(queue_had("salt for RSA-PSS"));
    EVP_MD_CTX_free(c);
}

/* What is refused changes nothing, nor does what comes along with it. */
static void test_refused_parameters(void **state)
{
    static const struct {
        const char *key, *value;
    } bad[] = {
        { OSSL_SIGNATURE_PARAM_PAD_MODE, "oaep" },
        { OSSL_SIGNATURE_PARAM_PAD_MODE, "none" },
        { OSSL_SIGNATURE_PARAM_PAD_MODE, "" },
        { OSSL_SIGNATURE_PARAM_PSS_SALTLEN, "-5" },
        { OSSL_SIGNATURE_PARAM_PSS_SALTLEN, "20x" },
        { OSSL_SIGNATURE_PARAM_PSS_SALTLEN, "4294967316" },
        { OSSL_SIGNATURE_PARAM_PSS_SALTLEN, "" },
        { OSSL_SIGNATURE_PARAM_MGF1_DIGEST, "NO-SUCH" },
        { OSSL_SIGNATURE_PARAM_DIGEST, "NO-SUCH" },
        { OSSL_SIGNATURE_PARAM_DIGEST, "SHAKE256" },
    };
    const struct token *t = *state;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *c = pss_init(t, "SHA256", &pctx);

    assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, 20) > 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        OSSL_PARAM params[4] = {
            OSSL_PARAM_construct_utf8_string(
                bad[i].key, (char *)(uintptr_t)bad[i].value, 0),
            /* Of two with the same key, the first counts. */
            OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE,
                                             (char *)(uintptr_t) "pkcs1", 0),
            OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN,
                                             (char *)(uintptr_t) "32", 0),
            OSSL_PARAM_END
        };

        ERR_clear_error();
        assert_false(EVP_PKEY_CTX_set_params(pctx, params) > 0);
        assert_true(queue_had("refused parameter"));
    }
    sign_and_verify(t, c, 1, 20); /* still PSS, SHA-256, 20 octets */
    EVP_MD_CTX_free(c);
}

static void test_padding_modes(void **state)
{
    static const int bad[] = { RSA_NO_PADDING, RSA_PKCS1_OAEP_PADDING,
                               RSA_X931_PADDING, 0, 99 };
    const struct token *t = *state;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *c = pss_init(t, "SHA256", &pctx);
    int pad = 0;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(EVP_PKEY_CTX_set_rsa_padding(pctx, bad[i]) > 0);
    assert_true(EVP_PKEY_CTX_get_rsa_padding(pctx, &pad) > 0);
    assert_int_equal(pad, RSA_PKCS1_PSS_PADDING);
    EVP_MD_CTX_free(c);
    ERR_clear_error();
}

/* RFC 8017 lets the two differ. */
static void test_mgf1_digest(void **state)
{
    const struct token *t = *state;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *c = pss_init(t, "SHA256", &pctx);
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);

    assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, 32) > 0);
    assert_true(EVP_PKEY_CTX_set_rsa_mgf1_md_name(pctx, "SHA1", NULL) > 0);
    if (EVP_DigestSign(c, sig, &len, message, MESSAGE_LEN) > 0) {
        assert_true(pss_verifies(t, "SHA256", "SHA1", 32, sig, len));
        assert_false(pss_verifies(t, "SHA256", "SHA256", 32, sig, len));
    } else {
        /* SoftHSM 2.6 wants them equal, and nothing but that may fail. */
        assert_true(queue_had("CKR_ARGUMENTS_BAD"));
    }
    EVP_MD_CTX_free(c);
    ERR_clear_error();
}

/* No CKG_MGF1_... for it: a clear refusal, not another digest. */
static void test_digest_without_mechanism(void **state)
{
    const struct token *t = *state;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *c = pss_init(t, "SHA3-256", &pctx);
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);

    ERR_clear_error();
    assert_false(EVP_DigestSign(c, sig, &len, message, MESSAGE_LEN) > 0);
    assert_true(queue_had("digest not supported or not set"));
    EVP_MD_CTX_free(c);
}

static void test_copy_keeps_parameters(void **state)
{
    const struct token *t = *state;
    EVP_PKEY_CTX *pctx = NULL;
    EVP_MD_CTX *a = pss_init(t, "SHA384", &pctx), *b = EVP_MD_CTX_new();

    assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, 20) > 0);
    assert_true(EVP_MD_CTX_copy(b, a));
    EVP_MD_CTX_free(a);
    sign_and_verify(t, b, 2, 20);
    EVP_MD_CTX_free(b);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_salts),
        cmocka_unit_test(test_salt_names),
        cmocka_unit_test(test_salt_too_long),
        cmocka_unit_test(test_refused_parameters),
        cmocka_unit_test(test_padding_modes),
        cmocka_unit_test(test_mgf1_digest),
        cmocka_unit_test(test_digest_without_mechanism),
        cmocka_unit_test(test_copy_keeps_parameters),
    };

    return cmocka_run_group_tests_name("provider: RSA-PSS", tests,
                                       token_setup_keys, token_teardown);
}
