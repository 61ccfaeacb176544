/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which connections of the AEF's service listener are closed after a
 * revocation: those whose certificate or last good token is that invoker's.
 */
#include "soft.h"

#include "aef.h"

#include <string.h>

#define CCF "ccf.a.example"

struct pair {
    SSL *client, *server;
};

static struct aef aef;
static EVP_PKEY *ca_key;
static X509 *ca;
static SSL_CTX *service;

static struct capif_credentials member(enum capif_role role, const char *id)
{
    struct capif_credentials cred = { soft_key("P-256", 0), NULL, NULL };

    cred.cert = soft_member(role, CCF, id, cred.key, ca, ca_key);
    return cred;
}

static int setup(void **state)
{
    struct capif_credentials cred;

    (void)state;
    ca_key = soft_key("P-256", 0);
    ca = capif_cert_ca("CA", ca_key, 7);
    cred = member(CAPIF_AEF, "aef-1");
    service =
        capif_tls_server(SSL_CTX_new(TLS_server_method()), false, &cred, NULL);
    capif_credentials_clear(&cred);
    aef.denied = aef_denied_new();
    assert_non_null(aef.denied);
    assert_non_null(service);
    assert_true(aef_peers_watch(service, &aef));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    SSL_CTX_free(service);
    aef_denied_free(aef.denied);
    X509_free(ca);
    EVP_PKEY_free(ca_key);
    return 0;
}

/* Both ends, with no octet on its way yet. */
static struct pair pair_new(const struct capif_credentials *cred)
{
    SSL_CTX *c = SSL_CTX_new(TLS_client_method());
    struct pair p;
    BIO *a, *b;

    assert_true(capif_tls_client(c, cred));
    p.client = SSL_new(c);
    p.server = SSL_new(service);
    assert_true(BIO_new_bio_pair(&a, 0, &b, 0));
    SSL_set_bio(p.client, a, a);
    SSL_set_bio(p.server, b, b);
    SSL_set_connect_state(p.client);
    SSL_set_accept_state(p.server);
    SSL_CTX_free(c);
    return p;
}

static void pair_shake(struct pair *p)
{
    for (int i = 0; i < 8; i++) {
        (void)SSL_do_handshake(p->client);
        (void)SSL_do_handshake(p->server);
    }
    assert_true(SSL_is_init_finished(p->client));
    assert_true(SSL_is_init_finished(p->server));
}

static struct pair pair_of(enum capif_role role, const char *id)
{
    struct capif_credentials cred = { NULL, NULL, NULL };
    struct pair p;

    if (id != NULL)
        cred = member(role, id);
    p = pair_new(id != NULL ? &cred : NULL);
    pair_shake(&p);
    capif_credentials_clear(&cred);
    return p;
}

static void pair_free(struct pair *p)
{
    SSL_free(p->client);
    SSL_free(p->server);
}

static void deny(const char *invoker_id)
{
    aef_denied_add(aef.denied, CCF, invoker_id, "one", time(NULL), time(NULL));
}

static bool closes(const struct pair *p)
{
    return aef_peer_gone(p->server, &aef);
}

static void test_certificate(void **state)
{
    struct pair one = pair_of(CAPIF_INVOKER, "inv-1"), again;
    struct pair two = pair_of(CAPIF_INVOKER, "inv-2");
    struct pair other = pair_of(CAPIF_AMF, "inv-1");
    struct pair none = pair_of(CAPIF_NOBODY, NULL);

    (void)state;
    assert_false(closes(&one));
    deny("inv-1");
    again = pair_of(CAPIF_INVOKER, "inv-1");
    for (int i = 0; i < 2; i++) {
        assert_true(closes(&one));
        assert_false(closes(&two));
        assert_false(closes(&other)); /* no invoker */
        assert_false(closes(&none));
        assert_false(closes(&again)); /* made since */
    }
    deny("inv-2");
    assert_true(closes(&two));
    assert_false(closes(&again));
    deny("inv-1");
    assert_true(closes(&again));
    pair_free(&one);
    pair_free(&two);
    pair_free(&other);
    pair_free(&none);
    pair_free(&again);
}

static void test_token(void **state)
{
    struct capif_identity who = { CAPIF_NOBODY, CCF, "inv-1" };
    struct pair p = pair_of(CAPIF_NOBODY, NULL);

    (void)state;
    deny("inv-1"); /* which it was not yet */
    assert_false(closes(&p));
    aef_peer_note(p.server, &who);
    assert_false(closes(&p));
    deny("inv-2");
    assert_false(closes(&p));
    strcpy(who.id, "inv-2"); /* the last one counts */
    aef_peer_note(p.server, &who);
    deny("inv-1");
    assert_false(closes(&p));
    deny("inv-2");
    assert_true(closes(&p));
    pair_free(&p);
}

/* Whose certificate is still to come. */
static void test_handshake_under_way(void **state)
{
    struct capif_credentials cred = member(CAPIF_INVOKER, "inv-1");
    struct pair p = pair_new(&cred);

    (void)state;
    assert_false(closes(&p));
    (void)SSL_do_handshake(p.client);
    deny("inv-1");
    assert_false(closes(&p));
    (void)SSL_do_handshake(p.server);
    deny("inv-2");
    assert_false(closes(&p));
    pair_shake(&p);
    assert_false(closes(&p));
    deny("inv-1");
    assert_true(closes(&p));
    pair_free(&p);
    capif_credentials_clear(&cred);
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_certificate),
        EACH(test_token),
        EACH(test_handshake_under_way),
    };

    return cmocka_run_group_tests_name("aef: peers", tests, NULL, NULL);
}
