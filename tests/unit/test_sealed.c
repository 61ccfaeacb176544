/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of sealed secrets, on the fake module, whose objects can be
 * counted: handles that can't be forged, lives that end, and no object left.
 */
#include "hsm_fixture.h"
#include "sealed.h"

#include <pthread.h>
#include <string.h>
#include <time.h>

#define MAX     16
#define LONG    3600
#define TAG_LEN 16

static struct hsm *h;

static int setup(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    h = fixture_open(8);
    return 0;
}

static int teardown(void **state)
{
    fixture_close(h);
    return fixture_teardown(state);
}

static struct sealed_table *table(void)
{
    struct sealed_table *t = sealed_table_new(NULL, MAX);

    assert_non_null(t);
    assert_int_equal(fake->secrets, 0);
    return t;
}

/* Nothing is left of it. */
static void table_end(struct sealed_table *t)
{
    sealed_table_free(t);
    assert_int_equal(fake->secrets, 0);
}

static struct hsm_secret *secret(void)
{
    static const uint8_t value[48] = { 1 };
    struct hsm_secret *s = NULL;

    return hsm_import(h, value, sizeof(value), HSM_TRAVEL_NEVER, &s) == HSM_OK
               ? s
               : NULL;
}

static void add(struct sealed_table *t, enum sealed_kind kind,
                unsigned lifetime, bool pinned, uint8_t *handle, size_t len)
{
    assert_true(sealed_add(t, secret(), kind, lifetime, pinned, handle, len));
}

static enum sealed_match find(struct sealed_table *t, const uint8_t *handle)
{
    return sealed_find(t, handle, SEALED_LEN, NULL, NULL);
}

/* ---- handles ---- */

static void test_round_trip(void **state)
{
    static const size_t lengths[] = { 32, 33, 48, 64 };
    struct sealed_table *t = table();
    uint8_t handle[SEALED_LEN_MAX];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct hsm_secret *s = secret(), *found = NULL;
        enum sealed_kind kind = SEALED_KEY;

        assert_true(
            sealed_add(t, s, SEALED_MASTER12, LONG, false, handle, lengths[i]));
        assert_int_equal(sealed_find(t, handle, lengths[i], &found, &kind),
                         SEALED_OK);
        assert_ptr_equal(found, s);
        assert_int_equal(kind, SEALED_MASTER12);
        /* A reference outlives the entry. */
        assert_true(sealed_release(t, handle, lengths[i]));
        assert_int_equal(fake->secrets, 1);
        hsm_secret_free(found);
        assert_int_equal(fake->secrets, 0);
        assert_int_equal(sealed_find(t, handle, lengths[i], NULL, NULL),
                         SEALED_BAD);
        assert_false(sealed_release(t, handle, lengths[i]));
    }
    assert_int_equal(sealed_count(t), 0);
    table_end(t);
}

static void test_lengths(void **state)
{
    struct sealed_table *t = table();
    uint8_t handle[SEALED_LEN_MAX + 1] = { 0 };
    struct hsm_secret *s = secret();

    (void)state;
    assert_false(sealed_add(t, s, SEALED_KEY, LONG, false, handle, 31));
    assert_false(sealed_add(t, s, SEALED_KEY, LONG, false, handle, 65));
    assert_int_equal(sealed_count(t), 0);
    assert_true(sealed_add(t, s, SEALED_KEY, LONG, false, handle, 48));
    /* Neither a part of a handle nor more than it is one. */
    for (size_t n = TAG_LEN; n <= sizeof(handle); n++)
        assert_int_equal(sealed_find(t, handle, n, NULL, NULL),
                         n == 48 ? SEALED_OK : SEALED_BAD);
    for (size_t n = 0; n < TAG_LEN; n++)
        assert_int_equal(sealed_find(t, handle, n, NULL, NULL), SEALED_PLAIN);
    assert_int_equal(sealed_find(t, NULL, 0, NULL, NULL), SEALED_PLAIN);
    assert_int_equal(sealed_find(t, NULL, 48, NULL, NULL), SEALED_PLAIN);
    assert_false(sealed_release(t, handle, 0));
    table_end(t);
}

static void test_forged(void **state)
{
    static const size_t lengths[] = { 32, 48, 64 };
    struct sealed_table *t = table(), *other = table();
    uint8_t handle[SEALED_LEN_MAX];

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        add(t, SEALED_KEY, LONG, false, handle, lengths[k]);
        for (size_t i = 0; i < lengths[k]; i++) {
            for (unsigned bit = 1; bit < 256; bit <<= 1) {
                handle[i] ^= (uint8_t)bit;
                assert_int_equal(sealed_find(t, handle, lengths[k], NULL, NULL),
                                 i < TAG_LEN ? SEALED_PLAIN : SEALED_BAD);
                assert_false(sealed_release(t, handle, lengths[k]));
                handle[i] ^= (uint8_t)bit;
            }
        }
        assert_int_equal(sealed_find(t, handle, lengths[k], NULL, NULL),
                         SEALED_OK);
        assert_int_equal(sealed_find(other, handle, lengths[k], NULL, NULL),
                         SEALED_PLAIN);
    }
    sealed_table_free(other);
    table_end(t);
}

/* A place is used again, its old handle is not. */
static void test_generations(void **state)
{
    struct sealed_table *t = table();
    uint8_t handles[MAX * 4][SEALED_LEN];

    (void)state;
    for (size_t i = 0; i < MAX * 4; i++) {
        add(t, SEALED_KEY, LONG, false, handles[i], SEALED_LEN);
        for (size_t k = 0; k < i; k++)
            assert_int_equal(find(t, handles[k]), SEALED_BAD);
        assert_int_equal(find(t, handles[i]), SEALED_OK);
        assert_true(sealed_release(t, handles[i], SEALED_LEN));
    }
    table_end(t);
}

/* ---- lives ---- */

static void wait_second(void)
{
    const struct timespec ts = { .tv_sec = 1, .tv_nsec = 100000000 };

    nanosleep(&ts, NULL);
}

static double clock_seconds(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* A life of one second is no shorter, wherever in a second it began. */
static void test_whole_life(void **state)
{
    const struct timespec poll = { .tv_nsec = 5000000 };
    struct sealed_table *t = table();
    uint8_t a[SEALED_LEN];
    double began = clock_seconds();

    (void)state;
    add(t, SEALED_KEY, 1, true, a, SEALED_LEN);
    while (sealed_find(t, a, SEALED_LEN, NULL, NULL) == SEALED_OK)
        nanosleep(&poll, NULL);
    assert_true(clock_seconds() - began > 0.998); /* the clock's milliseconds */
    table_end(t);
}

static void test_expiry(void **state)
{
    struct sealed_table *t = table();
    uint8_t a[SEALED_LEN], b[SEALED_LEN], child[SEALED_LEN];

    (void)state;
    add(t, SEALED_KEY, 1, true, a, SEALED_LEN);
    assert_true(
        sealed_add_child(t, a, SEALED_LEN, secret(), SEALED_EARLY, child));
    add(t, SEALED_KEY, LONG, false, b, SEALED_LEN);
    assert_int_equal(find(t, a), SEALED_OK);
    wait_second();
    assert_int_equal(sealed_find(t, a, SEALED_LEN, NULL, NULL), SEALED_BAD);
    assert_int_equal(find(t, child), SEALED_BAD);
    assert_false(
        sealed_find_child(t, a, SEALED_LEN, SEALED_EARLY, child, NULL));
    assert_int_equal(fake->secrets, 1); /* both destroyed by that look */
    assert_int_equal(sealed_count(t), 1);
    assert_int_equal(find(t, b), SEALED_OK);
    table_end(t);
}

/* Nobody need look for it: anything done with the table destroys it. */
static void test_expiry_unasked(void **state)
{
    struct sealed_table *t = table();
    uint8_t a[SEALED_LEN];

    (void)state;
    for (size_t i = 0; i < MAX; i++)
        add(t, SEALED_KEY, 1, true, a, SEALED_LEN);
    assert_int_equal(fake->secrets, MAX);
    wait_second();
    add(t, SEALED_KEY, 1, false, a, SEALED_LEN);
    assert_int_equal(fake->secrets, 1);
    wait_second();
    assert_int_equal(sealed_count(t), 0);
    assert_int_equal(fake->secrets, 0);
    table_end(t);
}

static void test_eviction(void **state)
{
    struct sealed_table *t = table();
    uint8_t handles[MAX + 3][SEALED_LEN];

    (void)state;
    for (size_t i = 0; i < MAX + 3; i++)
        add(t, SEALED_HANDSHAKE, LONG, i == 1, handles[i], SEALED_LEN);
    /* The oldest ones went, but for the one that is pinned. */
    for (size_t i = 0; i < MAX + 3; i++)
        assert_int_equal(find(t, handles[i]),
                         i == 0 || i == 2 || i == 3 ? SEALED_BAD : SEALED_OK);
    assert_int_equal(sealed_count(t), MAX);
    assert_int_equal(fake->secrets, MAX);
    table_end(t);
}

static void test_full(void **state)
{
    struct sealed_table *t = table();
    uint8_t handles[MAX][SEALED_LEN], one[SEALED_LEN];
    struct hsm_secret *s = secret();

    (void)state;
    for (size_t i = 0; i < MAX; i++)
        add(t, SEALED_KEY, LONG, true, handles[i], SEALED_LEN);
    assert_false(sealed_add(t, s, SEALED_KEY, LONG, true, one, SEALED_LEN));
    assert_false(
        sealed_add_child(t, handles[0], SEALED_LEN, s, SEALED_EARLY, one));
    assert_int_equal(fake->secrets, MAX + 1); /* s is still the caller's */
    for (size_t i = 0; i < MAX; i++)
        assert_int_equal(find(t, handles[i]), SEALED_OK);
    assert_true(sealed_release(t, handles[5], SEALED_LEN));
    assert_true(sealed_add(t, s, SEALED_KEY, LONG, true, one, SEALED_LEN));
    assert_int_equal(find(t, one), SEALED_OK);
    table_end(t);
}

/* ---- children ---- */

static void test_children(void **state)
{
    struct sealed_table *t = table();
    uint8_t psk[SEALED_LEN], kids[4][SEALED_LEN], again[SEALED_LEN];
    struct hsm_secret *found = NULL;
    enum sealed_kind kind = SEALED_KEY;

    (void)state;
    add(t, SEALED_KEY, LONG, true, psk, SEALED_LEN);
    for (int i = 0; i < 4; i++) {
        /* Of a child it is the parent's too. */
        const uint8_t *from = i == 0 ? psk : kids[i - 1];
        enum sealed_kind k = (enum sealed_kind)(SEALED_EARLY + i);

        assert_false(sealed_find_child(t, from, SEALED_LEN, k, again, NULL));
        assert_true(
            sealed_add_child(t, from, SEALED_LEN, secret(), k, kids[i]));
        assert_int_equal(sealed_find(t, kids[i], SEALED_LEN, NULL, &kind),
                         SEALED_OK);
        assert_int_equal(kind, k);
        assert_true(sealed_find_child(t, psk, SEALED_LEN, k, again, &found));
        assert_memory_equal(again, kids[i], SEALED_LEN);
        hsm_secret_free(found);
        /* A second one is given up, and the first one told. */
        assert_true(sealed_add_child(t, psk, SEALED_LEN, secret(), k, again));
        assert_memory_equal(again, kids[i], SEALED_LEN);
        assert_int_equal(fake->secrets, 2 + i);
    }
    found = secret();
    assert_false(
        sealed_add_child(t, psk, SEALED_LEN, found, SEALED_HANDSHAKE, again));
    assert_false(
        sealed_add_child(t, psk, SEALED_LEN, found, SEALED_KEY, again));
    hsm_secret_free(found);
    assert_true(sealed_release(t, psk, SEALED_LEN));
    assert_int_equal(fake->secrets, 0);
    for (int i = 0; i < 4; i++)
        assert_int_equal(find(t, kids[i]), SEALED_BAD);
    assert_false(
        sealed_find_child(t, psk, SEALED_LEN, SEALED_EARLY, again, NULL));
    table_end(t);
}

/* In a full table a child evicts others, but not its parent. */
static void test_children_evict(void **state)
{
    struct sealed_table *t = table();
    uint8_t psk[SEALED_LEN], child[SEALED_LEN], others[MAX][SEALED_LEN];

    (void)state;
    add(t, SEALED_KEY, LONG, false, psk, SEALED_LEN); /* the oldest */
    for (size_t i = 1; i < MAX; i++)
        add(t, SEALED_HANDSHAKE, LONG, false, others[i], SEALED_LEN);
    assert_true(
        sealed_add_child(t, psk, SEALED_LEN, secret(), SEALED_EARLY, child));
    assert_int_equal(find(t, psk), SEALED_OK);
    assert_int_equal(find(t, child), SEALED_OK);
    assert_int_equal(find(t, others[1]), SEALED_BAD);
    /* Next in turn is the parent, which takes its child along. */
    add(t, SEALED_HANDSHAKE, LONG, false, others[1], SEALED_LEN);
    assert_int_equal(find(t, psk), SEALED_BAD);
    assert_int_equal(find(t, child), SEALED_BAD);
    assert_int_equal(sealed_count(t), MAX - 1);
    assert_int_equal(fake->secrets, MAX - 1);
    table_end(t);
}

/* ---- threads ---- */

#define THREADS 8
#define ROUNDS  300

struct job {
    pthread_t thread;
    struct sealed_table *t;
    unsigned failed; /* what went wrong; asserting is for the main thread */
};

static void *work(void *arg)
{
    struct job *j = arg;
    uint8_t psk[SEALED_LEN], child[SEALED_LEN];

    for (int i = 0; i < ROUNDS; i++) {
        struct hsm_secret *s = secret(), *found = NULL;

        /* Four at the most of each thread, so that nothing is evicted. */
        if (s == NULL
            || !sealed_add(j->t, s, SEALED_KEY, LONG, false, psk, SEALED_LEN)
            || !sealed_add_child(j->t, psk, SEALED_LEN, secret(), SEALED_EARLY,
                                 child)
            || sealed_find(j->t, psk, SEALED_LEN, &found, NULL) != SEALED_OK
            || found != s) {
            j->failed++;
            continue;
        }
        hsm_secret_free(found);
        if (!sealed_release(j->t, psk, SEALED_LEN)
            || sealed_find(j->t, child, SEALED_LEN, NULL, NULL) != SEALED_BAD)
            j->failed++;
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct sealed_table *t = sealed_table_new(NULL, 4 * THREADS);
    struct job jobs[THREADS];

    (void)state;
    for (size_t i = 0; i < THREADS; i++) {
        jobs[i] = (struct job){ .t = t };
        assert_int_equal(pthread_create(&jobs[i].thread, NULL, work, &jobs[i]),
                         0);
    }
    for (size_t i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(jobs[i].thread, NULL), 0);
        assert_int_equal(jobs[i].failed, 0);
    }
    assert_int_equal(sealed_count(t), 0);
    table_end(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_forged),
        cmocka_unit_test(test_generations),
        cmocka_unit_test(test_whole_life),
        cmocka_unit_test(test_expiry),
        cmocka_unit_test(test_expiry_unasked),
        cmocka_unit_test(test_eviction),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_children),
        cmocka_unit_test(test_children_evict),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests_name("sealed table", tests, setup, teardown);
}
