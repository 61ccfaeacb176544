/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the security officer does on SoftHSM: the key encryption key and a
 * partner's transport key, with the attributes that keep secrets in, read
 * past hsm/; and that secrets which travel do so under these alone.
 */
#include "token.h"

#include "hsm.h"

#include <dlfcn.h>
#include <openssl/core_names.h>
#include <openssl/rsa.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define KEK "pkcs11:object=kek"
#define RSA "pkcs11:object=partner"

static char so_pin_file[64], wrong_pin_file[64];
static uint8_t modulus[256], exponent[3];

static int setup(void **state)
{
    EVP_PKEY *rsa = EVP_RSA_gen(2048);
    BIGNUM *n = NULL, *e = NULL;

    assert_int_equal(token_setup(state), 0);
    token_file(*state, "so-pin", "5678\n", so_pin_file);
    token_file(*state, "wrong-pin", "8765\n", wrong_pin_file);
    assert_true(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n)
                && EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_E, &e));
    assert_int_equal(BN_bn2bin(n, modulus), sizeof(modulus));
    assert_int_equal(BN_bn2bin(e, exponent), sizeof(exponent));
    BN_free(n);
    BN_free(e);
    EVP_PKEY_free(rsa);
    return 0;
}

static struct hsm_config config(const struct token *t, const char *pin_file)
{
    const struct hsm_config cfg = { .module = t->softhsm,
                                    .token = "pkcs11:token=unit",
                                    .pin_file = pin_file,
                                    .sessions = 2,
                                    .transient = true };

    return cfg;
}

static struct hsm *open_user(const struct token *t)
{
    struct hsm_config cfg = config(t, t->pin_file);
    struct hsm *h = NULL;

    assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
    return h;
}

/* ---- past hsm/, while a struct hsm is open ---- */

static CK_FUNCTION_LIST *functions(const struct token *t)
{
    CK_C_GetFunctionList get;
    CK_FUNCTION_LIST *p11 = NULL;

    *(void **)&get = dlsym(t->mapped, "C_GetFunctionList");
    assert_true(get != NULL && get(&p11) == CKR_OK);
    return p11;
}

/* Objects of that class and type; the last one's handle in *o. */
static CK_ULONG find(const struct token *t, CK_SESSION_HANDLE *s,
                     CK_OBJECT_CLASS cls, CK_KEY_TYPE type, CK_OBJECT_HANDLE *o)
{
    CK_ATTRIBUTE a[] = { { CKA_CLASS, &cls, sizeof(cls) },
                         { CKA_KEY_TYPE, &type, sizeof(type) } };
    CK_FUNCTION_LIST *p11 = functions(t);
    CK_SLOT_ID slots[4];
    CK_ULONG n = 4, all = 0;

    assert_int_equal(p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    assert_int_equal(
        p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, s),
        CKR_OK);
    assert_int_equal(p11->C_FindObjectsInit(*s, a, 2), CKR_OK);
    while (p11->C_FindObjects(*s, o, 1, &n) == CKR_OK && n == 1)
        all++;
    assert_int_equal(p11->C_FindObjectsFinal(*s), CKR_OK);
    return all;
}

static CK_ULONG count(const struct token *t, CK_OBJECT_CLASS cls,
                      CK_KEY_TYPE type)
{
    struct hsm *h = open_user(t);
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE o;
    CK_ULONG n = find(t, &s, cls, type, &o);

    hsm_close(h);
    return n;
}

struct flag {
    CK_ATTRIBUTE_TYPE type;
    CK_BBOOL want;
};

static void check_flags(const struct token *t, CK_OBJECT_CLASS cls,
                        CK_KEY_TYPE type, const struct flag *flags, size_t n)
{
    struct hsm *h = open_user(t);
    CK_SESSION_HANDLE s;
    CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

    assert_int_equal(find(t, &s, cls, type, &o), 1);
    assert_int_not_equal(o, CK_INVALID_HANDLE);
    for (size_t i = 0; i < n; i++) {
        CK_BBOOL is = 0x77;
        CK_ATTRIBUTE a = { flags[i].type, &is, sizeof(is) };

        assert_int_equal(functions(t)->C_GetAttributeValue(s, o, &a, 1),
                         CKR_OK);
        if (is != flags[i].want)
            fail_msg("attribute 0x%lx is %d", flags[i].type, is);
    }
    hsm_close(h);
}

/* ---- the key encryption key ---- */

static void test_kek(void **state)
{
    static const struct flag flags[] = {
        { CKA_PRIVATE, CK_TRUE },     { CKA_TRUSTED, CK_TRUE },
        { CKA_MODIFIABLE, CK_FALSE }, { CKA_SENSITIVE, CK_TRUE },
        { CKA_WRAP, CK_TRUE },        { CKA_UNWRAP, CK_TRUE },
        { CKA_ENCRYPT, CK_FALSE },    { CKA_DECRYPT, CK_FALSE },
        { CKA_TOKEN, CK_TRUE },       { CKA_EXTRACTABLE, CK_FALSE },
    };
    const struct token *t = *state;
    struct hsm_config so = config(t, so_pin_file);
    struct hsm_config user = config(t, t->pin_file);
    struct hsm_secret *kek = NULL, *s = NULL, *back = NULL;
    uint8_t out[40], mac[2][HSM_MAC_LEN];
    size_t len = sizeof(out);
    struct hsm *h;

    assert_int_equal(hsm_officer_kek(&so, &user, KEK), HSM_OK);
    check_flags(t, CKO_SECRET_KEY, CKK_AES, flags,
                sizeof(flags) / sizeof(flags[0]));
    h = open_user(t);
    assert_int_equal(hsm_kek_find(h, KEK, &kek), HSM_OK);
    assert_int_equal(hsm_secret_len(kek), 32);
    assert_int_equal(hsm_import(h, modulus, 32, HSM_TRAVEL_WRAPPED, &s),
                     HSM_OK);
    assert_int_equal(hsm_wrap_aes(kek, s, out, &len), HSM_OK);
    assert_int_equal(hsm_unwrap_aes(kek, out, len, HSM_TRAVEL_NEVER, &back),
                     HSM_OK);
    assert_int_equal(hsm_mac(s, modulus, 9, mac[0]), HSM_OK);
    assert_int_equal(hsm_mac(back, modulus, 9, mac[1]), HSM_OK);
    assert_memory_equal(mac[0], mac[1], HSM_MAC_LEN);
    hsm_secret_free(back);
    hsm_secret_free(s);
    hsm_secret_free(kek);
    hsm_close(h);
}

/* Nothing changes, whatever is wrong. */
static void test_kek_refusals(void **state)
{
    const struct token *t = *state;
    struct hsm_config so = config(t, so_pin_file);
    struct hsm_config user = config(t, t->pin_file);
    struct hsm_config wrong = config(t, wrong_pin_file);
    struct hsm *h;

    assert_int_equal(hsm_officer_kek(&so, &user, KEK), HSM_ERR_DENIED);
    assert_non_null(strstr(hsm_last_error(), "there already"));
    assert_int_equal(hsm_officer_kek(&wrong, &user, KEK "2"), HSM_ERR_PIN);
    assert_int_equal(hsm_officer_kek(&so, &wrong, KEK "2"), HSM_ERR_PIN);
    assert_int_equal(hsm_officer_kek(&so, &user, "kek2"), HSM_ERR_PARAM);
    assert_int_equal(hsm_officer_kek(&so, &user, "pkcs11:id=%02"),
                     HSM_ERR_PARAM);
    assert_non_null(strstr(hsm_last_error(), "names no object"));
    h = open_user(t); /* and PKCS#11 has one login */
    assert_int_equal(hsm_officer_kek(&so, &user, KEK "2"), HSM_ERR_DEVICE);
    assert_non_null(strstr(hsm_last_error(), "C_Login"));
    hsm_close(h);
    assert_int_equal(count(t, CKO_SECRET_KEY, CKK_AES), 1);
}

/* ---- a partner's transport key ---- */

static enum hsm_status wrap_for(const struct token *t, const uint8_t *n,
                                uint8_t out[256])
{
    struct hsm *h = open_user(t);
    struct hsm_secret *s = NULL;
    size_t len = 256;
    enum hsm_status st;

    assert_int_equal(hsm_import(h, modulus, 32, HSM_TRAVEL_WRAPPED, &s),
                     HSM_OK);
    st = hsm_wrap_rsa(h, n, 256, exponent, sizeof(exponent), s, out, &len);
    hsm_secret_free(s);
    hsm_close(h);
    return st;
}

static void test_rsa(void **state)
{
    static const struct flag flags[] = {
        { CKA_TRUSTED, CK_TRUE },
        { CKA_WRAP, CK_TRUE },
        { CKA_TOKEN, CK_TRUE },
    };
    const struct token *t = *state;
    struct hsm_config so = config(t, so_pin_file);
    uint8_t padded[257] = { 0 }, out[256], other[256];

    assert_int_equal(wrap_for(t, modulus, out), HSM_ERR_DENIED);
    memcpy(padded + 1, modulus, sizeof(modulus));
    assert_int_equal(hsm_officer_rsa(&so, RSA, padded, sizeof(padded), exponent,
                                     sizeof(exponent)),
                     HSM_OK);
    check_flags(t, CKO_PUBLIC_KEY, CKK_RSA, flags,
                sizeof(flags) / sizeof(flags[0]));
    assert_int_equal(wrap_for(t, modulus, out), HSM_OK);
    memcpy(other, modulus, sizeof(other));
    other[100] ^= 1;
    assert_int_equal(wrap_for(t, other, out), HSM_ERR_DENIED);
}

static void test_rsa_refusals(void **state)
{
    const struct token *t = *state;
    struct hsm_config so = config(t, so_pin_file);
    struct hsm_config wrong = config(t, wrong_pin_file);

    assert_int_equal(hsm_officer_rsa(&wrong, RSA, modulus, 256, exponent, 3),
                     HSM_ERR_PIN);
    assert_int_equal(hsm_officer_rsa(&so, "pkcs11:", modulus, 256, exponent, 3),
                     HSM_ERR_PARAM);
    assert_int_equal(hsm_officer_rsa(&so, "partner", modulus, 256, exponent, 3),
                     HSM_ERR_PARAM);
    so.token = "pkcs11:token=another";
    assert_int_equal(hsm_officer_rsa(&so, RSA, modulus, 256, exponent, 3),
                     HSM_ERR_NOT_FOUND);
    assert_int_equal(count(t, CKO_PUBLIC_KEY, CKK_RSA), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kek),
        cmocka_unit_test(test_kek_refusals),
        cmocka_unit_test(test_rsa),
        cmocka_unit_test(test_rsa_refusals),
    };

    return cmocka_run_group_tests_name("the security officer", tests, setup,
                                       token_teardown);
}
