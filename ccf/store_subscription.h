/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf subscriptions to events, by their owner.  They end with it, at their
 * monDur, and with the last report that was asked for.
 */
#ifndef CCF_STORE_SUBSCRIPTION_H
#define CCF_STORE_SUBSCRIPTION_H

#include "store.h"

#define CCF_SUBSCRIPTIONS_MAX 64 /* of one subscriber */

enum ccf_store_status ccf_store_subscription_get(
    struct ccf_store *s, const struct capif_identity *owner, const char *id,
    json_t **doc);
/*
 * A checked EventSubscription of by; was is NULL for a new one, and else as
 * for ccf_store_group_change().  Another eventReq begins anew to count.
 * CCF_STORE_FULL: by has CCF_SUBSCRIPTIONS_MAX already.
 */
enum ccf_store_status ccf_store_subscription_set(struct ccf_store *s,
                                                 const struct ccf_member *by,
                                                 const char *id,
                                                 const json_t *was,
                                                 const json_t *doc);
enum ccf_store_status ccf_store_subscription_delete(
    struct ccf_store *s, const struct capif_identity *owner, const char *id);

#endif
