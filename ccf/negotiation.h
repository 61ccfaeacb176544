/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf negotiation: one request for a security context, from who asks
 * (security.c) to what comes of it (conclude.c).
 */
#ifndef CCF_NEGOTIATION_H
#define CCF_NEGOTIATION_H

#include "ccf.h"

/* One negotiation, for as long as partners are being asked. */
struct negotiation {
    struct capif_req *req;
    struct ccf_worker *w;
    json_t *doc; /* the request; the wishes borrow from it */
    struct ccf_wish wishes[CCF_APIS_MAX];
    json_t *entries[CCF_APIS_MAX]; /* of the answer, as they come */
    bool took[CCF_APIS_MAX];       /* a partner has it, or may have */
    size_t n, pending;
    char ccf_id[CAPIF_CCF_ID_MAX + 1]; /* the invoker */
    char invoker_id[CAPIF_ID_MAX + 1];
    struct capif_session_kept kept; /* a copy: the peer may go away */
    bool test;                      /* a test notification is to be sent */
    int success;                    /* the status of a good answer */
    struct ccf_refusal no;          /* the first; status 0: none yet */
    unsigned waits;                 /* for a partner to be told */
    time_t told;                    /* by when it has been; 0: not yet */
};

void ccf_negotiation_free(struct negotiation *neg);
/* It is refused; the first reason counts. */
void ccf_negotiation_note(struct negotiation *neg,
                          const struct ccf_refusal *no);
/* Step 7, all is known: answers, and frees it. */
void ccf_negotiation_conclude(struct negotiation *neg);

#endif
