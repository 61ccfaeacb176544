/* SPDX-License-Identifier: Apache-2.0 */
/*
 * needle_index: of all patterns, what is looked at first.  For needle.c,
 * which makes the patterns, and needle_find.c, which looks for them.
 */
#ifndef NEEDLE_INDEX_H
#define NEEDLE_INDEX_H

#include "needle.h"

#define FILTER_BITS 19 /* 64 KiB: stays in the cache */
#define HEAD_BITS   15
#define NO_ENTRY    UINT32_MAX

struct pattern {
    uint8_t *octets;
    size_t len;
    uint32_t needle, form;
};

/* A block of a pattern, at most step - 1 octets from its beginning. */
struct block {
    uint64_t value;
    uint32_t pattern, off, next;
};

/*
 * Any place of a pattern has one position that step divides among its first
 * step ones, and there begins one of the blocks: only these positions are
 * looked at.  That needs step + width - 1 octets of the shortest pattern.
 */
struct needles {
    char (*name)[NEEDLE_NAME_MAX + 1];
    size_t n, shortest, longest;
    struct pattern *pattern;
    size_t n_patterns;
    unsigned width, step;
    bool zeros; /* a block is all zeros: zeros can't be skipped */
    struct block *block;
    size_t n_blocks;
    uint64_t filter[1 << (FILTER_BITS - 6)];
    uint32_t head[1 << HEAD_BITS];
};

/* With all patterns in place; false without memory. */
bool needle_index(struct needles *n);

#endif
