/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_API_Provider_Management_API (TS 29.222 8.9): registration of a
 * provider domain's functions, and what its AMF may change of it.  Which AEFs
 * there may ever be, by id and DNS name, is for the enrolment to say; the
 * registration keeps that list.
 */
#include "ccf.h"

#include "jose.h"
#include "log.h"
#include "scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX 256
#define URI_MAX  1024

static const char collection[] = "/api-provider-management/v1/registrations";

/* ---- AEFs that the enrolment names ---- */

static const json_t *granted(const struct ccf_change *c)
{
    return c->was != NULL
               ? json_object_get(json_object_get(c->was, CCF_VS), "aefs")
               : json_object_get(c->grant->claims, "aefs");
}

static bool aef_ok(const json_t *aef)
{
    const char *id = capif_str(aef, "id"), *dns = capif_str(aef, "dnsName");

    return id != NULL && dns != NULL && capif_id_ok(id)
           && capif_scope_name_ok(id) && capif_ccf_id_ok(dns);
}

/* The DNS name of an AEF; NULL: not granted. */
static const char *dns_of(const struct ccf_change *c, const char *id)
{
    const json_t *aef;
    size_t i;

    json_array_foreach(granted(c), i, aef)
    {
        if (aef_ok(aef) && capif_same(capif_str(aef, "id"), id))
            return capif_str(aef, "dnsName");
    }
    return NULL;
}

/* ---- functions ---- */

/* Is there a function of that role and id in a document? */
static const json_t *func_of(const json_t *doc, const char *role,
                             const char *id)
{
    const json_t *func;
    size_t i;

    json_array_foreach(json_object_get(doc, "apiProvFuncs"), i, func)
    {
        if (capif_same(capif_str(func, "apiProvFuncId"), id)
            && capif_same(capif_str(func, "apiProvFuncRole"), role))
            return func;
    }
    return NULL;
}

/* The first AEF granted that the document does not have yet, or NULL. */
static const char *next_aef(const struct ccf_change *c)
{
    const json_t *aef;
    size_t i;

    json_array_foreach(granted(c), i, aef)
    {
        if (aef_ok(aef) && func_of(c->doc, "AEF", capif_str(aef, "id")) == NULL)
            return capif_str(aef, "id");
    }
    return NULL;
}

static bool is_twice(const struct ccf_change *c, const struct ccf_member *m)
{
    for (const struct ccf_member *other = c->members; other < m; other++)
        if (other->who.role == m->who.role
            && strcmp(other->who.id, m->who.id) == 0)
            return true;
    return false;
}

static bool role_parse(const struct capif_at *func, enum capif_role *role)
{
    const char *text = capif_get_str(func, "apiProvFuncRole", true, 8);

    if (text == NULL)
        return false;
    *role = strcmp(text, "AEF") == 0   ? CAPIF_AEF
            : strcmp(text, "APF") == 0 ? CAPIF_APF
            : strcmp(text, "AMF") == 0 ? CAPIF_AMF
                                       : CAPIF_NOBODY;
    if (*role == CAPIF_NOBODY)
        capif_complain(func, "apiProvFuncRole must be AEF, APF or AMF");
    return *role != CAPIF_NOBODY;
}

/* Which member a function is or becomes. */
static bool identify(struct ccf_change *c, const struct capif_at *func,
                     struct ccf_member *m)
{
    const char *id = capif_get_str(func, "apiProvFuncId", false, CAPIF_ID_MAX);
    const char *text = capif_str(func->v, "apiProvFuncRole");
    enum capif_role role;

    if (!role_parse(func, &role)
        || (id == NULL && json_object_get(func->v, "apiProvFuncId") != NULL))
        return false;
    if (id != NULL && func_of(c->was, text, id) == NULL
        && (role != CAPIF_AEF || dns_of(c, id) == NULL)) {
        capif_complain(func, "no such function of this registration");
        return false;
    }
    if (id == NULL && role == CAPIF_AEF && (id = next_aef(c)) == NULL) {
        capif_complain(func, "the enrolment names no further AEF");
        return false;
    }
    if (!ccf_member_init(c->w, m, role, id)) {
        ccf_change_no_token(c);
        return false;
    }
    if (is_twice(c, m)) {
        capif_complain(func, "is in the list twice");
        return false;
    }
    json_object_set_new(func->v, "apiProvFuncId", json_string(m->who.id));
    return true;
}

/*
 * The AEF may bring a transport key, too, for which the enrolment and the
 * request that its TLS key signed speak: the key itself can't sign.
 */
static void certify_transport(struct ccf_change *c, const struct capif_at *func,
                              const json_t *was, const struct ccf_member *m)
{
    struct capif_at vs = capif_get_object(func, CCF_VS, false);
    const char *spki =
        capif_get_str(&vs, "transportPublicKey", false, CCF_PEM_MAX);
    const json_t *was_vs = json_object_get(was, CCF_VS);
    const char *kept = capif_str(was_vs, "transportCertificate");
    X509 *cert = NULL;
    char *pem = NULL;

    json_object_del(vs.v, "transportCertificate");
    if (spki == NULL)
        return;
    if (capif_same(spki, capif_str(was_vs, "transportPublicKey"))
        && kept != NULL)
        pem = strdup(kept);
    else if ((cert = ccf_issue_transport(c->w->ccf, &m->who, spki)) != NULL)
        pem = capif_cert_pem(cert);
    if (pem != NULL)
        json_object_set_new(vs.v, "transportCertificate", json_string(pem));
    else
        capif_complain(&vs, "transportPublicKey must be RSA of 2048 bits");
    free(pem);
    X509_free(cert);
}

/* The key of was is certified already; another gets a new certificate. */
static void certify(struct ccf_change *c, const struct capif_at *func,
                    const char *csr, struct ccf_member *m)
{
    const json_t *was =
        func_of(c->was, capif_str(func->v, "apiProvFuncRole"), m->who.id);
    const json_t *was_info = json_object_get(was, "regInfo");
    json_t *info = json_object_get(func->v, "regInfo"), *cert;
    struct capif_at at = { info, "", &c->reader };
    const char *dns = NULL, *why = NULL;
    struct ccf_member now;

    snprintf(at.path, sizeof(at.path), "%.100s/regInfo", func->path);
    if (m->who.role == CAPIF_AEF && (dns = dns_of(c, m->who.id)) == NULL) {
        capif_complain(func, "the enrolment does not name this AEF");
        return;
    }

    if (capif_same(csr, capif_str(was_info, "apiProvPubKey"))) {
        if (ccf_store_member(c->w->store, &m->who, &now) == CCF_STORE_OK) {
            *m = now;
            json_object_set(info, "apiProvCert",
                            json_object_get(was_info, "apiProvCert"));
        } else {
            c->no.status = 503;
            snprintf(c->no.why, sizeof(c->no.why), "the store is not there");
        }
    } else if ((cert = ccf_issue_member(c->w->ccf, m, csr, dns, &why))
               != NULL) {
        json_object_set_new(info, "apiProvCert", cert);
    } else if (why == NULL) {
        ccf_change_no_token(c);
    } else {
        capif_complain(&at, why);
    }
    if (m->who.role == CAPIF_AEF && c->no.status == 0)
        certify_transport(c, func, was, m);
}

static void read_funcs(struct ccf_change *c, const struct capif_at *root)
{
    struct capif_at funcs =
        capif_get_array(root, "apiProvFuncs", true, 1, CCF_FUNCS_MAX);
    const char *csr[CCF_FUNCS_MAX] = { NULL };
    bool keeps_asker = c->was == NULL;

    c->n_members = json_array_size(funcs.v);
    memset(c->members, 0, sizeof(c->members));
    for (size_t i = 0; i < c->n_members; i++) {
        struct capif_at func = capif_at_item(&funcs, i);
        struct capif_at info = capif_get_object(&func, "regInfo", true);
        struct ccf_member *m = &c->members[i];

        csr[i] = capif_get_str(&info, "apiProvPubKey", true, CCF_PEM_MAX);
        (void)capif_get_str(&func, "apiProvFuncInfo", false, TEXT_MAX);
        if (identify(c, &func, m) && m->who.role == c->by.who.role
            && strcmp(m->who.id, c->by.who.id) == 0)
            keeps_asker = true;
    }
    if (!keeps_asker && funcs.v != NULL && c->reader.n == 0)
        capif_complain(&funcs, "the AMF that asks must stay");
    for (size_t i = 0; i < c->n_members; i++) {
        struct capif_at func = capif_at_item(&funcs, i);

        if (c->reader.n == 0 && c->no.status == 0)
            certify(c, &func, csr[i], &c->members[i]);
    }
}

/* ---- the document ---- */

/* How an enrolment token is kept and shown: it is a credential. */
static char *digest_of(const char *token)
{
    unsigned char md[EVP_MAX_MD_SIZE];
    size_t len = 0;

    if (EVP_Q_digest(NULL, "SHA256", NULL, token, strlen(token), md, &len) != 1)
        return NULL;
    return capif_b64url(md, len);
}

/* regSec must be the enrolment of this registration, or its digest. */
static void check_reg_sec(struct ccf_change *c, const struct capif_at *root)
{
    const char *token = capif_get_str(root, "regSec", true, CAPIF_JWS_MAX);
    const char *was = capif_str(c->was, "regSec");
    char *digest = token != NULL ? digest_of(token) : NULL;

    if (token == NULL)
        return;
    if (c->was == NULL || capif_same(digest, was))
        json_object_set_new(root->v, "regSec", json_string(digest));
    else if (!capif_same(token, was)) {
        struct capif_at at = { NULL, "/regSec", &c->reader };
        capif_complain(&at, "is not what this registration was made with");
    }
    free(digest);
}

static void complete(struct ccf_change *c)
{
    struct capif_at root = capif_at_root(c->doc, &c->reader);
    json_t *aefs;

    check_reg_sec(c, &root);
    ccf_change_keeps(c, "apiProvDomId", c->was != NULL ? c->id : NULL);
    (void)capif_get_str(&root, "apiProvDomInfo", false, TEXT_MAX);
    capif_check_features(&root, "suppFeat", false);
    read_funcs(c, &root);
    if (c->reader.n > 0)
        return;
    aefs = json_deep_copy(granted(c));
    json_object_del(c->doc, "failReason"); /* all or nothing: none fails */
    json_object_set_new(c->doc, "apiProvDomId", json_string(c->id));
    json_object_set_new(c->doc, "suppFeat", json_string("0"));
    json_object_set_new(
        c->doc, CCF_VS,
        json_pack("{s:s, s:o*}", "ccfId", c->w->ccf->ccf_id, "aefs", aefs));
}

static enum ccf_store_status get(struct ccf_change *c, json_t **was)
{
    return ccf_store_group_get(c->w->store, c->id, was);
}

static enum ccf_store_status set(struct ccf_change *c)
{
    enum ccf_store_status st = ccf_store_group_change(
        c->w->store, &c->by, c->was, c->doc, c->members, c->n_members);

    if (st == CCF_STORE_OK)
        capif_log("provider-updated", "group", c->id, "by", c->by.who.id, NULL);
    return st;
}

static const struct ccf_resource resource = { get, complete, set, NULL };

/* ---- handlers ---- */

static void register_provider(struct ccf_change *c)
{
    char location[URI_MAX];
    enum ccf_store_status st;

    if (!ccf_change_complete(c, &resource))
        return;
    st = ccf_store_enrol(c->w->store, &c->grant->enrolment, c->id, c->doc,
                         c->members, c->n_members);
    if (st == CCF_STORE_CONFLICT) {
        ccf_refuse_grant(c->req, "enrolment used already");
    } else if (st != CCF_STORE_OK) {
        ccf_reply_store(c->req, st);
    } else {
        capif_log("enrolled", "peer", capif_req_peer(c->req), "id",
                  c->members[0].who.id, "group", c->id, NULL);
        snprintf(location, sizeof(location), "%s%s/%s", c->w->ccf->url,
                 collection, c->id);
        capif_req_set_header(c->req, "Location", location);
        capif_reply_json(c->req, 201, json_incref(c->doc));
    }
}

void ccf_post_registration(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    struct ccf_grant grant = { 0 };
    char group_id[CAPIF_ID_MAX + 1];
    struct ccf_change c = {
        .req = req, .w = w, .grant = &grant, .id = group_id
    };
    const char *token, *why;
    struct capif_at root;

    if ((c.body = capif_req_json(req, "application/json")) == NULL)
        return;
    c.doc = c.body;
    root = capif_at_root(c.doc, &c.reader);
    token = capif_get_str(&root, "regSec", true, CAPIF_JWS_MAX);
    why =
        token != NULL ? ccf_grant_check(w->ccf, token, "provider", &grant) : "";
    if (token == NULL)
        capif_reply_invalid(req, &c.reader);
    else if (why != NULL)
        ccf_refuse_grant(req, why);
    else if (!ccf_make_id("dom-", group_id))
        capif_reply_internal(req, "no-random");
    else
        register_provider(&c);
    json_decref(grant.claims);
    json_decref(c.body);
}

void ccf_put_registration(struct capif_req *req, void *app)
{
    ccf_change_group(req, app, false, &resource);
}

void ccf_patch_registration(struct capif_req *req, void *app)
{
    ccf_change_group(req, app, true, &resource);
}

void ccf_delete_registration(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    struct ccf_member by = ccf_peer(w);
    enum ccf_store_status st;

    if (!ccf_own_group(req, w))
        return;
    if ((st = ccf_store_group_remove(w->store, &by)) != CCF_STORE_OK) {
        ccf_reply_store(req, st);
        return;
    }
    capif_log("deregistered", "group", by.group_id, "by", by.who.id, NULL);
    capif_reply_empty(req, 204);
}
