/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Security information: reading it, keeping it, asking for it.  One look-up
 * per invoker at a time and worker; a negative answer is kept for a while,
 * so that invented names cost the CCF little (design 10, OQ-20 and OQ-21).
 */
#include "aef.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHE_MAX        1024
#define NEGATIVE_SECONDS 5
#define HOP_MS           5000L
#define ANSWER_MAX       (256 * 1024)
#define STRING_MAX       (64 * 1024)

struct aef_cache {
    pthread_mutex_t lock;
    struct aef_info *slots[CACHE_MAX]; /* guarded by lock, like next */
    size_t next;
};

/* Somebody who waits for a look-up. */
struct waiter {
    struct waiter *next;
    aef_info_fn *fn;
    void *arg;
};

struct aef_fetch {
    struct aef_fetch *next;
    struct aef_worker *w;
    char ccf_id[CAPIF_CCF_ID_MAX + 1];
    char invoker_id[CAPIF_ID_MAX + 1];
    unsigned long long asked; /* aef_denied_count() when it was sent */
    bool again;
    struct waiter *waiters;
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
    for (size_t i = 0; i < info->n_apis; i++)
        free(info->apis[i].envelope);
    sk_X509_pop_free(info->anchors, X509_free);
    json_decref(info->issuers);
    free(info);
}

static struct aef_info *info_new(const char *ccf_id, const char *invoker_id)
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

/* Of a PSK that is over, there is none. */
static void read_envelope(struct aef_info_api *api, const struct capif_at *at)
{
    json_t *doc = string_doc(at, "authenticationInfo");
    struct capif_at root = capif_at_root(doc, at->reader);
    const char *text =
        capif_get_str(&root, "pskEnvelope", false, CAPIF_JWS_MAX);

    if (text != NULL)
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
    const char *method = capif_get_str(at, "selSecurityMethod", true, 15);
    struct aef_info_api *api = &info->apis[info->n_apis];

    if (id == NULL || name == NULL || method == NULL || strcmp(id, aef_id) != 0)
        return;
    strcpy(api->api_name, name);
    strcpy(api->method, method);
    api->revoked_until = read_revoked(at);
    if (strcmp(method, "PSK") == 0)
        read_envelope(api, at);
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
    struct aef_info *info = info_new(ccf_id, invoker_id);
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

/*
 * A reference of the caller's own, or NULL.  What was asked before something
 * of that invoker's was revoked is as good as not there.
 */
static struct aef_info *cache_find(const struct aef *aef, const char *ccf_id,
                                   const char *invoker_id)
{
    struct aef_cache *cache = aef->cache;
    struct aef_info **slot, *info = NULL;

    pthread_mutex_lock(&cache->lock);
    slot = slot_locked(cache, ccf_id, invoker_id);
    if (slot != NULL && (*slot)->expires > time(NULL)) {
        info = aef_info_hold(*slot);
    }
    pthread_mutex_unlock(&cache->lock);
    if (info != NULL
        && aef_denied_since(aef->denied, ccf_id, invoker_id, NULL,
                            info->asked)) {
        aef_info_put(info);
        info = NULL;
    }
    return info;
}

/* Takes a reference; the oldest entry goes if there is no room. */
static void cache_add(struct aef_cache *cache, struct aef_info *info)
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
    *slot = info;
    pthread_mutex_unlock(&cache->lock);
    aef_info_put(old);
}

/* ---- asking ---- */

static void fetch_end(struct aef_fetch *f, const struct aef_info *info)
{
    struct aef_fetch **p = &f->w->fetches;
    struct waiter *waiter;

    while (*p != f)
        p = &(*p)->next;
    *p = f->next;
    while ((waiter = f->waiters) != NULL) {
        f->waiters = waiter->next;
        waiter->fn(info, waiter->arg);
        free(waiter);
    }
    free(f);
}

/* Have the PSKs ready before the invoker comes with them. */
static void take_psks(struct aef *aef, const struct aef_info *info)
{
    const char *why;

    for (size_t i = 0; i < info->n_apis; i++) {
        if (info->apis[i].envelope == NULL)
            continue;
        why = aef_psk_take(aef, info, info->apis[i].envelope);
        if (why != NULL)
            capif_log_ssl("psk-refused", "ccf", info->ccf_id, "invoker",
                          info->invoker_id, "why", why, NULL);
    }
}

static bool fetch_send(struct aef_fetch *f);

static void on_answer(const struct capif_answer *a, void *arg)
{
    struct aef_fetch *f = arg;
    struct aef *aef = f->w->aef;
    struct aef_info *info = NULL;
    const char *why = a->error;
    char status[16];

    /* Something of this invoker's was revoked while the CCF was asked. */
    if (aef_denied_since(aef->denied, f->ccf_id, f->invoker_id, NULL,
                         f->asked)) {
        if (!f->again) {
            f->again = true;
            if (fetch_send(f))
                return;
        }
        why = "something was revoked meanwhile";
    } else if (a->status == 200) {
        info = aef_info_parse(f->ccf_id, f->invoker_id, aef->aef_id, a->body,
                              a->body_len);
    } else if (a->status == 404) {
        info = info_new(f->ccf_id, f->invoker_id);
    }
    if (info != NULL) {
        info->asked = f->asked;
        take_psks(aef, info);
        info->expires =
            time(NULL)
            + (info->known ? (time_t)aef->info_seconds : NEGATIVE_SECONDS);
        cache_add(aef->cache, info);
    } else {
        snprintf(status, sizeof(status), "%d", a->status);
        capif_log("ccf-failed", "status", status, "why", why, NULL);
    }
    fetch_end(f, info);
    aef_info_put(info);
}

static bool fetch_send(struct aef_fetch *f)
{
    const struct aef *aef = f->w->aef;
    char url[1024];
    const struct capif_call call = {
        .method = "GET",
        .url = url,
        .address = aef->ccf_address,
        .cred = &aef->cred,
        .ca_file = aef->ca_file,
        .timeout_ms = HOP_MS,
        .answer_max = ANSWER_MAX,
        .done = on_answer,
        .arg = f,
    };

    f->asked = aef_denied_count(aef->denied);
    snprintf(url, sizeof(url),
             "%s/capif-security/v1/trustedInvokers/%s?authenticationInfo=true"
             "&authorizationInfo=true&vs-src-ccf-id=%s",
             aef->ccf_url, f->invoker_id, f->ccf_id);
    return capif_client_send(f->w->client, &call) != NULL;
}

static struct aef_fetch *fetch_start(struct aef_worker *w, const char *ccf_id,
                                     const char *invoker_id)
{
    struct aef_fetch *f = calloc(1, sizeof(*f));

    if (f == NULL)
        return NULL;
    f->w = w;
    snprintf(f->ccf_id, sizeof(f->ccf_id), "%s", ccf_id);
    snprintf(f->invoker_id, sizeof(f->invoker_id), "%s", invoker_id);
    if (!fetch_send(f)) {
        free(f);
        return NULL;
    }
    f->next = w->fetches;
    w->fetches = f;
    return f;
}

void aef_info_get(struct aef_worker *w, const char *ccf_id,
                  const char *invoker_id, bool refresh, aef_info_fn *fn,
                  void *arg)
{
    struct aef_info *info = cache_find(w->aef, ccf_id, invoker_id);
    struct waiter *waiter = NULL;
    struct aef_fetch *f;

    if (info != NULL && !(refresh && info->known)) {
        fn(info, arg);
        aef_info_put(info);
        return;
    }
    aef_info_put(info);
    for (f = w->fetches; f != NULL; f = f->next)
        if (strcmp(f->invoker_id, invoker_id) == 0
            && strcmp(f->ccf_id, ccf_id) == 0)
            break;
    waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL
        || (f == NULL && (f = fetch_start(w, ccf_id, invoker_id)) == NULL)) {
        free(waiter);
        fn(NULL, arg);
        return;
    }
    waiter->fn = fn;
    waiter->arg = arg;
    waiter->next = f->waiters;
    f->waiters = waiter;
}
