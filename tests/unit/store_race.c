/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many at the same time, each with a store of its own, as workers of one or
 * several ccfd have: what they do must be as if one came after the other.
 */
#include "store_suite.h"

#include "notice.h"
#include "report.h"
#include "store_subscription.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RACERS 32

typedef enum ccf_store_status race_fn(struct ccf_store *s, int n, int round);

struct racer {
    struct ccf_store *store;
    race_fn *fn;
    pthread_barrier_t *start;
    int n, round;
    enum ccf_store_status st;
};

static void *racer_main(void *arg)
{
    struct racer *r = arg;

    pthread_barrier_wait(r->start);
    r->st = r->fn(r->store, r->n, r->round);
    return NULL;
}

static struct racer racers[RACERS];

static void line_up(int count)
{
    for (int i = 0; i < count; i++) {
        racers[i].store = ccf_store_open(store_place);
        assert_non_null(racers[i].store);
    }
}

static void go_home(int count)
{
    for (int i = 0; i < count; i++)
        ccf_store_close(racers[i].store);
}

/* How many got that status; nobody got any but that and the other. */
static int race(race_fn *fn, int count, int round, enum ccf_store_status that,
                enum ccf_store_status other)
{
    pthread_t threads[RACERS];
    pthread_barrier_t start;
    int got = 0;

    assert_int_equal(pthread_barrier_init(&start, NULL, (unsigned)count), 0);
    for (int i = 0; i < count; i++) {
        racers[i].fn = fn;
        racers[i].start = &start;
        racers[i].n = i;
        racers[i].round = round;
        assert_int_equal(
            pthread_create(&threads[i], NULL, racer_main, &racers[i]), 0);
    }
    for (int i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < count; i++) {
        got += racers[i].st == that;
        if (racers[i].st != that)
            assert_int_equal(racers[i].st, other);
    }
    assert_int_equal(pthread_barrier_destroy(&start), 0);
    return got;
}

/* ---- enrolments ---- */

static enum ccf_store_status enrol_as(struct ccf_store *s, const char *jti,
                                      const char *id)
{
    struct ccf_member m = store_member(CAPIF_INVOKER, id);

    return store_enrol(s, jti, LATER, id, &m, 1);
}

static enum ccf_store_status enrol_same(struct ccf_store *s, int n, int round)
{
    char jti[32], id[32];

    snprintf(jti, sizeof(jti), "one-%d", round);
    snprintf(id, sizeof(id), "one-%d-%d", round, n);
    return enrol_as(s, jti, id);
}

/* Exactly one wins, and of the others nothing is left. */
void test_race_one_enrolment(void **state)
{
    (void)state;
    line_up(RACERS);
    for (int round = 0; round < 5; round++) {
        int members = 0;

        assert_int_equal(
            race(enrol_same, RACERS, round, CCF_STORE_OK, CCF_STORE_CONFLICT),
            1);
        for (int n = 0; n < RACERS; n++) {
            struct ccf_member m;
            char id[32];

            snprintf(id, sizeof(id), "one-%d-%d", round, n);
            m = store_member(CAPIF_INVOKER, id);
            members += store_has_member(racers[0].store, &m);
        }
        assert_int_equal(members, 1);
    }
    go_home(RACERS);
}

static enum ccf_store_status enrol_own(struct ccf_store *s, int n, int round)
{
    enum ccf_store_status st = CCF_STORE_OK;
    char id[32];

    for (int i = 0; st == CCF_STORE_OK && i < 5; i++) {
        snprintf(id, sizeof(id), "many-%d-%d-%d", round, n, i);
        st = enrol_as(s, id, id);
    }
    return st;
}

/* Those that have nothing to do with each other all succeed. */
void test_race_many_enrolments(void **state)
{
    (void)state;
    line_up(RACERS);
    for (int round = 0; round < 2; round++)
        assert_int_equal(
            race(enrol_own, RACERS, round, CCF_STORE_OK, CCF_STORE_OK), RACERS);
    go_home(RACERS);
}

/* ---- all that a partner offers ---- */

#define SET 4

static enum ccf_store_status replace_own(struct ccf_store *s, int n, int round)
{
    json_t *docs = json_array();
    enum ccf_store_status st;
    char id[32];

    (void)round;
    for (int i = 0; i < SET; i++) {
        snprintf(id, sizeof(id), "set-%d-%d", n, i);
        json_array_append_new(docs,
                              json_pack("{s:s, s:i}", "apiId", id, "n", n));
    }
    st = ccf_store_api_replace(s, "race.b", docs);
    json_decref(docs);
    return st;
}

/* One of them was the last: all of its set, and of no other. */
void test_race_replace(void **state)
{
    (void)state;
    line_up(8);
    for (int round = 0; round < 10; round++) {
        json_t *docs = NULL;

        assert_int_equal(
            race(replace_own, 8, round, CCF_STORE_OK, CCF_STORE_OK), 8);
        assert_int_equal(
            ccf_store_api_list(racers[0].store, "race.b", NULL, &docs),
            CCF_STORE_OK);
        assert_int_equal(json_array_size(docs), SET);
        for (size_t i = 1; i < SET; i++)
            assert_true(
                json_equal(json_object_get(json_array_get(docs, i), "n"),
                           json_object_get(json_array_get(docs, 0), "n")));
        json_decref(docs);
    }
    go_home(8);
}

/* ---- offboarding, and a context meanwhile ---- */

static enum ccf_store_status leave_or_stay(struct ccf_store *s, int n,
                                           int round)
{
    struct capif_identity who = { .role = CAPIF_INVOKER, .ccf_id = CCF };
    json_t *doc = json_object();
    enum ccf_store_status st;

    snprintf(who.id, sizeof(who.id), "leave-%d", round);
    st = n == 0 ? ccf_store_offboard(s, &who, who.id)
                : ccf_store_context_put_own(s, CCF, who.id, LATER, doc);
    json_decref(doc);
    return st;
}

/* Whoever was first: nobody who has left has a context. */
void test_race_offboard(void **state)
{
    (void)state;
    line_up(4);
    for (int round = 0; round < 20; round++) {
        json_t *doc = NULL;
        char id[32];

        snprintf(id, sizeof(id), "leave-%d", round);
        assert_int_equal(enrol_as(racers[0].store, id, id), CCF_STORE_OK);
        (void)race(leave_or_stay, 4, round, CCF_STORE_OK, CCF_STORE_NOT_FOUND);
        assert_int_equal(racers[0].st, CCF_STORE_OK);
        assert_int_equal(ccf_store_context_get(racers[0].store, CCF, id, &doc),
                         CCF_STORE_NOT_FOUND);
    }
    go_home(4);
}

/* ---- the schema ---- */

static const char *fresh;

static enum ccf_store_status open_fresh(struct ccf_store *s, int n, int round)
{
    char id[32];
    enum ccf_store_status st;

    (void)s;
    (void)round;
    if ((s = ccf_store_open(fresh)) == NULL)
        return CCF_STORE_ERROR;
    snprintf(id, sizeof(id), "first-%d", n);
    st = enrol_as(s, id, id);
    ccf_store_close(s);
    return st;
}

/* Workers that start on an empty database. */
void test_race_open_threads(void **state)
{
    (void)state;
    for (int round = 0; round < 2; round++) {
        fresh = store_fresh();
        assert_int_equal(
            race(open_fresh, RACERS, round, CCF_STORE_OK, CCF_STORE_OK),
            RACERS);
    }
}

/* Two and more ccfd that do. */
void test_race_open_processes(void **state)
{
    pid_t pids[8];
    int status;

    (void)state;
    fresh = store_fresh();
    for (int i = 0; i < 8; i++) {
        pids[i] = fork();
        assert_true(pids[i] >= 0);
        if (pids[i] == 0)
            _exit(open_fresh(NULL, i, 0) == CCF_STORE_OK ? 0 : 1);
    }
    for (int i = 0; i < 8; i++) {
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
}

/* ---- one event for many, told by many ---- */

#define SUBSCRIBERS 200

static enum ccf_store_status tell_all(struct ccf_store *s, int n, int round)
{
    enum ccf_store_status st;

    (void)n;
    (void)round;
    do {
        st = ccf_fanout(s, (int64_t)time(NULL) * 1000);
    } while (st == CCF_STORE_OK);
    return st == CCF_STORE_NOT_FOUND ? CCF_STORE_OK : st;
}

static enum capif_db_status work_event(struct ccf_store *s, const void *what)
{
    return ccf_event_add(s, what);
}

/* Each is told of each once, in order, whoever does it. */
void test_race_fanout(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_member m[4];
    struct ccf_event e = { .name = "SERVICE_API_AVAILABLE" };
    struct ccf_notice_row row;
    char id[32], *lanes[4];
    int got[SUBSCRIBERS] = { 0 };
    size_t n;

    for (int i = 0; i < 4; i++) {
        snprintf(id, sizeof(id), "fan-%d", i);
        m[i] = store_member(CAPIF_INVOKER, id);
        strcpy(m[i].group_id, "fan");
    }
    assert_int_equal(store_enrol(s, "fan", LATER, "fan", m, 4), CCF_STORE_OK);
    assert_int_equal(tell_all(s, 0, 0), CCF_STORE_OK);
    for (int i = 0; i < SUBSCRIBERS; i++) {
        json_t *doc = soft_json("{'events':['SERVICE_API_AVAILABLE'],"
                                "'notificationDestination':'https://fan.x/'}");

        snprintf(id, sizeof(id), "fan-%d", i);
        assert_int_equal(
            ccf_store_subscription_set(s, &m[i % 4], id, NULL, doc),
            CCF_STORE_OK);
        json_decref(doc);
    }
    for (int i = 0; i < 3; i++) {
        e.api_id = i == 0 ? "0" : i == 1 ? "1" : "2";
        assert_int_equal(ccf_transact(s, work_event, &e), CCF_STORE_OK);
    }
    line_up(4);
    assert_int_equal(race(tell_all, 4, 0, CCF_STORE_OK, CCF_STORE_OK), 4);
    go_home(4);
    assert_int_equal(ccf_lanes_take(s, "t", 1, 2, lanes, 4, 4, &n),
                     CCF_STORE_OK);
    while (n > 0)
        free(lanes[--n]);
    while (ccf_lane_next(s, "t", "https://fan.x/", &row) == CCF_STORE_OK) {
        int i = atoi(strstr(row.text, "fan-") + 4);
        int k = atoi(strstr(row.text, "apiIds\":[\"") + 10);

        assert_int_equal(got[i]++, k);
        assert_int_equal(ccf_lane_done(s, "t", "https://fan.x/", row.seq, 2),
                         CCF_STORE_OK);
        ccf_notice_clear(&row);
    }
    for (int i = 0; i < SUBSCRIBERS; i++)
        assert_int_equal(got[i], 3);
    assert_int_equal(ccf_store_group_remove(s, &m[0]), CCF_STORE_OK);
}
