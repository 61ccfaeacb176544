/* SPDX-License-Identifier: Apache-2.0 */
#include "store_key.h"

#include "store_tx.h"

#include <stdlib.h>

enum ccf_store_status ccf_store_jwks_get(struct ccf_store *s,
                                         const char *ccf_id, json_t **jwks)
{
    return ccf_doc(s,
                   "SELECT doc FROM partner_key WHERE ccf_id = $1"
                   " AND doc IS NOT NULL",
                   ARGS(ccf_id), jwks);
}

enum ccf_store_status ccf_store_jwks_claim(struct ccf_store *s,
                                           const char *ccf_id, time_t now,
                                           size_t seconds)
{
    char text[24], before[24];

    ccf_seconds(now, text);
    ccf_seconds(now - (time_t)seconds, before);
    return ccf_change_one(s,
                          "INSERT INTO partner_key VALUES ($1, $2, NULL)"
                          " ON CONFLICT (ccf_id) DO UPDATE"
                          " SET tried = excluded.tried"
                          " WHERE partner_key.tried <= $3",
                          ARGS(ccf_id, text, before));
}

enum ccf_store_status ccf_store_jwks_put(struct ccf_store *s,
                                         const char *ccf_id, const json_t *jwks)
{
    char *text = json_dumps(jwks, JSON_COMPACT);
    enum ccf_store_status st = CCF_STORE_ERROR;

    if (text != NULL)
        st = ccf_change_one(s,
                            "UPDATE partner_key SET doc = $1 WHERE ccf_id = $2",
                            ARGS(text, ccf_id));
    free(text);
    return st;
}
