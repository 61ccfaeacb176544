/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong with a file: it can't be opened, is none of ours, is of a
 * later version, is damaged, or the disk is full.
 */
#include "soft.h"

#include "store_revoke.h"

#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static const struct ccf_revocation all = { .ccf_id = "a.b", .invoker_id = "i" };

#define LATER (time(NULL) + 1000)

static char dir[] = "/tmp/sqlite-test-XXXXXX", file[64];

static int setup(void **state)
{
    strcpy(dir + sizeof(dir) - 7, "XXXXXX");
    assert_non_null(mkdtemp(dir));
    snprintf(file, sizeof(file), "%s/store", dir);
    *state = file;
    return 0;
}

static int teardown(void **state)
{
    static const char *const ends[] = { "", "-wal", "-shm", "-journal" };
    char path[80];

    (void)state;
    for (size_t i = 0; i < N_OF(ends); i++) {
        snprintf(path, sizeof(path), "%s%s", file, ends[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}

static void sql(const char *text)
{
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, text, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void refused(const char *where, const char *why)
{
    struct ccf_store *s;
    const char *log;

    soft_listen();
    s = ccf_store_open(where);
    log = soft_heard();
    assert_null(s);
    if (strstr(log, "event=store-failed") == NULL || strstr(log, why) == NULL)
        fail_msg("%s: %s", where, log);
}

static struct ccf_store *opened(void)
{
    struct ccf_store *s = ccf_store_open(file);

    assert_non_null(s);
    return s;
}

static enum ccf_store_status enrol(struct ccf_store *s, const json_t *doc)
{
    const struct ccf_enrolment e = { "jti", LATER };
    const struct ccf_member m = { .who = { CAPIF_INVOKER, "a.b", "i" } };

    return ccf_store_enrol(s, &e, "group", doc, &m, 1);
}

static void test_unopenable(void **state)
{
    (void)state;
    refused("/nonexistent/store", "unable to open");
    refused(dir, "unable to open");
}

static void test_no_database(void **state)
{
    char text[2048];

    (void)state;
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    soft_write(file, text);
    refused(file, "not a database");
}

static void test_later_version(void **state)
{
    (void)state;
    ccf_store_close(opened());
    sql("INSERT INTO schema_version VALUES (999999)");
    refused(file, "schema of a later version");
    sql("DELETE FROM schema_version WHERE v = 999999");
    ccf_store_close(opened());
}

/* Somebody else's tables: no half of a migration is left in it. */
static void test_foreign_schema(void **state)
{
    (void)state;
    sql("CREATE TABLE context (x TEXT)");
    refused(file, "context already exists");
    sql("CREATE TABLE enrolment (x TEXT); DROP TABLE enrolment;"
        "DROP TABLE context");
    ccf_store_close(opened());
}

/* Every function says so, and writes nothing out. */
static void test_lost_tables(void **state)
{
    const struct capif_identity who = { CAPIF_INVOKER, "a.b", "i" };
    struct ccf_store *s = opened();
    struct ccf_member m, was;
    json_t *doc = soft_json("{}"), *list = soft_json("[{'apiId':'x'}]");
    json_t *out = NULL;

    (void)state;
    sql("DROP TABLE member; DROP TABLE grp; DROP TABLE api;"
        "DROP TABLE context");
    memset(&m, 0x5a, sizeof(m));
    was = m;
    soft_listen();
    assert_int_equal(enrol(s, doc), CCF_STORE_ERROR);
    assert_int_equal(ccf_store_member(s, &who, &m), CCF_STORE_ERROR);
    assert_memory_equal(&m, &was, sizeof(m));
    assert_int_equal(ccf_store_offboard(s, &who, "g"), CCF_STORE_ERROR);
    assert_int_equal(ccf_store_api_put(s, "a.b", "x", "y", doc),
                     CCF_STORE_ERROR);
    assert_int_equal(ccf_store_api_get(s, "a.b", "x", &out), CCF_STORE_ERROR);
    assert_int_equal(ccf_store_api_list(s, "a.b", "x", &out), CCF_STORE_ERROR);
    assert_int_equal(ccf_store_api_delete(s, "a.b", "x", "y"), CCF_STORE_ERROR);
    assert_int_equal(ccf_store_api_replace(s, "a.b", list), CCF_STORE_ERROR);
    assert_int_equal(ccf_store_context_put(s, "a.b", "i", LATER, doc),
                     CCF_STORE_ERROR);
    assert_int_equal(ccf_store_context_get(s, "a.b", "i", &out),
                     CCF_STORE_ERROR);
    assert_int_equal(ccf_store_context_revoke(s, &all), CCF_STORE_ERROR);
    (void)soft_heard();
    assert_null(out);
    /* None of them has left a transaction open that keeps others out. */
    sql("INSERT INTO enrolment VALUES ('jti', 1)");
    ccf_store_close(s);
    json_decref(doc);
    json_decref(list);
}

/* Overwrite the first pages of all tables and indexes but the version's. */
static void damage(void)
{
    FILE *f = fopen(file, "r+");
    sqlite3_stmt *stmt = NULL;
    sqlite3 *db = NULL;

    assert_non_null(f);
    assert_int_equal(sqlite3_open(file, &db), SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "SELECT rootpage FROM sqlite_master WHERE"
                           " rootpage > 1 AND tbl_name NOT LIKE 'schema_%'",
                           -1, &stmt, NULL),
        SQLITE_OK);
    while (sqlite3_step(stmt) == SQLITE_ROW) {
        long page = (long)sqlite3_column_int64(stmt, 0);

        assert_int_equal(fseek(f, (page - 1) * 4096, SEEK_SET), 0);
        for (int i = 0; i < 4096; i++)
            assert_int_equal(fputc(0xff, f), 0xff);
    }
    assert_int_equal(sqlite3_finalize(stmt), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    assert_int_equal(fclose(f), 0);
}

/* Bytes of the file's pages overwritten while it was closed. */
static void test_damaged(void **state)
{
    struct ccf_store *s = opened();
    json_t *doc = soft_json("{}"), *out = NULL;

    (void)state;
    assert_int_equal(ccf_store_context_put(s, "a.b", "i", LATER, doc),
                     CCF_STORE_OK);
    ccf_store_close(s);
    damage();
    s = opened(); /* the version's own page is intact */
    soft_listen();
    assert_int_equal(ccf_store_context_get(s, "a.b", "i", &out),
                     CCF_STORE_ERROR);
    assert_int_equal(enrol(s, doc), CCF_STORE_ERROR);
    assert_non_null(strstr(soft_heard(), "malformed"));
    assert_null(out);
    ccf_store_close(s);
    json_decref(doc);
}

static void file_limit(rlim_t octets)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = octets;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* No room left: nothing has changed, and all is well when there is again. */
static void test_disk_full(void **state)
{
    const struct capif_identity who = { CAPIF_INVOKER, "a.b", "i" };
    struct ccf_store *s = opened();
    json_t *doc = soft_json("{'a':1}"), *out = NULL;
    enum ccf_store_status full[3];
    struct ccf_member m;

    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(ccf_store_context_put(s, "a.b", "i", LATER, doc),
                     CCF_STORE_OK);
    json_object_set_new(doc, "a", json_integer(2));
    file_limit(1);
    full[0] = enrol(s, doc);
    full[1] = ccf_store_context_put(s, "a.b", "i", LATER, doc);
    full[2] = ccf_store_context_revoke(s, &all);
    file_limit(RLIM_INFINITY);
    for (size_t i = 0; i < N_OF(full); i++)
        assert_int_equal(full[i], CCF_STORE_ERROR);
    assert_int_equal(ccf_store_member(s, &who, &m), CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_context_get(s, "a.b", "i", &out), CCF_STORE_OK);
    assert_int_equal(json_integer_value(json_object_get(out, "a")), 1);
    assert_int_equal(enrol(s, doc), CCF_STORE_OK);
    assert_int_equal(ccf_store_member(s, &who, &m), CCF_STORE_OK);
    ccf_store_close(s);
    json_decref(doc);
    json_decref(out);
}

#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_unopenable),    EACH(test_no_database),
        EACH(test_later_version), EACH(test_foreign_schema),
        EACH(test_lost_tables),   EACH(test_damaged),
        EACH(test_disk_full),
    };

    return cmocka_run_group_tests_name("ccf: store in a file", tests, NULL,
                                       NULL);
}
