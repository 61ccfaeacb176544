/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider's options by their other names, where the PIN comes from, and
 * which token a URI names; on two SoftHSM tokens, "unit" and "two".
 */
#include "token.h"

#include <dlfcn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/store.h>
#include <openssl/ui.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY     "pkcs11:object=p256;type=private"
#define UNIT    "pkcs11:token=unit;object=p256;type=private"
#define PIN_TWO "4321"

static char pin_two[64];

static int setup(void **state)
{
    const char *const init[] = {
        "softhsm2-util", "--init-token", "--free", "--label", "two",
        "--so-pin",      "5678",         "--pin",  PIN_TWO,   NULL
    };
    OSSL_LIB_CTX *ctx;
    struct section s;
    struct token *t;

    assert_int_equal(token_setup(state), 0);
    t = *state;
    assert_int_equal(token_run(init), 0);
    token_file(t, "pin-two", PIN_TWO "\n", pin_two);
    for (int i = 0; i < 2; i++) {
        s = token_section(t);
        s.token = i == 0 ? "pkcs11:token=unit" : "pkcs11:token=two";
        s.pin_file = i == 0 ? t->pin_file : pin_two;
        ctx = token_load(t, &s);
        EVP_PKEY_free(key_generate(ctx, &kinds[P256], "pkcs11:object=p256"));
        if (i == 1)
            EVP_PKEY_free(
                key_generate(ctx, &kinds[ED25519], "pkcs11:object=only-two"));
        OSSL_LIB_CTX_free(ctx);
    }
    assert_int_equal(ERR_peek_error(), 0);
    return 0;
}

/* The provider with nothing but the module, and these lines. */
static OSSL_LIB_CTX *with(const struct token *t, const char *more)
{
    const struct section s = { .module = t->softhsm, .more = more };

    return token_load(t, &s);
}

static bool finds(OSSL_LIB_CTX *ctx, const char *uri)
{
    EVP_PKEY *key = key_find(ctx, uri, OSSL_STORE_INFO_PKEY);

    EVP_PKEY_free(key);
    return key != NULL;
}

static bool finds_with(const struct token *t, const char *more, const char *uri)
{
    OSSL_LIB_CTX *ctx = with(t, more);
    bool found = finds(ctx, uri);

    OSSL_LIB_CTX_free(ctx);
    return found;
}

/* ---- names ---- */

static void test_other_names(void **state)
{
    const struct token *t = *state;
    const struct section s = { .more = t->dir };
    char more[1024];
    struct section theirs = s;
    OSSL_LIB_CTX *ctx;

    snprintf(more, sizeof(more),
             "pkcs11-module-path = %s\n"
             "pkcs11-module-token-pin = file:%s\n"
             "pkcs11-module-login-behavior = auto\n"
             "pkcs11-module-cache-sessions = 0\n"
             "pkcs11-module-cache-keys = true\n"
             "pkcs11-module-cache-pins = cache\n"
             "pkcs11-module-load-behavior = early\n"
             "pkcs11-module-allow-export = 0\n"
             "pkcs11-module-assume-fips = false\n"
             "pkcs11-module-quirks = no-operation-state no-session-callbacks\n",
             t->softhsm, t->pin_file);
    theirs.more = more;
    ctx = token_load(t, &theirs);
    assert_true(finds(ctx, UNIT));
    OSSL_LIB_CTX_free(ctx);
    assert_true(
        finds_with(t, "pkcs11-module-token-pin = " TOKEN_PIN "\n", UNIT));
}

static void test_wrong_values(void **state)
{
    static const struct {
        const char *more, *text;
    } bad[] = {
        { "pkcs11-module-cache-sessions = x\n",
          "pkcs11-module-cache-sessions = x: must be 0 to 1024" },
        { "pkcs11-module-login-behavior = maybe\n",
          "pkcs11-module-login-behavior = maybe: must be auto" },
        { "login = maybe\n", "login = maybe: must be auto" },
        { "load = late\n", "load = late: must be lazy or early" },
        { "pin-cache = perhaps\n", "pin-cache = perhaps: must be yes or no" },
        { "quirks = no-deinit no-brakes\n", "quirks = no-deinit no-brakes" },
        { "pkcs11-module-allow-export = 1\n", "pkcs11-module-allow-export" },
        { "pkcs11-module-block-operations = digest\n",
          "pkcs11-module-block-operations" },
        { "pkcs11-module-assume-fips = true\n", "pkcs11-module-assume-fips" },
        { "pkcs11-module-token-pin =\n", "pkcs11-module-token-pin" },
        { "pin-file = /x\npkcs11-module-token-pin = 1\n", "one of these" },
        { "pin-credential = ../x\n", "a name without a slash" },
        { "pin-credential = x\n", "no CREDENTIALS_DIRECTORY" },
        { "trace = /nonexistent/trace\n", "trace = /nonexistent/trace" },
    };
    const struct token *t = *state;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct section s = { .module = t->softhsm, .more = bad[i].more };
        OSSL_LIB_CTX *ctx = token_context(t, &s, false);

        ERR_clear_error();
        assert_null(OSSL_PROVIDER_load(ctx, "sealed"));
        if (!queue_had(bad[i].text))
            fail_msg("not told: %s", bad[i].text);
        OSSL_LIB_CTX_free(ctx);
    }
}

/* ---- PINs ---- */

static void test_credential(void **state)
{
    const struct token *t = *state;

    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", t->dir, 1), 0);
    assert_true(finds_with(t, "pin-credential = pin\n", UNIT));
    assert_false(finds_with(t, "pin-credential = none\n", UNIT));
    assert_true(queue_had("/none: No such file"));
    assert_int_equal(unsetenv("CREDENTIALS_DIRECTORY"), 0);
}

static void test_never(void **state)
{
    const struct token *t = *state;
    char more[128];

    snprintf(more, sizeof(more), "login = never\npin-file = %s\n", t->pin_file);
    assert_false(finds_with(t, more, UNIT));
    assert_true(queue_had("nothing matches"));
    assert_false(finds_with(t, more, UNIT "?pin-value=" TOKEN_PIN));
}

static void test_pin_in_uri(void **state)
{
    const struct token *t = *state;
    OSSL_LIB_CTX *ctx = with(t, NULL);
    char uri[256];

    assert_false(finds(ctx, UNIT)); /* nobody is logged in */
    assert_true(queue_had("nothing matches"));
    assert_false(finds(ctx, UNIT "?pin-value=9999"));
    assert_true(queue_had("CKR_PIN_INCORRECT"));
    assert_false(finds(ctx, UNIT "?pin-value=9999"));
    assert_true(queue_had("refused before, not sent again"));
    assert_false(finds(ctx, UNIT "?pin-value="));
    assert_true(queue_had("pin-value is empty"));
    assert_false(finds(ctx, UNIT "?pin-source=pin"));
    assert_true(queue_had("pin-source must be an absolute path"));
    snprintf(uri, sizeof(uri), "%s?pin-source=file:%s", UNIT, pin_two);
    assert_false(finds(ctx, uri));
    assert_true(queue_had("CKR_PIN_INCORRECT"));
    snprintf(uri, sizeof(uri), "%s?pin-source=%s", UNIT, t->pin_file);
    assert_true(finds(ctx, uri));
    assert_true(finds(ctx, UNIT)); /* the login is the process's */
    OSSL_LIB_CTX_free(ctx);
    assert_true(finds_with(t, NULL, UNIT "?pin-value=" TOKEN_PIN));
}

struct asked {
    const char *pin;
    unsigned times;
    char prompt[128];
};

static int answer(char *buf, int size, int rwflag, void *arg)
{
    struct asked *asked = arg;

    (void)rwflag;
    asked->times++;
    if (asked->pin == NULL)
        return -1;
    snprintf(buf, (size_t)size, "%s", asked->pin);
    return (int)strlen(asked->pin);
}

static bool finds_asking(OSSL_LIB_CTX *ctx, struct asked *asked)
{
    UI_METHOD *ui = UI_UTIL_wrap_read_pem_callback(answer, 0);
    OSSL_STORE_CTX *store =
        OSSL_STORE_open_ex(UNIT, ctx, NULL, ui, asked, NULL, NULL, NULL);
    OSSL_STORE_INFO *info = NULL;
    bool found;

    assert_non_null(store);
    assert_true(OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY));
    info = OSSL_STORE_load(store);
    found = info != NULL;
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    UI_destroy_method(ui);
    return found;
}

static void test_asked(void **state)
{
    const struct token *t = *state;
    OSSL_LIB_CTX *ctx = with(t, NULL);
    struct asked asked = { .pin = NULL };

    assert_false(finds_asking(ctx, &asked));
    assert_int_equal(asked.times, 1);
    asked.pin = "9998";
    assert_false(finds_asking(ctx, &asked));
    assert_true(queue_had("CKR_PIN_INCORRECT"));
    asked.pin = TOKEN_PIN;
    assert_true(finds_asking(ctx, &asked));
    assert_int_equal(asked.times, 3);
    assert_true(finds_asking(ctx, &asked)); /* not again */
    assert_int_equal(asked.times, 3);
    OSSL_LIB_CTX_free(ctx);
}

/* Everything of the process's is gone; a kept PIN brings the login back. */
static void lose_sessions(const struct token *t)
{
    CK_C_GetFunctionList get;
    CK_FUNCTION_LIST *p11 = NULL;
    CK_SLOT_ID slots[4];
    CK_ULONG n = 4;

    *(void **)&get = dlsym(t->mapped, "C_GetFunctionList");
    assert_true(get != NULL && get(&p11) == CKR_OK);
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    for (CK_ULONG i = 0; i < n; i++)
        (void)p11->C_CloseAllSessions(slots[i]);
}

static void test_kept(void **state)
{
    const struct token *t = *state;

    for (int keep = 0; keep < 2; keep++) {
        OSSL_LIB_CTX *ctx = with(t, keep ? "pin-cache = yes\n" : NULL);
        struct asked asked = { .pin = TOKEN_PIN };

        assert_true(finds_asking(ctx, &asked));
        lose_sessions(t);
        assert_int_equal(finds(ctx, UNIT), keep);
        OSSL_LIB_CTX_free(ctx);
    }
}

/* ---- tokens ---- */

static void test_two_tokens(void **state)
{
    const struct token *t = *state;
    OSSL_LIB_CTX *ctx;
    char more[128];

    snprintf(more, sizeof(more), "pin-file = %s\n", t->pin_file);
    ctx = with(t, more);
    assert_true(finds(ctx, UNIT));
    /* The PIN is sent to whom a URI names alone: here the wrong one. */
    assert_false(finds(ctx, "pkcs11:token=two;object=only-two"));
    assert_true(queue_had("CKR_PIN_INCORRECT"));
    OSSL_LIB_CTX_free(ctx);

    ctx = with(t, more); /* first with others, then alone */
    assert_false(finds(ctx, KEY));
    assert_true(finds(ctx, UNIT));
    OSSL_LIB_CTX_free(ctx);

    ctx = with(t, NULL);
    assert_false(finds(ctx, KEY));
    assert_true(finds(ctx, UNIT "?pin-value=" TOKEN_PIN));
    assert_true(finds(ctx, "pkcs11:token=two;object=only-two"
                           "?pin-value=" PIN_TWO));
    assert_true(finds(ctx, "pkcs11:object=only-two;type=private"));
    assert_true(finds(ctx, KEY));
    assert_false(finds(ctx, "pkcs11:token=three;object=only-two"));
    assert_true(queue_had("no token matches pkcs11:token=three"));
    OSSL_LIB_CTX_free(ctx);
}

static void check(OSSL_LIB_CTX *ctx, const char *uri, const char *more,
                  bool want)
{
    char all[512];

    snprintf(all, sizeof(all), "%s%s", uri, more);
    if (finds(ctx, all) != want)
        fail_msg("%s", all);
}

/* Every attribute of RFC 7512, in any order. */
static void test_attributes(void **state)
{
    const struct token *t = *state;
    const struct section s = token_section(t);
    OSSL_LIB_CTX *ctx = token_load(t, &s);

    check(ctx, "pkcs11:object=p256;token=unit", "", true);
    check(ctx, "pkcs11:obj%65ct=p256", "", false);
    check(ctx, "pkcs11:object=%70%32%35%36;type=private", "", true);
    check(ctx, "pkcs11:manufacturer=SoftHSM%20project;object=p256", "", true);
    check(ctx, "pkcs11:model=SoftHSM%20v2;object=p256", "", true);
    check(ctx, "pkcs11:model=other;object=p256", "", false);
    check(ctx, "pkcs11:serial=0;object=p256", "", false);
    check(ctx, "pkcs11:slot-id=1;object=p256", "", false);
    check(ctx, "pkcs11:library-manufacturer=SoftHSM;object=p256", "", true);
    check(ctx, "pkcs11:library-manufacturer=other;object=p256", "", false);
    check(ctx, "pkcs11:library-version=99;object=p256", "", false);
    check(ctx, "pkcs11:object=p256?module-name=softhsm2", "", true);
    check(ctx, "pkcs11:object=p256?module-name=libsofthsm2", "", true);
    check(ctx, "pkcs11:object=p256?module-name=softokn3", "", false);
    check(ctx, "pkcs11:object=p256?module-path=", t->softhsm, true);
    check(ctx, "pkcs11:object=p256?module-path=/lib/other.so", "", false);
    OSSL_LIB_CTX_free(ctx);
}

/* ---- trace ---- */

static void test_trace(void **state)
{
    const struct token *t = *state;
    struct section s = token_section(t);
    char path[64], more[80], line[256];
    bool login = false, find = false;
    OSSL_LIB_CTX *ctx;
    FILE *f;

    snprintf(path, sizeof(path), "%s/trace", t->dir);
    snprintf(more, sizeof(more), "trace = %s\n", path);
    s.more = more;
    ctx = token_load(t, &s);
    assert_true(finds(ctx, KEY));
    OSSL_LIB_CTX_free(ctx);
    f = fopen(path, "r");
    assert_non_null(f);
    while (fgets(line, sizeof(line), f) != NULL) {
        login = login || strstr(line, " C_Login: CKR_OK (0x0) ") != NULL;
        find = find || strstr(line, " C_FindObjects: CKR_OK ") != NULL;
        assert_null(strstr(line, "p256"));
    }
    fclose(f);
    assert_true(login && find);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_other_names), cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_credential),  cmocka_unit_test(test_never),
        cmocka_unit_test(test_pin_in_uri),  cmocka_unit_test(test_asked),
        cmocka_unit_test(test_kept),        cmocka_unit_test(test_two_tokens),
        cmocka_unit_test(test_attributes),  cmocka_unit_test(test_trace),
    };

    return cmocka_run_group_tests_name("provider: configuration", tests, setup,
                                       token_teardown);
}
