/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A certificate for a client that can't be given one: preloaded into wrk,
 * since tokens are bound to the invoker's (RFC 8705 3).
 */
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

static SSL_CTX *without(const SSL_METHOD *method)
{
    SSL_CTX *(*real)(const SSL_METHOD *) = NULL;

    *(void **)&real = dlsym(RTLD_NEXT, "SSL_CTX_new");
    return real != NULL ? real(method) : NULL;
}

SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
{
    const char *cert = getenv("CLIENT_CERT"), *key = getenv("CLIENT_KEY");
    SSL_CTX *ctx = without(method);

    if (ctx == NULL || cert == NULL || key == NULL
        || SSL_CTX_use_certificate_chain_file(ctx, cert) != 1
        || SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1) {
        fprintf(stderr, "client-cert: CLIENT_CERT, CLIENT_KEY unusable\n");
        exit(EXIT_FAILURE);
    }
    return ctx;
}
