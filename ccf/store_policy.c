/* SPDX-License-Identifier: Apache-2.0 */
#include "store_policy.h"

#include <stdlib.h>
#include <string.h>

bool ccf_policy_name_read(const char *text, const char *own,
                          struct ccf_policy_name *out)
{
    const char *slash = strchr(text, '/');
    const char *id = slash != NULL ? slash + 1 : text;
    size_t len = slash != NULL ? (size_t)(slash - text) : strlen(own);

    if (len > CAPIF_CCF_ID_MAX || !capif_id_ok(id))
        return false;
    memcpy(out->ccf_id, slash != NULL ? text : own, len);
    out->ccf_id[len] = '\0';
    strcpy(out->invoker_id, id);
    return slash == NULL
           || (capif_ccf_id_ok(out->ccf_id) && strcmp(out->ccf_id, own) != 0);
}

/* ---- what an AMF changes ---- */

struct change {
    const struct ccf_member *by;
    const char *api_id, *aef_id;
    const json_t *doc;
    bool *created;
    enum ccf_store_status *why;
};

static enum ccf_store_status transact(struct ccf_store *s, ccf_work_fn *work,
                                      struct change *c)
{
    enum ccf_store_status why = CCF_STORE_OK, st;

    c->why = &why;
    st = ccf_transact(s, work, c);
    return why != CCF_STORE_OK ? why : st;
}

/* Is by still an AMF of the domain whose API it is, and has that the AEF? */
static enum capif_db_status hold(struct ccf_store *s, const struct change *c)
{
    json_t *doc = NULL;
    enum capif_db_status st = ccf_member_hold(s, c->by, c->why);

    if (st == CAPIF_DB_OK)
        st = capif_db_run(s->db,
                          "SELECT doc FROM api WHERE ccf_id = $1"
                          " AND api_id = $2 AND group_id = $3",
                          ARGS(c->by->who.ccf_id, c->api_id, c->by->group_id),
                          ccf_row_doc, &doc, NULL);
    if (st == CAPIF_DB_OK && !ccf_api_serves(doc, c->aef_id))
        st = CAPIF_DB_NOT_FOUND;
    json_decref(doc);
    return st;
}

static enum capif_db_status note(struct ccf_store *s, const char *name,
                                 const char *group_id, const char *api_id,
                                 const char *aef_id, json_t *detail)
{
    const struct ccf_event event = { .name = name,
                                     .api_id = api_id,
                                     .aef_id = aef_id,
                                     .group_id = group_id,
                                     .detail = detail };
    enum capif_db_status st =
        detail != NULL ? ccf_event_add(s, &event) : CAPIF_DB_ERROR;

    json_decref(detail);
    return st;
}

static enum capif_db_status note_policy(struct ccf_store *s,
                                        const struct change *c)
{
    json_t *list = json_deep_copy(c->doc), *detail = NULL;

    if (list != NULL
        && json_object_set_new(list, "apiId", json_string(c->api_id)) == 0)
        detail = json_pack("{s:O}", "accCtrlPolList", list);
    json_decref(list);
    return note(s, "ACCESS_CONTROL_POLICY_UPDATE", c->by->group_id, c->api_id,
                c->aef_id, detail);
}

static enum capif_db_status note_no_policy(struct ccf_store *s,
                                           const char *group_id,
                                           const char *api_id,
                                           const char *aef_id)
{
    return note(s, "ACCESS_CONTROL_POLICY_UNAVAILABLE", group_id, api_id,
                aef_id, json_pack("{s:[s]}", "apiIds", api_id));
}

static enum capif_db_status note_routing(struct ccf_store *s, const char *name,
                                         const char *group_id,
                                         const char *api_id, const char *aef_id,
                                         const json_t *info)
{
    return note(s, name, group_id, api_id, aef_id,
                json_pack("{s:{s:s, s:O}}", "apiTopoHide", "apiId", api_id,
                          "routingRules",
                          json_object_get(info, "routingRules")));
}

/* ---- access control ---- */

static enum capif_db_status entry_add(struct ccf_store *s,
                                      const struct change *c,
                                      const json_t *entry)
{
    const char *name =
        json_string_value(json_object_get(entry, "apiInvokerId"));
    const json_t *total = json_object_get(entry, "allowedTotalInvocations");
    bool access = total == NULL || json_integer_value(total) > 0;
    struct ccf_policy_name who;
    enum capif_db_status st = CAPIF_DB_ERROR;
    char *text = json_dumps(entry, JSON_COMPACT);

    if (text != NULL && ccf_policy_name_read(name, c->by->who.ccf_id, &who))
        st = ccf_run(s,
                     "INSERT INTO policy_entry VALUES ($1, $2, $3, $4, $5,"
                     " $6)",
                     ARGS(c->api_id, c->aef_id, who.ccf_id, who.invoker_id,
                          access ? "1" : "0", text));
    free(text);
    return st;
}

static enum capif_db_status entries_delete(struct ccf_store *s,
                                           const char *api_id,
                                           const char *aef_id)
{
    return ccf_run(s,
                   "DELETE FROM policy_entry WHERE api_id = $1"
                   " AND aef_id = $2",
                   ARGS(api_id, aef_id));
}

static bool denies_others(const json_t *list)
{
    return json_is_true(
        json_object_get(json_object_get(list, CCF_VS), "othersDenied"));
}

static enum capif_db_status work_policy_put(struct ccf_store *s,
                                            const void *what)
{
    const struct change *c = what;
    const char *denied = denies_others(c->doc) ? "1" : "0";
    const json_t *entry;
    size_t changed = 0, i;
    enum capif_db_status st = hold(s, c);

    if (st == CAPIF_DB_OK)
        st = capif_db_run(s->db,
                          "UPDATE policy SET others_denied = $1"
                          " WHERE api_id = $2 AND aef_id = $3",
                          ARGS(denied, c->api_id, c->aef_id), NULL, NULL,
                          &changed);
    *c->created = changed == 0;
    if (st == CAPIF_DB_OK && changed == 0)
        st = ccf_run(s, "INSERT INTO policy VALUES ($1, $2, $3, $4)",
                     ARGS(c->api_id, c->aef_id, c->by->group_id, denied));
    else if (st == CAPIF_DB_OK)
        st = entries_delete(s, c->api_id, c->aef_id);
    json_array_foreach(json_object_get(c->doc, "apiInvokerPolicies"), i, entry)
    {
        if (st == CAPIF_DB_OK)
            st = entry_add(s, c, entry);
    }
    return st == CAPIF_DB_OK ? note_policy(s, c) : st;
}

enum ccf_store_status ccf_store_policy_put(struct ccf_store *s,
                                           const struct ccf_member *by,
                                           const char *api_id,
                                           const char *aef_id,
                                           const json_t *list, bool *created)
{
    struct change c = { by, api_id, aef_id, list, created, NULL };

    return transact(s, work_policy_put, &c);
}

struct list {
    json_t *doc; /* NULL: none yet */
    bool failed;
};

static void row_list(const char *const *columns, void *arg)
{
    struct list *l = arg;
    json_t *entry;

    if (l->doc == NULL)
        l->doc = json_pack("{s:[], s:{s:b}}", "apiInvokerPolicies", CCF_VS,
                           "othersDenied", strcmp(columns[0], "0") != 0);
    if (columns[1] == NULL)
        return;
    entry = json_loads(columns[1], JSON_REJECT_DUPLICATES, NULL);
    if (json_array_append_new(json_object_get(l->doc, "apiInvokerPolicies"),
                              entry)
        != 0)
        l->failed = true;
}

enum ccf_store_status ccf_store_policy_get(struct ccf_store *s,
                                           const char *api_id,
                                           const char *aef_id,
                                           const struct ccf_policy_name *only,
                                           json_t **list)
{
    struct list l = { .doc = NULL };
    enum capif_db_status st;

    if (only != NULL)
        st = ccf_look(s,
                      "SELECT p.others_denied, e.doc FROM policy p"
                      " LEFT JOIN policy_entry e ON e.api_id = p.api_id"
                      " AND e.aef_id = p.aef_id AND e.ccf_id = $1"
                      " AND e.invoker_id = $2 WHERE p.api_id = $3"
                      " AND p.aef_id = $4",
                      ARGS(only->ccf_id, only->invoker_id, api_id, aef_id),
                      row_list, &l);
    else
        st = ccf_look(s,
                      "SELECT p.others_denied, e.doc FROM policy p"
                      " LEFT JOIN policy_entry e ON e.api_id = p.api_id"
                      " AND e.aef_id = p.aef_id WHERE p.api_id = $1"
                      " AND p.aef_id = $2 ORDER BY e.ccf_id, e.invoker_id",
                      ARGS(api_id, aef_id), row_list, &l);
    if (st == CAPIF_DB_OK && (l.failed || l.doc == NULL))
        st = l.failed ? CAPIF_DB_ERROR : CAPIF_DB_NOT_FOUND;
    if (st == CAPIF_DB_OK)
        *list = json_incref(l.doc);
    json_decref(l.doc);
    return ccf_status_of(st);
}

enum capif_db_status ccf_policy_drop(struct ccf_store *s, const char *api_id,
                                     const char *aef_id, const char *group_id)
{
    size_t changed = 0;
    enum capif_db_status st = entries_delete(s, api_id, aef_id);

    if (st == CAPIF_DB_OK)
        st = capif_db_run(s->db,
                          "DELETE FROM policy WHERE api_id = $1"
                          " AND aef_id = $2",
                          ARGS(api_id, aef_id), NULL, NULL, &changed);
    if (st == CAPIF_DB_OK && changed == 0)
        return CAPIF_DB_NOT_FOUND;
    return st == CAPIF_DB_OK ? note_no_policy(s, group_id, api_id, aef_id) : st;
}

static enum capif_db_status work_policy_delete(struct ccf_store *s,
                                               const void *what)
{
    const struct change *c = what;
    enum capif_db_status st = hold(s, c);

    return st == CAPIF_DB_OK
               ? ccf_policy_drop(s, c->api_id, c->aef_id, c->by->group_id)
               : st;
}

enum ccf_store_status ccf_store_policy_delete(struct ccf_store *s,
                                              const struct ccf_member *by,
                                              const char *api_id,
                                              const char *aef_id)
{
    struct change c = { by, api_id, aef_id, NULL, NULL, NULL };

    return transact(s, work_policy_delete, &c);
}

/* ---- topology hiding ---- */

/* The handler has looked, too; an AEF may have gone since then. */
static enum capif_db_status own_rules(struct ccf_store *s,
                                      const struct change *c)
{
    const json_t *rule;
    enum capif_db_status st = CAPIF_DB_OK;
    bool own = true;
    size_t i;

    json_array_foreach(json_object_get(c->doc, "routingRules"), i, rule)
    {
        if (st == CAPIF_DB_OK && own)
            st = ccf_aef_of_group(
                s, c->by->who.ccf_id,
                capif_str(json_object_get(rule, "aefProfile"), "aefId"),
                c->by->group_id, &own);
    }
    if (st == CAPIF_DB_OK && !own) {
        *c->why = CCF_STORE_CHANGED;
        return CAPIF_DB_NOT_FOUND;
    }
    return st;
}

static enum capif_db_status work_routing_put(struct ccf_store *s,
                                             const void *what)
{
    const struct change *c = what;
    char *text = json_dumps(c->doc, JSON_COMPACT);
    size_t changed = 0;
    enum capif_db_status st = text != NULL ? hold(s, c) : CAPIF_DB_ERROR;

    if (st == CAPIF_DB_OK)
        st = own_rules(s, c);
    if (st == CAPIF_DB_OK)
        st = capif_db_run(s->db,
                          "UPDATE routing SET doc = $1 WHERE api_id = $2"
                          " AND aef_id = $3",
                          ARGS(text, c->api_id, c->aef_id), NULL, NULL,
                          &changed);
    *c->created = changed == 0;
    if (st == CAPIF_DB_OK && changed == 0)
        st = ccf_run(s, "INSERT INTO routing VALUES ($1, $2, $3, $4)",
                     ARGS(c->api_id, c->aef_id, c->by->group_id, text));
    free(text);
    return st == CAPIF_DB_OK
               ? note_routing(s, "API_TOPOLOGY_HIDING_CREATED", c->by->group_id,
                              c->api_id, c->aef_id, c->doc)
               : st;
}

enum ccf_store_status ccf_store_routing_put(struct ccf_store *s,
                                            const struct ccf_member *by,
                                            const char *api_id,
                                            const char *aef_id,
                                            const json_t *info, bool *created)
{
    struct change c = { by, api_id, aef_id, info, created, NULL };

    return transact(s, work_routing_put, &c);
}

static const char routing_sql[] =
    "SELECT doc FROM routing WHERE api_id = $1 AND aef_id = $2";

enum ccf_store_status ccf_store_routing_get(struct ccf_store *s,
                                            const char *api_id,
                                            const char *aef_id, json_t **info)
{
    return ccf_doc(s, routing_sql, ARGS(api_id, aef_id), info);
}

enum capif_db_status ccf_routing_drop(struct ccf_store *s, const char *api_id,
                                      const char *aef_id, const char *group_id)
{
    json_t *info = NULL;
    enum capif_db_status st = capif_db_run(
        s->db, routing_sql, ARGS(api_id, aef_id), ccf_row_doc, &info, NULL);

    if (st == CAPIF_DB_OK && info == NULL)
        return CAPIF_DB_NOT_FOUND;
    if (st == CAPIF_DB_OK)
        st = ccf_run(s, "DELETE FROM routing WHERE api_id = $1 AND aef_id = $2",
                     ARGS(api_id, aef_id));
    if (st == CAPIF_DB_OK)
        st = note_routing(s, "API_TOPOLOGY_HIDING_REVOKED", group_id, api_id,
                          aef_id, info);
    json_decref(info);
    return st;
}

static enum capif_db_status work_routing_delete(struct ccf_store *s,
                                                const void *what)
{
    const struct change *c = what;
    enum capif_db_status st = hold(s, c);

    return st == CAPIF_DB_OK
               ? ccf_routing_drop(s, c->api_id, c->aef_id, c->by->group_id)
               : st;
}

enum ccf_store_status ccf_store_routing_delete(struct ccf_store *s,
                                               const struct ccf_member *by,
                                               const char *api_id,
                                               const char *aef_id)
{
    struct change c = { by, api_id, aef_id, NULL, NULL, NULL };

    return transact(s, work_routing_delete, &c);
}
