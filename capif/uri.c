/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URIs that others want to be called at (RFC 3986, RFC 9110 4.2.2), and IP
 * addresses.
 */
#include "json.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define URI_MAX 1024
#define DIGITS  "0123456789"
#define ALPHA   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define NAME    ALPHA DIGITS "-._"
#define REST    NAME "~!$&'()*+,;=:@/?%"

/* NAME, IPv4 address, or IPv6 address in brackets; how long it is. */
static size_t host_len(const char *s)
{
    size_t n;

    if (*s != '[')
        return strspn(s, NAME);
    n = 1 + strspn(s + 1, DIGITS "abcdefABCDEF:.");
    return n > 1 && s[n] == ']' ? n + 1 : 0;
}

/* A fragment is not sent, and a user's name is not ours to send. */
static const char *wrong_with(const char *uri)
{
    const char *s = uri + strlen("https://"), *p;
    size_t n;

    if (strncmp(uri, "https://", strlen("https://")) != 0)
        return "must begin with https://";
    if ((n = host_len(s)) == 0 || n > 255)
        return "must name a host";
    s += n;
    if (*s == ':') {
        n = strspn(++s, DIGITS);
        if (n < 1 || n > 5 || atoi(s) < 1 || atoi(s) > 65535)
            return "must have a port from 1 to 65535, or none";
        s += n;
    }
    if (*s != '\0' && *s != '/' && *s != '?')
        return "must name a host, without a user";
    if (s[strspn(s, REST)] != '\0')
        return "must be a URI without a fragment";
    for (p = strchr(s, '%'); p != NULL; p = strchr(p + 1, '%'))
        if (strspn(p + 1, DIGITS "abcdefABCDEF") < 2)
            return "must be a URI: % and two hexadecimal digits";
    return NULL;
}

const char *capif_get_https(const struct capif_at *at, const char *name,
                            bool required)
{
    const char *uri = capif_get_str(at, name, required, URI_MAX), *why;
    struct capif_at sub = { NULL, "", at->reader };
    size_t n = strlen(at->path);

    if (uri == NULL || (why = wrong_with(uri)) == NULL)
        return uri;
    if (n + strlen(name) + 2 < sizeof(sub.path)) {
        memcpy(sub.path, at->path, n);
        sub.path[n] = '/';
        strcpy(sub.path + n + 1, name);
    }
    capif_complain(&sub, why);
    return NULL;
}

size_t capif_address(const char *text, int family, unsigned char out[16])
{
    memset(out, 0, 16);
    if (text == NULL || inet_pton(family, text, out) != 1)
        return 0;
    return family == AF_INET ? 4 : 16;
}

bool capif_within(const json_t *ranges, int family, const char *text)
{
    unsigned char ue[16], start[16], end[16];
    const json_t *range;
    size_t i;

    if (capif_address(text, family, ue) == 0)
        return false;
    json_array_foreach(ranges, i, range)
    {
        const char *from = json_string_value(json_object_get(range, "start"));
        const char *to = json_string_value(json_object_get(range, "end"));

        if (capif_address(from, family, start) > 0
            && capif_address(to, family, end) > 0
            && memcmp(start, ue, sizeof(ue)) <= 0
            && memcmp(ue, end, sizeof(ue)) <= 0)
            return true;
    }
    return false;
}
