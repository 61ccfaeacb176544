/* SPDX-License-Identifier: Apache-2.0 */
#include "store_tx.h"

#include "log.h"
#include "notice.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 20

enum ccf_store_status ccf_status_of(enum capif_db_status st)
{
    switch (st) {
    case CAPIF_DB_OK:
        return CCF_STORE_OK;
    case CAPIF_DB_NOT_FOUND:
        return CCF_STORE_NOT_FOUND;
    case CAPIF_DB_CONFLICT:
        return CCF_STORE_CONFLICT;
    case CAPIF_DB_RETRY:
        capif_log("store-failed", "why", "too many at the same time", NULL);
        break;
    case CAPIF_DB_ERROR:
        break;
    }
    return CCF_STORE_ERROR;
}

/* ---- transactions ---- */

static enum capif_db_status attempt(struct ccf_store *s, bool schema,
                                    ccf_work_fn *work, const void *what)
{
    enum capif_db_status st = capif_db_begin(s->db, schema);

    if (st == CAPIF_DB_OK)
        st = work(s, what);
    for (size_t i = 0; st == CAPIF_DB_OK && i < s->n_owed; i++)
        st = ccf_notice_add(s, &s->owed[i]);
    if (st == CAPIF_DB_OK)
        st = capif_db_commit(s->db);
    if (st != CAPIF_DB_OK)
        capif_db_rollback(s->db);
    return st;
}

/*
 * Before the next attempt: longer each time, and not as long as the others
 * that failed with this one.  No secret, so the clock's last digits will do.
 */
static void pause_before(unsigned n)
{
    struct timespec t;
    long most = 1000000L << (n < 6 ? n : 6);

    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec = (long)((uint64_t)t.tv_nsec * 2654435761u % (uint64_t)most);
    t.tv_sec = 0;
    (void)nanosleep(&t, NULL);
}

/* Run work until it does not lose to others; it may run more than once. */
enum ccf_store_status ccf_transact(struct ccf_store *s, ccf_work_fn *work,
                                   const void *what)
{
    const time_t began = time(NULL);
    enum capif_db_status st;
    unsigned n = 0;

    while ((st = attempt(s, false, work, what)) == CAPIF_DB_RETRY && ++n < TRIES
           && time(NULL) - began < 5)
        pause_before(n);
    s->n_owed = 0;
    return ccf_status_of(st);
}

void ccf_store_owe(struct ccf_store *s, const struct ccf_notice *notices,
                   size_t n)
{
    s->owed = notices;
    s->n_owed = n;
}

/* One statement without rows; what has nothing to change is NOT_FOUND. */
struct change {
    const char *sql;
    const char *const *args;
    size_t n;
};

static enum capif_db_status work_change(struct ccf_store *s, const void *what)
{
    const struct change *c = what;
    size_t changed = 0;
    enum capif_db_status st =
        capif_db_run(s->db, c->sql, c->args, c->n, NULL, NULL, &changed);

    return st == CAPIF_DB_OK && changed == 0 ? CAPIF_DB_NOT_FOUND : st;
}

enum ccf_store_status ccf_change_one(struct ccf_store *s, const char *sql,
                                     const char *const *args, size_t n)
{
    const struct change c = { sql, args, n };

    return ccf_transact(s, work_change, &c);
}

enum capif_db_status ccf_run(struct ccf_store *s, const char *sql,
                             const char *const *args, size_t n)
{
    return capif_db_run(s->db, sql, args, n, NULL, NULL, NULL);
}

/* Outside of one: a server may ask for another attempt here, too. */
enum capif_db_status ccf_look(struct ccf_store *s, const char *sql,
                              const char *const *args, size_t n,
                              capif_db_row_fn *row, void *arg)
{
    enum capif_db_status st;
    unsigned tries = 0;

    while ((st = capif_db_run(s->db, sql, args, n, row, arg, NULL))
               == CAPIF_DB_RETRY
           && ++tries < TRIES)
        pause_before(tries);
    return st;
}

void ccf_seconds(time_t t, char out[24])
{
    snprintf(out, 24, "%lld", (long long)t);
}

void ccf_forget(struct ccf_store *s, const char *sql)
{
    char now[24];

    ccf_seconds(time(NULL), now);
    (void)ccf_run(s, sql, ARGS(now));
}

/* ---- documents ---- */

const char *ccf_vs_str(const json_t *obj, const char *name)
{
    return capif_str(json_object_get(obj, CCF_VS), name);
}

struct docs {
    json_t *list;
    bool damaged;
};

static void row_append(const char *const *columns, void *arg)
{
    struct docs *docs = arg;
    json_t *doc = columns[0] != NULL
                      ? json_loads(columns[0], JSON_REJECT_DUPLICATES, NULL)
                      : NULL;

    if (doc == NULL || json_array_append_new(docs->list, doc) != 0)
        docs->damaged = true;
}

enum ccf_store_status ccf_docs(struct ccf_store *s, const char *sql,
                               const char *const *args, size_t n, json_t **out)
{
    struct docs docs = { .list = json_array() };
    enum capif_db_status st;

    if (docs.list == NULL)
        return CCF_STORE_ERROR;
    st = ccf_look(s, sql, args, n, row_append, &docs);
    if (st == CAPIF_DB_OK && docs.damaged) {
        capif_log("store-failed", "why", "a document is no JSON", NULL);
        st = CAPIF_DB_ERROR;
    }
    if (st != CAPIF_DB_OK) {
        json_decref(docs.list);
        return ccf_status_of(st);
    }
    *out = docs.list;
    return CCF_STORE_OK;
}

enum ccf_store_status ccf_doc(struct ccf_store *s, const char *sql,
                              const char *const *args, size_t n, json_t **doc)
{
    json_t *list = NULL;
    enum ccf_store_status st = ccf_docs(s, sql, args, n, &list);

    if (st == CCF_STORE_OK && json_array_size(list) == 0)
        st = CCF_STORE_NOT_FOUND;
    if (st == CCF_STORE_OK)
        *doc = json_incref(json_array_get(list, 0));
    json_decref(list);
    return st;
}

void ccf_row_there(const char *const *columns, void *arg)
{
    (void)columns;
    *(bool *)arg = true;
}

void ccf_row_doc(const char *const *columns, void *arg)
{
    json_t **doc = arg;

    json_decref(*doc);
    *doc = json_loads(columns[0], JSON_REJECT_DUPLICATES, NULL);
}

/*
 * Nothing is written if the schema is as it should be, so that a role without
 * the right to make tables can serve.
 */
static bool migrate(struct ccf_store *s)
{
    bool is_new;
    enum capif_db_status st = CAPIF_DB_RETRY;

    for (unsigned n = 0; st == CAPIF_DB_RETRY && n < TRIES; n++) {
        if (n > 0)
            pause_before(n);
        st = ccf_schema_is_new(s, &is_new);
        if (st == CAPIF_DB_OK && !is_new)
            st = attempt(s, true, ccf_schema_renew, NULL);
    }
    return ccf_status_of(st) == CCF_STORE_OK;
}

struct ccf_store *ccf_store_open(const char *where)
{
    struct ccf_store *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    if ((s->db = capif_db_open(where)) == NULL || !migrate(s)) {
        ccf_store_close(s);
        return NULL;
    }
    return s;
}

void ccf_store_domain(struct ccf_store *s, const struct ccf_domain *domain)
{
    s->domain = domain;
}

void ccf_store_close(struct ccf_store *s)
{
    if (s == NULL)
        return;
    capif_db_close(s->db);
    free(s);
}
