/* SPDX-License-Identifier: Apache-2.0 */
#include "scope.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX "3gpp#"

static bool name_char(char c)
{
    return c > ' ' && c < 0x7f && strchr("\"\\#:,;", c) == NULL;
}

/* Read one name from *p on into out; false if there is none or too long. */
static bool name_read(const char **p, char *out)
{
    size_t n = 0;

    while (name_char((*p)[n]))
        n++;
    if (n < 1 || n > CAPIF_SCOPE_NAME_MAX)
        return false;
    memcpy(out, *p, n);
    out[n] = '\0';
    *p += n;
    return true;
}

bool capif_scope_name_ok(const char *name)
{
    char out[CAPIF_SCOPE_NAME_MAX + 1];

    return name_read(&name, out) && *name == '\0';
}

bool capif_scope_parse(const char *text, struct capif_scope *out)
{
    struct capif_scope *s = calloc(1, sizeof(*s));
    char aef_id[CAPIF_SCOPE_NAME_MAX + 1];
    const char *p = text;
    bool ok = false;

    if (s == NULL || strncmp(p, PREFIX, strlen(PREFIX)) != 0)
        goto out;
    p += strlen(PREFIX) - 1;
    do {
        p++; /* over '#' or ';' */
        if (!name_read(&p, aef_id) || *p != ':')
            goto out;
        do {
            p++; /* over ':' or ',' */
            if (s->n == CAPIF_SCOPE_PAIRS
                || !name_read(&p, s->pairs[s->n].api_name))
                goto out;
            memcpy(s->pairs[s->n++].aef_id, aef_id, sizeof(aef_id));
        } while (*p == ',');
    } while (*p == ';');
    ok = *p == '\0';
    if (ok)
        *out = *s;
out:
    free(s);
    return ok;
}

bool capif_scope_has(const struct capif_scope *scope, const char *aef_id,
                     const char *api_name)
{
    for (size_t i = 0; i < scope->n; i++)
        if (strcmp(scope->pairs[i].aef_id, aef_id) == 0
            && strcmp(scope->pairs[i].api_name, api_name) == 0)
            return true;
    return false;
}

static bool append(char *out, size_t room, const char *text)
{
    size_t used = strlen(out), len = strlen(text);

    if (used + len >= room)
        return false;
    memcpy(out + used, text, len + 1);
    return true;
}

bool capif_scope_format(const struct capif_scope *scope, char *out, size_t room)
{
    bool written[CAPIF_SCOPE_PAIRS] = { false };
    bool ok = room > 0 && scope->n > 0;

    if (ok) {
        out[0] = '\0';
        ok = append(out, room, PREFIX);
    }
    for (size_t i = 0; ok && i < scope->n; i++) {
        const char *aef_id = scope->pairs[i].aef_id;

        if (written[i])
            continue;
        ok = (i == 0 || append(out, room, ";")) && append(out, room, aef_id);
        for (size_t j = i; ok && j < scope->n; j++) {
            if (strcmp(scope->pairs[j].aef_id, aef_id) != 0)
                continue;
            written[j] = true;
            ok = append(out, room, j == i ? ":" : ",")
                 && append(out, room, scope->pairs[j].api_name);
        }
    }
    return ok;
}
