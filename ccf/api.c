/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Service API descriptions (TS 29.222 8.2): checking them, and what others
 * may see of them.
 */
#include "ccf.h"

#include "scope.h"
#include "store_policy.h"
#include "traits.h"

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
void ccf_interface_check(const struct capif_at *at)
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

static void check_operations(const struct capif_at *at)
{
    struct capif_at ops = capif_get_array(at, "operations", false, 1, 8);

    for (size_t i = 0; i < json_array_size(ops.v); i++)
        (void)capif_item_str(&ops, i, 16);
}

static void check_custom(const struct capif_at *at)
{
    struct capif_at list = capif_get_array(at, "custOperations", false, 1, 64);

    for (size_t i = 0; i < json_array_size(list.v); i++) {
        struct capif_at op = capif_at_item(&list, i);

        (void)capif_get_str(&op, "commType", true, 32);
        (void)capif_get_str(&op, "custOpName", true, TEXT_MAX);
        (void)capif_get_str(&op, "description", false, 1024);
        check_operations(&op);
    }
}

static void check_version(const struct capif_at *at)
{
    struct capif_at resources = capif_get_array(at, "resources", false, 1, 64);

    (void)capif_get_str(at, "apiVersion", true, 32);
    for (size_t i = 0; i < json_array_size(resources.v); i++) {
        struct capif_at r = capif_at_item(&resources, i);

        (void)capif_get_str(&r, "resourceName", true, TEXT_MAX);
        (void)capif_get_str(&r, "commType", true, 32);
        (void)capif_get_str(&r, "uri", true, URI_MAX);
        (void)capif_get_str(&r, "custOpName", false, TEXT_MAX);
        (void)capif_get_str(&r, "description", false, 1024);
        check_operations(&r);
        check_custom(&r);
    }
    (void)capif_get_str(at, "expiry", false, 64);
    check_custom(at);
}

void ccf_profile_check(const struct capif_at *at)
{
    const char *aef_id = capif_get_str(at, "aefId", true, CAPIF_SCOPE_NAME_MAX);
    const char *domain = capif_get_str(at, "domainName", false, 253);
    struct capif_at list =
        capif_get_array(at, "interfaceDescriptions", false, 1, 8);
    struct capif_at versions = capif_get_array(at, "versions", true, 1, 16);
    struct capif_at location = capif_get_object(at, "aefLocation", false);
    struct capif_at kpis = capif_get_object(at, "serviceKpis", false);
    struct capif_at ues = capif_get_object(at, "ueIpRange", false);
    struct capif_at vs = capif_get_object(at, CCF_VS, false);

    if (aef_id != NULL && !capif_scope_name_ok(aef_id))
        capif_complain(at, "aefId can't stand in a scope");
    if ((domain != NULL)
        == (json_object_get(at->v, "interfaceDescriptions") != NULL))
        capif_complain(at, "needs one of domainName, interfaceDescriptions");
    for (size_t i = 0; i < json_array_size(list.v); i++) {
        struct capif_at item = capif_at_item(&list, i);
        ccf_interface_check(&item);
    }
    for (size_t i = 0; i < json_array_size(versions.v); i++) {
        struct capif_at item = capif_at_item(&versions, i);
        check_version(&item);
    }
    (void)capif_get_str(at, "protocol", false, 32);
    (void)capif_get_str(at, "dataFormat", false, 32);
    ccf_location_check(&location);
    ccf_kpis_check(&kpis);
    ccf_ue_range_check(&ues);
    (void)capif_get_https(&vs, "controlUrl", false); /* revocations go there */
    check_methods(at);
}

/* Where the API is active: at some of its AEFs (TS 29.222 8.2.4.2.2). */
static void check_status(const struct capif_at *api)
{
    struct capif_at status = capif_get_object(api, "apiStatus", false);
    struct capif_at ids =
        capif_get_array(&status, "aefIds", true, 0, PROFILES_MAX);

    for (size_t i = 0; i < json_array_size(ids.v); i++) {
        const char *id = capif_item_str(&ids, i, CAPIF_SCOPE_NAME_MAX);

        if (id != NULL && ccf_api_profile(api->v, id) == NULL)
            capif_complain(&ids, "names an AEF without a profile");
    }
}

static void check_share(const struct capif_at *api)
{
    struct capif_at share = capif_get_object(api, "shareableInfo", false);
    struct capif_at doms =
        capif_get_array(&share, "capifProvDoms", false, 1, 64);

    (void)capif_get_bool(&share, "isShareable", false);
    if (share.v != NULL && json_object_get(share.v, "isShareable") == NULL)
        capif_complain(&share, "isShareable is missing");
    for (size_t i = 0; i < json_array_size(doms.v); i++)
        (void)capif_item_str(&doms, i, CAPIF_CCF_ID_MAX);
}

void ccf_api_check(const struct capif_at *api)
{
    const char *name =
        capif_get_str(api, "apiName", true, CAPIF_SCOPE_NAME_MAX);
    struct capif_at profiles =
        capif_get_array(api, "aefProfiles", true, 1, PROFILES_MAX);
    struct capif_at path = capif_get_object(api, "pubApiPath", false);
    struct capif_at ccfs = capif_get_array(&path, "ccfIds", false, 1, 64);

    if (name != NULL && !capif_scope_name_ok(name))
        capif_complain(api, "apiName can't stand in a scope");
    (void)capif_get_str(api, "description", false, 1024);
    (void)capif_get_str(api, "serviceAPICategory", false, TEXT_MAX);
    capif_check_features(api, "supportedFeatures", false);
    capif_check_features(api, "apiSuppFeats", false);
    for (size_t i = 0; i < json_array_size(ccfs.v); i++)
        (void)capif_item_str(&ccfs, i, CAPIF_CCF_ID_MAX);
    for (size_t i = 0; i < json_array_size(profiles.v); i++) {
        struct capif_at item = capif_at_item(&profiles, i);
        ccf_profile_check(&item);
    }
    check_share(api);
    check_status(api);
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
