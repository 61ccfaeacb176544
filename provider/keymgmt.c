/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key management: one set of functions for all types, since all that differs
 * is left to the default provider's key of the same type.
 */
#include "prov.h"

#include <openssl/err.h>
#include <openssl/rsa.h>
#include <stdlib.h>
#include <string.h>

static OSSL_FUNC_keymgmt_new_fn rsa_new, ec_new, ed25519_new, ed448_new,
    x25519_new;
static OSSL_FUNC_keymgmt_free_fn key_free;
static OSSL_FUNC_keymgmt_load_fn key_load;
static OSSL_FUNC_keymgmt_dup_fn key_dup;
static OSSL_FUNC_keymgmt_has_fn key_has;
static OSSL_FUNC_keymgmt_match_fn key_match;
static OSSL_FUNC_keymgmt_validate_fn key_validate;
static OSSL_FUNC_keymgmt_get_params_fn key_get_params;
static OSSL_FUNC_keymgmt_set_params_fn key_set_params;
static OSSL_FUNC_keymgmt_settable_params_fn key_settable_params;
static OSSL_FUNC_keymgmt_gettable_params_fn key_gettable_params;
static OSSL_FUNC_keymgmt_import_fn key_import;
static OSSL_FUNC_keymgmt_export_fn key_export;
static OSSL_FUNC_keymgmt_import_types_fn key_types;
static OSSL_FUNC_keymgmt_query_operation_name_fn ec_query_operation_name;

static void *rsa_new(void *vprov)
{
    return prov_key_new(vprov, HSM_KEY_RSA);
}

static void *ec_new(void *vprov)
{
    return prov_key_new(vprov, HSM_KEY_EC);
}

static void *ed25519_new(void *vprov)
{
    return prov_key_new(vprov, HSM_KEY_ED25519);
}

static void *ed448_new(void *vprov)
{
    return prov_key_new(vprov, HSM_KEY_ED448);
}

static void *x25519_new(void *vprov)
{
    return prov_key_new(vprov, HSM_KEY_X25519);
}

static void key_free(void *vkey)
{
    prov_key_free(vkey);
}

/* The reference is a pointer that the store made; it becomes the caller's. */
static void *key_load(const void *ref, size_t ref_len)
{
    struct prov_key *key;

    if (ref == NULL || ref_len != sizeof(key))
        return NULL;
    memcpy(&key, ref, sizeof(key));
    memset((void *)(uintptr_t)ref, 0, ref_len);
    return key;
}

/*
 * A key of the token does not change, so a reference does; but software keys
 * do, and CMS makes the peer of a key out of its parameters.
 */
static void *key_dup(const void *vkey, int selection)
{
    const struct prov_key *key = vkey;
    bool all = (selection & OSSL_KEYMGMT_SELECT_KEYPAIR) != 0;
    struct prov_key *copy;

    if (key->hsm != NULL && all)
        return prov_key_ref((struct prov_key *)(uintptr_t)key);
    if ((copy = prov_key_new(key->prov, key->type)) == NULL)
        return NULL;
    if (key->soft != NULL && all)
        copy->soft = EVP_PKEY_dup(key->soft);
    else if (key->soft != NULL && (copy->soft = EVP_PKEY_new()) != NULL
             && EVP_PKEY_copy_parameters(copy->soft, key->soft) != 1) {
        EVP_PKEY_free(copy->soft);
        copy->soft = NULL;
    }
    copy->soft_private = all && key->soft_private;
    if (key->soft != NULL && copy->soft == NULL) {
        prov_key_free(copy);
        return NULL;
    }
    return copy;
}

static const OSSL_PARAM *key_settable_params(void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vprov;
    return table;
}

static int key_set_params(void *vkey, const OSSL_PARAM params[])
{
    struct prov_key *key = vkey;

    if (params == NULL)
        return 1;
    if (key->soft == NULL
        || (key->hsm != NULL
            && OSSL_PARAM_locate_const(params,
                                       OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY))) {
        prov_raise(key->prov, PROV_E_DENIED, "a key of the token is as it is");
        return 0;
    }
    /* The rest is how a key is written, and ours have one way. */
    return key->hsm != NULL
           || EVP_PKEY_set_params(key->soft, (OSSL_PARAM *)(uintptr_t)params);
}

static int key_has(const void *vkey, int selection)
{
    const struct prov_key *key = vkey;

    if (key == NULL)
        return 0;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && key->hsm == NULL
        && !key->soft_private)
        return 0;
    if (!(selection & OSSL_KEYMGMT_SELECT_PUBLIC_KEY))
        return 1;
    /* A curve alone is a key to OpenSSL, too. */
    return key->soft != NULL
           && (key->type != HSM_KEY_EC
               || EVP_PKEY_get_octet_string_param(
                   key->soft, OSSL_PKEY_PARAM_PUB_KEY, NULL, 0, NULL));
}

static int key_match(const void *va, const void *vb, int selection)
{
    const struct prov_key *a = va, *b = vb;

    if (a->soft == NULL || b->soft == NULL)
        return 0;
    /* Equal public parts mean equal everything. */
    return (selection & OSSL_KEYMGMT_SELECT_KEYPAIR
                ? EVP_PKEY_eq(a->soft, b->soft)
                : EVP_PKEY_parameters_eq(a->soft, b->soft))
           == 1;
}

static int key_validate(const void *vkey, int selection, int check)
{
    const struct prov_key *key = vkey;
    EVP_PKEY_CTX *ctx;
    int ok;

    if (key->soft == NULL || !key_has(key, selection)
        || (ctx = EVP_PKEY_CTX_new_from_pkey(key->prov->soft, key->soft, NULL))
               == NULL)
        return 0;
    if (!(selection & OSSL_KEYMGMT_SELECT_KEYPAIR))
        ok = check == OSSL_KEYMGMT_VALIDATE_QUICK_CHECK
                 ? EVP_PKEY_param_check_quick(ctx)
                 : EVP_PKEY_param_check(ctx);
    else if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) && key->soft_private)
        ok = EVP_PKEY_check(ctx);
    else
        ok = check == OSSL_KEYMGMT_VALIDATE_QUICK_CHECK
                 ? EVP_PKEY_public_check_quick(ctx)
                 : EVP_PKEY_public_check(ctx);
    EVP_PKEY_CTX_free(ctx);
    return ok == 1;
}

static int key_get_params(void *vkey, OSSL_PARAM params[])
{
    const struct prov_key *key = vkey;

    return key->soft != NULL && EVP_PKEY_get_params(key->soft, params);
}

static const OSSL_PARAM *key_gettable_params(void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_ENCODED_PUBLIC_KEY, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_X, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_EC_PUB_Y, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_END,
    };

    (void)vprov;
    return table;
}

static int key_import(void *vkey, int selection, const OSSL_PARAM params[])
{
    struct prov_key *key = vkey;
    EVP_PKEY_CTX *ctx;
    int ok;

    if (key->soft != NULL)
        return 0;
    ctx = EVP_PKEY_CTX_new_from_name(key->prov->soft,
                                     prov_key_type_name(key->type), NULL);
    ok = ctx != NULL && EVP_PKEY_fromdata_init(ctx) > 0
         && EVP_PKEY_fromdata(ctx, &key->soft, selection,
                              (OSSL_PARAM *)(uintptr_t)params)
                > 0;
    EVP_PKEY_CTX_free(ctx);
    if (ok)
        key->soft_private =
            (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)
            && (OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_PRIV_KEY)
                || OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_RSA_D));
    return ok;
}

/*
 * Refusing here what can't be exported is what makes OpenSSL come to our
 * signatures with a token's key, rather than to the default provider's with
 * a public key that can't sign.
 */
static int key_export(void *vkey, int selection, OSSL_CALLBACK *cb, void *arg)
{
    struct prov_key *key = vkey;

    if (key->soft == NULL
        || (key->hsm != NULL && (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY)))
        return 0;
    return EVP_PKEY_export(key->soft, selection, cb, arg);
}

static const OSSL_PARAM *key_types(int selection)
{
    (void)selection;
    return key_gettable_params(NULL) + 5; /* from the group name on */
}

static const char *ec_query_operation_name(int op)
{
    switch (op) {
    case OSSL_OP_SIGNATURE:
        return "ECDSA";
    case OSSL_OP_KEYEXCH:
        return "ECDH";
    default:
        return NULL;
    }
}

#define KEYMGMT_COMMON                                                    \
    { OSSL_FUNC_KEYMGMT_FREE, (void (*)(void))key_free },                 \
        { OSSL_FUNC_KEYMGMT_LOAD, (void (*)(void))key_load },             \
        { OSSL_FUNC_KEYMGMT_DUP, (void (*)(void))key_dup },               \
        { OSSL_FUNC_KEYMGMT_HAS, (void (*)(void))key_has },               \
        { OSSL_FUNC_KEYMGMT_MATCH, (void (*)(void))key_match },           \
        { OSSL_FUNC_KEYMGMT_VALIDATE, (void (*)(void))key_validate },     \
        { OSSL_FUNC_KEYMGMT_GET_PARAMS, (void (*)(void))key_get_params }, \
        { OSSL_FUNC_KEYMGMT_GETTABLE_PARAMS,                              \
          (void (*)(void))key_gettable_params },                          \
        { OSSL_FUNC_KEYMGMT_SET_PARAMS, (void (*)(void))key_set_params }, \
        { OSSL_FUNC_KEYMGMT_SETTABLE_PARAMS,                              \
          (void (*)(void))key_settable_params },                          \
        { OSSL_FUNC_KEYMGMT_IMPORT, (void (*)(void))key_import },         \
        { OSSL_FUNC_KEYMGMT_IMPORT_TYPES, (void (*)(void))key_types },    \
        { OSSL_FUNC_KEYMGMT_EXPORT, (void (*)(void))key_export },         \
        { OSSL_FUNC_KEYMGMT_EXPORT_TYPES, (void (*)(void))key_types },    \
        { OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE,                             \
          (void (*)(void))prov_gen_set_template },                        \
        { OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS,                               \
          (void (*)(void))prov_gen_set_params },                          \
        { OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS,                          \
          (void (*)(void))prov_gen_settable_params },                     \
        { OSSL_FUNC_KEYMGMT_GEN, (void (*)(void))prov_gen },              \
    {                                                                     \
        OSSL_FUNC_KEYMGMT_GEN_CLEANUP, (void (*)(void))prov_gen_cleanup   \
    }

const OSSL_DISPATCH prov_rsa_keymgmt_functions[] = {
    { OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))rsa_new },
    { OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))prov_rsa_gen_init },
    KEYMGMT_COMMON,
    { 0, NULL },
};

const OSSL_DISPATCH prov_ec_keymgmt_functions[] = {
    { OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))ec_new },
    { OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))prov_ec_gen_init },
    { OSSL_FUNC_KEYMGMT_QUERY_OPERATION_NAME,
      (void (*)(void))ec_query_operation_name },
    KEYMGMT_COMMON,
    { 0, NULL },
};

const OSSL_DISPATCH prov_ed25519_keymgmt_functions[] = {
    { OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))ed25519_new },
    { OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))prov_ed25519_gen_init },
    KEYMGMT_COMMON,
    { 0, NULL },
};

const OSSL_DISPATCH prov_ed448_keymgmt_functions[] = {
    { OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))ed448_new },
    { OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))prov_ed448_gen_init },
    KEYMGMT_COMMON,
    { 0, NULL },
};

const OSSL_DISPATCH prov_x25519_keymgmt_functions[] = {
    { OSSL_FUNC_KEYMGMT_NEW, (void (*)(void))x25519_new },
    { OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))prov_x25519_gen_init },
    KEYMGMT_COMMON,
    { 0, NULL },
};
