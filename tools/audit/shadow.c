/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages are compared with a copy.  The kernel's soft-dirty bits would spare
 * the reading, but not every kernel has them, and between reading and
 * clearing them other threads write on: what they wrote then would be missed.
 *
 * The copies lie in anonymous mappings of their own: the kernel wipes those.
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "shadow.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Of a mapping; another start or end makes it another mapping. */
struct piece {
    uint64_t start, end;
    uint8_t *octets;
};

struct shadow {
    struct piece *piece; /* by address */
    size_t n;
};

/* Changed octets of a piece that are still to be searched. */
struct run {
    size_t from, to;
};

struct shadow *shadow_new(void)
{
    return calloc(1, sizeof(struct shadow));
}

static void piece_free(struct piece *p)
{
    if (p->octets != NULL)
        munmap(p->octets, (size_t)(p->end - p->start));
}

void shadow_free(struct shadow *s)
{
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n; i++)
        piece_free(&s->piece[i]);
    free(s->piece);
    free(s);
}

static bool piece_new(struct piece *p, const struct procmem_map *m)
{
    /* All zeros, and what is never written to takes no memory. */
    p->start = m->start;
    p->end = m->end;
    p->octets = mmap(NULL, (size_t)(m->end - m->start), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p->octets == MAP_FAILED)
        p->octets = NULL;
    return p->octets != NULL;
}

/* With what is on both sides of it: a secret may have been there in part. */
static bool run_find(const struct piece *p, struct run *r, struct audit *a,
                     struct audit_target *t)
{
    const size_t keep = needles_longest(a->needles) - 1;
    const size_t all = (size_t)(p->end - p->start);
    size_t from = r->from > keep ? r->from - keep : 0;
    size_t to = all - r->to > keep ? r->to + keep : all;

    if (r->from == r->to)
        return true;
    r->from = r->to = 0;
    return audit_find(a, t, p->octets + from, to - from, p->start + from);
}

/* Pages as they are now, in a->buf, which begin at off of the piece. */
static bool pages_take(const struct piece *p, size_t off, size_t n,
                       const bool *touched, struct run *r, struct audit *a,
                       struct audit_target *t)
{
    const size_t keep = needles_longest(a->needles) - 1;
    const size_t page = procmem_page();

    for (size_t i = 0; i < n; i++) {
        const size_t at = off + i * page;

        if (!touched[i] || memcmp(p->octets + at, a->buf + i * page, page) == 0)
            continue;
        /* All up to here is as it is now: the last run is complete. */
        if (at - r->to > keep && !run_find(p, r, a, t))
            return false;
        memcpy(p->octets + at, a->buf + i * page, page);
        if (r->from == r->to)
            r->from = at;
        r->to = at + page;
    }
    return true;
}

static bool piece_look(const struct piece *p, struct procmem_map *m,
                       struct audit *a, struct audit_target *t)
{
    const size_t all = (size_t)(p->end - p->start), page = procmem_page();
    bool touched[AUDIT_BUF / 4096];
    struct run r = { 0, 0 };
    size_t len;

    for (size_t off = 0; off < all; off += len) {
        enum procmem_status st;

        len = all - off < AUDIT_BUF ? all - off : AUDIT_BUF;
        st = procmem_read(t->p, m, m->start + off, a->buf, len, touched);
        if (st == PROCMEM_ERROR)
            audit_fail(a, t, m->name, strerror(errno));
        if (st != PROCMEM_OK
            || !pages_take(p, off, len / page, touched, &r, a, t))
            return false;
        for (size_t i = 0; i < len / page; i++)
            t->octets += touched[i] ? page : 0;
    }
    return run_find(p, &r, a, t);
}

/* Pieces for the mappings of now; those of before that are the same stay. */
static bool pieces_set(struct shadow *s, const struct procmem_map *map,
                       size_t n)
{
    struct piece *now = calloc(n, sizeof(*now));
    size_t k = 0, old = 0;
    bool ok = now != NULL;

    for (size_t i = 0; ok && i < n; i++) {
        if (!map[i].readable || !map[i].writable)
            continue;
        while (old < s->n && s->piece[old].start < map[i].start)
            piece_free(&s->piece[old++]);
        if (old < s->n && s->piece[old].start == map[i].start
            && s->piece[old].end == map[i].end)
            now[k++] = s->piece[old++];
        else if ((ok = piece_new(&now[k], &map[i])))
            k++;
    }
    for (; old < s->n; old++)
        piece_free(&s->piece[old]);
    free(s->piece);
    s->piece = now;
    s->n = k;
    return ok;
}

bool shadow_look(struct shadow *s, struct audit *a, struct audit_target *t)
{
    struct procmem_map *map;
    size_t n, k = 0;
    enum procmem_status st = procmem_maps(t->p, &map, &n);

    if (st == PROCMEM_ERROR)
        audit_fail(a, t, "its memory", strerror(errno));
    if (st != PROCMEM_OK)
        return false;
    if (!pieces_set(s, map, n)) {
        audit_fail(a, t, "out of memory", "");
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!map[i].readable || !map[i].writable)
            continue;
        if (!piece_look(&s->piece[k++], &map[i], a, t))
            return false;
    }
    return true;
}
