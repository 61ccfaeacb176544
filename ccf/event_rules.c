/* SPDX-License-Identifier: Apache-2.0 */
#include "event_rules.h"

#include "store_policy.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define API_IDS     1u
#define INVOKER_IDS 2u

/* What a kind of event is about, which says who may know of it. */
enum subject {
    AN_API,     /* its provider domain, and invokers that may see it */
    AN_INVOKER, /* all providers, and itself */
    ITS_USE,    /* of an API by an invoker: the API's domain, and itself */
    INTERNAL,   /* the domain alone */
};

static const struct kind {
    const char *name;
    enum subject subject;
    unsigned ids;     /* identities, which are told to everybody */
    unsigned ids_too; /* those that there are beside more */
    const char *more; /* with Enhanced_event_report */
} kinds[] = {
    { "SERVICE_API_AVAILABLE", AN_API, API_IDS, API_IDS,
      "serviceAPIDescriptions" },
    { "SERVICE_API_UPDATE", AN_API, API_IDS, 0, "serviceAPIDescriptions" },
    { "SERVICE_API_UNAVAILABLE", AN_API, API_IDS, 0, NULL },
    { "API_INVOKER_ONBOARDED", AN_INVOKER, INVOKER_IDS, 0, NULL },
    { "API_INVOKER_UPDATED", AN_INVOKER, INVOKER_IDS, 0, NULL },
    { "API_INVOKER_OFFBOARDED", AN_INVOKER, INVOKER_IDS, 0, NULL },
    { "API_INVOKER_AUTHORIZATION_REVOKED", ITS_USE, API_IDS | INVOKER_IDS, 0,
      NULL },
    { "SERVICE_API_INVOCATION_SUCCESS", ITS_USE, API_IDS | INVOKER_IDS, 0,
      "invocationLogs" },
    { "SERVICE_API_INVOCATION_FAILURE", ITS_USE, API_IDS | INVOKER_IDS, 0,
      "invocationLogs" },
    { "ACCESS_CONTROL_POLICY_UPDATE", INTERNAL, API_IDS, 0, "accCtrlPolList" },
    { "ACCESS_CONTROL_POLICY_UNAVAILABLE", INTERNAL, API_IDS, 0, NULL },
    { "API_TOPOLOGY_HIDING_CREATED", INTERNAL, API_IDS, 0, "apiTopoHide" },
    { "API_TOPOLOGY_HIDING_REVOKED", INTERNAL, API_IDS, 0, "apiTopoHide" },
};

static const struct kind *kind_of(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

/* ---- who ---- */

/* Of one that has none, it is null: there is nothing to hide. */
static json_t *detail_of(const struct ccf_event *e)
{
    return e->detail != NULL ? json_incref((json_t *)(uintptr_t)e->detail)
                             : json_null();
}

/*
 * Providers know of the invokers of their CCF; of all else only what is of
 * their own provider domain, and an AEF, where it is about one, of itself.
 */
static bool provider_may(const struct kind *kind, const struct ccf_event *e,
                         const struct ccf_subscriber *who)
{
    if (e->aef_id != NULL && strcmp(who->role, "aef") == 0
        && !capif_same(e->aef_id, who->id))
        return false;
    return capif_same(e->group_id, who->group_id)
           || (kind->subject == AN_INVOKER && e->group_id == NULL);
}

/* An invoker: of APIs what it would discover, of all else what is its own. */
static enum capif_db_status invoker_shown(struct ccf_store *s,
                                          const struct kind *kind,
                                          const struct ccf_event *e,
                                          const char *id, json_t **shown)
{
    switch (kind->subject) {
    case AN_API:
        return ccf_policy_shown(s, e, id, shown);
    case AN_INVOKER:
    case ITS_USE:
        if (capif_same(e->invoker_id, id))
            *shown = detail_of(e);
        break;
    case INTERNAL:
        break;
    }
    return CAPIF_DB_OK;
}

enum capif_db_status ccf_event_shown(struct ccf_store *s,
                                     const struct ccf_event *e,
                                     const struct ccf_subscriber *who,
                                     json_t **shown)
{
    const struct kind *kind = kind_of(e->name);

    *shown = NULL;
    if (kind == NULL)
        return CAPIF_DB_OK;
    if (strcmp(who->role, "invoker") == 0)
        return invoker_shown(s, kind, e, who->id, shown);
    if (provider_may(kind, e, who))
        *shown = detail_of(e);
    return CAPIF_DB_OK;
}

/* ---- which ---- */

/* No list lets everything pass; id is the event's, or any of ids. */
static bool pass(const json_t *wanted, const char *id, const json_t *ids)
{
    const json_t *v;
    size_t i;

    if (wanted == NULL || capif_array_has(wanted, id))
        return true;
    json_array_foreach(ids, i, v)
    {
        if (capif_array_has(wanted, json_string_value(v)))
            return true;
    }
    return false;
}

/* An API is served by any number of AEFs. */
static bool aef_pass(const json_t *wanted, const struct ccf_event *e)
{
    const json_t *api, *profile;
    size_t i, j;

    if (wanted == NULL || capif_array_has(wanted, e->aef_id))
        return true;
    json_array_foreach(json_object_get(e->detail, "serviceAPIDescriptions"), i,
                       api)
    {
        json_array_foreach(json_object_get(api, "aefProfiles"), j, profile)
        {
            if (capif_array_has(wanted, json_string_value(
                                            json_object_get(profile, "aefId"))))
                return true;
        }
    }
    return false;
}

/* TS 29.222 8.3.4.2.2: all lists that a filter has must name the event's. */
static bool filter_pass(const json_t *filter, const struct ccf_event *e)
{
    return pass(json_object_get(filter, "apiIds"), e->api_id,
                json_object_get(e->detail, "apiIds"))
           && pass(json_object_get(filter, "apiInvokerIds"), e->invoker_id,
                   json_object_get(e->detail, "apiInvokerIds"))
           && aef_pass(json_object_get(filter, "aefIds"), e);
}

bool ccf_event_matches(const struct ccf_event *e, const json_t *doc)
{
    const json_t *filters = json_object_get(doc, "eventFilters"), *v;
    size_t i;

    json_array_foreach(json_object_get(doc, "events"), i, v)
    {
        if (capif_same(json_string_value(v), e->name)
            && filter_pass(json_array_get(filters, i), e))
            return true;
    }
    return false;
}

/* ---- what ---- */

static void add_ids(json_t *out, const struct ccf_event *e, const char *name,
                    const char *id)
{
    json_t *ids = json_object_get(e->detail, name);

    if (ids != NULL)
        json_object_set(out, name, ids);
    else if (id != NULL)
        json_object_set_new(out, name, json_pack("[s]", id));
}

json_t *ccf_event_detail(const struct ccf_event *e, bool enhanced)
{
    const struct kind *kind = kind_of(e->name);
    json_t *out = json_object(), *more = NULL;
    unsigned ids;

    if (kind == NULL || out == NULL) {
        json_decref(out);
        return NULL;
    }
    if (enhanced && kind->more != NULL)
        more = json_object_get(e->detail, kind->more);
    ids = more != NULL ? kind->ids_too : kind->ids;
    if (more != NULL)
        json_object_set(out, kind->more, more);
    if (ids & API_IDS)
        add_ids(out, e, "apiIds", e->api_id);
    if (ids & INVOKER_IDS)
        add_ids(out, e, "apiInvokerIds", e->invoker_id);
    if (json_object_size(out) == 0) {
        json_decref(out);
        return NULL;
    }
    return out;
}

bool ccf_events_has(const json_t *doc, unsigned feature)
{
    const char *text =
        json_string_value(json_object_get(doc, "supportedFeatures"));

    return text != NULL && (strtoul(text, NULL, 16) & feature) != 0;
}
