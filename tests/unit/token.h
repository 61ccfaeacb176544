/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of provider/ share: a fresh SoftHSM token in a directory of
 * its own, library contexts with and without the provider, and short forms of
 * OpenSSL's longer spells.  Whatever begins with token_ asserts.
 *
 * Ownership: what is returned is the caller's, to be freed by OpenSSL's own
 * functions, but for struct token, which is the group's.
 */
#ifndef TOKEN_H
#define TOKEN_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

#define TOKEN_PIN "1234"
#define SIG_MAX   512

/* The kinds of key that every test goes through. */
struct kind {
    const char *name;  /* also the label of its key in the token */
    const char *type;  /* for EVP_PKEY_CTX_new_from_name() */
    const char *group; /* for EC, or NULL */
    const char *md;    /* or NULL: the algorithm has its own */
    size_t jose_len;   /* octets of a signature in a JWS */
};
extern const struct kind kinds[];
#define N_KINDS 5
#define P256    0
#define RSA2048 3
#define ED25519 4

struct token {
    char dir[32];
    char softhsm[128]; /* path of the module */
    char pin_file[64];
    void *mapped;            /* keeps the module in place */
    OSSL_LIB_CTX *sealed;    /* the provider on this token */
    OSSL_LIB_CTX *plain;     /* the default provider alone */
    EVP_PKEY *keys[N_KINDS]; /* made in the token by token_setup_keys() */
};

/* cmocka group fixtures; *state becomes the struct token. */
int token_setup(void **state);      /* the token alone, both contexts NULL */
int token_setup_keys(void **state); /* and everything else */
int token_teardown(void **state);

/* The provider's section; NULL leaves a key out. */
struct section {
    const char *module, *agent, *token, *pin_file, *sessions;
    const char *init_args, *derive, *wrap, *secrets, *timeout, *max;
    const char *more; /* lines as they are */
};
struct section token_section(const struct token *t);
/*
 * A context that has read that configuration.  With activate, OpenSSL loads
 * the provider there and then, but 3.0 says nothing if that fails; without,
 * it waits for OSSL_PROVIDER_load(), which does.
 */
OSSL_LIB_CTX *token_context(const struct token *t, const struct section *s,
                            bool activate);
/* And one where it has been activated. */
OSSL_LIB_CTX *token_load(const struct token *t, const struct section *s);
/* A file in the token's directory; path has room for 64 octets. */
void token_file(const struct token *t, const char *name, const char *text,
                char *path);

/* Run a program with its standard output dropped; its wait status or -1. */
int token_run(const char *const argv[]);

/* All of these return NULL on failure, with the error queue left as it is. */
EVP_PKEY *key_generate(OSSL_LIB_CTX *ctx, const struct kind *k,
                       const char *uri);
EVP_PKEY *key_find(OSSL_LIB_CTX *ctx, const char *uri, int expect);
X509 *cert_find(OSSL_LIB_CTX *ctx, const char *uri);
/* The exported public half, as a key of the default provider in ctx. */
EVP_PKEY *key_public(const EVP_PKEY *key, OSSL_LIB_CTX *ctx);
/* Self-signed; md may be NULL. */
X509 *cert_make(OSSL_LIB_CTX *ctx, EVP_PKEY *key, const char *md);
/* The same certificate, parsed anew in ctx. */
X509 *cert_copy(const X509 *x, OSSL_LIB_CTX *ctx);

/* Sign `message` with EVP_DigestSign(); *len is room, then length. */
extern const unsigned char message[];
#define MESSAGE_LEN 43
bool sign_message(OSSL_LIB_CTX *ctx, EVP_PKEY *key, const char *md,
                  const char *propq, unsigned char *sig, size_t *len);
/* Verify with a key of the default provider. */
bool verify_message(OSSL_LIB_CTX *ctx, EVP_PKEY *pub, const char *md,
                    const unsigned char *sig, size_t len);

/* Empty the error queue; was text in some entry's reason or data? */
bool queue_had(const char *text);

#endif
