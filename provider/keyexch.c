/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDH and X25519 with a private key in the token.  The shared secret leaves
 * it, as callers of EVP_PKEY_derive() expect; the KDF of X9.63 that CMS asks
 * for is made of it in software.
 */
#include "prov.h"

#include <openssl/ec.h>
#include <openssl/kdf.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_MAX 72 /* octets; a token's P-521 has 66 */
#define POINT_MAX  133
#define UKM_MAX    65536

struct exchange {
    struct prov_ctx *prov;
    struct prov_key *key, *peer;
    EVP_PKEY_CTX *soft; /* of soft_ctx(), or NULL */
    int cofactor;       /* mode; -1: as the key says */
    bool x963;          /* or no KDF */
    EVP_MD *md;
    size_t out_len;
    uint8_t *ukm;
    size_t ukm_len;
};

static OSSL_FUNC_keyexch_newctx_fn exchange_new;
static OSSL_FUNC_keyexch_freectx_fn exchange_free;
static OSSL_FUNC_keyexch_dupctx_fn exchange_dup;
static OSSL_FUNC_keyexch_init_fn exchange_init;
static OSSL_FUNC_keyexch_set_peer_fn exchange_set_peer;
static OSSL_FUNC_keyexch_derive_fn exchange_derive;
static OSSL_FUNC_keyexch_set_ctx_params_fn exchange_set;
static OSSL_FUNC_keyexch_settable_ctx_params_fn exchange_settable;
static OSSL_FUNC_keyexch_get_ctx_params_fn exchange_get;
static OSSL_FUNC_keyexch_gettable_ctx_params_fn exchange_gettable;

static void *exchange_new(void *vprov)
{
    struct exchange *x = calloc(1, sizeof(*x));

    if (x == NULL)
        return NULL;
    x->prov = vprov;
    x->cofactor = -1;
    return x;
}

static void exchange_free(void *vx)
{
    struct exchange *x = vx;

    if (x == NULL)
        return;
    EVP_PKEY_CTX_free(x->soft);
    prov_key_free(x->key);
    prov_key_free(x->peer);
    EVP_MD_free(x->md);
    OPENSSL_clear_free(x->ukm, x->ukm_len);
    free(x);
}

static void *exchange_dup(void *vx)
{
    const struct exchange *from = vx;
    struct exchange *to = malloc(sizeof(*to));

    if (to == NULL)
        return NULL;
    *to = *from;
    to->soft = NULL;
    to->ukm = NULL;
    if (to->key != NULL)
        (void)prov_key_ref(to->key);
    if (to->peer != NULL)
        (void)prov_key_ref(to->peer);
    if (to->md != NULL)
        (void)EVP_MD_up_ref(to->md);
    if (from->ukm != NULL
        && (to->ukm = OPENSSL_memdup(from->ukm, from->ukm_len)) == NULL) {
        exchange_free(to);
        return NULL;
    }
    return to;
}

/* What soft_ctx() was made of is another now. */
static void changed(struct exchange *x)
{
    EVP_PKEY_CTX_free(x->soft);
    x->soft = NULL;
}

static int exchange_init(void *vx, void *vkey, const OSSL_PARAM params[])
{
    struct exchange *x = vx;

    changed(x);
    prov_key_free(x->key);
    x->key = prov_key_ref(vkey);
    return x->key->soft != NULL && exchange_set(x, params);
}

static int exchange_set_peer(void *vx, void *vkey)
{
    struct exchange *x = vx;
    struct prov_key *peer = vkey;

    if (peer->soft == NULL || x->key == NULL || peer->type != x->key->type
        || (peer->type == HSM_KEY_EC
            && EVP_PKEY_parameters_eq(peer->soft, x->key->soft) != 1)) {
        prov_raise(x->prov, PROV_E_KEY, "the peer's is of another curve");
        return 0;
    }
    changed(x);
    prov_key_free(x->peer);
    x->peer = prov_key_ref(peer);
    return 1;
}

/* ---- the secret ---- */

/* Whoever set the peer had it validated, or did not want that. */
static EVP_PKEY_CTX *soft_ctx(struct exchange *x)
{
    EVP_PKEY_CTX *ctx;

    if (x->soft != NULL)
        return x->soft;
    ctx = EVP_PKEY_CTX_new_from_pkey(x->prov->soft, x->key->soft, NULL);
    if (ctx == NULL || EVP_PKEY_derive_init(ctx) <= 0
        || (x->cofactor >= 0
            && EVP_PKEY_CTX_set_ecdh_cofactor_mode(ctx, x->cofactor) <= 0)
        || EVP_PKEY_derive_set_peer_ex(ctx, x->peer->soft, 0) <= 0) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return x->soft = ctx;
}

static int soft_secret(struct exchange *x, uint8_t *out, size_t *len)
{
    EVP_PKEY_CTX *ctx = soft_ctx(x);

    return ctx != NULL && EVP_PKEY_derive(ctx, out, len) > 0;
}

static int secret(struct exchange *x, uint8_t *out, size_t *len)
{
    uint8_t point[POINT_MAX];
    size_t n = 0;
    enum hsm_status st;

    if (x->key->hsm == NULL)
        return soft_secret(x, out, len);
    if (!EVP_PKEY_get_octet_string_param(x->peer->soft, OSSL_PKEY_PARAM_PUB_KEY,
                                         point, sizeof(point), &n)) {
        prov_raise(x->prov, PROV_E_KEY, "the peer's has no public part");
        return 0;
    }
    st = hsm_ecdh(x->key->hsm, point, n, out, len);
    if (st != HSM_OK)
        prov_raise_hsm(x->prov, st);
    return st == HSM_OK;
}

static int x963(const struct exchange *x, uint8_t *z, size_t z_len,
                unsigned char *out)
{
    EVP_KDF_CTX *ctx = prov_soft_kdf(x->prov, PROV_SOFT_X963KDF);
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(
            OSSL_KDF_PARAM_DIGEST,
            (char *)(uintptr_t)(x->md != NULL ? EVP_MD_get0_name(x->md)
                                              : "SHA1"),
            0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, z, z_len),
        x->ukm_len > 0 ? OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO,
                                                           x->ukm, x->ukm_len)
                       : OSSL_PARAM_construct_end(),
        OSSL_PARAM_construct_end(),
    };
    int ok = ctx != NULL && EVP_KDF_derive(ctx, out, x->out_len, params) > 0;

    EVP_KDF_CTX_free(ctx);
    return ok;
}

static int exchange_derive(void *vx, unsigned char *out, size_t *out_len,
                           size_t room)
{
    struct exchange *x = vx;
    uint8_t z[SECRET_MAX];
    size_t len = sizeof(z), want;
    int ok;

    if (x->key == NULL || x->peer == NULL)
        return 0;
    if (!x->x963 && x->key->hsm == NULL) {
        *out_len = room;
        return soft_secret(x, out, out_len);
    }
    want = x->x963 ? x->out_len : (size_t)EVP_PKEY_get_bits(x->key->soft);
    if (!x->x963)
        want = x->key->type == HSM_KEY_X25519 ? 32 : (want + 7) / 8;
    if (out == NULL) {
        *out_len = want;
        return 1;
    }
    if (room < want) {
        prov_raise(x->prov, PROV_E_LENGTH, "ECDH");
        return 0;
    }
    ok = secret(x, z, &len);
    if (ok && x->x963)
        ok = x963(x, z, len, out);
    else if (ok && len <= room)
        memcpy(out, z, want = len);
    OPENSSL_cleanse(z, sizeof(z));
    if (ok)
        *out_len = want;
    return ok;
}

/* ---- parameters ---- */

static const OSSL_PARAM *exchange_settable(void *vx, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
        OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
        OSSL_PARAM_octet_string(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vx;
    (void)vprov;
    return table;
}

struct changes {
    int cofactor;
    bool x963;
    EVP_MD *md;
    size_t out_len, ukm_len;
    void *ukm;
};

/* The parameter that is refused, or NULL. */
static const OSSL_PARAM *take(const struct exchange *x,
                              const OSSL_PARAM params[], struct changes *n)
{
    const OSSL_PARAM *p;
    const char *text = NULL;

    /* The cofactor is 1 with all of a token's curves: any mode is the same. */
    p = OSSL_PARAM_locate_const(params,
                                OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE);
    if (p != NULL
        && (!OSSL_PARAM_get_int(p, &n->cofactor) || n->cofactor < -1
            || n->cofactor > 1))
        return p;
    p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_TYPE);
    if (p != NULL) {
        if (!OSSL_PARAM_get_utf8_string_ptr(p, &text) || text == NULL)
            return p;
        n->x963 = strcmp(text, OSSL_KDF_NAME_X963KDF) == 0;
        if (!n->x963 && text[0] != '\0')
            return p;
    }
    p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_DIGEST);
    if (p != NULL
        && (!OSSL_PARAM_get_utf8_string_ptr(p, &text) || text == NULL
            || (n->md = EVP_MD_fetch(x->prov->soft, text, NULL)) == NULL))
        return p;
    p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_OUTLEN);
    if (p != NULL && !OSSL_PARAM_get_size_t(p, &n->out_len))
        return p;
    p = OSSL_PARAM_locate_const(params, OSSL_EXCHANGE_PARAM_KDF_UKM);
    return p != NULL
                   && (!OSSL_PARAM_get_octet_string(p, &n->ukm, UKM_MAX,
                                                    &n->ukm_len))
               ? p
               : NULL;
}

static int exchange_set(void *vx, const OSSL_PARAM params[])
{
    struct exchange *x = vx;
    struct changes n = { .cofactor = x->cofactor,
                         .x963 = x->x963,
                         .out_len = x->out_len };
    const OSSL_PARAM *bad;

    if (params == NULL)
        return 1;
    if ((bad = take(x, params, &n)) != NULL) {
        EVP_MD_free(n.md);
        OPENSSL_free(n.ukm);
        prov_raise(x->prov, PROV_E_PARAM, "%s", bad->key);
        return 0;
    }
    if (n.cofactor != x->cofactor)
        changed(x);
    x->cofactor = n.cofactor;
    x->x963 = n.x963;
    x->out_len = n.out_len;
    if (n.md != NULL) {
        EVP_MD_free(x->md);
        x->md = n.md;
    }
    if (n.ukm != NULL) {
        OPENSSL_clear_free(x->ukm, x->ukm_len);
        x->ukm = n.ukm;
        x->ukm_len = n.ukm_len;
    }
    return 1;
}

static const OSSL_PARAM *exchange_gettable(void *vx, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_int(OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE, NULL),
        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_TYPE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_EXCHANGE_PARAM_KDF_DIGEST, NULL, 0),
        OSSL_PARAM_size_t(OSSL_EXCHANGE_PARAM_KDF_OUTLEN, NULL),
        OSSL_PARAM_octet_ptr(OSSL_EXCHANGE_PARAM_KDF_UKM, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vx;
    (void)vprov;
    return table;
}

static int exchange_get(void *vx, OSSL_PARAM params[])
{
    const struct exchange *x = vx;
    OSSL_PARAM *p;

    p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_EC_ECDH_COFACTOR_MODE);
    if (p != NULL && !OSSL_PARAM_set_int(p, x->cofactor > 0))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_TYPE);
    if (p != NULL
        && !OSSL_PARAM_set_utf8_string(p, x->x963 ? OSSL_KDF_NAME_X963KDF : ""))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_DIGEST);
    if (p != NULL
        && !OSSL_PARAM_set_utf8_string(
            p, x->md != NULL ? EVP_MD_get0_name(x->md) : ""))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_OUTLEN);
    if (p != NULL && !OSSL_PARAM_set_size_t(p, x->out_len))
        return 0;
    p = OSSL_PARAM_locate(params, OSSL_EXCHANGE_PARAM_KDF_UKM);
    return p == NULL || OSSL_PARAM_set_octet_ptr(p, x->ukm, x->ukm_len);
}

const OSSL_DISPATCH prov_ecdh_functions[] = {
    { OSSL_FUNC_KEYEXCH_NEWCTX, (void (*)(void))exchange_new },
    { OSSL_FUNC_KEYEXCH_FREECTX, (void (*)(void))exchange_free },
    { OSSL_FUNC_KEYEXCH_DUPCTX, (void (*)(void))exchange_dup },
    { OSSL_FUNC_KEYEXCH_INIT, (void (*)(void))exchange_init },
    { OSSL_FUNC_KEYEXCH_SET_PEER, (void (*)(void))exchange_set_peer },
    { OSSL_FUNC_KEYEXCH_DERIVE, (void (*)(void))exchange_derive },
    { OSSL_FUNC_KEYEXCH_SET_CTX_PARAMS, (void (*)(void))exchange_set },
    { OSSL_FUNC_KEYEXCH_SETTABLE_CTX_PARAMS,
      (void (*)(void))exchange_settable },
    { OSSL_FUNC_KEYEXCH_GET_CTX_PARAMS, (void (*)(void))exchange_get },
    { OSSL_FUNC_KEYEXCH_GETTABLE_CTX_PARAMS,
      (void (*)(void))exchange_gettable },
    { 0, NULL },
};
