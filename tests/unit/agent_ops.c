/* SPDX-License-Identifier: Apache-2.0 */
/* See agent_ops.h. */
#include "agent_ops.h"

#include "kdf_call.h"
#include "vault.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/params.h>
#include <string.h>

#define MSG_LEN 9

uint8_t secret_value[512];

void secret_value_set(void)
{
    for (size_t i = 0; i < sizeof(secret_value); i++)
        secret_value[i] = (uint8_t)(1 + i * 7);
}

struct hsm *open_agent(const char *sock)
{
    struct hsm_config cfg = vault_config(&vaults[AGENT]);
    struct hsm *h = NULL;

    if (sock != NULL)
        cfg.agent = sock;
    assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
    return h;
}

struct hsm_key *make_ec(struct hsm *h, const char *uri)
{
    struct hsm_key *key = NULL;

    assert_int_equal(
        hsm_generate(h, HSM_KEY_EC, HSM_CURVE_P256, 0, HSM_USE_SIGN, uri, &key),
        HSM_OK);
    return key;
}

struct hsm_secret *import(struct hsm *h, size_t n)
{
    struct hsm_secret *s = NULL;

    assert_int_equal(
        hsm_import(h, secret_value + n, 32, HSM_TRAVEL_WRAPPED, &s), HSM_OK);
    return s;
}

bool mac_is(struct hsm_secret *s, size_t n)
{
    uint8_t mac[HSM_MAC_LEN], want[HASH];

    soft_hmac(secret_value + n, 32, secret_value, MSG_LEN, want);
    return hsm_mac(s, secret_value, MSG_LEN, mac) == HSM_OK
           && memcmp(mac, want, HASH) == 0;
}

bool same_key(const struct hsm_key *a, const struct hsm_key *b)
{
    const struct hsm_key_info *x = hsm_key_info(a), *y = hsm_key_info(b);

    return x->type == y->type && x->curve == y->curve && x->a_len == y->a_len
           && memcmp(x->a, y->a, x->a_len) == 0;
}

static EVP_PKEY *public_of(const struct hsm_key *key)
{
    const struct hsm_key_info *info = hsm_key_info(key);
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME,
                               (char *)(uintptr_t) "P-256", 5),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY,
                                (void *)(uintptr_t)info->a, info->a_len),
        OSSL_PARAM_END,
    };
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pub = NULL;

    if (EVP_PKEY_fromdata_init(c) <= 0
        || EVP_PKEY_fromdata(c, &pub, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        pub = NULL;
    EVP_PKEY_CTX_free(c);
    return pub;
}

bool sig_verifies(const struct hsm_key *key, const uint8_t sig[64])
{
    EVP_PKEY *pub = public_of(key);
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_pkey(NULL, pub, NULL);
    ECDSA_SIG *both = ECDSA_SIG_new();
    unsigned char *der = NULL;
    int len;
    bool ok;

    (void)ECDSA_SIG_set0(both, BN_bin2bn(sig, 32, NULL),
                         BN_bin2bn(sig + 32, 32, NULL));
    len = i2d_ECDSA_SIG(both, &der);
    ok = len > 0 && EVP_PKEY_verify_init(c) > 0
         && EVP_PKEY_verify(c, der, (size_t)len, secret_value, 32) == 1;
    OPENSSL_free(der);
    ECDSA_SIG_free(both);
    EVP_PKEY_CTX_free(c);
    EVP_PKEY_free(pub);
    return ok;
}

enum hsm_status sign_only(struct hsm_key *key, uint8_t sig[64])
{
    const struct hsm_sign_params p = { .mech = HSM_MECH_ECDSA,
                                       .hash = HSM_HASH_SHA256 };
    size_t len = 64;
    enum hsm_status st = hsm_sign(key, &p, secret_value, 32, sig, &len);

    return st == HSM_OK && len != 64 ? HSM_ERR_DEVICE : st;
}

enum hsm_status sign_with(struct hsm_key *key, const struct hsm_key *pub)
{
    uint8_t sig[64];
    enum hsm_status st = sign_only(key, sig);

    return st == HSM_OK && !sig_verifies(pub, sig) ? HSM_ERR_DEVICE : st;
}
