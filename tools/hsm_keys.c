/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif-hsm's commands that make keys in a token, or tell of them.
 */
#include "hsm_tool.h"

#include "jose.h"
#include "officer.h"
#include "tls.h"

#include <openssl/core_names.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- keygen ---- */

#define SIGN      "digitalSignature"
#define TRANSPORT "keyTransport"

static const struct {
    const char *option, *type, *group, *usage;
    size_t bits;
} key_types[] = {
    { "p256", "EC", "P-256", SIGN, 0 },
    { "p384", "EC", "P-384", SIGN, 0 },
    { "p521", "EC", "P-521", SIGN, 0 },
    { "ed25519", "ED25519", NULL, SIGN, 0 },
    { "rsa2048", "RSA", NULL, SIGN, 2048 },
    { "rsa3072", "RSA", NULL, SIGN, 3072 },
    { "rsa4096", "RSA", NULL, SIGN, 4096 },
    { "transport", "RSA", NULL, TRANSPORT, 3072 },
};

static EVP_PKEY *generate(const char *type, const char *group, size_t bits,
                          const char *usage, const char *uri)
{
    EVP_PKEY_CTX *ctx =
        EVP_PKEY_CTX_new_from_name(NULL, type, "provider=sealed");
    EVP_PKEY *key = NULL;
    OSSL_PARAM params[4], *p = params;

    *p++ = OSSL_PARAM_construct_utf8_string("pkcs11_uri",
                                            (char *)(uintptr_t)uri, 0);
    *p++ = OSSL_PARAM_construct_utf8_string("pkcs11_key_usage",
                                            (char *)(uintptr_t)usage, 0);
    if (group != NULL)
        *p++ = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                                                (char *)(uintptr_t)group, 0);
    else if (bits != 0)
        *p++ = OSSL_PARAM_construct_size_t(OSSL_PKEY_PARAM_RSA_BITS, &bits);
    *p = OSSL_PARAM_construct_end();
    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) <= 0
        || EVP_PKEY_CTX_set_params(ctx, params) <= 0
        || EVP_PKEY_generate(ctx, &key) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

EVP_PKEY *hsm_tool_generate(const char *type, const char *uri)
{
    for (size_t i = 0; i < sizeof(key_types) / sizeof(key_types[0]); i++)
        if (strcmp(key_types[i].option, type) == 0)
            return generate(key_types[i].type, key_types[i].group,
                            key_types[i].bits, key_types[i].usage, uri);
    return NULL;
}

int hsm_tool_keygen(struct options *o)
{
    const char *type = o->type != NULL ? o->type : "p256";

    if (o->n_args < 1) {
        fputs("error: keygen needs pkcs11: URIs\n", stderr);
        return 2;
    }
    for (size_t i = 0; i < sizeof(key_types) / sizeof(key_types[0]); i++) {
        if (strcmp(key_types[i].option, type) != 0)
            continue;
        for (int k = 0; k < o->n_args; k++) {
            EVP_PKEY *key = hsm_tool_generate(type, o->args[k]);

            if (key == NULL)
                return hsm_tool_fail(o->args[k]);
            EVP_PKEY_free(key);
        }
        return 0;
    }
    fprintf(stderr, "error: %s: unknown type of key\n", type);
    return 2;
}

/* ---- the security officer's ---- */

/* An agent's configuration names the module, or else the provider's. */
static bool officer(const struct options *o, struct officer *so)
{
    so->conf = o->conf;
    so->section =
        o->conf != NULL && capif_conf_get(o->conf, "hsmd", "listen") != NULL
            ? "hsmd"
            : "sealed_provider";
    so->pin_file = o->so_pin_file;
    if (o->conf != NULL && o->so_pin_file != NULL && o->n_args == 1)
        return true;
    fputs("error: --config, --so-pin-file and one URI are needed\n", stderr);
    return false;
}

int hsm_tool_kek(struct options *o)
{
    struct officer so;

    return officer(o, &so) ? officer_kek(&so, o->args[0]) : 2;
}

int hsm_tool_partner(struct options *o)
{
    STACK_OF(X509) * certs;
    struct officer so;
    int status;

    if (!officer(o, &so) || o->cert == NULL)
        return 2;
    if ((certs = capif_certs_load(o->cert)) == NULL)
        return hsm_tool_fail(o->cert);
    status = officer_partner(&so, o->args[0],
                             X509_get0_pubkey(sk_X509_value(certs, 0)));
    sk_X509_pop_free(certs, X509_free);
    return status;
}

/* ---- what there is ---- */

int hsm_tool_jwks(struct options *o)
{
    json_t *keys = json_array(), *set;
    char kid[44], *text;
    int status = 0;

    if (o->n_args < 1) {
        fputs("error: jwks needs URIs of keys\n", stderr);
        json_decref(keys);
        return 2;
    }

    for (int i = 0; status == 0 && i < o->n_args; i++) {
        EVP_PKEY *key = capif_key_load(o->args[i]);

        if (key == NULL || !capif_jwk_thumbprint(key, kid)
            || json_array_append_new(keys, capif_jwk(key, kid)) != 0)
            status = hsm_tool_fail(o->args[i]);
        EVP_PKEY_free(key);
    }
    set = json_pack("{s:o}", "keys", keys);
    text = json_dumps(set, JSON_INDENT(2));
    if (status == 0)
        status = text != NULL ? hsm_tool_write(o, text) : 1;
    free(text);
    json_decref(set);
    return status;
}

/* ---- keyfile ---- */

/* For programs that take nothing but files: the key's URI in PEM. */
int hsm_tool_keyfile(struct options *o)
{
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *key = NULL;
    char *pem = NULL;
    int status = 1;

    /* A key in a file would be written as it is. */
    if (o->n_args != 1 || strncmp(o->args[0], "pkcs11:", 7) != 0) {
        fputs("error: keyfile needs the URI of a private key\n", stderr);
        BIO_free(bio);
        return 2;
    }
    if ((key = capif_key_load(o->args[0])) == NULL || bio == NULL
        || !PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
        || BIO_write(bio, "", 1) != 1 || BIO_get_mem_data(bio, &pem) <= 0)
        status = hsm_tool_fail(o->args[0]);
    else
        status = hsm_tool_write(o, pem);
    EVP_PKEY_free(key);
    BIO_free(bio);
    return status;
}
