/* SPDX-License-Identifier: Apache-2.0 */
#include "owed.h"

void ccf_owe(struct ccf_owed *owed, const json_t *doc, json_t *body)
{
    const struct ccf_notice n = {
        .url =
            json_string_value(json_object_get(doc, "notificationDestination")),
        .trust = CCF_TRUST_PUBLIC,
        .body = body,
    };

    owed->notices[owed->n] = n;
    owed->bodies[owed->n++] = body;
}

void ccf_owe_test(struct ccf_owed *owed, const json_t *doc,
                  const char *resource)
{
    ccf_owe(owed, doc, json_pack("{s:s}", "subscription", resource));
}

void ccf_owed_clear(struct ccf_store *s, struct ccf_owed *owed)
{
    ccf_store_owe(s, NULL, 0);
    while (owed->n > 0)
        json_decref(owed->bodies[--owed->n]);
}
