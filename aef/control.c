/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AEF_Security_API (TS 29.222 9.1): the control listener, design 10 OQ-2.
 */
#include "aef.h"

#include "log.h"

#include <stdlib.h>
#include <string.h>

#define SMALL              4096
#define MEDIUM             16384 /* 64 names and ids of APIs */
#define LOOKUPS_PER_SECOND 50    /* of one peer, in one worker */

const struct capif_route aef_control_routes[] = {
    { "POST", "/aef-security/v1/check-authentication", SMALL, 0,
      aef_post_check_authentication },
    { "POST", "/aef-security/v1/revoke-authorization", MEDIUM, AEF_FROM_CCF,
      aef_post_revoke_authorization },
    { .method = NULL },
};

bool aef_rate_ok(struct aef_rate rates[AEF_RATES], const char *whose,
                 unsigned max)
{
    struct aef_rate *rate;
    time_t now = time(NULL);
    unsigned hash = 5381;

    for (; *whose != '\0'; whose++)
        hash = hash * 33 + (unsigned char)*whose;
    rate = &rates[hash % AEF_RATES];
    if (rate->second != now)
        *rate = (struct aef_rate){ now, 0 };
    return rate->n++ < max;
}

static void too_many(struct capif_req *req)
{
    capif_req_set_header(req, "Retry-After", "1");
    capif_reply_problem(req, 429, NULL, "too many from your address");
}

/* The same for known and unknown invokers (OQ-21). */
static void on_info(const struct aef_info *info, void *arg)
{
    struct capif_req *req = arg;

    if (info == NULL) {
        capif_req_set_header(req, "Retry-After", "5");
        capif_reply_problem(req, 503, NULL, "the CCF does not answer");
        return;
    }
    capif_log("check-authentication", "peer", capif_req_peer(req), "ccf",
              info->ccf_id, "invoker", info->invoker_id, "known",
              info->known ? "yes" : "no", NULL);
    capif_reply_json(req, 200, json_pack("{s:s}", "supportedFeatures", "0"));
}

void aef_post_check_authentication(struct capif_req *req, void *app)
{
    struct aef_worker *w = app;
    struct capif_reader reader = { 0 };
    json_t *doc = capif_req_json(req, "application/json");
    struct capif_at root = capif_at_root(doc, &reader), vs;
    const char *invoker_id, *ccf_id;

    if (doc == NULL)
        return;
    vs = capif_get_object(&root, AEF_VS, false);
    invoker_id = capif_get_str(&root, "apiInvokerId", true, CAPIF_ID_MAX);
    capif_check_features(&root, "supportedFeatures", true);
    ccf_id = capif_get_str(&vs, "srcCcfId", false, CAPIF_CCF_ID_MAX);
    if (ccf_id == NULL)
        ccf_id = w->aef->ccf_id;
    if (invoker_id != NULL && !capif_id_ok(invoker_id))
        capif_complain(&root, "malformed apiInvokerId");
    if (!capif_ccf_id_ok(ccf_id))
        capif_complain(&vs, "malformed srcCcfId");
    if (reader.n > 0)
        capif_reply_invalid(req, &reader);
    else if (!aef_rate_ok(w->rates, capif_req_peer(req), LOOKUPS_PER_SECOND))
        too_many(req);
    else
        aef_info_get(w, ccf_id, invoker_id, true, on_info, req);
    json_decref(doc);
}
