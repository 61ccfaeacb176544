/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDSA: DER by default, R || S of RFC 7518 3.4 with `sealed.sig=jose`.
 */
#include "prov.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#define HALF_MAX 72 /* of a software key: the longest curves have 571 bits */
#define DER_MAX  (3 + 2 * (3 + HALF_MAX))

static OSSL_FUNC_signature_newctx_fn jose_newctx;
static OSSL_FUNC_signature_sign_init_fn ecdsa_init;
static OSSL_FUNC_signature_digest_sign_init_fn ecdsa_digest_init;
static OSSL_FUNC_signature_digest_sign_final_fn ecdsa_digest_sign_final;
static OSSL_FUNC_signature_digest_verify_final_fn ecdsa_digest_verify_final;
static OSSL_FUNC_signature_set_ctx_params_fn ecdsa_set_ctx_params;
static OSSL_FUNC_signature_settable_ctx_params_fn ecdsa_settable_ctx_params;

static void *jose_newctx(void *vprov, const char *propq)
{
    struct prov_sig *sig = prov_sig_new(vprov, propq);

    if (sig != NULL)
        sig->jose = true;
    return sig;
}

/* Octets of R, and of S. */
static size_t half_len(const struct prov_sig *sig)
{
    return ((size_t)EVP_PKEY_get_bits(sig->key->soft) + 7) / 8;
}

static size_t sig_room(const struct prov_sig *sig)
{
    return sig->jose ? 2 * half_len(sig)
                     : (size_t)EVP_PKEY_get_size(sig->key->soft);
}

/* INTEGER of X.690 8.3: positive, in as few octets as can be. */
static size_t der_integer(const unsigned char *p, size_t len,
                          unsigned char *der)
{
    size_t sign;

    for (; len > 1 && *p == 0; len--)
        p++;
    sign = *p >> 7;
    der[0] = 0x02;
    der[1] = (unsigned char)(sign + len);
    der[2] = 0; /* unless it isn't needed */
    memcpy(der + 2 + sign, p, len);
    return 2 + sign + len;
}

/* Both return the length written, 0 on failure. */
static size_t der_from_rs(const unsigned char *rs, size_t half,
                          unsigned char *der)
{
    unsigned char both[DER_MAX];
    size_t len, n = 0;

    if (half == 0 || half > HALF_MAX)
        return 0;
    len = der_integer(rs, half, both);
    len += der_integer(rs + half, half, both + len);
    der[n++] = 0x30;
    if (len > 127)
        der[n++] = 0x81;
    der[n++] = (unsigned char)len;
    memcpy(der + n, both, len);
    return n + len;
}

static size_t rs_from_der(const unsigned char *der, size_t len, size_t half,
                          unsigned char *rs)
{
    ECDSA_SIG *e = d2i_ECDSA_SIG(NULL, &der, (long)len);
    int ok = e != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(e), rs, (int)half) > 0
             && BN_bn2binpad(ECDSA_SIG_get0_s(e), rs + half, (int)half) > 0;

    ECDSA_SIG_free(e);
    return ok ? 2 * half : 0;
}

static int ecdsa_init(void *vsig, void *vkey, const OSSL_PARAM params[])
{
    return prov_sig_init(vsig, vkey, params)
           && ecdsa_set_ctx_params(vsig, params);
}

/* Both return the length of what they wrote, 0 on failure. */
static size_t sign_in_token(const struct prov_sig *sig,
                            const unsigned char *tbs, size_t tbs_len,
                            unsigned char *out)
{
    const struct hsm_sign_params p = { .mech = HSM_MECH_ECDSA };
    size_t half = half_len(sig), len = 2 * HALF_MAX;
    unsigned char rs[2 * HALF_MAX];
    enum hsm_status st;

    /* A token takes no more than the order's length (FIPS 186-5 6.4.1). */
    st = hsm_sign(sig->key->hsm, &p, tbs, tbs_len < half ? tbs_len : half, rs,
                  &len);
    if (st != HSM_OK) {
        prov_raise_hsm(sig->prov, st);
        return 0;
    }
    if (len != 2 * half) {
        prov_raise(sig->prov, PROV_E_DEVICE, "signature of %zu octets", len);
        return 0;
    }
    if (!sig->jose)
        return der_from_rs(rs, half, out);
    memcpy(out, rs, len);
    return len;
}

static size_t sign_in_software(struct prov_sig *sig, const unsigned char *tbs,
                               size_t tbs_len, unsigned char *out, size_t room)
{
    EVP_PKEY_CTX *soft = prov_sig_soft(sig, EVP_PKEY_OP_SIGN);
    unsigned char der[DER_MAX];
    size_t len = sig->jose ? sizeof(der) : room;

    if (soft == NULL
        || EVP_PKEY_sign(soft, sig->jose ? der : out, &len, tbs, tbs_len) <= 0)
        return 0;
    return sig->jose ? rs_from_der(der, len, half_len(sig), out) : len;
}

int prov_ecdsa_sign(void *vsig, unsigned char *out, size_t *out_len,
                    size_t room, const unsigned char *tbs, size_t tbs_len)
{
    struct prov_sig *sig = vsig;
    size_t want = sig_room(sig), len;

    if (out == NULL) {
        *out_len = want;
        return 1;
    }
    if (room < want
        || (sig->md != NULL && tbs_len != (size_t)EVP_MD_get_size(sig->md))) {
        prov_raise(sig->prov, PROV_E_LENGTH, "ECDSA");
        return 0;
    }
    len = sig->key->hsm != NULL
              ? sign_in_token(sig, tbs, tbs_len, out)
              : sign_in_software(sig, tbs, tbs_len, out, room);
    *out_len = len;
    return len > 0;
}

int prov_ecdsa_verify(void *vsig, const unsigned char *in, size_t in_len,
                      const unsigned char *tbs, size_t tbs_len)
{
    struct prov_sig *sig = vsig;
    unsigned char der[DER_MAX];
    EVP_PKEY_CTX *soft;

    if (sig->jose) {
        if (in_len != 2 * half_len(sig)
            || (in_len = der_from_rs(in, half_len(sig), der)) == 0) {
            prov_raise(sig->prov, PROV_E_SIGNATURE, "R || S");
            return 0;
        }
        in = der;
    }
    soft = prov_sig_soft(sig, EVP_PKEY_OP_VERIFY);
    return soft != NULL && EVP_PKEY_verify(soft, in, in_len, tbs, tbs_len) == 1;
}

static int ecdsa_digest_init(void *vsig, const char *md, void *vkey,
                             const OSSL_PARAM params[])
{
    return prov_sig_digest_init(vsig, md, vkey, params)
           && ecdsa_set_ctx_params(vsig, params);
}

static int ecdsa_digest_sign_final(void *vsig, unsigned char *out,
                                   size_t *out_len, size_t room)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t len;

    if (out == NULL)
        return prov_ecdsa_sign(vsig, NULL, out_len, 0, NULL, 0);
    return prov_sig_digest_end(vsig, digest, &len)
           && prov_ecdsa_sign(vsig, out, out_len, room, digest, len);
}

static int ecdsa_digest_verify_final(void *vsig, const unsigned char *in,
                                     size_t in_len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t len;

    return prov_sig_digest_end(vsig, digest, &len)
           && prov_ecdsa_verify(vsig, in, in_len, digest, len);
}

int prov_ecdsa_get_ctx_params(void *vsig, OSSL_PARAM params[])
{
    const struct prov_sig *sig = vsig;
    X509_ALGOR *alg = X509_ALGOR_new();
    int nid, ok;

    ok = alg != NULL && sig->md != NULL
         && OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(sig->md),
                                   NID_X9_62_id_ecPublicKey)
         && X509_ALGOR_set0(alg, OBJ_nid2obj(nid), V_ASN1_UNDEF, NULL);
    ok = prov_sig_get_params(sig, params, ok ? alg : NULL);
    X509_ALGOR_free(alg);
    return ok;
}

const OSSL_PARAM *prov_ecdsa_gettable_ctx_params(void *vsig, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vsig;
    (void)vprov;
    return table;
}

static int ecdsa_set_ctx_params(void *vsig, const OSSL_PARAM params[])
{
    struct prov_sig *sig = vsig;
    const OSSL_PARAM *p;

    if (params == NULL)
        return 1;
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST);
    return p == NULL || prov_sig_param_md(sig, p);
}

static const OSSL_PARAM *ecdsa_settable_ctx_params(void *vsig, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vsig;
    (void)vprov;
    return table;
}

#define ECDSA_COMMON                                                       \
    { OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))prov_sig_free },        \
        { OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))prov_sig_dup },      \
        { OSSL_FUNC_SIGNATURE_SIGN_INIT, (void (*)(void))ecdsa_init },     \
        { OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))prov_ecdsa_sign },     \
        { OSSL_FUNC_SIGNATURE_VERIFY_INIT, (void (*)(void))ecdsa_init },   \
        { OSSL_FUNC_SIGNATURE_VERIFY, (void (*)(void))prov_ecdsa_verify }, \
        { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT,                            \
          (void (*)(void))ecdsa_digest_init },                             \
        { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE,                          \
          (void (*)(void))prov_sig_digest_update },                        \
        { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL,                           \
          (void (*)(void))ecdsa_digest_sign_final },                       \
        { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT,                          \
          (void (*)(void))ecdsa_digest_init },                             \
        { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE,                        \
          (void (*)(void))prov_sig_digest_update },                        \
        { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL,                         \
          (void (*)(void))ecdsa_digest_verify_final },                     \
        { OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS,                              \
          (void (*)(void))prov_ecdsa_get_ctx_params },                     \
        { OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS,                         \
          (void (*)(void))prov_ecdsa_gettable_ctx_params },                \
        { OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS,                              \
          (void (*)(void))ecdsa_set_ctx_params },                          \
    {                                                                      \
        OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS,                           \
            (void (*)(void))ecdsa_settable_ctx_params                      \
    }

const OSSL_DISPATCH prov_ecdsa_sig_functions[] = {
    { OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))prov_sig_new },
    ECDSA_COMMON,
    { 0, NULL },
};

const OSSL_DISPATCH prov_ecdsa_jose_sig_functions[] = {
    { OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))jose_newctx },
    ECDSA_COMMON,
    { 0, NULL },
};
