/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Logging_API_Invocation_API (TS 29.222 8.7): AEFs log the invocations
 * of their APIs, perhaps late, of APIs that are published no more.
 */
#include "ccf.h"

#include "jose.h"
#include "log.h"
#include "store_log.h"
#include "times.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX  256
#define URI_MAX   2048
#define ENTRY_MAX 8192 /* octets of one entry: answers have many of them */

static void check_iface(const struct capif_at *entry, const char *name)
{
    struct capif_at iface = capif_get_object(entry, name, false);

    if (iface.v != NULL)
        ccf_interface_check(&iface);
}

/* 8.7.4.2.3 */
static void check_entry(const struct capif_at *entry)
{
    const char *api_id = capif_get_str(entry, "apiId", true, CAPIF_ID_MAX);
    const char *at = capif_get_str(entry, "invocationTime", false, 64);
    int64_t us;

    if (api_id != NULL && !capif_id_ok(api_id))
        capif_complain(entry, "apiId is none that was ever given");
    (void)capif_get_str(entry, "apiName", true, TEXT_MAX);
    (void)capif_get_str(entry, "apiVersion", true, 32);
    (void)capif_get_str(entry, "resourceName", true, TEXT_MAX);
    (void)capif_get_str(entry, "protocol", true, 32);
    (void)capif_get_str(entry, "result", true, 64);
    (void)capif_get_str(entry, "uri", false, URI_MAX);
    (void)capif_get_str(entry, "operation", false, 16);
    (void)capif_get_str(entry, "fwdInterface", false, 1024);
    (void)capif_get_int(entry, "invocationLatency", 0, LONG_MAX, 0);
    if (at != NULL && !capif_time_parse_us(at, &us))
        capif_complain(entry, "invocationTime is no time of RFC 3339");
    check_iface(entry, "srcInterface");
    check_iface(entry, "destInterface");
    if (json_dumpb(entry->v, NULL, 0, JSON_COMPACT) > ENTRY_MAX)
        capif_complain(entry, "has more than 8192 octets");
}

/* Whose invoker it is: ccfId in our object, or ours. */
static const char *invoker_ccf(const struct ccf_worker *w,
                               const struct capif_at *root)
{
    struct capif_at vs = capif_get_object(root, CCF_VS, false);
    const char *ccf_id = capif_get_str(&vs, "ccfId", false, CAPIF_CCF_ID_MAX);

    if (ccf_id != NULL && !capif_ccf_id_ok(ccf_id))
        capif_complain(&vs, "ccfId is none");
    return ccf_id != NULL ? ccf_id : w->ccf->ccf_id;
}

/* 8.7.4.2.2 */
static const char *check(const struct ccf_worker *w,
                         const struct capif_at *root)
{
    const char *id =
        capif_get_str(root, "apiInvokerId", true, CAPIF_CCF_ID_MAX);
    struct capif_at logs = capif_get_array(root, "logs", true, 1, CCF_LOGS_MAX);

    (void)capif_get_str(root, "aefId", true, CAPIF_ID_MAX);
    capif_check_features(root, "supportedFeatures", false);
    if (id != NULL && !capif_id_ok(id))
        capif_complain(root, "apiInvokerId is none that was ever given");
    for (size_t i = 0; i < json_array_size(logs.v); i++) {
        struct capif_at entry = capif_at_item(&logs, i);
        check_entry(&entry);
    }
    return invoker_ccf(w, root);
}

/* What of the document is kept and shown: ours has the invoker's domain. */
static void settle(const struct ccf_worker *w, json_t *doc, const char *ccf_id)
{
    json_t *vs = strcmp(ccf_id, w->ccf->ccf_id) != 0
                     ? json_pack("{s:s}", "ccfId", ccf_id)
                     : NULL;

    if (json_object_get(doc, "supportedFeatures") != NULL)
        json_object_set_new(doc, "supportedFeatures", json_string("0"));
    if (vs != NULL)
        json_object_set_new(doc, CCF_VS, vs);
    else
        json_object_del(doc, CCF_VS);
}

static bool key_ok(const char *key)
{
    size_t len = strlen(key);

    for (size_t i = 0; i < len; i++)
        if (key[i] < 0x20 || key[i] > 0x7e)
            return false;
    return len >= 1 && len <= CCF_LOG_KEY_MAX;
}

static void answer(struct capif_req *req, struct ccf_worker *w,
                   const struct ccf_log_batch *b, enum ccf_store_status st,
                   const char *log_id)
{
    char location[URI_MAX];

    if (st == CCF_STORE_NOT_FOUND) {
        capif_reply_problem(req, 403, NULL,
                            "an API is not of your provider domain");
    } else if (st == CCF_STORE_CONFLICT) {
        capif_reply_problem(req, 422, NULL,
                            "the Idempotency-Key came with another log");
    } else if (st != CCF_STORE_OK) {
        ccf_reply_store(req, st);
    } else {
        capif_log("logged", "aef", w->peer.id, "log", log_id, "again",
                  strcmp(log_id, b->log_id) == 0 ? "no" : "yes", NULL);
        snprintf(location, sizeof(location),
                 "%s/api-invocation-logs/v1/%s/logs/%s", w->ccf->url,
                 w->peer.id, log_id);
        capif_req_set_header(req, "Location", location);
        capif_reply_json(req, 201, json_incref((json_t *)b->doc));
    }
}

static void keep(struct capif_req *req, struct ccf_worker *w, json_t *doc,
                 const char *ccf_id)
{
    const struct ccf_member by = ccf_peer(w);
    char made[CAPIF_ID_MAX + 1], log_id[CAPIF_ID_MAX + 1], digest[44];
    struct ccf_log_batch b = { .by = &by,
                               .doc = doc,
                               .log_id = made,
                               .key = capif_req_header(req, "Idempotency-Key"),
                               .digest = digest };
    enum ccf_store_status st = CCF_STORE_ERROR;
    char domain[CAPIF_CCF_ID_MAX + 1], *text;

    if (b.key != NULL && !key_ok(b.key)) {
        capif_reply_problem(req, 400, NULL,
                            "Idempotency-Key must have 1 to 128 characters");
        return;
    }
    if (!ccf_make_id("log-", made)) {
        capif_reply_internal(req, "no-random");
        return;
    }
    snprintf(domain, sizeof(domain), "%s", ccf_id); /* not the document's */
    b.invoker_ccf = domain;
    settle(w, doc, domain);
    text = json_dumps(doc, JSON_COMPACT | JSON_SORT_KEYS);
    if (text != NULL && capif_sha256_b64url(text, strlen(text), digest))
        st = ccf_store_log_add(w->store, &b, log_id);
    free(text);
    answer(req, w, &b, st, log_id);
    if (w->ccf->log_days > 0)
        ccf_store_log_forget(w->store,
                             time(NULL) - (time_t)w->ccf->log_days * 86400);
}

void ccf_post_log(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    struct capif_reader reader = { 0 };
    struct capif_at root;
    const char *aef_id, *ccf_id;
    json_t *doc;

    if (strcmp(capif_req_param(req, 0), w->peer.id) != 0) {
        capif_reply_problem(req, 403, NULL, "not your AEF id");
        return;
    }
    if ((doc = capif_req_json(req, "application/json")) == NULL)
        return;
    root = capif_at_root(doc, &reader);
    ccf_id = check(w, &root);
    aef_id = json_string_value(json_object_get(doc, "aefId"));
    if (reader.n > 0)
        capif_reply_invalid(req, &reader);
    else if (strcmp(aef_id, w->peer.id) != 0)
        capif_reply_problem(req, 403, NULL, "aefId is not yours");
    else
        keep(req, w, doc, ccf_id);
    json_decref(doc);
}
