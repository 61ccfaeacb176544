/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What JWTs of OAuth claim, judged without store or network.
 */
#include "oauth.h"

#include <string.h>

#define AHEAD_SECONDS 300 /* how long before its end an assertion may come */
#define LEEWAY        30

/* RFC 7523 3 as RFC 10070 tightens it: see docs/ccfd.8. */
const char *ccf_assertion_check(const struct capif_jws *jws,
                                const struct ccf_assertion_want *want)
{
    const json_t *c = jws->claims, *iat = json_object_get(c, "iat");
    const char *jti = capif_str(c, "jti");
    const char *why = capif_times_check(c, want->now);
    json_int_t exp = json_integer_value(json_object_get(c, "exp"));

    if (jws->typ == NULL || strcmp(jws->typ, CCF_ASSERTION_TYP) != 0)
        return "not an authorization grant";
    if (!capif_str_is(c, "aud", want->aud)) /* no array, no other name */
        return "for another authorization server";
    if (!capif_str_is(c, "iss", want->iss))
        return "not by the client's own CCF";
    if (!capif_str_is(c, "sub", want->client_id)
        || !capif_str_is(c, "client_id", want->client_id))
        return "for another client";
    if (!capif_str_is(json_object_get(c, "cnf"), "x5t#S256", want->thumbprint))
        return "bound to another certificate";
    if (why != NULL)
        return why;
    if (exp > want->now + AHEAD_SECONDS)
        return "good for too long";
    if (!json_is_integer(iat) || json_integer_value(iat) > want->now + LEEWAY)
        return "issued at no time";
    if (jti == NULL || jti[0] == '\0' || strlen(jti) > CCF_JTI_MAX)
        return "without an id";
    return NULL;
}

bool ccf_token_whose(const struct capif_jws *jws, const char **signer,
                     const char **home, const char **invoker_id)
{
    const json_t *c = jws->claims;

    *signer = capif_str(c, "ccfId");
    *home = json_object_get(c, "invokerCcfId") != NULL
                ? capif_str(c, "invokerCcfId")
                : *signer;
    *invoker_id = capif_str(c, "client_id");
    return jws->typ != NULL && strcmp(jws->typ, "at+jwt") == 0
           && *signer != NULL && *home != NULL && *invoker_id != NULL
           && capif_id_ok(*invoker_id) && capif_ccf_id_ok(*home)
           && capif_str_is(c, "sub", *invoker_id);
}

/* Does the array have a key of that kid? */
static bool has_kid(const json_t *keys, const char *kid)
{
    const json_t *jwk;
    size_t i;

    json_array_foreach(keys, i, jwk)
    {
        if (capif_str_is(jwk, "kid", kid))
            return true;
    }
    return false;
}

json_t *ccf_jwks_usable(const json_t *jwks)
{
    json_t *keys = json_array(), *jwk;
    EVP_PKEY *key;
    size_t i;

    json_array_foreach(json_object_get(jwks, "keys"), i, jwk)
    {
        const char *kid = capif_str(jwk, "kid");

        if (json_array_size(keys) == CCF_JWKS_MAX)
            break;
        if (kid == NULL || kid[0] == '\0' || strlen(kid) > CAPIF_KID_MAX
            || has_kid(keys, kid) || (key = capif_jwk_parse(jwk)) == NULL)
            continue;
        EVP_PKEY_free(key);
        json_array_append(keys, jwk);
    }
    return json_pack("{s:o}", "keys", keys);
}

json_t *ccf_jwks_union(const json_t *pinned, const json_t *fetched)
{
    json_t *keys = json_array(), *jwk;
    size_t i;

    json_array_extend(keys, json_object_get(pinned, "keys"));
    json_array_foreach(json_object_get(fetched, "keys"), i, jwk)
    {
        if (!has_kid(keys, capif_str(jwk, "kid")))
            json_array_append(keys, jwk);
    }
    return json_pack("{s:o}", "keys", keys);
}
