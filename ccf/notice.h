/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf notice: requests that this CCF owes to others, and does not forget.
 *
 * A notice is written in the transaction that gives rise to it, and delivered
 * by the courier (courier.c) of whichever ccfd holds its lane: one after the
 * other in each lane, again and again until it is answered or too old.  It
 * may arrive twice, if who sent it died before it noted the answer; its
 * Idempotency-Key tells.
 * Times are milliseconds since 1970.
 */
#ifndef CCF_NOTICE_H
#define CCF_NOTICE_H

#include "store_tx.h"

#include <stdint.h>

/* Whose certificate the destination must have; else a partner's ccfId. */
#define CCF_TRUST_OWN    "own"    /* one of this domain, as an AEF */
#define CCF_TRUST_PUBLIC "public" /* [ccf] notification-ca, or the system's */

#define CCF_NOTICE_SECONDS 86400 /* older ones are given up */

struct ccf_notice {
    const char *lane;   /* NULL: url is one */
    const char *method; /* NULL: POST */
    const char *url;    /* https:// */
    const char *trust;
    const json_t *body; /* NULL: none */
};

/* In a transaction. */
enum capif_db_status ccf_notice_add(struct ccf_store *s,
                                    const struct ccf_notice *notice);
/* One of its own. */
enum ccf_store_status ccf_store_notice_add(struct ccf_store *s,
                                           const struct ccf_notice *notice);

/* ---- for the courier ---- */

/* The first of a lane; free with ccf_notice_clear(). */
struct ccf_notice_row {
    char seq[24];
    char id[CAPIF_ID_MAX + 1]; /* Idempotency-Key */
    char *method, *url, *trust;
    char *text; /* the body, or NULL */
    int64_t expires;
    unsigned tries; /* of this lane, since its last success */
};

void ccf_notice_clear(struct ccf_notice_row *row);

/*
 * Take lanes that are due and that nobody holds, until that time: at most
 * max, of which at most max_public lead to URLs of the public's, the longest
 * overdue first.  Fills lanes, whose texts the caller frees.
 */
enum ccf_store_status ccf_lanes_take(struct ccf_store *s, const char *owner,
                                     int64_t now, int64_t until, char **lanes,
                                     size_t max, size_t max_public, size_t *n);
/* NOT_FOUND: the lane is empty, and gone. */
enum ccf_store_status ccf_lane_next(struct ccf_store *s, const char *owner,
                                    const char *lane,
                                    struct ccf_notice_row *out);
/*
 * It is done with: forget it.  until, if not 0, holds the lane longer, and
 * ends its tries.  NOT_FOUND: somebody else holds it now.
 */
enum ccf_store_status ccf_lane_done(struct ccf_store *s, const char *owner,
                                    const char *lane, const char *seq,
                                    int64_t until);
/* It failed: leave the lane to whoever comes first from due on. */
enum ccf_store_status ccf_lane_failed(struct ccf_store *s, const char *owner,
                                      const char *lane, int64_t due);

#endif
