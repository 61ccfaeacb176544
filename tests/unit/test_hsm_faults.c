/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every call into the token fails in turn, for every function of hsm.h: what
 * is written only on success stays as it was, no session leaks, and one that
 * has seen a failure is not used again.  A loss is made good where that can
 * be; see test_hsm_loss.c.
 */
#include "hsm_fixture.h"
#include "internal.h"

#include <string.h>

/* Codes of PKCS#11 that end an operation, and what is to become of them. */
static const struct {
    CK_RV rv;
    enum hsm_status st;
} faults[] = {
    { CKR_DEVICE_REMOVED, HSM_ERR_GONE },
    { CKR_SESSION_HANDLE_INVALID, HSM_ERR_SESSION },
    { CKR_DEVICE_MEMORY, HSM_ERR_MEMORY },
    { CKR_GENERAL_ERROR, HSM_ERR_DEVICE },
    { 0x8000beef, HSM_ERR_DEVICE },
};
#define N_FAULTS (sizeof(faults) / sizeof(faults[0]))

#define UNTOUCHED 0x77

static bool is_loss(enum hsm_status st)
{
    return st == HSM_ERR_GONE || st == HSM_ERR_SESSION;
}

/* One use of the interface; asserts that a failure leaves no trace. */
typedef enum hsm_status op_fn(struct hsm *h, struct hsm_key *key);

static void fail_each_call(const char *label, op_fn *op, unsigned min_calls)
{
    struct hsm *h = fixture_open(2);
    struct hsm_key *key = fixture_key(h, label);

    for (size_t i = 0; i < N_FAULTS; i++) {
        enum hsm_status st;
        unsigned n = 0;

        do {
            fake_do_reset(++n, faults[i].rv);
            st = op(h, key);
            if (st != HSM_OK || fake->calls < n || !is_loss(faults[i].st))
                assert_int_equal(st, fake->calls >= n ? faults[i].st : HSM_OK);
            assert_int_equal(fake->failed_open, 0);
            /* The anchor, and whatever went back to the pool. */
            assert_in_range(fake->open_sessions, 1, 2);
        } while (fake->calls >= n);
        assert_true(n > min_calls); /* or the loop has tested nothing */
    }
    hsm_key_free(key);
    fixture_close(h);
}

static enum hsm_status op_find(struct hsm *h, struct hsm_key *key)
{
    struct hsm_object *objs = (void *)&key;
    size_t n = UNTOUCHED;
    enum hsm_status st =
        hsm_find(h, "pkcs11:", HSM_PRIVATE | HSM_PUBLIC | HSM_CERT, &objs, &n);

    if (st == HSM_OK) {
        assert_int_equal(n, fake->hide_public ? 3 : 5);
        hsm_objects_free(objs, n);
    } else {
        assert_ptr_equal(objs, &key);
        assert_int_equal(n, UNTOUCHED);
    }
    return st;
}

static void test_find(void **state)
{
    (void)state;
    fail_each_call("ec", op_find, 20);
}

/* The public half of an EC key has to come from the certificate. */
static void test_find_without_public_key(void **state)
{
    (void)state;
    fake->hide_public = true;
    fail_each_call("ec", op_find, 20);
    fake->hide_public = false;
}

static enum hsm_status sign_with(struct hsm_key *key, enum hsm_mech mech,
                                 size_t want)
{
    const struct hsm_sign_params p = { .mech = mech,
                                       .hash = HSM_HASH_SHA256,
                                       .mgf1_hash = HSM_HASH_SHA256,
                                       .salt_len = 32 };
    uint8_t tbs[32] = { 1 }, sig[512];
    size_t len = sizeof(sig);
    enum hsm_status st;

    memset(sig, UNTOUCHED, sizeof(sig));
    st = hsm_sign(key, &p, tbs, sizeof(tbs), sig, &len);
    assert_int_equal(len, st == HSM_OK ? want : sizeof(sig));
    assert_int_equal(sig[0], st == HSM_OK ? 0x5a : UNTOUCHED);
    return st;
}

static enum hsm_status op_sign_ec(struct hsm *h, struct hsm_key *key)
{
    (void)h;
    return sign_with(key, HSM_MECH_ECDSA, FAKE_EC_OCTETS);
}

static enum hsm_status op_sign_pss(struct hsm *h, struct hsm_key *key)
{
    (void)h;
    return sign_with(key, HSM_MECH_RSA_PSS, FAKE_RSA_OCTETS);
}

static void test_sign(void **state)
{
    (void)state;
    fail_each_call("ec", op_sign_ec, 2);
    fail_each_call("rsa", op_sign_pss, 2);
}

static enum hsm_status op_random(struct hsm *h, struct hsm_key *key)
{
    uint8_t out[8];
    enum hsm_status st;

    (void)key;
    memset(out, UNTOUCHED, sizeof(out));
    st = hsm_random(h, out, sizeof(out));
    assert_int_equal(out[7], st == HSM_OK ? 0xa5 : UNTOUCHED);
    return st;
}

static void test_random(void **state)
{
    (void)state;
    fail_each_call("ec", op_random, 1);
}

static enum hsm_status generate(struct hsm *h, enum hsm_key_type type)
{
    struct hsm_key *key = (void *)h;
    enum hsm_status st =
        hsm_generate(h, type, type == HSM_KEY_EC ? HSM_CURVE_P256 : 0, 2048,
                     HSM_USE_SIGN, "pkcs11:object=new", &key);

    if (st == HSM_OK) {
        assert_true(hsm_key_info(key)->is_private);
        assert_int_equal(hsm_key_info(key)->type, type);
        hsm_key_free(key);
    } else {
        assert_ptr_equal(key, h);
    }
    return st;
}

static enum hsm_status op_generate_ec(struct hsm *h, struct hsm_key *key)
{
    (void)key;
    return generate(h, HSM_KEY_EC);
}

static enum hsm_status op_generate_rsa(struct hsm *h, struct hsm_key *key)
{
    (void)key;
    return generate(h, HSM_KEY_RSA);
}

static void test_generate(void **state)
{
    (void)state;
    fail_each_call("ec", op_generate_ec, 8);
    fail_each_call("ec", op_generate_rsa, 8);
}

/* hsm_open() has libp11 between it and the token: the code may be another. */
static void test_open(void **state)
{
    struct hsm_config cfg = fixture_config(2);

    (void)state;
    for (size_t i = 0; i < N_FAULTS; i++) {
        unsigned n = 0;

        do {
            struct hsm *h = (void *)&cfg;
            enum hsm_status st;

            fake_do_reset(++n, faults[i].rv);
            st = hsm_open(&cfg, &h);
            if (fake->calls >= n) {
                assert_int_not_equal(st, HSM_OK);
                assert_ptr_equal(h, &cfg);
                assert_true(strlen(hsm_last_error()) > 0);
            } else {
                assert_int_equal(st, HSM_OK);
                hsm_close(h);
            }
            assert_int_equal(fake->open_sessions, 0);
            assert_false(fake->initialized);
        } while (fake->calls >= n);
        assert_true(n > 6);
    }
}

/* The operation stays active after this one: its session must not be pooled. */
static void test_short_buffer_closes_session(void **state)
{
    const struct hsm_sign_params p = { .mech = HSM_MECH_ECDSA };
    struct hsm *h = fixture_open(1);
    struct hsm_key *key = fixture_key(h, "ec");
    uint8_t tbs[32] = { 1 }, sig[FAKE_EC_OCTETS];
    size_t len = sizeof(sig) - 1;

    (void)state;
    assert_int_equal(hsm_sign(key, &p, tbs, sizeof(tbs), sig, &len),
                     HSM_ERR_BUFFER);
    assert_int_equal(len, sizeof(sig) - 1);
    assert_int_equal(fake->open_sessions, 1);
    len = sizeof(sig);
    assert_int_equal(hsm_sign(key, &p, tbs, sizeof(tbs), sig, &len), HSM_OK);
    hsm_key_free(key);
    fixture_close(h);
}

static void test_last_error(void **state)
{
    const struct hsm_sign_params p = { .mech = HSM_MECH_ECDSA };
    struct hsm *h = fixture_open(1);
    struct hsm_key *key = fixture_key(h, "ec");
    uint8_t tbs[32] = { 1 }, sig[FAKE_EC_OCTETS];
    size_t len = sizeof(sig);

    (void)state;
    fake_do_reset(2, CKR_DEVICE_MEMORY); /* C_SignInit() is the first */
    assert_int_equal(hsm_sign(key, &p, tbs, sizeof(tbs), sig, &len),
                     HSM_ERR_MEMORY);
    assert_string_equal(hsm_last_error(), "C_Sign: CKR_DEVICE_MEMORY (0x31)");
    hsm_key_free(key);
    fixture_close(h);
}

/* What each code asks of the caller; the texts are for operators' logs. */
static void test_status_from_ck(void **state)
{
    static const struct {
        CK_RV rv;
        enum hsm_status st;
        const char *text;
    } codes[] = {
        { CKR_PIN_LOCKED, HSM_ERR_PIN, "C_X: CKR_PIN_LOCKED (0xa4)" },
        { CKR_PIN_INCORRECT, HSM_ERR_PIN, "C_X: CKR_PIN_INCORRECT (0xa0)" },
        { CKR_PIN_EXPIRED, HSM_ERR_PIN, "C_X: CKR_PIN_EXPIRED (0xa3)" },
        { CKR_HOST_MEMORY, HSM_ERR_MEMORY, "C_X: CKR_HOST_MEMORY (0x2)" },
        { CKR_MECHANISM_INVALID, HSM_ERR_MECH,
          "C_X: CKR_MECHANISM_INVALID (0x70)" },
        { CKR_KEY_FUNCTION_NOT_PERMITTED, HSM_ERR_DENIED,
          "C_X: CKR_KEY_FUNCTION_NOT_PERMITTED (0x68)" },
        { CKR_DATA_LEN_RANGE, HSM_ERR_PARAM, "C_X: CKR_DATA_LEN_RANGE (0x21)" },
        { CKR_BUFFER_TOO_SMALL, HSM_ERR_BUFFER,
          "C_X: CKR_BUFFER_TOO_SMALL (0x150)" },
        { CKR_USER_NOT_LOGGED_IN, HSM_ERR_GONE,
          "C_X: CKR_USER_NOT_LOGGED_IN (0x101)" },
        { CKR_OPERATION_ACTIVE, HSM_ERR_SESSION,
          "C_X: CKR_OPERATION_ACTIVE (0x90)" },
        { CKR_FUNCTION_FAILED, HSM_ERR_DEVICE,
          "C_X: CKR_FUNCTION_FAILED (0x6)" },
        { 0x8000beef, HSM_ERR_DEVICE, "C_X: unknown CKR (0x8000beef)" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_int_equal(hsm_status_from_ck("C_X", codes[i].rv), codes[i].st);
        assert_string_equal(hsm_last_error(), codes[i].text);
    }
    assert_int_equal(hsm_status_from_ck("C_X", CKR_OK), HSM_OK);
    assert_int_equal(hsm_status_from_ck("C_X", CKR_USER_ALREADY_LOGGED_IN),
                     HSM_OK);
    assert_string_equal(hsm_status_name(HSM_ERR_PIN), "HSM_ERR_PIN");
    assert_string_equal(hsm_status_name((enum hsm_status)99), "HSM_ERR_?");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_find_without_public_key),
        cmocka_unit_test(test_sign),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_generate),
        cmocka_unit_test(test_short_buffer_closes_session),
        cmocka_unit_test(test_last_error),
        cmocka_unit_test(test_status_from_ck),
    };

    return cmocka_run_group_tests_name("hsm: faults", tests, fixture_setup,
                                       fixture_teardown);
}
