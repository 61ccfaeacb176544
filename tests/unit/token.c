/* SPDX-License-Identifier: Apache-2.0 */
/* See token.h: the token, its directory and the contexts. */
#include "token.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <openssl/provider.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

const struct kind kinds[N_KINDS] = {
    { "p256", "EC", "P-256", "SHA256", 64 },
    { "p384", "EC", "P-384", "SHA384", 96 },
    { "p521", "EC", "P-521", "SHA512", 132 },
    { "rsa2048", "RSA", NULL, "SHA256", 256 },
    { "ed25519", "ED25519", NULL, NULL, 64 },
};

static struct token the_token;

int token_run(const char *const argv[])
{
    posix_spawn_file_actions_t quiet; /* its output would break the TAP */
    int status = -1;
    pid_t pid;

    if (posix_spawn_file_actions_init(&quiet) != 0)
        return -1;
    if (posix_spawn_file_actions_addopen(&quiet, 1, "/dev/null", O_WRONLY, 0)
            != 0
        || posix_spawnp(&pid, argv[0], &quiet, NULL, (char **)(uintptr_t)argv,
                        environ)
               != 0
        || waitpid(pid, &status, 0) != pid)
        status = -1;
    posix_spawn_file_actions_destroy(&quiet);
    return status;
}

void token_file(const struct token *t, const char *name, const char *text,
                char *path)
{
    FILE *f;

    snprintf(path, 64, "%s/%s", t->dir, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0600), 0);
}

static void find_softhsm(struct token *t)
{
    static const char *const paths[] = {
        "/usr/lib/softhsm/libsofthsm2.so",
        "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so",
        "/usr/lib64/pkcs11/libsofthsm2.so",
        "/usr/local/lib/softhsm/libsofthsm2.so",
    };
    const char *given = getenv("SOFTHSM2_MODULE");

    for (size_t i = 0; given == NULL && i < sizeof(paths) / sizeof(paths[0]);
         i++)
        if (access(paths[i], R_OK) == 0)
            given = paths[i];
    assert_non_null(given); /* no SoftHSM: set SOFTHSM2_MODULE */
    assert_true(strlen(given) < sizeof(t->softhsm));
    strcpy(t->softhsm, given);
}

int token_setup(void **state)
{
    struct token *t = &the_token;
    char conf[64], text[128];
    const char *const init[] = {
        "softhsm2-util", "--init-token", "--free", "--label", "unit",
        "--so-pin",      "5678",         "--pin",  TOKEN_PIN, NULL
    };

    strcpy(t->dir, "/tmp/sealed-test-XXXXXX");
    assert_non_null(mkdtemp(t->dir));
    *state = t;
    find_softhsm(t);
    /* Once unmapped, LSan could not name the module, nor lsan.supp. */
    t->mapped = dlopen(t->softhsm, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    assert_non_null(t->mapped);
    snprintf(text, sizeof(text), "%s/tokens", t->dir);
    assert_int_equal(mkdir(text, 0700), 0);
    snprintf(text, sizeof(text),
             "directories.tokendir = %s/tokens\nlog.level = ERROR\n", t->dir);
    token_file(t, "softhsm2.conf", text, conf);
    assert_int_equal(setenv("SOFTHSM2_CONF", conf, 1), 0);
    token_file(t, "pin", TOKEN_PIN "\n", t->pin_file);
    assert_int_equal(token_run(init), 0);
    return 0;
}

int token_setup_keys(void **state)
{
    struct token *t;
    struct section s;
    char uri[64];

    assert_int_equal(token_setup(state), 0);
    t = *state;
    s = token_section(t);
    t->sealed = token_load(t, &s);
    t->plain = OSSL_LIB_CTX_new();
    assert_non_null(t->plain);
    for (size_t i = 0; i < N_KINDS; i++) {
        snprintf(uri, sizeof(uri), "pkcs11:object=%s;id=%%%02zx", kinds[i].name,
                 i + 1);
        t->keys[i] = key_generate(t->sealed, &kinds[i], uri);
        assert_non_null(t->keys[i]);
    }
    return 0;
}

int token_teardown(void **state)
{
    struct token *t = *state;
    const char *const rm[] = { "rm", "-rf", t->dir, NULL };

    for (size_t i = 0; i < N_KINDS; i++)
        EVP_PKEY_free(t->keys[i]);
    OSSL_LIB_CTX_free(t->sealed);
    OSSL_LIB_CTX_free(t->plain);
    if (t->mapped != NULL)
        dlclose(t->mapped);
    return token_run(rm);
}

struct section token_section(const struct token *t)
{
    const struct section s = { .module = t->softhsm,
                               .token = "pkcs11:token=unit",
                               .pin_file = t->pin_file,
                               .sessions = "4" };

    return s;
}

static void line(FILE *f, const char *key, const char *value)
{
    if (value != NULL)
        fprintf(f, "%s = %s\n", key, value);
}

OSSL_LIB_CTX *token_context(const struct token *t, const struct section *s,
                            bool activate)
{
    OSSL_LIB_CTX *ctx = OSSL_LIB_CTX_new();
    const char *where = getenv("SEALED_MODULE");
    char path[64];
    FILE *f;

    assert_non_null(ctx);
    assert_non_null(where);
    snprintf(path, sizeof(path), "%s/openssl.cnf", t->dir);
    f = fopen(path, "w");
    assert_non_null(f);
    fprintf(f,
            "openssl_conf = init\n[init]\nproviders = list\n[list]\n"
            "default = default_section\nsealed = sealed_section\n"
            "[default_section]\nactivate = 1\n[sealed_section]\n"
            "module = %s/sealed.so\n",
            where);
    line(f, "activate", activate ? "1" : NULL);
    line(f, "pkcs11-module", s->module);
    line(f, "agent", s->agent);
    line(f, "token", s->token);
    line(f, "pin-file", s->pin_file);
    line(f, "sessions", s->sessions);
    line(f, "init-args", s->init_args);
    line(f, "derive", s->derive);
    line(f, "wrap", s->wrap);
    line(f, "secrets", s->secrets);
    line(f, "handshake-timeout", s->timeout);
    line(f, "sealed-max", s->max);
    assert_true(fputs(s->more != NULL ? s->more : "", f) >= 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(OSSL_LIB_CTX_load_config(ctx, path), 1);
    return ctx;
}

OSSL_LIB_CTX *token_load(const struct token *t, const struct section *s)
{
    OSSL_LIB_CTX *ctx = token_context(t, s, true);

    assert_int_equal(OSSL_PROVIDER_available(ctx, "sealed"), 1);
    return ctx;
}
