/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signatures of a token's keys: the module itself, EVP_PKEY_sign() on a
 * prepared digest, and EVP_DigestSign() as libssl calls it.
 */
#include "bare.h"
#include "bench.h"

#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/store.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SIG_MAX    512
#define DIGEST_LEN 32

/* DigestInfo of SHA-256 (RFC 8017 9.2), and a digest; ECDSA takes the latter.
 */
static const unsigned char digest_info[] = {
    0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65,
    0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20, 0x01, 0x02, 0x03,
    0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
    0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19,
    0x1a, 0x1b, 0x1c, 0x1d, 0x1e, 0x1f, 0x20,
};
static const unsigned char *const digest =
    digest_info + sizeof(digest_info) - DIGEST_LEN;

static const struct kind {
    const char *name, *title; /* the name is the key's label, too */
    enum bare_mech mech;
} kinds[] = {
    { "ecdsa", "ECDSA P-256", BARE_ECDSA },
    { "rsa", "RSA-2048", BARE_RSA_PKCS1 },
};

enum { BARE, SIGN, DIGEST_SIGN, N_SIDES };

struct evp_signer {
    EVP_PKEY *key;     /* borrowed */
    EVP_PKEY_CTX *ctx; /* NULL for EVP_DigestSign() */
    size_t len;
    unsigned char sig[SIG_MAX];
};

/* One kind of key, all threads of all sides. */
struct contest {
    const struct kind *kind;
    EVP_PKEY *key;
    void *states[N_SIDES][BENCH_THREADS_MAX];
};

static EVP_PKEY *key_load(const char *name)
{
    OSSL_STORE_CTX *store = NULL;
    OSSL_STORE_INFO *info = NULL;
    EVP_PKEY *key = NULL;
    char uri[64];

    snprintf(uri, sizeof(uri), "pkcs11:object=%s;type=private", name);
    store = OSSL_STORE_open(uri, NULL, NULL, NULL, NULL);
    if (store != NULL && OSSL_STORE_expect(store, OSSL_STORE_INFO_PKEY))
        info = OSSL_STORE_load(store);
    if (info != NULL)
        key = OSSL_STORE_INFO_get1_PKEY(info);
    OSSL_STORE_INFO_free(info);
    OSSL_STORE_close(store);
    if (key == NULL)
        bench_fail(uri);
    return key;
}

static bool evp_sign(void *state)
{
    struct evp_signer *s = state;

    s->len = sizeof(s->sig);
    return EVP_PKEY_sign(s->ctx, s->sig, &s->len, digest, DIGEST_LEN) > 0;
}

static bool evp_digest_sign(void *state)
{
    struct evp_signer *s = state;
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok;

    s->len = sizeof(s->sig);
    ok = md != NULL
         && EVP_DigestSignInit_ex(md, NULL, "SHA256", NULL, NULL, s->key, NULL)
                > 0
         && EVP_DigestSign(md, s->sig, &s->len, digest, DIGEST_LEN) > 0;
    EVP_MD_CTX_free(md);
    return ok;
}

static void evp_signer_free(struct evp_signer *s)
{
    if (s == NULL)
        return;
    EVP_PKEY_CTX_free(s->ctx);
    free(s);
}

static struct evp_signer *evp_signer_new(EVP_PKEY *key, bool prepared)
{
    struct evp_signer *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->key = key;
    if (!prepared)
        return s;
    s->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    if (s->ctx == NULL || EVP_PKEY_sign_init(s->ctx) <= 0
        || EVP_PKEY_CTX_set_signature_md(s->ctx, EVP_sha256()) <= 0
        || (EVP_PKEY_is_a(key, "RSA")
            && EVP_PKEY_CTX_set_rsa_padding(s->ctx, RSA_PKCS1_PADDING) <= 0)) {
        evp_signer_free(s);
        return NULL;
    }
    return s;
}

static bool contest_thread(struct contest *c, const struct bare *b, size_t i)
{
    bool ec = c->kind->mech == BARE_ECDSA;

    c->states[BARE][i] = bare_signer_new(b, c->kind->name, c->kind->mech,
                                         ec ? digest : digest_info,
                                         ec ? DIGEST_LEN : sizeof(digest_info));
    c->states[SIGN][i] = evp_signer_new(c->key, true);
    c->states[DIGEST_SIGN][i] = evp_signer_new(c->key, false);
    for (size_t s = 0; s < N_SIDES; s++) {
        if (c->states[s][i] == NULL)
            return bench_fail(c->kind->title);
    }
    return true;
}

static void contest_clear(struct contest *c)
{
    for (size_t i = 0; i < BENCH_THREADS_MAX; i++) {
        bare_signer_free(c->states[BARE][i]);
        evp_signer_free(c->states[SIGN][i]);
        evp_signer_free(c->states[DIGEST_SIGN][i]);
    }
    EVP_PKEY_free(c->key);
}

/* Of PKCS#1 signatures there is only one: have both done the same work? */
static bool same_work(const struct contest *c)
{
    const struct evp_signer *s = c->states[SIGN][0];
    const unsigned char *sig;
    size_t len;

    if (c->kind->mech != BARE_RSA_PKCS1)
        return true;
    sig = bare_signature(c->states[BARE][0], &len);
    return (len == s->len && memcmp(sig, s->sig, len) == 0)
           || bench_fail("the provider signs something else");
}

static bool contest_run(struct contest *c, const struct bench_options *o,
                        size_t n_threads)
{
    const struct duel_side sides[N_SIDES] = {
        [BARE] = { .run = bare_sign, .states = c->states[BARE] },
        [SIGN] = { .run = evp_sign, .states = c->states[SIGN] },
        [DIGEST_SIGN] = { .run = evp_digest_sign,
                          .states = c->states[DIGEST_SIGN] },
    };
    const struct duel_plan plan = { N_SIDES, n_threads, o->pairs, o->seconds };
    struct duel_result r[N_SIDES];

    if (!duel_run(&plan, sides, r) || !same_work(c))
        return false;
    bench_row(c->kind->title, "EVP_PKEY_sign", n_threads, &r[BARE], &r[SIGN],
              true);
    bench_row(c->kind->title, "EVP_DigestSign", n_threads, &r[BARE],
              &r[DIGEST_SIGN], false);
    return true;
}

static bool contest(const struct kind *kind, const struct bench_options *o,
                    struct bare **b)
{
    static const size_t usual[] = { 1, 2, 8 };
    const size_t *threads = o->n_threads != 0 ? o->threads : usual;
    size_t n =
        o->n_threads != 0 ? o->n_threads : sizeof(usual) / sizeof(usual[0]);
    struct contest c = { .kind = kind };
    size_t made = 0;
    bool ok;

    /* The first key's loading initializes the module, and logs in. */
    ok = (c.key = key_load(kind->name)) != NULL
         && (*b != NULL || (*b = bare_open(o->module, o->label, NULL)) != NULL);
    for (size_t i = 0; ok && i < n; i++) {
        while (ok && made < threads[i])
            ok = contest_thread(&c, *b, made++);
        ok = ok && contest_run(&c, o, threads[i]);
    }
    contest_clear(&c);
    return ok;
}

bool bench_token(const struct bench_options *o)
{
    struct bare *b = NULL;
    bool ok = true, any = false;

    bench_head("bare/s", "EVP/s");
    for (size_t i = 0; ok && i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (!bench_wanted(o, kinds[i].name))
            continue;
        any = true;
        ok = contest(&kinds[i], o, &b);
    }
    bare_close(b);
    return ok && (any || bench_fail("--only: no such name"));
}
