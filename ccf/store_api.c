/* SPDX-License-Identifier: Apache-2.0 */
#include "store_policy.h"

#include "event.h"
#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct api {
    const char *ccf_id, *api_id, *apf_id;
    const json_t *doc;
};

static enum capif_db_status work_api_put(struct ccf_store *s, const void *what)
{
    const struct api *a = what;
    char *text = json_dumps(a->doc, JSON_COMPACT);
    enum capif_db_status st = CAPIF_DB_ERROR;

    if (text != NULL)
        st = ccf_run(
            s,
            "INSERT INTO api (ccf_id, api_id, apf_id, doc, api_name,"
            " group_id) VALUES ($1, $2, $3, $4, $5,"
            " (SELECT group_id FROM member WHERE ccf_id = $1"
            " AND role = 'apf' AND id = $3))"
            " ON CONFLICT (ccf_id, api_id) DO UPDATE"
            " SET doc = excluded.doc, api_name = excluded.api_name",
            ARGS(a->ccf_id, a->api_id, a->apf_id, text,
                 json_string_value(json_object_get(a->doc, "apiName"))));
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
                       "SELECT doc FROM api WHERE api_id = $1 AND (SELECT"
                       " COUNT(*) FROM api WHERE api_id = $1) = 1",
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

/* What an API was, and whose. */
struct was {
    char group_id[CAPIF_ID_MAX + 1];
    json_t *doc;
};

static void row_was(const char *const *columns, void *arg)
{
    struct was *was = arg;

    was->doc = json_loads(columns[0], JSON_REJECT_DUPLICATES, NULL);
    if (columns[1] != NULL)
        snprintf(was->group_id, sizeof(was->group_id), "%s", columns[1]);
}

static enum capif_db_status work_api_delete(struct ccf_store *s,
                                            const void *what)
{
    const struct api *a = what;
    struct was was = { .doc = NULL };
    size_t changed = 0;
    enum capif_db_status st = capif_db_run(
        s->db,
        "SELECT doc, group_id FROM api WHERE ccf_id = $1 AND api_id = $2",
        ARGS(a->ccf_id, a->api_id), row_was, &was, NULL);

    if (st == CAPIF_DB_OK)
        st = capif_db_run(s->db,
                          "DELETE FROM api WHERE ccf_id = $1 AND api_id = $2"
                          " AND apf_id = $3",
                          ARGS(a->ccf_id, a->api_id, a->apf_id), NULL, NULL,
                          &changed);
    if (st == CAPIF_DB_OK && changed == 0)
        st = CAPIF_DB_NOT_FOUND;
    if (st == CAPIF_DB_OK && was.doc != NULL)
        st = ccf_event_api(s, "SERVICE_API_UNAVAILABLE", a->api_id,
                           was.group_id, was.doc);
    json_decref(was.doc);
    return st;
}

enum ccf_store_status ccf_store_api_delete(struct ccf_store *s,
                                           const char *ccf_id,
                                           const char *api_id,
                                           const char *apf_id)
{
    const struct api a = { ccf_id, api_id, apf_id, NULL };

    return ccf_transact(s, work_api_delete, &a);
}

/* ---- what a partner offers ---- */

static void row_text(const char *const *columns, void *arg)
{
    json_object_set_new(arg, columns[0], json_string(columns[1]));
}

/* One that is new or another; it is taken out of left, what there was. */
static enum capif_db_status api_renew(struct ccf_store *s, const struct api *a,
                                      json_t *left)
{
    const char *text = json_string_value(json_object_get(left, a->api_id));
    const bool known = text != NULL;
    json_t *was = known ? json_loads(text, 0, NULL) : NULL;
    const bool same = json_equal(was, a->doc);
    enum capif_db_status st = CAPIF_DB_OK;

    json_decref(was);
    (void)json_object_del(left, a->api_id);
    if (same || (st = work_api_put(s, a)) != CAPIF_DB_OK)
        return st;
    return ccf_event_api(s,
                         known ? "SERVICE_API_UPDATE" : "SERVICE_API_AVAILABLE",
                         a->api_id, NULL, a->doc);
}

static enum capif_db_status api_drop(struct ccf_store *s, const char *ccf_id,
                                     const char *api_id, const json_t *text)
{
    json_t *doc = json_loads(json_string_value(text), 0, NULL);
    enum capif_db_status st =
        ccf_run(s, "DELETE FROM api WHERE ccf_id = $1 AND api_id = $2",
                ARGS(ccf_id, api_id));

    if (st == CAPIF_DB_OK && doc != NULL)
        st = ccf_event_api(s, "SERVICE_API_UNAVAILABLE", api_id, NULL, doc);
    json_decref(doc);
    return st;
}

/* Only what differs is written, and told to those who have subscribed. */
static enum capif_db_status work_api_replace(struct ccf_store *s,
                                             const void *what)
{
    const struct api *all = what;
    struct api one = *all;
    json_t *left = json_object(), *text;
    enum capif_db_status st = CAPIF_DB_ERROR;
    const char *api_id;
    size_t i;

    if (left != NULL)
        st =
            capif_db_run(s->db, "SELECT api_id, doc FROM api WHERE ccf_id = $1",
                         ARGS(all->ccf_id), row_text, left, NULL);
    json_array_foreach(all->doc, i, one.doc)
    {
        one.api_id = json_string_value(json_object_get(one.doc, "apiId"));
        if (st == CAPIF_DB_OK)
            st = api_renew(s, &one, left);
    }
    json_object_foreach(left, api_id, text)
    {
        if (st == CAPIF_DB_OK)
            st = api_drop(s, all->ccf_id, api_id, text);
    }
    json_decref(left);
    return st;
}

enum ccf_store_status ccf_store_api_replace(struct ccf_store *s,
                                            const char *ccf_id,
                                            const json_t *docs)
{
    const struct api all = { .ccf_id = ccf_id, .doc = docs };

    return ccf_transact(s, work_api_replace, &all);
}

struct merge {
    const char *ccf_id;
    const json_t *docs, *gone;
};

static enum capif_db_status was_get(struct ccf_store *s, const char *ccf_id,
                                    const char *api_id, json_t *left)
{
    return capif_db_run(s->db,
                        "SELECT api_id, doc FROM api WHERE ccf_id = $1"
                        " AND api_id = $2",
                        ARGS(ccf_id, api_id), row_text, left, NULL);
}

static enum capif_db_status work_api_merge(struct ccf_store *s,
                                           const void *what)
{
    const struct merge *m = what;
    struct api one = { .ccf_id = m->ccf_id };
    json_t *left = json_object();
    enum capif_db_status st = left != NULL ? CAPIF_DB_OK : CAPIF_DB_ERROR;
    const json_t *id;
    size_t i;

    json_array_foreach(m->docs, i, one.doc)
    {
        one.api_id = json_string_value(json_object_get(one.doc, "apiId"));
        if (st == CAPIF_DB_OK)
            st = was_get(s, m->ccf_id, one.api_id, left);
        if (st == CAPIF_DB_OK)
            st = api_renew(s, &one, left);
    }
    json_array_foreach(m->gone, i, id)
    {
        one.api_id = json_string_value(id);
        if (st == CAPIF_DB_OK)
            st = was_get(s, m->ccf_id, one.api_id, left);
        if (st == CAPIF_DB_OK && json_object_get(left, one.api_id) != NULL)
            st = api_drop(s, m->ccf_id, one.api_id,
                          json_object_get(left, one.api_id));
    }
    json_decref(left);
    return st;
}

enum ccf_store_status ccf_store_api_merge(struct ccf_store *s,
                                          const char *ccf_id,
                                          const json_t *docs,
                                          const json_t *gone)
{
    const struct merge m = { ccf_id, docs, gone };

    return ccf_transact(s, work_api_merge, &m);
}

/* ---- in pages ---- */

#define PAGE 100 /* rows, as the statements have it */

struct page_row {
    char *ccf_id, *api_id, *group_id, *text;
};

struct page {
    struct page_row rows[PAGE];
    size_t n;
    bool failed;
    char *after_ccf, *after_id; /* where it begins; NULL: at the beginning */
};

static void page_clear(struct page *p)
{
    for (size_t i = 0; i < p->n; i++) {
        free(p->rows[i].ccf_id);
        free(p->rows[i].api_id);
        free(p->rows[i].group_id);
        free(p->rows[i].text);
    }
    p->n = 0;
}

static void page_free(struct page *p)
{
    if (p == NULL)
        return;
    page_clear(p);
    free(p->after_ccf);
    free(p->after_id);
    free(p);
}

/* The next begins after the last row of this one. */
static void page_turn(struct page *p)
{
    struct page_row *last = &p->rows[p->n - 1];

    free(p->after_ccf);
    free(p->after_id);
    p->after_ccf = last->ccf_id;
    p->after_id = last->api_id;
    last->ccf_id = last->api_id = NULL;
    page_clear(p);
}

static void row_page(const char *const *columns, void *arg)
{
    struct page *p = arg;
    struct page_row *row;

    if (p->n == PAGE) {
        p->failed = true;
        return;
    }
    row = &p->rows[p->n++];
    row->ccf_id = strdup(columns[0]);
    row->api_id = strdup(columns[1]);
    row->group_id = columns[2] != NULL ? strdup(columns[2]) : NULL;
    row->text = strdup(columns[3]);
    p->failed = p->failed || row->ccf_id == NULL || row->api_id == NULL
                || row->text == NULL
                || (row->group_id == NULL && columns[2] != NULL);
}

#define COLUMNS "SELECT ccf_id, api_id, group_id, doc FROM api"
#define ORDER   " ORDER BY ccf_id, api_id LIMIT 100"

static const char all_sql[] =
    COLUMNS " WHERE (ccf_id, api_id) > ($1, $2)" ORDER;

static enum capif_db_status page_read(struct ccf_store *s, const char *ccf_id,
                                      const char *api_name, struct page *p)
{
    const char *ccf = p->after_ccf != NULL ? p->after_ccf : "";
    const char *id = p->after_id != NULL ? p->after_id : "";

    if (ccf_id != NULL && api_name != NULL)
        return ccf_look(s,
                        COLUMNS " WHERE api_name = $1 AND ccf_id = $2"
                                " AND api_id > $3" ORDER,
                        ARGS(api_name, ccf_id, id), row_page, p);
    if (ccf_id != NULL)
        return ccf_look(s, COLUMNS " WHERE ccf_id = $1 AND api_id > $2" ORDER,
                        ARGS(ccf_id, id), row_page, p);
    if (api_name != NULL)
        return ccf_look(s,
                        COLUMNS " WHERE api_name = $1"
                                " AND (ccf_id, api_id) > ($2, $3)" ORDER,
                        ARGS(api_name, ccf, id), row_page, p);
    return ccf_look(s, all_sql, ARGS(ccf, id), row_page, p);
}

/* *more: fn wants more.  One that is damaged is an error, as in ccf_docs(). */
static enum ccf_store_status page_give(const struct page *p, ccf_api_fn *fn,
                                       void *arg, bool *more)
{
    *more = true;
    for (size_t i = 0; i < p->n && *more; i++) {
        struct ccf_api_row row = { p->rows[i].ccf_id, p->rows[i].api_id,
                                   p->rows[i].group_id, NULL };

        row.doc = json_loads(p->rows[i].text, JSON_REJECT_DUPLICATES, NULL);
        if (row.doc == NULL) {
            capif_log("store-failed", "why", "a document is no JSON", NULL);
            return CCF_STORE_ERROR;
        }
        *more = fn(&row, arg);
        json_decref(row.doc);
    }
    return CCF_STORE_OK;
}

enum ccf_store_status ccf_store_api_each(struct ccf_store *s,
                                         const char *ccf_id,
                                         const char *api_name, ccf_api_fn *fn,
                                         void *arg)
{
    struct page *p = calloc(1, sizeof(*p));
    enum ccf_store_status st = CCF_STORE_ERROR;
    bool more = p != NULL;

    while (more) {
        enum capif_db_status looked = page_read(s, ccf_id, api_name, p);

        st = p->failed ? CCF_STORE_ERROR : ccf_status_of(looked);
        if (st == CCF_STORE_OK)
            st = page_give(p, fn, arg, &more);
        more = more && st == CCF_STORE_OK && p->n == PAGE;
        if (more)
            page_turn(p);
    }
    page_free(p);
    /* A name that is no text: nobody has it. */
    return st == CCF_STORE_NOT_FOUND ? CCF_STORE_OK : st;
}

static enum capif_db_status name_set(struct ccf_store *s,
                                     const struct page_row *row)
{
    json_t *doc = json_loads(row->text, JSON_REJECT_DUPLICATES, NULL);
    const char *name = json_string_value(json_object_get(doc, "apiName"));
    enum capif_db_status st = CAPIF_DB_OK;

    if (name != NULL)
        st = ccf_run(s,
                     "UPDATE api SET api_name = $1 WHERE ccf_id = $2"
                     " AND api_id = $3",
                     ARGS(name, row->ccf_id, row->api_id));
    json_decref(doc);
    return st;
}

enum capif_db_status ccf_api_names_fill(struct ccf_store *s)
{
    struct page *p = calloc(1, sizeof(*p));
    enum capif_db_status st = CAPIF_DB_ERROR;
    bool more = p != NULL;

    while (more) {
        st = capif_db_run(s->db, all_sql,
                          ARGS(p->after_ccf != NULL ? p->after_ccf : "",
                               p->after_id != NULL ? p->after_id : ""),
                          row_page, p, NULL);
        if (p->failed)
            st = CAPIF_DB_ERROR;
        for (size_t i = 0; st == CAPIF_DB_OK && i < p->n; i++)
            st = name_set(s, &p->rows[i]);
        more = st == CAPIF_DB_OK && p->n == PAGE;
        if (more)
            page_turn(p);
    }
    page_free(p);
    return st;
}
