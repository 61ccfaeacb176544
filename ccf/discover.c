/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Discover_Service_API (TS 29.222 8.1).  An invoker also sees what the
 * partners share: they are asked first, and what they said last is kept for
 * as long as they don't answer.
 */
#include "ccf.h"

#include "log.h"
#include "scope.h"

#include <stdlib.h>
#include <string.h>

struct discovery {
    struct capif_req *req;
    struct ccf_worker *w;
    char *api_name, *aef_id; /* filters; NULL: all */
    size_t pending;
};

/* One partner's part of it. */
struct asked {
    struct discovery *d;
    const struct ccf_partner *partner;
};

static bool filter_pass(const struct discovery *d, const json_t *api)
{
    const char *name = json_string_value(json_object_get(api, "apiName"));

    return d->api_name == NULL
           || (name != NULL && strcmp(name, d->api_name) == 0);
}

/* Append what of docs the one who asks may see and wants to. */
static void collect(const struct discovery *d,
                    const struct ccf_partner *partner, const json_t *docs,
                    json_t *out)
{
    const char *aefs[] = { d->aef_id, NULL };
    json_t *api, *seen, *narrowed;
    size_t i;

    json_array_foreach(docs, i, api)
    {
        if (!filter_pass(d, api))
            continue;
        seen = partner != NULL ? ccf_api_for_partner(api, partner)
                               : json_incref(api);
        if (seen != NULL && d->aef_id != NULL) {
            narrowed = ccf_api_only_aefs(seen, aefs);
            json_decref(seen);
            seen = narrowed;
        }
        if (seen != NULL)
            json_array_append_new(out, seen);
    }
}

static void answer(struct discovery *d, const struct ccf_partner *partner)
{
    json_t *docs = NULL, *list = json_array();
    enum ccf_store_status st = ccf_store_api_list(
        d->w->store, partner != NULL ? d->w->ccf->ccf_id : NULL, NULL, &docs);

    if (st != CCF_STORE_OK || list == NULL) {
        ccf_reply_store(d->req, st);
        json_decref(list);
    } else {
        collect(d, partner, docs, list);
        if (json_array_size(list) == 0) { /* minItems is 1 */
            json_decref(list);
            list = NULL;
        }
        capif_reply_json(d->req, 200,
                         json_pack("{s:o*, s:s}", "serviceAPIDescriptions",
                                   list, "suppFeat", "0"));
    }
    json_decref(docs);
    free(d->api_name);
    free(d->aef_id);
    free(d);
}

/* Keep of a partner's answer what is well formed and in the agreement. */
static json_t *believe(const struct ccf_partner *partner, const json_t *docs)
{
    json_t *kept = json_array(), *api, *seen;
    size_t i;

    json_array_foreach(docs, i, api)
    {
        struct capif_reader reader = { 0 };
        struct capif_at at = capif_at_root(api, &reader);
        const char *id = capif_get_str(&at, "apiId", true, CAPIF_ID_MAX);
        const char *ccf = capif_get_str(&at, "ccfId", false, CAPIF_CCF_ID_MAX);

        ccf_api_check(&at);
        if (reader.n > 0 || !capif_id_ok(id)
            || (ccf != NULL && strcmp(ccf, partner->ccf_id) != 0)) {
            capif_log("partner-api-refused", "partner", partner->ccf_id,
                      "param", reader.n > 0 ? reader.list[0].param : "apiId",
                      NULL);
            continue;
        }
        if ((seen = ccf_api_only_aefs(api, partner->aefs)) == NULL)
            continue;
        json_object_set_new(seen, "ccfId", json_string(partner->ccf_id));
        json_array_append_new(kept, seen);
    }
    return kept;
}

static void on_partner(const struct capif_answer *a, void *arg)
{
    struct asked *asked = arg;
    struct discovery *d = asked->d;
    struct capif_reader reader = { 0 };
    struct ccf_refusal no;
    json_t *doc = NULL, *kept;
    struct capif_at root, list;

    if (a->status == 200)
        doc = capif_json_parse(a->body, a->body_len, &reader);
    root = capif_at_root(doc, &reader);
    list = capif_get_array(&root, "serviceAPIDescriptions", false, 0, 1024);
    if (doc != NULL && reader.n == 0) {
        kept = believe(asked->partner, list.v);
        (void)ccf_store_api_replace(d->w->store, asked->partner->ccf_id, kept);
        json_decref(kept);
    } else {
        ccf_partner_refusal(asked->partner, a, &no);
    }
    json_decref(doc);
    free(asked);
    if (--d->pending == 0)
        answer(d, NULL);
}

static void ask(struct discovery *d, const struct ccf_partner *partner)
{
    struct asked *asked = calloc(1, sizeof(*asked));
    char path[CAPIF_CCF_ID_MAX + 64];

    if (asked == NULL)
        return;
    asked->d = d;
    asked->partner = partner;
    snprintf(path, sizeof(path),
             "/service-apis/v1/allServiceAPIs?api-invoker-id=%s",
             d->w->ccf->ccf_id);
    if (ccf_partner_call(d->w, partner, "GET", path, NULL, on_partner, asked))
        d->pending++;
    else
        free(asked);
}

static char *copy_or_null(const char *text)
{
    return text != NULL ? strdup(text) : NULL;
}

void ccf_get_discover(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *id = capif_req_query(req, "api-invoker-id");
    struct discovery *d;

    if (id == NULL) {
        struct capif_reader reader = { 0 };
        struct capif_at at = { NULL, "api-invoker-id", &reader };

        capif_complain(&at, "missing");
        capif_reply_invalid(req, &reader);
        return;
    }
    if (strcmp(id, w->peer.id) != 0) {
        capif_reply_problem(req, 403, NULL, "api-invoker-id is not yours");
        return;
    }
    if ((d = calloc(1, sizeof(*d))) == NULL) {
        capif_reply_internal(req, "out-of-memory");
        return;
    }
    d->req = req;
    d->w = w;
    d->api_name = copy_or_null(capif_req_query(req, "api-name"));
    d->aef_id = copy_or_null(capif_req_query(req, "aef-id"));
    if (w->peer.role == CAPIF_CCF) {
        answer(d, ccf_partner_find(w->ccf, w->peer.ccf_id));
        return;
    }
    for (size_t i = 0; i < w->ccf->n_partners; i++)
        ask(d, &w->ccf->partners[i]);
    if (d->pending == 0)
        answer(d, NULL);
}
