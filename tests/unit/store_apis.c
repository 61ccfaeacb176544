/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store's service APIs.
 */
#include "store_suite.h"

#include "db.h"

#include <stdio.h>
#include <string.h>

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

/* ---- one by one ---- */

struct given {
    char last[80];     /* ccfId and apiId */
    char group_id[64]; /* of the last */
    size_t n, stop;    /* stop: no more than these */
};

static bool count(const struct ccf_api_row *row, void *arg)
{
    struct given *g = arg;
    char now[80];

    snprintf(now, sizeof(now), "%s %s", row->ccf_id, row->api_id);
    assert_true(strcmp(now, g->last) > 0); /* in order, so none twice */
    assert_true(json_is_object(row->doc));
    strcpy(g->last, now);
    snprintf(g->group_id, sizeof(g->group_id), "%s",
             row->group_id != NULL ? row->group_id : "");
    return ++g->n != g->stop;
}

static size_t each(struct ccf_store *s, const char *ccf, const char *name)
{
    struct given g = { .stop = 0 };

    assert_int_equal(ccf_store_api_each(s, ccf, name, count, &g), CCF_STORE_OK);
    return g.n;
}

/* More than a page, exactly one, and none; of one owner, and of any. */
void test_api_each(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct given g = { .stop = 150 };
    size_t others = each(s, NULL, NULL);
    char id[16], text[64];

    for (int i = 0; i < 300; i++) {
        snprintf(id, sizeof(id), "i-%03d", i);
        snprintf(text, sizeof(text), "{'apiName':'each-%d'}", i % 3);
        assert_int_equal(put_api(s, i < 200 ? "i.a" : "i.b", id, "i-apf", text),
                         CCF_STORE_OK);
    }
    assert_int_equal(each(s, NULL, NULL), others + 300);
    assert_int_equal(each(s, "i.a", NULL), 200);
    assert_int_equal(each(s, "i.b", NULL), 100);
    assert_int_equal(each(s, "i.c", NULL), 0);
    assert_int_equal(each(s, NULL, "each-0"), 100);
    assert_int_equal(each(s, "i.a", "each-0"), 67);
    assert_int_equal(each(s, "i.b", "each-2"), 34);
    assert_int_equal(each(s, NULL, "each-9"), 0);
    assert_int_equal(each(s, NULL, "\xff"), 0);
    assert_int_equal(ccf_store_api_each(s, "i.a", NULL, count, &g),
                     CCF_STORE_OK);
    assert_int_equal(g.n, 150);
    assert_string_equal(g.last, "i.a i-149");
}

static void group_is(struct ccf_store *s, const char *name, const char *group)
{
    struct given g = { .stop = 0 };

    assert_int_equal(ccf_store_api_each(s, NULL, name, count, &g),
                     CCF_STORE_OK);
    assert_int_equal(g.n, group != NULL ? 1 : 0);
    assert_string_equal(g.group_id, group != NULL ? group : "");
}

/* What it is found by is kept with the document, however that is changed. */
void test_api_names(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct ccf_member m[2] = { store_member(CAPIF_APF, "nm-apf"),
                               store_member(CAPIF_AEF, "nm-aef") };
    json_t *a = soft_json("{'apiId':'nm-1','apiName':'nm-a',"
                          "'aefProfiles':[{'aefId':'nm-aef'}]}");
    json_t *b = soft_json("{'apiId':'nm-1','apiName':'nm-b',"
                          "'aefProfiles':[{'aefId':'nm-aef'}]}");

    assert_int_equal(store_enrol(s, "nm-1", LATER, "nm-g", m, 2), CCF_STORE_OK);
    strcpy(m[0].group_id, "nm-g");
    assert_int_equal(ccf_store_api_set(s, &m[0], "nm-1", NULL, a),
                     CCF_STORE_OK);
    group_is(s, "nm-a", "nm-g");
    assert_int_equal(ccf_store_api_set(s, &m[0], "nm-1", a, b), CCF_STORE_OK);
    group_is(s, "nm-a", NULL);
    group_is(s, "nm-b", "nm-g");
    assert_int_equal(put_api(s, CCF, "nm-2", "nm-apf", "{'apiName':'nm-c'}"),
                     CCF_STORE_OK);
    group_is(s, "nm-c", "nm-g");
    assert_int_equal(put_api(s, OTHER, "nm-3", NULL, "{'apiName':'nm-d'}"),
                     CCF_STORE_OK);
    group_is(s, "nm-d", "");
    assert_int_equal(put_api(s, OTHER, "nm-3", NULL, "{'apiName':'nm-e'}"),
                     CCF_STORE_OK);
    group_is(s, "nm-d", NULL);
    group_is(s, "nm-e", "");
    json_decref(a);
    json_decref(b);
}

/* As the first release left it: what is in it is found by name, too. */
void test_api_migration(void **state)
{
    static const char *const before[] = {
        "CREATE TABLE enrolment (jti TEXT PRIMARY KEY, exp BIGINT NOT NULL)",
        "CREATE TABLE grp (id TEXT PRIMARY KEY, doc TEXT NOT NULL)",
        "CREATE TABLE member (ccf_id TEXT NOT NULL, role TEXT NOT NULL,"
        " id TEXT NOT NULL, group_id TEXT NOT NULL REFERENCES grp(id),"
        " thumbprint TEXT NOT NULL, PRIMARY KEY (ccf_id, role, id))",
        "CREATE TABLE api (ccf_id TEXT NOT NULL, api_id TEXT NOT NULL,"
        " apf_id TEXT, doc TEXT NOT NULL, PRIMARY KEY (ccf_id, api_id))",
        "CREATE TABLE context (ccf_id TEXT NOT NULL, invoker_id TEXT NOT NULL,"
        " expires BIGINT NOT NULL, doc TEXT NOT NULL,"
        " PRIMARY KEY (ccf_id, invoker_id))",
        "CREATE TABLE psk (psk_id TEXT PRIMARY KEY,"
        " expires BIGINT NOT NULL, doc TEXT NOT NULL)",
        "CREATE TABLE schema_version (v BIGINT)",
        "INSERT INTO schema_version VALUES (3)",
        "INSERT INTO grp VALUES ('g-1', '{}')",
        "INSERT INTO member VALUES ('o.a', 'apf', 'apf-1', 'g-1', 't')",
    };
    const char *where = store_fresh();
    struct capif_db *db = capif_db_open(where);
    struct ccf_store *s;
    char sql[160];

    (void)state;
    assert_non_null(db);
    for (size_t i = 0; i < N_OF(before); i++)
        assert_int_equal(capif_db_exec(db, before[i]), CAPIF_DB_OK);
    for (int i = 0; i < 150; i++) {
        snprintf(sql, sizeof(sql),
                 "INSERT INTO api VALUES ('o.a', 'o-%03d', 'apf-1',"
                 " '{\"apiName\":\"old-%d\"}')",
                 i, i);
        assert_int_equal(capif_db_exec(db, sql), CAPIF_DB_OK);
    }
    assert_int_equal(capif_db_exec(db, "INSERT INTO api VALUES ('o.b', 'o-1',"
                                       " NULL, '{\"apiName\":\"theirs\"}')"),
                     CAPIF_DB_OK);
    capif_db_close(db);
    s = ccf_store_open(where);
    assert_non_null(s);
    assert_int_equal(each(s, NULL, NULL), 151);
    group_is(s, "old-0", "g-1");
    group_is(s, "old-149", "g-1");
    group_is(s, "theirs", "");
    assert_int_equal(each(s, "o.b", "theirs"), 1);
    ccf_store_close(s);
}
