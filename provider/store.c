/* SPDX-License-Identifier: Apache-2.0 */
/*
 * OSSL_STORE loader of `pkcs11:` URIs.
 */
#include "prov.h"

#include <openssl/core_object.h>
#include <openssl/store.h>
#include <stdlib.h>
#include <string.h>

struct prov_store {
    struct prov_ctx *prov;
    char *uri;
    int expect; /* OSSL_STORE_INFO_...; 0: anything */
    struct hsm_object *objs;
    size_t n, next;
    bool searched, end;
};

static OSSL_FUNC_store_open_fn store_open;
static OSSL_FUNC_store_settable_ctx_params_fn store_settable_ctx_params;
static OSSL_FUNC_store_set_ctx_params_fn store_set_ctx_params;
static OSSL_FUNC_store_load_fn store_load;
static OSSL_FUNC_store_eof_fn store_eof;
static OSSL_FUNC_store_close_fn store_close;
static OSSL_FUNC_store_export_object_fn store_export_object;

static void *store_open(void *vprov, const char *uri)
{
    struct prov_store *s;

    if (strncmp(uri, "pkcs11:", 7) != 0 || (s = calloc(1, sizeof(*s))) == NULL)
        return NULL;
    s->prov = vprov;
    if ((s->uri = strdup(uri)) == NULL) {
        free(s);
        return NULL;
    }
    return s;
}

static const OSSL_PARAM *store_settable_ctx_params(void *vprov)
{
    static const OSSL_PARAM table[] = {
        OSSL_PARAM_int(OSSL_STORE_PARAM_EXPECT, NULL),
        OSSL_PARAM_END,
    };

    (void)vprov;
    return table;
}

static int store_set_ctx_params(void *vs, const OSSL_PARAM params[])
{
    struct prov_store *s = vs;
    const OSSL_PARAM *p;

    if (params == NULL)
        return 1;
    p = OSSL_PARAM_locate_const(params, OSSL_STORE_PARAM_EXPECT);
    return p == NULL || OSSL_PARAM_get_int(p, &s->expect);
}

static unsigned classes_of(int expect)
{
    switch (expect) {
    case 0:
        return HSM_PRIVATE | HSM_PUBLIC | HSM_CERT;
    case OSSL_STORE_INFO_PKEY:
        return HSM_PRIVATE;
    case OSSL_STORE_INFO_PUBKEY:
        return HSM_PUBLIC;
    case OSSL_STORE_INFO_CERT:
        return HSM_CERT;
    default:
        return 0; /* parameters, CRLs: none in a token */
    }
}

/* Search at the first load, when `expect` is known. */
static bool search(struct prov_store *s, OSSL_PASSPHRASE_CALLBACK *cb,
                   void *arg)
{
    unsigned classes = classes_of(s->expect);
    enum hsm_status st;

    s->searched = true;
    s->end = true;
    if (classes == 0)
        return false;
    st = prov_find(s->prov, s->uri, classes, cb, arg, &s->objs, &s->n);
    if (st != HSM_OK) {
        prov_raise_hsm(s->prov, st);
        return false;
    }
    s->end = false;
    return true;
}

static int load_cert(const struct hsm_object *o, OSSL_CALLBACK *cb, void *arg)
{
    int type = OSSL_OBJECT_CERT;
    OSSL_PARAM params[] = {
        OSSL_PARAM_int(OSSL_OBJECT_PARAM_TYPE, &type),
        OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_DATA, o->der, o->der_len),
        OSSL_PARAM_END,
    };

    return cb(params, arg);
}

static int store_load(void *vs, OSSL_CALLBACK *cb, void *arg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    struct prov_store *s = vs;
    const struct hsm_object *o;

    if (!s->searched && !search(s, pw_cb, pw_arg))
        return 0;
    if (s->next >= s->n)
        return 0;
    o = &s->objs[s->next++];
    s->end = s->next >= s->n;
    return o->key != NULL ? prov_key_give(s->prov, o->key, cb, arg)
                          : load_cert(o, cb, arg);
}

static int store_eof(void *vs)
{
    struct prov_store *s = vs;

    return s->end;
}

static int store_close(void *vs)
{
    struct prov_store *s = vs;

    if (s == NULL)
        return 1;
    hsm_objects_free(s->objs, s->n);
    free(s->uri);
    free(s);
    return 1;
}

/*
 * A public key may go to the provider that the caller prefers.  Refusing a
 * private one makes OpenSSL load it into our own key management instead.
 */
static int store_export_object(void *vs, const void *ref, size_t ref_len,
                               OSSL_CALLBACK *cb, void *arg)
{
    const struct prov_key *key;

    (void)vs;
    if (ref == NULL || ref_len != sizeof(key))
        return 0;
    memcpy(&key, ref, sizeof(key));
    return key->hsm == NULL
           && EVP_PKEY_export(key->soft, EVP_PKEY_PUBLIC_KEY, cb, arg);
}

const OSSL_DISPATCH prov_store_functions[] = {
    { OSSL_FUNC_STORE_OPEN, (void (*)(void))store_open },
    { OSSL_FUNC_STORE_SETTABLE_CTX_PARAMS,
      (void (*)(void))store_settable_ctx_params },
    { OSSL_FUNC_STORE_SET_CTX_PARAMS, (void (*)(void))store_set_ctx_params },
    { OSSL_FUNC_STORE_LOAD, (void (*)(void))store_load },
    { OSSL_FUNC_STORE_EOF, (void (*)(void))store_eof },
    { OSSL_FUNC_STORE_CLOSE, (void (*)(void))store_close },
    { OSSL_FUNC_STORE_EXPORT_OBJECT, (void (*)(void))store_export_object },
    { 0, NULL },
};
