/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Service API descriptions: checking, publishing (TS 29.222 8.2), and what
 * others may see of them.
 */
#include "ccf.h"

#include "log.h"
#include "scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX     256
#define PROFILES_MAX 16
#define URI_MAX      1024

static void check_methods(const struct capif_at *at)
{
    struct capif_at methods =
        capif_get_array(at, "securityMethods", false, 1, 8);

    for (size_t i = 0; i < json_array_size(methods.v); i++)
        (void)capif_item_str(&methods, i, 32); /* unknown ones are allowed */
}

/* TS 29.222 8.2.4.2.3: exactly one kind of address. */
static void check_interface(const struct capif_at *at)
{
    int n = (capif_get_str(at, "ipv4Addr", false, 15) != NULL)
            + (capif_get_str(at, "ipv6Addr", false, 45) != NULL)
            + (capif_get_str(at, "fqdn", false, 253) != NULL);
    const char *prefix = capif_get_str(at, "apiPrefix", false, TEXT_MAX);

    if (n != 1)
        capif_complain(at, "needs one of ipv4Addr, ipv6Addr, fqdn");
    (void)capif_get_int(at, "port", 1, 65535, 0);
    if (prefix != NULL && prefix[0] != '/')
        capif_complain(at, "apiPrefix must begin with a slash");
    check_methods(at);
}

static void check_version(const struct capif_at *at)
{
    struct capif_at resources = capif_get_array(at, "resources", false, 1, 64);

    (void)capif_get_str(at, "apiVersion", true, 32);
    for (size_t i = 0; i < json_array_size(resources.v); i++) {
        struct capif_at r = capif_at_item(&resources, i);
        struct capif_at ops = capif_get_array(&r, "operations", false, 1, 8);

        (void)capif_get_str(&r, "resourceName", true, TEXT_MAX);
        (void)capif_get_str(&r, "commType", true, 32);
        (void)capif_get_str(&r, "uri", true, URI_MAX);
        for (size_t j = 0; j < json_array_size(ops.v); j++)
            (void)capif_item_str(&ops, j, 16);
    }
}

static void check_profile(const struct capif_at *at)
{
    const char *aef_id = capif_get_str(at, "aefId", true, CAPIF_SCOPE_NAME_MAX);
    const char *domain = capif_get_str(at, "domainName", false, 253);
    struct capif_at list =
        capif_get_array(at, "interfaceDescriptions", false, 1, 8);
    struct capif_at versions = capif_get_array(at, "versions", true, 1, 16);

    if (aef_id != NULL && !capif_scope_name_ok(aef_id))
        capif_complain(at, "aefId can't stand in a scope");
    if ((domain != NULL)
        == (json_object_get(at->v, "interfaceDescriptions") != NULL))
        capif_complain(at, "needs one of domainName, interfaceDescriptions");
    for (size_t i = 0; i < json_array_size(list.v); i++) {
        struct capif_at item = capif_at_item(&list, i);
        check_interface(&item);
    }
    for (size_t i = 0; i < json_array_size(versions.v); i++) {
        struct capif_at item = capif_at_item(&versions, i);
        check_version(&item);
    }
    check_methods(at);
}

void ccf_api_check(const struct capif_at *api)
{
    const char *name =
        capif_get_str(api, "apiName", true, CAPIF_SCOPE_NAME_MAX);
    struct capif_at profiles =
        capif_get_array(api, "aefProfiles", true, 1, PROFILES_MAX);
    struct capif_at share = capif_get_object(api, "shareableInfo", false);
    struct capif_at doms =
        capif_get_array(&share, "capifProvDoms", false, 1, 64);

    if (name != NULL && !capif_scope_name_ok(name))
        capif_complain(api, "apiName can't stand in a scope");
    (void)capif_get_str(api, "description", false, 1024);
    (void)capif_get_bool(&share, "isShareable", false);
    for (size_t i = 0; i < json_array_size(doms.v); i++)
        (void)capif_item_str(&doms, i, CAPIF_CCF_ID_MAX);
    for (size_t i = 0; i < json_array_size(profiles.v); i++) {
        struct capif_at item = capif_at_item(&profiles, i);
        check_profile(&item);
    }
}

static const char *aef_of(const json_t *profile)
{
    return json_string_value(json_object_get(profile, "aefId"));
}

json_t *ccf_api_profile(const json_t *api, const char *aef_id)
{
    json_t *profiles = json_object_get(api, "aefProfiles"), *profile;
    size_t i;

    json_array_foreach(profiles, i, profile)
    {
        if (aef_of(profile) != NULL && strcmp(aef_of(profile), aef_id) == 0)
            return profile;
    }
    return NULL;
}

json_t *ccf_api_only_aefs(const json_t *api, const char *const *aefs)
{
    json_t *copy = json_deep_copy(api);
    json_t *profiles = json_object_get(copy, "aefProfiles");

    for (size_t i = json_array_size(profiles); i-- > 0;) {
        const char *aef_id = aef_of(json_array_get(profiles, i));

        if (aef_id == NULL || !capif_list_has(aefs, aef_id))
            json_array_remove(profiles, i);
    }
    if (json_array_size(profiles) == 0) {
        json_decref(copy);
        return NULL;
    }
    return copy;
}

/* Absent means not shareable (TS 23.222 8.25.2.1). */
json_t *ccf_api_for_partner(const json_t *api,
                            const struct ccf_partner *partner)
{
    const json_t *share = json_object_get(api, "shareableInfo");
    const json_t *doms = json_object_get(share, "capifProvDoms"), *dom;
    bool named = doms == NULL;
    size_t i;

    json_array_foreach(doms, i, dom)
    {
        named = named || strcmp(json_string_value(dom), partner->ccf_id) == 0;
    }
    if (!json_is_true(json_object_get(share, "isShareable")) || !named)
        return NULL;
    return ccf_api_only_aefs(api, partner->aefs);
}

/* ---- handlers ---- */

/* Is the path's APF the peer?  Answers if not. */
static bool own_apf(struct capif_req *req, const struct ccf_worker *w)
{
    if (strcmp(capif_req_param(req, 0), w->peer.id) == 0)
        return true;
    capif_reply_problem(req, 403, NULL, "not your APF id");
    return false;
}

/* Every AEF must be of the provider domain that the APF is of. */
static enum ccf_store_status own_aefs(struct ccf_worker *w,
                                      const struct capif_at *api)
{
    struct capif_identity who = { .role = CAPIF_AEF };
    json_t *profiles = json_object_get(api->v, "aefProfiles"), *profile;
    struct ccf_member member;
    enum ccf_store_status st;
    size_t i;

    strcpy(who.ccf_id, w->ccf->ccf_id);
    json_array_foreach(profiles, i, profile)
    {
        snprintf(who.id, sizeof(who.id), "%s", aef_of(profile));
        if ((st = ccf_store_member(w->store, &who, &member)) != CCF_STORE_OK)
            return st;
        if (strcmp(member.group_id, w->peer_group) != 0)
            return CCF_STORE_NOT_FOUND;
    }
    return CCF_STORE_OK;
}

static void publish(struct capif_req *req, struct ccf_worker *w, json_t *doc)
{
    struct capif_reader reader = { 0 };
    struct capif_at root = capif_at_root(doc, &reader);
    char api_id[CAPIF_ID_MAX + 1], location[URI_MAX];
    enum ccf_store_status st;

    ccf_api_check(&root);
    if (reader.n > 0) {
        capif_reply_invalid(req, &reader);
        return;
    }
    if ((st = own_aefs(w, &root)) == CCF_STORE_ERROR) {
        ccf_reply_store(req, st);
        return;
    }
    if (st != CCF_STORE_OK) {
        capif_reply_problem(req, 403, NULL,
                            "an AEF is not of your provider domain");
        return;
    }
    if (!ccf_make_id("api-", api_id)) {
        capif_reply_internal(req, "no-random");
        return;
    }
    json_object_set_new(doc, "apiId", json_string(api_id));
    json_object_set_new(doc, "ccfId", json_string(w->ccf->ccf_id));
    json_object_set_new(doc, "supportedFeatures", json_string("0"));
    st = ccf_store_api_put(w->store, w->ccf->ccf_id, api_id, w->peer.id, doc);
    if (st != CCF_STORE_OK) {
        ccf_reply_store(req, st);
        return;
    }
    capif_log("published", "apf", w->peer.id, "api", api_id, NULL);
    snprintf(location, sizeof(location),
             "%s/published-apis/v1/%s/service-apis/%s", w->ccf->url, w->peer.id,
             api_id);
    capif_req_set_header(req, "Location", location);
    capif_reply_json(req, 201, json_incref(doc));
}

void ccf_post_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    json_t *doc;

    if (!own_apf(req, w)
        || (doc = capif_req_json(req, "application/json")) == NULL)
        return;
    publish(req, w, doc);
    json_decref(doc);
}

void ccf_get_apis(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    json_t *docs = NULL;
    enum ccf_store_status st;

    if (!own_apf(req, w))
        return;
    st = ccf_store_api_list(w->store, w->ccf->ccf_id, w->peer.id, &docs);
    if (st == CCF_STORE_OK)
        capif_reply_json(req, 200, docs);
    else
        ccf_reply_store(req, st);
}

void ccf_get_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    json_t *docs = NULL, *doc, *found = NULL;
    enum ccf_store_status st;
    size_t i;

    if (!own_apf(req, w))
        return;
    st = ccf_store_api_list(w->store, w->ccf->ccf_id, w->peer.id, &docs);
    json_array_foreach(docs, i, doc)
    {
        if (strcmp(json_string_value(json_object_get(doc, "apiId")),
                   capif_req_param(req, 1))
            == 0)
            found = json_incref(doc);
    }
    json_decref(docs);
    if (found != NULL)
        capif_reply_json(req, 200, found);
    else
        ccf_reply_store(req, st == CCF_STORE_OK ? CCF_STORE_NOT_FOUND : st);
}

void ccf_delete_api(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    enum ccf_store_status st;

    if (!own_apf(req, w))
        return;
    st = ccf_store_api_delete(w->store, w->ccf->ccf_id, capif_req_param(req, 1),
                              w->peer.id);
    if (st == CCF_STORE_OK)
        capif_reply_empty(req, 204);
    else
        ccf_reply_store(req, st);
}
