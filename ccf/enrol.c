/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enrolment tokens, and what they are exchanged for: onboarding of API
 * invokers (TS 29.222 8.4) and registration of provider functions (8.9).
 */
#include "ccf.h"

#include "jose.h"
#include "log.h"
#include "scope.h"

#include <stdlib.h>
#include <string.h>

#define PEM_MAX   8192
#define TEXT_MAX  256
#define URI_MAX   1024
#define FUNCS_MAX 8

const char *ccf_grant_check(const struct ccf *ccf, const char *token,
                            const char *role, struct ccf_grant *out)
{
    struct capif_jws jws;
    const char *why = capif_jws_parse(token, &jws);
    const char *text[4];
    static const char *const names[] = { "iss", "aud", "role", "jti" };
    json_int_t exp;

    if (why != NULL)
        return why;
    for (size_t i = 0; i < 4; i++)
        text[i] = json_string_value(json_object_get(jws.claims, names[i]));
    exp = json_integer_value(json_object_get(jws.claims, "exp"));
    if (jws.typ == NULL || strcmp(jws.typ, "enrol+jwt") != 0)
        why = "not an enrolment token";
    else if (jws.kid == NULL || strcmp(jws.kid, ccf->kid) != 0
             || !capif_jws_verify(&jws, ccf->jws_key))
        why = "signature not by this CCF";
    else if (text[0] == NULL || strcmp(text[0], ccf->ccf_id) != 0
             || text[1] == NULL || strcmp(text[1], ccf->ccf_id) != 0
             || text[2] == NULL || strcmp(text[2], role) != 0
             || text[3] == NULL)
        why = "enrolment for something else";
    else if (exp <= time(NULL))
        why = "enrolment expired";
    if (why == NULL) {
        out->claims = json_incref(jws.claims);
        out->enrolment.jti = text[3];
        out->enrolment.exp = (time_t)exp;
    }
    capif_jws_clear(&jws);
    return why;
}

X509 *ccf_issue(const struct ccf *ccf, const struct capif_identity *who,
                const char *csr_pem, const char *dns_name, const char **why)
{
    X509_REQ *csr = capif_csr_parse(csr_pem, why);
    struct capif_cert_spec spec = { .who = *who,
                                    .dns_name = dns_name,
                                    .days = (long)ccf->cert_days };
    X509 *cert;

    if (csr == NULL)
        return NULL;
    spec.public_key = X509_REQ_get0_pubkey(csr);
    cert =
        capif_cert_issue(&spec, sk_X509_value(ccf->ca_certs, 0), ccf->ca_key);
    X509_REQ_free(csr);
    return cert;
}

X509 *ccf_issue_transport(const struct ccf *ccf,
                          const struct capif_identity *who,
                          const char *spki_pem)
{
    EVP_PKEY *key = capif_transport_parse(spki_pem);
    struct capif_cert_spec spec = { .public_key = key,
                                    .who = *who,
                                    .transport = true,
                                    .days = (long)ccf->cert_days };
    X509 *cert = NULL;

    if (key != NULL)
        cert = capif_cert_issue(&spec, sk_X509_value(ccf->ca_certs, 0),
                                ccf->ca_key);
    EVP_PKEY_free(key);
    return cert;
}

/*
 * The AEF may bring a transport key, too, for which the enrolment and the
 * request that its TLS key signed speak: the key itself can't sign.
 */
static void certify_transport(const struct ccf *ccf,
                              const struct capif_identity *who,
                              const struct capif_at *func)
{
    struct capif_at vs = capif_get_object(func, CCF_VS, false);
    const char *spki = capif_get_str(&vs, "transportPublicKey", false, PEM_MAX);
    X509 *cert;
    char *pem;

    if (spki == NULL)
        return;
    cert = ccf_issue_transport(ccf, who, spki);
    pem = cert != NULL ? capif_cert_pem(cert) : NULL;
    if (pem != NULL)
        json_object_set_new(vs.v, "transportCertificate", json_string(pem));
    else
        capif_complain(&vs, "transportPublicKey must be RSA of 2048 bits");
    free(pem);
    X509_free(cert);
}

/* A certificate as a JSON string, with the member it makes. */
static json_t *issue_member(const struct ccf *ccf, struct ccf_member *m,
                            const char *csr_pem, const char *dns_name,
                            const char **why)
{
    X509 *cert = ccf_issue(ccf, &m->who, csr_pem, dns_name, why);
    char *pem = cert != NULL ? capif_cert_pem(cert) : NULL;
    json_t *text = NULL;

    if (pem != NULL && capif_cert_thumbprint(cert, m->thumbprint))
        text = json_string(pem);
    free(pem);
    X509_free(cert);
    return text;
}

static void refuse_grant(struct capif_req *req, const char *why)
{
    capif_log("enrolment-refused", "peer", capif_req_peer(req), "why", why,
              NULL);
    capif_req_set_header(req, "WWW-Authenticate", "Bearer");
    capif_reply_problem(req, 401, "ENROLMENT_REFUSED", why);
}

static bool member_init(struct ccf_worker *w, struct ccf_member *m,
                        enum capif_role role, const char *id)
{
    const char *prefix[] = { [CAPIF_INVOKER] = "inv-",
                             [CAPIF_AEF] = "aef-",
                             [CAPIF_APF] = "apf-",
                             [CAPIF_AMF] = "amf-" };

    m->who.role = role;
    strcpy(m->who.ccf_id, w->ccf->ccf_id);
    if (id == NULL)
        return ccf_make_id(prefix[role], m->who.id);
    strcpy(m->who.id, id);
    return true;
}

/* Commit and answer; the document is what is stored and sent. */
static void enrol_and_reply(struct capif_req *req, struct ccf_worker *w,
                            const struct ccf_grant *grant, const char *group_id,
                            const char *collection, json_t *doc,
                            const struct ccf_member *members, size_t n)
{
    char location[URI_MAX];
    enum ccf_store_status st =
        ccf_store_enrol(w->store, &grant->enrolment, group_id, doc, members, n);

    if (st != CCF_STORE_OK) {
        json_decref(doc);
        if (st == CCF_STORE_CONFLICT)
            refuse_grant(req, "enrolment used already");
        else
            ccf_reply_store(req, st);
        return;
    }
    capif_log("enrolled", "peer", capif_req_peer(req), "id", members[0].who.id,
              "group", group_id, NULL);
    snprintf(location, sizeof(location), "%s%s/%s", w->ccf->url, collection,
             group_id);
    capif_req_set_header(req, "Location", location);
    capif_reply_json(req, 201, doc);
}

/* ---- API invokers ---- */

static void onboard(struct capif_req *req, struct ccf_worker *w,
                    const struct ccf_grant *grant, json_t *doc)
{
    struct capif_reader reader = { 0 };
    struct capif_at root = capif_at_root(doc, &reader);
    struct capif_at info =
        capif_get_object(&root, "onboardingInformation", true);
    const char *csr =
        capif_get_str(&info, "apiInvokerPublicKey", true, PEM_MAX);
    struct ccf_member m = { 0 };
    char group_id[CAPIF_ID_MAX + 1];
    const char *why = NULL;
    json_t *cert;

    (void)capif_get_str(&root, "notificationDestination", true, URI_MAX);
    (void)capif_get_str(&root, "apiInvokerInformation", false, TEXT_MAX);
    capif_check_features(&root, "supportedFeatures", false);
    if (json_object_get(doc, "apiInvokerId") != NULL) {
        struct capif_at at = { NULL, "/apiInvokerId", &reader };
        capif_complain(&at, "is assigned by the CCF");
    }
    if (reader.n > 0) {
        capif_reply_invalid(req, &reader);
        return;
    }
    if (!member_init(w, &m, CAPIF_INVOKER, NULL)
        || !ccf_make_id("onb-", group_id)) {
        capif_reply_internal(req, "no-random");
        return;
    }
    if ((cert = issue_member(w->ccf, &m, csr, NULL, &why)) == NULL) {
        struct capif_at at = { NULL,
                               "/onboardingInformation/apiInvokerPublicKey",
                               &reader };
        if (why == NULL) {
            capif_reply_internal(req, "issue-failed");
        } else {
            capif_complain(&at, why);
            capif_reply_invalid(req, &reader);
        }
        return;
    }
    json_object_set_new(info.v, "apiInvokerCertificate", cert);
    json_object_set_new(doc, "apiInvokerId", json_string(m.who.id));
    json_object_set_new(doc, "supportedFeatures", json_string("0"));
    json_object_set_new(doc, CCF_VS,
                        json_pack("{s:s}", "ccfId", w->ccf->ccf_id));
    enrol_and_reply(req, w, grant, group_id,
                    "/api-invoker-management/v1/onboardedInvokers",
                    json_incref(doc), &m, 1);
}

void ccf_post_onboarding(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *token = capif_req_bearer(req);
    struct ccf_grant grant = { 0 };
    const char *why = token != NULL
                          ? ccf_grant_check(w->ccf, token, "invoker", &grant)
                          : "no enrolment token";
    json_t *doc;

    if (why != NULL) {
        refuse_grant(req, why);
        return;
    }
    if ((doc = capif_req_json(req, "application/json")) != NULL)
        onboard(req, w, &grant, doc);
    json_decref(doc);
    json_decref(grant.claims);
}

void ccf_delete_onboarding(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const char *id = capif_req_param(req, 0);
    enum ccf_store_status st;

    if (strcmp(id, w->peer_group) != 0) {
        capif_reply_problem(req, 403, NULL, "not your onboarding");
        return;
    }
    st = ccf_store_offboard(w->store, &w->peer, id);
    if (st != CCF_STORE_OK) {
        ccf_reply_store(req, st);
        return;
    }
    capif_log("offboarded", "id", w->peer.id, NULL);
    capif_reply_empty(req, 204);
}

/* ---- API provider functions ---- */

/* The k-th AEF that the enrolment names: its id and DNS name. */
static bool granted_aef(const struct ccf_grant *grant, size_t k,
                        const char **id, const char **dns_name)
{
    const json_t *aef =
        json_array_get(json_object_get(grant->claims, "aefs"), k);

    *id = json_string_value(json_object_get(aef, "id"));
    *dns_name = json_string_value(json_object_get(aef, "dnsName"));
    return *id != NULL && *dns_name != NULL && capif_id_ok(*id)
           && capif_scope_name_ok(*id) && capif_ccf_id_ok(*dns_name);
}

/* Read one function, certify it, and complete its JSON. */
static void register_func(struct ccf_worker *w, const struct ccf_grant *grant,
                          const struct capif_at *func, size_t *n_aefs,
                          struct ccf_member *m)
{
    const char *role_text = capif_get_str(func, "apiProvFuncRole", true, 8);
    struct capif_at info = capif_get_object(func, "regInfo", true);
    const char *csr = capif_get_str(&info, "apiProvPubKey", true, PEM_MAX);
    const char *id = NULL, *dns_name = NULL, *why = NULL;
    enum capif_role role;
    json_t *cert;

    (void)capif_get_str(func, "apiProvFuncInfo", false, TEXT_MAX);
    if (role_text == NULL || csr == NULL)
        return;
    if (strcmp(role_text, "AEF") == 0)
        role = CAPIF_AEF;
    else if (strcmp(role_text, "APF") == 0)
        role = CAPIF_APF;
    else if (strcmp(role_text, "AMF") == 0)
        role = CAPIF_AMF;
    else {
        capif_complain(func, "apiProvFuncRole must be AEF, APF or AMF");
        return;
    }
    if (role == CAPIF_AEF && !granted_aef(grant, (*n_aefs)++, &id, &dns_name)) {
        capif_complain(func, "the enrolment names no further AEF");
        return;
    }
    if (!member_init(w, m, role, id)
        || (cert = issue_member(w->ccf, m, csr, dns_name, &why)) == NULL) {
        capif_complain(&info, why != NULL ? why : "no certificate issued");
        return;
    }
    if (role == CAPIF_AEF)
        certify_transport(w->ccf, &m->who, func);
    json_object_set_new(info.v, "apiProvCert", cert);
    json_object_set_new(func->v, "apiProvFuncId", json_string(m->who.id));
}

static void register_provider(struct capif_req *req, struct ccf_worker *w,
                              const struct ccf_grant *grant, json_t *doc)
{
    struct capif_reader reader = { 0 };
    struct capif_at root = capif_at_root(doc, &reader);
    struct capif_at funcs =
        capif_get_array(&root, "apiProvFuncs", true, 1, FUNCS_MAX);
    struct ccf_member members[FUNCS_MAX] = { 0 };
    char group_id[CAPIF_ID_MAX + 1];
    size_t n = json_array_size(funcs.v), n_aefs = 0;

    (void)capif_get_str(&root, "apiProvDomInfo", false, TEXT_MAX);
    for (size_t i = 0; i < n; i++) {
        struct capif_at func = capif_at_item(&funcs, i);
        register_func(w, grant, &func, &n_aefs, &members[i]);
    }
    if (reader.n > 0) {
        capif_reply_invalid(req, &reader);
        return;
    }
    if (!ccf_make_id("dom-", group_id)) {
        capif_reply_internal(req, "no-random");
        return;
    }
    json_object_del(doc, "regSec"); /* a credential: not to be kept */
    json_object_set_new(doc, "apiProvDomId", json_string(group_id));
    json_object_set_new(doc, "suppFeat", json_string("0"));
    enrol_and_reply(req, w, grant, group_id,
                    "/api-provider-management/v1/registrations",
                    json_incref(doc), members, n);
}

void ccf_post_registration(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    struct capif_reader reader = { 0 };
    struct ccf_grant grant = { 0 };
    const char *token, *why;
    json_t *doc = capif_req_json(req, "application/json");
    struct capif_at root = capif_at_root(doc, &reader);

    if (doc == NULL)
        return;
    token = capif_get_str(&root, "regSec", true, CAPIF_JWS_MAX);
    why =
        token != NULL ? ccf_grant_check(w->ccf, token, "provider", &grant) : "";
    if (token == NULL)
        capif_reply_invalid(req, &reader);
    else if (why != NULL)
        refuse_grant(req, why);
    else
        register_provider(req, w, &grant, doc);
    json_decref(grant.claims);
    json_decref(doc);
}
