/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many PSK handshakes: no object is left in the token, neither the process nor
 * the agent grows, and a table that is too small for what is asked of it
 * refuses and recovers.
 */
#include "tls_pair.h"
#include "vault.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define HANDSHAKES 10000
#define WARM_UP    1000
#define GROWTH_MAX (2l * 1024 * 1024)
#define PSKS       8

static const struct psk the_psk = { "a PSK of 32 octets, all of them.", 0 };

/* Octets of the process, or of the agent, that are in memory. */
static long resident(bool of_agent)
{
    long all = 0, here = 0;
    char path[32] = "/proc/self/statm";
    FILE *f;

    if (of_agent)
        snprintf(path, sizeof(path), "/proc/%ld/statm",
                 (long)vault_agent_pid());
    f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%ld %ld", &all, &here), 2);
    fclose(f);
    return here * sysconf(_SC_PAGESIZE);
}

/* Sanitizers keep what was freed in quarantine. */
static bool sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

/* Half of it on keys that come and go, as validity timers have it. */
static void test_handshakes(void **state)
{
    const struct vault *v = *state;
    SSL_CTX *s = pair_psk_server(v->ctx, "?sealed.tls=psk");
    SSL_CTX *c = pair_client(NULL, 0);
    struct psk server = the_psk, client = the_psk;
    CK_ULONG before = vault_count(v);
    unsigned n = sanitized() ? HANDSHAKES / 50 : HANDSHAKES;
    long at_first[2] = { 0, 0 };

    for (unsigned i = 0; i < n; i++) {
        if (i % 100 == 0)
            vault_seal(v, the_psk.key, 32, 3600, server.key);
        assert_true(pair_once(s, c, &server, &client));
        if (i % 100 == 99) {
            assert_true(vault_release(v->ctx, server.key, 32));
            vault_expect(v, before);
        }
        for (int k = 0; i == WARM_UP && k < 2; k++)
            at_first[k] = resident(k == 1);
    }
    for (int k = 0; !sanitized() && k < 2; k++) {
        long growth = resident(k == 1) - at_first[k];

        printf("# %s: %ld octets of growth%s\n", v->name, growth,
               k == 1 ? " in the agent" : "");
        assert_true(growth < GROWTH_MAX);
    }
    SSL_CTX_free(s);
    SSL_CTX_free(c);
}

static OSSL_LIB_CTX *small_table(const struct vault *v)
{
    struct section s = vault_section(v);

    s.secrets = "travel";
    s.max = "16";
    return token_load(v->dir, &s);
}

/* PSKs have a lifetime of their own: none gives way to another. */
static void test_pressure_psk(void **state)
{
    const struct vault *v = *state;
    CK_ULONG before = vault_count(v);
    OSSL_LIB_CTX *ctx = small_table(v);
    SSL_CTX *s = pair_psk_server(ctx, "?sealed.tls=psk");
    SSL_CTX *c = pair_client(NULL, 0);
    struct psk server[PSKS], client = the_psk;
    uint8_t wrapped[40];
    unsigned good = 0;
    size_t len;

    vault_wrap(the_psk.key, 32, wrapped);
    for (size_t i = 0; i < PSKS; i++) {
        server[i].early_data = 0;
        assert_true(
            vault_aes(ctx, false, 3600, wrapped, 40, server[i].key, &len));
    }
    for (size_t i = 0; i < PSKS; i++) {
        if (pair_once(s, c, &server[i], &client))
            good++;
        else
            assert_true(pair_said("the table of sealed secrets is full"));
    }
    /* 8 PSKs and 8 places for descendants, of which each wants 4. */
    assert_int_equal(good, 2);
    assert_true(pair_once(s, c, &server[0], &client));
    for (size_t i = 0; i + 1 < PSKS; i++)
        assert_true(vault_release(ctx, server[i].key, 32));
    assert_true(pair_once(s, c, &server[PSKS - 1], &client));
    assert_true(vault_release(ctx, server[PSKS - 1].key, 32));
    vault_expect(v, before);
    SSL_CTX_free(s);
    SSL_CTX_free(c);
    OSSL_LIB_CTX_free(ctx);
}

/* Connections' secrets do: the newest ones are served. */
static void test_pressure_sessions(void **state)
{
    const struct vault *v = *state;
    CK_ULONG before = vault_count(v);
    OSSL_LIB_CTX *ctx = small_table(v);
    SSL_CTX *s = pair_server(ctx, "?sealed.tls=session", TLS1_3_VERSION);
    SSL_CTX *c = pair_client(NULL, TLS1_3_VERSION);
    struct pair pairs[PSKS];
    uint8_t out[32];
    unsigned good = 0;

    for (size_t i = 0; i < PSKS; i++) {
        pairs[i] = pair_new(s, c, NULL, NULL);
        assert_true(pair_shake(&pairs[i]));
        vault_expect_most(v, before + 16);
    }
    for (size_t i = 0; i < PSKS; i++) {
        assert_true(pair_talk(&pairs[i])); /* which needs no sealed secret */
        if (SSL_export_keying_material(pairs[i].server, out, sizeof(out),
                                       "EXPORTER-x", 10, NULL, 0, 0))
            good++;
        else
            assert_true(queue_had("the sealed secret is gone, or never was"));
    }
    assert_in_range(good, 1, PSKS - 1);
    for (size_t i = 0; i < PSKS; i++)
        pair_free(&pairs[i]);
    assert_true(pair_once(s, c, NULL, NULL));
    SSL_CTX_free(s);
    SSL_CTX_free(c);
    OSSL_LIB_CTX_free(ctx); /* and all its objects with it */
    vault_expect(v, before);
}

int main(void)
{
    struct CMUnitTest tests[] = {
        ON_ALL(test_pressure_psk),
        ON_ALL(test_pressure_sessions),
        ON_ALL(test_handshakes),
    };

    return vaults_run("sealed secrets under load", tests,
                      sizeof(tests) / sizeof(tests[0]), vaults_setup);
}
