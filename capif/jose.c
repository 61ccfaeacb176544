/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64url and JWS.
 */
#include "jose.h"

#include <openssl/ec.h>
#include <openssl/objects.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char alphabet[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

char *capif_b64url(const uint8_t *in, size_t len)
{
    char *out = malloc(len / 3 * 4 + 5), *p = out;
    unsigned bits = 0, acc = 0;

    if (out == NULL)
        return NULL;
    for (size_t i = 0; i < len; i++) {
        acc = (acc << 8 | in[i]) & 0xffffff;
        for (bits += 8; bits >= 6; bits -= 6)
            *p++ = alphabet[acc >> (bits - 6) & 63];
    }
    if (bits > 0)
        *p++ = alphabet[acc << (6 - bits) & 63];
    *p = '\0';
    return out;
}

bool capif_b64url_decode(const char *in, size_t in_len, uint8_t **out,
                         size_t *len)
{
    uint8_t *buf = malloc(in_len / 4 * 3 + 4);
    unsigned bits = 0, acc = 0;
    size_t n = 0;
    const char *c;

    if (buf == NULL || in_len % 4 == 1)
        goto bad;
    for (size_t i = 0; i < in_len; i++) {
        if (in[i] == '\0' || (c = strchr(alphabet, in[i])) == NULL)
            goto bad;
        acc = (acc << 6 | (unsigned)(c - alphabet)) & 0xffffff;
        if ((bits += 6) >= 8)
            buf[n++] = (uint8_t)(acc >> (bits -= 8));
    }
    if (acc & ((1u << bits) - 1)) /* two texts for the same octets */
        goto bad;
    buf[n] = '\0';
    *out = buf;
    *len = n;
    return true;
bad:
    free(buf);
    return false;
}

bool capif_sha256_b64url(const void *in, size_t len, char out[44])
{
    uint8_t digest[32];
    char *text = NULL;

    if (EVP_Q_digest(NULL, "SHA256", NULL, in, len, digest, NULL))
        text = capif_b64url(digest, sizeof(digest));
    if (text != NULL)
        memcpy(out, text, 44);
    free(text);
    return text != NULL;
}

struct alg {
    const char *name, *type, *md;
    int curve;       /* EC: the NID */
    int pad;         /* RSA */
    size_t half_len; /* EC: octets of R */
};

/* For signing, the first that fits the key is taken. */
static const struct alg algs[] = {
    { "ES256", "EC", "SHA256", NID_X9_62_prime256v1, 0, 32 },
    { "ES384", "EC", "SHA384", NID_secp384r1, 0, 48 },
    { "ES512", "EC", "SHA512", NID_secp521r1, 0, 66 },
    { "EdDSA", "ED25519", NULL, 0, 0, 0 },
    { "PS256", "RSA", "SHA256", 0, RSA_PKCS1_PSS_PADDING, 0 },
    { "PS384", "RSA", "SHA384", 0, RSA_PKCS1_PSS_PADDING, 0 },
    { "PS512", "RSA", "SHA512", 0, RSA_PKCS1_PSS_PADDING, 0 },
    { "RS256", "RSA", "SHA256", 0, RSA_PKCS1_PADDING, 0 },
    { "RS384", "RSA", "SHA384", 0, RSA_PKCS1_PADDING, 0 },
    { "RS512", "RSA", "SHA512", 0, RSA_PKCS1_PADDING, 0 },
};

static bool alg_fits(const struct alg *a, EVP_PKEY *key)
{
    char group[32] = "";
    int nid;

    if (!EVP_PKEY_is_a(key, a->type))
        return false;
    if (a->pad != 0)
        return EVP_PKEY_get_bits(key) >= 2048;
    if (a->curve == 0)
        return true;
    if (!EVP_PKEY_get_group_name(key, group, sizeof(group), NULL))
        return false;
    nid = EC_curve_nist2nid(group);
    return a->curve == (nid != NID_undef ? nid : OBJ_sn2nid(group));
}

static const struct alg *alg_of_key(EVP_PKEY *key)
{
    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++)
        if (alg_fits(&algs[i], key))
            return &algs[i];
    return NULL;
}

const char *capif_jws_alg(EVP_PKEY *key)
{
    const struct alg *a = alg_of_key(key);

    return a != NULL ? a->name : NULL;
}

static bool set_padding(const struct alg *a, EVP_PKEY_CTX *ctx)
{
    return a->pad == 0
           || (EVP_PKEY_CTX_set_rsa_padding(ctx, a->pad) > 0
               && (a->pad != RSA_PKCS1_PSS_PADDING
                   || EVP_PKEY_CTX_set_rsa_pss_saltlen(ctx,
                                                       RSA_PSS_SALTLEN_DIGEST)
                          > 0));
}

/* The signature in base64url; ECDSA comes as R || S by the property. */
static char *sign_text(const struct alg *a, EVP_PKEY *key, const char *text)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    uint8_t sig[2048];
    size_t len = sizeof(sig);
    char *out = NULL;

    if (ctx != NULL
        && EVP_DigestSignInit_ex(ctx, &pctx, a->md, NULL,
                                 a->curve != 0 ? "?sealed.sig=jose" : NULL, key,
                                 NULL)
        && set_padding(a, pctx)
        && EVP_DigestSign(ctx, sig, &len, (const uint8_t *)text, strlen(text))
        && (a->half_len == 0 || len == 2 * a->half_len))
        out = capif_b64url(sig, len);
    EVP_MD_CTX_free(ctx);
    return out;
}

static char *json_b64url(const json_t *v)
{
    char *text = json_dumps(v, JSON_COMPACT | JSON_SORT_KEYS);
    char *out = NULL;

    if (text != NULL)
        out = capif_b64url((const uint8_t *)text, strlen(text));
    free(text);
    return out;
}

char *capif_jws_sign(const json_t *claims, const char *typ, const char *kid,
                     EVP_PKEY *key)
{
    const struct alg *a = alg_of_key(key);
    char *head = NULL, *body = NULL, *sig = NULL, *out = NULL;
    json_t *header;
    size_t room;

    if (a == NULL)
        return NULL;
    header =
        json_pack("{s:s, s:s, s:s}", "alg", a->name, "typ", typ, "kid", kid);
    head = json_b64url(header);
    body = json_b64url(claims);
    if (head == NULL || body == NULL)
        goto out;
    room = strlen(head) + strlen(body) + 2 * sizeof(uint8_t[2048]);
    if ((out = malloc(room)) == NULL)
        goto out;
    snprintf(out, room, "%s.%s", head, body);
    if ((sig = sign_text(a, key, out)) == NULL) {
        free(out);
        out = NULL;
        goto out;
    }
    strcat(strcat(out, "."), sig);
out:
    json_decref(header);
    free(head);
    free(body);
    free(sig);
    return out;
}

static json_t *part_json(const char *text, size_t len)
{
    uint8_t *raw = NULL;
    json_t *v = NULL;
    size_t n = 0;

    if (capif_b64url_decode(text, len, &raw, &n))
        v = json_loadb((const char *)raw, n, JSON_REJECT_DUPLICATES, NULL);
    free(raw);
    if (!json_is_object(v)) {
        json_decref(v);
        return NULL;
    }
    return v;
}

static const char *check_header(struct capif_jws *jws)
{
    static const char *const refused[] = { "jku",  "jwk", "x5u", "x5c",
                                           "crit", "b64", "zip" };
    json_t *kid = json_object_get(jws->header, "kid");
    json_t *typ = json_object_get(jws->header, "typ");
    const char *name = json_string_value(json_object_get(jws->header, "alg"));

    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        if (json_object_get(jws->header, refused[i]) != NULL)
            return "header parameter refused";
    for (size_t i = 0; name != NULL && i < sizeof(algs) / sizeof(algs[0]); i++)
        if (strcmp(algs[i].name, name) == 0)
            jws->alg = algs[i].name;
    if (jws->alg == NULL)
        return "alg refused";
    if ((kid != NULL
         && (!json_is_string(kid) || json_string_length(kid) > CAPIF_KID_MAX))
        || (typ != NULL && !json_is_string(typ)))
        return "malformed header";
    jws->kid = json_string_value(kid);
    jws->typ = json_string_value(typ);
    return NULL;
}

const char *capif_jws_parse(const char *text, struct capif_jws *out)
{
    struct capif_jws jws = { 0 };
    const char *dot1 = strchr(text, '.');
    const char *dot2 = dot1 != NULL ? strchr(dot1 + 1, '.') : NULL;
    const char *why = "not a JWS";

    if (strlen(text) > CAPIF_JWS_MAX || dot2 == NULL)
        return why;
    jws.header = part_json(text, (size_t)(dot1 - text));
    jws.claims = part_json(dot1 + 1, (size_t)(dot2 - dot1 - 1));
    if (jws.header == NULL || jws.claims == NULL
        || !capif_b64url_decode(dot2 + 1, strlen(dot2 + 1), &jws.sig,
                                &jws.sig_len)
        || (jws.text = strdup(text)) == NULL)
        goto bad;
    jws.signed_len = (size_t)(dot2 - text);
    if ((why = check_header(&jws)) != NULL)
        goto bad;
    *out = jws;
    return NULL;
bad:
    capif_jws_clear(&jws);
    return why;
}

/* R || S to the DER that OpenSSL's default provider wants. */
static int der_from_rs(const uint8_t *rs, size_t half, uint8_t **der)
{
    ECDSA_SIG *e = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(rs, (int)half, NULL);
    BIGNUM *s = BN_bin2bn(rs + half, (int)half, NULL);
    int len = -1;

    if (e != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(e, r, s)) {
        r = s = NULL;
        len = i2d_ECDSA_SIG(e, der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(e);
    return len;
}

bool capif_jws_verify(const struct capif_jws *jws, EVP_PKEY *key)
{
    const struct alg *a = NULL;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    const uint8_t *sig = jws->sig;
    size_t sig_len = jws->sig_len;
    uint8_t *der = NULL;
    int der_len;
    bool ok = false;

    for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++)
        if (strcmp(algs[i].name, jws->alg) == 0)
            a = &algs[i];
    if (ctx == NULL || a == NULL || !alg_fits(a, key))
        goto out;
    if (a->half_len != 0) {
        if (sig_len != 2 * a->half_len
            || (der_len = der_from_rs(sig, a->half_len, &der)) <= 0)
            goto out;
        sig = der;
        sig_len = (size_t)der_len;
    }
    ok = EVP_DigestVerifyInit_ex(ctx, &pctx, a->md, NULL, NULL, key, NULL)
         && set_padding(a, pctx)
         && EVP_DigestVerify(ctx, sig, sig_len, (const uint8_t *)jws->text,
                             jws->signed_len)
                == 1;
out:
    OPENSSL_free(der);
    EVP_MD_CTX_free(ctx);
    return ok;
}

void capif_jws_clear(struct capif_jws *jws)
{
    json_decref(jws->header);
    json_decref(jws->claims);
    free(jws->text);
    free(jws->sig);
    memset(jws, 0, sizeof(*jws));
}
