/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Subscriptions to events: what of that which happens is owed to whom, once,
 * and when it ends.
 */
#include "store_suite.h"

#include "event.h"
#include "notice.h"
#include "report.h"
#include "store_subscription.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW   ((int64_t)time(NULL) * 1000)
#define FAR   (NOW + 3600000) /* all that is due in an hour */
#define AVAIL "SERVICE_API_AVAILABLE"

static struct ccf_member aef, apf, amf, other_aef, other_apf, invoker;

/* Each of these once for a test: two domains and an invoker, by prefix. */
static void domains(struct ccf_store *s, const char *prefix)
{
    char id[32], jti[40];
    struct ccf_member *all[] = { &aef,       &apf,       &amf,
                                 &other_aef, &other_apf, &invoker };
    const enum capif_role roles[] = { CAPIF_AEF, CAPIF_APF, CAPIF_AMF,
                                      CAPIF_AEF, CAPIF_APF, CAPIF_INVOKER };

    for (int i = 0; i < 6; i++) {
        snprintf(id, sizeof(id), "%s-%d", prefix, i);
        *all[i] = store_member(roles[i], id);
        snprintf(all[i]->group_id, sizeof(all[i]->group_id), "%s-dom%d", prefix,
                 i < 3   ? 1
                 : i < 5 ? 2
                         : 3);
    }
    const struct ccf_member one[] = { aef, apf, amf },
                            two[] = { other_aef, other_apf };

    snprintf(jti, sizeof(jti), "%s-1", prefix);
    assert_int_equal(store_enrol(s, jti, LATER, aef.group_id, one, 3),
                     CCF_STORE_OK);
    jti[strlen(jti) - 1] = '2';
    assert_int_equal(store_enrol(s, jti, LATER, other_aef.group_id, two, 2),
                     CCF_STORE_OK);
    jti[strlen(jti) - 1] = '3';
    assert_int_equal(store_enrol(s, jti, LATER, invoker.group_id, &invoker, 1),
                     CCF_STORE_OK);
}

static enum ccf_store_status subscribe(struct ccf_store *s,
                                       const struct ccf_member *by,
                                       const char *id, const char *was,
                                       const char *text)
{
    json_t *doc = soft_json(text);
    json_t *old = was != NULL ? soft_json(was) : NULL;
    enum ccf_store_status st = ccf_store_subscription_set(s, by, id, old, doc);

    json_decref(doc);
    json_decref(old);
    return st;
}

static void subscribed(struct ccf_store *s, const struct ccf_member *by,
                       const char *id, const char *events, const char *more)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{'events':%s,'notificationDestination':'https://%s.example/'%s}",
             events, id, more);
    assert_int_equal(subscribe(s, by, id, NULL, text), CCF_STORE_OK);
}

static void work(struct ccf_store *s, int64_t now)
{
    while (ccf_fanout(s, now) == CCF_STORE_OK)
        ;
    while (ccf_reports_due(s, now) == CCF_STORE_OK)
        ;
    assert_int_equal(ccf_fanout(s, now), CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_reports_due(s, now), CCF_STORE_NOT_FOUND);
}

/* Take what is owed to a subscription as a list of bodies. */
static json_t *taken(struct ccf_store *s, const char *id)
{
    json_t *list = json_array(), *body;
    struct ccf_notice_row row;
    char *lanes[32], url[96];
    size_t n = 0;

    snprintf(url, sizeof(url), "https://%s.example/", id);
    assert_int_equal(ccf_lanes_take(s, "t", NOW, NOW + 1, lanes, 32, &n),
                     CCF_STORE_OK);
    while (n > 0)
        free(lanes[--n]);
    while (ccf_lane_next(s, "t", url, &row) == CCF_STORE_OK) {
        body = json_loads(row.text, 0, NULL);
        assert_string_equal(
            json_string_value(json_object_get(body, "subscriptionId")), id);
        json_object_del(body, "subscriptionId");
        json_array_append_new(list, body);
        assert_string_equal(row.trust, CCF_TRUST_PUBLIC);
        assert_int_equal(ccf_lane_done(s, "t", url, row.seq, NOW + 1),
                         CCF_STORE_OK);
        ccf_notice_clear(&row);
    }
    return list;
}

static void told(struct ccf_store *s, const char *id, const char *text)
{
    json_t *got = taken(s, id), *want = soft_json(text);

    if (!json_equal(got, want)) {
        char *have = json_dumps(got, 0);
        fail_msg("%s: %s, not %s", id, have, text);
    }
    json_decref(got);
    json_decref(want);
}

static enum ccf_db_status work_happen(struct ccf_store *s, const void *what)
{
    return ccf_event_add(s, what);
}

static void happen(struct ccf_store *s, const struct ccf_event *e)
{
    assert_int_equal(ccf_transact(s, work_happen, e), CCF_STORE_OK);
}

static void publish(struct ccf_store *s, const struct ccf_member *by,
                    const struct ccf_member *at, const char *id,
                    const char *was, const char *more)
{
    char text[512];
    json_t *old = NULL, *doc;

    snprintf(text, sizeof(text),
             "{'apiId':'%s','aefProfiles':[{'aefId':'%s'}]%s}", id, at->who.id,
             more);
    doc = soft_json(text);
    if (was != NULL) {
        snprintf(text, sizeof(text),
                 "{'apiId':'%s','aefProfiles':[{'aefId':'%s'}]%s}", id,
                 at->who.id, was);
        old = soft_json(text);
    }
    assert_int_equal(ccf_store_api_set(s, by, id, old, doc), CCF_STORE_OK);
    json_decref(doc);
    json_decref(old);
}

void test_events_of_apis(void **state)
{
    struct stores *st = *state;
    struct ccf_store *s = st->s;
    const char *all = "['SERVICE_API_AVAILABLE','SERVICE_API_UPDATE',"
                      "'SERVICE_API_UNAVAILABLE']";

    domains(s, "ev-a");
    work(s, NOW);
    subscribed(s, &invoker, "ev-a-s1", all, ",'supportedFeatures':'4'");
    subscribed(s, &amf, "ev-a-s2", all, "");
    subscribed(s, &other_apf, "ev-a-s3", all, ",'supportedFeatures':'4'");
    publish(s, &apf, &aef, "ev-a-api", NULL, "");
    publish(s, &apf, &aef, "ev-a-api", "", ",'x':1");
    assert_int_equal(ccf_store_api_delete(s, CCF, "ev-a-api", other_apf.who.id),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_api_delete(s, CCF, "ev-a-api", apf.who.id),
                     CCF_STORE_OK);
    work(st->second, NOW);
    told(s, "ev-a-s1",
         "[{'events':'SERVICE_API_AVAILABLE','eventDetail':"
         "{'apiIds':['ev-a-api'],'serviceAPIDescriptions':[{'apiId':'ev-a-api',"
         "'aefProfiles':[{'aefId':'ev-a-0'}]}]}},"
         "{'events':'SERVICE_API_UPDATE','eventDetail':"
         "{'serviceAPIDescriptions':[{'apiId':'ev-a-api',"
         "'aefProfiles':[{'aefId':'ev-a-0'}],'x':1}]}},"
         "{'events':'SERVICE_API_UNAVAILABLE','eventDetail':"
         "{'apiIds':['ev-a-api']}}]");
    told(s, "ev-a-s2",
         "[{'events':'SERVICE_API_AVAILABLE','eventDetail':"
         "{'apiIds':['ev-a-api']}},{'events':'SERVICE_API_UPDATE',"
         "'eventDetail':{'apiIds':['ev-a-api']}},"
         "{'events':'SERVICE_API_UNAVAILABLE','eventDetail':"
         "{'apiIds':['ev-a-api']}}]");
    told(s, "ev-a-s3", "[]");
}

/* With the AEF goes one, with the APF the other. */
void test_events_of_leaving(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    const char *all = "['SERVICE_API_UPDATE','SERVICE_API_UNAVAILABLE']";
    json_t *doc = soft_json("{'x':1}");
    struct ccf_member stay[] = { { .group_id = "" }, { .group_id = "" } };

    domains(s, "ev-l");
    publish(s, &apf, &aef, "ev-l-1", NULL, "");
    subscribed(s, &invoker, "ev-l-s1", all, "");
    subscribed(s, &aef, "ev-l-s2", all, "");
    subscribed(s, &amf, "ev-l-s3", all, "");
    stay[0] = amf;
    stay[1] = apf;
    assert_int_equal(ccf_store_group_change(s, &amf, doc, doc, stay, 2),
                     CCF_STORE_OK);
    work(s, NOW);
    told(s, "ev-l-s1",
         "[{'events':'SERVICE_API_UNAVAILABLE',"
         "'eventDetail':{'apiIds':['ev-l-1']}}]");
    told(s, "ev-l-s2", "[]"); /* ended with its owner */
    told(s, "ev-l-s3",
         "[{'events':'SERVICE_API_UNAVAILABLE',"
         "'eventDetail':{'apiIds':['ev-l-1']}}]");
    publish(s, &other_apf, &other_aef, "ev-l-2", NULL, "");
    publish(s, &other_apf, &other_aef, "ev-l-3", NULL, "");
    assert_int_equal(ccf_store_group_remove(s, &other_apf), CCF_STORE_OK);
    work(s, NOW);
    told(s, "ev-l-s1",
         "[{'events':'SERVICE_API_UNAVAILABLE',"
         "'eventDetail':{'apiIds':['ev-l-2']}},"
         "{'events':'SERVICE_API_UNAVAILABLE',"
         "'eventDetail':{'apiIds':['ev-l-3']}}]");
    json_decref(doc);
}

void test_events_of_partners_apis(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    static const char *const offers[] = {
        "[{'apiId':'p1'},{'apiId':'p2'}]",
        "[{'apiId':'p1'},{'apiId':'p2'}]",
        "[{'apiId':'p2','n':1},{'apiId':'p3'}]",
    };

    domains(s, "ev-p");
    subscribed(s, &invoker, "ev-p-s",
               "['SERVICE_API_AVAILABLE','SERVICE_API_UPDATE',"
               "'SERVICE_API_UNAVAILABLE']",
               "");
    subscribed(s, &amf, "ev-p-s2", "['SERVICE_API_AVAILABLE']", "");
    for (size_t i = 0; i < 3; i++) {
        json_t *docs = soft_json(offers[i]);

        assert_int_equal(ccf_store_api_replace(s, "ev.p", docs), CCF_STORE_OK);
        json_decref(docs);
    }
    work(s, NOW);
    told(s, "ev-p-s",
         "[{'events':'SERVICE_API_AVAILABLE','eventDetail':{'apiIds':['p1']}},"
         "{'events':'SERVICE_API_AVAILABLE','eventDetail':{'apiIds':['p2']}},"
         "{'events':'SERVICE_API_UPDATE','eventDetail':{'apiIds':['p2']}},"
         "{'events':'SERVICE_API_AVAILABLE','eventDetail':{'apiIds':['p3']}},"
         "{'events':'SERVICE_API_UNAVAILABLE',"
         "'eventDetail':{'apiIds':['p1']}}]");
    told(s, "ev-p-s2", "[]");
    store_api_is(s, "ev.p", "p1", NULL);
    store_api_is(s, "ev.p", "p2", "{'apiId':'p2','n':1}");
    store_api_is(s, "ev.p", "p3", "{'apiId':'p3'}");
}

void test_events_of_invokers(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    const char *all = "['API_INVOKER_ONBOARDED','API_INVOKER_UPDATED',"
                      "'API_INVOKER_OFFBOARDED']";
    struct ccf_member m = store_member(CAPIF_INVOKER, "ev-i-new");
    json_t *doc = soft_json("{'x':1}");

    domains(s, "ev-i");
    work(s, NOW);
    subscribed(s, &invoker, "ev-i-s1", all, "");
    subscribed(s, &amf, "ev-i-s2", all, "");
    strcpy(m.group_id, "ev-i-new");
    assert_int_equal(store_enrol(s, "ev-i-new", LATER, "ev-i-new", &m, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_group_change(s, &m, doc, doc, &m, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_group_change(s, &invoker, doc, doc, &invoker, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_offboard(s, &m.who, "ev-i-new"), CCF_STORE_OK);
    work(s, NOW);
    told(s, "ev-i-s1",
         "[{'events':'API_INVOKER_UPDATED',"
         "'eventDetail':{'apiInvokerIds':['ev-i-5']}}]");
    told(s, "ev-i-s2",
         "[{'events':'API_INVOKER_ONBOARDED',"
         "'eventDetail':{'apiInvokerIds':['ev-i-new']}},"
         "{'events':'API_INVOKER_UPDATED',"
         "'eventDetail':{'apiInvokerIds':['ev-i-new']}},"
         "{'events':'API_INVOKER_UPDATED',"
         "'eventDetail':{'apiInvokerIds':['ev-i-5']}},"
         "{'events':'API_INVOKER_OFFBOARDED',"
         "'eventDetail':{'apiInvokerIds':['ev-i-new']}}]");
    json_decref(doc);
}

/* Who is told of what others' code will add, and of what nobody knows. */
void test_events_may_see(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    static const char *const names[] = {
        "SERVICE_API_INVOCATION_SUCCESS",
        "ACCESS_CONTROL_POLICY_UPDATE",
        "API_TOPOLOGY_HIDING_CREATED",
        "API_INVOKER_AUTHORIZATION_REVOKED",
        "UNHEARD_OF",
    };
    /* Who gets it, in the order of members: AEF, APF, AMF, others, invoker. */
    static const char *const want[] = { "yyynny", "yyynnn", "yyynnn", "yyynny",
                                        "nnnnnn" };
    struct ccf_member *all[] = { &aef,       &apf,       &amf,
                                 &other_aef, &other_apf, &invoker };
    struct ccf_subscriber who = { NULL, NULL, NULL, NULL };

    domains(s, "ev-m");
    for (size_t i = 0; i < 5; i++) {
        const struct ccf_event e = { .name = names[i],
                                     .api_id = "x",
                                     .invoker_id = invoker.who.id,
                                     .aef_id = aef.who.id,
                                     .group_id = aef.group_id };

        for (size_t m = 0; m < 6; m++) {
            who.role = capif_role_name(all[m]->who.role);
            who.id = all[m]->who.id;
            who.group_id = all[m]->group_id;
            assert_int_equal(ccf_event_may_see(s, &e, &who), want[i][m] == 'y');
        }
        who.role = "aef"; /* of the domain, but another one */
        who.id = "ev-m-9";
        who.group_id = aef.group_id;
        assert_false(ccf_event_may_see(s, &e, &who));
        who.role = "invoker";
        assert_false(ccf_event_may_see(s, &e, &who));
    }
}

/* One filter for each event; all of its lists must match. */
void test_events_filters(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    json_t *detail = soft_json("{'invocationLogs':[{'x':1}]}");
    struct ccf_event e = { .name = "SERVICE_API_INVOCATION_FAILURE",
                           .detail = detail };

    domains(s, "ev-f");
    e.api_id = "ev-f-api";
    e.aef_id = aef.who.id;
    e.invoker_id = invoker.who.id;
    e.group_id = aef.group_id;
    subscribed(s, &amf, "ev-f-1", "['X','SERVICE_API_INVOCATION_FAILURE']",
               ",'supportedFeatures':'5','eventFilters':[{},"
               "{'apiIds':['a','ev-f-api'],'aefIds':['ev-f-0'],"
               "'apiInvokerIds':['ev-f-5']}]");
    subscribed(s, &amf, "ev-f-2", "['SERVICE_API_INVOCATION_FAILURE']",
               ",'eventFilters':[{'apiIds':['ev-f-api'],'aefIds':['b']}]");
    subscribed(s, &amf, "ev-f-3", "['X','SERVICE_API_INVOCATION_FAILURE']",
               ",'eventFilters':[{'apiIds':['b']}]");
    subscribed(s, &amf, "ev-f-4",
               "['SERVICE_API_AVAILABLE','SERVICE_API_AVAILABLE']",
               ",'eventFilters':[{'apiIds':['b']},{'aefIds':['ev-f-0']}]");
    happen(s, &e);
    publish(s, &apf, &aef, "ev-f-api", NULL, "");
    work(s, NOW);
    told(s, "ev-f-1",
         "[{'events':'SERVICE_API_INVOCATION_FAILURE',"
         "'eventDetail':{'invocationLogs':[{'x':1}]}}]");
    told(s, "ev-f-2", "[]");
    told(s, "ev-f-3",
         "[{'events':'SERVICE_API_INVOCATION_FAILURE',"
         "'eventDetail':{'apiIds':['ev-f-api'],"
         "'apiInvokerIds':['ev-f-5']}}]");
    told(s, "ev-f-4",
         "[{'events':'SERVICE_API_AVAILABLE',"
         "'eventDetail':{'apiIds':['ev-f-api']}}]");
    json_decref(detail);
}

static bool is_there(struct ccf_store *s, const struct ccf_member *m,
                     const char *id)
{
    json_t *doc = NULL;
    enum ccf_store_status st = ccf_store_subscription_get(s, &m->who, id, &doc);

    json_decref(doc);
    assert_true(st == CCF_STORE_OK || st == CCF_STORE_NOT_FOUND);
    return st == CCF_STORE_OK;
}

void test_subscription_ends(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    const struct ccf_event e = { .name = AVAIL, .api_id = "x" };

    domains(s, "ev-e");
    work(s, NOW);
    subscribed(s, &invoker, "ev-e-1", "['" AVAIL "']",
               ",'eventReq':{'notifMethod':'ONE_TIME'}");
    subscribed(s, &invoker, "ev-e-2", "['" AVAIL "']",
               ",'eventReq':{'maxReportNbr':2}");
    subscribed(s, &invoker, "ev-e-3", "['" AVAIL "']",
               ",'eventReq':{'monDur':'2099-01-01T00:00:00Z'}");
    subscribed(s, &invoker, "ev-e-4", "['" AVAIL "']", "");
    for (int i = 0; i < 3; i++)
        happen(s, &e);
    work(s, NOW);
    told(s, "ev-e-1",
         "[{'events':'" AVAIL "','eventDetail':{'apiIds':['x']}}]");
    told(s, "ev-e-2",
         "[{'events':'" AVAIL "','eventDetail':{'apiIds':['x']}},"
         "{'events':'" AVAIL "','eventDetail':{'apiIds':['x']}}]");
    assert_false(is_there(s, &invoker, "ev-e-1"));
    assert_false(is_there(s, &invoker, "ev-e-2"));
    assert_true(is_there(s, &invoker, "ev-e-3"));
    assert_false(is_there(s, &amf, "ev-e-3"));
    happen(s, &e);
    work(s, 4102444800000); /* 2100 */
    assert_false(is_there(s, &invoker, "ev-e-3"));
    json_decref(taken(s, "ev-e-3"));
    assert_int_equal(ccf_store_subscription_delete(s, &amf.who, "ev-e-4"),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_subscription_delete(s, &invoker.who, "ev-e-4"),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_subscription_delete(s, &invoker.who, "ev-e-4"),
                     CCF_STORE_NOT_FOUND);
    subscribed(s, &invoker, "ev-e-5", "['" AVAIL "']", "");
    assert_int_equal(ccf_store_offboard(s, &invoker.who, invoker.group_id),
                     CCF_STORE_OK);
    assert_false(is_there(s, &invoker, "ev-e-5"));
    assert_int_equal(subscribe(s, &invoker, "ev-e-6", NULL, "{'events':['x']}"),
                     CCF_STORE_GONE);
    json_decref(taken(s, "ev-e-4"));
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

    domains(s, "ev-c");
    happen(s, &e);
    assert_int_equal(subscribe(s, &invoker, "ev-c-1", NULL, b), CCF_STORE_OK);
    work(s, NOW);
    told(s, "ev-c-1", "[]");
    happen(s, &e);
    work(s, NOW);
    assert_int_equal(subscribe(s, &invoker, "ev-c-1", b, a), CCF_STORE_OK);
    assert_int_equal(subscribe(s, &invoker, "ev-c-1", b, a), CCF_STORE_CHANGED);
    happen(s, &e); /* not subscribed to */
    work(s, NOW);
    assert_int_equal(subscribe(s, &invoker, "ev-c-1", a, b), CCF_STORE_OK);
    assert_true(is_there(s, &invoker, "ev-c-1"));
    happen(s, &e); /* the second */
    work(s, NOW);
    assert_false(is_there(s, &invoker, "ev-c-1"));
    assert_int_equal(subscribe(s, &invoker, "ev-c-1", b, c), CCF_STORE_CHANGED);
    assert_int_equal(subscribe(s, &invoker, "ev-c-1", NULL, b), CCF_STORE_OK);
    happen(s, &e);
    work(s, NOW);
    assert_int_equal(subscribe(s, &invoker, "ev-c-1", b, c), CCF_STORE_OK);
    happen(s, &e);
    happen(s, &e);
    work(s, NOW);
    json_t *got = taken(s, "ev-c-1");
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

    domains(s, "ev-r");
    e.group_id = aef.group_id;
    subscribed(s, &amf, "ev-r-1",
               "['SERVICE_API_INVOCATION_SUCCESS',"
               "'API_TOPOLOGY_HIDING_CREATED']",
               ",'supportedFeatures':'4','eventReq':"
               "{'notifMethod':'PERIODIC','repPeriod':600,'maxReportNbr':4}");
    e.detail = log1;
    happen(s, &e);
    e.detail = log2;
    happen(s, &e);
    happen(s, &e);
    e.name = "API_TOPOLOGY_HIDING_CREATED";
    e.detail = hide;
    happen(s, &e);
    happen(s, &e);
    work(s, NOW);
    told(s, "ev-r-1", "[]"); /* not yet */
    work(st->second, NOW + 601000);
    work(s, NOW + 601000); /* once */
    told(s, "ev-r-1",
         "[{'events':'SERVICE_API_INVOCATION_SUCCESS','eventDetail':"
         "{'invocationLogs':[{'n':1},{'n':2}]}},"
         "{'events':'API_TOPOLOGY_HIDING_CREATED','eventDetail':"
         "{'apiTopoHide':{'apiId':'x'}}},"
         "{'events':'API_TOPOLOGY_HIDING_CREATED','eventDetail':"
         "{'apiTopoHide':{'apiId':'x'}}}]");
    work(s, NOW + 1300000); /* nothing happened: nothing is told */
    told(s, "ev-r-1", "[]");
    happen(s, &e);
    happen(s, &e);
    work(s, NOW + 2000000);
    told(s, "ev-r-1",
         "[{'events':'API_TOPOLOGY_HIDING_CREATED','eventDetail':"
         "{'apiTopoHide':{'apiId':'x'}}}]"); /* the fourth */
    assert_false(is_there(s, &amf, "ev-r-1"));
    subscribed(s, &amf, "ev-r-2", "['API_TOPOLOGY_HIDING_CREATED']",
               ",'eventReq':{'notifMethod':'PERIODIC','repPeriod':600000000,"
               "'monDur':'2030-01-01T00:00:00+01:00'}");
    happen(s, &e);
    work(s, NOW);
    told(s, "ev-r-2", "[]");
    work(s, 1893456000000); /* its end: the rest is told */
    json_t *got = taken(s, "ev-r-2");
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

    domains(s, "ev-n");
    for (int k = 0; k < 70; k++) {
        snprintf(id, sizeof(id), "ev-n-api-%d", k);
        publish(s, &apf, &aef, id, NULL, "");
    }
    subscribed(s, &amf, "ev-n-1", "['" AVAIL "','API_INVOKER_ONBOARDED']",
               ",'supportedFeatures':'4','eventFilters':[{},"
               "{'apiInvokerIds':['ev-n-5']}],"
               "'eventReq':{'immRep':true,'maxReportNbr':3}");
    subscribed(s, &invoker, "ev-n-2", "['" AVAIL "']",
               ",'eventFilters':[{'apiIds':['ev-n-api-7']}],"
               "'eventReq':{'immRep':true,'notifMethod':'ONE_TIME'}");
    subscribed(s, &other_apf, "ev-n-3", "['" AVAIL "']",
               ",'eventReq':{'immRep':true,'notifMethod':'ONE_TIME'}");
    work(s, NOW);
    got = taken(s, "ev-n-1");
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
    told(s, "ev-n-2",
         "[{'events':'" AVAIL "','eventDetail':{'apiIds':['ev-n-api-7']}}]");
    told(s, "ev-n-3", "[]");
    assert_true(is_there(s, &amf, "ev-n-1"));
    assert_false(is_there(s, &invoker, "ev-n-2"));
    assert_true(is_there(s, &other_apf, "ev-n-3"));
    publish(s, &apf, &aef, "ev-n-api-last", NULL, "");
    work(s, NOW);
    json_decref(taken(s, "ev-n-1"));
    assert_false(is_there(s, &amf, "ev-n-1"));
}
