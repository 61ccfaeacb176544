/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf known: what is known of the APIs of partners, from their answers to
 * discoveries over CAPIF-6e.
 */
#ifndef CCF_KNOWN_H
#define CCF_KNOWN_H

#include "ccf.h"
#include "filter.h"

/*
 * Take over a DiscoveredAPIs of a partner: for what was asked for it says all
 * there is, unless it is cut short; what was not asked for stays as it is.
 * false: it is none.
 */
bool ccf_known_take(struct ccf_worker *w, const struct ccf_partner *partner,
                    const struct ccf_filter *asked, const char *question,
                    const struct capif_answer *a);

/*
 * Is it to be asked that?  Not if it answered the same, or all, less than
 * `partner-cache` seconds ago, or failed to.
 */
bool ccf_known_ask(const struct ccf_worker *w,
                   const struct ccf_partner *partner, const char *question);
void ccf_known_failed(struct ccf_worker *w, const struct ccf_partner *partner);

#endif
