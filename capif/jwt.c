/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Claims of a JWT, RFC 7519 4.1.
 */
#include "jose.h"

#include <string.h>

#define LEEWAY_SECONDS 30 /* TS 33.122 C.2.2: at most */

const char *capif_claim(const json_t *claims, const char *name)
{
    return json_string_value(json_object_get(claims, name));
}

bool capif_claim_is(const json_t *claims, const char *name, const char *value)
{
    const char *text = capif_claim(claims, name);

    return text != NULL && value != NULL && strcmp(text, value) == 0;
}

bool capif_aud_has(const json_t *claims, const char *who)
{
    const json_t *aud = json_object_get(claims, "aud"), *it;
    size_t i;

    json_array_foreach(aud, i, it)
    {
        if (json_is_string(it) && strcmp(json_string_value(it), who) == 0)
            return true;
    }
    return capif_claim_is(claims, "aud", who);
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
