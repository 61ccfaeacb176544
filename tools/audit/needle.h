/* SPDX-License-Identifier: Apache-2.0 */
/*
 * needle: known secrets, in every encoding in which one may lie about, and
 * the search for all of them at once.  No I/O.
 *
 * Ownership: what needles_parse() returns goes to needles_free(), which
 * wipes it; a struct needle_hits starts as zeros and ends in
 * needle_hits_clear().  Hits say where, never what.
 * Threads: a struct needles is read-only after needles_parse().
 */
#ifndef NEEDLE_H
#define NEEDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NEEDLE_MIN      8 /* octets; fewer are found by chance */
#define NEEDLE_MAX      4096
#define NEEDLE_NAME_MAX 64

enum needle_enc {
    NEEDLE_RAW,
    NEEDLE_REVERSED,
    NEEDLE_HEX,
    NEEDLE_HEX_UPPER,
    NEEDLE_BASE64URL,
    NEEDLE_BASE64, /* where that differs */
    NEEDLE_ENCODINGS
};

/* A half of it in encoding e is numbered NEEDLE_ENCODINGS + e. */
#define NEEDLE_FORMS (2 * NEEDLE_ENCODINGS)

struct needles;

/*
 * Lines `NAME HEX`, `#` comments, blank lines.  NULL, and why with the
 * number of the line but nothing of a secret, if one is not that, or a
 * secret is too short, too long, or one octet repeated.
 */
struct needles *needles_parse(const char *text, size_t len, char *why,
                              size_t why_len);
void needles_free(struct needles *n);

size_t needles_count(const struct needles *n);
const char *needles_name(const struct needles *n, size_t i);
/* Octets of the longest pattern. */
size_t needles_longest(const struct needles *n);
/* "raw", "raw-half", ... of a form. */
const char *needle_form_name(unsigned form);

struct needle_hit {
    uint64_t at;
    uint32_t len, needle, form;
};

struct needle_hits {
    struct needle_hit *hit;
    size_t n, room;
};

/*
 * Add what lies completely in buf, which is at the address `at`.  Parts of
 * something longer may overlap by needles_longest() - 1 octets: what is found
 * twice is counted once.  False without memory.
 */
bool needles_find(const struct needles *n, const uint8_t *buf, size_t len,
                  uint64_t at, struct needle_hits *hits);
/*
 * Keep one hit a place: neither the same again nor what is a part of another
 * of the same needle, as halves are of the whole.
 */
void needle_hits_settle(struct needle_hits *hits);
void needle_hits_clear(struct needle_hits *hits);

#endif
