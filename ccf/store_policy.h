/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf store, who may use an API of this domain, and at which AEF: access
 * control policies (TS 29.222 8.6) and topology hiding (8.10).
 *
 * Both are of an API and one of its AEFs, are changed by an AMF of the
 * provider domain that published the API, and go when the API or its profile
 * of that AEF goes.
 */
#ifndef CCF_STORE_POLICY_H
#define CCF_STORE_POLICY_H

#include "event.h"
#include "store_tx.h"

/* apiInvokerId in a policy: of an own invoker, or of a partner's with it. */
struct ccf_policy_name {
    char ccf_id[CAPIF_CCF_ID_MAX + 1];
    char invoker_id[CAPIF_ID_MAX + 1];
};

/* own is the ccfId of those that are named without; false: malformed. */
bool ccf_policy_name_read(const char *text, const char *own,
                          struct ccf_policy_name *out);

/*
 * An AccessControlPolicyList, with the member othersDenied of CCF_VS, which
 * must be checked; in place of the one before.  *created: there was none.
 * CCF_STORE_NOT_FOUND: by's domain has no such API at that AEF, or (delete)
 * no policy.
 */
enum ccf_store_status ccf_store_policy_put(struct ccf_store *s,
                                           const struct ccf_member *by,
                                           const char *api_id,
                                           const char *aef_id,
                                           const json_t *list, bool *created);
/* only NULL: of all invokers; else the list has that one's entry, or none. */
enum ccf_store_status ccf_store_policy_get(struct ccf_store *s,
                                           const char *api_id,
                                           const char *aef_id,
                                           const struct ccf_policy_name *only,
                                           json_t **list);
enum ccf_store_status ccf_store_policy_delete(struct ccf_store *s,
                                              const struct ccf_member *by,
                                              const char *api_id,
                                              const char *aef_id);

/* A RoutingInfo; aef_id is the entry point. */
enum ccf_store_status ccf_store_routing_put(struct ccf_store *s,
                                            const struct ccf_member *by,
                                            const char *api_id,
                                            const char *aef_id,
                                            const json_t *info, bool *created);
enum ccf_store_status ccf_store_routing_get(struct ccf_store *s,
                                            const char *api_id,
                                            const char *aef_id, json_t **info);
enum ccf_store_status ccf_store_routing_delete(struct ccf_store *s,
                                               const struct ccf_member *by,
                                               const char *api_id,
                                               const char *aef_id);

/* What stands between somebody and an API of this domain: sets of AEF ids. */
struct ccf_guard {
    json_t *denied; /* there he has no access */
    json_t *entry;  /* if not empty, only these are to be seen */
};

/* invoker_id NULL: a partner's CCF, which is denied what all of its are. */
enum ccf_store_status ccf_store_guard(struct ccf_store *s, const char *api_id,
                                      const char *ccf_id,
                                      const char *invoker_id,
                                      struct ccf_guard *out);
/* An API name at an AEF of domain own, and an invoker who would use it. */
struct ccf_use {
    const char *own, *ccf_id, *invoker_id, *aef_id, *api_name;
};

/* *is: a policy of any API of that name at that AEF denies it to him. */
enum ccf_store_status ccf_store_denied_by_name(struct ccf_store *s,
                                               const struct ccf_use *use,
                                               bool *is);
void ccf_guard_clear(struct ccf_guard *guard);
/* Take out what it leaves nothing of; false if no profile stays. */
bool ccf_guard_keep(const struct ccf_guard *guard, json_t *api);

/* ---- in transactions ---- */

/* Whatever is of that API and AEF goes, and that is noted; or NOT_FOUND. */
enum capif_db_status ccf_policy_drop(struct ccf_store *s, const char *api_id,
                                     const char *aef_id, const char *group_id);
enum capif_db_status ccf_routing_drop(struct ccf_store *s, const char *api_id,
                                      const char *aef_id, const char *group_id);
/* Has the API a profile of that AEF?  NULL has none. */
bool ccf_api_serves(const json_t *api, const char *aef_id);
/* Is it active there?  It is where no apiStatus says otherwise (8.2.4.2.2). */
bool ccf_api_is_active(const json_t *api, const char *aef_id);
/* Take out the profiles where it isn't; false if none is left. */
bool ccf_api_keep_active(json_t *api);
/* ccf_store_guard() for a partner. */
enum capif_db_status ccf_guard_partner(struct ccf_store *s, const char *api_id,
                                       const char *ccf_id,
                                       struct ccf_guard *out);
/*
 * Profiles were taken out: take their AEFs out of apiStatus, too; false if no
 * profile is left.
 */
bool ccf_api_tidy(json_t *api);
/*
 * What an own invoker may know of an event of an API: of its description, the
 * profiles that it would discover.  *detail is a new document, JSON's null
 * where the event has none, and NULL if it must not know of it.
 */
enum capif_db_status ccf_policy_shown(struct ccf_store *s,
                                      const struct ccf_event *e,
                                      const char *invoker_id, json_t **detail);

/*
 * An API has changed: the policies of what it has left go.  Of one that is
 * gone they stay, since they say who may be told so, until
 * ccf_policy_end(), when all have been: SERVICE_API_UNAVAILABLE is of APIs that
 * are deleted, and of no others.
 */
enum capif_db_status ccf_policy_tidy(struct ccf_store *s, const char *ccf_id,
                                     const char *api_id);
enum capif_db_status ccf_policy_end(struct ccf_store *s, const char *api_id);
/* The same of all APIs of a provider domain whose AEFs have changed. */
enum capif_db_status ccf_policy_tidy_group(struct ccf_store *s,
                                           const char *ccf_id,
                                           const char *group_id);
/* An invoker is gone. */
enum capif_db_status ccf_policy_forget(struct ccf_store *s,
                                       const struct capif_identity *invoker);

#endif
