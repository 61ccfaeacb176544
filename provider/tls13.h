/* SPDX-License-Identifier: Apache-2.0 */
/* What kdf_tls13.c, the KDF, and tls13_sealed.c, what it derives, share. */
#ifndef PROV_TLS13_H
#define PROV_TLS13_H

#include "kdf.h"

#define TLS13_LABEL_MAX  249 /* with its prefix: one octet of length */
#define TLS13_DATA_MAX   64
#define TLS13_PREFIX_MAX 6
#define TLS13_KEY_MAX    512

/* One derivation: its parameters as far as a sealed secret needs them. */
struct tls13 {
    struct prov_kdf head;
    int mode;
    char md[PROV_MD_ROOM];
    uint8_t key[TLS13_KEY_MAX], salt[TLS13_DATA_MAX], data[TLS13_DATA_MAX];
    char prefix[TLS13_PREFIX_MAX + 1], label[TLS13_LABEL_MAX + 1];
    size_t key_len, salt_len, data_len;
    bool has_key, too_long; /* something did not fit into the above */
};

/*
 * Is key or salt a handle, or is the result to be one?  Then derive: 1, or 0
 * and raised.  -1: it is the default provider's business.
 */
int tls13_derive_sealed(const struct tls13 *k, uint8_t *out, size_t len);

#endif
