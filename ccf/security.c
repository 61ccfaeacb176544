/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CAPIF_Security_API (TS 29.222 5.6): the negotiation of security contexts,
 * the seven steps of 6.24.2.1.
 */
#include "negotiation.h"

#include "store_revoke.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URI_MAX   1024
#define FEATURES  1u  /* 8.5.6: Notification_test_event */
#define WAITS_MAX 100 /* for a partner to be told: in the time of a hop */

/* One partner's part of it. */
struct part {
    struct negotiation *neg;
    const struct ccf_partner *partner;
};

/* Step 6: believe of the partner's choice what was asked and agreed. */
static bool take_choice(struct negotiation *neg, size_t i,
                        const struct ccf_partner *partner,
                        const struct capif_at *chosen)
{
    const struct ccf_wish *wish = &neg->wishes[i];
    const char *sel = capif_get_str(chosen, "selSecurityMethod", true, 32);
    const char *info =
        capif_get_str(chosen, "authenticationInfo", false, 16384);
    json_t *iface =
        json_object_get(json_object_get(chosen->v, CCF_VS), "interface");
    bool psk = sel != NULL && strcmp(sel, "PSK") == 0;
    char *name;

    if (sel == NULL || !capif_list_has(wish->pref, sel)
        || !capif_list_has(partner->methods, sel)
        || (psk && (!json_is_object(iface) || neg->w->ccf->kek_uri == NULL)))
        return false;
    if (psk && wish->interface != NULL
        && !ccf_interface_same(wish->interface, iface))
        return false;
    if (psk)
        iface = ccf_interface_bare(iface);
    name = ccf_api_name(neg->w, partner->ccf_id, wish->api_id);
    neg->entries[i] =
        ccf_wish_entry(wish, sel, info, partner->ccf_id,
                       name != NULL ? name : ccf_vs_str(chosen->v, "apiName"),
                       psk ? iface : NULL);
    /* Who gives the domain's own tokens: RFC 8707's resource. */
    if (strcmp(sel, "OAUTH") == 0)
        json_object_set_new(json_object_get(neg->entries[i], CCF_VS), "issuer",
                            json_string(partner->url));
    if (psk)
        json_decref(iface);
    free(name);
    return neg->entries[i] != NULL;
}

static bool take_choices(struct negotiation *neg,
                         const struct ccf_partner *partner,
                         const struct capif_answer *a)
{
    struct capif_reader reader = { 0 };
    json_t *doc = capif_json_parse(a->body, a->body_len, &reader);
    struct capif_at root = capif_at_root(doc, &reader);
    struct capif_at list =
        capif_get_array(&root, "securityInfo", true, 1, CCF_APIS_MAX);
    size_t at = 0;
    bool ok = list.v != NULL;

    for (size_t i = 0; ok && i < neg->n; i++) {
        struct capif_at chosen;

        if (neg->wishes[i].at != partner)
            continue;
        chosen = capif_at_item(&list, at++);
        ok = chosen.v != NULL && take_choice(neg, i, partner, &chosen);
    }
    ok = ok && at == json_array_size(list.v);
    json_decref(doc);
    return ok;
}

/* Also without an answer, unless it never got so far. */
static bool may_have_taken(const struct capif_answer *a)
{
    return a->status == 0 ? !a->refused : a->status < 300 || a->status >= 500;
}

static void on_partner(const struct capif_answer *a, void *arg)
{
    struct part *part = arg;
    struct negotiation *neg = part->neg;
    struct ccf_refusal no;

    if (may_have_taken(a))
        for (size_t i = 0; i < neg->n; i++)
            neg->took[i] = neg->took[i] || neg->wishes[i].at == part->partner;
    if (a->status != 201 && a->status != 200) {
        ccf_partner_refusal(part->partner, a, &no);
        ccf_negotiation_note(neg, &no);
    } else if (!take_choices(neg, part->partner, a)) {
        no = (struct ccf_refusal){ .status = 502 };
        snprintf(no.why, sizeof(no.why), "%s gave no usable choice",
                 part->partner->ccf_id);
        ccf_negotiation_note(neg, &no);
    }
    free(part);
    if (--neg->pending == 0)
        ccf_negotiation_conclude(neg);
}

/*
 * Of an invoker's methods, those that the agreement has: the partner may have
 * another idea of it, and choose what would be of no use.
 */
static json_t *agreed_methods(const struct ccf *ccf,
                              const struct ccf_wish *wish)
{
    json_t *list = json_array();

    for (const char *const *p = wish->pref; *p != NULL; p++)
        if (capif_list_has(wish->at->methods, *p)
            && (ccf->kek_uri != NULL || strcmp(*p, "PSK") != 0))
            json_array_append_new(list, json_string(*p));
    return list;
}

/* Before any partner is asked: is there a method to ask this one about? */
static void check_methods(struct negotiation *neg, const struct ccf_wish *wish)
{
    struct ccf_refusal no = { .status = 403,
                              .cause = "SECURITY_METHOD_NOT_SUPPORTED" };
    json_t *methods = agreed_methods(neg->w->ccf, wish);
    size_t used;

    snprintf(no.why, sizeof(no.why), "agreed with %s:", wish->at->ccf_id);
    for (const char *const *m = wish->at->methods; *m != NULL; m++) {
        used = strlen(no.why);
        snprintf(no.why + used, sizeof(no.why) - used, " %s", *m);
    }
    if (json_array_size(methods) == 0)
        ccf_negotiation_note(neg, &no);
    json_decref(methods);
}

/* Step 4: pass on what is in one partner's domain. */
static void ask(struct negotiation *neg, const struct ccf_partner *partner)
{
    static const struct ccf_refusal failed = { 500, NULL, "see the log" };
    struct part *part = calloc(1, sizeof(*part));
    json_t *list = json_array(), *body;
    char path[128], callback[URI_MAX];

    for (size_t i = 0; i < neg->n; i++) {
        if (neg->wishes[i].at != partner)
            continue;
        json_array_append_new(
            list,
            json_pack("{s:o, s:s, s:s}", "prefSecurityMethods",
                      agreed_methods(neg->w->ccf, &neg->wishes[i]), "apiId",
                      neg->wishes[i].api_id, "aefId", neg->wishes[i].aef_id));
    }
    snprintf(path, sizeof(path), "/capif-security/v1/trustedInvokers/%s",
             neg->invoker_id);
    snprintf(callback, sizeof(callback), "%s/capif-security/v1/notifications",
             neg->w->ccf->url);
    body = json_pack("{s:o, s:s, s:s, s:{s:s}}", "securityInfo", list,
                     "notificationDestination", callback, "supportedFeatures",
                     "0", CCF_VS, "srcCcfId", neg->w->ccf->ccf_id);
    if (part != NULL) {
        part->neg = neg;
        part->partner = partner;
    }
    if (part != NULL
        && ccf_partner_call(neg->w, partner, "PUT", path, body, on_partner,
                            part)) {
        neg->pending++;
    } else {
        ccf_negotiation_note(neg, &failed);
        free(part);
    }
    json_decref(body);
}

/*
 * The partner that the i-th wish is for; NULL: none, or one before is for it,
 * too.
 */
static const struct ccf_partner *partner_of(const struct negotiation *neg,
                                            size_t i)
{
    const struct ccf_partner *partner = neg->wishes[i].at;

    for (size_t k = 0; k < i; k++)
        if (neg->wishes[k].at == partner)
            return NULL;
    return partner;
}

/* Is something that was revoked before still on its way to a partner? */
static bool revocation_waits(struct negotiation *neg)
{
    static const struct ccf_refusal failed = { 503, NULL,
                                               "the store is not available" };
    const struct ccf_partner *partner;
    bool waits = false;

    for (size_t i = 0; i < neg->n && !waits; i++)
        if ((partner = partner_of(neg, i)) != NULL
            && ccf_store_revoke_waits(neg->w->store, partner->ccf_id,
                                      neg->invoker_id, &waits)
                   != CCF_STORE_OK)
            ccf_negotiation_note(neg, &failed);
    return waits;
}

/*
 * What was revoked would end what is granted now, too, and so has to arrive
 * first, and in another second: it ends the tokens of the one it came in.
 */
static bool has_to_wait(struct negotiation *neg)
{
    const time_t now = time(NULL);

    if (neg->no.status != 0)
        return false;
    if (revocation_waits(neg)) {
        neg->waits++;
        return true;
    }
    if (neg->waits > 0 && neg->told == 0)
        neg->told = now;
    return neg->told != 0 && now <= neg->told;
}

static void ask_all(evutil_socket_t fd, short what, void *arg)
{
    static const struct timeval tick = { 0, CCF_HOP_MS * 1000 / WAITS_MAX };
    static const struct ccf_refusal early = {
        503, NULL, "a partner can not be told what was revoked"
    };
    struct negotiation *neg = arg;
    const struct ccf_partner *partner;

    (void)fd;
    (void)what;
    if (has_to_wait(neg)) {
        if (neg->waits <= WAITS_MAX
            && event_base_once(neg->w->base, -1, EV_TIMEOUT, ask_all, neg,
                               &tick)
                   == 0)
            return;
        ccf_negotiation_note(neg, &early);
    }
    for (size_t i = 0; i < neg->n && neg->no.status == 0; i++)
        if ((partner = partner_of(neg, i)) != NULL)
            ask(neg, partner);
    if (neg->pending == 0)
        ccf_negotiation_conclude(neg);
}

/* Steps 3 to 5. */
static void negotiate(struct negotiation *neg,
                      const struct ccf_partner *partner)
{
    struct ccf_worker *w = neg->w;
    const struct ccf_asker who = { neg->ccf_id, neg->invoker_id };
    struct ccf_refusal no;

    for (size_t i = 0; i < neg->n && neg->no.status == 0; i++) {
        if (!ccf_wish_locate(w, &neg->wishes[i], partner, &no)) {
            ccf_negotiation_note(neg, &no);
        } else if (neg->wishes[i].at != NULL) {
            check_methods(neg, &neg->wishes[i]);
        } else {
            neg->entries[i] =
                ccf_wish_choose(w, &neg->wishes[i], partner, &who, &no);
            if (neg->entries[i] == NULL)
                ccf_negotiation_note(neg, &no);
        }
    }
    ask_all(-1, 0, neg);
}

/* Whose context the path names; answers and returns false if not yours. */
bool ccf_context_whose(struct capif_req *req, struct ccf_worker *w,
                       const char **ccf_id)
{
    const char *id = capif_req_param(req, 0);

    if (w->peer.role == CAPIF_INVOKER && strcmp(id, w->peer.id) != 0) {
        capif_reply_problem(req, 403, NULL, "not your security context");
        return false;
    }
    if (!capif_id_ok(id)) {
        capif_reply_problem(req, 404, NULL, "malformed apiInvokerId");
        return false;
    }
    *ccf_id = w->peer.ccf_id;
    return true;
}

static bool keep_session(struct negotiation *neg)
{
    const struct capif_session_kept *kept =
        capif_session_kept(capif_req_ssl(neg->req));

    if (kept == NULL)
        return true;
    neg->kept = *kept;
    neg->kept.wrapped = strdup(kept->wrapped);
    return neg->kept.wrapped != NULL;
}

static void negotiation_start(struct capif_req *req, struct ccf_worker *w,
                              int success)
{
    struct capif_reader reader = { 0 };
    struct negotiation *neg;
    struct capif_at root;
    const char *ccf_id;
    json_t *doc;

    if (!ccf_context_whose(req, w, &ccf_id)
        || (doc = capif_req_json(req, "application/json")) == NULL)
        return;
    if ((neg = calloc(1, sizeof(*neg))) == NULL) {
        json_decref(doc);
        capif_reply_internal(req, "out-of-memory");
        return;
    }
    neg->req = req;
    neg->w = w;
    neg->doc = doc;
    neg->success = success;
    if (!keep_session(neg)) {
        ccf_negotiation_free(neg);
        capif_reply_internal(req, "out-of-memory");
        return;
    }
    strcpy(neg->ccf_id, ccf_id);
    snprintf(neg->invoker_id, sizeof(neg->invoker_id), "%s",
             capif_req_param(req, 0));
    root = capif_at_root(doc, &reader);
    neg->n = ccf_wishes_read(&root, neg->wishes);
    (void)capif_get_https(&root, "notificationDestination", true);
    neg->test = capif_get_bool(&root, "requestTestNotification", false);
    capif_check_features(&root, "supportedFeatures", false);
    if (reader.n > 0) {
        capif_reply_invalid(req, &reader);
        ccf_negotiation_free(neg);
        return;
    }
    neg->test = ccf_features(doc, "supportedFeatures",
                             strcmp(ccf_id, w->ccf->ccf_id) == 0 ? FEATURES : 0,
                             neg->test ? FEATURES : 0)
                && neg->test;
    negotiate(neg, ccf_partner_find(w->ccf, ccf_id));
}

void ccf_put_context(struct capif_req *req, void *app)
{
    negotiation_start(req, app, 201);
}

void ccf_update_context(struct capif_req *req, void *app)
{
    struct ccf_worker *w = app;
    enum ccf_store_status st;
    const char *ccf_id;
    json_t *doc = NULL;

    if (!ccf_context_whose(req, w, &ccf_id))
        return;
    st = ccf_store_context_get(w->store, ccf_id, capif_req_param(req, 0), &doc);
    json_decref(doc);
    if (st == CCF_STORE_OK)
        negotiation_start(req, w, 200);
    else
        ccf_reply_store(req, st);
}
