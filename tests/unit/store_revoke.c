/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking back what contexts grant: what goes, and who is told.
 */
#include "store_suite.h"

#include "notice.h"
#include "store_revoke.h"

#include <stdlib.h>
#include <string.h>

#define VS "vendorSpecific-capif-hsm"

static const char *const aefs[] = { "aef-x", NULL };
static const struct ccf_domain domain = {
    .ccf_id = CCF,
    .url = "https://" CCF,
    .list = { { OTHER, "https://" OTHER, aefs, true } },
    .n = 1,
};

/* Two APIs at one AEF of ours, one of them by PSK, and one of OTHER's. */
static json_t *context(void)
{
    return soft_json(
        "{'notificationDestination':'https://i.example/n','securityInfo':["
        "{'apiId':'1','selSecurityMethod':'OAUTH','" VS "':{'ccfId':'" CCF
        "','aefId':'aef-1','apiName':'one','controlUrl':'https://a.example'}},"
        "{'apiId':'2','selSecurityMethod':'PSK','" VS "':{'ccfId':'" CCF
        "','aefId':'aef-1','apiName':'two','pskId':'r-psk',"
        "'controlUrl':'https://a.example'}},"
        "{'apiId':'3','selSecurityMethod':'OAUTH','" VS "':{'ccfId':'" OTHER
        "','aefId':'aef-x','apiName':'three'}}]}");
}

/* A context of that invoker, and its PSK. */
static void put(struct ccf_store *s, const char *ccf_id, const char *id)
{
    json_t *doc = context();
    json_t *psk = json_pack("{s:s, s:s, s:s}", "ccfId", ccf_id, "apiInvokerId",
                            id, "aefId", "aef-1");

    ccf_store_domain(s, &domain);
    assert_int_equal(ccf_store_context_put(s, ccf_id, id, LATER, doc),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_psk_add(s, "r-psk", LATER, "", psk),
                     CCF_STORE_OK);
    json_decref(doc);
    json_decref(psk);
}

static size_t entries(struct ccf_store *s, const char *ccf_id, const char *id)
{
    json_t *doc = NULL;
    enum ccf_store_status st = ccf_store_context_get(s, ccf_id, id, &doc);
    size_t n = json_array_size(json_object_get(doc, "securityInfo"));

    assert_true(st == CCF_STORE_OK || st == CCF_STORE_NOT_FOUND);
    json_decref(doc);
    return n;
}

/* What an AEF is told has the time of now, or soon: each has its own second. */
static void take_time(json_t *vs)
{
    const time_t now = time(NULL);

    if (vs == NULL)
        return;
    assert_in_range(json_integer_value(json_object_get(vs, "at")), now - 60,
                    now + 60);
    json_object_del(vs, "at");
}

/* Take the next notice of a lane; NULL: there is none. */
static json_t *told(struct ccf_store *s, const char *lane, const char *url,
                    const char *trust)
{
    struct ccf_notice_row row;
    char *lanes[16];
    json_t *body = NULL;
    size_t n;

    /* All lanes are ours from the first on, for a long time. */
    assert_int_equal(ccf_lanes_take(s, "r", 1, 1000, lanes, 16, 16, &n),
                     CCF_STORE_OK);
    while (n > 0)
        free(lanes[--n]);
    if (ccf_lane_next(s, "r", lane, &row) != CCF_STORE_OK)
        return NULL;
    assert_string_equal(row.url, url);
    assert_string_equal(row.trust, trust);
    body = json_loads(row.text, 0, NULL);
    take_time(json_object_get(json_object_get(body, "revokeInfo"), VS));
    assert_int_equal(ccf_lane_done(s, "r", lane, row.seq, 0), CCF_STORE_OK);
    ccf_notice_clear(&row);
    return body;
}

static void told_is(struct ccf_store *s, const char *lane, const char *url,
                    const char *trust, const char *text)
{
    json_t *got = told(s, lane, url, trust), *want = soft_json(text);

    assert_non_null(got);
    if (!json_equal(got, want))
        fail_msg("%s", json_dumps(got, 0));
    json_decref(got);
    json_decref(want);
}

static bool is_revoked(struct ccf_store *s, const char *ccf_id, const char *id,
                       const char *name, time_t iat)
{
    struct capif_identity who = { .role = CAPIF_INVOKER };
    time_t at = -1;

    strcpy(who.ccf_id, ccf_id);
    strcpy(who.id, id);
    assert_int_equal(ccf_store_revoked_until(s, &who, "aef-1", name, &at),
                     CCF_STORE_OK);
    assert_true(at >= 0);
    return iat <= at;
}

/* From when on tokens hold; at the second of a revocation, the next one. */
static void issued_after_it(struct ccf_store *s, const char *ccf_id,
                            const char *id)
{
    struct capif_identity who = { .role = CAPIF_INVOKER };
    time_t at;

    strcpy(who.ccf_id, ccf_id);
    strcpy(who.id, id);
    assert_int_equal(ccf_store_issue_time(s, &who, &at), CCF_STORE_OK);
    assert_in_range(at, time(NULL) - 1, time(NULL) + 60);
    assert_false(is_revoked(s, ccf_id, id, "one", at));
    assert_false(is_revoked(s, ccf_id, id, "two", at));
}

static bool waits(struct ccf_store *s, const char *partner, const char *id)
{
    bool is = true;

    assert_int_equal(ccf_store_revoke_waits(s, partner, id, &is), CCF_STORE_OK);
    return is;
}

static bool has_psk(struct ccf_store *s)
{
    json_t *doc = NULL;
    enum ccf_store_status st = ccf_store_psk_get(s, "r-psk", &doc);

    json_decref(doc);
    return st == CCF_STORE_OK;
}

#define AEF_URL    "https://a.example/aef-security/v1/revoke-authorization"
#define AEF_LANE   "revoke:" AEF_URL
#define INV_LANE   "https://i.example/n"
#define OTHER_LANE "revoke:" OTHER
#define TO_AEF(ids, names, src, cause)                             \
    "{'supportedFeatures':'0','revokeInfo':{'apiInvokerId':'r-1'," \
    "'apiIds':" ids ",'cause':'" cause "','aefId':'aef-1','" VS    \
    "':{'srcCcfId':'" src "','apiNames':" names "}}}"

void test_revocation_of_one_aef(void **state)
{
    struct stores *st = *state;
    json_t *ids = soft_json("['2','3']");
    const struct ccf_revocation r = { .ccf_id = CCF,
                                      .invoker_id = "r-1",
                                      .aef_ccf_id = CCF,
                                      .aef_id = "aef-1",
                                      .api_ids = ids,
                                      .cause = "OVERLIMIT_USAGE",
                                      .tell_invoker = true };
    time_t now = time(NULL);

    put(st->s, CCF, "r-1");
    assert_int_equal(ccf_store_context_revoke(st->s, &r), CCF_STORE_OK);
    assert_int_equal(entries(st->second, CCF, "r-1"), 2);
    assert_false(has_psk(st->second));
    assert_true(is_revoked(st->second, CCF, "r-1", "two", now));
    assert_false(is_revoked(st->second, CCF, "r-1", "two", now + 100));
    assert_false(is_revoked(st->second, CCF, "r-1", "one", now));
    assert_false(is_revoked(st->second, OTHER, "r-1", "two", now));
    issued_after_it(st->second, CCF, "r-1");
    issued_after_it(st->second, CCF, "r-2");
    told_is(st->s, AEF_LANE, AEF_URL, "own",
            TO_AEF("['2']", "['two']", CCF, "OVERLIMIT_USAGE"));
    told_is(st->s, INV_LANE, INV_LANE, "public",
            "{'apiInvokerId':'r-1','apiIds':['2'],'cause':'OVERLIMIT_USAGE',"
            "'aefId':'aef-1'}");
    assert_null(told(st->s, OTHER_LANE, "", ""));
    assert_int_equal(ccf_store_context_revoke(st->s, &r), CCF_STORE_NOT_FOUND);
    assert_null(told(st->s, AEF_LANE, "", ""));
    assert_int_equal(store_context_delete(st->s, CCF, "r-1"), CCF_STORE_OK);
    told_is(st->s, AEF_LANE, AEF_URL, "own",
            TO_AEF("['1']", "['one']", CCF, "UNEXPECTED_REASON"));
    assert_true(waits(st->s, OTHER, "r-1"));
    assert_false(waits(st->s, OTHER, "r-2"));
    assert_false(waits(st->s, "c.example", "r-1"));
    told_is(st->s, OTHER_LANE,
            "https://" OTHER "/capif-security/v1/trustedInvokers/r-1/delete",
            OTHER,
            "{'apiInvokerId':'r-1','apiIds':['3'],'cause':"
            "'UNEXPECTED_REASON','aefId':'aef-x'}");
    assert_false(waits(st->s, OTHER, "r-1"));
    json_decref(ids);
    ccf_store_domain(st->s, NULL);
}

static void row_event(const char *const *columns, void *arg)
{
    json_t *doc = json_loads(columns[2], 0, NULL);

    if (columns[0][0] != '\0') /* an API that the test made */
        json_array_append_new(
            arg, json_pack("[s, s, o]", columns[0], columns[1],
                           json_incref(json_object_get(doc, "apiInvokerIds"))));
    json_decref(doc);
}

/* Whose it is, the API's provider domain; of a partner's invoker, the name. */
void test_revocation_event(void **state)
{
    struct stores *st = *state;
    struct ccf_member apf = store_member(CAPIF_APF, "re-apf");
    json_t *api = soft_json("{}"), *got = json_array(), *want;

    assert_int_equal(store_enrol(st->s, "re", LATER, "re", &apf, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_api_put(st->s, CCF, "1", "re-apf", api),
                     CCF_STORE_OK);
    put(st->s, CCF, "r-1");
    assert_int_equal(store_context_delete(st->s, CCF, "r-1"), CCF_STORE_OK);
    put(st->s, OTHER, "r-1");
    assert_int_equal(store_context_delete(st->s, OTHER, "r-1"), CCF_STORE_OK);
    assert_int_equal(ccf_look(st->s,
                              "SELECT group_id, invoker_id, doc FROM event"
                              " ORDER BY seq DESC LIMIT 4",
                              NULL, 0, row_event, got),
                     CAPIF_DB_OK);
    want = soft_json("[['re','" OTHER "/r-1',['" OTHER "/r-1']],"
                     "['re','r-1',['r-1']]]");
    if (!json_equal(got, want))
        fail_msg("%s", json_dumps(got, 0));
    store_drain(st->s);
    assert_int_equal(ccf_store_api_delete(st->s, CCF, "1", "re-apf"),
                     CCF_STORE_OK);
    json_decref(want);
    json_decref(got);
    json_decref(api);
    ccf_store_domain(st->s, NULL);
}

/* An AEF is told where it takes that now, not where it did long ago. */
void test_revocation_at_new_control_url(void **state)
{
    struct stores *st = *state;
    const struct ccf_revocation r = { .ccf_id = CCF,
                                      .invoker_id = "r-1",
                                      .aef_id = "aef-1" };
    struct ccf_member apf = store_member(CAPIF_APF, "rc-apf");
    json_t *api = soft_json("{'aefProfiles':[{'aefId':'aef-0'},{'aefId':'aef-1'"
                            ",'" VS "':{'controlUrl':'https://new.example'}}"
                            "]}");

    assert_int_equal(store_enrol(st->s, "rc", LATER, "rc", &apf, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_api_put(st->s, CCF, "1", "rc-apf", api),
                     CCF_STORE_OK);
    put(st->s, CCF, "r-1");
    assert_int_equal(ccf_store_context_revoke(st->s, &r), CCF_STORE_OK);
    assert_null(told(st->s, AEF_LANE, "", ""));
    told_is(st->s,
            "revoke:https://new.example/aef-security/v1/revoke-authorization",
            "https://new.example/aef-security/v1/revoke-authorization", "own",
            TO_AEF("['1','2']", "['one','two']", CCF, "UNEXPECTED_REASON"));
    assert_int_equal(ccf_store_api_delete(st->s, CCF, "1", "rc-apf"),
                     CCF_STORE_OK);
    put(st->s, CCF, "r-1");
    assert_int_equal(ccf_store_context_revoke(st->s, &r), CCF_STORE_OK);
    told_is(st->s, AEF_LANE, AEF_URL, "own",
            TO_AEF("['1','2']", "['one','two']", CCF, "UNEXPECTED_REASON"));
    assert_int_equal(store_context_delete(st->s, CCF, "r-1"), CCF_STORE_OK);
    store_drain(st->s);
    json_decref(api);
    ccf_store_domain(st->s, NULL);
}

/* What comes from a partner doesn't go back there. */
void test_revocation_by_a_partner(void **state)
{
    struct stores *st = *state;
    const struct ccf_revocation r = { .ccf_id = OTHER,
                                      .invoker_id = "r-1",
                                      .from = OTHER,
                                      .tell_invoker = true };

    put(st->s, OTHER, "r-1");
    assert_int_equal(ccf_store_context_revoke(st->s, &r), CCF_STORE_OK);
    assert_int_equal(entries(st->s, OTHER, "r-1"), 0);
    told_is(st->s, AEF_LANE, AEF_URL, "own",
            TO_AEF("['1','2']", "['one','two']", OTHER, "UNEXPECTED_REASON"));
    assert_null(told(st->s, OTHER_LANE, "", ""));
    assert_null(told(st->s, INV_LANE, "", ""));
    ccf_store_domain(st->s, NULL);
}

/* An AEF of ours, and the invoker of a partner, which tells it itself. */
void test_revocation_of_all(void **state)
{
    struct stores *st = *state;
    const struct ccf_revocation r = { .ccf_id = OTHER,
                                      .invoker_id = "r-1",
                                      .aef_ccf_id = CCF,
                                      .aef_id = "aef-1",
                                      .tell_invoker = true };

    put(st->s, OTHER, "r-1");
    assert_int_equal(ccf_store_context_revoke(st->s, &r), CCF_STORE_OK);
    assert_int_equal(entries(st->s, OTHER, "r-1"), 1);
    told_is(st->s, OTHER_LANE, INV_LANE, OTHER,
            "{'apiInvokerId':'r-1','apiIds':['1','2'],'cause':"
            "'UNEXPECTED_REASON','aefId':'aef-1'}");
    json_decref(told(st->s, AEF_LANE, AEF_URL, "own"));
    assert_int_equal(store_context_delete(st->s, OTHER, "r-1"), CCF_STORE_OK);
    json_decref(told(st->s, OTHER_LANE,
                     "https://" OTHER
                     "/capif-security/v1/trustedInvokers/r-1/delete",
                     OTHER));
    ccf_store_domain(st->s, NULL);
}

/* A token that was issued between two in one second is ended by the second. */
void test_revocations_in_one_second(void **state)
{
    struct stores *st = *state;
    struct capif_identity who = { .role = CAPIF_INVOKER };
    time_t at;

    strcpy(who.ccf_id, CCF);
    strcpy(who.id, "r-3");
    for (int i = 0; i < 3; i++) {
        put(st->s, CCF, "r-3");
        assert_int_equal(ccf_store_issue_time(st->s, &who, &at), CCF_STORE_OK);
        assert_false(is_revoked(st->s, CCF, "r-3", "one", at));
        assert_int_equal(store_context_delete(st->s, CCF, "r-3"), CCF_STORE_OK);
        assert_true(is_revoked(st->s, CCF, "r-3", "one", at));
    }
    ccf_store_domain(st->s, NULL);
}

/* Negotiating anew without an API gives it up; another method does not. */
void test_revocation_of_what_is_dropped(void **state)
{
    struct stores *st = *state;
    json_t *doc = context(), *list = json_object_get(doc, "securityInfo");

    put(st->s, CCF, "r-1");
    json_array_remove(list, 2);
    json_array_remove(list, 0);
    json_object_set_new(json_array_get(list, 0), "selSecurityMethod",
                        json_string("OAUTH"));
    assert_int_equal(ccf_store_context_put(st->s, CCF, "r-1", LATER, doc),
                     CCF_STORE_OK);
    assert_int_equal(entries(st->s, CCF, "r-1"), 1);
    assert_true(is_revoked(st->s, CCF, "r-1", "one", time(NULL)));
    told_is(st->s, AEF_LANE, AEF_URL, "own",
            TO_AEF("['1']", "['one']", CCF, "UNEXPECTED_REASON"));
    assert_null(told(st->s, AEF_LANE, "", ""));
    json_decref(told(st->s, OTHER_LANE,
                     "https://" OTHER
                     "/capif-security/v1/trustedInvokers/r-1/delete",
                     OTHER));
    assert_null(told(st->s, INV_LANE, "", ""));
    assert_int_equal(store_context_delete(st->s, CCF, "r-1"), CCF_STORE_OK);
    json_decref(told(st->s, AEF_LANE, AEF_URL, "own"));
    json_decref(doc);
    ccf_store_domain(st->s, NULL);
}

/* A partner that keeps something was asked for that alone: it knows. */
void test_revocation_of_what_a_partner_knows(void **state)
{
    struct stores *st = *state;
    json_t *doc = context(), *list = json_object_get(doc, "securityInfo");
    json_t *more = json_deep_copy(json_array_get(list, 2));

    json_object_set_new(more, "apiId", json_string("4"));
    json_array_append_new(list, more);
    ccf_store_domain(st->s, &domain);
    assert_int_equal(ccf_store_context_put(st->s, CCF, "r-1", LATER, doc),
                     CCF_STORE_OK);
    json_array_remove(list, 2);
    assert_int_equal(ccf_store_context_put(st->s, CCF, "r-1", LATER, doc),
                     CCF_STORE_OK);
    assert_null(told(st->s, OTHER_LANE, "", ""));
    ccf_store_domain(st->s, NULL);
    assert_int_equal(store_context_delete(st->s, CCF, "r-1"), CCF_STORE_OK);
    json_decref(doc);
}

/* What is told to OTHER of one API that was asked for in vain. */
#define IN_VAIN(id, invoker)                             \
    "{'apiInvokerId':'" invoker "','apiIds':['" id "']," \
    "'cause':'UNEXPECTED_REASON','aefId':'aef-x'}"

static void undo(struct ccf_store *s, const char *invoker, const char *text)
{
    json_t *taken = soft_json(text);

    assert_int_equal(ccf_store_context_undo(s, CCF, invoker, taken),
                     CCF_STORE_OK);
    json_decref(taken);
}

/* A partner has agreed in vain: what it has in place of what it had goes. */
void test_revocation_of_what_was_in_vain(void **state)
{
    struct stores *st = *state;
    static const char url[] =
        "https://" OTHER "/capif-security/v1/trustedInvokers/r-1/delete";

    put(st->s, CCF, "r-1");
    /* The one that it has still; one that it may have. */
    undo(st->s, "r-1",
         "[{'apiId':'3','selSecurityMethod':'OAUTH','" VS "':{'ccfId':'" OTHER
         "','aefId':'aef-x'}}]");
    assert_null(told(st->s, OTHER_LANE, "", ""));
    undo(st->s, "r-1",
         "[{'apiId':'5','" VS "':{'ccfId':'" OTHER "','aefId':'aef-x'}}]");
    told_is(st->s, OTHER_LANE, url, OTHER, IN_VAIN("5", "r-1"));
    assert_int_equal(entries(st->s, CCF, "r-1"), 3);
    assert_true(has_psk(st->s));
    /* Another API, and another method. */
    undo(st->s, "r-1",
         "[{'apiId':'4','selSecurityMethod':'OAUTH','" VS "':{'ccfId':'" OTHER
         "','aefId':'aef-x'}},{'apiId':'3','selSecurityMethod':'PSK','" VS
         "':{'ccfId':'" OTHER "','aefId':'aef-x'}}]");
    told_is(st->s, OTHER_LANE, url, OTHER, IN_VAIN("4", "r-1"));
    told_is(st->s, OTHER_LANE, url, OTHER, IN_VAIN("3", "r-1"));
    assert_null(told(st->s, OTHER_LANE, "", ""));
    assert_int_equal(entries(st->s, CCF, "r-1"), 2);
    assert_null(told(st->s, AEF_LANE, "", ""));
    assert_int_equal(store_context_delete(st->s, CCF, "r-1"), CCF_STORE_OK);
    json_decref(told(st->s, AEF_LANE, AEF_URL, "own"));
    /* There is no context, or no more. */
    undo(st->s, "r-9",
         "[{'apiId':'4','selSecurityMethod':'PKI','" VS "':{'ccfId':'" OTHER
         "','aefId':'aef-x'}}]");
    assert_int_equal(entries(st->s, CCF, "r-9"), 0);
    told_is(st->s, OTHER_LANE,
            "https://" OTHER "/capif-security/v1/trustedInvokers/r-9/delete",
            OTHER, IN_VAIN("4", "r-9"));
    ccf_store_domain(st->s, NULL);
}

void test_revocation_of_nothing(void **state)
{
    struct stores *st = *state;
    json_t *ids = soft_json("['9']");
    const struct ccf_revocation none = { .ccf_id = CCF,
                                         .invoker_id = "r-none" };
    const struct ccf_revocation other = { .ccf_id = CCF,
                                          .invoker_id = "r-1",
                                          .api_ids = ids };

    put(st->s, CCF, "r-1");
    assert_int_equal(ccf_store_context_revoke(st->s, &none),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(ccf_store_context_revoke(st->s, &other),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(entries(st->s, CCF, "r-1"), 3);
    assert_true(has_psk(st->s));
    ccf_store_domain(st->s, NULL); /* nobody to tell */
    assert_int_equal(store_context_delete(st->s, CCF, "r-1"), CCF_STORE_OK);
    json_decref(ids);
}
