/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a program pays for having the provider loaded where it doesn't use it:
 * the default context, which OPENSSL_CONF configures, against one of the
 * default provider alone.
 */
#include "bench.h"
#include "handshake.h"

#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>

#define SIG_MAX   512
#define INPUT_LEN 64

static const unsigned char input[INPUT_LEN] = "a digest's input";

struct der {
    unsigned char *data;
    int len;
};

/* Made once by the default provider, as files are; each side reads them. */
struct fixture {
    struct der ec, cert, rsa;
    unsigned char sig[SIG_MAX]; /* of the first 32 octets of input by rsa */
    size_t sig_len;
};

/* One operation of one thread; what the operation doesn't need is NULL. */
struct soft {
    OSSL_LIB_CTX *ctx;
    const struct fixture *fix;
    const char *type, *group;
    EVP_MD *md;
    EVP_PKEY *key; /* or the peer's */
    EVP_PKEY_CTX *use;
    struct handshake *tls;
};

struct operation {
    const char *name, *title, *what;
    bool (*prepare)(struct soft *s);
    bool (*run)(void *state);
};

static EVP_PKEY *ec_key(const struct soft *s)
{
    const unsigned char *p = s->fix->ec.data;

    return d2i_AutoPrivateKey_ex(NULL, &p, s->fix->ec.len, s->ctx, NULL);
}

/* ---- digests ---- */

static bool digest_fetch(struct soft *s)
{
    s->md = EVP_MD_fetch(s->ctx, "SHA256", NULL);
    return s->md != NULL;
}

static bool digest_run(void *state)
{
    const struct soft *s = state;
    unsigned char out[EVP_MAX_MD_SIZE];

    return EVP_Digest(input, sizeof(input), out, NULL, s->md, NULL);
}

static bool nothing(struct soft *s)
{
    (void)s;
    return true;
}

static bool digest_fetch_run(void *state)
{
    struct soft *s = state;
    bool ok = digest_fetch(s) && digest_run(s);

    EVP_MD_free(s->md);
    s->md = NULL;
    return ok;
}

/* ---- signatures ---- */

static bool ecdsa_load(struct soft *s)
{
    s->key = ec_key(s);
    return s->key != NULL;
}

static bool ecdsa_prepare(struct soft *s)
{
    return ecdsa_load(s)
           && (s->use = EVP_PKEY_CTX_new_from_pkey(s->ctx, s->key, NULL))
                  != NULL
           && EVP_PKEY_sign_init(s->use) > 0;
}

static bool ecdsa_run(void *state)
{
    const struct soft *s = state;
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);

    return EVP_PKEY_sign(s->use, sig, &len, input, 32) > 0;
}

static bool ecdsa_init_run(void *state)
{
    const struct soft *s = state;
    unsigned char sig[SIG_MAX];
    size_t len = sizeof(sig);
    EVP_MD_CTX *md = EVP_MD_CTX_new();
    bool ok =
        md != NULL
        && EVP_DigestSignInit_ex(md, NULL, "SHA256", s->ctx, NULL, s->key, NULL)
               > 0
        && EVP_DigestSign(md, sig, &len, input, sizeof(input)) > 0;

    EVP_MD_CTX_free(md);
    return ok;
}

static bool rsa_prepare(struct soft *s)
{
    const unsigned char *p = s->fix->rsa.data;

    return digest_fetch(s)
           && (s->key = d2i_PUBKEY_ex(NULL, &p, s->fix->rsa.len, s->ctx, NULL))
                  != NULL
           && (s->use = EVP_PKEY_CTX_new_from_pkey(s->ctx, s->key, NULL))
                  != NULL
           && EVP_PKEY_verify_init(s->use) > 0
           && EVP_PKEY_CTX_set_rsa_padding(s->use, RSA_PKCS1_PADDING) > 0
           && EVP_PKEY_CTX_set_signature_md(s->use, s->md) > 0;
}

static bool rsa_run(void *state)
{
    const struct soft *s = state;

    return EVP_PKEY_verify(s->use, s->fix->sig, s->fix->sig_len, input, 32)
           == 1;
}

/* ---- key exchange ---- */

static EVP_PKEY *generate(const struct soft *s)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(s->ctx, s->type, NULL);
    EVP_PKEY *key = NULL;

    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) <= 0
        || (s->group != NULL && EVP_PKEY_CTX_set_group_name(ctx, s->group) <= 0)
        || EVP_PKEY_generate(ctx, &key) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static bool x25519_prepare(struct soft *s)
{
    s->type = "X25519";
    return (s->key = generate(s)) != NULL;
}

static bool p256_prepare(struct soft *s)
{
    s->type = "EC";
    s->group = "P-256";
    return (s->key = generate(s)) != NULL;
}

static bool exchange_run(void *state)
{
    const struct soft *s = state;
    EVP_PKEY *key = generate(s);
    EVP_PKEY_CTX *ctx =
        key != NULL ? EVP_PKEY_CTX_new_from_pkey(s->ctx, key, NULL) : NULL;
    unsigned char secret[EVP_MAX_KEY_LENGTH];
    size_t len = sizeof(secret);
    bool ok = ctx != NULL && EVP_PKEY_derive_init(ctx) > 0
              && EVP_PKEY_derive_set_peer(ctx, s->key) > 0
              && EVP_PKEY_derive(ctx, secret, &len) > 0;

    EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(key);
    return ok;
}

/* ---- TLS ---- */

static bool tls_prepare(struct soft *s)
{
    const unsigned char *p = s->fix->cert.data;
    X509 *cert = X509_new_ex(s->ctx, NULL);

    if (cert != NULL && d2i_X509(&cert, &p, s->fix->cert.len) != NULL
        && ecdsa_load(s))
        s->tls = handshake_new(s->ctx, s->key, cert);
    X509_free(cert);
    return s->tls != NULL;
}

static bool tls_run(void *state)
{
    const struct soft *s = state;

    return handshake_run(s->tls);
}

static const struct operation operations[] = {
    { "digest-fetch", "SHA-256 of 64", "fetched", nothing, digest_fetch_run },
    { "digest", "SHA-256 of 64", "prefetched", digest_fetch, digest_run },
    { "ecdsa", "ECDSA P-256", "EVP_PKEY_sign", ecdsa_prepare, ecdsa_run },
    { "ecdsa-init", "ECDSA P-256", "EVP_DigestSign", ecdsa_load,
      ecdsa_init_run },
    { "x25519", "X25519", "keygen, derive", x25519_prepare, exchange_run },
    { "p256", "ECDH P-256", "keygen, derive", p256_prepare, exchange_run },
    { "rsa", "RSA-2048", "EVP_PKEY_verify", rsa_prepare, rsa_run },
    { "tls", "TLS 1.3, P-256", "handshake", tls_prepare, tls_run },
};

/* ---- the fixture ---- */

static X509 *self_signed(OSSL_LIB_CTX *ctx, EVP_PKEY *key)
{
    X509 *cert = X509_new_ex(ctx, NULL);
    X509_NAME *name = cert != NULL ? X509_get_subject_name(cert) : NULL;

    if (name == NULL || !X509_set_version(cert, X509_VERSION_3)
        || !X509_NAME_add_entry_by_txt(
            name, "CN", MBSTRING_ASC, (const unsigned char *)"bench", -1, -1, 0)
        || !X509_set_issuer_name(cert, name)
        || !ASN1_INTEGER_set(X509_get_serialNumber(cert), 1)
        || X509_gmtime_adj(X509_getm_notBefore(cert), -3600) == NULL
        || X509_gmtime_adj(X509_getm_notAfter(cert), 86400) == NULL
        || !X509_set_pubkey(cert, key)
        || X509_sign(cert, key, EVP_sha256()) <= 0) {
        X509_free(cert);
        return NULL;
    }
    return cert;
}

static bool rsa_sign(OSSL_LIB_CTX *ctx, EVP_PKEY *key, struct fixture *f)
{
    EVP_PKEY_CTX *use = EVP_PKEY_CTX_new_from_pkey(ctx, key, NULL);
    bool ok;

    f->sig_len = sizeof(f->sig);
    ok = use != NULL && EVP_PKEY_sign_init(use) > 0
         && EVP_PKEY_CTX_set_rsa_padding(use, RSA_PKCS1_PADDING) > 0
         && EVP_PKEY_CTX_set_signature_md(use, EVP_sha256()) > 0
         && EVP_PKEY_sign(use, f->sig, &f->sig_len, input, 32) > 0;
    EVP_PKEY_CTX_free(use);
    return ok;
}

static bool fixture_make(OSSL_LIB_CTX *ctx, struct fixture *f)
{
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(ctx, NULL, "EC", "P-256");
    EVP_PKEY *rsa = EVP_PKEY_Q_keygen(ctx, NULL, "RSA", (size_t)2048);
    X509 *cert = ec != NULL ? self_signed(ctx, ec) : NULL;
    bool ok = cert != NULL && rsa != NULL && rsa_sign(ctx, rsa, f);

    if (ok) {
        f->ec.len = i2d_PrivateKey(ec, &f->ec.data);
        f->cert.len = i2d_X509(cert, &f->cert.data);
        f->rsa.len = i2d_PUBKEY(rsa, &f->rsa.data);
    }
    X509_free(cert);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
    return (ok && f->ec.len > 0 && f->cert.len > 0 && f->rsa.len > 0)
           || bench_fail("keys of the default provider");
}

static void fixture_clear(struct fixture *f)
{
    OPENSSL_clear_free(f->ec.data, f->ec.len > 0 ? (size_t)f->ec.len : 0);
    OPENSSL_free(f->cert.data);
    OPENSSL_free(f->rsa.data);
}

/* ---- the contests ---- */

static void soft_free(struct soft *s)
{
    if (s == NULL)
        return;
    handshake_free(s->tls);
    EVP_PKEY_CTX_free(s->use);
    EVP_PKEY_free(s->key);
    EVP_MD_free(s->md);
    free(s);
}

static struct soft *soft_new(const struct operation *op, OSSL_LIB_CTX *ctx,
                             const struct fixture *fix)
{
    struct soft *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->ctx = ctx;
    s->fix = fix;
    if (!op->prepare(s)) {
        bench_fail(op->name);
        soft_free(s);
        return NULL;
    }
    return s;
}

/* Both sides of op with that many threads; plain is the first. */
static bool contest(const struct operation *op, const struct bench_options *o,
                    size_t n_threads, OSSL_LIB_CTX *plain,
                    const struct fixture *fix)
{
    void *states[2][BENCH_THREADS_MAX] = { { NULL } };
    const struct duel_side sides[] = { { .run = op->run, .states = states[0] },
                                       { .run = op->run,
                                         .states = states[1] } };
    const struct duel_plan plan = { 2, n_threads, o->pairs, o->seconds };
    struct duel_result r[2];
    bool ok = true;

    for (size_t i = 0; ok && i < n_threads; i++) {
        states[0][i] = soft_new(op, plain, fix);
        states[1][i] = soft_new(op, NULL, fix);
        ok = states[0][i] != NULL && states[1][i] != NULL;
    }
    ok = ok && duel_run(&plan, sides, r);
    if (ok)
        bench_row(op->title, op->what, n_threads, &r[0], &r[1], true);
    else
        bench_row_failed(op->title, op->what, n_threads);
    for (size_t i = 0; i < n_threads; i++) {
        soft_free(states[0][i]);
        soft_free(states[1][i]);
    }
    return ok;
}

static bool contests(const struct bench_options *o, OSSL_LIB_CTX *plain,
                     const struct fixture *fix)
{
    static const size_t usual[] = { 1 };
    const size_t *threads = o->n_threads != 0 ? o->threads : usual;
    size_t n = o->n_threads != 0 ? o->n_threads : 1;
    bool ok = true, any = false;

    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++) {
        if (!bench_wanted(o, operations[i].name))
            continue;
        any = true;
        /* What fails is told, and the others are measured all the same. */
        for (size_t t = 0; t < n; t++)
            ok = contest(&operations[i], o, threads[t], plain, fix) && ok;
    }
    return ok && (any || bench_fail("--only: no such name"));
}

static int print_name(OSSL_PROVIDER *provider, void *arg)
{
    (void)arg;
    printf(" %s", OSSL_PROVIDER_get0_name(provider));
    return 1;
}

bool bench_software(const struct bench_options *o)
{
    OSSL_LIB_CTX *plain = OSSL_LIB_CTX_new();
    OSSL_PROVIDER *provider =
        plain != NULL ? OSSL_PROVIDER_load(plain, "default") : NULL;
    struct fixture fix = { .sig_len = 0 };
    bool ok = false;

    if (provider == NULL)
        bench_fail("the default provider");
    else if (fixture_make(plain, &fix)) {
        printf("asked:");
        OSSL_PROVIDER_do_all(NULL, print_name, NULL);
        printf("\n");
        bench_head("default/s", "conf/s");
        ok = contests(o, plain, &fix);
    }
    fixture_clear(&fix);
    if (provider != NULL)
        OSSL_PROVIDER_unload(provider);
    OSSL_LIB_CTX_free(plain);
    return ok;
}
