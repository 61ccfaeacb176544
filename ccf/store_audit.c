/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finding invocations.  Whatever is asked, the rows come from an index in the
 * order of the answer, and end with it: the time range and one of the filters
 * are the index's, the others look at the rows that it gives.
 */
#include "store_log.h"

#include "ccf.h"
#include "log.h"
#include "store_tx.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 100 /* rows, as the statements have it */

struct found {
    const char *own;
    json_t *logs, *by_key; /* the same ones */
    size_t n, octets, max;
    size_t of_page;         /* rows that it had */
    char time[24], seq[24]; /* of the last row: the next page is below */
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

#define SELECT                                                           \
    "SELECT time, seq, aef_id, invoker_ccf, invoker_id, doc"             \
    " FROM invocation WHERE group_id = $1 AND (time, seq) < (CAST($2 AS" \
    " BIGINT), CAST($3 AS BIGINT)) AND time >= CAST($4 AS BIGINT)"

/*
 * True if the argument is NULL: no column is.  A planner takes all of it to
 * be true of one row in two, so that it never reads and sorts all for fear
 * that few pass.
 */
#define AND               " AND "
#define ALSO(column, arg) "COALESCE(" column " = " arg ", TRUE)"
#define REST(a, b, c)                                                         \
    ALSO(a, "$6")                                                             \
    AND ALSO(b, "$7") AND ALSO(c, "$8") AND ALSO("invoker_ccf", "$9")         \
        AND ALSO("api_version", "$10") AND ALSO("protocol", "$11")            \
            AND ALSO("operation", "$12") AND ALSO("result", "$13") AND ALSO(  \
                "resource", "$14") AND ALSO("src_addr", "$15")                \
                AND ALSO("src_port", "$16") AND ALSO("src_prefix", "$17")     \
                    AND ALSO("dst_addr", "$18") AND ALSO("dst_port", "$19")   \
                        AND ALSO("dst_prefix",                                \
                                 "$20") " THEN TRUE ELSE FALSE END ORDER BY " \
                                        "time DESC, seq DESC LIMIT 100"

#define BY(first, a, b, c) \
    SELECT " AND " first " = $5 AND CASE WHEN " REST(a, b, c)

/* By the filter that stands first, the next three in the order of each. */
static const char by_invoker[] =
    BY("invoker_id", "api_id", "api_name", "aef_id");
static const char by_api[] = BY("api_id", "invoker_id", "api_name", "aef_id");
static const char by_name[] = BY("api_name", "invoker_id", "api_id", "aef_id");
static const char by_aef[] = BY("aef_id", "invoker_id", "api_id", "api_name");
static const char by_time[] = SELECT " AND CASE WHEN " ALSO("aef_id", "$5")
    AND REST("invoker_id", "api_id", "api_name");

static const char *or_any(const char *text)
{
    return text != NULL && text[0] != '\0' ? text : NULL;
}

/* The statement for q, and its arguments $5 to $8. */
static const char *statement(const struct ccf_log_query *q, const char *arg[4])
{
    const char *const by[] = { q->invoker_id, q->api_id, q->api_name,
                               q->aef_id };
    static const char *const sql[] = { by_invoker, by_api, by_name, by_aef };
    size_t first = 0, n = 1;

    while (first < 4 && by[first] == NULL)
        first++;
    arg[0] = first < 4 ? by[first] : NULL;
    for (size_t i = 0; i < 4; i++)
        if (i != first && n < 4)
            arg[n++] = by[i];
    return first < 4 ? sql[first] : by_time;
}

static enum ccf_db_status page(struct ccf_store *s,
                               const struct ccf_log_query *q, struct found *f)
{
    const char *a[4], *sql = statement(q, a);
    char from[24];

    snprintf(from, sizeof(from), "%lld", (long long)q->from);
    f->of_page = 0;
    return ccf_look(s, sql,
                    ARGS(q->group_id, f->time, f->seq, from, a[0], a[1], a[2],
                         a[3], q->invoker_ccf, q->api_version, q->protocol,
                         q->operation, q->result, q->resource,
                         or_any(q->src.address), or_any(q->src.port),
                         or_any(q->src.prefix), or_any(q->dst.address),
                         or_any(q->dst.port), or_any(q->dst.prefix)),
                    row_found, f);
}

enum ccf_store_status ccf_store_log_find(struct ccf_store *s, const char *own,
                                         const struct ccf_log_query *q,
                                         json_t **logs, bool *truncated)
{
    struct found f = { .own = own, .max = q->max };
    enum ccf_db_status st;

    f.logs = json_array();
    f.by_key = json_object();
    f.failed = f.logs == NULL || f.by_key == NULL;
    snprintf(f.time, sizeof(f.time), "%lld", (long long)q->until + 1);
    strcpy(f.seq, "0");
    do
        st = page(s, q, &f);
    while (st == CCF_DB_OK && f.of_page == PAGE && !f.truncated && !f.failed);
    if (st == CCF_DB_OK && f.failed) {
        capif_log("store-failed", "why", "a log entry is no JSON", NULL);
        st = CCF_DB_ERROR;
    }
    json_decref(f.by_key);
    /* Something asked for is no text: nothing has it. */
    if (st != CCF_DB_OK && st != CCF_DB_NOT_FOUND) {
        json_decref(f.logs);
        return ccf_status_of(st);
    }
    *logs = f.logs;
    *truncated = f.truncated;
    return CCF_STORE_OK;
}
