/* SPDX-License-Identifier: Apache-2.0 */
/* What server.c, route.c and request.c share. */
#ifndef CAPIF_SERVER_INTERNAL_H
#define CAPIF_SERVER_INTERNAL_H

#include "http.h"
#include "server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <netinet/in.h>

/* A body on its way in; left behind by its request, it is dropped. */
struct capif_body {
    bool chunked;
    struct capif_chunks chunks;
    uint64_t left; /* where it is not chunked */
};

struct capif_conn {
    struct capif_server *server;
    struct bufferevent *bev;
    struct event *wake; /* see capif_conn_wake() */
    SSL *ssl;
    struct capif_conn *prev, *next;
    char peer[INET6_ADDRSTRLEN];
    struct capif_req *req; /* under way; NULL: none */
    struct capif_body body;
    size_t dropped; /* octets of it */
    time_t since;   /* the first octet of a head; 0: none yet */
    bool closing;   /* when all is written */
    bool lingering; /* ours is closed; theirs is read and dropped */
};

struct capif_req {
    struct capif_conn *conn; /* NULL once the peer is gone */
    struct capif_server *server;
    struct capif_head head;
    struct evbuffer *body;           /* what has come and was not taken */
    const struct capif_route *route; /* NULL where `any` takes all */
    unsigned who;
    void *held;                 /* see struct capif_server_config */
    void (*let_go)(void *held); /* the server may go first */
    char *params[CAPIF_PARAMS_MAX];
    struct evkeyvalq query;
    bool query_parsed;
    void *data;
    void (*gone)(void *);
    void *gone_arg;
    void (*drained)(void *);
    void *drained_arg;
    void (*more)(void *); /* of the body */
    void *more_arg;
    struct evbuffer *fields; /* of the answer */
    bool handled;            /* by its handler, which is to answer */
    bool continued;          /* 100 was sent */
    bool chunked;            /* the answer is */
    bool bodiless;           /* the answer must be */
};

struct capif_server {
    struct capif_server_config cfg;
    struct event_base *base;
    struct evconnlistener *listener;
    struct capif_conn *conns;
    size_t n_conns;
};

/* Find its route, for which its body is to be read; false: it is answered. */
bool capif_route(struct capif_req *req);
/* May its peer?  false: it is answered. */
bool capif_req_may(struct capif_req *req);
const char *capif_req_path(const struct capif_req *req, size_t *len);

/* All of the body has come. */
bool capif_body_done(const struct capif_body *body);
/* Look again, from the event loop, at what there is to do. */
void capif_conn_wake(struct capif_conn *c);
/* The request has been answered and is gone. */
void capif_conn_answered(struct capif_conn *c);
/* Cut it now. */
void capif_conn_free(struct capif_conn *c);

struct capif_req *capif_req_new(struct capif_conn *c);
void capif_req_free(struct capif_req *req);
/* The connection is closing: forget what belongs to it. */
void capif_req_gone(struct capif_req *req);
/* All that was written is on its way. */
void capif_req_drained(struct capif_req *req);

#endif
