/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secrets of hsm.h on all tokens: the values against HMAC in software, and
 * what the token lets be done with the objects, read past hsm/.
 */
#include "kdf_call.h"
#include "module/pkcs11_v3.h"
#include "vault.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <string.h>

#define TRANSPORT "pkcs11:object=transport"

static const size_t lengths[] = { 1, 31, 32, 33, 55, 56, 63, 64, 65, 128, 300 };
#define N_LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static uint8_t octets[512];

static void octets_set(uint8_t first)
{
    for (size_t i = 0; i < sizeof(octets); i++)
        octets[i] = (uint8_t)(first + i * 7);
}

static struct hsm *open_any(const struct vault *v, bool wrap_any)
{
    struct hsm_config cfg = vault_config(v);
    struct hsm *h = NULL;

    cfg.wrap_any = wrap_any;
    assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
    octets_set(1);
    return h;
}

/* A fresh secret's object: the only one that there is. */
static CK_OBJECT_HANDLE object_of(const struct vault *v)
{
    CK_OBJECT_HANDLE o[2];

    assert_int_equal(vault_secrets(v, o, 2), 1);
    return o[0];
}

static struct hsm_secret *import(struct hsm *h, size_t len,
                                 enum hsm_travel travel)
{
    struct hsm_secret *s = NULL;

    assert_int_equal(hsm_import(h, octets, len, travel, &s), HSM_OK);
    assert_int_equal(hsm_secret_len(s), len);
    return s;
}

/* ---- values ---- */

static void test_rung(void **state)
{
    const struct vault *v = *state;
    struct hsm *h = open_any(v, false);

    static const enum hsm_rung rungs[N_VAULTS] = {
        [SOFTHSM] = HSM_RUNG_TRANSIENT,
        [NSS] = HSM_RUNG_SP800_108,
        [AGENT] = HSM_RUNG_AGENT,
    };

    assert_int_equal(hsm_rung(h), rungs[v - vaults]);
    assert_string_equal(hsm_rung_name(HSM_RUNG_NONE), "none");
    assert_string_equal(hsm_rung_name(HSM_RUNG_HKDF), "CKM_HKDF_DERIVE");
    assert_string_equal(hsm_rung_name(HSM_RUNG_SP800_108),
                        "CKM_SP800_108_FEEDBACK_KDF");
    assert_string_equal(hsm_rung_name(HSM_RUNG_AGENT), "agent");
    assert_string_equal(hsm_rung_name(HSM_RUNG_TRANSIENT), "transient");
    hsm_close(h);
}

static void test_mac_and_derive(void **state)
{
    const struct vault *v = *state;
    struct hsm *h = open_any(v, true);
    uint8_t want[HASH], got[HSM_MAC_LEN];

    for (size_t i = 0; i < N_LENGTHS; i++) {
        /* SoftHSM makes no HMAC with a key of less than 32 octets. */
        size_t key_len = i % 2 ? 32 : 48, n = lengths[i];
        struct hsm_secret *key = import(h, key_len, HSM_TRAVEL_WRAPPED);
        struct hsm_secret *s = NULL;

        soft_hmac(octets, key_len, octets + 9, n, want);
        assert_int_equal(hsm_mac(key, octets + 9, n, got), HSM_OK);
        assert_memory_equal(got, want, HASH);
        assert_int_equal(hsm_derive(key, octets + 9, n, HSM_TRAVEL_WRAPPED, &s),
                         HSM_OK);
        assert_int_equal(hsm_secret_len(s), HASH);
        assert_int_equal(hsm_transients(h), v == &vaults[SOFTHSM] ? i + 1 : 0);
        assert_true(vault_holds(v, want, HASH));
        vault_expect(v, 2);
        hsm_secret_free(s);
        vault_expect(v, 1);
        assert_false(vault_holds(v, want, HASH));
        s = NULL;
        assert_int_equal(hsm_derive(key, octets, 0, HSM_TRAVEL_WRAPPED, &s),
                         HSM_ERR_PARAM);
        assert_null(s);
        hsm_secret_free(key);
        vault_expect(v, 0);
    }
    hsm_close(h);
}

/* NSS with its better rung hidden. */
static void test_hkdf(void **state)
{
    const struct vault *v = *state;
    struct hsm_secret *key, *s = NULL;
    uint8_t want[HASH];
    struct hsm *h;

    v->hide(CKM_SP800_108_FEEDBACK_KDF);
    h = open_any(v, true);
    v->hide(~0ul);
    assert_int_equal(hsm_rung(h), HSM_RUNG_HKDF);
    for (size_t i = 0; i < N_LENGTHS; i++) {
        key = import(h, 48, HSM_TRAVEL_WRAPPED);
        soft_hmac(octets, 48, octets + 3, lengths[i], want);
        v->calls_reset();
        assert_int_equal(
            hsm_derive(key, octets + 3, lengths[i], HSM_TRAVEL_WRAPPED, &s),
            HSM_OK);
        assert_int_equal(v->calls("C_DeriveKey"), 1);
        assert_int_equal(v->calls("C_Sign"), 0);
        assert_true(vault_holds(v, want, HASH));
        hsm_secret_free(s);
        hsm_secret_free(key);
    }
    vault_expect(v, 0);
    hsm_close(h);
}

static void test_extract(void **state)
{
    const struct vault *v = *state;
    struct hsm *h = open_any(v, true);
    uint8_t want[HASH], salt[65];
    struct hsm_secret *s = NULL;

    memset(salt, 0x5c, sizeof(salt));
    for (size_t n = 0; n <= 64; n += n == 0 ? 1 : n) {
        struct hsm_secret *key = import(h, 48, HSM_TRAVEL_WRAPPED);

        soft_hmac(n > 0 ? salt : (const uint8_t *)"", n, octets, 48, want);
        assert_int_equal(
            hsm_extract(key, n > 0 ? salt : NULL, n, HSM_TRAVEL_WRAPPED, &s),
            HSM_OK);
        assert_true(vault_holds(v, want, HASH));
        hsm_secret_free(s);
        s = NULL;
        assert_int_equal(hsm_extract(key, salt, 65, HSM_TRAVEL_WRAPPED, &s),
                         HSM_ERR_PARAM);
        assert_null(s);
        hsm_secret_free(key);
    }
    vault_expect(v, 0);
    hsm_close(h);
}

static void test_p_sha256(void **state)
{
    static const size_t outs[] = { 1, 31, 32, 33, 48, 64 };
    const struct kdf_from soft = { NULL, "provider=default" };
    const struct vault *v = *state;
    struct hsm *h = open_any(v, true);
    struct hsm_secret *key = import(h, 48, HSM_TRAVEL_WRAPPED), *s = NULL;
    uint8_t want[HSM_SECRET_MAX], mac[HSM_MAC_LEN], theirs[HSM_MAC_LEN];

    for (size_t i = 0; i < sizeof(outs) / sizeof(outs[0]); i++) {
        if (v == &vaults[AGENT] && outs[i] < HASH)
            continue; /* which it refuses: test_agent_policy.py */
        assert_true(tls1_prf(soft, "SHA256", BLOB(octets, 48),
                             BLOB(octets + 5, 77), NO_BLOB, want, outs[i]));
        assert_int_equal(
            hsm_p_sha256(key, octets + 5, 77, outs[i], HSM_TRAVEL_WRAPPED, &s),
            HSM_OK);
        assert_int_equal(hsm_secret_len(s), outs[i]);
        assert_int_equal(hsm_transients(h), v == &vaults[SOFTHSM] ? i + 1 : 0);
        if (outs[i] % 8 == 0) /* as key wrap has it */
            assert_true(vault_holds(v, want, outs[i]));
        if (outs[i] >= 32) { /* and as HMAC of SoftHSM has it */
            assert_int_equal(hsm_mac(s, octets, 3, mac), HSM_OK);
            soft_hmac(want, outs[i], octets, 3, theirs);
            assert_memory_equal(mac, theirs, HASH);
        }
        hsm_secret_free(s);
    }
    s = NULL;
    assert_int_equal(hsm_p_sha256(key, octets, 9, 0, HSM_TRAVEL_WRAPPED, &s),
                     HSM_ERR_PARAM);
    assert_int_equal(hsm_p_sha256(key, octets, 9, HSM_SECRET_MAX + 1,
                                  HSM_TRAVEL_WRAPPED, &s),
                     HSM_ERR_PARAM);
    assert_int_equal(hsm_import(h, octets, 0, HSM_TRAVEL_NEVER, &s),
                     HSM_ERR_PARAM);
    assert_int_equal(
        hsm_import(h, octets, HSM_SECRET_MAX + 1, HSM_TRAVEL_NEVER, &s),
        HSM_ERR_PARAM);
    assert_null(s);
    hsm_secret_free(key);
    vault_expect(v, 0);
    hsm_close(h);
}

/* ---- what the token can't, and what it forbids ---- */

static void test_fails_closed(void **state)
{
    const struct vault *v = *state;
    struct hsm_config cfg = vault_config(v);
    struct hsm_secret *key = NULL, *s = NULL;
    struct hsm *h = NULL;
    uint8_t mac[HSM_MAC_LEN];

    cfg.transient = false;
    assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
    assert_int_equal(hsm_rung(h), HSM_RUNG_NONE);
    key = import(h, 48, HSM_TRAVEL_NEVER);
    assert_int_equal(hsm_derive(key, octets, 8, HSM_TRAVEL_NEVER, &s),
                     HSM_ERR_MECH);
    assert_int_equal(hsm_extract(key, NULL, 0, HSM_TRAVEL_NEVER, &s),
                     HSM_ERR_MECH);
    assert_int_equal(hsm_p_sha256(key, octets, 8, 48, HSM_TRAVEL_NEVER, &s),
                     HSM_ERR_MECH);
    assert_null(s);
    assert_non_null(strstr(hsm_last_error(), "derive = transient"));
    vault_expect(v, 1);
    assert_int_equal(hsm_mac(key, octets, 8, mac), HSM_OK);
    hsm_secret_free(key);
    vault_expect(v, 0);
    hsm_close(h);
}

static CK_RV value_of(const struct vault *v, CK_OBJECT_HANDLE o)
{
    CK_SESSION_HANDLE s = vault_session(v);
    uint8_t value[64];
    CK_ATTRIBUTE a = { CKA_VALUE, value, sizeof(value) };
    CK_RV rv = v->p11->C_GetAttributeValue(s, o, &a, 1);

    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
    return rv;
}

static void check_object(const struct vault *v, bool extractable)
{
    CK_OBJECT_HANDLE o;

    if (v == &vaults[AGENT]) /* whose objects nobody else sees */
        return;
    o = object_of(v);
    assert_int_equal(vault_flag(v, o, CKA_SENSITIVE), CK_TRUE);
    assert_int_equal(vault_flag(v, o, CKA_TOKEN), CK_FALSE);
    assert_int_equal(vault_flag(v, o, CKA_EXTRACTABLE), extractable);
    assert_int_equal(value_of(v, o), CKR_ATTRIBUTE_SENSITIVE);
}

/* hsm_derive()'s own object, with its key gone. */
static void test_attributes(void **state)
{
    static const enum hsm_travel ways[] = { HSM_TRAVEL_NEVER,
                                            HSM_TRAVEL_WRAPPED };
    const struct vault *v = *state;
    struct hsm *h = open_any(v, true);

    for (size_t i = 0; i < 2; i++) {
        struct hsm_secret *key = import(h, 48, ways[i]), *s = NULL;

        check_object(v, ways[i] == HSM_TRAVEL_WRAPPED);
        assert_int_equal(hsm_derive(key, octets, 9, ways[i], &s), HSM_OK);
        hsm_secret_free(key);
        check_object(v, ways[i] == HSM_TRAVEL_WRAPPED);
        hsm_secret_free(s);
    }
    vault_expect(v, 0);
    hsm_close(h);
}

static CK_RV wrap_past_hsm(const struct vault *v)
{
    CK_MECHANISM m = { CKM_AES_KEY_WRAP, NULL, 0 };
    CK_OBJECT_CLASS cls = CKO_SECRET_KEY;
    CK_KEY_TYPE type = CKK_AES;
    CK_ATTRIBUTE t[] = { { CKA_CLASS, &cls, sizeof(cls) },
                         { CKA_KEY_TYPE, &type, sizeof(type) } };
    CK_SESSION_HANDLE s = vault_session(v);
    CK_OBJECT_HANDLE kek = CK_INVALID_HANDLE;
    CK_ULONG n = 0, len = 72;
    uint8_t out[72];
    CK_RV rv;

    assert_int_equal(v->p11->C_FindObjectsInit(s, t, 2), CKR_OK);
    assert_int_equal(v->p11->C_FindObjects(s, &kek, 1, &n), CKR_OK);
    assert_int_equal(v->p11->C_FindObjectsFinal(s), CKR_OK);
    assert_int_equal(n, 1);
    rv = v->p11->C_WrapKey(s, &m, kek, object_of(v), out, &len);
    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
    return rv;
}

/* The test's KEK is not trusted. */
static void test_untrusted(void **state)
{
    const struct vault *v = *state;
    struct hsm *h = open_any(v, false);
    struct hsm_secret *kek = NULL, *key, *s = NULL;
    uint8_t out[72];
    size_t len = sizeof(out);

    assert_int_equal(hsm_kek_find(h, VAULT_KEK_URI, &kek), HSM_OK);
    key = import(h, 48, HSM_TRAVEL_WRAPPED);
    assert_int_equal(hsm_derive(key, octets, 9, HSM_TRAVEL_WRAPPED, &s),
                     HSM_OK);
    hsm_secret_free(key);
    assert_int_equal(vault_flag(v, object_of(v), CKA_WRAP_WITH_TRUSTED),
                     CK_TRUE);
    assert_int_equal(wrap_past_hsm(v), CKR_KEY_NOT_WRAPPABLE);
    assert_int_equal(hsm_wrap_aes(kek, s, out, &len), HSM_ERR_DENIED);
    assert_int_equal(len, sizeof(out));
    assert_int_equal(
        hsm_wrap_rsa(h, octets + 1, 256, octets, 3, s, octets, &len),
        HSM_ERR_BUFFER);
    hsm_secret_free(s);
    hsm_secret_free(kek);
    hsm_close(h);
}

/* NSS takes the attribute and does not heed it: hsm/ looks itself. */
static void test_untrusted_unknown(void **state)
{
    const struct vault *v = *state;
    struct hsm *h = open_any(v, false);
    struct hsm_secret *s = import(h, 48, HSM_TRAVEL_WRAPPED), *kek = NULL;
    uint8_t out[72];
    size_t len = sizeof(out);

    assert_int_equal(hsm_kek_find(h, VAULT_KEK_URI, &kek), HSM_OK);
    assert_int_equal(hsm_wrap_aes(kek, s, out, &len), HSM_ERR_DENIED);
    assert_non_null(strstr(hsm_last_error(), "not trusted"));
    hsm_secret_free(kek);
    hsm_secret_free(s);
    hsm_close(h);
}

static void test_never_leaves(void **state)
{
    const struct vault *v = *state;
    struct hsm *h = open_any(v, true);
    struct hsm_secret *kek = NULL, *key, *s = NULL;
    uint8_t out[72];
    size_t len = sizeof(out);

    assert_int_equal(hsm_kek_find(h, VAULT_KEK_URI, &kek), HSM_OK);
    key = import(h, 48, HSM_TRAVEL_NEVER);
    assert_int_equal(hsm_derive(key, octets, 9, HSM_TRAVEL_NEVER, &s), HSM_OK);
    hsm_secret_free(key);
    /* NSS would do it, so hsm/ does not ask it. */
    if (v == &vaults[SOFTHSM])
        assert_int_not_equal(wrap_past_hsm(v), CKR_OK);
    assert_int_equal(hsm_wrap_aes(kek, s, out, &len), HSM_ERR_DENIED);
    hsm_secret_free(s);
    hsm_secret_free(kek);
    hsm_close(h);
}

/* ---- wrapping ---- */

static void test_wrap_aes(void **state)
{
    const struct vault *v = *state;
    struct hsm *h = open_any(v, true);
    struct hsm_secret *kek = NULL, *s = import(h, 48, HSM_TRAVEL_WRAPPED);
    struct hsm_secret *back = NULL;
    uint8_t out[72], want[56], mac[HSM_MAC_LEN], soft[HSM_MAC_LEN];
    size_t len = sizeof(out);

    assert_int_equal(hsm_kek_find(h, "pkcs11:object=none", &kek),
                     HSM_ERR_NOT_FOUND);
    assert_int_equal(hsm_kek_find(h, "pkcs11:object=", &kek),
                     HSM_ERR_NOT_FOUND);
    assert_int_equal(hsm_kek_find(h, "kek", &kek), HSM_ERR_PARAM);
    assert_null(kek);
    assert_int_equal(hsm_kek_find(h, VAULT_KEK_URI, &kek), HSM_OK);
    assert_int_equal(hsm_wrap_aes(kek, s, out, &len), HSM_OK);
    vault_wrap(octets, 48, want);
    assert_int_equal(len, 56);
    assert_memory_equal(out, want, 56);
    hsm_secret_free(s);
    assert_int_equal(hsm_unwrap_aes(kek, out, 56, HSM_TRAVEL_NEVER, &back),
                     HSM_OK);
    assert_int_equal(hsm_secret_len(back), 48);
    check_object(v, false);
    assert_int_equal(hsm_mac(back, out, 56, mac), HSM_OK);
    soft_hmac(octets, 48, out, 56, soft);
    assert_memory_equal(mac, soft, HASH);
    hsm_secret_free(back);
    back = NULL;
    out[0] ^= 1;
    assert_int_not_equal(hsm_unwrap_aes(kek, out, 56, HSM_TRAVEL_NEVER, &back),
                         HSM_OK);
    assert_int_equal(hsm_unwrap_aes(kek, out, 16, HSM_TRAVEL_NEVER, &back),
                     HSM_ERR_PARAM);
    assert_int_equal(hsm_unwrap_aes(kek, out, 55, HSM_TRAVEL_NEVER, &back),
                     HSM_ERR_PARAM);
    assert_null(back);
    hsm_secret_free(kek); /* a token's object: it stays */
    kek = NULL;
    assert_int_equal(hsm_kek_find(h, VAULT_KEK_URI, &kek), HSM_OK);
    hsm_secret_free(kek);
    vault_expect(v, 0);
    hsm_close(h);
}

static void test_wrap_rsa(void **state)
{
    const struct vault *v = *state;
    struct hsm *h = open_any(v, true);
    struct hsm_secret *s = import(h, 32, HSM_TRAVEL_WRAPPED), *back = NULL;
    const struct hsm_key_info *info;
    uint8_t out[256], mac[HSM_MAC_LEN], soft[HSM_MAC_LEN];
    struct hsm_key *key = NULL;
    size_t len = sizeof(out);

    assert_int_equal(hsm_generate(h, HSM_KEY_RSA, HSM_CURVE_NONE, 2048,
                                  HSM_USE_UNWRAP, TRANSPORT, &key),
                     HSM_OK);
    info = hsm_key_info(key);
    assert_int_equal(hsm_wrap_rsa(h, info->a, info->a_len, info->b, info->b_len,
                                  s, out, &len),
                     HSM_OK);
    assert_int_equal(len, 256);
    hsm_secret_free(s);
    assert_int_equal(hsm_unwrap_rsa(key, out, 256, 32, HSM_TRAVEL_NEVER, &back),
                     HSM_OK);
    assert_int_equal(hsm_secret_len(back), 32);
    check_object(v, false);
    assert_int_equal(hsm_mac(back, out, 9, mac), HSM_OK);
    soft_hmac(octets, 32, out, 9, soft);
    assert_memory_equal(mac, soft, HASH);
    hsm_secret_free(back);
    back = NULL;
    out[100] ^= 1;
    assert_int_not_equal(
        hsm_unwrap_rsa(key, out, 256, 32, HSM_TRAVEL_NEVER, &back), HSM_OK);
    assert_null(back);
    hsm_key_free(key);
    vault_expect(v, 0);
    hsm_close(h);
}

static void test_references(void **state)
{
    const struct vault *v = *state;
    struct hsm *h = open_any(v, false);
    struct hsm_secret *s = import(h, 48, HSM_TRAVEL_NEVER);

    assert_ptr_equal(hsm_secret_ref(s), s);
    hsm_secret_free(s);
    vault_expect(v, 1);
    hsm_secret_free(s);
    vault_expect(v, 0);
    hsm_secret_free(NULL);
    hsm_close(h);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        ON_ALL(test_rung),
        ON_ALL(test_mac_and_derive),
        ON(NSS, test_hkdf),
        ON_ALL(test_extract),
        ON_ALL(test_p_sha256),
        ON(SOFTHSM, test_fails_closed),
        ON_BOTH(test_attributes),
        ON(SOFTHSM, test_untrusted),
        ON(NSS, test_untrusted_unknown),
        ON_ALL(test_never_leaves),
        ON_ALL(test_wrap_aes),
        ON_ALL(test_wrap_rsa),
        ON_ALL(test_references),
    };

    return vaults_run("hsm: secrets", tests, sizeof(tests) / sizeof(tests[0]),
                      vaults_setup_shimmed);
}
