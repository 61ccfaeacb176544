/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Security information of invokers: reading it, and keeping it.
 */
#include "aef.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_MAX  1024
#define STRING_MAX (64 * 1024)

struct aef_cache {
    pthread_mutex_t lock;
    /* all guarded by lock */
    struct aef_info *slots[CACHE_MAX];
    size_t next;
    unsigned long long added;
    struct aef_asking *asking; /* who is being asked about */
};

struct aef_info *aef_info_hold(const struct aef_info *info)
{
    struct aef_info *held = (struct aef_info *)(uintptr_t)info;

    atomic_fetch_add(&held->refs, 1);
    return held;
}

void aef_info_put(struct aef_info *info)
{
    if (info == NULL || atomic_fetch_sub(&info->refs, 1) != 1)
        return;
    for (size_t i = 0; i < info->n_apis; i++) {
        free(info->apis[i].envelope);
        aef_policy_clear(&info->apis[i].policy);
    }
    sk_X509_pop_free(info->anchors, X509_free);
    json_decref(info->issuers);
    free(info);
}

struct aef_info *aef_info_new(const char *ccf_id, const char *invoker_id)
{
    struct aef_info *info = calloc(1, sizeof(*info));

    if (info == NULL)
        return NULL;
    atomic_init(&info->refs, 1);
    snprintf(info->ccf_id, sizeof(info->ccf_id), "%s", ccf_id);
    snprintf(info->invoker_id, sizeof(info->invoker_id), "%s", invoker_id);
    return info;
}

/* ---- reading ---- */

/* A JSON object that travels as a string; the caller frees it. */
static json_t *string_doc(const struct capif_at *at, const char *name)
{
    const char *text = capif_get_str(at, name, true, STRING_MAX);

    return text != NULL ? capif_json_parse(text, strlen(text), at->reader)
                        : NULL;
}

static void read_anchors(struct aef_info *info, const struct capif_at *at)
{
    json_t *doc = string_doc(at, "authenticationInfo");
    struct capif_at root = capif_at_root(doc, at->reader);
    struct capif_at list = capif_get_array(&root, "caCertificates", true, 1, 8);
    const char *auth = capif_get_str(&root, "clientAuth", false, 16), *pem;
    X509 *cert;

    info->mutual = auth == NULL || strcmp(auth, "server") != 0;
    for (size_t i = 0; i < json_array_size(list.v); i++) {
        pem = capif_item_str(&list, i, 16384);
        cert = pem != NULL ? capif_cert_parse(pem) : NULL;
        if (cert == NULL || !sk_X509_push(info->anchors, cert)) {
            X509_free(cert);
            capif_complain(&list, "not a certificate");
        }
    }
    json_decref(doc);
}

static void read_issuers(struct aef_info *info, const struct capif_at *at)
{
    json_t *doc = string_doc(at, "authorizationInfo");
    struct capif_at root = capif_at_root(doc, at->reader);
    struct capif_at list = capif_get_array(&root, "issuers", true, 1, 8);

    for (size_t i = 0; i < json_array_size(list.v); i++) {
        struct capif_at item = capif_at_item(&list, i);
        struct capif_at jwks = capif_get_object(&item, "jwks", true);

        (void)capif_get_str(&item, "ccfId", true, CAPIF_CCF_ID_MAX);
        (void)capif_get_array(&jwks, "keys", true, 1, 32);
    }
    json_decref(info->issuers);
    info->issuers = json_incref(list.v);
    json_decref(doc);
}

/* A CCF that has not had this before says nothing of it. */
static time_t read_revoked(const struct capif_at *at)
{
    const bool has = json_object_get(at->v, "authorizationInfo") != NULL;
    json_t *doc = has ? string_doc(at, "authorizationInfo") : NULL;
    struct capif_at root = capif_at_root(doc, at->reader);
    time_t until =
        (time_t)capif_get_int(&root, "revokedUntil", 0, 253402300799L, 0);

    json_decref(doc);
    return until;
}

/* Of a PSK that is over, there is no envelope. */
static void read_authn(struct aef_info_api *api, const struct capif_at *at)
{
    const bool has = json_object_get(at->v, "authenticationInfo") != NULL;
    json_t *doc = has || strcmp(api->method, "PSK") == 0
                      ? string_doc(at, "authenticationInfo")
                      : NULL;
    struct capif_at root = capif_at_root(doc, at->reader);
    const char *thumbprint = capif_get_str(&root, "x5t#S256", false, 43);
    const char *text =
        capif_get_str(&root, "pskEnvelope", false, CAPIF_JWS_MAX);

    if (thumbprint != NULL)
        strcpy(api->thumbprint, thumbprint);
    if (text != NULL && strcmp(api->method, "PSK") == 0)
        api->envelope = strdup(text);
    json_decref(doc);
}

static void read_entry(struct aef_info *info, const char *aef_id,
                       const struct capif_at *at)
{
    struct capif_at vs = capif_get_object(at, AEF_VS, true);
    const char *id = capif_get_str(&vs, "aefId", true, CAPIF_SCOPE_NAME_MAX);
    const char *name =
        capif_get_str(&vs, "apiName", true, CAPIF_SCOPE_NAME_MAX);
    const char *api_id = capif_get_str(at, "apiId", true, CAPIF_ID_MAX);
    const char *method = capif_get_str(at, "selSecurityMethod", true, 15);
    struct aef_info_api *api = &info->apis[info->n_apis];

    if (id == NULL || name == NULL || api_id == NULL || method == NULL
        || strcmp(id, aef_id) != 0)
        return;
    if (!capif_id_ok(api_id)) {
        capif_complain(at, "malformed apiId");
        return;
    }
    strcpy(api->api_id, api_id);
    aef_policy_clear(&api->policy);
    strcpy(api->api_name, name);
    strcpy(api->method, method);
    api->revoked_until = read_revoked(at);
    read_authn(api, at);
    if (info->n_apis++ == 0) { /* the same in every entry */
        read_anchors(info, at);
        read_issuers(info, at);
    }
}

struct aef_info *aef_info_parse(const char *ccf_id, const char *invoker_id,
                                const char *aef_id, const uint8_t *body,
                                size_t len)
{
    struct capif_reader reader = { 0 };
    struct aef_info *info = aef_info_new(ccf_id, invoker_id);
    json_t *doc = capif_json_parse(body, len, &reader);
    struct capif_at root = capif_at_root(doc, &reader);
    struct capif_at list =
        capif_get_array(&root, "securityInfo", true, 1, AEF_APIS_MAX);

    if (info != NULL && (info->anchors = sk_X509_new_null()) != NULL)
        for (size_t i = 0; i < json_array_size(list.v); i++) {
            struct capif_at item = capif_at_item(&list, i);

            if (item.v != NULL)
                read_entry(info, aef_id, &item);
        }
    json_decref(doc);
    if (info == NULL || reader.n > 0 || info->n_apis == 0) {
        capif_log("security-info-malformed", "param",
                  reader.n > 0 ? reader.list[0].param : "-", "why",
                  reader.n > 0 ? reader.list[0].reason : "-", NULL);
        aef_info_put(info);
        return NULL;
    }
    info->known = true;
    return info;
}

const struct aef_info_api *aef_info_of(const struct aef_info *info,
                                       const char *api_name)
{
    for (size_t i = 0; i < info->n_apis; i++)
        if (strcmp(info->apis[i].api_name, api_name) == 0)
            return &info->apis[i];
    return NULL;
}

const char *aef_info_method(const struct aef_info *info, const char *api_name)
{
    const struct aef_info_api *api = aef_info_of(info, api_name);

    return api != NULL ? api->method : NULL;
}

/* ---- keeping ---- */

struct aef_cache *aef_cache_new(void)
{
    struct aef_cache *cache = calloc(1, sizeof(*cache));

    if (cache != NULL)
        pthread_mutex_init(&cache->lock, NULL);
    return cache;
}

void aef_cache_free(struct aef_cache *cache)
{
    if (cache == NULL)
        return;
    for (size_t i = 0; i < CACHE_MAX; i++)
        aef_info_put(cache->slots[i]);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* Caller holds cache->lock. */
static struct aef_info **slot_locked(struct aef_cache *cache,
                                     const char *ccf_id, const char *invoker_id)
{
    for (size_t i = 0; i < CACHE_MAX; i++)
        if (cache->slots[i] != NULL
            && strcmp(cache->slots[i]->invoker_id, invoker_id) == 0
            && strcmp(cache->slots[i]->ccf_id, ccf_id) == 0)
            return &cache->slots[i];
    return NULL;
}

struct aef_info *aef_cache_find(const struct aef *aef, const char *ccf_id,
                                const char *invoker_id,
                                unsigned long long after)
{
    struct aef_cache *cache = aef->cache;
    struct aef_info **slot, *info = NULL;

    pthread_mutex_lock(&cache->lock);
    slot = slot_locked(cache, ccf_id, invoker_id);
    if (slot != NULL && (*slot)->nth > after && (*slot)->expires > time(NULL))
        info = aef_info_hold(*slot);
    pthread_mutex_unlock(&cache->lock);
    if (info != NULL
        && aef_denied_since(aef->denied, ccf_id, invoker_id, NULL,
                            info->asked)) {
        aef_info_put(info);
        info = NULL;
    }
    return info;
}

void aef_cache_add(struct aef_cache *cache, struct aef_info *info)
{
    struct aef_info **slot, *old;

    info = aef_info_hold(info);
    pthread_mutex_lock(&cache->lock);
    slot = slot_locked(cache, info->ccf_id, info->invoker_id);
    if (slot == NULL) {
        slot = &cache->slots[cache->next];
        cache->next = (cache->next + 1) % CACHE_MAX;
    }
    old = *slot;
    info->nth = ++cache->added;
    *slot = info;
    pthread_mutex_unlock(&cache->lock);
    aef_info_put(old);
}

unsigned long long aef_cache_count(struct aef_cache *cache)
{
    unsigned long long n;

    pthread_mutex_lock(&cache->lock);
    n = cache->added;
    pthread_mutex_unlock(&cache->lock);
    return n;
}

bool aef_asking_begin(struct aef_cache *cache, struct aef_asking *who)
{
    const struct aef_asking *other;

    pthread_mutex_lock(&cache->lock);
    for (other = cache->asking; other != NULL; other = other->next)
        if (strcmp(other->invoker_id, who->invoker_id) == 0
            && strcmp(other->ccf_id, who->ccf_id) == 0)
            break;
    if (other == NULL) {
        who->next = cache->asking;
        cache->asking = who;
    }
    pthread_mutex_unlock(&cache->lock);
    return other == NULL;
}

void aef_asking_end(struct aef_cache *cache, struct aef_asking *who)
{
    struct aef_asking **p = &cache->asking;

    pthread_mutex_lock(&cache->lock);
    while (*p != NULL && *p != who)
        p = &(*p)->next;
    if (*p != NULL)
        *p = who->next;
    pthread_mutex_unlock(&cache->lock);
}
