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

/* ---- refused ---- */

/* What partners have taken, or may have: then it has no method. */
static json_t *taken(const struct negotiation *neg)
{
    json_t *list = json_array();

    for (size_t i = 0; i < neg->n; i++) {
        const struct ccf_wish *wish = &neg->wishes[i];

        if (neg->took[i] && neg->entries[i] != NULL)
            json_array_append(list, neg->entries[i]);
        else if (neg->took[i])
            json_array_append_new(list, json_pack("{s:s, s:{s:s, s:s}}",
                                                  "apiId", wish->api_id, CCF_VS,
                                                  "ccfId", wish->at->ccf_id,
                                                  "aefId", wish->aef_id));
    }
    return list;
}

/*
 * Partners can't be asked as one: some may have agreed when another refuses.
 */
static void undo(const struct negotiation *neg)
{
    json_t *list = taken(neg);

    if (json_array_size(list) > 0
        && ccf_store_context_undo(neg->w->store, neg->ccf_id, neg->invoker_id,
                                  list)
               != CCF_STORE_OK)
        capif_log("negotiation-not-undone", "invoker", neg->invoker_id, NULL);
    json_decref(list);
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

/* The context, and, for an own invoker, the test notification it asks for. */
static enum ccf_store_status store_context(struct negotiation *neg,
                                           const json_t *doc,
                                           const char *location)
{
    time_t expires = time(NULL) + (time_t)neg->w->ccf->context_seconds;
    struct ccf_store *store = neg->w->store;
    struct ccf_owed owed = { .n = 0 };
    enum ccf_store_status st;

    if (neg->test)
        ccf_owe_test(&owed, doc, location);
    ccf_store_owe(store, owed.notices, owed.n);
    st = is_own(neg) ? ccf_store_context_put_own(store, neg->ccf_id,
                                                 neg->invoker_id, expires, doc)
                     : ccf_store_context_put(store, neg->ccf_id,
                                             neg->invoker_id, expires, doc);
    ccf_owed_clear(store, &owed);
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
    doc = json_pack(
        "{s:o, s:O, s:O}", "securityInfo", list, "notificationDestination",
        json_object_get(neg->doc, "notificationDestination"),
        "supportedFeatures", json_object_get(neg->doc, "supportedFeatures"));
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
