/* SPDX-License-Identifier: Apache-2.0 */
#include "traits.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_MAX   256
#define RANGES_MAX 64
#define RATE_MAX   2147483647L

/* ---- where it is ---- */

void ccf_location_check(const struct capif_at *at)
{
    struct capif_at civic = capif_get_object(at, "civicAddr", false);
    const char *name;
    json_t *v;

    (void)capif_get_object(at, "geoArea", false);
    (void)capif_get_str(at, "dcId", false, TEXT_MAX);
    json_object_foreach(civic.v, name, v)
    {
        (void)v;
        (void)capif_get_str(&civic, name, false, TEXT_MAX);
    }
}

/* All that is wanted of it, and it may have more. */
static bool has_all(const json_t *has, json_t *wanted)
{
    const char *name;
    json_t *v;

    json_object_foreach(wanted, name, v)
    {
        if (!json_equal(json_object_get(has, name), v))
            return false;
    }
    return true;
}

static bool same_if_wanted(const json_t *has, const json_t *wanted,
                           const char *name)
{
    const json_t *v = json_object_get(wanted, name);

    return v == NULL || json_equal(json_object_get(has, name), v);
}

bool ccf_location_suits(const json_t *has, const json_t *wanted)
{
    return has != NULL && same_if_wanted(has, wanted, "dcId")
           && same_if_wanted(has, wanted, "geoArea")
           && has_all(json_object_get(has, "civicAddr"),
                      json_object_get(wanted, "civicAddr"));
}

/* ---- how well it serves ---- */

/* Numbers, and quantities "12.5 GB" with the units' order of magnitude. */
static const struct {
    const char *name;
    const char *units; /* NULL: an integer */
    bool at_most;      /* less is better */
} kpis[] = {
    { "maxReqRate", NULL, false },     { "maxRestime", NULL, true },
    { "availability", NULL, false },   { "avalComp", "FLOPS", false },
    { "avalGraComp", "FLOPS", false }, { "avalMem", "B", false },
    { "avalStor", "B", false },        { "conBand", NULL, false },
};
#define N_KPIS (sizeof(kpis) / sizeof(kpis[0]))

/* Octets of the digits at text. */
static size_t digits(const char *text)
{
    return strspn(text, "0123456789");
}

/*
 * "12.5 GFLOPS" as a number; false if it is none of that unit.  strtod() is
 * given the order of magnitude, too: it rounds once, so that 1.001 GB are
 * 1001 MB, which products of rounded numbers are not.
 */
static bool quantity(const char *text, const char *unit, double *out)
{
    static const char flops[] = "kMGTPEZ", octets[] = "KMGTPEZY";
    const char *prefixes = unit[0] == 'F' ? flops : octets;
    size_t n = digits(text), fraction;
    const char *at;
    char scaled[40];

    if (n == 0 || n > 15)
        return false;
    if (text[n] == '.') {
        fraction = digits(text + n + 1);
        if (fraction == 0 || fraction > 15)
            return false;
        n += 1 + fraction;
    }
    if (text[n] != ' ' || text[n + 1] == '\0'
        || (at = strchr(prefixes, text[n + 1])) == NULL
        || strcmp(text + n + 2, unit) != 0)
        return false;
    snprintf(scaled, sizeof(scaled), "%.*se%d", (int)n, text,
             3 * (int)(at - prefixes + 1));
    *out = strtod(scaled, NULL);
    return true;
}

void ccf_kpis_check(const struct capif_at *at)
{
    for (size_t i = 0; i < N_KPIS; i++) {
        const char *text;
        double unused;

        if (kpis[i].units == NULL) {
            (void)capif_get_int(at, kpis[i].name, 0, RATE_MAX, 0);
            continue;
        }
        text = capif_get_str(at, kpis[i].name, false, 40);
        if (text != NULL && !quantity(text, kpis[i].units, &unused)) {
            struct capif_at sub = *at;

            snprintf(sub.path, sizeof(sub.path), "%.100s/%s", at->path,
                     kpis[i].name);
            capif_complain(&sub, kpis[i].units[0] == 'F'
                                     ? "must be a number and kFLOPS to ZFLOPS"
                                     : "must be a number and KB to YB");
        }
    }
}

static bool value_of(const json_t *of, size_t i, double *out)
{
    const json_t *v = json_object_get(of, kpis[i].name);

    if (v == NULL)
        return false;
    if (kpis[i].units != NULL)
        return quantity(json_string_value(v), kpis[i].units, out);
    *out = (double)json_integer_value(v);
    return true;
}

bool ccf_kpis_suit(const json_t *has, const json_t *wanted)
{
    for (size_t i = 0; i < N_KPIS; i++) {
        double want, offer;

        if (!value_of(wanted, i, &want))
            continue;
        if (!value_of(has, i, &offer)
            || (kpis[i].at_most ? offer > want : offer < want))
            return false;
    }
    return has != NULL;
}

/* ---- which UEs it is for ---- */

static const char *address_get(const struct capif_at *at, const char *name,
                               int family, bool required)
{
    const char *text = capif_get_str(at, name, required, 45);
    unsigned char raw[16];

    if (text != NULL && capif_address(text, family, raw) == 0) {
        struct capif_at sub = *at;

        snprintf(sub.path, sizeof(sub.path), "%.100s/%s", at->path, name);
        capif_complain(&sub, family == AF_INET ? "must be an IPv4 address"
                                               : "must be an IPv6 address");
        return NULL;
    }
    return text;
}

void ccf_ranges_check(const struct capif_at *at, const char *name, int family,
                      bool required)
{
    struct capif_at list = capif_get_array(at, name, required, 1, RANGES_MAX);

    for (size_t i = 0; i < json_array_size(list.v); i++) {
        struct capif_at range = capif_at_item(&list, i);
        const char *start = address_get(&range, "start", family, true);
        const char *end = address_get(&range, "end", family, true);
        unsigned char a[16], b[16];

        if (start == NULL || end == NULL)
            continue;
        (void)capif_address(start, family, a);
        (void)capif_address(end, family, b);
        if (memcmp(a, b, sizeof(a)) > 0)
            capif_complain(&range, "start is after end");
    }
}

void ccf_ue_range_check(const struct capif_at *at)
{
    ccf_ranges_check(at, "ueIpv4AddrRanges", AF_INET, false);
    ccf_ranges_check(at, "ueIpv6AddrRanges", AF_INET6, false);
    if (at->v != NULL && json_object_get(at->v, "ueIpv4AddrRanges") == NULL
        && json_object_get(at->v, "ueIpv6AddrRanges") == NULL)
        capif_complain(at, "needs ueIpv4AddrRanges or ueIpv6AddrRanges");
}

void ccf_ue_check(const struct capif_at *at)
{
    (void)address_get(at, "ipv4Addr", AF_INET, false);
    (void)address_get(at, "ipv6Addr", AF_INET6, false);
    if (at->v != NULL
        && (json_object_get(at->v, "ipv4Addr") != NULL)
               == (json_object_get(at->v, "ipv6Addr") != NULL))
        capif_complain(at, "needs one of ipv4Addr, ipv6Addr");
}

bool ccf_ue_suits(const json_t *range, const json_t *ue)
{
    const char *v4 = json_string_value(json_object_get(ue, "ipv4Addr"));
    const char *v6 = json_string_value(json_object_get(ue, "ipv6Addr"));

    return v4 != NULL ? capif_within(json_object_get(range, "ueIpv4AddrRanges"),
                                     AF_INET, v4)
                      : capif_within(json_object_get(range, "ueIpv6AddrRanges"),
                                     AF_INET6, v6);
}
