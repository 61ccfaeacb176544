/* SPDX-License-Identifier: Apache-2.0 */
/* capif_cert_verify(): as a TLS client, under these anchors, now. */
#include "soft.h"

#include "tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#define DAY (24 * 3600)

static EVP_PKEY *ca_key, *key;
static X509 *ca, *other_ca; /* of the same name, by another key */
static STACK_OF(X509) * anchors;

static int setup(void **state)
{
    (void)state;
    ca_key = soft_key("P-256", 0);
    key = soft_key("P-256", 0);
    ca = capif_cert_ca("CA", ca_key, 7);
    other_ca = capif_cert_ca("CA", key, 7);
    anchors = sk_X509_new_null();
    assert_non_null(ca);
    assert_non_null(other_ca);
    assert_true(sk_X509_push(anchors, ca));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sk_X509_free(anchors);
    X509_free(ca);
    X509_free(other_ca);
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    return 0;
}

struct change {
    const char *name;
    long from, to;   /* days from now */
    const char *eku; /* in place of that of an invoker's, or NULL */
    bool no_eku;
};

static X509 *crafted(const struct change *c)
{
    X509 *cert = soft_member(CAPIF_INVOKER, "a.b", "i", key, ca, ca_key);
    int at = X509_get_ext_by_NID(cert, NID_ext_key_usage, -1);
    X509_EXTENSION *ext;

    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(cert), c->from * DAY));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(cert), c->to * DAY));
    if (c->no_eku || c->eku != NULL)
        X509_EXTENSION_free(X509_delete_ext(cert, at));
    if (c->eku != NULL) {
        ext = X509V3_EXT_conf_nid(NULL, NULL, NID_ext_key_usage, c->eku);
        assert_int_equal(X509_add_ext(cert, ext, -1), 1);
        X509_EXTENSION_free(ext);
    }
    assert_true(X509_sign(cert, ca_key, EVP_sha256()) > 0);
    return cert;
}

static void test_changes(void **state)
{
    static const struct {
        struct change change;
        bool ok;
    } v[] = {
        { { "as issued", -1, 1, NULL, false }, true },
        { { "no EKU: any use", -1, 1, NULL, true }, true },
        { { "both", -1, 1, "serverAuth,clientAuth", false }, true },
        { { "server only", -1, 1, "serverAuth", false }, false },
        { { "e-mail", -1, 1, "emailProtection", false }, false },
        { { "expired", -2, -1, NULL, false }, false },
        { { "not yet", 1, 2, NULL, false }, false },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        X509 *cert = crafted(&v[i].change);

        if (capif_cert_verify(cert, NULL, anchors) != v[i].ok)
            fail_msg("%s", v[i].change.name);
        assert_int_equal(ERR_peek_error(), 0);
        X509_free(cert);
    }
}

static void test_anchors(void **state)
{
    X509 *cert = soft_member(CAPIF_INVOKER, "a.b", "i", key, ca, ca_key);
    STACK_OF(X509) *other = sk_X509_new_null();

    (void)state;
    assert_true(capif_cert_verify(cert, NULL, anchors));
    assert_false(capif_cert_verify(cert, NULL, other)); /* none */
    assert_false(capif_cert_verify(cert, NULL, NULL));
    assert_true(sk_X509_push(other, other_ca));
    assert_false(capif_cert_verify(cert, NULL, other));
    /* What the peer sends along is a help, but no anchor. */
    assert_false(capif_cert_verify(cert, anchors, other));
    assert_true(sk_X509_push(other, ca));
    assert_true(capif_cert_verify(cert, NULL, other));
    sk_X509_free(other);
    X509_free(cert);
}

/* A member is no CA: what it signs counts for nothing. */
static void test_member_as_ca(void **state)
{
    X509 *member = soft_member(CAPIF_INVOKER, "a.b", "i", key, ca, ca_key);
    X509 *cert = soft_member(CAPIF_INVOKER, "a.b", "j", key, member, key);
    STACK_OF(X509) *sent = sk_X509_new_null();

    (void)state;
    assert_true(sk_X509_push(sent, member));
    assert_false(capif_cert_verify(cert, sent, anchors));
    sk_X509_free(sent);
    X509_free(member);
    X509_free(cert);
}

/* A changed octet of what is signed. */
static void test_forged(void **state)
{
    X509 *cert = soft_member(CAPIF_INVOKER, "a.b", "i", key, ca, ca_key);
    X509 *forged;
    unsigned char *der = NULL;
    const unsigned char *p;
    int len = i2d_X509(cert, &der);

    (void)state;
    assert_true(len > 0);
    der[len - 1] ^= 1; /* of the signature */
    p = der;
    forged = d2i_X509(NULL, &p, len);
    assert_non_null(forged);
    assert_false(capif_cert_verify(forged, NULL, anchors));
    OPENSSL_free(der);
    X509_free(forged);
    X509_free(cert);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_anchors),
        cmocka_unit_test(test_member_as_ca),
        cmocka_unit_test(test_forged),
    };

    return cmocka_run_group_tests_name("capif: cert verify", tests, setup,
                                       teardown);
}
