/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One-shot signatures.  A session is borrowed for one C_SignInit()/C_Sign()
 * pair, since PKCS#11 allows one active signature per session.
 */
#include "../internal.h"

static const struct {
    CK_MECHANISM_TYPE hash;
    CK_RSA_PKCS_MGF_TYPE mgf;
} hashes[] = {
    [HSM_HASH_SHA1] = { CKM_SHA_1, CKG_MGF1_SHA1 },
    [HSM_HASH_SHA224] = { CKM_SHA224, CKG_MGF1_SHA224 },
    [HSM_HASH_SHA256] = { CKM_SHA256, CKG_MGF1_SHA256 },
    [HSM_HASH_SHA384] = { CKM_SHA384, CKG_MGF1_SHA384 },
    [HSM_HASH_SHA512] = { CKM_SHA512, CKG_MGF1_SHA512 },
};

CK_MECHANISM_TYPE hsm_hash_mech(enum hsm_hash hash)
{
    return hashes[hash].hash;
}

CK_RSA_PKCS_MGF_TYPE hsm_hash_mgf(enum hsm_hash hash)
{
    return hashes[hash].mgf;
}

static enum hsm_status sign_once(struct hsm_key *key,
                                 const struct hsm_sign_params *p,
                                 const uint8_t *tbs, size_t tbs_len,
                                 uint8_t *sig, size_t *sig_len)
{
    static const CK_MECHANISM_TYPE types[] = {
        [HSM_MECH_ECDSA] = CKM_ECDSA,
        [HSM_MECH_RSA_PKCS1] = CKM_RSA_PKCS,
        [HSM_MECH_RSA_PSS] = CKM_RSA_PKCS_PSS,
        [HSM_MECH_EDDSA] = CKM_EDDSA,
    };
    CK_RSA_PKCS_PSS_PARAMS pss = { hashes[p->hash].hash,
                                   hashes[p->mgf1_hash].mgf, p->salt_len };
    CK_MECHANISM m = { types[p->mech], NULL, 0 };
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE obj = CK_INVALID_HANDLE;
    CK_ULONG len = *sig_len;
    struct hsm *h = key->hsm;
    enum hsm_status st;

    if (p->mech == HSM_MECH_RSA_PSS) {
        m.pParameter = &pss;
        m.ulParameterLen = sizeof(pss);
    }
    if ((st = hsm_session_get(h, &s)) != HSM_OK)
        goto out;
    if ((st = hsm_key_handle(key, s, &obj)) != HSM_OK)
        goto out;
    if ((st = HSM_CALL(h, C_SignInit, s, &m, obj)) != HSM_OK)
        goto out;
    st = HSM_CALL(h, C_Sign, s, (CK_BYTE *)(uintptr_t)tbs, tbs_len, sig, &len);
    if (st != HSM_OK)
        goto out;
    *sig_len = len;
out:
    hsm_key_doubt(key, st);
    hsm_session_put(h, s, st == HSM_OK);
    return st;
}

enum hsm_status module_sign(struct hsm_key *key,
                            const struct hsm_sign_params *p, const uint8_t *tbs,
                            size_t tbs_len, uint8_t *sig, size_t *sig_len)
{
    enum hsm_status st;

    HSM_RETRY(key->hsm, st, sign_once(key, p, tbs, tbs_len, sig, sig_len));
    return st;
}

static enum hsm_status random_once(struct hsm *h, uint8_t *out, size_t len)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    enum hsm_status st = hsm_session_get(h, &s);

    if (st == HSM_OK)
        st = HSM_CALL(h, C_GenerateRandom, s, out, len);
    hsm_session_put(h, s, st == HSM_OK);
    return st;
}

enum hsm_status module_random(struct hsm *h, uint8_t *out, size_t len)
{
    enum hsm_status st;

    HSM_RETRY(h, st, random_once(h, out, len));
    return st;
}
