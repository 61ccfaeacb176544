/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Revoke_Authorization of AEF_Security_API (TS 29.222 6.2.2.3, TS 23.222
 * 8.23.4): this AEF's CCF takes back what it has granted to an invoker.  It is
 * in force, in all workers, before the CCF has its answer; connections are
 * closed after it (peer.c).
 */
#include "aef.h"

#include "log.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define APIS_MAX 64

struct revocation {
    const char *ccf_id, *invoker_id, *cause;
    const json_t *names; /* of APIs; none: all */
    time_t at;           /* tokens issued later are not meant */
};

unsigned aef_control_who(const struct capif_req *req, void *app)
{
    const struct aef_worker *w = app;
    SSL *ssl = capif_req_ssl(req);
    X509 *cert = ssl != NULL ? SSL_get0_peer_certificate(ssl) : NULL;
    struct capif_identity who;

    if (cert == NULL) /* those that there are hold: capif_tls_server() */
        return 0;
    return capif_cert_identity(cert, &who) && who.role == CAPIF_CCF
                   && strcmp(who.ccf_id, w->aef->ccf_id) == 0
               ? AEF_FROM_CCF
               : AEF_FROM_OTHER;
}

static void strings(const struct capif_at *list, size_t max)
{
    for (size_t i = 0; i < json_array_size(list->v); i++)
        (void)capif_item_str(list, i, max);
}

/* A RevokeAuthorizationReq (9.1.4.2.4); complaints are in root's reader. */
static void read_request(const struct capif_at *root, const struct aef *aef,
                         struct revocation *r)
{
    struct capif_at info = capif_get_object(root, "revokeInfo", true);
    struct capif_at vs = capif_get_object(&info, AEF_VS, false);
    struct capif_at ids = capif_get_array(&info, "apiIds", true, 1, APIS_MAX);
    struct capif_at names =
        capif_get_array(&vs, "apiNames", false, 0, APIS_MAX);
    const char *aef_id =
        capif_get_str(&info, "aefId", false, CAPIF_SCOPE_NAME_MAX);

    capif_check_features(root, "supportedFeatures", true);
    r->invoker_id = capif_get_str(&info, "apiInvokerId", true, CAPIF_ID_MAX);
    r->cause = capif_get_str(&info, "cause", true, 64);
    r->ccf_id = capif_get_str(&vs, "srcCcfId", false, CAPIF_CCF_ID_MAX);
    r->names = names.v;
    r->at = (time_t)capif_get_int(&vs, "at", 0, LONG_MAX, time(NULL));
    strings(&ids, CAPIF_ID_MAX);
    strings(&names, CAPIF_SCOPE_NAME_MAX);
    if (r->ccf_id == NULL)
        r->ccf_id = aef->ccf_id;
    if (r->invoker_id != NULL && !capif_id_ok(r->invoker_id))
        capif_complain(&info, "malformed apiInvokerId");
    if (!capif_ccf_id_ok(r->ccf_id))
        capif_complain(&vs, "malformed srcCcfId");
    if (aef_id != NULL && strcmp(aef_id, aef->aef_id) != 0)
        capif_complain(&info, "aefId is another AEF's");
}

static void revoke_api(struct aef *aef, const struct revocation *r,
                       const char *api_name)
{
    /* First: what comes in from now on is measured by it. */
    aef_denied_add(aef->denied, r->ccf_id, r->invoker_id, api_name, r->at,
                   time(NULL));
    aef_psks_revoke(aef->psks, r->ccf_id, r->invoker_id, api_name);
}

/*
 * A CCF that names no APIs means those of apiIds, which an AEF does not know:
 * then all are taken back, and what is still granted is asked for anew.
 */
static void revoke(struct aef *aef, const struct revocation *r)
{
    char apis[APIS_MAX * (CAPIF_SCOPE_NAME_MAX + 1) + 1] = "";
    const json_t *name;
    size_t i, len = 0;

    json_array_foreach(r->names, i, name)
    {
        revoke_api(aef, r, json_string_value(name));
        len += (size_t)snprintf(apis + len, sizeof(apis) - len, "%s%s",
                                i > 0 ? "," : "", json_string_value(name));
    }
    if (json_array_size(r->names) == 0) {
        revoke_api(aef, r, "");
        strcpy(apis, "*");
    }
    capif_log("revoked", "ccf", r->ccf_id, "invoker", r->invoker_id, "apis",
              apis, "cause", r->cause, NULL);
}

void aef_post_revoke_authorization(struct capif_req *req, void *app)
{
    const struct aef_worker *w = app;
    struct capif_reader reader = { 0 };
    json_t *doc = capif_req_json(req, "application/json");
    struct capif_at root = capif_at_root(doc, &reader);
    struct revocation r;

    if (doc == NULL)
        return;
    read_request(&root, w->aef, &r);
    if (reader.n > 0) {
        capif_reply_invalid(req, &reader);
    } else {
        revoke(w->aef, &r);
        capif_reply_json(req, 200,
                         json_pack("{s:s}", "supportedFeatures", "0"));
    }
    json_decref(doc);
}
