/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What tests of events share: two provider domains and an invoker, what
 * happens to them, and what is owed for it.
 */
#ifndef STORE_HAPPEN_H
#define STORE_HAPPEN_H

#include "store_suite.h"

#include "event.h"

#include <stdint.h>

#define NOW   ((int64_t)time(NULL) * 1000)
#define AVAIL "SERVICE_API_AVAILABLE"

extern struct ccf_member aef, apf, amf, other_aef, other_apf, invoker;

/* New ones, whose ids begin with prefix. */
void happen_domains(struct ccf_store *s, const char *prefix);
/* A subscription of by, whose notifications go to https://ID.example/. */
enum ccf_store_status happen_subscribe(struct ccf_store *s,
                                       const struct ccf_member *by,
                                       const char *id, const char *was,
                                       const char *text);
void happen_subscribed(struct ccf_store *s, const struct ccf_member *by,
                       const char *id, const char *events, const char *more);
/* Something happens. */
void happen_event(struct ccf_store *s, const struct ccf_event *e);
void happen_publish(struct ccf_store *s, const struct ccf_member *by,
                    const struct ccf_member *at, const char *id,
                    const char *was, const char *more);
/* What couriers do until nothing is left to do. */
void happen_work(struct ccf_store *s, int64_t now);
/* Take what is owed to a subscription, a list of bodies without its id. */
json_t *happen_taken(struct ccf_store *s, const char *id);
void happen_told(struct ccf_store *s, const char *id, const char *text);

#endif
