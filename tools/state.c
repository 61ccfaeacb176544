/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an invoker knows from the commands before, in files of --dir.
 */
#include "jose.h"
#include "tool.h"

#include <stdlib.h>
#include <string.h>

#define SECRET_SECONDS 300 /* more than any command takes */

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
    inv->kek = tool_str(inv->state, "kek");
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

/* libcurl makes the SSL_CTX, so the property is the process's. */
bool tool_seal(const struct tool_invoker *inv, const char *mode)
{
    return inv->kek == NULL || capif_seal_all(mode)
           || tool_fail_ssl("--kek needs the provider sealed") == 0;
}

/* A handle is of no use to another process, so what it stands for is kept
 * wrapped. */
bool tool_secret_put(const struct tool_invoker *inv, json_t *doc,
                     const uint8_t *secret, size_t len)
{
    char *text = NULL;
    bool ok;

    if (len > 0)
        text = inv->kek != NULL ? capif_seal_wrap(inv->kek, secret, len)
                                : capif_b64url(secret, len);
    ok = text != NULL
         && json_object_set_new(doc, inv->kek != NULL ? "wrappedKey" : "key",
                                json_string(text))
                == 0;
    if (!ok)
        tool_fail_ssl("the key can't be kept");
    if (text != NULL)
        OPENSSL_cleanse(text, strlen(text));
    free(text);
    return ok;
}

bool tool_secret_get(const struct tool_invoker *inv, const json_t *doc,
                     uint8_t out[CAPIF_HANDLE_LEN_MAX], size_t *len)
{
    const char *text = tool_str(doc, inv->kek != NULL ? "wrappedKey" : "key");
    uint8_t *raw = NULL;
    bool ok;

    if (text == NULL)
        return false;
    if (inv->kek != NULL)
        return capif_seal_unwrap(inv->kek, text, SECRET_SECONDS, out, len);
    ok = capif_b64url_decode(text, strlen(text), &raw, len)
         && *len <= CAPIF_HANDLE_LEN_MAX;
    if (ok)
        memcpy(out, raw, *len);
    if (raw != NULL)
        OPENSSL_cleanse(raw, *len);
    free(raw);
    return ok;
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

json_t *tool_selected(json_t *context, const json_t *api, const char *method)
{
    json_t *entry;
    size_t i;

    json_array_foreach(json_object_get(context, "securityInfo"), i, entry)
    {
        if (strcmp(tool_str(entry, "apiId"), tool_str(api, "apiId")) == 0
            && strcmp(tool_str(entry, "selSecurityMethod"), method) == 0)
            return entry;
    }
    return NULL;
}
