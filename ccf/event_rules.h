/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf event rules: who is told of an event, and what.
 */
#ifndef CCF_EVENT_RULES_H
#define CCF_EVENT_RULES_H

#include "event.h"

/* Bits of a subscription's supportedFeatures (TS 29.222 8.3.6). */
#define CCF_EVENTS_TEST     1u /* feature 1, Notification_test_event */
#define CCF_EVENTS_ENHANCED 4u /* feature 3, Enhanced_event_report */

/* Who has subscribed; doc is the EventSubscription. */
struct ccf_subscriber {
    const char *role, *id, *group_id;
    const json_t *doc;
};

/*
 * What of its detail the subscriber may know, a new reference, and JSON's null
 * where it has none; NULL: he must not know of it at all.  In a transaction.
 * Nobody is told of an event of which this says nothing.
 */
enum capif_db_status ccf_event_shown(struct ccf_store *s,
                                     const struct ccf_event *e,
                                     const struct ccf_subscriber *who,
                                     json_t **shown);
/* Is it subscribed to, and let pass by the event's filter? */
bool ccf_event_matches(const struct ccf_event *e, const json_t *doc);
/*
 * CAPIFEventDetail as TS 29.222 8.3.4.3.3 has it for the event, a new
 * document; identities alone if it is not enhanced.  NULL: nothing to tell.
 */
json_t *ccf_event_detail(const struct ccf_event *e, bool enhanced);
/* Was a feature negotiated for a subscription? */
bool ccf_events_has(const json_t *doc, unsigned feature);

#endif
