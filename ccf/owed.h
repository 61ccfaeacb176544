/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf owed: notifications that a change gives rise to, for ccf_store_owe().
 */
#ifndef CCF_OWED_H
#define CCF_OWED_H

#include "notice.h"

#define CCF_OWED_MAX 2

struct ccf_owed {
    struct ccf_notice notices[CCF_OWED_MAX];
    json_t *bodies[CCF_OWED_MAX];
    size_t n;
};

/*
 * A notification to doc's notificationDestination, which is borrowed; takes
 * over body.
 */
void ccf_owe(struct ccf_owed *owed, const json_t *doc, json_t *body);
/* TestNotification of TS 29.122, about the resource at that URI. */
void ccf_owe_test(struct ccf_owed *owed, const json_t *doc,
                  const char *resource);
/* To be called after what was to give rise to them, made or not. */
void ccf_owed_clear(struct ccf_store *s, struct ccf_owed *owed);

#endif
