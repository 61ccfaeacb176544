/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where an API lives that is reached through this AEF and hidden by it: what
 * the CCF's CAPIF_Routing_Info (TS 29.222 8.10; TS 23.222 8.27) says, for
 * the invoker's address.
 */
#include "visit.h"

#include "log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SOON        5 /* seconds: until what there was none of is asked for */
#define API_URL_MAX 1024

struct aef_routes {
    pthread_mutex_t lock;
    struct {
        json_t *rules; /* NULL: none are known */
        time_t expires;
    } of[AEF_APIS_MAX]; /* in the order of aef->apis */
};

struct question {
    struct aef_worker *w;
    size_t nth;
    char peer[64];
    aef_route_fn *fn;
    void *arg;
};

struct aef_routes *aef_routes_new(void)
{
    struct aef_routes *r = calloc(1, sizeof(*r));

    if (r != NULL)
        pthread_mutex_init(&r->lock, NULL);
    return r;
}

void aef_routes_free(struct aef_routes *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < AEF_APIS_MAX; i++)
        json_decref(r->of[i].rules);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

/* ---- which rule ---- */

/* One without ranges is for all. */
static bool is_for(const json_t *rule, const char *peer)
{
    const json_t *v4 = json_object_get(rule, "ipv4AddrRanges");
    const json_t *v6 = json_object_get(rule, "ipv6AddrRanges");

    return (v4 == NULL && v6 == NULL) || capif_within(v4, AF_INET, peer)
           || capif_within(v6, AF_INET6, peer);
}

/* The place of an interface (TS 29.222 8.2.4.2.3), as description.c has it. */
static bool url_of(const json_t *profile, const char *api_name,
                   char out[API_URL_MAX])
{
    const json_t *iface =
        json_array_get(json_object_get(profile, "interfaceDescriptions"), 0);
    const json_t *port = json_object_get(iface, "port");
    const char *v6 = capif_str(iface, "ipv6Addr");
    const char *prefix = capif_str(iface, "apiPrefix");
    const char *host = iface != NULL ? capif_str(iface, "fqdn")
                                     : capif_str(profile, "domainName");
    char number[24] = "";
    int n;

    if (host == NULL)
        host = v6 != NULL ? v6 : capif_str(iface, "ipv4Addr");
    if (host == NULL)
        return false;
    if (json_is_integer(port) && json_integer_value(port) != 443)
        snprintf(number, sizeof(number), ":%lld",
                 (long long)json_integer_value(port));
    n = snprintf(out, API_URL_MAX, "https://%s%s%s%s%s%s",
                 host == v6 ? "[" : "", host, host == v6 ? "]" : "", number,
                 prefix != NULL ? "" : "/", prefix != NULL ? prefix : api_name);
    while (n > 0 && n < API_URL_MAX && out[n - 1] == '/')
        out[--n] = '\0';
    return n > 0 && n < API_URL_MAX;
}

static bool choose(const json_t *rules, const char *peer, const char *api_name,
                   char out[API_URL_MAX])
{
    const json_t *rule;
    size_t i;

    json_array_foreach(rules, i, rule)
    {
        if (is_for(rule, peer))
            return url_of(json_object_get(rule, "aefProfile"), api_name, out);
    }
    return false;
}

/* ---- asking ---- */

static void keep(struct aef *aef, size_t nth, json_t *rules, time_t seconds)
{
    struct aef_routes *r = aef->routes;
    json_t *old;

    pthread_mutex_lock(&r->lock);
    old = r->of[nth].rules;
    r->of[nth].rules = rules;
    r->of[nth].expires = time(NULL) + seconds;
    json_decref(old);
    pthread_mutex_unlock(&r->lock);
}

/* 1: there, 0: none, -1: not known. */
static int find(struct aef *aef, size_t nth, const char *peer,
                char out[API_URL_MAX])
{
    struct aef_routes *r = aef->routes;
    int found = -1;

    pthread_mutex_lock(&r->lock);
    if (r->of[nth].expires > time(NULL))
        found = choose(r->of[nth].rules, peer, aef->apis[nth].name, out);
    pthread_mutex_unlock(&r->lock);
    return found;
}

static void on_answer(const struct capif_answer *a, void *arg)
{
    struct question *q = arg;
    struct aef *aef = q->w->aef;
    char url[API_URL_MAX], status[16];
    json_t *doc = a->status == 200
                      ? json_loadb((const char *)a->body, a->body_len, 0, NULL)
                      : NULL;
    json_t *rules = json_object_get(doc, "routingRules");

    if (json_is_array(rules)) {
        keep(aef, q->nth, json_incref(rules), (time_t)aef->info_seconds);
    } else {
        snprintf(status, sizeof(status), "%d", a->status);
        capif_log("no-route", "api", aef->apis[q->nth].name, "status", status,
                  "why", a->error, NULL);
        keep(aef, q->nth, NULL, a->status == 404 ? SOON : 1);
    }
    json_decref(doc);
    q->fn(find(aef, q->nth, q->peer, url) == 1 ? url : NULL, q->arg);
    free(q);
}

static bool ask(struct question *q, const char *api_id)
{
    char path[512];

    snprintf(path, sizeof(path),
             "/capif-routing-info/v1/service-apis/%s?aef-id=%s", api_id,
             q->w->aef->aef_id);
    return aef_ccf_get(q->w, path, on_answer, q);
}

void aef_route_get(struct aef_worker *w, const struct aef_visit *visit,
                   aef_route_fn *fn, void *arg)
{
    const size_t nth = (size_t)(visit->api - w->aef->apis);
    char url[API_URL_MAX];
    const int found = find(w->aef, nth, visit->peer, url);
    struct question *q;

    if (found >= 0) {
        fn(found == 1 ? url : NULL, arg);
        return;
    }
    if ((q = calloc(1, sizeof(*q))) != NULL) {
        q->w = w;
        q->nth = nth;
        memcpy(q->peer, visit->peer, sizeof(q->peer));
        q->fn = fn;
        q->arg = arg;
    }
    if (q == NULL || !ask(q, visit->api_id)) {
        free(q);
        fn(NULL, arg);
    }
}
