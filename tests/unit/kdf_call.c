/* SPDX-License-Identifier: Apache-2.0 */
/* See kdf_call.h. */
#include "kdf_call.h"

#include <openssl/core_names.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <stdlib.h>
#include <string.h>

#define PARAMS_MAX 12

static int digit(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

size_t unhex(const char *text, uint8_t *out)
{
    size_t n = 0;

    for (; text[0] != '\0' && text[1] != '\0'; text += 2)
        out[n++] = (uint8_t)(digit(text[0]) << 4 | digit(text[1]));
    return n;
}

/* Parameters as they are collected. */
struct list {
    OSSL_PARAM p[PARAMS_MAX];
    size_t n;
};

static void add_octets(struct list *l, const char *name, struct blob b)
{
    if (b.p != NULL)
        l->p[l->n++] = OSSL_PARAM_construct_octet_string(
            name, (void *)(uintptr_t)b.p, b.len);
}

static void add_text(struct list *l, const char *name, const char *text)
{
    if (text != NULL)
        l->p[l->n++] =
            OSSL_PARAM_construct_utf8_string(name, (char *)(uintptr_t)text, 0);
}

static bool derive(struct kdf_from from, const char *name, struct list *l,
                   uint8_t *out, size_t len)
{
    EVP_KDF *kdf = EVP_KDF_fetch(from.ctx, name, from.propq);
    EVP_KDF_CTX *c = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    bool ok;

    l->p[l->n] = OSSL_PARAM_construct_end();
    ok = c != NULL && EVP_KDF_derive(c, out, len, l->p) > 0;
    EVP_KDF_CTX_free(c);
    EVP_KDF_free(kdf);
    return ok;
}

static bool tls13(struct kdf_from from, int mode, const char *md,
                  struct blob salt, struct blob key, const char *label,
                  struct blob data, uint8_t *out, size_t len)
{
    struct list l = { .n = 0 };

    l.p[l.n++] = OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode);
    add_text(&l, OSSL_KDF_PARAM_DIGEST, md);
    add_octets(&l, OSSL_KDF_PARAM_KEY, key);
    add_octets(&l, OSSL_KDF_PARAM_SALT, salt);
    add_octets(&l, OSSL_KDF_PARAM_PREFIX, BLOB("tls13 ", 6));
    add_octets(&l, OSSL_KDF_PARAM_LABEL, BLOB(label, strlen(label)));
    add_octets(&l, OSSL_KDF_PARAM_DATA, data);
    return derive(from, "TLS13-KDF", &l, out, len);
}

bool tls13_extract(struct kdf_from from, const char *md, struct blob salt,
                   struct blob key, uint8_t *out, size_t len)
{
    return tls13(from, EVP_KDF_HKDF_MODE_EXTRACT_ONLY, md, salt, key, "derived",
                 NO_BLOB, out, len);
}

bool tls13_expand(struct kdf_from from, const char *md, struct blob key,
                  const char *label, struct blob data, uint8_t *out, size_t len)
{
    return tls13(from, EVP_KDF_HKDF_MODE_EXPAND_ONLY, md, NO_BLOB, key, label,
                 data, out, len);
}

bool tls1_prf(struct kdf_from from, const char *md, struct blob secret,
              struct blob seed1, struct blob seed2, uint8_t *out, size_t len)
{
    struct list l = { .n = 0 };

    add_text(&l, OSSL_KDF_PARAM_DIGEST, md);
    add_octets(&l, OSSL_KDF_PARAM_SECRET, secret);
    add_octets(&l, OSSL_KDF_PARAM_SEED, seed1);
    add_octets(&l, OSSL_KDF_PARAM_SEED, seed2);
    return derive(from, "TLS1-PRF", &l, out, len);
}

bool aefpsk(OSSL_LIB_CTX *ctx, struct blob key, struct blob p0, struct blob p1,
            unsigned lifetime, uint8_t out[HASH])
{
    struct list l = { .n = 0 };

    add_octets(&l, OSSL_KDF_PARAM_KEY, key);
    add_octets(&l, "service-api", p0);
    add_octets(&l, "session-id", p1);
    l.p[l.n++] = OSSL_PARAM_construct_uint("lifetime", &lifetime);
    return derive((struct kdf_from){ ctx, NULL }, "AEFPSK", &l, out, HASH);
}

bool ts33220(OSSL_LIB_CTX *ctx, struct blob key, int fc, struct blob p0,
             struct blob p1, uint8_t out[HASH])
{
    struct list l = { .n = 0 };

    add_octets(&l, OSSL_KDF_PARAM_KEY, key);
    l.p[l.n++] = OSSL_PARAM_construct_int("fc", &fc);
    add_octets(&l, "p0", p0);
    add_octets(&l, "p1", p1);
    return derive((struct kdf_from){ ctx, NULL }, "3GPP-KDF", &l, out, HASH);
}

bool hmac_sign(struct kdf_from from, const char *md, struct blob key,
               struct blob msg, uint8_t *out, size_t *len)
{
    EVP_PKEY *k = EVP_PKEY_new_raw_private_key_ex(from.ctx, "HMAC", from.propq,
                                                  key.p, key.len);
    EVP_MD_CTX *c = EVP_MD_CTX_new(), *copy = EVP_MD_CTX_new();
    bool ok =
        k != NULL && c != NULL && copy != NULL
        && EVP_DigestSignInit_ex(c, NULL, md, from.ctx, from.propq, k, NULL) > 0
        && EVP_DigestSignUpdate(c, msg.p, msg.len) > 0
        && EVP_MD_CTX_copy_ex(copy, c)
        && EVP_DigestSignFinal(copy, out, len) > 0;

    EVP_MD_CTX_free(c);
    EVP_MD_CTX_free(copy);
    EVP_PKEY_free(k);
    return ok;
}

void soft_hmac(const uint8_t *key, size_t key_len, const void *msg, size_t len,
               uint8_t out[HASH])
{
    size_t n = 0;

    if (EVP_Q_mac(NULL, "HMAC", NULL, "SHA256", NULL, key, key_len, msg, len,
                  out, HASH, &n)
        == NULL)
        abort();
}
