/* SPDX-License-Identifier: Apache-2.0 */
/* What cert.c and crl.c share. */
#ifndef CAPIF_CERT_INTERNAL_H
#define CAPIF_CERT_INTERNAL_H

#include <openssl/evp.h>

/* The digest that a CA signs with; NULL: its key takes none. */
const EVP_MD *capif_cert_md(EVP_PKEY *key);

#endif
