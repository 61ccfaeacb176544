/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API invoker's commands: onboard, discover, negotiate, token, call.
 * What one learns, the next finds in files of --dir.
 */
#include "tool.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX 2048

/* The invoker as it was onboarded. */
struct invoker {
    json_t *state;
    const char *ccf, *ccf_id, *id;
    char *ca_file, *cert_file, *key;
    struct capif_credentials cred;
};

static const char *str(const json_t *obj, const char *name)
{
    return json_string_value(json_object_get(obj, name));
}

static void invoker_clear(struct invoker *inv)
{
    json_decref(inv->state);
    free(inv->ca_file);
    free(inv->cert_file);
    free(inv->key);
    capif_credentials_clear(&inv->cred);
}

static bool invoker_load(struct tool_options *o, struct invoker *inv)
{
    size_t i;
    json_t *v;

    memset(inv, 0, sizeof(*inv));
    if ((inv->state = tool_read_json(o, "invoker.json")) == NULL)
        return false;
    inv->ccf = str(inv->state, "ccf");
    inv->ccf_id = str(inv->state, "ccfId");
    inv->id = str(inv->state, "apiInvokerId");
    json_array_foreach(json_object_get(inv->state, "connect"), i, v)
    {
        if (o->n_connect < TOOL_CONNECTS)
            o->connect[o->n_connect++] = json_string_value(v);
    }
    inv->ca_file = tool_path(o, "ccf-ca.pem");
    inv->cert_file = tool_path(o, "invoker.crt");
    inv->key = str(inv->state, "key") != NULL ? strdup(str(inv->state, "key"))
                                              : tool_path(o, "invoker.key");
    return capif_credentials_load(inv->cert_file, inv->key, &inv->cred);
}

/* ---- onboard ---- */

static EVP_PKEY *key_make(const struct tool_options *o)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    BIO *bio = BIO_new(BIO_s_secmem());
    char *pem = NULL;
    long len;

    if (key == NULL || bio == NULL
        || !PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL)
        || BIO_write(bio, "", 1) != 1
        || (len = BIO_get_mem_data(bio, &pem)) <= 0
        || !tool_write(o, "invoker.key", pem)) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    BIO_free(bio);
    return key;
}

static bool save_invoker(const struct tool_options *o, const char *ca_pem,
                         const struct tool_answer *a)
{
    const json_t *info = json_object_get(a->doc, "onboardingInformation");
    const char *cert = str(info, "apiInvokerCertificate");
    const char *id = str(a->doc, "apiInvokerId");
    json_t *connect = json_array(), *state;
    const char *ccf_id = str(json_object_get(a->doc, TOOL_VS), "ccfId");
    bool ok;

    for (size_t i = 0; i < o->n_connect; i++)
        json_array_append_new(connect, json_string(o->connect[i]));
    state = json_pack("{s:s, s:s?, s:s?, s:o}", "ccf", o->ccf, "ccfId", ccf_id,
                      "apiInvokerId", id, "connect", connect);
    if (o->key != NULL)
        json_object_set_new(state, "key", json_string(o->key));
    ok = cert != NULL && id != NULL && ccf_id != NULL
         && tool_write(o, "invoker.crt", cert)
         && tool_write(o, "ccf-ca.pem", ca_pem)
         && tool_write_json(o, "invoker.json", state);
    json_decref(state);
    if (cert == NULL || id == NULL || ccf_id == NULL)
        tool_fail("the CCF's answer lacks certificate, id or ccfId");
    if (ok)
        tool_step("33.122 6.1", "onboarded at %s as %s", ccf_id, id);
    return ok;
}

static int onboard(struct tool_options *o)
{
    char *token = NULL, *csr = NULL, *ca = NULL, *body = NULL;
    EVP_PKEY *key = NULL;
    json_t *doc = NULL;
    struct tool_answer a = { 0 };
    char url[URL_MAX];
    int status = 1;

    if (o->ccf == NULL || o->ca == NULL || o->enrolment == NULL)
        return tool_fail("onboard needs --ccf, --ca and --enrolment");
    if ((token = tool_read(o->enrolment)) == NULL
        || (ca = tool_read(o->ca)) == NULL)
        goto out;
    key = o->key != NULL ? capif_key_load(o->key) : key_make(o);
    if (key == NULL || (csr = capif_csr_make("api-invoker", key)) == NULL) {
        tool_fail("no key to make a certificate request with");
        goto out;
    }
    doc = json_pack("{s:{s:s}, s:s, s:s}", "onboardingInformation",
                    "apiInvokerPublicKey", csr, "notificationDestination",
                    "https://invoker.invalid/notifications",
                    "supportedFeatures", "0");
    body = json_dumps(doc, JSON_COMPACT);
    snprintf(url, sizeof(url), "%s/api-invoker-management/v1/onboardedInvokers",
             o->ccf);
    const struct tool_request req = { .method = "POST",
                                      .url = url,
                                      .ca_file = o->ca,
                                      .content_type = "application/json",
                                      .bearer = token,
                                      .body = body };
    if (!tool_call(o, &req, 201, "onboarding", &a))
        goto out;
    tool_step("33.122 6.1 step 2",
              "TLS with the CCF, its certificate verified");
    status = save_invoker(o, ca, &a) ? 0 : 1;
out:
    if (token != NULL)
        OPENSSL_cleanse(token, strlen(token));
    free(token);
    free(csr);
    free(ca);
    free(body);
    json_decref(doc);
    EVP_PKEY_free(key);
    tool_answer_clear(&a);
    return status;
}

/* ---- discover ---- */

static void show_api(const json_t *api)
{
    const json_t *profile;
    size_t i;

    json_array_foreach(json_object_get(api, "aefProfiles"), i, profile)
    {
        printf("%s\t%s\t%s\t%s\n", str(api, "apiName"), str(api, "apiId"),
               str(profile, "aefId"), str(api, "ccfId"));
    }
}

static int discover(struct tool_options *o)
{
    struct invoker inv;
    struct tool_answer a = { 0 };
    struct tool_request req = { .method = "GET" };
    char url[URL_MAX];
    int status = 1;
    json_t *api;
    size_t i;

    if (invoker_load(o, &inv)) {
        snprintf(url, sizeof(url),
                 "%s/service-apis/v1/allServiceAPIs?api-invoker-id=%s%s%s",
                 inv.ccf, inv.id, o->api != NULL ? "&api-name=" : "",
                 o->api != NULL ? o->api : "");
        req.url = url;
        req.ca_file = inv.ca_file;
        req.cred = &inv.cred;
        if (tool_call(o, &req, 200, "discovery", &a)
            && tool_write_json(o, "apis.json", a.doc)) {
            tool_step("6.24.2.1 step 1", "mutual TLS with %s", inv.ccf_id);
            tool_step("6.24.2.1 step 2", "%zu service APIs discovered",
                      json_array_size(
                          json_object_get(a.doc, "serviceAPIDescriptions")));
            json_array_foreach(json_object_get(a.doc, "serviceAPIDescriptions"),
                               i, api)
            {
                show_api(api);
            }
            status = 0;
        }
    }
    tool_answer_clear(&a);
    invoker_clear(&inv);
    return status;
}

/* The discovered API of that name, and its profile at --aef or the first. */
static bool pick(const struct tool_options *o, json_t *apis, json_t **api,
                 json_t **profile)
{
    json_t *a, *p;
    size_t i, j;

    json_array_foreach(json_object_get(apis, "serviceAPIDescriptions"), i, a)
    {
        if (o->api == NULL || strcmp(str(a, "apiName"), o->api) != 0)
            continue;
        json_array_foreach(json_object_get(a, "aefProfiles"), j, p)
        {
            if (o->aef == NULL || strcmp(str(p, "aefId"), o->aef) == 0) {
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

/* ---- negotiate ---- */

static json_t *negotiation_request(const struct tool_options *o,
                                   const json_t *api, const json_t *profile)
{
    char *text = strdup(o->methods != NULL ? o->methods : "OAUTH");
    json_t *methods = json_array();
    char *save = NULL;

    for (char *m = strtok_r(text, ",", &save); m != NULL;
         m = strtok_r(NULL, ",", &save))
        json_array_append_new(methods, json_string(m));
    free(text);
    return json_pack("{s:[{s:s, s:s, s:o, s:{s:s?}}], s:s, s:s}",
                     "securityInfo", "aefId", str(profile, "aefId"), "apiId",
                     str(api, "apiId"), "prefSecurityMethods", methods, TOOL_VS,
                     "ccfId", str(api, "ccfId"), "notificationDestination",
                     "https://invoker.invalid/notifications",
                     "supportedFeatures", "0");
}

/* The AEF's trust anchors, out of authenticationInfo. */
static bool save_aef_ca(const struct tool_options *o, const json_t *entry)
{
    const char *text = str(entry, "authenticationInfo"), *pem;
    json_t *info = text != NULL ? json_loads(text, 0, NULL) : NULL, *v;
    char all[32768] = "";
    size_t i;
    bool ok;

    json_array_foreach(json_object_get(info, "caCertificates"), i, v)
    {
        pem = json_string_value(v);
        if (pem != NULL && strlen(all) + strlen(pem) < sizeof(all))
            strcat(all, pem);
    }
    ok = all[0] != '\0' && tool_write(o, "aef-ca.pem", all);
    json_decref(info);
    return ok;
}

static int negotiate_with(struct tool_options *o, const struct invoker *inv,
                          const json_t *api, const json_t *profile)
{
    json_t *doc = negotiation_request(o, api, profile);
    char *body = json_dumps(doc, JSON_COMPACT);
    char url[URL_MAX];
    const struct tool_request req = { .method = "PUT",
                                      .url = url,
                                      .ca_file = inv->ca_file,
                                      .cred = &inv->cred,
                                      .content_type = "application/json",
                                      .body = body };
    struct tool_answer a = { 0 };
    const json_t *entry;
    int status = 1;

    snprintf(url, sizeof(url), "%s/capif-security/v1/trustedInvokers/%s",
             inv->ccf, inv->id);
    if (tool_call(o, &req, 201, "negotiation", &a)) {
        entry = json_array_get(json_object_get(a.doc, "securityInfo"), 0);
        tool_step("6.24.2.1 step 2", "asked for %s at %s", str(api, "apiName"),
                  str(profile, "aefId"));
        if (strcmp(str(api, "ccfId"), inv->ccf_id) != 0)
            tool_step("6.24.2.1 steps 3-6", "%s asked %s", inv->ccf_id,
                      str(api, "ccfId"));
        tool_step("6.24.2.1 step 7", "selected %s",
                  str(entry, "selSecurityMethod"));
        if (tool_write_json(o, "context.json", a.doc) && save_aef_ca(o, entry))
            status = 0;
    }
    tool_answer_clear(&a);
    free(body);
    json_decref(doc);
    return status;
}

static int negotiate(struct tool_options *o)
{
    struct invoker inv = { 0 };
    json_t *apis = tool_read_json(o, "apis.json"), *api, *profile;
    int status = 1;

    if (apis != NULL && invoker_load(o, &inv) && pick(o, apis, &api, &profile))
        status = negotiate_with(o, &inv, api, profile);
    invoker_clear(&inv);
    json_decref(apis);
    return status;
}

/* ---- token ---- */

static int token(struct tool_options *o)
{
    struct invoker inv = { 0 };
    json_t *apis = tool_read_json(o, "apis.json"), *api, *profile;
    struct tool_answer a = { 0 };
    char url[URL_MAX], body[512];
    int status = 1;

    if (apis != NULL && invoker_load(o, &inv)
        && pick(o, apis, &api, &profile)) {
        const struct tool_request req = {
            .method = "POST",
            .url = url,
            .ca_file = inv.ca_file,
            .cred = &inv.cred,
            .content_type = "application/x-www-form-urlencoded",
            .body = body
        };

        snprintf(url, sizeof(url), "%s/capif-security/v1/securities/%s/token",
                 inv.ccf, inv.id);
        snprintf(body, sizeof(body),
                 "grant_type=client_credentials&client_id=%s"
                 "&scope=3gpp%%23%s%%3A%s",
                 inv.id, str(profile, "aefId"), str(api, "apiName"));
        if (tool_call(o, &req, 200, "token request", &a)
            && tool_write(o, "token", str(a.doc, "access_token"))) {
            tool_step("6.24.2.2.2 steps 1-4",
                      "token of %s for %s, scope %s, %lld s", inv.ccf_id,
                      inv.id, str(a.doc, "scope"),
                      (long long)json_integer_value(
                          json_object_get(a.doc, "expires_in")));
            status = 0;
        }
    }
    tool_answer_clear(&a);
    invoker_clear(&inv);
    json_decref(apis);
    return status;
}

/* ---- call ---- */

static bool check_authentication(const struct tool_options *o,
                                 const struct invoker *inv,
                                 const json_t *profile, const char *ca_file)
{
    const char *control = str(json_object_get(profile, TOOL_VS), "controlUrl");
    json_t *doc =
        json_pack("{s:s, s:s, s:{s:s}}", "apiInvokerId", inv->id,
                  "supportedFeatures", "0", TOOL_VS, "srcCcfId", inv->ccf_id);
    char *body = json_dumps(doc, JSON_COMPACT);
    char url[URL_MAX];
    const struct tool_request req = { .method = "POST",
                                      .url = url,
                                      .ca_file = ca_file,
                                      .content_type = "application/json",
                                      .body = body };
    struct tool_answer a = { 0 };
    bool ok;

    snprintf(url, sizeof(url), "%s/aef-security/v1/check-authentication",
             control != NULL ? control : "");
    ok = control != NULL
         && tool_call(o, &req, 200, "authentication initiation", &a);
    if (ok)
        tool_step("6.24.2.2.2 step 5", "authentication initiated at %s",
                  str(profile, "aefId"));
    tool_answer_clear(&a);
    free(body);
    json_decref(doc);
    return ok;
}

static int call_api(struct tool_options *o, const struct invoker *inv,
                    const json_t *profile, const char *bearer)
{
    const json_t *iface =
        json_array_get(json_object_get(profile, "interfaceDescriptions"), 0);
    const char *prefix = str(iface, "apiPrefix");
    char *ca_file = tool_path(o, "aef-ca.pem");
    char *data = o->data != NULL ? tool_read(o->data) : NULL;
    char url[URL_MAX];
    const struct tool_request req = {
        .method = o->method != NULL ? o->method : "GET",
        .url = url,
        .ca_file = ca_file,
        .cred = &inv->cred,
        .bearer = bearer,
        .content_type = data != NULL ? "application/json" : NULL,
        .body = data
    };
    struct tool_answer a = { 0 };
    int status = 1;

    snprintf(url, sizeof(url), "https://%s:%lld%s%s",
             str(iface, "fqdn") != NULL ? str(iface, "fqdn")
                                        : str(iface, "ipv4Addr"),
             (long long)json_integer_value(json_object_get(iface, "port")),
             prefix != NULL ? prefix : "", o->args[0]);
    if (check_authentication(o, inv, profile, ca_file)
        && tool_call(o, &req, 0, "call", &a)) {
        tool_step("6.24.2.2.2 steps 6-8", "%s %s: %d", req.method, url,
                  a.status);
        if (a.body != NULL)
            fwrite(a.body, 1, a.len, stdout);
        status = a.status < 300 ? 0 : 1;
    }
    tool_answer_clear(&a);
    free(ca_file);
    free(data);
    return status;
}

static int call(struct tool_options *o)
{
    struct invoker inv = { 0 };
    json_t *apis = tool_read_json(o, "apis.json"), *api, *profile;
    char *path = tool_path(o, "token");
    char *bearer = path != NULL ? tool_read(path) : NULL;
    int status = 1;

    if (o->n_args != 1 || o->args[0][0] != '/')
        tool_fail("call needs one path, such as /subscriptions");
    else if (apis != NULL && bearer != NULL && invoker_load(o, &inv)
             && pick(o, apis, &api, &profile))
        status = call_api(o, &inv, profile, bearer);
    if (bearer != NULL)
        OPENSSL_cleanse(bearer, strlen(bearer));
    free(bearer);
    free(path);
    invoker_clear(&inv);
    json_decref(apis);
    return status;
}

const struct tool_command tool_invoker_commands[] = {
    { "onboard", "--ccf URL --ca FILE --enrolment FILE [--key URI]",
      "exchange an enrolment token for an identity and a certificate",
      onboard },
    { "discover", "[--api NAME]", "list service APIs, partners' too",
      discover },
    { "negotiate", "--api NAME [--aef ID] [--methods OAUTH]",
      "agree on a security method with the AEF's CCF", negotiate },
    { "token", "--api NAME [--aef ID]", "get an access token for the API",
      token },
    { "call", "--api NAME [--aef ID] [--method GET] [--data FILE] PATH",
      "initiate authentication and call the API with the token", call },
    { NULL, NULL, NULL, NULL },
};
