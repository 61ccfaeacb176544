/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif-hsm register: all that an AEF needs, by its configuration alone.
 */
#include "hsm_tool.h"

#include "jose.h"
#include "tls.h"
#include "tool.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FUNCS 3

/* What [aef] and [provider] of the file say; NULL where they don't. */
static const struct {
    const char *role, *section, *key, *cert;
} members[FUNCS] = {
    { "AEF", "aef", "key", "certificate" },
    { "APF", "provider", "apf-key", "apf-certificate" },
    { "AMF", "provider", "amf-key", "amf-certificate" },
};

/* Make it if the token hasn't got it yet. */
static bool key_ready(const char *uri, const char *type)
{
    EVP_PKEY *key = capif_key_load(uri);

    if (key == NULL) {
        ERR_clear_error();
        if ((key = hsm_tool_generate(type, uri)) == NULL) {
            hsm_tool_fail(uri);
            return false;
        }
        fprintf(stderr, "  made %s\n", uri);
    }
    EVP_PKEY_free(key);
    return true;
}

static bool complain(const struct capif_conf *conf, const char *section,
                     const char *name, const char *what)
{
    capif_conf_complain(conf, section, name, what);
    return false;
}

/* Can a file be made there?  An enrolment is good for one use. */
static bool can_write(const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir[4096];

    snprintf(dir, sizeof(dir), "%.*s",
             slash != NULL ? (int)(slash + 1 - path) : 1,
             slash != NULL ? path : ".");
    return access(dir, W_OK | X_OK) == 0;
}

/* Those that are configured, in the order of members; 0 after a message. */
static size_t read_funcs(const struct capif_conf *conf,
                         struct tool_func out[FUNCS])
{
    size_t n = 0;

    for (size_t i = 0; i < FUNCS; i++) {
        struct tool_func *f = &out[n];

        *f = (struct tool_func){
            .role = members[i].role,
            .key = capif_conf_get(conf, members[i].section, members[i].key),
            .cert = capif_conf_get(conf, members[i].section, members[i].cert)
        };
        if (f->key == NULL && f->cert == NULL && i > 0)
            continue;
        if (f->key == NULL || f->cert == NULL) {
            (void)complain(conf, members[i].section,
                           f->key == NULL ? members[i].key : members[i].cert,
                           "missing");
            return 0;
        }
        if (access(f->cert, F_OK) == 0) {
            (void)complain(conf, members[i].section, members[i].cert,
                           "is there: this provider is registered already");
            return 0;
        }
        if (!can_write(f->cert)) {
            (void)complain(conf, members[i].section, members[i].cert,
                           strerror(errno));
            return 0;
        }
        n++;
    }
    out[0].transport_key = capif_conf_get(conf, "aef", "transport-key");
    out[0].transport_cert =
        capif_conf_get(conf, "provider", "transport-certificate");
    return n;
}

/* The enrolment said as whom. */
static bool is_configured(const struct capif_conf *conf, const json_t *doc)
{
    const char *got =
        capif_str(json_array_get(json_object_get(doc, "apiProvFuncs"), 0),
                  "apiProvFuncId");

    if (capif_same(got, capif_conf_get(conf, "aef", "aef-id")))
        return true;
    tool_fail("the AEF is registered as %s: aef-id has to be that", got);
    return false;
}

/* Beside the AEF's certificate. */
static bool save(const struct tool_options *t, const char *cert,
                 const json_t *doc)
{
    const char *slash = strrchr(cert, '/');
    char path[4096];

    snprintf(path, sizeof(path), "%.*sprovider.json",
             slash != NULL ? (int)(slash + 1 - cert) : 0, cert);
    return tool_write_json(t, path, doc);
}

int hsm_tool_register(struct options *o)
{
    struct tool_options t = { .dir = ".", .enrolment = o->enrolment };
    const char *address;
    struct tool_func funcs[FUNCS];
    char connect[1024];
    json_t *doc;
    size_t n;
    int status = 1;

    if (o->conf == NULL || o->enrolment == NULL || o->n_args != 0) {
        fputs("error: register needs --config and --enrolment\n", stderr);
        return 2;
    }
    t.ccf = capif_conf_get(o->conf, "aef", "ccf-url");
    t.ca = capif_conf_get(o->conf, "aef", "ca-certificate");
    if (t.ccf == NULL || t.ca == NULL || strncmp(t.ccf, "https://", 8) != 0) {
        capif_conf_complain(o->conf, "aef",
                            t.ca == NULL ? "ca-certificate" : "ccf-url",
                            "missing, or no https:// URL");
        return 1;
    }
    if ((n = read_funcs(o->conf, funcs)) == 0)
        return 1;
    if (access(o->enrolment, R_OK) != 0)
        return tool_fail("%s: %s", o->enrolment, strerror(errno));
    if ((address = capif_conf_get(o->conf, "aef", "ccf-address")) != NULL) {
        snprintf(connect, sizeof(connect), "%s%s:%s", t.ccf + 8,
                 strchr(t.ccf + 8, ':') != NULL ? "" : ":443", address);
        t.connect[t.n_connect++] = connect;
    }
    for (size_t i = 0; i < n; i++)
        if (!key_ready(funcs[i].key, "p256"))
            return 1;
    if (funcs[0].transport_key != NULL
        && !key_ready(funcs[0].transport_key, "transport"))
        return 1;
    if ((doc = tool_register(&t, funcs, n)) != NULL
        && save(&t, funcs[0].cert, doc) && is_configured(o->conf, doc))
        status = 0;
    json_decref(doc);
    return status;
}
