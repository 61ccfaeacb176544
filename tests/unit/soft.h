/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of capif/, ccf/ and aef/ share: keys in software,
 * certificates, a JWS with any header, and what was written to standard
 * error.  Everything asserts.
 *
 * Ownership: what is returned is the caller's.
 */
#ifndef SOFT_H
#define SOFT_H

/* cmocka.h wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cert.h"
#include "jose.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* group is an EC curve's name; bits, RSA's; NULL and 0: Ed25519. */
EVP_PKEY *soft_key(const char *group, unsigned bits);

/* Of key, for a week, under ca; not a server. */
X509 *soft_member(enum capif_role role, const char *ccf_id, const char *id,
                  EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key);

/*
 * A JWS of exactly these octets.  md NULL is Ed25519; an EC signature gets
 * its JOSE form by hand, since only a token's provider makes that.
 */
char *soft_jws(const char *header, const char *claims, EVP_PKEY *key,
               const char *md, bool pss);

/* json_loads() of text in which ' stands for ". */
json_t *soft_json(const char *text);

/* Standard error goes to a file until soft_heard(), which gives the text. */
void soft_listen(void);
const char *soft_heard(void);

/* The file, which must not be there yet, with that content. */
void soft_write(const char *path, const char *text);

#endif
