/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret keys as EVP_SKEY, which OpenSSL has since 3.5: with less, there is
 * nothing to run.  KDFs take them since 3.6.
 */
#include "kdf_call.h"
#include "vault.h"

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <stdio.h>
#include <string.h>

#ifdef OSSL_OP_SKEYMGMT

#define SEALED "provider=sealed"
#define ALL    OSSL_SKEYMGMT_SELECT_ALL

static const uint8_t value[48] =
    "forty-eight octets: a TLS 1.2 master secret ...";

static EVP_SKEY *by_uri(const struct vault *v, const char *type,
                        const char *uri)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string("key-uri", (char *)(uintptr_t)uri, strlen(uri)),
        OSSL_PARAM_END,
    };

    return EVP_SKEY_import(v->ctx, type, SEALED, ALL, params);
}

static EVP_SKEY *by_octets(const struct vault *v, const char *type,
                           const void *octets, size_t len)
{
    return EVP_SKEY_import_raw_key(
        v->ctx, type, (unsigned char *)(uintptr_t)octets, len, SEALED);
}

struct seen {
    size_t len;
    bool octets;
};

static int see(const OSSL_PARAM params[], void *arg)
{
    const OSSL_PARAM *p =
        OSSL_PARAM_locate_const(params, OSSL_SKEY_PARAM_KEY_LENGTH);
    struct seen *seen = arg;

    seen->octets |=
        OSSL_PARAM_locate_const(params, OSSL_SKEY_PARAM_RAW_BYTES) != NULL;
    return p != NULL && OSSL_PARAM_get_size_t(p, &seen->len);
}

/* Its length can be known, nothing else; not to the default provider, too. */
static void assert_opaque(const struct vault *v, EVP_SKEY *key, size_t len)
{
    OSSL_PROVIDER *other = OSSL_PROVIDER_load(v->ctx, "default");
    const unsigned char *octets = NULL;
    struct seen seen = { 0, false };
    size_t n = 0;

    assert_non_null(key);
    assert_int_equal(
        EVP_SKEY_export(key, OSSL_SKEYMGMT_SELECT_PARAMETERS, see, &seen), 1);
    assert_int_equal(seen.len, len);
    ERR_clear_error();
    assert_int_not_equal(EVP_SKEY_export(key, ALL, see, &seen), 1);
    assert_int_not_equal(
        EVP_SKEY_export(key, OSSL_SKEYMGMT_SELECT_SECRET_KEY, see, &seen), 1);
    assert_false(seen.octets);
    assert_int_not_equal(EVP_SKEY_get0_raw_key(key, &octets, &n), 1);
    assert_null(octets);
    assert_non_null(other);
    assert_null(EVP_SKEY_to_provider(key, v->ctx, other, NULL));
    assert_true(queue_had("forbidden for this key"));
    OSSL_PROVIDER_unload(other);
}

static void test_secret_by_uri(void **state)
{
    const struct vault *v = *state;
    CK_SESSION_HANDLE s = vault_session(v);
    CK_OBJECT_HANDLE o = vault_token_secret(v, s, value, sizeof(value));
    EVP_SKEY *key = by_uri(v, OSSL_SKEY_TYPE_GENERIC, "pkcs11:object=key");

    assert_opaque(v, key, sizeof(value));
    assert_string_equal(EVP_SKEY_get0_key_id(key), "pkcs11:object=key");
    assert_string_equal(EVP_SKEY_get0_provider_name(key), "sealed");
    EVP_SKEY_free(key);
    assert_int_equal(vault_count(v), 1); /* it stays */
    assert_null(by_uri(v, OSSL_SKEY_TYPE_AES, "pkcs11:object=key"));
    assert_int_equal(v->p11->C_DestroyObject(s, o), CKR_OK);
    ERR_clear_error();
    assert_null(by_uri(v, OSSL_SKEY_TYPE_GENERIC, "pkcs11:object=key"));
    assert_true(queue_had("not found in the token"));
    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
}

static void test_secret_of_octets(void **state)
{
    const struct vault *v = *state;
    EVP_SKEY *key;

    key = by_octets(v, OSSL_SKEY_TYPE_GENERIC, value, sizeof(value));
    assert_opaque(v, key, sizeof(value));
    assert_null(EVP_SKEY_get0_key_id(key));
    assert_true(vault_holds(v, value, sizeof(value)));
    EVP_SKEY_free(key);
    assert_int_equal(vault_count(v), 0);
}

/* What the octets are the handle of; it may go before the EVP_SKEY does. */
static void test_secret_of_a_handle(void **state)
{
    const struct vault *v = *state;
    uint8_t handle[sizeof(value)];
    EVP_SKEY *key;

    vault_seal(v, value, sizeof(value), 60, handle);
    key = by_octets(v, OSSL_SKEY_TYPE_GENERIC, handle, sizeof(handle));
    assert_opaque(v, key, sizeof(value));
    assert_int_equal(vault_count(v), 1);
    assert_true(vault_release(v->ctx, handle, sizeof(handle)));
    assert_int_equal(vault_count(v), 0);
    EVP_SKEY_free(key);
    ERR_clear_error();
    assert_null(by_octets(v, OSSL_SKEY_TYPE_GENERIC, handle, sizeof(handle)));
    assert_true(queue_had("not possible with this sealed secret"));
    assert_int_equal(vault_count(v), 0);
}

/* Nobody else has it then, and it goes with the EVP_SKEY. */
static void test_handle_given_up(void **state)
{
    const struct vault *v = *state;
    uint8_t handle[sizeof(value)];
    unsigned yes = 1;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_SKEY_PARAM_RAW_BYTES, handle,
                                sizeof(handle)),
        OSSL_PARAM_uint("release", &yes),
        OSSL_PARAM_END,
    };
    EVP_SKEY *key;

    vault_seal(v, value, sizeof(value), 60, handle);
    key = EVP_SKEY_import(v->ctx, OSSL_SKEY_TYPE_GENERIC, SEALED, ALL, params);
    assert_opaque(v, key, sizeof(value));
    assert_int_equal(vault_count(v), 1);
    EVP_SKEY_free(key);
    assert_int_equal(vault_count(v), 0);
    assert_false(vault_release(v->ctx, handle, sizeof(handle)));
    ERR_clear_error();
}

static EVP_SKEY *import(const struct vault *v, const char *type,
                        const char *uri, const void *octets, size_t len)
{
    OSSL_PARAM params[4], *p = params;

    if (uri != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string("key-uri",
                                                (char *)(uintptr_t)uri, 0);
    if (octets != NULL)
        *p++ = OSSL_PARAM_construct_octet_string(OSSL_SKEY_PARAM_RAW_BYTES,
                                                 (void *)(uintptr_t)octets,
                                                 sizeof(value));
    if (len > 0)
        *p++ = OSSL_PARAM_construct_size_t(OSSL_SKEY_PARAM_KEY_LENGTH, &len);
    *p = OSSL_PARAM_construct_end();
    return EVP_SKEY_import(v->ctx, type, SEALED, ALL, params);
}

static void test_import_refused(void **state)
{
    const char *const generic = OSSL_SKEY_TYPE_GENERIC, *const aes =
                                                            OSSL_SKEY_TYPE_AES;
    const struct vault *v = *state;
    const OSSL_PARAM null[] = {
        OSSL_PARAM_utf8_string("key-uri", NULL, 0),
        OSSL_PARAM_END,
    };
    EVP_SKEY *key;

    ERR_clear_error();
    assert_null(import(v, generic, NULL, NULL, 0));
    assert_null(import(v, generic, VAULT_KEK_URI, value, 0));
    assert_null(import(v, generic, NULL, value, sizeof(value) - 1));
    assert_null(import(v, generic, VAULT_KEK_URI, NULL, 0));
    assert_null(import(v, generic, "no:uri", NULL, 0));
    assert_null(import(v, aes, NULL, value, 0));
    assert_null(import(v, aes, VAULT_KEK_URI, value, 0));
    assert_null(import(v, aes, VAULT_KEK_URI, NULL, 16));
    assert_null(EVP_SKEY_import(v->ctx, aes, SEALED, ALL, null));
    assert_null(EVP_SKEY_import(v->ctx, aes, SEALED, ALL, NULL));
    assert_null(by_octets(v, generic, "", 0));
    assert_true(queue_had("refused parameter"));
    key = import(v, generic, NULL, value, sizeof(value));
    assert_non_null(key);
    EVP_SKEY_free(key);
    key = import(v, aes, VAULT_KEK_URI, NULL, sizeof(vault_kek));
    assert_non_null(key);
    EVP_SKEY_free(key);
    assert_int_equal(vault_count(v), 0);
    ERR_clear_error();
}

/* AES-256-WRAP by an EVP_SKEY: *out_len is what came out. */
static bool aes(const struct vault *v, EVP_SKEY *kek, int encrypt,
                const uint8_t *in, size_t len, uint8_t *out, size_t *out_len)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(v->ctx, "AES-256-WRAP", SEALED);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int n = 0;
    bool ok;

    EVP_CIPHER_CTX_set_flags(c, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    ok = EVP_CipherInit_SKEY(c, cipher, kek, NULL, 0, encrypt, NULL) == 1;
    EVP_SKEY_free(kek); /* the context has what it needs */
    ok = ok && EVP_CipherUpdate(c, out, &n, in, (int)len);
    *out_len = (size_t)n;
    EVP_CIPHER_CTX_free(c);
    EVP_CIPHER_free(cipher);
    return ok;
}

static void test_kek(void **state)
{
    const struct vault *v = *state;
    uint8_t wrapped[sizeof(value) + 8], handle[sizeof(value)],
        got[sizeof(value)];
    EVP_SKEY *kek;
    size_t len = 0;

    vault_wrap(value, sizeof(value), wrapped);
    assert_true(aes(v, by_uri(v, OSSL_SKEY_TYPE_AES, VAULT_KEK_URI), 0, wrapped,
                    sizeof(wrapped), handle, &len));
    assert_int_equal(len, sizeof(value));
    assert_memory_not_equal(handle, value, sizeof(value));
    memset(wrapped, 0, sizeof(wrapped));
    assert_true(aes(v, by_uri(v, OSSL_SKEY_TYPE_AES, VAULT_KEK_URI), 1, handle,
                    sizeof(handle), wrapped, &len));
    assert_int_equal(len, sizeof(wrapped));
    assert_true(vault_unwrap(wrapped, len, got));
    assert_memory_equal(got, value, sizeof(value));
    assert_true(vault_release(v->ctx, handle, sizeof(handle)));
    kek = by_uri(v, OSSL_SKEY_TYPE_AES, VAULT_KEK_URI);
    assert_opaque(v, kek, sizeof(vault_kek));
    EVP_SKEY_free(kek);
}

/* Only an AES key of ours wraps. */
static void test_kek_of_other_types(void **state)
{
    const struct vault *v = *state;
    uint8_t wrapped[sizeof(value) + 8], handle[sizeof(value)];
    size_t len = 0;

    vault_wrap(value, sizeof(value), wrapped);
    ERR_clear_error();
    assert_false(aes(v, by_octets(v, OSSL_SKEY_TYPE_GENERIC, vault_kek, 32), 0,
                     wrapped, sizeof(wrapped), handle, &len));
    assert_true(queue_had("not an AES key"));
    assert_false(
        aes(v,
            EVP_SKEY_import_raw_key(v->ctx, OSSL_SKEY_TYPE_AES,
                                    (unsigned char *)(uintptr_t)vault_kek, 32,
                                    "provider=default"),
            0, wrapped, sizeof(wrapped), handle, &len));
    assert_int_equal(vault_count(v), 0);
    ERR_clear_error();
}

/* ---- KDFs, since OpenSSL 3.6 ---- */

#ifdef OSSL_FUNC_KDF_SET_SKEY

static const char p0[] = "https://aef1.example.com:443", p1[] = "session";

/* AEFPSK of key: a handle, or, with opaque, an EVP_SKEY. */
static bool derive(const struct vault *v, EVP_SKEY *key, uint8_t *out,
                   EVP_SKEY **opaque)
{
    const OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string("service-api", (void *)(uintptr_t)p0,
                                sizeof(p0) - 1),
        OSSL_PARAM_octet_string("session-id", (void *)(uintptr_t)p1,
                                sizeof(p1) - 1),
        OSSL_PARAM_END,
    };
    EVP_KDF *kdf = EVP_KDF_fetch(v->ctx, "AEFPSK", SEALED);
    EVP_KDF_CTX *c = EVP_KDF_CTX_new(kdf);
    bool ok = EVP_KDF_CTX_set_SKEY(c, key, OSSL_KDF_PARAM_KEY) == 1;

    if (ok && opaque != NULL) {
        *opaque = EVP_KDF_derive_SKEY(c, NULL, OSSL_SKEY_TYPE_GENERIC, SEALED,
                                      HASH, params);
        ok = *opaque != NULL;
    } else if (ok) {
        ok = EVP_KDF_derive(c, out, HASH, params) == 1;
    }
    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
    return ok;
}

/* Frees key, which is value's. */
static void assert_derives(const struct vault *v, EVP_SKEY *key)
{
    uint8_t want[HASH], out[HASH], got[HASH];
    EVP_SKEY *next = NULL;
    CK_ULONG n;

    assert_non_null(key);
    assert_true(aefpsk(v->ctx, BLOB(value, sizeof(value)),
                       BLOB(p0, sizeof(p0) - 1), BLOB(p1, sizeof(p1) - 1), 60,
                       want));
    assert_true(derive(v, key, out, NULL));
    vault_unseal(v, out, HASH, got);
    assert_memory_equal(got, want, HASH);
    assert_true(vault_release(v->ctx, out, HASH));
    /* A derived one is never seen, and derives in its turn. */
    assert_true(derive(v, key, NULL, &next));
    assert_opaque(v, next, HASH);
    assert_true(vault_holds(v, want, HASH));
    assert_true(derive(v, next, out, NULL));
    assert_true(vault_release(v->ctx, out, HASH));
    n = vault_count(v);
    EVP_SKEY_free(next);
    assert_int_equal(vault_count(v), n - 1);
    EVP_SKEY_free(key);
}

static void test_kdf(void **state)
{
    const struct vault *v = *state;
    CK_SESSION_HANDLE s = vault_session(v);
    CK_OBJECT_HANDLE o = vault_token_secret(v, s, value, sizeof(value));
    uint8_t handle[sizeof(value)], out[HASH];
    EVP_SKEY *key;

    assert_derives(v, by_uri(v, OSSL_SKEY_TYPE_GENERIC, "pkcs11:object=key"));
    assert_int_equal(v->p11->C_DestroyObject(s, o), CKR_OK);
    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
    assert_derives(v,
                   by_octets(v, OSSL_SKEY_TYPE_GENERIC, value, sizeof(value)));
    vault_seal(v, value, sizeof(value), 60, handle);
    assert_derives(
        v, by_octets(v, OSSL_SKEY_TYPE_GENERIC, handle, sizeof(handle)));
    key = by_octets(v, OSSL_SKEY_TYPE_GENERIC, handle, sizeof(handle));
    assert_true(vault_release(v->ctx, handle, sizeof(handle)));
    ERR_clear_error();
    assert_false(derive(v, key, out, NULL));
    assert_true(queue_had("not possible with this sealed secret"));
    EVP_SKEY_free(key);
    key = by_uri(v, OSSL_SKEY_TYPE_AES, VAULT_KEK_URI);
    assert_false(derive(v, key, out, NULL));
    assert_true(queue_had("refused parameter"));
    EVP_SKEY_free(key);
    assert_int_equal(vault_count(v), 0);
}

#endif

int main(void)
{
    struct CMUnitTest tests[] = {
        ON_BOTH(test_secret_by_uri),
        ON_BOTH(test_secret_of_octets),
        ON_BOTH(test_secret_of_a_handle),
        ON_BOTH(test_handle_given_up),
        ON_BOTH(test_import_refused),
        ON_BOTH(test_kek),
        ON_BOTH(test_kek_of_other_types),
#ifdef OSSL_FUNC_KDF_SET_SKEY
        ON_BOTH(test_kdf),
#endif
    };

    return vaults_run("secret keys as EVP_SKEY", tests,
                      sizeof(tests) / sizeof(tests[0]), vaults_setup);
}

#else

int main(void)
{
    puts("1..0 # SKIP OpenSSL before 3.5 has no EVP_SKEY");
    return 0;
}

#endif
