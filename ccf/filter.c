/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

#include "ccf.h"
#include "store_policy.h"
#include "traits.h"

#include <event2/http.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX  256
#define JSON_MAX  4096
#define QUERY_MAX 1600 /* a request line has to bear it */

/* ---- the parameters ---- */

static const struct {
    const char *name;
    size_t at; /* in struct ccf_filter */
} texts[] = {
    { "api-name", offsetof(struct ccf_filter, api_name) },
    { "api-version", offsetof(struct ccf_filter, api_version) },
    { "comm-type", offsetof(struct ccf_filter, comm_type) },
    { "protocol", offsetof(struct ccf_filter, protocol) },
    { "aef-id", offsetof(struct ccf_filter, aef_id) },
    { "data-format", offsetof(struct ccf_filter, data_format) },
    { "api-cat", offsetof(struct ccf_filter, category) },
    { "req-api-prov-name", offsetof(struct ccf_filter, provider) },
    { "api-supported-features", offsetof(struct ccf_filter, features) },
};
#define N_TEXTS (sizeof(texts) / sizeof(texts[0]))

/* In the files, two are objects by style `form`: a parameter each member. */
static const char *const ue_members[] = { "ipv4Addr", "ipv6Addr", NULL };
static const char *const kpi_members[] = {
    "maxReqRate", "maxRestime", "availability", "avalComp", "avalGraComp",
    "avalMem",    "avalStor",   "conBand",      NULL,
};

static const struct {
    const char *name;
    size_t at;
    void (*check)(const struct capif_at *at);
    const char *const *members; /* NULL: it is content, always JSON */
} objects[] = {
    { "preferred-aef-loc", offsetof(struct ccf_filter, location),
      ccf_location_check, NULL },
    { "ue-ip-addr", offsetof(struct ccf_filter, ue), ccf_ue_check, ue_members },
    { "service-kpis", offsetof(struct ccf_filter, kpis), ccf_kpis_check,
      kpi_members },
};
#define N_OBJECTS (sizeof(objects) / sizeof(objects[0]))

static const char **text_at(struct ccf_filter *f, size_t i)
{
    return (const char **)((char *)f + texts[i].at);
}

static json_t **object_at(struct ccf_filter *f, size_t i)
{
    return (json_t **)((char *)f + objects[i].at);
}

static void complain(struct capif_reader *reader, const char *name,
                     const char *why)
{
    struct capif_at at = { NULL, "", reader };

    snprintf(at.path, sizeof(at.path), "%s", name);
    capif_complain(&at, why);
}

static const char *text_get(struct capif_req *req, struct capif_reader *reader,
                            const char *name)
{
    const char *text = capif_req_query(req, name);
    json_t *v;

    if (text == NULL)
        return NULL;
    if (text[0] == '\0' || strlen(text) > TEXT_MAX) {
        complain(reader, name, "must have 1 to 256 octets");
        return NULL;
    }
    if ((v = json_string(text)) == NULL)
        complain(reader, name, "must be UTF-8");
    json_decref(v);
    return text;
}

static void features_check(struct capif_reader *reader, const char *name,
                           const char *text)
{
    if (text != NULL
        && (strlen(text) > 64
            || strspn(text, "0123456789abcdefABCDEF") != strlen(text)))
        complain(reader, name, "must be up to 64 hexadecimal digits");
}

/* The object of parameters that are its members; NULL if there are none. */
static json_t *from_members(struct capif_req *req, const char *const *members)
{
    json_t *doc = NULL, *v;
    const char *text;
    char *end;

    for (; members != NULL && *members != NULL; members++) {
        if ((text = capif_req_query(req, *members)) == NULL)
            continue;
        if (doc == NULL)
            doc = json_object();
        v = text[0] != '\0' && strlen(text) < 16
                    && strspn(text, "0123456789") == strlen(text)
                ? json_integer(strtoll(text, &end, 10))
                : json_string(text);
        json_object_set_new(doc, *members, v != NULL ? v : json_null());
    }
    return doc;
}

static void object_read(struct capif_req *req, struct capif_reader *reader,
                        size_t i, json_t **out)
{
    const char *text = capif_req_query(req, objects[i].name);
    struct capif_reader own = { 0 };
    struct capif_at root;

    if (text == NULL) {
        *out = from_members(req, objects[i].members);
        if (*out == NULL)
            return;
    } else if (strlen(text) > JSON_MAX) {
        complain(reader, objects[i].name, "must have up to 4096 octets");
        return;
    } else {
        *out = capif_json_parse(text, strlen(text), &own);
    }
    root = capif_at_root(*out, &own);
    if (*out != NULL)
        objects[i].check(&root);
    for (size_t k = 0; k < own.n && k < CAPIF_INVALID_MAX; k++) {
        char name[120];

        snprintf(name, sizeof(name), "%s%.90s", objects[i].name,
                 strcmp(own.list[k].param, "/") != 0 ? own.list[k].param : "");
        complain(reader, name, own.list[k].reason);
    }
}

void ccf_filter_read(struct capif_req *req, struct capif_reader *reader,
                     struct ccf_filter *out)
{
    memset(out, 0, sizeof(*out));
    for (size_t i = 0; i < N_TEXTS; i++) {
        /* of SupportedFeatures, none is a text, too */
        if (texts[i].at == offsetof(struct ccf_filter, features))
            out->features = capif_req_query(req, texts[i].name);
        else
            *text_at(out, i) = text_get(req, reader, texts[i].name);
    }
    features_check(reader, "api-supported-features", out->features);
    features_check(reader, "supported-features",
                   capif_req_query(req, "supported-features"));
    if (out->features != NULL && out->api_name == NULL)
        complain(reader, "api-supported-features",
                 "may be only where api-name is");
    for (size_t i = 0; i < N_OBJECTS; i++)
        object_read(req, reader, i, object_at(out, i));
}

void ccf_filter_clear(struct ccf_filter *f)
{
    json_decref(f->location);
    json_decref(f->kpis);
    json_decref(f->ue);
    memset(f, 0, sizeof(*f));
}

bool ccf_filter_is_none(const struct ccf_filter *f)
{
    static const struct ccf_filter none;

    return memcmp(f, &none, sizeof(none)) == 0;
}

static bool append(char *out, const char *name, const char *value)
{
    char *encoded = evhttp_uriencode(value, -1, 0);
    size_t used = strlen(out);
    int n = -1;

    if (encoded != NULL)
        n = snprintf(out + used, QUERY_MAX - used, "&%s=%s", name, encoded);
    free(encoded);
    return n >= 0 && (size_t)n < QUERY_MAX - used;
}

char *ccf_filter_query(const struct ccf_filter *f)
{
    struct ccf_filter copy = *f;
    char *out = calloc(1, QUERY_MAX), *text;
    bool ok = out != NULL;

    for (size_t i = 0; ok && i < N_TEXTS; i++)
        if (*text_at(&copy, i) != NULL)
            ok = append(out, texts[i].name, *text_at(&copy, i));
    for (size_t i = 0; ok && i < N_OBJECTS; i++) {
        if (*object_at(&copy, i) == NULL)
            continue;
        text = json_dumps(*object_at(&copy, i), JSON_COMPACT | JSON_SORT_KEYS);
        ok = text != NULL && append(out, objects[i].name, text);
        free(text);
    }
    if (!ok) {
        free(out);
        out = NULL;
    }
    return out;
}

/* ---- what they leave ---- */

static bool is(const json_t *v, const char *wanted)
{
    return wanted == NULL
           || (json_is_string(v) && strcmp(json_string_value(v), wanted) == 0);
}

/* Does any of a list's items communicate so, or any custom operation? */
static bool any_comm(const json_t *list, const char *wanted)
{
    const json_t *item;
    size_t i;

    json_array_foreach(list, i, item)
    {
        if (is(json_object_get(item, "commType"), wanted)
            || any_comm(json_object_get(item, "custOperations"), wanted))
            return true;
    }
    return false;
}

/* One and the same version must be all that is wanted of it. */
static bool any_version(const struct ccf_filter *f, const json_t *versions)
{
    const json_t *v;
    size_t i;

    json_array_foreach(versions, i, v)
    {
        if (is(json_object_get(v, "apiVersion"), f->api_version)
            && (f->comm_type == NULL
                || any_comm(json_object_get(v, "resources"), f->comm_type)
                || any_comm(json_object_get(v, "custOperations"),
                            f->comm_type)))
            return true;
    }
    return f->api_version == NULL && f->comm_type == NULL;
}

bool ccf_filter_profile(const struct ccf_filter *f, const json_t *profile)
{
    return is(json_object_get(profile, "aefId"), f->aef_id)
           && is(json_object_get(profile, "protocol"), f->protocol)
           && is(json_object_get(profile, "dataFormat"), f->data_format)
           && any_version(f, json_object_get(profile, "versions"))
           && (f->location == NULL
               || ccf_location_suits(json_object_get(profile, "aefLocation"),
                                     f->location))
           && (f->kpis == NULL
               || ccf_kpis_suit(json_object_get(profile, "serviceKpis"),
                                f->kpis))
           && (f->ue == NULL
               || ccf_ue_suits(json_object_get(profile, "ueIpRange"), f->ue));
}

static unsigned nibble(const char *digits, size_t from_right)
{
    size_t len = strlen(digits);
    char c[2] = "0";

    if (from_right < len)
        c[0] = digits[len - 1 - from_right];
    return (unsigned)strtoul(c, NULL, 16);
}

/* All features wanted; what has no list has none. */
static bool features_suit(const json_t *v, const char *wanted)
{
    const char *has = json_is_string(v) ? json_string_value(v) : "";

    for (size_t i = 0; wanted != NULL && i < strlen(wanted); i++)
        if ((nibble(wanted, i) & ~nibble(has, i)) != 0)
            return false;
    return true;
}

static bool provider_suits(const char *wanted,
                           const struct ccf_provider_name *by)
{
    return wanted == NULL || (by->id != NULL && strcmp(by->id, wanted) == 0)
           || (by->info != NULL && strcmp(by->info, wanted) == 0);
}

bool ccf_filter_api(const struct ccf_filter *f, const json_t *api,
                    const struct ccf_provider_name *by)
{
    return is(json_object_get(api, "apiName"), f->api_name)
           && is(json_object_get(api, "serviceAPICategory"), f->category)
           && features_suit(json_object_get(api, "apiSuppFeats"), f->features)
           && provider_suits(f->provider, by);
}

bool ccf_filter_apply(const struct ccf_filter *f, json_t *api,
                      const struct ccf_provider_name *by)
{
    json_t *profiles = json_object_get(api, "aefProfiles");

    if (!ccf_filter_api(f, api, by))
        return false;
    for (size_t i = json_array_size(profiles); i-- > 0;) {
        const json_t *profile = json_array_get(profiles, i);
        const char *id = json_string_value(json_object_get(profile, "aefId"));

        if (id == NULL || !ccf_api_is_active(api, id)
            || !ccf_filter_profile(f, profile))
            json_array_remove(profiles, i);
    }
    return ccf_api_tidy(api);
}
