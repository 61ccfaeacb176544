/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif server: HTTP/1.1 over TLS on libevent, driven by a table of routes.
 *
 * Limits and authorization run before any handler.  A handler answers with
 * exactly one capif_reply*() call, at once or later from the same event
 * loop; the request is gone after it.  If the peer goes away meanwhile, the
 * reply is dropped, but must still be made.
 *
 * Threads: a server belongs to the thread of its event base.  Several may
 * listen on one address (SO_REUSEPORT).
 */
#ifndef CAPIF_SERVER_H
#define CAPIF_SERVER_H

#include "json.h"
#include "tls.h"

#include <event2/event.h>
#include <stdint.h>

#define CAPIF_PARAMS_MAX  3
#define CAPIF_WHO_UNKNOWN (1u << 31)    /* it can't be told at present */
#define CAPIF_BODY_MAX    (1024 * 1024) /* dropped after an answer, at most */

struct capif_req;
typedef void capif_handler(struct capif_req *req, void *app);

struct capif_route {
    const char *method;
    const char *path; /* "{}" stands for one non-empty segment */
    size_t body_max;  /* octets; more is 413 */
    unsigned who;     /* bits of the application's; 0: anybody */
    capif_handler *fn;
};

struct capif_server_config {
    const char *listen; /* "127.0.0.1:9443" or "[::1]:9443" */
    SSL_CTX *tls;
    const struct capif_route *routes; /* ends with method NULL */
    /*
     * One bit of the routes' `who` for the request's peer; 0: nobody;
     * CAPIF_WHO_UNKNOWN: 503 where that matters.
     */
    unsigned (*who)(const struct capif_req *req, void *app);
    /* Instead of routes: takes all requests, when their heads are there. */
    capif_handler *any;
    void *app;
    int idle_seconds;       /* a silent connection is closed after these */
    size_t max_connections; /* over this, they wait in the kernel */
    /*
     * What a request needs for as long as it lasts, or NULL: taken before it
     * is dispatched, and let go of after it is answered.
     */
    void *(*hold)(void *app);
    void (*let_go)(void *held);
};

struct capif_server;

/* NULL and a line in the log if it can't listen. */
struct capif_server *capif_server_new(struct event_base *base,
                                      const struct capif_server_config *cfg);
/* Closes all connections; requests under way get no answer. */
void capif_server_free(struct capif_server *server);
/* For connections to come; those that there are stay as they are. */
void capif_server_set_tls(struct capif_server *server, SSL_CTX *tls);

/*
 * Cut all connections that dead() says so of, now: what they still have to
 * send is lost.
 */
void capif_server_cut(struct capif_server *server,
                      bool (*dead)(const SSL *ssl, void *arg), void *arg);

/* ---- the request ---- */

const char *capif_req_method(const struct capif_req *req);
/* The path and query as they came. */
const char *capif_req_target(const struct capif_req *req);
/* The i-th "{}" of the path, percent-decoded. */
const char *capif_req_param(const struct capif_req *req, size_t i);
/* A parameter of the query, or of capif_req_form(), decoded; or NULL. */
const char *capif_req_query(struct capif_req *req, const char *name);
/* A header field; NULL if absent. */
const char *capif_req_header(const struct capif_req *req, const char *name);
/* All of it; of a server with `any`, what has come. */
const uint8_t *capif_req_body(const struct capif_req *req, size_t *len);

/* ---- a body that is streamed: of a server with `any` ---- */

/* How long it is; -1: it will turn out. */
int64_t capif_req_length(const struct capif_req *req);
/* Send 100 if the peer waits for it; on_body does. */
void capif_req_continue(struct capif_req *req);
/* Call fn(arg) when more has come, or the end; NULL: no more. */
void capif_req_on_body(struct capif_req *req, void (*fn)(void *), void *arg);
/* Up to max octets of what has come; the connection reads on as these go. */
size_t capif_req_take(struct capif_req *req, void *out, size_t max);
/* All has come and was taken. */
bool capif_req_complete(const struct capif_req *req);

/* ---- who asks ---- */

/* The peer's address, without port, for the log. */
const char *capif_req_peer(const struct capif_req *req);
/* The TLS connection; NULL if the peer is gone. */
SSL *capif_req_ssl(const struct capif_req *req);
/* A scratch pointer for the application, NULL at first. */
void *capif_req_data(const struct capif_req *req);
void capif_req_set_data(struct capif_req *req, void *data);
/* What the application answered to `who` for this request. */
unsigned capif_req_who(const struct capif_req *req);

/*
 * The token of `Authorization: Bearer`; NULL if there is none.  Borrowed
 * from the request.
 */
const char *capif_req_bearer(const struct capif_req *req);

/*
 * The body as a JSON document, which the caller owns.  NULL: it is not one
 * and the request has been answered (400 or 415).
 */
json_t *capif_req_json(struct capif_req *req, const char *media_type);

/*
 * Read an application/x-www-form-urlencoded body; capif_req_query() gives
 * its parameters from then on.  false if it is none, or names one twice.
 */
bool capif_req_form(struct capif_req *req);

/* ---- the answer ---- */

/* For the answer to come; foreign octets in value are the caller's matter. */
void capif_req_set_header(struct capif_req *req, const char *name,
                          const char *value);
/* None of those so far, since it will be another answer. */
void capif_req_clear_headers(struct capif_req *req);
/* No body. */
void capif_reply_empty(struct capif_req *req, int status);
/* Takes over body. */
void capif_reply_json(struct capif_req *req, int status, json_t *body);
void capif_reply_problem(struct capif_req *req, int status, const char *cause,
                         const char *detail);
/* 400 with invalidParams. */
void capif_reply_invalid(struct capif_req *req,
                         const struct capif_reader *reader);
/* 500; what is on OpenSSL's queue goes to the log, not to the peer. */
void capif_reply_internal(struct capif_req *req, const char *event);

/* In pieces: start, any number of chunks, end.  len < 0: not known. */
void capif_reply_start(struct capif_req *req, int status, int64_t len);
/* Octets not yet sent are at most those returned, after this one. */
size_t capif_reply_chunk(struct capif_req *req, const void *data, size_t len);
/* ok = false: cut the connection, since the answer can't be completed. */
void capif_reply_end(struct capif_req *req, bool ok);
/* Call fn(arg) when all that was given to chunk has been sent. */
void capif_reply_on_drained(struct capif_req *req, void (*fn)(void *),
                            void *arg);
bool capif_req_alive(const struct capif_req *req);
/* Call fn(arg) if the peer goes away before the answer is complete. */
void capif_req_on_gone(struct capif_req *req, void (*fn)(void *), void *arg);

#endif
