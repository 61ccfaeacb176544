/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Discover_Service_API (TS 29.222 8.1).  An invoker also sees what the
 * partners share: they are asked first, the same question, and what they said
 * last is kept for as long as they don't answer.
 */
#include "ccf.h"

#include "filter.h"
#include "known.h"
#include "share.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OCTETS_MAX (768 * 1024) /* of descriptions: a partner takes 1 MiB */

struct discovery {
    struct capif_req *req;
    struct ccf_worker *w;
    struct ccf_asker who;
    const struct ccf_partner *partner; /* who asks; NULL: an invoker */
    char id[CAPIF_CCF_ID_MAX + 1];     /* of who asks */
    struct ccf_filter filter;
    char *question; /* the filter, for partners */
    size_t pending;
    /* The answer. */
    json_t *list;
    size_t octets;
    bool truncated;
    enum ccf_store_status st;
    /* The provider domain that was looked up last. */
    char group_id[CAPIF_ID_MAX + 1];
    json_t *group;
};

/* One partner's part of it. */
struct asked {
    struct discovery *d;
    const struct ccf_partner *partner;
};

static void discovery_free(struct discovery *d)
{
    ccf_filter_clear(&d->filter);
    json_decref(d->list);
    json_decref(d->group);
    free(d->question);
    free(d);
}

/* ---- the answer ---- */

/* Who provides it: of an own API as registered, of others as their CCF says. */
static struct ccf_provider_name provider_of(struct discovery *d,
                                            const struct ccf_api_row *row)
{
    struct ccf_provider_name by = { ccf_vs_str(row->doc, "apiProvDomId"),
                                    ccf_vs_str(row->doc, "apiProvDomInfo") };
    enum ccf_store_status st;

    if (strcmp(row->ccf_id, d->w->ccf->ccf_id) != 0)
        return by;
    by.id = by.info = NULL;
    if (row->group_id == NULL
        || (d->filter.provider == NULL && d->partner == NULL))
        return by;
    if (strcmp(row->group_id, d->group_id) != 0) {
        json_decref(d->group);
        d->group = NULL;
        snprintf(d->group_id, sizeof(d->group_id), "%s", row->group_id);
        st = ccf_store_group_get(d->w->store, row->group_id, &d->group);
        if (st == CCF_STORE_ERROR)
            d->st = st;
    }
    by.id = row->group_id;
    by.info = json_string_value(json_object_get(d->group, "apiProvDomInfo"));
    return by;
}

/* What of an API he may see and wants to; NULL: nothing. */
static json_t *seen(struct discovery *d, const struct ccf_api_row *row)
{
    const struct ccf_provider_name by = provider_of(d, row);
    json_t *api = d->partner != NULL ? ccf_api_for_partner(
                      row->doc, d->partner->ccf_id, d->partner->aefs)
                                     : json_incref(row->doc);
    enum ccf_store_status st = CCF_STORE_OK;

    if (api == NULL)
        return NULL;
    if (!ccf_filter_apply(&d->filter, api, &by))
        st = CCF_STORE_NOT_FOUND;
    else if (strcmp(row->ccf_id, d->w->ccf->ccf_id) == 0)
        st = ccf_access_see(d->w, &d->who, row->api_id, api);
    if (st == CCF_STORE_ERROR)
        d->st = st;
    if (st != CCF_STORE_OK) {
        json_decref(api);
        return NULL;
    }
    if (d->partner != NULL)
        ccf_api_tell_provider(api, by.id, by.info);
    else
        ccf_api_untell_provider(api);
    return api;
}

static bool collect(const struct ccf_api_row *row, void *arg)
{
    struct discovery *d = arg;
    json_t *api =
        ccf_domain_known(d->w->ccf, row->ccf_id) ? seen(d, row) : NULL;

    if (api != NULL) {
        d->octets += json_dumpb(api, NULL, 0, JSON_COMPACT);
        d->truncated = json_array_size(d->list) >= d->w->ccf->discover_max
                       || d->octets > OCTETS_MAX;
        if (d->truncated)
            json_decref(api);
        else
            json_array_append_new(d->list, api);
    }
    return d->st == CCF_STORE_OK && !d->truncated;
}

static void answer(struct discovery *d)
{
    json_t *doc;
    enum ccf_store_status st = CCF_STORE_ERROR;

    if ((d->list = json_array()) != NULL)
        st = ccf_store_api_each(d->w->store,
                                d->partner != NULL ? d->w->ccf->ccf_id : NULL,
                                d->filter.api_name, collect, d);
    if (st == CCF_STORE_OK)
        st = d->st;
    if (st != CCF_STORE_OK) {
        ccf_reply_store(d->req, st);
    } else {
        doc = json_pack("{s:s}", "suppFeat", "0");
        if (json_array_size(d->list) > 0) /* minItems is 1 */
            json_object_set(doc, "serviceAPIDescriptions", d->list);
        if (d->truncated)
            json_object_set_new(doc, CCF_VS,
                                json_pack("{s:b}", "truncated", 1));
        capif_reply_json(d->req, 200, doc);
    }
    discovery_free(d);
}

/* ---- partners ---- */

static void on_partner(const struct capif_answer *a, void *arg)
{
    struct asked *asked = arg;
    struct discovery *d = asked->d;
    struct ccf_refusal no;

    if (!ccf_known_take(d->w, asked->partner, &d->filter, d->question, a)) {
        ccf_partner_refusal(asked->partner, a, &no);
        ccf_known_failed(d->w, asked->partner);
    }
    free(asked);
    if (--d->pending == 0)
        answer(d);
}

static void ask(struct discovery *d, const struct ccf_partner *partner)
{
    struct asked *asked = calloc(1, sizeof(*asked));
    char path[2048 - CAPIF_CCF_ID_MAX - 16]; /* with the URL before it */

    if (asked == NULL)
        return;
    asked->d = d;
    asked->partner = partner;
    snprintf(path, sizeof(path),
             "/service-apis/v1/allServiceAPIs?api-invoker-id=%s%s",
             d->w->ccf->ccf_id, d->question);
    if (ccf_partner_call(d->w, partner, "GET", path, NULL, on_partner, asked))
        d->pending++;
    else
        free(asked);
}

/* ---- the request ---- */

static void discover(struct discovery *d)
{
    const struct ccf *ccf = d->w->ccf;

    if (d->partner == NULL)
        for (size_t i = 0; i < ccf->n_partners; i++)
            if (ccf_known_ask(d->w, &ccf->partners[i], d->question))
                ask(d, &ccf->partners[i]);
    if (d->pending == 0)
        answer(d);
}

void ccf_get_discover(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *id = capif_req_query(req, "api-invoker-id");
    struct capif_reader reader = { 0 };
    struct discovery *d;

    if (id == NULL) {
        ccf_reply_parameter(req, "api-invoker-id", "missing");
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
    snprintf(d->id, sizeof(d->id), "%s", w->peer.id);
    d->who.ccf_id = w->ccf->ccf_id;
    d->who.invoker_id = d->id;
    if (w->peer.role == CAPIF_CCF) {
        d->partner = ccf_partner_find(w->ccf, w->peer.ccf_id);
        d->who = (struct ccf_asker){ d->id, NULL };
    }
    ccf_filter_read(req, &reader, &d->filter);
    if (reader.n == 0 && (d->question = ccf_filter_query(&d->filter)) == NULL)
        capif_complain(&(struct capif_at){ NULL, "", &reader },
                       "the parameters are too long together");
    if (reader.n > 0) {
        capif_reply_invalid(req, &reader);
        discovery_free(d);
        return;
    }
    discover(d);
}
