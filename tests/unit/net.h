/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of capif's server and client share: both in one process and
 * one event loop, over loopback, with keys in software.  Everything asserts.
 */
#ifndef NET_H
#define NET_H

#include "soft.h" /* first: cmocka.h wants its company */

#include "client.h"
#include "server.h"

#define NET_HOST "srv.example"

struct net {
    struct event_base *base;
    struct capif_client *client;
    struct capif_server *server;
    struct capif_credentials server_cred, client_cred;
    EVP_PKEY *ca_key;
    SSL_CTX *tls;
    char ca_file[64], address[32], origin[64];
    bool stuck; /* the watchdog barked */
    struct event *watchdog;
};

/* An answer that has been copied, and one that has come. */
struct result {
    struct net *net;
    bool done;
    int status;
    bool timed_out, refused;
    char type[64], error[256], body[4096];
    size_t body_len;
};

/* cfg's listen, tls are filled in. */
void net_open(struct net *net, struct capif_server_config *cfg);
void net_close(struct net *net);
/* A port of loopback that nobody listens on. */
void net_free_address(char address[32]);

/* Turn until event_base_loopbreak(); fails if that takes 5 s. */
void net_turn(struct net *net);
/* A call of path with result_done() and r; change it, then send it. */
struct capif_call net_call(struct net *net, const char *method, const char *url,
                           struct result *r);
capif_answer_fn net_result_done;
/* Send it and wait; the answer's status. */
int net_fetch(struct net *net, const struct capif_call *call);
/* The same for a path, without a body or a certificate. */
int net_get(struct net *net, const char *method, const char *path,
            struct result *r);

#endif
