/* SPDX-License-Identifier: Apache-2.0 */
#include "event.h"
#include "store_crl.h"
#include "store_policy.h"
#include "store_revoke.h"

#include <stdio.h>
#include <stdlib.h>

struct enrol {
    const char *jti, *exp, *group_id, *doc;
    const struct ccf_member *members;
    size_t n;
};

/* A second time, it is a conflict. */
static const char spend_sql[] = "INSERT INTO enrolment VALUES ($1, $2)";

static void forget_spent(struct ccf_store *s)
{
    ccf_forget(s, "DELETE FROM enrolment WHERE exp < $1");
}

static enum capif_db_status insert(struct ccf_store *s,
                                   const struct ccf_member *m,
                                   const char *group_id)
{
    char not_after[24];

    ccf_seconds(m->not_after, not_after);
    return ccf_run(s,
                   "INSERT INTO member VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                   ARGS(m->who.ccf_id, capif_role_name(m->who.role), m->who.id,
                        group_id, m->thumbprint, m->ca, m->serial, not_after));
}

static enum capif_db_status work_enrol(struct ccf_store *s, const void *what)
{
    const struct enrol *e = what;
    enum capif_db_status st = ccf_run(s, spend_sql, ARGS(e->jti, e->exp));

    if (st == CAPIF_DB_OK)
        st = ccf_run(s, "INSERT INTO grp VALUES ($1, $2)",
                     ARGS(e->group_id, e->doc));
    for (size_t i = 0; st == CAPIF_DB_OK && i < e->n; i++)
        st = insert(s, &e->members[i], e->group_id);
    for (size_t i = 0; st == CAPIF_DB_OK && i < e->n; i++)
        st = ccf_event_invoker(s, "API_INVOKER_ONBOARDED", &e->members[i].who);
    return st;
}

enum ccf_store_status ccf_store_enrol(struct ccf_store *s,
                                      const struct ccf_enrolment *enrolment,
                                      const char *group_id, const json_t *doc,
                                      const struct ccf_member *members,
                                      size_t n)
{
    char *text = json_dumps(doc, JSON_COMPACT);
    char exp[24];
    const struct enrol e = {
        enrolment->jti, exp, group_id, text, members, n,
    };
    enum ccf_store_status st = CCF_STORE_ERROR;

    ccf_seconds(enrolment->exp, exp);
    forget_spent(s);
    if (text != NULL)
        st = ccf_transact(s, work_enrol, &e);
    free(text);
    return st;
}

enum ccf_store_status ccf_store_spend(struct ccf_store *s, const char *jti,
                                      time_t exp)
{
    char text[24];

    ccf_seconds(exp, text);
    forget_spent(s);
    return ccf_change_one(s, spend_sql, ARGS(jti, text));
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

/* One whose certificate the operator has revoked has none. */
static const char member_sql[] =
    "SELECT group_id, CASE WHEN EXISTS (SELECT 1 FROM revoked r"
    " WHERE r.ca = m.ca AND r.serial = m.serial) THEN '' ELSE thumbprint END"
    " FROM member m WHERE ccf_id = $1 AND role = $2 AND id = $3";

enum capif_db_status ccf_member_get(struct ccf_store *s,
                                    const struct capif_identity *who,
                                    struct ccf_member *out)
{
    struct member_row row = { .member.who = *who };
    enum capif_db_status st =
        capif_db_run(s->db, member_sql,
                     ARGS(who->ccf_id, capif_role_name(who->role), who->id),
                     row_member, &row, NULL);

    if (st == CAPIF_DB_OK && !row.found)
        return CAPIF_DB_NOT_FOUND;
    *out = row.member;
    return st;
}

enum ccf_store_status ccf_store_member(struct ccf_store *s,
                                       const struct capif_identity *who,
                                       struct ccf_member *out)
{
    struct member_row row = { .member.who = *who };
    enum capif_db_status st = ccf_look(
        s, member_sql, ARGS(who->ccf_id, capif_role_name(who->role), who->id),
        row_member, &row);

    if (st != CAPIF_DB_OK)
        return ccf_status_of(st);
    if (!row.found)
        return CCF_STORE_NOT_FOUND;
    *out = row.member;
    return CCF_STORE_OK;
}

struct offboard {
    const struct capif_identity *who;
    const char *onboarding_id;
};

static enum capif_db_status work_offboard(struct ccf_store *s, const void *what)
{
    const struct offboard *o = what;
    size_t changed = 0;
    enum capif_db_status st =
        ccf_revoke_group(s, o->who->ccf_id, o->onboarding_id, false);

    if (st == CAPIF_DB_OK)
        st = capif_db_run(s->db,
                          "DELETE FROM member WHERE ccf_id = $1 AND"
                          " role = 'invoker' AND id = $2 AND group_id = $3",
                          ARGS(o->who->ccf_id, o->who->id, o->onboarding_id),
                          NULL, NULL, &changed);

    if (st == CAPIF_DB_OK && changed == 0)
        return CAPIF_DB_NOT_FOUND;
    if (st == CAPIF_DB_OK)
        st =
            ccf_run(s, "DELETE FROM grp WHERE id = $1", ARGS(o->onboarding_id));
    if (st == CAPIF_DB_OK)
        st = ccf_revoke_all(s, o->who->ccf_id, o->who->id);
    if (st == CAPIF_DB_OK)
        st = ccf_event_invoker(s, "API_INVOKER_OFFBOARDED", o->who);
    return st == CAPIF_DB_OK ? ccf_policy_forget(s, o->who) : st;
}

enum ccf_store_status ccf_store_offboard(struct ccf_store *s,
                                         const struct capif_identity *who,
                                         const char *onboarding_id)
{
    const struct offboard o = { who, onboarding_id };

    return ccf_transact(s, work_offboard, &o);
}
