/* SPDX-License-Identifier: Apache-2.0 */
/* See token.h: keys, certificates, signatures and the error queue. */
#include "token.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/store.h>
#include <string.h>

const unsigned char message[] = "The quick brown fox jumps over the lazy dog";

EVP_PKEY *key_generate(OSSL_LIB_CTX *ctx, const struct kind *k, const char *uri)
{
    EVP_PKEY_CTX *gen =
        EVP_PKEY_CTX_new_from_name(ctx, k->type, "provider=sealed");
    OSSL_PARAM params[3] = { OSSL_PARAM_END, OSSL_PARAM_END, OSSL_PARAM_END };
    EVP_PKEY *key = NULL;

    params[0] = OSSL_PARAM_construct_utf8_string("pkcs11_uri",
                                                 (char *)(uintptr_t)uri, 0);
    if (k->group != NULL)
        params[1] = OSSL_PARAM_construct_utf8_string(
            OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)k->group, 0);
    if (gen == NULL || EVP_PKEY_keygen_init(gen) <= 0
        || EVP_PKEY_CTX_set_params(gen, params) <= 0
        || EVP_PKEY_generate(gen, &key) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(gen);
    return key;
}

static OSSL_STORE_INFO *find(OSSL_LIB_CTX *ctx, const char *uri, int expect)
{
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(uri, ctx, NULL, NULL, NULL, NULL, NULL, NULL);
    OSSL_STORE_INFO *info = NULL;

    if (store != NULL && OSSL_STORE_expect(store, expect))
        info = OSSL_STORE_load(store);
    OSSL_STORE_close(store);
    return info;
}

EVP_PKEY *key_find(OSSL_LIB_CTX *ctx, const char *uri, int expect)
{
    OSSL_STORE_INFO *info = find(ctx, uri, expect);
    EVP_PKEY *key = NULL;

    if (info != NULL && OSSL_STORE_INFO_get_type(info) == expect)
        key = expect == OSSL_STORE_INFO_PKEY
                  ? OSSL_STORE_INFO_get1_PKEY(info)
                  : OSSL_STORE_INFO_get1_PUBKEY(info);
    OSSL_STORE_INFO_free(info);
    return key;
}

X509 *cert_find(OSSL_LIB_CTX *ctx, const char *uri)
{
    OSSL_STORE_INFO *info = find(ctx, uri, OSSL_STORE_INFO_CERT);
    X509 *x = info != NULL ? OSSL_STORE_INFO_get1_CERT(info) : NULL;

    OSSL_STORE_INFO_free(info);
    return x;
}

EVP_PKEY *key_public(const EVP_PKEY *key, OSSL_LIB_CTX *ctx)
{
    OSSL_PARAM *params = NULL;
    EVP_PKEY_CTX *from = EVP_PKEY_CTX_new_from_name(
        ctx, EVP_PKEY_get0_type_name(key), "provider=default");
    EVP_PKEY *pub = NULL;

    if (from == NULL || !EVP_PKEY_todata(key, EVP_PKEY_PUBLIC_KEY, &params)
        || EVP_PKEY_fromdata_init(from) <= 0
        || EVP_PKEY_fromdata(from, &pub, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        pub = NULL;
    OSSL_PARAM_free(params);
    EVP_PKEY_CTX_free(from);
    return pub;
}

X509 *cert_make(OSSL_LIB_CTX *ctx, EVP_PKEY *key, const char *md_name)
{
    EVP_MD *md = md_name != NULL ? EVP_MD_fetch(ctx, md_name, NULL) : NULL;
    X509 *x = X509_new_ex(ctx, NULL);
    X509_NAME *name = X509_NAME_new();
    bool ok =
        x != NULL && name != NULL && (md != NULL || md_name == NULL)
        && X509_set_version(x, X509_VERSION_3)
        && ASN1_INTEGER_set(X509_get_serialNumber(x), 1)
        && X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                                      (const unsigned char *)"token", -1, -1, 0)
        && X509_set_subject_name(x, name) && X509_set_issuer_name(x, name)
        && X509_gmtime_adj(X509_getm_notBefore(x), -60)
        && X509_gmtime_adj(X509_getm_notAfter(x), 3600)
        && X509_set_pubkey(x, key) && X509_sign(x, key, md) > 0;

    EVP_MD_free(md);
    X509_NAME_free(name);
    if (!ok) {
        X509_free(x);
        return NULL;
    }
    return x;
}

X509 *cert_copy(const X509 *x, OSSL_LIB_CTX *ctx)
{
    unsigned char *der = NULL;
    const unsigned char *p;
    int len = i2d_X509(x, &der);
    X509 *copy = X509_new_ex(ctx, NULL);

    p = der;
    if (len <= 0 || copy == NULL || d2i_X509(&copy, &p, len) == NULL)
        copy = NULL; /* d2i has freed it */
    OPENSSL_free(der);
    return copy;
}

bool sign_message(OSSL_LIB_CTX *ctx, EVP_PKEY *key, const char *md,
                  const char *propq, unsigned char *sig, size_t *len)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c != NULL
              && EVP_DigestSignInit_ex(c, NULL, md, ctx, propq, key, NULL) > 0
              && EVP_DigestSign(c, sig, len, message, MESSAGE_LEN) > 0;

    EVP_MD_CTX_free(c);
    return ok;
}

bool verify_message(OSSL_LIB_CTX *ctx, EVP_PKEY *pub, const char *md,
                    const unsigned char *sig, size_t len)
{
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    bool ok = c != NULL
              && EVP_DigestVerifyInit_ex(c, NULL, md, ctx, NULL, pub, NULL) > 0
              && EVP_DigestVerify(c, sig, len, message, MESSAGE_LEN) == 1;

    EVP_MD_CTX_free(c);
    return ok;
}

bool queue_had(const char *text)
{
    const char *data = NULL, *reason;
    bool found = false;
    unsigned long e;
    int flags = 0;

    while ((e = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        reason = ERR_reason_error_string(e);
        if ((reason != NULL && strstr(reason, text) != NULL)
            || ((flags & ERR_TXT_STRING) != 0 && strstr(data, text) != NULL))
            found = true;
    }
    return found;
}
