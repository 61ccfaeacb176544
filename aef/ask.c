/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking the CCF for security information and the policies that go with it.
 * One look-up per invoker at a time, whoever wants to know; a negative answer
 * is kept for a while, so that invented names cost the CCF little (design 10,
 * OQ-20 and OQ-21).
 */
#include "aef.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NEGATIVE_SECONDS 5
#define HOP_MS           5000L
#define ANSWER_MAX       (1024 * 1024)
#define LOOK_US          2000 /* for what another worker has asked */
#define LOOK_SECONDS     30   /* at most */

/* Somebody who waits for a look-up. */
struct waiter {
    struct waiter *next;
    aef_info_fn *fn;
    void *arg;
};

struct aef_fetch {
    struct aef_fetch *next;
    struct aef_worker *w;
    struct aef_asking who;
    unsigned long long since; /* aef_cache_count() */
    time_t begun;
    struct event *look;       /* NULL: no other worker is asking */
    unsigned long long asked; /* aef_denied_count() when it was sent */
    bool again;
    struct aef_info *info; /* to be completed by policies */
    size_t n_policies;     /* that are there */
    struct waiter *waiters;
};

static void fetch_end(struct aef_fetch *f, const struct aef_info *info)
{
    struct aef_fetch **p = &f->w->fetches;
    struct waiter *waiter;

    while (*p != f)
        p = &(*p)->next;
    *p = f->next;
    aef_asking_end(f->w->aef->cache, &f->who);
    while ((waiter = f->waiters) != NULL) {
        f->waiters = waiter->next;
        waiter->fn(info, waiter->arg);
        free(waiter);
    }
    aef_info_put(f->info);
    if (f->look != NULL)
        event_free(f->look);
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

bool aef_ccf_get(struct aef_worker *w, const char *path, capif_answer_fn *done,
                 void *arg)
{
    const struct aef *aef = w->aef;
    char url[2048];
    const struct capif_call call = {
        .method = "GET",
        .url = url,
        .address = aef->ccf_address,
        .cred = &aef->cred,
        .ca_file = aef->ca_file,
        .timeout_ms = HOP_MS,
        .answer_max = ANSWER_MAX,
        .done = done,
        .arg = arg,
    };

    snprintf(url, sizeof(url), "%s%s", aef->ccf_url, path);
    return capif_client_send(w->client, &call) != NULL;
}

static bool fetch_send(struct aef_fetch *f);
static bool policy_send(struct aef_fetch *f);

/* Something of this invoker's was revoked while the CCF was asked. */
static bool outdated(const struct aef_fetch *f)
{
    return aef_denied_since(f->w->aef->denied, f->who.ccf_id, f->who.invoker_id,
                            NULL, f->asked);
}

static void failed(struct aef_fetch *f, const struct capif_answer *a,
                   const char *why)
{
    char status[16];

    snprintf(status, sizeof(status), "%d", a->status);
    capif_log("ccf-failed", "status", status, "why", why, NULL);
    fetch_end(f, NULL);
}

/* All that there is to know is there. */
static void complete(struct aef_fetch *f, const struct capif_answer *a)
{
    struct aef *aef = f->w->aef;
    struct aef_info *info = f->info;

    if (outdated(f)) {
        aef_info_put(info);
        f->info = NULL;
        f->n_policies = 0;
        if (f->again || !(f->again = true) || !fetch_send(f))
            failed(f, a, "something was revoked meanwhile");
        return;
    }
    info->asked = f->asked;
    take_psks(aef, info);
    info->expires =
        time(NULL)
        + (info->known ? (time_t)aef->info_seconds : NEGATIVE_SECONDS);
    aef_cache_add(aef->cache, info);
    fetch_end(f, info);
}

/* ---- policies, one API after the other (TS 29.222 8.6) ---- */

static bool policy_read(struct aef_fetch *f, const struct capif_answer *a)
{
    struct capif_reader reader = { 0 };
    json_t *doc = capif_json_parse(a->body, a->body_len, &reader);
    const struct capif_at root = capif_at_root(doc, &reader);
    char name[AEF_NAME_MAX + 1];

    aef_policy_name(f->w->aef, f->who.ccf_id, f->who.invoker_id, name);
    aef_policy_read(&root, name, &f->info->apis[f->n_policies].policy);
    json_decref(doc);
    return reader.n == 0;
}

/* 404: there is none. */
static void on_policy(const struct capif_answer *a, void *arg)
{
    struct aef_fetch *f = arg;

    if ((a->status == 200 && !policy_read(f, a))
        || (a->status != 200 && a->status != 404)) {
        failed(f, a, a->status == 200 ? "policy malformed" : a->error);
        return;
    }
    if (++f->n_policies == f->info->n_apis)
        complete(f, a);
    else if (!policy_send(f))
        failed(f, a, "out of memory");
}

static bool policy_send(struct aef_fetch *f)
{
    const struct aef *aef = f->w->aef;
    char name[AEF_NAME_MAX + 1], path[1024];

    aef_policy_name(aef, f->who.ccf_id, f->who.invoker_id, name);
    snprintf(path, sizeof(path),
             "/access-control-policy/v1/accessControlPolicyList/%s?aef-id=%s"
             "&api-invoker-id=%s",
             f->info->apis[f->n_policies].api_id, aef->aef_id, name);
    return aef_ccf_get(f->w, path, on_policy, f);
}

/* ---- security information (TS 29.222 8.5) ---- */

static void on_answer(const struct capif_answer *a, void *arg)
{
    struct aef_fetch *f = arg;

    if (a->status == 200)
        f->info = aef_info_parse(f->who.ccf_id, f->who.invoker_id,
                                 f->w->aef->aef_id, a->body, a->body_len);
    else if (a->status == 404)
        f->info = aef_info_new(f->who.ccf_id, f->who.invoker_id);
    if (f->info == NULL)
        failed(f, a, a->error);
    else if (!f->info->known || outdated(f))
        complete(f, a);
    else if (!policy_send(f))
        failed(f, a, "out of memory");
}

static bool fetch_send(struct aef_fetch *f)
{
    char path[1024];

    f->asked = aef_denied_count(f->w->aef->denied);
    snprintf(path, sizeof(path),
             "/capif-security/v1/trustedInvokers/%s?authenticationInfo=true"
             "&authorizationInfo=true&vs-src-ccf-id=%s",
             f->who.invoker_id, f->who.ccf_id);
    return aef_ccf_get(f->w, path, on_answer, f);
}

/* ---- which worker asks ---- */

static void look_again(struct aef_fetch *f)
{
    const struct timeval soon = { 0, LOOK_US };

    event_add(f->look, &soon);
}

/* Has the other worker got it? */
static void on_look(evutil_socket_t fd, short what, void *arg)
{
    struct aef_fetch *f = arg;
    struct aef *aef = f->w->aef;
    struct aef_info *info =
        aef_cache_find(aef, f->who.ccf_id, f->who.invoker_id, f->since);

    (void)fd;
    (void)what;
    if (info == NULL && time(NULL) <= f->begun + LOOK_SECONDS) {
        if (!aef_asking_begin(aef->cache, &f->who))
            look_again(f);
        else if (!fetch_send(f))
            fetch_end(f, NULL);
        return;
    }
    fetch_end(f, info);
    aef_info_put(info);
}

/* since is from before it was looked for in the cache. */
static struct aef_fetch *fetch_start(struct aef_worker *w, const char *ccf_id,
                                     const char *invoker_id,
                                     unsigned long long since)
{
    struct aef_fetch *f = calloc(1, sizeof(*f));
    struct aef_info *info = NULL;
    bool ok;

    if (f == NULL)
        return NULL;
    f->w = w;
    f->since = since;
    f->begun = time(NULL);
    snprintf(f->who.ccf_id, sizeof(f->who.ccf_id), "%s", ccf_id);
    snprintf(f->who.invoker_id, sizeof(f->who.invoker_id), "%s", invoker_id);
    ok = aef_asking_begin(w->aef->cache, &f->who);
    if (ok) /* another worker may just have ended */
        info = aef_cache_find(w->aef, ccf_id, invoker_id, since);
    if (ok && info == NULL) {
        ok = fetch_send(f);
    } else {
        aef_asking_end(w->aef->cache, &f->who);
        aef_info_put(info);
        f->look = evtimer_new(w->base, on_look, f);
        ok = f->look != NULL;
    }
    if (!ok) {
        aef_asking_end(w->aef->cache, &f->who);
        free(f);
        return NULL;
    }
    if (f->look != NULL)
        look_again(f);
    f->next = w->fetches;
    w->fetches = f;
    return f;
}

void aef_info_get(struct aef_worker *w, const char *ccf_id,
                  const char *invoker_id, bool refresh, aef_info_fn *fn,
                  void *arg)
{
    const unsigned long long since = aef_cache_count(w->aef->cache);
    struct aef_info *info = aef_cache_find(w->aef, ccf_id, invoker_id, 0);
    struct waiter *waiter = NULL;
    struct aef_fetch *f;

    if (info != NULL && !(refresh && info->known)) {
        fn(info, arg);
        aef_info_put(info);
        return;
    }
    aef_info_put(info);
    for (f = w->fetches; f != NULL; f = f->next)
        if (strcmp(f->who.invoker_id, invoker_id) == 0
            && strcmp(f->who.ccf_id, ccf_id) == 0)
            break;
    waiter = calloc(1, sizeof(*waiter));
    if (waiter == NULL
        || (f == NULL
            && (f = fetch_start(w, ccf_id, invoker_id, since)) == NULL)) {
        free(waiter);
        fn(NULL, arg);
        return;
    }
    waiter->fn = fn;
    waiter->arg = arg;
    waiter->next = f->waiters;
    f->waiters = waiter;
}
