/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_API_Invoker_Management_API (TS 29.222 8.4): onboarding of invokers,
 * and what they may change of it.
 */
#include "ccf.h"

#include "log.h"
#include "owed.h"
#include "scope.h"
#include "share.h"
#include "store_policy.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define TEXT_MAX 256
#define URI_MAX  1024
#define FEATURES 1u /* 8.4.6: Notification_test_event */

static const char collection[] = "/api-invoker-management/v1/onboardedInvokers";

static const char *key_of(const json_t *doc)
{
    return json_string_value(json_object_get(
        json_object_get(doc, "onboardingInformation"), "apiInvokerPublicKey"));
}

/* The APIs asked for, of which only what names them is kept. */
static void read_list(const struct capif_at *root)
{
    struct capif_at list = capif_get_object(root, "apiList", false);
    struct capif_at apis = capif_get_array(&list, "serviceAPIDescriptions",
                                           false, 1, CCF_APIS_MAX);

    for (size_t i = 0; i < json_array_size(apis.v); i++) {
        struct capif_at api = capif_at_item(&apis, i);
        const char *name =
            capif_get_str(&api, "apiName", true, CAPIF_SCOPE_NAME_MAX);
        const char *id = capif_get_str(&api, "apiId", false, CAPIF_ID_MAX);

        if (name != NULL)
            json_array_set_new(
                apis.v, i,
                json_pack("{s:s, s:s*}", "apiName", name, "apiId", id));
    }
}

/* The key of was is certified already; another gets a new certificate. */
static void certify(struct ccf_change *c, json_t *info, const char *csr)
{
    struct ccf_member *m = &c->members[0];
    const char *why = NULL;
    json_t *cert;

    c->n_members = 1;
    if (c->was != NULL && strcmp(csr, key_of(c->was)) == 0) {
        *m = c->by;
        json_object_set(
            info, "apiInvokerCertificate",
            json_object_get(json_object_get(c->was, "onboardingInformation"),
                            "apiInvokerCertificate"));
        return;
    }
    if (c->was != NULL) {
        m->who = c->by.who;
    } else if (!ccf_member_init(c->w, m, CAPIF_INVOKER, NULL)) {
        ccf_change_no_token(c);
        return;
    }
    if ((cert = ccf_issue_member(c->w->ccf, m, csr, NULL, &why)) != NULL) {
        json_object_set_new(info, "apiInvokerCertificate", cert);
    } else if (why == NULL) {
        ccf_change_no_token(c);
    } else {
        struct capif_at at = { NULL,
                               "/onboardingInformation/apiInvokerPublicKey",
                               &c->reader };
        capif_complain(&at, why);
    }
}

static void complete(struct ccf_change *c)
{
    struct capif_at root = capif_at_root(c->doc, &c->reader);
    struct capif_at info =
        capif_get_object(&root, "onboardingInformation", true);
    const char *csr =
        capif_get_str(&info, "apiInvokerPublicKey", true, CCF_PEM_MAX);

    (void)capif_get_https(&root, "notificationDestination", true);
    c->test = capif_get_bool(&root, "requestTestNotification", false);
    (void)capif_get_str(&root, "apiInvokerInformation", false, TEXT_MAX);
    capif_check_features(&root, "supportedFeatures", false);
    read_list(&root);
    ccf_change_keeps(c, "apiInvokerId", c->was != NULL ? c->by.who.id : NULL);
    if (c->reader.n > 0)
        return;
    certify(c, info.v, csr);
    c->test = ccf_features(c->doc, "supportedFeatures", FEATURES,
                           c->test ? FEATURES : 0)
              && c->test;
    /* A secret that is not ours to keep; a feature that is not supported. */
    json_object_del(info.v, "onboardingSecret");
    json_object_del(c->doc, "requestTestNotification");
    json_object_del(c->doc, "websockNotifConfig");
    json_object_set_new(c->doc, "apiInvokerId",
                        json_string(c->members[0].who.id));
    json_object_set_new(c->doc, CCF_VS,
                        json_pack("{s:s}", "ccfId", c->w->ccf->ccf_id));
}

struct listing {
    struct ccf_change *c;
    const json_t *wanted; /* its apiId, NULL: any of that name */
    json_t *known;
};

/* One of that name, if it is the one asked for, as discovery shows it. */
static bool list_one(const struct ccf_api_row *row, void *arg)
{
    struct listing *l = arg;
    const struct ccf *ccf = l->c->w->ccf;
    const struct ccf_asker who = { ccf->ccf_id, l->c->members[0].who.id };
    const char *id = json_string_value(l->wanted);

    if ((id == NULL || strcmp(id, row->api_id) == 0)
        && ccf_domain_known(ccf, row->ccf_id) && ccf_api_keep_active(row->doc)
        && (strcmp(row->ccf_id, ccf->ccf_id) != 0
            || ccf_access_see(l->c->w, &who, row->api_id, row->doc)
                   == CCF_STORE_OK)) {
        ccf_api_untell_provider(row->doc);
        json_array_append(l->known, row->doc);
    }
    return json_array_size(l->known) < CCF_APIS_MAX;
}

/* apiList in an answer: of the APIs asked for, those that there are. */
static json_t *show(struct ccf_change *c)
{
    json_t *doc = json_deep_copy(c->doc);
    const json_t *list = json_object_get(doc, "apiList"), *wanted;
    struct listing l = { .c = c, .known = json_array() };
    size_t i;

    json_array_foreach(json_object_get(list, "serviceAPIDescriptions"), i,
                       wanted)
    {
        l.wanted = json_object_get(wanted, "apiId");
        (void)ccf_store_api_each(
            c->w->store, NULL,
            json_string_value(json_object_get(wanted, "apiName")), list_one,
            &l);
    }
    json_object_del(doc, "apiList");
    if (json_array_size(l.known) > 0)
        json_object_set_new(
            doc, "apiList",
            json_pack("{s:O}", "serviceAPIDescriptions", l.known));
    json_decref(l.known);
    return doc;
}

static enum ccf_store_status get(struct ccf_change *c, json_t **was)
{
    return ccf_store_group_get(c->w->store, c->id, was);
}

static void location_of(const struct ccf_change *c, char out[URI_MAX])
{
    snprintf(out, URI_MAX, "%s%s/%s", c->w->ccf->url, collection, c->id);
}

/* RFC 7240 4.1: the answer is to come as a notification (5.5.2.2.3). */
static bool prefers_async(const struct ccf_change *c)
{
    static const char word[] = "respond-async";
    const char *p = capif_req_header(c->req, "Prefer");

    while (p != NULL) {
        p += strspn(p, " \t,");
        if (strncasecmp(p, word, strlen(word)) == 0
            && strchr(" \t,;", p[strlen(word)]) != NULL)
            return true;
        p = strchr(p, ',');
    }
    return false;
}

/* What the store is to owe to the invoker for this change. */
static void owe(struct ccf_change *c, struct ccf_owed *owed)
{
    char location[URI_MAX];
    json_t *doc;

    location_of(c, location);
    c->async = prefers_async(c);
    if (c->test)
        ccf_owe_test(owed, c->doc, location);
    if (c->async) {
        doc = show(c);
        ccf_owe(owed, c->doc,
                json_pack("{s:b, s:s, s:O, s:O*}", "result", 1,
                          "resourceLocation", location,
                          "apiInvokerEnrolmentDetails", doc, "apiList",
                          json_object_get(doc, "apiList")));
        json_decref(doc);
    }
    ccf_store_owe(c->w->store, owed->notices, owed->n);
}

static enum ccf_store_status set(struct ccf_change *c)
{
    struct ccf_owed owed = { .n = 0 };
    enum ccf_store_status st;

    owe(c, &owed);
    st = ccf_store_group_change(c->w->store, &c->by, c->was, c->doc, c->members,
                                c->n_members);
    ccf_owed_clear(c->w->store, &owed);

    if (st == CCF_STORE_OK)
        capif_log("invoker-updated", "id", c->by.who.id, "certificate",
                  strcmp(c->by.thumbprint, c->members[0].thumbprint) == 0
                      ? "same"
                      : "new",
                  NULL);
    return st;
}

static const struct ccf_resource resource = { get, complete, set, show };

static void onboard(struct ccf_change *c)
{
    char group_id[CAPIF_ID_MAX + 1], location[URI_MAX];
    struct ccf_owed owed = { .n = 0 };
    enum ccf_store_status st;

    if (!ccf_change_complete(c, &resource))
        return;
    if (!ccf_make_id("onb-", group_id)) {
        capif_reply_internal(c->req, "no-random");
        return;
    }
    c->id = group_id;
    owe(c, &owed);
    st = ccf_store_enrol(c->w->store, &c->grant->enrolment, group_id, c->doc,
                         c->members, 1);
    ccf_owed_clear(c->w->store, &owed);
    if (st == CCF_STORE_CONFLICT) {
        ccf_refuse_grant(c->req, "enrolment used already");
    } else if (st != CCF_STORE_OK) {
        ccf_reply_store(c->req, st);
    } else {
        capif_log("enrolled", "peer", capif_req_peer(c->req), "id",
                  c->members[0].who.id, "group", group_id, NULL);
        location_of(c, location);
        if (c->async) {
            ccf_change_accepted(c);
            return;
        }
        capif_req_set_header(c->req, "Location", location);
        capif_reply_json(c->req, 201, show(c));
    }
}

void ccf_post_onboarding(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *token = capif_req_bearer(req);
    struct ccf_grant grant = { 0 };
    struct ccf_change c = { .req = req, .w = w, .grant = &grant };
    const char *why = token != NULL
                          ? ccf_grant_check(w->ccf, token, "invoker", &grant)
                          : "no enrolment token";

    if (why != NULL) {
        ccf_refuse_grant(req, why);
        return;
    }
    c.body = capif_req_json(req, "application/json");
    c.doc = c.body;
    if (c.body != NULL)
        onboard(&c);
    json_decref(c.body);
    json_decref(grant.claims);
}

void ccf_put_onboarding(struct capif_req *req, void *app)
{
    ccf_change_group(req, app, false, &resource);
}

void ccf_patch_onboarding(struct capif_req *req, void *app)
{
    ccf_change_group(req, app, true, &resource);
}

void ccf_delete_onboarding(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    enum ccf_store_status st;

    if (!ccf_own_group(req, w))
        return;
    st = ccf_store_offboard(w->store, &w->peer, capif_req_param(req, 0));
    if (st != CCF_STORE_OK) {
        ccf_reply_store(req, st);
        return;
    }
    capif_log("offboarded", "id", w->peer.id, NULL);
    capif_reply_empty(req, 204);
}
