/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf store: who is told of what goes from security contexts, for
 * store_revoke.c, and how far that has come.
 */
#ifndef CCF_STORE_TELL_H
#define CCF_STORE_TELL_H

#include "store_revoke.h"

/* A revocation under way, in a transaction. */
struct ccf_taking {
    struct ccf_store *s;
    const struct ccf_revocation *r;
    json_t *doc;  /* the context as it was, or NULL */
    json_t *gone; /* entries of it */
    json_t *kept;
    const json_t *anew; /* entries that partners have just been asked for */
    time_t at;          /* no token of before is good any more */
};

/*
 * Tell those who know of entry and have to know that it is gone: ids and
 * names are of the APIs that went with it at the same AEF.
 */
enum capif_db_status ccf_tell_taken(const struct ccf_taking *w,
                                    const json_t *entry, const json_t *ids,
                                    const json_t *names);

/* The partner alone, of an API at its AEF that it was asked for in vain. */
enum capif_db_status ccf_tell_partner(const struct ccf_taking *w,
                                      const json_t *entry);

/* Is that this CCF's domain? */
bool ccf_is_own(const struct ccf_store *s, const char *ccf_id);

#endif
