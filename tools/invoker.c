/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API invoker's commands: onboard, discover, negotiate, and the table of
 * them all.  What one learns, the next finds in files of --dir.
 */
#include "jose.h"
#include "tool.h"

#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX 2048

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
    const char *cert = tool_str(info, "apiInvokerCertificate");
    const char *id = tool_str(a->doc, "apiInvokerId");
    json_t *connect = json_array(), *state;
    const char *ccf_id = tool_str(json_object_get(a->doc, TOOL_VS), "ccfId");
    bool ok;

    for (size_t i = 0; i < o->n_connect; i++)
        json_array_append_new(connect, json_string(o->connect[i]));
    state = json_pack("{s:s, s:s?, s:s?, s:o}", "ccf", o->ccf, "ccfId", ccf_id,
                      "apiInvokerId", id, "connect", connect);
    if (o->key != NULL)
        json_object_set_new(state, "key", json_string(o->key));
    if (o->kek != NULL)
        json_object_set_new(state, "kek", json_string(o->kek));
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
        printf("%s\t%s\t%s\t%s\n", tool_str(api, "apiName"),
               tool_str(api, "apiId"), tool_str(profile, "aefId"),
               tool_str(api, "ccfId"));
    }
}

static int discover(struct tool_options *o)
{
    struct tool_invoker inv;
    struct tool_answer a = { 0 };
    struct tool_request req = { .method = "GET" };
    char url[URL_MAX];
    int status = 1;
    json_t *api;
    size_t i;

    if (tool_invoker_load(o, &inv)) {
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
    tool_invoker_clear(&inv);
    return status;
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
    return json_pack(
        "{s:[{s:s, s:s, s:o, s:{s:s?}}], s:s, s:s}", "securityInfo", "aefId",
        tool_str(profile, "aefId"), "apiId", tool_str(api, "apiId"),
        "prefSecurityMethods", methods, TOOL_VS, "ccfId",
        tool_str(api, "ccfId"), "notificationDestination",
        "https://invoker.invalid/notifications", "supportedFeatures", "0");
}

/* KEY and P1 of the session that negotiated, for `capif psk`. */
static bool save_session(const struct tool_options *o,
                         const struct tool_invoker *inv,
                         const struct capif_session_key *session)
{
    char *p1 = capif_b64url(session->p1, session->p1_len);
    json_t *doc =
        json_pack("{s:s, s:s}", "p1", p1, "binding", session->binding);
    bool ok = doc != NULL
              && tool_secret_put(inv, doc, session->key, session->key_len)
              && tool_write_json(o, "session.json", doc);

    free(p1);
    json_decref(doc);
    return ok;
}

/* The AEF's trust anchors, out of authenticationInfo. */
static bool save_aef_ca(const struct tool_options *o, const json_t *entry)
{
    const char *text = tool_str(entry, "authenticationInfo"), *pem;
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

static int negotiate_with(struct tool_options *o,
                          const struct tool_invoker *inv, const json_t *api,
                          const json_t *profile)
{
    json_t *doc = negotiation_request(o, api, profile);
    char *body = json_dumps(doc, JSON_COMPACT);
    struct capif_session_key session = { .key_len = 0 };
    char url[URL_MAX];
    const struct tool_request req = { .method = "PUT",
                                      .url = url,
                                      .ca_file = inv->ca_file,
                                      .cred = &inv->cred,
                                      .content_type = "application/json",
                                      .body = body,
                                      .session = &session };
    struct tool_answer a = { 0 };
    const json_t *entry;
    int status = 1;

    snprintf(url, sizeof(url), "%s/capif-security/v1/trustedInvokers/%s",
             inv->ccf, inv->id);
    if (tool_call(o, &req, 201, "negotiation", &a)) {
        entry = json_array_get(json_object_get(a.doc, "securityInfo"), 0);
        tool_step("6.24.2.1 step 2", "asked for %s at %s",
                  tool_str(api, "apiName"), tool_str(profile, "aefId"));
        if (strcmp(tool_str(api, "ccfId"), inv->ccf_id) != 0)
            tool_step("6.24.2.1 steps 3-6", "%s asked %s", inv->ccf_id,
                      tool_str(api, "ccfId"));
        tool_step("6.24.2.1 step 7", "selected %s",
                  tool_str(entry, "selSecurityMethod"));
        if (tool_write_json(o, "context.json", a.doc) && save_aef_ca(o, entry)
            && (strcmp(tool_str(entry, "selSecurityMethod"), "PSK") != 0
                || save_session(o, inv, &session)))
            status = 0;
    }
    OPENSSL_cleanse(&session, sizeof(session));
    tool_answer_clear(&a);
    free(body);
    json_decref(doc);
    return status;
}

static int negotiate(struct tool_options *o)
{
    struct tool_invoker inv = { 0 };
    json_t *apis = tool_read_json(o, "apis.json"), *api, *profile;
    int status = 1;

    if (apis != NULL && tool_invoker_load(o, &inv)
        && tool_pick(o, apis, &api, &profile) && tool_seal(&inv, "session"))
        status = negotiate_with(o, &inv, api, profile);
    tool_invoker_clear(&inv);
    json_decref(apis);
    return status;
}

const struct tool_command tool_invoker_commands[] = {
    { "onboard", "--ccf URL --ca FILE --enrolment FILE [--key URI] [--kek URI]",
      "exchange an enrolment token for an identity and a certificate",
      onboard },
    { "discover", "[--api NAME]", "list service APIs, partners' too",
      discover },
    { "negotiate", "--api NAME [--aef ID] [--methods PSK,PKI,OAUTH]",
      "agree on a security method with the AEF's CCF", negotiate },
    { "token", "--api NAME [--aef ID] [--exchange]",
      "get an access token for the API, from the AEF's own CCF if need be",
      tool_token },
    { "psk", "--api NAME [--aef ID]",
      "derive the PSK for the API from the session that negotiated it",
      tool_psk },
    { "call", "--api NAME [--aef ID] [--method GET] [--data FILE] PATH",
      "initiate authentication and call the API by the method selected",
      tool_call_api },
    { NULL, NULL, NULL, NULL },
};
