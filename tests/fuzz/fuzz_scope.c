/* SPDX-License-Identifier: Apache-2.0 */
/* A scope that is taken can be written, and reads the same again. */
#include "scope.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define ROOM 16384

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct capif_scope *s)
{
    struct capif_scope *again = malloc(sizeof(*again));
    char *out = malloc(ROOM);

    if (again == NULL || out == NULL || !capif_scope_format(s, out, ROOM)
        || !capif_scope_parse(out, again) || again->n != s->n)
        abort();
    for (size_t i = 0; i < s->n; i++)
        if (!capif_scope_has(again, s->pairs[i].aef_id, s->pairs[i].api_name))
            abort();
    free(again);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct capif_scope *s = malloc(sizeof(*s));
    char *text = malloc(size + 1);

    if (s == NULL || text == NULL)
        abort();
    memcpy(text, data, size);
    text[size] = '\0';
    if (capif_scope_parse(text, s))
        check(s);
    free(s);
    free(text);
    return 0;
}
