/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets on the fake module: every call into the token fails in turn, for
 * each rung of the ladder.  What is written only on success stays as it was,
 * and neither an object nor a session is left behind.
 */
#include "hsm_fixture.h"

#include <string.h>

static const struct {
    CK_RV rv;
    enum hsm_status st;
} faults[] = {
    { CKR_DEVICE_REMOVED, HSM_ERR_GONE },
    { CKR_SESSION_HANDLE_INVALID, HSM_ERR_SESSION },
    { CKR_DEVICE_MEMORY, HSM_ERR_MEMORY },
    { CKR_GENERAL_ERROR, HSM_ERR_DEVICE },
};
#define N_FAULTS (sizeof(faults) / sizeof(faults[0]))

#define UNTOUCHED 0x77

static uint8_t octets[64];
static struct hsm_key *rsa;
static struct hsm_secret *kek;
static uint8_t modulus[FAKE_RSA_OCTETS] = { [0] = 0xc5, [255] = 0x01 };
static const uint8_t exponent[] = { 1, 0, 1 };

static struct hsm *open_with(bool transient, bool wrap_any)
{
    struct hsm_config cfg = fixture_config(2);
    struct hsm *h = NULL;

    cfg.transient = transient;
    cfg.wrap_any = wrap_any;
    fake_do_reset(0, CKR_OK);
    assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
    rsa = fixture_key(h, "rsa");
    assert_int_equal(hsm_kek_find(h, "pkcs11:object=kek", &kek), HSM_OK);
    return h;
}

static void close_all(struct hsm *h)
{
    hsm_key_free(rsa);
    hsm_secret_free(kek);
    fixture_close(h);
    fake->hkdf = fake->feedback = fake->pipeline = false;
}

static bool is_loss(enum hsm_status st)
{
    return st == HSM_ERR_GONE || st == HSM_ERR_SESSION;
}

/* One of a connection that was lost can't be used. */
static void kek_again(struct hsm *h)
{
    hsm_secret_free(kek);
    kek = NULL;
    assert_int_equal(hsm_kek_find(h, "pkcs11:object=kek", &kek), HSM_OK);
}

/* One use of the interface, with a secret that lives as long as it. */
typedef enum hsm_status op_fn(struct hsm *h, struct hsm_secret *key);

static void fail_each_call(struct hsm *h, op_fn *op, unsigned min_calls)
{
    for (size_t i = 0; i < N_FAULTS; i++) {
        unsigned n = 0;

        do {
            struct hsm_secret *key = NULL;
            enum hsm_status st;

            fake_do_reset(0, CKR_OK);
            kek_again(h);
            assert_int_equal(
                hsm_import(h, octets, 48, HSM_TRAVEL_WRAPPED, &key), HSM_OK);
            fake_do_reset(++n, faults[i].rv);
            st = op(h, key);
            /* With the connection, key is lost; without, it is made good. */
            if (fake->calls < n || !is_loss(faults[i].st))
                assert_int_equal(st, fake->calls >= n ? faults[i].st : HSM_OK);
            else
                assert_true(st == HSM_OK || is_loss(st));
            assert_true(fake->secrets <= 1);
            hsm_secret_free(key);
            assert_int_equal(fake->secrets, 0);
            /* The anchor, and what went back to the two pools. */
            assert_in_range(fake->open_sessions, 1, 3);
        } while (fake->calls >= n);
        assert_true(n > min_calls); /* or the loop has tested nothing */
    }
}

/* A secret that was made, and is not to outlive this. */
static enum hsm_status made(enum hsm_status st, struct hsm_secret *s,
                            size_t len)
{
    if (st != HSM_OK) {
        assert_ptr_equal(s, &octets);
    } else {
        assert_int_equal(hsm_secret_len(s), len);
        hsm_secret_free(s);
    }
    return st;
}

static enum hsm_status op_import(struct hsm *h, struct hsm_secret *key)
{
    struct hsm_secret *s = (void *)&octets;
    enum hsm_status st = hsm_import(h, octets, 40, HSM_TRAVEL_NEVER, &s);

    (void)key;
    return made(st, s, 40);
}

static enum hsm_status op_derive(struct hsm *h, struct hsm_secret *key)
{
    struct hsm_secret *s = (void *)&octets;
    enum hsm_status st = hsm_derive(key, octets, 9, HSM_TRAVEL_WRAPPED, &s);

    (void)h;
    return made(st, s, 32);
}

static enum hsm_status op_extract(struct hsm *h, struct hsm_secret *key)
{
    struct hsm_secret *s = (void *)&octets;
    enum hsm_status st = hsm_extract(key, octets, 9, HSM_TRAVEL_WRAPPED, &s);

    (void)h;
    return made(st, s, 32);
}

static enum hsm_status op_p_sha256(struct hsm *h, struct hsm_secret *key)
{
    struct hsm_secret *s = (void *)&octets;
    enum hsm_status st =
        hsm_p_sha256(key, octets, 9, 48, HSM_TRAVEL_WRAPPED, &s);

    (void)h;
    return made(st, s, 48);
}

static enum hsm_status op_mac(struct hsm *h, struct hsm_secret *key)
{
    uint8_t out[HSM_MAC_LEN];
    enum hsm_status st;

    (void)h;
    memset(out, UNTOUCHED, sizeof(out));
    st = hsm_mac(key, octets, sizeof(octets), out);
    assert_int_equal(out[31], st == HSM_OK ? 0x5a : UNTOUCHED);
    return st;
}

static enum hsm_status op_kek_find(struct hsm *h, struct hsm_secret *key)
{
    struct hsm_secret *s = (void *)&octets;
    enum hsm_status st = hsm_kek_find(h, "pkcs11:object=kek;id=%03", &s);

    (void)key;
    return made(st, s, 32);
}

static enum hsm_status op_wrap_aes(struct hsm *h, struct hsm_secret *key)
{
    uint8_t out[64];
    size_t len = sizeof(out);
    enum hsm_status st = hsm_wrap_aes(kek, key, out, &len);

    (void)h;
    assert_int_equal(len, st == HSM_OK ? FAKE_WRAPPED : sizeof(out));
    return st;
}

static enum hsm_status op_unwrap_aes(struct hsm *h, struct hsm_secret *key)
{
    struct hsm_secret *s = (void *)&octets;
    enum hsm_status st = hsm_unwrap_aes(kek, octets, 40, HSM_TRAVEL_NEVER, &s);

    (void)h;
    (void)key;
    return made(st, s, 32);
}

static enum hsm_status wrap_for(struct hsm *h, struct hsm_secret *key,
                                const uint8_t *n)
{
    uint8_t out[FAKE_RSA_OCTETS + 1];
    size_t len = sizeof(out);
    enum hsm_status st = hsm_wrap_rsa(h, n, sizeof(modulus), exponent,
                                      sizeof(exponent), key, out, &len);

    assert_int_equal(len, st == HSM_OK ? FAKE_RSA_OCTETS : sizeof(out));
    return st;
}

static enum hsm_status op_wrap_rsa(struct hsm *h, struct hsm_secret *key)
{
    return wrap_for(h, key, modulus);
}

/* A key that the token doesn't have: wrap = any imports it for a moment. */
static enum hsm_status op_wrap_foreign(struct hsm *h, struct hsm_secret *key)
{
    uint8_t other[FAKE_RSA_OCTETS];

    memcpy(other, modulus, sizeof(other));
    other[9] = 1;
    return wrap_for(h, key, other);
}

static enum hsm_status op_unwrap_rsa(struct hsm *h, struct hsm_secret *key)
{
    struct hsm_secret *s = (void *)&octets;
    enum hsm_status st =
        hsm_unwrap_rsa(rsa, modulus, sizeof(modulus), 32, HSM_TRAVEL_NEVER, &s);

    (void)h;
    (void)key;
    return made(st, s, 32);
}

static void test_transient(void **state)
{
    struct hsm *h = open_with(true, false);

    (void)state;
    assert_int_equal(hsm_rung(h), HSM_RUNG_TRANSIENT);
    fail_each_call(h, op_import, 1);
    fail_each_call(h, op_mac, 2);
    fail_each_call(h, op_derive, 3);
    fail_each_call(h, op_extract, 5);
    fail_each_call(h, op_p_sha256, 11);
    close_all(h);
}

static void test_hkdf(void **state)
{
    struct hsm *h;

    (void)state;
    fake->hkdf = true;
    h = open_with(true, false);
    assert_int_equal(hsm_rung(h), HSM_RUNG_HKDF);
    fail_each_call(h, op_derive, 2);
    fail_each_call(h, op_extract, 1);
    close_all(h);
}

static void test_sp800_108(void **state)
{
    struct hsm *h;

    (void)state;
    fake->hkdf = fake->feedback = fake->pipeline = true;
    h = open_with(false, false);
    assert_int_equal(hsm_rung(h), HSM_RUNG_SP800_108);
    fail_each_call(h, op_derive, 1);
    fail_each_call(h, op_extract, 1);
    fail_each_call(h, op_p_sha256, 1);
    close_all(h);
}

/* A rung has one means each: a token may do a part of it. */
static void test_no_rung(void **state)
{
    struct hsm_secret *key = NULL, *s = NULL;
    struct hsm *h = open_with(false, false);

    (void)state;
    assert_int_equal(hsm_rung(h), HSM_RUNG_NONE);
    assert_int_equal(hsm_import(h, octets, 48, HSM_TRAVEL_NEVER, &key), HSM_OK);
    fake_do_reset(0, CKR_OK);
    assert_int_equal(hsm_derive(key, octets, 1, HSM_TRAVEL_NEVER, &s),
                     HSM_ERR_MECH);
    assert_int_equal(hsm_extract(key, octets, 1, HSM_TRAVEL_NEVER, &s),
                     HSM_ERR_MECH);
    assert_int_equal(hsm_p_sha256(key, octets, 1, 48, HSM_TRAVEL_NEVER, &s),
                     HSM_ERR_MECH);
    assert_null(s);
    assert_int_equal(fake->calls, 0);
    hsm_secret_free(key);
    close_all(h);
}

static void test_wrapping(void **state)
{
    struct hsm *h = open_with(false, false);
    struct hsm_secret *key = NULL;
    uint8_t out[FAKE_RSA_OCTETS];
    size_t len = sizeof(out);

    (void)state;
    fail_each_call(h, op_kek_find, 3);
    fail_each_call(h, op_wrap_aes, 3);
    fail_each_call(h, op_unwrap_aes, 2);
    fail_each_call(h, op_wrap_rsa, 6);
    fail_each_call(h, op_unwrap_rsa, 2);
    fake_do_reset(0, CKR_OK);
    /* A length that is not the one expected, told by the token. */
    assert_int_equal(hsm_unwrap_rsa(rsa, modulus, sizeof(modulus), 33,
                                    HSM_TRAVEL_NEVER, &key),
                     HSM_ERR_PARAM);
    assert_null(key);
    assert_int_equal(fake->secrets, 0);
    /* A partner that nobody has let in, and what must not leave at all. */
    assert_int_equal(hsm_import(h, octets, 48, HSM_TRAVEL_WRAPPED, &key),
                     HSM_OK);
    modulus[7] = 1;
    assert_int_equal(hsm_wrap_rsa(h, modulus, sizeof(modulus), exponent,
                                  sizeof(exponent), key, out, &len),
                     HSM_ERR_DENIED);
    modulus[7] = 0;
    hsm_secret_free(key);
    assert_int_equal(hsm_import(h, octets, 48, HSM_TRAVEL_NEVER, &key), HSM_OK);
    assert_int_equal(hsm_wrap_aes(kek, key, out, &len), HSM_ERR_DENIED);
    hsm_secret_free(key);
    close_all(h);
}

static void test_wrapping_any(void **state)
{
    struct hsm *h = open_with(false, true);

    (void)state;
    fail_each_call(h, op_wrap_foreign, 6);
    fail_each_call(h, op_wrap_rsa, 5);
    close_all(h);
}

/* What made objects is open again after it was lost. */
static void test_lost_owner(void **state)
{
    struct hsm *h = open_with(true, false);
    struct hsm_secret *a = NULL, *b = NULL;

    (void)state;
    assert_int_equal(hsm_import(h, octets, 48, HSM_TRAVEL_NEVER, &a), HSM_OK);
    fake_do_reset(1, CKR_SESSION_HANDLE_INVALID);
    assert_int_equal(hsm_import(h, octets, 48, HSM_TRAVEL_NEVER, &b), HSM_OK);
    assert_int_equal(fake->secrets, 1); /* a went with it */
    assert_int_equal(hsm_mac(a, octets, 1, octets), HSM_ERR_GONE);
    assert_non_null(strstr(hsm_last_error(), "lost with its session"));
    hsm_secret_free(a);
    assert_int_equal(fake->secrets, 1);
    hsm_secret_free(b);
    assert_int_equal(fake->secrets, 0);
    close_all(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transient),  cmocka_unit_test(test_hkdf),
        cmocka_unit_test(test_sp800_108),  cmocka_unit_test(test_no_rung),
        cmocka_unit_test(test_wrapping),   cmocka_unit_test(test_wrapping_any),
        cmocka_unit_test(test_lost_owner),
    };

    return cmocka_run_group_tests_name("hsm: faults of secrets", tests,
                                       fixture_setup, fixture_teardown);
}
