/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite in WAL mode.  synchronous=FULL: what was answered with 2xx survives
 * a loss of power, too.
 *
 * BEGIN IMMEDIATE: there is one writer at a time, so transactions are serial,
 * and nobody is ever told to try again.
 */
#include "db_ops.h"
#include "log.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

struct lite {
    struct capif_db db;
    sqlite3 *sqlite;
};

static struct lite *lite_of(struct capif_db *db)
{
    return (struct lite *)db;
}

static void lite_close(struct capif_db *db)
{
    struct lite *l = lite_of(db);

    for (size_t i = 0; i < CAPIF_DB_STATEMENTS; i++)
        sqlite3_finalize(db->statements[i].prepared);
    sqlite3_close(l->sqlite);
    free(l);
}

/*
 * While others do this for a new file, too, SQLite answers SQLITE_BUSY without
 * asking its busy handler.
 */
static bool set_up(sqlite3 *sqlite)
{
    int rc, left = CAPIF_DB_BUSY_MS;

    while (((rc = sqlite3_exec(sqlite,
                               "PRAGMA journal_mode=WAL;"
                               "PRAGMA synchronous=FULL;"
                               "PRAGMA foreign_keys=ON",
                               NULL, NULL, NULL))
            & 0xff)
               == SQLITE_BUSY
           && left > 0)
        left -= sqlite3_sleep(5);
    return rc == SQLITE_OK;
}

static struct capif_db *lite_open(const char *where)
{
    struct lite *l = calloc(1, sizeof(*l));

    if (l == NULL)
        return NULL;
    if (sqlite3_open_v2(where, &l->sqlite,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                            | SQLITE_OPEN_NOMUTEX,
                        NULL)
            != SQLITE_OK
        || sqlite3_busy_timeout(l->sqlite, CAPIF_DB_BUSY_MS) != SQLITE_OK
        || !set_up(l->sqlite)) {
        capif_log("store-failed", "file", where, "why",
                  sqlite3_errmsg(l->sqlite), NULL);
        lite_close(&l->db);
        return NULL;
    }
    return &l->db;
}

/* What a result code means; to be called before anything else is done. */
static enum capif_db_status outcome(struct lite *l, int rc)
{
    if (rc == SQLITE_OK || rc == SQLITE_DONE)
        return CAPIF_DB_OK;
    if ((rc & 0xff) == SQLITE_CONSTRAINT) {
        rc = sqlite3_extended_errcode(l->sqlite);
        if (rc == SQLITE_CONSTRAINT_PRIMARYKEY || rc == SQLITE_CONSTRAINT_UNIQUE
            || rc == SQLITE_CONSTRAINT_ROWID)
            return CAPIF_DB_CONFLICT;
    }
    capif_log("store-failed", "why", sqlite3_errmsg(l->sqlite), NULL);
    return CAPIF_DB_ERROR;
}

static enum capif_db_status lite_exec(struct capif_db *db, const char *sql)
{
    struct lite *l = lite_of(db);

    return outcome(l, sqlite3_exec(l->sqlite, sql, NULL, NULL, NULL));
}

static enum capif_db_status lite_begin(struct capif_db *db, bool schema)
{
    struct lite *l = lite_of(db);
    enum capif_db_status st;

    if (schema)
        sqlite3_busy_timeout(l->sqlite, CAPIF_DB_SCHEMA_MS);
    st = lite_exec(db, "BEGIN IMMEDIATE");
    if (schema)
        sqlite3_busy_timeout(l->sqlite, CAPIF_DB_BUSY_MS);
    return st;
}

static enum capif_db_status lite_commit(struct capif_db *db)
{
    return lite_exec(db, "COMMIT");
}

/* Some errors have rolled it back already. */
static void lite_rollback(struct capif_db *db)
{
    if (!sqlite3_get_autocommit(lite_of(db)->sqlite))
        (void)lite_exec(db, "ROLLBACK");
}

static void give_row(sqlite3_stmt *stmt, capif_db_row_fn *row, void *arg)
{
    const char *columns[CAPIF_DB_COLUMNS_MAX] = { NULL };
    int n = sqlite3_column_count(stmt);

    for (int i = 0; i < n && i < CAPIF_DB_COLUMNS_MAX; i++)
        columns[i] = (const char *)sqlite3_column_text(stmt, i);
    if (row != NULL)
        row(columns, arg);
}

/* NULL: logged. */
static sqlite3_stmt *prepared(struct lite *l, const char *sql)
{
    struct capif_db_statement *known = capif_db_statement(&l->db, sql);
    sqlite3_stmt *stmt = NULL;

    if (known == NULL || known->prepared != NULL)
        return known != NULL ? known->prepared : NULL;
    (void)outcome(l,
                  sqlite3_prepare_v3(l->sqlite, sql, -1,
                                     SQLITE_PREPARE_PERSISTENT, &stmt, NULL));
    return known->prepared = stmt;
}

static enum capif_db_status lite_run(struct capif_db *db, const char *sql,
                                     const char *const *args, size_t n_args,
                                     capif_db_row_fn *row, void *arg,
                                     size_t *changed)
{
    struct lite *l = lite_of(db);
    sqlite3_stmt *stmt = prepared(l, sql);
    enum capif_db_status st;
    int rc = SQLITE_OK;

    if (stmt == NULL)
        return CAPIF_DB_ERROR;
    for (size_t i = 0; rc == SQLITE_OK && i < n_args; i++)
        rc = sqlite3_bind_text(stmt, (int)i + 1, args[i], -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
            give_row(stmt, row, arg);
    st = outcome(l, rc);
    if (st == CAPIF_DB_OK && changed != NULL)
        *changed = sqlite3_stmt_readonly(stmt)
                       ? 0
                       : (size_t)sqlite3_changes(l->sqlite);
    sqlite3_reset(stmt); /* no statement keeps a lock, or its arguments */
    sqlite3_clear_bindings(stmt);
    return st;
}

const struct capif_db_ops capif_db_sqlite = {
    .open = lite_open,
    .close = lite_close,
    .begin = lite_begin,
    .commit = lite_commit,
    .rollback = lite_rollback,
    .run = lite_run,
    .exec = lite_exec,
    .table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1",
    .serial = "INTEGER PRIMARY KEY AUTOINCREMENT",
};
