/* SPDX-License-Identifier: Apache-2.0 */
/* See soft.h. */
#include "soft.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

EVP_PKEY *soft_key(const char *group, unsigned bits)
{
    EVP_PKEY *key = group != NULL ? EVP_EC_gen(group)
                    : bits != 0   ? EVP_RSA_gen(bits)
                                  : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");

    assert_non_null(key);
    return key;
}

X509 *soft_member(enum capif_role role, const char *ccf_id, const char *id,
                  EVP_PKEY *key, X509 *ca, EVP_PKEY *ca_key)
{
    struct capif_cert_spec spec = { .public_key = key, .days = 7 };
    X509 *cert;

    spec.who.role = role;
    snprintf(spec.who.ccf_id, sizeof(spec.who.ccf_id), "%s", ccf_id);
    snprintf(spec.who.id, sizeof(spec.who.id), "%s", id);
    cert = capif_cert_issue(&spec, ca, ca_key);
    assert_non_null(cert);
    return cert;
}

/* DER to R || S; *len is that of the result. */
static void to_rs(uint8_t *sig, size_t *len, EVP_PKEY *key)
{
    const uint8_t *p = sig;
    ECDSA_SIG *e = d2i_ECDSA_SIG(NULL, &p, (long)*len);
    int half = (EVP_PKEY_get_bits(key) + 7) / 8;

    assert_non_null(e);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(e), sig, half), half);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(e), sig + half, half), half);
    *len = 2 * (size_t)half;
    ECDSA_SIG_free(e);
}

static char *b64(const char *text)
{
    char *out = capif_b64url((const uint8_t *)text, strlen(text));

    assert_non_null(out);
    return out;
}

char *soft_jws(const char *header, const char *claims, EVP_PKEY *key,
               const char *md, bool pss)
{
    char *head = b64(header), *body = b64(claims), *tail, *out;
    size_t room = strlen(head) + strlen(body) + 1024, len = 512;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    uint8_t sig[512];

    out = malloc(room);
    assert_non_null(out);
    snprintf(out, room, "%s.%s", head, body);
    assert_int_equal(
        EVP_DigestSignInit_ex(ctx, &pctx, md, NULL, NULL, key, NULL), 1);
    if (pss) {
        assert_int_equal(
            EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING), 1);
        assert_int_equal(
            EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST), 1);
    }
    assert_int_equal(
        EVP_DigestSign(ctx, sig, &len, (const uint8_t *)out, strlen(out)), 1);
    if (EVP_PKEY_is_a(key, "EC"))
        to_rs(sig, &len, key);
    tail = capif_b64url(sig, len);
    assert_non_null(tail);
    strcat(strcat(out, "."), tail);
    EVP_MD_CTX_free(ctx);
    free(head);
    free(body);
    free(tail);
    return out;
}

json_t *soft_json(const char *text)
{
    char *copy = strdup(text);
    json_t *v;

    assert_non_null(copy);
    for (char *p = copy; *p != '\0'; p++)
        if (*p == '\'')
            *p = '"';
    v = json_loads(copy, JSON_DECODE_ANY, NULL);
    assert_non_null(v);
    free(copy);
    return v;
}

static char heard[16384];
static FILE *listening;
static int real_stderr = -1;

void soft_listen(void)
{
    assert_null(listening);
    listening = tmpfile();
    assert_non_null(listening);
    fflush(stderr);
    real_stderr = dup(STDERR_FILENO);
    assert_true(real_stderr >= 0);
    assert_int_equal(dup2(fileno(listening), STDERR_FILENO), STDERR_FILENO);
}

const char *soft_heard(void)
{
    size_t n;

    assert_non_null(listening);
    fflush(stderr);
    dup2(real_stderr, STDERR_FILENO);
    close(real_stderr);
    rewind(listening);
    n = fread(heard, 1, sizeof(heard) - 1, listening);
    heard[n] = '\0';
    fclose(listening);
    listening = NULL;
    return heard;
}

void soft_write(const char *path, const char *text)
{
    FILE *f = fopen(path, "wx");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}
