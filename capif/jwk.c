/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Public keys as JWK: RFC 7518 section 6 (EC, RSA), RFC 8037 (OKP).
 */
#include "jose.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *crv, *group, *alg;
    size_t len;
} curves[] = {
    { "P-256", "prime256v1", "ES256", 32 },
    { "P-384", "secp384r1", "ES384", 48 },
    { "P-521", "secp521r1", "ES512", 66 },
};

/* Put the number into the JWK, padded to len octets (0: as short as it is). */
static bool put_bn(json_t *jwk, const char *name, EVP_PKEY *key,
                   const char *param, size_t len)
{
    BIGNUM *bn = NULL;
    uint8_t raw[1024];
    char *text = NULL;
    bool ok = false;

    if (EVP_PKEY_get_bn_param(key, param, &bn)) {
        if (len == 0)
            len = (size_t)BN_num_bytes(bn);
        if (len <= sizeof(raw) && BN_bn2binpad(bn, raw, (int)len) >= 0)
            text = capif_b64url(raw, len);
    }
    if (text != NULL)
        ok = json_object_set_new(jwk, name, json_string(text)) == 0;
    BN_free(bn);
    free(text);
    return ok;
}

/* The members that RFC 7638 hashes. */
static json_t *jwk_bare(EVP_PKEY *key)
{
    const char *alg = capif_jws_alg(key);
    uint8_t pub[32];
    size_t len = sizeof(pub);
    json_t *jwk;
    char *x;

    if (alg == NULL)
        return NULL;
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
        if (strcmp(curves[i].alg, alg) != 0)
            continue;
        jwk = json_pack("{s:s, s:s}", "kty", "EC", "crv", curves[i].crv);
        if (put_bn(jwk, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, curves[i].len)
            && put_bn(jwk, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, curves[i].len))
            return jwk;
        json_decref(jwk);
        return NULL;
    }
    if (EVP_PKEY_is_a(key, "RSA")) {
        jwk = json_pack("{s:s}", "kty", "RSA");
        if (put_bn(jwk, "n", key, OSSL_PKEY_PARAM_RSA_N, 0)
            && put_bn(jwk, "e", key, OSSL_PKEY_PARAM_RSA_E, 0))
            return jwk;
        json_decref(jwk);
        return NULL;
    }
    if (!EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, pub,
                                         sizeof(pub), &len)
        || (x = capif_b64url(pub, len)) == NULL)
        return NULL;
    jwk = json_pack("{s:s, s:s, s:s}", "kty", "OKP", "crv", "Ed25519", "x", x);
    free(x);
    return jwk;
}

json_t *capif_jwk(EVP_PKEY *key, const char *kid)
{
    json_t *jwk = jwk_bare(key);

    if (jwk == NULL)
        return NULL;
    json_object_set_new(jwk, "kid", json_string(kid));
    json_object_set_new(jwk, "alg", json_string(capif_jws_alg(key)));
    json_object_set_new(jwk, "use", json_string("sig"));
    return jwk;
}

bool capif_jwk_thumbprint(EVP_PKEY *key, char out[44])
{
    json_t *jwk = jwk_bare(key);
    char *text =
        jwk != NULL ? json_dumps(jwk, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    bool ok = text != NULL && capif_sha256_b64url(text, strlen(text), out);

    free(text);
    json_decref(jwk);
    return ok;
}

/* The decoded member; the caller frees it. */
static bool get_octets(const json_t *jwk, const char *name, uint8_t **out,
                       size_t *len)
{
    const json_t *v = json_object_get(jwk, name);

    return json_is_string(v)
           && capif_b64url_decode(json_string_value(v), json_string_length(v),
                                  out, len);
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *bld)
{
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    EVP_PKEY *key = NULL;

    if (params == NULL || ctx == NULL || EVP_PKEY_fromdata_init(ctx) <= 0
        || EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) <= 0)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *parse_ec(const json_t *jwk)
{
    const char *crv = json_string_value(json_object_get(jwk, "crv"));
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    uint8_t *x = NULL, *y = NULL, point[1 + 2 * 66] = { 0x04 };
    size_t x_len = 0, y_len = 0;
    EVP_PKEY *key = NULL;

    for (size_t i = 0; crv != NULL && i < 3; i++) {
        if (strcmp(curves[i].crv, crv) != 0 || key != NULL)
            continue;
        if (bld == NULL || !get_octets(jwk, "x", &x, &x_len)
            || !get_octets(jwk, "y", &y, &y_len) || x_len != curves[i].len
            || y_len != curves[i].len)
            break;
        memcpy(point + 1, x, x_len);
        memcpy(point + 1 + x_len, y, y_len);
        if (OSSL_PARAM_BLD_push_utf8_string(bld, OSSL_PKEY_PARAM_GROUP_NAME,
                                            curves[i].group, 0)
            && OSSL_PARAM_BLD_push_octet_string(bld, OSSL_PKEY_PARAM_PUB_KEY,
                                                point, 1 + 2 * x_len))
            key = from_params("EC", bld);
    }
    OSSL_PARAM_BLD_free(bld);
    free(x);
    free(y);
    return key;
}

static EVP_PKEY *parse_rsa(const json_t *jwk)
{
    OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
    uint8_t *n = NULL, *e = NULL;
    size_t n_len = 0, e_len = 0;
    BIGNUM *bn = NULL, *be = NULL;
    EVP_PKEY *key = NULL;

    if (bld != NULL && get_octets(jwk, "n", &n, &n_len)
        && get_octets(jwk, "e", &e, &e_len) && n_len <= 2048 && e_len <= 8
        && (bn = BN_bin2bn(n, (int)n_len, NULL)) != NULL
        && (be = BN_bin2bn(e, (int)e_len, NULL)) != NULL
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn)
        && OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be))
        key = from_params("RSA", bld);
    OSSL_PARAM_BLD_free(bld);
    BN_free(bn);
    BN_free(be);
    free(n);
    free(e);
    return key;
}

static EVP_PKEY *parse_okp(const json_t *jwk)
{
    const char *crv = json_string_value(json_object_get(jwk, "crv"));
    uint8_t *x = NULL;
    size_t len = 0;
    EVP_PKEY *key = NULL;

    if (crv != NULL && strcmp(crv, "Ed25519") == 0
        && get_octets(jwk, "x", &x, &len) && len == 32)
        key = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, x, len);
    free(x);
    return key;
}

EVP_PKEY *capif_jwk_parse(const json_t *jwk)
{
    static const struct {
        const char *kty;
        EVP_PKEY *(*parse)(const json_t *jwk);
    } types[] = { { "EC", parse_ec },
                  { "RSA", parse_rsa },
                  { "OKP", parse_okp } };
    const char *kty = json_string_value(json_object_get(jwk, "kty"));

    for (size_t i = 0; kty != NULL && i < 3; i++)
        if (strcmp(types[i].kty, kty) == 0)
            return types[i].parse(jwk);
    return NULL;
}

EVP_PKEY *capif_jwks_find(const json_t *jwks, const char *kid)
{
    const json_t *keys = json_object_get(jwks, "keys"), *jwk;
    const char *it;
    size_t i;

    json_array_foreach(keys, i, jwk)
    {
        it = json_string_value(json_object_get(jwk, "kid"));
        if (it != NULL && strcmp(it, kid) == 0)
            return capif_jwk_parse(jwk);
    }
    return NULL;
}
