/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif scope: the access token's scope, TS 29.222 8.5.4.2.6:
 *
 *     scope     = "3gpp#" aef-entry *( ";" aef-entry )
 *     aef-entry = aefId ":" apiName *( "," apiName )
 *
 * aefId and apiName are of 1 to 63 printable ASCII octets other than space,
 * '"', '\', '#', ':', ',' and ';'.
 */
#ifndef CAPIF_SCOPE_H
#define CAPIF_SCOPE_H

#include <stdbool.h>
#include <stddef.h>

#define CAPIF_SCOPE_NAME_MAX 63
#define CAPIF_SCOPE_PAIRS    64

/* One API at one AEF. */
struct capif_scope_pair {
    char aef_id[CAPIF_SCOPE_NAME_MAX + 1];
    char api_name[CAPIF_SCOPE_NAME_MAX + 1];
};

struct capif_scope {
    size_t n;
    struct capif_scope_pair pairs[CAPIF_SCOPE_PAIRS];
};

/* false, and out untouched, if text is not a scope. */
bool capif_scope_parse(const char *text, struct capif_scope *out);

bool capif_scope_has(const struct capif_scope *scope, const char *aef_id,
                     const char *api_name);

/* Can it stand in a scope as an aefId or apiName? */
bool capif_scope_name_ok(const char *name);

/*
 * Write scope into out, entries of one AEF together; false if room is short.
 * A scope without pairs can't be written.
 */
bool capif_scope_format(const struct capif_scope *scope, char *out,
                        size_t room);

#endif
