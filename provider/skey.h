/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret keys as EVP_SKEY, which OpenSSL has since 3.5: what stands behind
 * one, for the algorithms here that take them.
 *
 * Ownership: OpenSSL frees a key by the dispatch tables; an algorithm takes
 * references of its own to what it keeps.
 */
#ifndef PROV_SKEY_H
#define PROV_SKEY_H

#include "sealed.h"

struct prov_skey {
    struct prov_ctx *prov;
    bool kek;                  /* an AES key, else a generic secret */
    struct hsm_secret *secret; /* NULL: what the handle stands for */
    uint8_t handle[SEALED_LEN_MAX];
    size_t handle_len;
    bool release; /* the sealed secret with this */
    char *uri;    /* that named it, or NULL */
};

#ifdef OSSL_OP_SKEYMGMT
/*
 * The generic secret, a reference of the caller's; false, and raised, if it
 * is none, or gone.
 */
bool prov_skey_secret(const struct prov_skey *key, struct hsm_secret **secret);
extern const OSSL_DISPATCH prov_secret_skeymgmt_functions[];
extern const OSSL_DISPATCH prov_aes_skeymgmt_functions[];
#endif

#endif
