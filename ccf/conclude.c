/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes of a negotiation: the security context, or, if it is refused,
 * that nothing new is granted anywhere.
 */
#include "negotiation.h"

#include "log.h"
#include "owed.h"
#include "store_revoke.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URI_MAX 1024

void ccf_negotiation_free(struct negotiation *neg)
{
    for (size_t i = 0; i < neg->n; i++)
        json_decref(neg->entries[i]);
    json_decref(neg->doc);
    free(neg->kept.wrapped);
    free(neg);
}

void ccf_negotiation_note(struct negotiation *neg, const struct ccf_refusal *no)
{
    if (neg->no.status == 0)
        neg->no = *no;
}

static bool is_own(const struct negotiation *neg)
{
    return strcmp(neg->ccf_id, neg->w->ccf->ccf_id) == 0;
}

/* PSKs are between an invoker and its own CCF: note those selected. */
static void note_psks(struct negotiation *neg)
{
    struct capif_identity invoker = { .role = CAPIF_INVOKER };
    static const struct ccf_refusal failed = { 503, NULL,
                                               "no PSK can be derived now" };

    if (!is_own(neg))
        return;
    strcpy(invoker.ccf_id, neg->ccf_id);
    strcpy(invoker.id, neg->invoker_id);
    for (size_t i = 0; i < neg->n && neg->no.status == 0; i++) {
        const char *sel = json_string_value(
            json_object_get(neg->entries[i], "selSecurityMethod"));

        if (strcmp(sel, "PSK") == 0
            && !ccf_psk_note(neg->w, &neg->kept, &invoker, neg->entries[i]))
            ccf_negotiation_note(neg, &failed);
    }
}

/* list becomes the document's. */
static json_t *doc_of(const struct negotiation *neg, json_t *list)
{
    return json_pack(
        "{s:o, s:O, s:O}", "securityInfo", list, "notificationDestination",
        json_object_get(neg->doc, "notificationDestination"),
        "supportedFeatures", json_object_get(neg->doc, "supportedFeatures"));
}

static enum ccf_store_status put(struct negotiation *neg, const json_t *doc)
{
    time_t expires = time(NULL) + (time_t)neg->w->ccf->context_seconds;

    return is_own(neg) ? ccf_store_context_put_own(
               neg->w->store, neg->ccf_id, neg->invoker_id, expires, doc)
                       : ccf_store_context_put(neg->w->store, neg->ccf_id,
                                               neg->invoker_id, expires, doc);
}

/* ---- refused ---- */

/*
 * The entries of partners that agreed: they have them now, in place of what
 * they had of the invoker, whatever others said then.
 */
static json_t *agreed(const struct negotiation *neg, const char *ccf_id)
{
    json_t *list = json_array();

    for (size_t i = 0; i < neg->n; i++)
        if (neg->entries[i] != NULL && neg->wishes[i].at != NULL
            && (ccf_id == NULL
                || capif_same(neg->wishes[i].at->ccf_id, ccf_id)))
            json_array_append(list, neg->entries[i]);
    return list;
}

/* The same API at the same AEF by the same method. */
static bool has(const json_t *list, const json_t *entry)
{
    const json_t *other;
    size_t i;

    json_array_foreach(list, i, other)
    {
        if (capif_same(capif_str(other, "apiId"), capif_str(entry, "apiId"))
            && capif_same(capif_str(other, "selSecurityMethod"),
                          capif_str(entry, "selSecurityMethod"))
            && capif_same(ccf_vs_str(other, "ccfId"),
                          ccf_vs_str(entry, "ccfId"))
            && capif_same(ccf_vs_str(other, "aefId"),
                          ccf_vs_str(entry, "aefId")))
            return true;
    }
    return false;
}

/* What there is at the partners now: of old, what they have still, and new. */
static json_t *entries_now(const struct negotiation *neg, const json_t *old)
{
    json_t *list = json_array(), *all = agreed(neg, NULL), *theirs, *entry;
    size_t i;

    json_array_foreach(old, i, entry)
    {
        theirs = agreed(neg, ccf_vs_str(entry, "ccfId"));
        if (json_array_size(theirs) == 0 || has(theirs, entry))
            json_array_append(list, entry);
        json_decref(theirs);
    }
    json_array_foreach(all, i, entry)
    {
        if (!has(old, entry))
            json_array_append(list, entry);
    }
    json_decref(all);
    return list;
}

/* What a partner has granted anew is taken back, there, too. */
static enum ccf_store_status take_back(struct negotiation *neg,
                                       const struct ccf_partner *partner,
                                       const json_t *old)
{
    json_t *ids = json_array(), *theirs = agreed(neg, partner->ccf_id), *entry;
    const struct ccf_revocation r = { .ccf_id = neg->ccf_id,
                                      .invoker_id = neg->invoker_id,
                                      .aef_ccf_id = partner->ccf_id,
                                      .api_ids = ids };
    enum ccf_store_status st = CCF_STORE_OK;
    size_t i;

    json_array_foreach(theirs, i, entry)
    {
        if (!has(old, entry))
            json_array_append(ids, json_object_get(entry, "apiId"));
    }
    if (json_array_size(ids) > 0)
        st = ccf_store_context_revoke(neg->w->store, &r);
    json_decref(theirs);
    json_decref(ids);
    return st;
}

/*
 * Partners can't be asked as one: some may have agreed when another refuses.
 * What they granted is taken back; what the invoker gave up there is gone.
 */
static void undo(struct negotiation *neg)
{
    json_t *was = NULL, *old, *doc, *all = agreed(neg, NULL);
    enum ccf_store_status st = CCF_STORE_OK;
    const bool any = json_array_size(all) > 0;

    json_decref(all);
    if (!any)
        return;
    st = ccf_store_context_get(neg->w->store, neg->ccf_id, neg->invoker_id,
                               &was);
    old = json_object_get(was, "securityInfo");
    doc = was != NULL ? json_copy(was) : doc_of(neg, json_array());
    json_object_set_new(doc, "securityInfo", entries_now(neg, old));
    if (st != CCF_STORE_ERROR)
        st = put(neg, doc);
    for (size_t i = 0; i < neg->w->ccf->n_partners && st == CCF_STORE_OK; i++)
        st = take_back(neg, &neg->w->ccf->partners[i], old);
    if (st != CCF_STORE_OK)
        capif_log("negotiation-not-undone", "invoker", neg->invoker_id, NULL);
    json_decref(doc);
    json_decref(was);
}

static void refuse(struct negotiation *neg)
{
    capif_log("negotiation-refused", "invoker", neg->invoker_id, "why",
              neg->no.why, NULL);
    undo(neg);
    if (neg->no.status == 503)
        capif_req_set_header(neg->req, "Retry-After", "1");
    capif_reply_problem(neg->req, neg->no.status, neg->no.cause, neg->no.why);
}

/* ---- granted ---- */

/* With, for an own invoker, the test notification that it asks for. */
static enum ccf_store_status store_context(struct negotiation *neg,
                                           const json_t *doc,
                                           const char *location)
{
    struct ccf_owed owed = { .n = 0 };
    enum ccf_store_status st;

    if (neg->test)
        ccf_owe_test(&owed, doc, location);
    ccf_store_owe(neg->w->store, owed.notices, owed.n);
    st = put(neg, doc);
    ccf_owed_clear(neg->w->store, &owed);
    return st;
}

static void grant(struct negotiation *neg)
{
    struct capif_req *req = neg->req;
    json_t *list = json_array(), *doc;
    char location[URI_MAX];
    enum ccf_store_status st;

    for (size_t i = 0; i < neg->n; i++)
        json_array_append(list, neg->entries[i]);
    doc = doc_of(neg, list);
    snprintf(location, sizeof(location),
             "%s/capif-security/v1/trustedInvokers/%s", neg->w->ccf->url,
             neg->invoker_id);
    st = store_context(neg, doc, location);
    if (st != CCF_STORE_OK) {
        json_decref(doc);
        undo(neg);
        ccf_reply_store(req, st);
        return;
    }
    capif_log("negotiated", "ccf", neg->ccf_id, "invoker", neg->invoker_id,
              NULL);
    if (neg->success == 201)
        capif_req_set_header(req, "Location", location);
    capif_reply_json(req, neg->success, doc);
}

void ccf_negotiation_conclude(struct negotiation *neg)
{
    if (neg->no.status == 0)
        note_psks(neg);
    if (neg->no.status == 0)
        grant(neg);
    else
        refuse(neg);
    ccf_negotiation_free(neg);
}
