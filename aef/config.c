/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The [aef] and [api NAME] sections, and the keys they name.
 */
#include "aef.h"

#include "log.h"
#include "visit.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STR(name, member, def)                                             \
    {                                                                      \
        name, CAPIF_OPT_STR, offsetof(struct aef, member), def, 0, 0, NULL \
    }
#define UINT(name, member, def, min, max)                                  \
    {                                                                      \
        name, CAPIF_OPT_UINT, offsetof(struct aef, member), def, min, max, \
            NULL                                                           \
    }

static const struct capif_opt aef_options[] = {
    STR("aef-id", aef_id, NULL),
    STR("ccf-id", ccf_id, NULL),
    STR("ccf-url", ccf_url, NULL),
    STR("ccf-address", ccf_address, ""),
    STR("ca-certificate", ca_file, NULL),
    STR("certificate", cert_file, NULL),
    STR("key", key_uri, NULL),
    STR("control-listen", control_listen, NULL),
    STR("service-listen", service_listen, NULL),
    { "connect", CAPIF_OPT_LIST, offsetof(struct aef, connect), "", 0, 0,
      NULL },
    { "entry-points", CAPIF_OPT_LIST, offsetof(struct aef, entry_points), "", 0,
      0, NULL },
    STR("transport-key", transport_key_uri, ""),
    { "psk-issuers", CAPIF_OPT_LIST, offsetof(struct aef, psk_issuers), "", 0,
      0, NULL },
    STR("service-fqdn", service_fqdn, ""),
    UINT("service-port", service_port, "443", 1, 65535),
    { "token-check", CAPIF_OPT_STR, offsetof(struct aef, token_check), "local",
      0, 0, "local|introspect" },
    UINT("workers", workers, "4", 1, 256),
    UINT("security-info-lifetime", info_seconds, "60", 1, 86400),
    STR("state", state, NULL),
    STR("store", store, ""),
    UINT("report-interval", report_seconds, "2", 1, 3600),
    UINT("timeout", timeout, "30", 1, 3600),
    UINT("body-max", body_max, "1073741824", 0, 1099511627776),
    { .name = NULL },
};

#undef STR
#define STR(name, member, def)                                                 \
    {                                                                          \
        name, CAPIF_OPT_STR, offsetof(struct aef_api, member), def, 0, 0, NULL \
    }

static const struct capif_opt api_options[] = {
    STR("description", description, NULL),
    STR("backend", backend, ""),
    { .name = NULL },
};

#undef STR
#define STR(name, member, def)                                             \
    {                                                                      \
        name, CAPIF_OPT_STR, offsetof(struct aef, member), def, 0, 0, NULL \
    }

/* The rest of it is capif-hsm's. */
static const struct capif_opt provider_options[] = {
    STR("apf-certificate", apf_cert_file, ""),
    STR("apf-key", apf_key_uri, ""),
    STR("amf-certificate", for_capif_hsm, ""),
    STR("amf-key", for_capif_hsm, ""),
    STR("transport-certificate", for_capif_hsm, ""),
    { .name = NULL },
};

/* The APF of the AEF's provider, if this process is to act as that. */
static bool load_provider(struct aef *aef)
{
    const char *section = "provider", *why = NULL;

    if (!capif_list_has(capif_conf_sections(aef->conf, section), section))
        return true;
    if (!capif_conf_read(aef->conf, section, provider_options, aef))
        return false;
    if (aef->apf_cert_file == NULL && aef->apf_key_uri == NULL)
        return true;
    if (aef->apf_cert_file == NULL || aef->apf_key_uri == NULL)
        why = "goes with apf-key";
    else if (!capif_credentials_load(aef->apf_cert_file, aef->apf_key_uri,
                                     &aef->apf_cred))
        return false;
    else if (!capif_cert_identity(aef->apf_cred.cert, &aef->apf)
             || aef->apf.role != CAPIF_APF
             || strcmp(aef->apf.ccf_id, aef->ccf_id) != 0)
        why = "is no APF's of this CCF";
    if (why != NULL)
        capif_conf_complain(aef->conf, section, "apf-certificate", why);
    return why == NULL;
}

static bool load_api(struct aef *aef, const char *section)
{
    struct aef_api *api = &aef->apis[aef->n_apis];
    const char *why = NULL, *option = "description";

    if (aef->n_apis == AEF_APIS_MAX) {
        capif_conf_complain(aef->conf, section, NULL, "too many APIs");
        return false;
    }
    if (!capif_conf_read(aef->conf, section, api_options, api))
        return false;
    api->name = section + strlen("api ");
    aef->n_apis++;
    if (!capif_scope_name_ok(api->name)) {
        option = NULL;
        why = "this API name can't stand in a scope";
    } else if (api->backend != NULL
               && (strncmp(api->backend, "http://", 7) != 0
                   || api->backend[strlen(api->backend) - 1] == '/')) {
        option = "backend";
        why = "must be an http:// URL that does not end with a slash";
    } else {
        why = aef_description_read(api, aef->aef_id);
    }
    for (size_t i = 0; why == NULL && i + 1 < aef->n_apis; i++)
        if (strcmp(aef->apis[i].prefix, api->prefix) == 0)
            why = "its apiPrefix is another API's";
    if (why != NULL)
        capif_conf_complain(aef->conf, section, option, why);
    return why == NULL;
}

/* CCFID=FILE: the keys of a partner that may send PSKs. */
static bool load_issuer(struct aef *aef, const char *text)
{
    const char *eq = strchr(text, '=');
    char id[CAPIF_CCF_ID_MAX + 1];
    json_t *jwks;

    if (eq == NULL || (size_t)(eq - text) >= sizeof(id))
        return false;
    memcpy(id, text, (size_t)(eq - text));
    id[eq - text] = '\0';
    jwks = json_load_file(eq + 1, JSON_REJECT_DUPLICATES, NULL);
    if (!capif_ccf_id_ok(id) || !json_is_array(json_object_get(jwks, "keys"))) {
        json_decref(jwks);
        return false;
    }
    return json_array_append_new(
               aef->issuers, json_pack("{s:s, s:o}", "ccfId", id, "jwks", jwks))
           == 0;
}

static bool load_issuers(struct aef *aef)
{
    aef->issuers = json_array();
    for (const char *const *o = aef->psk_issuers; *o != NULL; o++) {
        if (!load_issuer(aef, *o)) {
            capif_conf_complain(aef->conf, "aef", "psk-issuers",
                                "CCFID=FILE, a file with a JWK set");
            return false;
        }
    }
    return true;
}

static bool load_transport(struct aef *aef)
{
    if (aef->transport_key_uri == NULL)
        return true;
    if (aef->service_fqdn == NULL || !capif_ccf_id_ok(aef->service_fqdn)) {
        capif_conf_complain(aef->conf, "aef", "service-fqdn",
                            "with transport-key, a lower-case FQDN");
        return false;
    }
    aef->transport = capif_key_load(aef->transport_key_uri);
    return aef->transport != NULL;
}

static SSL_CTX *service_ctx(struct aef *aef)
{
    return aef->transport != NULL ? aef_psk_server_ctx(aef)
                                  : SSL_CTX_new(TLS_server_method());
}

/* Before anything else is kept there. */
static bool load_state(struct aef *aef)
{
    char store[PATH_MAX];

    if ((aef->state_fd = aef_journal_claim(aef->state)) < 0) {
        capif_conf_complain(aef->conf, "aef", "state",
                            errno == EWOULDBLOCK
                                ? "another aefd is using this directory"
                                : strerror(errno));
        return false;
    }
    snprintf(store, sizeof(store), "%s/count.db", aef->state);
    aef->counter =
        aef_counter_new(aef->store != NULL ? aef->store : store, aef->aef_id);
    return aef->counter != NULL;
}

bool aef_load(struct aef *aef, const char *path)
{
    const char *const *sections;

    aef->state_fd = -1;

    if ((aef->conf = capif_conf_open(path)) == NULL
        || !capif_conf_read(aef->conf, "aef", aef_options, aef))
        return false;
    if (!capif_scope_name_ok(aef->aef_id) || !capif_id_ok(aef->aef_id)) {
        capif_conf_complain(aef->conf, "aef", "aef-id", "malformed");
        return false;
    }
    if (!capif_ccf_id_ok(aef->ccf_id)) {
        capif_conf_complain(aef->conf, "aef", "ccf-id",
                            "must be a lower-case FQDN");
        return false;
    }
    if (!capif_connect_ok(aef->conf, "aef", aef->connect))
        return false;
    sections = capif_conf_sections(aef->conf, "api ");
    for (; *sections != NULL; sections++)
        if (!load_api(aef, *sections))
            return false;
    if (!capif_credentials_load(aef->cert_file, aef->key_uri, &aef->cred)
        || (aef->ca_certs = capif_certs_load(aef->ca_file)) == NULL
        || !load_provider(aef) || !load_issuers(aef) || !load_transport(aef)
        || (aef->control_tls =
                capif_tls_server(SSL_CTX_new(TLS_server_method()), false,
                                 &aef->cred, aef->ca_certs))
               == NULL
        || (aef->service_tls =
                capif_tls_server(service_ctx(aef), false, &aef->cred, NULL))
               == NULL
        || !aef_peers_watch(aef->service_tls, aef)
        || (aef->cache = aef_cache_new()) == NULL
        || (aef->denied = aef_denied_new()) == NULL
        || (aef->psks = aef_psks_new()) == NULL
        || (aef->verdicts = aef_verdicts_new()) == NULL
        || (aef->routes = aef_routes_new()) == NULL || !load_state(aef)) {
        capif_log_ssl("load-failed", "file", path, NULL);
        return false;
    }
    return true;
}

void aef_unload(struct aef *aef)
{
    for (size_t i = 0; i < aef->n_apis; i++)
        aef_description_clear(&aef->apis[i]);
    aef_cache_free(aef->cache);
    aef_denied_free(aef->denied);
    aef_psks_free(aef->psks);
    aef_verdicts_free(aef->verdicts);
    aef_counter_free(aef->counter);
    aef_routes_free(aef->routes);
    if (aef->state_fd >= 0)
        close(aef->state_fd);
    SSL_CTX_free(aef->control_tls);
    SSL_CTX_free(aef->service_tls);
    sk_X509_pop_free(aef->ca_certs, X509_free);
    capif_credentials_clear(&aef->cred);
    capif_credentials_clear(&aef->apf_cred);
    EVP_PKEY_free(aef->transport);
    json_decref(aef->issuers);
    capif_conf_free(aef->conf);
    memset(aef, 0, sizeof(*aef));
}
