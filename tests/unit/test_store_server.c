/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong with a server: it can't be reached, lets nobody in, is of
 * another encoding or a later version, is killed, says nothing, or cuts a
 * connection at any point.
 */
#include "store_suite.h"

#include "cluster.h"
#include "db.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CUT                                                        \
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity" \
    " WHERE application_name = 'capif-hsm' AND datname = current_database()"
/* Runs the body at the end of each transaction that enrols. */
#define AT_COMMIT(body)                                            \
    "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS" \
    " $$ BEGIN " body "; RETURN NULL; END $$;"                     \
    "CREATE CONSTRAINT TRIGGER meddler AFTER INSERT ON enrolment"  \
    " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION meddle()"
#define AT_ONCE(body)                                              \
    "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS" \
    " $$ BEGIN " body "; RETURN NULL; END $$;"                     \
    "CREATE TRIGGER meddler AFTER INSERT ON enrolment"             \
    " FOR EACH ROW EXECUTE FUNCTION meddle()"
#define NO_MORE "DROP TRIGGER meddler ON enrolment; DROP FUNCTION meddle"

static char uri[160];
static int calls, cut_at; /* the connection is cut before this call */

static int setup(void **state)
{
    static int n;
    char name[16];

    snprintf(name, sizeof(name), "server%d", n++);
    cluster_database(name, uri, sizeof(uri));
    cut_at = 0;
    *state = ccf_store_open(uri);
    assert_non_null(*state);
    return 0;
}

static int teardown(void **state)
{
    ccf_store_close(*state);
    return 0;
}

/* ---- what the linker's --wrap makes of calls ---- */

enum capif_db_status __real_capif_db_run(struct capif_db *db, const char *sql,
                                         const char *const *args, size_t n_args,
                                         capif_db_row_fn *row, void *arg,
                                         size_t *changed);
enum capif_db_status __wrap_capif_db_run(struct capif_db *db, const char *sql,
                                         const char *const *args, size_t n_args,
                                         capif_db_row_fn *row, void *arg,
                                         size_t *changed);
enum capif_db_status __real_capif_db_commit(struct capif_db *db);
enum capif_db_status __wrap_capif_db_commit(struct capif_db *db);

static void count(void)
{
    if (++calls == cut_at)
        (void)cluster_sql(uri, CUT);
}

enum capif_db_status __wrap_capif_db_run(struct capif_db *db, const char *sql,
                                         const char *const *args, size_t n_args,
                                         capif_db_row_fn *row, void *arg,
                                         size_t *changed)
{
    count();
    return __real_capif_db_run(db, sql, args, n_args, row, arg, changed);
}

enum capif_db_status __wrap_capif_db_commit(struct capif_db *db)
{
    count();
    return __real_capif_db_commit(db);
}

/* ---- opening ---- */

static void refused(const char *where, const char *why, const char *secret)
{
    struct ccf_store *s;
    const char *log;

    soft_listen();
    s = ccf_store_open(where);
    log = soft_heard();
    assert_null(s);
    if (strstr(log, "event=store-failed") == NULL || strstr(log, why) == NULL)
        fail_msg("%s: %s", where, log);
    if (secret != NULL && strstr(log, secret) != NULL)
        fail_msg("the log has the password: %s", log);
}

static void test_unopenable(void **state)
{
    (void)state;
    refused("postgresql:///x?host=/nonexistent", "No such file", NULL);
    refused("postgresql://x@127.0.0.1:1/x", "refused", NULL);
    refused("postgresql://x@127.0.0.1:1/x?nonsense=1", "malformed", NULL);
}

/* Neither of a good URI, nor of any that is not. */
static void test_passwords(void **state)
{
    static const char *const slips[] = {
        "postgresql://u:s3cr3t%zz@h/d",   "postgresql://u:s3cr3t@h:port/d",
        "postgresql://u:s3cr3t@h/d?x=y",  "postgresql://u:s3cr3t@[h/d",
        "postgresql://u:s3cr3t%00@h/d",   "postgresql:/u:s3cr3t@h/d",
        "postgresql:u:s3cr3t@h/d",        "Postgresql://u:s3cr3t@h/d",
        "postgres//u:s3cr3t@h/d",         "mysql://u:s3cr3t@h/d",
        "postgresql//u:s3cr3t@nowhere/d",
    };
    char where[240];

    (void)state;
    for (size_t i = 0; i < N_OF(slips); i++)
        refused(slips[i], "event=store-failed", "s3cr3t");
    (void)cluster_sql(uri, "CREATE ROLE careful LOGIN PASSWORD 's3cr3t'");
    snprintf(where, sizeof(where), "postgresql://careful:wr0ng%s",
             strchr(uri, '@'));
    refused(where, "password authentication failed", "wr0ng");
    /* A role that may not make tables serves, once they are there. */
    snprintf(where, sizeof(where), "postgresql://careful:s3cr3t%s",
             strchr(uri, '@'));
    refused(where, "permission denied", "s3cr3t");
    (void)cluster_sql(uri, "GRANT SELECT, INSERT, UPDATE, DELETE ON"
                           " ALL TABLES IN SCHEMA public TO careful");
    ccf_store_close(*state);
    *state = ccf_store_open(where);
    assert_non_null(*state);
    assert_int_equal(store_enrol(*state, "jti", LATER, "group", NULL, 0),
                     CCF_STORE_OK);
}

static void test_other_encoding(void **state)
{
    char where[160];

    (void)state;
    (void)cluster_sql(uri, "CREATE DATABASE latin TEMPLATE template0"
                           " ENCODING 'LATIN1'");
    snprintf(where, sizeof(where), "postgresql://capif@/latin%s",
             strchr(uri, '?'));
    refused(where, "encoding is not UTF8", NULL);
}

static void test_later_version(void **state)
{
    (void)state;
    (void)cluster_sql(uri, "INSERT INTO schema_version VALUES (999999)");
    refused(uri, "schema of a later version", NULL);
}

/* Somebody else's tables: no half of a migration is left in it. */
static void test_foreign_schema(void **state)
{
    char where[160];
    struct ccf_store *s;

    (void)state;
    cluster_database("foreign_one", where, sizeof(where));
    (void)cluster_sql(where, "CREATE TABLE context (x TEXT)");
    refused(where, "is there already", NULL);
    assert_string_equal(cluster_sql(where, "SELECT count(*) FROM pg_tables"
                                           " WHERE schemaname = 'public'"),
                        "1");
    (void)cluster_sql(where, "DROP TABLE context");
    s = ccf_store_open(where);
    assert_non_null(s);
    ccf_store_close(s);
}

/* ---- losing it ---- */

static enum ccf_store_status enrol(struct ccf_store *s, int n)
{
    struct ccf_member m[2] = { store_member(CAPIF_AEF, "aef"),
                               store_member(CAPIF_APF, "apf") };
    char id[32];

    snprintf(id, sizeof(id), "%d", n);
    for (int i = 0; i < 2; i++)
        snprintf(m[i].who.id, sizeof(m[i].who.id), "%d-%d", n, i);
    return store_enrol(s, id, LATER, id, m, 2);
}

/* The whole enrolment is there, or nothing is. */
static bool is_enrolled(int n)
{
    char sql[240];
    const char *found;

    snprintf(sql, sizeof(sql),
             "SELECT (SELECT count(*) FROM enrolment WHERE jti = '%d')"
             " + (SELECT count(*) FROM grp WHERE id = '%d')"
             " + (SELECT count(*) FROM member WHERE group_id = '%d')",
             n, n, n);
    found = cluster_sql(uri, sql);
    if (strcmp(found, "0") != 0)
        assert_string_equal(found, "4");
    return strcmp(found, "0") != 0;
}

/* The status, and what was logged is of no interest. */
static enum ccf_store_status quietly(struct ccf_store *s, int n)
{
    enum ccf_store_status st;

    soft_listen();
    st = enrol(s, n);
    (void)soft_heard();
    return st;
}

static void test_cut_everywhere(void **state)
{
    int failures = 0;

    for (cut_at = 1;; cut_at++) {
        enum ccf_store_status st;

        calls = 0;
        st = quietly(*state, cut_at);
        if (calls < cut_at)
            break;
        failures += st == CCF_STORE_ERROR;
        assert_true(st == CCF_STORE_OK || st == CCF_STORE_ERROR);
        assert_int_equal(is_enrolled(cut_at), st == CCF_STORE_OK);
        /* It cost that operation, and no other. */
        calls = cut_at;
        assert_int_equal(enrol(*state, 1000 + cut_at), CCF_STORE_OK);
    }
    assert_int_equal(failures, 5); /* each of the transaction */
}

static void test_killed(void **state)
{
    struct ccf_member m = store_member(CAPIF_AEF, "1-0"), out;

    assert_int_equal(enrol(*state, 1), CCF_STORE_OK);
    cluster_kill();
    assert_int_equal(quietly(*state, 2), CCF_STORE_ERROR);
    soft_listen();
    assert_int_equal(ccf_store_member(*state, &m.who, &out), CCF_STORE_ERROR);
    (void)soft_heard();
    cluster_up();
    assert_int_equal(ccf_store_member(*state, &m.who, &out), CCF_STORE_OK);
    assert_string_equal(out.group_id, "1");
    assert_int_equal(enrol(*state, 1), CCF_STORE_CONFLICT);
    assert_int_equal(enrol(*state, 2), CCF_STORE_OK);
    /* Between two operations it isn't even noticed. */
    cluster_kill();
    cluster_up();
    assert_int_equal(enrol(*state, 3), CCF_STORE_OK);
}

/* Neither a yes nor a no to COMMIT is a no. */
static void test_lost_in_commit(void **state)
{
    (void)cluster_sql(
        uri, AT_COMMIT("PERFORM pg_terminate_backend(pg_backend_pid())"));
    assert_int_equal(quietly(*state, 1), CCF_STORE_ERROR);
    assert_false(is_enrolled(1));
    (void)cluster_sql(uri, NO_MORE);
    assert_int_equal(enrol(*state, 1), CCF_STORE_OK);
}

static void test_serialization(void **state)
{
    (void)cluster_sql(uri, "CREATE SEQUENCE tries");
    (void)cluster_sql(uri,
                      AT_COMMIT("IF nextval('tries') < 5 THEN RAISE EXCEPTION"
                                " 'later' USING ERRCODE = '40001'; END IF"));
    assert_int_equal(enrol(*state, 1), CCF_STORE_OK);
    assert_true(is_enrolled(1));
    (void)cluster_sql(uri, NO_MORE);
    (void)cluster_sql(
        uri, AT_COMMIT("RAISE EXCEPTION 'never' USING ERRCODE = '40P01'"));
    soft_listen();
    assert_int_equal(enrol(*state, 2), CCF_STORE_ERROR);
    assert_non_null(strstr(soft_heard(), "too many at the same time"));
    assert_false(is_enrolled(2));
    (void)cluster_sql(uri, NO_MORE);
    assert_int_equal(enrol(*state, 2), CCF_STORE_OK);
}

static time_t seconds_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* It holds the connection, and says nothing: we wait, but not for ever. */
static void test_silent(void **state)
{
    time_t began = seconds_now();
    int n = 0;

    cluster_freeze(true);
    soft_listen();
    assert_int_equal(enrol(*state, 1), CCF_STORE_ERROR);
    assert_int_equal(enrol(*state, 2), CCF_STORE_ERROR);
    assert_int_equal(enrol(*state, 3), CCF_STORE_ERROR);
    cluster_freeze(false);
    assert_true(seconds_now() - began < 16);
    while (enrol(*state, 4) != CCF_STORE_OK && n++ < 10)
        sleep(1);
    assert_non_null(strstr(soft_heard(), "no answer in time"));
    assert_true(n < 10);
}

/* A statement that the server gives up itself. */
static void test_statement_timeout(void **state)
{
    time_t began = seconds_now();
    const char *log;

    (void)cluster_sql(uri, AT_ONCE("PERFORM pg_sleep(60)"));
    soft_listen();
    assert_int_equal(enrol(*state, 1), CCF_STORE_ERROR);
    log = soft_heard();
    if (strstr(log, "state=57014") == NULL)
        fail_msg("%s", log);
    assert_true(seconds_now() - began < 8);
    (void)cluster_sql(uri, NO_MORE);
    assert_false(is_enrolled(1));
    assert_int_equal(enrol(*state, 1), CCF_STORE_OK);
}

/* What a server says of a row has the row in it. */
static void test_no_rows_in_log(void **state)
{
    json_t *docs = soft_json("[{'key':'s3cr3t'}]");
    const char *log;

    soft_listen();
    assert_int_equal(ccf_store_api_replace(*state, "a.b", docs),
                     CCF_STORE_ERROR);
    log = soft_heard();
    assert_non_null(strstr(log, "state=23502"));
    assert_null(strstr(log, "s3cr3t"));
    json_decref(docs);
}

/* However the server is set up. */
static void test_settings(void **state)
{
    (void)cluster_sql(uri,
                      "ALTER ROLE capif SET synchronous_commit = off;"
                      "ALTER ROLE capif SET default_transaction_isolation ="
                      " 'repeatable read';"
                      "ALTER ROLE capif SET statement_timeout = 0");
    ccf_store_close(*state);
    *state = ccf_store_open(uri);
    assert_non_null(*state);
    (void)cluster_sql(uri, "CREATE TABLE seen (name TEXT, setting TEXT)");
    (void)cluster_sql(
        uri, AT_COMMIT("INSERT INTO seen SELECT name, setting FROM pg_settings"
                       " WHERE name IN ('synchronous_commit',"
                       " 'statement_timeout', 'transaction_isolation')"));
    assert_int_equal(enrol(*state, 1), CCF_STORE_OK);
    assert_string_equal(
        cluster_sql(uri, "SELECT setting FROM seen ORDER BY name"),
        "5000\non\nserializable");
    (void)cluster_sql(uri, "ALTER ROLE capif RESET ALL");
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_unopenable),
        EACH(test_passwords),
        EACH(test_other_encoding),
        EACH(test_later_version),
        EACH(test_foreign_schema),
        EACH(test_cut_everywhere),
        EACH(test_killed),
        EACH(test_lost_in_commit),
        EACH(test_serialization),
        EACH(test_silent),
        EACH(test_statement_timeout),
        EACH(test_no_rows_in_log),
        EACH(test_settings),
    };
    int failed;

    if (!cluster_start())
        return EXIT_FAILURE;
    failed = cmocka_run_group_tests_name("ccf: store on a server", tests, NULL,
                                         NULL);
    cluster_stop();
    return failed;
}
