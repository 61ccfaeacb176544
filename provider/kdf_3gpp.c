/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KDF of TS 33.220 Annex B.2 and what CAPIF derives with it:
 *
 *     S = FC || P0 || L0 || ... || Pn || Ln
 *     derived key = HMAC-SHA-256(Key, S)
 *
 * "3GPP-KDF" takes fc and p0 to p9.  "AEFPSK" (TS 33.122 A.1) is FC = 0x7A,
 * P0 the service API interface information, P1 the session ID.  A sealed key
 * gives a handle, which lives for `lifetime` seconds; a plain one, the key.
 * A sealed key may come as an EVP_SKEY, too, since OpenSSL 3.6.
 * Setting `release` destroys the sealed key, and what follows from it, now.
 */
#include "kdf.h"
#include "skey.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HASH_LEN     32
#define KEY_MAX      512
#define PARAMS       10
#define P_MAX        65535
#define LIFETIME     3600
#define LIFETIME_MAX 31536000
#define FC_AEFPSK    0x7a

struct ts33220 {
    struct prov_ctx *prov;
    bool aefpsk;
    uint8_t key[KEY_MAX];
    size_t key_len;
    struct hsm_secret *token_key; /* of key-uri, instead of key */
    int fc;                       /* negative: not set */
    uint8_t *p[PARAMS];
    size_t p_len[PARAMS];
    bool p_set[PARAMS];
    unsigned lifetime;
};

static OSSL_FUNC_kdf_newctx_fn aefpsk_newctx, any_newctx;
static OSSL_FUNC_kdf_dupctx_fn k_dupctx;
static OSSL_FUNC_kdf_freectx_fn k_freectx;
static OSSL_FUNC_kdf_reset_fn k_reset;
static OSSL_FUNC_kdf_derive_fn k_derive;
static OSSL_FUNC_kdf_settable_ctx_params_fn aefpsk_settable, any_settable;
static OSSL_FUNC_kdf_set_ctx_params_fn k_set_ctx_params;
static OSSL_FUNC_kdf_gettable_ctx_params_fn k_gettable;
#ifdef OSSL_FUNC_KDF_SET_SKEY
static OSSL_FUNC_kdf_set_skey_fn k_set_skey;
static OSSL_FUNC_kdf_derive_skey_fn k_derive_skey;
#endif
static OSSL_FUNC_kdf_get_ctx_params_fn k_get_ctx_params;

static struct ts33220 *k_new(struct prov_ctx *prov, bool aefpsk)
{
    struct ts33220 *k = calloc(1, sizeof(*k));

    if (k == NULL)
        return NULL;
    k->prov = prov;
    k->aefpsk = aefpsk;
    k->fc = aefpsk ? FC_AEFPSK : -1;
    k->lifetime = LIFETIME;
    return k;
}

static void *aefpsk_newctx(void *vprov)
{
    return k_new(vprov, true);
}

static void *any_newctx(void *vprov)
{
    return k_new(vprov, false);
}

static void k_reset(void *vk)
{
    struct ts33220 *k = vk;

    for (size_t i = 0; i < PARAMS; i++) {
        free(k->p[i]);
        k->p[i] = NULL;
        k->p_len[i] = 0;
        k->p_set[i] = false;
    }
    OPENSSL_cleanse(k->key, sizeof(k->key));
    k->key_len = 0;
    hsm_secret_free(k->token_key);
    k->token_key = NULL;
    k->fc = k->aefpsk ? FC_AEFPSK : -1;
    k->lifetime = LIFETIME;
}

static void k_freectx(void *vk)
{
    if (vk == NULL)
        return;
    k_reset(vk);
    free(vk);
}

static bool p_store(struct ts33220 *k, size_t i, const void *data, size_t len)
{
    uint8_t *copy = malloc(len + 1);

    if (copy == NULL)
        return false;
    if (len > 0)
        memcpy(copy, data, len);
    free(k->p[i]);
    k->p[i] = copy;
    k->p_len[i] = len;
    k->p_set[i] = true;
    return true;
}

static void *k_dupctx(void *vk)
{
    const struct ts33220 *from = vk;
    struct ts33220 *to = k_new(from->prov, from->aefpsk);

    if (to == NULL)
        return NULL;
    memcpy(to->key, from->key, sizeof(to->key));
    to->key_len = from->key_len;
    if (from->token_key != NULL)
        to->token_key = hsm_secret_ref(from->token_key);
    to->fc = from->fc;
    to->lifetime = from->lifetime;
    for (size_t i = 0; i < PARAMS; i++) {
        if (from->p_set[i] && !p_store(to, i, from->p[i], from->p_len[i])) {
            k_freectx(to);
            return NULL;
        }
    }
    return to;
}

/* S of B.2; the caller frees it.  NULL, and raised, if incomplete. */
static uint8_t *input(const struct ts33220 *k, size_t *len)
{
    size_t room = 1, n = 0;
    uint8_t *s;

    for (size_t i = 0; i < PARAMS; i++) {
        room += k->p_len[i] + 2;
        if (i > 0 && k->p_set[i] && !k->p_set[i - 1]) {
            prov_raise(k->prov, PROV_E_PARAM, "p%zu without p%zu", i, i - 1);
            return NULL;
        }
    }
    if ((k->key_len == 0 && k->token_key == NULL) || k->fc < 0
        || (k->aefpsk && (!k->p_set[0] || !k->p_set[1]))) {
        prov_raise(k->prov, PROV_E_PARAM, "%s",
                   k->aefpsk ? "key, service-api and session-id are needed"
                             : "key and fc are needed");
        return NULL;
    }
    if ((s = malloc(room)) == NULL)
        return NULL;
    s[n++] = (uint8_t)k->fc;
    for (size_t i = 0; i < PARAMS && k->p_set[i]; i++) {
        memcpy(s + n, k->p[i], k->p_len[i]);
        n += k->p_len[i];
        s[n++] = (uint8_t)(k->p_len[i] >> 8);
        s[n++] = (uint8_t)k->p_len[i];
    }
    *len = n;
    return s;
}

static int from_sealed(const struct ts33220 *k, struct hsm_secret *key,
                       enum sealed_kind kind, const uint8_t *s, size_t len,
                       uint8_t *out)
{
    struct hsm_secret *secret = NULL;
    enum hsm_status st;

    if (kind != SEALED_KEY && kind != SEALED_MASTER12) {
        prov_raise(k->prov, PROV_E_SEALED, "no key is derived from this");
        return 0;
    }
    st = hsm_derive(key, s, len, k->prov->travel, &secret);
    return prov_seal(k->prov, st, secret, SEALED_KEY, k->lifetime, true, out,
                     HASH_LEN);
}

static int k_derive(void *vk, unsigned char *out, size_t out_len,
                    const OSSL_PARAM params[])
{
    struct ts33220 *k = vk;
    struct hsm_secret *secret = NULL;
    enum sealed_kind kind = SEALED_KEY;
    size_t len = 0, mac_len = 0;
    uint8_t *s;
    int ok = 0;

    if (!k_set_ctx_params(k, params))
        return 0;
    if (out_len != HASH_LEN) {
        prov_raise(k->prov, PROV_E_LENGTH, "the key has 32 octets");
        return 0;
    }
    if ((s = input(k, &len)) == NULL)
        return 0;
    if (k->token_key != NULL) {
        ok = from_sealed(k, k->token_key, SEALED_KEY, s, len, out);
        free(s);
        return ok;
    }
    switch (sealed_find(k->prov->sealed, k->key, k->key_len, &secret, &kind)) {
    case SEALED_BAD:
        prov_raise(k->prov, PROV_E_SEALED,
                   "the sealed secret is gone, or never was");
        break;
    case SEALED_OK:
        ok = from_sealed(k, secret, kind, s, len, out);
        break;
    case SEALED_PLAIN:
        ok = EVP_Q_mac(k->prov->soft, "HMAC", NULL, "SHA256", NULL, k->key,
                       k->key_len, s, len, out, out_len, &mac_len)
             != NULL;
        break;
    }
    hsm_secret_free(secret);
    free(s);
    return ok;
}

static bool take_p(struct ts33220 *k, size_t i, const OSSL_PARAM params[],
                   const char *name)
{
    const OSSL_PARAM *p = OSSL_PARAM_locate_const(params, name);
    const void *data = NULL;
    size_t len = 0;

    return p == NULL
           || (OSSL_PARAM_get_octet_string_ptr(p, &data, &len) && len <= P_MAX
               && p_store(k, i, data, len));
}

static bool take_all_p(struct ts33220 *k, const OSSL_PARAM params[])
{
    char name[8];

    if (k->aefpsk)
        return take_p(k, 0, params, "service-api")
               && take_p(k, 1, params, "session-id");
    for (size_t i = 0; i < PARAMS; i++) {
        snprintf(name, sizeof(name), "p%zu", i);
        if (!take_p(k, i, params, name))
            return false;
    }
    return true;
}

/* The last of key and key-uri counts. */
static bool take_uri(struct ts33220 *k, const OSSL_PARAM *p, bool key_given)
{
    struct hsm_secret *key = NULL;
    const char *uri = NULL;
    enum hsm_status st;

    if (p == NULL) {
        if (key_given) {
            hsm_secret_free(k->token_key);
            k->token_key = NULL;
        }
        return true;
    }
    if (!OSSL_PARAM_get_utf8_string_ptr(p, &uri) || uri == NULL || key_given) {
        prov_raise(k->prov, PROV_E_PARAM, "key-uri");
        return false;
    }
    if ((st = hsm_secret_find(prov_token(k->prov, uri), uri, &key)) != HSM_OK) {
        prov_raise_hsm(k->prov, st);
        return false;
    }
    hsm_secret_free(k->token_key);
    k->token_key = key;
    return true;
}

static int k_set_ctx_params(void *vk, const OSSL_PARAM params[])
{
    struct ts33220 *k = vk;
    unsigned lifetime = k->lifetime, release = 0;
    const OSSL_PARAM *p;
    int fc = k->fc;
    bool present = false;

    if (params == NULL)
        return 1;
    p = OSSL_PARAM_locate_const(params, "lifetime");
    if (p != NULL
        && (!OSSL_PARAM_get_uint(p, &lifetime) || lifetime < 1
            || lifetime > LIFETIME_MAX))
        goto bad;
    p = k->aefpsk ? NULL : OSSL_PARAM_locate_const(params, "fc");
    if (p != NULL && (!OSSL_PARAM_get_int(p, &fc) || fc < 0 || fc > 0xfe))
        goto bad;
    p = OSSL_PARAM_locate_const(params, "release");
    if (p != NULL && !OSSL_PARAM_get_uint(p, &release))
        goto bad;
    if (!prov_param_take(params, OSSL_KDF_PARAM_KEY, k->key, sizeof(k->key),
                         &k->key_len, &present)
        || (present && k->key_len == 0) || !take_all_p(k, params)) {
        prov_raise(k->prov, PROV_E_PARAM, "key or a P of wrong length");
        return 0;
    }
    if (!take_uri(k, OSSL_PARAM_locate_const(params, "key-uri"), present))
        return 0;
    k->lifetime = lifetime;
    k->fc = fc;
    if (release != 0 && !sealed_release(k->prov->sealed, k->key, k->key_len)) {
        prov_raise(k->prov, PROV_E_SEALED, "release: no sealed secret");
        return 0;
    }
    return 1;
bad:
    prov_raise(k->prov, PROV_E_PARAM, "%s", p->key);
    return 0;
}

#ifdef OSSL_FUNC_KDF_SET_SKEY
/* In the place of key, or of key-uri. */
static int k_set_skey(void *vk, void *vkey, const char *name)
{
    struct hsm_secret *secret = NULL;
    struct ts33220 *k = vk;

    if (name != NULL && strcmp(name, OSSL_KDF_PARAM_KEY) != 0) {
        prov_raise(k->prov, PROV_E_PARAM, "%s: no secret key", name);
        return 0;
    }
    if (!prov_skey_secret(vkey, &secret))
        return 0;
    hsm_secret_free(k->token_key);
    k->token_key = secret;
    OPENSSL_cleanse(k->key, sizeof(k->key));
    k->key_len = 0;
    return 1;
}

/* An EVP_SKEY that alone has the result, which goes when that is freed. */
static void *k_derive_skey(void *vk, const char *type, void *vprov,
                           OSSL_FUNC_skeymgmt_import_fn *import, size_t len,
                           const OSSL_PARAM params[])
{
    uint8_t out[HASH_LEN];
    unsigned yes = 1;
    const OSSL_PARAM key[] = {
        OSSL_PARAM_octet_string(OSSL_SKEY_PARAM_RAW_BYTES, out, sizeof(out)),
        OSSL_PARAM_uint("release", &yes),
        OSSL_PARAM_END,
    };
    void *skey = NULL;

    (void)type;
    if (k_derive(vk, out, len, params))
        skey = import(vprov, OSSL_SKEYMGMT_SELECT_ALL, key);
    OPENSSL_cleanse(out, sizeof(out));
    return skey;
}
#endif

static const OSSL_PARAM *aefpsk_settable(void *vk, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, NULL, 0),
        OSSL_PARAM_utf8_string("key-uri", NULL, 0),
        OSSL_PARAM_octet_string("service-api", NULL, 0),
        OSSL_PARAM_octet_string("session-id", NULL, 0),
        OSSL_PARAM_uint("lifetime", NULL),
        OSSL_PARAM_uint("release", NULL),
        OSSL_PARAM_END,
    };

    (void)vk;
    (void)vprov;
    return table;
}

static const OSSL_PARAM *any_settable(void *vk, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, NULL, 0),
        OSSL_PARAM_utf8_string("key-uri", NULL, 0),
        OSSL_PARAM_int("fc", NULL),
        OSSL_PARAM_octet_string("p0", NULL, 0),
        OSSL_PARAM_octet_string("p1", NULL, 0),
        OSSL_PARAM_octet_string("p2", NULL, 0),
        OSSL_PARAM_octet_string("p3", NULL, 0),
        OSSL_PARAM_octet_string("p4", NULL, 0),
        OSSL_PARAM_octet_string("p5", NULL, 0),
        OSSL_PARAM_octet_string("p6", NULL, 0),
        OSSL_PARAM_octet_string("p7", NULL, 0),
        OSSL_PARAM_octet_string("p8", NULL, 0),
        OSSL_PARAM_octet_string("p9", NULL, 0),
        OSSL_PARAM_uint("lifetime", NULL),
        OSSL_PARAM_uint("release", NULL),
        OSSL_PARAM_END,
    };

    (void)vk;
    (void)vprov;
    return table;
}

static const OSSL_PARAM *k_gettable(void *vk, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_size_t(OSSL_KDF_PARAM_SIZE, NULL),
        OSSL_PARAM_uint("alive", NULL),
        OSSL_PARAM_END,
    };

    (void)vk;
    (void)vprov;
    return table;
}

static int k_get_ctx_params(void *vk, OSSL_PARAM params[])
{
    const struct ts33220 *k = vk;
    OSSL_PARAM *p = OSSL_PARAM_locate(params, OSSL_KDF_PARAM_SIZE);

    if (p != NULL && !OSSL_PARAM_set_size_t(p, HASH_LEN))
        return 0;
    /* Of a key that is a handle: can it be used still? */
    p = OSSL_PARAM_locate(params, "alive");
    return p == NULL
           || OSSL_PARAM_set_uint(
               p, sealed_find(k->prov->sealed, k->key, k->key_len, NULL, NULL)
                      == SEALED_OK);
}

#define K_COMMON                                                            \
    { OSSL_FUNC_KDF_DUPCTX, (void (*)(void))k_dupctx },                     \
        { OSSL_FUNC_KDF_FREECTX, (void (*)(void))k_freectx },               \
        { OSSL_FUNC_KDF_RESET, (void (*)(void))k_reset },                   \
        { OSSL_FUNC_KDF_DERIVE, (void (*)(void))k_derive },                 \
        { OSSL_FUNC_KDF_SET_CTX_PARAMS, (void (*)(void))k_set_ctx_params }, \
        { OSSL_FUNC_KDF_GETTABLE_CTX_PARAMS, (void (*)(void))k_gettable },  \
    {                                                                       \
        OSSL_FUNC_KDF_GET_CTX_PARAMS, (void (*)(void))k_get_ctx_params      \
    }

const OSSL_DISPATCH prov_aefpsk_functions[] = {
    { OSSL_FUNC_KDF_NEWCTX, (void (*)(void))aefpsk_newctx },
    { OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, (void (*)(void))aefpsk_settable },
    K_COMMON,
#ifdef OSSL_FUNC_KDF_SET_SKEY
    { OSSL_FUNC_KDF_SET_SKEY, (void (*)(void))k_set_skey },
    { OSSL_FUNC_KDF_DERIVE_SKEY, (void (*)(void))k_derive_skey },
#endif
    { 0, NULL },
};

const OSSL_DISPATCH prov_3gpp_functions[] = {
    { OSSL_FUNC_KDF_NEWCTX, (void (*)(void))any_newctx },
    { OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS, (void (*)(void))any_settable },
    K_COMMON,
#ifdef OSSL_FUNC_KDF_SET_SKEY
    { OSSL_FUNC_KDF_SET_SKEY, (void (*)(void))k_set_skey },
    { OSSL_FUNC_KDF_DERIVE_SKEY, (void (*)(void))k_derive_skey },
#endif
    { 0, NULL },
};
