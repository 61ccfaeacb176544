/* SPDX-License-Identifier: Apache-2.0 */
#include "tls.h"

#include "log.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/store.h>
#include <openssl/x509v3.h>
#include <string.h>

#define TLS12_SHA256                                             \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:" \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
#define TLS12_SUITES \
    TLS12_SHA256 ":ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384"
#define TLS13_SHA256 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
#define TLS13_SUITES TLS13_SHA256 ":TLS_AES_256_GCM_SHA384"
#define GROUPS       "P-256:X25519:P-384"

EVP_PKEY *capif_key_load(const char *uri)
{
    OSSL_STORE_CTX *ctx = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    OSSL_STORE_INFO *info;
    EVP_PKEY *key = NULL;

    if (ctx == NULL)
        return NULL;
    (void)OSSL_STORE_expect(ctx, OSSL_STORE_INFO_PKEY);
    while (key == NULL && !OSSL_STORE_eof(ctx)) {
        if ((info = OSSL_STORE_load(ctx)) == NULL)
            break;
        if (OSSL_STORE_INFO_get_type(info) == OSSL_STORE_INFO_PKEY)
            key = OSSL_STORE_INFO_get1_PKEY(info);
        OSSL_STORE_INFO_free(info);
    }
    OSSL_STORE_close(ctx);
    return key;
}

STACK_OF(X509) * capif_certs_load(const char *file)
{
    BIO *bio = BIO_new_file(file, "r");
    STACK_OF(X509) *certs = sk_X509_new_null();
    X509 *cert;

    while (bio != NULL && certs != NULL
           && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (!sk_X509_push(certs, cert)) {
            X509_free(cert);
            break;
        }
    }
    if (sk_X509_num(certs) > 0) {
        ERR_clear_error(); /* the end of the file */
    } else {
        sk_X509_free(certs);
        certs = NULL;
    }
    BIO_free(bio);
    return certs;
}

bool capif_credentials_load(const char *cert_file, const char *key_uri,
                            struct capif_credentials *out)
{
    struct capif_credentials c = { NULL, NULL, NULL };

    if ((c.chain = capif_certs_load(cert_file)) == NULL) {
        capif_log_ssl("certificate-unusable", "file", cert_file, NULL);
        goto bad;
    }
    c.cert = sk_X509_shift(c.chain);
    if ((c.key = capif_key_load(key_uri)) == NULL) {
        capif_log_ssl("key-unusable", "uri", key_uri, NULL);
        goto bad;
    }
    if (!X509_check_private_key(c.cert, c.key)) {
        capif_log_ssl("key-mismatch", "uri", key_uri, "file", cert_file, NULL);
        goto bad;
    }
    *out = c;
    return true;
bad:
    capif_credentials_clear(&c);
    return false;
}

bool capif_credentials_ref(const struct capif_credentials *cred,
                           struct capif_credentials *out)
{
    struct capif_credentials c = { NULL, NULL, NULL };

    if (cred->chain != NULL
        && (c.chain = X509_chain_up_ref(cred->chain)) == NULL)
        return false;
    if (EVP_PKEY_up_ref(cred->key))
        c.key = cred->key;
    if (X509_up_ref(cred->cert))
        c.cert = cred->cert;
    *out = c;
    return true;
}

void capif_credentials_clear(struct capif_credentials *cred)
{
    EVP_PKEY_free(cred->key);
    X509_free(cred->cert);
    sk_X509_pop_free(cred->chain, X509_free);
    memset(cred, 0, sizeof(*cred));
}

/* Resumption would let a session outlive a revocation (facts, 7.4). */
static bool profile(SSL_CTX *ctx)
{
    SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION
                                 | SSL_OP_NO_COMPRESSION
                                 | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION)
           && SSL_CTX_set_cipher_list(ctx, TLS12_SUITES)
           && SSL_CTX_set_ciphersuites(ctx, TLS13_SUITES)
           && SSL_CTX_set1_groups_list(ctx, GROUPS);
}

static bool use(SSL_CTX *ctx, const struct capif_credentials *cred)
{
    return SSL_CTX_use_certificate(ctx, cred->cert)
           && SSL_CTX_use_PrivateKey(ctx, cred->key)
           && (cred->chain == NULL || SSL_CTX_set1_chain(ctx, cred->chain));
}

static int take_any(X509_STORE_CTX *ctx, void *arg)
{
    (void)arg;
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
    return 1;
}

static bool trust(SSL_CTX *ctx, STACK_OF(X509) * anchors)
{
    X509_STORE *store = SSL_CTX_get_cert_store(ctx);

    for (int i = 0; i < sk_X509_num(anchors); i++)
        if (!X509_STORE_add_cert(store, sk_X509_value(anchors, i))
            || !SSL_CTX_add_client_CA(ctx, sk_X509_value(anchors, i)))
            return false;
    return true;
}

/* What the key schedule behind the token can do, and session IDs. */
static bool profile_sealed(SSL_CTX *ctx)
{
    /* IDs are issued if there is a cache; nothing is put into this one. */
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER
                                            | SSL_SESS_CACHE_NO_INTERNAL);
    return SSL_CTX_set_num_tickets(ctx, 0)
           && SSL_CTX_set_cipher_list(ctx, TLS12_SHA256)
           && SSL_CTX_set_ciphersuites(ctx, TLS13_SHA256);
}

SSL_CTX *capif_tls_server(SSL_CTX *ctx, bool sealed,
                          const struct capif_credentials *cred,
                          STACK_OF(X509) * anchors)
{
    /* With SSL_VERIFY_PEER, libssl wants a context for PSKs, too. */
    if (ctx == NULL || !profile(ctx)
        || !SSL_CTX_set_session_id_context(ctx, (const uint8_t *)"capif", 5)
        || (sealed && !profile_sealed(ctx)) || !use(ctx, cred)
        || !trust(ctx, anchors)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (anchors == NULL)
        SSL_CTX_set_cert_verify_callback(ctx, take_any, NULL);
    return ctx;
}

bool capif_tls_client(SSL_CTX *ctx, const struct capif_credentials *cred)
{
    return profile(ctx) && (cred == NULL || use(ctx, cred));
}

static bool verify(X509 *cert, STACK_OF(X509) * untrusted,
                   STACK_OF(X509) * anchors, int purpose)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    bool ok = ctx != NULL && X509_STORE_CTX_init(ctx, NULL, cert, untrusted);

    if (ok) {
        X509_STORE_CTX_set0_trusted_stack(ctx, anchors);
        X509_STORE_CTX_set_purpose(ctx, purpose);
        ok = X509_verify_cert(ctx) == 1;
    }
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    return ok;
}

bool capif_cert_verify_any(X509 *cert, STACK_OF(X509) * untrusted,
                           STACK_OF(X509) * anchors)
{
    return verify(cert, untrusted, anchors, X509_PURPOSE_ANY);
}

bool capif_cert_verify(X509 *cert, STACK_OF(X509) * untrusted,
                       STACK_OF(X509) * anchors)
{
    return verify(cert, untrusted, anchors, X509_PURPOSE_SSL_CLIENT);
}
