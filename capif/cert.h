/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif cert: who a certificate says somebody is, and making certificates.
 *
 * A member of a CAPIF domain is named by a URI in subjectAltName,
 * urn:capif:<ccfId>:<role>:<id>, and by its id as common name.  A CCF is named
 * by its ccfId, a lower-case FQDN, as dNSName too.
 */
#ifndef CAPIF_CERT_H
#define CAPIF_CERT_H

#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stddef.h>

#define CAPIF_ID_MAX     63  /* octets of an id */
#define CAPIF_CCF_ID_MAX 253 /* octets of a ccfId */

enum capif_role {
    CAPIF_NOBODY,
    CAPIF_INVOKER,
    CAPIF_AEF,
    CAPIF_APF,
    CAPIF_AMF,
    CAPIF_CCF,
};

struct capif_identity {
    enum capif_role role;
    char ccf_id[CAPIF_CCF_ID_MAX + 1];
    char id[CAPIF_CCF_ID_MAX + 1]; /* a CCF's is its ccfId */
};

/* "invoker", "aef", "apf", "amf", "ccf"; "nobody". */
const char *capif_role_name(enum capif_role role);
bool capif_role_parse(const char *name, enum capif_role *role);

/* Letters, digits, '-', '_' and '.', 1 to 63 of them. */
bool capif_id_ok(const char *id);
/* A lower-case FQDN of at least two labels. */
bool capif_ccf_id_ok(const char *ccf_id);

/* The one urn:capif: URI of the certificate; false if none or malformed. */
bool capif_cert_identity(const X509 *cert, struct capif_identity *out);

/* SHA-256 of the DER in base64url: x5t#S256 of RFC 8705 3.1. */
bool capif_cert_thumbprint(const X509 *cert, char out[44]);

/*
 * A PKCS#10 request in PEM whose own signature holds and whose key is EC
 * P-256/384/521, Ed25519 or RSA of 2048 bits or more.  NULL, and *why, if it
 * is not.
 */
X509_REQ *capif_csr_parse(const char *pem, const char **why);
/*
 * A public key in PEM (SubjectPublicKeyInfo) that secrets may be wrapped for:
 * RSA of 2048 bits or more; NULL if it is not.
 */
EVP_PKEY *capif_transport_parse(const char *pem);
/* The public key in PEM; the caller frees it. */
char *capif_spki_pem(EVP_PKEY *key);
/* A request for key, in PEM; the caller frees it. */
char *capif_csr_make(const char *common_name, EVP_PKEY *key);

struct capif_cert_spec {
    EVP_PKEY *public_key;
    struct capif_identity who;
    const char *dns_name; /* NULL: not a server */
    bool transport;       /* a key to wrap for, and not for TLS */
    const char *crl_url;  /* where it would be listed; NULL: nowhere */
    long days;
};

/* Issue an end-entity certificate; NULL and OpenSSL's queue if it fails. */
X509 *capif_cert_issue(const struct capif_cert_spec *spec, X509 *ca,
                       EVP_PKEY *ca_key);
/* A self-signed CA certificate. */
X509 *capif_cert_ca(const char *common_name, EVP_PKEY *key, long days);

/* In PEM; the caller frees it. */
char *capif_cert_pem(const X509 *cert);
X509 *capif_cert_parse(const char *pem);

#endif
