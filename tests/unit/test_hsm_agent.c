/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hsm.h by an agent, where it differs from a module: answers of several parts,
 * an agent that ends, and what an agent never does.
 */
#include "agent_ops.h"
#include "hsmd.h"
#include "internal.h"
#include "vault.h"

#include <stdio.h>
#include <string.h>

/* ---- what happens just before a connection is used ---- */

enum hsm_status __real_hsm_use(struct hsm *h);
enum hsm_status __wrap_hsm_use(struct hsm *h);

static void (*before_use)(struct hsm *h); /* once */

enum hsm_status __wrap_hsm_use(struct hsm *h)
{
    void (*now)(struct hsm *) = before_use;

    before_use = NULL;
    if (now != NULL)
        now(h);
    return __real_hsm_use(h);
}

/* ---- more than one answer holds ---- */

#define N_KEYS  13
#define N_SMALL 14
#define N_LARGE 5
#define N_CERTS (N_SMALL + N_LARGE)
#define LARGE   30000
/* Octets of objects in one answer. */
#define MESSAGE_HOLDS 64512

static CK_OBJECT_HANDLE put_cert(CK_SESSION_HANDLE s, uint8_t mark, size_t len)
{
    const struct vault *v = &vaults[AGENT];
    static uint8_t der[65536];
    CK_OBJECT_CLASS cls = CKO_CERTIFICATE;
    CK_CERTIFICATE_TYPE type = CKC_X_509;
    CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
    CK_ATTRIBUTE t[] = {
        { CKA_CLASS, &cls, sizeof(cls) },
        { CKA_CERTIFICATE_TYPE, &type, sizeof(type) },
        { CKA_TOKEN, &yes, sizeof(yes) },
        { CKA_PRIVATE, &no, sizeof(no) },
        { CKA_SUBJECT, &mark, 1 },
        { CKA_LABEL, (void *)(uintptr_t) "cert", 4 },
        { CKA_VALUE, der, len },
    };
    CK_OBJECT_HANDLE o = CK_INVALID_HANDLE;

    memset(der, mark, len);
    assert_int_equal(v->p11->C_CreateObject(s, t, sizeof(t) / sizeof(t[0]), &o),
                     CKR_OK);
    return o;
}

static void check_certs(const struct hsm_object *o, const size_t *lens)
{
    bool seen[N_CERTS] = { false };

    for (size_t i = 0; i < N_CERTS; i++) {
        uint8_t mark = o[i].der[0];

        assert_int_equal(o[i].cls, HSM_CERT);
        assert_null(o[i].key);
        assert_in_range(mark, 1, N_CERTS);
        assert_false(seen[mark - 1]);
        seen[mark - 1] = true;
        assert_int_equal(o[i].der_len, lens[mark - 1]);
        for (size_t k = 0; k < o[i].der_len; k++)
            if (o[i].der[k] != mark)
                fail_msg("octet %zu of certificate %u", k, mark);
    }
}

/* Each key once, of its own value; a private one signs. */
static void check_keys(const struct hsm_object *o, unsigned cls,
                       struct hsm_key *const *keys)
{
    bool seen[N_KEYS] = { false };

    for (size_t i = 0; i < N_KEYS; i++) {
        size_t k = 0;

        assert_int_equal(o[i].cls, cls);
        assert_null(o[i].der);
        while (k < N_KEYS && !same_key(o[i].key, keys[k]))
            k++;
        assert_in_range(k, 0, N_KEYS - 1);
        assert_false(seen[k]);
        seen[k] = true;
        assert_int_equal(hsm_key_info(o[i].key)->is_private,
                         cls == HSM_PRIVATE);
        assert_int_equal(sign_with(o[i].key, keys[k]),
                         cls == HSM_PRIVATE ? HSM_OK : HSM_ERR_DENIED);
    }
}

static void test_many_objects(void **state)
{
    const struct vault *v = *state;
    CK_SESSION_HANDLE s = vault_session(v);
    CK_OBJECT_HANDLE certs[N_CERTS];
    struct hsm *h = open_agent(NULL);
    struct hsm_object *o = NULL;
    struct hsm_key *keys[N_KEYS];
    size_t n = 0, lens[N_CERTS];
    char name[32];

    for (size_t i = 0; i < N_KEYS; i++) {
        snprintf(name, sizeof(name), "pkcs11:object=many%zu", i);
        keys[i] = make_ec(h, name);
    }
    for (size_t i = 0; i < N_CERTS; i++) {
        lens[i] = i < N_SMALL ? 100 + i : LARGE + i;
        certs[i] = put_cert(s, (uint8_t)(i + 1), lens[i]);
    }
    assert_int_equal(
        hsm_find(h, "pkcs11:", HSM_PRIVATE | HSM_PUBLIC | HSM_CERT, &o, &n),
        HSM_OK);
    assert_int_equal(n, 2 * N_KEYS + N_CERTS);
    check_keys(o, HSM_PRIVATE, keys);
    check_keys(o + N_KEYS, HSM_PUBLIC, keys);
    check_certs(o + 2 * (size_t)N_KEYS, lens);
    hsm_objects_free(o, n);
    assert_int_equal(hsm_find(h, "pkcs11:object=many12", HSM_PRIVATE, &o, &n),
                     HSM_OK);
    assert_int_equal(n, 1);
    assert_true(same_key(o[0].key, keys[12]));
    hsm_objects_free(o, n);
    for (size_t i = 0; i < N_CERTS; i++)
        assert_int_equal(v->p11->C_DestroyObject(s, certs[i]), CKR_OK);
    for (size_t i = 0; i < N_KEYS; i++)
        hsm_key_free(keys[i]);
    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
    hsm_close(h);
}

/* One that no message holds is passed over, as what can't be used is. */
static void test_huge_certificate(void **state)
{
    const struct vault *v = *state;
    static const size_t lens[] = { 64000, 64512, 64513, 65000,
                                   65500, 65520, 65536 };
    CK_SESSION_HANDLE s = vault_session(v);
    struct hsm *h = open_agent(NULL);
    CK_OBJECT_HANDLE small, huge;
    struct hsm_object *o = NULL;
    size_t n = 0;

    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        huge = put_cert(s, 1, lens[i]);
        n = 7;
        if (hsm_find(h, "pkcs11:object=cert", HSM_CERT, &o, &n) == HSM_OK) {
            assert_int_equal(n, 1);
            assert_int_equal(o[0].der_len, lens[i]);
            hsm_objects_free(o, n);
            assert_true(lens[i] <= MESSAGE_HOLDS);
        } else {
            assert_non_null(strstr(hsm_last_error(), "nothing"));
            assert_int_equal(n, 7);
            assert_true(lens[i] > MESSAGE_HOLDS);
        }
        small = put_cert(s, 2, 100);
        assert_int_equal(hsm_find(h, "pkcs11:object=cert", HSM_CERT, &o, &n),
                         HSM_OK);
        assert_int_equal(o[n - 1].der_len,
                         o[n - 1].der[0] == 2 ? 100 : lens[i]);
        assert_in_range(n, 1, 2);
        hsm_objects_free(o, n);
        assert_int_equal(v->p11->C_DestroyObject(s, small), CKR_OK);
        assert_int_equal(v->p11->C_DestroyObject(s, huge), CKR_OK);
    }
    assert_int_equal(v->p11->C_CloseSession(s), CKR_OK);
    hsm_close(h);
}

/* A name that makes the answer longer than the request. */
static void test_long_name(void **state)
{
    static char uri[65400];
    struct hsm *h = open_agent(NULL);
    struct hsm_key *key = NULL;

    (void)state;
    memset(uri, 'x', sizeof(uri) - 1);
    memcpy(uri, "pkcs11:object=", 14);
    assert_int_equal(
        hsm_generate(h, HSM_KEY_EC, HSM_CURVE_P256, 0, HSM_USE_SIGN, uri, &key),
        HSM_ERR_PARAM);
    uri[4096] = '\0';
    key = make_ec(h, uri);
    assert_int_equal(sign_with(key, key), HSM_OK);
    hsm_key_free(key);
    hsm_close(h);
}

/* ---- an agent that ends ---- */

static struct hsmd other; /* on the same token; wrap = trusted */

static void other_start(void)
{
    const struct vault *v = &vaults[AGENT];

    hsmd_configure(&other, v->dir->dir, "other", v->dir->softhsm, v->label,
                   v->pin_file, "");
    hsmd_start(&other);
}

static void test_restart(void **state)
{
    struct hsm_secret *s, *d = NULL;
    struct hsm_key *key, *one;
    uint8_t mac[HSM_MAC_LEN];
    struct hsm *h;

    (void)state;
    other_start();
    h = open_agent(other.sock);
    one = make_ec(h, "pkcs11:object=before"); /* its number is the first */
    key = make_ec(h, "pkcs11:object=restart");
    s = import(h, 1);
    assert_true(mac_is(s, 1));
    assert_int_equal(sign_with(key, key), HSM_OK);
    hsmd_kill(&other);
    assert_int_equal(hsm_mac(s, secret_value, 9, mac), HSM_ERR_GONE);
    assert_int_equal(sign_with(key, key), HSM_ERR_GONE);
    assert_non_null(strstr(hsm_last_error(), other.sock));
    hsmd_start(&other);
    assert_int_equal(sign_with(key, key), HSM_OK);
    assert_int_equal(sign_with(one, one), HSM_OK);
    assert_false(hsm_secret_alive(s));
    assert_int_equal(hsm_mac(s, secret_value, 9, mac), HSM_ERR_GONE);
    assert_int_equal(hsm_derive(s, secret_value, 9, HSM_TRAVEL_NEVER, &d),
                     HSM_ERR_GONE);
    assert_null(d);
    d = import(h, 2);
    hsm_secret_free(s);
    assert_true(mac_is(d, 2)); /* which has the number that s had */
    hsm_secret_free(d);
    hsm_key_free(key);
    hsm_key_free(one);
    hsmd_kill(&other);
    hsmd_start(&other);
    assert_int_equal(hsm_random(h, mac, sizeof(mac)), HSM_OK);
    hsm_close(h);
    hsmd_stop(&other);
}

static void test_untrusted(void **state)
{
    struct hsm_secret *s, *kek = NULL;
    uint8_t out[72];
    size_t len = sizeof(out);
    struct hsm *h;

    (void)state;
    other_start();
    h = open_agent(other.sock);
    s = import(h, 1);
    assert_int_equal(hsm_kek_find(h, VAULT_KEK_URI, &kek), HSM_OK);
    assert_int_equal(hsm_wrap_aes(kek, s, out, &len), HSM_ERR_DENIED);
    assert_int_equal(len, sizeof(out));
    hsm_secret_free(kek);
    hsm_secret_free(s);
    hsm_close(h);
    hsmd_stop(&other);
}

/*
 * The connection is lost, and made anew by another thread, between the moment
 * that a number is known and the one that it is sent: there it may be another
 * object's.
 */
static struct hsm_key *other_key;
static struct hsm_secret *other_secret;

static void lose(struct hsm *h)
{
    hsm_seen = atomic_load(&h->epoch);
    hsm_lost(h);
}

static void take_key_number(struct hsm *h)
{
    struct hsm_object *o = NULL;
    size_t n = 0;

    lose(h);
    assert_int_equal(hsm_find(h, "pkcs11:object=race-b", HSM_PRIVATE, &o, &n),
                     HSM_OK);
    assert_int_equal(n, 1);
    other_key = hsm_key_ref(o[0].key);
    hsm_objects_free(o, n);
}

static void take_secret_number(struct hsm *h)
{
    lose(h);
    other_secret = import(h, 2);
}

static void test_numbers_of_another_connection(void **state)
{
    struct hsm *h = open_agent(NULL);
    struct hsm_key *b = make_ec(h, "pkcs11:object=race-b"), *a;
    struct hsm_secret *s;
    uint8_t mac[HSM_MAC_LEN];

    (void)state;
    hsm_key_free(b);
    hsm_close(h);
    h = open_agent(NULL);
    a = make_ec(h, "pkcs11:object=race-a");
    before_use = take_key_number;
    assert_int_equal(sign_with(a, a), HSM_OK);
    assert_null(before_use);
    assert_int_equal(sign_with(other_key, other_key), HSM_OK);
    hsm_key_free(other_key);
    hsm_key_free(a);
    hsm_close(h);
    h = open_agent(NULL);
    s = import(h, 1);
    before_use = take_secret_number;
    assert_int_equal(hsm_mac(s, secret_value, 9, mac), HSM_ERR_GONE);
    assert_null(before_use);
    hsm_secret_free(s);
    assert_true(mac_is(other_secret, 2));
    hsm_secret_free(other_secret);
    hsm_close(h);
}

/* ---- what an agent never does ---- */

static void test_no_values(void **state)
{
    const struct hsm_decrypt_params p = { .oaep = true };
    struct hsm *h = open_agent(NULL);
    struct hsm_key *rsa = NULL, *ec = NULL;
    uint8_t in[256] = { 1 }, out[256];
    size_t len = sizeof(out);

    (void)state;
    assert_int_equal(hsm_generate(h, HSM_KEY_RSA, HSM_CURVE_NONE, 2048,
                                  HSM_USE_DECRYPT, "pkcs11:object=rsa", &rsa),
                     HSM_OK);
    assert_int_equal(hsm_generate(h, HSM_KEY_EC, HSM_CURVE_P256, 0,
                                  HSM_USE_DERIVE, "pkcs11:object=ecdh", &ec),
                     HSM_OK);
    memset(out, 0x77, sizeof(out));
    assert_int_equal(hsm_decrypt(rsa, &p, in, sizeof(in), out, &len),
                     HSM_ERR_MECH);
    assert_int_equal(hsm_ecdh(ec, hsm_key_info(ec)->a, 65, out, &len),
                     HSM_ERR_MECH);
    assert_non_null(strstr(hsm_last_error(), "agent"));
    assert_int_equal(len, sizeof(out));
    for (size_t i = 0; i < sizeof(out); i++)
        assert_int_equal(out[i], 0x77);
    hsm_key_free(rsa);
    hsm_key_free(ec);
    hsm_close(h);
}

static void test_officer(void **state)
{
    const struct hsm_config agent = vault_config(*state);
    const struct hsm_config module = { .module = vaults[SOFTHSM].module,
                                       .token = agent.token,
                                       .pin = "5678",
                                       .sessions = 1 };
    const char uri[] = "pkcs11:object=of-officer";
    struct hsm_secret *kek = NULL;
    struct hsm *h = open_agent(NULL);

    assert_int_equal(hsm_officer_kek(&agent, &agent, uri), HSM_ERR_CONFIG);
    assert_int_equal(hsm_officer_kek(&module, &agent, uri), HSM_ERR_CONFIG);
    assert_non_null(strstr(hsm_last_error(), "agent"));
    assert_int_equal(
        hsm_officer_rsa(&agent, uri, secret_value, 256, secret_value, 3),
        HSM_ERR_CONFIG);
    assert_non_null(strstr(hsm_last_error(), "agent"));
    assert_int_equal(hsm_kek_find(h, uri, &kek), HSM_ERR_NOT_FOUND);
    hsm_close(h);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        ON(AGENT, test_huge_certificate),
        ON(AGENT, test_many_objects),
        ON(AGENT, test_long_name),
        ON(AGENT, test_restart),
        ON(AGENT, test_untrusted),
        ON(AGENT, test_numbers_of_another_connection),
        ON(AGENT, test_no_values),
        ON(AGENT, test_officer),
    };

    secret_value_set();
    return vaults_run("hsm: an agent", tests, sizeof(tests) / sizeof(tests[0]),
                      vaults_setup);
}
