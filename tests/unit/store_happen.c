/* SPDX-License-Identifier: Apache-2.0 */
#include "store_happen.h"

#include "notice.h"
#include "report.h"
#include "store_subscription.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct ccf_member aef, apf, amf, other_aef, other_apf, invoker;

void happen_domains(struct ccf_store *s, const char *prefix)
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

enum ccf_store_status happen_subscribe(struct ccf_store *s,
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

void happen_subscribed(struct ccf_store *s, const struct ccf_member *by,
                       const char *id, const char *events, const char *more)
{
    char text[512];

    snprintf(text, sizeof(text),
             "{'events':%s,'notificationDestination':'https://%s.example/'%s}",
             events, id, more);
    assert_int_equal(happen_subscribe(s, by, id, NULL, text), CCF_STORE_OK);
}

void happen_work(struct ccf_store *s, int64_t now)
{
    while (ccf_fanout(s, now) == CCF_STORE_OK)
        ;
    while (ccf_reports_due(s, now) == CCF_STORE_OK)
        ;
    assert_int_equal(ccf_fanout(s, now), CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_reports_due(s, now), CCF_STORE_NOT_FOUND);
}

json_t *happen_taken(struct ccf_store *s, const char *id)
{
    json_t *list = json_array(), *body;
    struct ccf_notice_row row;
    char *lanes[32], url[96];
    size_t n = 0;

    snprintf(url, sizeof(url), "https://%s.example/", id);
    assert_int_equal(ccf_lanes_take(s, "t", NOW, NOW + 1, lanes, 32, 32, &n),
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

void happen_told(struct ccf_store *s, const char *id, const char *text)
{
    json_t *got = happen_taken(s, id), *want = soft_json(text);

    if (!json_equal(got, want)) {
        char *have = json_dumps(got, 0);
        fail_msg("%s: %s, not %s", id, have, text);
    }
    json_decref(got);
    json_decref(want);
}

static enum capif_db_status work_happen(struct ccf_store *s, const void *what)
{
    return ccf_event_add(s, what);
}

void happen_event(struct ccf_store *s, const struct ccf_event *e)
{
    assert_int_equal(ccf_transact(s, work_happen, e), CCF_STORE_OK);
}

void happen_publish(struct ccf_store *s, const struct ccf_member *by,
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
