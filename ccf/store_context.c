/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Security contexts, and the PSKs in them.
 */
#include "store_revoke.h"

#include <stdlib.h>

struct context {
    const char *ccf_id, *invoker_id, *expires, *text;
    const json_t *doc;
    bool own;
};

static enum capif_db_status work_context_put(struct ccf_store *s,
                                             const void *what)
{
    const struct context *c = what;
    enum capif_db_status st = CAPIF_DB_OK;
    bool member = false;

    if (c->own)
        st = capif_db_run(s->db,
                          "SELECT 1 FROM member WHERE ccf_id = $1"
                          " AND role = 'invoker' AND id = $2",
                          ARGS(c->ccf_id, c->invoker_id), ccf_row_there,
                          &member, NULL);
    if (st == CAPIF_DB_OK && c->own && !member)
        return CAPIF_DB_NOT_FOUND;
    if (st == CAPIF_DB_OK)
        st = ccf_revoke_dropped(s, c->ccf_id, c->invoker_id, c->doc);
    if (st == CAPIF_DB_OK)
        st = ccf_run(s,
                     "INSERT INTO context VALUES ($1, $2, $3, $4)"
                     " ON CONFLICT (ccf_id, invoker_id) DO UPDATE"
                     " SET expires = excluded.expires, doc = excluded.doc",
                     ARGS(c->ccf_id, c->invoker_id, c->expires, c->text));
    return st;
}

static enum ccf_store_status context_put(struct ccf_store *s,
                                         const char *ccf_id,
                                         const char *invoker_id, bool own,
                                         time_t expires, const json_t *doc)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    char exp[24];
    const struct context c = { ccf_id, invoker_id, exp, text, doc, own };
    enum ccf_store_status st = CCF_STORE_ERROR;

    ccf_seconds(expires, exp);
    ccf_forget(s, "DELETE FROM context WHERE expires <= $1");
    if (text != NULL)
        st = ccf_transact(s, work_context_put, &c);
    free(text);
    return st;
}

enum ccf_store_status ccf_store_context_put(struct ccf_store *s,
                                            const char *ccf_id,
                                            const char *invoker_id,
                                            time_t expires, const json_t *doc)
{
    return context_put(s, ccf_id, invoker_id, false, expires, doc);
}

enum ccf_store_status ccf_store_context_put_own(struct ccf_store *s,
                                                const char *ccf_id,
                                                const char *invoker_id,
                                                time_t expires,
                                                const json_t *doc)
{
    return context_put(s, ccf_id, invoker_id, true, expires, doc);
}

enum ccf_store_status ccf_store_context_get(struct ccf_store *s,
                                            const char *ccf_id,
                                            const char *invoker_id,
                                            json_t **doc)
{
    char now[24];

    ccf_seconds(time(NULL), now);
    return ccf_doc(s,
                   "SELECT doc FROM context WHERE ccf_id = $1"
                   " AND invoker_id = $2"
                   " AND expires > $3",
                   ARGS(ccf_id, invoker_id, now), doc);
}

/* ---- PSKs ---- */

static const char *text_of(const json_t *doc, const char *name)
{
    const char *text = json_string_value(json_object_get(doc, name));

    return text != NULL ? text : "";
}

enum ccf_store_status ccf_store_psk_add(struct ccf_store *s, const char *psk_id,
                                        time_t expires, const char *kek,
                                        const json_t *doc)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    char exp[24];
    enum ccf_store_status st = CCF_STORE_ERROR;

    ccf_seconds(expires, exp);
    ccf_forget(s, "DELETE FROM psk WHERE expires <= $1");
    if (text != NULL)
        st = ccf_change_one(s,
                            "INSERT INTO psk (psk_id, expires, doc, kek,"
                            " ccf_id, invoker_id, aef_id)"
                            " VALUES ($1, $2, $3, $4, $5, $6, $7)",
                            ARGS(psk_id, exp, text, kek, text_of(doc, "ccfId"),
                                 text_of(doc, "apiInvokerId"),
                                 text_of(doc, "aefId")));
    free(text);
    return st;
}

enum ccf_store_status ccf_store_psk_get(struct ccf_store *s, const char *psk_id,
                                        json_t **doc)
{
    char now[24];

    ccf_seconds(time(NULL), now);
    return ccf_doc(s,
                   "SELECT doc FROM psk WHERE psk_id = $1"
                   " AND expires > $2",
                   ARGS(psk_id, now), doc);
}

static void row_psk(const char *const *columns, void *arg)
{
    json_t *doc = json_loads(columns[1], JSON_REJECT_DUPLICATES, NULL);

    /* What can't be read is null, so that whoever goes on goes past it. */
    json_object_set_new(arg, columns[0], doc != NULL ? doc : json_null());
}

enum ccf_store_status ccf_store_psk_under(struct ccf_store *s, const char *kek,
                                          const char *after, json_t **docs)
{
    json_t *found = json_object();
    enum capif_db_status st = CAPIF_DB_ERROR;

    ccf_forget(s, "DELETE FROM psk WHERE expires <= $1");
    if (found != NULL)
        st = ccf_look(s,
                      "SELECT psk_id, doc FROM psk WHERE kek = $1"
                      " AND psk_id > $2 ORDER BY psk_id LIMIT 16",
                      ARGS(kek, after), row_psk, found);
    if (st != CAPIF_DB_OK) {
        json_decref(found);
        return ccf_status_of(st);
    }
    *docs = found;
    return CCF_STORE_OK;
}

enum ccf_store_status ccf_store_psk_rewrap(struct ccf_store *s,
                                           const char *psk_id, const char *was,
                                           const char *kek, const json_t *doc)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    enum ccf_store_status st = CCF_STORE_ERROR;

    if (text != NULL)
        st = ccf_change_one(s,
                            "UPDATE psk SET doc = $1, kek = $2"
                            " WHERE psk_id = $3 AND kek = $4",
                            ARGS(text, kek, psk_id, was));
    free(text);
    return st;
}
