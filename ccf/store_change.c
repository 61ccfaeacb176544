/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What members change of their own.  Such a change is made of a document that
 * was read before, by somebody who was looked at before, while a token may
 * have signed something in between; so each transaction begins by taking hold
 * of the group's row, and looks whether both are still as they were.
 */
#include "store_internal.h"

#include <stdlib.h>
#include <string.h>

#define ARGS(...)                         \
    (const char *const[]){ __VA_ARGS__ }, \
        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

/* A statement without rows; *changed may be NULL. */
static enum ccf_store_status run(struct ccf_store *s, const char *sql,
                                 const char *const *args, size_t n,
                                 size_t *changed)
{
    return ccf_store_run(s, sql, args, n, NULL, NULL, changed);
}

static void row_append(const char *const *columns, void *arg)
{
    json_t *doc = json_loads(columns[0], JSON_REJECT_DUPLICATES, NULL);

    if (doc != NULL)
        json_array_append_new(arg, doc);
}

/* The document that a SELECT gives. */
static enum ccf_store_status select_doc(struct ccf_store *s, const char *sql,
                                        const char *const *args, size_t n,
                                        json_t **doc)
{
    json_t *list = json_array();
    enum ccf_store_status st = CCF_STORE_ERROR;

    if (list != NULL)
        st = ccf_store_run(s, sql, args, n, row_append, list, NULL);
    if (st == CCF_STORE_OK && json_array_size(list) == 0)
        st = CCF_STORE_NOT_FOUND;
    if (st == CCF_STORE_OK)
        *doc = json_incref(json_array_get(list, 0));
    json_decref(list);
    return st;
}

/* Begin a transaction in which by and its group can't be changed. */
static enum ccf_store_status begin_by(struct ccf_store *s,
                                      const struct ccf_member *by)
{
    struct ccf_member now;
    enum ccf_store_status st;

    if (!ccf_store_begin(s))
        return CCF_STORE_ERROR;
    st = run(s, "UPDATE grp SET doc = doc WHERE id = $1", ARGS(by->group_id),
             NULL);
    if (st == CCF_STORE_OK)
        st = ccf_store_member(s, &by->who, &now);
    if (st == CCF_STORE_NOT_FOUND
        || (st == CCF_STORE_OK
            && (strcmp(now.group_id, by->group_id) != 0
                || strcmp(now.thumbprint, by->thumbprint) != 0)))
        st = CCF_STORE_GONE;
    return st == CCF_STORE_OK ? st : ccf_store_end(s, st);
}

/* A statement for one row, with was and doc as texts $1 and $2. */
static enum ccf_store_status swap(struct ccf_store *s, const char *sql,
                                  const json_t *was, const json_t *doc,
                                  const char *const *more, size_t n)
{
    const char *args[5] = { NULL };
    char *was_text = json_dumps(was, JSON_COMPACT);
    char *text = json_dumps(doc, JSON_COMPACT);
    enum ccf_store_status st = CCF_STORE_ERROR;
    size_t changed = 0;

    args[0] = text;
    args[1] = was_text;
    for (size_t i = 0; i < n; i++)
        args[2 + i] = more[i];
    if (was_text != NULL && text != NULL)
        st = run(s, sql, args, 2 + n, &changed);
    if (st == CCF_STORE_OK && changed == 0)
        st = CCF_STORE_CHANGED;
    free(was_text);
    free(text);
    return st;
}

/* ---- onboardings and registrations ---- */

enum ccf_store_status ccf_store_group_get(struct ccf_store *s,
                                          const char *group_id, json_t **doc)
{
    return select_doc(s, "SELECT doc FROM grp WHERE id = $1", ARGS(group_id),
                      doc);
}

static enum ccf_store_status member_put(struct ccf_store *s,
                                        const struct ccf_member *m,
                                        const char *group_id)
{
    size_t changed = 0;
    enum ccf_store_status st =
        run(s,
            "INSERT INTO member VALUES ($1, $2, $3, $4, $5)"
            " ON CONFLICT (ccf_id, role, id) DO UPDATE"
            " SET thumbprint = excluded.thumbprint"
            " WHERE member.group_id = excluded.group_id",
            ARGS(m->who.ccf_id, capif_role_name(m->who.role), m->who.id,
                 group_id, m->thumbprint),
            &changed);

    return st == CCF_STORE_OK && changed == 0 ? CCF_STORE_CONFLICT : st;
}

static void row_id(const char *const *columns, void *arg)
{
    json_object_set_new(arg, columns[0], json_true());
}

/* Take out of list the items whose AEF ids, of themselves or at key, are. */
static void drop(json_t *list, const char *key, const json_t *ids)
{
    for (size_t i = json_array_size(list); i-- > 0;) {
        const json_t *v = json_array_get(list, i);
        const char *id =
            json_string_value(key != NULL ? json_object_get(v, key) : v);

        if (id != NULL && json_object_get(ids, id) != NULL)
            json_array_remove(list, i);
    }
}

/* One API without the AEFs that go. */
static enum ccf_store_status api_without(struct ccf_store *s,
                                         const char *ccf_id, json_t *doc,
                                         const json_t *ids)
{
    const char *api_id = json_string_value(json_object_get(doc, "apiId"));
    json_t *profiles = json_object_get(doc, "aefProfiles");
    size_t before = json_array_size(profiles);
    enum ccf_store_status st = CCF_STORE_ERROR;
    char *text;

    drop(profiles, "aefId", ids);
    drop(json_object_get(json_object_get(doc, "apiStatus"), "aefIds"), NULL,
         ids);
    if (json_array_size(profiles) == before)
        return CCF_STORE_OK;
    if (json_array_size(profiles) == 0)
        return run(s, "DELETE FROM api WHERE ccf_id = $1 AND api_id = $2",
                   ARGS(ccf_id, api_id), NULL);
    if ((text = json_dumps(doc, JSON_COMPACT)) != NULL)
        st = run(s,
                 "UPDATE api SET doc = $1 WHERE ccf_id = $2"
                 " AND api_id = $3",
                 ARGS(text, ccf_id, api_id), NULL);
    free(text);
    return st;
}

/* What the members that have no certificate any more leave behind. */
static enum ccf_store_status prune(struct ccf_store *s,
                                   const struct ccf_member *by)
{
    json_t *ids = json_object(), *docs = json_array(), *doc;
    enum ccf_store_status st = CCF_STORE_ERROR;
    size_t i;

    if (ids != NULL && docs != NULL)
        st = run(
            s,
            "DELETE FROM api WHERE ccf_id = $1 AND apf_id IN (SELECT id FROM"
            " member WHERE ccf_id = $1 AND group_id = $2 AND role = 'apf'"
            " AND thumbprint = '')",
            ARGS(by->who.ccf_id, by->group_id), NULL);
    if (st == CCF_STORE_OK)
        st = ccf_store_run(s,
                           "SELECT id FROM member WHERE group_id = $1"
                           " AND role = 'aef' AND thumbprint = ''",
                           ARGS(by->group_id), row_id, ids, NULL);
    if (st == CCF_STORE_OK && json_object_size(ids) > 0)
        st = ccf_store_run(s,
                           "SELECT doc FROM api WHERE ccf_id = $1 AND apf_id"
                           " IN (SELECT id FROM member WHERE ccf_id = $1"
                           " AND group_id = $2 AND role = 'apf')",
                           ARGS(by->who.ccf_id, by->group_id), row_append, docs,
                           NULL);
    json_array_foreach(docs, i, doc)
    {
        if (st == CCF_STORE_OK)
            st = api_without(s, by->who.ccf_id, doc, ids);
    }
    json_decref(docs);
    json_decref(ids);
    if (st == CCF_STORE_OK)
        st = run(s,
                 "DELETE FROM member WHERE group_id = $1"
                 " AND thumbprint = ''",
                 ARGS(by->group_id), NULL);
    return st;
}

enum ccf_store_status ccf_store_group_change(
    struct ccf_store *s, const struct ccf_member *by, const json_t *was,
    const json_t *doc, const struct ccf_member *members, size_t n)
{
    enum ccf_store_status st = begin_by(s, by);

    if (st != CCF_STORE_OK)
        return st;
    st = swap(s, "UPDATE grp SET doc = $1 WHERE doc = $2 AND id = $3", was, doc,
              ARGS(by->group_id));
    if (st == CCF_STORE_OK)
        st = run(s, "UPDATE member SET thumbprint = '' WHERE group_id = $1",
                 ARGS(by->group_id), NULL);
    for (size_t i = 0; st == CCF_STORE_OK && i < n; i++)
        st = member_put(s, &members[i], by->group_id);
    if (st == CCF_STORE_OK)
        st = prune(s, by);
    return ccf_store_end(s, st);
}

enum ccf_store_status ccf_store_group_remove(struct ccf_store *s,
                                             const struct ccf_member *by)
{
    enum ccf_store_status st = begin_by(s, by);

    if (st != CCF_STORE_OK)
        return st;
    st = run(s, "UPDATE member SET thumbprint = '' WHERE group_id = $1",
             ARGS(by->group_id), NULL);
    if (st == CCF_STORE_OK)
        st = prune(s, by);
    if (st == CCF_STORE_OK)
        st = run(s, "DELETE FROM grp WHERE id = $1", ARGS(by->group_id), NULL);
    return ccf_store_end(s, st);
}

/* ---- service APIs ---- */

enum ccf_store_status ccf_store_api_of(struct ccf_store *s,
                                       const struct capif_identity *apf,
                                       const char *api_id, json_t **doc)
{
    return select_doc(s,
                      "SELECT doc FROM api WHERE ccf_id = $1 AND api_id = $2"
                      " AND apf_id = $3",
                      ARGS(apf->ccf_id, api_id, apf->id), doc);
}

/* Every AEF must be of the provider domain that the APF is of. */
static enum ccf_store_status own_aefs(struct ccf_store *s,
                                      const struct ccf_member *by,
                                      const json_t *doc)
{
    struct capif_identity who = { .role = CAPIF_AEF };
    const json_t *profile;
    struct ccf_member aef;
    enum ccf_store_status st = CCF_STORE_OK;
    size_t i;

    strcpy(who.ccf_id, by->who.ccf_id);
    json_array_foreach(json_object_get(doc, "aefProfiles"), i, profile)
    {
        const char *id = json_string_value(json_object_get(profile, "aefId"));

        if (st != CCF_STORE_OK)
            break;
        if (id == NULL || strlen(id) >= sizeof(who.id))
            return CCF_STORE_CHANGED;
        strcpy(who.id, id);
        st = ccf_store_member(s, &who, &aef);
        if (st == CCF_STORE_NOT_FOUND
            || (st == CCF_STORE_OK && strcmp(aef.group_id, by->group_id) != 0))
            st = CCF_STORE_CHANGED;
    }
    return st;
}

enum ccf_store_status ccf_store_api_set(struct ccf_store *s,
                                        const struct ccf_member *by,
                                        const char *api_id, const json_t *was,
                                        const json_t *doc)
{
    enum ccf_store_status st = begin_by(s, by);
    char *text;

    if (st != CCF_STORE_OK)
        return st;
    if ((st = own_aefs(s, by, doc)) == CCF_STORE_OK && was == NULL) {
        text = json_dumps(doc, JSON_COMPACT);
        st = text == NULL
                 ? CCF_STORE_ERROR
                 : run(s, "INSERT INTO api VALUES ($1, $2, $3, $4)",
                       ARGS(by->who.ccf_id, api_id, by->who.id, text), NULL);
        free(text);
    } else if (st == CCF_STORE_OK) {
        st = swap(s,
                  "UPDATE api SET doc = $1 WHERE doc = $2 AND ccf_id = $3"
                  " AND api_id = $4 AND apf_id = $5",
                  was, doc, ARGS(by->who.ccf_id, api_id, by->who.id));
    }
    return ccf_store_end(s, st);
}
