/* SPDX-License-Identifier: Apache-2.0 */
#include "store_tell.h"

#include "event.h"
#include "notice.h"

#include <stdint.h>
#include <stdio.h>

#define URL_MAX  1100
#define LANE_MAX (URL_MAX + 16)

bool ccf_is_own(const struct ccf_store *s, const char *ccf_id)
{
    return s->domain != NULL && capif_same(ccf_id, s->domain->ccf_id);
}

static bool any_of_domain(const json_t *entries, const char *ccf_id)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(entries, i, entry)
    {
        if (capif_same(ccf_vs_str(entry, "ccfId"), ccf_id))
            return true;
    }
    return false;
}

static const struct ccf_neighbour *neighbour(const struct ccf_store *s,
                                             const char *ccf_id)
{
    for (size_t i = 0; s->domain != NULL && i < s->domain->n; i++)
        if (capif_same(s->domain->list[i].ccf_id, ccf_id))
            return &s->domain->list[i];
    return NULL;
}

/* A SecurityNotification about a group of entries of one AEF; new. */
static json_t *notification(const struct ccf_taking *w, const json_t *entry,
                            const json_t *ids)
{
    return json_pack("{s:s, s:O, s:s, s:s*}", "apiInvokerId", w->r->invoker_id,
                     "apiIds", ids, "cause",
                     w->r->cause != NULL ? w->r->cause : "UNEXPECTED_REASON",
                     "aefId", ccf_vs_str(entry, "aefId"));
}

/* The API of an entry as it is now: what those are told by who know it. */
struct api {
    char group_id[CAPIF_ID_MAX + 1]; /* the provider domain; "": a partner's */
    json_t *doc;                     /* NULL: it is gone */
};

static void row_api(const char *const *columns, void *arg)
{
    struct api *api = arg;

    json_decref(api->doc); /* it may be another attempt */
    api->doc = json_loads(columns[0], JSON_REJECT_DUPLICATES, NULL);
    snprintf(api->group_id, sizeof(api->group_id), "%s",
             columns[1] != NULL ? columns[1] : "");
}

/* Where its AEF takes revocations: now, or, if it is gone, when negotiated. */
static const char *control_url(const struct api *api, const json_t *entry)
{
    const json_t *profile;
    size_t i;

    json_array_foreach(json_object_get(api->doc, "aefProfiles"), i, profile)
    {
        if (capif_same(capif_str(profile, "aefId"), ccf_vs_str(entry, "aefId")))
            return ccf_vs_str(profile, "controlUrl");
    }
    return ccf_vs_str(entry, "controlUrl");
}

/* Revocations don't wait for other things that those there are told. */
static void lane_of(const char *where, char out[LANE_MAX])
{
    snprintf(out, LANE_MAX, "revoke:%s", where);
}

/* An AEF of ours (29.222 6.2.2.3), which knows APIs by name. */
static enum capif_db_status tell_aef(const struct ccf_taking *w,
                                     const struct api *api, const json_t *entry,
                                     json_t *info, const json_t *names)
{
    const char *control = control_url(api, entry);
    char url[URL_MAX], lane[LANE_MAX];
    json_t *body;
    struct ccf_notice n = { .lane = lane, .url = url, .trust = CCF_TRUST_OWN };
    enum capif_db_status st;

    if (control == NULL)
        return CAPIF_DB_OK; /* it asks anew when what it knows gets old */
    snprintf(url, sizeof(url), "%s/aef-security/v1/revoke-authorization",
             control);
    lane_of(url, lane);
    body = json_pack("{s:o, s:s}", "revokeInfo", json_deep_copy(info),
                     "supportedFeatures", "0");
    json_object_set_new(json_object_get(body, "revokeInfo"), CCF_VS,
                        json_pack("{s:s, s:O, s:I}", "srcCcfId", w->r->ccf_id,
                                  "apiNames", names, "at", (json_int_t)w->at));
    n.body = body;
    st = ccf_notice_add(w->s, &n);
    json_decref(body);
    return st;
}

static void partner_url(const struct ccf_neighbour *p, const char *invoker_id,
                        char out[URL_MAX])
{
    snprintf(out, URL_MAX, "%s/capif-security/v1/trustedInvokers/%s/delete",
             p->url, invoker_id);
}

static enum capif_db_status tell_partner(const struct ccf_taking *w,
                                         const char *ccf_id, const char *url,
                                         const json_t *body)
{
    char lane[LANE_MAX];
    const struct ccf_notice n = {
        .lane = lane, .url = url, .trust = ccf_id, .body = body
    };

    lane_of(ccf_id, lane);
    return ccf_notice_add(w->s, &n);
}

/* CCF-A tells CCF-B, whose AEF it is, unless B was asked for all that stays. */
static enum capif_db_status tell_owner(const struct ccf_taking *w,
                                       const char *ccf_id, const json_t *info)
{
    const struct ccf_neighbour *p = neighbour(w->s, ccf_id);
    char url[URL_MAX];

    if (p == NULL || capif_same(ccf_id, w->r->from)
        || any_of_domain(w->anew, ccf_id))
        return CAPIF_DB_OK;
    partner_url(p, w->r->invoker_id, url);
    return tell_partner(w, ccf_id, url, info);
}

enum capif_db_status ccf_tell_partner(const struct ccf_taking *w,
                                      const json_t *entry)
{
    const char *ccf_id = ccf_vs_str(entry, "ccfId");
    const struct ccf_neighbour *p = neighbour(w->s, ccf_id);
    json_t *ids = json_pack("[O]", json_object_get(entry, "apiId"));
    json_t *info = notification(w, entry, ids);
    enum capif_db_status st = info != NULL ? CAPIF_DB_OK : CAPIF_DB_ERROR;
    char url[URL_MAX];

    if (st == CAPIF_DB_OK && p != NULL) {
        partner_url(p, w->r->invoker_id, url);
        st = tell_partner(w, ccf_id, url, info);
    }
    json_decref(info);
    json_decref(ids);
    return st;
}

/* The invoker itself, or CCF-A, whose invoker it is and which tells it. */
static enum capif_db_status tell_invoker(const struct ccf_taking *w,
                                         const json_t *info)
{
    const struct ccf_notice n = {
        .url = capif_str(w->doc, "notificationDestination"),
        .trust = CCF_TRUST_PUBLIC,
        .body = info,
    };

    if (!w->r->tell_invoker || n.url == NULL || w->s->domain == NULL)
        return CAPIF_DB_OK;
    if (ccf_is_own(w->s, w->r->ccf_id))
        return ccf_notice_add(w->s, &n);
    if (neighbour(w->s, w->r->ccf_id) == NULL
        || capif_same(w->r->ccf_id, w->r->from))
        return CAPIF_DB_OK;
    return tell_partner(w, w->r->ccf_id, n.url, info);
}

static enum capif_db_status tell_subscribers(const struct ccf_taking *w,
                                             const struct api *api,
                                             const json_t *entry,
                                             const json_t *ids)
{
    const char *ccf_id = w->r->ccf_id;
    char invoker[CCF_INVOKER_NAME];
    const struct ccf_event e = {
        .name = "API_INVOKER_AUTHORIZATION_REVOKED",
        .api_id = capif_str(entry, "apiId"),
        .invoker_id = ccf_invoker_name(
            w->s->domain != NULL ? w->s->domain->ccf_id : ccf_id, ccf_id,
            w->r->invoker_id, invoker),
        .aef_id = ccf_vs_str(entry, "aefId"),
        .group_id = api->group_id,
        .detail =
            json_pack("{s:O, s:[s]}", "apiIds", ids, "apiInvokerIds", invoker),
    };
    enum capif_db_status st =
        e.detail != NULL ? ccf_event_add(w->s, &e) : CAPIF_DB_ERROR;

    json_decref((json_t *)(uintptr_t)e.detail);
    return st;
}

enum capif_db_status ccf_tell_taken(const struct ccf_taking *w,
                                    const json_t *entry, const json_t *ids,
                                    const json_t *names)
{
    const char *ccf_id = ccf_vs_str(entry, "ccfId");
    json_t *info = notification(w, entry, ids);
    struct api api = { .doc = NULL };
    enum capif_db_status st = CAPIF_DB_ERROR;

    if (info != NULL)
        st = capif_db_run(w->s->db,
                          "SELECT doc, group_id FROM api WHERE ccf_id = $1"
                          " AND api_id = $2",
                          ARGS(ccf_id, capif_str(entry, "apiId")), row_api,
                          &api, NULL);
    if (st == CAPIF_DB_OK)
        st = ccf_is_own(w->s, ccf_id) ? tell_aef(w, &api, entry, info, names)
                                      : tell_owner(w, ccf_id, info);
    if (st == CAPIF_DB_OK)
        st = tell_invoker(w, info);
    if (st == CAPIF_DB_OK)
        st = tell_subscribers(w, &api, entry, ids);
    json_decref(api.doc);
    json_decref(info);
    return st;
}

enum ccf_store_status ccf_store_revoke_waits(struct ccf_store *s,
                                             const char *partner,
                                             const char *invoker_id, bool *is)
{
    const struct ccf_neighbour *p = neighbour(s, partner);
    char lane[LANE_MAX], url[URL_MAX];

    *is = false;
    if (p == NULL)
        return CCF_STORE_OK;
    lane_of(partner, lane);
    partner_url(p, invoker_id, url);
    return ccf_status_of(
        ccf_look(s, "SELECT 1 FROM notice WHERE lane = $1 AND url = $2 LIMIT 1",
                 ARGS(lane, url), ccf_row_there, is));
}
