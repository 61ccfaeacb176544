/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS between a server and a client of this process, over memory: stock
 * libssl on both sides, each with a library context of its own.
 *
 * Ownership: a pair is the caller's, who gives it to pair_free().
 */
#ifndef TLS_PAIR_H
#define TLS_PAIR_H

#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>

/* An external PSK of 32 octets, or its handle. */
struct psk {
    uint8_t key[32];
    uint32_t early_data; /* octets that its session allows */
};

/*
 * A server with a certificate of its own, for SHA-256 suites, that resumes
 * nothing; and a client.  version: the only one, or 0.
 */
SSL_CTX *pair_server(OSSL_LIB_CTX *ctx, const char *propq, int version);
/* A server that has PSKs alone. */
SSL_CTX *pair_psk_server(OSSL_LIB_CTX *ctx, const char *propq);
SSL_CTX *pair_client(OSSL_LIB_CTX *ctx, int version);

struct pair {
    SSL *server, *client;
};

/* Fresh connections; PSKs may be NULL, and must stay until they are freed. */
struct pair pair_new(SSL_CTX *server, SSL_CTX *client, struct psk *server_psk,
                     struct psk *client_psk);
void pair_free(struct pair *p);
/* Do both come to the end of the handshake? */
bool pair_shake(struct pair *p);
/* Was text among the errors of the last pair_shake(), of either side? */
bool pair_said(const char *text);
/* Does a line each way arrive? */
bool pair_talk(struct pair *p);

/* new, shake, talk and free. */
bool pair_once(SSL_CTX *server, SSL_CTX *client, struct psk *server_psk,
               struct psk *client_psk);

#endif
