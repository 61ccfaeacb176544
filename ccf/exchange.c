/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token exchange at the AEF's CCF (S1 6.24.2.2.2, first part): what a
 * partner's CCF asserts of its invoker, RFC 7523 2.1 and 3, becomes a token
 * of this domain.  It can't grant more than was negotiated here.
 */
#include "oauth.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For as long as the partner's keys are looked for. */
struct exchange {
    struct capif_req *req;
    struct ccf_worker *w;
    struct ccf_client client;
    const struct ccf_partner *partner;
    struct capif_jws jws;
    struct capif_scope asserted, chosen, granted;
};

static void exchange_free(struct exchange *x)
{
    capif_jws_clear(&x->jws);
    free(x);
}

/* Of what is asserted, what is asked for; all of it as negotiated here. */
static void conclude(struct exchange *x)
{
    const char *asserted = capif_str(x->jws.claims, "scope");
    const char *asked = capif_req_query(x->req, "scope");
    enum ccf_store_status st;
    struct ccf_spend spend;

    if (asserted == NULL || !capif_scope_parse(asserted, &x->asserted)) {
        ccf_oauth_refuse(x->req, 400, "invalid_grant",
                         "it asserts no scope of CAPIF");
        return;
    }
    st =
        ccf_scope_granted(x->w, &x->client.who, x->w->ccf->ccf_id, &x->granted);
    if (st == CCF_STORE_ERROR) {
        ccf_reply_store(x->req, st);
        return;
    }
    if (!ccf_scope_choose(asked, &x->asserted, &x->chosen)
        || !ccf_scope_choose(asked != NULL ? asked : asserted, &x->granted,
                             &x->chosen)) {
        ccf_oauth_refuse(x->req, 400, "invalid_scope",
                         "not all of it is asserted, and negotiated here");
        return;
    }
    spend.exp =
        (time_t)json_integer_value(json_object_get(x->jws.claims, "exp"));
    snprintf(spend.jti, sizeof(spend.jti), "%s/%s", x->partner->ccf_id,
             capif_str(x->jws.claims, "jti"));
    ccf_token_issue(x->req, x->w, &x->client, NULL, &x->chosen, &spend);
}

static void on_signature(enum ccf_signature is, void *arg)
{
    struct exchange *x = arg;

    switch (is) {
    case CCF_SIGNATURE_GOOD:
        conclude(x);
        break;
    case CCF_SIGNATURE_BAD:
        ccf_oauth_refuse(x->req, 400, "invalid_grant",
                         "the signature does not hold");
        break;
    case CCF_SIGNATURE_LATER:
        ccf_reply_keys_later(x->req);
        break;
    }
    exchange_free(x);
}

static const char *check(const struct exchange *x)
{
    const struct ccf_assertion_want want = {
        .iss = x->partner->url,
        .aud = x->w->ccf->url,
        .client_id = x->client.who.id,
        .thumbprint = x->client.thumbprint,
        .now = time(NULL),
    };

    return ccf_assertion_check(&x->jws, &want);
}

static bool agreed(const struct ccf *ccf, const struct ccf_partner *partner)
{
    return capif_list_has(ccf->methods, "OAUTH")
           && capif_list_has(partner->methods, "OAUTH");
}

void ccf_exchange(struct capif_req *req, struct ccf_worker *w,
                  const struct ccf_client *client)
{
    const char *text = capif_req_query(req, "assertion"), *why;
    const struct ccf_partner *partner =
        ccf_partner_find(w->ccf, client->who.ccf_id);
    struct exchange *x;

    if (text == NULL) {
        ccf_oauth_refuse(req, 400, "invalid_request", "assertion missing");
        return;
    }
    if (partner == NULL || !agreed(w->ccf, partner)) {
        ccf_oauth_refuse(req, 400, "unauthorized_client",
                         "no agreement on tokens with the client's CCF");
        return;
    }
    if ((x = calloc(1, sizeof(*x))) == NULL) {
        capif_reply_internal(req, "out-of-memory");
        return;
    }
    x->req = req;
    x->w = w;
    x->client = *client;
    x->partner = partner;
    if ((why = capif_jws_parse(text, &x->jws)) != NULL
        || (why = check(x)) != NULL) {
        ccf_oauth_refuse(req, 400, "invalid_grant", why);
        exchange_free(x);
        return;
    }
    ccf_signature_check(w, &x->jws, partner, on_signature, x);
}
