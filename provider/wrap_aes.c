/* SPDX-License-Identifier: Apache-2.0 */
/*
 * "AES-256-WRAP" (RFC 3394) of sealed secrets under a key encryption key in
 * the token, which the parameter `key-uri` names, or which is the EVP_SKEY
 * that EVP_CipherInit_SKEY() got: encryption takes a handle
 * and gives its secret wrapped; decryption takes a wrapped secret and gives a
 * handle, which lives for `lifetime` seconds.  With an ordinary key it is the
 * default provider's.
 */
#include "kdf.h"
#include "skey.h"

#include <stdlib.h>
#include <string.h>

#define KEY_LEN      32
#define IV_LEN       8
#define EXTRA        8 /* octets that wrapping adds */
#define LIFETIME     3600
#define LIFETIME_MAX 31536000

struct wrap_ctx {
    struct prov_ctx *prov;
    EVP_CIPHER *cipher; /* the default provider's */
    EVP_CIPHER_CTX *soft;
    struct hsm_secret *kek; /* NULL: software */
    unsigned lifetime;
    bool encrypt;
};

static OSSL_FUNC_cipher_newctx_fn wrap_newctx;
static OSSL_FUNC_cipher_freectx_fn wrap_freectx;
static OSSL_FUNC_cipher_encrypt_init_fn wrap_encrypt_init;
static OSSL_FUNC_cipher_decrypt_init_fn wrap_decrypt_init;
#ifdef OSSL_FUNC_CIPHER_ENCRYPT_SKEY_INIT
static OSSL_FUNC_cipher_encrypt_skey_init_fn wrap_encrypt_skey_init;
static OSSL_FUNC_cipher_decrypt_skey_init_fn wrap_decrypt_skey_init;
#endif
static OSSL_FUNC_cipher_update_fn wrap_update;
static OSSL_FUNC_cipher_final_fn wrap_final;
static OSSL_FUNC_cipher_cipher_fn wrap_cipher;
static OSSL_FUNC_cipher_get_params_fn wrap_get_params;
static OSSL_FUNC_cipher_get_ctx_params_fn wrap_get_ctx_params;
static OSSL_FUNC_cipher_set_ctx_params_fn wrap_set_ctx_params;
static OSSL_FUNC_cipher_gettable_params_fn wrap_gettable_params;
static OSSL_FUNC_cipher_gettable_ctx_params_fn wrap_gettable_ctx_params;
static OSSL_FUNC_cipher_settable_ctx_params_fn wrap_settable_ctx_params;

static void wrap_freectx(void *vc)
{
    struct wrap_ctx *c = vc;

    if (c == NULL)
        return;
    EVP_CIPHER_CTX_free(c->soft);
    EVP_CIPHER_free(c->cipher);
    hsm_secret_free(c->kek);
    free(c);
}

static void *wrap_newctx(void *vprov)
{
    struct wrap_ctx *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->prov = vprov;
    c->lifetime = LIFETIME;
    c->cipher = EVP_CIPHER_fetch(c->prov->soft, "AES-256-WRAP", NULL);
    c->soft = EVP_CIPHER_CTX_new();
    if (c->cipher == NULL || c->soft == NULL) {
        wrap_freectx(c);
        return NULL;
    }
    EVP_CIPHER_CTX_set_flags(c->soft, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    return c;
}

static int init(struct wrap_ctx *c, bool encrypt, const unsigned char *key,
                size_t key_len, const unsigned char *iv, size_t iv_len,
                const OSSL_PARAM params[])
{
    c->encrypt = encrypt;
    if ((key != NULL && key_len != KEY_LEN)
        || (iv != NULL && iv_len != IV_LEN)) {
        prov_raise(c->prov, PROV_E_LENGTH, "AES-256-WRAP");
        return 0;
    }
    if (!wrap_set_ctx_params(c, params))
        return 0;
    if (key == NULL && iv == NULL)
        return 1;
    return EVP_CipherInit_ex2(c->soft, c->cipher, key, iv, encrypt, NULL);
}

static int wrap_encrypt_init(void *vc, const unsigned char *key, size_t key_len,
                             const unsigned char *iv, size_t iv_len,
                             const OSSL_PARAM params[])
{
    return init(vc, true, key, key_len, iv, iv_len, params);
}

static int wrap_decrypt_init(void *vc, const unsigned char *key, size_t key_len,
                             const unsigned char *iv, size_t iv_len,
                             const OSSL_PARAM params[])
{
    return init(vc, false, key, key_len, iv, iv_len, params);
}

#ifdef OSSL_FUNC_CIPHER_ENCRYPT_SKEY_INIT
/* OpenSSL comes here for any initialization without a plain key. */
static int skey_init(struct wrap_ctx *c, bool encrypt,
                     const struct prov_skey *key, const unsigned char *iv,
                     size_t iv_len, const OSSL_PARAM params[])
{
    if (key != NULL && !key->kek) {
        prov_raise(c->prov, PROV_E_PARAM, "AES-256-WRAP: not an AES key");
        return 0;
    }
    if (!init(c, encrypt, NULL, 0, iv, iv_len, params))
        return 0;
    if (key != NULL) {
        hsm_secret_free(c->kek);
        c->kek = hsm_secret_ref(key->secret);
    }
    return 1;
}

static int wrap_encrypt_skey_init(void *vc, void *vkey, const unsigned char *iv,
                                  size_t iv_len, const OSSL_PARAM params[])
{
    return skey_init(vc, true, vkey, iv, iv_len, params);
}

static int wrap_decrypt_skey_init(void *vc, void *vkey, const unsigned char *iv,
                                  size_t iv_len, const OSSL_PARAM params[])
{
    return skey_init(vc, false, vkey, iv, iv_len, params);
}
#endif

static int wrap_sealed(struct wrap_ctx *c, unsigned char *out, size_t *out_len,
                       size_t room, const unsigned char *in, size_t in_len)
{
    struct hsm_secret *secret = NULL;
    enum sealed_kind kind = SEALED_KEY;
    size_t len = room;
    enum hsm_status st;

    if (sealed_find(c->prov->sealed, in, in_len, &secret, &kind) != SEALED_OK
        || (kind != SEALED_KEY && kind != SEALED_MASTER12)) {
        hsm_secret_free(secret);
        prov_raise(c->prov, PROV_E_SEALED,
                   "AES-256-WRAP: the input must be a sealed secret's handle");
        return 0;
    }
    if (room < hsm_secret_len(secret) + EXTRA)
        st = HSM_ERR_BUFFER;
    else
        st = hsm_wrap_aes(c->kek, secret, out, &len);
    hsm_secret_free(secret);
    if (st != HSM_OK) {
        prov_raise_hsm(c->prov, st);
        return 0;
    }
    *out_len = len;
    return 1;
}

static int unwrap_sealed(struct wrap_ctx *c, unsigned char *out,
                         size_t *out_len, size_t room, const unsigned char *in,
                         size_t in_len)
{
    struct hsm_secret *secret = NULL;
    enum hsm_status st;
    size_t len;

    if (in_len < SEALED_LEN + EXTRA || in_len > SEALED_LEN_MAX + EXTRA
        || room < in_len - EXTRA) {
        prov_raise(c->prov, PROV_E_LENGTH, "AES-256-WRAP");
        return 0;
    }
    len = in_len - EXTRA;
    st = hsm_unwrap_aes(c->kek, in, in_len, c->prov->travel, &secret);
    if (!prov_seal(c->prov, st, secret, SEALED_KEY, c->lifetime, true, out,
                   len))
        return 0;
    *out_len = len;
    return 1;
}

static int wrap_cipher(void *vc, unsigned char *out, size_t *out_len,
                       size_t room, const unsigned char *in, size_t in_len)
{
    struct wrap_ctx *c = vc;
    int len = 0;

    if (in == NULL) {
        *out_len = 0;
        return 1;
    }
    if (out == NULL) {
        *out_len = c->encrypt ? in_len + EXTRA : in_len - EXTRA;
        return 1;
    }
    if (c->kek != NULL)
        return c->encrypt ? wrap_sealed(c, out, out_len, room, in, in_len)
                          : unwrap_sealed(c, out, out_len, room, in, in_len);
    if (sealed_find(c->prov->sealed, in, in_len, NULL, NULL) != SEALED_PLAIN) {
        prov_raise(c->prov, PROV_E_SEALED,
                   "AES-256-WRAP: a sealed secret needs key-uri");
        return 0;
    }
    if (in_len > 65536 || room < (c->encrypt ? in_len + EXTRA : in_len)
        || !EVP_CipherUpdate(c->soft, out, &len, in, (int)in_len) || len < 0)
        return 0;
    *out_len = (size_t)len;
    return 1;
}

/* Key wrap takes all of its input at once. */
static int wrap_update(void *vc, unsigned char *out, size_t *out_len,
                       size_t room, const unsigned char *in, size_t in_len)
{
    return wrap_cipher(vc, out, out_len, room, in, in_len);
}

static int wrap_final(void *vc, unsigned char *out, size_t *out_len,
                      size_t room)
{
    (void)vc;
    (void)out;
    (void)room;
    *out_len = 0;
    return 1;
}

static const OSSL_PARAM *wrap_gettable_params(void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_uint(OSSL_CIPHER_PARAM_MODE, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_BLOCK_SIZE, NULL),
        OSSL_PARAM_int(OSSL_CIPHER_PARAM_CUSTOM_IV, NULL),
        OSSL_PARAM_END,
    };

    (void)vprov;
    return table;
}

static int wrap_get_params(OSSL_PARAM params[])
{
    static const struct {
        const char *name;
        size_t value;
    } values[] = {
        { OSSL_CIPHER_PARAM_MODE, EVP_CIPH_WRAP_MODE },
        { OSSL_CIPHER_PARAM_KEYLEN, KEY_LEN },
        { OSSL_CIPHER_PARAM_IVLEN, IV_LEN },
        { OSSL_CIPHER_PARAM_BLOCK_SIZE, 8 },
        { OSSL_CIPHER_PARAM_CUSTOM_IV, 1 },
    };
    OSSL_PARAM *p;

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        p = OSSL_PARAM_locate(params, values[i].name);
        if (p != NULL && !OSSL_PARAM_set_size_t(p, values[i].value))
            return 0;
    }
    return 1;
}

static const OSSL_PARAM *wrap_gettable_ctx_params(void *vc, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_KEYLEN, NULL),
        OSSL_PARAM_size_t(OSSL_CIPHER_PARAM_IVLEN, NULL),
        OSSL_PARAM_END,
    };

    (void)vc;
    (void)vprov;
    return table;
}

static int wrap_get_ctx_params(void *vc, OSSL_PARAM params[])
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_KEYLEN);

    (void)vc;
    if (p != NULL && !OSSL_PARAM_set_size_t(p, KEY_LEN))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_CIPHER_PARAM_IVLEN);
    return p == NULL || OSSL_PARAM_set_size_t(p, IV_LEN);
}

static const OSSL_PARAM *wrap_settable_ctx_params(void *vc, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_string("key-uri", NULL, 0),
        OSSL_PARAM_uint("lifetime", NULL),
        OSSL_PARAM_END,
    };

    (void)vc;
    (void)vprov;
    return table;
}

static int wrap_set_ctx_params(void *vc, const OSSL_PARAM params[])
{
    struct wrap_ctx *c = vc;
    struct hsm_secret *kek = NULL;
    unsigned lifetime = c->lifetime;
    const char *uri = NULL;
    const OSSL_PARAM *p;
    enum hsm_status st;

    if (params == NULL)
        return 1;
    p = OSSL_PARAM_locate_const(params, "lifetime");
    if (p != NULL
        && (!OSSL_PARAM_get_uint(p, &lifetime) || lifetime < 1
            || lifetime > LIFETIME_MAX)) {
        prov_raise(c->prov, PROV_E_PARAM, "lifetime");
        return 0;
    }
    p = OSSL_PARAM_locate_const(params, "key-uri");
    if (p != NULL) {
        if (!OSSL_PARAM_get_utf8_string_ptr(p, &uri) || uri == NULL) {
            prov_raise(c->prov, PROV_E_PARAM, "key-uri");
            return 0;
        }
        if ((st = hsm_kek_find(prov_token(c->prov, uri), uri, &kek))
            != HSM_OK) {
            prov_raise_hsm(c->prov, st);
            return 0;
        }
        hsm_secret_free(c->kek);
        c->kek = kek;
    }
    c->lifetime = lifetime;
    return 1;
}

const OSSL_DISPATCH prov_wrap_aes_functions[] = {
    { OSSL_FUNC_CIPHER_NEWCTX, (void (*)(void))wrap_newctx },
    { OSSL_FUNC_CIPHER_FREECTX, (void (*)(void))wrap_freectx },
    { OSSL_FUNC_CIPHER_ENCRYPT_INIT, (void (*)(void))wrap_encrypt_init },
    { OSSL_FUNC_CIPHER_DECRYPT_INIT, (void (*)(void))wrap_decrypt_init },
#ifdef OSSL_FUNC_CIPHER_ENCRYPT_SKEY_INIT
    { OSSL_FUNC_CIPHER_ENCRYPT_SKEY_INIT,
      (void (*)(void))wrap_encrypt_skey_init },
    { OSSL_FUNC_CIPHER_DECRYPT_SKEY_INIT,
      (void (*)(void))wrap_decrypt_skey_init },
#endif
    { OSSL_FUNC_CIPHER_UPDATE, (void (*)(void))wrap_update },
    { OSSL_FUNC_CIPHER_FINAL, (void (*)(void))wrap_final },
    { OSSL_FUNC_CIPHER_CIPHER, (void (*)(void))wrap_cipher },
    { OSSL_FUNC_CIPHER_GETTABLE_PARAMS, (void (*)(void))wrap_gettable_params },
    { OSSL_FUNC_CIPHER_GET_PARAMS, (void (*)(void))wrap_get_params },
    { OSSL_FUNC_CIPHER_GETTABLE_CTX_PARAMS,
      (void (*)(void))wrap_gettable_ctx_params },
    { OSSL_FUNC_CIPHER_GET_CTX_PARAMS, (void (*)(void))wrap_get_ctx_params },
    { OSSL_FUNC_CIPHER_SETTABLE_CTX_PARAMS,
      (void (*)(void))wrap_settable_ctx_params },
    { OSSL_FUNC_CIPHER_SET_CTX_PARAMS, (void (*)(void))wrap_set_ctx_params },
    { 0, NULL },
};
