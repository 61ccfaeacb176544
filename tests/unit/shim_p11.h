/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests/shim_p11.c, a PKCS#11 module around another, tells of the calls
 * that went through it.  Threads: may be called by any.
 */
#ifndef SHIM_P11_H
#define SHIM_P11_H

#include <p11-kit/pkcs11.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * Calls since shim_reset(), failed ones too; NULL: of all that it counts.
 * "CKA_SENSITIVE" and "CKA_EXTRACTABLE" count the templates of
 * C_CreateObject(), C_DeriveKey() and C_UnwrapKey() that say true and false.
 */
typedef unsigned long shim_count_fn(const char *function);
typedef void shim_reset_fn(void);
/* C_GetMechanismInfo() says that the token has no such; ~0ul: the truth. */
typedef void shim_hide_fn(unsigned long mechanism);

/* A secret, wrapped by the token's AES key; len 0: it can't be. */
#define SHIM_WRAPPED_MAX 72
struct shim_secret {
    CK_ULONG len;
    uint8_t wrapped[SHIM_WRAPPED_MAX];
};
/* Those that were made and not destroyed, if counts are shared; how many. */
typedef unsigned long shim_live_fn(struct shim_secret *out, unsigned long max);
/* The process that had them has ended. */
typedef void shim_forget_fn(void);

#endif
