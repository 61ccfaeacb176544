/* SPDX-License-Identifier: Apache-2.0 */
#include "officer.h"

#include "hsm.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <stdio.h>

#define MODULUS_MAX 2048

static int report(enum hsm_status st)
{
    if (st == HSM_OK)
        return 0;
    fprintf(stderr, "error: %s: %s\n", hsm_status_name(st), hsm_last_error());
    return 1;
}

static bool config(const struct officer *so, struct hsm_config *cfg)
{
    *cfg = (struct hsm_config){
        .module = capif_conf_get(so->conf, so->section, "pkcs11-module"),
        .token = capif_conf_get(so->conf, so->section, "token"),
        .init_args = capif_conf_get(so->conf, so->section, "init-args"),
        .pin_file = so->pin_file,
        .sessions = 1,
    };
    if (cfg->token == NULL)
        cfg->token = "pkcs11:";
    if (cfg->module == NULL)
        fprintf(stderr, "error: no pkcs11-module in section [%s]%s\n",
                so->section,
                capif_conf_get(so->conf, so->section, "agent") != NULL
                    ? ": take the agent's configuration"
                    : "");
    return cfg->module != NULL;
}

int officer_kek(const struct officer *so, const char *uri)
{
    struct hsm_config cfg, user;

    if (!config(so, &cfg))
        return 1;
    user = cfg;
    user.pin_file = capif_conf_get(so->conf, so->section, "pin-file");
    return report(hsm_officer_kek(&cfg, &user, uri));
}

int officer_partner(const struct officer *so, const char *uri, EVP_PKEY *key)
{
    uint8_t n[MODULUS_MAX], e[8];
    struct hsm_config cfg;
    BIGNUM *bn = NULL, *be = NULL;
    int n_len, e_len, status = 1;

    if (!config(so, &cfg))
        return 1;
    if (EVP_PKEY_is_a(key, "RSA")
        && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &bn)
        && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &be)
        && BN_num_bytes(bn) <= MODULUS_MAX && BN_num_bytes(be) <= 8) {
        n_len = BN_bn2bin(bn, n);
        e_len = BN_bn2bin(be, e);
        status = report(
            hsm_officer_rsa(&cfg, uri, n, (size_t)n_len, e, (size_t)e_len));
    } else {
        fputs("error: a transport key must be RSA\n", stderr);
    }
    BN_free(bn);
    BN_free(be);
    return status;
}
