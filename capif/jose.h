/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif jose: JWS compact serialization (RFC 7515), JWK (RFC 7517, 7518,
 * 8037) and base64url, no more of them than CAPIF needs.
 *
 * Signing takes any key OpenSSL knows, one in a token above all.  Verifying
 * takes keys from the caller's own key set, by kid: a header that brings its
 * own (jku, jwk, x5u, x5c) is refused, as are `none`, HMAC, any unknown `alg`
 * and any `crit`.
 */
#ifndef CAPIF_JOSE_H
#define CAPIF_JOSE_H

#include "json.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CAPIF_JWS_MAX 8192 /* octets of a compact serialization */
#define CAPIF_KID_MAX 128

/* Base64url without padding; the caller frees the result. */
char *capif_b64url(const uint8_t *in, size_t len);
/*
 * Strict: no padding, no white space, no stray bits at the end (RFC 7515
 * section 2, RFC 4648 3.5).  The caller frees *out, which gets a NUL at its
 * end that is not counted.
 */
bool capif_b64url_decode(const char *in, size_t in_len, uint8_t **out,
                         size_t *len);

/* Base64url of SHA-256; out is 44 octets with its NUL. */
bool capif_sha256_b64url(const void *in, size_t len, char out[44]);

/* The alg that capif_jws_sign() uses with key; NULL if there is none. */
const char *capif_jws_alg(EVP_PKEY *key);

/*
 * The JWS of claims with header {alg, typ, kid}; alg follows from the key:
 * ES256, ES384, ES512, PS256 or EdDSA.  NULL, and the reason on OpenSSL's
 * queue, if the key can't sign.  The caller frees the result.
 */
char *capif_jws_sign(const json_t *claims, const char *typ, const char *kid,
                     EVP_PKEY *key);

/* A JWS taken apart but not yet believed. */
struct capif_jws {
    json_t *header, *claims;
    const char *alg, *kid, *typ; /* of the header; kid, typ may be NULL */
    char *text;                  /* a copy; signed_len octets are signed */
    size_t signed_len;
    uint8_t *sig;
    size_t sig_len;
};

/* NULL, or what is wrong with it in a few words. */
const char *capif_jws_parse(const char *text, struct capif_jws *out);
/* Does key's signature hold, and does alg belong to that type of key? */
bool capif_jws_verify(const struct capif_jws *jws, EVP_PKEY *key);
void capif_jws_clear(struct capif_jws *jws);

/* Is aud that, or an array that has it? */
bool capif_aud_has(const json_t *claims, const char *who);
/* NULL, or why it may not be used now, by exp and nbf. */
const char *capif_times_check(const json_t *claims, time_t now);

/* The public JWK of a key, with kid, alg and use; the caller owns it. */
json_t *capif_jwk(EVP_PKEY *key, const char *kid);
/* The key's RFC 7638 thumbprint, which serves as kid; 44 octets with NUL. */
bool capif_jwk_thumbprint(EVP_PKEY *key, char out[44]);
/* The public key of a JWK; NULL if it is none of the types above. */
EVP_PKEY *capif_jwk_parse(const json_t *jwk);
/* The key of that kid in a JWK set; NULL if there is none.  Caller owns it. */
EVP_PKEY *capif_jwks_find(const json_t *jwks, const char *kid);

#endif
