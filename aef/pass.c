/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Passing a call on to its backend, and hiding what is behind.  Header fields
 * go through lists of what may, in both directions.
 */
#include "visit.h"

#include "log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define UNSENT_MAX  (256 * 1024)
#define URL_MAX_LEN 8192
/* That are reported of one invoker by one worker. */
#define REFUSALS_PER_SECOND 10
#define GONE                499 /* the invoker went before there was an answer */

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
    struct aef_visit visit;
    char *backend; /* its URL */
    struct capif_transfer *transfer;
    int status; /* the backend's; 0: none yet */
    bool started;
    bool unkept;   /* what became of it could not be kept */
    bool too_long; /* the body */
    size_t taken;  /* octets of it */
};

static void passage_free(struct passage *p)
{
    free(p->backend);
    free(p);
}

/* ---- the way back ---- */

/*
 * A backend's own address in Location becomes this API's place here; any
 * other is dropped.
 */
static void pass_location(struct passage *p, const char *location)
{
    const char *backend = p->backend;
    const char *path = strchr(strstr(backend, "://") + 3, '/');
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

/* What an API says of an error; servers say who they are. */
static bool is_structured(const char *type)
{
    const size_t len = type != NULL ? strcspn(type, "; \t") : 0;

    return (len == 16 && strncasecmp(type, "application/json", len) == 0)
           || (len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0)
           || (len == 15 && strncasecmp(type, "application/xml", len) == 0)
           || (len > 4 && strncasecmp(type + len - 4, "+xml", 4) == 0);
}

/* Is it the answer's content that comes from behind, or just the status? */
static bool has_content(struct capif_transfer *t, int status)
{
    return status < 300 || status == 304
           || is_structured(capif_transfer_header(t, "Content-Type"));
}

/* Is that field not about the content? */
static bool is_of_status(const char *field)
{
    return strcmp(field, "Allow") == 0 || strcmp(field, "Retry-After") == 0
           || strcmp(field, "Content-Range") == 0;
}

static void on_head(struct capif_transfer *t, int status, void *arg)
{
    struct passage *p = arg;
    const bool content = has_content(t, status);
    const char *value;
    long long len = -1;

    p->status = status;
    /* The backend's troubles stay behind, and with whom it is. */
    if (status >= 500 || (p->api->backend == NULL && status == 401))
        return;
    for (size_t i = 0; i < sizeof(fields_out) / sizeof(fields_out[0]); i++)
        if ((content || is_of_status(fields_out[i]))
            && (value = capif_transfer_header(t, fields_out[i])) != NULL)
            capif_req_set_header(p->req, fields_out[i], value);
    if ((value = capif_transfer_header(t, "Location")) != NULL)
        pass_location(p, value);
    if (!content)
        return;
    if (!aef_journal_add(p->w->journal, p->req, &p->visit, status)) {
        p->unkept = true;
        return;
    }
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
        return true; /* not passed on */
    if (capif_reply_chunk(p->req, data, len) <= UNSENT_MAX)
        return true;
    capif_reply_on_drained(p->req, on_drained, p);
    return false;
}

/* The status of an answer that is not the backend's own. */
static int outcome(const struct passage *p, const struct capif_answer *a)
{
    if (p->too_long)
        return 413;
    if (p->api->backend == NULL && p->status == 401)
        return 502; /* that AEF does not know this one */
    if (p->status >= 300 && p->status < 500)
        return p->status;
    if (p->status == 503)
        return 503;
    return a->status == 0 && a->timed_out ? 504 : 502;
}

static void answer(struct capif_req *req, int status)
{
    static const struct {
        int status;
        const char *detail;
    } details[] = {
        { 413, "the body is too large" },
        { 502, "the API failed" },
        { 503, "the API is not available" },
        { 504, "the API does not answer" },
    };
    const char *detail = "the API refuses it";

    for (size_t i = 0; i < sizeof(details) / sizeof(details[0]); i++)
        if (details[i].status == status)
            detail = details[i].detail;
    if (status == 503)
        capif_req_set_header(req, "Retry-After", "5");
    if (status < 400)
        capif_reply_empty(req, status);
    else
        capif_reply_problem(req, status, NULL, detail);
}

static void on_done(const struct capif_answer *a, void *arg)
{
    struct passage *p = arg;
    struct capif_req *req = p->req;
    const int status = outcome(p, a);

    p->transfer = NULL;
    capif_req_on_gone(req, NULL, NULL);
    capif_reply_on_drained(req, NULL, NULL);
    capif_req_on_body(req, NULL, NULL);
    if (a->status == 0 && !p->too_long)
        capif_log("backend-failed", "api", p->api->name, "why", a->error, NULL);
    if (p->started)
        capif_reply_end(req, a->status != 0);
    else if (p->unkept
             || !aef_journal_add(p->w->journal, req, &p->visit, status))
        aef_reply_unkept(req);
    else
        answer(req, status);
    passage_free(p);
}

static void on_gone(void *arg)
{
    struct passage *p = arg;

    capif_transfer_cancel(p->transfer);
    if (!p->started)
        (void)aef_journal_add(p->w->journal, p->req, &p->visit, GONE);
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
                               .timeout_ms = (long)p->w->aef->timeout * 1000,
                               .stream = &stream,
                               .done = on_done,
                               .arg = p };
    const struct capif_upload upload = { read_body, capif_req_length(p->req) };
    size_t n = 1;
    int len;

    snprintf(invoker, sizeof(invoker), AEF_INVOKER ": %s/%s",
             p->visit.who.ccf_id, p->visit.who.id);
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
    len = snprintf(url, sizeof(url), "%s%s", p->backend,
                   target + strlen(p->api->prefix));
    if (len < 0 || (size_t)len >= sizeof(url)) {
        aef_refuse(p->w, p->req, &p->visit, 414, NULL, "the URI is too long");
        passage_free(p);
        return;
    }
    if (p->api->backend == NULL) { /* another AEF, which has to know us */
        call.address = capif_connect_of(p->w->aef->connect, p->backend);
        call.cred = &p->w->aef->cred;
        call.ca_file = p->w->aef->ca_file;
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

static void on_route(const char *url, void *arg)
{
    struct passage *p = arg;

    if (capif_req_ssl(p->req) == NULL) {
        capif_reply_end(p->req, false);
    } else if (url == NULL) {
        capif_req_set_header(p->req, "Retry-After", "5");
        aef_refuse(p->w, p->req, &p->visit, 503, NULL,
                   "the API is not available");
    } else if ((p->backend = strdup(url)) == NULL) {
        capif_reply_internal(p->req, "out-of-memory");
    } else {
        pass_on(p);
        return;
    }
    passage_free(p);
}

void aef_pass_on(struct aef_worker *w, struct capif_req *req,
                 const struct aef_visit *visit)
{
    struct passage *p;

    if (visit->api_id[0] != '\0' && !aef_journal_ready(w->journal)) {
        aef_reply_unkept(req);
        return;
    }
    if ((p = calloc(1, sizeof(*p))) == NULL) {
        capif_reply_internal(req, "out-of-memory");
        return;
    }
    p->req = req;
    p->w = w;
    p->api = visit->api;
    p->visit = *visit;
    if (p->api->backend != NULL)
        on_route(p->api->backend, p);
    else
        aef_route_get(w, visit, on_route, p);
}

void aef_refuse(struct aef_worker *w, struct capif_req *req,
                const struct aef_visit *visit, int status, const char *cause,
                const char *detail)
{
    /* Each of those that are refused in plenty is not worth the space. */
    const bool keep =
        aef_rate_ok(w->refusals, visit->who.id, REFUSALS_PER_SECOND);

    if (!keep || aef_journal_add(w->journal, req, visit, status))
        capif_reply_problem(req, status, cause, detail);
    else
        aef_reply_unkept(req);
}

void aef_reply_unkept(struct capif_req *req)
{
    capif_req_clear_headers(req);
    capif_req_set_header(req, "Retry-After", "5");
    capif_reply_problem(req, 503, NULL, "calls can't be recorded at present");
}
