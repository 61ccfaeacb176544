/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS13-KDF (RFC 8446 7.1) with sealed.tls: the parameters, which are passed
 * on to the default provider as they come, since most derivations are its.
 * Those of sealed secrets are in tls13_sealed.c.
 */
#include "tls13.h"

#include <string.h>

static OSSL_FUNC_kdf_newctx_fn psk_newctx, session_newctx;
static OSSL_FUNC_kdf_derive_fn tls13_derive;
static OSSL_FUNC_kdf_settable_ctx_params_fn tls13_settable_ctx_params;
static OSSL_FUNC_kdf_set_ctx_params_fn tls13_set_ctx_params;
static OSSL_FUNC_kdf_gettable_ctx_params_fn tls13_gettable_ctx_params;
static OSSL_FUNC_kdf_get_ctx_params_fn tls13_get_ctx_params;
static bool take(struct tls13 *k, const OSSL_PARAM params[]);

static void *psk_newctx(void *vprov)
{
    return prov_kdf_new(vprov, PROV_SOFT_TLS13_KDF, sizeof(struct tls13));
}

static void *session_newctx(void *vprov)
{
    struct tls13 *k = psk_newctx(vprov);

    if (k != NULL)
        k->head.session = true;
    return k;
}

static int tls13_derive(void *vk, unsigned char *out, size_t len,
                        const OSSL_PARAM params[])
{
    struct tls13 *k = vk;
    EVP_KDF_CTX *soft;
    int ok;

    if (!take(k, params))
        return 0;
    if ((ok = tls13_derive_sealed(k, out, len)) >= 0)
        return ok;
    return (soft = prov_kdf_soft(&k->head)) != NULL
           && EVP_KDF_derive(soft, out, len, params) > 0;
}

static const OSSL_PARAM *tls13_settable_ctx_params(void *vk, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_MODE, NULL, 0),
        OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, NULL),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SALT, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_PREFIX, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_LABEL, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_DATA, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vk;
    (void)vprov;
    return table;
}

static bool take_text(const OSSL_PARAM params[], const char *name, char *out,
                      size_t room)
{
    size_t len = strlen(out);

    if (!prov_param_take(params, name, (uint8_t *)out, room - 1, &len, NULL))
        return false;
    out[len] = '\0';
    return true;
}

static bool take_mode(struct tls13 *k, const OSSL_PARAM *p)
{
    const char *s = NULL;

    if (p == NULL)
        return true;
    if (p->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_int(p, &k->mode);
    if (!OSSL_PARAM_get_utf8_string_ptr(p, &s) || s == NULL)
        return false;
    if (OPENSSL_strcasecmp(s, "EXTRACT_ONLY") == 0)
        k->mode = EVP_KDF_HKDF_MODE_EXTRACT_ONLY;
    else if (OPENSSL_strcasecmp(s, "EXPAND_ONLY") == 0)
        k->mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    else
        return false;
    return true;
}

/* What prov_param_take() drops is not to be mistaken for nothing. */
static bool over(const OSSL_PARAM params[], const char *name, size_t max)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);
    const void *data = NULL;
    size_t len = 0;

    return p != NULL && OSSL_PARAM_get_octet_string_ptr(p, &data, &len)
           && len > max;
}

/* What a sealed secret needs of them. */
static bool take(struct tls13 *k, const OSSL_PARAM params[])
{
    if (params == NULL)
        return true;
    prov_md_take(params, k->md);
    k->too_long = k->too_long || over(params, OSSL_KDF_PARAM_KEY, TLS13_KEY_MAX)
                  || over(params, OSSL_KDF_PARAM_SALT, TLS13_DATA_MAX)
                  || over(params, OSSL_KDF_PARAM_DATA, TLS13_DATA_MAX)
                  || over(params, OSSL_KDF_PARAM_PREFIX, TLS13_PREFIX_MAX)
                  || over(params, OSSL_KDF_PARAM_LABEL, TLS13_LABEL_MAX);
    return take_mode(k, OSSL_PARAM_locate_const(params, OSSL_KDF_PARAM_MODE))
           && prov_param_take(params, OSSL_KDF_PARAM_KEY, k->key,
                              sizeof(k->key), &k->key_len, &k->has_key)
           && prov_param_take(params, OSSL_KDF_PARAM_SALT, k->salt,
                              sizeof(k->salt), &k->salt_len, NULL)
           && prov_param_take(params, OSSL_KDF_PARAM_DATA, k->data,
                              sizeof(k->data), &k->data_len, NULL)
           && take_text(params, OSSL_KDF_PARAM_PREFIX, k->prefix,
                        sizeof(k->prefix))
           && take_text(params, OSSL_KDF_PARAM_LABEL, k->label,
                        sizeof(k->label));
}

static int tls13_set_ctx_params(void *vk, const OSSL_PARAM params[])
{
    struct tls13 *k = vk;
    EVP_KDF_CTX *soft;

    if (params == NULL)
        return 1;
    return take(k, params) && (soft = prov_kdf_soft(&k->head)) != NULL
           && EVP_KDF_CTX_set_params(soft, params);
}

static const OSSL_PARAM *tls13_gettable_ctx_params(void *vk, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_size_t(OSSL_KDF_PARAM_SIZE, NULL),
        OSSL_PARAM_END,
    };

    (void)vk;
    (void)vprov;
    return table;
}

static int tls13_get_ctx_params(void *vk, OSSL_PARAM params[])
{
    EVP_KDF_CTX *soft = prov_kdf_soft(vk);

    return soft != NULL && EVP_KDF_CTX_get_params(soft, params);
}

#define TLS13_COMMON                                                       \
    { OSSL_FUNC_KDF_DUPCTX, (void (*)(void))prov_kdf_dup },                \
        { OSSL_FUNC_KDF_FREECTX, (void (*)(void))prov_kdf_free },          \
        { OSSL_FUNC_KDF_RESET, (void (*)(void))prov_kdf_reset },           \
        { OSSL_FUNC_KDF_DERIVE, (void (*)(void))tls13_derive },            \
        { OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS,                               \
          (void (*)(void))tls13_settable_ctx_params },                     \
        { OSSL_FUNC_KDF_SET_CTX_PARAMS,                                    \
          (void (*)(void))tls13_set_ctx_params },                          \
        { OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS,                               \
          (void (*)(void))tls13_gettable_ctx_params },                     \
    {                                                                      \
        OSSL_FUNC_KDF_GET_CTX_PARAMS, (void (*)(void))tls13_get_ctx_params \
    }

const OSSL_DISPATCH prov_tls13_psk_functions[] = {
    { OSSL_FUNC_KDF_NEWCTX, (void (*)(void))psk_newctx },
    TLS13_COMMON,
    { 0, NULL },
};

const OSSL_DISPATCH prov_tls13_session_functions[] = {
    { OSSL_FUNC_KDF_NEWCTX, (void (*)(void))session_newctx },
    TLS13_COMMON,
    { 0, NULL },
};
