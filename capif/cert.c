/* SPDX-License-Identifier: Apache-2.0 */
#include "cert.h"

#include "cert_internal.h"
#include "jose.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URN "urn:capif:"

static const char *const role_names[] = {
    [CAPIF_NOBODY] = "nobody", [CAPIF_INVOKER] = "invoker", [CAPIF_AEF] = "aef",
    [CAPIF_APF] = "apf",       [CAPIF_AMF] = "amf",         [CAPIF_CCF] = "ccf",
};

const char *capif_role_name(enum capif_role role)
{
    return role_names[role];
}

bool capif_role_parse(const char *name, enum capif_role *role)
{
    for (enum capif_role r = CAPIF_INVOKER; r <= CAPIF_CCF; r++) {
        if (strcmp(role_names[r], name) == 0) {
            *role = r;
            return true;
        }
    }
    return false;
}

#define LOWER_DIGIT "abcdefghijklmnopqrstuvwxyz0123456789"

bool capif_id_ok(const char *id)
{
    size_t len = strlen(id);

    return len >= 1 && len <= CAPIF_ID_MAX
           && strspn(id, LOWER_DIGIT "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") == len;
}

bool capif_ccf_id_ok(const char *ccf_id)
{
    size_t len = strlen(ccf_id), labels = 0, n;

    if (len < 3 || len > CAPIF_CCF_ID_MAX)
        return false;
    for (const char *p = ccf_id;; p += n + 1) {
        n = strspn(p, LOWER_DIGIT "-");
        if (n < 1 || n > 63 || p[0] == '-' || p[n - 1] == '-')
            return false;
        labels++;
        if (p[n] == '\0')
            return labels >= 2;
        if (p[n] != '.')
            return false;
    }
}

static bool urn_parse(const char *urn, struct capif_identity *out)
{
    struct capif_identity who = { 0 };
    char text[600], *role, *id;

    if (strlen(urn) >= sizeof(text) || strncmp(urn, URN, strlen(URN)) != 0)
        return false;
    strcpy(text, urn + strlen(URN));
    if ((role = strchr(text, ':')) == NULL
        || (id = strchr(role + 1, ':')) == NULL)
        return false;
    *role++ = '\0';
    *id++ = '\0';
    if (!capif_ccf_id_ok(text) || !capif_role_parse(role, &who.role)
        || (who.role == CAPIF_CCF ? strcmp(id, text) != 0 : !capif_id_ok(id)))
        return false;
    strcpy(who.ccf_id, text);
    strcpy(who.id, id);
    *out = who;
    return true;
}

bool capif_cert_identity(const X509 *cert, struct capif_identity *out)
{
    GENERAL_NAMES *names =
        X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    struct capif_identity who;
    int found = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *n = sk_GENERAL_NAME_value(names, i);
        const char *s;

        if (n->type != GEN_URI)
            continue;
        s = (const char *)ASN1_STRING_get0_data(n->d.ia5);
        if (strncmp(s, URN, strlen(URN)) != 0)
            continue;
        found++;
        if (strlen(s) != (size_t)ASN1_STRING_length(n->d.ia5)
            || !urn_parse(s, &who))
            found = 2; /* malformed: as bad as two */
    }
    GENERAL_NAMES_free(names);
    if (found == 1)
        *out = who;
    return found == 1;
}

bool capif_cert_thumbprint(const X509 *cert, char out[44])
{
    uint8_t *der = NULL;
    int len = i2d_X509((X509 *)(uintptr_t)cert, &der);
    bool ok = len > 0 && capif_sha256_b64url(der, (size_t)len, out);

    OPENSSL_free(der);
    return ok;
}

X509_REQ *capif_csr_parse(const char *pem, const char **why)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_REQ *req = PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL);
    EVP_PKEY *key = req != NULL ? X509_REQ_get0_pubkey(req) : NULL;

    BIO_free(bio);
    *why = NULL;
    if (req == NULL)
        *why = "not a PKCS#10 request in PEM";
    else if (key == NULL || capif_jws_alg(key) == NULL)
        *why = "type or size of the public key is not accepted";
    else if (X509_REQ_verify(req, key) != 1)
        *why = "the request's own signature does not hold";
    ERR_clear_error();
    if (*why != NULL) {
        X509_REQ_free(req);
        return NULL;
    }
    return req;
}

/* Ed25519 takes no digest; SHA-384 and more where the curve is larger. */
const EVP_MD *capif_cert_md(EVP_PKEY *key)
{
    if (EVP_PKEY_is_a(key, "ED25519"))
        return NULL;
    if (EVP_PKEY_is_a(key, "EC") && EVP_PKEY_get_bits(key) > 256)
        return EVP_PKEY_get_bits(key) > 384 ? EVP_sha512() : EVP_sha384();
    return EVP_sha256();
}

static char *bio_text(BIO *bio)
{
    char *data = NULL, *out;
    long len = BIO_get_mem_data(bio, &data);

    if (len <= 0 || (out = malloc((size_t)len + 1)) == NULL)
        return NULL;
    memcpy(out, data, (size_t)len);
    out[len] = '\0';
    return out;
}

EVP_PKEY *capif_transport_parse(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL);

    BIO_free(bio);
    ERR_clear_error();
    if (key != NULL
        && (!EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) < 2048)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

char *capif_spki_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *out = NULL;

    if (bio != NULL && PEM_write_bio_PUBKEY(bio, key))
        out = bio_text(bio);
    BIO_free(bio);
    return out;
}

static bool name_cn(X509_NAME *name, const char *cn)
{
    return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                      (const uint8_t *)cn, -1, -1, 0);
}

char *capif_csr_make(const char *common_name, EVP_PKEY *key)
{
    X509_REQ *req = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    char *out = NULL;

    if (req != NULL && bio != NULL
        && name_cn(X509_REQ_get_subject_name(req), common_name)
        && X509_REQ_set_pubkey(req, key)
        && X509_REQ_sign(req, key, capif_cert_md(key))
        && PEM_write_bio_X509_REQ(bio, req))
        out = bio_text(bio);
    BIO_free(bio);
    X509_REQ_free(req);
    return out;
}

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    bool ok;

    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    ok = ext != NULL && X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    return ok;
}

/* Version, a serial number of 127 random bits, validity from a minute ago. */
static X509 *cert_begin(const char *cn, EVP_PKEY *key, long days)
{
    X509 *cert = X509_new();
    BIGNUM *serial = BN_new();
    bool ok = cert != NULL && serial != NULL && X509_set_version(cert, 2)
              && BN_rand(serial, 127, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY)
              && BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert))
              && X509_gmtime_adj(X509_getm_notBefore(cert), -60)
              && X509_time_adj_ex(X509_getm_notAfter(cert), (int)days, 0, NULL)
              && name_cn(X509_get_subject_name(cert), cn)
              && X509_set_pubkey(cert, key);

    BN_free(serial);
    if (!ok) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

static bool add_crl(X509 *cert, X509 *ca, const char *url)
{
    char text[1024];
    int n = snprintf(text, sizeof(text), "URI:%s", url);

    return n > 0 && (size_t)n < sizeof(text)
           && add_ext(cert, ca, NID_crl_distribution_points, text);
}

X509 *capif_cert_issue(const struct capif_cert_spec *spec, X509 *ca,
                       EVP_PKEY *ca_key)
{
    char san[900];
    X509 *cert = cert_begin(spec->who.id, spec->public_key, spec->days);
    int n = snprintf(san, sizeof(san), "URI:" URN "%s:%s:%s%s%s",
                     spec->who.ccf_id, capif_role_name(spec->who.role),
                     spec->who.id, spec->dns_name != NULL ? ",DNS:" : "",
                     spec->dns_name != NULL ? spec->dns_name : "");

    if (cert == NULL || n < 0 || (size_t)n >= sizeof(san)
        || !X509_set_issuer_name(cert, X509_get_subject_name(ca))
        || !add_ext(cert, ca, NID_basic_constraints, "critical,CA:FALSE")
        || !add_ext(cert, ca, NID_key_usage,
                    spec->transport ? "critical,keyEncipherment"
                                    : "critical,digitalSignature")
        || (!spec->transport
            && !add_ext(cert, ca, NID_ext_key_usage,
                        spec->dns_name != NULL ? "serverAuth,clientAuth"
                                               : "clientAuth"))
        || !add_ext(cert, ca, NID_subject_key_identifier, "hash")
        || !add_ext(cert, ca, NID_authority_key_identifier, "keyid:always")
        || !add_ext(cert, ca, NID_subject_alt_name, san)
        || (spec->crl_url != NULL && !add_crl(cert, ca, spec->crl_url))
        || !X509_sign(cert, ca_key, capif_cert_md(ca_key))) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

X509 *capif_cert_ca(const char *common_name, EVP_PKEY *key, long days)
{
    X509 *cert = cert_begin(common_name, key, days);

    if (cert == NULL || !X509_set_issuer_name(cert, X509_get_subject_name(cert))
        || !add_ext(cert, cert, NID_basic_constraints,
                    "critical,CA:TRUE,pathlen:0")
        || !add_ext(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign")
        || !add_ext(cert, cert, NID_subject_key_identifier, "hash")
        || !X509_sign(cert, key, capif_cert_md(key))) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

char *capif_cert_pem(const X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *out = NULL;

    if (bio != NULL && PEM_write_bio_X509(bio, (X509 *)(uintptr_t)cert))
        out = bio_text(bio);
    BIO_free(bio);
    return out;
}

X509 *capif_cert_parse(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    return cert;
}
