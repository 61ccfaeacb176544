/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key derivations through EVP in one line, as libssl and the daemons call
 * them, and octets from hexadecimal.  Whatever returns bool is false, with
 * the error queue left as it is, when the derivation is refused.
 */
#ifndef KDF_CALL_H
#define KDF_CALL_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HASH 32 /* octets of SHA-256 */

/* Octets of a string of hexadecimal digits; out has the room. */
size_t unhex(const char *text, uint8_t *out);

struct blob {
    const void *p; /* NULL: the parameter is left out */
    size_t len;
};
#define BLOB(p, len) ((struct blob){ (p), (len) })
#define NO_BLOB      ((struct blob){ NULL, 0 })

/* A library context, and a property query or NULL. */
struct kdf_from {
    OSSL_LIB_CTX *ctx;
    const char *propq;
};

/* TLS13-KDF as libssl uses it: label "derived" in an extraction. */
bool tls13_extract(struct kdf_from from, const char *md, struct blob salt,
                   struct blob key, uint8_t *out, size_t len);
bool tls13_expand(struct kdf_from from, const char *md, struct blob key,
                  const char *label, struct blob data, uint8_t *out,
                  size_t len);
/* TLS1-PRF; the seed in two parts. */
bool tls1_prf(struct kdf_from from, const char *md, struct blob secret,
              struct blob seed1, struct blob seed2, uint8_t *out, size_t len);
bool aefpsk(OSSL_LIB_CTX *ctx, struct blob key, struct blob p0, struct blob p1,
            unsigned lifetime, uint8_t out[HASH]);
/* The same by 3GPP-KDF. */
bool ts33220(OSSL_LIB_CTX *ctx, struct blob key, int fc, struct blob p0,
             struct blob p1, uint8_t out[HASH]);
/* HMAC as libssl makes a binder: of a key, finished on a copy. */
bool hmac_sign(struct kdf_from from, const char *md, struct blob key,
               struct blob msg, uint8_t *out, size_t *len);
/* HMAC-SHA-256 by the default provider; asserts nothing, fails never. */
void soft_hmac(const uint8_t *key, size_t key_len, const void *msg, size_t len,
               uint8_t out[HASH]);

#endif
