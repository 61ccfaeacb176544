/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aef_info_parse(): what the CCF answers on CAPIF-3, good and with one
 * member after the other made wrong.
 */
#include "soft.h"

#include "aef.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CCF "ccf.a.example"

static EVP_PKEY *key;
static char *pem;

static int setup(void **state)
{
    X509 *ca;

    (void)state;
    key = soft_key(NULL, 0);
    ca = capif_cert_ca("CA", key, 7);
    pem = capif_cert_pem(ca);
    assert_non_null(pem);
    X509_free(ca);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    EVP_PKEY_free(key);
    free(pem);
    return 0;
}

/* The parts of an answer, so that a test can change any of them. */
struct answer {
    json_t *root, *entry, *vs; /* entry and vs: borrowed, of root's first */
    json_t *authn, *authz, *issuer, *jwks;
};

static json_t *entry_new(const char *aef_id, const char *api, const char *how)
{
    json_t *e = json_pack("{s:s, s:s, s:s, s:{s:s, s:s}}", "aefId", aef_id,
                          "apiId", "api-0", "selSecurityMethod", how, AEF_VS,
                          "aefId", aef_id, "apiName", api);

    assert_non_null(e);
    return e;
}

static struct answer answer_new(void)
{
    struct answer a;

    a.entry = entry_new("aef-1", "api-one", "OAUTH");
    a.vs = json_object_get(a.entry, AEF_VS);
    a.root = json_pack("{s:[o]}", "securityInfo", a.entry);
    a.authn = json_pack("{s:i, s:[s]}", "v", 1, "caCertificates", pem);
    a.jwks = json_pack("{s:[o]}", "keys", capif_jwk(key, "key-1"));
    a.issuer = json_pack("{s:s, s:O}", "ccfId", CCF, "jwks", a.jwks);
    a.authz = json_pack("{s:i, s:[O]}", "v", 1, "issuers", a.issuer);
    assert_non_null(a.root);
    assert_non_null(a.authn);
    assert_non_null(a.authz);
    return a;
}

static void set_text(json_t *entry, const char *name, json_t *doc)
{
    char *text = json_dumps(doc, 0);

    assert_non_null(text);
    if (json_object_get(entry, name) == NULL)
        json_object_set_new(entry, name, json_string(text));
    free(text);
}

/* Frees a.  The log, if any, is kept in soft_heard()'s room. */
static struct aef_info *parse(struct answer *a, const char **log)
{
    struct aef_info *info;
    char *body;

    set_text(a->entry, "authenticationInfo", a->authn);
    set_text(a->entry, "authorizationInfo", a->authz);
    body = json_dumps(a->root, 0);
    assert_non_null(body);
    soft_listen();
    info = aef_info_parse(CCF, "inv-1", "aef-1", (const uint8_t *)body,
                          strlen(body));
    *log = soft_heard();
    free(body);
    json_decref(a->root);
    json_decref(a->authn);
    json_decref(a->authz);
    json_decref(a->issuer);
    json_decref(a->jwks);
    return info;
}

static void test_good(void **state)
{
    struct answer a = answer_new();
    struct aef_info *info;
    const char *log;

    (void)state;
    info = parse(&a, &log);
    assert_non_null(info);
    assert_string_equal(log, "");
    assert_string_equal(info->ccf_id, CCF);
    assert_string_equal(info->invoker_id, "inv-1");
    assert_true(info->known);
    assert_true(info->mutual);
    assert_int_equal(info->n_apis, 1);
    assert_string_equal(aef_info_method(info, "api-one"), "OAUTH");
    assert_null(aef_info_method(info, "api-two"));
    assert_null(aef_info_method(info, "api-on"));
    assert_int_equal(sk_X509_num(info->anchors), 1);
    assert_int_equal(json_array_size(info->issuers), 1);
    assert_int_equal(info->apis[0].revoked_until, 0);
    aef_info_put(info);
    aef_info_put(NULL);
}

/* What a CCF of before does not say, and what is no time. */
static void test_revoked_until(void **state)
{
    static const struct {
        const char *value;
        long long until; /* -1: malformed */
    } v[] = {
        { "[1700000000]", 1700000000 },
        { "[0]", 0 },
        { "[-1]", -1 },
        { "[\"x\"]", -1 },
        { "[1.5]", -1 },
        { "[null]", -1 },
        { "[9223372036854775807]", -1 },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        struct answer a = answer_new();
        json_t *value = json_loads(v[i].value, 0, NULL);
        struct aef_info *info;
        const char *log;

        json_object_set(a.authz, "revokedUntil", json_array_get(value, 0));
        info = parse(&a, &log);
        assert_int_equal(info != NULL, v[i].until >= 0);
        if (info != NULL)
            assert_int_equal(info->apis[0].revoked_until, v[i].until);
        aef_info_put(info);
        json_decref(value);
    }
}

static void test_client_auth(void **state)
{
    static const struct {
        const char *value;
        bool mutual;
    } v[] = {
        { "server", false }, { "mutual", true }, { "Server", true },
        { "server ", true }, { "x", true }, /* unknown: the stricter one */
    };

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        struct answer a = answer_new();
        struct aef_info *info;
        const char *log;

        json_object_set_new(a.authn, "clientAuth", json_string(v[i].value));
        info = parse(&a, &log);
        assert_non_null(info);
        assert_int_equal(info->mutual, v[i].mutual);
        aef_info_put(info);
    }
}

/* Another AEF's entry counts for nothing, not even its certificates. */
static void test_other_aef_ignored(void **state)
{
    struct answer a = answer_new();
    json_t *list = json_object_get(a.root, "securityInfo");
    json_t *other = entry_new("aef-2", "api-two", "PKI"), *third;
    struct aef_info *info;
    const char *log;

    (void)state;
    json_object_set_new(other, "authenticationInfo", json_string("garbage"));
    json_array_insert_new(list, 0, other);
    third = entry_new("aef-1", "api-three", "PSK");
    json_object_set_new(third, "authenticationInfo",
                        json_string("{\"pskEnvelope\":\"a.b.c\"}"));
    json_array_append_new(list, third);
    info = parse(&a, &log);
    assert_non_null(info);
    assert_int_equal(info->n_apis, 2);
    assert_string_equal(aef_info_method(info, "api-one"), "OAUTH");
    assert_string_equal(aef_info_method(info, "api-three"), "PSK");
    assert_null(info->apis[0].envelope);
    assert_string_equal(info->apis[1].envelope, "a.b.c");
    assert_null(aef_info_method(info, "api-two"));
    assert_int_equal(sk_X509_num(info->anchors), 1);
    aef_info_put(info);

    a = answer_new();
    json_object_set_new(a.vs, "aefId", json_string("aef-2"));
    assert_null(parse(&a, &log));
    assert_non_null(strstr(log, "param=- why=-\n"));
}

enum part { ROOT, ENTRY, VS, AUTHN, AUTHZ, ISSUER, JWKS };

static const struct {
    enum part part;
    const char *name, *value; /* NULL: missing */
    const char *param, *why;
} bad[] = {
    { ROOT, "securityInfo", NULL, "/securityInfo", "missing" },
    { ROOT, "securityInfo", "[]", "/securityInfo", "\"must have 1 to 32" },
    { ROOT, "securityInfo", "{}", "/securityInfo", "\"must be an array" },
    { ROOT, "securityInfo", "[1]", "/securityInfo/0", "\"must be an object" },
    { ENTRY, AEF_VS, NULL, "/securityInfo/0/" AEF_VS, "missing" },
    { ENTRY, AEF_VS, "[]", "/securityInfo/0/" AEF_VS, "\"must be an object" },
    { ENTRY, "selSecurityMethod", NULL, "/securityInfo/0/selSecurityMethod",
      "missing" },
    { ENTRY, "selSecurityMethod", "1", "/securityInfo/0/selSecurityMethod",
      "\"must be a string" },
    { ENTRY, "selSecurityMethod", "'0123456789abcdef'",
      "/securityInfo/0/selSecurityMethod", "\"must have 1 to 15 octets" },
    { VS, "aefId", NULL, "/securityInfo/0/" AEF_VS "/aefId", "missing" },
    { VS, "aefId", "1", "/securityInfo/0/" AEF_VS "/aefId", "\"must be a" },
    { VS, "apiName", NULL, "/securityInfo/0/" AEF_VS "/apiName", "missing" },
    { VS, "apiName", "''", "/securityInfo/0/" AEF_VS "/apiName",
      "\"must have 1 to 63 octets" },
    { VS, "apiName",
      "'0123456789012345678901234567890123456789012345678901234567890123'",
      "/securityInfo/0/" AEF_VS "/apiName", "\"must have 1 to 63 octets" },
    { ENTRY, "authenticationInfo", "{}", "/securityInfo/0/authenticationInfo",
      "\"must be a string" },
    { ENTRY, "authenticationInfo", "'['", "/", "\"not JSON" },
    { ENTRY, "authenticationInfo", "'[]'", "/", "\"must be an object" },
    { ENTRY, "authorizationInfo", "1", "/securityInfo/0/authorizationInfo",
      "\"must be a string" },
    { ENTRY, "authorizationInfo", "'x'", "/", "\"not JSON" },
    { AUTHN, "caCertificates", NULL, "/caCertificates", "missing" },
    { AUTHN, "caCertificates", "[]", "/caCertificates", "\"must have 1 to 8" },
    { AUTHN, "caCertificates", "[1]", "/caCertificates/0",
      "\"must be a string" },
    { AUTHN, "caCertificates", "['garbage']", "/caCertificates",
      "\"not a certificate" },
    { AUTHN, "caCertificates",
      "['-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----\\n']",
      "/caCertificates", "\"not a certificate" },
    { AUTHN, "clientAuth", "1", "/clientAuth", "\"must be a string" },
    { AUTHZ, "issuers", NULL, "/issuers", "missing" },
    { AUTHZ, "issuers", "[]", "/issuers", "\"must have 1 to 8 items" },
    { AUTHZ, "issuers", "[0]", "/issuers/0", "\"must be an object" },
    { ISSUER, "ccfId", NULL, "/issuers/0/ccfId", "missing" },
    { ISSUER, "ccfId", "0", "/issuers/0/ccfId", "\"must be a string" },
    { ISSUER, "jwks", NULL, "/issuers/0/jwks", "missing" },
    { ISSUER, "jwks", "[]", "/issuers/0/jwks", "\"must be an object" },
    { JWKS, "keys", NULL, "/issuers/0/jwks/keys", "missing" },
    { JWKS, "keys", "[]", "/issuers/0/jwks/keys", "\"must have 1 to 32" },
    { JWKS, "keys", "{}", "/issuers/0/jwks/keys", "\"must be an array" },
};

static json_t *part_of(struct answer *a, enum part part)
{
    json_t *const parts[] = {
        [ROOT] = a->root,   [ENTRY] = a->entry, [VS] = a->vs,
        [AUTHN] = a->authn, [AUTHZ] = a->authz, [ISSUER] = a->issuer,
        [JWKS] = a->jwks,
    };

    return parts[part];
}

static void test_malformed(void **state)
{
    char want[160];

    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++) {
        struct answer a = answer_new();
        json_t *entry = json_incref(a.entry); /* [1] would drop it */
        const char *log;

        if (bad[i].value == NULL)
            json_object_del(part_of(&a, bad[i].part), bad[i].name);
        else
            json_object_set_new(part_of(&a, bad[i].part), bad[i].name,
                                soft_json(bad[i].value));
        assert_null(parse(&a, &log));
        snprintf(want, sizeof(want), " param=%s why=%s", bad[i].param,
                 bad[i].why);
        if (strstr(log, want) == NULL)
            fail_msg("%zu: no '%s' in: %s", i, want, log);
        json_decref(entry);
    }
}

/* One certificate of several is garbage: no half of a trust store. */
static void test_one_bad_certificate(void **state)
{
    struct answer a = answer_new();
    const char *log;

    (void)state;
    json_array_append_new(json_object_get(a.authn, "caCertificates"),
                          json_string("garbage"));
    assert_null(parse(&a, &log));
    assert_non_null(strstr(log, "not a certificate"));
}

static void test_api_count(void **state)
{
    (void)state;
    for (size_t n = AEF_APIS_MAX; n <= AEF_APIS_MAX + 1; n++) {
        struct answer a = answer_new();
        json_t *list = json_object_get(a.root, "securityInfo");
        struct aef_info *info;
        const char *log;

        while (json_array_size(list) < n)
            json_array_append_new(list, entry_new("aef-1", "more", "PKI"));
        info = parse(&a, &log);
        assert_int_equal(info != NULL, n == AEF_APIS_MAX);
        if (info != NULL)
            assert_int_equal(info->n_apis, AEF_APIS_MAX);
        aef_info_put(info);
    }
}

static void test_garbage(void **state)
{
    static const char *const texts[] = { "",    "x",  "[]",   "{",
                                         "{}x", "{}", "null", "\0" };

    (void)state;
    for (size_t i = 0; i < N_OF(texts); i++) {
        struct aef_info *info;

        soft_listen();
        info = aef_info_parse(CCF, "inv-1", "aef-1", (const uint8_t *)texts[i],
                              i == N_OF(texts) - 1 ? 1 : strlen(texts[i]));
        assert_non_null(strstr(soft_heard(), "event=security-info-malformed"));
        assert_null(info);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_revoked_until),
        cmocka_unit_test(test_client_auth),
        cmocka_unit_test(test_other_aef_ignored),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_one_bad_certificate),
        cmocka_unit_test(test_api_count),
        cmocka_unit_test(test_garbage),
    };

    return cmocka_run_group_tests_name("aef: info", tests, setup, teardown);
}
