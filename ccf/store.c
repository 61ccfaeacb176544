/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include "db.h"
#include "log.h"
#include "store_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ccf_store {
    struct ccf_db *db;
};

/* Statements that bring version i to version i + 1. */
static const char *const migrations[][8] = {
    {
        "CREATE TABLE enrolment (jti TEXT PRIMARY KEY, exp BIGINT NOT NULL)",
        "CREATE TABLE grp (id TEXT PRIMARY KEY, doc TEXT NOT NULL)",
        "CREATE TABLE member (ccf_id TEXT NOT NULL, role TEXT NOT NULL,"
        " id TEXT NOT NULL, group_id TEXT NOT NULL REFERENCES grp(id),"
        " thumbprint TEXT NOT NULL, PRIMARY KEY (ccf_id, role, id))",
        "CREATE TABLE api (ccf_id TEXT NOT NULL, api_id TEXT NOT NULL,"
        " apf_id TEXT, doc TEXT NOT NULL, PRIMARY KEY (ccf_id, api_id))",
        "CREATE INDEX api_by_id ON api (api_id)",
        "CREATE INDEX api_by_apf ON api (apf_id)",
        "CREATE TABLE context (ccf_id TEXT NOT NULL, invoker_id TEXT NOT NULL,"
        " expires BIGINT NOT NULL, doc TEXT NOT NULL,"
        " PRIMARY KEY (ccf_id, invoker_id))",
        NULL,
    },
    {
        "CREATE TABLE psk (psk_id TEXT PRIMARY KEY,"
        " expires BIGINT NOT NULL, doc TEXT NOT NULL)",
        "CREATE INDEX psk_by_expiry ON psk (expires)",
        NULL,
    },
};
#define N_MIGRATIONS (sizeof(migrations) / sizeof(migrations[0]))

#define ARGS(...)                         \
    (const char *const[]){ __VA_ARGS__ }, \
        sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

static enum ccf_store_status status_of(enum ccf_db_status st)
{
    switch (st) {
    case CCF_DB_OK:
        return CCF_STORE_OK;
    case CCF_DB_CONFLICT:
        return CCF_STORE_CONFLICT;
    case CCF_DB_ERROR:
        break;
    }
    return CCF_STORE_ERROR;
}

static enum ccf_db_status plain(struct ccf_store *s, const char *sql)
{
    return ccf_db_run(s->db, sql, NULL, 0, NULL, NULL, NULL);
}

/* Commit if st is OK, roll back if not; what came of it all. */
static enum ccf_store_status finish(struct ccf_store *s, enum ccf_db_status st)
{
    if (st == CCF_DB_OK)
        st = plain(s, "COMMIT");
    if (st != CCF_DB_OK)
        (void)plain(s, "ROLLBACK");
    return status_of(st);
}

static void row_number(const char *const *columns, void *arg)
{
    *(size_t *)arg = strtoul(columns[0], NULL, 10);
}

static bool migrate(struct ccf_store *s)
{
    size_t version = 0;
    char text[24];
    enum ccf_db_status st;

    if (plain(s, "CREATE TABLE IF NOT EXISTS schema_version (v BIGINT)")
            != CCF_DB_OK
        || plain(s, "BEGIN IMMEDIATE") != CCF_DB_OK)
        return false;
    st = ccf_db_run(s->db, "SELECT COALESCE(MAX(v), 0) FROM schema_version",
                    NULL, 0, row_number, &version, NULL);
    if (st == CCF_DB_OK && version > N_MIGRATIONS) {
        capif_log("store-failed", "why", "schema of a later version", NULL);
        st = CCF_DB_ERROR;
    }
    for (; st == CCF_DB_OK && version < N_MIGRATIONS; version++) {
        for (size_t i = 0; st == CCF_DB_OK && migrations[version][i]; i++)
            st = plain(s, migrations[version][i]);
        snprintf(text, sizeof(text), "%zu", version + 1);
        if (st == CCF_DB_OK)
            st = ccf_db_run(s->db, "INSERT INTO schema_version VALUES ($1)",
                            ARGS(text), NULL, NULL, NULL);
    }
    return finish(s, st) == CCF_STORE_OK;
}

struct ccf_store *ccf_store_open(const char *where)
{
    struct ccf_store *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    if ((s->db = ccf_db_open(where)) == NULL || !migrate(s)) {
        ccf_store_close(s);
        return NULL;
    }
    return s;
}

void ccf_store_close(struct ccf_store *s)
{
    if (s == NULL)
        return;
    ccf_db_close(s->db);
    free(s);
}

static void seconds(time_t t, char out[24])
{
    snprintf(out, 24, "%lld", (long long)t);
}

/* ---- members ---- */

enum ccf_store_status ccf_store_enrol(struct ccf_store *s,
                                      const struct ccf_enrolment *enrolment,
                                      const char *group_id, const json_t *doc,
                                      const struct ccf_member *members,
                                      size_t n)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    char exp[24], now[24];
    enum ccf_db_status st;

    if (text == NULL || plain(s, "BEGIN IMMEDIATE") != CCF_DB_OK) {
        free(text);
        return CCF_STORE_ERROR;
    }
    seconds(enrolment->exp, exp);
    seconds(time(NULL), now);
    st = ccf_db_run(s->db,
                    "DELETE FROM enrolment WHERE exp < CAST($1 AS BIGINT)",
                    ARGS(now), NULL, NULL, NULL);
    if (st == CCF_DB_OK)
        st = ccf_db_run(s->db, "INSERT INTO enrolment VALUES ($1, $2)",
                        ARGS(enrolment->jti, exp), NULL, NULL, NULL);
    if (st == CCF_DB_OK)
        st = ccf_db_run(s->db, "INSERT INTO grp VALUES ($1, $2)",
                        ARGS(group_id, text), NULL, NULL, NULL);
    for (size_t i = 0; st == CCF_DB_OK && i < n; i++)
        st = ccf_db_run(
            s->db, "INSERT INTO member VALUES ($1, $2, $3, $4, $5)",
            ARGS(members[i].who.ccf_id, capif_role_name(members[i].who.role),
                 members[i].who.id, group_id, members[i].thumbprint),
            NULL, NULL, NULL);
    free(text);
    return finish(s, st);
}

struct member_row {
    struct ccf_member member;
    bool found;
};

static void row_member(const char *const *columns, void *arg)
{
    struct member_row *row = arg;

    row->found = true;
    snprintf(row->member.group_id, sizeof(row->member.group_id), "%s",
             columns[0]);
    snprintf(row->member.thumbprint, sizeof(row->member.thumbprint), "%s",
             columns[1]);
}

enum ccf_store_status ccf_store_member(struct ccf_store *s,
                                       const struct capif_identity *who,
                                       struct ccf_member *out)
{
    struct member_row row = { .member.who = *who };
    enum ccf_db_status st =
        ccf_db_run(s->db,
                   "SELECT group_id, thumbprint FROM member"
                   " WHERE ccf_id = $1 AND role = $2 AND id = $3",
                   ARGS(who->ccf_id, capif_role_name(who->role), who->id),
                   row_member, &row, NULL);

    if (st != CCF_DB_OK)
        return status_of(st);
    if (!row.found)
        return CCF_STORE_NOT_FOUND;
    *out = row.member;
    return CCF_STORE_OK;
}

enum ccf_store_status ccf_store_offboard(struct ccf_store *s,
                                         const struct capif_identity *who,
                                         const char *onboarding_id)
{
    size_t changed = 0;
    enum ccf_db_status st;

    if (plain(s, "BEGIN IMMEDIATE") != CCF_DB_OK)
        return CCF_STORE_ERROR;
    st = ccf_db_run(s->db,
                    "DELETE FROM member WHERE ccf_id = $1 AND"
                    " role = 'invoker' AND id = $2 AND group_id = $3",
                    ARGS(who->ccf_id, who->id, onboarding_id), NULL, NULL,
                    &changed);
    if (st == CCF_DB_OK && changed == 0) {
        (void)plain(s, "ROLLBACK");
        return CCF_STORE_NOT_FOUND;
    }
    if (st == CCF_DB_OK)
        st = ccf_db_run(s->db, "DELETE FROM grp WHERE id = $1",
                        ARGS(onboarding_id), NULL, NULL, NULL);
    if (st == CCF_DB_OK)
        st = ccf_db_run(s->db,
                        "DELETE FROM context WHERE ccf_id = $1 AND"
                        " invoker_id = $2",
                        ARGS(who->ccf_id, who->id), NULL, NULL, NULL);
    return finish(s, st);
}

/* ---- documents ---- */

static void row_append(const char *const *columns, void *arg)
{
    json_t *doc = json_loads(columns[0], JSON_REJECT_DUPLICATES, NULL);

    if (doc != NULL)
        json_array_append_new(arg, doc);
}

/* The documents that a SELECT gives. */
static enum ccf_store_status select_docs(struct ccf_store *s, const char *sql,
                                         const char *const *args, size_t n,
                                         json_t **docs)
{
    json_t *list = json_array();
    enum ccf_db_status st;

    if (list == NULL)
        return CCF_STORE_ERROR;
    st = ccf_db_run(s->db, sql, args, n, row_append, list, NULL);
    if (st != CCF_DB_OK) {
        json_decref(list);
        return status_of(st);
    }
    *docs = list;
    return CCF_STORE_OK;
}

static enum ccf_store_status select_doc(struct ccf_store *s, const char *sql,
                                        const char *const *args, size_t n,
                                        json_t **doc)
{
    json_t *list = NULL;
    enum ccf_store_status st = select_docs(s, sql, args, n, &list);

    if (st == CCF_STORE_OK && json_array_size(list) == 0)
        st = CCF_STORE_NOT_FOUND;
    if (st == CCF_STORE_OK)
        *doc = json_incref(json_array_get(list, 0));
    json_decref(list);
    return st;
}

/* A statement of one row that should be there. */
static enum ccf_store_status change_one(struct ccf_store *s, const char *sql,
                                        const char *const *args, size_t n)
{
    size_t changed = 0;
    enum ccf_db_status st =
        ccf_db_run(s->db, sql, args, n, NULL, NULL, &changed);

    if (st == CCF_DB_OK && changed == 0)
        return CCF_STORE_NOT_FOUND;
    return status_of(st);
}

static enum ccf_db_status api_put(struct ccf_store *s, const char *ccf_id,
                                  const char *api_id, const char *apf_id,
                                  const json_t *doc)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    enum ccf_db_status st = CCF_DB_ERROR;

    if (text != NULL)
        st = ccf_db_run(s->db,
                        "INSERT INTO api VALUES ($1, $2, $3, $4)"
                        " ON CONFLICT (ccf_id, api_id) DO UPDATE"
                        " SET doc = excluded.doc",
                        ARGS(ccf_id, api_id, apf_id, text), NULL, NULL, NULL);
    free(text);
    return st;
}

enum ccf_store_status ccf_store_api_put(struct ccf_store *s, const char *ccf_id,
                                        const char *api_id, const char *apf_id,
                                        const json_t *doc)
{
    return status_of(api_put(s, ccf_id, api_id, apf_id, doc));
}

enum ccf_store_status ccf_store_api_get(struct ccf_store *s, const char *ccf_id,
                                        const char *api_id, json_t **doc)
{
    return select_doc(s,
                      "SELECT doc FROM api WHERE api_id = $1"
                      " AND ($2 IS NULL OR ccf_id = $2)",
                      ARGS(api_id, ccf_id), doc);
}

enum ccf_store_status ccf_store_api_list(struct ccf_store *s,
                                         const char *ccf_id, const char *apf_id,
                                         json_t **docs)
{
    return select_docs(s,
                       "SELECT doc FROM api WHERE ($1 IS NULL OR ccf_id = $1)"
                       " AND ($2 IS NULL OR apf_id = $2) ORDER BY api_id",
                       ARGS(ccf_id, apf_id), docs);
}

enum ccf_store_status ccf_store_api_delete(struct ccf_store *s,
                                           const char *ccf_id,
                                           const char *api_id,
                                           const char *apf_id)
{
    return change_one(s,
                      "DELETE FROM api WHERE ccf_id = $1 AND api_id = $2"
                      " AND apf_id = $3",
                      ARGS(ccf_id, api_id, apf_id));
}

enum ccf_store_status ccf_store_api_replace(struct ccf_store *s,
                                            const char *ccf_id,
                                            const json_t *docs)
{
    enum ccf_db_status st;
    const json_t *doc;
    size_t i;

    if (plain(s, "BEGIN IMMEDIATE") != CCF_DB_OK)
        return CCF_STORE_ERROR;
    st = ccf_db_run(s->db, "DELETE FROM api WHERE ccf_id = $1", ARGS(ccf_id),
                    NULL, NULL, NULL);
    json_array_foreach(docs, i, doc)
    {
        if (st == CCF_DB_OK)
            st = api_put(s, ccf_id,
                         json_string_value(json_object_get(doc, "apiId")), NULL,
                         doc);
    }
    return finish(s, st);
}

/* ---- security contexts ---- */

static enum ccf_store_status context_put(struct ccf_store *s,
                                         const char *ccf_id,
                                         const char *invoker_id, bool member,
                                         time_t expires, const json_t *doc)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    char exp[24];
    enum ccf_store_status st = CCF_STORE_ERROR;

    seconds(expires, exp);
    if (text != NULL)
        st = change_one(
            s,
            "INSERT INTO context SELECT $1, $2, CAST($3 AS BIGINT), $4"
            " WHERE $5 IS NULL OR EXISTS (SELECT 1 FROM member WHERE"
            " ccf_id = $1 AND role = 'invoker' AND id = $2)"
            " ON CONFLICT (ccf_id, invoker_id) DO UPDATE"
            " SET expires = excluded.expires, doc = excluded.doc",
            ARGS(ccf_id, invoker_id, exp, text, member ? "1" : NULL));
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

    seconds(time(NULL), now);
    return select_doc(s,
                      "SELECT doc FROM context WHERE ccf_id = $1"
                      " AND invoker_id = $2"
                      " AND expires > CAST($3 AS BIGINT)",
                      ARGS(ccf_id, invoker_id, now), doc);
}

enum ccf_store_status ccf_store_context_delete(struct ccf_store *s,
                                               const char *ccf_id,
                                               const char *invoker_id)
{
    return change_one(s,
                      "DELETE FROM context WHERE ccf_id = $1"
                      " AND invoker_id = $2",
                      ARGS(ccf_id, invoker_id));
}

/* ---- PSKs ---- */

enum ccf_store_status ccf_store_psk_add(struct ccf_store *s, const char *psk_id,
                                        time_t expires, const json_t *doc)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    char exp[24], now[24];
    enum ccf_db_status st;

    if (text == NULL || plain(s, "BEGIN IMMEDIATE") != CCF_DB_OK) {
        free(text);
        return CCF_STORE_ERROR;
    }
    seconds(expires, exp);
    seconds(time(NULL), now);
    st =
        ccf_db_run(s->db, "DELETE FROM psk WHERE expires <= CAST($1 AS BIGINT)",
                   ARGS(now), NULL, NULL, NULL);
    if (st == CCF_DB_OK)
        st = ccf_db_run(s->db, "INSERT INTO psk VALUES ($1, $2, $3)",
                        ARGS(psk_id, exp, text), NULL, NULL, NULL);
    free(text);
    return finish(s, st);
}

enum ccf_store_status ccf_store_psk_get(struct ccf_store *s, const char *psk_id,
                                        json_t **doc)
{
    char now[24];

    seconds(time(NULL), now);
    return select_doc(s,
                      "SELECT doc FROM psk WHERE psk_id = $1"
                      " AND expires > CAST($2 AS BIGINT)",
                      ARGS(psk_id, now), doc);
}

/* ---- for store_change.c ---- */

bool ccf_store_begin(struct ccf_store *s)
{
    return plain(s, "BEGIN IMMEDIATE") == CCF_DB_OK;
}

enum ccf_store_status ccf_store_end(struct ccf_store *s,
                                    enum ccf_store_status st)
{
    if (st == CCF_STORE_OK)
        return finish(s, CCF_DB_OK);
    (void)plain(s, "ROLLBACK");
    return st;
}

enum ccf_store_status ccf_store_run(struct ccf_store *s, const char *sql,
                                    const char *const *args, size_t n,
                                    ccf_db_row_fn *row, void *arg,
                                    size_t *changed)
{
    return status_of(ccf_db_run(s->db, sql, args, n, row, arg, changed));
}
