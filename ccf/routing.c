/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Routing_Info_API (TS 29.222 8.10; topology hiding of TS 23.222 8.27),
 * and how an AMF sets what is read there, for which the specification has no
 * operation.
 */
#include "ccf.h"

#include "log.h"
#include "store_policy.h"
#include "traits.h"

#include <arpa/inet.h>
#include <string.h>

#define RULES_MAX 64

static void check_info(const struct capif_at *root)
{
    struct capif_at rules =
        capif_get_array(root, "routingRules", true, 1, RULES_MAX);

    for (size_t i = 0; i < json_array_size(rules.v); i++) {
        struct capif_at rule = capif_at_item(&rules, i);
        struct capif_at profile = capif_get_object(&rule, "aefProfile", true);

        if (profile.v != NULL)
            ccf_profile_check(&profile);
        ccf_ranges_check(&rule, "ipv4AddrRanges", AF_INET, false);
        ccf_ranges_check(&rule, "ipv6AddrRanges", AF_INET6, false);
    }
}

/* The AEFs that rules lead to must be of the domain, as those of its APIs. */
static bool own_aefs(struct capif_req *req, struct ccf_worker *w,
                     const json_t *info)
{
    struct capif_identity who = { .role = CAPIF_AEF };
    const json_t *rule;
    size_t i;

    strcpy(who.ccf_id, w->ccf->ccf_id);
    json_array_foreach(json_object_get(info, "routingRules"), i, rule)
    {
        const char *id = json_string_value(
            json_object_get(json_object_get(rule, "aefProfile"), "aefId"));
        struct ccf_member member;
        enum ccf_store_status st = CCF_STORE_NOT_FOUND;

        if (strlen(id) < sizeof(who.id)) {
            strcpy(who.id, id);
            st = ccf_store_member(w->store, &who, &member);
        }
        if (st == CCF_STORE_OK && strcmp(member.group_id, w->peer_group) == 0)
            continue;
        if (st == CCF_STORE_ERROR)
            ccf_reply_store(req, st);
        else
            capif_reply_problem(req, 403, NULL,
                                "an AEF is not of your provider domain");
        return false;
    }
    return true;
}

void ccf_get_routing(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *aef_id = ccf_api_at_aef(req, w);
    enum ccf_store_status st;
    json_t *info = NULL;

    if (aef_id == NULL || !ccf_features_param(req, "supp-feat"))
        return;
    st =
        ccf_store_routing_get(w->store, capif_req_param(req, 0), aef_id, &info);
    if (st == CCF_STORE_OK)
        capif_reply_json(req, 200, info);
    else
        ccf_reply_store(req, st);
}

static void put_checked(struct capif_req *req, struct ccf_worker *w,
                        const char *aef_id, json_t *doc)
{
    const char *api_id = capif_req_param(req, 0);
    struct ccf_member by = ccf_peer(w);
    json_t *info = json_pack("{s:O}", "routingRules",
                             json_object_get(doc, "routingRules"));
    bool created = false;
    enum ccf_store_status st =
        ccf_store_routing_put(w->store, &by, api_id, aef_id, info, &created);

    if (st != CCF_STORE_OK) {
        json_decref(info);
        ccf_reply_store(req, st);
        return;
    }
    capif_log("topology-hidden", "api", api_id, "aef", aef_id, "by", by.who.id,
              NULL);
    capif_reply_json(req, created ? 201 : 200, info);
}

void ccf_put_routing(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *aef_id = ccf_api_at_aef(req, w);
    struct capif_reader reader = { 0 };
    struct capif_at root;
    json_t *doc;

    if (aef_id == NULL
        || (doc = capif_req_json(req, "application/json")) == NULL)
        return;
    root = capif_at_root(doc, &reader);
    check_info(&root);
    if (reader.n > 0)
        capif_reply_invalid(req, &reader);
    else if (own_aefs(req, w, doc))
        put_checked(req, w, aef_id, doc);
    json_decref(doc);
}

void ccf_delete_routing(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *aef_id = ccf_api_at_aef(req, w);
    struct ccf_member by = ccf_peer(w);
    enum ccf_store_status st;

    if (aef_id == NULL)
        return;
    st = ccf_store_routing_delete(w->store, &by, capif_req_param(req, 0),
                                  aef_id);
    if (st != CCF_STORE_OK) {
        ccf_reply_store(req, st);
        return;
    }
    capif_log("topology-unhidden", "api", capif_req_param(req, 0), "aef",
              aef_id, "by", by.who.id, NULL);
    capif_reply_empty(req, 204);
}
