/* SPDX-License-Identifier: Apache-2.0 */
#include "store_tell.h"

#include <stdlib.h>
#include <string.h>

#define TOKEN_SECONDS 86400 /* the longest life of an access token */

static bool at_same_aef(const json_t *a, const json_t *b)
{
    return capif_same(ccf_vs_str(a, "ccfId"), ccf_vs_str(b, "ccfId"))
           && capif_same(ccf_vs_str(a, "aefId"), ccf_vs_str(b, "aefId"));
}

/* The entries at the AEF of the i-th, unless one before it is there, too. */
static enum capif_db_status tell_group(const struct ccf_taking *w, size_t i)
{
    const json_t *first = json_array_get(w->gone, i), *entry;
    json_t *ids = json_array(), *names = json_array();
    enum capif_db_status st = CAPIF_DB_OK;
    bool done = false;
    size_t k;

    json_array_foreach(w->gone, k, entry)
    {
        if (!at_same_aef(entry, first))
            continue;
        done = done || k < i;
        json_array_append(ids, json_object_get(entry, "apiId"));
        if (ccf_vs_str(entry, "apiName") != NULL)
            json_array_append_new(names,
                                  json_string(ccf_vs_str(entry, "apiName")));
    }
    if (!done)
        st = ccf_tell_taken(w, first, ids, names);
    json_decref(ids);
    json_decref(names);
    return st;
}

/* The PSK, and the access tokens up to now. */
static enum capif_db_status end_entry(const struct ccf_taking *w,
                                      const json_t *entry)
{
    const char *psk_id = ccf_vs_str(entry, "pskId"),
               *name = ccf_vs_str(entry, "apiName");
    const char *ccf_id = ccf_vs_str(entry, "ccfId");
    char at[24], expires[24];
    enum capif_db_status st = CAPIF_DB_OK;

    ccf_seconds(w->at, at);
    ccf_seconds(w->at + TOKEN_SECONDS, expires);
    if (psk_id != NULL)
        st = ccf_run(w->s, "DELETE FROM psk WHERE psk_id = $1", ARGS(psk_id));
    if (st == CAPIF_DB_OK && name != NULL && ccf_vs_str(entry, "aefId") != NULL
        && (ccf_is_own(w->s, ccf_id) || !capif_same(w->r->from, ccf_id)))
        st = ccf_run(w->s,
                     "INSERT INTO revocation VALUES ($1, $2, $3, $4, $5, $6)"
                     " ON CONFLICT (ccf_id, invoker_id, aef_id, api_name)"
                     " DO UPDATE SET at = excluded.at,"
                     " expires = excluded.expires",
                     ARGS(w->r->ccf_id, w->r->invoker_id,
                          ccf_vs_str(entry, "aefId"), name, at, expires));
    return st;
}

static enum capif_db_status end_gone(const struct ccf_taking *w)
{
    const json_t *entry;
    enum capif_db_status st = CAPIF_DB_OK;
    size_t i;

    json_array_foreach(w->gone, i, entry)
    {
        if (st == CAPIF_DB_OK)
            st = end_entry(w, entry);
        if (st == CAPIF_DB_OK)
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
static enum capif_db_status work_init(struct ccf_taking *w, struct ccf_store *s,
                                      const struct ccf_revocation *r)
{
    time_t latest = 0, now = time(NULL);
    enum capif_db_status st =
        capif_db_run(s->db, latest_sql, ARGS(r->ccf_id, r->invoker_id),
                     row_latest, &latest, NULL);

    *w = (struct ccf_taking){ .s = s,
                              .r = r,
                              .gone = json_array(),
                              .kept = json_array(),
                              .at = latest >= now ? latest + 1 : now };
    if (st != CAPIF_DB_OK)
        return st;
    return capif_db_run(s->db,
                        "SELECT doc FROM context WHERE ccf_id = $1"
                        " AND invoker_id = $2",
                        ARGS(r->ccf_id, r->invoker_id), row_doc, &w->doc, NULL);
}

static void work_clear(struct ccf_taking *w)
{
    json_decref(w->doc);
    json_decref(w->gone);
    json_decref(w->kept);
}

static bool matches(const struct ccf_revocation *r, const json_t *entry)
{
    return (r->aef_ccf_id == NULL
            || capif_same(r->aef_ccf_id, ccf_vs_str(entry, "ccfId")))
           && (r->aef_id == NULL
               || capif_same(r->aef_id, ccf_vs_str(entry, "aefId")))
           && (r->api_ids == NULL
               || capif_array_has(r->api_ids, capif_str(entry, "apiId")));
}

static bool is_all(const struct ccf_revocation *r)
{
    return r->aef_ccf_id == NULL && r->aef_id == NULL && r->api_ids == NULL;
}

static void divide(struct ccf_taking *w)
{
    json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(w->doc, "securityInfo"), i, entry)
    {
        json_array_append(matches(w->r, entry) ? w->gone : w->kept, entry);
    }
}

/* A context is never empty: securityInfo has at least one entry. */
static enum capif_db_status write_kept(struct ccf_taking *w)
{
    const struct ccf_revocation *r = w->r;
    enum capif_db_status st = CAPIF_DB_ERROR;
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

static enum capif_db_status work_revoke(struct ccf_store *s, const void *what)
{
    struct ccf_taking w;
    enum capif_db_status st = work_init(&w, s, what);

    divide(&w);
    if (st == CAPIF_DB_OK
        && (w.doc == NULL || (json_array_size(w.gone) == 0 && !is_all(w.r))))
        st = CAPIF_DB_NOT_FOUND;
    if (st == CAPIF_DB_OK)
        st = end_gone(&w);
    if (st == CAPIF_DB_OK)
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

enum capif_db_status ccf_revoke_all(struct ccf_store *s, const char *ccf_id,
                                    const char *invoker_id)
{
    const struct ccf_revocation r = { .ccf_id = ccf_id,
                                      .invoker_id = invoker_id };
    enum capif_db_status st = work_revoke(s, &r);

    if (st == CAPIF_DB_OK || st == CAPIF_DB_NOT_FOUND)
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

enum capif_db_status ccf_revoke_dropped(struct ccf_store *s, const char *ccf_id,
                                        const char *invoker_id,
                                        const json_t *doc)
{
    const struct ccf_revocation r = { .ccf_id = ccf_id,
                                      .invoker_id = invoker_id,
                                      .from = ccf_id };
    struct ccf_taking w;
    enum capif_db_status st = work_init(&w, s, &r);
    json_t *entry;
    size_t i;

    w.anew = json_object_get(doc, "securityInfo");
    json_array_foreach(json_object_get(w.doc, "securityInfo"), i, entry)
    {
        if (!still_there(entry, w.anew))
            json_array_append(w.gone, entry);
    }
    if (st == CAPIF_DB_OK)
        st = end_gone(&w);
    work_clear(&w);
    return st;
}

/* ---- negotiations that failed ---- */

struct vain {
    const char *ccf_id, *invoker_id;
    const json_t *taken;
};

/* The same API at the same AEF, and by the same method if both say which. */
static bool is_in(const json_t *list, const json_t *entry)
{
    const char *method = capif_str(entry, "selSecurityMethod"), *other;
    const json_t *one;
    size_t i;

    json_array_foreach(list, i, one)
    {
        other = capif_str(one, "selSecurityMethod");
        if (at_same_aef(one, entry)
            && capif_same(capif_str(one, "apiId"), capif_str(entry, "apiId"))
            && (other == NULL || method == NULL || strcmp(other, method) == 0))
            return true;
    }
    return false;
}

/* Has the partner of an entry taken others in place of what it had? */
static bool is_replaced(const json_t *taken, const json_t *entry)
{
    const json_t *one;
    bool any = false;
    size_t i;

    json_array_foreach(taken, i, one)
    {
        if (!capif_same(ccf_vs_str(one, "ccfId"), ccf_vs_str(entry, "ccfId")))
            continue;
        if (capif_str(one, "selSecurityMethod") == NULL)
            return false; /* who knows */
        any = true;
    }
    return any && !is_in(taken, entry);
}

static enum capif_db_status work_undo(struct ccf_store *s, const void *what)
{
    const struct vain *v = what;
    const struct ccf_revocation r = { .ccf_id = v->ccf_id,
                                      .invoker_id = v->invoker_id };
    struct ccf_taking w;
    enum capif_db_status st = work_init(&w, s, &r);
    const json_t *old = json_object_get(w.doc, "securityInfo");
    json_t *entry;
    size_t i;

    w.anew = v->taken; /* what these gave up for it, they know */
    json_array_foreach(old, i, entry)
    {
        json_array_append(is_replaced(v->taken, entry) ? w.gone : w.kept,
                          entry);
    }
    json_array_foreach(v->taken, i, entry)
    {
        if (st == CAPIF_DB_OK && !is_in(old, entry))
            st = ccf_tell_partner(&w, entry);
    }
    if (st == CAPIF_DB_OK && json_array_size(w.gone) > 0)
        st = end_gone(&w);
    if (st == CAPIF_DB_OK && json_array_size(w.gone) > 0)
        st = write_kept(&w);
    work_clear(&w);
    return st;
}

enum ccf_store_status ccf_store_context_undo(struct ccf_store *s,
                                             const char *ccf_id,
                                             const char *invoker_id,
                                             const json_t *taken)
{
    const struct vain v = { ccf_id, invoker_id, taken };

    return ccf_transact(s, work_undo, &v);
}

/* ---- tokens ---- */

enum ccf_store_status ccf_store_revoked_until(
    struct ccf_store *s, const struct capif_identity *invoker,
    const char *aef_id, const char *api_name, time_t *at)
{
    *at = 0;
    return ccf_status_of(ccf_look(
        s,
        "SELECT at FROM revocation WHERE ccf_id = $1"
        " AND invoker_id = $2 AND aef_id = $3 AND api_name = $4",
        ARGS(invoker->ccf_id, invoker->id, aef_id, api_name), row_latest, at));
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
