/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf store, internal: what its files share.
 */
#ifndef CCF_STORE_INTERNAL_H
#define CCF_STORE_INTERNAL_H

#include "db.h"
#include "store.h"

/* A transaction that writes; false: there is none. */
bool ccf_store_begin(struct ccf_store *s);
/* Commit if st is CCF_STORE_OK, else roll back; what came of it all. */
enum ccf_store_status ccf_store_end(struct ccf_store *s,
                                    enum ccf_store_status st);
/* One statement, as ccf_db_run() has it. */
enum ccf_store_status ccf_store_run(struct ccf_store *s, const char *sql,
                                    const char *const *args, size_t n,
                                    ccf_db_row_fn *row, void *arg,
                                    size_t *changed);

#endif
