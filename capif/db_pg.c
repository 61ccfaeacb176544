/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL, and what speaks like it, through libpq.
 *
 * Changes are made in SERIALIZABLE transactions: then a store is right on a
 * server for the same reason as with SQLite's one writer, without row locks,
 * which SQLite's SQL hasn't, or advisory ones, which others haven't.  Its
 * price is CAPIF_DB_RETRY.  A look-up outside of a transaction is READ
 * COMMITTED: one statement sees one snapshot, and pays for no more.
 *
 * Bounded: the server gives up a statement after CAPIF_DB_BUSY_MS, and we give
 * up the server a second later, since it may be stopped, the path cut, or the
 * statement COMMIT, which has no such limit.  (Names are looked up by the
 * system's resolver, which has limits of its own.)
 *
 * What is lost is lost: the operation under way fails, the next one connects.
 *
 * No password is logged: no URI, and of libpq only what can't quote it; and
 * no row, so of an error's fields only the primary message.
 */
#include "db_ops.h"
#include "log.h"

#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MARGIN_MS 1000
#define PARAMS    64 /* libpq 17 knows some 50 */

/* The text of a macro's number. */
#define TEXT_OF(x) #x
#define TEXT(x)    TEXT_OF(x)

struct pg {
    struct capif_db db;
    PQconninfoOption *info; /* the URI's, and our defaults */
    PGconn *conn;           /* NULL: lost, or not yet there */
    bool in_tx;             /* begun, and neither committed nor rolled back */
    int wait_ms;            /* for one answer */
    long long not_before;   /* ms; no attempt to connect until then */
};

static struct pg *pg_of(struct capif_db *db)
{
    return (struct pg *)db;
}

static long long now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- connections ---- */

static const char *option(const PQconninfoOption *info, const char *keyword)
{
    for (; info->keyword != NULL; info++)
        if (strcmp(info->keyword, keyword) == 0)
            return info->val;
    return NULL;
}

/* The first line: DETAIL, which may have a row in it, is in another one. */
static void complain(const struct pg *p, const char *state, const char *why)
{
    const char *host = option(p->info, "host");
    char line[300];

    snprintf(line, sizeof(line), "%.*s", (int)strcspn(why, "\n"), why);
    if (host == NULL)
        host = option(p->info, "hostaddr");
    capif_log("store-failed", "host", host, "database",
              option(p->info, "dbname"), "state", state, "why", line, NULL);
}

static void drop(struct pg *p)
{
    PQfinish(p->conn);
    p->conn = NULL;
    for (size_t i = 0; i < CAPIF_DB_STATEMENTS; i++)
        p->db.statements[i].prepared = NULL;
}

static bool wait_for(struct pg *p, short events, long long until)
{
    struct pollfd fd = { .fd = PQsocket(p->conn), .events = events };
    int n;

    do {
        long long left = until - now_ms();

        n = poll(&fd, 1, left > 0 ? (int)left : 0);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

/* Send what was queued and read the answer; false: no such luck. */
static bool exchange(struct pg *p, long long until)
{
    int unsent;

    while ((unsent = PQflush(p->conn)) != 0 || PQisBusy(p->conn)) {
        if (unsent < 0)
            return false;
        if (!wait_for(p, (short)(unsent > 0 ? POLLIN | POLLOUT : POLLIN),
                      until)) {
            complain(p, NULL, "no answer in time");
            return false;
        }
        /* What it has to say may be why it takes no more. */
        if (!PQconsumeInput(p->conn))
            return false;
    }
    return true;
}

/*
 * The last result of what was sent, or the first that is none.  NULL: the
 * connection is gone, which has been logged.
 */
static PGresult *answer(struct pg *p, int sent)
{
    long long until = now_ms() + p->wait_ms;
    PGresult *last = NULL, *res;
    bool ok = sent == 1;

    while ((ok = ok && exchange(p, until))
           && (res = PQgetResult(p->conn)) != NULL) {
        ExecStatusType st = PQresultStatus(last);

        if (last != NULL && st != PGRES_COMMAND_OK && st != PGRES_TUPLES_OK) {
            PQclear(res);
        } else {
            PQclear(last);
            last = res;
        }
    }
    if (ok && last != NULL && PQstatus(p->conn) == CONNECTION_OK)
        return last;
    if (PQerrorMessage(p->conn)[0] != '\0')
        complain(p, NULL, PQerrorMessage(p->conn));
    PQclear(last);
    drop(p);
    return NULL;
}

/*
 * Nothing will do on this one: it is to a primary that is none any more, or a
 * pooler has lost what we prepared.
 */
static bool ends_connection(const char *state)
{
    static const char *const states[] = {
        "25006", /* read_only_sql_transaction */
        "26000", /* invalid_sql_statement_name */
    };

    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
        if (strcmp(state, states[i]) == 0)
            return true;
    return false;
}

static enum capif_db_status outcome(struct pg *p, const PGresult *res)
{
    static const struct {
        const char *state;
        enum capif_db_status st;
    } known[] = {
        { "23505", CAPIF_DB_CONFLICT }, /* unique_violation */
        { "40001", CAPIF_DB_RETRY },    /* serialization_failure */
        { "40P01", CAPIF_DB_RETRY },    /* deadlock_detected */
        { "42P07", CAPIF_DB_CONFLICT }, /* duplicate_table */
        { "42710", CAPIF_DB_CONFLICT }, /* duplicate_object: its type */
    };
    ExecStatusType rs = PQresultStatus(res);
    const char *state, *why;

    if (res == NULL)
        return CAPIF_DB_ERROR;
    if (rs == PGRES_COMMAND_OK || rs == PGRES_TUPLES_OK)
        return CAPIF_DB_OK;
    if ((state = PQresultErrorField(res, PG_DIAG_SQLSTATE)) == NULL)
        state = "-";
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(state, known[i].state) == 0)
            return known[i].st;
    why = PQresultErrorField(res, PG_DIAG_MESSAGE_PRIMARY);
    complain(p, state, why != NULL ? why : "no message");
    if (ends_connection(state))
        drop(p);
    return CAPIF_DB_ERROR;
}

/* What was sent has neither rows nor a count that matter. */
static enum capif_db_status plain(struct pg *p, const char *sql)
{
    PGresult *res = answer(p, PQsendQuery(p->conn, sql));
    enum capif_db_status st = outcome(p, res);

    PQclear(res);
    return st;
}

static void no_notice(void *arg, const PGresult *res)
{
    (void)arg;
    (void)res;
}

/* What must be so, however server, database and role are set up. */
static bool session_ok(struct pg *p)
{
    static const char settings[] =
        "SET default_transaction_isolation = 'read committed';"
        "SET TIME ZONE 'UTC';"
        "SET DateStyle = 'ISO';"
        "SET statement_timeout = " TEXT(
            CAPIF_DB_BUSY_MS) ";"
                              "SET idle_in_transaction_session_timeout = " TEXT(
                                  CAPIF_DB_BUSY_MS) ";"
                                                    "SELECT "
                                                    "set_config('synchronous_"
                                                    "commit', 'on', false)";
    const char *encoding = PQparameterStatus(p->conn, "server_encoding");

    if (encoding == NULL || strcmp(encoding, "UTF8") != 0) {
        complain(p, NULL, "the database's encoding is not UTF8");
        return false;
    }
    return PQsetnonblocking(p->conn, 1) == 0
           && plain(p, settings) == CAPIF_DB_OK;
}

static PGconn *dial(const PQconninfoOption *info)
{
    const char *keys[PARAMS + 1] = { NULL }, *values[PARAMS + 1] = { NULL };
    size_t n = 0;

    for (; info->keyword != NULL && n < PARAMS; info++) {
        if (info->val == NULL)
            continue;
        keys[n] = info->keyword;
        values[n++] = info->val;
    }
    return PQconnectdbParams(keys, values, 0);
}

/*
 * A host that doesn't even refuse costs each attempt its time out: requests
 * in between are told at once, so that half of a worker's time is its own.
 */
static bool connect_to(struct pg *p)
{
    long long began = now_ms();

    if (began < p->not_before) {
        complain(p, NULL, "could not connect a moment ago");
        return false;
    }
    p->wait_ms = CAPIF_DB_BUSY_MS + MARGIN_MS;
    if ((p->conn = dial(p->info)) == NULL)
        return false;
    PQsetNoticeReceiver(p->conn, no_notice, NULL);
    if (PQstatus(p->conn) != CONNECTION_OK)
        complain(p, NULL, PQerrorMessage(p->conn));
    else if (session_ok(p))
        return true;
    drop(p);
    p->not_before = now_ms() + (now_ms() - began);
    return false;
}

/* Idle, a server says nothing but good-bye. */
static bool is_stale(struct pg *p)
{
    if (!wait_for(p, POLLIN, 0))
        return false;
    return !PQconsumeInput(p->conn) || PQstatus(p->conn) != CONNECTION_OK
           || wait_for(p, POLLIN, 0);
}

/* What has begun on a connection never goes on without it on another one. */
static bool ready(struct pg *p)
{
    if (p->in_tx)
        return p->conn != NULL;
    if (p->conn != NULL && is_stale(p))
        drop(p);
    return p->conn != NULL || connect_to(p);
}

/* ---- opening ---- */

/* PQfreemem()'s, as is all in there. */
static bool set_default(PQconninfoOption *info, const char *keyword,
                        const char *value, bool always)
{
    for (; info->keyword != NULL; info++) {
        if (strcmp(info->keyword, keyword) != 0)
            continue;
        if (info->val != NULL && !always)
            return true;
        free(info->val);
        return (info->val = strdup(value)) != NULL;
    }
    return true; /* a libpq that has no such option */
}

static bool set_defaults(PQconninfoOption *info)
{
    return set_default(info, "connect_timeout", "3", false)
           && set_default(info, "keepalives_idle", "5", false)
           && set_default(info, "keepalives_interval", "2", false)
           && set_default(info, "keepalives_count", "3", false)
           && set_default(info, "tcp_user_timeout", "6000", false)
           && set_default(info, "fallback_application_name", "capif-hsm", false)
           && set_default(info, "client_encoding", "UTF8", true);
}

static void pg_close(struct capif_db *db)
{
    struct pg *p = pg_of(db);

    PQfinish(p->conn);
    PQconninfoFree(p->info);
    free(p);
}

static struct capif_db *pg_open(const char *where)
{
    struct pg *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    /* Its message would quote the URI. */
    if ((p->info = PQconninfoParse(where, NULL)) == NULL)
        capif_log("store-failed", "why", "a malformed postgresql:// URI", NULL);
    else if (set_defaults(p->info) && connect_to(p))
        return &p->db;
    pg_close(&p->db);
    return NULL;
}

/* ---- transactions ---- */

static enum capif_db_status pg_begin(struct capif_db *db, bool schema)
{
    struct pg *p = pg_of(db);
    enum capif_db_status st;

    if (!ready(p))
        return CAPIF_DB_ERROR;
    st = plain(
        p, schema ? "BEGIN ISOLATION LEVEL SERIALIZABLE;"
                    "SET LOCAL statement_timeout = " TEXT(CAPIF_DB_SCHEMA_MS)
                  : "BEGIN ISOLATION LEVEL SERIALIZABLE");
    p->in_tx = st == CAPIF_DB_OK;
    if (p->in_tx && schema)
        p->wait_ms = CAPIF_DB_SCHEMA_MS + MARGIN_MS;
    return st;
}

/* COMMIT of a transaction that has failed succeeds, and is a ROLLBACK. */
static enum capif_db_status pg_commit(struct capif_db *db)
{
    struct pg *p = pg_of(db);
    enum capif_db_status st;
    PGresult *res;

    if (!p->in_tx || p->conn == NULL)
        return CAPIF_DB_ERROR;
    res = answer(p, PQsendQuery(p->conn, "COMMIT"));
    st = outcome(p, res);
    if (st == CAPIF_DB_OK && strcmp(PQcmdStatus(res), "COMMIT") != 0) {
        complain(p, NULL, "the transaction was rolled back");
        st = CAPIF_DB_ERROR;
    }
    PQclear(res);
    if (st == CAPIF_DB_OK)
        p->in_tx = false;
    p->wait_ms = CAPIF_DB_BUSY_MS + MARGIN_MS;
    return st;
}

static void pg_rollback(struct capif_db *db)
{
    struct pg *p = pg_of(db);

    p->in_tx = false;
    p->wait_ms = CAPIF_DB_BUSY_MS + MARGIN_MS;
    if (p->conn != NULL && PQtransactionStatus(p->conn) != PQTRANS_IDLE
        && plain(p, "ROLLBACK") != CAPIF_DB_OK && p->conn != NULL)
        drop(p);
}

/* ---- statements ---- */

static enum capif_db_status prepare(struct pg *p,
                                    struct capif_db_statement *known,
                                    const char *name)
{
    PGresult *res;
    enum capif_db_status st;

    if (known->prepared != NULL)
        return CAPIF_DB_OK;
    res = answer(p, PQsendPrepare(p->conn, name, known->sql, 0, NULL));
    st = outcome(p, res);
    PQclear(res);
    if (st == CAPIF_DB_OK)
        known->prepared = known; /* on this connection */
    return st;
}

static void give_rows(const PGresult *res, capif_db_row_fn *row, void *arg)
{
    const char *columns[CAPIF_DB_COLUMNS_MAX] = { NULL };
    int n = PQnfields(res);

    for (int i = 0; i < PQntuples(res); i++) {
        for (int k = 0; k < n && k < CAPIF_DB_COLUMNS_MAX; k++)
            columns[k] = PQgetisnull(res, i, k) ? NULL : PQgetvalue(res, i, k);
        row(columns, arg);
    }
}

static enum capif_db_status pg_run(struct capif_db *db, const char *sql,
                                   const char *const *args, size_t n_args,
                                   capif_db_row_fn *row, void *arg,
                                   size_t *changed)
{
    struct pg *p = pg_of(db);
    struct capif_db_statement *known = capif_db_statement(db, sql);
    PGresult *res = NULL;
    enum capif_db_status st;
    char name[24];

    if (known == NULL || !ready(p))
        return CAPIF_DB_ERROR;
    snprintf(name, sizeof(name), "s%zu", (size_t)(known - db->statements));
    if ((st = prepare(p, known, name)) != CAPIF_DB_OK)
        return st;
    res = answer(p, PQsendQueryPrepared(p->conn, name, (int)n_args, args, NULL,
                                        NULL, 0));
    st = outcome(p, res);
    if (st == CAPIF_DB_OK && row != NULL)
        give_rows(res, row, arg);
    if (st == CAPIF_DB_OK && changed != NULL)
        *changed = strncmp(PQcmdStatus(res), "SELECT", 6) == 0
                       ? 0
                       : strtoul(PQcmdTuples(res), NULL, 10);
    PQclear(res);
    return st;
}

static enum capif_db_status pg_exec(struct capif_db *db, const char *sql)
{
    struct pg *p = pg_of(db);

    return ready(p) ? plain(p, sql) : CAPIF_DB_ERROR;
}

const struct capif_db_ops capif_db_pg = {
    .open = pg_open,
    .close = pg_close,
    .begin = pg_begin,
    .commit = pg_commit,
    .rollback = pg_rollback,
    .run = pg_run,
    .exec = pg_exec,
    .table = "SELECT 1 FROM information_schema.tables"
             " WHERE table_schema = current_schema() AND table_name = $1",
    .serial = "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
};
