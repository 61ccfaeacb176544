/* SPDX-License-Identifier: Apache-2.0 */
/* What the KDFs and HMAC on sealed secrets share. */
#ifndef PROV_KDF_H
#define PROV_KDF_H

#include "sealed.h"

#include <openssl/kdf.h>
#include <openssl/params.h>

/*
 * The head of a KDF's context, which is size octets in all and may hold
 * secrets: what is not for a sealed secret is for soft.
 */
struct prov_kdf {
    struct prov_ctx *prov;
    enum prov_soft_kdf which;
    EVP_KDF_CTX *soft; /* of prov_kdf_soft(), or NULL */
    size_t size;
    bool session; /* sealed.tls=session */
};

void *prov_kdf_new(struct prov_ctx *prov, enum prov_soft_kdf which,
                   size_t size);
/* The default provider's own context, made when it is first wanted. */
EVP_KDF_CTX *prov_kdf_soft(struct prov_kdf *k);
/* Of any such context, as the dispatch tables want them; free wipes. */
OSSL_FUNC_kdf_dupctx_fn prov_kdf_dup;
OSSL_FUNC_kdf_freectx_fn prov_kdf_free;
/* All that follows the head is zero again. */
OSSL_FUNC_kdf_reset_fn prov_kdf_reset;
bool prov_md_is_sha256(struct prov_ctx *prov, const char *name);

#define PROV_MD_ROOM 50 /* OSSL_MAX_NAME_SIZE: none is longer */

/*
 * Copy the digest's name, if there is one, to be looked up where a sealed
 * secret turns up: for all others, at each derivation of a TLS handshake,
 * it would be in vain.  One too long, or no text, leaves "".
 */
void prov_md_take(const OSSL_PARAM params[], char md[PROV_MD_ROOM]);

/*
 * Copy an octet string that is short enough; a longer one can't concern a
 * sealed secret, and leaves *len 0.  True if absent; false if not an octet
 * string.  present may be NULL.
 */
bool prov_param_take(const OSSL_PARAM params[], const char *name, uint8_t *out,
                     size_t room, size_t *len, bool *present);
/* Is st good, and secret in the table from now on?  Else raised, freed. */
bool prov_seal(struct prov_ctx *prov, enum hsm_status st,
               struct hsm_secret *secret, enum sealed_kind kind,
               unsigned lifetime, bool pinned, uint8_t *out, size_t len);

extern const OSSL_DISPATCH prov_tls13_psk_functions[];
extern const OSSL_DISPATCH prov_tls13_session_functions[];
extern const OSSL_DISPATCH prov_prf_psk_functions[];
extern const OSSL_DISPATCH prov_prf_functions[];
extern const OSSL_DISPATCH prov_aefpsk_functions[];
extern const OSSL_DISPATCH prov_3gpp_functions[];
extern const OSSL_DISPATCH prov_wrap_aes_functions[];
extern const OSSL_DISPATCH prov_rsa_asym_functions[];
extern const OSSL_DISPATCH prov_hmac_keymgmt_functions[];
extern const OSSL_DISPATCH prov_hmac_sig_functions[];

#endif
