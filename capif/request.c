/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a request and answering it.
 */
#include "server_internal.h"

#include "log.h"

#include <event2/bufferevent_ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>

#define FORM_TYPE "application/x-www-form-urlencoded"

const char *capif_req_method(const struct capif_req *req)
{
    switch (evhttp_request_get_command(req->ev)) {
    case EVHTTP_REQ_GET:
        return "GET";
    case EVHTTP_REQ_POST:
        return "POST";
    case EVHTTP_REQ_HEAD:
        return "HEAD";
    case EVHTTP_REQ_PUT:
        return "PUT";
    case EVHTTP_REQ_DELETE:
        return "DELETE";
    case EVHTTP_REQ_OPTIONS:
        return "OPTIONS";
    case EVHTTP_REQ_PATCH:
        return "PATCH";
    case EVHTTP_REQ_TRACE:
    case EVHTTP_REQ_CONNECT:
    default:
        return "?";
    }
}

const char *capif_req_target(const struct capif_req *req)
{
    return evhttp_request_get_uri(req->ev);
}

const char *capif_req_param(const struct capif_req *req, size_t i)
{
    return req->params[i];
}

const char *capif_req_query(struct capif_req *req, const char *name)
{
    const char *query;

    if (!req->query_parsed && req->ev != NULL) {
        query = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req->ev));
        req->query_parsed =
            query != NULL && evhttp_parse_query_str(query, &req->query) == 0;
    }
    return req->query_parsed ? evhttp_find_header(&req->query, name) : NULL;
}

const char *capif_req_header(const struct capif_req *req, const char *name)
{
    return req->ev == NULL ? NULL
                           : evhttp_find_header(
                               evhttp_request_get_input_headers(req->ev), name);
}

const uint8_t *capif_req_body(const struct capif_req *req, size_t *len)
{
    struct evbuffer *buf = evhttp_request_get_input_buffer(req->ev);

    *len = evbuffer_get_length(buf);
    return *len > 0 ? evbuffer_pullup(buf, -1) : (const uint8_t *)"";
}

const char *capif_req_peer(const struct capif_req *req)
{
    char *address = NULL;
    ev_uint16_t port;

    if (req->ev == NULL)
        return "gone";
    evhttp_connection_get_peer(req->conn, &address, &port);
    return address != NULL ? address : "?";
}

SSL *capif_req_ssl(const struct capif_req *req)
{
    return req->ev == NULL ? NULL
                           : bufferevent_openssl_get_ssl(
                               evhttp_connection_get_bufferevent(req->conn));
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

static void req_free(struct capif_req *req)
{
    if (req->ev != NULL)
        evhttp_connection_set_closecb(req->conn, NULL, NULL);
    if (req->query_parsed)
        evhttp_clear_headers(&req->query);
    capif_req_clear_params(req);
    if (req->let_go != NULL)
        req->let_go(req->held);
    free(req);
}

void capif_req_gone(struct capif_req *req)
{
    void (*gone)(void *) = req->gone;

    /* Taken off a connection that failed, it is ours; else libevent's. */
    if (evhttp_request_get_connection(req->ev) == NULL)
        evhttp_request_free(req->ev);
    req->ev = NULL;
    req->conn = NULL;
    req->gone = NULL;
    if (req->ended)
        req_free(req);
    else if (gone != NULL)
        gone(req->gone_arg);
}

bool capif_req_alive(const struct capif_req *req)
{
    return req->ev != NULL;
}

void capif_req_on_gone(struct capif_req *req, void (*fn)(void *), void *arg)
{
    req->gone = fn;
    req->gone_arg = arg;
}

void capif_req_set_header(struct capif_req *req, const char *name,
                          const char *value)
{
    if (req->ev != NULL) /* refuses CR and LF itself */
        evhttp_add_header(evhttp_request_get_output_headers(req->ev), name,
                          value);
}

static void reply_text(struct capif_req *req, int status, const char *type,
                       const char *text)
{
    struct evbuffer *buf = evbuffer_new();
    struct evhttp_request *ev = req->ev;
    char len[24];

    if (ev != NULL && type != NULL)
        capif_req_set_header(req, "Content-Type", type);
    /* evhttp would send the body, which the peer takes for the next answer. */
    if (ev != NULL && text != NULL
        && evhttp_request_get_command(ev) == EVHTTP_REQ_HEAD) {
        snprintf(len, sizeof(len), "%zu", strlen(text));
        capif_req_set_header(req, "Content-Length", len);
        text = NULL;
    }
    req_free(req);
    if (ev != NULL) {
        if (buf != NULL && text != NULL)
            evbuffer_add(buf, text, strlen(text));
        evhttp_send_reply(ev, status, NULL, buf);
    }
    if (buf != NULL)
        evbuffer_free(buf);
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
    char text[24];

    if (req->ev == NULL)
        return;
    if (len >= 0) {
        snprintf(text, sizeof(text), "%lld", (long long)len);
        capif_req_set_header(req, "Content-Length", text);
    }
    evhttp_send_reply_start(req->ev, status, NULL);
}

static size_t unsent(struct evhttp_connection *conn)
{
    return evbuffer_get_length(
        bufferevent_get_output(evhttp_connection_get_bufferevent(conn)));
}

static void send_end(struct capif_req *req)
{
    struct evhttp_request *ev = req->ev;

    req_free(req);
    evhttp_send_reply_end(ev);
}

/*
 * libevent defers this call, and what evhttp itself puts in its place: more
 * may have been written since it was due.  Hence the end, too, waits for it.
 */
static void on_drained(struct evhttp_connection *conn, void *arg)
{
    struct capif_req *req = arg;
    void (*fn)(void *) = req->drained;

    if (unsent(conn) > 0)
        return;
    if (req->ended) {
        send_end(req);
        return;
    }
    req->drained = NULL;
    if (fn != NULL)
        fn(req->drained_arg);
}

size_t capif_reply_chunk(struct capif_req *req, const void *data, size_t len)
{
    struct evbuffer *buf;
    size_t before;

    if (req->ev == NULL || (buf = evbuffer_new()) == NULL)
        return 0;
    before = unsent(req->conn);
    evbuffer_add(buf, data, len);
    evhttp_send_reply_chunk_with_cb(req->ev, buf, on_drained, req);
    evbuffer_free(buf);
    req->wrote = req->wrote || unsent(req->conn) > before;
    return unsent(req->conn);
}

void capif_reply_on_drained(struct capif_req *req, void (*fn)(void *),
                            void *arg)
{
    req->drained = fn;
    req->drained_arg = arg;
}

void capif_reply_end(struct capif_req *req, bool ok)
{
    struct evhttp_request *ev = req->ev;
    struct evhttp_connection *conn = req->conn;

    if (ev != NULL && ok && req->wrote) {
        req->ended = true;
        bufferevent_trigger(evhttp_connection_get_bufferevent(conn), EV_WRITE,
                            BEV_TRIG_DEFER_CALLBACKS);
    } else if (ev != NULL && ok) {
        send_end(req);
    } else {
        req_free(req);
        if (ev != NULL)
            evhttp_connection_free(conn);
    }
}
