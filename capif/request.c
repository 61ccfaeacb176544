/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a request and answering it.
 */
#include "server_internal.h"

#include "log.h"

#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <time.h>

#define FORM_TYPE "application/x-www-form-urlencoded"
#define HEAD_ROOM 4096

struct capif_req *capif_req_new(struct capif_conn *c)
{
    struct capif_req *req = calloc(1, sizeof(*req));

    if (req == NULL)
        return NULL;
    req->conn = c;
    req->server = c->server;
    req->head.method = req->head.target = ""; /* until there are some */
    req->body = evbuffer_new();
    req->fields = evbuffer_new();
    if (req->body == NULL || req->fields == NULL) {
        capif_req_free(req);
        return NULL;
    }
    if (c->server->cfg.hold != NULL) {
        req->held = c->server->cfg.hold(c->server->cfg.app);
        req->let_go = c->server->cfg.let_go;
    }
    return req;
}

void capif_req_free(struct capif_req *req)
{
    if (req->query_parsed)
        evhttp_clear_headers(&req->query);
    for (size_t i = 0; i < CAPIF_PARAMS_MAX; i++)
        free(req->params[i]);
    if (req->body != NULL)
        evbuffer_free(req->body);
    if (req->fields != NULL)
        evbuffer_free(req->fields);
    capif_head_clear(&req->head);
    if (req->let_go != NULL)
        req->let_go(req->held);
    free(req);
}

/* Its handler, if it got one, still has to answer. */
void capif_req_gone(struct capif_req *req)
{
    void (*gone)(void *) = req->gone;

    req->conn = NULL;
    req->gone = NULL;
    if (!req->handled)
        capif_req_free(req);
    else if (gone != NULL)
        gone(req->gone_arg);
}

void capif_req_drained(struct capif_req *req)
{
    void (*fn)(void *) = req->drained;

    req->drained = NULL;
    if (fn != NULL)
        fn(req->drained_arg);
}

/* ---- the request ---- */

const char *capif_req_method(const struct capif_req *req)
{
    return req->head.method;
}

const char *capif_req_target(const struct capif_req *req)
{
    return req->head.target;
}

const char *capif_req_path(const struct capif_req *req, size_t *len)
{
    *len = strcspn(req->head.target, "?");
    return req->head.target;
}

const char *capif_req_param(const struct capif_req *req, size_t i)
{
    return req->params[i];
}

const char *capif_req_query(struct capif_req *req, const char *name)
{
    const char *query;

    if (!req->query_parsed) {
        query = strchr(req->head.target, '?');
        req->query_parsed =
            query != NULL
            && evhttp_parse_query_str(query + 1, &req->query) == 0;
    }
    return req->query_parsed ? evhttp_find_header(&req->query, name) : NULL;
}

const char *capif_req_header(const struct capif_req *req, const char *name)
{
    return req->conn == NULL ? NULL : capif_head_field(&req->head, name);
}

const uint8_t *capif_req_body(const struct capif_req *req, size_t *len)
{
    *len = evbuffer_get_length(req->body);
    return *len > 0 ? evbuffer_pullup(req->body, -1) : (const uint8_t *)"";
}

/* ---- a body that is streamed ---- */

int64_t capif_req_length(const struct capif_req *req)
{
    return req->head.chunked ? -1 : req->head.length;
}

void capif_req_continue(struct capif_req *req)
{
    if (req->conn == NULL || !req->head.expects || req->continued)
        return;
    req->continued = true;
    evbuffer_add_printf(bufferevent_get_output(req->conn->bev),
                        "HTTP/1.1 100 Continue\r\n\r\n");
}

void capif_req_on_body(struct capif_req *req, void (*fn)(void *), void *arg)
{
    req->more = fn;
    req->more_arg = arg;
    if (fn != NULL)
        capif_req_continue(req);
    if (fn != NULL && req->conn != NULL)
        capif_conn_wake(req->conn);
}

size_t capif_req_take(struct capif_req *req, void *out, size_t max)
{
    int n = evbuffer_remove(req->body, out, max);

    /* There is room again for what waits in the connection. */
    if (n > 0 && req->conn != NULL && !capif_body_done(&req->conn->body))
        capif_conn_wake(req->conn);
    return n > 0 ? (size_t)n : 0;
}

bool capif_req_complete(const struct capif_req *req)
{
    return req->conn != NULL && capif_body_done(&req->conn->body)
           && evbuffer_get_length(req->body) == 0;
}

/* ---- who asks ---- */

const char *capif_req_peer(const struct capif_req *req)
{
    return req->conn == NULL ? "gone" : req->conn->peer;
}

SSL *capif_req_ssl(const struct capif_req *req)
{
    return req->conn == NULL ? NULL : req->conn->ssl;
}

void *capif_req_data(const struct capif_req *req)
{
    return req->data;
}

void capif_req_set_data(struct capif_req *req, void *data)
{
    req->data = data;
}

unsigned capif_req_who(const struct capif_req *req)
{
    return req->who;
}

const char *capif_req_bearer(const struct capif_req *req)
{
    const char *text = capif_req_header(req, "Authorization");

    if (text == NULL || strncasecmp(text, "Bearer ", 7) != 0)
        return NULL;
    text += 7 + strspn(text + 7, " ");
    return *text != '\0' ? text : NULL;
}

static bool is_of_type(const struct capif_req *req, const char *media_type)
{
    const char *type = capif_req_header(req, "Content-Type");
    size_t len = strlen(media_type);

    return type != NULL && strncasecmp(type, media_type, len) == 0
           && strchr("; \t", type[len]) != NULL; /* finds the NUL, too */
}

static bool is_utf8(const char *text)
{
    json_t *v = json_string(text);

    json_decref(v);
    return v != NULL;
}

bool capif_req_form(struct capif_req *req)
{
    struct evkeyval *a, *b;
    const uint8_t *body;
    char *text;
    size_t len;
    int rc = -1;

    if (req->query_parsed || !is_of_type(req, FORM_TYPE))
        return false;
    body = capif_req_body(req, &len);
    if (memchr(body, '\0', len) != NULL
        || (text = strndup((const char *)body, len)) == NULL)
        return false;
    if (strstr(text, "%00") == NULL) /* values are C strings from here on */
        rc = evhttp_parse_query_str(text, &req->query);
    OPENSSL_cleanse(text, len); /* it may hold a client_secret */
    free(text);
    if (rc != 0)
        return false;
    req->query_parsed = true;
    TAILQ_FOREACH(a, &req->query, next)
    {
        if (!is_utf8(a->value)) /* answers and logs may quote it */
            return false;
        for (b = TAILQ_NEXT(a, next); b != NULL; b = TAILQ_NEXT(b, next))
            if (strcmp(a->key, b->key) == 0)
                return false;
    }
    return true;
}

json_t *capif_req_json(struct capif_req *req, const char *media_type)
{
    struct capif_reader reader = { 0 };
    const uint8_t *body;
    json_t *doc;
    size_t len;

    if (!is_of_type(req, media_type)) {
        capif_reply_problem(req, 415, NULL, media_type);
        return NULL;
    }
    body = capif_req_body(req, &len);
    if ((doc = capif_json_parse(body, len, &reader)) == NULL)
        capif_reply_invalid(req, &reader);
    return doc;
}

/* ---- answers ---- */

bool capif_req_alive(const struct capif_req *req)
{
    return req->conn != NULL;
}

void capif_req_on_gone(struct capif_req *req, void (*fn)(void *), void *arg)
{
    req->gone = fn;
    req->gone_arg = arg;
}

void capif_req_set_header(struct capif_req *req, const char *name,
                          const char *value)
{
    if (strpbrk(value, "\r\n") == NULL)
        evbuffer_add_printf(req->fields, "%s: %s\r\n", name, value);
}

void capif_req_clear_headers(struct capif_req *req)
{
    evbuffer_drain(req->fields, evbuffer_get_length(req->fields));
}

/* What begins an answer, and what it is that follows the fields. */
static void put_head(struct capif_req *req, int status, int64_t len)
{
    struct capif_conn *c = req->conn;
    struct evbuffer *out = bufferevent_get_output(c->bev);
    const bool none = status == 204 || status == 304;
    time_t now = time(NULL);
    struct tm tm;
    char date[40];
    const unsigned char *fields;
    size_t len_fields;

    req->bodiless = none || strcmp(req->head.method, "HEAD") == 0;
    req->chunked = len < 0 && !req->bodiless && !req->head.old;
    strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT",
             gmtime_r(&now, &tm));
    /* In one piece, and with it a short body: one TLS record, one write. */
    (void)evbuffer_expand(out, HEAD_ROOM);
    evbuffer_add_printf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status,
                        capif_reason(status), date);
    len_fields = evbuffer_get_length(req->fields);
    fields = evbuffer_pullup(req->fields, -1);
    if (fields == NULL || evbuffer_add(out, fields, len_fields) != 0)
        evbuffer_add_buffer(out, req->fields);
    if (len >= 0 && status != 204)
        evbuffer_add_printf(out, "Content-Length: %lld\r\n", (long long)len);
    if (req->chunked)
        evbuffer_add_printf(out, "Transfer-Encoding: chunked\r\n");
    if ((len < 0 && req->head.old)
        || (req->head.expects && !req->continued
            && !capif_body_done(&c->body))) /* it may send that or not */
        c->closing = true;
    if (c->closing)
        evbuffer_add_printf(out, "Connection: close\r\n");
    evbuffer_add(out, "\r\n", 2);
}

static void answered(struct capif_req *req)
{
    struct capif_conn *c = req->conn;

    if (c != NULL)
        capif_conn_answered(c);
    capif_req_free(req);
}

static void reply_text(struct capif_req *req, int status, const char *type,
                       const char *text)
{
    const size_t len = text != NULL ? strlen(text) : 0;

    if (type != NULL)
        capif_req_set_header(req, "Content-Type", type);
    capif_reply_start(req, status, (int64_t)len);
    if (len > 0)
        (void)capif_reply_chunk(req, text, len);
    capif_reply_end(req, true);
}

void capif_reply_empty(struct capif_req *req, int status)
{
    reply_text(req, status, NULL, NULL);
}

static void reply_doc(struct capif_req *req, int status, const char *type,
                      json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);

    reply_text(req, text != NULL ? status : 500, type, text);
    free(text);
    json_decref(body);
}

void capif_reply_json(struct capif_req *req, int status, json_t *body)
{
    reply_doc(req, status, "application/json", body);
}

void capif_reply_problem(struct capif_req *req, int status, const char *cause,
                         const char *detail)
{
    reply_doc(req, status, "application/problem+json",
              capif_problem(status, cause, detail, NULL));
}

void capif_reply_invalid(struct capif_req *req,
                         const struct capif_reader *reader)
{
    reply_doc(req, 400, "application/problem+json",
              capif_problem(400, NULL, "the request is malformed", reader));
}

void capif_reply_internal(struct capif_req *req, const char *event)
{
    capif_log_ssl(event, "peer", capif_req_peer(req), NULL);
    capif_reply_problem(req, 500, NULL, "see the log");
}

void capif_reply_start(struct capif_req *req, int status, int64_t len)
{
    if (req->conn != NULL)
        put_head(req, status, len);
}

size_t capif_reply_chunk(struct capif_req *req, const void *data, size_t len)
{
    struct evbuffer *out;

    if (req->conn == NULL)
        return 0;
    out = bufferevent_get_output(req->conn->bev);
    if (len > 0 && !req->bodiless) {
        if (req->chunked)
            evbuffer_add_printf(out, "%zx\r\n", len);
        evbuffer_add(out, data, len);
        if (req->chunked)
            evbuffer_add(out, "\r\n", 2);
    }
    return evbuffer_get_length(out);
}

void capif_reply_on_drained(struct capif_req *req, void (*fn)(void *),
                            void *arg)
{
    req->drained = fn;
    req->drained_arg = arg;
}

void capif_reply_end(struct capif_req *req, bool ok)
{
    struct capif_conn *c = req->conn;

    if (c != NULL && !ok) {
        c->req = NULL;
        capif_conn_free(c);
        req->conn = NULL;
    } else if (c != NULL && req->chunked) {
        evbuffer_add(bufferevent_get_output(c->bev), "0\r\n\r\n", 5);
    }
    answered(req);
}
