/* SPDX-License-Identifier: Apache-2.0 */
#include "json.h"

#include <stdio.h>
#include <string.h>

void capif_complain(const struct capif_at *at, const char *reason)
{
    struct capif_reader *r = at->reader;

    if (r->n < CAPIF_INVALID_MAX) {
        snprintf(r->list[r->n].param, sizeof(r->list[0].param), "%s",
                 at->path[0] != '\0' ? at->path : "/");
        snprintf(r->list[r->n].reason, sizeof(r->list[0].reason), "%s", reason);
    }
    r->n++;
}

struct capif_at capif_at_root(json_t *doc, struct capif_reader *reader)
{
    struct capif_at at = { doc, "", reader };

    return at;
}

static struct capif_at below(const struct capif_at *at, json_t *v,
                             const char *name)
{
    struct capif_at sub = { v, "", at->reader };
    int n = snprintf(sub.path, sizeof(sub.path), "%s/%s", at->path, name);

    if (n < 0 || (size_t)n >= sizeof(sub.path))
        memcpy(sub.path + sizeof(sub.path) - 4, "...", 4);
    return sub;
}

/* Count before parsing: the parser itself goes 2,048 levels deep. */
static bool too_deep(const char *s, size_t len)
{
    size_t depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < len; i++) {
        if (in_string) {
            if (s[i] == '\\')
                i++;
            else if (s[i] == '"')
                in_string = false;
        } else if (s[i] == '"') {
            in_string = true;
        } else if (s[i] == '{' || s[i] == '[') {
            if (++depth > CAPIF_JSON_DEPTH)
                return true;
        } else if ((s[i] == '}' || s[i] == ']') && depth > 0) {
            depth--;
        }
    }
    return false;
}

json_t *capif_json_parse(const void *text, size_t len,
                         struct capif_reader *reader)
{
    struct capif_at root = capif_at_root(NULL, reader);
    json_error_t err;
    char why[96];

    if (too_deep(text, len)) {
        capif_complain(&root, "nested too deeply");
        return NULL;
    }
    root.v = json_loadb(text, len, JSON_REJECT_DUPLICATES, &err);
    if (root.v == NULL) {
        snprintf(why, sizeof(why), "not JSON: line %d, column %d", err.line,
                 err.column);
        capif_complain(&root, why);
        return NULL;
    }
    if (!json_is_object(root.v)) {
        capif_complain(&root, "must be an object");
        json_decref(root.v);
        return NULL;
    }
    return root.v;
}

/* The member as a place; one complaint if it is required and missing. */
static struct capif_at member(const struct capif_at *at, const char *name,
                              bool required)
{
    struct capif_at sub = below(at, json_object_get(at->v, name), name);

    if (sub.v == NULL && required && at->v != NULL)
        capif_complain(&sub, "missing");
    return sub;
}

static const char *str_of(const struct capif_at *at, size_t max)
{
    char why[64];

    if (at->v == NULL)
        return NULL;
    if (!json_is_string(at->v)) {
        capif_complain(at, "must be a string");
        return NULL;
    }
    if (json_string_length(at->v) < 1 || json_string_length(at->v) > max) {
        snprintf(why, sizeof(why), "must have 1 to %zu octets", max);
        capif_complain(at, why);
        return NULL;
    }
    if (strlen(json_string_value(at->v)) != json_string_length(at->v)) {
        capif_complain(at, "must not hold NUL");
        return NULL;
    }
    return json_string_value(at->v);
}

const char *capif_get_str(const struct capif_at *at, const char *name,
                          bool required, size_t max)
{
    struct capif_at sub = member(at, name, required);

    return str_of(&sub, max);
}

void capif_check_features(const struct capif_at *at, const char *name,
                          bool required)
{
    struct capif_at sub = member(at, name, required);
    const char *text = json_string_value(sub.v);

    if (sub.v != NULL
        && (text == NULL || json_string_length(sub.v) > 64
            || strspn(text, "0123456789abcdefABCDEF")
                   != json_string_length(sub.v)))
        capif_complain(&sub, "must be up to 64 hexadecimal digits");
}

bool capif_get_bool(const struct capif_at *at, const char *name, bool def)
{
    struct capif_at sub = member(at, name, false);

    if (sub.v == NULL)
        return def;
    if (!json_is_boolean(sub.v))
        capif_complain(&sub, "must be true or false");
    return json_is_true(sub.v);
}

long capif_get_int(const struct capif_at *at, const char *name, long min,
                   long max, long def)
{
    struct capif_at sub = member(at, name, false);
    char why[80];

    if (sub.v == NULL)
        return def;
    if (!json_is_integer(sub.v) || json_integer_value(sub.v) < min
        || json_integer_value(sub.v) > max) {
        snprintf(why, sizeof(why), "must be an integer from %ld to %ld", min,
                 max);
        capif_complain(&sub, why);
        return def;
    }
    return (long)json_integer_value(sub.v);
}

struct capif_at capif_get_object(const struct capif_at *at, const char *name,
                                 bool required)
{
    struct capif_at sub = member(at, name, required);

    if (sub.v != NULL && !json_is_object(sub.v)) {
        capif_complain(&sub, "must be an object");
        sub.v = NULL;
    }
    return sub;
}

struct capif_at capif_get_array(const struct capif_at *at, const char *name,
                                bool required, size_t min, size_t max)
{
    struct capif_at sub = member(at, name, required);
    char why[64];

    if (sub.v == NULL)
        return sub;
    if (!json_is_array(sub.v)) {
        capif_complain(&sub, "must be an array");
        sub.v = NULL;
    } else if (json_array_size(sub.v) < min || json_array_size(sub.v) > max) {
        snprintf(why, sizeof(why), "must have %zu to %zu items", min, max);
        capif_complain(&sub, why);
        sub.v = NULL;
    }
    return sub;
}

static struct capif_at item(const struct capif_at *array, size_t i)
{
    char index[24];

    snprintf(index, sizeof(index), "%zu", i);
    return below(array, json_array_get(array->v, i), index);
}

struct capif_at capif_at_item(const struct capif_at *array, size_t i)
{
    struct capif_at sub = item(array, i);

    if (sub.v != NULL && !json_is_object(sub.v)) {
        capif_complain(&sub, "must be an object");
        sub.v = NULL;
    }
    return sub;
}

const char *capif_item_str(const struct capif_at *array, size_t i, size_t max)
{
    struct capif_at sub = item(array, i);

    return str_of(&sub, max);
}

/* Only as deep as patch is, which the parser bounds. */
static bool merge_into(json_t *object, json_t *patch)
{
    const char *name;
    json_t *v, *sub;

    json_object_foreach(patch, name, v)
    {
        if (json_is_null(v)) {
            (void)json_object_del(object, name);
            continue;
        }
        sub = json_object_get(object, name);
        if (json_is_object(v)) {
            if (!json_is_object(sub)
                && json_object_set_new(object, name, json_object()) != 0)
                return false;
            if (!merge_into(json_object_get(object, name), v))
                return false;
        } else if (json_object_set_new(object, name, json_deep_copy(v)) != 0) {
            return false;
        }
    }
    return true;
}

const char *capif_str(const json_t *obj, const char *name)
{
    return json_string_value(json_object_get(obj, name));
}

bool capif_same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

bool capif_str_is(const json_t *obj, const char *name, const char *value)
{
    return capif_same(capif_str(obj, name), value);
}

bool capif_array_has(const json_t *array, const char *text)
{
    const json_t *v;
    size_t i;

    json_array_foreach(array, i, v)
    {
        if (capif_same(json_string_value(v), text))
            return true;
    }
    return false;
}

json_t *capif_merge_patch(const json_t *target, json_t *patch)
{
    json_t *doc;

    if (!json_is_object(patch))
        return json_deep_copy(patch);
    doc = json_is_object(target) ? json_deep_copy(target) : json_object();
    if (doc != NULL && !merge_into(doc, patch)) {
        json_decref(doc);
        doc = NULL;
    }
    return doc;
}

static const char *title_of(int status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 409:
        return "Conflict";
    case 413:
        return "Content Too Large";
    case 415:
        return "Unsupported Media Type";
    case 429:
        return "Too Many Requests";
    case 502:
        return "Bad Gateway";
    case 503:
        return "Service Unavailable";
    case 504:
        return "Gateway Timeout";
    default:
        return status >= 500 ? "Internal Server Error" : "Error";
    }
}

/* As much of text as fits, cut between characters: a part of one is none. */
static json_t *cut_string(const char *text, size_t max)
{
    size_t len = strlen(text);

    if (len > max)
        for (len = max; len > 0 && (text[len] & 0xc0) == 0x80;)
            len--;
    return json_stringn(text, len);
}

json_t *capif_problem(int status, const char *cause, const char *detail,
                      const struct capif_reader *reader)
{
    json_t *p =
        json_pack("{s:s, s:i}", "title", title_of(status), "status", status);
    json_t *list;

    if (cause != NULL)
        json_object_set_new(p, "cause", json_string(cause));
    if (detail != NULL)
        json_object_set_new(p, "detail", cut_string(detail, 512));
    if (reader == NULL || reader->n == 0)
        return p;
    list = json_array();
    for (size_t i = 0; i < reader->n && i < CAPIF_INVALID_MAX; i++)
        json_array_append_new(list, json_pack("{s:s, s:s}", "param",
                                              reader->list[i].param, "reason",
                                              reader->list[i].reason));
    json_object_set_new(p, "invalidParams", list);
    return p;
}
