/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lost connections, on the fake module: what is made good and what is not,
 * for how long it fails, and how often the PIN is sent.
 */
#include "hsm_fixture.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static CK_FUNCTION_LIST *p11; /* another user's of the module */

static int setup(void **state)
{
    CK_C_GetFunctionList get;
    void *dl;

    assert_int_equal(fixture_setup(state), 0);
    dl = dlopen(getenv("FAKE_P11"), RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(dl);
    *(void **)&get = dlsym(dl, "C_GetFunctionList");
    assert_true(get != NULL && get(&p11) == CKR_OK);
    dlclose(dl);
    return 0;
}

static enum hsm_status sign(struct hsm_key *key)
{
    const struct hsm_sign_params p = { .mech = HSM_MECH_ECDSA };
    uint8_t tbs[32] = { 1 }, sig[FAKE_EC_OCTETS];
    size_t len = sizeof(sig);

    return hsm_sign(key, &p, tbs, sizeof(tbs), sig, &len);
}

static void close_all_sessions(void)
{
    assert_int_equal(p11->C_CloseAllSessions(0), CKR_OK);
}

static void initialize_again(void)
{
    assert_int_equal(p11->C_Finalize(NULL), CKR_OK);
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
}

static void finalize(void)
{
    assert_int_equal(p11->C_Finalize(NULL), CKR_OK);
}

static void (*const harms[])(void) = { close_all_sessions, initialize_again,
                                       finalize };
#define N_HARMS (sizeof(harms) / sizeof(harms[0]))

/* One login each time; keys and what is found anew work, secrets are lost. */
static void test_made_good(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_HARMS; i++) {
        struct hsm *h = fixture_open(2);
        struct hsm_key *key = fixture_key(h, "ec");
        struct hsm_secret *secret = NULL, *kek = NULL;
        uint8_t mac[HSM_MAC_LEN] = { 1 };

        assert_int_equal(hsm_import(h, mac, 32, HSM_TRAVEL_NEVER, &secret),
                         HSM_OK);
        assert_int_equal(hsm_mac(secret, mac, 1, mac), HSM_OK);
        fake_do_reset(0, CKR_OK);
        harms[i]();
        assert_int_equal(sign(key), HSM_OK);
        assert_int_equal(fake->logins, 1);
        assert_int_equal(hsm_mac(secret, mac, 1, mac), HSM_ERR_GONE);
        assert_int_equal(hsm_kek_find(h, "pkcs11:object=kek", &kek), HSM_OK);
        hsm_secret_free(kek);
        assert_int_equal(fake->logins, 1);
        hsm_secret_free(secret); /* which destroys nothing of another's */
        hsm_key_free(key);
        fixture_close(h);
    }
}

/* The first call after the harm is another each time. */
static enum hsm_status do_find(struct hsm *h, struct hsm_key *key)
{
    struct hsm_object *objs = NULL;
    size_t n = 0;
    enum hsm_status st = hsm_find(h, "pkcs11:", HSM_PRIVATE, &objs, &n);

    (void)key;
    hsm_objects_free(objs, n);
    return st;
}

static enum hsm_status do_sign(struct hsm *h, struct hsm_key *key)
{
    (void)h;
    return sign(key);
}

static enum hsm_status do_random(struct hsm *h, struct hsm_key *key)
{
    uint8_t out[4];

    (void)key;
    return hsm_random(h, out, sizeof(out));
}

static enum hsm_status do_import(struct hsm *h, struct hsm_key *key)
{
    uint8_t value[32] = { 1 };
    struct hsm_secret *s = NULL;
    enum hsm_status st =
        hsm_import(h, value, sizeof(value), HSM_TRAVEL_NEVER, &s);

    (void)key;
    hsm_secret_free(s);
    return st;
}

static enum hsm_status do_kek(struct hsm *h, struct hsm_key *key)
{
    struct hsm_secret *s = NULL;
    enum hsm_status st = hsm_kek_find(h, "pkcs11:object=kek", &s);

    (void)key;
    hsm_secret_free(s);
    return st;
}

static enum hsm_status do_generate(struct hsm *h, struct hsm_key *key)
{
    struct hsm_key *made = NULL;
    enum hsm_status st = hsm_generate(h, HSM_KEY_EC, HSM_CURVE_P256, 0,
                                      HSM_USE_SIGN, "pkcs11:object=new", &made);

    (void)key;
    hsm_key_free(made);
    return st;
}

static void test_whatever_comes_first(void **state)
{
    enum hsm_status (*const first[])(struct hsm *, struct hsm_key *) = {
        do_find, do_sign, do_random, do_import, do_kek, do_generate
    };

    (void)state;
    for (size_t i = 0; i < N_HARMS; i++) {
        for (size_t k = 0; k < sizeof(first) / sizeof(first[0]); k++) {
            struct hsm *h = fixture_open(1);
            struct hsm_key *key = fixture_key(h, "ec");

            fake_do_reset(0, CKR_OK);
            harms[i]();
            assert_int_equal(first[k](h, key), HSM_OK);
            assert_int_equal(sign(key), HSM_OK);
            hsm_key_free(key);
            fixture_close(h);
        }
    }
}

/* It fails for as long as it is away, with what the module says. */
static void test_away(void **state)
{
    struct hsm *h = fixture_open(2);
    struct hsm_key *key = fixture_key(h, "ec");

    (void)state;
    close_all_sessions();
    fake->away = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sign(key), HSM_ERR_NOT_FOUND);
        assert_non_null(strstr(hsm_last_error(), "no token matches"));
    }
    fake_do_reset(0, CKR_OK);
    fake->away = false;
    assert_int_equal(sign(key), HSM_OK);
    assert_int_equal(fake->logins, 1);
    hsm_key_free(key);
    fixture_close(h);
}

/* A PIN that was changed meanwhile costs one try, and its file's new one
 * none more. */
static void test_pin_changed(void **state)
{
    struct hsm_config cfg = fixture_config(1);
    struct hsm *h = NULL;
    struct hsm_key *key;

    (void)state;
    cfg.pin_file = fixture_file("pin-changing", FAKE_PIN, 4, 0600);
    fake_do_reset(0, CKR_OK);
    assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
    key = fixture_key(h, "ec");
    close_all_sessions();
    cfg.pin_file = fixture_file("pin-changing", "9999", 4, 0600);
    fake_do_reset(0, CKR_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(sign(key), HSM_ERR_PIN);
    assert_int_equal(fake->logins, 1);
    assert_string_equal(hsm_last_error(), "refused before, not sent again");
    cfg.pin_file = fixture_file("pin-changing", FAKE_PIN, 4, 0600);
    assert_int_equal(sign(key), HSM_OK);
    assert_int_equal(fake->logins, 2);
    assert_int_equal(unlink(cfg.pin_file), 0);
    hsm_key_free(key);
    fixture_close(h);
}

/* One more wrong PIN would lock the token: nobody is to risk that. */
static void test_final_try(void **state)
{
    struct hsm_config cfg = fixture_config(1);
    struct hsm *h = NULL;

    (void)state;
    fake_do_reset(0, CKR_OK);
    fake->final_try = true;
    assert_int_equal(hsm_open(&cfg, &h), HSM_ERR_PIN);
    assert_non_null(strstr(hsm_last_error(), "lock the token"));
    assert_int_equal(fake->logins, 0);
    fake->final_try = false;
    assert_null(h);
}

/* What is in the token under the old name is another key. */
static void test_replaced(void **state)
{
    struct hsm *h = fixture_open(1);
    struct hsm_key *key = fixture_key(h, "ec");
    const unsigned char *point = fake->point;
    unsigned char other[67];

    (void)state;
    memcpy(other, point, sizeof(other));
    other[40] ^= 1;
    fake_do_reset(0, CKR_OK);
    close_all_sessions();
    fake->point = other;
    assert_int_equal(sign(key), HSM_ERR_NOT_FOUND);
    assert_string_equal(hsm_last_error(), "the key is no longer in the token");
    fake->point = point;
    assert_int_equal(sign(key), HSM_OK);
    hsm_key_free(key);
    fixture_close(h);
}

/* The module is initialized again for one: the other finds its way, too. */
static void test_two_of_a_module(void **state)
{
    struct hsm *a = fixture_open(1), *b = fixture_open(1);
    struct hsm_key *key_a = fixture_key(a, "ec"), *key_b = fixture_key(b, "ec");

    (void)state;
    for (size_t i = 0; i < N_HARMS; i++) {
        harms[i]();
        assert_int_equal(sign(key_a), HSM_OK);
        assert_int_equal(sign(key_b), HSM_OK);
        assert_int_equal(sign(key_a), HSM_OK);
    }
    hsm_key_free(key_a);
    hsm_key_free(key_b);
    hsm_close(a);
    fixture_close(b);
}

static void break_pipe(void)
{
    (void)raise(SIGPIPE);
}

/* As a client whose server is gone raises it: it does not get out. */
static void test_sigpipe(void **state)
{
    struct hsm *h = fixture_open(1);
    struct hsm_key *key = fixture_key(h, "ec");
    sigset_t mask, pending;

    (void)state;
    (void)signal(SIGPIPE, SIG_DFL);
    fake->on_sign = break_pipe;
    assert_int_equal(sign(key), HSM_OK);
    fake->on_sign = NULL;
    assert_int_equal(sigpending(&pending), 0);
    assert_false(sigismember(&pending, SIGPIPE));
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &mask), 0);
    assert_false(sigismember(&mask, SIGPIPE));
    hsm_key_free(key);
    fixture_close(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_made_good),
        cmocka_unit_test(test_whatever_comes_first),
        cmocka_unit_test(test_away),
        cmocka_unit_test(test_pin_changed),
        cmocka_unit_test(test_final_try),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_two_of_a_module),
        cmocka_unit_test(test_sigpipe),
    };

    return cmocka_run_group_tests_name("hsm: loss", tests, setup,
                                       fixture_teardown);
}
