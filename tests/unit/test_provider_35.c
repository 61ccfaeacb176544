/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of whole messages by algorithms such as RSA-SHA256, which
 * OpenSSL has since 3.4: with 3.0, there is nothing to run.
 */
#include "token.h"

#include <openssl/core_dispatch.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

#ifdef OSSL_FUNC_SIGNATURE_SIGN_MESSAGE_INIT

struct algorithm {
    const char *name;
    const struct kind *kind; /* whose key it is for */
    const char *md;          /* as verify_message() wants it */
};

static const struct kind ed448 = { "ed448", "ED448", NULL, NULL, 114 };

static const struct algorithm algorithms[] = {
    { "RSA-SHA224", &kinds[RSA2048], "SHA224" },
    { "RSA-SHA256", &kinds[RSA2048], "SHA256" },
    { "RSA-SHA384", &kinds[RSA2048], "SHA384" },
    { "RSA-SHA512", &kinds[RSA2048], "SHA512" },
    { "ECDSA-SHA224", &kinds[P256], "SHA224" },
    { "ECDSA-SHA256", &kinds[P256], "SHA256" },
    { "ECDSA-SHA384", &kinds[P256 + 1], "SHA384" },
    { "ECDSA-SHA512", &kinds[P256 + 2], "SHA512" },
    { "ED25519", &kinds[ED25519], NULL },
    { "ED448", &ed448, NULL },
};
#define N_ALGORITHMS (sizeof(algorithms) / sizeof(algorithms[0]))

/* One on a key, in the token; its public half for the default provider. */
struct signer {
    const struct algorithm *a;
    EVP_PKEY *key, *pub;
    EVP_PKEY_CTX *ctx;
    EVP_SIGNATURE *sig;
};

static EVP_PKEY *ed448_key;

static EVP_PKEY *key_of(const struct token *t, const struct kind *k)
{
    return k == &ed448 ? ed448_key : t->keys[k - kinds];
}

static struct signer signer_open(const struct token *t,
                                 const struct algorithm *a, const char *propq)
{
    struct signer s = { .a = a, .key = key_of(t, a->kind) };

    s.pub = key_public(s.key, t->plain);
    s.ctx = EVP_PKEY_CTX_new_from_pkey(t->sealed, s.key, propq);
    s.sig = EVP_SIGNATURE_fetch(t->sealed, a->name, propq);
    assert_non_null(s.pub);
    assert_non_null(s.ctx);
    assert_non_null(s.sig);
    return s;
}

static void signer_close(struct signer *s)
{
    EVP_PKEY_free(s->pub);
    EVP_PKEY_CTX_free(s->ctx);
    EVP_SIGNATURE_free(s->sig);
}

static int setup_ed448(void **state)
{
    const struct token *t;

    assert_int_equal(token_setup_keys(state), 0);
    t = *state;
    ed448_key = key_generate(t->sealed, &ed448, "pkcs11:object=ed448");
    assert_non_null(ed448_key);
    return 0;
}

static int teardown_ed448(void **state)
{
    EVP_PKEY_free(ed448_key);
    return token_teardown(state);
}

static void test_sign_at_once(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        struct signer s = signer_open(t, &algorithms[i], "provider=sealed");
        unsigned char sig[SIG_MAX];
        size_t len = 0;

        assert_int_equal(EVP_PKEY_sign_message_init(s.ctx, s.sig, NULL), 1);
        assert_int_equal(EVP_PKEY_sign(s.ctx, NULL, &len, message, MESSAGE_LEN),
                         1);
        assert_int_equal(len, EVP_PKEY_get_size(s.key));
        for (int round = 0; round < 2; round++) {
            len = sizeof(sig);
            assert_int_equal(
                EVP_PKEY_sign(s.ctx, sig, &len, message, MESSAGE_LEN), 1);
            assert_true(verify_message(t->plain, s.pub, s.a->md, sig, len));
        }
        sig[len - 1] ^= 1; /* the verifier is awake */
        assert_false(verify_message(t->plain, s.pub, s.a->md, sig, len));
        len = 10;
        assert_false(EVP_PKEY_sign(s.ctx, sig, &len, message, MESSAGE_LEN)
                     == 1);
        signer_close(&s);
    }
    ERR_clear_error();
}

static void sign_pieces(struct signer *s, unsigned char *sig, size_t *len)
{
    size_t want = 0;

    assert_int_equal(EVP_PKEY_sign_message_init(s->ctx, s->sig, NULL), 1);
    assert_int_equal(EVP_PKEY_sign_message_update(s->ctx, message, 10), 1);
    assert_int_equal(EVP_PKEY_sign_message_update(s->ctx, message, 0), 1);
    assert_int_equal(EVP_PKEY_sign_message_final(s->ctx, NULL, &want), 1);
    assert_int_equal(
        EVP_PKEY_sign_message_update(s->ctx, message + 10, MESSAGE_LEN - 10),
        1);
    assert_true(want <= *len);
    assert_int_equal(EVP_PKEY_sign_message_final(s->ctx, sig, len), 1);
}

static void test_sign_in_pieces(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        struct signer s = signer_open(t, &algorithms[i], "provider=sealed");
        unsigned char sig[SIG_MAX];

        for (int round = 0; round < 2; round++) { /* nothing is left over */
            size_t len = sizeof(sig);

            sign_pieces(&s, sig, &len);
            assert_true(verify_message(t->plain, s.pub, s.a->md, sig, len));
        }
        signer_close(&s);
    }
}

/* A message that EdDSA's buffer must grow for, and one of nothing. */
static void test_sizes(void **state)
{
    static unsigned char big[100000];
    const struct token *t = *state;
    const size_t sizes[] = { 0, 4096, 4097, sizeof(big) };

    memset(big, 0x5a, sizeof(big));
    for (size_t i = 0; i < 4 * N_ALGORITHMS; i++) {
        struct signer s = signer_open(t, &algorithms[i / 4], "provider=sealed");
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig), size = sizes[i % 4];

        assert_int_equal(EVP_PKEY_sign_message_init(s.ctx, s.sig, NULL), 1);
        for (size_t done = 0, n; done < size; done += n) {
            n = size - done < 3000 ? size - done : 3000;
            assert_int_equal(EVP_PKEY_sign_message_update(s.ctx, big + done, n),
                             1);
        }
        assert_int_equal(EVP_PKEY_sign_message_final(s.ctx, sig, &len), 1);
        assert_true(EVP_DigestVerifyInit_ex(c, NULL, s.a->md, t->plain, NULL,
                                            s.pub, NULL));
        assert_int_equal(EVP_DigestVerify(c, sig, len, big, size), 1);
        EVP_MD_CTX_free(c);
        signer_close(&s);
    }
}

static bool verify_pieces(struct signer *s, unsigned char *sig, size_t len,
                          size_t message_len)
{
    assert_int_equal(EVP_PKEY_verify_message_init(s->ctx, s->sig, NULL), 1);
    assert_int_equal(EVP_PKEY_CTX_set_signature(s->ctx, sig, len), 1);
    assert_int_equal(EVP_PKEY_verify_message_update(s->ctx, message, 10), 1);
    assert_int_equal(
        EVP_PKEY_verify_message_update(s->ctx, message + 10, message_len - 10),
        1);
    return EVP_PKEY_verify_message_final(s->ctx) == 1;
}

static void test_verify(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        struct signer s = signer_open(t, &algorithms[i], "provider=sealed");
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig);

        assert_true(sign_message(t->sealed, s.key, s.a->md, NULL, sig, &len));
        assert_int_equal(EVP_PKEY_verify_message_init(s.ctx, s.sig, NULL), 1);
        assert_int_equal(EVP_PKEY_verify(s.ctx, sig, len, message, MESSAGE_LEN),
                         1);
        assert_int_not_equal(
            EVP_PKEY_verify(s.ctx, sig, len, message, MESSAGE_LEN - 1), 1);
        assert_true(verify_pieces(&s, sig, len, MESSAGE_LEN));
        assert_false(verify_pieces(&s, sig, len, MESSAGE_LEN - 1));
        sig[len - 1] ^= 1;
        assert_false(verify_pieces(&s, sig, len, MESSAGE_LEN));
        /* The last one's signature is forgotten. */
        ERR_clear_error();
        assert_int_equal(EVP_PKEY_verify_message_init(s.ctx, s.sig, NULL), 1);
        assert_int_equal(
            EVP_PKEY_verify_message_update(s.ctx, message, MESSAGE_LEN), 1);
        assert_int_not_equal(EVP_PKEY_verify_message_final(s.ctx), 1);
        assert_true(queue_had("no signature to verify"));
        signer_close(&s);
    }
    ERR_clear_error();
}

static void test_copy_of_pieces(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        struct signer s = signer_open(t, &algorithms[i], "provider=sealed");
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig);
        EVP_PKEY_CTX *copy;

        assert_true(sign_message(t->sealed, s.key, s.a->md, NULL, sig, &len));
        assert_int_equal(EVP_PKEY_verify_message_init(s.ctx, s.sig, NULL), 1);
        assert_int_equal(EVP_PKEY_CTX_set_signature(s.ctx, sig, len), 1);
        assert_int_equal(EVP_PKEY_verify_message_update(s.ctx, message, 10), 1);
        copy = EVP_PKEY_CTX_dup(s.ctx);
        assert_non_null(copy);
        assert_int_equal(EVP_PKEY_verify_message_update(s.ctx, message, 5), 1);
        assert_int_equal(EVP_PKEY_verify_message_update(copy, message + 10,
                                                        MESSAGE_LEN - 10),
                         1);
        assert_int_equal(EVP_PKEY_verify_message_final(copy), 1);
        assert_int_not_equal(EVP_PKEY_verify_message_final(s.ctx), 1);
        EVP_PKEY_CTX_free(copy);
        signer_close(&s);
    }
    ERR_clear_error();
}

/* A digest, by the same names: EVP_PKEY_sign_init_ex2(). */
static void test_sign_digest(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        struct signer s = signer_open(t, &algorithms[i], "provider=sealed");
        unsigned char digest[EVP_MAX_MD_SIZE], sig[SIG_MAX];
        size_t n = 0, len = sizeof(sig);

        if (s.a->md == NULL) { /* EdDSA signs none */
            assert_int_not_equal(EVP_PKEY_sign_init_ex2(s.ctx, s.sig, NULL), 1);
            signer_close(&s);
            continue;
        }
        assert_true(EVP_Q_digest(t->plain, s.a->md, NULL, message, MESSAGE_LEN,
                                 digest, &n));
        assert_int_equal(EVP_PKEY_sign_init_ex2(s.ctx, s.sig, NULL), 1);
        assert_int_equal(EVP_PKEY_sign(s.ctx, sig, &len, digest, n), 1);
        assert_true(verify_message(t->plain, s.pub, s.a->md, sig, len));
        assert_int_equal(EVP_PKEY_verify_init_ex2(s.ctx, s.sig, NULL), 1);
        assert_int_equal(EVP_PKEY_verify(s.ctx, sig, len, digest, n), 1);
        assert_int_not_equal(EVP_PKEY_verify(s.ctx, sig, len, digest, n - 1),
                             1);
        signer_close(&s);
    }
    ERR_clear_error();
}

/* Every algorithm with every other's key. */
static void test_other_keys_refused(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        for (size_t j = 0; j < N_ALGORITHMS; j++) {
            struct signer s = signer_open(t, &algorithms[i], "provider=sealed");
            EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(
                t->sealed, key_of(t, algorithms[j].kind), "provider=sealed");
            bool same =
                strcmp(algorithms[i].kind->type, algorithms[j].kind->type) == 0;

            assert_int_equal(EVP_PKEY_sign_message_init(c, s.sig, NULL) == 1,
                             same);
            EVP_PKEY_CTX_free(c);
            signer_close(&s);
        }
    }
    ERR_clear_error();
}

/* R || S, whose form verifies where it was made, and is no DER. */
static void test_jose_form(void **state)
{
    const char *const propq = "provider=sealed,sealed.sig=jose";
    const struct token *t = *state;

    for (size_t i = 0; i < N_ALGORITHMS; i++) {
        struct signer s = signer_open(t, &algorithms[i], propq);
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig);

        sign_pieces(&s, sig, &len);
        assert_int_equal(len, s.a->kind->jose_len);
        assert_true(verify_pieces(&s, sig, len, MESSAGE_LEN));
        assert_int_equal(verify_message(t->plain, s.pub, s.a->md, sig, len),
                         s.a->kind->group == NULL);
        signer_close(&s);
    }
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign_at_once),
        cmocka_unit_test(test_sign_in_pieces),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_verify),
        cmocka_unit_test(test_copy_of_pieces),
        cmocka_unit_test(test_sign_digest),
        cmocka_unit_test(test_other_keys_refused),
        cmocka_unit_test(test_jose_form),
    };

    return cmocka_run_group_tests_name("provider: messages", tests, setup_ed448,
                                       teardown_ed448);
}

#else

int main(void)
{
    puts("1..0 # SKIP OpenSSL before 3.4 has no signatures of messages");
    return 0;
}

#endif
