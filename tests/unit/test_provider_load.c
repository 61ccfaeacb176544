/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider's life: configuration, the PIN, unloading.  Each test has
 * library contexts of its own, since a login is the process's.
 */
#include "token.h"

#include "fake_p11.h"

#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_URI   "pkcs11:object=p256;type=private"
#define NO_MODULE 8 /* of the table below */

static void test_configuration_refused(void **state)
{
    const struct token *t = *state;
    const struct section good = token_section(t);
    const struct {
        struct section s; /* and the module, where none is named */
        const char *text;
    } bad[] = {
        { { .sessions = "0" }, "sessions = 0: must be 1 to 1024" },
        { { .sessions = "1025" }, "sessions" },
        { { .sessions = "-1" }, "sessions" },
        { { .sessions = "4x" }, "sessions" },
        { { .sessions = "x" }, "sessions" },
        { { .sessions = "99999999999999999999999999" }, "sessions" },
        { { .module = "libsofthsm2.so" },
          "pkcs11-module must be an absolute path" },
        { { .module = "./libsofthsm2.so" },
          "pkcs11-module must be an absolute path" },
        [NO_MODULE] = { { .module = NULL },
                        "pkcs11-module must be an absolute path" },
        { { .derive = "yes" }, "derive = yes: must be in-token or transient" },
        { { .wrap = "all" }, "wrap = all: must be trusted or any" },
        { { .secrets = "go" }, "secrets = go: must be stay or travel" },
        { { .timeout = "0" }, "handshake-timeout = 0: must be 1 to 3600" },
        { { .timeout = "3601" }, "handshake-timeout" },
        { { .max = "15" }, "sealed-max = 15: must be 16 to 1048576" },
        { { .max = "1048577" }, "sealed-max" },
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct section s = bad[i].s;
        OSSL_LIB_CTX *ctx;

        if (s.module == NULL && i != NO_MODULE)
            s.module = good.module;
        ctx = token_context(t, &s, false);
        ERR_clear_error();
        assert_null(OSSL_PROVIDER_load(ctx, "sealed"));
        assert_true(queue_had(bad[i].text));
        assert_int_equal(OSSL_PROVIDER_available(ctx, "sealed"), 0);
        OSSL_LIB_CTX_free(ctx);
        ctx = token_context(t, &s, true);
        assert_int_equal(OSSL_PROVIDER_available(ctx, "sealed"), 0);
        OSSL_LIB_CTX_free(ctx);
    }
}

static void test_sessions_accepted(void **state)
{
    static const char *const sessions[] = { NULL, "1", "1024" };
    const struct token *t = *state;
    struct section s = token_section(t);

    for (size_t i = 0; i < sizeof(sessions) / sizeof(sessions[0]); i++) {
        OSSL_LIB_CTX *ctx;

        s.sessions = sessions[i];
        ctx = token_load(t, &s);
        assert_null(key_find(ctx, "pkcs11:object=none", OSSL_STORE_INFO_PKEY));
        assert_true(queue_had("not found in the token"));
        OSSL_LIB_CTX_free(ctx);
    }
}

/* The token is not touched before it is needed, so loading works. */
static void use_fails(const struct token *t, const struct section *s,
                      const char *first, const char *second)
{
    OSSL_LIB_CTX *ctx = token_load(t, s);

    ERR_clear_error();
    assert_null(key_find(ctx, KEY_URI, OSSL_STORE_INFO_PKEY));
    assert_true(queue_had(first));
    assert_null(key_find(ctx, KEY_URI, OSSL_STORE_INFO_PKEY));
    assert_true(queue_had(second));
    OSSL_LIB_CTX_free(ctx);
}

static void test_token_errors(void **state)
{
    const struct token *t = *state;
    struct section s = token_section(t);

    s.token = "pkcs11:token=other";
    use_fails(t, &s, "not found in the token", "no token matches");
    s.token = "pkcs11:token=%zz";
    use_fails(t, &s, "refused parameter", "malformed URI");
    s = token_section(t);
    s.module = "/nonexistent/module.so";
    use_fails(t, &s, "provider configuration is wrong", "/nonexistent");
    s = token_section(t);
    s.pin_file = "/nonexistent/pin";
    use_fails(t, &s, "provider configuration is wrong", "/nonexistent/pin");
}

static void test_wrong_pin(void **state)
{
    const struct token *t = *state;
    struct section s = token_section(t);
    char path[64];

    token_file(t, "wrong-pin", "9999\n", path);
    s.pin_file = path;
    use_fails(t, &s, "PIN refused by the token",
              "refused before, not sent again");
    use_fails(t, &s, "CKR_PIN_INCORRECT", "PIN refused by the token");
}

/* Three tries lock many a token: the fake counts them. */
static void test_wrong_pin_is_sent_once(void **state)
{
    const struct token *t = *state;
    struct section s = token_section(t);
    fake_reset_fn *reset;
    struct fake *fake;
    char path[64];
    void *dl;

    s.module = getenv("FAKE_P11");
    assert_non_null(s.module);
    dl = dlopen(s.module, RTLD_NOW | RTLD_LOCAL);
    assert_non_null(dl);
    fake = dlsym(dl, "fake");
    *(void **)&reset = dlsym(dl, "fake_reset");
    reset(0, CKR_OK);
    token_file(t, "wrong-pin", "9999\n", path);
    s.pin_file = path;
    s.token = "pkcs11:token=fake";
    use_fails(t, &s, "PIN refused by the token",
              "refused before, not sent again");
    assert_int_equal(fake->logins, 1);
    assert_int_equal(dlclose(dl), 0);
}

/* Use, forget, unload; and all over again, with the key made at first. */
static void test_reload(void **state)
{
    const struct token *t = *state;
    const struct section s = token_section(t);
    OSSL_LIB_CTX *plain = OSSL_LIB_CTX_new();
    EVP_PKEY *pub = NULL;

    for (int i = 0; i < 3; i++) {
        OSSL_LIB_CTX *ctx = token_load(t, &s);
        EVP_PKEY *key = i == 0 ? key_generate(ctx, &kinds[P256], KEY_URI)
                               : key_find(ctx, KEY_URI, OSSL_STORE_INFO_PKEY);
        unsigned char sig[SIG_MAX];
        size_t len = sizeof(sig);

        assert_non_null(key);
        if (i == 0)
            pub = key_public(key, plain);
        assert_true(sign_message(ctx, key, "SHA256", NULL, sig, &len));
        assert_true(verify_message(plain, pub, "SHA256", sig, len));
        EVP_PKEY_free(key);
        OSSL_LIB_CTX_free(ctx);
    }
    EVP_PKEY_free(pub);
    OSSL_LIB_CTX_free(plain);
}

/* A server's context and a client's, say, both with keys of the token. */
static void test_two_contexts(void **state)
{
    const struct token *t = *state;
    const struct section s = token_section(t);
    OSSL_LIB_CTX *ctx[2] = { token_load(t, &s), token_load(t, &s) };
    const struct kind *k = &kinds[P256];
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);
    EVP_PKEY *key[2];

    key[0] = key_generate(ctx[0], k, "pkcs11:object=two-contexts");
    key[1] =
        key_find(ctx[1], "pkcs11:object=two-contexts", OSSL_STORE_INFO_PKEY);
    assert_non_null(key[0]);
    assert_non_null(key[1]);
    assert_true(sign_message(ctx[0], key[0], k->md, NULL, sig, &len));
    EVP_PKEY_free(key[0]);
    OSSL_LIB_CTX_free(ctx[0]);
    len = sizeof(sig); /* the first one's end is not the second's */
    assert_true(sign_message(ctx[1], key[1], k->md, NULL, sig, &len));
    EVP_PKEY_free(key[1]);
    OSSL_LIB_CTX_free(ctx[1]);
}

static void test_provider_params(void **state)
{
    const struct token *t = *state;
    const struct section s = token_section(t);
    OSSL_LIB_CTX *ctx = token_load(t, &s);
    OSSL_PROVIDER *p = OSSL_PROVIDER_load(ctx, "sealed");
    const char *name = NULL, *version = NULL, *rung = NULL;
    unsigned long transients = 7;
    int status = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_ptr("name", (char **)(uintptr_t)&name, 0),
        OSSL_PARAM_utf8_ptr("version", (char **)(uintptr_t)&version, 0),
        OSSL_PARAM_int("status", &status),
        OSSL_PARAM_utf8_ptr("derive-rung", (char **)(uintptr_t)&rung, 0),
        OSSL_PARAM_ulong("transient-secrets", &transients),
        OSSL_PARAM_END,
    };

    assert_non_null(p);
    assert_non_null(OSSL_PROVIDER_gettable_params(p));
    assert_true(OSSL_PROVIDER_get_params(p, params));
    assert_string_equal(name, "capif-hsm sealed provider");
    assert_true(strlen(version) > 0);
    assert_int_equal(status, 1);
    assert_string_equal(rung, "token not open"); /* nor by this question */
    assert_int_equal(transients, 0);
    assert_null(key_find(ctx, "pkcs11:object=none", OSSL_STORE_INFO_PKEY));
    assert_true(OSSL_PROVIDER_get_params(p, params));
    assert_string_equal(rung, "none");
    assert_true(OSSL_PROVIDER_unload(p));
    OSSL_LIB_CTX_free(ctx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_configuration_refused),
        cmocka_unit_test(test_sessions_accepted),
        cmocka_unit_test(test_token_errors),
        cmocka_unit_test(test_wrong_pin),
        cmocka_unit_test(test_wrong_pin_is_sent_once),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_two_contexts),
        cmocka_unit_test(test_provider_params),
    };

    return cmocka_run_group_tests_name("provider: life", tests, token_setup,
                                       token_teardown);
}
