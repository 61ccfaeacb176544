/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often who has called what: counts in a store that all workers, and
 * perhaps other AEFs of this id, share.  The store blocks, so one thread asks
 * it for all workers, for as many calls in one transaction as are waiting.
 * A second is one of the store's own clock, which is the only one that all
 * agree on; a transaction that began before others were through may be late
 * with it, so for a row it never goes back.
 */
#include "aef.h"

#include "db.h"
#include "log.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BATCH_MAX    64
#define TRIES_MAX    50 /* to make the table */
#define WAIT_SECONDS 3  /* of a call; then it is not counted */

struct job {
    struct job *next;
    struct aef_till *home;
    struct capif_identity who;
    char api_id[CAPIF_ID_MAX + 1];
    long total, per_second;
    time_t begun;
    enum aef_count_result result;
    aef_count_fn *fn;
    void *arg;
};

/* Jobs for one thread, from others; fd tells it that there are some. */
struct box {
    pthread_mutex_t lock;
    struct job *first, **last; /* guarded by lock */
    int fd;
    struct event *event;
};

/* A worker's end: calls that were counted come back here. */
struct aef_till {
    struct aef_till *next;
    struct aef_counter *counter;
    struct box box;
};

struct aef_counter {
    char aef_id[CAPIF_ID_MAX + 1];
    struct capif_db *db; /* of the thread that serves box */
    struct box box;
    struct aef_till *tills; /* made before threads are; freed after them */
};

/* ---- boxes ---- */

static bool box_init(struct box *b)
{
    pthread_mutex_init(&b->lock, NULL);
    b->last = &b->first;
    b->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return b->fd >= 0;
}

static void box_clear(struct box *b)
{
    struct job *job;

    while ((job = b->first) != NULL) {
        b->first = job->next;
        free(job);
    }
    if (b->fd >= 0)
        close(b->fd);
    pthread_mutex_destroy(&b->lock);
}

static void box_put(struct box *b, struct job *job)
{
    const uint64_t one = 1;

    job->next = NULL;
    pthread_mutex_lock(&b->lock);
    *b->last = job;
    b->last = &job->next;
    pthread_mutex_unlock(&b->lock);
    /* It can't be full, and if it could, it would be readable. */
    if (write(b->fd, &one, sizeof(one)) < 0)
        return;
}

/* All that is in it. */
static struct job *box_take(struct box *b)
{
    struct job *all;
    uint64_t n;

    if (read(b->fd, &n, sizeof(n)) < 0)
        n = 0;
    pthread_mutex_lock(&b->lock);
    all = b->first;
    b->first = NULL;
    b->last = &b->first;
    pthread_mutex_unlock(&b->lock);
    return all;
}

static bool box_open(struct box *b, struct event_base *base,
                     event_callback_fn fn, void *arg)
{
    b->event = event_new(base, b->fd, EV_READ | EV_PERSIST, fn, arg);
    return b->event != NULL && event_add(b->event, NULL) == 0;
}

static void box_close(struct box *b)
{
    if (b->event != NULL)
        event_free(b->event);
    b->event = NULL;
}

/* ---- counting, in the thread of the store ---- */

static void limit_text(long limit, char out[24])
{
    snprintf(out, 24, "%lld", limit >= 0 ? (long long)limit : INT64_MAX);
}

static void row_total(const char *const *columns, void *arg)
{
    *(long long *)arg = strtoll(columns[0], NULL, 10);
}

static enum capif_db_status why_not(const struct aef_counter *c,
                                    struct job *job)
{
    long long total = 0;
    const enum capif_db_status st = capif_db_run(
        c->db,
        "SELECT total FROM aef_count WHERE aef_id = $1 AND api_id = $2"
        " AND ccf_id = $3 AND invoker_id = $4",
        CAPIF_DB_ARGS(c->aef_id, job->api_id, job->who.ccf_id, job->who.id),
        row_total, &total, NULL);

    job->result =
        job->total >= 0 && total >= job->total ? AEF_USED_UP : AEF_TOO_FAST;
    return st;
}

static enum capif_db_status count_one(const struct aef_counter *c,
                                      struct job *job)
{
    char total[24], per_second[24];
    enum capif_db_status st;
    size_t changed = 0;

    limit_text(job->total, total);
    limit_text(job->per_second, per_second);
    st = capif_db_run(
        c->db,
        "INSERT INTO aef_count (aef_id, api_id, ccf_id, invoker_id, total,"
        " second, n) VALUES ($1, $2, $3, $4, 1,"
        " SUBSTR(CAST(CURRENT_TIMESTAMP AS TEXT), 1, 19), 1)"
        " ON CONFLICT (aef_id, api_id, ccf_id, invoker_id) DO UPDATE"
        " SET total = aef_count.total + 1,"
        " n = CASE WHEN excluded.second > aef_count.second"
        " THEN 1 ELSE aef_count.n + 1 END,"
        " second = CASE WHEN excluded.second > aef_count.second"
        " THEN excluded.second ELSE aef_count.second END"
        " WHERE aef_count.total < CAST($5 AS BIGINT)"
        " AND (excluded.second > aef_count.second"
        " OR aef_count.n < CAST($6 AS BIGINT))",
        CAPIF_DB_ARGS(c->aef_id, job->api_id, job->who.ccf_id, job->who.id,
                      total, per_second),
        NULL, NULL, &changed);
    job->result = AEF_COUNTED;
    return st == CAPIF_DB_OK && changed == 0 ? why_not(c, job) : st;
}

/* So that those who lost to each other don't meet again. */
static void pause_a_bit(void)
{
    uint8_t random = 0;
    struct timespec t = { 0, 0 };

    (void)RAND_bytes(&random, 1);
    t.tv_nsec = random * 20000L; /* up to 5 ms */
    nanosleep(&t, NULL);
}

/* Always in the same order, or two aefd might wait for each other. */
static int by_row(const void *a, const void *b)
{
    const struct job *x = *(struct job *const *)a, *y = *(struct job *const *)b;
    int cmp = strcmp(x->api_id, y->api_id);

    if (cmp == 0)
        cmp = strcmp(x->who.ccf_id, y->who.ccf_id);
    return cmp != 0 ? cmp : strcmp(x->who.id, y->who.id);
}

static enum capif_db_status try_all(const struct aef_counter *c,
                                    struct job *const *jobs, size_t n)
{
    enum capif_db_status st = capif_db_begin(c->db, false);

    for (size_t i = 0; st == CAPIF_DB_OK && i < n; i++)
        st = count_one(c, jobs[i]);
    if (st == CAPIF_DB_OK)
        st = capif_db_commit(c->db);
    if (st != CAPIF_DB_OK)
        capif_db_rollback(c->db);
    return st;
}

/* In one transaction, that others may be in the way of. */
static void count_some(const struct aef_counter *c, struct job **jobs, size_t n)
{
    const time_t until = jobs[n - 1]->begun + WAIT_SECONDS;
    enum capif_db_status st = CAPIF_DB_RETRY;

    qsort(jobs, n, sizeof(*jobs), by_row);
    while (st == CAPIF_DB_RETRY && time(NULL) <= until) {
        st = try_all(c, jobs, n);
        if (st == CAPIF_DB_RETRY)
            pause_a_bit();
    }
    for (size_t i = 0; st != CAPIF_DB_OK && i < n; i++)
        jobs[i]->result = AEF_UNCOUNTED;
}

static void on_jobs(evutil_socket_t fd, short what, void *arg)
{
    struct aef_counter *c = arg;
    struct job *all = box_take(&c->box), *jobs[BATCH_MAX];

    (void)fd;
    (void)what;
    while (all != NULL) {
        size_t n = 0;

        for (; all != NULL && n < BATCH_MAX; all = all->next)
            jobs[n++] = all;
        count_some(c, jobs, n);
        for (size_t i = 0; i < n; i++)
            box_put(&jobs[i]->home->box, jobs[i]);
    }
}

/* ---- in the workers ---- */

static void on_counted(evutil_socket_t fd, short what, void *arg)
{
    struct aef_till *till = arg;
    struct job *all = box_take(&till->box), *job;

    (void)fd;
    (void)what;
    while ((job = all) != NULL) {
        all = job->next;
        job->fn(job->result, job->arg);
        free(job);
    }
}

void aef_count(struct aef_till *till, const struct capif_identity *who,
               const char *api_id, const struct aef_policy *policy,
               aef_count_fn *fn, void *arg)
{
    struct job *job = calloc(1, sizeof(*job));

    if (job == NULL) {
        fn(AEF_UNCOUNTED, arg);
        return;
    }
    job->home = till;
    job->who = *who;
    snprintf(job->api_id, sizeof(job->api_id), "%s", api_id);
    job->total = policy->total;
    job->per_second = policy->per_second;
    job->begun = time(NULL);
    job->result = AEF_UNCOUNTED;
    job->fn = fn;
    job->arg = arg;
    box_put(&till->counter->box, job);
}

/* ---- life ---- */

/* Others may be making it at the same time: then it is there. */
static bool make_table(struct capif_db *db)
{
    enum capif_db_status st = CAPIF_DB_RETRY;
    bool has = false;

    for (size_t i = 0; i < TRIES_MAX && !has; i++) {
        if (capif_db_has_table(db, "aef_count", &has) != CAPIF_DB_OK)
            return false;
        if (!has)
            st = capif_db_exec(db, "CREATE TABLE aef_count (aef_id TEXT,"
                                   " api_id TEXT, ccf_id TEXT, invoker_id TEXT,"
                                   " total BIGINT NOT NULL,"
                                   " second TEXT NOT NULL, n BIGINT NOT NULL,"
                                   " PRIMARY KEY (aef_id, api_id, ccf_id,"
                                   " invoker_id))");
        if (st == CAPIF_DB_ERROR)
            return false;
    }
    return has;
}

struct aef_counter *aef_counter_new(const char *store, const char *aef_id)
{
    struct aef_counter *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    snprintf(c->aef_id, sizeof(c->aef_id), "%s", aef_id);
    if (!box_init(&c->box) || (c->db = capif_db_open(store)) == NULL
        || !make_table(c->db)) {
        aef_counter_free(c);
        return NULL;
    }
    return c;
}

void aef_counter_free(struct aef_counter *c)
{
    struct aef_till *till;

    if (c == NULL)
        return;
    box_clear(&c->box);
    while ((till = c->tills) != NULL) {
        c->tills = till->next;
        box_clear(&till->box);
        free(till);
    }
    if (c->db != NULL)
        capif_db_close(c->db);
    free(c);
}

bool aef_counter_serve(struct aef_counter *c, struct event_base *base)
{
    return box_open(&c->box, base, on_jobs, c);
}

void aef_counter_rest(struct aef_counter *c)
{
    box_close(&c->box);
}

struct aef_till *aef_till_open(struct aef_counter *c, struct event_base *base)
{
    struct aef_till *till = calloc(1, sizeof(*till));

    if (till == NULL)
        return NULL;
    till->counter = c;
    till->next = c->tills;
    c->tills = till;
    return box_init(&till->box) && box_open(&till->box, base, on_counted, till)
               ? till
               : NULL;
}

void aef_till_close(struct aef_till *till)
{
    if (till != NULL)
        box_close(&till->box);
}
