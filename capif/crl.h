/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif crl: certificate revocation lists (RFC 5280 5), whole ones of
 * version 2, each by the CA that has issued the certificates it lists.
 */
#ifndef CAPIF_CRL_H
#define CAPIF_CRL_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define CAPIF_CA_ID    65 /* octets with NUL */
#define CAPIF_SERIAL   43 /* 20 octets in hexadecimal and a sign, with NUL */
#define CAPIF_CRL_TYPE "application/pkix-crl" /* RFC 5280 4.2.1.13 */

/* What a CA is known by: its subject key identifier, in hexadecimal. */
bool capif_ca_id(const X509 *ca, char out[CAPIF_CA_ID]);
/* A serial number in hexadecimal. */
bool capif_cert_serial(const X509 *cert, char out[CAPIF_SERIAL]);
/* notAfter in seconds since 1970; 0: it has none that can be read. */
time_t capif_cert_end(const X509 *cert);

struct capif_crl_spec {
    int64_t number;
    time_t from, until; /* thisUpdate, nextUpdate */
};

/* An empty one; NULL and OpenSSL's queue if it fails. */
X509_CRL *capif_crl_new(const struct capif_crl_spec *spec, const X509 *ca);
bool capif_crl_add(X509_CRL *crl, const char *serial, time_t when);
/* DER, which the caller frees with OPENSSL_free(); NULL if it fails. */
uint8_t *capif_crl_sign(X509_CRL *crl, EVP_PKEY *ca_key, size_t *len);

/* By ca, and well-formed?  NULL if not; the caller owns it. */
X509_CRL *capif_crl_parse(const uint8_t *der, size_t len, X509 *ca,
                          struct capif_crl_spec *spec);
/* Is that CA's certificate listed? */
bool capif_crl_lists(X509_CRL *crl, const X509 *cert);

#endif
