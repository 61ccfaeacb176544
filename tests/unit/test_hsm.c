/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsm_open() and hsm_find(): configuration, PIN files, the choice of the
 * token and of its objects, login.
 */
#include "hsm_fixture.h"

#include <openssl/evp.h>
#include <string.h>
#include <unistd.h>

/* Opening must fail like that and leave nothing behind. */
static void refuse(const struct hsm_config *cfg, enum hsm_status want)
{
    struct hsm *h = (void *)&cfg;

    fake_do_reset(0, CKR_OK);
    assert_int_equal(hsm_open(cfg, &h), want);
    assert_ptr_equal(h, &cfg);
    assert_int_equal(fake->open_sessions, 0);
    assert_false(fake->initialized);
}

static void test_config(void **state)
{
    const struct hsm_config good = fixture_config(1);
    struct hsm_config cfg = good;

    (void)state;
    cfg.sessions = 0;
    refuse(&cfg, HSM_ERR_PARAM);
    cfg.sessions = 1025;
    refuse(&cfg, HSM_ERR_PARAM);
    cfg = good;
    cfg.module = NULL;
    refuse(&cfg, HSM_ERR_PARAM);
    cfg.module = "/nonexistent/module.so";
    refuse(&cfg, HSM_ERR_CONFIG);
    cfg.module = "libcrypto.so.3"; /* a library, but not a module */
    refuse(&cfg, HSM_ERR_CONFIG);
    assert_non_null(strstr(hsm_last_error(), "not a PKCS#11 module"));
    cfg = good;
    cfg.token = NULL;
    refuse(&cfg, HSM_ERR_PARAM);
}

/* A PIN file that can't be the PIN never gets as far as the token. */
static void refuse_pin_file(const char *name, const char *text, size_t len,
                            unsigned mode)
{
    struct hsm_config cfg = fixture_config(1);

    cfg.pin_file = fixture_file(name, text, len, mode);
    refuse(&cfg, HSM_ERR_CONFIG);
    assert_int_equal(fake->logins, 0);
    assert_non_null(strstr(hsm_last_error(), name));
    assert_int_equal(unlink(cfg.pin_file), 0);
}

static void test_pin_file_refused(void **state)
{
    static const char pin[] = FAKE_PIN "\n";
    struct hsm_config cfg = fixture_config(1);
    char longest[256];

    (void)state;
    refuse_pin_file("pin-0644", pin, 5, 0644);
    refuse_pin_file("pin-0640", pin, 5, 0640);
    refuse_pin_file("pin-0604", pin, 5, 0604);
    refuse_pin_file("pin-empty", "", 0, 0600);
    refuse_pin_file("pin-newline", "\n", 1, 0600); /* it would cost a try */
    memset(longest, '1', sizeof(longest));
    refuse_pin_file("pin-long", longest, sizeof(longest), 0600);
    cfg.pin_file = "/nonexistent/pin";
    refuse(&cfg, HSM_ERR_CONFIG);
    cfg.pin_file = "/tmp"; /* no regular file */
    refuse(&cfg, HSM_ERR_CONFIG);
    assert_int_equal(fake->logins, 0);
}

static void test_pin_file_accepted(void **state)
{
    static const char *const texts[] = { "1234", "1234\n", "1234\r\n",
                                         "1234\nsecond line\n" };
    struct hsm_config cfg = fixture_config(1);

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct hsm *h = NULL;

        cfg.pin_file = fixture_file("pin-ok", texts[i], strlen(texts[i]), 0400);
        assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
        fixture_close(h);
        assert_int_equal(unlink(cfg.pin_file), 0);
    }
}

static void test_pin_wrong(void **state)
{
    struct hsm_config cfg = fixture_config(1);

    (void)state;
    cfg.pin_file = fixture_file("pin-wrong", "12345", 5, 0600);
    refuse(&cfg, HSM_ERR_PIN);
    assert_string_equal(hsm_last_error(), "C_Login: CKR_PIN_INCORRECT (0xa0)");
    assert_int_equal(fake->logins, 1);
    assert_int_equal(unlink(cfg.pin_file), 0);
}

static void test_token_uri(void **state)
{
    static const struct {
        const char *uri;
        enum hsm_status st;
    } uris[] = {
        { "", HSM_ERR_PARAM },
        { "token=fake", HSM_ERR_PARAM },
        { "pkcs11:token=%zz", HSM_ERR_PARAM },
        { "pkcs11:no-such-attribute=1", HSM_ERR_PARAM },
        { "pkcs11:token=other", HSM_ERR_NOT_FOUND },
        { "pkcs11:token=fake;serial=9", HSM_ERR_NOT_FOUND },
    };
    struct hsm_config cfg = fixture_config(1);

    (void)state;
    for (size_t i = 0; i < sizeof(uris) / sizeof(uris[0]); i++) {
        cfg.token = uris[i].uri;
        refuse(&cfg, uris[i].st);
    }
}

static void test_two_tokens(void **state)
{
    struct hsm_config cfg = fixture_config(1);
    struct hsm *h = NULL;

    (void)state;
    fake->slots = 2;
    refuse(&cfg, HSM_ERR_PARAM);
    assert_non_null(strstr(hsm_last_error(), "2 tokens match"));
    cfg.token = "pkcs11:token=fake;serial=2";
    assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
    fake->slots = 1;
    fixture_close(h);
}

/* One login a struct hsm, however much work is done with it. */
static void test_login_once(void **state)
{
    struct hsm *h = fixture_open(2);
    struct hsm_key *key = fixture_key(h, "ec");
    const struct hsm_sign_params p = { .mech = HSM_MECH_ECDSA };
    uint8_t tbs[32] = { 1 }, sig[FAKE_EC_OCTETS];

    (void)state;
    assert_int_equal(fake->logins, 1);
    for (int i = 0; i < 5; i++) {
        size_t len = sizeof(sig);

        /* Every other one fails, and costs the pool its session. */
        fake_do_reset(i % 2 == 0 ? 0 : 2, CKR_DEVICE_ERROR);
        assert_int_equal(hsm_sign(key, &p, tbs, sizeof(tbs), sig, &len),
                         i % 2 == 0 ? HSM_OK : HSM_ERR_DEVICE);
        assert_int_equal(fake->logins, 0);
    }
    fake_do_reset(0, CKR_OK);
    for (int i = 0; i < 5; i++) {
        size_t len = sizeof(sig);

        assert_int_equal(hsm_sign(key, &p, tbs, sizeof(tbs), sig, &len),
                         HSM_OK);
    }
    assert_int_equal(fake->calls, 2 * 5); /* C_SignInit(), C_Sign(): no more */
    hsm_key_free(key);
    fixture_close(h);
}

static void test_no_pin_file(void **state)
{
    struct hsm_config cfg = fixture_config(1);
    struct hsm *h = NULL;

    (void)state;
    cfg.pin_file = NULL;
    fake_do_reset(0, CKR_OK);
    assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
    assert_int_equal(fake->logins, 0);
    fixture_close(h);
}

/* The login is the process's, so a second user of the module meets the first;
 * neither opening nor closing may take the module from the other. */
static void test_two_users_of_a_module(void **state)
{
    const struct hsm_sign_params p = { .mech = HSM_MECH_ECDSA };
    struct hsm *a = fixture_open(1), *b;
    struct hsm_key *key_a = fixture_key(a, "ec"), *key_b;
    uint8_t tbs[32] = { 1 }, sig[FAKE_EC_OCTETS];
    size_t len = sizeof(sig);

    (void)state;
    b = fixture_open(1);
    key_b = fixture_key(b, "ec");
    assert_int_equal(hsm_sign(key_a, &p, tbs, sizeof(tbs), sig, &len), HSM_OK);
    hsm_key_free(key_a);
    hsm_close(a);
    assert_true(fake->initialized);
    assert_int_equal(hsm_sign(key_b, &p, tbs, sizeof(tbs), sig, &len), HSM_OK);
    hsm_key_free(key_b);
    fixture_close(b);
}

static void find_n(struct hsm *h, const char *uri, unsigned classes,
                   size_t want)
{
    struct hsm_object *objs = NULL;
    size_t n = 0;

    if (want == 0) {
        assert_int_equal(hsm_find(h, uri, classes, &objs, &n),
                         HSM_ERR_NOT_FOUND);
        assert_null(objs);
        return;
    }
    assert_int_equal(hsm_find(h, uri, classes, &objs, &n), HSM_OK);
    assert_int_equal(n, want);
    for (size_t i = 1; i < n; i++) /* private, public, certificates */
        assert_true(objs[i - 1].cls <= objs[i].cls);
    hsm_objects_free(objs, n);
}

static void test_find(void **state)
{
    const unsigned all = HSM_PRIVATE | HSM_PUBLIC | HSM_CERT;
    struct hsm *h = fixture_open(1);
    struct hsm_object *objs = NULL;
    size_t n = 0;

    (void)state;
    find_n(h, "pkcs11:", all, 5);
    find_n(h, "pkcs11:", HSM_PUBLIC, 2);
    find_n(h, "pkcs11:object=ec", all, 3);
    find_n(h, "pkcs11:id=%01", all, 2);
    find_n(h, "pkcs11:object=rsa;id=%02", all, 0);
    find_n(h, "pkcs11:object=ec;type=cert", all, 1);
    find_n(h, "pkcs11:object=ec;type=cert", HSM_PRIVATE, 0);
    find_n(h, "pkcs11:object=none", all, 0);
    find_n(h, "pkcs11:token=other;object=ec", all, 0);
    assert_int_equal(hsm_find(h, "pkcs11:id=%zz", all, &objs, &n),
                     HSM_ERR_PARAM);
    assert_int_equal(hsm_find(h, "file:ec", all, &objs, &n), HSM_ERR_PARAM);
    assert_null(objs);
    fixture_close(h);
}

/* C_FindObjects() may give less than was asked for: 0 is the end. */
static void test_find_in_steps(void **state)
{
    struct hsm *h = fixture_open(1);

    (void)state;
    fake->find_step = 1;
    find_n(h, "pkcs11:", HSM_PRIVATE | HSM_PUBLIC | HSM_CERT, 5);
    fake->find_step = 1000;
    fixture_close(h);
}

/* The point is the same, be it from the public key or the certificate. */
static void test_public_half(void **state)
{
    struct hsm *h = fixture_open(1);
    struct hsm_key *key;

    (void)state;
    for (int hide = 0; hide < 2; hide++) {
        const struct hsm_key_info *info;

        fake->hide_public = hide;
        key = fixture_key(h, "ec");
        info = hsm_key_info(key);
        assert_int_equal(info->type, HSM_KEY_EC);
        assert_int_equal(info->curve, HSM_CURVE_P256);
        assert_true(info->is_private);
        assert_int_equal(info->a_len, 65);
        assert_memory_equal(info->a, fake->point + 2, 65);
        hsm_key_free(key);
    }
    fake->hide_public = false;
    fixture_close(h);
}

static void test_public_key_cannot_sign(void **state)
{
    const struct hsm_sign_params p = { .mech = HSM_MECH_ECDSA };
    struct hsm *h = fixture_open(1);
    struct hsm_object *objs = NULL;
    uint8_t tbs[32] = { 1 }, sig[FAKE_EC_OCTETS];
    size_t n = 0, len = sizeof(sig);

    (void)state;
    assert_int_equal(hsm_find(h, "pkcs11:object=ec", HSM_PUBLIC, &objs, &n),
                     HSM_OK);
    fake_do_reset(0, CKR_OK);
    assert_int_equal(hsm_sign(objs[0].key, &p, tbs, sizeof(tbs), sig, &len),
                     HSM_ERR_DENIED);
    assert_int_equal(fake->calls, 0);
    hsm_objects_free(objs, n);
    fixture_close(h);
}

static void test_generate_refused(void **state)
{
    struct hsm *h = fixture_open(2);
    struct hsm_key *key = (void *)h;

    (void)state;
    assert_int_equal(hsm_generate(h, HSM_KEY_EC, HSM_CURVE_P256, 0,
                                  HSM_USE_SIGN, "pkcs11:object=ec", &key),
                     HSM_ERR_DENIED);
    assert_int_equal(hsm_generate(h, HSM_KEY_EC, HSM_CURVE_P256, 0,
                                  HSM_USE_SIGN, "pkcs11:id=%07", &key),
                     HSM_ERR_PARAM);
    assert_int_equal(hsm_generate(h, HSM_KEY_EC, HSM_CURVE_NONE, 0,
                                  HSM_USE_SIGN, "pkcs11:object=x", &key),
                     HSM_ERR_PARAM);
    assert_ptr_equal(key, h);
    fixture_close(h);
}

static void test_null(void **state)
{
    (void)state;
    hsm_close(NULL);
    hsm_key_free(NULL);
    hsm_objects_free(NULL, 0);
    hsm_objects_free(NULL, 3);
    assert_non_null(hsm_last_error());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config),
        cmocka_unit_test(test_pin_file_refused),
        cmocka_unit_test(test_pin_file_accepted),
        cmocka_unit_test(test_pin_wrong),
        cmocka_unit_test(test_token_uri),
        cmocka_unit_test(test_two_tokens),
        cmocka_unit_test(test_login_once),
        cmocka_unit_test(test_no_pin_file),
        cmocka_unit_test(test_two_users_of_a_module),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_find_in_steps),
        cmocka_unit_test(test_public_half),
        cmocka_unit_test(test_public_key_cannot_sign),
        cmocka_unit_test(test_generate_refused),
        cmocka_unit_test(test_null),
    };

    return cmocka_run_group_tests_name("hsm: open and find", tests,
                                       fixture_setup, fixture_teardown);
}
