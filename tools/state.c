/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an invoker knows from the commands before, in files of --dir.
 */
#include "tool.h"

#include <stdlib.h>
#include <string.h>

void tool_invoker_clear(struct tool_invoker *inv)
{
    json_decref(inv->state);
    free(inv->ca_file);
    free(inv->cert_file);
    free(inv->key);
    capif_credentials_clear(&inv->cred);
}

bool tool_invoker_load(struct tool_options *o, struct tool_invoker *inv)
{
    size_t i;
    json_t *v;

    memset(inv, 0, sizeof(*inv));
    if ((inv->state = tool_read_json(o, "invoker.json")) == NULL)
        return false;
    inv->ccf = tool_str(inv->state, "ccf");
    inv->ccf_id = tool_str(inv->state, "ccfId");
    inv->id = tool_str(inv->state, "apiInvokerId");
    json_array_foreach(json_object_get(inv->state, "connect"), i, v)
    {
        if (o->n_connect < TOOL_CONNECTS)
            o->connect[o->n_connect++] = json_string_value(v);
    }
    inv->ca_file = tool_path(o, "ccf-ca.pem");
    inv->cert_file = tool_path(o, "invoker.crt");
    inv->key = tool_str(inv->state, "key") != NULL
                   ? strdup(tool_str(inv->state, "key"))
                   : tool_path(o, "invoker.key");
    return capif_credentials_load(inv->cert_file, inv->key, &inv->cred);
}

/* The discovered API of that name, and its profile at --aef or the first. */
bool tool_pick(const struct tool_options *o, json_t *apis, json_t **api,
               json_t **profile)
{
    json_t *a, *p;
    size_t i, j;

    json_array_foreach(json_object_get(apis, "serviceAPIDescriptions"), i, a)
    {
        if (o->api == NULL || strcmp(tool_str(a, "apiName"), o->api) != 0)
            continue;
        json_array_foreach(json_object_get(a, "aefProfiles"), j, p)
        {
            if (o->aef == NULL || strcmp(tool_str(p, "aefId"), o->aef) == 0) {
                *api = a;
                *profile = p;
                return true;
            }
        }
    }
    tool_fail("%s was not discovered; name it with --api",
              o->api != NULL ? o->api : "no API");
    return false;
}
