/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif db, for its back ends: what each of them does, and the statements that
 * it has prepared.
 */
#ifndef CAPIF_DB_OPS_H
#define CAPIF_DB_OPS_H

#include "db.h"

#define CAPIF_DB_STATEMENTS 512 /* a power of 2; stores have far fewer */
#define CAPIF_DB_BUSY_MS    5000
#define CAPIF_DB_SCHEMA_MS  600000

struct capif_db_statement {
    const char *sql; /* NULL: unused */
    void *prepared;  /* the back end's; NULL: not yet */
};

struct capif_db_ops {
    struct capif_db *(*open)(const char *where);
    void (*close)(struct capif_db *db);
    enum capif_db_status (*begin)(struct capif_db *db, bool schema);
    enum capif_db_status (*commit)(struct capif_db *db);
    void (*rollback)(struct capif_db *db);
    enum capif_db_status (*run)(struct capif_db *db, const char *sql,
                                const char *const *args, size_t n_args,
                                capif_db_row_fn *row, void *arg,
                                size_t *changed);
    enum capif_db_status (*exec)(struct capif_db *db, const char *sql);
    const char *table;  /* a statement: one row if there is a table $1 */
    const char *serial; /* what @SERIAL@ stands for */
};

extern const struct capif_db_ops capif_db_sqlite;
extern const struct capif_db_ops capif_db_pg;

/* The first member of each back end's own. */
struct capif_db {
    const struct capif_db_ops *ops;
    struct capif_db_statement
        statements[CAPIF_DB_STATEMENTS]; /* a hash table */
};

/* The statement's place in the table; NULL and a log line if it is full. */
struct capif_db_statement *capif_db_statement(struct capif_db *db,
                                              const char *sql);

#endif
