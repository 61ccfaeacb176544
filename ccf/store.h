/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf store: all that a CCF must not forget.
 *
 * Every function is one transaction: when it returns CCF_STORE_OK the change
 * is durable, otherwise nothing has changed.  Documents are JSON objects as
 * TS 29.222 has them.
 * Ownership: the caller frees documents it gets and keeps those it gives.
 * Threads: a struct ccf_store belongs to one; several may share a file.
 * Times are seconds since 1970.
 */
#ifndef CCF_STORE_H
#define CCF_STORE_H

#include "cert.h"
#include "crl.h"
#include "json.h"

#include <time.h>

#define CCF_VS "vendorSpecific-capif-hsm" /* TS 29.222 7.11 */

/* A member of an entry's or description's object of that name, or NULL. */
const char *ccf_vs_str(const json_t *obj, const char *name);

enum ccf_store_status {
    CCF_STORE_OK,
    CCF_STORE_NOT_FOUND,
    CCF_STORE_CONFLICT, /* exists already; an enrolment: used already */
    CCF_STORE_ERROR,    /* the store failed; logged */
    CCF_STORE_CHANGED,  /* somebody else was faster: read again */
    CCF_STORE_GONE,     /* who asks is no member with that certificate */
    CCF_STORE_FULL,     /* who asks has as many as anybody may have */
};

struct ccf_store;

/* Another domain's CCF, as far as the store has to tell it of changes. */
struct ccf_neighbour {
    const char *ccf_id, *url;
    const char *const *aefs; /* the agreement's */
    bool publish;            /* whether it is told of APIs */
};

#define CCF_NEIGHBOURS_MAX 16

struct ccf_domain {
    const char *ccf_id, *url; /* ours */
    struct ccf_neighbour list[CCF_NEIGHBOURS_MAX];
    size_t n;
};

/* Open, and bring the schema up to date; NULL and a log line if that fails. */
struct ccf_store *ccf_store_open(const char *where);
void ccf_store_close(struct ccf_store *s);
/* Whose store it is, borrowed from now on; NULL, as at first: tell nobody. */
void ccf_store_domain(struct ccf_store *s, const struct ccf_domain *domain);

/*
 * Notices that the next change gives rise to, whatever it is: they are added
 * in its transaction, if it commits.  Borrowed until then.
 */
struct ccf_notice;
void ccf_store_owe(struct ccf_store *s, const struct ccf_notice *notices,
                   size_t n);

/* An enrolment token (JWS by this CCF) is good for one use. */
struct ccf_enrolment {
    const char *jti;
    time_t exp; /* may be forgotten after this */
};

/* A member of this domain: an invoker, or a function of a provider. */
struct ccf_member {
    struct capif_identity who;
    char group_id[CAPIF_ID_MAX + 1]; /* onboardingId, or apiProvDomId */
    char thumbprint[44];             /* of its one valid certificate, or "" */
    /* The same certificate; serial "": as it is in the store. */
    char ca[CAPIF_CA_ID];
    char serial[CAPIF_SERIAL];
    time_t not_after;
};

/*
 * Use up the enrolment and add the members with the document of their
 * onboarding or registration, whose id group_id is.
 */
enum ccf_store_status ccf_store_enrol(struct ccf_store *s,
                                      const struct ccf_enrolment *enrolment,
                                      const char *group_id, const json_t *doc,
                                      const struct ccf_member *members,
                                      size_t n);
/*
 * Use up another token that is good for one use: CCF_STORE_CONFLICT if it was
 * used.  jti tells whose it is, too, so that it is no enrolment's.
 */
enum ccf_store_status ccf_store_spend(struct ccf_store *s, const char *jti,
                                      time_t exp);
enum ccf_store_status ccf_store_member(struct ccf_store *s,
                                       const struct capif_identity *who,
                                       struct ccf_member *out);
/* Remove an invoker and its security contexts. */
enum ccf_store_status ccf_store_offboard(struct ccf_store *s,
                                         const struct capif_identity *who,
                                         const char *onboarding_id);

/*
 * Changes that a member asks for (store_change.c).  by is who asks, as
 * ccf_store_member() gave it: CCF_STORE_GONE if it is that no more.  was is
 * the document that doc was made of: CCF_STORE_CHANGED if it is another now.
 */

/* The document of an onboarding or registration. */
enum ccf_store_status ccf_store_group_get(struct ccf_store *s,
                                          const char *group_id, json_t **doc);
/*
 * Of by's group: the document, and all the members that it has from now on;
 * CCF_STORE_CONFLICT if one of these is of another group.  With an APF go the
 * APIs that it published, with an AEF its profiles in the group's APIs, and
 * an API without any.
 */
enum ccf_store_status ccf_store_group_change(
    struct ccf_store *s, const struct ccf_member *by, const json_t *was,
    const json_t *doc, const struct ccf_member *members, size_t n);
/* Remove by's group with all members and what their APFs published. */
enum ccf_store_status ccf_store_group_remove(struct ccf_store *s,
                                             const struct ccf_member *by);
/* One of the APIs that an APF published. */
enum ccf_store_status ccf_store_api_of(struct ccf_store *s,
                                       const struct capif_identity *apf,
                                       const char *api_id, json_t **doc);
/*
 * An API of by, an APF; was is NULL for a new one.  CCF_STORE_CHANGED also if
 * one of its AEFs is not of by's group.
 */
enum ccf_store_status ccf_store_api_set(struct ccf_store *s,
                                        const struct ccf_member *by,
                                        const char *api_id, const json_t *was,
                                        const json_t *doc);

/*
 * Service APIs, by the CCF that they belong to (this one or a partner) and
 * apiId.  apf_id is NULL for a partner's.
 */
enum ccf_store_status ccf_store_api_put(struct ccf_store *s, const char *ccf_id,
                                        const char *api_id, const char *apf_id,
                                        const json_t *doc);
/*
 * ccf_id NULL: whichever has it, if only one has; the owner is in the
 * document's ccfId.
 */
enum ccf_store_status ccf_store_api_get(struct ccf_store *s, const char *ccf_id,
                                        const char *api_id, json_t **doc);
/* ccf_id or apf_id NULL: of any.  An array, empty if there are none. */
enum ccf_store_status ccf_store_api_list(struct ccf_store *s,
                                         const char *ccf_id, const char *apf_id,
                                         json_t **docs);
/* One API; the texts are gone when the function returns, as is the document. */
struct ccf_api_row {
    const char *ccf_id, *api_id;
    const char *group_id; /* the domain that published it; NULL: a partner's */
    json_t *doc;
};

/* Called for each; false: no more.  It may use the store. */
typedef bool ccf_api_fn(const struct ccf_api_row *row, void *arg);

/*
 * All APIs of that owner and name, NULL: any, in the order of ccfId and
 * apiId, read in pages: however many there are, few are in memory.
 */
enum ccf_store_status ccf_store_api_each(struct ccf_store *s,
                                         const char *ccf_id,
                                         const char *api_name, ccf_api_fn *fn,
                                         void *arg);
enum ccf_store_status ccf_store_api_delete(struct ccf_store *s,
                                           const char *ccf_id,
                                           const char *api_id,
                                           const char *apf_id);
/* Of a partner: descriptions to add or change, and apiIds that are gone. */
enum ccf_store_status ccf_store_api_merge(struct ccf_store *s,
                                          const char *ccf_id,
                                          const json_t *docs,
                                          const json_t *gone);
/* All that a partner offers, in place of what it offered before. */
enum ccf_store_status ccf_store_api_replace(struct ccf_store *s,
                                            const char *ccf_id,
                                            const json_t *docs);

/* Security contexts (ServiceSecurity), by invoker; expired ones are none. */
enum ccf_store_status ccf_store_context_put(struct ccf_store *s,
                                            const char *ccf_id,
                                            const char *invoker_id,
                                            time_t expires, const json_t *doc);
/* The same for an own invoker; CCF_STORE_NOT_FOUND if it was offboarded. */
enum ccf_store_status ccf_store_context_put_own(struct ccf_store *s,
                                                const char *ccf_id,
                                                const char *invoker_id,
                                                time_t expires,
                                                const json_t *doc);
enum ccf_store_status ccf_store_context_get(struct ccf_store *s,
                                            const char *ccf_id,
                                            const char *invoker_id,
                                            json_t **doc);

/*
 * PSKs by id, with what they are derived from: {"ccfId", "apiInvokerId",
 * "aefId", "interface", "key" (KEY, wrapped), "p1", "binding", "exp"}.
 * kek is the KEK that KEY is wrapped under, by capif_kek_id().
 * Expired ones are none, and forgotten when one is added.
 */
enum ccf_store_status ccf_store_psk_add(struct ccf_store *s, const char *psk_id,
                                        time_t expires, const char *kek,
                                        const json_t *doc);
enum ccf_store_status ccf_store_psk_get(struct ccf_store *s, const char *psk_id,
                                        json_t **doc);
/*
 * The first few under that KEK whose id is after that: an object, by id.
 * Empty: there are no more.
 */
enum ccf_store_status ccf_store_psk_under(struct ccf_store *s, const char *kek,
                                          const char *after, json_t **docs);
/* NOT_FOUND: it is not under the KEK was any more, or is gone. */
enum ccf_store_status ccf_store_psk_rewrap(struct ccf_store *s,
                                           const char *psk_id, const char *was,
                                           const char *kek, const json_t *doc);

#endif
