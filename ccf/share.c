/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"

#include "conf.h"
#include "notice.h"
#include "store_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX  1100
#define LANE_MAX (CAPIF_CCF_ID_MAX + 16)

/* ---- what it sees ---- */

json_t *ccf_api_only_aefs(const json_t *api, const char *const *aefs)
{
    json_t *copy = json_deep_copy(api);
    json_t *profiles = json_object_get(copy, "aefProfiles");

    for (size_t i = json_array_size(profiles); i-- > 0;) {
        const char *aef_id = capif_str(json_array_get(profiles, i), "aefId");

        if (aef_id == NULL || !capif_list_has(aefs, aef_id))
            json_array_remove(profiles, i);
    }
    if (!ccf_api_tidy(copy)) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

/* Absent means not shareable (TS 23.222 8.25.2.1). */
json_t *ccf_api_for_partner(const json_t *api, const char *ccf_id,
                            const char *const *aefs)
{
    const json_t *share = json_object_get(api, "shareableInfo");
    const json_t *doms = json_object_get(share, "capifProvDoms");
    json_t *seen;

    if (!json_is_true(json_object_get(share, "isShareable"))
        || (doms != NULL && !capif_array_has(doms, ccf_id))
        || (seen = ccf_api_only_aefs(api, aefs)) == NULL)
        return NULL;
    json_object_set_new(
        seen, "shareableInfo",
        json_pack("{s:b, s:[s]}", "isShareable", 1, "capifProvDoms", ccf_id));
    return seen;
}

static json_t *vendor_of(json_t *api)
{
    json_t *vs = json_object_get(api, CCF_VS);

    if (!json_is_object(vs)) {
        vs = json_object();
        json_object_set_new(api, CCF_VS, vs);
    }
    return vs;
}

void ccf_api_tell_provider(json_t *api, const char *group_id, const char *info)
{
    json_t *vs = vendor_of(api);

    json_object_set_new(vs, "apiProvDomId", json_string(group_id));
    if (info != NULL)
        json_object_set_new(vs, "apiProvDomInfo", json_string(info));
    else
        json_object_del(vs, "apiProvDomInfo");
}

void ccf_api_untell_provider(json_t *api)
{
    json_t *vs = json_object_get(api, CCF_VS);

    json_object_del(vs, "apiProvDomId");
    json_object_del(vs, "apiProvDomInfo");
    if (json_is_object(vs) && json_object_size(vs) == 0)
        json_object_del(api, CCF_VS);
}

/* ---- what it is told ---- */

/* An API as it is now; doc NULL: it is gone. */
struct api {
    const char *id;
    json_t *doc, *group;
    char group_id[CAPIF_ID_MAX + 1];
};

static void row_api(const char *const *columns, void *arg)
{
    struct api *a = arg;

    a->doc = json_loads(columns[0], JSON_REJECT_DUPLICATES, NULL);
    snprintf(a->group_id, sizeof(a->group_id), "%s",
             columns[1] != NULL ? columns[1] : "");
    if (columns[2] != NULL)
        a->group = json_loads(columns[2], JSON_REJECT_DUPLICATES, NULL);
}

/* What a discovery by the partner would show; *out NULL: nothing. */
static enum capif_db_status seen_by(struct ccf_store *s, const struct api *a,
                                    const struct ccf_neighbour *to,
                                    json_t **out)
{
    struct ccf_guard guard;
    enum capif_db_status st;

    *out = a->doc != NULL ? ccf_api_for_partner(a->doc, to->ccf_id, to->aefs)
                          : NULL;
    if (*out == NULL)
        return CAPIF_DB_OK;
    if ((st = ccf_guard_partner(s, a->id, to->ccf_id, &guard)) == CAPIF_DB_OK) {
        if (ccf_api_keep_active(*out) && ccf_guard_keep(&guard, *out)) {
            ccf_api_tell_provider(*out, a->group_id,
                                  capif_str(a->group, "apiProvDomInfo"));
        } else {
            json_decref(*out);
            *out = NULL;
        }
        ccf_guard_clear(&guard);
    }
    return st;
}

/* As TS 29.222 has it, POST gives no apiId: ours is for our partner alone. */
static json_t *publication(const struct ccf_store *s, const struct api *a,
                           const json_t *seen)
{
    json_t *body = json_deep_copy(seen);

    json_object_del(body, "apiId");
    json_object_set_new(vendor_of(body), "apiId", json_string(a->id));
    json_object_set_new(body, "pubApiPath",
                        json_pack("{s:[s]}", "ccfIds", s->domain->ccf_id));
    return body;
}

static enum capif_db_status send(struct ccf_store *s, const struct api *a,
                                 const struct ccf_neighbour *to,
                                 const json_t *seen)
{
    char lane[LANE_MAX], url[URL_MAX];
    json_t *body = seen != NULL ? publication(s, a, seen) : NULL;
    const struct ccf_notice n = {
        .lane = lane,
        .method = seen != NULL ? "POST" : "DELETE",
        .url = url,
        .trust = to->ccf_id,
        .body = body,
    };
    enum capif_db_status st;

    snprintf(lane, sizeof(lane), "publish:%s", to->ccf_id);
    snprintf(url, sizeof(url), "%s/published-apis/v1/%s/service-apis%s%s",
             to->url, s->domain->ccf_id, seen != NULL ? "" : "/",
             seen != NULL ? "" : a->id);
    st = ccf_notice_add(s, &n);
    json_decref(body);
    return st;
}

static void row_text(const char *const *columns, void *arg)
{
    *(char **)arg = strdup(columns[0]);
}

/* What it was told last, against what it would see now (NULL: nothing). */
static enum capif_db_status tell(struct ccf_store *s, const struct api *a,
                                 const struct ccf_neighbour *to,
                                 const json_t *seen)
{
    char *was = NULL;
    char *now = seen != NULL ? json_dumps(seen, JSON_COMPACT) : NULL;
    enum capif_db_status st = CAPIF_DB_ERROR;

    if (now != NULL || seen == NULL)
        st = capif_db_run(s->db,
                          "SELECT doc FROM shared WHERE ccf_id = $1"
                          " AND api_id = $2",
                          ARGS(to->ccf_id, a->id), row_text, &was, NULL);
    if (st != CAPIF_DB_OK || (was == NULL && now == NULL)
        || (was != NULL && now != NULL && strcmp(was, now) == 0)) {
        free(was);
        free(now);
        return st;
    }
    if (now != NULL)
        st = ccf_run(s,
                     "INSERT INTO shared VALUES ($1, $2, $3)"
                     " ON CONFLICT (ccf_id, api_id) DO UPDATE"
                     " SET doc = excluded.doc",
                     ARGS(to->ccf_id, a->id, now));
    else
        st = ccf_run(s, "DELETE FROM shared WHERE ccf_id = $1 AND api_id = $2",
                     ARGS(to->ccf_id, a->id));
    if (st == CAPIF_DB_OK)
        st = send(s, a, to, seen);
    free(was);
    free(now);
    return st;
}

/* Of an own API, all that may change what is seen of it. */
static bool concerns(const struct ccf_event *e)
{
    static const char *const names[] = {
        "SERVICE_API_AVAILABLE",
        "SERVICE_API_UPDATE",
        "SERVICE_API_UNAVAILABLE",
        "ACCESS_CONTROL_POLICY_UPDATE",
        "ACCESS_CONTROL_POLICY_UNAVAILABLE",
        "API_TOPOLOGY_HIDING_CREATED",
        "API_TOPOLOGY_HIDING_REVOKED",
        NULL,
    };

    return e->group_id != NULL && e->api_id != NULL
           && capif_list_has(names, e->name);
}

enum capif_db_status ccf_share(struct ccf_store *s, const struct ccf_event *e)
{
    const struct ccf_domain *d = s->domain;
    struct api a = { .id = e->api_id };
    enum capif_db_status st;

    if (d == NULL || !concerns(e))
        return CAPIF_DB_OK;
    st = capif_db_run(s->db,
                      "SELECT a.doc, a.group_id, g.doc FROM api a"
                      " LEFT JOIN grp g ON g.id = a.group_id"
                      " WHERE a.ccf_id = $1 AND a.api_id = $2",
                      ARGS(d->ccf_id, a.id), row_api, &a, NULL);
    for (size_t i = 0; st == CAPIF_DB_OK && i < d->n; i++) {
        json_t *seen = NULL;

        if (!d->list[i].publish)
            continue;
        st = seen_by(s, &a, &d->list[i], &seen);
        if (st == CAPIF_DB_OK)
            st = tell(s, &a, &d->list[i], seen);
        json_decref(seen);
    }
    json_decref(a.doc);
    json_decref(a.group);
    return st;
}
