/* SPDX-License-Identifier: Apache-2.0 */
#include "crl.h"

#include "cert_internal.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>

static void hex(const uint8_t *in, size_t len, char *out)
{
    for (size_t i = 0; i < len; i++)
        snprintf(out + 2 * i, 3, "%02x", in[i]);
}

bool capif_ca_id(const X509 *ca, char out[CAPIF_CA_ID])
{
    const ASN1_OCTET_STRING *id =
        X509_get0_subject_key_id((X509 *)(uintptr_t)ca);
    uint8_t md[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (id != NULL && ASN1_STRING_length(id) > 0
        && ASN1_STRING_length(id) <= (CAPIF_CA_ID - 1) / 2) {
        hex(ASN1_STRING_get0_data(id), (size_t)ASN1_STRING_length(id), out);
        return true;
    }
    if (!X509_pubkey_digest(ca, EVP_sha256(), md, &len))
        return false;
    hex(md, len, out);
    return true;
}

bool capif_cert_serial(const X509 *cert, char out[CAPIF_SERIAL])
{
    BIGNUM *n = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *text = n != NULL ? BN_bn2hex(n) : NULL;
    bool ok = text != NULL && strlen(text) < CAPIF_SERIAL;

    if (ok)
        strcpy(out, text);
    OPENSSL_free(text);
    BN_free(n);
    return ok;
}

static time_t seconds(const ASN1_TIME *t)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, secs = 0;
    bool ok = epoch != NULL && ASN1_TIME_diff(&days, &secs, epoch, t);

    ASN1_TIME_free(epoch);
    return ok ? (time_t)days * 86400 + secs : 0;
}

time_t capif_cert_end(const X509 *cert)
{
    return seconds(X509_get0_notAfter(cert));
}

/* ---- making ---- */

static bool add_number(X509_CRL *crl, int64_t number)
{
    ASN1_INTEGER *n = ASN1_INTEGER_new();
    bool ok = n != NULL && ASN1_INTEGER_set_int64(n, number)
              && X509_CRL_add1_ext_i2d(crl, NID_crl_number, n, 0, 0);

    ASN1_INTEGER_free(n);
    return ok;
}

static bool add_issuer_key(X509_CRL *crl, const X509 *ca)
{
    AUTHORITY_KEYID *id = AUTHORITY_KEYID_new();
    const ASN1_OCTET_STRING *key =
        X509_get0_subject_key_id((X509 *)(uintptr_t)ca);
    bool ok = id != NULL;

    if (ok && key != NULL) {
        id->keyid = ASN1_OCTET_STRING_dup(key);
        ok = id->keyid != NULL
             && X509_CRL_add1_ext_i2d(crl, NID_authority_key_identifier, id, 0,
                                      0);
    }
    AUTHORITY_KEYID_free(id);
    return ok;
}

X509_CRL *capif_crl_new(const struct capif_crl_spec *spec, const X509 *ca)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *from = ASN1_TIME_set(NULL, spec->from);
    ASN1_TIME *until = ASN1_TIME_set(NULL, spec->until);
    bool ok = crl != NULL && from != NULL && until != NULL
              && X509_CRL_set_version(crl, X509_CRL_VERSION_2)
              && X509_CRL_set_issuer_name(crl, X509_get_subject_name(ca))
              && X509_CRL_set1_lastUpdate(crl, from)
              && X509_CRL_set1_nextUpdate(crl, until) && add_issuer_key(crl, ca)
              && add_number(crl, spec->number);

    ASN1_TIME_free(from);
    ASN1_TIME_free(until);
    if (!ok) {
        X509_CRL_free(crl);
        return NULL;
    }
    return crl;
}

bool capif_crl_add(X509_CRL *crl, const char *serial, time_t when)
{
    X509_REVOKED *r = X509_REVOKED_new();
    ASN1_TIME *at = ASN1_TIME_set(NULL, when);
    ASN1_INTEGER *n = NULL;
    BIGNUM *bn = NULL;
    bool ok = r != NULL && at != NULL && *serial != '\0'
              && BN_hex2bn(&bn, serial) == (int)strlen(serial)
              && (n = BN_to_ASN1_INTEGER(bn, NULL)) != NULL
              && X509_REVOKED_set_serialNumber(r, n)
              && X509_REVOKED_set_revocationDate(r, at)
              && X509_CRL_add0_revoked(crl, r);

    if (!ok)
        X509_REVOKED_free(r);
    ASN1_INTEGER_free(n);
    ASN1_TIME_free(at);
    BN_free(bn);
    return ok;
}

uint8_t *capif_crl_sign(X509_CRL *crl, EVP_PKEY *ca_key, size_t *len)
{
    uint8_t *der = NULL;
    int n;

    if (!X509_CRL_sort(crl)
        || !X509_CRL_sign(crl, ca_key, capif_cert_md(ca_key))
        || (n = i2d_X509_CRL(crl, &der)) <= 0)
        return NULL;
    *len = (size_t)n;
    return der;
}

/* ---- reading ---- */

static bool read_spec(const X509_CRL *crl, struct capif_crl_spec *spec)
{
    ASN1_INTEGER *number =
        X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
    bool ok = number != NULL && ASN1_INTEGER_get_int64(&spec->number, number)
              && spec->number >= 0 && X509_CRL_get0_nextUpdate(crl) != NULL;

    ASN1_INTEGER_free(number);
    if (!ok)
        return false;
    spec->from = seconds(X509_CRL_get0_lastUpdate(crl));
    spec->until = seconds(X509_CRL_get0_nextUpdate(crl));
    return true;
}

/* What changes the meaning of a list: one for parts only, above all. */
static bool has_critical(const X509_CRL *crl)
{
    for (int i = 0; i < X509_CRL_get_ext_count(crl); i++)
        if (X509_EXTENSION_get_critical(X509_CRL_get_ext(crl, i)))
            return true;
    return false;
}

X509_CRL *capif_crl_parse(const uint8_t *der, size_t len, X509 *ca,
                          struct capif_crl_spec *spec)
{
    const uint8_t *p = der;
    X509_CRL *crl = len <= LONG_MAX ? d2i_X509_CRL(NULL, &p, (long)len) : NULL;
    bool ok =
        crl != NULL && p == der + len
        && X509_NAME_cmp(X509_CRL_get_issuer(crl), X509_get_subject_name(ca))
               == 0
        && !has_critical(crl) && X509_CRL_verify(crl, X509_get0_pubkey(ca)) == 1
        && read_spec(crl, spec);

    ERR_clear_error();
    if (!ok) {
        X509_CRL_free(crl);
        return NULL;
    }
    return crl;
}

bool capif_crl_lists(X509_CRL *crl, const X509 *cert)
{
    X509_REVOKED *r = NULL;

    return X509_CRL_get0_by_serial(crl, &r, X509_get0_serialNumber(cert)) == 1;
}
