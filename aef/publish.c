/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing this AEF's own descriptions, as the APF of its provider
 * (TS 29.222 8.2): what the CCF has of each API is made to be what its file
 * says, once after the start, however long that takes.
 */
#include "visit.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALL_MS    10000L
#define ANSWER_MAX (16 * 1024 * 1024)
#define AGAIN_MS   2000

struct aef_publisher {
    struct aef *aef;
    struct capif_client *client; /* whose connections are the APF's */
    struct event *timer;
    size_t nth;      /* of aef->apis */
    const char *how; /* this one came to be as it is */
};

static void go_on_in(struct aef_publisher *p, long ms)
{
    const struct timeval when = { ms / 1000, ms % 1000 * 1000 };

    event_add(p->timer, &when);
}

static const struct aef_api *api_of(const struct aef_publisher *p)
{
    return &p->aef->apis[p->nth];
}

/* The next one, if there is one. */
static void next(struct aef_publisher *p)
{
    p->how = NULL;
    if (++p->nth < p->aef->n_apis)
        go_on_in(p, 0);
}

static void failed(struct aef_publisher *p, const struct capif_answer *a)
{
    const bool final = aef_status_final(a->status);
    json_t *problem = a->body != NULL ? json_loadb((const char *)a->body,
                                                   a->body_len, 0, NULL)
                                      : NULL;
    const char *detail = capif_str(problem, "detail");
    char status[16];

    snprintf(status, sizeof(status), "%d", a->status);
    capif_log(final ? "publish-refused" : "publish-failed", "api",
              api_of(p)->name, "status", status, "why",
              detail != NULL ? detail : a->error, NULL);
    json_decref(problem);
    if (final)
        next(p);
    else
        go_on_in(p, AGAIN_MS);
}

/* id NULL: the collection. */
static void send_to(struct aef_publisher *p, const char *method, const char *id,
                    const json_t *doc, capif_answer_fn *done)
{
    const struct aef *aef = p->aef;
    char url[1024], *body = doc != NULL ? json_dumps(doc, JSON_COMPACT) : NULL;
    const struct capif_call call = {
        .method = method,
        .url = url,
        .address = aef->ccf_address,
        .cred = &aef->apf_cred,
        .ca_file = aef->ca_file,
        .content_type = body != NULL ? "application/json" : NULL,
        .body = body,
        .body_len = body != NULL ? strlen(body) : 0,
        .timeout_ms = CALL_MS,
        .answer_max = ANSWER_MAX,
        .done = done,
        .arg = p,
    };
    const struct capif_answer none = { .error = "out of memory" };

    snprintf(url, sizeof(url), "%s/published-apis/v1/%s/service-apis%s%s",
             aef->ccf_url, aef->apf.id, id != NULL ? "/" : "",
             id != NULL ? id : "");
    if ((doc != NULL && body == NULL)
        || capif_client_send(p->client, &call) == NULL)
        failed(p, &none);
    free(body);
}

/* ---- what is there ---- */

static bool is_ours(const struct aef_publisher *p, const json_t *api)
{
    const json_t *profile;
    size_t i;

    if (capif_str(api, "apiId") == NULL
        || !capif_str_is(api, "apiName", api_of(p)->name))
        return false;
    json_array_foreach(json_object_get(api, "aefProfiles"), i, profile)
    {
        if (capif_str_is(profile, "aefId", p->aef->aef_id))
            return true;
    }
    return false;
}

/* But for what the CCF says of itself. */
static bool is_as_described(const json_t *there, const json_t *doc)
{
    static const char *const ccfs[] = { "apiId", "ccfId", "supportedFeatures" };
    json_t *a = json_copy((json_t *)(uintptr_t)there);
    json_t *b = json_copy((json_t *)(uintptr_t)doc);
    bool same;

    for (size_t i = 0; i < sizeof(ccfs) / sizeof(ccfs[0]); i++) {
        json_object_del(a, ccfs[i]);
        json_object_del(b, ccfs[i]);
    }
    same = json_equal(a, b);
    json_decref(a);
    json_decref(b);
    return same;
}

/* ---- making it so ---- */

static void published(struct aef_publisher *p, const char *id)
{
    capif_log("api-published", "api", api_of(p)->name, "id", id, "how",
              p->how != NULL ? p->how : "as-it-was", NULL);
    next(p);
}

/* Look again: another aefd of this AEF may have done the same. */
static void on_change(const struct capif_answer *a, void *arg)
{
    struct aef_publisher *p = arg;

    if (a->status >= 200 && a->status < 300)
        go_on_in(p, 0);
    else if (a->status == 404) /* it has been deleted meanwhile */
        go_on_in(p, AGAIN_MS);
    else
        failed(p, a);
}

static void settle(struct aef_publisher *p, const json_t *apis)
{
    const json_t *api, *first = NULL, *last = NULL;
    size_t i;

    json_array_foreach(apis, i, api)
    {
        if (!is_ours(p, api))
            continue;
        if (first == NULL
            || strcmp(capif_str(api, "apiId"), capif_str(first, "apiId")) < 0)
            first = api;
        if (last == NULL
            || strcmp(capif_str(api, "apiId"), capif_str(last, "apiId")) > 0)
            last = api;
    }
    if (first == NULL) {
        p->how = "new";
        send_to(p, "POST", NULL, api_of(p)->doc, on_change);
    } else if (first != last && p->how != NULL && strcmp(p->how, "new") == 0) {
        capif_log("api-published-twice", "api", api_of(p)->name, "deleted",
                  capif_str(last, "apiId"), NULL);
        send_to(p, "DELETE", capif_str(last, "apiId"), NULL, on_change);
    } else if (p->how != NULL || is_as_described(first, api_of(p)->doc)) {
        published(p, capif_str(first, "apiId"));
    } else {
        p->how = "changed";
        send_to(p, "PUT", capif_str(first, "apiId"), api_of(p)->doc, on_change);
    }
}

static void on_list(const struct capif_answer *a, void *arg)
{
    struct aef_publisher *p = arg;
    json_t *apis = a->status == 200
                       ? json_loadb((const char *)a->body, a->body_len, 0, NULL)
                       : NULL;

    if (json_is_array(apis))
        settle(p, apis);
    else
        failed(p, a);
    json_decref(apis);
}

static void go_on(evutil_socket_t fd, short what, void *arg)
{
    (void)fd;
    (void)what;
    send_to(arg, "GET", NULL, NULL, on_list);
}

struct aef_publisher *aef_publisher_new(struct aef *aef,
                                        struct event_base *base)
{
    struct aef_publisher *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    p->aef = aef;
    if ((p->client = capif_client_new(base)) == NULL
        || (p->timer = evtimer_new(base, go_on, p)) == NULL) {
        aef_publisher_free(p);
        return NULL;
    }
    if (aef->apf_cred.cert != NULL && aef->n_apis > 0)
        go_on_in(p, 0);
    return p;
}

void aef_publisher_free(struct aef_publisher *p)
{
    if (p == NULL)
        return;
    if (p->timer != NULL)
        event_free(p->timer);
    capif_client_free(p->client);
    free(p);
}
