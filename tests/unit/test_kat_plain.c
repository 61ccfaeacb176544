/* SPDX-License-Identifier: Apache-2.0 */
/*
 * With plain keys the provider's algorithms are the default provider's, byte
 * for byte, and refuse what it refuses; no token is touched.  The inputs are
 * pseudo-random and the same in every run.
 */
#include "kdf_call.h"
#include "vault.h"

#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <string.h>

#define ROUNDS 200

static const struct kdf_from soft = { NULL, "provider=default" };

/* xorshift64 (Marsaglia 2003); not for secrets. */
static uint64_t rng = 0x9e3779b97f4a7c15;

static uint32_t any(uint32_t bound)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (uint32_t)(rng >> 32) % bound;
}

static struct blob fill(uint8_t *buf, size_t len)
{
    for (size_t i = 0; i < len; i++)
        buf[i] = (uint8_t)any(256);
    return BLOB(buf, len);
}

static void same(bool ours, bool theirs, const uint8_t *a, const uint8_t *b,
                 size_t len)
{
    assert_int_equal(ours, theirs);
    if (ours)
        assert_memory_equal(a, b, len);
}

static const char *const mds[] = { "SHA256", "SHA384", "SHA512", "SHA1",
                                   "SHA3-256" };
#define N_MDS (sizeof(mds) / sizeof(mds[0]))

static void test_tls13_extract(void **state)
{
    const struct vault *v = *state;
    const struct kdf_from psk = { v->ctx, "sealed.tls=psk" };
    const struct kdf_from session = { v->ctx, "sealed.tls=session" };
    uint8_t salt[64], key[600], a[64], b[64];
    unsigned good = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        const char *md = mds[any(N_MDS)];
        /* As long as the digest, which is what it takes, or anything. */
        size_t len = (const size_t[]){ 32, 48, 64, 20 }[any(4)];
        struct blob s = any(2) ? NO_BLOB : fill(salt, len);
        struct blob k = any(8) ? fill(key, 1 + any(600)) : NO_BLOB;
        bool theirs = tls13_extract(soft, md, s, k, b, len);

        same(tls13_extract(psk, md, s, k, a, len), theirs, a, b, len);
        if (s.p == NULL)
            same(tls13_extract(session, md, s, k, a, len), theirs, a, b, len);
        good += theirs;
    }
    assert_true(good > 10);
}

static void test_tls13_expand(void **state)
{
    const struct vault *v = *state;
    const struct kdf_from ours[] = { { v->ctx, "sealed.tls=psk" },
                                     { v->ctx, "sealed.tls=session" } };
    char label[300];
    uint8_t key[64], data[100], a[256], b[256];
    unsigned good = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        const char *md = mds[any(N_MDS)];
        size_t n = any(8) ? any(30) : any(290), len = 1 + any(255);
        struct blob k = fill(key, (const size_t[]){ 32, 48, 64, 20 }[any(4)]);
        struct blob d = any(4) ? fill(data, any(100)) : NO_BLOB;
        bool theirs;

        memset(label, 'x', n);
        label[n] = '\0';
        theirs = tls13_expand(soft, md, k, label, d, b, len);
        same(tls13_expand(ours[i % 2], md, k, label, d, a, len), theirs, a, b,
             len);
        good += theirs;
    }
    assert_true(good > 10);
}

static void test_prf(void **state)
{
    static const char *const labels[] = { "key expansion",   "client finished",
                                          "server finished", "master",
                                          "EXPORTER-x",      "" };
    static const char *const prf_mds[] = { "SHA256", "SHA384", "MD5-SHA1",
                                           "SHA512" };
    const struct vault *v = *state;
    const struct kdf_from session = { v->ctx, "sealed.tls=session" };
    uint8_t secret[600], seed[1100], a[300], b[300];
    unsigned good = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        const char *md = prf_mds[any(4)], *label = labels[any(6)];
        size_t len = 1 + any(300);
        struct blob k = fill(secret, any(600)), l = BLOB(label, strlen(label));
        struct blob s = fill(seed, any(8) ? any(100) : any(1100));
        bool theirs = tls1_prf(soft, md, k, l, s, b, len);

        same(tls1_prf(session, md, k, l, s, a, len), theirs, a, b, len);
        good += theirs;
    }
    assert_true(good > 10);
}

static void test_hmac(void **state)
{
    const struct vault *v = *state;
    const struct kdf_from ours[] = { { v->ctx, "sealed.tls=psk" },
                                     { v->ctx, "sealed.tls=session" } };
    uint8_t key[200], msg[2000], a[64], b[64];
    unsigned good = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        const char *md = any(10) ? mds[any(N_MDS)] : NULL;
        struct blob k = fill(key, any(200)), m = fill(msg, any(2000));
        size_t la = sizeof(a), lb = sizeof(b);
        bool theirs = hmac_sign(soft, md, k, m, b, &lb);

        same(hmac_sign(ours[i % 2], md, k, m, a, &la), theirs, a, b, lb);
        if (theirs)
            assert_int_equal(la, lb);
        good += theirs;
    }
    assert_true(good > 10);
}

static int wrap(OSSL_LIB_CTX *ctx, const char *propq, bool encrypt,
                const uint8_t *key, const uint8_t *iv, struct blob in,
                uint8_t *out)
{
    EVP_CIPHER *aes = EVP_CIPHER_fetch(ctx, "AES-256-WRAP", propq);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0, rest = 0;
    bool ok;

    EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    ok = EVP_CipherInit_ex2(c, aes, key, iv, encrypt, NULL)
         && EVP_CipherUpdate(c, out, &n, in.p, (int)in.len)
         && EVP_CipherFinal_ex(c, out + n, &rest);
    assert_int_equal(EVP_CIPHER_get_key_length(aes), 32);
    assert_int_equal(EVP_CIPHER_get_iv_length(aes), 8);
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(aes);
    return ok ? n + rest : -1;
}

static void test_key_wrap(void **state)
{
    const struct vault *v = *state;
    uint8_t key[32], iv[8], in[256], a[300], b[300], back[300];
    unsigned good = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        const uint8_t *with_iv = any(2) ? fill(iv, 8).p : NULL;
        struct blob data = fill(in, any(4) ? 8 * any(32) : any(256));
        int n;

        fill(key, 32);
        n = wrap(NULL, "provider=default", true, key, with_iv, data, b);
        assert_int_equal(
            wrap(v->ctx, "provider=sealed", true, key, with_iv, data, a), n);
        if (n <= 0)
            continue;
        good++;
        assert_memory_equal(a, b, (size_t)n);
        assert_int_equal(wrap(v->ctx, "provider=sealed", false, key, with_iv,
                              BLOB(a, (size_t)n), back),
                         data.len);
        assert_memory_equal(back, in, data.len);
        a[any((uint32_t)n)] ^= 1;
        assert_int_equal(wrap(v->ctx, "provider=sealed", false, key, with_iv,
                              BLOB(a, (size_t)n), back),
                         -1);
    }
    assert_true(good > 10);
}

/* Plain octets for an ordinary RSA key, which decrypts them elsewhere. */
static void test_rsa(void **state)
{
    static const int pads[] = { RSA_PKCS1_OAEP_PADDING, RSA_PKCS1_PADDING };
    const struct vault *v = *state;
    EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048), *pub;
    uint8_t in[32], ct[256], out[256];

    assert_non_null(key);
    pub = key_public(key, v->ctx);
    assert_non_null(pub);
    for (size_t i = 0; i < 2; i++) {
        EVP_PKEY_CTX *e =
            EVP_PKEY_CTX_new_from_pkey(v->ctx, pub, "provider=sealed");
        EVP_PKEY_CTX *d = EVP_PKEY_CTX_new(key, NULL);
        size_t ct_len = sizeof(ct), len = sizeof(out);

        fill(in, sizeof(in));
        assert_true(EVP_PKEY_encrypt_init(e) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_padding(e, pads[i]) > 0);
        assert_true(EVP_PKEY_encrypt(e, ct, &ct_len, in, sizeof(in)) > 0);
        assert_int_equal(ct_len, 256);
        assert_true(EVP_PKEY_decrypt_init(d) > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_padding(d, pads[i]) > 0);
        assert_true(EVP_PKEY_decrypt(d, out, &len, ct, ct_len) > 0);
        assert_int_equal(len, sizeof(in));
        assert_memory_equal(out, in, len);
        EVP_PKEY_CTX_free(e);
        EVP_PKEY_CTX_free(d);
    }
    EVP_PKEY_free(pub);
    EVP_PKEY_free(key);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        ON(SOFTHSM, test_tls13_extract), ON(SOFTHSM, test_tls13_expand),
        ON(SOFTHSM, test_prf),           ON(SOFTHSM, test_hmac),
        ON(SOFTHSM, test_key_wrap),      ON(SOFTHSM, test_rsa),
    };

    return vaults_run("plain keys", tests, sizeof(tests) / sizeof(tests[0]),
                      vaults_setup);
}
