/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA-OAEP as the way of a sealed secret to another token: encrypting a
 * handle wraps its secret for a public key, decrypting with `unwrap` set
 * gives a handle that lives for `lifetime` seconds.  Encrypting anything else
 * is the default provider's.
 */
#include "kdf.h"

#include <openssl/bn.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

#define LIFETIME     3600
#define LIFETIME_MAX 31536000
#define MODULUS_MAX  2048

struct rsa_ctx {
    struct prov_ctx *prov;
    struct prov_key *key;
    int pad;
    bool unwrap;
    unsigned lifetime;
};

static OSSL_FUNC_asym_cipher_newctx_fn rsa_newctx;
static OSSL_FUNC_asym_cipher_freectx_fn rsa_freectx;
static OSSL_FUNC_asym_cipher_dupctx_fn rsa_dupctx;
static OSSL_FUNC_asym_cipher_encrypt_init_fn rsa_init;
static OSSL_FUNC_asym_cipher_encrypt_fn rsa_encrypt;
static OSSL_FUNC_asym_cipher_decrypt_fn rsa_decrypt;
static OSSL_FUNC_asym_cipher_set_ctx_params_fn rsa_set_ctx_params;
static OSSL_FUNC_asym_cipher_settable_ctx_params_fn rsa_settable_ctx_params;

static void *rsa_newctx(void *vprov)
{
    struct rsa_ctx *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    c->prov = vprov;
    c->pad = RSA_PKCS1_PADDING;
    c->lifetime = LIFETIME;
    return c;
}

static void rsa_freectx(void *vc)
{
    struct rsa_ctx *c = vc;

    if (c == NULL)
        return;
    prov_key_free(c->key);
    free(c);
}

static void *rsa_dupctx(void *vc)
{
    const struct rsa_ctx *from = vc;
    struct rsa_ctx *to = malloc(sizeof(*to));

    if (to == NULL)
        return NULL;
    *to = *from;
    if (to->key != NULL)
        (void)prov_key_ref(to->key);
    return to;
}

static int rsa_init(void *vc, void *vkey, const OSSL_PARAM params[])
{
    struct rsa_ctx *c = vc;

    if (vkey != NULL) {
        prov_key_free(c->key);
        c->key = prov_key_ref(vkey);
    }
    return c->key != NULL && c->key->soft != NULL
           && rsa_set_ctx_params(c, params);
}

/* Both numbers of the public key, big endian. */
static bool numbers(EVP_PKEY *key, uint8_t *n, size_t *n_len, uint8_t *e,
                    size_t *e_len)
{
    BIGNUM *bn = NULL, *be = NULL;
    bool ok = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &bn)
              && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &be)
              && BN_num_bytes(bn) <= MODULUS_MAX && BN_num_bytes(be) <= 8;

    if (ok) {
        *n_len = (size_t)BN_bn2bin(bn, n);
        *e_len = (size_t)BN_bn2bin(be, e);
    }
    BN_free(bn);
    BN_free(be);
    return ok;
}

static int wrap_sealed(const struct rsa_ctx *c, struct hsm_secret *secret,
                       unsigned char *out, size_t *out_len)
{
    uint8_t n[MODULUS_MAX], e[8];
    size_t n_len, e_len;
    enum hsm_status st;

    if (!numbers(c->key->soft, n, &n_len, e, &e_len))
        return 0;
    st = hsm_wrap_rsa(c->prov->hsm, n, n_len, e, e_len, secret, out, out_len);
    if (st != HSM_OK)
        prov_raise_hsm(c->prov, st);
    return st == HSM_OK;
}

static int soft_encrypt(const struct rsa_ctx *c, unsigned char *out,
                        size_t *out_len, const unsigned char *in, size_t in_len)
{
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_pkey(c->prov->soft, c->key->soft, NULL);
    int ok = ctx != NULL && EVP_PKEY_encrypt_init(ctx) > 0
             && EVP_PKEY_CTX_set_rsa_padding(ctx, c->pad) > 0
             && EVP_PKEY_encrypt(ctx, out, out_len, in, in_len) > 0;

    EVP_PKEY_CTX_free(ctx);
    return ok;
}

static int rsa_encrypt(void *vc, unsigned char *out, size_t *out_len,
                       size_t room, const unsigned char *in, size_t in_len)
{
    const struct rsa_ctx *c = vc;
    struct hsm_secret *secret = NULL;
    enum sealed_kind kind = SEALED_KEY;
    enum sealed_match match;
    int ok = 0;

    if (out == NULL) {
        *out_len = (size_t)EVP_PKEY_get_size(c->key->soft);
        return 1;
    }
    *out_len = room;
    match = sealed_find(c->prov->sealed, in, in_len, &secret, &kind);
    if (match == SEALED_PLAIN)
        return soft_encrypt(c, out, out_len, in, in_len);
    if (match == SEALED_OK && kind == SEALED_KEY
        && c->pad == RSA_PKCS1_OAEP_PADDING)
        ok = wrap_sealed(c, secret, out, out_len);
    else
        prov_raise(c->prov, PROV_E_SEALED,
                   "RSA: a sealed key is wrapped by OAEP");
    hsm_secret_free(secret);
    return ok;
}

static int rsa_decrypt(void *vc, unsigned char *out, size_t *out_len,
                       size_t room, const unsigned char *in, size_t in_len)
{
    const struct rsa_ctx *c = vc;
    struct hsm_secret *secret = NULL;
    enum hsm_status st;

    if (out == NULL) {
        *out_len = SEALED_LEN;
        return 1;
    }
    if (!c->unwrap || c->key->hsm == NULL || c->pad != RSA_PKCS1_OAEP_PADDING
        || room < SEALED_LEN) {
        prov_raise(c->prov, PROV_E_PARAM,
                   "RSA: only OAEP unwrapping with a key in the token");
        return 0;
    }
    st = hsm_unwrap_rsa(c->key->hsm, in, in_len, SEALED_LEN, c->prov->travel,
                        &secret);
    if (!prov_seal(c->prov, st, secret, SEALED_KEY, c->lifetime, true, out,
                   SEALED_LEN))
        return 0;
    *out_len = SEALED_LEN;
    return 1;
}

static const OSSL_PARAM *rsa_settable_ctx_params(void *vc, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_int("unwrap", NULL),
        OSSL_PARAM_uint("lifetime", NULL),
        OSSL_PARAM_END,
    };

    (void)vc;
    (void)vprov;
    return table;
}

static bool take_pad(const OSSL_PARAM *p, int *pad)
{
    const char *s = NULL;

    if (p->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_int(p, pad)
               && (*pad == RSA_PKCS1_PADDING || *pad == RSA_PKCS1_OAEP_PADDING);
    if (!OSSL_PARAM_get_utf8_string_ptr(p, &s) || s == NULL)
        return false;
    if (strcmp(s, OSSL_PKEY_RSA_PAD_MODE_OAEP) == 0)
        *pad = RSA_PKCS1_OAEP_PADDING;
    else if (strcmp(s, OSSL_PKEY_RSA_PAD_MODE_PKCSV15) == 0)
        *pad = RSA_PKCS1_PADDING;
    else
        return false;
    return true;
}

static int rsa_set_ctx_params(void *vc, const OSSL_PARAM params[])
{
    struct rsa_ctx *c = vc;
    unsigned lifetime = c->lifetime; /* committed last: all or nothing */
    int pad = c->pad, unwrap = c->unwrap;
    const OSSL_PARAM *p;

    if (params == NULL)
        return 1;
    p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_PAD_MODE);
    if (p != NULL && !take_pad(p, &pad))
        goto bad;
    p = OSSL_PARAM_locate_const(params, "unwrap");
    if (p != NULL && !OSSL_PARAM_get_int(p, &unwrap))
        goto bad;
    p = OSSL_PARAM_locate_const(params, "lifetime");
    if (p != NULL
        && (!OSSL_PARAM_get_uint(p, &lifetime) || lifetime < 1
            || lifetime > LIFETIME_MAX))
        goto bad;
    c->pad = pad;
    c->unwrap = unwrap != 0;
    c->lifetime = lifetime;
    return 1;
bad:
    prov_raise(c->prov, PROV_E_PARAM, "%s", p->key);
    return 0;
}

const OSSL_DISPATCH prov_wrap_rsa_functions[] = {
    { OSSL_FUNC_ASYM_CIPHER_NEWCTX, (void (*)(void))rsa_newctx },
    { OSSL_FUNC_ASYM_CIPHER_FREECTX, (void (*)(void))rsa_freectx },
    { OSSL_FUNC_ASYM_CIPHER_DUPCTX, (void (*)(void))rsa_dupctx },
    { OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT, (void (*)(void))rsa_init },
    { OSSL_FUNC_ASYM_CIPHER_ENCRYPT, (void (*)(void))rsa_encrypt },
    { OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, (void (*)(void))rsa_init },
    { OSSL_FUNC_ASYM_CIPHER_DECRYPT, (void (*)(void))rsa_decrypt },
    { OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS,
      (void (*)(void))rsa_set_ctx_params },
    { OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS,
      (void (*)(void))rsa_settable_ctx_params },
    { 0, NULL },
};
