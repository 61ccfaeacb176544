/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Security method negotiation, 6.24.2.1: what an invoker asks for, in whose
 * domain that is, and what is chosen.
 */
#include "ccf.h"

#include "scope.h"
#include "share.h"
#include "store_policy.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHODS_MAX 8

static bool refuse(struct ccf_refusal *no, int status, const char *cause,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));

static bool refuse(struct ccf_refusal *no, int status, const char *cause,
                   const char *fmt, ...)
{
    va_list ap;

    no->status = status;
    no->cause = cause;
    va_start(ap, fmt);
    vsnprintf(no->why, sizeof(no->why), fmt, ap);
    va_end(ap);
    return false;
}

static void wish_read(const struct capif_at *at, struct ccf_wish *out)
{
    struct capif_at pref =
        capif_get_array(at, "prefSecurityMethods", true, 1, METHODS_MAX);
    struct capif_at vs = capif_get_object(at, CCF_VS, false);
    struct capif_at iface = capif_get_object(at, "interfaceDetails", false);

    memset(out, 0, sizeof(*out));
    out->aef_id = capif_get_str(at, "aefId", false, CAPIF_SCOPE_NAME_MAX);
    out->api_id = capif_get_str(at, "apiId", true, CAPIF_ID_MAX);
    out->ccf_id = capif_get_str(&vs, "ccfId", false, CAPIF_CCF_ID_MAX);
    out->interface = iface.v;
    if ((json_object_get(at->v, "aefId") != NULL)
        == (json_object_get(at->v, "interfaceDetails") != NULL))
        capif_complain(at, "needs one of aefId, interfaceDetails");
    if (out->api_id != NULL && !capif_id_ok(out->api_id))
        capif_complain(at, "malformed apiId");
    for (size_t i = 0; i < json_array_size(pref.v); i++)
        out->pref[i] = capif_item_str(&pref, i, 32);
}

size_t ccf_wishes_read(const struct capif_at *root, struct ccf_wish *out)
{
    struct capif_at list =
        capif_get_array(root, "securityInfo", true, 1, CCF_APIS_MAX);
    size_t n = json_array_size(list.v);

    for (size_t i = 0; i < n; i++) {
        struct capif_at item = capif_at_item(&list, i);

        if (item.v != NULL)
            wish_read(&item, &out[i]);
    }
    return n;
}

json_t *ccf_interface_bare(const json_t *interface)
{
    static const char *const names[] = { "ipv4Addr", "ipv6Addr", "fqdn", "port",
                                         "apiPrefix" };
    json_t *bare = json_object(), *v;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if ((v = json_object_get(interface, names[i])) != NULL)
            json_object_set(bare, names[i], v);
    return bare;
}

/* Equal in the members that identify an interface. */
bool ccf_interface_same(const json_t *a, const json_t *b)
{
    json_t *bare_a = ccf_interface_bare(a), *bare_b = ccf_interface_bare(b);
    bool same = json_equal(bare_a, bare_b);

    json_decref(bare_a);
    json_decref(bare_b);
    return same;
}

/* The profile a wish means, and in *iface its interface if it named one. */
static json_t *profile_of(const json_t *api, const struct ccf_wish *wish,
                          json_t **iface)
{
    json_t *profiles = json_object_get(api, "aefProfiles"), *profile, *it;
    size_t i, j;

    *iface = NULL;
    if (wish->interface == NULL)
        return ccf_api_profile(api, wish->aef_id);
    json_array_foreach(profiles, i, profile)
    {
        json_array_foreach(json_object_get(profile, "interfaceDescriptions"), j,
                           it)
        {
            if (ccf_interface_same(it, wish->interface)) {
                *iface = it;
                return profile;
            }
        }
    }
    return NULL;
}

/* A partner has no say in what our own AEFs grant. */
static bool not_own_aef(struct ccf_worker *w, const char *aef_id,
                        const char *owner, struct ccf_refusal *no)
{
    struct capif_identity who = { .role = CAPIF_AEF };
    struct ccf_member member;
    enum ccf_store_status st;

    snprintf(who.ccf_id, sizeof(who.ccf_id), "%s", w->ccf->ccf_id);
    snprintf(who.id, sizeof(who.id), "%s", aef_id);
    st = ccf_store_member(w->store, &who, &member);
    if (st == CCF_STORE_NOT_FOUND)
        return true;
    return st == CCF_STORE_OK
               ? refuse(no, 403, NULL, "this AEF is not in %s", owner)
               : refuse(no, 503, NULL, "the store is not available");
}

bool ccf_wish_locate(struct ccf_worker *w, struct ccf_wish *wish,
                     const struct ccf_partner *partner, struct ccf_refusal *no)
{
    const char *own = w->ccf->ccf_id, *owner;
    json_t *api = NULL, *profile = NULL, *iface;
    enum ccf_store_status st;
    bool ok = true;

    if (partner != NULL) /* no further hop: a partner means our own APIs */
        return wish->ccf_id == NULL || strcmp(wish->ccf_id, own) == 0
               || refuse(no, 403, NULL, "%s is not this domain", wish->ccf_id);
    st = ccf_store_api_get(w->store, wish->ccf_id != NULL ? wish->ccf_id : own,
                           wish->api_id, &api);
    /* A partner chooses its apiIds: ours is ours whoever has the same. */
    if (st == CCF_STORE_NOT_FOUND && wish->ccf_id == NULL)
        st = ccf_store_api_get(w->store, NULL, wish->api_id, &api);
    if (st == CCF_STORE_ERROR)
        return refuse(no, 503, NULL, "the store is not available");
    owner = wish->ccf_id != NULL
                ? wish->ccf_id
                : json_string_value(json_object_get(api, "ccfId"));
    if (owner == NULL) {
        ok = refuse(no, 400, NULL, "unknown API %s", wish->api_id);
    } else if (strcmp(owner, own) != 0) {
        wish->at = ccf_partner_find(w->ccf, owner);
        if (wish->at == NULL)
            ok = refuse(no, 403, NULL, "no agreement with %s", owner);
        if (ok && api != NULL)
            profile = profile_of(api, wish, &iface);
        if (profile != NULL && wish->interface != NULL) {
            snprintf(wish->aef_room, sizeof(wish->aef_room), "%s",
                     json_string_value(json_object_get(profile, "aefId")));
            wish->aef_id = wish->aef_room;
        }
        if (ok
            && (wish->aef_id == NULL
                || !capif_list_has(wish->at->aefs, wish->aef_id)))
            ok = refuse(no, 403, NULL,
                        "the agreement with %s does not name this AEF", owner);
        ok = ok && not_own_aef(w, wish->aef_id, owner, no);
    }
    json_decref(api);
    return ok;
}

static bool offers(const json_t *methods, const char *method)
{
    const json_t *m;
    size_t i;

    json_array_foreach(methods, i, m)
    {
        if (strcmp(json_string_value(m), method) == 0)
            return true;
    }
    return methods == NULL; /* nothing said: whatever the policy allows */
}

static bool allowed(const struct ccf *ccf, const struct ccf_partner *partner,
                    const json_t *methods, const char *method)
{
    /* For its own invokers, a CCF without a KEK has no PSKs. */
    if (partner == NULL && ccf->kek_uri == NULL && strcmp(method, "PSK") == 0)
        return false;
    return capif_list_has(ccf->methods, method)
           && (partner == NULL || capif_list_has(partner->methods, method))
           && offers(methods, method);
}

static void refuse_methods(const struct ccf *ccf,
                           const struct ccf_partner *partner,
                           const json_t *methods, struct ccf_refusal *no)
{
    size_t used;

    refuse(no, 403, "SECURITY_METHOD_NOT_SUPPORTED", "on offer:");
    for (const char *const *m = ccf->methods; *m != NULL; m++) {
        used = strlen(no->why);
        if (allowed(ccf, partner, methods, *m))
            snprintf(no->why + used, sizeof(no->why) - used, " %s", *m);
    }
    if (strchr(no->why, ' ') == strrchr(no->why, ' '))
        strcat(no->why, " nothing");
}

json_t *ccf_wish_entry(const struct ccf_wish *wish, const char *selected,
                       const char *auth_info, const char *ccf_id,
                       const char *api_name, json_t *interface)
{
    json_t *entry = json_object(), *pref = json_array();
    json_t *vs =
        json_pack("{s:s, s:s}", "ccfId", ccf_id, "aefId", wish->aef_id);

    for (const char *const *p = wish->pref; *p != NULL; p++)
        json_array_append_new(pref, json_string(*p));
    if (wish->interface != NULL)
        json_object_set(entry, "interfaceDetails", wish->interface);
    else
        json_object_set_new(entry, "aefId", json_string(wish->aef_id));
    json_object_set_new(entry, "apiId", json_string(wish->api_id));
    json_object_set_new(entry, "prefSecurityMethods", pref);
    json_object_set_new(entry, "selSecurityMethod", json_string(selected));
    if (auth_info != NULL)
        json_object_set_new(entry, "authenticationInfo",
                            json_string(auth_info));
    if (api_name != NULL)
        json_object_set_new(vs, "apiName", json_string(api_name));
    if (interface != NULL)
        json_object_set(vs, "interface", interface);
    json_object_set_new(entry, CCF_VS, vs);
    return entry;
}

json_t *ccf_pem_list(STACK_OF(X509) * certs)
{
    json_t *list = json_array();
    char *pem;

    for (int i = 0; i < sk_X509_num(certs); i++) {
        pem = capif_cert_pem(sk_X509_value(certs, i));
        if (pem != NULL)
            json_array_append_new(list, json_string(pem));
        free(pem);
    }
    return list;
}

/*
 * What the invoker must know to use the method (design 10, OQ-4, OQ-11):
 * whether to come with its certificate, and how to know the AEF's.
 */
static char *auth_info(const struct ccf *ccf)
{
    json_t *info = json_pack("{s:i, s:s, s:o}", "v", 1, "clientAuth",
                             ccf->oauth_client_auth, "caCertificates",
                             ccf_pem_list(ccf->ca_certs));
    char *text = json_dumps(info, JSON_COMPACT);

    json_decref(info);
    return text;
}

/* The interface a wish means, or, if it named none, the profile's first. */
static json_t *interface_of(const json_t *profile, json_t *named)
{
    return named != NULL
               ? named
               : json_array_get(
                   json_object_get(profile, "interfaceDescriptions"), 0);
}

/* The entry for one method; the invoker's own CCF completes a PSK's. */
static json_t *grant(const struct ccf *ccf, const struct ccf_wish *wish,
                     const char *method, const json_t *api, json_t *interface)
{
    const json_t *profile = ccf_api_profile(api, wish->aef_id);
    const char *control = ccf_vs_str(profile, "controlUrl");
    const char *name = json_string_value(json_object_get(api, "apiName"));
    bool psk = strcmp(method, "PSK") == 0;
    char *info = auth_info(ccf);
    json_t *bare = psk ? ccf_interface_bare(interface) : NULL;
    json_t *entry = ccf_wish_entry(wish, method, info, ccf->ccf_id, name, bare);

    if (control != NULL) /* where the AEF is told if this is taken back */
        json_object_set_new(json_object_get(entry, CCF_VS), "controlUrl",
                            json_string(control));
    json_decref(bare);
    free(info);
    return entry;
}

static json_t *choose_from(struct ccf_worker *w, const struct ccf_wish *wish,
                           const struct ccf_partner *partner, const json_t *api,
                           const json_t *denied, struct ccf_refusal *no)
{
    struct ccf_wish found = *wish;
    json_t *iface, *methods;
    json_t *profile = profile_of(api, wish, &iface);

    if (profile == NULL) {
        refuse(no, 403, NULL, "%s is not at this AEF", wish->api_id);
        return NULL;
    }
    found.aef_id = json_string_value(json_object_get(profile, "aefId"));
    if (json_object_get(denied, found.aef_id) != NULL) {
        refuse(no, 403, NULL, "the access policy denies %s at this AEF",
               wish->api_id);
        return NULL;
    }
    if (!ccf_api_is_active(api, found.aef_id)) {
        refuse(no, 403, NULL, "%s is not active at this AEF", wish->api_id);
        return NULL;
    }
    iface = interface_of(profile, iface);
    methods = json_object_get(iface, "securityMethods");
    if (methods == NULL)
        methods = json_object_get(profile, "securityMethods");
    for (const char *const *p = wish->pref; *p != NULL; p++)
        if (allowed(w->ccf, partner, methods, *p)
            && (strcmp(*p, "PSK") != 0 || iface != NULL))
            return grant(w->ccf, &found, *p, api, iface);
    refuse_methods(w->ccf, partner, methods, no);
    return NULL;
}

json_t *ccf_wish_choose(struct ccf_worker *w, const struct ccf_wish *wish,
                        const struct ccf_partner *partner,
                        const struct ccf_asker *who, struct ccf_refusal *no)
{
    json_t *api = NULL, *seen = NULL, *denied = NULL, *entry = NULL;
    enum ccf_store_status st =
        ccf_store_api_get(w->store, w->ccf->ccf_id, wish->api_id, &api);

    if (st == CCF_STORE_OK)
        seen = partner != NULL
                   ? ccf_api_for_partner(api, partner->ccf_id, partner->aefs)
                   : json_incref(api);
    /* What is hidden is as if it were not there: profile_of() finds none. */
    if (seen != NULL)
        st = ccf_access_unhide(w, who, wish->api_id, seen, &denied);
    if (st == CCF_STORE_ERROR)
        refuse(no, 503, NULL, "the store is not available");
    else if (seen != NULL)
        entry = choose_from(w, wish, partner, seen, denied, no);
    else
        refuse(no, partner != NULL ? 403 : 400, NULL,
               partner != NULL ? "%s is not shared with you" : "unknown API %s",
               wish->api_id);
    json_decref(denied);
    json_decref(seen);
    json_decref(api);
    return entry;
}

char *ccf_api_name(struct ccf_worker *w, const char *ccf_id, const char *api_id)
{
    json_t *api = NULL;
    const char *name;
    char *copy = NULL;

    if (ccf_store_api_get(w->store, ccf_id, api_id, &api) == CCF_STORE_OK
        && (name = json_string_value(json_object_get(api, "apiName"))) != NULL)
        copy = strdup(name);
    json_decref(api);
    return copy;
}
