/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The search.  Text is taken in words of 4 or 8 octets, every 4 or 8 octets;
 * a filter of one bit a hash value says of nearly all of them that no pattern
 * has them there, so that one pass costs about as much as reading it.
 */
#include "needle_index.h"

#include <stdlib.h>
#include <string.h>

#define STRIDE 512 /* zeros are skipped by so many octets */

static inline uint64_t load(const uint8_t *p, unsigned width)
{
    uint64_t v8;
    uint32_t v4;

    if (width == 8) {
        memcpy(&v8, p, 8);
        return v8;
    }
    memcpy(&v4, p, 4);
    return v4;
}

static inline uint64_t mix(uint64_t value)
{
    return value * UINT64_C(0x9e3779b97f4a7c15); /* Knuth: 2^64 / phi */
}

static inline size_t head_of(uint64_t mixed)
{
    return (size_t)(mixed >> (64 - HEAD_BITS));
}

static inline bool filtered(const struct needles *n, uint64_t mixed)
{
    size_t bit = (size_t)(mixed >> (64 - FILTER_BITS));

    return (n->filter[bit / 64] >> bit % 64 & 1) == 0;
}

bool needle_index(struct needles *n)
{
    n->width = n->shortest >= 11 ? 8 : 4;
    n->step = n->shortest >= 15 ? 8 : 4;
    n->block = calloc(n->n_patterns * n->step, sizeof(*n->block));
    if (n->block == NULL)
        return false;
    memset(n->head, 0xff, sizeof(n->head));
    for (size_t i = 0; i < n->n_patterns; i++) {
        for (unsigned off = 0; off < n->step; off++) {
            uint64_t value = load(n->pattern[i].octets + off, n->width);
            size_t bit = (size_t)(mix(value) >> (64 - FILTER_BITS));
            uint32_t *head = &n->head[head_of(mix(value))];

            n->filter[bit / 64] |= UINT64_C(1) << bit % 64;
            n->block[n->n_blocks] =
                (struct block){ value, (uint32_t)i, off, *head };
            *head = (uint32_t)n->n_blocks++;
            n->zeros |= value == 0;
        }
    }
    return true;
}

static bool add(struct needle_hits *hits, const struct pattern *p, uint64_t at)
{
    if (hits->n == hits->room) {
        size_t room;
        void *more;

        needle_hits_settle(hits); /* what is seen again and again is one */
        room = hits->n > hits->room / 2 ? 2 * hits->room : hits->room;
        room = room == 0 ? 64 : room;
        if ((more = realloc(hits->hit, room * sizeof(*hits->hit))) == NULL)
            return false;
        hits->hit = more;
        hits->room = room;
    }
    hits->hit[hits->n++] =
        (struct needle_hit){ at, (uint32_t)p->len, p->needle, p->form };
    return true;
}

/* What the filter lets through, at buf[pos]. */
static bool compare(const struct needles *n, const uint8_t *buf, size_t len,
                    size_t pos, uint64_t at, struct needle_hits *hits)
{
    uint64_t value = load(buf + pos, n->width);
    uint32_t i = n->head[head_of(mix(value))];

    for (; i != NO_ENTRY; i = n->block[i].next) {
        const struct block *b = &n->block[i];
        const struct pattern *p = &n->pattern[b->pattern];
        size_t start = pos - b->off;

        if (b->value != value || pos < b->off || len - start < p->len
            || memcmp(buf + start, p->octets, p->len) != 0)
            continue;
        if (!add(hits, p, at + start))
            return false;
    }
    return true;
}

static inline bool all_zeros(const uint8_t *p)
{
    uint64_t some = load(p, 8);

    for (size_t i = 8; some == 0 && i < STRIDE; i += 64)
        for (size_t k = i; k < i + 64 && k < STRIDE; k += 8)
            some |= load(p + k, 8);
    return some == 0;
}

/* width and step are constants where this is called: one loop for each. */
static inline bool find(const struct needles *n, const uint8_t *buf, size_t len,
                        uint64_t at, struct needle_hits *hits, unsigned width,
                        unsigned step)
{
    size_t pos = 0;

    while (pos + width <= len) {
        size_t end = pos + STRIDE;

        if (!n->zeros && end <= len && all_zeros(buf + pos)) {
            pos = end - (width - step); /* a block may begin in zeros */
            continue;
        }
        if (end > len - width + 1)
            end = len - width + 1;
        for (; pos < end; pos += step)
            if (!filtered(n, mix(load(buf + pos, width)))
                && !compare(n, buf, len, pos, at, hits))
                return false;
    }
    return true;
}

bool needles_find(const struct needles *n, const uint8_t *buf, size_t len,
                  uint64_t at, struct needle_hits *hits)
{
    if (n->width == 4)
        return find(n, buf, len, at, hits, 4, 4);
    if (n->step == 4)
        return find(n, buf, len, at, hits, 8, 4);
    return find(n, buf, len, at, hits, 8, 8);
}

/* By needle, then by place, the longest first. */
static int order(const void *a, const void *b)
{
    const struct needle_hit *x = a, *y = b;

    if (x->needle != y->needle)
        return x->needle < y->needle ? -1 : 1;
    if (x->at != y->at)
        return x->at < y->at ? -1 : 1;
    if (x->len != y->len)
        return x->len > y->len ? -1 : 1;
    return (x->form > y->form) - (x->form < y->form);
}

void needle_hits_settle(struct needle_hits *hits)
{
    size_t kept = 0;
    uint64_t end = 0; /* of all kept ones of this needle */

    if (hits->n < 2)
        return;
    qsort(hits->hit, hits->n, sizeof(*hits->hit), order);
    for (size_t i = 0; i < hits->n; i++) {
        const struct needle_hit h = hits->hit[i];

        if (kept > 0 && hits->hit[kept - 1].needle == h.needle
            && h.at + h.len <= end)
            continue;
        end = h.at + h.len;
        hits->hit[kept++] = h;
    }
    hits->n = kept;
}

void needle_hits_clear(struct needle_hits *hits)
{
    free(hits->hit);
    *hits = (struct needle_hits){ 0 };
}
