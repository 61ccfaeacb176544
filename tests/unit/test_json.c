/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The readers: every complaint with its exact pointer and reason, and an
 * empty value in its place; and problem details.
 */
#include "soft.h"

#include "json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the readers read, one struct a test. */
struct doc {
    struct capif_reader reader;
    struct capif_at root;
};

static void doc_open(struct doc *d, const char *text)
{
    memset(&d->reader, 0, sizeof(d->reader));
    d->root = capif_at_root(soft_json(text), &d->reader);
}

static void doc_close(struct doc *d)
{
    json_decref(d->root.v);
}

/* The only complaint, which is forgotten then. */
static void complained(struct doc *d, const char *param, const char *reason)
{
    if (d->reader.n != 1)
        fail_msg("%zu complaints, want one: %s %s", d->reader.n, param, reason);
    assert_string_equal(d->reader.list[0].param, param);
    assert_string_equal(d->reader.list[0].reason, reason);
    memset(&d->reader, 0, sizeof(d->reader));
}

static void test_strings(void **state)
{
    struct doc d;

    (void)state;
    doc_open(&d, "{'s':'abcd','n':1,'e':'','o':{},'z':null,"
                 " 'u':'\xc3\xa9\xc3\xa9'}");
    assert_string_equal(capif_get_str(&d.root, "s", true, 4), "abcd");
    assert_null(capif_get_str(&d.root, "none", false, 4));
    assert_int_equal(d.reader.n, 0);
    assert_null(capif_get_str(&d.root, "none", true, 4));
    complained(&d, "/none", "missing");
    assert_null(capif_get_str(&d.root, "s", true, 3));
    complained(&d, "/s", "must have 1 to 3 octets");
    assert_null(capif_get_str(&d.root, "s", false, 3));
    complained(&d, "/s", "must have 1 to 3 octets");
    assert_null(capif_get_str(&d.root, "e", false, 3));
    complained(&d, "/e", "must have 1 to 3 octets");
    assert_null(capif_get_str(&d.root, "n", false, 3));
    complained(&d, "/n", "must be a string");
    assert_null(capif_get_str(&d.root, "o", true, 3));
    complained(&d, "/o", "must be a string");
    assert_null(capif_get_str(&d.root, "z", false, 3));
    complained(&d, "/z", "must be a string");
    assert_non_null(capif_get_str(&d.root, "u", true, 4)); /* octets */
    assert_null(capif_get_str(&d.root, "u", true, 3));
    complained(&d, "/u", "must have 1 to 3 octets");
    doc_close(&d);
}

/* The parser refuses \u0000, so only a made document has one. */
static void test_nul(void **state)
{
    static const char raw[] = "{\"s\":\"a\0b\"}";
    struct capif_reader r = { 0 };
    struct doc d;

    (void)state;
    doc_open(&d, "{}");
    json_object_set_new(d.root.v, "s", json_stringn("a\0b", 3));
    json_object_set_new(d.root.v, "t", json_stringn("\0", 1));
    assert_null(capif_get_str(&d.root, "s", true, 3));
    complained(&d, "/s", "must not hold NUL");
    assert_null(capif_get_str(&d.root, "t", true, 3));
    complained(&d, "/t", "must not hold NUL");
    doc_close(&d);
    assert_null(capif_json_parse("{\"s\":\"a\\u0000b\"}", 16, &r));
    assert_null(capif_json_parse("{\"s\\u0000\":1}", 13, &r));
    assert_null(capif_json_parse(raw, sizeof(raw) - 1, &r));
    assert_int_equal(r.n, 3);
}

static void test_booleans(void **state)
{
    struct doc d;

    (void)state;
    doc_open(&d, "{'t':true,'f':false,'n':0,'s':'true'}");
    assert_true(capif_get_bool(&d.root, "t", false));
    assert_false(capif_get_bool(&d.root, "f", true));
    assert_true(capif_get_bool(&d.root, "none", true));
    assert_false(capif_get_bool(&d.root, "none", false));
    assert_int_equal(d.reader.n, 0);
    assert_false(capif_get_bool(&d.root, "n", false));
    complained(&d, "/n", "must be true or false");
    assert_false(capif_get_bool(&d.root, "s", false));
    complained(&d, "/s", "must be true or false");
    doc_close(&d);
}

static void test_integers(void **state)
{
    static const char why[] = "must be an integer from -2 to 9";
    static const char *const bad[] = { "over", "under", "real",
                                       "text", "large", "null" };
    struct doc d;
    char param[16];

    (void)state;
    doc_open(&d, "{'min':-2,'max':9,'over':10,'under':-3,'real':1.0,"
                 " 'text':'1','large':9223372036854775807,'null':null}");
    assert_int_equal(capif_get_int(&d.root, "min", -2, 9, 5), -2);
    assert_int_equal(capif_get_int(&d.root, "max", -2, 9, 5), 9);
    assert_int_equal(capif_get_int(&d.root, "none", -2, 9, 77), 77);
    assert_int_equal(d.reader.n, 0);
    for (size_t i = 0; i < N_OF(bad); i++) {
        assert_int_equal(capif_get_int(&d.root, bad[i], -2, 9, 5), 5);
        snprintf(param, sizeof(param), "/%s", bad[i]);
        complained(&d, param, why);
    }
    doc_close(&d);
}

static void test_objects(void **state)
{
    struct doc d;
    struct capif_at at;

    (void)state;
    doc_open(&d, "{'o':{'p':{'s':1}},'a':[]}");
    at = capif_get_object(&d.root, "o", true);
    assert_non_null(at.v);
    at = capif_get_object(&at, "p", true);
    assert_null(capif_get_str(&at, "s", true, 9));
    complained(&d, "/o/p/s", "must be a string");
    at = capif_get_object(&d.root, "none", false);
    assert_null(at.v);
    assert_int_equal(d.reader.n, 0);
    /* What is not there is complained about once, not for all below it. */
    at = capif_get_object(&d.root, "none", true);
    assert_null(at.v);
    assert_null(capif_get_str(&at, "s", true, 9));
    at = capif_get_object(&at, "p", true);
    assert_null(capif_get_array(&at, "q", true, 1, 2).v);
    complained(&d, "/none", "missing");
    at = capif_get_object(&d.root, "a", false);
    assert_null(at.v);
    complained(&d, "/a", "must be an object");
    doc_close(&d);
}

static void test_arrays(void **state)
{
    struct doc d;
    struct capif_at at;

    (void)state;
    doc_open(&d, "{'a':[1,2,3],'o':{},'e':[]}");
    assert_non_null(capif_get_array(&d.root, "a", true, 3, 3).v);
    assert_non_null(capif_get_array(&d.root, "e", true, 0, 3).v);
    assert_null(capif_get_array(&d.root, "none", false, 1, 3).v);
    assert_int_equal(d.reader.n, 0);
    assert_null(capif_get_array(&d.root, "none", true, 1, 3).v);
    complained(&d, "/none", "missing");
    assert_null(capif_get_array(&d.root, "a", true, 1, 2).v);
    complained(&d, "/a", "must have 1 to 2 items");
    assert_null(capif_get_array(&d.root, "a", false, 4, 5).v);
    complained(&d, "/a", "must have 4 to 5 items");
    assert_null(capif_get_array(&d.root, "e", false, 1, 5).v);
    complained(&d, "/e", "must have 1 to 5 items");
    at = capif_get_array(&d.root, "o", true, 0, 5);
    assert_null(at.v);
    complained(&d, "/o", "must be an array");
    assert_null(capif_at_item(&at, 0).v);
    assert_null(capif_item_str(&at, 0, 5));
    assert_int_equal(d.reader.n, 0);
    doc_close(&d);
}

static void test_items(void **state)
{
    struct doc d;
    struct capif_at a, item;

    (void)state;
    doc_open(&d, "{'a':[{'s':'x'},'abc',1,{'s':2}]}");
    a = capif_get_array(&d.root, "a", true, 1, 9);
    item = capif_at_item(&a, 0);
    assert_string_equal(capif_get_str(&item, "s", true, 1), "x");
    assert_string_equal(capif_item_str(&a, 1, 3), "abc");
    assert_null(capif_at_item(&a, 4).v);
    assert_null(capif_item_str(&a, 4, 3));
    assert_int_equal(d.reader.n, 0);
    assert_null(capif_at_item(&a, 1).v);
    complained(&d, "/a/1", "must be an object");
    assert_null(capif_item_str(&a, 1, 2));
    complained(&d, "/a/1", "must have 1 to 2 octets");
    assert_null(capif_item_str(&a, 2, 2));
    complained(&d, "/a/2", "must be a string");
    item = capif_at_item(&a, 3);
    assert_null(capif_get_str(&item, "s", true, 9));
    complained(&d, "/a/3/s", "must be a string");
    assert_null(capif_get_str(&item, "t", true, 9));
    complained(&d, "/a/3/t", "missing");
    doc_close(&d);
}

static void test_many_complaints(void **state)
{
    char name[16], param[24];
    struct doc d;
    json_t *p;

    (void)state;
    doc_open(&d, "{}");
    for (int i = 0; i < 2 * CAPIF_INVALID_MAX; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        assert_null(capif_get_str(&d.root, name, true, 9));
    }
    assert_int_equal(d.reader.n, 2 * CAPIF_INVALID_MAX);
    for (int i = 0; i < CAPIF_INVALID_MAX; i++) {
        snprintf(param, sizeof(param), "/n%d", i);
        assert_string_equal(d.reader.list[i].param, param);
    }
    p = capif_problem(400, NULL, NULL, &d.reader);
    assert_int_equal(json_array_size(json_object_get(p, "invalidParams")),
                     CAPIF_INVALID_MAX);
    json_decref(p);
    doc_close(&d);
}

/* Too long a path is cut, and says so, and its end stays inside. */
static void test_long_path(void **state)
{
    char name[200], reason[300];
    struct doc d;
    struct capif_at at;

    (void)state;
    for (size_t len = 120; len < sizeof(name); len++) {
        memset(name, 'x', len);
        name[len] = '\0';
        doc_open(&d, "{}");
        json_object_set_new(d.root.v, name, json_object());
        at = capif_get_object(&d.root, name, true);
        assert_null(capif_get_str(&at, "abc", true, 9));
        assert_int_equal(d.reader.n, 1);
        assert_int_equal(strlen(d.reader.list[0].param),
                         len + 5 <= 127 ? len + 5 : 127);
        if (len + 5 > 127)
            assert_string_equal(d.reader.list[0].param + 124, "...");
        doc_close(&d);
    }
    doc_open(&d, "{}");
    memset(reason, 'y', sizeof(reason) - 1);
    reason[sizeof(reason) - 1] = '\0';
    capif_complain(&d.root, reason);
    assert_int_equal(strlen(d.reader.list[0].reason), 95);
    doc_close(&d);
}

static void nest(char *out, int depth, const char *open, const char *close)
{
    strcpy(out, "{\"a\":");
    for (int i = 1; i < depth; i++)
        strcat(out, open);
    strcat(out, "1");
    for (int i = 1; i < depth; i++)
        strcat(out, close);
    strcat(out, "}");
}

static void test_depth(void **state)
{
    static const char *const kinds[][2] = { { "[", "]" }, { "{\"b\":", "}" } };
    char text[256];

    (void)state;
    for (size_t i = 0; i < N_OF(kinds); i++)
        for (int depth = CAPIF_JSON_DEPTH; depth <= CAPIF_JSON_DEPTH + 1;
             depth++) {
            struct capif_reader r = { 0 };
            json_t *doc;

            nest(text, depth, kinds[i][0], kinds[i][1]);
            doc = capif_json_parse(text, strlen(text), &r);
            assert_int_equal(doc != NULL, depth == CAPIF_JSON_DEPTH);
            assert_int_equal(r.n, depth == CAPIF_JSON_DEPTH ? 0 : 1);
            if (doc == NULL) {
                assert_string_equal(r.list[0].param, "/");
                assert_string_equal(r.list[0].reason, "nested too deeply");
            }
            json_decref(doc);
        }
}

/* Brackets count where they are none of a string's. */
static void test_depth_strings(void **state)
{
    static const char *const fine[] = {
        "{\"a\":\"[[[[[[[[[[[[[[[[[[[[\"}",
        "{\"a\":\"\\\"[[[[[[[[[[[[[[[[\"}",
        "{\"a\":\"\\\\\",\"b\":\"[[[[[[[[[[[[[[[[\"}",
        "{\"[[[[[[[[[[[[[[[[[[[[[\":[[],[],[],[],[],[],[],[],[],[],[],[],[]]}",
    };
    static const char deep[] =
        "{\"a\":\"\\\\\",\"b\":[[[[[[[[[[[[]]]]]]]]]]]]}";
    struct capif_reader r = { 0 };

    (void)state;
    for (size_t i = 0; i < N_OF(fine); i++) {
        json_t *doc = capif_json_parse(fine[i], strlen(fine[i]), &r);

        assert_non_null(doc);
        json_decref(doc);
    }
    assert_int_equal(r.n, 0);
    assert_null(capif_json_parse(deep, strlen(deep), &r));
    assert_string_equal(r.list[0].reason, "nested too deeply");
}

static void test_documents(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        { "", "not JSON: line 1, column 0" },
        { "x", "not JSON: line 1, column 1" },
        { "{", "not JSON: line 1, column 1" },
        { "{}\n}", "not JSON: line 2, column 1" },
        { "{} {}", "not JSON: line 1, column 4" },
        { "{'a':1,}", "not JSON: line 1, column 8" },
        { "{\"a\":1,\"a\":2}", "not JSON: line 1, column 10" },
        { "{\"b\":{\"a\":1,\"a\":1}}", "not JSON: line 1, column 15" },
        { "{\"a\":\"\xff\"}", "not JSON: line 1, column 6" },
        { "{\"a\":1e999}", "not JSON: line 1, column 10" },
        { "{\"a\":9223372036854775808}", "not JSON: line 1, column 24" },
        { "[]", "must be an object" },
        { "[{}]", "must be an object" },
    };
    struct capif_reader ok = { 0 };
    json_t *doc;

    (void)state;
    for (size_t i = 0; i < N_OF(bad); i++) {
        struct capif_reader r = { 0 };

        assert_null(capif_json_parse(bad[i].text, strlen(bad[i].text), &r));
        assert_int_equal(r.n, 1);
        assert_string_equal(r.list[0].param, "/");
        if (strncmp(r.list[0].reason, bad[i].why, 11) != 0)
            fail_msg("%s: %s", bad[i].text, r.list[0].reason);
        if (bad[i].text[0] != '\0' && strchr(bad[i].text, '\'') == NULL)
            assert_string_equal(r.list[0].reason, bad[i].why);
    }
    doc = capif_json_parse(" {\"a\":{}} x", 9, &ok); /* len counts, not NUL */
    assert_non_null(doc);
    assert_int_equal(ok.n, 0);
    json_decref(doc);
}

static void problem_is(json_t *p, const char *want)
{
    json_t *w = soft_json(want);
    char *text = json_dumps(p, 0);

    if (!json_equal(p, w))
        fail_msg("%s, not %s", text, want);
    free(text);
    json_decref(w);
    json_decref(p);
}

static void test_problem(void **state)
{
    struct capif_reader r = { 0 };
    struct capif_at at = { NULL, "/a/0", &r };

    (void)state;
    problem_is(capif_problem(404, NULL, NULL, NULL),
               "{'title':'Not Found','status':404}");
    problem_is(capif_problem(403, "WRONG", "it's \"so\"", &r),
               "{'title':'Forbidden','status':403,'cause':'WRONG',"
               " 'detail':'it\\u0027s \\u0022so\\u0022'}");
    problem_is(capif_problem(599, NULL, NULL, NULL),
               "{'title':'Internal Server Error','status':599}");
    problem_is(capif_problem(418, NULL, NULL, NULL),
               "{'title':'Error','status':418}");
    capif_complain(&at, "bad");
    at.path[0] = '\0';
    capif_complain(&at, "worse");
    problem_is(capif_problem(400, NULL, "x", &r),
               "{'title':'Bad Request','status':400,'detail':'x',"
               " 'invalidParams':[{'param':'/a/0','reason':'bad'},"
               "                  {'param':'/','reason':'worse'}]}");
}

/* Cut, but never away altogether, even inside a character. */
static void test_long_detail(void **state)
{
    char detail[1024];

    (void)state;
    for (size_t lead = 0; lead < 3; lead++) {
        json_t *p, *d;

        memset(detail, 'x', lead);
        detail[lead] = '\0';
        while (strlen(detail) < 600)
            strcat(detail, "\xe2\x82\xac"); /* U+20AC */
        p = capif_problem(400, NULL, detail, NULL);
        d = json_object_get(p, "detail");
        assert_non_null(d);
        assert_in_range(json_string_length(d), 509, 512);
        assert_memory_equal(json_string_value(d), detail,
                            json_string_length(d));
        json_decref(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_booleans),
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_arrays),
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_many_complaints),
        cmocka_unit_test(test_long_path),
        cmocka_unit_test(test_depth),
        cmocka_unit_test(test_depth_strings),
        cmocka_unit_test(test_documents),
        cmocka_unit_test(test_problem),
        cmocka_unit_test(test_long_detail),
    };

    return cmocka_run_group_tests_name("capif: json", tests, NULL, NULL);
}
