/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates and requests signed by the token, and TLS with its keys; the
 * other side is OpenSSL's default provider in a library context of its own.
 */
#include "token.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <string.h>

static void test_certificate(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_KINDS; i++) {
        EVP_PKEY *pub = key_public(t->keys[i], t->plain);
        X509 *x = cert_make(t->sealed, t->keys[i], kinds[i].md);
        X509 *copy;

        assert_non_null(x);
        copy = cert_copy(x, t->plain);
        assert_non_null(copy);
        assert_int_equal(X509_verify(copy, pub), 1);
        assert_int_equal(X509_verify(copy, X509_get0_pubkey(copy)), 1);
        assert_int_equal(X509_check_private_key(x, t->keys[i]), 1);
        EVP_PKEY_free(pub);
        /* A signature that is not this key's does not pass. */
        pub = key_public(t->keys[(i + 1) % N_KINDS], t->plain);
        assert_int_not_equal(X509_verify(copy, pub), 1);
        EVP_PKEY_free(pub);
        X509_free(copy);
        X509_free(x);
    }
    ERR_clear_error();
}

static void test_request(void **state)
{
    const struct token *t = *state;

    for (size_t i = 0; i < N_KINDS; i++) {
        EVP_PKEY *pub = key_public(t->keys[i], t->plain);
        EVP_MD *md = kinds[i].md != NULL
                         ? EVP_MD_fetch(t->sealed, kinds[i].md, NULL)
                         : NULL;
        X509_REQ *req = X509_REQ_new_ex(t->sealed, NULL);
        X509_REQ *copy = X509_REQ_new_ex(t->plain, NULL);
        unsigned char *der = NULL;
        const unsigned char *p;
        int len;

        assert_true(X509_REQ_set_pubkey(req, t->keys[i]));
        assert_true(X509_REQ_sign(req, t->keys[i], md) > 0);
        len = i2d_X509_REQ(req, &der);
        assert_true(len > 0);
        p = der;
        assert_non_null(d2i_X509_REQ(&copy, &p, len));
        assert_int_equal(X509_REQ_verify(copy, pub), 1);
        OPENSSL_free(der);
        X509_REQ_free(copy);
        X509_REQ_free(req);
        EVP_MD_free(md);
        EVP_PKEY_free(pub);
    }
}

/* The algorithm's parameters (RFC 4055 3.1) come from our get_ctx_params. */
static void test_certificate_pss(void **state)
{
    static const int salts[] = { RSA_PSS_SALTLEN_DIGEST, RSA_PSS_SALTLEN_MAX, 0,
                                 20 };
    const struct token *t = *state;
    EVP_PKEY *key = t->keys[RSA2048];
    EVP_PKEY *pub = key_public(key, t->plain);

    for (size_t i = 0; i < sizeof(salts) / sizeof(salts[0]); i++) {
        X509 *x = cert_make(t->sealed, key, "SHA256"), *copy;
        EVP_MD_CTX *c = EVP_MD_CTX_new();
        EVP_PKEY_CTX *pctx = NULL;

        assert_non_null(x);
        assert_true(EVP_DigestSignInit_ex(c, &pctx, "SHA384", t->sealed, NULL,
                                          key, NULL));
        assert_true(EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING)
                    > 0);
        assert_true(EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salts[i]) > 0);
        assert_true(X509_sign_ctx(x, c) > 0);
        assert_int_equal(X509_get_signature_nid(x), NID_rsassaPss);
        copy = cert_copy(x, t->plain);
        assert_non_null(copy);
        assert_int_equal(X509_verify(copy, pub), 1);
        X509_free(copy);
        X509_free(x);
        EVP_MD_CTX_free(c);
    }
    EVP_PKEY_free(pub);
    ERR_clear_error();
}

/* A client that trusts this certificate and nothing else. */
static SSL *client_new(const struct token *t, const X509 *x)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(t->plain, NULL, TLS_client_method());
    X509 *trusted = cert_copy(x, t->plain);
    SSL *ssl;

    assert_non_null(ctx);
    assert_true(X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), trusted));
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    assert_true(SSL_CTX_set1_sigalgs_list(
        ctx, "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:"
             "rsa_pss_rsae_sha256:rsa_pss_rsae_sha512:RSA+SHA256"));
    ssl = SSL_new(ctx);
    assert_non_null(ssl);
    SSL_set_connect_state(ssl);
    X509_free(trusted);
    SSL_CTX_free(ctx);
    return ssl;
}

static SSL *server_new(const struct token *t, size_t kind, X509 *x, int version)
{
    SSL_CTX *ctx = SSL_CTX_new_ex(t->sealed, NULL, TLS_server_method());
    SSL *ssl;

    assert_non_null(ctx);
    assert_true(SSL_CTX_set_min_proto_version(ctx, version));
    assert_true(SSL_CTX_set_max_proto_version(ctx, version));
    assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, t->keys[kind]), 1);
    assert_int_equal(SSL_CTX_check_private_key(ctx), 1);
    ssl = SSL_new(ctx);
    assert_non_null(ssl);
    SSL_set_accept_state(ssl);
    SSL_CTX_free(ctx);
    return ssl;
}

/* Both sides in turn, as long as either gets on. */
static bool handshake(SSL *client, SSL *server)
{
    int a = 0, b = 0;

    for (int i = 0; i < 20 && (a != 1 || b != 1); i++) {
        a = SSL_do_handshake(client);
        b = SSL_do_handshake(server);
    }
    return a == 1 && b == 1;
}

static void tls_with(const struct token *t, size_t kind, int version)
{
    X509 *x = cert_make(t->sealed, t->keys[kind], kinds[kind].md);
    SSL *client = client_new(t, x), *server = server_new(t, kind, x, version);
    BIO *client_bio = NULL, *server_bio = NULL;
    char got[4] = "";

    assert_true(BIO_new_bio_pair(&client_bio, 0, &server_bio, 0));
    SSL_set_bio(client, client_bio, client_bio);
    SSL_set_bio(server, server_bio, server_bio);
    assert_true(handshake(client, server));
    assert_int_equal(SSL_version(client), version);
    assert_int_equal(SSL_get_verify_result(client), X509_V_OK);
    assert_int_equal(X509_cmp(SSL_get0_peer_certificate(client), x), 0);
    assert_int_equal(SSL_write(server, "ping", 4), 4);
    assert_int_equal(SSL_read(client, got, 4), 4);
    assert_memory_equal(got, "ping", 4);
    SSL_free(client);
    SSL_free(server);
    X509_free(x);
}

static void test_tls12(void **state)
{
    for (size_t i = 0; i < N_KINDS; i++)
        tls_with(*state, i, TLS1_2_VERSION);
}

static void test_tls13(void **state)
{
    for (size_t i = 0; i < N_KINDS; i++)
        tls_with(*state, i, TLS1_3_VERSION);
}

/* The key must be the certificate's: a client notices, and so do we. */
static void test_wrong_key_refused(void **state)
{
    const struct token *t = *state;
    X509 *x = cert_make(t->sealed, t->keys[P256], "SHA256");
    EVP_PKEY *other = EVP_PKEY_Q_keygen(t->plain, NULL, "EC", "P-256");
    SSL_CTX *ctx = SSL_CTX_new_ex(t->sealed, NULL, TLS_server_method());

    assert_int_equal(SSL_CTX_use_certificate(ctx, x), 1);
    assert_int_not_equal(SSL_CTX_use_PrivateKey(ctx, other), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(ctx, t->keys[P256]), 1);
    SSL_CTX_free(ctx);
    EVP_PKEY_free(other);
    X509_free(x);
    ERR_clear_error();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_certificate),
        cmocka_unit_test(test_certificate_pss),
        cmocka_unit_test(test_request),
        cmocka_unit_test(test_tls12),
        cmocka_unit_test(test_tls13),
        cmocka_unit_test(test_wrong_key_refused),
    };

    return cmocka_run_group_tests_name("provider: X.509 and TLS", tests,
                                       token_setup_keys, token_teardown);
}
