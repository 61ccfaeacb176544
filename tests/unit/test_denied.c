/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AEF's list of what has been revoked: whom an entry hits and whom not,
 * how long, and that a full list refuses more rather than less.
 */
#include "soft.h"

#include "aef.h"

#include <stdio.h>

#define NOW  1700000000
#define OLD  (NOW - AEF_TOKEN_SECONDS)
#define CCF  "ccf.a.example"
#define ROOM 4096

static struct aef_denied *d;

static int setup(void **state)
{
    (void)state;
    d = aef_denied_new();
    return d == NULL;
}

static int teardown(void **state)
{
    (void)state;
    aef_denied_free(d);
    aef_denied_free(NULL);
    return 0;
}

static time_t until(const char *ccf_id, const char *invoker_id,
                    const char *api_name, time_t now)
{
    return aef_denied_until(d, ccf_id, invoker_id, api_name, now);
}

static void test_whom(void **state)
{
    (void)state;
    assert_int_equal(until(CCF, "inv-1", "one", NOW), OLD);
    aef_denied_add(d, CCF, "inv-1", "one", NOW, NOW);
    assert_int_equal(until(CCF, "inv-1", "one", NOW), NOW);
    assert_int_equal(until(CCF, "inv-1", "one", NOW + 5), NOW);
    assert_int_equal(until(CCF, "inv-1", "two", NOW), OLD);
    assert_int_equal(until(CCF, "inv-1", "on", NOW), OLD);
    assert_int_equal(until(CCF, "inv-2", "one", NOW), OLD);
    assert_int_equal(until("ccf.b.example", "inv-1", "one", NOW), OLD);
    aef_denied_add(d, CCF, "inv-2", "", NOW + 1, NOW + 1);
    assert_int_equal(until(CCF, "inv-2", "one", NOW), NOW + 1);
    assert_int_equal(until(CCF, "inv-2", "two", NOW), NOW + 1);
    assert_int_equal(until(CCF, "inv-1", "one", NOW), NOW);
}

/* The later time counts, whichever entry has it, and never goes back. */
static void test_again(void **state)
{
    (void)state;
    aef_denied_add(d, CCF, "inv-1", "one", NOW, NOW);
    aef_denied_add(d, CCF, "inv-1", "one", NOW + 9, NOW + 9);
    assert_int_equal(until(CCF, "inv-1", "one", NOW), NOW + 9);
    aef_denied_add(d, CCF, "inv-1", "one", NOW + 3, NOW + 3);
    assert_int_equal(until(CCF, "inv-1", "one", NOW), NOW + 9);
    aef_denied_add(d, CCF, "inv-1", "", NOW + 6, NOW + 6);
    assert_int_equal(until(CCF, "inv-1", "one", NOW), NOW + 9);
    assert_int_equal(until(CCF, "inv-1", "two", NOW), NOW + 6);
}

static bool since(const char *invoker_id, const char *api_name,
                  unsigned long long count)
{
    return aef_denied_since(d, CCF, invoker_id, api_name, count);
}

static void test_since(void **state)
{
    (void)state;
    assert_int_equal(aef_denied_count(d), 0);
    assert_false(since("inv-1", NULL, 0));
    aef_denied_add(d, CCF, "inv-1", "one", NOW, NOW);
    assert_int_equal(aef_denied_count(d), 1);
    assert_true(since("inv-1", NULL, 0));
    assert_true(since("inv-1", "one", 0));
    assert_false(since("inv-1", "two", 0));
    assert_false(since("inv-2", NULL, 0));
    assert_false(aef_denied_since(d, "ccf.b.example", "inv-1", NULL, 0));
    assert_false(since("inv-1", NULL, 1));
    aef_denied_add(d, CCF, "inv-2", "", NOW, NOW);
    assert_false(since("inv-1", NULL, 1));
    assert_true(since("inv-2", "two", 1));
    aef_denied_add(d, CCF, "inv-1", "one", NOW,
                   NOW); /* once more counts, too */
    assert_true(since("inv-1", "one", 2));
    assert_false(since("inv-1", "one", 3));
}

static void fill(const char *of, time_t at, size_t n)
{
    char id[32];

    for (size_t i = 0; i < n; i++) {
        snprintf(id, sizeof(id), "%s-%zu", of, i);
        aef_denied_add(d, CCF, id, "one", at + (time_t)i, at + (time_t)i);
    }
}

/* What goes is not forgotten: it goes over to all. */
static void test_full(void **state)
{
    (void)state;
    fill("inv", NOW, ROOM);
    assert_int_equal(until(CCF, "another", "two", NOW + ROOM),
                     NOW + ROOM - AEF_TOKEN_SECONDS);
    assert_false(since("another", NULL, 0));
    assert_int_equal(until(CCF, "inv-0", "one", NOW), NOW);
    aef_denied_add(d, CCF, "inv-7", "one", NOW + ROOM,
                   NOW + ROOM); /* has a place */
    assert_int_equal(until(CCF, "another", "two", NOW), OLD);
    fill("more", NOW + ROOM, 3); /* for inv-0 to inv-2 */
    assert_int_equal(until(CCF, "another", "two", NOW), NOW + 2);
    assert_int_equal(until(CCF, "inv-0", "one", NOW), NOW + 2);
    assert_int_equal(until(CCF, "inv-3", "one", NOW), NOW + 3);
    assert_int_equal(until(CCF, "inv-7", "one", NOW), NOW + ROOM);
    assert_int_equal(until(CCF, "more-2", "one", NOW), NOW + ROOM + 2);
    assert_true(since("another", NULL, 2));
    assert_false(since("another", NULL, 3));
    assert_true(since("inv-3", NULL, 3));
    assert_false(since("inv-3", NULL, 4));
}

/* When no token can be of that time any more, there is room. */
static void test_expiry(void **state)
{
    const time_t later = NOW + ROOM / 2 + AEF_TOKEN_SECONDS;

    (void)state;
    fill("inv", NOW, ROOM);
    fill("more", later, 1);
    assert_int_equal(until(CCF, "another", "two", later), NOW + ROOM / 2);
    assert_int_equal(until(CCF, "inv-0", "one", later), NOW + ROOM / 2);
    assert_int_equal(until(CCF, "inv-4095", "one", later), NOW + 4095);
    assert_int_equal(until(CCF, "more-0", "one", later), later);
    fill("more", later, ROOM / 2);
    assert_int_equal(until(CCF, "inv-4095", "one", later), NOW + 4095);
    assert_true(since("another", NULL, ROOM / 2));
    assert_false(since("another", NULL, ROOM / 2 + 1));
}

/* What comes too late for tokens still counts for what was asked before. */
static void test_late(void **state)
{
    (void)state;
    aef_denied_add(d, CCF, "late", "one", OLD - 1, NOW);
    assert_int_equal(until(CCF, "late", "one", NOW), OLD);
    assert_true(since("late", NULL, 0));
    fill("inv", NOW, ROOM - 1);
    assert_false(since("another", NULL, 0));
    fill("more", NOW, 1);
    assert_true(since("another", NULL, 0));
    assert_false(since("another", NULL, 1));
    assert_int_equal(until(CCF, "another", "one", NOW), OLD);
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_whom), EACH(test_again),  EACH(test_since),
        EACH(test_full), EACH(test_expiry), EACH(test_late),
    };

    return cmocka_run_group_tests_name("aef: denied", tests, NULL, NULL);
}
