/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf store, of revocation: which of this CCF's certificates are revoked, its
 * CRLs as they were last signed, and the partners' as they were last fetched.
 *
 * A row of a CRL counts the changes of what it is to list; what revokes does
 * that in its own transaction, so that no CRL is taken for newer than it is.
 */
#ifndef CCF_STORE_CRL_H
#define CCF_STORE_CRL_H

#include "store_tx.h"

#include <stdint.h>

/* How long a CRL is good for; half of that it is given out as it is. */
#define CCF_CRL_SECONDS 86400

/* Free with ccf_crl_clear(). */
struct ccf_crl {
    int64_t changes, built; /* of what it lists: now, and when signed */
    int64_t number;
    int64_t fresh, until; /* to be made anew then; nextUpdate */
    char *der;            /* in base64url; "": there is none yet */
};

void ccf_crl_clear(struct ccf_crl *crl);

/* ---- in a transaction ---- */

/*
 * The certificates of a group's members, or only of those that have lost
 * theirs (thumbprint ""), before the members are deleted.
 */
enum capif_db_status ccf_revoke_group(struct ccf_store *s, const char *ccf_id,
                                      const char *group_id, bool only_lost);
/* What m has in the store, if it is to have another now. */
enum capif_db_status ccf_revoke_former(struct ccf_store *s,
                                       const struct ccf_member *m,
                                       const char *group_id);

/* ---- transactions of their own ---- */

/* One more certificate, once; NOT_FOUND: it was revoked before. */
enum ccf_store_status ccf_store_revoke(struct ccf_store *s, const char *ccf_id,
                                       const char *ca, const char *serial,
                                       time_t not_after);
enum ccf_store_status ccf_store_crl_get(struct ccf_store *s, const char *ccf_id,
                                        const char *ca, struct ccf_crl *out);
/* Its number alone, which a partner never gives to two; 0: there is none. */
enum ccf_store_status ccf_store_crl_number(struct ccf_store *s,
                                           const char *ccf_id, const char *ca,
                                           int64_t *number);
/* The same, made if it isn't there, and what it is to list: [serial, at]. */
enum ccf_store_status ccf_store_crl_begin(struct ccf_store *s,
                                          const char *ccf_id, const char *ca,
                                          struct ccf_crl *out, json_t **list);
/* NOT_FOUND: it is not as it was in ccf_store_crl_begin(). */
enum ccf_store_status ccf_store_crl_end(struct ccf_store *s, const char *ccf_id,
                                        const char *ca,
                                        const struct ccf_crl *was,
                                        const struct ccf_crl *now);
/* A partner's; NOT_FOUND: there is one of this number or a greater one. */
enum ccf_store_status ccf_store_crl_put(struct ccf_store *s, const char *ccf_id,
                                        const char *ca,
                                        const struct ccf_crl *crl);

#endif
