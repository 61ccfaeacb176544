/* SPDX-License-Identifier: Apache-2.0 */
#include "store_crl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * A certificate is listed until a CRL has been made after its end (RFC 5280
 * 3.3): so long is the life of a CRL at most.
 */
#define LISTED_ON CCF_CRL_SECONDS

void ccf_crl_clear(struct ccf_crl *crl)
{
    free(crl->der);
    memset(crl, 0, sizeof(*crl));
}

static void number(int64_t n, char out[24])
{
    snprintf(out, 24, "%lld", (long long)n);
}

/* ---- revoking ---- */

/* Whatever lists it is to be made anew. */
static enum capif_db_status count(struct ccf_store *s, const char *ccf_id)
{
    return ccf_run(s, "UPDATE crl SET changes = changes + 1 WHERE ccf_id = $1",
                   ARGS(ccf_id));
}

struct cert {
    char ca[CAPIF_CA_ID], serial[CAPIF_SERIAL];
    time_t not_after;
};

struct certs {
    struct cert *list;
    size_t n;
    bool failed;
};

static void row_cert(const char *const *columns, void *arg)
{
    struct certs *certs = arg;
    struct cert *more =
        realloc(certs->list, (certs->n + 1) * sizeof(*certs->list));

    if (more == NULL) {
        certs->failed = true;
        return;
    }
    certs->list = more;
    more += certs->n++;
    snprintf(more->ca, sizeof(more->ca), "%s", columns[0]);
    snprintf(more->serial, sizeof(more->serial), "%s", columns[1]);
    more->not_after = (time_t)strtoll(columns[2], NULL, 10);
}

static enum capif_db_status revoke(struct ccf_store *s, const struct cert *cert,
                                   size_t *changed)
{
    char at[24], until[24];

    ccf_seconds(time(NULL), at);
    ccf_seconds(cert->not_after + LISTED_ON, until);
    return capif_db_run(s->db,
                        "INSERT INTO revoked VALUES ($1, $2, $3, $4)"
                        " ON CONFLICT (ca, serial) DO NOTHING",
                        ARGS(cert->ca, cert->serial, at, until), NULL, NULL,
                        changed);
}

/* All that a look-up of ca, serial and not_after gives. */
static enum capif_db_status revoke_found(struct ccf_store *s,
                                         const char *ccf_id, const char *sql,
                                         const char *const *args, size_t n_args)
{
    struct certs certs = { 0 };
    enum capif_db_status st =
        capif_db_run(s->db, sql, args, n_args, row_cert, &certs, NULL);

    if (certs.failed)
        st = CAPIF_DB_ERROR;
    for (size_t i = 0; st == CAPIF_DB_OK && i < certs.n; i++)
        st = revoke(s, &certs.list[i], NULL);
    if (st == CAPIF_DB_OK && certs.n > 0)
        st = count(s, ccf_id);
    free(certs.list);
    return st;
}

enum capif_db_status ccf_revoke_group(struct ccf_store *s, const char *ccf_id,
                                      const char *group_id, bool only_lost)
{
    return revoke_found(s, ccf_id,
                        only_lost ? "SELECT ca, serial, not_after FROM member"
                                    " WHERE group_id = $1 AND serial <> ''"
                                    " AND thumbprint = ''"
                                  : "SELECT ca, serial, not_after FROM member"
                                    " WHERE group_id = $1 AND serial <> ''",
                        ARGS(group_id));
}

enum capif_db_status ccf_revoke_former(struct ccf_store *s,
                                       const struct ccf_member *m,
                                       const char *group_id)
{
    if (m->serial[0] == '\0')
        return CAPIF_DB_OK;
    return revoke_found(s, m->who.ccf_id,
                        "SELECT ca, serial, not_after FROM member"
                        " WHERE ccf_id = $1 AND role = $2 AND id = $3"
                        " AND group_id = $4 AND serial <> ''"
                        " AND serial <> $5",
                        ARGS(m->who.ccf_id, capif_role_name(m->who.role),
                             m->who.id, group_id, m->serial));
}

struct one {
    const char *ccf_id;
    struct cert cert;
};

static enum capif_db_status work_revoke(struct ccf_store *s, const void *what)
{
    const struct one *one = what;
    size_t changed = 0;
    enum capif_db_status st = revoke(s, &one->cert, &changed);

    if (st == CAPIF_DB_OK && changed == 0)
        return CAPIF_DB_NOT_FOUND;
    return st == CAPIF_DB_OK ? count(s, one->ccf_id) : st;
}

enum ccf_store_status ccf_store_revoke(struct ccf_store *s, const char *ccf_id,
                                       const char *ca, const char *serial,
                                       time_t not_after)
{
    struct one one = { ccf_id, { .not_after = not_after } };

    snprintf(one.cert.ca, sizeof(one.cert.ca), "%s", ca);
    snprintf(one.cert.serial, sizeof(one.cert.serial), "%s", serial);
    return ccf_transact(s, work_revoke, &one);
}

/* ---- lists ---- */

struct crl_row {
    struct ccf_crl *crl;
    bool found;
};

static void row_crl(const char *const *columns, void *arg)
{
    struct crl_row *row = arg;
    int64_t *const to[] = { &row->crl->changes, &row->crl->built,
                            &row->crl->number, &row->crl->fresh,
                            &row->crl->until };

    row->found = true;
    for (size_t i = 0; i < 5; i++)
        *to[i] = strtoll(columns[i], NULL, 10);
    free(row->crl->der);
    row->crl->der = strdup(columns[5]);
}

static const char crl_sql[] =
    "SELECT changes, built, number, fresh, until, der FROM crl"
    " WHERE ccf_id = $1 AND ca = $2";

enum ccf_store_status ccf_store_crl_get(struct ccf_store *s, const char *ccf_id,
                                        const char *ca, struct ccf_crl *out)
{
    struct ccf_crl crl = { 0 };
    struct crl_row row = { &crl, false };
    enum capif_db_status st =
        ccf_look(s, crl_sql, ARGS(ccf_id, ca), row_crl, &row);

    if (st == CAPIF_DB_OK && !row.found)
        return CCF_STORE_NOT_FOUND;
    if (st == CAPIF_DB_OK && crl.der == NULL)
        st = CAPIF_DB_ERROR;
    if (st == CAPIF_DB_OK)
        *out = crl;
    else
        ccf_crl_clear(&crl);
    return ccf_status_of(st);
}

static void row_number(const char *const *columns, void *arg)
{
    *(int64_t *)arg = strtoll(columns[0], NULL, 10);
}

enum ccf_store_status ccf_store_crl_number(struct ccf_store *s,
                                           const char *ccf_id, const char *ca,
                                           int64_t *out)
{
    int64_t n = 0;
    enum capif_db_status st =
        ccf_look(s, "SELECT number FROM crl WHERE ccf_id = $1 AND ca = $2",
                 ARGS(ccf_id, ca), row_number, &n);

    if (st == CAPIF_DB_OK)
        *out = n;
    return ccf_status_of(st);
}

struct begin {
    const char *ccf_id, *ca;
    struct ccf_crl *crl;
    json_t *list;
};

static void row_listed(const char *const *columns, void *arg)
{
    json_array_append_new(arg,
                          json_pack("[s, I]", columns[0],
                                    (json_int_t)strtoll(columns[1], NULL, 10)));
}

static enum capif_db_status work_begin(struct ccf_store *s, const void *what)
{
    const struct begin *b = what;
    struct crl_row row = { b->crl, false };
    char now[24];
    enum capif_db_status st =
        ccf_run(s,
                "INSERT INTO crl VALUES ($1, $2, 0, -1, 0, 0, 0, '')"
                " ON CONFLICT (ccf_id, ca) DO NOTHING",
                ARGS(b->ccf_id, b->ca));

    ccf_seconds(time(NULL), now);
    json_array_clear(b->list); /* it may be another attempt */
    if (st == CAPIF_DB_OK)
        st = capif_db_run(s->db, crl_sql, ARGS(b->ccf_id, b->ca), row_crl, &row,
                          NULL);
    if (st == CAPIF_DB_OK)
        st = capif_db_run(s->db,
                          "SELECT serial, at FROM revoked WHERE ca = $1"
                          " AND until > $2 ORDER BY serial",
                          ARGS(b->ca, now), row_listed, b->list, NULL);
    return st == CAPIF_DB_OK && b->crl->der == NULL ? CAPIF_DB_ERROR : st;
}

enum ccf_store_status ccf_store_crl_begin(struct ccf_store *s,
                                          const char *ccf_id, const char *ca,
                                          struct ccf_crl *out, json_t **list)
{
    struct ccf_crl crl = { 0 };
    const struct begin b = { ccf_id, ca, &crl, json_array() };
    enum ccf_store_status st = CCF_STORE_ERROR;

    ccf_forget(s, "DELETE FROM revoked WHERE until <= $1");
    if (b.list != NULL)
        st = ccf_transact(s, work_begin, &b);
    if (st == CCF_STORE_OK) {
        *out = crl;
        *list = b.list;
    } else {
        ccf_crl_clear(&crl);
        json_decref(b.list);
    }
    return st;
}

enum ccf_store_status ccf_store_crl_end(struct ccf_store *s, const char *ccf_id,
                                        const char *ca,
                                        const struct ccf_crl *was,
                                        const struct ccf_crl *now)
{
    char was_number[24], changes[24], now_number[24], fresh[24], until[24];

    number(was->number, was_number);
    number(was->changes, changes);
    number(now->number, now_number);
    number(now->fresh, fresh);
    number(now->until, until);
    return ccf_change_one(
        s,
        "UPDATE crl SET built = $1, number = $2, fresh = $3, until = $4,"
        " der = $5 WHERE ccf_id = $6 AND ca = $7 AND number = $8"
        " AND changes = $9",
        ARGS(changes, now_number, fresh, until, now->der, ccf_id, ca,
             was_number, changes));
}

enum ccf_store_status ccf_store_crl_put(struct ccf_store *s, const char *ccf_id,
                                        const char *ca,
                                        const struct ccf_crl *crl)
{
    char n[24], fresh[24], until[24];

    number(crl->number, n);
    number(crl->fresh, fresh);
    number(crl->until, until);
    return ccf_change_one(
        s,
        "INSERT INTO crl VALUES ($1, $2, 0, 0, $3, $4, $5, $6)"
        " ON CONFLICT (ccf_id, ca) DO UPDATE SET number = excluded.number,"
        " fresh = excluded.fresh, until = excluded.until, der = excluded.der"
        " WHERE crl.number < excluded.number",
        ARGS(ccf_id, ca, n, fresh, until, crl->der));
}
