/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API provider's commands: register its functions, publish its APIs.
 */
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FUNCS_MAX 8
#define URL_MAX   2048

/* ROLE=URI of the command line. */
struct func {
    char role[8];
    const char *uri;
};

static bool func_parse(const char *arg, struct func *f)
{
    const char *eq = strchr(arg, '=');

    if (eq == NULL || eq - arg != 3)
        return false;
    snprintf(f->role, sizeof(f->role), "%.3s", arg);
    f->uri = eq + 1;
    return strcmp(f->role, "AEF") == 0 || strcmp(f->role, "APF") == 0
           || strcmp(f->role, "AMF") == 0;
}

/* The transport key goes with the AEF, which the enrolment is for. */
static bool add_transport(json_t *list, const char *uri)
{
    EVP_PKEY *key = capif_key_load(uri);
    char *spki = key != NULL ? capif_spki_pem(key) : NULL;
    json_t *f;
    size_t i;
    bool ok = false;

    json_array_foreach(list, i, f)
    {
        if (spki != NULL && strcmp(capif_str(f, "apiProvFuncRole"), "AEF") == 0)
            ok = json_object_set_new(
                     f, TOOL_VS, json_pack("{s:s}", "transportPublicKey", spki))
                 == 0;
    }
    if (!ok)
        tool_fail("%s: no transport key, or no AEF before it", uri);
    free(spki);
    EVP_PKEY_free(key);
    return ok;
}

static json_t *func_json(const struct func *f)
{
    EVP_PKEY *key = capif_key_load(f->uri);
    char *csr = key != NULL ? capif_csr_make(f->role, key) : NULL;
    json_t *out = NULL;

    if (csr != NULL)
        out = json_pack("{s:s, s:{s:s}}", "apiProvFuncRole", f->role, "regInfo",
                        "apiProvPubKey", csr);
    else
        tool_fail("%s: no key to make a certificate request with", f->uri);
    free(csr);
    EVP_PKEY_free(key);
    return out;
}

/* aef.crt, apf.crt, amf.crt, and who is who in provider.json. */
static bool save(const struct tool_options *o, const json_t *doc)
{
    const json_t *f;
    char name[16];
    size_t i;

    json_array_foreach(json_object_get(doc, "apiProvFuncs"), i, f)
    {
        const char *role = capif_str(f, "apiProvFuncRole");
        const char *cert =
            capif_str(json_object_get(f, "regInfo"), "apiProvCert");

        if (role == NULL || cert == NULL || strlen(role) != 3)
            return false;
        snprintf(name, sizeof(name), "%c%c%c.crt", role[0] | 0x20,
                 role[1] | 0x20, role[2] | 0x20);
        if (!tool_write(o, name, cert))
            return false;
        cert = capif_str(json_object_get(f, TOOL_VS), "transportCertificate");
        if (cert != NULL && !tool_write(o, "transport.crt", cert))
            return false;
        tool_step("29.222 5.11", "%s %s registered and certified", role,
                  capif_str(f, "apiProvFuncId"));
    }
    return tool_write_json(o, "provider.json", doc);
}

static int register_funcs(struct tool_options *o)
{
    json_t *list = json_array(), *doc = NULL, *one;
    char *token = NULL, *body = NULL;
    struct tool_answer a = { 0 };
    char url[URL_MAX];
    struct func f;
    int status = 1;

    if (o->ccf == NULL || o->ca == NULL || o->enrolment == NULL || o->n_args < 1
        || o->n_args > FUNCS_MAX) {
        tool_fail("register needs --ccf, --ca, --enrolment and ROLE=URI...");
        goto out;
    }
    if ((token = tool_read(o->enrolment)) == NULL)
        goto out;
    for (int i = 0; i < o->n_args; i++) {
        if (strncmp(o->args[i], "TRANSPORT=", 10) == 0) {
            if (!add_transport(list, o->args[i] + 10))
                goto out;
            continue;
        }
        if (!func_parse(o->args[i], &f)) {
            tool_fail("%s: not AEF=URI, APF=URI, AMF=URI or TRANSPORT=URI",
                      o->args[i]);
            goto out;
        }
        if ((one = func_json(&f)) == NULL)
            goto out;
        json_array_append_new(list, one);
    }
    doc = json_pack("{s:s, s:O, s:s}", "regSec", token, "apiProvFuncs", list,
                    "suppFeat", "0");
    body = json_dumps(doc, JSON_COMPACT);
    snprintf(url, sizeof(url), "%s/api-provider-management/v1/registrations",
             o->ccf);
    const struct tool_request req = { .method = "POST",
                                      .url = url,
                                      .ca_file = o->ca,
                                      .content_type = "application/json",
                                      .body = body };
    if (tool_call(o, &req, 201, "registration", &a) && save(o, a.doc))
        status = 0;
out:
    if (token != NULL)
        OPENSSL_cleanse(token, strlen(token));
    if (body != NULL)
        OPENSSL_cleanse(body, strlen(body));
    free(token);
    free(body);
    json_decref(doc);
    json_decref(list);
    tool_answer_clear(&a);
    return status;
}

/* The id of the function of that role that was registered. */
static const char *func_id(const json_t *provider, const char *role)
{
    const json_t *f;
    size_t i;

    json_array_foreach(json_object_get(provider, "apiProvFuncs"), i, f)
    {
        if (capif_str_is(f, "apiProvFuncRole", role))
            return capif_str(f, "apiProvFuncId");
    }
    return NULL;
}

/* Send the one file of the command line, as the function whose key it is. */
static bool send_file(struct tool_options *o, const char *cert_name,
                      const char *method, const char *url, int status,
                      const char *what, struct tool_answer *a)
{
    char *cert = tool_path(o, cert_name);
    char *body = tool_read(o->args[0]);
    struct capif_credentials cred = { 0 };
    const struct tool_request req = { .method = method,
                                      .url = url,
                                      .ca_file = o->ca,
                                      .cred = &cred,
                                      .content_type = "application/json",
                                      .body = body };
    bool ok = cert != NULL && body != NULL
              && capif_credentials_load(cert, o->key, &cred)
              && tool_call(o, &req, status, what, a);

    capif_credentials_clear(&cred);
    free(body);
    free(cert);
    return ok;
}

static int publish(struct tool_options *o)
{
    json_t *provider = NULL;
    struct tool_answer a = { 0 };
    char url[URL_MAX];
    int status = 1;

    if (o->ccf == NULL || o->ca == NULL || o->key == NULL || o->n_args != 1)
        return tool_fail("publish needs --ccf, --ca, --key and a file");
    provider = tool_read_json(o, "provider.json");
    if (provider != NULL && func_id(provider, "APF") != NULL) {
        snprintf(url, sizeof(url), "%s/published-apis/v1/%s/service-apis",
                 o->ccf, func_id(provider, "APF"));
        if (send_file(o, "apf.crt", "POST", url, 201, "publishing", &a)) {
            tool_step("29.222 5.3", "%s published as %s",
                      capif_str(a.doc, "apiName"), capif_str(a.doc, "apiId"));
            status = 0;
        }
    }
    tool_answer_clear(&a);
    json_decref(provider);
    return status;
}

static int policy(struct tool_options *o)
{
    struct tool_answer a = { 0 };
    char url[URL_MAX];
    int status = 1;

    if (o->ccf == NULL || o->ca == NULL || o->key == NULL || o->api == NULL
        || o->aef == NULL || o->n_args != 1)
        return tool_fail(
            "policy needs --ccf, --ca, --key, --api, --aef and a file");
    snprintf(url, sizeof(url),
             "%s/access-control-policy/v1/accessControlPolicyList/%s?aef-id=%s",
             o->ccf, o->api, o->aef);
    if (send_file(o, "amf.crt", "PUT", url, 0, "setting a policy", &a)) {
        if (a.status == 200 || a.status == 201) {
            tool_step("29.222 5.10", "policy set for %s at %s", o->api, o->aef);
            status = 0;
        } else {
            tool_fail("setting a policy: %d: %s", a.status,
                      a.body != NULL ? a.body : "");
        }
    }
    tool_answer_clear(&a);
    return status;
}

const struct tool_command tool_operator_commands[] = {
    { "register", "--ccf URL --ca FILE --enrolment FILE ROLE=URI...",
      "certify an AEF (with its TRANSPORT key), APF and AMF", register_funcs },
    { "publish", "--ccf URL --ca FILE --key URI FILE",
      "publish a ServiceAPIDescription with the APF's key", publish },
    { "policy", "--ccf URL --ca FILE --key URI --api API-ID --aef AEF-ID FILE",
      "set an AccessControlPolicyList with the AMF's key", policy },
    { NULL, NULL, NULL, NULL },
};
