/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A sequence of messages, cut into them as the agent does.  Each reads the
 * same however much of it is there at first, and when it is written again.
 */
#include "wire.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same(const struct wire_msg *a, const struct wire_msg *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++) {
        const struct wire_item *x = &a->items[i], *y = &b->items[i];

        if (x->type != y->type || x->num != y->num || x->len != y->len
            || (x->len > 0 && memcmp(x->p, y->p, x->len) != 0))
            return false;
    }
    return true;
}

static void check_items(const struct wire_msg *m, const uint8_t *p, size_t len)
{
    if (m->n < 1 || m->n > WIRE_ITEMS)
        abort();
    for (size_t i = 0; i < m->n; i++) {
        const struct wire_item *item = &m->items[i];

        if (item->type == WIRE_NUM)
            continue;
        if (item->p < p || item->len > len || item->p + item->len > p + len
            || (item->type == WIRE_TEXT
                && memchr(item->p, 0, item->len) != NULL))
            abort();
    }
}

static void check_again(const struct wire_msg *m, size_t used)
{
    size_t size = wire_size(m->items, m->n), again = 0;
    uint8_t *out = malloc(size > 0 ? size : 1);
    static struct wire_msg twin;

    /* What was wider than it needs to be is shorter now. */
    if (out == NULL || size == 0 || size > used)
        abort();
    wire_encode(m->items, m->n, out);
    if (wire_decode(out, size, &twin, &again) != WIRE_OK || again != size
        || !same(m, &twin))
        abort();
    free(out);
}

/* No part of a message is one, or wrong. */
static void check_parts(const uint8_t *p, size_t used)
{
    static struct wire_msg part;
    size_t step = used > 256 ? used / 64 : 1, at = 0;

    for (size_t len = 0; len < used; len += step) {
        uint8_t *copy = malloc(len > 0 ? len : 1);

        if (copy == NULL)
            abort();
        memcpy(copy, p, len);
        if (wire_decode(copy, len, &part, &at) != WIRE_MORE)
            abort();
        free(copy);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct wire_msg m;
    size_t at = 0, used = 0;

    while (wire_decode(data + at, size - at, &m, &used) == WIRE_OK) {
        if (used < 1 || used > size - at || used > WIRE_MAX)
            abort();
        check_items(&m, data + at, used);
        check_again(&m, used);
        check_parts(data + at, used);
        (void)wire_is_request(&m);
        for (unsigned op = 0; op < WIRE_N_OPS; op++)
            (void)wire_is_answer(&m, (enum wire_op)op);
        at += used;
    }
    return 0;
}
