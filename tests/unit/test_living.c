/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The provider in a living program, on SoftHSM: threads, forks, library
 * contexts and whole providers that come and go, all at once.
 */
#include "token.h"

#include "hsm.h"

#include <dlfcn.h>
#include <openssl/store.h>
#include <p11-kit/pkcs11.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define THREADS 8
/*
 * In a child, ASan's allocator stays locked by a thread that was in it: it
 * hangs in malloc().
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FORKS 0
#else
#define FORKS 20
#endif
#define RELOADS  50
#define ROUNDS   20
#define HARMS    10
#define PATIENCE 60 /* seconds, until a child that hangs is ended */

static bool signs(OSSL_LIB_CTX *ctx, EVP_PKEY *key, size_t kind)
{
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);

    return sign_message(ctx, key, kinds[kind].md, NULL, sig, &len)
           && verify_message(ctx, key, kinds[kind].md, sig, len);
}

static int exit_code(pid_t pid)
{
    int status = 0;

    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* In a child: the number of the key that doesn't sign, counted from 1; 0. */
static int child_signs(const struct token *t)
{
    alarm(PATIENCE);
    for (size_t k = 0; k < N_KINDS; k++)
        if (!signs(t->sealed, t->keys[k], k))
            return 1 + (int)k;
    return 0;
}

/* ---- threads and forks, below EVP ---- */

/*
 * OpenSSL's own locks stay locked in the child of a program whose other
 * threads use it at the moment of a fork(); so this is for hsm/ and the
 * module, whose locks must not.
 */
struct signers {
    struct hsm_key *key;
    atomic_bool stop;
    atomic_uint bad;
};

static bool signs_below(struct hsm_key *key)
{
    const struct hsm_sign_params p = { .mech = HSM_MECH_ECDSA };
    uint8_t tbs[32] = { 1 }, sig[64];
    size_t len = sizeof(sig);

    return hsm_sign(key, &p, tbs, sizeof(tbs), sig, &len) == HSM_OK;
}

static void *sign_until_stopped(void *arg)
{
    struct signers *s = arg;

    while (!atomic_load(&s->stop))
        if (!signs_below(s->key))
            atomic_fetch_add(&s->bad, 1);
    return NULL;
}

static void test_threads_and_forks(void **state)
{
    const struct token *t = *state;
    const struct hsm_config cfg = { .module = t->softhsm,
                                    .token = "pkcs11:token=unit",
                                    .pin_file = t->pin_file,
                                    .sessions = 4,
                                    .no_finalize = true };
    struct hsm_object *objs = NULL;
    struct signers s = { .key = NULL };
    pthread_t threads[THREADS];
    struct hsm *h = NULL;
    unsigned bad = 0;
    size_t n = 0;

    assert_int_equal(hsm_open(&cfg, &h), HSM_OK);
    assert_int_equal(hsm_find(h, "pkcs11:object=p256", HSM_PRIVATE, &objs, &n),
                     HSM_OK);
    s.key = objs[0].key;
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, sign_until_stopped, &s), 0);
    if (FORKS == 0)
        print_message("# no fork() among busy threads under a sanitizer, "
                      "whose allocator does not survive it\n");
    for (int i = 0; i < FORKS; i++) {
        pid_t pid = fork();

        if (pid == 0) {
            alarm(PATIENCE);
            _exit(signs_below(s.key) ? 0 : 1);
        }
        bad += exit_code(pid) != 0;
    }
    atomic_store(&s.stop, true);
    for (size_t i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(bad, 0);
    assert_int_equal(atomic_load(&s.bad), 0);
    hsm_objects_free(objs, n);
    hsm_close(h);
}

/* ---- threads, and somebody who closes all sessions ---- */

struct crowd {
    const struct token *t;
    /*
     * Signatures read, who closes sessions writes: SoftHSM itself crashes in
     * C_Sign() where the session goes meanwhile.
     */
    pthread_rwlock_t calm;
    atomic_uint bad;
};

static void *sign_all(void *arg)
{
    struct crowd *c = arg;

    for (size_t i = 0; i < ROUNDS; i++) {
        bool ok;

        pthread_rwlock_rdlock(&c->calm);
        ok = signs(c->t->sealed, c->t->keys[i % N_KINDS], i % N_KINDS);
        pthread_rwlock_unlock(&c->calm);
        if (!ok)
            atomic_fetch_add(&c->bad, 1);
    }
    return NULL;
}

/* Whoever finds it out first connects anew, for all of them. */
static void test_threads_and_harm(void **state)
{
    const struct token *t = *state;
    struct crowd c = { .t = t };
    CK_C_GetFunctionList get;
    CK_FUNCTION_LIST *p11 = NULL;
    pthread_t threads[THREADS];
    CK_SLOT_ID slots[4];
    CK_ULONG n = 4;

    assert_int_equal(pthread_rwlock_init(&c.calm, NULL), 0);
    *(void **)&get = dlsym(t->mapped, "C_GetFunctionList");
    assert_true(get != NULL && get(&p11) == CKR_OK);
    assert_int_equal(p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    for (int round = 0; round < HARMS; round++) {
        assert_int_equal(p11->C_CloseAllSessions(slots[0]), CKR_OK);
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, sign_all, &c),
                             0);
        pthread_rwlock_wrlock(&c.calm);
        assert_int_equal(p11->C_CloseAllSessions(slots[0]), CKR_OK);
        pthread_rwlock_unlock(&c.calm);
        for (size_t i = 0; i < THREADS; i++)
            assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(atomic_load(&c.bad), 0);
    }
    pthread_rwlock_destroy(&c.calm);
}

/* ---- contexts ---- */

struct user {
    OSSL_LIB_CTX *ctx;
    EVP_PKEY *key;
    unsigned bad;
};

static void user_init(struct user *u, const struct token *t)
{
    const struct section s = token_section(t);

    u->ctx = token_load(t, &s);
    u->key = key_find(u->ctx, "pkcs11:object=p256", OSSL_STORE_INFO_PKEY);
    u->bad = 0;
    assert_non_null(u->key);
}

static void *use(void *arg)
{
    struct user *u = arg;

    for (int i = 0; i < ROUNDS; i++)
        u->bad += signs(u->ctx, u->key, P256) ? 0 : 1;
    return NULL;
}

static void *use_and_free(void *arg)
{
    struct user *u = arg;

    (void)use(u);
    EVP_PKEY_free(u->key);
    OSSL_LIB_CTX_free(u->ctx);
    return NULL;
}

/* Each in a thread of its own, which ends its context while others go on. */
static void test_contexts_end(void **state)
{
    pthread_t threads[2], again;
    struct user users[3];

    for (size_t i = 0; i < 3; i++)
        user_init(&users[i], *state);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, use_and_free, &users[i]), 0);
    assert_int_equal(pthread_create(&again, NULL, use, &users[2]), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    assert_int_equal(pthread_join(again, NULL), 0);
    (void)use_and_free(&users[2]);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(users[i].bad, 0);
}

static void test_reload(void **state)
{
    struct user u;

    for (int i = 0; i < RELOADS; i++) {
        user_init(&u, *state);
        assert_true(signs(u.ctx, u.key, P256));
        EVP_PKEY_free(u.key);
        OSSL_LIB_CTX_free(u.ctx);
    }
}

/* ---- processes ---- */

/* One that comes when somebody has finalized the module meanwhile. */
static void test_finalized_before_first_use(void **state)
{
    const struct token *t = *state;
    CK_C_GetFunctionList get;
    CK_FUNCTION_LIST *p11 = NULL;
    struct user u;

    *(void **)&get = dlsym(t->mapped, "C_GetFunctionList");
    assert_true(get != NULL && get(&p11) == CKR_OK);
    assert_int_equal(p11->C_Finalize(NULL), CKR_OK);
    user_init(&u, t);
    assert_true(signs(u.ctx, u.key, P256));
    EVP_PKEY_free(u.key);
    OSSL_LIB_CTX_free(u.ctx);
    assert_true(signs(t->sealed, t->keys[P256], P256));
}

static void test_fork_before_first_use(void **state)
{
    const struct token *t = *state;
    const struct section s = token_section(t);
    OSSL_LIB_CTX *ctx = token_load(t, &s);
    EVP_PKEY *key;
    pid_t pid = fork();

    if (pid == 0)
        alarm(PATIENCE);
    key = key_find(ctx, "pkcs11:object=p256", OSSL_STORE_INFO_PKEY);
    if (pid == 0)
        _exit(key != NULL && signs(ctx, key, P256) ? 0 : 1);
    assert_true(key != NULL && signs(ctx, key, P256));
    assert_int_equal(exit_code(pid), 0);
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
}

/*
 * A program of its own, as SoftHSM's state in a forked child is the parent's:
 * argv[1] is this one's path.
 */
static int leave(void)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    EVP_PKEY *key;

    alarm(PATIENCE);
    if (ctx == NULL || !OSSL_LIB_CTX_load_config(ctx, getenv("LIVING_CONF")))
        return 1;
    key = key_find(ctx, "pkcs11:object=p256", OSSL_STORE_INFO_PKEY);
    return key != NULL && signs(ctx, key, P256) ? 0 : 2; /* nothing is freed */
}

static void test_exit_without_cleaning_up(void **state)
{
    const struct token *t = *state;
    const struct section s = token_section(t);
    const char *const argv[] = { "/proc/self/exe", "leave", NULL };
    char conf[64];
    pid_t pid;

    OSSL_LIB_CTX_free(token_context(t, &s, true)); /* it writes the file */
    strcpy(conf, t->dir);
    strcat(conf, "/openssl.cnf");
    assert_int_equal(setenv("LIVING_CONF", conf, 1), 0);
    if ((pid = fork()) == 0) {
        (void)setenv("ASAN_OPTIONS", "detect_leaks=0", 1); /* it does leak */
        (void)execv(argv[0], (char **)(uintptr_t)argv);
        _exit(127);
    }
    assert_int_equal(exit_code(pid), 0);

    fflush(NULL);              /* or exit() would say it all again */
    if ((pid = fork()) == 0) { /* and with all that this process has open */
        int code = child_signs(t);

        exit(code);
    }
    assert_int_equal(exit_code(pid), 0);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_and_forks),
        cmocka_unit_test(test_threads_and_harm),
        cmocka_unit_test(test_contexts_end),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_finalized_before_first_use),
        cmocka_unit_test(test_fork_before_first_use),
        cmocka_unit_test(test_exit_without_cleaning_up),
    };

    if (argc == 2 && strcmp(argv[1], "leave") == 0)
        exit(leave());
    return cmocka_run_group_tests_name("provider: life in a program", tests,
                                       token_setup_keys, token_teardown);
}
