/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims of a JWT, RFC 7519 4.1.
 */
#include "jose.h"

#include <string.h>

#define LEEWAY_SECONDS 30 /* TS 33.122 C.2.2: at most */

bool capif_aud_has(const json_t *claims, const char *who)
{
    return capif_array_has(json_object_get(claims, "aud"), who)
           || capif_str_is(claims, "aud", who);
}

const char *capif_times_check(const json_t *claims, time_t now)
{
    const json_t *exp = json_object_get(claims, "exp");
    const json_t *nbf = json_object_get(claims, "nbf");

    if (!json_is_integer(exp) || json_integer_value(exp) <= now)
        return "the token has expired";
    if (nbf != NULL
        && (!json_is_integer(nbf)
            || json_integer_value(nbf) > now + LEEWAY_SECONDS))
        return "the token is not yet valid";
    return NULL;
}
