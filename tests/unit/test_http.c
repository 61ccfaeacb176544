/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests as they come: what is taken, and what is refused because others
 * could read it in another way.
 */
#include "soft.h"

#include "http.h"

#include <stdlib.h>
#include <string.h>

#define H "Host: a\r\n"

static int parse(struct capif_head *head, const char *text, size_t len)
{
    char *copy = malloc(len + 1);

    assert_non_null(copy);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return capif_head_parse(head, copy, len);
}

static void test_good_heads(void **state)
{
    static const struct {
        const char *text, *method, *target;
        bool close, chunked, expects;
        int64_t length;
    } v[] = {
        { "GET / HTTP/1.1\r\n" H, "GET", "/", false, false, false, 0 },
        { "OPTIONS * HTTP/1.1\r\n" H, "OPTIONS", "*", false, false, false, 0 },
        { "P~+1 /a?b=c%20d HTTP/1.1\r\nhost:a\r\n", "P~+1", "/a?b=c%20d", false,
          false, false, 0 },
        { "GET / HTTP/1.0\r\n", "GET", "/", true, false, false, 0 },
        { "GET / HTTP/1.1\r\n" H "Connection: x, Close\r\n", "GET", "/", true,
          false, false, 0 },
        { "GET / HTTP/1.1\r\n" H "Connection: closed\r\n", "GET", "/", false,
          false, false, 0 },
        { "PUT / HTTP/1.1\r\n" H "Content-Length:  17 \r\n", "PUT", "/", false,
          false, false, 17 },
        { "PUT / HTTP/1.1\r\n" H "content-length: 999999999999999999\r\n",
          "PUT", "/", false, false, false, 999999999999999999 },
        { "PUT / HTTP/1.1\r\n" H "Transfer-Encoding:\tChunked\r\n", "PUT", "/",
          false, true, false, 0 },
        { "PUT / HTTP/1.1\r\n" H
          "Content-Length: 1\r\nExpect: 100-Continue\r\n",
          "PUT", "/", false, false, true, 1 },
        { "GET / HTTP/1.1\r\n" H "X:\r\nY: \x80\xff\t z\r\n", "GET", "/", false,
          false, false, 0 },
    };
    struct capif_head head;
    char text[256];

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        snprintf(text, sizeof(text), "%s\r\n", v[i].text);
        if (parse(&head, text, strlen(text)) != 0)
            fail_msg("%s", v[i].text);
        assert_string_equal(head.method, v[i].method);
        assert_string_equal(head.target, v[i].target);
        assert_int_equal(head.close, v[i].close);
        assert_int_equal(head.chunked, v[i].chunked);
        assert_int_equal(head.expects, v[i].expects);
        assert_int_equal(head.length, v[i].length);
        capif_head_clear(&head);
    }
}

static void test_bad_heads(void **state)
{
    static const struct {
        const char *text;
        int status;
    } v[] = {
        { "\r\n", 400 },
        { "GET /\r\n" H, 400 },
        { "GET  / HTTP/1.1\r\n" H, 400 },
        { "GET / HTTP/1.1 \r\n" H, 400 },
        { "GET\t/ HTTP/1.1\r\n" H, 400 },
        { "GET x HTTP/1.1\r\n" H, 400 },
        { "GET https://a/ HTTP/1.1\r\n" H, 400 },
        { "GET /#x HTTP/1.1\r\n" H, 400 },
        { "GET /\x80 HTTP/1.1\r\n" H, 400 },
        { "GE(T / HTTP/1.1\r\n" H, 400 },
        { "GET / HTTP/2.0\r\n" H, 505 },
        { "GET / HTTP/1.x\r\n" H, 400 },
        { "GET / http/1.1\r\n" H, 400 },
        { "GET / HTTP/1.1\n" H, 400 },
        { "GET / HTTP/1.1\r\nHost: a\n\r\n", 400 },
        { "GET / HTTP/1.1\r\nHost: a\rb\r\n", 400 },
        { "GET / HTTP/1.1\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H H, 400 },
        { "GET / HTTP/1.1\r\n" H " folded\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H "X : y\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H "X\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H ": y\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H "X: a\x01\r\n", 400 },
        { "GET / HTTP/1.1\r\n" H "X: a\x7f\r\n", 400 },
        { "PUT / HTTP/1.1\r\n" H "Content-Length: \r\n", 400 },
        { "PUT / HTTP/1.1\r\n" H "Content-Length: +1\r\n", 400 },
        { "PUT / HTTP/1.1\r\n" H "Content-Length: -1\r\n", 400 },
        { "PUT / HTTP/1.1\r\n" H "Content-Length: 1,1\r\n", 400 },
        { "PUT / HTTP/1.1\r\n" H "Content-Length: 0x1\r\n", 400 },
        { "PUT / HTTP/1.1\r\n" H "Content-Length: 1000000000000000000\r\n",
          400 },
        { "PUT / HTTP/1.1\r\n" H "Content-Length: 1\r\nContent-Length: 1\r\n",
          400 },
        { "PUT / HTTP/1.1\r\n" H
          "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
          400 },
        { "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: gzip, chunked\r\n", 501 },
        { "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: identity\r\n", 501 },
        { "PUT / HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n"
          "Transfer-Encoding: chunked\r\n",
          400 },
        { "PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n", 400 },
        { "PUT / HTTP/1.1\r\n" H "Expect: x\r\n", 417 },
    };
    static const char nul[] = "GET / HTTP/1.1\r\n" H "X: \0\r\n\r\n";
    struct capif_head head;
    char text[256];
    int status;

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        snprintf(text, sizeof(text), "%s\r\n", v[i].text);
        status = parse(&head, text, strlen(text));
        capif_head_clear(&head);
        if (status != v[i].status)
            fail_msg("%s: %d", v[i].text, status);
    }
    assert_int_equal(parse(&head, nul, sizeof(nul) - 1), 400);
    capif_head_clear(&head);
}

static void test_fields(void **state)
{
    char text[CAPIF_FIELDS_MAX * 8 + 64] = "GET / HTTP/1.1\r\n" H;
    struct capif_head head;

    (void)state;
    for (int i = 1; i < CAPIF_FIELDS_MAX; i++)
        strcat(text, i == 5 ? "X:1\r\n" : "y: z\r\n");
    strcat(text, "\r\n");
    assert_int_equal(parse(&head, text, strlen(text)), 0);
    assert_int_equal(head.n_fields, CAPIF_FIELDS_MAX);
    assert_string_equal(capif_head_field(&head, "x"), "1");
    assert_string_equal(capif_head_field(&head, "Y"), "z");
    assert_null(capif_head_field(&head, "xy"));
    capif_head_clear(&head);
    strcpy(text + strlen(text) - 2, "z:\r\n\r\n");
    assert_int_equal(parse(&head, text, strlen(text)), 431);
    capif_head_clear(&head);
}

/* Fed in pieces of that size; false: malformed. */
static bool chunks(const char *text, size_t piece, char *out, bool *last)
{
    struct evbuffer *in = evbuffer_new(), *body = evbuffer_new();
    struct capif_chunks c = { 0 };
    size_t len = strlen(text);
    bool ok = true;

    for (size_t i = 0; ok && i < len; i += piece) {
        evbuffer_add(in, text + i, len - i < piece ? len - i : piece);
        while (ok && c.at != CAPIF_CHUNK_LAST) { /* as there is room */
            const size_t before = evbuffer_get_length(body);

            ok = capif_chunks_read(&c, in, body, 3);
            if (evbuffer_get_length(body) == before)
                break;
        }
    }
    out[evbuffer_remove(body, out, 63)] = '\0';
    *last = c.at == CAPIF_CHUNK_LAST;
    if (ok && *last)
        strncat(out, "|", 2);
    evbuffer_free(in);
    evbuffer_free(body);
    return ok;
}

static void test_chunks(void **state)
{
    static const struct {
        const char *text, *body; /* NULL: malformed */
        bool last;
    } v[] = {
        { "0\r\n\r\n", "|", true },
        { "5\r\nhello\r\n0\r\n\r\n", "hello|", true },
        { "3\r\nhel\r\n00A\r\nlo \r\n0\r\n\r\n\r\n0\r\n\r\n",
          "hello \r\n0\r\n\r\n|", true },
        { "1\r\nx\r\n0\r\nT: u\r\nV:\r\n\r\n", "x|", true },
        { "5\r\nhel", "hel", false },
        { "5\r\nhello\r\n0\r\nT: u\r\n", "hello", false },
        { "\r\n", NULL, false },
        { "5\nhello\r\n", NULL, false },
        { "5\r\nhello0\r\n\r\n", NULL, false },
        { "5;x=y\r\nhello\r\n0\r\n\r\n", NULL, false },
        { " 5\r\nhello\r\n", NULL, false },
        { "-5\r\nhello\r\n", NULL, false },
        { "0x5\r\nhello\r\n", NULL, false },
        { "1000000000000000\r\n", NULL, false },
        { "11111111111111111111", NULL, false },
        { "0\r\nT u\r\n\r\n", NULL, false },
        { "0\r\n: u\r\n\r\n", NULL, false },
        { "0\r\nT: u\n\r\n", NULL, false },
    };
    char out[72];
    bool last;

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++)
        for (size_t piece = 1; piece < 40; piece++) {
            bool ok = chunks(v[i].text, piece, out, &last);

            if (ok != (v[i].body != NULL)
                || (ok && (strcmp(out, v[i].body) != 0 || last != v[i].last)))
                fail_msg("%s by %zu: %s", v[i].text, piece, out);
        }
}

static void test_trailer_without_end(void **state)
{
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
    struct capif_chunks c = { 0 };
    int lines = 0;

    (void)state;
    evbuffer_add(in, "0\r\n", 3);
    while (lines < 2000 && capif_chunks_read(&c, in, out, 10)) {
        evbuffer_add(in, "Name: value\r\n", 13);
        lines++;
    }
    assert_in_range(lines, 600, 700); /* 8 KiB */
    evbuffer_free(in);
    evbuffer_free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good_heads),
        cmocka_unit_test(test_bad_heads),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_trailer_without_end),
    };

    return cmocka_run_group_tests_name("capif: http", tests, NULL, NULL);
}
