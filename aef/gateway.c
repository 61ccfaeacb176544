/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service listener: each call is decided by itself, and then passed on or
 * refused.
 */
#include "aef.h"

#include "log.h"
#include "visit.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* A call, until it is decided. */
struct claim {
    struct capif_req *req;
    struct aef_worker *w;
    const struct aef_api *api;
    enum { BY_TOKEN, BY_PSK, BY_CERTIFICATE } how;
    struct capif_identity who;       /* the invoker */
    struct capif_jws jws;            /* BY_TOKEN */
    char hash[44];                   /* of the token; "": none */
    bool proved;                     /* aef_peer_proved() */
    bool asked;                      /* the CCF, anew */
    struct aef_visit visit;          /* since it is known whose it is */
    struct aef_info *info;           /* what that rests on; NULL until then */
    const struct aef_policy *policy; /* of info */
};

static void claim_free(struct claim *p)
{
    capif_jws_clear(&p->jws);
    aef_info_put(p->info);
    free(p);
}

static const struct aef_refusal revoked = { 401, "invalid_token",
                                            "revoked meanwhile" };

static void challenge(struct capif_req *req, const struct aef_refusal *no)
{
    char text[256];

    snprintf(text, sizeof(text),
             "Bearer error=\"%s\", error_description=\"%s\"", no->error,
             no->why);
    capif_log("call-refused", "peer", capif_req_peer(req), "error", no->error,
              "why", no->why, NULL);
    capif_req_set_header(req, "WWW-Authenticate", text);
    capif_reply_problem(req, no->status, NULL, no->why);
}

/* ---- what is called ---- */

/* What a backend might take for another path than we do. */
static bool path_safe(const char *path)
{
    size_t len = strcspn(path, "?");

    for (size_t i = 0; i < len; i++) {
        if (path[i] <= ' ' || path[i] >= 0x7f || strchr("\\#", path[i]))
            return false;
        if (path[i] == '%'
            && (strncasecmp(path + i, "%2e", 3) == 0
                || strncasecmp(path + i, "%2f", 3) == 0
                || strncasecmp(path + i, "%5c", 3) == 0
                || strncasecmp(path + i, "%00", 3) == 0))
            return false;
        if (path[i] == '/'
            && (path[i + 1] == '/' || strncmp(path + i, "/./", 3) == 0
                || strncmp(path + i, "/../", 4) == 0))
            return false;
    }
    return !(len >= 2 && strncmp(path + len - 2, "/.", 2) == 0)
           && !(len >= 3 && strncmp(path + len - 3, "/..", 3) == 0);
}

static const struct aef_api *api_find(const struct aef *aef, const char *path)
{
    const struct aef_api *best = NULL;

    for (size_t i = 0; i < aef->n_apis; i++) {
        size_t len = strlen(aef->apis[i].prefix);

        if (strncmp(path, aef->apis[i].prefix, len) == 0
            && (path[len] == '/' || path[len] == '?' || path[len] == '\0')
            && (best == NULL || len > strlen(best->prefix)))
            best = &aef->apis[i];
    }
    return best;
}

/* ---- who calls ---- */

static const char *const methods[] = {
    [BY_TOKEN] = "OAUTH",
    [BY_PSK] = "PSK",
    [BY_CERTIFICATE] = "PKI",
};

/* TLS-PSK: the key is still good, and for this interface. */
static bool psk_ok(const struct claim *p, const struct aef_psk *psk,
                   const struct aef_info *info, struct aef_refusal *no)
{
    *no = (struct aef_refusal){ 401, "invalid_token",
                                "the PSK is not good for this" };
    return psk != NULL && info->known && psk->api == p->api
           && !atomic_load(&psk->dead) && psk->expires > time(NULL)
           && strcmp(psk->ccf_id, info->ccf_id) == 0
           && strcmp(psk->invoker_id, info->invoker_id) == 0;
}

/* Is the CCF asked about the token? */
static bool introspects(const struct claim *p)
{
    return p->how == BY_TOKEN
           && strcmp(p->w->aef->token_check, "introspect") == 0;
}

/* May this call pass, by what its connection or token proves? */
static bool authenticated(const struct claim *p, SSL *ssl,
                          const struct aef_info *info, struct aef_refusal *no)
{
    const struct aef_call call = {
        .ccf_id = p->w->aef->ccf_id,
        .vouched = introspects(p),
        .aef_id = p->w->aef->aef_id,
        .api_name = p->api->name,
        .now = time(NULL),
        .denied_until = aef_denied_until(p->w->aef->denied, p->who.ccf_id,
                                         p->who.id, p->api->name, time(NULL)),
        .cert = SSL_get0_peer_certificate(ssl),
        .untrusted = SSL_get_peer_cert_chain(ssl),
        .proved = p->proved,
    };

    switch (p->how) {
    case BY_TOKEN:
        if (!aef_token_check(&p->jws, info, &call, no))
            return false;
        if (!call.proved)
            aef_peer_prove(ssl, p->hash, &p->jws, info);
        aef_peer_note(ssl, &p->who);
        return true;
    case BY_PSK:
        return psk_ok(p, aef_psk_of(ssl), info, no);
    case BY_CERTIFICATE:
        *no = (struct aef_refusal){ 401, "invalid_token",
                                    "the certificate is not an invoker's "
                                    "that is known here" };
        if (call.proved)
            return true;
        if (call.cert == NULL || !info->known
            || !aef_certificate_is(call.cert, call.untrusted, info,
                                   call.api_name))
            return false;
        aef_peer_prove(ssl, p->hash, NULL, info);
        return true;
    }
    return false;
}

static void no_ccf(struct claim *p)
{
    capif_req_set_header(p->req, "Retry-After", "5");
    capif_reply_problem(p->req, 503, NULL, "the CCF does not answer");
}

/* ---- what it may do ---- */

static void refuse(struct claim *p, int status, const char *cause,
                   const char *detail)
{
    if (status != 429) /* who is too fast here must not be so in the log */
        capif_log("call-refused", "peer", capif_req_peer(p->req), "why", detail,
                  NULL);
    aef_refuse(p->w, p->req, &p->visit, status, cause, detail);
}

static void refuse_until(struct claim *p, long seconds, const char *detail)
{
    char text[24];

    snprintf(text, sizeof(text), "%ld", seconds > 0 ? seconds : 1);
    capif_req_set_header(p->req, "Retry-After", text);
    refuse(p, 429, NULL, detail);
}

static void on_counted(enum aef_count_result result, void *arg)
{
    struct claim *p = arg;

    if (capif_req_ssl(p->req) == NULL) {
        capif_reply_end(p->req, false);
    } else if (result == AEF_UNCOUNTED) {
        capif_req_set_header(p->req, "Retry-After", "5");
        refuse(p, 503, NULL, "the call can't be counted at present");
    } else if (result == AEF_TOO_FAST) {
        refuse_until(p, 1, "as many calls a second as its policy allows");
    } else if (result == AEF_USED_UP) { /* until the policy is asked for */
        refuse_until(p, p->info->expires - time(NULL),
                     "as many calls as its policy allows");
    } else if (aef_denied_since(p->w->aef->denied, p->who.ccf_id, p->who.id,
                                p->api->name, p->info->asked)) {
        challenge(p->req, &revoked);
    } else {
        aef_pass_on(p->w, p->req, &p->visit);
    }
    claim_free(p);
}

/* All but its policy lets it pass. */
static void obey_policy(struct claim *p)
{
    time_t until;

    if (!aef_policy_allows(p->policy, time(NULL), &until)) {
        if (until == 0)
            refuse(p, 403, NULL, "its policy does not allow it");
        else
            refuse_until(p, until - time(NULL),
                         "its policy does not allow it at this time");
        claim_free(p);
    } else if (aef_policy_counts(p->policy)) {
        aef_count(p->w->till, &p->who, p->visit.api_id, p->policy, on_counted,
                  p);
    } else {
        on_counted(AEF_COUNTED, p);
    }
}

/*
 * Whose it is, is proved: it is of record from here on.  false: it is answered
 * already, since it is of nothing that there is.
 */
static bool begin_visit(struct claim *p)
{
    const struct aef_info_api *api = aef_info_of(p->info, p->api->name);
    const char *path = capif_req_target(p->req) + strlen(p->api->prefix);
    struct aef_visit *v = &p->visit;
    char allow[AEF_ALLOW_MAX];
    bool may;

    if (api == NULL) {
        capif_reply_problem(p->req, 403, NULL,
                            "the API is not in the security context");
        return false;
    }
    v->resource =
        aef_resource_at(p->api, path, capif_req_method(p->req), &may, allow);
    if (v->resource == NULL) {
        capif_reply_problem(p->req, 404, NULL, "no such resource of the API");
        return false;
    }
    p->policy = &api->policy;
    v->who = p->who;
    v->api = p->api;
    strcpy(v->api_id, api->api_id);
    v->method = methods[p->how];
    snprintf(v->peer, sizeof(v->peer), "%s", capif_req_peer(p->req));
    if (strcmp(api->method, v->method) != 0) {
        refuse(p, 403, "WRONG_SECURITY_METHOD", api->method);
        return false;
    }
    if (!may) {
        capif_req_set_header(p->req, "Allow", allow);
        refuse(p, 405, NULL, "not an operation of the resource");
    }
    return may;
}

/* The CCF's word on the token, where that is asked for, was missing alone. */
static void on_verdict(enum aef_verdict verdict, void *arg)
{
    static const struct aef_refusal inactive = { 401, "invalid_token",
                                                 "the CCF does not vouch for "
                                                 "the token" };
    struct claim *p = arg;

    if (capif_req_ssl(p->req) == NULL) {
        capif_reply_end(p->req, false);
    } else if (verdict == AEF_UNDECIDED) {
        no_ccf(p);
    } else if (verdict == AEF_INACTIVE) {
        challenge(p->req, &inactive);
    } else if (begin_visit(p)) {
        obey_policy(p);
        return;
    }
    claim_free(p);
}

/*
 * Certificates of invokers change, and keys and certificates of another
 * domain's CCF: is this by one that is newer than what we know of it?  Then
 * ask, but once a second at most.
 */
static bool outdated(const struct claim *p, SSL *ssl,
                     const struct aef_info *info)
{
    const struct aef_info_api *api = aef_info_of(info, p->api->name);
    X509 *cert = SSL_get0_peer_certificate(ssl);
    bool known = cert == NULL;
    char thumbprint[44];

    if (p->asked || !info->known || p->how == BY_PSK || p->proved
        || time(NULL) + (time_t)p->w->aef->info_seconds <= info->expires)
        return false;
    if (cert != NULL && api != NULL && api->thumbprint[0] != '\0'
        && (!capif_cert_thumbprint(cert, thumbprint)
            || strcmp(thumbprint, api->thumbprint) != 0))
        return true;
    for (int i = 0; !known && i < sk_X509_num(info->anchors); i++)
        known = X509_check_issued(sk_X509_value(info->anchors, i), cert)
                == X509_V_OK;
    return !known
           || (p->how == BY_TOKEN && !aef_key_known(&p->jws, info->issuers));
}

/* What has to prove itself again needs its text and signature for that. */
static bool is_whole(struct claim *p)
{
    if (p->how != BY_TOKEN || p->proved || p->jws.text != NULL)
        return true;
    capif_jws_clear(&p->jws);
    return capif_jws_parse(capif_req_bearer(p->req), &p->jws) == NULL;
}

static void on_info(const struct aef_info *info, void *arg)
{
    struct claim *p = arg;
    SSL *ssl = capif_req_ssl(p->req);
    struct aef_refusal no;

    if (ssl != NULL && info != NULL)
        p->proved = aef_peer_proved(ssl, p->hash, info);
    if (ssl == NULL) {
        capif_reply_end(p->req, false);
    } else if (info == NULL) {
        no_ccf(p);
    } else if (!is_whole(p)) {
        capif_reply_internal(p->req, "out-of-memory");
    } else if (outdated(p, ssl, info)) {
        p->asked = true;
        aef_info_get(p->w, info->ccf_id, info->invoker_id, true, on_info, p);
        return;
    } else if (!authenticated(p, ssl, info, &no)) {
        challenge(p->req, &no);
    } else {
        p->info = aef_info_hold(info);
        if (introspects(p))
            aef_verdict_get(p->w, &p->who, capif_req_bearer(p->req), on_verdict,
                            p);
        else
            on_verdict(AEF_ACTIVE, p);
        return;
    }
    claim_free(p);
}

/*
 * By what the invoker authenticates, and as whom it does, not yet believed:
 * a token if there is one, else the connection's PSK, else its certificate.
 */
static bool claimant(struct claim *p, struct capif_identity *who)
{
    SSL *ssl = capif_req_ssl(p->req);
    const char *text = capif_req_bearer(p->req), *ccf_id, *invoker_id;
    const struct aef_psk *psk = aef_psk_of(ssl);
    const X509 *cert = SSL_get0_peer_certificate(ssl);

    if (text != NULL) {
        p->how = BY_TOKEN;
        if (!capif_sha256_b64url(text, strlen(text), p->hash)
            || (!aef_peer_token(ssl, p->hash, &p->jws)
                && capif_jws_parse(text, &p->jws) != NULL)
            || !aef_token_claimant(&p->jws, &ccf_id, &invoker_id))
            return false;
        strcpy(who->ccf_id, ccf_id);
        strcpy(who->id, invoker_id);
        return true;
    }
    if (psk != NULL) {
        p->how = BY_PSK;
        strcpy(who->ccf_id, psk->ccf_id);
        strcpy(who->id, psk->invoker_id);
        return true;
    }
    p->how = BY_CERTIFICATE;
    return cert != NULL && capif_cert_identity(cert, who)
           && who->role == CAPIF_INVOKER;
}

/* ---- from another AEF (TS 23.222 8.27: CAPIF-7) ---- */

/*
 * The entry point of a hidden topology: it has decided about the call, and
 * says whose it is.
 */
static bool is_entry_point(const struct aef *aef, SSL *ssl)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    struct capif_identity who;

    return *aef->entry_points != NULL && cert != NULL
           && capif_cert_identity(cert, &who) && who.role == CAPIF_AEF
           && strcmp(who.ccf_id, aef->ccf_id) == 0
           && capif_list_has(aef->entry_points, who.id)
           && capif_cert_verify(cert, SSL_get_peer_cert_chain(ssl),
                                aef->ca_certs);
}

static bool read_invoker(const char *text, struct capif_identity *who)
{
    const char *slash = text != NULL ? strchr(text, '/') : NULL;
    const size_t len = slash != NULL ? (size_t)(slash - text) : 0;

    if (len == 0 || len > CAPIF_CCF_ID_MAX || !capif_id_ok(slash + 1))
        return false;
    memcpy(who->ccf_id, text, len);
    who->ccf_id[len] = '\0';
    strcpy(who->id, slash + 1);
    return capif_ccf_id_ok(who->ccf_id);
}

/* As for invokers, but for what is the entry point's to know. */
static void serve_entry_point(struct claim *p)
{
    struct aef_visit *v = &p->visit;
    const char *path = capif_req_target(p->req) + strlen(p->api->prefix);
    char allow[AEF_ALLOW_MAX];
    bool may;

    v->api = p->api;
    v->resource =
        aef_resource_at(p->api, path, capif_req_method(p->req), &may, allow);
    if (p->api->backend == NULL) {
        capif_reply_problem(p->req, 404, NULL, "the API does not live here");
    } else if (!read_invoker(capif_req_header(p->req, AEF_INVOKER), &v->who)) {
        capif_reply_problem(p->req, 400, NULL, "no " AEF_INVOKER);
    } else if (v->resource == NULL) {
        capif_reply_problem(p->req, 404, NULL, "no such resource of the API");
    } else if (!may) {
        capif_req_set_header(p->req, "Allow", allow);
        capif_reply_problem(p->req, 405, NULL,
                            "not an operation of the resource");
    } else {
        aef_pass_on(p->w, p->req, v);
    }
}

void aef_serve(struct capif_req *req, void *app)
{
    static const struct aef_refusal malformed = { 401, "invalid_token",
                                                  "not a token of CAPIF" };
    struct aef_worker *w = app;
    const char *target = capif_req_target(req);
    const struct aef_api *api;
    struct claim *p;

    if (target[0] != '/' || !path_safe(target)) {
        capif_reply_problem(req, 400, NULL, "the path is refused");
        return;
    }
    if (capif_req_length(req) > (int64_t)w->aef->body_max) {
        capif_reply_problem(req, 413, NULL, "the body is too large");
        return;
    }
    if ((p = calloc(1, sizeof(*p))) == NULL) {
        capif_reply_internal(req, "out-of-memory");
        return;
    }
    p->req = req;
    p->w = w;
    clock_gettime(CLOCK_REALTIME, &p->visit.at);
    clock_gettime(CLOCK_MONOTONIC, &p->visit.begun);
    api = api_find(w->aef, target);
    p->api = api;
    if (api != NULL && is_entry_point(w->aef, capif_req_ssl(req))) {
        serve_entry_point(p);
        claim_free(p);
    } else if (!claimant(p, &p->who)) {
        if (p->how == BY_TOKEN) {
            challenge(req, &malformed);
        } else {
            capif_req_set_header(req, "WWW-Authenticate", "Bearer");
            capif_reply_problem(req, 401, NULL, "an access token is needed");
        }
        claim_free(p);
    } else if (api == NULL) {
        capif_reply_problem(req, 404, NULL, "no such API");
        claim_free(p);
    } else {
        aef_info_get(w, p->who.ccf_id, p->who.id, false, on_info, p);
    }
}
