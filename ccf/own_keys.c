/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that a configuration names, and what is made of them: CA, JWK set,
 * where the CRL is.
 */
#include "ccf.h"

#include "jose.h"
#include "log.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

/*
 * Put a CA key with its certificate; takes over key.  That of the first key
 * becomes the first certificate: the issuer.
 */
static bool take_ca_key(struct ccf *ccf, EVP_PKEY *key, bool first)
{
    int n = sk_X509_num(ccf->ca_certs), at = 0;

    while (
        at < n
        && (key == NULL || at >= CCF_KEYS_MAX || ccf->ca_keys[at] != NULL
            || !X509_check_private_key(sk_X509_value(ccf->ca_certs, at), key)))
        at++;
    ERR_clear_error(); /* of certificates that the key is not of */
    if (at < n && first) {
        X509 *issuer = sk_X509_delete(ccf->ca_certs, at);

        at = 0;
        if (!sk_X509_unshift(ccf->ca_certs, issuer)) {
            X509_free(issuer);
            at = n;
        }
    }
    if (at < n)
        ccf->ca_keys[at] = key;
    else
        EVP_PKEY_free(key);
    return at < n;
}

static bool load_ca(struct ccf *ccf)
{
    EVP_PKEY *key;

    if ((ccf->ca_certs = capif_certs_load(ccf->ca_file)) == NULL) {
        capif_log_ssl("ca-unusable", "file", ccf->ca_file, NULL);
        return false;
    }
    for (size_t i = 0; ccf->ca_key_uris[i] != NULL; i++) {
        if ((key = capif_key_load(ccf->ca_key_uris[i])) == NULL
            || !take_ca_key(ccf, key, i == 0)) {
            capif_log_ssl("ca-unusable", "file", ccf->ca_file, "key",
                          ccf->ca_key_uris[i], NULL);
            return false;
        }
    }
    ccf->ca_key = ccf->ca_keys[0];
    return true;
}

X509 *ccf_issuer_of(const struct ccf *ccf, X509 *cert)
{
    for (int i = 0; i < sk_X509_num(ccf->ca_certs); i++) {
        X509 *ca = sk_X509_value(ccf->ca_certs, i);

        if (X509_check_issued(ca, cert) == X509_V_OK
            && X509_verify(cert, X509_get0_pubkey(ca)) == 1)
            return ca;
    }
    ERR_clear_error();
    return NULL;
}

/* Where our CRL is, and what it lists because the operator says so. */
static bool load_crl(struct ccf *ccf)
{
    char id[CAPIF_CA_ID];
    bool ok = true;

    if (!capif_ca_id(sk_X509_value(ccf->ca_certs, 0), id))
        return false;
    snprintf(ccf->crl_url, sizeof(ccf->crl_url), "%s/crl/%s/%s", ccf->url,
             ccf->ccf_id, id);
    if (ccf->revoked_file == NULL)
        return true;
    ccf->revoked = capif_certs_load(ccf->revoked_file);
    for (int i = 0; ok && i < sk_X509_num(ccf->revoked); i++)
        ok = ccf_issuer_of(ccf, sk_X509_value(ccf->revoked, i)) != NULL;
    if (ok && ccf->revoked != NULL)
        return true;
    capif_conf_complain(ccf->conf, "ccf", "revoked-certificates",
                        "no PEM file of certificates by this CA");
    return false;
}

/* The first key signs, all are published. */
static bool load_jws_key(struct ccf *ccf, const char *uri)
{
    EVP_PKEY *key = capif_key_load(uri);
    char kid[44];
    json_t *jwk = NULL;

    if (key == NULL || !capif_jwk_thumbprint(key, kid)
        || (jwk = capif_jwk(key, kid)) == NULL
        || json_array_append_new(json_object_get(ccf->jwks, "keys"), jwk)
               != 0) {
        capif_log_ssl("jws-key-unusable", "key", uri, NULL);
        EVP_PKEY_free(key);
        return false;
    }
    if (ccf->jws_key != NULL) {
        EVP_PKEY_free(key);
        return true;
    }
    ccf->jws_key = key;
    strcpy(ccf->kid, kid);
    return true;
}

bool ccf_keys_load(struct ccf *ccf)
{
    if (!capif_credentials_load(ccf->cert_file, ccf->key_uri, &ccf->cred)
        || !load_ca(ccf) || !load_crl(ccf)
        || (ccf->jwks = json_pack("{s:[]}", "keys")) == NULL)
        return false;
    for (const char *const *uri = ccf->jws_key_uris; *uri != NULL; uri++)
        if (!load_jws_key(ccf, *uri))
            return false;
    for (const char *const *uri = ccf->kek_uris; *uri != NULL; uri++) {
        if (!capif_kek_there(*uri)) {
            capif_log_ssl("kek-unusable", "kek", *uri, NULL);
            return false;
        }
    }
    ccf->kek_uri = ccf->kek_uris[0];
    return true;
}
