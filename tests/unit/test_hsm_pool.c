/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pool of sessions under threads, and a forked child.  The test is linked
 * with --wrap=pthread_cond_wait, so that it knows when a thread waits for a
 * session, and needs no sleep.
 */
#include "hsm_fixture.h"
#include "internal.h"

#include <semaphore.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX     3
#define THREADS 12 /* a multiple of MAX */
#define ROUNDS  20

static sem_t waits, in_sign, go;
static pthread_barrier_t all_in_use;

int __real_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);
int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m);

int __wrap_pthread_cond_wait(pthread_cond_t *c, pthread_mutex_t *m)
{
    sem_post(&waits);
    return __real_pthread_cond_wait(c, m);
}

struct job {
    struct hsm *h;
    struct hsm_key *key;
    enum hsm_status st;
};

static void *sign_job(void *arg)
{
    const struct hsm_sign_params p = { .mech = HSM_MECH_ECDSA };
    struct job *j = arg;
    uint8_t tbs[32] = { 1 }, sig[FAKE_EC_OCTETS];
    size_t len = sizeof(sig);

    j->st = hsm_sign(j->key, &p, tbs, sizeof(tbs), sig, &len);
    return NULL;
}

static void *random_job(void *arg)
{
    struct job *j = arg;
    uint8_t out[4];

    j->st = hsm_random(j->h, out, sizeof(out));
    return NULL;
}

static void sign_when_all_in_use(void)
{
    pthread_barrier_wait(&all_in_use);
}

/* Three signatures are let go on only together, so the bound is reached. */
static void test_bound(void **state)
{
    struct hsm *h = fixture_open(MAX);
    struct hsm_key *key = fixture_key(h, "ec");
    struct job jobs[THREADS];
    pthread_t t[THREADS];

    (void)state;
    assert_int_equal(pthread_barrier_init(&all_in_use, NULL, MAX), 0);
    fake->on_sign = sign_when_all_in_use;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < THREADS; i++) {
            jobs[i] = (struct job){ h, key, HSM_ERR_DEVICE };
            assert_int_equal(pthread_create(&t[i], NULL, sign_job, &jobs[i]),
                             0);
        }
        for (size_t i = 0; i < THREADS; i++) {
            pthread_join(t[i], NULL);
            assert_int_equal(jobs[i].st, HSM_OK);
        }
    }
    fake->on_sign = NULL;
    pthread_barrier_destroy(&all_in_use);
    assert_int_equal(fake->peak_sessions, 1 + MAX); /* and the anchor */
    hsm_key_free(key);
    fixture_close(h);
}

static void sign_when_told(void)
{
    sem_post(&in_sign);
    sem_wait(&go);
}

/* One thread signs, another waits for the only session. */
static void start_holder_and_waiter(struct job *holder, struct job *waiter,
                                    pthread_t t[2])
{
    while (sem_trywait(&waits) == 0)
        continue;
    fake->on_sign = sign_when_told;
    assert_int_equal(pthread_create(&t[0], NULL, sign_job, holder), 0);
    sem_wait(&in_sign);
    assert_int_equal(pthread_create(&t[1], NULL, random_job, waiter), 0);
    sem_wait(&waits);
}

static void end_holder_and_waiter(pthread_t t[2])
{
    sem_post(&go);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    fake->on_sign = NULL;
}

static void test_waiter_woken(void **state)
{
    struct hsm *h = fixture_open(1);
    struct hsm_key *key = fixture_key(h, "ec");
    struct job holder = { h, key, HSM_ERR_DEVICE };
    struct job waiter = { h, key, HSM_ERR_DEVICE };
    pthread_t t[2];

    (void)state;
    start_holder_and_waiter(&holder, &waiter, t);
    end_holder_and_waiter(t);
    assert_int_equal(holder.st, HSM_OK);
    assert_int_equal(waiter.st, HSM_OK);
    assert_int_equal(fake->peak_sessions, 2);
    hsm_key_free(key);
    fixture_close(h);
}

/* The session is closed, and its place is what the waiter gets. */
static void test_waiter_woken_by_failure(void **state)
{
    struct hsm *h = fixture_open(1);
    struct hsm_key *key = fixture_key(h, "ec");
    struct job holder = { h, key, HSM_OK };
    struct job waiter = { h, key, HSM_ERR_DEVICE };
    pthread_t t[2];

    (void)state;
    fake_do_reset(2, CKR_DEVICE_MEMORY); /* C_SignInit() is the first */
    start_holder_and_waiter(&holder, &waiter, t);
    end_holder_and_waiter(t);
    assert_int_equal(holder.st, HSM_ERR_MEMORY);
    assert_int_equal(waiter.st, HSM_OK);
    hsm_key_free(key);
    fixture_close(h);
}

/* And so it is if no session can be opened in that place. */
static void test_open_failure_frees_place(void **state)
{
    struct hsm *h = fixture_open(1);
    uint8_t out[4];

    (void)state;
    for (int i = 0; i < 3; i++) {
        fake_do_reset(1, CKR_DEVICE_MEMORY);
        assert_int_equal(hsm_random(h, out, sizeof(out)), HSM_ERR_MEMORY);
    }
    fake_do_reset(0, CKR_OK);
    assert_int_equal(hsm_random(h, out, sizeof(out)), HSM_OK);
    fixture_close(h);
}

/* A pool of one session is enough for everything, key generation included. */
static void test_one_session_is_enough(void **state)
{
    struct hsm *h = fixture_open(1);
    struct hsm_key *key = NULL;

    (void)state;
    assert_int_equal(hsm_generate(h, HSM_KEY_EC, HSM_CURVE_P256, 0,
                                  HSM_USE_SIGN, "pkcs11:object=new", &key),
                     HSM_OK);
    hsm_key_free(key);
    fixture_close(h);
}

static void *fail_job(void *arg)
{
    (void)arg;
    (void)hsm_status_from_ck("C_Other", CKR_PIN_LOCKED);
    return NULL;
}

static void test_last_error_is_the_threads_own(void **state)
{
    pthread_t t;

    (void)state;
    (void)hsm_status_from_ck("C_Mine", CKR_DEVICE_ERROR);
    assert_int_equal(pthread_create(&t, NULL, fail_job, NULL), 0);
    pthread_join(t, NULL);
    assert_string_equal(hsm_last_error(), "C_Mine: CKR_DEVICE_ERROR (0x30)");
}

/* What a child can do, as an exit code; cmocka's asserts are the parent's. */
static int child_uses(struct hsm *h, struct hsm_key *key,
                      struct hsm_secret *secret)
{
    struct job j = { h, key, HSM_ERR_DEVICE };
    struct hsm_object *objs = NULL;
    uint8_t mac[HSM_MAC_LEN];
    size_t n = 0;

    sign_job(&j);
    if (j.st != HSM_OK)
        return 1;
    random_job(&j);
    if (j.st != HSM_OK)
        return 2;
    if (hsm_find(h, "pkcs11:", HSM_PRIVATE, &objs, &n) != HSM_OK || n != 2)
        return 3;
    hsm_objects_free(objs, n);
    if (hsm_mac(secret, mac, 1, mac) != HSM_ERR_GONE)
        return 4; /* the parent's */
    if (fake->logins != 1)
        return 5;
    return 0;
}

static int exit_code(pid_t pid)
{
    int status = 0;

    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void test_fork(void **state)
{
    struct hsm *h = fixture_open(2);
    struct hsm_key *key = fixture_key(h, "ec");
    struct hsm_secret *secret = NULL;
    struct job j = { h, key, HSM_ERR_DEVICE };
    uint8_t mac[HSM_MAC_LEN] = { 1 };
    pid_t pid;

    (void)state;
    assert_int_equal(hsm_import(h, mac, 32, HSM_TRAVEL_NEVER, &secret), HSM_OK);
    fake_do_reset(0, CKR_OK);
    pid = fork();
    if (pid == 0) {
        int code = child_uses(h, key, secret);

        hsm_secret_free(secret);
        hsm_key_free(key);
        hsm_close(h);
        _exit(code != 0 ? code : fake->initialized ? 6 : 0);
    }
    assert_int_equal(exit_code(pid), 0);
    assert_int_equal(fake->logins, 0);
    sign_job(&j); /* the parent's token is as it was */
    assert_int_equal(j.st, HSM_OK);
    assert_int_equal(hsm_mac(secret, mac, 1, mac), HSM_OK);
    hsm_secret_free(secret);
    hsm_key_free(key);
    fixture_close(h);
}

/* A child that never uses it leaves the parent's module alone. */
static void test_fork_unused(void **state)
{
    struct hsm *h = fixture_open(2);
    struct hsm_key *key = fixture_key(h, "ec");
    pid_t pid;

    (void)state;
    fake_do_reset(0, CKR_OK);
    pid = fork();
    if (pid == 0) {
        hsm_key_free(key);
        hsm_close(h);
        _exit(fake->calls == 0 && fake->initialized ? 0 : 1);
    }
    assert_int_equal(exit_code(pid), 0);
    hsm_key_free(key);
    fixture_close(h);
}

static void *let_go(void *arg)
{
    sem_wait(&waits); /* fork() does, for the thread that signs */
    sem_post(&go);
    return arg;
}

/* Whatever other threads are at, no lock is left behind in the child. */
static void test_fork_while_signing(void **state)
{
    struct hsm *h = fixture_open(1);
    struct hsm_key *key = fixture_key(h, "ec");
    struct job holder = { h, key, HSM_ERR_DEVICE };
    struct job waiter = { h, key, HSM_ERR_DEVICE };
    struct job child = { h, key, HSM_ERR_DEVICE };
    pthread_t t[3];
    pid_t pid;

    (void)state;
    start_holder_and_waiter(&holder, &waiter, t);
    assert_int_equal(pthread_create(&t[2], NULL, let_go, NULL), 0);
    pid = fork();
    if (pid == 0) {
        alarm(10);
        fake->on_sign = NULL;
        sign_job(&child);
        hsm_key_free(key);
        hsm_close(h);
        _exit(child.st == HSM_OK ? 0 : 1);
    }
    assert_int_equal(exit_code(pid), 0);
    pthread_join(t[2], NULL);
    pthread_join(t[0], NULL);
    pthread_join(t[1], NULL);
    fake->on_sign = NULL;
    assert_int_equal(holder.st, HSM_OK);
    assert_int_equal(waiter.st, HSM_OK);
    hsm_key_free(key);
    fixture_close(h);
}

static int setup(void **state)
{
    sem_init(&waits, 0, 0);
    sem_init(&in_sign, 0, 0);
    sem_init(&go, 0, 0);
    return fixture_setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_waiter_woken),
        cmocka_unit_test(test_waiter_woken_by_failure),
        cmocka_unit_test(test_open_failure_frees_place),
        cmocka_unit_test(test_last_error_is_the_threads_own),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_unused),
        cmocka_unit_test(test_fork_while_signing),
        cmocka_unit_test(test_one_session_is_enough),
    };

    return cmocka_run_group_tests_name("hsm: pool", tests, setup,
                                       fixture_teardown);
}
