/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf store, for its own files: transactions and documents.
 *
 * A new function of ccf/store.h is a work function given to ccf_transact(),
 * or one ccf_look(); it needs no thought of who else does what meanwhile.
 */
#ifndef CCF_STORE_TX_H
#define CCF_STORE_TX_H

#include "db.h"
#include "store.h"

struct ccf_notice;

struct ccf_store {
    struct capif_db *db;
    const struct ccf_notice *owed; /* ccf_store_owe() */
    size_t n_owed;
    const struct ccf_domain *domain; /* or NULL */
};

/* Arguments of a statement, and how many. */
#define ARGS(...) CAPIF_DB_ARGS(__VA_ARGS__)

enum ccf_store_status ccf_status_of(enum capif_db_status st);

/* What a transaction does; all but CAPIF_DB_OK rolls it back. */
typedef enum capif_db_status ccf_work_fn(struct ccf_store *s, const void *what);

/*
 * Commit what work does.  It is run again if others were in its way, so it
 * changes nothing but the database.
 */
enum ccf_store_status ccf_transact(struct ccf_store *s, ccf_work_fn *work,
                                   const void *what);

/* In a transaction: a statement that may change any number of rows. */
enum capif_db_status ccf_run(struct ccf_store *s, const char *sql,
                             const char *const *args, size_t n);

/* In a transaction: ccf_store_member(). */
enum capif_db_status ccf_member_get(struct ccf_store *s,
                                    const struct capif_identity *who,
                                    struct ccf_member *out);

/* In a transaction: is there that AEF, of that provider domain? */
enum capif_db_status ccf_aef_of_group(struct ccf_store *s, const char *ccf_id,
                                      const char *aef_id, const char *group_id,
                                      bool *is);

/* Is the schema of this version of ours?  A later one is an error. */
enum capif_db_status ccf_schema_is_new(struct ccf_store *s, bool *is);
/* The transaction that makes it so. */
ccf_work_fn ccf_schema_renew;
/* In that transaction: api_name of what was there before. */
enum capif_db_status ccf_api_names_fill(struct ccf_store *s);

/*
 * In a transaction: take hold of by's group, and see that by is still the
 * member that it was; else NOT_FOUND, and *why is CCF_STORE_GONE.
 */
enum capif_db_status ccf_member_hold(struct ccf_store *s,
                                     const struct ccf_member *by,
                                     enum ccf_store_status *why);

/* A transaction of one statement; NOT_FOUND if that changes no row. */
enum ccf_store_status ccf_change_one(struct ccf_store *s, const char *sql,
                                     const char *const *args, size_t n);

/*
 * Delete what has expired, by a statement whose $1 is now.  Not in another's
 * transaction: whether it is gone makes no difference to anybody, but there
 * it would collide with all others that do the same.
 */
void ccf_forget(struct ccf_store *s, const char *sql);

/* Outside of a transaction; on failure, row may have been given some. */
enum capif_db_status ccf_look(struct ccf_store *s, const char *sql,
                              const char *const *args, size_t n,
                              capif_db_row_fn *row, void *arg);

/*
 * The documents that a look-up gives, as an array, and the first of them.
 * One that is damaged is an error, not a document less.
 */
enum ccf_store_status ccf_docs(struct ccf_store *s, const char *sql,
                               const char *const *args, size_t n, json_t **out);
enum ccf_store_status ccf_doc(struct ccf_store *s, const char *sql,
                              const char *const *args, size_t n, json_t **doc);

/* A row function: sets the bool at arg. */
void ccf_row_there(const char *const *columns, void *arg);

/* The same: replaces the json_t * at arg by the document, NULL if damaged. */
void ccf_row_doc(const char *const *columns, void *arg);

/* A number as an argument. */
void ccf_seconds(time_t t, char out[24]);

#endif
