/* SPDX-License-Identifier: Apache-2.0 */
/* What server.c and request.c share. */
#ifndef CAPIF_SERVER_INTERNAL_H
#define CAPIF_SERVER_INTERNAL_H

#include "server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>

struct capif_req {
    struct evhttp_request *ev; /* NULL once the peer is gone */
    struct evhttp_connection *conn;
    struct capif_server *server;
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
    bool wrote; /* a chunk, so that on_drained() will be called */
    bool ended; /* nothing more will come; goes when all is written */
};

/* The connection is closing: forget what belongs to it. */
void capif_req_gone(struct capif_req *req);
void capif_req_clear_params(struct capif_req *req);

#endif
