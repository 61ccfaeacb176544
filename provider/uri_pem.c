/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A private key in a file, for programs that take nothing else: its URI, as
 * PEM with the label "PKCS#11 PROVIDER URI", in the form that other PKCS#11
 * providers have given to it:
 *
 *     SEQUENCE { VisibleString "PKCS#11 Provider URI v1.0", UTF8String uri }
 *
 * Encoders write such blocks and text, decoders read them.
 */
#include "prov.h"

#include <openssl/asn1t.h>
#include <openssl/bio.h>
#include <openssl/core_object.h>
#include <openssl/encoder.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <string.h>

#define LABEL       "PKCS#11 PROVIDER URI"
#define DESCRIPTION "PKCS#11 Provider URI v1.0"

typedef struct {
    ASN1_VISIBLESTRING *description;
    ASN1_UTF8STRING *uri;
} PROV_URI;

ASN1_SEQUENCE(PROV_URI) = {
    ASN1_SIMPLE(PROV_URI, description, ASN1_VISIBLESTRING),
    ASN1_SIMPLE(PROV_URI, uri, ASN1_UTF8STRING),
} static_ASN1_SEQUENCE_END(PROV_URI)

static OSSL_FUNC_encoder_newctx_fn coder_new;
static OSSL_FUNC_encoder_freectx_fn coder_free;
static OSSL_FUNC_encoder_does_selection_fn private_only, private_or_all;
static OSSL_FUNC_encoder_encode_fn pem_encode, text_encode;
static OSSL_FUNC_decoder_decode_fn pem_decode;
static OSSL_FUNC_decoder_decode_fn rsa_decode, ec_decode, ed25519_decode,
    ed448_decode, x25519_decode;

/* The provider is all the context there is. */
static void *coder_new(void *vprov)
{
    return vprov;
}

static void coder_free(void *vprov)
{
    (void)vprov;
}

/* ---- encoders, of keys in the token ---- */

static int private_only(void *vprov, int selection)
{
    (void)vprov;
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

static unsigned char *uri_der(const char *uri, int *len)
{
    PROV_URI *u = (PROV_URI *)ASN1_item_new(ASN1_ITEM_rptr(PROV_URI));
    unsigned char *der = NULL;

    if (u == NULL
        || !ASN1_STRING_set(u->description, DESCRIPTION,
                            (int)strlen(DESCRIPTION))
        || !ASN1_STRING_set(u->uri, uri, (int)strlen(uri))
        || (*len =
                ASN1_item_i2d((ASN1_VALUE *)u, &der, ASN1_ITEM_rptr(PROV_URI)))
               <= 0)
        der = NULL;
    ASN1_item_free((ASN1_VALUE *)u, ASN1_ITEM_rptr(PROV_URI));
    return der;
}

static char *uri_of(const struct prov_key *key, const OSSL_PARAM abstract[])
{
    return key != NULL && abstract == NULL && key->hsm != NULL
               ? hsm_key_uri(key->hsm)
               : NULL;
}

/* A software key, where we are asked before the default provider. */
static int soft_encode(const struct prov_ctx *prov, OSSL_CORE_BIO *cout,
                       const struct prov_key *key, int selection,
                       const char *type, const char *structure)
{
    OSSL_ENCODER_CTX *ctx = OSSL_ENCODER_CTX_new_for_pkey(
        key->soft, selection, type, structure, NULL);
    BIO *out = BIO_new_from_core_bio(prov->soft, cout);
    int ok = ctx != NULL && out != NULL && OSSL_ENCODER_to_bio(ctx, out);

    BIO_free(out);
    OSSL_ENCODER_CTX_free(ctx);
    return ok;
}

static int pem_encode(void *vprov, OSSL_CORE_BIO *cout, const void *vkey,
                      const OSSL_PARAM abstract[], int selection,
                      OSSL_PASSPHRASE_CALLBACK *cb, void *arg)
{
    const struct prov_ctx *prov = vprov;
    const struct prov_key *key = vkey;
    char *uri = uri_of(key, abstract);
    int len = 0, ok;
    unsigned char *der = uri != NULL ? uri_der(uri, &len) : NULL;
    BIO *out = der != NULL ? BIO_new_from_core_bio(prov->soft, cout) : NULL;

    if (key != NULL && key->hsm == NULL)
        ok = soft_encode(prov, cout, key, selection, "PEM", "PrivateKeyInfo");
    else
        ok = out != NULL && PEM_write_bio(out, LABEL, "", der, len) > 0;
    (void)cb;
    (void)arg;
    BIO_free(out);
    OPENSSL_free(der);
    OPENSSL_free(uri);
    return ok;
}

static int text_encode(void *vprov, OSSL_CORE_BIO *cout, const void *vkey,
                       const OSSL_PARAM abstract[], int selection,
                       OSSL_PASSPHRASE_CALLBACK *cb, void *arg)
{
    const struct prov_ctx *prov = vprov;
    const struct prov_key *key = vkey;
    char *uri = uri_of(key, abstract);
    BIO *out = uri != NULL ? BIO_new_from_core_bio(prov->soft, cout) : NULL;
    int ok;

    if (key != NULL && key->hsm == NULL)
        ok = soft_encode(prov, cout, key, selection, "TEXT", NULL);
    else
        ok = out != NULL
             && BIO_printf(out, "Key in a PKCS#11 token:\n    %s\n", uri) > 0
             && EVP_PKEY_print_public(out, key->soft, 0, NULL) > 0;
    (void)cb;
    (void)arg;
    BIO_free(out);
    OPENSSL_free(uri);
    return ok;
}

const OSSL_DISPATCH prov_pem_encoder_functions[] = {
    { OSSL_FUNC_ENCODER_NEWCTX, (void (*)(void))coder_new },
    { OSSL_FUNC_ENCODER_FREECTX, (void (*)(void))coder_free },
    { OSSL_FUNC_ENCODER_DOES_SELECTION, (void (*)(void))private_only },
    { OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))pem_encode },
    { 0, NULL },
};

const OSSL_DISPATCH prov_text_encoder_functions[] = {
    { OSSL_FUNC_ENCODER_NEWCTX, (void (*)(void))coder_new },
    { OSSL_FUNC_ENCODER_FREECTX, (void (*)(void))coder_free },
    { OSSL_FUNC_ENCODER_DOES_SELECTION, (void (*)(void))private_only },
    { OSSL_FUNC_ENCODER_ENCODE, (void (*)(void))text_encode },
    { 0, NULL },
};

/* ---- decoders: what is not ours is passed over, which is a success ---- */

static int private_or_all(void *vprov, int selection)
{
    (void)vprov;
    return selection == 0 || (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0;
}

static int pem_decode(void *vprov, OSSL_CORE_BIO *cin, int selection,
                      OSSL_CALLBACK *cb, void *arg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    const struct prov_ctx *prov = vprov;
    BIO *in = BIO_new_from_core_bio(prov->soft, cin);
    char *label = NULL, *header = NULL;
    unsigned char *der = NULL;
    long len = 0;
    int ok = 1;

    (void)selection;
    (void)pw_cb;
    (void)pw_arg;
    ERR_set_mark();
    if (in != NULL && PEM_read_bio(in, &label, &header, &der, &len)
        && strcmp(label, LABEL) == 0) {
        OSSL_PARAM params[] = {
            OSSL_PARAM_octet_string(OSSL_OBJECT_PARAM_DATA, der, (size_t)len),
            OSSL_PARAM_END,
        };

        ERR_pop_to_mark();
        ok = cb(params, arg);
    } else {
        ERR_pop_to_mark();
    }
    OPENSSL_free(label);
    OPENSSL_free(header);
    OPENSSL_free(der);
    BIO_free(in);
    return ok;
}

/* The URI in a DER of ours, which is all there is to be; or NULL. */
static char *uri_read(const struct prov_ctx *prov, OSSL_CORE_BIO *cin)
{
    BIO *in = BIO_new_from_core_bio(prov->soft, cin);
    PROV_URI *u;
    char *uri = NULL;

    ERR_set_mark();
    u = in != NULL
            ? (PROV_URI *)ASN1_item_d2i_bio(ASN1_ITEM_rptr(PROV_URI), in, NULL)
            : NULL;
    ERR_pop_to_mark();
    if (u != NULL && ASN1_STRING_length(u->description) == strlen(DESCRIPTION)
        && memcmp(ASN1_STRING_get0_data(u->description), DESCRIPTION,
                  strlen(DESCRIPTION))
               == 0
        && memchr(ASN1_STRING_get0_data(u->uri), '\0',
                  (size_t)ASN1_STRING_length(u->uri))
               == NULL)
        uri = OPENSSL_strndup((const char *)ASN1_STRING_get0_data(u->uri),
                              (size_t)ASN1_STRING_length(u->uri));
    ASN1_item_free((ASN1_VALUE *)u, ASN1_ITEM_rptr(PROV_URI));
    BIO_free(in);
    return uri;
}

/* Hand the private key over, if it is of this type. */
static int der_decode(struct prov_ctx *prov, enum hsm_key_type type,
                      OSSL_CORE_BIO *cin, OSSL_CALLBACK *cb, void *arg,
                      OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg)
{
    char *uri = uri_read(prov, cin);
    struct hsm_object *objs = NULL;
    size_t n = 0;
    enum hsm_status st;
    int ok = 1;

    if (uri == NULL)
        return 1;
    st = prov_find(prov, uri, HSM_PRIVATE, pw_cb, pw_arg, &objs, &n);
    if (st != HSM_OK)
        prov_raise_hsm(prov, st);
    else if (n > 1)
        prov_raise(prov, PROV_E_PARAM, "%zu keys match %s", n, uri);
    else if (hsm_key_info(objs[0].key)->type == type)
        ok = prov_key_give(prov, objs[0].key, cb, arg);
    hsm_objects_free(objs, n);
    OPENSSL_free(uri);
    return ok;
}

#define DECODE_ARGS                                                    \
    void *vprov, OSSL_CORE_BIO *cin, int selection, OSSL_CALLBACK *cb, \
        void *arg, OSSL_PASSPHRASE_CALLBACK *pw_cb, void *pw_arg

static int rsa_decode(DECODE_ARGS)
{
    (void)selection;
    return der_decode(vprov, HSM_KEY_RSA, cin, cb, arg, pw_cb, pw_arg);
}

static int ec_decode(DECODE_ARGS)
{
    (void)selection;
    return der_decode(vprov, HSM_KEY_EC, cin, cb, arg, pw_cb, pw_arg);
}

static int ed25519_decode(DECODE_ARGS)
{
    (void)selection;
    return der_decode(vprov, HSM_KEY_ED25519, cin, cb, arg, pw_cb, pw_arg);
}

static int ed448_decode(DECODE_ARGS)
{
    (void)selection;
    return der_decode(vprov, HSM_KEY_ED448, cin, cb, arg, pw_cb, pw_arg);
}

static int x25519_decode(DECODE_ARGS)
{
    (void)selection;
    return der_decode(vprov, HSM_KEY_X25519, cin, cb, arg, pw_cb, pw_arg);
}

const OSSL_DISPATCH prov_pem_decoder_functions[] = {
    { OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))coder_new },
    { OSSL_FUNC_DECODER_FREECTX, (void (*)(void))coder_free },
    { OSSL_FUNC_DECODER_DECODE, (void (*)(void))pem_decode },
    { 0, NULL },
};

#define DER_DECODER(decode)                                            \
    {                                                                  \
        { OSSL_FUNC_DECODER_NEWCTX, (void (*)(void))coder_new },       \
            { OSSL_FUNC_DECODER_FREECTX, (void (*)(void))coder_free }, \
            { OSSL_FUNC_DECODER_DOES_SELECTION,                        \
              (void (*)(void))private_or_all },                        \
            { OSSL_FUNC_DECODER_DECODE, (void (*)(void))(decode) },    \
            { 0, NULL },                                               \
    }

const OSSL_DISPATCH prov_rsa_decoder_functions[] = DER_DECODER(rsa_decode);
const OSSL_DISPATCH prov_ec_decoder_functions[] = DER_DECODER(ec_decode);
const OSSL_DISPATCH prov_ed25519_decoder_functions[] =
    DER_DECODER(ed25519_decode);
const OSSL_DISPATCH prov_ed448_decoder_functions[] = DER_DECODER(ed448_decode);
const OSSL_DISPATCH prov_x25519_decoder_functions[] =
    DER_DECODER(x25519_decode);
