/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What members change of their own.  Such a change is made of a document that
 * was read before, by somebody who was looked at before, while a token may
 * have signed something in between; so each transaction begins by taking hold
 * of the group's row, and looks whether both are still as they were.
 */
#include "event.h"
#include "store_crl.h"
#include "store_policy.h"

#include <stdlib.h>
#include <string.h>

/* What is asked; its transaction may say more than that of a database. */
struct change {
    const struct ccf_member *by;
    const json_t *was, *doc;
    const struct ccf_member *members;
    size_t n;
    const char *api_id;
    enum ccf_store_status *why; /* it was refused; or CCF_STORE_OK */
};

static enum ccf_store_status transact(struct ccf_store *s, ccf_work_fn *work,
                                      struct change *c)
{
    enum ccf_store_status why = CCF_STORE_OK, st;

    c->why = &why;
    st = ccf_transact(s, work, c);
    return why != CCF_STORE_OK ? why : st;
}

/* Not CAPIF_DB_OK, so it is rolled back; and not to be tried again. */
static enum capif_db_status refuse(const struct change *c,
                                   enum ccf_store_status why)
{
    *c->why = why;
    return CAPIF_DB_NOT_FOUND;
}

enum capif_db_status ccf_member_hold(struct ccf_store *s,
                                     const struct ccf_member *by,
                                     enum ccf_store_status *why)
{
    struct ccf_member now;
    enum capif_db_status st;

    *why = CCF_STORE_OK; /* it may be another attempt */
    st = ccf_run(s, "UPDATE grp SET doc = doc WHERE id = $1",
                 ARGS(by->group_id));
    if (st == CAPIF_DB_OK)
        st = ccf_member_get(s, &by->who, &now);
    if (st == CAPIF_DB_NOT_FOUND
        || (st == CAPIF_DB_OK
            && (strcmp(now.group_id, by->group_id) != 0
                || strcmp(now.thumbprint, by->thumbprint) != 0))) {
        *why = CCF_STORE_GONE;
        return CAPIF_DB_NOT_FOUND;
    }
    return st;
}

static enum capif_db_status hold(struct ccf_store *s, const struct change *c)
{
    return ccf_member_hold(s, c->by, c->why);
}

/* A statement for one row, with doc and was as texts $1 and $2. */
static enum capif_db_status swap(struct ccf_store *s, const struct change *c,
                                 const char *sql, const char *const *more,
                                 size_t n)
{
    const char *args[5] = { NULL };
    char *was = json_dumps(c->was, JSON_COMPACT);
    char *text = json_dumps(c->doc, JSON_COMPACT);
    enum capif_db_status st = CAPIF_DB_ERROR;
    size_t changed = 0;

    args[0] = text;
    args[1] = was;
    for (size_t i = 0; i < n; i++)
        args[2 + i] = more[i];
    if (was != NULL && text != NULL)
        st = capif_db_run(s->db, sql, args, 2 + n, NULL, NULL, &changed);
    free(was);
    free(text);
    return st == CAPIF_DB_OK && changed == 0 ? refuse(c, CCF_STORE_CHANGED)
                                             : st;
}

/* ---- onboardings and registrations ---- */

enum ccf_store_status ccf_store_group_get(struct ccf_store *s,
                                          const char *group_id, json_t **doc)
{
    return ccf_doc(s, "SELECT doc FROM grp WHERE id = $1", ARGS(group_id), doc);
}

static enum capif_db_status member_put(struct ccf_store *s,
                                       const struct ccf_member *m,
                                       const char *group_id)
{
    char not_after[24];
    size_t changed = 0;
    enum capif_db_status st = ccf_revoke_former(s, m, group_id);

    ccf_seconds(m->not_after, not_after);
    if (st == CAPIF_DB_OK)
        st = capif_db_run(
            s->db,
            "INSERT INTO member VALUES ($1, $2, $3, $4, $5, $6, $7, $8)"
            " ON CONFLICT (ccf_id, role, id) DO UPDATE"
            " SET thumbprint = excluded.thumbprint, ca = CASE"
            " WHEN excluded.serial = '' THEN member.ca ELSE excluded.ca END,"
            " not_after = CASE WHEN excluded.serial = ''"
            " THEN member.not_after ELSE excluded.not_after END,"
            " serial = CASE WHEN excluded.serial = '' THEN member.serial"
            " ELSE excluded.serial END"
            " WHERE member.group_id = excluded.group_id",
            ARGS(m->who.ccf_id, capif_role_name(m->who.role), m->who.id,
                 group_id, m->thumbprint, m->ca, m->serial, not_after),
            NULL, NULL, &changed);

    return st == CAPIF_DB_OK && changed == 0 ? CAPIF_DB_CONFLICT : st;
}

static void row_id(const char *const *columns, void *arg)
{
    json_object_set_new(arg, columns[0], json_true());
}

static void row_append(const char *const *columns, void *arg)
{
    json_t *doc = json_loads(columns[0], JSON_REJECT_DUPLICATES, NULL);

    /* One that is damaged is not ours to repair. */
    if (doc != NULL)
        json_array_append_new(arg, doc);
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

/* One API is another now, or gone: doc NULL. */
static enum capif_db_status api_replace(struct ccf_store *s,
                                        const struct ccf_member *by,
                                        const char *api_id, const json_t *was,
                                        const json_t *doc)
{
    char *text = doc != NULL ? json_dumps(doc, JSON_COMPACT) : NULL;
    enum capif_db_status st = CAPIF_DB_ERROR;

    if (text != NULL)
        st = ccf_run(s,
                     "UPDATE api SET doc = $1 WHERE ccf_id = $2"
                     " AND api_id = $3",
                     ARGS(text, by->who.ccf_id, api_id));
    else if (doc == NULL)
        st = ccf_run(s, "DELETE FROM api WHERE ccf_id = $1 AND api_id = $2",
                     ARGS(by->who.ccf_id, api_id));
    free(text);
    if (st != CAPIF_DB_OK)
        return st;
    return ccf_event_api(
        s, doc != NULL ? "SERVICE_API_UPDATE" : "SERVICE_API_UNAVAILABLE",
        api_id, by->group_id, doc != NULL ? doc : was);
}

/* One API without the AEFs that go. */
static enum capif_db_status api_without(struct ccf_store *s,
                                        const struct ccf_member *by,
                                        const json_t *was, const json_t *ids)
{
    const char *api_id = json_string_value(json_object_get(was, "apiId"));
    json_t *doc = json_deep_copy(was);
    json_t *profiles = json_object_get(doc, "aefProfiles");
    size_t before = json_array_size(profiles);
    enum capif_db_status st = CAPIF_DB_OK;

    drop(profiles, "aefId", ids);
    drop(json_object_get(json_object_get(doc, "apiStatus"), "aefIds"), NULL,
         ids);
    if (json_array_size(profiles) != before)
        st = api_replace(s, by, api_id, was,
                         json_array_size(profiles) > 0 ? doc : NULL);
    json_decref(doc);
    return st;
}

/* The AEFs of the group that go, and what they serve. */
static enum capif_db_status prune_aefs(struct ccf_store *s,
                                       const struct ccf_member *by)
{
    json_t *ids = json_object(), *docs = json_array(), *doc;
    enum capif_db_status st = CAPIF_DB_ERROR;
    size_t i;

    if (ids != NULL && docs != NULL)
        st = capif_db_run(s->db,
                          "SELECT id FROM member WHERE group_id = $1"
                          " AND role = 'aef' AND thumbprint = ''",
                          ARGS(by->group_id), row_id, ids, NULL);
    if (st == CAPIF_DB_OK && json_object_size(ids) > 0)
        st = capif_db_run(s->db,
                          "SELECT doc FROM api WHERE ccf_id = $1 AND apf_id"
                          " IN (SELECT id FROM member WHERE ccf_id = $1"
                          " AND group_id = $2 AND role = 'apf')",
                          ARGS(by->who.ccf_id, by->group_id), row_append, docs,
                          NULL);
    json_array_foreach(docs, i, doc)
    {
        if (st == CAPIF_DB_OK)
            st = api_without(s, by, doc, ids);
    }
    json_decref(docs);
    json_decref(ids);
    return st;
}

/* What the members that have no certificate any more leave behind. */
static enum capif_db_status prune(struct ccf_store *s,
                                  const struct ccf_member *by)
{
    /* There may be any number of them: what ccf_event_api() does, in SQL. */
    enum capif_db_status st = ccf_run(
        s,
        "INSERT INTO event (name, api_id, group_id, doc)"
        " SELECT 'SERVICE_API_UNAVAILABLE', a.api_id, m.group_id,"
        " '{\"serviceAPIDescriptions\":[' || a.doc || ']}'"
        " FROM member m JOIN api a ON a.apf_id = m.id AND a.ccf_id = m.ccf_id"
        " WHERE m.group_id = $1 AND m.role = 'apf' AND m.thumbprint = ''",
        ARGS(by->group_id));

    if (st == CAPIF_DB_OK)
        st = ccf_run(
            s,
            "DELETE FROM api WHERE ccf_id = $1 AND apf_id IN (SELECT id FROM"
            " member WHERE ccf_id = $1 AND group_id = $2 AND role = 'apf'"
            " AND thumbprint = '')",
            ARGS(by->who.ccf_id, by->group_id));
    if (st == CAPIF_DB_OK)
        st = prune_aefs(s, by);
    if (st == CAPIF_DB_OK)
        st = ccf_revoke_group(s, by->who.ccf_id, by->group_id, true);
    if (st == CAPIF_DB_OK)
        st = ccf_run(s,
                     "DELETE FROM member WHERE group_id = $1"
                     " AND thumbprint = ''",
                     ARGS(by->group_id));
    if (st == CAPIF_DB_OK)
        st = ccf_policy_tidy_group(s, by->who.ccf_id, by->group_id);
    return st;
}

/* Nobody of the group has a certificate, until he gets one. */
static enum capif_db_status disown(struct ccf_store *s,
                                   const struct ccf_member *by)
{
    return ccf_run(s, "UPDATE member SET thumbprint = '' WHERE group_id = $1",
                   ARGS(by->group_id));
}

static enum capif_db_status work_group_change(struct ccf_store *s,
                                              const void *what)
{
    const struct change *c = what;
    enum capif_db_status st = hold(s, c);

    if (st == CAPIF_DB_OK)
        st = swap(s, c, "UPDATE grp SET doc = $1 WHERE doc = $2 AND id = $3",
                  ARGS(c->by->group_id));
    if (st == CAPIF_DB_OK)
        st = disown(s, c->by);
    for (size_t i = 0; st == CAPIF_DB_OK && i < c->n; i++)
        st = member_put(s, &c->members[i], c->by->group_id);
    if (st == CAPIF_DB_OK)
        st = ccf_event_invoker(s, "API_INVOKER_UPDATED", &c->by->who);
    return st == CAPIF_DB_OK ? prune(s, c->by) : st;
}

enum ccf_store_status ccf_store_group_change(
    struct ccf_store *s, const struct ccf_member *by, const json_t *was,
    const json_t *doc, const struct ccf_member *members, size_t n)
{
    struct change c = {
        .by = by, .was = was, .doc = doc, .members = members, .n = n
    };

    return transact(s, work_group_change, &c);
}

static enum capif_db_status work_group_remove(struct ccf_store *s,
                                              const void *what)
{
    const struct change *c = what;
    enum capif_db_status st = hold(s, c);

    if (st == CAPIF_DB_OK)
        st = disown(s, c->by);
    if (st == CAPIF_DB_OK)
        st = prune(s, c->by);
    if (st == CAPIF_DB_OK)
        st = ccf_run(s, "DELETE FROM grp WHERE id = $1", ARGS(c->by->group_id));
    return st;
}

enum ccf_store_status ccf_store_group_remove(struct ccf_store *s,
                                             const struct ccf_member *by)
{
    struct change c = { .by = by };

    return transact(s, work_group_remove, &c);
}

/* ---- service APIs ---- */

enum ccf_store_status ccf_store_api_of(struct ccf_store *s,
                                       const struct capif_identity *apf,
                                       const char *api_id, json_t **doc)
{
    return ccf_doc(s,
                   "SELECT doc FROM api WHERE ccf_id = $1 AND api_id = $2"
                   " AND apf_id = $3",
                   ARGS(apf->ccf_id, api_id, apf->id), doc);
}

enum capif_db_status ccf_aef_of_group(struct ccf_store *s, const char *ccf_id,
                                      const char *aef_id, const char *group_id,
                                      bool *is)
{
    struct capif_identity who = { .role = CAPIF_AEF };
    struct ccf_member aef;
    enum capif_db_status st;

    *is = false;
    if (aef_id == NULL || strlen(aef_id) >= sizeof(who.id))
        return CAPIF_DB_OK;
    strcpy(who.ccf_id, ccf_id);
    strcpy(who.id, aef_id);
    st = ccf_member_get(s, &who, &aef);
    *is = st == CAPIF_DB_OK && strcmp(aef.group_id, group_id) == 0;
    return st == CAPIF_DB_NOT_FOUND ? CAPIF_DB_OK : st;
}

/* Every AEF must be of the provider domain that the APF is of. */
static enum capif_db_status own_aefs(struct ccf_store *s,
                                     const struct change *c)
{
    const json_t *profile;
    enum capif_db_status st = CAPIF_DB_OK;
    bool own = true;
    size_t i;

    json_array_foreach(json_object_get(c->doc, "aefProfiles"), i, profile)
    {
        if (st == CAPIF_DB_OK && own)
            st = ccf_aef_of_group(s, c->by->who.ccf_id,
                                  capif_str(profile, "aefId"), c->by->group_id,
                                  &own);
    }
    return st == CAPIF_DB_OK && !own ? refuse(c, CCF_STORE_CHANGED) : st;
}

static const char *api_name(const json_t *doc)
{
    return json_string_value(json_object_get(doc, "apiName"));
}

static enum capif_db_status api_insert(struct ccf_store *s,
                                       const struct change *c)
{
    char *text = json_dumps(c->doc, JSON_COMPACT);
    enum capif_db_status st = CAPIF_DB_ERROR;

    if (text != NULL)
        st = ccf_run(s,
                     "INSERT INTO api (ccf_id, api_id, apf_id, doc, api_name,"
                     " group_id) VALUES ($1, $2, $3, $4, $5, $6)",
                     ARGS(c->by->who.ccf_id, c->api_id, c->by->who.id, text,
                          api_name(c->doc), c->by->group_id));
    free(text);
    return st;
}

static enum capif_db_status api_update(struct ccf_store *s,
                                       const struct change *c)
{
    enum capif_db_status st =
        swap(s, c,
             "UPDATE api SET doc = $1 WHERE doc = $2 AND ccf_id = $3"
             " AND api_id = $4 AND apf_id = $5",
             ARGS(c->by->who.ccf_id, c->api_id, c->by->who.id));

    if (st == CAPIF_DB_OK)
        st = ccf_policy_tidy(s, c->by->who.ccf_id, c->api_id);
    if (st == CAPIF_DB_OK
        && !json_equal(json_object_get(c->was, "apiName"),
                       json_object_get(c->doc, "apiName")))
        st = ccf_run(s,
                     "UPDATE api SET api_name = $1 WHERE ccf_id = $2"
                     " AND api_id = $3",
                     ARGS(api_name(c->doc), c->by->who.ccf_id, c->api_id));
    return st;
}

static enum capif_db_status work_api_set(struct ccf_store *s, const void *what)
{
    const struct change *c = what;
    enum capif_db_status st = hold(s, c);

    if (st == CAPIF_DB_OK)
        st = own_aefs(s, c);
    if (st != CAPIF_DB_OK)
        return st;
    st = c->was == NULL ? api_insert(s, c) : api_update(s, c);
    if (st != CAPIF_DB_OK)
        return st;
    return ccf_event_api(
        s, c->was == NULL ? "SERVICE_API_AVAILABLE" : "SERVICE_API_UPDATE",
        c->api_id, c->by->group_id, c->doc);
}

enum ccf_store_status ccf_store_api_set(struct ccf_store *s,
                                        const struct ccf_member *by,
                                        const char *api_id, const json_t *was,
                                        const json_t *doc)
{
    struct change c = { .by = by, .was = was, .doc = doc, .api_id = api_id };

    return transact(s, work_api_set, &c);
}
