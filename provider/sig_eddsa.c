/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ed25519 and Ed448 (RFC 8032): the whole message goes to the token at once,
 * since pure EdDSA reads it twice.
 */
#include "prov.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>

static OSSL_FUNC_signature_digest_sign_init_fn eddsa_init;
static OSSL_FUNC_signature_get_ctx_params_fn eddsa_get_ctx_params;
static OSSL_FUNC_signature_gettable_ctx_params_fn eddsa_gettable_ctx_params;

/*
 * OpenSSL 3.2 and later ask for Ed25519ctx and the prehashed variants by
 * parameters, which must not be passed over: what is signed would be another.
 */
bool prov_eddsa_pure(const struct prov_sig *sig, const OSSL_PARAM params[])
{
    const OSSL_PARAM *p;
    const char *name = NULL;
    const void *context = NULL;
    size_t len = 0;

    if (params == NULL)
        return true;
    p = OSSL_PARAM_locate_const(params, "instance");
    if (p == NULL
        || (OSSL_PARAM_get_utf8_string_ptr(p, &name) && name != NULL
            && (OPENSSL_strcasecmp(name, "Ed25519") == 0
                || OPENSSL_strcasecmp(name, "Ed448") == 0))) {
        p = OSSL_PARAM_locate_const(params, "context-string");
        if (p == NULL
            || (OSSL_PARAM_get_octet_string_ptr(p, &context, &len) && len == 0))
            return true;
    }
    prov_raise(sig->prov, PROV_E_PARAM, "%s: pure EdDSA alone", p->key);
    return false;
}

static int eddsa_init(void *vsig, const char *md, void *vkey,
                      const OSSL_PARAM params[])
{
    struct prov_sig *sig = vsig;

    if (md != NULL && md[0] != '\0') {
        prov_raise(sig->prov, PROV_E_DIGEST, "EdDSA takes none");
        return 0;
    }
    return prov_eddsa_pure(sig, params) && prov_sig_init(sig, vkey, params);
}

int prov_eddsa_sign(void *vsig, unsigned char *out, size_t *out_len,
                    size_t room, const unsigned char *tbs, size_t tbs_len)
{
    const struct hsm_sign_params p = { .mech = HSM_MECH_EDDSA };
    struct prov_sig *sig = vsig;
    size_t want = (size_t)EVP_PKEY_get_size(sig->key->soft);
    EVP_MD_CTX *ctx;
    enum hsm_status st;
    int ok;

    if (out == NULL) {
        *out_len = want;
        return 1;
    }
    if (room < want) {
        prov_raise(sig->prov, PROV_E_LENGTH, "EdDSA");
        return 0;
    }
    *out_len = want;
    if (sig->key->hsm != NULL) {
        st = hsm_sign(sig->key->hsm, &p, tbs, tbs_len, out, out_len);
        if (st != HSM_OK)
            prov_raise_hsm(sig->prov, st);
        return st == HSM_OK;
    }
    ctx = EVP_MD_CTX_new();
    ok = ctx != NULL
         && EVP_DigestSignInit_ex(ctx, NULL, NULL, sig->prov->soft, NULL,
                                  sig->key->soft, NULL)
         && EVP_DigestSign(ctx, out, out_len, tbs, tbs_len);
    EVP_MD_CTX_free(ctx);
    return ok;
}

int prov_eddsa_verify(void *vsig, const unsigned char *in, size_t in_len,
                      const unsigned char *tbs, size_t tbs_len)
{
    struct prov_sig *sig = vsig;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    int ok = ctx != NULL
             && EVP_DigestVerifyInit_ex(ctx, NULL, NULL, sig->prov->soft, NULL,
                                        sig->key->soft, NULL)
             && EVP_DigestVerify(ctx, in, in_len, tbs, tbs_len) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static int eddsa_get_ctx_params(void *vsig, OSSL_PARAM params[])
{
    const struct prov_sig *sig = vsig;
    int nid = sig->key->type == HSM_KEY_ED448 ? NID_ED448 : NID_ED25519;
    X509_ALGOR *alg = X509_ALGOR_new();
    int ok = alg != NULL
             && X509_ALGOR_set0(alg, OBJ_nid2obj(nid), V_ASN1_UNDEF, NULL);

    ok = prov_sig_get_params(vsig, params, ok ? alg : NULL);
    X509_ALGOR_free(alg);
    return ok;
}

static const OSSL_PARAM *eddsa_gettable_ctx_params(void *vsig, void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_octet_string(OSSL_SIGNATURE_PARAM_ALGORITHM_ID, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vsig;
    (void)vprov;
    return table;
}

const OSSL_DISPATCH prov_eddsa_sig_functions[] = {
    { OSSL_FUNC_SIGNATURE_NEWCTX, (void (*)(void))prov_sig_new },
    { OSSL_FUNC_SIGNATURE_FREECTX, (void (*)(void))prov_sig_free },
    { OSSL_FUNC_SIGNATURE_DUPCTX, (void (*)(void))prov_sig_dup },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN_INIT, (void (*)(void))eddsa_init },
    { OSSL_FUNC_SIGNATURE_DIGEST_SIGN, (void (*)(void))prov_eddsa_sign },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY_INIT, (void (*)(void))eddsa_init },
    { OSSL_FUNC_SIGNATURE_DIGEST_VERIFY, (void (*)(void))prov_eddsa_verify },
    { OSSL_FUNC_SIGNATURE_GET_CTX_PARAMS,
      (void (*)(void))eddsa_get_ctx_params },
    { OSSL_FUNC_SIGNATURE_GETTABLE_CTX_PARAMS,
      (void (*)(void))eddsa_gettable_ctx_params },
#ifdef PROV_MESSAGE_FUNCTIONS
    PROV_MESSAGE_FUNCTIONS,
#endif
    { 0, NULL },
};
