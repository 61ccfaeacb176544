/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf store: taking back what security contexts grant (TS 29.222 5.6.2.5,
 * TS 23.222 8.23 and 8.25.3.8).
 *
 * What goes from a context takes along its PSKs, ends the access tokens that
 * were issued for it so far, and is told, in the same transaction, to the AEFs
 * or the partners' CCFs that it was for, to the invoker if that didn't ask for
 * it, and to those who have subscribed.
 */
#ifndef CCF_STORE_REVOKE_H
#define CCF_STORE_REVOKE_H

#include "store_tx.h"

/* NULL stands for any. */
struct ccf_revocation {
    const char *ccf_id, *invoker_id; /* whose; not NULL */
    const char *aef_ccf_id, *aef_id; /* at which AEFs */
    const json_t *api_ids;           /* of which APIs: an array */
    const char *cause;               /* NULL: UNEXPECTED_REASON */
    const char *from;  /* the partner it comes from, which knows already */
    bool tell_invoker; /* it was not its own wish */
};

/* NOT_FOUND: nothing of that is granted. */
enum ccf_store_status ccf_store_context_revoke(struct ccf_store *s,
                                               const struct ccf_revocation *r);

/*
 * A negotiation is refused that some partners had agreed to: taken are the
 * entries of these, or, without selSecurityMethod, what was asked of one that
 * may have.  They have it in place of what they had.  What is new is taken
 * back there; what they had and were not asked for again is gone.
 */
enum ccf_store_status ccf_store_context_undo(struct ccf_store *s,
                                             const char *ccf_id,
                                             const char *invoker_id,
                                             const json_t *taken);

/*
 * *at: access tokens of that invoker for an API at an own AEF that were issued
 * then or earlier are worth nothing; 0 if nothing was taken back in the time
 * that a token can live.
 */
enum ccf_store_status ccf_store_revoked_until(
    struct ccf_store *s, const struct capif_identity *invoker,
    const char *aef_id, const char *api_name, time_t *at);

/*
 * When a token or an envelope for that invoker is issued: now, or in the next
 * second if something was taken back in this one, which must not end it, too.
 */
enum ccf_store_status ccf_store_issue_time(struct ccf_store *s,
                                           const struct capif_identity *invoker,
                                           time_t *at);

/* *is: that partner has not been told yet what was taken back there. */
enum ccf_store_status ccf_store_revoke_waits(struct ccf_store *s,
                                             const char *partner,
                                             const char *invoker_id, bool *is);

/* ---- in transactions of others ---- */

/* The invoker goes. */
enum capif_db_status ccf_revoke_all(struct ccf_store *s, const char *ccf_id,
                                    const char *invoker_id);
/* A context is to be doc now: APIs at AEFs that aren't in it any more. */
enum capif_db_status ccf_revoke_dropped(struct ccf_store *s, const char *ccf_id,
                                        const char *invoker_id,
                                        const json_t *doc);

#endif
