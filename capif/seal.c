/* SPDX-License-Identifier: Apache-2.0 */
#include "seal.h"

#include "jose.h"
#include "log.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRAPPED_MAX (CAPIF_HANDLE_LEN_MAX + 8)
#define RSA_MAX     1024

/* ---- derivation ---- */

bool capif_seal_aefpsk(const uint8_t *key, size_t key_len, const char *p0,
                       const uint8_t *p1, size_t p1_len, unsigned lifetime,
                       uint8_t out[CAPIF_HANDLE_LEN])
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "AEFPSK", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
                                          (void *)(uintptr_t)key, key_len),
        OSSL_PARAM_construct_octet_string("service-api", (void *)(uintptr_t)p0,
                                          strlen(p0)),
        OSSL_PARAM_construct_octet_string("session-id", (void *)(uintptr_t)p1,
                                          p1_len),
        OSSL_PARAM_construct_uint("lifetime", &lifetime),
        OSSL_PARAM_construct_end(),
    };
    bool ok =
        ctx != NULL && EVP_KDF_derive(ctx, out, CAPIF_HANDLE_LEN, params) > 0;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

void capif_seal_log(void)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "AEFPSK", NULL);
    const char *rung = NULL;
    unsigned long n = 0;
    char count[24];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_ptr("derive-rung", (char **)(uintptr_t)&rung,
                                      0),
        OSSL_PARAM_construct_ulong("transient-secrets", &n),
        OSSL_PARAM_construct_end(),
    };

    if (kdf != NULL
        && OSSL_PROVIDER_get_params(EVP_KDF_get0_provider(kdf), params)) {
        snprintf(count, sizeof(count), "%lu", n);
        capif_log("derive", "rung", rung, "transient-secrets", count, NULL);
    }
    EVP_KDF_free(kdf);
}

bool capif_seal_alive(const uint8_t *handle, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "AEFPSK", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    unsigned alive = 0;
    const OSSL_PARAM key[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
                                          (void *)(uintptr_t)handle, len),
        OSSL_PARAM_construct_end(),
    };
    OSSL_PARAM answer[] = {
        OSSL_PARAM_construct_uint("alive", &alive),
        OSSL_PARAM_construct_end(),
    };
    bool ok = ctx != NULL && EVP_KDF_CTX_set_params(ctx, key)
              && EVP_KDF_CTX_get_params(ctx, answer) && alive != 0;

    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

void capif_seal_release(const uint8_t *handle, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "AEFPSK", NULL);
    EVP_KDF_CTX *ctx = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    unsigned yes = 1;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY,
                                          (void *)(uintptr_t)handle, len),
        OSSL_PARAM_construct_uint("release", &yes),
        OSSL_PARAM_construct_end(),
    };

    if (ctx == NULL || !EVP_KDF_CTX_set_params(ctx, params))
        capif_log_ssl("release-failed", NULL);
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
}

/* ---- wrapping ---- */

static bool wrap_cipher(const char *kek_uri, bool encrypt, unsigned lifetime,
                        const uint8_t *in, size_t in_len, uint8_t *out,
                        int *out_len)
{
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(NULL, "AES-256-WRAP", "provider=sealed");
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("key-uri", (char *)(uintptr_t)kek_uri,
                                         0),
        OSSL_PARAM_construct_uint("lifetime", &lifetime),
        OSSL_PARAM_construct_end(),
    };
    bool ok = cipher != NULL && ctx != NULL;

    if (ok)
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    ok = ok && EVP_CipherInit_ex2(ctx, cipher, NULL, NULL, encrypt, params)
         && EVP_CipherUpdate(ctx, out, out_len, in, (int)in_len);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return ok;
}

bool capif_kek_there(const char *kek_uri)
{
    EVP_CIPHER *cipher =
        EVP_CIPHER_fetch(NULL, "AES-256-WRAP", "provider=sealed");
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string("key-uri", (char *)(uintptr_t)kek_uri,
                                         0),
        OSSL_PARAM_construct_end(),
    };
    bool ok = cipher != NULL && ctx != NULL;

    if (ok)
        EVP_CIPHER_CTX_set_flags(ctx, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    ok = ok && EVP_CipherInit_ex2(ctx, cipher, NULL, NULL, 1, params);
    EVP_CIPHER_CTX_free(ctx);
    EVP_CIPHER_free(cipher);
    return ok;
}

bool capif_kek_id(const char *kek_uri, char out[44])
{
    return capif_sha256_b64url(kek_uri, strlen(kek_uri), out);
}

char *capif_seal_wrap(const char *kek_uri, const uint8_t *handle, size_t len)
{
    uint8_t wrapped[WRAPPED_MAX + 8];
    int n = 0;

    return len <= CAPIF_HANDLE_LEN_MAX
                   && wrap_cipher(kek_uri, true, 1, handle, len, wrapped, &n)
               ? capif_b64url(wrapped, (size_t)n)
               : NULL;
}

bool capif_seal_unwrap(const char *kek_uri, const char *text, unsigned lifetime,
                       uint8_t out[CAPIF_HANDLE_LEN_MAX], size_t *len)
{
    uint8_t *raw = NULL, room[WRAPPED_MAX];
    size_t raw_len = 0;
    int n = 0;
    bool ok = capif_b64url_decode(text, strlen(text), &raw, &raw_len)
              && (raw_len == CAPIF_HANDLE_LEN + 8
                  || raw_len == CAPIF_HANDLE_LEN_MAX + 8)
              && wrap_cipher(kek_uri, false, lifetime, raw, raw_len, room, &n)
              && n > 0 && n <= CAPIF_HANDLE_LEN_MAX;

    if (ok) {
        memcpy(out, room, (size_t)n);
        *len = (size_t)n;
    }
    free(raw);
    return ok;
}

char *capif_seal_wrap_for(EVP_PKEY *transport,
                          const uint8_t handle[CAPIF_HANDLE_LEN])
{
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_pkey(NULL, transport, "provider=sealed");
    uint8_t out[RSA_MAX];
    size_t len = sizeof(out);
    char *text = NULL;

    if (ctx != NULL && EVP_PKEY_encrypt_init(ctx) > 0
        && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) > 0
        && EVP_PKEY_encrypt(ctx, out, &len, handle, CAPIF_HANDLE_LEN) > 0)
        text = capif_b64url(out, len);
    EVP_PKEY_CTX_free(ctx);
    return text;
}

bool capif_seal_unwrap_with(EVP_PKEY *transport, const char *text,
                            unsigned lifetime, uint8_t out[CAPIF_HANDLE_LEN])
{
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_pkey(NULL, transport, "provider=sealed");
    uint8_t *raw = NULL;
    size_t raw_len = 0, len = CAPIF_HANDLE_LEN;
    int yes = 1;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int("unwrap", &yes),
        OSSL_PARAM_construct_uint("lifetime", &lifetime),
        OSSL_PARAM_construct_end(),
    };
    bool ok = ctx != NULL
              && capif_b64url_decode(text, strlen(text), &raw, &raw_len)
              && EVP_PKEY_decrypt_init_ex(ctx, params) > 0
              && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_OAEP_PADDING) > 0
              && EVP_PKEY_decrypt(ctx, out, &len, raw, raw_len) > 0
              && len == CAPIF_HANDLE_LEN;

    EVP_PKEY_CTX_free(ctx);
    free(raw);
    return ok;
}

/* ---- TLS sessions ---- */

static bool session_key_12(SSL *ssl, struct capif_session_key *out)
{
    const SSL_SESSION *session = SSL_get_session(ssl);
    const uint8_t *id;
    unsigned id_len = 0;

    if (session == NULL)
        return false;
    id = SSL_SESSION_get_id(session, &id_len);
    out->key_len =
        SSL_SESSION_get_master_key(session, out->key, sizeof(out->key));
    out->binding = "tls12-master-secret";
    if (id_len < 1 || id_len > sizeof(out->p1)
        || out->key_len != CAPIF_HANDLE_LEN_MAX)
        return false;
    memcpy(out->p1, id, id_len);
    out->p1_len = id_len;
    return true;
}

/* RFC 7627; libssl tells only once the handshake is over. */
static bool unique(const SSL *ssl)
{
    return SSL_version(ssl) != TLS1_2_VERSION
           || SSL_get_extms_support((SSL *)(uintptr_t)ssl) == 1;
}

static bool session_key(SSL *ssl, struct capif_session_key *out)
{
    static const char cb[] = "EXPORTER-Channel-Binding"; /* RFC 9266 */

    if (SSL_version(ssl) == TLS1_2_VERSION)
        return session_key_12(ssl, out);
    out->key_len = CAPIF_HANDLE_LEN;
    out->p1_len = sizeof(out->p1);
    out->binding = "tls13-exporter";
    return SSL_version(ssl) == TLS1_3_VERSION
           && SSL_export_keying_material(
               ssl, out->key, out->key_len, CAPIF_EXPORTER_LABEL,
               strlen(CAPIF_EXPORTER_LABEL), NULL, 0, 0)
           && SSL_export_keying_material(ssl, out->p1, out->p1_len, cb,
                                         strlen(cb), (const uint8_t *)"", 0, 1);
}

bool capif_session_key(SSL *ssl, struct capif_session_key *out)
{
    return unique(ssl) && session_key(ssl, out);
}

static int kept_index = -1, kek_index = -1;
static pthread_once_t kept_once = PTHREAD_ONCE_INIT;

static void kept_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                      long argl, void *argp)
{
    struct capif_session_kept *kept = ptr;

    (void)parent;
    (void)ad;
    (void)idx;
    (void)argl;
    (void)argp;
    if (kept == NULL)
        return;
    free(kept->wrapped);
    free(kept);
}

/* Connections may outlive the configuration that named the KEK. */
static void kek_free(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx,
                     long argl, void *argp)
{
    (void)parent;
    (void)ad;
    (void)idx;
    (void)argl;
    (void)argp;
    free(ptr);
}

static void make_kept_index(void)
{
    kek_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, kek_free);
    kept_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, kept_free);
}

/*
 * The sealed secrets of a handshake live for its time-out only, a kept
 * connection longer: so KEY is wrapped at once.
 */
static void keep(SSL *ssl, const char *kek_uri)
{
    struct capif_session_kept *kept = calloc(1, sizeof(*kept));
    struct capif_session_key key = { .key_len = 0 };

    if (kept != NULL && session_key(ssl, &key))
        kept->wrapped = capif_seal_wrap(kek_uri, key.key, key.key_len);
    if (key.key_len == CAPIF_HANDLE_LEN)
        capif_seal_release(key.key, key.key_len);
    OPENSSL_cleanse(key.key, sizeof(key.key));
    if (kept == NULL || kept->wrapped == NULL
        || !capif_kek_id(kek_uri, kept->kek)) {
        capif_log_ssl("session-key-failed", NULL);
        kept_free(NULL, kept, NULL, 0, 0, NULL);
        return;
    }
    memcpy(kept->p1, key.p1, key.p1_len);
    kept->p1_len = key.p1_len;
    kept->binding = key.binding;
    if (!SSL_set_ex_data(ssl, kept_index, kept))
        kept_free(NULL, kept, NULL, 0, 0, NULL);
}

static void on_info(const SSL *ssl, int where, int ret)
{
    (void)ret;
    if (where == SSL_CB_HANDSHAKE_DONE && SSL_get0_peer_certificate(ssl) != NULL
        && SSL_get_ex_data(ssl, kept_index) == NULL)
        keep((SSL *)(uintptr_t)ssl,
             SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), kek_index));
}

/*
 * The property query.  It is optional for libssl's other algorithms; without
 * the provider libssl would go on with plain secrets: hence false.
 */
static bool query(const char *mode, char out[32])
{
    EVP_KDF *kdf;

    snprintf(out, 32, "?sealed.tls=%s", mode);
    kdf = EVP_KDF_fetch(NULL, "TLS13-KDF", out + 1);
    EVP_KDF_free(kdf);
    return kdf != NULL;
}

SSL_CTX *capif_seal_ctx(const char *mode)
{
    char property[32];

    return query(mode, property)
               ? SSL_CTX_new_ex(NULL, property, TLS_server_method())
               : NULL;
}

bool capif_seal_all(const char *mode)
{
    char property[32];

    return query(mode, property) && EVP_set_default_properties(NULL, property);
}

SSL_CTX *capif_seal_server_ctx(const char *kek_uri)
{
    char *copy = strdup(kek_uri);
    SSL_CTX *ctx;

    pthread_once(&kept_once, make_kept_index);
    ctx = capif_seal_ctx("session");
    if (ctx == NULL || kept_index < 0 || kek_index < 0 || copy == NULL
        || !SSL_CTX_set_ex_data(ctx, kek_index, copy)) {
        SSL_CTX_free(ctx);
        free(copy);
        return NULL;
    }
    SSL_CTX_set_info_callback(ctx, on_info);
    return ctx;
}

const struct capif_session_kept *capif_session_kept(const SSL *ssl)
{
    return kept_index >= 0 && unique(ssl) ? SSL_get_ex_data(ssl, kept_index)
                                          : NULL;
}
