/* SPDX-License-Identifier: Apache-2.0 */
/*
 * EVP_SKEY: "GENERIC-SECRET" is a secret that `key-uri` names in the token,
 * one of `raw-bytes` that is put there for as long as the EVP_SKEY lives, or,
 * where these are a handle, the sealed secret behind it, with its own life,
 * or, with `release`, the EVP_SKEY's.
 * "AES" is a key encryption key, by `key-uri` alone.  None is ever given out.
 */
#include "skey.h"

#include <openssl/crypto.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#ifdef OSSL_OP_SKEYMGMT

static OSSL_FUNC_skeymgmt_free_fn skey_free;
static OSSL_FUNC_skeymgmt_import_fn secret_import, aes_import;
static OSSL_FUNC_skeymgmt_imp_settable_params_fn secret_settable, aes_settable;
static OSSL_FUNC_skeymgmt_export_fn skey_export;
static OSSL_FUNC_skeymgmt_get_key_id_fn skey_get_key_id;

static void skey_free(void *vkey)
{
    struct prov_skey *key = vkey;

    if (key == NULL)
        return;
    if (key->release)
        (void)sealed_release(key->prov->sealed, key->handle, key->handle_len);
    hsm_secret_free(key->secret);
    free(key->uri);
    OPENSSL_cleanse(key, sizeof(*key));
    free(key);
}

static bool from_uri(struct prov_skey *key, const OSSL_PARAM *p)
{
    const char *uri = NULL;
    struct hsm *h;
    enum hsm_status st;

    if (!OSSL_PARAM_get_utf8_string_ptr(p, &uri) || uri == NULL) {
        prov_raise(key->prov, PROV_E_PARAM, "key-uri");
        return false;
    }
    h = prov_token(key->prov, uri);
    st = key->kek ? hsm_kek_find(h, uri, &key->secret)
                  : hsm_secret_find(h, uri, &key->secret);
    if (st != HSM_OK) {
        prov_raise_hsm(key->prov, st);
        return false;
    }
    return (key->uri = strdup(uri)) != NULL;
}

static bool from_octets(struct prov_skey *key, const OSSL_PARAM *p)
{
    enum sealed_kind kind = SEALED_KEY;
    const void *data = NULL;
    enum hsm_status st;
    size_t len = 0;

    if (!OSSL_PARAM_get_octet_string_ptr(p, &data, &len) || data == NULL) {
        prov_raise(key->prov, PROV_E_PARAM, "%s", p->key);
        return false;
    }
    switch (sealed_find(key->prov->sealed, data, len, NULL, &kind)) {
    case SEALED_PLAIN:
        st = hsm_import(key->prov->hsm, data, len, key->prov->travel,
                        &key->secret);
        if (st != HSM_OK)
            prov_raise_hsm(key->prov, st);
        return st == HSM_OK;
    case SEALED_OK:
        if (kind != SEALED_KEY && kind != SEALED_MASTER12)
            break;
        memcpy(key->handle, data, len); /* a handle has SEALED_LEN_MAX */
        key->handle_len = len;
        return true;
    case SEALED_BAD:
        break;
    }
    prov_raise(key->prov, PROV_E_SEALED, "no key, or it is gone");
    return false;
}

static size_t skey_len(const struct prov_skey *key)
{
    return key->secret != NULL ? hsm_secret_len(key->secret) : key->handle_len;
}

bool prov_skey_secret(const struct prov_skey *key, struct hsm_secret **secret)
{
    if (key->kek) {
        prov_raise(key->prov, PROV_E_PARAM, "an AES key, no generic secret");
        return false;
    }
    if (key->secret != NULL) {
        *secret = hsm_secret_ref(key->secret);
        return true;
    }
    if (sealed_find(key->prov->sealed, key->handle, key->handle_len, secret,
                    NULL)
        == SEALED_OK)
        return true;
    prov_raise(key->prov, PROV_E_SEALED, "the sealed secret is gone");
    return false;
}

/* One of the two must be there, not both. */
static bool fill(struct prov_skey *key, const OSSL_PARAM params[])
{
    const OSSL_PARAM *uri = OSSL_PARAM_locate_const(params, "key-uri");
    const OSSL_PARAM *raw =
        OSSL_PARAM_locate_const(params, OSSL_SKEY_PARAM_RAW_BYTES);
    const OSSL_PARAM *p =
        OSSL_PARAM_locate_const(params, OSSL_SKEY_PARAM_KEY_LENGTH);
    const OSSL_PARAM *free_too = OSSL_PARAM_locate_const(params, "release");
    unsigned release = 0;
    size_t len = 0;

    if (key->kek ? uri == NULL || raw != NULL
                 : (uri == NULL) == (raw == NULL)) {
        prov_raise(key->prov, PROV_E_PARAM, "%s",
                   key->kek ? "an AES key is named by key-uri"
                            : "either key-uri or raw-bytes");
        return false;
    }
    if (!(uri != NULL ? from_uri(key, uri) : from_octets(key, raw)))
        return false;
    if ((p != NULL && (!OSSL_PARAM_get_size_t(p, &len) || len != skey_len(key)))
        || (free_too != NULL && !OSSL_PARAM_get_uint(free_too, &release))) {
        prov_raise(key->prov, PROV_E_PARAM, "key-length or release");
        return false;
    }
    key->release = release != 0 && key->handle_len > 0;
    return true;
}

static void *skey_import(struct prov_ctx *prov, bool kek, int selection,
                         const OSSL_PARAM params[])
{
    struct prov_skey *key;

    if (!(selection & OSSL_SKEYMGMT_SELECT_SECRET_KEY) || params == NULL
        || (key = calloc(1, sizeof(*key))) == NULL)
        return NULL;
    key->prov = prov;
    key->kek = kek;
    if (fill(key, params))
        return key;
    skey_free(key);
    return NULL;
}

static void *secret_import(void *vprov, int selection,
                           const OSSL_PARAM params[])
{
    return skey_import(vprov, false, selection, params);
}

static void *aes_import(void *vprov, int selection, const OSSL_PARAM params[])
{
    return skey_import(vprov, true, selection, params);
}

static const OSSL_PARAM *secret_settable(void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_octet_string(OSSL_SKEY_PARAM_RAW_BYTES, NULL, 0),
        OSSL_PARAM_size_t(OSSL_SKEY_PARAM_KEY_LENGTH, NULL),
        OSSL_PARAM_utf8_string("key-uri", NULL, 0),
        OSSL_PARAM_uint("release", NULL),
        OSSL_PARAM_END,
    };

    (void)vprov;
    return table;
}

static const OSSL_PARAM *aes_settable(void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_size_t(OSSL_SKEY_PARAM_KEY_LENGTH, NULL),
        OSSL_PARAM_utf8_string("key-uri", NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vprov;
    return table;
}

/* The length, but never the octets, were they but a handle. */
static int skey_export(void *vkey, int selection, OSSL_CALLBACK *cb, void *arg)
{
    const struct prov_skey *key = vkey;
    size_t len = skey_len(key);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_size_t(OSSL_SKEY_PARAM_KEY_LENGTH, &len),
        OSSL_PARAM_END,
    };

    if (selection & OSSL_SKEYMGMT_SELECT_SECRET_KEY) {
        prov_raise(key->prov, PROV_E_DENIED, "it does not leave the token");
        return 0;
    }
    return cb(params, arg);
}

static const char *skey_get_key_id(void *vkey)
{
    const struct prov_skey *key = vkey;

    return key->uri;
}

#define COMMON                                                         \
    { OSSL_FUNC_SKEYMGMT_FREE, (void (*)(void))skey_free },            \
        { OSSL_FUNC_SKEYMGMT_EXPORT, (void (*)(void))skey_export },    \
    {                                                                  \
        OSSL_FUNC_SKEYMGMT_GET_KEY_ID, (void (*)(void))skey_get_key_id \
    }

const OSSL_DISPATCH prov_secret_skeymgmt_functions[] = {
    { OSSL_FUNC_SKEYMGMT_IMPORT, (void (*)(void))secret_import },
    { OSSL_FUNC_SKEYMGMT_IMP_SETTABLE_PARAMS, (void (*)(void))secret_settable },
    COMMON,
    { 0, NULL },
};

const OSSL_DISPATCH prov_aes_skeymgmt_functions[] = {
    { OSSL_FUNC_SKEYMGMT_IMPORT, (void (*)(void))aes_import },
    { OSSL_FUNC_SKEYMGMT_IMP_SETTABLE_PARAMS, (void (*)(void))aes_settable },
    COMMON,
    { 0, NULL },
};

#endif
