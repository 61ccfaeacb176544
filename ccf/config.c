/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The [ccf] and [partner NAME] sections, and all keys they name.
 */
#include "ccf.h"

#include "jose.h"
#include "log.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHODS "PSK|PKI|OAUTH"

#define STR(name, member, def)                                             \
    {                                                                      \
        name, CAPIF_OPT_STR, offsetof(struct ccf, member), def, 0, 0, NULL \
    }
#define LIST(name, member, def)                                             \
    {                                                                       \
        name, CAPIF_OPT_LIST, offsetof(struct ccf, member), def, 0, 0, NULL \
    }
#define UINT(name, member, def, min, max)                                  \
    {                                                                      \
        name, CAPIF_OPT_UINT, offsetof(struct ccf, member), def, min, max, \
            NULL                                                           \
    }

static const struct capif_opt ccf_options[] = {
    STR("ccf-id", ccf_id, NULL),
    STR("listen", listen, NULL),
    STR("url", url, NULL),
    STR("store", store_name, NULL),
    STR("certificate", cert_file, NULL),
    STR("key", key_uri, NULL),
    STR("ca-certificate", ca_file, NULL),
    LIST("ca-key", ca_key_uris, NULL),
    LIST("jws-key", jws_key_uris, NULL),
    LIST("kek", kek_uris, ""),
    STR("revoked-certificates", revoked_file, ""),
    STR("notification-ca", notify_ca, ""),
    LIST("connect", connect, ""),
    { "transport", CAPIF_OPT_LIST, offsetof(struct ccf, transports.option), "",
      0, 0, NULL },
    { "security-methods", CAPIF_OPT_LIST, offsetof(struct ccf, methods),
      "PSK,PKI,OAUTH", 0, 0, METHODS },
    { "oauth-client-auth", CAPIF_OPT_STR,
      offsetof(struct ccf, oauth_client_auth), "mutual", 0, 0,
      "mutual|server" },
    UINT("workers", workers, "4", 1, 256),
    UINT("token-lifetime", token_seconds, "600", 1, 86400),
    UINT("psk-lifetime", psk_seconds, "3600", 1, 31536000),
    UINT("context-lifetime", context_seconds, "86400", 1, 31536000),
    UINT("crl-interval", crl_seconds, "300", 1, 86400),
    UINT("certificate-days", cert_days, "90", 1, 3650),
    UINT("discover-max", discover_max, "1000", 1, 10000),
    UINT("partner-cache", partner_seconds, "5", 0, 3600),
    UINT("audit-max", audit_max, "1000", 1, 10000),
    UINT("log-days", log_days, "0", 0, 36500),
    { .name = NULL },
};

#undef STR
#define STR(name, member, def)                                                \
    {                                                                         \
        name, CAPIF_OPT_STR, offsetof(struct ccf_partner, member), def, 0, 0, \
            NULL                                                              \
    }

static const struct capif_opt partner_options[] = {
    STR("ccf-id", ccf_id, NULL),
    STR("url", url, NULL),
    STR("address", address, ""),
    STR("ca", ca, NULL),
    STR("jwks", jwks_file, ""),
    { "jwks-fetch", CAPIF_OPT_BOOL, offsetof(struct ccf_partner, jwks_fetch),
      "no", 0, 0, NULL },
    { "jwks-interval", CAPIF_OPT_UINT,
      offsetof(struct ccf_partner, jwks_interval), "300", 1, 86400, NULL },
    { "aefs", CAPIF_OPT_LIST, offsetof(struct ccf_partner, aefs), NULL, 0, 0,
      NULL },
    { "methods", CAPIF_OPT_LIST, offsetof(struct ccf_partner, methods),
      "PKI,OAUTH", 0, 0, METHODS },
    { "publish", CAPIF_OPT_BOOL, offsetof(struct ccf_partner, publish), "yes",
      0, 0, NULL },
    { "transport", CAPIF_OPT_LIST,
      offsetof(struct ccf_partner, transports.option), "", 0, 0, NULL },
    { .name = NULL },
};

/* https://HOST[:PORT] with nothing after it, and HOST the ccfId. */
static bool url_is_of(const char *url, const char *ccf_id)
{
    size_t len = strlen(ccf_id);

    if (strncmp(url, "https://", 8) != 0 || strncmp(url + 8, ccf_id, len) != 0)
        return false;
    url += 8 + len;
    return *url == '\0'
           || (*url == ':' && url[1] != '\0'
               && strspn(url + 1, "0123456789") == strlen(url + 1));
}

static bool ids_ok(const struct ccf *ccf, const char *section,
                   const char *ccf_id, const char *url)
{
    if (!capif_ccf_id_ok(ccf_id)) {
        capif_conf_complain(ccf->conf, section, "ccf-id",
                            "must be a lower-case FQDN");
        return false;
    }
    if (!url_is_of(url, ccf_id)) {
        capif_conf_complain(ccf->conf, section, "url",
                            "must be https://<ccf-id>[:PORT]");
        return false;
    }
    return true;
}

static bool anchors_add(struct ccf *ccf, STACK_OF(X509) * certs)
{
    for (int i = 0; i < sk_X509_num(certs); i++)
        if (!sk_X509_push(ccf->anchors, sk_X509_value(certs, i)))
            return false;
    return true;
}

/*
 * AEFID=FILE: the certificate must be for that AEF's transport key and verify
 * under the CA of the AEF's domain.
 */
static bool load_transport(const char *text, const char *ccf_id,
                           STACK_OF(X509) * ca_certs, struct ccf_transport *t)
{
    const char *eq = strchr(text, '=');
    struct capif_identity who;
    STACK_OF(X509) * certs;
    X509 *cert;
    bool ok = false;

    if (eq == NULL || (size_t)(eq - text) > CAPIF_ID_MAX
        || (certs = capif_certs_load(eq + 1)) == NULL)
        return false;
    cert = sk_X509_value(certs, 0);
    snprintf(t->aef_id, sizeof(t->aef_id), "%.*s", (int)(eq - text), text);
    if (capif_cert_identity(cert, &who) && who.role == CAPIF_AEF
        && strcmp(who.ccf_id, ccf_id) == 0 && strcmp(who.id, t->aef_id) == 0
        && (X509_get_key_usage(cert) & KU_KEY_ENCIPHERMENT)
        && EVP_PKEY_is_a(X509_get0_pubkey(cert), "RSA")
        && capif_cert_verify_any(cert, certs, ca_certs)
        && capif_cert_thumbprint(cert, t->kid)) {
        t->key = X509_get_pubkey(cert);
        ok = t->key != NULL;
    }
    sk_X509_pop_free(certs, X509_free);
    return ok;
}

static bool load_transports(struct ccf *ccf, const char *section,
                            const char *ccf_id, STACK_OF(X509) * ca_certs,
                            struct ccf_transports *t)
{
    for (const char *const *o = t->option; *o != NULL; o++) {
        if (t->n == CCF_TRANSPORTS_MAX
            || !load_transport(*o, ccf_id, ca_certs, &t->list[t->n++])) {
            capif_conf_complain(ccf->conf, section, "transport",
                                "AEFID=FILE, a transport certificate under "
                                "the domain's CA");
            return false;
        }
    }
    return true;
}

static void unload_transports(struct ccf_transports *t)
{
    for (size_t i = 0; i < t->n; i++)
        EVP_PKEY_free(t->list[i].key);
}

static bool load_jwks(struct ccf *ccf, const char *section,
                      struct ccf_partner *p)
{
    json_error_t err;

    if (p->jwks_file == NULL && p->jwks_fetch)
        return true;
    if (p->jwks_file == NULL) {
        capif_conf_complain(ccf->conf, section, "jwks",
                            "required without jwks-fetch");
        return false;
    }
    p->jwks = json_load_file(p->jwks_file, JSON_REJECT_DUPLICATES, &err);
    if (!json_is_array(json_object_get(p->jwks, "keys"))) {
        capif_conf_complain(ccf->conf, section, "jwks",
                            "no file with a JWK set");
        return false;
    }
    return true;
}

static bool load_partner(struct ccf *ccf, const char *section)
{
    struct ccf_partner *p = &ccf->partners[ccf->n_partners];

    if (ccf->n_partners == CCF_PARTNERS_MAX) {
        capif_conf_complain(ccf->conf, section, NULL, "too many partners");
        return false;
    }
    p->of = ccf;
    p->name = section + strlen("partner ");
    if (!capif_conf_read(ccf->conf, section, partner_options, p)
        || !ids_ok(ccf, section, p->ccf_id, p->url))
        return false;
    if (strcmp(p->ccf_id, ccf->ccf_id) == 0
        || ccf_partner_find(ccf, p->ccf_id) != NULL) {
        capif_conf_complain(ccf->conf, section, "ccf-id", "not unique");
        return false;
    }
    ccf->n_partners++;
    if ((p->ca_certs = capif_certs_load(p->ca)) == NULL) {
        capif_conf_complain(ccf->conf, section, "ca",
                            "no PEM file of certificates");
        return false;
    }
    if (!load_jwks(ccf, section, p))
        return false;
    return load_transports(ccf, section, p->ccf_id, p->ca_certs, &p->transports)
           && anchors_add(ccf, p->ca_certs);
}

/* What the sockets, threads and store that there are depend on. */
static bool stays(const struct ccf *ccf, const struct ccf *was)
{
    const struct {
        const char *name;
        bool same;
    } fixed[] = {
        { "ccf-id", strcmp(ccf->ccf_id, was->ccf_id) == 0 },
        { "listen", strcmp(ccf->listen, was->listen) == 0 },
        { "store", strcmp(ccf->store_name, was->store_name) == 0 },
        { "workers", ccf->workers == was->workers },
    };
    bool ok = true;

    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++) {
        if (!fixed[i].same)
            capif_conf_complain(ccf->conf, "ccf", fixed[i].name,
                                "can't change while it runs: restart");
        ok = ok && fixed[i].same;
    }
    return ok;
}

/* More keys than there is room for, or none. */
static bool lists_ok(const struct ccf *ccf)
{
    const struct {
        const char *name;
        const char *const *list;
    } lists[] = { { "ca-key", ccf->ca_key_uris },
                  { "jws-key", ccf->jws_key_uris },
                  { "kek", ccf->kek_uris } };

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        size_t n = 0;

        while (lists[i].list[n] != NULL)
            n++;
        if (n > CCF_KEYS_MAX) {
            capif_conf_complain(ccf->conf, "ccf", lists[i].name,
                                "too many keys");
            return false;
        }
    }
    return true;
}

/* What of it the store has to know. */
static void set_domain(struct ccf *ccf)
{
    struct ccf_domain *d = &ccf->domain;

    d->ccf_id = ccf->ccf_id;
    d->url = ccf->url;
    for (d->n = 0; d->n < ccf->n_partners; d->n++)
        d->list[d->n] = (struct ccf_neighbour){ ccf->partners[d->n].ccf_id,
                                                ccf->partners[d->n].url,
                                                ccf->partners[d->n].aefs,
                                                ccf->partners[d->n].publish };
}

static bool load(struct ccf *ccf, const char *path, const struct ccf *was)
{
    const char *const *sections;

    ccf->conf = was == NULL ? capif_conf_open(path) : capif_conf_reopen(path);
    if (ccf->conf == NULL
        || !capif_conf_read(ccf->conf, "ccf", ccf_options, ccf)
        || !ids_ok(ccf, "ccf", ccf->ccf_id, ccf->url)
        || !capif_connect_ok(ccf->conf, "ccf", ccf->connect) || !lists_ok(ccf)
        || (was != NULL && !stays(ccf, was)) || !ccf_keys_load(ccf)
        || (ccf->anchors = sk_X509_new_null()) == NULL
        || !anchors_add(ccf, ccf->ca_certs))
        return false;
    sections = capif_conf_sections(ccf->conf, "partner ");
    for (; *sections != NULL; sections++)
        if (!load_partner(ccf, *sections))
            return false;
    set_domain(ccf);
    if (!load_transports(ccf, "ccf", ccf->ccf_id, ccf->ca_certs,
                         &ccf->transports))
        return false;
    ccf->tls = capif_tls_server(ccf->kek_uri != NULL
                                    ? capif_seal_server_ctx(ccf->kek_uri)
                                    : SSL_CTX_new(TLS_server_method()),
                                ccf->kek_uri != NULL, &ccf->cred, ccf->anchors);
    if (ccf->tls == NULL) {
        capif_log_ssl("tls-unusable", NULL);
        return false;
    }
    return true;
}

static void unload(struct ccf *ccf)
{
    for (size_t i = 0; i < ccf->n_partners; i++) {
        unload_transports(&ccf->partners[i].transports);
        sk_X509_pop_free(ccf->partners[i].ca_certs, X509_free);
        json_decref(ccf->partners[i].jwks);
    }
    unload_transports(&ccf->transports);
    SSL_CTX_free(ccf->tls);
    sk_X509_free(ccf->anchors);
    sk_X509_pop_free(ccf->ca_certs, X509_free);
    sk_X509_pop_free(ccf->revoked, X509_free);
    capif_credentials_clear(&ccf->cred);
    for (size_t i = 0; i < CCF_KEYS_MAX; i++)
        EVP_PKEY_free(ccf->ca_keys[i]);
    EVP_PKEY_free(ccf->jws_key);
    json_decref(ccf->jwks);
    capif_conf_free(ccf->conf);
    free(ccf);
}

struct ccf *ccf_open(const char *path, const struct ccf *was)
{
    struct ccf *ccf = calloc(1, sizeof(*ccf));

    if (ccf == NULL)
        return NULL;
    atomic_init(&ccf->refs, 1);
    if (!load(ccf, path, was)) {
        unload(ccf);
        return NULL;
    }
    return ccf;
}

struct ccf *ccf_hold(struct ccf *ccf)
{
    atomic_fetch_add(&ccf->refs, 1);
    return ccf;
}

void ccf_let_go(struct ccf *ccf)
{
    if (ccf != NULL && atomic_fetch_sub(&ccf->refs, 1) == 1)
        unload(ccf);
}

const struct ccf_partner *ccf_partner_find(const struct ccf *ccf,
                                           const char *ccf_id)
{
    for (size_t i = 0; i < ccf->n_partners; i++)
        if (strcmp(ccf->partners[i].ccf_id, ccf_id) == 0)
            return &ccf->partners[i];
    return NULL;
}

const struct ccf_partner *ccf_partner_by_url(const struct ccf *ccf,
                                             const char *url)
{
    for (size_t i = 0; i < ccf->n_partners; i++)
        if (strcmp(ccf->partners[i].url, url) == 0)
            return &ccf->partners[i];
    return NULL;
}

bool ccf_domain_known(const struct ccf *ccf, const char *ccf_id)
{
    return strcmp(ccf_id, ccf->ccf_id) == 0
           || ccf_partner_find(ccf, ccf_id) != NULL;
}
