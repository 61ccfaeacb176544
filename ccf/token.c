/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The token end-point: client credentials grant of RFC 6749 4.4 with the
 * client's certificate as its credential (TS 33.122 Annex C, TS 29.222
 * 8.5.4.2.6 to 9; claims as in design 10, OQ-10).
 */
#include "ccf.h"

#include "jose.h"
#include "log.h"
#include "scope.h"

#include <stdlib.h>
#include <string.h>

#define SCOPE_TEXT_MAX 8192

static void refuse(struct capif_req *req, int status, const char *error,
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

/* What the context allows by OAuth, as pairs; false if there are too many. */
static bool granted(const json_t *context, struct capif_scope *out)
{
    json_t *entry;
    size_t i;

    out->n = 0;
    json_array_foreach(json_object_get(context, "securityInfo"), i, entry)
    {
        const char *sel =
            json_string_value(json_object_get(entry, "selSecurityMethod"));
        const char *aef_id = ccf_vs_str(entry, "aefId");
        const char *name = ccf_vs_str(entry, "apiName");

        if (sel == NULL || strcmp(sel, "OAUTH") != 0 || aef_id == NULL
            || name == NULL || !capif_scope_name_ok(aef_id)
            || !capif_scope_name_ok(name) || capif_scope_has(out, aef_id, name))
            continue;
        if (out->n == CAPIF_SCOPE_PAIRS)
            return false;
        strcpy(out->pairs[out->n].aef_id, aef_id);
        strcpy(out->pairs[out->n++].api_name, name);
    }
    return true;
}

/* The scope asked for, or all; false if more than granted. */
static bool choose_scope(const char *asked, const struct capif_scope *grant,
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

static void issue(struct capif_req *req, struct ccf_worker *w,
                  const struct capif_scope *scope)
{
    const struct ccf *ccf = w->ccf;
    const char *id = w->peer.id;
    time_t now = time(NULL);
    char jti[CAPIF_ID_MAX + 1], text[SCOPE_TEXT_MAX], *token = NULL;
    json_t *claims;

    if (!capif_scope_format(scope, text, sizeof(text))
        || !ccf_make_id("", jti)) {
        capif_reply_internal(req, "token-failed");
        return;
    }
    claims = json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:s, s:I, s:I, s:I, s:s, s:{s:s}}", "iss",
        id, "sub", id, "client_id", id, "scope", text, "aud", audience(scope),
        "ccfId", ccf->ccf_id, "iat", (json_int_t)now, "nbf", (json_int_t)now,
        "exp", (json_int_t)(now + (time_t)ccf->token_seconds), "jti", jti,
        "cnf", "x5t#S256", w->peer_thumbprint);
    token = capif_jws_sign(claims, "at+jwt", ccf->kid, ccf->jws_key);
    json_decref(claims);
    if (token == NULL) {
        capif_req_set_header(req, "Retry-After", "5");
        capif_log_ssl("sign-failed", NULL);
        capif_reply_problem(req, 503, NULL, "the HSM is not available");
        return;
    }
    capif_log("token-issued", "invoker", id, "scope", text, "jti", jti, NULL);
    capif_req_set_header(req, "Cache-Control", "no-store");
    capif_req_set_header(req, "Pragma", "no-cache");
    capif_reply_json(req, 200,
                     json_pack("{s:s, s:s, s:I, s:s}", "access_token", token,
                               "token_type", "Bearer", "expires_in",
                               (json_int_t)ccf->token_seconds, "scope", text));
    OPENSSL_cleanse(token, strlen(token));
    free(token);
}

void ccf_post_token(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *grant_type, *client_id, *asked;
    struct capif_scope *grant = calloc(2, sizeof(*grant));
    json_t *context = NULL;
    enum ccf_store_status st = CCF_STORE_OK;

    if (grant == NULL) {
        capif_reply_internal(req, "out-of-memory");
    } else if (!capif_req_form(req)) {
        refuse(req, 400, "invalid_request", "a well-formed form is needed");
    } else if (capif_req_who(req) == CAPIF_WHO_UNKNOWN) {
        ccf_reply_store(req, CCF_STORE_ERROR);
    } else if (w->peer.role != CAPIF_INVOKER) {
        refuse(req, 401, "invalid_client",
               "an invoker's certificate is needed");
    } else if ((grant_type = capif_req_query(req, "grant_type")) == NULL
               || (client_id = capif_req_query(req, "client_id")) == NULL) {
        refuse(req, 400, "invalid_request", "grant_type or client_id missing");
    } else if (strcmp(capif_req_param(req, 0), w->peer.id) != 0
               || strcmp(client_id, w->peer.id) != 0) {
        refuse(req, 401, "invalid_client",
               "certificate, path and client_id must agree");
    } else if (strcmp(grant_type, "client_credentials") != 0) {
        refuse(req, 400, "unsupported_grant_type", grant_type);
    } else if ((st = ccf_store_context_get(w->store, w->peer.ccf_id, w->peer.id,
                                           &context))
               == CCF_STORE_ERROR) {
        ccf_reply_store(req, st);
    } else if (st != CCF_STORE_OK || !granted(context, &grant[0])) {
        refuse(req, 400, "unauthorized_client", "no security context");
    } else {
        asked = capif_req_query(req, "scope");
        if (choose_scope(asked, &grant[0], &grant[1]))
            issue(req, w, &grant[1]);
        else
            refuse(req, 400, "invalid_scope",
                   asked != NULL ? asked : "nothing negotiated for OAuth");
    }
    json_decref(context);
    free(grant);
}
