/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions: when they end, and when and how often what happened is
 * reported.
 */
#include "store_happen.h"

#include "store_subscription.h"

#include <stdio.h>
#include <string.h>

static bool is_there(struct ccf_store *s, const struct ccf_member *m,
                     const char *id)
{
    json_t *doc = NULL;
    enum ccf_store_status st = ccf_store_subscription_get(s, &m->who, id, &doc);

    json_decref(doc);
    assert_true(st == CCF_STORE_OK || st == CCF_STORE_NOT_FOUND);
    return st == CCF_STORE_OK;
}

/* So many of one subscriber, whatever others have. */
void test_subscription_limit(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    char id[24];

    happen_domains(s, "ev-q");
    happen_subscribed(s, &amf, "ev-q-amf", "['" AVAIL "']", "");
    for (int i = 0; i < 64; i++) {
        snprintf(id, sizeof(id), "ev-q-%d", i);
        happen_subscribed(s, &invoker, id, "['" AVAIL "']", "");
    }
    assert_int_equal(happen_subscribe(s, &invoker, "ev-q-more", NULL,
                                      "{'events':['" AVAIL "']}"),
                     CCF_STORE_FULL);
    assert_int_equal(ccf_store_subscription_delete(s, &invoker.who, id),
                     CCF_STORE_OK);
    happen_subscribed(s, &invoker, "ev-q-more", "['" AVAIL "']", "");
    assert_int_equal(ccf_store_offboard(s, &invoker.who, invoker.group_id),
                     CCF_STORE_OK);
}

void test_subscription_ends(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    const struct ccf_event e = { .name = AVAIL, .api_id = "x" };

    happen_domains(s, "ev-e");
    happen_work(s, NOW);
    happen_subscribed(s, &invoker, "ev-e-1", "['" AVAIL "']",
                      ",'eventReq':{'notifMethod':'ONE_TIME'}");
    happen_subscribed(s, &invoker, "ev-e-2", "['" AVAIL "']",
                      ",'eventReq':{'maxReportNbr':2}");
    happen_subscribed(s, &invoker, "ev-e-3", "['" AVAIL "']",
                      ",'eventReq':{'monDur':'2099-01-01T00:00:00Z'}");
    happen_subscribed(s, &invoker, "ev-e-4", "['" AVAIL "']", "");
    for (int i = 0; i < 3; i++)
        happen_event(s, &e);
    happen_work(s, NOW);
    happen_told(s, "ev-e-1",
                "[{'events':'" AVAIL "','eventDetail':{'apiIds':['x']}}]");
    happen_told(s, "ev-e-2",
                "[{'events':'" AVAIL "','eventDetail':{'apiIds':['x']}},"
                "{'events':'" AVAIL "','eventDetail':{'apiIds':['x']}}]");
    assert_false(is_there(s, &invoker, "ev-e-1"));
    assert_false(is_there(s, &invoker, "ev-e-2"));
    assert_true(is_there(s, &invoker, "ev-e-3"));
    assert_false(is_there(s, &amf, "ev-e-3"));
    happen_event(s, &e);
    happen_work(s, 4102444800000); /* 2100 */
    assert_false(is_there(s, &invoker, "ev-e-3"));
    json_decref(happen_taken(s, "ev-e-3"));
    assert_int_equal(ccf_store_subscription_delete(s, &amf.who, "ev-e-4"),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_subscription_delete(s, &invoker.who, "ev-e-4"),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_subscription_delete(s, &invoker.who, "ev-e-4"),
                     CCF_STORE_NOT_FOUND);
    happen_subscribed(s, &invoker, "ev-e-5", "['" AVAIL "']", "");
    assert_int_equal(ccf_store_offboard(s, &invoker.who, invoker.group_id),
                     CCF_STORE_OK);
    assert_false(is_there(s, &invoker, "ev-e-5"));
    assert_int_equal(
        happen_subscribe(s, &invoker, "ev-e-6", NULL, "{'events':['x']}"),
        CCF_STORE_GONE);
    json_decref(happen_taken(s, "ev-e-4"));
}

/* What was there before is not told; a change keeps the count, or not. */
void test_subscription_changes(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    const struct ccf_event e = { .name = AVAIL, .api_id = "x" };
    const char *a = "{'events':['Y'],'eventReq':{'maxReportNbr':2},"
                    "'notificationDestination':'https://ev-c-1.example/'}";
    const char *b = "{'events':['" AVAIL "'],'eventReq':{'maxReportNbr':2},"
                    "'notificationDestination':'https://ev-c-1.example/'}";
    const char *c = "{'events':['" AVAIL "'],'eventReq':{'maxReportNbr':1},"
                    "'notificationDestination':'https://ev-c-1.example/'}";

    happen_domains(s, "ev-c");
    happen_event(s, &e);
    assert_int_equal(happen_subscribe(s, &invoker, "ev-c-1", NULL, b),
                     CCF_STORE_OK);
    happen_work(s, NOW);
    happen_told(s, "ev-c-1", "[]");
    happen_event(s, &e);
    happen_work(s, NOW);
    assert_int_equal(happen_subscribe(s, &invoker, "ev-c-1", b, a),
                     CCF_STORE_OK);
    assert_int_equal(happen_subscribe(s, &invoker, "ev-c-1", b, a),
                     CCF_STORE_CHANGED);
    happen_event(s, &e); /* not subscribed to */
    happen_work(s, NOW);
    assert_int_equal(happen_subscribe(s, &invoker, "ev-c-1", a, b),
                     CCF_STORE_OK);
    assert_true(is_there(s, &invoker, "ev-c-1"));
    happen_event(s, &e); /* the second */
    happen_work(s, NOW);
    assert_false(is_there(s, &invoker, "ev-c-1"));
    assert_int_equal(happen_subscribe(s, &invoker, "ev-c-1", b, c),
                     CCF_STORE_CHANGED);
    assert_int_equal(happen_subscribe(s, &invoker, "ev-c-1", NULL, b),
                     CCF_STORE_OK);
    happen_event(s, &e);
    happen_work(s, NOW);
    assert_int_equal(happen_subscribe(s, &invoker, "ev-c-1", b, c),
                     CCF_STORE_OK);
    happen_event(s, &e);
    happen_event(s, &e);
    happen_work(s, NOW);
    json_t *got = happen_taken(s, "ev-c-1");
    assert_int_equal(json_array_size(got), 4);
    json_decref(got);
}

void test_reports_periodic(void **state)
{
    struct stores *st = *state;
    struct ccf_store *s = st->s;
    json_t *log1 = soft_json("{'invocationLogs':[{'n':1}]}");
    json_t *log2 = soft_json("{'invocationLogs':[{'n':2}]}");
    json_t *hide = soft_json("{'apiTopoHide':{'apiId':'x'}}");
    struct ccf_event e = { .name = "SERVICE_API_INVOCATION_SUCCESS" };

    happen_domains(s, "ev-r");
    e.group_id = aef.group_id;
    happen_subscribed(
        s, &amf, "ev-r-1",
        "['SERVICE_API_INVOCATION_SUCCESS',"
        "'API_TOPOLOGY_HIDING_CREATED']",
        ",'supportedFeatures':'4','eventReq':"
        "{'notifMethod':'PERIODIC','repPeriod':600,'maxReportNbr':4}");
    e.detail = log1;
    happen_event(s, &e);
    e.detail = log2;
    happen_event(s, &e);
    happen_event(s, &e);
    e.name = "API_TOPOLOGY_HIDING_CREATED";
    e.detail = hide;
    happen_event(s, &e);
    happen_event(s, &e);
    happen_work(s, NOW);
    happen_told(s, "ev-r-1", "[]"); /* not yet */
    happen_work(st->second, NOW + 601000);
    happen_work(s, NOW + 601000); /* once */
    happen_told(s, "ev-r-1",
                "[{'events':'SERVICE_API_INVOCATION_SUCCESS','eventDetail':"
                "{'invocationLogs':[{'n':1},{'n':2}]}},"
                "{'events':'API_TOPOLOGY_HIDING_CREATED','eventDetail':"
                "{'apiTopoHide':{'apiId':'x'}}},"
                "{'events':'API_TOPOLOGY_HIDING_CREATED','eventDetail':"
                "{'apiTopoHide':{'apiId':'x'}}}]");
    happen_work(s, NOW + 1300000); /* nothing happened: nothing is told */
    happen_told(s, "ev-r-1", "[]");
    happen_event(s, &e);
    happen_event(s, &e);
    happen_work(s, NOW + 2000000);
    happen_told(s, "ev-r-1",
                "[{'events':'API_TOPOLOGY_HIDING_CREATED','eventDetail':"
                "{'apiTopoHide':{'apiId':'x'}}}]"); /* the fourth */
    assert_false(is_there(s, &amf, "ev-r-1"));
    happen_subscribed(
        s, &amf, "ev-r-2", "['API_TOPOLOGY_HIDING_CREATED']",
        ",'eventReq':{'notifMethod':'PERIODIC','repPeriod':600000000,"
        "'monDur':'2030-01-01T00:00:00+01:00'}");
    happen_event(s, &e);
    happen_work(s, NOW);
    happen_told(s, "ev-r-2", "[]");
    happen_work(s, 1893456000000); /* its end: the rest is told */
    json_t *got = happen_taken(s, "ev-r-2");
    assert_int_equal(json_array_size(got), 1);
    assert_false(is_there(s, &amf, "ev-r-2"));
    json_decref(got);
    json_decref(log1);
    json_decref(log2);
    json_decref(hide);
}

/* More than a page of them, which count as one report. */
void test_reports_immediate(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    char id[32];
    json_t *got, *item;
    size_t i, n = 0;

    happen_domains(s, "ev-n");
    for (int k = 0; k < 70; k++) {
        snprintf(id, sizeof(id), "ev-n-api-%d", k);
        happen_publish(s, &apf, &aef, id, NULL, "");
    }
    happen_subscribed(s, &amf, "ev-n-1",
                      "['" AVAIL "','API_INVOKER_ONBOARDED']",
                      ",'supportedFeatures':'4','eventFilters':[{},"
                      "{'apiInvokerIds':['ev-n-5']}],"
                      "'eventReq':{'immRep':true,'maxReportNbr':3}");
    happen_subscribed(s, &invoker, "ev-n-2", "['" AVAIL "']",
                      ",'eventFilters':[{'apiIds':['ev-n-api-7']}],"
                      "'eventReq':{'immRep':true,'notifMethod':'ONE_TIME'}");
    happen_subscribed(s, &other_apf, "ev-n-3", "['" AVAIL "']",
                      ",'eventReq':{'immRep':true,'notifMethod':'ONE_TIME'}");
    happen_work(s, NOW);
    got = happen_taken(s, "ev-n-1");
    json_array_foreach(got, i, item)
    {
        json_t *detail = json_object_get(item, "eventDetail");

        n += json_array_size(json_object_get(detail, "serviceAPIDescriptions"));
        if (i + 1 == json_array_size(got)) {
            json_t *want = soft_json("{'apiInvokerIds':['ev-n-5']}");
            assert_true(json_equal(detail, want));
            json_decref(want);
        }
    }
    assert_int_equal(n, 70);
    assert_true(json_array_size(got) >= 4);
    json_decref(got);
    happen_told(s, "ev-n-2",
                "[{'events':'" AVAIL
                "','eventDetail':{'apiIds':['ev-n-api-7']}}]");
    happen_told(s, "ev-n-3", "[]");
    assert_true(is_there(s, &amf, "ev-n-1"));
    assert_false(is_there(s, &invoker, "ev-n-2"));
    assert_true(is_there(s, &other_apf, "ev-n-3"));
    happen_publish(s, &apf, &aef, "ev-n-api-last", NULL, "");
    happen_work(s, NOW);
    json_decref(happen_taken(s, "ev-n-1"));
    assert_false(is_there(s, &amf, "ev-n-1"));
}
