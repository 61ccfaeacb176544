/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf db: the few things ccf/store.c asks of an SQL database.
 *
 * Statements use $1, $2, ... in the order of their first appearance, and
 * every argument and column is text, so that the same SQL serves any back
 * end.  NULL arguments and columns are SQL's NULL.
 * Threads: a struct ccf_db belongs to one.
 */
#ifndef CCF_DB_H
#define CCF_DB_H

#include <stdbool.h>
#include <stddef.h>

struct ccf_db;

/* Called for each row; the texts are gone when it returns. */
typedef void ccf_db_row_fn(const char *const *columns, void *arg);

enum ccf_db_status {
    CCF_DB_OK,
    CCF_DB_CONFLICT, /* a key exists already; the transaction is void */
    CCF_DB_ERROR,    /* logged */
};

/* NULL and a line in the log if it can't be opened. */
struct ccf_db *ccf_db_open(const char *where);
void ccf_db_close(struct ccf_db *db);

/*
 * Run one statement; row may be NULL.  *changed (may be NULL) is how many
 * rows it inserted, updated or deleted.
 */
enum ccf_db_status ccf_db_run(struct ccf_db *db, const char *sql,
                              const char *const *args, size_t n_args,
                              ccf_db_row_fn *row, void *arg, size_t *changed);

#endif
