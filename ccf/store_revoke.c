/* SPDX-License-Identifier: Apache-2.0 */
#include "store_revoke.h"

#include "event.h"
#include "notice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKEN_SECONDS 86400 /* the longest life of an access token */
#define URL_MAX       1100
#define LANE_MAX      (CAPIF_CCF_ID_MAX + 16)
#define VS            "vendorSpecific-capif-hsm"

/* A revocation under way. */
struct work {
    struct ccf_store *s;
    const struct ccf_revocation *r;
    json_t *doc;  /* the context as it was, or NULL */
    json_t *gone; /* entries of it */
    json_t *kept;
    const json_t *anew; /* entries that partners have just been asked for */
    time_t at;          /* no token of before is good any more */
};

static const char *vs(const json_t *entry, const char *name)
{
    return capif_str(json_object_get(entry, VS), name);
}

static bool any_of_domain(const json_t *entries, const char *ccf_id)
{
    const json_t *entry;
    size_t i;

    json_array_foreach(entries, i, entry)
    {
        if (capif_same(vs(entry, "ccfId"), ccf_id))
            return true;
    }
    return false;
}

static bool is_own(const struct ccf_store *s, const char *ccf_id)
{
    return s->domain != NULL && capif_same(ccf_id, s->domain->ccf_id);
}

static const struct ccf_neighbour *neighbour(const struct ccf_store *s,
                                             const char *ccf_id)
{
    for (size_t i = 0; s->domain != NULL && i < s->domain->n; i++)
        if (capif_same(s->domain->list[i].ccf_id, ccf_id))
            return &s->domain->list[i];
    return NULL;
}

/* ---- who is told ---- */

/* A SecurityNotification about a group of entries of one AEF; new. */
static json_t *notification(const struct work *w, const json_t *entry,
                            const json_t *ids)
{
    return json_pack("{s:s, s:O, s:s, s:s*}", "apiInvokerId", w->r->invoker_id,
                     "apiIds", ids, "cause",
                     w->r->cause != NULL ? w->r->cause : "UNEXPECTED_REASON",
                     "aefId", vs(entry, "aefId"));
}

/* An AEF of ours (29.222 6.2.2.3), which knows APIs by name. */
static enum ccf_db_status tell_aef(const struct work *w, const json_t *entry,
                                   json_t *info, const json_t *names)
{
    const char *control = vs(entry, "controlUrl");
    char url[URL_MAX];
    json_t *body;
    struct ccf_notice n = { .url = url, .trust = CCF_TRUST_OWN };
    enum ccf_db_status st;

    if (control == NULL)
        return CCF_DB_OK; /* it asks anew when what it knows gets old */
    snprintf(url, sizeof(url), "%s/aef-security/v1/revoke-authorization",
             control);
    body = json_pack("{s:o, s:s}", "revokeInfo", json_deep_copy(info),
                     "supportedFeatures", "0");
    json_object_set_new(json_object_get(body, "revokeInfo"), VS,
                        json_pack("{s:s, s:O, s:I}", "srcCcfId", w->r->ccf_id,
                                  "apiNames", names, "at", (json_int_t)w->at));
    n.body = body;
    st = ccf_notice_add(w->s, &n);
    json_decref(body);
    return st;
}

/* Revocations don't wait for other things that a partner is told. */
static void lane_of(const char *ccf_id, char out[LANE_MAX])
{
    snprintf(out, LANE_MAX, "revoke:%s", ccf_id);
}

static void partner_url(const struct ccf_neighbour *p, const char *invoker_id,
                        char out[URL_MAX])
{
    snprintf(out, URL_MAX, "%s/capif-security/v1/trustedInvokers/%s/delete",
             p->url, invoker_id);
}

static enum ccf_db_status tell_partner(const struct work *w, const char *ccf_id,
                                       const char *url, const json_t *body)
{
    char lane[LANE_MAX];
    const struct ccf_notice n = {
        .lane = lane, .url = url, .trust = ccf_id, .body = body
    };

    lane_of(ccf_id, lane);
    return ccf_notice_add(w->s, &n);
}

/* CCF-A tells CCF-B, whose AEF it is, unless B was asked for all that stays. */
static enum ccf_db_status tell_owner(const struct work *w, const char *ccf_id,
                                     const json_t *info)
{
    const struct ccf_neighbour *p = neighbour(w->s, ccf_id);
    char url[URL_MAX];

    if (p == NULL || capif_same(ccf_id, w->r->from)
        || any_of_domain(w->anew, ccf_id))
        return CCF_DB_OK;
    partner_url(p, w->r->invoker_id, url);
    return tell_partner(w, ccf_id, url, info);
}

/* The invoker itself, or CCF-A, whose invoker it is and which tells it. */
static enum ccf_db_status tell_invoker(const struct work *w, const json_t *info)
{
    const struct ccf_notice n = {
        .url = capif_str(w->doc, "notificationDestination"),
        .trust = CCF_TRUST_PUBLIC,
        .body = info,
    };

    if (!w->r->tell_invoker || n.url == NULL || w->s->domain == NULL)
        return CCF_DB_OK;
    if (is_own(w->s, w->r->ccf_id))
        return ccf_notice_add(w->s, &n);
    if (neighbour(w->s, w->r->ccf_id) == NULL
        || capif_same(w->r->ccf_id, w->r->from))
        return CCF_DB_OK;
    return tell_partner(w, w->r->ccf_id, n.url, info);
}

/* The provider domain of an API, for those who have subscribed. */
static void row_group(const char *const *columns, void *arg)
{
    if (columns[0] != NULL)
        snprintf(arg, CAPIF_ID_MAX + 1, "%s", columns[0]);
}

static enum ccf_db_status tell_subscribers(const struct work *w,
                                           const json_t *entry,
                                           const json_t *ids)
{
    char group[CAPIF_ID_MAX + 1] = "";
    const char *api_id = capif_str(entry, "apiId");
    json_t *detail = json_pack("{s:O, s:[s]}", "apiIds", ids, "apiInvokerIds",
                               w->r->invoker_id);
    const struct ccf_event e = {
        .name = "API_INVOKER_AUTHORIZATION_REVOKED",
        .api_id = api_id,
        .invoker_id = w->r->invoker_id,
        .aef_id = vs(entry, "aefId"),
        .group_id = group,
        .detail = detail,
    };
    enum ccf_db_status st = ccf_db_run(
        w->s->db, "SELECT group_id FROM api WHERE ccf_id = $1 AND api_id = $2",
        ARGS(vs(entry, "ccfId"), api_id), row_group, group, NULL);

    if (st == CCF_DB_OK)
        st = ccf_event_add(w->s, &e);
    json_decref(detail);
    return st;
}

/* All that have lost something at one AEF. */
static enum ccf_db_status tell(const struct work *w, const json_t *entry,
                               const json_t *ids, const json_t *names)
{
    const char *ccf_id = vs(entry, "ccfId");
    json_t *info = notification(w, entry, ids);
    enum ccf_db_status st;

    if (info == NULL)
        return CCF_DB_ERROR;
    st = is_own(w->s, ccf_id) ? tell_aef(w, entry, info, names)
                              : tell_owner(w, ccf_id, info);
    if (st == CCF_DB_OK)
        st = tell_invoker(w, info);
    if (st == CCF_DB_OK)
        st = tell_subscribers(w, entry, ids);
    json_decref(info);
    return st;
}

/* ---- what goes ---- */

static bool at_same_aef(const json_t *a, const json_t *b)
{
    return capif_same(vs(a, "ccfId"), vs(b, "ccfId"))
           && capif_same(vs(a, "aefId"), vs(b, "aefId"));
}

/* The entries at the AEF of the i-th, unless one before it is there, too. */
static enum ccf_db_status tell_group(const struct work *w, size_t i)
{
    const json_t *first = json_array_get(w->gone, i), *entry;
    json_t *ids = json_array(), *names = json_array();
    enum ccf_db_status st = CCF_DB_OK;
    bool done = false;
    size_t k;

    json_array_foreach(w->gone, k, entry)
    {
        if (!at_same_aef(entry, first))
            continue;
        done = done || k < i;
        json_array_append(ids, json_object_get(entry, "apiId"));
        if (vs(entry, "apiName") != NULL)
            json_array_append_new(names, json_string(vs(entry, "apiName")));
    }
    if (!done)
        st = tell(w, first, ids, names);
    json_decref(ids);
    json_decref(names);
    return st;
}

/* The PSK, and the access tokens up to now. */
static enum ccf_db_status end_entry(const struct work *w, const json_t *entry)
{
    const char *psk_id = vs(entry, "pskId"), *name = vs(entry, "apiName");
    const char *ccf_id = vs(entry, "ccfId");
    char at[24], expires[24];
    enum ccf_db_status st = CCF_DB_OK;

    ccf_seconds(w->at, at);
    ccf_seconds(w->at + TOKEN_SECONDS, expires);
    if (psk_id != NULL)
        st = ccf_run(w->s, "DELETE FROM psk WHERE psk_id = $1", ARGS(psk_id));
    if (st == CCF_DB_OK && name != NULL && vs(entry, "aefId") != NULL
        && (is_own(w->s, ccf_id) || !capif_same(w->r->from, ccf_id)))
        st = ccf_run(w->s,
                     "INSERT INTO revocation VALUES ($1, $2, $3, $4, $5, $6)"
                     " ON CONFLICT (ccf_id, invoker_id, aef_id, api_name)"
                     " DO UPDATE SET at = excluded.at,"
                     " expires = excluded.expires",
                     ARGS(w->r->ccf_id, w->r->invoker_id, vs(entry, "aefId"),
                          name, at, expires));
    return st;
}

static enum ccf_db_status end_gone(const struct work *w)
{
    const json_t *entry;
    enum ccf_db_status st = CCF_DB_OK;
    size_t i;

    json_array_foreach(w->gone, i, entry)
    {
        if (st == CCF_DB_OK)
            st = end_entry(w, entry);
        if (st == CCF_DB_OK)
            st = tell_group(w, i);
    }
    return st;
}

/* ---- contexts ---- */

static void row_doc(const char *const *columns, void *arg)
{
    *(json_t **)arg = json_loads(columns[0], JSON_REJECT_DUPLICATES, NULL);
}

static const char latest_sql[] =
    "SELECT MAX(at) FROM revocation WHERE ccf_id = $1 AND invoker_id = $2";

static void row_latest(const char *const *columns, void *arg)
{
    if (columns[0] != NULL)
        *(time_t *)arg = (time_t)strtoll(columns[0], NULL, 10);
}

/*
 * Read the context; whatever st is, work_clear() it.  Each revocation of an
 * invoker has a second of its own: a token may be of between two.
 */
static enum ccf_db_status work_init(struct work *w, struct ccf_store *s,
                                    const struct ccf_revocation *r)
{
    time_t latest = 0, now = time(NULL);
    enum ccf_db_status st =
        ccf_db_run(s->db, latest_sql, ARGS(r->ccf_id, r->invoker_id),
                   row_latest, &latest, NULL);

    *w = (struct work){ .s = s,
                        .r = r,
                        .gone = json_array(),
                        .kept = json_array(),
                        .at = latest >= now ? latest + 1 : now };
    if (st != CCF_DB_OK)
        return st;
    return ccf_db_run(s->db,
                      "SELECT doc FROM context WHERE ccf_id = $1"
                      " AND invoker_id = $2",
                      ARGS(r->ccf_id, r->invoker_id), row_doc, &w->doc, NULL);
}

static void work_clear(struct work *w)
{
    json_decref(w->doc);
    json_decref(w->gone);
    json_decref(w->kept);
}

static bool matches(const struct ccf_revocation *r, const json_t *entry)
{
    return (r->aef_ccf_id == NULL
            || capif_same(r->aef_ccf_id, vs(entry, "ccfId")))
           && (r->aef_id == NULL || capif_same(r->aef_id, vs(entry, "aefId")))
           && (r->api_ids == NULL
               || capif_array_has(r->api_ids, capif_str(entry, "apiId")));
}

static bool is_all(const struct ccf_revocation *r)
{
    return r->aef_ccf_id == NULL && r->aef_id == NULL && r->api_ids == NULL;
}

static void divide(struct work *w)
{
    json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(w->doc, "securityInfo"), i, entry)
    {
        json_array_append(matches(w->r, entry) ? w->gone : w->kept, entry);
    }
}

/* A context is never empty: securityInfo has at least one entry. */
static enum ccf_db_status write_kept(struct work *w)
{
    const struct ccf_revocation *r = w->r;
    enum ccf_db_status st = CCF_DB_ERROR;
    char *text;

    if (json_array_size(w->kept) == 0)
        return ccf_run(w->s,
                       "DELETE FROM context WHERE ccf_id = $1"
                       " AND invoker_id = $2",
                       ARGS(r->ccf_id, r->invoker_id));
    json_object_set(w->doc, "securityInfo", w->kept);
    if ((text = json_dumps(w->doc, JSON_COMPACT)) != NULL)
        st = ccf_run(w->s,
                     "UPDATE context SET doc = $1 WHERE ccf_id = $2"
                     " AND invoker_id = $3",
                     ARGS(text, r->ccf_id, r->invoker_id));
    free(text);
    return st;
}

static enum ccf_db_status work_revoke(struct ccf_store *s, const void *what)
{
    struct work w;
    enum ccf_db_status st = work_init(&w, s, what);

    divide(&w);
    if (st == CCF_DB_OK
        && (w.doc == NULL || (json_array_size(w.gone) == 0 && !is_all(w.r))))
        st = CCF_DB_NOT_FOUND;
    if (st == CCF_DB_OK)
        st = end_gone(&w);
    if (st == CCF_DB_OK)
        st = write_kept(&w);
    work_clear(&w);
    return st;
}

enum ccf_store_status ccf_store_context_revoke(struct ccf_store *s,
                                               const struct ccf_revocation *r)
{
    ccf_forget(s, "DELETE FROM revocation WHERE expires < $1");
    return ccf_transact(s, work_revoke, r);
}

enum ccf_db_status ccf_revoke_all(struct ccf_store *s, const char *ccf_id,
                                  const char *invoker_id)
{
    const struct ccf_revocation r = { .ccf_id = ccf_id,
                                      .invoker_id = invoker_id };
    enum ccf_db_status st = work_revoke(s, &r);

    if (st == CCF_DB_OK || st == CCF_DB_NOT_FOUND)
        st = ccf_run(s, "DELETE FROM psk WHERE ccf_id = $1 AND invoker_id = $2",
                     ARGS(ccf_id, invoker_id));
    return st;
}

/* Is the API at that AEF in a list of entries? */
static bool still_there(const json_t *entry, const json_t *list)
{
    const json_t *other;
    size_t i;

    json_array_foreach(list, i, other)
    {
        if (at_same_aef(entry, other)
            && capif_same(capif_str(entry, "apiId"), capif_str(other, "apiId")))
            return true;
    }
    return false;
}

enum ccf_db_status ccf_revoke_dropped(struct ccf_store *s, const char *ccf_id,
                                      const char *invoker_id, const json_t *doc)
{
    const struct ccf_revocation r = { .ccf_id = ccf_id,
                                      .invoker_id = invoker_id,
                                      .from = ccf_id };
    struct work w;
    enum ccf_db_status st = work_init(&w, s, &r);
    json_t *entry;
    size_t i;

    w.anew = json_object_get(doc, "securityInfo");
    json_array_foreach(json_object_get(w.doc, "securityInfo"), i, entry)
    {
        if (!still_there(entry, w.anew))
            json_array_append(w.gone, entry);
    }
    if (st == CCF_DB_OK)
        st = end_gone(&w);
    work_clear(&w);
    return st;
}

/* ---- tokens ---- */

enum ccf_store_status ccf_store_revoked(struct ccf_store *s,
                                        const struct capif_identity *invoker,
                                        const char *aef_id,
                                        const char *api_name, time_t iat,
                                        bool *is)
{
    char text[24];
    bool found = false;
    enum ccf_store_status st;

    ccf_seconds(iat, text);
    st = ccf_status_of(
        ccf_look(s,
                 "SELECT 1 FROM revocation WHERE ccf_id = $1"
                 " AND invoker_id = $2 AND aef_id = $3"
                 " AND api_name = $4 AND at >= $5",
                 ARGS(invoker->ccf_id, invoker->id, aef_id, api_name, text),
                 ccf_row_there, &found));
    if (st == CCF_STORE_OK)
        *is = found;
    return st;
}

enum ccf_store_status ccf_store_issue_time(struct ccf_store *s,
                                           const struct capif_identity *invoker,
                                           time_t *at)
{
    time_t now = time(NULL), latest = now - 1;
    enum ccf_store_status st = ccf_status_of(
        ccf_look(s, latest_sql, ARGS(invoker->ccf_id, invoker->id), row_latest,
                 &latest));

    *at = latest >= now ? latest + 1 : now;
    return st;
}

/* ---- partners ---- */

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
