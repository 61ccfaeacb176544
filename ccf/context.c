/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Security_API (TS 29.222 5.6): what AEFs fetch over CAPIF-3, and what
 * their CCF fetches for them over CAPIF-6e (6.24.2.2.1 steps 4 to 9).
 */
#include "oauth.h"

#include "log.h"
#include "store_revoke.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ENVELOPE_MAX 8192

/* An answer in the making, for as long as a partner is being asked. */
struct lookup {
    struct capif_req *req;
    struct ccf_worker *w;
    const struct ccf_partner *partner; /* the invoker's domain; NULL: ours */
    struct capif_identity invoker;
    char aef_id[CAPIF_CCF_ID_MAX + 1];
    json_t *doc;         /* the context */
    json_t *entries;     /* of the AEF, copies */
    char thumbprint[44]; /* of our own invoker's certificate */
    bool authn, authz;
    const char *method;    /* that the partner is being asked about */
    size_t asked;          /* how many of asked_about[] are done with */
    struct ccf_refusal no; /* of the partner's; status 0: none */
    bool failed;           /* the store has */
};

/* What rests on the word of the invoker's own CCF (step 6). */
static const char *const asked_about[] = { "PSK", "PKI" };

static void lookup_free(struct lookup *l)
{
    json_decref(l->doc);
    json_decref(l->entries);
    free(l);
}

static bool is_by(const json_t *entry, const char *method)
{
    const char *sel =
        json_string_value(json_object_get(entry, "selSecurityMethod"));

    return sel != NULL && strcmp(sel, method) == 0;
}

/*
 * Without those that an access policy of this domain denies, of what its own
 * AEF is told; false: answered.
 */
static bool keep_allowed(struct lookup *l)
{
    const struct ccf_asker who = { l->invoker.ccf_id, l->invoker.id };

    for (size_t i = json_array_size(l->entries); i-- > 0;) {
        enum ccf_store_status st =
            ccf_access_entry(l->w, &who, json_array_get(l->entries, i));

        if (st == CCF_STORE_NOT_FOUND) {
            json_array_remove(l->entries, i);
        } else if (st != CCF_STORE_OK) {
            ccf_reply_store(l->req, st);
            lookup_free(l);
            return false;
        }
    }
    return true;
}

static bool is_psk(const json_t *entry)
{
    return is_by(entry, "PSK");
}

/* A JSON object as a string: what 29.222 has room for. */
static json_t *as_string(json_t *info)
{
    char *text = json_dumps(info, JSON_COMPACT);
    json_t *out = json_string(text);

    free(text);
    json_decref(info);
    return out;
}

/*
 * The context's entries of one AEF of a domain, without what is the
 * invoker's.  The domain counts, too: a partner must not grant what is ours.
 */
static json_t *entries_of(const json_t *doc, const char *ccf_id,
                          const char *aef_id)
{
    json_t *list = json_array(), *entry, *own;
    size_t i;

    json_array_foreach(json_object_get(doc, "securityInfo"), i, entry)
    {
        const char *id = ccf_vs_str(entry, "aefId");

        const char *owner = ccf_vs_str(entry, "ccfId");

        if (id == NULL || strcmp(id, aef_id) != 0 || owner == NULL
            || strcmp(owner, ccf_id) != 0)
            continue;
        own = json_deep_copy(entry);
        json_object_del(own, "authenticationInfo");
        json_array_append_new(list, own);
    }
    return list;
}

/*
 * With what is the entry's: its PSK's envelope, its invoker's certificate, if
 * they are known.
 */
static void set_authn(const struct lookup *l, json_t *entry,
                      const char *envelope, const char *thumbprint)
{
    const struct ccf *ccf = l->w->ccf;
    json_t *info =
        json_pack("{s:i, s:s, s:o}", "v", 1, "clientAuth",
                  ccf->oauth_client_auth, "caCertificates",
                  ccf_pem_list(l->partner != NULL ? l->partner->ca_certs
                                                  : ccf->ca_certs));

    if (envelope != NULL)
        json_object_set_new(info, "pskEnvelope", json_string(envelope));
    if (thumbprint != NULL && thumbprint[0] != '\0')
        json_object_set_new(info, "x5t#S256", json_string(thumbprint));
    json_object_set_new(entry, "authenticationInfo", as_string(info));
}

static void add_issuer(json_t *issuers, const char *ccf_id, json_t *jwks)
{
    if (json_array_size(json_object_get(jwks, "keys")) > 0)
        json_array_append_new(
            issuers, json_pack("{s:s, s:O}", "ccfId", ccf_id, "jwks", jwks));
}

/*
 * Whose tokens of the invoker are good: its own CCF's, and, of a partner's
 * invoker, those that it got here in exchange; issued after what was taken
 * back last, which the AEF may have been told and not know any more.
 */
static void set_authz(struct lookup *l, json_t *entry)
{
    const struct ccf *ccf = l->w->ccf;
    const char *name = ccf_vs_str(entry, "apiName");
    json_t *issuers = json_array(), *jwks;
    time_t until = 0;

    if (l->partner != NULL) {
        jwks = ccf_keys_of(l->w, l->partner);
        add_issuer(issuers, l->partner->ccf_id, jwks);
        json_decref(jwks);
    }
    add_issuer(issuers, ccf->ccf_id, ccf->jwks);
    l->failed = l->failed || name == NULL
                || ccf_store_revoked_until(l->w->store, &l->invoker, l->aef_id,
                                           name, &until)
                       != CCF_STORE_OK;
    json_object_set_new(
        entry, "authorizationInfo",
        as_string(json_pack("{s:i, s:o, s:I}", "v", 1, "issuers", issuers,
                            "revokedUntil", (json_int_t)until)));
}

static void answer(struct lookup *l)
{
    if (json_array_size(l->entries) == 0 || l->failed) {
        ccf_reply_store(l->req,
                        l->failed ? CCF_STORE_ERROR : CCF_STORE_NOT_FOUND);
        lookup_free(l);
        return;
    }
    json_object_set(l->doc, "securityInfo", l->entries);
    capif_reply_json(l->req, 200, json_incref(l->doc));
    lookup_free(l);
}

/* Our own invoker: all is here.  Of a PSK that is over, no envelope. */
static void complete_own(struct lookup *l,
                         const struct ccf_transports *transports)
{
    struct ccf_refusal no = { .status = 0 };
    json_t *entry;
    char *envelope;

    for (size_t i = json_array_size(l->entries); i-- > 0;) {
        entry = json_array_get(l->entries, i);
        envelope = NULL;
        if (l->authn && is_psk(entry)
            && (envelope =
                    ccf_psk_envelope(l->w, transports, &l->invoker, entry, &no))
                   == NULL
            && no.status != 404) {
            capif_reply_problem(l->req, no.status, no.cause, no.why);
            lookup_free(l);
            return;
        }
        if (l->authn)
            set_authn(l, entry, envelope, l->thumbprint);
        if (l->authz)
            set_authz(l, entry);
        free(envelope);
    }
    answer(l);
}

/* ---- a partner's invoker ---- */

static bool any_by(const json_t *entries, const char *method)
{
    json_t *entry;
    size_t i;

    json_array_foreach(entries, i, entry)
    {
        if (is_by(entry, method))
            return true;
    }
    return false;
}

/* Sets method to the next to ask the invoker's CCF about, or NULL. */
static bool next_to_ask(struct lookup *l)
{
    const size_t n = sizeof(asked_about) / sizeof(asked_about[0]);

    l->method = NULL;
    while (l->partner != NULL && l->authn && l->method == NULL && l->asked < n)
        if (any_by(l->entries, asked_about[l->asked++]))
            l->method = asked_about[l->asked - 1];
    return l->method != NULL;
}

/* What the partner's answer has for an API; owned, or NULL. */
static json_t *info_of(const struct capif_at *list, const char *api_id)
{
    json_t *info = NULL;

    for (size_t i = 0; i < json_array_size(list->v); i++) {
        struct capif_at item = capif_at_item(list, i);
        const char *id = capif_get_str(&item, "apiId", true, CAPIF_ID_MAX);
        const char *text =
            capif_get_str(&item, "authenticationInfo", true, 65536);

        if (id != NULL && text != NULL && strcmp(id, api_id) == 0
            && info == NULL)
            info = capif_json_parse(text, strlen(text), list->reader);
    }
    return info;
}

/* A member of that, if it is no longer than it may be. */
static const char *short_str(const json_t *info, const char *name, size_t max)
{
    const char *text = capif_str(info, name);

    return text != NULL && strlen(text) <= max ? text : NULL;
}

/* Does the partner's answer still have an entry for an API? */
static bool confirmed(const struct capif_at *list, const char *api_id)
{
    for (size_t i = 0; i < json_array_size(list->v); i++) {
        struct capif_at item = capif_at_item(list, i);
        const char *id = capif_get_str(&item, "apiId", true, CAPIF_ID_MAX);

        if (id != NULL && strcmp(id, api_id) == 0)
            return true;
    }
    return false;
}

/*
 * What rests on the invoker's own CCF's word goes without it: that domain
 * may have offboarded the invoker.
 */
static void keep_confirmed(struct lookup *l, const struct capif_at *list)
{
    json_t *entry, *info;

    for (size_t i = json_array_size(l->entries); i-- > 0;) {
        entry = json_array_get(l->entries, i);
        const char *api_id = json_string_value(json_object_get(entry, "apiId"));

        if (!is_by(entry, l->method))
            continue;
        if (!confirmed(list, api_id)) {
            json_array_remove(l->entries, i);
            continue;
        }
        info = info_of(list, api_id);
        set_authn(l, entry,
                  is_psk(entry) ? short_str(info, "pskEnvelope", ENVELOPE_MAX)
                                : NULL,
                  short_str(info, "x5t#S256", sizeof(l->thumbprint) - 1));
        json_decref(info);
    }
}

/* Nothing is left to ask about; tokens speak for themselves. */
static void conclude_foreign(struct lookup *l)
{
    json_t *entry;
    size_t i;

    json_array_foreach(l->entries, i, entry)
    {
        if (json_object_get(entry, "authenticationInfo") == NULL)
            set_authn(l, entry, NULL, NULL);
        if (l->authz)
            set_authz(l, entry);
    }
    /* Half an answer would be taken for all that there is. */
    if (l->no.status != 0) {
        capif_reply_problem(l->req, l->no.status, l->no.cause, l->no.why);
        lookup_free(l);
    } else {
        answer(l);
    }
}

static void on_partner(const struct capif_answer *a, void *arg);

static bool ask_partner(struct lookup *l)
{
    char path[1024];

    snprintf(path, sizeof(path),
             "/capif-security/v1/trustedInvokers/%s?authenticationInfo=true"
             "&vs-aef-id=%s&vs-sec-method=%s",
             l->invoker.id, l->aef_id, l->method);
    return ccf_partner_call(l->w, l->partner, "GET", path, NULL, on_partner, l);
}

static void on_partner(const struct capif_answer *a, void *arg)
{
    struct lookup *l = arg;
    struct capif_reader reader = { 0 };
    json_t *doc = NULL;
    struct capif_at root, list;

    if (a->status == 200)
        doc = capif_json_parse(a->body, a->body_len, &reader);
    else if (a->status != 404 && l->no.status == 0)
        ccf_partner_refusal(l->partner, a, &l->no);
    root = capif_at_root(doc, &reader);
    list = capif_get_array(&root, "securityInfo", false, 1, CCF_APIS_MAX);
    keep_confirmed(l, &list);
    json_decref(doc);
    if (!next_to_ask(l)) {
        conclude_foreign(l);
    } else if (!ask_partner(l)) {
        capif_reply_internal(l->req, "out-of-memory");
        lookup_free(l);
    }
}

/* ---- the handlers ---- */

static bool flag(struct capif_req *req, const char *name)
{
    const char *text = capif_req_query(req, name);

    return text != NULL && strcmp(text, "true") == 0;
}

/*
 * Step 7: a partner may ask for an AEF and a method that the agreement names.
 * Tokens are not a matter of this.
 */
static bool partner_may(struct capif_req *req, const struct ccf_partner *p,
                        const char *aef_id, const char *method)
{
    if (aef_id != NULL && capif_list_has(p->aefs, aef_id)
        && strcmp(method, "OAUTH") != 0 && capif_list_has(p->methods, method))
        return true;
    capif_reply_problem(req, 403, NULL,
                        "the agreement does not name this AEF or method");
    return false;
}

/* Only what selected the method. */
static void keep_for(json_t *entries, const char *method)
{
    for (size_t i = json_array_size(entries); i-- > 0;)
        if (!is_by(json_array_get(entries, i), method))
            json_array_remove(entries, i);
}

/*
 * Of our own invoker, which certificate it has to come with; without one,
 * because that was revoked, it is as good as unknown.
 */
static enum ccf_store_status find_certificate(struct lookup *l)
{
    struct ccf_member member;
    enum ccf_store_status st;

    if (l->partner != NULL)
        return CCF_STORE_OK;
    st = ccf_store_member(l->w->store, &l->invoker, &member);
    if (st == CCF_STORE_OK && member.thumbprint[0] == '\0')
        st = CCF_STORE_NOT_FOUND;
    if (st == CCF_STORE_OK)
        strcpy(l->thumbprint, member.thumbprint);
    return st;
}

void ccf_get_context(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    const struct ccf_partner *asker =
        w->peer.role == CAPIF_CCF ? ccf_partner_find(w->ccf, w->peer.ccf_id)
                                  : NULL;
    const char *src =
        asker != NULL ? NULL : capif_req_query(req, "vs-src-ccf-id");
    const char *aef_id =
        asker != NULL ? capif_req_query(req, "vs-aef-id") : w->peer.id;
    const char *method = capif_req_query(req, "vs-sec-method");
    struct lookup *l;
    enum ccf_store_status st;

    if (method == NULL)
        method = "PSK";
    if (asker != NULL && !partner_may(req, asker, aef_id, method))
        return;
    if ((l = calloc(1, sizeof(*l))) == NULL) {
        capif_reply_internal(req, "out-of-memory");
        return;
    }
    if (src == NULL)
        src = w->ccf->ccf_id;
    if (!ccf_domain_known(w->ccf, src)) {
        free(l);
        ccf_reply_store(req, CCF_STORE_NOT_FOUND);
        return;
    }
    l->req = req;
    l->w = w;
    l->partner = ccf_partner_find(w->ccf, src);
    l->invoker.role = CAPIF_INVOKER;
    snprintf(l->invoker.ccf_id, sizeof(l->invoker.ccf_id), "%s", src);
    snprintf(l->invoker.id, sizeof(l->invoker.id), "%s",
             capif_req_param(req, 0));
    snprintf(l->aef_id, sizeof(l->aef_id), "%s", aef_id);
    l->authn = flag(req, "authenticationInfo");
    l->authz = flag(req, "authorizationInfo");
    st = find_certificate(l);
    if (st == CCF_STORE_OK)
        st = ccf_store_context_get(w->store, src, l->invoker.id, &l->doc);
    l->entries = entries_of(
        l->doc, asker != NULL ? asker->ccf_id : w->ccf->ccf_id, l->aef_id);
    if (asker != NULL)
        keep_for(l->entries, method);
    else if (!keep_allowed(l))
        return;
    if (st != CCF_STORE_OK || json_array_size(l->entries) == 0) {
        lookup_free(l);
        ccf_reply_store(req, st != CCF_STORE_OK ? st : CCF_STORE_NOT_FOUND);
    } else if (next_to_ask(l)) {
        if (!ask_partner(l)) {
            lookup_free(l);
            capif_reply_internal(req, "out-of-memory");
        }
    } else {
        complete_own(l,
                     asker != NULL ? &asker->transports : &w->ccf->transports);
    }
}
