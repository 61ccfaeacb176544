/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an API's published description (TS 29.222 8.2.4.2) says to its AEF:
 * where it is, which resources it has, and what may be done with them.  Calls
 * of others don't reach the backend.
 */
#include "aef.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
#define N_NAMES (sizeof(names) / sizeof(names[0]))
#define ALL     ((1u << N_NAMES) - 1)

void aef_description_clear(struct aef_api *api)
{
    for (size_t i = 0; i < api->n_resources; i++) {
        free(api->resources[i].pattern);
        free(api->resources[i].names);
    }
    free(api->resources);
    free(api->prefix);
    json_decref(api->doc);
}

/* ---- from the description ---- */

/* Where it does not say, all. */
static unsigned operations_of(const json_t *obj)
{
    const json_t *list = json_object_get(obj, "operations");
    unsigned bits = 0;

    for (size_t i = 0; i < N_NAMES; i++)
        if (capif_array_has(list, names[i]))
            bits |= 1u << i;
    return list != NULL ? bits : ALL;
}

static char *pattern_of(const char *version, const char *uri, const char *more)
{
    const size_t len = strlen(version) + strlen(uri) + strlen(more) + 3;
    char *pattern = malloc(len);

    if (pattern != NULL)
        snprintf(pattern, len, "/%s%s%s%s", version, uri,
                 more[0] != '\0' ? "/" : "", more);
    return pattern;
}

static char *names_of(const struct aef_api *api, const char *version,
                      const char *name)
{
    json_t *doc = json_pack("{s:s, s:s, s:s}", "apiName", api->name,
                            "apiVersion", version, "resourceName", name);
    char *text = json_dumps(doc, JSON_COMPACT);

    json_decref(doc);
    return text;
}

static const char *add(struct aef_api *api, const char *version,
                       const char *uri, const char *more, const char *name,
                       unsigned methods)
{
    struct aef_resource *list =
        realloc(api->resources, (api->n_resources + 1) * sizeof(*list));
    struct aef_resource *r;

    if (list == NULL)
        return "out of memory";
    api->resources = list;
    r = &list[api->n_resources++];
    r->pattern = pattern_of(version, uri, more);
    r->names = names_of(api, version, name);
    r->methods = methods;
    return r->pattern == NULL || r->names == NULL ? "out of memory" : NULL;
}

/* Custom operations are at their name, below what they are of. */
static const char *add_custom(struct aef_api *api, const char *version,
                              const char *uri, const json_t *of)
{
    const char *why = NULL, *name;
    const json_t *op;
    size_t i;

    json_array_foreach(json_object_get(of, "custOperations"), i, op)
    {
        name = capif_str(op, "custOpName");
        if (why == NULL)
            why = name == NULL
                      ? "a custom operation has no custOpName"
                      : add(api, version, uri, name, name, operations_of(op));
    }
    return why;
}

static const char *add_version(struct aef_api *api, const json_t *version)
{
    const char *number = capif_str(version, "apiVersion"), *why = NULL;
    const char *uri, *name;
    const json_t *resource;
    size_t i;

    if (number == NULL || number[0] == '\0' || strchr(number, '/') != NULL)
        return "a version has no apiVersion that can be a segment of a path";
    json_array_foreach(json_object_get(version, "resources"), i, resource)
    {
        uri = capif_str(resource, "uri");
        name = capif_str(resource, "resourceName");
        if (why == NULL && (uri == NULL || uri[0] != '/'))
            why = "a resource's uri must begin with a slash";
        if (why == NULL && name == NULL)
            why = "a resource has no resourceName";
        if (why == NULL)
            why = add(api, number, uri, "", name, operations_of(resource));
        if (why == NULL)
            why = add_custom(api, number, uri, resource);
    }
    return why != NULL ? why : add_custom(api, number, "", version);
}

/* apiPrefix, or the API's name (TS 29.122 5.2.4), without a slash at the end */
static const char *read_prefix(struct aef_api *api, const json_t *iface)
{
    const char *prefix = capif_str(iface, "apiPrefix");
    size_t len = prefix != NULL ? strlen(prefix) : strlen(api->name) + 1;
    char *text = malloc(len + 1);

    if (text == NULL)
        return "out of memory";
    snprintf(text, len + 1, "%s%s", prefix != NULL ? "" : "/",
             prefix != NULL ? prefix : api->name);
    while (len > 0 && text[len - 1] == '/')
        text[--len] = '\0';
    if (api->prefix != NULL && strcmp(api->prefix, text) != 0) {
        free(text);
        return "its interfaces at this AEF differ in apiPrefix";
    }
    free(api->prefix);
    api->prefix = text;
    return len == 0 || text[0] != '/' ? "apiPrefix must be a path" : NULL;
}

static const char *read_profile(struct aef_api *api, const json_t *profile)
{
    const json_t *list = json_object_get(profile, "interfaceDescriptions");
    const json_t *version, *iface;
    const char *why =
        json_array_size(list) == 0 ? read_prefix(api, NULL) : NULL;
    size_t i;

    json_array_foreach(list, i, iface)
    {
        if (why == NULL)
            why = read_prefix(api, iface);
    }
    json_array_foreach(json_object_get(profile, "versions"), i, version)
    {
        if (why == NULL)
            why = add_version(api, version);
    }
    return why;
}

static const char *read_profiles(struct aef_api *api, const char *aef_id)
{
    const char *why = "it has no profile of this AEF";
    bool found = false;
    const json_t *p;
    size_t i;

    json_array_foreach(json_object_get(api->doc, "aefProfiles"), i, p)
    {
        if (!capif_str_is(p, "aefId", aef_id) || (found && why != NULL))
            continue;
        found = true;
        why = read_profile(api, p);
    }
    return why == NULL && api->n_resources == 0 ? "it has no resources" : why;
}

const char *aef_description_read(struct aef_api *api, const char *aef_id)
{
    api->doc = json_load_file(api->description, JSON_REJECT_DUPLICATES, NULL);
    if (!json_is_object(api->doc))
        return "is no file with a ServiceAPIDescription";
    if (!capif_str_is(api->doc, "apiName", api->name))
        return "is that of another API";
    return read_profiles(api, aef_id);
}

/* ---- for a call ---- */

static bool matches(const char *pattern, const char *path, size_t len)
{
    const char *end = path + len;

    while (*pattern != '\0') {
        if (*pattern == '{' && strchr(pattern, '}') != NULL) {
            size_t segment = 0;

            while (path + segment < end && path[segment] != '/')
                segment++;
            if (segment == 0)
                return false;
            path += segment;
            pattern = strchr(pattern, '}') + 1;
        } else if (path < end && *path == *pattern) {
            path++;
            pattern++;
        } else {
            return false;
        }
    }
    return path == end;
}

static unsigned method_bit(const char *method)
{
    for (size_t i = 0; i < N_NAMES; i++)
        if (strcmp(method, names[i]) == 0)
            return 1u << i;
    return strcmp(method, "HEAD") == 0 ? 1u : 0; /* as GET */
}

bool aef_operation_known(const char *method)
{
    return method_bit(method) != 0 && strcmp(method, "HEAD") != 0;
}

const struct aef_resource *aef_resource_at(const struct aef_api *api,
                                           const char *path, const char *method,
                                           bool *may, char allow[AEF_ALLOW_MAX])
{
    const unsigned bit = method_bit(method);
    const struct aef_resource *found = NULL;
    const size_t len = strcspn(path, "?");
    unsigned methods = 0;
    size_t used = 0;

    for (size_t i = 0; i < api->n_resources; i++) {
        const struct aef_resource *r = &api->resources[i];

        if (!matches(r->pattern, path, len))
            continue;
        if (found == NULL || ((r->methods & bit) && !(methods & bit)))
            found = r;
        methods |= r->methods;
    }
    allow[0] = '\0';
    for (size_t i = 0; i < N_NAMES; i++)
        if (methods & 1u << i)
            used += (size_t)snprintf(allow + used, AEF_ALLOW_MAX - used, "%s%s",
                                     used > 0 ? ", " : "", names[i]);
    *may = (methods & bit) != 0;
    return found;
}
