/* SPDX-License-Identifier: Apache-2.0 */
/*
 * officer: what `capif-hsm` does as the token's security officer, whose PIN
 * is in a file of mode 0600.
 */
#ifndef TOOL_OFFICER_H
#define TOOL_OFFICER_H

#include "conf.h"

#include <openssl/evp.h>

struct officer {
    const struct capif_conf *conf;
    const char *section; /* the one that names the module */
    const char *pin_file;
};

/* Make a trusted key encryption key; the exit status. */
int officer_kek(const struct officer *so, const char *uri);
/* Bring in a partner's transport key as trusted; the exit status. */
int officer_partner(const struct officer *so, const char *uri, EVP_PKEY *key);

#endif
