/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token introspection, RFC 7662, for the AEFs of this domain (S1 6.24.2.2.2
 * step 7: "the AEF requests the CCF-B to verify the security token"; design
 * 10, OQ-13).  An AEF learns of tokens for itself alone, and, of all that can
 * be wrong with one, nothing but that it is not active.
 */
#include "oauth.h"

#include "log.h"
#include "store_revoke.h"

#include <stdlib.h>
#include <string.h>

/* For as long as a partner's keys are looked for. */
struct inspection {
    struct capif_req *req;
    struct ccf_worker *w;
    struct capif_jws jws;
    char aef_id[CAPIF_CCF_ID_MAX + 1]; /* who asks */
    struct capif_identity invoker;
    struct capif_scope asserted, granted;
};

static void inspection_free(struct inspection *in)
{
    capif_jws_clear(&in->jws);
    free(in);
}

static void reply(struct capif_req *req, json_t *doc)
{
    capif_req_set_header(req, "Cache-Control", "no-store");
    capif_reply_json(req, 200, doc);
}

static void note(const struct inspection *in, const char *active,
                 const char *why)
{
    capif_log("token-introspected", "aef", in->aef_id, "jti",
              capif_str(in->jws.claims, "jti"), "active", active, "why", why,
              NULL);
}

static void inactive(struct inspection *in, const char *why)
{
    note(in, "no", why);
    reply(in->req, json_pack("{s:b}", "active", 0));
}

static void active(struct inspection *in)
{
    static const char *const names[] = { "scope", "client_id", "exp",
                                         "iat",   "nbf",       "sub",
                                         "aud",   "iss",       "jti",
                                         "cnf",   "ccfId",     "invokerCcfId" };
    json_t *doc = json_pack("{s:b, s:s}", "active", 1, "token_type", "Bearer");
    json_t *claim;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if ((claim = json_object_get(in->jws.claims, names[i])) != NULL)
            json_object_set(doc, names[i], claim);
    note(in, "yes", NULL);
    reply(in->req, doc);
}

/* All of the scope that concerns the AEF must be as it was negotiated. */
static enum ccf_store_status scope_holds(struct inspection *in,
                                         const char **why)
{
    enum ccf_store_status st = ccf_scope_granted(
        in->w, &in->invoker, in->w->ccf->ccf_id, &in->granted);
    const time_t iat =
        (time_t)json_integer_value(json_object_get(in->jws.claims, "iat"));
    time_t until = 0;
    bool any = false;

    if (st != CCF_STORE_OK)
        return st;
    for (size_t i = 0; i < in->asserted.n && st == CCF_STORE_OK; i++) {
        const char *aef_id = in->asserted.pairs[i].aef_id;
        const char *name = in->asserted.pairs[i].api_name;

        if (strcmp(aef_id, in->aef_id) != 0)
            continue;
        any = true;
        if (!capif_scope_has(&in->granted, aef_id, name))
            *why = "not in the security context";
        else
            st = ccf_store_revoked_until(in->w->store, &in->invoker, aef_id,
                                         name, &until);
        if (iat <= until)
            *why = "revoked";
    }
    if (!any)
        *why = "nothing in its scope is at this AEF";
    return st;
}

/* Our own invoker must be one still, with the certificate it had. */
static enum ccf_store_status still_member(const struct inspection *in,
                                          const char **why)
{
    struct ccf_member member;
    enum ccf_store_status st;

    if (strcmp(in->invoker.ccf_id, in->w->ccf->ccf_id) != 0)
        return CCF_STORE_OK;
    st = ccf_store_member(in->w->store, &in->invoker, &member);
    if (st == CCF_STORE_OK
        && !capif_str_is(json_object_get(in->jws.claims, "cnf"), "x5t#S256",
                         member.thumbprint))
        *why = "the certificate is another now";
    return st;
}

static void conclude(struct inspection *in)
{
    const char *why = NULL;
    enum ccf_store_status st = still_member(in, &why);

    if (why == NULL && st == CCF_STORE_OK)
        st = scope_holds(in, &why);
    if (st == CCF_STORE_ERROR)
        ccf_reply_store(in->req, st);
    else if (why != NULL || st != CCF_STORE_OK)
        inactive(in, why != NULL ? why : "unknown invoker or no context");
    else
        active(in);
}

static void on_signature(enum ccf_signature is, void *arg)
{
    struct inspection *in = arg;

    switch (is) {
    case CCF_SIGNATURE_GOOD:
        conclude(in);
        break;
    case CCF_SIGNATURE_BAD:
        inactive(in, "the signature does not hold");
        break;
    case CCF_SIGNATURE_LATER:
        ccf_reply_keys_later(in->req);
        break;
    }
    inspection_free(in);
}

/* Who may sign for whom: we for all that we know, a partner for its own. */
static const char *check(struct inspection *in,
                         const struct ccf_partner **signed_by)
{
    const struct ccf *ccf = in->w->ccf;
    const char *signer, *home, *id, *scope, *why;

    if (!ccf_token_whose(&in->jws, &signer, &home, &id))
        return "no access token";
    *signed_by = ccf_partner_find(ccf, signer);
    if (*signed_by != NULL
            ? strcmp(home, signer) != 0
            : strcmp(signer, ccf->ccf_id) != 0 || !ccf_domain_known(ccf, home))
        return "signed by somebody else";
    if (!capif_aud_has(in->jws.claims, in->aef_id))
        return "for another AEF";
    if ((why = capif_times_check(in->jws.claims, time(NULL))) != NULL)
        return why;
    scope = capif_str(in->jws.claims, "scope");
    if (scope == NULL || !capif_scope_parse(scope, &in->asserted))
        return "no scope of CAPIF";
    in->invoker.role = CAPIF_INVOKER;
    strcpy(in->invoker.ccf_id, home);
    strcpy(in->invoker.id, id);
    return NULL;
}

void ccf_post_introspect(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const struct ccf_partner *signed_by = NULL;
    const char *token = NULL, *why;
    struct inspection *in;

    if (!capif_req_form(req)
        || (token = capif_req_query(req, "token")) == NULL) {
        ccf_oauth_refuse(req, 400, "invalid_request",
                         "a form with a token is needed");
        return;
    }
    if ((in = calloc(1, sizeof(*in))) == NULL) {
        capif_reply_internal(req, "out-of-memory");
        return;
    }
    in->req = req;
    in->w = w;
    strcpy(in->aef_id, w->peer.id);
    if ((why = capif_jws_parse(token, &in->jws)) != NULL
        || (why = check(in, &signed_by)) != NULL) {
        inactive(in, why);
        inspection_free(in);
        return;
    }
    ccf_signature_check(w, &in->jws, signed_by, on_signature, in);
}
