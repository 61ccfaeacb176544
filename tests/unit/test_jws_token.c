/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif_jws_sign() with keys of a token, which is where ECDSA comes as
 * R || S.  It signs by OpenSSL's default context, which has the provider here
 * as in the daemons.
 */
#include "soft.h"
#include "token.h"

#include <openssl/crypto.h>
#include <openssl/store.h>
#include <stdio.h>
#include <stdlib.h>

static OSSL_LIB_CTX *usual;

static int setup(void **state)
{
    assert_int_equal(token_setup_keys(state), 0);
    usual = OSSL_LIB_CTX_set0_default(((const struct token *)*state)->sealed);
    assert_non_null(usual);
    return 0;
}

static int teardown(void **state)
{
    OSSL_LIB_CTX_set0_default(usual);
    return token_teardown(state);
}

static void test_sign(void **state)
{
    static const char *const algs[N_KINDS] = { "ES256", "ES384", "ES512",
                                               "PS256", "EdDSA" };
    json_t *claims = soft_json("{'sub':'me','exp':1700000000}");

    (void)state;
    for (size_t i = 0; i < N_KINDS; i++) {
        char uri[64], *text;
        struct capif_jws jws;
        EVP_PKEY *key, *public;
        json_t *jwk;

        snprintf(uri, sizeof(uri), "pkcs11:object=%s;type=private",
                 kinds[i].name);
        key = key_find(NULL, uri, OSSL_STORE_INFO_PKEY);
        assert_non_null(key);
        jwk = capif_jwk(key, "k-1");
        public = capif_jwk_parse(jwk);
        assert_non_null(public);
        text = capif_jws_sign(claims, "at+jwt", "k-1", key);
        assert_non_null(text);
        assert_null(capif_jws_parse(text, &jws));
        assert_string_equal(jws.alg, algs[i]);
        assert_int_equal(jws.sig_len, kinds[i].jose_len);
        assert_true(json_equal(jws.claims, claims));
        assert_true(capif_jws_verify(&jws, public));
        jws.sig[0] ^= 1;
        assert_false(capif_jws_verify(&jws, public));
        capif_jws_clear(&jws);
        free(text);
        EVP_PKEY_free(public);
        EVP_PKEY_free(key);
        json_decref(jwk);
    }
    json_decref(claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sign),
    };

    return cmocka_run_group_tests_name("capif: jws by a token", tests, setup,
                                       teardown);
}
