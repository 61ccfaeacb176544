/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include "notice.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HELD_PAGE 256 /* events in one transaction, and one notification */

static void text_of(int64_t n, char out[24])
{
    snprintf(out, 24, "%lld", (long long)n);
}

void ccf_sub_read(const char *const *columns, struct ccf_sub_row *row)
{
    memset(row, 0, sizeof(*row));
    snprintf(row->id, sizeof(row->id), "%s", columns[0]);
    snprintf(row->ccf_id, sizeof(row->ccf_id), "%s", columns[1]);
    snprintf(row->role, sizeof(row->role), "%s", columns[2]);
    snprintf(row->owner, sizeof(row->owner), "%s", columns[3]);
    snprintf(row->group_id, sizeof(row->group_id), "%s", columns[4]);
    row->expires = strtoll(columns[5], NULL, 10);
    row->period = strtoll(columns[6], NULL, 10);
    row->reports = strtoll(columns[7], NULL, 10);
    row->seen = strdup(columns[8]);
    row->doc = json_loads(columns[9], JSON_REJECT_DUPLICATES, NULL);
}

void ccf_sub_clear(struct ccf_sub_row *row)
{
    free(row->seen);
    json_decref(row->doc);
    memset(row, 0, sizeof(*row));
}

struct ccf_subscriber ccf_sub_who(const struct ccf_sub_row *row)
{
    const struct ccf_subscriber who = { row->role, row->owner, row->group_id,
                                        row->doc };

    return who;
}

enum capif_db_status ccf_report_send(struct ccf_store *s,
                                     const struct ccf_sub_row *sub,
                                     const char *name, const json_t *detail)
{
    json_t *body =
        json_pack("{s:s, s:s, s:O*}", "subscriptionId", sub->id, "events", name,
                  "eventDetail", (json_t *)(uintptr_t)detail);
    const struct ccf_notice notice = {
        .url = json_string_value(
            json_object_get(sub->doc, "notificationDestination")),
        .trust = CCF_TRUST_PUBLIC,
        .body = body,
    };
    enum capif_db_status st = CAPIF_DB_ERROR;

    if (body != NULL && notice.url != NULL)
        st = ccf_notice_add(s, &notice);
    json_decref(body);
    return st;
}

static enum capif_db_status end(struct ccf_store *s,
                                const struct ccf_sub_row *sub)
{
    return ccf_run(s, "DELETE FROM subscription WHERE id = $1", ARGS(sub->id));
}

enum capif_db_status ccf_report_count(struct ccf_store *s,
                                      struct ccf_sub_row *sub)
{
    char left[24];

    if (sub->reports == 0)
        return CAPIF_DB_OK;
    if (--sub->reports == 0)
        return end(s, sub);
    text_of(sub->reports, left);
    return ccf_run(s, "UPDATE subscription SET reports = $1 WHERE id = $2",
                   ARGS(left, sub->id));
}

static enum capif_db_status hold(struct ccf_store *s,
                                 const struct ccf_sub_row *sub,
                                 const char *name, const json_t *detail)
{
    char *text = detail != NULL ? json_dumps(detail, JSON_COMPACT) : NULL;
    enum capif_db_status st = CAPIF_DB_ERROR;

    if (text != NULL || detail == NULL)
        st = ccf_run(s,
                     "INSERT INTO held (sub_id, name, doc) VALUES ($1, $2, $3)",
                     ARGS(sub->id, name, text));
    free(text);
    return st;
}

enum capif_db_status ccf_report_event(struct ccf_store *s,
                                      struct ccf_sub_row *sub,
                                      const struct ccf_event *e)
{
    json_t *detail =
        ccf_event_detail(e, ccf_events_has(sub->doc, CCF_EVENTS_ENHANCED));
    enum capif_db_status st;

    if (sub->period > 0) {
        st = hold(s, sub, e->name, detail);
    } else {
        st = ccf_report_send(s, sub, e->name, detail);
        if (st == CAPIF_DB_OK)
            st = ccf_report_count(s, sub);
    }
    json_decref(detail);
    return st;
}

/* ---- what was held ---- */

/* What is to be told of one kind of event; the details of several, joined. */
struct batch {
    json_t *names;   /* of kinds, in the order of their first event */
    json_t *details; /* by name, lists of details that can't be joined */
    char last[24];
    size_t n;
};

/* The place in list of the same thing: equal, or an API of the same id. */
static size_t same_at(const json_t *list, const json_t *v)
{
    const json_t *id = json_object_get(v, "apiId"), *other;
    size_t i;

    json_array_foreach(list, i, other)
    {
        if (json_equal(other, v)
            || (id != NULL && json_equal(json_object_get(other, "apiId"), id)))
            break;
    }
    return i;
}

/* Lists are joined, and of two descriptions of an API the later counts. */
static bool join(json_t *into, json_t *from)
{
    json_t *list, *v;
    const char *name;
    size_t i, at;

    json_object_foreach(from, name, list)
    {
        if (!json_is_array(list) || !json_is_array(json_object_get(into, name)))
            return false;
    }
    json_object_foreach(from, name, list)
    {
        json_t *all = json_object_get(into, name);

        json_array_foreach(list, i, v)
        {
            at = same_at(all, v);
            if (at < json_array_size(all))
                json_array_set(all, at, v);
            else
                json_array_append(all, v);
        }
    }
    return true;
}

static void row_held(const char *const *columns, void *arg)
{
    struct batch *b = arg;
    json_t *detail =
        columns[2] != NULL ? json_loads(columns[2], 0, NULL) : json_object();
    json_t *list = json_object_get(b->details, columns[1]);

    snprintf(b->last, sizeof(b->last), "%s", columns[0]);
    b->n++;
    if (list == NULL) {
        json_array_append_new(b->names, json_string(columns[1]));
        json_object_set_new(b->details, columns[1], json_pack("[o]", detail));
    } else if (join(json_array_get(list, json_array_size(list) - 1), detail)) {
        json_decref(detail);
    } else {
        json_array_append_new(list, detail);
    }
}

static enum capif_db_status send_batch(struct ccf_store *s,
                                       struct ccf_sub_row *sub,
                                       const struct batch *b)
{
    const bool limited = sub->reports > 0;
    enum capif_db_status st = CAPIF_DB_OK;
    json_t *name, *detail;
    size_t i, j;

    json_array_foreach(b->names, i, name)
    {
        const char *text = json_string_value(name);

        json_array_foreach(json_object_get(b->details, text), j, detail)
        {
            if (st != CAPIF_DB_OK || (limited && sub->reports == 0))
                return st;
            st = ccf_report_send(s, sub, text,
                                 json_object_size(detail) > 0 ? detail : NULL);
            if (st == CAPIF_DB_OK)
                st = ccf_report_count(s, sub);
        }
    }
    return st;
}

/* One page of what is held; *more if there may be another. */
static enum capif_db_status send_held(struct ccf_store *s,
                                      struct ccf_sub_row *sub, bool *more)
{
    struct batch b = { json_array(), json_object(), "", 0 };
    char page[24];
    enum capif_db_status st = CAPIF_DB_ERROR;

    text_of(HELD_PAGE, page);
    if (b.names != NULL && b.details != NULL)
        st = capif_db_run(s->db,
                          "SELECT seq, name, doc FROM held WHERE sub_id = $1"
                          " ORDER BY seq LIMIT $2",
                          ARGS(sub->id, page), row_held, &b, NULL);
    *more = b.n == HELD_PAGE;
    if (st == CAPIF_DB_OK && b.n > 0)
        st = ccf_run(s, "DELETE FROM held WHERE sub_id = $1 AND seq <= $2",
                     ARGS(sub->id, b.last));
    if (st == CAPIF_DB_OK)
        st = send_batch(s, sub, &b);
    json_decref(b.names);
    json_decref(b.details);
    return st;
}

/* ---- whose time has come ---- */

struct due {
    const char *now_text;
    int64_t now;
};

static const char due_sql[] =
    "SELECT " CCF_SUB_COLUMNS " FROM subscription s WHERE s.due <= $1"
    " ORDER BY s.due LIMIT 1";

static void row_sub(const char *const *columns, void *arg)
{
    struct ccf_sub_row *sub = arg;

    ccf_sub_clear(sub);
    ccf_sub_read(columns, sub);
}

/* The next full period after now, so that one that was missed is not two. */
static enum capif_db_status next_time(struct ccf_store *s,
                                      const struct ccf_sub_row *sub,
                                      int64_t now)
{
    char when[24];

    text_of(now + sub->period < sub->expires ? now + sub->period : sub->expires,
            when);
    return ccf_run(s, "UPDATE subscription SET due = $1 WHERE id = $2",
                   ARGS(when, sub->id));
}

/*
 * Whoever is second finds another, or none, or has to try again: its row has
 * changed or is gone.
 */
static enum capif_db_status work_due(struct ccf_store *s, const void *what)
{
    const struct due *d = what;
    struct ccf_sub_row sub = { .doc = NULL };
    bool more = false, limited;
    enum capif_db_status st =
        capif_db_run(s->db, due_sql, ARGS(d->now_text), row_sub, &sub, NULL);

    if (st == CAPIF_DB_OK && sub.id[0] == '\0')
        return CAPIF_DB_NOT_FOUND;
    limited = sub.reports > 0;
    if (st == CAPIF_DB_OK && sub.period > 0 && sub.doc != NULL)
        st = send_held(s, &sub, &more);
    if (st == CAPIF_DB_OK && !more && !(limited && sub.reports == 0))
        st = sub.expires <= d->now ? end(s, &sub) : next_time(s, &sub, d->now);
    ccf_sub_clear(&sub);
    return st;
}

enum ccf_store_status ccf_reports_due(struct ccf_store *s, int64_t now)
{
    char text[24];
    const struct due d = { text, now };
    struct ccf_sub_row sub = { .doc = NULL };
    enum ccf_store_status st;

    text_of(now, text);
    st = ccf_status_of(ccf_look(s, due_sql, ARGS(text), row_sub, &sub));
    if (st == CCF_STORE_OK && sub.id[0] == '\0')
        st = CCF_STORE_NOT_FOUND;
    ccf_sub_clear(&sub);
    return st == CCF_STORE_OK ? ccf_transact(s, work_due, &d) : st;
}
