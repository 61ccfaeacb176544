/* SPDX-License-Identifier: Apache-2.0 */
/* See tls_pair.h. */
#include "tls_pair.h"

#include "token.h"

#include <openssl/err.h>
#include <string.h>

#define SUITES13 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
#define SUITES12 "ECDHE-ECDSA-AES128-GCM-SHA256"
#define IDENTITY "ccf.example/invoker/psk"

/* ---- external PSKs ---- */

static SSL_SESSION *psk_session(SSL *ssl, const struct psk *psk)
{
    const unsigned char suite[] = { 0x13, 0x01 };
    SSL_SESSION *s = SSL_SESSION_new();

    if (s == NULL || !SSL_SESSION_set1_master_key(s, psk->key, sizeof(psk->key))
        || !SSL_SESSION_set_cipher(s, SSL_CIPHER_find(ssl, suite))
        || !SSL_SESSION_set_max_early_data(s, psk->early_data)
        || !SSL_SESSION_set_protocol_version(s, TLS1_3_VERSION)) {
        SSL_SESSION_free(s);
        return NULL;
    }
    return s;
}

static int find_psk(SSL *ssl, const unsigned char *id, size_t len,
                    SSL_SESSION **out)
{
    const struct psk *psk = SSL_get_app_data(ssl);

    *out = NULL;
    if (psk == NULL || len != sizeof(IDENTITY) - 1
        || memcmp(id, IDENTITY, len) != 0)
        return 1;
    *out = psk_session(ssl, psk);
    return *out != NULL;
}

static int use_psk(SSL *ssl, const EVP_MD *md, const unsigned char **id,
                   size_t *len, SSL_SESSION **out)
{
    const struct psk *psk = SSL_get_app_data(ssl);

    (void)md;
    *out = NULL;
    if (psk == NULL)
        return 1;
    *id = (const unsigned char *)IDENTITY;
    *len = sizeof(IDENTITY) - 1;
    *out = psk_session(ssl, psk);
    return *out != NULL;
}

/* ---- contexts ---- */

static SSL_CTX *server(OSSL_LIB_CTX *ctx, const char *propq)
{
    SSL_CTX *c = SSL_CTX_new_ex(ctx, propq, TLS_server_method());

    assert_non_null(c);
    assert_true(SSL_CTX_set_ciphersuites(c, SUITES13));
    assert_true(SSL_CTX_set_cipher_list(c, SUITES12));
    SSL_CTX_set_options(c, SSL_OP_NO_TICKET | SSL_OP_CIPHER_SERVER_PREFERENCE);
    assert_true(SSL_CTX_set_num_tickets(c, 0));
    return c;
}

SSL_CTX *pair_psk_server(OSSL_LIB_CTX *ctx, const char *propq)
{
    SSL_CTX *c = server(ctx, propq);

    SSL_CTX_set_psk_find_session_callback(c, find_psk);
    assert_true(SSL_CTX_set_min_proto_version(c, TLS1_3_VERSION));
    return c;
}

SSL_CTX *pair_server(OSSL_LIB_CTX *ctx, const char *propq, int version)
{
    SSL_CTX *c = server(ctx, propq);
    EVP_PKEY *key = EVP_PKEY_Q_keygen(ctx, "provider=default", "EC", "P-256");
    X509 *x = cert_make(ctx, key, "SHA256");

    assert_non_null(x);
    assert_true(SSL_CTX_use_certificate(c, x));
    assert_true(SSL_CTX_use_PrivateKey(c, key));
    assert_true(SSL_CTX_set_min_proto_version(c, version));
    assert_true(SSL_CTX_set_max_proto_version(c, version));
    assert_true(SSL_CTX_set_session_id_context(c, (const uint8_t *)"x", 1));
    X509_free(x);
    EVP_PKEY_free(key);
    return c;
}

SSL_CTX *pair_client(OSSL_LIB_CTX *ctx, int version)
{
    SSL_CTX *c = SSL_CTX_new_ex(ctx, NULL, TLS_client_method());

    assert_non_null(c);
    SSL_CTX_set_psk_use_session_callback(c, use_psk);
    assert_true(SSL_CTX_set_min_proto_version(c, version));
    assert_true(SSL_CTX_set_max_proto_version(c, version));
    return c;
}

/* ---- connections ---- */

struct pair pair_new(SSL_CTX *server_ctx, SSL_CTX *client_ctx,
                     struct psk *server_psk, struct psk *client_psk)
{
    struct pair p = { SSL_new(server_ctx), SSL_new(client_ctx) };
    BIO *a = NULL, *b = NULL;

    assert_non_null(p.server);
    assert_non_null(p.client);
    assert_true(BIO_new_bio_pair(&a, 0, &b, 0));
    SSL_set_bio(p.server, a, a);
    SSL_set_bio(p.client, b, b);
    SSL_set_accept_state(p.server);
    SSL_set_connect_state(p.client);
    SSL_set_app_data(p.server, server_psk);
    SSL_set_app_data(p.client, client_psk);
    return p;
}

void pair_free(struct pair *p)
{
    SSL_free(p->server);
    SSL_free(p->client);
    p->server = p->client = NULL;
}

/* libssl empties the error queue at every call. */
static char said[4096];

static int keep(const char *text, size_t len, void *arg)
{
    size_t n = strlen(said);

    (void)arg;
    if (len < sizeof(said) - n)
        memcpy(said + n, text, len + 1);
    return 1;
}

bool pair_said(const char *text)
{
    return strstr(said, text) != NULL;
}

/* 1: done, 0: waits, -1: failed. */
static int step(SSL *ssl)
{
    int n = SSL_do_handshake(ssl);

    if (n == 1)
        return 1;
    if (SSL_get_error(ssl, n) == SSL_ERROR_WANT_READ)
        return 0;
    ERR_print_errors_cb(keep, NULL);
    return -1;
}

bool pair_shake(struct pair *p)
{
    said[0] = '\0';
    for (int i = 0; i < 10; i++) {
        int c = step(p->client), s = step(p->server);

        if (c == 1 && s == 1)
            return true;
        if (s < 0)
            (void)step(p->client); /* it reads the alert */
        if (c < 0 || s < 0)
            return false;
    }
    return false;
}

bool pair_talk(struct pair *p)
{
    char buf[8];

    return SSL_write(p->client, "hello", 5) == 5
           && SSL_read(p->server, buf, sizeof(buf)) == 5
           && memcmp(buf, "hello", 5) == 0 && SSL_write(p->server, "hi", 2) == 2
           && SSL_read(p->client, buf, sizeof(buf)) == 2
           && memcmp(buf, "hi", 2) == 0;
}

bool pair_once(SSL_CTX *server_ctx, SSL_CTX *client_ctx, struct psk *server_psk,
               struct psk *client_psk)
{
    struct pair p = pair_new(server_ctx, client_ctx, server_psk, client_psk);
    bool ok = pair_shake(&p) && pair_talk(&p);

    pair_free(&p);
    return ok;
}
