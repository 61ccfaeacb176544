/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ccf report: what subscribers are told, at once or when their time comes
 * (ReportingInformation of TS 29.508).  All within a transaction, but for
 * ccf_reports_due().
 */
#ifndef CCF_REPORT_H
#define CCF_REPORT_H

#include "event_rules.h"

#include <stdint.h>

/* A subscription, as a statement that begins with this gives it. */
#define CCF_SUB_COLUMNS                                       \
    "s.id, s.ccf_id, s.role, s.owner, s.group_id, s.expires," \
    " s.period, s.reports, s.seen, s.doc"
struct ccf_sub_row {
    char id[CAPIF_ID_MAX + 1], ccf_id[CAPIF_CCF_ID_MAX + 1], role[16];
    char owner[CAPIF_ID_MAX + 1], group_id[CAPIF_ID_MAX + 1];
    int64_t expires, period;
    int64_t reports; /* how many are left; 0: no limit */
    char *seen;      /* "SEQ-SEQ,...": events older than the subscription */
    json_t *doc;     /* NULL: none, or it is damaged */
};

void ccf_sub_read(const char *const *columns, struct ccf_sub_row *row);
void ccf_sub_clear(struct ccf_sub_row *row);
struct ccf_subscriber ccf_sub_who(const struct ccf_sub_row *row);

/* Owe one EventNotification; detail may be NULL. */
enum capif_db_status ccf_report_send(struct ccf_store *s,
                                     const struct ccf_sub_row *sub,
                                     const char *name, const json_t *detail);
/* One report has been made, which may have been the last. */
enum capif_db_status ccf_report_count(struct ccf_store *s,
                                      struct ccf_sub_row *sub);
/* An event for a subscription: report it, or hold it until it is time. */
enum capif_db_status ccf_report_event(struct ccf_store *s,
                                      struct ccf_sub_row *sub,
                                      const struct ccf_event *e);

/*
 * Do for one subscription whose time has come what is to be done: report what
 * is held, a page of it at a time, or end it.  NOT_FOUND: there is none.
 */
enum ccf_store_status ccf_reports_due(struct ccf_store *s, int64_t now);
/*
 * Turn a page of what has happened into what is owed.  NOT_FOUND: nothing
 * has happened.
 */
enum ccf_store_status ccf_fanout(struct ccf_store *s, int64_t now);

#endif
