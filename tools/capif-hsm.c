/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif-hsm: provision a token: keys made inside, never imported.
 */
#include "hsm_tool.h"

#include "cert.h"
#include "conf.h"
#include "jose.h"
#include "officer.h"
#include "tls.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int hsm_tool_fail(const char *what)
{
    fprintf(stderr, "error: %s\n", what);
    ERR_print_errors_fp(stderr);
    return 1;
}

int hsm_tool_write(const struct options *o, const char *text)
{
    int fd = STDOUT_FILENO;
    bool ok;

    if (o->out != NULL)
        fd = open(o->out, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ok = fd >= 0 && dprintf(fd, "%s", text) >= 0;
    if (o->out != NULL && fd >= 0 && close(fd) != 0)
        ok = false;
    if (!ok)
        fprintf(stderr, "error: %s: %s\n", o->out != NULL ? o->out : "stdout",
                strerror(errno));
    return ok ? 0 : 1;
}

/* ---- ca, cert ---- */

static int write_cert(const struct options *o, X509 *cert)
{
    char *pem = cert != NULL ? capif_cert_pem(cert) : NULL;
    int status = pem != NULL ? hsm_tool_write(o, pem)
                             : hsm_tool_fail("no certificate made");

    free(pem);
    X509_free(cert);
    return status;
}

static int ca(struct options *o)
{
    EVP_PKEY *key;
    int status;

    if (o->key == NULL || o->name == NULL) {
        fputs("error: ca needs --key and --name\n", stderr);
        return 2;
    }
    if ((key = capif_key_load(o->key)) == NULL)
        return hsm_tool_fail(o->key);
    status = write_cert(o, capif_cert_ca(o->name, key, o->days));
    EVP_PKEY_free(key);
    return status;
}

static int cert(struct options *o)
{
    struct capif_cert_spec spec = { .who.role = CAPIF_CCF, .days = o->days };
    STACK_OF(X509) * ca_certs;
    EVP_PKEY *key, *ca_key;
    int status;

    if (o->key == NULL || o->ca_cert == NULL || o->ca_key == NULL
        || o->ccf_id == NULL || !capif_ccf_id_ok(o->ccf_id)) {
        fputs("error: cert needs --key, --ca-cert, --ca-key, and --ccf-id, "
              "a lower-case FQDN\n",
              stderr);
        return 2;
    }
    key = capif_key_load(o->key);
    ca_key = capif_key_load(o->ca_key);
    ca_certs = capif_certs_load(o->ca_cert);
    strcpy(spec.who.ccf_id, o->ccf_id);
    strcpy(spec.who.id, o->ccf_id);
    spec.dns_name = o->ccf_id;
    spec.public_key = key;
    if (key == NULL || ca_key == NULL || ca_certs == NULL)
        status =
            hsm_tool_fail("the keys or the CA's certificate can't be read");
    else
        status = write_cert(
            o, capif_cert_issue(&spec, sk_X509_value(ca_certs, 0), ca_key));
    EVP_PKEY_free(key);
    EVP_PKEY_free(ca_key);
    sk_X509_pop_free(ca_certs, X509_free);
    return status;
}

/* ---- enrol ---- */

/* ID=DNSNAME of an AEF that the enrolment is for. */
static json_t *aef_json(const char *arg)
{
    const char *eq = strchr(arg, '=');
    char id[CAPIF_ID_MAX + 1];

    if (eq == NULL || (size_t)(eq - arg) > CAPIF_ID_MAX)
        return NULL;
    snprintf(id, sizeof(id), "%.*s", (int)(eq - arg), arg);
    if (!capif_id_ok(id) || !capif_ccf_id_ok(eq + 1))
        return NULL;
    return json_pack("{s:s, s:s}", "id", id, "dnsName", eq + 1);
}

static char *enrolment(const struct options *o, const char *role,
                       const char *ccf_id, EVP_PKEY *key)
{
    json_t *aefs = json_array(), *claims;
    unsigned char raw[16];
    char kid[44], *jti = NULL, *token = NULL;

    for (size_t i = 0; i < o->n_aefs; i++) {
        if (json_array_append_new(aefs, aef_json(o->aefs[i])) != 0) {
            fprintf(stderr, "error: %s: not ID=DNSNAME\n", o->aefs[i]);
            json_decref(aefs);
            return NULL;
        }
    }
    if (RAND_bytes(raw, sizeof(raw)) != 1
        || (jti = capif_b64url(raw, sizeof(raw))) == NULL
        || !capif_jwk_thumbprint(key, kid)) {
        json_decref(aefs);
        free(jti);
        return NULL;
    }
    claims = json_pack("{s:s, s:s, s:s, s:s, s:I, s:o}", "iss", ccf_id, "aud",
                       ccf_id, "role", role, "jti", jti, "exp",
                       (json_int_t)time(NULL) + o->valid, "aefs", aefs);
    token = capif_jws_sign(claims, "enrol+jwt", kid, key);
    json_decref(claims);
    free(jti);
    return token;
}

static int enrol(struct options *o)
{
    const char *const role = o->n_args == 1 ? o->args[0] : "";
    const char *ccf_id, *uris;
    char uri[1024], *token;
    EVP_PKEY *key;
    int status;

    if (strcmp(role, "invoker") != 0 && strcmp(role, "provider") != 0) {
        fputs("error: enrol needs `invoker` or `provider`\n", stderr);
        return 2;
    }
    if (o->conf == NULL
        || (ccf_id = capif_conf_get(o->conf, "ccf", "ccf-id")) == NULL
        || (uris = capif_conf_get(o->conf, "ccf", "jws-key")) == NULL) {
        fputs("error: enrol needs the CCF's configuration with --config\n",
              stderr);
        return 2;
    }
    snprintf(uri, sizeof(uri), "%.*s", (int)strcspn(uris, ", \t"), uris);
    if ((key = capif_key_load(uri)) == NULL)
        return hsm_tool_fail(uri);
    token = enrolment(o, role, ccf_id, key);
    status =
        token != NULL ? hsm_tool_write(o, token) : hsm_tool_fail("not signed");
    free(token);
    EVP_PKEY_free(key);
    return status;
}

/* ---- the command line ---- */

static const struct command commands[] = {
    { "keygen",
      "[--type p256|p384|p521|ed25519|rsa2048|rsa3072|rsa4096|transport] "
      "URI...",
      "make key pairs in the token", hsm_tool_keygen },
    { "kek", "--so-pin-file FILE URI",
      "make a trusted key encryption key, as security officer", hsm_tool_kek },
    { "partner", "--so-pin-file FILE --cert FILE URI",
      "trust a partner's transport certificate, as security officer",
      hsm_tool_partner },
    { "ca", "--key URI --name NAME [--days N] [--out FILE]",
      "a self-signed CA certificate for a key", ca },
    { "cert",
      "--key URI --ca-cert FILE --ca-key URI --ccf-id ID [--days N] "
      "[--out FILE]",
      "a CCF's TLS certificate", cert },
    { "jwks", "[--out FILE] URI...", "public keys as a JWK set",
      hsm_tool_jwks },
    { "keyfile", "[--out FILE] URI", "a PEM file for programs that take no URI",
      hsm_tool_keyfile },
    { "enrol",
      "[--valid SECONDS] [--aef ID=DNSNAME]... [--out FILE] invoker|provider",
      "an enrolment token, good for one use", enrol },
    { "register", "--config FILE --enrolment FILE",
      "keys and certificates of an AEF and its provider, as configured",
      hsm_tool_register },
    { "rotate",
      "[--type TYPE] [--days N] [--name NAME] [--so-pin-file FILE] "
      "[--hsm-config FILE] jws|kek|tls|ca",
      "a new key in the place of the one that a CCF uses", hsm_tool_rotate },
    { "audit",
      "--needles FILE [--phase NAME] [--format table|tsv] "
      "[--continuously | --syscalls] TARGET...",
      "look for secrets in processes and files: [NAME=]PID or [NAME=]PATH",
      hsm_tool_audit },
    { NULL, NULL, NULL, NULL },
};

enum {
    OPT_KEY = 1,
    OPT_TYPE,
    OPT_OUT,
    OPT_NAME,
    OPT_CA_CERT,
    OPT_CA_KEY,
    OPT_CCF_ID,
    OPT_CERT,
    OPT_SO_PIN_FILE,
    OPT_NEEDLES,
    OPT_PHASE,
    OPT_FORMAT,
    OPT_HSM_CONFIG,
    OPT_ENROLMENT,
    OPT_AEF,
    OPT_DAYS,
    OPT_VALID,
    OPT_CONTINUOUSLY,
    OPT_SYSCALLS,
};

static const struct option long_options[] = {
    { "config", required_argument, NULL, 'c' },
    { "key", required_argument, NULL, OPT_KEY },
    { "type", required_argument, NULL, OPT_TYPE },
    { "out", required_argument, NULL, OPT_OUT },
    { "name", required_argument, NULL, OPT_NAME },
    { "ca-cert", required_argument, NULL, OPT_CA_CERT },
    { "ca-key", required_argument, NULL, OPT_CA_KEY },
    { "ccf-id", required_argument, NULL, OPT_CCF_ID },
    { "cert", required_argument, NULL, OPT_CERT },
    { "so-pin-file", required_argument, NULL, OPT_SO_PIN_FILE },
    { "aef", required_argument, NULL, OPT_AEF },
    { "days", required_argument, NULL, OPT_DAYS },
    { "valid", required_argument, NULL, OPT_VALID },
    { "needles", required_argument, NULL, OPT_NEEDLES },
    { "phase", required_argument, NULL, OPT_PHASE },
    { "format", required_argument, NULL, OPT_FORMAT },
    { "continuously", no_argument, NULL, OPT_CONTINUOUSLY },
    { "syscalls", no_argument, NULL, OPT_SYSCALLS },
    { "hsm-config", required_argument, NULL, OPT_HSM_CONFIG },
    { "enrolment", required_argument, NULL, OPT_ENROLMENT },
    { "help", no_argument, NULL, 'h' },
    { NULL, 0, NULL, 0 },
};

static int usage(FILE *f)
{
    fputs("usage: capif-hsm COMMAND [--config FILE] [OPTION]...\n\n", f);
    for (const struct command *c = commands; c->name != NULL; c++)
        fprintf(f, "  capif-hsm %-8s %s\n      %s\n", c->name, c->args,
                c->what);
    fputs("\n  --config  the daemon's configuration, or any for OpenSSL that "
          "loads the\n            provider; by default OpenSSL's own "
          "(OPENSSL_CONF)\n",
          f);
    return f == stdout ? 0 : 2;
}

static bool number(const char *text, long max, long *out)
{
    char *end = NULL;
    long n = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || n < 1 || n > max)
        return false;
    *out = n;
    return true;
}

static bool set(struct options *o, int opt, const char *value)
{
    const char **const members[] = {
        [OPT_KEY] = &o->key,
        [OPT_TYPE] = &o->type,
        [OPT_OUT] = &o->out,
        [OPT_NAME] = &o->name,
        [OPT_CA_CERT] = &o->ca_cert,
        [OPT_CA_KEY] = &o->ca_key,
        [OPT_CCF_ID] = &o->ccf_id,
        [OPT_CERT] = &o->cert,
        [OPT_SO_PIN_FILE] = &o->so_pin_file,
        [OPT_NEEDLES] = &o->needles,
        [OPT_PHASE] = &o->phase,
        [OPT_FORMAT] = &o->format,
        [OPT_HSM_CONFIG] = &o->hsm_config,
        [OPT_ENROLMENT] = &o->enrolment,
    };

    if (opt == 'c')
        o->config = value;
    else if (opt >= OPT_KEY && opt <= OPT_ENROLMENT)
        *members[opt] = value;
    else if (opt == OPT_AEF && o->n_aefs < AEFS_MAX)
        o->aefs[o->n_aefs++] = value;
    else if (opt == OPT_DAYS)
        return number(value, 36500, &o->days);
    else if (opt == OPT_VALID)
        return number(value, 31536000, &o->valid);
    else if (opt == OPT_CONTINUOUSLY)
        o->continuously = true;
    else if (opt == OPT_SYSCALLS)
        o->syscalls = true;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    struct options o = { .days = 365, .valid = 86400 };
    const struct command *c = commands;
    int opt, status;

    if (argc >= 2 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    while (argc >= 2 && c->name != NULL && strcmp(c->name, argv[1]) != 0)
        c++;
    if (argc < 2 || c->name == NULL)
        return usage(stderr);
    optind = 2;
    while ((opt = getopt_long(argc, argv, "c:h", long_options, NULL)) != -1) {
        if (opt == 'h')
            return usage(stdout);
        if (!set(&o, opt, optarg))
            return usage(stderr);
    }
    o.args = argv + optind;
    o.n_args = argc - optind;
    if (o.config != NULL && (o.conf = capif_conf_open(o.config)) == NULL)
        return 1;
    status = c->run(&o);
    capif_conf_free(o.conf);
    return status;
}
