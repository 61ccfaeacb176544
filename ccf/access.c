/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may see and use which API at which AEF: what access control policies
 * (TS 29.222 8.6) and topology hiding (8.10) mean for discovery, negotiation,
 * tokens and what AEFs are told.
 */
#include "ccf.h"

#include "store_policy.h"

#include <stdio.h>
#include <string.h>

enum ccf_store_status ccf_access_see(struct ccf_worker *w,
                                     const struct ccf_asker *who,
                                     const char *api_id, json_t *api)
{
    struct ccf_guard guard;
    enum ccf_store_status st =
        ccf_store_guard(w->store, api_id, who->ccf_id, who->invoker_id, &guard);

    if (st != CCF_STORE_OK)
        return st;
    st = ccf_guard_keep(&guard, api) ? CCF_STORE_OK : CCF_STORE_NOT_FOUND;
    ccf_guard_clear(&guard);
    return st;
}

enum ccf_store_status ccf_access_unhide(struct ccf_worker *w,
                                        const struct ccf_asker *who,
                                        const char *api_id, json_t *api,
                                        json_t **denied)
{
    struct ccf_guard guard;
    enum ccf_store_status st =
        ccf_store_guard(w->store, api_id, who->ccf_id, who->invoker_id, &guard);

    if (st != CCF_STORE_OK)
        return st;
    *denied = guard.denied;
    guard.denied = NULL;
    if (!ccf_guard_keep(&guard, api))
        st = CCF_STORE_NOT_FOUND;
    ccf_guard_clear(&guard);
    return st;
}

/* ---- use ---- */

enum ccf_store_status ccf_access_use(struct ccf_worker *w,
                                     const struct ccf_asker *who,
                                     const char *api_id, const char *api_name,
                                     const char *aef_id)
{
    json_t *api = NULL;
    bool denied = false, there;
    enum ccf_store_status st =
        ccf_store_api_get(w->store, w->ccf->ccf_id, api_id, &api);

    there = st == CCF_STORE_OK && ccf_api_serves(api, aef_id)
            && capif_str_is(api, "apiName", api_name);
    json_decref(api);
    if (there)
        st = ccf_store_denied_by_name(
            w->store,
            &(const struct ccf_use){ w->ccf->ccf_id, who->ccf_id,
                                     who->invoker_id, aef_id, api_name },
            &denied);
    if (st != CCF_STORE_OK)
        return st;
    return there && !denied ? CCF_STORE_OK : CCF_STORE_NOT_FOUND;
}

/* An agreement may have less in it than when the entry was negotiated. */
static bool agreed_still(const struct ccf *ccf, const struct ccf_asker *who,
                         const json_t *entry)
{
    const char *owner = ccf_vs_str(entry, "ccfId");
    const char *aef_id = ccf_vs_str(entry, "aefId");
    const char *method = capif_str(entry, "selSecurityMethod");
    const char *other = capif_same(owner, ccf->ccf_id) ? who->ccf_id : owner;
    const struct ccf_partner *partner;

    if (other == NULL || aef_id == NULL || method == NULL)
        return false;
    if (strcmp(other, ccf->ccf_id) == 0)
        return true;
    partner = ccf_partner_find(ccf, other);
    return partner != NULL && capif_list_has(partner->aefs, aef_id)
           && capif_list_has(partner->methods, method);
}

enum ccf_store_status ccf_access_entry(struct ccf_worker *w,
                                       const struct ccf_asker *who,
                                       const json_t *entry)
{
    const char *api_id = capif_str(entry, "apiId");
    const char *aef_id = ccf_vs_str(entry, "aefId");
    const char *name = ccf_vs_str(entry, "apiName");

    if (!agreed_still(w->ccf, who, entry))
        return CCF_STORE_NOT_FOUND;
    if (!capif_same(ccf_vs_str(entry, "ccfId"), w->ccf->ccf_id))
        return CCF_STORE_OK;
    if (api_id == NULL || name == NULL)
        return CCF_STORE_NOT_FOUND;
    return ccf_access_use(w, who, api_id, name, aef_id);
}

/* ---- an API at an AEF, as a resource ---- */

/* The provider domain of an AEF of ours. */
static enum ccf_store_status group_of(struct ccf_worker *w, const char *aef_id,
                                      struct ccf_member *out)
{
    struct capif_identity who = { .role = CAPIF_AEF };

    if (aef_id == NULL || strlen(aef_id) >= sizeof(who.id))
        return CCF_STORE_NOT_FOUND;
    strcpy(who.ccf_id, w->ccf->ccf_id);
    strcpy(who.id, aef_id);
    return ccf_store_member(w->store, &who, out);
}

/* false: answered.  All AEFs of an API are of the domain that published it. */
static bool amf_may(struct capif_req *req, struct ccf_worker *w,
                    const json_t *api, const char *aef_id)
{
    const json_t *first =
        json_array_get(json_object_get(api, "aefProfiles"), 0);
    struct ccf_member member;
    enum ccf_store_status st = group_of(
        w, json_string_value(json_object_get(first, "aefId")), &member);

    if (st == CCF_STORE_OK && strcmp(member.group_id, w->peer_group) == 0
        && !ccf_api_serves(api, aef_id)) {
        st = group_of(w, aef_id, &member);
        if (st == CCF_STORE_OK && strcmp(member.group_id, w->peer_group) == 0)
            st = CCF_STORE_NOT_FOUND;
    }
    if (st == CCF_STORE_OK && strcmp(member.group_id, w->peer_group) == 0)
        return true;
    if (st == CCF_STORE_OK)
        capif_reply_problem(req, 403, NULL, "not of your provider domain");
    else
        ccf_reply_store(req, st);
    return false;
}

static bool aef_may(struct capif_req *req, const struct ccf_worker *w,
                    const json_t *api)
{
    if (ccf_api_serves(api, w->peer.id))
        return true;
    capif_reply_problem(req, 403, NULL, "not an API of yours");
    return false;
}

const char *ccf_api_at_aef(struct capif_req *req, struct ccf_worker *w)
{
    const char *aef_id = capif_req_query(req, "aef-id");
    enum ccf_store_status st;
    json_t *api = NULL;
    bool may;

    if (aef_id == NULL || aef_id[0] == '\0') {
        ccf_reply_parameter(req, "aef-id", "missing");
        return NULL;
    }
    if (w->peer.role == CAPIF_AEF && strcmp(aef_id, w->peer.id) != 0) {
        capif_reply_problem(req, 403, NULL, "not your AEF id");
        return NULL;
    }
    st = ccf_store_api_get(w->store, w->ccf->ccf_id, capif_req_param(req, 0),
                           &api);
    if (st != CCF_STORE_OK) {
        ccf_reply_store(req, st);
        return NULL;
    }
    may = w->peer.role == CAPIF_AEF ? aef_may(req, w, api)
                                    : amf_may(req, w, api, aef_id);
    json_decref(api);
    return may ? aef_id : NULL;
}

void ccf_reply_parameter(struct capif_req *req, const char *name,
                         const char *why)
{
    struct capif_reader reader = { 0 };
    struct capif_at at = { NULL, "", &reader };

    snprintf(at.path, sizeof(at.path), "%s", name);
    capif_complain(&at, why);
    capif_reply_invalid(req, &reader);
}

bool ccf_features_param(struct capif_req *req, const char *name)
{
    const char *text = capif_req_query(req, name);

    if (text == NULL
        || (strlen(text) <= 64
            && strspn(text, "0123456789abcdefABCDEF") == strlen(text)))
        return true;
    ccf_reply_parameter(req, name, "must be up to 64 hexadecimal digits");
    return false;
}
