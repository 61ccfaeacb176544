/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQLite in WAL mode.  synchronous=FULL: what was answered with 2xx survives
 * a loss of power, too.
 */
#include "db.h"

#include "log.h"

#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#define BUSY_MS     5000
#define COLUMNS_MAX 8

struct ccf_db {
    sqlite3 *sqlite;
};

struct ccf_db *ccf_db_open(const char *where)
{
    struct ccf_db *db = calloc(1, sizeof(*db));

    if (db == NULL)
        return NULL;
    if (sqlite3_open_v2(where, &db->sqlite,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
                            | SQLITE_OPEN_NOMUTEX,
                        NULL)
            != SQLITE_OK
        || sqlite3_busy_timeout(db->sqlite, BUSY_MS) != SQLITE_OK
        || sqlite3_exec(db->sqlite,
                        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                        "PRAGMA foreign_keys=ON",
                        NULL, NULL, NULL)
               != SQLITE_OK) {
        capif_log("store-failed", "file", where, "why",
                  sqlite3_errmsg(db->sqlite), NULL);
        ccf_db_close(db);
        return NULL;
    }
    return db;
}

void ccf_db_close(struct ccf_db *db)
{
    if (db == NULL)
        return;
    sqlite3_close(db->sqlite);
    free(db);
}

static void give_row(sqlite3_stmt *stmt, ccf_db_row_fn *row, void *arg)
{
    const char *columns[COLUMNS_MAX] = { NULL };
    int n = sqlite3_column_count(stmt);

    for (int i = 0; i < n && i < COLUMNS_MAX; i++)
        columns[i] = (const char *)sqlite3_column_text(stmt, i);
    if (row != NULL)
        row(columns, arg);
}

enum ccf_db_status ccf_db_run(struct ccf_db *db, const char *sql,
                              const char *const *args, size_t n_args,
                              ccf_db_row_fn *row, void *arg, size_t *changed)
{
    sqlite3_stmt *stmt = NULL;
    int rc = sqlite3_prepare_v2(db->sqlite, sql, -1, &stmt, NULL);

    for (size_t i = 0; rc == SQLITE_OK && i < n_args; i++)
        rc = sqlite3_bind_text(stmt, (int)i + 1, args[i], -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
            give_row(stmt, row, arg);
    sqlite3_finalize(stmt);
    if (rc == SQLITE_DONE) {
        if (changed != NULL)
            *changed = (size_t)sqlite3_changes(db->sqlite);
        return CCF_DB_OK;
    }
    if ((rc & 0xff) == SQLITE_CONSTRAINT)
        return CCF_DB_CONFLICT;
    capif_log("store-failed", "why", sqlite3_errmsg(db->sqlite), NULL);
    return CCF_DB_ERROR;
}
