/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token end-point: client credentials grant of RFC 6749 4.4 with the
 * client's certificate as its credential (TS 33.122 Annex C, TS 29.222
 * 8.5.4.2.6 to 9; claims as in design 10, OQ-10).  With a partner's issuer
 * identifier as resource (RFC 8707), the answer is not a token but an
 * assertion, for which that partner gives one (exchange.c).
 */
#include "oauth.h"

#include "log.h"
#include "store_revoke.h"

#include <stdlib.h>
#include <string.h>

#define SCOPE_TEXT_MAX    8192
#define ASSERTION_SECONDS 60

void ccf_oauth_refuse(struct capif_req *req, int status, const char *error,
                      const char *why)
{
    capif_log("token-refused", "peer", capif_req_peer(req), "error", error,
              "why", why, NULL);
    capif_req_set_header(req, "Cache-Control", "no-store");
    capif_req_set_header(req, "Pragma", "no-cache");
    capif_reply_json(
        req, status,
        json_pack("{s:s, s:s}", "error", error, "error_description", why));
}

/* ---- scope ---- */

static void add_pair(struct capif_scope *out, const char *aef_id,
                     const char *name)
{
    if (aef_id == NULL || name == NULL || !capif_scope_name_ok(aef_id)
        || !capif_scope_name_ok(name) || capif_scope_has(out, aef_id, name)
        || out->n == CAPIF_SCOPE_PAIRS)
        return;
    strcpy(out->pairs[out->n].aef_id, aef_id);
    strcpy(out->pairs[out->n++].api_name, name);
}

enum ccf_store_status ccf_scope_granted(struct ccf_worker *w,
                                        const struct capif_identity *invoker,
                                        const char *domain,
                                        struct capif_scope *out)
{
    const struct ccf_asker who = { invoker->ccf_id, invoker->id };
    json_t *context = NULL, *entry;
    enum ccf_store_status st = ccf_store_context_get(w->store, invoker->ccf_id,
                                                     invoker->id, &context),
                          may;
    size_t i;

    out->n = 0;
    json_array_foreach(json_object_get(context, "securityInfo"), i, entry)
    {
        if (!capif_str_is(entry, "selSecurityMethod", "OAUTH")
            || (domain != NULL
                && !capif_same(ccf_vs_str(entry, "ccfId"), domain)))
            continue;
        may = ccf_access_entry(w, &who, entry);
        if (may == CCF_STORE_ERROR)
            st = may;
        if (may == CCF_STORE_OK)
            add_pair(out, ccf_vs_str(entry, "aefId"),
                     ccf_vs_str(entry, "apiName"));
    }
    json_decref(context);
    return st;
}

bool ccf_scope_choose(const char *asked, const struct capif_scope *grant,
                      struct capif_scope *out)
{
    if (asked == NULL) {
        *out = *grant;
        return out->n > 0;
    }
    if (!capif_scope_parse(asked, out))
        return false;
    for (size_t i = 0; i < out->n; i++)
        if (!capif_scope_has(grant, out->pairs[i].aef_id,
                             out->pairs[i].api_name))
            return false;
    return true;
}

/* ---- issuing ---- */

static json_t *audience(const struct capif_scope *scope)
{
    json_t *aud = json_array();

    for (size_t i = 0; i < scope->n; i++) {
        bool seen = false;

        for (size_t j = 0; j < i; j++)
            seen =
                seen
                || strcmp(scope->pairs[i].aef_id, scope->pairs[j].aef_id) == 0;
        if (!seen)
            json_array_append_new(aud, json_string(scope->pairs[i].aef_id));
    }
    return aud;
}

/* What access tokens and assertions have in common. */
static json_t *claims_of(const struct ccf_client *client, const char *scope,
                         time_t now, time_t seconds)
{
    char jti[CAPIF_ID_MAX + 1];

    if (!ccf_make_id("", jti))
        return NULL;
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:{s:s}}", "sub",
                     client->who.id, "client_id", client->who.id, "scope",
                     scope, "iat", (json_int_t)now, "exp",
                     (json_int_t)(now + seconds), "jti", jti, "cnf", "x5t#S256",
                     client->thumbprint);
}

/* The claims of TS 29.222, where iss is the client, and more. */
static void complete_token(json_t *claims, const struct ccf *ccf,
                           const struct ccf_client *client,
                           const struct capif_scope *scope)
{
    json_object_set_new(claims, "iss", json_string(client->who.id));
    json_object_set_new(claims, "aud", audience(scope));
    json_object_set_new(claims, "ccfId", json_string(ccf->ccf_id));
    json_object_set(claims, "nbf", json_object_get(claims, "iat"));
    if (strcmp(client->who.ccf_id, ccf->ccf_id) != 0)
        json_object_set_new(claims, "invokerCcfId",
                            json_string(client->who.ccf_id));
}

/* RFC 7523 3: one audience, and that one string. */
static void complete_assertion(json_t *claims, const struct ccf *ccf,
                               const struct ccf_partner *partner)
{
    json_object_set_new(claims, "iss", json_string(ccf->url));
    json_object_set_new(claims, "aud", json_string(partner->url));
}

/* token is the caller's. */
static void reply(struct capif_req *req, bool assertion, const char *token,
                  time_t seconds, const char *scope)
{
    json_t *doc = json_pack("{s:s, s:s, s:I, s:s}", "access_token", token,
                            "token_type", assertion ? "N_A" : "Bearer",
                            "expires_in", (json_int_t)seconds, "scope", scope);

    if (assertion) /* as RFC 8693 2.2.1 has it for what is no access token */
        json_object_set_new(
            doc, "issued_token_type",
            json_string("urn:ietf:params:oauth:token-type:jwt"));
    capif_req_set_header(req, "Cache-Control", "no-store");
    capif_req_set_header(req, "Pragma", "no-cache");
    capif_reply_json(req, 200, doc);
}

static char *sign(const struct ccf *ccf, const json_t *claims, bool assertion)
{
    char *token =
        claims != NULL
            ? capif_jws_sign(claims, assertion ? CCF_ASSERTION_TYP : "at+jwt",
                             ccf->kid, ccf->jws_key)
            : NULL;

    if (token == NULL)
        capif_log_ssl("sign-failed", NULL);
    return token;
}

void ccf_token_issue(struct capif_req *req, struct ccf_worker *w,
                     const struct ccf_client *client,
                     const struct ccf_partner *partner,
                     const struct capif_scope *scope,
                     const struct ccf_spend *spend)
{
    const struct ccf *ccf = w->ccf;
    time_t seconds = (time_t)ccf->token_seconds;
    enum ccf_store_status st = CCF_STORE_OK;
    char text[SCOPE_TEXT_MAX], *token = NULL;
    json_t *claims;

    if (partner != NULL && seconds > ASSERTION_SECONDS)
        seconds = ASSERTION_SECONDS;
    if (!capif_scope_format(scope, text, sizeof(text))) {
        capif_reply_internal(req, "token-failed");
        return;
    }
    claims = claims_of(client, text, client->at, seconds);
    if (partner != NULL)
        complete_assertion(claims, ccf, partner);
    else
        complete_token(claims, ccf, client, scope);
    token = sign(ccf, claims, partner != NULL);
    /* Only now, so that one for whom the HSM is away may come again. */
    if (token != NULL && spend != NULL)
        st = ccf_store_spend(w->store, spend->jti, spend->exp);
    if (token == NULL) {
        capif_req_set_header(req, "Retry-After", "5");
        capif_reply_problem(req, 503, NULL, "the HSM is not available");
    } else if (st == CCF_STORE_CONFLICT) {
        ccf_oauth_refuse(req, 400, "invalid_grant",
                         "this assertion was used before");
    } else if (st != CCF_STORE_OK) {
        ccf_reply_store(req, st);
    } else {
        capif_log(partner != NULL ? "assertion-issued" : "token-issued", "ccf",
                  client->who.ccf_id, "invoker", client->who.id, "scope", text,
                  "jti", capif_str(claims, "jti"), NULL);
        reply(req, partner != NULL, token, seconds, text);
    }
    json_decref(claims);
    if (token != NULL)
        OPENSSL_cleanse(token, strlen(token));
    free(token);
}

/* ---- asking ---- */

static void grant_by_context(struct capif_req *req, struct ccf_worker *w,
                             const struct ccf_client *client,
                             const char *domain,
                             const struct ccf_partner *partner)
{
    const char *asked = capif_req_query(req, "scope");
    struct capif_scope *scope = calloc(2, sizeof(*scope));
    enum ccf_store_status st = CCF_STORE_OK;

    if (scope == NULL)
        capif_reply_internal(req, "out-of-memory");
    else if ((st = ccf_scope_granted(w, &client->who, domain, &scope[0]))
             == CCF_STORE_ERROR)
        ccf_reply_store(req, st);
    else if (st != CCF_STORE_OK)
        ccf_oauth_refuse(req, 400, "unauthorized_client",
                         "no security context");
    else if (!ccf_scope_choose(asked, &scope[0], &scope[1]))
        ccf_oauth_refuse(req, 400, "invalid_scope",
                         asked != NULL ? "no scope of CAPIF that is granted"
                                       : "nothing negotiated for OAuth");
    else
        ccf_token_issue(req, w, client, partner, &scope[1], NULL);
    free(scope);
}

static void by_credentials(struct capif_req *req, struct ccf_worker *w,
                           const struct ccf_client *client)
{
    const char *resource = capif_req_query(req, "resource");
    const struct ccf_partner *partner = NULL;

    if (capif_req_query(req, "client_id") == NULL) {
        ccf_oauth_refuse(req, 400, "invalid_request", "client_id missing");
    } else if (resource == NULL) {
        grant_by_context(req, w, client, NULL, NULL);
    } else if (strcmp(resource, w->ccf->url) == 0) {
        grant_by_context(req, w, client, w->ccf->ccf_id, NULL);
    } else if ((partner = ccf_partner_by_url(w->ccf, resource)) == NULL
               || !capif_list_has(partner->methods, "OAUTH")) {
        ccf_oauth_refuse(req, 400, "invalid_target",
                         "no partner for whose tokens there is an agreement");
    } else {
        grant_by_context(req, w, client, partner->ccf_id, partner);
    }
}

/* An assertion of a partner's counts with its invoker's own certificate. */
static enum ccf_store_status client_of(struct capif_req *req,
                                       struct ccf_worker *w,
                                       const char *grant_type,
                                       struct ccf_client *out)
{
    enum ccf_store_status st = CCF_STORE_NOT_FOUND;

    if (capif_req_who(req) == CAPIF_WHO_UNKNOWN)
        return CCF_STORE_ERROR;
    out->who = w->peer;
    strcpy(out->thumbprint, w->peer_thumbprint);
    if (w->peer.role == CAPIF_INVOKER)
        st = CCF_STORE_OK;
    else if (w->peer.role == CAPIF_NOBODY
             && capif_same(grant_type, CCF_JWT_BEARER))
        st = ccf_foreign_invoker(req, w, &out->who);
    return st == CCF_STORE_OK
               ? ccf_store_issue_time(w->store, &out->who, &out->at)
               : st;
}

static bool agrees(const char *id, const struct ccf_client *client)
{
    return id == NULL || strcmp(id, client->who.id) == 0;
}

void ccf_post_token(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *grant_type;
    struct ccf_client client;
    enum ccf_store_status st;

    if (!capif_req_form(req)) {
        ccf_oauth_refuse(req, 400, "invalid_request",
                         "a well-formed form is needed");
        return;
    }
    grant_type = capif_req_query(req, "grant_type");
    st = client_of(req, w, grant_type, &client);
    if (st == CCF_STORE_ERROR)
        ccf_reply_store(req, st);
    else if (st != CCF_STORE_OK)
        ccf_oauth_refuse(req, 401, "invalid_client",
                         "an invoker's certificate is needed");
    else if (grant_type == NULL)
        ccf_oauth_refuse(req, 400, "invalid_request", "grant_type missing");
    else if (!agrees(capif_req_param(req, 0), &client)
             || !agrees(capif_req_query(req, "client_id"), &client))
        ccf_oauth_refuse(req, 401, "invalid_client",
                         "certificate, path and client_id must agree");
    else if (strcmp(grant_type, "client_credentials") == 0)
        by_credentials(req, w, &client);
    else if (strcmp(grant_type, CCF_JWT_BEARER) == 0)
        ccf_exchange(req, w, &client);
    else
        ccf_oauth_refuse(req, 400, "unsupported_grant_type",
                         "client_credentials and " CCF_JWT_BEARER " are");
}
