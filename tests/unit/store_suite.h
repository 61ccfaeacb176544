/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tests of ccf/store.h that run on each back end: test_store.c's own, and
 * those of the files below.
 */
#ifndef STORE_SUITE_H
#define STORE_SUITE_H

#include "soft.h"

#include "store.h"

#define CCF   "ccf.a.example"
#define OTHER "ccf.b.example"
#define LATER (time(NULL) + 1000)

/* A place that no store was opened at before; valid until the next call. */
const char *store_fresh(void);
/* What all tests of the suite share. */
extern const char *store_place;
extern bool store_on_server;

struct ccf_member store_member(enum capif_role role, const char *id);
enum ccf_store_status store_enrol(struct ccf_store *s, const char *jti,
                                  time_t exp, const char *group,
                                  const struct ccf_member *members, size_t n);
bool store_has_member(struct ccf_store *s, const struct ccf_member *m);

/* All of one invoker's context. */
enum ccf_store_status store_context_delete(struct ccf_store *s,
                                           const char *ccf_id,
                                           const char *invoker_id);

/* Nothing is owed any more: what one test gives rise to is not the next's. */
void store_drain(struct ccf_store *s);

/* A test's state: two handles of one store. */
struct stores {
    struct ccf_store *s, *second; /* two handles on the same place */
};

/* store_apis.c */
void store_api_is(struct ccf_store *s, const char *ccf, const char *id,
                  const char *text);
void test_apis(void **state);
void test_api_delete(void **state);
void test_api_replace(void **state);
void test_api_each(void **state);
void test_api_names(void **state);
void test_api_migration(void **state);

/* store_keys.c */
void test_spend(void **state);
void test_partner_keys(void **state);
void test_partner_keys_have_one_asker(void **state);

/* store_crls.c */
void test_crl_offboarded(void **state);
void test_crl_changed(void **state);
void test_crl_by_hand(void **state);
void test_crl_of_a_member(void **state);
void test_crl_is_set_once(void **state);
void test_crl_of_a_partner(void **state);
void test_psk_rewrap(void **state);

/* store_notices.c */
void test_notices_in_order(void **state);
void test_notices_have_one_bearer(void **state);
void test_notices_wait_after_failure(void **state);
void test_notices_lanes_are_shared(void **state);
void test_notices_of_the_public(void **state);

/* store_events.c */
void test_events_of_apis(void **state);
void test_events_of_hidden_apis(void **state);
void test_events_of_leaving(void **state);
void test_events_of_partners_apis(void **state);
void test_events_of_invokers(void **state);
void test_events_may_see(void **state);
void test_events_filters(void **state);
void test_subscription_limit(void **state);
void test_subscription_ends(void **state);
void test_subscription_changes(void **state);
void test_reports_periodic(void **state);
void test_reports_immediate(void **state);

/* store_policies.c */
void test_policy_names(void **state);
void test_policies(void **state);
void test_policy_refused(void **state);
void test_routing(void **state);
void test_policy_ends(void **state);
void test_policy_ends_with_aef(void **state);

/* store_revoke.c */
void test_revocation_of_one_aef(void **state);
void test_revocation_event(void **state);
void test_revocation_at_new_control_url(void **state);
void test_revocation_by_a_partner(void **state);
void test_revocation_of_all(void **state);
void test_revocation_of_what_is_dropped(void **state);
void test_revocations_in_one_second(void **state);
void test_revocation_of_what_a_partner_knows(void **state);
void test_revocation_of_what_was_in_vain(void **state);
void test_revocation_of_nothing(void **state);

/* store_share.c */
void test_share(void **state);
void test_share_of_others(void **state);

/* store_race.c */
void test_race_fanout(void **state);
void test_race_one_enrolment(void **state);
void test_race_many_enrolments(void **state);
void test_race_replace(void **state);
void test_race_offboard(void **state);
void test_race_open_threads(void **state);
void test_race_open_processes(void **state);

/* store_logs.c */
void test_logs(void **state);
void test_log_filters(void **state);
void test_log_limits(void **state);
void test_log_look(void **state);
void test_log_keys(void **state);
void test_log_refused(void **state);
void test_log_forget(void **state);
void test_log_events(void **state);

/* store_plan.c: the last one, of all statements that were run before it */
void test_plans(void **state);

#endif
