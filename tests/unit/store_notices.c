/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a CCF owes to others: lanes, leases, and the order within a lane.
 */
#include "store_suite.h"

#include "event.h"
#include "notice.h"

#include <stdlib.h>
#include <string.h>

#define URL "https://n.example/1"

static enum ccf_store_status add(struct ccf_store *s, const char *url, int i)
{
    json_t *body = json_pack("{s:i}", "i", i);
    const struct ccf_notice n = { .url = url, .trust = "own", .body = body };
    enum ccf_store_status st = ccf_store_notice_add(s, &n);

    json_decref(body);
    return st;
}

/* How many lanes somebody gets; *first (may be NULL) is the first's. */
static size_t take(struct ccf_store *s, const char *owner, int64_t now,
                   char **first)
{
    char *lanes[8];
    size_t n;

    assert_int_equal(ccf_lanes_take(s, owner, now, now + 100, lanes, 8, 8, &n),
                     CCF_STORE_OK);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 && first != NULL)
            *first = lanes[i];
        else
            free(lanes[i]);
    }
    return n;
}

static void next_is(struct ccf_store *s, const char *owner, const char *text,
                    unsigned tries, char seq[24])
{
    struct ccf_notice_row row;

    assert_int_equal(ccf_lane_next(s, owner, URL, &row), CCF_STORE_OK);
    assert_string_equal(row.text, text);
    assert_string_equal(row.url, URL);
    assert_string_equal(row.method, "POST");
    assert_string_equal(row.trust, "own");
    assert_int_equal(row.tries, tries);
    assert_int_equal(strlen(row.id), 32);
    assert_true(row.expires > (int64_t)time(NULL) * 1000);
    memcpy(seq, row.seq, 24);
    ccf_notice_clear(&row);
}

void test_notices_in_order(void **state)
{
    struct stores *st = *state;
    char *lane = NULL, one[24], two[24];
    struct ccf_notice_row row;

    assert_int_equal(take(st->s, "a", 1000, NULL), 0);
    assert_int_equal(add(st->s, URL, 1), CCF_STORE_OK);
    assert_int_equal(add(st->second, URL, 2), CCF_STORE_OK);
    assert_int_equal(take(st->s, "a", 1000, &lane), 1);
    assert_string_equal(lane, URL);
    free(lane);
    next_is(st->s, "a", "{\"i\":1}", 0, one);
    next_is(st->second, "a", "{\"i\":1}", 0, two); /* until it is done */
    assert_string_equal(one, two);
    assert_int_equal(ccf_lane_done(st->s, "a", URL, one, 1200), CCF_STORE_OK);
    next_is(st->s, "a", "{\"i\":2}", 0, two);
    assert_int_equal(ccf_lane_done(st->s, "a", URL, two, 1200), CCF_STORE_OK);
    assert_int_equal(ccf_lane_next(st->s, "a", URL, &row), CCF_STORE_NOT_FOUND);
    assert_int_equal(take(st->s, "a", 9000, NULL), 0); /* gone */
}

void test_notices_have_one_bearer(void **state)
{
    struct stores *st = *state;
    struct ccf_notice_row row;
    char seq[24];

    assert_int_equal(add(st->s, URL, 1), CCF_STORE_OK);
    assert_int_equal(take(st->s, "a", 1000, NULL), 1);
    assert_int_equal(take(st->second, "b", 1099, NULL), 0);
    next_is(st->s, "a", "{\"i\":1}", 0, seq);
    /* a is slow, or dead: its lease ends. */
    assert_int_equal(take(st->second, "b", 1100, NULL), 1);
    assert_int_equal(ccf_lane_done(st->s, "a", URL, seq, 2000),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_lane_failed(st->s, "a", URL, 2000),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_lane_next(st->s, "a", URL, &row), CCF_STORE_NOT_FOUND);
    next_is(st->second, "b", "{\"i\":1}", 0, seq);
    assert_int_equal(ccf_lane_done(st->second, "b", URL, seq, 2000),
                     CCF_STORE_OK);
    assert_int_equal(ccf_lane_next(st->second, "b", URL, &row),
                     CCF_STORE_NOT_FOUND);
}

void test_notices_wait_after_failure(void **state)
{
    struct stores *st = *state;
    struct ccf_notice_row row;
    char seq[24];

    assert_int_equal(add(st->s, URL, 1), CCF_STORE_OK);
    assert_int_equal(take(st->s, "a", 1000, NULL), 1);
    next_is(st->s, "a", "{\"i\":1}", 0, seq);
    assert_int_equal(ccf_lane_failed(st->s, "a", URL, 1500), CCF_STORE_OK);
    assert_int_equal(add(st->s, URL, 2), CCF_STORE_OK); /* changes no time */
    assert_int_equal(take(st->s, "a", 1499, NULL), 0);
    assert_int_equal(take(st->second, "b", 1500, NULL), 1);
    next_is(st->second, "b", "{\"i\":1}", 1, seq);
    assert_int_equal(ccf_lane_done(st->second, "b", URL, seq, 2000),
                     CCF_STORE_OK);
    next_is(st->second, "b", "{\"i\":2}", 0, seq);
    assert_int_equal(ccf_lane_done(st->second, "b", URL, seq, 2000),
                     CCF_STORE_OK);
    assert_int_equal(ccf_lane_next(st->second, "b", URL, &row),
                     CCF_STORE_NOT_FOUND);
}

/* At most so many are taken, and the others stay for others. */
void test_notices_lanes_are_shared(void **state)
{
    struct stores *st = *state;
    char *lanes[2], url[] = "https://n.example/x";
    struct ccf_notice_row row;
    size_t n;

    for (int i = 0; i < 3; i++) {
        url[18] = (char)('a' + i);
        assert_int_equal(add(st->s, url, i), CCF_STORE_OK);
    }
    assert_int_equal(ccf_lanes_take(st->s, "a", 1000, 2000, lanes, 2, 2, &n),
                     CCF_STORE_OK);
    assert_int_equal(n, 2);
    assert_int_equal(take(st->second, "b", 1000, NULL), 1);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(ccf_lane_next(st->s, "a", lanes[i], &row),
                         CCF_STORE_OK);
        assert_string_equal(row.url, lanes[i]);
        assert_int_equal(ccf_lane_done(st->s, "a", lanes[i], row.seq, 3000),
                         CCF_STORE_OK);
        ccf_notice_clear(&row);
        assert_int_equal(ccf_lane_next(st->s, "a", lanes[i], &row),
                         CCF_STORE_NOT_FOUND);
        free(lanes[i]);
    }
}

/* URLs that anybody chose leave room for the others. */
void test_notices_of_the_public(void **state)
{
    struct stores *st = *state;
    const struct ccf_notice hangs[] = {
        { .url = "https://n.example/p1", .trust = CCF_TRUST_PUBLIC },
        { .url = "https://n.example/p2", .trust = CCF_TRUST_PUBLIC },
        { .url = "https://n.example/p3", .trust = CCF_TRUST_PUBLIC },
    };
    char *lanes[4];
    size_t n;

    for (size_t i = 0; i < 3; i++)
        assert_int_equal(ccf_store_notice_add(st->s, &hangs[i]), CCF_STORE_OK);
    assert_int_equal(add(st->s, URL, 1), CCF_STORE_OK);
    assert_int_equal(ccf_lanes_take(st->s, "a", 1000, 2000, lanes, 4, 2, &n),
                     CCF_STORE_OK);
    assert_int_equal(n, 3);
    assert_string_equal(lanes[0], URL);
    while (n > 0)
        free(lanes[--n]);
    assert_int_equal(ccf_lanes_take(st->s, "a", 1000, 2000, lanes, 4, 0, &n),
                     CCF_STORE_OK);
    assert_int_equal(n, 0);
    assert_int_equal(take(st->s, "a", 1000, NULL), 1);
    store_drain(st->s);
}
