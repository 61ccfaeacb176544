/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf db, for its back ends: what each of them does, and the statements that
 * it has prepared.
 */
#ifndef CCF_DB_OPS_H
#define CCF_DB_OPS_H

#include "db.h"

#define CCF_DB_STATEMENTS 512 /* a power of 2; store.c has far fewer */
#define CCF_DB_BUSY_MS    5000
#define CCF_DB_SCHEMA_MS  600000

struct ccf_db_statement {
    const char *sql; /* NULL: unused */
    void *prepared;  /* the back end's; NULL: not yet */
};

struct ccf_db_ops {
    struct ccf_db *(*open)(const char *where);
    void (*close)(struct ccf_db *db);
    enum ccf_db_status (*begin)(struct ccf_db *db, bool schema);
    enum ccf_db_status (*commit)(struct ccf_db *db);
    void (*rollback)(struct ccf_db *db);
    enum ccf_db_status (*run)(struct ccf_db *db, const char *sql,
                              const char *const *args, size_t n_args,
                              ccf_db_row_fn *row, void *arg, size_t *changed);
    enum ccf_db_status (*exec)(struct ccf_db *db, const char *sql);
    const char *table;  /* a statement: one row if there is a table $1 */
    const char *serial; /* what @SERIAL@ stands for */
};

extern const struct ccf_db_ops ccf_db_sqlite;
extern const struct ccf_db_ops ccf_db_pg;

/* The first member of each back end's own. */
struct ccf_db {
    const struct ccf_db_ops *ops;
    struct ccf_db_statement statements[CCF_DB_STATEMENTS]; /* a hash table */
};

/* The statement's place in the table; NULL and a log line if it is full. */
struct ccf_db_statement *ccf_db_statement(struct ccf_db *db, const char *sql);

#endif
