/* SPDX-License-Identifier: Apache-2.0 */
/* See vault.h: secrets in and out, by key wrap. */
#include "vault.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#define WRAPPED_MAX 72

/* In the default context, with vault_kek. */
static int soft_wrap(bool encrypt, const uint8_t *in, size_t len, uint8_t *out)
{
    EVP_CIPHER *aes =
        EVP_CIPHER_fetch(NULL, "AES-256-WRAP", "provider=default");
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;

    assert_non_null(aes);
    assert_non_null(c);
    EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    assert_true(EVP_CipherInit_ex2(c, aes, vault_kek, NULL, encrypt, NULL));
    if (!EVP_CipherUpdate(c, out, &n, in, (int)len))
        n = 0;
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(aes);
    return n;
}

void vault_wrap(const uint8_t *value, size_t len, uint8_t *wrapped)
{
    assert_int_equal(soft_wrap(true, value, len, wrapped), len + 8);
}

bool vault_unwrap(const uint8_t *wrapped, size_t len, uint8_t *value)
{
    return soft_wrap(false, wrapped, len, value) == (int)len - 8;
}

bool vault_aes(OSSL_LIB_CTX *ctx, bool encrypt, unsigned lifetime,
               const uint8_t *in, size_t len, uint8_t *out, size_t *out_len)
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string("key-uri", (char *)(uintptr_t)VAULT_KEK_URI,
                               sizeof(VAULT_KEK_URI) - 1),
        OSSL_PARAM_uint("lifetime", &lifetime),
        OSSL_PARAM_END,
    };
    EVP_CIPHER *aes = EVP_CIPHER_fetch(ctx, "AES-256-WRAP", "provider=sealed");
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok;

    EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    ok = aes != NULL && EVP_CipherInit_ex2(c, aes, NULL, NULL, encrypt, params)
         && EVP_CipherUpdate(c, out, &n, in, (int)len);
    *out_len = (size_t)n;
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(aes);
    return ok;
}

void vault_seal(const struct vault *v, const uint8_t *value, size_t len,
                unsigned lifetime, uint8_t *handle)
{
    uint8_t wrapped[WRAPPED_MAX];
    size_t n = 0;

    vault_wrap(value, len, wrapped);
    assert_true(
        vault_aes(v->ctx, false, lifetime, wrapped, len + 8, handle, &n));
    assert_int_equal(n, len);
    assert_memory_not_equal(handle, value, len);
}

void vault_unseal(const struct vault *v, const uint8_t *handle, size_t len,
                  uint8_t *value)
{
    uint8_t wrapped[WRAPPED_MAX];
    size_t n = 0;

    assert_true(vault_aes(v->ctx, true, 1, handle, len, wrapped, &n));
    assert_int_equal(n, len + 8);
    assert_true(vault_unwrap(wrapped, n, value));
}

bool vault_release(OSSL_LIB_CTX *ctx, const uint8_t *handle, size_t len)
{
    unsigned yes = 1;
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)handle,
                                len),
        OSSL_PARAM_uint("release", &yes),
        OSSL_PARAM_END,
    };
    EVP_KDF *kdf = EVP_KDF_fetch(ctx, "AEFPSK", NULL);
    EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf);
    bool ok = c != NULL && EVP_KDF_CTX_set_params(c, params);

    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
    return ok;
}
