/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets: import, HMAC, and derivation by the ladder of design 3.
 */
#include "../internal.h"
#include "pkcs11_v3.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define HASH_LEN  32
#define BLOCK_LEN HSM_SALT_MAX

/* A token that can't say is no token that can't: it might be transient. */
static enum hsm_status has_mech(struct hsm *h, CK_MECHANISM_TYPE type,
                                bool *has)
{
    CK_MECHANISM_INFO info = { 0, 0, 0 };
    enum hsm_status st = HSM_CALL(h, C_GetMechanismInfo, h->slot, type, &info);

    if (st != HSM_OK && st != HSM_ERR_MECH)
        return st;
    *has = st == HSM_OK && (info.flags & CKF_DERIVE) != 0;
    return HSM_OK;
}

enum hsm_status hsm_rungs_find(struct hsm *h)
{
    bool has_feedback = false;
    enum hsm_status st;

    if ((st = has_mech(h, CKM_HKDF_DERIVE, &h->has_extract)) != HSM_OK
        || (st = has_mech(h, CKM_SP800_108_DOUBLE_PIPELINE_KDF,
                          &h->has_pipeline))
               != HSM_OK
        || (st = has_mech(h, CKM_SP800_108_FEEDBACK_KDF, &has_feedback))
               != HSM_OK)
        return st;
    if (has_feedback)
        h->rung = HSM_RUNG_SP800_108; /* one call, and no import */
    else if (h->has_extract)
        h->rung = HSM_RUNG_HKDF;
    else
        h->rung = h->transient ? HSM_RUNG_TRANSIENT : HSM_RUNG_NONE;
    return HSM_OK;
}

/* ---- objects ---- */

CK_ULONG hsm_secret_tmpl_fill(struct hsm_secret_tmpl *t, const struct hsm *h,
                              enum hsm_travel travel)
{
    CK_ULONG n = 0;

    t->cls = CKO_SECRET_KEY;
    t->type = CKK_GENERIC_SECRET;
    t->yes = CK_TRUE;
    t->no = CK_FALSE;
    t->extractable = travel == HSM_TRAVEL_NEVER ? CK_FALSE : CK_TRUE;
    t->a[n++] = (CK_ATTRIBUTE){ CKA_CLASS, &t->cls, sizeof(t->cls) };
    t->a[n++] = (CK_ATTRIBUTE){ CKA_KEY_TYPE, &t->type, sizeof(t->type) };
    t->a[n++] = (CK_ATTRIBUTE){ CKA_TOKEN, &t->no, sizeof(t->no) };
    t->a[n++] = (CK_ATTRIBUTE){ CKA_SENSITIVE, &t->yes, sizeof(t->yes) };
    t->a[n++] = (CK_ATTRIBUTE){ CKA_EXTRACTABLE, &t->extractable,
                                sizeof(t->extractable) };
    t->a[n++] = (CK_ATTRIBUTE){ CKA_SIGN, &t->yes, sizeof(t->yes) };
    t->a[n++] = (CK_ATTRIBUTE){ CKA_DERIVE, &t->yes, sizeof(t->yes) };
    if (travel == HSM_TRAVEL_WRAPPED && !h->wrap_any)
        t->a[n++] =
            (CK_ATTRIBUTE){ CKA_WRAP_WITH_TRUSTED, &t->yes, sizeof(t->yes) };
    return n;
}

enum hsm_status hsm_secret_made(struct hsm *h, CK_SESSION_HANDLE s,
                                enum hsm_status st, CK_OBJECT_HANDLE obj,
                                size_t len, struct hsm_secret **out)
{
    enum hsm_status made = st;

    if (st == HSM_OK && (made = hsm_secret_new(h, obj, len, out)) != HSM_OK)
        (void)h->p11->C_DestroyObject(s, obj);
    hsm_owner_put(h, s, st);
    return made;
}

/* Of a connection that is lost, nothing is left to be destroyed. */
void module_destroy(struct hsm_secret *secret)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    struct hsm *h = secret->hsm;
    enum hsm_status st = HSM_OK;

    if (hsm_secret_live(secret) != HSM_OK || hsm_owner_get(h, &s) != HSM_OK)
        return;
    if (hsm_secret_live(secret) == HSM_OK)
        st = HSM_CALL(h, C_DestroyObject, s, secret->h);
    hsm_owner_put(h, s, st);
}

static enum hsm_status import(struct hsm *h, const uint8_t *value, size_t len,
                              enum hsm_travel travel, struct hsm_secret **out)
{
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE obj = CK_INVALID_HANDLE;
    struct hsm_secret_tmpl t;
    CK_ULONG n = hsm_secret_tmpl_fill(&t, h, travel);
    enum hsm_status st;

    t.a[n++] = (CK_ATTRIBUTE){ CKA_VALUE, (void *)(uintptr_t)value, len };
    if ((st = hsm_owner_get(h, &s)) != HSM_OK)
        return st;
    st = HSM_CALL(h, C_CreateObject, s, t.a, n, &obj);
    return hsm_secret_made(h, s, st, obj, len, out);
}

enum hsm_status module_import(struct hsm *h, const uint8_t *value, size_t len,
                              enum hsm_travel travel, struct hsm_secret **out)
{
    enum hsm_status st;

    HSM_RETRY(h, st, import(h, value, len, travel, out));
    return st;
}

static enum hsm_status mac_once(struct hsm_secret *key, const uint8_t *msg,
                                size_t len, uint8_t out[HSM_MAC_LEN])
{
    CK_MECHANISM m = { CKM_SHA256_HMAC, NULL, 0 };
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_ULONG out_len = HSM_MAC_LEN;
    struct hsm *h = key->hsm;
    uint8_t mac[HSM_MAC_LEN];
    enum hsm_status st;

    if ((st = hsm_session_get(h, &s)) != HSM_OK)
        return st;
    if ((st = hsm_secret_live(key)) == HSM_OK)
        st = HSM_CALL(h, C_SignInit, s, &m, key->h);
    if (st == HSM_OK)
        st = HSM_CALL(h, C_Sign, s, (CK_BYTE *)(uintptr_t)msg, len, mac,
                      &out_len);
    hsm_session_put(h, s, st == HSM_OK);
    if (st == HSM_OK && out_len != HSM_MAC_LEN)
        st = hsm_fail(HSM_ERR_DEVICE, "an HMAC of %lu octets", out_len);
    if (st == HSM_OK)
        memcpy(out, mac, HSM_MAC_LEN);
    OPENSSL_cleanse(mac, sizeof(mac));
    return st;
}

enum hsm_status module_mac(struct hsm_secret *key, const uint8_t *msg,
                           size_t len, uint8_t out[HSM_MAC_LEN])
{
    enum hsm_status st;

    HSM_RETRY(key->hsm, st, mac_once(key, msg, len, out));
    return st;
}

/* ---- the ladder ---- */

/* One C_DeriveKey() into a new secret of len octets. */
static enum hsm_status derive_key_once(struct hsm_secret *base, CK_MECHANISM *m,
                                       size_t len, enum hsm_travel travel,
                                       struct hsm_secret **out)
{
    struct hsm *h = base->hsm;
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_OBJECT_HANDLE obj = CK_INVALID_HANDLE;
    struct hsm_secret_tmpl t;
    CK_ULONG n = hsm_secret_tmpl_fill(&t, h, travel);
    enum hsm_status st;

    t.len = len;
    t.a[n++] = (CK_ATTRIBUTE){ CKA_VALUE_LEN, &t.len, sizeof(t.len) };
    if ((st = hsm_owner_get(h, &s)) != HSM_OK)
        return st;
    if ((st = hsm_secret_live(base)) == HSM_OK)
        st = HSM_CALL(h, C_DeriveKey, s, m, base->h, t.a, n, &obj);
    return hsm_secret_made(h, s, st, obj, len, out);
}

static enum hsm_status derive_key(struct hsm_secret *base, CK_MECHANISM *m,
                                  size_t len, enum hsm_travel travel,
                                  struct hsm_secret **out)
{
    enum hsm_status st;

    HSM_RETRY(base->hsm, st, derive_key_once(base, m, len, travel, out));
    return st;
}

/* Rung 1: HKDF-Extract(salt = key, IKM = the message as a secret). */
static enum hsm_status derive_hkdf(struct hsm_secret *key, const uint8_t *msg,
                                   size_t len, enum hsm_travel travel,
                                   struct hsm_secret **out)
{
    CK_HKDF_PARAMS p = { .bExtract = CK_TRUE,
                         .prfHashMechanism = CKM_SHA256,
                         .ulSaltType = CKF_HKDF_SALT_KEY,
                         .hSaltKey = key->h };
    CK_MECHANISM m = { CKM_HKDF_DERIVE, &p, sizeof(p) };
    struct hsm_secret *base = NULL;
    enum hsm_status st = hsm_import(key->hsm, msg, len, travel, &base);

    if (st == HSM_OK)
        st = hsm_secret_live(key); /* of base's connection, then */
    if (st == HSM_OK)
        st = derive_key(base, &m, HASH_LEN, travel, out);
    hsm_secret_free(base);
    return st;
}

/* Rung 2: the first block of the feedback mode is PRF(key, message). */
static enum hsm_status derive_feedback(struct hsm_secret *key,
                                       const uint8_t *msg, size_t len,
                                       enum hsm_travel travel,
                                       struct hsm_secret **out)
{
    CK_PRF_DATA_PARAM data[] = {
        { CK_SP800_108_ITERATION_VARIABLE, NULL, 0 },
        { CK_SP800_108_BYTE_ARRAY, (void *)(uintptr_t)msg, len },
    };
    CK_SP800_108_FEEDBACK_KDF_PARAMS p = { .prfType = CKM_SHA256_HMAC,
                                           .ulNumberOfDataParams = 2,
                                           .pDataParams = data };
    CK_MECHANISM m = { CKM_SP800_108_FEEDBACK_KDF, &p, sizeof(p) };

    return derive_key(key, &m, HASH_LEN, travel, out);
}

/* A value that this process has made, and is to wipe. */
static enum hsm_status import_transient(struct hsm *h, const uint8_t *value,
                                        size_t len, enum hsm_travel travel,
                                        struct hsm_secret **out)
{
    atomic_fetch_add(&h->transients, 1);
    return hsm_import(h, value, len, travel, out);
}

/* Rung 4: the value is in this process for a moment, and wiped. */
static enum hsm_status derive_transient(struct hsm_secret *key,
                                        const uint8_t *msg, size_t len,
                                        enum hsm_travel travel,
                                        struct hsm_secret **out)
{
    uint8_t mac[HSM_MAC_LEN];
    enum hsm_status st = hsm_mac(key, msg, len, mac);

    if (st == HSM_OK)
        st = import_transient(key->hsm, mac, sizeof(mac), travel, out);
    OPENSSL_cleanse(mac, sizeof(mac));
    return st;
}

static enum hsm_status no_rung(void)
{
    return hsm_fail(HSM_ERR_MECH,
                    "the token can't derive, and derive = transient is not "
                    "configured");
}

enum hsm_status module_derive(struct hsm_secret *key, const uint8_t *msg,
                              size_t len, enum hsm_travel travel,
                              struct hsm_secret **out)
{
    switch (key->hsm->rung) {
    case HSM_RUNG_SP800_108:
        return derive_feedback(key, msg, len, travel, out);
    case HSM_RUNG_HKDF:
        return derive_hkdf(key, msg, len, travel, out);
    case HSM_RUNG_TRANSIENT:
        return derive_transient(key, msg, len, travel, out);
    case HSM_RUNG_AGENT: /* no module's */
    case HSM_RUNG_NONE:
        break;
    }
    return no_rung();
}

/* H(salt block ^ ipad || key), the key going in inside the token. */
static enum hsm_status inner_hash(struct hsm_secret *key,
                                  const uint8_t ipad[BLOCK_LEN],
                                  uint8_t out[HASH_LEN])
{
    CK_MECHANISM m = { CKM_SHA256, NULL, 0 };
    CK_SESSION_HANDLE s = CK_INVALID_HANDLE;
    CK_ULONG len = HASH_LEN;
    struct hsm *h = key->hsm;
    enum hsm_status st;

    if ((st = hsm_session_get(h, &s)) != HSM_OK)
        return st;
    if ((st = hsm_secret_live(key)) == HSM_OK)
        st = HSM_CALL(h, C_DigestInit, s, &m);
    if (st == HSM_OK)
        st = HSM_CALL(h, C_DigestUpdate, s, (CK_BYTE *)(uintptr_t)ipad,
                      BLOCK_LEN);
    if (st == HSM_OK)
        st = HSM_CALL(h, C_DigestKey, s, key->h);
    if (st == HSM_OK)
        st = HSM_CALL(h, C_DigestFinal, s, out, &len);
    hsm_session_put(h, s, st == HSM_OK);
    return st;
}

static enum hsm_status extract_transient(struct hsm_secret *key,
                                         const uint8_t *salt, size_t len,
                                         enum hsm_travel travel,
                                         struct hsm_secret **out)
{
    uint8_t ipad[BLOCK_LEN], outer[BLOCK_LEN + HASH_LEN], mac[HASH_LEN];
    enum hsm_status st;

    for (size_t i = 0; i < BLOCK_LEN; i++) {
        ipad[i] = (i < len ? salt[i] : 0) ^ 0x36;
        outer[i] = (i < len ? salt[i] : 0) ^ 0x5c;
    }
    HSM_RETRY(key->hsm, st, inner_hash(key, ipad, outer + BLOCK_LEN));
    if (st == HSM_OK
        && !EVP_Q_digest(NULL, "SHA256", NULL, outer, sizeof(outer), mac, NULL))
        st = hsm_fail(HSM_ERR_DEVICE, "SHA-256 is not available");
    if (st == HSM_OK)
        st = import_transient(key->hsm, mac, sizeof(mac), travel, out);
    OPENSSL_cleanse(outer, sizeof(outer));
    OPENSSL_cleanse(mac, sizeof(mac));
    return st;
}

enum hsm_status module_extract(struct hsm_secret *key, const uint8_t *salt,
                               size_t len, enum hsm_travel travel,
                               struct hsm_secret **out)
{
    CK_HKDF_PARAMS p = { .bExtract = CK_TRUE,
                         .prfHashMechanism = CKM_SHA256,
                         .ulSaltType =
                             len > 0 ? CKF_HKDF_SALT_DATA : CKF_HKDF_SALT_NULL,
                         .pSalt = (CK_BYTE *)(uintptr_t)salt,
                         .ulSaltLen = len };
    CK_MECHANISM m = { CKM_HKDF_DERIVE, &p, sizeof(p) };

    if (key->hsm->has_extract)
        return derive_key(key, &m, HASH_LEN, travel, out);
    if (key->hsm->rung == HSM_RUNG_TRANSIENT)
        return extract_transient(key, salt, len, travel, out);
    return no_rung();
}

/* RFC 5246 section 5, block by block. */
static enum hsm_status p_sha256_transient(struct hsm_secret *key,
                                          const uint8_t *seed, size_t len,
                                          size_t out_len,
                                          enum hsm_travel travel,
                                          struct hsm_secret **out)
{
    uint8_t *msg = malloc(HASH_LEN + len); /* A(i) || seed */
    uint8_t value[HSM_SECRET_MAX + HASH_LEN];
    enum hsm_status st;

    if (msg == NULL)
        return hsm_fail(HSM_ERR_MEMORY, "out of memory");
    memcpy(msg + HASH_LEN, seed, len);
    st = hsm_mac(key, seed, len, msg);
    for (size_t n = 0; st == HSM_OK && n < out_len; n += HASH_LEN) {
        st = hsm_mac(key, msg, HASH_LEN + len, value + n);
        if (st == HSM_OK)
            st = hsm_mac(key, msg, HASH_LEN, msg);
    }
    if (st == HSM_OK)
        st = import_transient(key->hsm, value, out_len, travel, out);
    OPENSSL_cleanse(value, sizeof(value));
    OPENSSL_cleanse(msg, HASH_LEN);
    free(msg);
    return st;
}

/* The double pipeline of SP 800-108 is P_hash. */
enum hsm_status module_p_sha256(struct hsm_secret *key, const uint8_t *seed,
                                size_t len, size_t out_len,
                                enum hsm_travel travel, struct hsm_secret **out)
{
    CK_PRF_DATA_PARAM data[] = {
        { CK_SP800_108_ITERATION_VARIABLE, NULL, 0 },
        { CK_SP800_108_BYTE_ARRAY, (void *)(uintptr_t)seed, len },
    };
    CK_SP800_108_KDF_PARAMS p = { .prfType = CKM_SHA256_HMAC,
                                  .ulNumberOfDataParams = 2,
                                  .pDataParams = data };
    CK_MECHANISM m = { CKM_SP800_108_DOUBLE_PIPELINE_KDF, &p, sizeof(p) };

    if (key->hsm->has_pipeline)
        return derive_key(key, &m, out_len, travel, out);
    if (key->hsm->rung == HSM_RUNG_TRANSIENT)
        return p_sha256_transient(key, seed, len, out_len, travel, out);
    return no_rung();
}
