/* SPDX-License-Identifier: Apache-2.0 */
/*
 * handshake: TLS 1.3 between two ends in one process, each handshake with new
 * connections; the server shows a certificate, which the client verifies.
 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include <openssl/types.h>
#include <stdbool.h>

struct handshake;

/* Both ends in ctx; NULL on failure.  References to key and cert are taken. */
struct handshake *handshake_new(OSSL_LIB_CTX *ctx, EVP_PKEY *key, X509 *cert);
void handshake_free(struct handshake *h);
bool handshake_run(struct handshake *h);

#endif
