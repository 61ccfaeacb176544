/* SPDX-License-Identifier: Apache-2.0 */
/*
 * revoke-authorization of the AEF, over HTTP: who may, what is refused, and
 * what is in force when the answer is there.  The CCF that the AEF asks is a
 * server in the same loop, which answers when the test says so.
 */
#include "net.h"

#include "aef.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PATH  "/aef-security/v1/revoke-authorization"
#define OWN   "ccf.own.example"
#define OTHER "ccf.a.example"

static struct net net;
static struct aef aef;
static struct aef_worker worker;
static struct capif_server *ccf;
static char ccf_address[32], ccf_url[64];
static struct capif_req *asked[4]; /* by the AEF, not yet answered */
static size_t n_asked;
static X509 *ca;
static struct capif_credentials own_ccf;

static void on_asked(struct capif_req *req, void *app)
{
    (void)app;
    assert_true(n_asked < N_OF(asked));
    asked[n_asked++] = req;
    event_base_loopbreak(net.base);
}

/* What the CCF says of policies: these statuses in turn, with policy. */
static int policy_status[4];
static const char *policy;
static size_t n_policies;

static void on_policy(struct capif_req *req, void *app)
{
    (void)app;
    assert_true(n_policies < N_OF(policy_status));
    assert_string_equal(capif_req_param(req, 0), "api-1");
    assert_string_equal(capif_req_query(req, "aef-id"), "aef-1");
    assert_string_equal(capif_req_query(req, "api-invoker-id"), OTHER "/inv-1");
    if (policy_status[n_policies++] == 200)
        capif_reply_json(req, 200, soft_json(policy));
    else
        capif_reply_problem(req, policy_status[n_policies - 1], NULL, "no");
}

static const struct capif_route ccf_routes[] = {
    { "GET", "/capif-security/v1/trustedInvokers/{}", 0, 0, on_asked },
    { "GET", "/access-control-policy/v1/accessControlPolicyList/{}", 0, 0,
      on_policy },
    { "POST", "/oauth/introspect", 4096, 0, on_asked },
    { .method = NULL },
};

static struct capif_credentials member(enum capif_role role, const char *ccf_id,
                                       const char *id)
{
    struct capif_credentials cred = { soft_key(NULL, 0), NULL, NULL };

    cred.cert = soft_member(role, ccf_id, id, cred.key, ca, net.ca_key);
    return cred;
}

static int setup(void **state)
{
    struct capif_server_config cfg = {
        .routes = aef_control_routes,
        .who = aef_control_who,
        .app = &worker,
        .idle_seconds = 30,
        .max_connections = 8,
    };

    (void)state;
    net_open(&net, &cfg);
    net_free_address(ccf_address);
    snprintf(ccf_url, sizeof(ccf_url), "https://" NET_HOST "%s",
             strchr(ccf_address, ':'));
    cfg.listen = ccf_address;
    cfg.routes = ccf_routes;
    cfg.who = NULL;
    ccf = capif_server_new(net.base, &cfg);
    assert_non_null(ccf);
    ca = capif_cert_ca("CA", net.ca_key, 7);
    own_ccf = member(CAPIF_CCF, OWN, OWN);
    aef = (struct aef){ .aef_id = "aef-1",
                        .ccf_id = OWN,
                        .ccf_url = ccf_url,
                        .ccf_address = ccf_address,
                        .ca_file = net.ca_file,
                        .info_seconds = 60,
                        .cred = net.server_cred,
                        .cache = aef_cache_new(),
                        .denied = aef_denied_new(),
                        .psks = aef_psks_new(),
                        .verdicts = aef_verdicts_new() };
    worker = (struct aef_worker){ .aef = &aef,
                                  .base = net.base,
                                  .client = net.client };
    n_asked = n_policies = 0;
    for (size_t i = 0; i < N_OF(policy_status); i++)
        policy_status[i] = 404;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    capif_server_free(ccf);
    net_close(&net);
    aef_cache_free(aef.cache);
    aef_denied_free(aef.denied);
    aef_psks_free(aef.psks);
    aef_verdicts_free(aef.verdicts);
    capif_credentials_clear(&own_ccf);
    X509_free(ca);
    return 0;
}

/* ---- who may, and what ---- */

static int post(const struct capif_credentials *cred, const char *body,
                struct result *r)
{
    char url[512];
    struct capif_call call;

    /* A connection of before would be somebody else's. */
    capif_client_free(net.client);
    net.client = worker.client = capif_client_new(net.base);
    snprintf(url, sizeof(url), "%s" PATH, net.origin);
    call = net_call(&net, "POST", url, r);
    call.cred = cred;
    call.content_type = "application/json";
    call.body = body;
    call.body_len = strlen(body);
    return net_fetch(&net, &call);
}

#define GOOD                                                             \
    "{'revokeInfo':{'apiInvokerId':'inv-1','apiIds':['api-1'],'cause':"  \
    "'OVERLIMIT_USAGE','aefId':'aef-1','" AEF_VS "':{'srcCcfId':'" OTHER \
    "','at':1700000000,'apiNames':['one','two']}},'supportedFeatures':'0'}"

static char *quoted(const char *text)
{
    json_t *doc = soft_json(text);
    char *out = json_dumps(doc, 0);

    json_decref(doc);
    return out;
}

static void test_who(void **state)
{
    static const struct {
        enum capif_role role;
        const char *ccf_id, *id;
    } others[] = {
        { CAPIF_CCF, OTHER, OTHER }, { CAPIF_INVOKER, OWN, "inv-1" },
        { CAPIF_AEF, OWN, "aef-1" }, { CAPIF_APF, OWN, "apf-1" },
        { CAPIF_AMF, OWN, "amf-1" }, { CAPIF_INVOKER, OTHER, "inv-1" },
        { CAPIF_INVOKER, OWN, OWN },
    };
    char *body = quoted(GOOD);
    struct result r;

    (void)state;
    assert_int_equal(post(NULL, body, &r), 401);
    for (size_t i = 0; i < N_OF(others); i++) {
        struct capif_credentials cred =
            member(others[i].role, others[i].ccf_id, others[i].id);

        assert_int_equal(post(&cred, body, &r), 403);
        assert_string_equal(r.type, "application/problem+json");
        capif_credentials_clear(&cred);
    }
    assert_int_equal(aef_denied_count(aef.denied), 0);
    free(body);
}

static void test_malformed(void **state)
{
    static const struct {
        const char *member, *value; /* NULL: it is missing */
        const char *param;
    } v[] = {
        { "apiInvokerId", NULL, "/revokeInfo/apiInvokerId" },
        { "apiInvokerId", "7", "/revokeInfo/apiInvokerId" },
        { "apiInvokerId", "'a b'", "/revokeInfo" },
        { "apiIds", NULL, "/revokeInfo/apiIds" },
        { "apiIds", "[]", "/revokeInfo/apiIds" },
        { "apiIds", "[7]", "/revokeInfo/apiIds/0" },
        { "apiIds", "'api-1'", "/revokeInfo/apiIds" },
        { "cause", NULL, "/revokeInfo/cause" },
        { "cause", "''", "/revokeInfo/cause" },
        { "aefId", "'aef-2'", "/revokeInfo" },
        { "aefId", "7", "/revokeInfo/aefId" },
        { AEF_VS, "7", "/revokeInfo/" AEF_VS },
        { AEF_VS, "{'srcCcfId':'UPPER'}", "/revokeInfo/" AEF_VS },
        { AEF_VS, "{'srcCcfId':7}", "/revokeInfo/" AEF_VS "/srcCcfId" },
        { AEF_VS, "{'apiNames':'one'}", "/revokeInfo/" AEF_VS "/apiNames" },
        { AEF_VS, "{'at':'7'}", "/revokeInfo/" AEF_VS "/at" },
        { AEF_VS, "{'at':-1}", "/revokeInfo/" AEF_VS "/at" },
        { AEF_VS, "{'apiNames':[{}]}", "/revokeInfo/" AEF_VS "/apiNames/0" },
    };
    struct result r;
    char *body, want[128];

    (void)state;
    for (size_t i = 0; i < N_OF(v); i++) {
        json_t *doc = soft_json(GOOD);
        json_t *info = json_object_get(doc, "revokeInfo");

        if (v[i].value == NULL)
            json_object_del(info, v[i].member);
        else
            json_object_set_new(info, v[i].member, soft_json(v[i].value));
        body = json_dumps(doc, 0);
        if (post(&own_ccf, body, &r) != 400)
            fail_msg("%s: %d", body, r.status);
        assert_string_equal(r.type, "application/problem+json");
        snprintf(want, sizeof(want), "\"param\":\"%s\"", v[i].param);
        if (strstr(r.body, want) == NULL)
            fail_msg("%s: %s", body, r.body);
        free(body);
        json_decref(doc);
    }
    assert_int_equal(post(&own_ccf, "[]", &r), 400);
    assert_int_equal(post(&own_ccf, "{\"supportedFeatures\":\"0\"}", &r), 400);
    body = quoted("{'revokeInfo':{'apiInvokerId':'inv-1','apiIds':['api-1'],"
                  "'cause':'x'}}");
    assert_int_equal(post(&own_ccf, body, &r), 400);
    free(body);
    assert_int_equal(aef_denied_count(aef.denied), 0);
}

/* One more than there may be. */
static void test_bounds(void **state)
{
    static const size_t counts[] = { 64, 65 };
    json_t *ids, *names, *doc;
    char name[64], *body;
    struct result r;

    (void)state;
    for (size_t n = 0; n < N_OF(counts); n++) {
        ids = json_array();
        names = json_array();
        for (size_t i = 0; i < counts[n]; i++) {
            snprintf(name, sizeof(name), "%063zu", i);
            json_array_append_new(ids, json_string(name));
            json_array_append_new(names, json_string(name));
        }
        doc = json_pack("{s:{s:s, s:o, s:s, s:{s:s, s:o}}, s:s}", "revokeInfo",
                        "apiInvokerId", "inv-1", "apiIds", ids, "cause",
                        "UNEXPECTED_REASON", AEF_VS, "srcCcfId", OTHER,
                        "apiNames", names, "supportedFeatures", "0");
        body = json_dumps(doc, JSON_COMPACT);
        assert_int_equal(post(&own_ccf, body, &r), n == 0 ? 200 : 400);
        assert_int_equal(aef_denied_count(aef.denied), 64);
        free(body);
        json_decref(doc);
    }
}

static void test_good(void **state)
{
    char *body = quoted(GOOD);
    const char *log;
    struct result r;
    const time_t at = 1700000000, now = at + 5; /* GOOD's, and a little later */

    (void)state;
    soft_listen();
    assert_int_equal(post(&own_ccf, body, &r), 200);
    log = soft_heard();
    assert_string_equal(r.type, "application/json");
    assert_string_equal(r.body, "{\"supportedFeatures\":\"0\"}");
    assert_non_null(strstr(log, "event=revoked ccf=" OTHER
                                " invoker=inv-1 apis=one,two"
                                " cause=OVERLIMIT_USAGE\n"));
    assert_int_equal(aef_denied_until(aef.denied, OTHER, "inv-1", "two", now),
                     at);
    assert_true(aef_denied_until(aef.denied, OTHER, "inv-1", "three", now)
                < at);
    free(body);
}

/* A CCF of others knows no extension: its own invoker, all its APIs. */
static void test_plain(void **state)
{
    char *body = quoted("{'revokeInfo':{'apiInvokerId':'inv-1','apiIds':"
                        "['api-1'],'cause':'UNEXPECTED_REASON'},"
                        "'supportedFeatures':'ff'}");
    time_t now = time(NULL), until;
    struct result r;

    (void)state;
    soft_listen();
    assert_int_equal(post(&own_ccf, body, &r), 200);
    assert_non_null(strstr(soft_heard(), "event=revoked ccf=" OWN
                                         " invoker=inv-1 apis=* cause="));
    until = aef_denied_until(aef.denied, OWN, "inv-1", "any", now);
    assert_in_range(until, now, now + 5);
    free(body);
}

/* ---- what was asked before ---- */

struct told {
    int times;
    bool any, known;
    struct aef_policy policy; /* but for its ranges */
    enum aef_verdict verdict;
};

static void on_info(const struct aef_info *info, void *arg)
{
    struct told *told = arg;

    told->times++;
    told->any = info != NULL;
    told->known = info != NULL && info->known;
    if (told->known)
        told->policy = info->apis[0].policy;
    event_base_loopbreak(net.base);
}

static void on_verdict(enum aef_verdict verdict, void *arg)
{
    struct told *told = arg;

    told->times++;
    told->verdict = verdict;
    event_base_loopbreak(net.base);
}

/* What the CCF says of an invoker with one API here. */
static json_t *context(void)
{
    char *pem = capif_cert_pem(ca);
    json_t *authn = json_pack("{s:[s]}", "caCertificates", pem);
    json_t *authz =
        json_pack("{s:[{s:s, s:{s:[o]}}]}", "issuers", "ccfId", OTHER, "jwks",
                  "keys", capif_jwk(net.ca_key, "k"));
    char *a = json_dumps(authn, 0), *b = json_dumps(authz, 0);
    json_t *doc =
        json_pack("{s:[{s:s, s:s, s:s, s:s, s:{s:s, s:s}}]}", "securityInfo",
                  "selSecurityMethod", "OAUTH", "authenticationInfo", a,
                  "authorizationInfo", b, "apiId", "api-1", AEF_VS, "aefId",
                  "aef-1", "apiName", "one");

    assert_non_null(doc);
    free(a);
    free(b);
    free(pem);
    json_decref(authn);
    json_decref(authz);
    return doc;
}

static void answer(size_t i, json_t *doc)
{
    if (doc != NULL)
        capif_reply_json(asked[i], 200, doc);
    else
        capif_reply_problem(asked[i], 404, NULL, "no context");
}

static void get(struct told *told)
{
    aef_info_get(&worker, OTHER, "inv-1", false, on_info, told);
}

static void deny(const char *invoker_id)
{
    aef_denied_add(aef.denied, OTHER, invoker_id, "one", time(NULL),
                   time(NULL));
}

static void test_kept_information(void **state)
{
    struct told told = { 0 };

    (void)state;
    get(&told);
    net_turn(&net);
    answer(0, context());
    net_turn(&net);
    assert_int_equal(told.times, 1);
    assert_true(told.known);
    deny("inv-2");
    get(&told);
    assert_int_equal(told.times, 2); /* kept */
    deny("inv-1");
    get(&told);
    assert_int_equal(told.times, 2);
    net_turn(&net);
    answer(1, NULL);
    net_turn(&net);
    assert_int_equal(told.times, 3);
    assert_true(told.any);
    assert_false(told.known);
    get(&told);
    assert_int_equal(told.times, 4);
    assert_int_equal(n_asked, 2);
}

/* An answer of before is not believed, nor kept: the CCF is asked anew. */
static void test_look_up_under_way(void **state)
{
    struct told first = { 0 }, second = { 0 };

    (void)state;
    get(&first);
    net_turn(&net);
    deny("inv-1");
    get(&second); /* joins */
    answer(0, context());
    net_turn(&net);
    assert_int_equal(n_asked, 2);
    assert_int_equal(first.times + second.times, 0);
    answer(1, NULL);
    while (first.times + second.times < 2)
        net_turn(&net);
    assert_true(first.any && !first.known);
    assert_true(second.any && !second.known);
}

/* Not for ever: then the CCF is as good as silent. */
static void test_look_up_twice_in_vain(void **state)
{
    struct told told = { 0 };

    (void)state;
    get(&told);
    net_turn(&net);
    deny("inv-1");
    answer(0, context());
    net_turn(&net);
    deny("inv-1");
    answer(1, context());
    net_turn(&net);
    assert_int_equal(told.times, 1);
    assert_false(told.any);
    get(&told);
    net_turn(&net);
    assert_int_equal(n_asked, 3); /* nothing was kept */
    answer(2, context());
    net_turn(&net);
    assert_int_equal(told.times, 2);
    assert_true(told.known);
}

/* ---- the policy that goes with it ---- */

#define LIST(entries) "{'apiInvokerPolicies':[" entries "]}"

static void test_policies(void **state)
{
    static const struct {
        int status;
        const char *text;
        bool any;
        long total, per_second;
    } table[] = {
        { 404, NULL, true, AEF_UNLIMITED, AEF_UNLIMITED },
        { 200,
          LIST("{'apiInvokerId':'" OTHER "/inv-1',"
               "'allowedTotalInvocations':7}"),
          true, 7, AEF_UNLIMITED },
        { 200,
          LIST("{'apiInvokerId':'inv-1','allowedTotalInvocations':7},"
               "{'apiInvokerId':'" OTHER "/inv-1',"
               "'allowedInvocationsPerSecond':3}"),
          true, AEF_UNLIMITED, 3 },
        { 200, LIST(""), true, AEF_UNLIMITED, AEF_UNLIMITED },
        { 200,
          LIST("{'apiInvokerId':'" OTHER "/inv-1',"
               "'allowedTotalInvocations':-2}"),
          false, 0, 0 },
        { 200,
          LIST("{'apiInvokerId':'" OTHER "/inv-1',"
               "'allowedInvocationTimeRangeList':[{'startTime':'x'}]}"),
          false, 0, 0 },
        { 200, LIST("{}"), false, 0, 0 },
        { 403, NULL, false, 0, 0 },
        { 500, NULL, false, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < N_OF(table); i++) {
        struct told told = { 0 };

        n_asked = n_policies = 0;
        policy_status[0] = table[i].status;
        policy = table[i].text;
        deny("inv-1"); /* nothing that was kept is good */
        get(&told);
        net_turn(&net);
        answer(0, context());
        net_turn(&net);
        assert_int_equal(told.times, 1);
        assert_int_equal(told.any, table[i].any);
        assert_int_equal(told.known, table[i].any);
        if (table[i].any) {
            assert_int_equal(told.policy.total, table[i].total);
            assert_int_equal(told.policy.per_second, table[i].per_second);
        }
        assert_int_equal(n_policies, 1);
    }
}

static void verdict(struct told *told)
{
    const struct capif_identity who = { CAPIF_INVOKER, OTHER, "inv-1" };

    aef_verdict_get(&worker, &who, "a.b.c", on_verdict, told);
}

static void test_verdicts(void **state)
{
    struct told told = { 0 }, late = { 0 };

    (void)state;
    verdict(&told);
    net_turn(&net);
    answer(0, json_pack("{s:b}", "active", 1));
    net_turn(&net);
    assert_int_equal(told.verdict, AEF_ACTIVE);
    deny("inv-2");
    verdict(&told);
    assert_int_equal(told.times, 2); /* kept */
    deny("inv-1");
    verdict(&told);
    net_turn(&net);
    assert_int_equal(n_asked, 2);
    deny("inv-1");
    verdict(&late); /* does not wait for that one */
    net_turn(&net);
    assert_int_equal(n_asked, 3);
    answer(2, json_pack("{s:b}", "active", 0));
    net_turn(&net);
    assert_int_equal(late.verdict, AEF_INACTIVE);
    assert_int_equal(told.times, 2);
    answer(1, json_pack("{s:b}", "active", 1));
    net_turn(&net);
    assert_int_equal(told.times, 3);
    verdict(&late); /* what came last was asked first: not good enough */
    assert_int_equal(late.times, 1);
    net_turn(&net);
    answer(3, json_pack("{s:b}", "active", 0));
    net_turn(&net);
    assert_int_equal(late.times, 2);
    assert_int_equal(late.verdict, AEF_INACTIVE);
}

int main(void)
{
#define EACH(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        EACH(test_who),
        EACH(test_malformed),
        EACH(test_bounds),
        EACH(test_good),
        EACH(test_plain),
        EACH(test_kept_information),
        EACH(test_look_up_under_way),
        EACH(test_look_up_twice_in_vain),
        EACH(test_policies),
        EACH(test_verdicts),
    };

    return cmocka_run_group_tests_name("aef: revoke", tests, NULL, NULL);
}
