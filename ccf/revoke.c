/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Security_API (TS 29.222 5.6.2.5): who takes back what, and from whom.
 * An AEF what is granted at itself; an invoker its own; a partner what its own
 * invokers have here, and, as a notification, what ours have there.
 */
#include "ccf.h"

#include "log.h"
#include "store_revoke.h"

#include <string.h>

#define APIS_MAX 64

/* A SecurityNotification; false: answered. */
static bool read_notification(struct capif_req *req, json_t **doc,
                              struct ccf_revocation *r)
{
    struct capif_reader reader = { 0 };
    struct capif_at root, ids;

    if ((*doc = capif_req_json(req, "application/json")) == NULL)
        return false;
    root = capif_at_root(*doc, &reader);
    ids = capif_get_array(&root, "apiIds", true, 1, APIS_MAX);
    r->invoker_id = capif_get_str(&root, "apiInvokerId", true, CAPIF_ID_MAX);
    r->cause = capif_get_str(&root, "cause", true, 64);
    r->aef_id = capif_get_str(&root, "aefId", false, CAPIF_SCOPE_NAME_MAX);
    r->api_ids = ids.v;
    for (size_t i = 0; i < json_array_size(ids.v); i++)
        (void)capif_item_str(&ids, i, CAPIF_ID_MAX);
    if (r->invoker_id != NULL && !capif_id_ok(r->invoker_id))
        capif_complain(&root, "malformed apiInvokerId");
    if (reader.n > 0)
        capif_reply_invalid(req, &reader);
    return reader.n == 0;
}

static void revoke(struct capif_req *req, struct ccf_worker *w,
                   const struct ccf_revocation *r, bool idempotent)
{
    enum ccf_store_status st = ccf_store_context_revoke(w->store, r);

    if (st == CCF_STORE_OK)
        capif_log("revoked-context", "ccf", r->ccf_id, "invoker", r->invoker_id,
                  "by", w->peer.id, "cause", r->cause, NULL);
    /* A partner's CCF repeats what it has not got an answer to. */
    if (st == CCF_STORE_OK || (idempotent && st == CCF_STORE_NOT_FOUND))
        capif_reply_empty(req, 204);
    else
        ccf_reply_store(req, st);
}

/* Whose invoker an AEF means. */
static const char *source(struct capif_req *req, const struct ccf_worker *w)
{
    const char *src = capif_req_query(req, "vs-src-ccf-id");

    return src != NULL ? src : w->ccf->ccf_id;
}

void ccf_delete_context(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    struct ccf_revocation r = { .invoker_id = capif_req_param(req, 0) };

    if (!ccf_context_whose(req, w, &r.ccf_id))
        return;
    if (w->peer.role == CAPIF_AEF) {
        r.ccf_id = source(req, w);
        r.aef_ccf_id = w->ccf->ccf_id;
        r.aef_id = w->peer.id;
        r.tell_invoker = true;
    } else if (w->peer.role == CAPIF_CCF) {
        r.from = w->peer.ccf_id;
    }
    revoke(req, w, &r, false);
}

void ccf_revoke_context(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    struct ccf_revocation r = { .aef_ccf_id = w->ccf->ccf_id };
    const bool partner = w->peer.role == CAPIF_CCF;
    json_t *doc = NULL;

    if (!read_notification(req, &doc, &r)) {
        json_decref(doc);
        return;
    }
    r.ccf_id = partner ? w->peer.ccf_id : source(req, w);
    r.from = partner ? w->peer.ccf_id : NULL;
    r.tell_invoker = !partner;
    if (strcmp(r.invoker_id, capif_req_param(req, 0)) != 0) {
        capif_reply_problem(req, 400, NULL,
                            "apiInvokerId is not the one of the path");
    } else if (!partner && r.aef_id != NULL
               && strcmp(r.aef_id, w->peer.id) != 0) {
        capif_reply_problem(req, 403, NULL, "not your AEF id");
    } else {
        if (!partner)
            r.aef_id = w->peer.id;
        revoke(req, w, &r, partner);
    }
    json_decref(doc);
}

/* CCF-B has taken back what an invoker of ours had there. */
void ccf_post_notification(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    struct ccf_revocation r = { .ccf_id = w->ccf->ccf_id,
                                .aef_ccf_id = w->peer.ccf_id,
                                .from = w->peer.ccf_id,
                                .tell_invoker = true };
    json_t *doc = NULL;

    if (read_notification(req, &doc, &r))
        revoke(req, w, &r, true);
    json_decref(doc);
}
