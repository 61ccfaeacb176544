/* SPDX-License-Identifier: Apache-2.0 */
#include "known.h"

#include "log.h"
#include "share.h"
#include "store_policy.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define APIS_MAX 10000 /* in one answer, whose octets are bounded anyway */

/* ---- what was asked lately ---- */

/* Instead of a question, which begins with '&' or is "". */
static const char all[] = "all", failed[] = "failed";

static time_t monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec;
}

/* By its name: the configuration, and the partner in it, may be read anew. */
static bool digest(const struct ccf_partner *partner, const char *question,
                   unsigned char out[32])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok =
        ctx != NULL && EVP_DigestInit_ex(ctx, EVP_sha256(), NULL) == 1
        && EVP_DigestUpdate(ctx, partner->ccf_id, strlen(partner->ccf_id) + 1)
               == 1
        && EVP_DigestUpdate(ctx, question, strlen(question)) == 1
        && EVP_DigestFinal_ex(ctx, out, NULL) == 1;

    EVP_MD_CTX_free(ctx);
    return ok;
}

static void remember(struct ccf_worker *w, const struct ccf_partner *partner,
                     const char *question)
{
    struct ccf_answered *a = &w->answered[w->next_answered];

    if (w->ccf->partner_seconds == 0 || !digest(partner, question, a->question))
        return;
    a->until = monotonic() + (time_t)w->ccf->partner_seconds;
    w->next_answered = (w->next_answered + 1) % CCF_ANSWERED_MAX;
}

static bool remembered(const struct ccf_worker *w,
                       const struct ccf_partner *partner, const char *question)
{
    unsigned char md[32];
    time_t now = monotonic();

    if (!digest(partner, question, md))
        return false;
    for (size_t i = 0; i < CCF_ANSWERED_MAX; i++)
        if (w->answered[i].until > now
            && memcmp(w->answered[i].question, md, sizeof(md)) == 0)
            return true;
    return false;
}

bool ccf_known_ask(const struct ccf_worker *w,
                   const struct ccf_partner *partner, const char *question)
{
    return !remembered(w, partner, question) && !remembered(w, partner, all)
           && !remembered(w, partner, failed);
}

void ccf_known_failed(struct ccf_worker *w, const struct ccf_partner *partner)
{
    remember(w, partner, failed);
}

/* ---- an answer ---- */

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

/* What an answer to a part of all there is changes of what was known. */
struct merge {
    const struct ccf_filter *asked;
    json_t *said; /* by apiId; taken out when it has been found known */
    bool cut;     /* what it does not say may be there nevertheless */
    json_t *put, *gone;
};

/* An AEF of a description that is known, into one that was said. */
static void add_profile(json_t *said, json_t *profile)
{
    json_t *ids = json_object_get(json_object_get(said, "apiStatus"), "aefIds");

    json_array_append(json_object_get(said, "aefProfiles"), profile);
    if (ids != NULL)
        json_array_append(ids, json_object_get(profile, "aefId"));
}

/*
 * One that was known, and was said, or not.  The profiles that were not asked
 * for stay.
 */
static bool merge_one(const struct ccf_api_row *row, void *arg)
{
    struct merge *m = arg;
    const struct ccf_provider_name by = { ccf_vs_str(row->doc, "apiProvDomId"),
                                          ccf_vs_str(row->doc,
                                                     "apiProvDomInfo") };
    json_t *said = json_object_get(m->said, row->api_id), *profile;
    json_t *profiles = json_object_get(row->doc, "aefProfiles");
    json_t *now =
        said != NULL ? json_deep_copy(said) : json_deep_copy(row->doc);
    bool asked = ccf_filter_api(m->asked, row->doc, &by);
    size_t i;

    if (said == NULL)
        json_array_clear(json_object_get(now, "aefProfiles"));
    json_array_foreach(profiles, i, profile)
    {
        if ((said == NULL && m->cut) || !asked
            || !ccf_filter_profile(m->asked, profile)) {
            if (ccf_api_profile(now, capif_str(profile, "aefId")) != NULL)
                continue;
            if (said != NULL)
                add_profile(now, profile);
            else
                json_array_append(json_object_get(now, "aefProfiles"), profile);
        }
    }
    if (!ccf_api_tidy(now))
        json_array_append_new(m->gone, json_string(row->api_id));
    else if (!json_equal(now, row->doc))
        json_array_append(m->put, now);
    json_decref(now);
    json_object_del(m->said, row->api_id);
    return true;
}

static enum ccf_store_status merge(struct ccf_worker *w,
                                   const struct ccf_partner *partner,
                                   const struct ccf_filter *asked, bool cut,
                                   const json_t *docs)
{
    struct merge m = { asked, json_object(), cut, json_array(), json_array() };
    enum ccf_store_status st;
    const char *id;
    json_t *api;
    size_t i;

    json_array_foreach(docs, i, api)
    {
        json_object_set(m.said, capif_str(api, "apiId"), api);
    }
    st = ccf_store_api_each(w->store, partner->ccf_id, asked->api_name,
                            merge_one, &m);
    json_object_foreach(m.said, id, api)
    {
        (void)id;
        json_array_append(m.put, api);
    }
    if (st == CCF_STORE_OK
        && json_array_size(m.put) + json_array_size(m.gone) > 0)
        st = ccf_store_api_merge(w->store, partner->ccf_id, m.put, m.gone);
    json_decref(m.said);
    json_decref(m.put);
    json_decref(m.gone);
    return st;
}

bool ccf_known_take(struct ccf_worker *w, const struct ccf_partner *partner,
                    const struct ccf_filter *asked, const char *question,
                    const struct capif_answer *a)
{
    struct capif_reader reader = { 0 };
    json_t *doc = a->status == 200
                      ? capif_json_parse(a->body, a->body_len, &reader)
                      : NULL;
    struct capif_at root = capif_at_root(doc, &reader);
    struct capif_at list =
        capif_get_array(&root, "serviceAPIDescriptions", false, 0, APIS_MAX);
    bool cut = json_is_true(
        json_object_get(json_object_get(doc, CCF_VS), "truncated"));
    enum ccf_store_status st = CCF_STORE_ERROR;
    bool ok = doc != NULL && reader.n == 0;
    json_t *kept = ok ? believe(partner, list.v) : NULL;

    if (ok)
        st = question[0] == '\0' && !cut
                 ? ccf_store_api_replace(w->store, partner->ccf_id, kept)
                 : merge(w, partner, asked, cut, kept);
    if (st == CCF_STORE_OK)
        remember(w, partner, question[0] == '\0' && !cut ? all : question);
    json_decref(kept);
    json_decref(doc);
    return ok;
}
