/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA signatures: PKCS#1 v1.5 and PSS (RFC 8017).
 */
#include "prov.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

#define DIGEST_INFO_MAX 128

static const struct prov_rsa_pad pads[] = {
    { OSSL_PKEY_RSA_PAD_MODE_PKCSV15, RSA_PKCS1_PADDING, true },
    { OSSL_PKEY_RSA_PAD_MODE_PSS, RSA_PKCS1_PSS_PADDING, true },
    { OSSL_PKEY_RSA_PAD_MODE_NONE, RSA_NO_PADDING, false },
    { OSSL_PKEY_RSA_PAD_MODE_X931, RSA_X931_PADDING, false },
    { NULL, 0, false },
};

static OSSL_FUNC_signature_sign_init_fn rsa_init;
static OSSL_FUNC_signature_verify_recover_fn rsa_verify_recover;
static OSSL_FUNC_signature_digest_sign_init_fn rsa_digest_init;
static OSSL_FUNC_signature_digest_sign_final_fn rsa_digest_sign_final;
static OSSL_FUNC_signature_digest_verify_final_fn rsa_digest_verify_final;
static OSSL_FUNC_signature_set_ctx_params_fn rsa_set_ctx_params;
static OSSL_FUNC_signature_settable_ctx_params_fn rsa_settable_ctx_params;

/* Octets of salt for signing; negative if the key is too short for PSS. */
static int salt_len(const struct prov_sig *sig)
{
    int md_len = EVP_MD_get_size(sig->md);
    int max = (EVP_PKEY_get_bits(sig->key->soft) + 6) / 8 - md_len - 2;
    int len;

    if (sig->salt == RSA_PSS_SALTLEN_DIGEST)
        len = md_len;
    else if (sig->salt == RSA_PSS_SALTLEN_AUTO
             || sig->salt == RSA_PSS_SALTLEN_MAX)
        len = max;
#ifdef RSA_PSS_SALTLEN_AUTO_DIGEST_MAX
    else if (sig->salt == RSA_PSS_SALTLEN_AUTO_DIGEST_MAX)
        len = md_len < max ? md_len : max;
#endif
    else
        len = sig->salt;
    return len > max ? -1 : len;
}

/* DigestInfo of RFC 8017 9.2; 0 on failure. */
static size_t digest_info(const EVP_MD *md, const unsigned char *digest,
                          size_t len, unsigned char *out)
{
    X509_SIG *di = X509_SIG_new();
    X509_ALGOR *alg = NULL;
    ASN1_OCTET_STRING *oct = NULL;
    int n = 0;

    if (di == NULL)
        return 0;
    X509_SIG_getm(di, &alg, &oct);
    if (X509_ALGOR_set0(alg, OBJ_nid2obj(EVP_MD_get_type(md)), V_ASN1_NULL,
                        NULL)
        && ASN1_OCTET_STRING_set(oct, digest, (int)len)
        && (n = i2d_X509_SIG(di, NULL)) > 0)
        n = n <= DIGEST_INFO_MAX ? i2d_X509_SIG(di, &out) : 0;
    X509_SIG_free(di);
    return n > 0 ? (size_t)n : 0;
}

static int rsa_init(void *vsig, void *vkey, const OSSL_PARAM params[])
{
    return prov_sig_init(vsig, vkey, params)
           && rsa_set_ctx_params(vsig, params);
}

static int sign_in_token(const struct prov_sig *sig, unsigned char *out,
                         size_t *out_len, const unsigned char *tbs,
                         size_t tbs_len)
{
    struct hsm_sign_params p = { .mech = HSM_MECH_RSA_PKCS1 };
    unsigned char info[DIGEST_INFO_MAX];
    enum hsm_status st;
    int salt;

    if (sig->pad == RSA_PKCS1_PSS_PADDING) {
        p.mech = HSM_MECH_RSA_PSS;
        if (!prov_hash_of(sig->md, &p.hash)
            || !prov_hash_of(sig->mgf1_md != NULL ? sig->mgf1_md : sig->md,
                             &p.mgf1_hash)) {
            prov_raise(sig->prov, PROV_E_DIGEST, "for RSA-PSS");
            return 0;
        }
        if ((salt = salt_len(sig)) < 0) {
            prov_raise(sig->prov, PROV_E_LENGTH, "salt for RSA-PSS");
            return 0;
        }
        p.salt_len = (size_t)salt;
    } else if (sig->pad != RSA_PKCS1_PADDING) {
        prov_raise(sig->prov, PROV_E_MECH, "RSA: no such padding");
        return 0;
    } else if (sig->md != NULL) {
        if ((tbs_len = digest_info(sig->md, tbs, tbs_len, info)) == 0) {
            prov_raise(sig->prov, PROV_E_DIGEST, "no DigestInfo for it");
            return 0;
        }
        tbs = info;
    }
    st = hsm_sign(sig->key->hsm, &p, tbs, tbs_len, out, out_len);
    if (st != HSM_OK)
        prov_raise_hsm(sig->prov, st);
    return st == HSM_OK;
}

int prov_rsa_sign(void *vsig, unsigned char *out, size_t *out_len, size_t room,
                  const unsigned char *tbs, size_t tbs_len)
{
    struct prov_sig *sig = vsig;
    size_t want = (size_t)EVP_PKEY_get_size(sig->key->soft);
    EVP_PKEY_CTX *soft;

    if (out == NULL) {
        *out_len = want;
        return 1;
    }
    if (room < want
        || (sig->md != NULL && tbs_len != (size_t)EVP_MD_get_size(sig->md))) {
        prov_raise(sig->prov, PROV_E_LENGTH, "RSA");
        return 0;
    }
    *out_len = want;
    if (sig->key->hsm != NULL)
        return sign_in_token(sig, out, out_len, tbs, tbs_len);
    soft = prov_sig_soft(sig, EVP_PKEY_OP_SIGN);
    return soft != NULL && EVP_PKEY_sign(soft, out, out_len, tbs, tbs_len) > 0;
}

int prov_rsa_verify(void *vsig, const unsigned char *in, size_t in_len,
                    const unsigned char *tbs, size_t tbs_len)
{
    EVP_PKEY_CTX *soft = prov_sig_soft(vsig, EVP_PKEY_OP_VERIFY);

    return soft != NULL && EVP_PKEY_verify(soft, in, in_len, tbs, tbs_len) == 1;
}

static int rsa_verify_recover(void *vsig, unsigned char *out, size_t *out_len,
                              size_t room, const unsigned char *in,
                              size_t in_len)
{
    EVP_PKEY_CTX *soft = prov_sig_soft(vsig, EVP_PKEY_OP_VERIFYRECOVER);

    *out_len = room;
    return soft != NULL
           && EVP_PKEY_verify_recover(soft, out, out_len, in, in_len) > 0;
}

static int rsa_digest_init(void *vsig, const char *md, void *vkey,
                           const OSSL_PARAM params[])
{
    return prov_sig_digest_init(vsig, md, vkey, params)
           && rsa_set_ctx_params(vsig, params);
}

static int rsa_digest_sign_final(void *vsig, unsigned char *out,
                                 size_t *out_len, size_t room)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t len;

    if (out == NULL)
        return prov_rsa_sign(vsig, NULL, out_len, 0, NULL, 0);
    return prov_sig_digest_end(vsig, digest, &len)
           && prov_rsa_sign(vsig, out, out_len, room, digest, len);
}

static int rsa_digest_verify_final(void *vsig, const unsigned char *in,
                                   size_t in_len)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    size_t len;

    return prov_sig_digest_end(vsig, digest, &len)
           && prov_rsa_verify(vsig, in, in_len, digest, len);
}

static X509_ALGOR *md_alg(const EVP_MD *md)
{
    X509_ALGOR *alg = X509_ALGOR_new();

    if (alg != NULL)
        X509_ALGOR_set_md(alg, md);
    return alg;
}

/* RSASSA-PSS-params of RFC 4055 3.1, all but the trailer field explicit. */
static bool pss_algorithm(const struct prov_sig *sig, X509_ALGOR *alg)
{
    const EVP_MD *mgf1_md = sig->mgf1_md != NULL ? sig->mgf1_md : sig->md;
    RSA_PSS_PARAMS *pss = RSA_PSS_PARAMS_new();
    X509_ALGOR *mgf_hash = md_alg(mgf1_md);
    ASN1_STRING *params = NULL, *inner = NULL;
    bool ok = false;

    if (pss == NULL || mgf_hash == NULL || salt_len(sig) < 0
        || (pss->hashAlgorithm = md_alg(sig->md)) == NULL
        || (pss->saltLength = ASN1_INTEGER_new()) == NULL
        || !ASN1_INTEGER_set(pss->saltLength, salt_len(sig))
        || (pss->maskGenAlgorithm = X509_ALGOR_new()) == NULL
        || (inner = ASN1_item_pack(mgf_hash, ASN1_ITEM_rptr(X509_ALGOR), NULL))
               == NULL)
        goto out;
    if (!X509_ALGOR_set0(pss->maskGenAlgorithm, OBJ_nid2obj(NID_mgf1),
                         V_ASN1_SEQUENCE, inner)) {
        ASN1_STRING_free(inner);
        goto out;
    }
    params = ASN1_item_pack(pss, ASN1_ITEM_rptr(RSA_PSS_PARAMS), NULL);
    ok = params != NULL
         && X509_ALGOR_set0(alg, OBJ_nid2obj(NID_rsassaPss), V_ASN1_SEQUENCE,
                            params);
    if (!ok)
        ASN1_STRING_free(params);
out:
    RSA_PSS_PARAMS_free(pss);
    X509_ALGOR_free(mgf_hash);
    return ok;
}

int prov_rsa_get_ctx_params(void *vsig, OSSL_PARAM params[])
{
    const struct prov_sig *sig = vsig;
    X509_ALGOR *alg = X509_ALGOR_new();
    bool have;
    int nid, ok;

    if (sig->pad == RSA_PKCS1_PSS_PADDING)
        have = alg != NULL && sig->md != NULL && pss_algorithm(sig, alg);
    else
        have = alg != NULL && sig->md != NULL
               && OBJ_find_sigid_by_algs(&nid, EVP_MD_get_type(sig->md),
                                         NID_rsaEncryption)
               && X509_ALGOR_set0(alg, OBJ_nid2obj(nid), V_ASN1_NULL, NULL);
    ok = prov_sig_get_params(sig, params, have ? alg : NULL);
    ok = ok
         && prov_rsa_pad_report(pads, params, OSSL_SIGNATURE_PARAM_PAD_MODE,
                                sig->pad);
    X509_ALGOR_free(alg);
    return ok;
}

const OSSL_PARAM *prov_rsa_gettable_ctx_params(void *vsig, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vsig;
    (void)vprov;
    return table;
}

static bool salt_parse(const OSSL_PARAM *p, int *salt)
{
    static const struct {
        const char *name;
        int salt;
    } names[] = {
        { OSSL_PKEY_RSA_PSS_SALT_LEN_DIGEST, RSA_PSS_SALTLEN_DIGEST },
        { OSSL_PKEY_RSA_PSS_SALT_LEN_MAX, RSA_PSS_SALTLEN_MAX },
        { OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO, RSA_PSS_SALTLEN_AUTO },
#ifdef RSA_PSS_SALTLEN_AUTO_DIGEST_MAX
        { OSSL_PKEY_RSA_PSS_SALT_LEN_AUTO_DIGEST_MAX,
          RSA_PSS_SALTLEN_AUTO_DIGEST_MAX },
#endif
    };
    const char *s = NULL;
    char *end = NULL;
    long n;

    if (p->data_type != OSSL_PARAM_UTF8_STRING)
        return OSSL_PARAM_get_int(p, salt) && *salt >= -4 && *salt <= 2048;
    if (!OSSL_PARAM_get_utf8_string_ptr(p, &s) || s == NULL)
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(s, names[i].name) == 0) {
            *salt = names[i].salt;
            return true;
        }
    }
    n = strtol(s, &end, 10);
    *salt = (int)n;
    return *s != '\0' && *end == '\0' && n >= 0 && n <= 2048;
}

static int rsa_set_ctx_params(void *vsig, const OSSL_PARAM params[])
{
    struct prov_sig *sig = vsig;
    int pad = sig->pad, salt = sig->salt; /* committed last: all or nothing */
    const char *name = NULL;
    EVP_MD *mgf1 = NULL;
    const OSSL_PARAM *p;

    if (params == NULL)
        return 1;
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PAD_MODE);
    if (p != NULL && !prov_rsa_pad_parse(pads, sig->key, p, &pad))
        goto bad;
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_PSS_SALTLEN);
    if (p != NULL && !salt_parse(p, &salt))
        goto bad;
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_MGF1_DIGEST);
    if (p != NULL
        && (!OSSL_PARAM_get_utf8_string_ptr(p, &name) || name == NULL
            || (mgf1 = EVP_MD_fetch(sig->prov->soft, name, NULL)) == NULL))
        goto bad;
    p = OSSL_PARAM_locate_const(params, OSSL_SIGNATURE_PARAM_DIGEST);
    if (p != NULL && !prov_sig_param_md(sig, p))
        goto bad;
    if (pad != sig->pad || salt != sig->salt || mgf1 != NULL)
        prov_sig_changed(sig);
    sig->pad = pad;
    sig->salt = salt;
    if (mgf1 != NULL) {
        EVP_MD_free(sig->mgf1_md);
        sig->mgf1_md = mgf1;
    }
    return 1;
bad:
    EVP_MD_free(mgf1);
    prov_raise(sig->prov, PROV_E_PARAM, "%s", p->key);
    return 0;
}

static const OSSL_PARAM *rsa_settable_ctx_params(void *vsig, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vsig;
    (void)vprov;
    return table;
}

const OSSL_DISPATCH prov_rsa_sig_functions[] = {
    { OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))prov_sig_new },
    { OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))prov_sig_free },
    { OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))prov_sig_dup },
    { OSSL_FUNC_SIGNATURE_SIGN_INIT, (void (*)(void))rsa_init },
    { OSSL_FUNC_SIGNATURE_SIGN, (void (*)(void))prov_rsa_sign },
    { OSSL_FUNC_SIGNATURE_VERIFY_INIT, (void (*)(void))rsa_init },
    { OSSL_FUNC_SIGNATURE_VERIFY, (void (*)(void))prov_rsa_verify },
    { OSSL_FUNC_SIGNATURE_VERIFY_RECOVER_INIT, (void (*)(void))rsa_init },
    { OSSL_FUNC_SIGNATURE_VERIFY_RECOVER, (void (*)(void))rsa_verify_recover },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))rsa_digest_init },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_UPDATE,
      (void (*)(void))prov_sig_digest_update },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_FINAL,
      (void (*)(void))rsa_digest_sign_final },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, (void (*)(void))rsa_digest_init },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_UPDATE,
      (void (*)(void))prov_sig_digest_update },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_FINAL,
      (void (*)(void))rsa_digest_verify_final },
    { OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS,
      (void (*)(void))prov_rsa_get_ctx_params },
    { OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS,
      (void (*)(void))prov_rsa_gettable_ctx_params },
    { OSSL_FUNC_SIGNATURE_SET_CTX_PARAMS, (void (*)(void))rsa_set_ctx_params },
    { OSSL_FUNC_SIGNATURE_SETTABLE_CTX_PARAMS,
      (void (*)(void))rsa_settable_ctx_params },
    { 0, NULL },
};
