/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capif json: typed, total readers of untrusted JSON, and problem details.
 *
 * A struct capif_at is a place in a document: a value, its path, and where to
 * complain.  Readers of a place that is missing or of the wrong type record
 * one entry of `invalidParams` (TS 29.122 5.2.6) and return an empty value,
 * so that a caller reads on and looks at capif_reader.n once, at the end.
 *
 * Ownership: places and strings borrow from the document.
 */
#ifndef CAPIF_JSON_H
#define CAPIF_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#define CAPIF_JSON_DEPTH  12
#define CAPIF_INVALID_MAX 8

struct capif_invalid {
    char param[128]; /* JSON pointer (RFC 6901) */
    char reason[96];
};

struct capif_reader {
    size_t n; /* may exceed CAPIF_INVALID_MAX; the list is cut there */
    struct capif_invalid list[CAPIF_INVALID_MAX];
};

struct capif_at {
    json_t *v; /* NULL: absent or already complained about */
    char path[128];
    struct capif_reader *reader;
};

/*
 * Parse one document that is an object, with no duplicate names and no more
 * than CAPIF_JSON_DEPTH levels.  NULL and an entry in reader if it is not.
 * The caller owns the result.
 */
json_t *capif_json_parse(const void *text, size_t len,
                         struct capif_reader *reader);

struct capif_at capif_at_root(json_t *doc, struct capif_reader *reader);
void capif_complain(const struct capif_at *at, const char *reason);

/* A member string of 1 to max octets of UTF-8; NULL if there is none. */
const char *capif_get_str(const struct capif_at *at, const char *name,
                          bool required, size_t max);
/* The same, and an https URI that notifications may go to (uri.c). */
const char *capif_get_https(const struct capif_at *at, const char *name,
                            bool required);
/* SupportedFeatures of TS 29.571: hexadecimal digits, none included. */
void capif_check_features(const struct capif_at *at, const char *name,
                          bool required);
bool capif_get_bool(const struct capif_at *at, const char *name, bool def);
/* A member integer from min to max; def if there is none. */
long capif_get_int(const struct capif_at *at, const char *name, long min,
                   long max, long def);
/* A member object or array; .v is NULL if there is none. */
struct capif_at capif_get_object(const struct capif_at *at, const char *name,
                                 bool required);
struct capif_at capif_get_array(const struct capif_at *at, const char *name,
                                bool required, size_t min, size_t max);
/* The i-th of an array, which must be an object. */
struct capif_at capif_at_item(const struct capif_at *array, size_t i);
/* The i-th of an array, which must be a string as for capif_get_str(). */
const char *capif_item_str(const struct capif_at *array, size_t i, size_t max);

/* ---- of documents that are known to be good ---- */

/* A member that is a string; NULL if it is none. */
const char *capif_str(const json_t *obj, const char *name);
/* Is there one of that value? */
bool capif_str_is(const json_t *obj, const char *name, const char *value);
/* Is that string in the array? */
bool capif_array_has(const json_t *array, const char *text);
/* Both are there, and the same. */
bool capif_same(const char *a, const char *b);

/* An address of AF_INET or AF_INET6: how many octets; 0: it is none. */
size_t capif_address(const char *text, int family, unsigned char out[16]);
/* Is it in one of the ranges (Ipv4AddressRange of TS 29.510, 29.122)? */
bool capif_within(const json_t *ranges, int family, const char *text);

/*
 * A new document: target as a JSON merge patch (RFC 7396) would have it.
 * Both stay as they are; target may be NULL.  NULL: out of memory.
 */
json_t *capif_merge_patch(const json_t *target, json_t *patch);

/*
 * Problem details (RFC 7807, TS 29.122 5.2.6); cause and reader may be NULL.
 * detail is cut at 512 octets.  The caller owns the result.
 */
json_t *capif_problem(int status, const char *cause, const char *detail,
                      const struct capif_reader *reader);

#endif
