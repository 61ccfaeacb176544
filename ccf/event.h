/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf event: what happened, for those who have subscribed (TS 29.222 8.3).
 *
 * An event is noted in the transaction that makes the change, so that there
 * is one exactly if there is the other; who is told is found out later, in
 * the background.
 */
#ifndef CCF_EVENT_H
#define CCF_EVENT_H

#include "store_tx.h"

/* All but name may be NULL. */
struct ccf_event {
    const char *name;                         /* a CAPIFEvent, 8.3.4.3.3 */
    const char *api_id, *invoker_id, *aef_id; /* for filters */
    const char *group_id; /* the provider domain that it concerns */
    const json_t *detail; /* CAPIFEventDetail */
};

/* What an invoker is called in events and policies, and its NUL. */
#define CCF_INVOKER_NAME (CAPIF_CCF_ID_MAX + CAPIF_ID_MAX + 2)

/*
 * An own invoker's id, and ccfId/id of a partner's, which chooses its ids as
 * it likes.  Returns out.
 */
const char *ccf_invoker_name(const char *own, const char *ccf_id,
                             const char *id, char out[CCF_INVOKER_NAME]);

/* In a transaction. */
enum capif_db_status ccf_event_add(struct ccf_store *s,
                                   const struct ccf_event *event);
/* The same of what concerns one invoker; of other members there is none. */
enum capif_db_status ccf_event_invoker(struct ccf_store *s, const char *name,
                                       const struct capif_identity *who);
/* The same of a service API; group_id is NULL for a partner's. */
enum capif_db_status ccf_event_api(struct ccf_store *s, const char *name,
                                   const char *api_id, const char *group_id,
                                   const json_t *doc);

#endif
