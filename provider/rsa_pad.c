/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA's paddings, as parameters: OpenSSL sends a name or a number.
 */
#include "prov.h"

#include <string.h>

bool prov_rsa_pad_parse(const struct prov_rsa_pad pads[],
                        const struct prov_key *key, const OSSL_PARAM *p,
                        int *pad)
{
    bool soft = key == NULL || key->hsm == NULL;
    const char *s = NULL;
    int n = 0;

    if (p->data_type == OSSL_PARAM_UTF8_STRING
            ? !OSSL_PARAM_get_utf8_string_ptr(p, &s) || s == NULL
            : !OSSL_PARAM_get_int(p, &n))
        return false;
    for (; pads->name != NULL; pads++) {
        if ((s != NULL ? strcmp(s, pads->name) != 0 : n != pads->pad)
            || !(pads->in_token || soft))
            continue;
        *pad = pads->pad;
        return true;
    }
    return false;
}

int prov_rsa_pad_report(const struct prov_rsa_pad pads[], OSSL_PARAM params[],
                        const char *key, int pad)
{
    OSSL_PARAM *p = OSSL_PARAM_locate(params, key);

    if (p == NULL)
        return 1;
    if (p->data_type == OSSL_PARAM_INTEGER)
        return OSSL_PARAM_set_int(p, pad);
    while (pads->name != NULL && pads->pad != pad)
        pads++;
    return OSSL_PARAM_set_utf8_string(p, pads->name);
}
