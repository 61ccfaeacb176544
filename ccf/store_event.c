/* SPDX-License-Identifier: Apache-2.0 */
#include "event.h"

#include <stdlib.h>

enum ccf_db_status ccf_event_add(struct ccf_store *s,
                                 const struct ccf_event *event)
{
    char *doc =
        event->detail != NULL ? json_dumps(event->detail, JSON_COMPACT) : NULL;
    enum ccf_db_status st = CCF_DB_ERROR;

    if (doc != NULL || event->detail == NULL)
        st = ccf_run(s,
                     "INSERT INTO event (name, api_id, invoker_id, aef_id,"
                     " group_id, doc) VALUES ($1, $2, $3, $4, $5, $6)",
                     ARGS(event->name, event->api_id, event->invoker_id,
                          event->aef_id, event->group_id, doc));
    free(doc);
    return st;
}
