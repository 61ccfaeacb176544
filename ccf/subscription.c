/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Events_API (TS 29.222 8.3): subscriptions to events.
 */
#include "store_subscription.h"

#include "ccf.h"
#include "event_rules.h"
#include "log.h"
#include "owed.h"
#include "times.h"

#include <stdio.h>
#include <string.h>

#define EVENTS_MAX 32
#define IDS_MAX    64
#define WORD_MAX   64
#define ID_MAX     (CAPIF_CCF_ID_MAX + CAPIF_ID_MAX + 1) /* ccfId/invoker */
#define LONGEST    31536000L                             /* seconds */
#define URI_MAX    1024

/* Is the path's subscriber the peer?  Answers if not. */
static bool own_path(struct capif_req *req, const struct ccf_worker *w)
{
    if (strcmp(capif_req_param(req, 0), w->peer.id) == 0)
        return true;
    capif_reply_problem(req, 403, NULL, "not your subscriberId");
    return false;
}

/* ---- checks ---- */

static void check_ids(const struct capif_at *filter, const char *name)
{
    struct capif_at ids = capif_get_array(filter, name, false, 1, IDS_MAX);

    for (size_t i = 0; i < json_array_size(ids.v); i++)
        (void)capif_item_str(&ids, i, ID_MAX);
}

/* Events that nobody knows are allowed, and never happen. */
static void check_events(const struct capif_at *root)
{
    struct capif_at events =
        capif_get_array(root, "events", true, 1, EVENTS_MAX);
    struct capif_at filters =
        capif_get_array(root, "eventFilters", false, 1, EVENTS_MAX);

    for (size_t i = 0; i < json_array_size(events.v); i++)
        (void)capif_item_str(&events, i, WORD_MAX);
    for (size_t i = 0; i < json_array_size(filters.v); i++) {
        struct capif_at filter = capif_at_item(&filters, i);

        check_ids(&filter, "apiIds");
        check_ids(&filter, "apiInvokerIds");
        check_ids(&filter, "aefIds");
    }
    if (events.v != NULL
        && json_array_size(filters.v) > json_array_size(events.v))
        capif_complain(&filters, "has more filters than there are events");
}

/* Leaving these out would report more, or other things, than was asked for. */
static void check_not_done(const struct capif_at *req)
{
    static const char *const names[] = { "partitionCriteria",
                                         "notifFlagInstruct", "mutingSetting" };
    const char *flag = capif_get_str(req, "notifFlag", false, WORD_MAX);
    struct capif_at at = *req;

    (void)capif_get_int(req, "sampRatio", 100, 100, 100);
    if (flag != NULL && strcmp(flag, "ACTIVATE") != 0)
        capif_complain(req, "notifFlag can only be ACTIVATE");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(at.path, sizeof(at.path), "%.64s/%s", req->path, names[i]);
        if (json_object_get(req->v, names[i]) != NULL)
            capif_complain(&at, "is not supported");
    }
}

static void check_time(const struct capif_at *req)
{
    const char *text = capif_get_str(req, "monDur", false, WORD_MAX);
    struct capif_at at = *req;
    time_t end;

    if (text == NULL)
        return;
    snprintf(at.path, sizeof(at.path), "%.64s/monDur", req->path);
    if (!capif_time_parse(text, &end))
        capif_complain(&at, "must be a date-time of RFC 3339");
    else if (end <= time(NULL))
        capif_complain(&at, "is past");
}

/* ReportingInformation of TS 29.508. */
static void check_reporting(const struct capif_at *root)
{
    struct capif_at req = capif_get_object(root, "eventReq", false);
    const char *method = capif_get_str(&req, "notifMethod", false, WORD_MAX);

    (void)capif_get_bool(&req, "immRep", false);
    (void)capif_get_int(&req, "maxReportNbr", 1, 1000000000, 1);
    (void)capif_get_int(&req, "repPeriod", 1, LONGEST, 1);
    (void)capif_get_int(&req, "grpRepTime", 0, LONGEST, 0);
    if (method != NULL && strcmp(method, "PERIODIC") != 0
        && strcmp(method, "ONE_TIME") != 0
        && strcmp(method, "ON_EVENT_DETECTION") != 0)
        capif_complain(&req, "notifMethod is not supported");
    if (method != NULL && strcmp(method, "PERIODIC") == 0
        && json_object_get(req.v, "repPeriod") == NULL)
        capif_complain(&req, "PERIODIC needs a repPeriod");
    check_time(&req);
    check_not_done(&req);
}

/*
 * What both support, in place of what the subscriber does.  One that says
 * nothing of features, but uses one, is taken to support it: to be told of
 * what it filters out would be no use to it.
 */
static void negotiate(struct ccf_change *c)
{
    bool test =
        json_is_true(json_object_get(c->doc, "requestTestNotification"));
    bool enhanced = json_object_get(c->doc, "eventFilters") != NULL
                    || json_object_get(c->doc, "eventReq") != NULL;
    unsigned used =
        (test ? CCF_EVENTS_TEST : 0) | (enhanced ? CCF_EVENTS_ENHANCED : 0);
    unsigned both = ccf_features(c->doc, "supportedFeatures",
                                 CCF_EVENTS_TEST | CCF_EVENTS_ENHANCED, used);

    if (!(both & CCF_EVENTS_ENHANCED)) {
        json_object_del(c->doc, "eventFilters");
        json_object_del(c->doc, "eventReq");
    }
    c->test = test && (both & CCF_EVENTS_TEST);
    json_object_del(c->doc, "requestTestNotification");
    json_object_del(c->doc, "websockNotifConfig");
}

static void complete(struct ccf_change *c)
{
    struct capif_at root = capif_at_root(c->doc, &c->reader);

    check_events(&root);
    check_reporting(&root);
    (void)capif_get_https(&root, "notificationDestination", true);
    (void)capif_get_bool(&root, "requestTestNotification", false);
    capif_check_features(&root, "supportedFeatures", false);
    if (c->reader.n == 0)
        negotiate(c);
}

/* ---- the resource ---- */

static void location_of(const struct ccf_change *c, char out[URI_MAX])
{
    snprintf(out, URI_MAX, "%s/capif-events/v1/%s/subscriptions/%s",
             c->w->ccf->url, c->by.who.id, c->id);
}

static enum ccf_store_status get(struct ccf_change *c, json_t **was)
{
    return ccf_store_subscription_get(c->w->store, &c->by.who, c->id, was);
}

static enum ccf_store_status set(struct ccf_change *c)
{
    struct ccf_owed owed = { .n = 0 };
    char location[URI_MAX];
    enum ccf_store_status st;

    location_of(c, location);
    if (c->test)
        ccf_owe_test(&owed, c->doc, location);
    ccf_store_owe(c->w->store, owed.notices, owed.n);
    st = ccf_store_subscription_set(c->w->store, &c->by, c->id, c->was, c->doc);
    ccf_owed_clear(c->w->store, &owed);
    if (st == CCF_STORE_OK)
        capif_log(c->was != NULL ? "subscription-updated" : "subscribed", "id",
                  c->id, "by", c->by.who.id, NULL);
    return st;
}

static const struct ccf_resource resource = { get, complete, set, NULL };

static void subscribe(struct ccf_change *c)
{
    char location[URI_MAX];
    enum ccf_store_status st;

    if (!ccf_change_complete(c, &resource))
        return;
    if ((st = set(c)) != CCF_STORE_OK) {
        ccf_reply_store(c->req, st);
        return;
    }
    location_of(c, location);
    capif_req_set_header(c->req, "Location", location);
    capif_reply_json(c->req, 201, json_incref(c->doc));
}

void ccf_post_subscription(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    char id[CAPIF_ID_MAX + 1];
    struct ccf_change c = { .req = req, .w = w, .by = ccf_peer(w), .id = id };

    if (!own_path(req, w)
        || (c.body = capif_req_json(req, "application/json")) == NULL)
        return;
    c.doc = c.body;
    if (ccf_make_id("sub-", id))
        subscribe(&c);
    else
        capif_reply_internal(req, "no-random");
    json_decref(c.body);
}

void ccf_put_subscription(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;

    if (own_path(req, w))
        ccf_change(req, w, capif_req_param(req, 1), false, &resource);
}

void ccf_patch_subscription(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;

    if (own_path(req, w))
        ccf_change(req, w, capif_req_param(req, 1), true, &resource);
}

void ccf_delete_subscription(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    enum ccf_store_status st;

    if (!own_path(req, w))
        return;
    st = ccf_store_subscription_delete(w->store, &w->peer,
                                       capif_req_param(req, 1));
    if (st != CCF_STORE_OK) {
        ccf_reply_store(req, st);
        return;
    }
    capif_log("unsubscribed", "id", capif_req_param(req, 1), "by", w->peer.id,
              NULL);
    capif_reply_empty(req, 204);
}
