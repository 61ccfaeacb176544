/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf store: partners' verification keys as they were fetched last.
 *
 * All ccfd of a CCF share them, and which of them asks the partner next.
 */
#ifndef CCF_STORE_KEY_H
#define CCF_STORE_KEY_H

#include "store.h"

/* The JWK set; NOT_FOUND if none was ever fetched. */
enum ccf_store_status ccf_store_jwks_get(struct ccf_store *s,
                                         const char *ccf_id, json_t **jwks);
/*
 * May the caller ask the partner now, who should not be asked more often than
 * every so many seconds?  OK: then nobody else may.  NOT_FOUND: somebody has.
 */
enum ccf_store_status ccf_store_jwks_claim(struct ccf_store *s,
                                           const char *ccf_id, time_t now,
                                           size_t seconds);
/* What it said; only after a claim. */
enum ccf_store_status ccf_store_jwks_put(struct ccf_store *s,
                                         const char *ccf_id,
                                         const json_t *jwks);

#endif
