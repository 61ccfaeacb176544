/* SPDX-License-Identifier: Apache-2.0 */
#include "event.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *ccf_invoker_name(const char *own, const char *ccf_id,
                             const char *id, char out[CCF_INVOKER_NAME])
{
    bool ours = strcmp(own, ccf_id) == 0;

    snprintf(out, CCF_INVOKER_NAME, "%s%s%s", ours ? "" : ccf_id,
             ours ? "" : "/", id);
    return out;
}

enum capif_db_status ccf_event_add(struct ccf_store *s,
                                   const struct ccf_event *event)
{
    char *doc =
        event->detail != NULL ? json_dumps(event->detail, JSON_COMPACT) : NULL;
    enum capif_db_status st = CAPIF_DB_ERROR;

    if (doc != NULL || event->detail == NULL)
        st = ccf_run(s,
                     "INSERT INTO event (name, api_id, invoker_id, aef_id,"
                     " group_id, doc) VALUES ($1, $2, $3, $4, $5, $6)",
                     ARGS(event->name, event->api_id, event->invoker_id,
                          event->aef_id, event->group_id, doc));
    free(doc);
    return st;
}

enum capif_db_status ccf_event_invoker(struct ccf_store *s, const char *name,
                                       const struct capif_identity *who)
{
    const struct ccf_event e = { .name = name, .invoker_id = who->id };

    return who->role == CAPIF_INVOKER ? ccf_event_add(s, &e) : CAPIF_DB_OK;
}

/* The description is for filters, too, so it goes with each. */
enum capif_db_status ccf_event_api(struct ccf_store *s, const char *name,
                                   const char *api_id, const char *group_id,
                                   const json_t *doc)
{
    json_t *detail = json_pack("{s:[O]}", "serviceAPIDescriptions",
                               (json_t *)(uintptr_t)doc);
    const struct ccf_event e = {
        .name = name, .api_id = api_id, .group_id = group_id, .detail = detail
    };
    enum capif_db_status st =
        detail != NULL ? ccf_event_add(s, &e) : CAPIF_DB_ERROR;

    json_decref(detail);
    return st;
}
