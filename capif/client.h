/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif client: asynchronous HTTP/1.1 requests, by libcurl's multi interface
 * on the caller's event loop.  Redirects are not followed, proxies not used.
 * Calls to one server share connections, so all calls of a client come with
 * the same credentials: who acts as two has two clients.
 *
 * Threads: a client belongs to the thread of its event base.
 * Ownership: everything in a struct capif_call may be let go of once
 * capif_client_send() has returned, except psk and arg.
 */
#ifndef CAPIF_CLIENT_H
#define CAPIF_CLIENT_H

#include "tls.h"

#include <event2/event.h>
#include <stdint.h>

struct capif_client;
struct capif_transfer;

/* Borrowed, and gone when the callback returns. */
struct capif_answer {
    int status;              /* HTTP status; 0: there is no answer */
    const char *error;       /* why, if status is 0 */
    bool timed_out, refused; /* if status is 0: what kind of failure */
    const uint8_t *body;
    size_t body_len;
    const char *content_type; /* NULL if the answer has none */
};

typedef void capif_answer_fn(const struct capif_answer *answer, void *arg);

/* Streaming: the answer's body goes here instead of into capif_answer. */
struct capif_stream {
    /* Once, before any data; fields by capif_transfer_header(). */
    void (*head)(struct capif_transfer *t, int status, void *arg);
    /* false: take no more until capif_transfer_resume(). */
    bool (*data)(struct capif_transfer *t, const uint8_t *data, size_t len,
                 void *arg);
};

#define CAPIF_LATER SIZE_MAX
#define CAPIF_ABORT (SIZE_MAX - 1)

/* Streaming: the request's body comes from here instead of capif_call. */
struct capif_upload {
    /*
     * Up to max octets; 0: that was all of it; CAPIF_LATER: there is nothing
     * now, capif_transfer_more() will be called; CAPIF_ABORT: give it up.
     */
    size_t (*read)(void *out, size_t max, void *arg);
    int64_t len; /* of all; -1: not known */
};

/* An external PSK of TLS 1.3 with SHA-256 (RFC 8446 4.2.11). */
struct capif_psk {
    const char *identity;
    const uint8_t *key; /* 32 octets */
};

struct capif_call {
    const char *method;
    const char *url;
    const char *address; /* "ADDRESS:PORT" to connect to; NULL: by DNS */
    const struct capif_credentials *cred; /* of TLS; NULL: none */
    const char *ca_file;         /* trust anchors in PEM; NULL: the system's */
    const struct capif_psk *psk; /* instead of cred and ca_file; or NULL */
    /* Called with the connection when the answer's header is there; or NULL. */
    void (*tls)(SSL *ssl, void *arg);
    const char *const *headers; /* "Name: value", ended by NULL; or NULL */
    const char *content_type;   /* of body; NULL: no body */
    const void *body;
    size_t body_len;
    long timeout_ms;   /* for all of it, or of a stream's silence;
                          connecting gets no more than 3 s of it */
    size_t answer_max; /* octets of the answer's body */
    const struct capif_stream *stream; /* or NULL */
    const struct capif_upload *upload; /* or NULL */
    capif_answer_fn *done; /* exactly once, never from within send */
    void *arg;
};

struct capif_client *capif_client_new(struct event_base *base);
/* Transfers under way end without a callback. */
void capif_client_free(struct capif_client *client);

/*
 * What is sent from now on goes over connections made from now on, since our
 * certificate or whom we trust has changed.
 */
void capif_client_renew(struct capif_client *client);

/* NULL if out of memory; done is not called then. */
struct capif_transfer *capif_client_send(struct capif_client *client,
                                         const struct capif_call *call);
/* End it; done is not called.  Not from within its own callbacks. */
void capif_transfer_cancel(struct capif_transfer *t);
void capif_transfer_resume(struct capif_transfer *t);
void capif_transfer_more(struct capif_transfer *t);
/* A field of the answer's header; NULL if absent; valid until the next. */
const char *capif_transfer_header(struct capif_transfer *t, const char *name);

#endif
