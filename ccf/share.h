/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf share: what a partner's CCF sees of this domain's service APIs, when it
 * asks (TS 23.222 8.25.2.3) and when it is told (8.25.2.1, 8.25.2.5 to 8).
 *
 * A partner that is to be told of APIs is told in the transaction in which
 * subscribers are told of the same events; of each API, the store knows what
 * that partner was told last.
 */
#ifndef CCF_SHARE_H
#define CCF_SHARE_H

#include "event.h"

/* A copy with the AEFs of a list alone; NULL if it has none of them. */
json_t *ccf_api_only_aefs(const json_t *api, const char *const *aefs);
/*
 * A copy as a partner may see it, with which these AEFs are agreed: it names
 * that partner alone (8.25.2.1).  NULL if it is not shared with it.
 */
json_t *ccf_api_for_partner(const json_t *api, const char *ccf_id,
                            const char *const *aefs);
/* Who provides it, so that the partner can filter by that; info may be NULL. */
void ccf_api_tell_provider(json_t *api, const char *group_id, const char *info);

/* An invoker is not told: that is between CCFs. */
void ccf_api_untell_provider(json_t *api);

/* In a transaction: tell partners what an event changes for them. */
enum capif_db_status ccf_share(struct ccf_store *s, const struct ccf_event *e);

#endif
