/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf store: service API invocations that AEFs log (TS 29.222 8.7), for the
 * AMF of their provider domain (8.8).  Entries stay when their API or AEF
 * goes.  An entry's time is its invocationTime, or else when it came.
 */
#ifndef CCF_STORE_LOG_H
#define CCF_STORE_LOG_H

#include "store.h"

#include <stdint.h>

#define CCF_LOGS_MAX     1000 /* entries in one request */
#define CCF_LOG_KEY_MAX  128  /* octets of an Idempotency-Key */
#define CCF_LOG_KEY_LIFE 86400

/* Its provider domain may get so much at once, whatever audit-max says. */
#define CCF_AUDIT_OCTETS ((size_t)2 * 1024 * 1024)
#define CCF_AUDIT_LOOK   100000 /* entries that an audit looks at */

struct ccf_log_batch {
    const struct ccf_member *by; /* the AEF, as ccf_store_member() gave it */
    const char *invoker_ccf;     /* the invoker's domain */
    const json_t *doc;           /* an InvocationLog, checked */
    const char *log_id;
    const char *key;    /* Idempotency-Key, or NULL */
    const char *digest; /* of what came with it */
};

/*
 * All entries of a batch, with the events that they are.  log_id gets that of
 * the batch, or of the one that came with the same key before: then nothing
 * else happens.  CCF_STORE_CONFLICT: that one was another; GONE: by is no
 * member with that certificate; NOT_FOUND: an API is another domain's.
 */
enum ccf_store_status ccf_store_log_add(struct ccf_store *s,
                                        const struct ccf_log_batch *batch,
                                        char log_id[CAPIF_ID_MAX + 1]);

/* Forget some of what came before that time, beginning with the oldest. */
void ccf_store_log_forget(struct ccf_store *s, time_t before);

/* What identifies an interface; empty: nothing, or in a query anything. */
struct ccf_log_iface {
    char address[CAPIF_CCF_ID_MAX + 16]; /* with its kind */
    char port[8];
    const char *prefix; /* borrowed */
};

/* iface may be NULL. */
void ccf_log_iface_read(const json_t *iface, struct ccf_log_iface *out);

/* NULL: any. */
struct ccf_log_query {
    const char *group_id; /* never NULL */
    const char *aef_id, *invoker_id, *invoker_ccf;
    const char *api_id, *api_name, *api_version;
    const char *protocol, *operation, *result, *resource;
    struct ccf_log_iface src, dst;
    int64_t from, until; /* microseconds since 1970, both included */
    size_t max;
    size_t look; /* at so many at most, in tens, where filters leave some out */
};

/*
 * The newest entries, at most max and CCF_AUDIT_OCTETS, of those that it may
 * look at; *truncated: there are more, or may be.  An array of
 * InvocationLogs, one for each AEF and invoker, newest first in each.  Those
 * of invokers of other domains than own name them.
 */
enum ccf_store_status ccf_store_log_find(struct ccf_store *s, const char *own,
                                         const struct ccf_log_query *q,
                                         json_t **logs, bool *truncated);

#endif
