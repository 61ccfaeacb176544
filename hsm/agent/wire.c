/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <cbor.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *args, *results;
} ops[] = {
#define X(name, args, results) { #name, args, results },
    WIRE_OPS(X)
#undef X
};

const char *wire_op_name(uint64_t op)
{
    return op < WIRE_N_OPS ? ops[op].name : NULL;
}

/* ---- reading ---- */

/* What libcbor has seen; anything that is not ours ends in bad. */
struct reading {
    struct wire_msg *m;
    bool bad, array;
    size_t expected; /* items of the array */
};

static void on_item(struct reading *r, struct wire_item item)
{
    if (!r->array || r->m->n >= r->expected)
        r->bad = true;
    else
        r->m->items[r->m->n++] = item;
}

static void on_u8(void *arg, uint8_t v)
{
    on_item(arg, wire_num(v));
}

static void on_u16(void *arg, uint16_t v)
{
    on_item(arg, wire_num(v));
}

static void on_u32(void *arg, uint32_t v)
{
    on_item(arg, wire_num(v));
}

static void on_u64(void *arg, uint64_t v)
{
    on_item(arg, wire_num(v));
}

static void on_bytes(void *arg, cbor_data p, size_t len)
{
    on_item(arg, wire_bytes(p, len));
}

static void on_text(void *arg, cbor_data p, size_t len)
{
    struct reading *r = arg;

    if (memchr(p, 0, len) != NULL)
        r->bad = true;
    on_item(r, (struct wire_item){ WIRE_TEXT, 0, p, len });
}

static void on_array(void *arg, size_t n)
{
    struct reading *r = arg;

    if (r->array || n < 1 || n > WIRE_ITEMS)
        r->bad = true;
    r->array = true;
    r->expected = n;
}

static void on_other(void *arg)
{
    ((struct reading *)arg)->bad = true;
}

static void on_i8(void *arg, uint8_t v)
{
    (void)v;
    on_other(arg);
}

static void on_i16(void *arg, uint16_t v)
{
    (void)v;
    on_other(arg);
}

static void on_i32(void *arg, uint32_t v)
{
    (void)v;
    on_other(arg);
}

static void on_i64(void *arg, uint64_t v)
{
    (void)v;
    on_other(arg);
}

static void on_map(void *arg, size_t n)
{
    (void)n;
    on_other(arg);
}

static void on_float(void *arg, float v)
{
    (void)v;
    on_other(arg);
}

static void on_double(void *arg, double v)
{
    (void)v;
    on_other(arg);
}

static void on_bool(void *arg, bool v)
{
    (void)v;
    on_other(arg);
}

static const struct cbor_callbacks callbacks = {
    .uint8 = on_u8,
    .uint16 = on_u16,
    .uint32 = on_u32,
    .uint64 = on_u64,
    .negint8 = on_i8,
    .negint16 = on_i16,
    .negint32 = on_i32,
    .negint64 = on_i64,
    .byte_string_start = on_other,
    .byte_string = on_bytes,
    .string = on_text,
    .string_start = on_other,
    .indef_array_start = on_other,
    .array_start = on_array,
    .indef_map_start = on_other,
    .map_start = on_map,
    .tag = on_i64,
    .float2 = on_float,
    .float4 = on_float,
    .float8 = on_double,
    .undefined = on_other,
    .null = on_other,
    .boolean = on_bool,
    .indef_break = on_other,
};

enum wire_result wire_decode(const uint8_t *p, size_t len, struct wire_msg *m,
                             size_t *used)
{
    struct reading r = { .m = m };
    size_t at = 0;

    m->n = 0;
    do {
        struct cbor_decoder_result one;

        if (at == len)
            return WIRE_MORE;
        one = cbor_stream_decode(p + at, len - at, &callbacks, &r);
        if (one.status == CBOR_DECODER_NEDATA)
            /* `required` has overflowed if it is no more than there is. */
            return one.required <= len - at || one.required > WIRE_MAX - at
                           || len >= WIRE_MAX
                       ? WIRE_BAD
                       : WIRE_MORE;
        if (one.status != CBOR_DECODER_FINISHED || r.bad)
            return WIRE_BAD;
        at += one.read;
        if (at > WIRE_MAX)
            return WIRE_BAD;
    } while (!r.array || m->n < r.expected);
    *used = at;
    return WIRE_OK;
}

static bool has_type(const struct wire_item *item, char type)
{
    switch (type) {
    case 'n':
        return item->type == WIRE_NUM;
    case 'b':
        return item->type == WIRE_BYTES;
    case 't':
        return item->type == WIRE_TEXT;
    default:
        return false;
    }
}

bool wire_matches(const struct wire_msg *m, size_t from, const char *types)
{
    const char *repeated = strchr(types, '*'), *t = types;

    for (size_t i = from; i < m->n; i++) {
        if (t == repeated || (*t == '\0' && repeated != NULL))
            t = repeated + 1;
        if (*t == '\0' || !has_type(&m->items[i], *t++))
            return false;
    }
    return m->n >= from && (*t == '\0' || t == repeated);
}

bool wire_is_request(const struct wire_msg *m)
{
    return m->n >= 2 && m->items[0].type == WIRE_NUM
           && m->items[1].type == WIRE_NUM && m->items[1].num < WIRE_N_OPS
           && wire_matches(m, 2, ops[m->items[1].num].args);
}

bool wire_is_answer(const struct wire_msg *m, enum wire_op op)
{
    if (m->n < 3 || m->items[0].type != WIRE_NUM || m->items[1].type != WIRE_NUM
        || m->items[2].type != WIRE_TEXT)
        return false;
    return m->items[1].num == 0 ? wire_matches(m, 3, ops[op].results)
                                : m->n == 3;
}

/* ---- writing ---- */

static size_t head_size(uint64_t n)
{
    uint8_t room[16];

    return cbor_encode_uint(n, room, sizeof(room));
}

size_t wire_size(const struct wire_item *items, size_t n)
{
    size_t size = head_size(n);

    if (n > WIRE_ITEMS)
        return 0;
    for (size_t i = 0; i < n; i++) {
        bool is_num = items[i].type == WIRE_NUM;

        if (!is_num && items[i].len > WIRE_MAX)
            return 0;
        size += head_size(is_num ? items[i].num : items[i].len)
                + (is_num ? 0 : items[i].len);
    }
    return size <= WIRE_MAX ? size : 0;
}

void wire_encode(const struct wire_item *items, size_t n, uint8_t *out)
{
    out += cbor_encode_array_start(n, out, 16);
    for (size_t i = 0; i < n; i++) {
        const struct wire_item *item = &items[i];

        if (item->type == WIRE_NUM) {
            out += cbor_encode_uint(item->num, out, 16);
            continue;
        }
        out += item->type == WIRE_BYTES
                   ? cbor_encode_bytestring_start(item->len, out, 16)
                   : cbor_encode_string_start(item->len, out, 16);
        if (item->len > 0)
            memcpy(out, item->p, item->len);
        out += item->len;
    }
}

struct wire_item wire_num(uint64_t num)
{
    return (struct wire_item){ WIRE_NUM, num, NULL, 0 };
}

struct wire_item wire_bytes(const uint8_t *p, size_t len)
{
    return (struct wire_item){ WIRE_BYTES, 0, p, len };
}

struct wire_item wire_text(const char *text)
{
    return (struct wire_item){ WIRE_TEXT, 0, (const uint8_t *)text,
                               strlen(text) };
}

char *wire_string(const struct wire_item *item)
{
    return strndup((const char *)item->p, item->len);
}
