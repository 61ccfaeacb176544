/* SPDX-License-Identifier: Apache-2.0 */
#include "store_tx.h"

#include <stdlib.h>

struct api {
    const char *ccf_id, *api_id, *apf_id;
    const json_t *doc;
};

static enum ccf_db_status work_api_put(struct ccf_store *s, const void *what)
{
    const struct api *a = what;
    char *text = json_dumps(a->doc, JSON_COMPACT);
    enum ccf_db_status st = CCF_DB_ERROR;

    if (text != NULL)
        st = ccf_run(s,
                     "INSERT INTO api VALUES ($1, $2, $3, $4)"
                     " ON CONFLICT (ccf_id, api_id) DO UPDATE"
                     " SET doc = excluded.doc",
                     ARGS(a->ccf_id, a->api_id, a->apf_id, text));
    free(text);
    return st;
}

enum ccf_store_status ccf_store_api_put(struct ccf_store *s, const char *ccf_id,
                                        const char *api_id, const char *apf_id,
                                        const json_t *doc)
{
    const struct api a = { ccf_id, api_id, apf_id, doc };

    return ccf_transact(s, work_api_put, &a);
}

enum ccf_store_status ccf_store_api_get(struct ccf_store *s, const char *ccf_id,
                                        const char *api_id, json_t **doc)
{
    if (ccf_id == NULL)
        return ccf_doc(s,
                       "SELECT doc FROM api WHERE api_id = $1"
                       " ORDER BY ccf_id",
                       ARGS(api_id), doc);
    return ccf_doc(s, "SELECT doc FROM api WHERE ccf_id = $1 AND api_id = $2",
                   ARGS(ccf_id, api_id), doc);
}

enum ccf_store_status ccf_store_api_list(struct ccf_store *s,
                                         const char *ccf_id, const char *apf_id,
                                         json_t **docs)
{
    if (ccf_id != NULL && apf_id != NULL)
        return ccf_docs(s,
                        "SELECT doc FROM api WHERE ccf_id = $1"
                        " AND apf_id = $2 ORDER BY api_id",
                        ARGS(ccf_id, apf_id), docs);
    if (ccf_id != NULL)
        return ccf_docs(s,
                        "SELECT doc FROM api WHERE ccf_id = $1"
                        " ORDER BY api_id",
                        ARGS(ccf_id), docs);
    if (apf_id != NULL)
        return ccf_docs(s,
                        "SELECT doc FROM api WHERE apf_id = $1"
                        " ORDER BY api_id",
                        ARGS(apf_id), docs);
    return ccf_docs(s, "SELECT doc FROM api ORDER BY api_id", NULL, 0, docs);
}

enum ccf_store_status ccf_store_api_delete(struct ccf_store *s,
                                           const char *ccf_id,
                                           const char *api_id,
                                           const char *apf_id)
{
    return ccf_change_one(s,
                          "DELETE FROM api WHERE ccf_id = $1 AND api_id = $2"
                          " AND apf_id = $3",
                          ARGS(ccf_id, api_id, apf_id));
}

static enum ccf_db_status work_api_replace(struct ccf_store *s,
                                           const void *what)
{
    const struct api *all = what;
    struct api one = *all;
    enum ccf_db_status st =
        ccf_run(s, "DELETE FROM api WHERE ccf_id = $1", ARGS(all->ccf_id));
    size_t i;

    json_array_foreach(all->doc, i, one.doc)
    {
        one.api_id = json_string_value(json_object_get(one.doc, "apiId"));
        if (st == CCF_DB_OK)
            st = work_api_put(s, &one);
    }
    return st;
}

enum ccf_store_status ccf_store_api_replace(struct ccf_store *s,
                                            const char *ccf_id,
                                            const json_t *docs)
{
    const struct api all = { .ccf_id = ccf_id, .doc = docs };

    return ccf_transact(s, work_api_replace, &all);
}
