/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's messages (hsm/agent/wire.h): what is one, and what is not. */
#include "agent/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define N_OF(a) (sizeof(a) / sizeof((a)[0]))

static struct wire_msg msg;

/* From memory of exactly that size, so that reading past it is found. */
static enum wire_result decode(const void *p, size_t len, size_t *used)
{
    static uint8_t *copy; /* what the last message's strings point into */
    enum wire_result r;

    free(copy);
    copy = NULL;
    if (p == NULL)
        return WIRE_BAD;
    copy = malloc(len > 0 ? len : 1);
    assert_non_null(copy);
    memcpy(copy, p, len);
    memset(&msg, 0xee, sizeof(msg));
    r = wire_decode(copy, len, &msg, used);
    for (size_t i = 0; r == WIRE_OK && i < msg.n; i++) {
        const struct wire_item *item = &msg.items[i];

        if (item->type != WIRE_NUM)
            assert_true(item->p >= copy && item->len <= *used
                        && item->p + item->len <= copy + *used);
    }
    return r;
}

static void is(enum wire_result want, const void *p, size_t len)
{
    size_t used = 4711;

    assert_int_equal(decode(p, len, &used), want);
    if (want == WIRE_OK)
        assert_int_equal(used, len);
    else
        assert_int_equal(used, 4711); /* outputs on success alone */
}

#define IS(want, text) is(want, "" text "", sizeof(text) - 1)

static void same(const struct wire_item *a, const struct wire_item *b)
{
    assert_int_equal(a->type, b->type);
    if (a->type == WIRE_NUM) {
        assert_true(a->num == b->num);
        return;
    }
    assert_int_equal(a->len, b->len);
    if (a->len > 0)
        assert_memory_equal(a->p, b->p, a->len);
}

static void round_trip(const struct wire_item *items, size_t n)
{
    size_t size = wire_size(items, n), used = 0;
    uint8_t *out = malloc(size + 1);

    assert_non_null(out);
    assert_true(size > 0 && size <= WIRE_MAX);
    out[size] = 0xa5;
    wire_encode(items, n, out);
    assert_int_equal(out[size], 0xa5);
    assert_int_equal(decode(out, size, &used), WIRE_OK);
    assert_int_equal(used, size);
    assert_int_equal(msg.n, n);
    for (size_t i = 0; i < n; i++)
        same(&msg.items[i], &items[i]);
    for (size_t len = 0; len < size; len++)
        assert_int_equal(wire_decode(out, len, &msg, &used), WIRE_MORE);
    assert_int_equal(used, size);
    free(out);
}

/* All widths of numbers and lengths, the last and the first of each. */
static void test_round_trips(void **state)
{
    static const uint64_t nums[] = { 0,         23,         24,
                                     255,       256,        65535,
                                     65536,     UINT32_MAX, 1ULL << 32,
                                     INT64_MAX, UINT64_MAX };
    static const size_t lens[] = { 0, 1, 23, 24, 255, 256, 4096 };
    static uint8_t octets[4096];
    struct wire_item items[WIRE_ITEMS];

    (void)state;
    memset(octets, 'x', sizeof(octets));
    for (size_t i = 0; i < N_OF(nums); i++)
        items[i] = wire_num(nums[i]);
    round_trip(items, N_OF(nums));
    for (size_t i = 0; i < N_OF(lens); i++) {
        items[0] = wire_bytes(octets, lens[i]);
        items[1] = wire_text("text");
        items[2] = (struct wire_item){ WIRE_TEXT, 0, octets, lens[i] };
        round_trip(items, 3);
    }
    for (size_t i = 0; i < WIRE_ITEMS; i++)
        items[i] = i % 3 == 0   ? wire_num(i)
                   : i % 3 == 1 ? wire_bytes(octets, i)
                                : wire_text("");
    for (size_t n = 1; n <= WIRE_ITEMS; n++)
        round_trip(items, n);
}

/* A number or length may be wider than it needs to be, the array's too. */
static void test_widths(void **state)
{
    (void)state;
    IS(WIRE_OK, "\x81\x01");
    IS(WIRE_OK, "\x98\x01\x18\x01");
    IS(WIRE_OK, "\x99\x00\x01\x19\x00\x01");
    IS(WIRE_OK, "\x9a\0\0\0\1\x1a\0\0\0\1");
    IS(WIRE_OK, "\x9b\0\0\0\0\0\0\0\1\x1b\0\0\0\0\0\0\0\1");
    assert_true(msg.n == 1 && msg.items[0].num == 1);
    IS(WIRE_OK, "\x81\x58\x02hi");
    IS(WIRE_OK, "\x81\x59\0\x02hi");
    IS(WIRE_OK, "\x81\x5a\0\0\0\x02hi");
    IS(WIRE_OK, "\x81\x5b\0\0\0\0\0\0\0\x02hi");
    assert_true(msg.items[0].type == WIRE_BYTES && msg.items[0].len == 2);
    IS(WIRE_OK, "\x81\x78\x02hi");
    IS(WIRE_OK, "\x81\x79\0\x02hi");
    IS(WIRE_OK, "\x81\x7a\0\0\0\x02hi");
    IS(WIRE_OK, "\x81\x7b\0\0\0\0\0\0\0\x02hi");
    assert_true(msg.items[0].type == WIRE_TEXT
                && memcmp(msg.items[0].p, "hi", 2) == 0);
}

/* Every first octet there is, before the array and inside of it. */
static void test_foreign(void **state)
{
    (void)state;
    for (unsigned c = 0; c < 256; c++) {
        uint8_t outside[32] = { (uint8_t)c }, inside[32] = { 0x81, (uint8_t)c };
        unsigned major = c >> 5, width = c & 31;
        bool sized = width < 28, ours = major == 0 || major == 2 || major == 3;
        size_t used = 0;

        assert_int_equal(decode(outside, sizeof(outside), &used) == WIRE_OK,
                         major == 4 && width > 0 && width < 24);
        assert_int_equal(decode(inside, sizeof(inside), &used) == WIRE_OK,
                         ours && sized
                             && (major != 3 || width == 0 || width > 23));
        if (!ours || !sized) /* whatever follows */
            assert_int_equal(decode(inside, sizeof(inside), &used), WIRE_BAD);
    }
    IS(WIRE_BAD, "\x80");         /* nothing in it */
    IS(WIRE_BAD, "\x9f\x01\xff"); /* indefinite: array, strings, map */
    IS(WIRE_BAD, "\x81\x5f\x41x\xff");
    IS(WIRE_BAD, "\x81\x7f\x61x\xff");
    IS(WIRE_BAD, "\x81\xbf\xff");
    IS(WIRE_BAD, "\x81\x20"); /* -1 */
    IS(WIRE_BAD, "\x81\xa0");
    IS(WIRE_BAD, "\x81\xc1\x01"); /* a tag */
    IS(WIRE_BAD, "\xd9\xd9\xf7\x81\x01");
    IS(WIRE_BAD, "\x81\xf4"); /* false, true, null, undefined */
    IS(WIRE_BAD, "\x81\xf5");
    IS(WIRE_BAD, "\x81\xf6");
    IS(WIRE_BAD, "\x81\xf7");
    IS(WIRE_BAD, "\x81\xf9\x3c\0"); /* 1.0 in three widths */
    IS(WIRE_BAD, "\x81\xfa\x3f\x80\0\0");
    IS(WIRE_BAD, "\x81\xfb\x3f\xf0\0\0\0\0\0\0");
    IS(WIRE_BAD, "\x82\x01\xff");
    IS(WIRE_BAD, "\xff");
}

static void test_nested(void **state)
{
    (void)state;
    IS(WIRE_BAD, "\x81\x81\x01");
    IS(WIRE_BAD, "\x82\x01\x81\x01");
    IS(WIRE_BAD, "\x82\x01\x80");
    IS(WIRE_BAD, "\x81\x9f\x01\xff");
    IS(WIRE_BAD, "\x01");
    IS(WIRE_BAD, "\x41x");
    IS(WIRE_BAD, "\x61x");
}

static void test_too_many_items(void **state)
{
    uint8_t m[2 + WIRE_ITEMS + 1] = { 0x98, WIRE_ITEMS };
    struct wire_item items[WIRE_ITEMS + 1];

    (void)state;
    is(WIRE_OK, m, 2 + WIRE_ITEMS);
    assert_int_equal(msg.n, WIRE_ITEMS);
    m[1]++;
    is(WIRE_BAD, m, sizeof(m));
    is(WIRE_BAD, m, 2); /* at once */
    IS(WIRE_BAD, "\x99\x01\x00");
    IS(WIRE_BAD, "\x9a\xff\xff\xff\xff");
    IS(WIRE_BAD, "\x9b\xff\xff\xff\xff\xff\xff\xff\xff");
    IS(WIRE_BAD, "\x9b\0\0\0\1\0\0\0\1"); /* 1 in 32 bits */
    for (size_t i = 0; i < N_OF(items); i++)
        items[i] = wire_num(0);
    assert_int_equal(wire_size(items, WIRE_ITEMS), 2 + WIRE_ITEMS);
    assert_int_equal(wire_size(items, WIRE_ITEMS + 1), 0);
}

/* A length that can't come is refused at once, not waited for. */
static void test_huge_lengths(void **state)
{
    uint8_t m[10] = { 0x81 };

    (void)state;
    for (unsigned text = 0; text < 2; text++) {
        m[1] = text ? 0x7b : 0x5b;
        for (size_t shift = 0; shift < 64; shift++) {
            for (uint64_t more = 0; more < 24; more++) {
                uint64_t len = (UINT64_MAX >> shift) - more;

                for (size_t i = 0; i < 8; i++)
                    m[2 + i] = (uint8_t)(len >> (56 - 8 * i));
                if (len > 0)
                    is(len > WIRE_MAX - 10 ? WIRE_BAD : WIRE_MORE, m, 10);
            }
        }
    }
    IS(WIRE_BAD, "\x81\x5a\xff\xff\xff\xff");
    IS(WIRE_BAD, "\x81\x7a\x00\x01\x00\x00");
    IS(WIRE_BAD, "\x81\x59\xff\xfd");
    IS(WIRE_MORE, "\x81\x59\xff\xfc");
    IS(WIRE_BAD, "\x81\x5a\0\0\xff\xfb");
    IS(WIRE_MORE, "\x81\x5a\0\0\xff\xfa"); /* 65536 octets in all */
}

static void test_nul(void **state)
{
    (void)state;
    IS(WIRE_OK, "\x81\x60");
    IS(WIRE_OK, "\x81\x41\0");
    IS(WIRE_BAD, "\x81\x61\0");
    IS(WIRE_BAD, "\x81\x63\0ab");
    IS(WIRE_BAD, "\x81\x63"
                 "a\0b");
    IS(WIRE_BAD, "\x81\x63"
                 "ab\0");
}

/* A message as long as can be, with one string, or with a second item. */
static void test_border(void **state)
{
    static uint8_t m[WIRE_MAX + 16];
    struct wire_item items[2] = { wire_bytes(m, WIRE_MAX - 4), wire_num(1) };
    size_t used = 0;

    (void)state;
    assert_int_equal(wire_size(items, 1), WIRE_MAX);
    assert_int_equal(wire_size(items, 2), 0);
    items[0].len++;
    assert_int_equal(wire_size(items, 1), 0);
    items[0].len = WIRE_MAX + 1;
    assert_int_equal(wire_size(items, 1), 0);
    items[0].len = SIZE_MAX;
    assert_int_equal(wire_size(items, 1), 0);
    memcpy(m, "\x81\x59\xff\xfc", 4);
    is(WIRE_OK, m, WIRE_MAX);
    is(WIRE_MORE, m, WIRE_MAX - 1);
    assert_int_equal(decode(m, sizeof(m), &used), WIRE_OK);
    assert_int_equal(used, WIRE_MAX);
    m[3]++;
    is(WIRE_BAD, m, 4);
    is(WIRE_BAD, m, WIRE_MAX + 1);
    memcpy(m, "\x82\x59\xff\xfb", 4); /* and one octet more */
    is(WIRE_MORE, m, WIRE_MAX - 1);
    is(WIRE_OK, m, WIRE_MAX);
    memcpy(m, "\x82\x59\xff\xfc", 4);
    assert_int_not_equal(decode(m, WIRE_MAX, &used), WIRE_OK);
    is(WIRE_BAD, m, WIRE_MAX + 1);
    memcpy(m, "\x82\x59\xff\xfb", 4);
    m[WIRE_MAX - 1] = 0x18; /* a number of two octets */
    is(WIRE_BAD, m, WIRE_MAX);
}

/* One after the other: each is as long as it says, and no longer. */
static void test_sequence(void **state)
{
    static const uint8_t m[] = "\x82\x01\x02\x81\x61x\x83\x01\x40\x60\x80";
    static const size_t lens[] = { 3, 3, 4 };
    size_t at = 0, used = 0;

    (void)state;
    for (size_t i = 0; i < N_OF(lens); i++) {
        assert_int_equal(decode(m + at, sizeof(m) - 1 - at, &used), WIRE_OK);
        assert_int_equal(used, lens[i]);
        at += used;
    }
    is(WIRE_BAD, m + at, sizeof(m) - 1 - at);
    is(WIRE_MORE, m, 0);
}

/* ---- types ---- */

/* A message with items of these types. */
static const struct wire_msg *of(const char *types)
{
    static const uint8_t octet = 'x';

    memset(&msg, 0, sizeof(msg));
    for (; types[msg.n] != '\0'; msg.n++)
        msg.items[msg.n] = types[msg.n] == 'n'   ? wire_num(0)
                           : types[msg.n] == 'b' ? wire_bytes(&octet, 1)
                                                 : wire_text("x");
    return &msg;
}

static void test_matches(void **state)
{
    static const struct {
        const char *items, *types;
        bool matches;
    } v[] = {
        { "", "", true },          { "n", "", false },
        { "", "n", false },        { "n", "n", true },
        { "n", "b", false },       { "n", "t", false },
        { "b", "t", false },       { "t", "b", false },
        { "nbt", "nbt", true },    { "nbt", "nb", false },
        { "nbt", "nbtn", false },  { "", "*t", true },
        { "t", "*t", true },       { "tttt", "*t", true },
        { "ttbt", "*t", false },   { "n", "n*nb", true },
        { "", "n*nb", false },     { "nn", "n*nb", false },
        { "nnb", "n*nb", true },   { "nnbn", "n*nb", false },
        { "nnbnb", "n*nb", true }, { "nnbbn", "n*nb", false },
        { "nb", "n*nb", false },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++)
        assert_int_equal(wire_matches(of(v[i].items), 0, v[i].types),
                         v[i].matches);
    assert_true(wire_matches(of("bbn"), 2, "n"));
    assert_true(wire_matches(of("bb"), 2, ""));
    assert_false(wire_matches(of("b"), 2, ""));
    assert_false(wire_matches(of("b"), 2, "*t"));
}

static const struct {
    const char *name, *args, *results;
} ops[] = {
#define X(name, args, results) { #name, args, results },
    WIRE_OPS(X)
#undef X
};

/* Every operation with its arguments, one of another type, less and more. */
static void test_requests(void **state)
{
    (void)state;
    for (size_t op = 0; op < WIRE_N_OPS; op++) {
        const size_t n = strlen(ops[op].args);
        char types[16];

        snprintf(types, sizeof(types), "nn%s", ops[op].args);
        (void)of(types);
        msg.items[1].num = op;
        assert_true(wire_is_request(&msg));
        msg.n--;
        assert_false(wire_is_request(&msg));
        msg.n += 2;
        assert_false(wire_is_request(&msg));
        for (size_t i = 0; i < n + 2; i++) {
            for (const char *t = "nbt"; *t != '\0'; t++) {
                char other[16];

                strcpy(other, types);
                other[i] = *t;
                (void)of(other);
                if (msg.items[1].type == WIRE_NUM)
                    msg.items[1].num = op;
                assert_int_equal(wire_is_request(&msg), *t == types[i]);
            }
        }
        assert_string_equal(wire_op_name(op), ops[op].name);
    }
    (void)of("nnn");
    for (uint64_t op = WIRE_N_OPS; op != 0; op <<= 1) {
        msg.items[1].num = op;
        assert_false(wire_is_request(&msg));
        assert_null(wire_op_name(op));
    }
    assert_false(wire_is_request(of("")));
    assert_false(wire_is_request(of("n")));
}

static void test_answers(void **state)
{
    static const char object[] = "nnnnbbbb";

    (void)state;
    for (size_t op = 0; op < WIRE_N_OPS; op++) {
        char types[16] = "nnt";
        bool one = strlen(ops[op].results) == 0 || ops[op].results[0] == '*';

        (void)of(types);
        msg.items[1].num = 3; /* a failure, with a message alone */
        assert_true(wire_is_answer(&msg, (enum wire_op)op));
        msg.items[1].num = 0;
        assert_int_equal(wire_is_answer(&msg, (enum wire_op)op), one);
        if (strchr(ops[op].results, '*') != NULL)
            continue;
        strcat(types, ops[op].results);
        assert_true(wire_is_answer(of(types), (enum wire_op)op));
        msg.items[1].num = 3;
        assert_int_equal(wire_is_answer(&msg, (enum wire_op)op), one);
    }
    for (size_t n = 0; n < 12; n++) {
        char types[WIRE_ITEMS + 8] = "nntn";

        for (size_t i = 0; i < n; i++)
            strcat(types, object);
        if (strlen(types) > WIRE_ITEMS)
            break;
        assert_true(wire_is_answer(of(types), WIRE_FIND));
        msg.n--;
        assert_false(wire_is_answer(&msg, WIRE_FIND));
    }
    assert_true(wire_is_answer(of("nnttttt"), WIRE_TOKENS));
    assert_false(wire_is_answer(of("nnttttn"), WIRE_TOKENS));
    assert_false(wire_is_answer(of("nn"), WIRE_DROP));
    assert_false(wire_is_answer(of("bnt"), WIRE_DROP));
    assert_false(wire_is_answer(of("nbt"), WIRE_DROP));
    assert_false(wire_is_answer(of("nnb"), WIRE_DROP));
}

static void test_string(void **state)
{
    const struct wire_item item = wire_text("pkcs11:");
    char *text = wire_string(&item);

    (void)state;
    assert_string_equal(text, "pkcs11:");
    free(text);
}

static int teardown(void **state)
{
    (void)state;
    (void)decode(NULL, 0, NULL);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trips),
        cmocka_unit_test(test_widths),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_too_many_items),
        cmocka_unit_test(test_huge_lengths),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_border),
        cmocka_unit_test(test_sequence),
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_string),
    };

    return cmocka_run_group_tests_name("hsm: wire", tests, NULL, teardown);
}
