/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identities in certificates, certificate requests, issuing, and
 * capif_cert_verify().
 */
#include "soft.h"

#include "tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CCF "ccf.a.example"
#define N63 "012345678901234567890123456789012345678901234567890123456789abc"

static EVP_PKEY *ca_key, *key;
static X509 *ca;

static int setup(void **state)
{
    (void)state;
    ca_key = soft_key("P-384", 0);
    key = soft_key(NULL, 0);
    ca = capif_cert_ca("A CA", ca_key, 7);
    assert_non_null(ca);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(ca_key);
    EVP_PKEY_free(key);
    X509_free(ca);
    return 0;
}

/* ---- ids and names ---- */

static void test_ids(void **state)
{
    (void)state;
    assert_true(capif_id_ok("a"));
    assert_true(capif_id_ok("aZ09-_."));
    assert_true(capif_id_ok(N63));
    assert_false(capif_id_ok(N63 "d"));
    assert_false(capif_id_ok(""));
    for (int c = 1; c < 256; c++) {
        const char id[] = { 'a', (char)c, '\0' };
        bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')
                  || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';

        assert_int_equal(capif_id_ok(id), ok);
    }
}

static void test_ccf_ids(void **state)
{
    static const char *const good[] = { "a.b", CCF, "0.1-2.x", N63 "." N63 };
    static const char *const bad[] = {
        "",     "a",    "ab",   "abc",   ".a.b",   "a.b.",    "a..b",
        "-a.b", "a-.b", "a.-b", "a.b-",  "A.b",    "a_b.c",   "a.b ",
        "a.b:", "a.b/", "..",   "a.b\n", "a.\xe9", N63 "d.b", "*.b",
    };
    char text[256];

    (void)state;
    for (size_t i = 0; i < N_OF(good); i++)
        assert_true(capif_ccf_id_ok(good[i]));
    for (size_t i = 0; i < N_OF(bad); i++)
        if (capif_ccf_id_ok(bad[i]))
            fail_msg("'%s' was taken", bad[i]);
    memset(text, 'a', sizeof(text));
    for (size_t i = 1; i < sizeof(text); i += 2)
        text[i] = '.';
    text[253] = '\0'; /* ends with an 'a' */
    assert_true(capif_ccf_id_ok(text));
    text[253] = '.';
    text[255] = '\0';
    assert_false(capif_ccf_id_ok(text));
}

static void test_roles(void **state)
{
    enum capif_role role = CAPIF_NOBODY;

    (void)state;
    for (enum capif_role r = CAPIF_INVOKER; r <= CAPIF_CCF; r++) {
        assert_true(capif_role_parse(capif_role_name(r), &role));
        assert_int_equal(role, r);
    }
    assert_false(capif_role_parse("nobody", &role));
    assert_false(capif_role_parse("", &role));
    assert_false(capif_role_parse("AEF", &role));
    assert_int_equal(role, CAPIF_CCF);
}

/* ---- identity ---- */

static void add_name(GENERAL_NAMES *names, int type, const char *text,
                     size_t len)
{
    GENERAL_NAME *n = GENERAL_NAME_new();
    ASN1_IA5STRING *s = ASN1_IA5STRING_new();

    assert_non_null(n);
    assert_int_equal(ASN1_STRING_set(s, text, (int)len), 1);
    GENERAL_NAME_set0_value(n, type, s);
    assert_true(sk_GENERAL_NAME_push(names, n));
}

/* A certificate with these URIs, unsigned: that is not asked for here. */
static bool identity_of(const char *one, size_t one_len, const char *two,
                        struct capif_identity *who)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    X509 *cert = X509_new();
    bool ok;

    add_name(names, GEN_DNS, "urn:capif:" CCF ":aef:dns", 25);
    add_name(names, GEN_EMAIL, "x@example", 9);
    if (one != NULL)
        add_name(names, GEN_URI, one, one_len);
    if (two != NULL)
        add_name(names, GEN_URI, two, strlen(two));
    assert_int_equal(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0),
                     1);
    ok = capif_cert_identity(cert, who);
    GENERAL_NAMES_free(names);
    X509_free(cert);
    return ok;
}

static void test_identity(void **state)
{
    static const struct {
        const char *uri;
        enum capif_role role;
        const char *ccf_id, *id;
    } v[] = {
        { "urn:capif:" CCF ":invoker:i-1", CAPIF_INVOKER, CCF, "i-1" },
        { "urn:capif:" CCF ":aef:A_1.x", CAPIF_AEF, CCF, "A_1.x" },
        { "urn:capif:a.b:apf:" N63, CAPIF_APF, "a.b", N63 },
        { "urn:capif:" CCF ":amf:m", CAPIF_AMF, CCF, "m" },
        { "urn:capif:" CCF ":ccf:" CCF, CAPIF_CCF, CCF, CCF },
    };
    struct capif_identity who;

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        memset(&who, 0x5a, sizeof(who));
        assert_true(identity_of(v[i].uri, strlen(v[i].uri),
                                "https://other.example/", &who));
        assert_int_equal(who.role, v[i].role);
        assert_string_equal(who.ccf_id, v[i].ccf_id);
        assert_string_equal(who.id, v[i].id);
    }
}

static void test_identity_refused(void **state)
{
    static const char *const bad[] = {
        "urn:capif:",
        "urn:capif:" CCF,
        "urn:capif:" CCF ":invoker",
        "urn:capif:" CCF ":invoker:",
        "urn:capif:" CCF "::i-1",
        "urn:capif::invoker:i-1",
        "urn:capif:ccf:invoker:i-1",
        "urn:capif:CCF.a.example:invoker:i-1",
        "urn:capif:" CCF ":nobody:i-1",
        "urn:capif:" CCF ":Invoker:i-1",
        "urn:capif:" CCF ":admin:i-1",
        "urn:capif:" CCF ":invoker:i-1:x",
        "urn:capif:" CCF ":invoker:i/1",
        "urn:capif:" CCF ":invoker:i 1",
        "urn:capif:" CCF ":invoker:i-1\n",
        "urn:capif:" CCF ":invoker:" N63 "d",
        "urn:capif:" CCF ":ccf:ccf.b.example",
        "urn:capif:" CCF ":ccf:x",
        "URN:capif:" CCF ":invoker:i-1",
        "urn:other:" CCF ":invoker:i-1",
        " urn:capif:" CCF ":invoker:i-1",
    };
    struct capif_identity who, was;
    char text[1024];

    (void)state;
    memset(&who, 0x5a, sizeof(who));
    was = who;
    for (size_t i = 0; i < N_OF(bad); i++)
        if (identity_of(bad[i], strlen(bad[i]), NULL, &who))
            fail_msg("'%s' was taken", bad[i]);
    for (size_t len = 580; len < 620; len++) {
        snprintf(text, sizeof(text), "urn:capif:" CCF ":aef:%0*d", (int)len, 0);
        assert_false(identity_of(text, strlen(text), NULL, &who));
    }
    assert_false(identity_of(NULL, 0, NULL, &who));
    assert_memory_equal(&who, &was, sizeof(who));
}

#define GOOD "urn:capif:" CCF ":invoker:i-1"

/* Two, whether alike, different or one of them malformed, are none. */
static void test_identity_twice(void **state)
{
    static const char *const seconds[] = {
        GOOD,
        "urn:capif:" CCF ":ccf:" CCF,
        "urn:capif:",
        "urn:capif:x:y:z",
    };
    struct capif_identity who;

    (void)state;
    assert_true(identity_of(GOOD, strlen(GOOD), NULL, &who));
    for (size_t i = 0; i < N_OF(seconds); i++) {
        assert_false(identity_of(GOOD, strlen(GOOD), seconds[i], &who));
        assert_false(identity_of(seconds[i], strlen(seconds[i]), GOOD, &who));
    }
}

static void test_identity_nul(void **state)
{
    static const char after[] = GOOD "\0.evil";
    static const char last[] = GOOD "\0";
    static const char early[] = "urn:capif:\0" CCF ":invoker:i-1";
    struct capif_identity who;
    X509 *none = X509_new();

    (void)state;
    assert_false(identity_of(after, sizeof(after) - 1, NULL, &who));
    assert_false(identity_of(last, sizeof(last) - 1, NULL, &who));
    assert_false(identity_of(early, sizeof(early) - 1, NULL, &who));
    assert_false(capif_cert_identity(none, &who));
    X509_free(none);
}

/* ---- requests ---- */

static void csr_refused(const char *pem, const char *want)
{
    const char *why = NULL;

    assert_null(capif_csr_parse(pem, &why));
    assert_non_null(why);
    assert_string_equal(why, want);
    assert_int_equal(ERR_peek_error(), 0);
}

static void test_csr(void **state)
{
    static const struct {
        const char *group;
        unsigned bits;
        bool ok;
    } v[] = {
        { "P-256", 0, true },  { "P-384", 0, true },
        { "P-521", 0, true },  { NULL, 2048, true },
        { NULL, 0, true },     { "secp256k1", 0, false },
        { "P-224", 0, false }, { "brainpoolP256r1", 0, false },
        { NULL, 1024, false }, { NULL, 2040, false },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        EVP_PKEY *k = soft_key(v[i].group, v[i].bits);
        char *pem = capif_csr_make("me", k);
        const char *why = "unset";
        X509_REQ *req;

        assert_non_null(pem);
        if (v[i].ok) {
            req = capif_csr_parse(pem, &why);
            assert_non_null(req);
            assert_null(why);
            assert_int_equal(EVP_PKEY_eq(X509_REQ_get0_pubkey(req), k), 1);
            X509_REQ_free(req);
        } else {
            csr_refused(pem, "type or size of the public key is not accepted");
        }
        free(pem);
        EVP_PKEY_free(k);
    }
}

/* The key of one, the signature of another: no proof of possession. */
static void test_csr_stolen_key(void **state)
{
    X509_REQ *req = X509_REQ_new();
    BIO *bio = BIO_new(BIO_s_mem());
    EVP_PKEY *mine = soft_key(NULL, 0);
    char pem[2048];
    int len;

    (void)state;
    assert_int_equal(X509_REQ_set_pubkey(req, key), 1);
    assert_true(X509_REQ_sign(req, mine, NULL) > 0);
    assert_int_equal(PEM_write_bio_X509_REQ(bio, req), 1);
    len = BIO_read(bio, pem, sizeof(pem) - 1);
    assert_true(len > 0);
    pem[len] = '\0';
    csr_refused(pem, "the request's own signature does not hold");
    X509_REQ_free(req);
    BIO_free(bio);
    EVP_PKEY_free(mine);
}

static void test_csr_malformed(void **state)
{
    char *cert = capif_cert_pem(ca), *csr = capif_csr_make("me", key);
    const char *const bad[] = {
        "",
        "x",
        cert,
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n"
        "-----END CERTIFICATE REQUEST-----\n",
        "-----BEGIN CERTIFICATE REQUEST-----\n",
    };

    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++)
        csr_refused(bad[i], "not a PKCS#10 request in PEM");
    for (size_t n = strlen(csr) - 2; n > 0; n -= n > 7 ? 7 : n) {
        csr[n] = '\0';
        csr_refused(csr, "not a PKCS#10 request in PEM");
    }
    free(cert);
    free(csr);
}

/* ---- issuing ---- */

static void text_of(X509 *cert, int nid, char *out, size_t room, bool critical)
{
    int at = X509_get_ext_by_NID(cert, nid, -1), n;
    X509_EXTENSION *ext = X509_get_ext(cert, at);
    BIO *bio = BIO_new(BIO_s_mem());

    assert_non_null(ext);
    assert_int_equal(X509_get_ext_by_NID(cert, nid, at), -1);
    assert_int_equal(X509_EXTENSION_get_critical(ext), critical);
    assert_int_equal(X509V3_EXT_print(bio, ext, 0, 0), 1);
    n = BIO_read(bio, out, (int)room - 1);
    assert_true(n > 0);
    out[n] = '\0';
    BIO_free(bio);
}

static void issued_is(const char *dns, const char *eku, const char *san)
{
    const struct capif_cert_spec spec = {
        .public_key = key,
        .who = { CAPIF_AEF, CCF, "aef-1" },
        .dns_name = dns,
        .days = 30,
    };
    X509 *cert = capif_cert_issue(&spec, ca, ca_key);
    char text[256];
    int days = 0, secs = 0;

    assert_non_null(cert);
    assert_int_equal(X509_verify(cert, ca_key), 1);
    assert_int_equal(X509_get_version(cert), 2);
    assert_int_equal(EVP_PKEY_eq(X509_get0_pubkey(cert), key), 1);
    assert_int_equal(X509_check_issued(ca, cert), X509_V_OK);
    text_of(cert, NID_basic_constraints, text, sizeof(text), true);
    assert_string_equal(text, "CA:FALSE");
    text_of(cert, NID_key_usage, text, sizeof(text), true);
    assert_string_equal(text, "Digital Signature");
    text_of(cert, NID_ext_key_usage, text, sizeof(text), false);
    assert_string_equal(text, eku);
    text_of(cert, NID_subject_alt_name, text, sizeof(text), false);
    assert_string_equal(text, san);
    X509_NAME_oneline(X509_get_subject_name(cert), text, sizeof(text));
    assert_string_equal(text, "/CN=aef-1");
    assert_int_equal(
        ASN1_TIME_diff(&days, &secs, NULL, X509_get0_notAfter(cert)), 1);
    assert_in_range(days * 86400 + secs, 30 * 86400 - 60, 30 * 86400);
    assert_true(X509_cmp_current_time(X509_get0_notBefore(cert)) < 0);
    X509_free(cert);
}

static void test_issue(void **state)
{
    char text[256];

    (void)state;
    issued_is(NULL, "TLS Web Client Authentication",
              "URI:urn:capif:" CCF ":aef:aef-1");
    issued_is("aef.example",
              "TLS Web Server Authentication, TLS Web Client Authentication",
              "URI:urn:capif:" CCF ":aef:aef-1, DNS:aef.example");
    text_of(ca, NID_basic_constraints, text, sizeof(text), true);
    assert_string_equal(text, "CA:TRUE, pathlen:0");
    text_of(ca, NID_key_usage, text, sizeof(text), true);
    assert_string_equal(text, "Certificate Sign, CRL Sign");
    assert_int_equal(X509_verify(ca, ca_key), 1);
}

static void test_serials_differ(void **state)
{
    X509 *a = soft_member(CAPIF_AEF, CCF, "x", key, ca, ca_key);
    X509 *b = soft_member(CAPIF_AEF, CCF, "x", key, ca, ca_key);
    char one[44], two[44];

    (void)state;
    assert_int_not_equal(
        ASN1_INTEGER_cmp(X509_get0_serialNumber(a), X509_get0_serialNumber(b)),
        0);
    assert_true(capif_cert_thumbprint(a, one));
    assert_true(capif_cert_thumbprint(b, two));
    assert_string_not_equal(one, two);
    X509_free(a);
    X509_free(b);
}

static void test_pem(void **state)
{
    char *pem = capif_cert_pem(ca);
    X509 *again = capif_cert_parse(pem);

    (void)state;
    assert_non_null(again);
    assert_int_equal(X509_cmp(again, ca), 0);
    X509_free(again);
    pem[strlen(pem) / 2] = '\0';
    assert_null(capif_cert_parse(pem));
    assert_null(capif_cert_parse(""));
    ERR_clear_error();
    free(pem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids),
        cmocka_unit_test(test_ccf_ids),
        cmocka_unit_test(test_roles),
        cmocka_unit_test(test_identity),
        cmocka_unit_test(test_identity_refused),
        cmocka_unit_test(test_identity_twice),
        cmocka_unit_test(test_identity_nul),
        cmocka_unit_test(test_csr),
        cmocka_unit_test(test_csr_stolen_key),
        cmocka_unit_test(test_csr_malformed),
        cmocka_unit_test(test_issue),
        cmocka_unit_test(test_serials_differ),
        cmocka_unit_test(test_pem),
    };

    return cmocka_run_group_tests_name("capif: cert", tests, setup, teardown);
}
