/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How AEFPSK's object came to be: sensitive, and at an AEF not extractable,
 * from its first moment on, and made by no C_Sign() where the token derives.
 *
 * The calls tell; the token's own CKA_ALWAYS_SENSITIVE can't.  PKCS#11 (2.40,
 * 2.1.2 and 4.9) lets it be inherited from the base key, and the ECDHE secret
 * of a TLS session is brought in by libssl; NSS softokn, besides, says false
 * of whatever it derives (softoken/pkcs11c.c, sftk_DeriveSensitiveCheck()).
 */
#include "kdf_call.h"
#include "vault.h"

#include <string.h>

#define LIFETIME 60

static OSSL_LIB_CTX *load(const struct vault *v, const char *secrets)
{
    struct section s = vault_section(v);

    s.secrets = secrets;
    return token_load(v->dir, &s);
}

/* The object that was not there before. */
static CK_OBJECT_HANDLE new_object(const struct vault *v,
                                   CK_OBJECT_HANDLE before)
{
    CK_OBJECT_HANDLE now[3];

    assert_int_equal(vault_secrets(v, now, 3), 2);
    assert_true(now[0] == before || now[1] == before);
    return now[0] == before ? now[1] : now[0];
}

static void check(const struct vault *v, OSSL_LIB_CTX *ctx, bool travels)
{
    const struct blob p0 = BLOB("{\"fqdn\":\"aef\",\"port\":443}", 25);
    const struct blob p1 = BLOB("a channel binding of 32 octets, X", 32);
    const bool inside = v == &vaults[NSS];
    uint8_t key[48] = { 1 }, wrapped[56], root[48], psk[HASH];
    CK_OBJECT_HANDLE before = CK_INVALID_HANDLE, o;
    size_t n = 0;

    vault_wrap(key, sizeof(key), wrapped);
    assert_true(vault_aes(ctx, false, LIFETIME, wrapped, 56, root, &n));
    vault_expect(v, 1);
    if (v != &vaults[AGENT])
        assert_int_equal(vault_secrets(v, &before, 1), 1);
    v->calls_reset();
    assert_true(aefpsk(ctx, BLOB(root, 48), p0, p1, LIFETIME, psk));
    assert_int_equal(v->calls("C_Sign"), inside ? 0 : 1);
    assert_int_equal(v->calls("C_CreateObject"), inside ? 0 : 1);
    assert_int_equal(v->calls("C_DeriveKey"), inside ? 1 : 0);
    assert_int_equal(v->calls("CKA_SENSITIVE"), 1);
    assert_int_equal(v->calls("CKA_EXTRACTABLE"), travels ? 0 : 1);
    assert_int_equal(v->calls("C_SetAttributeValue"), 0);
    assert_int_equal(v->calls("C_CopyObject"), 0);
    vault_expect(v, 2);
    if (v != &vaults[AGENT]) { /* whose objects nobody else sees */
        o = new_object(v, before);
        assert_int_equal(vault_flag(v, o, CKA_SENSITIVE), CK_TRUE);
        assert_int_equal(vault_flag(v, o, CKA_EXTRACTABLE), travels);
    }
    assert_true(vault_release(ctx, psk, HASH));
    assert_true(vault_release(ctx, root, sizeof(root)));
    vault_expect(v, 0);
}

static void test_at_the_aef(void **state)
{
    const struct vault *v = *state;
    OSSL_LIB_CTX *ctx = load(v, "stay");

    check(v, ctx, false);
    OSSL_LIB_CTX_free(ctx);
}

static void test_at_the_ccf(void **state)
{
    const struct vault *v = *state;

    check(v, v->ctx, true);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        ON_ALL(test_at_the_aef),
        ON_ALL(test_at_the_ccf),
    };

    return vaults_run("where AEFPSK comes from", tests,
                      sizeof(tests) / sizeof(tests[0]), vaults_setup_shimmed);
}
