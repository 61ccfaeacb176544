/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif/crl.h: lists that are made are lists that hold, and others don't.
 */
#include "soft.h"

#include "crl.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

static EVP_PKEY *key, *other_key;
static X509 *ca, *other_ca, *cert;
static const struct capif_crl_spec spec = { 1700000000, 1700000000,
                                            1700086400 };

static int setup(void **state)
{
    (void)state;
    key = soft_key("P-256", 0);
    other_key = soft_key(NULL, 0);
    ca = capif_cert_ca("A CA", key, 7);
    other_ca = capif_cert_ca("A CA", other_key, 7); /* of the same name */
    assert_non_null(ca);
    assert_non_null(other_ca);
    cert = soft_member(CAPIF_INVOKER, "ccf.a.example", "inv-1", other_key, ca,
                       key);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    X509_free(cert);
    X509_free(ca);
    X509_free(other_ca);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    return 0;
}

/* By ca, of those serials; the caller frees it. */
static uint8_t *make(const char *const *serials, EVP_PKEY *signer, size_t *len)
{
    X509_CRL *crl = capif_crl_new(&spec, ca);
    uint8_t *der;

    assert_non_null(crl);
    for (; *serials != NULL; serials++)
        assert_true(capif_crl_add(crl, *serials, 1699999999));
    der = capif_crl_sign(crl, signer, len);
    assert_non_null(der);
    X509_CRL_free(crl);
    return der;
}

static void test_round_trip(void **state)
{
    char serial[CAPIF_SERIAL];
    const char *const with[] = { "01", serial,
                                 "7fffffffffffffffffffffffffffffffffffffff",
                                 NULL };
    const char *const without[] = { "01", NULL }, *const none[] = { NULL };
    const char *const *const lists[] = { with, without, none };
    struct capif_crl_spec got;
    X509_CRL *crl;
    uint8_t *der;
    size_t len;

    (void)state;
    assert_true(capif_cert_serial(cert, serial));
    for (size_t i = 0; i < N_OF(lists); i++) {
        der = make(lists[i], key, &len);
        crl = capif_crl_parse(der, len, ca, &got);
        assert_non_null(crl);
        assert_int_equal(got.number, spec.number);
        assert_int_equal(got.from, spec.from);
        assert_int_equal(got.until, spec.until);
        assert_int_equal(capif_crl_lists(crl, cert), i == 0);
        X509_CRL_free(crl);
        OPENSSL_free(der);
    }
}

static void test_serials(void **state)
{
    static const char *const bad[] = { "", "x", "0x1", "1g", "1 ", " 1" };
    X509_CRL *crl = capif_crl_new(&spec, ca);

    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++)
        assert_false(capif_crl_add(crl, bad[i], 1));
    assert_true(capif_crl_add(crl, "1f", 1));
    assert_true(capif_crl_add(crl, "-1F", 1)); /* others' CAs make such */
    assert_int_equal(sk_X509_REVOKED_num(X509_CRL_get_REVOKED(crl)), 2);
    X509_CRL_free(crl);
}

static void refused(const uint8_t *der, size_t len, X509 *by)
{
    struct capif_crl_spec got;

    assert_null(capif_crl_parse(der, len, by, &got));
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_others_and_damaged_ones(void **state)
{
    const char *const list[] = { "01", NULL };
    uint8_t *der, *longer;
    size_t len;

    (void)state;
    der = make(list, other_key, &len); /* not by ca's key */
    refused(der, len, ca);
    OPENSSL_free(der);
    der = make(list, key, &len);
    refused(der, len, other_ca);
    for (size_t n = 0; n < len; n++)
        refused(der, n, ca);
    for (size_t i = 0; i < len; i++) {
        der[i] ^= 1;
        refused(der, len, ca);
        der[i] ^= 1;
    }
    longer = calloc(1, len + 1);
    memcpy(longer, der, len);
    refused(longer, len + 1, ca);
    free(longer);
    OPENSSL_free(der);
}

/* A list for some certificates alone would be taken for one of all. */
static void test_critical_extension(void **state)
{
    X509_CRL *crl = capif_crl_new(&spec, ca);
    ISSUING_DIST_POINT *idp = ISSUING_DIST_POINT_new();
    uint8_t *der;
    size_t len;

    (void)state;
    idp->onlyuser = 0xff;
    assert_true(
        X509_CRL_add1_ext_i2d(crl, NID_issuing_distribution_point, idp, 1, 0));
    der = capif_crl_sign(crl, key, &len);
    assert_non_null(der);
    refused(der, len, ca);
    OPENSSL_free(der);
    ISSUING_DIST_POINT_free(idp);
    X509_CRL_free(crl);
}

static void test_without_number_or_end(void **state)
{
    X509_CRL *crl = capif_crl_new(&spec, ca);
    uint8_t *der;
    size_t len;

    (void)state;
    X509_EXTENSION_free(X509_CRL_delete_ext(
        crl, X509_CRL_get_ext_by_NID(crl, NID_crl_number, -1)));
    der = capif_crl_sign(crl, key, &len);
    refused(der, len, ca);
    OPENSSL_free(der);
    X509_CRL_free(crl);
}

static void test_ca_ids(void **state)
{
    char one[CAPIF_CA_ID], two[CAPIF_CA_ID];
    X509 *bare = X509_dup(ca);

    (void)state;
    assert_true(capif_ca_id(ca, one));
    assert_true(capif_ca_id(other_ca, two));
    assert_string_not_equal(one, two);
    assert_int_equal(strlen(one), 40);
    /* without the extension: by its key */
    X509_EXTENSION_free(X509_delete_ext(
        bare, X509_get_ext_by_NID(bare, NID_subject_key_identifier, -1)));
    assert_true(X509_sign(bare, key, EVP_sha256()) > 0);
    assert_true(capif_ca_id(bare, two));
    assert_int_equal(strlen(two), 64);
    X509_free(bare);
}

static void test_distribution_point(void **state)
{
    struct capif_cert_spec s = { .public_key = other_key,
                                 .who.role = CAPIF_INVOKER,
                                 .days = 1,
                                 .crl_url = "https://ccf.a.example:1/crl/x" };
    CRL_DIST_POINTS *points;
    const GENERAL_NAME *name;
    X509 *c;

    (void)state;
    strcpy(s.who.ccf_id, "ccf.a.example");
    strcpy(s.who.id, "inv-1");
    c = capif_cert_issue(&s, ca, key);
    assert_non_null(c);
    points = X509_get_ext_d2i(c, NID_crl_distribution_points, NULL, NULL);
    assert_int_equal(sk_DIST_POINT_num(points), 1);
    name = sk_GENERAL_NAME_value(
        sk_DIST_POINT_value(points, 0)->distpoint->name.fullname, 0);
    assert_int_equal(name->type, GEN_URI);
    assert_string_equal(
        (const char *)ASN1_STRING_get0_data(name->d.uniformResourceIdentifier),
        s.crl_url);
    CRL_DIST_POINTS_free(points);
    assert_true(capif_cert_end(c) > time(NULL) + 86000);
    X509_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_serials),
        cmocka_unit_test(test_others_and_damaged_ones),
        cmocka_unit_test(test_critical_extension),
        cmocka_unit_test(test_without_number_or_end),
        cmocka_unit_test(test_ca_ids),
        cmocka_unit_test(test_distribution_point),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
