/* SPDX-License-Identifier: Apache-2.0 */
/* See handshake.h. */
#include "handshake.h"

#include <openssl/ssl.h>
#include <stdlib.h>

#define FLIGHTS_MAX 8 /* a full handshake takes three */

struct handshake {
    SSL_CTX *server, *client;
};

void handshake_free(struct handshake *h)
{
    if (h == NULL)
        return;
    SSL_CTX_free(h->server);
    SSL_CTX_free(h->client);
    free(h);
}

struct handshake *handshake_new(OSSL_LIB_CTX *ctx, EVP_PKEY *key, X509 *cert)
{
    struct handshake *h = calloc(1, sizeof(*h));

    if (h == NULL)
        return NULL;
    h->server = SSL_CTX_new_ex(ctx, NULL, TLS_server_method());
    h->client = SSL_CTX_new_ex(ctx, NULL, TLS_client_method());
    if (h->server == NULL || h->client == NULL
        || SSL_CTX_use_certificate(h->server, cert) != 1
        || SSL_CTX_use_PrivateKey(h->server, key) != 1
        || !SSL_CTX_set_min_proto_version(h->client, TLS1_3_VERSION)
        || !X509_STORE_add_cert(SSL_CTX_get_cert_store(h->client), cert)) {
        handshake_free(h);
        return NULL;
    }
    SSL_CTX_set_verify(h->client, SSL_VERIFY_PEER, NULL);
    return h;
}

/* Both have a BIO each afterwards, of which they dispose. */
static bool connect_bios(SSL *a, SSL *b)
{
    BIO *to_a = NULL, *to_b = NULL;

    if (!BIO_new_bio_pair(&to_a, 0, &to_b, 0))
        return false;
    SSL_set_bio(a, to_a, to_a);
    SSL_set_bio(b, to_b, to_b);
    return true;
}

static bool shake(SSL *server, SSL *client)
{
    int c, s;

    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    for (int i = 0; i < FLIGHTS_MAX; i++) {
        c = SSL_do_handshake(client);
        s = SSL_do_handshake(server);
        if (c == 1 && s == 1)
            return true;
        if ((c != 1 && SSL_get_error(client, c) != SSL_ERROR_WANT_READ)
            || (s != 1 && SSL_get_error(server, s) != SSL_ERROR_WANT_READ))
            return false;
    }
    return false;
}

bool handshake_run(struct handshake *h)
{
    SSL *server = SSL_new(h->server);
    SSL *client = SSL_new(h->client);
    bool ok = server != NULL && client != NULL && connect_bios(server, client)
              && shake(server, client);

    SSL_free(server);
    SSL_free(client);
    return ok;
}
