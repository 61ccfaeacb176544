/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what has happened to what is owed for it: the first event, and a page
 * of its subscriptions, at a time.  How far that went is in the event's row,
 * which is changed in the same transaction; so of two who do the same, one
 * has to try again, and finds the next page.
 *
 * An event that is for one subscription only stands for an immediate report:
 * what is told are pages of what there is.
 */
#include "report.h"

#include "log.h"
#include "share.h"
#include "store_policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE       64  /* subscriptions in one transaction */
#define EVENTS_MAX 256 /* events in one transaction */
#define APIS_PAGE  32  /* in one notification */
#define IDS_PAGE   256

/* An event as the store has it; ev borrows from text. */
struct happened {
    struct ccf_event ev;
    char seq[24];
    char *text[7]; /* name, API, invoker, AEF, group, subscription, progress */
    json_t *detail;
};

static const char first_sql[] =
    "SELECT seq, name, api_id, invoker_id, aef_id, group_id, sub_id, progress,"
    " doc FROM event ORDER BY seq LIMIT 1";

static void happened_clear(struct happened *h)
{
    for (size_t i = 0; i < 7; i++)
        free(h->text[i]);
    json_decref(h->detail);
    memset(h, 0, sizeof(*h));
}

static void row_event(const char *const *columns, void *arg)
{
    struct happened *h = arg;

    happened_clear(h);
    snprintf(h->seq, sizeof(h->seq), "%s", columns[0]);
    for (size_t i = 0; i < 7; i++)
        h->text[i] = columns[i + 1] != NULL ? strdup(columns[i + 1]) : NULL;
    if (columns[8] != NULL
        && (h->detail = json_loads(columns[8], JSON_REJECT_DUPLICATES, NULL))
               == NULL)
        capif_log("event-damaged", "seq", h->seq, NULL);
    h->ev = (struct ccf_event){ h->text[0], h->text[1], h->text[2],
                                h->text[3], h->text[4], h->detail };
}

static enum capif_db_status event_done(struct ccf_store *s,
                                       const struct happened *h)
{
    enum capif_db_status st = CAPIF_DB_OK;

    /* All who may know that an own API is gone know it. */
    if (strcmp(h->ev.name, "SERVICE_API_UNAVAILABLE") == 0
        && h->ev.group_id != NULL && h->ev.api_id != NULL)
        st = ccf_policy_end(s, h->ev.api_id);
    if (st != CAPIF_DB_OK)
        return st;
    return ccf_run(s, "DELETE FROM event WHERE seq = $1", ARGS(h->seq));
}

static enum capif_db_status event_at(struct ccf_store *s,
                                     const struct happened *h,
                                     const char *progress)
{
    return ccf_run(s, "UPDATE event SET progress = $1 WHERE seq = $2",
                   ARGS(progress, h->seq));
}

/* ---- subscriptions to an event ---- */

struct page {
    struct ccf_sub_row rows[PAGE];
    size_t n;
};

static void row_page(const char *const *columns, void *arg)
{
    struct page *p = arg;

    if (p->n < PAGE)
        ccf_sub_read(columns, &p->rows[p->n++]);
}

/* Did the event happen before there was the subscription? */
static bool is_older(const struct happened *h, const struct ccf_sub_row *sub)
{
    const long long seq = strtoll(h->seq, NULL, 10);
    char *p = sub->seen;

    while (p != NULL && *p != '\0') {
        long long first = strtoll(p, &p, 10);
        long long last = *p == '-' ? strtoll(p + 1, &p, 10) : first;

        if (seq >= first && seq <= last)
            return true;
        p = *p == ',' ? p + 1 : NULL;
    }
    return false;
}

static enum capif_db_status tell(struct ccf_store *s, const struct happened *h,
                                 struct ccf_sub_row *sub, int64_t now)
{
    const struct ccf_subscriber who = ccf_sub_who(sub);
    struct ccf_event ev = h->ev;
    enum capif_db_status st;
    json_t *shown;

    if (sub->expires <= now || sub->doc == NULL || is_older(h, sub)
        || !ccf_event_matches(&h->ev, sub->doc))
        return CAPIF_DB_OK;
    st = ccf_event_shown(s, &h->ev, &who, &shown);
    ev.detail = shown;
    if (st == CAPIF_DB_OK && shown != NULL)
        st = ccf_report_event(s, sub, &ev);
    json_decref(shown);
    return st;
}

/* *looked_at is the number of subscriptions. */
static enum capif_db_status do_page(struct ccf_store *s,
                                    const struct happened *h, int64_t now,
                                    size_t *looked_at)
{
    const char *after = h->text[6] != NULL ? h->text[6] : "";
    struct page *p = calloc(1, sizeof(*p));
    char max[24];
    enum capif_db_status st;

    if (p == NULL)
        return CAPIF_DB_ERROR;
    snprintf(max, sizeof(max), "%d", PAGE);
    st = capif_db_run(s->db,
                      "SELECT " CCF_SUB_COLUMNS " FROM subscribed e"
                      " JOIN subscription s ON s.id = e.sub_id"
                      " WHERE e.name = $1 AND e.sub_id > $2"
                      " ORDER BY e.sub_id LIMIT $3",
                      ARGS(h->ev.name, after, max), row_page, p, NULL);
    if (st == CAPIF_DB_OK && h->text[6] == NULL)
        st = ccf_share(s, &h->ev);
    for (size_t i = 0; st == CAPIF_DB_OK && i < p->n; i++)
        st = tell(s, h, &p->rows[i], now);
    if (st == CAPIF_DB_OK)
        st = p->n == PAGE ? event_at(s, h, p->rows[PAGE - 1].id)
                          : event_done(s, h);
    *looked_at += p->n;
    for (size_t i = 0; i < p->n; i++)
        ccf_sub_clear(&p->rows[i]);
    free(p);
    return st;
}

/* ---- immediate reports ---- */

/* One page of what there is, and what of it is to be told. */
struct survey {
    struct ccf_store *s;
    struct ccf_sub_row sub;
    const char *name;
    json_t *found; /* [apiId, group or null, description], or ids */
    char last[CAPIF_CCF_ID_MAX + CAPIF_ID_MAX + 2];
    size_t n;
};

static void row_sub(const char *const *columns, void *arg)
{
    ccf_sub_read(columns, arg);
}

static void row_api(const char *const *columns, void *arg)
{
    struct survey *v = arg;
    json_t *doc = json_loads(columns[2], JSON_REJECT_DUPLICATES, NULL);

    v->n++;
    snprintf(v->last, sizeof(v->last), "%s/%s", columns[0], columns[1]);
    if (doc != NULL)
        json_array_append_new(
            v->found, json_pack("[s, s?, o]", columns[1], columns[3], doc));
}

static void row_invoker(const char *const *columns, void *arg)
{
    struct survey *v = arg;

    v->n++;
    snprintf(v->last, sizeof(v->last), "%s", columns[0]);
    json_array_append_new(v->found, json_pack("[s, n, n]", columns[0]));
}

/* The page after v->last; *full if there may be another. */
static enum capif_db_status survey_apis(struct survey *v, bool *full)
{
    char ccf_id[CAPIF_CCF_ID_MAX + CAPIF_ID_MAX + 2], max[24];
    const char *api_id = "";
    char *slash;
    enum capif_db_status st;

    strcpy(ccf_id, v->last);
    if ((slash = strchr(ccf_id, '/')) != NULL) {
        *slash = '\0';
        api_id = slash + 1;
    }
    snprintf(max, sizeof(max), "%d", APIS_PAGE);
    st = capif_db_run(v->s->db,
                      "SELECT ccf_id, api_id, doc, group_id FROM api"
                      " WHERE (ccf_id, api_id) > ($1, $2)"
                      " ORDER BY ccf_id, api_id LIMIT $3",
                      ARGS(ccf_id, api_id, max), row_api, v, NULL);
    *full = v->n == APIS_PAGE;
    return st;
}

static enum capif_db_status survey_invokers(struct survey *v, bool *full)
{
    char after[CAPIF_ID_MAX + 1], max[24];
    enum capif_db_status st;

    snprintf(after, sizeof(after), "%.*s", CAPIF_ID_MAX, v->last);
    snprintf(max, sizeof(max), "%d", IDS_PAGE);
    st = capif_db_run(v->s->db,
                      "SELECT id FROM member WHERE ccf_id = $1"
                      " AND role = 'invoker' AND id > $2 ORDER BY id LIMIT $3",
                      ARGS(v->sub.ccf_id, after, max), row_invoker, v, NULL);
    *full = v->n == IDS_PAGE;
    return st;
}

/* What the subscriber may know of one thing found, joined into detail. */
static enum capif_db_status survey_one(struct survey *v, const json_t *item,
                                       bool api, json_t *detail)
{
    json_t *doc = json_array_get(item, 2), *one, *list;
    const char *id = json_string_value(json_array_get(item, 0)), *name;
    json_t *full =
        api ? json_pack("{s:[O]}", "serviceAPIDescriptions", doc) : NULL;
    struct ccf_event e = {
        .name = v->name,
        .api_id = api ? id : NULL,
        .invoker_id = api ? NULL : id,
        .group_id = json_string_value(json_array_get(item, 1)),
        .detail = full,
    };
    const struct ccf_subscriber who = ccf_sub_who(&v->sub);
    enum capif_db_status st = CAPIF_DB_OK;
    json_t *shown = NULL;

    if (ccf_event_matches(&e, v->sub.doc))
        st = ccf_event_shown(v->s, &e, &who, &shown);
    e.detail = shown;
    if (shown != NULL
        && (one = ccf_event_detail(
                &e, ccf_events_has(v->sub.doc, CCF_EVENTS_ENHANCED)))
               != NULL) {
        json_object_foreach(one, name, list)
        {
            if (json_object_get(detail, name) == NULL)
                json_object_set_new(detail, name, json_array());
            json_array_extend(json_object_get(detail, name), list);
        }
        json_decref(one);
    }
    json_decref(shown);
    json_decref(full);
    return st;
}

/* Tell what was found; *told if there is anything. */
static enum capif_db_status survey_tell(struct survey *v, bool api, bool *told)
{
    json_t *detail = json_object(), *item;
    enum capif_db_status st = CAPIF_DB_OK;
    size_t i;

    json_array_foreach(v->found, i, item)
    {
        if (st == CAPIF_DB_OK)
            st = survey_one(v, item, api, detail);
    }
    if (st == CAPIF_DB_OK && json_object_size(detail) > 0) {
        *told = true;
        st = ccf_report_send(v->s, &v->sub, v->name, detail);
    }
    json_decref(detail);
    return st;
}

/*
 * All pages together are one report.  The progress of one is "+" or "-", for
 * whether anything was told, and the last key.
 */
static enum capif_db_status do_survey(struct ccf_store *s,
                                      const struct happened *h)
{
    const bool api = strcmp(h->ev.name, "SERVICE_API_AVAILABLE") == 0;
    const char *progress = h->text[6] != NULL ? h->text[6] : "-";
    struct survey v = { .s = s, .name = h->ev.name, .found = json_array() };
    char next[sizeof(v.last) + 1];
    bool full = false, told = progress[0] == '+';
    enum capif_db_status st = capif_db_run(
        s->db, "SELECT " CCF_SUB_COLUMNS " FROM subscription s WHERE s.id = $1",
        ARGS(h->text[5]), row_sub, &v.sub, NULL);

    snprintf(v.last, sizeof(v.last), "%s", progress + 1);
    if (st == CAPIF_DB_OK && v.sub.doc != NULL) {
        st = api ? survey_apis(&v, &full) : survey_invokers(&v, &full);
        if (st == CAPIF_DB_OK)
            st = survey_tell(&v, api, &told);
        if (st == CAPIF_DB_OK && !full && told)
            st = ccf_report_count(s, &v.sub);
    }
    snprintf(next, sizeof(next), "%c%s", told ? '+' : '-', v.last);
    if (st == CAPIF_DB_OK)
        st = full ? event_at(s, h, next) : event_done(s, h);
    ccf_sub_clear(&v.sub);
    json_decref(v.found);
    return st;
}

/* ---- what comes first ---- */

static enum capif_db_status work_fanout(struct ccf_store *s, const void *what)
{
    const int64_t *now = what;
    enum capif_db_status st = CAPIF_DB_OK;
    size_t looked_at = 0;

    for (int n = 0; st == CAPIF_DB_OK && n < EVENTS_MAX && looked_at < PAGE;
         n++) {
        struct happened h = { .detail = NULL };

        st = capif_db_run(s->db, first_sql, NULL, 0, row_event, &h, NULL);
        if (st == CAPIF_DB_OK && h.seq[0] == '\0')
            break;
        if (st == CAPIF_DB_OK && h.text[5] != NULL) {
            looked_at += PAGE; /* as much work as that */
            st = do_survey(s, &h);
        } else if (st == CAPIF_DB_OK) {
            st = do_page(s, &h, *now, &looked_at);
        }
        happened_clear(&h);
    }
    return st;
}

enum ccf_store_status ccf_fanout(struct ccf_store *s, int64_t now)
{
    bool any = false;
    enum ccf_store_status st =
        ccf_status_of(ccf_look(s, "SELECT seq FROM event ORDER BY seq LIMIT 1",
                               NULL, 0, ccf_row_there, &any));

    if (st == CCF_STORE_OK && !any)
        st = CCF_STORE_NOT_FOUND;
    return st == CCF_STORE_OK ? ccf_transact(s, work_fanout, &now) : st;
}
