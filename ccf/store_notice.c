/* SPDX-License-Identifier: Apache-2.0 */
#include "notice.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_OCTETS 16

static void ms_text(int64_t t, char out[24])
{
    snprintf(out, 24, "%lld", (long long)t);
}

static bool make_id(char out[2 * ID_OCTETS + 1])
{
    unsigned char raw[ID_OCTETS];

    if (RAND_bytes(raw, sizeof(raw)) != 1)
        return false;
    for (size_t i = 0; i < sizeof(raw); i++)
        snprintf(out + 2 * i, 3, "%02x", raw[i]);
    return true;
}

enum capif_db_status ccf_notice_add(struct ccf_store *s,
                                    const struct ccf_notice *n)
{
    const char *lane = n->lane != NULL ? n->lane : n->url;
    const char *method = n->method != NULL ? n->method : "POST";
    const bool public = strcmp(n->trust, CCF_TRUST_PUBLIC) == 0;
    char *text = n->body != NULL ? json_dumps(n->body, JSON_COMPACT) : NULL;
    char id[2 * ID_OCTETS + 1], expires[24];
    enum capif_db_status st = CAPIF_DB_ERROR;

    ms_text(((int64_t)time(NULL) + CCF_NOTICE_SECONDS) * 1000, expires);
    if ((text != NULL || n->body == NULL) && make_id(id))
        st = ccf_run(s,
                     "INSERT INTO lane (lane, owner, until, due, tries, public)"
                     " VALUES ($1, '', 0, 0, 0, $2)"
                     " ON CONFLICT (lane) DO NOTHING",
                     ARGS(lane, public ? "1" : "0"));
    if (st == CAPIF_DB_OK)
        st = ccf_run(s,
                     "INSERT INTO notice (id, lane, method, url, trust, doc,"
                     " expires) VALUES ($1, $2, $3, $4, $5, $6, $7)",
                     ARGS(id, lane, method, n->url, n->trust, text, expires));
    free(text);
    return st;
}

static enum capif_db_status work_add(struct ccf_store *s, const void *what)
{
    return ccf_notice_add(s, what);
}

enum ccf_store_status ccf_store_notice_add(struct ccf_store *s,
                                           const struct ccf_notice *notice)
{
    return ccf_transact(s, work_add, notice);
}

/* ---- for the courier ---- */

struct take {
    const char *owner, *now, *until;
    char **lanes;
    size_t max, max_public, *n;
};

static void lanes_clear(struct take *t)
{
    while (*t->n > 0)
        free(t->lanes[--*t->n]);
}

static void row_lane(const char *const *columns, void *arg)
{
    struct take *t = arg;

    if (*t->n < t->max && (t->lanes[*t->n] = strdup(columns[0])) != NULL)
        ++*t->n;
}

static const char due_sql[] =
    "SELECT lane FROM lane WHERE public = $1 AND due <= $2 AND until <= $2"
    " ORDER BY due LIMIT $3";

static enum capif_db_status work_take(struct ccf_store *s, const void *what)
{
    struct take t = *(const struct take *)what;
    char room[24];
    enum capif_db_status st;

    lanes_clear(&t); /* it may be another attempt */
    ms_text((int64_t)t.max, room);
    st = capif_db_run(s->db, due_sql, ARGS("0", t.now, room), row_lane, &t,
                      NULL);
    if (t.max_public > t.max - *t.n)
        t.max_public = t.max - *t.n;
    ms_text((int64_t)t.max_public, room);
    if (st == CAPIF_DB_OK && t.max_public > 0)
        st = capif_db_run(s->db, due_sql, ARGS("1", t.now, room), row_lane, &t,
                          NULL);
    for (size_t i = 0; st == CAPIF_DB_OK && i < *t.n; i++)
        st =
            ccf_run(s, "UPDATE lane SET owner = $1, until = $2 WHERE lane = $3",
                    ARGS(t.owner, t.until, t.lanes[i]));
    return st;
}

/* Most of the time there are none: a look-up outside of a transaction. */
enum ccf_store_status ccf_lanes_take(struct ccf_store *s, const char *owner,
                                     int64_t now, int64_t until, char **lanes,
                                     size_t max, size_t max_public, size_t *n)
{
    char now_text[24], until_text[24];
    struct take t = { owner, now_text, until_text, lanes, max, max_public, n };
    enum ccf_store_status st;
    bool any = false;

    *n = 0;
    ms_text(now, now_text);
    ms_text(until, until_text);
    st = ccf_status_of(
        ccf_look(s, due_sql, ARGS("0", now_text, "1"), ccf_row_there, &any));
    if (st == CCF_STORE_OK && !any && max_public > 0)
        st = ccf_status_of(ccf_look(s, due_sql, ARGS("1", now_text, "1"),
                                    ccf_row_there, &any));
    if (st == CCF_STORE_OK && any)
        st = ccf_transact(s, work_take, &t);
    if (st != CCF_STORE_OK)
        lanes_clear(&t);
    return st;
}

void ccf_notice_clear(struct ccf_notice_row *row)
{
    free(row->method);
    free(row->url);
    free(row->trust);
    free(row->text);
    memset(row, 0, sizeof(*row));
}

/* Also where there is no memory for a copy: it is NULL then. */
static void row_notice(const char *const *columns, void *arg)
{
    struct ccf_notice_row *row = arg;

    snprintf(row->seq, sizeof(row->seq), "%s", columns[0]);
    snprintf(row->id, sizeof(row->id), "%s", columns[1]);
    row->method = strdup(columns[2]);
    row->url = strdup(columns[3]);
    row->trust = strdup(columns[4]);
    row->text = columns[5] != NULL ? strdup(columns[5]) : NULL;
    row->expires = strtoll(columns[6], NULL, 10);
    row->tries = (unsigned)strtoul(columns[7], NULL, 10);
    if (columns[5] != NULL && row->text == NULL) {
        free(row->url);
        row->url = NULL;
    }
}

static const char next_sql[] =
    "SELECT n.seq, n.id, n.method, n.url, n.trust, n.doc, n.expires, l.tries"
    " FROM lane l JOIN notice n ON n.lane = l.lane"
    " WHERE l.lane = $1 AND l.owner = $2 ORDER BY n.seq LIMIT 1";

struct next {
    const char *owner, *lane;
    struct ccf_notice_row *row;
};

/* Look once more, since one may just have come; else the lane goes. */
static enum capif_db_status work_next(struct ccf_store *s, const void *what)
{
    const struct next *n = what;
    enum capif_db_status st;

    ccf_notice_clear(n->row); /* it may be another attempt */
    st = capif_db_run(s->db, next_sql, ARGS(n->lane, n->owner), row_notice,
                      n->row, NULL);
    if (st == CAPIF_DB_OK && n->row->seq[0] == '\0')
        st = ccf_run(s, "DELETE FROM lane WHERE lane = $1 AND owner = $2",
                     ARGS(n->lane, n->owner));
    return st;
}

enum ccf_store_status ccf_lane_next(struct ccf_store *s, const char *owner,
                                    const char *lane,
                                    struct ccf_notice_row *out)
{
    struct ccf_notice_row row = { .tries = 0 };
    const struct next n = { owner, lane, &row };
    enum ccf_store_status st = ccf_status_of(
        ccf_look(s, next_sql, ARGS(lane, owner), row_notice, &row));

    if (st == CCF_STORE_OK && row.seq[0] == '\0')
        st = ccf_transact(s, work_next, &n);
    if (st == CCF_STORE_OK && row.seq[0] == '\0')
        st = CCF_STORE_NOT_FOUND;
    else if (st == CCF_STORE_OK
             && (row.method == NULL || row.url == NULL || row.trust == NULL))
        st = CCF_STORE_ERROR;
    if (st == CCF_STORE_OK)
        *out = row;
    else
        ccf_notice_clear(&row);
    return st;
}

struct done {
    const char *owner, *lane, *seq, *until;
};

/*
 * Whoever adds to the lane meanwhile would have to begin anew for each change
 * of its row, so that it is read, and changed only to renew the lease.
 */
static enum capif_db_status work_done(struct ccf_store *s, const void *what)
{
    const struct done *d = what;
    bool ours = false;
    enum capif_db_status st =
        capif_db_run(s->db, "SELECT 1 FROM lane WHERE lane = $1 AND owner = $2",
                     ARGS(d->lane, d->owner), ccf_row_there, &ours, NULL);

    if (st == CAPIF_DB_OK && !ours)
        return CAPIF_DB_NOT_FOUND;
    if (st == CAPIF_DB_OK)
        st = ccf_run(s, "DELETE FROM notice WHERE seq = $1", ARGS(d->seq));
    if (st == CAPIF_DB_OK && d->until != NULL)
        st = ccf_run(s, "UPDATE lane SET until = $1, tries = 0 WHERE lane = $2",
                     ARGS(d->until, d->lane));
    return st;
}

enum ccf_store_status ccf_lane_done(struct ccf_store *s, const char *owner,
                                    const char *lane, const char *seq,
                                    int64_t until)
{
    char text[24];
    const struct done d = { owner, lane, seq, until != 0 ? text : NULL };

    ms_text(until, text);
    return ccf_transact(s, work_done, &d);
}

enum ccf_store_status ccf_lane_failed(struct ccf_store *s, const char *owner,
                                      const char *lane, int64_t due)
{
    char text[24];

    ms_text(due, text);
    return ccf_change_one(s,
                          "UPDATE lane SET owner = '', until = 0, due = $1,"
                          " tries = tries + 1 WHERE lane = $2 AND owner = $3",
                          ARGS(text, lane, owner));
}
