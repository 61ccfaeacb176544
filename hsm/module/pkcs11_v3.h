/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What p11-kit's header lacks of PKCS#11 3.0: Montgomery curves, and the key
 * derivation mechanisms of its sections 6.42 (SP 800-108) and 6.62 (HKDF),
 * values from pkcs11t.h of OASIS.
 */
#ifndef HSM_PKCS11_V3_H
#define HSM_PKCS11_V3_H

#include <p11-kit/pkcs11.h>

#ifndef CKM_HKDF_DERIVE
#define CKM_HKDF_DERIVE 0x0000402aUL
typedef struct {
    CK_BBOOL bExtract;
    CK_BBOOL bExpand;
    CK_MECHANISM_TYPE prfHashMechanism;
    CK_ULONG ulSaltType;
    CK_BYTE *pSalt;
    CK_ULONG ulSaltLen;
    CK_OBJECT_HANDLE hSaltKey;
    CK_BYTE *pInfo;
    CK_ULONG ulInfoLen;
} CK_HKDF_PARAMS;
#define CKF_HKDF_SALT_NULL 1UL
#define CKF_HKDF_SALT_DATA 2UL
#define CKF_HKDF_SALT_KEY  4UL
#endif

#ifndef CKM_SP800_108_FEEDBACK_KDF
#define CKM_SP800_108_FEEDBACK_KDF        0x000003adUL
#define CKM_SP800_108_DOUBLE_PIPELINE_KDF 0x000003aeUL
#define CK_SP800_108_ITERATION_VARIABLE   1UL
#define CK_SP800_108_BYTE_ARRAY           4UL
typedef struct {
    CK_ULONG type;
    void *pValue;
    CK_ULONG ulValueLen;
} CK_PRF_DATA_PARAM;
typedef struct {
    CK_MECHANISM_TYPE prfType;
    CK_ULONG ulNumberOfDataParams;
    CK_PRF_DATA_PARAM *pDataParams;
    CK_ULONG ulIVLen;
    CK_BYTE *pIV;
    CK_ULONG ulAdditionalDerivedKeys;
    void *pAdditionalDerivedKeys;
} CK_SP800_108_FEEDBACK_KDF_PARAMS;
typedef struct {
    CK_MECHANISM_TYPE prfType;
    CK_ULONG ulNumberOfDataParams;
    CK_PRF_DATA_PARAM *pDataParams;
    CK_ULONG ulAdditionalDerivedKeys;
    void *pAdditionalDerivedKeys;
} CK_SP800_108_KDF_PARAMS;
#endif

#ifndef CKK_EC_MONTGOMERY
#define CKK_EC_MONTGOMERY              0x00000041UL
#define CKM_EC_MONTGOMERY_KEY_PAIR_GEN 0x00001056UL
#endif

#ifndef CKA_WRAP_WITH_TRUSTED
#define CKA_WRAP_WITH_TRUSTED 0x00000210UL
#endif

#endif
