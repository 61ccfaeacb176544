/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS1-PRF with SHA-256 on sealed secrets (RFC 5246 section 5, design 2).
 * With sealed.tls=session the extended master secret of RFC 7627 comes as a
 * handle, and the plain master secret of RFC 5246 is refused; sealed.tls=psk
 * is there for whoever asks for none, and comes here first.
 */
#include "kdf.h"

#include <string.h>

#define HASH_LEN   32
#define MASTER_LEN 48
#define SECRET_MAX 512
#define SEED_MAX   1024
#define RANDOM_LEN 32
#define CB_LABEL   "EXPORTER-Channel-Binding" /* RFC 9266: public */

struct prf {
    struct prov_kdf head;
    char md[PROV_MD_ROOM];
    bool seed_too_long;
    uint8_t secret[SECRET_MAX], seed[SEED_MAX];
    size_t secret_len, seed_len;
};

static OSSL_FUNC_kdf_newctx_fn prf_psk_newctx, prf_session_newctx;
static OSSL_FUNC_kdf_derive_fn prf_derive;
static OSSL_FUNC_kdf_settable_ctx_params_fn prf_settable_ctx_params;
static OSSL_FUNC_kdf_set_ctx_params_fn prf_set_ctx_params;
static bool take(struct prf *k, const OSSL_PARAM params[]);

static void *prf_psk_newctx(void *vprov)
{
    return prov_kdf_new(vprov, PROV_SOFT_TLS1_PRF, sizeof(struct prf));
}

static void *prf_session_newctx(void *vprov)
{
    struct prf *k = prf_psk_newctx(vprov);

    if (k != NULL)
        k->head.session = true;
    return k;
}

static int refuse(const struct prf *k, const char *why)
{
    prov_raise(k->head.prov, PROV_E_SEALED, "TLS1-PRF: %s", why);
    return 0;
}

/* libssl's seed begins with the label. */
static bool labelled(const struct prf *k, const char *label)
{
    size_t len = strlen(label);

    return k->seed_len >= len && memcmp(k->seed, label, len) == 0;
}

/* P_SHA256 whose result may be known: key block and Finished. */
static int expand_plain(const struct prf *k, struct hsm_secret *secret,
                        uint8_t *out, size_t out_len)
{
    uint8_t msg[HASH_LEN + SEED_MAX], block[HASH_LEN];
    enum hsm_status st = hsm_mac(secret, k->seed, k->seed_len, msg);
    size_t n, part;

    memcpy(msg + HASH_LEN, k->seed, k->seed_len);
    for (n = 0; st == HSM_OK && n < out_len; n += part) {
        part = out_len - n < HASH_LEN ? out_len - n : HASH_LEN;
        st = hsm_mac(secret, msg, HASH_LEN + k->seed_len, block);
        if (st == HSM_OK) {
            memcpy(out + n, block, part);
            st = hsm_mac(secret, msg, HASH_LEN, msg);
        }
    }
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(msg, HASH_LEN);
    if (st != HSM_OK)
        prov_raise_hsm(k->head.prov, st);
    return st == HSM_OK;
}

static int from_sealed(const struct prf *k, struct hsm_secret *secret,
                       enum sealed_kind kind, uint8_t *out, size_t len)
{
    static const char *const plain[] = { "key expansion", "client finished",
                                         "server finished" };
    struct hsm_secret *derived = NULL;
    enum hsm_status st;

    if (!prov_md_is_sha256(k->head.prov, k->md) || k->seed_too_long)
        return refuse(k, "sealed secrets are for SHA-256 suites");
    if (kind != SEALED_MASTER12)
        return refuse(k, "this secret is no master secret");
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (labelled(k, plain[i]))
            return expand_plain(k, secret, out, len);
    /* Exactly this label: both randoms and an empty context follow it. */
    if (labelled(k, CB_LABEL)
        && (k->seed_len == strlen(CB_LABEL) + 2 * RANDOM_LEN
            || k->seed_len == strlen(CB_LABEL) + 2 * RANDOM_LEN + 2))
        return expand_plain(k, secret, out, len);
    if (len != HASH_LEN)
        return refuse(k, "an exported sealed secret has 32 octets");
    st = hsm_p_sha256(secret, k->seed, k->seed_len, len, k->head.prov->travel,
                      &derived);
    return prov_seal(k->head.prov, st, derived, SEALED_KEY,
                     k->head.prov->tls_seconds, false, out, len);
}

static int master_secret(const struct prf *k, uint8_t *out, size_t len)
{
    struct hsm *h = k->head.prov->hsm;
    struct hsm_secret *pre = NULL, *master = NULL;
    enum hsm_status st;

    if (!prov_md_is_sha256(k->head.prov, k->md) || k->seed_too_long
        || len != MASTER_LEN)
        return refuse(k, "sealed secrets are for SHA-256 suites");
    st = hsm_import(h, k->secret, k->secret_len, k->head.prov->travel, &pre);
    if (st == HSM_OK)
        st = hsm_p_sha256(pre, k->seed, k->seed_len, len, k->head.prov->travel,
                          &master);
    hsm_secret_free(pre);
    return prov_seal(k->head.prov, st, master, SEALED_MASTER12,
                     k->head.prov->tls_seconds, false, out, len);
}

static int prf_derive(void *vk, unsigned char *out, size_t len,
                      const OSSL_PARAM params[])
{
    struct prf *k = vk;
    struct hsm_secret *secret = NULL;
    enum sealed_kind kind = SEALED_KEY;
    EVP_KDF_CTX *soft;
    int ok;

    if (!take(k, params))
        return 0;
    switch (sealed_find(k->head.prov->sealed, k->secret, k->secret_len, &secret,
                        &kind)) {
    case SEALED_BAD:
        return refuse(k, "the sealed secret is gone, or never was");
    case SEALED_OK:
        ok = from_sealed(k, secret, kind, out, len);
        hsm_secret_free(secret);
        return ok;
    case SEALED_PLAIN:
        break;
    }
    if (k->head.session && labelled(k, "extended master secret"))
        return master_secret(k, out, len);
    if (k->head.session && labelled(k, "master secret"))
        return refuse(k, "RFC 7627 is required");
    return (soft = prov_kdf_soft(&k->head)) != NULL
           && EVP_KDF_derive(soft, out, len, params) > 0;
}

static const OSSL_PARAM *prf_settable_ctx_params(void *vk, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_PROPERTIES, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SECRET, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vk;
    (void)vprov;
    return table;
}

/* All seeds of one call are concatenated, as the default provider does it. */
static bool append_seeds(struct prf *k, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p = params;
    const void *data = NULL;
    size_t n = 0;

    if (OSSL_PARAM_locate_const(p, OSSL_KDF_PARAM_SEED) != NULL) {
        k->seed_len = 0;
        k->seed_too_long = false;
    }
    while ((p = OSSL_PARAM_locate_const(p, OSSL_KDF_PARAM_SEED)) != NULL) {
        if (!OSSL_PARAM_get_octet_string_ptr(p++, &data, &n))
            return false;
        if (n > sizeof(k->seed) - k->seed_len) {
            k->seed_too_long = true;
        } else if (n > 0) {
            memcpy(k->seed + k->seed_len, data, n);
            k->seed_len += n;
        }
    }
    return true;
}

/* What a sealed secret needs of them. */
static bool take(struct prf *k, const OSSL_PARAM params[])
{
    if (params == NULL)
        return true;
    prov_md_take(params, k->md);
    return prov_param_take(params, OSSL_KDF_PARAM_SECRET, k->secret,
                           sizeof(k->secret), &k->secret_len, NULL)
           && append_seeds(k, params);
}

static int prf_set_ctx_params(void *vk, const OSSL_PARAM params[])
{
    struct prf *k = vk;
    EVP_KDF_CTX *soft;

    if (params == NULL)
        return 1;
    return take(k, params) && (soft = prov_kdf_soft(&k->head)) != NULL
           && EVP_KDF_CTX_set_params(soft, params);
}

#define PRF_COMMON                                                       \
    { OSSL_FUNC_KDF_DUPCTX, (void (*)(void))prov_kdf_dup },              \
        { OSSL_FUNC_KDF_FREECTX, (void (*)(void))prov_kdf_free },        \
        { OSSL_FUNC_KDF_RESET, (void (*)(void))prov_kdf_reset },         \
        { OSSL_FUNC_KDF_DERIVE, (void (*)(void))prf_derive },            \
        { OSSL_FUNC_KDF_SETTABLE_CTX_PARAMS,                             \
          (void (*)(void))prf_settable_ctx_params },                     \
    {                                                                    \
        OSSL_FUNC_KDF_SET_CTX_PARAMS, (void (*)(void))prf_set_ctx_params \
    }

const OSSL_DISPATCH prov_prf_psk_functions[] = {
    { OSSL_FUNC_KDF_NEWCTX, (void (*)(void))prf_psk_newctx },
    PRF_COMMON,
    { 0, NULL },
};

const OSSL_DISPATCH prov_prf_functions[] = {
    { OSSL_FUNC_KDF_NEWCTX, (void (*)(void))prf_session_newctx },
    PRF_COMMON,
    { 0, NULL },
};
