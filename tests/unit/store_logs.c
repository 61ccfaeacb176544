/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Invocations that AEFs log, and what their AMF finds.
 */
#include "store_suite.h"

#include "store_log.h"
#include "store_tx.h"
#include "times.h"

#include <stdio.h>
#include <string.h>

/* A batch by an AEF of a domain of its own, whose name the test begins with. */
struct who {
    char group[24], aef[24];
    struct ccf_member by;
};

static struct who enrol(struct ccf_store *s, const char *name)
{
    struct who who;

    snprintf(who.group, sizeof(who.group), "%s-dom", name);
    snprintf(who.aef, sizeof(who.aef), "%s-aef", name);
    who.by = store_member(CAPIF_AEF, who.aef);
    assert_int_equal(store_enrol(s, who.group, LATER, who.group, &who.by, 1),
                     CCF_STORE_OK);
    strcpy(who.by.group_id, who.group);
    return who;
}

static json_t *log_doc(const char *aef, const char *invoker, const char *logs)
{
    json_t *list = soft_json(logs);

    return json_pack("{s:s, s:s, s:o}", "aefId", aef, "apiInvokerId", invoker,
                     "logs", list);
}

static enum ccf_store_status add(struct ccf_store *s, const struct who *who,
                                 const char *invoker_ccf, const char *invoker,
                                 const char *log_id, const char *logs)
{
    json_t *doc = log_doc(who->aef, invoker, logs);
    const struct ccf_log_batch b = {
        .by = &who->by, .invoker_ccf = invoker_ccf, .doc = doc, .log_id = log_id
    };
    char got[CAPIF_ID_MAX + 1] = "";
    enum ccf_store_status st = ccf_store_log_add(s, &b, got);

    assert_string_equal(got, st == CCF_STORE_OK ? log_id : "");
    json_decref(doc);
    return st;
}

static struct ccf_log_query query(const struct who *who)
{
    const struct ccf_log_query q = { .group_id = who->group,
                                     .from = INT64_MIN / 2,
                                     .until = INT64_MAX / 2,
                                     .max = 1000,
                                     .look = CCF_AUDIT_LOOK };
    return q;
}

static void found(struct ccf_store *s, const struct ccf_log_query *q,
                  bool truncated, const char *want)
{
    json_t *logs = NULL, *expected = soft_json(want);
    bool more = !truncated;

    assert_int_equal(ccf_store_log_find(s, CCF, q, &logs, &more), CCF_STORE_OK);
    if (!json_equal(logs, expected)) {
        char *got = json_dumps(logs, JSON_COMPACT);
        fail_msg("%s, not %s", got, want);
    }
    assert_int_equal(more, truncated);
    json_decref(logs);
    json_decref(expected);
}

void test_logs(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct who who = enrol(s, "lg"), other = enrol(s, "lh");
    struct ccf_log_query q = query(&who);

    found(s, &q, false, "[]");
    assert_int_equal(add(s, &who, CCF, "i1", "l1",
                         "[{'n':1,'invocationTime':'2026-01-01T00:00:01Z'},"
                         " {'n':3,'invocationTime':'2026-01-01T00:00:03Z'}]"),
                     CCF_STORE_OK);
    assert_int_equal(add(s, &who, CCF, "i1", "l2",
                         "[{'n':2,'invocationTime':'2026-01-01T00:00:02Z'}]"),
                     CCF_STORE_OK);
    assert_int_equal(add(s, &who, OTHER, "i1", "l3",
                         "[{'n':0,'invocationTime':'2026-01-01T00:00:00Z'}]"),
                     CCF_STORE_OK);
    assert_int_equal(add(s, &other, CCF, "i1", "l4", "[{'n':9}]"),
                     CCF_STORE_OK);
    /* Newest first, by AEF and invoker, and of this domain alone. */
    found(s, &q, false,
          "[{'aefId':'lg-aef','apiInvokerId':'i1','logs':["
          "{'n':3,'invocationTime':'2026-01-01T00:00:03Z'},"
          "{'n':2,'invocationTime':'2026-01-01T00:00:02Z'},"
          "{'n':1,'invocationTime':'2026-01-01T00:00:01Z'}]},"
          "{'aefId':'lg-aef','apiInvokerId':'i1','logs':["
          "{'n':0,'invocationTime':'2026-01-01T00:00:00Z'}],"
          "'vendorSpecific-capif-hsm':{'ccfId':'" OTHER "'}}]");
    q = query(&other);
    found(s, &q, false,
          "[{'aefId':'lh-aef','apiInvokerId':'i1','logs':[{'n':9}]}]");
}

/* Each entry has its own value of everything; each filter finds its one. */
void test_log_filters(void **state)
{
    static const char one[] =
        "{'apiId':'a1','apiName':'n1','apiVersion':'v1','resourceName':'r1',"
        "'protocol':'p1','operation':'o1','result':'201',"
        "'invocationTime':'2026-01-01T00:00:01Z',"
        "'srcInterface':{'ipv4Addr':'192.0.2.1','port':1,'apiPrefix':'/1'},"
        "'destInterface':{'fqdn':'a.example','port':11,'apiPrefix':'/11'}}";
    static const char two[] =
        "{'apiId':'a2','apiName':'n2','apiVersion':'v2','resourceName':'r2',"
        "'protocol':'p2','operation':'o2','result':'404',"
        "'invocationTime':'2026-01-01T01:00:02+01:00',"
        "'srcInterface':{'ipv4Addr':'192.0.2.2','port':2,'apiPrefix':'/2'},"
        "'destInterface':{'ipv6Addr':'2001:db8::1','port':22}}";
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct who who = enrol(s, "lf");
    char list[2][700], want[2][800];
    struct ccf_log_query q;
    struct {
        const char **at;
        const char *value[2];
    } texts[] = {
        { &q.invoker_id, { "i1", "i2" } },  { &q.invoker_ccf, { CCF, OTHER } },
        { &q.api_id, { "a1", "a2" } },      { &q.api_name, { "n1", "n2" } },
        { &q.api_version, { "v1", "v2" } }, { &q.protocol, { "p1", "p2" } },
        { &q.operation, { "o1", "o2" } },   { &q.result, { "201", "404" } },
        { &q.resource, { "r1", "r2" } },
    };
    int64_t t1, t2;
    json_t *src;

    snprintf(list[0], sizeof(list[0]), "[%s]", one);
    snprintf(list[1], sizeof(list[1]), "[%s]", two);
    snprintf(want[0], sizeof(want[0]),
             "[{'aefId':'lf-aef','apiInvokerId':'i1','logs':[%s]}]", one);
    snprintf(want[1], sizeof(want[1]),
             "[{'aefId':'lf-aef','apiInvokerId':'i2','logs':[%s],"
             "'vendorSpecific-capif-hsm':{'ccfId':'" OTHER "'}}]",
             two);
    assert_int_equal(add(s, &who, CCF, "i1", "l1", list[0]), CCF_STORE_OK);
    assert_int_equal(add(s, &who, OTHER, "i2", "l2", list[1]), CCF_STORE_OK);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        for (int k = 0; k < 2; k++) {
            q = query(&who);
            *texts[i].at = texts[i].value[k];
            found(s, &q, false, want[k]);
            q.aef_id = "lf-aef"; /* and a second one, that all have */
            found(s, &q, false, want[k]);
            q.aef_id = "lf-aez";
            found(s, &q, false, "[]");
        }
        q = query(&who);
        *texts[i].at = "none";
        found(s, &q, false, "[]");
        *texts[i].at = "\xff"; /* no text, so nobody's */
        found(s, &q, false, "[]");
    }
    /* Two that contradict each other, whichever leads. */
    q = query(&who);
    q.api_id = "a1";
    q.api_name = "n2";
    found(s, &q, false, "[]");
    q.invoker_id = "i1";
    found(s, &q, false, "[]");
    q.api_name = "n1";
    found(s, &q, false, want[0]);
    /* The time range has both its ends. */
    assert_true(capif_time_parse_us("2026-01-01T00:00:01Z", &t1));
    assert_true(capif_time_parse_us("2026-01-01T00:00:02Z", &t2));
    q = query(&who);
    q.until = t1;
    found(s, &q, false, want[0]);
    q.until = t1 - 1;
    found(s, &q, false, "[]");
    q = query(&who);
    q.from = q.until = t2;
    found(s, &q, false, want[1]);
    q.from = t2 + 1;
    q.until = INT64_MAX / 2;
    found(s, &q, false, "[]");
    /* Of an interface, what is given. */
    for (int k = 0; k < 2; k++) {
        static const char *const ifaces[][2] = {
            { "{'ipv4Addr':'192.0.2.1'}", "{'ipv4Addr':'192.0.2.2'}" },
            { "{'ipv4Addr':'192.0.2.1','port':1,'apiPrefix':'/1'}",
              "{'ipv4Addr':'192.0.2.2','port':2,'apiPrefix':'/2'}" },
            { "{'ipv4Addr':'192.0.2.1','port':2}",
              "{'ipv4Addr':'192.0.2.2','apiPrefix':'/1'}" },
        };
        static const char *const dst[] = { "{'fqdn':'a.example','port':11}",
                                           "{'ipv6Addr':'2001:db8::1'}" };

        for (size_t i = 0; i < 3; i++) {
            q = query(&who);
            ccf_log_iface_read(src = soft_json(ifaces[i][k]), &q.src);
            found(s, &q, false, i < 2 ? want[k] : "[]");
            json_decref(src);
        }
        q = query(&who);
        ccf_log_iface_read(src = soft_json(dst[k]), &q.dst);
        found(s, &q, false, want[k]);
        json_decref(src);
    }
}

/* As many as asked for, over several pages, and no more than a fixed size. */
void test_log_limits(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct who who = enrol(s, "ll");
    struct ccf_log_query q = query(&who);
    json_t *doc = log_doc(who.aef, "i1", "[]"), *logs, *list;
    const struct ccf_log_batch b = {
        .by = &who.by, .invoker_ccf = CCF, .doc = doc, .log_id = "l1"
    };
    char id[CAPIF_ID_MAX + 1], *large;
    bool more;

    list = json_object_get(doc, "logs");
    for (int i = 0; i < 250; i++) /* all of one time: seq decides */
        json_array_append_new(list,
                              json_pack("{s:i, s:s}", "n", i, "invocationTime",
                                        "2026-01-01T00:00:00Z"));
    assert_int_equal(ccf_store_log_add(s, &b, id), CCF_STORE_OK);
    for (size_t max = 1; max <= 300; max += max == 99 ? 1 : 49) {
        size_t n = max < 250 ? max : 250;

        q.max = max;
        assert_int_equal(ccf_store_log_find(s, CCF, &q, &logs, &more),
                         CCF_STORE_OK);
        assert_int_equal(more, max < 250);
        assert_int_equal(json_array_size(logs), 1);
        list = json_object_get(json_array_get(logs, 0), "logs");
        assert_int_equal(json_array_size(list), n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(json_integer_value(
                                 json_object_get(json_array_get(list, i), "n")),
                             249 - i);
        json_decref(logs);
    }
    json_decref(doc);
    large = test_malloc(8001);
    memset(large, 'x', 8000);
    large[8000] = '\0';
    for (int k = 0; k < 3; k++) {
        doc = log_doc(who.aef, "i2", "[]");
        for (int i = 0; i < 100; i++)
            json_array_append_new(json_object_get(doc, "logs"),
                                  json_pack("{s:s}", "x", large));
        const struct ccf_log_batch lb = {
            .by = &who.by, .invoker_ccf = CCF, .doc = doc, .log_id = "l2"
        };
        assert_int_equal(ccf_store_log_add(s, &lb, id), CCF_STORE_OK);
        json_decref(doc);
    }
    test_free(large);
    q.max = 1000;
    q.invoker_id = "i2";
    assert_int_equal(ccf_store_log_find(s, CCF, &q, &logs, &more),
                     CCF_STORE_OK);
    assert_true(more);
    list = json_object_get(json_array_get(logs, 0), "logs");
    assert_int_equal(json_array_size(list), CCF_AUDIT_OCTETS / 8008);
    json_decref(logs);
}

static enum ccf_store_status add_key(struct ccf_store *s, const struct who *who,
                                     const char *key, const char *digest,
                                     const char *log_id, const char *want)
{
    json_t *doc = log_doc(who->aef, "i1", "[{'n':1}]");
    const struct ccf_log_batch b = { &who->by, CCF, doc, log_id, key, digest };
    char got[CAPIF_ID_MAX + 1] = "";
    enum ccf_store_status st = ccf_store_log_add(s, &b, got);

    assert_string_equal(got, want);
    json_decref(doc);
    return st;
}

static size_t count(struct ccf_store *s, const struct who *who)
{
    struct ccf_log_query q = query(who);
    json_t *logs = NULL;
    size_t n;
    bool more;

    assert_int_equal(ccf_store_log_find(s, CCF, &q, &logs, &more),
                     CCF_STORE_OK);
    n = json_array_size(json_object_get(json_array_get(logs, 0), "logs"));
    json_decref(logs);
    return n;
}

void test_log_keys(void **state)
{
    struct stores *st = *state;
    struct ccf_store *s = st->s;
    struct who who = enrol(s, "lk"), other = enrol(s, "lm");

    assert_int_equal(add_key(s, &who, "k1", "d1", "l1", "l1"), CCF_STORE_OK);
    assert_int_equal(add_key(st->second, &who, "k1", "d1", "l2", "l1"),
                     CCF_STORE_OK);
    assert_int_equal(count(s, &who), 1);
    assert_int_equal(add_key(s, &who, "k1", "d2", "l3", ""),
                     CCF_STORE_CONFLICT);
    assert_int_equal(count(s, &who), 1);
    assert_int_equal(add_key(s, &who, "k2", "d1", "l4", "l4"), CCF_STORE_OK);
    assert_int_equal(add_key(s, &other, "k1", "d2", "l5", "l5"), CCF_STORE_OK);
    assert_int_equal(count(s, &who), 2);
    assert_int_equal(count(s, &other), 1);
}

/* How many are found of an operation, if so many may be looked at. */
static void looks(struct ccf_store *s, struct ccf_log_query *q, size_t look,
                  const char *operation, size_t n, bool truncated)
{
    json_t *logs = NULL;
    bool more = !truncated;

    q->look = look;
    q->operation = operation;
    assert_int_equal(ccf_store_log_find(s, CCF, q, &logs, &more), CCF_STORE_OK);
    assert_int_equal(
        json_array_size(json_object_get(json_array_get(logs, 0), "logs")), n);
    assert_int_equal(more, truncated);
    json_decref(logs);
}

/* What filters leave out is looked at, too, and only so much of it. */
void test_log_look(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct who who = enrol(s, "lo");
    json_t *doc = log_doc(who.aef, "i1", "[]");
    const struct ccf_log_batch b = {
        .by = &who.by, .invoker_ccf = CCF, .doc = doc, .log_id = "l1"
    };
    char id[CAPIF_ID_MAX + 1];

    for (int i = 0; i < 250; i++) /* all of one time: seq decides */
        json_array_append_new(json_object_get(doc, "logs"),
                              json_pack("{s:s, s:s, s:s, s:s}",
                                        "invocationTime",
                                        "2026-01-01T00:00:00Z", "apiId", "a",
                                        "apiName", "n", "operation",
                                        i == 5     ? "POST"
                                        : i == 200 ? "PUT"
                                                   : "GET"));
    assert_int_equal(ccf_store_log_add(s, &b, id), CCF_STORE_OK);
    for (int by = 0; by < 5; by++) {
        struct ccf_log_query q = query(&who);

        q.invoker_id = by == 1 ? "i1" : NULL;
        q.api_id = by == 2 ? "a" : NULL;
        q.api_name = by == 3 ? "n" : NULL;
        q.aef_id = by == 4 ? who.aef : NULL;
        looks(s, &q, 100, "POST", 0, true);
        looks(s, &q, 100, "PUT", 1, true);
        looks(s, &q, 100, "GET", 99, true);
        looks(s, &q, 260, "POST", 1, false);
        looks(s, &q, 260, "GET", 248, false);
        looks(s, &q, 100000, "GET", 248, false);
        looks(s, &q, 10, NULL, 250, false); /* nothing is left out */
        q.result = "";
        looks(s, &q, 10, NULL, 10, true);
        q.result = NULL;
        q.max = 50;
        looks(s, &q, 100, "GET", 50, true);
    }
    json_decref(doc);
}

void test_log_refused(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct who who = enrol(s, "lr"), none = who;
    struct ccf_member apf = store_member(CAPIF_APF, "lr-apf");
    json_t *api = soft_json("{'apiName':'x'}");

    strcpy(none.by.thumbprint, "another");
    assert_int_equal(add(s, &none, CCF, "i1", "l1", "[{'n':1}]"),
                     CCF_STORE_GONE);
    none = who;
    strcpy(none.by.group_id, "another");
    assert_int_equal(add(s, &none, CCF, "i1", "l1", "[{'n':1}]"),
                     CCF_STORE_GONE);
    none = who;
    strcpy(none.by.who.id, "another");
    assert_int_equal(add(s, &none, CCF, "i1", "l1", "[{'n':1}]"),
                     CCF_STORE_GONE);
    /* Another domain's API; and all of the batch is refused, with its key. */
    assert_int_equal(store_enrol(s, "lr-2", LATER, "lr-2", &apf, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_api_put(s, CCF, "lr-api", "lr-apf", api),
                     CCF_STORE_OK);
    assert_int_equal(add(s, &who, CCF, "i1", "l1",
                         "[{'apiId':'lr-none'},{'apiId':'lr-api'}]"),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(count(s, &who), 0);
    assert_int_equal(add(s, &who, CCF, "i1", "l1", "[{'apiId':'lr-none'}]"),
                     CCF_STORE_OK);
    json_decref(api);
}

void test_log_forget(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct who who = enrol(s, "lt");

    assert_int_equal(add(s, &who, CCF, "i1", "l1", "[{'n':1},{'n':2}]"),
                     CCF_STORE_OK);
    ccf_store_log_forget(s, time(NULL) - 1000);
    assert_int_equal(count(s, &who), 2);
    ccf_store_log_forget(s, LATER);
    assert_int_equal(count(s, &who), 0);
}

static void row_event(const char *const *columns, void *arg)
{
    json_t *doc = columns[4] != NULL ? json_loads(columns[4], 0, NULL) : NULL;

    json_array_append_new(
        arg,
        json_pack("[s, s, s, s, i]", columns[0], columns[1], columns[2],
                  columns[3],
                  (int)json_array_size(json_object_get(
                      json_array_get(json_object_get(doc, "invocationLogs"), 0),
                      "logs"))));
    json_decref(doc);
}

/* One for each API and outcome, of at most 100 entries. */
void test_log_events(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    struct who who = enrol(s, "le");
    json_t *doc = log_doc(who.aef, "i1", "[]"), *got = json_array(), *want;
    const struct ccf_log_batch b = {
        .by = &who.by, .invoker_ccf = CCF, .doc = doc, .log_id = "l1"
    };
    char id[CAPIF_ID_MAX + 1];

    for (int i = 0; i < 150; i++)
        json_array_append_new(json_object_get(doc, "logs"),
                              json_pack("{s:s, s:s}", "apiId", "a1", "result",
                                        i % 15 == 0 ? "503" : "200"));
    json_array_append_new(
        json_object_get(doc, "logs"),
        json_pack("{s:s, s:s}", "apiId", "a2", "result", "2xx"));
    assert_int_equal(ccf_store_log_add(s, &b, id), CCF_STORE_OK);
    assert_int_equal(json_array_size(json_object_get(doc, "logs")), 151);
    /* A partner may have given an id of ours to an invoker of its own. */
    assert_int_equal(
        add(s, &who, OTHER, "i1", "l2", "[{'apiId':'a1','result':'200'}]"),
        CCF_STORE_OK);
    assert_int_equal(
        ccf_look(s,
                 "SELECT name, api_id, invoker_id, aef_id, doc FROM event"
                 " ORDER BY seq DESC LIMIT 5",
                 NULL, 0, row_event, got),
        CAPIF_DB_OK);
    want = soft_json(
        "[['SERVICE_API_INVOCATION_SUCCESS','a1','" OTHER "/i1','le-aef',1],"
        "['SERVICE_API_INVOCATION_FAILURE','a2','i1','le-aef',1],"
        "['SERVICE_API_INVOCATION_SUCCESS','a1','i1','le-aef',40],"
        "['SERVICE_API_INVOCATION_SUCCESS','a1','i1','le-aef',100],"
        "['SERVICE_API_INVOCATION_FAILURE','a1','i1','le-aef',10]]");
    if (!json_equal(got, want))
        fail_msg("%s", json_dumps(got, 0));
    json_decref(want);
    json_decref(got);
    json_decref(doc);
}
