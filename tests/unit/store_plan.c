/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every statement with a WHERE that the suite has run is served by an index:
 * asked of the database itself, for what was really sent to it.
 */
#include "store_suite.h"

#include "cluster.h"
#include "db.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <string.h>

#define SEEN_MAX 256

static const char *seen[SEEN_MAX];
static size_t n_seen; /* guarded by lock, as is what is in seen */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The linker's --wrap names them so. */
enum capif_db_status __real_capif_db_run(struct capif_db *db, const char *sql,
                                         const char *const *args, size_t n_args,
                                         capif_db_row_fn *row, void *arg,
                                         size_t *changed);
enum capif_db_status __wrap_capif_db_run(struct capif_db *db, const char *sql,
                                         const char *const *args, size_t n_args,
                                         capif_db_row_fn *row, void *arg,
                                         size_t *changed);

enum capif_db_status __wrap_capif_db_run(struct capif_db *db, const char *sql,
                                         const char *const *args, size_t n_args,
                                         capif_db_row_fn *row, void *arg,
                                         size_t *changed)
{
    size_t i = 0;

    pthread_mutex_lock(&lock);
    while (i < n_seen && seen[i] != sql)
        i++;
    if (i == n_seen && n_seen < SEEN_MAX)
        seen[n_seen++] = sql;
    pthread_mutex_unlock(&lock);
    return __real_capif_db_run(db, sql, args, n_args, row, arg, changed);
}

/* It has so many rows at most: they are read in order, not sorted. */
static bool is_bounded(const char *sql)
{
    return strstr(sql, "FROM invocation") != NULL
           && strstr(sql, " LIMIT 1") != NULL;
}

static void file_plan(const char *sql)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *stmt = NULL;
    char text[2048];

    snprintf(text, sizeof(text), "EXPLAIN QUERY PLAN %s", sql);
    assert_int_equal(sqlite3_open(store_place, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &stmt, NULL), SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        const char *step = (const char *)sqlite3_column_text(stmt, 3);

        if (strncmp(step, "SCAN", 4) == 0
            || (is_bounded(sql) && strstr(step, "TEMP B-TREE") != NULL))
            fail_msg("%s: %s", sql, step);
    }
    sqlite3_finalize(stmt);
    sqlite3_close(db);
}

/* So many rows that a server has a reason to use an index. */
static void fill(void)
{
    (void)cluster_sql(
        store_place,
        "INSERT INTO enrolment SELECT 'fill-' || g, 4000000000 + g"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO grp SELECT 'fill-' || g, '{}'"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO member SELECT 'c' || g % 3, 'invoker', 'fill-' || g,"
        " 'fill-' || g, '', 'ca', 'fill-' || g, 4000000000"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO revoked SELECT 'c' || g % 500, 'fill-' || g, 0,"
        " 4000000000 + g FROM generate_series(1, 5000) g;"
        "INSERT INTO crl SELECT 'c' || g, 'fill-' || g, 0, 0, 0, 0, 0, ''"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO api SELECT 'c' || g % 500, 'fill-' || g, 'a' || g % 500,"
        " '{}', 'n' || g % 1000, 'g' || g % 500"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO policy SELECT 'fill-' || g, 'f', 'g' || g % 500, g % 2"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO policy_entry SELECT 'fill-' || g, 'f', 'c' || g % 3,"
        " 'fill-' || g, g % 2, '{}' FROM generate_series(1, 5000) g;"
        "INSERT INTO routing SELECT 'fill-' || g, 'f', 'g' || g % 500, '{}'"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO context SELECT 'c' || g % 3, 'fill-' || g,"
        " 4000000000, '{}' FROM generate_series(1, 5000) g;"
        "INSERT INTO lane SELECT 'fill-' || g, '', 0, 4000000000000 + g, 0,"
        " g % 2"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO notice (id, lane, method, url, trust, expires)"
        " SELECT 'i', 'fill-' || g, 'POST', 'u', 'own', 0"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO partner_key SELECT 'fill-' || g, 0, '{}'"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO event (name) SELECT 'n' || g"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO subscription SELECT 'fill-' || g, 'c' || g % 3, 'invoker',"
        " 'fill-' || g, 'g', 4000000000000 + g, 4000000000000 + g, 0, 0, ',',"
        " '{}' FROM generate_series(1, 5000) g;"
        "INSERT INTO subscribed SELECT 'n' || g % 500, 'fill-' || g"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO held (sub_id, name) SELECT 'fill-' || g, 'n'"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO psk (psk_id, expires, doc, kek, ccf_id, invoker_id)"
        " SELECT 'fill-' || g, 4000000000 + g, '{}', 'k' || g % 500,"
        " 'c' || g % 3, 'i' || g % 500"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO revocation SELECT 'c' || g % 3, 'fill-' || g, 'a', 'n',"
        " 1000000000, 4000000000 + g FROM generate_series(1, 5000) g;"
        "INSERT INTO shared SELECT 'c' || g % 3, 'fill-' || g, '{}'"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO log_key SELECT 'g' || g % 50, 'a' || g % 500,"
        " 'fill-' || g, '', '', 4000000000 + g"
        " FROM generate_series(1, 5000) g;"
        "INSERT INTO invocation (group_id, log_id, time, received, aef_id,"
        " invoker_ccf, invoker_id, api_id, api_name, api_version, resource,"
        " protocol, operation, result, src_addr, src_port, src_prefix,"
        " dst_addr, dst_port, dst_prefix, doc) SELECT 'g' || g % 2, 'l', g, g,"
        " 'a' || g % 3, 'c', 'i' || g % 3, 'p' || g % 3, 'n' || g % 3,"
        " 'v1', 'r' || g % 9, 'HTTP_2', 'GET', '200', '', '', '', '', '', '',"
        " '{}' FROM generate_series(1, 50000) g");
    (void)cluster_sql(store_place, "ANALYZE");
}

/*
 * As after many executions: a plan for any arguments.  Not for what has
 * expired: a server plans that for each now, since a third of all rows, which
 * is its guess otherwise, is best read in one go.
 */
static void server_plan(const char *sql)
{
    const bool range = strncmp(sql, "DELETE", 6) == 0 && strchr(sql, '<');
    char text[2048], args[128] = "";
    const char *plan;
    size_t n;

    for (n = 1; n < 30; n++) {
        char name[8];

        snprintf(name, sizeof(name), "$%zu", n);
        if (strstr(sql, name) == NULL)
            break;
        strcat(args, n == 1 ? "'0'" : ",'0'");
    }
    snprintf(text, sizeof(text),
             "PREPARE p AS %s; SET plan_cache_mode = force_%s_plan;"
             "EXPLAIN EXECUTE p(%s)",
             sql, range ? "custom" : "generic", args);
    plan = cluster_sql(store_place, text);
    /* ON CONFLICT finds its row by the index that has the conflict. */
    if (strstr(plan, "Seq Scan") != NULL
        || (strstr(plan, "Index Cond") == NULL
            && strstr(plan, "Conflict Arbiter Indexes") == NULL)
        || (is_bounded(sql) && strstr(plan, "Sort") != NULL))
        fail_msg("%s:\n%s", sql, plan);
}

void test_plans(void **state)
{
    size_t looked = 0;

    (void)state;
    if (store_on_server)
        fill();
    for (size_t i = 0; i < n_seen; i++) {
        /* the conflict of an INSERT is found by its key */
        if (strstr(seen[i], " WHERE ") == NULL
            || (strncmp(seen[i], "INSERT", 6) == 0
                && strstr(seen[i], " VALUES ") != NULL))
            continue;
        looked++;
        if (store_on_server)
            server_plan(seen[i]);
        else
            file_plan(seen[i]);
    }
    assert_true(looked > 15);
    assert_true(n_seen < SEEN_MAX);
}
