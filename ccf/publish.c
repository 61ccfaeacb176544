/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Publish_Service_API (TS 29.222 8.2).
 */
#include "ccf.h"

#include "log.h"

#include <stdio.h>
#include <string.h>

#define URI_MAX 1024

/* Is the path's APF the peer?  Answers if not. */
static bool own_apf(struct capif_req *req, const struct ccf_worker *w)
{
    if (strcmp(capif_req_param(req, 0), w->peer.id) == 0)
        return true;
    capif_reply_problem(req, 403, NULL, "not your APF id");
    return false;
}

/* Every AEF must be of the provider domain that the APF is of. */
static void check_aefs(struct ccf_change *c)
{
    struct capif_identity who = { .role = CAPIF_AEF };
    json_t *profiles = json_object_get(c->doc, "aefProfiles"), *profile;
    struct ccf_member member;
    enum ccf_store_status st;
    size_t i;

    strcpy(who.ccf_id, c->w->ccf->ccf_id);
    json_array_foreach(profiles, i, profile)
    {
        snprintf(who.id, sizeof(who.id), "%s",
                 json_string_value(json_object_get(profile, "aefId")));
        st = ccf_store_member(c->w->store, &who, &member);
        if (st == CCF_STORE_OK
            && strcmp(member.group_id, c->w->peer_group) == 0)
            continue;
        c->no.status = st == CCF_STORE_ERROR ? 503 : 403;
        snprintf(c->no.why, sizeof(c->no.why), "%s",
                 st == CCF_STORE_ERROR
                     ? "the store is not available"
                     : "an AEF is not of your provider domain");
        return;
    }
}

static void complete(struct ccf_change *c)
{
    struct capif_at root = capif_at_root(c->doc, &c->reader);
    const char *own = c->w->ccf->ccf_id;

    ccf_change_keeps(c, "apiId", c->was != NULL ? c->id : NULL);
    ccf_change_keeps(c, "ccfId", own);
    if (c->patch) /* not in ServiceAPIDescriptionPatch */
        ccf_change_keeps(c, "apiName",
                         json_string_value(json_object_get(c->was, "apiName")));
    ccf_api_check(&root);
    if (c->reader.n > 0)
        return;
    check_aefs(c);
    json_object_set_new(c->doc, "apiId", json_string(c->id));
    json_object_set_new(c->doc, "ccfId", json_string(own));
    json_object_set_new(c->doc, "supportedFeatures", json_string("0"));
}

static enum ccf_store_status get(struct ccf_change *c, json_t **was)
{
    return ccf_store_api_of(c->w->store, &c->by.who, c->id, was);
}

static enum ccf_store_status set(struct ccf_change *c)
{
    enum ccf_store_status st =
        ccf_store_api_set(c->w->store, &c->by, c->id, c->was, c->doc);

    if (st == CCF_STORE_OK)
        capif_log(c->was != NULL ? "republished" : "published", "apf",
                  c->by.who.id, "api", c->id, NULL);
    return st;
}

static const struct ccf_resource resource = { get, complete, set, NULL };

static void publish(struct ccf_change *c)
{
    char location[URI_MAX];
    enum ccf_store_status st;

    if (!ccf_change_complete(c, &resource))
        return;
    if ((st = set(c)) != CCF_STORE_OK) {
        ccf_reply_store(c->req, st);
        return;
    }
    snprintf(location, sizeof(location),
             "%s/published-apis/v1/%s/service-apis/%s", c->w->ccf->url,
             c->by.who.id, c->id);
    capif_req_set_header(c->req, "Location", location);
    capif_reply_json(c->req, 201, json_incref(c->doc));
}

void ccf_post_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    char api_id[CAPIF_ID_MAX + 1];
    struct ccf_change c = {
        .req = req, .w = w, .by = ccf_peer(w), .id = api_id
    };

    if (!own_apf(req, w)
        || (c.body = capif_req_json(req, "application/json")) == NULL)
        return;
    c.doc = c.body;
    if (ccf_make_id("api-", api_id))
        publish(&c);
    else
        capif_reply_internal(req, "no-random");
    json_decref(c.body);
}

void ccf_get_apis(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    json_t *docs = NULL;
    enum ccf_store_status st;

    if (!own_apf(req, w))
        return;
    st = ccf_store_api_list(w->store, w->ccf->ccf_id, w->peer.id, &docs);
    if (st == CCF_STORE_OK)
        capif_reply_json(req, 200, docs);
    else
        ccf_reply_store(req, st);
}

void ccf_get_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    json_t *doc = NULL;
    enum ccf_store_status st;

    if (!own_apf(req, w))
        return;
    st = ccf_store_api_of(w->store, &w->peer, capif_req_param(req, 1), &doc);
    if (st == CCF_STORE_OK)
        capif_reply_json(req, 200, doc);
    else
        ccf_reply_store(req, st);
}

void ccf_put_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;

    if (own_apf(req, w))
        ccf_change(req, w, capif_req_param(req, 1), false, &resource);
}

void ccf_patch_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;

    if (own_apf(req, w))
        ccf_change(req, w, capif_req_param(req, 1), true, &resource);
}

void ccf_delete_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    enum ccf_store_status st;

    if (!own_apf(req, w))
        return;
    st = ccf_store_api_delete(w->store, w->ccf->ccf_id, capif_req_param(req, 1),
                              w->peer.id);
    if (st != CCF_STORE_OK) {
        ccf_reply_store(req, st);
        return;
    }
    capif_log("unpublished", "apf", w->peer.id, "api", capif_req_param(req, 1),
              NULL);
    capif_reply_empty(req, 204);
}
