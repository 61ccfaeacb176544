/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recovery through EVP, on SoftHSM: what happens to keys that are loaded when
 * the sessions, the login, the module's state or the process behind it go
 * away, and in forked children.
 */
#include "token.h"

#include <dlfcn.h>
#include <errno.h>
#include <openssl/store.h>
#include <p11-kit/pkcs11.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static bool signs(OSSL_LIB_CTX *ctx, EVP_PKEY *key, size_t kind)
{
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);

    return sign_message(ctx, key, kinds[kind].md, NULL, sig, &len)
           && verify_message(ctx, key, kinds[kind].md, sig, len);
}

/* ---- another user of the module ---- */

static CK_FUNCTION_LIST *functions(const struct token *t)
{
    CK_C_GetFunctionList get;
    CK_FUNCTION_LIST *p11 = NULL;

    *(void **)&get = dlsym(t->mapped, "C_GetFunctionList");
    assert_true(get != NULL && get(&p11) == CKR_OK);
    return p11;
}

static CK_SLOT_ID first_slot(CK_FUNCTION_LIST *p11)
{
    CK_SLOT_ID slots[4];
    CK_ULONG n = 4;

    assert_int_equal(p11->C_GetSlotList(CK_TRUE, slots, &n), CKR_OK);
    return slots[0];
}

static void close_all_sessions(CK_FUNCTION_LIST *p11)
{
    assert_int_equal(p11->C_CloseAllSessions(first_slot(p11)), CKR_OK);
}

static void log_out(CK_FUNCTION_LIST *p11)
{
    CK_SESSION_HANDLE s;

    assert_int_equal(
        p11->C_OpenSession(first_slot(p11), CKF_SERIAL_SESSION, NULL, NULL, &s),
        CKR_OK);
    assert_int_equal(p11->C_Logout(s), CKR_OK);
    assert_int_equal(p11->C_CloseSession(s), CKR_OK);
}

static void finalize(CK_FUNCTION_LIST *p11)
{
    assert_int_equal(p11->C_Finalize(NULL), CKR_OK);
}

static void initialize_again(CK_FUNCTION_LIST *p11)
{
    finalize(p11);
    assert_int_equal(p11->C_Initialize(NULL), CKR_OK);
}

static void test_another_user(void **state)
{
    void (*const harm[])(CK_FUNCTION_LIST *) = { close_all_sessions, log_out,
                                                 finalize, initialize_again };
    struct token *t = *state;

    for (size_t i = 0; i < sizeof(harm) / sizeof(harm[0]); i++) {
        for (size_t k = 0; k < N_KINDS; k++) {
            harm[i](functions(t));
            assert_true(signs(t->sealed, t->keys[k], k));
        }
    }
}

/* ---- fork ---- */

static int exit_code(pid_t pid)
{
    int status = 0;

    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Four children at once, each with what the parent has loaded. */
static void test_fork(void **state)
{
    struct token *t = *state;
    pid_t pids[4];

    for (size_t i = 0; i < 4; i++) {
        if ((pids[i] = fork()) != 0)
            continue;
        alarm(30);
        for (size_t k = 0; k < N_KINDS; k++)
            if (!signs(t->sealed, t->keys[k], k))
                _exit(1 + (int)k);
        _exit(0);
    }
    for (size_t k = 0; k < N_KINDS; k++)
        assert_true(signs(t->sealed, t->keys[k], k));
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(exit_code(pids[i]), 0);
}

/* A child of a child, and a key that was not loaded yet. */
static void test_fork_before_use(void **state)
{
    struct token *t = *state;
    struct section s = token_section(t);
    OSSL_LIB_CTX *ctx = token_load(t, &s);
    pid_t pid = fork();
    EVP_PKEY *key;

    if (pid == 0) {
        alarm(30);
        if ((pid = fork()) != 0) {
            int status = 1;

            _exit(waitpid(pid, &status, 0) == pid && status == 0 ? 0 : 2);
        }
        key = key_find(ctx, "pkcs11:object=p256", OSSL_STORE_INFO_PKEY);
        _exit(key != NULL && signs(ctx, key, P256) ? 0 : 1);
    }
    assert_int_equal(exit_code(pid), 0);
    OSSL_LIB_CTX_free(ctx);
}

/* ---- a process behind the module ---- */

static pid_t serve(const struct token *t, const char *path)
{
    const char *const argv[] = {
        "p11-kit",    "server",   "--foreground",      "--name", path,
        "--provider", t->softhsm, "pkcs11:token=unit", NULL
    };
    struct sockaddr_un at = { .sun_family = AF_UNIX };
    posix_spawn_file_actions_t quiet;
    posix_spawnattr_t group; /* it has a child for each connection */
    pid_t pid = -1;
    int fd;

    (void)unlink(path);
    assert_int_equal(posix_spawnattr_init(&group), 0);
    assert_int_equal(posix_spawnattr_setflags(&group, POSIX_SPAWN_SETPGROUP),
                     0);
    assert_int_equal(posix_spawn_file_actions_init(&quiet), 0);
    assert_int_equal(
        posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", 1, 0), 0);
    assert_int_equal(posix_spawnp(&pid, argv[0], &quiet, &group,
                                  (char **)(uintptr_t)argv, environ),
                     0);
    posix_spawnattr_destroy(&group);
    posix_spawn_file_actions_destroy(&quiet);
    strcpy(at.sun_path, path);
    do { /* until it listens */
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(waitpid(pid, NULL, WNOHANG), 0);
    } while (connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0
             && close(fd) == 0);
    close(fd);
    return pid;
}

static void end(pid_t pid)
{
    assert_int_equal(kill(-pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_process_killed(void **state)
{
    struct token *t = *state;
    struct section s = token_section(t);
    char path[64], address[80];
    OSSL_LIB_CTX *ctx;
    EVP_PKEY *key;
    pid_t server;

    snprintf(path, sizeof(path), "%s/p11", t->dir);
    snprintf(address, sizeof(address), "unix:path=%s", path);
    assert_int_equal(setenv("P11_KIT_SERVER_ADDRESS", address, 1), 0);
    (void)signal(SIGPIPE, SIG_DFL); /* it would end this program */
    s.module = "/usr/lib/x86_64-linux-gnu/pkcs11/p11-kit-client.so";
    server = serve(t, path);
    ctx = token_load(t, &s);
    key = key_find(ctx, "pkcs11:object=p256", OSSL_STORE_INFO_PKEY);
    assert_non_null(key);
    assert_true(signs(ctx, key, P256));
    for (int round = 0; round < 3; round++) {
        end(server);
        for (int i = 0; i < 3; i++)
            assert_false(signs(ctx, key, P256));
        assert_true(queue_had("no token matches"));
        server = serve(t, path);
        assert_true(signs(ctx, key, P256));
        end(server); /* and while nobody looks */
        server = serve(t, path);
        assert_true(signs(ctx, key, P256));
    }
    EVP_PKEY_free(key);
    OSSL_LIB_CTX_free(ctx);
    end(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_user),
        cmocka_unit_test(test_fork),
        cmocka_unit_test(test_fork_before_use),
        cmocka_unit_test(test_process_killed),
    };

    return cmocka_run_group_tests_name("provider: recovery", tests,
                                       token_setup_keys, token_teardown);
}
