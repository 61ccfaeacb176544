/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all signature algorithms have in common: the digest, the software
 * half, duplication and the parameters.
 */
#include "prov.h"

#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>
#include <string.h>

void *prov_sig_new(void *vprov, const char *propq)
{
    struct prov_sig *sig = calloc(1, sizeof(*sig));

    (void)propq;
    if (sig == NULL)
        return NULL;
    sig->prov = vprov;
    sig->pad = RSA_PKCS1_PADDING;
    sig->salt = RSA_PSS_SALTLEN_AUTO;
    return sig;
}

void prov_sig_free(void *vsig)
{
    struct prov_sig *sig = vsig;

    if (sig == NULL)
        return;
    prov_key_free(sig->key);
    EVP_MD_free(sig->md);
    EVP_MD_free(sig->mgf1_md);
    EVP_MD_CTX_free(sig->md_ctx);
    EVP_PKEY_CTX_free(sig->soft);
    OPENSSL_free(sig->text);
    OPENSSL_free(sig->against);
    free(sig);
}

static bool dup_message(struct prov_sig *to, const struct prov_sig *from)
{
    if (from->text_len > 0) {
        if ((to->text = OPENSSL_memdup(from->text, from->text_len)) == NULL)
            return false;
        to->text_len = to->text_room = from->text_len;
    }
    if (from->against != NULL) {
        to->against = OPENSSL_memdup(from->against, from->against_len);
        if (to->against == NULL)
            return false;
        to->against_len = from->against_len;
    }
    return true;
}

void *prov_sig_dup(void *vsig)
{
    const struct prov_sig *from = vsig;
    struct prov_sig *to = calloc(1, sizeof(*to));

    if (to == NULL)
        return NULL;
    to->prov = from->prov;
    to->jose = from->jose;
    to->pad = from->pad;
    to->salt = from->salt;
    to->message = from->message;
    if (from->key != NULL)
        to->key = prov_key_ref(from->key);
    if (from->md != NULL && EVP_MD_up_ref(from->md))
        to->md = from->md;
    if (from->mgf1_md != NULL && EVP_MD_up_ref(from->mgf1_md))
        to->mgf1_md = from->mgf1_md;
    if ((from->md_ctx != NULL
         && ((to->md_ctx = EVP_MD_CTX_new()) == NULL
             || !EVP_MD_CTX_copy_ex(to->md_ctx, from->md_ctx)))
        || !dup_message(to, from)) {
        prov_sig_free(to);
        return NULL;
    }
    return to;
}

int prov_sig_init(void *vsig, void *vkey, const OSSL_PARAM params[])
{
    struct prov_sig *sig = vsig;
    struct prov_key *key = vkey;

    (void)params; /* the algorithm's own function has parsed them */
    prov_sig_changed(sig);
    if (key != NULL) {
        prov_key_free(sig->key);
        sig->key = prov_key_ref(key);
    }
    return sig->key != NULL && sig->key->soft != NULL;
}

int prov_sig_set_md(struct prov_sig *sig, const char *name)
{
    EVP_MD *md = EVP_MD_fetch(sig->prov->soft, name, NULL);

    if (md == NULL || (EVP_MD_get_flags(md) & EVP_MD_FLAG_XOF)) {
        EVP_MD_free(md);
        prov_raise(sig->prov, PROV_E_DIGEST, "%s", name);
        return 0;
    }
    EVP_MD_free(sig->md);
    sig->md = md;
    prov_sig_changed(sig);
    return 1;
}

int prov_sig_param_md(struct prov_sig *sig, const OSSL_PARAM *p)
{
    const char *name = NULL;

    if (!OSSL_PARAM_get_utf8_string_ptr(p, &name) || name == NULL)
        return 0;
    if (sig->md_ctx == NULL)
        return prov_sig_set_md(sig, name);
    if (EVP_MD_is_a(sig->md, name))
        return 1;
    prov_raise(sig->prov, PROV_E_DIGEST, "%s: the digest is fixed", name);
    return 0;
}

int prov_sig_digest_init(struct prov_sig *sig, const char *md, void *vkey,
                         const OSSL_PARAM params[])
{
    if (!prov_sig_init(sig, vkey, params))
        return 0;
    if (md != NULL && md[0] != '\0') {
        if (!prov_sig_set_md(sig, md))
            return 0;
    } else if (sig->md == NULL && !prov_sig_set_md(sig, "SHA256")) {
        return 0;
    }
    if (sig->md_ctx == NULL && (sig->md_ctx = EVP_MD_CTX_new()) == NULL)
        return 0;
    return EVP_DigestInit_ex2(sig->md_ctx, sig->md, NULL);
}

int prov_sig_digest_update(void *vsig, const unsigned char *data, size_t len)
{
    struct prov_sig *sig = vsig;

    return sig->md_ctx != NULL && EVP_DigestUpdate(sig->md_ctx, data, len);
}

int prov_sig_digest_end(struct prov_sig *sig, unsigned char *out, size_t *len)
{
    unsigned n = 0;

    if (sig->md_ctx == NULL || !EVP_DigestFinal_ex(sig->md_ctx, out, &n))
        return 0;
    *len = n;
    return 1;
}

void prov_sig_changed(struct prov_sig *sig)
{
    EVP_PKEY_CTX_free(sig->soft);
    sig->soft = NULL;
}

static bool soft_init(EVP_PKEY_CTX *ctx, int op)
{
    if (op == EVP_PKEY_OP_SIGN)
        return EVP_PKEY_sign_init(ctx) > 0;
    return (op == EVP_PKEY_OP_VERIFY ? EVP_PKEY_verify_init(ctx)
                                     : EVP_PKEY_verify_recover_init(ctx))
           > 0;
}

static bool soft_set_rsa(EVP_PKEY_CTX *ctx, const struct prov_sig *sig)
{
    if (EVP_PKEY_CTX_set_rsa_padding(ctx, sig->pad) <= 0)
        return false;
    return sig->pad != RSA_PKCS1_PSS_PADDING
           || (EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx, sig->salt) > 0
               && (sig->mgf1_md == NULL
                   || EVP_PKEY_CTX_set_rsa_mgf1_md(ctx, sig->mgf1_md) > 0));
}

EVP_PKEY_CTX *prov_sig_soft(struct prov_sig *sig, int op)
{
    EVP_PKEY_CTX *ctx;

    if (sig->soft != NULL && sig->soft_op == op)
        return sig->soft;
    prov_sig_changed(sig);
    prov_soft_rand(sig->prov);
    ctx = EVP_PKEY_CTX_new_from_pkey(sig->prov->soft, sig->key->soft, NULL);
    if (ctx == NULL || !soft_init(ctx, op)
        || (sig->md != NULL && EVP_PKEY_CTX_set_signature_md(ctx, sig->md) <= 0)
        || (sig->key->type == HSM_KEY_RSA && !soft_set_rsa(ctx, sig))) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    sig->soft = ctx;
    sig->soft_op = op;
    return ctx;
}

/* alg is the AlgorithmIdentifier that X509_sign() asks for. */
int prov_sig_get_params(const struct prov_sig *sig, OSSL_PARAM params[],
                        X509_ALGOR *alg)
{
    unsigned char *der = NULL;
    OSSL_PARAM *p;
    int len, ok = 1;

    p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_ALGORITHM_ID);
    if (p != NULL) {
        len = alg != NULL ? i2d_X509_ALGOR(alg, &der) : -1;
        ok = len > 0 && OSSL_PARAM_set_octet_string(p, der, (size_t)len);
        OPENSSL_free(der);
    }
    p = OSSL_PARAM_locate(params, OSSL_SIGNATURE_PARAM_DIGEST);
    if (ok && p != NULL)
        ok = OSSL_PARAM_set_utf8_string(
            p, sig->md != NULL ? EVP_MD_get0_name(sig->md) : "");
    return ok;
}

bool prov_hash_of(const EVP_MD *md, enum hsm_hash *hash)
{
    static const struct {
        const char *name;
        enum hsm_hash hash;
    } names[] = {
        { "SHA1", HSM_HASH_SHA1 },       { "SHA2-224", HSM_HASH_SHA224 },
        { "SHA2-256", HSM_HASH_SHA256 }, { "SHA2-384", HSM_HASH_SHA384 },
        { "SHA2-512", HSM_HASH_SHA512 },
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (md != NULL && EVP_MD_is_a(md, names[i].name)) {
            *hash = names[i].hash;
            return true;
        }
    }
    return false;
}
