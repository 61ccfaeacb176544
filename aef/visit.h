/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aef visit: a call from when it is known whose it is; and what is told to the
 * CCF, of calls and of the APIs themselves.
 *
 * Threads: journals belong to workers, the reporter and the publisher to the
 * one in the background; routes have a lock of their own.
 */
#ifndef AEF_VISIT_H
#define AEF_VISIT_H

#include "aef.h"

/* A call by an invoker that has proved who it is. */
struct aef_visit {
    struct capif_identity who;
    const struct aef_api *api;
    const struct aef_resource *resource;
    char api_id[CAPIF_ID_MAX + 1]; /* "": the entry point reports it */
    const char *method;            /* "OAUTH", ... */
    char peer[64];
    struct timespec at, begun; /* CLOCK_REALTIME, CLOCK_MONOTONIC */
};

/* ---- recorded (journal.c) ---- */

#define AEF_JOURNAL_NAME_MAX 64
#define AEF_JOURNAL_LINES    500          /* in a file, and one request */
#define AEF_JOURNAL_OCTETS   (512 * 1024) /* the same */
#define AEF_URI_MAX          1024

/* Milliseconds since then, by CLOCK_MONOTONIC. */
long aef_ms_since(const struct timespec *then);

/*
 * Take a directory, made if need be, for this process alone: a descriptor to
 * be kept open; -1, and errno.
 */
int aef_journal_claim(const char *dir);
struct aef_journal *aef_journal_new(const char *dir);
void aef_journal_free(struct aef_journal *j);
/* Can a line be written?  If not, no call should pass. */
bool aef_journal_ready(struct aef_journal *j);
/*
 * What became of a call, before it is answered; false: that could not be
 * kept, so it must not be answered like that.
 */
bool aef_journal_add(struct aef_journal *j, const struct capif_req *req,
                     const struct aef_visit *visit, int status);
/* Hand on what has been written for so long. */
void aef_journal_turn(struct aef_journal *j, time_t seconds);

/* ---- passed on, or not (pass.c) ---- */

/* A call that may pass: to the API's backend; it is answered then, or later. */
void aef_pass_on(struct aef_worker *w, struct capif_req *req,
                 const struct aef_visit *visit);
/* One that may not, though it is known whose it is. */
void aef_refuse(struct aef_worker *w, struct capif_req *req,
                const struct aef_visit *visit, int status, const char *cause,
                const char *detail);
void aef_reply_unkept(struct capif_req *req);

/* ---- an API that lives on other AEFs (route.c) ---- */

/* Exactly once; url NULL: nowhere, or it can't be told.  Borrowed. */
typedef void aef_route_fn(const char *url, void *arg);

struct aef_routes *aef_routes_new(void);
void aef_routes_free(struct aef_routes *r);
/*
 * Where the API of a call is, instead of at a backend: https://host:port and
 * its prefix there.  fn may be called before this returns.
 */
void aef_route_get(struct aef_worker *w, const struct aef_visit *visit,
                   aef_route_fn *fn, void *arg);

/* ---- handed over to the CCF (report.c) ---- */

/* Is it no use to send that again? */
bool aef_status_final(int status);

/* What is in the directory, and what comes to be. */
struct aef_reporter *aef_reporter_new(struct aef *aef, struct event_base *base,
                                      struct capif_client *client);
void aef_reporter_free(struct aef_reporter *r);

/* ---- publishing (publish.c) ---- */

/* Publish what there is to publish; there may be nothing. */
struct aef_publisher *aef_publisher_new(struct aef *aef,
                                        struct event_base *base);
void aef_publisher_free(struct aef_publisher *p);

#endif
