/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Access control policies (TS 29.222 8.6), as they concern one invoker: what
 * they say, and whether it may call now.  How often it did is in count.c.
 */
#include "aef.h"

#include "times.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANGES_MAX  64
#define ENTRIES_MAX 4096

/* No time is the beginning, or the end, of all. */
static time_t time_of(const struct capif_at *at, const char *name, time_t none)
{
    const char *text = capif_get_str(at, name, false, 64);
    time_t t = none;

    if (text != NULL && !capif_time_parse(text, &t))
        capif_complain(at, "must be a date-time of RFC 3339");
    return t;
}

static void read_ranges(const struct capif_at *entry, struct aef_policy *out)
{
    struct capif_at list = capif_get_array(
        entry, "allowedInvocationTimeRangeList", false, 0, RANGES_MAX);
    const size_t n = json_array_size(list.v);

    out->ranged = list.v != NULL;
    out->ranges = calloc(n + 1, sizeof(struct aef_range));
    if (out->ranges == NULL) {
        capif_complain(entry, "out of memory");
        return;
    }
    for (size_t i = 0; i < n; i++) {
        struct capif_at item = capif_at_item(&list, i);

        out->ranges[i].from = time_of(&item, "startTime", 0);
        out->ranges[i].to = time_of(&item, "stopTime", LONG_MAX);
    }
    out->n_ranges = n;
}

void aef_policy_read(const struct capif_at *list, const char *name,
                     struct aef_policy *out)
{
    struct capif_at entries =
        capif_get_array(list, "apiInvokerPolicies", false, 0, ENTRIES_MAX);
    struct capif_at vs = capif_get_object(list, AEF_VS, false);
    const char *id;

    aef_policy_clear(out);
    out->denied = capif_get_bool(&vs, "othersDenied", false);
    for (size_t i = 0; i < json_array_size(entries.v); i++) {
        struct capif_at entry = capif_at_item(&entries, i);

        id = capif_get_str(&entry, "apiInvokerId", true, AEF_NAME_MAX);
        if (id == NULL || strcmp(id, name) != 0)
            continue;
        aef_policy_clear(out);
        out->total = capif_get_int(&entry, "allowedTotalInvocations", 0,
                                   INT_MAX, AEF_UNLIMITED);
        out->per_second = capif_get_int(&entry, "allowedInvocationsPerSecond",
                                        0, INT_MAX, AEF_UNLIMITED);
        read_ranges(&entry, out);
        return;
    }
}

void aef_policy_name(const struct aef *aef, const char *ccf_id,
                     const char *invoker_id, char out[AEF_NAME_MAX + 1])
{
    if (strcmp(ccf_id, aef->ccf_id) == 0)
        snprintf(out, AEF_NAME_MAX + 1, "%s", invoker_id);
    else
        snprintf(out, AEF_NAME_MAX + 1, "%s/%s", ccf_id, invoker_id);
}

void aef_policy_clear(struct aef_policy *policy)
{
    free(policy->ranges);
    *policy = (struct aef_policy){ .total = AEF_UNLIMITED,
                                   .per_second = AEF_UNLIMITED };
}

bool aef_policy_counts(const struct aef_policy *policy)
{
    return policy->total != AEF_UNLIMITED
           || policy->per_second != AEF_UNLIMITED;
}

bool aef_policy_allows(const struct aef_policy *policy, time_t now,
                       time_t *until)
{
    *until = 0;
    if (policy->denied || policy->total == 0 || policy->per_second == 0)
        return false;
    for (size_t i = 0; i < policy->n_ranges; i++) {
        const struct aef_range *r = &policy->ranges[i];

        if (r->from <= now && now < r->to)
            return true;
        if (now < r->from && r->from < r->to
            && (*until == 0 || r->from < *until))
            *until = r->from;
    }
    return !policy->ranged;
}
