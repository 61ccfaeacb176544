/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which resources of an API there are, and what may be done with them, by its
 * published description (TS 29.222 8.2.4.2.4 to 6): calls of others don't
 * reach the backend.
 */
#include "aef.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[] = { "GET", "POST", "PUT", "PATCH", "DELETE" };
#define N_NAMES (sizeof(names) / sizeof(names[0]))
#define ALL     ((1u << N_NAMES) - 1)

struct resource {
    char *pattern; /* /apiVersion and the URI, where {x} is any one segment */
    unsigned methods;
};

struct aef_resources {
    struct resource *list;
    size_t n;
};

void aef_resources_free(struct aef_resources *r)
{
    if (r == NULL)
        return;
    for (size_t i = 0; i < r->n; i++)
        free(r->list[i].pattern);
    free(r->list);
    free(r);
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

static const char *add(struct aef_resources *r, const char *version,
                       const char *uri, const char *name, unsigned methods)
{
    const size_t len = strlen(version) + strlen(uri) + strlen(name) + 3;
    struct resource *more =
        realloc(r->list, (r->n + 1) * sizeof(struct resource));
    char *pattern = malloc(len);

    if (more != NULL)
        r->list = more;
    if (more == NULL || pattern == NULL) {
        free(pattern);
        return "out of memory";
    }
    snprintf(pattern, len, "/%s%s%s%s", version, uri,
             name[0] != '\0' ? "/" : "", name);
    more[r->n++] = (struct resource){ pattern, methods };
    return NULL;
}

/* Custom operations are at their name, below what they are of. */
static const char *add_custom(struct aef_resources *r, const char *version,
                              const char *uri, const json_t *of)
{
    const char *why = NULL, *name;
    const json_t *op;
    size_t i;

    json_array_foreach(json_object_get(of, "custOperations"), i, op)
    {
        name = capif_str(op, "custOpName");
        if (why == NULL)
            why = name == NULL ? "a custom operation has no custOpName"
                               : add(r, version, uri, name, operations_of(op));
    }
    return why;
}

static const char *add_version(struct aef_resources *r, const json_t *version)
{
    const char *number = capif_str(version, "apiVersion"), *why = NULL, *uri;
    const json_t *resource;
    size_t i;

    if (number == NULL || number[0] == '\0' || strchr(number, '/') != NULL)
        return "a version has no apiVersion that can be a segment of a path";
    json_array_foreach(json_object_get(version, "resources"), i, resource)
    {
        uri = capif_str(resource, "uri");
        if (why == NULL && (uri == NULL || uri[0] != '/'))
            why = "a resource's uri must begin with a slash";
        if (why == NULL)
            why = add(r, number, uri, "", operations_of(resource));
        if (why == NULL)
            why = add_custom(r, number, uri, resource);
    }
    return why != NULL ? why : add_custom(r, number, "", version);
}

static const char *read_profile(struct aef_resources *r, const json_t *doc,
                                const char *aef_id)
{
    const json_t *profile, *version;
    const char *why = "it has no profile of this AEF";
    size_t i, j;

    json_array_foreach(json_object_get(doc, "aefProfiles"), i, profile)
    {
        if (!capif_str_is(profile, "aefId", aef_id))
            continue;
        why = NULL;
        json_array_foreach(json_object_get(profile, "versions"), j, version)
        {
            if (why == NULL)
                why = add_version(r, version);
        }
    }
    return why == NULL && r->n == 0 ? "it has no resources" : why;
}

const char *aef_resources_load(const char *file, const char *aef_id,
                               const char *api_name, struct aef_resources **out)
{
    struct aef_resources *r = calloc(1, sizeof(*r));
    json_t *doc = json_load_file(file, JSON_REJECT_DUPLICATES, NULL);
    const char *why = NULL;

    if (r == NULL)
        why = "out of memory";
    else if (!json_is_object(doc))
        why = "is no file with a ServiceAPIDescription";
    else if (!capif_str_is(doc, "apiName", api_name))
        why = "is that of another API";
    else
        why = read_profile(r, doc, aef_id);
    json_decref(doc);
    if (why == NULL)
        *out = r;
    else
        aef_resources_free(r);
    return why;
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

bool aef_resource_may(const struct aef_resources *r, const char *path,
                      const char *method, char allow[AEF_ALLOW_MAX])
{
    const size_t len = strcspn(path, "?");
    unsigned methods = 0;
    size_t used = 0;

    allow[0] = '\0';
    if (r == NULL)
        return true;
    for (size_t i = 0; i < r->n; i++)
        if (matches(r->list[i].pattern, path, len))
            methods |= r->list[i].methods;
    for (size_t i = 0; i < N_NAMES; i++)
        if (methods & 1u << i)
            used += (size_t)snprintf(allow + used, AEF_ALLOW_MAX - used, "%s%s",
                                     used > 0 ? ", " : "", names[i]);
    return (methods & method_bit(method)) != 0;
}
