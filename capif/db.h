/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif db: the few things a store asks of an SQL database.
 *
 * Statements use $1, $2, ... in the order of their first appearance, and
 * every argument and column is text, so that the same SQL serves any back
 * end.  NULL arguments and columns are SQL's NULL.  No `$1 IS NULL OR ...`:
 * a prepared statement with that has no use for an index.
 * Threads: a struct capif_db belongs to one.
 * Blocks for some seconds at most, except in a transaction for the schema.
 */
#ifndef CAPIF_DB_H
#define CAPIF_DB_H

#include <stdbool.h>
#include <stddef.h>

#define CAPIF_DB_COLUMNS_MAX 16

struct capif_db;

/* The arguments of a statement, and how many. */
#define CAPIF_DB_ARGS(...)                \
    (const char *const[]){ __VA_ARGS__ }, \
        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

/* Called for each row; the texts are gone when it returns. */
typedef void capif_db_row_fn(const char *const *columns, void *arg);

enum capif_db_status {
    CAPIF_DB_OK,
    CAPIF_DB_NOT_FOUND, /* an argument is no UTF-8, so nothing has it */
    CAPIF_DB_CONFLICT,  /* a key exists already */
    CAPIF_DB_RETRY,     /* lost to others: the same once more may succeed */
    CAPIF_DB_ERROR,     /* logged */
};

/*
 * postgresql:// and postgres:// are a server's, anything else is a file's
 * path.  NULL and a line in the log if it can't be opened.
 */
struct capif_db *capif_db_open(const char *where);
void capif_db_close(struct capif_db *db);

/*
 * Transactions are serializable, whatever the back end: one that commits has
 * seen and changed what it would have, had it been alone.  After anything but
 * CAPIF_DB_OK, roll back: nothing else is sure to do anything.  If it was
 * CAPIF_DB_RETRY, begin anew.  One for the schema may take minutes.
 */
enum capif_db_status capif_db_begin(struct capif_db *db, bool schema);
/* CAPIF_DB_ERROR: it may have been committed, or not. */
enum capif_db_status capif_db_commit(struct capif_db *db);
/* No matter whether one was begun. */
void capif_db_rollback(struct capif_db *db);

/*
 * Run one statement; row may be NULL.  *changed (may be NULL) is how many
 * rows it inserted, updated or deleted.  It stays prepared, and is known by
 * its address: sql is a string literal.  Outside of a transaction it is one
 * of its own, which for a look-up is enough.
 */
enum capif_db_status capif_db_run(struct capif_db *db, const char *sql,
                                  const char *const *args, size_t n_args,
                                  capif_db_row_fn *row, void *arg,
                                  size_t *changed);

/*
 * The same, not kept, for what has neither arguments nor rows: DDL.  There,
 * @SERIAL@ is the type of a primary key that the database counts up: whoever
 * inserts after another has committed gets the greater one.
 */
enum capif_db_status capif_db_exec(struct capif_db *db, const char *sql);

/* Whether there is such a table, where statements would look for it. */
enum capif_db_status capif_db_has_table(struct capif_db *db, const char *name,
                                        bool *has);

#endif
