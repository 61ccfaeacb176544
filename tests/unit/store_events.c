/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Events: what happens is told, in order, to those who subscribed to it and
 * may know.
 */
#include "store_happen.h"

#include "event_rules.h"
#include "store_policy.h"

#include <string.h>

void test_events_of_apis(void **state)
{
    struct stores *st = *state;
    struct ccf_store *s = st->s;
    const char *all = "['SERVICE_API_AVAILABLE','SERVICE_API_UPDATE',"
                      "'SERVICE_API_UNAVAILABLE']";

    happen_domains(s, "ev-a");
    happen_work(s, NOW);
    happen_subscribed(s, &invoker, "ev-a-s1", all, ",'supportedFeatures':'4'");
    happen_subscribed(s, &amf, "ev-a-s2", all, "");
    happen_subscribed(s, &other_apf, "ev-a-s3", all,
                      ",'supportedFeatures':'4'");
    happen_publish(s, &apf, &aef, "ev-a-api", NULL, "");
    happen_publish(s, &apf, &aef, "ev-a-api", "", ",'x':1");
    assert_int_equal(ccf_store_api_delete(s, CCF, "ev-a-api", other_apf.who.id),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_api_delete(s, CCF, "ev-a-api", apf.who.id),
                     CCF_STORE_OK);
    happen_work(st->second, NOW);
    happen_told(
        s, "ev-a-s1",
        "[{'events':'SERVICE_API_AVAILABLE','eventDetail':"
        "{'apiIds':['ev-a-api'],'serviceAPIDescriptions':[{'apiId':'ev-a-api',"
        "'aefProfiles':[{'aefId':'ev-a-0'}]}]}},"
        "{'events':'SERVICE_API_UPDATE','eventDetail':"
        "{'serviceAPIDescriptions':[{'apiId':'ev-a-api',"
        "'aefProfiles':[{'aefId':'ev-a-0'}],'x':1}]}},"
        "{'events':'SERVICE_API_UNAVAILABLE','eventDetail':"
        "{'apiIds':['ev-a-api']}}]");
    happen_told(s, "ev-a-s2",
                "[{'events':'SERVICE_API_AVAILABLE','eventDetail':"
                "{'apiIds':['ev-a-api']}},{'events':'SERVICE_API_UPDATE',"
                "'eventDetail':{'apiIds':['ev-a-api']}},"
                "{'events':'SERVICE_API_UNAVAILABLE','eventDetail':"
                "{'apiIds':['ev-a-api']}}]");
    happen_told(s, "ev-a-s3", "[]");
}

/*
 * From whom a policy has hidden it: not when it is there, and not when it is
 * gone, and its policies with it.
 */
void test_events_of_hidden_apis(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    json_t *deny = soft_json("{'" CCF_VS "':{'othersDenied':true}}");
    const char *all = "['" AVAIL "','SERVICE_API_UNAVAILABLE',"
                      "'ACCESS_CONTROL_POLICY_UNAVAILABLE']";
    const char *ends[] = { "ev-h-api", "ev-h-more" };
    bool created;

    happen_domains(s, "ev-h");
    happen_work(s, NOW);
    for (size_t i = 0; i < 2; i++) {
        happen_publish(s, &apf, &aef, ends[i], NULL, "");
        assert_int_equal(
            ccf_store_policy_put(s, &amf, ends[i], aef.who.id, deny, &created),
            CCF_STORE_OK);
    }
    happen_work(s, NOW);
    happen_subscribed(s, &invoker, "ev-h-s1", all, "");
    happen_subscribed(s, &amf, "ev-h-s2", all, "");
    assert_int_equal(ccf_store_api_delete(s, CCF, ends[0], apf.who.id),
                     CCF_STORE_OK);
    happen_work(s, NOW);
    happen_told(s, "ev-h-s2",
                "[{'events':'SERVICE_API_UNAVAILABLE','eventDetail':"
                "{'apiIds':['ev-h-api']}},"
                "{'events':'ACCESS_CONTROL_POLICY_UNAVAILABLE','eventDetail':"
                "{'apiIds':['ev-h-api']}}]");
    assert_int_equal(ccf_store_group_remove(s, &apf), CCF_STORE_OK);
    happen_work(s, NOW);
    happen_told(s, "ev-h-s1", "[]");
    json_decref(deny);
}

/* With the AEF goes one, with the APF the other. */
void test_events_of_leaving(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    const char *all = "['SERVICE_API_UPDATE','SERVICE_API_UNAVAILABLE']";
    json_t *doc = soft_json("{'x':1}");
    struct ccf_member stay[] = { { .group_id = "" }, { .group_id = "" } };

    happen_domains(s, "ev-l");
    happen_publish(s, &apf, &aef, "ev-l-1", NULL, "");
    happen_subscribed(s, &invoker, "ev-l-s1", all, "");
    happen_subscribed(s, &aef, "ev-l-s2", all, "");
    happen_subscribed(s, &amf, "ev-l-s3", all, "");
    stay[0] = amf;
    stay[1] = apf;
    assert_int_equal(ccf_store_group_change(s, &amf, doc, doc, stay, 2),
                     CCF_STORE_OK);
    happen_work(s, NOW);
    happen_told(s, "ev-l-s1",
                "[{'events':'SERVICE_API_UNAVAILABLE',"
                "'eventDetail':{'apiIds':['ev-l-1']}}]");
    happen_told(s, "ev-l-s2", "[]"); /* ended with its owner */
    happen_told(s, "ev-l-s3",
                "[{'events':'SERVICE_API_UNAVAILABLE',"
                "'eventDetail':{'apiIds':['ev-l-1']}}]");
    happen_publish(s, &other_apf, &other_aef, "ev-l-2", NULL, "");
    happen_publish(s, &other_apf, &other_aef, "ev-l-3", NULL, "");
    assert_int_equal(ccf_store_group_remove(s, &other_apf), CCF_STORE_OK);
    happen_work(s, NOW);
    happen_told(s, "ev-l-s1",
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

    happen_domains(s, "ev-p");
    happen_subscribed(s, &invoker, "ev-p-s",
                      "['SERVICE_API_AVAILABLE','SERVICE_API_UPDATE',"
                      "'SERVICE_API_UNAVAILABLE']",
                      "");
    happen_subscribed(s, &amf, "ev-p-s2", "['SERVICE_API_AVAILABLE']", "");
    for (size_t i = 0; i < 3; i++) {
        json_t *docs = soft_json(offers[i]);

        assert_int_equal(ccf_store_api_replace(s, "ev.p", docs), CCF_STORE_OK);
        json_decref(docs);
    }
    happen_work(s, NOW);
    happen_told(
        s, "ev-p-s",
        "[{'events':'SERVICE_API_AVAILABLE','eventDetail':{'apiIds':['p1']}},"
        "{'events':'SERVICE_API_AVAILABLE','eventDetail':{'apiIds':['p2']}},"
        "{'events':'SERVICE_API_UPDATE','eventDetail':{'apiIds':['p2']}},"
        "{'events':'SERVICE_API_AVAILABLE','eventDetail':{'apiIds':['p3']}},"
        "{'events':'SERVICE_API_UNAVAILABLE',"
        "'eventDetail':{'apiIds':['p1']}}]");
    happen_told(s, "ev-p-s2", "[]");
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

    happen_domains(s, "ev-i");
    happen_work(s, NOW);
    happen_subscribed(s, &invoker, "ev-i-s1", all, "");
    happen_subscribed(s, &amf, "ev-i-s2", all, "");
    strcpy(m.group_id, "ev-i-new");
    assert_int_equal(store_enrol(s, "ev-i-new", LATER, "ev-i-new", &m, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_group_change(s, &m, doc, doc, &m, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_group_change(s, &invoker, doc, doc, &invoker, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_offboard(s, &m.who, "ev-i-new"), CCF_STORE_OK);
    happen_work(s, NOW);
    happen_told(s, "ev-i-s1",
                "[{'events':'API_INVOKER_UPDATED',"
                "'eventDetail':{'apiInvokerIds':['ev-i-5']}}]");
    happen_told(s, "ev-i-s2",
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

static bool may_see(struct ccf_store *s, const struct ccf_event *e,
                    const struct ccf_subscriber *who)
{
    json_t *shown;

    assert_int_equal(ccf_event_shown(s, e, who, &shown), CAPIF_DB_OK);
    json_decref(shown);
    return shown != NULL;
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

    happen_domains(s, "ev-m");
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
            assert_int_equal(may_see(s, &e, &who), want[i][m] == 'y');
        }
        who.role = "aef"; /* of the domain, but another one */
        who.id = "ev-m-9";
        who.group_id = aef.group_id;
        assert_false(may_see(s, &e, &who));
        who.role = "invoker";
        assert_false(may_see(s, &e, &who));
    }
}

/* One filter for each event; all of its lists must match. */
void test_events_filters(void **state)
{
    struct ccf_store *s = ((struct stores *)*state)->s;
    json_t *detail = soft_json("{'invocationLogs':[{'x':1}]}");
    struct ccf_event e = { .name = "SERVICE_API_INVOCATION_FAILURE",
                           .detail = detail };

    happen_domains(s, "ev-f");
    e.api_id = "ev-f-api";
    e.aef_id = aef.who.id;
    e.invoker_id = invoker.who.id;
    e.group_id = aef.group_id;
    happen_subscribed(s, &amf, "ev-f-1",
                      "['X','SERVICE_API_INVOCATION_FAILURE']",
                      ",'supportedFeatures':'5','eventFilters':[{},"
                      "{'apiIds':['a','ev-f-api'],'aefIds':['ev-f-0'],"
                      "'apiInvokerIds':['ev-f-5']}]");
    happen_subscribed(
        s, &amf, "ev-f-2", "['SERVICE_API_INVOCATION_FAILURE']",
        ",'eventFilters':[{'apiIds':['ev-f-api'],'aefIds':['b']}]");
    happen_subscribed(s, &amf, "ev-f-3",
                      "['X','SERVICE_API_INVOCATION_FAILURE']",
                      ",'eventFilters':[{'apiIds':['b']}]");
    happen_subscribed(
        s, &amf, "ev-f-4", "['SERVICE_API_AVAILABLE','SERVICE_API_AVAILABLE']",
        ",'eventFilters':[{'apiIds':['b']},{'aefIds':['ev-f-0']}]");
    happen_event(s, &e);
    happen_publish(s, &apf, &aef, "ev-f-api", NULL, "");
    happen_work(s, NOW);
    happen_told(s, "ev-f-1",
                "[{'events':'SERVICE_API_INVOCATION_FAILURE',"
                "'eventDetail':{'invocationLogs':[{'x':1}]}}]");
    happen_told(s, "ev-f-2", "[]");
    happen_told(s, "ev-f-3",
                "[{'events':'SERVICE_API_INVOCATION_FAILURE',"
                "'eventDetail':{'apiIds':['ev-f-api'],"
                "'apiInvokerIds':['ev-f-5']}}]");
    happen_told(s, "ev-f-4",
                "[{'events':'SERVICE_API_AVAILABLE',"
                "'eventDetail':{'apiIds':['ev-f-api']}}]");
    json_decref(detail);
}
