/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key object that the store, key management and signatures share.
 */
#include "prov.h"

#include <openssl/bn.h>
#include <openssl/core_object.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

const char *prov_key_type_name(enum hsm_key_type type)
{
    switch (type) {
    case HSM_KEY_RSA:
        return "RSA";
    case HSM_KEY_EC:
        return "EC";
    case HSM_KEY_ED25519:
        return "ED25519";
    case HSM_KEY_ED448:
        return "ED448";
    case HSM_KEY_X25519:
        return "X25519";
    }
    return NULL;
}

static const char *group_name(enum hsm_curve curve)
{
    switch (curve) {
    case HSM_CURVE_NONE:
        return NULL;
    case HSM_CURVE_P256:
        return "P-256";
    case HSM_CURVE_P384:
        return "P-384";
    case HSM_CURVE_P521:
        return "P-521";
    }
    return NULL;
}

/* The public key in software. */
static EVP_PKEY *soft_from_info(struct prov_ctx *prov,
                                const struct hsm_key_info *i)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    EVP_PKEY *pkey = NULL;
    BIGNUM *n = NULL, *e = NULL;
    int ok = bld != NULL;

    if (i->type == HSM_KEY_RSA) {
        n = BN_bin2bn(i->a, (int)i->a_len, NULL);
        e = BN_bin2bn(i->b, (int)i->b_len, NULL);
        ok = ok && n != NULL && e != NULL
             && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n)
             && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e);
    } else {
        if (i->type == HSM_KEY_EC)
            ok = ok
                 && OSSL_PARAM_BLD_push_utf8_string(
                     bld, OSSL_PKEY_PARAM_GROUP_NAME, group_name(i->curve), 0);
        ok = ok
             && OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY,
                                                 i->a, i->a_len);
    }
    if (!ok || (params = OSSL_PARAM_BLD_to_param(bld)) == NULL)
        goto out;
    ctx = EVP_PKEY_CTX_new_from_name(prov->soft, prov_key_type_name(i->type),
                                     NULL);
    if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0
        || EVP_PKEY_fromdata(ctx, &pkey, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        pkey = NULL;
out:
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(bld);
    BN_free(n);
    BN_free(e);
    return pkey;
}

struct prov_key *prov_key_new(struct prov_ctx *prov, enum hsm_key_type type)
{
    struct prov_key *key = calloc(1, sizeof(*key));

    if (key == NULL) {
        prov_raise(prov, PROV_E_MEMORY, "for a key");
        return NULL;
    }
    atomic_init(&key->refs, 1);
    key->prov = prov;
    key->type = type;
    return key;
}

struct prov_key *prov_key_from_hsm(struct prov_ctx *prov, struct hsm_key *hsm)
{
    struct prov_key *key = prov_key_new(prov, hsm_key_info(hsm)->type);

    if (key == NULL)
        return NULL;
    if ((key->soft = soft_from_info(prov, hsm_key_info(hsm))) == NULL) {
        prov_raise(prov, PROV_E_KEY, "%s", prov_key_type_name(key->type));
        free(key);
        return NULL;
    }
    if (hsm_key_info(hsm)->is_private)
        key->hsm = hsm_key_ref(hsm);
    return key;
}

struct prov_key *prov_key_ref(struct prov_key *key)
{
    atomic_fetch_add(&key->refs, 1);
    return key;
}

void prov_key_free(struct prov_key *key)
{
    if (key == NULL || atomic_fetch_sub(&key->refs, 1) != 1)
        return;
    EVP_PKEY_free(key->soft);
    hsm_key_free(key->hsm);
    free(key);
}

int prov_key_give(struct prov_ctx *prov, struct hsm_key *hsm, OSSL_CALLBACK *cb,
                  void *arg)
{
    struct prov_key *key = prov_key_from_hsm(prov, hsm);
    int type = OSSL_OBJECT_PKEY, ok;
    char *name;

    if (key == NULL)
        return 0;
    name = (char *)(uintptr_t)prov_key_type_name(key->type);
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_utf8_string(OSSL_OBJECT_PARAM_DATA_TYPE, name, strlen(name)),
        OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_REFERENCE, &key, sizeof(key)),
        OSSL_PARAM_END,
    };
    ok = cb(params, arg);
    prov_key_free(key); /* keymgmt's load took it and left NULL, or not */
    return ok;
}
