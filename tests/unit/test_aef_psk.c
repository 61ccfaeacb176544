/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS-PSK of the AEF with identities that it does not know, or no more: the
 * token is asked as much as for a known identity with a wrong key, and the
 * peer is told the same.
 */
#include "kdf_call.h"
#include "soft.h"
#include "tls_pair.h"
#include "vault.h"

#include "aef.h"

#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct aef aef;
static struct vault *v = &vaults[SOFTHSM]; /* or the agent's */
static CK_ULONG none;                      /* objects, before there are PSKs */

/* capif/ uses the default library context: the configuration goes there. */
static int setup(void **state)
{
    struct section s;
    OSSL_LIB_CTX *ctx;
    char path[64];

    assert_int_equal(vaults_setup_shimmed(state), 0);
    s = vault_section(v);
    s.wrap = NULL;
    ctx = token_context(v->dir, &s, true);
    snprintf(path, sizeof(path), "%s/openssl.cnf", v->dir->dir);
    assert_true(OSSL_LIB_CTX_load_config(NULL, path));
    OSSL_LIB_CTX_free(ctx);
    aef.psks = aef_psks_new();
    assert_non_null(aef.psks);
    aef.denied = aef_denied_new();
    assert_non_null(aef.denied);
    none = vault_count(v);
    return 0;
}

static int teardown(void **state)
{
    aef_psks_free(aef.psks);
    aef_denied_free(aef.denied);
    EVP_PKEY_free(aef.transport);
    return vaults_teardown(state);
}

static EVP_PKEY *transport_make(void)
{
    EVP_PKEY_CTX *gen =
        EVP_PKEY_CTX_new_from_name(NULL, "RSA", "provider=sealed");
    OSSL_PARAM params[] = {
        OSSL_PARAM_utf8_string(
            "pkcs11_uri", (char *)(uintptr_t) "pkcs11:object=transport", 23),
        OSSL_PARAM_utf8_string("pkcs11_key_usage",
                               (char *)(uintptr_t) "keyTransport", 12),
        OSSL_PARAM_END,
    };
    EVP_PKEY *key = NULL;

    assert_true(EVP_PKEY_keygen_init(gen) > 0
                && EVP_PKEY_CTX_set_params(gen, params) > 0
                && EVP_PKEY_generate(gen, &key) > 0);
    EVP_PKEY_CTX_free(gen);
    return key;
}

/* A handshake of an unknown identity; the calls into the token. */
static unsigned long refuse(unsigned long *macs)
{
    struct psk psk = { "a PSK of 32 octets, all of them.", 0 };
    SSL_CTX *c = pair_client(NULL, 0), *s = aef_psk_server_ctx(&aef);
    struct pair p;

    assert_non_null(s);
    assert_true(SSL_CTX_set_ciphersuites(s, "TLS_AES_128_GCM_SHA256"));
    p = pair_new(s, c, NULL, &psk);
    v->calls_reset();
    assert_false(pair_shake(&p));
    assert_true(pair_said("binder does not verify"));
    *macs = v->calls("C_Sign");
    pair_free(&p);
    SSL_CTX_free(c);
    SSL_CTX_free(s);
    return v->calls(NULL);
}

static void test_unknown_identity(void **state)
{
    CK_ULONG before = vault_count(v);
    unsigned long macs;

    (void)state;
    /* Without a transport key there are no PSKs, hence nothing to hide. */
    assert_int_equal(refuse(&macs), 0);
    aef.transport = transport_make();
    /* The first one makes the decoy and what follows from it. */
    assert_true(refuse(&macs) > 1);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(refuse(&macs), 1);
        assert_int_equal(macs, 1);
    }
    aef_psks_free(aef.psks); /* and with it the decoy goes */
    vault_expect(v, before);
    aef.psks = aef_psks_new();
    assert_non_null(aef.psks);
}

/* ---- a token that was away ---- */

static void lose_sessions(void)
{
    if (v == &vaults[AGENT])
        vault_agent_again(v);
    else
        assert_int_equal(v->p11->C_CloseAllSessions(vault_slot(v)), CKR_OK);
}

#define SERVICE "aef.b.example"
#define PREFIX  "/api"

/* By our own CCF, with the interface as api_of() has it. */
static char *envelope(EVP_PKEY *issuer, time_t iat)
{
    uint8_t key[CAPIF_HANDLE_LEN] = "a PSK of 32 octets, all of them";
    char *ek = capif_seal_wrap_for(aef.transport, key), *claims, *jws;
    json_t *doc = json_pack(
        "{s:s, s:s, s:s, s:s, s:I, s:I, s:{s:s, s:s}, s:{s:s, s:i, s:s}}",
        "ccfId", aef.ccf_id, "apiInvokerId", "invoker", "aefId", aef.aef_id,
        "pskId", "psk", "iat", (json_int_t)iat, "exp",
        (json_int_t)time(NULL) + 600, "wrap", "alg", "RSA-OAEP", "ek", ek,
        "interface", "fqdn", SERVICE, "port", 443, "apiPrefix", PREFIX);

    assert_non_null(doc);
    claims = json_dumps(doc, JSON_COMPACT);
    jws = soft_jws("{\"alg\":\"ES256\",\"kid\":\"k\","
                   "\"typ\":\"psk-envelope+jwt\"}",
                   claims, issuer, "SHA256", false);
    assert_non_null(jws);
    free(claims);
    free(ek);
    json_decref(doc);
    return jws;
}

/* An AEF with one API, and what its CCF says of an invoker; new issuers. */
static struct aef_info info_by(EVP_PKEY *issuer)
{
    struct aef_info info = { .ccf_id = "ccf.example", .invoker_id = "invoker" };

    aef.aef_id = "aef-1";
    aef.ccf_id = "ccf.example";
    aef.service_fqdn = SERVICE;
    aef.service_port = 443;
    aef.apis[0] = (struct aef_api){ .name = "api", .prefix = PREFIX };
    aef.n_apis = 1;
    info.issuers = json_pack("[{s:s, s:{s:[o]}}]", "ccfId", aef.ccf_id, "jwks",
                             "keys", capif_jwk(issuer, "k"));
    assert_non_null(info.issuers);
    return info;
}

static bool in_use(bool *refused)
{
    SSL_CTX *s = aef_psk_server_ctx(&aef), *c = pair_client(NULL, 0);
    struct psk psk = { "a PSK of 32 octets, all of them", 0 };
    struct pair p;
    bool ok;

    assert_true(SSL_CTX_set_ciphersuites(s, "TLS_AES_128_GCM_SHA256"));
    p = pair_new(s, c, NULL, &psk);
    ok = pair_shake(&p) && aef_psk_of(p.server) != NULL;
    *refused = pair_said("binder does not verify");
    pair_free(&p);
    SSL_CTX_free(c);
    SSL_CTX_free(s);
    return ok;
}

/*
 * With the connection to the token its PSKs are lost: they are refused as
 * unknown ones are, until the same envelope brings them back.
 */
static void test_lost(void **state)
{
    EVP_PKEY *issuer = soft_key("P-256", 0);
    bool refused = false;
    struct aef_info info = info_by(issuer);
    char *jws = envelope(issuer, time(NULL));

    (void)state;
    assert_null(aef_psk_take(&aef, &info, jws));
    assert_true(in_use(&refused));
    lose_sessions();
    assert_false(in_use(&refused)); /* the one that finds it out */
    assert_false(in_use(&refused));
    assert_true(refused);
    assert_null(aef_psk_take(&aef, &info, jws));
    assert_true(in_use(&refused));
    aef_psks_revoke(aef.psks, aef.ccf_id, "invoker", "");
    free(jws);
    json_decref(info.issuers);
    EVP_PKEY_free(issuer);
}

/* ---- revocation ---- */

static void start_anew(void)
{
    aef_psks_free(aef.psks);
    aef.psks = aef_psks_new();
    assert_non_null(aef.psks);
    vault_expect(v, none);
}

static void take(const struct aef_info *info, EVP_PKEY *issuer, time_t iat,
                 const char *want)
{
    char *jws = envelope(issuer, iat);
    const char *why = aef_psk_take(&aef, info, jws);

    if (want == NULL)
        assert_null(why);
    else
        assert_string_equal(why, want);
    free(jws);
}

/*
 * With the answer to a revocation its key is out of the token, and neither an
 * older envelope nor a look-up that was under way brings it back.
 */
static void test_revoked(void **state)
{
    EVP_PKEY *issuer = soft_key("P-256", 0);
    struct aef_info info = info_by(issuer);
    SSL_CTX *s = aef_psk_server_ctx(&aef), *c = pair_client(NULL, 0);
    struct psk psk = { "a PSK of 32 octets, all of them", 0 };
    time_t now = time(NULL);
    struct pair p;
    bool refused;

    (void)state;
    start_anew();
    take(&info, issuer, now, NULL);
    assert_true(SSL_CTX_set_ciphersuites(s, "TLS_AES_128_GCM_SHA256"));
    p = pair_new(s, c, NULL, &psk);
    assert_true(pair_shake(&p));
    aef_psks_revoke(aef.psks, aef.ccf_id, "another", "api");
    aef_psks_revoke(aef.psks, "ccf.other", "invoker", "");
    aef_psks_revoke(aef.psks, aef.ccf_id, "invoker", "another");
    assert_false(aef_psk_dead(p.server, NULL));
    assert_true(vault_count(v) > none);
    aef_psks_revoke(aef.psks, aef.ccf_id, "invoker", "api");
    assert_true(aef_psk_dead(p.server, NULL));
    pair_free(&p);
    SSL_CTX_free(c);
    SSL_CTX_free(s);
    vault_expect(v, none);
    assert_false(in_use(&refused));
    assert_true(refused);

    start_anew();
    aef_denied_add(aef.denied, aef.ccf_id, "invoker", "api", now, now);
    take(&info, issuer, now, "revoked meanwhile");
    vault_expect(v, none);
    info.asked = aef_denied_count(aef.denied);
    take(&info, issuer, now - 1, "revoked, or too old");
    take(&info, issuer, now, NULL);
    assert_true(in_use(&refused));
    aef_psks_revoke(aef.psks, aef.ccf_id, "invoker", "");
    vault_expect(v, none);
    json_decref(info.issuers);
    EVP_PKEY_free(issuer);
}

static void test_age(void **state)
{
    EVP_PKEY *issuer = soft_key("P-256", 0);
    struct aef_info info = info_by(issuer);
    time_t now = time(NULL);

    (void)state;
    info.asked = aef_denied_count(aef.denied);
    take(&info, issuer, now - AEF_TOKEN_SECONDS - 2, "revoked, or too old");
    json_decref(info.issuers);
    EVP_PKEY_free(issuer);
}

/* What a wrong key costs that is known: the same. */
static void test_wrong_key(void **state)
{
    struct psk right = { "a PSK of 32 octets, all of them.", 0 };
    struct psk wrong = { "another one, which isn't right..", 0 }, server;
    SSL_CTX *s = pair_psk_server(v->ctx, "?sealed.tls=psk");
    SSL_CTX *c = pair_client(NULL, 0);

    (void)state;
    server.early_data = 0;
    vault_seal(v, right.key, HASH, 60, server.key);
    assert_false(pair_once(s, c, &server, &wrong));
    v->calls_reset();
    assert_false(pair_once(s, c, &server, &wrong));
    assert_int_equal(v->calls("C_Sign"), 1);
    assert_int_equal(v->calls(NULL), 1);
    assert_true(vault_release(v->ctx, server.key, HASH));
    SSL_CTX_free(s);
    SSL_CTX_free(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unknown_identity),
        cmocka_unit_test(test_wrong_key),
        cmocka_unit_test(test_lost),
        cmocka_unit_test(test_revoked),
        cmocka_unit_test(test_age),
    };

    if (argc > 1 && strcmp(argv[1], "agent") == 0)
        v = &vaults[AGENT];
    return cmocka_run_group_tests_name("AEF: PSKs it does not know", tests,
                                       setup, teardown);
}
