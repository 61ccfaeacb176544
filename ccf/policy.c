/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Access_Control_Policy_API (TS 29.222 8.6), and how an AMF sets what
 * is read there, for which the specification has no operation.
 */
#include "ccf.h"

#include "log.h"
#include "store_policy.h"
#include "times.h"

#include <stdio.h>
#include <string.h>

#define ENTRIES_MAX 4096
#define RANGES_MAX  64
#define COUNT_MAX   2147483647L

/* ---- the list ---- */

static bool time_get(const struct capif_at *at, const char *name, time_t *out)
{
    const char *text = capif_get_str(at, name, false, 64);
    struct capif_at sub = *at;

    if (text == NULL || capif_time_parse(text, out))
        return text != NULL;
    snprintf(sub.path, sizeof(sub.path), "%.100s/%s", at->path, name);
    capif_complain(&sub, "must be a date-time of RFC 3339");
    return false;
}

static void check_entry(const struct capif_at *at, const char *own,
                        json_t *seen)
{
    const char *id = capif_get_str(at, "apiInvokerId", true,
                                   CAPIF_CCF_ID_MAX + 1 + CAPIF_ID_MAX);
    struct capif_at ranges = capif_get_array(
        at, "allowedInvocationTimeRangeList", false, 0, RANGES_MAX);
    struct ccf_policy_name name;
    time_t start, stop;

    (void)capif_get_int(at, "allowedTotalInvocations", 0, COUNT_MAX, 0);
    (void)capif_get_int(at, "allowedInvocationsPerSecond", 0, COUNT_MAX, 0);
    for (size_t i = 0; i < json_array_size(ranges.v); i++) {
        struct capif_at range = capif_at_item(&ranges, i);
        bool from = time_get(&range, "startTime", &start);
        bool to = time_get(&range, "stopTime", &stop);

        if (from && to && start > stop)
            capif_complain(&range, "startTime is after stopTime");
    }
    if (id == NULL)
        return;
    if (!ccf_policy_name_read(id, own, &name))
        capif_complain(at, "apiInvokerId must be an own invoker's id, or "
                           "ccfId/apiInvokerId");
    else if (json_object_get(seen, id) != NULL)
        capif_complain(at, "apiInvokerId stands twice in the list");
    json_object_set_new(seen, id, json_true());
}

static void check_list(const struct capif_at *root, const char *own)
{
    struct capif_at list =
        capif_get_array(root, "apiInvokerPolicies", false, 0, ENTRIES_MAX);
    struct capif_at vs = capif_get_object(root, CCF_VS, false);
    json_t *seen = json_object();

    (void)capif_get_bool(&vs, "othersDenied", false);
    for (size_t i = 0; i < json_array_size(list.v); i++) {
        struct capif_at item = capif_at_item(&list, i);

        check_entry(&item, own, seen);
    }
    json_decref(seen);
}

/* What is kept of it: there is nothing else in an AccessControlPolicyList. */
static json_t *list_of(const json_t *doc)
{
    json_t *list = json_object_get(doc, "apiInvokerPolicies");
    bool denied = json_is_true(
        json_object_get(json_object_get(doc, CCF_VS), "othersDenied"));

    return json_pack("{s:o, s:{s:b}}", "apiInvokerPolicies",
                     list != NULL ? json_incref(list) : json_array(), CCF_VS,
                     "othersDenied", denied);
}

/* ---- handlers ---- */

void ccf_get_policy(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *only = capif_req_query(req, "api-invoker-id");
    const char *aef_id = ccf_api_at_aef(req, w);
    struct ccf_policy_name name;
    enum ccf_store_status st;
    json_t *list = NULL;

    if (aef_id == NULL || !ccf_features_param(req, "supported-features"))
        return;
    if (only != NULL && !ccf_policy_name_read(only, w->ccf->ccf_id, &name)) {
        ccf_reply_parameter(req, "api-invoker-id", "malformed");
        return;
    }
    st = ccf_store_policy_get(w->store, capif_req_param(req, 0), aef_id,
                              only != NULL ? &name : NULL, &list);
    if (st == CCF_STORE_OK)
        capif_reply_json(req, 200, list);
    else
        ccf_reply_store(req, st);
}

static void put_checked(struct capif_req *req, struct ccf_worker *w,
                        const char *aef_id, const json_t *doc)
{
    const char *api_id = capif_req_param(req, 0);
    struct ccf_member by = ccf_peer(w);
    json_t *list = list_of(doc);
    bool created = false;
    enum ccf_store_status st =
        ccf_store_policy_put(w->store, &by, api_id, aef_id, list, &created);

    if (st != CCF_STORE_OK) {
        json_decref(list);
        ccf_reply_store(req, st);
        return;
    }
    capif_log("policy-set", "api", api_id, "aef", aef_id, "by", by.who.id,
              NULL);
    capif_reply_json(req, created ? 201 : 200, list);
}

void ccf_put_policy(struct capif_req *req, void *app)
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
    check_list(&root, w->ccf->ccf_id);
    if (reader.n > 0)
        capif_reply_invalid(req, &reader);
    else
        put_checked(req, w, aef_id, doc);
    json_decref(doc);
}

void ccf_delete_policy(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *aef_id = ccf_api_at_aef(req, w);
    struct ccf_member by = ccf_peer(w);
    enum ccf_store_status st;

    if (aef_id == NULL)
        return;
    st =
        ccf_store_policy_delete(w->store, &by, capif_req_param(req, 0), aef_id);
    if (st != CCF_STORE_OK) {
        ccf_reply_store(req, st);
        return;
    }
    capif_log("policy-deleted", "api", capif_req_param(req, 0), "aef", aef_id,
              "by", by.who.id, NULL);
    capif_reply_empty(req, 204);
}
