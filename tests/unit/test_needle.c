/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Needles: each encoding is found wherever it lies, once, and nothing else
 * is.  What is planted is made by OpenSSL's encoders or written out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "needle.h"

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HAY             1600
#define FORM(enc, half) ((unsigned)(enc) + ((half) ? NEEDLE_ENCODINGS : 0U))

/* 32 octets whose base64 differs between the alphabets at any alignment. */
static const char hex32[] =
    "fbefbeff3d8f01a7c2d95e66fbffbf104b77e9fbefbe0c8d2a5163f8ffefbb9e";
static const char hex8[] = "fbefbeff3d8f01a7";
static const char hex12[] = "fbefbeff3d8f01a7c2d95e66";
static const char hex14[] = "fbefbeff3d8f01a7c2d95e66fbff";
static const char hex16[] = "fbefbeff3d8f01a7c2d95e66fbffbf10";
static const char hex20[] = "fbefbeff3d8f01a7c2d95e66fbffbf104b77e9fb";
static const char hex48[] =
    "fbefbeff3d8f01a7c2d95e66fbffbf104b77e9fbefbe0c8d2a5163f8ffefbb9e"
    "00112233445566778899aabbccddee00";
static const char *const lengths[] = { hex8,  hex12, hex14, hex16,
                                       hex20, hex32, hex48 };
#define N_LENGTHS (sizeof(lengths) / sizeof(lengths[0]))

static uint8_t hay[HAY];

static struct needles *parse(const char *text)
{
    char why[128] = "";
    struct needles *n = needles_parse(text, strlen(text), why, sizeof(why));

    if (n == NULL)
        print_message("%s\n", why);
    assert_non_null(n);
    return n;
}

static struct needles *one(const char *hex)
{
    char text[256];

    snprintf(text, sizeof(text), "key %s\n", hex);
    return parse(text);
}

static size_t octets(const char *hex, uint8_t *out)
{
    size_t n = strlen(hex) / 2;

    for (size_t i = 0; i < n; i++) {
        const char two[] = { hex[2 * i], hex[2 * i + 1], '\0' };

        out[i] = (uint8_t)strtoul(two, NULL, 16);
    }
    return n;
}

/* The secret, its first half (1) or its second (2). */
static size_t secret_part(const char *hex, int half, uint8_t secret[64],
                          const uint8_t **part)
{
    const size_t len = octets(hex, secret), cut = len / 2;

    *part = half == 2 ? secret + cut : secret;
    if (half == 0)
        return len;
    return half == 1 ? cut : len - cut;
}

/* The form's text, as it lies in memory; `before` for base64 alone. */
static size_t encode(enum needle_enc enc, const uint8_t *in, size_t len,
                     size_t before, uint8_t out[512])
{
    uint8_t padded[160] = { 0xa5, 0x5a };
    const char *digits =
        enc == NEEDLE_HEX ? "0123456789abcdef" : "0123456789ABCDEF";
    int n;

    if (enc == NEEDLE_RAW || enc == NEEDLE_REVERSED) {
        for (size_t i = 0; i < len; i++)
            out[i] = enc == NEEDLE_RAW ? in[i] : in[len - 1 - i];
        return len;
    }
    if (enc == NEEDLE_HEX || enc == NEEDLE_HEX_UPPER) {
        for (size_t i = 0; i < len; i++) {
            out[2 * i] = (uint8_t)digits[in[i] >> 4];
            out[2 * i + 1] = (uint8_t)digits[in[i] & 15];
        }
        return 2 * len;
    }
    memcpy(padded + before, in, len);
    memset(padded + before + len, 0xc3, 2);
    n = EVP_EncodeBlock(out, padded, (int)(before + len + 2));
    for (int i = 0; enc == NEEDLE_BASE64URL && i < n; i++)
        out[i] = out[i] == '+' ? '-' : out[i] == '/' ? '_' : out[i];
    return (size_t)n;
}

static void hay_fill(int octet)
{
    memset(hay, octet, sizeof(hay));
}

static struct needle_hits find(const struct needles *n)
{
    struct needle_hits hits = { 0 };

    assert_true(needles_find(n, hay, sizeof(hay), 0x10000, &hits));
    needle_hits_settle(&hits);
    return hits;
}

static void expect_one(const struct needles *n, size_t from, size_t len,
                       unsigned form)
{
    struct needle_hits hits = find(n);

    assert_int_equal(hits.n, 1);
    assert_int_equal(hits.hit[0].form, form);
    assert_int_equal(hits.hit[0].needle, 0);
    assert_true(hits.hit[0].at >= 0x10000 + from);
    assert_true(hits.hit[0].at + hits.hit[0].len <= 0x10000 + from + len);
    needle_hits_clear(&hits);
}

static void expect_none(const struct needles *n)
{
    struct needle_hits hits = find(n);

    assert_int_equal(hits.n, 0);
    needle_hits_clear(&hits);
}

/* ---- what is found ---- */

/* One encoding of a whole or half at each offset, in zeros and in text. */
static void plant(const char *hex, enum needle_enc enc, size_t before, int half,
                  int fill)
{
    struct needles *n = one(hex);
    uint8_t secret[64], text[512];
    const uint8_t *in = secret;
    size_t len = secret_part(hex, half, secret, &in);

    len = encode(enc, in, len, before, text);
    for (size_t at = 480; at < 560; at++) {
        hay_fill(fill);
        memcpy(hay + at, text, len);
        expect_one(n, at, len, FORM(enc, half));
    }
    for (size_t at = 0; at < 16; at++) {
        hay_fill(fill);
        memcpy(hay + at, text, len);
        expect_one(n, at, len, FORM(enc, half));
        hay_fill(fill);
        memcpy(hay + HAY - len - at, text, len);
        expect_one(n, HAY - len - at, len, FORM(enc, half));
    }
    needles_free(n);
}

/* Where the alphabets don't differ, there is no other encoding. */
static bool same_in_both(const char *hex, size_t before, int half)
{
    uint8_t secret[64], a[512], b[512];
    const uint8_t *in = secret;
    size_t len = secret_part(hex, half, secret, &in);

    encode(NEEDLE_BASE64, in, len, before, a);
    len = encode(NEEDLE_BASE64URL, in, len, before, b);
    /* The last group has what stands behind the secret. */
    return memcmp(a, b, len - 4) == 0;
}

static void encoding(enum needle_enc enc)
{
    const size_t alignments = enc < NEEDLE_BASE64URL ? 1 : 3;

    for (size_t i = 0; i < N_LENGTHS; i++) {
        const int parts = strlen(lengths[i]) >= 32 ? 3 : 1;

        for (size_t before = 0; before < alignments; before++) {
            for (int half = 0; half < parts; half++) {
                if (enc == NEEDLE_BASE64
                    && same_in_both(lengths[i], before, half))
                    continue;
                plant(lengths[i], enc, before, half, 0);
                plant(lengths[i], enc, before, half, 'A');
            }
        }
    }
}

static void test_raw(void **state)
{
    (void)state;
    encoding(NEEDLE_RAW);
}

static void test_reversed(void **state)
{
    (void)state;
    encoding(NEEDLE_REVERSED);
}

static void test_hex(void **state)
{
    (void)state;
    encoding(NEEDLE_HEX);
    encoding(NEEDLE_HEX_UPPER);
}

static void test_base64url(void **state)
{
    (void)state;
    encoding(NEEDLE_BASE64URL);
}

static void test_base64(void **state)
{
    (void)state;
    encoding(NEEDLE_BASE64);
}

/* As it stands, "abc..." has another text than with others before it. */
static void test_base64_by_hand(void **state)
{
    static const char *const texts[] = {
        "c2VjcmV0LTEyMzQ1",         /* secret-12345 */
        "eHNlY3JldC0xMjM0NXg",      /* xsecret-12345x */
        "eHhzZWNyZXQtMTIzNDV4eHg",  /* xxsecret-12345xxx */
        "eHh4c2VjcmV0LTEyMzQ1eHh4", /* xxxsecret-12345xxx */
    };
    struct needles *n = one("7365637265742d3132333435");

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        hay_fill('-');
        memcpy(hay + 100, texts[i], strlen(texts[i]));
        expect_one(n, 100, strlen(texts[i]), NEEDLE_BASE64URL);
    }
    needles_free(n);
}

/* Also where the shortest pattern has the search look at more positions. */
static void test_many_needles(void **state)
{
    struct needles *n;
    char text[20000] = "", line[128];
    uint8_t secret[64];
    struct needle_hits hits;

    (void)state;
    for (int i = 0; i < 200; i++) {
        snprintf(line, sizeof(line), "n%d %02x5b%04x9c%08x%02x17\n", i, i,
                 i * 77, (unsigned)i * 2654435761U, 255 - i);
        strcat(text, line);
    }
    n = parse(text);
    assert_int_equal(needles_count(n), 200);
    assert_string_equal(needles_name(n, 199), "n199");
    for (unsigned i = 0; i < 200; i++) {
        size_t len;

        snprintf(line, sizeof(line), "%02x5b%04x9c%08x%02x17", i, i * 77,
                 i * 2654435761U, 255 - i);
        len = octets(line, secret);
        hay_fill(0);
        memcpy(hay + 301 + i, secret, len);
        hits = find(n);
        assert_int_equal(hits.n, 1);
        assert_int_equal(hits.hit[0].needle, i);
        assert_int_equal(hits.hit[0].at, 0x10000 + 301 + i);
        needle_hits_clear(&hits);
    }
    needles_free(n);
}

/* A needle that begins with zeros, where zeros are skipped otherwise. */
static void test_zeros_in_a_needle(void **state)
{
    static const char *const some[] = {
        "00000000000000000000000000000000000000000000000000000000000000fb",
        "fbef000000000000000000000000000000000000000000000000000000000001",
        "fbefbeff00000000000000000000000000000000000000000000000001020304",
    };
    uint8_t secret[64];

    (void)state;
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        struct needles *n = one(some[i]);
        size_t len = octets(some[i], secret);

        hay_fill(0);
        expect_none(n);
        for (size_t at = 0; at + len <= HAY; at++) {
            hay_fill(0x11);
            memset(hay, 0, at);
            memcpy(hay + at, secret, len);
            expect_one(n, at, len, NEEDLE_RAW);
        }
        needles_free(n);
    }
}

/* ---- once ---- */

/* In parts that overlap as the contract says: found, and once. */
static void test_borders(void **state)
{
    struct needles *n = one(hex32);
    const size_t keep = needles_longest(n) - 1;
    uint8_t secret[64];
    size_t len = octets(hex32, secret);

    (void)state;
    assert_int_equal(keep, 63);
    for (size_t at = 700; at < 900; at++) {
        struct needle_hits hits = { 0 };

        hay_fill(0);
        memcpy(hay + at, secret, len);
        assert_true(needles_find(n, hay, 800, 0, &hits));
        assert_true(needles_find(n, hay + 800 - keep, 800, 800 - keep, &hits));
        needle_hits_settle(&hits);
        assert_int_equal(hits.n, 1);
        assert_int_equal(hits.hit[0].at, at);
        assert_int_equal(hits.hit[0].len, len);
        needle_hits_clear(&hits);
    }
    needles_free(n);
}

static void test_places(void **state)
{
    struct needles *n = one(hex32);
    struct needle_hits hits;
    uint8_t secret[64];

    (void)state;
    octets(hex32, secret);
    hay_fill(0);
    memcpy(hay + 64, secret, 32);       /* a whole */
    memcpy(hay + 96, secret, 32);       /* another right behind it */
    memcpy(hay + 200, secret, 16);      /* halves, the wrong way round */
    memcpy(hay + 184, secret + 16, 16); /* are two places */
    memcpy(hay + 300, hex32, 64);       /* hex */
    hits = find(n);
    assert_int_equal(hits.n, 5);
    assert_int_equal(hits.hit[0].at, 0x10000 + 64);
    assert_int_equal(hits.hit[1].at, 0x10000 + 96);
    assert_int_equal(hits.hit[2].at, 0x10000 + 184);
    assert_int_equal(hits.hit[2].form, FORM(NEEDLE_RAW, 1));
    assert_int_equal(hits.hit[3].at, 0x10000 + 200);
    assert_int_equal(hits.hit[4].form, NEEDLE_HEX);
    needle_hits_clear(&hits);
    needles_free(n);
}

/* Two names for one secret: both are told of. */
static void test_same_secret(void **state)
{
    struct needles *n = parse("a 0102030405060708\nb 0102030405060708\n");
    struct needle_hits hits;

    (void)state;
    hay_fill(0);
    octets("0102030405060708", hay + 50);
    hits = find(n);
    assert_int_equal(hits.n, 2);
    assert_int_equal(hits.hit[0].needle, 0);
    assert_int_equal(hits.hit[1].needle, 1);
    needle_hits_clear(&hits);
    needles_free(n);
}

/* The list of hits doesn't grow by what is seen again. */
static void test_again_and_again(void **state)
{
    struct needles *n = one(hex32);
    struct needle_hits hits = { 0 };

    (void)state;
    hay_fill(0);
    octets(hex32, hay + 50);
    for (int i = 0; i < 1000; i++)
        assert_true(needles_find(n, hay, sizeof(hay), 0, &hits));
    assert_true(hits.room <= 128);
    needle_hits_settle(&hits);
    assert_int_equal(hits.n, 1);
    needle_hits_clear(&hits);
    needles_free(n);
}

/* ---- what is not found ---- */

static void test_near_misses(void **state)
{
    struct needles *n = one(hex8);
    uint8_t secret[64], text[512];
    size_t len = octets(hex8, secret);

    (void)state;
    for (enum needle_enc enc = NEEDLE_RAW; enc < NEEDLE_BASE64URL; enc++) {
        size_t all = encode(enc, secret, len, 0, text);

        for (size_t i = 0; i < all; i++) {
            hay_fill(0);
            memcpy(hay + 77, text, all);
            hay[77 + i] ^= 0x80;
            expect_none(n);
        }
    }
    /* Mixed cases, and cut off at the end of what is searched. */
    hay_fill(0);
    memcpy(hay + 77, "fbefBEff3d8f01a7", 16);
    expect_none(n);
    hay_fill(0);
    memcpy(hay + HAY - 7, secret, 7);
    expect_none(n);
    hay_fill(0);
    memcpy(hay, secret + 1, 7);
    expect_none(n);
    needles_free(n);
}

/* Half of 14 octets is found by chance: only the whole is looked for. */
static void test_no_short_halves(void **state)
{
    struct needles *n = one("fbefbeff3d8f01a7c2d95e66fbff");

    (void)state;
    hay_fill(0);
    octets("fbefbeff3d8f01", hay + 40);
    octets("a7c2d95e66fbff", hay + 80);
    expect_none(n);
    needles_free(n);
}

static void test_short_texts(void **state)
{
    struct needles *n = one(hex8);
    struct needle_hits hits = { 0 };

    (void)state;
    octets(hex8, hay);
    for (size_t len = 0; len < 8; len++)
        assert_true(needles_find(n, hay, len, 0, &hits));
    assert_int_equal(hits.n, 0);
    assert_true(needles_find(n, hay, 8, 0, &hits));
    assert_int_equal(hits.n, 1);
    needle_hits_clear(&hits);
    needles_free(n);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_reversed),
        cmocka_unit_test(test_hex),
        cmocka_unit_test(test_base64url),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_base64_by_hand),
        cmocka_unit_test(test_many_needles),
        cmocka_unit_test(test_zeros_in_a_needle),
        cmocka_unit_test(test_borders),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_same_secret),
        cmocka_unit_test(test_again_and_again),
        cmocka_unit_test(test_near_misses),
        cmocka_unit_test(test_no_short_halves),
        cmocka_unit_test(test_short_texts),
    };

    return cmocka_run_group_tests_name("tools: needle", tests, NULL, NULL);
}
