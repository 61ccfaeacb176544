/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Auditing_API (TS 29.222 8.8): an AMF sees what the AEFs of its own
 * provider domain have logged.  Neither of the two schemas of the answer may
 * be empty, so that nothing found is 404.
 */
#include "ccf.h"

#include "store_log.h"
#include "times.h"

#include <stdio.h>
#include <string.h>

#define TEXT_MAX  256
#define IFACE_MAX 1024

struct question {
    struct capif_req *req;
    struct capif_reader reader;
    struct ccf_log_query q;
    json_t *src, *dst;
    bool features; /* were asked for */
};

static struct capif_at place(struct question *qn, const char *name)
{
    struct capif_at at = { NULL, "", &qn->reader };

    snprintf(at.path, sizeof(at.path), "%s", name);
    return at;
}

/* A parameter of 1 to max octets, or NULL. */
static const char *text_of(struct question *qn, const char *name, size_t max)
{
    const char *text = capif_req_query(qn->req, name);
    struct capif_at at = place(qn, name);
    char why[64];

    if (text != NULL && (text[0] == '\0' || strlen(text) > max)) {
        snprintf(why, sizeof(why), "must have 1 to %zu octets", max);
        capif_complain(&at, why);
    }
    return text;
}

static int64_t time_of(struct question *qn, const char *name, int64_t def)
{
    const char *text = capif_req_query(qn->req, name);
    struct capif_at at = place(qn, name);
    int64_t us = def;

    if (text != NULL && !capif_time_parse_us(text, &us))
        capif_complain(&at, "must be a time of RFC 3339");
    return us;
}

/* The document, for as long as the interface borrows from it; or NULL. */
static json_t *iface_of(struct question *qn, const char *name,
                        struct ccf_log_iface *out)
{
    const char *text = text_of(qn, name, IFACE_MAX);
    struct capif_reader own = { 0 };
    struct capif_at at = place(qn, name), root;
    json_t *doc = NULL;

    if (text != NULL) {
        doc = capif_json_parse(text, strlen(text), &own);
        root = capif_at_root(doc, &own);
        if (doc != NULL)
            ccf_interface_check(&root);
        if (own.n > 0)
            capif_complain(&at, own.list[0].reason);
    }
    ccf_log_iface_read(own.n > 0 ? NULL : doc, out);
    return doc;
}

/* SupportedFeatures; what is no text is none, either. */
static bool features_of(struct question *qn)
{
    const char *text = capif_req_query(qn->req, "supported-features");
    json_t *doc =
        text != NULL ? json_pack("{s:s}", "supported-features", text) : NULL;
    struct capif_at root = capif_at_root(doc, &qn->reader);
    struct capif_at at = place(qn, "supported-features");

    if (text != NULL && doc == NULL)
        capif_complain(&at, "must be hexadecimal digits");
    capif_check_features(&root, "supported-features", false);
    json_decref(doc);
    return text != NULL;
}

static void ask(struct question *qn)
{
    struct ccf_log_query *q = &qn->q;

    q->aef_id = text_of(qn, "aef-id", TEXT_MAX);
    q->invoker_id = text_of(qn, "api-invoker-id", TEXT_MAX);
    q->invoker_ccf = text_of(qn, "vs-src-ccf-id", TEXT_MAX);
    q->api_id = text_of(qn, "api-id", TEXT_MAX);
    q->api_name = text_of(qn, "api-name", TEXT_MAX);
    q->api_version = text_of(qn, "api-version", TEXT_MAX);
    q->protocol = text_of(qn, "protocol", TEXT_MAX);
    q->operation = text_of(qn, "operation", TEXT_MAX);
    q->result = text_of(qn, "result", TEXT_MAX);
    q->resource = text_of(qn, "resource-name", TEXT_MAX);
    q->from = time_of(qn, "time-range-start", INT64_MIN / 2);
    q->until = time_of(qn, "time-range-end", INT64_MAX / 2);
    qn->src = iface_of(qn, "src-interface", &q->src);
    qn->dst = iface_of(qn, "dest-interface", &q->dst);
    qn->features = features_of(qn);
}

/* InvocationLog, or InvocationLogs if there is more than one. */
static void answer(const struct question *qn, json_t *logs, bool truncated)
{
    json_t *body = json_array_size(logs) == 1
                       ? json_incref(json_array_get(logs, 0))
                       : json_pack("{s:O}", "multipleInvocationLogs", logs);
    json_t *vs;

    if (qn->features)
        json_object_set_new(body, "supportedFeatures", json_string("0"));
    if (truncated) {
        if ((vs = json_object_get(body, CCF_VS)) == NULL)
            json_object_set_new(body, CCF_VS, vs = json_object());
        json_object_set_new(vs, "truncated", json_true());
    }
    capif_reply_json(qn->req, 200, body);
}

void ccf_get_logs(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    struct question qn = { .req = req,
                           .q = { .group_id = w->peer_group,
                                  .max = w->ccf->audit_max,
                                  .look = CCF_AUDIT_LOOK } };
    enum ccf_store_status st;
    bool truncated;
    json_t *logs = NULL;

    ask(&qn);
    if (qn.reader.n > 0) {
        capif_reply_invalid(req, &qn.reader);
    } else if ((st = ccf_store_log_find(w->store, w->ccf->ccf_id, &qn.q, &logs,
                                        &truncated))
               != CCF_STORE_OK) {
        ccf_reply_store(req, st);
    } else if (json_array_size(logs) == 0 && truncated) {
        capif_reply_problem(req, 400, NULL,
                            "too many entries to look at: narrow the time"
                            " range, or name an AEF, invoker or API");
    } else if (json_array_size(logs) == 0) {
        capif_reply_problem(req, 404, NULL, "no such invocation was logged");
    } else {
        answer(&qn, logs, truncated);
    }
    json_decref(logs);
    json_decref(qn.src);
    json_decref(qn.dst);
}
