/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HMAC as libssl uses it for a PSK's binder: a key type and a "signature".
 * The key may be a handle of a finished key; any other is left to the
 * default provider's HMAC.
 */
#include "kdf.h"

#include <stdlib.h>
#include <string.h>

#define KEY_MAX 512
#define MSG_MAX 512 /* a transcript hash has 32 */

struct hmac_key {
    atomic_uint refs;
    struct prov_ctx *prov;
    uint8_t *key;
    size_t len;
};

struct hmac_sig {
    struct prov_ctx *prov;
    struct hmac_key *key;
    EVP_MAC_CTX *soft;         /* NULL: sealed */
    struct hsm_secret *secret; /* NULL: plain */
    uint8_t msg[MSG_MAX];      /* of a sealed one */
    size_t msg_len;
};

static OSSL_FUNC_keymgmt_new_fn hmac_key_new;
static OSSL_FUNC_keymgmt_free_fn hmac_key_free;
static OSSL_FUNC_keymgmt_has_fn hmac_key_has;
static OSSL_FUNC_keymgmt_match_fn hmac_key_match;
static OSSL_FUNC_keymgmt_import_fn hmac_key_import;
static OSSL_FUNC_keymgmt_import_types_fn hmac_key_types;
static OSSL_FUNC_keymgmt_export_fn hmac_key_export;
static OSSL_FUNC_signature_newctx_fn hmac_newctx;
static OSSL_FUNC_signature_freectx_fn hmac_freectx;
static OSSL_FUNC_signature_dupctx_fn hmac_dupctx;
static OSSL_FUNC_signature_digest_sign_init_fn hmac_init;
static OSSL_FUNC_signature_digest_sign_update_fn hmac_update;
static OSSL_FUNC_signature_digest_sign_final_fn hmac_final;

/* ---- the key ---- */

static void *hmac_key_new(void *vprov)
{
    struct hmac_key *key = calloc(1, sizeof(*key));

    if (key == NULL)
        return NULL;
    atomic_init(&key->refs, 1);
    key->prov = vprov;
    return key;
}

static void hmac_key_free(void *vkey)
{
    struct hmac_key *key = vkey;

    if (key == NULL || atomic_fetch_sub(&key->refs, 1) != 1)
        return;
    OPENSSL_clear_free(key->key, key->len);
    free(key);
}

static int hmac_key_has(const void *vkey, int selection)
{
    const struct hmac_key *key = vkey;

    return !(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
           || (key != NULL && key->key != NULL);
}

static int hmac_key_match(const void *va, const void *vb, int selection)
{
    const struct hmac_key *a = va, *b = vb;

    (void)selection;
    return a->key != NULL && b->key != NULL && a->len == b->len
           && CRYPTO_memcmp(a->key, b->key, a->len) == 0;
}

static int hmac_key_import(void *vkey, int selection, const OSSL_PARAM params[])
{
    struct hmac_key *key = vkey;
    const OSSL_PARAM *p =
        OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY);
    const void *data = NULL;
    size_t len = 0;

    if (!(selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) || p == NULL
        || key->key != NULL || !OSSL_PARAM_get_octet_string_ptr(p, &data, &len)
        || (key->key = OPENSSL_malloc(len + 1)) == NULL)
        return 0;
    if (len > 0)
        memcpy(key->key, data, len);
    key->len = len;
    return 1;
}

static const OSSL_PARAM *hmac_key_types(int selection)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, NULL, 0),
        OSSL_PARAM_END,
    };

    return selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY ? table : NULL;
}

/* What it holds is the caller's own octets, or a handle. */
static int hmac_key_export(void *vkey, int selection, OSSL_CALLBACK *cb,
                           void *arg)
{
    struct hmac_key *key = vkey;
    OSSL_PARAM params[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, key->key, key->len),
        OSSL_PARAM_END,
    };

    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && key->key != NULL
           && sealed_find(key->prov->sealed, key->key, key->len, NULL, NULL)
                  == SEALED_PLAIN
           && cb(params, arg);
}

/* ---- the operation ---- */

static void *hmac_newctx(void *vprov, const char *propq)
{
    struct hmac_sig *sig = calloc(1, sizeof(*sig));

    (void)propq;
    if (sig != NULL)
        sig->prov = vprov;
    return sig;
}

static void hmac_clear(struct hmac_sig *sig)
{
    hmac_key_free(sig->key);
    EVP_MAC_CTX_free(sig->soft);
    hsm_secret_free(sig->secret);
    sig->key = NULL;
    sig->soft = NULL;
    sig->secret = NULL;
    sig->msg_len = 0;
}

static void hmac_freectx(void *vsig)
{
    if (vsig == NULL)
        return;
    hmac_clear(vsig);
    free(vsig);
}

/* libssl finishes a copy. */
static void *hmac_dupctx(void *vsig)
{
    const struct hmac_sig *from = vsig;
    struct hmac_sig *to = calloc(1, sizeof(*to));

    if (to == NULL)
        return NULL;
    *to = *from;
    to->soft = NULL;
    if (from->key != NULL)
        atomic_fetch_add(&from->key->refs, 1);
    if (from->secret != NULL)
        (void)hsm_secret_ref(from->secret);
    if (from->soft != NULL
        && (to->soft = EVP_MAC_CTX_dup(from->soft)) == NULL) {
        hmac_freectx(to);
        return NULL;
    }
    return to;
}

static int soft_init(struct hmac_sig *sig, const char *md)
{
    EVP_MAC *mac = EVP_MAC_fetch(sig->prov->soft, "HMAC", NULL);
    OSSL_PARAM params[2], *p = params;

    if (md != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST,
                                                (char *)(uintptr_t)md, 0);
    *p = OSSL_PARAM_construct_end();
    if (mac != NULL)
        sig->soft = EVP_MAC_CTX_new(mac);
    EVP_MAC_free(mac);
    return sig->soft != NULL
           && EVP_MAC_init(sig->soft, sig->key->key, sig->key->len, params);
}

static int hmac_init(void *vsig, const char *md, void *vkey,
                     const OSSL_PARAM params[])
{
    struct hmac_sig *sig = vsig;
    struct hmac_key *key = vkey != NULL ? vkey : sig->key;
    enum sealed_kind kind = SEALED_KEY;

    (void)params;
    if (key == NULL || key->key == NULL)
        return 0;
    atomic_fetch_add(&key->refs, 1);
    hmac_clear(sig);
    sig->key = key;
    switch (sealed_find(sig->prov->sealed, key->key, key->len, &sig->secret,
                        &kind)) {
    case SEALED_PLAIN:
        return soft_init(sig, md);
    case SEALED_BAD:
        prov_raise(sig->prov, PROV_E_SEALED,
                   "HMAC: the sealed secret is gone, or never was");
        return 0;
    case SEALED_OK:
        break;
    }
    /* With any other kind, HMAC's result might be another secret's value. */
    if (kind != SEALED_FINISHED || md == NULL
        || !prov_md_is_sha256(sig->prov, md)) {
        prov_raise(sig->prov, PROV_E_SEALED,
                   "HMAC: only of a finished key, with SHA-256");
        return 0;
    }
    return 1;
}

static int hmac_update(void *vsig, const unsigned char *data, size_t len)
{
    struct hmac_sig *sig = vsig;

    if (sig->soft != NULL)
        return EVP_MAC_update(sig->soft, data, len);
    if (sig->secret == NULL || len > MSG_MAX - sig->msg_len) {
        prov_raise(sig->prov, PROV_E_LENGTH, "HMAC of a sealed secret");
        return 0;
    }
    memcpy(sig->msg + sig->msg_len, data, len);
    sig->msg_len += len;
    return 1;
}

static int hmac_final(void *vsig, unsigned char *out, size_t *out_len,
                      size_t room)
{
    struct hmac_sig *sig = vsig;
    uint8_t mac[HSM_MAC_LEN];
    enum hsm_status st;

    if (sig->soft != NULL)
        return EVP_MAC_final(sig->soft, out, out_len, room);
    if (sig->secret == NULL)
        return 0;
    if (out == NULL) {
        *out_len = HSM_MAC_LEN;
        return 1;
    }
    if (room < HSM_MAC_LEN) {
        prov_raise(sig->prov, PROV_E_LENGTH, "HMAC");
        return 0;
    }
    st = hsm_mac(sig->secret, sig->msg, sig->msg_len, mac);
    if (st != HSM_OK) {
        prov_raise_hsm(sig->prov, st);
        return 0;
    }
    memcpy(out, mac, HSM_MAC_LEN);
    *out_len = HSM_MAC_LEN;
    return 1;
}

const OSSL_DISPATCH prov_hmac_keymgmt_functions[] = {
    { OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))hmac_key_new },
    { OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))hmac_key_free },
    { OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))hmac_key_has },
    { OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))hmac_key_match },
    { OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void))hmac_key_import },
    { OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))hmac_key_types },
    { OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void))hmac_key_export },
    { OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))hmac_key_types },
    { 0, NULL },
};

const OSSL_DISPATCH prov_hmac_sig_functions[] = {
    { OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))hmac_newctx },
    { OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))hmac_freectx },
    { OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))hmac_dupctx },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))hmac_init },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE, (void (*)(void))hmac_update },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL, (void (*)(void))hmac_final },
    { 0, NULL },
};
