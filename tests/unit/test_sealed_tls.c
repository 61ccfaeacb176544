/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stock libssl with sealed secrets on the server's side and an ordinary
 * client: what CAPIF-1e and CAPIF-2e are made of, on all tokens.  The shim
 * counts what it costs the token.
 */
#include "kdf_call.h"
#include "tls_pair.h"
#include "vault.h"

#include <string.h>

#define SESSION "?sealed.tls=session"
#define PSK     "?sealed.tls=psk"

#define LABEL "EXPORTER-3GPP-TS33122-AEFPSK"
#define CB    "EXPORTER-Channel-Binding"

static const struct blob p0 = { "{\"fqdn\":\"aef.example\",\"port\":443}", 33 };

/* A handshake of the version in sealed mode that succeeds. */
static struct pair session_pair(const struct vault *v, int version)
{
    SSL_CTX *server = pair_server(v->ctx, SESSION, version);
    SSL_CTX *client = pair_client(NULL, version);
    struct pair p = pair_new(server, client, NULL, NULL);

    assert_true(pair_shake(&p));
    assert_true(pair_talk(&p));
    SSL_CTX_free(server);
    SSL_CTX_free(client);
    return p;
}

static void check_binding(const struct pair *p, uint8_t cb[HASH])
{
    uint8_t theirs[HASH];

    assert_true(SSL_export_keying_material(
        p->server, cb, HASH, CB, sizeof(CB) - 1, (const uint8_t *)"", 0, 1));
    assert_true(SSL_export_keying_material(p->client, theirs, HASH, CB,
                                           sizeof(CB) - 1, (const uint8_t *)"",
                                           0, 1));
    assert_memory_equal(cb, theirs, HASH); /* plain on both sides */
}

/* Both sides derive AEFPSK of KEY and P1; server's is a handle. */
static void check_aefpsk(const struct vault *v, struct blob handle,
                         struct blob key, struct blob p1, struct psk *server,
                         struct psk *client)
{
    uint8_t got[HASH], s[1 + 64 + 2 + 32 + 2];
    size_t n = 0;

    /* The invoker's side, in software: S = FC || P0 || L0 || P1 || L1. */
    s[n++] = 0x7a;
    memcpy(s + n, p0.p, p0.len);
    n += p0.len;
    s[n++] = 0;
    s[n++] = (uint8_t)p0.len;
    memcpy(s + n, p1.p, p1.len);
    n += p1.len;
    s[n++] = 0;
    s[n++] = (uint8_t)p1.len;
    soft_hmac(key.p, key.len, s, n, client->key);

    v->calls_reset();
    assert_true(aefpsk(v->ctx, handle, p0, p1, 3600, server->key));
    assert_int_equal(v->calls("C_Sign"), v == &vaults[NSS] ? 0 : 1);
    assert_int_equal(v->calls("C_DeriveKey"), v == &vaults[NSS] ? 1 : 0);
    assert_int_equal(v->calls("C_CreateObject"), v == &vaults[NSS] ? 0 : 1);
    assert_memory_not_equal(server->key, client->key, HASH);
    vault_unseal(v, server->key, HASH, got);
    assert_memory_equal(got, client->key, HASH);
}

static bool psk_once(const struct vault *v, struct psk *server,
                     struct psk *client)
{
    SSL_CTX *s = pair_psk_server(v->ctx, PSK), *c = pair_client(NULL, 0);
    bool ok = pair_once(s, c, server, client);

    SSL_CTX_free(s);
    SSL_CTX_free(c);
    return ok;
}

/* ---- CAPIF-1e, and the PSK that comes of it ---- */

static void test_tls13(void **state)
{
    const struct vault *v = *state;
    struct pair p = session_pair(v, TLS1_3_VERSION);
    struct psk server = { .early_data = 0 }, client = { .early_data = 0 };
    uint8_t handle[HASH], key[HASH], got[HASH], cb[HASH];

    assert_true(SSL_export_keying_material(p.server, handle, HASH, LABEL,
                                           sizeof(LABEL) - 1, NULL, 0, 0));
    assert_true(SSL_export_keying_material(p.client, key, HASH, LABEL,
                                           sizeof(LABEL) - 1, NULL, 0, 0));
    assert_memory_not_equal(handle, key, HASH);
    vault_unseal(v, handle, HASH, got);
    assert_memory_equal(got, key, HASH);
    check_binding(&p, cb);
    check_aefpsk(v, BLOB(handle, HASH), BLOB(key, HASH), BLOB(cb, HASH),
                 &server, &client);
    /* Neither another length nor another label's may be had. */
    assert_false(SSL_export_keying_material(p.server, got, 16, LABEL,
                                            sizeof(LABEL) - 1, NULL, 0, 0));
    pair_free(&p);
    assert_true(psk_once(v, &server, &client));
    assert_true(vault_release(v->ctx, server.key, HASH));
}

static void test_tls12(void **state)
{
    const struct vault *v = *state;
    struct pair p = session_pair(v, TLS1_2_VERSION);
    struct psk server = { .early_data = 0 }, client = { .early_data = 0 };
    uint8_t handle[48], key[48], got[48], cb[HASH];
    const unsigned char *ids[2];
    unsigned len[2];

    assert_true(SSL_get_extms_support(p.server));
    assert_int_equal(SSL_SESSION_get_master_key(SSL_get_session(p.server),
                                                handle, sizeof(handle)),
                     48);
    assert_int_equal(
        SSL_SESSION_get_master_key(SSL_get_session(p.client), key, sizeof(key)),
        48);
    assert_memory_not_equal(handle, key, 48);
    vault_unseal(v, handle, 48, got);
    assert_memory_equal(got, key, 48);
    ids[0] = SSL_SESSION_get_id(SSL_get_session(p.server), &len[0]);
    ids[1] = SSL_SESSION_get_id(SSL_get_session(p.client), &len[1]);
    assert_int_equal(len[0], 32);
    assert_int_equal(len[1], 32);
    assert_memory_equal(ids[0], ids[1], 32);
    check_binding(&p, cb);
    check_aefpsk(v, BLOB(handle, 48), BLOB(key, 48), BLOB(ids[0], 32), &server,
                 &client);
    /* An export is a handle. */
    assert_true(SSL_export_keying_material(p.server, handle, HASH, LABEL,
                                           sizeof(LABEL) - 1, NULL, 0, 0));
    assert_true(SSL_export_keying_material(p.client, key, HASH, LABEL,
                                           sizeof(LABEL) - 1, NULL, 0, 0));
    vault_unseal(v, handle, HASH, got);
    assert_memory_equal(got, key, HASH);
    pair_free(&p);
    assert_true(psk_once(v, &server, &client));
    assert_true(vault_release(v->ctx, server.key, HASH));
}

static void test_no_extended_master_secret(void **state)
{
    const struct vault *v = *state;
    SSL_CTX *server = pair_server(v->ctx, SESSION, TLS1_2_VERSION);
    SSL_CTX *client = pair_client(NULL, TLS1_2_VERSION);

    SSL_CTX_set_options(client, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    assert_false(pair_once(server, client, NULL, NULL));
    assert_true(pair_said("RFC 7627 is required"));
    SSL_CTX_clear_options(client, SSL_OP_NO_EXTENDED_MASTER_SECRET);
    assert_true(pair_once(server, client, NULL, NULL));
    SSL_CTX_free(server);
    SSL_CTX_free(client);
}

/* Even where the server was told to offer more than it can. */
static void test_sha384(void **state)
{
    const struct vault *v = *state;
    const struct {
        int version;
        const char *reason;
    } cases[] = { { TLS1_3_VERSION, "sealed secrets are for SHA-256 suites" },
                  { TLS1_2_VERSION, "sealed secrets are for SHA-256 suites" } };

    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *server = pair_server(v->ctx, SESSION, cases[i].version);
        SSL_CTX *client = pair_client(NULL, cases[i].version);

        assert_true(SSL_CTX_set_ciphersuites(client, "TLS_AES_256_GCM_SHA384"));
        assert_true(
            SSL_CTX_set_cipher_list(client, "ECDHE-ECDSA-AES256-GCM-SHA384"));
        assert_false(pair_once(server, client, NULL, NULL));
        assert_true(pair_said("handshake failure"));
        assert_true(SSL_CTX_set_ciphersuites(server, "TLS_AES_256_GCM_SHA384"));
        assert_true(
            SSL_CTX_set_cipher_list(server, "ECDHE-ECDSA-AES256-GCM-SHA384"));
        assert_false(pair_once(server, client, NULL, NULL));
        assert_true(pair_said(cases[i].reason));
        SSL_CTX_free(server);
        SSL_CTX_free(client);
    }
}

/* ---- CAPIF-2e ---- */

static const struct psk the_psk = { "a PSK of 32 octets, all of them.", 0 };

static struct psk sealed_psk(const struct vault *v)
{
    struct psk handle = { .early_data = 0 };

    vault_seal(v, the_psk.key, HASH, 3600, handle.key);
    return handle;
}

/* The first handshake derives what is static; each later one costs two. */
static void test_psk_costs(void **state)
{
    const struct vault *v = *state;
    struct psk server = sealed_psk(v), client = the_psk;
    SSL_CTX *s = pair_psk_server(v->ctx, PSK), *c = pair_client(NULL, 0);
    CK_ULONG before = vault_count(v); /* with the PSK */

    assert_true(pair_once(s, c, &server, &client));
    for (int i = 0; i < 3; i++) {
        v->calls_reset();
        assert_true(pair_once(s, c, &server, &client));
        assert_int_equal(v->calls("C_Sign"), 2);
        assert_int_equal(v->calls(NULL), 2);
    }
    vault_expect(v, before + 4);
    assert_true(vault_release(v->ctx, server.key, HASH));
    vault_expect(v, before - 1);
    SSL_CTX_free(s);
    SSL_CTX_free(c);
}

static void test_psk_refusals(void **state)
{
    const struct vault *v = *state;
    struct psk server = sealed_psk(v), client = the_psk;

    for (size_t i = 0; i < HASH; i += 31) {
        client.key[i] ^= 1;
        assert_false(psk_once(v, &server, &client));
        client.key[i] ^= 1;
        /* The alert of OpenSSL 3.0, and that of later ones (RFC 8446). */
        assert_true(pair_said("illegal parameter")
                    || pair_said("decrypt error"));
    }
    assert_false(psk_once(v, NULL, &client)); /* unknown, and no certificate */
    assert_true(pair_said("handshake failure"));
    server.key[20] ^= 1; /* forged */
    assert_false(psk_once(v, &server, &client));
    assert_true(pair_said("the sealed secret is gone, or never was"));
    server.key[20] ^= 1;
    assert_true(psk_once(v, &server, &client));
    assert_true(vault_release(v->ctx, server.key, HASH));
    assert_false(psk_once(v, &server, &client));
    assert_true(pair_said("the sealed secret is gone, or never was"));
    assert_false(vault_release(v->ctx, server.key, HASH));
}

/*
 * A client that has no group in common leaves psk_ke.  A good server has no
 * part in it; with one that has, the sealed PSK has none.
 */
static void test_psk_ke(void **state)
{
    static const struct {
        uint64_t options;
        const char *reason;
    } cases[] = { { 0, "handshake failure" },
                  { SSL_OP_ALLOW_NO_DHE_KEX,
                    "a sealed PSK needs an ECDHE secret" } };
    const struct vault *v = *state;
    struct psk server = sealed_psk(v), client = the_psk;

    for (size_t i = 0; i < 2; i++) {
        SSL_CTX *s = pair_psk_server(v->ctx, PSK), *c = pair_client(NULL, 0);

        SSL_CTX_set_options(c, SSL_OP_ALLOW_NO_DHE_KEX);
        SSL_CTX_set_options(s, cases[i].options);
        assert_true(SSL_CTX_set1_groups_list(s, "X25519"));
        assert_true(SSL_CTX_set1_groups_list(c, "P-384"));
        assert_false(pair_once(s, c, &server, &client));
        assert_true(pair_said(cases[i].reason));
        SSL_CTX_free(s);
        SSL_CTX_free(c);
    }
    assert_true(vault_release(v->ctx, server.key, HASH));
}

/* What the client sends early is lost, and the handshake is good. */
static void test_early_data(void **state)
{
    const struct vault *v = *state;
    struct psk server = sealed_psk(v), client = the_psk;
    SSL_CTX *s = pair_psk_server(v->ctx, PSK), *c = pair_client(NULL, 0);
    struct pair p;
    size_t n = 0;

    client.early_data = 64;
    p = pair_new(s, c, &server, &client);
    assert_true(SSL_write_early_data(p.client, "GET /", 5, &n));
    assert_true(pair_shake(&p));
    assert_int_equal(SSL_get_early_data_status(p.client),
                     SSL_EARLY_DATA_REJECTED);
    assert_true(pair_talk(&p));
    pair_free(&p);
    /* A server that would take it has no keys for it. */
    server.early_data = 64;
    assert_true(SSL_CTX_set_max_early_data(s, 64));
    p = pair_new(s, c, &server, &client);
    assert_true(SSL_write_early_data(p.client, "GET /", 5, &n));
    {
        char buf[8];

        assert_int_equal(SSL_read_early_data(p.server, buf, sizeof(buf), &n),
                         SSL_READ_EARLY_DATA_ERROR);
    }
    assert_true(queue_had("nothing of that label follows from this secret"));
    pair_free(&p);
    assert_true(vault_release(v->ctx, server.key, HASH));
    SSL_CTX_free(s);
    SSL_CTX_free(c);
}

/* PSK and certificate servers of the other property serve each other's. */
static void test_psk_in_session_mode(void **state)
{
    const struct vault *v = *state;
    struct psk server = sealed_psk(v), client = the_psk;
    SSL_CTX *s = pair_psk_server(v->ctx, SESSION), *c = pair_client(NULL, 0);
    struct pair p = pair_new(s, c, &server, &client);
    uint8_t handle[HASH], key[HASH], got[HASH];

    assert_true(pair_shake(&p));
    assert_true(SSL_session_reused(p.client));
    assert_true(SSL_export_keying_material(p.server, handle, HASH, LABEL,
                                           sizeof(LABEL) - 1, NULL, 0, 0));
    assert_true(SSL_export_keying_material(p.client, key, HASH, LABEL,
                                           sizeof(LABEL) - 1, NULL, 0, 0));
    vault_unseal(v, handle, HASH, got);
    assert_memory_equal(got, key, HASH);
    pair_free(&p);
    /* And with the default provider a handle is no PSK. */
    SSL_CTX_free(s);
    s = pair_psk_server(NULL, NULL);
    assert_false(pair_once(s, c, &server, &client));
    assert_true(pair_once(s, c, &client, &client));
    assert_true(vault_release(v->ctx, server.key, HASH));
    SSL_CTX_free(s);
    SSL_CTX_free(c);
}

/* Plain PSKs and plain sessions are served under the property as ever. */
static void test_plain(void **state)
{
    const struct vault *v = *state;
    struct psk plain = the_psk;
    SSL_CTX *c = pair_client(NULL, 0), *s;

    v->calls_reset();
    assert_true(psk_once(v, &plain, &plain));
    s = pair_server(v->ctx, PSK, 0);
    assert_true(pair_once(s, c, NULL, NULL));
    assert_int_equal(v->calls(NULL), 0);
    SSL_CTX_free(s);
    SSL_CTX_free(c);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        ON_ALL(test_tls13),
        ON_ALL(test_tls12),
        ON_ALL(test_no_extended_master_secret),
        ON_ALL(test_sha384),
        ON_ALL(test_psk_costs),
        ON_ALL(test_psk_refusals),
        ON_ALL(test_psk_ke),
        ON_ALL(test_early_data),
        ON_ALL(test_psk_in_session_mode),
        ON_ALL(test_plain),
    };

    return vaults_run("sealed TLS", tests, sizeof(tests) / sizeof(tests[0]),
                      vaults_setup_shimmed);
}
