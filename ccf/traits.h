/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf traits: what an AEF profile says of where the AEF is, how well it
 * serves and which UEs it is for (TS 29.222 8.2.4.2.4, AefLocation,
 * ServiceKpis and IpAddrRange), and what invokers want of these.
 */
#ifndef CCF_TRAITS_H
#define CCF_TRAITS_H

#include "json.h"

/* Complain about whatever is wrong in a place that holds one of them. */
void ccf_location_check(const struct capif_at *at);
void ccf_kpis_check(const struct capif_at *at);
void ccf_ue_range_check(const struct capif_at *at);
/* IpAddrInfo (8.1.4.2.3): exactly one address. */
void ccf_ue_check(const struct capif_at *at);
/* A member array of ranges, each {start, end} of one family. */
void ccf_ranges_check(const struct capif_at *at, const char *name, int family,
                      bool required);

/*
 * Does what a profile has suit what is wanted?  Both must be checked; has may
 * be NULL, which suits nobody who wants something.
 */
bool ccf_location_suits(const json_t *has, const json_t *wanted);
bool ccf_kpis_suit(const json_t *has, const json_t *wanted);
bool ccf_ue_suits(const json_t *range, const json_t *ue);

#endif
