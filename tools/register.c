/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registering an API provider's functions at a CCF (TS 29.222 8.9), whose keys
 * are in a token.
 */
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define URL_MAX 2048

/* The transport key goes with the AEF, which the enrolment is for. */
static bool add_transport(json_t *func, const char *uri)
{
    EVP_PKEY *key = capif_key_load(uri);
    char *spki = key != NULL ? capif_spki_pem(key) : NULL;
    bool ok =
        spki != NULL
        && json_object_set_new(func, TOOL_VS,
                               json_pack("{s:s}", "transportPublicKey", spki))
               == 0;

    if (!ok)
        tool_fail("%s: no transport key", uri);
    free(spki);
    EVP_PKEY_free(key);
    return ok;
}

static json_t *func_json(const struct tool_func *f)
{
    EVP_PKEY *key = capif_key_load(f->key);
    char *csr = key != NULL ? capif_csr_make(f->role, key) : NULL;
    json_t *out = NULL;

    if (csr != NULL)
        out = json_pack("{s:s, s:{s:s}}", "apiProvFuncRole", f->role, "regInfo",
                        "apiProvPubKey", csr);
    else
        tool_fail("%s: no key to make a certificate request with", f->key);
    free(csr);
    EVP_PKEY_free(key);
    if (out != NULL && f->transport_key != NULL
        && !add_transport(out, f->transport_key)) {
        json_decref(out);
        out = NULL;
    }
    return out;
}

static bool save(const struct tool_options *o, const struct tool_func *f,
                 const json_t *got)
{
    const char *cert =
        capif_str(json_object_get(got, "regInfo"), "apiProvCert");
    const char *transport =
        capif_str(json_object_get(got, TOOL_VS), "transportCertificate");

    if (cert == NULL || !capif_str_is(got, "apiProvFuncRole", f->role)) {
        tool_fail("registration: no certificate of the %s", f->role);
        return false;
    }
    if (!tool_write(o, f->cert, cert)
        || (transport != NULL && f->transport_cert != NULL
            && !tool_write(o, f->transport_cert, transport)))
        return false;
    tool_step("29.222 5.11", "%s %s registered and certified", f->role,
              capif_str(got, "apiProvFuncId"));
    return true;
}

static char *request_body(const struct tool_options *o,
                          const struct tool_func *funcs, size_t n)
{
    json_t *list = json_array(), *doc = NULL, *one;
    char *token = tool_read(o->enrolment), *body = NULL;

    for (size_t i = 0; token != NULL && i < n; i++) {
        if ((one = func_json(&funcs[i])) == NULL)
            goto out;
        json_array_append_new(list, one);
    }
    if (token != NULL) {
        doc = json_pack("{s:s, s:O, s:s}", "regSec", token, "apiProvFuncs",
                        list, "suppFeat", "0");
        body = json_dumps(doc, JSON_COMPACT);
    }
out:
    if (token != NULL)
        OPENSSL_cleanse(token, strlen(token));
    free(token);
    json_decref(doc);
    json_decref(list);
    return body;
}

json_t *tool_register(const struct tool_options *o,
                      const struct tool_func *funcs, size_t n)
{
    char *body = request_body(o, funcs, n), url[URL_MAX];
    const struct tool_request req = { .method = "POST",
                                      .url = url,
                                      .ca_file = o->ca,
                                      .content_type = "application/json",
                                      .body = body };
    struct tool_answer a = { 0 };
    json_t *doc = NULL;

    if (body == NULL)
        return NULL;
    snprintf(url, sizeof(url), "%s/api-provider-management/v1/registrations",
             o->ccf);
    if (tool_call(o, &req, 201, "registration", &a))
        doc = json_incref(a.doc);
    for (size_t i = 0; doc != NULL && i < n; i++)
        if (!save(o, &funcs[i],
                  json_array_get(json_object_get(a.doc, "apiProvFuncs"), i))) {
            json_decref(doc);
            doc = NULL;
        }
    OPENSSL_cleanse(body, strlen(body));
    free(body);
    tool_answer_clear(&a);
    return doc;
}
