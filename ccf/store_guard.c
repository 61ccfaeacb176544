/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access control policies and topology hiding: whom they concern, and their
 * end with what they are of.
 */
#include "store_policy.h"

#include "share.h"

#include <stdlib.h>
#include <string.h>

static void row_guard(const char *const *columns, void *arg)
{
    struct ccf_guard *g = arg;

    json_object_set_new(strcmp(columns[0], "entry") == 0 ? g->entry : g->denied,
                        columns[1], json_true());
}

/* One without an entry has access, unless others are denied it. */
static const char invoker_sql[] =
    "SELECT 'denied', p.aef_id FROM policy p LEFT JOIN policy_entry e"
    " ON e.api_id = p.api_id AND e.aef_id = p.aef_id AND e.ccf_id = $1"
    " AND e.invoker_id = $2 WHERE p.api_id = $3"
    " AND COALESCE(e.access, 1 - p.others_denied) = 0"
    " UNION ALL SELECT 'entry', r.aef_id FROM routing r WHERE r.api_id = $3";

static const char partner_sql[] =
    "SELECT 'denied', p.aef_id FROM policy p WHERE p.api_id = $1"
    " AND p.others_denied = 1 AND NOT EXISTS (SELECT 1 FROM policy_entry e"
    " WHERE e.api_id = p.api_id AND e.aef_id = p.aef_id AND e.ccf_id = $2"
    " AND e.access = 1)"
    " UNION ALL SELECT 'entry', r.aef_id FROM routing r WHERE r.api_id = $1";

/* ccf_look(), or in a transaction what does not try again by itself. */
typedef enum capif_db_status look_fn(struct ccf_store *s, const char *sql,
                                     const char *const *args, size_t n,
                                     capif_db_row_fn *row, void *arg);

static enum capif_db_status look_once(struct ccf_store *s, const char *sql,
                                      const char *const *args, size_t n,
                                      capif_db_row_fn *row, void *arg)
{
    return capif_db_run(s->db, sql, args, n, row, arg, NULL);
}

static enum capif_db_status guard_get(struct ccf_store *s, look_fn *look,
                                      const char *api_id, const char *ccf_id,
                                      const char *invoker_id,
                                      struct ccf_guard *out)
{
    struct ccf_guard g = { json_object(), json_object() };
    enum capif_db_status st = CAPIF_DB_ERROR;

    if (g.denied != NULL && g.entry != NULL)
        st = invoker_id != NULL
                 ? look(s, invoker_sql, ARGS(ccf_id, invoker_id, api_id),
                        row_guard, &g)
                 : look(s, partner_sql, ARGS(api_id, ccf_id), row_guard, &g);
    if (st == CAPIF_DB_OK)
        *out = g;
    else
        ccf_guard_clear(&g);
    return st;
}

enum capif_db_status ccf_guard_partner(struct ccf_store *s, const char *api_id,
                                       const char *ccf_id,
                                       struct ccf_guard *out)
{
    return guard_get(s, look_once, api_id, ccf_id, NULL, out);
}

enum ccf_store_status ccf_store_guard(struct ccf_store *s, const char *api_id,
                                      const char *ccf_id,
                                      const char *invoker_id,
                                      struct ccf_guard *out)
{
    return ccf_status_of(
        guard_get(s, ccf_look, api_id, ccf_id, invoker_id, out));
}

/*
 * By the entries that name him, and by the policies that deny all others.
 * Of these there are few, of a name there may be thousands: CROSS tells
 * SQLite not to begin with the APIs, and a server nothing.
 */
static const char by_name_sql[] =
    "SELECT 1 FROM policy_entry e CROSS JOIN api a WHERE e.ccf_id = $1"
    " AND e.invoker_id = $2 AND e.aef_id = $3 AND e.access = 0"
    " AND a.ccf_id = $4 AND a.api_id = e.api_id AND a.api_name = $5"
    " UNION ALL SELECT 1 FROM policy p CROSS JOIN api a WHERE p.aef_id = $3"
    " AND p.others_denied = 1 AND a.ccf_id = $4 AND a.api_id = p.api_id"
    " AND a.api_name = $5 AND NOT EXISTS (SELECT 1 FROM policy_entry e"
    " WHERE e.api_id = p.api_id AND e.aef_id = p.aef_id AND e.ccf_id = $1"
    " AND e.invoker_id = $2) LIMIT 1";

enum ccf_store_status ccf_store_denied_by_name(struct ccf_store *s,
                                               const struct ccf_use *use,
                                               bool *is)
{
    *is = false;
    return ccf_status_of(ccf_look(s, by_name_sql,
                                  ARGS(use->ccf_id, use->invoker_id,
                                       use->aef_id, use->own, use->api_name),
                                  ccf_row_there, is));
}

void ccf_guard_clear(struct ccf_guard *guard)
{
    json_decref(guard->denied);
    json_decref(guard->entry);
    guard->denied = guard->entry = NULL;
}

bool ccf_api_serves(const json_t *api, const char *aef_id)
{
    const json_t *profile;
    size_t i;

    json_array_foreach(json_object_get(api, "aefProfiles"), i, profile)
    {
        if (capif_str(profile, "aefId") != NULL
            && strcmp(capif_str(profile, "aefId"), aef_id) == 0)
            return true;
    }
    return false;
}

bool ccf_api_tidy(json_t *api)
{
    json_t *active =
        json_object_get(json_object_get(api, "apiStatus"), "aefIds");

    for (size_t i = json_array_size(active); i-- > 0;) {
        const char *aef_id = json_string_value(json_array_get(active, i));

        if (aef_id == NULL || !ccf_api_serves(api, aef_id))
            json_array_remove(active, i);
    }
    return json_array_size(json_object_get(api, "aefProfiles")) > 0;
}

bool ccf_api_is_active(const json_t *api, const char *aef_id)
{
    const json_t *status = json_object_get(api, "apiStatus");

    return status == NULL
           || capif_array_has(json_object_get(status, "aefIds"), aef_id);
}

bool ccf_api_keep_active(json_t *api)
{
    json_t *profiles = json_object_get(api, "aefProfiles");

    for (size_t i = json_array_size(profiles); i-- > 0;) {
        const char *id = capif_str(json_array_get(profiles, i), "aefId");

        if (id == NULL || !ccf_api_is_active(api, id))
            json_array_remove(profiles, i);
    }
    return ccf_api_tidy(api);
}

bool ccf_guard_keep(const struct ccf_guard *guard, json_t *api)
{
    json_t *profiles = json_object_get(api, "aefProfiles");

    for (size_t i = json_array_size(profiles); i-- > 0;) {
        const char *id = capif_str(json_array_get(profiles, i), "aefId");

        if (id == NULL || json_object_get(guard->denied, id) != NULL
            || (json_object_size(guard->entry) > 0
                && json_object_get(guard->entry, id) == NULL))
            json_array_remove(profiles, i);
    }
    return ccf_api_tidy(api);
}

/* What the invoker would discover of one; *left: anything. */
static enum capif_db_status shown_api(struct ccf_store *s,
                                      const struct ccf_event *e,
                                      const char *invoker_id, json_t *api,
                                      bool *left)
{
    const char *ccf_id = capif_str(api, "ccfId");
    struct ccf_guard guard;
    enum capif_db_status st = CAPIF_DB_OK;

    *left = true;
    if (e->group_id != NULL) { /* of a partner's, that has seen to it */
        st = guard_get(s, look_once, e->api_id, ccf_id != NULL ? ccf_id : "",
                       invoker_id, &guard);
        if (st != CAPIF_DB_OK)
            return st;
        *left = ccf_guard_keep(&guard, api);
        ccf_guard_clear(&guard);
    }
    ccf_api_untell_provider(api);
    return st;
}

enum capif_db_status ccf_policy_shown(struct ccf_store *s,
                                      const struct ccf_event *e,
                                      const char *invoker_id, json_t **detail)
{
    json_t *copy = json_deep_copy(e->detail);
    json_t *list = json_object_get(copy, "serviceAPIDescriptions");
    enum capif_db_status st = CAPIF_DB_OK;
    bool left;

    *detail = NULL;
    for (size_t i = json_array_size(list); i-- > 0 && st == CAPIF_DB_OK;) {
        st = shown_api(s, e, invoker_id, json_array_get(list, i), &left);
        if (!left)
            json_array_remove(list, i);
    }
    if (st == CAPIF_DB_OK && e->api_id != NULL
        && (list == NULL || json_array_size(list) > 0))
        *detail = copy != NULL ? json_incref(copy) : json_null();
    json_decref(copy);
    return st;
}

/* ---- the end of what they are of ---- */

static void row_pair(const char *const *columns, void *arg)
{
    json_array_append_new(arg,
                          json_pack("{s:s, s:s, s:s}", "what", columns[0],
                                    "aefId", columns[1], "group", columns[2]));
}

/* All that is of an API at AEFs where, as it is now, it isn't any more. */
static enum capif_db_status drop_left(struct ccf_store *s, const char *api_id,
                                      const json_t *api)
{
    json_t *pairs = json_array(), *pair;
    enum capif_db_status st = CAPIF_DB_ERROR;
    size_t i;

    if (pairs != NULL)
        st = capif_db_run(s->db,
                          "SELECT 'policy', aef_id, group_id FROM policy"
                          " WHERE api_id = $1 UNION ALL"
                          " SELECT 'routing', aef_id, group_id FROM routing"
                          " WHERE api_id = $1",
                          ARGS(api_id), row_pair, pairs, NULL);
    json_array_foreach(pairs, i, pair)
    {
        if (st != CAPIF_DB_OK || ccf_api_serves(api, capif_str(pair, "aefId")))
            continue;
        st = strcmp(capif_str(pair, "what"), "policy") == 0
                 ? ccf_policy_drop(s, api_id, capif_str(pair, "aefId"),
                                   capif_str(pair, "group"))
                 : ccf_routing_drop(s, api_id, capif_str(pair, "aefId"),
                                    capif_str(pair, "group"));
    }
    json_decref(pairs);
    return st;
}

enum capif_db_status ccf_policy_tidy(struct ccf_store *s, const char *ccf_id,
                                     const char *api_id)
{
    json_t *api = NULL;
    enum capif_db_status st = capif_db_run(
        s->db, "SELECT doc FROM api WHERE ccf_id = $1 AND api_id = $2",
        ARGS(ccf_id, api_id), ccf_row_doc, &api, NULL);

    if (st == CAPIF_DB_OK && api != NULL)
        st = drop_left(s, api_id, api);
    json_decref(api);
    return st;
}

enum capif_db_status ccf_policy_end(struct ccf_store *s, const char *api_id)
{
    return drop_left(s, api_id, NULL);
}

/* ---- rules that lead to AEFs which are gone ---- */

static bool member_there(struct ccf_store *s, const char *ccf_id,
                         const json_t *rule, enum capif_db_status *st)
{
    const char *id = capif_str(json_object_get(rule, "aefProfile"), "aefId");
    struct capif_identity who = { .role = CAPIF_AEF };
    struct ccf_member member;

    if (id == NULL || strlen(id) >= sizeof(who.id))
        return false;
    strcpy(who.ccf_id, ccf_id);
    strcpy(who.id, id);
    *st = ccf_member_get(s, &who, &member);
    if (*st != CAPIF_DB_NOT_FOUND)
        return true;
    *st = CAPIF_DB_OK;
    return false;
}

static enum capif_db_status rules_tidy(struct ccf_store *s, const char *ccf_id,
                                       const char *group_id, json_t *row)
{
    const char *api_id = capif_str(row, "apiId"),
               *aef_id = capif_str(row, "aefId");
    json_t *info =
        json_loads(capif_str(row, "doc"), JSON_REJECT_DUPLICATES, NULL);
    json_t *rules = json_object_get(info, "routingRules");
    size_t before = json_array_size(rules);
    enum capif_db_status st = CAPIF_DB_OK;
    char *text = NULL;

    for (size_t i = before; i-- > 0 && st == CAPIF_DB_OK;)
        if (!member_there(s, ccf_id, json_array_get(rules, i), &st))
            json_array_remove(rules, i);
    if (st == CAPIF_DB_OK && json_array_size(rules) < before) {
        text = json_dumps(info, JSON_COMPACT);
        st = json_array_size(rules) == 0
                 ? ccf_routing_drop(s, api_id, aef_id, group_id)
             : text == NULL
                 ? CAPIF_DB_ERROR
                 : ccf_run(s,
                           "UPDATE routing SET doc = $1 WHERE api_id = $2"
                           " AND aef_id = $3",
                           ARGS(text, api_id, aef_id));
    }
    free(text);
    json_decref(info);
    return st;
}

static void row_routing(const char *const *columns, void *arg)
{
    json_array_append_new(arg,
                          json_pack("{s:s, s:s, s:s}", "apiId", columns[0],
                                    "aefId", columns[1], "doc", columns[2]));
}

static void row_id(const char *const *columns, void *arg)
{
    json_object_set_new(arg, columns[0], json_true());
}

enum capif_db_status ccf_policy_tidy_group(struct ccf_store *s,
                                           const char *ccf_id,
                                           const char *group_id)
{
    json_t *ids = json_object(), *rows = json_array(), *v;
    enum capif_db_status st = CAPIF_DB_ERROR;
    const char *api_id;
    size_t i;

    if (ids != NULL && rows != NULL)
        st = capif_db_run(s->db,
                          "SELECT api_id FROM policy WHERE group_id = $1"
                          " UNION SELECT api_id FROM routing"
                          " WHERE group_id = $1",
                          ARGS(group_id), row_id, ids, NULL);
    json_object_foreach(ids, api_id, v)
    {
        (void)v;
        if (st == CAPIF_DB_OK)
            st = ccf_policy_tidy(s, ccf_id, api_id);
    }
    if (st == CAPIF_DB_OK)
        st = capif_db_run(s->db,
                          "SELECT api_id, aef_id, doc FROM routing"
                          " WHERE group_id = $1",
                          ARGS(group_id), row_routing, rows, NULL);
    json_array_foreach(rows, i, v)
    {
        if (st == CAPIF_DB_OK)
            st = rules_tidy(s, ccf_id, group_id, v);
    }
    json_decref(ids);
    json_decref(rows);
    return st;
}

enum capif_db_status ccf_policy_forget(struct ccf_store *s,
                                       const struct capif_identity *invoker)
{
    return ccf_run(s,
                   "DELETE FROM policy_entry WHERE ccf_id = $1"
                   " AND invoker_id = $2",
                   ARGS(invoker->ccf_id, invoker->id));
}
