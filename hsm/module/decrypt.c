/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a private key does other than to sign: RSA decryption, and the shared
 * secret of ECDH.
 */
#include "../internal.h"
#include "pkcs11_v3.h"

#include <openssl/crypto.h>
#include <string.h>

#define COORDINATE_MAX 66 /* octets, of P-521 */

static enum hsm_status decrypt_once(struct hsm_key *key, CK_MECHANISM *m,
                                    const uint8_t *in, size_t in_len,
                                    uint8_t *out, size_t *len)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE obj = CK_INVALID_HANDLE;
    CK_ULONG n = *len;
    struct hsm *h = key->hsm;
    enum hsm_status st = hsm_session_get(h, &s);

    if (st != HSM_OK)
        return st;
    if ((st = hsm_key_handle(key, s, &obj)) == HSM_OK)
        st = HSM_CALL(h, C_DecryptInit, s, m, obj);
    if (st == HSM_OK)
        st = HSM_CALL(h, C_Decrypt, s, (CK_BYTE *)(uintptr_t)in, in_len, out,
                      &n);
    if (st == HSM_OK)
        *len = n;
    hsm_key_doubt(key, st);
    hsm_session_put(h, s, st == HSM_OK);
    return st;
}

enum hsm_status module_decrypt(struct hsm_key *key,
                               const struct hsm_decrypt_params *p,
                               const uint8_t *in, size_t in_len, uint8_t *out,
                               size_t *len)
{
    CK_RSA_PKCS_OAEP_PARAMS oaep = {
        hsm_hash_mech(p->hash), hsm_hash_mgf(p->mgf1_hash), CKZ_DATA_SPECIFIED,
        (void *)(uintptr_t)p->label, p->label_len
    };
    CK_MECHANISM m = { CKM_RSA_PKCS, NULL, 0 };
    enum hsm_status st;

    if (p->oaep)
        m = (CK_MECHANISM){ CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep) };
    HSM_RETRY(key->hsm, st, decrypt_once(key, &m, in, in_len, out, len));
    return st;
}

/* ---- ECDH ---- */

/* NSS softokn does not look, so we do. */
static enum hsm_status may_derive(struct hsm *h, CK_SESSION_HANDLE s,
                                  CK_OBJECT_HANDLE key)
{
    bool may = false;
    enum hsm_status st = hsm_flag(h, s, key, CKA_DERIVE, &may);

    return st != HSM_OK || may
               ? st
               : hsm_fail(HSM_ERR_DENIED, "the key may not derive");
}

/* The derived object's value, which is all it was made for. */
static enum hsm_status value_take(struct hsm *h, CK_SESSION_HANDLE s,
                                  CK_OBJECT_HANDLE obj, uint8_t *out,
                                  size_t len)
{
    CK_ATTRIBUTE a = { CKA_VALUE, out, len };
    enum hsm_status st = HSM_CALL(h, C_GetAttributeValue, s, obj, &a, 1);

    if (st == HSM_OK && a.ulValueLen != len)
        st = hsm_fail(HSM_ERR_DEVICE, "a secret of %lu octets", a.ulValueLen);
    (void)h->p11->C_DestroyObject(s, obj);
    return st;
}

static enum hsm_status ecdh_once(struct hsm_key *key, CK_MECHANISM *m,
                                 uint8_t *out, size_t len)
{
    CK_OBJECT_CLASS cls = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_GENERIC_SECRET;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ULONG value_len = len;
    CK_ATTRIBUTE t[] = {
        { CKA_CLASS, &cls, sizeof(cls) },
        { CKA_KEY_TYPE, &type, sizeof(type) },
        { CKA_TOKEN, &no, sizeof(no) },
        { CKA_SENSITIVE, &no, sizeof(no) },
        { CKA_EXTRACTABLE, &yes, sizeof(yes) },
        { CKA_VALUE_LEN, &value_len, sizeof(value_len) },
    };
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE base = CK_INVALID_HANDLE, obj = CK_INVALID_HANDLE;
    struct hsm *h = key->hsm;
    enum hsm_status st = hsm_session_get(h, &s);

    if (st != HSM_OK)
        return st;
    if ((st = hsm_key_handle(key, s, &base)) == HSM_OK
        && (st = may_derive(h, s, base)) == HSM_OK)
        st = HSM_CALL(h, C_DeriveKey, s, m, base, t, sizeof(t) / sizeof(t[0]),
                      &obj);
    if (st == HSM_OK)
        st = value_take(h, s, obj, out, len);
    hsm_key_doubt(key, st);
    hsm_session_put(h, s, st == HSM_OK);
    return st;
}

enum hsm_status module_ecdh(struct hsm_key *key, const uint8_t *peer,
                            size_t peer_len, uint8_t *out, size_t *len)
{
    /* By position: p11-kit renamed the members in 0.25. */
    CK_ECDH1_DERIVE_PARAMS p = { CKD_NULL, 0, NULL, peer_len,
                                 (CK_BYTE *)(uintptr_t)peer };
    CK_MECHANISM m = { CKM_ECDH1_DERIVE, &p, sizeof(p) };
    uint8_t value[COORDINATE_MAX];
    size_t want;
    enum hsm_status st;

    want = key->info.type == HSM_KEY_EC ? (key->info.a_len - 1) / 2
                                        : key->info.a_len;
    if (*len < want)
        return hsm_fail(HSM_ERR_BUFFER, "%zu octets for ECDH", *len);
    HSM_RETRY(key->hsm, st, ecdh_once(key, &m, value, want));
    if (st == HSM_OK) {
        memcpy(out, value, want);
        *len = want;
    }
    OPENSSL_cleanse(value, sizeof(value));
    return st;
}
