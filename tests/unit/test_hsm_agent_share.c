/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection to an agent that many threads share, and that a child must not.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "agent_ops.h"
#include "kdf_call.h"
#include "vault.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- fork() ---- */

/* The child's status: what went wrong.  Of the parent's threads, some may have
 * libcrypto's locks, which nobody gives back here: it is not used. */
static int child(struct hsm *h, struct hsm_key *key, struct hsm_secret *s,
                 const uint8_t want[HASH], uint8_t *sig)
{
    uint8_t mac[HSM_MAC_LEN];
    struct hsm_secret *own = NULL;

    if (sign_only(key, sig) != HSM_OK)
        return 1;
    if (hsm_mac(s, secret_value, 9, mac) != HSM_ERR_GONE)
        return 2;
    hsm_secret_free(hsm_secret_ref(s));
    if (hsm_import(h, secret_value + 2, 32, HSM_TRAVEL_NEVER, &own) != HSM_OK)
        return 3;
    if (hsm_mac(own, secret_value, 9, mac) != HSM_OK
        || memcmp(mac, want, HASH) != 0)
        return 4;
    hsm_secret_free(s); /* the parent's stays */
    return 0;           /* its own goes with its connection */
}

static int in_child(struct hsm *h, struct hsm_key *key, struct hsm_secret *s)
{
    uint8_t want[HASH], *sig = mmap(NULL, 64, PROT_READ | PROT_WRITE,
                                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = -1;
    pid_t pid;

    assert_true(sig != MAP_FAILED);
    soft_hmac(secret_value + 2, 32, secret_value, 9, want);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        _exit(child(h, key, s, want, sig));
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status == 0 && !sig_verifies(key, sig))
        status = -2;
    munmap(sig, 64);
    return status;
}

static void test_fork(void **state)
{
    const struct vault *v = *state;
    struct hsm *h = open_agent(NULL);
    struct hsm_key *key = make_ec(h, "pkcs11:object=fork");
    struct hsm_secret *s = import(h, 1);

    for (int i = 0; i < 3; i++) {
        assert_int_equal(in_child(h, key, s), 0);
        assert_true(mac_is(s, 1));
        assert_int_equal(sign_with(key, key), HSM_OK);
    }
    vault_expect(v, 1);
    hsm_secret_free(s);
    hsm_key_free(key);
    hsm_close(h);
    vault_expect(v, 0);
}

/* ---- threads ---- */

#define N_THREADS 8
/* Of what other threads have locked of a sanitizer, a child can't be rid. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define N_OPS   200
#define N_FORKS 0
#else
#define N_OPS   1000
#define N_FORKS 5
#endif

struct crowd {
    struct hsm *h;
    struct hsm_key *keys[2];
    struct hsm_secret *s;
    atomic_uint good;
};

static bool one_find(struct crowd *c)
{
    struct hsm_object *o = NULL;
    size_t n = 0;
    bool ok =
        hsm_find(c->h, "pkcs11:object=crowd1", HSM_PRIVATE, &o, &n) == HSM_OK
        && n == 1 && same_key(o[0].key, c->keys[1])
        && sign_with(o[0].key, c->keys[1]) == HSM_OK;

    hsm_objects_free(o, n);
    return ok;
}

/* A secret of the thread's own; HMAC of what is derived. */
static bool one_secret(struct crowd *c, size_t i)
{
    struct hsm_secret *s = NULL, *d = NULL;
    uint8_t mac[HSM_MAC_LEN], value[HASH], want[HASH];
    bool ok =
        hsm_import(c->h, secret_value + i, 32, HSM_TRAVEL_NEVER, &s) == HSM_OK
        && hsm_derive(s, secret_value, i + 1, HSM_TRAVEL_NEVER, &d) == HSM_OK
        && hsm_mac(d, secret_value, 9, mac) == HSM_OK;

    soft_hmac(secret_value + i, 32, secret_value, i + 1, value);
    soft_hmac(value, HASH, secret_value, 9, want);
    hsm_secret_free(s);
    hsm_secret_free(d);
    return ok && memcmp(mac, want, HASH) == 0;
}

static bool one_random(struct crowd *c, size_t len)
{
    static const uint8_t zeros[5000];
    uint8_t out[5001] = { 0 };

    return hsm_random(c->h, out, len) == HSM_OK
           && memcmp(out + len - 16, zeros, 16) != 0 && out[len] == 0;
}

static void *run(void *arg)
{
    struct crowd *c = arg;

    for (size_t i = 0; i < N_OPS; i++) {
        bool ok = false;

        switch (i % 8) {
        case 0:
        case 1:
            ok = sign_with(c->keys[i % 2], c->keys[i % 2]) == HSM_OK;
            break;
        case 2:
            ok = one_secret(c, i % 90);
            break;
        case 3:
            ok = one_find(c);
            break;
        case 4:
            ok = one_random(c, i % 16 == 4 ? 5000 : 16 + i % 400);
            break;
        default:
            ok = mac_is(c->s, 1);
        }
        if (ok)
            atomic_fetch_add(&c->good, 1);
    }
    return NULL;
}

static void test_threads(void **state)
{
    const struct vault *v = *state;
    struct crowd c = { .h = open_agent(NULL) };
    pthread_t threads[N_THREADS];
    int wrong = 0;

    c.keys[0] = make_ec(c.h, "pkcs11:object=crowd0");
    c.keys[1] = make_ec(c.h, "pkcs11:object=crowd1");
    c.s = import(c.h, 1);
    for (size_t i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run, &c), 0);
    for (int i = 0; i < N_FORKS; i++) /* while they are at it */
        wrong |= in_child(c.h, c.keys[0], c.s);
    for (size_t i = 0; i < N_THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(wrong, 0);
    assert_int_equal(c.good, N_THREADS * N_OPS);
    vault_expect(v, 1);
    hsm_secret_free(c.s);
    hsm_key_free(c.keys[0]);
    hsm_key_free(c.keys[1]);
    hsm_close(c.h);
    vault_expect(v, 0);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        ON(AGENT, test_fork),
        ON(AGENT, test_threads),
    };

    secret_value_set();
    return vaults_run("hsm: an agent that is shared", tests,
                      sizeof(tests) / sizeof(tests[0]), vaults_setup);
}
