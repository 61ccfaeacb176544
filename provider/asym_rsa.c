/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA encryption (RFC 8017): decryption in the token, encryption in software;
 * and OAEP as the way of a sealed secret to another token: encrypting a handle
 * wraps its secret for a public key, decrypting with `unwrap` set gives a
 * handle that lives for `lifetime` seconds.
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
    EVP_MD *oaep_md, *mgf1_md; /* NULL: SHA-1, and the other one */
    uint8_t *label;
    size_t label_len;
    unsigned tls_client, tls_version; /* for RSA_PKCS1_WITH_TLS_PADDING */
    bool unwrap;
    unsigned lifetime;
};

/* OpenSSL has no name for the last. */
static const struct prov_rsa_pad pads[] = {
    { OSSL_PKEY_RSA_PAD_MODE_PKCSV15, RSA_PKCS1_PADDING, true },
    { OSSL_PKEY_RSA_PAD_MODE_OAEP, RSA_PKCS1_OAEP_PADDING, true },
    { OSSL_PKEY_RSA_PAD_MODE_NONE, RSA_NO_PADDING, false },
    { "", RSA_PKCS1_WITH_TLS_PADDING, false },
    { NULL, 0, false },
};

static OSSL_FUNC_asym_cipher_newctx_fn rsa_newctx;
static OSSL_FUNC_asym_cipher_freectx_fn rsa_freectx;
static OSSL_FUNC_asym_cipher_dupctx_fn rsa_dupctx;
static OSSL_FUNC_asym_cipher_encrypt_init_fn rsa_init;
static OSSL_FUNC_asym_cipher_encrypt_fn rsa_encrypt;
static OSSL_FUNC_asym_cipher_decrypt_fn rsa_decrypt;
static OSSL_FUNC_asym_cipher_get_ctx_params_fn rsa_get_ctx_params;
static OSSL_FUNC_asym_cipher_gettable_ctx_params_fn rsa_gettable_ctx_params;
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
    EVP_MD_free(c->oaep_md);
    EVP_MD_free(c->mgf1_md);
    OPENSSL_free(c->label);
    free(c);
}

static void *rsa_dupctx(void *vc)
{
    const struct rsa_ctx *from = vc;
    struct rsa_ctx *to = malloc(sizeof(*to));

    if (to == NULL)
        return NULL;
    *to = *from;
    to->label = NULL;
    if (to->key != NULL)
        (void)prov_key_ref(to->key);
    if (to->oaep_md != NULL)
        (void)EVP_MD_up_ref(to->oaep_md);
    if (to->mgf1_md != NULL)
        (void)EVP_MD_up_ref(to->mgf1_md);
    if (from->label != NULL
        && (to->label = OPENSSL_memdup(from->label, from->label_len)) == NULL) {
        rsa_freectx(to);
        return NULL;
    }
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

static bool soft_set_tls(EVP_PKEY_CTX *ctx, const struct rsa_ctx *c)
{
    unsigned client = c->tls_client, version = c->tls_version;
    const OSSL_PARAM params[] = {
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, &client),
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION,
                        &version),
        OSSL_PARAM_END,
    };

    return EVP_PKEY_CTX_set_params(ctx, params) > 0;
}

/* The same operation on the software half. */
static EVP_PKEY_CTX *soft_ctx(const struct rsa_ctx *c, bool encrypt)
{
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_pkey(c->prov->soft, c->key->soft, NULL);
    uint8_t *label = NULL;

    if (ctx == NULL
        || (encrypt ? EVP_PKEY_encrypt_init(ctx) : EVP_PKEY_decrypt_init(ctx))
               <= 0
        || EVP_PKEY_CTX_set_rsa_padding(ctx, c->pad) <= 0
        || (c->pad == RSA_PKCS1_WITH_TLS_PADDING && !soft_set_tls(ctx, c)))
        goto bad;
    if (c->pad != RSA_PKCS1_OAEP_PADDING)
        return ctx;
    if ((c->oaep_md != NULL
         && EVP_PKEY_CTX_set_rsa_oaep_md(ctx, c->oaep_md) <= 0)
        || (c->mgf1_md != NULL
            && EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, c->mgf1_md) <= 0))
        goto bad;
    if (c->label_len > 0
        && ((label = OPENSSL_memdup(c->label, c->label_len)) == NULL
            || EVP_PKEY_CTX_set0_rsa_oaep_label(ctx, label, (int)c->label_len)
                   <= 0)) {
        OPENSSL_free(label);
        goto bad;
    }
    return ctx;
bad:
    EVP_PKEY_CTX_free(ctx);
    return NULL;
}

static int soft_crypt(const struct rsa_ctx *c, bool encrypt, unsigned char *out,
                      size_t *out_len, const unsigned char *in, size_t in_len)
{
    EVP_PKEY_CTX *ctx = soft_ctx(c, encrypt);
    int ok;

    prov_soft_rand(c->prov);
    ok = ctx != NULL
         && (encrypt ? EVP_PKEY_encrypt(ctx, out, out_len, in, in_len)
                     : EVP_PKEY_decrypt(ctx, out, out_len, in, in_len))
                > 0;

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
        return soft_crypt(c, true, out, out_len, in, in_len);
    if (match == SEALED_OK && kind == SEALED_KEY
        && c->pad == RSA_PKCS1_OAEP_PADDING)
        ok = wrap_sealed(c, secret, out, out_len);
    else
        prov_raise(c->prov, PROV_E_SEALED,
                   "RSA: a sealed key is wrapped by OAEP");
    hsm_secret_free(secret);
    return ok;
}

static int unwrap(const struct rsa_ctx *c, unsigned char *out, size_t *out_len,
                  size_t room, const unsigned char *in, size_t in_len)
{
    struct hsm_secret *secret = NULL;
    enum hsm_status st;

    if (out == NULL) {
        *out_len = SEALED_LEN;
        return 1;
    }
    if (c->key->hsm == NULL || c->pad != RSA_PKCS1_OAEP_PADDING
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

static bool token_params(const struct rsa_ctx *c, struct hsm_decrypt_params *p)
{
    *p = (struct hsm_decrypt_params){ .oaep = c->pad == RSA_PKCS1_OAEP_PADDING,
                                      .hash = HSM_HASH_SHA1,
                                      .label = c->label,
                                      .label_len = c->label_len };
    if (c->oaep_md != NULL && !prov_hash_of(c->oaep_md, &p->hash))
        return false;
    p->mgf1_hash = p->hash;
    return c->mgf1_md == NULL || prov_hash_of(c->mgf1_md, &p->mgf1_hash);
}

static int decrypt(const struct rsa_ctx *c, unsigned char *out, size_t *out_len,
                   size_t room, const unsigned char *in, size_t in_len)
{
    struct hsm_decrypt_params p;
    uint8_t plain[MODULUS_MAX];
    size_t len = sizeof(plain);
    enum hsm_status st;

    if (c->pad != RSA_PKCS1_PADDING && c->pad != RSA_PKCS1_OAEP_PADDING) {
        prov_raise(c->prov, PROV_E_MECH, "RSA: no such padding");
        return 0;
    }
    if (!token_params(c, &p)) {
        prov_raise(c->prov, PROV_E_DIGEST, "for RSA-OAEP");
        return 0;
    }
    st = hsm_decrypt(c->key->hsm, &p, in, in_len, plain, &len);
    if (st != HSM_OK)
        prov_raise_hsm(c->prov, st);
    else if (len > room)
        prov_raise(c->prov, PROV_E_LENGTH, "RSA");
    if (st == HSM_OK && len <= room) {
        memcpy(out, plain, len);
        *out_len = len;
    }
    OPENSSL_cleanse(plain, sizeof(plain));
    return st == HSM_OK && len <= room;
}

static int rsa_decrypt(void *vc, unsigned char *out, size_t *out_len,
                       size_t room, const unsigned char *in, size_t in_len)
{
    const struct rsa_ctx *c = vc;

    if (c->unwrap)
        return unwrap(c, out, out_len, room, in, in_len);
    if (out == NULL) {
        *out_len = (size_t)EVP_PKEY_get_size(c->key->soft);
        return 1;
    }
    if (c->key->hsm != NULL)
        return decrypt(c, out, out_len, room, in, in_len);
    *out_len = room;
    return soft_crypt(c, false, out, out_len, in, in_len);
}

static const OSSL_PARAM *rsa_settable_ctx_params(void *vc, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, NULL, 0),
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION, NULL),
        OSSL_PARAM_uint(OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION, NULL),
        OSSL_PARAM_int("unwrap", NULL),
        OSSL_PARAM_uint("lifetime", NULL),
        OSSL_PARAM_END,
    };

    (void)vc;
    (void)vprov;
    return table;
}

/* Parsed, and committed last: all or nothing. */
struct rsa_changes {
    unsigned lifetime, tls_client, tls_version;
    int pad, unwrap;
    EVP_MD *oaep_md, *mgf1_md;
    void *label;
    size_t label_len;
};

static bool take_md(const struct rsa_ctx *c, const OSSL_PARAM *p, EVP_MD **md)
{
    const char *name = NULL;

    return OSSL_PARAM_get_utf8_string_ptr(p, &name) && name != NULL
           && (*md = EVP_MD_fetch(c->prov->soft, name, NULL)) != NULL;
}

/* The parameter that is refused, or NULL. */
static const OSSL_PARAM *take(const struct rsa_ctx *c,
                              const OSSL_PARAM params[], struct rsa_changes *n)
{
    const OSSL_PARAM *p;

    p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_PAD_MODE);
    if (p != NULL && !prov_rsa_pad_parse(pads, c->key, p, &n->pad))
        return p;
    p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST);
    if (p != NULL && !take_md(c, p, &n->oaep_md))
        return p;
    p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST);
    if (p != NULL && !take_md(c, p, &n->mgf1_md))
        return p;
    p = OSSL_PARAM_locate_const(params, OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL);
    if (p != NULL
        && !OSSL_PARAM_get_octet_string(p, &n->label, 0, &n->label_len))
        return p;
    p = OSSL_PARAM_locate_const(params,
                                OSSL_ASYM_CIPHER_PARAM_TLS_CLIENT_VERSION);
    if (p != NULL && !OSSL_PARAM_get_uint(p, &n->tls_client))
        return p;
    p = OSSL_PARAM_locate_const(params,
                                OSSL_ASYM_CIPHER_PARAM_TLS_NEGOTIATED_VERSION);
    if (p != NULL && !OSSL_PARAM_get_uint(p, &n->tls_version))
        return p;
    p = OSSL_PARAM_locate_const(params, "unwrap");
    if (p != NULL && !OSSL_PARAM_get_int(p, &n->unwrap))
        return p;
    p = OSSL_PARAM_locate_const(params, "lifetime");
    return p != NULL
                   && (!OSSL_PARAM_get_uint(p, &n->lifetime) || n->lifetime < 1
                       || n->lifetime > LIFETIME_MAX)
               ? p
               : NULL;
}

static void replace_md(EVP_MD **md, EVP_MD *with)
{
    if (with == NULL)
        return;
    EVP_MD_free(*md);
    *md = with;
}

static int rsa_set_ctx_params(void *vc, const OSSL_PARAM params[])
{
    struct rsa_ctx *c = vc;
    struct rsa_changes n = { .lifetime = c->lifetime,
                             .tls_client = c->tls_client,
                             .tls_version = c->tls_version,
                             .pad = c->pad,
                             .unwrap = c->unwrap };
    const OSSL_PARAM *bad;

    if (params == NULL)
        return 1;
    if ((bad = take(c, params, &n)) != NULL) {
        EVP_MD_free(n.oaep_md);
        EVP_MD_free(n.mgf1_md);
        OPENSSL_free(n.label);
        prov_raise(c->prov, PROV_E_PARAM, "%s", bad->key);
        return 0;
    }
    c->pad = n.pad;
    c->unwrap = n.unwrap != 0;
    c->lifetime = n.lifetime;
    c->tls_client = n.tls_client;
    c->tls_version = n.tls_version;
    replace_md(&c->oaep_md, n.oaep_md);
    replace_md(&c->mgf1_md, n.mgf1_md);
    if (n.label != NULL) {
        OPENSSL_free(c->label);
        c->label = n.label;
        c->label_len = n.label_len;
    }
    return 1;
}

static const OSSL_PARAM *rsa_gettable_ctx_params(void *vc, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_octet_ptr(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vc;
    (void)vprov;
    return table;
}

static int rsa_get_ctx_params(void *vc, OSSL_PARAM params[])
{
    const struct rsa_ctx *c = vc;
    const char *md = c->oaep_md != NULL ? EVP_MD_get0_name(c->oaep_md) : "SHA1";
    OSSL_PARAM *p;

    if (!prov_rsa_pad_report(pads, params, OSSL_ASYM_CIPHER_PARAM_PAD_MODE,
                             c->pad))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST);
    if (p != NULL && !OSSL_PARAM_set_utf8_string(p, md))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST);
    if (p != NULL
        && !OSSL_PARAM_set_utf8_string(
            p, c->mgf1_md != NULL ? EVP_MD_get0_name(c->mgf1_md) : md))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL);
    return p == NULL || OSSL_PARAM_set_octet_ptr(p, c->label, c->label_len);
}

const OSSL_DISPATCH prov_rsa_asym_functions[] = {
    { OSSL_FUNC_ASYM_CIPHER_NEWCTX, (void (*)(void))rsa_newctx },
    { OSSL_FUNC_ASYM_CIPHER_FREECTX, (void (*)(void))rsa_freectx },
    { OSSL_FUNC_ASYM_CIPHER_DUPCTX, (void (*)(void))rsa_dupctx },
    { OSSL_FUNC_ASYM_CIPHER_ENCRYPT_INIT, (void (*)(void))rsa_init },
    { OSSL_FUNC_ASYM_CIPHER_ENCRYPT, (void (*)(void))rsa_encrypt },
    { OSSL_FUNC_ASYM_CIPHER_DECRYPT_INIT, (void (*)(void))rsa_init },
    { OSSL_FUNC_ASYM_CIPHER_DECRYPT, (void (*)(void))rsa_decrypt },
    { OSSL_FUNC_ASYM_CIPHER_GET_CTX_PARAMS,
      (void (*)(void))rsa_get_ctx_params },
    { OSSL_FUNC_ASYM_CIPHER_GETTABLE_CTX_PARAMS,
      (void (*)(void))rsa_gettable_ctx_params },
    { OSSL_FUNC_ASYM_CIPHER_SET_CTX_PARAMS,
      (void (*)(void))rsa_set_ctx_params },
    { OSSL_FUNC_ASYM_CIPHER_SETTABLE_CTX_PARAMS,
      (void (*)(void))rsa_settable_ctx_params },
    { 0, NULL },
};
