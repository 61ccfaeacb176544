/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Publish_Service_API (TS 29.222 8.2): by APFs, and by partners' CCFs
 * under their ccfIds, of what they share with this domain (TS 23.222 8.25.2).
 */
#include "ccf.h"

#include "log.h"
#include "share.h"

#include <stdio.h>
#include <string.h>

#define URI_MAX 1024

/* Is the path's APF, or partner, the peer?  Answers if not. */
static bool own_apf(struct capif_req *req, const struct ccf_worker *w)
{
    if (strcmp(capif_req_param(req, 0), w->peer.id) == 0)
        return true;
    capif_reply_problem(req, 403, NULL, "not your id");
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

static enum ccf_store_status delete_own(struct ccf_worker *w, const char *id)
{
    enum ccf_store_status st =
        ccf_store_api_delete(w->store, w->ccf->ccf_id, id, w->peer.id);

    if (st == CCF_STORE_OK)
        capif_log("unpublished", "apf", w->peer.id, "api", id, NULL);
    return st;
}

/* ---- by a partner ---- */

/* NULL, and the AEFs of the agreement stay; or why it is not to be taken. */
static const char *not_shared(const struct ccf_change *c,
                              const struct ccf_partner *partner)
{
    json_t *seen;
    const json_t *share = json_object_get(c->doc, "shareableInfo");
    const json_t *doms = json_object_get(share, "capifProvDoms");
    const json_t *path = json_object_get(c->doc, "pubApiPath");
    const char *own = c->w->ccf->ccf_id;

    if (!json_is_true(json_object_get(share, "isShareable"))
        || json_array_size(doms) != 1 || !capif_array_has(doms, own))
        return "not shared with this domain alone";
    if (capif_array_has(json_object_get(path, "ccfIds"), own))
        return "it has been here already";
    seen = ccf_api_only_aefs(c->doc, partner->aefs);
    if (seen == NULL)
        return "none of its AEFs is in the agreement";
    json_object_update(c->doc, seen); /* nothing of the former stays valid */
    json_decref(seen);
    return NULL;
}

/* As a discovery would give it (known.c). */
static void complete_shared(struct ccf_change *c)
{
    struct capif_at root = capif_at_root(c->doc, &c->reader);
    const struct ccf_partner *partner =
        ccf_partner_find(c->w->ccf, c->by.who.ccf_id);
    struct capif_at vs = capif_get_object(&root, CCF_VS, false);
    const char *id = capif_get_str(&vs, "apiId", false, CAPIF_ID_MAX), *why;
    json_t *vendor;

    ccf_change_keeps(c, "apiId", c->id);
    ccf_change_keeps(c, "ccfId", c->by.who.ccf_id);
    if (c->patch)
        ccf_change_keeps(c, "apiName", capif_str(c->was, "apiName"));
    ccf_api_check(&root);
    if (id != NULL && strcmp(id, c->id) != 0)
        capif_complain(&vs, "apiId is malformed or another API's");
    if (c->reader.n > 0)
        return;
    if (partner == NULL || (why = not_shared(c, partner)) != NULL) {
        c->no.status = 403;
        snprintf(c->no.why, sizeof(c->no.why), "%s",
                 partner != NULL ? why : "no partner");
        return;
    }
    json_object_del(c->doc, "pubApiPath");
    vendor = json_object_get(c->doc, CCF_VS);
    json_object_del(vendor, "apiId");
    if (vendor != NULL && json_object_size(vendor) == 0)
        json_object_del(c->doc, CCF_VS);
    json_object_set_new(c->doc, "apiId", json_string(c->id));
    json_object_set_new(c->doc, "ccfId", json_string(c->by.who.ccf_id));
}

static enum ccf_store_status get_shared(struct ccf_change *c, json_t **was)
{
    return ccf_store_api_get(c->w->store, c->by.who.ccf_id, c->id, was);
}

static enum ccf_store_status set_shared(struct ccf_change *c)
{
    json_t *docs = json_pack("[O]", c->doc);
    enum ccf_store_status st =
        ccf_store_api_merge(c->w->store, c->by.who.ccf_id, docs, NULL);

    json_decref(docs);
    if (st == CCF_STORE_OK)
        capif_log("shared", "partner", c->by.who.ccf_id, "api", c->id, NULL);
    return st;
}

static enum ccf_store_status delete_shared(struct ccf_worker *w, const char *id)
{
    const char *ccf_id = w->peer.ccf_id;
    json_t *was = NULL, *gone = json_pack("[s]", id);
    enum ccf_store_status st = ccf_store_api_get(w->store, ccf_id, id, &was);

    if (st == CCF_STORE_OK)
        st = ccf_store_api_merge(w->store, ccf_id, NULL, gone);
    if (st == CCF_STORE_OK)
        capif_log("unshared", "partner", ccf_id, "api", id, NULL);
    json_decref(was);
    json_decref(gone);
    return st;
}

/* ---- requests ---- */

static const struct ccf_resource *resource_of(const struct ccf_worker *w)
{
    static const struct ccf_resource own = { get, complete, set, NULL };
    static const struct ccf_resource shared = { get_shared, complete_shared,
                                                set_shared, NULL };

    return w->peer.role == CAPIF_CCF ? &shared : &own;
}

static void publish(struct ccf_change *c)
{
    const struct ccf_resource *resource = resource_of(c->w);
    char location[URI_MAX];
    enum ccf_store_status st;

    if (!ccf_change_complete(c, resource))
        return;
    if ((st = resource->set(c)) != CCF_STORE_OK) {
        ccf_reply_store(c->req, st);
        return;
    }
    snprintf(location, sizeof(location),
             "%s/published-apis/v1/%s/service-apis/%s", c->w->ccf->url,
             c->by.who.id, c->id);
    capif_req_set_header(c->req, "Location", location);
    capif_reply_json(c->req, 201, json_incref(c->doc));
}

/* A new one; or a partner's own, so that it may say the same again. */
static bool choose_id(const struct ccf_change *c, char out[CAPIF_ID_MAX + 1])
{
    const char *theirs =
        c->w->peer.role == CAPIF_CCF ? ccf_vs_str(c->body, "apiId") : NULL;

    if (theirs == NULL || !capif_id_ok(theirs))
        return ccf_make_id("api-", out);
    strcpy(out, theirs);
    return true;
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
    if (choose_id(&c, api_id))
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
    st = ccf_store_api_list(w->store, w->peer.ccf_id,
                            w->peer.role == CAPIF_CCF ? NULL : w->peer.id,
                            &docs);
    if (st == CCF_STORE_OK)
        capif_reply_json(req, 200, docs);
    else
        ccf_reply_store(req, st);
}

void ccf_get_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    struct ccf_change c = { .w = w,
                            .by = ccf_peer(w),
                            .id = capif_req_param(req, 1) };
    json_t *doc = NULL;
    enum ccf_store_status st;

    if (!own_apf(req, w))
        return;
    st = resource_of(w)->get(&c, &doc);
    if (st == CCF_STORE_OK)
        capif_reply_json(req, 200, doc);
    else
        ccf_reply_store(req, st);
}

void ccf_put_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;

    if (own_apf(req, w))
        ccf_change(req, w, capif_req_param(req, 1), false, resource_of(w));
}

void ccf_patch_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;

    if (own_apf(req, w))
        ccf_change(req, w, capif_req_param(req, 1), true, resource_of(w));
}

void ccf_delete_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *id = capif_req_param(req, 1);
    enum ccf_store_status st;

    if (!own_apf(req, w))
        return;
    st = w->peer.role == CAPIF_CCF ? delete_shared(w, id) : delete_own(w, id);
    if (st == CCF_STORE_OK)
        capif_reply_empty(req, 204);
    else
        ccf_reply_store(req, st);
}
