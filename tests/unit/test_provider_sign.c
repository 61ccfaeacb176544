/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of every kind of key by the token, verified by OpenSSL's default
 * provider in a library context of its own.
 */
#include "token.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <string.h>

static void test_sign(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_KINDS; i++) {
        EVP_PKEY *pub = key_public(t->keys[i], t->plain);
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig);

        assert_true(
            sign_message(t->sealed, t->keys[i], kinds[i].md, NULL, sig, &len));
        assert_true(verify_message(t->plain, pub, kinds[i].md, sig, len));
        sig[len - 1] ^= 1; /* the verifier is awake */
        assert_false(verify_message(t->plain, pub, kinds[i].md, sig, len));
        EVP_PKEY_free(pub);
    }
    ERR_clear_error();
}

/* Every digest with every kind; a P-256 key cuts SHA-512 short. */
static void test_digests(void **state)
{
    static const char *const mds[] = { "SHA1",    "SHA224", "SHA256",
                                       "SHA384",  "SHA512", "SHA3-256",
                                       "SHA3-512" };
    const struct token *t = *state;

    for (size_t i = 0; i < ED25519; i++) {
        EVP_PKEY *pub = key_public(t->keys[i], t->plain);

        for (size_t j = 0; j < sizeof(mds) / sizeof(mds[0]); j++) {
            unsigned char sig[SIG_MAX];
            size_t len = sizeof(sig);

            assert_true(
                sign_message(t->sealed, t->keys[i], mds[j], NULL, sig, &len));
            assert_true(verify_message(t->plain, pub, mds[j], sig, len));
        }
        EVP_PKEY_free(pub);
    }
}

/* A JWS's form to the one that the default provider verifies. */
static size_t der_from_jose(const unsigned char *rs, size_t len,
                            unsigned char *der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    int half = (int)(len / 2), n;

    assert_non_null(sig);
    assert_true(ECDSA_SIG_set0(sig, BN_bin2bn(rs, half, NULL),
                               BN_bin2bn(rs + half, half, NULL)));
    n = i2d_ECDSA_SIG(sig, &der);
    assert_true(n > 0);
    ECDSA_SIG_free(sig);
    return (size_t)n;
}

/* Often enough that some R or S begins with a zero octet (P-521: every other).
 */
#define JOSE_ROUNDS 64

static void test_jose(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_KINDS; i++) {
        EVP_PKEY *pub = key_public(t->keys[i], t->plain);

        for (int round = 0; round < JOSE_ROUNDS; round++) {
            unsigned char sig[SIG_MAX], der[SIG_MAX], *p = sig;
            size_t len = sizeof(sig);

            assert_true(sign_message(t->sealed, t->keys[i], kinds[i].md,
                                     "sealed.sig=jose", sig, &len));
            assert_int_equal(len, kinds[i].jose_len);
            /* What we sign in that form, we verify in that form. */
            if (kinds[i].group != NULL) {
                len = der_from_jose(sig, len, der);
                p = der;
            }
            assert_true(verify_message(t->plain, pub, kinds[i].md, p, len));
        }
        EVP_PKEY_free(pub);
    }
}

static bool verify_jose(const struct token *t, EVP_PKEY *key,
                        const unsigned char *sig, size_t len)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = EVP_DigestVerifyInit_ex(c, NULL, "SHA256", t->sealed,
                                      "sealed.sig=jose", key, NULL)
                  > 0
              && EVP_DigestVerify(c, sig, len, message, MESSAGE_LEN) == 1;

    EVP_MD_CTX_free(c);
    return ok;
}

static void test_jose_verify(void **state)
{
    const struct token *t = *state;
    EVP_PKEY *key = t->keys[P256];
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);

    assert_true(
        sign_message(t->sealed, key, "SHA256", "sealed.sig=jose", sig, &len));
    assert_true(verify_jose(t, key, sig, len));
    ERR_clear_error();
    assert_false(verify_jose(t, key, sig, len - 1));
    assert_true(queue_had("malformed signature"));
    assert_false(verify_jose(t, key, sig, len + 1));
    sig[0] ^= 1;
    assert_false(verify_jose(t, key, sig, len));
    len = sizeof(sig);
    assert_true(sign_message(t->sealed, key, "SHA256", NULL, sig, &len));
    assert_false(verify_jose(t, key, sig, len)); /* DER */
    ERR_clear_error();
}

/* EVP_PKEY_sign() of a digest that the caller has made. */
static void test_sign_digest(void **state)
{
    const struct token *t = *state;
    unsigned char digest[32], sig[SIG_MAX];

    assert_true(EVP_Q_digest(t->plain, "SHA256", NULL, message, MESSAGE_LEN,
                             digest, NULL));
    for (size_t i = 0; i < ED25519; i++) {
        EVP_PKEY *pub = key_public(t->keys[i], t->plain);
        EVP_PKEY_CTX *c =
            EVP_PKEY_CTX_new_from_pkey(t->sealed, t->keys[i], NULL);
        size_t len = sizeof(sig);

        assert_true(EVP_PKEY_sign_init(c) > 0);
        assert_true(EVP_PKEY_CTX_set_signature_md(c, EVP_sha256()) > 0);
        assert_true(EVP_PKEY_sign(c, sig, &len, digest, sizeof(digest)) > 0);
        assert_true(verify_message(t->plain, pub, "SHA256", sig, len));
        len = sizeof(sig); /* the digest and its length must agree */
        ERR_clear_error();
        assert_false(EVP_PKEY_sign(c, sig, &len, digest, 20) > 0);
        assert_true(queue_had("wrong length"));
        EVP_PKEY_CTX_free(c);
        EVP_PKEY_free(pub);
    }
}

/* RFC 7515's way: the message comes in pieces, and the context is copied. */
static void test_copy_mid_stream(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < ED25519; i++) {
        EVP_PKEY *pub = key_public(t->keys[i], t->plain);
        EVP_MD_CTX *a = EVP_MD_CTX_new(), *b = EVP_MD_CTX_new();
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig);

        assert_true(EVP_DigestSignInit_ex(a, NULL, kinds[i].md, t->sealed, NULL,
                                          t->keys[i], NULL));
        assert_true(EVP_DigestSignUpdate(a, message, 10));
        assert_true(EVP_MD_CTX_copy(b, a));
        assert_true(EVP_DigestSignUpdate(a, "other", 5));
        assert_true(EVP_DigestSignUpdate(b, message + 10, MESSAGE_LEN - 10));
        assert_true(EVP_DigestSignFinal(b, sig, &len));
        assert_true(verify_message(t->plain, pub, kinds[i].md, sig, len));
        len = sizeof(sig); /* and the copy has left the first alone */
        assert_true(EVP_DigestSignFinal(a, sig, &len));
        assert_false(verify_message(t->plain, pub, kinds[i].md, sig, len));
        EVP_MD_CTX_free(a);
        EVP_MD_CTX_free(b);
        EVP_PKEY_free(pub);
    }
    ERR_clear_error();
}

static void test_short_buffer(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_KINDS; i++) {
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        unsigned char sig[SIG_MAX];
        size_t len = 0, room;

        assert_true(EVP_DigestSignInit_ex(c, NULL, kinds[i].md, t->sealed, NULL,
                                          t->keys[i], NULL));
        assert_true(EVP_DigestSign(c, NULL, &len, message, MESSAGE_LEN));
        assert_int_equal(len, EVP_PKEY_get_size(t->keys[i]));
        room = len - 1;
        memset(sig, 0x77, sizeof(sig));
        ERR_clear_error();
        assert_false(EVP_DigestSign(c, sig, &room, message, MESSAGE_LEN) > 0);
        assert_true(queue_had("wrong length of input or output"));
        for (size_t j = 0; j < sizeof(sig); j++)
            assert_int_equal(sig[j], 0x77);
        EVP_MD_CTX_free(c);
    }
}

static void test_digest_refused(void **state)
{
    const struct token *t = *state;
    unsigned char sig[SIG_MAX];

    for (size_t i = 0; i < N_KINDS; i++) {
        size_t len = sizeof(sig);

        ERR_clear_error();
        assert_false(
            sign_message(t->sealed, t->keys[i], "SHAKE256", NULL, sig, &len));
        assert_true(queue_had("digest not supported or not set"));
        assert_false(sign_message(t->sealed, t->keys[i],
                                  i == ED25519 ? "SHA512" : "NO-SUCH", NULL,
                                  sig, &len));
    }
    ERR_clear_error();
}

/* Half of the message would be hashed by one, half signed as the other. */
static void test_digest_fixed_by_init(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < ED25519; i++) {
        EVP_PKEY *pub = key_public(t->keys[i], t->plain);
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pctx = NULL;
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig);

        assert_true(EVP_DigestSignInit_ex(c, &pctx, "SHA256", t->sealed, NULL,
                                          t->keys[i], NULL));
        assert_false(EVP_PKEY_CTX_set_signature_md(pctx, EVP_sha3_256()) > 0);
        assert_true(EVP_PKEY_CTX_set_signature_md(pctx, EVP_sha256()) > 0);
        assert_true(EVP_DigestSign(c, sig, &len, message, MESSAGE_LEN) > 0);
        assert_true(verify_message(t->plain, pub, "SHA256", sig, len));
        EVP_MD_CTX_free(c);
        EVP_PKEY_free(pub);
    }
    ERR_clear_error();
}

/* OSSL_PARAM allows a string without one. */
static void test_null_string_refused(void **state)
{
    static const char *const names[] = { OSSL_SIGNATURE_PARAM_DIGEST,
                                         OSSL_SIGNATURE_PARAM_PAD_MODE,
                                         OSSL_SIGNATURE_PARAM_PSS_SALTLEN,
                                         OSSL_SIGNATURE_PARAM_MGF1_DIGEST };
    const struct token *t = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        OSSL_PARAM params[] = { OSSL_PARAM_END, OSSL_PARAM_END };
        EVP_PKEY_CTX *c =
            EVP_PKEY_CTX_new_from_pkey(t->sealed, t->keys[RSA2048], NULL);

        params[0] = OSSL_PARAM_construct_utf8_string(names[i], NULL, 0);
        assert_true(EVP_PKEY_sign_init(c) > 0);
        assert_false(EVP_PKEY_CTX_set_params(c, params) > 0);
        EVP_PKEY_CTX_free(c);
    }
    ERR_clear_error();
}

struct job {
    const struct token *t;
    size_t kind;
    bool ok;
};

#define THREADS    4
#define SIGNATURES 20

static void *sign_job(void *arg)
{
    struct job *j = arg;
    const struct token *t = j->t;
    EVP_PKEY *pub = key_public(t->keys[j->kind], t->plain);

    j->ok = pub != NULL;
    for (int i = 0; j->ok && i < SIGNATURES; i++) {
        const char *md = kinds[j->kind].md;
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig);

        j->ok = sign_message(t->sealed, t->keys[j->kind], md, NULL, sig, &len)
                && verify_message(t->plain, pub, md, sig, len);
    }
    EVP_PKEY_free(pub);
    return NULL;
}

/* Another algorithm than Ed25519 that parameters ask for is refused. */
static void test_pure_eddsa_alone(void **state)
{
    const struct token *t = *state;
    static const struct {
        const char *instance, *context;
        bool ok;
    } asked[] = { { "Ed25519", NULL, true },     { "ed25519", "", true },
                  { "Ed25519ctx", "me", false }, { "Ed25519ph", NULL, false },
                  { NULL, "me", false },         { NULL, NULL, true } };

    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        OSSL_PARAM params[3] = { OSSL_PARAM_END, OSSL_PARAM_END,
                                 OSSL_PARAM_END };
        size_t n = 0;

        if (asked[i].instance != NULL)
            params[n++] = OSSL_PARAM_construct_utf8_string(
                "instance", (char *)(uintptr_t)asked[i].instance, 0);
        if (asked[i].context != NULL)
            params[n++] = OSSL_PARAM_construct_octet_string(
                "context-string", (char *)(uintptr_t)asked[i].context,
                strlen(asked[i].context));
        assert_int_equal(EVP_DigestSignInit_ex(c, NULL, NULL, t->sealed, NULL,
                                               t->keys[ED25519], params)
                             > 0,
                         asked[i].ok);
        if (!asked[i].ok)
            assert_true(queue_had("pure EdDSA alone"));
        EVP_MD_CTX_free(c);
    }
}

static void test_threads(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_KINDS; i++) {
        struct job jobs[THREADS];
        pthread_t threads[THREADS];

        for (size_t j = 0; j < THREADS; j++) {
            jobs[j] = (struct job){ t, i, false };
            assert_int_equal(
                pthread_create(&threads[j], NULL, sign_job, &jobs[j]), 0);
        }
        for (size_t j = 0; j < THREADS; j++) {
            pthread_join(threads[j], NULL);
            assert_true(jobs[j].ok);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign),
        cmocka_unit_test(test_digests),
        cmocka_unit_test(test_jose),
        cmocka_unit_test(test_jose_verify),
        cmocka_unit_test(test_sign_digest),
        cmocka_unit_test(test_copy_mid_stream),
        cmocka_unit_test(test_short_buffer),
        cmocka_unit_test(test_digest_refused),
        cmocka_unit_test(test_digest_fixed_by_init),
        cmocka_unit_test(test_null_string_refused),
        cmocka_unit_test(test_pure_eddsa_alone),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests_name("provider: signatures", tests,
                                       token_setup_keys, token_teardown);
}
