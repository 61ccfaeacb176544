/* SPDX-License-Identifier: Apache-2.0 */
#include "store_subscription.h"

#include "event.h"
#include "store_tx.h"
#include "times.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FOREVER  "9223372036854775807"
#define SEEN_MAX 10000 /* events that a new subscription is not told of, */
#define RANGES   64    /* and how often there may be one between them */

struct set {
    const struct ccf_member *by;
    const char *id;
    const json_t *was, *doc;
    enum ccf_store_status *why; /* it was refused; or CCF_STORE_OK */
};

/* What eventReq says, as columns. */
struct columns {
    char expires[24], due[24], period[24], reports[24];
};

static void now_text(char out[24])
{
    snprintf(out, 24, "%lld", (long long)time(NULL) * 1000);
}

enum ccf_store_status ccf_store_subscription_get(
    struct ccf_store *s, const struct capif_identity *owner, const char *id,
    json_t **doc)
{
    char now[24];

    now_text(now);
    return ccf_doc(
        s,
        "SELECT doc FROM subscription WHERE id = $1"
        " AND ccf_id = $2 AND role = $3 AND owner = $4"
        " AND expires > $5",
        ARGS(id, owner->ccf_id, capif_role_name(owner->role), owner->id, now),
        doc);
}

static void columns_of(const json_t *doc, struct columns *out)
{
    const json_t *req = json_object_get(doc, "eventReq");
    const char *method = json_string_value(json_object_get(req, "notifMethod"));
    const char *until = json_string_value(json_object_get(req, "monDur"));
    int64_t period = 0, now = (int64_t)time(NULL) * 1000;
    json_int_t most = json_integer_value(json_object_get(req, "maxReportNbr"));
    time_t end = 0;

    if (method != NULL && strcmp(method, "PERIODIC") == 0)
        period = json_integer_value(json_object_get(req, "repPeriod")) * 1000;
    if (method != NULL && strcmp(method, "ONE_TIME") == 0)
        most = 1;
    strcpy(out->expires, FOREVER);
    if (until != NULL && capif_time_parse(until, &end))
        snprintf(out->expires, sizeof(out->expires), "%lld",
                 (long long)end * 1000);
    strcpy(out->due, out->expires);
    if (period > 0 && (end == 0 || now + period < (int64_t)end * 1000))
        snprintf(out->due, sizeof(out->due), "%lld", (long long)(now + period));
    snprintf(out->period, sizeof(out->period), "%lld", (long long)period);
    snprintf(out->reports, sizeof(out->reports), "%lld", (long long)most);
}

static enum capif_db_status refuse(const struct set *t,
                                   enum ccf_store_status why)
{
    *t->why = why;
    return CAPIF_DB_NOT_FOUND;
}

static enum capif_db_status still_member(struct ccf_store *s,
                                         const struct set *t)
{
    struct ccf_member now;
    enum capif_db_status st = ccf_member_get(s, &t->by->who, &now);

    *t->why = CCF_STORE_OK; /* it may be another attempt */
    if (st == CAPIF_DB_NOT_FOUND
        || (st == CAPIF_DB_OK
            && strcmp(now.thumbprint, t->by->thumbprint) != 0))
        return refuse(t, CCF_STORE_GONE);
    return st;
}

/* ---- a new one ---- */

/* Ranges of seq, as text. */
struct seen {
    char text[RANGES * 44];
    size_t len;
    long long first, last; /* of the range that is not in text yet */
};

static void seen_close(struct seen *seen)
{
    size_t room = sizeof(seen->text) - seen->len;
    int n = seen->first == 0 ? 0
                             : snprintf(seen->text + seen->len, room,
                                        "%lld-%lld,", seen->first, seen->last);

    if (n > 0 && (size_t)n < room)
        seen->len += (size_t)n;
    seen->text[seen->len] = '\0';
}

static void row_seen(const char *const *columns, void *arg)
{
    struct seen *seen = arg;
    long long seq = strtoll(columns[0], NULL, 10);

    if (seen->first == 0 || seq != seen->last + 1) {
        seen_close(seen);
        seen->first = seq;
    }
    seen->last = seq;
}

/* What is known now is reported by fanout.c, in pages. */
static enum capif_db_status ask_survey(struct ccf_store *s, const struct set *t)
{
    static const char *const known[] = { "SERVICE_API_AVAILABLE",
                                         "API_INVOKER_ONBOARDED" };
    const json_t *req = json_object_get(t->doc, "eventReq"), *name;
    enum capif_db_status st = CAPIF_DB_OK;
    size_t i;

    if (!json_is_true(json_object_get(req, "immRep")))
        return CAPIF_DB_OK;
    for (size_t k = 0; k < 2; k++) {
        bool wanted = false;

        json_array_foreach(json_object_get(t->doc, "events"), i, name)
        {
            wanted = wanted || strcmp(json_string_value(name), known[k]) == 0;
        }
        if (wanted && st == CAPIF_DB_OK)
            st = ccf_run(s, "INSERT INTO event (name, sub_id) VALUES ($1, $2)",
                         ARGS(known[k], t->id));
    }
    return st;
}

static void row_count(const char *const *columns, void *arg)
{
    *(long *)arg = strtol(columns[0], NULL, 10);
}

/* Each may be a URL that hangs, and each event is held up to each. */
static enum capif_db_status has_room(struct ccf_store *s, const struct set *t)
{
    const struct capif_identity *who = &t->by->who;
    long n = 0;
    char now[24];
    enum capif_db_status st;

    now_text(now);
    st = capif_db_run(
        s->db,
        "SELECT COUNT(*) FROM subscription WHERE ccf_id = $1"
        " AND role = $2 AND owner = $3 AND expires > $4",
        ARGS(who->ccf_id, capif_role_name(who->role), who->id, now), row_count,
        &n, NULL);
    return st == CAPIF_DB_OK && n >= CCF_SUBSCRIPTIONS_MAX
               ? refuse(t, CCF_STORE_FULL)
               : st;
}

static enum capif_db_status insert(struct ccf_store *s, const struct set *t,
                                   const char *text, const struct columns *c)
{
    const struct capif_identity *who = &t->by->who;
    struct seen seen = { .first = 0 };
    char max[24];
    enum capif_db_status st = has_room(s, t);

    if (st != CAPIF_DB_OK)
        return st;
    snprintf(max, sizeof(max), "%d", SEEN_MAX);
    st = capif_db_run(s->db, "SELECT seq FROM event ORDER BY seq LIMIT $1",
                      ARGS(max), row_seen, &seen, NULL);
    seen_close(&seen);
    if (st == CAPIF_DB_OK)
        st = ccf_run(s,
                     "INSERT INTO subscription (id, ccf_id, role, owner,"
                     " group_id, expires, due, period, reports, seen, doc)"
                     " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                     ARGS(t->id, who->ccf_id, capif_role_name(who->role),
                          who->id, t->by->group_id, c->expires, c->due,
                          c->period, c->reports, seen.text, text));
    return st == CAPIF_DB_OK ? ask_survey(s, t) : st;
}

/* ---- one that is there ---- */

static enum capif_db_status update(struct ccf_store *s, const struct set *t,
                                   const char *text, const struct columns *c)
{
    char *was = json_dumps(t->was, JSON_COMPACT);
    const bool same = json_equal(json_object_get(t->was, "eventReq"),
                                 json_object_get(t->doc, "eventReq"))
                      || (json_object_get(t->was, "eventReq") == NULL
                          && json_object_get(t->doc, "eventReq") == NULL);
    size_t changed = 0;
    enum capif_db_status st = CAPIF_DB_ERROR;

    if (was != NULL && same)
        st = capif_db_run(s->db,
                          "UPDATE subscription SET doc = $1 WHERE doc = $2"
                          " AND id = $3",
                          ARGS(text, was, t->id), NULL, NULL, &changed);
    else if (was != NULL)
        st = capif_db_run(
            s->db,
            "UPDATE subscription SET doc = $1, expires = $2,"
            " due = $3, period = $4, reports = $5 WHERE doc = $6"
            " AND id = $7",
            ARGS(text, c->expires, c->due, c->period, c->reports, was, t->id),
            NULL, NULL, &changed);
    free(was);
    if (st == CAPIF_DB_OK && changed == 0)
        return refuse(t, CCF_STORE_CHANGED);
    if (st == CAPIF_DB_OK)
        st =
            ccf_run(s, "DELETE FROM subscribed WHERE sub_id = $1", ARGS(t->id));
    return st;
}

static enum capif_db_status work_set(struct ccf_store *s, const void *what)
{
    const struct set *t = what;
    char *text = json_dumps(t->doc, JSON_COMPACT);
    struct columns c;
    enum capif_db_status st = still_member(s, t);
    const json_t *name;
    size_t i;

    columns_of(t->doc, &c);
    if (st == CAPIF_DB_OK && text == NULL)
        st = CAPIF_DB_ERROR;
    if (st == CAPIF_DB_OK)
        st = t->was == NULL ? insert(s, t, text, &c) : update(s, t, text, &c);
    json_array_foreach(json_object_get(t->doc, "events"), i, name)
    {
        if (st == CAPIF_DB_OK)
            st = ccf_run(s,
                         "INSERT INTO subscribed VALUES ($1, $2)"
                         " ON CONFLICT (name, sub_id) DO NOTHING",
                         ARGS(json_string_value(name), t->id));
    }
    free(text);
    return st;
}

enum ccf_store_status ccf_store_subscription_set(struct ccf_store *s,
                                                 const struct ccf_member *by,
                                                 const char *id,
                                                 const json_t *was,
                                                 const json_t *doc)
{
    enum ccf_store_status why = CCF_STORE_OK, st;
    const struct set t = { by, id, was, doc, &why };

    st = ccf_transact(s, work_set, &t);
    return why != CCF_STORE_OK ? why : st;
}

enum ccf_store_status ccf_store_subscription_delete(
    struct ccf_store *s, const struct capif_identity *owner, const char *id)
{
    return ccf_change_one(
        s,
        "DELETE FROM subscription WHERE id = $1"
        " AND ccf_id = $2 AND role = $3 AND owner = $4",
        ARGS(id, owner->ccf_id, capif_role_name(owner->role), owner->id));
}
