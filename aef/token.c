/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this token good for this call?  (TS 33.122 Annex C, S1 6.24.2.2.2 steps
 * 7 and 8, design 10 OQ-10 and OQ-17)
 */
#include "aef.h"

#include <string.h>

#define LEEWAY_SECONDS 30 /* TS 33.122 C.2.2: at most */

static const char *claim(const struct capif_jws *jws, const char *name)
{
    return json_string_value(json_object_get(jws->claims, name));
}

static bool is(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

bool aef_token_claimant(const struct capif_jws *jws, const char **ccf_id,
                        const char **invoker_id)
{
    *ccf_id = claim(jws, "ccfId");
    *invoker_id = claim(jws, "client_id");
    return *ccf_id != NULL && *invoker_id != NULL && capif_ccf_id_ok(*ccf_id)
           && capif_id_ok(*invoker_id);
}

static bool refuse(struct aef_refusal *no, const char *why)
{
    no->status = 401;
    no->error = "invalid_token";
    no->why = why;
    return false;
}

static EVP_PKEY *signer(const struct capif_jws *jws, const json_t *issuers)
{
    json_t *issuer;
    EVP_PKEY *key = NULL;
    size_t i;

    json_array_foreach(issuers, i, issuer)
    {
        if (key == NULL && jws->kid != NULL
            && is(json_string_value(json_object_get(issuer, "ccfId")),
                  claim(jws, "ccfId")))
            key = capif_jwks_find(json_object_get(issuer, "jwks"), jws->kid);
    }
    return key;
}

bool aef_key_known(const struct capif_jws *jws, const json_t *issuers)
{
    EVP_PKEY *key = signer(jws, issuers);

    EVP_PKEY_free(key);
    return key != NULL;
}

bool aef_signature_holds(const struct capif_jws *jws, const json_t *issuers)
{
    EVP_PKEY *key = signer(jws, issuers);
    bool ok;

    ok = key != NULL && capif_jws_verify(jws, key);
    EVP_PKEY_free(key);
    return ok;
}

static bool audience_has(const json_t *aud, const char *aef_id)
{
    const json_t *it;
    size_t i;

    if (json_is_string(aud))
        return is(json_string_value(aud), aef_id);
    json_array_foreach(aud, i, it)
    {
        if (is(json_string_value(it), aef_id))
            return true;
    }
    return false;
}

static bool time_ok(const struct capif_jws *jws, time_t now,
                    struct aef_refusal *no)
{
    const json_t *exp = json_object_get(jws->claims, "exp");
    const json_t *nbf = json_object_get(jws->claims, "nbf");

    if (!json_is_integer(exp) || json_integer_value(exp) <= now)
        return refuse(no, "the token has expired");
    if (nbf != NULL
        && (!json_is_integer(nbf)
            || json_integer_value(nbf) > now + LEEWAY_SECONDS))
        return refuse(no, "the token is not yet valid");
    return true;
}

bool aef_certificate_is(X509 *cert, STACK_OF(X509) * untrusted,
                        const struct aef_info *info)
{
    struct capif_identity who;

    return capif_cert_identity(cert, &who) && who.role == CAPIF_INVOKER
           && is(who.ccf_id, info->ccf_id) && is(who.id, info->invoker_id)
           && capif_cert_verify(cert, untrusted, info->anchors);
}

static bool certificate_ok(const struct capif_jws *jws,
                           const struct aef_info *info,
                           const struct aef_call *call, struct aef_refusal *no)
{
    const char *cnf = json_string_value(
        json_object_get(json_object_get(jws->claims, "cnf"), "x5t#S256"));
    char thumbprint[44];

    if (call->cert == NULL)
        return !info->mutual
               || refuse(no, "the invoker's certificate is needed");
    if (!aef_certificate_is(call->cert, call->untrusted, info))
        return refuse(no, "the certificate is not the token's invoker's");
    if (cnf != NULL
        && (!capif_cert_thumbprint(call->cert, thumbprint)
            || !is(cnf, thumbprint)))
        return refuse(no, "the token is bound to another certificate");
    if (cnf == NULL && info->mutual)
        return refuse(no, "the token is bound to no certificate");
    return true;
}

bool aef_token_check(const struct capif_jws *jws, const struct aef_info *info,
                     const struct aef_call *call, struct aef_refusal *no)
{
    struct capif_scope scope;
    const char *text = claim(jws, "scope");

    if (!info->known)
        return refuse(no, "no security context of this invoker here");
    if (!is(jws->typ, "at+jwt") || !aef_signature_holds(jws, info->issuers))
        return refuse(no, "the signature does not hold");
    if (!is(claim(jws, "client_id"), info->invoker_id)
        || !is(claim(jws, "sub"), info->invoker_id))
        return refuse(no, "the claims do not agree");
    if (!time_ok(jws, call->now, no))
        return false;
    if (!audience_has(json_object_get(jws->claims, "aud"), call->aef_id))
        return refuse(no, "the token is for another AEF");
    if (!certificate_ok(jws, info, call, no))
        return false;
    if (text == NULL || !capif_scope_parse(text, &scope)
        || !capif_scope_has(&scope, call->aef_id, call->api_name)) {
        no->status = 403;
        no->error = "insufficient_scope";
        no->why = "the API is not in the token's scope";
        return false;
    }
    return true;
}
