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
static bool func_parse(const char *arg, struct tool_func *f)
{
    static const struct tool_func roles[] = {
        { .role = "AEF", .cert = "aef.crt" },
        { .role = "APF", .cert = "apf.crt" },
        { .role = "AMF", .cert = "amf.crt" },
    };

    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
        if (strncmp(arg, roles[i].role, 3) == 0 && arg[3] == '=') {
            *f = roles[i];
            f->key = arg + 4;
            return true;
        }
    return false;
}

/* How many functions the command line has; 0 after a message. */
static size_t funcs_parse(const struct tool_options *o, struct tool_func *funcs)
{
    size_t n = 0;

    for (int i = 0; i < o->n_args; i++) {
        if (n > 0 && strncmp(o->args[i], "TRANSPORT=", 10) == 0
            && strcmp(funcs[n - 1].role, "AEF") == 0) {
            funcs[n - 1].transport_key = o->args[i] + 10;
            funcs[n - 1].transport_cert = "transport.crt";
        } else if (!func_parse(o->args[i], &funcs[n++])) {
            tool_fail("%s: not AEF=URI, APF=URI, AMF=URI, or TRANSPORT=URI "
                      "after the AEF",
                      o->args[i]);
            return 0;
        }
    }
    return n;
}

/* aef.crt, apf.crt, amf.crt, and who is who in provider.json. */
static int register_funcs(struct tool_options *o)
{
    struct tool_func funcs[FUNCS_MAX];
    json_t *doc = NULL;
    int status = 1;
    size_t n;

    if (o->ccf == NULL || o->ca == NULL || o->enrolment == NULL || o->n_args < 1
        || o->n_args > FUNCS_MAX)
        return tool_fail(
            "register needs --ccf, --ca, --enrolment and ROLE=URI...");
    if ((n = funcs_parse(o, funcs)) > 0
        && (doc = tool_register(o, funcs, n)) != NULL
        && tool_write_json(o, "provider.json", doc))
        status = 0;
    json_decref(doc);
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
