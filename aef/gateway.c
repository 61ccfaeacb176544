/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The service listener: decide each call, pass it on, and hide what is
 * behind.  Header fields go through lists of what may, in both directions.
 */
#include "aef.h"

#include "log.h"

#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SILENCE_MS  30000L
#define UNSENT_MAX  (256 * 1024)
#define URL_MAX_LEN 8192

static const char *const fields_in[] = {
    "Accept",
    "Accept-Encoding",
    "Accept-Language",
    "Content-Encoding",
    "Content-Language",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Range",
};
#define N_FIELDS_IN (sizeof(fields_in) / sizeof(fields_in[0]))

static const char *const fields_out[] = {
    "Accept-Ranges",
    "Allow",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Range",
    "Content-Type",
    "ETag",
    "Expires",
    "Last-Modified",
    "Retry-After",
    "Vary",
};

struct passage {
    struct capif_req *req;
    struct aef_worker *w;
    const struct aef_api *api;
    enum { BY_TOKEN, BY_PSK, BY_CERTIFICATE } how;
    struct capif_identity who; /* the invoker */
    struct capif_jws jws;      /* BY_TOKEN */
    struct capif_transfer *transfer;
    int status; /* the backend's; 0: none yet */
    bool started;
    bool asked;               /* the CCF, anew */
    unsigned long long known; /* aef_denied_count() of what this rests on */
    bool too_long;            /* the body */
    size_t taken;             /* octets of it */
};

static void passage_free(struct passage *p)
{
    capif_jws_clear(&p->jws);
    free(p);
}

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

/* ---- the way there ---- */

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

/* ---- the way back ---- */

/*
 * A backend's own address in Location becomes this API's place here; any
 * other is dropped.
 */
static void pass_location(struct passage *p, const char *location)
{
    const char *backend = p->api->backend;
    const char *path = strchr(backend + strlen("http://"), '/');
    char text[2048];
    size_t len = strlen(backend);

    if (strncmp(location, backend, len) != 0) {
        backend = path != NULL ? path : "";
        len = strlen(backend);
        if (location[0] != '/' || location[1] == '/'
            || strncmp(location, backend, len) != 0)
            return;
    }
    if (strchr("/?", location[len]) == NULL)
        return;
    snprintf(text, sizeof(text), "%s%s", p->api->prefix, location + len);
    capif_req_set_header(p->req, "Location", text);
}

static void on_head(struct capif_transfer *t, int status, void *arg)
{
    struct passage *p = arg;
    const char *value;
    long long len = -1;

    p->status = status;
    if (status >= 500) /* the backend's troubles stay behind */
        return;
    for (size_t i = 0; i < sizeof(fields_out) / sizeof(fields_out[0]); i++)
        if ((value = capif_transfer_header(t, fields_out[i])) != NULL)
            capif_req_set_header(p->req, fields_out[i], value);
    if ((value = capif_transfer_header(t, "Location")) != NULL)
        pass_location(p, value);
    if ((value = capif_transfer_header(t, "Content-Length")) != NULL)
        len = strtoll(value, NULL, 10);
    p->started = true;
    capif_reply_start(p->req, status, len);
}

static void on_drained(void *arg)
{
    struct passage *p = arg;

    if (p->transfer != NULL)
        capif_transfer_resume(p->transfer);
}

static bool on_data(struct capif_transfer *t, const uint8_t *data, size_t len,
                    void *arg)
{
    struct passage *p = arg;

    (void)t;
    if (!p->started)
        return true; /* an error's body, not passed on */
    if (capif_reply_chunk(p->req, data, len) <= UNSENT_MAX)
        return true;
    capif_reply_on_drained(p->req, on_drained, p);
    return false;
}

static void on_done(const struct capif_answer *a, void *arg)
{
    struct passage *p = arg;
    struct capif_req *req = p->req;

    p->transfer = NULL;
    capif_req_on_gone(req, NULL, NULL);
    capif_reply_on_drained(req, NULL, NULL);
    capif_req_on_body(req, NULL, NULL);
    if (a->status == 0 && !p->too_long)
        capif_log("backend-failed", "api", p->api->name, "why", a->error, NULL);
    if (p->started) {
        capif_reply_end(req, a->status != 0);
    } else if (p->too_long) {
        capif_reply_problem(req, 413, NULL, "the body is too large");
    } else if (p->status == 503) {
        capif_req_set_header(req, "Retry-After", "5");
        capif_reply_problem(req, 503, NULL, "the API is not available");
    } else if (a->status == 0 && a->timed_out) {
        capif_reply_problem(req, 504, NULL, "the API does not answer");
    } else {
        capif_reply_problem(req, 502, NULL, "the API failed");
    }
    passage_free(p);
}

static void on_gone(void *arg)
{
    struct passage *p = arg;

    capif_transfer_cancel(p->transfer);
    capif_reply_end(p->req, false);
    passage_free(p);
}

/* ---- the body, on its way there ---- */

static size_t read_body(void *out, size_t max, void *arg)
{
    struct passage *p = arg;
    size_t n = capif_req_take(p->req, out, max);

    p->taken += n;
    p->too_long = p->taken > p->w->aef->body_max;
    if (p->too_long)
        return CAPIF_ABORT;
    return n == 0 && !capif_req_complete(p->req) ? CAPIF_LATER : n;
}

static void on_body(void *arg)
{
    struct passage *p = arg;

    if (p->transfer != NULL)
        capif_transfer_more(p->transfer);
}

/* ---- passing on ---- */

static void pass_on(struct passage *p)
{
    static const struct capif_stream stream = { on_head, on_data };
    const char *target = capif_req_target(p->req), *value;
    char url[URL_MAX_LEN], invoker[2 * CAPIF_CCF_ID_MAX + 32];
    char lines[N_FIELDS_IN][512];
    const char *headers[N_FIELDS_IN + 2] = { invoker };
    struct capif_call call = { .method = capif_req_method(p->req),
                               .url = url,
                               .headers = headers,
                               .timeout_ms = SILENCE_MS,
                               .stream = &stream,
                               .done = on_done,
                               .arg = p };
    const struct capif_upload upload = { read_body, capif_req_length(p->req) };
    size_t n = 1;
    int len;

    snprintf(invoker, sizeof(invoker), "CAPIF-API-Invoker: %s/%s",
             p->who.ccf_id, p->who.id);
    for (size_t i = 0; i < N_FIELDS_IN; i++) {
        value = capif_req_header(p->req, fields_in[i]);
        if (value == NULL)
            continue;
        len = snprintf(lines[n - 1], sizeof(lines[0]), "%s: %s", fields_in[i],
                       value);
        if (len > 0 && (size_t)len < sizeof(lines[0])) {
            headers[n] = lines[n - 1];
            n++;
        }
    }
    len = snprintf(url, sizeof(url), "%s%s", p->api->backend,
                   target + strlen(p->api->prefix));
    if (len < 0 || (size_t)len >= sizeof(url)) {
        capif_reply_problem(p->req, 414, NULL, "the URI is too long");
        passage_free(p);
        return;
    }
    call.content_type = capif_req_header(p->req, "Content-Type");
    if (upload.len != 0)
        call.upload = &upload;
    p->transfer = capif_client_send(p->w->client, &call);
    if (p->transfer == NULL) {
        capif_reply_internal(p->req, "out-of-memory");
        passage_free(p);
        return;
    }
    capif_req_on_gone(p->req, on_gone, p);
    if (call.upload != NULL)
        capif_req_on_body(p->req, on_body, p);
}

static const char *const methods[] = {
    [BY_TOKEN] = "OAUTH",
    [BY_PSK] = "PSK",
    [BY_CERTIFICATE] = "PKI",
};

/* TLS-PSK: the key is still good, and for this interface. */
static bool psk_ok(const struct passage *p, const struct aef_psk *psk,
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
static bool introspects(const struct passage *p)
{
    return p->how == BY_TOKEN
           && strcmp(p->w->aef->token_check, "introspect") == 0;
}

/* May this call pass, by what its connection or token proves? */
static bool authenticated(const struct passage *p, SSL *ssl,
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
    };

    switch (p->how) {
    case BY_TOKEN:
        if (!aef_token_check(&p->jws, info, &call, no))
            return false;
        aef_peer_note(ssl, &p->who);
        return true;
    case BY_PSK:
        return psk_ok(p, aef_psk_of(ssl), info, no);
    case BY_CERTIFICATE:
        *no = (struct aef_refusal){ 401, "invalid_token",
                                    "the certificate is not an invoker's "
                                    "that is known here" };
        return call.cert != NULL && info->known
               && aef_certificate_is(call.cert, call.untrusted, info);
    }
    return false;
}

static void no_ccf(struct passage *p)
{
    capif_req_set_header(p->req, "Retry-After", "5");
    capif_reply_problem(p->req, 503, NULL, "the CCF does not answer");
}

/* Nothing but the CCF's word on the token was missing. */
static void on_verdict(enum aef_verdict verdict, void *arg)
{
    static const struct aef_refusal inactive = { 401, "invalid_token",
                                                 "the CCF does not vouch for "
                                                 "the token" };
    static const struct aef_refusal revoked = { 401, "invalid_token",
                                                "revoked meanwhile" };
    struct passage *p = arg;

    if (capif_req_ssl(p->req) == NULL) {
        capif_reply_end(p->req, false);
    } else if (verdict == AEF_UNDECIDED) {
        no_ccf(p);
    } else if (verdict == AEF_INACTIVE) {
        challenge(p->req, &inactive);
    } else if (aef_denied_since(p->w->aef->denied, p->who.ccf_id, p->who.id,
                                p->api->name, p->known)) {
        challenge(p->req, &revoked);
    } else {
        pass_on(p);
        return;
    }
    passage_free(p);
}

/*
 * Keys and certificates of another domain's CCF change: is this by one that is
 * newer than what we know of it?  Then ask, but once a second at most.
 */
static bool outdated(const struct passage *p, SSL *ssl,
                     const struct aef_info *info)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    bool known = cert == NULL;

    if (p->asked || !info->known || p->how == BY_PSK
        || time(NULL) + (time_t)p->w->aef->info_seconds <= info->expires)
        return false;
    for (int i = 0; !known && i < sk_X509_num(info->anchors); i++)
        known = X509_check_issued(sk_X509_value(info->anchors, i), cert)
                == X509_V_OK;
    return !known
           || (p->how == BY_TOKEN && !aef_key_known(&p->jws, info->issuers));
}

static void on_info(const struct aef_info *info, void *arg)
{
    struct passage *p = arg;
    SSL *ssl = capif_req_ssl(p->req);
    struct aef_refusal no;
    const char *method;

    if (ssl == NULL) {
        capif_reply_end(p->req, false);
    } else if (info == NULL) {
        no_ccf(p);
    } else if (outdated(p, ssl, info)) {
        p->asked = true;
        aef_info_get(p->w, info->ccf_id, info->invoker_id, true, on_info, p);
        return;
    } else if (!authenticated(p, ssl, info, &no)) {
        challenge(p->req, &no);
    } else if ((method = aef_info_method(info, p->api->name)) == NULL) {
        capif_reply_problem(p->req, 403, NULL,
                            "the API is not in the security context");
    } else if (strcmp(method, methods[p->how]) != 0) {
        capif_reply_problem(p->req, 403, "WRONG_SECURITY_METHOD", method);
    } else if (introspects(p)) {
        p->known = info->asked;
        aef_verdict_get(p->w, &p->who, p->jws.text, on_verdict, p);
        return;
    } else {
        pass_on(p);
        return;
    }
    passage_free(p);
}

/*
 * By what the invoker authenticates, and as whom it does, not yet believed:
 * a token if there is one, else the connection's PSK, else its certificate.
 */
static bool claimant(struct passage *p, struct capif_identity *who)
{
    SSL *ssl = capif_req_ssl(p->req);
    const char *text = capif_req_bearer(p->req), *ccf_id, *invoker_id;
    const struct aef_psk *psk = aef_psk_of(ssl);
    const X509 *cert = SSL_get0_peer_certificate(ssl);

    if (text != NULL) {
        p->how = BY_TOKEN;
        if (capif_jws_parse(text, &p->jws) != NULL
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

void aef_serve(struct capif_req *req, void *app)
{
    static const struct aef_refusal malformed = { 401, "invalid_token",
                                                  "not a token of CAPIF" };
    struct aef_worker *w = app;
    const char *target = capif_req_target(req);
    const struct aef_api *api;
    struct passage *p;

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
    api = api_find(w->aef, target);
    p->api = api;
    if (!claimant(p, &p->who)) {
        if (p->how == BY_TOKEN) {
            challenge(req, &malformed);
        } else {
            capif_req_set_header(req, "WWW-Authenticate", "Bearer");
            capif_reply_problem(req, 401, NULL, "an access token is needed");
        }
        passage_free(p);
    } else if (api == NULL) {
        capif_reply_problem(req, 404, NULL, "no such API");
        passage_free(p);
    } else {
        aef_info_get(w, p->who.ccf_id, p->who.id, false, on_info, p);
    }
}
