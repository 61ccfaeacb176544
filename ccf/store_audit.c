/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding invocations.  Whatever is asked, the rows come from an index in the
 * order of the answer, and end with it: the time range and one of the filters
 * are the index's, the others look at the rows that it gives, of which there
 * may be very many and none of them what is looked for.  So these are read in
 * windows, and no more of them than is said.
 */
#include "store_log.h"

#include "ccf.h"
#include "log.h"
#include "store_tx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE    100 /* rows, as the statements have it */
#define WINDOWS 10  /* in which all that may be looked at is read */

struct found {
    const char *own;
    json_t *logs, *by_key; /* the same ones */
    size_t n, octets, max;
    size_t of_page;         /* rows that it had */
    char time[24], seq[24]; /* of the last row: the next page is below */
    char edge_time[24], edge_seq[24]; /* of the last row of the window */
    bool is_last;                     /* it is that of all rows */
    bool truncated, failed;
};

/* ---- the answer ---- */

/* The log of that AEF and invoker; borrowed, and NULL if there is no room. */
static json_t *log_of(struct found *f, const char *aef_id, const char *ccf_id,
                      const char *invoker_id)
{
    char key[3 * (CAPIF_CCF_ID_MAX + 1)];
    json_t *log;

    snprintf(key, sizeof(key), "%s %s %s", ccf_id, aef_id, invoker_id);
    if ((log = json_object_get(f->by_key, key)) != NULL)
        return log;
    log = json_pack("{s:s, s:s, s:[]}", "aefId", aef_id, "apiInvokerId",
                    invoker_id, "logs");
    if (strcmp(ccf_id, f->own) != 0)
        json_object_set_new(log, CCF_VS, json_pack("{s:s}", "ccfId", ccf_id));
    if (json_object_set(f->by_key, key, log) != 0
        || json_array_append(f->logs, log) != 0)
        f->failed = true;
    json_decref(log);
    return json_object_get(f->by_key, key);
}

static void row_found(const char *const *columns, void *arg)
{
    struct found *f = arg;
    const size_t len = strlen(columns[5]);
    json_t *entry;

    f->of_page++;
    if (f->n == f->max || f->octets + len > CCF_AUDIT_OCTETS)
        f->truncated = true;
    if (f->truncated || f->failed)
        return;
    snprintf(f->time, sizeof(f->time), "%s", columns[0]);
    snprintf(f->seq, sizeof(f->seq), "%s", columns[1]);
    f->n++;
    f->octets += len;
    entry = json_loads(columns[5], JSON_REJECT_DUPLICATES, NULL);
    if (entry == NULL
        || json_array_append_new(
               json_object_get(log_of(f, columns[2], columns[3], columns[4]),
                               "logs"),
               entry)
               != 0)
        f->failed = true;
}

/* ---- the question ---- */

#define WHERE                                                            \
    " FROM invocation WHERE group_id = $1 AND (time, seq) < (CAST($2 AS" \
    " BIGINT), CAST($3 AS BIGINT))"
#define SELECT                                                     \
    "SELECT time, seq, aef_id, invoker_ccf, invoker_id, doc" WHERE \
    " AND (time, seq) >= (CAST($4 AS BIGINT), CAST($5 AS BIGINT))"

/*
 * True if the argument is NULL: no column is.  A planner takes all of it to
 * be true of one row in two, so that it never reads and sorts all for fear
 * that few pass.
 */
#define AND               " AND "
#define ALSO(column, arg) "COALESCE(" column " = " arg ", TRUE)"
#define REST(a, b, c)                                                         \
    ALSO(a, "$7")                                                             \
    AND ALSO(b, "$8") AND ALSO(c, "$9") AND ALSO("invoker_ccf", "$10")        \
        AND ALSO("api_version", "$11") AND ALSO("protocol", "$12")            \
            AND ALSO("operation", "$13") AND ALSO("result", "$14") AND ALSO(  \
                "resource", "$15") AND ALSO("src_addr", "$16")                \
                AND ALSO("src_port", "$17") AND ALSO("src_prefix", "$18")     \
                    AND ALSO("dst_addr", "$19") AND ALSO("dst_port", "$20")   \
                        AND ALSO("dst_prefix",                                \
                                 "$21") " THEN TRUE ELSE FALSE END ORDER BY " \
                                        "time DESC, seq DESC LIMIT 100"

#define BY(first, a, b, c) \
    SELECT " AND " first " = $6 AND CASE WHEN " REST(a, b, c)

/* By the filter that stands first, the next three in the order of each. */
static const char by_invoker[] =
    BY("invoker_id", "api_id", "api_name", "aef_id");
static const char by_api[] = BY("api_id", "invoker_id", "api_name", "aef_id");
static const char by_name[] = BY("api_name", "invoker_id", "api_id", "aef_id");
static const char by_aef[] = BY("aef_id", "invoker_id", "api_id", "api_name");
static const char by_time[] = SELECT " AND CASE WHEN " ALSO("aef_id", "$6")
    AND REST("invoker_id", "api_id", "api_name");

/* The end of a window. */
#define EDGE "SELECT time, seq" WHERE " AND time >= CAST($4 AS BIGINT)"
#define NTH(arg) \
    " ORDER BY time DESC, seq DESC LIMIT 1 OFFSET CAST(" arg " AS BIGINT)"
static const char edge_by_invoker[] = EDGE " AND invoker_id = $5" NTH("$6");
static const char edge_by_api[] = EDGE " AND api_id = $5" NTH("$6");
static const char edge_by_name[] = EDGE " AND api_name = $5" NTH("$6");
static const char edge_by_aef[] = EDGE " AND aef_id = $5" NTH("$6");
static const char edge_by_time[] = EDGE NTH("$5");

/* What a query needs: statements, and their arguments. */
struct plan {
    const char *page, *edge;
    const char *by;       /* the index's filter, or NULL */
    const char *rest[15]; /* the others; NULL: anything */
    bool leaves_out;      /* not all of them are NULL */
};

static const char *or_any(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static struct plan plan_of(const struct ccf_log_query *q)
{
    const char *const by[] = { q->invoker_id, q->api_id, q->api_name,
                               q->aef_id };
    static const char *const pages[] = { by_invoker, by_api, by_name, by_aef,
                                         by_time };
    static const char *const edges[] = { edge_by_invoker, edge_by_api,
                                         edge_by_name, edge_by_aef,
                                         edge_by_time };
    struct plan p = {
        .rest = { NULL, NULL, NULL, q->invoker_ccf, q->api_version, q->protocol,
                  q->operation, q->result, q->resource, or_any(q->src.address),
                  or_any(q->src.port), or_any(q->src.prefix),
                  or_any(q->dst.address), or_any(q->dst.port),
                  or_any(q->dst.prefix) },
    };
    size_t first = 0, n = 0;

    while (first < 4 && by[first] == NULL)
        first++;
    p.page = pages[first];
    p.edge = edges[first];
    p.by = first < 4 ? by[first] : NULL;
    for (size_t i = 0; i < 4; i++)
        if (i != first && n < 3)
            p.rest[n++] = by[i];
    for (size_t i = 0; i < sizeof(p.rest) / sizeof(p.rest[0]); i++)
        p.leaves_out = p.leaves_out || p.rest[i] != NULL;
    return p;
}

/* ---- in windows, and pages of them ---- */

static void row_edge(const char *const *columns, void *arg)
{
    struct found *f = arg;

    snprintf(f->edge_time, sizeof(f->edge_time), "%s", columns[0]);
    snprintf(f->edge_seq, sizeof(f->edge_seq), "%s", columns[1]);
    f->is_last = false;
}

/* Below the last row: all there is, unless most of it may be left out. */
static enum capif_db_status window(struct ccf_store *s,
                                   const struct ccf_log_query *q,
                                   const struct plan *p, struct found *f)
{
    char from[24], nth[24];
    const char *args[] = { q->group_id, f->time, f->seq, from, p->by, nth };

    snprintf(from, sizeof(from), "%lld", (long long)q->from);
    snprintf(nth, sizeof(nth), "%zu", q->look / WINDOWS - 1);
    f->is_last = true;
    strcpy(f->edge_time, from);
    strcpy(f->edge_seq, "0");
    if (!p->leaves_out)
        return CAPIF_DB_OK;
    if (p->by == NULL)
        args[4] = nth;
    return ccf_look(s, p->edge, args, p->by != NULL ? 6 : 5, row_edge, f);
}

static enum capif_db_status page(struct ccf_store *s,
                                 const struct ccf_log_query *q,
                                 const struct plan *p, struct found *f)
{
    const char *const *r = p->rest;

    f->of_page = 0;
    return ccf_look(s, p->page,
                    ARGS(q->group_id, f->time, f->seq, f->edge_time,
                         f->edge_seq, p->by, r[0], r[1], r[2], r[3], r[4], r[5],
                         r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13],
                         r[14]),
                    row_found, f);
}

static enum capif_db_status read_all(struct ccf_store *s,
                                     const struct ccf_log_query *q,
                                     struct found *f)
{
    const struct plan p = plan_of(q);
    enum capif_db_status st;

    for (int n = 0; n < WINDOWS; n++) {
        if ((st = window(s, q, &p, f)) != CAPIF_DB_OK)
            return st;
        do
            st = page(s, q, &p, f);
        while (st == CAPIF_DB_OK && f->of_page == PAGE && !f->truncated
               && !f->failed);
        if (st != CAPIF_DB_OK || f->truncated || f->failed || f->is_last)
            return st;
        strcpy(f->time, f->edge_time);
        strcpy(f->seq, f->edge_seq);
    }
    f->truncated = true;
    return CAPIF_DB_OK;
}

enum ccf_store_status ccf_store_log_find(struct ccf_store *s, const char *own,
                                         const struct ccf_log_query *q,
                                         json_t **logs, bool *truncated)
{
    struct found f = { .own = own, .max = q->max };
    enum capif_db_status st;

    f.logs = json_array();
    f.by_key = json_object();
    f.failed = f.logs == NULL || f.by_key == NULL;
    snprintf(f.time, sizeof(f.time), "%lld", (long long)q->until + 1);
    strcpy(f.seq, "0");
    st = read_all(s, q, &f);
    if (st == CAPIF_DB_OK && f.failed) {
        capif_log("store-failed", "why", "a log entry is no JSON", NULL);
        st = CAPIF_DB_ERROR;
    }
    json_decref(f.by_key);
    /* Something asked for is no text: nothing has it. */
    if (st != CAPIF_DB_OK && st != CAPIF_DB_NOT_FOUND) {
        json_decref(f.logs);
        return ccf_status_of(st);
    }
    *logs = f.logs;
    *truncated = f.truncated;
    return CCF_STORE_OK;
}
