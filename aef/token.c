/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is this token good for this call?  (TS 33.122 Annex C, S1 6.24.2.2.2 steps
 * 7 and 8, design 10 OQ-10 and OQ-17)
 */
#include "aef.h"

#include <string.h>

/* The CCF of whose domain the invoker is: who signed, unless that says so. */
static const char *home_of(const struct capif_jws *jws)
{
    return json_object_get(jws->claims, "invokerCcfId") != NULL
               ? capif_str(jws->claims, "invokerCcfId")
               : capif_str(jws->claims, "ccfId");
}

bool aef_token_claimant(const struct capif_jws *jws, const char **ccf_id,
                        const char **invoker_id)
{
    *ccf_id = home_of(jws);
    *invoker_id = capif_str(jws->claims, "client_id");
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

/*
 * When it was issued.  One that does not say so counts as one that lives as
 * long as a token can, and as an old one if it lives longer.
 */
static time_t issued(const json_t *claims, time_t now)
{
    const json_t *iat = json_object_get(claims, "iat");
    time_t exp = (time_t)json_integer_value(json_object_get(claims, "exp"));

    if (json_is_integer(iat))
        return (time_t)json_integer_value(iat);
    return exp - now > AEF_TOKEN_SECONDS ? 0 : exp - AEF_TOKEN_SECONDS;
}

static EVP_PKEY *signer(const struct capif_jws *jws, const json_t *issuers)
{
    json_t *issuer;
    EVP_PKEY *key = NULL;
    size_t i;

    json_array_foreach(issuers, i, issuer)
    {
        if (key == NULL && jws->kid != NULL
            && capif_same(json_string_value(json_object_get(issuer, "ccfId")),
                          capif_str(jws->claims, "ccfId")))
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

/*
 * Who may have signed: the invoker's own CCF, and for anybody this AEF's.  A
 * partner's word counts for its own invokers alone (OQ-17).
 */
static bool signed_ok(const struct capif_jws *jws, const struct aef_info *info,
                      const struct aef_call *call)
{
    const char *signer = capif_str(jws->claims, "ccfId");

    return capif_same(jws->typ, "at+jwt")
           && capif_same(home_of(jws), info->ccf_id)
           && (capif_same(signer, info->ccf_id)
               || capif_same(signer, call->ccf_id))
           && (call->vouched || call->proved
               || aef_signature_holds(jws, info->issuers));
}

bool aef_certificate_is(X509 *cert, STACK_OF(X509) * untrusted,
                        const struct aef_info *info, const char *api_name)
{
    const struct aef_info_api *api = aef_info_of(info, api_name);
    struct capif_identity who;
    char thumbprint[44];

    return capif_cert_identity(cert, &who) && who.role == CAPIF_INVOKER
           && capif_same(who.ccf_id, info->ccf_id)
           && capif_same(who.id, info->invoker_id)
           && (api == NULL || api->thumbprint[0] == '\0'
               || (capif_cert_thumbprint(cert, thumbprint)
                   && strcmp(thumbprint, api->thumbprint) == 0))
           && capif_cert_verify(cert, untrusted, info->anchors);
}

static bool certificate_ok(const struct capif_jws *jws,
                           const struct aef_info *info,
                           const struct aef_call *call, struct aef_refusal *no)
{
    const char *cnf =
        capif_str(json_object_get(jws->claims, "cnf"), "x5t#S256");
    char thumbprint[44];

    if (call->proved)
        return true;
    if (call->cert == NULL)
        return !info->mutual
               || refuse(no, "the invoker's certificate is needed");
    if (!aef_certificate_is(call->cert, call->untrusted, info, call->api_name))
        return refuse(no, "the certificate is not the token's invoker's");
    if (cnf != NULL
        && (!capif_cert_thumbprint(call->cert, thumbprint)
            || !capif_same(cnf, thumbprint)))
        return refuse(no, "the token is bound to another certificate");
    if (cnf == NULL && info->mutual)
        return refuse(no, "the token is bound to no certificate");
    return true;
}

bool aef_token_check(const struct capif_jws *jws, const struct aef_info *info,
                     const struct aef_call *call, struct aef_refusal *no)
{
    const struct aef_info_api *api = aef_info_of(info, call->api_name);
    struct capif_scope scope;
    const char *text = capif_str(jws->claims, "scope"), *why;

    if (!info->known)
        return refuse(no, "no security context of this invoker here");
    if (!signed_ok(jws, info, call))
        return refuse(no, "the signature does not hold");
    if (!capif_str_is(jws->claims, "client_id", info->invoker_id)
        || !capif_str_is(jws->claims, "sub", info->invoker_id))
        return refuse(no, "the claims do not agree");
    if ((why = capif_times_check(jws->claims, call->now)) != NULL)
        return refuse(no, why);
    if (issued(jws->claims, call->now) <= call->denied_until
        || (api != NULL
            && issued(jws->claims, call->now) <= api->revoked_until))
        return refuse(no, "the token has been revoked, or is too old");
    if (!capif_aud_has(jws->claims, call->aef_id))
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
