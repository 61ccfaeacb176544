/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access control policies and topology hiding: whom they concern, who may
 * change them, and that they go with what they are of.
 */
#include "store_suite.h"

#include "cluster.h"
#include "report.h"
#include "store_policy.h"

#include <stdio.h>
#include <string.h>

#define PROFILES "'aefProfiles':[{'aefId':'%s-e1'},{'aefId':'%s-e2'}]"

/* A provider domain: an AMF, an APF, two AEFs, and an API of both. */
struct domain {
    struct ccf_store *s;
    struct ccf_member m[4]; /* AMF, APF, AEF, AEF */
    char api[16], e1[16], e2[16];
    json_t *doc;
};

static struct ccf_member member(enum capif_role role, const char *prefix,
                                const char *what)
{
    struct ccf_member m;
    char id[32];

    snprintf(id, sizeof(id), "%s-%s", prefix, what);
    m = store_member(role, id);
    snprintf(m.group_id, sizeof(m.group_id), "%s-g", prefix);
    return m;
}

static struct domain domain(void **state, const char *prefix)
{
    struct domain d = { .s = ((struct stores *)*state)->s };
    char text[256];

    d.m[0] = member(CAPIF_AMF, prefix, "amf");
    d.m[1] = member(CAPIF_APF, prefix, "apf");
    d.m[2] = member(CAPIF_AEF, prefix, "e1");
    d.m[3] = member(CAPIF_AEF, prefix, "e2");
    assert_int_equal(store_enrol(d.s, prefix, LATER, d.m[0].group_id, d.m, 4),
                     CCF_STORE_OK);
    snprintf(d.api, sizeof(d.api), "%s-api", prefix);
    snprintf(d.e1, sizeof(d.e1), "%s-e1", prefix);
    snprintf(d.e2, sizeof(d.e2), "%s-e2", prefix);
    snprintf(text, sizeof(text), "{'apiId':'%s','apiName':'n'," PROFILES "}",
             d.api, prefix, prefix);
    d.doc = soft_json(text);
    assert_int_equal(ccf_store_api_set(d.s, &d.m[1], d.api, NULL, d.doc),
                     CCF_STORE_OK);
    return d;
}

static enum ccf_store_status put(const struct domain *d,
                                 const struct ccf_member *by, const char *api,
                                 const char *aef, const char *text,
                                 bool *created)
{
    json_t *list = soft_json(text);
    bool unused;
    enum ccf_store_status st = ccf_store_policy_put(
        d->s, by, api, aef, list, created != NULL ? created : &unused);

    json_decref(list);
    return st;
}

/* The list is that text; NULL: there is none. */
static void list_is(const struct domain *d, const char *aef,
                    const struct ccf_policy_name *only, const char *text)
{
    json_t *list = NULL, *want = text != NULL ? soft_json(text) : NULL;

    assert_int_equal(ccf_store_policy_get(d->s, d->api, aef, only, &list),
                     text != NULL ? CCF_STORE_OK : CCF_STORE_NOT_FOUND);
    assert_true(text == NULL ? list == NULL : json_equal(list, want));
    json_decref(list);
    json_decref(want);
}

/* The same by the API's name, which is no other's at that AEF. */
static void by_name_is(const struct domain *d, const char *ccf,
                       const char *invoker, const char *aef, bool want)
{
    const struct ccf_use use = { CCF, ccf, invoker, aef, "n" },
                         other = { CCF, ccf, invoker, aef, "other" },
                         away = { OTHER, ccf, invoker, aef, "n" };
    bool is = !want;

    assert_int_equal(ccf_store_denied_by_name(d->s, &use, &is), CCF_STORE_OK);
    assert_int_equal(is, want);
    assert_int_equal(ccf_store_denied_by_name(d->s, &other, &is), CCF_STORE_OK);
    assert_false(is);
    assert_int_equal(ccf_store_denied_by_name(d->s, &away, &is), CCF_STORE_OK);
    assert_false(is);
}

/* At which of the two AEFs he is denied access, as digits. */
static void denied_is(const struct domain *d, const char *ccf,
                      const char *invoker, const char *text)
{
    struct ccf_guard g;
    json_t *api = NULL;
    char got[4] = "";

    assert_int_equal(ccf_store_guard(d->s, d->api, ccf, invoker, &g),
                     CCF_STORE_OK);
    if (json_object_get(g.denied, d->e1) != NULL)
        strcat(got, "1");
    if (json_object_get(g.denied, d->e2) != NULL)
        strcat(got, "2");
    assert_string_equal(got, text);
    ccf_guard_clear(&g);
    if (invoker == NULL
        || ccf_store_api_get(d->s, CCF, d->api, &api) != CCF_STORE_OK)
        return;
    by_name_is(d, ccf, invoker, d->e1, strchr(text, '1') != NULL);
    by_name_is(d, ccf, invoker, d->e2, strchr(text, '2') != NULL);
    json_decref(api);
}

static void events(const struct domain *d, const char *name, int n)
{
    char sql[160], got[16];

    if (!store_on_server)
        return; /* a file is looked at by test_policy.py */
    snprintf(sql, sizeof(sql),
             "SELECT count(*) FROM event WHERE name = '%s' AND api_id = '%s'"
             " AND group_id = '%s'",
             name, d->api, d->m[0].group_id);
    snprintf(got, sizeof(got), "%d", n);
    assert_non_null(strstr(cluster_sql(store_place, sql), got));
}

/* All who have subscribed are told of what there was. */
static void told(const struct domain *d)
{
    enum ccf_store_status st;

    while ((st = ccf_fanout(d->s, 0)) == CCF_STORE_OK)
        continue;
    assert_int_equal(st, CCF_STORE_NOT_FOUND);
}

void test_policy_names(void **state)
{
    static const char *const bad[] = { "",      "/x",     "a.b/", "a.b/c/d",
                                       "A.b/c", CCF "/x", "x y" };
    struct ccf_policy_name name;

    (void)state;
    assert_true(ccf_policy_name_read("inv-1", CCF, &name));
    assert_string_equal(name.ccf_id, CCF);
    assert_string_equal(name.invoker_id, "inv-1");
    assert_true(ccf_policy_name_read(OTHER "/inv-1", CCF, &name));
    assert_string_equal(name.ccf_id, OTHER);
    assert_string_equal(name.invoker_id, "inv-1");
    for (size_t i = 0; i < N_OF(bad); i++)
        if (ccf_policy_name_read(bad[i], CCF, &name))
            fail_msg("%s", bad[i]);
}

void test_policies(void **state)
{
    struct domain d = domain(state, "pol");
    const struct ccf_policy_name i1 = { CCF, "i1" }, i9 = { CCF, "i9" };
    bool created = false;

    list_is(&d, d.e1, NULL, NULL);
    denied_is(&d, CCF, "i1", "");
    assert_int_equal(put(&d, &d.m[0], d.api, d.e1,
                         "{'apiInvokerPolicies':[{'apiInvokerId':'i2',"
                         "'allowedTotalInvocations':0},{'apiInvokerId':'i1',"
                         "'allowedTotalInvocations':5},{'apiInvokerId':'" OTHER
                         "/i3'}]}",
                         &created),
                     CCF_STORE_OK);
    assert_true(created);
    denied_is(&d, CCF, "i1", "");
    denied_is(&d, CCF, "i2", "1");
    denied_is(&d, CCF, "i9", "");
    denied_is(&d, OTHER, "i2", "");
    denied_is(&d, OTHER, NULL, "");
    list_is(&d, d.e1, NULL,
            "{'apiInvokerPolicies':[{'apiInvokerId':'i1',"
            "'allowedTotalInvocations':5},{'apiInvokerId':'i2',"
            "'allowedTotalInvocations':0},{'apiInvokerId':'" OTHER
            "/i3'}],'" CCF_VS "':{'othersDenied':false}}");
    list_is(&d, d.e1, &i1,
            "{'apiInvokerPolicies':[{'apiInvokerId':'i1',"
            "'allowedTotalInvocations':5}],'" CCF_VS
            "':{'othersDenied':false}}");
    list_is(&d, d.e1, &i9,
            "{'apiInvokerPolicies':[],'" CCF_VS "':{'othersDenied':false}}");
    list_is(&d, d.e2, NULL, NULL);
    /* In its place, and for all others. */
    assert_int_equal(put(&d, &d.m[0], d.api, d.e1,
                         "{'apiInvokerPolicies':[{'apiInvokerId':'i1'}],"
                         "'" CCF_VS "':{'othersDenied':true}}",
                         &created),
                     CCF_STORE_OK);
    assert_false(created);
    assert_int_equal(put(&d, &d.m[0], d.api, d.e2,
                         "{'apiInvokerPolicies':[{'apiInvokerId':'" OTHER
                         "/i3'}],'" CCF_VS "':{'othersDenied':true}}",
                         NULL),
                     CCF_STORE_OK);
    denied_is(&d, CCF, "i1", "2");
    denied_is(&d, CCF, "i2", "12");
    denied_is(&d, OTHER, "i3", "1");
    denied_is(&d, OTHER, NULL, "1");
    denied_is(&d, "ccf.c.example", NULL, "12");
    events(&d, "ACCESS_CONTROL_POLICY_UPDATE", 3);
    assert_int_equal(ccf_store_policy_delete(d.s, &d.m[0], d.api, d.e2),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_policy_delete(d.s, &d.m[0], d.api, d.e2),
                     CCF_STORE_NOT_FOUND);
    events(&d, "ACCESS_CONTROL_POLICY_UNAVAILABLE", 1);
    denied_is(&d, CCF, "i2", "1");
    json_decref(d.doc);
}

/* Not by others, not of others, not by who is it no more: nothing changes. */
void test_policy_refused(void **state)
{
    struct domain d = domain(state, "ref"), o = domain(state, "oth");
    struct ccf_member old = d.m[0];
    json_t *info = soft_json("{'routingRules':[]}");
    bool created;

    strcpy(old.thumbprint, "old");
    assert_int_equal(put(&d, &old, d.api, d.e1, "{}", NULL), CCF_STORE_GONE);
    assert_int_equal(put(&d, &o.m[0], d.api, d.e1, "{}", NULL),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(put(&d, &d.m[0], d.api, o.e1, "{}", NULL),
                     CCF_STORE_NOT_FOUND);
    assert_int_equal(put(&d, &d.m[0], "api-none", d.e1, "{}", NULL),
                     CCF_STORE_NOT_FOUND);
    /* The same one twice, which a handler does not let pass. */
    assert_int_equal(put(&d, &d.m[0], d.api, d.e1,
                         "{'apiInvokerPolicies':[{'apiInvokerId':'i'},"
                         "{'apiInvokerId':'i'}]}",
                         NULL),
                     CCF_STORE_CONFLICT);
    list_is(&d, d.e1, NULL, NULL);
    assert_int_equal(
        ccf_store_routing_put(d.s, &o.m[0], d.api, d.e1, info, &created),
        CCF_STORE_NOT_FOUND);
    assert_int_equal(
        ccf_store_routing_put(d.s, &old, d.api, d.e1, info, &created),
        CCF_STORE_GONE);
    json_decref(info);
    info = soft_json("{'routingRules':[{'aefProfile':{'aefId':'oth-e1'}}]}");
    assert_int_equal(
        ccf_store_routing_put(d.s, &d.m[0], d.api, d.e1, info, &created),
        CCF_STORE_CHANGED);
    assert_int_equal(ccf_store_routing_delete(d.s, &d.m[0], d.api, d.e1),
                     CCF_STORE_NOT_FOUND);
    json_decref(info);
    json_decref(d.doc);
    json_decref(o.doc);
}

static void entry_is(const struct domain *d, const char *aef)
{
    struct ccf_guard g;

    assert_int_equal(ccf_store_guard(d->s, d->api, CCF, "i", &g), CCF_STORE_OK);
    assert_int_equal(json_object_size(g.entry), aef != NULL ? 1 : 0);
    assert_true(aef == NULL || json_object_get(g.entry, aef) != NULL);
    ccf_guard_clear(&g);
}

static void hide(const struct domain *d, const char *entry, const char *behind)
{
    json_t *info = json_pack("{s:[{s:{s:s}}]}", "routingRules", "aefProfile",
                             "aefId", behind);
    json_t *got = NULL;
    bool created;

    assert_int_equal(
        ccf_store_routing_put(d->s, &d->m[0], d->api, entry, info, &created),
        CCF_STORE_OK);
    assert_int_equal(ccf_store_routing_get(d->s, d->api, entry, &got),
                     CCF_STORE_OK);
    assert_true(json_equal(info, got));
    json_decref(info);
    json_decref(got);
}

void test_routing(void **state)
{
    struct domain d = domain(state, "rou");
    json_t *info = NULL;

    entry_is(&d, NULL);
    hide(&d, d.e1, d.e2);
    hide(&d, d.e1, d.e1);
    entry_is(&d, d.e1);
    assert_int_equal(ccf_store_routing_get(d.s, d.api, d.e2, &info),
                     CCF_STORE_NOT_FOUND);
    events(&d, "API_TOPOLOGY_HIDING_CREATED", 2);
    assert_int_equal(ccf_store_routing_delete(d.s, &d.m[0], d.api, d.e1),
                     CCF_STORE_OK);
    events(&d, "API_TOPOLOGY_HIDING_REVOKED", 1);
    entry_is(&d, NULL);
    json_decref(d.doc);
}

/* With the profile, the API, the AEF and the domain; and with the invoker. */
void test_policy_ends(void **state)
{
    struct domain d = domain(state, "end");
    struct ccf_member inv = store_member(CAPIF_INVOKER, "end-i");
    json_t *one = json_deep_copy(d.doc), *list = NULL;
    static const char deny[] = "{'apiInvokerPolicies':[{'apiInvokerId':"
                               "'end-i','allowedTotalInvocations':0}]}";

    json_array_remove(json_object_get(one, "aefProfiles"), 1);
    assert_int_equal(put(&d, &d.m[0], d.api, d.e1, deny, NULL), CCF_STORE_OK);
    assert_int_equal(put(&d, &d.m[0], d.api, d.e2, deny, NULL), CCF_STORE_OK);
    hide(&d, d.e2, d.e1);
    denied_is(&d, CCF, "end-i", "12");
    /* the profile of the second AEF */
    assert_int_equal(ccf_store_api_set(d.s, &d.m[1], d.api, d.doc, one),
                     CCF_STORE_OK);
    denied_is(&d, CCF, "end-i", "1");
    entry_is(&d, NULL);
    events(&d, "ACCESS_CONTROL_POLICY_UNAVAILABLE", 1);
    events(&d, "API_TOPOLOGY_HIDING_REVOKED", 1);
    /* an invoker that is offboarded */
    assert_int_equal(store_enrol(d.s, "end-i", LATER, "end-ig", &inv, 1),
                     CCF_STORE_OK);
    assert_int_equal(ccf_store_offboard(d.s, &inv.who, "end-ig"), CCF_STORE_OK);
    denied_is(&d, CCF, "end-i", "");
    list_is(&d, d.e1, NULL,
            "{'apiInvokerPolicies':[],'" CCF_VS "':{'othersDenied':false}}");
    /* the API */
    assert_int_equal(ccf_store_api_delete(d.s, CCF, d.api, "end-apf"),
                     CCF_STORE_OK);
    denied_is(&d, CCF, "end-i", "");
    told(&d);
    list_is(&d, d.e1, NULL, NULL);
    json_decref(list);
    json_decref(one);
    json_decref(d.doc);
}

void test_policy_ends_with_aef(void **state)
{
    struct domain d = domain(state, "aef");
    json_t *doc = soft_json("{}"), *was = NULL, *info = NULL;
    static const char all[] = "{'" CCF_VS "':{'othersDenied':true}}";

    assert_int_equal(put(&d, &d.m[0], d.api, d.e1, all, NULL), CCF_STORE_OK);
    assert_int_equal(put(&d, &d.m[0], d.api, d.e2, all, NULL), CCF_STORE_OK);
    hide(&d, d.e1, d.e2);
    assert_int_equal(ccf_store_group_get(d.s, d.m[0].group_id, &was),
                     CCF_STORE_OK);
    /* The second AEF is deregistered: no rule is left for the first. */
    assert_int_equal(ccf_store_group_change(d.s, &d.m[0], was, doc, d.m, 3),
                     CCF_STORE_OK);
    denied_is(&d, CCF, "i", "1");
    assert_int_equal(ccf_store_routing_get(d.s, d.api, d.e1, &info),
                     CCF_STORE_NOT_FOUND);
    events(&d, "API_TOPOLOGY_HIDING_REVOKED", 1);
    assert_int_equal(ccf_store_group_remove(d.s, &d.m[0]), CCF_STORE_OK);
    denied_is(&d, CCF, "i", "1");
    told(&d);
    list_is(&d, d.e1, NULL, NULL);
    json_decref(was);
    json_decref(doc);
    json_decref(d.doc);
}
