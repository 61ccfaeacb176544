/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests/shim_p11.c, a PKCS#11 module around another, tells of the calls
 * that went through it.  Threads: may be called by any.
 */
#ifndef SHIM_P11_H
#define SHIM_P11_H

/*
 * Calls since shim_reset(), failed ones too; NULL: of all that it counts.
 * "CKA_SENSITIVE" and "CKA_EXTRACTABLE" count the templates of
 * C_CreateObject(), C_DeriveKey() and C_UnwrapKey() that say true and false.
 */
typedef unsigned long shim_count_fn(const char *function);
typedef void shim_reset_fn(void);
/* C_GetMechanismInfo() says that the token has no such; ~0ul: the truth. */
typedef void shim_hide_fn(unsigned long mechanism);

#endif
