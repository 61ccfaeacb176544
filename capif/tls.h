/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif tls: keys and certificates by URI or file, and TLS contexts of the
 * profile of TS 33.210 6.2 (TLS 1.2 and 1.3, ECDHE and AEAD only).
 */
#ifndef CAPIF_TLS_H
#define CAPIF_TLS_H

#include "cert.h"

#include <openssl/ssl.h>

/* A private key, perhaps in a token, and its certificate with its chain. */
struct capif_credentials {
    EVP_PKEY *key;
    X509 *cert;
    STACK_OF(X509) * chain; /* without cert; may be NULL */
};

/*
 * The private key of a pkcs11: URI or a file; NULL and OpenSSL's queue if
 * there is none.
 */
EVP_PKEY *capif_key_load(const char *uri);
/* All certificates of a PEM file, at least one; NULL if that fails. */
STACK_OF(X509) * capif_certs_load(const char *file);
/*
 * cert_file holds the certificate and then its chain.  false, and a line in
 * the log, if anything is wrong or key and certificate don't belong together.
 */
bool capif_credentials_load(const char *cert_file, const char *key_uri,
                            struct capif_credentials *out);
/* The same once more, to be cleared of itself. */
bool capif_credentials_ref(const struct capif_credentials *cred,
                           struct capif_credentials *out);
void capif_credentials_clear(struct capif_credentials *cred);

/*
 * Set up ctx, made by SSL_CTX_new() or capif_seal_server_ctx(), which is taken
 * over (and may be NULL): a server that asks for a client certificate but
 * does not insist.  sealed: offer SHA-256 suites alone, and issue session IDs
 * in TLS 1.2, as TS 33.122 A.1 needs them; there is no resumption.  With
 * anchors, a client that has one must have it under them.  Without, any is
 * taken as no more than proof that the client has its key, and the caller
 * verifies it later, with capif_cert_verify().
 */
SSL_CTX *capif_tls_server(SSL_CTX *ctx, bool sealed,
                          const struct capif_credentials *cred,
                          STACK_OF(X509) * anchors);

/* Set up a client's context: its certificate (cred may be NULL), profile. */
bool capif_tls_client(SSL_CTX *ctx, const struct capif_credentials *cred);

/*
 * Does cert, with help of untrusted (may be NULL), verify under anchors, now?
 */
bool capif_cert_verify_any(X509 *cert, STACK_OF(X509) * untrusted,
                           STACK_OF(X509) * anchors);
/* The same, as a TLS client. */
bool capif_cert_verify(X509 *cert, STACK_OF(X509) * untrusted,
                       STACK_OF(X509) * anchors);

#endif
