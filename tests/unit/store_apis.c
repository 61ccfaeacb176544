/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's service APIs.
 */
#include "store_suite.h"

static enum ccf_store_status put_api(struct ccf_store *s, const char *ccf,
                                     const char *id, const char *apf,
                                     const char *text)
{
    json_t *doc = soft_json(text);
    enum ccf_store_status st = ccf_store_api_put(s, ccf, id, apf, doc);

    json_decref(doc);
    return st;
}

void store_api_is(struct ccf_store *s, const char *ccf, const char *id,
                  const char *text)
{
    json_t *doc = NULL, *want = text != NULL ? soft_json(text) : NULL;

    assert_int_equal(ccf_store_api_get(s, ccf, id, &doc),
                     text != NULL ? CCF_STORE_OK : CCF_STORE_NOT_FOUND);
    assert_true(text == NULL ? doc == NULL : json_equal(doc, want));
    json_decref(doc);
    json_decref(want);
}

static void list_is(struct ccf_store *s, const char *ccf, const char *apf,
                    const char *text)
{
    json_t *docs = NULL, *want = soft_json(text);

    assert_int_equal(ccf_store_api_list(s, ccf, apf, &docs), CCF_STORE_OK);
    if (!json_equal(docs, want)) {
        char *got = json_dumps(docs, 0);
        fail_msg("%s, not %s", got, text);
    }
    json_decref(docs);
    json_decref(want);
}

void test_apis(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;

    list_is(s, "p.a", NULL, "[]");
    assert_int_equal(put_api(s, "p.a", "p-2", "apf-1", "{'n':2}"),
                     CCF_STORE_OK);
    assert_int_equal(put_api(s, "p.a", "p-1", "apf-1", "{'n':1}"),
                     CCF_STORE_OK);
    assert_int_equal(put_api(s, "p.a", "p-3", "apf-2", "{'n':3}"),
                     CCF_STORE_OK);
    assert_int_equal(put_api(s, "p.b", "p-4", NULL, "{'n':4}"), CCF_STORE_OK);
    list_is(s, "p.a", NULL, "[{'n':1},{'n':2},{'n':3}]");
    list_is(s, "p.a", "apf-1", "[{'n':1},{'n':2}]");
    list_is(s, NULL, "apf-2", "[{'n':3}]");
    list_is(s, "p.b", NULL, "[{'n':4}]");
    list_is(s, "p.b", "apf-1", "[]");
    store_api_is(s, "p.a", "p-1", "{'n':1}");
    store_api_is(s, NULL, "p-4", "{'n':4}");
    store_api_is(s, "p.a", "p-4", NULL);
    store_api_is(s, NULL, "p-5", NULL);
    /* Again: another document, but whose it is stays. */
    assert_int_equal(put_api(s, "p.a", "p-1", "apf-2", "{'n':11}"),
                     CCF_STORE_OK);
    store_api_is(s, "p.a", "p-1", "{'n':11}");
    list_is(s, NULL, "apf-2", "[{'n':3}]");
}

void test_api_delete(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;

    assert_int_equal(put_api(s, "d.a", "d-1", "d-apf", "{}"), CCF_STORE_OK);
    assert_int_equal(put_api(s, "d.b", "d-1", NULL, "{}"), CCF_STORE_OK);
    assert_int_equal(ccf_store_api_delete(s, "d.a", "d-1", "d-apf2"),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_api_delete(s, "d.a", "d-2", "d-apf"),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_api_delete(s, "d.b", "d-1", "d-apf"),
                     CCF_STORE_NOT_FOUND);
    list_is(s, "d.a", NULL, "[{}]");
    assert_int_equal(ccf_store_api_delete(s, "d.a", "d-1", "d-apf"),
                     CCF_STORE_OK);
    list_is(s, "d.a", NULL, "[]");
    list_is(s, "d.b", NULL, "[{}]");
    assert_int_equal(ccf_store_api_delete(s, "d.a", "d-1", "d-apf"),
                     CCF_STORE_NOT_FOUND);
}

static enum ccf_store_status replace(struct ccf_store *s, const char *ccf,
                                     const char *text)
{
    json_t *docs = soft_json(text);
    enum ccf_store_status st = ccf_store_api_replace(s, ccf, docs);

    json_decref(docs);
    return st;
}

void test_api_replace(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;

    assert_int_equal(put_api(s, "r.a", "r-1", "r-apf", "{'own':1}"),
                     CCF_STORE_OK);
    assert_int_equal(replace(s, "r.b", "[{'apiId':'r-1'},{'apiId':'r-2'}]"),
                     CCF_STORE_OK);
    assert_int_equal(replace(s, "r.b",
                             "[{'apiId':'r-2','n':1},"
                             " {'apiId':'r-3'}]"),
                     CCF_STORE_OK);
    list_is(s, "r.b", NULL, "[{'apiId':'r-2','n':1},{'apiId':'r-3'}]");
    list_is(s, "r.a", NULL, "[{'own':1}]");
    /* One that can't be kept: all stays as it was. */
    assert_int_not_equal(replace(s, "r.b", "[{'apiId':'r-9'},{'x':1}]"),
                         CCF_STORE_OK);
    list_is(s, "r.b", NULL, "[{'apiId':'r-2','n':1},{'apiId':'r-3'}]");
    assert_int_equal(replace(s, "r.b", "[]"), CCF_STORE_OK);
    list_is(s, "r.b", NULL, "[]");
    list_is(s, "r.a", NULL, "[{'own':1}]");
}
